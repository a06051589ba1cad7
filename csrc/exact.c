/* Exact sums of doubles: a fixed-point number wide enough for every double, in 32-bit digits.
 *
 * Each digit sits in 64 bits, so 2^31 additions can go by before carries must be propagated.
 * R. M. Neal, "Fast exact summation using small and large superaccumulators", arXiv:1505.05571 (2015).
 */
#include "lossfast/lossfast.h"

#include <math.h>
#include <string.h>

enum { LOWEST = 1088, PENDING_MAX = 1 << 30 }; /* limb[0] counts units of 2^-LOWEST */

void lf_exact_add(lf_exact *sum, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const unsigned biased = (unsigned)(bits >> 52) & 0x7ff;
    if (biased == 0x7ff) {
        sum->special += x;
        return;
    }
    const uint64_t mantissa = (bits & 0xfffffffffffff) | (uint64_t)(biased != 0) << 52;
    /* x = +-mantissa 2^(exponent - 1075), and subnormals have the exponent of the smallest normals. */
    const unsigned exponent = biased + (biased == 0), place = exponent - 1075 + LOWEST;
    int64_t *limb = sum->limb + place / 32;
    const unsigned shift = place % 32;
    const uint64_t low = mantissa << shift, high = shift ? mantissa >> (64 - shift) : 0;
    const int64_t sign = bits >> 63 ? -1 : 1;
    limb[0] += sign * (int64_t)(low & 0xffffffff);
    limb[1] += sign * (int64_t)(low >> 32);
    limb[2] += sign * (int64_t)high;
    if (++sum->pending == PENDING_MAX) lf_exact_carry(sum);
}

void lf_exact_carry(lf_exact *sum)
{
    int64_t carry = 0;
    for (int i = 0; i < LF_EXACT_LIMBS - 1; i++) {
        const int64_t digit = sum->limb[i] + carry;
        sum->limb[i] = (int64_t)((uint64_t)digit & 0xffffffff);
        carry = digit >> 32;
    }
    sum->limb[LF_EXACT_LIMBS - 1] += carry;
    sum->pending = 0;
}

void lf_exact_merge(lf_exact *sum, const lf_exact *other)
{
    if ((uint64_t)sum->pending + other->pending + 2 >= PENDING_MAX) lf_exact_carry(sum);
    for (int i = 0; i < LF_EXACT_LIMBS; i++) sum->limb[i] += other->limb[i];
    sum->special += other->special;
    sum->pending += other->pending + 2; /* carried digits count as one more addition each */
}

double lf_exact_round(const lf_exact *sum)
{
    if (sum->special != 0) return sum->special;
    lf_exact s = *sum;
    lf_exact_carry(&s);
    const int negative = s.limb[LF_EXACT_LIMBS - 1] < 0;
    if (negative) {
        for (int i = 0; i < LF_EXACT_LIMBS; i++) s.limb[i] = -s.limb[i];
        lf_exact_carry(&s);
    }
    int top = LF_EXACT_LIMBS - 1;
    while (top > 0 && !s.limb[top]) top--;
    if (top == 0 && !s.limb[0]) return 0.0;

    /* The 64 bits from the leading 1 downwards, the last of them sticky for all that follows. */
    uint64_t digits[4];
    for (int k = 0; k < 4; k++) digits[k] = top - k >= 0 ? (uint64_t)s.limb[top - k] : 0;
    uint64_t head = digits[0] << 32 | digits[1];
    const int zeros = __builtin_clzll(head);
    head = zeros ? head << zeros | (digits[2] << 32 | digits[3]) >> (64 - zeros) : head;
    uint64_t rest = zeros ? (digits[2] << 32 | digits[3]) << zeros : digits[2] | digits[3];
    for (int i = top - 4; i >= 0; i--) rest |= (uint64_t)s.limb[i];

    /* head 2^unit: round to 53 bits, or fewer where the result is subnormal. */
    int unit = 32 * (top - 1) - LOWEST - zeros, drop = 11;
    if (unit + drop < -1074) drop = -1074 - unit;
    if (drop > 64) return 0.0;
    const uint64_t kept = drop == 64 ? 0 : head >> drop;
    const uint64_t lost = drop == 64 ? head : head << (64 - drop);
    const uint64_t half = (uint64_t)1 << 63;
    const int up = lost > half || (lost == half && (rest || (kept & 1)));
    const double rounded = ldexp((double)(kept + (uint64_t)up), unit + drop);
    return negative ? -rounded : rounded;
}

void lf_moments_merge(lf_moments *moments, const lf_moments *other)
{
    if (other->count > other->nan) {
        const int first = moments->count == moments->nan;
        if (first || other->min < moments->min) moments->min = other->min;
        if (first || other->max > moments->max) moments->max = other->max;
    }
    lf_exact_merge(&moments->weight, &other->weight);
    lf_exact_merge(&moments->loss, &other->loss);
    lf_exact_merge(&moments->square, &other->square);
    moments->count += other->count;
    moments->nan += other->nan;
    moments->positive_inf += other->positive_inf;
    moments->negative_inf += other->negative_inf;
    moments->overflow += other->overflow;
}
