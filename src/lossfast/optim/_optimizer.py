"""What all optimizers have in common: arrays, gradients, clipping, learning rate and state."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np

from lossfast import _loss
from lossfast._arrays import Array, as_array, position
from lossfast._declarations import Param, nonnegative
from lossfast._evaluate import choice, threads
from lossfast.optim import _numpy

STATE_VERSION = 1
NONFINITE = ("propagate", "raise", "skip")
LEARNING_RATE = nonnegative(0.0, "The learning rate.")
COMMON: dict[str, Param] = {
    "weight_decay": nonnegative(0.0, "How strongly weights are drawn to zero."),
    "decoupled_weight_decay": Param(False, "Whether the decay goes past the gradient.", kind=bool),
    "clip_value": Param(None, "The largest magnitude of an element of a gradient.", low=0.0, open_low=True, none=True),
    "clip_norm": Param(None, "The largest norm of all gradients together.", low=0.0, open_low=True, none=True),
}
Schedule = Callable[[int], float]
Self = TypeVar("Self", bound="Optimizer")


def beta(default: float, doc: str) -> Param:
    """A factor of a running mean."""
    return Param(default, doc, low=0.0, high=1.0, open_high=True)


class Optimizer:
    """The base of the optimizers, which are updates of arrays in place.

    Without arrays it is a configuration: `bind` makes an optimizer of it that has some.

    Attributes
    ----------
    params : list of ndarray
        The arrays that it updates.
    steps : int
        How many steps have been made.
    skipped : int
        How many steps were left out because of a NaN or an infinity, with ``nonfinite="skip"``.
    grad_norm : float
        The norm of all gradients together in the last step, before clipping; NaN without `clip_norm`.
    """

    STATES: ClassVar[tuple[str, ...]] = ()
    HYPER: ClassVar[dict[str, Param]] = {}  # beside lr and COMMON

    def _start(self, given: dict[str, Any]) -> None:
        """With the arguments of __init__."""
        self._numbers: dict[str, Any] = {}
        self._set({k: v for k, v in given.items() if k not in ("self", "params")})
        self._weights: list[Array] | None = None
        self._clear()
        if given["params"] is not None:
            self._take(given["params"])

    def _clear(self) -> None:
        self.steps = 0
        self.skipped = 0
        self.grad_norm = np.nan

    # --- Hyperparameters ---------------------------------------------------------------------------------------------

    def _set(self, given: Mapping[str, Any]) -> None:
        known = {**COMMON, **self.HYPER}
        checked = dict(self._numbers)
        for name, value in given.items():
            if name == "lr":
                checked[name] = value if callable(value) else LEARNING_RATE.checked(name, value)
            elif name == "nonfinite":
                choice(name, value, NONFINITE)
                checked[name] = value
            elif name == "n_threads":
                threads(value)
                checked[name] = value
            elif name == "betas":
                checked[name] = _pair(value)
            else:
                checked[name] = known[name].checked(name, value)
        if checked["clip_value"] is not None and checked["clip_norm"] is not None:
            raise ValueError("clip_value and clip_norm are both given, expected at most one of them")
        self._check(checked)
        self._numbers = checked

    def _check(self, numbers: Mapping[str, Any]) -> None:
        """What hyperparameters must be together."""

    def __getattr__(self, name: str) -> Any:
        numbers = self.__dict__.get("_numbers", {})
        if name in numbers:
            return numbers[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__.get("_numbers", {}):
            self._set({name: value})
        else:
            super().__setattr__(name, value)

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls).parameters if name != "params"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The hyperparameters, as scikit-learn's estimators return theirs."""
        return {name: self._numbers[name] for name in self._names()}

    def set_params(self: Self, **params: Any) -> Self:
        """Change hyperparameters; nothing changes if one of them is not allowed."""
        for name in params:
            if name not in self._names():
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}: {', '.join(self._names())}")
        self._set(params)
        return self

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        lr = self._numbers["lr"]
        return lr if isinstance(lr, float) else LEARNING_RATE.checked(f"lr({self.steps})", lr(self.steps))

    @learning_rate.setter
    def learning_rate(self, value: float | Schedule) -> None:
        self.lr = value

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        shown = [f"{k}={v!r}" for k, v in self.get_params().items() if k == "lr" or v != defaults[k].default]
        if self._weights is not None:
            shown.insert(0, f"<{len(self._weights)} array{'s' * (len(self._weights) != 1)}>")
        return f"{type(self).__name__}({', '.join(shown)})"

    # --- Arrays ------------------------------------------------------------------------------------------------------

    def bind(self: Self, params: Iterable[Array]) -> Self:
        """A new optimizer with the hyperparameters of this one, for these arrays."""
        make: Any = type(self)
        return make(params, **self.get_params())  # type: ignore[no-any-return]

    @property
    def params(self) -> list[Array]:
        """The arrays that it updates."""
        return list(self._bound())

    def _bound(self) -> list[Array]:
        if self._weights is None:
            raise ValueError(
                f"{self!r} has no arrays to update: give it some, as {type(self).__name__}([w]), or bind it"
            )
        return self._weights

    def _take(self, params: Iterable[Array]) -> None:
        weights = _listed("params", params)
        for i, w in enumerate(weights):
            _check_weight(f"params[{i}]", w)
        spans = _spans(weights)
        self._weights = weights
        self._count = len(self._stored())
        self._lows, self._highs = spans
        self._states = [np.zeros(w.shape, w.dtype) for w in weights for _ in self._stored()]
        self._begin()
        self._groups = [
            (single, [i for i, w in enumerate(weights) if (w.dtype == np.float32) == single])
            for single in sorted({w.dtype == np.float32 for w in weights})
        ]

    def _stored(self) -> tuple[str, ...]:
        """The names of the states that this configuration needs."""
        return self.STATES

    def _begin(self) -> None:
        """States that do not start with zeros."""

    # --- A step ------------------------------------------------------------------------------------------------------

    def step(self, grads: Iterable[Array]) -> None:
        """Update the arrays in place.

        Parameters
        ----------
        grads : list of array_like
            A gradient for each of the arrays, in its shape, of any float dtype and layout.

        Raises
        ------
        ValueError, TypeError
            For gradients that do not fit, and a learning rate that is negative or not finite.
        FloatingPointError
            With ``nonfinite="raise"``: a gradient has a NaN or an infinity.  In all cases nothing has changed.
        """
        weights = self._bound()
        core = _loss._core
        given: list[Array] = list(grads) if type(grads) is tuple else grads  # type: ignore[assignment]
        if core is None or type(given) is not list or not core.plain_gradients(weights, given, self._lows, self._highs):
            given = self._gradients(grads)
        lr = self.learning_rate
        numbers = self._numbers
        nthreads = threads(numbers["n_threads"])
        if numbers["nonfinite"] != "propagate" and not self._all_finite(given, nthreads):
            self.skipped += 1
            return
        scale, clip = 1.0, np.inf if numbers["clip_value"] is None else numbers["clip_value"]
        if numbers["clip_norm"] is not None:
            self.grad_norm = norm = self._norm(given, nthreads)
            if not norm <= numbers["clip_norm"]:
                scale = numbers["clip_norm"] / norm
        decay = numbers["weight_decay"]
        keep = 1.0 - lr * decay if numbers["decoupled_weight_decay"] else 1.0
        decay = 0.0 if numbers["decoupled_weight_decay"] else decay
        t = self.steps + 1
        if core is None:
            self._still_writable()
            _numpy.step(self, t, lr, given, scale, clip, decay, keep)
        else:
            name, coefficients = self._coefficients(t, lr)
            common = (coefficients, scale, clip, decay, keep, nthreads)
            if len(self._groups) == 1:
                core.optimizer_step(name, self._groups[0][0], weights, given, self._states, *common)
            else:
                self._still_writable()
                for single, group in self._groups:
                    states = [self._states[i * self._count + k] for i in group for k in range(self._count)]
                    chosen = [weights[i] for i in group], [given[i] for i in group], states
                    core.optimizer_step(name, single, *chosen, *common)
        self._advance(t)
        self.steps = t

    def _still_writable(self) -> None:
        for i, w in enumerate(self._bound()):
            if not w.flags.writeable:
                raise ValueError(f"params[{i}] has become read-only since the optimizer was made")

    def _advance(self, t: int) -> None:
        """What changes with step t, beside the arrays."""

    def _coefficients(self, t: int, lr: float) -> tuple[str, tuple[float, ...]]:
        """The kernel of step t = 1, 2, ... and its parameters."""
        raise NotImplementedError

    def _formula(self, t: int, lr: float, w: Any, g: Any, *states: Any) -> tuple[Any, ...]:
        """The specification: weights and states after step t = 1, 2, ..., in double precision."""
        raise NotImplementedError

    def _gradients(self, grads: Any) -> list[Array]:
        """All gradients as arrays of floats that overlap no weights; else an error."""
        weights = self._bound()
        given = _listed("grads", grads)
        if len(given) != len(weights):
            raise ValueError(f"grads has {len(given)} arrays, expected {len(weights)}: one for each of params")
        found = []
        for i, (g, w) in enumerate(zip(given, weights, strict=True)):
            if g is None:
                raise TypeError(f"grads[{i}] is None, expected an array of shape {w.shape}")
            a = as_array(f"grads[{i}]", g)
            if a.dtype.kind in "biu":
                a = a.astype(w.dtype)
            if a.shape != w.shape:
                raise ValueError(f"grads[{i}] has shape {a.shape}, expected {w.shape}, that of params[{i}]")
            if not a.flags.aligned or any(np.may_share_memory(a, other) for other in weights):
                a = a.copy()
            found.append(a)
        return found

    def _all_finite(self, grads: list[Array], nthreads: int) -> bool:
        """False if a step is to be left out; FloatingPointError if it is not allowed."""
        first = _loss._core.first_nonfinite if _loss._core is not None else _numpy.first_nonfinite
        for single, group in self._groups:
            bad = first(single, [grads[i] for i in group], nthreads)
            if bad is None:
                continue
            if self._numbers["nonfinite"] == "skip":
                return False
            array, at = group[bad[0]], np.unravel_index(bad[1], grads[group[bad[0]]].shape)
            value = float(grads[array][at])
            raise FloatingPointError(
                f"grads[{array}]{position(at)} is {value} in step {self.steps}, expected a finite number"
                " (nothing was changed)"
            )
        return True

    def _norm(self, grads: list[Array], nthreads: int) -> float:
        norm = _loss._core.gradient_norm if _loss._core is not None else _numpy.gradient_norm
        parts = [norm(single, [grads[i] for i in group], nthreads) for single, group in self._groups]
        return math.hypot(*parts)

    # --- State -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All that the steps to come depend on beside the arrays themselves, as plain numbers and copies of arrays.

        A schedule is not part of it, for it is a function: only the state of one that has a state.
        """
        weights, names = self._bound(), self._stored()
        lr = self._numbers["lr"]
        numbers = {k: v for k, v in self.get_params().items() if k != "n_threads" and not callable(v)}
        state = {
            "version": STATE_VERSION,
            "optimizer": type(self).__name__,
            "steps": self.steps,
            "skipped": self.skipped,
            "hyperparameters": numbers,
            "more": self._more(),
            "state": [
                {name: self._states[i * len(names) + k].copy() for k, name in enumerate(names)}
                for i in range(len(weights))
            ],
        }
        if hasattr(lr, "state_dict"):
            state["schedule"] = lr.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned, with the same bits; nothing changes if it does not fit.

        Hyperparameters are taken from it, but a schedule stays as it is.
        """
        weights = self._bound()
        if not isinstance(state, Mapping) or state.get("version") != STATE_VERSION:
            raise ValueError(f"state is not a state of version {STATE_VERSION} as state_dict returns it")
        missing = {"optimizer", "steps", "skipped", "hyperparameters", "more", "state"} - set(state)
        if missing:
            raise ValueError(f"state has no {sorted(missing)[0]!r}")
        if state["optimizer"] != type(self).__name__:
            raise ValueError(f"state is of {state['optimizer']}, expected {type(self).__name__}")
        if len(state["state"]) != len(weights):
            raise ValueError(f"state has {len(state['state'])} arrays, expected {len(weights)}: one for each of params")
        before = self._numbers
        self.set_params(**state["hyperparameters"])
        try:
            states = []
            for i, w in enumerate(weights):
                for name in self._stored():
                    if name not in state["state"][i]:
                        raise ValueError(f"state[{i}] has no {name!r}")
                    a = np.asarray(state["state"][i][name])
                    if a.shape != w.shape or a.dtype != w.dtype:
                        raise ValueError(
                            f"state[{i}][{name!r}] is {a.dtype} of shape {a.shape}, expected {w.dtype} of {w.shape}"
                        )
                    states.append(np.array(a, order="C"))
            if "schedule" in state and hasattr(self._numbers["lr"], "load_state_dict"):
                self._numbers["lr"].load_state_dict(state["schedule"])
        except BaseException:
            self._numbers = before
            raise
        self._states = states
        self.steps, self.skipped = int(state["steps"]), int(state["skipped"])
        self._load_more(state["more"])

    def _more(self) -> dict[str, float]:
        """Numbers that change from step to step."""
        return {}

    def _load_more(self, more: Mapping[str, float]) -> None:
        pass

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_lows", "_highs")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._weights is not None:
            self._lows, self._highs = _spans(self._weights)


def _pair(value: Any) -> tuple[float, float]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"betas is {value!r}, expected a pair of numbers")
    checked = tuple(beta(0.0, "").checked(f"betas[{i}]", b) for i, b in enumerate(value))
    return (
        value
        if isinstance(value, tuple) and value == checked and type(value[0]) is type(value[1]) is float
        else checked
    )


def _listed(name: str, arrays: Any) -> list[Any]:
    if isinstance(arrays, np.ndarray) or not isinstance(arrays, Iterable) or isinstance(arrays, str | Mapping):
        raise TypeError(f"{name} is a {type(arrays).__name__}, expected a list of arrays, as [w, b]")
    return list(arrays)


def _check_weight(name: str, w: Any) -> None:
    if not isinstance(w, np.ndarray):
        raise TypeError(f"{name} is a {type(w).__name__}, expected a NumPy array, which is updated in place")
    if w.dtype not in (np.float32, np.float64) or not w.dtype.isnative:
        raise TypeError(f"{name} has dtype {w.dtype}, expected float32 or float64")
    if not w.flags.writeable:
        raise ValueError(f"{name} is read-only, expected an array that can be written to")
    if not w.flags.aligned:
        raise ValueError(f"{name} is not aligned to its dtype, expected an ordinary array")
    if w.size and any(n > 1 and s == 0 for n, s in zip(w.shape, w.strides, strict=True)):
        raise ValueError(f"{name} has elements that share memory, expected an ordinary array")


def _spans(weights: list[Array]) -> tuple[Array, Array]:
    """The addresses that the arrays occupy, from and to, sorted and merged; ValueError if two of them share any."""
    spans = []
    for i, w in enumerate(weights):
        if w.size:
            reach = [s * (n - 1) for n, s in zip(w.shape, w.strides, strict=True)]
            start = w.__array_interface__["data"][0]
            low, high = start + sum(r for r in reach if r < 0), start + sum(r for r in reach if r > 0) + w.itemsize
            spans.append((low, high, i))
    merged: list[list[int]] = []
    together: list[int] = []
    for low, high, i in sorted(spans):
        if merged and low < merged[-1][1]:
            for other in together:
                if np.shares_memory(weights[i], weights[other]):
                    raise ValueError(f"params[{max(i, other)}] overlaps params[{min(i, other)}], expected each once")
            merged[-1][1] = max(merged[-1][1], high)
            together.append(i)
        else:
            merged.append([low, high])
            together = [i]
    table = np.array(merged, dtype=np.uintp).reshape(-1, 2)
    return np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])
