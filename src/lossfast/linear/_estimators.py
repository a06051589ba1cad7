"""Linear models fitted by gradient descent, as scikit-learn's estimators."""

from __future__ import annotations

import numbers
import os
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from lossfast import catalogue
from lossfast._arrays import Array, as_array
from lossfast._loss import Loss
from lossfast.callbacks import Callback, EarlyStopping, Progress
from lossfast.linear import _files, _steps
from lossfast.linear._doc import documented
from lossfast.linear._objective import Objective, for_classes, for_numbers, probabilities
from lossfast.linear._samples import Samples, mean_of_columns
from lossfast.linear._training import Descent, DivergenceError, Metric, Training

FLOATS = [np.float64, np.float32]


class _Linear(BaseEstimator):  # type: ignore[misc]
    """What regression and classification have in common."""

    loss: Any
    coef_: Array
    intercept_: Array
    history_: dict[str, list[float]]

    @property
    def history(self) -> dict[str, list[float]]:
        """What was recorded of each epoch, by name: ``history = est.fit(X, y); history.history["loss"]``."""
        check_is_fitted(self, "history_")
        return self.history_

    def set_params(self, **params: Any) -> Self:
        """Set parameters; ``loss__delta=2.0`` makes the loss one with this parameter."""
        own = {k: v for k, v in params.items() if not k.startswith("loss__")}
        super().set_params(**own)
        of_loss = {k.removeprefix("loss__"): v for k, v in params.items() if k.startswith("loss__")}
        if of_loss:
            self.loss = catalogue.get(self.loss, **of_loss)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a file of arrays and JSON, without pickle.

        The file is replaced as a whole or not at all.  Parameters that JSON has no words for (functions, callbacks) are
        left out, with a warning.

        Parameters
        ----------
        path : str or path
            ``.npz`` is added where it is missing.
        """
        check_is_fitted(self, "coef_")
        _files.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """An estimator of this class from a file that `save` wrote."""
        return _files.load(cls, path)  # type: ignore[no-any-return]

    def _objective(self, classes: int) -> Objective:
        raise NotImplementedError

    def _fit(
        self,
        x: Any,
        y: Array,
        sample_weight: Any,
        validation: tuple[Any, Array, Array | None] | None,
        objective: Objective,
    ) -> Self:
        """Of validated X and of numbers or indices of classes."""
        self._check_params()
        weight = self._weights(x, y, sample_weight)
        rng = check_random_state(self.random_state)
        if self.early_stopping and validation is None:
            stratify = y if objective.classes else None
            train, held = train_test_split(
                np.arange(len(y)), test_size=self.validation_fraction, stratify=stratify, random_state=rng
            )
            kept = None if weight is None else weight[held]
            validation = x[held], y[held], kept
            x, y, weight = x[train], y[train], None if weight is None else weight[train]
        if validation is not None and validation[2] is not None and not validation[2].any():
            raise ValueError("sample_weight is zero for all validation samples, expected a positive weight for some")
        if weight is not None:
            total = weight.sum(dtype=np.float64)
            if not total > 0:
                raise ValueError("sample_weight is zero for all samples, expected a positive weight for some")
            weight = (weight * (len(weight) / total)).astype(weight.dtype)
        again = self.warm_start and hasattr(self, "coef_")
        if again and np.atleast_2d(self.coef_).shape != (objective.columns, x.shape[1]):
            raise ValueError(
                f"warm_start=True with coefficients of shape {self.coef_.shape}, but the data need "
                f"{(objective.columns, x.shape[1])}"
            )
        live = self._coefficients(objective.columns, x, again)
        training = self._training(objective, x, y, weight, validation, live, rng, True)
        stopping = None
        if self.early_stopping:
            stopping = EarlyStopping("val_loss", self.min_delta, self.patience, "min", self.restore_best_weights)
            training.callbacks = [*training.callbacks, stopping]
        if self.verbose:
            training.callbacks = [*training.callbacks, Progress(int(self.verbose))]
        self.history_ = training.history
        self._publish(objective, live)
        try:
            training.run(self.epochs)
        except DivergenceError:
            del self.coef_, self.intercept_
            raise
        self._remember(training)
        followed = training.history.get("val_loss", training.history["loss"])
        self.best_epoch_ = training.best_epoch if stopping else int(np.argmin(followed))
        self.n_iter_ = len(training.history["loss"])
        return self

    def _partial(self, x: Any, y: Array, sample_weight: Any, objective: Objective) -> Self:
        """One more epoch, with what the optimizer remembers of those before."""
        self._check_params()
        weight = self._weights(x, y, sample_weight)
        again = hasattr(self, "coef_")
        live = self._coefficients(objective.columns, x, again)
        training = self._training(objective, x, y, weight, None, live, check_random_state(self.random_state), False)
        training.metrics = []
        if again and getattr(self, "optimizer_state_", None) is not None and training.descent.optimizer is not None:
            training.descent.optimizer.load_state_dict(self.optimizer_state_)
        training.step = self.t_ if again else 0
        training.callbacks = []
        before = self.history_ if again else {}
        training.run(1)
        self._publish(objective, live)
        self._remember(training)
        self.history_ = {k: before.get(k, []) + v for k, v in training.history.items()}
        self.n_iter_ = len(self.history_["loss"])
        return self

    def _training(
        self,
        objective: Objective,
        x: Any,
        y: Array,
        weight: Array | None,
        validation: tuple[Any, Array, Array | None] | None,
        live: tuple[Array, Array],
        rng: Any,
        fresh: bool,
    ) -> Training:
        center = mean_of_columns(x, weight) if fresh and self.fit_intercept else None
        samples = Samples(objective, x, y, weight, *live, self.n_threads, center)
        objective.check(samples.targets, self.n_threads)
        held = None
        if validation is not None:
            held = Samples(objective, *validation, *live, self.n_threads)
            objective.check(held.targets, self.n_threads)
        batch = min(self.batch_size, len(y))
        optimizer, decoupled = _steps.optimizer(self.optimizer, [live[0], samples.base], self.learning_rate)
        steps = self.epochs * -(-len(y) // batch)
        data = {"": (x, self._labels(y))}
        if validation is not None:
            data["val_"] = (validation[0], self._labels(validation[1]))
        return Training(
            self,
            Descent(samples, optimizer, decoupled, self.l1, self.l2, self.fit_intercept),
            held,
            [_metric(m) for m in self.metrics or ()],
            data,
            self.learning_rate,
            _steps.schedule(self.schedule, self.learning_rate, steps),
            batch,
            np.random.default_rng(rng.randint(2**31)) if self.shuffle else None,
            list(self.callbacks or ()),
        )

    def _labels(self, y: Array) -> Array:
        return y

    def _weights(self, x: Any, y: Array, sample_weight: Any) -> Array | None:
        """Those of the samples, checked, or None for 1."""
        if sample_weight is None:
            return None
        return _checked_weight(sample_weight, x)

    def _coefficients(self, columns: int, x: Any, again: bool) -> tuple[Array, Array]:
        if again:
            coef = np.array(self.coef_, dtype=x.dtype, ndmin=2, order="C")
            return coef, np.array(self.intercept_, dtype=x.dtype, ndmin=1)
        return np.zeros((columns, x.shape[1]), x.dtype), np.zeros(columns, x.dtype)

    def _publish(self, objective: Objective, live: tuple[Array, Array]) -> None:
        """Makes the arrays that are being fitted the estimator's."""
        self.coef_ = live[0] if objective.classes else live[0][0]
        self.intercept_ = live[1]
        self.link_ = objective.link
        self.temperature_ = objective.temperature

    def _remember(self, training: Training) -> None:
        optimizer = training.descent.optimizer
        self.t_ = training.step
        self.optimizer_state_ = None if optimizer is None else optimizer.state_dict()

    def _scores(self, x: Any) -> Array:
        """(samples, columns)."""
        check_is_fitted(self, "coef_")
        x = validate_data(self, x, accept_sparse="csr", dtype=FLOATS, reset=False)
        return np.asarray(x @ np.atleast_2d(self.coef_).T) + self.intercept_

    def _check_params(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            _check_number(name, getattr(self, name), numbers.Integral, 1)
        for name in ("l1", "l2", "min_delta"):
            _check_number(name, getattr(self, name), numbers.Real, 0)
        _check_number("learning_rate", self.learning_rate, numbers.Real, 0)
        if self.n_threads is not None:
            _check_number("n_threads", self.n_threads, numbers.Integral, 1)
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"validation_fraction is {self.validation_fraction!r}, expected a number between 0 and 1")
        for callback in self.callbacks or ():
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks has {callback!r}, expected objects of lossfast.callbacks.Callback")


def _checked_weight(given: Any, x: Any) -> Array:
    """One number for each sample, in the dtype of X."""
    weight = as_array("sample_weight", given)
    if weight.ndim == 0:
        weight = np.full(x.shape[0], weight)
    if weight.shape != (x.shape[0],):
        raise ValueError(f"sample_weight has shape {weight.shape}, expected {(x.shape[0],)}, a number for each sample")
    bad = ~((weight >= 0) & np.isfinite(weight))
    if bad.any():
        first = int(bad.argmax())
        raise ValueError(f"sample_weight[{first}] is {weight[first]}, expected a finite number of at least 0")
    return weight.astype(x.dtype)


def _check_number(name: str, value: Any, kind: type, least: float) -> None:
    what = "an integer" if kind is numbers.Integral else "a number"
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, expected {what}")
    if not least <= value < np.inf:  # type: ignore[operator]
        raise ValueError(f"{name} is {value!r}, expected {what} of at least {least}")


def _metric(given: Any) -> Metric:
    """A name and a function of a loss, of a scorer of scikit-learn, or of a function (y_true, y_pred)."""
    if isinstance(given, str) and catalogue._plain(given) not in catalogue.INDEX:
        scorer = get_scorer(given)
        return given, lambda estimator, x, y: scorer(estimator, x, y)
    if isinstance(given, str | Loss):
        loss = catalogue.get(given)
        name = given if isinstance(given, str) else given.name
        return name, lambda estimator, x, y: loss(y, estimator.predict(x))
    if callable(given):
        return getattr(given, "__name__", type(given).__name__), lambda estimator, x, y: given(y, estimator.predict(x))
    raise TypeError(f"metrics has {given!r}, expected names or functions (y_true, y_pred)")


def _validation(estimator: Any, given: Any, encode: Callable[[Array], Array]) -> Any:
    """(X, y, weight) as the caller gives it, checked."""
    if given is None:
        return None
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        raise ValueError("validation_data is not (X, y) or (X, y, sample_weight)")
    x, y = validate_data(estimator, given[0], given[1], accept_sparse="csr", dtype=FLOATS, order="C", reset=False)
    weight = None
    if len(given) == 3 and given[2] is not None:
        weight = _checked_weight(given[2], x)
    return x, encode(y), weight


@documented
class GDRegressor(RegressorMixin, _Linear):  # type: ignore[misc]
    """Linear regression with any suitable loss, by gradient descent.

        minimise  sum of w loss(y, z) / sum of w + l1 sum |coef| + l2 / 2 sum coef**2,   z = X @ coef + intercept

    Losses of logarithms (Poisson, gamma, Tweedie) predict exp(z), all others z.

    Parameters
    ----------
    loss : str or Loss, default "mse"
        A loss of numbers, by any of its names or as an object: ``"huber"``, ``lf.Quantile(quantile=0.9)``.
    PARAMETERS
    MORE

    Examples
    --------
    >>> import lossfast as lf
    >>> import numpy as np
    >>> X = np.arange(20.0).reshape(10, 2) / 10
    >>> est = lf.GDRegressor(loss=lf.Huber(delta=0.5), batch_size=10, learning_rate=0.3, epochs=200)
    >>> history = est.fit(X, X @ [1.0, 2.0])
    >>> history.history["loss"][-1] < 1e-3
    True
    """

    def __init__(
        self,
        loss: str | Loss | Mapping[str, Any] = "mse",
        optimizer: Any = "sgd",
        learning_rate: float = 0.01,
        schedule: Any = None,
        epochs: int = 100,
        batch_size: int = 32,
        shuffle: bool = True,
        l1: float = 0.0,
        l2: float = 0.0,
        fit_intercept: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 5,
        min_delta: float = 0.0,
        restore_best_weights: bool = True,
        warm_start: bool = False,
        metrics: Any = None,
        verbose: int = 0,
        random_state: Any = None,
        n_threads: int | None = None,
        *,
        loss_params: Mapping[str, Any] | None = None,
        callbacks: Any = None,
    ) -> None:
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.epochs = epochs
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.l1 = l1
        self.l2 = l2
        self.fit_intercept = fit_intercept
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.min_delta = min_delta
        self.restore_best_weights = restore_best_weights
        self.warm_start = warm_start
        self.metrics = metrics
        self.verbose = verbose
        self.random_state = random_state
        self.n_threads = n_threads
        self.loss_params = loss_params
        self.callbacks = callbacks

    def _validated(self, X: Any, y: Any, reset: bool = True) -> tuple[Any, Array]:
        x, y = validate_data(self, X, y, accept_sparse="csr", dtype=FLOATS, order="C", y_numeric=True, reset=reset)
        return x, y.astype(x.dtype, copy=False)

    def fit(self, X: Any, y: Any, sample_weight: Any = None, validation_data: Any = None) -> Self:
        """Fit the coefficients.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            float32 stays float32; everything else is taken as float64.
        y : array_like of shape (n_samples,)
            Numbers in the domain of the loss.
        sample_weight : array_like of shape (n_samples,), optional
            Non-negative weights.  They are scaled to a mean of 1: the objective is the weighted mean of the losses.
        validation_data : tuple, optional
            ``(X, y)`` or ``(X, y, sample_weight)``, for `val_loss` and early stopping, in place of
            `validation_fraction`.

        Returns
        -------
        GDRegressor
            The estimator, whose `history` says how the epochs went.
        """
        x, y = self._validated(X, y)
        validation = _validation(self, validation_data, lambda v: v.astype(x.dtype, copy=False))
        return self._fit(x, y, sample_weight, validation, for_numbers(self.loss, self.loss_params))

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit for one more epoch on these samples, with the weights as they are."""
        x, y = self._validated(X, y, reset=not hasattr(self, "coef_"))
        return self._partial(x, y, sample_weight, for_numbers(self.loss, self.loss_params))

    def predict(self, X: Any) -> Array:
        """The predictions: the linear score, or its exponential with a loss of logarithms (Poisson, gamma, Tweedie)."""
        scores = self._scores(X)[:, 0]
        return np.exp(scores) if self.link_ == "exp" else scores


def _has_probabilities(estimator: Any) -> bool:
    """AttributeError, saying why, for a loss without them."""
    link = getattr(estimator, "link_", None) or for_classes(estimator.loss, estimator.loss_params, 2).link
    if link == "none":
        raise AttributeError(f"loss {estimator.loss!r} has no probabilities, only decision_function and predict")
    return True


@documented
class GDClassifier(ClassifierMixin, _Linear):  # type: ignore[misc]
    """Linear classification with any suitable loss, by gradient descent.

        minimise  sum of w loss(y, z) / sum of w + l1 sum |coef| + l2 / 2 sum coef**2,   z = X @ coef.T + intercept

    Two classes have one score, several have one each: binary cross-entropy becomes softmax cross-entropy, other losses
    of one score are those of each class against the rest.

    Parameters
    ----------
    loss : str or Loss, default "binary_crossentropy"
        A loss of labels, by any of its names or as an object, always of raw scores (logits): ``"hinge"``,
        ``"sparse_categorical_crossentropy"``, ``lf.BinaryFocalCrossentropy(gamma=1.0)``.
    PARAMETERS
    class_weight : dict or "balanced", optional
        What the weights of the samples of each class are multiplied with.
    MORE
    classes_ : ndarray
        The classes, sorted.

    Examples
    --------
    >>> import lossfast as lf
    >>> est = lf.GDClassifier(learning_rate=1.0).fit([[0.0], [1.0], [2.0], [3.0]], ["no", "no", "yes", "yes"])
    >>> est.predict([[0.5], [2.5]])
    array(['no', 'yes'], dtype='<U3')
    """

    classes_: Array

    def __init__(
        self,
        loss: str | Loss | Mapping[str, Any] = "binary_crossentropy",
        optimizer: Any = "sgd",
        learning_rate: float = 0.01,
        schedule: Any = None,
        epochs: int = 100,
        batch_size: int = 32,
        shuffle: bool = True,
        l1: float = 0.0,
        l2: float = 0.0,
        fit_intercept: bool = True,
        class_weight: Any = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 5,
        min_delta: float = 0.0,
        restore_best_weights: bool = True,
        warm_start: bool = False,
        metrics: Any = None,
        verbose: int = 0,
        random_state: Any = None,
        n_threads: int | None = None,
        *,
        loss_params: Mapping[str, Any] | None = None,
        callbacks: Any = None,
    ) -> None:
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.epochs = epochs
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.l1 = l1
        self.l2 = l2
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.min_delta = min_delta
        self.restore_best_weights = restore_best_weights
        self.warm_start = warm_start
        self.metrics = metrics
        self.verbose = verbose
        self.random_state = random_state
        self.n_threads = n_threads
        self.loss_params = loss_params
        self.callbacks = callbacks

    def _validated(self, X: Any, y: Any, reset: bool = True) -> tuple[Any, Array]:
        x, y = validate_data(self, X, y, accept_sparse="csr", dtype=FLOATS, order="C", reset=reset)
        check_classification_targets(y)
        return x, y

    def _encoded(self, y: Array) -> Array:
        """The indices of classes."""
        unknown = ~np.isin(y, self.classes_)
        if unknown.any():
            first = int(unknown.argmax())
            raise ValueError(
                f"y[{first}] is {y.tolist()[first]!r}, expected one of the classes {self.classes_.tolist()}"
            )
        return np.searchsorted(self.classes_, y)

    def _labels(self, y: Array) -> Array:
        labels: Array = self.classes_[y]
        return labels

    def _weights(self, x: Any, y: Array, sample_weight: Any) -> Array | None:
        weight = super()._weights(x, y, sample_weight)
        if self.class_weight is None:
            return weight
        given: dict[str, Any] = {"classes": self.classes_, "y": self.classes_[y]}
        if self.class_weight == "balanced" and weight is not None:
            present = np.bincount(y, weights=weight, minlength=len(self.classes_))
            if not present.sum() > 0:
                raise ValueError("sample_weight is zero for all samples, expected a positive weight for some")
            each = np.where(present > 0, present.sum() / (len(present) * np.where(present > 0, present, 1)), 1.0)
        else:
            each = compute_class_weight(self.class_weight, **given)
        by_class: Array = each[y].astype(x.dtype)
        return by_class if weight is None else weight * by_class

    def fit(self, X: Any, y: Any, sample_weight: Any = None, validation_data: Any = None) -> Self:
        """Fit the coefficients.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            float32 stays float32; everything else is taken as float64.
        y : array_like of shape (n_samples,)
            Classes: numbers or strings.
        sample_weight : array_like of shape (n_samples,), optional
            Non-negative weights.  They are scaled to a mean of 1: the objective is the weighted mean of the losses.
        validation_data : tuple, optional
            ``(X, y)`` or ``(X, y, sample_weight)``, for `val_loss` and early stopping, in place of
            `validation_fraction`.

        Returns
        -------
        GDClassifier
            The estimator, whose `history` says how the epochs went.
        """
        x, y = self._validated(X, y)
        before = getattr(self, "classes_", None) if self.warm_start else None
        self.classes_ = np.unique(y)
        if before is not None and not np.array_equal(before, self.classes_):
            raise ValueError(f"warm_start=True with classes {before.tolist()}, but y has {self.classes_.tolist()}")
        if len(self.classes_) < 2:
            raise ValueError(f"y has one class, {self.classes_.tolist()[0]!r}, expected at least 2 classes")
        validation = _validation(self, validation_data, self._encoded)
        objective = for_classes(self.loss, self.loss_params, len(self.classes_))
        return self._fit(x, self._encoded(y), sample_weight, validation, objective)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Fit for one more epoch on these samples, with the weights as they are.

        The first call takes all classes: `classes`.
        """
        first = not hasattr(self, "coef_")
        x, y = self._validated(X, y, reset=first)
        if first and classes is None:
            raise ValueError("classes is None, expected all classes at the first call of partial_fit")
        if classes is not None:
            given = np.unique(classes)
            if not first and not np.array_equal(given, self.classes_):
                raise ValueError(f"classes is {given.tolist()}, expected {self.classes_.tolist()} as before")
            self.classes_ = given
        objective = for_classes(self.loss, self.loss_params, len(self.classes_))
        return self._partial(x, self._encoded(y), sample_weight, objective)

    def decision_function(self, X: Any) -> Array:
        """The scores: of the second of two classes, of shape (n_samples,), or of each, (n_samples, n_classes)."""
        scores = self._scores(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> Array:
        """The class with the highest score."""
        scores = self._scores(X)
        index = (scores[:, 0] > 0).astype(int) if scores.shape[1] == 1 else scores.argmax(axis=1)
        return self.classes_[index]  # type: ignore[no-any-return]

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, of shape (n_samples, n_classes), where the loss has a link to them."""
        scores = self._scores(X)
        return probabilities(self.link_, self.temperature_, scores)

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> Array:
        """The logarithm of `predict_proba`."""
        with np.errstate(divide="ignore"):
            logarithms: Array = np.log(self.predict_proba(X))
        return logarithms
