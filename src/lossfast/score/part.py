"""What is computed of one block, by any thread: exact sums, those of groups, the worst rows, the losses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lossfast._arrays import Array
from lossfast._loss import Loss
from lossfast.accumulator import Accumulator
from lossfast.score.classes import Layout
from lossfast.score.errors import BadData
from lossfast.score.readers import Block
from lossfast.score.report import Columns, WorstRow


class Part(NamedTuple):
    """What is known of one block."""

    block: Block
    total: Accumulator
    groups: dict[Any, Accumulator]
    worst: list[WorstRow]
    losses: Array | None
    kept: Array | None  # which rows are not ignored; None: all


@dataclass
class Job:
    """What is computed of each block, by any thread."""

    loss: Loss
    columns: Columns
    layout: Layout
    worst: int
    per_row: bool
    floor: float | None = None  # a block whose losses are all below it has none of the worst

    def part(self, block: Block) -> Part:
        names = self.columns
        operands = self.layout.operands(block)
        weight = block.numbers(names.weight) if names.weight is not None else None
        params = {k: block.numbers(v) for k, v in names.params.items()}
        total = self.loss.accumulator()
        if self.layout.may_be_lists and not block.rows:  # of lists that are not there the length is unknown
            return Part(block, total, {}, [], np.empty(0) if self.per_row else None, None)
        try:
            total.update(*operands, sample_weight=weight, n_threads=1, **params)
        except ValueError as error:
            raise self._explained(str(error), block) from error
        losses = None
        if self.per_row or (self.worst and self._may_have_worst(total)):
            losses = self.loss(*operands, reduction="none", n_threads=1, **self._unchecked(), **params)
        kept = self.layout.kept(operands)
        groups = {} if names.by is None else self._groups(block, names.by, operands, weight, params)
        worst = [] if losses is None else self._worst_rows(block, operands, weight, losses, kept)
        return Part(block, total, groups, worst, losses if self.per_row else None, kept)

    def _may_have_worst(self, total: Accumulator) -> bool:
        seen = total.result()
        return self.floor is None or seen.nonfinite > 0 or seen.max >= self.floor

    def _unchecked(self) -> dict[str, bool]:
        """All is known to be good, once an accumulator has seen it."""
        return {"check": False} if "check" in self.loss.declaration.options else {}

    def _worst_rows(
        self, block: Block, operands: Sequence[Array], weight: Array | None, losses: Array, kept: Array | None
    ) -> list[WorstRow]:
        rows = []
        if kept is None:
            positions = worst_positions(losses, self.worst)
        else:
            among = np.flatnonzero(kept)
            positions = among[worst_positions(losses[among], self.worst)]
        for i in positions.tolist():
            own = None if weight is None else weight[i].item()
            target, pred = self.layout.shown(operands, i)
            rows.append(WorstRow(block.path, block.start + i, target, pred, losses[i].item(), own))
        return rows

    def _groups(
        self,
        block: Block,
        by: str,
        operands: Sequence[Array],
        weight: Array | None,
        params: dict[str, Array],
    ) -> dict[Any, Accumulator]:
        column = block.columns[by]
        if isinstance(column, np.ndarray):
            from lossfast.score.numpy_files import factorised
        else:
            from lossfast.score.arrow_files import factorised
        codes, keys = factorised(column, block.path, by)
        if len(keys) <= 1 << 16:
            codes = codes.astype(np.uint16)  # NumPy sorts these by radix
        order = np.argsort(codes, kind="stable")
        bounds = np.concatenate(([0], np.cumsum(np.bincount(codes, minlength=len(keys))))).tolist()
        operands = [x[order] for x in operands]
        weight = None if weight is None else weight[order]
        params = {k: v[order] for k, v in params.items()}
        found: dict[Any, Accumulator] = {}
        for key, a, b in zip(keys, bounds[:-1], bounds[1:], strict=True):
            if a == b:
                continue
            if key not in found:
                found[key] = self.loss.accumulator()
            own = {k: v[a:b] for k, v in params.items()}
            w = None if weight is None else weight[a:b]
            some = [x[a:b] for x in operands]
            found[key].update(*some, sample_weight=w, n_threads=1, **self._unchecked(), **own)
        return found

    def _explained(self, message: str, block: Block) -> BadData:
        """The accumulator's sentence with file, row and column in place of argument and position."""
        found = re.match(r"(\w+)\[(\d+)(?:, (\d+))?\] (is .*)", message, re.DOTALL)
        if not found:
            return BadData(message, block.path)
        name, index, k, what = found.groups()
        column, what = self.layout.located(name, None if k is None else int(k), what)
        return BadData(what, block.path, block.start + int(index), column)


def worst_positions(losses: Array, k: int) -> Array:
    """Positions of the k largest losses: NaN first, then from the largest; ties in order of rows."""
    missing = np.isnan(losses)
    first = np.flatnonzero(missing)[:k]
    rest = np.flatnonzero(~missing)
    k = min(k - first.size, rest.size)
    if k <= 0:
        return first
    values = losses[rest]
    cut = np.partition(values, values.size - k)[values.size - k]
    above = rest[values > cut]
    chosen = np.concatenate((above, rest[values == cut][: k - above.size]))
    return np.concatenate((first, chosen[np.lexsort((chosen, -losses[chosen]))]))
