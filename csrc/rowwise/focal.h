/* Focal cross-entropy of a class, param = gamma:  value = -c q^gamma log p,  q = 1 - p.
 *
 *     slope = c (gamma p q^(gamma-1) log p - q^gamma)
 *     curve = c gamma p q^(gamma-2) ((q - (gamma - 1) p) log p + 2 q)
 *
 * In terms of h = log(p) / q, which tends to -1 where p tends to 1, nothing is divided by a power of q.
 *
 * T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollar, "Focal loss for dense object detection", ICCV 2017,
 * arXiv:1708.02002.
 */
inline_ class_jet class_focal(real c, real p, real q, real log_p, const real *param)
{
    const real gamma = param[0];
    const real power = r_exp(gamma * r_log(r_max(q, R_SMALLEST)));
    const real h = q < R_SMALLEST ? -1 : log_p / q, ph = p == 0 ? 0 : p * h;
    const real none = power < R_SMALLEST ? 0 : power;
    const real curve = q < R_SMALLEST ? 0 : none / q * gamma * (q * ph - (gamma - 1) * p * ph + 2 * p);
    return (class_jet){
        .value = c == 0 ? 0 : -c * power * log_p, .slope = c * power * (gamma * ph - 1), .curve = c * curve};
}
