"""The specifications as a backend: what runs with LOSSFAST_BACKEND=numpy, and where the compiled core is missing.

Slower and without the promise of equal bits, but with the same arguments, results to rounding, and errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lossfast._arrays import Array
from lossfast._declarations import ANY, Domain, Pointwise
from lossfast._errors import EXACT_BITS, DomainError


def double(x: Array) -> Array:
    """As float64."""
    return np.asarray(x).astype(np.float64)


class NumpyKernel:
    """A specification with parameters, behind the methods of `_core.Kernel`."""

    def __init__(self, declaration: Pointwise, params: Mapping[str, Any]) -> None:
        self.declaration, self.params = declaration, params

    def _check(self, target: Array, pred: Array, stream: Array | None, single: bool) -> None:
        domains: list[tuple[str, Domain, Array | None]] = [
            ("target", self.declaration.target(**self.params), target),
            ("pred", self.declaration.pred(**self.params), pred),
            ("stream", self.declaration.stream_domain, stream),
        ]
        found: list[tuple[int, str]] = []
        for operand, domain, array in domains:
            if array is not None and domain != ANY:
                bad = domain.outside(double(array).astype(np.float32 if single else np.float64))
                if bad.any():
                    found.append((int(bad.argmax()), operand))
        if found:
            index, operand = min(found, key=lambda pair: pair[0])
            raise DomainError(operand, index)

    def _jet(self, single: bool, target: Array, pred: Array, stream: Array | None, check_domain: bool) -> Any:
        if check_domain:
            self._check(target, pred, stream, single)
        params = {k: double(v) if isinstance(v, np.ndarray) else v for k, v in self.params.items()}
        with np.errstate(all="ignore"):
            return self.declaration.spec(double(target), double(pred), **params)

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
        jet = self._jet(single, target, pred, stream, check_domain)
        w = 1.0 if weight is None else double(weight)
        with np.errstate(all="ignore"):
            weighted = np.asarray(w * jet.value)
            for out, result in (
                (value, weighted),
                (grad, scale * w * jet.grad),
                (hess, scale * w * jet.hess),
            ):
                if out is not None:
                    out[...] = np.asarray(result).astype(out.dtype)
            if row_sums is not None and row:
                row_sums[...] = weighted.reshape(-1, row).sum(axis=1)
            return float(weighted.sum()) if want_sum else None

    def moments(
        self,
        single: bool,
        target: Array,
        pred: Array,
        weight: Array | None,
        stream: Array | None,
        params: tuple[Any, ...],
        check_domain: bool,
        nthreads: int,
    ) -> tuple[Any, ...]:
        """As `_core.Kernel.moments`."""
        jet = self._jet(single, target, pred, stream, check_domain)
        return moments_of(jet.value.astype(np.float32 if single else np.float64), weight)


def moments_of(losses: Array, weight: Array | None) -> tuple[Any, ...]:
    """What `_core.Kernel.moments` returns, of losses that are known."""
    loss = double(losses).reshape(-1)
    w = np.ones_like(loss) if weight is None else double(weight).reshape(-1)
    with np.errstate(all="ignore"):
        products = w * loss
        squares = products * loss
    finite = np.isfinite(loss)
    overflow = finite & ~(np.isfinite(products) & np.isfinite(squares))
    products = np.nan_to_num(np.where(finite, products, 0.0))
    squares = np.where(finite & ~overflow, squares, 0.0)
    numbers = loss[~np.isnan(loss)]
    return (
        0 if weight is None else exact_sum(w),
        exact_sum(products),
        exact_sum(squares),
        loss.size,
        int(np.isnan(loss).sum()),
        int((loss == np.inf).sum()),
        int((loss == -np.inf).sum()),
        int(overflow.sum()),
        float(numbers.min()) + 0.0 if numbers.size else 0.0,  # -0.0 + 0.0 is 0.0
        float(numbers.max()) + 0.0 if numbers.size else 0.0,
    )


def exact_sum(x: Array) -> int:
    """The sum of finite doubles in units of 2**-EXACT_BITS, without rounding."""
    if not x.size:
        return 0
    mantissa, exponent = np.frexp(x)
    integers = (mantissa * 2.0**53).astype(np.int64)  # x = integer 2**(exponent - 53)
    total, lowest = 0, exponent.min()
    for e in np.flatnonzero(np.bincount(exponent - lowest)) + lowest:
        group = integers[exponent == e]
        high, low = int((group >> 32).sum()), int((group & 0xFFFFFFFF).sum())
        shift = int(e) - 53 + EXACT_BITS
        part = (high << 32) + low
        total += part << shift if shift >= 0 else part >> -shift
    return total


def weight_sum(w: Array) -> float:
    """The sum of weights, all finite and at least 0."""
    w = double(w)
    bad = ~((w >= 0) & np.isfinite(w))
    if bad.any():
        raise DomainError("weight", int(bad.argmax()))
    return float(w.sum())
