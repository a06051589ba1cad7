"""Descent along a function: textbook cases, what ends it, differences, divergence, L-BFGS."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import lossfast as lf


def square(w):
    return w**2, 2 * w


def rosenbrock(x):
    a, b = 1 - x[0], x[1] - x[0] ** 2
    return a**2 + 100 * b**2, np.array([-2 * a - 400 * x[0] * b, 200 * b])


def test_the_textbook_case():
    found = lf.minimize(square, 5.0, lr=0.1, steps=20, record_path=True)
    want = 5 * 0.8 ** np.arange(21)
    np.testing.assert_allclose(found.path, want, rtol=1e-14)
    np.testing.assert_allclose(found.losses, want**2, rtol=1e-14)
    assert type(found.x) is float and found.x == found.path[-1] and found.value == found.losses[-1]
    assert found.steps == 20 and not found.converged and found.message == "all steps were made"
    assert "Result after 20 steps" in repr(found) and "(21,)" in repr(found)
    assert lf.minimize(square, 5.0).path is None


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "amsgrad", "nadam", "rmsprop", "adagrad", "lion"])
def test_every_optimizer_finds_the_bottom(optimizer):
    lr = lf.schedules.cosine(0.3, 400)
    found = lf.minimize(lambda x: (((x - 3) ** 2).sum(), 2 * (x - 3)), np.zeros((2, 2)), optimizer, lr, 400)
    np.testing.assert_allclose(found.x, 3, atol=0.05)
    assert found.x.shape == (2, 2) and found.losses.shape == (401,)


def test_optimizers_as_objects_keep_their_own_rate():
    opt = lf.optim.SGD(lr=0.25)
    found = lf.minimize(square, 8.0, opt, steps=3)
    assert found.x == 1.0 and opt.steps == 0
    assert lf.minimize(square, 8.0, opt, steps=1, clip_value=4.0).x == 7.0
    assert lf.minimize(square, 8.0, lf.optim.SGD, lr=0.25, steps=1, clip_norm=4.0).x == 7.0


def test_dtypes_and_shapes_stay(dtype):
    x0 = np.ones((3, 2), dtype)
    found = lf.minimize(lambda x: (float((x**2).sum()), 2 * x), x0, steps=4, record_path=True)
    assert found.x.dtype == found.path.dtype == dtype and found.path.shape == (5, 3, 2)
    assert (x0 == 1).all() and found.path[0].tobytes() == x0.tobytes()
    assert lf.minimize(lambda x: ((x**2).sum(), 2 * x), [1, 2], steps=1).x.dtype == np.float64


def test_a_function_may_keep_what_it_gets():
    kept = []

    def fun(x):
        kept.append(x)
        return (x**2).sum() / 2, x  # the gradient is the point itself

    found = lf.minimize(fun, [1.0, 2.0], lr=0.5, steps=3, record_path=True)
    np.testing.assert_array_equal(kept, found.path)
    np.testing.assert_array_equal(found.x, [0.125, 0.25])


def test_what_ends_it():
    found = lf.minimize(square, 5.0, steps=1000, gtol=1e-3)
    assert found.converged and abs(2 * found.x) <= 1e-3 < abs(2 * found.x) / 0.8 and "gtol" in found.message
    found = lf.minimize(square, 5.0, steps=1000, ftol=1e-4, patience=3)
    changes = np.abs(np.diff(found.losses))
    assert found.converged and (changes[-3:] <= 1e-4).all() and changes[-4] > 1e-4
    seen = []
    found = lf.minimize(square, 5.0, callback=lambda *a: seen.append(a) or len(seen) == 2)
    assert [(k, round(x, 9), round(v, 9)) for k, x, v in seen] == [(1, 4.0, 16.0), (2, 3.2, 10.24)]
    assert found.steps == 2 and "callback" in found.message
    assert lf.minimize(square, 5.0, steps=0).x == 5.0
    assert lf.minimize(square, 0.0, gtol=1e-9).steps == 0


def test_a_plateau_sees_the_values():
    lr = lf.schedules.reduce_on_plateau(1.0, factor=0.5, patience=0)  # of steps of this length w only changes its sign
    found = lf.minimize(square, 5.0, lr=lr, steps=40)
    assert abs(found.x) < 1e-3 and lr(0) < 1


def test_gradients_by_differences():
    for fun in (lambda x: np.exp(x[0]) * np.sin(x[1]) + x[2] ** 3, lambda x: 1e6 * np.sum(np.cosh(x))):
        x = np.array([0.3, -0.7, 1.9])
        path = lf.minimize(lambda x, fun=fun: float(fun(x)), x, lr=1e-9, steps=1, record_path=True).path
        h = 1e-30
        exact = [np.imag(fun(x + 1j * h * np.eye(3)[i])) / h for i in range(3)]
        np.testing.assert_allclose((path[0] - path[1]) / 1e-9, exact, rtol=1e-5, atol=1e-5 * np.max(np.abs(exact)))
    found = lf.minimize(lambda w: w**2, 5.0, lr=0.1, steps=20)
    assert found.x == pytest.approx(5 * 0.8**20, rel=1e-9)
    assert (
        lf.minimize(lambda w: float((w.astype(float) ** 2).sum()), np.ones(2, np.float32), steps=1).x.dtype
        == np.float32
    )


def test_differences_are_checked():
    with pytest.raises(ValueError, match=r"by x\[1\] do not agree .* not smooth"):
        lf.minimize(lambda x: x[0] ** 2 + abs(x[1] - 1e-4), [1.0, 0.0])
    with pytest.raises(ValueError, match=r"at x\[0\] = 0.0 .* expected finite"):
        lf.minimize(lambda x: np.sqrt(x[0]) if x[0] >= 0 else np.nan, [0.0])


def test_divergence_is_an_error_that_says_where():
    with pytest.raises(FloatingPointError, match=r"value of fun is inf after step \d+, .* smaller lr") as caught:
        lf.minimize(lambda w: (w**2 if abs(w) < 1e150 else np.inf, 2 * w), 5.0, lr=1e3, steps=200, record_path=True)
    result = caught.value.result
    assert np.isinf(result.losses[-1]) and np.isfinite(result.losses[:-1]).all()
    assert len(result.path) == result.steps + 1 and "diverged in step" in result.message
    with pytest.raises(FloatingPointError, match=r"gradient of fun\[1\] is nan at x0"):
        lf.minimize(lambda x: (1.0, np.array([0, np.nan])), [1.0, 2.0])


@pytest.mark.parametrize("gradient", [True, False])
def test_lbfgs_is_scipys(gradient):
    optimize = pytest.importorskip("scipy.optimize")
    fun = rosenbrock if gradient else lambda x: rosenbrock(x)[0]
    seen = []
    found = lf.minimize(fun, [-1.2, 1.0], "lbfgs", steps=200, record_path=True, callback=lambda *a: seen.append(a))
    np.testing.assert_allclose(found.x, 1, atol=1e-3)
    assert found.converged and len(found.path) == found.steps + 1 == len(seen) + 1
    np.testing.assert_array_equal(found.path[-1], found.x)
    assert (np.diff(found.losses) <= 0).all()
    if gradient:
        theirs = optimize.minimize(rosenbrock, [-1.2, 1.0], jac=True, method="L-BFGS-B", options={"maxcor": 10})
        np.testing.assert_array_equal(found.x, theirs.x)
    few = lf.minimize(fun, [-1.2, 1.0], lf.optim.LBFGS(history_size=3), steps=2)
    assert few.steps == 2 and not few.converged
    assert lf.minimize(square, 3.0, "lbfgs").x == pytest.approx(0, abs=1e-6)
    assert lf.minimize(square, 3.0, "lbfgs", callback=lambda *a: True).steps == 1
    assert lf.minimize(square, 3.0, "lbfgs", steps=0).x == 3


def test_lbfgs_without_scipy_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ImportError, match="needs SciPy: pip install scipy"):
        lf.minimize(square, 5.0, "lbfgs")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: lf.minimize(None, 5.0), TypeError, "fun is None"),
        (lambda: lf.minimize(square, "five"), TypeError, "x0 has dtype"),
        (lambda: lf.minimize(square, [1.0, np.nan]), ValueError, r"x0\[1\] is nan"),
        (lambda: lf.minimize(square, 5.0, steps=-1), ValueError, "steps is -1"),
        (lambda: lf.minimize(square, 5.0, steps=2.0), TypeError, "steps is 2.0"),
        (lambda: lf.minimize(square, 5.0, patience=0), ValueError, "patience is 0"),
        (lambda: lf.minimize(square, 5.0, gtol=-1.0), ValueError, "gtol is -1.0"),
        (lambda: lf.minimize(square, 5.0, "adma"), ValueError, "did you mean 'adam'"),
        (lambda: lf.minimize(square, 5.0, lr=-1.0), ValueError, "lr is -1.0"),
        (lambda: lf.minimize(lambda x: (1.0, 2.0, 3.0), 5.0), TypeError, "tuple of 3"),
        (lambda: lf.minimize(lambda x: "low", 5.0), TypeError, "fun returned 'low'"),
        (lambda: lf.minimize(lambda x: (1.0, [1.0]), [1.0, 2.0]), ValueError, r"shape \(1,\), expected \(2,\)"),
        (lambda: lf.minimize(square, 5.0, "lbfgs", clip_norm=1.0), ValueError, "not for L-BFGS"),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()
