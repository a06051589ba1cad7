/* What frames are normalised by. */
#ifndef LF_SOFTMAX_H
#define LF_SOFTMAX_H

#include "../kernels.h"

/* A softmax of n rows, and nothing else. */
static const row_options PLAIN = {.targets = LABEL, .keep = 1, .scale = 1, .wants_grad = 1};

static inline void plain_rows(row_group *g, size_t n)
{
    for (size_t r = 0; r < n; r++) {
        g->inverse[r] = 1;
        g->by_exp[r] = g->by_c[r] = g->to_p[r] = g->linear[r] = g->square[r] = 0;
    }
}

/* The largest logit of a frame of the dtype of k, and the sum of exp(logit - top). */
static inline void softmax_of(const kernels *k, size_t size, size_t classes, const char *row, double *top, double *sum)
{
    enum { PARTS = LF_MAX_CLASSES / BLOCK };
    row_group g;
    plain_rows(&g, 1);
    if (classes <= BLOCK)
        k->along_reduce(&PLAIN, 1, classes, classes, row, NULL, NULL, k->ones, &g);
    else {
        double tops[PARTS], sums[PARTS], none[PARTS] = {0}, factor[PARTS];
        size_t parts = 0;
        for (size_t first = 0; first < classes; first += BLOCK, parts++) {
            const size_t rest = classes - first, n = rest < BLOCK ? rest : BLOCK;
            k->along_reduce(&PLAIN, 1, n, n, row + first * size, NULL, NULL, k->ones, &g);
            tops[parts] = g.top[0], sums[parts] = g.sum[0];
        }
        lf_kernels(LF_F64)->join(parts, tops, sums, none, none, none, 1, factor, &g);
    }
    *top = g.top[0];
    *sum = g.sum[0];
}

#endif
