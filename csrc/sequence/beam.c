/* Prefix beam search (A. Graves, "Supervised sequence labelling with recurrent neural networks", 2008, section 7.5;
 * A. Hannun et al., arXiv:1408.2873): after each frame the `beam_width` most probable prefixes, each with the
 * probability of its paths that end in blank and of those that end in its last label.
 *
 * Prefixes are nodes of a trie; a node lives while it or a descendant is in the beam, so paths of one prefix always
 * meet in one node.  The beam is kept in order of probability, and the classes of a frame are taken in that order too:
 * so the threshold that a candidate for the next beam must be above rises fast, and all the rest of the prefixes, or of
 * the classes, can be given up at once. */
#include "reader.h"

#include <math.h>
#include <string.h>

enum { NOBODY = -1, FREED = -2, ROOT = 0, PER_CLASS = 16 };

typedef struct {
    int32_t parent, label;
    int32_t child, next, previous; /* the first child, and the siblings; of a freed node next is the next freed */
    int32_t slot;                  /* in the beam, NOBODY or FREED */
} node;

/* Prefixes, the most probable first, with the log-probabilities of their paths that end in blank, in a label, and of
 * both. */
typedef struct {
    size_t n;
    double *blank, *label, *total;
    int32_t *node, *last; /* last: label, NOBODY of the root */
} prefixes;

/* A prefix that may be in the next beam: one of the beam, perhaps extended by a label. */
typedef struct {
    double score;
    int32_t slot, label; /* label: NOBODY if it is not extended */
} candidate;

typedef struct {
    ctc_frames f;
    const lf_ctc_beam_call *call;
    size_t frames, nodes; /* the most of any sample; that there can be */
    lf_places places;
} job;

typedef struct {
    frame_group group;
    char *room;
    node *nodes;
    int32_t used, freed; /* how many have ever been, and the first that is free again */
    prefixes beam, next;
    double *stays, *enters, *blank, *label, *total; /* of the prefixes in the beam, after this frame */
    int32_t *same_label;                            /* of each, the next in the beam with the same last label */
    size_t width, ncandidates;
    candidate *candidates, *spare; /* room for twice the width; among equals the earlier goes first */
    double *scores;
    double threshold;
    double *log_p;        /* of the classes */
    int32_t *with_label;  /* of each class the first prefix in the beam that ends in it, and whose parent is there */
    int32_t *ranked;      /* a heap of classes */
    unsigned char *taken; /* prefixes in the beam whose extension by the class at hand is there too */
} worker;

static void lay_out_prefixes(arena *a, size_t width, prefixes *p)
{
    p->blank = take(a, width, sizeof(double));
    p->label = take(a, width, sizeof(double));
    p->total = take(a, width, sizeof(double));
    p->node = take(a, width, sizeof(int32_t));
    p->last = take(a, width, sizeof(int32_t));
}

static arena lay_out(const job *j, char *base, worker *w)
{
    const size_t width = j->call->beam_width, classes = j->call->input.classes;
    arena a = {.base = base};
    w->width = width;
    w->room = take(&a, lf_frames_room(&j->f), 1);
    w->nodes = take(&a, j->nodes, sizeof *w->nodes);
    lay_out_prefixes(&a, width, &w->beam);
    lay_out_prefixes(&a, width, &w->next);
    double **const arrays[] = {&w->stays, &w->enters, &w->blank, &w->label, &w->total};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) *arrays[i] = take(&a, width, sizeof(double));
    w->same_label = take(&a, width, sizeof *w->same_label);
    w->taken = take(&a, width, sizeof *w->taken);
    w->candidates = take(&a, 2 * width, sizeof *w->candidates);
    w->spare = take(&a, 2 * width, sizeof *w->spare);
    w->scores = take(&a, 2 * width, sizeof *w->scores);
    w->log_p = take(&a, classes, sizeof *w->log_p);
    w->with_label = take(&a, classes, sizeof *w->with_label);
    w->ranked = take(&a, classes, sizeof *w->ranked);
    return a;
}

/* --- The trie ----------------------------------------------------------------------------------------------------- */

static int32_t new_node(worker *w, int32_t parent, int32_t label)
{
    const int32_t i = w->freed == NOBODY ? w->used++ : w->freed;
    node *const new = &w->nodes[i], *const above = &w->nodes[parent];
    if (w->freed != NOBODY) w->freed = new->next;
    *new = (node){
        .parent = parent, .label = label, .child = NOBODY, .next = above->child, .previous = NOBODY, .slot = NOBODY};
    if (above->child != NOBODY) w->nodes[above->child].previous = i;
    above->child = i;
    return i;
}

static int32_t child_of(const worker *w, int32_t parent, int32_t label)
{
    int32_t i = w->nodes[parent].child;
    while (i != NOBODY && w->nodes[i].label != label) i = w->nodes[i].next;
    return i;
}

/* Frees a node that nobody needs, and those above it that were there for its sake. */
static void release(worker *w, int32_t i)
{
    while (i != ROOT && w->nodes[i].slot == NOBODY && w->nodes[i].child == NOBODY) {
        node *const old = &w->nodes[i];
        const int32_t parent = old->parent;
        if (old->previous == NOBODY)
            w->nodes[parent].child = old->next;
        else
            w->nodes[old->previous].next = old->next;
        if (old->next != NOBODY) w->nodes[old->next].previous = old->previous;
        old->slot = FREED;
        old->next = w->freed;
        w->freed = i;
        i = parent;
    }
}

/* --- Candidates --------------------------------------------------------------------------------------------------- */

/* The number that k of n > k are before, from the largest down; they are moved about (C. A. R. Hoare, "Algorithm 65:
 * find", CACM 4 (1961) 321-322). */
static double kth_largest(double *x, size_t n, size_t k)
{
    const ptrdiff_t wanted = (ptrdiff_t)k;
    for (ptrdiff_t low = 0, high = (ptrdiff_t)n - 1; low < high;) {
        const double pivot = x[wanted];
        ptrdiff_t i = low, j = high;
        while (i <= j) {
            while (x[i] > pivot) i++;
            while (pivot > x[j]) j--;
            if (i > j) break;
            const double t = x[i];
            x[i++] = x[j], x[j--] = t;
        }
        if (j < wanted) low = i;
        if (wanted < i) high = j;
    }
    return x[wanted];
}

/* Of more candidates than the beam holds the best, in their order. */
static void prune(worker *w)
{
    const size_t n = w->ncandidates;
    if (n <= w->width) return;
    for (size_t i = 0; i < n; i++) w->scores[i] = w->candidates[i].score;
    const double least = kth_largest(w->scores, n, w->width - 1);
    size_t above = 0, kept = 0;
    for (size_t i = 0; i < n; i++) above += w->candidates[i].score > least;
    size_t equals = w->width - above;
    for (size_t i = 0; i < n; i++) {
        const candidate c = w->candidates[i];
        const int is_equal = c.score == least && equals;
        w->candidates[kept] = c;
        kept += c.score > least || is_equal;
        equals -= (size_t)is_equal;
    }
    w->ncandidates = kept;
    w->threshold = least;
}

static void add_candidate(worker *w, double score, size_t slot, int32_t label)
{
    w->candidates[w->ncandidates++] = (candidate){score, (int32_t)slot, label};
    if (w->ncandidates == 2 * w->width) prune(w);
}

/* From the best to the worst: runs that are in order already are merged, two by two. */
static void sort_candidates(worker *w)
{
    const size_t n = w->ncandidates;
    for (size_t runs = 2; runs > 1;) {
        const candidate *const from = w->candidates;
        candidate *to = w->spare;
        runs = 0;
        for (size_t first = 0; first < n; runs++) {
            size_t middle = first + 1;
            while (middle < n && from[middle].score <= from[middle - 1].score) middle++;
            size_t end = middle < n ? middle + 1 : n;
            while (end < n && from[end].score <= from[end - 1].score) end++;
            size_t i = first, k = middle;
            while (i < middle && k < end) *to++ = from[k].score > from[i].score ? from[k++] : from[i++];
            while (i < middle) *to++ = from[i++];
            while (k < end) *to++ = from[k++];
            first = end;
        }
        w->spare = w->candidates;
        w->candidates = to - n;
    }
}

/* --- Classes ------------------------------------------------------------------------------------------------------ */

static int is_better_class(const double *log_p, int32_t a, int32_t b)
{
    return log_p[a] > log_p[b] || (log_p[a] == log_p[b] && a < b);
}

static void sift_class(const double *log_p, int32_t *heap, size_t n, size_t i)
{
    const int32_t x = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && is_better_class(log_p, heap[child + 1], heap[child])) child++;
        if (!is_better_class(log_p, heap[child], x)) break;
        heap[i] = heap[child];
    }
    heap[i] = x;
}

/* The classes that can make a candidate of the best prefix, as a heap; returns how many. */
static size_t rank_classes(worker *w, size_t classes)
{
    enum { TOGETHER = 16 };
    const double best = w->beam.total[0], threshold = w->threshold;
    size_t n = 0;
    for (size_t first = 0; first < classes; first += TOGETHER) {
        const size_t end = classes - first < TOGETHER ? classes : first + TOGETHER;
        int any = 0;
        for (size_t k = first; k < end; k++) any |= best + w->log_p[k] > threshold;
        for (size_t k = first; any && k < end; k++) {
            w->ranked[n] = (int32_t)k;
            n += best + w->log_p[k] > threshold;
        }
    }
    for (size_t i = n / 2; i-- > 0;) sift_class(w->log_p, w->ranked, n, i);
    return n;
}

static void leave_out_classes(double *log_p, size_t classes, double least)
{
    size_t best = 0;
    for (size_t k = 1; k < classes; k++) best = log_p[k] > log_p[best] ? k : best;
    for (size_t k = 0; k < classes; k++)
        if (k != best && log_p[k] < least) log_p[k] = -INFINITY;
}

/* --- One frame ---------------------------------------------------------------------------------------------------- */

/* Prefixes that stay what they are: their own paths, and those of the prefix before that enter their last label. */
static void update_prefixes(worker *w, const job *j, double blank)
{
    const prefixes *const p = &w->beam;
    for (size_t i = 0; i < p->n; i++) {
        const int is_root = p->node[i] == ROOT;
        const int32_t last = p->last[i], parent = is_root ? ROOT : w->nodes[p->node[i]].parent;
        const int32_t before = is_root ? NOBODY : w->nodes[parent].slot;
        const double log_p = is_root ? -INFINITY : w->log_p[last];
        double enters = -INFINITY;
        if (before != NOBODY) {
            enters = (p->last[before] == last ? p->blank[before] : p->total[before]) + log_p;
            w->same_label[i] = w->with_label[last];
            w->with_label[last] = (int32_t)i;
        }
        w->blank[i] = p->total[i] + blank;
        w->stays[i] = p->label[i] + log_p;
        w->enters[i] = enters;
    }
    j->f.wide->log_add(p->n, w->stays, w->enters, w->label);
    j->f.wide->log_add(p->n, w->blank, w->label, w->total);
}

/* Every prefix extended by a class, unless that is in the beam already. */
static void extend(worker *w, int32_t class)
{
    const prefixes *const p = &w->beam;
    const double log_p = w->log_p[class];
    for (int32_t i = w->with_label[class]; i != NOBODY; i = w->same_label[i])
        w->taken[w->nodes[w->nodes[p->node[i]].parent].slot] = 1;
    for (size_t i = 0; i < p->n && p->total[i] + log_p > w->threshold; i++) {
        const double score = (p->last[i] == class ? p->blank[i] : p->total[i]) + log_p;
        if (!w->taken[i] && score > w->threshold) add_candidate(w, score, i, class);
    }
    for (int32_t i = w->with_label[class]; i != NOBODY; i = w->same_label[i])
        w->taken[w->nodes[w->nodes[p->node[i]].parent].slot] = 0;
}

/* The candidates become the beam. */
static void select_beam(worker *w)
{
    const prefixes old = w->beam;
    const size_t n = w->ncandidates;
    for (size_t i = 0; i < n; i++) {
        const candidate *const c = &w->candidates[i];
        const int32_t from = old.node[c->slot];
        const int is_new = c->label != NOBODY;
        const int32_t child = is_new ? child_of(w, from, c->label) : from;
        w->next.node[i] = child == NOBODY ? new_node(w, from, c->label) : child;
        w->next.last[i] = is_new ? c->label : old.last[c->slot];
        w->next.blank[i] = is_new ? -INFINITY : w->blank[c->slot];
        w->next.label[i] = is_new ? c->score : w->label[c->slot];
        w->next.total[i] = c->score;
    }
    for (size_t i = 0; i < old.n; i++) w->nodes[old.node[i]].slot = NOBODY;
    for (size_t i = 0; i < n; i++) w->nodes[w->next.node[i]].slot = (int32_t)i;
    for (size_t i = 0; i < old.n; i++) release(w, old.node[i]);
    w->beam = w->next;
    w->beam.n = n;
    w->next = old;
}

static void do_frame(worker *w, const job *j, size_t i)
{
    const size_t classes = j->call->input.classes;
    double *const log_p = w->log_p;
    j->f.k->log_probabilities(classes, w->group.row[i], w->group.top[i], w->group.log_sum[i], log_p);
    if (j->call->class_threshold > -INFINITY) leave_out_classes(log_p, classes, j->call->class_threshold);
    const double blank = log_p[j->call->input.blank];
    log_p[j->call->input.blank] = -INFINITY; /* it extends nothing */
    update_prefixes(w, j, blank);
    w->ncandidates = 0;
    w->threshold = -INFINITY;
    for (size_t k = 0; k < w->beam.n; k++)
        if (w->total[k] > -INFINITY) w->candidates[w->ncandidates++] = (candidate){w->total[k], (int32_t)k, NOBODY};
    if (w->beam.n) {
        size_t best;
        j->f.wide->highest(classes, log_p, &best);
        extend(w, (int32_t)best);
        prune(w);
        log_p[best] = -INFINITY;
        for (size_t left = rank_classes(w, classes); left && w->beam.total[0] + log_p[*w->ranked] > w->threshold;) {
            extend(w, *w->ranked);
            *w->ranked = w->ranked[--left];
            sift_class(log_p, w->ranked, left, 0);
        }
    }
    prune(w);
    sort_candidates(w);
    for (size_t k = 0; k < w->beam.n; k++)
        if (w->beam.last[k] != NOBODY) w->with_label[w->beam.last[k]] = NOBODY;
    select_beam(w);
}

/* --- One sample --------------------------------------------------------------------------------------------------- */

/* Returns whether there is no NaN among the logits. */
static int search(worker *w, const job *j, size_t sample)
{
    const size_t frames = lf_frames_of(&j->f, sample);
    w->nodes[ROOT] = (node){NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, 0};
    w->used = 1;
    w->freed = NOBODY;
    w->beam.n = 1;
    w->beam.blank[0] = w->beam.total[0] = 0, w->beam.label[0] = -INFINITY;
    w->beam.node[0] = ROOT, w->beam.last[0] = NOBODY;
    for (size_t first = 0; first < frames; first += j->f.together) {
        const size_t rest = frames - first, n = rest < j->f.together ? rest : j->f.together;
        lf_read_frames(&j->f, sample, first, n, &w->group);
        for (size_t i = 0; i < n; i++) {
            if (w->group.log_sum[i] != w->group.log_sum[i]) return 0;
            do_frame(w, j, i);
        }
    }
    return 1;
}

static void write_sample(const worker *w, const job *j, size_t sample, int good)
{
    const lf_ctc_beam_call *const call = j->call;
    for (size_t i = 0; i < call->top; i++) {
        const size_t at = sample * call->top + i;
        const int found = good && i < w->beam.n;
        size_t length = 0;
        for (int32_t k = found ? w->beam.node[i] : ROOT; k != ROOT; k = w->nodes[k].parent) length++;
        call->lengths[at] = (int64_t)length;
        call->log_probability[at] = !good ? (double)NAN : found ? w->beam.total[i] : -INFINITY;
        for (int32_t k = found ? w->beam.node[i] : ROOT; k != ROOT; k = w->nodes[k].parent)
            call->labels[at * call->input.frames + --length] = w->nodes[k].label;
    }
}

static void search_samples(void *context, size_t first, size_t last)
{
    job *const j = context;
    worker w;
    char *const place = lf_take_place(&j->places);
    lay_out(j, place, &w);
    w.group.room = w.room;
    for (size_t k = 0; k < j->call->input.classes; k++) w.with_label[k] = NOBODY;
    memset(w.taken, 0, w.width);
    for (size_t sample = first; sample < last; sample++) write_sample(&w, j, sample, search(&w, j, sample));
    lf_leave_place(&j->places, place);
}

static lf_status open_job(job *j, lf_dtype dtype, const lf_ctc_beam_call *call, lf_failure *failure)
{
    size_t elements;
    if (!call || call->top < 1 || call->top > call->beam_width || call->class_threshold != call->class_threshold)
        return LF_BAD_ARGUMENT;
    const lf_status status = lf_open_frames(&j->f, dtype, &call->input, 0, failure);
    if (status) return status;
    j->call = call;
    j->frames = 0;
    for (size_t n = 0; n < call->input.samples; n++)
        j->frames = lf_frames_of(&j->f, n) > j->frames ? lf_frames_of(&j->f, n) : j->frames;
    if (__builtin_mul_overflow(call->input.samples, call->top, &elements) ||
        __builtin_mul_overflow(elements, call->input.frames, &elements) || elements > PTRDIFF_MAX / sizeof(int64_t))
        return LF_TOO_LARGE;
    /* A frame adds no more than beam_width; they are numbered by int32_t. */
    if (__builtin_mul_overflow(j->frames + 1, call->beam_width, &j->nodes) || j->nodes >= INT32_MAX)
        return LF_TOO_LARGE;
    j->nodes++;
    return LF_OK;
}

lf_status lf_ctc_beam_workspace(lf_dtype dtype, const lf_ctc_beam_call *call, const lf_control *control, size_t *size,
                                lf_failure *failure)
{
    job j;
    worker unused;
    const lf_status status = size ? open_job(&j, dtype, call, failure) : LF_BAD_ARGUMENT;
    if (status) return status;
    const arena one = lay_out(&j, NULL, &unused), shared = {0};
    return lf_places_size(&shared, &one, call->input.samples, control, size);
}

lf_status lf_ctc_beam(lf_dtype dtype, const lf_ctc_beam_call *call, void *workspace, size_t size,
                      const lf_control *control, lf_failure *failure)
{
    job j;
    worker unused;
    lf_control mine;
    const lf_status status = open_job(&j, dtype, call, failure);
    if (status) return status;
    if (!call->input.samples) return LF_OK;
    if (!call->lengths || !call->log_probability || (call->input.frames && !call->labels)) return LF_BAD_ARGUMENT;
    const arena one = lay_out(&j, NULL, &unused), shared = {0};
    if (!lf_open_places(&j.places, workspace, size, &shared, &one, control, &mine)) return LF_BAD_ARGUMENT;
    const size_t cost = j.frames * (call->input.classes + call->beam_width) * PER_CLASS + 1;
    return lf_parallel(call->input.samples, cost, &mine, search_samples, &j);
}
