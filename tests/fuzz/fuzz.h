/* What the fuzz targets share: bytes as numbers, and what must hold. */
#ifndef FUZZ_H
#define FUZZ_H

#include <lossfast/lossfast.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const uint8_t *data;
    size_t size;
} bytes;

static unsigned next(bytes *b)
{
    if (!b->size) return 0;
    b->size--;
    return *b->data++;
}

static double logit(bytes *b)
{
    static const double special[] = {INFINITY, -INFINITY, NAN, 1e30, -1e30, 3e6, -3e6, 1e-40, 0, 700};
    const unsigned x = next(b);
    return x < 10 ? special[x] : ((double)x - 128) / 8;
}

#define REQUIRE(condition)                                                                                             \
    if (!(condition)) {                                                                                                \
        fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                                        \
        abort();                                                                                                       \
    }

/* An allocation of exactly n bytes, which say whether they were written. */
static void *filled(size_t n)
{
    void *const x = malloc(n ? n : 1);
    memset(x, 0xa5, n ? n : 1);
    return x;
}

static int untouched(const void *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (((const unsigned char *)x)[i] != 0xa5) return 0;
    return 1;
}

#endif
