"""Every bad input of a loss of classes: the error names what is wrong, nothing is written."""

import itertools
import math
import re

import numpy as np
import pytest
from operands import dtype_of
from rows import is_of_probabilities, kinds, row_operands
from test_bad_input import NO_NUMBERS, OPTIONS, bad_outputs, bad_parameters, refused, results

from lossfast import _classwise

SHAPE = (6, 4)


def by_logits(plain):
    return type(plain)(**({"from_logits": True} if "from_logits" in plain.get_params() else {}))


def both(plain):
    """A loss with its defaults, and from logits where that is another way to compute it."""
    return [plain, by_logits(plain)] if by_logits(plain) != plain else [plain]


def good(loss, dtype=np.float64, shape=SHAPE, labels=None):
    return row_operands(loss, shape, dtype, labels=labels)


# --- Shapes -------------------------------------------------------------------------------------------------------


def test_shapes_that_differ(row_plain, method):
    shapes = [(5,), (7,), (5, 4), (6, 3), (4, 6), (6, 4, 1), (1, 4), (), (0,), (6, 1, 1), (1,), (24,)]
    for loss, t in itertools.product(both(row_plain), shapes):
        pred = good(loss)[1]
        refused(loss, method, np.zeros(t), pred, ValueError, "y_true", "y_pred", re.escape(str(t)), r"\(6, 4\)")


def test_labels_for_targets_and_targets_for_labels(row_plain, method):
    pred = good(row_plain)[1]
    if kinds(row_plain) == [True]:
        refused(row_plain, method, np.eye(4)[np.zeros(6, int)], pred, ValueError, "class labels", "categorical_cross")
    if kinds(row_plain) == [False]:
        for target in (np.zeros(6, int), np.zeros((6, 1), int)):
            refused(row_plain, method, target, pred, ValueError, r"\(6, 4\)", "sparse_categorical_crossentropy")


def test_predictions_without_classes(row_plain, method):
    for labels in kinds(row_plain):
        target = np.zeros(6, int) if labels else np.zeros((6, 0))
        refused(
            row_plain, method, target, np.zeros((6, 0)), ValueError, r"y_pred has shape \(6, 0\)", "class", out=None
        )
    refused(row_plain, method, 0, 0.5, ValueError, "y_pred", "class axis", out=None)


@pytest.mark.parametrize("axis", [2, -3, 10**9])
def test_axes_that_are_not_there(row_plain, method, axis):
    refused(row_plain, method, *good(row_plain), ValueError, rf"axis is {axis}", r"\[-2, 2\)", axis=axis)


@pytest.mark.parametrize("axis", [1.0, True, "1", None, (0, 1)])
def test_axes_that_are_no_integers(row_plain, method, axis):
    refused(row_plain, method, *good(row_plain), TypeError, "axis is", "integer", axis=axis)


@pytest.mark.parametrize("shape", [(5,), (4,), (6, 4), (6, 2), (1,), (0,), (1, 6)])
def test_weights_of_a_wrong_shape(row_plain, method, shape):
    words = ("sample_weight", re.escape(str(shape)))
    refused(row_plain, method, *good(row_plain), ValueError, *words, sample_weight=np.ones(shape))


# --- Labels, targets and probabilities ----------------------------------------------------------------------------

LABELS = [4, -1, -4, 2**8, 2**8 + 1, 2**31, 2**32, 2**32 + 1, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1]
LABELS += [1.5, 0.1, -0.5, 3.9999, 1e300, -1e300, math.inf, -math.inf, math.nan, 5e-324]


@pytest.mark.parametrize("label", LABELS)
def test_labels_that_are_no_class(row_plain, method, label):
    names = ["float64"] if isinstance(label, float) else ["int8", "uint8", "int16", "int64", "uint64"]
    for loss, name in itertools.product(both(row_plain) if True in kinds(row_plain) else [], names):
        if name != "float64" and not np.iinfo(name).min <= label <= np.iinfo(name).max:
            continue
        for dtype, n in ((np.float32, 6), (np.float64, 2000)):
            pred = good(loss, dtype, (n, 4), labels=True)[1]
            target = np.zeros(n, name)
            target[n - 2] = label
            shown = re.escape(str(target[n - 2]))
            expected = r"a class in \[0, 4\) or ignore_index"
            refused(loss, method, target, pred, ValueError, rf"y_true\[{n - 2}\] is {shown}", expected)
            refused(loss, method, target, pred, ValueError, rf"y_true\[{n - 2}\]", check=False)
            refused(loss, method, target, pred, ValueError, rf"y_true\[{n - 2}\]", ignore_index=-5)


def test_the_first_of_many_bad_labels_is_named_in_the_callers_order(row_plain):
    if True not in kinds(row_plain):
        return
    pred = np.full((3, 4, 5), 0.25)
    target = np.zeros((3, 5), int)
    target[1, 3] = target[2, 0] = 4
    for n_threads in (1, 3):
        with pytest.raises(ValueError, match=r"y_true\[1, 3\] is 4, expected a class in \[0, 4\)"):
            row_plain(target, pred, axis=1, n_threads=n_threads)
    if kinds(row_plain) == [True]:
        with pytest.raises(ValueError, match=r"y_true\[1, 0, 3\] is 4"):
            row_plain(target[:, None], pred, axis=1)


@pytest.mark.parametrize("value", [-1.0, -5e-324, math.nan, math.inf, -math.inf])
def test_bad_targets(row_plain, method, value):
    for loss in both(row_plain) if False in kinds(row_plain) else []:
        for shape, at in (((6, 4), (5, 1)), ((500, 7), (499, 6))):
            target, pred = good(loss, np.float64, shape, labels=False)
            target[at] = value
            where = re.escape(str(list(at)))
            refused(loss, method, target, pred, ValueError, rf"y_true{where} is {value}", "at least 0")
            refused(loss, method, target, pred, ValueError, rf"y_true{where} is {value}", reduction="sum")
        moved = np.moveaxis(target.reshape(20, 25, 7), -1, 0)
        refused(
            loss, method, moved, np.moveaxis(pred.reshape(20, 25, 7), -1, 0), ValueError, r"y_true\[6, 19, 24\]", axis=0
        )


def test_predictions_that_are_no_probabilities(row_loss, method, monkeypatch):
    values = [-1e-300, 1 + 2**-20, 7.0, -math.inf, math.inf] if is_of_probabilities(row_loss) else []
    for value, labels, chunk in itertools.product(values, kinds(row_loss), (_classwise.CHUNK, 64)):
        monkeypatch.setattr(_classwise, "CHUNK", chunk)
        target, pred = good(row_loss, np.float64, (100, 4), labels=labels)
        pred[98, 2] = value
        words = (rf"y_pred\[98, 2\] is {re.escape(str(value))}", "from_logits=True", "swapped")
        refused(row_loss, method, target, pred, ValueError, *words)
        if labels:
            ignored = np.where(np.arange(100) % 3 == 0, -1, target)
            refused(row_loss, method, ignored, pred, ValueError, words[0], ignore_index=-1)
            ignored[98] = -1
            getattr(row_loss, method)(ignored, pred, ignore_index=-1)
        moved = np.moveaxis(pred.reshape(10, 10, 4), -1, 1)
        target = target.reshape(10, 10) if labels else np.moveaxis(target.reshape(10, 10, 4), -1, 1)
        refused(row_loss, method, target, moved, ValueError, r"y_pred\[9, 2, 8\]", axis=1)


@pytest.mark.parametrize("value", [-1.0, -5e-324, math.nan, math.inf, -math.inf])
def test_bad_weights(row_plain, method, value):
    for loss in both(row_plain):
        target, pred = good(loss, np.float64, (5, 3, 4))
        for shape, at in (((5,), (4,)), ((5, 3), (4, 1)), ((), ())):
            weight = np.ones(shape)
            weight[at] = value
            where = re.escape(str(list(at))) if at else ""
            refused(loss, method, target, pred, ValueError, rf"sample_weight{where} is {value}", sample_weight=weight)
            refused(loss, method, target, pred, ValueError, "sample_weight", sample_weight=weight, check=False)


# --- Parameters ---------------------------------------------------------------------------------------------------


def test_bad_parameters(row_plain, method):
    loss = by_logits(row_plain)
    for name, param in loss.declaration.params.items():
        values = bad_parameters(param) if param.kind is not int else [1.5, True, "1", [1], 2**63, -(2**63) - 1]
        values = [v for v in values if not (param.per_class and isinstance(v, np.ndarray | list))]
        if param.per_class:
            values += [
                [[1.0, 2.0]],
                [1.0, -1.0, 1.0, 1.0],
                [1.0, math.nan, 1.0, 1.0],
                [1.0, math.inf, 1.0, 1.0],
                "four",
            ]
            values += [{0: 1.0}, [1.0, None, 1.0, 1.0]]
        for value in values:
            refused(loss, method, *good(loss), (ValueError, TypeError), name, **{name: value})
            with pytest.raises((ValueError, TypeError), match=name):
                type(loss)(**{name: value})


def test_class_weights_of_a_wrong_length(row_plain, method):
    for name in {"class_weight", "alpha"} & set(row_plain.get_params()):
        for loss, n in itertools.product(both(row_plain), (0, 1, 3, 5)):
            refused(loss, method, *good(loss), ValueError, name, rf"\({n},\)", r"\(4,\)", **{name: np.ones(n)})
        words = (rf"{name}\[2\] is -1.0", "for each class")
        refused(row_plain, method, *good(row_plain), ValueError, *words, **{name: [1, 1, -1, 1]})


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_bad_temperatures(row_plain, method, value):
    if "temperature" not in row_plain.get_params():
        return
    loss = by_logits(row_plain)
    target, pred = good(loss, np.float64, (5, 3, 4))
    for shape, at in (((5,), (4,)), ((5, 3), (4, 1))):
        tau = np.ones(shape)
        tau[at] = value
        where = re.escape(str(list(at)))
        refused(loss, method, target, pred, ValueError, rf"temperature{where} is {value}", temperature=tau)
    for shape in ((3,), (5, 3, 4), (5, 4)):
        refused(loss, method, target, pred, ValueError, "temperature has shape", temperature=np.ones(shape))


def test_options_that_make_no_sense_in_a_call(row_plain, method):
    params, operands = row_plain.get_params(), good(row_plain)
    for name, values in (("temperature", (2.0, np.ones(6))), ("z_loss", (0.1,))):
        for value in values if name in params else ():
            refused(row_plain, method, *operands, ValueError, name, "from_logits=True", **{name: value})
    if "log_input" in params:
        refused(row_plain, method, *operands, ValueError, "log_input", "from_logits", from_logits=True, log_input=True)
        refused(row_plain, method, *operands, ValueError, "temperature", log_input=True, temperature=2.0)
    if len(kinds(row_plain)) == 2:
        refused(
            row_plain, method, *good(row_plain, labels=False), ValueError, "ignore_index", "labels", ignore_index=-1
        )
    if "ignore_index" in params:
        refused(row_plain, method, *operands, TypeError, "ignore_index twice", ignore_index=1, ignore_class=1)


def test_unknown_keywords(row_plain, method):
    names = ["sample_weigth", "reducton", "axes", *(k + "x" for k in row_plain.get_params())]
    for wrong in names:
        refused(row_plain, method, *good(row_plain), TypeError, wrong, "did you mean", **{wrong: 1})


@pytest.mark.parametrize("option", OPTIONS)
def test_bad_options(row_plain, method, option):
    for value, error, words in OPTIONS[option]:
        refused(row_plain, method, *good(row_plain), error, option, words, **{option: value})


# --- Arrays -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("argument", ["y_true", "y_pred", "sample_weight"])
def test_arrays_that_hold_no_numbers(row_plain, method, argument):
    target, pred = good(row_plain)
    out, _ = results(method, pred)
    for name, wrong in NO_NUMBERS.items():
        given = {"y_true": target.astype(float), "y_pred": pred, "sample_weight": np.ones(6)}
        x = given[argument]
        given[argument] = x.astype(object) if name == "object" and x.ndim > 1 else wrong(x)
        weight = {"sample_weight": given["sample_weight"]} if argument == "sample_weight" else {}
        refused(row_plain, method, given["y_true"], given["y_pred"], TypeError, argument, "dtype", out=out, **weight)


def test_results_that_cannot_be_written(row_plain, dtype, method):
    if method == "__call__":
        return
    target, pred = good(row_plain, dtype, (4,))
    for out, error, words in itertools.islice(bad_outputs(dtype, 4, pred, pred), 12):
        given = (None, out) if method == "value_and_grad" else out
        with pytest.raises(error, match="out|" + words):
            getattr(row_plain, method)(target, pred, out=given)


def test_results_that_overlap(row_plain):
    for labels in kinds(row_plain):
        target, pred = good(row_plain, labels=labels)
        room = np.concatenate([pred, pred[:1]])
        with pytest.raises(ValueError, match="overlaps y_pred"):
            row_plain.grad(target, room[:-1], out=room[1:])
        with pytest.raises(ValueError, match=r"out.*overlaps"):
            row_plain.value_grad_hess(target, pred, out=(None, room[:-1], room[1:]))
        if not labels:
            before = target.copy()
            with pytest.raises(ValueError, match="overlaps y_true"):
                row_plain.grad(target, pred, out=target)
            assert (target == before).all()
        weight = np.ones(6)
        with pytest.raises(ValueError, match="overlaps sample_weight"):
            row_plain(target, pred, sample_weight=weight, reduction="none", out=weight)
        assert (weight == 1).all()


def test_a_value_is_refused_before_the_gradient_is_written(row_plain):
    target, pred = good(row_plain)
    grad = np.full_like(pred, 7)
    for out, reduction in ((np.zeros(5), "none"), (np.zeros(5), "sample"), (np.zeros(()), "mean")):
        with pytest.raises(ValueError, match="out"):
            row_plain.value_and_grad(target, pred, reduction=reduction, out=(out, grad))
        assert (grad == 7).all()


def test_an_error_leaves_an_accumulator_as_it_was(row_plain):
    target, pred = good(row_plain, labels=kinds(row_plain)[0])
    accumulator = row_plain.accumulator()
    accumulator.update(target, pred)
    before = accumulator.state()
    bad = target.copy()
    bad[-1] = -1
    for args, kwargs in (((bad, pred), {}), ((target, pred[:-1]), {}), ((target, pred), {"sample_weight": -1.0})):
        with pytest.raises(ValueError, match=r"y_true|sample_weight"):
            accumulator.update(*args, **kwargs)
    assert accumulator.state() == before


def test_unchecked_calls_take_what_they_get(row_plain):
    if False in kinds(row_plain):
        target, pred = good(row_plain, labels=False)
        target[1] = -1
        row_plain.value_grad_hess(target, pred, check=False)
        with pytest.raises(ValueError, match="sample_weight"):
            row_plain(target, pred, sample_weight=-1.0, check=False)


def test_labels_of_every_dtype_are_checked(row_plain):
    for name in ("bool", "uint8", "float16", "bfloat16", "float32") if True in kinds(row_plain) else ():
        target = np.array([1, 0, 1]).astype(dtype_of(name))
        pred = np.full((3, 1), 1.0)
        with pytest.raises(ValueError, match=r"y_true\[0\] is (1|True|1.0), expected a class in \[0, 1\)"):
            row_plain(target, pred)
