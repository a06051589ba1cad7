/* Prefix beam search (A. Graves, "Supervised sequence labelling with recurrent neural networks", 2008, section 7.5;
 * A. Hannun et al., arXiv:1408.2873): after each frame the `beam_width` most probable prefixes, each with the
 * probability of its paths that end in blank and of those that end in its last label.
 *
 * Prefixes are nodes of a trie; a node lives while it or a descendant is in the beam, so paths of one prefix always
 * meet in one node.  The beam is kept in order of probability, and the classes of a frame are taken in that order too,
 * as far as they are needed: then extensions can be given up as soon as one is too improbable. */
#include "frames.h"

#include <math.h>
#include <string.h>

enum { NOBODY = -1, FREED = -2, ROOT = 0, PER_CLASS = 16 };

typedef struct {
    int32_t parent, label;
    int32_t child, next, previous; /* the first child, and the siblings; of a freed node next is the next freed */
    int32_t slot;                  /* in the beam, NOBODY or FREED */
} node;

typedef struct {
    double blank, label, total; /* log-probabilities of paths that end in blank, in a label, and of both */
    int32_t node;
} prefix;

/* A prefix that may be in the next beam; before others of equal score comes the one with the lower order. */
typedef struct {
    double score;
    uint64_t order;
    int32_t slot;  /* of the prefix that it is, or extends */
    int32_t label; /* that it is extended by; NOBODY: it is that prefix */
    int32_t node;  /* if it has one */
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
    size_t n;            /* prefixes in the beam */
    prefix *beam, *next;
    double *stays, *enters, *blank, *label, *total; /* of the prefixes in the beam, after this frame */
    candidate *heap;                                /* the least first */
    size_t nheap;
    uint64_t order;
    double threshold;             /* a candidate must be above it */
    double *log_p;                /* of the classes */
    int32_t *ranked, *child_with; /* classes: the best `nranked` stand last, before them a heap; children */
    size_t nclasses, nranked;
} worker;

static lf_parts lay_out(const job *j, char *base, worker *w)
{
    const size_t width = j->call->beam_width, classes = j->call->input.classes;
    lf_parts parts = {.base = base};
    w->room = lf_part(&parts, lf_frames_room(&j->f), 1);
    w->nodes = lf_part(&parts, j->nodes, sizeof *w->nodes);
    w->beam = lf_part(&parts, width, sizeof *w->beam);
    w->next = lf_part(&parts, width, sizeof *w->next);
    double **const arrays[] = {&w->stays, &w->enters, &w->blank, &w->label, &w->total};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) *arrays[i] = lf_part(&parts, width, sizeof(double));
    w->heap = lf_part(&parts, width, sizeof *w->heap);
    w->log_p = lf_part(&parts, classes, sizeof *w->log_p);
    w->ranked = lf_part(&parts, classes, sizeof *w->ranked);
    w->child_with = lf_part(&parts, classes, sizeof *w->child_with);
    return parts;
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

/* --- Heaps -------------------------------------------------------------------------------------------------------- */

static int is_worse(const candidate *a, const candidate *b)
{
    return a->score < b->score || (a->score == b->score && a->order > b->order);
}

static void sift_candidate(candidate *heap, size_t n, size_t i)
{
    const candidate x = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && is_worse(&heap[child + 1], &heap[child])) child++;
        if (!is_worse(&heap[child], &x)) break;
        heap[i] = heap[child];
    }
    heap[i] = x;
}

static void add_candidate(worker *w, size_t width, candidate x)
{
    x.order = w->order++;
    if (w->nheap < width) {
        w->heap[w->nheap++] = x;
        if (w->nheap < width) return;
        for (size_t i = width / 2; i-- > 0;) sift_candidate(w->heap, width, i);
    } else {
        w->heap[0] = x;
        sift_candidate(w->heap, width, 0);
    }
    w->threshold = w->heap[0].score;
}

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

/* The class of a rank, NOBODY beyond the last: those before it have been asked for. */
static int32_t class_of_rank(worker *w, size_t rank)
{
    if (rank == w->nranked) {
        const size_t left = w->nclasses - w->nranked;
        if (!left) return NOBODY;
        const int32_t best = w->ranked[0];
        w->ranked[0] = w->ranked[left - 1];
        sift_class(w->log_p, w->ranked, left - 1, 0);
        w->ranked[left - 1] = best;
        w->nranked++;
    }
    return w->ranked[w->nclasses - 1 - rank];
}

/* --- One frame ---------------------------------------------------------------------------------------------------- */

/* Prefixes that stay what they are: their own paths, and those of the prefix before that enter their last label. */
static void update_prefixes(worker *w, const job *j)
{
    const double blank = w->log_p[j->call->input.blank];
    for (size_t i = 0; i < w->n; i++) {
        const prefix *const p = &w->beam[i];
        const node *const own = &w->nodes[p->node];
        const int is_root = p->node == ROOT;
        const double log_p = is_root ? -INFINITY : w->log_p[own->label];
        const int32_t before = is_root ? NOBODY : w->nodes[own->parent].slot;
        double enters = -INFINITY;
        if (before != NOBODY) {
            const int repeats = own->parent != ROOT && w->nodes[own->parent].label == own->label;
            enters = (repeats ? w->beam[before].blank : w->beam[before].total) + log_p;
        }
        w->blank[i] = p->total + blank;
        w->stays[i] = p->label + log_p;
        w->enters[i] = enters;
    }
    j->f.wide->log_add(w->n, w->stays, w->enters, w->label);
    j->f.wide->log_add(w->n, w->blank, w->label, w->total);
}

static void rank_classes(worker *w, const job *j)
{
    size_t n = 0;
    for (size_t k = 0; k < j->call->input.classes; k++) {
        w->ranked[n] = (int32_t)k;
        n += w->beam[0].total + w->log_p[k] > w->threshold && (int64_t)k != j->call->input.blank;
    }
    w->nclasses = n;
    w->nranked = 0;
    for (size_t i = n / 2; i-- > 0;) sift_class(w->log_p, w->ranked, n, i);
}

/* Extensions of a prefix by a class; returns whether there can be any of the prefixes after it. */
static int extend(worker *w, const job *j, size_t slot)
{
    const prefix *const p = &w->beam[slot];
    const node *const own = &w->nodes[p->node];
    const int32_t last = p->node == ROOT ? NOBODY : own->label;
    size_t rank = 0;
    for (int32_t i = own->child; i != NOBODY; i = w->nodes[i].next) w->child_with[w->nodes[i].label] = i;
    for (int32_t class; (class = class_of_rank(w, rank)) != NOBODY; rank++) {
        const double log_p = w->log_p[class];
        if (!(p->total + log_p > w->threshold)) break;
        const int32_t child = w->child_with[class];
        const double score = class == last ? p->blank + log_p : p->total + log_p;
        const int is_in_beam = child != NOBODY && w->nodes[child].slot != NOBODY;
        if (is_in_beam || !(score > w->threshold)) continue;
        add_candidate(w, j->call->beam_width, (candidate){score, 0, (int32_t)slot, class, child});
    }
    for (int32_t i = own->child; i != NOBODY; i = w->nodes[i].next) w->child_with[w->nodes[i].label] = NOBODY;
    return rank > 0;
}

/* The candidates become the beam, the best first. */
static void select_beam(worker *w, size_t width)
{
    const size_t n = w->nheap;
    if (n < width)
        for (size_t i = n / 2; i-- > 0;) sift_candidate(w->heap, n, i);
    for (size_t left = n; left > 1; left--) {
        const candidate worst = w->heap[0];
        w->heap[0] = w->heap[left - 1];
        sift_candidate(w->heap, left - 1, 0);
        w->heap[left - 1] = worst;
    }
    for (size_t i = 0; i < n; i++) {
        const candidate *const c = &w->heap[i];
        const int32_t from = w->beam[c->slot].node;
        if (c->label == NOBODY)
            w->next[i] = (prefix){w->blank[c->slot], w->label[c->slot], w->total[c->slot], from};
        else
            w->next[i] =
                (prefix){-INFINITY, c->score, c->score, c->node == NOBODY ? new_node(w, from, c->label) : c->node};
    }
    for (size_t i = 0; i < w->n; i++) w->nodes[w->beam[i].node].slot = NOBODY;
    for (size_t i = 0; i < n; i++) w->nodes[w->next[i].node].slot = (int32_t)i;
    for (size_t i = 0; i < w->n; i++) release(w, w->beam[i].node);
    prefix *const old = w->beam;
    w->beam = w->next;
    w->next = old;
    w->n = n;
}

static void leave_out_classes(worker *w, const job *j)
{
    const double least = j->call->class_threshold;
    const size_t classes = j->call->input.classes;
    size_t best = 0;
    for (size_t k = 1; k < classes; k++) best = w->log_p[k] > w->log_p[best] ? k : best;
    for (size_t k = 0; k < classes; k++)
        if (k != best && w->log_p[k] < least) w->log_p[k] = -INFINITY;
}

static void do_frame(worker *w, const job *j, size_t i)
{
    const size_t width = j->call->beam_width;
    j->f.k->log_probabilities(j->call->input.classes, w->group.row[i], w->group.top[i], w->group.log_sum[i], w->log_p);
    if (j->call->class_threshold > -INFINITY) leave_out_classes(w, j);
    update_prefixes(w, j);
    w->nheap = 0;
    w->order = 0;
    w->threshold = -INFINITY;
    for (size_t k = 0; k < w->n; k++)
        if (w->total[k] > -INFINITY)
            add_candidate(w, width, (candidate){w->total[k], 0, (int32_t)k, NOBODY, w->beam[k].node});
    if (w->n) rank_classes(w, j);
    for (size_t k = 0; k < w->n && extend(w, j, k); k++) {}
    select_beam(w, width);
}

/* --- One sample --------------------------------------------------------------------------------------------------- */

/* Returns whether there is no NaN among the logits. */
static int search(worker *w, const job *j, size_t sample)
{
    const size_t frames = lf_frames_of(&j->f, sample);
    w->nodes[ROOT] = (node){NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, 0};
    w->used = 1;
    w->freed = NOBODY;
    w->n = 1;
    w->beam[0] = (prefix){0, -INFINITY, 0, ROOT};
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
        const int found = good && i < w->n;
        size_t length = 0;
        for (int32_t k = found ? w->beam[i].node : ROOT; k != ROOT; k = w->nodes[k].parent) length++;
        call->lengths[at] = (int64_t)length;
        call->log_probability[at] = !good ? (double)NAN : found ? w->beam[i].total : -INFINITY;
        for (int32_t k = found ? w->beam[i].node : ROOT; k != ROOT; k = w->nodes[k].parent)
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
    for (size_t k = 0; k < j->call->input.classes; k++) w.child_with[k] = NOBODY;
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
    /* A frame adds no more than beam_width. */
    if (__builtin_mul_overflow(j->frames + 1, call->beam_width, &j->nodes) || j->nodes >= INT32_MAX)
        j->nodes = SIZE_MAX; /* too many to be numbered: the workspace has no size */
    else
        j->nodes++;
    if (__builtin_mul_overflow(call->input.samples, call->top, &elements) ||
        __builtin_mul_overflow(elements, call->input.frames, &elements) || elements > PTRDIFF_MAX / sizeof(int64_t))
        return LF_BAD_ARGUMENT;
    return LF_OK;
}

lf_status lf_ctc_beam_workspace(lf_dtype dtype, const lf_ctc_beam_call *call, const lf_control *control, size_t *size,
                                lf_failure *failure)
{
    job j;
    worker unused;
    const lf_status status = size ? open_job(&j, dtype, call, failure) : LF_BAD_ARGUMENT;
    if (status) return status;
    const lf_parts parts = lay_out(&j, NULL, &unused);
    *size = parts.overflow ? SIZE_MAX : lf_places_size(0, parts.size, call->input.samples, control);
    return LF_OK;
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
    const lf_parts parts = lay_out(&j, NULL, &unused);
    if (parts.overflow || !lf_open_places(&j.places, workspace, size, 0, parts.size, control, &mine))
        return LF_BAD_ARGUMENT;
    const size_t cost = j.frames * (call->input.classes + call->beam_width) * PER_CLASS + 1;
    return lf_parallel(call->input.samples, cost, &mine, search_samples, &j);
}
