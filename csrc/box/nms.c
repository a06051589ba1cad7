/* Non-maximum suppression, greedy: a box is kept unless it overlaps too much one that is kept.
 *
 * A block of boxes is compared with those kept before it on all threads, then in order with those it keeps itself: what
 * is kept does not depend on threads, and nothing is stored but the kept boxes. */
#include "columns.h"
#include "../parallel.h"

#include <string.h>

enum {
    GRAIN = 8,  /* boxes of a unit of work */
    PARTS = 5,  /* numbers of a kept box */
    PAIRS = 16, /* to compare is the work of an element of lf_parallel */
    PER_POLL = 1 << 26
};

typedef struct {
    lf_dtype dtype;
    size_t n, nkept, pitch;
    double threshold;
    boxes block;
    void *kept;
    uint8_t *keep;
} job;

static size_t room(const lf_nms_call *call)
{
    size_t most = 0;
    for (size_t g = 0; g < call->groups; g++) {
        const size_t n = (size_t)(call->starts[g + 1] - call->starts[g]);
        most = n > most ? n : most;
    }
    most = most < call->most ? most : call->most;
    return (most + KEEPERS) / KEEPERS * KEEPERS;
}

size_t lf_nms_workspace(lf_dtype dtype, const lf_nms_call *call) { return PARTS * room(call) * lf_itemsize(dtype); }

static void compare(void *context, size_t first, size_t last)
{
    job *const j = context;
    const size_t end = last * GRAIN < j->n ? last * GRAIN : j->n;
    lf_kernels(j->dtype)->box_suppress(first * GRAIN, end, j->block.data, j->nkept, j->pitch, j->kept, j->threshold,
                                       j->keep);
}

/* The largest number of the dtype that is not above x: what exceeds it exceeds x. */
static double rounded_down(double x, lf_dtype dtype)
{
    float y = (float)x;
    uint32_t bits;
    if (dtype == LF_F64) return x;
    memcpy(&bits, &y, sizeof bits);
    bits -= y > x;
    memcpy(&y, &bits, sizeof y);
    return y;
}

lf_status lf_nms(lf_dtype dtype, const lf_nms_call *call, void *workspace, size_t size, const lf_control *control)
{
    if (!call || (dtype != LF_F32 && dtype != LF_F64) || (unsigned)call->format > LF_CXCYWH ||
        !(call->threshold >= 0 && call->threshold <= 1))
        return LF_BAD_ARGUMENT;
    for (size_t g = 0; g < call->groups; g++)
        if (call->starts[g] < 0 || call->starts[g + 1] < call->starts[g]) return LF_BAD_ARGUMENT;
    columns given;
    if (size < lf_nms_workspace(dtype, call) || !lf_open_columns(&given, dtype, call->box)) return LF_BAD_ARGUMENT;
    if (!call->groups || call->starts[0] == call->starts[call->groups]) return LF_OK;
    if (!given.wanted || !call->keep) return LF_BAD_ARGUMENT;
    job j = {.dtype = dtype, .pitch = room(call), .kept = workspace, .threshold = rounded_down(call->threshold, dtype)};
    size_t work = 0;
    for (size_t g = 0; g < call->groups; g++) {
        const size_t end = (size_t)call->starts[g + 1];
        j.nkept = 0;
        for (size_t first = (size_t)call->starts[g]; first < end; first += BOXES) {
            j.n = end - first < BOXES ? end - first : BOXES;
            j.keep = call->keep + first;
            memset(j.keep, j.nkept < call->most, j.n);
            if (j.nkept == call->most) continue;
            lf_read_boxes(&given, dtype, call->format, first, j.n, &j.block);
            const size_t cost = GRAIN * (j.nkept / PAIRS + 1);
            lf_status status = lf_parallel((j.n + GRAIN - 1) / GRAIN, cost, control, compare, &j);
            if (status) return status;
            j.nkept = lf_kernels(dtype)->box_keep(j.n, j.block.data, j.nkept, call->most, j.pitch, j.kept, j.threshold,
                                                  j.keep);
            work += j.n * (j.nkept + BOXES);
            if (work < PER_POLL) continue;
            work = 0;
            if (control && control->interrupted && control->interrupted(control->context)) return LF_INTERRUPTED;
        }
    }
    return LF_OK;
}
