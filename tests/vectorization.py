"""Checks that gcc vectorises the inner loop of every loss, at full width: python tests/vectorization.py

Compiles csrc/kernels.c as CMakeLists.txt does, with a report, and fails where the loop over lanes of
csrc/pointwise/loop.h was not vectorised, or not at the width of the instruction set.
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
    "-fno-thread-jumps",
    "-fPIC",
]
LOOP = "for (size_t l = 0; l < LANES; l++) {"


def loop_line() -> int:
    """The line of the loop over lanes."""
    lines = (ROOT / "csrc/pointwise/loop.h").read_text().splitlines()
    return next(i for i, line in enumerate(lines, 1) if line.strip() == LOOP)


def report(level: str, bits: int) -> str:
    """What gcc says of the loops of one object."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report"
        command = ["gcc", *FLAGS, *LEVELS[level][0], f"-DLF_BITS={bits}", f"-DLF_TABLE=lf_{level}_f{bits}"]
        command += [f"-I{ROOT}/csrc/include", "-c", f"{ROOT}/csrc/kernels.c", "-o", f"{folder}/kernels.o"]
        subprocess.run([*command, f"-fopt-info-vec-all={out}"], check=True)
        return out.read_text()


def main() -> int:
    """0 if every loop is vectorised."""
    where = rf"pointwise/loop\.h:{loop_line()}:\d+:"
    cases = [(level, bits) for level in LEVELS for bits in (32, 64)]
    failed = 0
    with ThreadPoolExecutor(2) as pool:
        for (level, bits), text in zip(cases, pool.map(lambda case: report(*case), cases), strict=True):
            width = LEVELS[level][1]
            good = len(re.findall(rf"{where} optimized: loop vectorized using {width} byte", text))
            other = len(re.findall(rf"{where} optimized: loop vectorized using", text)) - good
            missed = len(re.findall(rf"{where} missed: couldn't vectorize loop", text))
            print(f"{level} float{bits}: {good} loops at {width} bytes, {other} narrower, {missed} not vectorised")
            failed += missed + (good == 0)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
