"""The losses once more, as textbook formulas for mpmath: the one place where the tests name them.

A formula returns the terms that the loss is the sum of.  Errors are measured against the sum of their magnitudes:
what a sum in floating point can reach.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np


class Oracle(NamedTuple):
    """A formula, where it is differentiated, and what is rounded before it."""

    terms: Callable[..., Any]
    at: Callable[..., Any] = lambda t, p, **_: p  # the prediction where it is differentiated: within its bounds
    rounded: Callable[..., Any] = lambda t, p, **_: 0  # an argument that costs a rounding: a difference, a product
    magnified: Callable[..., Any] = lambda **_: 1  # what a rounding inside counts in the result: a power's exponent


def _smooth(t, s):
    return t * (1 - s) + s / 2


def _minus_logs(p, from_logits):
    """-log(p) and -log(1 - p)."""
    if from_logits:
        return mp.log(1 + mp.exp(-p)), mp.log(1 + mp.exp(p))
    return -mp.log(p), -mp.log(1 - p)


def _bce(t, p, from_logits, label_smoothing, pos_weight, eps):
    t, (l1, l0) = _smooth(t, label_smoothing), _minus_logs(p, from_logits)
    return pos_weight * t * l1, (1 - t) * l0


def _focal(t, p, gamma, alpha, from_logits, label_smoothing, eps):
    t, (l1, l0) = _smooth(t, label_smoothing), _minus_logs(p, from_logits)
    p1, p0 = (1 / (1 + mp.exp(-p)), 1 / (1 + mp.exp(p))) if from_logits else (p, 1 - p)
    balance = 1 if alpha is None else t * alpha + (1 - t) * (1 - alpha)
    u = balance * ((1 - t) * p1 + t * p0) ** gamma
    return u * t * l1, u * (1 - t) * l0


def _clipped(t, p, eps, from_logits, **_):
    return p if from_logits else min(max(p, eps), 1 - eps)


def _sign(t):
    return 1 if t > 0 else -1


def _poisson(t, p, log_input, eps):
    return (mp.exp(p), -t * p) if log_input else (p, -t * mp.log(p + eps) if t else 0)


def _tweedie(t, p, power):
    if power == 1:
        return mp.exp(p), -t * p
    if power == 2:
        return p, t * mp.exp(-p)
    return mp.exp((2 - power) * p) / (2 - power), -t * mp.exp((1 - power) * p) / (1 - power)


def _difference(t, p, **_):
    return p - t


ORACLE = {
    "binary_crossentropy": Oracle(_bce, at=_clipped),
    "binary_focal_crossentropy": Oracle(
        _focal,
        at=_clipped,
        rounded=lambda t, p, gamma, **_: gamma * mp.mpf(8),
        magnified=lambda gamma, **_: 1 + gamma,
    ),
    "brier": Oracle(lambda t, p: (p - t) ** 2, rounded=_difference),
    "exponential": Oracle(lambda t, p: (t * mp.exp(-p), (1 - t) * mp.exp(p))),
    "gamma": Oracle(lambda t, p: (p, t * mp.exp(-p))),
    "gaussian_nll": Oracle(
        lambda t, p, var, eps, full, wrt: (
            mp.log(max(var, eps)) / 2,
            (p - t) ** 2 / max(var, eps) / 2,
            mp.log(2 * mp.pi) / 2 if full else 0,
        ),
        rounded=_difference,
    ),
    "hinge": Oracle(lambda t, p: max(0, 1 - _sign(t) * p)),
    "hinge_embedding": Oracle(
        lambda t, p, margin: p if t > 0 else max(0, margin - p), rounded=lambda t, p, margin: margin - p
    ),
    "huber": Oracle(
        lambda t, p, delta: (p - t) ** 2 / 2 if abs(p - t) <= delta else delta * (abs(p - t) - delta / 2),
        rounded=_difference,
    ),
    "log_cosh": Oracle(lambda t, p: mp.log(mp.cosh(p - t)), rounded=_difference),
    "mae": Oracle(lambda t, p: abs(p - t), rounded=_difference),
    "mape": Oracle(lambda t, p, eps: 100 * abs(p - t) / max(abs(t), eps), rounded=_difference),
    "modified_huber": Oracle(
        lambda t, p: -4 * _sign(t) * p if _sign(t) * p < -1 else max(0, 1 - _sign(t) * p) ** 2,
        rounded=lambda t, p: 1 - _sign(t) * p,
    ),
    "mse": Oracle(lambda t, p: (p - t) ** 2, rounded=_difference),
    "msle": Oracle(
        lambda t, p: mp.log((1 + p) / (1 + t)) ** 2, rounded=lambda t, p: (1 + p) * mp.log((1 + p) / (1 + t))
    ),
    "poisson": Oracle(_poisson),
    "pseudo_huber": Oracle(
        lambda t, p, delta: delta**2 * (mp.sqrt(1 + ((p - t) / delta) ** 2) - 1), rounded=_difference
    ),
    "quantile": Oracle(lambda t, p, quantile: max(quantile * (t - p), (quantile - 1) * (t - p)), rounded=_difference),
    "smooth_l1": Oracle(
        lambda t, p, beta: (p - t) ** 2 / (2 * beta) if abs(p - t) < beta else abs(p - t) - beta / 2,
        rounded=_difference,
    ),
    "squared_hinge": Oracle(lambda t, p: max(0, 1 - _sign(t) * p) ** 2, rounded=lambda t, p: 1 - _sign(t) * p),
    "tweedie": Oracle(_tweedie, rounded=lambda t, p, power: p * max(abs(1 - power), abs(2 - power))),
}


ORDERS = 3


def jets(loss, target, pred, params):
    """For each element value, gradient and Hessian, and what their errors are measured against.

    Central differences of steps so small, at a precision so high, that they are exact to double precision.
    """
    oracle, step = ORACLE[loss.name], mp.ldexp(1, -120)
    given = {k: mp.mpf(v) if type(v) is float else v for k, v in params.items()}
    exact, scale = np.empty((2, ORDERS, len(target)), object)
    with mp.workprec(1500):
        for i, (t, p) in enumerate(zip(target, pred, strict=True)):
            t, p = mp.mpf(float(t)), mp.mpf(float(p))
            x = oracle.at(t, p, **given)
            variable = given.get("wrt", "y_pred")
            if variable != "y_pred":
                x = max(given[variable], given["eps"])
            h = step * (abs(x) or mp.ldexp(1, -100))

            points = [x + k * h for k in (-2, -1, 0, 1, 2)]
            if variable == "y_pred":
                found = [oracle.terms(t, x, **given) for x in points]
            else:
                found = [oracle.terms(t, p, **{**given, variable: x}) for x in points]
            columns = zip(*(f if isinstance(f, tuple) else (f,) for f in found), strict=True)
            orders = [
                (c, (d - b) / (2 * h), (d - 2 * c + b) / h**2, (e - 2 * d + 2 * b - a) / (2 * h**3))
                for a, b, c, d, e in columns
            ]
            total = [sum(map(abs, order)) for order in zip(*orders, strict=True)]
            rounded, magnified = abs(oracle.rounded(t, p, **params)), oracle.magnified(**params)
            for k, order in zip(range(ORDERS), zip(*orders, strict=True), strict=False):
                exact[k, i], scale[k, i] = sum(order), magnified * total[k] + rounded * total[k + 1]
    return exact, scale
