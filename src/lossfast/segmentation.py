"""Losses of masks: how little a predicted region overlaps the true one.

Each function below is the specification of its loss, in the form of the textbook: what the C kernels are tested
against, and what runs without them.  It sees the three sums of each item: of p t, of p and of t over its positions, p
being predictions and t targets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lossfast._declarations import Overlap, Param, flag, fraction, nonnegative, positive
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
UNTRIED: dict[str, Any] = {k: replace(v, tests=()) for k, v in SHARED.items()}  # the cases of dice are tests enough
SUMS = ",  I = sum p t, P = sum p, T = sum t"


def _dice(intersection, prediction, target, smooth):
    n, d = smooth
    below = prediction + target + d
    return Overlap(1 - (2 * intersection + n) / below, -2 / below, (2 * intersection + n) / below**2)


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
    return _dice(intersection, prediction, target, smooth)


@region("Jaccard", formula="1 - (I + n) / (P + T - I + d)" + SUMS, aliases=("JaccardLoss", "soft_iou"), **UNTRIED)
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


def _tversky(intersection, prediction, target, smooth, alpha, beta):
    n, d = smooth
    false_positives, false_negatives = prediction - intersection, target - intersection
    below = intersection + alpha * false_positives + beta * false_negatives + d
    by_below = (intersection + n) / below**2
    value = 1 - (intersection + n) / below
    return Overlap(value, -1 / below + (1 - alpha - beta) * by_below, alpha * by_below)


def _of(overlap, value, slope):
    """A function of a loss, by the chain rule; where it has no slope it has none whatever that of the loss is."""
    by_i, by_p = (np.where(slope == 0, 0.0, slope * x) for x in overlap[1:])
    return Overlap(value, by_i, by_p)


@region(
    "Tversky",
    formula="1 - (I + n) / (I + alpha (P - I) + beta (T - I) + d)" + SUMS,
    aliases=("TverskyLoss",),
    own=("alpha", "beta"),
    **UNTRIED,
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
    return _tversky(intersection, prediction, target, smooth, alpha, beta)


@region(
    "FocalTversky",
    formula="tversky(y_true, y_pred, alpha, beta)**gamma",
    aliases=("FocalTverskyLoss",),
    own=("alpha", "beta", "gamma"),
    **UNTRIED,
    alpha=nonnegative(0.3, "The weight of false positives, P - I."),
    beta=nonnegative(0.7, "The weight of false negatives, T - I."),
    gamma=positive(
        0.75,
        "The power: below 1 it turns to what is badly predicted less, above 1 more; the paper writes 1 / gamma.",
        tests=(1.0, 2.0),
    ),
)
def focal_tversky(intersection, prediction, target, smooth, alpha, beta, gamma):
    """Focal Tversky loss: a power of the Tversky loss of each item.

    Notes
    -----
    With gamma < 1 the slope grows beyond all bounds as the loss goes to 0; at 0 it is taken as 0.

    References
    ----------
    N. Abraham, N. M. Khan, "A novel focal Tversky loss function with improved attention U-Net for lesion segmentation",
    ISBI 2019, arXiv:1810.07842.

    Examples
    --------
    >>> import lossfast as lf
    >>> round(lf.focal_tversky([[1, 0, 1, 0]], [[0.5, 0.5, 1.0, 0.0]], axis=None), 6)
    0.353553
    """
    jet = _tversky(intersection, prediction, target, smooth, alpha, beta)
    x = np.maximum(jet.value, 0)
    return _of(jet, x**gamma, np.where(x > 0, gamma * x ** (gamma - 1), 0.0))


@region("LogCoshDice", formula="log(cosh(dice(y_true, y_pred)))", aliases=("LogCoshDiceLoss",), **UNTRIED)
def log_cosh_dice(intersection, prediction, target, smooth):
    """Log-cosh Dice loss: the Dice loss of each item, flattened near 0.

    References
    ----------
    S. Jadon, "A survey of loss functions for semantic segmentation", CIBCB 2020, arXiv:2006.14822.

    Examples
    --------
    >>> import lossfast as lf
    >>> round(lf.log_cosh_dice([[1, 0, 1, 0]], [[0.5, 0.5, 1.0, 0.0]], axis=None), 6)
    0.03093
    """
    jet = _dice(intersection, prediction, target, smooth)
    return _of(jet, np.log(np.cosh(jet.value)), np.tanh(jet.value))


@region(
    "GeneralizedDice",
    formula="1 - (2 sum w I + n) / (sum w (P + T) + d),  over the classes, w = class_weight / T^2",
    aliases=("GeneralizedDiceLoss",),
    kernel="dice",
    together=True,
    **{
        **UNTRIED,
        "reduce_over": Param(
            "sample",
            "What an item is, over whose positions and classes is summed: a sample, an entry of the first axis "
            "(``'sample'``), or the batch (``'batch'``).",
            kind=str,
            choices=("sample", "batch"),
            tests=("batch",),
        ),
        "smooth": Smooth(
            (0.0, 0.0), "(n, d): what is added to numerator and denominator, or one number for both.", tests=(1e-5,)
        ),
    },
    weighting=Param(
        "square",
        "What classes weigh: ``'square'`` is 1 / T^2, ``'simple'`` 1 / T, ``'uniform'`` 1.  One that does not occur in "
        "an item weighs as much as the rarest one that does, or nothing with ``empty='skip'``.",
        kind=str,
        choices=("square", "simple", "uniform"),
        tests=("simple", "uniform", {"weighting": "square", "empty": "skip", "reduce_over": "batch"}),
    ),
)
def generalized_dice(intersection, prediction, target, smooth):
    """Generalized Dice loss: one Dice loss of all classes together, in which rare ones weigh more.

    Notes
    -----
    Weights depend on the targets alone, and have no gradient.  Smoothing is added to weighted sums, which are small
    with 1 / T^2: hence none by default.  An item without a target and with a prediction has the loss 1 and no gradient;
    ``empty`` says what one without both has, and ``'skip'`` leaves both out.

    References
    ----------
    C. H. Sudre, W. Li, T. Vercauteren, S. Ourselin, M. J. Cardoso, "Generalised Dice overlap as a deep learning loss
    function for highly unbalanced segmentations", DLMIA 2017, arXiv:1707.03237.

    Examples
    --------
    >>> import lossfast as lf
    >>> labels, logits = np.array([[0, 1, 1]]), np.zeros((1, 3, 2))
    >>> round(lf.generalized_dice(labels, logits, activation="softmax"), 6)
    0.555556
    """
    return _dice(intersection, prediction, target, smooth)


LOGITS: dict[str, Any] = {
    **UNTRIED,
    "activation": Param(
        "softmax",
        "What turns the logits into probabilities: ``'softmax'`` along `axis`, or ``'sigmoid'`` of each.",
        kind=str,
        choices=("sigmoid", "softmax"),
        tests=("sigmoid",),
    ),
    "class_weight": nonnegative(
        None,
        "A weight for each class, of its Dice loss and of its terms of the cross-entropy, by which both means divide.",
        none=True,
        per_class=True,
        scalar=False,
    ),
    "include_background": Param(
        True, "False leaves class 0 out of the Dice loss.", kind=bool, tests=({"include_background": False},)
    ),
    "dice_weight": nonnegative(1.0, "The factor of the Dice loss.", tests=(0.25,)),
}


@region(
    "DiceCrossentropy",
    formula="dice_weight (mean of dice over classes) + crossentropy_weight (mean of crossentropy over positions)",
    aliases=("DiceCELoss", "dice_ce"),
    kernel="dice",
    pixel="crossentropy",
    **LOGITS,
    crossentropy_weight=nonnegative(1.0, "The factor of the cross-entropy.", tests=(0.5,)),
)
def dice_crossentropy(intersection, prediction, target, smooth):
    """Dice loss and cross-entropy of the same logits, in the same readings.

    A sample is an item, or the batch with ``reduce_over="batch"`` and ``"all"``: the means are those over its classes
    and over its positions.

    Notes
    -----
    The cross-entropy is that of `categorical_crossentropy` with a softmax, and that of `binary_crossentropy` over
    positions and classes with sigmoids.  Its mean divides by the weights of the targets, sum v_k t_k with a softmax:
    class labels and masks give the same.

    `empty` speaks of the Dice loss alone: of a class with neither target nor prediction it is 0 or 1, of one without a
    target that is predicted 1, both without a gradient; ``'skip'`` leaves such classes out of its mean, and a sample
    without any target has none.  The positions' loss is there all the same.

    References
    ----------
    F. Isensee, P. F. Jaeger, S. A. A. Kohl, J. Petersen, K. H. Maier-Hein, "nnU-Net: a self-configuring method for deep
    learning-based biomedical image segmentation", Nature Methods 18 (2021) 203-211.

    Examples
    --------
    >>> import lossfast as lf
    >>> labels, logits = np.array([[0, 1, 1]]), np.zeros((1, 3, 2))
    >>> round(lf.dice_crossentropy(labels, logits), 6)
    1.207433
    """
    return _dice(intersection, prediction, target, smooth)


@region(
    "DiceFocal",
    formula="dice_weight (mean of dice over classes) + focal_weight (mean of focal crossentropy over positions)",
    aliases=("DiceFocalLoss",),
    kernel="dice",
    pixel="focal",
    **LOGITS,
    focal_weight=nonnegative(1.0, "The factor of the focal cross-entropy.", tests=(0.5,)),
    gamma=nonnegative(
        2.0,
        "How much what is well predicted counts less.",
        tests=(0.5, {"gamma": 3.0, "activation": "sigmoid"}, {"gamma": 0.0, "activation": "sigmoid", "alpha": 0.25}),
    ),
    alpha=fraction(
        None,
        "Weight of the targets 1, that of the targets 0 being ``1 - alpha``; None weighs both with 1.  Only with "
        "sigmoids.  It is no part of what the mean divides by.",
        none=True,
        tests=({"alpha": 0.75, "activation": "sigmoid"},),
    ),
)
def dice_focal(intersection, prediction, target, smooth):
    """Dice loss and focal cross-entropy of the same logits, in the same readings.

    A sample is an item, or the batch with ``reduce_over="batch"`` and ``"all"``: the means are those over its classes
    and over its positions.

    Notes
    -----
    The focal cross-entropy is that of `categorical_focal_crossentropy` with a softmax (the mean over positions divides
    by sum v_k t_k), and that of `binary_focal_crossentropy` over positions and classes with sigmoids.

    `empty` speaks of the Dice loss alone: of a class with neither target nor prediction it is 0 or 1, of one without a
    target that is predicted 1, both without a gradient; ``'skip'`` leaves such classes out of its mean, and a sample
    without any target has none.  The positions' loss is there all the same.

    References
    ----------
    W. Zhu et al., "AnatomyNet: deep learning for fast and fully automated whole-volume segmentation of head and neck
    anatomy", Medical Physics 46 (2019) 576-589, arXiv:1808.05238.

    Examples
    --------
    >>> import lossfast as lf
    >>> labels, logits = np.array([[0, 1, 1]]), np.zeros((1, 3, 2))
    >>> round(lf.dice_focal(labels, logits), 6)
    0.687573
    """
    return _dice(intersection, prediction, target, smooth)
