"""Greedy decoding, beam search, forced alignment and edit distance, in frames or pairs per second.

python benchmarks/decoding.py [--quick] [--isa avx512,avx2] [--out benchmarks/README.md]

From float32 logits, softmax included, on two threads.  Peers: `keras.ops.ctc_decode` under `jax.jit` (greedy and beam
search, the latter on one sample: it is slow), for greedy decoding also torch's operations, and RapidFuzz for edit
distance.  There is no alignment in torch or Keras to compare with.  A peer that is missing is left out.
"""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import measure
import numpy as np
from contenders import THREADS
from peers import available
from racing import FULL, QUICK, Runner, Settings, interleave

SHAPES = [(150, 32, 29, 40), (500, 64, 1000, 50), (1600, 16, 29, 200), (100, 256, 37, 10), (1000, 1, 32, 120)]
SMALL = [(40, 3, 12, 8)]
WIDTHS = (10, 100)
BEAM_SAMPLES = 16  # at most, for the widths differ in time by a factor of ten
KERAS_FRAMES = 150  # of its beam search
PACKAGES = ["numpy", "torch", "keras", "jax", "rapidfuzz"]


class Task(NamedTuple):
    """What is timed on a batch, how many units it has, and of what."""

    name: str
    case: str
    units: int
    call: Callable[[], Any]
    peers: dict[str, tuple[Callable[[], Any], int]]  # each with how many units it has


def operands(frames: int, samples: int, classes: int, labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits: of noise, except that in most frames one class stands out, as in a model that was trained."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((samples, frames, classes), np.float32)
    sure = rng.random((samples, frames)) < 0.8
    z[sure, rng.integers(0, classes, (samples, frames))[sure]] += 8
    return rng.integers(1, classes, (samples, labels)), z


def optional(make: Callable[[], Any], missing: list[str]) -> Any:
    """A peer's call, or None where it is not installed."""
    try:
        return make()
    except ImportError as error:
        if str(error) not in missing:
            missing.append(str(error))
        return None


def keras_call(z: np.ndarray, **options: Any) -> Callable[[], Any]:
    """One graph."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    import keras

    lengths = np.full(len(z), z.shape[1])
    graph = jax.jit(lambda x: keras.ops.ctc_decode(x, lengths, mask_index=0, **options))
    x = jax.device_put(z)
    return lambda: jax.block_until_ready(graph(x))


def torch_call(z: np.ndarray) -> Callable[[], Any]:
    """Best classes and their log-probabilities, then repeats and blanks sample by sample."""
    import torch

    torch.set_num_threads(THREADS)
    x = torch.from_numpy(z)

    def decode() -> Any:
        p, best = torch.log_softmax(x, dim=-1).max(dim=-1)
        merged = [torch.unique_consecutive(path) for path in best]
        return [path[path != 0] for path in merged], p.sum(dim=1)

    return decode


def searches(shape: tuple[int, int, int, int], missing: list[str]) -> Iterator[Task]:
    """Of one batch."""
    import lossfast as lf

    y, z = operands(*shape)
    case, units = f"({', '.join(map(str, shape))})", z.shape[0] * z.shape[1]
    calls = {
        "torch": optional(lambda: torch_call(z), missing),
        "keras": optional(lambda: keras_call(z, strategy="greedy"), missing),
    }
    peers = {name: (call, units) for name, call in calls.items() if call}
    yield Task("greedy decoding", case, units, functools.partial(lf.ctc_greedy_decode, z), peers)
    some, one = z[:BEAM_SAMPLES], z[:1, :KERAS_FRAMES]
    for width in WIDTHS:
        call = functools.partial(lf.ctc_beam_search, some, beam_width=width)
        peers = {}
        if width == min(WIDTHS) and z.shape[2] < 100:
            options = {"strategy": "beam_search", "beam_width": width, "top_paths": 1}
            theirs = optional(functools.partial(keras_call, one, **options), missing)
            peers = {"keras": (theirs, one.shape[1])} if theirs else {}
        yield Task(f"beam search, width {width}", case, len(some) * z.shape[1], call, peers)
    yield Task("alignment", case, units, functools.partial(lf.ctc_align, y, z), {})


def rapidfuzz_call(pairs: list[tuple[str, str]], counts: bool) -> Callable[[], Any]:
    """One thread, pair by pair, as it is used."""
    from rapidfuzz.distance import Levenshtein

    if counts:
        return lambda: [Levenshtein.editops(r, h) for r, h in pairs]
    return lambda: [Levenshtein.distance(r, h) for r, h in pairs]


def transcripts(pairs: int, length: int, missing: list[str]) -> Iterator[Task]:
    """Strings with one error in ten characters."""
    import lossfast as lf

    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz  '"))
    r, h = [], []
    for n in rng.integers(length // 2, 3 * length // 2, pairs):
        said = rng.choice(letters, n)
        kept = said[rng.random(n) > 0.05]
        kept[rng.random(len(kept)) < 0.05] = "e"
        r.append("".join(said))
        h.append("".join(kept))
    for counts in (False, True):
        name = "edit distance, counts" if counts else "edit distance"
        theirs = optional(lambda counts=counts: rapidfuzz_call(list(zip(r, h, strict=True)), counts), missing)
        peers = {"rapidfuzz": (theirs, pairs)} if theirs else {}
        call = functools.partial(lf.edit_distance, r, h, counts=counts)
        yield Task(name, f"{pairs} pairs of {length} characters", pairs, call, peers)


def timed(call: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> Runner:
    """Samples of a call."""

    def run(seconds: float) -> list[float]:
        before()
        return measure.sample(measure.timed_call(call), seconds)

    return run


def rate(units: int, seconds: float | None) -> str:
    """So many a second."""
    if seconds is None:
        return "–"
    x = units / seconds
    return f"{x / 1e6:.3g} M" if x >= 1e6 else f"{x / 1e3:.3g} k" if x >= 1e3 else f"{x:.3g}"


def row(task: Task, settings: Settings) -> list[str]:
    """lossfast on each instruction set beside the peers."""
    import lossfast as lf

    measure.say(f"{task.name}, {task.case} ...")
    runners = {f"lossfast {isa}": timed(task.call, functools.partial(lf.set_isa, isa)) for isa in settings.isas}
    runners |= {name: timed(call) for name, (call, _) in task.peers.items()}
    samples = interleave(runners, settings)
    low = {name: min(x) for name, x in samples.items()}
    cells = [task.name, task.case, *(rate(task.units, low[f"lossfast {isa}"]) for isa in settings.isas)]
    theirs = {name: low[name] / units for name, (_, units) in task.peers.items()}
    if not theirs:
        return [*cells, "–", "–", "–"]
    best = min(theirs, key=lambda name: theirs[name])
    ours = low[f"lossfast {settings.isas[0]}"] / task.units
    return [*cells, best, rate(1, theirs[best]), measure.factor(theirs[best], ours)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small size, few rounds: a smoke test")
    parser.add_argument("--isa", default="avx512,avx2", help="instruction sets; the first is compared with peers")
    parser.add_argument("--out", metavar="FILE.md", help="where the table goes (between its markers)")
    parser.add_argument("--seconds", type=float, default=3.0, help="for all contenders of a row together")
    args = parser.parse_args()
    measure.use_processors(THREADS)
    settings = QUICK if args.quick else FULL._replace(seconds=args.seconds)
    settings = settings._replace(isas=available(args.isa.split(",")), rounds=2)
    import lossfast as lf

    lf.set_num_threads(THREADS)
    missing: list[str] = []
    rows = []
    for shape in SMALL if args.quick else SHAPES:
        rows += [row(task, settings) for task in searches(shape, missing)]
    for pairs, length in [(20, 30)] if args.quick else [(10_000, 50), (1000, 1000)]:
        rows += [row(task, settings) for task in transcripts(pairs, length, missing)]
    header = ["", "(frames, samples, classes, labels)", *(f"lossfast {isa}" for isa in settings.isas)]
    text = measure.table([*header, "best peer", "", "factor"], rows, "ll" + "r" * len(settings.isas) + "lrr")
    notes = ["Frames (of edit distance: pairs) per second, two threads, from float32 logits."]
    notes += [f"Left out: {reason}." for reason in missing]
    kind = "quick: a small size and few rounds, not for comparison" if args.quick else "full"
    heading = measure.heading(PACKAGES, [("run", f"{kind}, {THREADS} threads")])
    measure.publish("\n\n".join([heading, text, *notes]), args.out, "decoding")


if __name__ == "__main__":
    main()
