"""The loop: one thread reads blocks while others compute, and their exact partial sums are merged."""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import replace
from typing import Any

from lossfast._errors import did_you_mean
from lossfast._loss import Loss
from lossfast.accumulator import Accumulator
from lossfast.catalogue import get
from lossfast.runtime import get_num_threads
from lossfast.score.classes import Layout
from lossfast.score.errors import BadCall
from lossfast.score.part import Job, Part
from lossfast.score.readers import Block, find_files, load_readers, open_source
from lossfast.score.report import Columns, Group, Report, WorstRow
from lossfast.score.vectors import FAMILIES, VectorLayout, operands_of
from lossfast.score.writer import Writer

MOST_THREADS = 8  # by default: more only wait for the reader, and each holds a block

Progress = Callable[[int, float], None]


def score_files(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    loss: str | Mapping[str, Any] | type[Loss] | Loss,
    target: str | None = None,
    pred: str | None = None,
    weight: str | None = None,
    *,
    operands: Mapping[str, str] | None = None,
    param_columns: Mapping[str, str] | None = None,
    by: str | None = None,
    worst: int = 0,
    out: str | os.PathLike[str] | None = None,
    keys: Sequence[str] | None = None,
    force: bool = False,
    threads: int | None = None,
    batch_rows: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """A loss over all rows of files, in memory that does not grow with them.

    The sums are exact: they have the same bits for any batches, files, order of files and number of threads.

    Parameters
    ----------
    paths : path or sequence of paths
        Parquet, Arrow IPC, CSV, .npy and .npz files, and folders of such.
    loss : str, dict, Loss or type
        As `lossfast.get` takes it.
    target, pred, weight : str
        The columns of y_true, y_pred and sample_weight.  For losses of classes the predictions, and soft targets, are
        a pattern with shell wildcards such as "p_*", whose columns are the classes in natural order (p_2 before
        p_10), or one column of lists or a matrix.
    operands : mapping, optional
        The columns of the arguments of other losses, such as ``{"anchor": "a", "positive": "p", "negative": "n"}``:
        of lists, matrices or patterns, as for predictions of classes.
    param_columns : mapping, optional
        Columns for parameters of the loss that may be arrays, such as ``{"var": "sigma2"}``.
    by : str, optional
        A column of integers, strings, bools or dates: a summary for each of its values.
    worst : int
        How many of the rows with the largest losses to report; NaN comes first, ties go by file and row.
    out : path, optional
        Where the loss of each row is written: .parquet, .arrow, .feather, .ipc, .csv or .npy (losses alone).
    keys : sequence of str, optional
        The columns written beside it; by default all that are not target, prediction, weight or parameter.
    force : bool
        Whether `out` may replace a file, which is never one of the inputs.
    threads : int, optional
        How many threads compute, by default what `lossfast.get_num_threads` says, at most 8.
    batch_rows : int, optional
        The largest number of rows of a block, by default 2**19, or 2**20 by the number of classes; about `threads` + 2
        blocks are held at a time.
    progress : callable, optional
        Called with the rows so far and the fraction of the files (between 0 and 1).

    Returns
    -------
    Report

    Raises
    ------
    BadData
        For files that are damaged or hold something else, with file, row and column; it is a ValueError.
    BadCall
        For an unknown loss or column and for options that make no sense; it is a ValueError.
    OSError
        For files that cannot be read or written.
    """
    if threads is None:
        threads = min(get_num_threads(), MOST_THREADS)
    for name, value, least in (("threads", threads, 1), ("batch_rows", batch_rows, 1), ("worst", worst, 0)):
        if value is not None and value < least:
            raise BadCall(f"{name} is {value}, expected at least {least}")
    found = _loss(loss, param_columns or {})
    layout = _layout(found, {"y_true": target, "y_pred": pred, **(operands or {})}, weight, by, param_columns)
    columns = layout.columns
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    files = find_files([os.fspath(p) for p in paths])
    if keys is not None and out is None:
        raise BadCall("keys are written beside the losses, and there is no output")
    load_readers(files)
    writer = Writer(os.fspath(out), files, keys, force) if out is not None else None

    began = time.perf_counter()  # after imports, which would make small files look slow
    job = Job(found, columns, layout, worst, writer is not None)
    merged = _Merged(found, dict.fromkeys(files, 0), worst)
    size = max(1, sum(map(os.path.getsize, files)))
    position = 0.0

    def blocks() -> Generator[Block, None, None]:
        nonlocal position
        finished = 0
        for path in files:
            source, own = open_source(path, threads), os.path.getsize(path)
            others = [by] if by is not None else []
            try:
                layout.settle(source)
                if writer is not None:
                    others += writer.choose_keys(path, source.names, layout.used())
            except BaseException:
                source.close()
                raise
            for block in source.blocks(layout.numbers(), others, batch_rows or layout.batch_rows()):
                if source.rows:
                    position = (finished + own * (block.start + block.rows) / source.rows) / size
                yield block
            finished += own
            position = finished / size

    with (
        writer or nullcontext(),
        closing(blocks()) as stream,
        ThreadPoolExecutor(threads, "lossfast-score") as pool,
        closing(_in_order(pool, job, stream, threads + 1)) as parts,
    ):
        for part in parts:
            merged.take(part)
            job.floor = merged.floor()
            if writer is not None and part.losses is not None:
                writer.write(part.block, part.losses, part.kept)
            if progress is not None:
                progress(merged.total.count, position)
        if writer is not None:
            writer.commit()
    return merged.report(layout, os.fspath(out) if out is not None else None, time.perf_counter() - began)


def _layout(
    loss: Loss,
    operands: Mapping[str, str | None],
    weight: str | None,
    by: str | None,
    param_columns: Mapping[str, str] | None,
) -> Layout:
    """The columns of a loss's arguments, in the way of its family."""
    d = loss.declaration
    if d.family not in ("pointwise", "classwise", *FAMILIES):
        raise BadCall(f"{loss.name} takes {' and '.join(d.arguments[:2])}, which files of rows do not hold")
    found = operands_of(loss, dict(operands))
    columns = Columns(found.get("y_true", ""), found.get("y_pred", ""), weight, by, dict(param_columns or {}))
    return VectorLayout(loss, replace(columns, operands=found)) if d.family in FAMILIES else Layout(loss, columns)


def _loss(loss: Any, param_columns: Mapping[str, str]) -> Loss:
    try:
        found = get(loss)
    except (ValueError, TypeError) as error:
        raise BadCall(str(error)) from error
    params = found.declaration.params
    for name in param_columns:
        if name not in params:
            raise BadCall(f"{found.name} has no parameter {name!r}" + did_you_mean(name, params))
        if not params[name].array:
            raise BadCall(f"parameter {name} of {found.name} is one value for all rows, not a column")
    return found


def _in_order(pool: ThreadPoolExecutor, job: Job, blocks: Iterator[Block], ahead: int) -> Generator[Part, None, None]:
    """What is computed of blocks, in order, a few ahead; an error is that of the first block with one."""
    pending: deque[Future[Part]] = deque()
    failure: Exception | None = None
    try:
        while True:
            try:
                block = next(blocks)
            except StopIteration:
                break
            except Exception as error:
                failure = error
                break
            pending.append(pool.submit(job.part, block))
            del block  # its memory is free as soon as it is done with
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
        if failure is not None:
            raise failure
    finally:
        for future in pending:
            future.cancel()


class _Merged:
    """All that is known so far."""

    def __init__(self, loss: Loss, rows: dict[str, int], worst: int) -> None:
        self.total = loss.accumulator()
        self.rows, self.k = rows, worst
        self.worst: list[WorstRow] = []
        self.groups: dict[Any, Accumulator] = {}

    def take(self, part: Part) -> None:
        self.total.merge(part.total)
        self.rows[part.block.path] += part.block.rows
        if part.worst:
            self.worst = sorted((*self.worst, *part.worst), key=WorstRow.order)[: self.k]
        for key, group in part.groups.items():
            if key in self.groups:
                self.groups[key].merge(group)
            else:
                self.groups[key] = group

    def floor(self) -> float | None:
        if not self.k or len(self.worst) < self.k:
            return None
        last = self.worst[-1].loss
        return math.inf if math.isnan(last) else last

    def report(self, layout: Layout, out: str | None, seconds: float) -> Report:
        summary = self.total.result()
        groups = [Group(key, self.groups[key].result()) for key in sorted(self.groups, key=_group_order)]
        classes = layout.summary(sum(self.rows.values()) - summary.count)
        loss, columns = self.total.loss, layout.columns
        found = (loss, columns, self.rows, summary, groups, self.worst, out, seconds, classes)
        return Report(*found, layout.dimensions())


def _group_order(key: Any) -> tuple[Any, ...]:
    return (key is None, isinstance(key, str), key)
