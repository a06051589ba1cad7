/* Every box of one array against every box of another: a box of the first at a time, the second's across the lanes. */
#include "columns.h"
#include "../parallel.h"

#include <string.h>

enum {
    DOWN = 16,   /* boxes of the first array in a tile, which has BOXES of the second */
    PER_PAIR = 4 /* the work of a pair, in elements of lf_parallel */
};

typedef struct {
    const lf_box *loss;
    const lf_pairwise_call *call;
    lf_dtype dtype;
    columns first, second;
    lf_array minus, out;
    size_t across; /* tiles beside each other */
} job;

static void run_tiles(void *context, size_t first_tile, size_t last_tile)
{
    job *const j = context;
    const lf_pairwise_call *const call = j->call;
    const kernels *const k = lf_kernels(j->dtype);
    const size_t size = lf_itemsize(j->dtype);
    boxes rows, again, others;
    lf_buffer minus;
    _Alignas(64) char value[BOXES * sizeof(double)];
    lf_fill(&j->minus, j->dtype, 0, BOXES, &minus);
    for (size_t t = first_tile; t < last_tile; t++) {
        const size_t row = t / j->across * DOWN, column = t % j->across * BOXES;
        const size_t n = call->n - row < DOWN ? call->n - row : DOWN;
        const size_t m = call->m - column < BOXES ? call->m - column : BOXES;
        lf_read_boxes(&j->first, j->dtype, call->format, row, n, &rows);
        lf_read_boxes(&j->second, j->dtype, call->format, column, m, &others);
        for (size_t i = 0; i < n; i++) {
            const size_t at = (row + i) * call->m + column;
            void *const in_place = j->out.data + at * size;
            void *const to = j->out.in_place ? in_place : value;
            k->box_repeat(i, m, rows.data, again.data);
            j->loss->run(m, again.data, others.data, minus.block, call->eps, 0, 1, to, NULL);
            if (to == value) lf_write(&j->out, j->dtype, at, m, value);
        }
    }
}

lf_status lf_box_pairwise(const lf_box *loss, lf_dtype dtype, const lf_pairwise_call *call, const lf_control *control)
{
    static const int8_t minus_one = -1;
    if (!loss || !call || (dtype != LF_F32 && dtype != LF_F64) || (unsigned)call->format > LF_CXCYWH)
        return LF_BAD_ARGUMENT;
    if (!call->n || !call->m) return LF_OK;
    const lf_out o = call->out;
    if (call->n > PTRDIFF_MAX / sizeof(double) / call->m || !o.data || (unsigned)o.dtype >= LF_NDTYPE ||
        !lf_kernels(dtype)->store[o.dtype])
        return LF_BAD_ARGUMENT;
    job j;
    memset(&j, 0, sizeof j);
    j.loss = &lf_kernels(dtype)->box[loss - lf_base_f32.box];
    j.call = call;
    j.dtype = dtype;
    j.across = (call->m + BOXES - 1) / BOXES;
    if (!lf_open_columns(&j.first, dtype, call->boxes1) || !lf_open_columns(&j.second, dtype, call->boxes2) ||
        !j.first.wanted || !j.second.wanted || !lf_open(&j.minus, dtype, &minus_one, LF_I8, 0, NULL) ||
        !lf_open(&j.out, dtype, o.data, o.dtype, o.stride, o.layout))
        return LF_BAD_ARGUMENT;
    const size_t tile = (call->n < DOWN ? call->n : DOWN) * (call->m < BOXES ? call->m : BOXES);
    return lf_parallel((call->n + DOWN - 1) / DOWN * j.across, tile * PER_PAIR, control, run_tiles, &j);
}
