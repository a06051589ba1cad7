/* Blocks in and out of the kernels' dtype: any dtype, any stride.
 *
 * Elements are copied byte by byte where alignment is not known; the compiler makes that one load. */
#ifdef __F16C__
#include <immintrin.h>
#endif

/* IEEE binary16.  Both forms round to nearest, ties to even, whatever the processor's modes are, and make a NaN a quiet
 * one with the upper bits of its payload: the same bits. */
#ifdef __F16C__
inline_ float from_f16(uint16_t half) { return _cvtsh_ss(half); }
inline_ uint16_t to_f16(float x) { return _cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT); }

/* Compilers find no vector form of these: as many as one instruction converts. */
#ifdef __AVX512F__
enum { HALVES = 16 };
inline_ void from_f16s(const void *half, float *x) { _mm512_storeu_ps(x, _mm512_cvtph_ps(_mm256_loadu_si256(half))); }
inline_ void to_f16s(const float *x, void *half)
{
    _mm256_storeu_si256(half, _mm512_cvtps_ph(_mm512_loadu_ps(x), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
#else
enum { HALVES = 8 };
inline_ void from_f16s(const void *half, float *x) { _mm256_storeu_ps(x, _mm256_cvtph_ps(_mm_loadu_si128(half))); }
inline_ void to_f16s(const float *x, void *half)
{
    _mm_storeu_si128(half, _mm256_cvtps_ph(_mm256_loadu_ps(x), _MM_FROUND_TO_NEAREST_INT));
}
#endif
#else
/* By integer arithmetic: shifted into place, the exponent is wrong by the same factor for normal and subnormal
 * numbers, and one multiplication mends both. */
inline_ float from_f16(uint16_t half)
{
    const uint32_t magnitude = (uint32_t)(half & 0x7fff) << 13;
    const uint32_t special = (half & 0x7fff) > 0x7c00 ? 0x7fc00000u : (half & 0x7fff) == 0x7c00 ? 0x7f800000u : 0;
    float x;
    memcpy(&x, &magnitude, sizeof x);
    x *= 0x1p112f;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits |= special | (uint32_t)(half & 0x8000) << 16;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Numbers too small for a normal binary16 are rounded by adding a power of two that has their unit in its last
 * place. */
inline_ uint16_t to_f16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    float small, shifted;
    memcpy(&small, &magnitude, sizeof small);
    shifted = small + 0.5f;
    uint32_t subnormal;
    memcpy(&subnormal, &shifted, sizeof subnormal);
    subnormal -= 0x3f000000; /* of 0.5f */
    const uint32_t odd = magnitude >> 13 & 1, normal = (magnitude - 0x38000000 + 0xfff + odd) >> 13;
    const uint32_t finite = magnitude < 0x38800000 ? subnormal : normal;
    const uint32_t special = magnitude > 0x7f800000 ? 0x7e00 | (magnitude >> 13 & 0x3ff) : 0x7c00;
    return (uint16_t)(sign | (magnitude >= 0x477ff000 ? special : finite));
}
#endif

inline_ float from_bf16(uint16_t upper)
{
    const uint32_t bits = (uint32_t)upper << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

inline_ uint16_t to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? (bits >> 16 | 0x40) : rounded);
}

/* binary64 -> binary16 through binary32 would round twice: the first rounding is to odd, which keeps the second
 * one right (S. Boldo, G. Melquiond, "Emulation of FMA and correctly rounded sums", IEEE TC 57 (2008) 462). */
inline_ float narrow(real x)
{
#if LF_BITS == 64
    const float near = (float)x;
    const double back = near;
    uint32_t bits;
    memcpy(&bits, &near, sizeof bits);
    const int inexact = back != x && x == x, away = fabs(back) > fabs(x);
    const uint32_t odd = bits - (uint32_t)(inexact && away);
    const uint32_t result = inexact ? odd | 1 : bits;
    float y;
    memcpy(&y, &result, sizeof y);
    return y;
#else
    return x;
#endif
}

#define IDENTITY(x) (x)
#define LOAD(name, type, convert)                                                                                      \
    static void load_##name(size_t n, const void *from, ptrdiff_t stride, void *to)                                    \
    {                                                                                                                  \
        const char *restrict in = from;                                                                                \
        real *restrict out = to;                                                                                       \
        type x;                                                                                                        \
        if (stride == sizeof(type))                                                                                    \
            for (size_t i = 0; i < n; i++) {                                                                           \
                memcpy(&x, in + i * sizeof(type), sizeof x);                                                           \
                out[i] = (real)convert(x);                                                                             \
            }                                                                                                          \
        else                                                                                                           \
            for (size_t i = 0; i < n; i++) {                                                                           \
                memcpy(&x, in + (ptrdiff_t)i * stride, sizeof x);                                                      \
                out[i] = (real)convert(x);                                                                             \
            }                                                                                                          \
    }
#define TRUTH(x) ((x) != 0)
LOAD(bool, uint8_t, TRUTH)
LOAD(i8, int8_t, IDENTITY)
LOAD(u8, uint8_t, IDENTITY)
LOAD(i16, int16_t, IDENTITY)
LOAD(u16, uint16_t, IDENTITY)
LOAD(i32, int32_t, IDENTITY)
LOAD(u32, uint32_t, IDENTITY)
LOAD(i64, int64_t, IDENTITY)
LOAD(u64, uint64_t, IDENTITY)
#ifdef __F16C__
LOAD(each_f16, uint16_t, from_f16)
static void load_f16(size_t n, const void *from, ptrdiff_t stride, void *to)
{
    const char *in = from;
    real *restrict out = to;
    const size_t whole = stride == sizeof(uint16_t) ? n / HALVES * HALVES : 0;
    UNROLL_4
    for (size_t i = 0; i < whole; i += HALVES) {
        float x[HALVES];
        from_f16s(in + i * sizeof(uint16_t), x);
        for (size_t l = 0; l < HALVES; l++) out[i + l] = x[l];
    }
    load_each_f16(n - whole, in + whole * sizeof(uint16_t), stride, out + whole);
}
#else
LOAD(f16, uint16_t, from_f16)
#endif
LOAD(bf16, uint16_t, from_bf16)
LOAD(f32, float, IDENTITY)
LOAD(f64, double, IDENTITY)

#define STORE(name, type, convert)                                                                                     \
    static void store_##name(size_t n, const void *from, void *to, ptrdiff_t stride)                                   \
    {                                                                                                                  \
        const real *restrict in = from;                                                                                \
        char *restrict out = to;                                                                                       \
        if (stride == sizeof(type))                                                                                    \
            for (size_t i = 0; i < n; i++) {                                                                           \
                const type x = (type)convert(in[i]);                                                                   \
                memcpy(out + i * sizeof(type), &x, sizeof x);                                                          \
            }                                                                                                          \
        else                                                                                                           \
            for (size_t i = 0; i < n; i++) {                                                                           \
                const type x = (type)convert(in[i]);                                                                   \
                memcpy(out + (ptrdiff_t)i * stride, &x, sizeof x);                                                     \
            }                                                                                                          \
    }
#define NARROW_F16(x)  to_f16(narrow(x))
#define NARROW_BF16(x) to_bf16(narrow(x))
#ifdef __F16C__
STORE(each_f16, uint16_t, NARROW_F16)
static void store_f16(size_t n, const void *from, void *to, ptrdiff_t stride)
{
    const real *restrict in = from;
    char *out = to;
    const size_t whole = stride == sizeof(uint16_t) ? n / HALVES * HALVES : 0;
    UNROLL_4
    for (size_t i = 0; i < whole; i += HALVES) {
        float x[HALVES];
        for (size_t l = 0; l < HALVES; l++) x[l] = narrow(in[i + l]);
        to_f16s(x, out + i * sizeof(uint16_t));
    }
    store_each_f16(n - whole, in + whole, out + whole * sizeof(uint16_t), stride);
}
#else
STORE(f16, uint16_t, NARROW_F16)
#endif
STORE(bf16, uint16_t, NARROW_BF16)
STORE(f32, float, IDENTITY)
STORE(f64, double, IDENTITY)
