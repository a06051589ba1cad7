"""What happens while an estimator is fitted."""

import csv
import io

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone

import lossfast as lf
from lossfast import callbacks as cb


def data(n=100):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 4))
    return x, x @ [1.0, 2.0, 0.0, -1.0] + 0.5


class Recorder(cb.Callback):
    def __init__(self):
        self.events = []

    def on_train_begin(self, logs=None):
        self.events.append("begin")

    def on_epoch_begin(self, epoch, logs=None):
        self.events.append(("epoch", epoch, self.model.epochs, self.model.steps))

    def on_epoch_end(self, epoch, logs=None):
        assert np.array_equal(self.model.estimator.coef_, self.model.weights()[0][0])
        self.events.append((epoch, sorted(logs)))

    def on_train_end(self, logs=None):
        self.events.append("end")


def test_the_order_of_events():
    x, y = data()
    recorder = Recorder()
    est = lf.GDRegressor(epochs=2, callbacks=[recorder]).fit(x, y)
    keys = ["loss", "lr", "objective"]
    assert recorder.events == ["begin", ("epoch", 0, 2, 4), (0, keys), ("epoch", 1, 2, 4), (1, keys), "end"]
    assert recorder.model is None
    assert clone(est).callbacks[0] is not recorder


def test_the_end_is_told_also_of_what_fails():
    x, y = data()
    recorder = Recorder()
    with pytest.raises(lf.linear.DivergenceError):
        lf.GDRegressor(learning_rate=1e3, callbacks=[recorder]).fit(x, y)
    assert recorder.events[-1] == "end" and recorder.model is None


def test_a_file_that_cannot_be_opened(tmp_path):
    x, y = data()
    with pytest.raises(FileNotFoundError):
        lf.GDRegressor(callbacks=[cb.CSVLogger(tmp_path / "no" / "x.csv"), cb.EarlyStopping("loss")]).fit(x, y)


def test_stopping_by_hand():
    x, y = data()

    class Stop(cb.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 2

    assert lf.GDRegressor(callbacks=[Stop()]).fit(x, y).n_iter_ == 3


@pytest.mark.parametrize("monitor", ["val_loss", "val_r2", "val_mae"])
def test_early_stopping_as_an_object(monitor):
    x, y = data(40)
    x = np.hstack([x, np.random.default_rng(1).standard_normal((40, 60))])
    y = y + np.random.default_rng(2).standard_normal(40)
    stop = cb.EarlyStopping(monitor, patience=4)
    est = lf.GDRegressor(learning_rate=0.05, epochs=300, shuffle=False, callbacks=[stop], metrics=["r2", "mae"]).fit(
        x[:30], y[:30], validation_data=(x[30:], y[30:])
    )
    followed = np.array(est.history[monitor]) * (-1 if monitor == "val_r2" else 1)
    assert est.n_iter_ == len(followed) == np.argmin(followed) + 5 < 300
    names = {
        "val_loss": lambda: lf.mse(y[30:], est.predict(x[30:])),
        "val_mae": lambda: lf.mae(y[30:], est.predict(x[30:])),
    }
    best = names.get(monitor, lambda: -est.score(x[30:], y[30:]))()
    assert best == pytest.approx(followed.min())


def test_what_is_monitored_must_be_there():
    x, y = data()
    with pytest.raises(ValueError, match=r"'val_loss', expected one of 'loss'.*validation"):
        lf.GDRegressor(callbacks=[cb.EarlyStopping()]).fit(x, y)
    with pytest.raises(ValueError, match="did you mean 'objective'"):
        lf.GDRegressor(callbacks=[cb.EarlyStopping("objectiv")]).fit(x, y)
    with pytest.raises(ValueError, match="mode is 'up'"):
        cb.EarlyStopping(mode="up")
    with pytest.raises(ValueError, match="factor is 2"):
        cb.ReduceLROnPlateau(factor=2)


def test_smaller_steps_on_a_plateau():
    x, y = data()
    reduce = cb.ReduceLROnPlateau("loss", factor=0.5, patience=2, min_delta=1e9, min_lr=0.02, cooldown=1)
    est = lf.GDRegressor(learning_rate=0.1, epochs=9, callbacks=[reduce]).fit(x, y)
    assert est.history["lr"] == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025])
    scheduled = lf.GDRegressor(
        schedule=lambda step: 1 / (10 + step), batch_size=100, epochs=4, callbacks=[
            cb.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1e9)
        ]
    ).fit(x, y)  # fmt: skip
    assert scheduled.history["lr"] == pytest.approx([1 / 10, 1 / 11, 0.5 / 12, 0.25 / 13])


def test_checkpoints(tmp_path):
    x, y = data()
    every = cb.ModelCheckpoint(tmp_path / "m-{epoch:02d}-{loss:.2f}")
    best = cb.ModelCheckpoint(tmp_path / "best", monitor="val_loss", save_best_only=True)
    est = lf.GDRegressor(epochs=3, callbacks=[every, best], random_state=0)
    with pytest.warns(UserWarning, match="callbacks cannot be saved"):
        est.fit(x, y, validation_data=(x, -y))
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names[0] == "best.npz" and [n[:5] for n in names[1:]] == ["m-01-", "m-02-", "m-03-"]
    last = lf.GDRegressor.load(tmp_path / names[-1])
    assert np.array_equal(last.coef_, est.coef_) and np.array_equal(last.predict(x), est.predict(x))
    first = lf.GDRegressor.load(tmp_path / "best.npz")  # of reversed targets the first epoch is the best
    assert np.array_equal(first.coef_, lf.GDRegressor.load(tmp_path / names[1]).coef_)


def test_a_file_of_numbers(tmp_path):
    x, y = data()
    est = lf.GDRegressor(epochs=3, callbacks=[cb.CSVLogger(tmp_path / "x.csv")], early_stopping=True).fit(x, y)
    with open(tmp_path / "x.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(r["epoch"]) for r in rows] == [0, 1, 2]
    assert [float(r["val_loss"]) for r in rows] == est.history["val_loss"]
    lf.GDRegressor(epochs=2, callbacks=[cb.CSVLogger(tmp_path / "x.csv", append=True)], early_stopping=True).fit(x, y)
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 6


def test_lines_for_keras_users(capsys):
    x, y = data()
    lf.GDRegressor(epochs=2, verbose=1, early_stopping=True).fit(x, y)
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "Epoch 1/2" and out[2] == "Epoch 2/2" and len(out) == 4
    assert (
        out[1].startswith("3/3 ━━━━━━━━━━━━━━━━━━━━ 0s ") and "/step - loss: " in out[1] and " - val_loss: " in out[1]
    )
    lf.GDRegressor(epochs=2, verbose=2).fit(x, y)
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2 and out[1].startswith("Epoch 2/2 - 0s ")
    lf.GDRegressor(epochs=2).fit(x, y)
    assert capsys.readouterr().out == ""


def test_a_bar_on_a_terminal():
    pytest.importorskip("rich")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    x, y = data()
    out = Terminal()
    lf.GDRegressor(epochs=2, callbacks=[cb.Progress(file=out)]).fit(x, y)
    text = out.getvalue()
    assert "Epoch 1/2" in text and "4/4" in text and "loss: " in text and "━" in text


def test_pieces_of_a_long_epoch_are_told(monkeypatch):
    from lossfast.linear import _training

    monkeypatch.setattr(_training, "ELEMENTS", 4 * 50)
    seen = []

    class Look(cb.Callback):
        def on_steps_end(self, step, logs=None):
            seen.append(step)

    x, y = data()
    pieces = lf.GDRegressor(epochs=1, batch_size=10, callbacks=[Look()], random_state=0).fit(x, y)
    assert seen == [5]
    monkeypatch.undo()
    assert pieces.coef_.tobytes() == lf.GDRegressor(epochs=1, batch_size=10, random_state=0).fit(x, y).coef_.tobytes()
