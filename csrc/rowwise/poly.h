/* PolyLoss of a class, param = epsilon:  value = c (-log p + epsilon q),  slope = -c (1 + epsilon p),
 * curve = -c epsilon p.
 *
 * Z. Leng et al., "PolyLoss: a polynomial expansion perspective of classification loss functions", ICLR 2022,
 * arXiv:2204.12511.
 */
inline_ class_jet class_poly(real c, real p, real q, real log_p, const real *param)
{
    const real epsilon = param[0];
    return (class_jet){.value = c == 0 ? 0 : c * (epsilon * q - log_p),
                       .slope = -c * r_fma(epsilon, p, (real)1),
                       .curve = -c * epsilon * p};
}
