/* IoU loss: one minus the intersection of two boxes over their union.  Boxes that do not meet have no gradient.
 *
 *     value = 1 - I / (U + eps);  0 for the same box twice, if it has no area
 *
 * J. Yu, Y. Jiang, Z. Wang, Z. Cao, T. Huang, "UnitBox", ACM Multimedia 2016, arXiv:1608.01471.
 */
inline_ box_jet iou(box t, box p, real eps, real one)
{
    const box_pair b = pair_of(t, p);
    const overlap_term o = overlap_of(&b, eps);
    const extents_jet j = extents_of(&b, one - o.iou, o.inverse, o.by_union, 0, 0);
    return edges_of(&j, &b, p);
}
