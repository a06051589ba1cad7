"""Losses of sequences whose alignment with their labels is not known."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lossfast import _ctc, _sequences
from lossfast._arrays import Array
from lossfast._declarations import Param, flag
from lossfast._errors import DomainError
from lossfast._evaluate import threads
from lossfast._loss import sequence


class Lattice(NamedTuple):
    """The loss of a sample, and how probable each state of its extended labels is in each frame."""

    value: float
    posteriors: Array  # (frames, 2 labels + 1)


@sequence(
    "CTC",
    formula="-log(sum of P(path) over the paths that give the labels),  P(path) = product of softmax(logits)",
    aliases=("CTCLoss", "ctc_loss"),
    blank=Param(
        0, "The class of no label: of a path, repeated classes are merged, then blanks removed.", kind=int, tests=(2,)
    ),
    time_major=Param(False, "Whether logits have the shape (frames, samples, C).", kind=bool, tests=(True,)),
    from_logits=Param(
        True,
        "Whether a softmax turns `logits` into probabilities.  False: they are logarithms of probabilities, taken as\n"
        "they are whether these add up to 1 or not, and the gradient is that by them.",
        kind=bool,
        tests=(False,),
    ),
    zero_infinity=flag("Whether the loss of an impossible sample is 0 instead of inf; its gradient is 0 in any case."),
)
def ctc(labels: Array, log_probabilities: Array, blank: int) -> Lattice:
    """Connectionist temporal classification: the likelihood of labels whose place among the frames is unknown.

    See Also
    --------
    ctc_posteriors : where the labels are.

    Notes
    -----
    A sample is impossible if it has fewer frames than labels and blanks between equal neighbours, or if every path has
    a logit of -inf: its loss is inf and its gradient 0.  Without frames the loss is 0 for no labels, else inf.  A NaN
    makes its own sample NaN; of log-probabilities only those of blank and of the sample's labels are looked at.

    A sample's value is a float64, and sums are rounded once.  Gradients are computed in float32 unless `logits` are
    float64.

    References
    ----------
    A. Graves, S. Fernández, F. Gomez, J. Schmidhuber, "Connectionist temporal classification: labelling unsegmented
    sequence data with recurrent neural networks", ICML 2006, 369-376, doi:10.1145/1143844.1143891.

    Examples
    --------
    Two frames in which each of three classes has probability 1/3; of the nine paths, "a a", "a -" and "- a" give the
    label "a":

    >>> import numpy as np
    >>> import lossfast as lf
    >>> logits = np.zeros((1, 2, 3))
    >>> round(lf.ctc([[1]], logits), 6)
    1.098612
    >>> value, grad = lf.ctc.value_and_grad([[1]], logits)
    >>> grad.round(6).tolist()
    [[[0.0, -0.333333, 0.333333], [0.0, -0.333333, 0.333333]]]

    Padded labels, or all labels one after another:

    >>> logits = np.zeros((2, 5, 4))
    >>> lf.ctc([[1, 2], [3, 0]], logits, [2, 1]) == lf.ctc([1, 2, 3], logits, [2, 1])
    True

    Two equal labels need a blank between them, and so three frames:

    >>> lf.ctc([[1, 1], [1, 2]], np.zeros((2, 2, 3)), reduction="none", full_output=True)
    (array([       inf, 2.19722458]), array([False,  True]))
    """
    extended = np.full(2 * len(labels) + 1, blank)
    extended[1::2] = labels
    y = log_probabilities[:, extended]
    frames, states = y.shape
    if not frames:
        return Lattice(np.inf if len(labels) else 0.0, np.empty((0, states)))
    skips = np.zeros(states, bool)  # whether a state may follow that before the one before: between unequal labels
    skips[2:] = (extended[2:] != blank) & (extended[2:] != extended[:-2])
    skipped_to = np.append(skips, [False, False])[2:]

    never = np.full(2, -np.inf)
    with np.errstate(all="ignore"):
        alpha = np.full((frames, states), -np.inf)  # of all ways to arrive
        alpha[0, :2] = y[0, :2]
        for t in range(1, frames):
            before = np.concatenate([never, alpha[t - 1]])
            skip = np.where(skips, before[:-2], -np.inf)
            alpha[t] = y[t] + np.logaddexp(np.logaddexp(before[2:], before[1:-1]), skip)
        likelihood = np.logaddexp.reduce(alpha[-1, -2:])
        if likelihood == -np.inf:
            return Lattice(np.inf, np.zeros((frames, states)))

        beta = np.full((frames, states), -np.inf)  # of all ways to go on
        beta[-1, -2:] = 0
        for t in range(frames - 2, -1, -1):
            after = np.concatenate([y[t + 1] + beta[t + 1], never])
            skip = np.where(skipped_to, after[2:], -np.inf)
            beta[t] = np.logaddexp(np.logaddexp(after[:-2], after[1:-1]), skip)
        through = alpha + beta  # of which every frame's sum is the likelihood again
        posteriors = np.exp(through - np.logaddexp.reduce(through, axis=1, keepdims=True))
        return Lattice(0.0 - float(likelihood), posteriors)


def ctc_posteriors(
    labels: Any,
    logits: Any,
    label_lengths: Any = None,
    logit_lengths: Any = None,
    *,
    blank: int = 0,
    time_major: bool = False,
    from_logits: bool = True,
    n_threads: int | None = None,
) -> Array:
    """How probable each label and each blank between labels is in each frame, given the labels.

    Parameters
    ----------
    labels, logits, label_lengths, logit_lengths
        As for `ctc`.
    blank, time_major, from_logits, n_threads
        As for `ctc`.

    Returns
    -------
    ndarray
        Of shape (samples, frames, 2 labels + 1), (frames, samples, 2 labels + 1) if `time_major`, or
        (frames, 2 labels + 1) for one sample: state 0 is the blank before the first label, state 2 k + 1 is label k,
        state 2 k + 2 the blank after it.  float32, or float64 if `logits` are.  A frame's posteriors add up to 1;
        they are 0 beyond a sample's lengths and for impossible samples, and NaN for samples with a NaN.

    Raises
    ------
    ValueError
        For shapes that do not fit, lengths and labels out of range, with the first bad position and value.
    TypeError
        For arrays that do not hold numbers, or integers where these are expected.

    See Also
    --------
    ctc : the loss, whose gradient by a class's log-probability is minus the sum of the class's posteriors.

    References
    ----------
    A. Graves, S. Fernández, F. Gomez, J. Schmidhuber, "Connectionist temporal classification: labelling unsegmented
    sequence data with recurrent neural networks", ICML 2006, 369-376, doi:10.1145/1143844.1143891.

    Examples
    --------
    Of two frames with equal probabilities, the paths "a a", "a -" and "- a" give the label "a": in each frame it is
    there in two of three.

    >>> import numpy as np
    >>> import lossfast as lf
    >>> lf.ctc_posteriors([1], np.zeros((2, 3))).round(6)
    array([[0.333333, 0.666667, 0.      ],
           [0.      , 0.666667, 0.333333]])
    """
    frames = _sequences.frames(logits, logit_lengths, blank, time_major)
    found = _sequences.labels(labels, label_lengths, frames)
    log_probabilities, nthreads = not _sequences.flag("from_logits", from_logits), threads(n_threads)
    posteriors = np.empty(frames.shape(2 * found.most + 1), np.float32 if frames.single else np.float64)
    try:
        _ctc.run(frames.single, frames.rows, found.given, found.lengths, frames.lengths, frames.blank,
                 log_probabilities, None, None, None, frames.view(posteriors), nthreads)  # fmt: skip
    except DomainError as error:
        raise ValueError(found.explanation(error, frames)) from None
    return posteriors
