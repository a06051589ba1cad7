/* Generalized cross-entropy of the probability of a class; param[3] = q, param[4] = eps:  value = c (1 - p^q) / q. */
inline_ jet generalized_crossentropy(real target, real pred, const real *param)
{
    const real c = param[0] * class_target(target, param), q = param[3], p = class_probability(pred, param[4]);
    const real log_p = r_log(p), power = r_exp(q == 1 ? 0 : (q - 1) * log_p), slope = c == 0 ? 0 : c * power;
    return (jet){.value = (c == 0 ? 0 : -c * r_expm1(q * log_p) / q) + 0 * pred,
                 .grad = -slope + 0 * pred,
                 .hess = c == 0 ? 0 : (1 - q) * slope / r_max(p, R_SMALLEST)};
}
