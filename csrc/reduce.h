/* What is done to a whole block once its losses are known: sums and checks. */

static double block_sum(size_t n, const void *values)
{
    const real *restrict x = values;
    double lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += (double)x[i + l];
    if (i < n) {
        real rest[LANES];
        padded_copy(rest, x + i, n - i, 0);
        for (int l = 0; l < LANES; l++) lane[l] += (double)rest[l];
    }
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
