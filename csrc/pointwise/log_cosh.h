/* Log-cosh loss: quadratic near zero, |r| - log 2 in the tails, smooth everywhere.
 *
 *     value = log cosh r = |r| + log1p(e) - log 2,     e = exp(-2 |r|),     r = pred - target
 *
 * Below |r| = 1 these terms cancel; there log cosh r = -log1p(-tanh^2 r) / 2 does not.  The same e gives
 * tanh |r| = (1 - e) / (1 + e), with 1 - e = -expm1(-2 |r|), and the Hessian sech^2 r = 4 e / (1 + e)^2.
 * From where e would be subnormal, and slow to compute, it counts for nothing in value and gradient, and the Hessian
 * is 0.
 */
inline_ jet log_cosh(real target, real pred, const real *param)
{
    (void)param;
    const real log2 = R_NAME(0x1.62e42fefa39efp-1), r = pred - target, a = r_abs(r);
    const real flat = LF_BITS == 64 ? (real)354 : (real)43.5;
    const exp_pair x = exp_expm1_nonpos(-2 * r_min(a, flat));
    const real e = x.exp, q = 1 / (1 + e), t = -x.expm1 * q;
    const int small = a < 1;
    const real l = r_log1p(small ? -t * t : e);
    return (jet){.value = small ? -l / 2 : (a - log2) + l, .grad = r_sign(t, r), .hess = a < flat ? 4 * e * q * q : 0};
}
