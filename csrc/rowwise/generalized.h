/* Generalized cross-entropy of a class, param = q:  value = c (1 - p^q) / q,  slope = -c p^q,  curve = -c q p^q.
 *
 * Z. Zhang, M. R. Sabuncu, "Generalized cross entropy loss for training deep neural networks with noisy labels",
 * NeurIPS 2018, arXiv:1805.07836.
 */
inline_ class_jet class_generalized(real c, real p, real q, real log_p, const real *param)
{
    (void)p, (void)q;
    const real exponent = param[0];
    const exp_pair power = exp_pair_cell(exponent * log_p);
    return (class_jet){
        .value = -c * power.expm1 / exponent, .slope = -c * power.exp, .curve = -c * exponent * power.exp};
}
