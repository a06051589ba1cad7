/* The driver of the region losses: sums over the positions of an item, its loss, and the derivatives in a second reading,
 * sample by sample while it is still in the caches. */
#include "../kernels.h"
#include "../parallel.h"
#include "../rowwise/labels.h"

#include <string.h>

#include "planes.h"
#include "worker.h"
#include "survey.h"

const lf_region *lf_region_at(size_t i) { return i < lf_base_f32.nregion ? &lf_base_f32.region[i] : NULL; }

const lf_region *lf_region_find(const char *name)
{
    const lf_region *loss;
    for (size_t i = 0; (loss = lf_region_at(i)) && strcmp(loss->name, name); i++) {}
    return loss;
}

const char *lf_region_name(const lf_region *loss) { return loss->name; }
size_t lf_region_nparam(const lf_region *loss) { return loss->nparam; }

/* Some classes of a sample, the sums of which are `m`'s. */
typedef struct {
    job *j;
    size_t sample, first, classes;
    const memory *m;
} group;

/* Where a part of so many begins. */
static size_t start_of(size_t n, size_t part, size_t parts)
{
    return n / parts * part + (part < n % parts ? part : n % parts);
}

static stretch stretch_at(const group *g, size_t index)
{
    const job *const j = g->j;
    const size_t all = j->runs * RUN, first = index * all, rest = j->call->positions - first;
    const size_t n = rest < all ? rest : all;
    return (stretch){g->sample, first, n, (n + RUN - 1) / RUN * RUN, g->first, g->classes};
}

static int sum_segment(const group *g, const memory *m, size_t segment, double *sums)
{
    job *const j = g->j;
    const size_t end = start_of(j->stretches, segment + 1, j->segments);
    memset(sums, 0, j->nsums * sizeof *sums);
    for (size_t i = start_of(j->stretches, segment, j->segments); i < end; i++) {
        const stretch s = stretch_at(g, i);
        if (!sum_stretch(j, m, &s, sums)) return 0;
    }
    return 1;
}

static void grad_segment(const group *g, const memory *m, size_t segment)
{
    job *const j = g->j;
    const size_t end = start_of(j->stretches, segment + 1, j->segments);
    for (size_t i = start_of(j->stretches, segment, j->segments); i < end; i++) {
        const stretch s = stretch_at(g, i);
        grad_stretch(j, m, &s, g->m->by, *g->m->pixels);
    }
}

static double *part_of(const group *g, size_t segment) { return g->j->parts + segment * g->j->nsums; }

static void sum_segments(void *context, size_t first, size_t last)
{
    const group *const g = context;
    const memory m = take(g->j);
    for (size_t i = first; i < last; i++)
        if (!sum_segment(g, &m, i, part_of(g, i))) break;
    give_back(g->j, &m);
}

static void grad_segments(void *context, size_t first, size_t last)
{
    const group *const g = context;
    const memory m = take(g->j);
    for (size_t i = first; i < last; i++) grad_segment(g, &m, i);
    give_back(g->j, &m);
}

static void add(double *sums, const double *more, size_t n)
{
    for (size_t i = 0; i < n; i++) sums[i] += more[i];
}

static double number(const lf_array *a, size_t index, double otherwise)
{
    double x = otherwise;
    if (a->data) lf_load(a, LF_F64, index, 1, &x);
    return x;
}

/* From the sums of some items to their values, and to the derivatives by the predictions of each class. */
static void finish_items(const group *g, lf_exact *sum)
{
    const job *const j = g->j;
    const lf_region_call *const call = j->call;
    const memory *const m = g->m;
    const size_t classes = g->classes, at = g->sample * call->classes + g->first;
    const size_t n = call->together ? 1 : classes, item = call->together ? g->sample : at;
    double *const s[SUMS] = {m->sums, m->sums + classes, m->sums + 2 * classes};
    double *const value = m->jets, *const by_i = value + classes, *const by_p = by_i + classes;
    for (size_t c = 0; c < classes; c++) m->shares[c] = call->together ? number(&j->share, at + c, 1) : 1;
    if (call->together)
        for (size_t i = 0; i < SUMS; i++) {
            double all = 0;
            for (size_t c = 0; c < classes; c++) all += m->shares[c] == 0 ? 0 : m->shares[c] * s[i][c];
            s[i][0] = all;
        }
    j->loss->run(n, s[SUM_I], s[SUM_P], s[SUM_T], call->param, value, by_i, by_p);
    for (size_t c = 0; c < n; c++) {
        const double w = number(&j->weight, item + c, 1);
        const int nothing = s[SUM_P][c] == 0 && s[SUM_T][c] == 0;
        if (nothing) value[c] = call->empty, by_i[c] = by_p[c] = 0;
        value[c] = w == 0 ? 0 : w * value[c];
        by_i[c] = w == 0 ? 0 : call->scale * w * by_i[c];
        by_p[c] = w == 0 ? 0 : call->scale * w * by_p[c];
        if (call->sum) lf_exact_add(sum, value[c]);
    }
    if (call->value.data) lf_write(&j->value, LF_F64, item, n, value);
    for (size_t c = 0; c < classes; c++) {
        const size_t own = call->together ? 0 : c;
        m->by[3 * c] = m->shares[c] * by_i[own];
        m->by[3 * c + 1] = call->squared ? 2 * m->shares[c] * by_p[own] : 0;
        m->by[3 * c + 2] = call->squared ? 0 : m->shares[c] * by_p[own];
    }
}

/* The mean loss of the positions of a sample. */
static void finish_pixels(const group *g, lf_exact *sum)
{
    const job *const j = g->j;
    const double *const found = g->m->sums + SUMS * g->classes;
    const double w = number(&j->pixel_weight, g->sample, 1), all = found[PIXEL_WEIGHT];
    double value = w == 0 || all == 0 ? 0 : w * (found[PIXEL_LOSS] / all);
    *g->m->pixels = w == 0 || all == 0 ? 0 : j->call->scale * w / all;
    if (j->call->pixel_value.data) lf_write(&j->pixel_value, LF_F64, g->sample, 1, &value);
    if (j->call->sum) lf_exact_add(sum, value);
}

static void finish(const group *g, lf_exact *sum)
{
    const job *const j = g->j;
    if (!j->survey) {
        finish_items(g, sum);
        if (j->call->pixel) finish_pixels(g, sum);
    } else if (j->totals)
        memcpy(j->totals + g->sample * j->call->classes + g->first, g->m->sums + SUM_T * g->classes,
               g->classes * sizeof *j->totals);
}

static void stop(job *j, const lf_exact *sum)
{
    lf_lock();
    lf_exact_merge(&j->sum, sum);
    lf_unlock();
}

/* Some classes of a sample, by one thread.  Returns 0 if something is bad. */
static int do_group(const group *g, double *part, lf_exact *sum)
{
    const job *const j = g->j;
    const memory *const m = g->m;
    memset(m->sums, 0, j->nsums * sizeof *m->sums);
    for (size_t i = 0; i < j->segments; i++) {
        if (!sum_segment(g, m, i, part)) return 0;
        add(m->sums, part, j->nsums);
    }
    finish(g, sum);
    for (size_t i = 0; j->grad.wanted && i < j->segments; i++) grad_segment(g, m, i);
    return 1;
}

static void run_samples(void *context, size_t first, size_t last)
{
    job *const j = context;
    const memory m = take(j);
    double *const part = j->parts + m.slot * j->nsums;
    int good = 1;
    lf_exact sum;
    memset(&sum, 0, sizeof sum);
    for (size_t sample = first; sample < last && good; sample++)
        for (size_t k = 0; k < j->call->classes && good; k += j->group) {
            const group g = {j, sample, k, j->group, &m};
            good = do_group(&g, part, &sum);
        }
    stop(j, &sum);
    give_back(j, &m);
}

/* Samples one by one, the segments of each shared by all threads. */
static lf_status share_samples(job *j)
{
    const lf_region_call *const call = j->call;
    const memory m = take(j);
    const size_t cost = call->positions / j->segments * j->group * PER_CLASS + 1;
    lf_status status = LF_OK;
    lf_exact sum;
    memset(&sum, 0, sizeof sum);
    for (size_t sample = 0; sample < call->samples && !status && !j->status; sample++)
        for (size_t k = 0; k < call->classes && !status && !j->status; k += j->group) {
            group g = {j, sample, k, j->group, &m};
            status = lf_parallel(j->segments, cost, &j->control, sum_segments, &g);
            if (status || j->status) break;
            memset(m.sums, 0, j->nsums * sizeof *m.sums);
            for (size_t i = 0; i < j->segments; i++) add(m.sums, part_of(&g, i), j->nsums);
            finish(&g, &sum);
            if (j->grad.wanted) status = lf_parallel(j->segments, cost, &j->control, grad_segments, &g);
        }
    stop(j, &sum);
    give_back(j, &m);
    return status;
}

static lf_status run_job(job *j)
{
    const lf_region_call *const call = j->call;
    const size_t sample = call->positions * call->classes;
    const int shares = j->segments > 1 && (sample >= LARGE || call->samples < (size_t)j->control.nthreads);
    const lf_status status =
        shares ? share_samples(j) : lf_parallel(call->samples, sample * PER_CLASS + 1, &j->control, run_samples, j);
    return j->status ? j->status : status;
}

/* --- Before ------------------------------------------------------------------------------------------------------- */

/* n a, or 0 if that overflows. */
static size_t times(size_t n, size_t a)
{
    size_t product;
    return __builtin_mul_overflow(n, a, &product) ? 0 : product;
}

/* How samples are cut, and what each thread needs. */
static void lay_out(job *j, const lf_region_call *call, lf_dtype dtype)
{
    const size_t run = call->classes * RUN * lf_itemsize(dtype);
    j->size = lf_itemsize(dtype);
    j->room = run > ROOM ? run : ROOM;
    j->runs = ROOM / run > RUNS ? RUNS : ROOM / run < 1 ? 1 : ROOM / run;
    j->stretches = (call->positions + j->runs * RUN - 1) / (j->runs * RUN);
    j->segments = j->stretches < SEGMENTS ? j->stretches : SEGMENTS;
    const size_t numbers = ((SUMS + 3 + 3 + 1) * call->classes + PIXEL_SUMS + 1) * sizeof(double);
    j->slot_size = 5 * j->room + LOGS + (numbers + ALIGN - 1) / ALIGN * ALIGN;
}

/* Of all threads together; run_samples has one of these for each slot. */
static size_t parts_size(const lf_region_call *call, size_t slots)
{
    return (slots > SEGMENTS ? slots : SEGMENTS) * (SUMS * call->classes + PIXEL_SUMS) * sizeof(double);
}

static int is_possible(lf_dtype dtype, const lf_region_call *call)
{
    if (!call || (dtype != LF_F32 && dtype != LF_F64) || call->classes < 1 || call->classes > LF_MAX_CLASSES) return 0;
    const size_t rows = times(call->samples, call->positions);
    if (call->samples && call->positions && !rows) return 0;
    return !rows || times(rows, call->classes * sizeof(double)) != 0;
}

size_t lf_region_workspace(lf_dtype dtype, const lf_region_call *call, const lf_control *control)
{
    job j;
    if (!is_possible(dtype, call)) return 0;
    lay_out(&j, call, dtype);
    const size_t slots = lf_threads(control) + 1; /* and whoever shares the work out */
    return 2 * ALIGN + parts_size(call, slots) + slots * j.slot_size;
}

/* As many slots as there is room for; returns 0 if these are none. */
static int share_out(job *j, const lf_region_call *call, const lf_control *control)
{
    size_t slots = lf_threads(control) + 1;
    while (slots > 1 && 2 * ALIGN + parts_size(call, slots) + slots * j->slot_size > call->workspace_size) slots--;
    if (slots < 2 || !call->workspace) return 0;
    j->parts = (double *)(((uintptr_t)call->workspace + ALIGN - 1) / ALIGN * ALIGN);
    j->slots = (char *)j->parts + (parts_size(call, slots) + ALIGN - 1) / ALIGN * ALIGN;
    for (j->nfree = 0; j->nfree < slots; j->nfree++) j->free[j->nfree] = (unsigned short)j->nfree;
    if (control) j->control = *control;
    j->control.nthreads = (int)(slots - 1);
    return 1;
}

static int open_rows(lf_array *array, lf_in in)
{
    return lf_open(array, LF_F64, in.data, in.data ? in.dtype : LF_F64, in.stride, in.layout);
}

/* The binary loss of a position and class; see pointwise/binary_focal_crossentropy.h for its parameters. */
static void open_binary(job *j)
{
    const lf_region_call *const call = j->call;
    const char *const focal =
        call->gamma == 2 ? "binary_focal_crossentropy_logits_squared" : "binary_focal_crossentropy_logits";
    const int plain = call->pixel == LF_PIXEL_CROSSENTROPY, balances = call->alpha >= 0;
    j->binary = lf_pointwise_find(plain ? "binary_crossentropy_logits_plain" : focal);
    j->binary_param[0] = balances ? call->alpha : 1;
    j->binary_param[1] = call->gamma;
    j->binary_param[3] = balances ? 1 : 2;
}

static int open_job(job *j, const lf_region *loss, lf_dtype dtype, const lf_region_call *call,
                    const lf_control *control)
{
    memset(j, 0, sizeof *j);
    if (!is_possible(dtype, call) || (unsigned)call->activation > LF_SOFTMAX) return 0;
    if (loss && loss->nparam && !call->param) return 0;
    lay_out(j, call, dtype);
    if (!share_out(j, call, control)) return 0;
    j->call = call;
    j->dtype = dtype;
    if (loss) j->loss = &lf_kernels(LF_F64)->region[loss - lf_base_f32.region];
    const lf_in grad = {call->grad.data, call->grad.dtype, call->grad.stride, call->grad.layout};
    const lf_in value = {call->value.data, call->value.dtype, call->value.stride, call->value.layout};
    const lf_out more = call->pixel_value;
    const lf_in pixel_value = {more.data, more.dtype, more.stride, more.layout};
    if (call->samples && call->positions && (!call->pred.data || !call->target.data)) return 0;
    if (call->labels ? !open_rows(&j->label, call->target) : !open_table(call, dtype, &j->target, call->target))
        return 0;
    if (!open_table(call, dtype, &j->pred, call->pred) || !open_table(call, dtype, &j->grad, grad) ||
        !open_rows(&j->weight, call->weight) || !open_rows(&j->share, call->share) || !open_rows(&j->value, value) ||
        !open_rows(&j->pixel_weight, call->pixel_weight) || !open_rows(&j->pixel_value, pixel_value))
        return 0;
    if (grad.data && !lf_kernels(dtype)->store[grad.dtype]) return 0;
    if (value.data && !lf_kernels(LF_F64)->store[value.dtype]) return 0;
    if (more.data && !lf_kernels(LF_F64)->store[more.dtype]) return 0;
    if ((unsigned)call->pixel > LF_PIXEL_FOCAL || (call->pixel && call->activation == LF_PROBABILITIES)) return 0;
    if (call->pixel && call->activation == LF_SIGMOID) open_binary(j);
    /* Classes that need nothing of each other are taken one by one, if that is how they stand. */
    const int apart = call->activation != LF_SOFTMAX && !call->together && !call->labels && !call->pixel &&
                      j->pred.apart && j->target.apart && (!grad.data || j->grad.apart);
    j->group = apart ? 1 : call->classes;
    j->nsums = SUMS * j->group + PIXEL_SUMS;
    j->keeps = grad.data && grad.dtype == dtype && call->activation != LF_PROBABILITIES && !call->pixel;
    return 1;
}

lf_status lf_region_check(lf_dtype dtype, const lf_region_call *call, double *totals, const lf_control *control,
                          lf_failure *failure)
{
    job j;
    if (!open_job(&j, NULL, dtype, call, control)) return LF_BAD_ARGUMENT;
    /* Stretch by stretch where one operand needs the other; else each as it stands. */
    const int raw = call->activation == LF_PROBABILITIES;
    j.checks = !call->unchecked;
    j.survey = raw && call->has_ignore && j.checks ? BOTH : TARGETS;
    j.totals = totals;
    j.grad.wanted = j.keeps = 0;
    lf_status status = LF_OK;
    if (totals || call->labels || j.survey == BOTH)
        status = run_job(&j);
    else if (j.checks)
        status = survey_masks(&j, &j.target, LF_BAD_TARGET);
    if (!status && raw && j.checks && j.survey == TARGETS) status = survey_masks(&j, &j.pred, LF_BAD_PRED);
    if (failure) failure->index = j.bad;
    return status;
}

lf_status lf_region_run(const lf_region *loss, lf_dtype dtype, const lf_region_call *call, const lf_control *control,
                        lf_failure *failure)
{
    job j;
    if (!loss || !open_job(&j, loss, dtype, call, control)) return LF_BAD_ARGUMENT;
    j.checks = !call->unchecked;
    lf_status status = LF_OK;
    if ((call->grad.data || call->value.data) && (j.checks || (call->labels && call->unchecked < LF_KNOWN_LABELS))) {
        /* nothing is written before all is known to be good */
        status = lf_region_check(dtype, call, NULL, control, failure);
        j.checks = 0;
    }
    if (!status) status = run_job(&j);
    if (!status && call->sum) *call->sum = lf_exact_round(&j.sum);
    if (failure && j.status) failure->index = j.bad;
    return status;
}
