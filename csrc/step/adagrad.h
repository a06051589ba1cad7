/* Adagrad: each gradient by the root of the sum of its squares so far.
 *
 *     s = s + g^2
 *     w = w - lr g / (sqrt(s) + eps)
 *
 * J. Duchi, E. Hazan, Y. Singer, JMLR 12 (2011) 2121-2159.
 */
inline_ point adagrad(point x, real g, const real *h)
{
    const real lr = h[0], eps = h[1];
    x.s[0] = r_fma(g, g, x.s[0]);
    x.w = r_fma(-lr, g / (r_sqrt(x.s[0]) + eps), x.w);
    return x;
}
