"""Losses of triplets that are found in a batch: the distances from a block of anchors to all others at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossfast._arrays import Array
from lossfast._declarations import Mining, Retrieval
from lossfast._evaluate import Call, weight_sum
from lossfast._in_batch import BatchCall, RetrievalCall
from lossfast._loss import Loss
from lossfast._sequences import flag
from lossfast._similarities import Directions, Points, Scratch, blocks

# Squares of differences are those of the vectors less twice their product, and have its rounding: less is no distance.
ROUNDING = 8 * np.finfo(np.float64).eps


def batch_call(loss: Loss, first: Any, second: Any, params: dict[str, Any], nthreads: int) -> Call:
    """The operands in the way of the loss."""
    kind = type(loss.declaration)
    call = MiningCall if kind is Mining else RetrievalCall if kind is Retrieval else BatchCall
    return call(loss, first, second, params, nthreads)


class Positions(Points):
    """Vectors from their mean, which changes no distance, but keeps more of its digits."""

    def __init__(self, given: Array, dtype: np.dtype[Any], scratch: Scratch) -> None:
        super().__init__(given, dtype, scratch)
        if len(self.points):
            self.points -= self.points.mean(axis=0)


class MiningCall(BatchCall):
    """An item is an anchor, with the triplets that it makes with its positives and negatives; all in float64."""

    def __init__(self, loss: Loss, labels: Any, embeddings: Any, params: dict[str, Any], nthreads: int) -> None:
        params = dict(params)
        self.full_output = flag("full_output", params.pop("full_output", False))
        super().__init__(loss, labels, embeddings, params, nthreads)
        self.group = self.unordered(self.begins)  # one number for those with a label
        self.active: Array  # how many triplets of each anchor have a loss above 0
        self.known: Array | None = None

    def measure(self, weight: Array | None) -> tuple[float, int]:
        """As always; what a mean is over may be known only from the losses."""
        if self.declaration.by_pairs:
            if weight is not None:
                weight_sum(weight, self.nthreads)
            with np.errstate(all="ignore"):
                scratch = Scratch()
                self.known, _ = self._passed(None, scratch)
                scratch.close()
        return super().measure(weight)

    def counted(self, weight: Array | None) -> Array:
        """Its number of triplets with a loss times the weight of an anchor, or the weight of one that has any."""
        some = (self.positives > 0) & (self.positives < len(self.pred) - 1)
        count = (self.active if self.declaration.by_pairs else some).astype(np.float64)
        return count if weight is None else count * weight

    def computed(self, weight: Array, results: dict[str, Array], scratch: Scratch) -> Array:
        """The losses of the anchors; `results` become the gradients of their weighted sum."""
        if self.known is not None and not results:
            return self.known
        values, gradient = self._passed(weight if results else None, scratch)
        for result in results.values():
            result[...] = gradient
        return values

    def _passed(self, weight: Array | None, scratch: Scratch) -> tuple[Array, Array | None]:
        """The losses; with weights also the gradient of their sum."""
        n, dtype = len(self.pred), np.dtype(np.float64)
        x = (Directions if self.params["distance"] == "cosine" else Positions)(self.pred, dtype, scratch)
        squares = np.einsum("ij,ij->i", x.points, x.points)
        own = np.zeros(n)  # what multiplies a vector itself in its gradient
        gradient = None if weight is None else np.zeros_like(x.points)
        values, self.active = np.zeros(n), np.zeros(n, np.int64)
        for first, last, room in blocks(n, n, dtype, scratch):
            d = self._distances(first, last, x.points, squares, room)
            alike = self.group[first:last, None] == self.group
            different = ~alike
            alike[np.arange(last - first), np.arange(first, last)] = False
            by = None if weight is None else np.zeros_like(d)
            found = self.declaration.rows(d, alike, different, self.params, by)
            values[first:last], self.active[first:last] = found
            if by is None or weight is None or gradient is None:
                continue
            if self.params["distance"] == "euclidean":
                np.divide(by, d, out=by, where=d != 0)
                by[d == 0] = 0
            elif self.params["distance"] == "squared":
                by *= 2
            factor = weight[first:last]
            own[first:last] += factor * by.sum(axis=1)
            own += factor @ by
            gradient[first:last] -= factor[:, None] * (by @ x.points)
            gradient -= by.T @ (factor[:, None] * x.points[first:last])
        if gradient is None:
            return values, None
        if self.params["distance"] != "cosine":
            gradient += own[:, None] * x.points
        x.chain(gradient)
        return values, gradient

    def _distances(self, first: int, last: int, points: Array, squares: Array, d: Array) -> Array:
        np.matmul(points[first:last], points.T, out=d)
        if self.params["distance"] == "cosine":
            return np.subtract(1, np.clip(d, -1, 1, out=d), out=d)
        both = squares[first:last, None] + squares
        d *= -2
        d += both
        both *= ROUNDING
        d[d <= both] = 0
        return np.sqrt(d, out=d) if self.params["distance"] == "euclidean" else d

    def more(self) -> tuple[Any, ...]:
        """How many triplets of each anchor have a loss, if that is asked for."""
        return (self.active,) if self.full_output else ()


def hardest(d: Array, alike: Array, different: Array, params: Any, by: Array | None) -> tuple[Array, Array]:
    """Batch-hard: of each anchor the farthest positive and the nearest negative, the first of several."""
    row = np.arange(len(d))
    far = np.where(alike, d, -np.inf).argmax(axis=1)
    near = np.where(different, d, np.inf).argmin(axis=1)
    some = alike[row, far] & different[row, near]
    x = d[row, far] - d[row, near] + (0.0 if params["soft_margin"] else params["margin"])
    if params["soft_margin"]:
        values, slope = np.logaddexp(0, x), 1 / (1 + np.exp(-x))
    else:
        values, slope = np.where(x <= 0, 0.0, x), np.where(np.isnan(x), x, x > 0)
    if by is not None:
        by[row, far] = np.where(some, slope, 0.0)
        by[row, near] -= np.where(some, slope, 0.0)
    return np.where(some, values, 0.0), some & ~(values <= 0)


def every(d: Array, alike: Array, different: Array, params: Any, by: Array | None) -> tuple[Array, Array]:
    """Batch-all: of each anchor the sum over all its triplets.

    With negatives in order of distance, those that lose against a positive are the first ones: their number, and the
    sum of their distances, tell the loss.
    """
    values, counts = np.zeros(len(d)), np.zeros(len(d), np.int64)
    nearest = np.sort(np.where(different, d, np.inf), axis=1)
    for i, negatives in enumerate(np.count_nonzero(different, axis=1)):
        limits = d[i, alike[i]] + params["margin"]
        if not len(limits) or not negatives:
            continue
        if np.isnan(d[i].sum()):
            values[i], counts[i] = np.nan, len(limits) * negatives
            if by is not None:
                by[i] = np.nan
            continue
        distances = nearest[i, :negatives]
        lost = np.searchsorted(distances, limits)
        before = np.concatenate([[0.0], np.cumsum(distances)])
        values[i], counts[i] = (lost * limits - before[lost]).sum(), lost.sum()
        if by is not None:
            by[i, alike[i]] = lost
            against = np.searchsorted(np.sort(limits), d[i, different[i]], side="right")
            by[i, different[i]] = against - len(limits)
    return values, counts
