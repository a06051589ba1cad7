"""CTC: against the sum over all paths, its derivative, its posteriors, its reductions."""

import functools
import itertools
import math

import numpy as np
import pytest
from conftest import COMPILED
from hypothesis import given, settings
from hypothesis import strategies as st
from operands import assert_same_bits
from sequences import Paths, sequence_operands, softmax, trained

import lossfast as lf
from lossfast import _ctc, _numpy_sequence

MOST_FRAMES, MOST_LABELS, MOST_CLASSES = 6, 4, 4
SHAPES = list(itertools.product(range(MOST_FRAMES + 1), range(1, MOST_CLASSES + 1)))
REDUCTIONS = ("mean", "sum", "none", "target_mean", "sample", "sum_over_batch_size", "batchmean")


# --- By definition --------------------------------------------------------------------------------------------


def logits_of_many_kinds(rng, frames, classes):
    """Ordinary ones, equal ones, steep ones, ones far from 0, and ones of which some are impossible."""
    x = rng.normal(size=(5, frames, classes))
    x[1] = 0
    x[2] *= 8
    x[3] += 300
    x[4][rng.uniform(size=(frames, classes)) < 0.2] = -np.inf
    return x


def is_sum_over_paths(paths, blank, logits, from_logits):
    """Loss, gradient and posteriors of every string are those of all paths; returns how many there are."""
    labels, lengths = paths.padded()
    with np.errstate(invalid="ignore"):
        p = softmax(logits) if from_logits else np.exp(logits.astype(np.longdouble))
    nowhere = ~np.isfinite(logits).any(axis=1)
    p[nowhere] = 0
    total, visits = paths.likelihoods(p)
    with np.errstate(divide="ignore"):
        want = -np.log(total)
    repeated = np.broadcast_to(logits, (len(lengths), *logits.shape))
    options = {"blank": blank, "from_logits": from_logits, "reduction": "none"}
    value, grad, feasible = lf.ctc.value_and_grad(labels, repeated, lengths, **options, full_output=True)
    np.testing.assert_allclose(value, want.astype(np.float64), rtol=1e-13, atol=1e-14)
    np.testing.assert_array_equal(feasible, total > 0)
    slope = (p if from_logits else 0.0) - visits
    slope[total == 0] = 0
    rounding = 2e-14 + 5e-16 * float(np.abs(want[total > 0]).max(initial=0))  # of logarithms of that size
    np.testing.assert_allclose(grad, slope.astype(np.float64), rtol=0, atol=rounding)
    states = lf.ctc_posteriors(labels, repeated, lengths, blank=blank, from_logits=from_logits)
    occupied = np.zeros(grad.shape)
    occupied[..., blank] = states[..., ::2].sum(axis=-1)
    for k in range(labels.shape[1]):
        within = np.flatnonzero(lengths > k)
        occupied[within, :, labels[within, k]] += states[within, :, 2 * k + 1]
    np.testing.assert_allclose(occupied, np.where((total > 0)[:, None, None], visits, 0), rtol=0, atol=rounding)
    return len(lengths)


@pytest.mark.parametrize("frames, classes", SHAPES)
def test_it_is_the_sum_over_all_paths(frames, classes):
    rng = np.random.default_rng([frames, classes])
    for blank in range(classes):
        paths = Paths(frames, classes, blank, MOST_LABELS)
        for logits in logits_of_many_kinds(rng, frames, classes):
            for from_logits in (True, False):
                is_sum_over_paths(paths, blank, logits, from_logits)


def test_there_are_enough_of_them():
    """All strings of up to four labels, for every blank and number of frames, five kinds of logits in two readings."""
    strings = sum(classes * sum((classes - 1) ** n for n in range(MOST_LABELS + 1)) for _, classes in SHAPES)
    assert strings * 5 * 2 >= 20_000


# --- Derivatives ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("from_logits", [True, False])
def test_the_gradient_is_that_of_differences(from_logits):
    """Of the logits, or of the log-probabilities, which need not be of sum 1."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (2, 7, 4))
    labels, lengths, frames = [[1, 1, 2], [3, 2, 9]], [3, 2], [7, 5]
    call = lf.CTC(from_logits=from_logits)
    weight = [0.7, 2.5]
    step = 1e-5
    for reduction in ("sum", "mean", "target_mean", "sum_over_batch_size"):
        options = {"label_lengths": lengths, "logit_lengths": frames, "reduction": reduction, "sample_weight": weight}
        grad = call.grad(labels, logits, **options)
        for at in np.ndindex(logits.shape):
            around = []
            for shift in (2 * step, step, -step, -2 * step):
                moved = logits.copy()
                moved[at] += shift
                around.append(call(labels, moved, **options))
            slope = (-around[0] + 8 * around[1] - 8 * around[2] + around[3]) / (12 * step)
            assert grad[at] == pytest.approx(slope, abs=2e-9)


def test_the_gradient_by_log_probabilities_is_true():
    """-occupation, where other libraries add the softmax: along a line of log-probabilities it is the derivative."""
    rng = np.random.default_rng(1)
    y = np.log(rng.dirichlet(np.ones(4), (1, 6)))
    direction = rng.normal(size=y.shape)
    value, grad = lf.ctc.value_and_grad([[1, 2]], y, from_logits=False)
    moved = lf.ctc([[1, 2]], y + 1e-7 * direction, from_logits=False)
    assert (moved - value) / 1e-7 == pytest.approx((grad * direction).sum(), rel=1e-6)
    np.testing.assert_allclose(grad.sum(axis=-1), -1, rtol=1e-13)
    softened = lf.ctc.grad([[1, 2]], y)
    np.testing.assert_allclose(softened, np.exp(y) + grad, rtol=0, atol=1e-14)


def test_a_hessian_is_refused_with_its_reason():
    labels, logits = sequence_operands(lf.ctc, 2)
    for method in ("hess", "grad_and_hess", "value_grad_hess"):
        with pytest.raises(NotImplementedError, match=r"^ctc has no Hessian: the diagonal p \(1 - p\) - q \(1 - q\)"):
            getattr(lf.ctc, method)(labels, logits)
    step = 1e-4
    q = softmax(logits) - lf.ctc.grad(labels, logits, reduction="sum")
    diagonal = softmax(logits) * (1 - softmax(logits)) - q * (1 - q)
    assert (diagonal < -0.01).any() and (diagonal > 0.01).any()
    for at in list(np.ndindex(logits.shape))[::7]:
        ends = []
        for sign in (1, -1):
            moved = logits.copy()
            moved[at] += sign * step
            ends.append(lf.ctc.grad(labels, moved, reduction="sum")[at])
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(float(diagonal[at]), abs=1e-6)


def test_gradients_of_a_frame_add_up_to_nothing(dtype):
    rng = np.random.default_rng(2)
    for frames, classes, most in ((40, 6, 8), (300, 29, 60), (1000, 5, 100)):
        logits = rng.normal(0, 4, (3, frames, classes)).astype(dtype)
        labels = rng.integers(1, classes, (3, most))
        grad = lf.ctc.grad(labels, logits, reduction="sum")
        assert np.abs(grad.sum(axis=-1, dtype=np.float64)).max() < (3e-6 if dtype == np.float32 else 1e-11)
        assert np.abs(grad).max() > 0.1


# --- Posteriors -----------------------------------------------------------------------------------------------


def test_posteriors_are_distributions_over_states(dtype):
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (4, 30, 6)).astype(dtype)
    labels, lengths, frames = rng.integers(1, 6, (4, 7)), [7, 0, 3, 5], [30, 12, 30, 1]
    found = lf.ctc_posteriors(labels, logits, lengths, frames)
    assert found.shape == (4, 30, 15) and found.dtype == dtype
    for i, (most, steps) in enumerate(zip(lengths, frames, strict=True)):
        possible = steps >= most
        np.testing.assert_allclose(found[i, :steps].sum(axis=-1), float(possible), atol=2e-6)
        assert (found[i, steps:] == 0).all() and (found[i, :, 2 * most + 1 :] == 0).all()
    by_frames = lf.ctc_posteriors(labels, logits.transpose(1, 0, 2), lengths, frames, time_major=True)
    assert_same_bits(by_frames, found.transpose(1, 0, 2))
    for i in range(4):
        alone = lf.ctc_posteriors(labels[i, : lengths[i]], logits[i], logit_lengths=frames[i])
        assert_same_bits(alone, found[i, :, : 2 * lengths[i] + 1])


def test_posteriors_from_concatenated_labels():
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(3, 9, 5))
    found = lf.ctc_posteriors([1, 2, 3, 4], logits, [1, 0, 3], n_threads=2)
    assert found.shape == (3, 9, 7)
    assert_same_bits(found, lf.ctc_posteriors([[1, 0, 0], [0, 0, 0], [2, 3, 4]], logits, [1, 0, 3]))


# --- Reductions and options -----------------------------------------------------------------------------------


LABELS, LENGTHS = np.array([[1, 2, 2, 3], [4, 0, 0, 0], [0, 0, 0, 0], [3, 3, 1, 0]]), [4, 1, 0, 3]
LOGITS = np.random.default_rng(5).normal(0, 2, (4, 8, 5))
WEIGHT = np.array([0.5, 2.0, 0.0, 1.25])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reductions(reduction, weighted):
    each = lf.ctc(LABELS, LOGITS, LENGTHS, reduction="none")
    slopes = lf.ctc.grad(LABELS, LOGITS, LENGTHS, reduction="none")
    w = WEIGHT if weighted else np.ones(4)
    factor = {
        "mean": w / w.sum(),
        "sum": w,
        "none": w,
        "target_mean": w / np.maximum(LENGTHS, 1) / w.sum(),
        "sample": (w > 0) * 1.0,
        "sum_over_batch_size": w / 4,
        "batchmean": w / 4,
    }[reduction]
    given = {"sample_weight": WEIGHT} if weighted else {}
    value, grad = lf.ctc.value_and_grad(LABELS, LOGITS, LENGTHS, reduction=reduction, **given)
    np.testing.assert_allclose(grad, factor[:, None, None] * slopes, rtol=1e-14)
    if reduction in ("none", "sample"):
        assert value.dtype == np.float64
        np.testing.assert_allclose(value, factor * each, rtol=1e-15)
    else:
        assert type(value) is float
        assert value == pytest.approx(math.fsum(factor * each), rel=1e-15)


def test_sums_are_rounded_once():
    rng = np.random.default_rng(6)
    logits = rng.normal(size=(500, 5, 4)).astype(np.float32)
    logits[::3] *= 1e4
    labels = rng.integers(1, 4, (500, 2))
    each = lf.ctc(labels, logits, reduction="none")
    assert lf.ctc(labels, logits, reduction="sum") == math.fsum(each)
    assert lf.ctc(labels, logits) == math.fsum(each) / 500
    order = rng.permutation(500)
    assert lf.ctc(labels[order], logits[order], reduction="sum") == math.fsum(each)


def test_weights_multiply():
    each = lf.ctc(LABELS, LOGITS, LENGTHS, reduction="none")
    assert lf.ctc(LABELS, LOGITS, LENGTHS, sample_weight=3.0, reduction="sum") == pytest.approx(3 * each.sum())
    assert lf.ctc(LABELS, LOGITS, LENGTHS, sample_weight=3.0) == pytest.approx(each.mean(), rel=1e-14)
    column = lf.ctc.grad(LABELS, LOGITS, LENGTHS, sample_weight=WEIGHT[:, None])
    assert_same_bits(column, lf.ctc.grad(LABELS, LOGITS, LENGTHS, sample_weight=WEIGHT))


@pytest.mark.parametrize("empty, want", [("zero", 0.0), ("nan", np.nan)])
def test_the_mean_of_nothing(empty, want):
    for labels, logits, weight in (
        (LABELS[:0], LOGITS[:0], None),
        (np.zeros(0, int), LOGITS[:0], None),
        (LABELS, LOGITS, np.zeros(4)),
    ):
        lengths = LENGTHS[: len(logits)]
        for reduction in ("mean", "target_mean"):
            options = {"sample_weight": weight, "reduction": reduction}
            value, grad = lf.ctc.value_and_grad(labels, logits, lengths, empty=empty, **options)
            np.testing.assert_equal(value, want)
            np.testing.assert_array_equal(grad, np.full(logits.shape, want))
            with pytest.raises(ValueError, match=f"reduction='{reduction}' of nothing"):
                lf.ctc(labels, logits, lengths, empty="raise", **options)
    assert lf.ctc(LABELS[:0], LOGITS[:0], reduction="sum") == 0.0
    assert lf.ctc(LABELS[:0], LOGITS[:0], reduction="none").shape == (0,)
    value, feasible = lf.ctc(LABELS[:0], LOGITS[:0], full_output=True)
    assert value == 0.0 and feasible.shape == (0,) and feasible.dtype == bool


def test_zero_infinity_leaves_out_what_is_impossible():
    logits = LOGITS[:, :4]
    plain, feasible = lf.ctc(LABELS, logits, LENGTHS, reduction="none", full_output=True)
    assert feasible.tolist() == [False, True, True, True] and plain[0] == np.inf
    zeroed, grad, same = lf.ctc.value_and_grad(
        LABELS, logits, LENGTHS, reduction="none", zero_infinity=True, full_output=True
    )
    assert zeroed.tolist() == [0.0, *plain[1:]] and same.tolist() == feasible.tolist()
    assert (grad[0] == 0).all() and (grad[1:] != 0).any(axis=(1, 2)).all()
    assert lf.ctc(LABELS, logits, LENGTHS) == np.inf
    assert lf.ctc(LABELS, logits, LENGTHS, zero_infinity=True) == math.fsum(plain[1:]) / 4
    for zero_infinity in (False, True):
        assert_same_bits(lf.ctc.grad(LABELS, logits, LENGTHS, reduction="none", zero_infinity=zero_infinity), grad)
    assert_same_bits(lf.ctc.grad(LABELS, logits, LENGTHS, reduction="none", full_output=True), (grad, feasible))


def test_one_sample_without_an_axis_for_it():
    labels, logits = [2, 2, 1], LOGITS[0]
    value, grad = lf.ctc.value_and_grad(labels, logits)
    batch_value, batch_grad = lf.ctc.value_and_grad([labels], logits[None])
    assert value == batch_value
    assert_same_bits(grad, batch_grad[0])
    assert lf.ctc(labels, logits, time_major=True) == value
    for form in (2, [2], np.uint8(2), np.array([2], np.int16)):
        assert lf.ctc(labels, logits, form, 6) == lf.ctc([[2, 2]], logits[None, :6])
    assert lf.ctc(labels, logits, logit_lengths=5) == lf.ctc(labels, logits[:5])
    each, feasible = lf.ctc(labels, logits, reduction="none", full_output=True)
    assert each.shape == feasible.shape == () and each == value and feasible
    assert lf.ctc(labels, logits, sample_weight=3.0, reduction="sum") == 3 * value
    assert lf.ctc(labels, logits, sample_weight=3.0, reduction="none") == 3 * value
    assert lf.ctc(labels, logits[:2], zero_infinity=True, sample_weight=2) == 0.0
    assert lf.ctc(labels, logits, reduction="target_mean") == pytest.approx(value / 3, rel=1e-15)
    with pytest.raises(ValueError, match="needs an array with a first axis"):
        lf.ctc(labels, logits, reduction="batchmean")


def test_a_class_and_a_frozen_blank():
    loss = lf.CTC(blank=4, time_major=True)
    assert repr(loss) == "CTC(blank=4, time_major=True, from_logits=True, zero_infinity=False)"
    logits = LOGITS.transpose(1, 0, 2)
    assert loss([[1], [2], [3], [0]], logits) == lf.ctc([[1], [2], [3], [0]], LOGITS, blank=4)
    assert loss([[1], [2], [3], [3]], logits, blank=0) == lf.ctc([[1], [2], [3], [3]], LOGITS)
    assert lf.get("CTCLoss") is lf.get("ctc_loss") is lf.get("CTC") is lf.ctc
    assert lf.get({"class_name": "CTC", "config": {"blank": 4, "time_major": True}}) == loss


def test_a_permutation_of_the_classes_changes_nothing():
    rng = np.random.default_rng(7)
    logits = rng.normal(size=(3, 20, 6))
    labels = rng.integers(1, 6, (3, 5))
    value, grad = lf.ctc.value_and_grad(labels, logits)
    order = rng.permutation(6)
    place = np.argsort(order)
    moved, moved_grad = lf.ctc.value_and_grad(place[labels], logits[..., order], blank=place[0])
    assert moved == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(moved_grad, grad[..., order], rtol=0, atol=1e-14)


def test_time_and_labels_reversed_give_the_same_likelihood():
    rng = np.random.default_rng(8)
    logits = rng.normal(0, 3, (3, 40, 6))
    labels = rng.integers(1, 6, (3, 9))
    value, grad = lf.ctc.value_and_grad(labels, logits)
    back, back_grad = lf.ctc.value_and_grad(labels[:, ::-1], logits[:, ::-1])
    assert back == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(back_grad[:, ::-1], grad, rtol=0, atol=1e-13)


# --- Streams --------------------------------------------------------------------------------------------------


def test_accumulators_take_samples():
    each = lf.ctc(LABELS, LOGITS, LENGTHS, reduction="none")
    whole = lf.ctc.accumulator()
    whole.update(LABELS, LOGITS, label_lengths=LENGTHS, sample_weight=WEIGHT)
    assert whole.result().mean == pytest.approx((WEIGHT * each).sum() / WEIGHT.sum(), rel=1e-15)
    assert whole.result().count == 4 and whole.result().max == each.max()
    parts = lf.ctc.accumulator()
    parts.update(LABELS[2:], LOGITS[2:], LENGTHS[2:], sample_weight=WEIGHT[2:])
    parts.update(labels=LABELS[:2], logits=LOGITS[:2], label_lengths=LENGTHS[:2], sample_weight=WEIGHT[:2])
    assert parts == whole
    assert lf.Accumulator.from_state(whole.state()) == whole
    broken = lf.CTC(zero_infinity=False).accumulator()
    broken.update(LABELS, LOGITS[:, :4], LENGTHS)
    assert broken.result().nonfinite == 1 and broken.result().mean == np.inf
    before = whole.state()
    with pytest.raises(ValueError, match=r"labels\[0, 0\] is 5"):
        whole.update([[5]], LOGITS[:1])
    with pytest.raises(TypeError, match="misses logits"):
        whole.update([[5]])
    with pytest.raises(TypeError, match="unexpected keyword 'check'"):
        whole.update(LABELS, LOGITS, LENGTHS, check=False)
    assert whole.state() == before


# --- Against the specification --------------------------------------------------------------------------------


@st.composite
def calls(draw):
    """Operands of any shape, with lengths, in any form."""
    samples, frames, classes = draw(st.integers(0, 5)), draw(st.integers(0, 12)), draw(st.integers(1, 6))
    most = draw(st.integers(0, 5 if classes > 1 else 0))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    blank = draw(st.integers(0, classes - 1))
    symbols = [k for k in range(classes) if k != blank]
    labels = rng.choice(symbols, (samples, most)) if symbols else np.zeros((samples, 0), int)
    logits = rng.normal(0, draw(st.sampled_from([0.1, 2.0, 40.0])), (samples, frames, classes))
    logits[rng.uniform(size=logits.shape) < draw(st.sampled_from([0.0, 0.1]))] = -np.inf
    label_lengths = rng.integers(0, most + 1, samples) if draw(st.booleans()) else None
    logit_lengths = rng.integers(0, frames + 1, samples) if draw(st.booleans()) else None
    if label_lengths is not None and draw(st.booleans()):
        labels = np.concatenate([row[:n] for row, n in zip(labels, label_lengths, strict=True)] or [labels.ravel()])
    labels = labels.astype(draw(st.sampled_from([np.int8, np.uint8, np.int32, np.int64, np.uint64])))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    options = {"blank": blank, "from_logits": draw(st.booleans()), "zero_infinity": draw(st.booleans())}
    return labels, logits.astype(dtype), label_lengths, logit_lengths, options


@settings(deadline=None, max_examples=300, derandomize=True)
@given(calls(), st.sampled_from(REDUCTIONS), st.booleans())
def test_any_call_is_that_of_the_specification(call, reduction, weighted):
    labels, logits, label_lengths, logit_lengths, options = call
    weight = np.linspace(0.5, 2, len(logits)) if weighted else None
    operands = (labels, logits, label_lengths, logit_lengths)
    options = {**options, "reduction": reduction, "sample_weight": weight}
    value, grad = lf.ctc.value_and_grad(*operands, **options)
    wide = (labels, logits.astype(np.float64), label_lengths, logit_lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_ctc, "run", _numpy_sequence.ctc)
        want, slope = lf.ctc.value_and_grad(*wide, **options)
    single = logits.dtype == np.float32
    np.testing.assert_allclose(value, want, rtol=1e-6 if single else 1e-12, atol=1e-6 if single else 1e-13)
    scale = 1.0 if weight is None or reduction != "sum" else 2.0
    np.testing.assert_allclose(grad, slope, rtol=0, atol=(1e-5 if single else 1e-12) * scale)


# --- Accuracy of long sequences -------------------------------------------------------------------------------


def reference(labels, logits, **options):
    """Loss of each sample and gradient of the sum in float64 log space."""
    value, grad = np.empty(len(logits)), np.empty(logits.shape)
    log_probabilities = not options.get("from_logits", True)
    rows = (None, None, options.get("blank", 0), log_probabilities, None, value, grad, None, 1)
    _numpy_sequence.ctc(False, logits, labels, *rows)
    return value, grad


def long_cases():
    """(name, samples, frames, classes, labels) and how logits are made."""
    ordinary = lambda rng, shape: rng.normal(0, 1, shape)  # noqa: E731
    peaky = lambda rng, shape: rng.normal(0, 30, shape) + 30 * (np.arange(shape[-1]) == 0)  # noqa: E731
    yield "short", (32, 150, 29, 40), ordinary
    yield "speech", (2, 1600, 29, 200), ordinary
    yield "words", (2, 500, 1000, 50), ordinary
    yield "one", (1, 1000, 32, 120), ordinary
    yield "long", (2, 10_000, 32, 500), ordinary
    yield "peaky", (4, 400, 32, 40), peaky
    yield "long and peaky", (1, 10_000, 32, 500), peaky
    yield "characters", (64, 100, 37, 10), ordinary


LONG = {name: (shape, make) for name, shape, make in long_cases()}


@functools.cache  # the reference takes longer than all else here, and instruction sets share it
def long_case(name, dtype):
    """Labels, logits, and what reference says of them."""
    (samples, frames, classes, most), make = LONG[name]
    rng = np.random.default_rng([frames, classes])
    logits = make(rng, (samples, frames, classes)).astype(dtype)
    labels = rng.integers(1, classes, (samples, most))
    return labels, logits, *reference(labels, logits)


@functools.cache
def trained_case(frames, classes, most, about):
    """The same of a trained model."""
    labels, logits = trained(np.random.default_rng(frames), frames, 2, classes, most, about)
    return labels, logits, *reference(labels, logits)


def assert_accurate(labels, logits, want, slope):
    value, grad = lf.ctc.value_and_grad(labels, logits, reduction="none")
    np.testing.assert_allclose(value, want, rtol=1e-6)
    np.testing.assert_allclose(grad, slope, rtol=0, atol=1e-5)


@pytest.mark.compiled
@pytest.mark.parametrize("name", LONG)
def test_long_sequences_in_single_precision(name, isa):
    assert_accurate(*long_case(name, np.float32))


@pytest.mark.compiled
@pytest.mark.parametrize("about", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("frames, classes, most", [(200, 29, 30), (1600, 29, 200), (10_000, 32, 500)])
def test_small_losses_of_trained_models(frames, classes, most, about, isa):
    labels, logits, want, slope = trained_case(frames, classes, most, about)
    assert_accurate(labels, logits, want, slope)
    assert (want > about / 5).all() and (want < about * 5).all()


@pytest.mark.compiled
@pytest.mark.parametrize("name", LONG)
def test_long_sequences_in_double_precision(name):
    labels, logits, want, slope = long_case(name, np.float64)
    value, grad = lf.ctc.value_and_grad(labels, logits, reduction="none")
    np.testing.assert_allclose(value, want, rtol=1e-12)
    np.testing.assert_allclose(grad, slope, rtol=0, atol=1e-15 * np.abs(want).max() * 100)  # what log space gives


@pytest.mark.skipif(COMPILED, reason="the compiled core has its own tests")
def test_a_long_sequence_on_the_specification():
    rng = np.random.default_rng(9)
    logits = rng.normal(size=(1, 800, 20)).astype(np.float32)
    value, grad = lf.ctc.value_and_grad(rng.integers(1, 20, (1, 100)), logits)
    assert 1000 < value < 3000 and np.abs(grad.sum(axis=-1)).max() < 1e-6
