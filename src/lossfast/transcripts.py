"""Scoring transcripts: edit distance, and error rates of characters, words and labels."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from lossfast import _loss, _numpy_decoding, _sequences
from lossfast._arrays import Array
from lossfast._evaluate import choice, threads

_edit_distance: Any = (_numpy_decoding if _loss._core is None else _loss._core).edit_distance

UNITS = ("character", "word", "label")


class EditCounts(NamedTuple):
    """Edits by kind: see `edit_distance`."""

    distance: Any
    substitutions: Any
    deletions: Any
    insertions: Any


class _Batch(NamedTuple):
    """Sequences as integers, one after another."""

    name: str
    kind: str  # "characters", "words" or "integers"; "" of no sequences
    symbols: Array
    lengths: Array
    batched: bool  # False: the caller has one sequence

    def starts(self) -> Array:
        """Of each sequence, and the end of the last."""
        return np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])


def _integers(name: str, x: Any) -> Array:
    array = _sequences.integers(name, x)
    largest = np.iinfo(np.int64).max
    if array.dtype == np.uint64 and array.size and int(array.max()) > largest:
        raise ValueError(f"{name} has the element {int(array.max())}, expected at most {largest}")
    return array


def _batch(name: str, x: Any, lengths_name: str, lengths: Any, numbers: dict[str, int]) -> _Batch:
    """What the caller has; words get their numbers from `numbers`."""
    if isinstance(x, np.ndarray) and x.dtype.kind in "UTO":
        x = x.tolist()
    if lengths is None and isinstance(x, str):
        return _of_strings(name, [x], False)
    if lengths is None and isinstance(x, list | tuple):
        if not x:
            return _Batch(name, "", np.empty(0, np.int64), np.empty(0, np.int64), True)
        if set(map(type, x)) == {str} or all(isinstance(s, str) for s in x):
            return _of_strings(name, list(x), True)
        if any(isinstance(s, str) or np.ndim(s) or (isinstance(s, list | tuple) and not s) for s in x):
            return _of_rows(name, list(x), numbers)
    return _of_array(name, _integers(name, x), lengths_name, lengths)


def _of_strings(name: str, strings: list[str], batched: bool) -> _Batch:
    text = "".join(strings)
    if text.isascii():
        code_points: Array = np.frombuffer(text.encode("ascii"), np.uint8)
    else:
        code_points = np.frombuffer(text.encode("utf-32", "surrogatepass"), np.uint32)[1:]  # without the mark
    return _Batch(name, "characters", code_points, np.fromiter(map(len, strings), np.int64, len(strings)), batched)


def _of_rows(name: str, sequences: list[Any], numbers: dict[str, int]) -> _Batch:
    kinds, rows = set(), []
    for i, sequence in enumerate(sequences):
        if isinstance(sequence, list | tuple) and any(isinstance(x, str) for x in sequence):
            for k, x in enumerate(sequence):
                if not isinstance(x, str):
                    raise TypeError(f"{name}[{i}][{k}] is {x!r}, expected a string, as others of the sequence are")
            kinds.add("words")
            rows.append(np.array([numbers.setdefault(x, len(numbers)) for x in sequence], np.int64))
            continue
        if isinstance(sequence, str) or not np.ndim(sequence):
            raise TypeError(f"{name}[{i}] is {sequence!r}, expected a sequence of integers or words, as others are")
        row = _integers(f"{name}[{i}]", sequence).astype(np.int64, copy=False)
        if row.ndim != 1:
            raise ValueError(f"{name}[{i}] has shape {row.shape}, expected one axis")
        kinds |= {"integers"} if row.size else set()
        rows.append(row)
    if len(kinds) > 1:
        raise TypeError(f"{name} has sequences of words and of integers, expected one or the other")
    return _Batch(name, "".join(kinds), np.concatenate(rows), np.array([len(row) for row in rows], np.int64), True)


def _of_array(name: str, given: Array, lengths_name: str, lengths: Any) -> _Batch:
    if given.ndim == 1 and lengths is None:
        return _Batch(name, "integers", given, np.array([len(given)]), False)
    if given.ndim == 1:  # one after another
        samples = np.size(lengths)
        found = _sequences.lengths_of(lengths_name, lengths, samples, True, len(given), f"elements of {name}")
        total = sum(found.tolist()) if found is not None else 0
        if total != len(given):
            raise ValueError(f"{lengths_name} add up to {total}, expected {len(given)}, the length of {name}")
        return _Batch(name, "integers", given, np.asarray(found), True)
    if given.ndim != 2:
        raise ValueError(f"{name} has shape {given.shape}, expected one axis, or (sequences, elements)")
    most = given.shape[1]
    found = _sequences.lengths_of(lengths_name, lengths, len(given), True, most, f"elements of {name}")
    found = np.full(len(given), most) if found is None else found
    return _Batch(name, "integers", given[np.arange(most) < found[:, None]], found, True)


def _pairs(
    references: Any, hypotheses: Any, reference_lengths: Any = None, hypothesis_lengths: Any = None
) -> tuple[_Batch, _Batch]:
    """Both sides, with as many sequences."""
    numbers: dict[str, int] = {}
    r = _batch("references", references, "reference_lengths", reference_lengths, numbers)
    h = _batch("hypotheses", hypotheses, "hypothesis_lengths", hypothesis_lengths, numbers)
    if not r.batched and not h.lengths.size:  # one sequence and an empty list: one that is empty
        h = h._replace(lengths=np.zeros(1, np.int64), batched=False)
    if not h.batched and not r.lengths.size:
        r = r._replace(lengths=np.zeros(1, np.int64), batched=False)
    if r.batched != h.batched:
        one, many = (h, r) if r.batched else (r, h)
        raise ValueError(f"{one.name} is one sequence and {many.name} a list of {len(many.lengths)}, expected as many")
    if len(r.lengths) != len(h.lengths):
        raise ValueError(f"there are {len(r.lengths)} references and {len(h.lengths)} hypotheses, expected as many")
    if r.symbols.size and h.symbols.size and r.kind != h.kind:
        raise TypeError(f"references are {r.kind} and hypotheses {h.kind}, expected the same of both")
    return r, h


def _distances(r: _Batch, h: _Batch, counts: Array | None, nthreads: int) -> Array:
    distance = np.empty(len(r.lengths), np.int64)
    _edit_distance(r.symbols, r.starts(), h.symbols, h.starts(), distance, counts, nthreads)
    return distance


def edit_distance(
    references: Any,
    hypotheses: Any,
    *,
    reference_lengths: Any = None,
    hypothesis_lengths: Any = None,
    counts: bool = False,
    n_threads: int | None = None,
) -> Any:
    """Levenshtein distance: how many substitutions, deletions and insertions turn a reference into its hypothesis.

    Parameters
    ----------
    references, hypotheses : str or array_like
        Two strings, which are sequences of characters, or two sequences of integers; or as many pairs as there are
        strings in two lists, sequences of integers or of words (strings) in two lists of lists, or rows in two arrays.
    reference_lengths, hypothesis_lengths : array_like of int, optional
        How many elements of each row of an array count; or, for an array with one axis, how many belong to each of the
        sequences that stand in it one after another.
    counts : bool, default False
        Whether to return the edits by kind, too: this takes ``reference length * hypothesis length / 4`` bytes.
    n_threads : int, optional
        By default what `lossfast.set_num_threads` says.

    Returns
    -------
    int or ndarray or EditCounts
        The distance of one pair, or an int64 array of that of each; with `counts` a named tuple of ``distance``,
        ``substitutions``, ``deletions`` and ``insertions``.

    Raises
    ------
    ValueError
        For lists of different lengths, bad shapes and lengths.
    TypeError
        For what is neither a string nor integers, and for words beside integers.

    Notes
    -----
    There are often several ways to make do with the fewest edits.  The one that is counted is that of RapidFuzz and
    jiwer: what both sequences have in common at the beginning, and then at the end, matches; going back from there, a
    deletion wherever it is one of the ways, else an insertion where it is one and a substitution is not, else a match
    or a substitution.

    Python's characters are code points: normalise text that may have combining characters.

    References
    ----------
    G. Myers, "A fast bit-vector algorithm for approximate string matching based on dynamic programming", JACM 46 (1999)
    395-415, doi:10.1145/316542.316550, in the form of H. Hyyrö, Nordic J. Computing 10 (2003) 29-39.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.edit_distance("kitten", "sitting")
    3
    >>> lf.edit_distance([["the", "cat", "sat"], ["yes"]], [["the", "bat"], []], counts=True)
    EditCounts(distance=array([2, 1]), substitutions=array([1, 0]), deletions=array([1, 1]), insertions=array([0, 0]))
    >>> lf.edit_distance([[1, 2, 3], [4, 4, 0]], [[1, 3], [4, 5]], reference_lengths=[3, 2])
    array([1, 1])
    """
    nthreads = threads(n_threads)
    wants_counts = _sequences.flag("counts", counts)
    r, h = _pairs(references, hypotheses, reference_lengths, hypothesis_lengths)
    by_kind = np.empty((len(r.lengths), 3), np.int64) if wants_counts else None
    distance = _distances(r, h, by_kind, nthreads)
    results: list[Any] = [distance] if by_kind is None else [distance, *by_kind.T.copy()]
    if not r.batched:
        results = [int(x[0]) for x in results]
    return results[0] if by_kind is None else EditCounts(*results)


class ErrorRate:
    """The error rate of transcripts that come piece by piece: all edits by the length of all references.

    Parameters
    ----------
    unit : {"character", "word", "label"}
        What is counted: characters of strings, words of strings (what whitespace parts), or whatever `edit_distance`
        takes as the elements of a sequence.

    Attributes
    ----------
    errors : int
        Substitutions, deletions and insertions so far.
    length : int
        The elements of all references.
    pairs : int
        How many references there were.

    Examples
    --------
    >>> import lossfast as lf
    >>> rate = lf.ErrorRate("word")
    >>> rate.update(["the cat sat", "on the mat"], ["the bat sat", "on a mat too"])
    >>> rate.update("yes", "yes")
    >>> rate
    ErrorRate('word', errors=3, length=7, pairs=3)
    >>> round(rate.result(), 4)
    0.4286
    """

    def __init__(self, unit: str = "word") -> None:
        choice("unit", unit, UNITS)
        self.unit = unit
        self.errors = self.length = self.pairs = 0

    def update(
        self,
        references: Any,
        hypotheses: Any,
        *,
        reference_lengths: Any = None,
        hypothesis_lengths: Any = None,
        n_threads: int | None = None,
    ) -> None:
        """Take in more pairs: what `edit_distance` takes, strings where characters or words are counted."""
        if self.unit == "word":
            references, hypotheses = _words("references", references), _words("hypotheses", hypotheses)
        r, h = _pairs(references, hypotheses, reference_lengths, hypothesis_lengths)
        for side in (r, h):
            if self.unit == "character" and side.kind not in ("characters", ""):
                raise TypeError(f"{side.name} are {side.kind}, expected strings: see lossfast.label_error_rate")
        self.errors += int(_distances(r, h, None, threads(n_threads)).sum())
        self.length += int(r.lengths.sum())
        self.pairs += len(r.lengths)

    def merge(self, other: ErrorRate) -> None:
        """Take in all that another of the same unit has seen."""
        if not isinstance(other, ErrorRate):
            raise TypeError(f"other is {other!r}, expected an ErrorRate")
        if other.unit != self.unit:
            raise ValueError(f"other counts {other.unit}s, expected {self.unit}s")
        self.errors += other.errors
        self.length += other.length
        self.pairs += other.pairs

    def result(self) -> float:
        """errors / length; where all references are empty 0.0, or inf if there are errors."""
        if self.length:
            return self.errors / self.length
        return math.inf if self.errors else 0.0

    def __repr__(self) -> str:
        return f"ErrorRate({self.unit!r}, errors={self.errors}, length={self.length}, pairs={self.pairs})"


def _words(name: str, x: Any) -> list[list[str]]:
    if isinstance(x, np.ndarray) and x.dtype.kind in "UTO":
        x = x.tolist()
    strings = [x] if isinstance(x, str) else x
    if not isinstance(strings, list | tuple):
        raise TypeError(f"{name} is {x!r}, expected a string or a list of strings")
    for i, s in enumerate(strings):
        if not isinstance(s, str):
            raise TypeError(f"{name}[{i}] is {s!r}, expected a string: see lossfast.label_error_rate")
    return [s.split() for s in strings]


def _rate(unit: str, *pair: Any, **options: Any) -> float:
    rate = ErrorRate(unit)
    rate.update(*pair, **options)
    return rate.result()


def character_error_rate(references: Any, hypotheses: Any, *, n_threads: int | None = None) -> float:
    """Character error rate (CER): edits of characters, spaces among them, by the length of the references.

    Parameters
    ----------
    references, hypotheses : str or list of str
        What was said, and what was understood.
    n_threads : int, optional
        By default what `lossfast.set_num_threads` says.

    Returns
    -------
    float
        The sum of all edit distances by the sum of all reference lengths, which is not the mean of the rates of each;
        it may exceed 1.  Where all references are empty 0.0, or inf if a hypothesis is not.

    See Also
    --------
    ErrorRate : the same of a stream.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.character_error_rate(["abcd", "ef"], ["abd", "efg"])
    0.3333333333333333
    """
    return _rate("character", references, hypotheses, n_threads=n_threads)


def word_error_rate(references: Any, hypotheses: Any, *, n_threads: int | None = None) -> float:
    """Word error rate (WER): edits of words by the number of words of the references.

    Words are what `str.split` finds; case and punctuation count.

    Parameters
    ----------
    references, hypotheses : str or list of str
        What was said, and what was understood.
    n_threads : int, optional
        By default what `lossfast.set_num_threads` says.

    Returns
    -------
    float
        As `character_error_rate`, of words.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.word_error_rate(["the cat sat on the mat"], ["the cat sat on mat"])
    0.16666666666666666
    """
    return _rate("word", references, hypotheses, n_threads=n_threads)


def label_error_rate(
    references: Any,
    hypotheses: Any,
    *,
    reference_lengths: Any = None,
    hypothesis_lengths: Any = None,
    n_threads: int | None = None,
) -> float:
    """Label error rate (LER): edits of the elements of any sequences by the length of the references.

    Parameters
    ----------
    references, hypotheses : array_like
        As for `edit_distance`: arrays of labels, or lists of sequences.
    reference_lengths, hypothesis_lengths : array_like of int, optional
        As for `edit_distance`.
    n_threads : int, optional
        By default what `lossfast.set_num_threads` says.

    Returns
    -------
    float
        As `character_error_rate`, of labels.

    Examples
    --------
    >>> import lossfast as lf
    >>> found = lf.ctc_greedy_decode([[[0.0, 2.0, 1.0], [3.0, 0.0, 0.0], [0.0, 0.0, 5.0]]])
    >>> lf.label_error_rate([[1, 2, 2]], found.labels, hypothesis_lengths=found.lengths)
    0.3333333333333333
    """
    lengths = {"reference_lengths": reference_lengths, "hypothesis_lengths": hypothesis_lengths}
    return _rate("label", references, hypotheses, **lengths, n_threads=n_threads)
