"""Reading the output of a CTC model: greedy decoding, beam search, forced alignment."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from lossfast import _loss, _numpy_decoding, _sequences
from lossfast._arrays import Array
from lossfast._errors import DomainError
from lossfast._evaluate import threads

_search: Any = _numpy_decoding if _loss._core is None else _loss._core


class Decoding(NamedTuple):
    """Labels that were read: see `ctc_greedy_decode` and `ctc_beam_search`."""

    labels: Array
    lengths: Array
    log_probability: Array


class Alignment(NamedTuple):
    """Where labels are: see `ctc_align`."""

    path: Array
    position: Array
    frame_score: Array
    start: Array
    end: Array
    score: Array
    log_probability: Array


def _own(lengths: Array | None) -> Array | None:
    """A copy: what is indexed with must not change meanwhile, whoever else has the array."""
    return None if lengths is None else lengths.copy()


def _padded(labels: Array, lengths: Array) -> Array:
    """Labels of the longest length and no more, -1 behind the end."""
    labels = labels[..., : int(lengths.max(initial=0))].copy()
    labels[np.arange(labels.shape[-1]) >= lengths[..., None]] = -1
    return labels


def _one(frames: _sequences.Frames, *arrays: Array) -> tuple[Array, ...]:
    """The results as the caller has samples: one, or several."""
    return arrays if frames.batched else tuple(x[0] for x in arrays)


def ctc_greedy_decode(
    logits: Any,
    logit_lengths: Any = None,
    *,
    blank: int = 0,
    time_major: bool = False,
    from_logits: bool = True,
    n_threads: int | None = None,
) -> Decoding:
    """The labels that the best class of every frame spells: repeats are merged, then blanks removed.

    Parameters
    ----------
    logits : array_like
        Of shape (samples, frames, classes), or (frames, classes) for one sample; float16, bfloat16, float32 or float64,
        and anything else is taken as float64.
    logit_lengths : array_like of int, optional
        How many frames each sample has, by default all.  What is beyond them is not looked at.
    blank : int, default 0
        The class that stands for no label.
    time_major : bool, default False
        Whether `logits` has the shape (frames, samples, classes).
    from_logits : bool, default True
        False: `logits` are log-probabilities already, and taken as they are.
    n_threads : int, optional
        By default what `lossfast.set_num_threads` says.  No number of threads changes a bit of the result.

    Returns
    -------
    Decoding
        A named tuple: ``labels``, int64 of shape (samples, longest), -1 behind the end of the shorter ones;
        ``lengths``, int64 of shape (samples,); ``log_probability``, float64 of shape (samples,), of the path.  For one
        sample without the axis of samples.

    Raises
    ------
    ValueError
        For shapes that do not fit, a blank that is no class, and bad lengths, with the first bad position and value.
    TypeError
        For arrays that do not hold numbers.

    See Also
    --------
    ctc_beam_search : the most probable labels, where this takes those of the most probable path.

    Notes
    -----
    Of equal classes the lowest is the best.  A sample with a NaN in its frames (or +inf among log-probabilities) has no
    labels and a log-probability of NaN; the others are not affected.

    References
    ----------
    A. Graves et al., "Connectionist temporal classification", ICML 2006, doi:10.1145/1143844.1143891.

    Examples
    --------
    >>> import lossfast as lf
    >>> frames = np.log([[0.1, 0.8, 0.1], [0.1, 0.7, 0.2], [0.9, 0.1, 0.0001], [0.3, 0.6, 0.1], [0.2, 0.1, 0.7]])
    >>> labels, lengths, log_probability = lf.ctc_greedy_decode(frames[None])
    >>> labels
    array([[1, 1, 2]])
    """
    frames = _sequences.frames(logits, logit_lengths, blank, time_major)
    given = not _sequences.flag("from_logits", from_logits)
    n = threads(n_threads)
    labels = np.empty((frames.samples, frames.steps), np.int64)
    lengths, log_p = np.empty(frames.samples, np.int64), np.empty(frames.samples)
    _search.ctc_greedy(frames.single, frames.rows, _own(frames.lengths), frames.blank, given, labels, lengths, log_p, n)
    return Decoding(*_one(frames, _padded(labels, lengths), lengths, log_p))


def _whole(name: str, x: Any, low: int, high: int | None = None) -> int:
    if isinstance(x, bool) or not isinstance(x, int | np.integer):
        raise TypeError(f"{name} is {x!r}, expected an integer")
    if x < low or (high is not None and x > high):
        expected = f"at least {low}" if high is None else f"in [{low}, {high}], at most beam_width"
        raise ValueError(f"{name} is {x}, expected an integer {expected}")
    return int(x)


def _threshold(x: Any) -> float:
    if x is None:
        return -math.inf
    if isinstance(x, bool) or not isinstance(x, int | float | np.integer | np.floating):
        raise TypeError(f"class_threshold is {x!r}, expected a log-probability or None")
    if not x <= 0:
        raise ValueError(f"class_threshold is {x}, expected a log-probability, at most 0")
    return float(x)


def ctc_beam_search(
    logits: Any,
    logit_lengths: Any = None,
    *,
    beam_width: int = 100,
    top: int = 1,
    blank: int = 0,
    time_major: bool = False,
    from_logits: bool = True,
    class_threshold: float | None = None,
    n_threads: int | None = None,
) -> Decoding:
    """The most probable labels, by prefix beam search.

    The probability of labels is that of all paths that spell them.  The search keeps the `beam_width` most probable
    prefixes after every frame, so it finds the best labels, with their exact log-probability, if the beam is wide
    enough; a narrower one may miss them, and paths through prefixes that were dropped are missing in what it returns.

    Parameters
    ----------
    logits : array_like
        Of shape (samples, frames, classes), or (frames, classes) for one sample; float16, bfloat16, float32 or float64,
        and anything else is taken as float64.
    logit_lengths : array_like of int, optional
        How many frames each sample has, by default all.  What is beyond them is not looked at.
    beam_width : int, default 100
        How many prefixes are kept.
    top : int, default 1
        How many hypotheses are returned for each sample, at most `beam_width`.
    blank : int, default 0
        The class that stands for no label.
    time_major : bool, default False
        Whether `logits` has the shape (frames, samples, classes).
    from_logits : bool, default True
        False: `logits` are log-probabilities already, and taken as they are.
    class_threshold : float, optional
        A log-probability: in each frame classes below it, blank among them, are taken as impossible, but for the best
        one.  By default none are.  Saves time where there are many classes.
    n_threads : int, optional
        By default what `lossfast.set_num_threads` says.  No number of threads changes a bit of the result.

    Returns
    -------
    Decoding
        A named tuple, the best hypothesis first: ``labels``, int64 of shape (samples, top, longest), -1 behind the end
        of the shorter ones; ``lengths``, int64, and ``log_probability``, float64, of shape (samples, top).  For one
        sample without the axis of samples.

    Raises
    ------
    ValueError
        For shapes that do not fit, a blank that is no class, bad lengths and widths, with the first bad position and
        value.
    TypeError
        For arrays that do not hold numbers.
    MemoryError
        If there is no memory for ``24 * beam_width * frames`` bytes for each thread.

    See Also
    --------
    ctc_greedy_decode : much faster, and as good where the model is sure.

    Notes
    -----
    Where fewer than `top` labellings are possible, the rest has length 0 and a log-probability of -inf.  A sample with
    a NaN in its frames (or +inf among log-probabilities) has no labels and log-probabilities of NaN; the others are
    not affected.

    Of prefixes that are equally probable after a frame, those that were in the beam come first, in their order; then
    the new ones, those that end in the more probable class first, and in the lower of equal ones, in the order of the
    prefixes that they extend.

    References
    ----------
    A. Graves, "Supervised sequence labelling with recurrent neural networks", 2008, section 7.5;
    A. Hannun et al., "First-pass large vocabulary continuous speech recognition using bi-directional recurrent DNNs",
    2014, arXiv:1408.2873.

    Examples
    --------
    Two frames in which blank is the best class, and a label is the best reading:

    >>> import lossfast as lf
    >>> frames = np.log([[[0.6, 0.4], [0.6, 0.4]]])
    >>> lf.ctc_greedy_decode(frames).lengths
    array([0])
    >>> labels, lengths, log_probability = lf.ctc_beam_search(frames, top=2)
    >>> labels
    array([[[ 1],
            [-1]]])
    >>> np.exp(log_probability).round(2)
    array([[0.64, 0.36]])
    """
    frames = _sequences.frames(logits, logit_lengths, blank, time_major)
    given = not _sequences.flag("from_logits", from_logits)
    width = _whole("beam_width", beam_width, 1)
    count = _whole("top", top, 1, width)
    threshold, n = _threshold(class_threshold), threads(n_threads)
    labels = np.empty((frames.samples, count, frames.steps), np.int64)
    lengths, log_p = np.zeros((frames.samples, count), np.int64), np.full((frames.samples, count), -np.inf)
    _search.ctc_beam(
        frames.single, frames.rows, _own(frames.lengths), frames.blank, given, width, count, threshold,
        labels, lengths, log_p, n,
    )  # fmt: skip
    return Decoding(*_one(frames, _padded(labels, lengths), lengths, log_p))


def ctc_align(
    labels: Any,
    logits: Any,
    label_lengths: Any = None,
    logit_lengths: Any = None,
    *,
    blank: int = 0,
    time_major: bool = False,
    from_logits: bool = True,
    n_threads: int | None = None,
) -> Alignment:
    """Forced alignment: the most probable path that spells given labels, and where it has each of them.

    Parameters
    ----------
    labels : array_like of int
        Of shape (samples, labels), padded with anything, or those of all samples one after another; (labels,) for one
        sample.  Classes other than blank.
    logits : array_like
        Of shape (samples, frames, classes), or (frames, classes) for one sample; float16, bfloat16, float32 or float64,
        and anything else is taken as float64.
    label_lengths, logit_lengths : array_like of int, optional
        How many labels and frames each sample has, by default all.  What is beyond them is not looked at.
    blank : int, default 0
        The class that stands for no label.
    time_major : bool, default False
        Whether `logits` has the shape (frames, samples, classes).
    from_logits : bool, default True
        False: `logits` are log-probabilities already, and taken as they are.
    n_threads : int, optional
        By default what `lossfast.set_num_threads` says.  No number of threads changes a bit of the result.

    Returns
    -------
    Alignment
        A named tuple.  Of every frame, in the shape of `logits` without classes: ``path``, its class, blank among them;
        ``position``, which of the sample's labels that is, from 0 on, -1 where it is blank; ``frame_score``, the
        log-probability of its class.  Of every label, in the shape of `labels`: ``start`` and ``end``, its frames are
        ``start`` ... ``end - 1``; ``score``, the mean of their log-probabilities.  Of every sample:
        ``log_probability``, that of the path.

        Beyond the lengths, ``path``, ``start`` and ``end`` are -1, ``position`` is -2, and the scores are NaN.  So is a
        whole sample that cannot be aligned (fewer frames than labels and the blanks between equal ones, or
        probabilities of 0): its ``log_probability`` is -inf.

    Raises
    ------
    ValueError
        For shapes that do not fit, labels that are blank or no class, and bad lengths, with the first bad position and
        value.
    TypeError
        For arrays that do not hold numbers, and labels or lengths that are no integers.
    MemoryError
        If there is no memory for ``frames * (labels + 1)`` bytes for each thread.

    Notes
    -----
    ``path`` and ``frame_score`` are what ``torchaudio.functional.forced_align`` returns, and ``start``, ``end`` and
    ``score`` what ``torchaudio.functional.merge_tokens`` makes of them; the probability that goes with a score is
    ``exp(score)``, a geometric mean.

    Of equally probable paths it is the one that, seen from its end, stays longer where it is, and goes through a blank
    rather than past it; it ends in the last label rather than in a blank.  A sample with a NaN in its frames (or +inf
    among log-probabilities) is not aligned and has a log-probability of NaN; the others are not affected.

    References
    ----------
    L. R. Rabiner, "A tutorial on hidden Markov models", Proc. IEEE 77 (1989) 257-286, doi:10.1109/5.18626, for
    Viterbi's algorithm; A. Graves et al., ICML 2006, for the states.

    Examples
    --------
    >>> import lossfast as lf
    >>> frames = np.log([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8], [0.9, 0.05, 0.05]])
    >>> found = lf.ctc_align([1, 2], frames)
    >>> found.path
    array([0, 1, 1, 2, 0])
    >>> found.start, found.end
    (array([1, 3]), array([3, 4]))
    >>> np.exp(found.score).round(2)
    array([0.75, 0.8 ])
    """
    frames = _sequences.frames(logits, logit_lengths, blank, time_major)
    target = _sequences.labels(labels, label_lengths, frames)
    given, n = not _sequences.flag("from_logits", from_logits), threads(n_threads)
    samples, steps, shape = frames.samples, frames.steps, target.given.shape
    counts = np.full(samples, target.most) if target.lengths is None else target.lengths.copy()
    one_after_another = target.given.ndim == 1
    starts = np.cumsum(counts) - counts if one_after_another else np.arange(samples) * shape[-1]
    path, position = np.empty((samples, steps), np.int64), np.empty((samples, steps), np.int64)
    frame_score, log_p = np.empty((samples, steps)), np.empty(samples)
    start, end, score = np.empty(shape, np.int64), np.empty(shape, np.int64), np.empty(shape)
    flat = np.array(target.given, np.int64, order="C").reshape(-1)
    try:
        _search.ctc_align(
            frames.single, flat, starts, counts, frames.rows, _own(frames.lengths), frames.blank, given, path,
            position, frame_score, start.reshape(-1), end.reshape(-1), score.reshape(-1), log_p, n,
        )  # fmt: skip
    except DomainError as error:
        raise ValueError(target.explanation(error, frames)) from None
    if frames.batched and frames.time_major:
        path, position, frame_score = path.T, position.T, frame_score.T
    return Alignment(*_one(frames, path, position, frame_score, start, end, score, log_p))
