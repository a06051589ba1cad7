/* IoU loss: one minus the intersection of two boxes over their union.  Boxes that do not meet have no gradient.
 *
 *     value = 1 - I / (U + eps);  0 for the same box twice, if it has no area
 *
 * J. Yu, Y. Jiang, Z. Wang, Z. Cao, T. Huang, "UnitBox", ACM Multimedia 2016, arXiv:1608.01471.
 */
inline_ box_jet iou(box t, box p, real eps, real one)
{
    const box_pair b = pair_of(t, p);
    const box_jet area = union_of(&b);
    return miss_of(&b, &area, eps, one);
}
