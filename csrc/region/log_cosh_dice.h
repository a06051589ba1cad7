/* Log-cosh Dice loss: value = log(cosh(dice)).
 *
 * S. Jadon, "A survey of loss functions for semantic segmentation", CIBCB 2020, arXiv:2006.14822.
 */
inline_ overlap_jet log_cosh_dice(real i, real p, real t, const real *param)
{
    const overlap_jet j = dice(i, p, t, param);
    const jet l = log_cosh(0, j.value, NULL);
    return (overlap_jet){.value = l.value, .by_i = l.grad * j.by_i, .by_p = l.grad * j.by_p};
}
