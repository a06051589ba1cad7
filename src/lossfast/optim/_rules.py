"""The optimizers: hyperparameters, the textbook's formulas, and what the kernels need of them at each step."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np

from lossfast._arrays import Array
from lossfast._declarations import Param, nonnegative
from lossfast.optim._optimizer import Optimizer, Schedule, beta

_WORDS = {
    "params": "list of ndarray or None|float32 or float64 arrays of any layout, updated in place; `bind` takes some.",
    "lr": "float or callable|The learning rate, or a schedule: lr(k) is that of the step after k steps.",
    "betas": "pair of float|Of the running means of the gradient and of its square.",
    "eps": "float|Keeps quotients of small gradients small.",
    "weight_decay": "float|How strongly weights are drawn to zero: weight_decay times the weights joins the gradient.",
    "decoupled_weight_decay": "bool|Whether weights shrink by the factor 1 - lr weight_decay instead.",
    "clip_value": "float or None|Elements of gradients are clipped to this magnitude.",
    "clip_norm": "float or None|The largest norm of all gradients together; larger ones are scaled down to it.",
    "nonfinite": 'str|What a NaN or an infinity in a gradient does: it may ``"propagate"``, ``"raise"`` a\n'
    '        FloatingPointError, or ``"skip"`` the step.',
    "n_threads": "int or None|How many threads a step uses, at most; no number changes a bit.",
}
T = TypeVar("T", bound=type[Optimizer])


def documented(cls: T) -> T:
    """Fills in the parameters: those of all optimizers are explained in one place."""
    lines = []
    for name, parameter in inspect.signature(cls).parameters.items():
        if name == "weight_decay" and "decoupled_weight_decay" not in inspect.signature(cls).parameters:
            words = "float|How strongly weights are drawn to zero: they shrink by the factor 1 - lr weight_decay."
        elif name in cls.HYPER and cls.HYPER[name].doc:
            words = cls.HYPER[name].kind.__name__ + "|" + cls.HYPER[name].doc
        else:
            words = _WORDS[name]
        kind, _, text = words.partition("|")
        default = "" if parameter.default is inspect.Parameter.empty else f", default {parameter.default!r}"
        lines.append(f"{name} : {kind}{default}\n        {text}")
    head, _, rest = (cls.__doc__ or "").partition("\n    References\n")
    section = "\n    Parameters\n    ----------\n    " + "\n    ".join(lines) + "\n"
    cls.__doc__ = f"{head}{section}\n    References\n{rest}"
    return cls


@documented
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if it is not 0.

    ::

        g = g + weight_decay w                          (coupled decay)
        v = momentum v + (1 - dampening) g              (v = g in the first step)
        w = w - lr v                                    (nesterov: w - lr (g + momentum v))

    Torch's defaults; Keras has lr=0.01, and its v holds the learning rate, which is the same as long as that stays.

    References
    ----------
    B. T. Polyak, USSR Comp. Math. Math. Phys. 4 (1964) 1-17; I. Sutskever et al., ICML 2013 (Nesterov's).

    Examples
    --------
    >>> import numpy as np, lossfast as lf
    >>> w = np.array([1.0, 2.0])
    >>> opt = lf.optim.SGD([w], lr=0.5)
    >>> opt.step([np.array([1.0, -1.0])])
    >>> w
    array([0.5, 2.5])
    """

    HYPER: ClassVar[dict[str, Param]] = {
        "momentum": nonnegative(0.0, "How much of the last step goes on."),
        "dampening": Param(0.0, "How much of the gradient momentum leaves out.", low=0.0, high=1.0),
        "nesterov": Param(False, "Whether momentum looks ahead.", kind=bool),
    }

    def __init__(
        self,
        params: Iterable[Array] | None = None,
        lr: float | Schedule = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        decoupled_weight_decay: bool = False,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        nonfinite: str = "propagate",
        n_threads: int | None = None,
    ) -> None:
        self._start(locals())

    def _check(self, numbers: Mapping[str, Any]) -> None:
        if numbers["nesterov"] and (numbers["momentum"] == 0 or numbers["dampening"] != 0):
            raise ValueError("nesterov is True, expected momentum above 0 and dampening of 0 with it")
        if getattr(self, "_weights", None) is not None and (numbers["momentum"] > 0) != (self.momentum > 0):
            raise ValueError("momentum cannot be turned on or off once there are arrays: make a new optimizer")

    def _stored(self) -> tuple[str, ...]:
        return ("momentum_buffer",) if self.momentum else ()

    def _coefficients(self, t: int, lr: float) -> tuple[str, tuple[float, ...]]:
        n = self._numbers
        momentum = n["momentum"]
        if not momentum:
            return "sgd", (lr,)
        fresh = 1.0 if t == 1 else 1.0 - n["dampening"]
        return "momentum", (lr, momentum, fresh, *((1.0, momentum) if n["nesterov"] else (0.0, 1.0)))

    def _formula(self, t: int, lr: float, w: Any, g: Any, *states: Any) -> tuple[Any, ...]:
        if not states:
            return (w - lr * g,)
        v = g if t == 1 else self.momentum * states[0] + (1 - self.dampening) * g
        return w - lr * (g + self.momentum * v if self.nesterov else v), v


def _moments(betas: tuple[float, float], g: Any, m: Any, v: Any) -> tuple[Any, Any]:
    """The running means of the gradient and of its square."""
    return betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g**2


@documented
class Adam(Optimizer):
    """Adam, or AMSGrad: steps by the running mean of gradients over the root of that of their squares.

    ::

        m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2
        w = w - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)      (amsgrad: the largest v so far for v)

    Torch's defaults; Keras has eps=1e-7.  AMSGrad takes the largest v before its correction, as torch does; Optax takes
    the largest corrected one.

    References
    ----------
    D. P. Kingma, J. Ba, ICLR 2015, arXiv:1412.6980; S. J. Reddi, S. Kale, S. Kumar, ICLR 2018, arXiv:1904.09237.

    Examples
    --------
    >>> import numpy as np, lossfast as lf
    >>> w = np.array([1.0, 2.0])
    >>> opt = lf.optim.Adam([w], lr=0.1)
    >>> opt.step([np.array([1.0, -3.0])])
    >>> w.round(6)
    array([0.9, 2.1])
    """

    STATES = ("exp_avg", "exp_avg_sq")
    HYPER: ClassVar[dict[str, Param]] = {
        "eps": nonnegative(1e-8, ""),
        "amsgrad": Param(False, "Whether to divide by the root of the largest mean so far.", kind=bool),
    }

    def __init__(
        self,
        params: Iterable[Array] | None = None,
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        decoupled_weight_decay: bool = False,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        nonfinite: str = "propagate",
        n_threads: int | None = None,
    ) -> None:
        self._start(locals())

    def _check(self, numbers: Mapping[str, Any]) -> None:
        if getattr(self, "_weights", None) is not None and numbers["amsgrad"] != self.amsgrad:
            raise ValueError("amsgrad cannot change once there are arrays: make a new optimizer")

    def _stored(self) -> tuple[str, ...]:
        return (*self.STATES, "max_exp_avg_sq") if self.amsgrad else self.STATES

    def _coefficients(self, t: int, lr: float) -> tuple[str, tuple[float, ...]]:
        n = self._numbers
        beta1, beta2 = n["betas"]
        rate, root = lr / (1 - beta1**t), 1 / math.sqrt(1 - beta2**t)
        return "amsgrad" if n["amsgrad"] else "adam", (rate, 1 - beta1, beta2, 1 - beta2, root, n["eps"])

    def _formula(self, t: int, lr: float, w: Any, g: Any, *states: Any) -> tuple[Any, ...]:
        m, v = _moments(self.betas, g, *states[:2])
        most = [np.maximum(v, states[2])] if self.amsgrad else []
        m_hat = m / (1 - self.betas[0] ** t)
        v_hat = (most or [v])[0] / (1 - self.betas[1] ** t)
        return w - lr * m_hat / (np.sqrt(v_hat) + self.eps), m, v, *most


@documented
class AdamW(Adam):
    """Adam with decoupled weight decay.

    ::

        w = (1 - lr weight_decay) w, then as Adam

    Torch's defaults; Keras has eps=1e-7 and weight_decay=0.004.

    References
    ----------
    I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019, arXiv:1711.05101.

    Examples
    --------
    >>> import numpy as np, lossfast as lf
    >>> w = np.array([1.0, 2.0])
    >>> opt = lf.optim.AdamW([w], lr=0.1, weight_decay=0.5)
    >>> opt.step([np.array([1.0, -3.0])])
    >>> w.round(6)
    array([0.85, 2.  ])
    """

    def __init__(
        self,
        params: Iterable[Array] | None = None,
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        nonfinite: str = "propagate",
        n_threads: int | None = None,
    ) -> None:
        self._start({**locals(), "decoupled_weight_decay": True})


@documented
class NAdam(Optimizer):
    """NAdam: Adam with Nesterov's momentum.

    ::

        m, v as of Adam;   mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2)
        w = w - lr ((1 - mu_t) g / (1 - mu_1 ... mu_t) + mu_(t+1) m / (1 - mu_1 ... mu_(t+1)))
                / (sqrt(v / (1 - beta2^t)) + eps)

    Torch's defaults; Keras has lr=1e-3 and eps=1e-7.

    References
    ----------
    T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016.

    Examples
    --------
    >>> import numpy as np, lossfast as lf
    >>> w = np.array([1.0, 2.0])
    >>> opt = lf.optim.NAdam([w], lr=0.1)
    >>> opt.step([np.array([1.0, -3.0])])
    >>> w.round(4)
    array([0.8944, 2.1056])
    """

    STATES = ("exp_avg", "exp_avg_sq")
    HYPER: ClassVar[dict[str, Param]] = {
        "eps": nonnegative(1e-8, ""),
        "momentum_decay": nonnegative(4e-3, "How fast the momentum grows to its full size."),
    }

    def __init__(
        self,
        params: Iterable[Array] | None = None,
        lr: float | Schedule = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        *,
        decoupled_weight_decay: bool = False,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        nonfinite: str = "propagate",
        n_threads: int | None = None,
    ) -> None:
        self._start(locals())

    def _clear(self) -> None:
        super()._clear()
        self._product = 1.0  # mu_1 ... mu_t

    def _mu(self, t: int) -> float:
        n = self._numbers
        return n["betas"][0] * (1 - 0.5 * 0.96 ** (t * n["momentum_decay"]))  # type: ignore[no-any-return]

    def _advance(self, t: int) -> None:
        self._product *= self._mu(t)

    def _coefficients(self, t: int, lr: float) -> tuple[str, tuple[float, ...]]:
        n = self._numbers
        beta1, beta2 = n["betas"]
        now, after = self._mu(t), self._mu(t + 1)
        product = self._product * now
        by_grad, by_mean = lr * (1 - now) / (1 - product), lr * after / (1 - product * after)
        root = 1 / math.sqrt(1 - beta2**t)
        return "nadam", (by_grad, by_mean, 1 - beta1, beta2, 1 - beta2, root, n["eps"])

    def _formula(self, t: int, lr: float, w: Any, g: Any, *states: Any) -> tuple[Any, ...]:
        m, v = _moments(self.betas, g, *states)
        mu = [self._mu(k) for k in range(1, t + 2)]
        m_hat = (1 - mu[-2]) * g / (1 - math.prod(mu[:-1])) + mu[-1] * m / (1 - math.prod(mu))
        v_hat = v / (1 - self.betas[1] ** t)
        return w - lr * m_hat / (np.sqrt(v_hat) + self.eps), m, v

    def _more(self) -> dict[str, float]:
        return {"product": self._product}

    def _load_more(self, more: Mapping[str, float]) -> None:
        self._product = float(more["product"])


@documented
class RMSprop(Optimizer):
    """RMSprop: gradients by the root of the running mean of their squares.

    ::

        v = alpha v + (1 - alpha) g^2,   a = alpha a + (1 - alpha) g
        u = g / (sqrt(v) + eps)                         (centered: g / (sqrt(max(0, v - a^2)) + eps))
        w = w - lr u                                    (momentum: b = momentum b + u,  w = w - lr b)

    Torch's defaults; Keras has lr=1e-3, rho=0.9 for alpha, eps=1e-7, and eps under the root.

    References
    ----------
    T. Tieleman, G. Hinton, "Neural networks for machine learning", lecture 6.5, 2012; A. Graves, arXiv:1308.0850.

    Examples
    --------
    >>> import numpy as np, lossfast as lf
    >>> w = np.array([1.0, 2.0])
    >>> opt = lf.optim.RMSprop([w], lr=0.01)
    >>> opt.step([np.array([1.0, -3.0])])
    >>> w.round(6)
    array([0.9, 2.1])
    """

    HYPER: ClassVar[dict[str, Param]] = {
        "alpha": beta(0.99, "Of the running means."),
        "eps": nonnegative(1e-8, ""),
        "momentum": nonnegative(0.0, "How much of the last step goes on."),
        "centered": Param(False, "Whether to divide by the deviation of the gradient instead.", kind=bool),
    }

    def __init__(
        self,
        params: Iterable[Array] | None = None,
        lr: float | Schedule = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        decoupled_weight_decay: bool = False,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        nonfinite: str = "propagate",
        n_threads: int | None = None,
    ) -> None:
        self._start(locals())

    def _check(self, numbers: Mapping[str, Any]) -> None:
        kind = numbers["momentum"] > 0, numbers["centered"]
        if getattr(self, "_weights", None) is not None and kind != (self.momentum > 0, self.centered):
            raise ValueError(
                "momentum and centered cannot be turned on or off once there are arrays: make a new optimizer"
            )

    def _stored(self) -> tuple[str, ...]:
        return ("square_avg", *["grad_avg"] * self.centered, *["momentum_buffer"] * (self.momentum > 0))

    def _coefficients(self, t: int, lr: float) -> tuple[str, tuple[float, ...]]:
        n = self._numbers
        name = "rmsprop" + "_centered" * n["centered"] + "_momentum" * (n["momentum"] > 0)
        own = (lr, n["alpha"], 1 - n["alpha"], n["eps"])
        return name, (*own, n["momentum"]) if n["momentum"] else own

    def _formula(self, t: int, lr: float, w: Any, g: Any, *states: Any) -> tuple[Any, ...]:
        new = [self.alpha * states[0] + (1 - self.alpha) * g**2]
        variance = new[0]
        if self.centered:
            new.append(self.alpha * states[1] + (1 - self.alpha) * g)
            variance = np.maximum(0, new[0] - new[1] ** 2)
        u = g / (np.sqrt(variance) + self.eps)
        if self.momentum:
            u = self.momentum * states[-1] + u
            new.append(u)
        return w - lr * u, *new


@documented
class Adagrad(Optimizer):
    """Adagrad: gradients by the root of the sum of their squares.

    ::

        s = s + g^2                                     (s = initial_accumulator_value before the first step)
        w = w - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)

    Torch's defaults; Keras has lr=1e-3, initial_accumulator_value=0.1, eps=1e-7, and eps under the root.

    References
    ----------
    J. Duchi, E. Hazan, Y. Singer, JMLR 12 (2011) 2121-2159.

    Examples
    --------
    >>> import numpy as np, lossfast as lf
    >>> w = np.array([1.0, 2.0])
    >>> opt = lf.optim.Adagrad([w], lr=0.1)
    >>> opt.step([np.array([1.0, -3.0])])
    >>> w.round(6)
    array([0.9, 2.1])
    """

    STATES = ("sum",)
    HYPER: ClassVar[dict[str, Param]] = {
        "lr_decay": nonnegative(0.0, "How fast the learning rate falls by itself."),
        "initial_accumulator_value": nonnegative(0.0, "What the sums of squares begin with."),
        "eps": nonnegative(1e-10, ""),
    }

    def __init__(
        self,
        params: Iterable[Array] | None = None,
        lr: float | Schedule = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        decoupled_weight_decay: bool = False,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        nonfinite: str = "propagate",
        n_threads: int | None = None,
    ) -> None:
        self._start(locals())

    def _begin(self) -> None:
        for s in self._states:
            s.fill(self.initial_accumulator_value)

    def _coefficients(self, t: int, lr: float) -> tuple[str, tuple[float, ...]]:
        n = self._numbers
        return "adagrad", (lr / (1 + (t - 1) * n["lr_decay"]), n["eps"])

    def _formula(self, t: int, lr: float, w: Any, g: Any, *states: Any) -> tuple[Any, ...]:
        s = states[0] + g**2
        return w - lr / (1 + (t - 1) * self.lr_decay) * g / (np.sqrt(s) + self.eps), s


@documented
class Adadelta(Optimizer):
    """Adadelta: steps in relation to gradients as steps have been.

    ::

        v = rho v + (1 - rho) g^2
        d = sqrt(u + eps) / sqrt(v + eps) g
        u = rho u + (1 - rho) d^2
        w = w - lr d

    Torch's defaults; Keras has lr=1e-3, rho=0.95 and eps=1e-7.

    References
    ----------
    M. D. Zeiler, arXiv:1212.5701.

    Examples
    --------
    >>> import numpy as np, lossfast as lf
    >>> w = np.array([1.0, 2.0])
    >>> opt = lf.optim.Adadelta([w])
    >>> opt.step([np.array([1.0, -3.0])])
    >>> w.round(4)
    array([0.9968, 2.0032])
    """

    STATES = ("square_avg", "acc_delta")
    HYPER: ClassVar[dict[str, Param]] = {
        "rho": beta(0.9, "Of the running means."),
        "eps": nonnegative(1e-6, ""),
    }

    def __init__(
        self,
        params: Iterable[Array] | None = None,
        lr: float | Schedule = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        decoupled_weight_decay: bool = False,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        nonfinite: str = "propagate",
        n_threads: int | None = None,
    ) -> None:
        self._start(locals())

    def _coefficients(self, t: int, lr: float) -> tuple[str, tuple[float, ...]]:
        n = self._numbers
        return "adadelta", (lr, n["rho"], 1 - n["rho"], n["eps"])

    def _formula(self, t: int, lr: float, w: Any, g: Any, *states: Any) -> tuple[Any, ...]:
        v = self.rho * states[0] + (1 - self.rho) * g**2
        d = np.sqrt(states[1] + self.eps) / np.sqrt(v + self.eps) * g
        return w - lr * d, v, self.rho * states[1] + (1 - self.rho) * d**2


@documented
class Lion(Optimizer):
    """Lion: steps of one length in the direction of the momentum, with decoupled weight decay.

    ::

        w = (1 - lr weight_decay) w - lr sign(beta1 m + (1 - beta1) g)
        m = beta2 m + (1 - beta2) g

    The paper's defaults, which are Optax's but for its weight_decay=1e-3; Keras has lr=1e-3.  Torch has no Lion.

    References
    ----------
    X. Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023, arXiv:2302.06675.

    Examples
    --------
    >>> import numpy as np, lossfast as lf
    >>> w = np.array([1.0, 2.0])
    >>> opt = lf.optim.Lion([w], lr=0.1)
    >>> opt.step([np.array([1.0, -3.0])])
    >>> w.round(6)
    array([0.9, 2.1])
    """

    STATES = ("exp_avg",)

    def __init__(
        self,
        params: Iterable[Array] | None = None,
        lr: float | Schedule = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        nonfinite: str = "propagate",
        n_threads: int | None = None,
    ) -> None:
        self._start({**locals(), "decoupled_weight_decay": True})

    def _coefficients(self, t: int, lr: float) -> tuple[str, tuple[float, ...]]:
        n = self._numbers
        beta1, beta2 = n["betas"]
        return "lion", (lr, beta1, 1 - beta1, beta2, 1 - beta2)

    def _formula(self, t: int, lr: float, w: Any, g: Any, *states: Any) -> tuple[Any, ...]:
        beta1, beta2 = self.betas
        c = beta1 * states[0] + (1 - beta1) * g
        return w - lr * np.sign(c), beta2 * states[0] + (1 - beta2) * g
