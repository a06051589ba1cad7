"""Finding a loss: by name or alias, by what is known of it, by the problem it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lossfast.autoencoder
import lossfast.classification
import lossfast.detection
import lossfast.metric
import lossfast.mining
import lossfast.multiclass
import lossfast.ranking
import lossfast.regression
import lossfast.segmentation
import lossfast.sequence  # noqa: F401  (their losses register themselves)
from lossfast._declarations import Params
from lossfast._errors import did_you_mean
from lossfast._loss import REGISTRY, Loss


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def _index() -> dict[str, tuple[str, Params]]:
    """Every name, stripped of case and punctuation, with the loss and the parameters it stands for."""
    index: dict[str, tuple[str, Params]] = {}
    for name, loss in REGISTRY.items():
        d = loss.declaration
        for known in (name, d.class_name, *d.names):
            index[_plain(known)] = (name, {})
        for alias, params in d.aliases.items():
            index.setdefault(_plain(alias), (name, params))
    return index


INDEX = _index()


def public() -> dict[str, Any]:
    """The names of the losses in the package: functions and classes."""
    found: dict[str, Any] = {}
    for loss in REGISTRY.values():
        d = loss.declaration
        found |= dict.fromkeys((d.name, *d.names), loss)
        found[d.class_name] = type(loss)
    return found


def names() -> list[str]:
    """The canonical names of all losses, sorted.

    Examples
    --------
    >>> import lossfast as lf
    >>> "huber" in lf.names()
    True
    """
    return sorted(REGISTRY)


def get(loss: str | Mapping[str, Any] | type[Loss] | Loss, **params: Any) -> Loss:
    """A loss by name, class, instance or configuration.

    Parameters
    ----------
    loss : str, dict, Loss or type
        Any name or alias of a loss in any spelling (``"mse"``, ``"MeanSquaredError"``, ``"BCEWithLogitsLoss"``), a
        ``{"class_name": ..., "config": {...}}`` as Keras writes it, a loss class, or a loss.
    **params
        Its parameters.

    Returns
    -------
    Loss

    Raises
    ------
    ValueError
        For an unknown name, with the nearest ones.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.get("huber", delta=2.0)
    Huber(delta=2.0)
    >>> lf.get({"class_name": "Huber", "config": {"delta": 2.0}}) == lf.Huber(delta=2.0)
    True
    """
    if isinstance(loss, Mapping):
        if not isinstance(loss.get("class_name"), str) or not isinstance(loss.get("config", {}), Mapping):
            raise ValueError(f"loss is {dict(loss)!r}, expected {{'class_name': ..., 'config': {{...}}}}")
        return get(loss["class_name"], **{**loss.get("config", {}), **params})
    if isinstance(loss, type) and issubclass(loss, Loss):
        return loss(**params)
    if isinstance(loss, Loss):
        found: Any = loss
        return type(found)(**{**found.get_params(), **params}) if params else found  # type: ignore[no-any-return]
    if not isinstance(loss, str):
        raise TypeError(f"loss is {loss!r}, expected a name, a configuration, a loss or its class")
    if _plain(loss) not in INDEX:
        known = [*public(), *(a for x in REGISTRY.values() for a in x.declaration.aliases)]
        raise ValueError(f"unknown loss {loss!r}" + (did_you_mean(loss, known) or f"; known: {', '.join(names())}"))
    name, preset = INDEX[_plain(loss)]
    together = {**preset, **params}
    return type(REGISTRY[name])(**together) if together else REGISTRY[name]


@dataclass(frozen=True)
class Info:
    """What is known of a loss: see `info`."""

    name: str
    class_name: str
    summary: str
    formula: str
    parameters: dict[str, Any]
    expected: dict[str, str]
    y_true: str
    y_pred: str
    activation: str
    aliases: tuple[str, ...]
    arguments: tuple[str, str] = ("y_true", "y_pred")

    def __str__(self) -> str:
        target, pred = self.arguments
        facts = {"value": self.formula, target: self.y_true, pred: self.y_pred, "activation": self.activation}
        facts |= {k: f"{v!r}: {self.expected[k]}" for k, v in self.parameters.items()}
        facts |= {"also": ", ".join((self.class_name, *self.aliases))}
        width = max(map(len, facts))
        return "\n".join([f"{self.name}: {self.summary}", "", *(f"  {k:<{width}}  {v}" for k, v in facts.items())])


def info(loss: str | Mapping[str, Any] | type[Loss] | Loss) -> Info:
    """Formula, parameters, domain, aliases and output activation of a loss; print it to read it.

    Examples
    --------
    >>> import lossfast as lf
    >>> print(lf.info("squared_hinge"))
    squared_hinge: Squared hinge loss of a score, for labels -1 and 1 (or 0 and 1).
    <BLANKLINE>
      value       max(0, 1 - y y_pred)**2,  y = 1 if y_true > 0 else -1
      y_true      -1, 0 or 1 (or bool)
      y_pred      in (-inf, inf)
      activation  none
      also        SquaredHinge, squared_hinge_loss
    """
    found = get(loss)
    d = found.declaration
    y_true, y_pred = d.operands(d.resolved(found.get_params(), single=True))
    return Info(
        name=d.name,
        class_name=d.class_name,
        summary=(d.spec.__doc__ or "").strip().splitlines()[0],
        formula=d.formula,
        parameters=found.get_params(),
        expected={k: p.range() for k, p in d.params.items()},
        y_true=y_true,
        y_pred=y_pred,
        activation=d.activation,
        aliases=(*d.names, *d.aliases),
        arguments=d.arguments[:2],  # type: ignore[arg-type]
    )


@dataclass(frozen=True)
class Recommendation:
    """A row of the which-loss-for-my-problem table."""

    problem: str
    target: str
    first_choice: str
    prediction: str
    alternatives: str
    avoid: str
    words: str  # more words that lead here

    def __str__(self) -> str:
        lines = [f"{self.problem}: {self.first_choice}, y_true {self.target}, y_pred {self.prediction}"]
        lines += [f"  alternatives: {self.alternatives}"] if self.alternatives else []
        lines += [f"  avoid: {self.avoid}"] if self.avoid else []
        return "\n".join(lines)


TABLE = (
    Recommendation(
        problem="regression, roughly Gaussian noise",
        target="real",
        first_choice="mse",
        prediction="the value",
        alternatives="gaussian_nll if the noise varies",
        avoid="mape with zeros",
        words="normal least squares",
    ),
    Recommendation(
        problem="regression, outliers",
        target="real",
        first_choice="huber",
        prediction="the value",
        alternatives="log_cosh, pseudo_huber (smooth Hessian), mae",
        avoid="mse",
        words="robust heavy tails",
    ),
    Recommendation(
        problem="regression, an interval or a percentile",
        target="real",
        first_choice="quantile",
        prediction="the value",
        alternatives="",
        avoid="",
        words="pinball median prediction interval",
    ),
    Recommendation(
        problem="regression, relative errors",
        target="positive",
        first_choice="msle",
        prediction="the value",
        alternatives="mape, gamma",
        avoid="mape with zeros",
        words="percentage growth orders of magnitude",
    ),
    Recommendation(
        problem="counts, rates",
        target="integers of at least 0",
        first_choice="poisson (log_input=True)",
        prediction="the log-rate",
        alternatives="tweedie, gamma (positive amounts)",
        avoid="mse",
        words="events frequency",
    ),
    Recommendation(
        problem="positive amounts, many of them zero",
        target="at least 0",
        first_choice="tweedie",
        prediction="the log-mean",
        alternatives="gamma without zeros, poisson",
        avoid="mse",
        words="insurance claims rain skewed",
    ),
    Recommendation(
        problem="two classes",
        target="0, 1 or between",
        first_choice="binary_crossentropy",
        prediction="logits (from_logits=True)",
        alternatives="hinge (margin), binary_focal_crossentropy (rare class)",
        avoid="clipped probabilities",
        words="binary classification",
    ),
    Recommendation(
        problem="two classes, rare positives",
        target="0 or 1",
        first_choice="binary_crossentropy with pos_weight",
        prediction="logits (from_logits=True)",
        alternatives="binary_focal_crossentropy with gamma=2",
        avoid="plain accuracy",
        words="imbalanced unbalanced class imbalance fraud",
    ),
    Recommendation(
        problem="two classes, noisy labels",
        target="0 or 1",
        first_choice="binary_crossentropy with label_smoothing",
        prediction="logits (from_logits=True)",
        alternatives="modified_huber",
        avoid="exponential",
        words="mislabelled wrong",
    ),
    Recommendation(
        problem="one of K classes",
        target="class labels",
        first_choice="sparse_categorical_crossentropy",
        prediction="logits (from_logits=True)",
        alternatives="categorical_crossentropy for soft or one-hot targets, multiclass_hinge (margin)",
        avoid="kullback_leibler_divergence for one-hot targets",
        words="multiclass multinomial softmax categories",
    ),
    Recommendation(
        problem="one of K classes, some of them rare",
        target="class labels",
        first_choice="sparse_categorical_crossentropy with class_weight",
        prediction="logits (from_logits=True)",
        alternatives="categorical_focal_crossentropy with gamma=2",
        avoid="plain accuracy",
        words="multiclass imbalanced unbalanced class imbalance",
    ),
    Recommendation(
        problem="one of K classes, noisy labels",
        target="class labels",
        first_choice="generalized_crossentropy",
        prediction="logits (from_logits=True)",
        alternatives="sparse_categorical_crossentropy with label_smoothing",
        avoid="categorical_focal_crossentropy",
        words="multiclass mislabelled wrong",
    ),
    Recommendation(
        problem="match a distribution, distillation",
        target="probabilities",
        first_choice="kullback_leibler_divergence",
        prediction="logits (from_logits=True), probabilities or their logarithms (log_input=True)",
        alternatives="categorical_crossentropy with soft targets; both take a temperature",
        avoid="the mean over classes",
        words="teacher student soft targets",
    ),
    Recommendation(
        problem="many labels at once",
        target="(N, K) of 0 or 1",
        first_choice="binary_crossentropy",
        prediction="logits (from_logits=True)",
        alternatives="binary_focal_crossentropy",
        avoid="softmax losses",
        words="multilabel tagging",
    ),
    Recommendation(
        problem="linear support vector machine",
        target="-1 or 1, 0 or 1",
        first_choice="hinge",
        prediction="the score",
        alternatives="squared_hinge, modified_huber",
        avoid="",
        words="svm margin",
    ),
    Recommendation(
        problem="quality of predicted probabilities",
        target="0 or 1",
        first_choice="brier",
        prediction="probabilities",
        alternatives="binary_crossentropy",
        avoid="",
        words="calibration forecast",
    ),
    Recommendation(
        problem="quality of predicted probabilities of K classes",
        target="class labels",
        first_choice="multiclass_brier",
        prediction="probabilities",
        alternatives="sparse_categorical_crossentropy",
        avoid="",
        words="multiclass calibration forecast",
    ),
    Recommendation(
        problem="sequences whose alignment is unknown",
        target="label ids",
        first_choice="ctc",
        prediction="logits of every frame, with the lengths",
        alternatives="",
        avoid="more labels than frames",
        words="speech recognition asr ocr handwriting unaligned transcript",
    ),
    Recommendation(
        problem="boxes around objects",
        target="boxes",
        first_choice="giou",
        prediction="boxes",
        alternatives="ciou, diou, siou; huber of offsets",
        avoid="iou alone: no gradient for boxes that do not meet",
        words="bounding box regression object detection detector",
    ),
    Recommendation(
        problem="direction of embeddings",
        target="vectors",
        first_choice="cosine_similarity",
        prediction="vectors",
        alternatives="cosine_distance, cosine_embedding for pairs that should not be alike too",
        avoid="mse of vectors that are not normalised",
        words="cosine angle sentence",
    ),
    Recommendation(
        problem="pairs that are alike or not",
        target="same: 0 or 1",
        first_choice="contrastive",
        prediction="the two vectors",
        alternatives="cosine_embedding, hinge_embedding of distances",
        avoid="",
        words="siamese verification embeddings metric learning",
    ),
    Recommendation(
        problem="triplets of anchor, positive and negative",
        target="anchor",
        first_choice="triplet",
        prediction="positive and negative",
        alternatives="batch_hard_triplet and batch_all_triplet find them by labels, margin_ranking of scores",
        avoid="",
        words="faces retrieval embeddings metric learning",
    ),
    Recommendation(
        problem="variational autoencoder",
        target="x: the data",
        first_choice="vae",
        prediction="x_hat, mu and logvar",
        alternatives="reconstruction without a distribution, gaussian_kl alone",
        avoid="the mean over elements, which makes the divergence count too much",
        words="vae elbo latent generative reconstruction",
    ),
    Recommendation(
        problem="pairs of embeddings, with the rest of the batch as negatives",
        target="anchors",
        first_choice="multiple_negatives_ranking",
        prediction="positives",
        alternatives="ntxent with labels, supervised_contrastive",
        avoid="batches of a few pairs",
        words="retrieval sentence question answer contrastive clip in-batch",
    ),
    Recommendation(
        problem="ranking of items in groups",
        target="relevance",
        first_choice="ranking_softmax",
        prediction="the score",
        alternatives="pairwise_logistic (graded relevance)",
        avoid="mse of the relevance",
        words="learning to rank search recommendation query ndcg lists",
    ),
    Recommendation(
        problem="boosting weak learners",
        target="0 or 1",
        first_choice="exponential",
        prediction="the score",
        alternatives="binary_crossentropy",
        avoid="exponential with noisy labels",
        words="adaboost",
    ),
)


def recommend(problem: str = "") -> list[Recommendation]:
    """Rows of the which-loss-for-my-problem table that speak of a problem, the nearest first; all without words.

    Examples
    --------
    >>> import lossfast as lf
    >>> print(lf.recommend("rare positives")[0])
    two classes, rare positives: binary_crossentropy with pos_weight, y_true 0 or 1, y_pred logits (from_logits=True)
      alternatives: binary_focal_crossentropy with gamma=2
      avoid: plain accuracy
    """
    wanted = {w for w in problem.lower().replace(",", " ").split() if len(w) > 2 and w not in ("the", "for", "and")}
    if not wanted:
        return list(TABLE)

    def score(row: Recommendation) -> float:
        strong = f"{row.problem} {row.words}".lower().replace(",", " ").split()
        weak = f"{row.target} {row.first_choice} {row.prediction} {row.alternatives}".lower().replace(",", " ").split()

        def near(word: str, words: list[str]) -> bool:
            return any(w.startswith(word[:5]) or word.startswith(w) for w in words if len(w) > 2)

        return sum(near(w, strong) + 0.25 * near(w, weak) for w in wanted)

    scored = sorted(((score(row), -i) for i, row in enumerate(TABLE)), reverse=True)
    return [TABLE[-i] for s, i in scored if s > 0]


def value_and_grad(loss: str | Mapping[str, Any] | type[Loss] | Loss, *operands: Any, **kwargs: Any) -> Any:
    """Value and gradient of a loss given by name, class, configuration or instance: (y_true, y_pred) for most.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.value_and_grad("mse", [1.0], [3.0])
    (4.0, array([4.]))
    """
    return get(loss).value_and_grad(*operands, **kwargs)
