"""Every loss with its default parameters, from the registry.

Plain runs call each once; `pytest benchmarks --benchmark-enable --benchmark-only` takes times.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import boxes
import numpy as np
import pytest

import lossfast as lf

WANTED = {"value": "__call__", "value+grad": "value_and_grad", "value+grad+hess": "value_grad_hess"}
SIZES = (10**3, 10**6)
SHAPES = ((100, 10), (10**5, 10), (1000, 1000))
VECTORS = ((1000, 128), (10**4, 768))
SEQUENCES = ((32, 150, 29, 40), (1, 1000, 32, 120))


def losses(family: str, **params: Any) -> list[Any]:
    """The losses of a family; with parameters, those that have them."""
    found = [loss for loss in map(lf.get, lf.names()) if loss.declaration.family == family]
    return [lf.get(loss, **params) for loss in found if params.keys() <= loss.declaration.params.keys()]


def named(loss: Any) -> str:
    """For the table: its name, and what its predictions are."""
    return loss.declaration.name + ("-from_logits" if loss.get_params().get("from_logits") else "")


@functools.lru_cache(maxsize=4)
def drawn(sign_labels: bool, low: float, high: float, n: int, seed: int) -> np.ndarray:
    """Numbers well inside a domain."""
    rng = np.random.default_rng(seed)
    if sign_labels:
        return rng.choice(np.float32([-1, 1]), n)
    return rng.uniform(max(low, -2.0) + 0.01, min(high, 2.0) - 0.01, n).astype(np.float32)


def pointwise_operands(loss: Any, n: int) -> list[np.ndarray]:
    """Targets and predictions in the domains of a loss."""
    params, declaration = loss.get_params(), loss.declaration
    domains = (declaration.target(**params), declaration.pred(**params))
    return [drawn(d.sign_labels, d.low, d.high, n, seed) for seed, d in enumerate(domains)]


@functools.lru_cache(maxsize=4)
def distributions(shape: tuple[int, int], seed: int) -> np.ndarray:
    """A probability for each class."""
    x = np.random.default_rng(seed).random(shape, np.float32) + np.float32(0.01)
    return x / x.sum(axis=1, keepdims=True)


def classwise_operands(loss: Any, shape: tuple[int, int]) -> list[np.ndarray]:
    """Labels where the loss takes them, else distributions; probabilities, which are logits too."""
    target = distributions(shape, 0)
    return [target.argmax(axis=1) if loss.declaration.labels else target, distributions(shape, 1)]


def call_of(loss: Any, want: str, target: np.ndarray, pred: np.ndarray) -> Callable[[], Any]:
    """A call that writes to arrays made before."""
    method = loss if want == "value" else getattr(loss, WANTED[want])
    outputs = [np.empty_like(pred) for _ in range(want.count("+"))]
    if not outputs:
        return lambda: method(target, pred)
    return lambda: method(target, pred, out=(None, *outputs))


def take_times(benchmark: Any, loss: Any, want: str, size: str, operands: list[np.ndarray]) -> None:
    """Of one set of outputs."""
    benchmark.group = f"{want}, {size}"
    benchmark.extra_info |= {"loss": named(loss), "isa": lf.isa(), "threads": lf.get_num_threads()}
    result = benchmark(call_of(loss, want, *operands))
    assert np.isfinite(result if want == "value" else result[0])


@pytest.mark.parametrize("n", SIZES, ids=lambda n: f"n={n}")
@pytest.mark.parametrize("want", WANTED)
@pytest.mark.parametrize("loss", losses("pointwise"), ids=named)
def test_pointwise(benchmark: Any, loss: Any, want: str, n: int) -> None:
    """Vectors."""
    take_times(benchmark, loss, want, f"n={n}", pointwise_operands(loss, n))


@pytest.mark.parametrize("shape", SEQUENCES, ids=str)
@pytest.mark.parametrize("want", ["value", "value+grad"])
@pytest.mark.parametrize("loss", losses("sequence"), ids=named)
def test_sequence(benchmark: Any, loss: Any, want: str, shape: tuple[int, int, int, int]) -> None:
    """Samples, frames, classes, labels."""
    samples, frames, classes, labels = shape
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((samples, frames, classes), np.float32)
    take_times(benchmark, loss, want, f"shape={shape}", [rng.integers(1, classes, (samples, labels)), logits])


@pytest.mark.parametrize("n", SIZES, ids=lambda n: f"n={n}")
@pytest.mark.parametrize("want", ["value", "value+grad"])
@pytest.mark.parametrize("loss", losses("box"), ids=named)
def test_box(benchmark: Any, loss: Any, want: str, n: int) -> None:
    """Pairs of boxes."""
    take_times(benchmark, loss, want, f"n={n}", [boxes.boxes(n, seed) for seed in (0, 1)])


def time_gradients(benchmark: Any, loss: Any, want: str, shape: tuple[int, int], operands: list[np.ndarray]) -> None:
    """Of a loss with several gradients."""
    method = loss if want == "value" else loss.value_and_grad
    gradients = method(*operands)
    out = {}
    if want != "value":
        made = gradients[1] if isinstance(gradients[1], tuple) else (gradients[1],)
        out = {"out": (None, *map(np.zeros_like, made))}
    benchmark.group = f"{want}, shape={shape}"
    benchmark.extra_info |= {"loss": named(loss), "isa": lf.isa(), "threads": lf.get_num_threads()}
    result = benchmark(lambda: method(*operands, **out))
    assert np.isfinite(result if want == "value" else result[0])


@pytest.mark.parametrize("shape", VECTORS, ids=str)
@pytest.mark.parametrize("want", ["value", "value+grad"])
@pytest.mark.parametrize("loss", losses("embedding"), ids=named)
def test_embedding(benchmark: Any, loss: Any, want: str, shape: tuple[int, int]) -> None:
    """Rows of vectors, or scores."""
    rng, d = np.random.default_rng(0), loss.declaration
    vectors = [rng.standard_normal(shape, np.float32) for _ in range(len(d.arguments) - d.labelled)]
    labels = [rng.integers(0, 2, shape[:1] if d.vectors else shape)] if d.labelled else []
    time_gradients(benchmark, loss, want, shape, [*labels, *vectors])


@pytest.mark.parametrize("shape", VECTORS, ids=str)
@pytest.mark.parametrize("want", ["value", "value+grad"])
@pytest.mark.parametrize("loss", losses("sample"), ids=named)
def test_sample(benchmark: Any, loss: Any, want: str, shape: tuple[int, int]) -> None:
    """Rows of data, and of 32 latent variables."""
    rng = np.random.default_rng(0)
    shapes = [shape if name.startswith("x") else (shape[0], 32) for name in loss.declaration.arguments]
    time_gradients(benchmark, loss, want, shape, [rng.standard_normal(s, np.float32) for s in shapes])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("want", WANTED)
@pytest.mark.parametrize("loss", losses("classwise") + losses("classwise", from_logits=True), ids=named)
def test_classwise(benchmark: Any, loss: Any, want: str, shape: tuple[int, int]) -> None:
    """Rows of scores or probabilities, and of logits."""
    take_times(benchmark, loss, want, f"shape={shape}", classwise_operands(loss, shape))
