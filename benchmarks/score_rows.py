"""`lossfast score` over a large Parquet file, beside a process that only reads it.

    python benchmarks/score_rows.py [--rows 100000000] [--rounds 5] [--dir FOLDER] [--out FILE.md]

The reader takes the two columns in batches and adds them up; the command must also compute the loss and add it
exactly.  Both are whole processes, taken in turns.  README.md says what is measured and how.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import measure

ROW_GROUP = 2**20
PACKAGES = ("lossfast", "numpy", "pyarrow")
COMMAND = "lossfast score"

MAKE = """
import sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq

file, rows, group = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = np.random.default_rng(7)
schema = pa.schema([("y_true", pa.float32()), ("y_pred", pa.float32())])
total = 0.0
with pq.ParquetWriter(file, schema) as writer:
    for start in range(0, rows, group):
        n = min(group, rows - start)
        p = np.clip(rng.random(n, np.float32), 0.001, 0.999)
        y = (rng.random(n, np.float32) < p).astype(np.float32)
        total -= np.log(np.where(y == 1, p, 1 - p.astype(np.float64))).sum()
        writer.write_table(pa.table([y, p], schema=schema), row_group_size=group)
print(total / rows)
"""

READ = {
    "ParquetFile.iter_batches": """
import sys
import pyarrow.compute as pc, pyarrow.parquet as pq
rows = total = 0
for batch in pq.ParquetFile(sys.argv[1]).iter_batches(batch_size=2**20, columns=["y_true", "y_pred"]):
    rows += batch.num_rows
    total += pc.sum(batch.column(0)).as_py() + pc.sum(batch.column(1)).as_py()
print(rows)
""",
    "dataset scanner": """
import sys
import pyarrow.compute as pc, pyarrow.dataset as ds
rows = total = 0
for batch in ds.dataset(sys.argv[1]).scanner(columns=["y_true", "y_pred"]).to_batches():
    if batch.num_rows:
        rows += batch.num_rows
        total += pc.sum(batch.column(0)).as_py() + pc.sum(batch.column(1)).as_py()
print(rows)
""",
}


class Run(NamedTuple):
    """A process that has ended."""

    seconds: float
    peak: int  # bytes of resident memory
    output: str
    failed: bool


def run(command: list[str]) -> Run:
    """Time a whole process.  This one stays small: a child's peak includes its parent's at the fork."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    return Run(seconds, used.ru_maxrss * 1024, text, process.returncode != 0)


def commands(file: Path) -> dict[str, list[str]]:
    """Who reads the file."""
    found = shutil.which("lossfast", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    options = ["--loss", "binary_crossentropy", "--target", "y_true", "--pred", "y_pred", "--json", "--quiet"]
    made = {name: [sys.executable, "-c", text, str(file)] for name, text in READ.items()}
    return made | {COMMAND: [found or "lossfast", "score", str(file), *options]}


def make(file: Path, rows: int) -> float:
    """Write the file in another process; the mean loss."""
    measure.say(f"writing {rows} rows ...")
    made = run([sys.executable, "-c", MAKE, str(file), str(rows), str(ROW_GROUP)])
    if made.failed:
        raise SystemExit(made.output)
    return float(made.output)


def number(text: str, *keys: str) -> float | None:
    """The first of these keys that a JSON object has, however deep."""
    try:
        waiting: list[Any] = [json.loads(text)]
    except json.JSONDecodeError:
        return None
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, dict):
            for key in keys:
                if isinstance(item.get(key), int | float):
                    return float(item[key])
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    return None


def check(name: str, output: str, rows: int, mean: float) -> None:
    """Say so when a process did other work than it should have."""
    if name != COMMAND:
        if int(output) != rows:
            raise SystemExit(f"{name} saw {output.strip()} rows of {rows}")
        return
    found = number(output, "mean", "value", "loss")
    if found is None or abs(found / mean - 1) > 1e-5:
        raise SystemExit(f"{name} says {found}, expected a mean of {mean}; it printed: {output[:500]}")


def rounds(folder: Path, rows: int, times: int) -> dict[str, tuple[list[Run], list[Run]]]:
    """Runs over the file, and over a small one to know the time of the start."""
    large, small = folder / "rows.parquet", folder / "few.parquet"
    mean, small_mean = make(large, rows), make(small, 1000)
    measure.say(f"{large.stat().st_size / 2**20:.0f} MiB")
    runs: dict[str, tuple[list[Run], list[Run]]] = {}
    for i in range(times + 1):  # the first warms the page cache
        for file, size, expected, slot in ((large, rows, mean, 0), (small, 1000, small_mean, 1)):
            for name, command in commands(file).items():
                done = run(command)
                if done.failed:
                    measure.say(f"{name} failed: {done.output[-500:]}")
                    continue
                check(name, done.output, size, expected)
                if i:
                    runs.setdefault(name, ([], []))[slot].append(done)
                    measure.say(f"round {i}: {name}, {size} rows: {done.seconds:.3f} s")
    return runs


def shown(runs: dict[str, tuple[list[Run], list[Run]]], rows: int) -> str:
    """The table, and the ratio of the best times."""
    lines = []
    whole = {name: min(r.seconds for r in large) for name, (large, _) in runs.items()}
    inner = {name: whole[name] - min(r.seconds for r in small) for name, (_, small) in runs.items()}
    for name, (large, _) in runs.items():
        median = statistics.median(r.seconds for r in large)
        peak = max(r.peak for r in large) / 2**20
        lines.append(
            [
                name,
                measure.shown_time(whole[name]),
                measure.shown_time(median),
                f"{rows / whole[name] / 1e6:.1f}",
                f"{rows / inner[name] / 1e6:.1f}",
                f"{peak:.0f} MiB",
            ]
        )
    header = ["process", "min", "median", "million rows/s, whole", "without start", "peak memory"]
    text = measure.table(header, lines)
    readers = [name for name in READ if name in runs]
    if COMMAND not in runs or not readers:
        return f"{text}\n\nNo ratio: not all of them ran."
    best = min(readers, key=lambda name: whole[name])
    ratios = [f"{times[best] / times[COMMAND]:.2f}" for times in (whole, inner)]
    return (
        f"{text}\n\nReading alone ({best}) takes {ratios[0]} of the time of `{COMMAND}`; {ratios[1]} without "
        "the start of the processes."
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=10**8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", help="where the file is written (about 4.3 bytes per row)")
    parser.add_argument("--out", metavar="FILE.md", help="where the table goes (between its markers)")
    given = parser.parse_args()
    measure.use_processors(2)
    with tempfile.TemporaryDirectory(prefix="lossfast-score-", dir=given.dir) as folder:
        runs = rounds(Path(folder), given.rows, given.rounds)
        size = (Path(folder) / "rows.parquet").stat().st_size / 2**20
    what = f"{given.rows} rows in row groups of {ROW_GROUP}, {size:.0f} MiB, in the page cache"
    heading = measure.heading(PACKAGES, [("file", what), ("rounds", str(given.rounds))])
    measure.publish(f"{heading}\n\n{shown(runs, given.rows)}", given.out, "score")


if __name__ == "__main__":
    main()
