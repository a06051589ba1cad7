"""Scoring detectors: the overlap of every box with every other, and non-maximum suppression."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossfast import _arrays, _loss
from lossfast._arrays import Array, position
from lossfast._box import FORMATS, Columns, box_kernel, columns_of
from lossfast._declarations import Box
from lossfast._evaluate import choice, threads
from lossfast._loss import REGISTRY

KINDS = ("iou", "giou", "diou", "ciou", "siou")


def _box_array(name: str, given: Any) -> tuple[Columns, dict[str, Array], np.dtype[Any]]:
    """Columns of boxes of shape (n, 4), what there is of them in memory, and the dtype of their arithmetic."""
    columns, memory = columns_of(name, given)
    if columns[0].ndim != 1:
        raise ValueError(f"{name} has shape {(*columns[0].shape, 4)}, expected (boxes, 4), or four columns of one axis")
    double = any(x.dtype.kind in "biu" or x.dtype == np.float64 for x in columns)
    return columns, memory, np.dtype(np.float64 if double else np.float32)


def pairwise_iou(
    boxes1: Any,
    boxes2: Any,
    *,
    format: str = "xyxy",
    kind: str = "iou",
    eps: float = 0.0,
    out: Any = None,
    n_threads: int | None = None,
) -> Array:
    """Overlap of every box of one array with every box of another: IoU, or the similarity of another loss of boxes.

    Parameters
    ----------
    boxes1, boxes2 : array_like or tuple of four arrays
        Boxes of shapes (n, 4) and (m, 4), or their four columns; float16, bfloat16, float32 or float64, and anything
        else is taken as float64.
    format : {"xyxy", "xywh", "cxcywh"}
        What the four numbers of a box are: edges x1, y1, x2, y2; x1, y1, width and height; centre, width and height.
    kind : {"iou", "giou", "diou", "ciou", "siou"}
        The similarity is 1 minus the loss of that name: ``"giou"`` is IoU - (C - U) / C, C the area of the smallest box
        around both, ``"diou"`` IoU less the squared distance of the centres by the squared diagonal of that box.
    eps : float
        Added to denominators.  What is divided by 0 is 0; only the same box twice has IoU 1 even if it has no area.
    out : ndarray, optional
        Where to write, of shape (n, m).
    n_threads : int, optional
        By default what `lossfast.set_num_threads` says.  No number of threads changes a bit of the result.

    Returns
    -------
    ndarray
        Of shape (n, m), in float64 if there are float64 or integer boxes, else in float32.

    Raises
    ------
    ValueError
        For arrays that are no boxes and bad parameters.
    TypeError
        For arrays that do not hold numbers.

    See Also
    --------
    nms : the boxes that no better one overlaps.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.pairwise_iou([[0.0, 0.0, 2.0, 2.0]], [[1.0, 0.0, 3.0, 2.0], [5.0, 5.0, 6.0, 6.0]]).round(6)
    array([[0.333333, 0.      ]])
    """
    choice("kind", kind, KINDS)
    choice("format", format, FORMATS)
    declaration = REGISTRY[kind].declaration
    assert isinstance(declaration, Box)
    eps = declaration.params["eps"].checked("eps", 0.0 if eps is None else eps)
    first, reads, dtype = _box_array("boxes1", boxes1)
    second, more, other = _box_array("boxes2", boxes2)
    dtype = max(dtype, other)  # the wider
    result = _arrays.result_array("out", out, (len(first[0]), len(second[0])), dtype, reads | more, ())
    kernel = box_kernel(declaration)
    kernel.pairwise(dtype == np.float32, first, second, FORMATS.index(format), eps, result, threads(n_threads))
    return result


def nms(
    boxes: Any,
    scores: Any,
    *,
    iou_threshold: float = 0.5,
    class_ids: Any = None,
    score_threshold: float | None = None,
    max_output: int | None = None,
    format: str = "xyxy",
    n_threads: int | None = None,
) -> Array:
    """Non-maximum suppression: the boxes that overlap none with a higher score too much.

    From the highest score to the lowest, a box is kept unless its IoU with one that is kept is above `iou_threshold`.

    Parameters
    ----------
    boxes : array_like or tuple of four arrays
        Finite boxes of shape (n, 4), or their four columns; float32 arithmetic unless there is a float64 among them.
    scores : array_like
        One for each box; of equal ones the first counts as the higher.
    iou_threshold : float
        From 0 to 1.
    class_ids : array_like of int, optional
        One for each box: boxes of different classes do not suppress each other.
    score_threshold : float, optional
        Only boxes with a score above it are looked at.
    max_output : int, optional
        How many boxes are kept at most, of all classes together.
    format : {"xyxy", "xywh", "cxcywh"}
        What the four numbers of a box are: edges x1, y1, x2, y2; x1, y1, width and height; centre, width and height.
    n_threads : int, optional
        By default what `lossfast.set_num_threads` says.  No number of threads changes what is kept.

    Returns
    -------
    ndarray of int64
        Where the kept boxes stand in `boxes`, by falling score.

    Raises
    ------
    ValueError
        For arrays that are no boxes, boxes that are not finite, scores that are NaN, and bad parameters, with the first
        bad position and value.
    TypeError
        For arrays that do not hold numbers.

    See Also
    --------
    pairwise_iou : the overlap of all pairs.

    Notes
    -----
    It keeps what torchvision.ops.nms and batched_nms keep, and of equal scores the first.  A box without an area has
    the IoU 0 with every other, also with its like: it is kept.  Memory grows with the boxes, not with their pairs.

    Examples
    --------
    >>> import lossfast as lf
    >>> boxes = [[0.0, 0.0, 2.0, 2.0], [0.1, 0.0, 2.1, 2.0], [5.0, 5.0, 6.0, 6.0]]
    >>> lf.nms(boxes, [0.8, 0.9, 0.3], iou_threshold=0.5)
    array([1, 2])
    """
    choice("format", format, FORMATS)
    threshold = _number("iou_threshold", iou_threshold)
    if not 0 <= threshold <= 1:
        raise ValueError(f"iou_threshold is {threshold!r}, expected a number in [0, 1]")
    if max_output is not None and (isinstance(max_output, bool) or not isinstance(max_output, int | np.integer)):
        raise TypeError(f"max_output is {max_output!r}, expected an integer or None")
    if max_output is not None and max_output < 0:
        raise ValueError(f"max_output is {max_output}, expected at least 0")
    columns, _, dtype = _box_array("boxes", boxes)
    n = len(columns[0])
    score = _one_each("scores", scores, n)
    classes = None if class_ids is None else _one_each("class_ids", class_ids, n)
    if classes is not None and classes.dtype.kind not in "biu":
        raise TypeError(f"class_ids has dtype {classes.dtype}, expected integers")
    if score.dtype.kind not in "biu":
        score = score.astype(np.float64)
        _refuse("scores", score, np.isnan(score), "a number")
    numbers = np.stack([x.astype(dtype) for x in columns], axis=-1)
    _refuse("boxes", numbers, ~np.isfinite(numbers).all(axis=-1), "four finite numbers")

    falling = ~score if score.dtype.kind in "biu" else -score  # neither overflows
    order = np.arange(n)
    if score_threshold is not None:
        order = np.flatnonzero(score > _number("score_threshold", score_threshold))
    keys = (falling[order],) if classes is None else (falling[order], classes[order])
    order = order[np.lexsort(keys)]
    starts = np.array([0, len(order)], np.int64)
    if classes is not None:
        changes = np.flatnonzero(classes[order][1:] != classes[order][:-1]) + 1
        starts = np.concatenate([[0], changes, [len(order)]]).astype(np.int64)
    keep = np.empty(len(order), bool)
    run = _loss._core.nms if _loss._core is not None else _numpy_nms
    most = n if max_output is None else min(n, int(max_output))
    sorted_boxes = list(numbers[order].T)
    run(dtype == np.float32, sorted_boxes, FORMATS.index(format), starts, threshold, most, keep, threads(n_threads))
    kept = order[keep]
    if classes is not None:
        kept = kept[np.lexsort((kept, falling[kept]))]
    return kept[:max_output].astype(np.int64, copy=False)


def _numpy_nms(*args: Any) -> None:
    from lossfast._numpy_box import nms

    nms(*args)


def _number(name: str, x: Any) -> float:
    if isinstance(x, bool | np.bool_) or not isinstance(x, int | float | np.integer | np.floating):
        raise TypeError(f"{name} is {x!r}, expected a number")
    if np.isnan(x):
        raise ValueError(f"{name} is {x!r}, expected a number")
    return float(x)


def _one_each(name: str, x: Any, n: int) -> Array:
    array = _arrays.as_array(name, x)
    if array.shape != (n,):
        raise ValueError(f"{name} has shape {array.shape}, expected ({n},): one for each box")
    return array


def _refuse(name: str, x: Array, bad: Array, expected: str) -> None:
    if bad.any():
        at = int(bad.argmax())
        raise ValueError(f"{name}{position((at,))} is {x[at].tolist()}, expected {expected}")
