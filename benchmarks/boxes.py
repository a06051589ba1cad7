"""Losses of pairs of boxes: operands, goals, and the formulas of torchvision in each library."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import contenders
import numpy as np
from bandwidth import Bytes
from contenders import Contender, Goal

EPS = 1e-7  # torchvision's
GOALS = {
    ("giou", 10**6): Goal((0.80, 0.60), 20, 90),
    ("diou", 10**6): Goal((0.80, 0.60), 20, 90),
    ("ciou", 10**6): Goal((0.50, 0.35), 25, 70),
}


@dataclass(frozen=True)
class Case(contenders.Case):
    """One row: mean loss of pairs of float32 boxes, rows of x1 y1 x2 y2, and its gradient by the predictions."""

    loss: str
    pairs: int

    grad = True

    @property
    def n(self) -> int:  # type: ignore[override]
        """Numbers of the predicted boxes."""
        return 4 * self.pairs

    def __str__(self) -> str:
        return f"{self.loss}, {self.pairs:,} pairs"

    def cells(self) -> list[str]:
        """The first cells of its row."""
        return [self.loss, f"{self.pairs:,}"]

    def moved(self) -> Bytes:
        """Both boxes in, a gradient out."""
        return Bytes((4, 4), 4)

    def reference(self) -> tuple[float, np.ndarray]:
        """The NumPy specification in float64: the value of all pairs, the gradient of those probed."""
        import lossfast as lf
        from lossfast._dual import Dual

        spec = lf.get(self.loss).declaration.spec
        true, pred = (x.astype(np.float64) for x in data(self))
        edges = [Dual(pred[:, k], np.zeros((1, 1))) for k in range(4)]
        value = float(np.mean(spec(list(true.T), edges, EPS).value))
        box, edge = np.divmod(np.arange(self.n)[self.probed()], 4)
        grad = spec(list(true[box].T), list(Dual.variables(pred[box])), EPS).grad
        return value, grad[np.arange(len(box)), edge] / self.pairs

    def goal(self) -> Goal | None:
        """The goal of a case, if it has one."""
        return GOALS.get((self.loss, self.pairs))


def boxes(n: int, seed: int, spread: float = 10.0) -> np.ndarray:
    """Boxes of some size somewhere."""
    rng = np.random.default_rng(seed)
    low, size = rng.uniform(0, spread, (n, 2)), rng.uniform(0.5, 6, (n, 2))
    return np.concatenate([low, low + size], axis=1).astype(np.float32)


def data(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted boxes; the same in every process."""
    rng = np.random.default_rng(41)
    true = boxes(case.pairs, 42)
    low, high = true[:, :2] + rng.normal(0, 1, (case.pairs, 2)), true[:, 2:] + rng.normal(0, 1, (case.pairs, 2))
    return true, np.concatenate([np.minimum(low, high), np.maximum(low, high)], axis=1).astype(np.float32)


def lossfast(case: Case, isas: list[str], n_threads: int | None = None) -> Iterator[Contender]:
    """lossfast on each instruction set, into a buffer of the caller."""
    import lossfast as lf

    loss = lf.get(case.loss, eps=EPS)
    true, pred = data(case)
    out = (None, np.zeros_like(pred))
    yield from contenders.on_lossfast(lambda: loss.value_and_grad(true, pred, out=out, n_threads=n_threads), isas)


def formula(xp: Any, kind: str, constant: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """torchvision's mean loss of (pred, true) with the functions of torch or jax.numpy."""

    def loss(pred: Any, true: Any) -> Any:
        x1, y1, x2, y2 = (pred[:, k] for k in range(4))
        a1, b1, a2, b2 = (true[:, k] for k in range(4))
        wide, high = xp.minimum(x2, a2) - xp.maximum(x1, a1), xp.minimum(y2, b2) - xp.maximum(y1, b1)
        both = xp.where((wide > 0) & (high > 0), wide * high, xp.zeros_like(x1))
        union = (x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - both
        iou = both / (union + EPS)
        cw, ch = xp.maximum(x2, a2) - xp.minimum(x1, a1), xp.maximum(y2, b2) - xp.minimum(y1, b1)
        if kind == "giou":
            return (1 - (iou - (cw * ch - union) / (cw * ch + EPS))).mean()
        centres = ((x1 + x2) / 2 - (a1 + a2) / 2) ** 2 + ((y1 + y2) / 2 - (b1 + b2) / 2) ** 2
        each = 1 - iou + centres / (cw**2 + ch**2 + EPS)
        if kind == "diou":
            return each.mean()
        v = 4 / math.pi**2 * (xp.atan((a2 - a1) / (b2 - b1)) - xp.atan((x2 - x1) / (y2 - y1))) ** 2
        alpha = constant(v / (1 - iou + v + EPS))
        return (each + alpha * v).mean()

    return loss


def torch(case: Case) -> Iterator[Contender]:
    """torchvision's formula: eager with autograd, and compiled with torch.func."""
    import torch

    yield from contenders.on_torch(formula(torch, case.loss, lambda x: x.detach()), data(case))


def jax(case: Case) -> Iterator[Contender]:
    """torchvision's formula in one graph."""
    import jax
    import jax.numpy as jnp

    yield from contenders.on_jax(formula(jnp, case.loss, jax.lax.stop_gradient), data(case))


def torch_pairs(a: Any, b: Any) -> Any:
    """torchvision.ops.box_iou."""
    import torch

    area_a, area_b = ((x[:, 2] - x[:, 0]) * (x[:, 3] - x[:, 1]) for x in (a, b))
    low, high = torch.max(a[:, None, :2], b[:, :2]), torch.min(a[:, None, 2:], b[:, 2:])
    sides = (high - low).clamp(min=0)
    both = sides[..., 0] * sides[..., 1]
    return both / (area_a[:, None] + area_b - both)


def torch_nms(boxes: Any, scores: Any, threshold: float) -> Any:
    """Greedy suppression in tensors: each kept box against all that are left."""
    import torch

    order, kept = scores.argsort(descending=True, stable=True), []
    while len(order):
        kept.append(order[0])
        overlap = torch_pairs(boxes[order[:1]], boxes[order[1:]])[0]
        order = order[1:][overlap <= threshold]
    return torch.stack(kept)
