/* What the losses of two boxes have in common: intersection, union and the smallest box around both.
 *
 * Where edges coincide a maximum of two has the slope 1/2 by each: of equal boxes the gradient is then 0.  An extent of 0
 * has the slope of one that grows; one below 0, of a box that is inverted, counts as 0.  What is divided by 0 is 0. */
typedef struct {
    real x1, y1, x2, y2;
} box;

/* A quantity and its derivatives by the edges of the predicted box. */
typedef struct {
    real value, x1, y1, x2, y2;
} box_jet;

/* `one` is 1; with 0 the value is that of the loss less 1: minus a similarity, without the rounding of 1 - IoU. */
typedef box_jet box_formula(box t, box p, real eps, real one);

/* Extents of both boxes, of their intersection and of the one around both, the latter's derivatives by the edges of the
 * predicted box, and the intersection's by its extents. */
typedef struct {
    real tw, th, pw, ph, both, by_iw, by_ih, cw, ch, cw1, cw2, ch1, ch2;
    real wide, high; /* 0 where the predicted box is inverted, else 1 */
    real equal;      /* 1 for the same box twice, else 0 */
} box_pair;

inline_ real quotient(real above, real below) { return above / (below == 0 ? R_INF : below); }

/* The derivative of max(a, b) by a. */
inline_ real reaches(real a, real b)
{
    const real half = (real)0.5, behind = a == b ? half : 0;
    return a > b ? 1 : behind;
}

/* A maximum and a minimum of two share their slopes: what an edge adds to the box around both it takes from the
 * intersection.  No conditions are combined, which would keep gcc from vectorising: all four edges coincide where the
 * product of the slopes is that of four halves. */
inline_ box_pair pair_of(box t, box p)
{
    const real left = r_max(t.x1, p.x1), top = r_max(t.y1, p.y1), right = r_min(t.x2, p.x2), bottom = r_min(t.y2, p.y2);
    const real iw = r_max(right - left, 0), ih = r_max(bottom - top, 0), both = iw * ih;
    const real cw = r_max(r_max(t.x2, p.x2) - r_min(t.x1, p.x1), 0),
               ch = r_max(r_max(t.y2, p.y2) - r_min(t.y1, p.y1), 0);
    const real cw1 = reaches(t.x1, p.x1), cw2 = reaches(p.x2, t.x2), ch1 = reaches(t.y1, p.y1),
               ch2 = reaches(p.y2, t.y2);
    return (box_pair){.tw = r_max(t.x2 - t.x1, 0),
                      .th = r_max(t.y2 - t.y1, 0),
                      .pw = r_max(p.x2 - p.x1, 0),
                      .ph = r_max(p.y2 - p.y1, 0),
                      .both = both,
                      .by_iw = both > 0 ? ih : 0,
                      .by_ih = both > 0 ? iw : 0,
                      .cw = cw,
                      .ch = ch,
                      .cw1 = cw > 0 ? -cw1 : -1,
                      .cw2 = cw > 0 ? cw2 : 1,
                      .ch1 = ch > 0 ? -ch1 : -1,
                      .ch2 = ch > 0 ? ch2 : 1,
                      .wide = p.x2 < p.x1 ? 0 : 1,
                      .high = p.y2 < p.y1 ? 0 : 1,
                      .equal = r_max(1 - 1024 * r_abs((cw1 * cw2) * (ch1 * ch2) - (real)0.0625), 0)};
}

inline_ box_jet union_of(const box_pair *b)
{
    const real aw = b->wide * b->ph, ah = b->high * b->pw;
    return (box_jet){b->tw * b->th + b->pw * b->ph - b->both, (1 + b->cw1) * b->by_iw - aw,
                     (1 + b->ch1) * b->by_ih - ah, aw - (1 - b->cw2) * b->by_iw, ah - (1 - b->ch2) * b->by_ih};
}

/* 1 - IoU */
inline_ box_jet miss_of(const box_pair *b, const box_jet *area, real eps, real one)
{
    const real inverse = quotient(1, area->value == 0 ? 0 : area->value + eps);
    const real ratio = b->both * inverse, iou = area->value == 0 ? b->equal : ratio;
    const real by_w = inverse * b->by_iw, by_h = inverse * b->by_ih, by_area = iou * inverse;
    return (box_jet){one - iou, by_area * area->x1 + by_w * (1 + b->cw1), by_area * area->y1 + by_h * (1 + b->ch1),
                     by_area * area->x2 - by_w * (1 - b->cw2), by_area * area->y2 - by_h * (1 - b->ch2)};
}

/* A jet and what a function of the extents of the predicted box, and of those around both, adds to it. */
inline_ box_jet with_extents(const box_jet *j, const box_pair *b, real value, real by_pw, real by_ph, real by_cw,
                             real by_ch)
{
    const real w = b->wide * by_pw, h = b->high * by_ph;
    return (box_jet){j->value + value, j->x1 + by_cw * b->cw1 - w, j->y1 + by_ch * b->ch1 - h,
                     j->x2 + by_cw * b->cw2 + w, j->y2 + by_ch * b->ch2 + h};
}

/* The same of the distances of the centres, half of which each edge of the predicted box bears. */
inline_ box_jet with_centre(const box_jet *j, real value, real by_dx, real by_dy)
{
    const real x = (real)0.5 * by_dx, y = (real)0.5 * by_dy;
    return (box_jet){j->value + value, j->x1 + x, j->y1 + y, j->x2 + x, j->y2 + y};
}

inline_ real centre_x(box t, box p) { return (real)0.5 * ((p.x1 - t.x1) + (p.x2 - t.x2)); }
inline_ real centre_y(box t, box p) { return (real)0.5 * ((p.y1 - t.y1) + (p.y2 - t.y2)); }
