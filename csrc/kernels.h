/* What a kernel translation unit exports: one table, its rows in the same order for every (ISA, dtype). */
#ifndef LF_KERNELS_H
#define LF_KERNELS_H

#include "lossfast/lossfast.h"

/* Elements that a kernel is given at a time: all its streams stay in the first-level cache. */
enum { BLOCK = 1024, MAX_PARAM = 5 };

/* All arrays are contiguous, aligned, of n <= BLOCK elements and of the table's dtype; what is NULL is not computed.  Of
 * value and sum at most one is wanted, and the Hessian only with the gradient: it shares most of its work. */
typedef void pointwise_kernel(size_t n, const void *target, const void *pred, const void *weight, const void *stream,
                              const double *param, double scale, void *value, void *grad, void *hess, double *sum);

struct lf_pointwise {
    const char *name;
    size_t nparam;
    int streamed; /* param[0] may be an array */
    lf_domain target, pred, stream;
    pointwise_kernel *run;
};

typedef struct {
    const char *name;
    void (*run)(size_t n, const void *x, void *y);
} vecmath_map;

/* Where two streams go on after this block, and how far apart their elements are: to be asked for bit by bit while
 * something is computed that leaves the memory idle.  Processors do not look ahead far enough by themselves. */
typedef struct {
    const char *at[2];
    ptrdiff_t stride[2];
} lf_ahead;

static inline void lf_look_ahead(const lf_ahead *ahead, size_t element)
{
    for (int i = 0; i < 2; i++) __builtin_prefetch(ahead->at[i] + (ptrdiff_t)element * ahead->stride[i]);
}

typedef struct {
    const lf_pointwise *pointwise;
    size_t npointwise;
    const vecmath_map *maps;
    size_t nmap;
    const void *ones; /* BLOCK of them: the weights of who gives none */
    void (*load[LF_NDTYPE])(size_t n, const void *from, ptrdiff_t stride, void *to);
    void (*store[LF_NDTYPE])(size_t n, const void *from, void *to, ptrdiff_t stride); /* NULL: not an output dtype */
    size_t (*check)(size_t n, const void *x, lf_domain domain); /* the first element outside, or n */
    double (*sum)(size_t n, const void *x);                     /* in fixed lanes */
    void (*moments)(size_t n, const void *value, const double *weight, lf_ahead ahead, lf_moments *moments);
} kernels;

const kernels *lf_kernels(lf_dtype dtype); /* LF_F32 or LF_F64, for the current instruction set: dispatch.c */
extern const kernels lf_base_f32;          /* the catalogue: every table has its rows, in its order */

#endif
