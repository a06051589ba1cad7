/* Confusion counts of two label maps: blocks of both become indices of pairs of classes, which are counted. */
#include "../parallel.h"
#include "../rowwise/labels.h"
#include "../sequence/reader.h"

#include <string.h>

enum {
    COST = 4,          /* of an element, in those of lf_parallel */
    COPIES = 4,        /* of small tables: neighbours are often alike, and a count waits for the one before */
    SMALL = 2048,      /* counts of a small table */
    LARGE = 512 * 512, /* counts of a table that threads do not share out */
    EXACT = 1 << 23    /* integers up to here remain themselves in float32, those beyond stay beyond */
};

typedef struct {
    const lf_confusion_call *call;
    lf_array target, pred;
    size_t pairs, copies; /* pairs: of classes, and one more for what is left out */
    lf_places places;
    lf_status status; /* below: under lf_lock */
    size_t bad;
} job;

static lf_status open_job(job *j, const lf_confusion_call *call)
{
    memset(j, 0, sizeof *j);
    if (!call || call->classes < 1 || call->classes > LF_MAX_COUNTED || !call->counts) return LF_BAD_ARGUMENT;
    const lf_in *const t = &call->target, *const p = &call->pred;
    if (call->n && (!t->data || !p->data)) return LF_BAD_ARGUMENT;
    if (call->n && (!lf_open(&j->target, LF_F32, t->data, t->dtype, t->stride, t->layout) ||
                    !lf_open(&j->pred, LF_F32, p->data, p->dtype, p->stride, p->layout)))
        return LF_BAD_ARGUMENT;
    j->call = call;
    j->pairs = call->classes * call->classes + 1;
    j->copies = j->pairs <= SMALL ? COPIES : 1;
    return LF_OK;
}

static arena lay_out(const job *j)
{
    arena one = {0};
    take(&one, j->pairs * j->copies, sizeof(int64_t));
    return one;
}

static size_t blocks_of(const job *j) { return (j->call->n + BLOCK - 1) / BLOCK; }

lf_status lf_confusion_workspace(const lf_confusion_call *call, const lf_control *control, size_t *size)
{
    job j;
    const lf_status status = size ? open_job(&j, call) : LF_BAD_ARGUMENT;
    if (status) return status;
    const arena shared = {0}, one = lay_out(&j);
    return lf_places_size(&shared, &one, j.pairs > LARGE ? 1 : blocks_of(&j), control, size);
}

/* Classes of a block; IGNORED and NO_CLASS where they are none. */
static void read_labels(const lf_array *array, const lf_confusion_call *call, int may_ignore, size_t first, size_t n,
                        int32_t *label)
{
    const int ignores = may_ignore && call->has_ignore;
    if (array->dtype < LF_F16 && (!ignores || (call->ignore > -EXACT && call->ignore < EXACT))) {
        const float classes = (float)call->classes, ignore = ignores ? (float)call->ignore : -1;
        float x[BLOCK];
        lf_load(array, LF_F32, first, n, x);
        for (size_t i = 0; i < n; i++) {
            const int known = x[i] >= 0 && x[i] < classes;
            const int32_t k = known ? (int32_t)x[i] : NO_CLASS;
            label[i] = ignores && x[i] == ignore ? IGNORED : k;
        }
        return;
    }
    const lf_row_call rules = {.classes = call->classes, .has_ignore = ignores, .ignore = call->ignore};
    int64_t found[BLOCK];
    lf_labels(array, &rules, first, n, found);
    for (size_t i = 0; i < n; i++) label[i] = (int32_t)found[i];
}

static void report(job *j, lf_status status, size_t index)
{
    lf_lock();
    if (!j->status || index < j->bad) j->status = status, j->bad = index;
    lf_unlock();
}

/* The index of each pair.  Returns 0 if a label is no class. */
static int pair_up(job *j, size_t first, size_t n, int32_t *pair)
{
    const int32_t classes = (int32_t)j->call->classes, left_out = classes * classes;
    int32_t target[BLOCK], pred[BLOCK], bad = 0;
    read_labels(&j->target, j->call, 1, first, n, target);
    read_labels(&j->pred, j->call, 0, first, n, pred);
    for (size_t i = 0; i < n; i++) {
        const int ignored = target[i] == IGNORED;
        bad |= ignored ? 0 : target[i] | pred[i];
        pair[i] = ignored ? left_out : target[i] * classes + pred[i];
    }
    for (size_t i = 0; bad < 0 && i < n; i++) {
        if (target[i] == IGNORED || (target[i] >= 0 && pred[i] >= 0)) continue;
        report(j, target[i] < 0 ? LF_BAD_TARGET : LF_BAD_PRED, first + i);
        return 0;
    }
    return 1;
}

static void count_blocks(void *context, size_t first_block, size_t last_block)
{
    job *const j = context;
    int64_t *const counts = lf_take_place(&j->places);
    const size_t other = j->copies > 1 ? j->pairs : 0;
    int32_t pair[BLOCK];
    for (size_t b = first_block; b < last_block; b++) {
        const size_t first = b * BLOCK, n = j->call->n - first < BLOCK ? j->call->n - first : BLOCK;
        size_t i = 0;
        if (!pair_up(j, first, n, pair)) break;
        for (; i + COPIES <= n; i += COPIES)
            for (size_t c = 0; c < COPIES; c++) counts[c * other + (size_t)pair[i + c]]++;
        for (; i < n; i++) counts[pair[i]]++;
    }
    lf_leave_place(&j->places, counts);
}

lf_status lf_confusion(const lf_confusion_call *call, void *workspace, size_t size, const lf_control *control,
                       lf_failure *failure)
{
    job j;
    lf_control mine;
    const lf_status status = open_job(&j, call);
    if (status) return status;
    const arena shared = {0}, one = lay_out(&j);
    if (!lf_open_places(&j.places, workspace, size, &shared, &one, control, &mine)) return LF_BAD_ARGUMENT;
    if (j.pairs > LARGE) mine.nthreads = 1;
    const size_t places = (size_t)mine.nthreads;
    memset(j.places.base, 0, places * j.places.each);
    const lf_status done = lf_parallel(blocks_of(&j), BLOCK * COST, &mine, count_blocks, &j);
    if (failure) failure->index = j.bad;
    if (j.status || done) return j.status ? j.status : done;
    for (size_t p = 0; p < places; p++)
        for (size_t c = 0; c < j.copies; c++) {
            const int64_t *const found = (const int64_t *)(j.places.base + p * j.places.each) + c * j.pairs;
            for (size_t k = 0; k + 1 < j.pairs; k++) call->counts[k] += found[k];
        }
    return LF_OK;
}
