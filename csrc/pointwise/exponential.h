/* Exponential loss, as AdaBoost minimises it.
 *
 *     value = target exp(-pred) + (1 - target) exp(pred)
 *
 * A term with weight 0 is 0 also where its exponential is infinite.
 *
 * J. Friedman, T. Hastie, R. Tibshirani, "Additive logistic regression", Ann. Statist. 28 (2000) 337-407,
 * doi:10.1214/aos/1016218223.
 */
inline_ jet exponential(real target, real pred, const real *param)
{
    (void)param;
    const real up = target == 1 ? 0 : (1 - target) * r_exp(pred), down = target == 0 ? 0 : target * r_exp(-pred);
    const real value = up + down;
    return (jet){.value = value, .grad = up - down, .hess = value};
}
