"""The specifications of the losses of masks behind the methods of the compiled kernels: see `_numpy`."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossfast._arrays import Array
from lossfast._declarations import UNIT, Region
from lossfast._errors import DomainError
from lossfast._loss import REGISTRY
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


def confusion(target: Array, pred: Array, classes: int, ignore: int | None, counts: Array, nthreads: int) -> None:
    """As `_core.confusion`."""
    t, p = target.reshape(-1), pred.reshape(-1)
    kept = np.ones(t.size, bool) if ignore is None else t != ignore
    bad = [kept & ~((x >= 0) & (x < classes) & (double(x) == np.floor(double(x)))) for x in (t, p)]
    if (bad[0] | bad[1]).any():
        first = int((bad[0] | bad[1]).argmax())
        raise DomainError("target" if bad[0][first] else "pred", first)
    pairs = t[kept].astype(np.int64) * classes + p[kept].astype(np.int64)
    counts += np.bincount(pairs, minlength=classes**2).reshape(counts.shape)


def pixel_losses(
    pixel: int,
    activation: int,
    t: Array,
    z: Array,
    kept: Array,
    gamma: float,
    alpha: float,
    class_weight: Array | None,
) -> tuple[Array, Array, Array]:
    """Losses of positions (and, by sigmoids, of classes) times their weights, these, and derivatives by the logits.

    By the specifications of the losses of classes and of pairs.
    """
    v = np.ones(z.shape[-1]) if class_weight is None else class_weight
    if activation == 1:
        name = "binary_crossentropy" if pixel == 1 else "binary_focal_crossentropy"
        own: dict[str, Any] = (
            {"pos_weight": 1.0} if pixel == 1 else {"gamma": gamma, "alpha": None if alpha < 0 else alpha}
        )
        spec = REGISTRY[name].declaration.spec
        jet = spec(t, np.where(kept, z, 0.0), from_logits=True, label_smoothing=0.0, eps=0.0, **own)
        weights = v * kept
        return np.where(weights == 0, 0.0, weights * jet.value), weights, weights * jet.grad
    name, own = "categorical_crossentropy", {"class_weight": v}
    if pixel == 2:
        name, own = "categorical_focal_crossentropy", {"gamma": gamma, "alpha": v}
    x = np.where(kept.any(axis=-1, keepdims=True), z, 0.0)
    more = {"from_logits": True, "label_smoothing": 0.0, "temperature": 1.0, "z_loss": 0.0, "eps": 0.0}
    params = {k: x for k, x in more.items() if k in REGISTRY[name].declaration.params}
    jet = REGISTRY[name].declaration.spec(t, x, **params, **own)
    return jet.value, (v * t).sum(axis=-1), jet.grad


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
        pixel: int,
        gamma: float,
        alpha: float,
        class_weight: Array | None,
        pixel_weight: Array | None,
        unchecked: int,
        scale: float,
        value: Array | None,
        pixel_value: Array | None,
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
            positions = slopes = np.zeros(())
            if pixel:
                each, weights, by_each = pixel_losses(pixel, activation, t, z, kept, gamma, alpha, class_weight)
                over_all = tuple(range(1, each.ndim))
                total = weights.sum(axis=over_all)
                factor = np.where(total == 0, 0.0, pixel_weight / np.where(total == 0, 1.0, total))
                positions = np.where(factor == 0, 0.0, factor * each.sum(axis=over_all))
                slopes = scale * factor.reshape(-1, *(1,) * (pred.ndim - 1)) * by_each
                if pixel_value is not None:
                    pixel_value[...] = positions
            if grad is not None:
                if together:
                    by_i, by_p = by_i * shares, by_p * shares
                spread: Any = (slice(None), *(None,) * len(over))
                a = by_i[spread] * t + by_p[spread] * (2 * p if squared else 1.0)
                a = np.where(kept, a, 0.0)
                slope = a if activation == 0 else a * p * q
                if activation == 2:
                    slope = p * (p[..., None, :] * (a[..., :, None] - a[..., None, :])).sum(axis=-1)
                slope = slope + slopes
                grad[...] = np.where(kept | (activation == 2 and not labels), slope, 0.0).astype(grad.dtype)
        return float(weighted.sum() + np.sum(positions)) if want_sum else None
