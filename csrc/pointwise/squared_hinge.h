/* Squared hinge loss.
 *
 *     value = max(0, 1 - m)^2,     m = y pred,     y = 1 for target > 0, else -1
 *
 * At m = 1 the Hessian is that of the active side.
 */
inline_ jet squared_hinge(real target, real pred, const real *param)
{
    (void)param;
    const real y = target > 0 ? 1 : -1, m = y * pred, c = r_max(1 - m, 0);
    return (jet){.value = c * c, .grad = -2 * y * c, .hess = m <= 1 ? 2 : 0};
}
