/* The one loop of the optimizers: an update is a pointwise map with state.
 *
 * f and nstate are literals at every call.  What all updates have in common is here: the gradient is scaled (a clipped
 * norm), clipped, and joined by the coupled decay of the weights; decoupled decay shrinks the weights themselves. */
typedef struct {
    real w, s[MAX_STATE];
} point;

typedef point update(point x, real g, const real *h);

inline_ void step_lanes(update *f, size_t nstate, const real *h, const real *restrict grad, real *restrict weight,
                        real *restrict s0, real *restrict s1, real *restrict s2)
{
    const real scale = h[STEP_SCALE], clip = h[STEP_CLIP], decay = h[STEP_DECAY], keep = h[STEP_KEEP];
    for (size_t l = 0; l < LANES; l++) {
        const real w = weight[l], g = r_min(r_max(scale * grad[l], -clip), clip);
        point x = {.w = keep * w};
        if (nstate > 0) x.s[0] = s0[l];
        if (nstate > 1) x.s[1] = s1[l];
        if (nstate > 2) x.s[2] = s2[l];
        x = f(x, r_fma(decay, w, g), h);
        weight[l] = x.w;
        if (nstate > 0) s0[l] = x.s[0];
        if (nstate > 1) s1[l] = x.s[1];
        if (nstate > 2) s2[l] = x.s[2];
    }
}

__attribute__((noinline)) static void step_param(const double *param, real *h)
{
    for (size_t k = 0; k < MAX_STEP_PARAM; k++) h[k] = (real)param[k];
}

/* Whole groups of LANES elements first, then the tail, filled up with zeros, through the same loop: its code is there
 * once. */
inline_ void step_loop(update *f, size_t nstate, size_t n, const double *param, const void *grad, void *weight,
                       void *const *state)
{
    real h[MAX_STEP_PARAM], tail[2 + MAX_STATE][LANES] = {{0}};
    step_param(param, h);
    const real *g = grad;
    real *x[1 + MAX_STATE] = {weight}, *end[1 + MAX_STATE] = {NULL};
    for (size_t k = 0; k < nstate; k++) x[1 + k] = state[k];
    size_t groups = n / LANES;
    const size_t left = n % LANES;
    for (int more = left != 0;; more = 0) {
        for (size_t i = 0; i < groups; i++) {
            look_ahead(g + BLOCK / 2);
            for (size_t k = 0; k < 1 + nstate; k++) look_ahead(x[k] + BLOCK / 2);
            step_lanes(f, nstate, h, g, x[0], x[1], x[2], x[3]);
            g += LANES;
            for (size_t k = 0; k < 1 + nstate; k++) x[k] += LANES;
        }
        if (!more) break;
        g = memcpy(tail[1 + MAX_STATE], g, left * sizeof(real));
        for (size_t k = 0; k < 1 + nstate; k++) {
            end[k] = x[k];
            x[k] = memcpy(tail[k], x[k], left * sizeof(real));
        }
        groups = 1;
    }
    for (size_t k = 0; left && k < 1 + nstate; k++) memcpy(end[k], tail[k], left * sizeof(real));
}

/* The squares of a block, of each element times a power of two, in the lanes of block_sum. */
static double block_squares(size_t n, const void *values, double factor)
{
    const real *restrict x = values;
    double lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            const double y = factor * (double)x[i + l];
            lane[l] = d_fma(y, y, lane[l]);
        }
    for (int l = 0; i + l < n; l++) {
        const double y = factor * (double)x[i + l];
        lane[l] = d_fma(y, y, lane[l]);
    }
    return lane_sum(lane);
}
