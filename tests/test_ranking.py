"""Losses of ranked items in groups: the core against the loops of the specification, and how groups are given."""

import tracemalloc

import numpy as np
import pytest
from operands import assert_same_bits, dtype_of, ranking_operands

import lossfast as lf

COMPILED = lf.backend() == "c"


def ragged(n, groups, dtype=np.float64, seed=0):
    """Items, and ids of groups of any size, not in order; some are empty or of one item."""
    rng = np.random.default_rng([seed, n])
    ids = rng.integers(0, groups, n) ** 2 - 5
    y, s = ranking_operands(n, dtype, seed)
    return y, s, ids


def specified(loss, y, s, ids, weight):
    """Value, gradient and Hessian of the weighted sum, of each group by itself."""
    values, grad, hess = [], np.zeros(len(s)), np.zeros(len(s))
    for w, g in zip(weight, np.unique(ids), strict=True):
        here = ids == g
        jet = loss.declaration.spec(y[here].astype(np.float64), s[here].astype(np.float64))
        values.append(w * jet.value)
        grad[here], hess[here] = w * jet.grad, w * jet.hess
    return np.array(values), grad, hess


@pytest.mark.parametrize("n, groups", [(1, 1), (7, 3), (33, 1), (300, 40), (700, 3)])
def test_agrees_with_its_specification(ranking_loss, dtype, isa, n, groups):
    y, s, ids = ragged(n, groups, dtype)
    weight = np.random.default_rng(0).random(len(np.unique(ids)))
    got = ranking_loss.value_grad_hess(y, s, groups=ids, sample_weight=weight, reduction="none")
    for x, want in zip(got, specified(ranking_loss, y, s, ids, weight), strict=True):
        assert x.dtype == dtype
        np.testing.assert_allclose(x, want, rtol=30 * np.finfo(dtype).eps, atol=100 * np.finfo(dtype).eps)


def test_derivatives_are_those_of_the_value(ranking_loss):
    y, s, ids = ragged(20, 3, seed=1)
    grad, hess = ranking_loss.grad_and_hess(y, s, groups=ids)
    for i in range(len(s)):
        step = np.zeros(len(s))
        step[i] = 1e-5
        (up, g_up), (down, g_down) = (ranking_loss.value_and_grad(y, s + x, groups=ids) for x in (step, -step))
        assert (up - down) / 2e-5 == pytest.approx(grad[i], rel=1e-6, abs=1e-9)
        assert (g_up[i] - g_down[i]) / 2e-5 == pytest.approx(hess[i], rel=1e-6, abs=1e-9)


def test_groups_given_in_any_way_are_the_same(ranking_loss, dtype):
    y, s = ranking_operands((6, 9), dtype, 2)
    want = ranking_loss.value_grad_hess(y, s)
    values = ranking_loss(y, s, reduction="none")
    flat = y.ravel(), s.ravel()
    ids = np.repeat(np.arange(6), 9)
    shuffle = np.random.default_rng(3).permutation(54)
    back = np.argsort(shuffle)
    for y_, s_, how, order in (
        (*flat, {"groups": ids}, slice(None)),
        (*flat, {"groups": ids.astype(np.uint8)}, slice(None)),
        (*flat, {"group_sizes": np.full(6, 9)}, slice(None)),
        (*flat, {"group_sizes": [9] * 6}, slice(None)),
        (flat[0][shuffle], flat[1][shuffle], {"groups": ids[shuffle]}, back),
    ):
        value, grad, hess = ranking_loss.value_grad_hess(y_, s_, **how)
        assert value == pytest.approx(want[0], rel=1e-6 if dtype == np.float32 else 1e-14)
        np.testing.assert_allclose(grad[order].reshape(6, 9), want[1], rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(hess[order].reshape(6, 9), want[2], rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(ranking_loss(y_, s_, reduction="none", **how), values, rtol=1e-6)
    three = y.reshape(2, 3, 9), s.reshape(2, 3, 9)
    assert ranking_loss(*three, reduction="none").shape == (2, 3)
    assert ranking_loss(*three, reduction="sample").shape == (2,)
    assert_same_bits(ranking_loss.value_grad_hess(*three)[1].reshape(6, 9), want[1])
    empty = ranking_loss(*flat, group_sizes=[0, 9, 9, 0, 27, 9, 0], reduction="none")
    assert not empty[[0, 3, 6]].any()
    assert_same_bits(empty[[1, 2, 5]], values[[0, 1, 5]])


def test_what_is_left_out_is_not_there(ranking_loss):
    y, s = ranking_operands((5, 7), seed=4)
    where = np.random.default_rng(5).random((5, 7)) < 0.6
    where[2] = False
    y_, s_ = np.where(where, y, -1), np.where(where, s, np.nan)  # whatever it is
    value, grad = ranking_loss.value_and_grad(y_, s_, where=where)
    assert not grad[~where].any()
    want, slopes = ranking_loss.value_and_grad(y[where], s[where], group_sizes=where.sum(axis=1))
    assert value == want
    assert_same_bits(grad[where], slopes)


def test_what_a_mean_is_of():
    y, s = [[0, 1, 2], [1, 1, 1], [0, 0, 3]], np.array([[0.5, 1.0, -1.0], [0.0, 1.0, 2.0], [1.0, 0.0, 0.0]])
    w = np.array([1.0, 4.0, 0.5])
    for loss, counts in ((lf.pairwise_logistic, np.array([3, 0, 2])), (lf.ranking_softmax, np.ones(3))):
        values, slopes = loss.value_and_grad(y, s, sample_weight=w, reduction="none")
        for reduction, divisor in (("mean", (w * counts).sum()), ("sum", 1), ("batchmean", 3)):
            value, grad = loss.value_and_grad(y, s, sample_weight=w, reduction=reduction)
            assert value == pytest.approx(values.sum() / divisor, rel=1e-14)
            np.testing.assert_allclose(grad, slopes / divisor, rtol=1e-14)
    assert lf.pairwise_logistic([1, 1], [3.0, 0.0]) == 0.0
    assert np.isnan(lf.pairwise_logistic([1, 1], [3.0, 0.0], empty="nan"))
    by_group = lf.pairwise_logistic(y, s, reduction="sample")
    assert by_group[0] == pytest.approx(np.logaddexp(0, [1.5, 2.0, -0.5]).mean(), rel=1e-14) and by_group[1] == 0


def test_ranking_softmax_is_optax():
    jax, losses = pytest.importorskip("jax"), pytest.importorskip("optax.losses")
    y, s = ranking_operands((20, 11), np.float32, 6)
    where = np.random.default_rng(7).random(y.shape) < 0.7
    where[3] = False
    weights = np.random.default_rng(8).random(y.shape).astype(np.float32)
    target = (y * weights).astype(np.float32)

    def peer(scores):
        return losses.ranking_softmax_loss(scores, jax.numpy.asarray(y, "float32"), where=where, weights=weights)

    want, slopes = jax.value_and_grad(peer)(s)
    value, grad = lf.ranking_softmax.value_and_grad(target, s, where=where)
    assert value == pytest.approx(float(want), rel=1e-5)
    np.testing.assert_allclose(grad, slopes, atol=1e-6)


def test_pairwise_logistic_is_ranknet_of_torch():
    torch = pytest.importorskip("torch")
    y, s, ids = ragged(60, 5, seed=9)
    t = torch.tensor(s, requires_grad=True)
    y_, g = torch.tensor(y), torch.tensor(ids)
    ranked = (y_[:, None] > y_) & (g[:, None] == g)
    want = torch.nn.functional.softplus(t - t[:, None])[ranked].mean()
    (slopes,) = torch.autograd.grad(want, t)
    value, grad = lf.pairwise_logistic.value_and_grad(y, s, groups=ids)
    assert value == pytest.approx(want.item(), rel=1e-12)
    np.testing.assert_allclose(grad, slopes.numpy(), atol=1e-14)


def test_extremes(ranking_loss, dtype):
    y, s = np.array([[2, 1, 0, 1], [0, 1, 0, 2]]), np.array([[1e4, -1e4, 0, 3e4], [0, 1, 2, 3]], dtype)
    value, grad, hess = ranking_loss.value_grad_hess(y, s)
    assert np.isfinite(value) and np.isfinite(grad).all() and (hess >= 0).all()
    s[0, 1] = np.nan
    values, grad = ranking_loss.value_and_grad(y, s, reduction="none")
    assert np.isnan(values[0]) and np.isfinite(values[1]) and np.isfinite(grad[1]).all()
    s[0] = [np.inf, 0, -np.inf, 0]
    values, grad = ranking_loss.value_and_grad(y, s, reduction="none")
    assert np.isfinite(values[1]) and np.isfinite(grad[1]).all()
    nothing = ranking_loss.value_and_grad(np.zeros((0, 4)), np.zeros((0, 4), dtype))
    assert nothing[0] == 0.0 and nothing[1].shape == (0, 4)
    assert ranking_loss(np.zeros(0), np.zeros(0), groups=np.zeros(0, int)) == 0.0


def test_the_boosting_hessian_is_positive(ranking_loss):
    y, s = np.array([[3, 0, 1]]), np.array([[0.0, 800.0, -800.0]])
    exact, floored = (ranking_loss.hess(y, s, hess=h) for h in ("exact", "boosting"))
    assert (exact == 0).any() and (floored > 0).all()
    np.testing.assert_array_equal(floored[exact > 1e-10], exact[exact > 1e-10])


def test_same_bits(ranking_loss, dtype):
    y, s, ids = ragged(900, 4, dtype, 10)
    want = ranking_loss.value_grad_hess(y, s, groups=ids)
    for threads in (1, 2, 5):
        assert_same_bits(ranking_loss.value_grad_hess(y, s, groups=ids, n_threads=threads), want)
    assert ranking_loss(y, s, groups=ids) == want[0]
    assert_same_bits(ranking_loss.grad(y.astype(np.float16), s[::-1][::-1], groups=ids), want[1])
    assert_same_bits(ranking_loss.hess(y, s, groups=ids), want[2])
    out = np.full((2, 1800), 7, dtype)
    grad, hess = ranking_loss.grad_and_hess(y, s, groups=ids, out=(out[0, ::2], out[1, ::2]))
    assert grad.base is out
    assert_same_bits((grad, hess), want[1:])


@pytest.mark.compiled
def test_levels_with_fma_give_the_same_bits(ranking_loss, dtype):
    y, s, ids = ragged(300, 4, dtype, 11)
    found = []
    for level in ("avx2", "avx512"):
        try:
            lf.set_isa(level)
        except ValueError:
            continue
        found.append(ranking_loss.value_grad_hess(y, s, groups=ids))
    for other in found[1:]:
        assert_same_bits(other, found[0])


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_halves(ranking_loss, half):
    pytest.importorskip("ml_dtypes")
    y, s = ranking_operands((5, 20), np.float32, 12)
    s = s.astype(dtype_of(half))
    value, grad = ranking_loss.value_and_grad(y, s)
    want, slopes = ranking_loss.value_and_grad(y, s.astype(np.float32))
    assert value == want
    assert_same_bits(grad, slopes.astype(s.dtype))


def test_accumulators(ranking_loss):
    y, s = ranking_operands((30, 6), seed=13)
    w = np.random.default_rng(14).random(30)
    acc = ranking_loss.accumulator()
    acc.update(y[:10], s[:10], sample_weight=w[:10])
    acc.update(y[10:], s[10:], sample_weight=w[10:])
    assert acc.result().mean == pytest.approx(ranking_loss(y, s, sample_weight=w), rel=1e-13)
    assert acc.result().count == 30


@pytest.mark.compiled
def test_memory_does_not_grow_with_pairs():
    n = 5000
    y, s = ranking_operands(n, np.float32, 15)
    tracemalloc.start()
    try:
        lf.pairwise_logistic.value_and_grad(y, s)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 300 * n


Y, S = [0, 1, 2], [0.5, 1.5, 2.5]


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda f: f(1, 2.0), ValueError, "y_pred is a number"),
        (lambda f: f([0, 1], S), ValueError, r"y_true has shape \(2,\) and y_pred \(3,\)"),
        (lambda f: f([0, 1, np.nan], S), ValueError, r"y_true\[2\] is nan, expected a"),
        (lambda f: f(Y, S, groups=[0, 1]), ValueError, r"groups has shape \(2,\), expected \(3,\)"),
        (lambda f: f(Y, S, groups=[0.0, 1.0, 1.0]), TypeError, "groups has dtype float64"),
        (lambda f: f(Y, S, groups=[0, 1, 1], group_sizes=[1, 2]), TypeError, "groups and group_sizes are given"),
        (lambda f: f(Y, S, group_sizes=[1, 1]), ValueError, "group_sizes add up to 2, expected 3"),
        (
            lambda f: f(Y, S, group_sizes=[4, -1]),
            ValueError,
            r"group_sizes\[0\] is 4, expected at least 0 and at most 3",
        ),
        (lambda f: f(Y, S, group_sizes=[3, -1, 1]), ValueError, r"group_sizes\[1\] is -1"),
        (lambda f: f(Y, S, group_sizes=[[3]]), ValueError, r"group_sizes has shape \(1, 1\)"),
        (lambda f: f(Y, S, group_sizes=3), ValueError, r"group_sizes has shape \(\)"),
        (lambda f: f([Y], [S], groups=[0]), ValueError, "groups is given for items of shape"),
        (lambda f: f(Y, S, where=[1, 0, 1]), TypeError, "where has dtype int64"),
        (lambda f: f(Y, S, where=[True]), ValueError, r"where has shape \(1,\)"),
        (lambda f: f(Y, S, group_sizes=[1, 2], sample_weight=[1, -2]), ValueError, r"sample_weight\[1\] is -2"),
        (lambda f: f(Y, S, group_sizes=[1, 2], sample_weight=[1, 2, 3]), ValueError, "sample_weight has shape"),
        (lambda f: f(Y, S, margin=3), TypeError, "unexpected keyword 'margin'"),
        (lambda f: f(Y, S, hess="diagonal"), ValueError, "hess is 'diagonal'"),
    ],
)
def test_bad_input(ranking_loss, call, error, words):
    with pytest.raises(error, match=words):
        call(ranking_loss)


def test_relevance_of_the_softmax_is_not_negative():
    for bad in (-1.0, np.inf):
        with pytest.raises(ValueError, match=r"y_true\[1\] is -?(1.0|inf), expected a finite number of at least 0"):
            lf.ranking_softmax([0, bad, 1], S)
    assert lf.pairwise_logistic([-1.0, -np.inf, 1], S) > 0
