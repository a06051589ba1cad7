"""The cross-entropy of a linear layer and its gradients, of which only a block of rows of logits exists at a time."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lossfast import _arrays, _blas, multiclass
from lossfast._arrays import Array
from lossfast._blas import Workers
from lossfast._classwise import ClasswiseCall
from lossfast._evaluate import Fault, check_value, entry_sums, reduced, threads

LOGITS = 48 << 20  # bytes of logits at a time; with fewer rows the matrix products take longer
ROWS_FACTOR = 2  # so many times the rows where the threads are those of BLAS, which loses more by few
PIECE = 2 << 20  # bytes of other temporaries: pieces of `weight` or of its gradient, which stay in a cache
SHARE = 8 << 20  # bytes of `weight` that a thread multiplies at a time


class _LinearCall(ClasswiseCall):
    """Labels are those of a call with logits; the logits come and go in `run`."""

    replaceable: tuple[str, ...] = ()

    def __init__(self, labels: Any, hidden: Any, weight: Any, bias: Any, params: dict[str, Any], nthreads: int) -> None:
        target = _arrays.as_array("labels", labels)
        self.hidden, self.matrix = _arrays.prediction(hidden, "hidden"), _arrays.prediction(weight, "weight")
        self.bias = None if bias is None else _arrays.prediction(bias, "bias")
        operands = {"hidden": self.hidden, "weight": self.matrix}
        if self.bias is not None:
            operands["bias"] = self.bias
        if not self.hidden.ndim:
            raise ValueError("hidden is a number, expected an array of shape (..., features)")
        if self.matrix.ndim != 2 or self.matrix.shape[1] != self.hidden.shape[-1] or not len(self.matrix):
            raise ValueError(
                f"weight has shape {self.matrix.shape} and hidden {self.hidden.shape}, expected weight of shape "
                f"(classes, {self.hidden.shape[-1]}) with at least one class"
            )
        classes = len(self.matrix)
        if self.bias is not None and self.bias.shape != (classes,):
            raise ValueError(f"bias has shape {self.bias.shape}, expected {(classes,)}, a number for each class")
        items = self.hidden.shape[:-1]
        if target.shape not in (items, (*items, 1)):
            raise ValueError(
                f"labels has shape {target.shape} and hidden {self.hidden.shape}, expected labels of shape {items}"
            )
        dtype = np.dtype(np.float64 if any(x.dtype == np.float64 for x in operands.values()) else np.float32)
        self.dtype, self.operands = dtype, operands
        shape_alone = np.broadcast_to(np.zeros((), dtype), (*items, classes))
        loss = multiclass.sparse_categorical_crossentropy
        super().__init__(loss, target, shape_alone, {**params, "from_logits": True}, True, nthreads)
        del self.reads["y_true"], self.reads["y_pred"]
        self.reads |= {"labels": target, **operands}

    def fault(self, operand: str, index: int) -> Fault:
        """The words for a bad element, by the names of the arguments."""
        found = super().fault(operand, index)
        return found._replace(name="labels") if operand == "target" else found

    def run(
        self, weight: Array | None, scale: float, results: dict[str, Array], want_sum: bool, entries: Array | None
    ) -> float | None:
        """Block after block of rows: logits, value and gradient in their place, three products."""
        classes, features = self.matrix.shape
        target = self.target.reshape(-1)
        rows = len(target)
        hidden = self.hidden.reshape(rows, features)
        flat = {k: np.broadcast_to(x, self.items).reshape(-1) if x is not None else None
                for k, x in (("weight", weight), ("temperature", self.temperature))}  # fmt: skip
        values = None
        if entries is not None or "value" in results:
            values = np.zeros(rows, np.float64 if entries is not None else self.dtype)
        grads = {k: self._accumulator(results[k], k) for k in self.operands if k in results}
        kept = None if self.kept == rows else np.flatnonzero(self._is_kept(target))
        totals = []
        with _blas.workers(self.nthreads, self.kept * classes * features) as workers:
            step = self._rows(workers)
            logits = np.empty((step, classes), self.dtype)
            for first in range(0, self.kept, step or 1):
                at: Any = slice(first, min(first + step, self.kept)) if kept is None else kept[first : first + step]
                h = np.ascontiguousarray(hidden[at], self.dtype)
                z = logits[: len(h)]
                self._score(workers, h, z)
                sample, tau = (x if x is None else x[at] for x in flat.values())
                value = None if values is None else np.empty(len(h), values.dtype)
                total = self.kernel.run(
                    self.single, True, target[at], z, sample, self.weights, tau, *self._options(), scale,
                    value, z if grads else None, None, want_sum, self.nthreads,
                )  # fmt: skip
                totals.append(total)
                if values is not None:
                    values[at] = value
                self._add_products(workers, grads, at, h, z, first == 0)
        if not self.kept:
            for x in grads.values():
                x[...] = 0
        for key, x in grads.items():
            if not np.may_share_memory(x, results[key]):
                results[key][...] = x.reshape(results[key].shape)
        if values is not None and entries is not None:
            entries[...] = entry_sums(values, len(entries))
        elif values is not None:
            results["value"][...] = values.reshape(self.items)
        return float(np.sum(totals)) if want_sum else None

    def _accumulator(self, result: Array, key: str) -> Array:
        """Where a gradient is computed: in the result, if its dtype and strides are those of the arithmetic."""
        shape = (math.prod(self.items), self.matrix.shape[1]) if key == "hidden" else result.shape
        ready = result.dtype == self.dtype and result.flags.c_contiguous
        x = result.reshape(shape) if ready else np.empty(shape, self.dtype)
        if key == "hidden" and self.kept != len(x):
            x[...] = 0
        return x

    def _rows(self, workers: Workers) -> int:
        """How many have their logits in memory at a time."""
        room = LOGITS if workers.alone else LOGITS * ROWS_FACTOR
        most = max(1, room // (len(self.matrix) * self.dtype.itemsize))
        return min(most - most % 32 if most >= 32 else most, self.kept)

    def _pieces(self, size: int) -> list[slice]:
        """The classes, by so many bytes of the weight."""
        classes, features = self.matrix.shape
        step = max(1, size // max(1, features * self.dtype.itemsize))
        return [slice(i, min(i + step, classes)) for i in range(0, classes, step)]

    def _shares(self, workers: Workers) -> tuple[list[slice], Callable[[slice], Array]]:
        """The classes of each product with the weight, and what gives that part of it in the dtype of the arithmetic.
        BLAS with threads of its own takes it at once, if it needs no conversion."""
        flags = self.matrix.flags
        if self.matrix.dtype != self.dtype or not (flags.c_contiguous or flags.f_contiguous):
            return self._pieces(PIECE), lambda part: np.ascontiguousarray(self.matrix[part], self.dtype)
        return self._pieces(SHARE) if workers.alone else [slice(0, len(self.matrix))], self.matrix.__getitem__

    def _score(self, workers: Workers, h: Array, z: Array) -> None:
        """The logits of a block of rows."""
        shares, weight = self._shares(workers)

        def score(part: slice) -> None:
            np.matmul(h, weight(part).T, out=z[:, part])
            if self.bias is not None:
                np.add(z[:, part], self.bias[part].astype(self.dtype, copy=False), out=z[:, part])

        workers.all(score, shares)

    def _add_products(
        self, workers: Workers, grads: dict[str, Array], at: Any, h: Array, g: Array, is_first: bool
    ) -> None:
        """What a block of rows adds to the gradients, from its gradient by the logits."""
        if "hidden" in grads:
            shares, weight = self._shares(workers)
            grads["hidden"][at] = sum(workers.each(lambda part: g[:, part] @ weight(part), shares))
        if "bias" in grads:
            sums = g.sum(axis=0)
            grads["bias"][...] = sums if is_first else grads["bias"] + sums
        if "weight" not in grads:
            return
        total, parts = grads["weight"], self._pieces(PIECE)
        spare = [np.empty((parts[0].stop, total.shape[1]), self.dtype) for _ in range(workers.nthreads)]

        def add(part: slice) -> None:  # at once, BLAS would rearrange as much as half of the logits
            if is_first:
                np.matmul(g[:, part].T, h, out=total[part])
                return
            room = spare.pop()
            product = np.matmul(g[:, part].T, h, out=room[: part.stop - part.start])
            np.add(total[part], product, out=total[part])
            spare.append(room)

        workers.all(add, parts)


class LinearCrossentropy:
    """Softmax cross-entropy of a linear layer's logits, which are never all in memory.

        value = mean of -sum_k c_k log(p_k) + z_loss logsumexp(u)**2 over the rows,
        p = softmax(u),  u = (hidden @ weight.T + bias) / temperature,
        c_k = class_weight_k (t_k (1 - s) + s / C),  t_k = (k == label)

    Parameters
    ----------
    labels : array_like
        Classes in [0, C) of any bool, integer or float dtype, of the shape of `hidden` without its last axis.
    hidden : array_like
        Input of the layer, of shape (..., features); float16, bfloat16, float32 or float64, and anything else is
        taken as float64.  The arithmetic is float64 if `hidden`, `weight` or `bias` is, else float32.
    weight : array_like
        The layer's matrix, of shape (classes, features) as torch.nn.Linear has it.
    bias : array_like, optional
        Of shape (classes,).
    sample_weight : array_like, optional
        Non-negative weights: a number, or an array of the shape of `labels` or of leading axes of it.
    label_smoothing : float, default 0.0
        s: targets become ``t (1 - s) + s / C``.
    class_weight : array_like, optional
        A weight for each class: it multiplies the terms of its class, and the mean divides by those of the labels.
    ignore_index : int, optional
        A label whose rows are left out, as if they had been dropped: their gradient is 0, and no product is computed.
    temperature : float or array_like, default 1.0
        Logits are divided by it: a number, or an array of the shape of `labels` or of leading axes of it.
    z_loss : float, default 0.0
        Weight of the term in the logsumexp, which keeps logits small.
    reduction : {"mean", "sum", "none", "sample", "sum_over_batch_size", "batchmean"}
        As for `sparse_categorical_crossentropy`: ``"none"`` gives an array with a value for each row.
    empty : {"zero", "nan", "raise"}
        What the mean of nothing is (no rows, all ignored, or all weights 0).
    out : ndarray or tuple, optional
        Where to write: for ``.grad`` a tuple with an entry (or None) for each gradient, for ``.value_and_grad`` a pair
        of what there is for the value (None for a float) and that tuple.  Arrays in another dtype than that of the
        arithmetic, or not contiguous, cost a copy.
    n_threads : int, optional
        By default what `lossfast.set_num_threads` says: it changes no bit of the result.  Where threadpoolctl is not
        installed the matrix products have the threads of NumPy's BLAS instead, which may change their roundings.

    Returns
    -------
    float or ndarray
        The value; ``.grad`` takes the same arguments and returns the derivatives of the reduced value by `hidden`,
        `weight` and, if it is given, `bias`: a tuple of arrays of their shapes and dtypes.  ``.value_and_grad``
        returns the value and that tuple.

    Raises
    ------
    ValueError
        For shapes that do not fit, labels that are no class, bad weights and parameters, with the first bad position
        and value, before anything is written.
    TypeError
        For arrays that do not hold numbers.

    See Also
    --------
    sparse_categorical_crossentropy : the same of logits.

    References
    ----------
    E. Wijmans et al., "Cut your losses in large-vocabulary language models", ICLR 2025, arXiv:2411.09009.

    Examples
    --------
    >>> import lossfast as lf
    >>> hidden, weight = [[1.0, 0.0], [0.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]]
    >>> round(lf.linear_crossentropy([0, 1], hidden, weight), 6)
    0.693147
    >>> value, (by_hidden, by_weight) = lf.linear_crossentropy.value_and_grad([0, 1], hidden, weight)
    >>> by_weight
    array([[-0.25,  0.5 ],
           [ 0.25, -0.5 ]])
    """

    def __call__(self, labels: Any, hidden: Any, weight: Any, bias: Any = None, **options: Any) -> Any:
        """The value: a float, or an array with reduction="none" or "sample"."""
        return _evaluate(True, False, labels, hidden, weight, bias, **options)

    def grad(self, labels: Any, hidden: Any, weight: Any, bias: Any = None, **options: Any) -> Any:
        """The gradients of the reduced value by hidden, weight and bias: a tuple."""
        return _evaluate(False, True, labels, hidden, weight, bias, **options)

    def value_and_grad(self, labels: Any, hidden: Any, weight: Any, bias: Any = None, **options: Any) -> Any:
        """Value and gradients, in one pass."""
        return _evaluate(True, True, labels, hidden, weight, bias, **options)

    def __repr__(self) -> str:
        return "linear_crossentropy"


def _evaluate(
    want_value: bool,
    want_grads: bool,
    labels: Any,
    hidden: Any,
    weight: Any,
    bias: Any = None,
    *,
    sample_weight: Any = None,
    label_smoothing: float = 0.0,
    class_weight: Any = None,
    ignore_index: int | None = None,
    temperature: Any = 1.0,
    z_loss: float = 0.0,
    reduction: str = "mean",
    empty: str = "zero",
    out: Any = None,
    n_threads: int | None = None,
) -> Any:
    params = {
        "label_smoothing": label_smoothing,
        "class_weight": class_weight,
        "ignore_index": ignore_index,
        "temperature": temperature,
        "z_loss": z_loss,
    }
    call = _LinearCall(labels, hidden, weight, bias, params, threads(n_threads))
    given_value, given_grads = out if want_value else None, None if want_value else out
    if want_value and want_grads and out is not None:
        given_value, given_grads = _tuple(out, "out", ("value", "gradients"))
    names = tuple(call.operands) if want_grads else ()
    grads = [None] * len(names) if given_grads is None else _tuple(given_grads, "out", names)

    def results_for(weights: Array | None) -> dict[str, Array]:
        reads = call.reads if weights is None else {**call.reads, "sample_weight": weights}
        results = {}
        if want_value and reduction == "none":
            results["value"] = _arrays.result_array("out (value)", given_value, call.items, call.dtype, reads, ())
        elif want_value:
            check_value(given_value, call, reduction, reads)
        for name, given in zip(names, grads, strict=True):
            like = call.operands[name]
            results[name] = _arrays.result_array(f"out ({name})", given, like.shape, like.dtype, reads, ())
        if out is not None:
            _arrays.distinct({f"out ({k})": a for k, a in results.items()})
        return results

    value, results, *_ = reduced(call, want_value, sample_weight, reduction, empty, results_for, given_value)
    gradients = tuple(results[name] for name in names)
    return (value, gradients) if want_value and want_grads else gradients if want_grads else value


def _tuple(out: Any, name: str, entries: tuple[str, ...]) -> tuple[Any, ...]:
    if not isinstance(out, tuple | list) or len(out) != len(entries):
        raise ValueError(f"{name} is {type(out).__name__}, expected a tuple of {len(entries)}: ({', '.join(entries)})")
    return tuple(out)


linear_crossentropy = LinearCrossentropy()
_parameters = list(inspect.signature(_evaluate).parameters.values())[2:]
for _method in (LinearCrossentropy.__call__, LinearCrossentropy.grad, LinearCrossentropy.value_and_grad):
    _self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    _method.__signature__ = inspect.Signature([_self, *_parameters])  # type: ignore[attr-defined]
