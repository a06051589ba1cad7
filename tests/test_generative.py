"""Losses of generative adversarial networks: formulas, derivatives, buffers, bad input."""

import numpy as np
import pytest
from operands import assert_same_bits, dtype_of

import lossfast as lf
from lossfast.generative import KINDS


def softplus(x):
    return np.logaddexp(0, x)


def relu(x):
    return np.maximum(x, 0)


DISCRIMINATOR = {
    "minimax": lambda r, f: softplus(-r).mean() + softplus(f).mean(),
    "nonsaturating": lambda r, f: softplus(-r).mean() + softplus(f).mean(),
    "lsgan": lambda r, f: ((r - 1) ** 2).mean() + (f**2).mean(),
    "wgan": lambda r, f: f.mean() - r.mean(),
    "hinge": lambda r, f: relu(1 - r).mean() + relu(1 + f).mean(),
    "relativistic": lambda r, f: softplus(f - r).mean(),
}
GENERATOR = {
    "minimax": lambda r, f: -softplus(f).mean(),
    "nonsaturating": lambda r, f: softplus(-f).mean(),
    "lsgan": lambda r, f: ((f - 1) ** 2).mean(),
    "wgan": lambda r, f: -f.mean(),
    "hinge": lambda r, f: -f.mean(),
    "relativistic": lambda r, f: softplus(r - f).mean(),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def scores(dtype=np.float64, n=(7, 5), seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 2, n).astype(dtype), rng.normal(0, 2, n).astype(dtype)


def generator(kind, real):
    """The keywords of a generator."""
    return {"kind": kind, **({"real": real} if kind == "relativistic" else {})}


def slopes(f, x, h=1e-6):
    found = np.empty(x.shape)
    for i in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[i] = h
        found[i] = (f(x + step) - f(x - step)) / (2 * h)
    return found


@kinds
def test_values_and_gradients(kind, dtype):
    real, fake = scores(dtype)
    r, f = real.astype(np.float64), fake.astype(np.float64)
    tolerance = float(20 * np.finfo(dtype).eps)
    value, (by_real, by_fake) = lf.gan_discriminator.value_and_grad(real, fake, kind=kind)
    assert by_real.dtype == by_fake.dtype == dtype
    assert value == pytest.approx(DISCRIMINATOR[kind](r, f), rel=tolerance)
    np.testing.assert_allclose(by_real, slopes(lambda x: DISCRIMINATOR[kind](x, f), r), atol=1e-8)
    np.testing.assert_allclose(by_fake, slopes(lambda x: DISCRIMINATOR[kind](r, x), f), atol=1e-8)
    value, gradient = lf.gan_generator.value_and_grad(fake, **generator(kind, real))
    assert gradient.dtype == dtype
    assert value == pytest.approx(GENERATOR[kind](r, f), rel=tolerance)
    np.testing.assert_allclose(gradient, slopes(lambda x: GENERATOR[kind](r, x), f), atol=1e-8)


@kinds
def test_forms_of_a_call(kind, dtype):
    real, fake = scores(dtype, 3000)
    value, grads = lf.gan_discriminator.value_and_grad(real, fake, kind=kind)
    assert lf.gan_discriminator(real, fake, kind=kind) == value
    assert_same_bits(lf.gan_discriminator.grad(real, fake, kind=kind, n_threads=1), grads)
    out = tuple(np.full_like(g, 7) for g in grads)
    got, found = lf.gan_discriminator.value_and_grad(real, fake, kind=kind, out=(None, *out))
    assert got == value and found[0] is out[0] and found[1] is out[1]
    assert_same_bits(found, grads)
    total, sums = lf.gan_discriminator.value_and_grad(real, fake, kind=kind, reduction="sum")
    assert total == pytest.approx(value * 3000, rel=1e-9)
    np.testing.assert_allclose(sums[0], grads[0] * 3000, rtol=1e-6, atol=1e-30)
    more = generator(kind, real)
    value, gradient = lf.gan_generator.value_and_grad(fake, **more)
    assert lf.gan_generator(fake, **more) == value
    target = np.full_like(gradient, 7)
    assert lf.gan_generator.grad(fake, out=target, **more) is target
    assert_same_bits(target, gradient)


@kinds
def test_edges(kind):
    far = np.array([1e30, -1e30, 0.0])
    value, grads = lf.gan_discriminator.value_and_grad(far, far[::-1], kind=kind)
    assert np.isfinite(value) and all(np.isfinite(g).all() for g in grads)
    assert np.isnan(lf.gan_generator([np.nan, 0.0], **generator(kind, [0.0, 0.0])))
    value, grads = lf.gan_discriminator.value_and_grad([], [], kind=kind)
    assert value == 0.0 and [g.size for g in grads] == [0, 0]
    if kind != "relativistic":
        assert np.isfinite(lf.gan_discriminator([1.0, 2.0], [3.0], kind=kind))


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_halves(half):
    pytest.importorskip("ml_dtypes")
    real, fake = (x.astype(dtype_of(half)) for x in scores(np.float32))
    for kind in KINDS:
        value, grads = lf.gan_discriminator.value_and_grad(real, fake, kind=kind)
        singles = real.astype(np.float32), fake.astype(np.float32)
        want, expected = lf.gan_discriminator.value_and_grad(*singles, kind=kind)
        assert value == pytest.approx(want, rel=1e-6)
        for got, g in zip(grads, expected, strict=True):
            assert_same_bits(got, g.astype(got.dtype))


def test_gradient_penalty():
    norms = np.random.default_rng(0).random(20) * 3
    value, gradient = lf.gradient_penalty.value_and_grad(norms, target=1.0, weight=10.0)
    assert value == pytest.approx(10 * ((norms - 1) ** 2).mean(), rel=1e-14)
    np.testing.assert_allclose(gradient, 10 * 2 * (norms - 1) / 20, rtol=1e-13)
    assert lf.gradient_penalty(norms) == value
    assert lf.gradient_penalty(norms, weight=0.0) == 0.0
    assert not lf.gradient_penalty.grad(norms, weight=0.0).any()


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: lf.gan_discriminator([1.0], [1.0], kind="wgann"), ValueError, "kind is 'wgann'.*did you mean 'wgan'"),
        (lambda: lf.gan_discriminator([1.0], [1.0], reduction="none"), ValueError, "reduction is 'none'"),
        (lambda: lf.gan_discriminator([1.0], [1j]), TypeError, "fake has dtype complex128"),
        (lambda: lf.gan_discriminator([1.0], [1.0, 2.0], kind="relativistic"), ValueError, r"real has shape \(1,\)"),
        (lambda: lf.gan_discriminator([1.0], [1.0], n_threads=0), ValueError, "n_threads is 0"),
        (lambda: lf.gan_discriminator.grad([1.0], [1.0], out=np.zeros(1)), ValueError, "expected a tuple of 2"),
        (lambda: lf.gan_generator([1.0], kind="relativistic"), TypeError, "real is missing"),
        (lambda: lf.gan_generator([1.0], real=[1.0]), TypeError, "real is given"),
        (lambda: lf.gan_generator([1.0, 2.0], kind="relativistic", real=[1.0]), ValueError, "real has shape"),
        (lambda: lf.gradient_penalty([1.0, -2.0]), ValueError, r"norms\[1\] is -2.0, expected at least 0"),
        (lambda: lf.gradient_penalty([1.0], weight=-1.0), ValueError, "weight is -1.0"),
        (lambda: lf.gradient_penalty([1.0], target=np.nan), ValueError, "target is nan"),
        (lambda: lf.gradient_penalty([1.0], target="1"), TypeError, "target is '1'"),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_buffers_are_left_alone_by_what_is_wrong():
    x, g = np.ones(3), np.full(3, 7.0)
    with pytest.raises(ValueError, match="overlaps"):
        lf.gan_discriminator.grad(x, x + 1, out=(g, x))
    with pytest.raises(ValueError, match="overlaps"):
        lf.gan_discriminator.grad(x, x + 1, out=(g, g))
    assert (g == 7).all() and (x == 1).all()
