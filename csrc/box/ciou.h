/* Complete IoU loss: the distance IoU loss and a share of how much the aspect ratios differ.
 *
 *     value = 1 - IoU + d^2 / (c^2 + eps) + alpha v,     v = 4/pi^2 (atan(tw/th) - atan(pw/ph))^2
 *
 * with alpha = v / (1 - IoU + v + eps), which is taken as a constant.  The difference of the angles is one angle, that of
 * (tw ph - pw th, th ph + tw pw): it does not cancel, and is defined for boxes without a height.  A box without an extent
 * has no aspect ratio, and v = 0.
 *
 * Z. Zheng et al., "Distance-IoU loss: faster and better learning for bounding box regression", AAAI 2020,
 * arXiv:1911.08287.
 */
inline_ box_jet ciou(box t, box p, real eps, real one)
{
    const real four_over_pi2 = (real)0x1.9f02f6222c72p-2, pi_2 = 2 * PI_4_HIGH;
    const box_pair b = pair_of(t, p);
    const overlap_term o = overlap_of(&b, eps);
    const real cross = b.tw * b.ph - b.pw * b.th, dot = b.th * b.ph + b.tw * b.pw, a = r_abs(cross);
    const real near = atan_ratio(r_min(a, dot), r_max(a, dot)), angle = r_sign(a > dot ? pi_2 - near : near, cross);
    const real v = four_over_pi2 * angle * angle, alpha = quotient(v, 1 - o.iou + v + eps);
    const real square = b.pw * b.pw + b.ph * b.ph, inverse = square < R_SMALLEST ? 0 : 1 / square;
    const real slope = alpha * 2 * four_over_pi2 * angle * inverse;
    extents_jet j = extents_of(&b, one - o.iou, o.inverse, o.by_union, 0, 0);
    j.value += alpha * v, j.by_pw -= slope * b.ph, j.by_ph += slope * b.pw;
    return distance_of(t, p, &b, eps, j);
}
