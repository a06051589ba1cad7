"""Anchors and positives of a batch: the multiple negatives ranking loss."""

import tracemalloc

import numpy as np
import pytest
from operands import assert_same_bits, dtype_of

import lossfast as lf
from lossfast import _similarities


def pairs(n, dtype=np.float64, seed=0, dimensions=6):
    rng = np.random.default_rng([seed, n])
    a = rng.normal(0, 1, (n, dimensions))
    return a.astype(dtype), (a + rng.normal(0, 0.5, a.shape)).astype(dtype)


@pytest.mark.parametrize("n, block", [(2, None), (3, None), (40, None), (40, 2000), (150, 5000)])
def test_agrees_with_its_specification(retrieval_loss, dtype, n, block, monkeypatch):
    if block:
        monkeypatch.setattr(_similarities, "SIMILARITIES", block)
        monkeypatch.setattr(_similarities, "STRIP", 4)  # of which some are kept until the gradient
    assert_is_as_specified(retrieval_loss, n, dtype)
    assert_is_as_specified(retrieval_loss, n, dtype, scale=200.0)


def assert_is_as_specified(loss, n, dtype, **given):
    a, p = pairs(n, dtype)
    w = np.random.default_rng(0).random(n)
    values, grads = loss.value_and_grad(a, p, sample_weight=w, reduction="none", **given)
    params = {**loss.get_params(), **given}
    want = loss.declaration.spec(a.astype(np.float64), p.astype(np.float64), w, **params)
    largest = 1 if params["similarity"] == "cosine" else np.abs(a @ p.T).max()
    reach = 10 * np.finfo(dtype).eps * params["scale"] * largest
    np.testing.assert_allclose(values, w * want.value, rtol=reach, atol=reach)
    for got, gradient in zip(grads, want.grads, strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, gradient, rtol=reach, atol=reach * params["scale"])


def test_the_gradient_is_the_derivative_of_the_value(retrieval_loss):
    given = pairs(7, seed=1, dimensions=3)
    gradients = retrieval_loss.grad(*given)
    for which in (0, 1):
        for i, k in np.ndindex(*given[0].shape):
            up, down = ([x.copy() for x in given] for _ in range(2))
            up[which][i, k] += 1e-6
            down[which][i, k] -= 1e-6
            slope = (retrieval_loss(*up) - retrieval_loss(*down)) / 2e-6
            assert slope == pytest.approx(gradients[which][i, k], rel=1e-6, abs=1e-8)


def test_is_that_of_sentence_transformers(retrieval_loss):
    torch = pytest.importorskip("torch")
    params = retrieval_loss.get_params()
    leaves = [torch.tensor(x, requires_grad=True) for x in pairs(20, seed=2)]
    normalize = torch.nn.functional.normalize if params["similarity"] == "cosine" else (lambda x: x)
    a, p = map(normalize, leaves)
    scores, labels = params["scale"] * a @ p.T, torch.arange(20)
    want = torch.nn.functional.cross_entropy(scores, labels)
    if params["symmetric"]:
        want = (want + torch.nn.functional.cross_entropy(scores.T, labels)) / 2
    value, gradients = retrieval_loss.value_and_grad(*(x.detach().numpy() for x in leaves))
    assert value == pytest.approx(want.item(), rel=1e-12)
    for got, slopes in zip(gradients, torch.autograd.grad(want, leaves), strict=True):
        np.testing.assert_allclose(got, slopes.numpy(), atol=1e-12)


def test_edges(retrieval_loss, dtype):
    a, p = pairs(6, dtype, 3)
    a[2] = p[4] = 0
    value, (by_a, by_p) = retrieval_loss.value_and_grad(a, p)
    assert np.isfinite(value) and np.isfinite(by_a).all() and np.isfinite(by_p).all()
    if retrieval_loss.get_params()["similarity"] == "cosine":
        assert not by_a[2].any() and not by_p[4].any()
    same = np.ones((5, 3), dtype)
    value, grads = retrieval_loss.value_and_grad(same, same)
    assert value == pytest.approx(np.log(5), rel=1e-6)
    assert max(np.abs(g).max() for g in grads) < 1e-5
    nothing = np.zeros((0, 3), dtype)
    assert retrieval_loss(nothing, nothing) == 0.0
    far = retrieval_loss.value_and_grad(a, p, scale=1e4)
    assert np.isfinite(far[0]) and np.isfinite(far[1][0]).all()
    a[0, 0] = np.nan
    assert np.isnan(retrieval_loss(a, p))


def test_reductions_and_weights(retrieval_loss):
    a, p = pairs(8, seed=4)
    w = np.arange(8.0)
    values = retrieval_loss(a, p, sample_weight=w, reduction="none")
    assert retrieval_loss(a, p, sample_weight=w) == pytest.approx(values.sum() / w.sum(), rel=1e-14)
    assert retrieval_loss(a, p, sample_weight=w, reduction="sum") == pytest.approx(values.sum(), rel=1e-14)
    np.testing.assert_allclose(retrieval_loss(a, p, reduction="sample"), retrieval_loss(a, p, reduction="none"))


def test_buffers_layouts_and_halves(retrieval_loss, dtype):
    pytest.importorskip("ml_dtypes")
    a, p = pairs(30, dtype, 5)
    value, grads = retrieval_loss.value_and_grad(a, p)
    out = np.zeros((30, 12), dtype)[:, ::2], np.zeros((30, 6), dtype)
    got, slopes = retrieval_loss.value_and_grad(np.asfortranarray(a), p[::-1][::-1], out=(None, *out), n_threads=1)
    assert slopes[0] is out[0] and slopes[1] is out[1]
    assert_same_bits((got, *slopes), (value, *grads))
    half = p.astype(dtype_of("bfloat16"))
    assert [g.dtype for g in retrieval_loss.grad(a, half)] == [a.dtype, half.dtype]


def test_memory_is_far_below_that_of_all_similarities():
    n = 8192
    a, p = pairs(n, np.float32, 6, 16)
    tracemalloc.start()
    try:
        lf.multiple_negatives_ranking.value_and_grad(a, p, symmetric=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * _similarities.SIMILARITIES < n * n * 4 / 4


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda f: f([[1.0]], [[1.0]]), ValueError, "anchors has one vector, expected others"),
        (lambda f: f([[1.0], [2.0]], [1.0, 2.0]), ValueError, r"positives has shape \(2,\)"),
        (lambda f: f([[1.0], [2.0]], [[1.0]] * 3), ValueError, r"anchors has shape \(2, 1\) and positives \(3, 1\)"),
        (lambda f: f([["a"], ["b"]], [[1.0], [2.0]]), TypeError, "anchors has dtype"),
        (lambda f: f([[1.0], [2.0]], [[1.0], [2.0]], scale=0.0), ValueError, "scale is 0.0"),
        (lambda f: f([[1.0], [2.0]], [[1.0], [2.0]], symmetric=1), TypeError, "symmetric is 1"),
        (lambda f: f([[1.0], [2.0]], [[1.0], [2.0]], similarity="cos"), ValueError, "similarity is 'cos'"),
        (lambda f: f([[1.0], [2.0]], [[1.0], [2.0]], sample_weight=[1, np.nan]), ValueError, r"sample_weight\[1\]"),
        (lambda f: f([[1.0], [2.0]]), TypeError, "misses positives"),
        (lambda f: f.hess([[1.0], [2.0]], [[1.0], [2.0]]), NotImplementedError, "no Hessian"),
    ],
)
def test_bad_input(retrieval_loss, call, error, words):
    with pytest.raises(error, match=words):
        call(retrieval_loss)
