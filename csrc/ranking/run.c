/* The driver of pairwise ranking losses: every item against those of its group with another label.
 *
 * Both items of a pair compute it, so that each item's sums are its own, whatever threads there are. */
#include "../kernels.h"
#include "../parallel.h"

enum {
    ITEMS = 32,       /* that are taken together */
    UNITS = 64,       /* at least, if there are so many: large groups at one end must not leave threads idle */
    PER_PAIR = 8,     /* the work of a pair, in elements of lf_parallel */
    LARGEST = 1 << 20 /* the work of a unit, at most, unless it is a single block of items */
};

typedef struct {
    const lf_pairs_call *call;
    const kernels *k;
    lf_dtype dtype;
    size_t items, blocks, units;
} job;

/* The group of an item: the last that begins at or before it, and is not empty. */
static size_t group_of(const lf_pairs_call *c, int64_t item)
{
    size_t low = 0, high = c->groups;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (c->starts[middle] <= item)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The first of items from ... to - 1 with a label below x, or not above it. */
static int64_t first_below(const double *label, int64_t from, int64_t to, double x, int or_equal)
{
    while (from < to) {
        const int64_t middle = from + (to - from) / 2;
        if (or_equal ? label[middle] <= x : label[middle] < x)
            to = middle;
        else
            from = middle + 1;
    }
    return from;
}

static const char *scores_at(const job *j, int64_t item)
{
    return (const char *)j->call->score + (size_t)item * lf_itemsize(j->dtype);
}

static double score_of(const job *j, int64_t item)
{
    const void *const at = scores_at(j, item);
    return j->dtype == LF_F64 ? *(const double *)at : (double)*(const float *)at;
}

static void run_items(const job *j, int64_t first, int64_t last)
{
    const lf_pairs_call *const c = j->call;
    size_t group = group_of(c, first);
    int64_t above = -1, below = -1; /* the end of the items with higher labels, the first of those with lower ones */
    for (int64_t i = first; i < last; i++) {
        if (i >= c->starts[group + 1]) {
            while (i >= c->starts[group + 1]) group++;
            below = -1;
        }
        const int64_t begin = c->starts[group], end = c->starts[group + 1];
        if (i >= below) {
            above = first_below(c->label, begin, i, c->label[i], 1);
            below = first_below(c->label, i, end, c->label[i], 0);
        }
        double sums[3] = {0};
        const double score = score_of(j, i);
        j->k->pairs_below((size_t)(end - below), score, scores_at(j, below), sums);
        if (c->grad || c->hess) j->k->pairs_above((size_t)(above - begin), score, scores_at(j, begin), sums);
        if (c->value) c->value[i] = sums[0];
        if (c->grad) c->grad[i] = sums[1];
        if (c->hess) c->hess[i] = sums[2];
    }
}

/* Of every so many blocks one, so that units have about the same work. */
static void run_units(void *context, size_t first, size_t last)
{
    const job *const j = context;
    for (size_t u = first; u < last; u++)
        for (size_t block = u; block < j->blocks; block += j->units) {
            const size_t item = block * ITEMS, rest = j->items - item;
            run_items(j, (int64_t)item, (int64_t)(item + (rest < ITEMS ? rest : ITEMS)));
        }
}

/* The first item whose label is not a number, or above the one before it in its group; or how many there are. */
static size_t check_labels(const lf_pairs_call *c)
{
    for (size_t g = 0; g < c->groups; g++)
        for (int64_t i = c->starts[g]; i < c->starts[g + 1]; i++)
            if (!(i > c->starts[g] ? c->label[i] <= c->label[i - 1] : c->label[i] == c->label[i])) return (size_t)i;
    return (size_t)c->starts[c->groups];
}

lf_status lf_pairwise_logistic(lf_dtype dtype, const lf_pairs_call *call, const lf_control *control,
                               lf_failure *failure)
{
    if (!call || (dtype != LF_F32 && dtype != LF_F64) || !call->starts || call->starts[0]) return LF_BAD_ARGUMENT;
    double work = 0;
    for (size_t g = 0; g < call->groups; g++) {
        const int64_t size = call->starts[g + 1] - call->starts[g];
        if (call->starts[g + 1] < call->starts[g]) return LF_BAD_ARGUMENT;
        work += PER_PAIR * (double)size * (double)size;
    }
    job j = {.call = call, .k = lf_kernels(dtype), .dtype = dtype, .items = (size_t)call->starts[call->groups]};
    if (!j.items) return LF_OK;
    if (!call->label || !call->score) return LF_BAD_ARGUMENT;
    const size_t bad = check_labels(call);
    if (bad < j.items) {
        if (failure) failure->index = bad;
        return LF_BAD_TARGET;
    }
    j.blocks = (j.items + ITEMS - 1) / ITEMS;
    const double units = work / LARGEST < UNITS ? UNITS : work / LARGEST;
    j.units = units < (double)j.blocks ? (size_t)units : j.blocks;
    const double cost = work / (double)j.units + 1;
    return lf_parallel(j.units, cost < 0x1p40 ? (size_t)cost : (size_t)1 << 40, control, run_units, &j);
}
