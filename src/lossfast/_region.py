"""Calls of the losses of masks: operands with samples first and classes last, items, and their weights."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from lossfast import _arrays, _loss
from lossfast._arrays import Array
from lossfast._declarations import EPSILON, Region
from lossfast._evaluate import Call, Fault, entry_sums, weight_sum
from lossfast._loss import Loss

ACTIVATIONS = (None, "sigmoid", "softmax")
PIXELS = ("", "crossentropy", "focal")
LARGEST_SHARE = 1e280  # of a class of next to nothing
WEIGHTINGS = {"square": 2, "simple": 1}  # powers of the sizes of classes that divide their sums


class RegionCall(Call):
    """Operands as views of the caller's arrays with axes (samples, positions ..., classes), and the kernel.

    An item is a class of a sample; where it is summed over the batch, the batch is the one sample; where it is summed
    over all, the classes are one item together.  A loss of positions is one of samples: then the items are samples.
    """

    replaceable: tuple[str, ...] = ("y_pred",)

    def __init__(self, loss: Loss, y_true: Any, y_pred: Any, params: dict[str, Any], check: Any, nthreads: int) -> None:
        declaration = loss.declaration
        assert isinstance(declaration, Region)
        self.declaration, self.boosting = declaration, declaration.boosting
        self.check, self.nthreads = bool(check), nthreads
        self.pred = pred = _arrays.prediction(y_pred)
        given = declaration.checked(params, loss._params) if params else loss._params
        self.single = pred.dtype != np.float64
        self.params = given = declaration.resolved(given, self.single)
        n, d = given["smooth"]
        self.smooth = (EPSILON[self.single] if n is None else n, EPSILON[self.single] if d is None else d)
        self.activation = given["activation"]
        self.over: str = given["reduce_over"]
        self.together = declaration.together or self.over == "all"
        self._take_axes()
        self._take_target(_arrays.as_array("y_true", y_true))
        self._take_options()
        self.reads = {"y_true": self.target, "y_pred": pred}
        self.kernel = _region_kernel(declaration)
        self.known = int(not check)  # 1: masks and probabilities need no check, 2: nor labels
        self.kept: Array | None = None  # which items count; None: all

    def _take_axes(self) -> None:
        pred, axis = self.pred, self.params["axis"]
        if not pred.ndim:
            raise ValueError("y_pred is a number, expected an array of shape (samples, ...)")
        if axis is not None and not -pred.ndim <= axis < pred.ndim:
            raise ValueError(f"axis is {axis}, expected an axis of y_pred, in [{-pred.ndim}, {pred.ndim}), or None")
        self.axis = None if axis is None else axis % pred.ndim
        self.classes = 1 if self.axis is None else pred.shape[self.axis]
        if not self.classes:
            raise ValueError(f"y_pred has shape {pred.shape}, expected at least one class along axis {axis}")
        if self.activation == "softmax" and self.classes == 1:
            raise ValueError("y_pred has one class, whose softmax is always 1: expected activation='sigmoid'")
        self.rows = self._classes_last(pred)
        self.has_samples = self.over == "sample" and self.rows.ndim > 1

    def _classes_last(self, x: Array) -> Array:
        return x[..., None] if self.axis is None else _arrays.axis_last(x, self.axis)

    def _samples_first(self, x: Array) -> Array:
        """With an axis for the one sample where there is none."""
        return x if self.has_samples else x[None]

    def _take_target(self, target: Array) -> None:
        """Masks of the shape of the predictions, or class labels without their class axis (or with one of length 1)."""
        shape, k = self.pred.shape, self.axis
        self.labels, self.squeezed = False, False
        if target.shape == shape:
            self.target = self._classes_last(target)
            return
        bare = shape if k is None else (*shape[:k], *shape[k + 1 :])
        flat = shape if k is None else (*shape[:k], 1, *shape[k + 1 :])
        if target.shape == bare and self.classes == 1:
            self.target, self.squeezed = target[..., None], True
        elif k is not None and target.shape in (bare, flat):
            self.labels, self.squeezed = True, target.shape == flat
            self.target = target.squeeze(k) if self.squeezed else target
        else:
            labels = f" or {bare} for class labels" if self.classes > 1 else ""
            raise ValueError(
                f"y_true has shape {target.shape} and y_pred {shape}, expected y_true of shape {shape}{labels}: "
                f"the class axis is {self.params['axis']} (nothing is broadcast)"
            )

    def _take_options(self) -> None:
        given = self.params
        self.ignore = given["ignore_index"]
        self.background = given["include_background"]
        if not self.background and self.classes == 1:
            raise ValueError("include_background is False, expected True: there is only one class")
        self.weights: Array | None = given["class_weight"]
        if self.weights is not None and self.weights.shape != (self.classes,):
            raise ValueError(
                f"class_weight has shape {self.weights.shape}, expected {(self.classes,)}, a number for each class"
            )
        if self.declaration.pixel == "focal" and given["alpha"] is not None and self.activation != "sigmoid":
            raise ValueError(f"alpha is {given['alpha']}, expected None unless activation='sigmoid'")
        samples = self.rows.shape[:1] if self.has_samples else ()
        counting = self.classes - (not self.background)
        by_class = not (self.together or self.declaration.pixel or self.axis is None)
        self.items = (*samples, counting) if by_class else samples
        # Of the items as the kernel has them, background included: samples and classes, and the first that counts.
        self.inner = len(self._samples_first(self.rows)), 1 if self.together else self.classes
        self.first = int(not self.background and not self.together)
        self.weighted = self.weights is not None and not (self.together or self.declaration.pixel)

    def _base(self) -> Array:
        """The weights of the classes, 0 for a background that is left out."""
        base = np.ones(self.classes) if self.weights is None else self.weights.copy()
        if not self.background:
            base[0] = 0.0
        return base

    @functools.cached_property
    def _totals(self) -> Array:
        """The sum of the targets of each class of each sample."""
        self.known = 2
        found: Array = self.kernel.check(
            self.single,
            self.labels,
            self._samples_first(self.target),
            self._samples_first(self.rows),
            ACTIVATIONS.index(self.activation),
            self.params["squared"],
            self.ignore,
            int(not self.check),
            self.nthreads,
        )
        return found

    def _shares(self) -> Array | None:
        """What the sums of the classes of an item are multiplied by."""
        if not self.together:
            return None
        base = np.repeat(self._base()[None], self.inner[0], axis=0)
        power = WEIGHTINGS.get(self.params.get("weighting", ""), 0)
        if not power:
            return base
        totals = self._totals
        with np.errstate(divide="ignore"):
            shares = np.where(totals > 0, np.minimum(totals ** float(-power), LARGEST_SHARE), 0.0)
        if self.params["empty"] != "skip":  # a class that does not occur weighs as much as the rarest that does
            most = np.where(base > 0, shares, 0.0).max(axis=1, keepdims=True)
            shares = np.where(totals > 0, shares, np.where(most > 0, most, 1.0))
        return base * shares

    def _kept(self) -> Array | None:
        """Which of the kernel's items count, those of the background too; None: all."""
        if self.params["empty"] != "skip":
            return None
        kept: Array = self._totals > 0
        return np.asarray((kept & (self._base() > 0)).any(axis=1, keepdims=True)) if self.together else kept

    def measure(self, weight: Array | None) -> tuple[float, int]:
        """The sum of weights and the number of the items that count."""
        if weight is not None:
            weight_sum(weight, self.nthreads)
        kept = None if self.declaration.pixel else self._kept()
        if kept is not None:
            self.kept = kept[:, self.first :].reshape(self.items)
        counted = self.counted(weight)
        size = math.prod(self.items)
        if counted is None:
            return float(size), size
        total = float(np.broadcast_to(counted, self.items).sum(dtype=np.float64))
        return total, size if self.kept is None else int(self.kept.sum())

    def entries(self) -> int:
        """How many samples there are with items that count."""
        if self.kept is None:
            return self.items[0] if math.prod(self.items) else 0
        return int(self.kept.reshape(self.items[0], -1).any(axis=1).sum())

    def counted(self, weight: Array | None) -> Array | None:
        """Times the weight of the class; 0 for items that are left out."""
        if self.weighted and self.weights is not None:
            weights = self.weights[self.first :].reshape(self.items[len(self.items) - (self.axis is not None) :])
            weight = np.broadcast_to(weights if weight is None else weight * weights, self.items)
        if self.kept is not None:
            weight = np.where(self.kept, 1.0 if weight is None else weight, 0.0)
        return weight

    def spread(self, x: Array) -> Array:
        """Of no use: there are no Hessians."""
        raise NotImplementedError

    def run(
        self, weight: Array | None, scale: float, results: dict[str, Array], want_sum: bool, entries: Array | None
    ) -> float | None:
        """Both readings."""
        value = results.get("value")
        losses = None if value is None and entries is None else np.empty(self.items)
        total = self._run(self.counted(weight), scale, losses, results.get("grad"), want_sum)
        if value is not None and losses is not None:
            value[...] = losses.astype(value.dtype)
        if entries is not None and losses is not None:
            entries[...] = entry_sums(losses, len(entries))
        return total

    def _inner_weights(self, weight: Array | None) -> Array | None:
        """The weights of the items as the kernel has them."""
        if self.declaration.pixel:
            kept = self._kept()
            inner = np.ones(self.inner) * (1.0 if self.together else self._base()) * (True if kept is None else kept)
            total = inner.sum(axis=1, keepdims=True)
            inner = inner / np.where(total > 0, total, 1.0)
            factor: float = self.params["dice_weight"]
            return factor * inner * self._sample_weights(weight)[:, None]
        if weight is None and not self.first:
            return None
        inner = np.zeros(self.inner)
        counted = inner[:, self.first :]
        counted[...] = np.broadcast_to(1.0 if weight is None else weight, self.items).reshape(counted.shape)
        return inner

    def _sample_weights(self, weight: Array | None) -> Array:
        return np.broadcast_to(1.0 if weight is None else weight, self.items).reshape(-1).astype(np.float64)

    def _run(
        self, weight: Array | None, scale: float, losses: Array | None, grad: Array | None, want_sum: bool
    ) -> float | None:
        """One call of the kernel, with the final weights of the items and the array of their losses."""
        params, pixel = self.params, self.declaration.pixel
        inner = None if losses is None else np.empty(self.inner)
        pixels = None if losses is None or not pixel else np.empty(self.inner[:1])
        pixel_weight = params[f"{pixel}_weight"] * self._sample_weights(weight) if pixel else None
        alpha = params.get("alpha") if pixel else None
        total: float | None = self.kernel.run(
            self.single,
            self.labels,
            self._samples_first(self.target),
            self._samples_first(self.rows),
            ACTIVATIONS.index(self.activation),
            params["squared"],
            self.ignore,
            self.together,
            self._shares(),
            self._inner_weights(weight),
            float(params["empty"] == "one"),
            (*self.smooth, *[params[k] for k in self.declaration.own]),
            PIXELS.index(pixel),
            params.get("gamma", 0.0) if pixel else 0.0,
            -1.0 if alpha is None else alpha,
            self.weights if pixel else None,
            pixel_weight,
            self.known,
            scale,
            inner,
            pixels,
            None if grad is None else self._samples_first(self._classes_last(grad)),
            want_sum,
            self.nthreads,
        )
        if losses is not None and inner is not None:
            found = inner[:, self.first :]
            losses[...] = (found if pixels is None else found.sum(axis=1) + pixels).reshape(self.items)
        return total

    def moments(self, weight: Array | None) -> tuple[Any, ...]:
        """As `_core.Kernel.moments`, of the items that count; their weights are those of the mean."""
        from lossfast._numpy import moments_of

        self.measure(weight)
        losses = np.empty(self.items)
        self._run(None, 1.0, losses, None, False)
        losses = losses.astype(np.float32 if self.single else np.float64)
        counted = self.counted(weight)
        if counted is not None:
            counted = np.broadcast_to(counted, self.items)
        if self.kept is not None:
            losses, counted = losses[self.kept], None if counted is None else counted[self.kept]
        return moments_of(losses, counted)

    def weight_shape(self, weight: Array) -> tuple[int, ...]:
        """That of the weights, which are checked as they come."""
        return weight.shape

    def fault(self, operand: str, index: int) -> Fault:
        """The words for a bad element, in the order of the caller's axes."""
        if operand == "target" and self.labels:
            at = np.unravel_index(index, self.target.shape)
            k = self.axis if self.axis is not None else 0
            shown = (*at[:k], 0, *at[k:]) if self.squeezed else at
            or_ignored = " or ignore_index" if self.ignore is not None else ""
            return Fault("y_true", shown, self.target[at], f"a class in [0, {self.classes}){or_ignored}")
        *row, c = np.unravel_index(index, self.rows.shape)
        array = self.target if operand == "target" else self.rows
        shown = tuple(row) if self.axis is None else (*row[: self.axis], c, *row[self.axis :])
        if operand == "target":
            if self.squeezed and self.axis is not None:
                shown = tuple(row)
            expected = "a mask's element in [0, 1]" + (" or ignore_index" if self.ignore is not None else "")
            return Fault("y_true", shown, array[(*row, c)], expected + " (are y_true and y_pred swapped?)")
        expected = "a probability in [0, 1] (for logits pass activation='sigmoid' or 'softmax'; "
        return Fault("y_pred", shown, array[(*row, c)], expected + "are y_true and y_pred swapped?)")


def _region_kernel(declaration: Region) -> Any:
    if _loss._core is not None:
        return _loss._core.RegionKernel(declaration.kernel)
    from lossfast._numpy_region import NumpyRegionKernel

    return NumpyRegionKernel(declaration)
