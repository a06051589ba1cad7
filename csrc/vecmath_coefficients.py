"""Prints the constants and coefficient tables of vecmath.h: python csrc/vecmath_coefficients.py

Each table is the minimax polynomial (Remez exchange) in the weight that makes its error the relative error of
the function, rounded to the type.  Needs mpmath.
"""

import struct

import mpmath as mp
from mpmath import mpf

mp.mp.dps = 40
LN2, CENTRE, SLOPE = mp.log(2), mpf(15) / 32, mpf(7) / 8


def minimax(f, weight, low, high, degree):
    """Coefficients, lowest first, which minimise the maximum of |weight (f - polynomial)|."""
    count, size = degree + 2, 24 * (degree + 2)
    cosines = [mp.cos(mp.pi * (2 * k + 1) / (2 * size)) for k in range(size)]
    grid = [(low + high) / 2 - (high - low) / 2 * c for c in cosines]
    values, weights = [f(x) for x in grid], [weight(x) for x in grid]
    nodes = [size * (2 * i + 1) // (2 * count) for i in range(count)]
    while True:
        rows = [[*(grid[k] ** j for j in range(count - 1)), (-1) ** i / weights[k]] for i, k in enumerate(nodes)]
        *c, level = mp.lu_solve(mp.matrix(rows), mp.matrix([values[k] for k in nodes]))
        error = [weights[k] * (mp.polyval(c[::-1], grid[k]) - values[k]) for k in range(size)]
        worst = max(map(abs, error))
        if worst < 1.01 * abs(level):
            return c, worst
        peaks = []  # the largest error between each two changes of sign
        for k, e in enumerate(error):
            if not peaks or (e > 0) != (error[peaks[-1]] > 0):
                peaks.append(k)
            elif abs(e) > abs(error[peaks[-1]]):
                peaks[-1] = k
        while len(peaks) > count:
            peaks.pop(0 if abs(error[peaks[0]]) < abs(error[peaks[-1]]) else -1)
        nodes = peaks


def literal(x, bits):
    x = struct.unpack("f", struct.pack("f", x))[0] if bits == 32 else float(x)
    mantissa, exponent = x.hex().split("p")
    return mantissa.rstrip("0").rstrip(".") + "p" + exponent


def table(name, formula, f, weight, low, high, degree, bits):
    c, error = minimax(f, weight, low, high, degree)
    low, high, error = mp.nstr(low, 5), mp.nstr(high, 5), mp.nstr(mp.log(error, 2), 4)
    print(f"/* {formula}, {low} <= {formula[0]} <= {high}: 2^{error} */")
    print(f"static const real {name}[] = {{")
    words = [literal(x, bits) for x in c]
    if name == "log1p01_tail":
        words[0] += " + (0.875 - LOG1P01_SLOPE)"
    per_line = 4 if bits == 64 else 5
    for i in range(0, len(words), per_line):
        print("    " + ", ".join(words[i : i + per_line]) + ",")
    print("};")


def exp_tail(r):
    return (mp.expm1(r) - r) / r**2


def log_tail(r):
    return (mp.log1p(r) - r + r**2 / 2) / r**3


def log1p01_tail(v):
    return mp.log1p(v + CENTRE) / (v + CENTRE) - SLOPE


def log_cosh_near(y):
    return mp.log(mp.cosh(mp.sqrt(y))) / y if y else mpf(1) / 2


def log_cosh_far(u):
    return mp.log1p(u) / u if u else mpf(1)


def share_far(u):
    return u / (mp.log1p(u) - mp.log(u) / 2 - LN2) if u else mpf(0)


def atan_tail(y):
    return (mp.atan(mp.sqrt(y)) / mp.sqrt(y) - 1) / y if y else -mpf(1) / 3


def share_atan(y):
    return y * mp.sqrt(y) / mp.atan(mp.sqrt(y)) if y else mpf(0)


R = LN2 / 2 * mpf("1.0001")  # the rounding of x log2(e) may miss the nearest integer by a little
TABLES = (  # name, formula, function, weight, interval, degree in float64 and float32
    ("exp_tail", "r: (e^r - 1 - r) / r^2, for e^r", exp_tail, lambda r: r**2 / mp.exp(r), -R, R, 9, 4),
    ("expm1_tail", "r: the same, for e^r - 1", exp_tail, lambda r: abs(r**2 / mp.expm1(r)), -R, R, 10, 5),
    ("log_tail", "r: (log(1 + r) - r + r^2/2) / r^3", log_tail, lambda r: abs(r**3 / mp.log1p(r)),
     mp.sqrt(0.5) - 1, mp.sqrt(2) - 1, 18, 7),
    ("log1p01_tail", "v: log(1 + u) / u - 0.875 with u = v + 0.46875", log1p01_tail,
     lambda v: 1 / (log1p01_tail(v) + SLOPE), -CENTRE, 1 - CENTRE, 20, 9),
    ("log_cosh_near", "y: log(cosh(r)) / y with y = r^2", log_cosh_near, lambda y: 1 / log_cosh_near(y),
     mpf(0), mpf(1), 14, 6),
    ("log_cosh_far", "u: log(1 + u) / u, for |r| + log(1 + u) - log(2) with u = e^(-2 |r|)", log_cosh_far, share_far,
     mpf(0), mp.exp(-2), 9, 4),
    ("atan_tail", "y: (atan(t) / t - 1) / y with y = t^2", atan_tail, share_atan, mpf(0), (mp.sqrt(2) - 1) ** 2, 10, 4),
)  # fmt: skip

for bits, ln2_bits in (64, 42), (32, 16):
    print("#if LF_BITS == 64" if bits == 64 else "#else")
    ln2_high = mp.floor(mp.ldexp(LN2, ln2_bits)) / 2**ln2_bits  # short: n ln2_high is exact
    for name, x in ("LOG2E", 1 / LN2), ("LN2_HIGH", ln2_high), ("LN2_LOW", LN2 - ln2_high):
        print(f"#define {name:8} ((real){literal(x, bits)})")
    for *row, degree64, degree32 in TABLES:
        table(*row, degree64 if bits == 64 else degree32, bits)
print("#endif")
