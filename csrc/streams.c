#include "streams.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

size_t lf_itemsize(lf_dtype dtype)
{
    static const unsigned char size[] = {1, 1, 1, 2, 2, 4, 4, 8, 8, 2, 2, 4, 8};
    return (size_t)dtype < LF_NDTYPE ? size[dtype] : 0;
}

/* Axes whose elements follow each other at one stride become one axis. */
static void merge_axes(lf_array *array, const lf_layout *layout)
{
    int n = 0;
    for (int k = 0; k < layout->ndim; k++) {
        const size_t length = layout->shape[k];
        const ptrdiff_t stride = layout->strides[k];
        if (length == 1) continue;
        if (n && array->strides[n - 1] == (ptrdiff_t)length * stride) {
            array->shape[n - 1] *= length;
            array->strides[n - 1] = stride;
        } else {
            array->shape[n] = length;
            array->strides[n++] = stride;
        }
    }
    array->ndim = n > 1 ? n : 1;
    if (n <= 1) array->stride = n ? array->strides[0] : 0;
}

int lf_open(lf_array *array, lf_dtype kernel, const void *data, lf_dtype dtype, ptrdiff_t stride,
            const lf_layout *layout)
{
    const size_t size = lf_itemsize(kernel);
    array->data = (char *)data;
    array->dtype = dtype;
    array->stride = stride;
    array->ndim = 1;
    if ((size_t)dtype >= LF_NDTYPE || (layout && (layout->ndim < 0 || layout->ndim > LF_MAX_NDIM))) return 0;
    if (data && layout) merge_axes(array, layout);
    array->repeats = array->ndim == 1 && array->stride == 0;
    array->in_place =
        dtype == kernel && array->ndim == 1 && array->stride == (ptrdiff_t)size && (uintptr_t)data % size == 0;
    return 1;
}

/* Calls move for each run of elements first ... first + n - 1 that lies at one stride; `block` goes along. */
typedef void mover(size_t n, char *data, ptrdiff_t stride, char *block, const void *how);

static void each_run(const lf_array *array, size_t first, size_t n, char *block, size_t size, mover *move,
                     const void *how)
{
    if (array->ndim == 1) {
        move(n, array->data + (ptrdiff_t)first * array->stride, array->stride, block, how);
        return;
    }
    const int inner = array->ndim - 1;
    size_t index[LF_MAX_NDIM];
    for (int k = inner; k >= 0; k--) {
        index[k] = first % array->shape[k];
        first /= array->shape[k];
    }
    while (n) {
        char *data = array->data;
        for (int k = 0; k <= inner; k++) data += (ptrdiff_t)index[k] * array->strides[k];
        const size_t left = array->shape[inner] - index[inner], m = left < n ? left : n;
        move(m, data, array->strides[inner], block, how);
        block += m * size;
        n -= m;
        index[inner] += m;
        for (int k = inner; k > 0 && index[k] == array->shape[k]; k--) {
            index[k] = 0;
            index[k - 1]++;
        }
    }
}

typedef void load_block(size_t n, const void *from, ptrdiff_t stride, void *to);
typedef void store_block(size_t n, const void *from, void *to, ptrdiff_t stride);

static void load_run(size_t n, char *data, ptrdiff_t stride, char *block, const void *how)
{
    (*(load_block *const *)how)(n, data, stride, block);
}

static void store_run(size_t n, char *data, ptrdiff_t stride, char *block, const void *how)
{
    (*(store_block *const *)how)(n, block, data, stride);
}

void lf_load(const lf_array *array, lf_dtype kernel, size_t first, size_t n, void *to)
{
    each_run(array, first, n, to, lf_itemsize(kernel), load_run, &lf_kernels(kernel)->load[array->dtype]);
}

const void *lf_fill(const lf_array *array, lf_dtype kernel, size_t first, size_t n, lf_buffer *buffer)
{
    lf_load(array, kernel, first, n, buffer->block);
    buffer->repeated = array->repeats ? n : 0;
    return buffer->block;
}

void lf_write(const lf_array *array, lf_dtype kernel, size_t first, size_t n, const void *block)
{
    each_run(array, first, n, (char *)block, lf_itemsize(kernel), store_run, &lf_kernels(kernel)->store[array->dtype]);
}

#ifdef __SSE2__
enum { LINE = 64, VECTOR = sizeof(__m128i) };

/* The odd ends of a block: a few vectors, for which a call of memcpy, or its loop over bytes, would take longer. */
static void copy_end(char *out, const char *in, size_t size)
{
    size_t k = 0;
    for (; k + VECTOR <= size; k += VECTOR)
        _mm_storeu_si128((__m128i *)(out + k), _mm_loadu_si128((const __m128i *)(in + k)));
    for (; k < size; k++) out[k] = in[k];
}
#endif

/* A cache line that is written whole need not be fetched first: a quarter of the traffic of "read 2, write 1" is
 * saved.  Lines that two blocks share are written as usual. */
void lf_stream(const lf_array *array, size_t first, size_t n, const void *block, const lf_ahead *ahead)
{
    const size_t item = lf_itemsize(array->dtype), size = n * item;
    char *out = array->data + first * item;
#ifdef __SSE2__
    const char *in = block;
    const size_t odd = -(uintptr_t)out % LINE, head = odd < size ? odd : size, end = head + (size - head) / LINE * LINE;
    const size_t elements = LINE / item;
    /* A line shared with the block after the next, which would otherwise hold up the stores behind it. */
    if (end < size) __builtin_prefetch(out + 2 * size, 1);
    copy_end(out, in, head);
    for (size_t i = head, element = 0; i < end; i += LINE, element += elements) {
        lf_look_ahead(ahead, element);
        for (size_t k = i; k < i + LINE; k += VECTOR)
            _mm_stream_si128((__m128i *)(out + k), _mm_loadu_si128((const __m128i *)(in + k)));
    }
    copy_end(out + end, in + end, size - end);
#else
    (void)ahead;
    memcpy(out, block, size);
#endif
}

void lf_write_stream(const lf_array *array, lf_dtype kernel, size_t first, size_t n, const void *block,
                     const lf_ahead *ahead)
{
    lf_buffer converted;
    lf_kernels(kernel)->store[array->dtype](n, block, converted.block, (ptrdiff_t)lf_itemsize(array->dtype));
    lf_stream(array, first, n, converted.block, ahead);
}

void lf_streamed(void)
{
#ifdef __SSE2__
    _mm_sfence();
#endif
}
