"""Losses of each vector against all others of its batch: only a block of rows of similarities exists at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lossfast import _arrays
from lossfast._arrays import Array
from lossfast._ctc import _sum
from lossfast._declarations import BatchEmbedding
from lossfast._embedding import EmbeddingCall
from lossfast._evaluate import Fault, weight_sum
from lossfast._loss import Loss

SIMILARITIES = 16 << 20  # bytes of similarities at a time


class BatchCall(EmbeddingCall):
    """An item is an anchor: a vector, against the others with its label and those without."""

    def __init__(self, loss: Loss, labels: Any, embeddings: Any, params: dict[str, Any], nthreads: int) -> None:
        d = loss.declaration
        assert isinstance(d, BatchEmbedding)
        self.declaration, self.nthreads = d, nthreads
        self.rows_of, self.by_pairs = d.rows, d.by_pairs
        self.params = d.checked(params, loss._params) if params else dict(loss._params)
        given = _arrays.as_array("labels", labels)
        self.pred = _arrays.prediction(embeddings, "embeddings")
        if self.pred.ndim != 2 or not self.pred.shape[1]:
            raise ValueError(f"embeddings has shape {self.pred.shape}, expected (vectors, dimensions)")
        self.items = self.pred.shape[:1]
        if given.dtype.kind not in "biu":
            raise TypeError(f"labels has dtype {given.dtype}, expected bool or integer")
        if given.shape != self.items:
            raise ValueError(f"labels has shape {given.shape}, expected {self.items}: one for each of the embeddings")
        if len(self.pred) == 1:
            raise ValueError("embeddings has one vector, expected others in the batch to compare it with")
        self.reads = {"labels": given, "embeddings": self.pred}
        self.differentiable = {"embeddings": self.pred}
        self.single = self.pred.dtype != np.float64
        _, self.group, counts = np.unique(given, return_inverse=True, return_counts=True)
        self.positives = counts[self.group] - 1.0

    def measure(self, weight: Array | None) -> tuple[float, int]:
        """The sum of what counts in a weighted mean, and the number of anchors."""
        if weight is not None:
            weight_sum(weight, self.nthreads)
        return _sum(self.counted(weight)), math.prod(self.items)

    def counted(self, weight: Array | None) -> Array:
        """Its number of positives times the weight of an anchor, or the weight of one that has any."""
        count = self.positives if self.by_pairs else (self.positives > 0).astype(np.float64)
        return count if weight is None else count * weight

    def run(
        self, weight: Array | None, scale: float, results: dict[str, Array], want_sum: bool, entries: Array | None
    ) -> float | None:
        """Block after block of anchors."""
        n, dtype = len(self.pred), self.value_dtype
        w = np.ones(n) if weight is None else np.broadcast_to(weight, self.items).astype(np.float64)
        x = np.ascontiguousarray(self.pred, dtype)
        with np.errstate(all="ignore"):
            norm = np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))
            inverse = np.where(norm == 0, 0.0, 1 / norm)
            unit = (x * inverse[:, None]).astype(dtype, copy=False)
            values = np.zeros(n)
            gradient = np.zeros_like(unit) if "embeddings" in results else None
            step = max(1, SIMILARITIES // (max(1, n) * dtype.itemsize))
            room = np.empty((min(step, n), n), dtype)
            for first in range(0, n, step):
                self._block(first, min(first + step, n), unit, w * scale, room, values, gradient)
            terms = w * values
            if gradient is not None:
                along = np.einsum("ij,ij->i", gradient, unit, dtype=np.float64)
                gradient -= (along[:, None] * unit).astype(dtype, copy=False)
                gradient *= inverse[:, None].astype(dtype)
                results["embeddings"][...] = gradient
        if "value" in results:
            results["value"][...] = terms
        if entries is not None:
            entries[...] = terms
        return _sum(terms) if want_sum else None

    def _block(
        self, first: int, last: int, unit: Array, weight: Array, room: Array, values: Array, gradient: Array | None
    ) -> None:
        """The losses of some anchors, and what they add to the gradients by all vectors of length 1."""
        temperature = unit.dtype.type(self.params["temperature"])
        anchors, z = unit[first:last], room[: last - first]
        np.matmul(anchors, unit.T, out=z)
        z /= temperature
        alike = self.group[first:last, None] == self.group
        itself = np.arange(last - first), np.arange(first, last)
        alike[itself] = False
        values[first:last] = self.rows_of(z, alike, itself, weight[first:last], gradient is not None)
        if gradient is not None:
            z /= temperature
            gradient[first:last] += z @ unit
            gradient += z.T @ anchors

    def moments(self, weight: Array | None) -> tuple[Any, ...]:
        """Of a stream: there is no other batch to compare with."""
        raise NotImplementedError(f"{self.declaration.name} is a loss of a whole batch, which no accumulator has")

    def fault(self, operand: str, index: int) -> Fault:
        """Nothing is left to check but weights."""
        raise NotImplementedError(operand)


def pairs(z: Array, alike: Array, itself: Any, weight: Array, wants_gradient: bool) -> Array:
    """NT-Xent: of each anchor the sum over its positives; `z` becomes the weighted gradient.

    With L = logsumexp of the negatives' z, a positive's loss is log(1 + exp(L - z)).
    """
    row, column = np.nonzero(alike)
    positive = z[row, column].astype(np.float64)
    z[row, column] = -np.inf
    z[itself] = -np.inf
    top = z.max(axis=1, keepdims=True)
    z -= np.where(np.isinf(top), 0, top)
    np.exp(z, out=z)
    total = z.sum(axis=1, dtype=np.float64)
    level = (np.log(total) + top[:, 0])[row] - positive
    size = len(z)
    losses: Array = np.bincount(row, np.logaddexp(0, level), size)
    if wants_gradient:
        share = 1 / (1 + np.exp(-level))  # of the negatives, in a positive's softmax
        z *= (np.where(total > 0, np.bincount(row, share, size) / total, 0) * weight)[:, None].astype(z.dtype)
        z[row, column] = -share * weight[row]
    return losses


def others(z: Array, alike: Array, itself: Any, weight: Array, wants_gradient: bool) -> Array:
    """Supervised contrastive: of each anchor the mean over its positives; `z` becomes the weighted gradient."""
    count = alike.sum(axis=1)
    has, share = count > 0, 1 / np.maximum(count, 1)
    mean = z.sum(axis=1, where=alike, dtype=np.float64) * share
    z[itself] = -np.inf
    top = z.max(axis=1, keepdims=True)
    z -= top
    np.exp(z, out=z)
    total = z.sum(axis=1, dtype=np.float64)
    if wants_gradient:
        z *= (np.where(has, weight, 0) / total)[:, None].astype(z.dtype)
        np.subtract(z, (share * weight)[:, None].astype(z.dtype), out=z, where=alike)
    return np.where(has, top[:, 0] + np.log(total) - mean, 0.0)
