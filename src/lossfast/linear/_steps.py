"""What makes a step of an estimator: its optimizer and its schedule, by name or as objects."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

from lossfast._arrays import Array
from lossfast._errors import did_you_mean


def optimizer(given: Any, live: list[Array], rate: float) -> tuple[Any, bool]:
    """An optimizer of these arrays, and whether penalties go past its moments; None: plain gradient descent."""
    if isinstance(given, str) and given.lower() == "sgd":
        return None, False
    from lossfast import optim

    found: Any = given
    if isinstance(given, str | Mapping):
        found = optim.get(given, lr=rate)
    elif isinstance(given, type):
        found = given(lr=rate)
    if not isinstance(found, optim.Optimizer):
        raise TypeError(f"optimizer is {given!r}, expected a name or an object of lossfast.optim")
    params = found.get_params()
    if params["weight_decay"] not in (0.0, type(found)().weight_decay):
        raise ValueError(
            f"optimizer has weight_decay {params['weight_decay']}, expected 0: use l2, which spares intercepts"
        )
    decoupled = bool(found.decoupled_weight_decay)
    bound = found.bind(live).set_params(lr=rate, weight_decay=0.0)
    return bound, decoupled


def schedule(given: Any, rate: float, steps: int) -> Callable[[int], float] | None:
    """A function of the step, from 0, or None: a constant rate.

    A name stands for a schedule over all `steps` that begins at, or rises to, `rate`.
    """
    if given is None:
        return None
    if isinstance(given, str):
        return _named(given, rate, steps)
    if not callable(given):
        raise TypeError(f"schedule is {given!r}, expected a name, a function step -> learning rate, or None")
    return copy.deepcopy(given) if hasattr(given, "update") else given  # type: ignore[no-any-return]


def _named(name: str, rate: float, steps: int) -> Callable[[int], float]:
    from lossfast import schedules as s

    def part(share: float) -> int:
        return max(1, math.ceil(share * steps))

    known: dict[str, Callable[[], Callable[[int], float]]] = {
        "constant": lambda: s.constant(rate),
        "step": lambda: s.step(rate, part(1 / 3)),
        "multistep": lambda: s.multistep(rate, (part(0.5), part(0.75))),
        "exponential": lambda: s.exponential(rate, 0.01, steps),
        "inverse_time": lambda: s.inverse_time(rate, 99.0, steps),
        "polynomial": lambda: s.polynomial(rate, steps),
        "cosine": lambda: s.cosine(rate, steps),
        "cosine_restarts": lambda: s.cosine_restarts(rate, part(0.25)),
        "one_cycle": lambda: s.one_cycle(rate, steps),
        "warmup": lambda: s.warmup(s.cosine(rate, part(0.95)), part(0.05)),
        "reduce_on_plateau": lambda: s.reduce_on_plateau(rate),
    }
    if name not in known:
        raise ValueError(f"schedule is {name!r}, expected one of {', '.join(known)}" + did_you_mean(name, known))
    return known[name]()
