"""Forced alignment: against all paths, the specification, and every bad input."""

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operands import dtype_of
from paths import assert_same, best_paths, layouts, log_softmax, spelled

import lossfast as lf
from lossfast import _numpy_decoding, decoding

RNG = np.random.default_rng(6)
DTYPES = ["float16", "bfloat16", "float32", "float64"]
SMALL = [(t, c) for t in range(6) for c in range(1, 5)]


def by_specification(*args, **kwargs):
    """The same call in NumPy."""
    before, decoding._search = decoding._search, _numpy_decoding
    try:
        return lf.ctc_align(*args, **kwargs)
    finally:
        decoding._search = before


def drawn(samples, frames, classes, labels, blank=0, dtype=np.float64, scale=3.0):
    """Logits, and labels other than blank."""
    z = (scale * RNG.normal(size=(samples, frames, classes))).astype(dtype)
    y = RNG.integers(0, classes - 1, (samples, labels))
    return y + (y >= blank), z


def assert_close(got, want, rtol=1e-12, atol=1e-13):
    """The same path, and close scores."""
    for name in ("path", "position", "start", "end"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name), err_msg=name)
    for name in ("frame_score", "score", "log_probability"):
        np.testing.assert_allclose(getattr(got, name), getattr(want, name), rtol, atol, err_msg=name)


def assert_consistent(found, labels, lengths, frames, log_p, blank):
    """What the fields say of each other, in one sample."""
    path, position = found.path[:frames], found.position[:frames]
    labels = labels[:lengths]
    assert spelled(tuple(path.tolist()), blank) == tuple(labels.tolist())
    assert (found.path[frames:] == -1).all() and (found.position[frames:] == -2).all()
    assert np.isnan(found.frame_score[frames:]).all() and np.isnan(found.score[lengths:]).all()
    assert (found.start[lengths:] == -1).all() and (found.end[lengths:] == -1).all()
    np.testing.assert_array_equal(path, np.where(position < 0, blank, labels[position] if lengths else blank))
    np.testing.assert_allclose(found.frame_score[:frames], log_p[np.arange(frames), path], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.log_probability, found.frame_score[:frames].sum(), rtol=1e-12, atol=1e-12)
    for k in range(lengths):
        here = np.flatnonzero(position == k)
        assert (found.start[k], found.end[k]) == (here[0], here[-1] + 1) and len(here) == here[-1] + 1 - here[0]
        np.testing.assert_allclose(found.score[k], found.frame_score[here].mean(), rtol=1e-13)


# --- All paths ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("frames, classes", SMALL)
def test_it_is_the_best_of_all_paths(frames, classes, from_logits):
    """Every labelling of up to one label more than there are frames, with each class as the blank."""
    for blank in range(classes):
        others = [k for k in range(classes) if k != blank]
        every = [y for n in range(min(frames, 4) + 2) for y in itertools.product(others, repeat=n)]
        z = 3 * RNG.normal(size=(frames, classes))
        log_p = log_softmax(z) if from_logits else z
        want = best_paths(log_p, blank)
        lengths = np.array([len(y) for y in every])
        flat = np.array([k for y in every for k in y], int)
        batch = np.broadcast_to(z, (len(every), frames, classes))
        found = lf.ctc_align(flat, batch, lengths, blank=blank, from_logits=from_logits)
        first = 0
        for i, y in enumerate(every):
            tokens = slice(first, first + len(y))
            first += len(y)
            best, paths = want.get(y, (-np.inf, []))
            np.testing.assert_allclose(found.log_probability[i], best, rtol=1e-13, atol=1e-15)
            if not paths:
                assert (found.path[i] == -1).all() and (found.position[i] == -2).all()
                assert (found.start[tokens] == -1).all() and np.isnan(found.score[tokens]).all()
                continue
            assert found.path[i].tolist() in paths
            one = lf.ctc_align(np.array(y, int), z, blank=blank, from_logits=from_logits)
            assert_consistent(one, np.array(y, int), len(y), frames, log_p, blank)
            np.testing.assert_array_equal(one.start, found.start[tokens])


# --- The specification --------------------------------------------------------------------------------------------


@pytest.mark.compiled
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_it_is_its_specification(data):
    samples, frames = data.draw(st.integers(0, 4)), data.draw(st.integers(0, 70))
    classes, labels = data.draw(st.sampled_from([2, 3, 5, 29, 65, 130])), data.draw(st.integers(0, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    dtype, blank = dtype_of(data.draw(st.sampled_from(DTYPES))), data.draw(st.integers(0, classes - 1))
    z = (data.draw(st.sampled_from([0.3, 3.0, 30.0])) * rng.normal(size=(samples, frames, classes))).astype(dtype)
    y = rng.integers(0, classes - 1, (samples, labels))
    y += y >= blank
    given_labels = data.draw(st.booleans())
    options = {
        "blank": blank,
        "from_logits": data.draw(st.booleans()),
        "logit_lengths": data.draw(st.sampled_from([None, rng.integers(0, frames + 1, samples)])),
        "label_lengths": rng.integers(0, labels + 1, samples) if given_labels else None,
    }
    if given_labels:
        y[np.arange(labels) >= options["label_lengths"][:, None]] = data.draw(st.sampled_from([-1, blank, 10**6]))
    got, want = lf.ctc_align(y, z, **options), by_specification(y, z, **options)
    if dtype == np.float64:
        assert_close(got, want)
    else:
        np.testing.assert_allclose(got.log_probability, want.log_probability, rtol=1e-5, atol=1e-5)
        feasible = np.isfinite(want.log_probability)
        np.testing.assert_array_equal(np.isfinite(got.log_probability), feasible)
    for n in range(samples):
        steps = frames if options["logit_lengths"] is None else options["logit_lengths"][n]
        count = labels if options["label_lengths"] is None else options["label_lengths"][n]
        if np.isfinite(got.log_probability[n]):
            one = decoding.Alignment(*(x[n] for x in got))
            log_p = log_softmax(z[n]) if options["from_logits"] else z[n].astype(np.float64)
            assert_consistent(one, y[n], count, steps, log_p, blank)


@pytest.mark.compiled
@pytest.mark.parametrize("frames, labels, classes", [(3000, 500, 32), (300, 149, 40), (257, 255, 30), (90, 20, 2500)])
def test_longer_sequences(dtype, frames, labels, classes):
    y, z = drawn(2, frames, classes, labels, dtype=dtype)
    got, want = lf.ctc_align(y, z), by_specification(y, z.astype(np.float64))
    if dtype is np.float64:
        assert_close(got, want)
    np.testing.assert_allclose(got.log_probability, want.log_probability, rtol=1e-6)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_halves_are_computed_in_float32(name):
    y, z = drawn(3, 60, 9, 12, dtype=dtype_of(name))
    assert_same(tuple(lf.ctc_align(y, z)), tuple(lf.ctc_align(y, z.astype(np.float32))))


# --- Ties, limits and NaN -----------------------------------------------------------------------------------------


def test_of_equal_paths():
    """Seen from the end: stays where it is, then the blank, then past it; the last label rather than a blank."""
    assert lf.ctc_align([1], np.zeros((3, 2))).path.tolist() == [1, 1, 1]
    assert lf.ctc_align([1, 2], np.zeros((4, 3))).path.tolist() == [1, 2, 2, 2]
    assert lf.ctc_align([], np.zeros((3, 2))).path.tolist() == [0, 0, 0]
    log_p = np.zeros((3, 3))
    log_p[2, :2] = -np.inf  # only label 2 at the end; at the second frame 1, blank or 2
    log_p[0, [0, 2]] = log_p[1, 2] = -np.inf
    assert lf.ctc_align([1, 2], log_p, from_logits=False).path.tolist() == [1, 0, 2]
    for frames, labels in itertools.product(range(1, 6), ([], [1], [1, 1], [1, 2], [2, 1, 2])):
        z = np.zeros((frames, 3))
        np.testing.assert_array_equal(lf.ctc_align(labels, z).path, by_specification(labels, z).path)


@pytest.mark.parametrize("bad", [np.nan, -np.nan])
@pytest.mark.parametrize("classes", [5, 40, 200, 1500])
def test_a_nan_stays_in_its_sample(dtype, classes, bad):
    y, z = drawn(4, 40, classes, 6, dtype=dtype)
    want = lf.ctc_align(y, z)
    z[1, 39, classes // 2] = z[3, 0, classes - 1] = bad
    got = lf.ctc_align(y, z)
    for i in (0, 2):
        assert_same(tuple(x[i] for x in got), tuple(x[i] for x in want))
    assert not np.isnan(lf.ctc_align(y, z, logit_lengths=[40, 39, 40, 0]).log_probability).any()
    got = lf.ctc_align(y, z, from_logits=False)
    for i in (1, 3):
        assert np.isnan(got.log_probability[i]) and (got.path[i] == -1).all() and (got.position[i] == -2).all()
        assert (got.start[i] == -1).all() and (got.end[i] == -1).all()
        assert np.isnan(got.score[i]).all() and np.isnan(got.frame_score[i]).all()


@pytest.mark.parametrize("classes", [3, 140, 1100])
def test_infinite_logits(dtype, classes):
    z = np.zeros((4, classes), dtype)
    z[0, [1, 2]] = np.inf
    z[1, 1:] = -np.inf
    z[3, 2] = np.inf
    found = lf.ctc_align([1, 2], z)
    assert found.path.tolist() == [1, 0, 2, 2]
    p = 1e-12 if dtype is np.float64 else 1e-6
    np.testing.assert_allclose(found.frame_score, [-math.log(2), 0, -math.log(classes), 0], rtol=p)
    assert lf.ctc_align([1, 1], z).log_probability == -np.inf


def test_positive_infinity_is_no_log_probability():
    z = np.zeros((2, 3, 4))
    z[0, 1, 2] = np.inf
    found = lf.ctc_align([[1], [1]], z, from_logits=False)
    assert np.isnan(found.log_probability[0]) and found.log_probability[1] == 0


@pytest.mark.parametrize(
    "labels, frames", [([1, 2, 3], 2), ([1, 1], 2), ([2, 2, 2], 4), ([1], 0), ([1, 2, 2, 1, 1], 6), ([1] * 9, 3)]
)
def test_too_few_frames(labels, frames, dtype):
    z = np.zeros((frames + 1, 4), dtype)
    found = lf.ctc_align(labels, z[:frames])
    assert found.log_probability == -np.inf and (found.path == -1).all() and (found.start == -1).all()
    assert np.isnan(found.score).all() and found.path.shape == (frames,)
    if len(labels) > 1 and frames + 1 >= len(labels) + sum(a == b for a, b in itertools.pairwise(labels)):
        assert lf.ctc_align(labels, z).log_probability > -np.inf


def test_exactly_enough_frames(dtype):
    found = lf.ctc_align([2, 2, 1, 1], np.zeros((6, 3), dtype))
    assert found.path.tolist() == [2, 0, 2, 1, 0, 1]
    assert lf.ctc_align([1, 2, 1], np.zeros((3, 3), dtype)).path.tolist() == [1, 2, 1]
    assert lf.ctc_align([1], np.zeros((1, 2), dtype)).path.tolist() == [1]


def test_a_class_without_probability(dtype):
    z = np.zeros((2, 5, 3), dtype)
    z[0, :, 2] = z[1, 2] = -np.inf
    found = lf.ctc_align([[1, 2], [1, 2]], z)
    assert (found.log_probability == -np.inf).all() and (found.path == -1).all()


# --- Sizes and memory ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(0, 3, 4), (0, 0, 1), (0, 5, 2)])
@pytest.mark.parametrize("labels", [0, 3])
def test_of_nothing(dtype, shape, labels):
    found = lf.ctc_align(np.zeros((0, labels), int), np.zeros(shape, dtype))
    assert found.path.shape == found.position.shape == found.frame_score.shape == shape[:2]
    assert found.start.shape == found.end.shape == found.score.shape == (0, labels)
    assert found.log_probability.shape == (0,)


def test_without_frames_or_labels(dtype):
    z = np.zeros((2, 0, 3), dtype)
    assert lf.ctc_align(np.zeros((2, 0), int), z).log_probability.tolist() == [0, 0]
    assert lf.ctc_align([[1], [1]], z, [0, 1]).log_probability.tolist() == [0, -np.inf]
    found = lf.ctc_align(np.zeros((2, 0), int), np.zeros((2, 4, 1), dtype))  # nothing but blank
    assert (found.path == 0).all() and (found.position == -1).all() and (found.log_probability == 0).all()


def test_one_sample(dtype):
    y, z = drawn(1, 30, 6, 8, dtype=dtype)
    batch, one = lf.ctc_align(y, z), lf.ctc_align(y[0], z[0])
    for a, b in zip(batch, one, strict=True):
        assert_same(np.asarray(b), a[0])
    assert_same(np.asarray(lf.ctc_align(y[0], z[0], 3, 20).start), lf.ctc_align(y, z, [3], [20]).start[0])


@pytest.mark.parametrize(
    "name", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", ">i4", "strided", "fortran"]
)
def test_labels_of_every_kind(name):
    y, z = drawn(5, 40, 9, 7)
    want = lf.ctc_align(y, z)
    if name == "strided":
        other = np.repeat(np.repeat(y, 2, axis=0), 3, axis=1)[::2, ::3]
    else:
        other = np.asfortranarray(y) if name == "fortran" else y.astype(name)
    assert_same(tuple(lf.ctc_align(other, z)), tuple(want))


def test_labels_one_after_another():
    y, z = drawn(5, 40, 9, 7)
    lengths = np.array([7, 0, 3, 1, 6])
    want = lf.ctc_align(y, z, lengths)
    got = lf.ctc_align(np.concatenate([row[:n] for row, n in zip(y, lengths, strict=True)]), z, lengths)
    for a, b in zip(got[:3], want[:3], strict=True):
        assert_same(a, b)
    inside = np.arange(7) < lengths[:, None]
    for name in ("start", "end", "score"):
        assert_same(getattr(got, name), getattr(want, name)[inside])


@pytest.mark.parametrize("classes", [6, 150])
@pytest.mark.parametrize("name", [*layouts(np.zeros((2, 2, 2))), "time_major=True"])
def test_memory_layout_changes_no_bit(dtype, name, classes):
    y, z = drawn(3, 45, classes, 9, dtype=dtype)
    lengths = np.array([45, 13, 44], np.uint16)
    want = lf.ctc_align(y, z, logit_lengths=lengths)
    if name == "time_major=True":
        got = lf.ctc_align(y, np.ascontiguousarray(z.swapaxes(0, 1)), logit_lengths=lengths, time_major=True)
        assert got.path.shape == got.position.shape == got.frame_score.shape == (45, 3)
        got = decoding.Alignment(*(x.T for x in got[:3]), *got[3:])
    else:
        got = lf.ctc_align(y, layouts(z)[name], logit_lengths=lengths)
    assert_same(tuple(got), tuple(want))


@pytest.mark.compiled
def test_threads_change_no_bit(dtype):
    y, z = drawn(23, 200, 9, 30, dtype=dtype)
    want = lf.ctc_align(y, z, n_threads=1)
    for n in (2, 3, 7):
        assert_same(tuple(lf.ctc_align(y, z, n_threads=n)), tuple(want))


@pytest.mark.compiled
@pytest.mark.parametrize("classes", [9, 300])
def test_vector_widths_change_no_bit(dtype, classes):
    y, z = drawn(3, 120, classes, 30, dtype=dtype)
    results = {}
    for level in ("avx2", "avx512"):
        try:
            lf.set_isa(level)
        except ValueError:
            pytest.skip("this processor has one vector width")
        results[level] = tuple(lf.ctc_align(y, z))
    assert_same(results["avx2"], results["avx512"])


def test_every_instruction_set(isa):
    y, z = drawn(3, 120, 9, 30)
    assert_close(lf.ctc_align(y, z), by_specification(y, z))


def test_what_is_beyond_the_lengths_is_not_looked_at():
    y, z = drawn(3, 40, 7, 6)
    frames, labels = [40, 21, 0], [6, 2, 0]
    want = lf.ctc_align(y, z, labels, frames)
    for n in range(3):
        z[n, frames[n] :] = np.nan
        y[n, labels[n] :] = [0, -(2**63), 2**62, 7][n]
    assert_same(tuple(lf.ctc_align(y, z, labels, frames)), tuple(want))


def test_operands_are_left_alone():
    y, z = drawn(3, 40, 7, 6)
    z[0, 0, 0] = np.inf
    y.flags.writeable = z.flags.writeable = False
    before = y.tobytes(), z.tobytes()
    lf.ctc_align(y, z)
    assert (y.tobytes(), z.tobytes()) == before


# --- Bad input ----------------------------------------------------------------------------------------------------

LABELS, LOGITS = np.array([[1, 2, 3], [3, 2, 1]]), np.zeros((2, 8, 4))


def refused(error, *words, **kwargs):
    with pytest.raises(error) as caught:
        lf.ctc_align(**{"labels": LABELS, "logits": LOGITS, **kwargs})
    for word in words:
        assert re.search(word, str(caught.value)), f"{word!r} is not in {str(caught.value)!r}"


@pytest.mark.parametrize("label", [4, -1, -100, 2**31, 2**32 + 1, 2**40, 2**63 - 1, -(2**63), 5])
@pytest.mark.parametrize("at", [(0, 0), (1, 2)])
def test_labels_that_are_no_class(label, at):
    y = LABELS.copy()
    y[at] = label
    where = rf"labels\[{at[0]}, {at[1]}\] is {label}"
    refused(ValueError, where, r"a class in \[0, 4\) other than blank", labels=y)
    refused(ValueError, rf"labels\[{at[0] * 3 + at[1]}\] is", labels=y.ravel(), label_lengths=[3, 3])
    one = rf"labels\[{at[1]}\] is {label}"
    refused(ValueError, one, labels=y[at[0]], logits=LOGITS[0])


def test_large_unsigned_labels():
    y = LABELS.astype(np.uint64)
    y[1, 0] = 2**64 - 1
    refused(ValueError, r"labels\[1, 0\] is 18446744073709551615", labels=y)


def test_blank_among_the_labels():
    y = LABELS.copy()
    y[0, 1] = 0
    refused(ValueError, r"labels\[0, 1\] is 0, which is blank", "label_lengths", labels=y)
    refused(ValueError, r"labels\[0, 1\] is 2, which is blank", blank=2)


@pytest.mark.parametrize("length", [-1, 4, 2**31, 2**62, -(2**63), -100])
def test_bad_label_lengths(length):
    refused(ValueError, rf"label_lengths\[1\] is {length}", r"\[0, 3\]", label_lengths=[3, length])


@pytest.mark.parametrize("length", [-1, 9, 2**31, 2**62, -(2**63), -100])
def test_bad_logit_lengths(length):
    refused(ValueError, rf"logit_lengths\[0\] is {length}", r"\[0, 8\]", logit_lengths=[length, 3])


@pytest.mark.parametrize("lengths", [[3, 2], [2, 2], [6, 1]])
def test_lengths_that_do_not_add_up(lengths):
    refused(ValueError, "label_lengths", labels=LABELS.ravel(), label_lengths=lengths)


@pytest.mark.parametrize("labels", [LABELS[:1], LABELS[None], LABELS.ravel(), [[1, 2], [3]], 5])
def test_labels_of_a_wrong_shape(labels):
    refused(ValueError, "labels", labels=labels)


@pytest.mark.parametrize("dtype_name", ["float64", "bool", "complex128", "U1", "object"])
def test_labels_that_are_no_integers(dtype_name):
    refused(TypeError, "labels", labels=LABELS.astype(dtype_name))


@pytest.mark.parametrize("shape", [(), (4,), (1, 2, 3, 4)])
def test_logits_of_a_wrong_shape(shape):
    refused(ValueError, "logits has shape", re.escape(str(shape)), logits=np.zeros(shape))


@pytest.mark.parametrize("blank", [-1, 4, 2**31, 2**63])
def test_blanks_that_are_no_class(blank):
    refused(ValueError, rf"blank is {blank}", r"\[0, 4\)", blank=blank)


@pytest.mark.compiled
@pytest.mark.parametrize("shape", [(1, 2**60, 2), (1, 2**45, 4), (2**40, 1, 2)])
def test_more_than_there_is_memory_for(shape):
    y = np.broadcast_to(1, (shape[0], 3))
    with pytest.raises((ValueError, MemoryError)):
        lf.ctc_align(y, np.broadcast_to(np.float16(0), shape))


@pytest.mark.compiled
def test_more_states_than_there_is_memory_for():
    with pytest.raises((ValueError, MemoryError)):
        lf.ctc_align(np.ones((1, 2**22), np.int8), np.broadcast_to(np.float16(0), (1, 2**22, 2)))
