"""The kernel of an epoch of a linear model, beside products of matrices in double precision."""

import numpy as np
import pytest

import lossfast as lf
from lossfast import _loss

pytestmark = pytest.mark.compiled
core = _loss._core
LOSSES = {"huber": ("huber", (0.8,)), "bce": ("binary_crossentropy_logits_plain", ()), "quantile": ("quantile", (0.3,))}
PLAIN = {
    "huber": lf.Huber(delta=0.8),
    "bce": lf.BinaryCrossentropy(from_logits=True),
    "quantile": lf.Quantile(quantile=0.3),
}


def problem(n, features, dtype, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, features)).astype(dtype)
    y = (rng.random(n) < 0.5).astype(dtype)
    return x, y, rng.random(n).astype(dtype), rng.standard_normal(features).astype(dtype), rng


def gradient(loss, x, y, weight, center, w, b):
    x, y, weight, center, w = (a.astype(np.float64) for a in (x, y, weight, center, w))
    z = (x - center) @ w + float(b)
    value, g = PLAIN[loss].value_and_grad(y, z, sample_weight=weight, reduction="sum")
    return value, g @ (x - center) / len(x), g.sum() / len(x)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("features", [1, 7, 16, 100, 8200])
def test_the_gradient(name, features, dtype, isa):
    n = 150 if features < 8000 else 9
    x, y, weight, w, rng = problem(n, features, dtype)
    center, order = x[0] / 2, rng.permutation(n)[: n - 3]
    by_coef, by_intercept, b = np.empty(features, dtype), np.empty(1, dtype), np.array([0.3], dtype)
    kernel, params = LOSSES[name]
    total = core.linear_gradient(
        core.Kernel(kernel), x, y, weight, center, order, params, w, b, by_coef, by_intercept, 2
    )
    want, g, g0 = gradient(name, x[order], y[order], weight[order], center, w, b[0])
    tolerance = 1e-12 if dtype == np.float64 else 3e-5
    assert total == pytest.approx(want, rel=tolerance)
    np.testing.assert_allclose(by_coef, g, rtol=tolerance * 100, atol=tolerance * (1 + np.abs(g).max()))
    assert by_intercept[0] == pytest.approx(g0, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("batch", [1, 5, 64, 1000])
@pytest.mark.parametrize("ordered", [False, True])
def test_steps(batch, ordered, dtype):
    x, y, _, w, rng = problem(203, 33, dtype)
    order = rng.permutation(203) if ordered else None
    coef, b = w.copy(), np.zeros(1, dtype)
    rates = 0.1 / (1 + np.arange(-(-203 // batch)))
    kernel, params = LOSSES["bce"]
    total, done = core.linear_steps(
        core.Kernel(kernel), x, y, None, None, order, params, coef, b, False, batch, rates, 0.003, 0.01, 2
    )
    v, v0, want = w.astype(np.float64), 0.0, 0.0
    rows = np.arange(203) if order is None else order
    for step, first in enumerate(range(0, 203, batch)):
        at = rows[first : first + batch]
        value, g, g0 = gradient("bce", x[at], y[at], np.ones(len(at)), np.zeros(33), v, v0)
        want += value
        v = v - rates[step] * (g + 0.01 * v)
        v = np.sign(v) * np.maximum(np.abs(v) - rates[step] * 0.003, 0)
        v0 -= rates[step] * g0
    assert done == len(rates)
    tolerance = 1e-11 if dtype == np.float64 else 1e-4
    assert total == pytest.approx(want, rel=tolerance)
    np.testing.assert_allclose(coef, v, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(b, v0, rtol=tolerance, atol=tolerance)


def test_steps_end_before_what_is_not_finite():
    x, y, _, w, _ = problem(60, 8, np.float64)
    x[25] = np.nan
    coef, b = w.copy(), np.zeros(1)
    kernel, params = LOSSES["huber"]
    arguments = core.Kernel(kernel), x, y, None, None, None, params, coef, b, False, 10, np.array([0.1]), 0.0, 0.0, 1
    total, done = core.linear_steps(*arguments)
    assert done == 2 and np.isnan(total) and np.isfinite(coef).all()
    assert core.linear_steps(core.Kernel(kernel), x[:0], y[:0], *arguments[3:]) == (0.0, 0)


@pytest.mark.parametrize("bad", [-1, 60, 2**62, -(2**63)])
def test_rows_that_are_not_there(bad):
    x, y, _, w, _ = problem(60, 8, np.float64)
    order = np.arange(60)
    order[-1] = bad
    before = w.copy()
    kernel, params = LOSSES["huber"]
    with pytest.raises(SystemError):
        core.linear_steps(
            core.Kernel(kernel), x, y, None, None, order, params, w, np.zeros(1), False, 10, np.ones(1), 0.0, 0.0, 1
        )
    assert np.array_equal(w, before)


def test_arrays_that_do_not_fit():
    x, y, _, w, _ = problem(60, 8, np.float64)
    kernel, params = LOSSES["huber"]
    good = [core.Kernel(kernel), x, y, None, None, None, params, w, np.zeros(1), False, 10, np.ones(1), 0.0, 0.0, 1]
    wrong = {
        1: x[:, ::2],
        2: y[:-1],
        3: y[1:],
        4: w[1:],
        5: np.zeros(3, np.int32),
        6: (),
        7: w.astype(np.float32),
        8: np.zeros(2),
        11: np.ones(5),
    }
    for at, value in wrong.items():
        arguments = list(good)
        arguments[at] = value
        with pytest.raises(SystemError):
            core.linear_steps(*arguments)
