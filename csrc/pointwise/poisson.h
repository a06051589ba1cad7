/* Poisson negative log-likelihood without the constant log target!, of a rate or of its logarithm.
 *
 *     value = pred - target log(pred + eps)        pred: the rate
 *     value = exp(pred) - target pred              pred: the logarithm of the rate
 *
 * Where target = 0 its term is 0, whatever the logarithm (x log x -> 0), and the loss grows beyond all bounds with
 * the prediction although both terms do.
 */
inline_ jet poisson(real target, real pred, const real *param)
{
    const real eps = param[0], q = pred + eps;
    const real t_log = target == 0 ? 0 : target * r_log(q), slope = target == 0 ? 0 : target / q;
    return (jet){.value = pred < R_INF ? pred - t_log : pred,
                 .grad = pred == pred ? 1 - slope : pred,
                 .hess = target == 0 ? 0 : slope / q};
}

inline_ jet poisson_log(real target, real pred, const real *param)
{
    (void)param;
    const real e = r_exp(pred), linear = target == 0 ? 0 : target * pred;
    return (jet){.value = e - (e < R_INF ? linear : 0), .grad = e - target, .hess = e};
}
