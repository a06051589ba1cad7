"""Triplets that are found in a batch: blocks of distances against the loops of the specification."""

import tracemalloc

import numpy as np
import pytest
from operands import assert_same_bits, dtype_of
from vectors import batch_operands, whole_batch

import lossfast as lf
from lossfast import _similarities

SHAPES = [(2, 1, 1), (3, 4, 2), (24, 6, 4), (24, 6, 2), (24, 6, 24), (33, 40, 9)]


@pytest.fixture(params=[None, 2000])
def block(request, monkeypatch):
    """All rows at once, or a few at a time."""
    if request.param:
        monkeypatch.setattr(_similarities, "SIMILARITIES", request.param)


@pytest.mark.parametrize("vectors, dimensions, classes", SHAPES)
def test_agrees_with_its_specification(mining_loss, dtype, block, vectors, dimensions, classes):
    labels, x = batch_operands(vectors, dtype, 1, dimensions, classes)
    weight = np.random.default_rng(0).random(vectors)
    values, gradient = mining_loss.value_and_grad(labels, x, sample_weight=weight, reduction="none")
    want = whole_batch(mining_loss, labels, x, weight)
    assert values.dtype == gradient.dtype == dtype
    reach = 10 * np.finfo(dtype).eps
    np.testing.assert_allclose(values, weight * want.value, rtol=reach, atol=1e-13)
    np.testing.assert_allclose(gradient, want.grads[0], rtol=reach, atol=1e-12)


def test_the_gradient_is_the_derivative_of_the_value(mining_loss):
    labels, x = batch_operands(10, seed=2, classes=4)
    gradient = mining_loss.grad(labels, x)
    for i, k in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[i, k] = 1e-6
        up, down = (mining_loss(labels, x + s) for s in (step, -step))
        assert (up - down) / 2e-6 == pytest.approx(gradient[i, k], rel=1e-6, abs=1e-8)


def test_batch_hard_by_hand():
    labels, x = [0, 0, 1, 1], [[0.0], [3.0], [2.0], [6.0]]
    # 0: 3 - 2, 3: 3 - 1, 2: 4 - 1, 6: 4 - 3
    for margin, want in ((1.0, [2, 3, 4, 2]), (0.0, [1, 2, 3, 1])):
        np.testing.assert_array_equal(lf.batch_hard_triplet(labels, x, margin=margin, reduction="none"), want)
    soft = lf.batch_hard_triplet(labels, x, soft_margin=True, reduction="none")
    np.testing.assert_allclose(soft, np.log1p(np.exp([1, 2, 3, 1])), rtol=1e-15)
    # d(0, 3) - d(0, 2), d(3, 0) - d(3, 2), d(2, 6) - d(2, 3), d(6, 2) - d(6, 3)
    gradient = lf.batch_hard_triplet.grad(labels, x, reduction="sum")
    np.testing.assert_allclose(gradient[:, 0], [-1, 1 - 1 + 1, -1 + 1 - 1, 1], atol=1e-12)


def test_batch_all_is_the_mean_of_what_is_lost():
    labels, x = [0, 0, 1, 1], np.array([[0.0], [3.0], [2.0], [6.0]])
    value, count = lf.batch_all_triplet(labels, x, full_output=True)
    assert value == 15 / 6 and count.tolist() == [1, 2, 2, 1]
    value, gradient, count = lf.batch_all_triplet.value_and_grad(
        labels, x, full_output=True, sample_weight=[1, 2, 0, 0]
    )
    assert value == (2 + 2 * 4) / (1 + 2 * 2) and count.sum() == 6
    np.testing.assert_allclose(gradient.sum(), 0, atol=1e-12)
    assert lf.batch_all_triplet(labels, x, reduction="sum") == 15
    assert lf.batch_all_triplet(labels, 100 * x[[0, 0, 3, 3]]) == 0.0
    assert np.isnan(lf.batch_all_triplet(labels, 100 * x[[0, 0, 3, 3]], empty="nan"))


def test_pytorch_metric_learning_means_over_the_same_triplets():
    # TripletMarginLoss(margin=0.05) of normalized vectors: every triplet, and the mean of those above 0
    labels, x = batch_operands(20, seed=3, classes=4)
    u = x / np.linalg.norm(x, axis=1, keepdims=True)
    a, p, n = np.nonzero(
        (labels[:, None, None] == labels[None, :, None])
        & (labels[:, None, None] != labels)
        & ~np.eye(20, dtype=bool)[:, :, None]
    )
    d = np.sqrt(((u[:, None] - u) ** 2).sum(axis=2))
    losses = np.maximum(d[a, p] - d[a, n] + 0.05, 0)
    assert lf.batch_all_triplet(labels, u, margin=0.05) == pytest.approx(losses[losses > 0].mean(), rel=1e-12)


def test_torch_composed(mining_loss):
    torch = pytest.importorskip("torch")
    params = mining_loss.get_params()
    labels, x = batch_operands(30, seed=4, classes=6)
    t = torch.tensor(x, requires_grad=True)
    u = torch.nn.functional.normalize(t) if params["distance"] == "cosine" else t
    square = ((u[:, None] - u) ** 2).sum(dim=2)
    d = {"squared": square, "euclidean": (square + torch.eye(30)).sqrt(), "cosine": 1 - u @ u.T}[params["distance"]]
    alike = torch.tensor(labels[:, None] == labels) & ~torch.eye(30, dtype=torch.bool)
    different = torch.tensor(labels[:, None] != labels)
    if mining_loss.name == "batch_all_triplet":
        losses = (d[:, :, None] - d[:, None] + params["margin"])[alike[:, :, None] & different[:, None]].relu()
        want = losses.sum() / (losses > 0).sum()
    else:
        far, near = d.masked_fill(~alike, -torch.inf).amax(1), d.masked_fill(~different, torch.inf).amin(1)
        x_ = (far - near)[alike.any(1) & different.any(1)]
        soft = params["soft_margin"]
        want = (torch.nn.functional.softplus(x_) if soft else (x_ + params["margin"]).relu()).mean()
    (slopes,) = torch.autograd.grad(want, t)
    value, gradient = mining_loss.value_and_grad(labels, x)
    assert value == pytest.approx(want.item(), rel=1e-9)
    np.testing.assert_allclose(gradient, slopes.numpy(), rtol=1e-7, atol=1e-10)


def test_edges(mining_loss, dtype):
    labels, x = batch_operands(9, dtype, 7, classes=4)
    x[2] = 0
    value, gradient = mining_loss.value_and_grad(labels, x)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    if mining_loss.get_params()["distance"] == "cosine":
        assert not gradient[2].any()
    same = np.repeat(x[:1], 9, axis=0)
    value, gradient = mining_loss.value_and_grad(labels, same)
    assert np.isfinite(value) and np.abs(gradient).max() < 1e-6
    for nothing in (np.arange(9), np.zeros(9, int), np.arange(0)):
        value, gradient = mining_loss.value_and_grad(nothing, x[: len(nothing)])
        assert value == 0.0 and not gradient.any()
        assert np.isnan(mining_loss(nothing, x[: len(nothing)], empty="nan"))
    x[0, 0] = np.nan
    assert np.isnan(mining_loss(labels, x))
    assert np.isnan(mining_loss.grad(labels, x)).any()


def test_vectors_far_from_the_origin_keep_their_distances(dtype):
    rng = np.random.default_rng(5)
    labels, x = rng.integers(0, 4, 30), rng.integers(-8, 9, (30, 5)).astype(dtype)
    far = x + dtype(4096)  # exactly
    for loss in (lf.batch_hard_triplet, lf.batch_all_triplet):
        assert loss(labels, far) == pytest.approx(loss(labels, x), rel=1e-12)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_halves(mining_loss, half):
    pytest.importorskip("ml_dtypes")
    labels, x = batch_operands(20, np.float32, 8, classes=5)
    x = x.astype(dtype_of(half))
    value, gradient = mining_loss.value_and_grad(labels, x)
    want, slopes = mining_loss.value_and_grad(labels, x.astype(np.float32))
    assert value == want
    assert_same_bits(gradient, slopes.astype(x.dtype))


def test_buffers_and_layouts(mining_loss, dtype):
    labels, x = batch_operands(20, dtype, 9, classes=5)
    value, gradient = mining_loss.value_and_grad(labels, x)
    out = np.full((20, 12), 7, dtype)[:, ::2]
    got, slopes = mining_loss.value_and_grad(labels[::-1][::-1], np.asfortranarray(x), out=(None, out))
    assert slopes is out
    assert_same_bits((got, slopes), (value, gradient))
    assert_same_bits(mining_loss.grad(labels, x, n_threads=1), gradient)
    assert mining_loss(labels, x) == value


def test_memory_is_far_below_that_of_all_distances(monkeypatch):
    monkeypatch.setattr(_similarities, "SIMILARITIES", 1 << 18)
    n = 1024
    labels, x = np.arange(n) // 2, np.random.default_rng(0).standard_normal((n, 8), np.float32)
    for loss in (lf.batch_hard_triplet, lf.batch_all_triplet):
        loss(labels[:2], x[:2])  # after which there is memory for temporaries
        tracemalloc.start()
        try:
            loss.value_and_grad(labels, x)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 8 * _similarities.SIMILARITIES < n * n * 8 / 3


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda f: f([0], [[1.0]]), ValueError, "embeddings has one vector"),
        (lambda f: f([0, 1], [1.0, 2.0]), ValueError, r"embeddings has shape \(2,\)"),
        (lambda f: f([0, 1, 2], [[1.0], [2.0]]), ValueError, r"labels has shape \(3,\), expected \(2,\)"),
        (lambda f: f([0.0, 1.0], [[1.0], [2.0]]), TypeError, "labels has dtype float64"),
        (lambda f: f([0, 1], [[1.0], [2.0]], margin=-1.0), ValueError, "margin is -1.0"),
        (lambda f: f([0, 1], [[1.0], [2.0]], distance="cosin"), ValueError, "did you mean 'cosine'"),
        (lambda f: f([0, 1], [[1.0], [2.0]], full_output=1), TypeError, "full_output is 1"),
        (lambda f: f([0, 1], [[1.0], [2.0]], sample_weight=[1, -1]), ValueError, r"sample_weight\[1\] is -1"),
        (lambda f: f.hess([0, 1], [[1.0], [2.0]]), NotImplementedError, "no Hessian"),
    ],
)
def test_bad_input(mining_loss, call, error, words):
    with pytest.raises(error, match=words):
        call(mining_loss)
