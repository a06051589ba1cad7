#include "reader.h"
#include "softmax.h"

#include <math.h>
#include <string.h>

enum { ROOM = sizeof((frame_group *)0)->tile };

static int aligned(ptrdiff_t x, size_t size) { return (size_t)x % size == 0; }

lf_status lf_open_frames(ctc_frames *f, lf_dtype dtype, const lf_ctc_input *input, int wants_best, lf_failure *failure)
{
    if (!input || (dtype != LF_F32 && dtype != LF_F64) || input->classes < 1 || input->classes > LF_MAX_CLASSES ||
        input->blank < 0 || (size_t)input->blank >= input->classes)
        return LF_BAD_ARGUMENT;
    const lf_in *const z = &input->logits;
    const size_t frames = input->frames, classes = input->classes, item = lf_itemsize(z->dtype);
    size_t rows, elements, bytes;
    if (__builtin_mul_overflow(input->samples, frames, &rows) || __builtin_mul_overflow(rows, classes, &elements) ||
        __builtin_mul_overflow(elements, sizeof(double), &bytes) || frames > PTRDIFF_MAX / 4)
        return LF_TOO_LARGE;
    if (elements && (!z->data || !item)) return LF_BAD_ARGUMENT;
    *f = (ctc_frames){.input = input,
                      .dtype = dtype,
                      .size = lf_itemsize(dtype),
                      .k = lf_kernels(dtype),
                      .wide = lf_kernels(LF_F64),
                      .data = z->data,
                      .wants_best = wants_best || input->log_probabilities};
    const size_t shape[3] = {input->samples, frames, classes};
    if (z->layout) {
        if (z->layout->ndim != 3 || memcmp(z->layout->shape, shape, sizeof shape)) return LF_BAD_ARGUMENT;
        memcpy(f->strides, z->layout->strides, sizeof f->strides);
    } else {
        f->strides[2] = z->stride;
        f->strides[1] = (ptrdiff_t)classes * z->stride;
        f->strides[0] = (ptrdiff_t)frames * f->strides[1];
    }
    for (size_t n = 0; input->logit_lengths && n < input->samples; n++)
        if (input->logit_lengths[n] < 0 || (size_t)input->logit_lengths[n] > frames) {
            if (failure) failure->index = n;
            return LF_BAD_LOGIT_LENGTH;
        }
    const size_t row = classes * f->size, fit = ROOM / row;
    f->across = fit >= TILE;
    f->together = f->across ? TILE : fit < 1 ? 1 : fit;
    f->in_place =
        z->dtype == dtype && (classes == 1 || f->strides[2] == (ptrdiff_t)f->size) &&
        (f->across ? f->strides[1] == (ptrdiff_t)row : f->strides[1] >= 0 && aligned(f->strides[1], f->size)) &&
        aligned(f->strides[0], f->size) && (uintptr_t)f->data % f->size == 0;
    return LF_OK;
}

size_t lf_frames_room(const ctc_frames *f) { return f->together * f->input->classes * f->size; }

static const char *row_at(const ctc_frames *f, size_t sample, size_t frame)
{
    return f->data + (ptrdiff_t)sample * f->strides[0] + (ptrdiff_t)frame * f->strides[1];
}

static void reduce_along(const ctc_frames *f, size_t n, frame_group *group)
{
    const size_t classes = f->input->classes;
    for (size_t i = 0; i < n; i++) {
        size_t at;
        if (!f->input->log_probabilities)
            softmax_of(f->k, f->size, classes, group->row[i], &group->top[i], &group->sum[i]);
        if (!f->wants_best) continue;
        group->best_log_p[i] = f->k->highest(classes, group->row[i], &at);
        group->best[i] = (int32_t)at;
    }
}

static void reduce_across(const ctc_frames *f, size_t n, frame_group *group)
{
    const size_t classes = f->input->classes;
    plain_rows(&group->g, TILE);
    f->k->into_tile(n, classes, group->row[0], TILE, group->tile);
    if (f->wants_best) f->k->best_across(classes, group->tile, group->best_log_p, group->best);
    if (f->input->log_probabilities) return;
    f->k->across_reduce(&PLAIN, classes, group->tile, NULL, f->k->ones, NULL, &group->g);
    memcpy(group->top, group->g.top, n * sizeof *group->top);
    memcpy(group->sum, group->g.sum, n * sizeof *group->sum);
}

/* Of a frame with infinite logits, which share everything: zeros among minus infinities, in the group's room. */
static void replace_infinities(const ctc_frames *f, size_t i, frame_group *group)
{
    const size_t classes = f->input->classes;
    char *const to = group->room + i * classes * f->size;
    if (f->dtype == LF_F64) {
        const double *const z = group->row[i];
        for (size_t k = 0; k < classes; k++) ((double *)to)[k] = z[k] == (double)INFINITY ? 0 : -INFINITY;
    } else {
        const float *const z = group->row[i];
        for (size_t k = 0; k < classes; k++) ((float *)to)[k] = z[k] == INFINITY ? 0 : -INFINITY;
    }
    group->row[i] = to;
    group->top[i] = 0;
}

void lf_read_frames(const ctc_frames *f, size_t sample, size_t first, size_t n, frame_group *group)
{
    const size_t classes = f->input->classes;
    for (size_t i = 0; i < n; i++) {
        const char *const row = row_at(f, sample, first + i);
        char *const to = group->room + i * classes * f->size;
        if (!f->in_place) f->k->load[f->input->logits.dtype](classes, row, f->strides[2], to);
        group->row[i] = f->in_place ? row : to;
    }
    (f->across ? reduce_across : reduce_along)(f, n, group);
    if (f->input->log_probabilities) {
        for (size_t i = 0; i < n; i++) {
            group->top[i] = 0;
            group->log_sum[i] = group->best_log_p[i] < (double)INFINITY ? 0 : (double)NAN;
        }
        return;
    }
    const double *const sum = group->sum;
    f->wide->log(n, sum, group->log_sum);
    for (size_t i = 0; i < n; i++) {
        group->best_log_p[i] = -group->log_sum[i];
        if (sum[i] == 0) /* all logits are -inf */
            group->top[i] = group->log_sum[i] = 0, group->best_log_p[i] = -INFINITY;
        else if (group->top[i] == (double)INFINITY && sum[i] == sum[i])
            replace_infinities(f, i, group);
    }
}

/* --- Workspace ---------------------------------------------------------------------------------------------------- */

/* As lines: a place after another begins at one. */
static size_t lines(const arena *a) { return (a->used + ARENA_LINE - 1) / ARENA_LINE * ARENA_LINE; }

static size_t most_places(const lf_control *control)
{
    const size_t threads = lf_threads(control);
    return threads < MAX_PLACES ? threads : MAX_PLACES;
}

lf_status lf_places_size(const arena *shared, const arena *one, size_t units, const lf_control *control, size_t *size)
{
    const size_t most = most_places(control), n = units < 1 ? 1 : units < most ? units : most;
    arena all = {.overflow = shared->overflow | one->overflow};
    take(&all, lines(shared), 1);
    take(&all, n, lines(one));
    take(&all, ARENA_LINE, 1); /* to begin at a line */
    *size = all.used;
    return all.overflow ? LF_TOO_LARGE : LF_OK;
}

char *lf_open_places(lf_places *places, void *workspace, size_t size, const arena *shared, const arena *one,
                     const lf_control *given, lf_control *control)
{
    const size_t skipped = -(uintptr_t)workspace % ARENA_LINE, most = most_places(given);
    if (!workspace || shared->overflow || one->overflow || size < skipped || size - skipped < lines(shared))
        return NULL;
    const size_t left = size - skipped - lines(shared), fit = left / (lines(one) ? lines(one) : 1);
    if (!fit) return NULL;
    char *const base = (char *)workspace + skipped;
    places->base = base + lines(shared);
    places->each = lines(one) ? lines(one) : ARENA_LINE;
    places->nfree = fit < most ? fit : most;
    for (size_t i = 0; i < places->nfree; i++) places->free[i] = (unsigned short)(places->nfree - 1 - i);
    *control = given ? *given : (lf_control){0};
    control->nthreads = (int)places->nfree;
    return base;
}

void *lf_take_place(lf_places *places)
{
    lf_lock();
    const size_t i = places->free[--places->nfree];
    lf_unlock();
    return places->base + i * places->each;
}

void lf_leave_place(lf_places *places, void *place)
{
    const size_t i = (size_t)((char *)place - places->base) / places->each;
    lf_lock();
    places->free[places->nfree++] = (unsigned short)i;
    lf_unlock();
}
