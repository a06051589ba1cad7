"""One call of a loss: its options, weights and reduction, one pass of the kernel, and what is handed back.

What differs between the families is in their calls: `_pointwise.PointwiseCall`, `_classwise.ClasswiseCall`,
`_region.RegionCall`, `_box.BoxCall`, `_ctc.SequenceCall`, `_embedding.EmbeddingCall`, `_in_batch.BatchCall`,
`_mining.MiningCall`, `_ranking.RankingCall` and `_samples.SampleCall`.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lossfast import _arrays, _loss
from lossfast._arrays import Array, is_bfloat16, position
from lossfast._errors import EXACT_BITS, THREADS_MAX, DomainError, did_you_mean

if TYPE_CHECKING:
    from lossfast._loss import Loss

VALUE, GRAD, HESS = 1, 2, 4
REDUCTIONS = ("mean", "sum", "none", "sample", "sum_over_batch_size", "batchmean")
EMPTY = ("zero", "nan", "raise")
BOOSTING_FLOOR = 1e-16  # XGBoost's floor for binary:logistic


class Fault(NamedTuple):
    """An element outside the domain: whose argument it is, where, what it is and what it should be."""

    name: str
    at: tuple[Any, ...]
    value: Any
    expected: str

    def __str__(self) -> str:
        x = np.asarray(self.value)
        shown = float(x) if x.dtype.kind == "f" or is_bfloat16(x.dtype) else x
        return f"{self.name}{position(self.at)} is {shown}, expected {self.expected}"


class Call(ABC):
    """The operands of one call in the order of the kernel that they go to, and that kernel.

    An item is what has a value before any reduction: an element, or a row of classes.
    """

    boosting: str
    pred: Array  # as the caller has it
    single: bool  # float32 arithmetic
    items: tuple[int, ...]  # the shape of the values before reduction
    reads: dict[str, Array]  # what results must not overlap, by the name of the argument
    replaceable: tuple[str, ...]  # of these, what a result may be exactly
    reductions: tuple[str, ...] = REDUCTIONS
    weighted = False  # whether an accumulator adds up weights that items have of themselves
    by_operands = False  # whether gradients are by several operands: then they are returned as one tuple

    @property
    def value_dtype(self) -> np.dtype[Any]:
        """Of the values of the items: that of the arithmetic."""
        return np.dtype(np.float32 if self.single else np.float64)

    def derivatives(self, want: int) -> dict[str, Array]:
        """What each of the derivatives has the shape and the dtype of, by its name."""
        return {key: self.pred for key, bit in (("grad", GRAD), ("hess", HESS)) if want & bit}

    def derivative(self, name: str, given: Any, like: Array, dtype: np.dtype[Any], reads: dict[str, Array]) -> Any:
        """The array that a derivative is written to: the caller's, or a new one."""
        return _arrays.result_array(name, given, like.shape, dtype, reads, self.replaceable)

    @abstractmethod
    def measure(self, weight: Array | None) -> tuple[float, int]:
        """The sum of weights and the number of items, having checked the weights, and labels if there are."""

    @abstractmethod
    def entries(self) -> int:
        """How many entries of the first axis there are, with items that count."""

    @abstractmethod
    def counted(self, weight: Array | None) -> Array | None:
        """What each item adds to the divisor of a weighted mean; None: 1."""

    @abstractmethod
    def spread(self, x: Array) -> Array:
        """An array with the axes of the items, so that it broadcasts to the predictions."""

    @abstractmethod
    def run(
        self,
        weight: Array | None,
        scale: float,
        results: dict[str, Array],
        want_sum: bool,
        entries: Array | None,
    ) -> float | None:
        """One pass, which fills `results` and sums for the entries of the first axis; the sum, if it is wanted."""

    @abstractmethod
    def moments(self, weight: Array | None) -> tuple[Any, ...]:
        """As `_core.Kernel.moments`."""

    def divided(self, weight: Array | None) -> int | None:
        """The exact sum of what divides a mean, where that is not the sum of weights that `moments` gives."""
        return None

    @abstractmethod
    def weight_shape(self, weight: Array) -> tuple[int, ...]:
        """The shape that positions of bad weights are counted in."""

    @abstractmethod
    def fault(self, operand: str, index: int) -> Fault:
        """The words for a bad element of any operand but the weights."""

    def for_targets(self, weight: Array | None) -> Array:
        """The weights with reduction="target_mean", of the calls that have it."""
        raise NotImplementedError

    def more(self) -> tuple[Any, ...]:
        """What is returned after values and derivatives."""
        return ()

    def explanation(self, error: DomainError, sample_weight: Any) -> str:
        """The sentence for an element outside the domain."""
        if error.operand != "weight":
            return str(self.fault(error.operand, error.index))
        weight = _arrays.leading("sample_weight", sample_weight, self.items)
        index = np.unravel_index(error.index, self.weight_shape(weight))
        value = np.broadcast_to(weight, self.items)[index]
        index = index[: np.ndim(sample_weight)]
        return str(Fault("sample_weight", index, value, "a finite number of at least 0"))


CALLS = {
    "pointwise": ("_pointwise", "PointwiseCall"),
    "classwise": ("_classwise", "ClasswiseCall"),
    "region": ("_region", "RegionCall"),
    "box": ("_box", "BoxCall"),
    "sequence": ("_ctc", "SequenceCall"),
    "embedding": ("_embedding", "EmbeddingCall"),
    "batch": ("_mining", "batch_call"),
    "ranking": ("_ranking", "RankingCall"),
    "sample": ("_samples", "SampleCall"),
}


@functools.cache
def _call_of(family: str) -> Callable[..., Call]:
    """What makes the calls of a family, imported where it is first needed."""
    module, name = CALLS[family]
    found: Callable[..., Call] = getattr(import_module(f"lossfast.{module}"), name)
    return found


def prepare(loss: Loss, y_true: Any, y_pred: Any, params: dict[str, Any], check: Any, nthreads: int) -> Call:
    """The operands in the way of the loss's family; those among `params` are taken out of them."""
    options = (check, nthreads) if "check" in loss.declaration.options else (nthreads,)
    return _call_of(loss.declaration.family)(loss, y_true, y_pred, params, *options)


def entry_sums(values: Any, entries: int) -> Array:
    """The sums of values for each entry of the first axis, of which there may be none."""
    x = np.asarray(values)
    sums: Array = x.reshape(entries, x.size // max(1, entries)).sum(axis=1)
    return sums


def exact_sum(x: Array) -> float:
    """Rounded once, so that it does not depend on who computed which term."""
    if np.isfinite(x).all():
        try:
            return math.fsum(x.ravel().tolist())
        except OverflowError:
            pass
    with np.errstate(all="ignore"):
        return float(x.sum())


def weight_sum(w: Array, n_threads: int) -> float:
    """The sum of a weight array, which must hold finite numbers of at least 0."""
    if _loss._core is not None:
        return float(_loss._core.weight_sum(w, n_threads))
    from lossfast._numpy import weight_sum

    return weight_sum(w)


def threads(n_threads: Any) -> int:
    """For the core: 0 is its default."""
    if n_threads is None:
        return 0
    if not isinstance(n_threads, int | np.integer) or isinstance(n_threads, bool):
        raise TypeError(f"n_threads is {n_threads!r}, expected an integer or None")
    if n_threads < 1:
        raise ValueError(f"n_threads is {n_threads}, expected at least 1")
    return int(min(n_threads, THREADS_MAX))


def choice(name: str, value: Any, known: tuple[str, ...]) -> None:
    """Raise unless `value` is one of the words."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}, expected one of {', '.join(map(repr, known))}")
    if value not in known:
        raise ValueError(
            f"{name} is {value!r}, expected one of {', '.join(map(repr, known))}" + did_you_mean(value, known)
        )


def _bind(loss: Loss, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """The two operands, by position or keyword; they are taken out of kwargs, further arguments put in."""
    names = loss.declaration.arguments
    if len(args) > len(names):
        raise TypeError(
            f"{loss.name}() takes {' and '.join(names)} by position, all else by keyword; got {len(args)} arguments"
        )
    for i, value in enumerate(args):
        if names[i] in kwargs:
            raise TypeError(f"{loss.name}() got {names[i]} twice")
        kwargs[names[i]] = value
    for key in names[:2]:
        if key not in kwargs:
            raise TypeError(f"{loss.name}() misses {key}")
    return kwargs.pop(names[0]), kwargs.pop(names[1])


def evaluate(loss: Loss, want: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a loss's methods return: the value (1), the gradient (2), the Hessian (4), or a tuple of some."""
    declaration, params = loss.declaration, dict(kwargs)
    y_true, y_pred = _bind(loss, args, params)
    if want & HESS and declaration.no_hessian:
        raise NotImplementedError(f"{loss.name} has no Hessian: {declaration.no_hessian}")
    given = {k: params.pop(k) for k in kwargs if k in declaration.options and k in _OPTIONS}
    return _evaluate(loss, want, y_true, y_pred, **given, params=params)


def moments(loss: Loss, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """What an accumulator adds to itself: the exact sums of what divides a mean, of losses, of squares and of weights,
    then counts and extremes as `_core.Kernel.moments`; without weights each item weighs 1."""
    params = dict(kwargs)
    y_true, y_pred = _bind(loss, args, params)
    sample_weight, n_threads = params.pop("sample_weight", None), params.pop("n_threads", None)
    check = params.pop("check", True) if "check" in loss.declaration.options else True
    call = prepare(loss, y_true, y_pred, params, check, threads(n_threads))
    weight = None
    try:
        if sample_weight is not None:
            weight = _arrays.leading("sample_weight", sample_weight, call.items)
        total, *rest = call.moments(weight)
        divisor = call.divided(weight)
    except DomainError as error:
        raise ValueError(call.explanation(error, sample_weight)) from None
    losses, squares, count, *others = rest
    weights = count << EXACT_BITS if weight is None and not call.weighted else total
    return (weights if divisor is None else divisor, losses, squares, weights, count, *others)


_OPTIONS = ("sample_weight", "reduction", "out", "grad_dtype", "n_threads", "empty", "check", "hess")


def _evaluate(
    loss: Loss,
    want: int,
    y_true: Any,
    y_pred: Any,
    *,
    params: dict[str, Any],
    sample_weight: Any = None,
    reduction: str = "mean",
    out: Any = None,
    grad_dtype: Any = None,
    n_threads: Any = None,
    empty: str = "zero",
    check: bool = True,
    hess: str = "exact",
) -> Any:
    choice("hess", hess, ("exact", "boosting"))
    call = prepare(loss, y_true, y_pred, params, check, threads(n_threads))
    likes = call.derivatives(want)
    given = _given(out, ("value", *likes) if want & VALUE else tuple(likes))
    value, results, weight, scale = reduced(
        call,
        bool(want & VALUE),
        sample_weight,
        reduction,
        empty,
        lambda weight: _results(call, likes, given, reduction, grad_dtype, weight),
        given.get("value"),
    )
    if want & HESS and hess == "boosting":
        _make_boosting(results["hess"], call, call.counted(weight), scale)
    answer = [value] if want & VALUE else []
    if call.by_operands and len(likes) > 1:
        answer.append(tuple([results[key] for key in likes]))
    else:
        answer += [results[key] for key in likes]
    answer += call.more()
    return answer[0] if len(answer) == 1 else tuple(answer)


def reduced(
    call: Call,
    want_value: bool,
    sample_weight: Any,
    reduction: str,
    empty: str,
    results_for: Callable[[Array | None], dict[str, Array]],
    given_value: Array | None,
) -> tuple[Any, dict[str, Array], Array | None, float]:
    """Runs a call; the value, the other results, the weights of the items and the factor of the derivatives.

    `results_for` gets the caller's weights and makes the arrays to write, `given_value` is the caller's for the value.
    """
    choice("reduction", reduction, call.reductions)
    choice("empty", empty, EMPTY)
    if reduction in ("sample", "batchmean") and not call.items:
        raise ValueError(f"reduction={reduction!r} needs an array with a first axis, got a scalar")

    try:
        weight = None if sample_weight is None else _arrays.leading("sample_weight", sample_weight, call.items)
        # Checked and summed before anything else is read or written.
        total, count = call.measure(weight)
        divisor = _divisor(reduction, total, count, call)
        nothing: Any = divisor == 0
        given_weight = weight
        if reduction == "sample":
            weight, nothing = _normalised(weight, call.counted(weight), call.items)
        elif reduction == "target_mean":
            weight = call.for_targets(weight)
        if empty == "raise" and np.any(nothing):
            raise ValueError(f"reduction={reduction!r} of nothing: no elements, or all weights are 0")
        scale = 1.0 / divisor if divisor else 0.0
        results = results_for(given_weight)
        entries = np.zeros(call.items[0]) if want_value and reduction == "sample" else None
        wants_sum = want_value and reduction not in ("none", "sample")
        total_loss = call.run(weight, scale, results, wants_sum, entries)
    except DomainError as error:
        raise ValueError(call.explanation(error, sample_weight)) from None

    blank = 0.0 if empty == "zero" else np.nan
    if reduction != "sample" and nothing:
        for key in results.keys() - {"value"}:
            results[key][...] = blank
    value: Any = None
    if want_value and reduction == "none":
        value = results["value"]
    elif want_value and reduction == "sample":
        value = np.where(nothing, blank, np.asarray(entries)).astype(call.value_dtype)
        if given_value is not None:
            given_value[...] = value
            value = given_value
    elif want_value:
        mean = total_loss / divisor if total_loss is not None and divisor not in (0, 1) else total_loss
        value = blank if nothing else mean
    return value, results, weight, scale


def _divisor(reduction: str, total: float, count: int, call: Call) -> float:
    """By what the sum is divided; 0 where there is nothing to take a mean of."""
    if reduction in ("mean", "target_mean"):
        return total
    if reduction == "sum_over_batch_size":
        return float(count)
    if reduction == "batchmean":
        return float(call.entries())
    return 1.0


def _normalised(weight: Array | None, counted: Array | None, items: tuple[int, ...]) -> tuple[Array, Array]:
    """Weights by which what is counted adds up to 1 in every entry of the first axis, and which entries have none."""
    length = int(np.prod(items[1:]))
    ones = (1,) * (len(items) - 1)
    if counted is None:
        return np.full((1, *ones), 1.0 / length if length else 0.0), np.full(items[0], length == 0)
    axes = tuple(range(1, len(items)))
    sums = counted.sum(axis=axes, keepdims=True, dtype=np.float64) * (length / max(1, int(np.prod(counted.shape[1:]))))
    sums = np.broadcast_to(sums, (items[0], *ones))
    with np.errstate(divide="ignore", invalid="ignore"):
        normalised = np.where(sums > 0, (1.0 if weight is None else weight) / sums, 0.0)
    return normalised, (sums == 0).reshape(-1)


def _given(out: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    """The caller's place for each result, or None."""
    if out is None:
        return dict.fromkeys(keys)
    if len(keys) == 1:
        return {keys[0]: out}
    if not isinstance(out, tuple | list) or len(out) != len(keys):
        raise ValueError(f"out is {type(out).__name__}, expected a tuple of {len(keys)}: ({', '.join(keys)})")
    return {key: out[i] for i, key in enumerate(keys)}


def _results(
    call: Call,
    likes: dict[str, Array],
    given: dict[str, Any],
    reduction: str,
    grad_dtype: Any,
    weight: Array | None,
) -> dict[str, Array]:
    """The arrays to write, by name; the value is one of them with reduction="none" only."""
    reads = call.reads if weight is None else {**call.reads, "sample_weight": weight}
    asked = None if grad_dtype is None else np.dtype(grad_dtype)
    if asked is not None and asked.name not in _arrays.FLOATS:
        raise TypeError(f"grad_dtype is {asked}, expected one of {', '.join(_arrays.FLOATS)}")
    results = {}
    if "value" in given and reduction != "none":
        check_value(given["value"], call, reduction, reads)
    elif "value" in given:
        like = (call.items, call.value_dtype)
        results["value"] = _arrays.result_array("out (value)", given["value"], *like, reads, call.replaceable)
    for key, x in likes.items():
        own = x.dtype if x.dtype.kind not in "biu" else _arrays.FLOAT64
        dtype = own if asked is None else asked
        results[key] = call.derivative(f"out ({key})", given[key], x, dtype, reads)
    if len(results) > 1:
        written: dict[str, Array] = {}
        for key, result in results.items():
            if isinstance(result, tuple):
                written |= {f"out ({key})[{i}]": x for i, x in enumerate(result)}
            else:
                written[f"out ({key})"] = result
        _arrays.distinct(written)
    return results


def check_value(given: Any, call: Call, reduction: str, reads: dict[str, Array]) -> None:
    """What the caller gives for a value that is no array of the items."""
    if given is not None and reduction != "sample":
        raise ValueError(f"out for the value must be None with reduction={reduction!r}: it is a Python float")
    if given is not None:
        _arrays.result_array("out (value)", given, call.items[:1], call.value_dtype, reads, ())


def _make_boosting(hess: Array, call: Call, weight: Array | None, scale: float) -> None:
    """Positive second derivatives, for gradient boosting: 1, or a floor, times weight and scale."""
    factor = scale if weight is None else call.spread(weight.astype(np.float64) * scale)
    if call.boosting == "one":
        hess[...] = factor
        return
    if call.boosting == "twice":
        np.multiply(hess, 2, out=hess, casting="same_kind")
    np.maximum(hess, np.multiply(factor, BOOSTING_FLOOR), out=hess, casting="same_kind")
