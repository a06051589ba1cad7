"""Tuning a linear model five ways: grid, random, successive halving, cross-validation, and Optuna with pruning.

python examples/search_linear.py [--trials 20] [--only grid,random,halving,cross_validation,optuna]

Needs `pip install 'lossfast[linear]'`, and Optuna for the last.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_validate,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import lossfast as lf


def regression(**params: Any) -> Any:
    """A pipeline for the diabetes data, whose target is between 25 and 346."""
    est = lf.GDRegressor(loss=lf.Huber(delta=10.0), learning_rate=0.05, epochs=100, random_state=0, **params)
    return make_pipeline(StandardScaler(), est)


def grid() -> Any:
    """Parameters of the loss and of the penalties together."""
    x, y = load_diabetes(return_X_y=True)
    space = {"gdregressor__loss__delta": [10.0, 50.0, 200.0], "gdregressor__l1": [0.0, 0.1, 1.0]}
    return GridSearchCV(regression(), space, cv=3, scoring="neg_mean_absolute_error").fit(x, y)


def random(trials: int) -> Any:
    """Losses and optimizers by name, numbers from distributions."""
    from scipy.stats import loguniform

    x, y = load_breast_cancer(return_X_y=True)
    space = {
        "gdclassifier__loss": ["binary_crossentropy", "hinge", "squared_hinge", "binary_focal_crossentropy"],
        "gdclassifier__learning_rate": loguniform(1e-3, 1e-1),
        "gdclassifier__l2": loguniform(1e-5, 1e-1),
        "gdclassifier__batch_size": [16, 64, 256],
    }
    model = make_pipeline(StandardScaler(), lf.GDClassifier(epochs=20, random_state=0))
    return RandomizedSearchCV(model, space, n_iter=trials, cv=3, random_state=0).fit(x, y)


def halving() -> Any:
    """The number of epochs as the resource: bad candidates get few."""
    x, y = load_breast_cancer(return_X_y=True)
    space = {"gdclassifier__learning_rate": [1e-4, 1e-3, 1e-2, 1e-1], "gdclassifier__l2": [0.0, 1e-3, 1e-1]}
    model = make_pipeline(StandardScaler(), lf.GDClassifier(random_state=0))
    search = HalvingGridSearchCV(
        model, space, resource="gdclassifier__epochs", min_resources=3, max_resources=27, cv=3, random_state=0
    )
    return search.fit(x, y)


def cross_validation() -> dict[str, Any]:
    """Early stopping within each fold: its validation data are a part of the fold's training data."""
    x, y = load_diabetes(return_X_y=True)
    model = regression(early_stopping=True, patience=5)
    scores = ("r2", "neg_mean_absolute_error")
    found: dict[str, Any] = cross_validate(model, x, y, cv=5, scoring=scores, return_estimator=True)
    found["epochs"] = [pipeline[-1].n_iter_ for pipeline in found["estimator"]]
    return found


def optuna(trials: int, epochs: int = 30) -> Any:
    """Each trial learns epoch after epoch with partial_fit, and is ended early when it falls behind the others."""
    import optuna as op

    op.logging.set_verbosity(op.logging.WARNING)
    x, y = load_breast_cancer(return_X_y=True)
    x, x_held, y, y_held = train_test_split(x, y, test_size=0.3, stratify=y, random_state=0)
    scaler = StandardScaler().fit(x)
    x, x_held = scaler.transform(x), scaler.transform(x_held)

    def objective(trial: Any) -> float:
        est = lf.GDClassifier(
            loss=trial.suggest_categorical("loss", ["binary_crossentropy", "squared_hinge"]),
            optimizer=trial.suggest_categorical("optimizer", ["sgd", "adam"]),
            learning_rate=trial.suggest_float("learning_rate", 1e-4, 1.0, log=True),
            l2=trial.suggest_float("l2", 1e-6, 1e-1, log=True),
            random_state=0,
        )
        score = 0.0
        for epoch in range(epochs):
            est.partial_fit(x, y, classes=[0, 1])
            score = est.score(x_held, y_held)
            trial.report(score, epoch)
            if trial.should_prune():
                raise op.TrialPruned
        return score

    study = op.create_study(
        direction="maximize",
        sampler=op.samplers.TPESampler(seed=0),
        pruner=op.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2),
    )
    study.optimize(objective, n_trials=trials)
    return study


def main(argv: list[str] | None = None) -> None:
    """All of them, or some."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--only", default="grid,random,halving,cross_validation,optuna")
    args = parser.parse_args(argv)
    searches: dict[str, Callable[[], Any]] = {
        "grid": grid,
        "random": lambda: random(args.trials),
        "halving": halving,
    }
    for name in args.only.split(","):
        if name in searches:
            search = searches[name]()
            print(f"{name}: {search.best_score_:.4f} with {search.best_params_}")
        elif name == "cross_validation":
            found = cross_validation()
            print(f"{name}: R² {np.mean(found['test_r2']):.4f}, epochs {found['epochs']}")
        elif name == "optuna":
            study = optuna(args.trials)
            ended = sum(trial.state.name == "PRUNED" for trial in study.trials)
            print(f"{name}: {study.best_value:.4f} with {study.best_params}, {ended} of {len(study.trials)} pruned")
        else:
            parser.error(f"--only has {name!r}")


if __name__ == "__main__":
    main()
