"""The same numbers as other libraries, for each library and definition; where a definition differs, the row says how.

A row is: the library's function, our call, the tolerance, the operands, and what differs.
"""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import lossfast as lf

N = 400
DOUBLE, SINGLE = 1e-12, 2e-6  # Keras computes in float32 whatever it is given


def _data(kind):
    """Targets and predictions of a problem, in float64 numbers that float32 holds."""
    rng = np.random.default_rng(list(kind.encode()))
    real = rng.normal(0, 2, N), rng.normal(0, 2, N)
    pair = {
        "real": real,
        "positive": (np.exp(real[0] / 2), np.exp(real[1] / 2)),
        "counts": (rng.poisson(2.0, N).astype(float), np.exp(real[1] / 2)),
        "log counts": (rng.poisson(2.0, N).astype(float), real[1]),
        "log positive": (np.exp(real[0] / 2), real[1]),
        "probability": (rng.integers(0, 2, N).astype(float), rng.uniform(0.01, 0.99, N)),
        "soft": (rng.uniform(0, 1, N), rng.uniform(0.01, 0.99, N)),
        "logit": (rng.integers(0, 2, N).astype(float), real[1]),
        "soft logit": (rng.uniform(0, 1, N), real[1]),
        "sign": (rng.choice([-1.0, 1.0], N), real[1]),
    }[kind]
    return tuple(x.astype(np.float32).astype(np.float64) for x in pair)


class Row(NamedTuple):
    function: str  # dotted
    theirs: Callable[..., Any]  # of (function, y_true, y_pred): the mean
    ours: Callable[..., float]
    data: str
    tolerance: float = DOUBLE
    differs: str = ""


def _torch(function, t, p, **kwargs):
    import torch

    return float(function(torch.from_numpy(p), torch.from_numpy(t), **kwargs))


def _two_classes(function, t, p):
    import torch

    return float(function(torch.tensor(np.stack([0 * p, p], 1)), torch.tensor(t.astype(int))))


def torch_row(name, ours, data, differs="", **kwargs):
    return Row(f"torch.nn.functional.{name}", lambda f, t, p: _torch(f, t, p, **kwargs), ours, data, differs=differs)


def sklearn_row(name, ours, data, differs="", factor=1.0, **kwargs):
    return Row(f"sklearn.metrics.{name}", lambda f, t, p: factor * f(t, p, **kwargs), ours, data, differs=differs)


def keras_row(name, ours, data, differs="", tolerance=SINGLE, **kwargs):
    def theirs(f, t, p):
        return float(np.mean(f(t.astype(np.float32)[:, None], p.astype(np.float32)[:, None], **kwargs)))

    return Row(f"keras.losses.{name}", theirs, ours, data, tolerance, differs)


def optax_row(name, ours, data, differs="", factor=1.0, **kwargs):
    def theirs(f, t, p):
        return factor * float(np.mean(np.asarray(f(p.astype(np.float32), t.astype(np.float32), **kwargs), np.float64)))

    return Row(f"optax.losses.{name}", theirs, ours, data, SINGLE, differs)


def internal_row(name, ours, data, differs="", make=(), offset=lambda t: 0.0, factor=1.0):
    """scikit-learn's own losses, of a raw prediction."""

    def theirs(cls, t, p):
        return factor * float(np.mean(cls(**dict(make)).loss(t, p) + offset(t)))

    return Row(f"sklearn._loss.loss.{name}", theirs, ours, data, differs=differs)


def scipy_row(name, theirs, ours, data, differs=""):
    return Row(f"scipy.special.{name}", theirs, ours, data, differs=differs)


def with_(loss, **kwargs):
    return lambda t, p: loss(t, p, **kwargs)


bce, focal = lf.binary_crossentropy, lf.binary_focal_crossentropy
HALF = "half the square there"

ROWS = [
    torch_row("mse_loss", lf.mse, "real"),
    torch_row("l1_loss", lf.mae, "real"),
    torch_row("huber_loss", with_(lf.huber, delta=0.7), "real", delta=0.7),
    torch_row("smooth_l1_loss", with_(lf.smooth_l1, beta=0.7), "real", beta=0.7),
    torch_row("smooth_l1_loss", with_(lf.smooth_l1, beta=0.0), "real", beta=0.0),
    torch_row("binary_cross_entropy", bce, "probability"),
    torch_row("binary_cross_entropy", bce, "soft"),
    torch_row("binary_cross_entropy_with_logits", with_(bce, from_logits=True), "logit"),
    torch_row("binary_cross_entropy_with_logits", with_(bce, from_logits=True), "soft logit"),
    Row(
        "torch.nn.functional.binary_cross_entropy_with_logits",
        lambda f, t, p: _torch(f, t, p, pos_weight=importlib.import_module("torch").tensor(3.0)),
        with_(bce, from_logits=True, pos_weight=3.0),
        "logit",
    ),
    torch_row("poisson_nll_loss", with_(lf.poisson, log_input=True), "log counts", "log-rates are its default"),
    torch_row("poisson_nll_loss", with_(lf.poisson, eps=1e-8), "counts", "its eps is 1e-8", log_input=False),
    Row(
        "torch.nn.functional.gaussian_nll_loss",
        lambda f, t, p: _torch(f, t, p, var=importlib.import_module("torch").full((N,), 0.4).double()),
        with_(lf.gaussian_nll, var=float(np.float32(0.4))),
        "real",
    ),
    Row(
        "torch.nn.functional.gaussian_nll_loss",
        lambda f, t, p: _torch(f, t, p, var=importlib.import_module("torch").full((N,), 0.25).double(), full=True),
        with_(lf.gaussian_nll, var=0.25, full=True),
        "real",
    ),
    torch_row("soft_margin_loss", lambda t, p: bce((t + 1) / 2, p, from_logits=True), "sign", "labels are -1 and 1"),
    Row(
        "torch.nn.functional.cross_entropy",
        _two_classes,
        with_(bce, from_logits=True),
        "logit",
        differs="two classes, the first with logit 0",
    ),
    sklearn_row("mean_squared_error", lf.mse, "real"),
    sklearn_row("mean_absolute_error", lf.mae, "real"),
    sklearn_row("mean_absolute_percentage_error", with_(lf.mape, eps=2.0**-52), "real", "a fraction", 100.0),
    sklearn_row("mean_squared_log_error", lf.msle, "positive"),
    sklearn_row("mean_pinball_loss", with_(lf.quantile, quantile=0.9), "real", alpha=0.9),
    sklearn_row("mean_pinball_loss", lf.quantile, "real"),
    sklearn_row("log_loss", bce, "probability"),
    sklearn_row("brier_score_loss", lf.brier, "probability"),
    sklearn_row("hinge_loss", lf.hinge, "sign"),
    sklearn_row(
        "mean_poisson_deviance",
        lambda t, p: lf.poisson(t, p, eps=0.0) - lf.poisson(t, np.maximum(t, 1e-300), eps=0.0),
        "counts",
        "twice, and with the constants of the target",
        0.5,
    ),
    sklearn_row(
        "mean_gamma_deviance",
        lambda t, p: lf.gamma(t, np.log(p)) - lf.gamma(t, np.log(t)),
        "positive",
        "twice, of the mean, with constants",
        0.5,
    ),
    sklearn_row(
        "mean_tweedie_deviance",
        lambda t, p: lf.tweedie(t, np.log(p), power=1.5) - lf.tweedie(t, np.log(t), power=1.5),
        "positive",
        "twice, of the mean, with constants",
        0.5,
        power=1.5,
    ),
    sklearn_row(
        "mean_tweedie_deviance",
        lambda t, p: lf.tweedie(t, np.log(p), power=3) - lf.tweedie(t, np.log(t), power=3),
        "positive",
        "twice, of the mean, with constants",
        0.5,
        power=3,
    ),
    internal_row("HalfSquaredError", lambda t, p: lf.mse(t, p) / 2, "real", HALF),
    internal_row("AbsoluteError", lf.mae, "real"),
    internal_row("PinballLoss", with_(lf.quantile, quantile=0.3), "real", make={"quantile": 0.3}),
    internal_row("HalfPoissonLoss", with_(lf.poisson, log_input=True), "log counts"),
    internal_row("HalfGammaLoss", lf.gamma, "log positive"),
    internal_row("HalfTweedieLoss", with_(lf.tweedie, power=1.2), "log positive", make={"power": 1.2}),
    internal_row("HalfTweedieLoss", with_(lf.tweedie, power=2.0), "log positive", make={"power": 2.0}),
    internal_row("HalfTweedieLoss", with_(lf.tweedie, power=3.0), "log positive", make={"power": 3.0}),
    internal_row("HalfBinomialLoss", with_(bce, from_logits=True), "logit"),
    internal_row("ExponentialLoss", lf.exponential, "logit"),
    scipy_row("huber", lambda f, t, p: f(0.7, p - t).mean(), with_(lf.huber, delta=0.7), "real"),
    scipy_row("pseudo_huber", lambda f, t, p: f(0.7, p - t).mean(), with_(lf.pseudo_huber, delta=0.7), "real"),
    scipy_row("log_expit", lambda f, t, p: -f(np.where(t == 1, p, -p)).mean(), with_(bce, from_logits=True), "logit"),
    scipy_row("xlogy", lambda f, t, p: (p - f(t, p)).mean(), with_(lf.poisson, eps=0.0), "counts"),
    scipy_row("kl_div", lambda f, t, p: (f(t, p) - f(t, 1.0)).mean() + 1, with_(lf.poisson, eps=0.0), "positive"),
    keras_row("mean_squared_error", lf.mse, "real"),
    keras_row("mean_absolute_error", lf.mae, "real"),
    keras_row("mean_absolute_percentage_error", lf.mape, "real", tolerance=1e-5),
    keras_row("mean_squared_logarithmic_error", lf.msle, "positive", "clips at 1e-7"),
    keras_row("huber", with_(lf.huber, delta=0.7), "real", delta=0.7),
    keras_row("log_cosh", lf.log_cosh, "real"),
    keras_row("poisson", with_(lf.poisson, eps=1e-7), "counts", "its eps is 1e-7"),
    keras_row("binary_crossentropy", bce, "probability"),
    keras_row("binary_crossentropy", with_(bce, from_logits=True), "logit", from_logits=True),
    keras_row("binary_crossentropy", with_(bce, label_smoothing=0.2), "probability", label_smoothing=0.2),
    keras_row("binary_focal_crossentropy", focal, "probability"),
    keras_row("binary_focal_crossentropy", with_(focal, gamma=3.5), "probability", gamma=3.5),
    keras_row("binary_focal_crossentropy", with_(focal, from_logits=True), "logit", from_logits=True),
    keras_row("binary_focal_crossentropy", with_(focal, alpha=0.25), "probability", apply_class_balancing=True),
    keras_row("binary_focal_crossentropy", with_(focal, label_smoothing=0.2), "probability", label_smoothing=0.2),
    keras_row("hinge", lf.hinge, "sign"),
    keras_row("hinge", lf.hinge, "logit", "0 is -1 if all labels are 0 or 1; ours decides for each label"),
    keras_row("squared_hinge", lf.squared_hinge, "sign"),
    optax_row("squared_error", lf.mse, "real"),
    optax_row("l2_loss", lambda t, p: lf.mse(t, p) / 2, "real", HALF),
    optax_row("huber_loss", with_(lf.huber, delta=0.7), "real", delta=0.7),
    optax_row("log_cosh", lf.log_cosh, "real"),
    optax_row("sigmoid_binary_cross_entropy", with_(bce, from_logits=True), "soft logit"),
    optax_row("sigmoid_focal_loss", with_(focal, from_logits=True), "logit"),
    optax_row("sigmoid_focal_loss", lf.get("sigmoid_focal_loss", gamma=1.5), "logit", alpha=0.25, gamma=1.5),
    optax_row("hinge_loss", lf.hinge, "sign", "labels -1 and 1 only"),
]  # fmt: skip


def found(row):
    module, name = row.function.rsplit(".", 1)
    pytest.importorskip(module.split(".")[0])
    return getattr(importlib.import_module(module), name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("row", ROWS, ids=[f"{i}-{row.function}" for i, row in enumerate(ROWS)])
def test_values_are_those_of(row):
    function = found(row)
    target, pred = _data(row.data)
    want, got = float(row.theirs(function, target, pred)), row.ours(target, pred)
    assert got == pytest.approx(want, rel=row.tolerance, abs=row.tolerance), row.differs


GRADIENTS = [row for row in ROWS if row.function.startswith("torch") and isinstance(row.ours, lf.Loss)]


@pytest.mark.parametrize("row", GRADIENTS, ids=[row.function for row in GRADIENTS])
def test_gradients_are_those_of_autograd(row):
    torch, function = pytest.importorskip("torch"), found(row)
    target, pred = _data(row.data)
    p = torch.from_numpy(pred).requires_grad_()
    function(p, torch.from_numpy(target)).backward()
    np.testing.assert_allclose(row.ours.grad(target, pred), p.grad.numpy(), rtol=1e-11, atol=1e-16)


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_reductions_are_those_of_torch(reduction):
    torch = pytest.importorskip("torch")
    target, pred = _data("real")
    want = torch.nn.functional.mse_loss(torch.from_numpy(pred), torch.from_numpy(target), reduction=reduction)
    np.testing.assert_allclose(lf.mse(target, pred, reduction=reduction), want.numpy(), rtol=1e-13)


def test_weighted_means_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    weight = np.random.default_rng(0).uniform(0, 2, N)
    for name, loss, data in (
        ("mean_squared_error", lf.mse, "real"),
        ("mean_absolute_error", lf.mae, "real"),
        ("log_loss", bce, "probability"),
        ("brier_score_loss", lf.brier, "probability"),
        ("hinge_loss", lf.hinge, "sign"),
        ("mean_pinball_loss", lf.quantile, "real"),
    ):
        target, pred = _data(data)
        want = getattr(metrics, name)(target, pred, sample_weight=weight)
        assert loss(target, pred, sample_weight=weight) == pytest.approx(want, rel=1e-13), name


def test_weighted_means_by_batch_size_are_those_of_keras():
    losses = pytest.importorskip("keras").losses
    weight = np.random.default_rng(0).uniform(0, 2, N).astype(np.float32)
    target, pred = (x.astype(np.float32)[:, None] for x in _data("real"))
    for name in ("MeanSquaredError", "MeanAbsoluteError", "Huber", "LogCosh"):
        want = float(getattr(losses, name)()(target, pred, sample_weight=weight))
        got = lf.get(name)(target, pred, sample_weight=weight, reduction="sum_over_batch_size")
        assert got == pytest.approx(want, rel=SINGLE), name


def test_gradient_and_hessian_are_those_of_scikit_learn():
    module = pytest.importorskip("sklearn._loss.loss")
    for name, loss, data, factor in (
        ("HalfSquaredError", lf.mse, "real", 0.5),
        ("HalfPoissonLoss", lf.Poisson(log_input=True), "log counts", 1.0),
        ("HalfGammaLoss", lf.gamma, "log positive", 1.0),
        ("HalfBinomialLoss", lf.BinaryCrossentropy(from_logits=True), "logit", 1.0),
        ("ExponentialLoss", lf.exponential, "logit", 1.0),
        ("HalfTweedieLoss", lf.tweedie, "log positive", 1.0),
    ):
        target, pred = _data(data)
        want = getattr(module, name)().gradient_hessian(target, pred)
        for got, w in zip(loss.grad_and_hess(target, pred, reduction="sum"), want, strict=True):
            np.testing.assert_allclose(factor * got, w, rtol=1e-12, atol=1e-14, err_msg=name)
