"""Losses of pairs of boxes.

Each function below is the specification of its loss, in the form of the textbook: what the C kernels are tested
against, and what runs without them.  It sees the edges (x1, y1, x2, y2) of the true boxes, and those of the predicted
ones with their derivatives, which the formula then has too.
"""

from __future__ import annotations

import numpy as np

from lossfast._declarations import Param, smallest_step
from lossfast._dual import Dual, arctan2, maximum, minimum
from lossfast._loss import box

FORMAT = Param(
    "xyxy",
    "What the four numbers of a box are: ``'xyxy'`` its edges x1, y1, x2, y2; ``'xywh'`` x1, y1, width and height; "
    "``'cxcywh'`` its centre, width and height.",
    kind=str,
    choices=("xyxy", "xywh", "cxcywh"),
    tests=("xywh", "cxcywh"),
)
EPS = smallest_step("Added to denominators; by default the machine epsilon of the arithmetic.")


def _extent(low, high):
    """0 for an edge beyond the other, where it has no slope; at 0 itself it has that of a box which grows."""
    d = high - low
    return d.where(~(d.value < 0), 0.0) if isinstance(d, Dual) else np.maximum(d, 0)


def _or_growing(d, pred):
    """An extent, or 0 with the slope by which that of the predicted box grows."""
    return d.where(~(d.value <= 0), Dual(0.0 * d.value, pred.grad))


def _areas(true, pred):
    """Intersection, union, extents of the box around both, and those of the boxes."""
    (tx1, ty1, tx2, ty2), (px1, py1, px2, py2) = true, pred
    width, height = minimum(px2, tx2) - maximum(px1, tx1), minimum(py2, ty2) - maximum(py1, ty1)
    meet = (width.value > 0) & (height.value > 0)
    both = (width * height).where(meet, 0.0)
    true_size = _extent(tx1, tx2), _extent(ty1, ty2)
    pred_size = _extent(px1, px2), _extent(py1, py2)
    union = true_size[0] * true_size[1] + pred_size[0] * pred_size[1] - both
    around = [
        _or_growing(maximum(px2, tx2) - minimum(px1, tx1), px2 - px1),
        _or_growing(maximum(py2, ty2) - minimum(py1, ty1), py2 - py1),
    ]
    return both, union, around, true_size, pred_size


def _iou(true, pred, both, union, eps):
    same = np.all([t == p.value for t, p in zip(true, pred, strict=True)], axis=0)
    return (both / (union + eps)).where(union.value != 0, np.where(same, 1.0, 0.0))


def _centres(true, pred):
    return [((pred[k] - true[k]) + (pred[k + 2] - true[k + 2])) / 2 for k in (0, 1)]


@box("IoU", formula="1 - I / (U + eps),  I intersection, U union", aliases=("IoULoss",), format=FORMAT, eps=EPS)
def iou(true, pred, eps):
    """IoU loss: one minus the intersection of two boxes over their union.

    Notes
    -----
    Boxes that do not meet have the loss 1 and no gradient: `giou` pulls them together.  The same box twice has the loss
    0 even if it has no area.

    References
    ----------
    J. Yu, Y. Jiang, Z. Wang, Z. Cao, T. Huang, "UnitBox: an advanced object detection network", ACM Multimedia 2016,
    arXiv:1608.01471.

    Examples
    --------
    >>> import lossfast as lf
    >>> round(lf.iou([[0, 0, 2, 2]], [[1.0, 0.0, 3.0, 2.0]]), 6)
    0.666667
    """
    both, union, _, _, _ = _areas(true, pred)
    return 1 - _iou(true, pred, both, union, eps)


@box(
    "GIoU",
    formula="1 - IoU + (C - U) / (C + eps),  C the area of the smallest box around both",
    aliases=("GIoULoss", "generalized_box_iou_loss"),
    format=FORMAT,
    eps=EPS,
)
def giou(true, pred, eps):
    """Generalized IoU loss: pulls boxes together that do not meet.

    References
    ----------
    H. Rezatofighi, N. Tsoi, J. Gwak, A. Sadeghian, I. Reid, S. Savarese, "Generalized intersection over union: a metric
    and a loss for bounding box regression", CVPR 2019, arXiv:1902.09630.

    Examples
    --------
    >>> import lossfast as lf
    >>> value, grad = lf.giou.value_and_grad([[0, 0, 1, 1]], [[2.0, 0.0, 3.0, 1.0]])
    >>> round(value, 6)
    1.333333
    >>> bool(grad[0, 0] > 0)  # the loss falls when the edge moves to the left
    True
    """
    both, union, (width, height), _, _ = _areas(true, pred)
    around = width * height
    return 1 - _iou(true, pred, both, union, eps) + (around - union) / (around + eps)


def _distance(true, pred, width, height, eps):
    dx, dy = _centres(true, pred)
    return (dx**2 + dy**2) / (width**2 + height**2 + eps)


@box(
    "DIoU",
    formula="1 - IoU + d^2 / (c^2 + eps),  d the distance of the centres, c the diagonal of the box around both",
    aliases=("DIoULoss", "distance_box_iou_loss"),
    format=FORMAT,
    eps=EPS,
)
def diou(true, pred, eps):
    """Distance IoU loss: adds how far the centres are apart.

    References
    ----------
    Z. Zheng, P. Wang, W. Liu, J. Li, R. Ye, D. Ren, "Distance-IoU loss: faster and better learning for bounding box
    regression", AAAI 2020, arXiv:1911.08287.

    Examples
    --------
    >>> import lossfast as lf
    >>> round(lf.diou([[0, 0, 2, 2]], [[1.0, 0.0, 3.0, 2.0]]), 6)
    0.74359
    """
    both, union, (width, height), _, _ = _areas(true, pred)
    return 1 - _iou(true, pred, both, union, eps) + _distance(true, pred, width, height, eps)


@box(
    "CIoU",
    formula="DIoU loss + alpha v,  v = 4/pi^2 (atan(tw/th) - atan(pw/ph))^2,  alpha = v / (1 - IoU + v + eps)",
    aliases=("CIoULoss", "complete_box_iou_loss"),
    format=FORMAT,
    eps=EPS,
)
def ciou(true, pred, eps):
    """Complete IoU loss: adds how far the centres are apart and how much the aspect ratios differ.

    Notes
    -----
    alpha is taken as a constant: the gradient is without its derivatives, as in the paper and in torchvision.  A box
    without an extent has no aspect ratio, and v = 0.

    References
    ----------
    Z. Zheng, P. Wang, W. Liu, J. Li, R. Ye, D. Ren, "Distance-IoU loss: faster and better learning for bounding box
    regression", AAAI 2020, arXiv:1911.08287.

    Examples
    --------
    >>> import lossfast as lf
    >>> round(lf.ciou([[0, 0, 2, 2]], [[1.0, 0.0, 3.0, 1.0]]), 6)
    0.898245
    """
    both, union, (width, height), (tw, th), (pw, ph) = _areas(true, pred)
    overlap = _iou(true, pred, both, union, eps)
    angle = np.arctan2(tw, th) - arctan2(pw, ph)
    has_shape = ((tw > 0) | (th > 0)) & ((pw.value > 0) | (ph.value > 0)) | np.isnan(angle.value)
    v = (4 / np.pi**2 * angle**2).where(has_shape, 0.0)
    below = 1 - overlap.value + v.value + eps
    alpha = np.where(below == 0, 0.0, v.value / np.where(below == 0, 1.0, below))
    return 1 - overlap + _distance(true, pred, width, height, eps) + alpha * v


def _shape_cost(p, t):
    """(1 - exp(-|p - t| / max(p, t)))^4"""
    return (1 - (-(abs(p - t) / maximum(p, t))).exp()) ** 4


@box(
    "SIoU",
    formula="1 - IoU + (D + S) / 2,  D the cost of distance and direction of the centres, S that of the shapes",
    aliases=("SIoULoss",),
    format=FORMAT,
    eps=EPS,
)
def siou(true, pred, eps):
    """SIoU loss: adds how far the centres are apart, the less the nearer their direction is to an axis, and the shapes.

    With dx and dy the distances of the centres, cw and ch the extents of the box around both, and tw, th, pw, ph those
    of the boxes::

        D = 2 - exp(-g (dx / cw)^2) - exp(-g (dy / ch)^2),  g = 2 - 2 |dx dy| / (dx^2 + dy^2)
        S = (1 - exp(-|pw - tw| / max(pw, tw)))^4 + (1 - exp(-|ph - th| / max(ph, th)))^4

    References
    ----------
    Z. Gevorgyan, "SIoU loss: more powerful learning for bounding box regression", arXiv:2205.12740; cw and ch as the
    implementations have them.

    Examples
    --------
    >>> import lossfast as lf
    >>> round(lf.siou([[0, 0, 2, 2]], [[1.0, 0.0, 3.0, 2.0]]), 6)
    0.766298
    """
    both, union, (width, height), (tw, th), (pw, ph) = _areas(true, pred)
    dx, dy = _centres(true, pred)
    g = 2 - 2 * abs(dx) * abs(dy) / (dx**2 + dy**2)
    distance = 2 - (-(g * (dx / width) ** 2)).exp() - (-(g * (dy / height) ** 2)).exp()
    shape = _shape_cost(pw, tw) + _shape_cost(ph, th)
    return 1 - _iou(true, pred, both, union, eps) + (distance + shape) / 2
