/* The driver of the class losses: groups of rows to the kernels, in the layout that suits the number of classes.
 *
 * What is summed together depends on the number of classes alone, never on threads or on where arrays stand. */
#include "../kernels.h"
#include "../parallel.h"
#include "labels.h"

#include <math.h>
#include <string.h>

#include "worker.h"
#include "across.h"
#include "along.h"
#include "jets.h"
#include "hinge.h"

const lf_rowwise *lf_rowwise_at(size_t i) { return i < lf_base_f32.nrowwise ? &lf_base_f32.rowwise[i] : NULL; }

const lf_rowwise *lf_rowwise_find(const char *name)
{
    const lf_rowwise *loss;
    for (size_t i = 0; (loss = lf_rowwise_at(i)) && strcmp(loss->name, name); i++) {}
    return loss;
}

const char *lf_rowwise_name(const lf_rowwise *loss) { return loss->name; }
size_t lf_rowwise_nparam(const lf_rowwise *loss) { return loss->nparam; }

static size_t group_rows(const job *j)
{
    const size_t rows = ROOM / j->size / j->classes;
    return j->parts > 1 || rows < 1 ? 1 : rows < ROWS ? rows : ROWS;
}

static void run_along(void *context, size_t first_group, size_t last_group)
{
    job *const j = context;
    const size_t rows = group_rows(j);
    worker w;
    start(&w, j);
    const void *const class_weight = j->parts == 1 ? part_weights(&w, 0) : NULL;
    for (size_t u = first_group; u < last_group; u++) {
        const size_t first = u * rows, rest = j->call->rows - first, n = rest < rows ? rest : rows;
        double value[ROWS];
        if (j->loss->allows & ROW_HINGE || j->options.targets == CLASSES)
            for (size_t r = 0; r < n; r++) {
                (j->loss->allows & ROW_HINGE ? do_hinge : do_jets)(&w, first + r);
                value[r] = w.g.value[0];
            }
        else {
            if (j->parts > 1)
                do_long_row(&w, first);
            else
                do_group(&w, first, n, class_weight);
            memcpy(value, w.g.value, n * sizeof *value);
        }
        if (j->call->sum) lf_exact_add(&w.sum, w.wide->sum(n, value));
    }
    stop(&w);
}

static int open_table(job *j, table *t, lf_in in)
{
    const lf_row_call *const call = j->call;
    const size_t row_shape[2] = {call->rows, call->classes};
    const ptrdiff_t strides[2] = {(ptrdiff_t)call->classes * in.stride, in.stride};
    const lf_layout plain = {2, row_shape, strides}, *const layout = in.layout ? in.layout : &plain;
    t->wanted = in.data != NULL;
    if (!t->wanted) return 1;
    if (layout->ndim < 1 || layout->ndim > LF_MAX_NDIM || layout->shape[layout->ndim - 1] != call->classes) return 0;
    size_t shape[LF_MAX_NDIM];
    ptrdiff_t turned[LF_MAX_NDIM];
    const int last = layout->ndim - 1;
    shape[0] = layout->shape[last];
    turned[0] = layout->strides[last];
    for (int k = 0; k < last; k++) shape[k + 1] = layout->shape[k], turned[k + 1] = layout->strides[k];
    const lf_layout by_class = {layout->ndim, shape, turned};
    t->contiguous = call->classes == 1 || layout->strides[last] == (ptrdiff_t)lf_itemsize(in.dtype);
    return lf_open(&t->by_row, j->dtype, in.data, in.dtype, 0, layout) &&
           lf_open(&t->by_class, j->dtype, in.data, in.dtype, 0, &by_class);
}

static int open_out(job *j, int o, lf_out out)
{
    const lf_in as_in = {out.data, out.dtype, out.stride, out.layout};
    if (!open_table(j, &j->out[o], as_in)) return 0;
    if (out.data && !lf_kernels(j->dtype)->store[out.dtype]) return 0;
    if (!out.data) return 1;
    j->derives = 1;
    *(o == GRAD ? &j->options.wants_grad : &j->options.wants_hess) = 1;
    const lf_array *const a = &j->out[o].by_row, *const t = &j->soft.by_row;
    if (!a->in_place || (j->soft.wanted && a->data == t->data)) j->in_place = 0;
    return 1;
}

static int open_rows(lf_array *array, lf_dtype kernel, lf_in in)
{
    return lf_open(array, kernel, in.data, in.data ? in.dtype : kernel, in.stride, in.layout);
}

static int open_job(job *j, const lf_rowwise *loss, lf_dtype dtype, const lf_row_call *call)
{
    const size_t index = (size_t)(loss - lf_base_f32.rowwise);
    memset(j, 0, sizeof *j);
    j->loss = &lf_kernels(dtype)->rowwise[index];
    j->finish = lf_kernels(LF_F64)->rowwise[index].finish;
    j->call = call;
    j->dtype = dtype;
    j->size = lf_itemsize(dtype);
    j->classes = call->classes;
    j->parts = (call->classes + BLOCK - 1) / BLOCK;
    j->in_place = 1;
    j->weighs_classes = call->class_weight != NULL;
    j->options = (row_options){.keep = 1 - call->label_smoothing,
                               .rest = call->label_smoothing / (double)call->classes,
                               .z_loss = call->z_loss,
                               .scale = call->scale,
                               .param = call->param};
    const unsigned allows = j->loss->allows;
    const int smooth = call->label_smoothing != 0;
    if (allows & ROW_ENTROPY)
        j->options.targets = DIVERGENCE;
    else if (allows & ROW_LOGARITHM)
        j->options.targets = !call->labels ? SOFT : smooth ? SMOOTHED : LABEL;
    else
        j->options.targets = (allows & ROW_LINEAR) && call->labels && !smooth ? LABEL : CLASSES;
    j->options.factor = j->options.targets == SMOOTHED && !j->weighs_classes ? j->options.rest : 1;
    j->kernel_options = j->options;
    j->no_targets = j->options.targets == SMOOTHED && j->weighs_classes;
    if (j->no_targets) j->kernel_options.targets = SOFT;
    if (j->options.targets == DIVERGENCE && (smooth || call->labels)) return 0;
    if (call->z_loss != 0 && !(allows & ROW_LOGARITHM)) return 0;
    if ((allows & ROW_LABELS) && !call->labels) return 0;

    lf_in rows = call->target;
    if (call->labels ? !open_rows(&j->label, LF_F64, rows) : !open_table(j, &j->soft, rows)) return 0;
    const lf_in value = {call->value.data, call->value.dtype, call->value.stride, call->value.layout};
    const lf_in v = {call->class_weight, LF_F64, sizeof(double), NULL};
    if (call->value.data && !lf_kernels(LF_F64)->store[call->value.dtype]) return 0;
    return open_table(j, &j->pred, call->pred) && open_rows(&j->weight, LF_F64, call->weight) &&
           open_rows(&j->temperature, LF_F64, call->temperature) && open_rows(&j->value, LF_F64, value) &&
           open_rows(&j->class_weight, dtype, v) && open_out(j, GRAD, call->grad) && open_out(j, HESS, call->hess);
}

lf_status lf_rowwise_run(const lf_rowwise *loss, lf_dtype dtype, const lf_row_call *call, const lf_control *control,
                         lf_failure *failure)
{
    if (!loss || !call || (dtype != LF_F32 && dtype != LF_F64) || (loss->nparam && !call->param) || call->classes < 1 ||
        call->classes > LF_MAX_CLASSES || (call->has_ignore && !call->labels))
        return LF_BAD_ARGUMENT;
    if (call->rows && (!call->pred.data || !call->target.data)) return LF_BAD_ARGUMENT;
    if (call->moments && (call->value.data || call->grad.data || call->hess.data || call->sum)) return LF_BAD_ARGUMENT;
    lf_row_totals totals;
    lf_status status = call->unchecked ? LF_OK : lf_rowwise_check(dtype, call, &totals, control, failure);
    if (status) return status;
    job j;
    if (call->rows && !open_job(&j, loss, dtype, call)) return LF_BAD_ARGUMENT;
    if (!call->rows) {
        if (call->sum) *call->sum = 0;
        return LF_OK;
    }
    const size_t rows = group_rows(&j), cost = call->classes * PER_CLASS;
    const int simple = j.options.targets != CLASSES && !(j.loss->allows & ROW_HINGE);
    /* Up to 128 classes (64 in double) a vector holds a class of several rows; beyond, classes of one row. */
    if (simple && call->classes * TILE * j.size <= ROOM)
        status = lf_parallel((call->rows + UNIT_ACROSS - 1) / UNIT_ACROSS, UNIT_ACROSS * cost, control, run_across, &j);
    else if (simple && j.parts > 1 && call->rows < 4 * lf_threads(control))
        status = share_rows(&j, control);
    else
        status = lf_parallel((call->rows + rows - 1) / rows, rows * cost, control, run_along, &j);
    if (status) return status;
    if (call->sum) *call->sum = lf_exact_round(&j.sum);
    if (call->moments) lf_moments_merge(call->moments, &j.moments);
    return LF_OK;
}
