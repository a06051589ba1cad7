"""The specifications of the updates as a backend: what runs with LOSSFAST_BACKEND=numpy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lossfast._arrays import Array

if TYPE_CHECKING:
    from lossfast.optim._optimizer import Optimizer

AT_ONCE = 1 << 16  # elements of a contiguous array


def step(
    optimizer: Optimizer, t: int, lr: float, grads: list[Array], scale: float, clip: float, decay: float, keep: float
) -> None:
    """As _core.optimizer_step: the formulas in double precision, rounded to the dtype of the weights."""
    count = len(optimizer._stored())
    for i, (w, g) in enumerate(zip(optimizer._bound(), grads, strict=True)):
        arrays = [w, g, *optimizer._states[i * count : (i + 1) * count]]
        whole = not all(a.flags.c_contiguous for a in arrays)
        flat = arrays if whole else [a.reshape(-1) for a in arrays]
        for first in range(0, 1 if whole else w.size, AT_ONCE):
            part: list[Array] = flat if whole else [a[first : first + AT_ONCE] for a in flat]
            weight, grad, *states = (a.astype(np.float64) for a in part)
            with np.errstate(all="ignore"):
                grad = np.clip(scale * grad, -clip, clip) + decay * weight
                new = optimizer._formula(t, lr, keep * weight, grad, *states)
                for out, result in zip([part[0], *part[2:]], new, strict=True):
                    out[...] = result


def gradient_norm(single: bool, grads: list[Array], nthreads: int) -> float:
    """As _core.gradient_norm."""
    most = [float(np.max(np.abs(g), initial=0)) for g in grads]
    largest = max(most, default=0.0)
    if largest == 0 or not math.isfinite(largest) or any(map(math.isnan, most)):
        return sum(most)
    return largest * math.sqrt(math.fsum(float(np.sum((g.astype(np.float64) / largest) ** 2)) for g in grads))


def first_nonfinite(single: bool, grads: list[Array], nthreads: int) -> tuple[int, int] | None:
    """As _core.first_nonfinite."""
    for i, g in enumerate(grads):
        bad = ~np.isfinite(g.astype(np.float64))
        if bad.any():
            return i, int(bad.argmax())
    return None
