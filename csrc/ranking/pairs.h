/* Pairs of items of which one should have the higher score: with d its score less than the other's by so much,
 *
 *     value = log(1 + exp(d)),   slope = 1 / (1 + exp(-d)),   curvature = slope (1 - slope)
 *
 * all from e = exp(-|d|) <= 1.  Sums are formed in double, in fixed lanes and then in a fixed tree.
 *
 * C. Burges et al., "Learning to rank using gradient descent", ICML 2005, doi:10.1145/1102351.1102363.
 */

enum { PAIR_LANES = 16 };

inline_ double pair_sum(const double *lane)
{
    double eight[8], four[4];
    for (int l = 0; l < 8; l++) eight[l] = lane[l] + lane[l + 8];
    for (int l = 0; l < 4; l++) four[l] = eight[l] + eight[l + 4];
    return (four[0] + four[2]) + (four[1] + four[3]);
}

/* Adds the three sums over pairs of an item and n others that should be below it (sign 1), or above it (-1): of the
 * latter no values, which are those of the other item. */
inline_ void pair_sums(real sign, size_t n, real score, const real *restrict other, double *sums)
{
    double value[PAIR_LANES] = {0}, slope[PAIR_LANES] = {0}, curvature[PAIR_LANES] = {0};
    for (size_t i = 0; i < n; i += PAIR_LANES) {
        real d[PAIR_LANES];
        if (i + PAIR_LANES <= n)
            for (size_t l = 0; l < PAIR_LANES; l++) d[l] = sign * (other[i + l] - score);
        else
            for (size_t l = 0; l < PAIR_LANES; l++) d[l] = i + l < n ? sign * (other[i + l] - score) : -R_INF;
        for (size_t l = 0; l < PAIR_LANES; l++) {
            const real up = exp_nonpos_up(-r_abs(d[l])), e = up * SCALE_DOWN, q = 1 / (1 + e), eq = e * q;
            if (sign > 0) value[l] += (double)log1p01_up(up, r_max(d[l], 0));
            slope[l] += (double)(d[l] > 0 ? q : eq);
            curvature[l] += (double)(eq * q);
        }
    }
    if (sign > 0) sums[0] += pair_sum(value);
    sums[1] -= sign * pair_sum(slope);
    sums[2] += pair_sum(curvature);
}

static void pairs_below(size_t n, double score, const void *other, double *sums)
{
    pair_sums(1, n, (real)score, other, sums);
}

static void pairs_above(size_t n, double score, const void *other, double *sums)
{
    pair_sums(-1, n, (real)score, other, sums);
}
