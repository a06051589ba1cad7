"""Edit distance and error rates: against the table of all prefixes, and every bad input."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lossfast as lf
from lossfast import _numpy_decoding, transcripts

RNG = np.random.default_rng(7)
SPOKEN = ["the cat sat on the mat", "hello world", "a b c d"]
HEARD = ["the cat sat mat", "hello beautiful word", "a b c d e"]


def table(r, h):
    """The textbook's."""
    d = [[i + j for j in range(len(h) + 1)] for i in range(len(r) + 1)]
    for i, a in enumerate(r, 1):
        for j, b in enumerate(h, 1):
            d[i][j] = min(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a != b))
    return d[-1][-1]


def by_specification(*args, **kwargs):
    """The same call in NumPy."""
    before, transcripts._edit_distance = transcripts._edit_distance, _numpy_decoding.edit_distance
    try:
        return lf.edit_distance(*args, **kwargs)
    finally:
        transcripts._edit_distance = before


def noisy(reference, rate, alphabet):
    """A copy with so many errors."""
    out = []
    for x in reference:
        what = RNG.random() / rate
        if what > 1:
            out.append(x)
        elif what < 0.4:
            out.append(int(RNG.integers(0, alphabet)))
        elif what < 0.7:
            out += [x, int(RNG.integers(0, alphabet))]
    return out


# --- The distance -------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.text("abc", max_size=12), st.text("abcd", max_size=12)), max_size=5))
def test_of_short_strings(pairs):
    r, h = [a for a, _ in pairs], [b for _, b in pairs]
    got = lf.edit_distance(r, h)
    assert got.tolist() == [table(*pair) for pair in pairs]
    counted = lf.edit_distance(r, h, counts=True)
    np.testing.assert_array_equal(counted.distance, got)
    np.testing.assert_array_equal(counted.substitutions + counted.deletions + counted.insertions, got)
    length = np.array([len(a) - len(b) for a, b in pairs], int)
    np.testing.assert_array_equal(counted.deletions - counted.insertions, length)


LENGTHS = [0, 1, 2, 63, 64, 65, 127, 128, 129, 511, 512, 513, 1100]


@pytest.mark.compiled
@pytest.mark.parametrize("m", LENGTHS)
@pytest.mark.parametrize("alphabet", [2, 30, 10**6])
def test_it_is_its_specification(m, alphabet):
    references, hypotheses = [], []
    for n in (0, 1, 63, 64, 65, 130, 520):
        references.append(RNG.integers(0, alphabet, m))
        hypotheses.append(RNG.integers(0, alphabet, n))
    for rate in (0.05, 0.3):
        references.append(RNG.integers(0, alphabet, m))
        hypotheses.append(np.array(noisy(references[-1].tolist(), rate, alphabet), int))
    got, want = (f(references, hypotheses, counts=True) for f in (lf.edit_distance, by_specification))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(lf.edit_distance(references, hypotheses), want.distance)


def test_counts_follow_their_rule():
    """Back from the end: a deletion where it is a way, else an insertion where it is one and a substitution is not."""
    assert lf.edit_distance("ab", "ba", counts=True) == (2, 0, 1, 1)
    assert lf.edit_distance("abc", "xyz", counts=True) == (3, 3, 0, 0)
    assert lf.edit_distance("abcd", "bcda", counts=True) == (2, 0, 1, 1)
    assert lf.edit_distance("", "abc", counts=True) == (3, 0, 0, 3)
    assert lf.edit_distance("abc", "", counts=True) == (3, 0, 3, 0)
    assert lf.edit_distance("", "", counts=True) == (0, 0, 0, 0)


def test_it_is_a_metric():
    words = ["".join(RNG.choice(list("abc"), RNG.integers(0, 9))) for _ in range(12)]
    d = np.array([[lf.edit_distance(a, b) for b in words] for a in words])
    np.testing.assert_array_equal(d, d.T)
    np.testing.assert_array_equal(d == 0, [[a == b for b in words] for a in words])
    assert (d[:, None, :] <= d[:, :, None] + d[None, :, :]).all()


@pytest.mark.parametrize("m, n", [(5000, 20_000), (20_000, 64), (3000, 3000)])
def test_long_sequences(m, n):
    """Distances that are known: of what was deleted, and of symbols that differ everywhere."""
    if lf.backend() == "numpy":
        m, n = m // 50, n // 50
    r = RNG.integers(0, 1000, m)
    assert lf.edit_distance(r, np.arange(n) + 10**9) == max(m, n)
    keep = np.sort(RNG.choice(m, m - m // 7, replace=False))
    found = lf.edit_distance(r, r[keep], counts=True)
    assert (found.distance, found.deletions) == (m // 7, m // 7)
    assert lf.edit_distance(r[keep], r, counts=True) == (m // 7, 0, 0, m // 7)


# --- What sequences may be ----------------------------------------------------------------------------------------


def test_every_form_of_the_same_sequences():
    r, h = [[1, 2, 3, 4], [5, 6], []], [[1, 3, 4], [6, 5], [9]]
    want = [1, 2, 1]
    padded = [np.full((3, 4), -1), np.full((3, 5), -1)]
    for array, rows in zip(padded, (r, h), strict=True):
        for i, row in enumerate(rows):
            array[i, : len(row)] = row
    lengths = {"reference_lengths": [4, 2, 0], "hypothesis_lengths": np.array([3, 2, 1], np.uint8)}
    assert lf.edit_distance(r, h).tolist() == want
    assert lf.edit_distance(tuple(map(tuple, r)), [np.array(row, np.int16) for row in h]).tolist() == want
    for dtype in ("int8", "int32", "int64", ">i2"):
        assert lf.edit_distance(padded[0].astype(dtype), padded[1], **lengths).tolist() == want
    assert lf.edit_distance(padded[0][:, ::-1][:, ::-1], np.asfortranarray(padded[1]), **lengths).tolist() == want
    flat = [np.array([x for row in rows for x in row]) for rows in (r, h)]
    assert lf.edit_distance(*flat, **lengths).tolist() == want
    words = [[[f"w{x}" for x in row] for row in rows] for rows in (r, h)]
    assert lf.edit_distance(*words).tolist() == want
    strings = [["".join(chr(64 + x) for x in row) for row in rows] for rows in (r, h)]
    assert lf.edit_distance(*strings).tolist() == want
    assert lf.edit_distance(np.array(strings[0]), np.array(strings[1], object)).tolist() == want
    for a, b, d in zip(r, h, want, strict=True):
        if a:
            assert lf.edit_distance(a, b) == lf.edit_distance(np.array(a), np.array(b)) == d
    assert isinstance(lf.edit_distance([1], [2]), int) and lf.edit_distance([1, 2], []) == 2


def test_of_nothing():
    for empty in ([], (), np.empty((0, 3), int), np.empty((0, 0), int)):
        found = lf.edit_distance(empty, empty)
        assert found.shape == (0,) and found.dtype == np.int64
        assert all(x.shape == (0,) for x in lf.edit_distance(empty, empty, counts=True))
    assert lf.edit_distance(np.empty(0, int), np.empty(0, int)) == 0
    assert lf.edit_distance("", "") == 0
    assert lf.edit_distance(np.empty((2, 0), int), np.zeros((2, 3), int)).tolist() == [3, 3]
    assert lf.edit_distance([[], []], [[1], []]).tolist() == [1, 0]


def test_any_integers_and_characters():
    low, high = -(2**63), 2**63 - 1
    assert lf.edit_distance([low, high, 0, -1], [high, low, -1]) == 2
    assert lf.edit_distance(np.array([2**63 - 1], np.uint64), [2**63 - 1]) == 0
    assert lf.edit_distance("naïve 😀\ud800", "naive 😀") == 2
    assert lf.edit_distance("e\u0301", "é") == 2  # code points


@pytest.mark.compiled
def test_symbols_that_share_places_in_the_table():
    same = np.arange(300) * 2**32  # multiples of a large power of two
    other = same[::-1].copy()
    assert lf.edit_distance(same, same) == 0
    assert lf.edit_distance(same, other) == table(same.tolist(), other.tolist())


@pytest.mark.compiled
def test_threads_change_nothing():
    r = [RNG.integers(0, 30, n) for n in RNG.integers(0, 700, 300)]
    h = [np.array(noisy(x.tolist(), 0.2, 30), int) for x in r]
    want = lf.edit_distance(r, h, counts=True, n_threads=1)
    for n in (2, 3, 7):
        got = lf.edit_distance(r, h, counts=True, n_threads=n)
        assert all((a == b).all() for a, b in zip(got, want, strict=True))


# --- Rates --------------------------------------------------------------------------------------------------------


def test_rates():
    words = sum(table(r.split(), h.split()) for r, h in zip(SPOKEN, HEARD, strict=True))
    characters = sum(table(r, h) for r, h in zip(SPOKEN, HEARD, strict=True))
    assert lf.word_error_rate(SPOKEN, HEARD) == words / 12 == 5 / 12
    assert lf.character_error_rate(SPOKEN, HEARD) == characters / sum(map(len, SPOKEN))
    assert lf.word_error_rate("one  two\tthree\n", "one two four") == 1 / 3
    assert lf.character_error_rate("abc", "abd") == 1 / 3
    labels = [[ord(x) for x in s] for s in SPOKEN], [[ord(x) for x in s] for s in HEARD]
    assert lf.label_error_rate(*labels) == lf.character_error_rate(SPOKEN, HEARD)
    assert lf.label_error_rate([s.split() for s in SPOKEN], [s.split() for s in HEARD]) == 5 / 12
    lengths = {"reference_lengths": [2, 1], "hypothesis_lengths": [3, 0]}
    assert lf.label_error_rate([[1, 2], [3, -1]], [[1, 9, 2], [-1, -1, -1]], **lengths) == 2 / 3


@pytest.mark.parametrize("rate", [lf.word_error_rate, lf.character_error_rate, lf.label_error_rate])
def test_rates_of_nothing(rate):
    assert rate([], []) == 0.0
    assert rate([""], [""]) == 0.0
    assert rate(["", ""], ["", "x"]) == math.inf
    assert rate(["a", ""], ["a", "x"]) == 1.0


@pytest.mark.parametrize("unit", ["character", "word", "label"])
def test_a_stream_is_one_batch(unit):
    whole, parts, other = lf.ErrorRate(unit), lf.ErrorRate(unit), lf.ErrorRate(unit)
    whole.update(SPOKEN, HEARD)
    parts.update(SPOKEN[:1], HEARD[:1])
    other.update(SPOKEN[1:2], HEARD[1:2])
    other.update(SPOKEN[2], HEARD[2])
    parts.merge(other)
    assert repr(parts) == repr(whole) and parts.result() == whole.result()
    assert parts.pairs == 3
    rate = {"character": lf.character_error_rate, "word": lf.word_error_rate, "label": lf.label_error_rate}[unit]
    assert rate(SPOKEN, HEARD) == whole.result()


def test_an_update_that_fails_changes_nothing():
    rate = lf.ErrorRate("word")
    rate.update(SPOKEN, HEARD)
    before = repr(rate)
    with pytest.raises(ValueError, match="2 references and 3 hypotheses"):
        rate.update(SPOKEN[:2], HEARD)
    assert repr(rate) == before
    with pytest.raises(ValueError, match="counts characters, expected words"):
        rate.merge(lf.ErrorRate("character"))
    with pytest.raises(TypeError, match="expected an ErrorRate"):
        rate.merge(0.5)
    with pytest.raises(ValueError, match=r"'words', expected one of .*did you mean 'word'"):
        lf.ErrorRate("words")


# --- Bad input ----------------------------------------------------------------------------------------------------

BAD = [
    ("abc", ["abc"], ValueError, "references is one sequence and hypotheses a list of 1"),
    (["abc"], "abc", ValueError, "hypotheses is one sequence and references a list of 1"),
    (["a", "b"], ["a"], ValueError, "2 references and 1 hypotheses"),
    ([[1, 2]], [[1], [2]], ValueError, "1 references and 2 hypotheses"),
    ("abc", [1, 2], TypeError, "references are characters and hypotheses integers"),
    ([["a"]], [[1]], TypeError, "references are words and hypotheses integers"),
    ([["a"], [1]], [["a"], ["b"]], TypeError, "references has sequences of words and of integers"),
    ([["a", 1]], [["a"]], TypeError, r"references\[0\]\[1\] is 1, expected a string"),
    ([["a"], "b"], [["a"], ["b"]], TypeError, r"references\[1\] is 'b', expected a sequence"),
    ([[1], 2], [[1], [2]], TypeError, r"references\[1\] is 2, expected a sequence"),
    ([[1.5]], [[1]], TypeError, "references.* has dtype float64, expected integers"),
    ([1.0, 2.0], [1, 2], TypeError, "references has dtype float64, expected integers"),
    ([1, 2], [True, False], TypeError, "hypotheses has dtype bool, expected integers"),
    ([[[1]]], [[1]], ValueError, "references"),
    (np.zeros((1, 2, 3), int), [[1]], ValueError, r"references has shape \(1, 2, 3\)"),
    (3, 4, ValueError, r"references has shape \(\)"),
    (None, "a", (TypeError, ValueError), "references"),
    ([None], ["a"], (TypeError, ValueError), "references"),
    (b"abc", b"abc", TypeError, "references"),
    (np.array([2**63], np.uint64), [1], ValueError, "references has the element 9223372036854775808"),
    (1j * np.ones(3), [1], TypeError, "references has dtype complex128"),
]


@pytest.mark.parametrize("references, hypotheses, error, words", BAD)
def test_bad_sequences(references, hypotheses, error, words):
    with pytest.raises(error, match=words):
        lf.edit_distance(references, hypotheses)


ARRAY = np.ones((2, 3), int)


@pytest.mark.parametrize(
    "lengths, words",
    [([3, 4], r"\[1\] is 4"), ([-1, 3], r"\[0\] is -1"), ([3], "shape"), ([1, 2, 3], "shape"), (3, "shape"),
     ([2**62, 0], r"\[0\] is"), ([-(2**63), 0], r"\[0\] is")],
)  # fmt: skip
def test_bad_lengths(lengths, words):
    for name in ("reference_lengths", "hypothesis_lengths"):
        with pytest.raises(ValueError, match=f"{name}.*{words}"):
            lf.edit_distance(ARRAY, ARRAY, **{name: lengths})
    with pytest.raises(TypeError, match="reference_lengths"):
        lf.edit_distance(ARRAY, ARRAY, reference_lengths=[1.0, 2.0])


def test_lengths_that_do_not_add_up():
    with pytest.raises(ValueError, match="reference_lengths add up to 4, expected 6"):
        lf.edit_distance(ARRAY.ravel(), ARRAY, reference_lengths=[2, 2])


def test_bad_options():
    with pytest.raises(TypeError, match="counts is 1"):
        lf.edit_distance("a", "b", counts=1)
    with pytest.raises(ValueError, match="n_threads"):
        lf.edit_distance("a", "b", n_threads=0)
    for rate in (lf.character_error_rate, lf.word_error_rate):
        with pytest.raises(TypeError, match="references"):
            rate([[1, 2]], [[1, 2]])
    with pytest.raises(TypeError, match=r"hypotheses\[1\] is 3, expected a string"):
        lf.word_error_rate(["a", "b"], ["a", 3])


@pytest.mark.compiled
def test_counts_that_there_is_no_memory_for():
    r = np.broadcast_to(np.int8(1), 2**27)
    with pytest.raises(MemoryError):
        lf.edit_distance(r, np.zeros(2**27, np.int8), counts=True)
