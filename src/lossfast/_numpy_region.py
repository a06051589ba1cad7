"""The specifications of the losses of masks behind the methods of the compiled kernels: see `_numpy`."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossfast._arrays import Array
from lossfast._declarations import UNIT, Region
from lossfast._errors import DomainError
from lossfast._numpy import double


def sigmoid(z: Array) -> tuple[Array, Array]:
    """The probability of a logit, and that of its negative."""
    e = np.exp(-np.abs(z))
    large, small = 1 / (1 + e), e / (1 + e)
    return np.where(z < 0, small, large), np.where(z < 0, large, small)


def softmax(z: Array) -> Array:
    """Along the last axis; infinite logits share everything."""
    top = z.max(axis=-1, keepdims=True)
    infinite = np.isposinf(top)
    certain = np.where(np.isposinf(z), 0.0, np.where(np.isnan(z), z, -np.inf))
    e = np.exp(np.where(infinite, certain, z - np.where(np.isfinite(top), top, 0.0)))
    total = e.sum(axis=-1, keepdims=True)
    undefined = (infinite & (total > 1)) | np.isneginf(top)
    return np.asarray(e / np.where(undefined, np.nan, total))


class NumpyRegionKernel:
    """A specification behind the methods of `_core.RegionKernel`."""

    def __init__(self, declaration: Region) -> None:
        self.declaration = declaration

    def _masks(self, labels: bool, target: Array, pred: Array, ignore: int | None) -> tuple[Array, Array]:
        """Targets of the shape of the predictions, and which elements count."""
        t = target if target.dtype.kind in "biu" else double(target)
        kept = np.ones(t.shape, bool) if ignore is None else t != ignore
        classes = pred.shape[-1]
        if labels:
            good = ~kept | ((t >= 0) & (t < classes) & (t == np.floor(double(t))))
            if not good.all():
                raise DomainError("target", int(good.argmin()))
            masks = (double(t)[..., None] == np.arange(classes)) & kept[..., None]
            return double(masks), np.broadcast_to(kept[..., None], pred.shape)
        masks = np.where(kept, double(t), 0.0)
        return masks, np.asarray(kept)

    def _check(self, masks: Array, pred: Array, kept: Array, activation: int) -> None:
        for operand, x in (("target", masks), ("pred", np.where(kept, double(pred), 0.0))):
            bad = UNIT.outside(x) | (np.isnan(x) & (operand == "target"))
            if bad.any() and (operand == "target" or not activation):
                raise DomainError(operand, int(bad.argmax()))

    def check(
        self,
        single: bool,
        labels: bool,
        target: Array,
        pred: Array,
        activation: int,
        squared: bool,
        ignore: int | None,
        unchecked: int,
        nthreads: int,
    ) -> Array:
        """As `_core.RegionKernel.check`."""
        masks, kept = self._masks(labels, target, pred, ignore)
        if not unchecked:
            self._check(masks, pred, kept, activation)
        powers = masks**2 if squared else masks
        return np.asarray(powers.sum(axis=tuple(range(1, pred.ndim - 1))))

    def run(
        self,
        single: bool,
        labels: bool,
        target: Array,
        pred: Array,
        activation: int,
        squared: bool,
        ignore: int | None,
        together: bool,
        share: Array | None,
        weight: Array | None,
        empty: float,
        params: tuple[float, ...],
        unchecked: int,
        scale: float,
        value: Array | None,
        grad: Array | None,
        want_sum: bool,
        nthreads: int,
    ) -> float | None:
        """As `_core.RegionKernel.run`."""
        t, kept = self._masks(labels, target, pred, ignore)
        if not unchecked:
            self._check(t, pred, kept, activation)
        z = double(pred)
        with np.errstate(all="ignore"):
            p, q = (z, z) if activation == 0 else sigmoid(z) if activation == 1 else (softmax(z), z)
            counted = np.where(kept, p, 0.0)
            over = tuple(range(1, pred.ndim - 1))
            sums = [x.sum(axis=over) for x in (counted * t, counted**2 if squared else counted, t**2 if squared else t)]
            shares = np.ones(sums[0].shape) if share is None else np.broadcast_to(share, sums[0].shape)
            if together:
                sums = [np.where(shares == 0, 0.0, shares * x).sum(axis=1, keepdims=True) for x in sums]
            own = dict(zip(self.declaration.own, params[2:], strict=True))
            loss, by_i, by_p = self.declaration.spec(*sums, smooth=params[:2], **own)
            nothing = (sums[1] == 0) & (sums[2] == 0)
            w = np.ones(loss.shape) if weight is None else np.broadcast_to(weight, loss.shape)
            weighted = np.where(w == 0, 0.0, w * np.where(nothing, empty, loss))
            by_i, by_p = (np.where(nothing | (w == 0), 0.0, scale * w * x) for x in (by_i, by_p))
            if value is not None:
                value[...] = weighted
            if grad is not None:
                if together:
                    by_i, by_p = by_i * shares, by_p * shares
                spread: Any = (slice(None), *(None,) * len(over))
                a = by_i[spread] * t + by_p[spread] * (2 * p if squared else 1.0)
                a = np.where(kept, a, 0.0)
                slope = a if activation == 0 else a * p * q
                if activation == 2:
                    slope = p * (p[..., None, :] * (a[..., :, None] - a[..., None, :])).sum(axis=-1)
                grad[...] = np.where(kept | (activation == 2 and not labels), slope, 0.0).astype(grad.dtype)
        return float(weighted.sum()) if want_sum else None
