"""Losses of distances between vectors: operands, goals, and the contenders as each library's users would write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import contenders
import numpy as np
from bandwidth import Bytes
from contenders import THREADS, Contender, Goal

MARGIN = 1.0
AT_ONCE = 4096  # rows of the reference

GOALS = {
    ("cosine_similarity", 100_000, 768): Goal((0.90, 0.90), 7, 30),
    ("triplet", 100_000, 128): Goal((0.90, 0.90), 7, 20),
    ("contrastive", 100_000, 128): Goal((0.90, 0.90), 7, 20),
    ("ntxent", 4096, 256): Goal((0.77, 0.77), 2, 3),
}
WRITTEN = {
    "cosine_similarity": 1,
    "contrastive": 2,
    "triplet": 3,
    "ntxent": 1,
    "multiple_negatives_ranking": 2,
}  # gradients
BATCHES = ("ntxent", "multiple_negatives_ranking")
TEMPERATURE, SCALE = 0.07, 20.0
BOUND = "lossfast products alone"  # so that it is not taken for a peer


@dataclass(frozen=True)
class Case(contenders.Case):
    """One row: mean loss of the rows of float32 vectors, and its gradients by all of them (cosine: by y_pred)."""

    loss: str
    rows: int
    dimensions: int

    grad = True

    @property
    def n(self) -> int:  # type: ignore[override]
        """Elements of the gradients."""
        return self.rows * self.dimensions * WRITTEN[self.loss]

    def __str__(self) -> str:
        return f"{self.loss}, {(self.rows, self.dimensions)}"

    def cells(self) -> list[str]:
        """The first cells of its row."""
        return [self.loss, str((self.rows, self.dimensions))]

    def moved(self) -> Bytes:
        """As many operands in as gradients out; of the cosine one more."""
        return Bytes((4, 4) if self.loss == "cosine_similarity" else (4,), 4)

    def reference(self) -> tuple[float, np.ndarray]:
        """The NumPy specification in float64."""
        import lossfast as lf

        loss = lf.get(self.loss)
        if self.loss in BATCHES:
            labels, vectors = data(self)
            wide = (x.astype(np.float64) for x in vectors)
            value, gradients = loss.value_and_grad(*labels, *wide)  # which tests compare with the formula
            return value, np.asarray(gradients).reshape(-1)[self.probed()]
        params = {k: v for k, v in loss.get_params().items() if k not in ("axis", "wrt")}
        labels, vectors = data(self)
        total, probed = 0.0, np.arange(self.n)[self.probed()]
        operand, element = np.divmod(probed, self.rows * self.dimensions)
        row, column = np.divmod(element, self.dimensions)
        slopes = np.empty(len(probed))
        for first in range(0, self.rows, AT_ONCE):
            part = slice(first, first + AT_ONCE)
            found = loss.declaration.spec(*(x[part] for x in labels), *(np.float64(x[part]) for x in vectors), **params)
            total += float(found.value.sum())
            for o, gradient in enumerate(found.grads[-WRITTEN[self.loss] :]):
                here = (operand == o) & (row // AT_ONCE == first // AT_ONCE)
                slopes[here] = gradient[row[here] - first, column[here]]
        return total / self.rows, slopes / self.rows

    def goal(self) -> Goal | None:
        """The goal of a case, if it has one."""
        return GOALS.get((self.loss, self.rows, self.dimensions))


def data(case: Case) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Labels, if there are, and vectors; the same in every process."""
    rng = np.random.default_rng(40)
    count = {"triplet": 3, "ntxent": 1}.get(case.loss, 2)
    shape = case.rows, case.dimensions
    vectors = [rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(case.dimensions)) for _ in range(count)]
    labels = [rng.integers(0, 2, case.rows)] if case.loss == "contrastive" else []
    if case.loss == "ntxent":
        labels = [np.arange(case.rows) // 2]  # two views of each
    return labels, vectors


def lossfast(case: Case, isas: list[str], n_threads: int | None = None) -> Iterator[Contender]:
    """lossfast on each instruction set, into buffers of the caller."""
    import lossfast as lf

    loss = lf.get(case.loss)
    labels, vectors = data(case)
    out = (None, *(np.zeros_like(vectors[0]) for _ in range(WRITTEN[case.loss])))
    call = lambda: loss.value_and_grad(*labels, *vectors, out=out, n_threads=n_threads)  # noqa: E731
    yield from contenders.on_lossfast(call, isas)


def torch(case: Case) -> Iterator[Contender]:
    """Its own function where it has one: eager with autograd, and compiled with torch.func."""
    import torch
    import torch.nn.functional as f

    def contrastive(x1: Any, x2: Any) -> Any:
        d = f.pairwise_distance(x1, x2, eps=0.0)
        return torch.where(same > 0, d**2, (MARGIN - d).clamp(min=0) ** 2).mean()

    def ntxent(x: Any) -> Any:
        u = f.normalize(x)
        s = (u @ u.T / TEMPERATURE).masked_fill(torch.eye(case.rows, dtype=torch.bool), -torch.inf)
        return f.cross_entropy(s, torch.arange(case.rows) ^ 1)

    def multiple_negatives_ranking(anchors: Any, positives: Any) -> Any:
        return f.cross_entropy(SCALE * f.normalize(anchors) @ f.normalize(positives).T, torch.arange(case.rows))

    losses: dict[str, Callable[..., Any]] = {
        "cosine_similarity": lambda y_pred, y_true: -f.cosine_similarity(y_true, y_pred).mean(),
        "contrastive": contrastive,
        "triplet": lambda a, p, n: f.triplet_margin_loss(a, p, n, margin=MARGIN),
        "ntxent": ntxent,
        "multiple_negatives_ranking": multiple_negatives_ranking,
    }
    torch.set_num_threads(THREADS)
    labels, arrays = data(case)
    vectors = [torch.from_numpy(x) for x in arrays]
    same = torch.from_numpy(labels[0]) if labels else None
    if case.loss == "cosine_similarity":
        vectors.reverse()
    written = WRITTEN[case.loss]
    leaves = [x.clone().requires_grad_(i < written) for i, x in enumerate(vectors)]
    loss = losses[case.loss]

    def eager() -> tuple[Any, Any]:
        value = loss(*leaves)
        return value.detach(), _together(torch.autograd.grad(value, leaves[:written]))

    yield Contender("torch eager", eager)
    torch._dynamo.reset()
    graph = torch.compile(torch.func.grad_and_value(loss, argnums=tuple(range(written))), dynamic=False)

    def fused() -> tuple[Any, Any]:
        gradients, value = graph(*vectors)
        return value, _together(gradients)

    yield Contender("torch.compile", fused)


def jax(case: Case) -> Iterator[Contender]:
    """The formulas in one graph."""
    import jax
    import jax.numpy as jnp

    def distance(a: Any, b: Any) -> Any:
        return jnp.sqrt(((a - b) ** 2).sum(axis=-1))

    def cosine_similarity(y_pred: Any, y_true: Any) -> Any:
        norms = jnp.linalg.norm(y_true, axis=-1) * jnp.linalg.norm(y_pred, axis=-1)
        return -((y_true * y_pred).sum(axis=-1) / norms).mean()

    def contrastive(x1: Any, x2: Any) -> Any:
        d = distance(x1, x2)
        return jnp.where(same > 0, d**2, jnp.maximum(MARGIN - d, 0) ** 2).mean()

    def triplet(a: Any, p: Any, n: Any) -> Any:
        return jnp.maximum(distance(a, p) - distance(a, n) + MARGIN, 0).mean()

    def ntxent(x: Any) -> Any:
        u = x / jnp.linalg.norm(x, axis=1, keepdims=True)
        s = jnp.where(jnp.eye(case.rows, dtype=bool), -jnp.inf, u @ u.T / TEMPERATURE)
        rows = jnp.arange(case.rows)
        return (jax.nn.logsumexp(s, axis=1) - s[rows, rows ^ 1]).mean()

    def multiple_negatives_ranking(anchors: Any, positives: Any) -> Any:
        a, p = (x / jnp.linalg.norm(x, axis=1, keepdims=True) for x in (anchors, positives))
        s = SCALE * a @ p.T
        return (jax.nn.logsumexp(s, axis=1) - jnp.diagonal(s)).mean()

    labels, arrays = data(case)
    vectors = [jax.device_put(x) for x in arrays]
    same = jax.device_put(labels[0]) if labels else None
    if case.loss == "cosine_similarity":
        vectors.reverse()
    losses = {
        "cosine_similarity": cosine_similarity,
        "contrastive": contrastive,
        "triplet": triplet,
        "ntxent": ntxent,
        "multiple_negatives_ranking": multiple_negatives_ranking,
    }
    graph = jax.jit(jax.value_and_grad(losses[case.loss], argnums=tuple(range(WRITTEN[case.loss]))))

    def call() -> tuple[Any, Any]:
        value, gradients = jax.block_until_ready(graph(*vectors))
        return value, _together(gradients)

    yield Contender("jax.jit", call)


class _Gradients(tuple):
    """Several gradients: one array only when they are compared."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.stack([np.asarray(x) for x in self])


def _together(gradients: Any) -> Any:
    return _Gradients(gradients)


def products_alone(case: Case) -> Contender:
    """What no form of the loss of a batch can do without: the similarities, and what they add to both sides."""
    _, [x, *_] = data(case)
    step = max(1, (16 << 20) // (4 * case.rows))
    z, total = np.empty((step, case.rows), np.float32), np.zeros_like(x)

    def call() -> tuple[Any, Any]:
        for first in range(0, case.rows, step):
            part = x[first : first + step]
            here = np.matmul(part, x.T, out=z[: len(part)])
            total[first : first + step] += here @ x
            np.add(total, here.T @ part, out=total)
        return 0.0, None

    return Contender(BOUND, call)
