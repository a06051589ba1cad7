"""Every bad input to every loss of boxes, called in every way: the error names what is wrong, nothing is written."""

import re

import numpy as np
import pytest
from boxes import FORMATS, box_operands, in_format

METHODS = ("__call__", "grad", "value_and_grad")


def refused(loss, true, pred, error, *words, **kwargs):
    """Every method raises `error` with all the words in its message, and leaves its arguments and its results alone."""
    arrays = [x for x in (true, pred, *kwargs.values()) if isinstance(x, np.ndarray)]
    before = [x.tobytes() for x in arrays]
    for method in METHODS:
        out, grad = {}, None
        if method != "__call__" and isinstance(pred, np.ndarray):
            grad = np.full(pred.shape, 7, np.float32)
            out = {"out": grad if method == "grad" else (None, grad)}
        with pytest.raises(error) as caught:
            getattr(loss, method)(true, pred, **kwargs, **out)
        for word in words:
            assert re.search(word, str(caught.value)), f"{word!r} is not in {caught.value!s}"
        assert grad is None or (grad == 7).all(), "something was written"
    assert [x.tobytes() for x in arrays] == before


@pytest.mark.parametrize(
    "t, p", [((5, 4), (4, 4)), ((4,), (1, 4)), ((1, 4), (5, 4)), ((2, 5, 4), (5, 4)), ((0, 4), (1, 4))]
)
def test_shapes_that_differ(box_plain, t, p):
    words = ("boxes_true has shape", re.escape(str(t)), re.escape(str(p)), "nothing is broadcast")
    refused(box_plain, np.ones(t), np.ones(p), ValueError, *words)


@pytest.mark.parametrize("shape", [(), (3,), (4, 3), (5, 5), (4, 1), (0,), (4, 0)])
def test_arrays_that_are_no_boxes(box_plain, shape):
    words = (re.escape(f"has shape {shape}"), "last axis of length 4")
    refused(box_plain, np.ones(shape), np.ones((5, 4)), ValueError, "boxes_true", *words)
    refused(box_plain, np.ones((5, 4)), np.ones(shape), ValueError, "boxes_pred", *words)


def test_columns_that_differ(box_plain):
    ones = np.ones(5)
    refused(box_plain, (ones, ones, ones, ones[:4]), np.ones((5, 4)), ValueError, "boxes_true has columns of shapes")
    refused(box_plain, np.ones((5, 4)), (ones, ones[:, None], ones, ones), ValueError, "boxes_pred has columns")
    refused(box_plain, np.ones((5, 4)), (ones, ones, ones.astype("U3"), ones), TypeError, r"boxes_pred\[2\] has dtype")
    refused(box_plain, np.ones((5, 4)), (ones[:4],) * 4, ValueError, "boxes_true has shape")


@pytest.mark.parametrize("name", ["O", "U3", "complex128", "M8[s]", "longdouble"])
def test_arrays_that_hold_no_numbers(box_plain, name):
    true, pred = box_operands(box_plain, 5)
    for t, p, argument in ((true.astype(name), pred, "boxes_true"), (true, pred.astype(name), "boxes_pred")):
        with pytest.raises(TypeError, match=rf"{argument} has dtype"):
            box_plain(t, p)


BAD_BOXES = [(1, 1, 1, 2), (1, 1, 2, 1), (2, 1, 1, 2), (1, 2, 2, 1), (np.nan, 1, 2, 2), (0, 0, np.inf, 1), (1, 1, 1, 1)]


@pytest.mark.parametrize("bad", BAD_BOXES, ids=str)
@pytest.mark.parametrize("name", FORMATS)
def test_boxes_that_are_none_are_named(box_plain, dtype, bad, name):
    loss = type(box_plain)(format=name)
    for n, at in ((5, 3), (3000, 2900)):
        for which, argument in ((0, "boxes_true"), (1, "boxes_pred")):
            given = list(box_operands(loss, n, dtype))
            with np.errstate(invalid="ignore"):
                given[which][at] = in_format(np.array([bad], dtype), name)[0]
            given[which][n - 1] = given[which][at]
            numbers = ", ".join(str(float(x)) for x in given[which][at])
            words = (re.escape(f"{argument}[{at}] is [{numbers}]"), rf"positive, finite width and height \({name}\)")
            refused(loss, *given, ValueError, *words, check="raise")
            refused(loss, *given, ValueError, *words, check="raise", n_threads=3)
            loss(*given)
            loss(*given, check=False)


def test_of_two_bad_boxes_the_first_is_named(box_plain):
    true, pred = box_operands(box_plain, 900)
    true[700], pred[600] = 0, 0
    refused(box_plain, true, pred, ValueError, r"boxes_pred\[600\]", check="raise")
    true[600] = 0
    refused(box_plain, true, pred, ValueError, r"boxes_true\[600\]", check="raise")
    grid = [x.reshape(30, 30, 4) for x in (true, pred)]
    refused(box_plain, *grid, ValueError, r"boxes_true\[20, 0\]", check="raise")


PARAMETERS = [
    ({"format": "yxyx"}, ValueError, "format is 'yxyx', expected 'xyxy' or 'xywh' or 'cxcywh'"),
    ({"format": "xywhh"}, ValueError, "did you mean 'xywh'"),
    ({"eps": -1e-7}, ValueError, "eps is -1e-07"),
    ({"eps": np.nan}, ValueError, "eps is nan"),
    ({"eps": "small"}, TypeError, "eps is 'small'"),
    ({"check": "warn"}, ValueError, "check is 'warn', expected True, False or 'raise'"),
    ({"check": 3}, ValueError, "check is 3"),
    ({"reduction": "median"}, ValueError, "reduction is 'median'"),
    ({"n_threads": -1}, ValueError, "n_threads is -1"),
    ({"empty": "skip"}, ValueError, "empty is 'skip'"),
    ({"fmt": "xyxy"}, TypeError, "unexpected keyword 'fmt'"),
]


@pytest.mark.parametrize("kwargs, error, words", PARAMETERS, ids=lambda x: str(x)[:40])
def test_parameters(box_plain, kwargs, error, words):
    refused(box_plain, *box_operands(box_plain, 5), error, words, **kwargs)


def test_arguments_that_are_missing_or_twice(box_plain):
    true, pred = box_operands(box_plain, 5)
    for args, kwargs, words in (
        ((), {}, "misses boxes_true"),
        ((true,), {}, "misses boxes_pred"),
        ((true, pred, 3), {}, "got 3 arguments"),
        ((true, pred), {"boxes_pred": pred}, "got boxes_pred twice"),
        ((true, pred), {"y_pred": pred}, "unexpected keyword 'y_pred'"),
    ):
        with pytest.raises(TypeError, match=words):
            box_plain(*args, **kwargs)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_bad_weights(box_plain, bad):
    true, pred = box_operands(box_plain, (5, 2))
    refused(box_plain, true, pred, ValueError, re.escape(f"sample_weight[3] is {bad}"), sample_weight=[1, 1, 1, bad, 1])
    with pytest.raises(ValueError, match=r"sample_weight has shape \(4,\)"):
        box_plain(true, pred, sample_weight=np.ones(4))


def test_results_that_cannot_be_written(box_plain):
    true, pred = box_operands(box_plain, 6)
    frozen = np.zeros((6, 4))
    frozen.flags.writeable = False
    columns = tuple(pred[:, k].copy() for k in range(4))
    fresh = [np.zeros(6) for _ in range(4)]
    before = true.tobytes(), pred.tobytes()
    for boxes, out, error, words in (
        (pred, np.zeros((6, 3)), ValueError, "shape"),
        (pred, np.zeros((6, 4), int), TypeError, "dtype int64"),
        (pred, frozen, ValueError, "read-only"),
        (pred, true, ValueError, "overlaps boxes_true"),
        (pred, pred[::-1], ValueError, "overlaps boxes_pred"),
        (pred, tuple(fresh), TypeError, "tuple"),
        (columns, np.zeros((6, 4)), ValueError, "expected a tuple of four arrays"),
        (columns, tuple(fresh[:3]), ValueError, "expected a tuple of four arrays"),
        (columns, (*fresh[:3], fresh[0]), ValueError, "overlaps"),
        (columns, (*fresh[:3], columns[0]), ValueError, r"overlaps boxes_pred\[0\]"),
    ):
        with pytest.raises(error, match=words):
            box_plain.grad(true, boxes, out=out)
        with pytest.raises(error, match=words):
            box_plain.value_and_grad(true, boxes, out=(None, out))
    value = np.zeros(6)
    with pytest.raises(ValueError, match="overlaps"):
        box_plain.value_and_grad(true, columns, reduction="none", out=(value, (*fresh[:3], value)))
    assert (true.tobytes(), pred.tobytes()) == before


def test_nothing_at_all(box_plain):
    none = np.zeros((0, 4))
    value, grad = box_plain.value_and_grad(none, none)
    assert value == 0.0 and grad.shape == (0, 4)
    assert np.isnan(box_plain(none, none, empty="nan"))
    with pytest.raises(ValueError, match="of nothing"):
        box_plain(none, none, empty="raise")
    value, grad = box_plain.value_and_grad(np.ones((2, 4)), np.ones((2, 4)), sample_weight=0)
    assert value == 0.0 and (grad == 0).all()
    columns = box_plain.grad(np.ones((2, 4)), (np.ones(2),) * 4, sample_weight=0, empty="nan")
    assert all(np.isnan(x).all() for x in columns)
