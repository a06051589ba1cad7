"""The losses of boxes against their specifications and formulas, and the promise of equal bits, naming no loss."""

import itertools

import numpy as np
import pytest
from boxes import FORMATS, OF_BOXES, box_operands, edges, in_format, jet
from conftest import LEVELS
from hypothesis import given, settings
from hypothesis import strategies as st
from operands import TARGET_DTYPES, assert_same_bits, dtype_of

import lossfast as lf
from lossfast import _box
from lossfast._numpy_box import NumpyBoxKernel

REDUCTIONS = ("mean", "sum", "none", "sample", "sum_over_batch_size", "batchmean")
SIZES = (1, 3, 31, 33, 255, 256, 257, 1000)


def rounding(dtype):
    return 2e-6 if np.dtype(dtype) != np.float64 else 1e-14


def assert_near(got, want, dtype, scale=1.0):
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=8 * rounding(dtype), atol=8 * rounding(dtype) * scale)


@pytest.fixture
def specification(monkeypatch):
    """A call by the NumPy specification."""

    def call(loss, *args, **kwargs):
        with monkeypatch.context() as patch:
            patch.setattr(_box, "box_kernel", NumpyBoxKernel)
            return loss.value_and_grad(*args, **kwargs)

    return call


# --- Values -------------------------------------------------------------------------------------------------------


def test_kernel_is_the_specification(box_loss, isa, dtype, specification):
    eps = {"eps": float(np.finfo(dtype).eps)}
    for n in SIZES:
        true, pred = box_operands(box_loss, n, dtype)
        value, grad = box_loss.value_and_grad(true, pred, reduction="none")
        assert value.dtype == grad.dtype == dtype and value.shape == (n,) and grad.shape == (n, 4)
        want = specification(box_loss, true, pred.astype(np.float64), reduction="none", **eps)
        assert_near(value, want[0], dtype)
        assert_near(grad, want[1], dtype, scale=1 + np.abs(want[1]).max())


def test_values_and_gradients_are_those_of_the_formula(box_loss):
    true, pred = box_operands(box_loss, 40, seed=2)
    params = box_loss.declaration.resolved(box_loss.get_params(), False)
    found = [jet(box_loss.name, t, p, params["format"], params["eps"]) for t, p in zip(true, pred, strict=True)]
    value, grad = box_loss.value_and_grad(true, pred, reduction="none")
    np.testing.assert_allclose(value, [v for v, _ in found], rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(grad, [g for _, g in found], rtol=1e-11, atol=1e-13)


def test_the_formulas_cover_the_losses_of_boxes(box_plain):
    assert box_plain.name in OF_BOXES


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reductions_are_their_definition(box_plain, dtype, reduction):
    rng = np.random.default_rng(1)
    true, pred = box_operands(box_plain, (37, 29), dtype)
    each, slopes = box_plain.value_and_grad(true.astype(float), pred.astype(float), reduction="none")
    for weight in (None, 0.7, rng.uniform(0, 2, 37), rng.uniform(0, 2, (37, 29))):
        w = np.ones((37, 29)) if weight is None else np.asarray(weight)
        w = np.broadcast_to(w.reshape(w.shape + (1,) * (2 - w.ndim)), (37, 29))
        divisor = {"mean": w.sum(), "sum_over_batch_size": w.size, "batchmean": 37}.get(reduction, 1.0)
        if reduction == "sample":
            divisor = w.sum(axis=1, keepdims=True)
        want = w / divisor * each
        want = want if reduction == "none" else want.sum(axis=1) if reduction == "sample" else want.sum()
        value, grad = box_plain.value_and_grad(true, pred, reduction=reduction, sample_weight=weight)
        assert type(value) is (np.ndarray if reduction in ("none", "sample") else float)
        assert_near(value, want, dtype, scale=np.abs(want).max())
        want = (w / divisor)[..., None] * slopes
        assert_near(grad, want, dtype, scale=np.abs(want).max())


@st.composite
def calls(draw):
    return {
        "shape": tuple(draw(st.lists(st.integers(0, 5), max_size=3))),
        "format": draw(st.sampled_from(FORMATS)),
        "dtype": draw(st.sampled_from(["float16", "bfloat16", "float32", "float64"])),
        "target_dtype": draw(st.sampled_from(["float32", "float64", "float16"])),
        "order": draw(st.sampled_from("CF")),
        "columns": draw(st.tuples(st.booleans(), st.booleans())),
        "step": draw(st.sampled_from([1, 2, -1])),
        "weight": draw(st.booleans()),
        "seed": draw(st.integers(0, 99)),
    }


@settings(deadline=None, max_examples=60, derandomize=True)
@given(call=calls())
def test_any_shape_dtype_stride_and_format(box_plain, call):
    loss, shape = type(box_plain)(format=call["format"]), call["shape"]
    true, pred = (x[0] for x in box_operands(loss, (1, *shape)))
    true, pred = true.astype(call["target_dtype"]), pred.astype(dtype_of(call["dtype"]))
    wide = np.zeros((*shape, 8), pred.dtype, order=call["order"])
    place = wide[..., :: call["step"]][..., :4]
    place[...] = pred
    operands = [
        x if not c else tuple(x[..., k] for k in range(4)) for x, c in zip((true, place), call["columns"], strict=True)
    ]
    if not shape:
        operands = [true, place]
    weight = np.random.default_rng(call["seed"]).uniform(0, 2, shape) if call["weight"] else None
    value, grad = loss.value_and_grad(*operands, sample_weight=weight, reduction="sum")
    if isinstance(grad, tuple):
        assert len(grad) == 4
        grad = np.stack(grad, axis=-1)
    double = pred.dtype == np.float64
    want = loss.value_and_grad(
        true, pred.astype(np.float64), sample_weight=weight, reduction="sum",
        eps=float(np.finfo(np.float64 if double else np.float32).eps),
    )  # fmt: skip
    assert grad.dtype == pred.dtype
    bound = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 3e-5, "float64": 1e-12}[call["dtype"]]
    np.testing.assert_allclose(value, want[0], rtol=3e-5 if not double else 1e-12)
    largest = np.abs(want[1]).max(initial=1)
    np.testing.assert_allclose(grad.astype(float), want[1], rtol=bound, atol=bound * largest)


# --- Equal bits ---------------------------------------------------------------------------------------------------


@pytest.mark.compiled
def test_bits_do_not_depend_on_threads_outputs_or_layout(box_loss, dtype):
    true, pred = box_operands(box_loss, 20_011, dtype)
    for reduction in ("none", "mean"):
        want = box_loss.value_and_grad(true, pred, reduction=reduction, n_threads=1)
        for n in (2, 3, 7):
            assert_same_bits(box_loss.value_and_grad(true, pred, reduction=reduction, n_threads=n), want)
        assert_same_bits(box_loss(true, pred, reduction=reduction), want[0])
        assert_same_bits(box_loss.grad(true, pred, reduction=reduction), want[1])
        same = pred.copy()
        assert_same_bits(box_loss.grad(true, same, reduction=reduction, out=same), want[1])
        turned = np.ascontiguousarray(pred.T).T
        value, grad = box_loss.value_and_grad(np.asfortranarray(true), turned, reduction=reduction)
        assert_same_bits((value, np.ascontiguousarray(grad)), want)
        columns = tuple(np.ascontiguousarray(pred[:, k]) for k in range(4))
        value, grad = box_loss.value_and_grad(tuple(true.T), columns, reduction=reduction)
        assert_same_bits((value, np.stack(grad, axis=-1)), want)
        out = tuple(np.empty(len(pred), dtype) for _ in range(4))
        found = box_loss.grad(true, columns, reduction=reduction, out=out)
        assert all(a is b for a, b in zip(found, out, strict=True))
        assert_same_bits(np.stack(out, axis=-1), want[1])
        tail = box_loss.value_and_grad(true[1:], pred[1:], reduction="none")
        if reduction == "none":
            assert_same_bits(tail, (want[0][1:], want[1][1:]))


@pytest.mark.compiled
def test_bits_do_not_depend_on_the_dtype_of_true_boxes(box_plain):
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, (300, 4))
    true[:, 2:] += true[:, :2]
    pred = rng.uniform(0, 2, (300, 4)).astype(np.float32)
    want = box_plain.value_and_grad(true, pred)
    for name in TARGET_DTYPES:
        if name != "bool":
            assert_same_bits(box_plain.value_and_grad(true.astype(dtype_of(name)), pred), want)


@pytest.mark.compiled
@pytest.mark.skipif(not {"avx2", "avx512"} <= set(LEVELS), reason="one instruction set with FMA")
def test_bits_do_not_depend_on_the_instruction_set(box_loss, dtype):
    true, pred = box_operands(box_loss, 3000, dtype)
    pred[::7] = true[::7]
    pred[::11, 2:] = 0
    found = []
    for level in ("avx2", "avx512"):
        lf.set_isa(level)
        found.append(box_loss.value_and_grad(true, pred, reduction="none"))
    assert_same_bits(*found)


@pytest.mark.compiled
def test_half_precision_is_float32_arithmetic(box_plain):
    for name in ("float16", "bfloat16"):
        true, pred = box_operands(box_plain, 300, np.float32)
        half = pred.astype(dtype_of(name))
        value, grad = box_plain.value_and_grad(true, half)
        want = box_plain.value_and_grad(true, half.astype(np.float32))
        assert value == want[0] and grad.dtype == half.dtype
        assert_same_bits(grad, want[1].astype(half.dtype))


# --- Boxes that are none ------------------------------------------------------------------------------------------

NUMBERS = (0.0, 1.0, -1.0, 0.5, 1e-20, 1e-3, 100.0)


def all_boxes(dtype):
    """Every box of a few numbers, inverted ones and those without an area among them."""
    return np.array(list(itertools.product(NUMBERS, repeat=4)), dtype)


def test_every_pair_of_boxes_has_a_finite_loss_and_gradient(box_loss, isa, dtype):
    boxes = all_boxes(dtype)
    rng = np.random.default_rng(0)
    for _ in range(4):
        value, grad = box_loss.value_and_grad(rng.permutation(boxes), boxes, reduction="none")
        assert np.isfinite(value).all() and np.isfinite(grad).all()
    value, grad = box_loss.value_and_grad(boxes, boxes, reduction="none")
    assert np.isfinite(value).all() and np.isfinite(grad).all()


def test_boxes_that_are_none_are_those_of_the_specification(box_loss, specification):
    boxes = all_boxes(np.float64)
    true = np.random.default_rng(1).permutation(boxes)
    got = box_loss.value_and_grad(true, boxes, reduction="none")
    want = specification(box_loss, true, boxes, reduction="none")
    np.testing.assert_allclose(got[0], want[0], rtol=1e-12, atol=1e-12)
    size = 1 + np.abs(want[1]).max(axis=1, keepdims=True)
    assert (np.abs(got[1] - want[1]) <= 1e-9 * size).all()


def test_the_same_box_twice_costs_nothing(box_plain, dtype):
    boxes = all_boxes(dtype)
    boxes = boxes[(boxes[:, 2] >= boxes[:, 0]) & (boxes[:, 3] >= boxes[:, 1])]
    value, grad = box_plain.value_and_grad(boxes, boxes, reduction="none")
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    plain = (area == 0) | (area > 1e-2)  # eps matters to those between
    assert (np.abs(value[plain]) < 1e-4).all()
    assert (value[area == 0] == 0).all() and (grad[area == 0] == 0).all()


def test_boxes_apart_are_pulled_together(box_plain, dtype):
    true, pred = np.array([[0, 0, 1, 1]], dtype), np.array([[3, 4, 5, 5]], dtype)
    value, grad = box_plain.value_and_grad(true, pred)
    if box_plain.name == "iou":
        assert value == 1 and (grad == 0).all()
    else:
        assert value > 1 and grad[0, 0] + grad[0, 2] > 0 and grad[0, 1] + grad[0, 3] > 0


def test_a_nan_stays_in_its_pair(box_plain, dtype):
    true, pred = box_operands(box_plain, 600, dtype)
    want = box_plain.value_and_grad(true, pred, reduction="none")
    for k, bad in itertools.product(range(4), (np.nan, np.inf, -np.inf)):
        for which in (0, 1):
            struck = [true.copy(), pred.copy()]
            struck[which][300, k] = bad
            value, grad = box_plain.value_and_grad(*struck, reduction="none")
            assert np.isnan(value[300]) or not np.isnan(bad)
            kept = np.arange(600) != 300
            np.testing.assert_array_equal(value[kept], want[0][kept])
            np.testing.assert_array_equal(grad[kept], want[1][kept])


def test_formats_are_the_same_boxes(box_plain):
    true, pred = box_operands(box_plain, 50)
    want, by_edges = box_plain.value_and_grad(true, pred, reduction="none")
    for name in FORMATS:
        a, b = in_format(true, name), in_format(pred, name)
        value, grad = box_plain.value_and_grad(a, b, reduction="none", format=name)
        np.testing.assert_allclose(value, want, rtol=1e-12, atol=1e-14)
        step = 1.0
        for k in range(4):
            up = b.copy()
            up[:, k] += step
            moved = np.stack(edges(up.T, name), axis=-1) - np.stack(edges(b.T, name), axis=-1)
            np.testing.assert_allclose(grad[:, k], (by_edges * moved).sum(axis=1), rtol=1e-12, atol=1e-12)


def test_there_is_no_hessian(box_plain):
    true, pred = box_operands(box_plain, 5)
    for method in ("hess", "grad_and_hess", "value_grad_hess"):
        with pytest.raises(NotImplementedError, match=rf"{box_plain.name} has no Hessian: .*minima"):
            getattr(box_plain, method)(true, pred)


def test_boxes_have_names_of_their_own(box_plain):
    true, pred = box_operands(box_plain, 5)
    want = box_plain(true, pred)
    assert box_plain(boxes_true=true, boxes_pred=pred) == want == box_plain(true, boxes_pred=pred)
    assert lf.value_and_grad(box_plain, true, pred)[0] == want


def test_an_accumulator_of_batches_is_the_mean_of_all(box_loss):
    rng = np.random.default_rng(0)
    true, pred = box_operands(box_loss, 90)
    w = rng.uniform(0.5, 2, 90)
    parts = [box_loss.accumulator() for _ in range(2)]
    for i, cut in enumerate((slice(0, 20), slice(20, 77), slice(77, 90))):
        parts[i % 2].update(true[cut], pred[cut], sample_weight=w[cut])
    parts[0].merge(parts[1])
    assert parts[0].result().mean == pytest.approx(box_loss(true, pred, sample_weight=w), rel=1e-14)
    assert parts[0].result().count == 90
