"""Losses of each vector against all others of its batch: only a block of rows of similarities exists at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from lossfast import _arrays, _loss
from lossfast._arrays import Array
from lossfast._ctc import _sum
from lossfast._declarations import BatchEmbedding
from lossfast._embedding import EmbeddingCall
from lossfast._evaluate import Fault, weight_sum
from lossfast._loss import Loss

SIMILARITIES = 16 << 20  # bytes of similarities at a time


class BatchCall(EmbeddingCall):
    """An item is an anchor: a vector, against the others with its label and those without."""

    declaration: BatchEmbedding

    def __init__(self, loss: Loss, labels: Any, embeddings: Any, params: dict[str, Any], nthreads: int) -> None:
        d = loss.declaration
        assert isinstance(d, BatchEmbedding)
        self.declaration, self.nthreads = d, nthreads
        self.params = d.checked(params, loss._params) if params else dict(loss._params)
        given = _arrays.as_array("labels", labels)
        self.pred = vectors("embeddings", embeddings)
        self.items = self.pred.shape[:1]
        if given.dtype.kind not in "biu":
            raise TypeError(f"labels has dtype {given.dtype}, expected bool or integer")
        if given.shape != self.items:
            raise ValueError(f"labels has shape {given.shape}, expected {self.items}: one for each of the embeddings")
        self.reads = {"labels": given, "embeddings": self.pred}
        self.differentiable = {"embeddings": self.pred}
        self.single = self.pred.dtype != np.float64
        _, self.group, counts = np.unique(given, return_inverse=True, return_counts=True)
        self.groups, self.members = len(counts), np.argsort(self.group, kind="stable")
        self.size = counts[self.group]  # of the group of each anchor, which begins here among the members:
        self.begins = (np.cumsum(counts) - counts)[self.group]
        self.positives = self.size - 1.0

    def measure(self, weight: Array | None) -> tuple[float, int]:
        """The sum of what counts in a weighted mean, and the number of anchors."""
        if weight is not None:
            weight_sum(weight, self.nthreads)
        return _sum(self.counted(weight)), math.prod(self.items)

    def counted(self, weight: Array | None) -> Array:
        """Its number of positives times the weight of an anchor, or the weight of one that has any."""
        count = self.positives if self.declaration.by_pairs else (self.positives > 0).astype(np.float64)
        return count if weight is None else count * weight

    def run(
        self, weight: Array | None, scale: float, results: dict[str, Array], want_sum: bool, entries: Array | None
    ) -> float | None:
        """Block after block of anchors."""
        w = np.ones(self.items) if weight is None else np.broadcast_to(weight, self.items).astype(np.float64)
        with np.errstate(all="ignore"):
            values, gradients = self.computed(w * scale, bool(results.keys() & self.differentiable.keys()))
            terms = w * values
            for name in results.keys() & gradients.keys():
                results[name][...] = gradients[name]
        if "value" in results:
            results["value"][...] = terms
        if entries is not None:
            entries[...] = terms
        return _sum(terms) if want_sum else None

    def computed(self, weight: Array, wants_gradients: bool) -> tuple[Array, dict[str, Array]]:
        """The losses of the anchors, and the gradients of their weighted sum."""
        n, dtype = len(self.pred), self.value_dtype
        inverse = 1 / self.params["temperature"]
        x = Directions(self.pred, dtype)
        values, gradient = np.zeros(n), np.zeros_like(x.points) if wants_gradients else None
        for first, last, room in blocks(n, n, dtype):
            z = np.matmul(x.points[first:last] * dtype.type(inverse), x.points.T, out=room)
            itself = np.arange(last - first), np.arange(first, last)
            values[first:last], factor = self.declaration.rows(self, z, first, itself, wants_gradients)
            if gradient is not None:
                factor = factor * weight[first:last] * inverse
                spread(z, factor, first, (x.points, x.points), (gradient, gradient))
        return values, {} if gradient is None else {"embeddings": x.chained(gradient)}

    def pairs(self, first: int, last: int) -> tuple[Array, Array]:
        """The anchors of a block, counted from its first, with each of their positives."""
        size, begins = self.size[first:last], self.begins[first:last]
        row = np.repeat(np.arange(last - first), size)
        column = self.members[np.arange(len(row)) + np.repeat(begins - (np.cumsum(size) - size), size)]
        others = column != row + first
        return row[others], column[others]

    def moments(self, weight: Array | None) -> tuple[Any, ...]:
        """Of a stream: there is no other batch to compare with."""
        raise NotImplementedError(f"{self.declaration.name} is a loss of a whole batch, which no accumulator has")

    def fault(self, operand: str, index: int) -> Fault:
        """Nothing is left to check but weights."""
        raise NotImplementedError(operand)


class RetrievalCall(BatchCall):
    """An item is an anchor, against the positive of its own and, for negatives, those of the others."""

    def __init__(self, loss: Loss, anchors: Any, positives: Any, params: dict[str, Any], nthreads: int) -> None:
        d = loss.declaration
        assert isinstance(d, BatchEmbedding)
        self.declaration, self.nthreads = d, nthreads
        self.params = d.checked(params, loss._params) if params else dict(loss._params)
        given = {"anchors": anchors, "positives": positives}
        self.reads = self.differentiable = {name: vectors(name, x) for name, x in given.items()}
        a, self.pred = self.reads.values()
        if a.shape != self.pred.shape:
            raise ValueError(
                f"anchors has shape {a.shape} and positives {self.pred.shape}, expected equal shapes: the positive of "
                "an anchor stands in its place"
            )
        self.items = a.shape[:1]
        self.single = all(x.dtype != np.float64 for x in self.reads.values())

    def counted(self, weight: Array | None) -> Array:
        """The weight itself."""
        return np.ones(self.items) if weight is None else np.broadcast_to(weight, self.items)

    def computed(self, weight: Array, wants_gradients: bool) -> tuple[Array, dict[str, Array]]:
        """Rows of similarities to the positives and, if it is symmetric, to the anchors."""
        n, dtype, scale = len(self.pred), self.value_dtype, self.params["scale"]
        cosine, symmetric = self.params["similarity"] == "cosine", self.params["symmetric"]
        sides = [Directions(x, dtype) if cosine else Points(x, dtype) for x in self.reads.values()]
        points = [x.points for x in sides]
        values, share = np.zeros(n), 0.5 if symmetric else 1.0
        gradients = [np.zeros_like(x) for x in points] if wants_gradients else []
        for turned in (False, True) if symmetric else (False,):
            order = slice(None, None, -1 if turned else 1)
            left, right = points[order]
            for first, last, room in blocks(n, n, dtype):
                z = np.matmul(left[first:last] * dtype.type(scale), right.T, out=room)
                losses = crossentropy(z, np.arange(first, last), wants_gradients, self.nthreads)
                values[first:last] += share * losses
                if wants_gradients:
                    spread(z, share * scale * weight[first:last], first, (left, right), gradients[order])
        chained = [x.chained(g) for x, g in zip(sides, gradients, strict=False)]
        return values, dict(zip(self.reads, chained, strict=False))


class Points:
    """Vectors as they are."""

    def __init__(self, given: Array, dtype: np.dtype[Any]) -> None:
        self.points = np.ascontiguousarray(given, dtype)

    def chained(self, gradient: Array) -> Array:
        """The gradient by the vectors, from that by the points and in its place."""
        return gradient


class Directions(Points):
    """Vectors divided by their lengths; those of zeros stay."""

    def __init__(self, given: Array, dtype: np.dtype[Any]) -> None:
        super().__init__(given, dtype)
        norm = np.sqrt(np.einsum("ij,ij->i", self.points, self.points, dtype=np.float64))
        self.inverse = np.where(norm == 0, 0.0, 1 / norm)[:, None]
        self.points = (self.points * self.inverse).astype(dtype, copy=False)

    def chained(self, gradient: Array) -> Array:
        """The gradient by the vectors, from that by the points and in its place."""
        along = np.einsum("ij,ij->i", gradient, self.points, dtype=np.float64)[:, None]
        gradient -= (along * self.points).astype(gradient.dtype, copy=False)
        gradient *= self.inverse.astype(gradient.dtype)
        return gradient


def vectors(name: str, given: Any) -> Array:
    """A batch of at least two of them, or of none."""
    x = _arrays.prediction(given, name)
    if x.ndim != 2 or not x.shape[1]:
        raise ValueError(f"{name} has shape {x.shape}, expected (vectors, dimensions)")
    if len(x) == 1:
        raise ValueError(f"{name} has one vector, expected others in the batch to compare it with")
    return x


def blocks(rows: int, columns: int, dtype: np.dtype[Any]) -> Iterator[tuple[int, int, Array]]:
    """Ranges of rows, and room for each."""
    step = max(1, SIMILARITIES // (max(1, columns) * dtype.itemsize))
    room = np.empty((min(step, rows), columns), dtype)
    for first in range(0, rows, step):
        last = min(first + step, rows)
        yield first, last, room[: last - first]


def spread(z: Array, factor: Array, first: int, points: Any, gradients: Any) -> None:
    """Adds what the gradient z of a block of rows, times a factor for each of them, gives the points of both sides."""
    (left, right), (by_left, by_right) = points, gradients
    part, times = slice(first, first + len(z)), factor[:, None].astype(z.dtype)
    by_left[part] += times * (z @ right)
    by_right += z.T @ (times * left[part])


def crossentropy(z: Array, label: Array, wants_gradient: bool, nthreads: int) -> Array:
    """Of each row log sum exp(z) less the label's z; `z` becomes its gradient."""
    losses = np.empty(len(z))
    if _loss._core is not None:
        kernel = _loss._core.RowKernel("crossentropy")
        slopes = z if wants_gradient else None
        single = z.dtype != np.float64
        kernel.run(
            single, True, label, z, None, None, None, (), None, 0.0, 0.0, 1.0, losses, slopes, None, False, nthreads
        )
        return losses
    rows = np.arange(len(z))
    at, top = z[rows, label].astype(np.float64), z.max(axis=1, keepdims=True)
    z -= top
    np.exp(z, out=z)
    total = z.sum(axis=1, dtype=np.float64)
    losses[...] = np.log(total) + top[:, 0] - at
    rest = z[rows, label] - total
    z /= total[:, None].astype(z.dtype)
    z[rows, label] = rest / total
    return losses


def softmax(z: Array, beside: Array, wants_gradient: bool, nthreads: int) -> Array:
    """log sum exp(z) of each row, of which `beside` says an element above -inf; `z` becomes its softmax."""
    rows = np.arange(len(z)), beside
    at = z[rows].astype(np.float64)
    losses = crossentropy(z, beside, wants_gradient, nthreads)
    z[rows] += 1
    return losses + at


def pairs(call: BatchCall, z: Array, first: int, itself: Any, wants_gradient: bool) -> tuple[Array, Array]:
    """NT-Xent: of each anchor the sum over its positives; `z` becomes, up to a factor for each row, its gradient.

    With L = logsumexp of the negatives' z, a positive's loss is log(1 + exp(L - z)).
    """
    size = len(z)
    if call.groups < 2:
        z[...] = 0
        return np.zeros(size), np.zeros(size)
    pair = row, _ = call.pairs(first, first + size)
    positive = z[pair].astype(np.float64)
    z[pair] = z[itself] = -np.inf
    other = int(np.argmax(call.group != call.group[0]))  # with the first vector, one of them is a negative
    beside = np.where(call.group[first : first + size] == call.group[0], other, 0)
    level = softmax(z, beside, wants_gradient, call.nthreads)[row] - positive
    losses: Array = np.bincount(row, np.logaddexp(0, level), size)
    if not wants_gradient:
        return losses, losses
    share = 1 / (1 + np.exp(-level))  # of the negatives, in a positive's softmax
    factor: Array = np.bincount(row, share, size)
    z[pair] = np.where(factor[row] == 0, 0.0, -share / factor[row])
    return losses, factor


def others(call: BatchCall, z: Array, first: int, itself: Any, wants_gradient: bool) -> tuple[Array, Array]:
    """Supervised contrastive: of each anchor the mean over its positives; `z` becomes its gradient."""
    size = len(z)
    pair = row, _ = call.pairs(first, first + size)
    count = call.positives[first : first + size]
    share = 1 / np.maximum(count, 1)
    mean = np.bincount(row, z[pair], size) * share
    z[itself] = -np.inf
    total = softmax(z, (itself[1] == 0).astype(np.int64), wants_gradient, call.nthreads)
    z[pair] -= share[row]
    return np.where(count > 0, total - mean, 0.0), (count > 0).astype(np.float64)
