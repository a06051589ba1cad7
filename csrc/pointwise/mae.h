/* Absolute error.
 *
 *     value = |r|,     r = pred - target
 *
 * At r = 0 the sub-gradient is 0, as in torch.
 */
inline_ jet mae(real target, real pred, const real *param)
{
    (void)param;
    const real r = pred - target;
    return (jet){.value = r_abs(r), .grad = r > 0 ? 1 : r < 0 ? -1 : r, .hess = 0};
}
