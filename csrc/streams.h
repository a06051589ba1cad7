/* Any array of the caller as a sequence of contiguous blocks in the kernels' dtype. */
#ifndef LF_STREAMS_H
#define LF_STREAMS_H

#include "kernels.h"

typedef struct {
    char *data;
    lf_dtype dtype;
    ptrdiff_t stride;
    int in_place; /* its blocks can be used where they stand */
    int repeats;  /* one element again and again */
    int ndim;     /* 1: element i stands at data + i * stride, and shape and strides are not set */
    size_t shape[LF_MAX_NDIM];
    ptrdiff_t strides[LF_MAX_NDIM];
} lf_array;

/* Room for one block; how much of it holds a repeated element, which need not be read again. */
typedef struct {
    _Alignas(64) char block[BLOCK * sizeof(double)];
    size_t repeated;
} lf_buffer;

/* An array for a kernel of dtype `kernel`.  0: its dtype or its layout is not one. */
int lf_open(lf_array *array, lf_dtype kernel, const void *data, lf_dtype dtype, ptrdiff_t stride,
            const lf_layout *layout);

/* Elements first ... first + n - 1 to an array of `kernel`, wherever they stand. */
void lf_load(const lf_array *array, lf_dtype kernel, size_t first, size_t n, void *to);

/* Elements first ... first + n - 1, n <= BLOCK, into the buffer as `kernel`, and back. */
const void *lf_fill(const lf_array *array, lf_dtype kernel, size_t first, size_t n, lf_buffer *buffer);
void lf_write(const lf_array *array, lf_dtype kernel, size_t first, size_t n, const void *block);

/* The elements where they stand if they can be used there, else in the buffer. */
static inline const void *lf_read(const lf_array *array, lf_dtype kernel, size_t first, size_t n, lf_buffer *buffer)
{
    if (array->in_place) return array->data + (ptrdiff_t)first * array->stride;
    if (array->repeats && buffer->repeated >= n) return buffer->block;
    return lf_fill(array, kernel, first, n, buffer);
}

/* Asks for the beginning of the block at `first` before it is needed: processors do not look ahead into the next page
 * of memory by themselves. */
static inline void lf_prefetch(const lf_array *array, size_t first)
{
    enum { LINE = 64, AHEAD = 8 };
    if (array->ndim > 1 || array->repeats) return;
    const char *next = array->data + (ptrdiff_t)first * array->stride;
    for (int i = 0; i < AHEAD; i++) __builtin_prefetch(next + i * LINE);
}

/* What comes at `first`, if that is not the end.  Filled in place: to copy what has just been written takes longer. */
static inline void lf_after(const lf_array *a, const lf_array *b, size_t first, size_t end, lf_ahead *ahead)
{
    const lf_array *const array[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        ahead->stride[i] = array[i]->ndim == 1 && first < end ? array[i]->stride : 0;
        ahead->at[i] = array[i]->data + (ptrdiff_t)first * ahead->stride[i];
    }
}

/* Writes a block past the caches, to memory that will not be read soon; lf_streamed() when all blocks are written.
 * The second converts it for an array that is contiguous in its own dtype. */
void lf_stream(const lf_array *array, size_t first, size_t n, const void *block, const lf_ahead *ahead);
void lf_write_stream(const lf_array *array, lf_dtype kernel, size_t first, size_t n, const void *block,
                     const lf_ahead *ahead);
void lf_streamed(void);

#endif
