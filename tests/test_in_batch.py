"""Losses of whole batches of vectors: blocks against the specification, and what they leave out of memory."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from operands import assert_same_bits, dtype_of
from vectors import batch_operands, whole_batch

import lossfast as lf
from lossfast import _similarities

SHAPES = [(2, 1, 1), (3, 4, 2), (40, 6, 5), (40, 6, 2), (40, 6, 40), (150, 33, 20)]
shapes = pytest.mark.parametrize("vectors, dimensions, classes", SHAPES)


@pytest.fixture(params=["whole", "none kept", "some kept"])
def block(request, monkeypatch):
    """All rows at once, or a few at a time, of which none or some are kept until the gradient."""
    if request.param != "whole":
        monkeypatch.setattr(_similarities, "SIMILARITIES", 2000 if request.param == "none kept" else 8000)
    if request.param == "some kept":
        monkeypatch.setattr(_similarities, "STRIP", 7)
        monkeypatch.setattr(_similarities, "PIECE", 100)


def assert_is_as_specified(loss, labels, x, **params):
    weight = np.random.default_rng(0).random(len(labels))
    values, gradient = loss.value_and_grad(labels, x, sample_weight=weight, reduction="none", **params)
    loss = type(loss)(**{**loss.get_params(), **params})
    with np.errstate(over="ignore"):  # of that of a vector with itself, which is left out
        want = whole_batch(loss, labels, x, weight)
    assert values.dtype == gradient.dtype == x.dtype
    reach = 100 * np.finfo(x.dtype).eps / loss.temperature
    np.testing.assert_allclose(values, weight * want.value, atol=reach * max(1, want.value.max()))
    np.testing.assert_allclose(gradient, want.grads[0], atol=reach * max(1, np.abs(want.grads[0]).max()))


@shapes
def test_agrees_with_its_specification(batch_loss, dtype, block, vectors, dimensions, classes):
    assert_is_as_specified(batch_loss, *batch_operands(vectors, dtype, 1, dimensions, classes))


def test_a_group_of_nearly_all(batch_loss, dtype, block):
    labels, x = np.array([7] * 27 + [3] * 3), batch_operands(30, dtype, 10)[1]
    for order in (slice(None), np.random.default_rng(1).permutation(30)):
        assert_is_as_specified(batch_loss, labels[order], x)


@pytest.mark.parametrize("temperature", [1e-2, 1e-10])
def test_small_temperatures(batch_loss, dtype, block, temperature):
    assert_is_as_specified(batch_loss, *batch_operands(50, dtype, 11, classes=20), temperature=temperature)


def test_temperatures_around_the_one_from_which_exponentials_are_added_as_they_are(batch_loss):
    labels, x = batch_operands(50, np.float32, 11, classes=20)
    above, below = (batch_loss.value_and_grad(labels, x, temperature=t / _similarities.LARGEST) for t in (1, 1 - 1e-7))
    assert above[0] == pytest.approx(below[0], rel=1e-5)
    np.testing.assert_allclose(above[1], below[1], atol=1e-4 * np.abs(below[1]).max())


def test_vectors_and_their_values_keep_their_order(batch_loss):
    labels, x = batch_operands(40, seed=12, classes=9)
    order = np.argsort(labels, kind="stable")
    values, gradient = batch_loss.value_and_grad(labels, x, reduction="none")
    in_groups = batch_loss.value_and_grad(labels[order], x[order], reduction="none")
    assert not np.array_equal(labels, labels[order])
    assert_same_bits((values[order], gradient[order]), in_groups)


def test_calls_at_the_same_time(batch_loss):
    operands = [batch_operands(100, np.float32, seed, classes=40) for seed in range(4)]
    want = [batch_loss.value_and_grad(*given) for given in operands]
    with ThreadPoolExecutor(4) as pool:
        for given, expected in list(zip(operands, want, strict=True)) * 10:
            got = pool.submit(batch_loss.value_and_grad, *given)
            other = pool.submit(batch_loss.value_and_grad, *operands[0])
            assert_same_bits(got.result(), expected)
            assert_same_bits(other.result(), want[0])


def test_the_gradient_is_the_derivative_of_the_value(batch_loss):
    labels, x = batch_operands(12, seed=2, classes=5)
    for reduction in ("mean", "sum"):
        gradient = batch_loss.grad(labels, x, reduction=reduction)
        for i, k in np.ndindex(*x.shape):
            step = np.zeros_like(x)
            step[i, k] = 1e-6
            up, down = (batch_loss(labels, x + s, reduction=reduction) for s in (step, -step))
            assert (up - down) / 2e-6 == pytest.approx(gradient[i, k], rel=2e-6, abs=2e-7)


def test_what_a_mean_is_of():
    labels, x = np.array([0, 0, 0, 1, 1, 2]), batch_operands(6, seed=3)[1]
    positives = np.array([2, 2, 2, 1, 1, 0])
    w = np.array([1.0, 2.0, 0.5, 1.0, 3.0, 5.0])
    for loss, counts in ((lf.ntxent, positives), (lf.supervised_contrastive, positives > 0)):
        values, gradient = loss.value_and_grad(labels, x, sample_weight=w, reduction="none")
        assert values[5] == 0
        for reduction, divisor in (
            ("mean", (w * counts).sum()),
            ("sum", 1),
            ("batchmean", 6),
            ("sum_over_batch_size", 6),
        ):
            got, slopes = loss.value_and_grad(labels, x, sample_weight=w, reduction=reduction)
            assert got == pytest.approx(values.sum() / divisor, rel=1e-14)
            np.testing.assert_allclose(slopes, gradient / divisor, rtol=1e-12, atol=1e-16)
        assert loss(labels, x, sample_weight=w) == loss(labels, x, sample_weight=w[:, None])


def test_ntxent_is_optax():
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    labels, x = batch_operands(50, np.float32, 4, 8, 20)
    want, slopes = jax.value_and_grad(lambda e: optax.ntxent(e, labels, 0.3))(x)
    value, gradient = lf.ntxent.value_and_grad(labels, x, temperature=0.3)
    assert value == pytest.approx(float(want), rel=1e-5)
    np.testing.assert_allclose(gradient, slopes, atol=1e-6)


def test_of_two_views_without_labels_both_are_cross_entropy_of_the_other_view():
    torch = pytest.importorskip("torch")
    labels, x = np.arange(20) % 10, batch_operands(20, seed=5)[1]
    t = torch.tensor(x, requires_grad=True)
    u = torch.nn.functional.normalize(t)
    s = (u @ u.T / 0.2).masked_fill(torch.eye(20, dtype=torch.bool), -torch.inf)
    want = torch.nn.functional.cross_entropy(s, torch.tensor((np.arange(20) + 10) % 20))
    (slopes,) = torch.autograd.grad(want, t)
    for loss in (lf.ntxent, lf.supervised_contrastive):
        value, gradient = loss.value_and_grad(labels, x, temperature=0.2)
        assert value == pytest.approx(want.item(), rel=1e-12)
        np.testing.assert_allclose(gradient, slopes.numpy(), atol=1e-13)


def test_the_length_of_a_vector_does_not_matter(batch_loss):
    labels, x = batch_operands(30, seed=6, classes=8)
    assert batch_loss(labels, 1000 * x) == pytest.approx(batch_loss(labels, x), rel=1e-12)
    np.testing.assert_allclose((batch_loss.grad(labels, x) * x).sum(axis=1), 0, atol=1e-14)


def test_edges(batch_loss, dtype):
    labels, x = batch_operands(9, dtype, 7, classes=4)
    x[2] = 0
    value, gradient = batch_loss.value_and_grad(labels, x)
    assert np.isfinite(value) and np.isfinite(gradient).all() and not gradient[2].any()
    same = np.repeat(x[:1], 9, axis=0)
    value, gradient = batch_loss.value_and_grad(labels, same)
    assert np.isfinite(value) and np.abs(gradient).max() < 1e-4
    for nothing in (np.arange(9), np.arange(0)):
        value, gradient = batch_loss.value_and_grad(nothing, x[: len(nothing)])
        assert value == 0.0 and not gradient.any()
        assert np.isnan(batch_loss(nothing, x[: len(nothing)], empty="nan"))
    everyone = batch_loss.value_and_grad(np.zeros(9, int), x, reduction="none")
    assert all(np.isfinite(part).all() for part in everyone)
    cold = batch_loss.value_and_grad(labels, x, temperature=1e-3)
    assert np.isfinite(cold[0]) and np.isfinite(cold[1]).all()
    x[0, 0] = np.nan
    assert np.isnan(batch_loss(labels, x))


def test_without_negatives_ntxent_is_0():
    value, gradient = lf.ntxent.value_and_grad([5, 5, 5], [[1.0, 2.0], [0.0, 1.0], [-1.0, 3.0]])
    assert value == 0.0 and not gradient.any()


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_halves_are_computed_in_float32(batch_loss, half):
    pytest.importorskip("ml_dtypes")
    labels, x = batch_operands(30, np.float32, 8, classes=9)
    x = x.astype(dtype_of(half))
    value, gradient = batch_loss.value_and_grad(labels, x)
    want, slopes = batch_loss.value_and_grad(labels, x.astype(np.float32))
    assert value == want
    assert_same_bits(gradient, slopes.astype(x.dtype))


def test_buffers_and_layouts(batch_loss, dtype):
    labels, x = batch_operands(30, dtype, 9, classes=9)
    value, gradient = batch_loss.value_and_grad(labels, x)
    out = np.full((30, 12), 7, dtype)[:, ::2]
    got, slopes = batch_loss.value_and_grad(labels[::-1][::-1], np.asfortranarray(x), out=(None, out))
    assert slopes is out
    assert_same_bits((got, slopes), (value, gradient))
    assert_same_bits(batch_loss.grad(labels, x, n_threads=1), gradient)
    assert batch_loss(labels, x) == value


def test_memory_is_far_below_that_of_all_similarities(batch_loss):
    n, d = 8192, 16
    labels, x = np.arange(n) // 2, np.random.default_rng(0).standard_normal((n, d), np.float32)
    out = np.zeros_like(x)
    tracemalloc.start()
    try:
        batch_loss.value_and_grad(labels, x, out=(None, out))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * _similarities.SIMILARITIES < n * n * 4 / 4


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda f: f([0], [[1.0]]), ValueError, "embeddings has one vector"),
        (lambda f: f([0, 1], [1.0, 2.0]), ValueError, r"embeddings has shape \(2,\)"),
        (lambda f: f([0, 1], np.zeros((2, 0))), ValueError, r"embeddings has shape \(2, 0\)"),
        (lambda f: f([0, 1, 2], [[1.0], [2.0]]), ValueError, r"labels has shape \(3,\), expected \(2,\)"),
        (lambda f: f([0.0, 1.0], [[1.0], [2.0]]), TypeError, "labels has dtype float64"),
        (lambda f: f([0, 1], [["a"], ["b"]]), TypeError, "embeddings has dtype"),
        (lambda f: f([0, 1], [[1.0], [2.0]], temperature=0.0), ValueError, "temperature is 0.0"),
        (lambda f: f([0, 1], [[1.0], [2.0]], sample_weight=[1, -1]), ValueError, r"sample_weight\[1\] is -1"),
        (lambda f: f.hess([0, 1], [[1.0], [2.0]]), NotImplementedError, "no Hessian"),
        (lambda f: f.accumulator().update([0, 1], [[1.0], [2.0]]), NotImplementedError, "whole batch"),
    ],
)
def test_bad_input(batch_loss, call, error, words):
    with pytest.raises(error, match=words):
        call(batch_loss)
