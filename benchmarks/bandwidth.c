/* What the memory allows: passes that move the unavoidable bytes of a case and compute next to nothing.
 *
 * A pass reads one or two streams and writes at most one, each with its own number of bytes per element, so that
 * mixed types (uint8 targets, float32 predictions) have a limit too.  The clock is read here, not in Python.
 * Also the plain OpenMP sums that the reproducible ones are compared with.
 */
#define _GNU_SOURCE
#include <omp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#if defined(__AVX512F__)
#include <immintrin.h>
enum { WIDTH = 64 };
#define STREAM(to, v) _mm512_stream_si512((__m512i *)(to), (__m512i)(v))
#elif defined(__AVX2__)
#include <immintrin.h>
enum { WIDTH = 32 };
#define STREAM(to, v) _mm256_stream_si256((__m256i *)(to), (__m256i)(v))
#elif defined(__SSE2__)
#include <emmintrin.h>
enum { WIDTH = 16 };
#define STREAM(to, v) _mm_stream_si128((__m128i *)(to), (__m128i)(v))
#else
enum { WIDTH = 16 };
#define STREAM(to, v) (*(to) = (v))
#endif

typedef uint64_t vec __attribute__((vector_size(WIDTH), may_alias));

enum { STEP = 64 };                                  /* elements at a time: whole vectors of every type */
#define VECTORS(bytes) (STEP * (bytes) / WIDTH)

static volatile uint64_t sink;

/* All counts are literals at every call, in vectors per step; a stream of 0 vectors is not there. */
static inline __attribute__((always_inline)) void pass(size_t first, size_t last, const vec *a, const vec *b, vec *out,
                                                       size_t na, size_t nb, size_t nout, int streaming)
{
    vec seen[8] = {{0}};
    for (size_t i = first; i < last; i++) {
        const vec *x = a + i * na, *y = b + i * nb;
        vec *to = out + i * nout;
        if (nout == 0) {
#pragma GCC unroll 32
            for (size_t j = 0; j < na; j++) seen[j % 8] ^= x[j];
#pragma GCC unroll 32
            for (size_t j = 0; j < nb; j++) seen[(na + j) % 8] ^= y[j];
            continue;
        }
#pragma GCC unroll 32
        for (size_t j = 0; j < nout; j++) {          /* the part of each stream that belongs to this vector */
            vec v = {0};
            for (size_t k = j * na / nout; na && (k < (j + 1) * na / nout || k == j * na / nout); k++) v ^= x[k];
            for (size_t k = j * nb / nout; nb && (k < (j + 1) * nb / nout || k == j * nb / nout); k++) v ^= y[k];
            if (streaming) STREAM(to + j, v);
            else to[j] = v;
        }
    }
    for (int j = 1; j < 8; j++) seen[0] ^= seen[j];
    sink = seen[0][0];
    if (streaming) __sync_synchronize();             /* until the stores have left */
}

typedef void body(size_t first, size_t last, const void *a, const void *b, void *out);

/* Bytes per element: two reads and a write. */
#define CASES(X)                                                                                                     \
    X(4, 0, 0) X(4, 0, 4) X(4, 4, 0) X(4, 4, 4) X(1, 4, 0) X(1, 4, 4) X(4, 2, 0) X(4, 2, 2) X(2, 2, 0) X(2, 2, 2)    \
    X(1, 2, 2) X(8, 8, 0) X(8, 8, 8)

#define BODIES(A, B, W)                                                                                              \
    static void ordinary_##A##B##W(size_t first, size_t last, const void *a, const void *b, void *out)               \
    {                                                                                                                \
        pass(first, last, a, b, out, VECTORS(A), VECTORS(B), VECTORS(W), 0);                                         \
    }                                                                                                                \
    static void streaming_##A##B##W(size_t first, size_t last, const void *a, const void *b, void *out)              \
    {                                                                                                                \
        pass(first, last, a, b, out, VECTORS(A), VECTORS(B), VECTORS(W), 1);                                         \
    }
CASES(BODIES)

#define ROW(A, B, W) {A, B, W, {ordinary_##A##B##W, streaming_##A##B##W}},
static const struct {
    int a, b, out;
    body *bodies[2];
} rows[] = {CASES(ROW)};

static body *find(int a, int b, int out, int streaming)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].a == a && rows[i].b == b && rows[i].out == out) return rows[i].bodies[streaming != 0];
    return NULL;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run(body *f, size_t steps, int threads, const void *a, const void *b, void *out)
{
    if (threads == 1) {
        f(0, steps, a, b, out);
        return;
    }
#pragma omp parallel num_threads(threads)
    {
        const size_t me = (size_t)omp_get_thread_num(), of = (size_t)omp_get_num_threads();
        f(steps * me / of, steps * (me + 1) / of, a, b, out);
    }
}

enum { REUSED, MALLOC, HUGE_PAGES };                 /* where the output comes from */

static void *fresh(int kind, size_t bytes)
{
    if (kind == MALLOC) return aligned_alloc(64, (bytes + 63) / 64 * 64);
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
#ifdef MADV_HUGEPAGE
    madvise(p, bytes, MADV_HUGEPAGE);
#endif
    return p;
}

/* Seconds of one pass, the mean of `times`; negative if there is no such case or no memory.
 * Pointers are aligned to 64 bytes. */
double probe(int a_bytes, int b_bytes, int out_bytes, int threads, int streaming, int output, size_t n, int times,
             const void *a, const void *b, void *out)
{
    body *f = find(a_bytes, b_bytes, out_bytes, streaming);
    const size_t bytes = n * (size_t)out_bytes;
    if (!f) return -1;
    const double start = now();
    for (int i = 0; i < times; i++) {
        void *to = output == REUSED ? out : fresh(output, bytes);
        if (!to && out_bytes) return -1;
        run(f, n / STEP, threads, a, b, to);
        if (output == MALLOC) free(to);
        if (output == HUGE_PAGES) munmap(to, bytes);
    }
    return (now() - start) / times;
}

/* The sum of squared differences as OpenMP's reduction gives it, other bits for other numbers of threads.
 * Returns the seconds of one sum. */
double reduction(int in_double, int threads, size_t n, int times, const float *x, const float *y, double *result)
{
    const double start = now();
    for (int i = 0; i < times; i++) {
        if (in_double) {
            double s = 0;
#pragma omp parallel for simd reduction(+ : s) num_threads(threads) schedule(static)
            for (size_t j = 0; j < n; j++) s += ((double)x[j] - y[j]) * ((double)x[j] - y[j]);
            *result = s;
        } else {
            float s = 0;
#pragma omp parallel for simd reduction(+ : s) num_threads(threads) schedule(static)
            for (size_t j = 0; j < n; j++) s += (x[j] - y[j]) * (x[j] - y[j]);
            *result = s;
        }
    }
    return (now() - start) / times;
}

/* Seconds of one update in place of three arrays by a fourth, the mean of `times`: what an optimizer with two states
 * cannot avoid.  Pointers are aligned to 64 bytes. */
double in_place(int threads, size_t n, int times, const void *grad, void *a, void *b, void *c)
{
    const vec *g = grad;
    vec *x = a, *y = b, *z = c;
    const size_t vectors = n * sizeof(float) / sizeof(vec);
    const double start = now();
    for (int i = 0; i < times; i++) {
#pragma omp parallel for num_threads(threads) schedule(static)
        for (size_t j = 0; j < vectors; j++) {
            x[j] ^= g[j];
            y[j] ^= g[j];
            z[j] ^= g[j];
        }
    }
    return (now() - start) / times;
}
