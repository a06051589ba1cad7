/* Kullback-Leibler divergence of a normal distribution from the standard one, per dimension: target = its mean mu,
 * prediction = the logarithm v of its variance.
 *
 *     value = (mu^2 + e^v - 1 - v) / 2
 *
 * e^v - 1 - v is the polynomial of expm1 without its first term where |v| is small: the difference would cancel.
 * Both operands are differentiable: grad is the derivative by v, and in the place of the Hessian is that by mu.
 *
 * D. P. Kingma, M. Welling, "Auto-encoding variational Bayes", ICLR 2014, appendix B, arXiv:1312.6114.
 */
inline_ jet gaussian_kl(real target, real pred, const real *param)
{
    (void)param;
    const real near_zero = (real)0.34375; /* below log(2) / 2, where exp_split leaves r = pred */
    const exp_parts e = exp_split(pred, R_BIAS - 1);
    const real x = r_expm1(pred), near = POLYNOMIAL(e.r, expm1_tail) * (e.r * e.r), far = x < R_INF ? x - pred : x;
    const real rest = r_abs(pred) < near_zero ? near : far;
    return (jet){.value = (target * target + rest) / 2, .grad = x / 2, .hess = target};
}
