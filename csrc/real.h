/* real: the one file that knows 32 from 64 bits.
 *
 * A translation unit is one (instruction set, dtype): LF_BITS says which dtype.  What is built on this
 * header is written once, without suffixes, and must be plain branch-free C that gcc and clang vectorise.
 */
#ifndef LF_REAL_H
#define LF_REAL_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define inline_ static inline __attribute__((always_inline))

#if LF_BITS == 64
typedef double real;
typedef int64_t ireal;
typedef uint64_t ureal;
#define R_NAME(name) name
enum { R_MANTISSA = 52, R_BIAS = 1023 };
#define R_EPSILON  0x1p-52
#define R_SMALLEST 0x1p-1022 /* the smallest normal number */
#define R_LARGEST  DBL_MAX
#else
typedef float real;
typedef int32_t ireal;
typedef uint32_t ureal;
#define R_NAME(name) name##f
enum { R_MANTISSA = 23, R_BIAS = 127 };
#define R_EPSILON    0x1p-23f
#define R_SMALLEST   0x1p-126f
#define R_LARGEST    FLT_MAX
#endif

#define R_INF ((real)INFINITY)
#define R_NAN ((real)NAN)

/* A loss at one point, with its first and second derivative by the prediction. */
typedef struct {
    real value, grad, hess;
} jet;

inline_ real r_bits(ureal bits)
{
    real x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

inline_ ureal r_int(real x)
{
    ureal bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

inline_ real r_abs(real x) { return R_NAME(fabs)(x); }
inline_ real r_sqrt(real x) { return R_NAME(sqrt)(x); }
inline_ real r_sign(real magnitude, real sign) { return R_NAME(copysign)(magnitude, sign); }

/* Of the sign bit alone: zeros and NaN have one too. */
inline_ int r_negative(real x) { return (ireal)r_int(x) < 0; }
inline_ real r_flip(real x, real sign) { return r_bits(r_int(x) ^ (r_int(sign) & r_int((real)-0.0))); }

/* A NaN in x stays a NaN; a NaN bound does not count. */
inline_ real r_min(real x, real bound) { return bound < x ? bound : x; }
inline_ real r_max(real x, real bound) { return bound > x ? bound : x; }

/* Fused only where the source says so (-ffp-contract=off), so that every target with FMA computes the same
 * bits.  Without FMA it rounds twice. */
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define R_HAS_FMA 1
inline_ real r_fma(real a, real b, real c) { return R_NAME(__builtin_fma)(a, b, c); }
inline_ double d_fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else
#define R_HAS_FMA 0
inline_ real r_fma(real a, real b, real c) { return a * b + c; }
inline_ double d_fma(double a, double b, double c) { return a * b + c; } /* of floats: their product is exact */
#endif

#endif
