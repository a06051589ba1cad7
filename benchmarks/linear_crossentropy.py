"""linear_crossentropy beside its three matrix products alone, and the memory it takes beyond operands and gradients.

python benchmarks/linear_crossentropy.py [--rows 8192 --features 1024 --classes 128256 --repeats 2]

The products are those of all rows at once or in blocks of 1024 rows, whichever is faster, into memory that exists.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from measure import digits, heading, publish, say, shown_time, table, use_processors

import lossfast as lf
from lossfast import _linear_crossentropy as linear


def products(hidden: np.ndarray, weight: np.ndarray, logits: np.ndarray, outs: list[np.ndarray]) -> None:
    """The three products, by blocks of as many rows as `logits` has."""
    for first in range(0, len(hidden), len(logits)):
        h = hidden[first : first + len(logits)]
        z = logits[: len(h)]
        np.matmul(h, weight.T, out=z)
        np.matmul(z, weight, out=outs[0][first : first + len(h)])
        np.matmul(z.T, h, out=outs[1])


def seconds(call: Callable[[], object]) -> float:
    """Of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    """Interleaved repeats; memory first, before anything else has raised the process's peak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--features", type=int, default=1024)
    parser.add_argument("--classes", type=int, default=128256)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--block", type=int, action="append", help="rows of a block of the products alone")
    parser.add_argument("--out")
    args = parser.parse_args()
    use_processors(2)
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((args.rows, args.features), dtype=np.float32)
    weight = rng.standard_normal((args.classes, args.features), dtype=np.float32)
    weight *= args.features**-0.5
    labels = rng.integers(0, args.classes, args.rows)
    outs = [np.zeros_like(hidden), np.zeros_like(weight)]

    def ours() -> object:
        return lf.linear_crossentropy.value_and_grad(labels, hidden, weight, out=(None, tuple(outs)), n_threads=2)

    lf.linear_crossentropy.value_and_grad(np.zeros(8, int), hidden[:8], weight[:64])  # loads the libraries
    np.matmul(weight[:8192].T, weight[:8192], out=outs[1][: args.features])  # and the buffers of BLAS
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = {"lossfast": [seconds(ours)]}
    extra = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    say(f"lossfast {times['lossfast'][0]:.2f} s, {extra:.0f} MiB")
    blocks = args.block or sorted({min(1024, args.rows), args.rows})
    for _ in range(args.repeats):
        for block in blocks:
            alone = partial(products, hidden, weight, np.zeros((block, args.classes), np.float32), outs)
            times.setdefault(f"products, {block} rows", []).append(seconds(alone))
            del alone
        times["lossfast"].append(seconds(ours))
        say(", ".join(f"{k} {x[-1]:.2f} s" for k, x in times.items()))
    best = {k: min(x) for k, x in times.items()}
    fastest = min(x for k, x in best.items() if k != "lossfast")
    shape = f"{args.rows} x {args.features} x {args.classes}"
    row = [shape, shown_time(fastest), shown_time(best["lossfast"]), digits(best["lossfast"] / fastest)]
    row += [f"{extra:.0f} MiB", f"{args.rows * args.classes * 4 / 2**20:.0f} MiB"]
    header = ["rows x features x classes", "three products", "lossfast", "ratio", "extra memory", "all logits"]
    text = table(header, [row])
    note = f"Logits at a time: {linear.LOGITS >> 20} MiB."
    publish(f"{heading(['numpy', 'threadpoolctl'])}\n\n{text}\n\n{note}", args.out, "linear_crossentropy")


if __name__ == "__main__":
    main()
