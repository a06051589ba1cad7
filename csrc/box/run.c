/* The driver of the box losses: blocks of boxes, turned so that an edge of all of them is contiguous. */
#include "columns.h"
#include "../parallel.h"

#include <float.h>
#include <string.h>

enum { PER_BOX = 16 }; /* the work of a box, in elements of lf_parallel */

const lf_box *lf_box_at(size_t i) { return i < lf_base_f32.nbox ? &lf_base_f32.box[i] : NULL; }

const lf_box *lf_box_find(const char *name)
{
    const lf_box *loss;
    for (size_t i = 0; (loss = lf_box_at(i)) && strcmp(loss->name, name); i++) {}
    return loss;
}

const char *lf_box_name(const lf_box *loss) { return loss->name; }

typedef struct {
    const lf_box *loss;
    const lf_box_call *call;
    lf_dtype dtype;
    columns target, pred, grad;
    lf_array weight, value;

    lf_exact sum; /* below: under lf_lock */
    lf_status status;
    size_t bad;
} job;

static void run_blocks(void *context, size_t first_block, size_t last_block)
{
    job *const j = context;
    const kernels *const k = lf_kernels(j->dtype);
    boxes t, p, grad;
    lf_buffer weight;
    _Alignas(64) char value[BOXES * sizeof(double)];
    lf_exact sum;
    weight.repeated = 0;
    memset(&sum, 0, sizeof sum);
    for (size_t b = first_block; b < last_block; b++) {
        const size_t first = b * BOXES, n = j->call->n - first < BOXES ? j->call->n - first : BOXES;
        const void *const w = j->call->weight.data ? lf_read(&j->weight, j->dtype, first, n, &weight) : k->ones;
        lf_read_boxes(&j->target, j->dtype, j->call->format, first, n, &t);
        lf_read_boxes(&j->pred, j->dtype, j->call->format, first, n, &p);
        j->loss->run(n, t.data, p.data, w, j->call->eps, 1, j->call->scale, value, j->grad.wanted ? grad.data : NULL);
        if (j->call->value.data) lf_write(&j->value, j->dtype, first, n, value);
        if (j->call->sum) lf_exact_add(&sum, k->sum(n, value));
        if (!j->grad.wanted) continue;
        lf_write_boxes(&j->grad, j->dtype, j->call->format, first, n, &grad);
    }
    if (!j->call->sum) return;
    lf_lock();
    lf_exact_merge(&j->sum, &sum);
    lf_unlock();
}

/* The first bad box of each thread, and of these the first. */
static void check_blocks(void *context, size_t first_block, size_t last_block)
{
    job *const j = context;
    boxes found;
    for (size_t b = first_block; b < last_block; b++) {
        const size_t first = b * BOXES, n = j->call->n - first < BOXES ? j->call->n - first : BOXES;
        size_t bad[2];
        for (int is_pred = 0; is_pred < 2; is_pred++) {
            lf_read_boxes(is_pred ? &j->pred : &j->target, j->dtype, j->call->format, first, n, &found);
            bad[is_pred] = lf_kernels(j->dtype)->box_check(n, found.data);
        }
        const size_t at = bad[1] < bad[0] ? bad[1] : bad[0];
        if (at == n) continue;
        lf_lock();
        if (j->status == LF_OK || first + at < j->bad) {
            j->status = at == bad[0] ? LF_BAD_TARGET : LF_BAD_PRED;
            j->bad = first + at;
        }
        lf_unlock();
        return;
    }
}

lf_status lf_box_run(const lf_box *loss, lf_dtype dtype, const lf_box_call *call, const lf_control *control,
                     lf_failure *failure)
{
    if (!loss || !call || (dtype != LF_F32 && dtype != LF_F64) || (unsigned)call->format > LF_CXCYWH)
        return LF_BAD_ARGUMENT;
    job j;
    memset(&j, 0, sizeof j);
    j.loss = &lf_kernels(dtype)->box[loss - lf_base_f32.box];
    j.call = call;
    j.dtype = dtype;
    lf_in grad[EDGES];
    for (size_t k = 0; k < EDGES; k++) {
        const lf_out g = call->grad[k];
        grad[k] = (lf_in){g.data, g.dtype, g.stride, g.layout};
        if (g.data && ((unsigned)g.dtype >= LF_NDTYPE || !lf_kernels(dtype)->store[g.dtype])) return LF_BAD_ARGUMENT;
    }
    const lf_out v = call->value;
    const lf_in value = {v.data, v.dtype, v.stride, v.layout}, weight = call->weight;
    if (v.data && ((unsigned)v.dtype >= LF_NDTYPE || !lf_kernels(dtype)->store[v.dtype])) return LF_BAD_ARGUMENT;
    if (!lf_open_columns(&j.target, dtype, call->target) || !lf_open_columns(&j.pred, dtype, call->pred) ||
        !lf_open_columns(&j.grad, dtype, grad) || (call->n && (!j.target.wanted || !j.pred.wanted)) ||
        !lf_open(&j.weight, dtype, weight.data, weight.data ? weight.dtype : dtype, weight.stride, weight.layout) ||
        !lf_open(&j.value, dtype, value.data, value.data ? value.dtype : dtype, value.stride, value.layout))
        return LF_BAD_ARGUMENT;

    const size_t blocks = (call->n + BOXES - 1) / BOXES;
    lf_status status = LF_OK;
    if (call->check && blocks) {
        status = lf_parallel(blocks, BOXES * PER_BOX, control, check_blocks, &j);
        if (!status) status = j.status;
    }
    if (!status && blocks) status = lf_parallel(blocks, BOXES * PER_BOX, control, run_blocks, &j);
    if (!status && call->sum) *call->sum = lf_exact_round(&j.sum);
    if (failure) failure->index = j.bad;
    return status;
}
