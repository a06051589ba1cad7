/* PolyLoss of the probability of a class; param[3] = epsilon, param[4] = eps:  value = c (epsilon (1 - p) - log p). */
inline_ jet poly(real target, real pred, const real *param)
{
    const real c = param[0] * class_target(target, param), p = class_probability(pred, param[4]);
    const real slope = c == 0 ? 0 : c / p;
    return (jet){.value = (c == 0 ? 0 : c * (param[3] * (1 - p) - r_log(p))) + 0 * pred,
                 .grad = -slope - c * param[3] + 0 * pred,
                 .hess = c == 0 ? 0 : slope / p};
}
