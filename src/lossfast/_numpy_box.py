"""The specifications of the losses of boxes behind the methods of the compiled kernels: see `_numpy`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from lossfast._arrays import Array
from lossfast._declarations import Box
from lossfast._dual import Dual
from lossfast._errors import DomainError
from lossfast._numpy import double

PAIRS = 1 << 16  # of boxes at a time


def edges(numbers: Sequence[Any], box_format: int) -> tuple[Any, ...]:
    """x1, y1, x2, y2 of boxes in the format 0, 1 or 2: xyxy, xywh, cxcywh."""
    if box_format == 0:
        return tuple(numbers)
    x, y, w, h = numbers
    half = 0.5 if box_format == 2 else 0.0
    x1, y1 = x - half * w, y - half * h
    return x1, y1, x1 + w, y1 + h


def first_bad(boxes: Sequence[Array]) -> int | None:
    """The first box whose extents are not positive and finite."""
    x1, y1, x2, y2 = boxes
    w, h = x2 - x1, y2 - y1
    good = (w > 0) & (w < np.inf) & (h > 0) & (h < np.inf)
    return None if good.all() else int(good.argmin())


def covered(x: Any, boxes: Any, threshold: float) -> Array:
    """Which boxes have an IoU above the threshold with one box; none without an area has."""
    w = np.maximum(np.minimum(boxes[2], x[2]) - np.maximum(boxes[0], x[0]), 0)
    h = np.maximum(np.minimum(boxes[3], x[3]) - np.maximum(boxes[1], x[1]), 0)
    both = w * h
    area, areas = (np.maximum(b[2] - b[0], 0) * np.maximum(b[3] - b[1], 0) for b in (x, boxes))
    return np.asarray((both / (area + areas - both)).astype(np.float64) > threshold)


def nms(
    single: bool,
    boxes: Sequence[Array],
    format: int,
    starts: Array,
    threshold: float,
    most: int,
    keep: Array,
    nthreads: int,
) -> None:
    """As `_core.nms`."""
    dtype = np.float32 if single else np.float64
    with np.errstate(all="ignore"):
        found = np.stack([x.astype(dtype) for x in edges([x.astype(dtype) for x in boxes], format)])
        for first, last in itertools.pairwise(starts.tolist()):
            left, group = np.ones(last - first, bool), found[:, first:last]
            count = 0
            for i in range(last - first):
                count += int(left[i])
                if count > most:
                    left[i:] = False
                    break
                if left[i]:
                    left[i + 1 :] &= ~covered(group[:, i], group[:, i + 1 :], threshold)
            keep[first:last] = left


class NumpyBoxKernel:
    """A specification behind the methods of `_core.BoxKernel`."""

    def __init__(self, declaration: Box) -> None:
        self.declaration = declaration

    def run(
        self,
        single: bool,
        target: Sequence[Array],
        pred: Sequence[Array],
        format: int,
        weight: Array | None,
        eps: float,
        check_boxes: bool,
        scale: float,
        value: Array | None,
        grad: Sequence[Array] | None,
        want_sum: bool,
        nthreads: int,
    ) -> float | None:
        """As `_core.BoxKernel.run`."""
        numbers = np.stack([double(x) for x in pred], axis=-1)
        with np.errstate(all="ignore"):
            true = edges([double(x) for x in target], format)
            boxes = {"target": true, "pred": edges([numbers[..., k] for k in range(4)], format)}
            found = [(at, name) for name, four in boxes.items() if check_boxes and (at := first_bad(four)) is not None]
            if found:
                at, name = min(found, key=lambda pair: pair[0])
                raise DomainError(name, at)
            loss = self.declaration.spec(true, edges(Dual.variables(numbers), format), eps)
            w = 1.0 if weight is None else double(weight)
            weighted = np.asarray(w * loss.value)
            if value is not None:
                value[...] = weighted.astype(value.dtype)
            for k, out in enumerate(grad or ()):
                out[...] = np.asarray(scale * w * loss.grad[..., k]).astype(out.dtype)
        return float(weighted.sum()) if want_sum else None

    def pairwise(
        self,
        single: bool,
        boxes1: Sequence[Array],
        boxes2: Sequence[Array],
        format: int,
        eps: float,
        out: Array,
        nthreads: int,
    ) -> None:
        """As `_core.BoxKernel.pairwise`, some rows at a time."""
        numbers = np.stack([double(x) for x in boxes2], axis=-1)
        step = max(1, PAIRS // max(1, len(numbers)))
        with np.errstate(all="ignore"):
            for first in range(0, len(boxes1[0]), step):
                true = edges([double(x[first : first + step, None]) for x in boxes1], format)
                others = Dual.variables(np.broadcast_to(numbers, (len(true[0]), *numbers.shape)))
                loss = self.declaration.spec(true, edges(others, format), eps)
                out[first : first + step] = (1 - loss.value).astype(out.dtype)
