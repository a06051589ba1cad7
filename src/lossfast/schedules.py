"""Learning rates that change: callables step -> lr, where step counts the steps made before, 0 in the first.

>>> import lossfast as lf
>>> lr = lf.schedules.warmup(lf.schedules.cosine(0.1, 900), 100)
>>> [round(lr(k), 4) for k in (0, 50, 100, 550, 1000)]
[0.0, 0.05, 0.1, 0.05, 0.0]

Any other callable is one too.  Those of this module can be compared, hashed, pickled and printed; `reduce_on_plateau`
alone has a state.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from lossfast._declarations import Param, nonnegative, positive
from lossfast._errors import did_you_mean

_LR = nonnegative(0.0, "")
_COUNT = Param(1, "", kind=int)


def _count(name: str, value: Any, least: int = 1) -> None:
    if _COUNT.checked(name, value) < least:
        raise ValueError(f"{name} is {value}, expected at least {least}")


class Schedule:
    """The base of the schedules."""

    NUMBERS: ClassVar[dict[str, Param]] = {"lr": _LR, "final": _LR, "factor": positive(1.0, "")}

    def __post_init__(self) -> None:
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            if f.name in self.NUMBERS:
                object.__setattr__(self, f.name, self.NUMBERS[f.name].checked(f.name, value))
            elif f.type == "int":
                _count(f.name, value)
            elif f.type == "bool" and not isinstance(value, bool):
                raise TypeError(f"{f.name} is {value!r}, expected True or False")

    def __call__(self, step: int) -> float:
        """The learning rate of the step after so many steps."""
        raise NotImplementedError


@dataclass(frozen=True)
class constant(Schedule):
    """Always the same.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.schedules.constant(0.1)(7)
    0.1
    """

    lr: float

    def __call__(self, step: int) -> float:
        """lr"""
        return self.lr


@dataclass(frozen=True)
class step(Schedule):
    """A factor every so many steps: ``lr factor^floor(step / every)``; torch's StepLR.

    Examples
    --------
    >>> import lossfast as lf
    >>> lr = lf.schedules.step(0.1, every=10, factor=0.5)
    >>> lr(9), lr(10), lr(25)
    (0.1, 0.05, 0.025)
    """

    lr: float
    every: int
    factor: float = 0.1

    def __call__(self, step: int) -> float:
        """lr factor^floor(step / every)"""
        return self.lr * self.factor ** (step // self.every)


@dataclass(frozen=True)
class multistep(Schedule):
    """A factor at each milestone: ``lr factor^(milestones <= step)``; torch's MultiStepLR.

    Examples
    --------
    >>> import lossfast as lf
    >>> lr = lf.schedules.multistep(1.0, (10, 20), factor=0.5)
    >>> lr(9), lr(10), lr(20)
    (1.0, 0.5, 0.25)
    """

    lr: float
    milestones: tuple[int, ...]
    factor: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        milestones = tuple(self.milestones)
        for i, m in enumerate(milestones):
            _count(f"milestones[{i}]", m, least=0)
        if list(milestones) != sorted(milestones):
            raise ValueError(f"milestones is {milestones}, expected steps in increasing order")
        object.__setattr__(self, "milestones", milestones)

    def __call__(self, step: int) -> float:
        """lr factor^(milestones <= step)"""
        return self.lr * self.factor ** bisect_right(self.milestones, step)


@dataclass(frozen=True)
class exponential(Schedule):
    """``lr factor^(step / every)``, of whole quotients if staircase; torch's ExponentialLR, Keras's ExponentialDecay.

    Examples
    --------
    >>> import lossfast as lf
    >>> lr = lf.schedules.exponential(1.0, factor=0.25, every=2)
    >>> lr(1), lr(2)
    (0.5, 0.25)
    """

    lr: float
    factor: float
    every: int = 1
    staircase: bool = False

    def __call__(self, step: int) -> float:
        """lr factor^(step / every)"""
        return float(self.lr * self.factor ** (step // self.every if self.staircase else step / self.every))


@dataclass(frozen=True)
class inverse_time(Schedule):
    """``lr / (1 + rate step / every)``, of whole quotients if staircase; Keras's InverseTimeDecay.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.schedules.inverse_time(1.0, rate=0.5)(2)
    0.5
    """

    NUMBERS: ClassVar[dict[str, Param]] = {**Schedule.NUMBERS, "rate": nonnegative(0.0, "")}
    lr: float
    rate: float
    every: int = 1
    staircase: bool = False

    def __call__(self, step: int) -> float:
        """lr / (1 + rate step / every)"""
        return self.lr / (1 + self.rate * (step // self.every if self.staircase else step / self.every))


@dataclass(frozen=True)
class polynomial(Schedule):
    """``final + (lr - final) (1 - step / steps)^exponent``, then final; torch's PolynomialLR, linear by default.

    Examples
    --------
    >>> import lossfast as lf
    >>> lr = lf.schedules.polynomial(1.0, steps=10)
    >>> lr(0), lr(5), lr(20)
    (1.0, 0.5, 0.0)
    """

    NUMBERS: ClassVar[dict[str, Param]] = {**Schedule.NUMBERS, "exponent": positive(1.0, "")}
    lr: float
    steps: int
    final: float = 0.0
    exponent: float = 1.0

    def __call__(self, step: int) -> float:
        """final + (lr - final) (1 - step / steps)^exponent"""
        left = 1 - min(step, self.steps) / self.steps
        return float(self.final + (self.lr - self.final) * left**self.exponent)


@dataclass(frozen=True)
class cosine(Schedule):
    """Half a cosine from lr to final, then final: Optax's cosine_decay_schedule; torch's CosineAnnealingLR up to T_max.

    References
    ----------
    I. Loshchilov, F. Hutter, "SGDR", ICLR 2017, arXiv:1608.03983.

    Examples
    --------
    >>> import lossfast as lf
    >>> lr = lf.schedules.cosine(1.0, steps=10, final=0.5)
    >>> lr(0), lr(5), lr(20)
    (1.0, 0.75, 0.5)
    """

    lr: float
    steps: int
    final: float = 0.0

    def __call__(self, step: int) -> float:
        """final + (lr - final) (1 + cos(pi step / steps)) / 2"""
        return _half_cosine(self.lr, self.final, min(step, self.steps) / self.steps)


@dataclass(frozen=True)
class cosine_restarts(Schedule):
    """Half a cosine again and again, each period `growth` times as long and from `factor` times as high as the last.

    Torch's CosineAnnealingWarmRestarts, Keras's CosineDecayRestarts (growth 2).

    References
    ----------
    I. Loshchilov, F. Hutter, "SGDR", ICLR 2017, arXiv:1608.03983.

    Examples
    --------
    >>> import lossfast as lf
    >>> lr = lf.schedules.cosine_restarts(1.0, period=10, growth=2)
    >>> lr(5), lr(10), lr(20), lr(30)
    (0.5, 1.0, 0.5, 1.0)
    """

    lr: float
    period: int
    growth: int = 1
    factor: float = 1.0
    final: float = 0.0

    def __call__(self, step: int) -> float:
        """Of the period that the step is in, as cosine."""
        if self.growth == 1:
            number, within = divmod(step, self.period)
            length = self.period
        else:
            number, within, length = 0, step, self.period
            while within >= length:
                number, within, length = number + 1, within - length, length * self.growth
        peak = self.final + (self.lr - self.final) * self.factor**number
        return _half_cosine(peak, self.final, within / length)


@dataclass(frozen=True)
class one_cycle(Schedule):
    """Up to lr in the first part of all steps, then down to almost nothing; torch's OneCycleLR.

    From lr / start_divisor up to lr at step ``rise steps - 1``, and down to lr / start_divisor / final_divisor at step
    ``steps - 1``, along half a cosine or, with ``shape="linear"``, a line.

    References
    ----------
    L. N. Smith, N. Topin, "Super-convergence", arXiv:1708.07120.

    Examples
    --------
    >>> import lossfast as lf
    >>> lr = lf.schedules.one_cycle(1.0, steps=100)
    >>> round(lr(0), 6), lr(29), round(lr(99), 9)
    (0.04, 1.0, 4e-06)
    """

    NUMBERS: ClassVar[dict[str, Param]] = {
        **Schedule.NUMBERS,
        "rise": Param(0.3, "", low=0.0, high=1.0, open_low=True, open_high=True),
        "start_divisor": positive(25.0, ""),
        "final_divisor": positive(1e4, ""),
    }
    lr: float
    steps: int
    rise: float = 0.3
    start_divisor: float = 25.0
    final_divisor: float = 1e4
    shape: str = "cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shape not in ("cosine", "linear"):
            raise ValueError(f"shape is {self.shape!r}, expected 'cosine' or 'linear'")

    def __call__(self, step: int) -> float:
        """Up, then down."""
        between = _half_cosine if self.shape == "cosine" else _line
        low, top, last = self.lr / self.start_divisor, self.rise * self.steps - 1, self.steps - 1
        if step <= top:
            return between(low, self.lr, step / top if top > 0 else 1.0)
        return between(self.lr, low / self.final_divisor, min(1.0, (step - top) / (last - top)))


@dataclass(frozen=True)
class warmup(Schedule):
    """A line from start to where a schedule begins, in so many steps, then the schedule; a number is a constant one.

    Optax's warmup_cosine_decay_schedule is ``warmup(cosine(peak, decay_steps - warmup_steps), warmup_steps)``.

    Examples
    --------
    >>> import lossfast as lf
    >>> lr = lf.schedules.warmup(0.1, steps=10)
    >>> lr(0), lr(5), lr(10)
    (0.0, 0.05, 0.1)
    """

    NUMBERS: ClassVar[dict[str, Param]] = {"start": _LR}
    schedule: float | Callable[[int], float]
    steps: int
    start: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.schedule):
            object.__setattr__(self, "schedule", constant(self.schedule))

    def __call__(self, step: int) -> float:
        """start + (schedule(0) - start) step / steps, then schedule(step - steps)"""
        assert callable(self.schedule)
        if step >= self.steps:
            return float(self.schedule(step - self.steps))
        return _line(self.start, self.schedule(0), step / self.steps)

    def update(self, metric: float) -> None:
        """Hand a metric on to a schedule that wants it."""
        if hasattr(self.schedule, "update"):
            self.schedule.update(metric)

    def state_dict(self) -> dict[str, Any]:
        """That of the schedule."""
        return self.schedule.state_dict() if hasattr(self.schedule, "state_dict") else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Into the schedule."""
        if hasattr(self.schedule, "load_state_dict"):
            self.schedule.load_state_dict(state)


class reduce_on_plateau:
    """A factor whenever a metric has not improved for more than `patience` updates; torch's ReduceLROnPlateau.

    `update` takes the metric, as of each epoch; `lossfast.minimize` calls it with the value of every step.

    Parameters
    ----------
    lr : float
        What it starts with.
    factor : float, default 0.1
        Below 1.
    patience : int, default 10
        Updates without improvement that change nothing.
    threshold : float, default 0.0001
        What counts as an improvement: more than this part of the best metric, or more than this with
        ``relative=False``.
    relative : bool, default True
        Whether the threshold is a part of the best metric.
    mode : str, default 'min'
        ``"min"`` or ``"max"``: whether smaller or larger is better.
    cooldown : int, default 0
        Updates after a reduction that are not counted.
    final : float, default 0.0
        It goes no lower.

    Examples
    --------
    >>> import lossfast as lf
    >>> lr = lf.schedules.reduce_on_plateau(1.0, factor=0.5, patience=1)
    >>> for metric in (3.0, 2.0, 2.0, 2.0):
    ...     lr.update(metric)
    >>> lr(4)
    0.5
    """

    def __init__(
        self,
        lr: float,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        relative: bool = True,
        mode: str = "min",
        cooldown: int = 0,
        final: float = 0.0,
    ) -> None:
        self.lr = _LR.checked("lr", lr)
        self.factor = Param(0.1, "", low=0.0, high=1.0, open_low=True, open_high=True).checked("factor", factor)
        _count("patience", patience, least=0)
        _count("cooldown", cooldown, least=0)
        self.threshold = _LR.checked("threshold", threshold)
        self.final = _LR.checked("final", final)
        if mode not in ("min", "max"):
            raise ValueError(f"mode is {mode!r}, expected 'min' or 'max'" + did_you_mean(str(mode), ("min", "max")))
        self.patience, self.cooldown, self.relative, self.mode = patience, cooldown, bool(relative), mode
        self._current = self.lr
        self._best = math.inf if mode == "min" else -math.inf
        self._bad = self._cooling = 0

    def __call__(self, step: int) -> float:
        """The present learning rate."""
        return self._current  # type: ignore[no-any-return]

    def update(self, metric: float) -> None:
        """Take in the next metric; a NaN is no improvement."""
        if self._improves(float(metric)):
            self._best, self._bad = float(metric), 0
        else:
            self._bad += 1
        if self._cooling > 0:
            self._cooling -= 1
            self._bad = 0
        if self._bad > self.patience:
            self._current = max(self._current * self.factor, self.final)
            self._cooling, self._bad = self.cooldown, 0

    def _improves(self, metric: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        margin = self.threshold * (abs(self._best) if self.relative and math.isfinite(self._best) else 1.0)
        return bool(sign * metric < sign * self._best - margin)

    def state_dict(self) -> dict[str, float]:
        """What it remembers."""
        return {"current": self._current, "best": self._best, "bad": self._bad, "cooling": self._cooling}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on from there."""
        self._current, self._best = float(state["current"]), float(state["best"])
        self._bad, self._cooling = int(state["bad"]), int(state["cooling"])

    def __repr__(self) -> str:
        return (
            f"reduce_on_plateau(lr={self.lr!r}, factor={self.factor!r}, patience={self.patience},"
            f" threshold={self.threshold!r}, relative={self.relative}, mode={self.mode!r}, cooldown={self.cooldown},"
            f" final={self.final!r})"
        )


def _line(a: float, b: float, fraction: float) -> float:
    return a + (b - a) * fraction


def _half_cosine(a: float, b: float, fraction: float) -> float:
    return b + (a - b) * (1 + math.cos(math.pi * fraction)) / 2
