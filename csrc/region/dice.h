/* Dice loss: one minus twice the overlap of two masks over the sum of their sizes.
 *
 *     value = 1 - (2 I + n) / (P + T + d)
 *
 * L. R. Dice, "Measures of the amount of ecologic association between species", Ecology 26 (1945) 297-302,
 * doi:10.2307/1932409; as a loss F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net", 3DV 2016, arXiv:1606.04797.
 */
inline_ overlap_jet dice(real i, real p, real t, const real *param)
{
    const real above = 2 * i + param[0], below = p + t + param[1];
    return (overlap_jet){.value = (below - above) / below, .by_i = -2 / below, .by_p = above / (below * below)};
}
