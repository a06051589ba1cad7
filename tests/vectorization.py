"""Checks that gcc vectorises the inner loops of every loss, at full width: python tests/vectorization.py

Compiles csrc/kernels.c as CMakeLists.txt does, with a report, and fails where a loop over lanes of
csrc/pointwise/loop.h, csrc/rowwise, csrc/sequence, csrc/region, csrc/embedding, csrc/step or csrc/ranking was not
vectorised, or not at the width of the instruction set.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEVELS = {
    "avx2": (["-march=x86-64-v3"], 32),
    "avx512": (["-march=x86-64-v4", "-mprefer-vector-width=512"], 64),
}
FLAGS = [
    "-std=gnu11",
    "-O3",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=off",
    "-fno-asynchronous-unwind-tables",
    "-fPIC",
    "-fno-thread-jumps",
    "-mmemset-strategy=vector_loop:512:noalign,libcall:-1:noalign",
    "-mmemcpy-strategy=vector_loop:512:noalign,libcall:-1:noalign",
]
OF_BITS = {
    32: ["--param", "max-completely-peeled-insns=90"],
    64: [
        "-O2",
        "-ftree-vectorize",
        "-fno-gcse",
        "--param",
        "max-completely-peeled-insns=30",
        "-fvect-cost-model=cheap",
    ],
}
EXP_ACROSS = "for (size_t l = 0; l < TILE; l++) z[k * TILE + l] = exp_cell("
# What is looked for: a name, the file, the function, the beginning of the body, or of a loop on one line, and the bits
# that have it.
LOOPS = [
    ("pointwise", "pointwise/loop.h", "lanes(", "const real here", (32, 64)),
    ("sums across", "rowwise/loop.h", "across_sum(", "const real d =", (32, 64)),
    ("exponentials across", "rowwise/loop.h", "across_reduce(", EXP_ACROSS, (32, 64)),
    ("derivatives across", "rowwise/loop.h", "across_spread(", "const size_t i = k * TILE + l;", (32, 64)),
    ("sums along", "rowwise/loop.h", "along_sum(", "const real d =", (32, 64)),
    ("exponentials along", "rowwise/loop.h", "row_exp(", "for (size_t l = k; l < k + now; l++)", (32, 64)),
    ("derivatives along", "rowwise/loop.h", "along_spread(", "spread(targets", (32, 64)),
    ("jets", "rowwise/loop.h", "class_jets(", "const int beaten", (32, 64)),
    ("alpha", "sequence/states.h", "forward(", "const size_t k = at + l;", (32, 64)),
    ("beta", "sequence/states.h", "backward(", "const size_t k = at + l, next", (32, 64)),
    ("occupation", "sequence/states.h", "occupy(", "label[k] = a.label[k]", (32, 64)),
    ("softmax of masks", "region/loop.h", "overlap_chain(", "const real slope", (32, 64)),
    ("losses of positions", "region/loop.h", "pixel_tile(", "const real d =", (64,)),
    ("products", "embedding/vectors.h", "three_products(", "const double x =", (32, 64)),
    ("products of floats", "embedding/vectors.h", "three_products(", "const real x =", (32,)),
    ("distances", "embedding/vectors.h", "distance_sum(", "sum[l] += distance_term", (32, 64)),
    ("distances of floats", "embedding/vectors.h", "distance_sum(", "const real d =", (32,)),
    ("combinations", "embedding/vectors.h", "vector_combine(", "else if (plain)", (32, 64)),
    ("directions", "embedding/vectors.h", "directions(", "const real d =", (32, 64)),
    ("linear scores", "linear/loop.h", "linear_scores(", "const real by = w[i + l];", (32, 64)),
    ("linear sums", "linear/loop.h", "linear_sums(", "g[i] = r_fma(c3,", (32, 64)),
    ("linear step", "linear/loop.h", "linear_step(", "const double v = ", (32, 64)),
    ("boxes", "box/loop.h", "box_loop(", "const box a = ", (32, 64)),
    ("kept boxes", "box/suppress.h", "overlaps(", "const real w = ", (32, 64)),
    ("ranked pairs", "ranking/pairs.h", "pair_sums(", "const real up", (32, 64)),
    ("finish", "rowwise/finish.h", "finish_rows(", "const real inverse", (64,)),
    ("best class across", "sequence/paths.h", "best_across(", "const real x", (32, 64)),
    ("log-probabilities", "sequence/paths.h", "log_probabilities(", "const double below", (32, 64)),
    ("Viterbi", "sequence/paths.h", "viterbi(", "const double b = ", (32, 64)),
    ("optimizer steps", "step/loop.h", "step_lanes(", "const real w = weight[l]", (32, 64)),
    ("log of a sum", "sequence/paths.h", "log_add(", "const double high", (64,)),
]


def loop_line(file: str, function: str, body: str) -> int:
    """The line of the loop that begins so."""
    lines = (ROOT / "csrc" / file).read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(("inline_ ", "static ")) and function in line)
    inside = next(i for i in range(first, len(lines)) if lines[i].strip().startswith(body))
    return 1 + max(i for i in range(first, inside + 1) if lines[i].strip().startswith("for ("))


def report(level: str, bits: int) -> str:
    """What gcc says of the loops of one object."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report"
        command = ["gcc", *FLAGS, *LEVELS[level][0], *OF_BITS[bits], f"-DLF_BITS={bits}"]
        command += [f"-DLF_TABLE=lf_{level}_f{bits}", f"-I{ROOT}/csrc/include", f"-fopt-info-vec-all={out}"]
        subprocess.run([*command, "-c", f"{ROOT}/csrc/kernels.c", "-o", f"{folder}/kernels.o"], check=True)
        return out.read_text()


def main() -> int:
    """0 if every loop is vectorised."""
    cases = [(level, bits) for level in LEVELS for bits in (32, 64)]
    failed = 0
    with ThreadPoolExecutor(2) as pool:
        for (level, bits), text in zip(cases, pool.map(lambda case: report(*case), cases), strict=True):
            width = LEVELS[level][1]
            for name, file, function, body, has in LOOPS:
                if bits not in has:
                    continue
                where = rf"{re.escape(file)}:{loop_line(file, function, body)}:\d+:"
                good = len(re.findall(rf"{where} optimized: loop vectorized using {width} byte", text))
                other = len(re.findall(rf"{where} optimized: loop vectorized using", text)) - good
                missed = len(re.findall(rf"{where} missed: couldn't vectorize loop", text))
                print(f"{level} float{bits} {name}: {good} at {width} bytes, {other} narrower, {missed} not vectorised")
                failed += missed + (good == 0)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
