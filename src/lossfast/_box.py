"""Calls of the losses of boxes: pairs of boxes, each as four columns."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lossfast import _arrays, _loss
from lossfast._arrays import Array
from lossfast._declarations import Box
from lossfast._evaluate import Call, Fault, entry_sums, weight_sum
from lossfast._loss import Loss

FORMATS = ("xyxy", "xywh", "cxcywh")


class Columns(tuple[Array, ...]):
    """Four arrays that are written to together."""

    def __setitem__(self, key: Any, value: Any) -> None:
        for column in self:
            column[key] = value


def _columns(boxes: Array) -> Columns:
    return Columns([boxes[..., k] for k in range(4)])


def columns_of(
    name: str, given: Any, taken: Callable[[str, Any], Array] = _arrays.as_array
) -> tuple[Columns, dict[str, Array]]:
    """The four columns of boxes, and what there is in memory: the array, or the arrays of a tuple, by name."""
    parts = given if isinstance(given, tuple) and len(given) == 4 else ()
    if parts and not any(isinstance(x, list | tuple) or np.ndim(x) == 0 for x in parts):
        named = {f"{name}[{k}]": taken(f"{name}[{k}]", x) for k, x in enumerate(parts)}
        shapes = [x.shape for x in named.values()]
        if any(shape != shapes[0] for shape in shapes):
            raise ValueError(f"{name} has columns of shapes {', '.join(map(str, shapes))}, expected equal shapes")
        return Columns(named.values()), named
    boxes = taken(name, given)
    if not boxes.ndim or boxes.shape[-1] != 4:
        raise ValueError(
            f"{name} has shape {boxes.shape}, expected boxes along a last axis of length 4, or four columns"
        )
    return _columns(boxes), {name: boxes}


def edges_check(check: Any) -> bool:
    """Whether boxes are to be looked at."""
    if not (check == "raise" or isinstance(check, bool)):
        raise ValueError(f"check is {check!r}, expected True, False or 'raise'")
    return bool(check == "raise")


def bad_box(name: str, columns: Columns, at: tuple[Any, ...], box_format: str) -> Fault:
    """The words for a box without a width or a height."""
    numbers = ", ".join(str(float(x[at])) for x in columns)
    expected = f"a box with a positive, finite width and height ({box_format})"
    return Fault(name, at, f"[{numbers}]", expected)


class BoxCall(Call):
    """Operands as columns, and the kernel."""

    def __init__(
        self, loss: Loss, boxes_true: Any, boxes_pred: Any, params: dict[str, Any], check: Any, nthreads: int
    ) -> None:
        declaration = loss.declaration
        assert isinstance(declaration, Box)
        self.boosting, self.nthreads, self.raises = declaration.boosting, nthreads, edges_check(check)
        self.target, truths = columns_of("boxes_true", boxes_true)
        self.columns, boxes = columns_of("boxes_pred", boxes_pred, lambda name, x: _arrays.prediction(x, name))
        self.by_columns = len(boxes) == 4
        self.items = self.columns[0].shape
        if self.target[0].shape != self.items:
            raise ValueError(
                f"boxes_true has shape {(*self.target[0].shape, 4)} and boxes_pred {(*self.items, 4)}, expected equal "
                "shapes (nothing is broadcast)"
            )
        given = declaration.checked(params, loss._params) if params else loss._params
        self.single = _arrays.FLOAT64 not in [x.dtype for x in boxes.values()]
        self.params = declaration.resolved(given, self.single)
        self.pred = self.columns[0] if self.by_columns else boxes["boxes_pred"]
        self.reads = truths | boxes
        self.replaceable = tuple(boxes)
        self.kernel = box_kernel(declaration)

    def derivative(self, name: str, given: Any, like: Array, dtype: np.dtype[Any], reads: dict[str, Array]) -> Any:
        """An array of the shape of the boxes, or four columns."""
        if not self.by_columns:
            return super().derivative(name, given, like, dtype, reads)
        if given is not None and (not isinstance(given, tuple | list) or len(given) != 4):
            raise ValueError(f"{name} is {type(given).__name__}, expected a tuple of four arrays, as boxes_pred are")
        columns = Columns(
            _arrays.result_array(f"{name}[{k}]", x, self.items, dtype, reads, (f"boxes_pred[{k}]",))
            for k, x in enumerate(given or (None,) * 4)
        )
        _arrays.distinct({f"{name}[{k}]": x for k, x in enumerate(columns)})
        return columns

    def measure(self, weight: Array | None) -> tuple[float, int]:
        """The sum of weights and the number of pairs."""
        size = math.prod(self.items)
        if weight is None:
            return float(size), size
        return float(weight_sum(weight, self.nthreads) * (size / weight.size if weight.size else 0)), size

    def entries(self) -> int:
        """The length of the first axis."""
        return self.items[0]

    def counted(self, weight: Array | None) -> Array | None:
        """The weight itself."""
        return weight

    def spread(self, x: Array) -> Array:
        """Of no use: there are no Hessians."""
        raise NotImplementedError

    def run(
        self, weight: Array | None, scale: float, results: dict[str, Array], want_sum: bool, entries: Array | None
    ) -> float | None:
        """One pass."""
        value = np.empty(self.items) if entries is not None else results.get("value")
        grad: Any = results.get("grad")
        if grad is not None and not self.by_columns:
            grad = _columns(grad)
        total: float | None = self.kernel.run(
            self.single,
            self.target,
            self.columns,
            FORMATS.index(self.params["format"]),
            None if weight is None else _arrays.repeated(weight, self.items),
            self.params["eps"],
            self.raises,
            scale,
            value,
            grad,
            want_sum,
            self.nthreads,
        )
        if entries is not None and value is not None:
            entries[...] = entry_sums(value, len(entries))
        return total

    def moments(self, weight: Array | None) -> tuple[Any, ...]:
        """As `_core.Kernel.moments`."""
        from lossfast._numpy import moments_of

        if weight is not None:
            weight_sum(weight, self.nthreads)
            weight = np.broadcast_to(weight, self.items)
        losses = np.empty(self.items, np.float32 if self.single else np.float64)
        self.run(None, 1.0, {"value": losses}, False, None)
        return moments_of(losses, weight)

    def weight_shape(self, weight: Array) -> tuple[int, ...]:
        """That of the weights, which are checked as they come."""
        return weight.shape

    def fault(self, operand: str, index: int) -> Fault:
        """The words for a bad box."""
        name, columns = ("boxes_true", self.target) if operand == "target" else ("boxes_pred", self.columns)
        return bad_box(name, columns, np.unravel_index(index, self.items), self.params["format"])


def box_kernel(declaration: Box) -> Any:
    """What computes a loss."""
    if _loss._core is not None:
        return _loss._core.BoxKernel(declaration.name)
    from lossfast._numpy_box import NumpyBoxKernel

    return NumpyBoxKernel(declaration)
