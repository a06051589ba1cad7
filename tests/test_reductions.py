"""Reductions, weights and what a mean of nothing is."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from operands import BLOCK, TARGET_DTYPES, assert_same_bits, away_from_kinks, domains, dtype_of, operands

import lossfast as lf

REDUCTIONS = ("mean", "sum", "none", "sample", "sum_over_batch_size", "batchmean")
SHAPE = (13, 101)


def reduced(reduction, losses, weight):
    """The definition, and the factor of every element's derivative."""
    weight = np.asarray(weight, np.float64)
    weight = np.broadcast_to(weight.reshape(weight.shape + (1,) * (losses.ndim - weight.ndim)), losses.shape)
    losses = losses.astype(np.float64)
    n, rows, total = losses.size, losses.shape[0], math.fsum(weight.ravel())
    products = weight * losses
    whole = math.fsum(products.ravel())
    if reduction == "none":
        return products, weight
    if reduction == "sample":
        sums = np.array([math.fsum(row.ravel()) for row in weight]).reshape(-1, *[1] * (losses.ndim - 1))
        factor = weight / sums
        return np.array([math.fsum(row.ravel()) for row in factor * losses]), factor
    divisor = {"mean": total, "sum": 1, "sum_over_batch_size": n, "batchmean": rows}[reduction]
    return whole / divisor, weight / divisor


def weights(name):
    """Weights of every form: by element, by row, one."""
    rng = np.random.default_rng(2)
    numbers = rng.integers(0, 2 if name == "bool" else 5, SHAPE).astype(dtype_of(name))
    numbers[:, 0] = 1
    yield from (numbers, numbers[:, 1] + numbers[:, 0], numbers[0, 0])


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reductions_are_their_definition(loss, dtype, reduction):
    target, pred = (x.reshape(SHAPE) for x in operands(loss, math.prod(SHAPE), dtype))
    losses, grads, hessians = loss.value_grad_hess(target, pred, reduction="none")
    rtol = 8 * np.finfo(dtype).eps
    for weight in (None, *weights("float64")):
        want, factor = reduced(reduction, losses, 1.0 if weight is None else weight)
        scale = np.abs(reduced(reduction, np.abs(losses), 1.0 if weight is None else weight)[0]).max()
        value, grad, hess = loss.value_grad_hess(target, pred, sample_weight=weight, reduction=reduction)
        assert type(value) is (np.ndarray if reduction in ("none", "sample") else float)
        assert_allclose(value, want, rtol=rtol, atol=rtol * scale * (reduction != "none"))
        assert_allclose(grad, factor * grads.astype(np.float64), rtol=rtol, atol=64 * np.finfo(dtype).tiny)
        assert_allclose(hess, factor * hessians.astype(np.float64), rtol=rtol, atol=64 * np.finfo(dtype).tiny)


@pytest.mark.parametrize("name", TARGET_DTYPES)
def test_weights_of_every_dtype_give_the_same_bits(plain, dtype, name):
    target, pred = (x.reshape(SHAPE) for x in operands(plain, math.prod(SHAPE), dtype))
    for weight, same in zip(weights(name), weights("float64"), strict=True):
        exact = np.asarray(weight).astype(np.float64)
        assert exact.shape == np.shape(same)
        for reduction in REDUCTIONS:
            got = plain.value_grad_hess(target, pred, sample_weight=weight, reduction=reduction)
            assert_same_bits(got, plain.value_grad_hess(target, pred, sample_weight=exact, reduction=reduction))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_gradient_is_that_of_the_reduced_value(loss, reduction):
    target, pred = operands(loss, 400)
    if any(loss.get_params().get(k) not in (None, "y_pred", "mean") for k in ("wrt",)):
        return  # of a parameter: see the derivatives
    domain, step = domains(loss)[1], 1e-5
    keep = away_from_kinks(loss, target, pred, 1e-2) & ~domain.outside(pred + 0.02) & ~domain.outside(pred - 0.02)
    target, pred = (x[keep & (np.abs(pred) < 5)][:6].reshape(2, 3) for x in (target, pred))
    weight = np.arange(1.0, 7.0).reshape(2, 3)
    grad, hess = loss.grad_and_hess(target, pred, sample_weight=weight, reduction=reduction)
    for i in np.ndindex(2, 3):
        up, down = pred.copy(), pred.copy()
        up[i] += step
        down[i] -= step
        values = [np.sum(loss(target, p, sample_weight=weight, reduction=reduction)) for p in (up, down)]
        grads = [np.sum(loss.grad(target, p, sample_weight=weight, reduction=reduction)) for p in (up, down)]
        assert_allclose(grad[i], (values[0] - values[1]) / (2 * step), rtol=1e-6, atol=1e-7 * (1 + abs(values[0])))
        assert_allclose(hess[i], (grads[0] - grads[1]) / (2 * step), rtol=1e-6, atol=1e-7 * (1 + abs(grads[0])))


def test_sums_are_exact_to_rounding_whatever_cancels(plain):
    target, pred = operands(plain, 5 * BLOCK + 3)
    losses = plain(target, pred, reduction="none")
    total, scale = math.fsum(losses), math.fsum(np.abs(losses))
    assert abs(plain(target, pred, reduction="sum") - total) <= 32 * 2**-52 * scale
    rows = plain(target[:-1].reshape(-1, 2), pred[:-1].reshape(-1, 2), reduction="sample")
    assert_allclose(rows, losses[:-1].reshape(-1, 2).mean(axis=1), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    "shape", [(5, 1), (3, BLOCK // 3), (2, BLOCK), (3, BLOCK + 1), (2, 2, 3000), (1100, 2, 3), (7,)]
)
def test_rows_of_every_length(plain, dtype, shape):
    target, pred = (x.reshape(shape) for x in operands(plain, math.prod(shape), dtype))
    losses, grads, _ = plain.value_grad_hess(target, pred, reduction="none")
    value, grad = plain.value_and_grad(target, pred, reduction="sample")
    assert value.shape == shape[:1] and value.dtype == dtype
    rtol = 16 * np.finfo(dtype).eps
    length = math.prod(shape[1:])
    want = losses.reshape(shape[0], -1).astype(np.float64).mean(axis=1)
    assert_allclose(value, want, rtol=rtol, atol=rtol * np.abs(losses).max())
    assert_allclose(grad, grads / length, rtol=rtol)
    assert_same_bits(plain(target, pred, reduction="sample", n_threads=3), value)
    out = np.full(shape[:1], 7, dtype)
    assert plain(target, pred, reduction="sample", out=out) is out
    assert_same_bits(out, value)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (0, 0)])
def test_nothing_has_no_loss(plain, dtype, shape, reduction):
    nothing = np.zeros(shape, dtype)
    value, grad, hess = plain.value_grad_hess(nothing, nothing, reduction=reduction)
    assert grad.shape == hess.shape == shape and grad.dtype == hess.dtype == dtype
    if reduction in ("none", "sample"):
        assert value.shape == (shape if reduction == "none" else shape[:1])
        assert not value.any()
    else:
        assert value == 0.0
    means_nothing = (
        reduction in ("mean", "sum_over_batch_size")
        or (reduction == "sample" and shape[0])
        or (reduction == "batchmean" and not shape[0])
    )
    if means_nothing:
        assert np.isnan(plain(nothing, nothing, reduction=reduction, empty="nan")).all()
        with pytest.raises(ValueError, match="nothing"):
            plain(nothing, nothing, reduction=reduction, empty="raise")
    else:
        assert not np.isnan(plain(nothing, nothing, reduction=reduction, empty="nan")).any()


def test_weights_that_are_all_zero(plain, dtype):
    target, pred = (x.reshape(2, 5) for x in operands(plain, 10, dtype))
    for weight in (0, np.zeros(2), np.zeros((2, 5), bool)):
        value, grad, hess = plain.value_grad_hess(target, pred, sample_weight=weight)
        assert value == 0.0 and not grad.any() and not hess.any()
        value, grad, hess = plain.value_grad_hess(target, pred, sample_weight=weight, empty="nan")
        assert np.isnan(value) and np.isnan(grad).all() and np.isnan(hess).all()
        out = np.full((2, 5), 7, dtype)
        with pytest.raises(ValueError, match="weights are 0"):
            plain.grad(target, pred, sample_weight=weight, empty="raise", out=out)
        assert (out == 7).all()
    one = np.array([[0.0] * 5, [1.0] * 5])
    value, grad = plain.value_and_grad(target, pred, sample_weight=one, reduction="sample", empty="nan")
    assert np.isnan(value[0]) and np.isfinite(value[1]) and np.isfinite(grad[1]).all()
    value, grad = plain.value_and_grad(target, pred, sample_weight=one, reduction="sample")
    assert value[0] == 0 and not grad[0].any()


@pytest.mark.parametrize(
    "name, shapes",
    [
        ("mse", [(0, 3), (0, 3)]),
        ("sparse_categorical_crossentropy", [(0, 2), (0, 2, 3)]),
        ("giou", [(0, 4), (0, 4)]),
        ("dice", [(0, 5, 2), (0, 5, 2)]),
        ("contrastive", [(0,), (0, 3), (0, 3)]),
        ("triplet", [(0, 2, 3)] * 3),
        ("ranking_softmax", [(0, 3), (0, 3)]),
        ("linear_crossentropy", [(0,), (0, 3), (4, 3)]),
        ("reconstruction", [(0, 3), (0, 3)]),
    ],
)
def test_sample_of_no_entries(name, shapes):
    operands = [
        np.zeros(shape, np.int64 if shape != shapes[-1] and i == 0 else float) for i, shape in enumerate(shapes)
    ]
    assert getattr(lf, name)(*operands, reduction="sample").shape == (0,)
