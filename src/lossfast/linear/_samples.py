"""Samples of a fit, dense or sparse: scores, and the gradient of the loss of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lossfast import _loss
from lossfast._arrays import Array
from lossfast.linear._objective import Objective

ELEMENTS = 1 << 22  # of X, between two looks at whether the caller has interrupted, and of scores at a time

ROWS = 8192  # that say what columns are relative to


class Samples:
    """X, what the loss compares its scores with, and weights or None; and the coefficients they are fitted with.

    `coef` is (columns, features) and `intercept` (columns,), both of the dtype of X; they are updated in place.  A fit
    changes not `intercept` but `base`, that of columns from which `center` is taken off,

        score = base + (x - center) @ coef = intercept + x @ coef,

    which is the same objective without the correlation of intercept and coefficients that makes gradient descent slow,
    or lets it diverge; X stays as it is.
    """

    def __init__(
        self,
        objective: Objective,
        x: Any,
        y: Array,
        weight: Array | None,
        coef: Array,
        intercept: Array,
        n_threads: int | None,
        center: Array | None = None,
    ) -> None:
        self.objective, self.x, self.weight = objective, x, weight
        self.coef, self.intercept, self.n_threads = coef, intercept, n_threads
        self.center, self.base = center, intercept.copy()
        self.take_intercept()
        self.targets = objective.targets(y, coef.dtype)
        self.sparse = not isinstance(x, np.ndarray)
        named = objective.kernel(coef.dtype == np.float32) if not self.sparse else None
        self.fused = None
        if named and _loss._core is not None and x.shape[1] and x.flags.c_contiguous:
            self.fused = (_loss._core.Kernel(named[0]), named[1])

    def __len__(self) -> int:
        return int(self.x.shape[0])

    def take_intercept(self) -> None:
        """Sets the base from the intercept, as it is when someone else has set that."""
        self.base[...] = self.intercept if self.center is None else self.intercept + self.coef @ self.center

    def give_intercept(self) -> None:
        """Sets the intercept from the base."""
        self.intercept[...] = self.base if self.center is None else self.base - self.coef @ self.center

    def scores(self, rows: slice = slice(None)) -> Array:
        """(samples, columns)."""
        return np.asarray(self.x[rows] @ self.coef.T) + self.intercept

    def pieces(self) -> Iterator[slice]:
        """All samples, as many at a time as give scores and copies of moderate size."""
        step = max(1, ELEMENTS // max(1, len(self.intercept)))
        for first in range(0, len(self), step):
            yield slice(first, first + step)

    def mean_loss(self) -> float:
        """The sum of weight times loss by the sum of weights."""
        total = sum(
            self.objective.total(
                self.targets[rows],
                self.scores(rows),
                None if self.weight is None else self.weight[rows],
                self.n_threads,
            )
            for rows in self.pieces()
        )
        return total / (len(self) if self.weight is None else float(self.weight.sum(dtype=np.float64)))

    def gradient(self, rows: Array | slice, by_coef: Array, by_base: Array) -> float:
        """Of the sum of losses by the number of samples in the batch `rows`; returns that sum."""
        weight = None if self.weight is None else self.weight[rows]
        if self.fused is not None:
            kernel, params = self.fused
            total: float = _loss._core.linear_gradient(
                kernel, self.x, self.targets, self.weight, self.center, rows, params, self.coef[0], self.base,
                by_coef[0], by_base, threads_of(self.n_threads),
            )  # fmt: skip
            return total
        x = self.x[rows]
        scores = np.asarray(x @ self.coef.T) + self.base
        if self.center is not None:
            scores -= self.coef @ self.center
        total, grad = self.objective.total_and_grad(self.targets[rows], scores, weight, 1 / len(scores), self.n_threads)
        by_coef[...] = (x.T @ grad).T if self.sparse else grad.T @ x
        by_base[...] = grad.sum(axis=0)
        if self.center is not None:
            by_coef -= np.outer(by_base, self.center)
        return total


def mean_of_columns(x: Any, weight: Array | None) -> Array:
    """Of some thousand rows, spread evenly."""
    step = -(-x.shape[0] // ROWS)
    rows = x[::step]
    if weight is None:
        mean = rows.mean(axis=0, dtype=np.float64)
    else:
        w = weight[::step].astype(np.float64)
        mean = rows.T.astype(np.float64) @ w / w.sum() if w.sum() > 0 else np.zeros(x.shape[1])
    return np.asarray(mean).reshape(-1).astype(x.dtype)


def threads_of(n_threads: int | None) -> int:
    """For the core: 0 is what lossfast.set_num_threads says."""
    return n_threads or 0
