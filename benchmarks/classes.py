"""The losses of classes: operands, goals, and the contenders as each library's users would write them well."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import contenders
import numpy as np
from bandwidth import Bytes
from contenders import PROBED, THREADS, Contender, Goal

CROSSENTROPY, DIVERGENCE = "sparse_categorical_crossentropy", "kullback_leibler_divergence"
BLOCK = 2**20  # elements that the reference takes at a time

GOALS = {
    (65536, 10): Goal((0.30, 0.25), 3, 25),
    (8192, 1000): Goal((0.65, 0.50), 2.2, 7),
    (1024, 32000): Goal((0.75, 0.65), 6, 12),
    (256, 128256): Goal((0.75, 0.65), 6, 12),
}


@dataclass(frozen=True)
class Case(contenders.Case):
    """One row: value and gradient, from logits and labels or from two arrays of probabilities, in float32."""

    loss: str
    rows: int
    classes: int
    label_smoothing: float = 0.0

    grad = True

    @property
    def n(self) -> int:  # type: ignore[override]
        """Elements of y_pred."""
        return self.rows * self.classes

    def __str__(self) -> str:
        smoothing = f", label_smoothing={self.label_smoothing}" if self.label_smoothing else ""
        return f"{self.loss}{smoothing}, ({self.rows}, {self.classes})"

    def cells(self) -> list[str]:
        """The first cells of its row."""
        loss, _, shape = str(self).partition(", (")
        return [loss, f"({shape}"]

    def moved(self) -> Bytes:
        """y_pred in, the gradient out, and targets of that shape; labels do not count."""
        return Bytes((4,) if self.loss == CROSSENTROPY else (4, 4), 4)

    def probed(self) -> Any:
        """Elements anywhere, and those of the labels, where a gradient is largest."""
        anywhere = np.random.default_rng(22).integers(0, self.n, PROBED)
        rows = np.arange(min(self.rows, PROBED))
        return np.concatenate([anywhere, rows * self.classes + labels(self)[rows]])

    def reference(self) -> tuple[float, np.ndarray]:
        """The NumPy specification in float64."""
        loss = made(self)
        params = {k: v for k, v in loss.get_params().items() if k not in ("axis", "ignore_index")}
        target, pred = data(self)
        row, k = np.divmod(self.probed(), self.classes)
        total, slopes = 0.0, np.empty(len(row))
        step = max(1, BLOCK // self.classes)
        for start in range(0, self.rows, step):
            some = slice(start, start + step)
            t = target[some, None] == np.arange(self.classes) if target.ndim == 1 else target[some]
            jet = loss.declaration.spec(t.astype(np.float64), pred[some].astype(np.float64), **params)
            here = (row >= start) & (row < start + step)
            slopes[here] = jet.grad[row[here] - start, k[here]]
            total += float(jet.value.sum())
        return total / self.rows, slopes / self.rows

    def goal(self) -> Goal | None:
        """The goal of a case, if it has one."""
        if self.loss == CROSSENTROPY:
            return GOALS.get((self.rows, self.classes))
        return Goal((0.85, 0.75), 3, 8) if self.n == 10**6 else None


def labels(case: Case) -> np.ndarray:
    """A class for each row."""
    return np.random.default_rng(21).integers(0, case.classes, case.rows)


def data(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits, or two arrays of probabilities; the same in every process."""
    rng = np.random.default_rng(20)
    pred = rng.standard_normal((case.rows, case.classes), np.float32)
    if case.loss == CROSSENTROPY:
        return labels(case), np.multiply(pred, np.float32(2), out=pred)
    target = rng.standard_normal((case.rows, case.classes), np.float32)
    for x in (target, pred):
        np.exp(x, out=x)
        x /= x.sum(axis=1, keepdims=True)
    return target, pred


def made(case: Case) -> Any:
    """The loss of lossfast."""
    import lossfast as lf

    if case.loss == CROSSENTROPY:
        return lf.SparseCategoricalCrossentropy(from_logits=True, label_smoothing=case.label_smoothing)
    return lf.get(case.loss)


def lossfast(case: Case, isas: list[str]) -> Iterator[Contender]:
    """lossfast on each instruction set."""
    loss, (target, pred) = made(case), data(case)
    gradient = np.zeros_like(pred)
    yield from contenders.on_lossfast(lambda: loss.value_and_grad(target, pred, out=(None, gradient)), isas)


def sklearn(case: Case) -> Iterator[Contender]:
    """The private module of its linear models and trees.  Weights of 1 / rows spare it a pass for the mean."""
    from sklearn._loss.loss import HalfMultinomialLoss

    if case.loss != CROSSENTROPY or case.label_smoothing:
        return
    loss = HalfMultinomialLoss(n_classes=case.classes)
    target, pred = data(case)
    target = target.astype(np.float32)
    losses, gradient = np.empty(case.rows, np.float32), np.empty_like(pred)
    weights = np.full(case.rows, 1 / case.rows, np.float32)

    def value_and_grad() -> tuple[Any, Any]:
        loss.loss_gradient(target, pred, weights, loss_out=losses, gradient_out=gradient, n_threads=THREADS)
        return losses.sum(), gradient

    yield Contender("sklearn._loss", value_and_grad)


def _torch_loss(case: Case) -> Callable[..., Any]:
    import torch.nn.functional as F

    if case.loss == CROSSENTROPY:
        return functools.partial(F.cross_entropy, label_smoothing=case.label_smoothing)
    return lambda p, t: F.kl_div(p.log(), t, reduction="batchmean")


def torch(case: Case) -> Iterator[Contender]:
    """Eager and compiled."""
    yield from contenders.on_torch(_torch_loss(case), data(case))


def _jax_loss(case: Case) -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp
    import optax

    if case.loss == DIVERGENCE:
        return lambda p, t: optax.kl_divergence(jnp.log(p), t).mean()
    if not case.label_smoothing:
        return lambda z, y: optax.softmax_cross_entropy_with_integer_labels(z, y).mean()

    def smoothed(z: Any, y: Any) -> Any:  # without optax.smooth_labels, which needs an array of one-hot targets
        hit = optax.softmax_cross_entropy_with_integer_labels(z, y)
        even = jax.nn.logsumexp(z, axis=-1) - z.mean(axis=-1)
        return ((1 - case.label_smoothing) * hit + case.label_smoothing * even).mean()

    return smoothed


def jax(case: Case) -> Iterator[Contender]:
    """One graph."""
    yield from contenders.on_jax(_jax_loss(case), data(case))
