/* The driver of the box losses: blocks of boxes, turned so that an edge of all of them is contiguous. */
#include "../kernels.h"
#include "../parallel.h"
#include "../streams.h"

#include <float.h>
#include <string.h>

enum {
    EDGES = 4,
    PER_BOX = 16 /* the work of a box, in elements of lf_parallel */
};

const lf_box *lf_box_at(size_t i) { return i < lf_base_f32.nbox ? &lf_base_f32.box[i] : NULL; }

const lf_box *lf_box_find(const char *name)
{
    const lf_box *loss;
    for (size_t i = 0; (loss = lf_box_at(i)) && strcmp(loss->name, name); i++) {}
    return loss;
}

const char *lf_box_name(const lf_box *loss) { return loss->name; }

/* The four columns of boxes, or of derivatives. */
typedef struct {
    lf_array column[EDGES];
    char *rows; /* where all are, box after box, in the kernels' dtype; NULL: elsewhere */
    int wanted;
} columns;

typedef struct {
    const lf_box *loss;
    const lf_box_call *call;
    lf_dtype dtype;
    size_t size;
    columns target, pred, grad;
    lf_array weight, value;

    lf_exact sum; /* below: under lf_lock */
    lf_status status;
    size_t bad;
} job;

typedef struct {
    _Alignas(64) char data[EDGES * BOXES * sizeof(double)];
} boxes;

static int open_columns(columns *c, lf_dtype dtype, const lf_in in[EDGES])
{
    const size_t size = lf_itemsize(dtype);
    c->wanted = in[0].data != NULL;
    c->rows = (char *)in[0].data;
    for (size_t k = 0; k < EDGES; k++) {
        lf_array *const a = &c->column[k];
        if ((in[k].data != NULL) != c->wanted) return 0;
        if (!lf_open(a, dtype, in[k].data, in[k].data ? in[k].dtype : dtype, in[k].stride, in[k].layout)) return 0;
        if (a->dtype != dtype || a->ndim != 1 || a->stride != (ptrdiff_t)(EDGES * size) || (uintptr_t)a->data % size ||
            a->data != c->column[0].data + k * size)
            c->rows = NULL;
    }
    return 1;
}

/* Boxes first ... first + n - 1 as edges. */
static void read_boxes(const job *j, const columns *c, size_t first, size_t n, boxes *to)
{
    const kernels *const k = lf_kernels(j->dtype);
    for (size_t g = 0; c->rows && g < n; g += TILE)
        k->into_tile(n - g < TILE ? n - g : TILE, EDGES, c->rows + (first + g) * EDGES * j->size, BOXES,
                     to->data + g * j->size);
    for (size_t e = 0; !c->rows && e < EDGES; e++)
        lf_load(&c->column[e], j->dtype, first, n, to->data + e * BOXES * j->size);
    k->box_edges(j->call->format, n, to->data);
}

static void write_boxes(const job *j, const columns *c, size_t first, size_t n, const boxes *from)
{
    const kernels *const k = lf_kernels(j->dtype);
    for (size_t g = 0; c->rows && g < n; g += TILE)
        k->out_of_tile(n - g < TILE ? n - g : TILE, EDGES, from->data + g * j->size, BOXES,
                       c->rows + (first + g) * EDGES * j->size);
    for (size_t e = 0; !c->rows && e < EDGES; e++)
        lf_write(&c->column[e], j->dtype, first, n, from->data + e * BOXES * j->size);
}

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
        read_boxes(j, &j->target, first, n, &t);
        read_boxes(j, &j->pred, first, n, &p);
        j->loss->run(n, t.data, p.data, w, j->call->eps, j->call->scale, value, j->grad.wanted ? grad.data : NULL);
        if (j->call->value.data) lf_write(&j->value, j->dtype, first, n, value);
        if (j->call->sum) lf_exact_add(&sum, k->sum(n, value));
        if (!j->grad.wanted) continue;
        k->box_chain(j->call->format, n, grad.data);
        write_boxes(j, &j->grad, first, n, &grad);
    }
    if (!j->call->sum) return;
    lf_lock();
    lf_exact_merge(&j->sum, &sum);
    lf_unlock();
}

static void check_blocks(void *context, size_t first_block, size_t last_block)
{
    job *const j = context;
    boxes found;
    for (size_t b = first_block; b < last_block; b++) {
        const size_t first = b * BOXES, n = j->call->n - first < BOXES ? j->call->n - first : BOXES;
        for (int is_pred = 0; is_pred < 2; is_pred++) {
            read_boxes(j, is_pred ? &j->pred : &j->target, first, n, &found);
            const size_t at = lf_kernels(j->dtype)->box_check(n, found.data);
            if (at == n) continue;
            lf_lock();
            if (j->status == LF_OK || first + at < j->bad) {
                j->status = is_pred ? LF_BAD_PRED : LF_BAD_TARGET;
                j->bad = first + at;
            }
            lf_unlock();
        }
        if (j->status) return;
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
    j.size = lf_itemsize(dtype);
    lf_in grad[EDGES];
    for (size_t k = 0; k < EDGES; k++) {
        const lf_out g = call->grad[k];
        grad[k] = (lf_in){g.data, g.dtype, g.stride, g.layout};
        if (g.data && ((unsigned)g.dtype >= LF_NDTYPE || !lf_kernels(dtype)->store[g.dtype])) return LF_BAD_ARGUMENT;
    }
    const lf_out v = call->value;
    const lf_in value = {v.data, v.dtype, v.stride, v.layout}, weight = call->weight;
    if (v.data && ((unsigned)v.dtype >= LF_NDTYPE || !lf_kernels(dtype)->store[v.dtype])) return LF_BAD_ARGUMENT;
    if (!open_columns(&j.target, dtype, call->target) || !open_columns(&j.pred, dtype, call->pred) ||
        !open_columns(&j.grad, dtype, grad) || (call->n && (!j.target.wanted || !j.pred.wanted)) ||
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
