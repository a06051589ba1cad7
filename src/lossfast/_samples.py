"""Calls of the losses of autoencoders: pointwise terms of several operands, added up over each sample."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lossfast import _arrays, _loss
from lossfast._arrays import Array
from lossfast._declarations import ANY, Samplewise, Term
from lossfast._embedding import EmbeddingCall
from lossfast._errors import DomainError
from lossfast._evaluate import Fault
from lossfast._loss import Loss


class SampleCall(EmbeddingCall):
    """An item is an entry of the first axis, or an element."""

    def __init__(self, loss: Loss, first: Any, second: Any, params: dict[str, Any], nthreads: int) -> None:
        d, params = loss.declaration, dict(params)
        assert isinstance(d, Samplewise)
        names = d.arguments
        for name in names[2:]:
            if name not in params:
                raise TypeError(f"{loss.name}() misses {name}")
        given = dict(zip(names, (first, second, *(params.pop(name) for name in names[2:])), strict=True))
        self.declaration: Any = d
        self.nthreads, self.same = nthreads, None
        self.params = d.checked(params, loss._params) if params else dict(loss._params)
        if self.params.get("from_logits") and self.params["kind"] != "bce":
            raise ValueError(f"from_logits is True, expected False unless kind is 'bce': it is {self.params['kind']!r}")
        self.operands = {k: _arrays.as_array(k, x) if k == "x" else _arrays.prediction(x, k) for k, x in given.items()}
        self.reads = dict(self.operands)
        self.differentiable = {k: x for k, x in self.operands.items() if k != "x"}
        self.single = all(x.dtype != np.float64 for x in self.differentiable.values())
        self.terms: tuple[Term, ...] = d.terms(self.single, **self.params)
        self._check_shapes()
        self.pred = self.operands[self.terms[0].pred]
        self.by_element = self.params.get("per") == "element"
        self.items = self.pred.shape if self.by_element else self.pred.shape[:1]

    def _check_shapes(self) -> None:
        shapes = {k: x.shape for k, x in self.operands.items()}
        for term in self.terms:
            if shapes[term.target] != shapes[term.pred]:
                raise ValueError(
                    f"{term.target} has shape {shapes[term.target]} and {term.pred} {shapes[term.pred]}, expected "
                    "equal shapes (nothing is broadcast)"
                )
        first = self.terms[0].target
        for term in self.terms[1:]:
            if not shapes[first] or shapes[first][:1] != shapes[term.target][:1]:
                raise ValueError(
                    f"{first} has shape {shapes[first]} and {term.target} {shapes[term.target]}, expected first axes "
                    "of one length: that of the samples"
                )

    def run(
        self, weight: Array | None, scale: float, results: dict[str, Array], want_sum: bool, entries: Array | None
    ) -> float | None:
        """One pass over each operand."""
        if _loss._core is None:
            return self._specified_samples(weight, scale, results, want_sum, entries)
        value, total = results.get("value"), 0.0
        adds = entries is not None or (value is not None and not self.by_element)
        samples = np.zeros(self.pred.shape[:1] or 1) if adds else None
        for term in self.terms:
            outs = [results.get(term.target) if term.both else None, results.get(term.pred)]
            if not term.factor:
                for out in outs:
                    if out is not None:
                        out[...] = 0
                continue
            total += term.factor * self._pass_over(term, weight, scale, outs, want_sum, value, samples)
        if value is not None and not self.by_element and samples is not None:
            value[...] = samples.reshape(value.shape)
        if entries is not None and samples is not None:
            entries[...] = samples
        return total if want_sum else None

    def _pass_over(
        self,
        term: Term,
        weight: Array | None,
        scale: float,
        outs: list[Array | None],
        want_sum: bool,
        value: Array | None,
        samples: Array | None,
    ) -> float:
        """One term: its gradients, its losses of elements, or what it adds to the samples; the sum, if it is wanted."""
        target, pred = self.operands[term.target], self.operands[term.pred]
        shape, size = pred.shape, pred.size
        w = None
        if weight is not None:
            w = np.broadcast_to(weight.reshape(*weight.shape, *(1,) * (len(shape) - weight.ndim)), shape)
        by_target, by_pred = outs
        sums = np.zeros_like(samples) if samples is not None and size else None
        total: float | None = _loss._core.Kernel(term.kernel).run(
            self.single,
            target,
            pred,
            w,
            None,
            term.params,
            scale * term.factor,
            value if self.by_element else None,
            by_pred,
            by_target,
            want_sum,
            sums,
            0 if sums is None else size // len(sums),
            True,
            self.nthreads,
        )
        if sums is not None and samples is not None:
            samples += term.factor * sums
        return total or 0.0

    def _specified_samples(
        self, weight: Array | None, scale: float, results: dict[str, Array], want_sum: bool, entries: Array | None
    ) -> float | None:
        """The specification, of samples in rows."""
        for term in self.terms:
            for operand, domain in (("target", term.domains[0]), ("pred", term.domains[1])):
                bad = domain.outside(self.operands[getattr(term, operand)].astype(np.float64))
                if domain != ANY and bad.any():
                    raise DomainError(operand, int(bad.argmax()))
        arrays = [x.astype(np.float64) for x in self.operands.values()]
        w = np.ones(self.items) if weight is None else np.broadcast_to(weight, self.items).astype(np.float64)
        with np.errstate(all="ignore"):
            found = self.declaration.spec(*arrays, **self.params)
            terms = w * found.value
            for (name, x), gradient in zip(self.differentiable.items(), found.grads, strict=True):
                if name in results:
                    factor = (scale * w).reshape(*w.shape, *(1,) * (x.ndim - w.ndim))
                    results[name][...] = (factor * gradient).astype(results[name].dtype)
            if "value" in results:
                results["value"][...] = terms
            if entries is not None:
                entries[...] = terms.sum(axis=tuple(range(1, terms.ndim)))
            return float(terms.sum()) if want_sum else None

    def moments(self, weight: Array | None) -> tuple[Any, ...]:
        """As `_core.Kernel.moments`."""
        from lossfast._numpy import moments_of

        self.measure(weight)
        losses = np.zeros(self.items, self.value_dtype)
        if math.prod(self.items):
            self.run(None, 1.0, {"value": losses}, False, None)
        return moments_of(losses, None if weight is None else np.broadcast_to(weight, self.items))

    def fault(self, operand: str, index: int) -> Fault:
        """The words for an element that is no probability: only the first term has a domain."""
        term = self.terms[0]
        name, domain = (term.target, term.domains[0]) if operand == "target" else (term.pred, term.domains[1])
        array, swapped = self.operands[name], f"are {term.target} and {term.pred} swapped?)"
        hint = f"(for logits pass from_logits=True; {swapped}" if operand == "pred" else f"({swapped}"
        at = np.unravel_index(index, array.shape)
        return Fault(name, at, array[at], f"{'a probability ' if operand == 'pred' else ''}{domain} {hint}")
