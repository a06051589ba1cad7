"""The losses of logits and scores where their kernels change course: infinities, long rows, few rows, odd arrays."""

import itertools

import numpy as np
import pytest
from operands import assert_same_bits, dtype_of
from rows import CLASSES, Rows, assert_rows_near, kinds, row_operands

import lossfast as lf

PART = 1024  # classes that are summed at once; longer rows are summed in parts


def by_logits(plain):
    return type(plain)(**({"from_logits": True} if "from_logits" in plain.get_params() else {}))


def variants(plain):
    """The loss of logits, and with smoothed labels and class weights: other sums of the same rows."""
    loss = by_logits(plain)
    yield loss
    if "label_smoothing" in loss.get_params():
        yield type(plain)(**{**loss.get_params(), "label_smoothing": 0.1})


def everything(loss, target, pred, **kwargs):
    return loss.value_grad_hess(target, pred, reduction="none", **kwargs)


def is_hinge(loss):
    return loss.declaration.boosting == "one"


def near(loss, target, pred, got, dtype=None, **kwargs):
    rows = Rows(loss, target, pred, **kwargs)
    want, axis = rows.reduced("none"), kwargs.get("axis", -1)
    assert_rows_near(got, want, dtype or pred.dtype, axis, scale=np.abs(want[0]).max(), unit=rows.reduced_unit)


CHANGES = [(1, 1), (300, 1), (2, 32), (33, 32), (33, 33), (31, 33), (32, 7), (255, 3), (256, 33), (257, 4)]
LONG = [(2, 1023), (2, 1024), (3, 1025), (2, 2048), (2, 5000)]


@pytest.mark.parametrize("shape", CHANGES + LONG, ids=str)
def test_sizes_where_the_layout_changes(row_plain, dtype, shape):
    for loss, labels in itertools.product(variants(row_plain), kinds(row_plain)):
        target, pred = row_operands(loss, shape, dtype, labels=labels)
        got = everything(loss, target, pred)
        near(loss, target, pred, got)
        assert_same_bits(loss.grad(target, pred, reduction="none"), got[1])
        assert_same_bits(loss.hess(target, pred, reduction="none"), got[2])
        if labels and "ignore_index" in loss.get_params():
            pred[-1] = np.nan
            ignored = np.append(target[:-1], -1)
            value, grad, hess = everything(loss, ignored, pred, ignore_index=-1)
            assert not value[-1].any() and not grad[-1].any() and not hess[-1].any()
            assert_same_bits((value[:-1], grad[:-1], hess[:-1]), tuple(x[:-1] for x in got))


@pytest.mark.parametrize("classes", [3, 40, PART + 1, 3 * PART])
def test_rows_with_infinities(row_plain, isa, dtype, classes):
    """Rows of which one logit, two or all are infinite, in every layout."""
    loss = by_logits(row_plain)
    if is_hinge(loss):
        return
    label, last = 1, classes - 1
    for labels in kinds(loss):
        pred = row_operands(loss, (7, classes), dtype)[1]
        pred[0, label] = np.inf
        pred[1, last] = np.inf
        pred[2, [0, last]] = np.inf
        pred[3] = -np.inf
        pred[4, last] = -np.inf
        pred[5, label] = -np.inf
        if classes > 2 * PART:
            pred[6, PART:] = -np.inf  # parts without a finite logit
        target = np.full(7, label) if labels else np.eye(classes)[np.full(7, label)]
        for smoothing in (0.0, 0.2) if "label_smoothing" in loss.get_params() and labels else (0.0,):
            kwargs = {"label_smoothing": smoothing} if smoothing else {}
            value, grad, hess = everything(loss, target, pred, **kwargs)
            assert np.isnan(value[[2, 3]]).all() and np.isnan(grad[[2, 3]]).any(axis=1).all()
            rest = [0, 1, 4, 5, 6]
            assert np.isfinite(grad[rest]).all() and np.isfinite(hess[rest]).all()
            assert not np.isnan(value).any(where=np.isin(np.arange(7), rest))
            want = Rows(loss, target, pred, **kwargs)
            np.testing.assert_allclose(value[rest], want.value[rest], rtol=1e-4)
            if not smoothing:
                assert value[0] == 0
                np.testing.assert_array_equal(grad[0], 0)
                near(loss, target[rest], pred[rest], (value[rest], grad[rest], hess[rest]))


@pytest.mark.compiled
@pytest.mark.parametrize("shape", [(1, 200_000), (3, 70_001)], ids=str)
def test_threads_share_long_rows_without_changing_a_bit(row_plain, dtype, shape):
    for loss, labels in itertools.product(variants(row_plain), kinds(row_plain)):
        target, pred = row_operands(loss, shape, dtype, labels=labels)
        one = everything(loss, target, pred, n_threads=1)
        near(loss, target, pred, one)
        for n_threads in (2, 3, 7):
            assert_same_bits(everything(loss, target, pred, n_threads=n_threads), one)
            assert loss(target, pred, n_threads=n_threads) == loss(target, pred, n_threads=1)


@pytest.mark.compiled  # without, it is computed in float64 and rounded once
@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(40, 6), (40, 50), (3, PART + 1), (2, 5000)], ids=str)
def test_half_precision_in_place(row_plain, name, shape):
    half = dtype_of(name)
    for loss, labels in itertools.product(variants(row_plain), kinds(row_plain)):
        target, pred = row_operands(loss, shape, np.float32, labels=labels)
        pred = pred.astype(half)
        value, grad, hess = everything(loss, target, pred.astype(np.float32))
        got = everything(loss, target, pred)
        assert got[1].dtype == got[2].dtype == half
        want = value, grad.astype(half), hess.astype(half)
        assert_same_bits(got, want)
        other = np.full_like(pred, 7)
        assert_same_bits(everything(loss, target, array := pred.copy(), out=(None, array, other)), want)
        assert_same_bits(everything(loss, target, array := pred.copy(), out=(None, other, array)), want)
        loss.grad(target, array := pred.copy(), reduction="none", out=array)
        assert_same_bits(array, want[1])
        mixed = (None, np.empty(shape), np.empty(shape, np.float32))
        near(loss, target, pred, everything(loss, target, pred, out=mixed), np.float32)


@pytest.mark.parametrize("classes", [5, 60, PART + 3])
def test_every_kind_of_array(row_plain, dtype, classes):
    """Classes in the middle, every other row, rows backwards, weights that are broadcast, labels of every dtype."""
    rng = np.random.default_rng(0)
    for loss, labels in itertools.product(variants(row_plain), kinds(row_plain)):
        target, pred = row_operands(loss, (4, 3, classes), dtype, labels=labels)
        weight = rng.uniform(0, 2, (4, 1))
        want = everything(loss, target, pred, sample_weight=np.repeat(weight, 3, axis=1))
        near(loss, target, pred, want, sample_weight=np.repeat(weight, 3, axis=1))
        full = np.broadcast_to(weight, (4, 3))
        moved = np.moveaxis(pred, -1, 1).copy()
        t = target if labels else np.moveaxis(target, -1, 1)
        value, grad, hess = everything(loss, t, moved, axis=1, sample_weight=full)
        assert_same_bits((value, np.moveaxis(grad, 1, -1), np.moveaxis(hess, 1, -1)), want)
        wide = np.repeat(pred, 2, axis=0)[::2]
        assert_same_bits(everything(loss, target, wide, sample_weight=full), want)
        assert_same_bits(everything(loss, target, pred[::-1].copy()[::-1], sample_weight=full), want)
        for name in ("uint8", "int8", "uint16", "int32", "uint64", "float16", "float32", "bool") if labels else ():
            small = target % 2 if name == "bool" else target % 100
            kinds_of_labels = [small.astype(k) for k in (name, np.int64)]
            assert_same_bits(*(everything(loss, x, pred) for x in kinds_of_labels))


def test_one_class_costs_nothing_under_every_option(row_plain, dtype):
    loss = by_logits(row_plain)
    if is_hinge(loss):
        return
    rng = np.random.default_rng(0)
    options = {"label_smoothing": 0.3, "class_weight": [0.7], "alpha": [0.7], "temperature": 1.7}
    options = {k: v for k, v in options.items() if k in loss.get_params()}
    for labels, names in itertools.product(kinds(loss), [[], *([k] for k in options), options]):
        target = np.zeros(50, int) if labels else np.ones((50, 1))
        pred = rng.normal(0, 100, (50, 1)).astype(dtype)
        value, *derivatives = everything(loss, target, pred, **{k: options[k] for k in names})
        assert not value.any()
        for x in derivatives:
            assert np.abs(x).max() <= np.finfo(dtype).eps


def test_a_logit_of_infinity_elsewhere_costs_infinity_in_float64_too():
    for dtype in (np.float32, np.float64):
        value, grad, _ = everything(lf.get("cross_entropy"), [0], np.array([[1, np.inf, 2]], dtype))
        assert value[0] == np.inf
        np.testing.assert_array_equal(grad, [[-1, 1, 0]])


def test_a_focused_loss_of_a_certain_class_keeps_its_curvature(dtype):
    """The terms of a class that is nearly certain are far above what becomes of them."""
    loss = lf.CategoricalFocalCrossentropy(from_logits=True, gamma=0.3)
    target, pred = np.array([[0.8, 0.1, 0.1]]), np.array([[15.0, 1.0, 0.0]], dtype)
    near(loss, target, pred, everything(loss, target, pred))


@pytest.mark.parametrize("q", [0.3, 1.0])
@pytest.mark.parametrize("from_logits", [False, True])
def test_generalized_crossentropy_keeps_the_slope_of_small_probabilities(q, from_logits, dtype):
    p = np.array([[1e-5, 1 - 1e-5]])
    pred = (np.log(p) if from_logits else p).astype(dtype)
    grad = lf.generalized_crossentropy.grad([0], pred, q=q, from_logits=from_logits)[0, 0]
    want = -(p[0, 0] ** q) * p[0, 1] if from_logits else -(p[0, 0] ** (q - 1))
    assert grad == pytest.approx(want, rel=3e-5 if dtype == np.float32 else 1e-12)


def test_generalized_crossentropy_of_nothing_is_finite():
    for q, slope in ((0.5, -np.inf), (1.0, -1.0)):
        value, grad = lf.generalized_crossentropy.value_and_grad([0], [[0.0, 1.0]], q=q, eps=0.0)
        assert (value, grad[0, 0]) == (1 / q, slope)


@pytest.mark.compiled
def test_a_label_that_was_never_checked_spoils_its_own_row_alone():
    """C callers may leave out the check: then a label out of range counts as ignored."""
    from lossfast import _core

    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(100, 7)).astype(np.float32), rng.integers(0, 7, 100)

    def run(labels):
        value, grad = np.empty(100, np.float32), np.empty_like(logits)
        kernel = _core.RowKernel("crossentropy")
        arrays = True, True, labels, logits, None, None, None
        kernel.run(*arrays, (), None, 0.0, 0.0, 1.0, value, grad, None, False, 1)
        return value, grad

    good = run(labels)
    labels[0] = 7
    bad = run(labels)
    assert bad[0][0] == 0 and not bad[1][0].any()
    assert_same_bits(bad[0][1:], good[0][1:])
    assert_same_bits(bad[1][1:], good[1][1:])


@pytest.mark.parametrize("ignore", [None, 1])
def test_a_nan_of_any_class_makes_its_row_nan_unchecked_too(row_loss, dtype, ignore):
    params = row_loss.get_params()
    if params.get("from_logits") or not row_loss.declaration.labels or (ignore and "ignore_index" not in params):
        return
    target, pred = row_operands(row_loss, (7, CLASSES), dtype, 5)
    labels = target if target.ndim == 1 else target.argmax(axis=1)
    labels[[2, 5]] = 0
    pred[2, 3] = pred[5, CLASSES - 1] = np.nan
    more = {} if ignore is None else {"ignore_index": ignore}
    want = row_loss.value_and_grad(labels, pred, reduction="none", **more)
    assert np.flatnonzero(np.isnan(want[0])).tolist() == [2, 5]
    assert_same_bits(row_loss.value_and_grad(labels, pred, reduction="none", check=False, **more), want)
    accumulator = row_loss.accumulator()
    accumulator.update(labels, pred, check=False, **more)
    assert accumulator.result().nonfinite == 2
