"""Numbers with their derivatives: a formula of them has its gradient by the chain rule, written nowhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossfast._arrays import Array


class Dual:
    """A quantity with its derivatives by some variables, along a last axis.

    A maximum of two that are equal has the slope 1/2 by each.
    """

    __array_ufunc__ = None  # arrays leave operations with a Dual to it

    def __init__(self, value: Any, grad: Any) -> None:
        self.value: Array = np.asarray(value)
        self.grad: Array = np.asarray(grad)

    @staticmethod
    def variables(x: Array) -> tuple[Dual, ...]:
        """The columns of an array as the variables."""
        n = x.shape[-1]
        return tuple(Dual(x[..., k], np.broadcast_to(np.eye(n)[k], x.shape)) for k in range(n))

    def _with(self, value: Any, slope: Any) -> Dual:
        return Dual(value, np.asarray(slope)[..., None] * self.grad)

    def _lift(self, other: Any) -> Dual:
        return other if isinstance(other, Dual) else Dual(other, np.zeros(self.grad.shape))

    def __add__(self, other: Any) -> Dual:
        b = self._lift(other)
        return Dual(self.value + b.value, self.grad + b.grad)

    __radd__ = __add__

    def __neg__(self) -> Dual:
        return Dual(-self.value, -self.grad)

    def __sub__(self, other: Any) -> Dual:
        return self + (-self._lift(other))

    def __rsub__(self, other: Any) -> Dual:
        return self._lift(other) - self

    def __mul__(self, other: Any) -> Dual:
        b = self._lift(other)
        return Dual(self.value * b.value, self.value[..., None] * b.grad + b.value[..., None] * self.grad)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Dual:
        """0 where the denominator is."""
        b = self._lift(other)
        nothing = b.value == 0
        inverse = np.where(nothing, 0.0, 1 / np.where(nothing, 1.0, b.value))
        ratio = self.value * inverse
        return Dual(ratio, inverse[..., None] * (self.grad - ratio[..., None] * b.grad))

    def __pow__(self, n: float) -> Dual:
        return self._with(self.value**n, n * self.value ** (n - 1))

    def __abs__(self) -> Dual:
        return self._with(np.abs(self.value), np.sign(self.value))

    def exp(self) -> Dual:
        """The exponential."""
        return self._with(np.exp(self.value), np.exp(self.value))

    def where(self, condition: Any, other: Any) -> Dual:
        """This one, but the other where the condition is not met."""
        b = self._lift(other)
        return Dual(np.where(condition, self.value, b.value), np.where(condition[..., None], self.grad, b.grad))


def maximum(a: Dual, b: Any) -> Dual:
    """The larger one; NaN where there is one."""
    b = a._lift(b)
    share = np.where(a.value == b.value, 0.5, np.where(a.value > b.value, 1.0, 0.0))[..., None]
    return Dual(np.maximum(a.value, b.value), share * a.grad + (1 - share) * b.grad)


def minimum(a: Dual, b: Any) -> Dual:
    """The smaller one."""
    return -maximum(-a, -a._lift(b))


def arctan2(y: Dual, x: Dual) -> Dual:
    """The angle of a point, without a gradient at the origin."""
    square = x.value**2 + y.value**2
    inverse = np.where(square == 0, 0.0, 1 / np.where(square == 0, 1.0, square))
    by_y, by_x = (inverse * x.value)[..., None], (inverse * y.value)[..., None]
    return Dual(np.arctan2(y.value, x.value), by_y * y.grad - by_x * x.grad)
