"""The tables of CTC."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import ctc
import measure
import numpy as np
from contenders import THREADS, Group, Worker
from ctc import Case
from racing import Settings, details, folded, interleave, low, race, summary

NAMES = ["ctc"]
EXTRAS = {"errors": "Errors", "threads": "One thread and two"}
QUICK = [*NAMES, *EXTRAS]
PACKAGES = ("lossfast", "numpy", "torch", "jax", "optax")
SECONDS = 10.0  # for all contenders of a row together

SHAPES = [
    (150, 32, 29, 40),
    (500, 64, 1000, 50),
    (1600, 16, 29, 200),
    (100, 256, 37, 10),
    (1000, 1, 32, 120),
    (10000, 2, 32, 500),
]
SMALL = [(30, 4, 29, 8), (200, 1, 32, 40)]
BOUND = "lossfast softmax alone"


def shapes(settings: Settings) -> list[Case]:
    """The rows of every table."""
    return [Case(*shape) for shape in (SMALL if settings.quick else SHAPES)]


def groups(settings: Settings) -> list[Group | Worker]:
    """Who takes part."""
    local = Group(lossfast=functools.partial(ctc.lossfast, isas=settings.isas))
    return [local, Worker("ctc", "torch"), Worker("ctc", "jax")]


def tables(names: list[str], settings: Settings, groups: list[Group | Worker], complaints: list[str]) -> str:
    """The rows of the loss."""
    races = []
    for case in shapes(settings):
        bound = {BOUND: ctc.softmax_alone(case, settings.isas).run}
        races.append(race(case, groups, settings, complaints, bound))
    text = (
        "Mean loss and its gradient by float32 logits, the softmax included; (frames, samples, classes, labels).\n"
        "Softmax alone is lossfast's pass for the cross-entropy of all frames and its gradient on the first\n"
        "instruction set, which no loss of a softmax can do without."
    )
    rows = summary(races, settings, "shape", BOUND)
    return "\n\n".join(["#### Value and gradient", text, rows, folded(details(races))])


def makers(settings: Settings, groups: list[Group | Worker], complaints: list[str]) -> dict[str, Callable[[], str]]:
    """The smaller tables."""
    return {
        "errors": lambda: errors_table(settings, groups, complaints),
        "threads": lambda: threads_table(settings),
    }


def errors_table(settings: Settings, groups: list[Group | Worker], complaints: list[str]) -> str:
    """Of every contender, against float64."""
    rows = []
    for case in shapes(settings):
        measure.say(f"errors of {case} ...")
        value, slopes = case.reference()
        for group in groups:
            results, missing = group.prepare(case)
            complaints += [m for m in missing if m not in complaints]
            for name, (got, gradient) in results.items():
                off = float(np.max(np.abs(np.asarray(gradient) - slopes))) * case.samples
                rows.append([str(case.shape), name, f"{abs(got / value - 1):.0e}", f"{off:.0e}"])
    text = (
        "Against the specification in float64 on the same logits: the mean loss, relatively; the gradient of a\n"
        f"sample, the largest difference among {2 * ctc.PROBED} elements."
    )
    return f"{text}\n\n{measure.table(['shape', 'contender', 'loss', 'gradient'], rows, 'llrr')}"


def threads_table(settings: Settings) -> str:
    """The first instruction set, with one thread and with two."""
    rows = []
    for case in shapes(settings):
        measure.say(f"threads, {case} ...")
        runners: dict[str, Any] = {}
        for n in (1, THREADS):
            [contender] = ctc.lossfast(case, settings.isas[:1], n)
            runners[str(n)] = contender.run
        times = interleave(runners, settings)
        one, two = low(times, "1"), low(times, str(THREADS))
        rows.append([str(case.shape), measure.shown_time(one), measure.shown_time(two), measure.factor(one, two)])
    return measure.table(["shape", "one thread", "two threads", ""], rows, "lrrr")
