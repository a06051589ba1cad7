"""What the benchmarks share: taking times, describing the machine, Markdown."""

from __future__ import annotations

import gc
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from itertools import repeat
from pathlib import Path
from typing import Any

PAUSE = 0.02  # seconds after which the thread pool of the contender before has gone to sleep
SAMPLE = 2e-4  # calls shorter than this many seconds are timed several at a time


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def repeatedly(timed: Callable[[int], float], seconds: float) -> list[float]:
    """Seconds per call, sampled for about `seconds`; `timed(k)` is the mean of k calls."""
    first = timed(1)  # also wakes the threads and warms the caches
    first = timed(1) if first < 0.1 else first
    times = max(1, int(SAMPLE / max(first, 1e-9)))
    for _ in range(2 if first < 0.01 else 0):
        timed(times)
    samples: list[float] = []
    end = time.perf_counter() + seconds
    while not samples or time.perf_counter() < end:
        samples.append(timed(times))
    return samples


def timed_call(call: Callable[[], Any]) -> Callable[[int], float]:
    """For `repeatedly`: a Python call."""

    def timed(times: int) -> float:
        start = time.perf_counter()
        for _ in repeat(None, times):
            call()
        return (time.perf_counter() - start) / times

    return timed


def sample(timed: Callable[[int], float], seconds: float) -> list[float]:
    """`repeatedly`, after a pause and without garbage collection."""
    gc.collect()
    time.sleep(PAUSE)
    gc.disable()
    try:
        return repeatedly(timed, seconds)
    finally:
        gc.enable()


def use_processors(count: int) -> None:
    """Keep this process and its children on so many processors."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def version(package: str) -> str | None:
    """The installed version."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def processor() -> str:
    """The name of the CPU."""
    try:
        names = re.findall(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        names = []
    return names[0].strip() if names else platform.processor() or platform.machine()


def system() -> str:
    """The operating system."""
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = platform.system()
    return f"{name}, {platform.system()} {platform.release().split('-')[0]}"


def compiler() -> str:
    """The C compiler of the probe."""
    try:
        return subprocess.run(["cc", "--version"], capture_output=True, text=True).stdout.splitlines()[0]
    except (OSError, IndexError):
        return "no C compiler"


def heading(packages: Iterable[str], more: Sequence[tuple[str, str]] = ()) -> str:
    """On what the numbers below were taken."""
    versions = ", ".join(f"{p} {version(p) or '(not installed)'}" for p in packages)
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    rows = [
        ("processor", f"{processor()}, {processors} of {os.cpu_count()} logical processors used"),
        ("system", system()),
        ("compiler", compiler()),
        ("versions", f"Python {platform.python_version()}, {versions}"),
        *more,
        ("date", date.today().isoformat()),
    ]
    return table(["", ""], [[k, v] for k, v in rows], "ll")


def table(header: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> str:
    """A Markdown table; align: a letter per column, l or r (the default but for the first)."""
    align = align or "l" + "r" * (len(header) - 1)
    rule = ["---" if a == "l" else "---:" for a in align]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])


def shown_time(seconds: float | None) -> str:
    """Three digits and a unit."""
    if seconds is None:
        return "–"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)):
        if seconds >= size or unit == "ns":
            return f"{digits(seconds / size)} {unit}"
    raise AssertionError


def digits(x: float) -> str:
    """Three of them, without an exponent."""
    return f"{x:.2f}" if x < 10 else f"{x:.1f}" if x < 100 else f"{x:.0f}"


def ratio(a: float | None, b: float | None) -> str:
    """a / b."""
    return "–" if a is None or b is None else f"{a / b:.2f}"


def factor(a: float | None, b: float | None) -> str:
    """a / b as so many times."""
    return "–" if a is None or b is None else f"{a / b:.1f}×"


def power(n: int) -> str:
    """10^k for the powers of ten."""
    text = str(n)
    return f"10^{len(text) - 1}" if text.strip("0") == "1" and n >= 1000 else text


def low_and_median(samples: Sequence[float]) -> tuple[float, float]:
    """The smallest and the middle one."""
    return min(samples), statistics.median(samples)


PEAK = """
import json, sys
import numpy as np
{}
def status(key):
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return int(line.split()[1]) * 1024

kept = call(n // 100)
del kept
with open("/proc/self/clear_refs", "w") as f:
    f.write("5")
before = status("VmRSS")
kept = call(n)
print(json.dumps(status("VmHWM") - before))
"""


def memory_table(setup: str, ways: Iterable[str], sizes: Iterable[int]) -> str:
    """Peak resident memory of a call beyond what was there before, each way in a fresh process.

    `setup` finds the way and the sizes in sys.argv, and defines `n` and a `call` on the first k of n entries.
    """
    rows = []
    for way in ways:
        say(f"memory: {way} ...")
        command = [sys.executable, "-c", PEAK.format(setup), way, *map(str, sizes)]
        made = subprocess.run(command, capture_output=True, text=True)
        rows.append([way, f"{json.loads(made.stdout) / 2**20:.1f} MiB" if made.returncode == 0 else "not available"])
    return table(["", "peak beyond the state before"], rows)


def publish(text: str, file: str | None, name: str) -> None:
    """To stdout, and into a file: between its markers of this name, else as the whole of it."""
    print(text)
    if file is None:
        return
    path = Path(file)
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    if begin in old and end in old:
        text = f"{old.partition(begin)[0]}{begin}\n\n{text}\n\n{end}{old.partition(end)[2]}"
    else:
        text += "\n"
    path.write_text(text, encoding="utf-8")
    say(f"written to {file}")
