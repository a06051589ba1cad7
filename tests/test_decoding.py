"""Greedy decoding and beam search: against all paths, the specification, and every bad input."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operands import dtype_of
from paths import assert_same, hypotheses, labellings, layouts, log_softmax, spelled

import lossfast as lf
from lossfast import _numpy_decoding, decoding

RNG = np.random.default_rng(5)
DTYPES = ["float16", "bfloat16", "float32", "float64"]
SMALL = [(t, c) for t in range(6) for c in range(1, 5)]


@pytest.fixture(params=["greedy", "beam", "beam of 1", "beam, threshold"])
def decode(request):
    """Each way to decode."""

    def call(*args, **kwargs):
        if request.param == "greedy":
            return lf.ctc_greedy_decode(*args, **kwargs)
        beams = {
            "beam": {"beam_width": 7, "top": 3},
            "beam of 1": {"beam_width": 1},
            "beam, threshold": {"beam_width": 5, "class_threshold": -3.0},
        }
        return lf.ctc_beam_search(*args, **beams[request.param], **kwargs)

    return call


def by_specification(call, *args, **kwargs):
    """The same call in NumPy."""
    before, decoding._search = decoding._search, _numpy_decoding
    try:
        return call(*args, **kwargs)
    finally:
        decoding._search = before


def assert_close(got, want, rtol, atol=0.0):
    """Equal labels, close log-probabilities."""
    np.testing.assert_array_equal(got.lengths, want.lengths)
    np.testing.assert_array_equal(got.labels, want.labels)
    np.testing.assert_allclose(got.log_probability, want.log_probability, rtol=rtol, atol=atol)


# --- All paths ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("frames, classes", SMALL)
def test_greedy_is_the_best_path(frames, classes, from_logits):
    for blank in range(classes):
        z = 3 * RNG.normal(size=(4, frames, classes))
        log_p = log_softmax(z) if from_logits else z
        found = lf.ctc_greedy_decode(z, blank=blank, from_logits=from_logits)
        best = [x.argmax(axis=1) for x in log_p]
        assert hypotheses(found) == [spelled(tuple(path), blank) for path in best]
        np.testing.assert_allclose(found.log_probability, log_p.max(axis=2).sum(axis=1), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("frames, classes", SMALL)
def test_a_wide_beam_finds_all_labellings(frames, classes, from_logits):
    for blank in range(classes):
        z = 2 * RNG.normal(size=(3, frames, classes))
        log_p = log_softmax(z) if from_logits else z
        want = [labellings(x, blank) for x in log_p]
        n = len(want[0])
        found = lf.ctc_beam_search(z, beam_width=n + 5, top=n + 2, blank=blank, from_logits=from_logits)
        got = hypotheses(found)
        for i, all_of_it in enumerate(want):
            here = slice(i * (n + 2), (i + 1) * (n + 2))
            assert set(got[here][:n]) == set(all_of_it) and got[here][n:] == [(), ()]
            p = found.log_probability[i]
            np.testing.assert_allclose(p[:n], [all_of_it[x] for x in got[here][:n]], rtol=1e-12, atol=1e-14)
            assert (np.diff(p[:n]) <= 0).all() and (p[n:] == -np.inf).all()


@pytest.mark.parametrize("dtype_name", DTYPES)
def test_the_best_labelling_of_many(dtype_name):
    z = (2 * RNG.normal(size=(200, 5, 4))).astype(dtype_of(dtype_name))
    found = lf.ctc_beam_search(z, beam_width=1000)
    got = hypotheses(found)
    for i, x in enumerate(z):
        all_of_it = labellings(log_softmax(x))
        best = max(all_of_it.values())
        assert all_of_it[got[i]] > best - 1e-6
        single = 1e-13 if dtype_name == "float64" else 1e-6
        np.testing.assert_allclose(found.log_probability[i, 0], best, rtol=single, atol=single)


# --- The specification --------------------------------------------------------------------------------------------


@pytest.mark.compiled
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_it_is_its_specification(data):
    samples, frames = data.draw(st.integers(0, 4)), data.draw(st.integers(0, 40))
    classes = data.draw(st.sampled_from([1, 2, 3, 5, 29, 40, 65, 130]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    dtype = dtype_of(data.draw(st.sampled_from(DTYPES)))
    z = (data.draw(st.sampled_from([0.3, 2.0, 10.0])) * rng.normal(size=(samples, frames, classes))).astype(dtype)
    options = {
        "blank": data.draw(st.integers(0, classes - 1)),
        "from_logits": data.draw(st.booleans()),
        "logit_lengths": data.draw(st.sampled_from([None, rng.integers(0, frames + 1, samples)])),
    }
    tolerance = {"rtol": 1e-12, "atol": 1e-12} if dtype == np.float64 else {"rtol": 2e-6, "atol": 2e-6}
    got, want = lf.ctc_greedy_decode(z, **options), by_specification(lf.ctc_greedy_decode, z, **options)
    assert_close(got, want, **tolerance)
    options["beam_width"] = data.draw(st.integers(1, 12))
    options["top"] = data.draw(st.integers(1, options["beam_width"]))
    options["class_threshold"] = data.draw(st.sampled_from([None, -4.0]))
    got, want = lf.ctc_beam_search(z, **options), by_specification(lf.ctc_beam_search, z, **options)
    if dtype == np.float64:  # in float32, and of halves, hypotheses may be too close to be told apart
        assert_close(got, want, **tolerance)
    else:
        np.testing.assert_allclose(got.log_probability, want.log_probability, rtol=1e-4, atol=1e-4)


@pytest.mark.compiled
@pytest.mark.parametrize("classes", [2, 127, 128, 129, 1023, 1024, 1025, 3000])
@pytest.mark.parametrize("time_major", [False, True])
def test_many_classes(dtype, classes, time_major):
    z = (2 * RNG.normal(size=(2, 40, classes))).astype(dtype)
    few = z[:, :6]
    if time_major:
        z, few = (np.ascontiguousarray(x.swapaxes(0, 1)) for x in (z, few))
    rtol = 1e-12 if dtype is np.float64 else 1e-6
    for from_logits in (True, False):
        options = {"time_major": time_major, "from_logits": from_logits, "blank": classes - 1}
        want = by_specification(lf.ctc_greedy_decode, z, **options)
        assert_close(lf.ctc_greedy_decode(z, **options), want, rtol)
    options = {"time_major": time_major, "beam_width": 3, "blank": 1}
    assert_close(lf.ctc_beam_search(few, **options), by_specification(lf.ctc_beam_search, few, **options), rtol)


@pytest.mark.compiled
def test_a_long_sequence():
    z = RNG.normal(size=(1, 10_000, 29)).astype(np.float32) * 4
    assert_close(lf.ctc_greedy_decode(z), by_specification(lf.ctc_greedy_decode, z), 1e-6)
    wide, narrow = (lf.ctc_beam_search(z, beam_width=n).log_probability for n in (50, 5))
    assert wide >= narrow > -np.inf


@pytest.mark.compiled
def test_nodes_of_prefixes_are_used_again():
    """The beam changes all the time, and its prefixes share little: every node dies and is born again."""
    frames, classes = 400, 6
    z = RNG.normal(size=(2, frames, classes))
    z[:, ::7] *= 8
    options = {"beam_width": 9, "top": 9}
    got, want = lf.ctc_beam_search(z, **options), by_specification(lf.ctc_beam_search, z, **options)
    assert_close(got, want, 1e-12)


# --- Ties, limits and NaN -----------------------------------------------------------------------------------------


def test_equal_classes_and_prefixes():
    z = np.zeros((1, 1, 4))
    assert hypotheses(lf.ctc_greedy_decode(z, blank=3)) == [(0,)]
    assert hypotheses(lf.ctc_beam_search(z, beam_width=4, top=4, blank=3)) == [(), (0,), (1,), (2,)]
    log_p = np.log([[[0.25, 0.25, 0.5], [0.5, 0.25, 0.25]]])  # of the blank alone; then 0 again or after a blank
    found = lf.ctc_beam_search(log_p, beam_width=2, top=2, blank=2, from_logits=False)
    assert hypotheses(found) == [(0,), ()]
    for width in (1, 2, 3, 5):  # (0) and (1) are equal at once, and only one of them can stay
        found = lf.ctc_beam_search(np.zeros((1, 3, 3)), beam_width=width, top=width)
        want = by_specification(lf.ctc_beam_search, np.zeros((1, 3, 3)), beam_width=width, top=width)
        np.testing.assert_allclose(found.log_probability, want.log_probability, rtol=1e-13)


@pytest.mark.parametrize("bad", [np.nan, -np.nan])
@pytest.mark.parametrize("classes", [1, 5, 40, 200, 1500] if lf.backend() == "c" else [1, 5, 40])
def test_a_nan_stays_in_its_sample(decode, dtype, classes, bad):
    z = RNG.normal(size=(4, 33, classes)).astype(dtype)  # a frame more than a tile
    want = decode(z)
    z[1, 32, classes // 2] = z[3, 0, classes - 1] = bad
    for from_logits in (True, False):
        got = decode(z, from_logits=from_logits)
        assert np.isnan(got.log_probability[[1, 3]]).all() and (got.lengths[[1, 3]] == 0).all()
        assert (got.labels[[1, 3]] == -1).all() and not np.isnan(got.log_probability[[0, 2]]).any()
    got = decode(z)
    for i in (0, 2):
        assert_same(got.log_probability[i], want.log_probability[i])
        np.testing.assert_array_equal(got.lengths[i], want.lengths[i])
    got = decode(z, [33, 32, 33, 0])
    assert not np.isnan(got.log_probability).any()


@pytest.mark.parametrize("classes", [3, 140, 1100])
def test_infinite_logits(dtype, classes):
    z = np.zeros((1, 3, classes), dtype)
    z[0, 0, [1, 2]] = np.inf  # they share everything
    z[0, 1, 1:] = -np.inf  # blank alone is left
    z[0, 2, 2] = np.inf
    p = 1e-12 if dtype is np.float64 else 1e-6
    found = lf.ctc_greedy_decode(z)
    assert hypotheses(found) == [(1, 2)]
    np.testing.assert_allclose(found.log_probability, [-math.log(2)], rtol=p)
    found = lf.ctc_beam_search(z, top=3)
    assert sorted(hypotheses(found)[:2]) == [(1, 2), (2, 2)]
    np.testing.assert_allclose(found.log_probability, [[-math.log(2), -math.log(2), -np.inf]], rtol=p)


@pytest.mark.parametrize("classes", [1, 3, 140, 1100])
@pytest.mark.parametrize("from_logits", [True, False])
def test_impossible_frames(dtype, classes, from_logits):
    z = np.zeros((2, 3, classes), dtype)
    z[1, 1] = -np.inf
    found = lf.ctc_greedy_decode(z, from_logits=from_logits)
    assert found.log_probability[1] == -np.inf and found.log_probability[0] > -np.inf
    found = lf.ctc_beam_search(z, top=2, from_logits=from_logits)
    assert (found.log_probability[1] == -np.inf).all() and (found.lengths[1] == 0).all()
    assert found.log_probability[0, 0] > -np.inf


def test_positive_infinity_is_no_log_probability(decode):
    z = np.zeros((2, 3, 4))
    z[0, 1, 2] = np.inf
    found = decode(z, from_logits=False)
    assert np.isnan(found.log_probability[0]).all() and not np.isnan(found.log_probability[1]).any()


def test_large_and_small_logits(decode):
    z = np.zeros((1, 2, 3))
    z[..., 1] = 1e308
    found = decode(z)
    assert found.labels.reshape(-1).tolist()[:1] == [1] and found.log_probability.reshape(-1)[0] == 0
    z[...] = [5e-324, 0, -5e-324]
    np.testing.assert_allclose(lf.ctc_greedy_decode(z).log_probability, -2 * math.log(3), rtol=1e-14)


# --- Sizes and memory ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (0, 0, 1), (2, 3, 1), (1, 1, 1)])
def test_of_nothing(decode, dtype, shape):
    found = decode(np.zeros(shape, dtype))
    assert found.lengths.shape == found.log_probability.shape == found.labels.shape[:-1]
    assert found.lengths.shape[0] == shape[0] and found.labels.shape[-1] == 0
    assert found.labels.dtype == found.lengths.dtype == np.int64 and found.log_probability.dtype == np.float64
    best = found.log_probability if found.lengths.ndim == 1 else found.log_probability[:, 0]
    assert (best == 0).all() and (found.lengths == 0).all()


def test_only_blanks(decode):
    z = np.zeros((2, 50, 5))
    z[..., 2] = 60
    found = decode(z, blank=2)
    assert (found.lengths.reshape(2, -1)[:, 0] == 0).all()
    np.testing.assert_allclose(found.log_probability.reshape(2, -1)[:, 0], 0, atol=1e-20)


def test_one_sample(decode, dtype):
    z = RNG.normal(size=(1, 30, 6)).astype(dtype)
    batch, one = decode(z), decode(z[0])
    for a, b in zip(batch, one, strict=True):
        assert_same(np.asarray(b), a[0])
    assert_same(np.asarray(decode(z[0], 7).log_probability), decode(z, [7]).log_probability[0])


def test_lists_and_integers():
    assert hypotheses(lf.ctc_greedy_decode([[[0, 3], [9, 1], [1, 2]]])) == [(1, 1)]
    assert hypotheses(lf.ctc_greedy_decode(np.array([[[0, 3], [9, 1]]], np.uint8))) == [(1,)]


@pytest.mark.parametrize("classes", [6, 150] if lf.backend() == "c" else [6])
@pytest.mark.parametrize("name", [*layouts(np.zeros((2, 2, 2))), "time_major=True", "broadcast"])
def test_memory_layout_changes_no_bit(decode, dtype, name, classes):
    z = RNG.normal(size=(3, 45, classes)).astype(dtype)
    if name == "broadcast":
        z[...] = z[0]
        other = np.broadcast_to(z[0], z.shape)
        assert other.strides[0] == 0
    elif name != "time_major=True":
        other = layouts(z)[name]
    lengths = np.array([45, 3, 44], np.uint16)
    want = decode(np.ascontiguousarray(z), lengths)
    if name == "time_major=True":
        got = decode(np.ascontiguousarray(z.swapaxes(0, 1)), lengths, time_major=True)
    else:
        got = decode(other, lengths)
    assert_same(tuple(got), tuple(want))


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_halves_are_computed_in_float32(decode, name):
    z = RNG.normal(size=(3, 40, 7)).astype(dtype_of(name))
    assert_same(tuple(decode(z)), tuple(decode(z.astype(np.float32))))


@pytest.mark.compiled
@pytest.mark.parametrize("classes", [6, 200])
def test_threads_change_no_bit(decode, dtype, classes):
    z = RNG.normal(size=(23, 300, classes)).astype(dtype)
    want = decode(z, n_threads=1)
    for n in (2, 3, 7):
        assert_same(tuple(decode(z, n_threads=n)), tuple(want))
    lf.set_num_threads(3)
    assert_same(tuple(decode(z)), tuple(want))


@pytest.mark.compiled
@pytest.mark.parametrize("classes", [6, 200, 1200])
def test_vector_widths_change_no_bit(decode, dtype, classes):
    levels = [level for level in ("avx2", "avx512") if _has(level)]
    if len(levels) < 2:
        pytest.skip("this processor has one vector width")
    z = RNG.normal(size=(3, 60, classes)).astype(dtype)
    results = []
    for level in levels:
        lf.set_isa(level)
        results.append(tuple(decode(z)))
    assert_same(results[0], results[1])


def _has(level):
    try:
        lf.set_isa(level)
    except ValueError:
        return False
    return True


def test_every_instruction_set(isa, dtype):
    z = RNG.normal(size=(3, 60, 12)).astype(dtype)
    rtol = 1e-12 if dtype is np.float64 else 1e-6
    assert_close(lf.ctc_greedy_decode(z), by_specification(lf.ctc_greedy_decode, z), rtol)
    if dtype is np.float64:
        assert_close(lf.ctc_beam_search(z), by_specification(lf.ctc_beam_search, z), rtol)


def test_more_threads_than_work(decode):
    z = RNG.normal(size=(2, 9, 5))
    assert_same(tuple(decode(z, n_threads=10**6)), tuple(decode(z, n_threads=1)))


def test_what_is_beyond_a_length_is_not_looked_at(decode):
    z = RNG.normal(size=(3, 40, 7))
    lengths = [40, 11, 0]
    want = decode(z, lengths)
    for n, length in enumerate(lengths):
        z[n, length:] = np.nan
    assert_same(tuple(decode(z, lengths)), tuple(want))
    alone = decode(z[1:2, :11])
    assert_same(alone.log_probability[0], want.log_probability[1])


def test_operands_are_left_alone(decode):
    z = RNG.normal(size=(3, 40, 7))
    z[0, 0, 0] = np.inf
    z.flags.writeable = False
    before = z.tobytes()
    decode(z)
    assert z.tobytes() == before


# --- Bad input ----------------------------------------------------------------------------------------------------

GOOD = np.zeros((2, 5, 4))


def refused(decode, error, *words, **kwargs):
    with pytest.raises(error) as caught:
        decode(**{"logits": GOOD, **kwargs})
    for word in words:
        assert re.search(word, str(caught.value)), f"{word!r} is not in {str(caught.value)!r}"


@pytest.mark.parametrize("shape", [(), (4,), (1, 2, 3, 4)])
def test_logits_of_a_wrong_shape(decode, shape):
    refused(decode, ValueError, r"logits has shape", re.escape(str(shape)), logits=np.zeros(shape))


@pytest.mark.parametrize("shape", [(2, 3, 0), (0, 0, 0), (3, 0)])
def test_logits_without_classes(decode, shape):
    refused(decode, ValueError, r"logits has shape", "at least one class", logits=np.zeros(shape))


@pytest.mark.parametrize("dtype_name", ["complex128", "U3", "datetime64[s]", "object"])
def test_logits_that_are_no_numbers(decode, dtype_name):
    refused(decode, TypeError, "logits", logits=np.zeros((2, 3, 4)).astype(dtype_name))


def test_too_many_classes(decode):
    if lf.backend() == "c":
        z = np.broadcast_to(np.float32(0), (1, 1, 2**20 + 1))
        refused(decode, ValueError, "1048577 classes", "1048576", logits=z)


@pytest.mark.parametrize("blank", [-1, 4, 2**31, 2**63, -(2**63)])
def test_blanks_that_are_no_class(decode, blank):
    refused(decode, ValueError, rf"blank is {blank}", r"\[0, 4\)", blank=blank)


@pytest.mark.parametrize("blank", [0.0, True, "0", None])
def test_blanks_that_are_no_integer(decode, blank):
    refused(decode, TypeError, "blank is", "integer", blank=blank)


@pytest.mark.parametrize("length", [-1, 6, 2**31, 2**62, -(2**63), -100, 2**32])
def test_bad_lengths(decode, length):
    refused(decode, ValueError, rf"logit_lengths\[1\] is {length}", r"\[0, 5\]", logit_lengths=[5, length])


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1), (0,)])
def test_lengths_of_a_wrong_shape(decode, shape):
    refused(decode, ValueError, "logit_lengths has shape", logit_lengths=np.ones(shape, int))


@pytest.mark.parametrize("lengths", [[1.0, 2.0], [True, False], ["1", "2"]])
def test_lengths_that_are_no_integers(decode, lengths):
    refused(decode, TypeError, "logit_lengths", logit_lengths=lengths)


@pytest.mark.parametrize("name", ["time_major", "from_logits"])
@pytest.mark.parametrize("value", [1, 0, None, "yes"])
def test_options_that_are_neither_true_nor_false(decode, name, value):
    refused(decode, TypeError, name, "True or False", **{name: value})


@pytest.mark.parametrize("n", [0, -1])
def test_no_threads(decode, n):
    refused(decode, ValueError, "n_threads", n_threads=n)


@pytest.mark.parametrize("width", [0, -1, -(2**63)])
def test_bad_widths(width):
    with pytest.raises(ValueError, match=rf"beam_width is {width}, expected an integer at least 1"):
        lf.ctc_beam_search(GOOD, beam_width=width)


@pytest.mark.parametrize("top", [0, 6, -1])
def test_bad_tops(top):
    with pytest.raises(ValueError, match=rf"top is {top}, expected an integer in \[1, 5\], at most beam_width"):
        lf.ctc_beam_search(GOOD, beam_width=5, top=top)


@pytest.mark.parametrize("name", ["beam_width", "top"])
@pytest.mark.parametrize("value", [1.0, True, "1", None])
def test_widths_that_are_no_integers(name, value):
    with pytest.raises(TypeError, match=name):
        lf.ctc_beam_search(GOOD, **{name: value})


@pytest.mark.parametrize("value", [0.1, math.nan, math.inf])
def test_bad_thresholds(value):
    with pytest.raises(ValueError, match="class_threshold is"):
        lf.ctc_beam_search(GOOD, class_threshold=value)
    with pytest.raises(TypeError, match="class_threshold is"):
        lf.ctc_beam_search(GOOD, class_threshold="-1")


@pytest.mark.compiled
@pytest.mark.parametrize("shape", [(2**30, 2**31, 1), (1, 2**60, 2), (2**40, 1, 1), (1, 2**45, 4)])
def test_more_than_there_is_memory_for(decode, shape):
    with pytest.raises((ValueError, MemoryError)):
        decode(np.broadcast_to(np.float16(0), shape))


@pytest.mark.compiled
@pytest.mark.parametrize("width", [2**31, 2**40, 2**62])
def test_beams_that_are_too_wide(width):
    with pytest.raises(MemoryError):
        lf.ctc_beam_search(GOOD, beam_width=width)


def test_a_threshold_leaves_classes_out():
    log_p = np.log([[[0.6, 0.3, 0.1], [0.05, 0.9, 0.05]]])
    log_p[0, 0] -= 5  # all are below the threshold, and the best is kept
    found = lf.ctc_beam_search(log_p, top=4, from_logits=False, class_threshold=np.log(0.2))
    assert hypotheses(found) == [(1,), (), (), ()]
    np.testing.assert_allclose(found.log_probability[0, 0], np.log(0.6) - 5 + np.log(0.9), rtol=1e-14)
    assert_same(tuple(lf.ctc_beam_search(log_p, top=4, class_threshold=-1e9)), tuple(lf.ctc_beam_search(log_p, top=4)))
