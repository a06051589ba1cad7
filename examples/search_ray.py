"""Tuning a linear model with Ray Tune: successive halving of trials that learn with partial_fit.

python examples/search_ray.py [--samples 20]

Needs `pip install 'ray[tune]'`.  No test runs this script: Ray is too large for that.
"""

from __future__ import annotations

import argparse
from typing import Any

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import lossfast as lf


def train(config: dict[str, Any]) -> None:
    """One trial: it reports after each epoch, and Ray may end it."""
    from ray import tune

    x, y = load_breast_cancer(return_X_y=True)
    x, x_held, y, y_held = train_test_split(x, y, test_size=0.3, stratify=y, random_state=0)
    scaler = StandardScaler().fit(x)
    est = lf.GDClassifier(n_threads=1, random_state=0, **config)
    for _ in range(30):
        est.partial_fit(scaler.transform(x), y, classes=[0, 1])
        tune.report({"accuracy": est.score(scaler.transform(x_held), y_held)})


def main() -> None:
    """The best of some samples."""
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=20)
    args = parser.parse_args()
    space = {
        "loss": tune.choice(["binary_crossentropy", "squared_hinge"]),
        "learning_rate": tune.loguniform(1e-4, 1.0),
        "l2": tune.loguniform(1e-6, 1e-1),
    }
    scheduler = ASHAScheduler(metric="accuracy", mode="max", grace_period=3, max_t=30)
    tuner = tune.Tuner(
        train, param_space=space, tune_config=tune.TuneConfig(scheduler=scheduler, num_samples=args.samples)
    )
    best = tuner.fit().get_best_result("accuracy", "max")
    print(f"{best.metrics['accuracy']:.4f} with {best.config}")


if __name__ == "__main__":
    main()
