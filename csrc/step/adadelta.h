/* Adadelta: steps as large as steps have been, in relation to gradients.
 *
 *     v = rho v + (1 - rho) g^2
 *     d = sqrt(u + eps) / sqrt(v + eps) g
 *     u = rho u + (1 - rho) d^2
 *     w = w - lr d
 *
 * M. D. Zeiler, arXiv:1212.5701.
 */
inline_ point adadelta(point x, real g, const real *h)
{
    const real lr = h[0], rho = h[1], fresh = h[2], eps = h[3];
    x.s[0] = r_fma(fresh * g, g, rho * x.s[0]);
    const real d = r_sqrt(x.s[1] + eps) / r_sqrt(x.s[0] + eps) * g;
    x.s[1] = r_fma(fresh * d, d, rho * x.s[1]);
    x.w = r_fma(-lr, d, x.w);
    return x;
}
