"""Losses of the scores by which items are ranked, in groups: the documents of a query, the goods of a customer."""

from __future__ import annotations

import numpy as np

from lossfast import _ranking
from lossfast._arrays import Array
from lossfast._declarations import Jet
from lossfast._loss import ranking


@ranking(
    "RankingSoftmax",
    formula="-sum_i y_true_i log(p_i) of each group,  p = softmax(y_pred) over its items",
    pairs=False,
    passed=_ranking.softmax,
    aliases=("ListNet", "ranking_softmax_loss", "softmax_loss"),
)
def ranking_softmax(y_true: Array, y_pred: Array) -> Jet:
    """Ranking softmax loss (ListNet): of each group the cross-entropy of its relevance and the softmax of its scores.

    See Also
    --------
    pairwise_logistic : of the pairs of each group.

    Notes
    -----
    The mean is that over groups which have items, as in Optax and TF-Ranking: relevance is taken as it is, and need not
    add up to 1; groups without any relevance have the loss 0.  Weights of items, as Optax's `weights`, are factors of
    `y_true`.  A NaN stays in its group.

    References
    ----------
    Z. Cao, T. Qin, T.-Y. Liu, M.-F. Tsai, H. Li, "Learning to rank: from pairwise approach to listwise approach", ICML
    2007, doi:10.1145/1273496.1273513.
    S. Bruch, X. Wang, M. Bendersky, M. Najork, "An analysis of the softmax cross entropy loss for learning-to-rank with
    binary relevance", ICTIR 2019, doi:10.1145/3341981.3344221.

    Examples
    --------
    >>> import lossfast as lf
    >>> y_true, y_pred = [0, 1, 2, 0, 1], [0.0, 0.0, 0.0, 1.0, 1.0]
    >>> lf.ranking_softmax(y_true, y_pred, group_sizes=[3, 2], reduction="none").round(6)
    array([3.295837, 0.693147])
    >>> round(lf.ranking_softmax(y_true, y_pred, groups=[7, 7, 7, 8, 8]), 6)
    1.994492
    """
    e = np.exp(y_pred - y_pred.max())
    p, total = e / e.sum(), y_true.sum()
    log_p = y_pred - y_pred.max() - np.log(e.sum())
    value = -np.where(y_true == 0, 0.0, y_true * log_p).sum()
    return Jet(value, total * p - y_true, total * p * (1 - p))


@ranking(
    "PairwiseLogistic",
    formula="sum of log(1 + exp(y_pred_j - y_pred_i)) over the pairs of each group with y_true_i > y_true_j",
    pairs=True,
    passed=_ranking.pairs,
    aliases=("RankNet", "pairwise_logistic_loss", "rank:pairwise"),
)
def pairwise_logistic(y_true: Array, y_pred: Array) -> Jet:
    """Pairwise logistic loss (RankNet): of each pair of a group the more relevant item should have the higher score.

    See Also
    --------
    ranking_softmax : of each group as a whole.
    margin_ranking : of pairs that are given.

    Notes
    -----
    The mean is that over the pairs of all groups: sum(w l) / sum(w pairs); ``reduction="sample"`` gives the mean over
    the pairs of each group, ``"sum_over_batch_size"`` the mean over groups of sums.  Items of equal relevance are no
    pair, and a group of one relevance has the loss 0.  A NaN stays in its group.

    Time grows with the sum of the squares of the sizes of groups, memory with the number of items.

    References
    ----------
    C. Burges et al., "Learning to rank using gradient descent", ICML 2005, doi:10.1145/1102351.1102363.

    Examples
    --------
    >>> import lossfast as lf
    >>> y_true, y_pred = [0, 1, 2, 0, 1], [0.0, 0.0, 0.0, 1.0, 1.0]
    >>> round(lf.pairwise_logistic(y_true, y_pred, group_sizes=[3, 2]), 6)
    0.693147
    >>> lf.pairwise_logistic.grad(y_true, y_pred, group_sizes=[3, 2])
    array([ 0.25 ,  0.   , -0.25 ,  0.125, -0.125])
    """
    value, grad, hess = np.zeros(()), np.zeros_like(y_pred), np.zeros_like(y_pred)
    for i, label in enumerate(y_true):
        for sign, others in ((1, y_true < label), (-1, y_true > label)):
            d = sign * (y_pred[others] - y_pred[i])
            slope = np.exp(-np.logaddexp(0, -d))
            value += np.logaddexp(0, d).sum() if sign > 0 else 0.0
            grad[i] -= sign * slope.sum()
            hess[i] += (slope * np.exp(-np.logaddexp(0, d))).sum()
    return Jet(value, grad, hess)
