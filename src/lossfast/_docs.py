"""Docstrings of the losses: what a specification says of itself, with the parameters that all losses share."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

POINTWISE = """\
y_true : array_like
    Targets of any bool, integer or float dtype, {target}.
y_pred : array_like
    Predictions of the same shape, {pred} (unless a parameter says otherwise); float16, bfloat16, float32 or
    float64, and anything else is taken as float64.
sample_weight : array_like, optional
    Non-negative weights: a number, or an array of the shape of `y_pred` or of leading axes of it.
reduction : {{"mean", "sum", "none", "sample", "sum_over_batch_size", "batchmean"}}
    ``"mean"`` is sum(w l) / sum(w); ``"none"`` gives an array of w l, ``"sample"`` the mean for each entry of the first
    axis; ``"sum_over_batch_size"`` divides the sum by the number of elements, ``"batchmean"`` by the first axis.
out : ndarray or tuple, optional
    Where to write: an array for one result, a tuple with an entry (or None) for each of several.
grad_dtype : dtype, optional
    Dtype of new gradient and Hessian arrays, by default that of `y_pred`.
n_threads : int, optional
    By default what `lossfast.set_num_threads` says.  No number of threads changes a bit of the result.
hess : {{"exact", "boosting"}}
    ``"boosting"`` makes the Hessian positive, for gradient boosting: {boosting}.
empty : {{"zero", "nan", "raise"}}
    What the mean of nothing is (no elements, or all weights 0).
check : bool
    False skips the check that targets and predictions are in the loss's domain, which costs a second reading of them;
    results for elements outside it are then meaningless."""

CLASSWISE = """\
y_true : array_like
    Of any bool, integer or float dtype: {target}.
y_pred : array_like
    Predictions with a class axis of length C, {pred} (unless a parameter says otherwise); float16, bfloat16, float32
    or float64, and anything else is taken as float64.
sample_weight : array_like, optional
    Non-negative weights: a number, or an array of the shape of `y_pred` without its class axis, or of leading axes of
    that.
reduction : {{"mean", "sum", "none", "sample", "sum_over_batch_size", "batchmean"}}
    ``"mean"`` is sum(w l) / sum(w); ``"none"`` gives an array of w l, one for each row of classes, ``"sample"`` the
    mean for each entry of the first axis; ``"sum_over_batch_size"`` divides the sum by the number of rows,
    ``"batchmean"`` by the number of entries of the first axis.
out : ndarray or tuple, optional
    Where to write: an array for one result, a tuple with an entry (or None) for each of several.  It may be `y_pred`.
grad_dtype : dtype, optional
    Dtype of new gradient and Hessian arrays, by default that of `y_pred`.
n_threads : int, optional
    By default what `lossfast.set_num_threads` says.  No number of threads changes a bit of the result.
hess : {{"exact", "boosting"}}
    ``"boosting"`` makes the Hessian positive, for gradient boosting: {boosting}.
empty : {{"zero", "nan", "raise"}}
    What the mean of nothing is (no rows, all ignored, or all weights 0).
check : bool
    False skips the check of targets of the shape of `y_pred`, and of probabilities, which costs a second reading of
    them; results for elements outside the domain are then meaningless.  Labels are always checked."""

REGION = """\
y_true : array_like
    Of any bool, integer or float dtype: {target}.  Masks may be soft.
y_pred : array_like
    Predictions of shape (samples, ...) with a class axis of length C among them, {pred} (with an `activation`: logits);
    float16, bfloat16, float32 or float64, and anything else is taken as float64.
sample_weight : array_like, optional
    Non-negative weights of the items that `reduce_over` makes: a number, or an array of their shape or of leading axes
    of it.
reduction : {{"mean", "sum", "none", "sample", "sum_over_batch_size", "batchmean"}}
    ``"mean"`` is sum(w l) / sum(w) over the items, w being the sample weight times the class weight; ``"none"`` gives
    an array of w l, ``"sample"`` the mean for each sample; ``"sum_over_batch_size"`` divides the sum by the number of
    items, ``"batchmean"`` by that of the samples.
out : ndarray or tuple, optional
    Where to write: an array for one result, a tuple with an entry (or None) for each of several.  It may be `y_pred`.
grad_dtype : dtype, optional
    Dtype of a new gradient array, by default that of `y_pred`.
n_threads : int, optional
    By default what `lossfast.set_num_threads` says.  No number of threads changes a bit of the result.
check : bool
    False skips the check of masks and of probabilities, which costs a second reading of them; results for elements
    outside [0, 1] are then meaningless.  Labels are always checked."""

BOOSTING = {
    "one": "1 times weight and scale",
    "floor": "at least 1e-16 times weight and scale",
    "twice": "twice the exact diagonal, as XGBoost's multi:softprob, and at least 1e-16 times weight and scale",
}

SECTIONS = ("Parameters", "Returns", "Raises", "See Also", "Notes", "References", "Examples")


def _indent(text: str) -> str:
    return "\n".join("    " + line if line else line for line in text.splitlines())


def docstring(
    written: str, formula: str, params: Mapping[str, Any], shared: str, target: str, pred: str, boosting: str
) -> dict[str, Any]:
    """`__doc__` and `__signature__` of a loss's class."""
    written = inspect.cleandoc(written)
    starts = [at for section in SECTIONS if (at := written.find(f"\n{section}\n---")) >= 0]
    head, tail = (written[: min(starts)], written[min(starts) :]) if starts else (written, "")
    own = "\n".join(f"{k} : {_type(p)}, default {p.default!r}\n{_indent(p.doc)}" for k, p in params.items())
    shared = shared.format(target=target, pred=pred, boosting=BOOSTING[boosting])
    text = f"""{head.rstrip()}

    value = {formula}

Parameters
----------
{shared}
{own}

Returns
-------
float or ndarray
    The value; ``.grad``, ``.hess``, ``.value_and_grad``, ``.grad_and_hess`` and ``.value_grad_hess`` take the same
    arguments and return the derivatives of the reduced value by `y_pred`, in the shape of `y_pred`.

Raises
------
ValueError
    For shapes that differ, elements outside the domain, and bad parameters, with the first bad position and value.
TypeError
    For arrays that do not hold numbers.
{tail}"""
    keywords = [inspect.Parameter(k, inspect.Parameter.KEYWORD_ONLY, default=p.default) for k, p in params.items()]
    return {"__doc__": text.rstrip() + "\n", "__signature__": inspect.Signature(keywords)}


def _type(param: Any) -> str:
    if param.kind is tuple:
        return "float or tuple"
    if param.choices:
        return "{" + ", ".join(f'"{c}"' for c in param.choices) + "}"
    if param.per_class and not param.scalar:
        return "array_like"
    return f"{param.kind.__name__} or array_like" if param.array or param.per_class else str(param.kind.__name__)
