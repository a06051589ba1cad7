/* What sweep.py drives: array maps of vecmath.h and, in float32, double-precision references and their judge. */
#include "vecmath.h"

inline_ real r_pair_exp(real x) { return exp_expm1_normal(x).exp; }
inline_ real r_pair_expm1(real x) { return exp_expm1_normal(x).expm1; }

#define ALL(X) VECMATH(X) X(pair_exp) X(pair_expm1)

#define MAP(name)                                                                                                      \
    void map_##name(size_t n, const real *restrict x, real *restrict y)                                                \
    {                                                                                                                  \
        for (size_t i = 0; i < n; i++) y[i] = r_##name(x[i]);                                                          \
    }
ALL(MAP)

#if LF_BITS == 32
static double exact_exp(double x) { return exp(x); }
static double exact_exp_nonpos(double x) { return exp(x); }
static double exact_pair_exp(double x) { return exp(x); }
static double exact_expm1(double x) { return expm1(x); }
static double exact_pair_expm1(double x) { return expm1(x) + 0.0; } /* the pair gives +0 for -0 */
static double exact_log(double x) { return log(x); }
static double exact_log1p(double x) { return log1p(x); }
static double exact_log1p01(double x) { return log1p(x); }
static double exact_tanh(double x) { return tanh(x); }
static double exact_sigmoid(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }
static double exact_atan01(double x) { return atan(x); }
static double exact_softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }

#define REFERENCE(name)                                                                                                \
    void reference_##name(size_t n, const float *x, double *y)                                                         \
    {                                                                                                                  \
        for (size_t i = 0; i < n; i++) y[i] = exact_##name(x[i]);                                                      \
    }
ALL(REFERENCE)

/* An overflow counts as 2^128; a wrong NaN or a wrong sign, of zero also, as an infinite error. */
static double error_in_ulp(float y, double exact)
{
    double a = fabs(exact), b = fabs(y), scale;
    a = a < 0x1p128 ? a : 0x1p128;
    b = b < 0x1p128 ? b : 0x1p128;
    uint64_t exponent, bits;
    memcpy(&bits, &a, sizeof bits);
    exponent = bits >> 52;
    bits = (2 * 1023 + 23 - (exponent > 1023 - 126 ? exponent : 1023 - 126)) << 52;
    memcpy(&scale, &bits, sizeof scale); /* 1 / ulp */
    const double error = fabs(b - a) * scale;
    const int bad = isnan(exact) != isnan(y) || !signbit(exact) != !signbit(y);
    return isnan(exact) && isnan(y) ? 0 : bad ? INFINITY : error;
}

size_t judge(size_t n, const double *exact, const float *y, double *worst)
{
    size_t where = 0;
    double largest = -1;
    for (size_t i = 0; i < n; i++) {
        const double error = error_in_ulp(y[i], exact[i]);
        if (error > largest) largest = error, where = i;
    }
    *worst = largest;
    return where;
}
#endif
