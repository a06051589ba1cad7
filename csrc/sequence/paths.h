/* What searches for paths through frames need per instruction set: the best class of a frame, log-probabilities, and a
 * step of Viterbi's recursion. */

/* Of each row of a tile its largest element, a NaN if there is one, and the first class that has it. */
static void best_across(size_t classes, const void *tile, double *top, int32_t *best)
{
    const real *restrict z = tile;
    real most[TILE], wrong[TILE];
    ireal at[TILE];
    for (size_t l = 0; l < TILE; l++) most[l] = z[l], wrong[l] = z[l] == z[l] ? 0 : z[l], at[l] = 0;
    for (size_t k = 1; k < classes; k++)
        for (size_t l = 0; l < TILE; l++) {
            const real x = z[k * TILE + l];
            const int better = x > most[l];
            most[l] = better ? x : most[l];
            at[l] = better ? (ireal)k : at[l];
            wrong[l] = x == x ? wrong[l] : x;
        }
    for (size_t l = 0; l < TILE; l++) top[l] = (double)(wrong[l] == 0 ? most[l] : wrong[l]), best[l] = (int32_t)at[l];
}

/* log p = (z - top) - log_sum */
static void log_probabilities(size_t n, const void *z, double top, double log_sum, double *restrict out)
{
    const real *restrict in = z;
    for (size_t k = 0; k < n; k++) {
        const double below = (double)in[k] - top;
        out[k] = below - log_sum;
    }
}

/* One frame of Viterbi's recursion over blank 0, label 0, blank 1, label 1, ..., from state to next:
 *     blank k  from itself or label k - 1,     label k  from itself, blank k, or label k - 1 if skip[k] is 0, not -inf
 * back[k] tells which: STAY, else FROM_BLANK or FROM_LABEL for the label, and ENTERED for the blank.  Of equals the
 * first of these is taken.  label[-1] is read. */
static void viterbi(size_t n, const double *restrict blank, const double *restrict label, double *restrict next_blank,
                    double *restrict next_label, const void *row, const int32_t *restrict classes,
                    const double *restrict skip, double top, double log_sum, double blank_log_p, uint8_t *restrict back)
{
    const real *restrict z = row;
    for (size_t k = 0; k < n; k++) {
        const double b = blank[k], own = label[k], before = label[(ptrdiff_t)k - 1], jump = before + skip[k];
        const int leaves_blank = b > own;
        const double most = leaves_blank ? b : own;
        const int jumps = jump > most, enters = before > b;
        next_label[k] = (jumps ? jump : most) + (((double)z[classes[k]] - top) - log_sum);
        next_blank[k] = (enters ? before : b) + blank_log_p;
        const int64_t from = jumps ? FROM_LABEL : leaves_blank ? FROM_BLANK : STAY, entered = enters ? ENTERED : STAY;
        back[k] = (uint8_t)(from | entered);
    }
}

#if LF_BITS == 64
/* log(e^a + e^b) */
static void log_add(size_t n, const double *restrict a, const double *restrict b, double *restrict out)
{
    for (size_t k = 0; k < n; k++) {
        const double high = a[k] > b[k] ? a[k] : b[k], low = a[k] > b[k] ? b[k] : a[k];
        const double sum = high + r_log1p01(r_exp_nonpos(low - high));
        out[k] = high > -R_INF ? sum : high;
    }
}
#endif
