/* The driver of connectionist temporal classification: samples into packs, their halves to threads, and what comes of
 * them into values and gradients.  What is computed of a sample depends on nothing but the sample. */
#include "../parallel.h"
#include "../rowwise/labels.h"

#include <math.h>
#include <string.h>

#include "arena.h"
#include "softmax.h"
#include "lattice.h"
#include "frames.h"
#include "passes.h"
#include "meet.h"

/* --- What is asked for ---------------------------------------------------------------------------------------------- */

static lf_status fail(lf_failure *failure, lf_status status, size_t index)
{
    if (failure) failure->index = index;
    return status;
}

/* n integers in [0, most]; where there are no data, `most`.  Returns the first that is not, or n. */
static size_t read_lengths(lf_in in, size_t n, size_t most, int64_t *out)
{
    const lf_row_call range = {.classes = most + 1};
    lf_array array;
    if (!in.data) {
        for (size_t i = 0; i < n; i++) out[i] = (int64_t)most;
        return n;
    }
    lf_open(&array, LF_F64, in.data, in.dtype, in.stride, in.layout);
    for (size_t first = 0; first < n; first += BLOCK) {
        const size_t m = n - first < BLOCK ? n - first : BLOCK;
        if (lf_labels(&array, &range, first, m, out + first)) continue;
        for (size_t i = first;; i++)
            if (out[i] < 0) return i;
    }
    return n;
}

typedef struct {
    size_t most_frames, most_labels, fewest_labels, all_labels;
} extent;

/* The lengths of a block of samples after another; their extremes, and the lengths themselves where there is room. */
static lf_status survey_lengths(const lf_ctc_call *c, extent *e, int64_t *labels, int64_t *frames, lf_failure *failure)
{
    int64_t room[2][BLOCK];
    *e = (extent){0, 0, SIZE_MAX, 0};
    const size_t room_for = c->posteriors.data && c->max_labels < c->nlabels ? c->max_labels : c->nlabels;
    const size_t most = c->concatenated ? room_for : c->max_labels;
    for (size_t first = 0; first < c->samples; first += BLOCK) {
        const size_t n = c->samples - first < BLOCK ? c->samples - first : BLOCK;
        int64_t *const of_labels = labels ? labels + first : room[0], *const of_frames =
                                                                          frames ? frames + first : room[1];
        lf_in part[2] = {c->label_lengths, c->logit_lengths};
        size_t bad;
        for (int i = 0; i < 2; i++)
            part[i].data = part[i].data ? (const char *)part[i].data + (ptrdiff_t)first * part[i].stride : NULL;
        if ((bad = read_lengths(part[0], n, most, of_labels)) < n)
            return fail(failure, LF_BAD_LABEL_LENGTH, first + bad);
        if ((bad = read_lengths(part[1], n, c->frames, of_frames)) < n)
            return fail(failure, LF_BAD_LOGIT_LENGTH, first + bad);
        for (size_t i = 0; i < n; i++) {
            const size_t l = (size_t)of_labels[i], t = (size_t)of_frames[i];
            e->most_frames = t > e->most_frames ? t : e->most_frames;
            e->most_labels = l > e->most_labels ? l : e->most_labels;
            e->fewest_labels = l < e->fewest_labels ? l : e->fewest_labels;
            if (__builtin_add_overflow(e->all_labels, l, &e->all_labels)) return LF_TOO_LARGE;
        }
    }
    if (c->concatenated && e->all_labels != c->nlabels) return fail(failure, LF_BAD_LABEL_LENGTH, c->samples);
    return LF_OK;
}

static int open_operands(operands *o, const lf_ctc_call *c, lf_dtype dtype)
{
    const size_t shape[3] = {c->samples, c->frames, c->classes}, size = lf_itemsize(dtype);
    o->dtype = dtype;
    o->k = lf_kernels(dtype);
    o->size = size;
    o->across = c->classes * TILE * size <= ROOM;
    for (int i = 0; i < 2; i++) {
        const lf_in in = i ? (lf_in){c->grad.data, c->grad.dtype, c->grad.stride, c->grad.layout} : c->logits;
        const ptrdiff_t item = (ptrdiff_t)lf_itemsize(in.dtype);
        const ptrdiff_t plain[3] = {(ptrdiff_t)(c->frames * c->classes) * item, (ptrdiff_t)c->classes * item, item};
        const int laid_out = in.data && in.layout;
        const lf_layout layout = {3, shape, laid_out ? in.layout->strides : plain};
        if (laid_out && (in.layout->ndim != 3 || memcmp(in.layout->shape, shape, sizeof shape))) return 0;
        if (!lf_open(i ? &o->grad : &o->logits, dtype, in.data, in.data ? in.dtype : dtype, 0, &layout)) return 0;
        if (i && in.data && !o->k->store[in.dtype]) return 0;
        const ptrdiff_t *const s = layout.strides;
        const int in_place = in.data && in.dtype == dtype && (s[2] == item || c->classes == 1) && s[0] % item == 0 &&
                             s[1] % item == 0 && (uintptr_t)in.data % size == 0;
        *(i ? &o->out : &o->in) = in_place ? (char *)in.data : NULL;
        *(i ? &o->out_sample : &o->in_sample) = s[0];
        *(i ? &o->out_frame : &o->in_frame) = s[1];
    }
    const lf_out p = c->posteriors;
    return (!p.data || o->k->store[p.dtype]) &&
           lf_open(&o->posteriors, dtype, p.data, p.data ? p.dtype : dtype, p.stride, p.layout);
}

static int is_sane(const lf_ctc_call *c, lf_dtype dtype)
{
    return c && (dtype == LF_F32 || dtype == LF_F64) && c->classes >= 1 && c->classes <= LF_MAX_CLASSES &&
           c->blank >= 0 && (size_t)c->blank < c->classes && c->frames <= LF_MAX_FRAMES &&
           c->max_labels < INT64_MAX / 4 && c->nlabels < INT64_MAX / 4 &&
           (!c->samples || c->logits.data || !c->frames) && (!c->label_lengths.data || !c->label_lengths.layout) &&
           (!c->logit_lengths.data || !c->logit_lengths.layout) &&
           (c->label_lengths.data || !c->concatenated || !c->samples);
}

/* --- Memory --------------------------------------------------------------------------------------------------------- */

/* What a call needs, from the extent of its samples; with a base, where it is. */
static int lay_out(job *j, arena *a, const extent *e, size_t threads)
{
    const lf_ctc_call *const c = j->call;
    const size_t samples = c->samples, fewest = e->fewest_labels + 1;
    j->together = SHARED / fewest < 1 ? 1 : SHARED / fewest < LATTICE_MEMBERS ? SHARED / fewest : LATTICE_MEMBERS;
    if (j->together > samples / threads) j->together = samples / threads ? samples / threads : 1;
    j->halves = threads > 1 && (samples < threads || (samples % threads && samples < 4 * threads));
    if (j->halves) j->together = 1;
    j->nslots = j->halves ? samples : threads;
    const size_t lanes = j->together > 1 && e->most_labels + 1 < SHARED ? SHARED : e->most_labels + 1;
    j->label_length = take(a, samples, sizeof *j->label_length);
    j->logit_length = take(a, samples, sizeof *j->logit_length);
    j->first_label = take(a, samples, sizeof *j->first_label);
    j->pack = take(a, samples + 1, sizeof *j->pack);
    j->free_slot = take(a, j->nslots, sizeof *j->free_slot);
    size_t labels;
    if (__builtin_add_overflow(e->all_labels, samples, &labels)) return 0;
    j->label = take(a, labels, sizeof *j->label);
    pack one;
    size_t all;
    arena narrow = {0}, slot = {0};
    take(&narrow, 1, sizeof(pack));
    if (__builtin_mul_overflow(j->together, e->most_frames, &all)) return 0;
    furnish(&one, &narrow, j, &j->as[0], j->together, lanes, e->most_frames, all);
    take(&narrow, 0, 1);
    j->narrow_size = narrow.used;
    take(&slot, narrow.used, 1);
    if (j->as[0].dtype == LF_F32) {
        take(&slot, 1, sizeof(pack));
        furnish(&one, &slot, j, &j->as[1], 1, e->most_labels + 1, e->most_frames, e->most_frames);
    }
    take(&slot, 0, 1);
    j->slot_size = slot.used;
    j->slots = take(a, j->nslots, j->slot_size);
    return !(a->overflow | narrow.overflow | slot.overflow);
}

static lf_status open_job(job *j, lf_dtype dtype, const lf_ctc_call *call)
{
    memset(j, 0, sizeof *j);
    if (!is_sane(call, dtype)) return LF_BAD_ARGUMENT;
    j->call = call;
    j->classes = call->classes;
    j->frames = call->frames;
    if (!open_operands(&j->as[0], call, dtype) || !open_operands(&j->as[1], call, LF_F64)) return LF_BAD_ARGUMENT;
    const lf_out v = call->value;
    const lf_in s = call->scale;
    if ((v.data && !j->as[1].k->store[v.dtype]) ||
        !lf_open(&j->value, LF_F64, v.data, v.data ? v.dtype : LF_F64, v.stride, v.layout) ||
        !lf_open(&j->scale, LF_F64, s.data, s.data ? s.dtype : LF_F64, s.stride, s.layout))
        return LF_BAD_ARGUMENT;
    j->log = j->as[1].k->log;
    return LF_OK;
}

lf_status lf_ctc_workspace(lf_dtype dtype, const lf_ctc_call *call, const lf_control *control, size_t *size,
                           lf_failure *failure)
{
    job j;
    extent e;
    arena a = {0};
    lf_status status = size ? open_job(&j, dtype, call) : LF_BAD_ARGUMENT;
    if (!status) status = survey_lengths(call, &e, NULL, NULL, failure);
    if (!status && call->samples && !lay_out(&j, &a, &e, lf_threads(control))) status = LF_TOO_LARGE;
    if (!status) *size = a.used + 64;
    return status;
}

/* --- The call ------------------------------------------------------------------------------------------------------- */

/* The labels of all samples as int32, a blank after each; LF_BAD_TARGET at the first that is none. */
static lf_status read_labels(const job *j, int32_t *to, size_t *first_label, lf_failure *failure)
{
    const lf_ctc_call *const c = j->call;
    const lf_row_call range = {.classes = c->classes};
    lf_array labels;
    int64_t block[BLOCK];
    if (!lf_open(&labels, LF_F64, c->labels.data, c->labels.data ? c->labels.dtype : LF_F64, c->labels.stride,
                 c->labels.layout))
        return LF_BAD_ARGUMENT;
    size_t at = 0, from = 0;
    for (size_t i = 0; i < c->samples; i++) {
        const size_t n = (size_t)j->label_length[i];
        if (!c->concatenated) from = i * c->max_labels;
        first_label[i] = at;
        if (n && !c->labels.data) return LF_BAD_ARGUMENT;
        for (size_t done = 0; done < n; done += BLOCK) {
            const size_t m = n - done < BLOCK ? n - done : BLOCK;
            lf_labels(&labels, &range, from + done, m, block);
            for (size_t k = 0; k < m; k++) {
                if (block[k] < 0 || block[k] == c->blank) return fail(failure, LF_BAD_TARGET, from + done + k);
                to[at++] = (int32_t)block[k];
            }
        }
        to[at++] = (int32_t)c->blank;
        from += n;
    }
    return LF_OK;
}

/* Neighbours share a pack if they are short and about as long. */
static size_t make_packs(const job *j, size_t *first)
{
    size_t n = 0, lanes = 0, count = 0;
    for (size_t i = 0; i < j->call->samples; i++) {
        const size_t own = (size_t)j->label_length[i] + 1;
        const int64_t t = j->logit_length[i], other = count ? j->logit_length[first[n - 1]] : t;
        const int alike = t <= other + other / 8 && other <= t + t / 8;
        if (!count || count == j->together || lanes + own > SHARED || !alike) first[n++] = i, lanes = count = 0;
        lanes += own;
        count++;
    }
    first[n] = j->call->samples;
    return n;
}

static pack *slot_at(const job *j, size_t i) { return (pack *)(j->slots + i * j->slot_size); }

static void whole_packs(void *context, size_t first, size_t last)
{
    job *const j = context;
    lf_lock();
    const size_t slot = j->free_slot[--j->nfree];
    lf_unlock();
    pack *const p = slot_at(j, slot);
    for (size_t u = first; u < last; u++) {
        load_pack(j, &j->as[0], p, j->pack[u], j->pack[u + 1] - j->pack[u]);
        to_the_middle(j, &j->as[0], p, FIRST);
        to_the_middle(j, &j->as[0], p, SECOND);
        meet(j, &j->as[0], p);
        if (derives(j, p)) {
            from_the_middle(j, &j->as[0], p, FIRST);
            from_the_middle(j, &j->as[0], p, SECOND);
        }
        fill_rest(j, &j->as[0], p);
    }
    lf_lock();
    j->free_slot[j->nfree++] = slot;
    lf_unlock();
}

static void halves_in(void *context, size_t first, size_t last)
{
    job *const j = context;
    for (size_t u = first; u < last; u++) to_the_middle(j, &j->as[0], slot_at(j, u / 2), u % 2 ? SECOND : FIRST);
}

static void halves_out(void *context, size_t first, size_t last)
{
    job *const j = context;
    for (size_t u = first; u < last; u++)
        if (derives(j, slot_at(j, u / 2))) from_the_middle(j, &j->as[0], slot_at(j, u / 2), u % 2 ? SECOND : FIRST);
}

static lf_status shared_packs(job *j, size_t cost, const lf_control *control)
{
    for (size_t i = 0; i < j->npacks; i++) load_pack(j, &j->as[0], slot_at(j, i), i, 1);
    lf_status status = lf_parallel(2 * j->npacks, cost / 2 + 1, control, halves_in, j);
    for (size_t i = 0; i < j->npacks && !status; i++) meet(j, &j->as[0], slot_at(j, i));
    if (!status) status = lf_parallel(2 * j->npacks, cost / 2 + 1, control, halves_out, j);
    for (size_t i = 0; i < j->npacks && !status; i++) fill_rest(j, &j->as[0], slot_at(j, i));
    return status;
}

lf_status lf_ctc_run(lf_dtype dtype, const lf_ctc_call *call, void *workspace, size_t size, const lf_control *control,
                     lf_failure *failure)
{
    job j;
    extent e;
    lf_status status = open_job(&j, dtype, call);
    if (status || !call->samples) return status;
    if ((status = survey_lengths(call, &e, NULL, NULL, failure))) return status;
    const size_t skip = -(uintptr_t)workspace % 64;
    arena a = {.base = (char *)workspace + skip};
    if (!workspace || size < skip || !lay_out(&j, &a, &e, lf_threads(control)) || a.used > size - skip)
        return LF_BAD_ARGUMENT;
    /* Once more, to where nobody changes them; should somebody have, memory was laid out for other lengths. */
    extent now;
    if ((status = survey_lengths(call, &now, (int64_t *)j.label_length, (int64_t *)j.logit_length, failure)))
        return status;
    if (memcmp(&now, &e, sizeof e)) return LF_BAD_ARGUMENT;
    if ((status = read_labels(&j, (int32_t *)j.label, (size_t *)j.first_label, failure))) return status;
    j.npacks = make_packs(&j, (size_t *)j.pack);
    for (j.nfree = 0; j.nfree < j.nslots; j.nfree++) j.free_slot[j.nfree] = j.nfree;
    const size_t per_frame = (e.all_labels / call->samples + 1) * 16 + call->classes * 4;
    const size_t cost = e.most_frames * per_frame / j.npacks * call->samples + 1;
    return j.halves ? shared_packs(&j, cost, control) : lf_parallel(j.npacks, cost, control, whole_packs, &j);
}
