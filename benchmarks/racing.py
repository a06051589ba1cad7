"""The measuring core: contenders and limits take turns, and their times become rows of tables."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import bandwidth
import measure
import numpy as np
from bandwidth import Probe
from contenders import Case, Group, Worker

VALUE_TOLERANCE = 5e-5  # relative

Runner = Callable[[float], list[float]]  # samples for so many seconds


class Settings(NamedTuple):
    """How long, how large, on what."""

    isas: list[str]
    quick: bool
    seconds: float  # for all contenders of a case together
    turn: float  # for one contender in one round
    rounds: int  # at least

    def large(self, *sizes: int) -> list[int]:
        """Sizes, but one small one in a quick run."""
        return [10**5] if self.quick else list(sizes)


QUICK = Settings([], True, 0.3, 0.003, 2)
FULL = Settings([], False, 20.0, 0.05, 5)


def interleave(runners: dict[str, Runner], settings: Settings) -> dict[str, list[float]]:
    """Samples of each, taken in rounds in changing order; one that gives none has ended and is left out."""
    samples: dict[str, list[float]] = {name: [] for name in runners}
    order, shuffle = list(runners), random.Random(0)
    end = time.perf_counter() + settings.seconds
    done = 0
    while done < settings.rounds or time.perf_counter() < end:
        shuffle.shuffle(order)
        for name in list(order):
            got = runners[name](settings.turn)
            samples[name] += got
            if not got:
                order.remove(name)
        done += 1
    return {name: got for name, got in samples.items() if got}


class Race(NamedTuple):
    """All samples of a case."""

    case: Case
    samples: dict[str, list[float]]
    limit: str | None  # the name of the fastest pass over the bytes

    def low(self, name: str | None) -> float | None:
        """The smallest sample."""
        return min(self.samples[name]) if name in self.samples else None

    def best_peer(self) -> str | None:
        """The fastest that is not lossfast."""
        peers = [n for n in self.samples if not n.startswith(("lossfast", "limit"))]
        return min(peers, key=lambda n: min(self.samples[n]), default=None)


def limits(case: Case, complaints: list[str], outputs: tuple[str, ...] = ("reused",)) -> dict[str, Runner]:
    """Passes over the bytes of a case, by name; none without a compiler."""
    try:
        probe = Probe(case.moved(), case.n)
    except OSError as error:
        if str(error) not in complaints:
            complaints.append(str(error))
        return {}
    ways = bandwidth.passes(probe.moved, outputs)
    share = 2 / len(ways)
    return {f"limit, {w}": lambda s, w=w: measure.sample(probe.timed(w), s * share) for w in ways}


def fastest(samples: dict[str, list[float]]) -> str | None:
    """The pass over the bytes that took the least time."""
    names = [n for n in samples if n.startswith("limit")]
    return min(names, key=lambda n: min(samples[n]), default=None)


def complaint(result: list[Any], expected: tuple[float, np.ndarray], tolerance: float) -> str | None:
    """What is wrong with a contender's value and gradient."""
    value, gradient = result
    off = abs(value - expected[0]) / abs(expected[0])
    if not off <= VALUE_TOLERANCE:
        return f"its value is off by {off:.0e}"
    if gradient is not None:
        off = float(np.max(np.abs(np.asarray(gradient) - expected[1])) / np.max(np.abs(expected[1])))
        if not off <= tolerance:
            return f"its gradient is off by {off:.0e}"
    return None


def race(
    case: Case,
    groups: Iterable[Group | Worker],
    settings: Settings,
    complaints: list[str],
    more: Mapping[str, Runner] = {},
) -> Race:
    """Check every contender, then time them side by side, with some more that compute something else."""
    measure.say(f"{case} ...")
    expected = case.reference()
    runners: dict[str, Runner] = {}
    for group in groups:
        results, missing = group.prepare(case)
        complaints += [m for m in missing if m not in complaints]
        for name, result in results.items():
            wrong = complaint(result, expected, case.tolerance)
            if wrong:
                complaints.append(f"{name}, {case}: left out, {wrong}")
            else:
                runners[name] = functools.partial(group.run, name)
    if case.n >= 10**4:
        runners |= limits(case, complaints)
    samples = interleave(runners | dict(more), settings)
    return Race(case, samples, fastest(samples))


def below(r: Race, settings: Settings, bound: str | None = None) -> str:
    """Which goals were not reached; the limit is the pass over the bytes, or a contender of that name."""
    wanted = r.case.goal()
    if wanted is None:
        return ""
    limit, first = r.low(bound or r.limit), r.low(f"lossfast {settings.isas[0]}")
    missed = []
    for isa in settings.isas:
        mine, fraction = r.low(f"lossfast {isa}"), wanted.fractions[isa != "avx512"]
        if mine and limit and limit / mine < fraction:
            missed.append(f"{isa} {fraction:.2f} of the limit")
    for name, times in ((r.best_peer(), wanted.peer), ("torch eager", wanted.torch)):
        theirs = r.low(name)
        if times and theirs and first and theirs / first < times:
            missed.append(f"{times:g}× {name}")
    return "; ".join(missed) or "none"


def summary(races: list[Race], settings: Settings, what: str = "n", bound: str | None = None) -> str:
    """A row per case; the limit as in `below`."""
    limit_name = (bound or "limit").removeprefix("lossfast ")
    header = ["loss", what, limit_name]
    for isa in settings.isas:
        header += [f"lossfast {isa}", f"of {limit_name}"]
    header += ["best peer", "", "factor", "torch eager", "factor", "below its goal"]
    rows = []
    for r in races:
        limit, peer, eager = r.low(bound or r.limit), r.best_peer(), r.low("torch eager")
        first = r.low(f"lossfast {settings.isas[0]}")
        row = [*r.case.cells(), measure.shown_time(limit)]
        for isa in settings.isas:
            mine = r.low(f"lossfast {isa}")
            row += [measure.shown_time(mine), measure.ratio(limit, mine)]
        row += [peer or "–", measure.shown_time(r.low(peer)), measure.factor(r.low(peer), first)]
        rows.append([*row, measure.shown_time(eager), measure.factor(eager, first), below(r, settings, bound)])
    return measure.table(header, rows, "lrr" + "rr" * len(settings.isas) + "lrrrrl")


def details(races: list[Race]) -> str:
    """Every contender of every case, fastest first."""
    rows = []
    for r in races:
        limit = r.low(r.limit)
        for name, samples in sorted(r.samples.items(), key=lambda item: min(item[1])):
            if name.startswith("limit") and name != r.limit:
                continue
            low, median = map(measure.shown_time, measure.low_and_median(samples))
            rows.append([str(r.case), name, low, median, measure.factor(min(samples), limit), str(len(samples))])
    return measure.table(["case", "contender", "min", "median", "× limit", "samples"], rows, "llrrrr")


def folded(text: str) -> str:
    """The list of every contender, to be opened."""
    return f"<details><summary>Every contender</summary>\n\n{text}\n\n</details>"


def low(samples: dict[str, list[float]], name: str | None) -> float | None:
    """The smallest sample, if there are any."""
    return min(samples[name]) if name in samples else None  # type: ignore[index]
