"""Calls of the pointwise losses: a target and a prediction for each element."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossfast import _arrays, _loss
from lossfast._arrays import Array
from lossfast._declarations import ANY, UNIT, Pointwise
from lossfast._evaluate import Call, Fault, weight_sum
from lossfast._loss import Loss


class PointwiseCall(Call):
    """Operands of one shape, and the kernel of these parameters."""

    replaceable = ("y_true", "y_pred", "sample_weight", "a parameter")

    def __init__(self, loss: Loss, y_true: Any, y_pred: Any, params: dict[str, Any], check: Any, nthreads: int) -> None:
        declaration = loss.declaration
        assert isinstance(declaration, Pointwise)
        self.declaration, self.boosting = declaration, declaration.boosting
        self.check, self.nthreads = bool(check), nthreads
        self.target, self.pred = _arrays.operands(y_true, y_pred)
        self.items = self.pred.shape
        given = declaration.checked(params, loss._params) if params else loss._params
        self.single = self.pred.dtype != np.float64
        self.params = resolved = declaration.resolved(given, self.single)
        self.reads = {"y_true": self.target, "y_pred": self.pred}
        self.stream = None
        stream = resolved.get(declaration.stream) if declaration.stream else None
        if isinstance(stream, np.ndarray):
            try:
                self.stream = np.broadcast_to(stream, self.pred.shape)
            except ValueError:
                raise ValueError(
                    f"{declaration.stream} has shape {stream.shape}, expected a number or an array that broadcasts to "
                    f"the shape of y_pred, {self.pred.shape}"
                ) from None
            self.reads["a parameter"] = self.stream
            resolved = {**resolved, declaration.stream: 0.0}  # type: ignore[dict-item]
        self.kernel: Any
        self.values: tuple[Any, ...] = ()
        if _loss._core is None:
            from lossfast._numpy import NumpyKernel

            self.kernel = NumpyKernel(declaration, self.params)
        else:
            name, self.values = declaration.kernel(**resolved)
            self.kernel = _loss._core.Kernel(name)

    def measure(self, weight: Array | None) -> tuple[float, int]:
        """The sum of weights and the number of elements; repeated weights are read only once."""
        size = self.pred.size
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
        """Elements have the axes of predictions."""
        return x

    def run(
        self, weight: Array | None, scale: float, results: dict[str, Array], want_sum: bool, entries: Array | None
    ) -> float | None:
        """One pass."""
        size, shape = self.pred.size, self.items
        total: float | None = self.kernel.run(
            self.single,
            self.target,
            self.pred,
            None if weight is None else _arrays.repeated(weight, shape),
            self.stream,
            self.values,
            scale,
            results.get("value"),
            results.get("grad"),
            results.get("hess"),
            want_sum,
            entries if size else None,
            size // shape[0] if entries is not None and size else 0,
            self.check,
            self.nthreads,
        )
        return total

    def moments(self, weight: Array | None) -> tuple[Any, ...]:
        """As `_core.Kernel.moments`."""
        if weight is not None:
            weight_sum(weight, self.nthreads)
            weight = np.broadcast_to(weight, self.items)
        found: tuple[Any, ...] = self.kernel.moments(
            self.single, self.target, self.pred, weight, self.stream, self.values, self.check, self.nthreads
        )
        return found

    def weight_shape(self, weight: Array) -> tuple[int, ...]:
        """That of the weights, which are checked as they come."""
        return weight.shape

    def fault(self, operand: str, index: int) -> Fault:
        """The words for a bad element of an operand."""
        name = {"target": "y_true", "pred": "y_pred"}.get(operand, str(self.declaration.stream))
        array = {"target": self.target, "pred": self.pred}.get(operand, self.stream)
        at = np.unravel_index(index, self.pred.shape)
        return Fault(name, at, np.asarray(array)[at], self._expectation(operand))

    def _expectation(self, operand: str) -> str:
        """What an operand must be, with a hint at the usual mistake."""
        declaration = self.declaration
        if operand == "stream":
            return str(declaration.stream_domain)
        domain = (declaration.target if operand == "target" else declaration.pred)(**self.params)
        if domain == UNIT and operand == "pred":
            hint = " (for logits pass from_logits=True;" if "from_logits" in declaration.params else " ("
            return f"a probability {domain}{hint} are y_true and y_pred swapped?)"
        if operand == "target" and domain != ANY:
            return f"{domain} (are y_true and y_pred swapped?)"
        return str(domain)
