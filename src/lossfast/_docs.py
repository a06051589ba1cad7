"""Docstrings of the losses: what a specification says of itself, with the parameters that all losses share."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple


class Shared(NamedTuple):
    """What the losses of a family have in common: sections of their docstrings."""

    parameters: str
    returns: str


DERIVATIVES = """\
float or ndarray
    The value; ``.grad``, ``.hess``, ``.value_and_grad``, ``.grad_and_hess`` and ``.value_grad_hess`` take the same
    arguments and return the derivatives of the reduced value by `y_pred`, in the shape of `y_pred`."""

POINTWISE = Shared(
    """\
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
    results for elements outside it are then meaningless.""",
    DERIVATIVES,
)

CLASSWISE = Shared(
    """\
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
    them; results for elements outside the domain are then meaningless.  Labels are always checked, and a NaN among
    the probabilities of a row makes it NaN.""",
    DERIVATIVES,
)

SEQUENCE = Shared(
    """\
labels : array_like of int
    Labels, {target}: padded to (samples, labels), or those of all samples one
    after another in one axis, which needs `label_lengths`; (labels,) for one sample.  Only those within the lengths
    are looked at, and always checked.
logits : array_like
    Predictions, {pred} (unless a parameter says otherwise), or (frames, C) for one
    sample; float16, bfloat16, float32 or float64, and anything else is taken as float64.
label_lengths, logit_lengths : array_like of int, optional
    How many labels and how many frames each sample has, by default all.  What is beyond has no influence, and a
    gradient of 0.
sample_weight : array_like, optional
    Non-negative weights: a number, or one for each sample.
reduction : {{"mean", "sum", "none", "target_mean", "sample", "sum_over_batch_size", "batchmean"}}
    ``"mean"`` is sum(w l) / sum(w); ``"none"`` gives an array of w l, one for each sample; ``"target_mean"`` is the
    mean of l / max(1, number of labels), as torch's ``"mean"``; ``"sum_over_batch_size"`` and ``"batchmean"`` divide
    the sum by the number of samples; ``"sample"`` gives an array of l.
out : ndarray or tuple, optional
    Where to write: an array for one result, a tuple with an entry (or None) for each of several.  It may be `logits`.
grad_dtype : dtype, optional
    Dtype of a new gradient array, by default that of `logits`.
n_threads : int, optional
    By default what `lossfast.set_num_threads` says.  No number of threads changes a bit of the result.
empty : {{"zero", "nan", "raise"}}
    What the mean of nothing is (no samples, or all weights 0).
full_output : bool
    Also return, last, an array with False for each sample that no path through its frames can give.""",
    """\
float or ndarray
    The value; ``.grad`` and ``.value_and_grad`` take the same arguments and return the gradient of the reduced value
    by `logits`, in their shape and dtype.  There is no Hessian.""",
)

_VECTOR_OPTIONS = """\
sample_weight : array_like, optional
    Non-negative weights: a number, or an array of the shape of the items or of leading axes of it.
reduction : {{"mean", "sum", "none", "sample", "sum_over_batch_size", "batchmean"}}
    ``"mean"`` is sum(w l) / sum(w) over the items; ``"none"`` gives an array of w l, ``"sample"`` the mean for each
    entry of the first axis; ``"sum_over_batch_size"`` divides the sum by the number of items, ``"batchmean"`` by the
    first axis.
out : ndarray or tuple, optional
    Where to write: an array for one result, a tuple with an entry (or None) for each of several:
    ``(None, gradient, ...)``.
grad_dtype : dtype, optional
    Dtype of new gradient arrays, by default that of the operand.
n_threads : int, optional
    By default what `lossfast.set_num_threads` says.  No number of threads changes a bit of the result.
empty : {{"zero", "nan", "raise"}}
    What the mean of nothing is (no items, or all weights 0)."""

_FLOATS = "float16, bfloat16, float32 or float64, and anything else is taken as float64"


def _of_operands(words: str, returned: str) -> Shared:
    """Of the losses of distances, from what is said of their operands."""
    return Shared(
        f"{words}\n{_VECTOR_OPTIONS}",
        f"""\
float or ndarray
    The value; ``.grad`` and ``.value_and_grad`` take the same arguments and return the gradient of the reduced value
    by {returned}.  There is no Hessian.""",
    )


EMBEDDING = {
    ("y_true", "y_pred"): _of_operands(
        f"""\
y_true : array_like
    Target vectors, of any bool, integer or float dtype.
y_pred : array_like
    Predicted vectors of the same shape; {_FLOATS}.  An item
    is a vector: items have the shape without its axis.""",
        "`y_pred`, in its shape, or the tuple of those by `y_true` and `y_pred`",
    ),
    ("same", "x1", "x2"): _of_operands(
        f"""\
same : array_like
    For each item whether its two vectors should be alike: {{target}}; 1 says so, -1 and 0 that they should not.
x1, x2 : array_like
    Vectors along the last axis, of equal shapes; {_FLOATS}.
    An item is a pair of vectors.""",
        "`x1` and `x2`: a tuple",
    ),
    ("y_true", "x1", "x2"): _of_operands(
        f"""\
y_true : array_like
    For each item {{target}}: whether `x1` should be the higher score (1), or `x2` (-1 or 0).
x1, x2 : array_like
    Scores of the shape of `y_true`; {_FLOATS}.
    An item is a pair of scores.""",
        "`x1` and `x2`: a tuple",
    ),
    ("labels", "embeddings"): _of_operands(
        f"""\
labels : array_like of int
    One for each vector, {{target}}.
embeddings : array_like
    {{pred}}; {_FLOATS}.
    They are divided by their length.  An item is an anchor: a vector, against all others.""",
        "`embeddings`, in their shape",
    ),
    ("anchors", "positives"): _of_operands(
        f"""\
anchors, positives : array_like
    {{target}}, of equal shapes; {_FLOATS}.
    An item is an anchor; its positive is in the same row.""",
        "`anchors` and `positives`: a tuple",
    ),
    ("anchor", "positive", "negative"): _of_operands(
        f"""\
anchor, positive, negative : array_like
    Vectors along the last axis, of equal shapes; {_FLOATS}.
    An item is a vector of each.""",
        "`anchor`, `positive` and `negative`: a tuple",
    ),
}

_X = f"""\
x : array_like
    {{target}}, of any bool, integer or float dtype.
x_hat : array_like
    What has been made of them, of the same shape; {_FLOATS}."""
_MU = f"""\
mu, logvar : array_like
    Means and logarithms of variances of normal distributions, of equal shapes (samples, ...);
    {_FLOATS}."""
_SAMPLES = "\n    An item is a sample, an entry of the first axis"

SAMPLE = {
    ("x", "x_hat"): _of_operands(
        f'{_X}{_SAMPLES}; with ``per="element"`` an element.', "`x_hat`, in its shape; `x` has none"
    ),
    ("mu", "logvar"): _of_operands(f"{_MU}{_SAMPLES}.", "`mu` and `logvar`: a tuple"),
    ("x", "x_hat", "mu", "logvar"): _of_operands(
        f"{_X}\n{_MU}{_SAMPLES}, of which `mu` has as many as `x`.", "`x_hat`, `mu` and `logvar`: a tuple"
    ),
}
MINING = _of_operands(
    f"""\
labels : array_like of int
    One for each vector, {{target}}.
embeddings : array_like
    {{pred}}; {_FLOATS}.
    An item is an anchor: a vector, with positives (others with its label) and negatives (those without).
full_output : bool
    Also return, last, an array of how many triplets of each anchor have a loss above 0.""",
    "`embeddings`, in their shape",
)

RANKING = Shared(
    """\
y_true : array_like
    Relevance of the items, of any bool, integer or float dtype: {target}.
y_pred : array_like
    Predictions of the same shape, {pred}; float16, bfloat16, float32 or float64, and anything else is taken as float64.
groups : array_like of int, optional
    For items in one axis: which group each is in, as the ids of queries.  Items of a group need not stand together;
    groups are in the order of their ids.
group_sizes : array_like of int, optional
    Instead: how many items each group has, one group after another.  With neither, the items along the last axis are a
    group.
where : array_like of bool, optional
    False for items that are left out as if they were not there; their derivatives are 0.
sample_weight : array_like, optional
    Non-negative weights of the groups: a number, or one for each.
reduction : {{"mean", "sum", "none", "sample", "sum_over_batch_size", "batchmean"}}
    ``"mean"`` is sum(w l) / sum(w n), with the number n of what a group counts for: see Notes; ``"none"`` gives an
    array of w l, one for each group, ``"sample"`` the mean for each entry of its first axis;
    ``"sum_over_batch_size"`` divides the sum by the number of groups, ``"batchmean"`` by the first axis of theirs.
out : ndarray or tuple, optional
    Where to write: an array for one result, a tuple with an entry (or None) for each of several.
grad_dtype : dtype, optional
    Dtype of new gradient and Hessian arrays, by default that of `y_pred`.
n_threads : int, optional
    By default what `lossfast.set_num_threads` says.  No number of threads changes a bit of the result.
hess : {{"exact", "boosting"}}
    ``"boosting"`` makes the Hessian positive, for gradient boosting: {boosting}.
empty : {{"zero", "nan", "raise"}}
    What the mean of nothing is (nothing that counts, or all weights 0).""",
    DERIVATIVES,
)

REGION = Shared(
    """\
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
    outside [0, 1] are then meaningless.  Labels are always checked.""",
    """\
float or ndarray
    The value; ``.grad`` and ``.value_and_grad`` take the same arguments and return the gradient of the reduced value
    by `y_pred`, in its shape.  There is no Hessian.""",
)

BOX = Shared(
    """\
boxes_true : array_like or tuple of four arrays
    True boxes, {target}: an array of shape (..., 4), or its four columns.
boxes_pred : array_like or tuple of four arrays
    Predicted boxes of the same shape; float16, bfloat16, float32 or float64, and anything else is taken as float64.
sample_weight : array_like, optional
    Non-negative weights: a number, or an array of the shape of the boxes without its last axis, or of leading axes of
    that.
reduction : {{"mean", "sum", "none", "sample", "sum_over_batch_size", "batchmean"}}
    ``"mean"`` is sum(w l) / sum(w); ``"none"`` gives an array of w l, one for each pair of boxes, ``"sample"`` the mean
    for each entry of the first axis; ``"sum_over_batch_size"`` divides the sum by the number of pairs, ``"batchmean"``
    by the first axis.
out : ndarray or tuple, optional
    Where to write: an array for one result (for the gradient by four columns a tuple of four), a tuple with an entry
    (or None) for each of several.  It may be `boxes_pred`.
grad_dtype : dtype, optional
    Dtype of new gradient arrays, by default that of `boxes_pred`.
n_threads : int, optional
    By default what `lossfast.set_num_threads` says.  No number of threads changes a bit of the result.
empty : {{"zero", "nan", "raise"}}
    What the mean of nothing is (no boxes, or all weights 0).
check : bool or "raise"
    ``"raise"`` refuses boxes whose width or height is not positive and finite, and names the first one.  Otherwise any
    box has a finite loss and gradient: an extent below 0 counts as 0.""",
    """\
float or ndarray
    The value; ``.grad`` and ``.value_and_grad`` take the same arguments and return the gradient of the reduced value
    by `boxes_pred`, in its shape, or a tuple of four columns if that is one.  There is no Hessian.""",
)

BOOSTING = {
    "one": "1 times weight and scale",
    "floor": "at least 1e-16 times weight and scale",
    "twice": "twice the exact diagonal, as XGBoost's multi:softprob, and at least 1e-16 times weight and scale",
}

SECTIONS = ("Parameters", "Returns", "Raises", "See Also", "Notes", "References", "Examples")


def _indent(text: str) -> str:
    return "\n".join("    " + line if line else line for line in text.splitlines())


def docstring(
    written: str, formula: str, params: Mapping[str, Any], shared: Shared, target: str, pred: str, boosting: str
) -> dict[str, Any]:
    """`__doc__` and `__signature__` of a loss's class."""
    written = inspect.cleandoc(written)
    starts = [at for section in SECTIONS if (at := written.find(f"\n{section}\n---")) >= 0]
    head, tail = (written[: min(starts)], written[min(starts) :]) if starts else (written, "")
    own = "\n".join(f"{k} : {_type(p)}, default {p.default!r}\n{_indent(p.doc)}" for k, p in params.items())
    first = shared.parameters.format(target=target, pred=pred, boosting=BOOSTING.get(boosting, ""))
    text = f"""{head.rstrip()}

    value = {formula}

Parameters
----------
{first}
{own}

Returns
-------
{shared.returns}

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
