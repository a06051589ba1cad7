/* Greedy decoding: the best class of every frame, chunk by chunk, then what each sample's path spells. */
#include "reader.h"

#include <math.h>

enum { CHUNK = 256, PER_CLASS = 4 }; /* frames of a unit of work; the work of a class, in elements of lf_parallel */

typedef struct {
    ctc_frames f;
    const lf_ctc_greedy_call *call;
    size_t chunks; /* of a sample */
    lf_places places;
    int32_t *best; /* samples x frames */
    double *log_p;
} job;

/* What all threads share, and the place of one; with a base the first is laid out there. */
static arena lay_out(job *j, const lf_ctc_input *input, char *base, arena *one)
{
    arena a = {.base = base};
    const size_t frames = input->samples * input->frames;
    j->log_p = take(&a, frames, sizeof *j->log_p);
    j->best = take(&a, frames, sizeof *j->best);
    *one = (arena){0};
    take(one, lf_frames_room(&j->f), 1);
    return a;
}

lf_status lf_ctc_greedy_workspace(lf_dtype dtype, const lf_ctc_greedy_call *call, const lf_control *control,
                                  size_t *size, lf_failure *failure)
{
    job j;
    arena one;
    const lf_status status = call && size ? lf_open_frames(&j.f, dtype, &call->input, 1, failure) : LF_BAD_ARGUMENT;
    if (status) return status;
    const arena shared = lay_out(&j, &call->input, NULL, &one);
    return lf_places_size(&shared, &one, MAX_PLACES, control, size);
}

static void find_best(void *context, size_t first_chunk, size_t last_chunk)
{
    job *const j = context;
    const size_t frames = j->call->input.frames;
    frame_group group;
    group.room = lf_take_place(&j->places);
    for (size_t u = first_chunk; u < last_chunk; u++) {
        const size_t sample = u / j->chunks, first = u % j->chunks * CHUNK, length = lf_frames_of(&j->f, sample);
        const size_t end = first + CHUNK < length ? first + CHUNK : length;
        for (size_t t = first; t < end; t += j->f.together) {
            const size_t n = end - t < j->f.together ? end - t : j->f.together, at = sample * frames + t;
            lf_read_frames(&j->f, sample, t, n, &group);
            for (size_t i = 0; i < n; i++) {
                const double p = group.best_log_p[i];
                j->best[at + i] = group.best[i];
                j->log_p[at + i] = group.log_sum[i] == group.log_sum[i] ? p : (double)NAN;
            }
        }
    }
    lf_leave_place(&j->places, group.room);
}

static void spell(void *context, size_t first, size_t last)
{
    const job *const j = context;
    const lf_ctc_greedy_call *const call = j->call;
    const size_t frames = call->input.frames;
    for (size_t sample = first; sample < last; sample++) {
        const size_t length = lf_frames_of(&j->f, sample), at = sample * frames;
        const double log_p = j->f.wide->sum(length, j->log_p + at);
        int64_t *const labels = call->labels + at;
        int64_t before = call->input.blank;
        size_t n = 0;
        for (size_t t = 0; log_p == log_p && t < length; t++) {
            const int64_t best = j->best[at + t];
            if (best != before && best != call->input.blank) labels[n++] = best;
            before = best;
        }
        call->lengths[sample] = (int64_t)n;
        call->log_probability[sample] = log_p;
    }
}

lf_status lf_ctc_greedy(lf_dtype dtype, const lf_ctc_greedy_call *call, void *workspace, size_t size,
                        const lf_control *control, lf_failure *failure)
{
    job j;
    lf_control mine;
    if (!call) return LF_BAD_ARGUMENT;
    lf_status status = lf_open_frames(&j.f, dtype, &call->input, 1, failure);
    if (status) return status;
    const size_t samples = call->input.samples, frames = call->input.frames;
    if (!samples) return LF_OK;
    if (!call->lengths || !call->log_probability || (frames && !call->labels)) return LF_BAD_ARGUMENT;
    arena one;
    const arena shared = lay_out(&j, &call->input, NULL, &one);
    char *const base = lf_open_places(&j.places, workspace, size, &shared, &one, control, &mine);
    if (!base) return LF_BAD_ARGUMENT;
    lay_out(&j, &call->input, base, &one);
    j.call = call;
    j.chunks = (frames + CHUNK - 1) / CHUNK;
    status = lf_parallel(samples * j.chunks, CHUNK * call->input.classes * PER_CLASS, &mine, find_best, &j);
    return status ? status : lf_parallel(samples, frames * PER_CLASS + 1, &mine, spell, &j);
}
