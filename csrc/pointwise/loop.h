/* The one pointwise loop.  f, streamed and want are literals at every call, so that each call becomes a vector loop of
 * its own, and what want leaves out of the jet is never computed. */
enum { VALUE = 1, GRAD = 2, HESS = 4, SUM = 8 };

typedef jet formula(real target, real pred, const real *param);

inline_ void lanes(formula *f, int streamed, unsigned want, const real *restrict target, const real *restrict pred,
                   const real *restrict weight, const real *restrict stream, const real *restrict param, real scale,
                   real *restrict value, real *restrict grad, real *restrict hess, double *restrict sum)
{
    for (size_t l = 0; l < LANES; l++) {
        const real here[MAX_PARAM] = {streamed ? stream[l] : param[0], param[1], param[2], param[3], param[4]};
        const jet j = f(target[l], pred[l], here);
        if (want & VALUE) value[l] = weight[l] * j.value;
        if (want & SUM) sum[l] += (double)(weight[l] * j.value);
        if (want & GRAD) grad[l] = scale * weight[l] * j.grad;
        if (want & HESS) hess[l] = scale * weight[l] * j.hess;
    }
}

/* Asks for the group that comes half a block later, be it in the next block: processors look ahead less far, and not
 * into the next page of memory. */
inline_ void look_ahead(const real *x)
{
    enum { AHEAD = 512, LINE = 64 };
    for (size_t byte = 0; byte < LANES * sizeof(real); byte += LINE)
        __builtin_prefetch((const char *)(x + AHEAD) + byte);
}

/* A tail of less than LANES elements, filled up with elements of weight 0 at which every loss is finite. */
typedef struct {
    real target[LANES], pred[LANES], weight[LANES], stream[LANES], value[LANES], grad[LANES], hess[LANES];
} padded;

__attribute__((noinline)) static const real *pad(real *to, const real *from, size_t n, real rest)
{
    for (size_t l = 0; l < LANES; l++) to[l] = l < n ? from[l] : rest;
    return to;
}

/* Whole groups of LANES elements first, then the tail, through the same loop: its code is there once.  The sum is
 * formed in lanes as by block_sum, without a second pass over stored values. */
inline_ void loop(formula *f, int streamed, unsigned want, size_t n, const real *target, const real *pred,
                  const real *weight, const real *stream, const real *param, real scale, real *value, real *grad,
                  real *hess, double *sum)
{
    const real half = (real)0.5;
    double lane[LANES] = {0};
    padded tail;
    size_t groups = n / LANES;
    const size_t left = n % LANES;
    real *const value_end = value + (n - left), *const grad_end = grad + (n - left),
                *const hess_end = hess + (n - left);
    for (int more = left != 0;; more = 0) {
        for (size_t g = 0; g < groups; g++) {
            look_ahead(target);
            look_ahead(pred);
            lanes(f, streamed, want, target, pred, weight, stream, param, scale, value, grad, hess, lane);
            target += LANES, pred += LANES, weight += LANES, stream += streamed ? LANES : 0;
            value += want & VALUE ? LANES : 0, grad += want & GRAD ? LANES : 0, hess += want & HESS ? LANES : 0;
        }
        if (!more) break;
        target = pad(tail.target, target, left, half);
        pred = pad(tail.pred, pred, left, half);
        weight = pad(tail.weight, weight, left, 0);
        if (streamed) stream = pad(tail.stream, stream, left, half);
        value = tail.value, grad = tail.grad, hess = tail.hess;
        groups = 1;
    }
    if (left && want & VALUE) memcpy(value_end, tail.value, left * sizeof(real));
    if (left && want & GRAD) memcpy(grad_end, tail.grad, left * sizeof(real));
    if (left && want & HESS) memcpy(hess_end, tail.hess, left * sizeof(real));
    if (want & SUM) { /* of a copy: lanes whose address nobody has stay in registers */
        double total[LANES];
        memcpy(total, lane, sizeof total);
        *sum = lane_sum(total);
    }
}

#define WANT(w)                                                                                                        \
    case w: loop(f, streamed, w, n, target, pred, weight, stream, p, (real)scale, value, grad, hess, sum); break

inline_ void pointwise(formula *f, size_t nparam, int streamed, size_t n, const void *target, const void *pred,
                       const void *weight, const void *stream, const double *param, double scale, void *value,
                       void *grad, void *hess, double *sum)
{
    real p[MAX_PARAM] = {0};
    for (size_t k = 0; k < nparam; k++) p[k] = (real)param[k];
    switch ((value ? VALUE : 0) | (grad ? GRAD : 0) | (hess ? HESS : 0) | (sum ? SUM : 0)) {
        WANT(VALUE);
        WANT(SUM);
        WANT(GRAD);
        WANT(VALUE | GRAD);
        WANT(SUM | GRAD);
        WANT(GRAD | HESS);
        WANT(VALUE | GRAD | HESS);
        WANT(SUM | GRAD | HESS);
    }
}
#undef WANT
