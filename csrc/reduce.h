/* What is done to a whole block once its losses are known: sums, checks, exact moments. */

/* Sums are formed in LANES double lanes and then in a fixed tree: the same bits at any vector width. */
enum { LANES = 32 };

__attribute__((noinline)) static double lane_sum(double *lane)
{
    for (int half = LANES / 2; half; half /= 2)
        for (int l = 0; l < half; l++) lane[l] += lane[l + half];
    return lane[0];
}

static double block_sum(size_t n, const void *values)
{
    const real *restrict x = values;
    double lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += (double)x[i + l];
    for (int l = 0; i + l < n; l++) lane[l] += (double)x[i + l];
    return lane_sum(lane);
}

/* A finite bound stays finite in float32. */
inline_ real upper_bound(lf_domain domain)
{
    return domain.high < INFINITY && domain.high > R_LARGEST ? R_LARGEST : (real)domain.high;
}

static int outside(real x, lf_domain domain)
{
    if (x != x) return domain.no_nan || domain.sign_labels;
    return x < (real)domain.low || x > upper_bound(domain) || (domain.sign_labels && x != -1 && x != 0 && x != 1);
}

/* The first element outside the domain, or n.  First only whether there is one: from the extremes, which pass over
 * NaN, or from bits that are 0 for good elements, as x^2 - |x| is for -1, 0 and 1 alone. */
static size_t block_check(size_t n, const void *values, lf_domain domain)
{
    const real *restrict x = values;
    const real low = (real)domain.low, high = upper_bound(domain);
    real least[LANES], most[LANES];
    ureal wrong[LANES] = {0};
    for (int l = 0; l < LANES; l++) least[l] = low, most[l] = high;
    size_t i = 0;
    if (domain.sign_labels)
        for (; i + LANES <= n; i += LANES)
            for (size_t l = 0; l < LANES; l++) wrong[l] |= r_int(r_fma(x[i + l], x[i + l], -r_abs(x[i + l])));
    else if (domain.no_nan)
        for (; i + LANES <= n; i += LANES)
            for (size_t l = 0; l < LANES; l++) wrong[l] |= (ureal) !(x[i + l] >= low) | (ureal)(x[i + l] > high);
    else
        for (; i + LANES <= n; i += LANES)
            for (size_t l = 0; l < LANES; l++) {
                least[l] = x[i + l] < least[l] ? x[i + l] : least[l];
                most[l] = x[i + l] > most[l] ? x[i + l] : most[l];
            }
    int bad = 0;
    for (int l = 0; l < LANES; l++) bad |= (wrong[l] != 0) | (least[l] < low) | (most[l] > high);
    for (i = bad ? 0 : i; i < n; i++)
        if (outside(x[i], domain)) return i;
    return n;
}

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

/* The smallest and largest element, and the smallest magnitude but 0, as integers that order as the numbers do: a
 * negative number has its other bits flipped.  NaN comes above infinity or below its negative. */
typedef struct {
    real low, high, tiny;
} extremes;

inline_ ireal order(ireal bits) { return bits ^ (ireal)((ureal)(bits >> (8 * sizeof(real) - 1)) >> 1); }

inline_ void extend(ireal *low, ireal *high, ureal *tiny, real x)
{
    const ireal bits = (ireal)r_int(x), at = order(bits);
    const ureal magnitude = (ureal)bits * 2 - 1; /* of 0: the largest */
    *low = at < *low ? at : *low;
    *high = at > *high ? at : *high;
    *tiny = magnitude < *tiny ? magnitude : *tiny;
}

static extremes block_extremes(size_t n, const real *restrict x)
{
    ireal low[LANES], high[LANES];
    ureal tiny[LANES];
    for (int l = 0; l < LANES; l++) low[l] = high[l] = order((ireal)r_int(x[0])), tiny[l] = (ureal)-1;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++) extend(&low[l], &high[l], &tiny[l], x[i + l]);
    for (; i < n; i++) extend(low, high, tiny, x[i]);
    for (int l = 1; l < LANES; l++) {
        low[0] = low[l] < low[0] ? low[l] : low[0];
        high[0] = high[l] > high[0] ? high[l] : high[0];
        tiny[0] = tiny[l] < tiny[0] ? tiny[l] : tiny[0];
    }
    return (extremes){r_bits((ureal)order(low[0])), r_bits((ureal)order(high[0])), r_bits((tiny[0] + 1) / 2)};
}

#if LF_BITS == 32
/* The sums of a block of float32 losses and of their squares, in registers.
 *
 * Each lane is a number 1.5 2^k that x is added to, as in exact_block, and keeps the sum as it grows; x^2, exact in
 * double, takes two such lanes.  What is left after one of x and two of x^2 is so small that plain addition is exact,
 * if no magnitude (but 0) is below 2^-40 of the largest: then units and sums are less than 53 bits apart. */
#ifdef __AVX512F__
enum { WIDE = 16 };
#else
enum { WIDE = 8 };
#endif

static void fast_moments(size_t n, const float *restrict value, double bound, lf_moments *moments)
{
    const double big = extractor(bound), big1 = extractor(bound * bound), big2 = extractor(0x1p-42 * bound * bound);
    double x1[WIDE], x2[WIDE], s1[WIDE], s2[WIDE], s3[WIDE];
    for (int l = 0; l < WIDE; l++) x1[l] = big, s1[l] = big1, s2[l] = big2, x2[l] = s3[l] = 0;
    size_t i = 0;
    for (; i + WIDE <= n; i += WIDE)
        for (int l = 0; l < WIDE; l++) {
            const double x = (double)value[i + (size_t)l], square = x * x;
            const double x_up = x1[l] + x, s_up = s1[l] + square, rest = square - (s_up - s1[l]), s_mid = s2[l] + rest;
            x2[l] += x - (x_up - x1[l]);
            s3[l] += rest - (s_mid - s2[l]);
            x1[l] = x_up;
            s1[l] = s_up;
            s2[l] = s_mid;
        }
    double x_sum = 0, x_rest = 0, s_sum = 0, s_mid = 0, s_rest = 0;
    for (int l = 0; l < WIDE; l++) {
        x_sum += x1[l] - big;
        x_rest += x2[l];
        s_sum += s1[l] - big1;
        s_mid += s2[l] - big2;
        s_rest += s3[l];
    }
    lf_exact_add(&moments->loss, x_sum);
    lf_exact_add(&moments->loss, x_rest);
    lf_exact_add(&moments->square, s_sum);
    lf_exact_add(&moments->square, s_mid);
    lf_exact_add(&moments->square, s_rest);
    for (; i < n; i++) {
        lf_exact_add(&moments->loss, (double)value[i]);
        lf_exact_add(&moments->square, (double)value[i] * (double)value[i]);
    }
}
#endif

/* Weighted losses, doubles, and whatever is not finite or spread too widely; weight is NULL for 1. */
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

static void block_moments(size_t n, const void *values, const double *weight, lf_moments *moments)
{
    const real *value = values;
    const int first = moments->count == moments->nan;
    extremes e = block_extremes(n, value);
    const int finite = e.low >= -R_LARGEST && e.high <= R_LARGEST;
#if LF_BITS == 32
    const double bound = r_abs(e.low) > r_abs(e.high) ? r_abs(e.low) : r_abs(e.high);
    if (!weight && finite && bound > 0 && e.tiny >= 0x1p-40 * bound)
        fast_moments(n, value, bound, moments);
    else
#endif
        general_moments(n, value, weight, moments);
    if (!finite) { /* a NaN may be among the extremes */
        e.low = R_INF, e.high = -R_INF;
        for (size_t i = 0; i < n; i++) {
            e.low = value[i] < e.low ? value[i] : e.low;
            e.high = value[i] > e.high ? value[i] : e.high;
        }
    }
    if (e.low <= e.high) {
        moments->min = first || e.low < moments->min ? (double)e.low : moments->min;
        moments->max = first || e.high > moments->max ? (double)e.high : moments->max;
    }
    moments->count += n;
}
