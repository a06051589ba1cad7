/* Triplet loss: max(0, d(anchor, positive) - d(anchor, negative) + margin), the latter distance with `swap` the smaller
 * of d(anchor, negative) and d(positive, negative).
 *
 * F. Schroff, D. Kalenichenko, J. Philbin, "FaceNet", CVPR 2015, 815-823, doi:10.1109/CVPR.2015.7298682; V. Balntas,
 * E. Riba, D. Ponsa, K. Mikolajczyk, "Learning local feature descriptors with triplets", BMVC 2016,
 * doi:10.5244/C.30.119.
 */
static jet_of_distances triplet(const double *distance, int alike, const double *param)
{
    (void)alike;
    const int swaps = param[1] != 0 && distance[2] < distance[1];
    const double value = distance[0] - distance[swaps ? 2 : 1] + param[0];
    jet_of_distances jet = {value <= 0 ? 0 : value, {0}};
    if (value <= 0) return jet;
    jet.by[0] = 1;
    jet.by[swaps ? 2 : 1] = -1;
    return jet;
}
