"""Calls of the losses of vectors: operands with a gradient each, and the core that computes them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lossfast import _arrays, _loss
from lossfast._arrays import Array
from lossfast._declarations import SIGN, Embedding
from lossfast._evaluate import GRAD, VALUE, Call, Fault, check_value, prepare, reduced, threads, weight_sum
from lossfast._loss import Loss


class EmbeddingCall(Call):
    """Vectors along the last axis; an item is a row of them, or of scores an element."""

    boosting = ""
    replaceable: tuple[str, ...] = ()

    def __init__(self, loss: Loss, first: Any, second: Any, params: dict[str, Any], nthreads: int) -> None:
        d, params = loss.declaration, dict(params)
        assert isinstance(d, Embedding)
        names = d.arguments
        if len(names) > 2 and names[2] not in params:
            raise TypeError(f"{loss.name}() misses {names[2]}")
        given = dict(zip(names, (first, second, *(params.pop(name) for name in names[2:])), strict=True))
        self.declaration, self.nthreads = d, nthreads
        self.params = d.checked(params, loss._params) if params else dict(loss._params)
        wrt, axis = self.params.pop("wrt", "both"), self.params.pop("axis", -1)
        labels = _arrays.as_array(names[0], given.pop(names[0])) if d.labelled else None
        self.operands = {k: _arrays.as_array(k, x) if k == "y_true" else _arrays.prediction(x, k)
                         for k, x in given.items()}  # fmt: skip
        shape = self._shape(axis)
        if d.vectors:
            self.rows = {k: np.moveaxis(x, axis, -1) for k, x in self.operands.items()}
            self.items = next(iter(self.rows.values())).shape[:-1]
        else:
            self.rows, self.items = self.operands, shape
        self.axis = axis
        self.same = None if labels is None else self._labels(names[0], labels)
        *_, self.pred = self.operands.values()
        decisive = [self.pred] if "y_true" in self.operands else list(self.operands.values())
        self.single = all(x.dtype != np.float64 for x in decisive)
        self.differentiable = self.operands if wrt == "both" else {"y_pred": self.pred}
        self.reads = dict(self.operands) if labels is None else {names[0]: labels, **self.operands}

    def _shape(self, axis: int) -> tuple[int, ...]:
        """That of all operands, which must have vectors of at least one number along the axis."""
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

    def _labels(self, name: str, labels: Array) -> Array:
        if labels.shape == (*self.items, 1):
            labels = labels[..., 0]
        if labels.shape != self.items:
            raise ValueError(f"{name} has shape {labels.shape}, expected {self.items}: a label for each item")
        return labels

    def measure(self, weight: Array | None) -> tuple[float, int]:
        """The sum of weights and the number of items; labels are checked too."""
        if self.same is not None:
            bad = SIGN.outside(np.asarray(self.same))
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
        value = results.get("value")
        if entries is not None:
            value = np.empty(self.items)
        w = None if weight is None else np.broadcast_to(weight, self.items)
        moved = {k: np.moveaxis(g, self.axis, -1) if self.declaration.vectors else g for k, g in results.items()
                 if k != "value"}  # fmt: skip
        total = self._pass(w, scale, value, moved, want_sum) if math.prod(self.items) else 0.0
        if entries is not None:
            entries[...] = np.asarray(value).reshape(len(entries), -1).sum(axis=1)
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
            float(kernel.p),
            float(kernel.eps),
            tuple(map(float, kernel.params)),
            scale,
            value,
            tuple(grads.get(name) for name in self.rows),
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


def evaluate(
    loss: Loss,
    want: int,
    first: Any,
    second: Any,
    *,
    params: dict[str, Any],
    sample_weight: Any = None,
    reduction: str = "mean",
    out: Any = None,
    grad_dtype: Any = None,
    n_threads: Any = None,
    empty: str = "zero",
) -> Any:
    """The value, its gradients (a tuple where there are several), or both."""
    call: Any = prepare(loss, first, second, params, True, threads(n_threads))
    names = tuple(call.differentiable) if want & GRAD else ()
    keys = (*(("value",) if want & VALUE else ()), *names)
    given = dict(zip(keys, _outputs(out, keys), strict=True))

    def results_for(weight: Array | None) -> dict[str, Array]:
        reads = call.reads if weight is None else {**call.reads, "sample_weight": weight}
        results = {}
        if "value" in keys and reduction == "none":
            like = (call.items, call.value_dtype)
            results["value"] = _arrays.result_array("out (value)", given["value"], *like, reads, ())
        elif "value" in keys:
            check_value(given["value"], call, reduction, reads)
        for name in names:
            x = call.differentiable[name]
            dtype = _gradient_dtype(x, grad_dtype)
            results[name] = _arrays.result_array(f"out ({name})", given[name], x.shape, dtype, reads, ())
        if out is not None:
            _arrays.distinct({f"out ({k})": a for k, a in results.items()})
        return results

    wants_value = bool(want & VALUE)
    value, results, *_ = reduced(call, wants_value, sample_weight, reduction, empty, results_for, given.get("value"))
    grads: Any = tuple(results[name] for name in names)
    if len(grads) == 1:
        (grads,) = grads
    answer = (*((value,) if wants_value else ()), *((grads,) if names else ()), *call.more())
    return answer[0] if len(answer) == 1 else answer


def _outputs(out: Any, keys: tuple[str, ...]) -> tuple[Any, ...]:
    if out is None:
        return (None,) * len(keys)
    if len(keys) == 1:
        return (out,)
    if not isinstance(out, tuple | list) or len(out) != len(keys):
        raise ValueError(f"out is {type(out).__name__}, expected a tuple of {len(keys)}: ({', '.join(keys)})")
    return tuple(out)


def _gradient_dtype(x: Array, asked: Any) -> np.dtype[Any]:
    if asked is None:
        asked = x.dtype if x.dtype.kind not in "biu" else np.float64
    dtype: np.dtype[Any] = np.dtype(asked)
    if dtype.name not in _arrays.FLOATS:
        raise TypeError(f"grad_dtype is {dtype}, expected one of {', '.join(_arrays.FLOATS)}")
    return dtype
