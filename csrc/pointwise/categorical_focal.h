/* Focal cross-entropy of the probability of a class, q = 1 - p; param[3] = gamma, param[4] = eps:
 *
 *     value = -c q^gamma log p
 *     grad = c q^gamma (gamma h - 1/p),                                   h = log(p) / q
 *     hess = c q^(gamma-1) (gamma (2/p - (gamma - 1) h) + q/p^2)
 */
inline_ jet categorical_focal(real target, real pred, const real *param)
{
    const real c = param[0] * class_target(target, param), gamma = param[3];
    const real p = class_probability(pred, param[4]), q = 1 - p, log_p = r_log(p);
    const real power = r_exp(gamma * r_log(r_max(q, R_SMALLEST)));
    const int certain = q < R_SMALLEST;
    const real h = certain ? -1 : log_p / q, keep = gamma < 1 ? 0 : 1, limit = certain ? keep : 1;
    const real less = limit * power / r_max(q, R_SMALLEST);
    const real slope = power * (gamma * h - 1 / p), curve = less * (gamma * (2 / p - (gamma - 1) * h) + q / (p * p));
    return (jet){.value = (c == 0 ? 0 : -c * power * log_p) + 0 * pred,
                 .grad = (c == 0 ? 0 : c * slope) + 0 * pred,
                 .hess = c == 0 ? 0 : c * curve};
}
