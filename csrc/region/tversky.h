/* Tversky loss: the Jaccard loss with weights for false positives and false negatives; param = n, d, alpha, beta.
 *
 *     value = 1 - (I + n) / (I + alpha (P - I) + beta (T - I) + d)
 *
 * S. S. M. Salehi, D. Erdogmus, A. Gholipour, "Tversky loss function for image segmentation using 3D fully
 * convolutional deep networks", MLMI 2017, arXiv:1706.05721.
 */
inline_ overlap_jet tversky(real i, real p, real t, const real *param)
{
    const real alpha = param[2], beta = param[3];
    const real above = i + param[0], below = i + alpha * (p - i) + beta * (t - i) + param[1];
    const real slope = above / (below * below);
    return (overlap_jet){
        .value = (below - above) / below, .by_i = (1 - alpha - beta) * slope - 1 / below, .by_p = alpha * slope};
}
