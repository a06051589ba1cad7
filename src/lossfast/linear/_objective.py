"""A loss of linear scores: which losses are suitable, the targets they want, and what turns scores into predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from lossfast import catalogue
from lossfast._arrays import Array
from lossfast._declarations import ANY, UNIT, Classwise, Domain, Pointwise
from lossfast._errors import did_you_mean
from lossfast._loss import REGISTRY, Loss

# Small values of this one stand for label 1: the sign of its scores is not that of a classifier.
REVERSED = ("hinge_embedding",)


class Objective(NamedTuple):
    """A loss of scores: of one for each sample, or of one for each class."""

    loss: Loss
    link: (
        str  # identity, exp, sigmoid, softmax, margin (of modified Huber), or none: what scores have no probability in
    )
    classes: int  # 0 for regression
    rowwise: bool  # a loss of rows of classes; else of single scores, one against the rest if there are several
    temperature: float = 1.0

    @property
    def columns(self) -> int:
        """Scores of a sample: one suffices for two classes."""
        return self.classes if self.classes > 2 else 1

    def targets(self, y: Array, dtype: np.dtype[Any]) -> Array:
        """What the loss compares scores with, from numbers or from the indices of classes."""
        if self.classes and self.rowwise:
            return _one_hot(y, self.classes, dtype) if not self._takes_labels() else y.astype(np.int64, copy=False)
        return _one_hot(y, self.classes, dtype) if self.columns > 1 else y.astype(dtype, copy=False)

    def _takes_labels(self) -> bool:
        declaration = self.loss.declaration
        assert isinstance(declaration, Classwise)
        return declaration.labels

    def check(self, targets: Array, n_threads: int | None) -> None:
        """ValueError if a target is outside the loss's domain."""
        if not self.rowwise and targets.size:
            self.loss(targets, np.zeros_like(targets, dtype=self._float(targets)), n_threads=n_threads)

    @staticmethod
    def _float(targets: Array) -> np.dtype[Any]:
        return targets.dtype if targets.dtype.kind == "f" else np.dtype(np.float64)

    def total(self, targets: Array, scores: Array, weight: Array | None, n_threads: int | None) -> float:
        """The sum of the losses; scores are (samples, columns)."""
        z = self._spread(scores)
        return float(self.loss(targets, z, **self._options(weight, n_threads)))

    def total_and_grad(
        self, targets: Array, scores: Array, weight: Array | None, scale: float, n_threads: int | None
    ) -> tuple[float, Array]:
        """The sum of the losses, and `scale` times its gradient by the scores."""
        z = self._spread(scores)
        total, grad = self.loss.value_and_grad(targets, z, **self._options(weight, n_threads))
        if self.rowwise and self.columns == 1:
            grad = grad[:, 1]
        grad = np.multiply(grad, scale, dtype=grad.dtype)
        return float(total), grad.reshape(scores.shape)

    def _spread(self, scores: Array) -> Array:
        """One score for two classes stands for the scores 0 and itself."""
        if self.columns > 1:
            return scores
        z = scores.reshape(len(scores))
        return np.stack([np.zeros_like(z), z], axis=1) if self.rowwise else z

    def _options(self, weight: Array | None, n_threads: int | None) -> dict[str, Any]:
        options: dict[str, Any] = {"reduction": "sum", "n_threads": n_threads}
        if weight is not None:
            options["sample_weight"] = weight
        if not self.rowwise:
            options["check"] = False
        return options

    def kernel(self, single: bool) -> tuple[str, tuple[Any, ...]] | None:
        """Name and parameters of the C loss, where a sample has one score and one target."""
        declaration = self.loss.declaration
        if self.columns > 1 or not isinstance(declaration, Pointwise):
            return None
        name, params = declaration.kernel(**declaration.resolved(self.loss.get_params(), single))
        return name, tuple(float(p) for p in params)


def _one_hot(y: Array, classes: int, dtype: np.dtype[Any]) -> Array:
    return np.eye(classes, dtype=dtype)[y]


def found_loss(loss: Any, params: Mapping[str, Any] | None) -> Loss:
    """The loss that a name or an object stands for, as a loss of linear scores: logits and logarithms."""
    if params is not None and not isinstance(params, Mapping):
        raise TypeError(f"loss_params is {params!r}, expected a dict or None")
    found = catalogue.get(loss, **(params or {}))
    known = found.declaration.params
    forced = {k: True for k in ("from_logits", "log_input") if k in known and found.get_params()[k] is not True}
    if "from_logits" in known and "log_input" in known:
        forced.pop("log_input", None)
    found = type(found)(**{**found.get_params(), **forced}) if forced else found
    for name, value in found.get_params().items():
        if isinstance(value, np.ndarray) and not known[name].per_class:
            raise ValueError(f"{name} is an array, expected a number: use sample_weight for what differs by sample")
    return found


def _targets_of_scores(loss: Loss) -> Domain | None:
    """The domain of the targets of a loss of single scores, of any size; None: it is another kind of loss."""
    d = loss.declaration
    if not isinstance(d, Pointwise) or loss.name in REVERSED:
        return None
    params = d.resolved(loss.get_params(), False)
    return d.target(**params) if d.pred(**params) == ANY else None


def _takes_numbers(loss: Loss) -> bool:
    target = _targets_of_scores(loss)
    return target is not None and target != UNIT and not target.sign_labels


def _takes_sides(loss: Loss) -> bool:
    target = _targets_of_scores(loss)
    return target is not None and (target == UNIT or target.sign_labels)


def _takes_classes(loss: Loss) -> bool:
    d = loss.declaration
    if not isinstance(d, Classwise):
        return False
    return d.terms is None or loss.get_params().get("from_logits") is True


def suitable(kind: str) -> list[str]:
    """Names of the losses for a "regressor" or a "classifier"."""
    catalogue.names()
    fits = _takes_numbers if kind == "regressor" else lambda loss: _takes_sides(loss) or _takes_classes(loss)
    return [name for name in sorted(REGISTRY) if fits(found_loss(name, None))]


def _unsuitable(loss: Loss, kind: str) -> ValueError:
    known = suitable(kind)
    return ValueError(
        f"loss {loss.name!r} is not one of a {kind}'s linear scores, expected one of {', '.join(known)}"
        + did_you_mean(loss.name, known)
    )


def for_numbers(loss: Any, params: Mapping[str, Any] | None) -> Objective:
    """The objective of a regression."""
    found = found_loss(loss, params)
    if not _takes_numbers(found):
        raise _unsuitable(found, "regressor")
    return Objective(found, "exp" if found.declaration.activation == "exp" else "identity", 0, False)


def for_classes(loss: Any, params: Mapping[str, Any] | None, classes: int) -> Objective:
    """The objective of a classification.

    Binary cross-entropy of more than two classes is the softmax cross-entropy; other losses of one score are taken of
    each class against the rest.
    """
    found = found_loss(loss, params)
    if found.name == "binary_crossentropy" and classes > 2:
        given = found.get_params()
        if given["pos_weight"] != 1.0:
            raise ValueError(
                f"pos_weight is {given['pos_weight']}, expected 1 with {classes} classes: use class_weight"
            )
        found = catalogue.get(
            "sparse_categorical_crossentropy", from_logits=True, label_smoothing=given["label_smoothing"]
        )
    if _takes_sides(found):
        links = {"binary_crossentropy": "sigmoid", "binary_focal_crossentropy": "sigmoid", "exponential": "sigmoid2"}
        link = "margin" if found.name == "modified_huber" else links.get(found.name, "none")
        return Objective(found, link, classes, False)
    if not _takes_classes(found):
        raise _unsuitable(found, "classifier")
    declaration = found.declaration
    assert isinstance(declaration, Classwise)
    temperature = float(found.get_params().get("temperature", 1.0))
    return Objective(found, "none" if declaration.terms is None else "softmax", classes, True, temperature)


def probabilities(link: str, temperature: float, scores: Array) -> Array:
    """Of each class, from (samples, columns) of scores."""
    if scores.shape[1] == 1:
        z = scores[:, 0] / temperature * (2 if link == "sigmoid2" else 1)
        if link == "margin":
            p = (np.clip(z, -1, 1) + 1) / 2
        else:
            e = np.exp(-np.abs(z))
            p = np.where(z < 0, e, 1) / (1 + e)
            return np.stack([np.where(z < 0, 1, e) / (1 + e), p], axis=1)
        return np.stack([1 - p, p], axis=1)
    if link == "softmax":
        z = scores / temperature
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]
    sides = np.stack([probabilities(link, temperature, scores[:, [k]])[:, 1] for k in range(scores.shape[1])], axis=1)
    total = sides.sum(axis=1, keepdims=True)
    return np.where(total > 0, sides / np.where(total > 0, total, 1), 1 / scores.shape[1])
