"""Value, gradient and Hessian of every loss against its formula in high precision."""

import functools

import mpmath as mp
import numpy as np
import pytest
from conftest import PLAIN
from operands import away_from_kinks, domains, operands, resolved
from oracle import ORACLE, jets

POINTS = 200
BOUND = {"value": 4.0, "grad": 6.0, "hess": 8.0}  # ULP of the terms of the formula


def test_the_oracle_covers_the_pointwise_losses():
    assert sorted(ORACLE) == [loss.name for loss in PLAIN]


def points(loss, dtype):
    """Targets and predictions: ordinary ones, far ones, ones near zero, near each other and near the bounds."""
    target, pred = operands(loss, POINTS, dtype)
    rng = np.random.default_rng(5)
    domain = domains(loss, dtype)[1]
    wide = np.exp2(rng.uniform(-60, 9, POINTS)) * rng.choice([-1, 1], POINTS)
    bounded = np.isfinite(domain.high)
    if bounded:
        wide = np.where(
            wide < 0,
            domain.high - np.exp2(rng.uniform(-30, -1, POINTS)),
            np.exp2(rng.uniform(-60, 0, POINTS)),
        )
    wide = np.where(domain.outside(wide), np.abs(wide), wide).astype(dtype)
    use = (np.arange(POINTS) % 2 == 0) & ~domain.outside(wide)
    pred = np.where(use, wide, pred)
    keep = away_from_kinks(loss, target, pred, 8 * np.finfo(dtype).eps)
    return target[keep], pred[keep]


@functools.cache
def exact_jets(loss, dtype):
    target, pred = points(loss, dtype)
    params = {k: float(dtype(v)) if type(v) is float else v for k, v in resolved(loss, dtype).items()}
    return target, pred, *jets(loss, target, pred, params)


def errors(got, exact, scale, dtype, pred):
    """In units of the last place of the scale; what overflows or leaves the normal numbers does not count."""
    info = np.finfo(dtype)
    found = np.zeros(len(got))
    for i, (g, e, s) in enumerate(zip(got, exact, scale, strict=True)):
        if s < info.max / 4:
            ulp = mp.ldexp(1, mp.frexp(s)[1] - info.nmant - 1) if s else 0
            found[i] = abs(mp.mpf(float(g)) - e) / max(ulp, float(info.tiny) * (1 + abs(float(pred[i]))))
    return found


@pytest.mark.compiled  # the specifications are textbook formulas, and some of these cancel
def test_value_gradient_and_hessian_are_exact_to_rounding(loss, isa, dtype, request):
    target, pred, exact, scale = exact_jets(loss, dtype)
    got = loss.value_grad_hess(target, pred, reduction="none")
    failed = []
    for k, name in enumerate(BOUND):
        found = errors(got[k], exact[k], scale[k], dtype, pred)
        i = int(found.argmax())
        request.node.user_properties.append((f"{name} in {np.dtype(dtype)}", float(found[i])))
        if not found[i] <= BOUND[name]:
            failed.append(
                f"{name} off by {found[i]:.1f} ULP at y_true={target[i]!r}, y_pred={pred[i]!r}: {got[k][i]!r}, "
                f"expected {mp.nstr(exact[k, i], 17)} ({np.sum(found > BOUND[name])} of {len(found)} points)"
            )
    assert not failed, "\n".join(failed)
