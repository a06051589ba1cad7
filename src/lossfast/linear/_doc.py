"""What the docstrings of the estimators have in common."""

from __future__ import annotations

from typing import TypeVar

Class = TypeVar("Class", bound=type)

PARAMETERS = """\
optimizer : str or object, default "sgd"
        A name of `lossfast.optim` ("sgd", "adam", "adamw", ...) or an object such as ``lf.optim.SGD(momentum=0.9)``, of
        which `learning_rate` and `l2` replace the learning rate and the decay of weights.
    learning_rate : float, default 0.01
        The size of a step, where a schedule does not say it.
    schedule : str or callable, optional
        A name of `lossfast.schedules` (but "warmup" is one of 5 % of the steps with a cosine after it), beginning at
        `learning_rate` and spread over all steps of the fit, or a function step -> learning rate.
    epochs : int, default 100
        How often all samples are used, at most.
    batch_size : int, default 32
        Samples of a step.  Where it is at least their number, that is gradient descent on the whole objective.
    shuffle : bool, default True
        Whether each epoch goes through the samples in a new order.
    l1 : float, default 0.0
        Weight of the penalty ``l1 sum |coef|``, taken as a proximal step after each step, which makes coefficients
        exactly 0.  With plain gradient descent and momentum the fit converges to the minimum of the objective; with
        optimizers that scale their steps (Adam and others) coefficients shrink by the learning rate alone, as AdamW's
        weights decay.
    l2 : float, default 0.0
        Weight of the penalty ``l2 / 2 sum coef**2``: part of the gradient, but decoupled with AdamW and Lion.
    fit_intercept : bool, default True
        Whether there is an intercept, which has no penalty."""

MORE = """\
early_stopping : bool, default False
        Whether to end when the loss of held-out samples has not improved for `patience` epochs.
    validation_fraction : float, default 0.1
        Share of the samples that are held out for that, where `fit` is not given validation data.
    patience : int, default 5
        Epochs without improvement after which the fit ends.
    min_delta : float, default 0.0
        What an improvement has to exceed.
    restore_best_weights : bool, default True
        Whether early stopping puts the coefficients of the best epoch back.
    warm_start : bool, default False
        Whether `fit` begins at the coefficients of the fit before.
    metrics : list, optional
        What else is recorded after each epoch, of all samples and of the validation data: names of losses or of
        scikit-learn's scorers, or functions (y_true, y_pred).
    verbose : int, default 0
        1: a bar for each epoch, as Keras shows it; 2: one line for each epoch.
    random_state : int, RandomState or None, default None
        Says the order of the samples and which are held out.
    n_threads : int, optional
        Of lossfast's kernels; by default what `lossfast.set_num_threads` says.
    loss_params : dict, optional
        Parameters of a loss given by its name: ``loss="huber", loss_params={"delta": 2.0}``.  Those of a loss given as
        an object, ``loss=lf.Huber(delta=2.0)``, are searchable as ``loss__delta``.
    callbacks : list, optional
        Objects of `lossfast.callbacks`.

    Attributes
    ----------
    coef_, intercept_ : ndarray
        The coefficients and the intercepts.
    history : dict
        Lists with a number for each epoch: "loss" (the mean of the losses, each before the step of its batch),
        "objective" (that and the penalties), the metrics, "val_loss", "val_" and a metric, and "lr".
    n_iter_ : int
        How many epochs there were.
    best_epoch_ : int
        The epoch with the smallest "val_loss", or, without validation, "loss"; the first is 0.
    n_features_in_ : int
        How many features X has."""


def documented(cls: Class) -> Class:
    """Puts the shared texts in their places."""
    text = (cls.__doc__ or "").replace("PARAMETERS", PARAMETERS).replace("MORE", MORE)
    cls.__doc__ = text
    return cls
