/* Focal Tversky loss: a power of the Tversky loss; param = n, d, alpha, beta, gamma.
 *
 *     value = tversky^gamma,     0 without a slope where nothing is wrong
 *
 * N. Abraham, N. M. Khan, "A novel focal Tversky loss function with improved attention U-Net for lesion segmentation",
 * ISBI 2019, arXiv:1810.07842, with 1 / gamma for gamma.
 */
inline_ overlap_jet focal_tversky(real i, real p, real t, const real *param)
{
    const overlap_jet j = tversky(i, p, t, param);
    const real gamma = param[4], x = r_max(j.value, 0), power = r_exp(gamma * r_log(x));
    const real slope = x > 0 ? gamma * power / x : 0;
    return (overlap_jet){.value = x > 0 ? power : x, .by_i = slope * j.by_i, .by_p = slope * j.by_p};
}
