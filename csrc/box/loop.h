/* Boxes across the lanes: edge k of box l stands at k * BOXES + l.  f and wants_grad are literals at every call. */

inline_ void box_loop(box_formula *f, int wants_grad, size_t n, const real *restrict t, const real *restrict p,
                      const real *restrict weight, real eps, real one, real scale, real *restrict value,
                      real *restrict grad)
{
    for (size_t l = 0; l < n; l++) {
        const box a = {t[l], t[BOXES + l], t[2 * BOXES + l], t[3 * BOXES + l]};
        const box b = {p[l], p[BOXES + l], p[2 * BOXES + l], p[3 * BOXES + l]};
        const box_jet j = f(a, b, eps, one);
        value[l] = r_fma(weight[l], j.value, 0); /* no similarity is -0 */
        if (!wants_grad) continue;
        const real by = scale * weight[l];
        grad[l] = by * j.x1, grad[BOXES + l] = by * j.y1;
        grad[2 * BOXES + l] = by * j.x2, grad[3 * BOXES + l] = by * j.y2;
    }
}

/* Boxes of another format become their edges, x1 y1 x2 y2. */
static void box_edges(lf_box_format format, size_t n, void *boxes)
{
    real *restrict x = boxes;
    const real half = format == LF_CXCYWH ? (real)0.5 : 0;
    if (format != LF_XYXY)
        for (size_t l = 0; l < n; l++) {
            const real w = x[2 * BOXES + l], h = x[3 * BOXES + l], x1 = x[l] - half * w, y1 = x[BOXES + l] - half * h;
            x[l] = x1, x[BOXES + l] = y1, x[2 * BOXES + l] = x1 + w, x[3 * BOXES + l] = y1 + h;
        }
}

/* Derivatives by edges become those by the numbers of a format. */
static void box_chain(lf_box_format format, size_t n, void *grad)
{
    real *restrict g = grad;
    const real half = format == LF_CXCYWH ? (real)0.5 : 0;
    if (format != LF_XYXY)
        for (size_t l = 0; l < n; l++) {
            const real x = g[l] + g[2 * BOXES + l], y = g[BOXES + l] + g[3 * BOXES + l];
            g[2 * BOXES + l] -= half * x, g[3 * BOXES + l] -= half * y;
            g[l] = x, g[BOXES + l] = y;
        }
}

/* The first box whose extents are not positive and finite, or n. */
static size_t box_check(size_t n, const void *edges)
{
    const real *restrict x = edges;
    ureal bad = 0;
    for (size_t l = 0; l < n; l++) {
        const real w = x[2 * BOXES + l] - x[l], h = x[3 * BOXES + l] - x[BOXES + l];
        bad |= (ureal) !(w > 0 && w < R_INF && h > 0 && h < R_INF);
    }
    for (size_t l = 0; bad && l < n; l++) {
        const real w = x[2 * BOXES + l] - x[l], h = x[3 * BOXES + l] - x[BOXES + l];
        if (!(w > 0 && w < R_INF && h > 0 && h < R_INF)) return l;
    }
    return n;
}

/* Box `at` of a block again and again. */
static void box_repeat(size_t at, size_t n, const void *boxes, void *to)
{
    const real *restrict x = boxes;
    real *restrict y = to;
    for (size_t k = 0; k < 4; k++)
        for (size_t l = 0; l < n; l++) y[k * BOXES + l] = x[k * BOXES + at];
}
