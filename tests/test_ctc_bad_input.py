"""CTC with bad input: an error that names the argument, the position and the value, and nothing written."""

import re

import numpy as np
import pytest
from conftest import COMPILED

import lossfast as lf
from lossfast import _ctc
from lossfast._errors import DomainError

N, T, C, S = 3, 6, 5, 2
LABELS = np.array([[1, 2], [3, 4], [2, 1]])
LOGITS = np.random.default_rng(0).normal(size=(N, T, C)).astype(np.float32)


def refused(error, words, labels=LABELS, logits=LOGITS, *lengths, **options):
    """By the loss, its gradient and its posteriors; nothing is written."""
    with pytest.raises(error, match=words):
        lf.ctc(labels, logits, *lengths, **options)
    out = np.full(np.shape(logits) or 1, 7.0)
    with pytest.raises(error, match=words):
        lf.ctc.value_and_grad(labels, logits, *lengths, **options, out=(None, out))
    assert (out == 7).all()
    if set(options) <= {"blank", "time_major", "from_logits", "n_threads"}:
        with pytest.raises(error, match=words):
            lf.ctc_posteriors(labels, logits, *lengths, **options)


# --- Labels ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [C, C + 1, -1, -100, 2**40, -(2**40), 2**32 + 1, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("at", [(0, 0), (1, 1), (2, 0)])
def test_labels_that_are_no_class(label, at):
    labels = LABELS.astype(np.int64)
    labels[at] = label
    refused(
        ValueError, rf"^labels\[{at[0]}, {at[1]}\] is {label}, expected a class in \[0, 5\) other than blank$", labels
    )
    flat = labels.ravel()
    where = at[0] * S + at[1]
    refused(ValueError, rf"^labels\[{where}\] is {label}, expected a class", flat, LOGITS, [2, 2, 2])
    refused(ValueError, rf"^labels\[{at[1]}\] is {label}, expected a class", labels[at[0]], LOGITS[at[0]])


@pytest.mark.parametrize("kind, label", [("uint64", 2**64 - 1), ("uint64", 2**63), ("uint8", 255), ("int8", -128)])
def test_labels_at_the_ends_of_their_dtype(kind, label):
    labels = LABELS.astype(kind)
    labels[1, 0] = label
    refused(ValueError, rf"^labels\[1, 0\] is {label}, expected", labels)


def test_the_first_bad_label_is_named():
    labels = LABELS.copy()
    labels[1, 1] = labels[2, 0] = 9
    for threads in (1, 2, 7):
        refused(ValueError, r"^labels\[1, 1\] is 9", labels, n_threads=threads)


@pytest.mark.parametrize("blank", range(C))
def test_blank_among_the_labels(blank):
    labels = np.array([[(blank + 1) % C] * 2] * N)
    lf.ctc(labels, LOGITS, blank=blank)
    labels[2, 1] = blank
    words = rf"^labels\[2, 1\] is {blank}, which is blank, expected a class .* \(label_lengths says where .* begins\)$"
    refused(ValueError, words, labels, blank=blank)
    assert np.isfinite(lf.ctc(labels, LOGITS, [2, 2, 1], blank=blank))


def test_bad_labels_of_impossible_samples():
    """They are refused all the same, and those beyond the lengths are not looked at."""
    labels = np.full((N, 40), C + 3)
    refused(ValueError, r"^labels\[0, 0\] is 8", labels)
    refused(ValueError, r"^labels\[1, 2\] is 8", np.where(np.arange(40) < 2, 1, labels), LOGITS, [2, 3, 2])
    refused(ValueError, r"^labels\[0, 0\] is 8", labels, LOGITS, None, [0, 0, 0])
    assert np.isfinite(lf.ctc(np.where(np.arange(40) < 2, 1, labels), LOGITS, [2, 2, 0]))


@pytest.mark.parametrize(
    "wrong", [LABELS.astype(float), LABELS.astype(np.float32), LABELS > 2, [[1.0], [2.0], [np.nan]]]
)
def test_labels_that_are_no_integers(wrong):
    refused(TypeError, r"^labels has dtype (float|bool)\d*, expected integers: convert them with astype\(int\)$", wrong)


def test_labels_that_are_no_numbers():
    for wrong in (LABELS.astype(str), LABELS.astype(complex), LABELS.astype("M8[s]"), [["a"], ["b"], ["c"]]):
        refused(TypeError, r"^labels has dtype", wrong)
    refused(ValueError, r"^labels\[1, 0\] is missing", [[1], [None], [2]])
    refused(ValueError, r"^labels\[0, 1\] is masked", np.ma.masked_equal(LABELS, 2))
    refused(ValueError, r"^labels are rows of different lengths, expected rows padded", [[1, 2], [1], [3]])


@pytest.mark.parametrize("shape", [(), (N - 1, S), (N + 1, S), (N, S, 1), (1, S), (0, S)])
def test_labels_of_a_wrong_shape(shape):
    words = rf"^labels has shape {re.escape(str(shape))} and logits \(3, 6, 5\), expected labels of shape \(3, labels\)"
    refused(ValueError, words, np.ones(shape, int))


def test_labels_one_after_another_need_lengths():
    flat = LABELS.ravel()
    refused(ValueError, r"^label_lengths is missing: labels has one axis", flat)
    for lengths, total in (([2, 2, 1], 5), ([2, 2, 3], 7), ([0, 0, 0], 0), ([6, 6, 6], 18)):
        refused(
            ValueError, rf"^label_lengths add up to {total}, expected 6, the number of labels$", flat, LOGITS, lengths
        )
    refused(ValueError, r"^label_lengths\[0\] is 7, expected an integer in \[0, 6\]", flat, LOGITS, [7, -1, 0])


# --- Lengths --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, most, what", [("label_lengths", S, "labels"), ("logit_lengths", T, "frames")])
def test_bad_lengths(name, most, what):
    good = np.full(N, most)
    for length in (most + 1, -1, 2**31, 2**62, -(2**63), -5_570_000_000_000_000_000):
        lengths = good.astype(np.int64)
        lengths[1] = length
        words = rf"^{name}\[1\] is {length}, expected an integer in \[0, {most}\], the number of {what}$"
        refused(ValueError, words, **{name: lengths})
    lengths = good.astype(np.uint64)
    lengths[2] = 2**64 - 1
    refused(ValueError, rf"^{name}\[2\] is {2**64 - 1}, expected", **{name: lengths})
    for wrong in (good.astype(float), good > 1, [0.5, 1, 1], [np.nan] * 3):
        refused(TypeError, rf"^{name} has dtype (float64|bool), expected integers", **{name: wrong})
    for wrong in (good.astype(str), good.astype(complex)):
        refused(TypeError, rf"^{name} has dtype", **{name: wrong})
    for wrong in (good[:2], good[:, None], np.append(good, 1), most, []):
        shape = re.escape(str(np.shape(wrong)))
        refused(ValueError, rf"^{name} has shape {shape}, expected \(3,\), a number for each sample$", **{name: wrong})
    one = {"labels": LABELS[0], "logits": LOGITS[0]}
    refused(ValueError, rf"^{name} is {most + 1}, expected an integer", **one, **{name: most + 1})
    refused(ValueError, rf"^{name}\[0\] is -1, expected an integer", **one, **{name: [-1]})
    refused(ValueError, rf"^{name} has shape \(2,\), expected \(\) or \(1,\)", **one, **{name: [1, 1]})


# --- Logits and options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (C,), (1, N, T, C)])
def test_logits_of_a_wrong_shape(shape):
    words = rf"^logits has shape {re.escape(str(shape))}, expected \(samples, frames, classes\), or \(frames, classes\)"
    refused(ValueError, words, logits=np.zeros(shape))
    with pytest.raises(ValueError, match=r"expected \(frames, samples, classes\)"):
        lf.ctc(LABELS, np.zeros(shape), time_major=True)


def test_logits_without_classes():
    for shape in ((N, T, 0), (0, T, 0), (N, 0, 0)):
        words = rf"^logits has shape {re.escape(str(shape))}, expected at least one class along the last axis: blank$"
        refused(ValueError, words, np.zeros((shape[0], 0), int), np.zeros(shape))


def test_logits_that_are_no_numbers():
    for wrong in (LOGITS.astype(str), LOGITS.astype(complex), LOGITS.astype(object), LOGITS.astype("m8[s]"), "logits"):
        refused(TypeError, r"^logits has dtype", logits=wrong)
    masked = np.ma.masked_greater(LOGITS, 0)
    refused(ValueError, r"^logits\[\d, \d, \d\] is masked", logits=masked)
    torch = pytest.importorskip("torch")
    refused(TypeError, r"^logits \(Tensor\) cannot be read", logits=torch.from_numpy(LOGITS).requires_grad_())


@pytest.mark.parametrize("blank", [C, C + 100, -1, -C, 2**62, -(2**62)])
def test_blank_that_is_no_class(blank):
    refused(ValueError, rf"^blank is {blank}, expected a class in \[0, 5\)$", blank=blank)


@pytest.mark.parametrize("blank", [True, 0.0, None, "0", [0], np.zeros(1, int)])
def test_blank_that_is_no_integer(blank):
    refused(TypeError, rf"^blank is {re.escape(repr(blank))}, expected an integer$", blank=blank)


@pytest.mark.parametrize("name", ["time_major", "from_logits", "zero_infinity", "full_output"])
def test_flags(name):
    for wrong in (1, 0, None, "yes", 1.0):
        with pytest.raises(TypeError, match=rf"^{name} is {wrong!r}, expected True or False$"):
            lf.ctc(LABELS, LOGITS, **{name: wrong})
    assert lf.ctc(LABELS, LOGITS.transpose(1, 0, 2), time_major=np.True_) == lf.ctc(LABELS, LOGITS)


def test_options():
    refused(ValueError, r"^reduction is 'avg', expected one of .*'target_mean'", reduction="avg")
    refused(ValueError, r"did you mean 'target_mean'", reduction="targetmean")
    refused(ValueError, r"^empty is 'none', expected one of", empty="none")
    refused(ValueError, r"^n_threads is 0", n_threads=0)
    refused(TypeError, r"^n_threads is 1.5", n_threads=1.5)
    for name in ("check", "hess", "ignore_index", "axis"):
        with pytest.raises(TypeError, match=rf"got an unexpected keyword '{name}'"):
            lf.ctc(LABELS, LOGITS, **{name: 1})
    with pytest.raises(TypeError, match="did you mean 'logit_lengths'"):
        lf.ctc(LABELS, LOGITS, logits_lengths=[1])
    with pytest.raises(TypeError, match="takes labels and logits and label_lengths and logit_lengths by position"):
        lf.ctc(LABELS, LOGITS, None, None, 0)
    with pytest.raises(TypeError, match="misses labels"):
        lf.ctc(logits=LOGITS)
    with pytest.raises(TypeError, match="got labels twice"):
        lf.ctc(LABELS, labels=LABELS, logits=LOGITS)
    for loss in (lf.mse, lf.scce):
        with pytest.raises(ValueError, match="reduction is 'target_mean'"):
            loss([0], [[1.0]] if loss is lf.scce else [1.0], reduction="target_mean")
        with pytest.raises(TypeError, match="unexpected keyword 'full_output'"):
            loss([0], [[1.0]] if loss is lf.scce else [1.0], full_output=True)


def test_weights():
    for at, weight in ((0, -1.0), (1, np.nan), (2, np.inf)):
        w = np.ones(N)
        w[at] = weight
        refused(ValueError, rf"^sample_weight\[{at}\] is {weight}, expected a finite number of at least 0$",
                sample_weight=w)  # fmt: skip
    refused(ValueError, r"^sample_weight is -2, expected", sample_weight=-2)
    for shape in ((2,), (N, T), (1, N)):
        refused(ValueError, r"^sample_weight has shape", sample_weight=np.ones(shape))
    refused(TypeError, r"^sample_weight has dtype", sample_weight=["a"] * N)


def test_outputs():
    good = np.empty_like(LOGITS)
    read_only = good.copy()
    read_only.flags.writeable = False
    shared = np.broadcast_to(np.float32(0), LOGITS.shape).copy()
    for wrong, error, words in (
        (good[1:], ValueError, r"^out \(grad\) has shape \(2, 6, 5\), expected \(3, 6, 5\)$"),
        (good.transpose(1, 0, 2), ValueError, "has shape"),
        (good.astype(int), TypeError, "has dtype int64"),
        (good.tolist(), TypeError, "is a list"),
        (read_only, ValueError, "is read-only"),
        (np.lib.stride_tricks.as_strided(shared, strides=(0, 20, 4)), ValueError, "share memory"),
    ):
        with pytest.raises(error, match=words):
            lf.ctc.grad(LABELS, LOGITS, out=wrong)
    memory = np.empty(2 * LOGITS.size, np.float32)
    x, y = (memory[k : k + LOGITS.size].reshape(LOGITS.shape) for k in (0, 7))
    x[...] = LOGITS
    with pytest.raises(ValueError, match=r"^out \(grad\) overlaps logits, expected memory of its own or exactly that"):
        lf.ctc.grad(LABELS, x, out=y)
    np.testing.assert_array_equal(x, LOGITS)
    weight = np.ones(N)
    with pytest.raises(ValueError, match=r"^out \(value\) overlaps sample_weight"):
        lf.ctc(LABELS, LOGITS, sample_weight=weight, reduction="none", out=weight)
    with pytest.raises(ValueError, match="out for the value must be None"):
        lf.ctc(LABELS, LOGITS, out=np.empty(3))
    with pytest.raises(TypeError, match="grad_dtype is int32"):
        lf.ctc.grad(LABELS, LOGITS, grad_dtype=np.int32)


# --- Sizes ----------------------------------------------------------------------------------------------------


def test_too_many_classes():
    wide = np.broadcast_to(np.float16(0), (1, 1, 2**20 + 1))
    refused(ValueError, r"^logits has 1048577 classes, expected at most 1048576$", [[1]], wide)
    assert lf.ctc([[1]], wide[..., 1:]) == pytest.approx(20 * np.log(2), rel=1e-6)


def test_too_many_frames():
    long = np.broadcast_to(np.float16(0), (1, 2**24 + 1, 2))
    refused(ValueError, r"^logits has 16777217 frames, expected at most 16777216$", [[1]], long)


@pytest.mark.parametrize("shape", [(1, 2**45, 3), (2**45, 1, 3), (1, 1, 2**45), (2**20, 2**20, 2**5)])
def test_logits_too_large_for_memory(shape):
    """Views of one number: the gradient of so many does not fit anywhere."""
    logits = np.broadcast_to(np.float32(0), shape)
    labels = np.broadcast_to(np.int64(1), (shape[0], 1))
    with pytest.raises((MemoryError, ValueError)):
        lf.ctc.grad(labels, logits)
    with pytest.raises((MemoryError, ValueError)):
        lf.ctc_posteriors(labels, logits)


def test_states_beyond_all_memory():
    for frames, most in ((2**24, 2**40), (2**20, 2**60)):
        logits = np.broadcast_to(np.float16(0), (1, frames, 1))
        labels = np.broadcast_to(np.int8(0), (1, most))
        with pytest.raises(ValueError, match=rf"{frames} frames and {most} labels have more states than memory has"):
            lf.ctc(labels, logits)


def test_lengths_that_overflow_together():
    labels = np.broadcast_to(np.int8(1), (2**62,))
    with pytest.raises(ValueError, match=f"label_lengths add up to {2**64}, expected {2**62}"):
        lf.ctc(labels, LOGITS[:1].repeat(4, axis=0), [2**62] * 4)


# --- The core itself ------------------------------------------------------------------------------------------


def run(labels=LABELS, logits=LOGITS, label_lengths=None, logit_lengths=None, blank=0):
    """The core without the checks before it; value, gradient and posteriors stay as they are."""
    outs = np.full(len(logits), 7.0), np.full(logits.shape, 7.0), np.full((*logits.shape[:2], 5), 7.0, np.float32)
    lengths = [None if x is None else np.array(x, np.int64) for x in (label_lengths, logit_lengths)]
    try:
        _ctc.run(True, logits, labels, *lengths, blank, False, None, *outs, 1)
    finally:
        assert all((x == 7).all() for x in outs)


@pytest.mark.parametrize("backend", ["numpy", pytest.param("c", marks=pytest.mark.compiled)])
@pytest.mark.parametrize(
    "operand, index, given",
    [
        ("label", 3, {"labels": np.array([[1, 2], [3, 5], [9, 1]])}),
        ("label", 4, {"labels": np.array([[1, 2], [3, 4], [0, 1]])}),
        ("label", 5, {"labels": np.array([1, 2, 3, 4, 1, -1]), "label_lengths": [2, 2, 2]}),
        ("label_length", 1, {"label_lengths": [2, 3, -1]}),
        ("label_length", 2, {"label_lengths": [2, 1, -1]}),
        ("logit_length", 0, {"logit_lengths": [7, 6, 6]}),
        ("logit_length", 2, {"logit_lengths": [0, 6, -(2**63)]}),
        ("label_lengths", 5, {"labels": np.ones(6, int), "label_lengths": [2, 2, 1]}),
    ],
)
def test_the_core_checks_for_itself(backend, operand, index, given, monkeypatch):
    """Those who call it from C have no Python before it."""
    if backend == "numpy" and COMPILED:
        from lossfast import _numpy_sequence

        monkeypatch.setattr(_ctc, "run", _numpy_sequence.ctc)
    with pytest.raises(DomainError) as error:
        run(**given)
    assert (error.value.operand, error.value.index) == (operand, index)
