/* Kullback-Leibler divergence of a class:  value = target log(target / p), 0 where the target is 0.
 *
 * p = pred, at least eps = param[0], or its logarithm is pred. */
inline_ jet kullback_leibler(real target, real pred, const real *param)
{
    const real p = class_probability(pred, param[0]), slope = target == 0 ? 0 : target / p;
    return (jet){.value = (target == 0 ? 0 : target * r_log(slope)) + 0 * pred,
                 .grad = -slope + 0 * pred,
                 .hess = target == 0 ? 0 : slope / p};
}

inline_ jet kullback_leibler_log(real target, real pred, const real *param)
{
    (void)param;
    return (jet){
        .value = target == 0 ? 0 * pred : target * (r_log(target) - pred), .grad = -target + 0 * pred, .hess = 0};
}
