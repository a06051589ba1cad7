/* Distance IoU loss: adds the squared distance of the centres over the squared diagonal of the box around both.
 *
 *     value = 1 - IoU + d^2 / (c^2 + eps)
 *
 * Z. Zheng et al., "Distance-IoU loss: faster and better learning for bounding box regression", AAAI 2020,
 * arXiv:1911.08287.
 */
inline_ box_jet diou(box t, box p, real eps, real one)
{
    const real dx = centre_x(t, p), dy = centre_y(t, p);
    const box_pair b = pair_of(t, p);
    const box_jet area = union_of(&b), miss = miss_of(&b, &area, eps, one);
    const real inverse = quotient(1, b.cw * b.cw + b.ch * b.ch + eps), share = (dx * dx + dy * dy) * inverse;
    const real by_diagonal = -2 * share * inverse;
    const box_jet distant = with_centre(&miss, share, 2 * dx * inverse, 2 * dy * inverse);
    return with_extents(&distant, &b, 0, 0, 0, by_diagonal * b.cw, by_diagonal * b.ch);
}
