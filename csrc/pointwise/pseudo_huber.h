/* Pseudo-Huber loss: Huber's shape with all derivatives.
 *
 *     value = delta^2 (s - 1),     s = sqrt(1 + x^2),  x = |r| / delta,  r = pred - target
 *
 * s - 1 = x^2 / (1 + s) does not cancel for small x.  Beyond 2^(mantissa/2 + 1) s is x to rounding, and x stops at a
 * power of two where quotients have reached their limits, so that nothing overflows before the value does.
 *
 * R. Hartley, A. Zisserman, "Multiple View Geometry in Computer Vision" (2nd ed. 2004), appendix 6.8.
 */
inline_ jet pseudo_huber(real target, real pred, const real *param)
{
    const real delta = param[0], far = LF_BITS == 64 ? 0x1p30 : 0x1p15, limit = 1 / R_SMALLEST;
    const real r = pred - target, a = r_abs(r);
    const real x = r_min(a / delta, limit), near = r_min(x, far);
    const real s = x < far ? r_sqrt(r_fma(near, near, 1)) : x;
    const real slope = x / s;
    return (jet){.value = delta * a * (x / (1 + s)), .grad = r_sign(delta * slope, r), .hess = 1 / s / s / s};
}
