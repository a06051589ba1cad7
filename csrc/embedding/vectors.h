/* Pairs of vectors: the sums that a distance needs, and the directions in which it grows.
 *
 * Sums are formed in fixed lanes and then in a fixed tree: the same bits at any vector width.  Lanes are doubles; of
 * floats, of which conversions would take most of the time, CHAIN terms at a time are added as floats first.  Where
 * these may overflow or lose small ones, which their sum tells, it is formed again in doubles alone. */

enum { VECTOR_LANES = 16, CHAIN = 4, CHUNK = CHAIN * VECTOR_LANES, FLOATS = LF_BITS == 32 };

/* Asks for what comes when the rows at hand are done with (PART of run.c): processors look ahead less far, and not into
 * the next page of memory. */
inline_ void ask_ahead(const real *x)
{
    enum { AHEAD = 2048, LINE = 64 };
    for (size_t byte = 0; byte < CHUNK * sizeof(real); byte += LINE)
        __builtin_prefetch((const char *)(x + AHEAD) + byte);
}

/* Squares that count are not below 2^-104 then, and none overflows. */
inline_ int is_safe_sum(double sum) { return sum > 0x1p-80 && sum < 0x1p100; }

/* A factor that is a normal number of the kernels' dtype, or 0. */
inline_ int is_plain(double x) { return x == 0 || (fabs(x) >= (double)R_SMALLEST && fabs(x) <= (double)R_LARGEST / 2); }

inline_ double vector_sum(const double *lane)
{
    double sum[VECTOR_LANES];
    for (int l = 0; l < VECTOR_LANES; l++) sum[l] = lane[l];
    UNROLL
    for (int half = VECTOR_LANES / 2; half; half /= 2)
        for (int l = 0; l < half; l++) sum[l] += sum[l + half];
    return sum[0];
}

/* The sums of a.a, a.b and b.b of n elements; only whole chunks' are added as floats. */
inline_ void three_products(int floats, size_t n, const real *restrict a, const real *restrict b, double *sums)
{
    double aa[VECTOR_LANES] = {0}, ab[VECTOR_LANES] = {0}, bb[VECTOR_LANES] = {0};
    size_t i = 0;
    for (; floats && i + CHUNK <= n; i += CHUNK) {
        real of_aa[VECTOR_LANES], of_ab[VECTOR_LANES], of_bb[VECTOR_LANES];
        ask_ahead(a + i);
        ask_ahead(b + i);
        for (size_t l = 0; l < VECTOR_LANES; l++) {
            const real x = a[i + l], y = b[i + l];
            of_aa[l] = x * x, of_ab[l] = x * y, of_bb[l] = y * y;
        }
        UNROLL
        for (size_t c = i + VECTOR_LANES; c < i + CHUNK; c += VECTOR_LANES)
            for (size_t l = 0; l < VECTOR_LANES; l++) {
                const real x = a[c + l], y = b[c + l];
                of_aa[l] = r_fma(x, x, of_aa[l]);
                of_ab[l] = r_fma(x, y, of_ab[l]);
                of_bb[l] = r_fma(y, y, of_bb[l]);
            }
        for (size_t l = 0; l < VECTOR_LANES; l++)
            aa[l] += (double)of_aa[l], ab[l] += (double)of_ab[l], bb[l] += (double)of_bb[l];
    }
    for (; i + VECTOR_LANES <= n; i += VECTOR_LANES)
        for (size_t l = 0; l < VECTOR_LANES; l++) {
            const double x = (double)a[i + l], y = (double)b[i + l];
            aa[l] = d_fma(x, x, aa[l]);
            ab[l] = d_fma(x, y, ab[l]);
            bb[l] = d_fma(y, y, bb[l]);
        }
    sums[0] = vector_sum(aa), sums[1] = vector_sum(ab), sums[2] = vector_sum(bb);
    for (; i < n; i++) {
        const double x = (double)a[i], y = (double)b[i];
        sums[0] = d_fma(x, x, sums[0]);
        sums[1] = d_fma(x, y, sums[1]);
        sums[2] = d_fma(y, y, sums[2]);
    }
}

__attribute__((noinline)) static void products_of(size_t n, const real *a, const real *b, double *sums)
{
    three_products(0, n, a, b, sums);
}

/* Adds a.a, a.b and b.b of n elements of each row to its three sums. */
static void vector_products(size_t rows, size_t n, size_t pitch, const void *of_a, const void *of_b, double *sums)
{
    for (size_t r = 0; r < rows; r++) {
        const real *const a = (const real *)of_a + r * pitch, *const b = (const real *)of_b + r * pitch;
        double three[3];
        if (FLOATS) three_products(1, n, a, b, three);
        if (!FLOATS || !is_safe_sum(three[0]) || !is_safe_sum(three[2])) products_of(n, a, b, three);
        for (size_t k = 0; k < 3; k++) sums[3 * r + k] += three[k];
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

/* Their sum; of squares only whole chunks' are added as floats. */
inline_ double distance_sum(vector_measure measure, int floats, size_t n, const real *restrict a,
                            const real *restrict b, real eps, real p, real inverse)
{
    double sum[VECTOR_LANES] = {0};
    size_t i = 0;
    for (; floats && i + CHUNK <= n; i += CHUNK) {
        real part[VECTOR_LANES];
        ask_ahead(a + i);
        ask_ahead(b + i);
        for (size_t l = 0; l < VECTOR_LANES; l++) {
            const real d = a[i + l] - b[i + l] + eps;
            part[l] = d * d;
        }
        UNROLL
        for (size_t c = i + VECTOR_LANES; c < i + CHUNK; c += VECTOR_LANES)
            for (size_t l = 0; l < VECTOR_LANES; l++) {
                const real d = a[c + l] - b[c + l] + eps;
                part[l] = r_fma(d, d, part[l]);
            }
        for (size_t l = 0; l < VECTOR_LANES; l++) sum[l] += (double)part[l];
    }
    for (; i + VECTOR_LANES <= n; i += VECTOR_LANES)
        for (size_t l = 0; l < VECTOR_LANES; l++)
            sum[l] += distance_term(measure, a[i + l] - b[i + l] + eps, p, inverse);
    double all = vector_sum(sum);
    for (; i < n; i++) all += distance_term(measure, a[i] - b[i] + eps, p, inverse);
    return all;
}

inline_ void distances(vector_measure measure, size_t rows, size_t n, size_t pitch, const void *of_a, const void *of_b,
                       real eps, real p, const double *top, double *sums)
{
    const int floats = FLOATS && measure == VECTOR_SQUARE;
    for (size_t r = 0; r < rows; r++) {
        const real *const a = (const real *)of_a + r * pitch, *const b = (const real *)of_b + r * pitch;
        const real inverse = measure == VECTOR_POWER ? (real)(1 / top[r]) : 1;
        if (measure == VECTOR_POWER && inverse == 0) { /* infinite, or not a number */
            for (size_t i = 0; i < n; i++) sums[r] += (double)r_abs(a[i] - b[i] + eps);
            continue;
        }
        double sum = 0;
        if (floats) sum = distance_sum(measure, 1, n, a, b, eps, p, inverse);
        if (!floats || !is_safe_sum(sum)) sum = distance_sum(measure, 0, n, a, b, eps, p, inverse);
        sums[r] += sum;
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
        const real plain_a = (real)by_a, plain_b = (real)by_b;
        const int none = by_a == 0 && by_b == 0, plain = is_plain(by_a) && is_plain(by_b);
        if (none && add) continue;
        if (none)
            memset(out, 0, n * sizeof *out);
        else if (plain && add)
            for (size_t i = 0; i < n; i++) out[i] += r_fma(plain_a, a[i], plain_b * b[i]);
        else if (plain)
            for (size_t i = 0; i < n; i++) out[i] = r_fma(plain_a, a[i], plain_b * b[i]);
        else
            for (size_t i = 0; i < n; i++)
                out[i] = (real)((add ? (double)out[i] : 0) + d_fma(by_a, (double)a[i], by_b * (double)b[i]));
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
        const real plain = (real)k, inverse = measure == VECTOR_POWER ? (real)(1 / top[r]) : 1;
        if (k == 0 && add) continue;
        if (k == 0)
            memset(out, 0, n * sizeof *out);
        else if (measure == VECTOR_SQUARE && is_plain(k))
            for (size_t i = 0; i < n; i++) {
                const real d = a[i] - b[i] + eps;
                out[i] = add ? r_fma(plain, d, out[i]) : plain * d;
            }
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
