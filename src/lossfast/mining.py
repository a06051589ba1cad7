"""Losses of triplets that are found in a batch by labels."""

from __future__ import annotations

import numpy as np

from lossfast import _mining
from lossfast._arrays import Array
from lossfast._declarations import Gradients, Mining, Param, flag, nonnegative
from lossfast._loss import in_batch
from lossfast.metric import distance_of

_MARGIN = "By how much negatives should be farther away than positives."
_DISTANCE = Param(
    "euclidean",
    '``"euclidean"``, ``"squared"`` for its square, or ``"cosine"`` for ``1 - cos(a, b)``.',
    kind=str,
    choices=("euclidean", "squared", "cosine"),
    tests=("squared", "cosine"),
)


def _pairs(embeddings: Array, distance: str) -> tuple[Array, Array, Array]:
    """Distances of all pairs, and their gradients by the first and by the second vector."""
    n, k = embeddings.shape
    a, b = (np.broadcast_to(x, (n, n, k)) for x in (embeddings[:, None], embeddings[None]))
    d, (by_a, by_b) = distance_of(a, b, distance, 2.0, 0.0)
    return d, by_a, by_b


@in_batch(
    "BatchHardTriplet",
    Mining,
    formula="max(0, max_p d(x, x_p) - min_n d(x, x_n) + margin) over positives p and negatives n;"
    "  with soft_margin: log(1 + exp(max_p d(x, x_p) - min_n d(x, x_n)))",
    rows=_mining.hardest,
    aliases=("BatchHardTripletLoss", "batch_hard", "triplet_hard_loss"),
    margin=nonnegative(1.0, _MARGIN, tests=(0.25,)),
    distance=_DISTANCE,
    soft_margin=flag("Whether a softplus stands for margin and maximum."),
)
def batch_hard_triplet(
    labels: Array, embeddings: Array, weight: Array, margin: float, distance: str, soft_margin: bool
) -> Gradients:
    """Batch-hard triplet loss: of each anchor the farthest vector with its label and the nearest without.

    See Also
    --------
    batch_all_triplet : all triplets of the batch.
    triplet : of triplets that are given.

    Notes
    -----
    The mean is that over anchors that have both positives and negatives.  Embeddings are not normalised.  At a distance
    of 0, where the maximum is 0, and by a vector of zeros with the cosine distance, gradients are 0; vectors count as
    equal where they differ by less than 4e-8 of their distance from the batch's mean.  A NaN is in the distances of
    every anchor.  Of several that are equally far the first counts.

    Only a block of rows of distances is in memory at a time, in float64.  The matrix products are NumPy's: the number
    of its threads may change their roundings.

    References
    ----------
    A. Hermans, L. Beyer, B. Leibe, "In defense of the triplet loss for person re-identification", 2017,
    arXiv:1703.07737, equation 5.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.batch_hard_triplet([0, 0, 1, 1], [[0.0], [3.0], [2.0], [5.0]], reduction="none")
    array([2., 3., 3., 2.])
    """
    d, by_a, by_b = _pairs(embeddings, distance)
    value, gradient = np.zeros(len(d)), np.zeros_like(embeddings)
    for a, label in enumerate(labels):
        positives = [p for p, other in enumerate(labels) if other == label and p != a]
        negatives = [n for n, other in enumerate(labels) if other != label]
        if not positives or not negatives:
            continue
        p, n = max(positives, key=lambda i: d[a, i]), min(negatives, key=lambda i: d[a, i])
        x = d[a, p] - d[a, n] + (0.0 if soft_margin else margin)
        value[a] = np.log1p(np.exp(x)) if soft_margin else max(0.0, x)
        slope = weight[a] * (1 / (1 + np.exp(-x)) if soft_margin else float(x > 0))
        gradient[a] += slope * (by_a[a, p] - by_a[a, n])
        gradient[p] += slope * by_b[a, p]
        gradient[n] -= slope * by_b[a, n]
    return Gradients(value, (gradient,))


@in_batch(
    "BatchAllTriplet",
    Mining,
    formula="sum of max(0, d(x, x_p) - d(x, x_n) + margin) over positives p and negatives n",
    rows=_mining.every,
    by_pairs=True,
    aliases=("BatchAllTripletLoss", "batch_all"),
    margin=nonnegative(1.0, _MARGIN, tests=(0.25,)),
    distance=_DISTANCE,
)
def batch_all_triplet(labels: Array, embeddings: Array, weight: Array, margin: float, distance: str) -> Gradients:
    """Batch-all triplet loss: all triplets of an anchor, a vector with its label and one without.

    See Also
    --------
    batch_hard_triplet : of each anchor only the hardest triplet.
    triplet : of triplets that are given.

    Notes
    -----
    The mean is that over all triplets with a loss above 0, as in the paper and in pytorch-metric-learning's
    TripletMarginLoss (which normalises the embeddings and has a margin of 0.05): sum(w l) / sum(w triplets); if there
    are none, it is 0.  ``full_output=True`` tells how many there are.  Embeddings are not normalised.  At a distance of
    0, where the maximum is 0, and by a vector of zeros with the cosine distance, gradients are 0; vectors count as
    equal where they differ by less than 4e-8 of their distance from the batch's mean.  A NaN is in the distances of
    every anchor.

    The distances of each anchor are sorted, so that time grows with N**2 log N, however many triplets there are.  Only
    a block of rows of them is in memory at a time, in float64.  The matrix products are NumPy's: the number of its
    threads may change their roundings.

    References
    ----------
    A. Hermans, L. Beyer, B. Leibe, "In defense of the triplet loss for person re-identification", 2017,
    arXiv:1703.07737, equation 6.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.batch_all_triplet([0, 0, 1, 1], [[0.0], [3.0], [2.0], [6.0]], full_output=True)
    (2.5, array([1, 2, 2, 1]))
    """
    d, by_a, by_b = _pairs(embeddings, distance)
    value, gradient = np.zeros(len(d)), np.zeros_like(embeddings)
    for a, p, n in np.ndindex(*d.shape, len(d)):
        if a == p or labels[a] != labels[p] or labels[a] == labels[n]:
            continue
        x = d[a, p] - d[a, n] + margin
        if x > 0:
            value[a] += x
            gradient[a] += weight[a] * (by_a[a, p] - by_a[a, n])
            gradient[p] += weight[a] * by_b[a, p]
            gradient[n] -= weight[a] * by_b[a, n]
    return Gradients(value, (gradient,))
