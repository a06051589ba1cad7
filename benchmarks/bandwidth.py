"""The bandwidth limit: how long it takes to move the bytes that a case cannot avoid.

`python benchmarks/bandwidth.py` prints a table; racing.py measures the limits of its cases in the same rounds
as the contenders.
"""

from __future__ import annotations

import ctypes
import functools
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import measure
import numpy as np

OUTPUTS = ("reused", "malloc", "huge pages")
FLAGS = ("-O3", "-march=native", "-fopenmp", "-shared", "-fPIC")


@functools.cache
def library() -> ctypes.CDLL:
    """bandwidth.c, compiled for this processor; OSError where that is not possible."""
    folder = Path(tempfile.mkdtemp(prefix="lossfast-bandwidth-"))
    file = folder / "bandwidth.so"
    try:
        command = ["cc", *FLAGS, str(Path(__file__).with_suffix(".c")), "-o", str(file)]
        try:
            made = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            raise OSError("no C compiler (cc), so no bandwidth limit") from None
        if made.returncode:
            raise OSError(f"the bandwidth probe did not compile: {made.stderr.strip()[-300:]}")
        c = ctypes.CDLL(str(file))
    finally:
        file.unlink(missing_ok=True)
        folder.rmdir()
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    c.probe.argtypes = [ctypes.c_int] * 6 + [size, ctypes.c_int, pointer, pointer, pointer]
    c.reduction.argtypes = [ctypes.c_int] * 2 + [size, ctypes.c_int] + [pointer] * 3
    c.in_place.argtypes = [ctypes.c_int, size, ctypes.c_int] + [pointer] * 4
    c.probe.restype = c.reduction.restype = c.in_place.restype = ctypes.c_double
    return c


class Bytes(NamedTuple):
    """Per element: what is read from one or two arrays, and written to at most one."""

    read: tuple[int, ...]
    write: int

    def __str__(self) -> str:
        return f"read {' + '.join(map(str, self.read))}" + (f", write {self.write}" if self.write else "")


class Pass(NamedTuple):
    """One way of moving them."""

    threads: int
    streaming: bool
    output: str = "reused"

    def __str__(self) -> str:
        stores = ", non-temporal stores" if self.streaming else ""
        fresh = "" if self.output == "reused" else f", fresh output ({self.output})"
        return f"{self.threads} thread{'s' * (self.threads > 1)}{stores}{fresh}"


def passes(moved: Bytes, outputs: tuple[str, ...] = ("reused",)) -> list[Pass]:
    """All ways; the limit is the fastest."""
    return [
        Pass(threads, streaming, output)
        for output in outputs
        for threads in (1, 2)
        for streaming in ((False, True) if moved.write else (False,))
    ]


class Probe:
    """Buffers of n elements and the passes over them."""

    def __init__(self, moved: Bytes, n: int) -> None:
        self.moved, self.n = moved, n
        self.c = library()
        self.buffers = [_buffer(b * n, i) for i, b in enumerate(_three(moved))]

    def timed(self, way: Pass) -> Any:
        """For `measure.repeatedly`."""
        kind = OUTPUTS.index(way.output)
        pointers = [b.ctypes.data for b in self.buffers]

        def timed(times: int) -> float:
            seconds = self.c.probe(*_three(self.moved), way.threads, way.streaming, kind, self.n, times, *pointers)
            if seconds < 0:
                raise ValueError(f"no probe for {self.moved}")
            return float(seconds)

        return timed

    def best(self, seconds: float, outputs: tuple[str, ...] = ("reused",)) -> tuple[float, Pass]:
        """The fastest pass, each sampled for `seconds`."""
        return min((min(measure.sample(self.timed(p), seconds)), p) for p in passes(self.moved, outputs))


def timed_update(n: int, threads: int) -> Any:
    """For `measure.repeatedly`: three arrays of n floats updated in place by a fourth."""
    c, buffers = library(), [_buffer(4 * n, i) for i in range(4)]

    def timed(times: int) -> float:
        return float(c.in_place(threads, n, times, *(b.ctypes.data for b in buffers)))

    return timed


def timed_reduction(x: np.ndarray, y: np.ndarray, in_double: bool, threads: int) -> Any:
    """For `measure.repeatedly`: the sum of (x - y)**2 by OpenMP's reduction(+)."""
    c, total = library(), ctypes.c_double()

    def timed(times: int) -> float:
        return float(c.reduction(in_double, threads, x.size, times, x.ctypes.data, y.ctypes.data, ctypes.byref(total)))

    return timed


def _three(moved: Bytes) -> tuple[int, int, int]:
    return (*moved.read, 0, 0)[0], (*moved.read, 0, 0)[1], moved.write


def _buffer(size: int, number: int) -> np.ndarray:
    """Touched memory aligned to 64 bytes, the offset in its page different for every number."""
    memory = np.ones(size + 8192, np.uint8)
    start = -memory.ctypes.data % 4096 + 1088 * number
    return memory[start : start + size]


def main() -> None:
    """Print the limits of this machine."""
    measure.use_processors(2)
    rows = []
    for moved in (Bytes((4,), 0), Bytes((4, 4), 0), Bytes((4, 4), 4), Bytes((1, 4), 4), Bytes((8, 8), 8)):
        for n in (10**5, 10**6, 10**7):
            probe = Probe(moved, n)
            seconds, way = probe.best(0.2)
            total = (sum(moved.read) + moved.write) * n
            row = [
                str(moved),
                measure.power(n),
                measure.shown_time(seconds),
                f"{total / seconds / 1e9:.0f} GB/s",
            ]
            row.append(str(way))
            if moved.write:
                fresh, way = probe.best(0.1, OUTPUTS[1:])
                row.append(f"{measure.shown_time(fresh)} ({way.output})")
            rows.append(row + [""] * (not moved.write))
    print(measure.heading(["numpy"]) + "\n")
    header = ["bytes per element", "n", "limit", "", "reached with", "with a fresh output"]
    print(measure.table(header, rows, "lrrrlr"))


if __name__ == "__main__":
    main()
