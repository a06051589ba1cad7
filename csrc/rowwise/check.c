/* What is looked at before a class loss is computed: labels, targets, weights, temperatures, and their totals. */
#include "../parallel.h"
#include "labels.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Labels that can be read where they stand, or NULL. */
static const int64_t *stored(const lf_array *labels, size_t first)
{
    const char *const data = labels->data + first * sizeof(int64_t);
    const int plain = labels->ndim == 1 && labels->dtype == LF_I64 && labels->stride == sizeof(int64_t);
    return plain && (uintptr_t)data % sizeof(int64_t) == 0 ? (const int64_t *)data : NULL;
}

/* Whether all labels are those of classes, and none may be ignored. */
static int all_classes(size_t n, const int64_t *label, const lf_row_call *call)
{
    const int64_t classes = (int64_t)call->classes;
    uint64_t outside = 0; /* its sign bit: of a label, or of the last class minus a label */
    for (size_t i = 0; i < n; i++) outside |= (uint64_t)label[i] | ((uint64_t)(classes - 1) - (uint64_t)label[i]);
    return !(outside >> 63) && !(call->has_ignore && call->ignore >= 0 && call->ignore < classes);
}

/* Through int64 for integers, through double for floats: a double that is an integer in range is one exactly. */
int lf_labels(const lf_array *labels, const lf_row_call *call, size_t first, size_t n, int64_t *out)
{
    const int64_t classes = (int64_t)call->classes;
    const lf_dtype dtype = labels->dtype;
    lf_buffer numbers;
    const int64_t *const here = stored(labels, first);
    if (here)
        memcpy(out, here, n * sizeof *out);
    else if (dtype == LF_I64 || dtype == LF_U64) { /* doubles would not hold them: as two halves of bits */
        lf_array half = *labels;
        half.dtype = LF_U32;
        half.in_place = half.repeats = 0;
        numbers.repeated = 0;
        const double *const bits = lf_fill(&half, LF_F64, first, n, &numbers);
        for (size_t i = 0; i < n; i++) out[i] = (int64_t)bits[i];
        half.data += 4;
        numbers.repeated = 0;
        lf_fill(&half, LF_F64, first, n, &numbers);
        for (size_t i = 0; i < n; i++) out[i] = (int64_t)((uint64_t)bits[i] << 32 | (uint64_t)out[i]);
        if (dtype == LF_U64)
            for (size_t i = 0; i < n; i++) out[i] = out[i] < 0 ? INT64_MAX : out[i];
    } else {
        numbers.repeated = 0;
        const double *const x = lf_fill(labels, LF_F64, first, n, &numbers);
        for (size_t i = 0; i < n; i++) {
            const int64_t label = x[i] >= -0x1p62 && x[i] <= 0x1p62 ? (int64_t)x[i] : INT64_MAX;
            out[i] = (double)label == x[i] ? label : INT64_MAX;
        }
    }
    if (all_classes(n, out, call)) return 1;
    int all = 1;
    for (size_t i = 0; i < n; i++) {
        const int64_t label = out[i];
        out[i] = call->has_ignore && label == call->ignore ? IGNORED : label < 0 || label >= classes ? NO_CLASS : label;
        all &= out[i] >= 0;
    }
    return all;
}

typedef struct {
    const lf_row_call *call;
    lf_dtype dtype;
    lf_array target, weight, temperature;
    int soft; /* the pass over the targets of all classes */

    lf_exact weights; /* below: under lf_lock */
    size_t kept;
    lf_status status;
    size_t bad;
} survey;

static void report(survey *s, lf_status status, size_t index)
{
    lf_lock();
    if (s->status == LF_OK || index < s->bad) {
        s->status = status;
        s->bad = index;
    }
    lf_unlock();
}

static void survey_targets(void *context, size_t first_block, size_t last_block)
{
    survey *const s = context;
    const lf_domain domain = {.low = 0, .high = DBL_MAX, .no_nan = 1};
    const size_t n = s->call->rows * s->call->classes;
    lf_buffer buffer;
    buffer.repeated = 0;
    for (size_t b = first_block; b < last_block; b++) {
        const size_t first = b * BLOCK, m = n - first < BLOCK ? n - first : BLOCK;
        const size_t bad = lf_kernels(s->dtype)->check(m, lf_read(&s->target, s->dtype, first, m, &buffer), domain);
        if (bad < m) {
            report(s, LF_BAD_TARGET, first + bad);
            return;
        }
    }
}

static void survey_rows(void *context, size_t first_block, size_t last_block)
{
    survey *const s = context;
    const lf_row_call *const call = s->call;
    const kernels *const k = lf_kernels(LF_F64);
    const lf_domain weights = {.low = 0, .high = DBL_MAX, .no_nan = 1};
    const lf_domain temperatures = {.low = DBL_MIN, .high = DBL_MAX, .no_nan = 1};
    const int weighs = call->weight.data || (call->labels && call->class_weight);
    lf_buffer weight, temperature;
    weight.repeated = temperature.repeated = 0;
    int64_t label[BLOCK];
    double product[BLOCK];
    size_t kept = 0;
    lf_exact sum;
    memset(&sum, 0, sizeof sum);
    for (size_t b = first_block; b < last_block; b++) {
        const size_t first = b * BLOCK, n = call->rows - first < BLOCK ? call->rows - first : BLOCK;
        size_t bad = n, at;
        lf_status status = LF_OK;
        const int64_t *const here = call->labels && !weighs ? stored(&s->target, first) : NULL;
        const int all =
            !call->labels || (here && all_classes(n, here, call)) || lf_labels(&s->target, call, first, n, label);
        for (size_t i = 0; !all && i < n && bad == n; i++)
            if (label[i] == NO_CLASS) bad = i, status = LF_BAD_TARGET;
        const double *w = k->ones;
        if (call->weight.data) {
            w = lf_read(&s->weight, LF_F64, first, n, &weight);
            if ((at = k->check(n, w, weights)) < bad) bad = at, status = LF_BAD_WEIGHT;
        }
        if (call->temperature.data) {
            at = k->check(n, lf_read(&s->temperature, LF_F64, first, n, &temperature), temperatures);
            if (at < bad) bad = at, status = LF_BAD_STREAM;
        }
        if (bad < n) {
            report(s, status, first + bad);
            return;
        }
        if (all)
            kept += n;
        else
            for (size_t i = 0; i < n; i++) kept += label[i] != IGNORED;
        if (!weighs) continue;
        for (size_t i = 0; i < n; i++) {
            const int ignored = call->labels && label[i] == IGNORED;
            product[i] = ignored ? 0 : call->labels && call->class_weight ? w[i] * call->class_weight[label[i]] : w[i];
        }
        lf_exact_add(&sum, k->sum(n, product));
    }
    lf_lock();
    s->kept += kept;
    lf_exact_merge(&s->weights, &sum);
    lf_unlock();
}

lf_status lf_rowwise_check(lf_dtype dtype, const lf_row_call *call, lf_row_totals *totals, const lf_control *control,
                           lf_failure *failure)
{
    if (!call || !totals || (dtype != LF_F32 && dtype != LF_F64) || (call->has_ignore && !call->labels))
        return LF_BAD_ARGUMENT;
    survey s = {.call = call, .dtype = dtype, .status = LF_OK};
    if (call->rows && (!call->target.data || !lf_open(&s.target, dtype, call->target.data, call->target.dtype,
                                                      call->target.stride, call->target.layout)))
        return LF_BAD_ARGUMENT;
    const lf_in *const w = &call->weight, *const t = &call->temperature;
    if (!lf_open(&s.weight, LF_F64, w->data, w->data ? w->dtype : LF_F64, w->stride, w->layout) ||
        !lf_open(&s.temperature, LF_F64, t->data, t->data ? t->dtype : LF_F64, t->stride, t->layout))
        return LF_BAD_ARGUMENT;

    lf_status status = lf_parallel((call->rows + BLOCK - 1) / BLOCK, BLOCK, control, survey_rows, &s);
    if (!status && !s.status && !call->labels && call->rows) {
        const size_t n = call->rows * call->classes;
        status = lf_parallel((n + BLOCK - 1) / BLOCK, BLOCK, control, survey_targets, &s);
    }
    totals->kept = s.kept;
    totals->weight = w->data || (call->labels && call->class_weight) ? lf_exact_round(&s.weights) : (double)s.kept;
    if (failure) failure->index = s.bad;
    return s.status ? s.status : status;
}
