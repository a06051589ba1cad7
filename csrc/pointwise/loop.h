/* The one pointwise loop.  f, streamed, weighted and want are literals at every call, so that each call becomes a
 * vector loop of its own, and what want leaves out of the jet is never computed. */
enum { VALUE = 1, GRAD = 2, HESS = 4, SUM = 8 };

typedef jet formula(real target, real pred, const real *param);

inline_ void lanes(formula *f, int streamed, int weighted, unsigned want, const real *restrict target,
                   const real *restrict pred, const real *restrict weight, const real *restrict stream,
                   const real *restrict param, real scale, real *restrict value, real *restrict grad,
                   real *restrict hess, double *restrict sum)
{
    for (size_t l = 0; l < LANES; l++) {
        const real here[MAX_PARAM] = {streamed ? stream[l] : param[0], param[1], param[2], param[3], param[4]};
        const jet j = f(target[l], pred[l], here);
        const real w = weighted ? weight[l] : 1;
        if (want & VALUE) value[l] = w * j.value;
        if (want & SUM) sum[l] += (double)(w * j.value);
        if (want & GRAD) grad[l] = scale * w * j.grad;
        if (want & HESS) hess[l] = scale * w * j.hess;
    }
}

/* A tail of less than LANES elements, filled up with elements of weight 0 at which every loss is finite. */
typedef struct {
    real target[LANES], pred[LANES], weight[LANES], stream[LANES], value[LANES], grad[LANES], hess[LANES];
} padded;

__attribute__((noinline)) static const real *pad(real *to, const real *from, size_t n, real rest)
{
    padded_copy(to, from, n, rest);
    return to;
}

/* Whole groups of LANES elements first, then the tail, through the same loop: its code is there once.  The sum is
 * formed in lanes as by block_sum, without a second pass over stored values.  Without weights there must be no tail. */
inline_ void loop(formula *f, int streamed, int weighted, unsigned want, size_t n, const real *target, const real *pred,
                  const real *weight, const real *stream, const real *param, real scale, real *value, real *grad,
                  real *hess, double *sum)
{
    const real half = (real)0.5;
    double lane[LANES] = {0};
    padded tail;
    size_t groups = n / LANES;
    const size_t left = weighted ? n % LANES : 0;
    real *const value_end = value + (n - left), *const grad_end = grad + (n - left),
                *const hess_end = hess + (n - left);
    for (int more = left != 0;; more = 0) {
        for (size_t g = 0; g < groups; g++) {
            look_ahead(target + BLOCK / 2);
            look_ahead(pred + BLOCK / 2);
            lanes(f, streamed, weighted, want, target, pred, weight, stream, param, scale, value, grad, hess, lane);
            target += LANES, pred += LANES, weight += weighted ? LANES : 0, stream += streamed ? LANES : 0;
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

/* Each loop takes its space in every loss, so there are those that are called most.  The Hessian comes only with all.
 * The sum has loops of its own in float32, where FMA is and a loss is short, with the gradient, or without weights,
 * which saves a load and two multiplications too; else the values are summed when they are there.  All give the same
 * bits. */
static const real ones[BLOCK] = {[0 ... BLOCK - 1] = 1};
enum { UNWEIGHTED = 16, SHORT = 4 /* parameters at most */ };

#define LOOP(weighted, want)                                                                                           \
    loop(f, streamed, weighted, want, n, target, pred, weight, stream, p, (real)scale, value, grad, hess, sum)
#define WANT(w, weighted, has)                                                                                         \
    case w:                                                                                                            \
        if (has) LOOP(weighted, (w) & ~UNWEIGHTED);                                                                    \
        break

inline_ void pointwise(formula *f, size_t nparam, int streamed, size_t n, const void *target, const void *pred,
                       const void *weight, const void *stream, const double *param, double scale, void *value,
                       void *grad, void *hess, double *sum)
{
    real p[MAX_PARAM] = {0};
    for (size_t k = 0; k < nparam; k++) p[k] = (real)param[k];
    real values[BLOCK];
    double *later = NULL;
    const int sums = LF_BITS == 32 && R_HAS_FMA && nparam <= SHORT;
    const int unweighted = sums && !weight && (sum || !grad) && !hess && n % LANES == 0;
    if (sum && !unweighted && !(sums && grad && !hess)) value = values, later = sum, sum = NULL;
    if (hess && !value) value = values;
    if (!weight) weight = ones;
    switch ((value ? VALUE : 0) | (grad ? GRAD : 0) | (hess ? HESS : 0) | (sum ? SUM : 0) |
            (unweighted ? UNWEIGHTED : 0)) {
        WANT(VALUE, 1, 1);
        WANT(GRAD, 1, 1);
        WANT(VALUE | GRAD, 1, 1);
        WANT(VALUE | GRAD | HESS, 1, 1);
        WANT(SUM | GRAD, 1, sums);
        WANT(UNWEIGHTED | VALUE, 0, sums);
        WANT(UNWEIGHTED | SUM, 0, sums);
        WANT(UNWEIGHTED | SUM | GRAD, 0, sums);
    }
    if (later) *later = block_sum(n, value);
}
#undef WANT
#undef LOOP
