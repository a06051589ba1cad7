"""The losses of classes once more, as textbook formulas for mpmath: the one place where these tests name them."""

import mpmath as mp
import numpy as np


def _probabilities(y, from_logits=False, temperature=1, eps=0, **_):
    """What is differentiated is not what is clipped: `jet` moves the prediction within its bounds first."""
    if not from_logits:
        return y, [mp.log(p) if p else mp.ninf for p in y]
    u = [x / temperature for x in y]
    lse = mp.log(sum(map(mp.exp, u)))
    return [mp.exp(x - lse) for x in u], [x - lse for x in u]


def _smooth(t, s):
    return [x * (1 - s) + s / len(t) for x in t]


def _sum_of(term):
    """sum_k v_k t'_k term(p_k, log p_k)."""

    def formula(t, y, label_smoothing=0, alpha=None, z_loss=0, **more):
        p, logs = _probabilities(y, **more)
        weight = 1 if alpha is None else alpha
        total = sum(
            weight * c * term(a, b, **more) for c, a, b in zip(_smooth(t, label_smoothing), p, logs, strict=True) if c
        )
        if z_loss:
            total += z_loss * mp.log(sum(mp.exp(x / more["temperature"]) for x in y)) ** 2
        return total

    return formula


def _kld(t, y, log_input=False, **more):
    logs = y if log_input else _probabilities(y, **more)[1]
    return sum(a * (mp.log(a) - b) for a, b in zip(t, logs, strict=True) if a)


def _brier(t, y, label_smoothing=0, **more):
    p = _probabilities(y, **more)[0]
    return sum((a - b) ** 2 for a, b in zip(p, _smooth(t, label_smoothing), strict=True))


def _categorical_hinge(t, y, **_):
    wrong = max((1 - a) * b for a, b in zip(t, y, strict=True))
    return max(0, 1 + wrong - sum(a * b for a, b in zip(t, y, strict=True)))


def _multiclass_hinge(t, y, margin, **_):
    label = t.index(max(t))
    others = [b for k, b in enumerate(y) if k != label]
    return max(0, margin + max(others) - y[label]) if others else mp.mpf(0)


ORACLE = {
    "categorical_crossentropy": _sum_of(lambda p, log_p, **_: -log_p),
    "sparse_categorical_crossentropy": _sum_of(lambda p, log_p, **_: -log_p),
    "kullback_leibler_divergence": _kld,
    "categorical_focal_crossentropy": _sum_of(lambda p, log_p, gamma, **_: -((1 - p) ** gamma) * log_p if log_p else 0),
    "generalized_crossentropy": _sum_of(lambda p, log_p, q, **_: (1 - p**q) / q),
    "poly": _sum_of(lambda p, log_p, epsilon, **_: epsilon * (1 - p) - log_p),
    "multiclass_brier": _brier,
    "categorical_hinge": _categorical_hinge,
    "multiclass_hinge": _multiclass_hinge,
}


def jet(name, target, pred, params):
    """Value, gradient and diagonal of the Hessian of one row, by differences at a precision that makes them exact."""
    given = {k: mp.mpf(v) if type(v) is float else v for k, v in params.items()}
    classes = len(pred)
    with mp.workprec(800):
        t = [mp.mpf(float(x)) for x in target]
        y = [mp.mpf(float(x)) for x in pred]
        h = mp.ldexp(1, -100)

        def at(k, step):
            return ORACLE[name](t, [x + step * (j == k) for j, x in enumerate(y)], **given)

        value = at(0, 0)
        grad, hess = np.zeros(classes), np.zeros(classes)
        for k in range(classes):
            up, down = at(k, h), at(k, -h)
            grad[k], hess[k] = float((up - down) / (2 * h)), float((up - 2 * value + down) / h**2)
    return float(value), grad, hess
