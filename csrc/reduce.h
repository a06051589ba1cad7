/* What is done to a whole block once its losses are known: sums, checks, exact moments. */

/* Sums are formed in LANES double lanes and then in a fixed tree: the same bits at any vector width. */
enum { LANES = 32 };

inline_ double lane_sum(double *lane)
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

static int outside(real x, lf_domain domain)
{
    if (x != x) return domain.no_nan || domain.sign_labels;
    return x < (real)domain.low || x > (real)domain.high || (domain.sign_labels && x != -1 && x != 0 && x != 1);
}

/* The first element outside the domain, or n.  x^3 = x for -1, 0 and 1 alone (and infinity, which the bounds hold
 * off). */
static size_t block_check(size_t n, const void *values, lf_domain domain)
{
    const real *restrict x = values;
    const real low = (real)domain.low, high = (real)domain.high;
    ireal bad = 0;
    if (domain.sign_labels)
        for (size_t i = 0; i < n; i++) bad |= (ireal)(x[i] * x[i] * x[i] != x[i]) | (ireal)(x[i] > high);
    else if (domain.no_nan)
        for (size_t i = 0; i < n; i++) bad |= (ireal) !(x[i] >= low) | (ireal)(x[i] > high);
    else
        for (size_t i = 0; i < n; i++) bad |= (ireal)(x[i] < low) | (ireal)(x[i] > high);
    if (bad)
        for (size_t i = 0; i < n; i++)
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

/* weight is NULL for 1. */
static void block_moments(size_t n, const void *values, const double *weight, lf_moments *moments)
{
    const real *restrict value = values;
    double loss[BLOCK], square[BLOCK];
    real low[LANES], high[LANES];
    for (int l = 0; l < LANES; l++) low[l] = R_INF, high[l] = -R_INF;
    ireal special = 0;
    for (size_t i = 0; i < n; i++) special |= !(r_abs(value[i]) < R_INF);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            low[l] = value[i + l] < low[l] ? value[i + l] : low[l];
            high[l] = value[i + l] > high[l] ? value[i + l] : high[l];
        }
    for (int l = 0; i + l < n; l++) {
        low[l] = value[i + l] < low[l] ? value[i + l] : low[l];
        high[l] = value[i + l] > high[l] ? value[i + l] : high[l];
    }
    for (int l = 1; l < LANES; l++) {
        low[0] = low[l] < low[0] ? low[l] : low[0];
        high[0] = high[l] > high[0] ? high[l] : high[0];
    }
    moments->min = moments->count > moments->nan && moments->min < low[0] ? moments->min : (double)low[0];
    moments->max = moments->count > moments->nan && moments->max > high[0] ? moments->max : (double)high[0];
    moments->count += n;

    for (i = 0; i < n; i++) {
        const double x = (double)value[i], w = weight ? weight[i] : 1;
        loss[i] = w * x;
        square[i] = w * x * x;
    }
    if (weight) {
        double copy[BLOCK];
        memcpy(copy, weight, n * sizeof *copy);
        exact_block(n, copy, &moments->weight);
    }
    if (special)
        for (i = 0; i < n; i++) {
            if (value[i] != value[i])
                moments->nan++;
            else if (value[i] == R_INF)
                moments->positive_inf++;
            else if (value[i] == -R_INF)
                moments->negative_inf++;
            if (!(r_abs(value[i]) < R_INF)) loss[i] = square[i] = 0;
        }
    if (!(largest(n, square) < INFINITY))
        for (i = 0; i < n; i++) {
            if (fabs(loss[i]) < INFINITY && fabs(square[i]) < INFINITY) continue;
            moments->overflow++;
            loss[i] = fabs(loss[i]) < INFINITY ? loss[i] : copysign(0x1.fffffffffffffp1023, loss[i]);
            square[i] = 0;
        }
    exact_block(n, loss, &moments->loss);
    exact_block(n, square, &moments->square);
}
