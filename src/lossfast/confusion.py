"""Hard scores of segmentations: confusion counts of label maps and masks, and Dice and IoU of each class from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from lossfast import _arrays, _loss, _numpy_region
from lossfast._arrays import Array
from lossfast._errors import DomainError
from lossfast._evaluate import Fault, threads

_confusion: Any = (_numpy_region if _loss._core is None else _loss._core).confusion

MOST_CLASSES = 4096
STATE_VERSION = 1


class ConfusionSummary(NamedTuple):
    """What `ConfusionMatrix.result` says; arrays have an element for each class."""

    count: int  # type: ignore[assignment]
    true_positives: Array
    false_positives: Array
    false_negatives: Array
    dice: Array
    iou: Array
    precision: Array
    recall: Array
    mean_dice: float
    mean_iou: float
    accuracy: float


class ConfusionMatrix:
    """Confusion counts of segmentations that come piece by piece, in exact integers, and the scores of each class.

    Parameters
    ----------
    classes : int
        How many there are, at most 4096.
    axis : int, optional
        The class axis of masks, of which a position may belong to several classes or to none; None: label maps, of
        which it belongs to one.
    ignore_index : int, optional
        Elements with this target are left out, whatever is predicted there.

    Attributes
    ----------
    matrix : ndarray of int64
        Of label maps, shape (classes, classes): how many positions of the class of the row are predicted to be of the
        class of the column.  Of masks, shape (classes, 2, 2): for each class [[true negatives, false positives],
        [false negatives, true positives]].

    Notes
    -----
    Dice = 2 TP / (2 TP + FP + FN), IoU = TP / (TP + FP + FN), precision = TP / (TP + FP), recall = TP / (TP + FN).  A
    score is NaN where it is 0 / 0: Dice and IoU for a class that neither is there nor is predicted.  The means leave
    such classes out, and are NaN if there are no others.

    Examples
    --------
    >>> import lossfast as lf
    >>> scores = lf.ConfusionMatrix(3, ignore_index=255)
    >>> scores.update([[0, 1, 1, 255]], [[0, 1, 0, 2]])
    >>> scores.update([[0, 0]], [[0, 0]])
    >>> scores.matrix.tolist()
    [[3, 0, 0], [1, 1, 0], [0, 0, 0]]
    >>> scores.result().iou
    array([0.75, 0.5 ,  nan])
    >>> round(scores.result().mean_dice, 6), scores.result().accuracy
    (0.761905, 0.8)
    """

    def __init__(self, classes: int, *, axis: int | None = None, ignore_index: int | None = None) -> None:
        self.classes = _integer("classes", classes)
        if not 1 <= self.classes <= MOST_CLASSES:
            raise ValueError(f"classes is {classes}, expected from 1 to {MOST_CLASSES}")
        self.axis = None if axis is None else _integer("axis", axis)
        self.ignore_index = None if ignore_index is None else _integer("ignore_index", ignore_index)
        if self.ignore_index is not None and not -(2**63) <= self.ignore_index < 2**63:
            raise ValueError(f"ignore_index is {ignore_index}, expected an integer of 64 bits")
        self.matrix = self._zeros()

    def _zeros(self) -> Array:
        return np.zeros((self.classes, self.classes) if self.axis is None else (self.classes, 2, 2), np.int64)

    def update(self, y_true: Any, y_pred: Any, *, n_threads: int | None = None) -> None:
        """Take in more positions; after an error the counts are as they were before.

        Parameters
        ----------
        y_true, y_pred : array_like
            Of equal shapes and any dtype: classes in [0, classes), or masks of 0 and 1 with the class axis `axis`.
        n_threads : int, optional
            By default what `lossfast.set_num_threads` says.

        Raises
        ------
        ValueError
            For shapes that differ, and for an element that is no class or is neither 0 nor 1, of which the first is
            named.
        """
        nthreads = threads(n_threads)
        t, p = _arrays.as_array("y_true", y_true), _arrays.as_array("y_pred", y_pred)
        if t.shape != p.shape:
            hint = "; scores of classes become labels by argmax" if self.axis is None and p.ndim == t.ndim + 1 else ""
            raise ValueError(f"y_true has shape {t.shape} and y_pred {p.shape}, expected equal shapes{hint}")
        found = self._zeros()
        if self.axis is None:
            self._count(t, p, found, nthreads, ())
        else:
            if not -t.ndim <= self.axis < t.ndim:
                raise ValueError(f"axis is {self.axis}, expected an axis of y_true, in [{-t.ndim}, {t.ndim})")
            if t.shape[self.axis] != self.classes:
                raise ValueError(f"y_true has shape {t.shape}, expected {self.classes} classes along axis {self.axis}")
            t, p = np.moveaxis(t, self.axis, 0), np.moveaxis(p, self.axis, 0)
            for k in range(self.classes):
                self._count(t[k, ...], p[k, ...], found[k], nthreads, (k,))
        self.matrix += found

    def _count(self, t: Array, p: Array, counts: Array, nthreads: int, of_class: tuple[int, ...]) -> None:
        try:
            _confusion(t, p, len(counts), self.ignore_index, counts, nthreads)
        except DomainError as error:
            name, array = ("y_true", t) if error.operand == "target" else ("y_pred", p)
            at: tuple[Any, ...] = np.unravel_index(error.index, array.shape)
            value = array[at]
            expected = f"a class in [0, {self.classes})"
            if self.axis is not None:
                k = self.axis % (t.ndim + 1)
                at = (*at[:k], *of_class, *at[k:])
                expected = "0 or 1 (a threshold turns probabilities into masks)"
            or_ignored = " or ignore_index" if name == "y_true" and self.ignore_index is not None else ""
            raise ValueError(str(Fault(name, at, value, expected + or_ignored))) from None

    def merge(self, other: ConfusionMatrix) -> None:
        """Take in all that another of the same classes has seen."""
        if not isinstance(other, ConfusionMatrix):
            raise TypeError(f"other is {other!r}, expected a ConfusionMatrix")
        if other.classes != self.classes or (other.axis is None) != (self.axis is None):
            raise ValueError(f"other is {other!r}, expected the same of {self!r}")
        self.matrix += other.matrix

    def result(self) -> ConfusionSummary:
        """Counts and scores of each class, means over the classes that occur, and the share of what is right."""
        if self.axis is None:
            hits = self.matrix.diagonal().copy()
            false_positives, false_negatives = self.matrix.sum(axis=0) - hits, self.matrix.sum(axis=1) - hits
            right = int(hits.sum())
        else:
            hits, false_positives, false_negatives = (self.matrix[:, i, j].copy() for i, j in ((1, 1), (0, 1), (1, 0)))
            right = int(hits.sum() + self.matrix[:, 0, 0].sum())
        count = int(self.matrix.sum())
        dice = _ratios(2 * hits, 2 * hits + false_positives + false_negatives)
        iou = _ratios(hits, hits + false_positives + false_negatives)
        return ConfusionSummary(
            count=count,
            true_positives=hits,
            false_positives=false_positives,
            false_negatives=false_negatives,
            dice=dice,
            iou=iou,
            precision=_ratios(hits, hits + false_positives),
            recall=_ratios(hits, hits + false_negatives),
            mean_dice=_mean(dice),
            mean_iou=_mean(iou),
            accuracy=right / count if count else float("nan"),
        )

    def state(self) -> dict[str, Any]:
        """All that it holds, as plain data that JSON keeps without loss; `from_state` turns it back."""
        return {
            "version": STATE_VERSION,
            "classes": self.classes,
            "axis": self.axis,
            "ignore_index": self.ignore_index,
            "matrix": self.matrix.tolist(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ConfusionMatrix:
        """A confusion matrix from what `state` returned.

        Examples
        --------
        >>> import json
        >>> import lossfast as lf
        >>> scores = lf.ConfusionMatrix(2)
        >>> scores.update([0, 1], [1, 1])
        >>> lf.ConfusionMatrix.from_state(json.loads(json.dumps(scores.state()))) == scores
        True
        """
        if state.get("version") != STATE_VERSION:
            raise ValueError(f"state has version {state.get('version')!r}, expected {STATE_VERSION}")
        new = cls(state["classes"], axis=state["axis"], ignore_index=state["ignore_index"])
        matrix = np.array(state["matrix"], np.int64)
        if matrix.shape != new.matrix.shape:
            raise ValueError(f"state has a matrix of shape {matrix.shape}, expected {new.matrix.shape}")
        new.matrix = matrix
        return new

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConfusionMatrix) and self.state() == other.state()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        axis = "" if self.axis is None else f", axis={self.axis}"
        ignore = "" if self.ignore_index is None else f", ignore_index={self.ignore_index}"
        return f"ConfusionMatrix({self.classes}{axis}{ignore}, count={int(self.matrix.sum())})"


def confusion_matrix(
    y_true: Any, y_pred: Any, *, classes: int, ignore_index: int | None = None, n_threads: int | None = None
) -> Array:
    """Confusion counts of two label maps: `ConfusionMatrix.matrix` of one update.

    Parameters
    ----------
    y_true, y_pred : array_like
        Classes in [0, classes), of equal shapes and any dtype.
    classes : int
        How many there are, at most 4096.
    ignore_index : int, optional
        Elements with this target are left out, whatever is predicted there.
    n_threads : int, optional
        By default what `lossfast.set_num_threads` says.

    Returns
    -------
    ndarray of int64, shape (classes, classes)
        The class of the row is the true one, that of the column the predicted one.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.confusion_matrix([0, 1, 1, 2], [0, 1, 2, 2], classes=3)
    array([[1, 0, 0],
           [0, 1, 1],
           [0, 0, 1]])
    """
    counts = ConfusionMatrix(classes, ignore_index=ignore_index)
    counts.update(y_true, y_pred, n_threads=n_threads)
    return counts.matrix


def _integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} is {value!r}, expected an integer")
    return int(value)


def _ratios(above: Array, below: Array) -> Array:
    return np.asarray(np.divide(above, below, out=np.full(len(below), np.nan), where=below != 0))


def _mean(x: Array) -> float:
    known = x[~np.isnan(x)]
    return float(known.mean()) if known.size else float("nan")
