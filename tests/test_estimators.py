"""Gradient descent of linear models: steps, penalties, weights, history, early stopping, files."""

import copy
import inspect
import io
import json
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

import lossfast as lf
from lossfast.linear import _objective

REGRESSION = _objective.suitable("regressor")
CLASSIFICATION = _objective.suitable("classifier")


def data(n=120, features=5, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, features)).astype(dtype) + 0.5
    return x, x @ rng.standard_normal(features).astype(dtype) + 0.3


def positive(loss, y):
    """Targets in the domain of a loss."""
    return (
        np.exp(y / 3)
        if loss in ("poisson", "gamma", "tweedie", "msle") or lf.info(loss).y_true != "in (-inf, inf)"
        else y
    )


# --- The steps ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_steps_are_those_of_the_textbook(dtype, weighted):
    """w <- shrink(w - lr (dL/dw + l2 w), lr l1), of scores relative to the means of the columns."""
    x, y = data(37, 19, dtype)
    weight = np.arange(1, 38) / 19 if weighted else None
    est = lf.GDRegressor(
        "huber", learning_rate=0.05, epochs=3, batch_size=10, shuffle=False, l1=0.02, l2=0.1, loss_params={"delta": 0.7}
    )
    est.fit(x, y, sample_weight=weight)
    w, b, share = np.zeros(19), 0.0, np.ones(37) if weight is None else weight * 37 / weight.sum()
    x, y = x.astype(np.float64), y.astype(np.float64)
    center = np.average(x, axis=0, weights=weight)
    for _ in range(3):
        for first in range(0, 37, 10):
            rows = slice(first, min(first + 10, 37))
            r = (x[rows] - center) @ w + b - y[rows]
            g = share[rows] * np.clip(r, -0.7, 0.7) / len(r)
            w = w - 0.05 * (g @ (x[rows] - center) + 0.1 * w)
            w = np.sign(w) * np.maximum(np.abs(w) - 0.05 * 0.02, 0)
            b -= 0.05 * g.sum()
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(est.coef_, w, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(est.intercept_, b - center @ w, rtol=tolerance, atol=tolerance)
    assert est.coef_.dtype == dtype and est.intercept_.dtype == dtype and est.predict(x.astype(dtype)).dtype == dtype


@pytest.mark.parametrize("name", REGRESSION)
def test_every_loss_of_numbers(name):
    """What the kernel of a whole epoch does is what products of matrices do; and the loss falls."""
    x, y = data()
    y = positive(name, y)
    options = {"loss": name, "learning_rate": 0.02, "epochs": 15, "random_state": 0}
    if name == "mape":
        options["learning_rate"] = 1e-4
    fused, plain = (lf.GDRegressor(**options).fit(a, y) for a in (x, sparse.csr_array(x)))
    np.testing.assert_allclose(fused.coef_, plain.coef_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(fused.history["loss"], plain.history["loss"], rtol=1e-9)
    assert fused.history["loss"][-1] < fused.history["loss"][0]
    assert np.all(fused.predict(x) > 0) == (fused.link_ == "exp" or np.all(x @ fused.coef_ + fused.intercept_ > 0))


@pytest.mark.parametrize("name", CLASSIFICATION)
@pytest.mark.parametrize("classes", [2, 3])
def test_every_loss_of_classes(name, classes):
    x, y = data()
    y = np.array(["a", "b", "c"])[np.digitize(y, np.quantile(y, [0.5] if classes == 2 else [0.33, 0.66]))]
    options = {"loss": name, "learning_rate": 0.1, "epochs": 15, "random_state": 0}
    fused, plain = (lf.GDClassifier(**options).fit(a, y) for a in (x, sparse.csr_array(x)))
    np.testing.assert_allclose(fused.coef_, plain.coef_, rtol=1e-8, atol=1e-10)
    assert fused.history["loss"][-1] < fused.history["loss"][0]
    assert fused.coef_.shape == (1 if classes == 2 else 3, 5) and fused.intercept_.shape == fused.coef_.shape[:1]
    assert fused.score(x, y) > (0.8 if classes == 2 else 0.6)
    if hasattr(fused, "predict_proba"):
        p = fused.predict_proba(x)
        np.testing.assert_allclose(p.sum(axis=1), 1)
        assert np.array_equal(fused.classes_[p.argmax(axis=1)], fused.predict(x))
    else:
        with pytest.raises(AttributeError, match="predict_proba"):
            fused.predict_proba(x)


def test_two_classes_of_a_softmax_are_those_of_a_sigmoid():
    x, y = data()
    a = lf.GDClassifier(epochs=5, random_state=0).fit(x, y > 0)
    b = lf.GDClassifier("sparse_categorical_crossentropy", epochs=5, random_state=0).fit(x, y > 0)
    np.testing.assert_allclose(a.coef_, b.coef_, rtol=1e-12)
    np.testing.assert_allclose(a.predict_proba(x), b.predict_proba(x), rtol=1e-12)


@pytest.mark.parametrize("features", [1, 4, 15, 16, 33, 100, 2500])
def test_the_same_bits_for_any_number_of_threads(features, dtype):
    x, y = data(700, features, dtype)
    fits = [
        lf.GDRegressor("log_cosh", learning_rate=0.1 / features, epochs=2, batch_size=700, n_threads=n).fit(x, y)
        for n in (1, 2, 5)
    ]
    for other in fits[1:]:
        assert fits[0].coef_.tobytes() == other.coef_.tobytes() and fits[0].history == other.history
    reference = lf.GDRegressor("log_cosh", learning_rate=0.1 / features, epochs=2, batch_size=700).fit(
        sparse.csr_array(x), y
    )
    tolerance = 1e-10 if dtype == np.float64 else 1e-4
    np.testing.assert_allclose(fits[0].coef_, reference.coef_, rtol=tolerance, atol=tolerance * 1e-2)


@pytest.mark.compiled
def test_the_same_bits_for_every_instruction_set_with_fma(isa):
    if isa == "base":
        pytest.skip("without FMA")
    x, y = data(300, 37, np.float32)
    coef = lf.GDRegressor("huber", epochs=2, random_state=0).fit(x, y).coef_
    lf.set_isa("avx2")
    assert lf.GDRegressor("huber", epochs=2, random_state=0).fit(x, y).coef_.tobytes() == coef.tobytes()


def test_a_random_state_says_everything():
    x, y = data()
    a, b, c = (lf.GDRegressor(epochs=3, random_state=s).fit(x, y) for s in (1, 1, 2))
    assert a.coef_.tobytes() == b.coef_.tobytes() and not np.array_equal(a.coef_, c.coef_)


def test_arrays_in_other_layouts():
    x, y = data()
    want = lf.GDRegressor(epochs=2, random_state=0).fit(x, y).coef_
    for other in (np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2], x.tolist(), sparse.csc_matrix(x)):
        np.testing.assert_allclose(lf.GDRegressor(epochs=2, random_state=0).fit(other, y).coef_, want, rtol=1e-12)


# --- Weights and penalties ------------------------------------------------------------------------------------------


def test_weights_are_repetitions():
    x, y = data(60)
    times = np.arange(60) % 3
    a = lf.GDRegressor(batch_size=1000, epochs=20).fit(x, y, sample_weight=times * 7.0)
    b = lf.GDRegressor(batch_size=1000, epochs=20).fit(np.repeat(x, times, axis=0), np.repeat(y, times))
    np.testing.assert_allclose(a.coef_, b.coef_, rtol=1e-10)
    np.testing.assert_allclose(a.history["loss"], b.history["loss"], rtol=1e-10)


def test_class_weights():
    x, y = data()
    by_class = lf.GDClassifier(epochs=3, class_weight={False: 1, True: 3}, random_state=0).fit(x, y > 0)
    by_sample = lf.GDClassifier(epochs=3, random_state=0).fit(x, y > 0, sample_weight=np.where(y > 0, 3, 1))
    np.testing.assert_allclose(by_class.coef_, by_sample.coef_, rtol=1e-12)
    balanced = lf.GDClassifier(epochs=3, class_weight="balanced", random_state=0).fit(x, y > 0)
    shares = np.where(y > 0, 0.5 / np.mean(y > 0), 0.5 / np.mean(y <= 0))
    np.testing.assert_allclose(
        balanced.coef_, lf.GDClassifier(epochs=3, random_state=0).fit(x, y > 0, shares).coef_, rtol=1e-12
    )


def test_l1_makes_zeros_and_no_penalty_of_the_intercept():
    x, y = data()
    est = lf.GDRegressor(l1=100.0, l2=100.0, learning_rate=0.005, epochs=800, batch_size=1000).fit(x, y + 50)
    assert np.count_nonzero(est.coef_) == 0
    np.testing.assert_allclose(est.intercept_, (y + 50).mean(), rtol=1e-3)
    assert est.history["objective"] == est.history["loss"]
    no = lf.GDRegressor(fit_intercept=False, epochs=2).fit(x, y)
    assert no.intercept_ == 0


def test_columns_far_from_zero():
    """The fit is that of centred columns: without them it would diverge."""
    x, y = data()
    a = lf.GDRegressor(epochs=50, batch_size=1000).fit(x, y)
    b = lf.GDRegressor(epochs=50, batch_size=1000).fit(x + 1000, y)
    np.testing.assert_allclose(a.coef_, b.coef_, rtol=1e-8)
    np.testing.assert_allclose(a.predict(x), b.predict(x + 1000), rtol=1e-7, atol=1e-7)


# --- History, validation, stopping ----------------------------------------------------------------------------------


def test_history():
    x, y = data()
    est = lf.GDRegressor(epochs=4, batch_size=1000, learning_rate=0.1, metrics=["mae", "r2", lf.Huber(delta=2.0)])
    history = est.fit(x, y, validation_data=(x[:30], y[:30], np.arange(30)))
    assert history is est and est.n_iter_ == 4
    assert set(est.history) == {
        *("loss", "objective", "mae", "r2", "huber", "val_loss", "val_mae", "val_r2", "val_huber", "lr")
    }
    assert est.history["loss"][0] == pytest.approx(np.mean(y**2))  # before the first step
    assert est.history["mae"][-1] == pytest.approx(lf.mae(y, est.predict(x)))
    assert est.history["val_r2"][-1] == pytest.approx(est.score(x[:30], y[:30]))
    assert est.history["val_loss"][-1] == pytest.approx(
        lf.mse(y[:30], est.predict(x[:30]), sample_weight=np.arange(30.0))
    )
    assert est.history["lr"] == [0.1] * 4 and est.best_epoch_ == 3
    with pytest.raises(NotFittedError):
        _ = lf.GDRegressor().history


def test_history_is_drawn():
    pytest.importorskip("matplotlib").use("Agg")
    x, y = data()
    axes = lf.plot.history(lf.GDRegressor(epochs=3, early_stopping=True).fit(x, y))
    assert len(np.ravel(axes)) >= 1


def test_early_stopping_goes_back_to_the_best():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 40)), rng.standard_normal(60)  # nothing to learn
    est = lf.GDRegressor(early_stopping=True, patience=3, learning_rate=0.05, epochs=200, random_state=0).fit(x, y)
    losses = est.history["val_loss"]
    assert est.n_iter_ == len(losses) < 200
    assert est.best_epoch_ == int(np.argmin(losses)) == len(losses) - 4
    again = lf.GDRegressor(early_stopping=True, learning_rate=0.05, epochs=est.best_epoch_ + 1, random_state=0)
    np.testing.assert_allclose(again.fit(x, y).coef_, est.coef_, rtol=1e-12)
    np.testing.assert_allclose(again.intercept_, est.intercept_, rtol=1e-12)
    last = clone(est).set_params(restore_best_weights=False).fit(x, y)
    assert last.n_iter_ == est.n_iter_ and not np.allclose(last.coef_, est.coef_)


def test_validation_keeps_the_share_of_classes():
    x, y = data(200)
    seen = []

    def share(y_true, y_pred):
        seen.append((len(y_true), y_true.mean()))
        return 0.0

    rare = y > np.quantile(y, 0.9)
    lf.GDClassifier(early_stopping=True, validation_fraction=0.2, epochs=1, metrics=[share]).fit(x, rare)
    assert seen == [(160, 0.1), (40, 0.1)]


def test_warm_start_goes_on():
    x, y = data()
    est = lf.GDRegressor(epochs=3, shuffle=False, warm_start=True).fit(x, y).fit(x, y)
    np.testing.assert_allclose(est.coef_, lf.GDRegressor(epochs=6, shuffle=False).fit(x, y).coef_, rtol=1e-9)
    with pytest.raises(ValueError, match="warm_start"):
        est.fit(x[:, :3], y)


def test_partial_fit_is_an_epoch():
    x, y = data()
    x -= x.mean(axis=0)
    whole = lf.GDRegressor(epochs=3, batch_size=30, shuffle=False).fit(x, y)
    parts = lf.GDRegressor(batch_size=30, shuffle=False)
    for _ in range(3):
        parts.partial_fit(x, y)
    np.testing.assert_allclose(parts.coef_, whole.coef_, rtol=1e-9)
    assert parts.n_iter_ == len(parts.history["loss"]) == 3 and parts.t_ == 12
    before = parts.coef_
    parts.partial_fit(x, y)
    assert not np.array_equal(before, parts.coef_)
    est = lf.GDClassifier().partial_fit(x, np.zeros(120), classes=[0, 1, 2])
    assert est.partial_fit(x, np.full(120, 2)).coef_.shape == (3, 5)
    with pytest.raises(ValueError, match="expected one of the classes"):
        est.partial_fit(x, np.full(120, 3))
    with pytest.raises(ValueError, match="classes is None"):
        lf.GDClassifier().partial_fit(x, np.zeros(120))


def test_schedules_are_functions_of_the_step():
    x, y = data(100)
    asked = []

    def schedule(step):
        asked.append(step)
        return 0.1 / (1 + step)

    est = lf.GDRegressor(schedule=schedule, batch_size=25, epochs=3, shuffle=False).fit(x, y)
    assert est.history["lr"] == [0.1, 0.1 / 5, 0.1 / 9]
    assert set(asked) == set(range(12))
    np.testing.assert_allclose(
        est.coef_,
        lf.GDRegressor(schedule=schedule, batch_size=25, epochs=3, shuffle=False).fit(sparse.csr_array(x), y).coef_,
    )


def test_divergence_says_where():
    x, y = data()
    with pytest.raises(lf.linear.DivergenceError, match=r"in epoch \d+, step \d+ of 4, with learning rate 100"):
        lf.GDRegressor(learning_rate=100.0).fit(x, y)
    est = lf.GDRegressor(learning_rate=100.0)
    with pytest.raises(ArithmeticError):
        est.fit(sparse.csr_array(x), y)
    with pytest.raises(NotFittedError):
        est.predict(x)


# --- Bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"loss": "dice"}, ValueError, "loss 'dice' is not one of a regressor's"),
        ({"loss": "hubber"}, ValueError, "did you mean"),
        ({"loss": "hinge"}, ValueError, "huber"),
        ({"loss": lf.Huber, "loss_params": {"delta": -1.0}}, ValueError, "delta"),
        ({"epochs": 0}, ValueError, "epochs is 0"),
        ({"epochs": 1.5}, TypeError, "epochs is 1.5"),
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
        ({"l1": -1.0}, ValueError, "l1 is -1.0"),
        ({"l2": float("nan")}, ValueError, "l2 is nan"),
        ({"learning_rate": "fast"}, TypeError, "learning_rate is 'fast'"),
        ({"validation_fraction": 1.0}, ValueError, "validation_fraction is 1.0"),
        ({"n_threads": 0}, ValueError, "n_threads is 0"),
        ({"callbacks": [print]}, TypeError, "callbacks has"),
        ({"metrics": [3]}, TypeError, "metrics has 3"),
        ({"schedule": 3}, TypeError, "schedule is 3"),
    ],
)
def test_bad_parameters(params, error, words):
    x, y = data()
    with pytest.raises(error, match=words):
        lf.GDRegressor(**params).fit(x, y)


def test_bad_data():
    x, y = data()
    with pytest.raises(ValueError, match=r"y_true\[\d+\] is -"):
        lf.GDRegressor("poisson").fit(x, y)
    with pytest.raises(ValueError, match="one class"):
        lf.GDClassifier().fit(x, np.zeros(120))
    with pytest.raises(ValueError, match="validation_data"):
        lf.GDRegressor().fit(x, y, validation_data=x)
    with pytest.raises(ValueError, match="features"):
        lf.GDRegressor().fit(x, y, validation_data=(x[:, :2], y))
    with pytest.raises(ValueError, match=r"y\[0\] is 7"):
        lf.GDClassifier().fit(x, y > 0, validation_data=(x, np.full(120, 7)))
    with pytest.raises(ValueError, match=r"sample_weight\[0\] is -1.0"):
        lf.GDRegressor().fit(x, y, sample_weight=-np.ones(120))
    with pytest.raises(ValueError, match="all validation samples"):
        lf.GDRegressor().fit(x, y, validation_data=(x, y, np.zeros(120)))


# --- Losses as parameters -------------------------------------------------------------------------------------------


def test_parameters_of_a_loss_are_searchable():
    x, y = data()
    est = lf.GDRegressor(loss=lf.Huber(delta=1.0), epochs=5)
    assert est.get_params()["loss__delta"] == 1.0
    assert clone(est).loss == est.loss
    assert est.set_params(loss__delta=3.0).loss == lf.Huber(delta=3.0)
    assert lf.GDRegressor("quantile").set_params(loss__quantile=0.9).loss == lf.Quantile(quantile=0.9)
    search = GridSearchCV(est, {"loss__delta": [0.1, 1.0], "l2": [0.0, 1.0]}, cv=2, n_jobs=1).fit(x, y)
    assert set(search.best_params_) == {"loss__delta", "l2"}


@pytest.mark.parametrize("make", [lf.GDRegressor, lf.GDClassifier])
def test_the_signature(make):
    want = {
        "loss": "mse", "optimizer": "sgd", "learning_rate": 0.01, "schedule": None, "epochs": 100, "batch_size": 32,
        "shuffle": True, "l1": 0.0, "l2": 0.0, "fit_intercept": True, "class_weight": None, "early_stopping": False,
        "validation_fraction": 0.1, "patience": 5, "min_delta": 0.0, "restore_best_weights": True, "warm_start": False,
        "metrics": None, "verbose": 0, "random_state": None, "n_threads": None, "loss_params": None, "callbacks": None,
    }  # fmt: skip
    if make is lf.GDClassifier:
        want["loss"] = "binary_crossentropy"
    else:
        del want["class_weight"]
    found = inspect.signature(make).parameters
    assert {k: p.default for k, p in found.items()} == want and list(found) == list(want)
    assert all(f"\n    {name} : " in make.__doc__ for name in want)


def test_losses_take_logits_whatever_they_say():
    x, y = data()
    a = lf.GDClassifier(lf.BinaryCrossentropy(from_logits=False), epochs=2, random_state=0).fit(x, y > 0)
    b = lf.GDClassifier("bce", epochs=2, random_state=0).fit(x, y > 0)
    assert a.coef_.tobytes() == b.coef_.tobytes()
    with pytest.raises(ValueError, match="use sample_weight"):
        lf.GDClassifier(lf.BinaryCrossentropy(pos_weight=np.ones(120))).fit(x, y > 0)


# --- Files ----------------------------------------------------------------------------------------------------------


def test_saved_and_loaded(tmp_path):
    x, y = data()
    labels = np.array(["no", "yes"], object)[(y > 0).astype(int)]
    est = lf.GDClassifier(
        lf.BinaryFocalCrossentropy(gamma=1.5), epochs=3, early_stopping=True, metrics=["accuracy"], random_state=0
    ).fit(x, labels)
    est.save(tmp_path / "model")
    assert [p.name for p in tmp_path.iterdir()] == ["model.npz"]
    back = lf.GDClassifier.load(tmp_path / "model")
    assert back.get_params()["loss"] == est.loss and back.metrics == ["accuracy"]
    assert np.array_equal(back.predict_proba(x), est.predict_proba(x)) and back.history == est.history
    assert np.array_equal(back.predict(x), est.predict(x)) and back.n_features_in_ == 5
    back.partial_fit(x, labels)
    with zipfile.ZipFile(tmp_path / "model.npz") as file:
        head = json.loads(np.load(io.BytesIO(file.read("json.npy")), allow_pickle=False).tobytes())
    assert head["class"] == "GDClassifier"
    with pytest.raises(ValueError, match="holds a GDClassifier, expected a GDRegressor"):
        lf.GDRegressor.load(tmp_path / "model.npz")
    np.savez(tmp_path / "other.npz", x=x)
    with pytest.raises(ValueError, match="not a file that an estimator"):
        lf.GDRegressor.load(tmp_path / "other.npz")


def test_what_has_no_words_is_left_out(tmp_path):
    x, y = data()
    est = lf.GDRegressor(schedule=lambda step: 0.01, epochs=2).fit(x, y)
    with pytest.warns(UserWarning, match="schedule cannot be saved"):
        est.save(tmp_path / "x.npz")
    assert lf.GDRegressor.load(tmp_path / "x.npz").schedule is None


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    x, y = data()
    est = lf.GDRegressor(epochs=2).fit(x, y)
    est.save(tmp_path / "x.npz")
    before = (tmp_path / "x.npz").read_bytes()

    def fail(*args, **kwargs):
        raise OSError("full")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="full"):
        est.save(tmp_path / "x.npz")
    assert (tmp_path / "x.npz").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("make", [lf.GDRegressor, lf.GDClassifier])
def test_pickle_and_copies(make):
    x, y = data()
    y = y if make is lf.GDRegressor else y > 0
    est = make(epochs=2, random_state=0).fit(x, y)
    for other in (pickle.loads(pickle.dumps(est)), copy.deepcopy(est)):
        assert np.array_equal(other.predict(x), est.predict(x))
        assert other.partial_fit(x, y).coef_.tobytes() == copy.deepcopy(est).partial_fit(x, y).coef_.tobytes()


@pytest.mark.parametrize("given", ["mse", lf.Huber(delta=2.0)])
def test_skops(given):
    sio = pytest.importorskip("skops.io")
    x, y = data()
    est = lf.GDRegressor(given, epochs=2).fit(x, y)
    dumped = sio.dumps(est)
    unknown = sio.get_untrusted_types(data=dumped)
    assert all(name.startswith("lossfast.") for name in unknown)
    assert np.array_equal(sio.loads(dumped, trusted=unknown).predict(x), est.predict(x))


# --- Without scikit-learn -------------------------------------------------------------------------------------------


def test_scikit_learn_is_asked_for_only_here():
    code = """
import sys
import lossfast as lf
lf.huber([0.0], [1.0]), dir(lf), lf.optim.SGD, lf.callbacks.EarlyStopping
assert "sklearn" not in sys.modules
sys.modules["sklearn"] = None
try:
    lf.GDRegressor
except ImportError as error:
    print(error)
"""
    out = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert "pip install 'lossfast[linear]'" in out.stdout, out.stderr
