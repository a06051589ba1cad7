/* Linear scores of rows, and the sums of rows that are their gradient.
 *
 *     z_r = intercept + sum_i x_ri coef_i          sum_i += sum_r c_r x_ri
 *
 * Products are summed in the dtype of the rows, in fixed lanes and then in a fixed tree: the same bits at any vector
 * width.  Sums over more than a block of rows are double. */

enum { LINEAR_LANES = 64 / sizeof(real), LINEAR_ROWS = 4 /* at a time: they share the loads of the coefficients */ };

inline_ real lane_tree(const real *lane)
{
    real sum[LINEAR_LANES];
    for (int l = 0; l < LINEAR_LANES; l++) sum[l] = lane[l];
    UNROLL
    for (int half = LINEAR_LANES / 2; half; half /= 2)
        for (int l = 0; l < half; l++) sum[l] += sum[l + half];
    return sum[0];
}

/* Asks for a part of LINEAR_ROWS rows that are needed later: a half in each of the two passes, so that the memory always
 * has something to do. */
inline_ void look_at_rows(const void *const *ahead, size_t first, size_t last)
{
    enum { LINE = 64 };
    for (size_t k = 0; k < LINEAR_ROWS; k++)
        for (size_t i = first; i < last; i += LINE) __builtin_prefetch((const char *)ahead[k] + i);
}

/* Of n rows, a multiple of LINEAR_ROWS; ahead: NULL, or as many rows to ask for. */
static void linear_scores(size_t n, size_t features, const void *const *rows, const void *const *ahead,
                          const void *coefficients, double intercept, void *scores)
{
    const real *restrict w = coefficients;
    real *restrict z = scores;
    for (size_t r = 0; r < n; r += LINEAR_ROWS) {
        const real *restrict a = rows[r], *restrict b = rows[r + 1], *restrict c = rows[r + 2],
                             *restrict d = rows[r + 3];
        real of_a[LINEAR_LANES] = {0}, of_b[LINEAR_LANES] = {0}, of_c[LINEAR_LANES] = {0}, of_d[LINEAR_LANES] = {0};
        if (ahead) look_at_rows(ahead + r, 0, features * sizeof(real) / 2);
        size_t i = 0;
        for (; i + LINEAR_LANES <= features; i += LINEAR_LANES)
            for (size_t l = 0; l < LINEAR_LANES; l++) {
                const real by = w[i + l];
                of_a[l] = r_fma(a[i + l], by, of_a[l]);
                of_b[l] = r_fma(b[i + l], by, of_b[l]);
                of_c[l] = r_fma(c[i + l], by, of_c[l]);
                of_d[l] = r_fma(d[i + l], by, of_d[l]);
            }
        for (size_t l = 0; i + l < features; l++) {
            const real by = w[i + l];
            of_a[l] = r_fma(a[i + l], by, of_a[l]);
            of_b[l] = r_fma(b[i + l], by, of_b[l]);
            of_c[l] = r_fma(c[i + l], by, of_c[l]);
            of_d[l] = r_fma(d[i + l], by, of_d[l]);
        }
        z[r] = lane_tree(of_a) + (real)intercept;
        z[r + 1] = lane_tree(of_b) + (real)intercept;
        z[r + 2] = lane_tree(of_c) + (real)intercept;
        z[r + 3] = lane_tree(of_d) + (real)intercept;
    }
}

/* Adds the sum over n rows, a multiple of LINEAR_ROWS, of c times the row; `block` has room for one row. */
static void linear_sums(size_t n, size_t features, const void *const *rows, const void *const *ahead,
                        const void *factors, void *block, double *restrict sums)
{
    const real *c = factors;
    real *restrict g = block;
    for (size_t r = 0; r < n; r += LINEAR_ROWS) {
        const real *restrict x0 = rows[r], *restrict x1 = rows[r + 1], *restrict x2 = rows[r + 2],
                             *restrict x3 = rows[r + 3];
        if (ahead) look_at_rows(ahead + r, features * sizeof(real) / 2, features * sizeof(real));
        const real c0 = c[r], c1 = c[r + 1], c2 = c[r + 2], c3 = c[r + 3];
        if (r)
            for (size_t i = 0; i < features; i++)
                g[i] = r_fma(c3, x3[i], r_fma(c2, x2[i], r_fma(c1, x1[i], r_fma(c0, x0[i], g[i]))));
        else
            for (size_t i = 0; i < features; i++)
                g[i] = r_fma(c3, x3[i], r_fma(c2, x2[i], r_fma(c1, x1[i], c0 * x0[i])));
    }
    for (size_t i = 0; i < features; i++) sums[i] += (double)g[i];
}

/* coef = shrink(coef - rate (g + l2 coef), rate l1),  g = scale (sum - by_intercept center): the step of proximal gradient
 * descent for loss + l1 |coef|_1 + l2/2 |coef|^2, in which what is not further from 0 than rate l1 becomes 0.
 *
 * N. Parikh, S. Boyd, "Proximal algorithms", Found. Trends Optim. 1 (2014) 127-239, doi:10.1561/2400000003. */
static void linear_step(size_t features, const double *sums, const void *centers, double by_intercept, double scale,
                        double rate, double l1, double l2, void *coefficients)
{
    const real *restrict center = centers;
    real *restrict w = coefficients;
    const double least = rate * l1;
    for (size_t i = 0; i < features; i++) {
        const double v = (double)w[i], g = scale * (sums[i] - by_intercept * (double)center[i]);
        const double moved = v - rate * (g + l2 * v), a = fabs(moved) - least;
        w[i] = (real)copysign(a > 0 ? a : a == a ? 0 : a, moved);
    }
}
