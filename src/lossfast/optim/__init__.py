"""Optimizers: updates of NumPy arrays in place, by their gradients.

>>> import numpy as np
>>> import lossfast as lf
>>> w, b = np.zeros(2), np.zeros(1)
>>> opt = lf.optim.Adam([w, b], lr=0.1)
>>> opt.step([np.array([1.0, -1.0]), np.array([2.0])])
>>> w.round(6), b.round(6)
(array([-0.1,  0.1]), array([-0.1]))

The learning rate is a number or a schedule, a callable step -> lr: `lossfast.schedules` has those of the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossfast._errors import did_you_mean
from lossfast.optim._lbfgs import LBFGS
from lossfast.optim._optimizer import Optimizer
from lossfast.optim._rules import SGD, Adadelta, Adagrad, Adam, AdamW, Lion, NAdam, RMSprop

__all__ = [
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Lion",
    "NAdam",
    "Optimizer",
    "RMSprop",
    "get",
    "names",
]

_CLASSES: dict[str, type[Any]] = {
    "adadelta": Adadelta,
    "adagrad": Adagrad,
    "adam": Adam,
    "adamw": AdamW,
    "lbfgs": LBFGS,
    "lion": Lion,
    "nadam": NAdam,
    "rmsprop": RMSprop,
    "sgd": SGD,
}
_ALIASES: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "amsgrad": (Adam, {"amsgrad": True}),
    "nesterov": (SGD, {"nesterov": True, "momentum": 0.9}),
    "lbfgsb": (LBFGS, {}),
}


def names() -> list[str]:
    """The names that `get` knows.

    Examples
    --------
    >>> import lossfast as lf
    >>> "adamw" in lf.optim.names()
    True
    """
    return sorted({*_CLASSES, "amsgrad", "nesterov"})


def get(optimizer: str | Mapping[str, Any] | type[Any] | Optimizer | LBFGS, **params: Any) -> Any:
    """An optimizer without arrays, by name, class, instance or configuration; `bind` gives it arrays.

    Parameters
    ----------
    optimizer : str, dict, Optimizer or type
        A name in any spelling (``"adam"``, ``"AdamW"``, ``"L-BFGS"``), a ``{"class_name": ..., "config": {...}}`` as
        Keras writes it, a class, or an optimizer.
    **params
        Its hyperparameters.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        For an unknown name, with the nearest ones.

    Examples
    --------
    >>> import numpy as np, lossfast as lf
    >>> lf.optim.get("adam", lr=0.01)
    Adam(lr=0.01)
    >>> w = np.ones(3)
    >>> lf.optim.get("amsgrad").bind([w])
    Adam(<1 array>, lr=0.001, amsgrad=True)
    """
    if isinstance(optimizer, Mapping):
        if not isinstance(optimizer.get("class_name"), str) or not isinstance(optimizer.get("config", {}), Mapping):
            raise ValueError(f"optimizer is {dict(optimizer)!r}, expected {{'class_name': ..., 'config': {{...}}}}")
        return get(optimizer["class_name"], **{**optimizer.get("config", {}), **params})
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer | LBFGS):
        return optimizer(**params)
    if isinstance(optimizer, Optimizer | LBFGS):
        return type(optimizer)(**{**optimizer.get_params(), **params}) if params else optimizer
    if not isinstance(optimizer, str):
        raise TypeError(f"optimizer is {optimizer!r}, expected a name, a configuration, an optimizer or its class")
    plain = optimizer.lower().replace("_", "").replace("-", "").replace(" ", "")
    found, preset = _ALIASES.get(plain) or (_CLASSES.get(plain), {})
    if found is None:
        hint = did_you_mean(optimizer.lower(), names()) or f"; known: {', '.join(names())}"
        raise ValueError(f"unknown optimizer {optimizer!r}{hint}")
    return found(**{**preset, **params})
