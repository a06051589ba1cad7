/* Jaccard loss: one minus the intersection of two masks over their union.
 *
 *     value = 1 - (I + n) / (P + T - I + d)
 *
 * P. Jaccard, "The distribution of the flora in the alpine zone", New Phytologist 11 (1912) 37-50,
 * doi:10.1111/j.1469-8137.1912.tb05611.x.
 */
inline_ overlap_jet jaccard(real i, real p, real t, const real *param)
{
    const real above = i + param[0], below = p + t - i + param[1], slope = above / (below * below);
    return (overlap_jet){.value = (below - above) / below, .by_i = -1 / below - slope, .by_p = slope};
}
