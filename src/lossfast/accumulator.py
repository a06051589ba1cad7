"""Losses of a stream: updated piece by piece, merged in any order, the same to the last bit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from lossfast._errors import EXACT_BITS
from lossfast._evaluate import moments
from lossfast._loss import Loss

STATE_VERSION = 1
_SUMS = ("weight", "loss", "square", "rows")  # of what divides the mean, of w l, w l^2 and of w
_COUNTS = ("count", "nan", "positive_inf", "negative_inf", "overflow")


class Summary(NamedTuple):
    """What an accumulator knows of the losses it has seen; `mean` and `std` are weighted.

    `mean` is `sum` / `weight`: with a `class_weight` the weights of the labels are part of that, as in a call.
    """

    mean: float
    sum: float
    weight: float
    count: int  # type: ignore[assignment]
    min: float
    max: float
    std: float
    nonfinite: int


class Accumulator:
    """Mean, sum, weight, count, extremes, standard deviation and number of non-finite values of a loss over a stream.

    The sums are exact: however a stream is split into updates, and in whatever order accumulators are merged, the
    result has the same bits.  Only where a total is turned into a float is it rounded, once.

    Parameters
    ----------
    loss : Loss
        The loss, with its parameters; `Loss.accumulator` makes one.

    Notes
    -----
    What is summed is each loss as float32 (float64 for float64 predictions), weighted in double precision.  Every
    number is exact until the end (R. M. Neal, "Fast exact summation using small and large superaccumulators",
    arXiv:1505.05571).

    Examples
    --------
    >>> import lossfast as lf
    >>> a, b = lf.mse.accumulator(), lf.mse.accumulator()
    >>> a.update([1.0, 2.0], [1.5, 2.0]); b.update([3.0], [1.0])
    >>> a.merge(b)
    >>> a.result().mean, a.result().count
    (1.4166666666666667, 3)
    """

    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        self._sums = dict.fromkeys(_SUMS, 0)  # exact, in units of 2**-EXACT_BITS
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._min, self._max = math.inf, -math.inf

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Take in more elements; after an error the accumulator is as it was before.

        Arguments are those of a call of the loss: (y_true, y_pred), or labels and logits; keywords also
        `sample_weight`, `n_threads`, `check` and parameters of the loss.
        """
        weight, loss, square, rows, *counts, low, high = moments(self.loss, args, kwargs)
        self._add((weight, loss, square, rows), counts, low, high)

    def merge(self, other: Accumulator) -> None:
        """Take in all that another accumulator of the same loss has seen."""
        if not isinstance(other, Accumulator):
            raise TypeError(f"other is {other!r}, expected an Accumulator")
        if other.loss != self.loss:
            raise ValueError(f"other accumulates {other.loss}, expected {self.loss}")
        self._add(other._sums.values(), other._counts.values(), other._min, other._max)

    def _add(self, sums: Any, counts: Any, low: float, high: float) -> None:
        seen_before = self._counts["count"] - self._counts["nan"]
        self._sums = {k: self._sums[k] + v for k, v in zip(_SUMS, sums, strict=True)}
        self._counts = {k: self._counts[k] + v for k, v in zip(_COUNTS, counts, strict=True)}
        if self._counts["count"] - self._counts["nan"] > seen_before:
            self._min, self._max = min(self._min, low), max(self._max, high)

    @property
    def count(self) -> int:
        """How many elements have been seen."""
        return self._counts["count"]

    def result(self) -> Summary:
        """The summary so far.

        Of nothing, or of weights that are all 0, the mean is 0.0, as it is for a call of the loss.  A NaN among the
        losses makes sum, mean and deviation NaN; `nonfinite` counts NaN and infinities.
        """
        counts = self._counts
        total = _ratio(self._sums["loss"], 1 << EXACT_BITS)
        if counts["nan"] or (counts["positive_inf"] and counts["negative_inf"]):
            total = math.nan
        elif counts["positive_inf"] or counts["negative_inf"]:
            total = math.inf if counts["positive_inf"] else -math.inf
        nonfinite = counts["nan"] + counts["positive_inf"] + counts["negative_inf"]
        seen = counts["count"] > counts["nan"]
        weight = self._sums["weight"]
        return Summary(
            mean=(_ratio(self._sums["loss"], weight) if not nonfinite else total) if weight else 0.0,
            sum=total,
            weight=_ratio(weight, 1 << EXACT_BITS),
            count=counts["count"],
            min=self._min if seen else math.nan,
            max=self._max if seen else math.nan,
            std=self._deviation() if not nonfinite else math.nan,
            nonfinite=nonfinite,
        )

    def _deviation(self) -> float:
        """sqrt(sum w l^2 / sum w - (sum w l / sum w)^2), exact up to the root; w is the sample weight alone."""
        _, first, second, weight = self._sums.values()
        if not weight:
            return 0.0
        if self._counts["overflow"]:
            return math.inf
        return math.sqrt(max(0.0, _ratio(second * weight - first * first, weight * weight)))

    def state(self) -> dict[str, Any]:
        """All that it holds, as plain data that JSON keeps without loss; `from_state` turns it back."""
        config = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in self.loss.get_params().items()}
        return {
            "version": STATE_VERSION,
            "loss": {"class_name": type(self.loss).__name__, "config": config},
            "sums": {k: hex(v) for k, v in self._sums.items()},
            "counts": dict(self._counts),
            "min": self._min.hex(),
            "max": self._max.hex(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Accumulator:
        """An accumulator from what `state` returned.

        Examples
        --------
        >>> import json
        >>> import lossfast as lf
        >>> a = lf.mae.accumulator()
        >>> a.update([0.0], [2.0])
        >>> lf.Accumulator.from_state(json.loads(json.dumps(a.state()))) == a
        True
        """
        from lossfast.catalogue import get

        if state.get("version") != STATE_VERSION:
            raise ValueError(f"state has version {state.get('version')!r}, expected {STATE_VERSION}")
        new = cls(get(state["loss"]))
        sums = {"rows": state["sums"]["weight"], **state["sums"]}  # which older states do not tell apart
        new._sums = {k: int(sums[k], 16) for k in _SUMS}
        new._counts = {k: int(state["counts"][k]) for k in _COUNTS}
        new._min, new._max = float.fromhex(state["min"]), float.fromhex(state["max"])
        return new

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Accumulator) and self.state() == other.state()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Accumulator({self.loss}, count={self.count}, mean={self.result().mean!r})"


def _ratio(numerator: int, denominator: int) -> float:
    """The nearest float, infinite where there is none."""
    try:
        return numerator / denominator
    except OverflowError:
        return math.inf if numerator > 0 else -math.inf
