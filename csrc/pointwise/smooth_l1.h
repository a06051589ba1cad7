/* Smooth L1: Huber's loss divided by its threshold, so that the tails keep slope 1.
 *
 *     value = r^2 / (2 beta)       |r| <= beta,     r = pred - target
 *             |r| - beta/2         otherwise
 *
 * beta = 0 is the absolute error, and is sent there.  Hessian at |r| = beta: from inside.
 *
 * R. Girshick, "Fast R-CNN", ICCV 2015, arXiv:1504.08083, equation 3.
 */
inline_ jet smooth_l1(real target, real pred, const real *param)
{
    const real beta = param[0];
    const real r = pred - target, a = r_abs(r), c = r_min(a, beta), q = c / beta;
    return (jet){.value = q * (a - c / 2), .grad = r_sign(q, r), .hess = a <= beta ? 1 / beta : 0};
}
