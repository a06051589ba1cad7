/* Gradient descent of a linear model: the driver.  A batch is cut into blocks of rows, of which scores, losses, their
 * derivatives and the sum of the rows are formed while the rows are in the cache; blocks make up parts, which threads
 * share.  What is summed together depends on the sizes alone, so the number of threads changes no bit. */
#include "../parallel.h"
#include "../streams.h"

#include <math.h>
#include <string.h>

enum {
    BLOCK_ELEMENTS = 8192, /* of the rows of a block: they stay in the first-level cache */
    BLOCK_ROWS = 64,       /* at most; at least ROWS_AT_ONCE */
    ROWS_AT_ONCE = 4,      /* LINEAR_ROWS */
    PARTS = 32             /* of a batch, at most */
};

/* One batch. */
typedef struct {
    const lf_linear_call *call;
    const lf_pointwise *loss;
    const kernels *k;
    size_t size, first, rows, after, block, part, parts; /* after: rows from `first` on that some batch will want */
    double *sums;                                        /* parts x (features + 2): gradient, intercept, loss */
    char *scratch;                                       /* parts x features */
    const void *stream;                                  /* BLOCK_ROWS times param[0] */
    const void *center;                                  /* features */
    double offset;                                       /* intercept - center.coef */
} batch;

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static size_t block_rows(size_t features)
{
    const size_t rows = BLOCK_ELEMENTS / features / ROWS_AT_ONCE * ROWS_AT_ONCE;
    return rows < ROWS_AT_ONCE ? ROWS_AT_ONCE : rows < BLOCK_ROWS ? rows : BLOCK_ROWS;
}

static const char *row_of(const batch *b, size_t i)
{
    const lf_linear_call *const call = b->call;
    return (const char *)call->x + (call->order ? (size_t)call->order[i] : i) * call->features * b->size;
}

/* Elements i of an array that go with rows first ... first + n - 1. */
static void gather(const batch *b, const void *from, size_t first, size_t n, void *to)
{
    const int64_t *const order = b->call->order;
    if (!order)
        memcpy(to, (const char *)from + first * b->size, n * b->size);
    else if (b->size == sizeof(float))
        for (size_t i = 0; i < n; i++) ((float *)to)[i] = ((const float *)from)[order[first + i]];
    else
        for (size_t i = 0; i < n; i++) ((double *)to)[i] = ((const double *)from)[order[first + i]];
}

static double element(const batch *b, const void *x, size_t i)
{
    return b->size == sizeof(float) ? (double)((const float *)x)[i] : ((const double *)x)[i];
}

static void run_block(const batch *b, size_t first, size_t n, double *sums, void *scratch)
{
    _Alignas(64) char target[BLOCK_ROWS * sizeof(double)], weight[BLOCK_ROWS * sizeof(double)],
        z[BLOCK_ROWS * sizeof(double)], c[BLOCK_ROWS * sizeof(double)];
    const void *rows[BLOCK_ROWS], *ahead[BLOCK_ROWS];
    const lf_linear_call *const call = b->call;
    const size_t whole = (n + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE * ROWS_AT_ONCE, end = b->first + b->after,
                 features = call->features;
    for (size_t i = 0; i < whole; i++) rows[i] = row_of(b, first + least(i, n - 1));
    const int more = first + n < end;
    for (size_t i = 0; more && i < whole; i++) ahead[i] = row_of(b, least(first + n + i, end - 1));
    gather(b, call->target, first, n, target);
    if (call->weight) gather(b, call->weight, first, n, weight);
    b->k->linear_scores(whole, features, rows, more ? ahead : NULL, call->coef, b->offset, z);
    double loss;
    b->loss->run(n, target, z, call->weight ? weight : NULL, b->stream, call->param, 1, NULL, c, NULL, &loss);
    memset(c + n * b->size, 0, (whole - n) * b->size); /* of the last row, once more */
    b->k->linear_sums(whole, features, rows, more ? ahead : NULL, c, scratch, sums);
    sums[features] += b->k->sum(n, c);
    sums[features + 1] += loss;
}

static void run_parts(void *context, size_t first_part, size_t last_part)
{
    const batch *const b = context;
    const size_t width = b->call->features + 2;
    for (size_t p = first_part; p < last_part; p++) {
        double *const sums = b->sums + p * width;
        memset(sums, 0, width * sizeof *sums);
        const size_t begin = p * b->part, end = least(begin + b->part, b->rows);
        for (size_t i = begin; i < end; i += b->block)
            run_block(b, b->first + i, least(b->block, end - i), sums, b->scratch + p * b->call->features * b->size);
    }
}

/* The sums of the whole batch, as those of its first part. */
static lf_status run_batch(batch *b, const lf_control *control)
{
    double z[ROWS_AT_ONCE];
    const void *const centers[ROWS_AT_ONCE] = {b->center, b->center, b->center, b->center};
    b->k->linear_scores(ROWS_AT_ONCE, b->call->features, centers, NULL, b->call->coef, 0, z);
    b->offset = element(b, b->call->intercept, 0) - element(b, z, 0);
    const size_t width = b->call->features + 2, blocks = (b->rows + b->block - 1) / b->block;
    b->part = (blocks + PARTS - 1) / PARTS * b->block;
    b->parts = (b->rows + b->part - 1) / b->part;
    const lf_status status = lf_parallel(b->parts, b->part * b->call->features, control, run_parts, b);
    for (size_t p = 1; p < b->parts; p++)
        for (size_t i = 0; i < width; i++) b->sums[i] += b->sums[p * width + i];
    return status;
}

static void set(const batch *b, void *x, size_t i, double value)
{
    if (b->size == sizeof(float))
        ((float *)x)[i] = (float)value;
    else
        ((double *)x)[i] = value;
}

static size_t head_bytes(size_t features) { return (BLOCK_ROWS + features) * sizeof(double); }

size_t lf_linear_workspace(lf_dtype dtype, const lf_linear_call *call)
{
    const size_t size = lf_itemsize(dtype), most = (size_t)1 << 48;
    if (!call->features || call->features > most / PARTS / sizeof(double) / 4) return 0;
    const size_t parts = least(PARTS, call->batch / block_rows(call->features) + 1);
    return head_bytes(call->features) + parts * ((call->features + 2) * sizeof(double) + call->features * size);
}

lf_status lf_linear_run(const lf_pointwise *loss, lf_dtype dtype, const lf_linear_call *call, void *workspace,
                        size_t size, const lf_control *control, size_t *done)
{
    *done = 0;
    if (!loss || (dtype != LF_F32 && dtype != LF_F64) || !call->features || !call->batch || !call->x || !call->target ||
        !call->coef || !call->intercept || !call->loss || (loss->nparam && !call->param))
        return LF_BAD_ARGUMENT;
    if (!call->rate && (!call->by_coef || !call->by_intercept)) return LF_BAD_ARGUMENT;
    const size_t needed = lf_linear_workspace(dtype, call);
    if (!needed || !workspace || size < needed) return LF_BAD_ARGUMENT;
    if (call->n > call->rows && !call->order) return LF_BAD_ARGUMENT;
    for (size_t i = 0; call->order && i < call->n; i++)
        if (call->order[i] < 0 || (uint64_t)call->order[i] >= call->rows) return LF_BAD_ARGUMENT;

    const kernels *const k = lf_kernels(dtype);
    const size_t features = call->features, parts = least(PARTS, call->batch / block_rows(features) + 1);
    char *const stream = workspace, *const zeros = stream + BLOCK_ROWS * sizeof(double);
    batch b = {.call = call,
               .loss = &k->pointwise[loss - lf_base_f32.pointwise],
               .k = k,
               .size = lf_itemsize(dtype),
               .block = block_rows(features),
               .stream = stream,
               .center = call->center ? call->center : zeros};
    memset(zeros, 0, features * sizeof(double));
    b.sums = (double *)(stream + head_bytes(features));
    b.scratch = (char *)(b.sums + parts * (features + 2));
    for (size_t i = 0; i < BLOCK_ROWS; i++) set(&b, stream, i, loss->nparam ? call->param[0] : 0);
    *call->loss = 0;
    const size_t most = least(call->batch, call->n);
    for (size_t step = 0, first = 0; first < call->n; step++, first += most) {
        b.first = first;
        b.rows = least(most, call->n - first);
        b.after = call->n - first;
        const lf_status status = run_batch(&b, control);
        if (status) return status;
        const double scale = 1 / (double)b.rows, by_intercept = b.sums[features], total = b.sums[features + 1];
        *call->loss += total;
        if (!call->rate) {
            for (size_t i = 0; i < features; i++)
                set(&b, call->by_coef, i, scale * (b.sums[i] - by_intercept * element(&b, b.center, i)));
            set(&b, call->by_intercept, 0, scale * by_intercept);
        } else {
            if (!(fabs(total) < INFINITY)) return LF_OK;
            const double rate = call->rate[call->rates > 1 ? step : 0];
            k->linear_step(features, b.sums, b.center, by_intercept, scale, rate, call->l1, call->l2, call->coef);
            if (!call->fixed_intercept)
                set(&b, call->intercept, 0, element(&b, call->intercept, 0) - rate * scale * by_intercept);
        }
        ++*done;
    }
    return LF_OK;
}
