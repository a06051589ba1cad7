"""The tables of the losses of distances between vectors."""

from __future__ import annotations

import functools
import tracemalloc
from collections.abc import Callable
from typing import Any

import embedding
import measure
from contenders import THREADS, Group, Worker
from embedding import Case
from racing import Settings, details, folded, interleave, low, race, summary

NAMES = ["cosine_similarity", "contrastive", "triplet", *embedding.BATCHES]
EXTRAS = {"threads": "One thread and two"}
QUICK = [*NAMES, *EXTRAS]
PACKAGES = ("lossfast", "numpy", "torch", "jax")
SECONDS = 10.0  # for all contenders of a row together

SHAPES = {
    "cosine_similarity": [(1000, 64), (100_000, 128), (100_000, 768)],
    "contrastive": [(1000, 64), (100_000, 128), (20_000, 768)],
    "triplet": [(1000, 64), (100_000, 128), (20_000, 768)],
    "ntxent": [(512, 128), (4096, 256), (16_384, 256)],
    "multiple_negatives_ranking": [(512, 128), (4096, 256)],
}
SMALL = [(1000, 64), (300, 768)]


def cases(names: list[str], settings: Settings) -> list[Case]:
    """The rows of every table."""
    return [Case(name, *shape) for name in names for shape in (SMALL if settings.quick else SHAPES[name])]


def groups(settings: Settings) -> list[Group | Worker]:
    """Who takes part."""
    local = Group(lossfast=functools.partial(embedding.lossfast, isas=settings.isas))
    return [local, Worker("embedding", "torch"), Worker("embedding", "jax")]


def tables(names: list[str], settings: Settings, groups: list[Group | Worker], complaints: list[str]) -> str:
    """A row for each loss and shape."""
    races = [
        race(case, groups, settings, complaints)
        for case in cases([n for n in names if n not in embedding.BATCHES], settings)
    ]
    text = (
        "Mean loss of float32 vectors (rows, dimensions) and its gradients by all operands, of the cosine by y_pred.\n"
        "The limit moves as many bytes as there are in the operands and gradients."
    )
    parts = (
        ["#### Value and gradients", text, summary(races, settings, "shape"), folded(details(races))] if races else []
    )
    batches = [name for name in names if name in embedding.BATCHES]
    if batches:
        parts += batch_tables(batches, settings, groups, complaints)
    return "\n\n".join(parts)


def batch_tables(
    names: list[str], settings: Settings, groups: list[Group | Worker], complaints: list[str]
) -> list[str]:
    """Of every vector against all others."""
    races = []
    for case in cases(names, settings):
        bound = {embedding.BOUND: embedding.products_alone(case).run}
        races.append(race(case, groups, settings, complaints, bound))
    text = (
        "NT-Xent of two views of each, with its gradient, and anchors with their positives, with both gradients;\n"
        "(vectors, dimensions).  Products alone are NumPy's for the similarities and for their gradients by both\n"
        "sides, in blocks, and nothing else."
    )
    rows = summary(races, settings, "shape", embedding.BOUND)
    return ["#### Batches", text, rows, folded(details(races)), memory_table(names, settings)]


def memory_table(names: list[str], settings: Settings) -> str:
    """What a call takes beside its operands and its result."""
    rows = []
    for case in cases(names, settings):
        [contender] = embedding.lossfast(case, settings.isas[:1])
        tracemalloc.start()
        contender.call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        rows.append([*case.cells(), f"{peak / 2**20:.0f} MiB", f"{case.rows**2 / 2**18:.0f} MiB"])
    return measure.table(["loss", "shape", "peak extra memory", "all similarities"], rows, "llrr")


def makers(settings: Settings, groups: list[Group | Worker], complaints: list[str]) -> dict[str, Callable[[], str]]:
    """The smaller tables."""
    return {"threads": lambda: threads_table(settings)}


def threads_table(settings: Settings) -> str:
    """The first instruction set, with one thread and with two."""
    rows = []
    for case in cases(NAMES[:3], settings):
        measure.say(f"threads, {case} ...")
        runners: dict[str, Any] = {}
        for n in (1, THREADS):
            [contender] = embedding.lossfast(case, settings.isas[:1], n)
            runners[str(n)] = contender.run
        times = interleave(runners, settings)
        one, two = low(times, "1"), low(times, str(THREADS))
        rows.append([*case.cells(), measure.shown_time(one), measure.shown_time(two), measure.factor(one, two)])
    return measure.table(["loss", "shape", "one thread", "two threads", ""], rows, "llrrr")
