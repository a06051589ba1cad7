"""Pictures show what the losses are, leave matplotlib as it was, and say what they cannot draw."""

import builtins
import math
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import lossfast as lf

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def _as_it_was():
    """No figure stays open that a test does not close, no setting changes, and everything can be drawn."""
    plt.close("all")  # what tests of other files left
    before = dict(matplotlib.rcParams)
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")
    assert dict(matplotlib.rcParams) == before


@pytest.fixture
def ax():
    """Axes of a figure that pyplot does not know."""
    from matplotlib.figure import Figure

    one = Figure().add_subplot()
    yield one
    one.figure.canvas.draw()
    assert not plt.get_fignums()


def curves(axes):
    """The labelled lines."""
    return {line.get_label(): line for line in axes.get_lines() if not line.get_label().startswith("_")}


def texts(axes):
    """What the legend says."""
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_the_lines_are_the_loss(loss, ax):
    wrt = loss.get_params().get("wrt")
    if wrt not in (None, "y_pred"):
        with pytest.raises(ValueError, match=f"wrt is '{wrt}'"):
            lf.plot.loss(loss, ax)
        return
    assert lf.plot.loss(loss, ax) is ax
    lines = curves(ax)
    targets = {label.partition(", y_true = ")[2] for label in lines} - {""} or {
        ax.get_xlabel().partition("y_true = ")[2].rstrip(")")
    }
    assert len(lines) == 3 * len(targets)
    for label, line in lines.items():
        kind, _, target = label.partition(", y_true = ")
        x, y = line.get_data()
        method = {"value": loss, "gradient": loss.grad, "Hessian": loss.hess}[kind]
        expected = method(np.full_like(x, float(target or next(iter(targets)))), x, reduction="none")
        jumps = np.isnan(y)
        assert jumps.sum() <= (0 if kind == "value" else len(loss.declaration.kinks(**loss.get_params())))
        np.testing.assert_array_equal(y[~jumps], np.asarray(expected)[~jumps])
    assert ax.get_title().splitlines()[0].startswith(loss.name)
    title = " ".join(ax.get_title().replace(",  ", " ").split())
    assert " ".join(loss.declaration.formula.replace(",  ", " ").split()) in title
    assert "y_pred" in ax.get_xlabel()
    low, high = ax.get_ylim()
    assert np.isfinite([low, high]).all() and low < high


def test_labels_of_two_classes(ax):
    lf.plot.loss("hinge", ax)
    assert texts(ax) == ["value", "gradient", "Hessian", "y_true = 1", "y_true = -1"]


def test_what_is_asked_for(ax):
    x = np.linspace(0.5, 4, 7)
    lf.plot.loss("poisson", ax, y_true=[1, 3], y_pred=x, show=("grad", "value"))
    lines = curves(ax)
    assert list(lines) == [f"{what}, y_true = {t}" for what in ("value", "gradient") for t in (1, 3)]
    np.testing.assert_array_equal(lines["value, y_true = 3"].get_xdata(), x)
    assert len({(line.get_color(), line.get_linestyle()) for line in lines.values()}) == 4


def test_a_derivative_has_a_gap_where_it_jumps(ax):
    lf.plot.loss("mae", ax)
    x, y = curves(ax)["gradient"].get_data()
    gap = int(np.flatnonzero(np.isnan(y))[0])
    assert x[gap] == 0 and y[gap - 1] == -1 and y[gap + 1] == 1 and x[gap + 1] - x[gap - 1] < 1e-8


def test_parameters_make_the_title(ax):
    lf.plot.loss(lf.Huber(delta=2.5), ax)
    assert ax.get_title().startswith("huber(delta=2.5)\n")


def test_singularities_do_not_set_the_scale(ax):
    lf.plot.loss("bce", ax)
    assert ax.get_ylim()[1] < 20 < np.nanmax(curves(ax)["Hessian, y_true = 1"].get_ydata())


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        (("huberr",), {}, ValueError, "huber"),
        (("dice",), {}, ValueError, "'dice', of the family region"),
        (("huber",), {"delta": -1.0}, ValueError, "delta is -1"),
        (("huber",), {"show": "gradient"}, ValueError, "show has 'gradient'"),
        (("huber",), {"show": ()}, ValueError, "show is empty"),
        (("huber",), {"y_true": np.inf}, ValueError, "y_true is inf"),
        (("huber",), {"y_true": [[1.0]]}, ValueError, "y_true is"),
        (("huber",), {"y_pred": [0.0, 0.0]}, ValueError, "increasing order"),
        (("hinge",), {"y_true": 3}, ValueError, r"y_true\[0\] is 3.0"),
        (("bce",), {"y_pred": [0.5, 2.0]}, ValueError, r"y_pred\[1\] is 2.0"),
        (("bce",), {"pos_weight": [1.0, 2.0]}, ValueError, "pos_weight is an array"),
        (("huber", "axes"), {}, TypeError, "ax is str"),
    ],
)
def test_what_is_no_loss_to_draw(arguments, options, error, words):
    with pytest.raises(error, match=words):
        lf.plot.loss(*arguments, **options)
    assert not plt.get_fignums()


def test_gallery_has_every_pointwise_loss(tmp_path):
    from lossfast._loss import REGISTRY

    names = [name for name in lf.names() if REGISTRY[name].declaration.family == "pointwise"]
    axes = lf.plot.gallery(tmp_path / "all.png")
    assert [a.get_title().partition("\n")[0].partition("(")[0] for a in axes] == names
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")
    assert not plt.get_fignums()
    boxes = [a.get_tightbbox() for a in axes]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_gallery_of_some():
    axes = lf.plot.gallery(losses=["mse", lf.Huber(delta=2.0)])
    assert [a.get_title().partition("\n")[0] for a in axes] == ["mse", "huber(delta=2)"]
    _, given = plt.subplots(1, 3)
    drawn = lf.plot.gallery(losses=["mse", "mae"], ax=given)
    assert list(drawn) == list(given[:2]) and not given[2].axison
    with pytest.raises(ValueError, match="ax has 3 axes, expected 4"):
        lf.plot.gallery(losses=["mse"] * 4, ax=given)
    with pytest.raises(ValueError, match="losses is empty"):
        lf.plot.gallery(losses=[])
    with pytest.raises(ValueError, match="'ctc', of the family sequence"):
        lf.plot.gallery(losses=["ctc"])


HISTORY = {
    "lr": [0.1, 0.05, 0.02],
    "accuracy": [0.5, 0.7, 0.8],
    "loss": [1.0, 0.5, 0.3],
    "val_loss": [1.1, 0.6, 0.7],
    "val_accuracy": [0.4, 0.6, None],
}


@pytest.mark.parametrize("wrap", [dict, lambda h: SimpleNamespace(history=h),
                                  lambda h: SimpleNamespace(history=SimpleNamespace(history=h))])  # fmt: skip
def test_history(wrap):
    axes = lf.plot.history(wrap(HISTORY))
    assert [a.get_ylabel() for a in axes] == ["loss", "accuracy", "learning rate"]
    assert [a.get_xlabel() for a in axes] == ["", "", "epoch"]
    drawn = [curves(a) for a in axes]
    assert [list(lines) for lines in drawn] == [
        ["loss", "val_loss", "best: 0.6 in epoch 2"], ["accuracy", "val_accuracy"], ["lr"],
    ]  # fmt: skip
    for lines in drawn:
        for key in HISTORY.keys() & lines.keys():
            x, y = lines[key].get_data()
            np.testing.assert_array_equal(x, [1, 2, 3])
            np.testing.assert_array_equal(y, np.array(HISTORY[key], dtype=float))
    assert drawn[0]["best: 0.6 in epoch 2"].get_xydata().tolist() == [[2.0, 0.6]]


def test_the_objective_is_with_the_loss():
    axes = lf.plot.history({"loss": [3.0, 2.0], "objective": [3.5, 2.5], "lr": [0.1, 0.1]})
    assert [list(curves(a)) for a in axes] == [["loss", "objective"], ["lr"]]
    assert len({line.get_linestyle() for line in curves(axes[0]).values()}) == 2


def test_history_in_axes(ax):
    assert lf.plot.history(HISTORY, ax) is ax
    assert list(curves(ax))[:2] == ["loss", "val_loss"] and ax.get_xlabel() == "epoch"
    ax.clear()
    lf.plot.history(HISTORY, ax, keys="accuracy")
    assert list(curves(ax)) == ["accuracy"]
    ax.clear()
    lf.plot.history({"loss": [1.0]}, ax)
    assert curves(ax)["loss"].get_marker() == "o"
    ax.clear()
    lf.plot.history({"loss": [1000.0, 100.0, 10.0, 1.0, 0.1]}, ax)
    assert ax.get_yscale() == "log"


@pytest.mark.parametrize(
    ("history", "options", "error", "words"),
    [
        ([1.0], {}, TypeError, "history is list"),
        ({}, {}, ValueError, "history is empty"),
        ({"loss": []}, {}, ValueError, "history is empty"),
        ({"loss": ["a"]}, {}, ValueError, r"history\['loss'\]"),
        ({"loss": [[1.0], [2.0]]}, {}, ValueError, r"history\['loss'\]"),
        ({"loss": 3.0}, {}, ValueError, r"history\['loss'\]"),
        ({"loss": [1.0]}, {"keys": ["los"]}, ValueError, "keys has 'los', expected some of 'loss'"),
    ],
)
def test_what_is_no_history(history, options, error, words):
    with pytest.raises(error, match=words):
        lf.plot.history(history, **options)
    assert not plt.get_fignums()


def bowl(x):
    """With its gradient."""
    return float(x @ x), 2 * x


@pytest.mark.parametrize("fun", [bowl, lambda x: bowl(x)[0], None])
def test_path_in_a_plane(ax, fun):
    steps = np.array([[2.0, 1.0], [1.0, 0.8], [0.25, 0.1]])
    assert lf.plot.path(SimpleNamespace(path=steps, losses=[5, 1.64, 0.0725]), fun, ax, points=15) is ax
    lines = curves(ax)
    np.testing.assert_array_equal(lines["path"].get_xydata(), steps)
    np.testing.assert_array_equal(lines["start"].get_xydata(), steps[:1])
    np.testing.assert_array_equal(lines["after 2 steps"].get_xydata(), steps[-1:])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x[0]", "x[1]")
    assert bool(ax.collections) == (fun is not None)


def test_path_on_a_line(ax):
    steps, losses = np.array([[2.0], [1.0], [0.5]]), [4.0, 1.0, 0.25]
    lf.plot.path(SimpleNamespace(path=steps, losses=losses), None, ax)
    np.testing.assert_array_equal(curves(ax)["path"].get_xydata(), np.c_[steps, losses])
    ax.clear()
    lf.plot.path(SimpleNamespace(path=steps), bowl, ax)
    lines = curves(ax)
    np.testing.assert_array_equal(lines["path"].get_ydata(), losses)
    x, y = lines["function"].get_data()
    np.testing.assert_array_equal(y, x**2)
    assert x[0] < 0.5 and x[-1] > 2


def test_a_path_of_numbers(ax):
    steps = np.array([2.0, 1.0, 0.5])
    lf.plot.path(SimpleNamespace(path=steps), math.cos, ax)
    np.testing.assert_array_equal(curves(ax)["path"].get_xydata(), np.c_[steps, [math.cos(x) for x in steps]])
    x, y = curves(ax)["function"].get_data()
    np.testing.assert_array_equal(y, [math.cos(at) for at in x])


def test_a_path_of_points_of_another_shape(ax):
    steps = np.array([[[2.0], [1.0]], [[1.0], [0.5]]])
    shapes = set()
    lf.plot.path(SimpleNamespace(path=steps), lambda x: shapes.add(x.shape) or float((x**2).sum()), ax, points=5)
    np.testing.assert_array_equal(curves(ax)["path"].get_xydata(), steps[..., 0])
    assert shapes == {(2, 1)}


def test_a_path_that_stays_where_it_is(ax):
    lf.plot.path(SimpleNamespace(path=np.zeros((1, 2))), lambda x: 1.0, ax)
    assert list(curves(ax)) == ["path", "start", "after 0 steps"]


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (SimpleNamespace(path=None), "record_path=True"),
        (SimpleNamespace(), "record_path=True"),
        (SimpleNamespace(path=np.zeros((3, 5))), r"shape \(3, 5\)"),
        (SimpleNamespace(path=np.zeros((0, 2))), r"shape \(0, 2\)"),
        (SimpleNamespace(path=np.array([[0.0], [np.nan]])), r"path\[1, 0\] is nan"),
        (SimpleNamespace(path=np.zeros((3, 1)), losses=[1.0]), "result.losses has shape"),
    ],
)
def test_what_is_no_path(result, words):
    with pytest.raises(ValueError, match=words):
        lf.plot.path(result)


ROWS, COLUMNS = np.mgrid[:9, :12]
MASK = (ROWS - 4) ** 2 + (COLUMNS - 5) ** 2 < 10
LOGITS = np.random.default_rng(0).normal(size=MASK.shape)


def test_segmentation():
    mask, prediction, gradient = axes = lf.plot.segmentation(MASK, LOGITS, activation="sigmoid")
    value, grad = lf.dice.value_and_grad(MASK[None], LOGITS[None], activation="sigmoid", axis=None)
    assert [a.get_title() for a in axes] == ["mask", f"prediction, dice = {value:.4g}", "gradient of dice"]
    np.testing.assert_array_equal(mask.get_images()[0].get_array(), MASK)
    np.testing.assert_allclose(prediction.get_images()[0].get_array(), 1 / (1 + np.exp(-LOGITS)), rtol=1e-14)
    shown = gradient.get_images()[0]
    np.testing.assert_array_equal(shown.get_array(), grad[0])
    assert shown.get_clim() == (-np.abs(grad).max(), np.abs(grad).max())


def test_segmentation_of_classes_over_an_image():
    labels = MASK + (COLUMNS > 9).astype(int) * 2
    logits = np.random.default_rng(1).normal(size=(*MASK.shape, 4))
    _, given = plt.subplots(1, 3)
    image = np.zeros((*MASK.shape, 3))
    drawn = lf.plot.segmentation(labels, logits, given, loss="tversky", image=image, index=2, activation="softmax")
    assert list(drawn) == list(given)
    grad = lf.tversky.grad(labels[None], logits[None], activation="softmax")[0]
    _, shown = drawn[2].get_images()
    np.testing.assert_array_equal(shown.get_array(), grad[..., 2])
    p = np.exp(logits)
    np.testing.assert_allclose(drawn[1].get_images()[1].get_array(), (p / p.sum(-1, keepdims=True))[..., 2], rtol=1e-12)


def test_a_mask_without_anything():
    axes = lf.plot.segmentation(np.zeros((4, 5)), np.zeros((4, 5)))
    assert not axes[2].get_images()[0].get_array().any()


@pytest.mark.parametrize(
    ("operands", "options", "words"),
    [
        ((MASK, LOGITS[:-1]), {}, "y_true has shape"),
        ((MASK[0], LOGITS[0]), {}, "y_true has shape"),
        ((MASK, LOGITS), {"loss": "mse"}, "of the family pointwise"),
        ((MASK, LOGITS), {}, "probabilit"),
        ((MASK, np.zeros((9, 12, 2))), {}, "index is None"),
        ((MASK, np.zeros((9, 12, 2))), {"index": 2}, "index is 2"),
        ((MASK, 0.5 * MASK), {"image": np.zeros((9, 11))}, r"image has shape \(9, 11\)"),
    ],
)
def test_what_is_no_segmentation(operands, options, words):
    with pytest.raises(ValueError, match=words):
        lf.plot.segmentation(*operands, **options)
    assert not plt.get_fignums()


def test_without_matplotlib(monkeypatch):
    real = builtins.__import__

    def refusing(name, *more):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", refusing)
    with pytest.raises(ImportError, match=r'pip install "lossfast\[plot\]"'):
        lf.plot.loss("mse")


def test_matplotlib_is_imported_when_something_is_drawn():
    code = "import sys, lossfast as lf; lf.plot.loss; assert not any(x.startswith('matplotlib') for x in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_page_of_plots():
    page = (Path(__file__).resolve().parent.parent / "docs/plots.md").read_text()
    code = "".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)).replace("plt.show()", "")
    exec(compile(code, "plots.md", "exec"), {})
    assert len(plt.get_fignums()) == 3
    for image in re.findall(r"\]\((images/.*?)\)", page):
        assert (Path(__file__).resolve().parent.parent / "docs" / image).is_file(), image
