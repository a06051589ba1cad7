/* Contrastive loss of the distance d of two vectors:
 *
 *     d^2 if they are alike, max(0, margin - d)^2 if not; not squared: d, and max(0, margin - d)
 *
 * R. Hadsell, S. Chopra, Y. LeCun, "Dimensionality reduction by learning an invariant mapping", CVPR 2006, 1735-1742,
 * doi:10.1109/CVPR.2006.100.
 */
static jet_of_distances contrastive(const double *distance, int alike, const double *param)
{
    const double d = distance[0], short_of = param[0] - d;
    const int squared = param[1] != 0;
    if (alike) return squared ? (jet_of_distances){d * d, {2 * d}} : (jet_of_distances){d, {1}};
    if (short_of <= 0) return (jet_of_distances){0};
    return squared ? (jet_of_distances){short_of * short_of, {-2 * short_of}} : (jet_of_distances){short_of, {-1}};
}
