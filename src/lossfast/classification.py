"""Losses of two classes: a prediction against a label.

Each function below is the specification of its loss, in the cases of the textbook: what the C kernels are tested
against, and what runs without them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lossfast._declarations import ANY, NONNEGATIVE, SIGN, UNIT, Domain, Jet, flag, fraction, nonnegative, smallest_step
from lossfast._loss import pointwise


def _probability_or_logit(from_logits: bool, **_: Any) -> Domain:
    return ANY if from_logits else UNIT


def _sigmoids(z):
    """sigmoid(z) and sigmoid(-z), both without cancellation."""
    return np.exp(-np.logaddexp(0, -z)), np.exp(-np.logaddexp(0, z))


def _smoothed(y_true, s):
    """The two class weights of a target, without cancellation."""
    return y_true * (1 - s) + s / 2, (1 - y_true) * (1 - s) + s / 2


def _times(weight, x):
    """A product that is 0 where the weight is, whatever x."""
    return np.where(weight == 0, 0.0, weight * x)


_SMOOTHING = fraction(0.0, "s: targets become ``y_true (1 - s) + s / 2``, as in Keras.", tests=(0.1, 1.0))
_FROM_LOGITS = flag(
    "Whether `y_pred` are logits (recommended: no logarithm of a rounded probability) or probabilities."
)

_EPS = smallest_step(
    "Probabilities are kept within ``[eps, 1 - eps]``; by default the machine epsilon of the arithmetic.  The gradient "
    "beyond is that of the bound.  Unused with logits."
)


def _bce_kernel(from_logits, label_smoothing, pos_weight, eps):
    if from_logits:
        if label_smoothing == 0 and pos_weight == 1:
            return "binary_crossentropy_logits_plain", ()
        return "binary_crossentropy_logits", (pos_weight, label_smoothing)
    return "binary_crossentropy", (pos_weight, label_smoothing, eps)


@pointwise(
    "BinaryCrossentropy",
    formula="-pos_weight t log(p) - (1 - t) log(1 - p),  t = y_true (1 - s) + s / 2,  p = y_pred or sigmoid(y_pred)",
    names=("bce",),
    aliases={
        "binary_cross_entropy": {},
        "BCELoss": {},
        "log_loss": {},
        "binary_cross_entropy_with_logits": {"from_logits": True},
        "BCEWithLogitsLoss": {"from_logits": True},
        "sigmoid_binary_cross_entropy": {"from_logits": True},
        "binary:logistic": {"from_logits": True},
    },
    activation="sigmoid",
    from_logits=_FROM_LOGITS,
    label_smoothing=_SMOOTHING,
    pos_weight=nonnegative(
        1.0,
        "Weight of the positive class: a number, or an array that broadcasts to `y_pred`.",
        array=True,
        tests=(0.0, 3.0),
    ),
    eps=_EPS,
    target=UNIT,
    pred=_probability_or_logit,
    stream="pos_weight",
    stream_domain=NONNEGATIVE,
    kernel=_bce_kernel,
)
def binary_crossentropy(y_true, y_pred, from_logits, label_smoothing, pos_weight, eps):
    """Binary cross-entropy: the negative log-likelihood of a label 0 or 1, or of anything between.

    Notes
    -----
    An infinite logit has the limit of the loss: 0 where it is right, infinity where it is wrong.

    Examples
    --------
    >>> import lossfast as lf
    >>> round(lf.binary_crossentropy([1, 0], [0.9, 0.2]), 6)
    0.164252
    >>> lf.bce.grad([1.0, 0.0], [0.0, 0.0], from_logits=True)
    array([-0.25,  0.25])
    """
    t, rest = _smoothed(y_true, label_smoothing)
    w1, w0 = pos_weight * t, rest
    nan = np.where(np.isnan(y_pred), np.nan, 0.0)
    if from_logits:
        p, q = _sigmoids(y_pred)
        value = _times(w1, np.logaddexp(0, -y_pred)) + _times(w0, np.logaddexp(0, y_pred))
        return Jet(value + nan, w0 * p - w1 * q, (w0 + w1) * p * q)
    p = np.clip(y_pred, eps, 1 - eps)
    value = -_times(w1, np.log(p)) - _times(w0, np.log1p(-p))
    return Jet(
        value + nan,
        _times(w0, 1 / (1 - p)) - _times(w1, 1 / p) + nan,
        _times(w0, 1 / (1 - p) ** 2) + _times(w1, 1 / p**2),
    )


def _focal_kernel(gamma, alpha, from_logits, label_smoothing, eps):
    name = "binary_focal_crossentropy"
    if from_logits:
        name += "_logits_squared" if gamma == 2 else "_logits"
    values = (1.0 if alpha is None else alpha, gamma, label_smoothing, 2.0 if alpha is None else 1.0)
    return name, values if from_logits else (*values, eps)


@pointwise(
    "BinaryFocalCrossentropy",
    formula="balance (1 - p_t)**gamma (-t log(p) - (1 - t) log(1 - p)),  p_t = t p + (1 - t) (1 - p)",
    names=("focal",),
    aliases={"sigmoid_focal_loss": {"from_logits": True, "alpha": 0.25}, "focal_loss": {}},
    activation="sigmoid",
    gamma=nonnegative(
        2.0,
        "Exponent of the focusing factor; 0 makes it binary cross-entropy.",
        tests=(
            0.0,
            0.5,
            1.0,
            3.5,
            {"gamma": 2.0, "from_logits": True},
            {"gamma": 0.3, "from_logits": True},
            {"gamma": 5.0, "from_logits": True, "alpha": 0.25, "label_smoothing": 0.2},
        ),
    ),
    alpha=fraction(
        None,
        "Weight of the positive class, the negative one having ``1 - alpha``: a number, an array that broadcasts to "
        "`y_pred` (one number per label in the last axis), or None for no weights.",
        none=True,
        array=True,
        tests=(0.25,),
    ),
    from_logits=_FROM_LOGITS,
    label_smoothing=_SMOOTHING,
    eps=_EPS,
    target=UNIT,
    pred=_probability_or_logit,
    stream="alpha",
    stream_domain=UNIT,
    kernel=_focal_kernel,
)
def binary_focal_crossentropy(y_true, y_pred, gamma, alpha, from_logits, label_smoothing, eps):
    """Binary cross-entropy with less weight on what is predicted well, for rare positives.

    Notes
    -----
    Value, gradient and Hessian are finite for every ``gamma >= 0`` and finite logit.  The Hessian may be negative.

    References
    ----------
    T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollar, "Focal loss for dense object detection", ICCV 2017,
    arXiv:1708.02002.

    Examples
    --------
    >>> import lossfast as lf
    >>> round(lf.focal([1, 0], [0.9, 0.2], gamma=2.0), 6)
    0.00499
    """
    t, s = _smoothed(y_true, label_smoothing)
    balance = 1.0 if alpha is None else t * alpha + s * (1 - alpha)
    if from_logits:
        p, q = _sigmoids(y_pred)
        c = _times(t, np.logaddexp(0, -y_pred)) + _times(s, np.logaddexp(0, y_pred))
        dp, ddp, dc, ddc = p * q, p * q * (q - p), s * p - t * q, p * q
    else:
        p = np.clip(y_pred, eps, 1 - eps)
        q = 1 - p
        c = -t * np.log(p) - s * np.log1p(-p)
        dp, ddp, dc, ddc = 1.0, 0.0, s / q - t / p, s / q**2 + t / p**2
    # u = 1 - p_t is linear in p, with slope s - t; where it vanishes, so does all it is multiplied with.
    u = t * q + s * p
    log_u = np.log(np.maximum(u, 1e-300))
    slope = (s - t) * dp / np.maximum(u, 1e-300)
    curvature = (s - t) * ddp / np.maximum(u, 1e-300)
    power, finite = np.exp(gamma * log_u), np.minimum(c, 1e300)  # an infinite c meets slopes that vanish faster
    return Jet(
        value=balance * power * c,
        grad=balance * power * (gamma * slope * finite + dc),
        hess=balance * power * (gamma * ((gamma - 1) * slope**2 + curvature) * finite + 2 * gamma * slope * dc + ddc),
    )


def _signed(y_true):
    return np.where(y_true > 0, 1.0, -1.0)


def _margin(y_true, y_pred):
    return _signed(y_true) * y_pred


@pointwise(
    "Hinge",
    formula="max(0, 1 - y y_pred),  y = 1 if y_true > 0 else -1",
    aliases=("hinge_loss",),
    target=SIGN,
    kinks=lambda: (1.0,),
    kink_of=_margin,
    boosting="one",
)
def hinge(y_true, y_pred):
    """Hinge loss of a score, for labels -1 and 1 (or 0 and 1).

    Notes
    -----
    Each label is read by itself: positive is 1, anything else -1.  At the kink the sub-gradient is ``-y``.

    References
    ----------
    C. Cortes, V. Vapnik, "Support-vector networks", Mach. Learn. 20 (1995) 273-297, doi:10.1007/BF00994018.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.hinge([1, -1, 0], [0.25, 2.0, -3.0], reduction="none")
    array([0.75, 3.  , 0.  ])
    """
    y = _signed(y_true)
    m = y * y_pred
    return Jet(np.maximum(0, 1 - m), np.where(m <= 1, -y, np.where(np.isnan(m), m, 0.0)), np.zeros_like(m))


@pointwise(
    "SquaredHinge",
    formula="max(0, 1 - y y_pred)**2,  y = 1 if y_true > 0 else -1",
    aliases=("squared_hinge_loss",),
    target=SIGN,
    kinks=lambda: (1.0,),
    kink_of=_margin,
    boosting="one",
)
def squared_hinge(y_true, y_pred):
    """Squared hinge loss of a score, for labels -1 and 1 (or 0 and 1).

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.squared_hinge([1, -1], [0.5, 1.0], reduction="none")
    array([0.25, 4.  ])
    """
    y = _signed(y_true)
    m = y * y_pred
    c = np.maximum(0, 1 - m)
    return Jet(c**2, -2 * y * c, np.where(m <= 1, 2.0, 0.0))


@pointwise(
    "ModifiedHuber",
    formula="max(0, 1 - m)**2 if m >= -1 else -4 m,  m = y y_pred,  y = 1 if y_true > 0 else -1",
    target=SIGN,
    kinks=lambda: (-1.0, 1.0),
    kink_of=_margin,
    boosting="one",
)
def modified_huber(y_true, y_pred):
    """Squared hinge loss with a linear tail, for labels -1 and 1 (or 0 and 1).

    References
    ----------
    T. Zhang, "Solving large scale linear prediction problems using stochastic gradient descent algorithms",
    ICML 2004, doi:10.1145/1015330.1015332.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.modified_huber([1, 1], [0.5, -2.0], reduction="none")
    array([0.25, 8.  ])
    """
    y = _signed(y_true)
    m = y * y_pred
    c, tail = np.maximum(0, 1 - m), m < -1
    return Jet(np.where(tail, -4 * m, c**2), y * np.where(tail, -4.0, -2 * c), np.where(~tail & (m <= 1), 2.0, 0.0))


@pointwise(
    "Exponential",
    formula="y_true exp(-y_pred) + (1 - y_true) exp(y_pred)",
    aliases=("exponential_loss",),
    target=UNIT,
)
def exponential(y_true, y_pred):
    """Exponential loss of a score, as AdaBoost minimises it, for labels 0 and 1.

    References
    ----------
    J. Friedman, T. Hastie, R. Tibshirani, "Additive logistic regression", Ann. Statist. 28 (2000) 337-407,
    doi:10.1214/aos/1016218223.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.exponential([1, 0], [0.0, 0.0])
    1.0
    """
    down, up = _times(y_true, np.exp(-y_pred)), _times(1 - y_true, np.exp(y_pred))
    return Jet(down + up, up - down, down + up)


@pointwise(
    "Brier",
    formula="(y_pred - y_true)**2",
    aliases=("brier_score", "brier_score_loss"),
    activation="sigmoid",
    target=UNIT,
    pred=UNIT,
)
def brier(y_true, y_pred):
    """Brier score of a probability.

    References
    ----------
    G. W. Brier, "Verification of forecasts expressed in terms of probability", Mon. Weather Rev. 78 (1950) 1-3.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.brier([1, 0], [0.5, 0.25])
    0.15625
    """
    r = y_pred - y_true
    return Jet(r**2, 2 * r, np.full_like(r, 2.0))
