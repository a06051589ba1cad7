"""Descent along a user's own function, with all that was seen on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lossfast._arrays import Array, as_array, position
from lossfast._declarations import Param, nonnegative
from lossfast._evaluate import threads
from lossfast.optim import LBFGS, Optimizer, get
from lossfast.optim._optimizer import Schedule

CURVED = 0.02  # how far apart differences over h and 2 h may be, in parts of what curvature does over that distance
ROUGH = 1e-4  # or in parts of the value, at least of 1


@dataclass(frozen=True)
class Result:
    """What `minimize` found, and the way it took.

    Attributes
    ----------
    x : float or ndarray
        The last point, as x0 was given: a float, or an array of its shape.
    value : float
        The function there.
    losses : ndarray
        The values at all points, from x0 to x: one more than there were steps.
    path : ndarray or None
        All points, of shape (steps + 1, *x.shape), with ``record_path=True``.
    steps : int
        How many steps were made.
    converged : bool
        Whether a tolerance ended it, not the number of steps.
    message : str
        What ended it.
    """

    x: Any
    value: float
    losses: Array
    path: Array | None = field(repr=False)
    steps: int
    converged: bool
    message: str

    def __repr__(self) -> str:
        path = "None" if self.path is None else f"array of shape {self.path.shape}"
        return (
            f"Result after {self.steps} step{'s' * (self.steps != 1)}: {self.message}\n"
            f"  value  {self.value!r} (first {float(self.losses[0])!r})\n"
            f"  x      {np.array2string(np.asarray(self.x), threshold=8, prefix='         ')}\n"
            f"  path   {path}"
        )


class _Run:
    """One descent: the function as it is called, and what it said."""

    def __init__(self, fun: Callable[[Any], Any], x0: Any, record_path: bool) -> None:
        if not callable(fun):
            raise TypeError(f"fun is {fun!r}, expected a function of x")
        given = as_array("x0", x0)
        self.scalar = given.ndim == 0
        self.dtype = given.dtype if given.dtype in (np.float32, np.float64) else np.dtype(np.float64)
        self.x = np.array(given, dtype=self.dtype, order="C")
        if not np.isfinite(self.x).all():
            first = np.unravel_index(int((~np.isfinite(self.x)).argmax()), self.x.shape)
            raise ValueError(f"x0{position(first)} is {float(self.x[first])}, expected finite numbers")
        self.fun = fun
        self.losses: list[float] = []
        self.path: list[Array] | None = [] if record_path else None

    def call(self, x: Array) -> Any:
        """The function at a copy of x: it may keep it."""
        return self.fun(float(x) if self.scalar else x.copy())

    def evaluate(self, x: Array) -> tuple[float, Array]:
        """Value and gradient; a gradient that the function does not give is made of differences."""
        result = self.call(x)
        if isinstance(result, tuple):
            if len(result) != 2:
                raise TypeError(f"fun returned a tuple of {len(result)}, expected (value, gradient) or the value")
            value, gradient = _number(result[0]), as_array("the gradient of fun", result[1])
            if gradient.shape != x.shape:
                raise ValueError(f"the gradient of fun has shape {gradient.shape}, expected {x.shape}, that of x0")
            return value, gradient
        value = _number(result)
        return value, self.differences(x, value) if math.isfinite(value) else np.zeros_like(x)

    def differences(self, x: Array, value: float) -> Array:
        """Central differences of fourth order, in double precision: (4 d(h) - d(2 h)) / 3.

        Of a smooth function d(h) and d(2 h) differ by order h^2, far less than the derivative does over h; near a
        kink by order 1.
        """
        point = x.astype(np.float64)
        gradient = np.empty(x.shape)
        for i in np.ndindex(*x.shape):
            here = float(point[i])
            h = float(np.spacing(1.0) ** 0.2 * max(1.0, abs(here)))
            slope, bend, size = [], 0.0, max(1.0, abs(value))
            for step in (h, 2 * h):
                values = []
                for at in (here + step, here - step):
                    point[i] = at
                    values.append(_number(self.call(point)))
                if not all(map(math.isfinite, values)):
                    raise ValueError(
                        f"fun is {values} at x{position(i)} = {here!r} +- {step:.3g}, expected finite values"
                    )
                size = max(size, *map(abs, values))
                slope.append((values[0] - values[1]) / (2 * step))
                bend += abs(values[0] - 2 * value + values[1]) / step**2 * h
            point[i] = here
            if abs(slope[1] - slope[0]) > CURVED * bend + ROUGH * size:
                raise ValueError(
                    f"finite differences of fun by x{position(i)} do not agree ({slope[0]:.6g} over {h:.3g} and"
                    f" {slope[1]:.6g} over twice that): it is not smooth there; return (value, gradient) instead"
                )
            gradient[i] = (4 * slope[0] - slope[1]) / 3
        return gradient

    def record(self, x: Array, value: float) -> None:
        """A point of the path."""
        self.losses.append(value)
        if self.path is not None:
            self.path.append(x.astype(self.dtype))

    def result(self, converged: bool, message: str) -> Result:
        """All so far."""
        x: Any = float(self.x) if self.scalar else self.x.copy()
        path = None if self.path is None else np.array(self.path, dtype=self.dtype)
        losses = np.array(self.losses)
        return Result(x, self.losses[-1], losses, path, len(losses) - 1, converged, message)

    def checked(self, value: float, gradient: Array) -> None:
        """FloatingPointError, with the result so far as its `result`, if one of them is not finite."""
        step = len(self.losses) - 1
        after = f"after step {step}" if step else "at x0"
        if math.isfinite(value) and np.isfinite(gradient).all():
            return
        what = f"the value of fun is {value}"
        if math.isfinite(value):
            first = np.unravel_index(int((~np.isfinite(gradient)).argmax()), gradient.shape)
            what = f"the gradient of fun{position(first)} is {float(gradient[first])}"
        hint = ": a smaller lr, or clip_norm, may help" if step else ""
        error = FloatingPointError(f"{what} {after}, expected a finite number{hint}")
        error.result = self.result(False, f"diverged in step {step}")  # type: ignore[attr-defined]
        raise error


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"fun returned {value!r}, expected a number, or (value, gradient)") from error


def minimize(
    fun: Callable[[Any], Any],
    x0: Any,
    optimizer: str | Mapping[str, Any] | type[Any] | Optimizer | LBFGS = "sgd",
    lr: float | Schedule = 0.1,
    steps: int = 100,
    record_path: bool = False,
    *,
    gtol: float = 0.0,
    ftol: float = 0.0,
    patience: int = 1,
    clip_value: float | None = None,
    clip_norm: float | None = None,
    callback: Callable[[int, Any, float], Any] | None = None,
    n_threads: int | None = None,
) -> Result:
    """Minimize a function by an optimizer, and keep the way.

    Parameters
    ----------
    fun : callable
        fun(x) returns (value, gradient), or the value alone, whose gradient is then taken by central differences, four
        calls for each element of x.
    x0 : float or array_like
        Where to begin.  float32 arrays stay float32, all else is float64.
    optimizer : str, dict, class or Optimizer, default 'sgd'
        A name as of `lossfast.optim.get`, or an optimizer, which then has its own learning rate; ``"lbfgs"`` hands
        over to SciPy.
    lr : float or callable, default 0.1
        The learning rate, or a schedule step -> lr; L-BFGS takes none.
    steps : int, default 100
        How many steps, at most.
    record_path : bool, default False
        Whether to keep every point.
    gtol : float, default 0.0
        It ends when no element of the gradient is larger.
    ftol : float, default 0.0
        It ends when the value has changed by no more than this part of it (of 1 if it is smaller), in `patience`
        steps one after another.  With 0.0 it goes on.
    patience : int, default 1
    clip_value, clip_norm : float or None, default None
        As of the optimizers.
    callback : callable or None, default None
        callback(step, x, value) after each step; it ends if that returns True.
    n_threads : int or None, default None

    Returns
    -------
    Result
        With ``x``, ``value``, ``losses``, ``path``, ``steps``, ``converged`` and ``message``.

    Raises
    ------
    FloatingPointError
        If a value or gradient is not finite: it names the step, and its ``result`` is what there was so far.
    ValueError
        If differences of fun do not agree: it is not smooth.
    ImportError
        For L-BFGS without SciPy.

    Examples
    --------
    >>> import lossfast as lf
    >>> found = lf.minimize(lambda w: (w**2, 2 * w), 5.0, lr=0.1, steps=20, record_path=True)
    >>> found.path[:3].round(6), round(found.x, 6)
    (array([5. , 4. , 3.2]), 0.057646)
    >>> found
    Result after 20 steps: all steps were made
      value  0.003323069... (first 25.0)
      x      0.05764608
      path   array of shape (21,)
    """
    run = _Run(fun, x0, record_path)
    for name, number, least in (("steps", steps, 0), ("patience", patience, 1)):
        if Param(0, "", kind=int).checked(name, number) < least:
            raise ValueError(f"{name} is {number}, expected at least {least}")
    gtol, ftol = nonnegative(0.0, "").checked("gtol", gtol), nonnegative(0.0, "").checked("ftol", ftol)
    threads(n_threads)
    chosen = get(optimizer)
    if isinstance(chosen, LBFGS):
        if clip_value is not None or clip_norm is not None:
            raise ValueError("clip_value and clip_norm are not for L-BFGS, whose line search needs whole gradients")
        return _by_lbfgs(run, chosen, steps, {"gtol": gtol, "ftol": ftol}, callback)
    given = {"clip_value": clip_value, "clip_norm": clip_norm, "n_threads": n_threads}
    more: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    if not isinstance(optimizer, Optimizer):
        more["lr"] = lr
    return _by_steps(run, get(chosen, **more).bind([run.x]), steps, gtol, ftol, patience, callback)


def _by_steps(
    run: _Run,
    optimizer: Optimizer,
    steps: int,
    gtol: float,
    ftol: float,
    patience: int,
    callback: Callable[[int, Any, float], Any] | None,
) -> Result:
    value, gradient = run.evaluate(run.x)
    run.record(run.x, value)
    run.checked(value, gradient)
    schedule, still = optimizer.lr, 0
    for step in range(1, steps + 1):
        if gtol and float(np.max(np.abs(gradient), initial=0.0)) <= gtol:
            return run.result(True, "no element of the gradient is larger than gtol")
        optimizer.step([gradient])
        before = value
        value, gradient = run.evaluate(run.x)
        run.record(run.x, value)
        run.checked(value, gradient)
        if hasattr(schedule, "update"):
            schedule.update(value)
        if callback is not None and callback(step, float(run.x) if run.scalar else run.x.copy(), value) is True:
            return run.result(False, f"the callback ended it after step {step}")
        still = still + 1 if abs(value - before) <= ftol * max(1.0, abs(value), abs(before)) else 0
        if ftol and still >= patience:
            return run.result(True, "the value changes by less than ftol")
    if gtol and float(np.max(np.abs(gradient), initial=0.0)) <= gtol:
        return run.result(True, "no element of the gradient is larger than gtol")
    return run.result(False, "all steps were made")


class _Ended(Exception):
    """The callback has seen enough."""


def _by_lbfgs(
    run: _Run,
    optimizer: LBFGS,
    steps: int,
    tolerances: dict[str, float],
    callback: Callable[[int, Any, float], Any] | None,
) -> Result:
    shape = run.x.shape

    def evaluate(flat: Array) -> tuple[float, Array]:
        value, gradient = run.evaluate(flat.reshape(shape))
        if not run.losses:
            run.record(run.x, value)
        run.checked(value, gradient)
        return value, gradient.astype(np.float64).reshape(-1)

    def each(flat: Array, value: float) -> None:
        run.x = flat.reshape(shape).astype(run.dtype)
        run.record(run.x, value)
        x = float(run.x) if run.scalar else run.x.copy()
        if callback is not None and callback(len(run.losses) - 1, x, value) is True:
            raise _Ended

    start = run.x.astype(np.float64).reshape(-1)
    if steps == 0:
        evaluate(start)
        return run.result(False, "all steps were made")
    try:
        flat, _, converged, message = optimizer._run(evaluate, start, steps, each, tolerances)
    except _Ended:
        return run.result(False, f"the callback ended it after step {len(run.losses) - 1}")
    run.x = flat.reshape(shape).astype(run.dtype)
    return run.result(converged, "all steps were made" if not converged and len(run.losses) > steps else message)
