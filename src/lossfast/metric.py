"""Losses of embeddings: of vectors that should be near each other or far apart, and of scores to be ordered."""

from __future__ import annotations

import numpy as np

from lossfast import _in_batch
from lossfast._arrays import Array
from lossfast._declarations import (
    SIGN,
    Gradients,
    Jet,
    LabelledEmbedding,
    PairEmbedding,
    Param,
    RankingEmbedding,
    Retrieval,
    TripletEmbedding,
    VectorKernel,
    flag,
    nonnegative,
    positive,
)
from lossfast._loss import embedding, in_batch, pointwise

_AXIS = Param(-1, "The axis of the vectors.", kind=int, tests=(0,))
_WRT = Param(
    "y_pred",
    'Whether gradients are those by `y_pred`, or by ``"both"`` operands: then a tuple.',
    kind=str,
    choices=("y_pred", "both"),
    tests=("both",),
)


def _cosine(a: Array, b: Array) -> Gradients:
    """cos(a, b) with its gradients; 0 if one of them has no length, and so no direction."""
    norm_a, norm_b = (np.sqrt((x**2).sum(axis=-1, keepdims=True)) for x in (a, b))
    dot = (a * b).sum(axis=-1, keepdims=True)
    defined = (norm_a > 0) & (norm_b > 0) | np.isnan(dot)
    norm_a, norm_b = np.where(defined, norm_a, 1.0), np.where(defined, norm_b, 1.0)
    cosine = np.where(defined, np.clip(dot / (norm_a * norm_b), -1, 1), 0.0)
    by_a = np.where(defined, (b / norm_b - cosine * a / norm_a) / norm_a, 0.0)
    by_b = np.where(defined, (a / norm_a - cosine * b / norm_b) / norm_b, 0.0)
    return Gradients(cosine[..., 0], (by_a, by_b))


@embedding(
    "CosineSimilarity",
    PairEmbedding,
    formula="-cos(y_true, y_pred),  cos(a, b) = a.b / (|a| |b|)",
    kernel=lambda: VectorKernel("cosine", (0.0,), "cosine"),
    axis=_AXIS,
    wrt=_WRT,
)
def cosine_similarity(y_true: Array, y_pred: Array) -> Gradients:
    """Negative cosine of the angle between two vectors: -1 where they point the same way.

    See Also
    --------
    cosine_distance : 1 more, so that 0 is the least.

    Notes
    -----
    The sign is Keras's; torch and Optax give the cosine itself.  A vector of zeros (in float64 one of a norm below
    1e-150) has the cosine 0 with any other, and both gradients are 0.

    Examples
    --------
    >>> import lossfast as lf
    >>> round(lf.cosine_similarity([[1.0, 0.0], [0.0, 2.0]], [[1.0, 1.0], [0.0, 1.0]]), 6)
    -0.853553
    >>> lf.cosine_similarity.grad([3.0, 4.0], [4.0, 3.0]).round(4)
    array([ 0.0336, -0.0448])
    >>> [g.round(4).tolist() for g in lf.cosine_similarity.grad([3.0, 4.0], [4.0, 3.0], wrt="both")]
    [[-0.0448, 0.0336], [0.0336, -0.0448]]
    """
    value, (by_true, by_pred) = _cosine(y_true, y_pred)
    return Gradients(-value, (-by_true, -by_pred))


@embedding(
    "CosineDistance",
    PairEmbedding,
    formula="1 - cos(y_true, y_pred),  cos(a, b) = a.b / (|a| |b|)",
    kernel=lambda: VectorKernel("cosine", (1.0,), "cosine"),
    axis=_AXIS,
    wrt=_WRT,
)
def cosine_distance(y_true: Array, y_pred: Array) -> Gradients:
    """Cosine distance of two vectors: 0 where they point the same way, 2 where they point away from each other.

    See Also
    --------
    cosine_similarity : the negative cosine.

    Notes
    -----
    A vector of zeros (in float64 one of a norm below 1e-150) has the distance 1 from any other, and both gradients
    are 0.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.cosine_distance([[1.0, 0.0], [0.0, 2.0]], [[0.0, 1.0], [0.0, 1.0]], reduction="none")
    array([1., 0.])
    """
    value, (by_true, by_pred) = _cosine(y_true, y_pred)
    return Gradients(1 - value, (-by_true, -by_pred))


@embedding(
    "CosineEmbedding",
    LabelledEmbedding,
    formula="1 - cos(x1, x2) if same, else max(0, cos(x1, x2) - margin)",
    aliases=("CosineEmbeddingLoss", "cosine_embedding_loss"),
    kernel=lambda margin: VectorKernel("cosine_embedding", (margin,), "cosine"),
    margin=Param(0.0, "The cosine that vectors which are not alike may have.", low=-1.0, high=1.0, tests=(0.5, -0.25)),
)
def cosine_embedding(same: Array, x1: Array, x2: Array, margin: float) -> Gradients:
    """Cosine embedding loss: vectors that are alike should point the same way, others should not.

    Notes
    -----
    A vector of zeros (in float64 one of a norm below 1e-150) has the cosine 0 with any other, and both gradients are
    0.  So they are where the cosine is the margin.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.cosine_embedding([1, -1], [[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [2.0, 0.0]], reduction="none")
    array([1., 1.])
    """
    cosine, grads = _cosine(x1, x2)
    above = cosine - margin
    value = np.where(same > 0, 1 - cosine, np.where(above <= 0, 0.0, above))
    sign = np.where(same > 0, -1.0, np.where(above <= 0, 0.0, 1.0))[..., None]
    return Gradients(value, _chained(sign, grads))


def _chained(by: Array, grads: tuple[Array, ...]) -> tuple[Array, ...]:
    """Where a loss does not depend on a distance, how that depends on the vectors does not matter."""
    return tuple(np.where(by == 0, 0.0, by * g) for g in grads)


def distance_of(a: Array, b: Array, kind: str, p: float, eps: float) -> Gradients:
    """The distance of two vectors with its gradients, which are 0 at a distance of 0."""
    if kind == "cosine":
        cosine, (by_a, by_b) = _cosine(a, b)
        return Gradients(1 - cosine, (-by_a, -by_b))
    d = a - b + eps
    if kind == "squared":
        return Gradients((d**2).sum(axis=-1), (2 * d, -2 * d))
    top = np.abs(d).max(axis=-1, keepdims=True)
    top = np.where((top > 0) & np.isfinite(top), top, 1.0)
    norm = top * ((np.abs(d) / top) ** p).sum(axis=-1, keepdims=True) ** (1 / p)
    step = np.sign(d) * (np.abs(d) / np.where(norm > 0, norm, 1.0)) ** (p - 1)
    return Gradients(norm[..., 0], (step, -step))


@embedding(
    "Contrastive",
    LabelledEmbedding,
    formula="d**2 if same, else max(0, margin - d)**2,  d = |x1 - x2|;  d and max(0, margin - d) if not squared",
    aliases=("ContrastiveLoss", "contrastive_loss"),
    kernel=lambda margin, squared: VectorKernel("contrastive", (margin, float(squared))),
    margin=positive(1.0, "The distance that vectors which are not alike should have.", tests=(2.5,)),
    squared=Param(True, "Whether terms are squared, as in the paper.", kind=bool, tests=(False,)),
)
def contrastive(same: Array, x1: Array, x2: Array, margin: float, squared: bool) -> Gradients:
    """Contrastive loss: vectors that are alike should be near each other, others apart by a margin.

    Notes
    -----
    In the paper a label of 0 means alike and the loss has the factor 1/2; here 1 does, as in most code, and there is
    none.  ``squared=False`` is pytorch-metric-learning's, without its normalisation of the vectors and its mean over
    positive losses.  At a distance of 0, and where it is the margin, gradients are 0.

    References
    ----------
    R. Hadsell, S. Chopra, Y. LeCun, "Dimensionality reduction by learning an invariant mapping", CVPR 2006,
    1735-1742, doi:10.1109/CVPR.2006.100.

    Examples
    --------
    >>> import lossfast as lf
    >>> x1, x2 = [[0.0, 0.0], [0.0, 0.0]], [[0.3, 0.4], [0.3, 0.4]]
    >>> lf.contrastive([1, 0], x1, x2, reduction="none").round(6)
    array([0.25, 0.25])
    >>> value, (by_x1, by_x2) = lf.contrastive.value_and_grad([1, 0], x1, x2)
    >>> by_x2.round(6)
    array([[ 0.3,  0.4],
           [-0.3, -0.4]])
    """
    d, grads = distance_of(x1, x2, "euclidean", 2.0, 0.0)
    short = np.where(margin - d <= 0, 0.0, margin - d)
    if squared:
        return Gradients(
            np.where(same > 0, d**2, short**2), _chained(np.where(same > 0, 2 * d, -2 * short)[..., None], grads)
        )
    by = np.where(same > 0, 1.0, np.where(short == 0, 0.0, -1.0))
    return Gradients(np.where(same > 0, d, short), _chained(by[..., None], grads))


@embedding(
    "Triplet",
    TripletEmbedding,
    formula="max(0, d(anchor, positive) - d(anchor, negative) + margin)",
    names=("triplet_margin",),
    aliases=("TripletMarginLoss", "triplet_margin_loss", "TripletLoss"),
    kernel=lambda margin, p, swap, distance, eps: VectorKernel("triplet", (margin, float(swap)), distance, p, eps),
    margin=nonnegative(1.0, "By how much the negative should be farther away than the positive.", tests=(0.25,)),
    p=Param(2.0, "Of the euclidean distance: the exponent of its norm.", low=1.0, high=1024.0, tests=(1.0, 3.0, 1.5)),
    swap=flag("Whether the negative's distance is that from the anchor or from the positive, whichever is smaller."),
    distance=Param(
        "euclidean",
        '``"euclidean"`` is ``(sum |a - b + eps|**p)**(1/p)``, ``"squared"`` is ``sum (a - b + eps)**2``, and\n'
        '``"cosine"`` is ``1 - cos(a, b)``.',
        kind=str,
        choices=("euclidean", "squared", "cosine"),
        tests=("squared", "cosine"),
    ),
    eps=nonnegative(0.0, "Added to every difference of two elements; torch has 1e-6.", tests=(1e-6,)),
)
def triplet(
    anchor: Array, positive: Array, negative: Array, margin: float, p: float, swap: bool, distance: str, eps: float
) -> Gradients:
    """Triplet loss: the anchor should be nearer to the positive than to the negative, by a margin.

    Notes
    -----
    At a distance of 0, where the maximum is 0, and by a vector of zeros with the cosine distance, gradients are 0.

    References
    ----------
    F. Schroff, D. Kalenichenko, J. Philbin, "FaceNet: a unified embedding for face recognition and clustering",
    CVPR 2015, 815-823, doi:10.1109/CVPR.2015.7298682.
    V. Balntas, E. Riba, D. Ponsa, K. Mikolajczyk, "Learning local feature descriptors with triplets and shallow
    convolutional neural networks", BMVC 2016, doi:10.5244/C.30.119 (`swap`).

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.triplet([[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 1.0]])
    5.0
    >>> value, (by_anchor, by_positive, by_negative) = lf.triplet.value_and_grad(
    ...     [[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 1.0]]
    ... )
    >>> by_anchor.round(6)
    array([[-0.6,  0.2]])
    """
    near, (near_by_anchor, near_by_positive) = distance_of(anchor, positive, distance, p, eps)
    far, (far_by_anchor, far_by_negative) = distance_of(anchor, negative, distance, p, eps)
    other, (other_by_positive, other_by_negative) = distance_of(positive, negative, distance, p, eps)
    swaps = (other < far) & swap
    value = near - np.where(swaps, other, far) + margin
    active = ~(value <= 0)
    by_near, by_far, by_other = ((x & active).astype(float)[..., None] for x in (True, ~swaps, swaps))
    grads = (
        sum(_chained(by_near, (near_by_anchor,)) + _chained(-by_far, (far_by_anchor,))),
        sum(_chained(by_near, (near_by_positive,)) + _chained(-by_other, (other_by_positive,))),
        sum(_chained(-by_far, (far_by_negative,)) + _chained(-by_other, (other_by_negative,))),
    )
    return Gradients(np.where(value <= 0, 0.0, value), grads)  # type: ignore[arg-type]


@embedding(
    "MarginRanking",
    RankingEmbedding,
    formula="max(0, margin - y (x1 - x2)),  y = 1 if y_true > 0 else -1",
    aliases=("MarginRankingLoss", "margin_ranking_loss"),
    kernel=lambda margin: VectorKernel("margin_ranking", (margin,)),
    vectors=False,
    margin=nonnegative(0.0, "By how much the one score should be above the other.", tests=(0.5,)),
)
def margin_ranking(y_true: Array, x1: Array, x2: Array, margin: float) -> Gradients:
    """Margin ranking loss: of two scores the one that should be higher should be so by a margin.

    Notes
    -----
    Where the maximum is 0, gradients are 0.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.margin_ranking([1, -1], [0.5, 0.5], [2.0, 2.0], reduction="none")
    array([1.5, 0. ])
    >>> lf.margin_ranking.grad([1, -1], [0.5, 2.5], [2.0, 2.0])
    (array([-0.5,  0.5]), array([ 0.5, -0.5]))
    """
    y = np.where(y_true > 0, 1.0, -1.0)
    value = margin - y * (x1 - x2)
    slope = np.where(value <= 0, 0.0, np.where(np.isnan(value), np.nan, y))
    return Gradients(np.where(value <= 0, 0.0, value), (-slope, slope))


@pointwise(
    "HingeEmbedding",
    formula="y_pred if y_true > 0, else max(0, margin - y_pred)",
    aliases=("HingeEmbeddingLoss", "hinge_embedding_loss"),
    target=SIGN,
    kinks=lambda margin: (margin,),
    kink_of=lambda y_true, y_pred: np.where(y_true > 0, np.inf, y_pred),
    margin=positive(1.0, "The distance that what is not alike should have.", tests=(0.5,)),
)
def hinge_embedding(y_true: Array, y_pred: Array, margin: float) -> Jet:
    """Hinge embedding loss of a distance: small for what is alike (1), at least the margin for what is not (-1 or 0).

    Notes
    -----
    Where the distance is the margin, the gradient is 0.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.hinge_embedding([1, -1], [0.25, 0.25], reduction="none")
    array([0.25, 0.75])
    """
    short = margin - y_pred
    value = np.where(y_true > 0, y_pred, np.where(short <= 0, 0.0, short))
    slope = np.where(y_true > 0, 1.0, np.where(short <= 0, 0.0, -1.0))
    return Jet(value, np.where(np.isnan(value), np.nan, slope), np.zeros_like(value))


_TEMPERATURE = "Similarities are divided by it: the lower, the more the nearest negatives count."


def _similarities(embeddings: Array, temperature: float) -> tuple[Array, Array, Array]:
    """Vectors of length 1, the lengths, and all cosines divided by the temperature."""
    norm = np.sqrt((embeddings**2).sum(axis=1, keepdims=True))
    unit = np.where(norm > 0, embeddings / np.where(norm > 0, norm, 1.0), embeddings)
    return unit, norm, unit @ unit.T / temperature


def _by_embeddings(by_similarity: Array, unit: Array, norm: Array, temperature: float) -> Array:
    """The gradient by vectors, from that by their similarities."""
    by_unit = (by_similarity + by_similarity.T) @ unit / temperature
    along = (by_unit * unit).sum(axis=1, keepdims=True)
    return np.where(norm > 0, (by_unit - along * unit) / np.where(norm > 0, norm, 1.0), 0.0)


@in_batch(
    "NTXent",
    formula="sum of -log(exp(s_p) / (exp(s_p) + sum of exp(s_n))) over positives p, with negatives n,"
    "  s_j = cos(x, x_j) / temperature",
    rows=_in_batch.pairs,
    by_pairs=True,
    names=("info_nce",),
    aliases=("NTXentLoss", "nt_xent", "InfoNCE"),
    temperature=positive(0.07, _TEMPERATURE, tests=(0.5,)),
)
def ntxent(labels: Array, embeddings: Array, weight: Array, temperature: float) -> Gradients:
    """Normalized temperature-scaled cross-entropy (NT-Xent, InfoNCE) of all positive pairs of a batch.

    See Also
    --------
    supervised_contrastive : with the other positives in the denominator, and a mean over anchors.

    Notes
    -----
    Positives of an anchor are the other vectors with its label, negatives those with another.  The mean is that over
    all pairs of an anchor and a positive, as in Optax and pytorch-metric-learning: sum(w l) / sum(w positives); an
    anchor without positives counts for nothing.  A vector of zeros has the similarity 0 with any other, and no
    gradient.  A NaN is in the similarities of every anchor.

    Only a block of rows of similarities is in memory at a time.  The matrix products are NumPy's: the number of its
    threads may change their roundings.

    References
    ----------
    K. Sohn, "Improved deep metric learning with multi-class N-pair loss objective", NIPS 2016.
    T. Chen, S. Kornblith, M. Norouzi, G. Hinton, "A simple framework for contrastive learning of visual
    representations", ICML 2020, arXiv:2002.05709.

    Examples
    --------
    >>> import lossfast as lf
    >>> x = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    >>> round(lf.ntxent([0, 0, 1, 1], x, temperature=1.0), 6)
    0.551445
    """
    unit, norm, s = _similarities(embeddings, temperature)
    alike = labels[:, None] == labels
    positive, negative = alike & ~np.eye(len(labels), dtype=bool), ~alike
    value, by = np.zeros(len(labels)), np.zeros_like(s)
    for i in range(len(labels)):
        for p in np.flatnonzero(positive[i]):
            terms = np.append(np.flatnonzero(negative[i]), p)
            top = s[i, terms].max()
            e = np.exp(s[i, terms] - top)
            value[i] += np.log(e.sum()) + top - s[i, p]
            by[i, terms] += weight[i] * e / e.sum()
            by[i, p] -= weight[i]
    return Gradients(value, (_by_embeddings(by, unit, norm, temperature),))


@in_batch(
    "SupervisedContrastive",
    formula="mean of -log(exp(s_p) / sum of exp(s_j)) over positives p, with all others j,"
    "  s_j = cos(x, x_j) / temperature",
    rows=_in_batch.others,
    by_pairs=False,
    names=("supcon",),
    aliases=("SupConLoss",),
    temperature=positive(0.1, _TEMPERATURE, tests=(0.5,)),
)
def supervised_contrastive(labels: Array, embeddings: Array, weight: Array, temperature: float) -> Gradients:
    """Supervised contrastive loss: each vector of a batch should be nearer to those with its label than to others.

    See Also
    --------
    ntxent : without the other positives in the denominator, and with a mean over pairs.

    Notes
    -----
    The mean is that over anchors that have positives: others with the same label.  The loss is L_out of the paper.
    A vector of zeros has the similarity 0 with any other, and no gradient.  A NaN is in the similarities of every
    anchor.

    Only a block of rows of similarities is in memory at a time.  The matrix products are NumPy's: the number of its
    threads may change their roundings.

    References
    ----------
    P. Khosla et al., "Supervised contrastive learning", NeurIPS 2020, arXiv:2004.11362.

    Examples
    --------
    >>> import lossfast as lf
    >>> x = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    >>> round(lf.supervised_contrastive([0, 0, 1, 1], x, temperature=1.0), 6)
    0.551445
    """
    unit, norm, s = _similarities(embeddings, temperature)
    itself = np.eye(len(labels), dtype=bool)
    positive = (labels[:, None] == labels) & ~itself
    value, by = np.zeros(len(labels)), np.zeros_like(s)
    for i in np.flatnonzero(positive.any(axis=1)):
        rest = ~itself[i]
        top = s[i, rest].max()
        e = np.where(rest, np.exp(s[i] - top), 0.0)
        value[i] = np.log(e.sum()) + top - s[i, positive[i]].mean()
        by[i] = weight[i] * (e / e.sum() - positive[i] / positive[i].sum())
    return Gradients(value, (_by_embeddings(by, unit, norm, temperature),))


@in_batch(
    "MultipleNegativesRanking",
    Retrieval,
    formula="-log(exp(s_ii) / sum_j exp(s_ij)),  s_ij = scale cos(anchors_i, positives_j);  symmetric: the mean of this"
    " and -log(exp(s_ii) / sum_j exp(s_ji))",
    aliases=("MultipleNegativesRankingLoss", "multiple_negatives_ranking_loss", "mnrl"),
    scale=positive(20.0, "What similarities are multiplied by: the inverse of a temperature.", tests=(2.0,)),
    symmetric=flag("Whether positives are to find their anchors too."),
    similarity=Param(
        "cosine",
        '``"cosine"``, or ``"dot"`` for the product of the vectors as they are.',
        kind=str,
        choices=("cosine", "dot"),
        tests=("dot",),
    ),
)
def multiple_negatives_ranking(
    anchors: Array, positives: Array, weight: Array, scale: float, symmetric: bool, similarity: str
) -> Gradients:
    """Multiple negatives ranking loss: each anchor should be nearer to its positive than to those of other anchors.

    See Also
    --------
    ntxent : of one array of vectors with labels.

    Notes
    -----
    Cross-entropy of the similarities to all positives of the batch, of which the others are negatives, as in
    sentence-transformers.  With the cosine a vector of zeros has the similarity 0 with any other, and no gradient.  A
    NaN in a positive is in the similarities of every anchor, one in an anchor in its own and in the gradients of all
    positives.

    Only a block of rows of similarities is in memory at a time.  The matrix products are NumPy's: the number of its
    threads may change their roundings.

    References
    ----------
    M. Henderson et al., "Efficient natural language response suggestion for Smart Reply", 2017, arXiv:1705.00652.
    A. Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021,
    arXiv:2103.00020 (`symmetric`).

    Examples
    --------
    >>> import lossfast as lf
    >>> questions, answers = [[1.0, 0.0], [0.0, 1.0]], [[2.0, 1.0], [1.0, 2.0]]
    >>> round(lf.multiple_negatives_ranking(questions, answers, scale=1.0), 6)
    0.494335
    >>> value, (by_questions, by_answers) = lf.multiple_negatives_ranking.value_and_grad(questions, answers)
    >>> by_questions.shape
    (2, 2)
    """
    a, b = anchors, positives
    if similarity == "cosine":
        norms = [np.sqrt((x**2).sum(axis=1, keepdims=True)) for x in (a, b)]
        a, b = (np.where(n > 0, x / np.where(n > 0, n, 1.0), x) for x, n in zip((a, b), norms, strict=True))
    s = scale * a @ b.T
    value, by = np.zeros(len(s)), np.zeros_like(s)
    for i in range(len(s)):
        for scores, slopes in ((s[i], by[i]), (s[:, i], by[:, i]))[: 1 + symmetric]:
            e = np.exp(scores - scores.max())
            value[i] += (np.log(e.sum()) + scores.max() - scores[i]) / (1 + symmetric)
            slopes += weight[i] * (e / e.sum() - (np.arange(len(s)) == i)) / (1 + symmetric)
    grads = scale * by @ b, scale * by.T @ a
    if similarity == "cosine":
        grads = tuple(  # type: ignore[assignment]
            np.where(n > 0, (g - (g * x).sum(axis=1, keepdims=True) * x) / np.where(n > 0, n, 1.0), 0.0)
            for g, x, n in zip(grads, (a, b), norms, strict=True)
        )
    return Gradients(value, grads)
