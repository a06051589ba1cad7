"""The losses of classes against their specifications, and the promise of equal bits, naming no loss."""

import copy
import itertools
import json
import math
import pickle

import numpy as np
import pytest
from conftest import LEVELS
from hypothesis import given, settings
from hypothesis import strategies as st
from operands import TARGET_DTYPES, assert_same_bits, dtype_of
from row_oracle import ORACLE, jet
from rows import (
    CLASSES,
    REDUCTIONS,
    Rows,
    assert_rows_near,
    is_of_probabilities,
    kinds,
    row_operands,
)

import lossfast as lf
from lossfast import _classwise

SUBSETS = {
    "__call__": (0,),
    "grad": (1,),
    "hess": (2,),
    "value_and_grad": (0, 1),
    "grad_and_hess": (1, 2),
    "value_grad_hess": (0, 1, 2),
}
SHAPES = [(0, 3), (1, 1), (7, 2), (33, 5), (64, 17), (5, 33), (9, 1000), (3, 4, 6), (4,)]
SHAPE = (37, 29, CLASSES)


def everything(loss, target, pred, **kwargs):
    """Value for each row, gradient and Hessian."""
    return loss.value_grad_hess(target, pred, reduction="none", **kwargs)


def options(loss, rows, rng):
    """Every optional keyword that makes sense for a loss, one at a time and then together."""
    params, classes = loss.declaration.params, CLASSES
    found = {}
    if "class_weight" in params:
        found["class_weight"] = rng.uniform(0, 2, classes)
    if "alpha" in params:
        found["alpha"] = rng.uniform(0, 2, classes)
    if params.get("temperature") and loss.get_params().get("from_logits"):
        found["temperature"] = rng.uniform(0.5, 3, rows)
    yield {}
    for k, v in found.items():
        yield {k: v}
    if len(found) > 1:
        yield found


def ignoring(loss, target, rng):
    """A few labels replaced by one to ignore, with the keyword that says so; nothing where there are no labels."""
    if "ignore_index" not in loss.declaration.params or target.ndim == len(SHAPE):
        return target, {}
    target = np.where(rng.uniform(size=target.shape) < 0.3, -7, target)
    target[3] = -7  # all of an entry
    return target, {"ignore_index": -7}


# --- Values -------------------------------------------------------------------------------------------------------


def test_kernel_is_the_specification(row_loss, isa, dtype):
    for shape, labels in itertools.product(SHAPES, kinds(row_loss)):
        if shape == (1, 1) and is_of_probabilities(row_loss):
            continue  # a probability of 1, where a second derivative may be infinite
        target, pred = row_operands(row_loss, shape, dtype, labels=labels)
        got = everything(row_loss, target, pred)
        assert [x.shape for x in got] == [shape[:-1], shape, shape]
        assert all(x.dtype == dtype for x in got)
        rows = Rows(row_loss, target, pred)
        assert_rows_near(got, rows.reduced("none"), dtype, unit=rows.unit[..., None])


@pytest.mark.compiled
def test_classes_beyond_whole_groups_and_parts(row_loss, isa, dtype):
    for classes, labels in itertools.product((129, 144, 1023, 1025, 1043, 2065), kinds(row_loss)):
        target, pred = row_operands(row_loss, (3, classes), dtype, labels=labels)
        got = everything(row_loss, target, pred)
        rows = Rows(row_loss, target, pred)
        assert_rows_near(got, rows.reduced("none"), dtype, unit=rows.unit[..., None])
        assert_same_bits(row_loss(target, pred, reduction="none"), got[0])
        assert_same_bits(row_loss.grad(target, pred, reduction="none", out=pred), got[1])


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reductions_and_options_are_their_definition(row_loss, dtype, reduction):
    rng = np.random.default_rng(4)
    for labels in kinds(row_loss):
        target, pred = row_operands(row_loss, SHAPE, dtype, labels=labels)
        for more in options(row_loss, SHAPE[:-1], rng):
            weights = (None, 0.7, rng.uniform(0, 2, SHAPE[0]), rng.uniform(0, 2, SHAPE[:-1]))
            for weight in weights[3:] if more else weights:
                ignored, ignore = ignoring(row_loss, target, rng) if weight is not None else (target, {})
                kwargs = {**more, **ignore, "sample_weight": weight}
                rows = Rows(row_loss, ignored, pred, **kwargs)
                want = rows.reduced(reduction)
                got = row_loss.value_grad_hess(ignored, pred, reduction=reduction, **kwargs)
                assert type(got[0]) is (np.ndarray if reduction in ("none", "sample") else float)
                scale = np.abs(rows.value).max() * (reduction == "sum") * pred.size
                assert_rows_near(got, want, dtype, scale=scale, unit=rows.reduced_unit)


@st.composite
def calls(draw):
    """A shape, its class axis, how both operands lie in memory, their dtypes and the options."""
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    return {
        "shape": tuple(shape),
        "axis": draw(st.integers(-len(shape), len(shape) - 1)),
        "dtype": draw(st.sampled_from(["float16", "float32", "float64"])),
        "reverse": draw(st.booleans()),
        "order": draw(st.sampled_from("CF")),
        "step": draw(st.integers(1, 3)),
        "labels": draw(st.booleans()),
        "target_dtype": draw(st.sampled_from(["int8", "uint16", "int64", "float32"])),
        "keep_axis": draw(st.booleans()),
        "ignore": draw(st.sampled_from([None, -1, 0, 100])),
        "weight": draw(st.sampled_from([None, "number", "first", "rows"])),
        "weighted": draw(st.booleans()),
        "reduction": draw(st.sampled_from(REDUCTIONS)),
        "seed": draw(st.integers(0, 99)),
        "from_logits": draw(st.booleans()),
    }


@settings(deadline=None, max_examples=40, derandomize=True)
@given(call=calls())
def test_any_shape_axis_dtype_stride_and_option(row_plain, call):
    row_loss = by_logits(row_plain) if call["from_logits"] else row_plain
    rng, axis, shape = np.random.default_rng(call["seed"]), call["axis"], call["shape"]
    labels = call["labels"] if len(kinds(row_loss)) == 2 else kinds(row_loss)[0]
    rows = np.delete(shape, axis).tolist()
    if call["reduction"] in ("sample", "batchmean") and not rows:
        return
    target, pred = row_operands(row_loss, (*rows, shape[axis]), np.dtype(call["dtype"]), labels=labels)
    pred = np.moveaxis(pred, -1, axis)
    pred = np.asarray(np.repeat(pred, call["step"], axis=0), order=call["order"])[:: call["step"]]
    if call["reverse"]:
        pred = pred[::-1].copy()[::-1]
    kwargs, params = {"axis": axis}, row_loss.declaration.params
    if labels:
        if call["ignore"] is not None and "ignore_index" in params:
            kwargs["ignore_index"] = call["ignore"] if call["target_dtype"] != "uint16" else abs(call["ignore"])
            target = np.where(rng.uniform(size=rows) < 0.4, kwargs["ignore_index"], target)
        target = np.asarray(target).astype(call["target_dtype"])
        given = np.expand_dims(target, axis) if call["keep_axis"] and len(kinds(row_loss)) == 1 else target
    else:
        given = target = np.moveaxis(target, -1, axis)
    if call["weighted"] and "class_weight" in params:
        kwargs["class_weight"] = rng.uniform(0.1, 2, shape[axis])
    if call["weight"] is not None:
        kwargs["sample_weight"] = rng.uniform(0, 2, {"number": (), "first": rows[:1], "rows": rows}[call["weight"]])
    by_definition = Rows(row_loss, target, pred, **kwargs)
    want = by_definition.reduced(call["reduction"])
    got = row_loss.value_grad_hess(given, pred, reduction=call["reduction"], grad_dtype=np.float64, **kwargs)
    unit = by_definition.reduced_unit
    assert_rows_near(got, want, call["dtype"], axis, scale=1e-3 + np.abs(want[0]).max(), unit=unit)


def test_derivatives_are_those_of_the_formula(row_loss):
    """In high precision, written once more."""
    for shape, labels in itertools.product([(6, 4), (3, 2), (2, 9)], kinds(row_loss)):
        target, pred = row_operands(row_loss, shape, seed=3, labels=labels)
        t = np.eye(shape[-1])[target] if labels else target
        params = row_loss.declaration.resolved(row_loss.get_params(), False)
        want = [
            np.array(x)
            for x in zip(*(jet(row_loss.name, a, b, params) for a, b in zip(t, pred, strict=True)), strict=True)
        ]
        got = everything(row_loss, target, pred)
        for k, name in enumerate(("value", "grad", "hess")):
            size = np.abs(want[k]) + np.abs(want[min(1, k)]).max() + (np.abs(want[0]).max() if k else 0)
            np.testing.assert_array_less(np.abs(got[k] - want[k]), 1e-13 * (1 + size), err_msg=name)


def test_the_oracle_covers_the_losses_of_classes(row_plain):
    assert row_plain.name in ORACLE


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_gradient_is_that_of_the_reduced_value(row_plain, reduction):
    rng, step = np.random.default_rng(0), 1e-6
    params = {"from_logits": True} if "from_logits" in row_plain.get_params() else {}
    loss = type(row_plain)(**params)
    target, pred = row_operands(loss, (4, 3, CLASSES), seed=1)
    kwargs = {"sample_weight": rng.uniform(0.5, 2, (4, 3)), "reduction": reduction}
    if "class_weight" in loss.get_params():
        kwargs["class_weight"] = rng.uniform(0.5, 2, CLASSES)
    if "ignore_index" in loss.get_params():
        kwargs["ignore_index"] = 2
    grad = loss.grad(target, pred, **kwargs)
    for i in [(0, 0, 1), (3, 2, 4), (1, 1, 2)]:
        up, down = pred.copy(), pred.copy()
        up[i] += step
        down[i] -= step
        slope = (np.sum(loss(target, up, **kwargs)) - np.sum(loss(target, down, **kwargs))) / (2 * step)
        assert grad[i] == pytest.approx(slope, rel=1e-6, abs=1e-8)


# --- What is left out ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ignore", [-100, 2, 255])
def test_rows_to_ignore_are_as_if_dropped(row_loss, dtype, ignore, monkeypatch):
    if "ignore_index" not in row_loss.get_params():
        return
    rng = np.random.default_rng(1)
    target, pred = row_operands(row_loss, (300, CLASSES), dtype)
    target = np.where(rng.uniform(size=300) < 0.4, ignore, target)
    kept, weight = target != ignore, rng.uniform(0, 2, 300)
    pred[~kept] = np.nan  # nobody looks
    for chunk in (_classwise.CHUNK, 64):
        monkeypatch.setattr(_classwise, "CHUNK", chunk)
        for more in options(row_loss, (300,), rng):
            rest = {k: v[kept] if k == "temperature" else v for k, v in more.items()}
            for reduction in ("none", "mean") if more or chunk == 64 else REDUCTIONS:
                kwargs = {"reduction": reduction, "ignore_index": ignore, **more}
                value, grad, hess = row_loss.value_grad_hess(target, pred, sample_weight=weight, **kwargs)
                want = row_loss.value_grad_hess(
                    target[kept], pred[kept], sample_weight=weight[kept], reduction=reduction, **rest
                )
                assert not grad[~kept].any() and not hess[~kept].any()
                per_row = reduction in ("none", "sample")
                got = value[kept] if per_row else value, grad[kept], hess[kept]
                assert not per_row or not value[~kept].any()
                rows = Rows(row_loss, target[kept], pred[kept], sample_weight=weight[kept], **rest)
                rows.reduced(reduction)
                assert_rows_near(got, want, dtype, scale=300 * (reduction == "sum"), unit=rows.reduced_unit)
    assert row_loss(target, pred, ignore_class=ignore) == row_loss(target, pred, ignore_index=ignore)


def test_all_rows_ignored(row_plain, dtype):
    if "ignore_index" not in row_plain.get_params():
        return
    target, pred = np.full((3, 2), -1), row_operands(row_plain, (3, 2, CLASSES), dtype)[1]
    for reduction in REDUCTIONS:
        kwargs = {"reduction": reduction, "ignore_index": -1}
        value, grad, hess = row_plain.value_grad_hess(target, pred, **kwargs)
        assert not np.any(value) and not grad.any() and not hess.any()
        means_nothing = reduction not in ("sum", "none")
        assert np.isnan(row_plain(target, pred, empty="nan", **kwargs)).all() == means_nothing
        if means_nothing:
            with pytest.raises(ValueError, match="nothing"):
                row_plain.grad(target, pred, empty="raise", **kwargs)
    assert np.isnan(row_plain.grad(target, pred, ignore_index=-1, empty="nan")).all()


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(0, 3), (0, 2, 3), (2, 0, 3)])
def test_nothing_has_no_loss(row_plain, dtype, shape, reduction):
    for labels in kinds(row_plain):
        target = np.zeros(shape[:-1] if labels else shape, int)
        value, grad, hess = row_plain.value_grad_hess(target, np.zeros(shape, dtype), reduction=reduction)
        assert grad.shape == hess.shape == shape and not np.any(value)


def test_boosting(row_loss, dtype):
    target, pred = row_operands(row_loss, (200, CLASSES), dtype)
    weight = np.random.default_rng(0).uniform(0.5, 2, 200)
    exact = row_loss.hess(target, pred, sample_weight=weight, reduction="sum").astype(np.float64)
    hess = row_loss.hess(target, pred, sample_weight=weight, reduction="sum", hess="boosting")
    want = np.maximum(2 * exact, 1e-16 * weight[:, None])
    if row_loss.declaration.boosting == "one":
        want = np.broadcast_to(weight[:, None], exact.shape)
    np.testing.assert_allclose(hess, want, rtol=1e-6)
    assert (hess > 0).all()


# --- Limits -------------------------------------------------------------------------------------------------------


def by_logits(plain):
    return type(plain)(**({"from_logits": True} if "from_logits" in plain.get_params() else {}))


def test_a_nan_stays_in_its_own_row(row_loss, isa, dtype):
    target, pred = row_operands(row_loss, (65, CLASSES), dtype)
    clean, at = everything(row_loss, target, pred), [0, 7, 64]
    pred[at, [0, 3, 4]] = np.nan
    value, grad, hess = everything(row_loss, target, pred)
    assert np.isnan(value[at]).all()
    assert np.isnan(grad[at]).any(axis=1).all()
    rest = np.delete(np.arange(65), at)
    assert_rows_near([x[rest] for x in (value, grad, hess)], [x[rest] for x in clean], dtype)
    assert np.isnan(row_loss(target, pred))


def special_rows(dtype):
    """Rows of three logits where arithmetic is hard."""
    info = np.finfo(dtype)
    numbers = [0.0, -0.0, 1.0, -1.0, 30.0, -90.0, 800.0, 1e-30, float(info.tiny), 1e5, -1e30]
    numbers += [float(info.max), -float(info.max), np.inf, -np.inf]
    return np.array(list(itertools.product(numbers, repeat=3)), dtype)


def test_derivatives_are_numbers_where_the_value_is_finite(row_plain, isa, dtype):
    loss, pred = by_logits(row_plain), special_rows(dtype)
    if loss.declaration.boosting == "one":
        pred = pred[np.isfinite(pred).all(axis=1)]
    for label in range(3):
        target = np.full(len(pred), label)
        for t in [target] * (True in kinds(loss)) + [np.eye(3)[target]] * (False in kinds(loss)):
            value, grad, hess = everything(loss, t, pred)
            assert not np.isnan(value[np.isfinite(pred).all(axis=1)]).any()
            for name, x in (("grad", grad), ("hess", hess)):
                bad = np.flatnonzero(np.isfinite(value) & np.isnan(x).any(axis=1))
                assert not len(bad), f"{name} at {pred[bad[0]]}, label {label}: {x[bad[0]]}, {len(bad)} rows"


def test_infinite_logits_have_the_limit_of_the_loss(row_plain, isa, dtype):
    loss = by_logits(row_plain)
    if loss.declaration.boosting == "one":
        return
    inf, labels = np.inf, kinds(loss)[0]
    pred = np.array([[inf, 1, 2], [1, inf, 2], [-inf, 1, 2], [0, 1, -inf], [-inf] * 3, [inf, inf, 0]], dtype)
    far = np.where(np.isinf(pred), np.sign(pred) * 1e30, pred).astype(dtype)
    target = np.zeros(6, int) if labels else np.eye(3)[np.zeros(6, int)]
    value, grad, _ = everything(loss, target, pred)
    want, slope, _ = everything(loss, target, far)
    want = np.where(want > 1e20, inf, want)
    np.testing.assert_allclose(value[:4], want[:4], rtol=1e-5, atol=1e-30)
    np.testing.assert_allclose(grad[:4], slope[:4], rtol=1e-5, atol=1e-30)
    assert np.isnan(value[4:]).all()


def test_one_class_is_certain(row_loss, dtype):
    if row_loss.get_params().get("z_loss") or is_of_probabilities(row_loss) or row_loss.declaration.terms is None:
        return
    for labels in kinds(row_loss):
        target = np.zeros(4, int) if labels else np.ones((4, 1))
        pred = row_operands(row_loss, (4, 1), dtype)[1]
        for x in everything(row_loss, target, pred):
            assert not x.any() or row_loss.get_params().get("log_input")


# --- Bits ---------------------------------------------------------------------------------------------------------


def test_asking_for_less_changes_no_bit(row_loss, isa, dtype):
    for shape, reduction in itertools.product([(1, 2), (9, 7), (130, 5)], ("mean", "none")):
        target, pred = row_operands(row_loss, shape, dtype)
        full = row_loss.value_grad_hess(target, pred, reduction=reduction)
        for method, wanted in SUBSETS.items():
            got = getattr(row_loss, method)(target, pred, reduction=reduction)
            assert_same_bits(got, tuple(full[k] for k in wanted) if len(wanted) > 1 else full[wanted[0]])


@pytest.mark.compiled
def test_threads_change_no_bit(row_loss, dtype):
    for shape in ((60_001, CLASSES), (301, 1000)):
        target, pred = row_operands(row_loss, shape, dtype)
        one = row_loss.value_grad_hess(target, pred, n_threads=1)
        for n_threads in (2, 3, 7, 64):
            assert_same_bits(row_loss.value_grad_hess(target, pred, n_threads=n_threads), one)


@pytest.mark.compiled
@pytest.mark.skipif(not {"avx2", "avx512"} <= set(LEVELS), reason="this processor has no AVX-512")
def test_avx2_and_avx512_give_the_same_bits(row_loss, dtype):
    for shape in SHAPES:
        target, pred = row_operands(row_loss, shape, dtype)
        results = []
        for level in ("avx2", "avx512"):
            lf.set_isa(level)
            results.append((everything(row_loss, target, pred), row_loss.value_grad_hess(target, pred)))
        assert_same_bits(*results)


LAYOUTS = {
    "strided": lambda x: np.repeat(x, 3, axis=-1)[..., ::3],
    "negative": lambda x: x[::-1].copy()[::-1],
    "fortran": np.asfortranarray,
    "part of a larger array": lambda x: np.pad(x, 2)[(slice(2, -2),) * x.ndim],
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
}


@pytest.mark.compiled
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_changes_no_bit(row_loss, dtype, layout):
    target, pred = row_operands(row_loss, SHAPE, dtype)
    weight, change = np.random.default_rng(1).uniform(0, 2, SHAPE[:-1]), LAYOUTS[layout]
    want = row_loss.value_grad_hess(target, pred, sample_weight=weight)
    for which in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)):
        t, p, w = (change(x) if c else x for x, c in zip((target, pred, weight), which, strict=True))
        assert_same_bits(row_loss.value_grad_hess(t, p, sample_weight=w), want)
    if layout != "big-endian":
        out = (None, change(np.full_like(pred, 7)), change(np.full_like(pred, 7)))
        got = row_loss.value_grad_hess(target, pred, sample_weight=weight, out=out)
        assert got[1] is out[1] and got[2] is out[2]
        assert_same_bits(got, want)


@pytest.mark.compiled
def test_a_class_axis_elsewhere_changes_no_bit_and_copies_nothing(row_loss, dtype):
    target, pred = row_operands(row_loss, SHAPE, dtype)
    want = row_loss.value_grad_hess(target, pred)
    for axis in range(3):
        t = target if target.ndim < 3 else np.ascontiguousarray(np.moveaxis(target, -1, axis))
        value, grad, hess = row_loss.value_grad_hess(t, np.ascontiguousarray(np.moveaxis(pred, -1, axis)), axis=axis)
        assert grad.flags.c_contiguous and hess.flags.c_contiguous
        assert_same_bits((value, np.moveaxis(grad, axis, -1), np.moveaxis(hess, axis, -1)), want)


def test_the_gradient_may_replace_the_predictions(row_loss, dtype, monkeypatch):
    monkeypatch.setattr(_classwise, "CHUNK", 1000)
    for shape, axis in itertools.product([(9, 4), (7, 300), SHAPE], (0, -1)):
        target, pred = row_operands(row_loss, shape, dtype)
        pred = np.ascontiguousarray(np.moveaxis(pred, -1, axis))
        target = target if target.ndim < pred.ndim else np.moveaxis(target, -1, axis)
        value, grad, hess = row_loss.value_grad_hess(target, pred, axis=axis)
        for k in (0, 1):
            array, other = pred.copy(), np.full_like(pred, 7)
            out = (None, array, other) if k == 0 else (None, other, array)
            assert_same_bits(row_loss.value_grad_hess(target, array, axis=axis, out=out), (value, grad, hess))
        array = pred.copy()
        assert row_loss.grad(target, array, axis=axis, out=array) is array
        assert_same_bits(array, grad)


@pytest.mark.compiled
def test_rows_to_ignore_change_no_bit_of_others(row_loss, dtype):
    if "ignore_index" not in row_loss.get_params():
        return
    target, pred = row_operands(row_loss, (500, 7), dtype)
    kept = np.arange(500) % 3 != 1
    got = everything(row_loss, np.where(kept, target, -1), pred, ignore_index=-1)
    assert_same_bits(tuple(x[kept] for x in got), everything(row_loss, target[kept], pred[kept]))


@pytest.mark.parametrize("name", TARGET_DTYPES)
def test_target_dtype_changes_no_bit(row_plain, dtype, name):
    for labels in kinds(row_plain):
        target, pred = row_operands(row_plain, (60, 4), dtype, labels=True)
        if name == "bool":
            target = target % 2
        target = target if labels else np.eye(4)[target]
        want = everything(row_plain, target.astype(np.float64), pred)
        assert_same_bits(everything(row_plain, target.astype(dtype_of(name)), pred), want)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(row_loss, name):
    half = dtype_of(name)
    target, pred = row_operands(row_loss, (40, 6), np.float32)
    pred = pred.astype(half)
    want = everything(row_loss, target, pred.astype(np.float32))
    got = everything(row_loss, target, pred)
    assert got[0].dtype == np.float32 and got[1].dtype == got[2].dtype == half
    assert_same_bits(got[0], want[0])
    assert_same_bits(everything(row_loss, target, pred, grad_dtype=np.float32), want)


def test_a_column_of_labels_is_taken(row_plain):
    if kinds(row_plain) != [True]:
        return
    target, pred = row_operands(row_plain, (3, 4, CLASSES))
    want = row_plain.value_grad_hess(target, pred)
    assert_same_bits(row_plain.value_grad_hess(target[..., None], pred), want)
    moved = np.moveaxis(pred, -1, 1)
    assert row_plain(target[:, None], moved, axis=1) == row_plain(target, moved, axis=1)


def test_predictions_that_are_no_floats_are_taken_as_float64(row_plain):
    target = [[0.0, 1.0, 0.0]] if kinds(row_plain) == [False] else [1]
    want = row_plain.value_grad_hess(target, [[0.0, 1.0, 0.0]])
    for dtype in ("bool", "int8", "uint64"):
        assert_same_bits(row_plain.value_grad_hess(target, np.array([[0, 1, 0]], dtype)), want)


@pytest.mark.compiled
def test_labels_need_little_memory():
    import tracemalloc

    loss, n = lf.get("multiclass_brier"), 400_000
    target, pred = np.zeros(n, int), np.full((n, 10), 0.1, np.float32)
    out = np.empty_like(pred)
    for kwargs in ({}, {"label_smoothing": 0.1}, {"from_logits": True}):
        loss.grad(target, pred, out=out, **kwargs)
        tracemalloc.start()
        loss.grad(target, pred, out=out, **kwargs)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8_000_000, (kwargs, peak)


# --- Accumulators -------------------------------------------------------------------------------------------------


def filled(loss, *args, **kwargs):
    accumulator = loss.accumulator()
    accumulator.update(*args, **kwargs)
    return accumulator


def test_accumulators_are_of_the_rows_that_are_kept(row_loss, dtype):
    rng = np.random.default_rng(0)
    same = 1e-13 if dtype == np.float64 else 1e-6  # an accumulator adds the rows' losses as float32
    for labels in kinds(row_loss):
        target, pred = row_operands(row_loss, SHAPE, dtype, labels=labels)
        target, ignore = ignoring(row_loss, target, rng)
        kept = np.ones(SHAPE[:-1], bool) if not ignore else target != -7
        for weight in (None, rng.uniform(0, 2, SHAPE[:-1])):
            for more in options(row_loss, SHAPE[:-1], rng):
                kwargs = {**more, **ignore}
                losses = row_loss(target, pred, reduction="none", **kwargs)[kept].astype(np.float64)
                result = filled(row_loss, target, pred, sample_weight=weight, **kwargs).result()
                w = np.ones(losses.size) if weight is None else weight[kept]
                assert (result.count, result.nonfinite) == (losses.size, 0)
                by_class = more.get("class_weight") if labels else None
                by_label = 1 if by_class is None else np.asarray(by_class)[target[kept].astype(int)]
                assert result.weight == pytest.approx(math.fsum(w * by_label), rel=1e-15)
                assert result.sum == pytest.approx(math.fsum(w * losses), rel=1e-14)
                assert result.mean == pytest.approx(row_loss(target, pred, sample_weight=weight, **kwargs), rel=same)
                assert (result.min, result.max) == (losses.min(), losses.max())


@pytest.mark.compiled
def test_splits_and_threads_change_no_bit_of_an_accumulator(row_loss, dtype):
    target, pred = row_operands(row_loss, (3001, 7), dtype)
    weight = np.random.default_rng(0).uniform(0, 2, 3001)
    whole = filled(row_loss, target, pred, sample_weight=weight)
    for n_threads in (1, 3):
        parts = [
            filled(row_loss, target[i:j], pred[i:j], sample_weight=weight[i:j], n_threads=n_threads)
            for i, j in itertools.pairwise([0, 1, 8, 8, 1000, 1003, 3001])
        ]
        for part in parts[-2::-1]:
            parts[-1].merge(part)
        assert parts[-1] == whole


def test_the_state_of_an_accumulator_keeps_every_bit(row_loss):
    target, pred = row_operands(row_loss, (50, CLASSES))
    whole = filled(row_loss, target, pred)
    text = json.dumps(whole.state(), allow_nan=False)
    for back in (lf.Accumulator.from_state(json.loads(text)), pickle.loads(pickle.dumps(whole)), copy.copy(whole)):
        assert back == whole and back.loss == row_loss


def test_losses_with_arrays_are_copied_and_compared():
    weights = np.array([1.0, 2.0])
    loss = lf.SparseCategoricalCrossentropy(class_weight=weights, ignore_class=-1)
    weights[:] = 7
    same = lf.SparseCategoricalCrossentropy(class_weight=[1, 2], ignore_index=-1)
    assert loss == same == pickle.loads(pickle.dumps(loss)) and hash(loss) == hash(same)
    assert loss != lf.SparseCategoricalCrossentropy(class_weight=[1, 3], ignore_index=-1)
    whole = filled(loss, [0, 1], [[0.5, 0.5], [0.2, 0.8]])
    assert lf.Accumulator.from_state(json.loads(json.dumps(whole.state()))) == whole
