/* SIoU loss: adds how far the centres are apart, the less the nearer their direction is to an axis, and how much the shapes
 * differ.
 *
 *     value = 1 - IoU + (D + S) / 2
 *     D = 2 - exp(-g rx) - exp(-g ry),     rx = (dx / cw)^2, ry = (dy / ch)^2, g = 2 - 2 |dx dy| / (dx^2 + dy^2)
 *     S = (1 - exp(-|pw - tw| / max(pw, tw)))^4 + (1 - exp(-|ph - th| / max(ph, th)))^4
 *
 * with dx and dy the distances of the centres and cw and ch the extents of the box around both.
 *
 * Z. Gevorgyan, "SIoU loss: more powerful learning for bounding box regression", arXiv:2205.12740.
 */
typedef struct {
    real value, slope;
} siou_term;

/* (1 - exp(-|p - t| / max(p, t)))^4 with its derivative by p. */
inline_ siou_term shape_cost(real p, real t)
{
    const real most = r_max(p, t), d = p - t, ratio = quotient(r_abs(d), most), e = r_exp_nonpos(-ratio);
    const real u = -r_expm1(-ratio), by_ratio = 4 * u * u * u * e;
    const real by_p = d > 0 ? quotient(1 - ratio, most) : quotient(d < 0 ? -1 : 0, most);
    return (siou_term){u * u * u * u, by_ratio * by_p};
}

inline_ box_jet siou(box t, box p, real eps, real one)
{
    const real half = (real)0.5, dx = centre_x(t, p), dy = centre_y(t, p), ax = r_abs(dx), ay = r_abs(dy);
    const box_pair b = pair_of(t, p);
    const overlap_term o = overlap_of(&b, eps);
    const real square = dx * dx + dy * dy, inverse = square < R_SMALLEST ? 0 : 1 / square;
    const real angle = 2 * ax * ay * inverse, g = 2 - angle, most = 1 << 12; /* quotients beyond 1: inverted boxes */
    const real qx = r_min(quotient(ax, b.cw), most), qy = r_min(quotient(ay, b.ch), most), rx = qx * qx, ry = qy * qy;
    const real ex = r_exp_nonpos(-g * rx), ey = r_exp_nonpos(-g * ry);
    const siou_term w = shape_cost(b.pw, b.tw), h = shape_cost(b.ph, b.th);
    /* angle by |dx|: 2 |dy| / square - 2 |dx| angle / square */
    const real angle_x = 2 * inverse * (ay - ax * angle), angle_y = 2 * inverse * (ax - ay * angle);
    const real by_g = rx * ex + ry * ey, by_qx = quotient(2 * g * qx * ex, b.cw),
               by_qy = quotient(2 * g * qy * ey, b.ch);
    const real is_x = ax > 0 ? half : 0, is_y = ay > 0 ? half : 0; /* no slope on an axis, where |dx| has two */
    const real by_ax = is_x * (by_qx - by_g * angle_x), by_ay = is_y * (by_qy - by_g * angle_y);
    extents_jet j = extents_of(&b, one - o.iou, o.inverse, o.by_union, -half * by_qx * qx, -half * by_qy * qy);
    j.value += half * (2 - ex - ey) + half * (w.value + h.value);
    j.by_pw += half * w.slope, j.by_ph += half * h.slope;
    return with_centre(edges_of(&j, &b, p), dx < 0 ? -by_ax : by_ax, dy < 0 ? -by_ay : by_ay);
}
