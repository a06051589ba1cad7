/* Forced alignment: the best path that spells given labels, by Viterbi's algorithm.
 *
 * Scores of one frame at a time, a byte per label and frame that says where they came from, and a walk back.  Only
 * states are looked at that the first frame can reach and that can reach the last. */
#include "reader.h"

#include <math.h>
#include <string.h>

enum { PER_STATE = 4 };

typedef struct {
    ctc_frames f;
    const lf_ctc_align_call *call;
    size_t frames, labels, bytes; /* the most of any sample; of its back pointers */
    lf_places places;
} job;

typedef struct {
    frame_group group;
    char *room;
    double *blank[2], *label[2]; /* scores of the last frame and the next; label[i][-1] is -inf */
    double *skip;
    double *top, *log_sum; /* of each frame */
    int32_t *classes;      /* of each label, and 0 */
    uint8_t *back;
} worker;

/* Lays a worker's arrays out in its place; with base NULL only to know their size. */
static arena lay_out(const job *j, char *base, worker *w)
{
    const size_t states = j->labels + 1;
    arena a = {.base = base};
    w->room = take(&a, lf_frames_room(&j->f), 1);
    for (int i = 0; i < 2; i++) {
        w->blank[i] = take(&a, states, sizeof(double));
        w->label[i] = take(&a, states + 1, sizeof(double));
        if (base) w->label[i]++;
    }
    w->skip = take(&a, states, sizeof(double));
    w->top = take(&a, j->frames, sizeof(double));
    w->log_sum = take(&a, j->frames, sizeof(double));
    w->classes = take(&a, states, sizeof(int32_t));
    w->back = take(&a, j->bytes, 1);
    return a;
}

static lf_status open_job(job *j, lf_dtype dtype, const lf_ctc_align_call *call, lf_failure *failure)
{
    if (!call) return LF_BAD_ARGUMENT;
    const lf_status status = lf_open_frames(&j->f, dtype, &call->input, 0, failure);
    if (status) return status;
    j->call = call;
    j->frames = j->labels = j->bytes = 0;
    if (call->input.samples && (!call->label_starts || !call->label_lengths)) return LF_BAD_ARGUMENT;
    if (call->nlabels > INT64_MAX / 16 || (call->nlabels && !call->labels)) return LF_BAD_ARGUMENT;
    for (size_t n = 0; n < call->input.samples; n++) {
        const int64_t start = call->label_starts[n], length = call->label_lengths[n], all = (int64_t)call->nlabels;
        if (failure) failure->index = n;
        if (start < 0 || start > all || length < 0 || length > all - start) return LF_BAD_LABEL_LENGTH;
        const size_t frames = lf_frames_of(&j->f, n), labels = (size_t)length;
        size_t bytes = 0;
        if (labels <= frames && __builtin_mul_overflow(frames, labels + 1, &bytes)) return LF_TOO_LARGE;
        j->frames = frames > j->frames ? frames : j->frames;
        j->labels = labels > j->labels ? labels : j->labels;
        j->bytes = bytes > j->bytes ? bytes : j->bytes;
        for (int64_t i = start; i < start + length; i++) {
            const int64_t label = call->labels[i];
            if (label >= 0 && label < (int64_t)call->input.classes && label != call->input.blank) continue;
            if (failure) failure->index = (size_t)i;
            return LF_BAD_TARGET;
        }
    }
    return LF_OK;
}

lf_status lf_ctc_align_workspace(lf_dtype dtype, const lf_ctc_align_call *call, const lf_control *control, size_t *size,
                                 lf_failure *failure)
{
    job j;
    worker unused;
    const lf_status status = size ? open_job(&j, dtype, call, failure) : LF_BAD_ARGUMENT;
    if (status) return status;
    const arena one = lay_out(&j, NULL, &unused), shared = {0};
    return lf_places_size(&shared, &one, call->input.samples, control, size);
}

static double number(const job *j, const void *row, size_t i)
{
    return j->f.dtype == LF_F64 ? ((const double *)row)[i] : (double)((const float *)row)[i];
}

/* The scores of all frames; returns whether there is no NaN among the logits. */
static int go_forward(worker *w, const job *j, size_t sample, size_t frames, size_t labels)
{
    const size_t states = labels + 1;
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < states; k++) w->blank[i][k] = w->label[i][k] = -INFINITY;
    w->label[0][-1] = w->label[1][-1] = -INFINITY;
    w->blank[0][0] = 0;
    int good = 1;
    for (size_t first = 0; first < frames; first += j->f.together) {
        const size_t rest = frames - first, n = rest < j->f.together ? rest : j->f.together;
        lf_read_frames(&j->f, sample, first, n, &w->group);
        for (size_t i = 0; i < n; i++) {
            const double top = w->group.top[i], log_sum = w->group.log_sum[i];
            w->top[first + i] = top, w->log_sum[first + i] = log_sum;
            good &= log_sum == log_sum;
        }
        for (size_t i = 0; labels <= frames && good && i < n; i++) {
            const size_t t = first + i, left = frames - t, low = labels > left ? labels - left : 0;
            const size_t high = t < labels ? t : labels, from = t % 2, to = 1 - from;
            const void *const row = w->group.row[i];
            const double top = w->top[t], log_sum = w->log_sum[t];
            const double blank_log_p = (number(j, row, (size_t)j->call->input.blank) - top) - log_sum;
            j->f.k->viterbi(high - low + 1, w->blank[from] + low, w->label[from] + low, w->blank[to] + low,
                            w->label[to] + low, row, w->classes + low, w->skip + low, top, log_sum, blank_log_p,
                            w->back + t * states + low);
        }
    }
    return good;
}

static void mark_all(const job *j, size_t sample, size_t first_frame)
{
    const lf_ctc_align_call *const call = j->call;
    for (size_t t = first_frame; t < call->input.frames; t++) {
        const size_t at = sample * call->input.frames + t;
        call->path[at] = -1, call->position[at] = -2, call->frame_score[at] = (double)NAN;
    }
}

/* log p of a class that is on the path. */
static double log_p_of(const worker *w, const job *j, size_t sample, size_t t, int64_t class)
{
    const ctc_frames *const f = &j->f;
    const char *const at =
        f->data + (ptrdiff_t)sample * f->strides[0] + (ptrdiff_t)t * f->strides[1] + (ptrdiff_t) class * f->strides[2];
    double z;
    f->wide->load[j->call->input.logits.dtype](1, at, 0, &z);
    if (f->dtype == LF_F32) z = (double)(float)z;
    if (z == (double)INFINITY) z = 0; /* as lf_read_frames has it */
    return (z - w->top[t]) - w->log_sum[t];
}

static void walk_back(const worker *w, const job *j, size_t sample, size_t frames, size_t labels, int ends_in_label)
{
    const lf_ctc_align_call *const call = j->call;
    const size_t base = sample * call->input.frames, states = labels + 1;
    const int64_t start = call->label_starts[sample];
    size_t k = ends_in_label ? labels - 1 : labels; /* of the blank or the label */
    int in_label = ends_in_label;
    for (size_t t = frames; t-- > 0;) {
        const int64_t class = in_label ? w->classes[k] : call->input.blank;
        call->path[base + t] = class;
        call->position[base + t] = in_label ? (int64_t)k : -1;
        call->frame_score[base + t] = log_p_of(w, j, sample, t, class);
        const unsigned from = w->back[t * states + k];
        if (!in_label && (from & ENTERED))
            in_label = 1, k--;
        else if (in_label && (from & FROM_LABEL))
            k--;
        else if (in_label && (from & FROM_BLANK))
            in_label = 0;
    }
    for (size_t i = 0, t = 0; i < labels; i++) {
        double sum = 0;
        while (call->position[base + t] != (int64_t)i) t++;
        const size_t first = t;
        for (; t < frames && call->position[base + t] == (int64_t)i; t++) sum += call->frame_score[base + t];
        call->start[start + (int64_t)i] = (int64_t)first;
        call->end[start + (int64_t)i] = (int64_t)t;
        call->score[start + (int64_t)i] = sum / (double)(t - first);
    }
}

static void align_sample(worker *w, const job *j, size_t sample)
{
    const lf_ctc_align_call *const call = j->call;
    const size_t frames = lf_frames_of(&j->f, sample), labels = (size_t)call->label_lengths[sample];
    const int64_t *const label = call->labels + call->label_starts[sample];
    for (size_t k = 0; k < labels; k++) {
        w->classes[k] = (int32_t)label[k];
        w->skip[k] = k && label[k] != label[k - 1] ? 0 : -INFINITY;
    }
    w->classes[labels] = 0, w->skip[labels] = -INFINITY;
    const int good = go_forward(w, j, sample, frames, labels);
    const double *const blank = w->blank[frames % 2], *const last = w->label[frames % 2];
    const int ends_in_label = labels && !(blank[labels] > last[labels - 1]);
    double log_p = ends_in_label ? last[labels - 1] : blank[labels];
    if (labels > frames) log_p = -INFINITY;
    if (!good) log_p = (double)NAN;
    call->log_probability[sample] = log_p;
    const int found = log_p > -INFINITY;
    if (found) walk_back(w, j, sample, frames, labels, ends_in_label);
    mark_all(j, sample, found ? frames : 0);
}

static void align_samples(void *context, size_t first, size_t last)
{
    job *const j = context;
    worker w;
    char *const place = lf_take_place(&j->places);
    lay_out(j, place, &w);
    w.group.room = w.room;
    for (size_t sample = first; sample < last; sample++) align_sample(&w, j, sample);
    lf_leave_place(&j->places, place);
}

lf_status lf_ctc_align(lf_dtype dtype, const lf_ctc_align_call *call, void *workspace, size_t size,
                       const lf_control *control, lf_failure *failure)
{
    job j;
    worker unused;
    lf_control mine;
    const lf_status status = open_job(&j, dtype, call, failure);
    if (status) return status;
    if (!call->input.samples) return LF_OK;
    if (!call->log_probability || (call->input.frames && (!call->path || !call->position || !call->frame_score)) ||
        (call->nlabels && (!call->start || !call->end || !call->score)))
        return LF_BAD_ARGUMENT;
    const arena one = lay_out(&j, NULL, &unused), shared = {0};
    if (!lf_open_places(&j.places, workspace, size, &shared, &one, control, &mine)) return LF_BAD_ARGUMENT;
    for (size_t i = 0; i < call->nlabels; i++) call->start[i] = call->end[i] = -1, call->score[i] = (double)NAN;
    const size_t cost = j.frames * (call->input.classes + j.labels) * PER_STATE + 1;
    return lf_parallel(call->input.samples, cost, &mine, align_samples, &j);
}
