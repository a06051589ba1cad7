/* What loops over lanes share: sums in a fixed tree, a last group filled up, and looking ahead. */

/* Sums are formed in LANES double lanes and then in a fixed tree: the same bits at any vector width. */
enum { LANES = 32 };

__attribute__((noinline)) static double lane_sum(const double *lane)
{
    double a[LANES / 2], b[LANES / 4], c[LANES / 8];
    for (int l = 0; l < LANES / 2; l++) a[l] = lane[l] + lane[l + LANES / 2];
    for (int l = 0; l < LANES / 4; l++) b[l] = a[l] + a[l + LANES / 4];
    for (int l = 0; l < LANES / 8; l++) c[l] = b[l] + b[l + LANES / 8];
    return (c[0] + c[2]) + (c[1] + c[3]);
}

/* The last n < LANES elements of an array as a group of their own, filled up. */
inline_ void padded_copy(real *restrict to, const real *restrict from, size_t n, real fill)
{
    for (ireal l = 0; l < LANES; l++) to[l] = l < (ireal)n ? from[l] : fill;
}

/* Asks for a group of LANES elements before it is needed: processors look ahead less far than half a block, and not into
 * the next page of memory. */
inline_ void look_ahead(const real *group)
{
    enum { LINE = 64 };
    for (size_t byte = 0; byte < LANES * sizeof(real); byte += LINE) __builtin_prefetch((const char *)group + byte);
}
