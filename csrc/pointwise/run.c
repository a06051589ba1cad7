/* The driver of the pointwise losses: checks the arguments, cuts the work into blocks, hands each block's streams to
 * the kernel, and combines sums exactly. */
#include "../kernels.h"
#include "../parallel.h"
#include "../streams.h"

#include <float.h>
#include <math.h>
#include <string.h>

const lf_pointwise *lf_pointwise_at(size_t i) { return i < lf_base_f32.npointwise ? &lf_base_f32.pointwise[i] : NULL; }

const lf_pointwise *lf_pointwise_find(const char *name)
{
    const lf_pointwise *loss;
    for (size_t i = 0; (loss = lf_pointwise_at(i)) && strcmp(loss->name, name); i++) {}
    return loss;
}

const char *lf_pointwise_name(const lf_pointwise *loss) { return loss->name; }
size_t lf_pointwise_nparam(const lf_pointwise *loss) { return loss->nparam; }

/* The row of a loss for arithmetic of another dtype: the kernel, and the domain with its bounds rounded. */
static const lf_pointwise *row_for(const lf_pointwise *loss, lf_dtype dtype)
{
    return &lf_kernels(dtype)->pointwise[loss - lf_base_f32.pointwise];
}

lf_domain lf_pointwise_domain(const lf_pointwise *loss, lf_dtype dtype, lf_status operand)
{
    loss = row_for(loss, dtype);
    return operand == LF_BAD_TARGET ? loss->target : operand == LF_BAD_PRED ? loss->pred : loss->stream;
}

const char *lf_status_string(lf_status status)
{
    static const char *const text[] = {"ok",
                                       "bad argument",
                                       "target outside the loss's domain",
                                       "prediction outside the loss's domain",
                                       "weight negative or not finite",
                                       "parameter array outside the loss's domain",
                                       "interrupted",
                                       "label length out of range",
                                       "logit length out of range",
                                       "sizes beyond any memory"};
    return (size_t)status < sizeof text / sizeof *text ? text[status] : "unknown status";
}

enum { TARGET, PRED, STREAM, WEIGHT, NIN };
enum { VALUE, GRAD, HESS, NOUT };
enum { IN_PLACE, CONVERTED, ASIDE }; /* outputs: where they stand, as a block of another dtype, by another layout */
enum { STREAM_FROM = 24 << 20 };     /* bytes of an output: measured, where writing past the caches begins to pay */
static const lf_status BAD[NIN] = {LF_BAD_TARGET, LF_BAD_PRED, LF_BAD_STREAM, LF_BAD_WEIGHT};
static const lf_domain WEIGHTS = {.low = 0, .high = DBL_MAX, .no_nan = 1};

/* One call, shared by its threads. */
typedef struct {
    const lf_pointwise *loss; /* NULL: only sum the weights */
    const lf_call *call;
    lf_dtype dtype;
    lf_array in[NIN], out[NOUT];
    lf_array moment_weight; /* moments weigh the losses themselves, in double */
    int reads[NIN], checks[NIN];
    lf_domain domain[NIN];
    int spills[NOUT]; /* the kernel writes aside first: another dtype or layout, or an array that is read */
    int streams;      /* outputs are so large that they are written past the caches */
    int check_only;
    int values; /* the losses are wanted in a block of their own: for sums of rows, and moments */
    int sums;   /* the sum of each block is wanted */

    lf_exact sum; /* below: under lf_lock */
    lf_moments moments;
    lf_status status;
    size_t bad;
} job;

/* One thread's share of it. */
typedef struct {
    job *j;
    const kernels *k;
    size_t size; /* of an element */
    lf_buffer in[NIN], moment_weight, out[NOUT];
    void *values; /* of the last block, */
    double sum;   /* or their sum */
} worker;

static void start(worker *w, job *j)
{
    w->j = j;
    w->k = lf_kernels(j->dtype);
    w->size = lf_itemsize(j->dtype);
    for (int i = 0; i < NIN; i++) w->in[i].repeated = 0;
    w->moment_weight.repeated = 0;
}

static void report(job *j, lf_status status, size_t index)
{
    lf_lock();
    if (j->status == LF_OK || index < j->bad) {
        j->status = status;
        j->bad = index;
    }
    lf_unlock();
}

/* Elements first ... first + n - 1, n <= BLOCK.  Returns 0 if one of them is outside the domain. */
static int do_block(worker *w, size_t first, size_t n)
{
    job *const j = w->j;
    const void *in[NIN] = {NULL};
    size_t bad = n;
    lf_status status = LF_OK;
    for (int i = 0; i < NIN; i++) {
        if (!j->reads[i]) continue;
        in[i] = lf_read(&j->in[i], j->dtype, first, n, &w->in[i]);
        if (first + n < j->call->n) lf_prefetch(&j->in[i], first + n);
        if (!j->checks[i]) continue;
        const size_t at = w->k->check(n, in[i], j->domain[i]);
        if (at < bad) bad = at, status = BAD[i];
    }
    if (bad < n) {
        report(j, status, first + bad);
        return 0;
    }
    if (j->check_only) return 1;
    if (!j->loss) {
        w->sum = w->k->sum(n, in[WEIGHT]);
        return 1;
    }

    const size_t size = w->size;
    void *out[NOUT];
    for (int o = 0; o < NOUT; o++) {
        const int here = j->out[o].data && !j->spills[o] && !j->streams,
                  aside = j->out[o].data || (o == VALUE && j->values);
        out[o] = here ? j->out[o].data + first * size : aside ? w->out[o].block : NULL;
    }
    if (out[HESS] && !out[GRAD]) out[GRAD] = w->out[GRAD].block; /* as kernels.h asks */
    j->loss->run(n, in[TARGET], in[PRED], in[WEIGHT], in[STREAM], j->call->param, j->call->scale, out[VALUE], out[GRAD],
                 out[HESS], j->sums && !out[VALUE] ? &w->sum : NULL);
    if (j->sums && out[VALUE]) w->sum = w->k->sum(n, out[VALUE]);
    lf_ahead ahead;
    lf_after(&j->in[TARGET], &j->in[PRED], first + n, j->call->n, &ahead);
    for (int o = 0; o < NOUT; o++) {
        if (!j->out[o].data) continue;
        if (j->spills[o] == CONVERTED && j->streams)
            lf_write_stream(&j->out[o], j->dtype, first, n, out[o], &ahead);
        else if (j->spills[o])
            lf_write(&j->out[o], j->dtype, first, n, out[o]);
        else if (j->streams)
            lf_stream(&j->out[o], first, n, out[o], &ahead);
    }
    w->values = out[VALUE];
    return 1;
}

static size_t block_at(size_t first, size_t end) { return end - first < BLOCK ? end - first : BLOCK; }

/* Units are blocks. */
static void run_blocks(void *context, size_t first_block, size_t last_block)
{
    job *const j = context;
    const size_t n = j->call->n;
    worker w;
    start(&w, j);
    lf_exact sum;
    lf_moments moments;
    if (j->call->moments)
        memset(&moments, 0, sizeof moments);
    else if (j->sums)
        memset(&sum, 0, sizeof sum);
    for (size_t b = first_block; b < last_block; b++) {
        const size_t first = b * BLOCK, m = block_at(first, n);
        if (!do_block(&w, first, m)) return;
        if (j->call->moments && !j->check_only) {
            const double *weight =
                j->moment_weight.data ? lf_read(&j->moment_weight, LF_F64, first, m, &w.moment_weight) : NULL;
            lf_ahead ahead;
            lf_after(&j->in[TARGET], &j->in[PRED], first + m, n, &ahead);
            w.k->moments(m, w.values, weight, &ahead, &moments);
        } else if (j->sums && !j->check_only)
            lf_exact_add(&sum, w.sum);
    }
    if (j->streams) lf_streamed();
    if (j->check_only || !(j->sums || j->call->moments)) return;
    lf_lock();
    if (j->call->moments)
        lf_moments_merge(&j->moments, &moments);
    else
        lf_exact_merge(&j->sum, &sum);
    lf_unlock();
}

/* Units are rows: each has a sum of its own. */
static void run_rows(void *context, size_t first_row, size_t last_row)
{
    job *const j = context;
    const size_t row = j->call->row;
    worker w;
    start(&w, j);
    if (row <= BLOCK) {
        const size_t rows = BLOCK / row;
        for (size_t r = first_row; r < last_row; r += rows) {
            const size_t m = last_row - r < rows ? last_row - r : rows;
            if (!do_block(&w, r * row, m * row)) return;
            if (j->check_only) continue;
            for (size_t i = 0; i < m; i++)
                j->call->sum[r + i] = w.k->sum(row, (const char *)w.values + i * row * w.size);
        }
        if (j->streams) lf_streamed();
        return;
    }
    for (size_t r = first_row; r < last_row; r++) {
        lf_exact sum = {.special = 0};
        for (size_t first = r * row; first < (r + 1) * row; first += BLOCK) {
            const size_t m = block_at(first, (r + 1) * row);
            if (!do_block(&w, first, m)) return;
            if (!j->check_only) lf_exact_add(&sum, w.k->sum(m, w.values));
        }
        if (!j->check_only) j->call->sum[r] = lf_exact_round(&sum);
    }
    if (j->streams) lf_streamed();
}

static lf_status run_units(job *j, const lf_control *control)
{
    const size_t n = j->call->n, row = j->call->row;
    const lf_status status = row ? lf_parallel(n / row, row, control, run_rows, j)
                                 : lf_parallel((n + BLOCK - 1) / BLOCK, BLOCK, control, run_blocks, j);
    return j->status ? j->status : status;
}

/* The whole call in one block, without threads or exact sums: what small arrays cost. */
static lf_status run_small(job *j)
{
    worker w;
    start(&w, j);
    if (!do_block(&w, 0, j->call->n)) return j->status;
    if (j->sums) *j->call->sum = w.sum;
    return LF_OK;
}

static int matters(lf_domain d) { return d.sign_labels || d.low != -INFINITY || d.high != INFINITY; }

static int open_in(job *j, int i, lf_in in, const void *otherwise)
{
    const int given = in.data != NULL;
    if (!given && !otherwise) return j->call->n == 0;
    j->reads[i] = 1;
    return given ? lf_open(&j->in[i], j->dtype, in.data, in.dtype, in.stride, in.layout)
                 : lf_open(&j->in[i], j->dtype, otherwise, LF_F64, 0, NULL);
}

/* The addresses from the lowest to one past the highest of an array of n elements. */
static void span(const lf_array *a, size_t n, const char **low, const char **high)
{
    *low = *high = a->data;
    for (int k = 0; k < a->ndim; k++) {
        const ptrdiff_t reach =
            a->ndim == 1 ? (ptrdiff_t)(n - 1) * a->stride : (ptrdiff_t)(a->shape[k] - 1) * a->strides[k];
        *(reach < 0 ? low : high) += reach;
    }
    *high += lf_itemsize(a->dtype);
}

static int open_out(job *j, int o, lf_out out)
{
    if (!lf_open(&j->out[o], j->dtype, out.data, out.data ? out.dtype : j->dtype, out.stride, out.layout)) return 0;
    if (!out.data || !j->call->n) return 1;
    if (!lf_kernels(j->dtype)->store[out.dtype]) return 0;
    const lf_array *const a = &j->out[o];
    const int dense = a->ndim == 1 && a->stride == (ptrdiff_t)lf_itemsize(a->dtype);
    j->spills[o] = a->in_place ? IN_PLACE : dense ? CONVERTED : ASIDE;
    const char *low, *high, *low_in, *high_in;
    span(&j->out[o], j->call->n, &low, &high);
    for (int i = 0; i < NIN; i++) {
        if (!j->reads[i]) continue;
        span(&j->in[i], j->call->n, &low_in, &high_in);
        if (low < high_in && low_in < high) j->spills[o] = ASIDE;
    }
    return 1;
}

lf_status lf_pointwise_run(const lf_pointwise *loss, lf_dtype dtype, const lf_call *call, const lf_control *control,
                           lf_failure *failure)
{
    if (!loss || !call || (dtype != LF_F32 && dtype != LF_F64) || (loss->nparam && !call->param))
        return LF_BAD_ARGUMENT;
    if (call->row && (!call->sum || call->n % call->row)) return LF_BAD_ARGUMENT;
    const int arrays = call->value.data || call->grad.data || call->hess.data;
    if (call->moments && (arrays || call->sum)) return LF_BAD_ARGUMENT;

    job j;
    memset(&j.reads, 0, sizeof j.reads);
    memset(&j.spills, 0, sizeof j.spills);
    j.loss = row_for(loss, dtype);
    j.call = call;
    j.dtype = dtype;
    j.check_only = 0;
    j.streams = call->n * lf_itemsize(dtype) >= STREAM_FROM;
    j.values = call->row || call->moments;
    j.sums = call->sum && !call->row;
    j.status = LF_OK;
    if (!open_in(&j, TARGET, call->target, NULL) || !open_in(&j, PRED, call->pred, NULL) ||
        (loss->streamed && !open_in(&j, STREAM, call->stream, call->param)) ||
        (call->weight.data && !call->moments && !open_in(&j, WEIGHT, call->weight, NULL)) ||
        !open_out(&j, VALUE, call->value) || !open_out(&j, GRAD, call->grad) || !open_out(&j, HESS, call->hess) ||
        !lf_open(&j.moment_weight, LF_F64, call->weight.data, call->weight.data ? call->weight.dtype : LF_F64,
                 call->weight.stride, call->weight.layout))
        return LF_BAD_ARGUMENT;
    const lf_domain domain[NIN] = {j.loss->target, j.loss->pred, j.loss->stream, WEIGHTS};
    int checks = 0;
    for (int i = 0; i < NIN; i++) {
        j.domain[i] = domain[i];
        j.checks[i] = i != WEIGHT && j.reads[i] && !call->unchecked && matters(domain[i]);
        checks |= j.checks[i];
    }

    lf_status status = LF_OK;
    if (call->n <= BLOCK && !call->row && !call->moments) {
        status = call->n ? run_small(&j) : LF_OK;
        if (!call->n && call->sum) *call->sum = 0;
    } else {
        if (call->sum && !call->row) memset(&j.sum, 0, sizeof j.sum);
        if (call->moments) memset(&j.moments, 0, sizeof j.moments);
        if (checks && (arrays || call->row)) { /* nothing may be written before everything is known to be good */
            j.check_only = 1;
            status = run_units(&j, control);
            j.check_only = 0;
            memset(&j.checks, 0, sizeof j.checks);
        }
        if (!status) status = run_units(&j, control);
        if (!status && call->sum && !call->row) *call->sum = lf_exact_round(&j.sum);
        if (!status && call->moments) lf_moments_merge(call->moments, &j.moments);
    }
    if (failure) failure->index = j.bad;
    return status;
}

lf_status lf_weight_sum(lf_in weight, size_t n, double *sum, const lf_control *control, lf_failure *failure)
{
    const lf_call call = {.n = n, .sum = sum};
    job j = {.call = &call, .sums = 1, .status = LF_OK};
    const int single = weight.dtype == LF_F32 || weight.dtype == LF_F16 || weight.dtype == LF_BF16;
    j.dtype = single ? LF_F32 : LF_F64; /* either holds the weights as they are */
    if (!sum || !open_in(&j, WEIGHT, weight, NULL)) return LF_BAD_ARGUMENT;
    j.domain[WEIGHT] = WEIGHTS;
    j.checks[WEIGHT] = 1;
    const lf_status status = n ? run_units(&j, control) : LF_OK;
    if (!status) *sum = lf_exact_round(&j.sum);
    if (failure) failure->index = j.bad;
    return status;
}
