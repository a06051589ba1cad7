"""The tables of the losses of classes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import classes
import measure
import numpy as np
from classes import CROSSENTROPY, DIVERGENCE, Case
from contenders import THREADS, Group, Worker
from racing import Race, Settings, details, folded, interleave, low, race, summary

NAMES = [CROSSENTROPY, DIVERGENCE]
EXTRAS = {
    "never_slower": "From two classes to a vocabulary",
    "labels": "The check of the labels",
    "memory": "Memory",
}
QUICK = [*NAMES, *EXTRAS]
PACKAGES = ("lossfast", "numpy", "torch", "jax", "optax", "scikit-learn")
SECONDS = 5.0  # for all contenders of a row together

SHAPES = [(65536, 10), (8192, 1000), (1024, 32000), (256, 128256)]
CLASSES = [2, 3, 5, 10, 16, 32, 50, 100, 257, 1000, 5000, 32000, 128256]
ELEMENTS, FEWEST = 4 * 10**6, 32  # of a row of that table: about so many elements, at least so many rows
CHECK_SHARE = 0.03  # the goal for the check of the labels


def groups(settings: Settings) -> list[Group | Worker]:
    """Who takes part."""
    local = Group(lossfast=functools.partial(classes.lossfast, isas=settings.isas), sklearn=classes.sklearn)
    return [local, Worker("class", "torch"), Worker("class", "jax")]


def tables(names: list[str], settings: Settings, groups: list[Group | Worker], complaints: list[str]) -> str:
    """The rows of the losses."""
    shapes = [(1024, 10), (64, 1000)] if settings.quick else SHAPES
    cases = []
    if CROSSENTROPY in names:
        cases += [Case(CROSSENTROPY, *shape, s) for s in (0.0, 0.1) for shape in shapes]
    if DIVERGENCE in names:
        cases.append(Case(DIVERGENCE, *((100, 100) if settings.quick else (1000, 1000))))
    races = [race(case, groups, settings, complaints) for case in cases]
    rows = summary(races, settings, "shape")
    return "\n\n".join(["#### Value and gradient", rows, folded(details(races))])


def makers(settings: Settings, groups: list[Group | Worker], complaints: list[str]) -> dict[str, Callable[[], str]]:
    """The smaller tables."""
    return {
        "never_slower": lambda: never_slower_table(settings, groups, complaints),
        "labels": lambda: labels_table(settings),
        "memory": lambda: memory_table(settings),
    }


def never_slower_table(settings: Settings, groups: list[Group | Worker], complaints: list[str]) -> str:
    """Every number of classes against every peer."""
    elements, sizes = (20_000, [2, 10, 100]) if settings.quick else (ELEMENTS, CLASSES)
    races = []
    for k in sizes:
        case = Case(CROSSENTROPY, max(FEWEST, round(elements / k)), k)
        races.append(race(case, groups, settings, complaints))
    mine = [f"lossfast {isa}" for isa in settings.isas]
    peers = ("torch eager", "torch.compile", "jax.jit", "sklearn._loss")
    rows = []
    for r in races:
        row = [str(r.case.classes), str(r.case.rows), measure.shown_time(r.low(r.limit))]  # type: ignore[attr-defined]
        for name in mine:
            row += [measure.shown_time(r.low(name)), measure.ratio(r.low(r.limit), r.low(name))]
        row += [measure.factor(r.low(peer), r.low(mine[0])) for peer in peers]
        rows.append([*row, faster(r, mine)])
    header = ["classes", "rows", "limit"]
    for name in mine:
        header += [name, "of limit"]
    header += [*peers, "faster than lossfast"]
    text = (
        f"{CROSSENTROPY} from logits and its gradient, about {elements / 1e6:g} million elements.\n"
        f"The columns of the peers are factors over {mine[0]}; the last one names who beats which instruction set,\n"
        "by their best times."
    )
    align = "rrr" + "rr" * len(mine) + "r" * len(peers) + "l"
    return "\n\n".join([text, measure.table(header, rows, align), folded(details(races))])


def faster(r: Race, mine: list[str]) -> str:
    """The peers that beat lossfast."""
    found = []
    for name in mine:
        own = r.low(name)
        for peer in r.samples:
            theirs = r.low(peer)
            if not peer.startswith(("lossfast", "limit")) and own and theirs and theirs < own:
                found.append(f"{peer} ({name.removeprefix('lossfast ')})")
    return ", ".join(found) or "none"


def labels_table(settings: Settings) -> str:
    """The two passes of a call, timed apart."""
    from lossfast import _core

    rows = []
    kernel: Any = _core.RowKernel("crossentropy")
    for shape in [(1024, 10)] if settings.quick else SHAPES[:2]:
        case = Case(CROSSENTROPY, *shape)
        measure.say(f"labels: {case} ...")
        target, pred = classes.data(case)
        gradient = np.zeros_like(pred)
        operands = (True, True, target, pred, None, None, None)
        options = ((), None, 0.0, 0.0, 1 / case.rows, None, gradient, None, True, THREADS)
        passes = Group(lossfast=functools.partial(classes.lossfast, isas=settings.isas[:1]))
        results, _ = passes.prepare(case)
        [name] = results
        calls = {
            "check": functools.partial(kernel.check, *operands, None, THREADS),
            "run": functools.partial(kernel.run, *operands, *options),
        }
        runners = {k: functools.partial(measure.sample, measure.timed_call(call)) for k, call in calls.items()}
        times = interleave(runners | {"call": functools.partial(passes.run, name)}, settings)
        check, run, call = (low(times, k) for k in ("check", "run", "call"))
        share = check / call if check and call else 1.0
        missed = "none" if share <= CHECK_SHARE else f"{CHECK_SHARE:.0%}"
        row = [case.cells()[1], *map(measure.shown_time, (check, run, call)), f"{share:.1%}", missed]
        rows.append(row)
    header = ["shape", "check of the labels", "value + gradient", "the call", "check / call", "above its goal"]
    text = (
        f"{CROSSENTROPY} from logits on the first instruction set: all labels are checked before anything is\n"
        "written.  Both passes of the kernel are timed apart, and the call that makes them."
    )
    return f"{text}\n\n{measure.table(header, rows, 'lrrrrl')}"


MEMORY = """
what, rows, classes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
n = rows
rng = np.random.default_rng(0)
target, pred = rng.integers(0, classes, rows), rng.standard_normal((rows, classes), np.float32)
gradient = np.zeros_like(pred) if what.endswith("out=(None, g)") else None

if what == "torch eager":
    import torch
    from torch.nn.functional import cross_entropy
    torch.set_num_threads(2)
    t, p = torch.from_numpy(target), torch.from_numpy(pred)
    def call(k):
        leaf = p[:k].requires_grad_()
        return torch.autograd.grad(cross_entropy(leaf, t[:k]), leaf)
else:
    import lossfast as lf
    lf.set_num_threads(2)
    loss = lf.SparseCategoricalCrossentropy(from_logits=True)
    def call(k):
        if what == "lossfast":
            return loss.value_and_grad(target[:k], pred[:k])
        return loss.value_and_grad(target[:k], pred[:k], out=(None, (pred if gradient is None else gradient)[:k]))
"""


def memory_table(settings: Settings) -> str:
    """Peak resident memory beyond what was there before the call."""
    shape = (256, 1000) if settings.quick else (1024, 32000)
    array = shape[0] * shape[1] * 4 / 2**20
    ways = ("lossfast with out=(None, logits)", "lossfast with out=(None, g)", "lossfast", "torch eager")
    text = f"{CROSSENTROPY}, value + gradient of {shape} float32 logits; an array has {array:.1f} MiB."
    return f"{text}  The goal with\nan output is below 1 MB.\n\n{measure.memory_table(MEMORY, ways, shape)}"
