"""The losses of masks against their specifications and definitions, and the promise of equal bits, naming no loss."""

import itertools
import tracemalloc

import numpy as np
import pytest
from conftest import LEVELS
from hypothesis import given, settings
from hypothesis import strategies as st
from operands import TARGET_DTYPES, assert_same_bits, dtype_of
from regions import BY_CLASS, BY_SAMPLE, CLASSES, KINDS, Region, assert_near, region_operands

import lossfast as lf
from lossfast import _region
from lossfast._numpy_region import NumpyRegionKernel

REDUCTIONS = ("mean", "sum", "none", "sample", "sum_over_batch_size", "batchmean")
SHAPES = [(2, 7, CLASSES), (1, 63, 2), (3, 64, 1), (2, 65, 5), (2, 40, 40, 3), (1, 1100, 17), (2, 3, 70), (1, 300, 1)]
BIG = (2, 100, 90, 4)  # several stretches and segments


def changes(loss):
    """Options in turn, with those that a call may not go without."""
    yield {}
    yield {"class_weight": np.array([0.5, 2.0, 0.0])[:CLASSES]}
    yield {"class_weight": np.array([0.5, 2.0, 1.0])[:CLASSES], "include_background": False}


@pytest.fixture
def specification(monkeypatch):
    """A call by the NumPy specification."""

    def call(loss, *args, **kwargs):
        with monkeypatch.context() as patch:
            patch.setattr(_region, "_region_kernel", NumpyRegionKernel)
            return loss.value_and_grad(*args, **kwargs)

    return call


# --- Values -------------------------------------------------------------------------------------------------------


def test_kernel_is_the_specification(region_loss, isa, dtype, specification):
    for shape, kind in itertools.product(SHAPES, KINDS):
        one = shape[-1] == 1
        if one and (region_loss.get_params()["activation"] == "softmax" or kind == "labels"):
            continue
        if one and not region_loss.get_params()["include_background"]:
            continue
        target, pred = region_operands(region_loss, shape, dtype, kind=kind)
        for options in ({}, {"ignore_index": 1}) if kind != "soft" else ({},):
            value, grad = region_loss.value_and_grad(target, pred, reduction="none", **options)
            assert value.dtype == grad.dtype == dtype and grad.shape == shape
            want = specification(region_loss, target, pred.astype(np.float64), reduction="none",
                                 **options, **exact_smooth(region_loss, dtype))  # fmt: skip
            assert_near(value, want[0], dtype)
            assert_near(grad, want[1], dtype, scale=4)


def exact_smooth(loss, dtype):
    """The smoothing of another arithmetic."""
    eps = float(np.finfo(dtype).eps)
    return {"smooth": tuple(eps if x is None else x for x in loss.get_params()["smooth"])}


def test_values_and_gradients_are_those_of_the_definition(region_loss):
    rng = np.random.default_rng(1)
    over = region_loss.get_params()["reduce_over"]
    for kind, options in itertools.product(KINDS, changes(region_loss)):
        target, pred = region_operands(region_loss, (2, 2, 3, CLASSES), kind=kind)
        for weight in (None, rng.uniform(0.5, 2, 2) if over == "sample" else 0.5):
            kwargs = {**options, "sample_weight": weight}
            want = Region(region_loss, target, pred, **kwargs)
            for reduction in REDUCTIONS:
                if reduction in ("sample", "batchmean") and not want.w.ndim:
                    continue
                value, grad = region_loss.value_and_grad(target, pred, reduction=reduction, **kwargs)
                assert type(value) is (np.ndarray if reduction in ("none", "sample") else float)
                assert_near(value, want.reduced(reduction), np.float64)
                assert_near(grad, want.gradient(reduction), np.float64)


def test_the_definition_covers_the_losses_of_masks(region_plain):
    assert region_plain.name in BY_CLASS + BY_SAMPLE


@st.composite
def calls(draw):
    """A shape, its class axis, how both operands lie in memory, their dtypes and the options."""
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
    return {
        "shape": tuple(shape),
        "axis": draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1))),
        "dtype": draw(st.sampled_from(["float16", "float32", "float64"])),
        "reverse": draw(st.booleans()),
        "order": draw(st.sampled_from("CF")),
        "step": draw(st.integers(1, 3)),
        "kind": draw(st.sampled_from(KINDS)),
        "target_dtype": draw(st.sampled_from(["int8", "uint16", "int64", "float32"])),
        "keep_axis": draw(st.booleans()),
        "ignore": draw(st.sampled_from([None, -1, 0, 100])),
        "weight": draw(st.booleans()),
        "weighted": draw(st.booleans()),
        "reduction": draw(st.sampled_from(REDUCTIONS)),
        "activation": draw(st.sampled_from([None, "sigmoid", "softmax"])),
        "reduce_over": draw(st.sampled_from(["sample", "batch", "all"])),
        "smooth": draw(st.sampled_from([(0.0, None), 1.0, (0.0, 0.5)])),
        "squared": draw(st.booleans()),
        "background": draw(st.booleans()),
        "empty": draw(st.sampled_from(["zero", "one", "skip"])),
        "seed": draw(st.integers(0, 99)),
    }


@settings(deadline=None, max_examples=40, derandomize=True)
@given(call=calls())
def test_any_shape_axis_dtype_stride_and_option(region_plain, call):
    rng, axis, shape = np.random.default_rng(call["seed"]), call["axis"], call["shape"]
    classes = 1 if axis is None else shape[axis]
    if classes == 1 and (call["activation"] == "softmax" or not call["background"]):
        return
    kind = "masks" if classes == 1 and call["kind"] == "labels" else call["kind"]
    options = {k: call[k] for k in ("activation", "reduce_over", "smooth", "squared", "empty")}
    for k in ("activation", "reduce_over"):
        if options[k] not in (*region_plain.declaration.params[k].choices, region_plain.get_params()[k]):
            del options[k]  # not one of this loss
    if classes == 1 and options.get("activation", region_plain.get_params()["activation"]) == "softmax":
        return
    loss = type(region_plain)(axis=axis, **options, include_background=call["background"])
    rest = shape if axis is None else np.delete(shape, axis).tolist()
    target, pred = region_operands(loss, (*rest, classes), np.dtype(call["dtype"]), call["seed"], kind)
    pred = pred[..., 0] if axis is None else np.moveaxis(pred, -1, axis)
    pred = np.asarray(np.repeat(pred, call["step"], axis=0), order=call["order"])[:: call["step"]]
    if call["reverse"]:
        pred = pred[::-1].copy()[::-1]
    kwargs = {}
    if call["ignore"] is not None and kind != "soft":
        kwargs["ignore_index"] = abs(call["ignore"]) if call["target_dtype"] == "uint16" else call["ignore"]
        target = np.where(rng.uniform(size=target.shape) < 0.4, kwargs["ignore_index"], target.astype(np.int64))
    if kind == "labels":
        given = target = np.asarray(target).astype(call["target_dtype"])
        if call["keep_axis"]:
            given = np.expand_dims(target, axis)
    else:
        target = target[..., 0] if axis is None else np.moveaxis(target, -1, axis)
        given = target = target.astype(call["target_dtype"]) if kind == "masks" else target
    if call["weighted"] and axis is not None:
        kwargs["class_weight"] = rng.uniform(0.1, 2, classes)
    if call["weight"]:
        samples = loss.get_params()["reduce_over"] == "sample" and len(rest) > 0
        kwargs["sample_weight"] = rng.uniform(0.5, 2, rest[:1]) if samples else 0.75
    by_definition = Region(loss, target, pred, **kwargs)
    reduction = call["reduction"]
    if reduction in ("sample", "batchmean") and by_definition.w.ndim == 0:
        return
    value, grad = loss.value_and_grad(given, pred, reduction=reduction, grad_dtype=np.float64, **kwargs)
    dtype = np.float32 if call["dtype"] == "float16" else call["dtype"]
    assert_near(value, by_definition.reduced(reduction), dtype)
    if np.size(pred) <= 60:
        assert_near(grad, by_definition.gradient(reduction), dtype, scale=4)


# --- Equal bits ---------------------------------------------------------------------------------------------------


def big_operands(loss, dtype, kind):
    target, pred = region_operands(loss, BIG, dtype, kind=kind)
    return target, pred, {"reduction": "none", "ignore_index": 2 if kind != "soft" else None}


@pytest.mark.compiled
@pytest.mark.parametrize("kind", KINDS)
def test_bits_do_not_depend_on_threads_outputs_layout_or_dtype(region_path, dtype, kind):
    target, pred, options = big_operands(region_path, dtype, kind)
    want = region_path.value_and_grad(target, pred, n_threads=1, **options)
    for n in (2, 3, 7):
        assert_same_bits(region_path.value_and_grad(target, pred, n_threads=n, **options), want)
    assert_same_bits(region_path(target, pred, **options), want[0])
    assert_same_bits(region_path.grad(target, pred, **options), want[1])
    out = np.empty_like(want[0]), np.empty_like(want[1])
    got = region_path.value_and_grad(target, pred, out=out, **options)
    assert got[0] is out[0] and got[1] is out[1]
    assert_same_bits(got, want)
    same = pred.copy()
    assert_same_bits(region_path.value_and_grad(target, same, out=(None, same), **options), want)
    first = np.moveaxis(pred, -1, 1)
    for axis, view in ((1, np.ascontiguousarray(first)), (1, first), (3, np.asfortranarray(pred)), (0, pred.T)):
        if axis == 0:  # samples last
            turned = target.T if kind != "labels" else np.moveaxis(target.T, -1, 0)
            if kind == "labels":
                view = np.moveaxis(pred, (-1, 0), (0, 1))
                turned, place = target, lambda g: np.moveaxis(g, (0, 1), (-1, 0))
            else:
                view, turned = np.moveaxis(pred, (-1, 0), (0, 1)), np.moveaxis(target, (-1, 0), (0, 1))
                place = lambda g: np.moveaxis(g, (0, 1), (-1, 0))  # noqa: E731
        else:
            turned = target if kind == "labels" or axis == 3 else np.moveaxis(target, -1, 1)
            place = (lambda g: g) if axis == 3 else (lambda g: np.moveaxis(g, 1, -1))
        value, grad = region_path.value_and_grad(turned, view, axis=axis, **options)
        assert_same_bits((value, np.ascontiguousarray(place(grad))), want)


@pytest.mark.compiled
def test_bits_do_not_depend_on_the_dtype_of_targets(region_plain):
    for kind in ("masks", "labels"):
        target, pred = region_operands(region_plain, (2, 130, CLASSES), np.float32, kind=kind)
        want = region_plain.value_and_grad(target, pred)
        for name in TARGET_DTYPES:
            if kind == "labels" and name == "bool":
                continue
            assert_same_bits(region_plain.value_and_grad(target.astype(dtype_of(name)), pred), want)


@pytest.mark.compiled
def test_labels_are_masks_that_are_never_made(region_path, dtype):
    labels, pred = region_operands(region_path, BIG, dtype, kind="labels")
    masks = labels[..., None] == np.arange(BIG[-1])
    assert_same_bits(region_path.value_and_grad(labels, pred), region_path.value_and_grad(masks, pred))


@pytest.mark.compiled
@pytest.mark.skipif(not {"avx2", "avx512"} <= set(LEVELS), reason="one instruction set with FMA")
def test_bits_do_not_depend_on_the_instruction_set(region_loss, dtype):
    for kind in KINDS:
        target, pred, options = big_operands(region_loss, dtype, kind)
        found = []
        for level in ("avx2", "avx512"):
            lf.set_isa(level)
            found.append(region_loss.value_and_grad(target, pred, **options))
        assert_same_bits(*found)


@pytest.mark.compiled
def test_half_precision_is_float32_arithmetic(region_path):
    for name in ("float16", "bfloat16"):
        target, pred = region_operands(region_path, (2, 200, CLASSES), np.float32)
        half = pred.astype(dtype_of(name))
        value, grad = region_path.value_and_grad(target, half)
        want = region_path.value_and_grad(target, half.astype(np.float32))
        assert value == want[0] and grad.dtype == half.dtype
        assert_same_bits(grad, want[1].astype(half.dtype))


# --- Meaning ------------------------------------------------------------------------------------------------------


def test_what_is_ignored_counts_for_nothing(region_path, dtype):
    rng = np.random.default_rng(2)
    labels, pred = region_operands(region_path, (2, 90, CLASSES), dtype, kind="labels")
    lost = rng.uniform(size=90) < 0.4
    marked = np.where(lost, -100, labels)
    wild = np.where(lost[:, None], np.array([np.nan, np.inf, -np.inf])[:CLASSES], pred).astype(dtype)
    value, grad = region_path.value_and_grad(marked, wild, ignore_class=-100, check=False)
    want = region_path.value_and_grad(labels[:, ~lost], pred[:, ~lost])
    assert_near(value, want[0], dtype)
    assert_near(grad[:, ~lost], want[1], dtype)
    assert (grad[:, lost] == 0).all()


def test_masks_may_mark_what_to_ignore():
    masks = np.array([[0, 1, 255, 1]], np.uint8)
    p = np.array([[0.25, 0.5, 0.75, 1.0]])
    value, grad = lf.dice.value_and_grad(masks, p, axis=None, ignore_index=255)
    want = lf.dice.value_and_grad(masks[:, [0, 1, 3]], p[:, [0, 1, 3]], axis=None)
    assert value == pytest.approx(want[0], rel=1e-15)
    assert grad[0, 2] == 0 and grad[:, [0, 1, 3]] == pytest.approx(want[1], rel=1e-15)


NOTHING, SOME = np.zeros((1, 4)), np.array([[0.0, 0.5, 0.25, 0.0]])


@pytest.mark.parametrize("empty, value", [("zero", 0.0), ("one", 1.0), ("skip", 0.0)])
def test_nothing_predicted_of_nothing(class_region, dtype, empty, value):
    for smooth in (0.0, 1.0, (0.0, None)):
        for masks in (NOTHING, NOTHING.astype(bool)):
            got = class_region.value_and_grad(masks, NOTHING.astype(dtype), axis=None, empty=empty, smooth=smooth)
            assert got[0] == value
            assert (got[1] == 0).all()


def test_something_predicted_of_nothing(class_region, dtype):
    p = SOME.astype(dtype)
    worst = np.log(np.cosh(1)) if class_region.name == "log_cosh_dice" else 1
    for empty in ("zero", "one"):
        value, grad = class_region.value_and_grad(NOTHING, p, axis=None, empty=empty)
        assert value == pytest.approx(worst, rel=1e-6) and (grad == 0).all()
    value, grad = class_region.value_and_grad(NOTHING, p, axis=None, empty="skip")
    assert value == 0 and (grad == 0).all()
    smooth, grad = class_region.value_and_grad(NOTHING, p, axis=None, smooth=1.0)
    assert 0 < smooth < 1 and (grad > 0).all()


def test_skipping_leaves_classes_out_of_the_mean(class_region):
    labels, p = region_operands(class_region, (2, 30, 4), kind="labels")
    labels[0][labels[0] == 3] = 1
    labels[1] = 2
    value, grad = class_region.value_and_grad(labels, p, empty="skip")
    each = class_region(labels, p, reduction="none", empty="zero")
    kept = [each[0, 0], each[0, 1], each[0, 2], each[1, 2]]
    assert value == pytest.approx(np.mean(kept), rel=1e-14)
    assert (grad[0, :, 3] == 0).all() and (grad[1][:, [0, 1, 3]] == 0).all() and (grad[1, :, 2] != 0).all()
    by_sample = class_region(labels, p, empty="skip", reduction="sample")
    assert by_sample == pytest.approx([np.mean(kept[:3]), kept[3]], rel=1e-14)


ABSENT = np.zeros((1, 4, 2))


@pytest.mark.parametrize(
    "name, empty, nothing, something",
    [("generalized_dice", "zero", 0.0, 1.0), ("generalized_dice", "one", 1.0, 1.0),
     ("generalized_dice", "skip", 0.0, 0.0), ("dice_crossentropy", "zero", 0.0, 1.0),
     ("dice_crossentropy", "one", 1.0, 1.0), ("dice_crossentropy", "skip", 0.0, 0.0),
     ("dice_focal", "zero", 0.0, 1.0), ("dice_focal", "one", 1.0, 1.0), ("dice_focal", "skip", 0.0, 0.0)],
)  # fmt: skip
def test_losses_of_samples_without_targets(name, empty, nothing, something):
    """Their Dice term, and the positions' loss beside it, which knows no empty masks."""
    loss = lf.get(name)
    if loss.declaration.pixel:
        loss = type(loss)(activation="sigmoid")
        for z, want in ((-np.inf, nothing), (0.0, something)):
            extra = 0.0 if z else np.log(2) / (1 if name == "dice_crossentropy" else 4)
            value, grad = loss.value_and_grad(ABSENT, np.full(ABSENT.shape, z), empty=empty)
            assert value == pytest.approx(want + extra, rel=1e-14)
            assert np.isfinite(grad).all()
        return
    for p, want in ((0.0, nothing), (0.5, something)):
        value, grad = loss.value_and_grad(ABSENT, np.full(ABSENT.shape, p), empty=empty)
        assert value == want
        assert (grad == 0).all()


def test_a_perfect_prediction_costs_nothing(class_region, dtype):
    for kind in ("masks", "labels"):
        target, _ = region_operands(class_region, (2, 50, CLASSES), kind=kind)
        masks = target if kind == "masks" else target[..., None] == np.arange(CLASSES)
        for smooth in (0.0, 1.0):
            assert class_region(target, masks.astype(dtype), smooth=smooth) == 0
    assert class_region(target, np.where(masks, 100, -100).astype(dtype), activation="softmax", smooth=0.0) == 0


def test_a_class_axis_of_one_may_be_left_out(class_region):
    target, pred = region_operands(class_region, (2, 5, 6, 1))
    want = class_region.value_and_grad(target, pred)
    got = class_region.value_and_grad(target[..., 0], pred)
    assert_same_bits(got, want)
    bare = class_region.value_and_grad(target[..., 0], pred[..., 0], axis=None)
    assert bare[0] == want[0]
    assert_same_bits(bare[1], want[1][..., 0])


# --- Hard numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_logits_beyond_measure(region_plain, dtype, activation):
    info = np.finfo(dtype)
    hard = [0.0, info.tiny, -info.tiny, 88.0, -104.0, 746.0, info.max, -info.max, np.inf, -np.inf]
    pred = np.array(hard * 3, dtype).reshape(1, 10, 3)
    pred = np.random.default_rng(0).permuted(pred, axis=1)
    target = np.random.default_rng(1).integers(0, 3, (1, 10))
    value, grad = region_plain.value_and_grad(target, pred, activation=activation, reduction="none", ignore_index=-1)
    undefined = np.isposinf(pred).sum(axis=-1) > 1 if activation == "softmax" else np.zeros((1, 10), bool)
    undefined |= np.isneginf(pred).all(axis=-1) & (activation == "softmax")
    assert np.isfinite(value).all() or undefined.any() or region_plain.declaration.pixel  # log 0
    assert np.isfinite(grad[~undefined]).all() or undefined.any()


@pytest.mark.parametrize("activation", [None, "sigmoid", "softmax"])
def test_a_nan_stays_in_its_item(class_region, dtype, activation):
    loss = type(class_region)(activation=activation)
    target, pred = region_operands(loss, (3, 70, CLASSES), dtype, kind="labels")
    want = loss.value_and_grad(target, pred, reduction="none")
    pred[1, 5, 2] = np.nan
    value, grad = loss.value_and_grad(target, pred, reduction="none")
    struck = np.zeros((3, CLASSES), bool)
    struck[1, 2] = True
    struck[1] |= activation == "softmax"
    assert np.isnan(value[struck]).all() and np.isnan(loss(target, pred))
    np.testing.assert_array_equal(value[~struck], want[0][~struck])
    for b, k in zip(*np.nonzero(~struck), strict=True):
        if not struck[b].any() or activation != "softmax":
            np.testing.assert_array_equal(grad[b, :, k], want[1][b, :, k])


def test_gradients_do_not_vanish_into_rounding():
    """Where a prediction is nearly certain its slope is still known to the last digits."""
    for activation in ("sigmoid", "softmax"):
        z = np.array([[[9.0, -9.0], [20.0, -20.0], [-12.0, 12.0]]])
        labels = np.array([[0, 0, 1]])
        want = lf.dice.grad(labels, z, activation=activation, smooth=1.0)
        got = lf.dice.grad(labels, z.astype(np.float32), activation=activation, smooth=1.0)
        np.testing.assert_allclose(got, want, rtol=3e-6)


def test_there_is_no_hessian(region_plain):
    target, pred = region_operands(region_plain, (2, 4, CLASSES))
    for method in ("hess", "grad_and_hess", "value_grad_hess"):
        with pytest.raises(NotImplementedError, match=rf"{region_plain.name} has no Hessian: .*diagonal"):
            getattr(region_plain, method)(target, pred)


# --- Streams and memory -------------------------------------------------------------------------------------------


def test_an_accumulator_of_batches_is_the_mean_of_all(region_loss):
    rng = np.random.default_rng(0)
    if region_loss.get_params()["reduce_over"] != "sample":
        return
    target, pred = region_operands(region_loss, (9, 20, CLASSES), kind="labels")
    w = rng.uniform(0.5, 2, 9)
    want = region_loss(target, pred, sample_weight=w)
    parts = [region_loss.accumulator() for _ in range(2)]
    for i, cut in enumerate((slice(0, 2), slice(2, 7), slice(7, 9))):
        parts[i % 2].update(target[cut], pred[cut], sample_weight=w[cut])
    parts[0].merge(parts[1])
    assert parts[0].result().mean == pytest.approx(want, rel=1e-14)


def test_an_accumulator_weighs_classes_as_a_call_does(class_region):
    target, pred = region_operands(class_region, (4, 20, CLASSES), kind="labels")
    target[0] = 1  # no other class counts there
    for weights in ([0.5, 2.0, 0.25], [0.5, 0.0, 0.25]):
        loss = type(class_region)(class_weight=weights, empty="skip")
        accumulator = loss.accumulator()
        accumulator.update(target[:1], pred[:1])
        accumulator.update(target[1:], pred[1:])
        assert accumulator.result().mean == pytest.approx(loss(target, pred), rel=1e-14)
    assert type(accumulator).from_state(accumulator.state()) == accumulator


@pytest.mark.compiled
@pytest.mark.parametrize("activation", [None, "sigmoid", "softmax"])
@pytest.mark.parametrize("axis", [1, -1])
def test_memory_does_not_grow_with_the_volume(activation, axis):
    peaks = []
    for side in (64, 256):
        rng = np.random.default_rng(0)
        z = rng.uniform(0, 1, (2, 4, side, side)).astype(np.float32)
        z = np.ascontiguousarray(np.moveaxis(z, 1, axis))
        labels, grad = rng.integers(0, 4, (2, side, side)).astype(np.uint8), np.empty_like(z)
        for target in (labels, (z > 0.5).astype(np.uint8)):
            lf.dice.value_and_grad(target, z, axis=axis, activation=activation, out=(None, grad), n_threads=2)
            tracemalloc.start()
            lf.dice.value_and_grad(target, z, axis=axis, activation=activation, out=(None, grad), n_threads=2)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert max(peaks) - min(peaks) < 20_000 and max(peaks) < 2**20
