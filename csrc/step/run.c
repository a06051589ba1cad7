/* The driver of the optimizers' steps: the blocks of all arrays, one array after another, are shared between threads.
 *
 * A step is never cut short: weights of which some had made it and others not would be of no use. */
#include "../parallel.h"
#include "../streams.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { PER_ELEMENT = 2 }; /* the work of an element, in those of lf_parallel */

const lf_step *lf_step_at(size_t i) { return i < lf_base_f32.nstep ? &lf_base_f32.step[i] : NULL; }

const lf_step *lf_step_find(const char *name)
{
    const lf_step *step;
    for (size_t i = 0; (step = lf_step_at(i)) && strcmp(step->name, name); i++) {}
    return step;
}

const char *lf_step_name(const lf_step *step) { return step->name; }
size_t lf_step_nstate(const lf_step *step) { return step->nstate; }
size_t lf_step_nparam(const lf_step *step) { return step->nparam; }

/* One call, shared by its threads. */
typedef struct job job;
typedef struct worker worker;
struct job {
    const lf_step *step; /* NULL: gradients are only looked at */
    lf_step_array *array;
    size_t narrays;
    const kernels *k;
    lf_dtype dtype;
    double param[MAX_STEP_PARAM];
    double factor; /* of the elements whose squares are added up */
    int (*visit)(worker *w, size_t first, size_t n);

    lf_exact sum; /* below: under lf_lock */
    size_t bad_array, bad;
};

/* One thread's share of it. */
struct worker {
    job *j;
    const lf_step_array *at;
    lf_array weight, grad;
    lf_buffer weights, grads;
    lf_exact sum;
};

static int open_array(worker *w, const lf_step_array *a)
{
    const lf_dtype dtype = w->j->dtype;
    w->at = a;
    w->grads.repeated = 0;
    if (!lf_open(&w->grad, dtype, a->grad.data, a->grad.dtype, a->grad.stride, a->grad.layout)) return 0;
    if (!w->j->step) return 1;
    return lf_open(&w->weight, dtype, a->weight.data, a->weight.dtype, a->weight.stride, a->weight.layout);
}

/* --- What is done to a block: 0 ends the share -------------------------------------------------------------------- */

static int step_block(worker *w, size_t first, size_t n)
{
    const job *const j = w->j;
    const size_t size = lf_itemsize(j->dtype);
    void *state[LF_MAX_STATES];
    for (size_t k = 0; k < j->step->nstate; k++) state[k] = (char *)w->at->state[k] + first * size;
    const void *grad = lf_read(&w->grad, j->dtype, first, n, &w->grads);
    void *weight = w->weight.data + first * size;
    if (!w->weight.in_place) lf_load(&w->weight, j->dtype, first, n, weight = w->weights.block);
    j->step->run(n, j->param, grad, weight, state);
    if (!w->weight.in_place) lf_write(&w->weight, j->dtype, first, n, weight);
    return 1;
}

static int square_block(worker *w, size_t first, size_t n)
{
    const void *grad = lf_read(&w->grad, w->j->dtype, first, n, &w->grads);
    lf_exact_add(&w->sum, w->j->k->squares(n, grad, w->j->factor));
    return 1;
}

static int check_block(worker *w, size_t first, size_t n)
{
    job *const j = w->j;
    const double most = j->dtype == LF_F32 ? FLT_MAX : DBL_MAX;
    const lf_domain finite = {.low = -most, .high = most, .no_nan = 1};
    const size_t bad = j->k->check(n, lf_read(&w->grad, j->dtype, first, n, &w->grads), finite);
    if (bad == n) return 1;
    const size_t array = (size_t)(w->at - j->array);
    lf_lock();
    if (array < j->bad_array || (array == j->bad_array && first + bad < j->bad)) {
        j->bad_array = array;
        j->bad = first + bad;
    }
    lf_unlock();
    return 0;
}

/* --- Blocks of all arrays ----------------------------------------------------------------------------------------- */

static size_t blocks_of(const lf_step_array *a) { return a->n / BLOCK + (a->n % BLOCK != 0); }

/* The last array that begins at this unit or before; those without elements begin where the next one does. */
static const lf_step_array *array_of(const job *j, size_t unit)
{
    size_t low = 0, high = j->narrays;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (j->array[middle].first <= unit)
            low = middle;
        else
            high = middle;
    }
    return &j->array[low];
}

static void run_units(void *context, size_t first_unit, size_t last_unit)
{
    job *const j = context;
    worker w = {.j = j};
    int goes_on = 1;
    for (const lf_step_array *a = array_of(j, first_unit); first_unit < last_unit && goes_on; a++) {
        const size_t end = a->first + blocks_of(a), last = end < last_unit ? end : last_unit;
        if (first_unit < last) open_array(&w, a);
        for (; first_unit < last && goes_on; first_unit++) {
            const size_t first = (first_unit - a->first) * BLOCK, rest = a->n - first;
            goes_on = j->visit(&w, first, rest < BLOCK ? rest : BLOCK);
        }
    }
    lf_lock();
    lf_exact_merge(&j->sum, &w.sum);
    lf_unlock();
}

/* Everything is looked at before anything is written. */
static lf_status open_job(job *j, size_t narrays, lf_step_array *array, size_t *units)
{
    worker probe = {.j = j};
    if (narrays && !array) return LF_BAD_ARGUMENT;
    *units = 0;
    j->array = array;
    j->narrays = narrays;
    j->k = lf_kernels(j->dtype);
    for (size_t i = 0; i < narrays; i++) {
        lf_step_array *const a = &array[i];
        a->first = *units;
        if (__builtin_add_overflow(*units, blocks_of(a), units)) return LF_TOO_LARGE;
        if (!a->n) continue;
        if (!a->grad.data || !open_array(&probe, a)) return LF_BAD_ARGUMENT;
        if (!j->step) continue;
        if (!a->weight.data || a->weight.dtype != j->dtype) return LF_BAD_ARGUMENT;
        for (size_t k = 0; k < j->step->nstate; k++)
            if (!a->state[k] || (uintptr_t)a->state[k] % lf_itemsize(j->dtype)) return LF_BAD_ARGUMENT;
    }
    return LF_OK;
}

static lf_status run(job *j, size_t units, const lf_control *control)
{
    const lf_control whole = {.nthreads = control ? control->nthreads : 0};
    return units ? lf_parallel(units, BLOCK * PER_ELEMENT, &whole, run_units, j) : LF_OK;
}

lf_status lf_step_run(const lf_step *step, lf_dtype dtype, const lf_step_call *call, const lf_control *control)
{
    if (!step || !call || !call->param || (dtype != LF_F32 && dtype != LF_F64)) return LF_BAD_ARGUMENT;
    job j = {.step = &lf_kernels(dtype)->step[step - lf_base_f32.step], .dtype = dtype, .visit = step_block};
    memcpy(j.param, call->param, step->nparam * sizeof *call->param);
    j.param[STEP_SCALE] = call->scale;
    j.param[STEP_CLIP] = call->clip;
    j.param[STEP_DECAY] = call->decay;
    j.param[STEP_KEEP] = call->keep;
    size_t units;
    const lf_status status = open_job(&j, call->narrays, call->array, &units);
    return status ? status : run(&j, units, control);
}

/* The squares of doubles may overflow or vanish: then once more, of elements that are scaled. */
lf_status lf_step_norm(lf_dtype dtype, size_t narrays, lf_step_array *array, double *norm, const lf_control *control)
{
    static const double down = 0x1p-540, up = 0x1p540, small = 0x1p-900;
    if (!norm || (dtype != LF_F32 && dtype != LF_F64)) return LF_BAD_ARGUMENT;
    job j = {.dtype = dtype, .visit = square_block, .factor = 1};
    size_t units;
    lf_status status = open_job(&j, narrays, array, &units);
    if (status || (status = run(&j, units, control))) return status;
    double sum = lf_exact_round(&j.sum);
    if (dtype == LF_F64 && (sum < small || sum == INFINITY)) {
        j.factor = sum < small ? up : down;
        memset(&j.sum, 0, sizeof j.sum);
        if ((status = run(&j, units, control))) return status;
        sum = lf_exact_round(&j.sum);
    }
    *norm = sqrt(sum) / j.factor;
    return LF_OK;
}

lf_status lf_step_check(lf_dtype dtype, size_t narrays, lf_step_array *array, size_t *bad_array, size_t *bad,
                        const lf_control *control)
{
    if (!bad_array || !bad || (dtype != LF_F32 && dtype != LF_F64)) return LF_BAD_ARGUMENT;
    job j = {.dtype = dtype, .visit = check_block, .bad_array = narrays};
    size_t units;
    const lf_status status = open_job(&j, narrays, array, &units);
    if (status) return status;
    run(&j, units, control);
    *bad_array = j.bad_array;
    *bad = j.bad;
    return LF_OK;
}
