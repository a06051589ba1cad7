"""One call of a loss, the general way: validation, reduction, one pass of the kernel, and words for what is wrong."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lossfast import _arrays, _loss
from lossfast._arrays import Array, is_bfloat16, position
from lossfast._errors import EXACT_BITS, DomainError, did_you_mean
from lossfast._loss import Declaration, Loss

VALUE, GRAD, HESS = 1, 2, 4
REDUCTIONS = ("mean", "sum", "none", "sample", "sum_over_batch_size", "batchmean")
EMPTY = ("zero", "nan", "raise")
BOOSTING_FLOOR = 1e-16  # XGBoost's floor for binary:logistic


class Call(NamedTuple):
    """Validated operands and the kernel that they go to."""

    kernel: Any
    values: tuple[float, ...]
    target: Array
    pred: Array
    stream: Array | None
    single: bool  # float32 arithmetic
    params: dict[str, Any]


def prepare(loss: Loss, y_true: Any, y_pred: Any, params: dict[str, Any]) -> Call:
    """Find the kernel of these parameters and bring the operands into one shape."""
    declaration = loss.declaration
    target, pred = _arrays.operands(y_true, y_pred)
    given = declaration.checked(params, loss._params) if params else loss._params
    single = pred.dtype != np.float64
    full = resolved = declaration.resolved(given, single)
    stream = resolved.get(declaration.stream) if declaration.stream else None
    if isinstance(stream, np.ndarray):
        try:
            stream = np.broadcast_to(stream, pred.shape)
        except ValueError:
            raise ValueError(
                f"{declaration.stream} has shape {stream.shape}, expected a number or an array that broadcasts to "
                f"the shape of y_pred, {pred.shape}"
            ) from None
        resolved = {**resolved, declaration.stream: 0.0}  # type: ignore[dict-item]
    else:
        stream = None
    if _loss._core is None:
        from lossfast._numpy import NumpyKernel

        return Call(NumpyKernel(declaration, full), (), target, pred, stream, single, full)
    name, values = declaration.kernel(**resolved)
    return Call(_loss._core.Kernel(name), values, target, pred, stream, single, full)


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
    return int(min(n_threads, 1024))


def choice(name: str, value: Any, known: tuple[str, ...]) -> None:
    """Raise unless `value` is one of the words."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}, expected one of {', '.join(map(repr, known))}")
    if value not in known:
        raise ValueError(
            f"{name} is {value!r}, expected one of {', '.join(map(repr, known))}" + did_you_mean(value, known)
        )


def _bind(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """y_true and y_pred, by position or keyword; they are taken out of kwargs."""
    operands = dict(zip(("y_true", "y_pred"), args, strict=False))
    if len(args) > 2:
        raise TypeError(f"{name}() takes y_true and y_pred by position, all else by keyword; got {len(args)} arguments")
    for key in ("y_true", "y_pred"):
        if key in kwargs:
            if key in operands:
                raise TypeError(f"{name}() got {key} twice")
            operands[key] = kwargs.pop(key)
        elif key not in operands:
            raise TypeError(f"{name}() misses {key}")
    return operands["y_true"], operands["y_pred"]


def evaluate(loss: Loss, want: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a loss's methods return: the value (1), the gradient (2), the Hessian (4), or a tuple of some."""
    params = dict(kwargs)
    y_true, y_pred = _bind(loss.name, args, params)
    return _evaluate(loss, want, y_true, y_pred, **{k: params.pop(k) for k in _OPTIONS if k in params}, params=params)


def moments(
    loss: Loss,
    y_true: Any,
    y_pred: Any,
    *,
    sample_weight: Any = None,
    n_threads: Any = None,
    check: bool = True,
    **params: Any,
) -> tuple[Any, ...]:
    """What an accumulator adds to itself: see `_core.Kernel.moments`; without weights each element weighs 1."""
    nthreads = threads(n_threads)
    call = prepare(loss, y_true, y_pred, params)
    weight = None
    try:
        if sample_weight is not None:
            weight = _arrays.weights(sample_weight, call.pred.shape)
            weight_sum(weight, nthreads)
            weight = np.broadcast_to(weight, call.pred.shape)
        total, *rest = call.kernel.moments(
            call.single, call.target, call.pred, weight, call.stream, call.values, bool(check), nthreads
        )
    except DomainError as error:
        raise ValueError(_explanation(loss.declaration, error, call, sample_weight)) from None
    return (call.pred.size << EXACT_BITS if weight is None else total, *rest)


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
    choice("reduction", reduction, REDUCTIONS)
    choice("empty", empty, EMPTY)
    choice("hess", hess, ("exact", "boosting"))
    nthreads = threads(n_threads)
    call = prepare(loss, y_true, y_pred, params)
    shape, size = call.pred.shape, call.pred.size
    if reduction in ("sample", "batchmean") and not shape:
        raise ValueError(f"reduction={reduction!r} needs an array with a first axis, got a scalar")

    try:
        weight = None if sample_weight is None else _arrays.weights(sample_weight, shape)
        # Checked and summed before anything else is read or written; repeated weights only once.
        total = size if weight is None else weight_sum(weight, nthreads) * (size / weight.size if weight.size else 0)
        divisor = _divisor(reduction, float(total), shape, size)
        nothing = np.asarray(divisor == 0)
        if reduction == "sample":
            weight, nothing = _normalised_rows(weight, shape)
        if empty == "raise" and nothing.any():
            raise ValueError(f"reduction={reduction!r} of nothing: no elements, or all weights are 0")
        scale = 1.0 / divisor if divisor else 0.0
        results = _results(call, want, reduction, out, grad_dtype, weight)
        rows = np.zeros(shape[0]) if want & VALUE and reduction == "sample" else None
        total_loss = call.kernel.run(
            call.single,
            call.target,
            call.pred,
            None if weight is None else np.broadcast_to(weight, shape),
            call.stream,
            call.values,
            scale,
            results.get("value"),
            results.get("grad"),
            results.get("hess"),
            bool(want & VALUE) and reduction not in ("none", "sample"),
            rows if size else None,
            size // shape[0] if rows is not None and size else 0,
            bool(check),
            nthreads,
        )
    except DomainError as error:
        raise ValueError(_explanation(loss.declaration, error, call, sample_weight)) from None

    blank = 0.0 if empty == "zero" else np.nan
    if nothing.ndim == 0 and nothing:
        for key in results.keys() - {"value"}:
            results[key][...] = blank
    if want & HESS and hess == "boosting":
        _make_boosting(results["hess"], loss.declaration.boosting, weight, scale)
    answer: list[Any] = []
    if want & VALUE:
        if reduction == "none":
            answer.append(results["value"])
        elif reduction == "sample":
            value: Array = np.where(nothing, blank, np.asarray(rows)).astype(np.float32 if call.single else np.float64)
            given = _slot(out, want, "value")
            if given is not None:
                _arrays.result_array("out", given, value.shape, value.dtype, {})[...] = value
                value = given
            answer.append(value)
        else:
            answer.append(blank if nothing else total_loss / divisor if divisor != 1 else total_loss)
    answer += [results[key] for key in ("grad", "hess") if key in results]
    return answer[0] if len(answer) == 1 else tuple(answer)


def _divisor(reduction: str, total: float, shape: tuple[int, ...], size: int) -> float:
    """By what the sum is divided; 0 where there is nothing to take a mean of."""
    if reduction == "mean":
        return total
    if reduction == "sum_over_batch_size":
        return float(size)
    if reduction == "batchmean":
        return float(shape[0])
    return 1.0


def _normalised_rows(weight: Array | None, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Weights that add up to 1 in every entry of the first axis, and which entries have none."""
    length = int(np.prod(shape[1:]))
    if weight is None:
        return np.full((1,) * len(shape), 1.0 / length if length else 0.0), np.full(shape[0], length == 0)
    axes = tuple(range(1, len(shape)))
    sums = weight.sum(axis=axes, keepdims=True, dtype=np.float64) * (length / max(1, int(np.prod(weight.shape[1:]))))
    sums = np.broadcast_to(sums, (shape[0],) + (1,) * len(axes))
    with np.errstate(divide="ignore", invalid="ignore"):
        normalised = np.where(sums > 0, weight / sums, 0.0)
    return normalised, (sums == 0).reshape(-1)


def _slot(out: Any, want: int, key: str) -> Any:
    """The entry of `out` for a result."""
    keys = [k for k, bit in (("value", VALUE), ("grad", GRAD), ("hess", HESS)) if want & bit]
    if out is None:
        return None
    if len(keys) == 1:
        return out
    if not isinstance(out, tuple | list) or len(out) != len(keys):
        raise ValueError(f"out is {type(out).__name__}, expected a tuple of {len(keys)}: ({', '.join(keys)})")
    return out[keys.index(key)]


def _results(
    call: Call, want: int, reduction: str, out: Any, grad_dtype: Any, weight: Array | None
) -> dict[str, Array]:
    """The arrays to write, by name; the value is one of them with reduction="none" only."""
    reads = {"y_true": call.target, "y_pred": call.pred}
    if weight is not None:
        reads["sample_weight"] = weight
    if call.stream is not None:
        reads["a parameter"] = call.stream
    compute = np.dtype(np.float32 if call.single else np.float64)
    if grad_dtype is None:
        derivative = call.pred.dtype
    else:
        derivative = np.dtype(grad_dtype)
        if derivative.name not in _arrays.FLOATS:
            raise TypeError(f"grad_dtype is {derivative}, expected one of {', '.join(_arrays.FLOATS)}")
    results = {}
    for key, bit, dtype in (
        ("value", VALUE, compute),
        ("grad", GRAD, derivative),
        ("hess", HESS, derivative),
    ):
        if not want & bit:
            continue
        given = _slot(out, want, key)
        if key == "value" and reduction != "none":
            if given is not None and reduction != "sample":
                raise ValueError(f"out for the value must be None with reduction={reduction!r}: it is a Python float")
            continue
        results[key] = _arrays.result_array(f"out ({key})", given, call.pred.shape, dtype, reads)
    if out is not None:
        _arrays.distinct({f"out ({k})": a for k, a in results.items()})
    return results


def _make_boosting(hess: Array, kind: str, weight: Array | None, scale: float) -> None:
    """Positive second derivatives, for gradient boosting: 1, or a floor, times weight and scale."""
    factor = scale if weight is None else weight.astype(np.float64) * scale
    if kind == "one":
        hess[...] = factor
    else:
        np.maximum(hess, np.multiply(factor, BOOSTING_FLOOR), out=hess, casting="same_kind")


def _explanation(declaration: Declaration, error: DomainError, call: Call, sample_weight: Any) -> str:
    """The sentence for an element outside the domain."""
    array: Array | None
    if error.operand == "weight":
        w = _arrays.weights(sample_weight, call.pred.shape)
        name, array, index = "sample_weight", w, np.unravel_index(error.index, w.shape)
        index = index[: np.ndim(sample_weight)]
        array, expected = w.reshape(np.shape(sample_weight)), "a finite number of at least 0"
    else:
        name = {"target": "y_true", "pred": "y_pred"}.get(error.operand, str(declaration.stream))
        array = {"target": call.target, "pred": call.pred}.get(error.operand, call.stream)
        index = np.unravel_index(error.index, call.pred.shape)
        expected = expectation(declaration, error.operand, call)
    value = np.asarray(array)[index]
    shown = float(value) if np.asarray(array).dtype.kind == "f" or is_bfloat16(np.asarray(array).dtype) else value
    return f"{name}{position(index)} is {shown}, expected {expected}"


def expectation(declaration: Declaration, operand: str, call: Call) -> str:
    """What an operand must be, with a hint at the usual mistake."""
    if operand == "stream":
        return str(declaration.stream_domain)
    domain = (declaration.target if operand == "target" else declaration.pred)(**call.params)
    if domain == _loss.UNIT and operand == "pred":
        hint = " (for logits pass from_logits=True;" if "from_logits" in declaration.params else " ("
        return f"a probability {domain}{hint} are y_true and y_pred swapped?)"
    if operand == "target" and domain != _loss.ANY:
        return f"{domain} (are y_true and y_pred swapped?)"
    return str(domain)
