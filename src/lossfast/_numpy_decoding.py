"""Paths through frames and edit distance in NumPy: the specification and the fallback, in double precision.

The functions have the signatures of the core's, and fill the arrays they are given.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lossfast._arrays import Array
from lossfast._errors import DomainError


def _log_probabilities(z: Array, given: bool) -> Array:
    """Of (frames, classes), as they are given, or by a softmax in which infinite logits share everything.

    A frame with a NaN, or with +inf among log-probabilities, becomes NaN.
    """
    z = z.astype(np.float64, order="C")
    if given:
        return np.where(np.isnan(z).any(axis=1, keepdims=True) | (z == np.inf).any(axis=1, keepdims=True), np.nan, z)
    infinite = (z == np.inf).any(axis=1, keepdims=True) & ~np.isnan(z).any(axis=1, keepdims=True)
    z = np.where(infinite, np.where(z == np.inf, 0.0, -np.inf), z)
    top = np.where(np.isneginf(z).all(axis=1, keepdims=True), 0.0, z.max(axis=1, keepdims=True))
    log_sum = np.log(np.exp(z - top).sum(axis=1, keepdims=True))
    return z - top - np.where(log_sum == -np.inf, 0.0, log_sum)


def _each(logits: Array, lengths: Array | None, log_probabilities: bool) -> Any:
    """The log-probabilities of each sample's frames."""
    for n in range(len(logits)):
        yield n, _log_probabilities(logits[n, : logits.shape[1] if lengths is None else lengths[n]], log_probabilities)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def ctc_greedy(
    single: bool,
    logits: Array,
    logit_lengths: Array | None,
    blank: int,
    log_probabilities: bool,
    labels: Array,
    lengths: Array,
    log_probability: Array,
    nthreads: int,
) -> None:
    """The best class of each frame; repeats are merged, then blanks removed."""
    for n, log_p in _each(logits, logit_lengths, log_probabilities):
        best = log_p.argmax(axis=1)
        total = log_p.max(axis=1).sum()
        merged = [k for t, k in enumerate(best) if t == 0 or best[t - 1] != k]
        spelled = [] if np.isnan(total) else [k for k in merged if k != blank]
        labels[n, : len(spelled)] = spelled
        lengths[n], log_probability[n] = len(spelled), total


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def ctc_beam(
    single: bool,
    logits: Array,
    logit_lengths: Array | None,
    blank: int,
    log_probabilities: bool,
    beam_width: int,
    top: int,
    class_threshold: float,
    labels: Array,
    lengths: Array,
    log_probability: Array,
    nthreads: int,
) -> None:
    """Prefix beam search."""
    for n, log_p in _each(logits, logit_lengths, log_probabilities):
        lengths[n], log_probability[n] = 0, -np.inf
        if np.isnan(log_p).any():
            log_probability[n] = np.nan
            continue
        beam: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -np.inf)}  # paths that end in blank, in a label
        for frame in log_p:
            keep = (frame >= class_threshold) | (np.arange(len(frame)) == frame.argmax())
            beam = _next_beam(beam, np.where(keep, frame, -np.inf), blank, beam_width)
        for i, (prefix, ends) in enumerate(list(beam.items())[:top]):
            labels[n, i, : len(prefix)] = prefix
            lengths[n, i], log_probability[n, i] = len(prefix), np.logaddexp(*ends)


def _next_beam(
    beam: dict[tuple[int, ...], tuple[float, float]], log_p: Array, blank: int, width: int
) -> dict[tuple[int, ...], tuple[float, float]]:
    """The most probable prefixes after one more frame, in order."""
    classes = [int(k) for k in np.argsort(-log_p, kind="stable") if k != blank]
    new = {}
    for prefix, (ends_blank, ends_label) in beam.items():
        stays = ends_label + log_p[prefix[-1]] if prefix else -np.inf
        new[prefix] = (np.logaddexp(ends_blank, ends_label) + log_p[blank], stays)
    for k in classes:
        for prefix, (ends_blank, ends_label) in beam.items():
            before = ends_blank if prefix and prefix[-1] == k else np.logaddexp(ends_blank, ends_label)
            was_blank, was_label = new.get((*prefix, k), (-np.inf, -np.inf))
            new[(*prefix, k)] = (was_blank, np.logaddexp(was_label, before + log_p[k]))
    totals = {prefix: np.logaddexp(*ends) for prefix, ends in new.items()}
    possible = [prefix for prefix in new if totals[prefix] > -np.inf]
    return {prefix: new[prefix] for prefix in sorted(possible, key=lambda p: -totals[p])[:width]}


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def ctc_align(
    single: bool,
    labels: Array,
    label_starts: Array,
    label_lengths: Array,
    logits: Array,
    logit_lengths: Array | None,
    blank: int,
    log_probabilities: bool,
    path: Array,
    position: Array,
    frame_score: Array,
    start: Array,
    end: Array,
    score: Array,
    log_probability: Array,
    nthreads: int,
) -> None:
    """Viterbi's algorithm over blank, label, blank, label, ..., blank."""
    for first, count in zip(label_starts, label_lengths, strict=True):
        some = labels[first : first + count]
        bad = (some < 0) | (some >= logits.shape[-1]) | (some == blank)
        if bad.any():
            raise DomainError("label", int(first + bad.argmax()))
    path[...], position[...], frame_score[...] = -1, -2, np.nan
    start[...], end[...], score[...] = -1, -1, np.nan
    for n, log_p in _each(logits, logit_lengths, log_probabilities):
        at = slice(label_starts[n], label_starts[n] + label_lengths[n])
        states, total = _viterbi(log_p, labels[at], blank)
        log_probability[n] = total
        if not total > -np.inf:
            continue
        extended = np.full(2 * label_lengths[n] + 1, blank)
        extended[1::2] = labels[at]
        frames = len(log_p)
        path[n, :frames] = extended[states]
        position[n, :frames] = np.where(states % 2, states // 2, -1)
        frame_score[n, :frames] = log_p[np.arange(frames), extended[states]]
        for k in range(label_lengths[n]):
            frame = np.flatnonzero(states == 2 * k + 1)
            i = label_starts[n] + k
            start[i], end[i], score[i] = frame[0], frame[-1] + 1, frame_score[n, frame].mean()


def _viterbi(log_p: Array, labels: Array, blank: int) -> tuple[Array, float]:
    """The best path as states 0 ... 2 S, and its log-probability.

    Of several best ways to a state the one from itself is taken, then that from the state before; and the path ends in
    the last label rather than in the blank after it.
    """
    extended = np.full(2 * len(labels) + 1, blank)
    extended[1::2] = labels
    skips = np.zeros(len(extended), bool)
    skips[3::2] = labels[1:] != labels[:-1]
    best = np.full(len(extended), -np.inf)
    best[0] = 0.0  # before the first frame
    came_from = []
    for frame in log_p:
        moves = np.full((3, len(extended)), -np.inf)
        moves[0] = best
        moves[1, 1:] = best[:-1]
        moves[2, 2:] = np.where(skips[2:], best[:-2], -np.inf)
        came_from.append(moves.argmax(axis=0))
        best = moves.max(axis=0) + frame[extended]
    state = len(extended) - 1
    if len(labels) and not best[state] > best[state - 1]:
        state -= 1
    total = np.nan if np.isnan(log_p).any() else float(best[state])
    states = np.empty(len(log_p), np.int64)
    for t in range(len(log_p) - 1, -1, -1):
        states[t] = state
        state -= came_from[t][state]
    return states, total


def edit_distance(
    references: Array,
    reference_starts: Array,
    hypotheses: Array,
    hypothesis_starts: Array,
    distance: Array,
    counts: Array | None,
    nthreads: int,
) -> None:
    """Levenshtein's distance by the table of all prefixes."""
    for n in range(len(distance)):
        r = references[reference_starts[n] : reference_starts[n + 1]].tolist()
        h = hypotheses[hypothesis_starts[n] : hypothesis_starts[n + 1]].tolist()
        while r and h and r[0] == h[0]:
            r, h = r[1:], h[1:]
        while r and h and r[-1] == h[-1]:
            r, h = r[:-1], h[:-1]
        table = [list(range(len(h) + 1))]
        for i, a in enumerate(r):
            row = [i + 1]
            for j, b in enumerate(h):
                row.append(min(table[i][j] + (a != b), table[i][j + 1] + 1, row[j] + 1))
            table.append(row)
        distance[n] = table[-1][-1]
        if counts is None:
            continue
        counts[n] = 0
        i, j = len(r), len(h)
        while i or j:
            here = table[i][j]
            differ = bool(i and j and r[i - 1] != h[j - 1])
            if i and here == table[i - 1][j] + 1:
                i, counts[n, 1] = i - 1, counts[n, 1] + 1
            elif here == table[i][j - 1] + 1 and not (differ and here == table[i - 1][j - 1] + 1):
                j, counts[n, 2] = j - 1, counts[n, 2] + 1
            else:
                i, j, counts[n, 0] = i - 1, j - 1, counts[n, 0] + differ
