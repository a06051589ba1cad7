/* The frames of a sample as log-probabilities, a few at a time; and workspace, shared out between threads. */
#ifndef LF_READER_H
#define LF_READER_H

#include "../kernels.h"
#include "../parallel.h"
#include "arena.h"

/* What a search is given, made ready. */
typedef struct {
    const lf_ctc_input *input;
    lf_dtype dtype;
    size_t size;
    const kernels *k, *wide; /* of the dtype, and of double */
    const char *data;
    ptrdiff_t strides[3]; /* of samples, frames and classes, in bytes */
    size_t together;      /* frames of a group */
    int across;           /* groups are made of tiles */
    int in_place;         /* rows can be used where they stand */
    int wants_best;
} ctc_frames;

/* The frames first ... first + n - 1 of a sample: log p = (row[i][k] - top[i]) - log_sum[i].  A frame with a NaN, or
 * with +inf among log-probabilities, has a log_sum of NaN. */
typedef struct {
    const void *row[ROWS];
    double top[ROWS], sum[ROWS], log_sum[ROWS];
    double best_log_p[ROWS]; /* these if best was wanted */
    int32_t best[ROWS];
    char *room; /* lf_frames_room() bytes */
    row_group g;
    _Alignas(64) char tile[16384];
} frame_group;

lf_status lf_open_frames(ctc_frames *f, lf_dtype dtype, const lf_ctc_input *input, int wants_best, lf_failure *failure);
size_t lf_frames_room(const ctc_frames *f);
void lf_read_frames(const ctc_frames *f, size_t sample, size_t first, size_t n, frame_group *group);

static inline size_t lf_frames_of(const ctc_frames *f, size_t sample)
{
    return f->input->logit_lengths ? (size_t)f->input->logit_lengths[sample] : f->input->frames;
}

/* Places of equal size in the caller's workspace, one for each thread at a time. */
enum { MAX_PLACES = 256 };
typedef struct {
    char *base;
    size_t each, nfree;
    unsigned short free[MAX_PLACES];
} lf_places;

/* What the places of so many units of work take, beside what they share: each is as large as `one`.  LF_TOO_LARGE. */
lf_status lf_places_size(const arena *shared, const arena *one, size_t units, const lf_control *control, size_t *size);
/* Opens them behind what is shared, which begins where this returns, and lets `control` ask for no more threads than
 * there are; NULL: the workspace is too small. */
char *lf_open_places(lf_places *places, void *workspace, size_t size, const arena *shared, const arena *one,
                     const lf_control *given, lf_control *control);
void *lf_take_place(lf_places *places);
void lf_leave_place(lf_places *places, void *place);

#endif
