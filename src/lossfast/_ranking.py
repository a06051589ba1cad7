"""Calls of the losses of ranked items: what an item is, is a group of them, and each has a value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lossfast import _arrays, _loss
from lossfast._arrays import Array
from lossfast._declarations import Ranking
from lossfast._evaluate import Call, Fault, entry_sums, exact_sum, weight_sum
from lossfast._groups import grouping
from lossfast._loss import Loss


class RankingCall(Call):
    """Labels and scores of items, and the groups that they are in."""

    replaceable: tuple[str, ...] = ()
    weighted = True

    def __init__(self, loss: Loss, y_true: Any, y_pred: Any, params: dict[str, Any], nthreads: int) -> None:
        d, params = loss.declaration, dict(params)
        assert isinstance(d, Ranking)
        given = [params.pop(name, None) for name in d.arguments[2:]]
        d.checked(params, loss._params)
        self.declaration, self.nthreads, self.boosting = d, nthreads, d.boosting
        self.target, self.pred = _arrays.operands(y_true, y_pred)
        self.single = self.pred.dtype != np.float64
        self.groups = grouping(self.pred.shape, *given)
        self.items = self.groups.shape
        self.reads = {"y_true": self.target, "y_pred": self.pred, **self.groups.reads}
        bad = d.bad(self.target)
        if bad.any() and self.groups.taken(bad).any():
            at = self.groups.at(int(self.groups.taken(bad).argmax()), self.target.shape)
            raise ValueError(str(Fault("y_true", at, self.target[at], d.operands({})[0])))
        if d.pairs:
            labels = self.groups.taken(self.target).astype(np.float64)
            self.groups = self.groups.sorted(-labels)

    def measure(self, weight: Array | None) -> tuple[float, int]:
        """The sum of what counts in a weighted mean, and the number of groups."""
        if weight is not None:
            weight_sum(weight, self.nthreads)
        return exact_sum(self.counted(weight)), math.prod(self.items)

    def entries(self) -> int:
        """The length of the first axis of the groups."""
        return self.items[0]

    def counted(self, weight: Array | None) -> Array:
        """The weight of a group times the number of its pairs, or the weight of one that is not empty."""
        count = self._pairs() if self.declaration.pairs else (self.groups.sizes > 0).astype(np.float64)
        count = count.reshape(self.items)
        return count if weight is None else count * weight

    def _pairs(self) -> Array:
        """How many pairs of each group differ in their labels."""
        labels, group = self.groups.taken(self.target), self.groups.each(np.arange(len(self.groups.sizes)))
        new = np.ones(len(labels), bool)
        new[1:] = (labels[1:] != labels[:-1]) | (group[1:] != group[:-1])
        begins = np.flatnonzero(new)
        same = np.diff(np.append(begins, len(labels))).astype(np.float64)
        ties = np.bincount(group[begins], same**2, len(self.groups.sizes))
        found: Array = (self.groups.sizes.astype(np.float64) ** 2 - ties) / 2
        return found

    def spread(self, x: Array) -> Array:
        """A number for each group beside its items."""
        found = np.zeros(self.pred.shape)
        self.groups.put(self.groups.each(np.broadcast_to(x, self.items)), found)
        return found

    def run(
        self, weight: Array | None, scale: float, results: dict[str, Array], want_sum: bool, entries: Array | None
    ) -> float | None:
        """One pass."""
        w = np.ones(self.items) if weight is None else np.broadcast_to(weight, self.items).astype(np.float64)
        wanted: list[str] = [key for key in ("grad", "hess") if key in results]
        with np.errstate(all="ignore"):
            values, *derivatives = self.computed(wanted)
            terms = w * values.reshape(self.items)
            factor = self.groups.each(w * scale)
            for key, x in zip(wanted, derivatives, strict=True):
                self.groups.put(factor * x, results[key])
        if "value" in results:
            results["value"][...] = terms
        if entries is not None:
            entries[...] = entry_sums(terms, len(entries))
        return exact_sum(terms) if want_sum else None

    def computed(self, wanted: list[str]) -> tuple[Array, ...]:
        """The losses of all groups, and derivatives by the scores, in the order of the groups; all in float64."""
        labels = np.ascontiguousarray(self.groups.taken(self.target), np.float64)
        scores = np.ascontiguousarray(self.groups.taken(self.pred), self.value_dtype)
        if _loss._core is not None:
            found: tuple[Array, ...] = self.declaration.passed(self, labels, scores, wanted)
            return found
        values = np.zeros(len(self.groups.sizes))
        slopes = {key: np.zeros(len(scores)) for key in wanted}
        for g, (first, last) in enumerate(zip(self.groups.starts, self.groups.starts[1:], strict=False)):
            if first == last:
                continue
            jet = self.declaration.spec(labels[first:last], scores[first:last].astype(np.float64))
            values[g] = jet.value
            for key in wanted:
                slopes[key][first:last] = getattr(jet, key)
        return values, *slopes.values()

    def moments(self, weight: Array | None) -> tuple[Any, ...]:
        """As `_core.Kernel.moments`, of the mean over what counts in each group."""
        from lossfast._numpy import moments_of

        self.measure(weight)
        count = self.counted(None)
        with np.errstate(all="ignore"):
            values, *_ = self.computed([])
            losses = np.where(count > 0, values.reshape(self.items) / count, 0.0)
        return moments_of(losses, self.counted(weight))

    def weight_shape(self, weight: Array) -> tuple[int, ...]:
        """Repeated weights are read only once."""
        return weight.shape

    def fault(self, operand: str, index: int) -> Fault:
        """Nothing is left to check but weights."""
        raise NotImplementedError(operand)


def pairs(call: RankingCall, labels: Array, scores: Array, wanted: list[str]) -> tuple[Array, ...]:
    """Pairwise logistic loss: each item's sums from the core."""
    found = {key: np.empty(len(scores)) for key in ("value", *wanted)}
    _loss._core.pairwise_logistic(
        call.groups.starts, labels, scores, found["value"], found.get("grad"), found.get("hess"), call.nthreads
    )
    return call.groups.sums(found.pop("value")), *found.values()


def softmax(call: RankingCall, labels: Array, scores: Array, wanted: list[str]) -> tuple[Array, ...]:
    """Listwise softmax: cross-entropy of rows, groups of one size at a time."""
    starts, sizes = call.groups.starts, call.groups.sizes
    values = np.zeros(len(sizes))
    found = {key: np.zeros(len(scores)) for key in wanted}
    kernel = _loss._core.RowKernel("crossentropy")
    for size in np.unique(sizes[sizes > 0]):
        these = np.flatnonzero(sizes == size)
        together = len(these) * int(size) == len(scores)  # groups of none may be between them
        at = slice(None) if together else starts[these][:, None] + np.arange(size)
        y, s = (x[at].reshape(-1, size) for x in (labels, scores))
        value = np.empty(len(these))
        slopes = {key: np.empty(y.shape) for key in wanted}
        options: tuple[Any, ...] = (None, None, None, (), None, 0.0, 0.0, 1.0)
        kernel.run(
            call.single, False, y, s, *options, value, slopes.get("grad"), slopes.get("hess"), False, call.nthreads
        )
        values[these] = value
        for key, x in slopes.items():
            found[key][at] = x.reshape(-1) if together else x
    return values, *found.values()
