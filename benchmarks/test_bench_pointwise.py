"""Every pointwise loss with its default parameters, from the registry.

Plain runs call each once; `pytest benchmarks --benchmark-enable --benchmark-only` takes times.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lossfast as lf

WANTED = {"value": "__call__", "value+grad": "value_and_grad", "value+grad+hess": "value_grad_hess"}
SIZES = (10**3, 10**6)


@functools.lru_cache(maxsize=4)
def drawn(sign_labels: bool, low: float, high: float, n: int, seed: int) -> np.ndarray:
    """Numbers well inside a domain."""
    rng = np.random.default_rng(seed)
    if sign_labels:
        return rng.choice(np.float32([-1, 1]), n)
    return rng.uniform(max(low, -2.0) + 0.01, min(high, 2.0) - 0.01, n).astype(np.float32)


def operands(loss: Any, n: int) -> list[np.ndarray]:
    """Targets and predictions in the domains of a loss."""
    params, declaration = loss.get_params(), loss.declaration
    domains = (declaration.target(**params), declaration.pred(**params))
    return [drawn(d.sign_labels, d.low, d.high, n, seed) for seed, d in enumerate(domains)]


def call_of(loss: Any, want: str, n: int) -> Callable[[], Any]:
    """A call that writes to arrays made before."""
    target, pred = operands(loss, n)
    method = loss if want == "value" else getattr(loss, WANTED[want])
    outputs = [np.empty_like(pred) for _ in range(want.count("+"))]
    if not outputs:
        return lambda: method(target, pred)
    return lambda: method(target, pred, out=(None, *outputs))


@pytest.mark.parametrize("n", SIZES, ids=lambda n: f"n={n}")
@pytest.mark.parametrize("want", WANTED)
@pytest.mark.parametrize("name", lf.names())
def test_loss(benchmark: Any, name: str, want: str, n: int) -> None:
    """Time one set of outputs."""
    loss = lf.get(name)
    if not hasattr(loss, "declaration"):
        pytest.skip("not a pointwise loss")
    benchmark.group = f"{want}, n={n}"
    benchmark.extra_info |= {"loss": name, "isa": lf.isa(), "threads": lf.get_num_threads()}
    result = benchmark(call_of(loss, want, n))
    value = result if want == "value" else result[0]
    assert np.isfinite(value)
