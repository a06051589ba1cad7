/* Distance IoU loss: adds the squared distance of the centres over the squared diagonal of the box around both.
 *
 *     value = 1 - IoU + d^2 / (c^2 + eps)
 *
 * Z. Zheng et al., "Distance-IoU loss: faster and better learning for bounding box regression", AAAI 2020,
 * arXiv:1911.08287.
 */
inline_ box_jet distance_of(box t, box p, const box_pair *b, real eps, extents_jet j)
{
    const real dx = centre_x(t, p), dy = centre_y(t, p);
    const real inverse = quotient(1, b->cw * b->cw + b->ch * b->ch + eps), share = (dx * dx + dy * dy) * inverse;
    const real by_diagonal = -2 * share * inverse;
    j.value += share, j.by_cw = by_diagonal * b->cw, j.by_ch = by_diagonal * b->ch;
    return with_centre(edges_of(&j, b, p), 2 * dx * inverse, 2 * dy * inverse);
}

inline_ box_jet diou(box t, box p, real eps, real one)
{
    const box_pair b = pair_of(t, p);
    const overlap_term o = overlap_of(&b, eps);
    return distance_of(t, p, &b, eps, extents_of(&b, one - o.iou, o.inverse, o.by_union, 0, 0));
}
