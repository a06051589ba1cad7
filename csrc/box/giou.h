/* Generalized IoU loss: adds the share of the box around both that neither covers, and so pulls boxes together that do not
 * meet.
 *
 *     value = 1 - IoU + (C - U) / (C + eps),     C the area of the smallest box around both
 *
 * H. Rezatofighi et al., "Generalized intersection over union", CVPR 2019, arXiv:1902.09630.
 */
inline_ box_jet giou(box t, box p, real eps, real one)
{
    const box_pair b = pair_of(t, p);
    const overlap_term o = overlap_of(&b, eps);
    const real around = b.cw * b.ch, inverse = quotient(1, around + eps), share = (around - b.area) * inverse;
    const real by_around = (1 - share) * inverse;
    const extents_jet j =
        extents_of(&b, one - o.iou + share, o.inverse, o.by_union - inverse, by_around * b.ch, by_around * b.cw);
    return edges_of(&j, &b, p);
}
