"""The pointwise losses: operands, goals, and the contenders as each library's users would write them well."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import contenders
import measure
import numpy as np
from bandwidth import Bytes
from contenders import THREADS, Contender, Goal

QUANTILE, ALPHA, LOG2 = 0.9, 0.25, math.log(2)
EXP_FREE = ("mse", "mae", "huber", "hinge", "quantile")


@dataclass(frozen=True)
class Case(contenders.Case):
    """One row: a loss on n elements."""

    loss: str
    n: int
    grad: bool = True  # value and gradient, or the value alone
    target: str = "float32"
    pred: str = "float32"
    check: bool = True
    fresh: bool = False  # without out=

    def __str__(self) -> str:
        return f"{self.loss}, {'value + gradient' if self.grad else 'value'}, {measure.power(self.n)}"

    def cells(self) -> list[str]:
        """The first cells of its row."""
        return [self.loss, measure.power(self.n)]

    def moved(self) -> Bytes:
        """Targets and predictions in, the gradient out."""
        target, pred = np.dtype(self.target).itemsize, np.dtype(self.pred).itemsize
        return Bytes((target, pred), pred if self.grad else 0)

    def reference(self) -> tuple[float, np.ndarray]:
        """The NumPy specification in float64."""
        import lossfast as lf

        loss = lf.get(self.loss, **LOSSFAST[self.loss])
        declaration, params = loss.declaration, loss.get_params()
        target, pred = (x.astype(np.float64) for x in data(self))
        total = sum(
            float(declaration.spec(target[i : i + 10**6], pred[i : i + 10**6], **params).value.sum())
            for i in range(0, self.n, 10**6)
        )
        at = self.probed()
        return total / self.n, declaration.spec(target[at], pred[at], **params).grad / self.n

    def goal(self) -> Goal | None:
        """The goal of a case, if it has one."""
        if not self.grad:
            fractions = (0.90, 0.90) if self.loss in EXP_FREE else (0.0, 0.0)
            return Goal(fractions, 1.5, 5) if self.n == 10**7 else None
        if self.loss in EXP_FREE:
            return {
                10**5: Goal((0.75, 0.60), 5, 7),
                10**6: Goal((0.90, 0.90), 1.5, 3.5),
                10**7: Goal((0.90, 0.90), 1.5, 10),
            }.get(self.n)
        if self.n != 10**6:
            return None
        return {
            "poisson": Goal((0.85, 0.75), 3, 8),
            "binary_crossentropy": Goal((0.75, 0.50), 3.5, 8),
            "binary_focal_crossentropy": Goal((0.45, 0.24), 3, 20),
            "log_cosh": Goal((0.45, 0.24), 3, None),
        }.get(self.loss)


def data(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Targets and predictions, the same in every process."""
    rng = np.random.default_rng(20)
    noise = rng.standard_normal(case.n, np.float32)
    if case.loss in ("binary_crossentropy", "binary_focal_crossentropy", "hinge"):
        labels = rng.integers(0, 2, case.n, np.uint8)
        signs = case.loss == "hinge" and case.target == "float32"
        target, pred = (labels * 2.0 - 1.0 if signs else labels), 2 * noise
    elif case.loss == "poisson":
        target, pred = rng.poisson(1.5, case.n), noise / 2
    else:
        target = rng.standard_normal(case.n, np.float32)
        target = np.abs(3 * target) if case.target != "float32" else target
        pred = target + noise * np.float32(1.2)
    return target.astype(case.target), pred.astype(case.pred)


# --------------------------------------------------------------------------------------------------- lossfast

LOSSFAST: dict[str, dict[str, Any]] = {
    "mse": {},
    "mae": {},
    "huber": {"delta": 1.0},
    "hinge": {},
    "quantile": {"quantile": QUANTILE},
    "poisson": {"log_input": True},
    "binary_crossentropy": {"from_logits": True},
    "binary_focal_crossentropy": {"from_logits": True, "gamma": 2.0, "alpha": ALPHA},
    "log_cosh": {},
}


def lossfast(case: Case, isas: list[str]) -> Iterator[Contender]:
    """lossfast on each instruction set."""
    import lossfast as lf

    target, pred = data(case)
    loss = lf.get(case.loss, **LOSSFAST[case.loss])
    gradient = None if case.fresh else np.zeros_like(pred)
    more = {} if case.check else {"check": False}

    def value_and_grad() -> tuple[Any, Any]:
        return loss.value_and_grad(target, pred, out=(None, gradient), **more)

    def value_and_fresh_grad() -> tuple[Any, Any]:
        return loss.value_and_grad(target, pred, **more)

    def value() -> tuple[Any, Any]:
        return loss(target, pred, **more), None

    call = value if not case.grad else value_and_fresh_grad if case.fresh else value_and_grad
    yield from contenders.on_lossfast(call, isas)


# ------------------------------------------------------------------------------------------------------ NumPy


def numpy(case: Case) -> Iterator[Contender]:
    """Plain NumPy, for the cost of small calls."""
    target, pred = data(case)
    gradient = np.empty_like(pred)
    n = case.n

    def mse() -> tuple[Any, Any]:
        r = pred - target
        np.multiply(r, 2 / n, out=gradient)
        return np.dot(r, r) / n, gradient

    def binary_crossentropy() -> tuple[Any, Any]:
        value = np.mean(np.logaddexp(0, pred) - pred * target)
        np.subtract(1 / (1 + np.exp(-pred)), target, out=gradient)
        np.divide(gradient, n, out=gradient)
        return value, gradient

    call = {"mse": mse, "binary_crossentropy": binary_crossentropy}.get(case.loss)
    if call and case.grad and n <= 1000:
        yield Contender("numpy", call)


# ---------------------------------------------------------------------------------------------------- numexpr

_X, _PT = "((t + t - 1) * p)", "(1 / (1 + exp(-((t + t - 1) * p))))"
_CE = f"(where({_X} < 0, -{_X}, 0) + log1p(exp(-abs({_X}))))"
_BALANCE = "(a * t + (1 - a) * (1 - t))"

NUMEXPR = {  # the loss; the gradient of its mean, with s = 1 / n
    "mse": ("(p - t) * (p - t)", "(p - t) * (s + s)"),
    "mae": ("abs(p - t)", "where(p > t, s, where(p < t, -s, 0))"),
    "huber": (
        "where(abs(p - t) <= 1, half * (p - t) * (p - t), abs(p - t) - half)",
        "s * where(p - t > 1, 1, where(p - t < -1, -1, p - t))",
    ),
    "hinge": ("where(t * p < 1, 1 - t * p, 0)", "where(t * p < 1, -t * s, 0)"),
    "quantile": (
        "where(t >= p, q * (t - p), (1 - q) * (p - t))",
        "where(t > p, -q * s, where(t < p, (1 - q) * s, 0))",
    ),
    "poisson": ("exp(p) - t * p", "(exp(p) - t) * s"),
    "binary_crossentropy": (
        "where(p > 0, p, 0) - p * t + log1p(exp(-abs(p)))",
        "(1 / (1 + exp(-p)) - t) * s",
    ),
    "binary_focal_crossentropy": (
        f"{_BALANCE} * (1 - {_PT}) * (1 - {_PT}) * {_CE}",
        f"(1 - t - t) * s * {_BALANCE} * (1 - {_PT}) * (1 - {_PT}) * (2 * {_PT} * {_CE} + 1 - {_PT})",
    ),
    "log_cosh": ("abs(p - t) + log1p(exp(-2 * abs(p - t))) - ln2", "tanh(p - t) * s"),
}


def numexpr(case: Case) -> Iterator[Contender]:
    """Two expressions; the mean by numexpr's own sum or by NumPy's."""
    import numexpr as ne

    ne.set_num_threads(THREADS)
    t, p = data(case)
    gradient, losses, n = np.empty_like(p), np.empty_like(p), case.n
    constants = {"s": 1 / n, "half": 0.5, "q": QUANTILE, "a": ALPHA, "ln2": LOG2}
    operands = {"t": t, "p": p, **{k: np.float32(v) for k, v in constants.items()}}
    loss, slope = NUMEXPR[case.loss]

    def grad() -> Any:
        return ne.evaluate(slope, operands, out=gradient, casting="same_kind") if case.grad else None

    def summed() -> tuple[Any, Any]:
        return ne.evaluate(f"sum({loss})", operands) / n, grad()

    def averaged() -> tuple[Any, Any]:
        return ne.evaluate(loss, operands, out=losses, casting="same_kind").mean(), grad()

    yield Contender("numexpr (sum)", summed)
    yield Contender("numexpr (array, NumPy's mean)", averaged)


# ------------------------------------------------------------------------------------------------------ numba


def _numba_elements() -> dict[str, Callable[..., Any]]:
    """Loss and slope of one element, in float32 throughout."""
    exp, log1p, tanh = math.exp, math.log1p, math.tanh
    zero, half, one, two = (np.float32(x) for x in (0, 0.5, 1, 2))
    q, alpha, log2 = np.float32(QUANTILE), np.float32(ALPHA), np.float32(LOG2)

    def mse(t, p):
        r = p - t
        return r * r, two * r

    def mae(t, p):
        r = p - t
        return abs(r), one if r > zero else -one if r < zero else zero

    def huber(t, p):
        r = p - t
        c = min(max(r, -one), one)
        return c * (r - half * c), c

    def hinge(t, p):
        m = one - t * p
        return (m, -t) if m > zero else (zero, zero)

    def quantile(t, p):
        d = t - p
        if d > zero:
            return q * d, -q
        return (q - one) * d, one - q if d < zero else zero

    def poisson(t, p):
        rate = exp(p)
        return rate - t * p, rate - t

    def binary_crossentropy(t, p):
        e = exp(-abs(p))
        r = one / (one + e)
        return max(p, zero) - p * t + log1p(e), (r if p >= zero else e * r) - t

    def binary_focal_crossentropy(t, p):
        sign = two * t - one
        x = sign * p
        e = exp(-abs(x))
        r = one / (one + e)
        hit, miss = (r, e * r) if x >= zero else (e * r, r)
        ce = max(-x, zero) + log1p(e)
        w = (alpha * t + (one - alpha) * (one - t)) * miss * miss
        return w * ce, -sign * w * (two * hit * ce + miss)

    def log_cosh(t, p):
        r = p - t
        return abs(r) + log1p(exp(-two * abs(r))) - log2, tanh(r)

    return {f.__name__: f for f in (mse, mae, huber, hinge, quantile, poisson, binary_crossentropy,
                                    binary_focal_crossentropy, log_cosh)}  # fmt: skip


_numba_compiled: dict[tuple[str, bool, bool], Any] = {}


def _numba_loop(loss: str, grad: bool, parallel: bool) -> Any:
    """One fused loop, with a float64 sum."""
    import numba as nb

    key = loss, grad, parallel
    if key in _numba_compiled:
        return _numba_compiled[key]
    element = nb.njit(_numba_elements()[loss])
    indices = nb.prange if parallel else range

    if grad:

        def loop(target, pred, gradient, scale):
            total = 0.0
            for i in indices(pred.size):
                value, slope = element(target[i], pred[i])
                gradient[i] = slope * scale
                total += value
            return total / pred.size
    else:

        def loop(target, pred):
            total = 0.0
            for i in indices(pred.size):
                total += element(target[i], pred[i])[0]
            return total / pred.size

    return _numba_compiled.setdefault(key, nb.njit(loop, parallel=parallel))


def numba(case: Case) -> Iterator[Contender]:
    """A fused prange loop (a serial one for small arrays), fastmath off."""
    import numba as nb

    nb.set_num_threads(THREADS)
    target, pred = data(case)
    gradient, scale = np.empty_like(pred), np.float32(1 / case.n)
    parallel = case.n > 1000
    loop = _numba_loop(case.loss, case.grad, parallel)

    def value_and_grad() -> tuple[Any, Any]:
        return loop(target, pred, gradient, scale), gradient

    def value() -> tuple[Any, Any]:
        return loop(target, pred), None

    yield Contender("numba" if parallel else "numba (serial)", value_and_grad if case.grad else value)


# ----------------------------------------------------------------------------------------------- scikit-learn


def sklearn(case: Case) -> Iterator[Contender]:
    """The private module of its linear models and trees: arrays of losses and gradients, then their sum."""
    from sklearn._loss import loss as private

    made = {
        "mse": (private.HalfSquaredError, {}, 2.0),
        "mae": (private.AbsoluteError, {}, 1.0),
        "huber": (private.HuberLoss, {"delta": 1.0}, 1.0),
        "quantile": (private.PinballLoss, {"quantile": QUANTILE}, 1.0),
        "poisson": (private.HalfPoissonLoss, {}, 1.0),
        "binary_crossentropy": (private.HalfBinomialLoss, {}, 1.0),
    }
    if case.loss not in made:
        return
    kind, params, factor = made[case.loss]
    loss = kind(**params)
    target, pred = data(case)
    losses, gradient, n = np.empty_like(pred), np.empty_like(pred), case.n

    threads = THREADS if n > 1000 else 1

    def value_and_grad() -> tuple[Any, Any]:
        loss.loss_gradient(target, pred, loss_out=losses, gradient_out=gradient, n_threads=threads)
        np.divide(gradient, n, out=gradient)
        return losses.sum() / n, gradient

    def value() -> tuple[Any, Any]:
        return loss.loss(target, pred, loss_out=losses, n_threads=threads).sum() / n, None

    yield Contender("sklearn._loss", value_and_grad if case.grad else value, factor)


# ------------------------------------------------------------------------------------------------------ torch


def _torch_losses() -> dict[str, Callable[..., Any]]:
    import torch
    import torch.nn.functional as F

    def hinge(p, t):
        return torch.relu(1 - t * p).mean()

    def quantile(p, t):
        d = t - p
        return torch.maximum(QUANTILE * d, (QUANTILE - 1) * d).mean()

    def focal(p, t):  # as torchvision.ops.sigmoid_focal_loss
        s = torch.sigmoid(p)
        ce = F.binary_cross_entropy_with_logits(p, t, reduction="none")
        hit = s * t + (1 - s) * (1 - t)
        return ((ALPHA * t + (1 - ALPHA) * (1 - t)) * ce * (1 - hit) ** 2).mean()

    def log_cosh(p, t):
        r = p - t
        return (r + F.softplus(-2 * r) - LOG2).mean()

    return {
        "mse": F.mse_loss,
        "mae": F.l1_loss,
        "huber": F.huber_loss,
        "hinge": hinge,
        "quantile": quantile,
        "poisson": F.poisson_nll_loss,  # its default is log_input=True
        "binary_crossentropy": F.binary_cross_entropy_with_logits,
        "binary_focal_crossentropy": focal,
        "log_cosh": log_cosh,
    }


def torch(case: Case) -> Iterator[Contender]:
    """Eager and compiled."""
    yield from contenders.on_torch(_torch_losses()[case.loss], data(case), case.grad)


# -------------------------------------------------------------------------------------------------------- jax


def _jax_losses() -> dict[str, Callable[..., Any]]:
    import jax
    import jax.numpy as jnp

    def huber(p, t):  # as optax.huber_loss
        a = jnp.abs(p - t)
        c = jnp.minimum(a, 1.0)
        return jnp.mean(0.5 * c**2 + (a - c))

    def quantile(p, t):
        d = t - p
        return jnp.mean(jnp.maximum(QUANTILE * d, (QUANTILE - 1) * d))

    def bce(p, t):
        return jnp.maximum(p, 0) - p * t + jnp.log1p(jnp.exp(-jnp.abs(p)))

    def focal(p, t):
        s = jax.nn.sigmoid(p)
        hit = s * t + (1 - s) * (1 - t)
        return jnp.mean((ALPHA * t + (1 - ALPHA) * (1 - t)) * (1 - hit) ** 2 * bce(p, t))

    def log_cosh(p, t):  # as optax.log_cosh
        return jnp.mean(jnp.logaddexp(p - t, t - p) - LOG2)

    return {
        "mse": lambda p, t: jnp.mean((p - t) ** 2),
        "mae": lambda p, t: jnp.mean(jnp.abs(p - t)),
        "huber": huber,
        "hinge": lambda p, t: jnp.mean(jnp.maximum(0, 1 - t * p)),
        "quantile": quantile,
        "poisson": lambda p, t: jnp.mean(jnp.exp(p) - t * p),
        "binary_crossentropy": lambda p, t: jnp.mean(bce(p, t)),
        "binary_focal_crossentropy": focal,
        "log_cosh": log_cosh,
    }


def jax(case: Case) -> Iterator[Contender]:
    """One graph."""
    yield from contenders.on_jax(_jax_losses()[case.loss], data(case), case.grad)
