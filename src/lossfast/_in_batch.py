"""Losses of each vector against all others of its batch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lossfast import _arrays
from lossfast._arrays import Array
from lossfast._declarations import BatchEmbedding
from lossfast._embedding import EmbeddingCall
from lossfast._evaluate import Fault, exact_sum, weight_sum
from lossfast._loss import Loss
from lossfast._similarities import (
    Directions,
    Piece,
    Points,
    Scratch,
    Similarities,
    Slopes,
    add_product,
    blocks,
    crossentropy,
)


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
        # In this order those with a label are beside each other.
        self.order: Any = slice(None) if (given[1:] >= given[:-1]).all() else np.argsort(given, kind="stable")
        given = given[self.order]
        edges = np.concatenate(([0], np.flatnonzero(given[1:] != given[:-1]) + 1, [len(given)]))
        counts = edges[1:] - edges[:-1]
        self.groups, self.begins, self.ends = len(counts), edges[:-1].repeat(counts), edges[1:].repeat(counts)
        self.others = self.ends - self.begins - 1.0  # with the same label
        self.positives = self.unordered(self.others)
        self.pairs: dict[tuple[int, int], tuple[Array, Array]] = {}

    def measure(self, weight: Array | None) -> tuple[float, int]:
        """The sum of what counts in a weighted mean, and the number of anchors."""
        counted = self.counted(weight)
        if weight is None:
            return float(counted.sum()), len(counted)  # of integers
        weight_sum(weight, self.nthreads)
        return exact_sum(counted), len(counted)

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
            scratch = Scratch()
            terms = w * self.computed(w * scale, {k: x for k, x in results.items() if k != "value"}, scratch)
            scratch.close()
        if "value" in results:
            results["value"][...] = terms
        if entries is not None:
            entries[...] = terms
        return exact_sum(terms) if want_sum else None

    def computed(self, weight: Array, results: dict[str, Array], scratch: Scratch) -> Array:
        """The losses of the anchors; `results` become the gradients of their weighted sum."""
        largest = 1 / self.params["temperature"]
        x = Directions(self.pred[self.order], self.value_dtype, scratch, math.sqrt(largest))
        z = Similarities(x.points, x.points, largest, scratch)
        values, slopes = self.declaration.rows(self, z, weight[self.order])
        for result in results.values():
            ordered = isinstance(self.order, slice)
            gradient = buffer(result, x.points) if ordered else np.empty_like(x.points)
            if slopes is None:
                gradient[...] = 0
            else:
                z.gradients(slopes, gradient, gradient)
            x.chain(gradient)
            if gradient is not result:
                result[self.order] = gradient
        return self.unordered(values)

    def unordered(self, x: Array) -> Array:
        """In the order of the caller."""
        if isinstance(self.order, slice):
            return x
        result = np.empty_like(x)
        result[self.order] = x
        return result

    def alike(self, piece: Piece) -> tuple[Array, Array]:
        """Where the rows of a piece meet those with the same label, and themselves."""
        key = piece.first, piece.last
        if key in self.pairs:
            return self.pairs[key]
        rows = slice(*key)
        start = np.maximum(self.begins[rows], piece.begin) - piece.begin
        count = self.ends[rows] - piece.begin - start
        row = np.arange(len(count)).repeat(count)
        column = np.arange(len(row)) + (start - (count.cumsum() - count)).repeat(count)
        if len(row) <= 8 * len(count):  # all pairs of large groups would be too many to keep
            self.pairs[key] = row, column
        return row, column

    def moments(self, weight: Array | None) -> tuple[Any, ...]:
        """Of a stream: there is no other batch to compare with."""
        raise NotImplementedError(f"{self.declaration.name} is a loss of a whole batch, which no accumulator has")

    def fault(self, operand: str, index: int) -> Fault:
        """Nothing is left to check but weights."""
        raise NotImplementedError(operand)


class RetrievalCall(BatchCall):
    """An item is an anchor, against the positive of its own and, for negatives, those of the others."""

    same = None

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

    def measure(self, weight: Array | None) -> tuple[float, int]:
        """The sum of weights and the number of anchors."""
        return EmbeddingCall.measure(self, weight)

    def counted(self, weight: Array | None) -> Array:
        """The weight itself."""
        return np.ones(self.items) if weight is None else np.broadcast_to(weight, self.items)

    def computed(self, weight: Array, results: dict[str, Array], scratch: Scratch) -> Array:
        """Rows of similarities to the positives and, if it is symmetric, to the anchors."""
        scale, dtype = self.params["scale"], self.value_dtype
        kind, bound = (Directions, scale) if self.params["similarity"] == "cosine" else (Points, math.inf)
        sides = [kind(x, dtype, scratch, math.sqrt(scale)) for x in self.reads.values()]
        left, right = (x.points for x in sides)
        gradients = [buffer(results[name], left) for name in self.reads if results]
        if self.params["symmetric"]:
            z = Similarities(left, right, bound, scratch)
            values, slopes = both_ways(z, weight)
            if results:
                z.gradients(slopes, *gradients)
        else:
            values = one_way(left, right, weight, gradients, scratch)
        for x, name, gradient in zip(sides, self.reads, gradients, strict=False):
            x.chain(gradient)
            if gradient is not results[name]:
                results[name][...] = gradient
        return values


def buffer(result: Array, points: Array) -> Array:
    """Where a gradient by points is computed: in its result, if that is like them."""
    ready = result.dtype == points.dtype and result.flags.c_contiguous
    return result if ready else np.empty_like(points)


def vectors(name: str, given: Any) -> Array:
    """A batch of at least two of them, or of none."""
    x = _arrays.prediction(given, name)
    if x.ndim != 2 or not x.shape[1]:
        raise ValueError(f"{name} has shape {x.shape}, expected (vectors, dimensions)")
    if len(x) == 1:
        raise ValueError(f"{name} has one vector, expected others in the batch to compare it with")
    return x


def one_way(left: Array, right: Array, weight: Array, gradients: list[Array], scratch: Scratch) -> Array:
    """Cross-entropies of rows with labels on the diagonal; `gradients` become those of their weighted sum."""
    values, room = np.empty(len(left)), None
    weighted = scratch.empty(left.shape, left.dtype)
    times = weight.astype(left.dtype)[:, None]
    for first, last, z in blocks(len(left), len(right), left.dtype, scratch):
        own = slice(first, last)
        np.matmul(left[own], right.T, out=z)
        values[own] = crossentropy(z, np.arange(first, last), bool(gradients))
        if gradients:
            by_left, by_right = gradients
            np.matmul(z, right, out=by_left[own])
            by_left[own] *= times[own]
            add_product(by_right, z.T, np.multiply(times[own], left[own], out=weighted[own]), room)
            room = scratch.empty(right.shape, right.dtype) if room is None else room
    return values


def both_ways(z: Similarities, weight: Array) -> tuple[Array, Slopes]:
    """Half the cross-entropies of rows and half those of columns, with labels on the diagonal."""
    own = np.empty(len(weight))

    def seen(piece: Piece) -> None:
        own[piece.first : piece.last] = z.at(piece, piece.diagonal())

    by_row, by_column = z.levels(lambda piece: np.zeros(0, np.int64), seen)
    values = (by_row - own) / 2 + (by_column - own) / 2
    return values, Slopes(weight / 2, weight / 2, lambda piece: (piece.diagonal(), -weight[piece.first : piece.last]))


def anchors(piece: Piece, places: tuple[Array, Array]) -> tuple[Array, Array]:
    """Whose pairs are in a piece, and which: of rows all, of columns those whose mirror image is in no piece."""
    row, column = places
    beyond = np.flatnonzero(column >= piece.stop - piece.begin)
    which = np.concatenate((np.arange(len(row)), beyond))
    return np.concatenate((row + piece.first, column[beyond] + piece.begin)), which


def pairs(call: BatchCall, z: Similarities, weight: Array) -> tuple[Array, Slopes | None]:
    """NT-Xent: of each anchor the sum over its positives.

    With L = logsumexp of the negatives' z, a positive's loss is log(1 + exp(L - z)).
    """
    values, shares = np.zeros(len(weight)), np.zeros(len(weight))
    if call.groups < 2:
        return values, None
    level, _ = z.levels(call.alike)

    def found(piece: Piece) -> tuple[Any, Array, Array]:
        """Where a piece has pairs, whose they are, and their z; that of a vector with itself is no loss."""
        row, column = places = call.alike(piece)
        pair = np.array((row + piece.first, column + piece.begin))
        similarity = z.at(piece, places)
        similarity[pair[0] == pair[1]] = np.inf
        return places, pair, similarity

    for _, pieces in z.passed(call.ends):
        for piece in pieces:
            places, _, similarity = found(piece)
            anchor, which = anchors(piece, places)
            difference = level[anchor] - similarity[which]
            values += np.bincount(anchor, np.logaddexp(0, difference), len(values))
            shares += np.bincount(anchor, negative_share(difference), len(shares))

    def more(piece: Piece) -> tuple[Any, Array]:
        places, pair, similarity = found(piece)
        piece.z[places] = z.nothing
        return places, -(weight[pair] * negative_share(level[pair] - similarity)).sum(axis=0)

    return values, Slopes(weight * shares, weight * shares, more)


def negative_share(difference: Array) -> Array:
    """Of the negatives in the softmax of a positive, from what L is above its z."""
    share: Array = 1 / (1 + np.exp(-difference))
    return share


def others(call: BatchCall, z: Similarities, weight: Array) -> tuple[Array, Slopes]:
    """Supervised contrastive: of each anchor the mean over its positives."""
    some, share = call.others > 0, 1 / np.maximum(call.others, 1)
    sums = np.zeros(len(weight))

    def seen(piece: Piece) -> None:
        row, column = places = call.alike(piece)
        similarity = np.where(row + piece.first == column + piece.begin, 0.0, z.at(piece, places))
        anchor, which = anchors(piece, places)
        sums[:] += np.bincount(anchor, similarity[which], len(sums))

    level, _ = z.levels(Piece.diagonal, seen)
    slope = weight * some

    def more(piece: Piece) -> tuple[Any, Array]:
        row, column = places = call.alike(piece)
        i, j = row + piece.first, column + piece.begin
        piece.z[piece.diagonal()] = z.nothing
        return places, np.where(i == j, 0.0, -(slope * share)[i] - (slope * share)[j])

    return np.where(some, level - share * sums, 0.0), Slopes(slope, slope, more)
