"""Losses of autoencoders: kernels against specifications, derivatives, accuracy, reductions, bad input."""

import mpmath
import numpy as np
import pytest
from conftest import LEVELS
from operands import assert_same_bits, dtype_of
from vectors import sample_operands

import lossfast as lf

BLOCK = 1024


def as_tuple(x):
    return x if isinstance(x, tuple) else (x,)


def specified(loss, operands):
    with np.errstate(all="ignore"):
        return loss.declaration.spec(*(x.astype(np.float64) for x in operands), **loss.get_params())


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 341), (BLOCK + 1,)], ids=str)
def test_agrees_with_its_specification(sample_loss, shape, dtype, isa):
    operands = sample_operands(sample_loss, 9, dtype, 1, shape, latent=33)
    value, grads = sample_loss.value_and_grad(*operands, reduction="none")
    want, eps = specified(sample_loss, operands), np.finfo(dtype).eps
    assert value.dtype == dtype and value.shape == want.value.shape
    np.testing.assert_allclose(value, want.value, rtol=60 * eps, atol=60 * eps)
    differentiable = [x for name, x in zip(sample_loss.declaration.arguments, operands, strict=True) if name != "x"]
    for got, expected, x in zip(as_tuple(grads), want.grads, differentiable, strict=True):
        assert got.dtype == dtype and got.shape == x.shape
        np.testing.assert_allclose(got, expected, rtol=60 * eps, atol=60 * eps)


def test_gradients_are_derivatives_of_the_value(sample_loss):
    operands, h = sample_operands(sample_loss, 6, seed=2), 1e-6
    found = as_tuple(sample_loss.grad(*operands, reduction="sum"))
    first = len(operands) - len(found)
    for o, gradient in enumerate(found, first):
        for k in np.ndindex(operands[o].shape[1:]):
            step = np.zeros_like(operands[o])
            step[(slice(None), *k)] = h
            up, down = (
                sample_loss(*operands[:o], operands[o] + s, *operands[o + 1 :], reduction="sample")
                * (operands[o][0].size if sample_loss.get_params().get("per") == "element" else 1)
                for s in (step, -step)
            )
            np.testing.assert_allclose((up - down) / (2 * h), gradient[(slice(None), *k)], rtol=1e-6, atol=2e-8)


@pytest.mark.parametrize("n", [5, 700, 3000])
def test_same_bits_whatever_is_asked_for(sample_loss, dtype, n):
    operands = sample_operands(sample_loss, n, dtype, 3)
    value, grads = sample_loss.value_and_grad(*operands)
    assert sample_loss(*operands) == value
    assert_same_bits(sample_loss.grad(*operands), grads)
    for n_threads in (1, 2, 3):
        assert_same_bits(sample_loss.value_and_grad(*operands, n_threads=n_threads), (value, grads))
    outs = tuple(np.full_like(g, 7) for g in as_tuple(grads))
    got, found = sample_loss.value_and_grad(*operands, out=(None, *outs))
    assert all(a is b for a, b in zip(as_tuple(found), outs, strict=True))
    assert_same_bits((got, found), (value, grads))


@pytest.mark.compiled
def test_same_bits_on_every_instruction_set_with_fma_and_in_any_layout(sample_loss, dtype):
    operands = sample_operands(sample_loss, 40, dtype, 4, (50,))
    found = []
    for level in LEVELS:
        if level != "base":
            lf.set_isa(level)
            found.append(sample_loss.value_and_grad(*operands, reduction="none"))
    for other in found[1:]:
        assert_same_bits(other, found[0])
    for layout in (np.asfortranarray, lambda x: np.repeat(x, 2, axis=-1)[..., ::2], lambda x: x[::-1].copy()[::-1]):
        moved = [layout(x) for x in operands]
        assert_same_bits(sample_loss.value_and_grad(*moved, reduction="none"), found[0])
        outs = [layout(np.full_like(g, 7)) for g in as_tuple(found[0][1])]
        assert_same_bits(sample_loss.value_and_grad(*operands, reduction="none", out=(None, *outs)), found[0])


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_halves_are_computed_in_float32(sample_loss, half):
    pytest.importorskip("ml_dtypes")
    halves = [x.astype(dtype_of(half)) for x in sample_operands(sample_loss, 20, np.float32, 6)]
    value, grads = sample_loss.value_and_grad(*halves)
    want, expected = sample_loss.value_and_grad(*(x.astype(np.float32) for x in halves))
    assert value == want
    for got, g in zip(as_tuple(grads), as_tuple(expected), strict=True):
        assert got.dtype == dtype_of(half)
        assert_same_bits(got, g.astype(got.dtype))
    for got in as_tuple(sample_loss.grad(*halves, grad_dtype=np.float64)):
        assert got.dtype == np.float64


def test_reductions_and_weights(sample_loss):
    operands = sample_operands(sample_loss, 8, seed=8)
    values = sample_loss(*operands, reduction="none")
    w = np.random.default_rng(0).random(values.shape)
    w[0] = 0
    weighted = sample_loss(*operands, sample_weight=w, reduction="none")
    np.testing.assert_allclose(weighted, w * values, rtol=1e-13)
    one = as_tuple(sample_loss.grad(*operands, sample_weight=w, reduction="sum"))
    for reduction, divisor in (("mean", w.sum()), ("sum", 1), ("sum_over_batch_size", w.size), ("batchmean", len(w))):
        value, grads = sample_loss.value_and_grad(*operands, sample_weight=w, reduction=reduction)
        assert np.isclose(value, weighted.sum() / divisor, rtol=1e-13)
        for got, expected in zip(as_tuple(grads), one, strict=True):
            np.testing.assert_allclose(got, expected / divisor, rtol=1e-13, atol=1e-16)
    rows = sample_loss(*operands, sample_weight=w, reduction="sample")
    sums = w.reshape(8, -1).sum(1)
    each = np.where(sums, weighted.reshape(8, -1).sum(1) / np.where(sums, sums, 1), 0)
    np.testing.assert_allclose(rows, each, rtol=1e-13)
    of_samples = np.arange(8.0)
    np.testing.assert_allclose(
        sample_loss(*operands, sample_weight=of_samples, reduction="sum"),
        (values.reshape(8, -1).sum(1) * of_samples).sum(),
        rtol=1e-13,
    )
    assert sample_loss(*operands, sample_weight=0.0) == 0.0
    with pytest.raises(ValueError, match="reduction='mean' of nothing"):
        sample_loss(*operands, sample_weight=0.0, empty="raise")


def test_of_nothing_and_of_empty_samples(sample_loss):
    for operands in (sample_operands(sample_loss, 0), sample_operands(sample_loss, 3, shape=(0,), latent=0)):
        value, grads = sample_loss.value_and_grad(*operands)
        assert value == 0.0 and all(g.size == 0 for g in as_tuple(grads))
        assert not sample_loss(*operands, reduction="none").any()


def test_accumulators_see_each_item(sample_loss):
    operands = sample_operands(sample_loss, 30, seed=10)
    values = sample_loss(*operands, reduction="none")
    whole, a, b = (sample_loss.accumulator() for _ in range(3))
    whole.update(*operands, sample_weight=np.arange(30.0))
    a.update(*(x[:13] for x in operands), sample_weight=np.arange(13.0))
    b.update(*(x[13:] for x in operands), sample_weight=np.arange(13.0, 30))
    a.merge(b)
    assert a.result() == whole.result()
    assert whole.count == values.size
    mean = sample_loss(*operands, sample_weight=np.arange(30.0))
    assert np.isclose(whole.result().mean, mean, rtol=1e-13)


def test_a_nan_stays_in_its_sample(sample_loss):
    operands = sample_operands(sample_loss, 6, seed=11)
    clean = sample_loss.value_and_grad(*operands, reduction="none")
    operands[-1][2] = np.nan
    value, grads = sample_loss.value_and_grad(*operands, reduction="none")
    left_out = sample_loss.get_params().get("beta") == 0
    assert np.isnan(value[2]).all() != left_out
    assert_same_bits(np.delete(value, 2, 0), np.delete(clean[0], 2, 0))
    for got, want in zip(as_tuple(grads), as_tuple(clean[1]), strict=True):
        assert_same_bits(np.delete(got, 2, 0), np.delete(want, 2, 0))


def divergence(mu, logvar):
    with mpmath.workdps(60):
        mu, v = mpmath.mpf(float(mu)), mpmath.mpf(float(logvar))
        return (mu**2 + mpmath.expm1(v) - v) / 2, mpmath.expm1(v) / 2


@pytest.mark.compiled
def test_the_divergence_does_not_cancel(dtype, isa):
    """Value and gradient of single elements beside mpmath, in units in the last place."""
    rng = np.random.default_rng(0)
    edges = [0.34375, np.nextafter(0.34375, 0), 0.35, 1e-3, 1e-8, 1e-20]
    v = np.concatenate([*(s * 10.0 ** rng.uniform(-12, 1.5, 150) for s in (1, -1)), edges, np.negative(edges)])
    v = v.astype(dtype)
    mu = np.where(rng.random(v.size) < 0.5, 0, rng.normal(0, 1, v.size) * np.abs(v)).astype(dtype)
    value, (by_mu, by_logvar) = lf.gaussian_kl.value_and_grad(mu, v, reduction="none")
    worst = 0.0
    for m, x, got, slope in zip(mu, v, value, lf.gaussian_kl.grad(mu, v, reduction="sum")[1], strict=True):
        want, by = divergence(m, x)
        for a, b in ((got, want), (slope, by)):
            if abs(b) > float(np.finfo(dtype).tiny):
                worst = max(worst, float(abs(mpmath.mpf(float(a)) - b) / mpmath.mpf(float(np.spacing(abs(dtype(b)))))))
    assert worst < 8
    assert_same_bits(by_mu, mu)
    np.testing.assert_allclose(by_logvar, np.expm1(v.astype(np.float64)) / 2, rtol=4 * np.finfo(dtype).eps)


def test_edges_of_the_divergence(dtype):
    v = np.array([0.0, np.inf, -np.inf, np.nan, 1000.0, -1000.0], dtype)
    value, (by_mu, by_logvar) = lf.gaussian_kl.value_and_grad(np.zeros_like(v), v, reduction="none")
    np.testing.assert_array_equal(value, np.array([0, np.inf, np.inf, np.nan, np.inf, 499.5], dtype))
    np.testing.assert_array_equal(by_logvar, np.array([0, np.inf, -0.5, np.nan, np.inf, -0.5], dtype))
    assert not by_mu.any()


def test_kinds_are_the_pointwise_losses(dtype):
    rng = np.random.default_rng(5)
    x, x_hat, z = rng.random((3, 200, 30)).astype(dtype)
    for kind, loss, target, pred, more in (
        ("mse", lf.mse, x, z, {}),
        ("mae", lf.mae, x, z, {}),
        ("huber", lf.Huber(delta=0.2), x, z, {"delta": 0.2}),
        ("bce", lf.binary_crossentropy, x, x_hat, {}),
        ("bce", lf.BinaryCrossentropy(from_logits=True), x, z, {"from_logits": True}),
    ):
        want, slope = loss.value_and_grad(target, pred, reduction="sum")
        value, gradient = lf.reconstruction.value_and_grad(target, pred, kind=kind, reduction="sum", **more)
        assert value == pytest.approx(want, rel=1e-14)
        assert_same_bits(gradient, slope)
        assert lf.reconstruction(target, pred, kind=kind, **more) == pytest.approx(want / 200, rel=1e-15)
        per_element = lf.reconstruction.value_and_grad(target, pred, kind=kind, per="element", **more)
        want, slope = loss.value_and_grad(target, pred)
        assert per_element[0] == pytest.approx(want, rel=1e-14)
        assert_same_bits(per_element[1], slope)


def test_a_vae_is_the_sum_of_its_terms(dtype):
    x, x_hat, mu, logvar = sample_operands(lf.vae, 500, dtype, 7, (4, 5))
    w = np.random.default_rng(1).random(500)
    value, (by_x_hat, by_mu, by_logvar) = lf.vae.value_and_grad(x, x_hat, mu, logvar, beta=2.0, sample_weight=w)
    first, gradient = lf.reconstruction.value_and_grad(x, x_hat, sample_weight=w)
    second, (a, b) = lf.gaussian_kl.value_and_grad(mu, logvar, sample_weight=w)
    assert value == pytest.approx(first + 2 * second, rel=1e-14)
    assert_same_bits(by_x_hat, gradient)
    assert_same_bits((by_mu, by_logvar), (2 * a, 2 * b))
    pixels = (255 * x / x.max()).astype(np.uint8)
    assert np.isclose(lf.vae(pixels, x_hat, mu, logvar), lf.vae(pixels.astype(dtype), x_hat, mu, logvar), rtol=1e-6)


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: lf.reconstruction([[1.0]], [[1.0, 2.0]]), ValueError, r"x has shape \(1, 1\) and x_hat \(1, 2\)"),
        (lambda: lf.gaussian_kl([1.0], [[1.0]]), ValueError, r"mu has shape \(1,\) and logvar \(1, 1\)"),
        (lambda: lf.vae([[1.0]], [[1.0]], [[1.0]] * 2, [[1.0]] * 2), ValueError, "first axes of one length"),
        (lambda: lf.vae(1.0, 1.0, 1.0, 1.0), ValueError, "first axes of one length"),
        (lambda: lf.vae([1.0], [1.0], [1.0]), TypeError, r"vae\(\) misses logvar"),
        (lambda: lf.gaussian_kl([1.0]), TypeError, r"gaussian_kl\(\) misses logvar"),
        (lambda: lf.reconstruction([1.0], [1.0], kind="mze"), ValueError, "kind is 'mze'.*did you mean 'ms"),
        (lambda: lf.reconstruction([1.0], [1.0], per="row"), ValueError, "per is 'row'"),
        (lambda: lf.reconstruction([1.0], [1.0], from_logits=True), ValueError, "from_logits is True, expected False"),
        (lambda: lf.reconstruction([1.0], [1.0], kind="huber", delta=0.0), ValueError, "delta is 0.0"),
        (lambda: lf.vae([1.0], [1.0], [1.0], [1.0], beta=-1.0), ValueError, "beta is -1.0"),
        (lambda: lf.vae([1.0], [1.0], [1j], [1.0]), TypeError, "mu has dtype complex128"),
        (lambda: lf.gaussian_kl(["a"], [1.0]), TypeError, "mu has dtype"),
        (lambda: lf.gaussian_kl([1.0], [1.0], n_threads=0), ValueError, "n_threads is 0"),
        (lambda: lf.gaussian_kl([1.0], [1.0], sample_weight=[-1.0]), ValueError, r"sample_weight\[0\] is -1.0"),
        (lambda: lf.gaussian_kl([[1.0]], [[1.0]], sample_weight=[[[1.0]]]), ValueError, "sample_weight has shape"),
        (lambda: lf.gaussian_kl.grad([1.0], [1.0], out=np.zeros(1)), ValueError, "expected a tuple of 2"),
        (lambda: lf.vae.hess([1.0], [1.0], [1.0], [1.0]), NotImplementedError, "vae has no Hessian"),
        (lambda: lf.gaussian_kl([1.0], [1.0], check=False), TypeError, "unexpected keyword 'check'"),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_probabilities_are_checked_before_anything_is_written():
    x, x_hat, mu, logvar = sample_operands(lf.VAE(kind="bce"), 3000, seed=1, shape=(3, 2))
    outs = [np.full_like(a, 7) for a in (x_hat, mu, logvar)]
    for bad, where, words in (
        (x_hat, (2000, 1, 1), r"x_hat\[2000, 1, 1\] is 1.5, expected a probability in \[0, 1\] \(for logits pass"),
        (x, (5, 0, 1), r"x\[5, 0, 1\] is 1.5, expected in \[0, 1\] \(are x and x_hat swapped"),
    ):
        before, bad[where] = bad[where], 1.5
        with pytest.raises(ValueError, match=words):
            lf.vae.value_and_grad(x, x_hat, mu, logvar, kind="bce", out=(None, *outs))
        bad[where] = before
    with pytest.raises(ValueError, match="overlaps"):
        lf.vae.value_and_grad(x, x_hat, mu, logvar, out=(None, outs[0], mu, outs[2]))
    with pytest.raises(ValueError, match="overlaps"):
        lf.vae.value_and_grad(x, x_hat, mu, logvar, out=(None, outs[0], outs[1], outs[1]))
    assert all((out == 7).all() for out in outs)
