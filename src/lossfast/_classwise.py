"""Calls of the losses of classes: a row of predictions for each label or distribution.

From logits and scores a row goes to a kernel of rows.  From probabilities the loss is a sum of pointwise terms, and
goes to a pointwise kernel with sums of rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lossfast import _arrays, _loss
from lossfast._arrays import Array
from lossfast._declarations import Classwise, Pointwise
from lossfast._errors import DomainError
from lossfast._evaluate import Call, Fault, entry_sums
from lossfast._loss import Loss

CHUNK = 1 << 20  # labels become rows of 0 and 1 for so many probabilities at a time


class ClasswiseCall(Call):
    """Operands with the class axis last, as views of the caller's arrays, and the kernel of rows."""

    replaceable: tuple[str, ...] = ("y_pred",)

    def __init__(self, loss: Loss, y_true: Any, y_pred: Any, params: dict[str, Any], check: Any, nthreads: int) -> None:
        declaration = loss.declaration
        assert isinstance(declaration, Classwise)
        self.declaration, self.boosting = declaration, declaration.boosting
        self.check, self.nthreads = bool(check), nthreads
        self.pred = pred = _arrays.prediction(y_pred)
        given = declaration.checked(params, loss._params) if params else loss._params
        self.single = pred.dtype != np.float64
        self.params = given = declaration.resolved(given, self.single)
        if not pred.ndim:
            raise ValueError("y_pred is a number, expected an array with a class axis")
        axis = given["axis"]
        if not -pred.ndim <= axis < pred.ndim:
            raise ValueError(f"axis is {axis}, expected an axis of y_pred, in [{-pred.ndim}, {pred.ndim})")
        self.axis = axis % pred.ndim
        self.rows = self._classes_last(pred)
        self.items, self.classes = self.rows.shape[:-1], self.rows.shape[-1]
        if not self.classes:
            raise ValueError(f"y_pred has shape {pred.shape}, expected at least one class along axis {axis}")
        self._take_target(_arrays.as_array("y_true", y_true))
        self._take_options()
        self.reads = {"y_true": self.target, "y_pred": pred}
        if self.temperature is not None:
            self.reads["temperature"] = self.temperature
        self.kernel = _row_kernel(declaration.kernel)
        self.kept = math.prod(self.items)

    def _classes_last(self, x: Array) -> Array:
        return _arrays.axis_last(x, self.axis)

    def _take_target(self, target: Array) -> None:
        """Labels or targets, by their shape; labels without the class axis, targets with it last."""
        declaration, shape, k = self.declaration, self.pred.shape, self.axis
        flat = (*shape[:k], 1, *shape[k + 1 :])  # of labels that have kept their axis
        self.squeezed = False
        if declaration.soft and target.shape == shape:
            self.labels, self.target = False, self._classes_last(target)
        elif declaration.labels and target.shape == self.items:
            self.labels, self.target = True, target
        elif declaration.labels and target.shape == flat:
            self.labels, self.target, self.squeezed = True, target.squeeze(k), True
        else:
            kinds = [f"{self.items} for class labels"] * declaration.labels + [f"{shape}"] * declaration.soft
            hint = ""
            if not declaration.soft and target.shape == shape:
                hint = " (categorical_crossentropy takes one-hot and soft targets; y_true.argmax(axis) are labels)"
            elif not declaration.labels and target.shape in (self.items, flat):
                hint = " (sparse_categorical_crossentropy takes class labels)"
            raise ValueError(
                f"y_true has shape {target.shape} and y_pred {shape}, expected y_true of shape {' or '.join(kinds)}: "
                f"the class axis is {self.params['axis']}{hint}"
            )

    def _take_options(self) -> None:
        """What a call's parameters come to: only logits have a temperature, only labels are ignored."""
        given, declaration = self.params, self.declaration
        from_logits, log_input = given.get("from_logits", False), given.get("log_input", False)
        if from_logits and log_input:
            raise ValueError("from_logits and log_input are True, expected at most one of them")
        self.by_terms = declaration.terms is not None and not from_logits
        for name, default in (("temperature", 1.0), ("z_loss", 0.0)) if self.by_terms else ():
            value = given.get(name, default)
            if isinstance(value, np.ndarray) or value != default:
                shown = "an array" if isinstance(value, np.ndarray) else value
                raise ValueError(f"{name} is {shown}, expected {default} unless y_pred are logits (from_logits=True)")
        self.ignore = given.get("ignore_index")
        if self.ignore is not None and not self.labels:
            raise ValueError(
                f"ignore_index is {self.ignore}, expected None: y_true has the shape of y_pred, these are no labels"
            )
        self.temperature: Array | None = None
        temperature = given.get("temperature", 1.0)
        if isinstance(temperature, np.ndarray):
            self.temperature = np.broadcast_to(_arrays.leading("temperature", temperature, self.items), self.items)
        elif temperature != 1.0:
            self.temperature = np.broadcast_to(np.float64(temperature), self.items)
        self.weights: Array | None = None
        name = declaration.weighting
        weights = given.get(name)
        if weights is not None:
            self.weights = weights if isinstance(weights, np.ndarray) else np.full(self.classes, weights)
            if self.weights.shape != (self.classes,):
                raise ValueError(
                    f"{name} has shape {self.weights.shape}, expected {(self.classes,)}, a number for each class"
                )
        # An alpha multiplies the loss and is no part of the mean's divisor, as in Keras.
        self.divides = self.weights if name == "class_weight" else None

    def measure(self, weight: Array | None) -> tuple[float, int]:
        """The sum of weights over the rows that are kept, and their number."""
        if not self.kept:
            return 0.0, 0
        target, rows, labels = self.target, self.rows, self.labels
        if not labels and not self.check:  # the weights and temperatures alone
            target = rows = np.broadcast_to(np.float32(0), (*self.items, 1))
        self.kept, total = self.kernel.check(
            self.single,
            labels,
            target,
            rows,
            None if weight is None else _arrays.repeated(weight, self.items),
            self.divides if labels else None,
            self.temperature,
            self.ignore,
            self.nthreads,
        )
        return total, self.kept

    def _is_kept(self, target: Array) -> Array:
        """Which labels are not ignored."""
        x = target.astype(np.float64) if target.dtype.kind not in "biu" else target
        return np.asarray(x != self.ignore)

    def entries(self) -> int:
        """How many entries of the first axis keep a row."""
        if self.kept == math.prod(self.items):
            return self.items[0] if self.kept else 0
        kept = self._is_kept(self.target).reshape(self.items[0], -1)
        return int(kept.any(axis=1).sum())

    def counted(self, weight: Array | None) -> Array | None:
        """Times the weight of the label; 0 for rows to ignore."""
        if not self.labels or (self.ignore is None and self.divides is None):
            return weight
        kept = self._is_kept(self.target) if self.ignore is not None else np.True_
        counted = np.where(kept, 1.0 if weight is None else weight, 0.0)
        counted = np.broadcast_to(counted, self.items)
        if self.divides is not None:
            counted = counted * self.divides[np.where(kept, self.target, 0).astype(np.intp)]
        return counted

    def spread(self, x: Array) -> Array:
        """With a class axis of length 1."""
        return np.expand_dims(x, self.axis)

    def run(
        self, weight: Array | None, scale: float, results: dict[str, Array], want_sum: bool, entries: Array | None
    ) -> float | None:
        """One pass."""
        if not self.rows.size:
            return 0.0 if want_sum else None
        value = np.empty(self.items) if entries is not None else results.get("value")
        grad, hess = results.get("grad"), results.get("hess")
        if grad is not None:
            grad = self._classes_last(grad)
        if hess is not None:
            hess = self._classes_last(hess)
        if weight is not None:
            weight = _arrays.repeated(weight, self.items)
        if self.by_terms:
            total = self._run_terms(weight, scale, value, grad, hess, want_sum)
        else:
            total = self.kernel.run(
                *self._operands(weight), *self._options(), scale, value, grad, hess, want_sum, self.nthreads
            )
        if entries is not None and value is not None:
            entries[...] = entry_sums(value, len(entries))
        return total

    def _operands(self, weight: Array | None) -> tuple[Any, ...]:
        return self.single, self.labels, self.target, self.rows, weight, self.weights, self.temperature

    def _options(self) -> tuple[Any, ...]:
        given = self.params
        own = tuple([given[k] for k in self.declaration.own])
        return own, self.ignore, given.get("label_smoothing", 0.0), given.get("z_loss", 0.0)

    def moments(self, weight: Array | None) -> tuple[Any, ...]:
        """As `_core.Kernel.moments`, of the rows that are kept."""
        self.measure(weight)
        if weight is not None:
            weight = np.broadcast_to(weight, self.items)
        if not self.by_terms and self.rows.size:
            found: tuple[Any, ...] = self.kernel.moments(*self._operands(weight), *self._options(), self.nthreads)
            return found
        from lossfast._numpy import moments_of

        losses = np.empty(self.items, np.float32 if self.single else np.float64)
        self.run(None, 1.0, {"value": losses}, False, None)
        if self.kept != losses.size:
            kept = self._is_kept(self.target)
            losses, weight = losses[kept], None if weight is None else weight[kept]
        return moments_of(losses, weight)

    def divided(self, weight: Array | None) -> int | None:
        """With the weights of the labels."""
        if not self.labels or self.divides is None:
            return None
        from lossfast._numpy import exact_sum

        total = 0
        for block, kept, _ in self._blocks():
            pick: Any = ... if kept is None else kept
            counted = self.divides[self.target[block][pick].astype(np.intp)]
            if weight is not None:
                counted = counted * np.broadcast_to(weight, self.items)[block][pick]
            total += exact_sum(counted.reshape(-1))
        return total

    def weight_shape(self, weight: Array) -> tuple[int, ...]:
        """That of the rows."""
        return self.items

    def fault(self, operand: str, index: int) -> Fault:
        """The words for a bad element, in the order of the caller's axes."""
        swapped = "are y_true and y_pred swapped?)"
        if operand == "temperature":
            at = np.unravel_index(index, self.items)
            given = self.params["temperature"]
            return Fault(
                "temperature", at[: np.ndim(given)], np.asarray(self.temperature)[at], "a finite number above 0"
            )
        if operand == "target" and self.labels:
            at = np.unravel_index(index, self.items)
            or_ignored = " or ignore_index" if "ignore_index" in self.params else ""
            shown = (*at[: self.axis], 0, *at[self.axis :]) if self.squeezed else at
            return Fault("y_true", shown, self.target[at], f"a class in [0, {self.classes}){or_ignored}")
        *row, k = np.unravel_index(index, self.rows.shape)
        array = self.target if operand == "target" else self.rows
        shown = (*row[: self.axis], k, *row[self.axis :])
        expected = "a probability in [0, 1] (for logits pass from_logits=True; " + swapped
        if operand == "target":
            expected = "a finite number of at least 0 (" + swapped
        return Fault("y_true" if operand == "target" else "y_pred", shown, array[(*row, k)], expected)

    # --- From probabilities ---

    def _run_terms(
        self,
        weight: Array | None,
        scale: float,
        value: Array | None,
        grad: Array | None,
        hess: Array | None,
        want_sum: bool,
    ) -> float:
        """The pass of `run` by a pointwise kernel, after which nothing can be wrong any more; returns the sum."""
        outs = (value, grad, hess)
        if not self.labels:
            return self._terms(self.target, self.rows, weight, scale, outs, want_sum, self.check)
        alone = self.declaration.label_alone and not self.params["label_smoothing"]
        if self.check or alone:
            alone = self._check_probabilities() and alone  # a NaN of any class makes its row NaN
        total = 0.0
        for block, kept, _ in self._blocks():
            pick: Any = ... if kept is None else kept
            p, labels = self.rows[block][pick], self.target[block][pick].astype(np.intp)[..., None]
            w = None if weight is None else weight[block][pick]
            views = [None if x is None else x[block] for x in outs]
            parts = views
            if kept is not None:
                parts = [None if x is None else np.empty(x[pick].shape, x.dtype) for x in views]
            if alone:
                total += self._label_terms(labels, p, w, scale, parts, want_sum)
            else:
                one_hot = (labels == np.arange(self.classes)).view(np.uint8)
                total += self._terms(one_hot, p, w, scale, parts, want_sum, False)
            for view, part in zip(views, parts, strict=True):
                if kept is not None and view is not None:
                    view[kept], view[~kept] = part, 0
        return total

    def _blocks(self) -> Iterator[tuple[Any, Array | None, int]]:
        """Blocks of rows, with which of them are kept (None: all) and the number of rows before."""
        first = 0
        for slices in _blocks(self.items, max(1, CHUNK // self.classes)):
            block: Any = (*slices, ...)
            kept = None
            if self.kept != math.prod(self.items):
                kept = self._is_kept(self.target[block])
            yield block, kept, first
            first += math.prod(self.target[block].shape)

    def _check_probabilities(self) -> bool:
        """Of the rows that are kept, with `check`; returns whether there is no NaN among them."""
        if self.kept == math.prod(self.items):
            return are_numbers(self.single, self.rows, self.check, self.nthreads)
        numbers = True
        for block, kept, first in self._blocks():
            pick = np.ones(self.rows[block].shape[:-1], bool) if kept is None else kept
            try:
                numbers &= are_numbers(self.single, self.rows[block][pick], self.check, self.nthreads)
            except DomainError as error:
                row, k = divmod(error.index, self.classes)
                at = first + int(np.flatnonzero(pick)[row])
                raise DomainError("pred", at * self.classes + k) from None
        return numbers

    def _terms(
        self,
        target: Array,
        p: Array,
        weight: Array | None,
        scale: float,
        outs: Sequence[Array | None],
        want_sum: bool,
        check: bool,
        weights: Array | None = None,
    ) -> float:
        """Terms of all classes of some rows; `weights` are those of the classes."""
        value, grad, hess = outs
        classes = p.shape[-1]
        s = self.params.get("label_smoothing", 0.0)
        kernel, values = _term_kernel(self.declaration, self.params, 1.0 - s, s / self.classes)
        if weights is None:
            weights = self.weights
        stream = None
        if weights is not None:
            stream, values = _arrays.repeated(weights, p.shape), (0.0, *values[1:])
        sums = None if value is None else np.zeros(p.size // classes)
        total = kernel.run(
            self.single,
            target,
            p,
            None if weight is None else _arrays.repeated(weight[..., None], p.shape),
            stream,
            values,
            scale,
            None,
            grad,
            hess,
            want_sum and sums is None,
            sums,
            0 if sums is None else classes,
            check,
            self.nthreads,
        )
        if value is not None and sums is not None:
            value[...] = sums.reshape(value.shape)
            total = sums.sum()
        return float(total or 0.0)

    def _label_terms(
        self,
        labels: Array,
        p: Array,
        weight: Array | None,
        scale: float,
        outs: Sequence[Array | None],
        want_sum: bool,
    ) -> float:
        """Terms of the labels, where those of all other classes are 0."""
        value, *derivatives = outs
        at = _index(labels)
        p = p[at]
        parts = [None if x is None else np.empty(p.shape, x.dtype) for x in derivatives]
        weights = None if self.weights is None else self.weights[labels]
        total = self._terms(np.ones(p.shape, np.uint8), p, weight, scale, [value, *parts], want_sum, False, weights)
        for x, part in zip(derivatives, parts, strict=True):
            if x is not None and part is not None:
                x[...] = 0
                x[at] = part
        return total


def _index(labels: Array) -> tuple[Array, ...]:
    """Of what `np.take_along_axis(x, labels, -1)` takes from an array, to be used several times."""
    *rows, _ = labels.shape
    before = [np.arange(n).reshape(-1, *(1,) * (len(rows) - i)) for i, n in enumerate(rows)]
    return *before, labels


def _blocks(shape: tuple[int, ...], most: int) -> Iterator[tuple[slice, ...]]:
    """Slices that cut an array of this shape, in its order, into pieces of at most so many elements."""
    if not shape:
        yield ()
        return
    inner = math.prod(shape[1:])
    step = max(1, most // max(1, inner))
    for i in range(0, shape[0], step):
        if inner <= most:
            yield (slice(i, i + step),)
        else:
            for rest in _blocks(shape[1:], most):
                yield (slice(i, i + 1), *rest)


def are_numbers(single: bool, p: Array, check: bool, nthreads: int) -> bool:
    """Whether there is no NaN among probabilities; with `check` DomainError if there is anything else."""
    brier = _loss.REGISTRY["brier"].declaration
    assert isinstance(brier, Pointwise)
    kernel: Any
    if _loss._core is not None:
        kernel = _loss._core.Kernel("brier")
    else:
        from lossfast._numpy import NumpyKernel

        kernel = NumpyKernel(brier, {})
    zero = np.broadcast_to(np.zeros((), np.uint8), p.shape)
    total = kernel.run(single, zero, p, None, None, (), 1.0, None, None, None, True, None, 0, check, nthreads)
    return not np.isnan(total)


def _row_kernel(name: str) -> Any:
    if _loss._core is not None:
        return _loss._core.RowKernel(name)
    from lossfast._numpy_rows import NumpyRowKernel

    return NumpyRowKernel(name)


def _term_kernel(
    declaration: Classwise, params: dict[str, Any], keep: float, share: float
) -> tuple[Any, tuple[Any, ...]]:
    assert declaration.terms is not None
    if _loss._core is not None:
        name, values = declaration.terms(params, keep, share)
        return _loss._core.Kernel(name), values
    from lossfast._numpy_rows import NumpyTerms

    return NumpyTerms(declaration, params, keep, share), declaration.terms(params, keep, share)[1]
