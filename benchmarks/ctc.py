"""CTC: operands, goals, and the contenders as each library's users would write them well."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import contenders
import numpy as np
from bandwidth import Bytes
from contenders import Contender, Goal

PROBED = 2**16  # elements of a gradient that are compared
SLOWEST = 20.0  # seconds of a call of a peer that is measured

GOALS = {
    (150, 32, 29, 40): Goal((0.0, 0.0), 8, 15),
    (100, 256, 37, 10): Goal((0.0, 0.0), 8, 15),
    (1600, 16, 29, 200): Goal((0.0, 0.0), 14, 25),
    (1000, 1, 32, 120): Goal((0.0, 0.0), 14, 25),
    (500, 64, 1000, 50): Goal((0.5, 0.5), 8, 12),
}


@dataclass(frozen=True)
class Case(contenders.Case):
    """One row: mean loss of the samples and its gradient by float32 logits; every sample has all frames and labels."""

    frames: int
    samples: int
    classes: int
    labels: int

    grad = True
    tolerance = 1.0  # that far off are gradients in float32's log space; the table of errors has them

    @property
    def n(self) -> int:  # type: ignore[override]
        """Logits."""
        return self.frames * self.samples * self.classes

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, N, C, S)."""
        return self.frames, self.samples, self.classes, self.labels

    def __str__(self) -> str:
        return f"ctc, {self.shape}"

    def cells(self) -> list[str]:
        """The first cells of its row."""
        return ["ctc", str(self.shape)]

    def moved(self) -> Bytes:
        """Logits in, the gradient out."""
        return Bytes((4,), 4)

    def probed(self) -> Any:
        """Elements anywhere, and those of a label in every frame, where gradients are large."""
        anywhere = np.random.default_rng(32).integers(0, self.n, PROBED)
        labels, _ = data(self)
        frame = np.random.default_rng(33).integers(0, self.samples * self.frames, PROBED)
        label = labels[frame // self.frames, frame % self.frames * self.labels // self.frames]
        return np.concatenate([anywhere, frame * self.classes + label])

    def reference(self) -> tuple[float, np.ndarray]:
        """The NumPy specification in float64, in log space."""
        from lossfast._numpy_sequence import ctc

        labels, logits = data(self)
        sample, at = np.divmod(self.probed(), self.frames * self.classes)
        total, slopes = np.empty(self.samples), np.empty(len(at))
        gradient = np.empty((1, self.frames, self.classes))
        for i in range(self.samples):
            one = slice(i, i + 1)
            ctc(False, logits[one], labels[one], None, None, 0, False, None, total[one], gradient, None, 1)
            slopes[sample == i] = gradient.reshape(-1)[at[sample == i]]
        return float(total.mean()), slopes / self.samples

    def goal(self) -> Goal | None:
        """The goal of a case, if it has one."""
        return GOALS.get(self.shape)


def data(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and logits as (samples, frames, classes); the same in every process."""
    rng = np.random.default_rng(30)
    labels = rng.integers(1, case.classes, (case.samples, case.labels))
    return labels, rng.standard_normal((case.samples, case.frames, case.classes), np.float32)


def lossfast(case: Case, isas: list[str], n_threads: int | None = None) -> Iterator[Contender]:
    """lossfast on each instruction set."""
    import lossfast as lf

    labels, logits = data(case)
    out = (None, np.zeros_like(logits))
    call = lambda: lf.ctc.value_and_grad(labels, logits, out=out, n_threads=n_threads)  # noqa: E731
    yield from contenders.on_lossfast(call, isas)


def softmax_alone(case: Case, isas: list[str]) -> Contender:
    """What no fused loss can be faster than: the cross-entropy of every frame and its gradient, by lossfast."""
    import lossfast as lf

    _, logits = data(case)
    rows = logits.reshape(-1, case.classes)
    zeros, out = np.zeros(len(rows), np.int64), (None, np.zeros_like(rows))
    call = lambda: lf.scce.value_and_grad(zeros, rows, from_logits=True, out=out)  # noqa: E731
    return next(contenders.on_lossfast(call, isas))


def torch(case: Case) -> Iterator[Contender]:
    """log_softmax and ctc_loss with autograd, frames first, as torch has them."""
    from torch import full
    from torch.nn.functional import ctc_loss, log_softmax

    def mean(logits: Any, targets: Any) -> Any:
        y = log_softmax(logits, dim=-1)
        return ctc_loss(y, targets, frames, counts, reduction="sum") / case.samples

    labels, logits = data(case)
    frames, counts = full((case.samples,), case.frames), full((case.samples,), case.labels)
    eager = next(contenders.on_torch(mean, (labels, np.ascontiguousarray(logits.transpose(1, 0, 2)))))

    def value_and_grad() -> tuple[Any, Any]:
        value, gradient = eager.call()
        return value, gradient.transpose(0, 1)

    yield eager._replace(call=value_and_grad)


def jax(case: Case) -> Iterator[Contender]:
    """Optax's in one graph."""
    import jax.numpy as jnp
    import optax

    labels, logits = data(case)
    paddings = jnp.zeros((case.samples, case.frames)), jnp.zeros((case.samples, case.labels))
    loss: Callable[..., Any] = lambda z, y: optax.ctc_loss(z, paddings[0], y, paddings[1]).mean()  # noqa: E731
    for contender in contenders.on_jax(loss, (labels, logits)):
        contender.call()
        start = time.perf_counter()
        contender.call()
        if time.perf_counter() - start > SLOWEST:
            raise RuntimeError(f"a call takes {time.perf_counter() - start:.0f} s")
        yield contender
