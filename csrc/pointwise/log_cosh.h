/* Log-cosh loss: quadratic near zero, |r| - log 2 in the tails, smooth everywhere.
 *
 *     value = log cosh r = |r| + log(1 + e) - log 2,     e = exp(-2 |r|),     r = pred - target
 *
 * Below |r| = 1 these terms cancel; there the value is r^2 times a polynomial in r^2.  Above, e < 0.14 makes the
 * logarithm a short polynomial.  The gradient is tanh |r| = -(e - 1) / (1 + e) with e - 1 free of cancellation, the
 * Hessian sech^2 r = 4 e / (1 + e)^2.  From where e would be subnormal, and slow to compute, it counts for nothing in
 * value and gradient, and the Hessian is 0.
 */
inline_ jet log_cosh(real target, real pred, const real *param)
{
    (void)param;
    const real log2 = R_NAME(0x1.62e42fefa39efp-1), r = pred - target, a = r_abs(r), y = r * r;
    const real flat = LF_BITS == 64 ? (real)354 : (real)43.5;
    const exp_pair x = exp_expm1_normal(-2 * r_min(a, flat));
    const real e = x.exp, d = 1 + e, near = y * POLYNOMIAL(y, log_cosh_near);
    const real far = r_fma(e, POLYNOMIAL(e, log_cosh_far), a - log2);
    return (jet){.value = a < 1 ? near : far, .grad = r_sign(x.expm1 / d, r), .hess = a < flat ? 4 * e / (d * d) : 0};
}
