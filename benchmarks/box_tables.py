"""The tables of the losses of boxes, and of what scores detectors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import boxes
import measure
import numpy as np
from boxes import Case
from contenders import THREADS, Group, Worker
from racing import Settings, details, folded, interleave, low, race, summary

NAMES = ["giou", "diou", "ciou"]
EXTRAS = {"threads": "One thread and two", "pairs": "All pairs", "nms": "Non-maximum suppression"}
QUICK = [*NAMES, *EXTRAS]
PACKAGES = ("lossfast", "numpy", "torch", "jax")
SECONDS = 10.0  # for all contenders of a row together

PAIRS = [(1000, 1000), (100_000, 20), (20, 100_000)]
SMALL_PAIRS = [(100, 100)]
SUPPRESSED = [(1000, 20.0), (3000, 40.0), (3000, 600.0)]  # boxes, and how far they are spread
SMALL_SUPPRESSED = [(500, 20.0)]


def cases(names: list[str], settings: Settings) -> list[Case]:
    """The rows of every table."""
    return [Case(name, n) for name in names for n in ((10**4,) if settings.quick else (10**3, 10**5, 10**6))]


def groups(settings: Settings) -> list[Group | Worker]:
    """Who takes part."""
    local = Group(lossfast=functools.partial(boxes.lossfast, isas=settings.isas))
    return [local, Worker("box", "torch"), Worker("box", "jax")]


def tables(names: list[str], settings: Settings, groups: list[Group | Worker], complaints: list[str]) -> str:
    """A row for each loss and size."""
    races = [race(case, groups, settings, complaints) for case in cases(names, settings)]
    text = (
        "Mean loss of pairs of float32 boxes, rows of x1 y1 x2 y2, and its gradient by the predictions; peers compute\n"
        "torchvision's formulas.  The limit moves as many bytes as there are in both boxes and the gradient."
    )
    return "\n\n".join(["#### Value and gradient", text, summary(races, settings, "pairs"), folded(details(races))])


def makers(settings: Settings, groups: list[Group | Worker], complaints: list[str]) -> dict[str, Callable[[], str]]:
    """The smaller tables."""
    return {
        "threads": lambda: threads_table(settings),
        "pairs": lambda: pairs_table(settings),
        "nms": lambda: nms_table(settings),
    }


def threads_table(settings: Settings) -> str:
    """The first instruction set, with one thread and with two."""
    rows = []
    for case in cases(NAMES, settings):
        measure.say(f"threads, {case} ...")
        runners: dict[str, Any] = {}
        for n in (1, THREADS):
            [contender] = boxes.lossfast(case, settings.isas[:1], n)
            runners[str(n)] = contender.run
        times = interleave(runners, settings)
        one, two = low(times, "1"), low(times, str(THREADS))
        rows.append([*case.cells(), measure.shown_time(one), measure.shown_time(two), measure.factor(one, two)])
    return measure.table(["loss", "pairs", "one thread", "two threads", ""], rows, "lrrrr")


def _beside_torch(ours: Callable[[], Any], theirs: Callable[[], Any], settings: Settings) -> list[str]:
    """Both times and their ratio, once they agree."""
    np.testing.assert_allclose(ours(), np.asarray(theirs()), rtol=1e-4, atol=1e-6)
    timed = {"lossfast": measure.timed_call(ours), "torch": measure.timed_call(theirs)}
    times = interleave({k: lambda s, call=v: measure.sample(call, s) for k, v in timed.items()}, settings)
    mine, eager = low(times, "lossfast"), low(times, "torch")
    return [measure.shown_time(mine), measure.shown_time(eager), measure.factor(eager, mine)]


def pairs_table(settings: Settings) -> str:
    """`pairwise_iou` into a buffer of the caller."""
    import torch

    import lossfast as lf

    torch.set_num_threads(THREADS)
    rows = []
    for n, m in SMALL_PAIRS if settings.quick else PAIRS:
        measure.say(f"pairs, {n} x {m} ...")
        a, b, out = boxes.boxes(n, 1), boxes.boxes(m, 2), np.zeros((n, m), np.float32)
        first, second = torch.from_numpy(a), torch.from_numpy(b)
        ours = functools.partial(lf.pairwise_iou, a, b, out=out)
        theirs = functools.partial(boxes.torch_pairs, first, second)
        rows.append([f"{n:,} × {m:,}", *_beside_torch(ours, theirs, settings)])
    text = "`pairwise_iou` of float32 boxes with `out=`, beside torchvision's formula in torch.\n\n"
    return text + measure.table(["boxes", "lossfast", "torch eager", "factor"], rows, "lrrr")


def nms_table(settings: Settings) -> str:
    """`nms` of boxes that are spread more or less."""
    import torch

    import lossfast as lf

    torch.set_num_threads(THREADS)
    rows = []
    for n, spread in SMALL_SUPPRESSED if settings.quick else SUPPRESSED:
        measure.say(f"nms, {n} boxes ...")
        x, scores = boxes.boxes(n, 3, spread), np.random.default_rng(4).uniform(0, 1, n).astype(np.float32)
        tensors = torch.from_numpy(x), torch.from_numpy(scores)
        ours = functools.partial(lf.nms, x, scores, iou_threshold=0.5)
        theirs = functools.partial(boxes.torch_nms, *tensors, 0.5)
        rows.append([f"{n:,}", f"{len(ours()):,}", *_beside_torch(ours, theirs, settings)])
    text = "`nms` of float32 boxes at a threshold of 0.5, beside the same in torch: a kept box against all left.\n\n"
    return text + measure.table(["boxes", "kept", "lossfast", "torch eager", "factor"], rows, "rrrrr")
