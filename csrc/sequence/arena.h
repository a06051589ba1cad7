/* Memory that the caller gave, handed out from the front. */
#ifndef LF_ARENA_H
#define LF_ARENA_H

#include <stddef.h>
#include <stdint.h>

/* With a base of NULL it is only counted. */
typedef struct {
    char *base;
    size_t used;
    int overflow;
} arena;

enum { ARENA_LINE = 64 }; /* what is taken begins at multiples of it, if the base does */

static inline void *take(arena *a, size_t n, size_t size)
{
    size_t bytes, end;
    const size_t at = (a->used + ARENA_LINE - 1) / ARENA_LINE * ARENA_LINE;
    if (__builtin_mul_overflow(n, size, &bytes) || __builtin_add_overflow(at, bytes, &end) || end > PTRDIFF_MAX / 2) {
        a->overflow = 1;
        return NULL;
    }
    a->used = end;
    return a->base ? a->base + at : NULL;
}

#endif
