/* vecmath: the exponentials and logarithms of the losses, written so that compilers vectorise them.
 *
 * Plain branch-free C: no tables, no libm, no -ffast-math; with FMA the same bits from every compiler on every
 * vector width.  NaN, infinities, signed zeros and subnormal numbers are right in all functions.  A bound such as
 * "0.9 | 1.2 ULP" is the largest error found with FMA | without FMA, where one ULP is the spacing of the numbers
 * of the type at the exact result; docs/accuracy.md tells how it was found (float32: on every float).
 *
 * Exponentials: x = n ln2 + r with |r| <= ln2/2, and e^r = 1 + r + r^2 tail(r) times 2^n (W. J. Cody, W. Waite,
 * Software Manual for the Elementary Functions, 1980).  Logarithms: x = 2^k (1 + r) with 1 + r in
 * [sqrt(1/2), sqrt(2)), and log(1 + r) = r - r^2/2 + r^3 tail(r).  Sums whose rounding would show are carried as
 * high + low (T. J. Dekker, Numer. Math. 18 (1971) 224-242, doi:10.1007/BF01397083).
 */
#ifndef LF_VECMATH_H
#define LF_VECMATH_H

#include "real.h"

/* Every r_ function of this file, for what tests or exports all of them. */
#define VECMATH(X) X(exp) X(exp_nonpos) X(expm1) X(log) X(log1p) X(log1p01) X(tanh) X(sigmoid) X(softplus) X(atan01)

/* log(1 + u) = slope u + u tail(u): the share of the tail, which is rounded, is smallest with the slope 0.875; but
 * without FMA only the slope 1 is free of a rounding of its own. */
#if R_HAS_FMA
#define LOG1P01_SLOPE ((real)0.875)
#else
#define LOG1P01_SLOPE ((real)1)
#endif
#define LOG1P01_CENTRE ((real)0.46875)

/* Printed by vecmath_coefficients.py, each with the largest relative error of the function it serves. */
/* clang-format off */
#if LF_BITS == 64
#define LOG2E    ((real)0x1.71547652b82fep+0)
#define LN2_HIGH ((real)0x1.62e42fefa38p-1)
#define LN2_LOW  ((real)0x1.ef35793c7673p-45)
/* r: (e^r - 1 - r) / r^2, for e^r, -0.34661 <= r <= 0.34661: 2^-57.94 */
static const real exp_tail[] = {
    0x1.000000000000ap-1, 0x1.55555555554fap-3, 0x1.5555555550885p-5, 0x1.1111111127ca5p-7,
    0x1.6c16c184285e4p-10, 0x1.a01a012a10395p-13, 0x1.a0199a10a3afbp-16, 0x1.71df25fa097d5p-19,
    0x1.28ad6f2171b37p-22, 0x1.ad7e5e218a1efp-26,
};
/* r: the same, for e^r - 1, -0.34661 <= r <= 0.34661: 2^-61.74 */
static const real expm1_tail[] = {
    0x1p-1, 0x1.5555555555559p-3, 0x1.555555555553fp-5, 0x1.111111110f6dbp-7,
    0x1.6c16c16c1efe5p-10, 0x1.a01a01afd3794p-13, 0x1.a01a017bf0cacp-16, 0x1.71ddf87fd0be3p-19,
    0x1.27e535d6c2b29p-22, 0x1.af5e7316d7f4dp-26, 0x1.1ee905b326d2ap-29,
};
/* r: (log(1 + r) - r + r^2/2) / r^3, -0.29289 <= r <= 0.41421: 2^-56.61 */
static const real log_tail[] = {
    0x1.5555555555533p-2, -0x1.fffffffffef13p-3, 0x1.999999999f753p-3, -0x1.555555566b414p-3,
    0x1.24924922a3f49p-3, -0x1.ffffff2bf0665p-4, 0x1.c71c71e00b779p-4, -0x1.9999c26c190a6p-4,
    0x1.745d3f1e51859p-4, -0x1.5550ee6559363p-4, 0x1.3b0b88fb7093p-4, -0x1.24d74f43b1157p-4,
    0x1.11cd01428e7dep-4, -0x1.fba1bc051f536p-5, 0x1.d05a650040889p-5, -0x1.d11fd59860655p-5,
    0x1.0a62324bf133bp-4, -0x1.ea05663efeecfp-5, 0x1.ac7475b8e1b56p-6,
};
/* v: log(1 + u) / u - 0.875 with u = v + 0.46875, -0.46875 <= v <= 0.53125: 2^-56.61 */
static const real log1p01_tail[] = {
    -0x1.c1eb2bfea827dp-5 + (0.875 - LOG1P01_SLOPE), -0x1.3025823f8a88bp-2, 0x1.1d0895d58afc8p-3, -0x1.28d9b8479d3adp-4,
    0x1.47b5bfee924d3p-5, -0x1.777ace2f15424p-6, 0x1.b97ae175b00ecp-7, -0x1.088863a376478p-7,
    0x1.41b00fb4cdad4p-8, -0x1.8bc1f6b6f15ep-9, 0x1.eb80c1a5d5eep-10, -0x1.339c11cdfc70ap-10,
    0x1.83720833097bp-11, -0x1.ea7930c58ff59p-12, 0x1.39c453ae3960cp-12, -0x1.965de3e637364p-13,
    0x1.f2ac45c9bc151p-14, -0x1.1b5ec6fd8da1bp-14, 0x1.cd182789bdc5ap-15, -0x1.c553ac37541dp-15,
    0x1.a41c29ff802cp-16,
};
/* y: log(cosh(r)) / y with y = r^2, 0.0 <= y <= 1.0: 2^-56.59 */
static const real log_cosh_near[] = {
    0x1p-1, -0x1.55555555554bep-4, 0x1.6c16c16c0b934p-6, -0x1.ba1ba1b4df13bp-8,
    0x1.1ea5d2f6f6b02p-9, -0x1.833d83feb298cp-11, 0x1.0d0a213f814fdp-12, -0x1.7d8ed8ed12723p-14,
    0x1.127af2bf29707p-15, -0x1.8ccb6d4c7b9e2p-17, 0x1.192e7f4c420f1p-18, -0x1.711a19b306531p-20,
    0x1.94c58e30a278dp-22, -0x1.39f38e8db6bd3p-24, 0x1.eeccda3da8865p-28,
};
/* u: log(1 + u) / u, for |r| + log(1 + u) - log(2) with u = e^(-2 |r|), 0.0 <= u <= 0.13534: 2^-56.88 */
static const real log_cosh_far[] = {
    0x1.fffffffffff71p-1, -0x1.ffffffffeaf27p-2, 0x1.5555554c47821p-2, -0x1.fffffc04daef1p-3,
    0x1.999915e30e19ap-3, -0x1.554a9b1ed12c4p-3, 0x1.2400b2bbf7b32p-3, -0x1.f5e58f6b616ap-4,
    0x1.8d97f4d640be7p-4, -0x1.a6527b1793e0ep-5,
};
/* y: (atan(t) / t - 1) / y with y = t^2, 0.0 <= y <= 0.17157: 2^-59.45 */
static const real atan_tail[] = {
    -0x1.555555555553dp-2, 0x1.99999999957dp-3, -0x1.24924922aa5c5p-3, 0x1.c71c70e511d1dp-4,
    -0x1.745cf8c3b0029p-4, 0x1.3b1117974ab26p-4, -0x1.10eba8d1f44f9p-4, 0x1.df0e80338296cp-5,
    -0x1.9ccf7ddfc1062p-5, 0x1.37ce1c1b6df3bp-5, -0x1.255b36ee75abbp-6,
};
#else
#define LOG2E    ((real)0x1.715476p+0)
#define LN2_HIGH ((real)0x1.62e4p-1)
#define LN2_LOW  ((real)0x1.7f7d1cp-20)
/* r: (e^r - 1 - r) / r^2, for e^r, -0.34661 <= r <= 0.34661: 2^-28.29 */
static const real exp_tail[] = {
    0x1.fffffcp-2, 0x1.555492p-3, 0x1.5558f2p-5, 0x1.1239dcp-7, 0x1.6a236ap-10,
};
/* r: the same, for e^r - 1, -0.34661 <= r <= 0.34661: 2^-31.95 */
static const real expm1_tail[] = {
    0x1p-1, 0x1.555554p-3, 0x1.5554b2p-5, 0x1.111188p-7, 0x1.6d71fcp-10,
    0x1.a033d8p-13,
};
/* r: (log(1 + r) - r + r^2/2) / r^3, -0.29289 <= r <= 0.41421: 2^-27.35 */
static const real log_tail[] = {
    0x1.555554p-2, -0x1.000226p-2, 0x1.99a006p-3, -0x1.54724cp-3, 0x1.22da66p-3,
    -0x1.0d8542p-3, 0x1.055982p-3, -0x1.38b0cep-4,
};
/* v: log(1 + u) / u - 0.875 with u = v + 0.46875, -0.46875 <= v <= 0.53125: 2^-27.66 */
static const real log1p01_tail[] = {
    -0x1.c1eb2ap-5 + (0.875 - LOG1P01_SLOPE), -0x1.30258p-2, 0x1.1d0838p-3, -0x1.28dbep-4, 0x1.47e61ep-5,
    -0x1.7701c6p-6, 0x1.b0b124p-7, -0x1.0bf4f6p-7, 0x1.9411acp-8, -0x1.a92b8ap-9,
};
/* y: log(cosh(r)) / y with y = r^2, 0.0 <= y <= 1.0: 2^-27.14 */
static const real log_cosh_near[] = {
    0x1p-1, -0x1.5554fap-4, 0x1.6bff1p-6, -0x1.b7c66cp-8, 0x1.10480ep-9,
    -0x1.239ef2p-11, 0x1.6b19fep-14,
};
/* u: log(1 + u) / u, for |r| + log(1 + u) - log(2) with u = e^(-2 |r|), 0.0 <= u <= 0.13534: 2^-31.0 */
static const real log_cosh_far[] = {
    0x1.fffff8p-1, -0x1.fffaf2p-2, 0x1.54b992p-2, -0x1.eed72p-3, 0x1.253f04p-3,
};
/* y: (atan(t) / t - 1) / y with y = t^2, 0.0 <= y <= 0.17157: 2^-30.47 */
static const real atan_tail[] = {
    -0x1.55554ap-2, 0x1.999196p-3, -0x1.23b528p-3, 0x1.b1ec76p-4, -0x1.f1eedp-5,
};
#endif
/* clang-format on */

/* Below EXP_ZERO e^x rounds to zero, above EXP_INF it overflows, below EXPM1_FLAT e^x - 1 rounds to -1. */
#if LF_BITS == 64
#define EXP_ZERO   ((real)-745.2)
#define EXP_INF    ((real)709.8)
#define EXPM1_FLAT ((real)-40)
#define SQRT_HALF  ((ureal)0x3fe6a09e667f3bcd) /* the bits of sqrt(1/2) */
#define PI_4_LOW   ((real)0x1.1a62633145c07p-55)
#else
#define EXP_ZERO   ((real)-104)
#define EXP_INF    ((real)88.8)
#define EXPM1_FLAT ((real)-20)
#define SQRT_HALF  ((ureal)0x3f3504f3)
#define PI_4_LOW   ((real)-0x1.777a5cp-26)
#endif
#define PI_4_HIGH ((real)0x1.921fb54442d18p-1)
#define TAN_PI_8  ((real)0x1.a827999fcef32p-2)

#define BITS_OF_1     ((ureal)R_BIAS << R_MANTISSA)
#define EXPONENT_UNIT ((ureal)1 << R_MANTISSA)
#define ROUND_SHIFT   ((real)1.5 * (real)EXPONENT_UNIT) /* added, it leaves the nearest integer in the low bits */

/* Subnormal results come out right when they are made 2^64 times too large and rounded once, at the very end. */
#define SCALE_UP   ((real)0x1p64)
#define SCALE_DOWN ((real)0x1p-64)

/* UNROLL_4: of a loop that is shorter than what keeps it going.
 * INDEPENDENT: no element that a loop writes is read for another one, though results may stand where operands stood. */
#ifdef __clang__
#define UNROLL      _Pragma("clang loop unroll(full)")
#define UNROLL_4    _Pragma("clang loop unroll_count(4)")
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define UNROLL      _Pragma("GCC unroll 32")
#define UNROLL_4    _Pragma("GCC unroll 4")
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

typedef struct {
    real high, low;
} real_pair;

typedef struct {
    real r, low; /* r + low = x - n ln2 */
    ureal power; /* the low bits hold n + bias */
} exp_parts;

typedef struct {
    real r, k;      /* x = 2^k (1 + r) */
    ureal exponent; /* k + R_BIAS */
} log_parts;

/* scale (c[0] + c[1] x + ... + c[n - 1] x^(n - 1)) by Horner's rule.  A long polynomial is cut into its even and odd
 * half, lest one chain of dependent operations be longer than the processor looks ahead. */
inline_ real polynomial(real x, int n, const real *c, real scale)
{
    const int step = n > 12 ? 2 : 1;
    const real y = step == 2 ? x * x : x;
    real sum = c[n - 1] * scale, odd = c[n - 2] * scale;
    UNROLL
    for (int i = n - 1 - step; i >= 0; i -= step) sum = r_fma(sum, y, c[i] * scale);
    if (step == 1) return sum;
    UNROLL
    for (int i = n - 4; i >= 0; i -= 2) odd = r_fma(odd, y, c[i] * scale);
    return n % 2 ? r_fma(odd, x, sum) : r_fma(sum, x, odd);
}

#define SCALED_POLYNOMIAL(x, c, scale) polynomial(x, sizeof(c) / sizeof((c)[0]), c, scale)
#define POLYNOMIAL(x, c)               SCALED_POLYNOMIAL(x, c, (real)1)

inline_ real power_of_2(ureal power) { return r_bits(power << R_MANTISSA); }

/* Where the result over- or underflows the parts are rubbish; the caller replaces it or bounds x. */
inline_ exp_parts exp_split(real x, int bias)
{
    const real round = ROUND_SHIFT + (real)bias, t = r_fma(x, LOG2E, round), n = t - round;
    const real high = r_fma(n, -LN2_HIGH, x), r = r_fma(n, -LN2_LOW, high);
    return (exp_parts){r, r_fma(n, -LN2_LOW, high - r), r_int(t)};
}

/* scale e^r */
inline_ real exp_scaled(real r, real scale)
{
    return r_fma(r_fma(POLYNOMIAL(r, exp_tail), r, (real)1), r * scale, scale);
}

/* base + base_low + scale (e^r - 1 + low); needs |base| >= |scale r| or base = 0. */
inline_ real_pair exp_sum(exp_parts e, real scale, real base, real base_low)
{
    const real tail = r_fma(POLYNOMIAL(e.r, expm1_tail), e.r * e.r, e.low);
    const real high = r_fma(scale, e.r, base);
    const real low = r_fma(scale, e.r, base - high) + r_fma(scale, tail, base_low), sum = high + low;
    return (real_pair){sum, low - (sum - high)};
}

/* num / den, rounded about once */
inline_ real divide_pairs(real_pair num, real_pair den)
{
#if R_HAS_FMA
    const real inverse = 1 / den.high, q = num.high * inverse;
    return r_fma(r_fma(-q, den.high, num.high) + r_fma(-q, den.low, num.low), inverse, q);
#else
    const real q = num.high / den.high;
    return q + (num.low - q * den.low) / den.high;
#endif
}

/* e^x.  Float32 0.90 | 1.17 ULP, float64 0.90 | 1.19. */
inline_ real r_exp(real x)
{
    const exp_parts e = exp_split(x, 2 * R_BIAS);
    /* 2^n is not always a number of the type: two factors of about its root */
    const ureal root = e.power << (R_MANTISSA - 1) & r_int(R_INF), other = (e.power << R_MANTISSA) - root;
    const real y = exp_scaled(e.r, r_bits(root)) * r_bits(other);
    const real low = x < EXP_ZERO ? 0 : y;
    return x > EXP_INF ? R_INF : low;
}

/* 2^64 e^x for x <= 0: never subnormal */
inline_ real exp_nonpos_up(real x)
{
    const exp_parts e = exp_split(x, R_BIAS + 64);
    const real y = exp_scaled(e.r, power_of_2(e.power));
    return x < EXP_ZERO ? 0 : y;
}

/* e^x for x <= 0.  Float32 0.89 | 1.17 ULP, float64 0.89 | 1.18. */
inline_ real r_exp_nonpos(real x) { return exp_nonpos_up(x) * SCALE_DOWN; }

typedef struct {
    real exp, expm1;
} exp_pair;

/* e^x and e^x - 1 for x <= 0 where e^x is normal, for little more than the price of one; the zero of e^x - 1 is +0.
 * The first: float32 0.98 | 0.96 ULP, float64 0.95 | 0.93.
 * The second: float32 0.88 | 0.85 ULP, float64 1.13 | 1.09. */
inline_ exp_pair exp_expm1_normal(real x)
{
    const exp_parts e = exp_split(x, R_BIAS);
    const real p = r_fma(POLYNOMIAL(e.r, expm1_tail), e.r * e.r, e.r), scale = power_of_2(e.power);
    return (exp_pair){r_fma(p, scale, scale), r_fma(p, scale, scale - 1)};
}

/* e^x - 1, and x itself where that is nearest.  Half of everything is summed, lest 2^n overflow.
 * Float32 0.89 | 0.98 ULP, float64 0.86 | 0.93. */
inline_ real r_expm1(real x)
{
    exp_parts e = exp_split(x, R_BIAS - 1);
    e.low = r_fma(e.low, e.r, e.low);
    const real scale = power_of_2(e.power), base = scale - (real)0.5, back = base - scale;
    const real_pair half = exp_sum(e, scale, base, (scale - (base - back)) - ((real)0.5 + back));
    const real y = half.high * 2;
    const real low = x < EXPM1_FLAT ? -1 : y, inside = r_abs(x) < R_EPSILON / 2 ? x : low;
    return x > EXP_INF ? R_INF : inside;
}

/* m / (2 + m) with m = e^(-2|x|) - 1; the sign is that of x.  Float32 0.78 | 1.20 ULP, float64 0.78 | 1.23. */
inline_ real r_tanh(real x)
{
    const exp_parts e = exp_split(r_max(-2 * r_abs(x), EXPM1_FLAT), R_BIAS);
    const real scale = power_of_2(e.power), base = scale - 1;
    const real_pair m = exp_sum(e, scale, base, scale - (base + 1));
    const real d = 2 + m.high;
    return r_sign(divide_pairs(m, (real_pair){d, (2 - d) + m.high + m.low}), x);
}

/* 1 / (1 + e) or e / (1 + e) with e = e^-|x|.  Float32 0.76 | 1.16 ULP, float64 0.76 | 1.04. */
inline_ real r_sigmoid(real x)
{
    const exp_parts parts = exp_split(r_max(-r_abs(x), EXP_ZERO), R_BIAS + 64);
    const real scale = power_of_2(parts.power);
    const real_pair e = exp_sum(parts, scale, scale, 0);
    const real d = r_fma(e.high, SCALE_DOWN, (real)1);
    const real_pair num = {x < 0 ? e.high : SCALE_UP, x < 0 ? e.low : 0};
    const real_pair den = {d, r_fma(e.low, SCALE_DOWN, r_fma(e.high, SCALE_DOWN, 1 - d))};
    return divide_pairs(num, den) * SCALE_DOWN;
}

/* log(1 + u) for 0 <= u <= 1.  Float32 0.94 | 1.24 ULP, float64 0.95 | 1.42. */
inline_ real r_log1p01(real u) { return r_fma(u, LOG1P01_SLOPE, u * POLYNOMIAL(u - LOG1P01_CENTRE, log1p01_tail)); }

/* log(1 + u) + x for u = up / 2^64 <= 1 and x >= 0, with one rounding more than for x = 0 */
inline_ real log1p01_up(real up, real x)
{
    const real v = r_fma(up, SCALE_DOWN, -LOG1P01_CENTRE);
    return r_fma(up, LOG1P01_SLOPE * SCALE_DOWN, r_fma(up, SCALED_POLYNOMIAL(v, log1p01_tail, SCALE_DOWN), x));
}

/* log(1 + e^x) as max(x, 0) + log(1 + e), e = e^-|x|: the low part of e adds low / (1 + e), for which 1 - e/2 is
 * near enough.  Float32 0.90 | 1.24 ULP, float64 0.97 | 1.43. */
inline_ real r_softplus(real x)
{
    const exp_parts parts = exp_split(r_max(-r_abs(x), EXP_ZERO), R_BIAS + 64);
    const real scale = power_of_2(parts.power);
    const real_pair e = exp_sum(parts, scale, scale, 0);
    const real u = e.high * SCALE_DOWN;
    const real factor = POLYNOMIAL(u - LOG1P01_CENTRE, log1p01_tail), tail = e.high * factor;
    const real tail_low = r_fma(e.low, 1 - u / 2, r_fma(e.high, factor, -tail));
    const real high = r_fma(e.high, LOG1P01_SLOPE, tail);
    const real low = (r_fma(e.high, LOG1P01_SLOPE, -high) + tail) + tail_low;
    const real m = r_max(x, 0), l = high * SCALE_DOWN, sum = m + l, back = sum - m;
    const real y = sum + r_fma(low, SCALE_DOWN, (m - (sum - back)) + (l - back));
    return x < R_INF ? y : x;
}

/* The angle whose tangent is a / b, for 0 <= a <= b, and 0 for 0 / 0.  Beyond pi/8 it is reduced by pi/4. */
inline_ real atan_ratio(real a, real b)
{
    const int far = a > TAN_PI_8 * b;
    const real above = far ? a - b : a, below = far ? a + b : b, t = above / (below == 0 ? 1 : below);
    const real y = t * t, tail = t * y * POLYNOMIAL(y, atan_tail);
    return far ? PI_4_HIGH + (t + (tail + PI_4_LOW)) : t + tail;
}

/* atan(x) for 0 <= x <= 1. */
inline_ real r_atan01(real x) { return r_sign(atan_ratio(x, 1), x); }

inline_ log_parts log_split(real x)
{
    const ureal t = r_int(x) + (BITS_OF_1 - SQRT_HALF), e = t >> R_MANTISSA;
    const real k = r_bits(e | r_int((real)EXPONENT_UNIT)) - ((real)EXPONENT_UNIT + R_BIAS);
    return (log_parts){r_bits((t & (EXPONENT_UNIT - 1)) + SQRT_HALF) - 1, k, e};
}

/* log(1 + r) - r + k LN2_LOW */
inline_ real log_rest(real k, real r)
{
    return r_fma(r * r, r_fma(POLYNOMIAL(r, log_tail), r, (real)-0.5), k * LN2_LOW);
}

/* log(x).  Float32 0.88 | 0.93 ULP, float64 0.88 | 0.91. */
inline_ real r_log(real x)
{
    const int tiny = x < R_SMALLEST;
    const log_parts l = log_split(tiny ? x * (real)EXPONENT_UNIT : x);
    const real k = l.k - (tiny ? (real)R_MANTISSA : 0);
    const real y = r_fma(k, LN2_HIGH, l.r + log_rest(k, l.r));
    const real finite = x < R_INF ? y : x, nonpos = x == 0 ? -R_INF : R_NAN;
    return x > 0 ? finite : nonpos;
}

/* log(u) with u = 1 + x; what that sum lost returns through r.  Float32 0.98 | 1.02 ULP, float64 0.94 | 1.00. */
inline_ real r_log1p(real x)
{
    const real u = 1 + x, lost = x - (u - 1);
    const log_parts l = log_split(u);
    const real part = (real)0.25 * (lost * power_of_2(2 * R_BIAS + 2 - l.exponent)); /* lost / 2^k: 4/2^k is normal */
    const real r = l.r + part, r_low = (l.r - r) + part;
    const real high = r_fma(l.k, LN2_HIGH, r), low = r_fma(l.k, LN2_HIGH, -high) + r;
    const real y = high + (low + (log_rest(l.k, r) + r_low));
    const real finite = x < R_INF ? r_sign(y, x) : x, nonpos = x == -1 ? -R_INF : R_NAN;
    return x > -1 ? finite : nonpos;
}

#endif
