/* Softmax over the classes of rows, in two layouts: the lanes of a vector are rows ("across"), or classes of one row
 * ("along").  What is written once for both is the cell: what one class of one row adds. */

/* A class's share of a loss: see losses.h. */
typedef struct {
    real value, slope, curve;
} class_jet;

typedef class_jet class_formula(real c, real p, real q, real log_p, const real *param);

#define EXP_NORMAL ((real)(LF_BITS == 64 ? -708.396 : -87.3365)) /* below, e^x is subnormal */

/* The finite number nearest to a maximum: infinity minus itself would be NaN. */
inline_ real finite_top(real top) { return r_max(r_min(top, R_LARGEST), -R_LARGEST); }

/* (z - top) / temperature, 0 at most also where z is infinite and top the largest finite number. */
inline_ real below_top(real z, real top, real inverse)
{
    const real d = (z - top) * inverse;
    return d > 0 ? 0 : d;
}

/* Softmax of a row with infinity among its logits: those share everything, as zeros among minus infinities do.  Apart,
 * so that the loops over cells need no eye on it. */
__attribute__((noinline)) static void infinities_to_zero(size_t n, const real *z, size_t stride, real *to)
{
    for (size_t k = 0; k < n; k++) {
        const real x = z[k * stride];
        to[k * stride] = x == R_INF ? 0 : x == x ? -R_INF : x;
    }
}

/* e^x for x <= 0, or 0 where that is subnormal: nothing that a softmax is summed or multiplied with notices. */
inline_ real exp_cell(real x)
{
    const exp_parts e = exp_split(x, R_BIAS);
    const real y = exp_scaled(e.r, power_of_2(e.power));
    return r_bits(r_int(y) & -(ureal) !(x < EXP_NORMAL)); /* a select would be repeated in double where y is summed */
}

/* e^x and e^x - 1 in the same way. */
inline_ exp_pair exp_pair_cell(real x)
{
    const exp_pair e = exp_expm1_normal(r_max(x, EXP_NORMAL));
    const int zero = x < EXP_NORMAL;
    return (exp_pair){zero ? 0 : e.exp, zero ? -1 : e.expm1};
}

/* What a class adds to a sum over its row, with d = (z - top) / temperature, its target t and its c. */
typedef double class_term(real d, real t, real c);
inline_ double below_term(real d, real t, real c) { return (void)t, (void)c, (double)d; }
inline_ double mass_term(real d, real t, real c) { return (void)d, (void)t, (double)c; }
inline_ double dot_term(real d, real t, real c) { return (void)t, (double)c * (double)(c == 0 ? 0 : d); }
inline_ double entropy_term(real d, real t, real c) { return (void)d, (void)c, (double)(t > 0 ? t * r_log(t) : 0); }

/* The derivatives of a class from its exponential, which stands in grad, or in hess if there is no grad. */
inline_ void spread(row_targets targets, int wants_grad, int wants_hess, real *grad, real *hess, real by_exp, real by_c,
                    real to_p, real linear, real square, real t, real v, real keep, real rest)
{
    const real e = wants_grad ? *grad : *hess, p = to_p * e;
    const real c = targets == SMOOTHED ? 1 : targets == SOFT ? v * r_fma(t, keep, rest) : t;
    if (wants_grad) *grad = targets ? by_exp * e - by_c * c : by_exp * e;
    if (wants_hess) *hess = p * r_fma(square, p, linear);
}

/* --- Rows across the lanes --------------------------------------------------------------------------------------- */

/* One sum over the classes of each row; targeted, a literal: the term looks at targets. */
inline_ void across_sum(class_term *term, int targeted, const row_options *o, size_t classes, const real *restrict z,
                        const real *restrict top, const real *restrict inverse, const real *restrict target,
                        const real *restrict class_weight, double *restrict sums)
{
    const real keep = (real)o->keep, rest = (real)o->rest;
    double lane[TILE] = {0};
    for (size_t k = 0; k < classes; k++)
        for (size_t l = 0; l < TILE; l++) {
            const real d = (z[k * TILE + l] - top[l]) * inverse[l], t = targeted ? target[k * TILE + l] : 0;
            lane[l] += term(d, t, targeted ? class_weight[k] * r_fma(t, keep, rest) : 1);
        }
    memcpy(sums, lane, sizeof lane);
}

inline_ void across_reduce(row_targets targets, const row_options *o, size_t classes, real *restrict z,
                           const real *restrict target, const real *restrict class_weight, const lf_ahead *ahead,
                           row_group *restrict g)
{
    enum { LINE = 64 / sizeof(real) };
    const lf_ahead here = {{(const char *)z, (const char *)z}, {0, 0}}, next = ahead ? *ahead : here;
    real top[TILE], inverse[TILE];
    ireal infinite = 0;
    for (size_t l = 0; l < TILE; l++) top[l] = z[l];
    for (size_t k = 1; k < classes; k++)
        for (size_t l = 0; l < TILE; l++) top[l] = r_max(top[l], z[k * TILE + l]);
    for (size_t l = 0; l < TILE; l++) {
        g->top[l] = (double)top[l];
        infinite |= (ireal)(top[l] == R_INF);
        inverse[l] = (real)g->inverse[l];
    }
    for (size_t l = 0; infinite && l < TILE; l++)
        if (top[l] == R_INF) {
            infinities_to_zero(classes, z + l, TILE, z + l);
            top[l] = 0;
        }
    for (size_t l = 0; l < TILE; l++) top[l] = finite_top(top[l]);
    if (targets == SMOOTHED) across_sum(below_term, 0, o, classes, z, top, inverse, NULL, NULL, g->dot);
    for (size_t l = 0; targets == SMOOTHED && l < TILE; l++) g->mass[l] = (double)classes;
    if (targets >= SOFT) {
        across_sum(mass_term, 1, o, classes, z, top, inverse, target, class_weight, g->mass);
        across_sum(dot_term, 1, o, classes, z, top, inverse, target, class_weight, g->dot);
    }
    if (targets == DIVERGENCE)
        across_sum(entropy_term, 1, o, classes, z, top, inverse, target, class_weight, g->entropy);
    for (size_t k = 0; k < classes; k++) {
        for (size_t l = 0; l < TILE; l += LINE) lf_look_ahead(&next, k * TILE + l);
        for (size_t l = 0; l < TILE; l++) z[k * TILE + l] = exp_cell((z[k * TILE + l] - top[l]) * inverse[l]);
    }
    double sum[TILE] = {0};
    for (size_t k = 0; k < classes; k++)
        for (size_t l = 0; l < TILE; l++) sum[l] += (double)z[k * TILE + l];
    memcpy(g->sum, sum, sizeof sum);
}

inline_ void across_spread(row_targets targets, int wants_grad, int wants_hess, const row_options *o, size_t classes,
                           real *restrict grad, real *restrict hess, const real *restrict target,
                           const real *restrict class_weight, const row_group *restrict g)
{
    const real keep = (real)o->keep, rest = (real)o->rest;
    real by_exp[TILE], by_c[TILE], to_p[TILE], linear[TILE], square[TILE];
    for (size_t l = 0; l < TILE; l++) {
        by_exp[l] = (real)g->by_exp[l], by_c[l] = (real)g->by_c[l];
        to_p[l] = (real)g->to_p[l], linear[l] = (real)g->linear[l], square[l] = (real)g->square[l];
    }
    for (size_t k = 0; k < classes; k++)
        for (size_t l = 0; l < TILE; l++) {
            const size_t i = k * TILE + l;
            spread(targets, wants_grad, wants_hess, wants_grad ? &grad[i] : NULL, wants_hess ? &hess[i] : NULL,
                   by_exp[l], by_c[l], to_p[l], linear[l], square[l], targets >= SOFT ? target[i] : 0,
                   targets >= SOFT ? class_weight[k] : 0, keep, rest);
        }
}

/* --- Classes along the lanes ------------------------------------------------------------------------------------- */

inline_ real row_top(size_t n, const real *restrict z)
{
    real top[LANES];
    size_t k = 0;
    if (n < LANES) {
        padded_copy(top, z, n, -R_INF);
        k = n;
    } else {
        memcpy(top, z, sizeof top);
        for (k = LANES; k + LANES <= n; k += LANES)
            for (size_t l = 0; l < LANES; l++) top[l] = r_max(top[l], z[k + l]);
        if (k < n) /* once more some of those before */
            for (size_t l = 0; l < LANES; l++) top[l] = r_max(top[l], z[n - LANES + l]);
    }
    real a[LANES / 2], b[LANES / 4], c[LANES / 8];
    for (size_t l = 0; l < LANES / 2; l++) a[l] = r_max(top[l], top[l + LANES / 2]);
    for (size_t l = 0; l < LANES / 4; l++) b[l] = r_max(a[l], a[l + LANES / 4]);
    for (size_t l = 0; l < LANES / 8; l++) c[l] = r_max(b[l], b[l + LANES / 8]);
    return r_max(r_max(c[0], c[2]), r_max(c[1], c[3]));
}

/* e^((z - top) / temperature) of n classes, which may stand where z does.  Those beyond whole groups are of a group that
 * overlaps the one before, formed first, or of one filled up. */
static void row_exp(size_t n, const real *z, real top, real inverse, real *e)
{
    enum { GROUP = 16, TOGETHER = 2 * LANES };
    const size_t grouped = n & -(size_t)GROUP;
    real few[GROUP], last[GROUP];
    if (n < GROUP) {
        for (size_t l = 0; l < GROUP; l++) few[l] = l < n ? z[l] : -R_INF;
        for (size_t l = 0; l < GROUP; l++) last[l] = exp_cell((few[l] - top) * inverse);
        memcpy(e, last, n * sizeof *e);
        return;
    }
    for (size_t l = 0; grouped < n && l < GROUP; l++) last[l] = exp_cell((z[n - GROUP + l] - top) * inverse);
    for (size_t k = 0; k < grouped; k += TOGETHER) {
        const size_t left = grouped - k, now = (left < TOGETHER ? left : TOGETHER) & -(size_t)GROUP;
        for (size_t l = k; l < k + TOGETHER; l += LANES) {
            look_ahead(z + l + BLOCK);
            look_ahead(e + l + BLOCK);
        }
        INDEPENDENT
        for (size_t l = k; l < k + now; l++) e[l] = exp_cell((z[l] - top) * inverse);
    }
    if (grouped < n) memcpy(e + n - GROUP, last, sizeof last);
}

/* The same of one row. */
inline_ double along_sum(class_term *term, int targeted, const row_options *o, size_t n, const real *z, real top,
                         real inverse, const real *target, const real *class_weight)
{
    const real keep = (real)o->keep, rest = (real)o->rest;
    double lane[LANES] = {0};
    size_t k = 0;
    for (; k + LANES <= n; k += LANES)
        for (size_t l = 0; l < LANES; l++) {
            const real d = (z[k + l] - top) * inverse, t = targeted ? target[k + l] : 0;
            lane[l] += term(d, t, targeted ? class_weight[k + l] * r_fma(t, keep, rest) : 1);
        }
    if (k < n) { /* filled up with what adds nothing */
        real zs[LANES], ts[LANES], vs[LANES];
        padded_copy(zs, z + k, n - k, top);
        if (targeted) padded_copy(ts, target + k, n - k, 0), padded_copy(vs, class_weight + k, n - k, 0);
        for (size_t l = 0; l < LANES; l++) {
            const real d = (zs[l] - top) * inverse, t = targeted ? ts[l] : 0;
            lane[l] += term(d, t, targeted ? vs[l] * r_fma(t, keep, rest) : 1);
        }
    }
    return lane_sum(lane);
}

inline_ void along_reduce(row_targets targets, const row_options *o, size_t rows, size_t n, size_t pitch, const real *z,
                          real *e, const real *target, const real *class_weight, row_group *g)
{
    for (size_t r = 0; r < rows; r++) {
        const real *zr = z + r * pitch, *const tr = targets >= SOFT ? target + r * pitch : NULL;
        const real raw = row_top(n, zr), top = raw < R_INF ? finite_top(raw) : 0, inverse = (real)g->inverse[r];
        real room[BLOCK], *const er = e ? e + r * pitch : room;
        if (raw == R_INF) {
            infinities_to_zero(n, zr, 1, room);
            zr = room;
        }
        if (targets == SMOOTHED) {
            g->mass[r] = (double)n;
            g->dot[r] = along_sum(below_term, 0, o, n, zr, top, inverse, NULL, NULL);
        }
        if (targets >= SOFT) {
            g->mass[r] = along_sum(mass_term, 1, o, n, zr, top, inverse, tr, class_weight);
            g->dot[r] = along_sum(dot_term, 1, o, n, zr, top, inverse, tr, class_weight);
        }
        if (targets == DIVERGENCE) g->entropy[r] = along_sum(entropy_term, 1, o, n, zr, top, inverse, tr, class_weight);
        row_exp(n, zr, top, inverse, er);
        g->top[r] = (double)raw;
        g->sum[r] = block_sum(n, er);
    }
}

inline_ void along_spread(row_targets targets, int wants_grad, int wants_hess, const row_options *o, size_t rows,
                          size_t n, size_t pitch, real *grad, real *hess, const real *target, const real *class_weight,
                          const row_group *g)
{
    const real keep = (real)o->keep, rest = (real)o->rest;
    for (size_t r = 0; r < rows; r++) {
        const real by_exp = (real)g->by_exp[r], by_c = (real)g->by_c[r], to_p = (real)g->to_p[r];
        const real linear = (real)g->linear[r], square = (real)g->square[r];
        real *restrict const gr = wants_grad ? grad + r * pitch : NULL;
        real *restrict const hr = wants_hess ? hess + r * pitch : NULL;
        const real *const tr = targets >= SOFT ? target + r * pitch : NULL;
        size_t k = 0;
        for (; k + LANES <= n; k += LANES)
            for (size_t l = k; l < k + LANES; l++)
                spread(targets, wants_grad, wants_hess, wants_grad ? &gr[l] : NULL, wants_hess ? &hr[l] : NULL, by_exp,
                       by_c, to_p, linear, square, targets >= SOFT ? tr[l] : 0, targets >= SOFT ? class_weight[l] : 0,
                       keep, rest);
        for (; k < n; k++)
            spread(targets, wants_grad, wants_hess, wants_grad ? &gr[k] : NULL, wants_hess ? &hr[k] : NULL, by_exp,
                   by_c, to_p, linear, square, targets >= SOFT ? tr[k] : 0, targets >= SOFT ? class_weight[k] : 0, keep,
                   rest);
    }
}

static void along_exp(size_t n, const void *z, double top, double inverse, void *exp)
{
    const real t = top < INFINITY ? finite_top((real)top) : 0;
    if (top == INFINITY) infinities_to_zero(n, z, 1, exp);
    row_exp(n, top == INFINITY ? exp : z, t, (real)inverse, exp);
}

/* --- Jets of every class, for losses that sums over a row do not determine ---------------------------------------
 *
 * With B_k the slopes and A_k the curves of a row, S and T their sums, u = z / temperature:
 *     dl/du_j = B_j (1 - p_j) - p_j (S - B_j)
 *     d2l/du_j2 = A_j (1 - p_j)^2 + (T - A_j) p_j^2 - p_j (1 - p_j) S
 * A class that is nearly certain may have A_j far above everything else: it is summed apart, lest S - B_j and T - A_j
 * cancel.  sums: the value, S and T without that class, its B and its A.  grad or hess may be z. */
inline_ void class_jets(class_formula *f, int writes, size_t n, const row_options *o, const row_group *g, size_t row,
                        const real *z, const real *target, const real *class_weight, double *sums, real *grad,
                        real *hess)
{
    const real param[MAX_PARAM] = {o->param ? (real)o->param[0] : 0};
    const real keep = (real)o->keep, rest = (real)o->rest, inverse = (real)g->inverse[row];
    const int certainty = g->top[row] == INFINITY;
    const real top = finite_top((real)g->top[row]), log_sum = (real)g->dot[row]; /* see finish_classes */
    const real slopes = (real)sums[1], curves = (real)sums[2], own_slope = (real)sums[3], own_curve = (real)sums[4];
    const real by_grad = (real)g->by_exp[row], by_hess = (real)g->by_c[row];
    double value[LANES] = {0}, slope[LANES] = {0}, curve[LANES] = {0}, own[2][LANES] = {{0}};
    for (size_t k = 0; k < n; k += LANES) {
        const size_t left = n - k < LANES ? n - k : LANES;
        real zs[LANES], ts[LANES], vs[LANES], gs[LANES], hs[LANES];
        padded_copy(zs, z + k, left, -R_INF);
        padded_copy(ts, target + k, left, 0);
        padded_copy(vs, class_weight + k, left, 0);
        for (size_t l = 0; l < LANES; l++) {
            const int beaten = certainty & (zs[l] < R_INF);
            const real d = below_top(zs[l], top, inverse), log_p = (beaten ? -R_INF : d) - log_sum;
            const exp_pair e = exp_pair_cell(log_p);
            const class_jet j = f(r_fma(ts[l], keep, rest), e.exp, -e.expm1, log_p, param);
            const real v = vs[l], b = v * j.slope, a = v * j.curve, p = e.exp, q = -e.expm1;
            const int certain = p > (real)0.75;
            if (writes) {
                const real other_b = certain ? slopes : slopes - b + own_slope;
                const real other_a = certain ? curves : curves - a + own_curve;
                gs[l] = by_grad * (b * q - p * other_b);
                hs[l] = by_hess * (a * (q * q) + other_a * (p * p) - p * q * (slopes + own_slope));
            } else {
                value[l] += v == 0 ? 0 : (double)(v * j.value);
                slope[l] += certain ? 0 : (double)b;
                curve[l] += certain ? 0 : (double)a;
                own[0][l] += certain ? (double)b : 0;
                own[1][l] += certain ? (double)a : 0;
            }
        }
        if (writes && grad) memcpy(grad + k, gs, left * sizeof(real));
        if (writes && hess) memcpy(hess + k, hs, left * sizeof(real));
    }
    if (!writes) {
        sums[0] += lane_sum(value);
        sums[1] += lane_sum(slope);
        sums[2] += lane_sum(curve);
        sums[3] += lane_sum(own[0]);
        sums[4] += lane_sum(own[1]);
    }
}

#define TARGETS(call, ...)                                                                                             \
    switch (o->targets) {                                                                                              \
    case LABEL:                                                                                                        \
    case CLASSES: call(LABEL, __VA_ARGS__); break;                                                                     \
    case SMOOTHED: call(SMOOTHED, __VA_ARGS__); break;                                                                 \
    case SOFT: call(SOFT, __VA_ARGS__); break;                                                                         \
    case DIVERGENCE: call(DIVERGENCE, __VA_ARGS__); break;                                                             \
    }

/* KL's c is its target, which SOFT gives too with keep = 1 and rest = 0. */
#define SPREAD(call, ...)                                                                                              \
    const int both = grad && hess;                                                                                     \
    if (o->targets == LABEL) {                                                                                         \
        if (both)                                                                                                      \
            call(LABEL, 1, 1, __VA_ARGS__);                                                                            \
        else if (grad)                                                                                                 \
            call(LABEL, 1, 0, __VA_ARGS__);                                                                            \
        else                                                                                                           \
            call(LABEL, 0, 1, __VA_ARGS__);                                                                            \
    } else if (!grad)                                                                                                  \
        call(LABEL, 0, 1, __VA_ARGS__); /* Hessians need no c */                                                       \
    else if (o->targets == SMOOTHED) {                                                                                 \
        if (both)                                                                                                      \
            call(SMOOTHED, 1, 1, __VA_ARGS__);                                                                         \
        else                                                                                                           \
            call(SMOOTHED, 1, 0, __VA_ARGS__);                                                                         \
    } else if (both)                                                                                                   \
        call(SOFT, 1, 1, __VA_ARGS__);                                                                                 \
    else                                                                                                               \
        call(SOFT, 1, 0, __VA_ARGS__)

static void reduce_across(const row_options *o, size_t classes, void *z, const void *target, const void *class_weight,
                          const lf_ahead *ahead, row_group *g)
{
    TARGETS(across_reduce, o, classes, z, target, class_weight, ahead, g)
}

static void spread_across(const row_options *o, size_t classes, void *grad, void *hess, const void *target,
                          const void *class_weight, const row_group *g)
{
    SPREAD(across_spread, o, classes, grad, hess, target, class_weight, g);
}

static void reduce_along(const row_options *o, size_t rows, size_t n, size_t pitch, const void *z, void *exp,
                         const void *target, const void *class_weight, row_group *g)
{
    TARGETS(along_reduce, o, rows, n, pitch, z, exp, target, class_weight, g)
}

static void spread_along(const row_options *o, size_t rows, size_t n, size_t pitch, void *grad, void *hess,
                         const void *target, const void *class_weight, const row_group *g)
{
    SPREAD(along_spread, o, rows, n, pitch, grad, hess, target, class_weight, g);
}

/* margin[k] = (1 - target[k]) z[k]; returns sum target[k] z[k], where a target of 0 hides an infinite z. */
static double hinge_terms(size_t n, const void *z, const void *target, void *margin)
{
    const real *restrict in = z, *restrict t = target;
    real *restrict out = margin;
    double lane[LANES] = {0};
    size_t k = 0;
    for (; k + LANES <= n; k += LANES)
        for (size_t l = 0; l < LANES; l++) lane[l] += t[k + l] == 0 ? 0 : (double)t[k + l] * (double)in[k + l];
    for (size_t l = 0; k + l < n; l++) lane[l] += t[k + l] == 0 ? 0 : (double)t[k + l] * (double)in[k + l];
    for (k = 0; k < n; k++) out[k] = t[k] == 1 ? 0 : (1 - t[k]) * in[k];
    return lane_sum(lane);
}

static double highest(size_t n, const void *x, size_t *at)
{
    const real *restrict in = x;
    const real top = row_top(n, in);
    ireal wrong = 0; /* a maximum does not show a NaN */
    for (size_t i = 0; i < n; i++) wrong |= (ireal)(in[i] != in[i]);
    size_t i = 0;
    if (wrong) {
        while (i + 1 < n && in[i] == in[i]) i++; /* not beyond the end, though somebody write to it now */
        *at = i;
        return (double)R_NAN;
    }
    for (ireal found = 0; i + LANES < n; i += LANES) {
        for (size_t l = 0; l < LANES; l++) found |= (ireal)(in[i + l] == top);
        if (found) break;
    }
    while (i + 1 < n && in[i] != top) i++;
    *at = i;
    return (double)top;
}
