"""The tables of the losses of masks."""

from __future__ import annotations

import dataclasses
import functools
import tracemalloc
from collections.abc import Callable
from typing import Any

import measure
import numpy as np
import region
from contenders import THREADS, Group, Worker
from racing import Settings, details, folded, interleave, low, race, summary
from region import IMAGES, VOLUMES, Case

NAMES = ["dice", "jaccard"]
EXTRAS = {"masks": "Kinds of targets", "memory": "Memory", "confusion": "Confusion counts", "threads": "Threads"}
QUICK = [*NAMES, *EXTRAS]
PACKAGES = ("lossfast", "numpy", "torch", "jax", "monai", "scikit-learn")
SECONDS = 12.0  # for all contenders of a row together

LOSSES = {"dice": ("sigmoid", "softmax"), "jaccard": ("sigmoid",)}


def cases(names: list[str], settings: Settings) -> list[Case]:
    """The rows of the first table."""
    images, volumes = ((2, 4, 64, 64), (2, 1, 32, 32, 32)) if settings.quick else (IMAGES, VOLUMES)
    found = [Case(name, activation, images) for name in names for activation in LOSSES[name]]
    return found + [Case("dice", "sigmoid", volumes)] * ("dice" in names)


def groups(settings: Settings) -> list[Group | Worker]:
    """Who takes part."""
    local = Group(lossfast=functools.partial(region.lossfast, isas=settings.isas))
    return [local, Worker("region", "torch"), Worker("region", "jax")]


def tables(names: list[str], settings: Settings, groups: list[Group | Worker], complaints: list[str]) -> str:
    """A row for each loss, activation and shape."""
    races = [race(case, groups, settings, complaints) for case in cases(names, settings)]
    text = (
        "Mean over samples and classes and its gradient by float32 logits, against float32 masks; (samples, classes,\n"
        "positions).  The limit reads logits and masks once and writes the gradient once."
    )
    return "\n\n".join(["#### Value and gradient", text, summary(races, settings, "shape"), folded(details(races))])


def makers(settings: Settings, groups: list[Group | Worker], complaints: list[str]) -> dict[str, Callable[[], str]]:
    """The smaller tables."""
    return {
        "masks": lambda: masks_table(settings),
        "memory": lambda: memory_table(settings),
        "confusion": lambda: confusion_table(settings, complaints),
        "threads": lambda: threads_table(settings),
    }


def masks_table(settings: Settings) -> str:
    """The same call against masks of floats, of bytes, and against labels."""
    rows = []
    for case in cases(["dice"], settings):
        measure.say(f"masks, {case} ...")
        kinds = region.MASKS if case.shape[1] > 1 else region.MASKS[:2]
        runners: dict[str, Any] = {}
        for kind in kinds:
            [contender] = region.lossfast(dataclasses.replace(case, masks=kind), settings.isas[:1])
            runners[kind] = contender.run
        times = interleave(runners, settings)
        rows.append([*case.cells(), *(measure.shown_time(low(times, kind)) for kind in region.MASKS),
                     measure.factor(low(times, "float32"), low(times, "uint8"))])  # fmt: skip
    header = ["loss", "shape", "float32 masks", "uint8 masks", "uint8 labels", "float32 / uint8"]
    return f"On the first instruction set.\n\n{measure.table(header, rows, 'llrrrr')}"


def memory_table(settings: Settings) -> str:
    """What a call takes beside its operands and its result, for volumes of several sizes."""
    rows = []
    for side in (32, 64) if settings.quick else (32, 64, 128, 192):
        row = [str(shape := (1, 3, side, side, side))]
        for activation in ("sigmoid", "softmax"):
            [contender] = region.lossfast(Case("dice", activation, shape, "uint8"), settings.isas[:1])
            contender.call()
            tracemalloc.start()
            contender.call()
            row.append(f"{tracemalloc.get_traced_memory()[1] / 2**10:.0f} KiB")
            tracemalloc.stop()
        rows.append([*row, f"{3 * side**3 * 4 / 2**20:.1f} MiB"])
    return measure.table(["volume", "sigmoid", "softmax", "the logits"], rows, "lrrr")


def confusion_table(settings: Settings, complaints: list[str]) -> str:
    """Label maps of several dtypes."""
    import lossfast as lf

    rows = []
    for classes, side in ((2, 512), (4, 512), (21, 512)):
        for dtype in ("uint8", "int64"):
            side = 64 if settings.quick else side
            measure.say(f"confusion, {classes} classes, {dtype} ...")
            rng = np.random.default_rng(0)
            t = rng.integers(0, classes, (8, side, side)).astype(dtype)
            p = np.where(rng.uniform(size=t.shape) < 0.8, t, rng.integers(0, classes, t.shape)).astype(dtype)
            peers = confusion_peers(t, p, classes, complaints)
            want = lf.confusion_matrix(t, p, classes=classes)
            for name, call in list(peers.items()):
                if not np.array_equal(call(), want):
                    complaints.append(f"{name}, confusion counts: left out, they differ")
                    del peers[name]
            mine = {"lossfast": lambda t=t, p=p, k=classes: lf.confusion_matrix(t, p, classes=k)}
            runners = {
                name: lambda seconds, call=call: measure.sample(measure.timed_call(call), seconds)
                for name, call in (mine | peers).items()
            }
            times = interleave(runners, settings)
            first = low(times, "lossfast")
            row = [str(classes), dtype, measure.shown_time(first), f"{t.size / (first or 1) / 1e6:.0f} M/s"]
            for name in ("numpy.bincount", "scikit-learn", "torchmetrics"):
                row += [measure.shown_time(low(times, name)), measure.factor(low(times, name), first)]
            rows.append(row)
    header = ["classes", "dtype", "lossfast", "positions"]
    for name in ("numpy.bincount", "scikit-learn", "torchmetrics"):
        header += [name, "factor"]
    text = f"Eight label maps of {side} x {side}, two threads."
    return f"{text}\n\n{measure.table(header, rows, 'rlrr' + 'rr' * 3)}"


def confusion_peers(t: np.ndarray, p: np.ndarray, classes: int, complaints: list[str]) -> dict[str, Callable[[], Any]]:
    """Those that are installed."""

    def bincount() -> np.ndarray:
        return np.bincount(t.reshape(-1) * np.int64(classes) + p.reshape(-1), minlength=classes**2).reshape(-1, classes)

    peers: dict[str, Callable[[], Any]] = {"numpy.bincount": bincount}
    try:
        from sklearn.metrics import confusion_matrix

        peers["scikit-learn"] = lambda: confusion_matrix(t.reshape(-1), p.reshape(-1), labels=range(classes))
    except ImportError as error:
        complaints += [f"scikit-learn: {error}"] * (f"scikit-learn: {error}" not in complaints)
    try:
        import torch
        from torchmetrics.functional.classification import multiclass_confusion_matrix

        torch.set_num_threads(THREADS)
        a, b = torch.from_numpy(t), torch.from_numpy(p)
        peers["torchmetrics"] = lambda: multiclass_confusion_matrix(b, a, classes).numpy()
    except ImportError as error:
        complaints += [f"torchmetrics: {error}"] * (f"torchmetrics: {error}" not in complaints)
    return peers


def threads_table(settings: Settings) -> str:
    """The first instruction set, with one thread and with two."""
    rows = []
    for case in cases(NAMES, settings):
        measure.say(f"threads, {case} ...")
        runners: dict[str, Any] = {}
        for n in (1, THREADS):
            [contender] = region.lossfast(case, settings.isas[:1], n)
            runners[str(n)] = contender.run
        times = interleave(runners, settings)
        one, two = low(times, "1"), low(times, str(THREADS))
        rows.append([*case.cells(), measure.shown_time(one), measure.shown_time(two), measure.factor(one, two)])
    return measure.table(["loss", "shape", "one thread", "two threads", ""], rows, "llrrr")
