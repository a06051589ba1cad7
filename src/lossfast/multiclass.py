"""Losses of one class of several: a row of predictions against a label or a distribution.

Each function below is the specification of its loss, in the form of the textbook: what the C kernels are tested
against, and what runs without them.  The class axis comes last; `t` are targets, rows of 0 and 1 where the caller has
labels.
"""

from __future__ import annotations

import numpy as np

from lossfast._declarations import Jet, Param, flag, fraction, nonnegative, positive, smallest_step
from lossfast._loss import classwise


def _times(weight, x):
    """A product that is 0 where the weight is, whatever x."""
    return np.where(weight == 0, 0.0, weight * x)


def _others(x):
    """For each class the sum over all the others, without cancellation."""
    before, after = np.zeros_like(x), np.zeros_like(x)
    before[..., 1:] = np.cumsum(x[..., :-1], axis=-1)
    after[..., :-1] = np.cumsum(x[..., :0:-1], axis=-1)[..., ::-1]
    return before + after


def _softmax(u):
    """log p, p and 1 - p of p = softmax(u), and logsumexp(u); one infinite logit is a class that is certain."""
    infinite = np.isposinf(u)
    certain = np.where(infinite.sum(axis=-1, keepdims=True) == 1, np.where(infinite, 0.0, -np.inf), u)
    d = certain - certain.max(axis=-1, keepdims=True)
    e = np.exp(d)
    top = np.arange(u.shape[-1]) == d.argmax(axis=-1)[..., None]
    rest = np.where(top & ~np.isnan(e), 0.0, e).sum(axis=-1, keepdims=True)
    p = e / (1 + rest)
    return d - np.log1p(rest), p, _others(p), u.max(axis=-1, keepdims=True) + np.log1p(rest)


def _by_logits(y_pred, temperature, z_loss, terms):
    """The sum over the classes of terms given as functions of log p, by the chain rule.

    `terms` of (log p, p, 1 - p) are values with derivatives a and b by log p.  The derivatives of log p_k by u_j are
    (k == j) - p_j and -p_j (1 - p_j).
    """
    scale = 1 / np.asarray(temperature, np.float64)[..., None]
    log_p, p, q, lse = _softmax(y_pred * scale)
    value, a, b = terms(log_p, p, q)
    grad = a * q - p * _others(a)
    hess = b * q**2 + p**2 * _others(b) - p * q * a.sum(axis=-1, keepdims=True)
    value = value.sum(axis=-1)
    if z_loss:
        value = value + z_loss * lse[..., 0] ** 2
        grad = grad + 2 * z_loss * lse * p
        hess = hess + 2 * z_loss * p * (p + lse * q)
    return Jet(value, scale * grad, scale**2 * hess)


def _by_probabilities(p, value, grad, hess):
    """The sum over the classes of terms with derivatives by their own p."""
    nan = np.where(np.isnan(p), np.nan, 0.0)
    return Jet((value + nan).sum(axis=-1), grad + nan, hess)


def _smoothed(t, s):
    return t * (1 - s) + s / t.shape[-1]


def _weights(class_weight):
    return np.float64(1.0) if class_weight is None else np.asarray(class_weight, np.float64)


def _terms(name, *own):
    """The pointwise kernel of a loss: weights of the classes (in the place of 1.0), smoothing, further parameters."""
    return lambda params, keep, share: (name, (1.0, keep, share, *(params[k] for k in own)))


SMOOTHED = "c_k = class_weight_k (t_k (1 - s) + s / C)"
SOFTMAX = "p = y_pred or softmax(y_pred / temperature)"
AXIS = Param(-1, "The axis of the classes.", kind=int)
FROM_LOGITS = flag(
    "Whether `y_pred` are logits (recommended: no logarithm of a rounded probability), whose softmax along `axis` are "
    "probabilities, or probabilities themselves, which are taken as they are: no sum is divided out."
)
SMOOTHING = fraction(
    0.0,
    "s: targets become ``t (1 - s) + s / C``, as in Keras and torch.",
    tests=(0.1, 1.0, {"label_smoothing": 0.3, "from_logits": True}),
)
CLASS_WEIGHT = nonnegative(
    None,
    "A weight for each class: it multiplies the terms of its class.  The mean over rows with labels divides by the "
    "weights of these labels, as torch's does.",
    none=True,
    per_class=True,
    scalar=False,
)
IGNORE_INDEX = Param(
    None,
    "A label whose rows are left out, as if they had been dropped: their gradient is 0.  Only with labels.  The name "
    "`ignore_class` is taken too.",
    kind=int,
    none=True,
)
TEMPERATURE = positive(
    1.0,
    "Logits are divided by it: a number, or an array of the shape of `y_pred` without its class axis, or of leading "
    "axes of that.  Only with logits.",
    array=True,
    tests=({"temperature": 2.0, "from_logits": True},),
)
Z_LOSS = nonnegative(
    0.0,
    "Adds ``z_loss logsumexp(y_pred / temperature)**2`` to each row, which keeps logits small.  Only with logits.",
    tests=({"z_loss": 0.1, "from_logits": True},),
)
EPS = smallest_step(
    "Probabilities are kept within ``[eps, 1]``; by default the machine epsilon of the arithmetic.  The gradient "
    "beyond is that of the bound.  Unused with logits."
)


def _crossentropy(t, y_pred, from_logits, label_smoothing, class_weight, temperature, z_loss, eps):
    c = _weights(class_weight) * _smoothed(t, label_smoothing)
    if from_logits:
        return _by_logits(y_pred, temperature, z_loss, lambda log_p, p, q: (-_times(c, log_p), 0 * p - c, 0 * p))
    p = np.clip(y_pred, eps, 1)
    return _by_probabilities(p, -_times(c, np.log(p)), -_times(c, 1 / p), _times(c, 1 / p**2))


CROSSENTROPY = {
    "kernel": "crossentropy",
    "terms": _terms("categorical_crossentropy", "eps"),
    "from_logits": FROM_LOGITS,
    "axis": AXIS,
    "label_smoothing": SMOOTHING,
    "class_weight": CLASS_WEIGHT,
    "temperature": TEMPERATURE,
    "z_loss": Z_LOSS,
    "eps": EPS,
}


@classwise(
    "CategoricalCrossentropy",
    formula=f"-sum_k c_k log(p_k),  {SMOOTHED},  {SOFTMAX}",
    names=("cce",),
    aliases={"softmax_cross_entropy": {"from_logits": True}, "safe_softmax_cross_entropy": {"from_logits": True}},
    labels=False,
    **CROSSENTROPY,
)
def categorical_crossentropy(t, y_pred, **params):
    """Cross-entropy of one-hot or soft targets and predicted classes.

    See Also
    --------
    sparse_categorical_crossentropy : the same for class labels.

    Notes
    -----
    Targets need not add up to 1.  A class whose target is 0 adds nothing, however improbable it is.  A logit of
    infinity is a class that is certain.

    References
    ----------
    Smoothing: C. Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016,
    doi:10.1109/CVPR.2016.308.  The term in the logsumexp: A. Chowdhery et al., "PaLM: scaling language modeling with
    pathways", JMLR 24 (2023), section 5, arXiv:2204.02311.

    Examples
    --------
    >>> import lossfast as lf
    >>> round(lf.categorical_crossentropy([[0, 1, 0], [0.5, 0, 0.5]], [[0.1, 0.8, 0.1], [0.25, 0.25, 0.5]]), 6)
    0.631432
    >>> lf.cce.grad([[0.0, 1.0]], [[0.0, 0.0]], from_logits=True)
    array([[ 0.5, -0.5]])
    """
    return _crossentropy(t, y_pred, **params)


@classwise(
    "SparseCategoricalCrossentropy",
    formula=f"-sum_k c_k log(p_k),  {SMOOTHED},  t_k = (k == y_true),  {SOFTMAX}",
    names=("scce",),
    aliases={
        "cross_entropy": {"from_logits": True},
        "CrossEntropyLoss": {"from_logits": True},
        "softmax_cross_entropy_with_integer_labels": {"from_logits": True},
        "HalfMultinomialLoss": {"from_logits": True},
        "multi:softmax": {"from_logits": True},
        "multi:softprob": {"from_logits": True},
        "multiclass": {"from_logits": True},
    },
    soft=False,
    ignore_index=IGNORE_INDEX,
    **CROSSENTROPY,
)
def sparse_categorical_crossentropy(t, y_pred, **params):
    """Cross-entropy of class labels and predicted classes: the negative log-likelihood of the label.

    See Also
    --------
    categorical_crossentropy : the same for one-hot or soft targets.

    References
    ----------
    Smoothing: C. Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016,
    doi:10.1109/CVPR.2016.308.  The term in the logsumexp: A. Chowdhery et al., "PaLM: scaling language modeling with
    pathways", JMLR 24 (2023), section 5, arXiv:2204.02311.

    Examples
    --------
    >>> import lossfast as lf
    >>> round(lf.sparse_categorical_crossentropy([1, 2], [[0.1, 0.8, 0.1], [0.25, 0.25, 0.5]]), 6)
    0.458145
    >>> lf.scce.grad([1, -1], [[0.0, 0.0], [3.0, 1.0]], from_logits=True, ignore_index=-1)
    array([[ 0.5, -0.5],
           [ 0. ,  0. ]])
    """
    return _crossentropy(t, y_pred, **params)


def _kld_terms(params, keep, share):
    return ("kullback_leibler_log", ()) if params["log_input"] else ("kullback_leibler", (params["eps"],))


@classwise(
    "KLDivergence",
    formula="sum_k t_k log(t_k / p_k),  p = y_pred, softmax(y_pred / temperature) or exp(y_pred)",
    names=("kld", "kl_divergence"),
    aliases={"KLDivLoss": {"log_input": True}, "kl_div": {"log_input": True}, "kullback_leibler": {}},
    kernel="kullback_leibler",
    terms=_kld_terms,
    labels=False,
    from_logits=FROM_LOGITS,
    log_input=flag(
        "Whether `y_pred` are logarithms of probabilities, as torch has it.  Not together with `from_logits`."
    ),
    axis=AXIS,
    temperature=TEMPERATURE,
    eps=EPS,
)
def kullback_leibler_divergence(t, y_pred, from_logits, log_input, temperature, eps):
    """Kullback-Leibler divergence from a predicted distribution to the target, in nats.

    Notes
    -----
    A class whose target is 0 adds nothing.  The mean is over rows, which torch calls "batchmean".

    References
    ----------
    S. Kullback, R. A. Leibler, "On information and sufficiency", Ann. Math. Statist. 22 (1951) 79-86,
    doi:10.1214/aoms/1177729694.

    Examples
    --------
    >>> import lossfast as lf
    >>> round(lf.kld([[0.5, 0.5, 0.0]], [[0.25, 0.5, 0.25]]), 6)
    0.346574
    """
    entropy = _times(t, np.log(t))
    if from_logits:
        return _by_logits(y_pred, temperature, 0.0, lambda log_p, p, q: (entropy - _times(t, log_p), 0 * p - t, 0 * p))
    if log_input:
        return _by_probabilities(y_pred, entropy - _times(t, y_pred), -t, 0 * t)
    p = np.clip(y_pred, eps, 1)
    return _by_probabilities(p, _times(t, np.log(t / p)), -_times(t, 1 / p), _times(t, 1 / p**2))


@classwise(
    "CategoricalFocalCrossentropy",
    formula=f"-sum_k c_k (1 - p_k)**gamma log(p_k),  c_k = alpha_k (t_k (1 - s) + s / C),  {SOFTMAX}",
    aliases=("categorical_focal", "categorical_focal_loss"),
    kernel="focal",
    own=("gamma",),
    terms=_terms("categorical_focal", "gamma", "eps"),
    weighting="alpha",
    gamma=nonnegative(
        2.0,
        "Exponent of the focusing factor; 0 makes it the cross-entropy.",
        tests=(
            0.0,
            0.5,
            1.0,
            3.5,
            {"gamma": 2.0, "from_logits": True},
            {"gamma": 0.0, "from_logits": True},
            {"gamma": 0.3, "from_logits": True},
            {"gamma": 5.0, "from_logits": True, "alpha": 0.25, "label_smoothing": 0.2},
        ),
    ),
    alpha=nonnegative(
        None,
        "Weight of the classes, which multiplies their terms: a number, as in Keras, or one for each class.  No mean "
        "divides by it.",
        none=True,
        per_class=True,
        tests=(0.25,),
    ),
    from_logits=FROM_LOGITS,
    axis=AXIS,
    label_smoothing=SMOOTHING,
    ignore_index=IGNORE_INDEX,
    temperature=TEMPERATURE,
    eps=EPS,
)
def categorical_focal_crossentropy(t, y_pred, gamma, alpha, from_logits, label_smoothing, temperature, eps):
    """Cross-entropy with less weight on what is predicted well, for rare classes.

    Notes
    -----
    Value, gradient and Hessian by logits are finite for every ``gamma >= 0`` and finite logits.  The Hessian may be
    negative.

    References
    ----------
    T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollar, "Focal loss for dense object detection", ICCV 2017,
    arXiv:1708.02002.

    Examples
    --------
    >>> import lossfast as lf
    >>> round(lf.categorical_focal_crossentropy([1], [[0.1, 0.8, 0.1]]), 6)
    0.008926
    """
    c = _weights(alpha) * _smoothed(t, label_smoothing)

    def terms(log_p, p, q):
        q = np.maximum(q, 1e-300)
        ratio = np.where(q > 1e-300, log_p / q, -1.0)  # of log p and 1 - p, both 0 at p = 1
        p_ratio = np.where(p == 0, 0.0, p * ratio)
        return (
            -_times(c, q**gamma * log_p),
            -c * q**gamma * (1 - gamma * p_ratio),
            c * gamma * (q ** (gamma - 1) * (2 * p - (gamma - 1) * p * p_ratio) + q**gamma * p_ratio),
        )

    if from_logits:
        return _by_logits(y_pred, temperature, 0.0, terms)
    p = np.clip(y_pred, eps, 1)
    q, log_p = np.maximum(1 - p, 1e-300), np.log(p)
    ratio = np.where(p < 1, log_p / q, -1.0)
    return _by_probabilities(
        p,
        -_times(c, q**gamma * log_p),
        _times(c, gamma * q**gamma * ratio - q**gamma / p),
        _times(c, gamma * q ** (gamma - 1) * (2 / p - (gamma - 1) * ratio) + q**gamma / p**2),
    )


@classwise(
    "GeneralizedCrossentropy",
    formula=f"sum_k c_k (1 - p_k**q) / q,  {SMOOTHED},  {SOFTMAX}",
    aliases=("CategoricalGeneralizedCrossEntropy", "gce"),
    kernel="generalized",
    own=("q",),
    terms=_terms("generalized_crossentropy", "q", "eps"),
    q=Param(
        0.5,
        "Between the cross-entropy (towards 0) and the mean absolute error (1).",
        low=0.0,
        high=1.0,
        open_low=True,
        tests=(0.01, 1.0, {"q": 0.5, "from_logits": True}, {"q": 1.0, "from_logits": True}),
    ),
    from_logits=FROM_LOGITS,
    axis=AXIS,
    label_smoothing=SMOOTHING,
    class_weight=CLASS_WEIGHT,
    ignore_index=IGNORE_INDEX,
    temperature=TEMPERATURE,
    eps=EPS,
)
def generalized_crossentropy(t, y_pred, q, from_logits, label_smoothing, class_weight, temperature, eps):
    """Generalized cross-entropy: bounded, for noisy labels.

    References
    ----------
    Z. Zhang, M. R. Sabuncu, "Generalized cross entropy loss for training deep neural networks with noisy labels",
    NeurIPS 2018, arXiv:1805.07836.

    Examples
    --------
    >>> import lossfast as lf
    >>> round(lf.generalized_crossentropy([1], [[0.1, 0.81, 0.09]]), 6)
    0.2
    """
    c = _weights(class_weight) * _smoothed(t, label_smoothing)
    if from_logits:
        return _by_logits(
            y_pred,
            temperature,
            0.0,
            lambda log_p, p, _: (-c * np.expm1(q * log_p) / q, -c * np.exp(q * log_p), -c * q * np.exp(q * log_p)),
        )
    p = np.clip(y_pred, eps, 1)
    return _by_probabilities(
        p, -c * np.expm1(q * np.log(p)) / q, -_times(c, p ** (q - 1)), _times(c, (1 - q) * p ** (q - 2))
    )


@classwise(
    "Poly",
    formula=f"sum_k c_k (epsilon (1 - p_k) - log(p_k)),  {SMOOTHED},  {SOFTMAX}",
    names=("poly_loss",),
    aliases={"poly_loss_cross_entropy": {"from_logits": True}, "poly1": {}},
    kernel="poly",
    own=("epsilon",),
    terms=_terms("poly", "epsilon", "eps"),
    epsilon=nonnegative(
        2.0,
        "How much the first term of the series of the logarithm counts in addition.",
        tests=(0.0, {"epsilon": 2.0, "from_logits": True}, {"epsilon": 0.5, "from_logits": True}),
    ),
    from_logits=FROM_LOGITS,
    axis=AXIS,
    label_smoothing=SMOOTHING,
    class_weight=CLASS_WEIGHT,
    ignore_index=IGNORE_INDEX,
    temperature=TEMPERATURE,
    eps=EPS,
)
def poly(t, y_pred, epsilon, from_logits, label_smoothing, class_weight, temperature, eps):
    """PolyLoss: the cross-entropy with its first polynomial coefficient changed.

    References
    ----------
    Z. Leng et al., "PolyLoss: a polynomial expansion perspective of classification loss functions", ICLR 2022,
    arXiv:2204.12511; with smoothing, as Optax has it.

    Examples
    --------
    >>> import lossfast as lf
    >>> round(lf.poly([1], [[0.1, 0.8, 0.1]]), 6)
    0.623144
    """
    c = _weights(class_weight) * _smoothed(t, label_smoothing)
    if from_logits:
        return _by_logits(
            y_pred,
            temperature,
            0.0,
            lambda log_p, p, q: (
                c * epsilon * q - _times(c, log_p),
                -c - c * epsilon * p,
                -c * epsilon * p,
            ),
        )
    p = np.clip(y_pred, eps, 1)
    return _by_probabilities(
        p, c * epsilon * (1 - p) - _times(c, np.log(p)), -c * epsilon - _times(c, 1 / p), _times(c, 1 / p**2)
    )


@classwise(
    "MulticlassBrier",
    formula=f"sum_k class_weight_k (p_k - t'_k)**2,  t' = t (1 - s) + s / C,  {SOFTMAX}",
    aliases=("multiclass_brier_score",),
    kernel="brier",
    terms=_terms("categorical_brier"),
    label_alone=False,
    from_logits=FROM_LOGITS,
    axis=AXIS,
    label_smoothing=SMOOTHING,
    class_weight=CLASS_WEIGHT,
    ignore_index=IGNORE_INDEX,
    temperature=TEMPERATURE,
)
def multiclass_brier(t, y_pred, from_logits, label_smoothing, class_weight, temperature):
    """Brier score of probabilities of classes, from 0 to 2; for two classes twice `brier`.

    References
    ----------
    G. W. Brier, "Verification of forecasts expressed in terms of probability", Mon. Weather Rev. 78 (1950) 1-3.

    Examples
    --------
    >>> import lossfast as lf
    >>> round(lf.multiclass_brier([1, 2], [[0.1, 0.8, 0.1], [0.25, 0.25, 0.5]]), 6)
    0.2175
    """
    v, t = _weights(class_weight), _smoothed(t, label_smoothing)
    if from_logits:
        return _by_logits(
            y_pred,
            temperature,
            0.0,
            lambda log_p, p, q: (v * (p - t) ** 2, 2 * v * (p - t) * p, 2 * v * p * (2 * p - t)),
        )
    r = y_pred - t
    return _by_probabilities(y_pred, v * r**2, 2 * v * r, 2 * v * np.ones_like(r))


def _active(distance):
    """1 where a hinge has a slope, NaN where it has none."""
    return np.where(np.isnan(distance), np.nan, distance > 0)


@classwise(
    "CategoricalHinge",
    formula="max(0, 1 + max_k((1 - t_k) y_pred_k) - sum_k t_k y_pred_k)",
    kernel="categorical_hinge",
    activation="none",
    boosting="one",
    axis=AXIS,
    ignore_index=IGNORE_INDEX,
)
def categorical_hinge(t, y_pred):
    """Categorical hinge loss of scores, as Keras defines it: 0 takes part in the maximum, for the true class.

    See Also
    --------
    multiclass_hinge : the margin to the best of the other classes, whatever its sign.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.categorical_hinge([1, 0], [[2.0, 1.5], [3.0, 1.0]], reduction="none")
    array([1.5, 0. ])
    """
    wrong = _times(1 - t, y_pred)
    margin = 1 + wrong.max(axis=-1) - _times(t, y_pred).sum(axis=-1)
    first = np.arange(t.shape[-1]) == wrong.argmax(axis=-1)[..., None]
    slope = _active(margin)[..., None]
    return Jet(np.maximum(0, margin), slope * (np.where(first, 1 - t, 0.0) - t), np.zeros_like(y_pred))


@classwise(
    "MulticlassHinge",
    formula="class_weight_y max(0, margin + max_{j != y} y_pred_j - y_pred_y),  y = y_true",
    aliases=("multiclass_hinge_loss", "crammer_singer"),
    kernel="multiclass_hinge",
    own=("margin",),
    soft=False,
    activation="none",
    boosting="one",
    margin=nonnegative(1.0, "By how much the score of the label must exceed all others.", tests=(0.0, 2.5)),
    axis=AXIS,
    class_weight=CLASS_WEIGHT,
    ignore_index=IGNORE_INDEX,
)
def multiclass_hinge(t, y_pred, margin, class_weight):
    """Hinge loss of scores of classes, after Crammer and Singer.

    References
    ----------
    K. Crammer, Y. Singer, "On the algorithmic implementation of multiclass kernel-based vector machines", JMLR 2
    (2001) 265-292.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.multiclass_hinge([1, 0], [[2.0, 1.5], [3.0, 1.0]], reduction="none")
    array([1.5, 0. ])
    """
    label = np.arange(t.shape[-1]) == t.argmax(axis=-1)[..., None]
    v = (_weights(class_weight) * label).sum(axis=-1) if class_weight is not None else 1.0
    others = np.where(label, -np.inf, y_pred)
    distance = margin + others.max(axis=-1) - np.where(label, y_pred, 0.0).sum(axis=-1)
    best = np.arange(t.shape[-1]) == others.argmax(axis=-1)[..., None]
    slope = (v * _active(distance))[..., None]
    return Jet(_times(v, np.maximum(0, distance)), slope * (1.0 * (best & ~label) - label), np.zeros_like(y_pred))
