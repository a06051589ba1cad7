/* Any array of the caller as a sequence of contiguous blocks in the kernels' dtype. */
#ifndef LF_STREAMS_H
#define LF_STREAMS_H

#include "kernels.h"

typedef struct {
    char *data;
    lf_dtype dtype;
    ptrdiff_t stride;
    int ndim; /* 1: element i stands at data + i * stride, and shape and strides are not set */
    size_t shape[LF_MAX_NDIM];
    ptrdiff_t strides[LF_MAX_NDIM];
} lf_array;

/* Room for one block; how much of it holds a repeated element, which need not be read again. */
typedef struct {
    _Alignas(64) char block[BLOCK * sizeof(double)];
    size_t repeated;
} lf_buffer;

/* 0: the dtype or the layout is not one. */
int lf_open(lf_array *array, const void *data, lf_dtype dtype, ptrdiff_t stride, const lf_layout *layout);

/* Whether blocks of the array can be used where they stand. */
int lf_contiguous(const lf_array *array, lf_dtype dtype);

/* Elements first ... first + n - 1, n <= BLOCK, as `dtype`: where they stand if they can be, else in the buffer. */
const void *lf_read(const lf_array *array, lf_dtype dtype, size_t first, size_t n, lf_buffer *buffer);
void lf_write(const lf_array *array, lf_dtype dtype, size_t first, size_t n, const void *block);

#endif
