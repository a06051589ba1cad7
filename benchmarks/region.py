"""Losses of masks: operands, goals, and the contenders as each library's users would write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import contenders
import numpy as np
from bandwidth import Bytes
from contenders import THREADS, Contender, Goal

EPSILON = float(np.finfo(np.float32).eps)
IMAGES, VOLUMES = (8, 4, 512, 512), (2, 1, 128, 128, 128)  # samples, classes, positions
GOALS = {IMAGES: Goal((0.55, 0.45), 5, 14), VOLUMES: Goal((0.55, 0.45), 1.6, 5)}
MASKS = ("float32", "uint8", "labels")  # targets


@dataclass(frozen=True)
class Case(contenders.Case):
    """One row: the mean over samples and classes, and its gradient by float32 logits whose class axis is the second."""

    loss: str
    activation: str
    shape: tuple[int, ...]
    masks: str = "float32"

    grad = True

    @property
    def n(self) -> int:  # type: ignore[override]
        """Elements of y_pred."""
        return int(np.prod(self.shape))

    def __str__(self) -> str:
        return f"{self.loss}, {self.activation}, {tuple(self.shape)}, {self.masks}"

    def cells(self) -> list[str]:
        """The first cells of its row."""
        return [f"{self.loss}, {self.activation}", str(tuple(self.shape))]

    def moved(self) -> Bytes:
        """Logits and masks in, the gradient out."""
        return Bytes((1 if self.masks == "uint8" else 4, 4), 4)

    def reference(self) -> tuple[float, np.ndarray]:
        """The formula in float64."""
        masks, logits = data(self)
        t, z = masks.astype(np.float64), logits.astype(np.float64)
        if self.activation == "sigmoid":
            p = 1 / (1 + np.exp(-z))
        else:
            p = np.exp(z - z.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
        over = tuple(range(2, z.ndim))
        i, sizes = (p * t).sum(axis=over, keepdims=True), (p + t).sum(axis=over, keepdims=True)
        below, double = (sizes, 2) if self.loss == "dice" else (sizes - i, 1)
        below = below + EPSILON
        by_p = double * i / below**2
        by_i = -double / below - (0 if self.loss == "dice" else i / below**2)
        a = (by_i * t + by_p) / (self.shape[0] * self.shape[1])
        slope = a * p * (1 - p) if self.activation == "sigmoid" else p * (a - (p * a).sum(axis=1, keepdims=True))
        return float((1 - double * i / below).mean()), slope.reshape(-1)[self.probed()]

    def goal(self) -> Goal | None:
        """Those of soft Dice."""
        return GOALS.get(tuple(self.shape)) if self.loss == "dice" else None


def data(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Masks of each class and logits, the same in every process."""
    rng = np.random.default_rng(50)
    samples, classes, *positions = case.shape
    labels = rng.integers(0, max(classes, 2), (samples, 1, *positions), np.uint8)
    masks = labels == np.arange(classes, dtype=np.uint8).reshape(-1, *(1 for _ in positions))
    return masks.astype(np.uint8), rng.standard_normal(case.shape, np.float32)


def targets(case: Case) -> np.ndarray:
    """As lossfast is given them."""
    masks = data(case)[0]
    return masks.argmax(axis=1).astype(np.uint8) if case.masks == "labels" else masks.astype(case.masks)


def lossfast(case: Case, isas: list[str], n_threads: int | None = None) -> Iterator[Contender]:
    """lossfast on each instruction set, into a buffer of the caller."""
    import lossfast as lf

    loss, target, logits = lf.get(case.loss), targets(case), data(case)[1]
    out = (None, np.zeros_like(logits))
    options = {"axis": 1, "activation": case.activation, "out": out, "n_threads": n_threads}
    call = lambda: loss.value_and_grad(target, logits, **options)  # noqa: E731
    yield from contenders.on_lossfast(call, isas)


def _composed(case: Case, activation: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """The formula in the words of an array library."""
    over = tuple(range(2, len(case.shape)))

    def loss(z: Any, t: Any) -> Any:
        p = activation(z)
        i, sizes = (p * t).sum(over), p.sum(over) + t.sum(over)
        if case.loss == "dice":
            return (1 - 2 * i / (sizes + EPSILON)).mean()
        return (1 - i / (sizes - i + EPSILON)).mean()

    return loss


def torch(case: Case) -> Iterator[Contender]:
    """Composed, eager and compiled, and MONAI's own loss."""
    import torch

    masks, logits = data(case)
    operands = masks.astype(np.float32), logits
    activation = torch.sigmoid if case.activation == "sigmoid" else lambda z: torch.softmax(z, 1)
    yield from contenders.on_torch(_composed(case, activation), operands)
    from monai.losses import DiceLoss

    # its Jaccard has two I over twice the union, and so twice the smoothing
    options = {case.activation: True, "jaccard": case.loss == "jaccard", "smooth_nr": 0.0, "smooth_dr": EPSILON}
    loss = DiceLoss(**options)
    target, leaf = torch.from_numpy(operands[0]), torch.from_numpy(logits).requires_grad_()

    def call() -> tuple[Any, Any]:
        value = loss(leaf, target)
        return value.detach(), torch.autograd.grad(value, leaf)[0]

    torch.set_num_threads(THREADS)
    yield Contender("monai.DiceLoss", call)


def jax(case: Case) -> Iterator[Contender]:
    """The formula in one graph."""
    import jax

    masks, logits = data(case)
    activation = jax.nn.sigmoid if case.activation == "sigmoid" else lambda z: jax.nn.softmax(z, 1)
    yield from contenders.on_jax(_composed(case, activation), (masks.astype(np.float32), logits))
