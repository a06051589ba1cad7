/* Sums over masks and derivatives by predictions: the lanes of a vector are positions of one class. */

/* A sigmoid, 1 / (1 + exp(-z)), as the smaller one of it and its complement, with the sign of z: neither is then lost to
 * the rounding of the other, nor the derivative, their product. */
static void region_sigmoid(size_t n, const void *z, void *sigmoids)
{
    const real *in = z;
    real *out = sigmoids;
    INDEPENDENT
    for (size_t l = 0; l < n; l++) {
        const real e = exp_cell(-r_abs(in[l]));
        out[l] = r_sign(e / (1 + e), in[l]);
    }
}

inline_ real chance(int sigmoid, real x)
{
    if (!sigmoid) return x;
    return r_negative(x) ? -x : 1 - x;
}

/* What is not finite in a row of logits: one that is infinite is certain, two are undefined, and so are minus infinities
 * alone.  Returns what to measure the row from. */
__attribute__((noinline)) static real infinite_top(size_t classes, real *z, ptrdiff_t step, real top)
{
    size_t certain = 0;
    if (r_abs(top) < R_INF) return top;
    for (size_t k = 0; k < classes; k++) {
        real *const x = z + (ptrdiff_t)k * step;
        certain += *x == R_INF;
        *x = *x == R_INF ? 0 : *x == *x ? -R_INF : *x;
    }
    return certain == 1 ? 0 : R_NAN;
}

/* Exponentials of logits below their tops over their sum, of `count` positions: a literal.  Four of them at a time are
 * added as floats. */
inline_ void softmax_of(size_t count, size_t classes, const real *in, ptrdiff_t step, real *out, ptrdiff_t out_step,
                        real *tops, real *log_sums)
{
    enum { FOUR = 4 };
    real top[RUN], part[RUN];
    double sum[RUN];
    ireal infinite = 0;
    for (size_t l = 0; l < count; l++) top[l] = in[l];
    for (size_t k = 1; k < classes; k++)
        for (size_t l = 0; l < count; l++) top[l] = r_max(top[l], in[(ptrdiff_t)k * step + (ptrdiff_t)l]);
    for (size_t l = 0; l < count; l++) infinite |= (ireal) !(r_abs(top[l]) < R_INF);
    if (tops) memcpy(tops, top, count * sizeof *tops);
    if (infinite) {
        for (size_t k = 0; k < classes; k++)
            memmove(out + (ptrdiff_t)k * out_step, in + (ptrdiff_t)k * step, count * sizeof *out);
        in = out, step = out_step;
        for (size_t l = 0; l < count; l++) top[l] = infinite_top(classes, out + l, out_step, top[l]);
    }
    for (size_t from = 0; from < classes; from += FOUR) {
        const size_t to = classes - from < FOUR ? classes : from + FOUR;
        for (size_t l = 0; l < count; l++) part[l] = 0;
        for (size_t k = from; k < to; k++) {
            const real *const z = in + (ptrdiff_t)k * step;
            real *const e = out + (ptrdiff_t)k * out_step;
            INDEPENDENT
            for (size_t l = 0; l < count; l++) {
                const real x = exp_cell(z[l] - top[l]);
                e[l] = x;
                part[l] += x;
            }
        }
        if (classes > FOUR)
            for (size_t l = 0; l < count; l++) sum[l] = (from ? sum[l] : 0) + (double)part[l];
    }
    if (classes > FOUR)
        for (size_t l = 0; l < count; l++) part[l] = (real)sum[l];
    if (tops)
        for (size_t l = 0; l < count; l++) log_sums[l] = r_log(part[l]);
    for (size_t l = 0; l < count; l++) part[l] = 1 / part[l];
    for (size_t k = 0; k < classes; k++) {
        real *const p = out + (ptrdiff_t)k * out_step;
        INDEPENDENT
        for (size_t l = 0; l < count; l++) p[l] *= part[l];
    }
}

/* As many positions at a time as loops are worth their start, yet what is known of each stays near. */
#ifdef __AVX512F__
enum { SOFTMAX = RUN / 2, CHAINED = RUN / 2 };
#else
enum { SOFTMAX = RUN, CHAINED = RUN / 4 };
#endif

/* logs: NULL, or for what the logits are measured from, their largest, and after n of these the logarithms of the sums of
 * exponentials. */
static void region_softmax(size_t classes, size_t n, const void *z, ptrdiff_t z_step, void *p, ptrdiff_t p_step,
                           void *logs)
{
    real *const tops = logs;
    for (size_t l = 0; l < n; l += SOFTMAX)
        softmax_of(SOFTMAX, classes, (const real *)z + l, z_step, (real *)p + l, p_step, tops ? tops + l : NULL,
                   tops ? tops + n + l : NULL);
}

/* --- Sums ------------------------------------------------------------------------------------------------------------
 *
 * Four floats at a time are added as floats: as exact as the probabilities themselves, and a quarter of the
 * conversions. */
enum { FOURTH = TILE / 4 };

inline_ double fourth_sum(const double *lane)
{
    double a[FOURTH / 2];
    for (size_t l = 0; l < FOURTH / 2; l++) a[l] = lane[l] + lane[l + FOURTH / 2];
    return (a[0] + a[2]) + (a[1] + a[3]);
}

inline_ void overlap_sums(int sigmoid, int squared, size_t n, const real *restrict p, const real *restrict t,
                          double *restrict sums)
{
    double i[FOURTH] = {0}, of_p[FOURTH] = {0}, of_t[FOURTH] = {0};
    real rest_p[TILE], rest_t[TILE];
    for (size_t g = 0; g < n; g += TILE, p += TILE, t += TILE) {
        if (n - g < TILE) {
            const real none = sigmoid ? (real)-0.0 : 0;
            for (size_t l = 0; l < TILE; l++) {
                rest_p[l] = l < n - g ? p[l] : none;
                rest_t[l] = l < n - g ? t[l] : 0;
            }
            p = rest_p, t = rest_t;
        }
        for (size_t l = 0; l < FOURTH; l++) {
            const real a = chance(sigmoid, p[l]), b = chance(sigmoid, p[l + FOURTH]);
            const real c = chance(sigmoid, p[l + 2 * FOURTH]), d = chance(sigmoid, p[l + 3 * FOURTH]);
            const real x = t[l], y = t[l + FOURTH], z = t[l + 2 * FOURTH], w = t[l + 3 * FOURTH];
            i[l] += (double)(r_fma(a, x, b * y) + r_fma(c, z, d * w));
            of_p[l] += (double)(squared ? r_fma(a, a, b * b) + r_fma(c, c, d * d) : (a + b) + (c + d));
            of_t[l] += (double)(squared ? r_fma(x, x, y * y) + r_fma(z, z, w * w) : (x + y) + (z + w));
        }
    }
    sums[0] = fourth_sum(i), sums[1] = fourth_sum(of_p), sums[2] = fourth_sum(of_t);
}

static void region_sums(int sigmoid, int squared, size_t n, const void *p, const void *t, double sums[3])
{
    if (sigmoid && squared)
        overlap_sums(1, 1, n, p, t, sums);
    else if (sigmoid)
        overlap_sums(1, 0, n, p, t, sums);
    else if (squared)
        overlap_sums(0, 1, n, p, t, sums);
    else
        overlap_sums(0, 0, n, p, t, sums);
}

/* --- Derivatives ---------------------------------------------------------------------------------------------------
 *
 * The derivative by a probability p is by[0] t + by[1] p + by[2], for each class. */

inline_ void overlap_grad(int sigmoid, size_t n, const real *p, const real *t, const double *by, real *grad)
{
    const real by_t = (real)by[0], by_p = (real)by[1], by_1 = (real)by[2];
    INDEPENDENT
    for (size_t l = 0; l < n; l++) {
        const real small = r_abs(p[l]), slope = r_fma(by_t, t[l], r_fma(by_p, chance(sigmoid, p[l]), by_1));
        grad[l] = sigmoid ? slope * (small - small * small) : slope;
    }
}

static void region_grad(int sigmoid, size_t n, const void *p, const void *t, const double by[3], void *grad)
{
    if (sigmoid)
        overlap_grad(1, n, p, t, by, grad);
    else
        overlap_grad(0, n, p, t, by, grad);
}

/* From the derivatives a by softmax probabilities to those by the logits, p_k sum_j p_j (a_k - a_j).  All a are taken as
 * differences to that of the likeliest class: where it is nearly certain they would cancel otherwise. */
inline_ void overlap_chain(int loses, size_t classes, const real *p, ptrdiff_t p_step, const real *t, ptrdiff_t t_step,
                           const real *lost, ptrdiff_t lost_step, const double *by, real *grad, ptrdiff_t grad_step)
{
    real likeliest[CHAINED] = {0}, at[CHAINED] = {0}, mean[CHAINED] = {0}, sum[CHAINED] = {0};
    for (size_t k = 0; k < classes; k++) {
        const real by_t = (real)by[3 * k], by_p = (real)by[3 * k + 1], by_1 = (real)by[3 * k + 2];
        const real *const x = p + (ptrdiff_t)k * p_step, *const y = t + (ptrdiff_t)k * t_step;
        const real *const out = lost + (ptrdiff_t)k * lost_step;
        for (size_t l = 0; l < CHAINED; l++) {
            const real slope = r_fma(by_t, y[l], r_fma(by_p, x[l], by_1)), a = loses && out[l] != 0 ? 0 : slope;
            const int takes = x[l] > likeliest[l]; /* what came before then counts from a */
            mean[l] = r_fma(takes ? -sum[l] : x[l], a - at[l], mean[l]);
            at[l] = takes ? a : at[l];
            likeliest[l] = takes ? x[l] : likeliest[l];
            sum[l] += x[l];
        }
    }
    for (size_t k = 0; k < classes; k++) {
        const real by_t = (real)by[3 * k], by_p = (real)by[3 * k + 1], by_1 = (real)by[3 * k + 2];
        const real *const x = p + (ptrdiff_t)k * p_step, *const y = t + (ptrdiff_t)k * t_step;
        const real *const out = lost + (ptrdiff_t)k * lost_step;
        real *const g = grad + (ptrdiff_t)k * grad_step;
        INDEPENDENT
        for (size_t l = 0; l < CHAINED; l++) {
            const real slope = r_fma(by_t, y[l], r_fma(by_p, x[l], by_1)), a = loses && out[l] != 0 ? 0 : slope;
            g[l] = x[l] * ((a - at[l]) - mean[l]);
        }
    }
}

static void region_chain(size_t classes, size_t n, const void *p, ptrdiff_t p_step, const void *t, ptrdiff_t t_step,
                         const void *lost, ptrdiff_t lost_step, const double *by, void *grad, ptrdiff_t grad_step)
{
    const real *x = p, *y = t, *out = lost;
    real *g = grad;
    for (size_t l = 0; l < n; l += CHAINED) {
        if (lost)
            overlap_chain(1, classes, x + l, p_step, y + l, t_step, out + l, lost_step, by, g + l, grad_step);
        else
            overlap_chain(0, classes, x + l, p_step, y + l, t_step, y, 0, by, g + l, grad_step);
    }
}

/* --- Losses of positions ---------------------------------------------------------------------------------------------
 *
 * The class losses of a softmax, sum_k f(v_k t_k, p_k): with slopes b_k the gradient is b_k (1 - p_k) - p_k sum_{j != k}
 * b_j.  Positions that are to be left out have t = 0. */
enum { PIXEL_SUMS, PIXEL_SLOPES /* into grad */, PIXEL_GRADS /* from these */ };

inline_ void pixel_tile(class_formula *f, int what, real gamma, size_t classes, const real *restrict z,
                        ptrdiff_t z_step, const real *restrict tops, const real *restrict log_sums,
                        const real *restrict t, ptrdiff_t t_step, const double *restrict class_weight,
                        double *restrict loss, double *restrict weight, real scale, real *restrict slopes,
                        real *restrict grad, size_t grad_step)
{
    const real param[MAX_PARAM] = {gamma};
    for (size_t k = 0; k < classes; k++) {
        const real v = class_weight ? (real)class_weight[k] : 1;
        const real *const x = z + (ptrdiff_t)k * z_step, *const y = t + (ptrdiff_t)k * t_step;
        real *const g = what == PIXEL_SUMS ? NULL : grad + k * grad_step;
        real value[TILE], part[TILE];
        INDEPENDENT
        for (size_t l = 0; l < TILE; l++) {
            const real d = x[l] == tops[l] ? 0 : x[l] - tops[l], c = v * y[l], log_p = d - log_sums[l];
            const exp_pair e = exp_pair_cell(log_p);
            if (what == PIXEL_GRADS) {
                g[l] = scale * (-e.expm1 * g[l] - e.exp * (slopes[l] - g[l]));
                continue;
            }
            const class_jet j = f(c, e.exp, -e.expm1, log_p, param);
            if (what == PIXEL_SUMS)
                value[l] = j.value, part[l] = c;
            else
                g[l] = j.slope, slopes[l] += j.slope;
        }
        for (size_t l = 0; what == PIXEL_SUMS && l < TILE; l++)
            loss[l] += (double)value[l], weight[l] += (double)part[l];
    }
}

#define PIXEL_TILE(f, what)                                                                                            \
    pixel_tile(f, what, (real)gamma, classes, x + l, z_step, tops + l, tops + n + l, y + l, t_step, class_weight,      \
               loss, weight, (real)scale, slopes, grad ? g + l : NULL, n)

/* Either the sums of losses and of weights v t, or scale times the gradient. */
static void region_pixels(int focal, double gamma, size_t classes, size_t n, const void *z, ptrdiff_t z_step,
                          const void *logs, const void *t, ptrdiff_t t_step, const double *class_weight, double sums[2],
                          double scale, void *grad)
{
    const real *const x = z, *const y = t, *const tops = logs;
    real *const g = grad;
    double loss[LANES] = {0}, weight[LANES] = {0};
    for (size_t l = 0; l < n; l += TILE) {
        real slopes[TILE] = {0};
        if (focal && grad) {
            PIXEL_TILE(class_focal, PIXEL_SLOPES);
            PIXEL_TILE(class_focal, PIXEL_GRADS);
        } else if (focal)
            PIXEL_TILE(class_focal, PIXEL_SUMS);
        else if (grad) {
            PIXEL_TILE(class_crossentropy, PIXEL_SLOPES);
            PIXEL_TILE(class_crossentropy, PIXEL_GRADS);
        } else
            PIXEL_TILE(class_crossentropy, PIXEL_SUMS);
    }
    if (!grad) sums[0] = lane_sum(loss), sums[1] = lane_sum(weight);
}
#undef PIXEL_TILE

static void region_add(size_t n, const void *x, void *to)
{
    const real *restrict more = x;
    real *restrict y = to;
    for (size_t l = 0; l < n; l++) y[l] += more[l];
}

/* --- What masks are made of ---------------------------------------------------------------------------------------- */

/* Where the labels are k. */
static void region_hits(size_t n, const void *label, double k, void *t)
{
    const real *restrict x = label, class = (real)k;
    real *restrict out = t;
    for (size_t l = 0; l < n; l++) out[l] = x[l] == class ? 1 : 0;
}

/* Where a mask has the value to ignore: there it becomes 0. */
static void region_lose(size_t n, double ignore, void *t, void *lost)
{
    const real value = (real)ignore;
    real *restrict x = t, *restrict out = lost;
    for (size_t l = 0; l < n; l++) {
        out[l] = x[l] == value;
        x[l] = x[l] == value ? 0 : x[l];
    }
}

/* x, but the value where something is lost. */
static void region_drop(size_t n, const void *lost, double value, const void *x, void *out)
{
    const real *lose = lost, *in = x, none = (real)value;
    real *y = out;
    INDEPENDENT
    for (size_t l = 0; l < n; l++) y[l] = lose[l] != 0 ? none : in[l];
}
