"""Validation: whatever the caller has becomes NumPy arrays that the core can read, without needless copies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

FLOATS = ("float16", "bfloat16", "float32", "float64")
FLOAT64 = np.dtype(np.float64)


def is_bfloat16(dtype: np.dtype[Any]) -> bool:
    """ml_dtypes' bfloat16, which this package reads without importing ml_dtypes."""
    return dtype.name == "bfloat16"


def as_array(name: str, x: Any) -> Array:
    """`x` as an array of bools, integers or floats of at most 64 bits, in native byte order."""
    if type(x) is not np.ndarray:
        x = _foreign(name, x)
    dtype = x.dtype
    if dtype.kind not in "biuf" and not is_bfloat16(dtype):
        raise TypeError(f"{name} has dtype {dtype}, expected bool, integer or float")
    if dtype.itemsize > 8:
        raise TypeError(f"{name} has dtype {dtype}, expected at most 64 bits: convert it to float64")
    if not dtype.isnative:
        x = x.astype(dtype.newbyteorder("="))
    return x  # type: ignore[no-any-return]


def _foreign(name: str, x: Any) -> Array:
    if isinstance(x, np.ma.MaskedArray):
        if np.ma.getmaskarray(x).any():
            first = np.unravel_index(int(np.ma.getmaskarray(x).argmax()), x.shape)
            raise ValueError(f"{name}{position(first)} is masked, expected a number: fill or drop masked elements")
        return np.asarray(x.data)
    nulls = getattr(x, "null_count", 0)  # of pyarrow; a method of polars
    if nulls() if callable(nulls) else nulls:
        null = int(np.asarray(x.is_null()).argmax())
        raise ValueError(f"{name}[{null}] is null, expected a number: fill or drop nulls first")
    if hasattr(x, "isna") and not isinstance(getattr(x, "dtype", np.dtype(float)), np.dtype):
        missing = np.asarray(x.isna())  # of a pandas array with a mask of its own
        if missing.any():
            raise ValueError(f"{name}[{int(missing.argmax())}] is missing, expected a number: fill or drop it first")
    try:
        array = np.asarray(x)
        if array.dtype == object and hasattr(x, "__dlpack__"):
            array = np.from_dlpack(x)
    except (TypeError, RuntimeError, BufferError) as error:
        raise TypeError(f"{name} ({type(x).__name__}) cannot be read as a NumPy array: {error}") from error
    except ValueError as error:
        raise ValueError(f"{name} cannot be read as a NumPy array: {error}") from error
    if array.dtype == object:
        absent = [i for i, v in enumerate(array.ravel()) if v is None or type(v).__name__ == "NAType"]
        if absent:
            first_missing = np.unravel_index(absent[0], array.shape)
            raise ValueError(f"{name}{position(first_missing)} is missing, expected a number: fill or drop it first")
    return array


def position(index: tuple[Any, ...]) -> str:
    """The subscript of an element, for messages; nothing for a scalar."""
    return "[" + ", ".join(str(int(i)) for i in index) + "]" if index else ""


def prediction(y_pred: Any, name: str = "y_pred") -> Array:
    """`y_pred` as an array of floats."""
    pred = as_array(name, y_pred)
    return pred.astype(np.float64) if pred.dtype.kind in "biu" else pred


def operands(y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    """Both in y_pred's shape, y_pred of a float dtype."""
    pred = prediction(y_pred)
    target = as_array("y_true", y_true)
    if target.shape != pred.shape:
        if target.ndim == pred.ndim + 1 and target.shape == (*pred.shape, 1):
            target = target[..., 0]
        elif pred.ndim == target.ndim + 1 and pred.shape == (*target.shape, 1):
            target = target[..., None]
        else:
            raise ValueError(
                f"y_true has shape {target.shape} and y_pred {pred.shape}, expected equal shapes (nothing is broadcast)"
            )
    return target, pred


def axis_last(x: Array, axis: int) -> Array:
    """`np.moveaxis(x, axis, -1)`, which takes many times as long."""
    k = axis % x.ndim
    return x if k == x.ndim - 1 else x.transpose(*range(k), *range(k + 1, x.ndim), k)


def repeated(x: Array, shape: tuple[int, ...]) -> Array:
    """`np.broadcast_to(x, shape)`, which takes as long as a short call where `x` has that shape."""
    return x if x.shape == shape else np.broadcast_to(x, shape)


def leading(name: str, given: Any, shape: tuple[int, ...]) -> Array:
    """An array with as many axes as `shape`, of length 1 where it repeats: it has `shape` or leading axes of it."""
    w = as_array(name, given)
    if w.ndim == len(shape) + 1 and w.shape[-1] == 1:
        w = w[..., 0]
    if w.shape != shape[: w.ndim]:
        raise ValueError(f"{name} has shape {w.shape}, expected a number, {shape} or leading axes of it: {shape[:1]}")
    return w.reshape(w.shape + (1,) * (len(shape) - w.ndim))


def result_array(
    name: str,
    given: Any,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    reads: dict[str, Array],
    replaceable: tuple[str, ...],
) -> Array:
    """The array that a result is written to: the caller's, or a new one.

    It may be exactly one of those of `reads` that are `replaceable`, and overlaps none otherwise.
    """
    if given is None:
        return np.empty(shape, dtype)
    if not isinstance(given, np.ndarray):
        raise TypeError(f"{name} is a {type(given).__name__}, expected a NumPy array or None")
    own = given.dtype
    if not ((own.kind == "f" and own.itemsize <= 8) or is_bfloat16(own)) or not own.isnative:
        raise TypeError(f"{name} has dtype {own}, expected one of {', '.join(FLOATS)}")
    if given.shape != shape:
        raise ValueError(f"{name} has shape {given.shape}, expected {shape}")
    if not given.flags.writeable:
        raise ValueError(f"{name} is read-only, expected an array that can be written to")
    if not given.flags.forc and any(n > 1 and s == 0 for n, s in zip(given.shape, given.strides, strict=True)):
        raise ValueError(f"{name} has elements that share memory, expected an ordinary array")
    for other, array in reads.items():
        if not np.may_share_memory(given, array) or (other in replaceable and _same_array(given, array)):
            continue
        if _share(given, array):
            raise ValueError(
                f"{name} overlaps {other}, expected memory of its own"
                + (" or exactly that array" if other in replaceable else "")
            )
    return given


def distinct(arrays: dict[str, Array]) -> None:
    """Two results never share memory."""
    names = list(arrays)
    for i, a in enumerate(names):
        for b in names[:i]:
            if _share(arrays[a], arrays[b]):
                raise ValueError(f"{a} overlaps {b}, expected memory of its own")


def _same_array(a: Array, b: Array) -> bool:
    return a is b or (
        a.__array_interface__["data"][0] == b.__array_interface__["data"][0]
        and a.strides == b.strides
        and a.shape == b.shape
        and a.dtype == b.dtype
    )


def _share(a: Array, b: Array) -> bool:
    try:
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]
    except (np.exceptions.TooHardError, OverflowError):
        return True
