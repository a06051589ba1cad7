"""Every bad input to every loss of masks, called in every way: the error names what is wrong, nothing is written."""

import re

import numpy as np
import pytest
from regions import CLASSES, region_operands

import lossfast as lf

SHAPE, LARGE = (2, 5, CLASSES), (2, 700, CLASSES)
METHODS = ("__call__", "grad", "value_and_grad")


def refused(loss, target, pred, error, *words, methods=METHODS, **kwargs):
    """Every method raises `error` with all the words in its message, and leaves its arguments and its results alone."""
    arrays = [x for x in (target, pred, *kwargs.values()) if isinstance(x, np.ndarray)]
    before = [x.tobytes() for x in arrays]
    for method in methods:
        out, grad = {}, None
        if method != "__call__" and isinstance(pred, np.ndarray) and "out" not in kwargs:
            grad = np.full(pred.shape, 7, np.float32)
            out = {"out": grad if method == "grad" else (None, grad)}
        with pytest.raises(error) as caught:
            getattr(loss, method)(target, pred, **kwargs, **out)
        for word in words:
            assert re.search(word, str(caught.value)), f"{word!r} is not in {caught.value!s}"
        assert grad is None or (grad == 7).all(), "something was written"
    assert [x.tobytes() for x in arrays] == before


def with_activation(loss, activation):
    """That of the loss itself where it takes no probabilities."""
    choices = (*loss.declaration.params["activation"].choices, loss.get_params()["activation"])
    return type(loss)(activation=activation) if activation in choices else loss


@pytest.mark.parametrize("activation", [None, "sigmoid", "softmax"])
@pytest.mark.parametrize(
    "t, p",
    [((2, 5, 3), (2, 5, 4)), ((5, 3), (2, 5, 3)), ((2, 1, 3), (2, 5, 3)), ((2, 5, 1, 1), (2, 5, 3)), ((2,), (2, 5, 3)),
     ((), (2, 5, 3)), ((2, 5, 3), (5, 3)), ((1, 5), (2, 5, 3)), ((0, 5), (2, 5, 3)), ((2, 5, 2), (2, 5, 3))],
)  # fmt: skip
def test_shapes_that_do_not_fit(region_plain, activation, t, p):
    loss = with_activation(region_plain, activation)
    words = ("y_true has shape", re.escape(str(t)), re.escape(str(p)), "for class labels", "nothing is broadcast")
    refused(loss, np.zeros(t, np.uint8), np.full(p, 0.5), ValueError, *words)


def test_arrays_without_an_axis_or_a_class(region_plain):
    refused(region_plain, 1, 0.5, ValueError, "y_pred is a number", methods=("__call__", "grad"))
    refused(region_plain, np.zeros((2, 0)), np.zeros((2, 0)), ValueError, r"y_pred has shape \(2, 0\)", "one class")
    for axis in (3, -4, 100):
        refused(
            region_plain, np.zeros(SHAPE), np.zeros(SHAPE), ValueError, f"axis is {axis}", "in \\[-3, 3\\)", axis=axis
        )


def test_a_softmax_of_one_class(class_region):
    loss = with_activation(class_region, "softmax")
    refused(loss, np.zeros((2, 5, 1)), np.zeros((2, 5, 1)), ValueError, "one class", "sigmoid")
    refused(loss, np.zeros((2, 5)), np.zeros((2, 5)), ValueError, "one class", axis=None)


@pytest.mark.parametrize("bad", [-0.001, 1.001, 2, 255, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", [None, "sigmoid", "softmax"])
@pytest.mark.parametrize("axis", [1, 2])
def test_elements_of_masks_that_are_none(region_plain, dtype, bad, activation, axis):
    loss = with_activation(region_plain, activation)
    target, pred = region_operands(loss, LARGE, dtype)
    for at in ((0, 0, 0), (1, 699, 2), (0, 333, 1)):
        masks = target.astype(dtype)
        masks[at] = bad
        later = masks.copy()
        later[1, 699, 2] = bad
        place = (at[0], at[2], at[1]) if axis == 1 else at
        words = (re.escape(f"y_true{list(place)} is {dtype(bad)}"), r"in \[0, 1\]", "swapped")
        for m in (masks, later):
            given = [np.ascontiguousarray(np.moveaxis(x, -1, axis)) for x in (m, pred)]
            refused(loss, *given, ValueError, *words, axis=axis)
            refused(loss, np.moveaxis(m, -1, axis), given[1], ValueError, *words, axis=axis, n_threads=3)


@pytest.mark.parametrize("name", ["uint8", "int8", "int64", "float16"])
def test_masks_of_0_and_255(region_plain, name):
    target, pred = region_operands(region_plain, LARGE, np.float32)
    target = target.astype(name) * np.array(100).astype(name)
    first = tuple(int(x) for x in np.argwhere(target != 0)[0])
    refused(region_plain, target, pred, ValueError, re.escape(f"y_true{list(first)} is 100"), r"in \[0, 1\]")


@pytest.mark.parametrize("bad", [-0.001, 1.001, 7, np.inf, -np.inf])
def test_probabilities_that_are_none(class_region, dtype, bad):
    for kind in ("masks", "labels"):
        target, pred = region_operands(class_region, LARGE, dtype, kind=kind)
        pred[1, 650, 1] = bad
        words = (re.escape(f"y_pred[1, 650, 1] is {dtype(bad)}"), r"probability in \[0, 1\]", "activation='sigmoid'")
        refused(class_region, target, pred, ValueError, *words)
        refused(class_region, target, pred, ValueError, *words, ignore_index=3, empty="skip")


@pytest.mark.parametrize("bad", [-1, CLASSES, 2**31, 2**32 + 1, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("activation", [None, "sigmoid", "softmax"])
def test_labels_that_are_no_class(region_plain, dtype, bad, activation):
    loss = with_activation(region_plain, activation)
    for shape in (SHAPE, LARGE):
        target, pred = region_operands(loss, shape, dtype, kind="labels")
        at = (1, shape[1] - 2)
        target[at] = bad
        words = (re.escape(f"y_true{list(at)} is {bad}"), rf"a class in \[0, {CLASSES}\)")
        for options in ({}, {"ignore_index": 100}, {"check": False}, {"ignore_index": 2**40}, {"empty": "skip"}):
            refused(loss, target, pred, ValueError, *words, **options)
        refused(loss, target[:, None], np.moveaxis(pred, -1, 1), ValueError, re.escape(f"[1, 0, {at[1]}]"), axis=1)


@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf, 1e300, -0.25])
def test_labels_that_are_no_integers(class_region, bad):
    target, pred = region_operands(class_region, LARGE, np.float32, kind="labels")
    for name in ("float64", "float32", "float16"):
        with np.errstate(over="ignore"):
            labels = target.astype(name)
            labels[1, 3] = bad
        refused(class_region, labels, pred, ValueError, r"y_true\[1, 3\] is", "a class in")


def test_a_number_near_the_label_to_ignore(class_region):
    target, pred = region_operands(class_region, SHAPE, np.float32, kind="labels")
    target[1, 2] = 2**40 + 1
    refused(class_region, target, pred, ValueError, r"y_true\[1, 2\] is 1099511627777", ignore_index=2**40)
    target[1, 2] = 2**40
    assert class_region(target, pred, ignore_index=2**40) > 0


PARAMETERS = [
    ({"activation": "relu"}, ValueError, "activation is 'relu', expected 'sigmoid' or 'softmax' or None"),
    ({"activation": "sigmoidd"}, ValueError, "did you mean 'sigmoid'"),
    ({"activation": 1}, ValueError, "activation is 1"),
    ({"reduce_over": "class"}, ValueError, "reduce_over is 'class', expected 'sample' or 'batch' or 'all'"),
    ({"smooth": -1}, ValueError, "smooth is -1, expected a number of at least 0, or two"),
    ({"smooth": (0, -1)}, ValueError, "smooth is"),
    ({"smooth": np.nan}, ValueError, "smooth is nan"),
    ({"smooth": (0, np.inf)}, ValueError, "smooth is"),
    ({"smooth": (0, 1, 2)}, ValueError, "smooth is"),
    ({"smooth": "1"}, TypeError, "smooth is '1'"),
    ({"smooth": True}, TypeError, "smooth is True"),
    ({"smooth": None}, TypeError, "smooth is None"),
    ({"squared": 1}, TypeError, "squared is 1, expected True or False"),
    ({"include_background": 0}, TypeError, "include_background is 0"),
    ({"empty": "nan"}, ValueError, "empty is 'nan', expected 'zero' or 'one' or 'skip'"),
    ({"class_weight": 2.0}, TypeError, "class_weight is 2.0"),
    ({"class_weight": [1.0, 2.0]}, ValueError, r"class_weight has shape \(2,\), expected \(3,\)"),
    ({"class_weight": [1.0, -2.0, 1.0]}, ValueError, r"class_weight\[1\] is -2.0"),
    ({"class_weight": [1.0, np.nan, 1.0]}, ValueError, r"class_weight\[1\] is nan"),
    ({"ignore_index": 1.5}, TypeError, "ignore_index is 1.5"),
    ({"ignore_index": 2**70}, ValueError, "64 bits"),
    ({"axis": 1.0}, TypeError, "axis is 1.0"),
    ({"hess": "boosting"}, TypeError, "unexpected keyword 'hess'"),
    ({"reduction": "median"}, ValueError, "reduction is 'median'"),
    ({"n_threads": 0}, ValueError, "n_threads is 0"),
    ({"delta": 1}, TypeError, "unexpected keyword 'delta'"),
    ({"squard": True}, TypeError, "did you mean 'squared'"),
]


@pytest.mark.parametrize("kwargs, error, words", PARAMETERS, ids=lambda x: str(x)[:40])
def test_parameters(class_region, kwargs, error, words):
    target, pred = region_operands(class_region, SHAPE)
    refused(class_region, target, pred, error, words, **kwargs)
    if set(kwargs) <= set(class_region.get_params()) and "class_weight has" not in words:
        with pytest.raises(error, match=words):
            type(class_region)(**kwargs)


@pytest.mark.parametrize("bad", [-0.1, np.nan, np.inf])
def test_parameters_of_tversky(bad):
    for name in ("alpha", "beta"):
        with pytest.raises(ValueError, match=f"{name} is {bad}"):
            lf.Tversky(**{name: bad})


def test_a_background_that_is_all(class_region):
    target, pred = region_operands(class_region, (2, 5, 1))
    refused(
        class_region,
        target,
        pred,
        ValueError,
        "include_background is False",
        "only one class",
        include_background=False,
    )


@pytest.mark.parametrize("shape", [(3,), (2, 5), (2, 3, 1, 1), (5,), (2, 5, 3), (0,)])
def test_weights_of_a_wrong_shape(class_region, shape):
    target, pred = region_operands(class_region, SHAPE)
    words = ("sample_weight has shape", re.escape(str(shape)), r"\(2, 3\)")
    refused(class_region, target, pred, ValueError, *words, sample_weight=np.ones(shape))


@pytest.mark.parametrize("bad", [-1, np.nan, np.inf])
def test_bad_weights(class_region, bad):
    target, pred = region_operands(class_region, SHAPE)
    for weight, at in ((np.array([1, bad]), "[1]"), (np.array([[1, 1, 1], [1, 1, bad]]), "[1, 2]"), (bad, "")):
        refused(class_region, target, pred, ValueError, re.escape(f"sample_weight{at} is {bad}"), sample_weight=weight)


def test_results_that_cannot_be_written(class_region):
    target, pred = region_operands(class_region, SHAPE, kind="soft")
    frozen = np.zeros(SHAPE)
    frozen.flags.writeable = False
    cases = [
        (np.zeros((2, 5)), ValueError, "shape"),
        (np.zeros(SHAPE, np.int64), TypeError, "dtype int64"),
        (frozen, ValueError, "read-only"),
        (target, ValueError, "overlaps y_true"),
        (pred[::-1], ValueError, "overlaps y_pred"),
        (np.broadcast_to(np.zeros(3), SHAPE), ValueError, "read-only"),
        ([0.0], TypeError, "list"),
    ]
    before = target.tobytes(), pred.tobytes()
    for out, error, words in cases:
        with pytest.raises(error, match=words):
            class_region.grad(target, pred, out=out)
        with pytest.raises(error, match=words):
            class_region.value_and_grad(target, pred, out=(None, out))
    with pytest.raises(ValueError, match="Python float"):
        class_region(target, pred, out=np.zeros(()))
    with pytest.raises(ValueError, match=r"shape \(3,\), expected \(2, 3\)"):
        class_region(target, pred, reduction="none", out=np.zeros(3))
    assert (target.tobytes(), pred.tobytes()) == before


@pytest.mark.parametrize("name", ["O", "U3", "complex128", "M8[s]", "longdouble"])
def test_arrays_that_hold_no_numbers(region_plain, name):
    target, pred = region_operands(region_plain, SHAPE)
    for y, p, argument in ((target.astype(name), pred, "y_true"), (target, pred.astype(name), "y_pred")):
        with pytest.raises(TypeError, match=rf"{argument} has dtype"):
            region_plain(y, p)


def test_what_the_losses_of_several_classes_do_not_take():
    labels, logits = np.array([[0, 1, 2, 1]]), np.zeros((1, 4, 3))
    refused(lf.dice_crossentropy, labels, logits, ValueError, "activation is None", activation=None)
    refused(lf.dice_focal, labels, logits, ValueError, "alpha is 0.25, expected None unless", alpha=0.25)
    refused(lf.dice_focal, labels, logits, ValueError, "gamma is -1", gamma=-1)
    refused(lf.generalized_dice, labels, logits, ValueError, "reduce_over is 'all'", reduce_over="all")
    refused(lf.generalized_dice, labels, logits, ValueError, "weighting is 'cube'", weighting="cube")
    for name in ("dice_weight", "crossentropy_weight"):
        refused(lf.dice_crossentropy, labels, logits, ValueError, f"{name} is -1", **{name: -1})


def test_nothing_at_all(class_region):
    for shape in ((0, 5, 3), (0, 3), (0, 0, 3)):
        value, grad = class_region.value_and_grad(np.zeros(shape), np.zeros(shape))
        assert value == 0.0 and grad.shape == shape
    value, grad = class_region.value_and_grad(np.zeros((2, 0, 3)), np.zeros((2, 0, 3)), empty="one")
    assert value == 1.0 and grad.shape == (2, 0, 3)
    value, grad = class_region.value_and_grad(np.ones(SHAPE), np.ones(SHAPE), sample_weight=0)
    assert value == 0.0 and (grad == 0).all()
