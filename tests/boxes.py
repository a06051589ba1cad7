"""Pairs of boxes, and formulas of their losses for mpmath."""

import mpmath as mp
import numpy as np

FORMATS = ("xyxy", "xywh", "cxcywh")


def box_operands(loss, shape, dtype=np.float64, seed=0):
    """True and predicted boxes of shape (*shape, 4) in the loss's format: apart, inside each other, nearly alike."""
    rng = np.random.default_rng([seed, *np.atleast_1d(shape)])
    size = (*np.atleast_1d(shape).tolist(), 2)
    low, extent = rng.uniform(0, 10, size), rng.uniform(0.5, 6, size)
    true = np.concatenate([low, low + extent], axis=-1)
    shift = rng.choice([0.05, 1.0, 8.0], size[:-1])[..., None]
    pred = true + rng.normal(0, 1, true.shape) * shift
    pred = np.concatenate([np.minimum(pred[..., :2], pred[..., 2:]), np.maximum(pred[..., :2], pred[..., 2:])], axis=-1)
    return tuple(in_format(x, loss.get_params()["format"]).astype(dtype) for x in (true, pred))


def in_format(boxes, name):
    """Edges as the numbers of a format."""
    low, high = boxes[..., :2], boxes[..., 2:]
    first = {"xyxy": low, "xywh": low, "cxcywh": (low + high) / 2}[name]
    return np.concatenate([first, high if name == "xyxy" else high - low], axis=-1)


def edges(numbers, name):
    if name == "xyxy":
        return numbers
    x, y, w, h = numbers
    if name == "cxcywh":
        x, y = x - w / 2, y - h / 2
    return x, y, x + w, y + h


def value_of(name, true, pred, box_format, eps, alpha=None):
    """The loss of one pair; alpha, if given, is that of the complete IoU loss."""
    (a1, b1, a2, b2), (x1, y1, x2, y2) = edges(true, box_format), edges(pred, box_format)
    w, h = max(min(a2, x2) - max(a1, x1), 0), max(min(b2, y2) - max(b1, y1), 0)
    union = (a2 - a1) * (b2 - b1) + (x2 - x1) * (y2 - y1) - w * h
    iou = w * h / (union + eps)
    cw, ch = max(a2, x2) - min(a1, x1), max(b2, y2) - min(b1, y1)
    dx, dy = (x1 + x2 - a1 - a2) / 2, (y1 + y2 - b1 - b2) / 2
    if name == "iou":
        return 1 - iou
    if name == "giou":
        return 1 - iou + (cw * ch - union) / (cw * ch + eps)
    if name in ("diou", "ciou"):
        loss = 1 - iou + (dx**2 + dy**2) / (cw**2 + ch**2 + eps)
        if name == "diou":
            return loss
        v = 4 / mp.pi**2 * (mp.atan2(a2 - a1, b2 - b1) - mp.atan2(x2 - x1, y2 - y1)) ** 2
        return loss + (v / (1 - iou + v + eps) if alpha is None else alpha) * v
    if name == "siou":
        sine = abs(dy) / mp.sqrt(dx**2 + dy**2)
        gamma = 2 - (1 - 2 * mp.sin(mp.asin(sine) - mp.pi / 4) ** 2)
        distance = sum(1 - mp.exp(-gamma * (d / c) ** 2) for d, c in ((dx, cw), (dy, ch)))
        shape = sum((1 - mp.exp(-abs(p - t) / max(p, t))) ** 4 for p, t in ((x2 - x1, a2 - a1), (y2 - y1, b2 - b1)))
        return 1 - iou + (distance + shape) / 2
    raise LookupError(name)


OF_BOXES = ("iou", "giou", "diou", "ciou", "siou")


def jet(name, true, pred, box_format, eps):
    """Value and gradient of one pair, by differences at a precision that makes them exact."""
    with mp.workprec(500):
        t, p = [mp.mpf(float(x)) for x in true], [mp.mpf(float(x)) for x in pred]
        e, step, alpha = mp.mpf(eps), mp.ldexp(1, -120), None
        if name == "ciou":
            v = value_of("ciou", t, p, box_format, e, alpha=1) - value_of("diou", t, p, box_format, e)
            alpha = v / (value_of("iou", t, p, box_format, e) + v + e)
        value = value_of(name, t, p, box_format, e, alpha)
        grad = []
        for k in range(4):
            up, down = ([x + s * (j == k) for j, x in enumerate(p)] for s in (step, -step))
            rise = value_of(name, t, up, box_format, e, alpha) - value_of(name, t, down, box_format, e, alpha)
            grad.append(float(rise / (2 * step)))
        return float(value), grad
