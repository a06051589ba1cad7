"""Calls of the losses of vectors: operands with a gradient each, and the core that computes them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lossfast import _arrays, _loss
from lossfast._arrays import Array
from lossfast._declarations import SIGN, Embedding
from lossfast._evaluate import GRAD, Call, Fault, entry_sums, weight_sum
from lossfast._loss import Loss


class EmbeddingCall(Call):
    """Vectors along the last axis; an item is a row of them, or of scores an element."""

    boosting = ""
    replaceable: tuple[str, ...] = ()
    by_operands = True
    differentiable: dict[str, Array]

    def __init__(self, loss: Loss, first: Any, second: Any, params: dict[str, Any], nthreads: int) -> None:
        d = loss.declaration
        assert isinstance(d, Embedding)
        names, given = d.arguments, [first, second]
        if len(names) > 2:
            if names[2] not in params:
                raise TypeError(f"{loss.name}() misses {names[2]}")
            given.append(params.pop(names[2]))
        self.declaration, self.nthreads = d, nthreads
        self.params = d.checked(params, loss._params) if params else dict(loss._params)
        wrt, self.axis = self.params.pop("wrt", "both"), self.params.pop("axis", -1)
        labels = _arrays.as_array(names[0], first) if d.labelled else None
        self.operands: dict[str, Array] = {}
        for name, x in zip(names[d.labelled :], given[d.labelled :], strict=True):
            self.operands[name] = _arrays.as_array(name, x) if name == "y_true" else _arrays.prediction(x, name)
        self.items = self._shape()
        self.rows = self._rows(self.operands)
        if d.vectors:
            self.items = self.rows[names[-1]].shape[:-1]
        self.same = None if labels is None else self._labels(names[0], labels)
        self.pred = self.operands[names[-1]]
        decisive = [self.pred] if "y_true" in self.operands else self.operands.values()
        self.single = _arrays.FLOAT64 not in [x.dtype for x in decisive]
        self.differentiable = self.operands if wrt == "both" else {"y_pred": self.pred}
        self.reads = self.operands if labels is None else {names[0]: labels, **self.operands}

    def _shape(self) -> tuple[int, ...]:
        """That of all operands, which must have vectors of at least one number along the axis."""
        axis = self.axis
        (name, first), *others = self.operands.items()
        for other, x in others:
            if x.shape != first.shape:
                raise ValueError(
                    f"{name} has shape {first.shape} and {other} {x.shape}, expected equal shapes "
                    "(nothing is broadcast)"
                )
        if self.declaration.vectors and not -first.ndim <= axis < first.ndim:
            what = f"axis is {axis}" if "axis" in self.declaration.params else f"{name} is a number"
            raise ValueError(f"{what}, expected an axis of vectors in an array of shape {first.shape}")
        if self.declaration.vectors and not first.shape[axis]:
            raise ValueError(f"{name} has shape {first.shape}, expected vectors of at least one number")
        return first.shape

    def _rows(self, arrays: dict[str, Array]) -> dict[str, Array]:
        """With the vectors along the last axis, if there are any."""
        if not self.declaration.vectors:
            return arrays
        return {name: _arrays.axis_last(x, self.axis) for name, x in arrays.items()}

    def _labels(self, name: str, labels: Array) -> Array:
        if labels.shape == (*self.items, 1):
            labels = labels[..., 0]
        if labels.shape != self.items:
            raise ValueError(f"{name} has shape {labels.shape}, expected {self.items}: a label for each item")
        return labels

    def derivatives(self, want: int) -> dict[str, Array]:
        """By each operand that has a gradient."""
        return self.differentiable if want & GRAD else {}

    def measure(self, weight: Array | None) -> tuple[float, int]:
        """The sum of weights and the number of items; labels are checked too."""
        if self.same is not None:
            bad = SIGN.outside(self.same)
            if bad.any():
                raise ValueError(str(self.fault("target", int(bad.argmax()))))
        count = math.prod(self.items)
        if weight is None:
            return float(count), count
        return float(weight_sum(weight, self.nthreads) * (count / weight.size if weight.size else 0)), count

    def entries(self) -> int:
        """The length of the first axis of the items."""
        return self.items[0]

    def counted(self, weight: Array | None) -> Array | None:
        """The weight itself."""
        return weight

    def spread(self, x: Array) -> Array:
        """Of a Hessian, which there is not."""
        raise NotImplementedError

    def run(
        self, weight: Array | None, scale: float, results: dict[str, Array], want_sum: bool, entries: Array | None
    ) -> float | None:
        """One pass."""
        grads = dict(results)
        value = grads.pop("value", None)
        if entries is not None:
            value = np.empty(self.items)
        w = None if weight is None else _arrays.repeated(weight, self.items)
        total = self._pass(w, scale, value, self._rows(grads), want_sum) if math.prod(self.items) else 0.0
        if entries is not None:
            entries[...] = entry_sums(np.asarray(value), len(entries))
        return total

    def _pass(
        self, weight: Array | None, scale: float, value: Array | None, grads: dict[str, Array], want_sum: bool
    ) -> float | None:
        """The core, or the specification; the sum, if it is wanted."""
        if _loss._core is None:
            return self._specified(weight, scale, value, grads, want_sum)
        kernel = self.declaration.kernel(**self.params)
        if not self.declaration.vectors:
            return self._scores(kernel, weight, scale, value, grads, want_sum)
        total: float | None = _loss._core.embedding(
            kernel.name,
            self.single,
            tuple(self.rows.values()),
            self.same,
            weight,
            kernel.distance,
            kernel.p,
            kernel.eps,
            kernel.params,
            scale,
            value,
            tuple([grads.get(name) for name in self.rows]),
            want_sum,
            self.nthreads,
        )
        return total

    def _scores(
        self, kernel: Any, weight: Array | None, scale: float, value: Array | None, grads: dict[str, Array], want: bool
    ) -> float | None:
        """Two scores: a pointwise kernel, of which the second is the parameter that is an array."""
        (first, x1), (second, x2) = self.rows.items()
        run = _loss._core.Kernel(kernel.name).run
        total: float | None = run(
            self.single, self.same, x1, weight, x2, (0.0, *kernel.params), scale, value, grads.get(first), None, want,
            None, 0, True, self.nthreads,
        )  # fmt: skip
        if grads:
            np.negative(grads[first], out=grads[second], casting="unsafe")
        return total

    def _specified(
        self, weight: Array | None, scale: float, value: Array | None, grads: dict[str, Array], want_sum: bool
    ) -> float | None:
        labels = [] if self.same is None else [self.same]
        vectors = [x.astype(np.float64) for x in self.rows.values()]
        w = np.ones(self.items) if weight is None else weight.astype(np.float64)
        with np.errstate(all="ignore"):
            found = self.declaration.spec(*labels, *vectors, **self.params)
            terms = w * found.value
            factor = (scale * w)[..., None] if self.declaration.vectors else scale * w
            for name, gradient in zip(self.rows, found.grads, strict=True):
                if name in grads:
                    grads[name][...] = (factor * gradient).astype(grads[name].dtype)
            if value is not None:
                value[...] = terms
            return float(terms.sum()) if want_sum else None

    def moments(self, weight: Array | None) -> tuple[Any, ...]:
        """As `_core.Kernel.moments`."""
        from lossfast._numpy import moments_of

        self.measure(weight)
        losses = np.empty(self.items, self.value_dtype)
        if losses.size:
            self._pass(None, 1.0, losses, {}, False)
        return moments_of(losses, None if weight is None else np.broadcast_to(weight, self.items))

    def weight_shape(self, weight: Array) -> tuple[int, ...]:
        """Repeated weights are read only once."""
        return weight.shape

    def fault(self, operand: str, index: int) -> Fault:
        """A label that is none."""
        at = np.unravel_index(index, self.items)
        return Fault(self.declaration.arguments[0], at, np.asarray(self.same)[at], str(SIGN))
