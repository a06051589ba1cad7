"""Fitted estimators as files: arrays and JSON in one .npz, nothing that could run when it is read."""

from __future__ import annotations

import importlib
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from lossfast import __version__, catalogue
from lossfast._loss import Loss

FORMAT = 1


class _Words:
    """Between Python's values and JSON: arrays stand aside, by number."""

    def __init__(self, arrays: dict[str, Any] | None = None) -> None:
        self.arrays = arrays or {}

    def of(self, x: Any) -> Any:
        """TypeError for what there are no words for."""
        if x is None or isinstance(x, bool | int | float | str):
            return x
        if isinstance(x, np.generic):
            return self.of(x.item())
        if isinstance(x, np.ndarray):
            return self._array(x)
        if isinstance(x, dict):
            return {"dict": [[self.of(k), self.of(v)] for k, v in x.items()]}
        if isinstance(x, list | tuple):
            return {type(x).__name__: [self.of(v) for v in x]}
        if isinstance(x, Loss):
            return {"loss": type(x).__name__, "params": self.of(x.get_params())}
        if type(x).__module__.partition(".")[0] == "lossfast" and hasattr(x, "bind"):
            return {"optimizer": type(x).__name__, "params": self.of(x.get_params())}
        raise TypeError(type(x).__name__)

    def _array(self, x: np.ndarray[Any, Any]) -> Any:
        of_objects = x.dtype == object
        if of_objects:
            if not all(isinstance(v, str) for v in x.ravel()):
                raise TypeError("array of objects")
            x = x.astype(str)
        key = f"array{len(self.arrays)}"
        self.arrays[key] = x
        return {"array": key, "objects": of_objects}

    def back(self, x: Any) -> Any:
        """The value."""
        if not isinstance(x, dict):
            return x
        if "array" in x:
            array = self.arrays[x["array"]]
            return array.astype(object) if x["objects"] else array
        if "dict" in x:
            return {self.back(k): self.back(v) for k, v in x["dict"]}
        if "list" in x:
            return [self.back(v) for v in x["list"]]
        if "tuple" in x:
            return tuple(self.back(v) for v in x["tuple"])
        if "loss" in x:
            return catalogue.get(x["loss"], **self.back(x["params"]))
        optim = importlib.import_module("lossfast.optim")
        if x["optimizer"] not in optim.__all__:
            raise ValueError(f"unknown optimizer {x['optimizer']!r}")
        return getattr(optim, x["optimizer"])(**self.back(x["params"]))


def _named(path: str | os.PathLike[str]) -> Path:
    found = Path(path)
    return found if found.suffix == ".npz" else found.with_name(found.name + ".npz")


def save(estimator: Any, path: str | os.PathLike[str]) -> None:
    """See `save` of the estimators."""
    words = _Words()
    params, left_out = {}, []
    for name, value in estimator.get_params(deep=False).items():
        try:
            params[name] = words.of(value)
        except TypeError:
            left_out.append(name)
    learned = {k: words.of(v) for k, v in vars(estimator).items() if k.endswith("_") and not k.startswith("_")}
    if left_out:
        warnings.warn(f"{', '.join(left_out)} cannot be saved: they will have their defaults", stacklevel=3)
    head = {
        "format": FORMAT,
        "lossfast": __version__,
        "class": type(estimator).__name__,
        "params": params,
        "learned": learned,
    }
    target = _named(path)
    number, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(number, "wb") as file:
            text = np.frombuffer(json.dumps(head).encode(), np.uint8)
            np.savez(file, allow_pickle=False, json=text, **words.arrays)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def load(cls: Any, path: str | os.PathLike[str]) -> Any:
    """See `load` of the estimators."""
    target = Path(path) if Path(path).exists() else _named(path)
    with np.load(target, allow_pickle=False) as file:
        arrays = {k: file[k] for k in file.files}
    if "json" not in arrays:
        raise ValueError(f"{target} is not a file that an estimator of lossfast was saved to")
    head = json.loads(arrays.pop("json").tobytes())
    if head.get("format") != FORMAT:
        raise ValueError(f"{target} has format {head.get('format')!r}, expected {FORMAT}")
    if head["class"] != cls.__name__:
        raise ValueError(f"{target} holds a {head['class']}, expected a {cls.__name__}")
    words = _Words(arrays)
    estimator = cls(**{k: words.back(v) for k, v in head["params"].items()})
    for name, value in head["learned"].items():
        setattr(estimator, name, words.back(value))
    return estimator
