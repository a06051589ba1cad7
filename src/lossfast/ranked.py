"""Metrics of rankings: how far up in each group its relevant items are, by their scores."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from lossfast import _arrays
from lossfast._arrays import Array, position
from lossfast._evaluate import Fault, choice
from lossfast._groups import Grouping, grouping
from lossfast._numpy import exact_sum

GAINS = ("exponential", "linear")
TIES = ("average", "order")
EMPTY = ("zero", "one", "skip")
REDUCTIONS = ("mean", "none")


class _Ranked:
    """Items of each group from the highest score to the lowest, as they are given where scores are equal."""

    def __init__(self, y_true: Any, y_score: Any, groups: Any, group_sizes: Any, where: Any, relevance: bool) -> None:
        score = _arrays.prediction(y_score, "y_score")
        target = _arrays.as_array("y_true", y_true)
        if target.shape != score.shape:
            raise ValueError(f"y_true has shape {target.shape} and y_score {score.shape}, expected equal shapes")
        given = grouping(score.shape, groups, group_sizes, where, "y_score")
        y, s = (given.taken(x).astype(np.float64) for x in (target, score))
        for name, x, bad, expected in (
            ("y_score", score, np.isnan(s), "a number"),
            ("y_true", target, ~(y >= 0) | np.isinf(y) if relevance else np.isnan(y), "a finite number of at least 0"),
        ):
            if bad.any():
                at = given.at(int(bad.argmax()), x.shape)
                raise ValueError(str(Fault(name, at, x[at], expected if relevance else "a number")))
        self.given, self.target = given, target
        self.groups: Grouping = given.sorted(-s)
        self.relevance, scores = (self.groups.taken(x).astype(np.float64) for x in (target, score))
        self.place = np.arange(len(scores)) - self.groups.each(self.groups.starts[:-1])  # in its group, from 0
        first = self.place == 0
        first[1:] |= scores[1:] != scores[:-1]
        self.tie = np.cumsum(first) - 1  # which run of equal scores an item is in
        self.tie_ends = np.append(np.flatnonzero(first)[1:], len(scores))[self.tie] if len(scores) else self.tie

    def best(self) -> Array:
        """The relevance of the items of each group, the highest first."""
        group = self.groups.each(np.arange(len(self.groups.sizes)))
        found: Array = self.relevance[np.lexsort((-self.relevance, group))]
        return found

    def rank(self) -> Array:
        """Of each item, from 1; of equal scores all have the last one's."""
        ranks: Array = self.place[self.tie_ends - 1] + 1
        return ranks


def _at(k: int | None) -> float:
    if k is None:
        return np.inf
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise TypeError(f"k is {k!r}, expected an integer or None")
    if k < 1:
        raise ValueError(f"k is {k}, expected at least 1")
    return int(k)


def _reduced(
    values: Array, relevant: Array, shape: tuple[int, ...], sample_weight: Any, empty: str, reduction: str
) -> tuple[Array, Array]:
    """Values and weights of the groups, having been checked."""
    choice("empty", empty, EMPTY)
    choice("reduction", reduction, REDUCTIONS)
    weight = np.ones(shape)
    if sample_weight is not None:
        given = np.broadcast_to(_arrays.leading("sample_weight", sample_weight, shape), shape).astype(np.float64)
        bad = ~((given >= 0) & np.isfinite(given))
        if bad.any():
            at = np.unravel_index(int(bad.argmax()), shape)[: np.ndim(sample_weight)]
            raise ValueError(f"sample_weight{position(at)} is {given[bad][0]}, expected a finite number of at least 0")
        weight = given
    none = {"zero": 0.0, "one": 1.0, "skip": np.nan}[empty]
    values = np.where(relevant, values, none).reshape(shape)
    return values, np.where(np.isnan(values), 0.0, weight)


def _ndcg(
    y_true: Any,
    y_score: Any,
    k: int | None,
    groups: Any,
    group_sizes: Any,
    where: Any,
    gains: str = "exponential",
    ties: str = "average",
) -> tuple[Array, Array, tuple[int, ...]]:
    """The value of each group, which have relevant items, and the shape of the values."""
    choice("gains", gains, GAINS)
    choice("ties", ties, TIES)
    limit = _at(k)
    ranked = _Ranked(y_true, y_score, groups, group_sizes, where, relevance=True)

    def gain(relevance: Array) -> Array:
        return np.exp2(relevance) - 1 if gains == "exponential" else relevance

    if gains == "exponential" and (ranked.relevance > 1000).any():
        largest = int(ranked.given.taken(ranked.target).argmax())
        at = ranked.given.at(largest, ranked.target.shape)
        raise ValueError(str(Fault("y_true", at, ranked.target[at], 'at most 1000 with gains="exponential"')))
    discount = np.where(ranked.place < limit, 1 / np.log2(ranked.place + 2), 0.0)
    ideal = ranked.groups.sums(discount * gain(ranked.best()))
    if ties == "average":
        discount = (np.bincount(ranked.tie, discount) / np.bincount(ranked.tie))[ranked.tie]
    found = ranked.groups.sums(discount * gain(ranked.relevance))
    some = ideal > 0
    return np.where(some, found / np.where(some, ideal, 1.0), 0.0), some, ranked.groups.shape


def _average_precision(
    y_true: Any, y_score: Any, k: int | None, groups: Any, group_sizes: Any, where: Any
) -> tuple[Array, Array, tuple[int, ...]]:
    limit = _at(k)
    ranked = _Ranked(y_true, y_score, groups, group_sizes, where, relevance=False)
    relevant, rank = ranked.relevance > 0, ranked.rank()
    so_far: Array = np.cumsum(relevant) - ranked.groups.each(_before(ranked.groups, relevant))
    precision = np.where(relevant & (rank <= limit), so_far[ranked.tie_ends - 1] / rank, 0.0)
    number = ranked.groups.sums(relevant.astype(np.float64))
    return ranked.groups.sums(precision) / np.clip(number, 1, limit), number > 0, ranked.groups.shape


def _before(groups: Grouping, x: Array) -> Array:
    """The sum of all items of the groups before each."""
    total: Array = np.concatenate([[0], np.cumsum(x)])[groups.starts[:-1]]
    return total


def _reciprocal_rank(
    y_true: Any, y_score: Any, k: int | None, groups: Any, group_sizes: Any, where: Any
) -> tuple[Array, Array, tuple[int, ...]]:
    limit = _at(k)
    ranked = _Ranked(y_true, y_score, groups, group_sizes, where, relevance=False)
    relevant, rank = ranked.relevance > 0, ranked.rank()
    first = np.full(len(ranked.groups.sizes), np.inf)
    np.minimum.at(first, ranked.groups.each(np.arange(len(first)))[relevant], rank[relevant])
    return np.where(first <= limit, 1 / first, 0.0), np.isfinite(first), ranked.groups.shape


_METRICS: dict[str, Callable[..., tuple[Array, Array, tuple[int, ...]]]] = {
    "ndcg": _ndcg,
    "mean_average_precision": _average_precision,
    "mean_reciprocal_rank": _reciprocal_rank,
}


class RankingMetric:
    """A metric of rankings that come batch by batch: the mean over all groups, the same bits however they are split.

    Parameters
    ----------
    metric : {"ndcg", "mean_average_precision", "mean_reciprocal_rank"}
        Which one.
    k, empty
        As for the function of that name.
    **options
        For ``"ndcg"``: `gains` and `ties`.

    Attributes
    ----------
    groups : int
        How many groups the mean is over so far.

    Examples
    --------
    >>> import lossfast as lf
    >>> metric = lf.RankingMetric("mean_reciprocal_rank")
    >>> metric.update([0, 1, 0], [0.9, 0.5, 0.1])
    >>> metric.update([1, 0, 0, 1], [0.3, 0.2, 0.8, 0.1], group_sizes=[2, 2])
    >>> metric.groups, metric.result()
    (3, 0.6666666666666666)
    """

    def __init__(self, metric: str = "ndcg", *, k: int | None = None, empty: str = "zero", **options: Any) -> None:
        choice("metric", metric, tuple(_METRICS))
        choice("empty", empty, EMPTY)
        _at(k)
        known = {"gains": GAINS, "ties": TIES} if metric == "ndcg" else {}
        for name, value in options.items():
            if name not in known:
                raise TypeError(f"{metric} has no option {name!r}")
            choice(name, value, known[name])
        self.metric, self.k, self.empty, self.options = metric, k, empty, options
        self.groups = 0
        self._total = self._weight = 0  # exact

    def update(
        self,
        y_true: Any,
        y_score: Any,
        *,
        groups: Any = None,
        group_sizes: Any = None,
        where: Any = None,
        sample_weight: Any = None,
    ) -> None:
        """Take in more groups; a group is never split between batches."""
        found = _METRICS[self.metric](y_true, y_score, self.k, groups, group_sizes, where, **self.options)
        values, weight = _reduced(*found, sample_weight, self.empty, "none")
        counted = ~np.isnan(values)
        self._total += exact_sum((weight * np.where(counted, values, 0.0)).reshape(-1))
        self._weight += exact_sum(weight.reshape(-1))
        self.groups += int(counted.sum())

    def merge(self, other: RankingMetric) -> None:
        """Take in all that another of the same metric and options has seen."""
        if not isinstance(other, RankingMetric):
            raise TypeError(f"other is {other!r}, expected a RankingMetric")
        mine, theirs = (repr(x).rpartition(", groups=")[0] for x in (self, other))
        if mine != theirs:
            raise ValueError(f"other is {theirs}), expected {mine})")
        self._total += other._total
        self._weight += other._weight
        self.groups += other.groups

    def result(self) -> float:
        """The weighted mean, rounded once; of no groups 0.0."""
        return float(Fraction(self._total, self._weight)) if self._weight else 0.0

    def __repr__(self) -> str:
        options = {"k": self.k, "empty": self.empty, **dict(sorted(self.options.items()))}
        words = ", ".join(f"{name}={value!r}" for name, value in options.items())
        return f"RankingMetric({self.metric!r}, {words}, groups={self.groups})"


def _evaluated(metric: str, *operands: Any, sample_weight: Any, empty: str, reduction: str, **options: Any) -> Any:
    found = _METRICS[metric](*operands, **options)
    values, weight = _reduced(*found, sample_weight, empty, reduction)
    if reduction == "none":
        return values
    terms = (weight * np.where(np.isnan(values), 0.0, values)).reshape(-1)
    total = exact_sum(weight.reshape(-1))
    return float(Fraction(exact_sum(terms), total)) if total else 0.0


def ndcg(
    y_true: Any,
    y_score: Any,
    *,
    k: int | None = None,
    groups: Any = None,
    group_sizes: Any = None,
    where: Any = None,
    gains: str = "exponential",
    ties: str = "average",
    sample_weight: Any = None,
    empty: str = "zero",
    reduction: str = "mean",
) -> Any:
    """Normalized discounted cumulative gain (NDCG), of 1 where every group is in the order of its relevance.

    The sum of gain / log2(1 + rank) over the items of a group, ranked by score, divided by that in the best order.

    Parameters
    ----------
    y_true : array_like
        Relevance of the items, finite and at least 0.
    y_score : array_like
        Their scores, of the same shape.
    k : int, optional
        Only the first `k` ranks count, in both orders.
    groups : array_like of int, optional
        For items in one axis: which group each is in, as the ids of queries, in any order.
    group_sizes : array_like of int, optional
        Instead: how many items each group has, one group after another.  With neither, the items along the last axis
        are a group.
    where : array_like of bool, optional
        False for items that are left out as if they were not there.
    gains : {"exponential", "linear"}
        ``2**y_true - 1``, or ``y_true`` itself as scikit-learn has it.
    ties : {"average", "order"}
        Items of equal scores share the mean of their discounts, as in scikit-learn: what a random order gives on
        average; or they are ranked in the order in which they are given.
    sample_weight : array_like, optional
        Non-negative weights of the groups.
    empty : {"zero", "one", "skip"}
        What a group without relevant items counts as; ``"skip"``: for nothing.
    reduction : {"mean", "none"}
        The mean over groups, or an array of a value for each (NaN for those skipped), ids in ascending order.

    Returns
    -------
    float or ndarray

    Raises
    ------
    ValueError
        For shapes that do not fit, relevance below 0 or not finite, scores that are NaN, with the first bad position.
    TypeError
        For arrays that do not hold numbers.

    See Also
    --------
    RankingMetric : the same of a stream.

    References
    ----------
    K. Jarvelin, J. Kekalainen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20 (2002) 422-446,
    doi:10.1145/582415.582418.
    F. McSherry, M. Najork, "Computing information retrieval performance measures efficiently in the presence of tied
    scores", ECIR 2008, doi:10.1007/978-3-540-78646-7_38 (`ties`).

    Examples
    --------
    >>> import lossfast as lf
    >>> y_true, y_score = [[3, 2, 0, 1]], [[0.9, 0.2, 0.5, 0.1]]
    >>> round(lf.ndcg(y_true, y_score), 6), round(lf.ndcg(y_true, y_score, k=2, gains="linear"), 6)
    (0.950801, 0.703918)
    """
    return _evaluated(
        "ndcg", y_true, y_score, k, groups, group_sizes, where, gains=gains, ties=ties,
        sample_weight=sample_weight, empty=empty, reduction=reduction,
    )  # fmt: skip


def mean_average_precision(
    y_true: Any,
    y_score: Any,
    *,
    k: int | None = None,
    groups: Any = None,
    group_sizes: Any = None,
    where: Any = None,
    sample_weight: Any = None,
    empty: str = "zero",
    reduction: str = "mean",
) -> Any:
    """Mean average precision (MAP): over the relevant items of a group, the mean of the precision down to each.

    Parameters
    ----------
    y_true : array_like
        Relevance of the items: those above 0 are relevant.
    y_score, groups, group_sizes, where, sample_weight, empty, reduction
        As for `ndcg`.
    k : int, optional
        Only relevant items within the first `k` ranks count, and their sum is divided by `k` if there are more.

    Returns
    -------
    float or ndarray

    See Also
    --------
    RankingMetric : the same of a stream.

    Notes
    -----
    Items of equal scores all have the rank of the last of them, as in scikit-learn's average_precision_score and
    label_ranking_average_precision_score (which gives a group without relevant items 1).

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.mean_average_precision([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.6])
    0.8333333333333333
    """
    return _evaluated(
        "mean_average_precision", y_true, y_score, k, groups, group_sizes, where,
        sample_weight=sample_weight, empty=empty, reduction=reduction,
    )  # fmt: skip


def mean_reciprocal_rank(
    y_true: Any,
    y_score: Any,
    *,
    k: int | None = None,
    groups: Any = None,
    group_sizes: Any = None,
    where: Any = None,
    sample_weight: Any = None,
    empty: str = "zero",
    reduction: str = "mean",
) -> Any:
    """Mean reciprocal rank (MRR): 1 / the rank of the first relevant item of each group.

    Parameters
    ----------
    y_true : array_like
        Relevance of the items: those above 0 are relevant.
    y_score, groups, group_sizes, where, sample_weight, empty, reduction
        As for `ndcg`.
    k : int, optional
        A group whose first relevant item is beyond the first `k` ranks has 0.

    Returns
    -------
    float or ndarray

    See Also
    --------
    RankingMetric : the same of a stream.

    Notes
    -----
    Items of equal scores all have the rank of the last of them.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.mean_reciprocal_rank([0, 0, 1, 1, 0], [3.0, 2.0, 1.0, 0.2, 0.1], groups=[1, 1, 1, 2, 2])
    0.6666666666666666
    """
    return _evaluated(
        "mean_reciprocal_rank", y_true, y_score, k, groups, group_sizes, where,
        sample_weight=sample_weight, empty=empty, reduction=reduction,
    )  # fmt: skip
