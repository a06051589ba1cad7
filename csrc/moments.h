/* The moments of a block of losses: count, exact sums of losses, of their squares and of weights, extremes. */
#ifdef __AVX2__
#include <immintrin.h>
#endif

/* --- Exact sums of a block ---------------------------------------------------------------------------------
 *
 * A number big = 1.5 2^k rounds what is added to it to multiples of its last place u = 2^(k-52), and does so
 * without error as long as the sum stays in its binade: big + x - big is the part of x above u/2, x minus that is
 * the rest, and both are exact.  The upper parts of a block add up without error, and the rests make the next
 * round, until nothing is left.  (S. M. Rump, T. Ogita, S. Oishi, "Accurate floating-point summation I", SIAM J.
 * Sci. Comput. 31 (2008) 189, algorithm ExtractVector.)
 */
static double largest(size_t n, const double *restrict x)
{
    double lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] = fabs(x[i + l]) > lane[l] ? fabs(x[i + l]) : lane[l];
    for (int l = 0; i + l < n; l++) lane[l] = fabs(x[i + l]) > lane[l] ? fabs(x[i + l]) : lane[l];
    for (int l = 1; l < LANES; l++) lane[0] = lane[l] > lane[0] ? lane[l] : lane[0];
    return lane[0];
}

/* 1.5 2^k such that BLOCK multiples of its last place u, none above bound < 2^(e+1), add up exactly; 0 if that
 * overflows. */
static double extractor(double bound)
{
    uint64_t bits;
    memcpy(&bits, &bound, sizeof bits);
    const uint64_t exponent = (bits >> 52) + 10; /* |sum| < 2^(e+1) BLOCK = 2^53 u */
    if (exponent >= 2047) return 0;
    bits = exponent << 52 | (uint64_t)1 << 51;
    double big;
    memcpy(&big, &bits, sizeof big);
    return big;
}

/* Adds the x exactly, and leaves rubbish in their place. */
static void exact_block(size_t n, double *restrict x, lf_exact *sum)
{
    for (double bound = largest(n, x); bound > 0; bound = largest(n, x)) {
        const double big = extractor(bound);
        if (big == 0 || bound < 0x1p-960) { /* too near the ends of the range for the extractor */
            for (size_t i = 0; i < n; i++) lf_exact_add(sum, x[i]);
            return;
        }
        double lane[LANES] = {0};
        size_t i = 0;
        for (; i + LANES <= n; i += LANES)
            for (int l = 0; l < LANES; l++) {
                const double upper = (big + x[i + l]) - big;
                x[i + l] -= upper;
                lane[l] += upper;
            }
        for (int l = 0; i + l < n; l++) {
            const double upper = (big + x[i + l]) - big;
            x[i + l] -= upper;
            lane[l] += upper;
        }
        for (int l = 1; l < LANES; l++) lane[0] += lane[l];
        lf_exact_add(sum, lane[0]);
    }
}

/* --- Moments -------------------------------------------------------------------------------------------------- */

/* The smallest and the largest element, NaN left out. */
typedef struct {
    real low, high;
} extremes;

static extremes block_extremes(size_t n, const real *restrict x)
{
    real low[LANES], high[LANES];
    for (int l = 0; l < LANES; l++) low[l] = R_INF, high[l] = -R_INF;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            low[l] = r_min(low[l], x[i + (size_t)l]);
            high[l] = r_max(high[l], x[i + (size_t)l]);
        }
    for (; i < n; i++) {
        low[0] = r_min(low[0], x[i]);
        high[0] = r_max(high[0], x[i]);
    }
    real least[16], most[16];
    for (int l = 0; l < 16; l++) least[l] = r_min(low[l], low[l + 16]), most[l] = r_max(high[l], high[l + 16]);
    for (int l = 0; l < 8; l++) least[l] = r_min(least[l], least[l + 8]), most[l] = r_max(most[l], most[l + 8]);
    for (int l = 0; l < 4; l++) least[l] = r_min(least[l], least[l + 4]), most[l] = r_max(most[l], most[l + 4]);
    return (extremes){r_min(r_min(least[0], least[2]), r_min(least[1], least[3])),
                      r_max(r_max(most[0], most[2]), r_max(most[1], most[3]))};
}

#if LF_BITS == 32
/* The sums of a block of float32 losses and of their squares, in plain double lanes.
 *
 * Let 2^e <= max |x| < 2^(e+1), each lane take 2^c elements, and no |x| but 0 be below 2^(e-29+c).
 * - The x are multiples of 2^(e-52+c) and a lane of them is at most 2^(e+1+c): 53 bits, so that it adds up exactly.
 * - A lane that starts at 2^(2e+2+c) stays below its double, and so has the last place u = 2^(2e-50+c): x^2 is added
 *   to it rounded to a multiple of u, and what is left is a multiple of 2^(2e-104+2c), at most u/2; a lane of that is
 *   at most 2^(2e-51+2c): 53 bits again.  x^2 itself is exact in double, so that it does not matter whether the
 *   processor fuses.
 * Smaller x are taken for 0 here and return in `small`, for another round of their own.
 *
 * What is exact does not depend on the number of lanes: there are as many as three sums of them leave registers for.
 * Vectors are written out because compilers take more registers than there are, or convert by two instructions. */
#if defined(__AVX512F__)
typedef __m512d vector;
inline_ vector widened(const float *x) { return _mm512_cvtps_pd(_mm256_loadu_ps(x)); }
inline_ vector vector_fma(vector a, vector b, vector c) { return _mm512_fmadd_pd(a, b, c); }
enum { VECTOR = 8, PER_LANE = 5 };
#elif defined(__AVX2__)
typedef __m256d vector;
inline_ vector widened(const float *x) { return _mm256_cvtps_pd(_mm_loadu_ps(x)); }
inline_ vector vector_fma(vector a, vector b, vector c) { return _mm256_fmadd_pd(a, b, c); }
enum { VECTOR = 4, PER_LANE = 6 };
#else
typedef double vector __attribute__((vector_size(16)));
inline_ vector widened(const float *x) { return (vector){(double)x[0], (double)x[1]}; }
inline_ vector vector_fma(vector a, vector b, vector c) { return a * b + c; }
enum { VECTOR = 2, PER_LANE = 7 };
#endif
enum { VECTORS = 4, WIDE = VECTORS * VECTOR };
_Static_assert(WIDE << PER_LANE == BLOCK, "lanes take 2^c elements");

inline_ vector vector_of(double x)
{
    double all[VECTOR];
    for (int l = 0; l < VECTOR; l++) all[l] = x;
    vector v;
    memcpy(&v, all, sizeof v);
    return v;
}

inline_ double power(int exponent)
{
    const uint64_t bits = (uint64_t)(exponent + 1023) << 52;
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

inline_ int exponent(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (int)(bits >> 52) - 1023;
}

inline_ double across(vector x)
{
    double lane[VECTOR], sum = 0;
    memcpy(lane, &x, sizeof lane);
    UNROLL
    for (int l = 0; l < VECTOR; l++) sum += lane[l];
    return sum;
}

/* Lanes of 53 bits whose sum is at most 2^top have up to 63: their upper and lower parts add up exactly.  These two are
 * added at once where that is without error, as it is for losses of ordinary sizes (D. E. Knuth, The Art of Computer
 * Programming, vol. 2, 4.2.2, theorem B). */
__attribute__((noinline)) static void add_lanes(vector a, vector b, vector c, vector d, int top, lf_exact *sum)
{
    const vector big = vector_of(1.5 * power(top)), lane[VECTORS] = {a, b, c, d};
    vector uppers = vector_of(0), lowers = vector_of(0);
    UNROLL
    for (int v = 0; v < VECTORS; v++) {
        const vector upper = (big + lane[v]) - big;
        uppers += upper;
        lowers += lane[v] - upper;
    }
    const double upper = across(uppers), lower = across(lowers), both = upper + lower, added = both - upper,
                 error = (upper - (both - added)) + (lower - added);
    lf_exact_add(sum, both);
    if (error != 0) lf_exact_add(sum, error);
}

/* Ordered as |x| is, but 0 comes last; of a positive x its bits do. */
inline_ uint32_t magnitude(int positive, float x) { return positive ? r_int(x) : 2 * r_int(x) - 2; }

inline_ int any_below(int positive, uint32_t limit, size_t n, const float *restrict x)
{
    uint32_t least = UINT32_MAX;
    for (size_t l = 0; l < n; l++) least = magnitude(positive, x[l]) < least ? magnitude(positive, x[l]) : least;
    return least < limit;
}

/* Where a block is below the threshold, but not 0.  Returns how many there are; `at` has room for one more.  There are
 * few, so that most chunks have none, and most groups of the others. */
inline_ size_t search(int positive, size_t n, const float *restrict x, float threshold, uint16_t *restrict at)
{
    enum { GROUP = 16, CHUNK = 8 * GROUP };
    const uint32_t limit = threshold > 0 ? magnitude(positive, threshold) : 0;
    size_t m = 0;
    for (size_t i = 0; i < n; i += CHUNK) {
        const size_t end = n - i < CHUNK ? n : i + CHUNK;
        if (end == i + CHUNK && !any_below(positive, limit, CHUNK, x + i)) continue;
        for (size_t k = i; k < end; k += GROUP) {
            const size_t last = end - k < GROUP ? end : k + GROUP;
            if (last == k + GROUP && !any_below(positive, limit, GROUP, x + k)) continue;
            for (size_t l = k; l < last; l++) {
                at[m] = (uint16_t)l;
                m += magnitude(positive, x[l]) < limit;
            }
        }
    }
    return m;
}

__attribute__((noinline)) static size_t find_small(int positive, size_t n, const float *restrict x, float threshold,
                                                   uint16_t *restrict at)
{
    return positive ? search(1, n, x, threshold, at) : search(0, n, x, threshold, at);
}

/* Returns 0, with nothing added, if an element is NaN.  Not inlined, as little else here: what is at hand in registers
 * would take them from the lanes. */
__attribute__((noinline)) static int fast_lanes(size_t n, const float *restrict x, int e, const lf_ahead *ahead,
                                                lf_moments *moments)
{
    const int c = PER_LANE;
    const vector start = vector_of(power(2 * e + 2 + c)), ones = vector_of(1);
    const vector *one = &ones;
    __asm__("" : "+r"(one)); /* stays in memory: all registers are taken */
    vector sum[VECTORS], square[VECTORS], rest[VECTORS];
    UNROLL
    for (int v = 0; v < VECTORS; v++) sum[v] = rest[v] = vector_of(0), square[v] = start;
    float tail[WIDE] = {0};
    const size_t left = n % WIDE, groups = n / WIDE;
    memcpy(tail, x + groups * WIDE, left * sizeof *tail);
    const lf_ahead next = *ahead;
    for (size_t g = 0; g <= groups; g++) {
        const float *const group = g < groups ? x + g * WIDE : tail;
        for (size_t line = 0; line < WIDE; line += 16) /* from the half that the loss has not asked for */
            lf_look_ahead(&next, n / 2 + g * WIDE + line);
        UNROLL
        for (int v = 0; v < VECTORS; v++) {
            const vector y = widened(group + v * VECTOR), up = vector_fma(y, y, square[v]);
            rest[v] += vector_fma(y, y, square[v] - up);
            square[v] = up;
            sum[v] = vector_fma(y, *one, sum[v]); /* there are more additions than multiplications: evens them out */
            __asm__ volatile("" ::: "memory");    /* one vector after the other, lest they need more registers */
        }
    }
    const double total = across((sum[0] + sum[1]) + (sum[2] + sum[3]));
    if (total != total) return 0;
    add_lanes(sum[0], sum[1], sum[2], sum[3], e + 11, &moments->loss);
    add_lanes(square[0] - start, square[1] - start, square[2] - start, square[3] - start, 2 * e + 12, &moments->square);
    add_lanes(rest[0], rest[1], rest[2], rest[3], 2 * e - 41 + c, &moments->square);
    return 1;
}

/* Rounds, each with what was too small for the one before; leaves rubbish in place of the x, unless one is NaN: then
 * nothing happens, and 0 is returned. */
static int fast_moments(size_t n, float *x, extremes range, const lf_ahead *ahead, lf_moments *moments)
{
    enum { FEW = 8 };
    float room[2][BLOCK];
    uint16_t at[BLOCK + 1];
    for (int round = 0;; round = !round, range = block_extremes(n, x)) {
        float *const small = room[round];
        const float bound = r_max(r_abs(range.low), r_abs(range.high));
        const int e = exponent(bound > 0 ? (double)bound : 0x1p-149);
        const float threshold = (float)power(e - 29 + PER_LANE);
        const size_t m = range.low < threshold ? find_small(range.low > 0, n, x, threshold, at) : 0;
        for (size_t i = 0; i < m; i++) small[i] = x[at[i]], x[at[i]] = 0;
        if (!fast_lanes(n, x, e, ahead, moments)) {
            for (size_t i = 0; i < m; i++) x[at[i]] = small[i];
            return 0;
        }
        x = small;
        n = m;
        if (n > FEW) continue;
        for (size_t i = 0; i < n; i++) {
            lf_exact_add(&moments->loss, (double)x[i]);
            lf_exact_add(&moments->square, (double)x[i] * (double)x[i]);
        }
        return 1;
    }
}
#endif

/* Weighted losses, doubles, and whatever is not finite; weight is NULL for 1. */
static void general_moments(size_t n, const real *restrict value, const double *weight, lf_moments *moments)
{
    double loss[BLOCK], square[BLOCK];
    if (n == 0) return;
    if (weight) {
        memcpy(loss, weight, n * sizeof *loss);
        exact_block(n, loss, &moments->weight);
    }
    int64_t special = 0;
    for (size_t i = 0; i < n; i++) {
        const double x = (double)value[i], w = weight ? weight[i] : 1;
        loss[i] = w * x;
        square[i] = w * x * x;
        special |= (int64_t) !(fabs(loss[i]) < INFINITY) | (int64_t) !(fabs(square[i]) < INFINITY);
    }
    if (special)
        for (size_t i = 0; i < n; i++) {
            if (fabs(loss[i]) < INFINITY && fabs(square[i]) < INFINITY) continue;
            if (value[i] != value[i])
                moments->nan++;
            else if (value[i] == R_INF)
                moments->positive_inf++;
            else if (value[i] == -R_INF)
                moments->negative_inf++;
            else
                moments->overflow++;
            const int finite = r_abs(value[i]) < R_INF;
            if (!(finite && fabs(loss[i]) < INFINITY)) loss[i] = finite ? copysign(DBL_MAX, loss[i]) : 0;
            square[i] = 0;
        }
    exact_block(n, loss, &moments->loss);
    exact_block(n, square, &moments->square);
}

static void block_moments(size_t n, void *values, const double *weight, const lf_ahead *ahead, lf_moments *moments)
{
    real *const value = values;
    const int first = moments->count == moments->nan;
    const extremes e = block_extremes(n, value);
#if LF_BITS == 32
    const int finite = e.low >= -R_LARGEST && e.high <= R_LARGEST;
    if (weight || !finite || !fast_moments(n, value, e, ahead, moments))
#else
    (void)ahead;
#endif
        general_moments(n, value, weight, moments);
    if (e.low <= e.high) { /* + 0: of both zeros the positive one, in whatever order they come */
        moments->min = first || e.low < moments->min ? (double)e.low + 0 : moments->min;
        moments->max = first || e.high > moments->max ? (double)e.high + 0 : moments->max;
    }
    moments->count += n;
}
