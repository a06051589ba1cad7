/* Non-maximum suppression: boxes against those kept before.
 *
 * Edge k of a kept box stands at k * pitch, its area after the edges; places up to a multiple of KEEPERS that hold none yet
 * hold a box that meets no other.  The quotients are the ones of the definition, so that a threshold is met or missed as
 * it is there; 0 / 0, of boxes without an area, exceeds none. */
inline_ real box_area(box b) { return r_max(b.x2 - b.x1, 0) * r_max(b.y2 - b.y1, 0); }

inline_ box box_at(const real *x, size_t i) { return (box){x[i], x[BOXES + i], x[2 * BOXES + i], x[3 * BOXES + i]}; }

/* Whether a box has an IoU above the threshold with one of the kept boxes first ... last - 1. */
inline_ int overlaps(box b, size_t first, size_t last, size_t pitch, const real *restrict kept, real threshold)
{
    const real area = box_area(b);
    for (size_t g = first; g < last; g += KEEPERS) {
        ureal above = 0;
        for (size_t l = g; l < g + KEEPERS; l++) {
            const real w = r_min(kept[2 * pitch + l], b.x2) - r_max(kept[l], b.x1);
            const real h = r_min(kept[3 * pitch + l], b.y2) - r_max(kept[pitch + l], b.y1);
            const real both = r_max(w, 0) * r_max(h, 0), ratio = both / (kept[4 * pitch + l] + area - both);
            above |= (ureal)(ratio > threshold);
        }
        if (above) return 1;
    }
    return 0;
}

/* Which of boxes first ... last - 1 of a block none of the kept ones suppresses. */
static void box_suppress(size_t first, size_t last, const void *boxes, size_t nkept, size_t pitch, const void *kept,
                         double threshold, uint8_t *keep)
{
    for (size_t i = first; i < last; i++) keep[i] = !overlaps(box_at(boxes, i), 0, nkept, pitch, kept, (real)threshold);
}

/* Keeps those of a block of n that are left, in their order, until there are `most`; returns how many are kept now. */
static size_t box_keep(size_t n, const void *boxes, size_t nkept, size_t most, size_t pitch, void *kept,
                       double threshold, uint8_t *keep)
{
    const size_t first = nkept / KEEPERS * KEEPERS;
    real *const to = kept;
    for (size_t i = 0; i < n; i++) {
        const box b = box_at(boxes, i);
        keep[i] = keep[i] && nkept < most && !overlaps(b, first, nkept, pitch, kept, (real)threshold);
        if (!keep[i]) continue;
        const box none = {R_INF, R_INF, -R_INF, -R_INF};
        const size_t end = nkept % KEEPERS ? nkept + 1 : nkept + KEEPERS;
        for (size_t l = nkept; l < end; l++) {
            const box x = l == nkept ? b : none;
            to[l] = x.x1, to[pitch + l] = x.y1, to[2 * pitch + l] = x.x2, to[3 * pitch + l] = x.y2;
            to[4 * pitch + l] = box_area(x);
        }
        nkept++;
    }
    return nkept;
}
