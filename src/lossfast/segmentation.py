"""Losses of masks: how little a predicted region overlaps the true one.

Each function below is the specification of its loss, in the form of the textbook: what the C kernels are tested
against, and what runs without them.  It sees the three sums of each item: of p t, of p and of t over its positions, p
being predictions and t targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lossfast._declarations import Overlap, Param, flag, nonnegative
from lossfast._loss import region


@dataclass(frozen=True)
class Smooth(Param):
    """Two numbers of at least 0, or one for both; None stands for the machine epsilon of the arithmetic."""

    kind: type = tuple

    def range(self) -> str:
        """What is expected, in words."""
        return "a number of at least 0, or two: (numerator, denominator)"

    def checked(self, name: str, value: Any) -> Any:
        """The value as two floats (the second may be None), itself if it is that."""
        given = value if isinstance(value, tuple | list) else (value, value)
        if len(given) != 2:
            raise ValueError(f"{name} is {value!r}, expected {self.range()}")
        numbers: list[float | None] = []
        for number in given:
            if number is None and isinstance(value, tuple | list):
                numbers.append(None)
                continue
            if isinstance(number, bool) or not isinstance(number, int | float | np.integer | np.floating):
                raise TypeError(f"{name} is {value!r}, expected {self.range()}")
            if not 0 <= number < np.inf:
                raise ValueError(f"{name} is {value!r}, expected {self.range()}")
            numbers.append(float(number))
        found = tuple(numbers)
        same = isinstance(value, tuple) and all(
            type(x) is type(y) and x == y for x, y in zip(value, found, strict=True)
        )
        return value if same else found


AXIS = Param(-1, "The axis of the classes; None: there is none, all is one class.", kind=int, none=True)
ACTIVATION = Param(
    None,
    "What turns logits into probabilities, the gradient being that by the logits: ``'sigmoid'`` of each, ``'softmax'`` "
    "along `axis`; None where `y_pred` are probabilities.",
    kind=str,
    choices=("sigmoid", "softmax"),
    none=True,
    tests=("sigmoid", "softmax"),
)
REDUCE_OVER = Param(
    "sample",
    "What an item is, over whose positions is summed: each class of each sample, an entry of the first axis "
    "(``'sample'``); each class, over all samples (``'batch'``); or all there is (``'all'``), where class weights "
    "multiply the sums of their classes.",
    kind=str,
    choices=("sample", "batch", "all"),
    tests=("batch", "all"),
)
SMOOTH = Smooth(
    (0.0, None),
    "(n, d): what is added to the numerator and to the denominator, or one number for both.  None is the machine "
    "epsilon of the arithmetic.",
    tests=(1.0, (0.5, 0.25)),
)
SQUARED = flag("Whether P and T are sums of squares.")
INCLUDE_BACKGROUND = Param(True, "False leaves out class 0.", kind=bool, tests=({"include_background": False},))
EMPTY = Param(
    "zero",
    "The loss of an item with neither target nor prediction, P = T = 0: ``'zero'`` or ``'one'``, without a gradient.  "
    "``'skip'`` leaves out every item without a target, T = 0, predicted or not.",
    kind=str,
    choices=("zero", "one", "skip"),
    tests=("one", "skip"),
)
CLASS_WEIGHT = nonnegative(
    None, "A weight for each class, by which the mean divides.", none=True, per_class=True, scalar=False
)
IGNORE_INDEX = Param(
    None,
    "Positions with this label, or elements of masks with this value, count for nothing: they may hold anything, and "
    "have no gradient but that of the other classes of a softmax.  The name `ignore_class` is taken too.",
    kind=int,
    none=True,
)
SHARED: dict[str, Any] = {
    "axis": AXIS,
    "activation": ACTIVATION,
    "reduce_over": REDUCE_OVER,
    "smooth": SMOOTH,
    "squared": SQUARED,
    "include_background": INCLUDE_BACKGROUND,
    "empty": EMPTY,
    "class_weight": CLASS_WEIGHT,
    "ignore_index": IGNORE_INDEX,
}
SUMS = ",  I = sum p t, P = sum p, T = sum t"


@region("Dice", formula="1 - (2 I + n) / (P + T + d)" + SUMS, aliases=("DiceLoss", "soft_dice"), **SHARED)
def dice(intersection, prediction, target, smooth):
    """Dice loss: one minus twice the overlap of two masks over the sum of their sizes.

    Notes
    -----
    With the default smoothing an item without a target has the loss 1 and no gradient, however little is predicted;
    with n = d it has n / (P + n) less.

    References
    ----------
    F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net: fully convolutional neural networks for volumetric medical image
    segmentation", 3DV 2016, arXiv:1606.04797.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.dice([[1, 0, 1, 0]], [[0.5, 0.5, 1.0, 0.0]], axis=None)
    0.25
    >>> labels, logits = np.array([[0, 1, 1]]), np.zeros((1, 3, 2))
    >>> round(lf.dice(labels, logits, activation="softmax"), 6)
    0.514286
    """
    n, d = smooth
    below = prediction + target + d
    return Overlap(1 - (2 * intersection + n) / below, -2 / below, (2 * intersection + n) / below**2)


@region("Jaccard", formula="1 - (I + n) / (P + T - I + d)" + SUMS, aliases=("JaccardLoss", "soft_iou"), **SHARED)
def jaccard(intersection, prediction, target, smooth):
    """Jaccard loss (soft IoU): one minus the intersection of two masks over their union.

    References
    ----------
    P. Jaccard, "The distribution of the flora in the alpine zone", New Phytologist 11 (1912) 37-50.
    M. A. Rahman, Y. Wang, "Optimizing intersection-over-union in deep neural networks for image segmentation", ISVC
    2016.

    Examples
    --------
    >>> import lossfast as lf
    >>> round(lf.jaccard([[1, 0, 1, 0]], [[0.5, 0.5, 1.0, 0.0]], axis=None), 6)
    0.4
    """
    n, d = smooth
    union = prediction + target - intersection + d
    by_union = (intersection + n) / union**2
    return Overlap(1 - (intersection + n) / union, -1 / union - by_union, by_union)


@region(
    "Tversky",
    formula="1 - (I + n) / (I + alpha (P - I) + beta (T - I) + d)" + SUMS,
    aliases=("TverskyLoss",),
    own=("alpha", "beta"),
    **SHARED,
    alpha=nonnegative(0.5, "The weight of false positives, P - I.", tests=(0.3, {"alpha": 0.0, "beta": 1.0})),
    beta=nonnegative(0.5, "The weight of false negatives, T - I.", tests=(0.7,)),
)
def tversky(intersection, prediction, target, smooth, alpha, beta):
    """Tversky loss: Jaccard's with weights for false positives and false negatives; with 1/2 and 1/2 it is Dice's.

    References
    ----------
    S. S. M. Salehi, D. Erdogmus, A. Gholipour, "Tversky loss function for image segmentation using 3D fully
    convolutional deep networks", MLMI 2017, arXiv:1706.05721.

    Examples
    --------
    >>> import lossfast as lf
    >>> round(lf.tversky([[1, 0, 1, 0]], [[0.5, 0.5, 1.0, 0.0]], axis=None, alpha=1.0, beta=1.0), 6)
    0.4
    """
    n, d = smooth
    false_positives, false_negatives = prediction - intersection, target - intersection
    below = intersection + alpha * false_positives + beta * false_negatives + d
    by_below = (intersection + n) / below**2
    value = 1 - (intersection + n) / below
    return Overlap(value, -1 / below + (1 - alpha - beta) * by_below, alpha * by_below)
