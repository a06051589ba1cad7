/* Generalized cross-entropy of the probability of a class; param[3] = q, param[4] = eps:  value = c (1 - p^q) / q. */
inline_ jet generalized_crossentropy(real target, real pred, const real *param)
{
    const real c = param[0] * class_target(target, param), q = param[3], p = class_probability(pred, param[4]);
    const real less = r_expm1(q * r_log(p)), slope = c == 0 ? 0 : c * (less + 1) / p;
    return (jet){.value = (c == 0 ? 0 : -c * less / q) + 0 * pred,
                 .grad = -slope + 0 * pred,
                 .hess = c == 0 ? 0 : (1 - q) * slope / p};
}
