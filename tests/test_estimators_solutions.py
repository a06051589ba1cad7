"""Estimators go where scikit-learn's solvers go, with every optimizer and schedule."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import HuberRegressor, Lasso, LogisticRegression, PoissonRegressor, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

import lossfast as lf

SCHEDULES = ["constant", "step", "multistep", "exponential", "inverse_time", "polynomial", "cosine", "cosine_restarts"]
SCHEDULES += ["one_cycle", "warmup", "reduce_on_plateau"]


def data(n=120):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 5)) + 0.5
    return x, x @ rng.standard_normal(5) + 0.3


def descent(make, loss, n, lr, epochs, momentum=0.95, **more):
    """Nesterov's, on the whole objective."""
    optimizer = lf.optim.SGD(momentum=momentum, nesterov=True)
    return make(loss, optimizer=optimizer, learning_rate=lr, batch_size=n, epochs=epochs, **more)


def same(est, peer, tolerance=1e-4):
    np.testing.assert_allclose(est.coef_, peer.coef_, rtol=0, atol=tolerance)
    np.testing.assert_allclose(np.ravel(est.intercept_), np.ravel(peer.intercept_), rtol=0, atol=tolerance)


def scaled(dataset):
    x, y = dataset(return_X_y=True)
    return StandardScaler().fit_transform(x), y


def test_logistic_regression():
    x, y = scaled(load_breast_cancer)
    peer = LogisticRegression(C=1.0, tol=1e-10, max_iter=10000).fit(x, y)
    est = descent(lf.GDClassifier, "binary_crossentropy", len(y), 0.3, 3000, 0.97, l2=1 / len(y)).fit(x, y)
    same(est, peer)
    np.testing.assert_allclose(est.predict_proba(x), peer.predict_proba(x), atol=1e-4)


def test_multinomial_regression():
    x, y = scaled(load_iris)
    peer = LogisticRegression(C=2.0, tol=1e-10, max_iter=10000).fit(x, y)
    same(descent(lf.GDClassifier, "binary_crossentropy", len(y), 0.5, 1500, l2=1 / (2 * len(y))).fit(x, y), peer)


def test_ridge():
    x, y = scaled(load_diabetes)
    same(descent(lf.GDRegressor, "mse", len(y), 0.1, 1000, l2=2 / len(y)).fit(x, y), Ridge(alpha=1.0).fit(x, y))


def test_lasso():
    x, y = scaled(load_diabetes)
    peer = Lasso(alpha=2.0, tol=1e-12, max_iter=100000).fit(x, y)
    est = descent(lf.GDRegressor, "mse", len(y), 0.1, 2000, l1=4.0).fit(x, y)
    same(est, peer)
    assert 0 < np.count_nonzero(est.coef_) < 10 and np.array_equal(est.coef_ == 0, peer.coef_ == 0)


def test_huber_regression():
    """scikit-learn estimates a scale too: its losses are those of delta = epsilon scale, times 2 / scale."""
    x, y = scaled(load_diabetes)
    y = (y - y.mean()) / y.std()
    peer = HuberRegressor(epsilon=1.35, alpha=1.0, tol=1e-9, max_iter=10000).fit(x, y)
    loss = lf.Huber(delta=1.35 * peer.scale_)
    same(descent(lf.GDRegressor, loss, len(y), 0.2, 3000, 0.97, l2=peer.scale_ / len(y)).fit(x, y), peer)


def test_poisson_regression():
    x, y = scaled(load_diabetes)
    y = y / 50
    peer = PoissonRegressor(alpha=0.01, tol=1e-10, max_iter=10000).fit(x, y)
    est = descent(lf.GDRegressor, "poisson", len(y), 0.03, 3000, l2=0.01).fit(x, y)
    same(est, peer)
    np.testing.assert_allclose(est.predict(x), peer.predict(x), rtol=1e-4)


def test_stochastic_steps_come_close():
    x, y = scaled(load_breast_cancer)
    peer = LogisticRegression(C=1.0, tol=1e-10, max_iter=10000).fit(x, y)
    est = lf.GDClassifier(learning_rate=0.5, schedule="cosine", epochs=200, l2=1 / len(y), random_state=0).fit(x, y)
    assert est.history["objective"][-1] < 1.02 * (
        lf.bce(y, peer.decision_function(x), from_logits=True) + 0.5 / len(y) * np.sum(peer.coef_**2)
    )
    assert est.history["lr"][0] == 0.5 and est.history["lr"][-1] < 1e-4


# --- Optimizers and schedules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["adam", "adamw", "nadam", "rmsprop", "adagrad", "adadelta", "lion", "amsgrad", "nesterov"]
)
def test_every_optimizer(name):
    x, y = data()
    est = lf.GDRegressor(optimizer=name, learning_rate=0.02, epochs=30, random_state=0, l1=1e-3, l2=1e-3).fit(x, y)
    assert est.history["objective"][-1] < est.history["objective"][0]
    same(est, lf.GDRegressor(**est.get_params()).fit(sparse.csr_array(x), y), 1e-8)


@pytest.mark.parametrize("name", ["adam", lf.optim.SGD(momentum=0.9)])
def test_partial_fit_keeps_what_the_optimizer_remembers(name, tmp_path):
    x, y = data()
    x -= x.mean(axis=0)
    whole = lf.GDRegressor(optimizer=name, epochs=4, batch_size=30, shuffle=False).fit(x, y)
    part = lf.GDRegressor(optimizer=name, batch_size=30, shuffle=False).partial_fit(x, y).partial_fit(x, y)
    part.save(tmp_path / "x.npz")
    part = lf.GDRegressor.load(tmp_path / "x.npz").partial_fit(x, y)
    part = pickle.loads(pickle.dumps(part)).partial_fit(x, y)
    np.testing.assert_allclose(part.coef_, whole.coef_, rtol=1e-9)


def test_parameters_of_an_optimizer_are_searchable():
    x, y = data()
    est = lf.GDRegressor(optimizer=lf.optim.SGD(momentum=0.5), epochs=2)
    grid = GridSearchCV(est, {"optimizer__momentum": [0.0, 0.9]}, cv=2).fit(x, y)
    assert grid.best_estimator_.optimizer.momentum == grid.best_params_["optimizer__momentum"]
    assert est.optimizer.momentum == 0.5
    with pytest.raises(ValueError, match="use l2"):
        lf.GDRegressor(optimizer=lf.optim.SGD(weight_decay=0.1)).fit(x, y)
    with pytest.raises(TypeError, match="optimizer is 3"):
        lf.GDRegressor(optimizer=3).fit(x, y)


def test_decay_is_decoupled_with_adamw_alone():
    x, y = data()
    x, y = x[:40] - x[:40].mean(axis=0), y[:40] - y[:40].mean()
    w = np.zeros(5)
    opt = lf.optim.AdamW([w], lr=0.02, weight_decay=0.3)
    for _ in range(5):
        opt.step([2 * x.T @ (x @ w - y) / 40])
    est = lf.GDRegressor(optimizer="adamw", learning_rate=0.02, l2=0.3, epochs=5, batch_size=40).fit(x, y)
    np.testing.assert_allclose(est.coef_, w, rtol=1e-10)
    w = np.zeros(5)
    opt = lf.optim.Adam([w], lr=0.02)
    for _ in range(5):
        opt.step([2 * x.T @ (x @ w - y) / 40 + 0.3 * w])
    est = lf.GDRegressor(optimizer="adam", learning_rate=0.02, l2=0.3, epochs=5, batch_size=40).fit(x, y)
    np.testing.assert_allclose(est.coef_, w, rtol=1e-10)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule(name):
    x, y = data()
    est = lf.GDRegressor(schedule=name, learning_rate=0.05, epochs=40, random_state=0).fit(x, y)
    rates = est.history["lr"]
    assert max(rates) <= 0.05 * (1 + 1e-12) and est.history["loss"][-1] < est.history["loss"][0]
    assert name in ("constant", "reduce_on_plateau") or min(rates) < 0.05
    with pytest.raises(ValueError, match="did you mean 'cosine'"):
        lf.GDRegressor(schedule="cosin").fit(x, y)
