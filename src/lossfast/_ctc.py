"""Calls of ctc: sequences, what their samples count for, and the core that computes them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lossfast import _loss, _sequences
from lossfast._arrays import Array
from lossfast._declarations import Sequence
from lossfast._errors import DomainError
from lossfast._evaluate import REDUCTIONS, Call, Fault, exact_sum, weight_sum
from lossfast._loss import Loss


def run(*args: Any) -> None:
    """As `_numpy_sequence.ctc`, by the compiled core where there is one."""
    if _loss._core is not None:
        _loss._core.ctc(*args)
        return
    from lossfast._numpy_sequence import ctc

    ctc(*args)


class SequenceCall(Call):
    """Logits as (samples, frames, classes), labels and lengths; an item is a sample, its value is always float64."""

    boosting = ""
    replaceable: tuple[str, ...] = ("logits",)
    reductions = (*REDUCTIONS, "target_mean")
    value_dtype = np.dtype(np.float64)

    def __init__(self, loss: Loss, labels: Any, logits: Any, params: dict[str, Any], nthreads: int) -> None:
        declaration, params = loss.declaration, dict(params)
        assert isinstance(declaration, Sequence)
        label_lengths, logit_lengths = params.pop("label_lengths", None), params.pop("logit_lengths", None)
        self.full_output = _sequences.flag("full_output", params.pop("full_output", False))
        given = declaration.checked(params, loss._params) if params else loss._params
        self.frames = frames = _sequences.frames(logits, logit_lengths, given["blank"], given["time_major"])
        self.labels = _sequences.labels(labels, label_lengths, frames)
        self.log_probabilities, self.zero_infinity = not given["from_logits"], given["zero_infinity"]
        self.nthreads, self.single, self.pred = nthreads, frames.single, frames.given
        self.items = (frames.samples,) if frames.batched else ()
        self.reads = {"labels": self.labels.given, "logits": frames.given}
        for name, lengths in (("label_lengths", self.labels.lengths), ("logit_lengths", frames.lengths)):
            if lengths is not None:
                self.reads[name] = lengths
        self.feasible: Array

    def measure(self, weight: Array | None) -> tuple[float, int]:
        """The sum of weights and the number of samples."""
        count = math.prod(self.items)
        if weight is None:
            return float(count), count
        return float(weight_sum(weight, self.nthreads) * (count / weight.size if weight.size else 0)), count

    def entries(self) -> int:
        """The number of samples."""
        return self.items[0]

    def counted(self, weight: Array | None) -> Array | None:
        """The weight itself."""
        return weight

    def spread(self, x: Array) -> Array:
        """A number for each sample beside its frames and classes."""
        raise NotImplementedError

    def for_targets(self, weight: Array | None) -> Array:
        """Divided by the number of labels, of which there is at least one."""
        divided: Array = (1.0 if weight is None else weight) / np.broadcast_to(
            np.maximum(self.labels.counts, 1).astype(np.float64), self.items
        )
        return divided

    def run(
        self, weight: Array | None, scale: float, results: dict[str, Array], want_sum: bool, entries: Array | None
    ) -> float | None:
        """One pass."""
        w = None if weight is None else np.broadcast_to(weight.astype(np.float64), self.items)
        scales = None
        if w is not None or scale != 1:
            scales = np.full(self.items, scale) if w is None else w * scale
        grad = results.get("grad")
        losses = None
        if want_sum or entries is not None or "value" in results or self.full_output:
            losses = np.empty(self.items)
        self._pass(scales, losses, grad)
        if losses is None:
            return None
        if self.full_output:
            self.feasible = np.asarray(losses != np.inf)
        terms = self._counted_losses(losses)
        if w is not None:
            with np.errstate(invalid="ignore"):
                terms = w * terms
        if "value" in results:
            results["value"][...] = terms
        if entries is not None:
            entries[...] = terms
        return exact_sum(terms) if want_sum else None

    def _pass(self, scales: Array | None, losses: Array | None, grad: Array | None) -> None:
        """The core, on arrays with an axis of samples."""
        frames, labels = self.frames, self.labels
        run(
            frames.single,
            frames.rows,
            labels.given,
            labels.lengths,
            frames.lengths,
            frames.blank,
            self.log_probabilities,
            None if scales is None else scales.reshape(-1),
            None if losses is None else losses.reshape(-1),
            None if grad is None else frames.view(grad),
            None,
            self.nthreads,
        )

    def _counted_losses(self, losses: Array) -> Array:
        return np.asarray(np.where(losses == np.inf, 0.0, losses)) if self.zero_infinity else losses

    def moments(self, weight: Array | None) -> tuple[Any, ...]:
        """As `_core.Kernel.moments`."""
        from lossfast._numpy import moments_of

        self.measure(weight)
        losses = np.empty(self.items)
        self._pass(None, losses, None)
        return moments_of(self._counted_losses(losses), None if weight is None else np.broadcast_to(weight, self.items))

    def more(self) -> tuple[Any, ...]:
        """Which samples are feasible, if that is asked for."""
        return (self.feasible,) if self.full_output else ()

    def weight_shape(self, weight: Array) -> tuple[int, ...]:
        """Repeated weights are read only once."""
        return weight.shape

    def fault(self, operand: str, index: int) -> Fault:
        """Only labels are left to the core: see `explanation`."""
        raise NotImplementedError(operand)

    def explanation(self, error: DomainError, sample_weight: Any) -> str:
        """The sentence for a label that is no class, or a bad weight."""
        if error.operand == "label":
            return self.labels.explanation(error, self.frames)
        return super().explanation(error, sample_weight)
