"""The specifications of the losses of classes behind the methods of the compiled kernels: see `_numpy`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lossfast._arrays import Array
from lossfast._declarations import UNIT, Classwise, Jet
from lossfast._errors import DomainError
from lossfast._loss import REGISTRY
from lossfast._numpy import double, moments_of


def _specification(declaration: Classwise, target: Array, pred: Array, **params: Any) -> Jet:
    """The jet of rows, with the parameters that the specification has."""
    given = {k: v for k, v in params.items() if k in declaration.params}
    with np.errstate(all="ignore"):
        jet: Jet = declaration.spec(target, pred, **given)
    return jet


class NumpyRowKernel:
    """The specification of logits or scores behind the methods of `_core.RowKernel`."""

    def __init__(self, name: str) -> None:
        found = [d for x in REGISTRY.values() if isinstance(d := x.declaration, Classwise) and d.kernel == name]
        self.name, self.declaration = name, found[0]
        self.nparam = len(self.declaration.own)

    def check(
        self,
        single: bool,
        labels: bool,
        target: Array,
        pred: Array,
        weight: Array | None,
        class_weight: Array | None,
        temperature: Array | None,
        ignore: int | None,
        nthreads: int,
    ) -> tuple[int, float]:
        """As `_core.RowKernel.check`."""
        rows = pred.shape[:-1]
        t = double(target)
        kept = self._kept(target, ignore) if labels else np.ones(rows, bool)
        good = ~kept | ((t >= 0) & (t < pred.shape[-1]) & (t == np.floor(t))) if labels else (t >= 0) & np.isfinite(t)
        w = np.ones(rows) if weight is None else double(weight)
        tau = np.ones(rows) if temperature is None else double(temperature)
        for operand, fine in (
            ("target", good),
            ("weight", (w >= 0) & np.isfinite(w)),
            ("temperature", (tau > 0) & np.isfinite(tau)),
        ):
            if not fine.all():
                raise DomainError(operand, int(fine.argmin()))
        if labels and class_weight is not None:
            w = w * class_weight[np.where(kept, t, 0).astype(np.intp)]
        return int(kept.sum()), float(w[kept].sum())

    def _kept(self, target: Array, ignore: int | None) -> Array:
        x = target if target.dtype.kind in "biu" else double(target)
        return np.ones(target.shape, bool) if ignore is None else np.asarray(x != ignore)

    def _jet(
        self,
        labels: bool,
        target: Array,
        pred: Array,
        class_weight: Array | None,
        temperature: Array | None,
        params: tuple[float, ...],
        ignore: int | None,
        label_smoothing: float,
        z_loss: float,
    ) -> tuple[Array, Jet]:
        """Which rows are kept, and the jet of these."""
        declaration = self.declaration
        kept = self._kept(target, ignore) if labels else np.ones(pred.shape[:-1], bool)
        if labels:
            t = (double(target)[kept][..., None] == np.arange(pred.shape[-1])).astype(np.float64)
        else:
            t = double(target)[kept]
        return kept, _specification(
            declaration,
            t,
            double(pred)[kept],
            **dict(zip(declaration.own, params, strict=True)),
            **{declaration.weighting: class_weight},
            from_logits=True,
            log_input=False,
            label_smoothing=label_smoothing,
            temperature=1.0 if temperature is None else double(temperature)[kept],
            z_loss=z_loss,
            eps=0.0,
        )

    def run(
        self,
        single: bool,
        labels: bool,
        target: Array,
        pred: Array,
        weight: Array | None,
        class_weight: Array | None,
        temperature: Array | None,
        params: tuple[float, ...],
        ignore: int | None,
        label_smoothing: float,
        z_loss: float,
        scale: float,
        value: Array | None,
        grad: Array | None,
        hess: Array | None,
        want_sum: bool,
        nthreads: int,
    ) -> float | None:
        """As `_core.RowKernel.run`."""
        kept, jet = self._jet(labels, target, pred, class_weight, temperature, params, ignore, label_smoothing, z_loss)
        w = np.ones(kept.shape)[kept] if weight is None else double(weight)[kept]
        with np.errstate(all="ignore"):
            weighted = w * jet.value
            factor = scale * w[..., None]
            for out, result in ((value, weighted), (grad, factor * jet.grad), (hess, factor * jet.hess)):
                if out is not None:
                    out[~kept] = 0
                    out[kept] = np.asarray(result).astype(out.dtype)
            return float(weighted.sum()) if want_sum else None

    def moments(
        self,
        single: bool,
        labels: bool,
        target: Array,
        pred: Array,
        weight: Array | None,
        class_weight: Array | None,
        temperature: Array | None,
        params: tuple[float, ...],
        ignore: int | None,
        label_smoothing: float,
        z_loss: float,
        nthreads: int,
    ) -> tuple[Any, ...]:
        """As `_core.RowKernel.moments`."""
        kept, jet = self._jet(labels, target, pred, class_weight, temperature, params, ignore, label_smoothing, z_loss)
        losses = jet.value.astype(np.float32 if single else np.float64)
        return moments_of(losses, None if weight is None else weight[kept])


class NumpyTerms:
    """The terms of single classes of probabilities, behind `_core.Kernel.run`: rows of one class."""

    def __init__(self, declaration: Classwise, params: Mapping[str, Any], keep: float, share: float) -> None:
        self.declaration, self.keep, self.share = declaration, keep, share
        self.params = {k: v for k, v in params.items() if k not in ("axis", "ignore_index")}
        self.params |= {"label_smoothing": 0.0}  # the target comes smoothed

    def run(
        self,
        single: bool,
        target: Array,
        pred: Array,
        weight: Array | None,
        stream: Array | None,
        params: tuple[Any, ...],
        scale: float,
        value: Array | None,
        grad: Array | None,
        hess: Array | None,
        want_sum: bool,
        row_sums: Array | None,
        row: int,
        check_domain: bool,
        nthreads: int,
    ) -> float | None:
        """As `_core.Kernel.run`."""
        p = double(pred)
        if check_domain and not self.params.get("log_input"):
            bad = UNIT.outside(p)
            if bad.any():
                raise DomainError("pred", int(bad.argmax()))
        t = self.keep * double(target) + self.share
        own = {**self.params, self.declaration.weighting: None if stream is None else double(stream)[..., None]}
        jet = _specification(self.declaration, t[..., None], p[..., None], **own)
        w = 1.0 if weight is None else double(weight)
        with np.errstate(all="ignore"):
            terms = np.asarray(w * jet.value)
            for out, result in (
                (value, terms),
                (grad, scale * w * jet.grad[..., 0]),
                (hess, scale * w * jet.hess[..., 0]),
            ):
                if out is not None:
                    out[...] = np.asarray(result).astype(out.dtype)
            if row_sums is not None and row:
                row_sums[...] = terms.reshape(-1, row).sum(axis=1)
            return float(terms.sum()) if want_sum else None
