"""What the families of losses share: cases, contenders, and the processes that contenders live in.

A group is what lives in one process.  `serve` answers for a group over a pipe (worker.py), so that libraries with
thread pools of their own compute only when it is their turn.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import measure
import numpy as np
from bandwidth import Bytes

THREADS = 2
PROBED = 4096  # elements of a gradient that are compared


class Goal(NamedTuple):
    """What a case should reach."""

    fractions: tuple[float, float]  # of the limit, with AVX-512 and without
    peer: float  # times the best peer
    torch: float | None


class Case:
    """One row of a table; families add their fields."""

    n: int  # elements of y_pred
    grad: bool  # value and gradient, or the value alone
    tolerance: ClassVar[float] = 2e-5  # of a gradient, relative to the largest slope

    def cells(self) -> list[str]:
        """The first cells of its row."""
        raise NotImplementedError

    def moved(self) -> Bytes:
        """What cannot be avoided, in bytes per element of y_pred."""
        raise NotImplementedError

    def reference(self) -> tuple[float, np.ndarray]:
        """Mean loss, and gradient of the mean at the probed elements."""
        raise NotImplementedError

    def probed(self) -> Any:
        """Which elements of a gradient, laid out flat, are compared."""
        return slice(None, None, max(1, self.n // PROBED))

    def goal(self) -> Goal | None:
        """What it should reach, if there is a goal."""
        return None


class Contender(NamedTuple):
    """A call that returns (value, gradient or None); `factor` makes it the mean that is compared."""

    name: str
    call: Callable[[], tuple[Any, Any]]
    factor: float = 1.0
    before: Callable[[], None] = lambda: None

    def run(self, seconds: float) -> list[float]:
        """Seconds per call, sampled for a while."""
        self.before()
        return measure.sample(measure.timed_call(self.call), seconds)


# ------------------------------------------------------------------------------- how libraries are called best


def on_lossfast(call: Callable[[], tuple[Any, Any]], isas: Sequence[str]) -> Iterator[Contender]:
    """A call on each instruction set."""
    import lossfast as lf

    lf.set_num_threads(THREADS)
    for isa in isas:
        try:
            lf.set_isa(isa)
        except ValueError:
            continue
        yield Contender(f"lossfast {isa}", call, before=lambda isa=isa: lf.set_isa(isa))


def on_torch(loss: Callable[..., Any], operands: Sequence[np.ndarray], grad: bool = True) -> Iterator[Contender]:
    """loss(pred, target): eager with autograd; torch.compile of torch.func.grad_and_value, its fastest form."""
    import torch

    torch.set_num_threads(THREADS)
    target, pred = map(torch.from_numpy, operands)
    leaf = pred.clone().requires_grad_()

    def eager() -> tuple[Any, Any]:
        value = loss(leaf, target)
        return value.detach(), torch.autograd.grad(value, leaf)[0]

    def eager_value() -> tuple[Any, Any]:
        with torch.no_grad():
            return loss(pred, target), None

    yield Contender("torch eager", eager if grad else eager_value)
    torch._dynamo.reset()
    graph = torch.compile(torch.func.grad_and_value(loss) if grad else loss, dynamic=False)

    def fused() -> tuple[Any, Any]:
        gradient, value = graph(pred, target)
        return value, gradient

    def fused_value() -> tuple[Any, Any]:
        with torch.no_grad():
            return graph(pred, target), None

    yield Contender("torch.compile", fused if grad else fused_value)


def on_jax(loss: Callable[..., Any], operands: Sequence[np.ndarray], grad: bool = True) -> Iterator[Contender]:
    """loss(pred, target): jax.jit of value_and_grad, arrays on its device."""
    import jax

    target, pred = map(jax.device_put, operands)
    graph = jax.jit(jax.value_and_grad(loss) if grad else loss)

    def value_and_grad() -> tuple[Any, Any]:
        return jax.block_until_ready(graph(pred, target))

    def value() -> tuple[Any, Any]:
        return graph(pred, target).block_until_ready(), None

    yield Contender("jax.jit", value_and_grad if grad else value)


# ----------------------------------------------------------------------------------------------------- groups


class Group:
    """Contenders of this process."""

    def __init__(self, **makers: Callable[[Any], Iterator[Contender]]) -> None:
        self.makers = makers
        self.made: dict[str, Contender] = {}

    def prepare(self, case: Case) -> tuple[dict[str, Any], list[str]]:
        """What every contender computes (value and probed gradient), and what is missing."""
        self.made, results, missing = {}, {}, []
        for name, maker in self.makers.items():
            try:
                for c in maker(case):
                    c.before()
                    value, gradient = c.call()
                    probe = None
                    if gradient is not None:
                        probe = (np.asarray(gradient).reshape(-1)[case.probed()] * float(c.factor)).tolist()
                    results[c.name] = [float(value) * c.factor, probe]
                    self.made[c.name] = c
            except ImportError as error:
                missing.append(f"{name}: {error}")
            except Exception as error:  # a peer that fails must not end the run
                reason = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
                missing.append(f"{name}, {case}: {reason}")
        return results, missing

    def run(self, name: str, seconds: float) -> list[float]:
        """Seconds per call, sampled for a while."""
        return self.made[name].run(seconds)

    def close(self) -> None:
        """Nothing to end."""


class Worker:
    """A group in another process, which computes only while it is asked."""

    script: ClassVar[Path] = Path(__file__).with_name("worker.py")

    def __init__(self, family: str, group: str) -> None:
        self.group = group
        self.process: Any = subprocess.Popen(
            [sys.executable, str(self.script), family, group], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def _ask(self, **request: Any) -> Any:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise EOFError
        return json.loads(answer)

    def prepare(self, case: Any) -> tuple[dict[str, Any], list[str]]:
        """As `Group.prepare`."""
        try:
            results, missing = self._ask(case=asdict(case))
        except (EOFError, OSError):
            return {}, [f"{self.group}: its process has ended"]
        return results, missing

    def run(self, name: str, seconds: float) -> list[float]:
        """As `Group.run`; nothing if the process has ended."""
        try:
            return [float(x) for x in self._ask(run=name, seconds=seconds)]
        except (EOFError, OSError):
            return []

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.wait()


def serve(group: Group, made: Callable[..., Case]) -> None:
    """Answer requests, a line of JSON each, of a family's cases; what libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        if "case" in request:
            answer: Any = group.prepare(made(**request["case"]))
        else:
            answer = group.run(request["run"], request["seconds"])
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
