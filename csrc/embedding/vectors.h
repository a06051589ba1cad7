/* Pairs of vectors: the sums that a distance needs, and the directions in which it grows.
 *
 * Sums are formed in double, in fixed lanes and then in a fixed tree: the same bits at any vector width. */

enum { VECTOR_LANES = 16 };

/* Products of two floats are exact in double. */
inline_ double d_fma(double a, double b, double c)
{
#if R_HAS_FMA
    return __builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}

inline_ double vector_sum(const double *lane)
{
    double sum[VECTOR_LANES];
    for (int l = 0; l < VECTOR_LANES; l++) sum[l] = lane[l];
    UNROLL
    for (int half = VECTOR_LANES / 2; half; half /= 2)
        for (int l = 0; l < half; l++) sum[l] += sum[l + half];
    return sum[0];
}

/* Adds a.a, a.b and b.b of n elements of each row to its three sums. */
static void vector_products(size_t rows, size_t n, size_t pitch, const void *of_a, const void *of_b, double *sums)
{
    for (size_t r = 0; r < rows; r++) {
        const real *restrict a = (const real *)of_a + r * pitch, *restrict b = (const real *)of_b + r * pitch;
        double aa[VECTOR_LANES] = {0}, ab[VECTOR_LANES] = {0}, bb[VECTOR_LANES] = {0};
        size_t i = 0;
        for (; i + VECTOR_LANES <= n; i += VECTOR_LANES)
            for (size_t l = 0; l < VECTOR_LANES; l++) {
                const double x = (double)a[i + l], y = (double)b[i + l];
                aa[l] = d_fma(x, x, aa[l]);
                ab[l] = d_fma(x, y, ab[l]);
                bb[l] = d_fma(y, y, bb[l]);
            }
        for (size_t l = 0; i + l < n; l++) {
            const double x = (double)a[i + l], y = (double)b[i + l];
            aa[l] = d_fma(x, x, aa[l]);
            ab[l] = d_fma(x, y, ab[l]);
            bb[l] = d_fma(y, y, bb[l]);
        }
        sums[3 * r] += vector_sum(aa);
        sums[3 * r + 1] += vector_sum(ab);
        sums[3 * r + 2] += vector_sum(bb);
    }
}

/* |d|^p for |d| <= 1. */
inline_ real fraction_to(real d, real p) { return d > 0 ? r_exp_nonpos(p * r_log(d)) : d == 0 ? 0 : d; }

/* What an element of d = a - b + eps adds to its row's sum. */
inline_ double distance_term(vector_measure measure, real d, real p, real inverse)
{
    switch (measure) {
    case VECTOR_ABSOLUTE: return (double)r_abs(d);
    case VECTOR_SQUARE: return (double)d * (double)d;
    default: return (double)fraction_to(r_abs(d) * inverse, p);
    }
}

inline_ void distances(vector_measure measure, size_t rows, size_t n, size_t pitch, const void *of_a, const void *of_b,
                       real eps, real p, const double *top, double *sums)
{
    for (size_t r = 0; r < rows; r++) {
        const real *restrict a = (const real *)of_a + r * pitch, *restrict b = (const real *)of_b + r * pitch;
        const real inverse = measure == VECTOR_POWER ? (real)(1 / top[r]) : 1;
        double sum[VECTOR_LANES] = {0};
        size_t i = 0;
        if (measure == VECTOR_POWER && inverse == 0) { /* infinite, or not a number */
            for (; i < n; i++) sums[r] += (double)r_abs(a[i] - b[i] + eps);
            continue;
        }
        for (; i + VECTOR_LANES <= n; i += VECTOR_LANES)
            for (size_t l = 0; l < VECTOR_LANES; l++)
                sum[l] += distance_term(measure, a[i + l] - b[i + l] + eps, p, inverse);
        for (size_t l = 0; i + l < n; l++) sum[l] += distance_term(measure, a[i + l] - b[i + l] + eps, p, inverse);
        sums[r] += vector_sum(sum);
    }
}

/* Adds the sum of n elements of each row of |d|, d^2 or (|d| / top)^p, d = a - b + eps. */
static void vector_distances(vector_measure measure, size_t rows, size_t n, size_t pitch, const void *a, const void *b,
                             double eps, double p, const double *top, double *sums)
{
    if (measure == VECTOR_ABSOLUTE)
        distances(VECTOR_ABSOLUTE, rows, n, pitch, a, b, (real)eps, (real)p, top, sums);
    else if (measure == VECTOR_SQUARE)
        distances(VECTOR_SQUARE, rows, n, pitch, a, b, (real)eps, (real)p, top, sums);
    else
        distances(VECTOR_POWER, rows, n, pitch, a, b, (real)eps, (real)p, top, sums);
}

/* Raises the top of each row to the largest |a - b + eps| of n elements; NaN does not count. */
static void vector_tops(size_t rows, size_t n, size_t pitch, const void *of_a, const void *of_b, double eps,
                        double *top)
{
    for (size_t r = 0; r < rows; r++) {
        const real *restrict a = (const real *)of_a + r * pitch, *restrict b = (const real *)of_b + r * pitch;
        real most[VECTOR_LANES] = {0};
        size_t i = 0;
        for (; i + VECTOR_LANES <= n; i += VECTOR_LANES)
            for (size_t l = 0; l < VECTOR_LANES; l++) most[l] = r_max(most[l], r_abs(a[i + l] - b[i + l] + (real)eps));
        for (size_t l = 0; i + l < n; l++) most[l] = r_max(most[l], r_abs(a[i + l] - b[i + l] + (real)eps));
        for (size_t l = 0; l < VECTOR_LANES; l++) top[r] = (double)most[l] > top[r] ? (double)most[l] : top[r];
    }
}

/* out = x a + y b, or that added to it, of n elements of each row; where both are 0, a and b do not matter. */
static void vector_combine(int add, size_t rows, size_t n, size_t pitch, const void *of_a, const double *x,
                           const void *of_b, const double *y, void *to)
{
    for (size_t r = 0; r < rows; r++) {
        const real *restrict a = (const real *)of_a + r * pitch, *restrict b = (const real *)of_b + r * pitch;
        real *restrict out = (real *)to + r * pitch;
        const double by_a = x[r], by_b = y[r];
        const int none = by_a == 0 && by_b == 0;
        if (none && add) continue;
        if (none)
            memset(out, 0, n * sizeof *out);
        else if (add)
            for (size_t i = 0; i < n; i++)
                out[i] = (real)((double)out[i] + d_fma(by_a, (double)a[i], by_b * (double)b[i]));
        else
            for (size_t i = 0; i < n; i++) out[i] = (real)d_fma(by_a, (double)a[i], by_b * (double)b[i]);
    }
}

/* The derivative of |d|, d^2 / 2 or (|d| / top)^p / p * top. */
inline_ real direction(vector_measure measure, real d, real p, real inverse)
{
    switch (measure) {
    case VECTOR_ABSOLUTE: return d > 0 ? 1 : d < 0 ? -1 : d;
    case VECTOR_SQUARE: return d;
    default: return r_sign(fraction_to(r_abs(d) * inverse, p - 1), d);
    }
}

inline_ void directions(vector_measure measure, int add, size_t rows, size_t n, size_t pitch, const void *of_a,
                        const void *of_b, real eps, real p, const double *top, const double *factor, double sign,
                        void *to)
{
    for (size_t r = 0; r < rows; r++) {
        const real *restrict a = (const real *)of_a + r * pitch, *restrict b = (const real *)of_b + r * pitch;
        real *restrict out = (real *)to + r * pitch;
        const double k = sign * factor[r];
        const real inverse = measure == VECTOR_POWER ? (real)(1 / top[r]) : 1;
        if (k == 0 && add) continue;
        if (k == 0)
            memset(out, 0, n * sizeof *out);
        else
            for (size_t i = 0; i < n; i++) {
                const double step = k * (double)direction(measure, a[i] - b[i] + eps, p, inverse);
                out[i] = (real)(add ? (double)out[i] + step : step);
            }
    }
}

/* out = sign * factor * that derivative, or added to it; where the factor is 0, a and b do not matter. */
static void vector_directions(vector_measure measure, int add, size_t rows, size_t n, size_t pitch, const void *a,
                              const void *b, double eps, double p, const double *top, const double *factor, double sign,
                              void *out)
{
    const real e = (real)eps, q = (real)p;
    if (measure == VECTOR_POWER) {
        for (size_t r = 0; r < rows && !add; r++) memset((real *)out + r * pitch, 0, n * sizeof(real));
        directions(VECTOR_POWER, 1, rows, n, pitch, a, b, e, q, top, factor, sign, out);
    } else if (measure == VECTOR_ABSOLUTE && add)
        directions(VECTOR_ABSOLUTE, 1, rows, n, pitch, a, b, e, q, top, factor, sign, out);
    else if (measure == VECTOR_ABSOLUTE)
        directions(VECTOR_ABSOLUTE, 0, rows, n, pitch, a, b, e, q, top, factor, sign, out);
    else if (add)
        directions(VECTOR_SQUARE, 1, rows, n, pitch, a, b, e, q, top, factor, sign, out);
    else
        directions(VECTOR_SQUARE, 0, rows, n, pitch, a, b, e, q, top, factor, sign, out);
}
