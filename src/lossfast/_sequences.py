"""Operands of whatever is about sequences: logits of frames, labels, and how many of each a sample has.

`frames` and `labels` take what the caller has and hand back views of it as (samples, frames, classes) and as rows of
labels or labels one after another; nothing as large as the logits is copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lossfast import _arrays
from lossfast._arrays import Array, position
from lossfast._errors import DomainError

LARGEST = 2**62  # elements of a table of frames and states
MOST_CLASSES = 2**20
MOST_FRAMES = 2**24


class Frames:
    """Logits or log-probabilities of a batch of sequences."""

    def __init__(self, given: Array, blank: int, time_major: bool) -> None:
        self.given = given  # floats in the caller's order of axes
        self.blank = blank
        self.time_major = time_major
        self.batched = given.ndim == 3  # else the caller has one sample, without an axis of samples
        self.single = given.dtype != np.float64  # arithmetic in float32
        self.rows = self.view(given)  # (samples, frames, classes)
        self.samples, self.steps, self.classes = self.rows.shape
        self.lengths: Array | None = None  # int64 (samples,), each in [0, steps]; None: all frames of all samples

    def view(self, x: Array) -> Array:
        """An array in the caller's order of axes, as (samples, frames, ...)."""
        if not self.batched:
            return x[None]
        return x.swapaxes(0, 1) if self.time_major else x

    def shape(self, *more: int) -> tuple[int, ...]:
        """(samples, frames, *more) in the caller's order of axes."""
        if not self.batched:
            return (self.steps, *more)
        first = (self.steps, self.samples) if self.time_major else (self.samples, self.steps)
        return (*first, *more)


@dataclass(frozen=True)
class Labels:
    """The labels of a batch of sequences."""

    given: Array  # integers: (samples, most), or those of all samples one after another
    lengths: Array | None  # int64 (samples,); None: `most` labels in every sample
    most: int  # labels of the longest sample, or of the padded rows
    batched: bool

    @property
    def counts(self) -> Array | int:
        """How many labels each sample has, or all have."""
        return self.most if self.lengths is None else self.lengths

    def explanation(self, error: DomainError, frames: Frames) -> str:
        """The sentence for a label that is no class or blank, where the core has found one."""
        at = np.unravel_index(error.index, self.given.shape)
        label = int(self.given[at])
        where = f"labels{position(at if self.batched else at[1:])} is {label}"
        expected = f"a class in [0, {frames.classes}) other than blank"
        if label != frames.blank:
            return f"{where}, expected {expected}"
        return f"{where}, which is blank, expected {expected} (label_lengths says where a sample's padding begins)"


def integers(name: str, x: Any) -> Array:
    """`x` as an array of integers."""
    array = _arrays.as_array(name, x)
    if not array.size and array.dtype == np.float64 and not isinstance(x, np.ndarray):
        return array.astype(np.int64)  # an empty list
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {array.dtype}, expected integers: convert them with astype(int)")
    return array


def lengths_of(name: str, x: Any, samples: int, batched: bool, most: int, what: str) -> Array | None:
    """One integer in [0, most] for each sample as int64; None stays None."""
    if x is None:
        return None
    given = integers(name, x)
    if not batched and given.shape == ():
        given = given[None]
    if given.shape != (samples,):
        expected = f"{(samples,)}, a number for each sample" if batched else "() or (1,), as logits are one sample"
        raise ValueError(f"{name} has shape {given.shape}, expected {expected}")
    lengths = np.ascontiguousarray(given, np.int64)
    if samples and lengths.view(np.uint64).max() > most:  # negative ones, too, are large without a sign
        first = int(((given < 0) | (given > most)).argmax())
        at = position((first,)) if batched or np.ndim(x) else ""
        raise ValueError(f"{name}{at} is {int(given[first])}, expected an integer in [0, {most}], the number of {what}")
    return lengths


def flag(name: str, x: Any) -> bool:
    """An option that is True or False."""
    if not isinstance(x, bool | np.bool_):
        raise TypeError(f"{name} is {x!r}, expected True or False")
    return bool(x)


def frames(logits: Any, logit_lengths: Any, blank: Any, time_major: Any) -> Frames:
    """Logits of shape (samples, frames, classes), (frames, samples, classes) if `time_major`, or (frames, classes)."""
    time_major = flag("time_major", time_major)
    given = _arrays.prediction(logits, "logits")
    if given.ndim not in (2, 3):
        order = "frames, samples" if time_major else "samples, frames"
        raise ValueError(f"logits has shape {given.shape}, expected ({order}, classes), or (frames, classes) for one")
    if isinstance(blank, bool) or not isinstance(blank, int | np.integer):
        raise TypeError(f"blank is {blank!r}, expected an integer")
    if not given.shape[-1]:
        raise ValueError(f"logits has shape {given.shape}, expected at least one class along the last axis: blank")
    if not 0 <= blank < given.shape[-1]:
        raise ValueError(f"blank is {blank}, expected a class in [0, {given.shape[-1]})")
    if given.shape[-1] > MOST_CLASSES:
        raise ValueError(f"logits has {given.shape[-1]} classes, expected at most {MOST_CLASSES}")
    found = Frames(given, int(blank), time_major)
    if found.steps > MOST_FRAMES:
        raise ValueError(f"logits has {found.steps} frames, expected at most {MOST_FRAMES}")
    found.lengths = lengths_of("logit_lengths", logit_lengths, found.samples, found.batched, found.steps, "frames")
    return found


def labels(labels: Any, label_lengths: Any, frames: Frames) -> Labels:
    """Labels of shape (samples, most), or one after another with `label_lengths`; (labels,) for one sample.

    What they are is for the core to check, which looks only at those within the lengths.
    """
    try:
        given = integers("labels", labels)
    except ValueError as error:
        if "inhomogeneous" in str(error):
            raise ValueError(
                "labels are rows of different lengths, expected rows padded to one length, or the labels of all "
                "samples one after another, with label_lengths"
            ) from None
        raise
    samples, batched = frames.samples, frames.batched
    if not batched and given.ndim == 1:
        given = given[None]
    one_after_another = given.ndim == 1
    if not one_after_another and (given.ndim != 2 or len(given) != samples):
        expected = f"({samples}, labels), or one axis and label_lengths" if batched else "(labels,)"
        raise ValueError(
            f"labels has shape {given.shape} and logits {frames.given.shape}, expected labels of shape {expected}"
        )
    most = given.shape[-1]
    lengths = lengths_of("label_lengths", label_lengths, samples, batched, most, "labels")
    if one_after_another:
        if lengths is None:
            raise ValueError("label_lengths is missing: labels has one axis, expected how many are of each sample")
        total = sum(lengths.tolist())
        if total != len(given):
            raise ValueError(f"label_lengths add up to {total}, expected {len(given)}, the number of labels")
        most = int(lengths.max(initial=0))
    if frames.steps * (2 * most + 1) >= LARGEST:
        raise ValueError(f"logits of {frames.steps} frames and {most} labels have more states than memory has bytes")
    return Labels(given, lengths, most, batched)
