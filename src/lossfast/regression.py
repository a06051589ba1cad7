"""Regression losses: functions of a prediction and a real target.

Each function below is the specification of its loss, in the cases of the textbook: what the C kernels are tested
against, and what runs without them.
"""

from __future__ import annotations

import math

import numpy as np

from lossfast._arrays import Array
from lossfast._declarations import (
    ABOVE_MINUS_ONE,
    ANY,
    NONNEGATIVE,
    POSITIVE,
    Domain,
    Jet,
    Param,
    flag,
    nonnegative,
    positive,
    smallest_step,
)
from lossfast._loss import pointwise


def _constant(x: Array, value: float) -> Array:
    return np.full_like(x, value)


@pointwise(
    "MeanSquaredError",
    formula="(y_pred - y_true)**2",
    names=("mean_squared_error",),
    aliases=("mse_loss", "MSELoss", "l2", "reg:squarederror"),
)
def mse(y_true, y_pred):
    """Squared error.

    Notes
    -----
    Not halved, as in Keras, torch and scikit-learn's metric; the gradient is ``2 (y_pred - y_true)``.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.mse([1.0, 2.0], [1.5, 2.0])
    0.125
    >>> lf.mse.grad([1.0, 2.0], [1.5, 2.0])
    array([0.5, 0. ])
    """
    r = y_pred - y_true
    return Jet(r**2, 2 * r, _constant(r, 2.0))


@pointwise(
    "MeanAbsoluteError",
    formula="|y_pred - y_true|",
    names=("mean_absolute_error",),
    aliases=("l1_loss", "L1Loss", "l1", "absolute_error", "reg:absoluteerror"),
    kinks=lambda: (0.0,),
    boosting="one",
)
def mae(y_true, y_pred):
    """Absolute error.

    Notes
    -----
    Where the prediction is exact the sub-gradient is 0, as in torch (scikit-learn has -1).

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.mae([1.0, 2.0], [1.5, 2.0])
    0.25
    """
    r = y_pred - y_true
    return Jet(np.abs(r), np.sign(r), _constant(r, 0.0))


@pointwise(
    "Huber",
    formula="r**2 / 2 if |r| <= delta else delta (|r| - delta / 2),  r = y_pred - y_true",
    aliases=("huber_loss", "HuberLoss"),
    delta=positive(1.0, "Where the quadratic part ends, in units of the target.", tests=(0.1, 10.0)),
    kinks=lambda delta: (-delta, delta),
    boosting="one",
)
def huber(y_true, y_pred, delta):
    """Huber loss: quadratic near zero, linear in the tails.

    Notes
    -----
    The gradient is the residual clipped to ``[-delta, delta]``.  At ``|r| = delta`` the Hessian is that of the inside.

    References
    ----------
    P. J. Huber, "Robust Estimation of a Location Parameter", Ann. Math. Statist. 35 (1964) 73-101,
    doi:10.1214/aoms/1177703732.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.huber([0.0, 0.0], [0.5, 3.0], delta=1.0, reduction="none")
    array([0.125, 2.5  ])
    """
    r = y_pred - y_true
    inside = np.abs(r) <= delta
    return Jet(
        value=np.where(inside, r**2 / 2, delta * (np.abs(r) - delta / 2)),
        grad=np.clip(r, -delta, delta),
        hess=np.where(inside, 1.0, 0.0),
    )


@pointwise(
    "SmoothL1",
    formula="r**2 / (2 beta) if |r| <= beta else |r| - beta / 2,  r = y_pred - y_true",
    aliases=("smooth_l1_loss", "SmoothL1Loss"),
    beta=nonnegative(1.0, "Where the quadratic part ends; 0 makes it the absolute error.", tests=(0.0, 0.25, 4.0)),
    kernel=lambda beta: ("smooth_l1", (beta,)) if beta > 0 else ("mae", ()),
    kinks=lambda beta: (-beta, beta),
    boosting="one",
)
def smooth_l1(y_true, y_pred, beta):
    """Smooth L1 loss: Huber's loss divided by its threshold, so that the tails have slope 1.

    References
    ----------
    R. Girshick, "Fast R-CNN", ICCV 2015, arXiv:1504.08083, equation 3.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.smooth_l1([0.0, 0.0], [0.5, 3.0], beta=2.0, reduction="none")
    array([0.0625, 2.    ])
    """
    r = y_pred - y_true
    if beta == 0:
        return Jet(np.abs(r), np.sign(r), _constant(r, 0.0))
    inside = np.abs(r) <= beta
    return Jet(
        value=np.where(inside, r**2 / (2 * beta), np.abs(r) - beta / 2),
        grad=np.clip(r / beta, -1, 1),
        hess=np.where(inside, 1 / beta, 0.0),
    )


@pointwise(
    "PseudoHuber",
    formula="delta**2 (sqrt(1 + (r / delta)**2) - 1),  r = y_pred - y_true",
    aliases=("reg:pseudohubererror",),
    delta=positive(1.0, "Where the quadratic part goes over into the linear one.", tests=(0.25, 5.0)),
)
def pseudo_huber(y_true, y_pred, delta):
    """Pseudo-Huber loss: the shape of Huber's loss with derivatives of every order.

    References
    ----------
    R. Hartley, A. Zisserman, "Multiple View Geometry in Computer Vision", 2nd ed. (2004), appendix 6.8.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.pseudo_huber([0.0], [0.75])
    0.25
    """
    x = (y_pred - y_true) / delta
    root = np.hypot(1, x)
    return Jet(
        value=delta * np.abs(y_pred - y_true) * np.where(np.isinf(x), 1.0, np.abs(x) / (root + 1)),
        grad=delta * np.where(np.isinf(x), np.sign(x), x / root),
        hess=1 / root**3,
    )


@pointwise("LogCosh", formula="log(cosh(y_pred - y_true))", names=("logcosh",), aliases=("log_cosh_loss",))
def log_cosh(y_true, y_pred):
    """Logarithm of the hyperbolic cosine: near Huber's loss, and smooth everywhere.

    Examples
    --------
    >>> import lossfast as lf
    >>> round(lf.log_cosh([0.0], [1.0]), 6)
    0.433781
    """
    r = y_pred - y_true
    tanh = np.tanh(r)
    small = np.abs(r) < 0.5
    sech = 1 / np.cosh(np.clip(r, -700, 700))
    value = np.where(small, -np.log1p(-(np.where(small, tanh, 0.0) ** 2)) / 2, np.logaddexp(r, -r) - math.log(2))
    return Jet(value, tanh, sech**2)


@pointwise(
    "Quantile",
    formula="quantile d if d >= 0 else (quantile - 1) d,  d = y_true - y_pred",
    names=("pinball",),
    aliases=("pinball_loss", "mean_pinball_loss", "quantile_loss", "reg:quantileerror"),
    quantile=Param(0.5, "The quantile to predict.", low=0.0, high=1.0, open_low=True, open_high=True, tests=(0.1, 0.9)),
    kinks=lambda quantile: (0.0,),
    boosting="one",
)
def quantile(y_true, y_pred, quantile):
    """Quantile (pinball) loss, minimised by a quantile of the target.

    Notes
    -----
    Where the prediction is exact the sub-gradient is 0.  At ``quantile=0.5`` it is half the absolute error.

    References
    ----------
    R. Koenker, G. Bassett, "Regression quantiles", Econometrica 46 (1978) 33-50, doi:10.2307/1913643.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.quantile([1.0, 1.0], [0.0, 3.0], quantile=0.9, reduction="none")
    array([0.9, 0.2])
    """
    d = y_true - y_pred
    slope = np.where(d >= 0, quantile, quantile - 1)
    return Jet(slope * d, -slope * np.sign(np.abs(d)), _constant(d, 0.0))


@pointwise(
    "MeanAbsolutePercentageError",
    formula="100 |y_pred - y_true| / max(|y_true|, eps)",
    names=("mean_absolute_percentage_error",),
    eps=positive(1e-7, "Floor of the denominator, in units of the target."),
    kinks=lambda eps: (0.0,),
    boosting="one",
)
def mape(y_true, y_pred, eps):
    """Absolute percentage error, in percent.

    Notes
    -----
    As in Keras; scikit-learn's function of this name is a fraction, not a percentage.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.mape([10.0, 20.0], [11.0, 18.0])
    10.0
    """
    r, scale = y_pred - y_true, 100 / np.maximum(np.abs(y_true), eps)
    return Jet(np.abs(r) * scale, np.sign(r) * scale, _constant(r, 0.0))


@pointwise(
    "MeanSquaredLogarithmicError",
    formula="(log(1 + y_pred) - log(1 + y_true))**2",
    names=("mean_squared_logarithmic_error",),
    aliases=("mean_squared_log_error", "reg:squaredlogerror"),
    target=ABOVE_MINUS_ONE,
    pred=ABOVE_MINUS_ONE,
)
def msle(y_true, y_pred):
    """Squared logarithmic error, for targets and predictions above -1.

    Examples
    --------
    >>> import lossfast as lf
    >>> round(lf.msle([0.0], [1.718281828459045]), 12)
    1.0
    """
    u, d = np.log1p(y_pred) - np.log1p(y_true), 1 / (1 + y_pred)
    return Jet(u**2, np.where(d == 0, 0.0, 2 * u * d), np.where(d == 0, 0.0, 2 * (1 - u) * d**2))


def _poisson_kernel(log_input, eps):
    return ("poisson_log", ()) if log_input else ("poisson", (eps,))


@pointwise(
    "Poisson",
    formula="y_pred - y_true log(y_pred + eps), or exp(y_pred) - y_true y_pred with log_input=True",
    aliases={
        "poisson_nll_loss": {"log_input": True},
        "PoissonNLLLoss": {"log_input": True},
        "count:poisson": {"log_input": True},
    },
    activation="exp",
    log_input=flag("Whether `y_pred` is the logarithm of the rate (recommended) or the rate."),
    eps=smallest_step("Added to the rate; by default the machine epsilon of the arithmetic.  Unused with log_input."),
    target=NONNEGATIVE,
    pred=lambda log_input, **_: ANY if log_input else NONNEGATIVE,
    kernel=_poisson_kernel,
)
def poisson(y_true, y_pred, log_input, eps):
    """Negative log-likelihood of Poisson counts, without the constant ``log(y_true!)``.

    Notes
    -----
    Keras takes the rate, torch by default its logarithm: say which with `log_input`.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.poisson([2.0], [0.0], log_input=True)
    1.0
    >>> lf.poisson.grad([2.0], [0.0], log_input=True)
    array([-1.])
    """
    some = y_true != 0
    if log_input:
        rate = np.exp(y_pred)
        value = np.where(some, rate - np.where(some, y_true * y_pred, 0.0), rate)
        value = np.where(np.isinf(rate), np.inf, value)
        return Jet(value, rate - y_true, rate)
    q = y_pred + eps
    value = np.where(y_pred == np.inf, np.inf, y_pred - np.where(some, y_true * np.log(q), 0.0))
    grad = np.where(np.isnan(y_pred), np.nan, 1 - np.where(some, y_true / q, 0.0))
    return Jet(value, grad, np.where(some, y_true / q**2, 0.0))


@pointwise(
    "Gamma",
    formula="y_pred + y_true exp(-y_pred)",
    aliases=("reg:gamma", "HalfGammaLoss"),
    activation="exp",
    target=POSITIVE,
    kernel=lambda: ("gamma_log", ()),
)
def gamma(y_true, y_pred):
    """Half the gamma deviance with log link, for positive amounts, without constants.

    `y_pred` is the logarithm of the predicted mean.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.gamma([3.0], [0.0])
    3.0
    """
    e = y_true * np.exp(-y_pred)
    return Jet(np.where(y_pred == -np.inf, e, y_pred + e), 1 - e, e)


def _tweedie_target(power: float, **_: object) -> Domain:
    return ANY if power <= 0 else NONNEGATIVE if power < 2 else POSITIVE


def _tweedie_kernel(power):
    if power == 1:
        return "poisson_log", ()
    if power == 2:
        return "gamma_log", ()
    return ("tweedie_real" if power <= 0 else "tweedie" if power < 2 else "tweedie_positive"), (power,)


@pointwise(
    "Tweedie",
    formula="exp((2 - power) y_pred) / (2 - power) - y_true exp((1 - power) y_pred) / (1 - power)",
    aliases=("reg:tweedie", "HalfTweedieLoss"),
    activation="exp",
    power=Param(
        1.5,
        "The power of the mean that the variance is proportional to: 0 normal, 1 Poisson, between 1 and 2 compound "
        "Poisson, 2 gamma, 3 inverse Gaussian.",
        allowed=lambda power: power <= 0 or power >= 1,
        expected="a number of at most 0 or at least 1 (there is no Tweedie distribution between)",
        tests=(-1.0, 0.0, 1.0, 1.2, 2.0, 3.0),
    ),
    target=_tweedie_target,
    kernel=_tweedie_kernel,
)
def tweedie(y_true, y_pred, power):
    """Half the Tweedie deviance with log link, without constants.

    Notes
    -----
    `y_pred` is the logarithm of the predicted mean.  The constants left out grow without bounds near powers 1 and 2,
    where the Poisson and the gamma loss stand instead: do not compare values across powers.

    References
    ----------
    B. Jorgensen, "Exponential dispersion models", J. R. Statist. Soc. B 49 (1987) 127-162.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.tweedie([2.0], [0.0], power=1.5)
    6.0
    """
    if power == 1:
        return poisson.declaration.spec(y_true, y_pred, True, 0.0)
    if power == 2:
        return gamma.declaration.spec(y_true, y_pred)
    a, b = 1 - power, 2 - power
    first = np.exp(b * y_pred)
    second = np.where(y_true == 0, 0.0, y_true * np.exp(a * y_pred))
    both = np.isinf(first) & np.isinf(second)
    first, second = np.where(both & (y_pred < 0), 0.0, first), np.where(both & (y_pred > 0), 0.0, second)
    return Jet(first / b - second / a, first - second, b * first - a * second)


def _gaussian_kernel(var, eps, full, wrt):
    name = "gaussian_nll" if wrt == "y_pred" else "gaussian_nll_var"
    return name, (var, eps, math.log(2 * math.pi) / 2 if full else 0.0)


@pointwise(
    "GaussianNLL",
    formula="(log(v) + (y_pred - y_true)**2 / v) / 2,  v = max(var, eps)",
    aliases=("gaussian_nll_loss", "GaussianNLLLoss"),
    var=nonnegative(
        1.0,
        "The predicted variance: a number, or an array that broadcasts to `y_pred`.",
        array=True,
        tests=(0.0, 4.0),
    ),
    eps=positive(1e-6, "Floor of the variance."),
    full=flag("Whether to add the constant ``log(2 pi) / 2``."),
    wrt=Param(
        "y_pred",
        "Whether the derivatives are by the prediction or by the variance.",
        kind=str,
        choices=("y_pred", "var"),
        tests=("var",),
    ),
    stream="var",
    stream_domain=NONNEGATIVE,
    kernel=_gaussian_kernel,
)
def gaussian_nll(y_true, y_pred, var, eps, full, wrt):
    """Negative log-likelihood of a normal distribution with predicted mean and variance.

    Notes
    -----
    As in torch, the floor `eps` does not stop the gradient by the variance.

    References
    ----------
    D. A. Nix, A. S. Weigend, "Estimating the mean and variance of the target probability distribution", ICNN 1994,
    doi:10.1109/ICNN.1994.374138.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.gaussian_nll([0.0, 0.0], [1.0, 1.0], var=[1.0, 1.0])
    0.5
    >>> lf.gaussian_nll.grad([0.0], [2.0], var=4.0)
    array([0.5])
    >>> lf.gaussian_nll.grad([0.0], [2.0], var=4.0, wrt="var")
    array([0.])
    """
    r = y_pred - y_true
    v = np.broadcast_to(np.maximum(var, eps), r.shape)
    value = (np.log(v) + r**2 / v) / 2 + (math.log(2 * math.pi) / 2 if full else 0.0)
    if wrt == "var":
        return Jet(value, (1 / v - r**2 / v**2) / 2, (2 * r**2 / v**3 - 1 / v**2) / 2)
    return Jet(value, r / v, 1 / v)
