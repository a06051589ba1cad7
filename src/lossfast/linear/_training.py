"""The epochs of a fit: batches, steps, what is recorded, and the callbacks that see it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from lossfast import _loss
from lossfast._arrays import Array
from lossfast.callbacks import Callback
from lossfast.linear._samples import ELEMENTS, Samples, threads_of

Metric = tuple[str, Callable[[Any, Any, Array], float]]  # a name, and a function of (estimator, X, y)


class DivergenceError(ArithmeticError):
    """The loss is not finite any more."""


class Descent:
    """Steps on the coefficients of some samples, in place.

    The penalty l2/2 |coef|^2 is part of the gradient, but for the optimizers that decay weights of themselves, and
    l1 |coef|_1 is a proximal step after each step, by the rate of that step.
    """

    def __init__(
        self, samples: Samples, optimizer: Any, decoupled: bool, l1: float, l2: float, fit_intercept: bool
    ) -> None:
        self.samples, self.optimizer, self.decoupled = samples, optimizer, decoupled
        self.l1, self.l2, self.fit_intercept = l1, l2, fit_intercept
        self.by_coef, self.by_base = np.empty_like(samples.coef), np.empty_like(samples.base)

    def run(self, order: Array | None, first: int, last: int, batch: int, rates: Callable[[], list[float]]) -> Any:
        """The batches of rows first ... last - 1 of `order`; returns (sum of the losses, finite batches)."""
        s = self.samples
        if self.optimizer is None and s.fused is not None:
            x, targets, weight = s.x, s.targets, s.weight
            if order is None and (first or last < len(s)):
                x, targets = x[first:last], targets[first:last]
                weight = None if weight is None else weight[first:last]
            kernel, params = s.fused
            return _loss._core.linear_steps(
                kernel, x, targets, weight, s.center, None if order is None else order[first:last], params, s.coef[0],
                s.base, not self.fit_intercept, batch, np.array(rates()), self.l1, self.l2,
                threads_of(s.n_threads),
            )  # fmt: skip
        total, done = 0.0, 0
        for rate, at in zip(rates(), range(first, last, batch), strict=False):
            rows = slice(at, min(at + batch, last)) if order is None else order[at : min(at + batch, last)]
            loss = s.gradient(rows, self.by_coef, self.by_base)
            total += loss
            if not math.isfinite(loss):
                return total, done
            self._step(rate)
            done += 1
        return total, done

    def _step(self, rate: float) -> None:
        s = self.samples
        reach = rate
        if self.l2 and self.decoupled:
            s.coef *= 1 - rate * self.l2
        elif self.l2:
            self.by_coef += self.l2 * s.coef
        if not self.fit_intercept:
            self.by_base[...] = 0
        if self.optimizer is None:
            s.coef -= rate * self.by_coef
            s.base -= rate * self.by_base
        else:
            self.optimizer.lr = rate
            self.optimizer.step([self.by_coef, self.by_base])
            if isinstance(dampening := getattr(self.optimizer, "dampening", None), float):
                reach *= (1 - dampening) / max(1 - self.optimizer.momentum, 1e-3)  # how far a constant gradient goes
        if self.l1:
            s.coef[...] = np.sign(s.coef) * np.maximum(np.abs(s.coef) - reach * self.l1, 0)

    def penalty(self) -> float:
        """Of the coefficients as they are."""
        coef = self.samples.coef
        absolute = float(np.abs(coef).sum(dtype=np.float64)) if self.l1 else 0.0
        return self.l1 * absolute + self.l2 / 2 * float(np.square(coef, dtype=np.float64).sum())


class Training:
    """A fit under way: the `model` of callbacks."""

    def __init__(
        self,
        estimator: Any,
        descent: Descent,
        validation: Samples | None,
        metrics: Sequence[Metric],
        metric_data: Mapping[str, tuple[Any, Array]],
        learning_rate: float,
        schedule: Callable[[int], float] | None,
        batch: int,
        shuffle: np.random.Generator | None,
        callbacks: Sequence[Callback],
    ) -> None:
        self.estimator, self.descent, self.validation = estimator, descent, validation
        self.metrics, self.metric_data = metrics, metric_data
        self.schedule, self._rate, self._factor = schedule, learning_rate, 1.0
        self.batch, self.shuffle, self.callbacks = batch, shuffle, callbacks
        self.step = 0  # of all epochs, and of fits before this one that it goes on from
        self.history: dict[str, list[float]] = {}
        self.stop_training = False
        self.epochs = 0
        self.best_epoch = 0
        self.steps = -(-len(descent.samples) // batch)  # of an epoch

    @property
    def learning_rate(self) -> float:
        """Of the next step; what it is set to scales a schedule from here on."""
        return self._factor * (self._rate if self.schedule is None else float(self.schedule(self.step)))

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        now = self.learning_rate
        self._factor *= rate / now if now else 1.0

    def weights(self) -> list[Array]:
        """A copy of coefficients and intercept."""
        return [self.descent.samples.coef.copy(), self.descent.samples.intercept.copy()]

    def set_weights(self, weights: list[Array]) -> None:
        """Puts such a copy back."""
        for live, kept in zip((self.descent.samples.coef, self.descent.samples.intercept), weights, strict=True):
            live[...] = kept
        self.descent.samples.take_intercept()

    def run(self, epochs: int) -> None:
        """So many epochs, unless a callback ends them."""
        self.epochs = epochs
        for callback in self.callbacks:
            callback.set_model(self)
        try:
            self._call("on_train_begin")
            for epoch in range(epochs):
                self._call("on_epoch_begin", epoch)
                logs = self._epoch(epoch)
                for key, value in logs.items():
                    self.history.setdefault(key, []).append(value)
                update = getattr(self.schedule, "update", None)
                if update is not None:  # of a plateau
                    update(logs.get("val_loss", logs["loss"]))
                self._call("on_epoch_end", epoch, logs)
                if self.stop_training:
                    break
        finally:
            self._call("on_train_end")
            for callback in self.callbacks:
                callback.set_model(None)

    def _call(self, name: str, *args: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, name)(*args)

    def _pieces(self) -> Iterator[tuple[int, int]]:
        """Rows of an epoch, some whole batches at a time."""
        n = len(self.descent.samples)
        features = max(1, self.descent.samples.coef.size)
        step = max(1, ELEMENTS // (features * self.batch)) * self.batch
        for first in range(0, n, step):
            yield first, min(first + step, n)

    def _rates(self, steps: int) -> list[float]:
        if self.schedule is None:
            return [self.learning_rate] * (1 if self.descent.optimizer is None and self._is_fused() else steps)
        return [self._factor * float(self.schedule(self.step + i)) for i in range(steps)]

    def _is_fused(self) -> bool:
        return self.descent.samples.fused is not None

    def _epoch(self, epoch: int) -> dict[str, float]:
        samples, rate = self.descent.samples, self.learning_rate
        n = len(samples)
        one_batch = self.batch >= n  # whose order does not matter
        order = None if self.shuffle is None or one_batch else self.shuffle.permutation(n)
        if order is None and self._is_fused() and self.descent.optimizer is not None:
            order = np.arange(n)  # what the gradient of a batch is asked for by
        total, seen, before = 0.0, 0, self.step
        for first, last in self._pieces():
            steps = -(-(last - first) // self.batch)
            loss, done = self.descent.run(order, first, last, self.batch, partial(self._rates, steps))
            self.step += done
            total += loss
            if done < steps:
                at = self.step - before
                raise DivergenceError(
                    f"the loss became {loss} in epoch {epoch + 1}, step {at + 1} of {self.steps}, with learning rate "
                    f"{self.learning_rate:.3g}: lower it, or bring the columns of X to a similar scale of about 1"
                )
            seen = last
            if last < n:
                for callback in self.callbacks:
                    callback.on_steps_end(self.step - before, {"loss": total / seen})
        samples.give_intercept()
        mean = total / max(1, n)
        logs = {"loss": mean, "objective": mean + self.descent.penalty()}
        if not all(np.isfinite(w).all() for w in (samples.coef, samples.intercept)):
            raise DivergenceError(
                f"the coefficients are not finite after epoch {epoch + 1}, step {self.steps} of {self.steps}, with "
                f"learning rate {rate:.3g}: lower it, or bring the columns of X to a similar scale of about 1"
            )
        for prefix, (x, y) in self.metric_data.items():
            if prefix and self.validation is not None:
                logs["val_loss"] = self.validation.mean_loss()
            for name, metric in self.metrics:
                logs[prefix + name] = float(metric(self.estimator, x, y))
        logs["lr"] = rate
        return logs
