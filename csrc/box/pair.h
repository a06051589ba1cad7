/* What the losses of two boxes have in common: intersection, union and the smallest box around both.
 *
 * Where edges coincide a maximum of two has the slope 1/2 by each: of equal boxes the gradient is then 0.  An extent of 0
 * has the slope of one that grows; one below 0, of a box that is inverted, counts as 0.  What is divided by 0 is 0. */
typedef struct {
    real x1, y1, x2, y2;
} box;

/* A loss and its derivatives by the edges of the predicted box. */
typedef struct {
    real value, x1, y1, x2, y2;
} box_jet;

/* `one` is 1; with 0 the value is that of the loss less 1: minus a similarity, without the rounding of 1 - IoU. */
typedef box_jet box_formula(box t, box p, real eps, real one);

/* A loss and its derivatives by the extents of the intersection, of the predicted box and of the box around both. */
typedef struct {
    real value, by_iw, by_ih, by_pw, by_ph, by_cw, by_ch;
} extents_jet;

/* The extents of both boxes, of their intersection and of the box around both, the areas of intersection and union, and how
 * much each predicted edge bears on the box around both. */
typedef struct {
    real tw, th, pw, ph, iw, ih, cw, ch, both, area, x1, y1, x2, y2;
    real equal; /* 1 for the same box twice, else 0 */
} box_pair;

/* The derivatives of -IoU are -inverse by the intersection and by_union. */
typedef struct {
    real iou, inverse, by_union;
} overlap_term;

inline_ real quotient(real above, real below) { return above / (below == 0 ? R_INF : below); }

/* The derivative of max(a, b) by a. */
inline_ real reaches(real a, real b)
{
    const real half = (real)0.5, behind = a == b ? half : 0;
    return a > b ? 1 : behind;
}

/* high - low, but 0 where that is negative */
inline_ real extent(real low, real high) { return r_max(high, low) - low; }

inline_ box_pair pair_of(box t, box p)
{
    const real iw = extent(r_max(t.x1, p.x1), r_min(t.x2, p.x2)), ih = extent(r_max(t.y1, p.y1), r_min(t.y2, p.y2));
    const real cw = extent(r_min(t.x1, p.x1), r_max(t.x2, p.x2)), ch = extent(r_min(t.y1, p.y1), r_max(t.y2, p.y2));
    const real tw = extent(t.x1, t.x2), th = extent(t.y1, t.y2), pw = extent(p.x1, p.x2), ph = extent(p.y1, p.y2);
    const real both = iw * ih;
    const real x1 = reaches(t.x1, p.x1), y1 = reaches(t.y1, p.y1), x2 = reaches(p.x2, t.x2), y2 = reaches(p.y2, t.y2);
    return (box_pair){.tw = tw,
                      .th = th,
                      .pw = pw,
                      .ph = ph,
                      .iw = iw,
                      .ih = ih,
                      .cw = cw,
                      .ch = ch,
                      .both = both,
                      .area = tw * th + pw * ph - both,
                      .x1 = cw > 0 ? x1 : 1,
                      .y1 = ch > 0 ? y1 : 1,
                      .x2 = cw > 0 ? x2 : 1,
                      .y2 = ch > 0 ? y2 : 1,
                      .equal = (x1 * x2) * (y1 * y2) == (real)0.0625 ? 1 : 0}; /* four halves */
}

inline_ overlap_term overlap_of(const box_pair *b, real eps)
{
    const real inverse = quotient(1, b->area + eps), ratio = b->both * inverse;
    return (overlap_term){b->area == 0 ? b->equal : ratio, inverse, ratio * inverse};
}

/* A loss, of which the union's share of the derivatives is by_union and the intersection's of its own -inverse. */
inline_ extents_jet extents_of(const box_pair *b, real value, real inverse, real by_union, real by_cw, real by_ch)
{
    const real by_both = b->both > 0 ? inverse + by_union : 0;
    return (extents_jet){value, -by_both * b->ih, -by_both * b->iw, by_union * b->ph, by_union * b->pw, by_cw, by_ch};
}

/* Derivatives by extents as those by the edges of the predicted box.  A maximum and a minimum of two share their slopes:
 * what an edge adds to the box around both it takes from the intersection. */
inline_ box_jet edges_of(const extents_jet *j, const box_pair *b, box p)
{
    const real pw = j->by_iw + (p.x2 < p.x1 ? 0 : j->by_pw), ph = j->by_ih + (p.y2 < p.y1 ? 0 : j->by_ph);
    const real cw = j->by_iw - j->by_cw, ch = j->by_ih - j->by_ch;
    return (box_jet){j->value, r_fma(b->x1, cw, -pw), r_fma(b->y1, ch, -ph), r_fma(-b->x2, cw, pw),
                     r_fma(-b->y2, ch, ph)};
}

/* The same, and derivatives by the distances of the centres, half of which each edge of the predicted box bears. */
inline_ box_jet with_centre(box_jet j, real by_dx, real by_dy)
{
    const real x = (real)0.5 * by_dx, y = (real)0.5 * by_dy;
    return (box_jet){j.value, j.x1 + x, j.y1 + y, j.x2 + x, j.y2 + y};
}

inline_ real centre_x(box t, box p) { return (real)0.5 * ((p.x1 - t.x1) + (p.x2 - t.x2)); }
inline_ real centre_y(box t, box p) { return (real)0.5 * ((p.y1 - t.y1) + (p.y2 - t.y2)); }
