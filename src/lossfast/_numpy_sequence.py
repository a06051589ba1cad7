"""The specification of ctc behind the function of the compiled core: see `_numpy`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lossfast._arrays import Array
from lossfast._errors import DomainError
from lossfast._loss import REGISTRY
from lossfast._numpy import double

HIGHEST = 2.0**30  # of logarithms of probabilities: the compiled core leaves no more room for the exponents of a sum


def ctc(
    single: bool,
    logits: Array,
    labels: Array,
    label_lengths: Array | None,
    logit_lengths: Array | None,
    blank: int,
    log_probabilities: bool,
    scale: Array | None,
    value: Array | None,
    grad: Array | None,
    posteriors: Array | None,
    nthreads: int,
) -> None:
    """Fill the outputs that are not None, of logits (samples, frames, classes).

    `labels` are (samples, labels) or all samples' one after another; `scale` multiplies each sample's gradient;
    `posteriors` are (samples, frames, 2 labels + 1).  Beyond the lengths, gradients and posteriors are 0.
    """
    frames = np.full(len(logits), logits.shape[1]) if logit_lengths is None else logit_lengths
    rows = list(_checked(labels, label_lengths, frames, logits.shape, blank))
    spec = REGISTRY["ctc"].declaration.spec
    for i, (row, steps) in enumerate(zip(rows, frames, strict=True)):
        given = double(logits[i, :steps])
        y = given if log_probabilities else log_softmax(given)
        if not (y[:, [blank, *row]] <= HIGHEST).all():
            loss, occupation, posterior = np.nan, np.array(np.nan), np.array(np.nan)
        else:
            loss, posterior = spec(row, y, blank)
            occupation = _occupation(posterior, row, blank, logits.shape[2])
        if value is not None:
            value[i] = loss
        if grad is not None:
            with np.errstate(all="ignore"):
                softmax = 0.0 if log_probabilities or loss == np.inf else np.exp(y)
                gradient = (1.0 if scale is None else scale[i]) * (softmax - occupation)
                grad[i, :steps], grad[i, steps:] = gradient, 0
        if posteriors is not None:
            posteriors[i] = 0
            posteriors[i, :steps, : 2 * len(row) + 1] = posterior


def _checked(
    labels: Array, label_lengths: Array | None, frames: Array, shape: tuple[int, ...], blank: int
) -> Iterator[Array]:
    """The labels of each sample; DomainError for bad lengths and for labels that are no class or blank."""
    padded = labels.ndim == 2
    if label_lengths is None:
        label_lengths = np.full(shape[0], labels.shape[-1])
    given = (("label_length", label_lengths, labels.shape[-1]), ("logit_length", frames, shape[1]))
    for operand, lengths, most in given:
        bad = (lengths < 0) | (lengths > most)
        if bad.any():
            raise DomainError(operand, int(bad.argmax()))
    first = 0
    if not padded and sum(label_lengths.tolist()) != labels.size:
        raise DomainError("label_lengths", sum(label_lengths.tolist()))
    for i, count in enumerate(label_lengths.tolist()):
        start = i * labels.shape[1] if padded else first
        row = labels[i, :count] if padded else labels[first : first + count]
        bad = (row < 0) | (row >= shape[2]) | (row == blank)
        if bad.any():
            raise DomainError("label", start + int(bad.argmax()))
        first += count
        yield row.astype(np.intp)


def log_softmax(z: Array) -> Array:
    """Of the last axis, by its limits: classes at +inf share everything, and a row of -inf has no probability."""
    m = z.max(axis=-1, keepdims=True)
    with np.errstate(all="ignore"):
        top = np.where(z == np.inf, 0.0, -np.inf)
        shifted = np.where(m == np.inf, top, np.where(m == -np.inf, -np.inf, z - m))
        return shifted - np.where(m == -np.inf, 0.0, np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _occupation(posterior: Array, labels: Array, blank: int, classes: int) -> Array:
    """The expected number of visits to each class in each frame: the sum over its states (lab(l, k) in Graves)."""
    occupation = np.zeros((len(posterior), classes))
    occupation[:, blank] = posterior[:, ::2].sum(axis=1)
    for k in np.unique(labels):
        occupation[:, k] = posterior[:, 1::2][:, labels == k].sum(axis=1)
    return occupation
