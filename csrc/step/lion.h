/* Lion: steps of one length, in the direction that two means of the gradients point to.
 *
 *     w = w - lr sign(beta1 m + (1 - beta1) g)
 *     m = beta2 m + (1 - beta2) g
 *
 * X. Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023, arXiv:2302.06675.
 */
inline_ point lion(point x, real g, const real *h)
{
    const real lr = h[0], beta1 = h[1], new1 = h[2], beta2 = h[3], new2 = h[4];
    const real c = r_fma(beta1, x.s[0], new1 * g);
    x.w -= c > 0 ? lr : c < 0 ? -lr : c; /* zero and NaN are their own signs */
    x.s[0] = r_fma(beta2, x.s[0], new2 * g);
    return x;
}
