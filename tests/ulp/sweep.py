"""Proves the error bounds of csrc/vecmath.h: python tests/ulp/sweep.py [--quick]

float32: every float of each function's range against double precision, the worst case again against mpmath.
float64: a million points per function, most of them in the hard zones, against mpmath.  All compilers found,
and all instruction sets with FMA, must give the same bits.  Prints the tables of docs/accuracy.md and exits
with 1 when an error exceeds its bound, bits differ or a special value is wrong.  Needs numpy, mpmath and an
x86-64 CPU with AVX2.
"""

import argparse
import ctypes
import itertools
import multiprocessing
import pathlib
import shutil
import subprocess
import sys
import tempfile

import mpmath as mp
import numpy as np

mp.mp.prec = 140
INF, NAN, LN2 = np.inf, np.nan, np.log(2)
CHUNK = 2**16
CSRC = pathlib.Path(__file__).resolve().parents[2] / "csrc"
FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-shared", "-fPIC"]
ISAS = {
    "sse4": ["-march=x86-64-v2"],
    "avx2": ["-march=x86-64-v3"],
    "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}

BOUNDS = {  # ULP: float32 with FMA, without; float64 with FMA, without
    "exp": (0.90, 1.17, 0.90, 1.19),
    "exp_nonpos": (0.89, 1.17, 0.89, 1.18),
    "expm1": (0.89, 0.98, 0.86, 0.93),
    "log": (0.88, 0.93, 0.88, 0.91),
    "log1p": (0.98, 1.02, 0.94, 1.00),
    "log1p01": (0.94, 1.24, 0.95, 1.42),
    "tanh": (0.78, 1.20, 0.78, 1.23),
    "sigmoid": (0.76, 1.16, 0.76, 1.04),
    "softplus": (0.90, 1.24, 0.97, 1.43),
    "atan01": (2, 2, 2, 2),
    "pair_exp": (0.98, 0.96, 0.95, 0.93),
    "pair_expm1": (0.88, 0.85, 1.13, 1.09),
}
ALL = (-INF, INF)
RANGES = {"exp_nonpos": (-INF, 0), "log1p01": (0, 1), "atan01": (0, 1), "pair_exp": (-87, 0), "pair_expm1": (-87, 0)}
RANGES_FLOAT64 = RANGES | {"pair_exp": (-708, 0), "pair_expm1": (-708, 0)}
EXACT = {
    "exp": mp.exp,
    "exp_nonpos": mp.exp,
    "expm1": mp.expm1,
    "log": mp.log,
    "log1p": mp.log1p,
    "log1p01": mp.log1p,
    "tanh": mp.tanh,
    "sigmoid": lambda x: mp.exp(x) / (1 + mp.exp(x)) if x < 0 else 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: max(x, 0) + mp.log1p(mp.exp(-abs(x))),
    "atan01": mp.atan,
    "pair_exp": mp.exp,
    "pair_expm1": mp.expm1,
}
SPECIAL = {  # pairs of argument and result
    "exp": [(INF, INF), (-INF, 0.0), (0.0, 1), (-0.0, 1), (1e4, INF), (-1e4, 0.0)],
    "exp_nonpos": [(-INF, 0.0), (0.0, 1), (-0.0, 1), (-1e4, 0.0)],
    "expm1": [(INF, INF), (-INF, -1), (0.0, 0.0), (-0.0, -0.0), (1e4, INF), (-1e4, -1)],
    "log": [(INF, INF), (-INF, NAN), (0.0, -INF), (-0.0, -INF), (-1, NAN), (1, 0.0)],
    "log1p": [(INF, INF), (-INF, NAN), (0.0, 0.0), (-0.0, -0.0), (-1, -INF), (-2, NAN)],
    "log1p01": [(0.0, 0.0)],
    "tanh": [(INF, 1), (-INF, -1), (0.0, 0.0), (-0.0, -0.0), (1e4, 1), (-1e4, -1)],
    "sigmoid": [(INF, 1), (-INF, 0.0), (0.0, 0.5), (-0.0, 0.5), (1e4, 1), (-1e4, 0.0)],
    "softplus": [(INF, INF), (-INF, 0.0), (1e4, 1e4), (-1e4, 0.0)],
    "atan01": [(0.0, 0.0), (1, np.pi / 4)],
    "pair_exp": [(0.0, 1), (-0.0, 1)],
    "pair_expm1": [(0.0, 0.0), (-0.0, 0.0)],
}


def build(folder):
    """{(compiler, isa, bits): library} of the compilers and instruction sets this machine has."""
    cpu = pathlib.Path("/proc/cpuinfo").read_text()
    isas = [isa for isa in ISAS if isa != "avx512" or "avx512dq" in cpu]
    compilers = [name for name in ("gcc", "clang") if shutil.which(name)] or ["cc"]
    libraries = {}
    for cc, isa, bits in itertools.product(compilers, isas, (32, 64)):
        path = f"{folder}/{cc}_{isa}_{bits}.so"
        source = [f"-I{CSRC}", f"-DLF_BITS={bits}", str(pathlib.Path(__file__).with_suffix(".c")), "-lm"]
        subprocess.run([cc, *FLAGS, *ISAS[isa], *source, "-o", path], check=True)
        libraries[cc, isa, bits] = ctypes.CDLL(path)
    return libraries


def call(function, x, dtype=None):
    y = np.empty(x.size, dtype or x.dtype)
    function(ctypes.c_size_t(x.size), ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data))
    return y


def same(a, b):
    bits = f"u{a.itemsize}"
    return np.array_equal(a.view(bits), b.view(bits)) or bool(
        np.all((a.view(bits) == b.view(bits)) | (np.isnan(a) & np.isnan(b)))
    )


def values(name, x):
    """The results with FMA and without, and whether all builds agree on them."""
    bits, results = 8 * x.itemsize, {}
    agree = True
    for (_, isa, library_bits), library in LIBRARIES.items():
        if library_bits == bits:
            y = call(getattr(library, f"map_{name}"), x)
            agree &= same(results.setdefault(isa != "sse4", y), y)
    return [results[True], results[False]], agree


def errors_in_ulp(name, x, results):
    """mpmath's word on results for x; an overflow counts as the power of two above the largest number."""
    smallest, digits, top = (-149, 24, 128) if x.dtype == np.float32 else (-1074, 53, 1024)
    exact, limit = EXACT[name](mp.mpf(float(x))), mp.ldexp(1, top)
    ulp, size = mp.ldexp(1, max(mp.frexp(exact)[1] - digits, smallest)), min(abs(exact), limit)
    for y in results:
        wrong = np.isnan(y) or (y != 0 and (exact < 0) != (y < 0))
        yield INF if wrong else float(abs(size - min(abs(mp.mpf(float(y))), limit)) / ulp)


def sweep_float32(task):
    """The worst errors, with FMA and without, of the floats with these bit patterns."""
    name, start, step = task
    x = np.arange(start, start + CHUNK * step, step, dtype=np.uint64).astype(np.uint32).view(np.float32)
    low, high = RANGES.get(name, ALL)
    x = x[((x >= low) & (x <= high)) | np.isnan(x)]
    if x.size == 0:
        return [(0, 0)] * 2, True
    judge = next(iter(LIBRARIES.values()))
    exact = call(getattr(judge, f"reference_{name}"), x, np.float64)
    results, agree = values(name, x)
    errors = []
    for y in results:
        worst = ctypes.c_double()
        judge.judge.restype = ctypes.c_size_t
        pointers = (ctypes.c_void_p(exact.ctypes.data), ctypes.c_void_p(y.ctypes.data), ctypes.byref(worst))
        where = judge.judge(ctypes.c_size_t(x.size), *pointers)
        errors.append((worst.value, x[where]))
    return errors, agree


def points(name, count):
    """float64 arguments: uniform in bits, in value, near zero, and around the seams of the reductions."""
    rng = np.random.default_rng(list(name.encode()))
    n, k = count // 8, np.arange(-1075, 1024)
    if name == "atan01":
        seams, extra = np.array([np.sqrt(2) - 1, 1.0]), 1 - np.exp2(rng.uniform(-54, -1, n))
    elif "log" in name:
        powers = np.ldexp(1.0, k[1:])
        seams = np.concatenate([powers, powers * np.sqrt(2), [0.46875, 0.5, np.sqrt(2) - 1]])
        seams = np.concatenate([seams, seams - 1]) if name == "log1p" else seams
        extra = 1 + rng.choice([-1, 1], n) * np.exp2(rng.uniform(-54, -1, n))
    else:
        seams = np.concatenate([(k + 0.5) * LN2, k * LN2, [-745.2, -708.3964, 709.7827, 709.8]])
        seams = seams / 2 if name == "tanh" else seams
        extra = rng.uniform(-746, -707, n)
    low, high = {"tanh": (-20, 20), "log": (0, 9), "log1p": (-1, 9), "log1p01": (0, 1), "atan01": (0, 1)}.get(
        name, (-750, 750)
    )
    x = np.concatenate(
        [
            rng.integers(0, 2**64, n, dtype=np.uint64).view(np.float64),
            rng.uniform(low, high, n),
            rng.uniform(-2, 2, n),
            rng.uniform(-1, 1, n),
            rng.uniform(0.3, 0.5, n),
            rng.choice([-1, 1], n) * np.exp2(rng.uniform(-60, 1, n)),
            rng.choice(seams, n) * (1 + rng.integers(-40, 41, n) * 2.0**-52),
            extra,
        ]
    )
    low, high = {"log": (5e-324, INF), "log1p": (np.nextafter(-1, 0), INF)}.get(name, RANGES_FLOAT64.get(name, ALL))
    x = np.where((x >= low) & (x <= high), x, -x)
    return x[(x >= low) & (x <= high) & np.isfinite(x)]


def sweep_float64(task):
    name, x = task
    results, agree = values(name, x)
    rows = zip(x, zip(*results, strict=True), strict=True)
    errors = np.array([list(errors_in_ulp(name, *row)) for row in rows])
    worst = errors.argmax(axis=0)
    return [(errors[k, column], x[k]) for column, k in enumerate(worst)], agree


def special_values(name):
    """The arguments whose result is wrong in some build."""
    wrong = []
    for (cc, isa, bits), library in LIBRARIES.items():
        table = np.array([*SPECIAL[name], (NAN, NAN), (-NAN, NAN)], f"f{bits // 8}")
        x, right = np.ascontiguousarray(table.T)
        y = call(getattr(library, f"map_{name}"), x)
        good = np.where(np.isnan(right), np.isnan(y), (y == right) & (np.signbit(y) == np.signbit(right)))
        wrong += [f"{cc} {isa} float{bits} {name}({x})" for x in x[~good]]
    return wrong


def sweep(name, quick, pool):
    """The worst cases (error, argument), in the order of BOUNDS, and whether the builds agree."""
    step = 4093 if quick else 1
    tasks = [(name, start, step) for start in range(0, 2**32 - CHUNK * (step - 1), CHUNK * step)]
    found = list(pool.imap_unordered(sweep_float32, tasks, chunksize=16))
    found_float32 = [max(errors) for errors in zip(*(errors for errors, _ in found), strict=True)]
    parts = np.array_split(points(name, 10**4 if quick else 2**20), 64)
    more = list(pool.imap_unordered(sweep_float64, [(name, part) for part in parts]))
    found_float64 = [max(errors) for errors in zip(*(errors for errors, _ in more), strict=True)]
    for column, (error, x) in enumerate(found_float32):
        if np.isfinite(error):
            y = values(name, np.array([x], np.float32))[0][column]
            found_float32[column] = next(errors_in_ulp(name, x, y)), x
    return found_float32 + found_float64, all(agree for _, agree in found + more)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="10^4 points, one float in 4093")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("functions", nargs="*", help="all of BOUNDS by default")
    options = parser.parse_args()
    failures = []
    print("| function | range | float32, FMA | float32, no FMA | float64, FMA | float64, no FMA |")
    print("|---|---|---|---|---|---|")
    with multiprocessing.Pool(options.jobs) as pool:
        for name in options.functions or BOUNDS:
            failures += special_values(name)
            found, agree = sweep(name, options.quick, pool)
            failures += [] if agree else [f"{name}: the builds differ"]
            for (error, x), bound in zip(found, BOUNDS[name], strict=True):
                failures += [f"{name}: {error} ULP at {x!r}"] if error > bound else []
            cells = [f"{error:.3f} at {x:.{9 if x.dtype == np.float32 else 17}g}" for error, x in found]
            low, high = RANGES.get(name, ALL)
            print("|", " | ".join([name, f"{low:g} to {high:g}", *cells]), "|", flush=True)
    print(*failures, sep="\n", file=sys.stderr)
    return bool(failures)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        LIBRARIES = build(folder)
        sys.exit(main())
