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
    const box_jet area = union_of(&b), miss = miss_of(&b, &area, eps, one);
    const real around = b.cw * b.ch, inverse = quotient(1, around + eps), share = (around - area.value) * inverse;
    const real by_around = (1 - share) * inverse;
    const box_jet both = {miss.value, miss.x1 - inverse * area.x1, miss.y1 - inverse * area.y1,
                          miss.x2 - inverse * area.x2, miss.y2 - inverse * area.y2};
    return with_extents(&both, &b, share, 0, 0, by_around * b.ch, by_around * b.cw);
}
