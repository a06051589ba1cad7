"""A step of Adam over float32 arrays, beside torch, Optax and the bandwidth limit of the same run.

python benchmarks/optim.py [--quick] [--isa avx512,avx2] [--out benchmarks/README.md]

10^7 parameters in one array, in 1000 arrays, and 10 parameters: what a call costs.  All on two threads.
"""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import bandwidth
import measure
import numpy as np
from contenders import THREADS
from peers import available
from racing import FULL, QUICK, Runner, Settings, interleave

PACKAGES = ["numpy", "torch", "jax", "optax"]
CASES = [(1, 10**7), (1000, 10**4), (1, 10)]
SMALL = [(1, 10**5), (10, 10**3), (1, 10)]
GOALS = {"limit": 0.9, "torch fused": 1.3, "torch foreach": 5.0}  # of the limit; times as fast as
LIMITED = 10**5  # parameters from which on memory is the limit
BYTES = 28  # per parameter: four arrays read, three written
CHECKED, TOLERANCE = 3, 1e-6  # steps, and how far apart parameters may be then


class Contender(NamedTuple):
    """A step, and the parameters after it."""

    step: Callable[[], Any]
    read: Callable[[], np.ndarray]


def gradients(arrays: int, n: int) -> list[np.ndarray]:
    """The same in every step."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(n, dtype=np.float32) for _ in range(arrays)]


def lossfast(grads: list[np.ndarray]) -> Contender:
    """In place."""
    import lossfast as lf

    weights = [np.zeros_like(g) for g in grads]
    optimizer = lf.optim.Adam(weights)
    return Contender(functools.partial(optimizer.step, grads), lambda: np.concatenate(weights))


def torch_adam(grads: list[np.ndarray], **kind: bool) -> Contender:
    """As torch's users call it."""
    import torch

    torch.set_num_threads(THREADS)
    weights = [torch.zeros(g.shape, requires_grad=True) for g in grads]
    for w, g in zip(weights, grads, strict=True):
        w.grad = torch.tensor(g)
    optimizer = torch.optim.Adam(weights, **kind)
    return Contender(optimizer.step, lambda: torch.cat(weights).detach().numpy())


def optax_adam(grads: list[np.ndarray]) -> Contender:
    """One graph, whose outputs take the memory of its inputs."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    import optax

    rule = optax.adam(1e-3)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def graph(weights: Any, state: Any, given: Any) -> Any:
        updates, state = rule.update(given, state, weights)
        return optax.apply_updates(weights, updates), state

    given = [jax.device_put(g) for g in grads]
    held: list[Any] = [[jax.numpy.zeros_like(g) for g in given]]
    held.append(rule.init(held[0]))

    def step() -> None:
        held[:] = jax.block_until_ready(graph(*held, given))

    return Contender(step, lambda: np.concatenate([np.asarray(w) for w in held[0]]))


PEERS: dict[str, Callable[[list[np.ndarray]], Contender]] = {
    "torch fused": functools.partial(torch_adam, fused=True),
    "torch foreach": functools.partial(torch_adam, foreach=True),
    "torch single-tensor": functools.partial(torch_adam, foreach=False),
    "optax jit": optax_adam,
}


def expected(grads: list[np.ndarray]) -> np.ndarray:
    """The parameters after some steps, by the specification in double precision."""
    import lossfast as lf

    g = np.concatenate(grads).astype(np.float64)
    w, m, v = np.zeros((3, g.size))
    for t in range(1, CHECKED + 1):
        w, m, v = lf.optim.Adam()._formula(t, 1e-3, w, g, m, v)
    return w


def timed(step: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> Runner:
    """Samples of a step."""

    def run(seconds: float) -> list[float]:
        before()
        return measure.sample(measure.timed_call(step), seconds)

    return run


def contenders(grads: list[np.ndarray], isas: list[str], complaints: list[str]) -> Iterator[tuple[str, Runner]]:
    """Each once it has shown that it makes the same steps."""
    import lossfast as lf

    want = expected(grads)
    for name, make in {"lossfast": lossfast, **PEERS}.items():
        try:
            contender = make(grads)
        except ImportError as error:
            complaints.append(f"{name}: {error}")
            continue
        for _ in range(CHECKED):
            contender.step()
        off = float(np.max(np.abs(contender.read() - want)))
        if not off <= TOLERANCE:
            complaints.append(f"{name}: its parameters are off by {off:.0e}")
        elif name == "lossfast":
            for isa in isas:
                yield f"lossfast {isa}", timed(contender.step, functools.partial(lf.set_isa, isa))
        else:
            yield name, timed(contender.step)


def row(arrays: int, n: int, settings: Settings, complaints: list[str]) -> list[str]:
    """Of one case."""
    size = measure.power(n)
    case = f"{arrays} arrays of {size}" if arrays > 1 else f"{size} parameters"
    measure.say(f"Adam, {case} ...")
    runners = dict(contenders(gradients(arrays, n), settings.isas, complaints))
    if arrays * n >= LIMITED:
        try:
            for threads in (1, 2):
                probe = bandwidth.timed_update(arrays * n, threads)
                runners[f"limit {threads}"] = functools.partial(measure.sample, probe)
        except OSError as error:
            complaints.append(str(error))
    low = {name: min(x) for name, x in interleave(runners, settings).items()}
    limit = min((x for name, x in low.items() if name.startswith("limit")), default=None)
    cells = [case, measure.shown_time(limit)]
    for isa in settings.isas:
        mine = low[f"lossfast {isa}"]
        cells += [measure.shown_time(mine), measure.ratio(limit, mine), f"{BYTES * arrays * n / mine / 1e9:.1f}"]
    first = low[f"lossfast {settings.isas[0]}"]
    for name in PEERS:
        cells += [measure.shown_time(low.get(name)), measure.factor(low.get(name), first)]
    missed = [f"{GOALS['limit']:.2f} of the limit"] if limit and limit / first < GOALS["limit"] else []
    missed += [
        f"{goal:g}× {name}"
        for name, goal in GOALS.items()
        if name in low and arrays * n >= LIMITED and low[name] / first < goal
    ]
    return [*cells, "; ".join(missed) or "none"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds: a smoke test")
    parser.add_argument("--isa", default="avx512,avx2", help="instruction sets; the first is compared with peers")
    parser.add_argument("--out", metavar="FILE.md", help="where the table goes (between its markers)")
    parser.add_argument("--seconds", type=float, default=20.0, help="for all contenders of a row together")
    args = parser.parse_args()
    measure.use_processors(THREADS)
    settings = QUICK if args.quick else FULL._replace(seconds=args.seconds, turn=0.1)
    settings = settings._replace(isas=available(args.isa.split(",")))
    import lossfast as lf

    lf.set_num_threads(THREADS)
    complaints: list[str] = []
    rows = [row(arrays, n, settings, complaints) for arrays, n in (SMALL if args.quick else CASES)]
    header = ["Adam", "limit"]
    for isa in settings.isas:
        header += [f"lossfast {isa}", "of limit", "GB/s"]
    for name in PEERS:
        header += [name, "factor"]
    text = measure.table([*header, "below its goal"], rows, "l" + "r" * (len(header) - 1) + "l")
    kind = "quick: small sizes and few rounds, not for comparison" if args.quick else "full"
    parts = [measure.heading(PACKAGES, [("run", f"{kind}, {THREADS} threads")]), text]
    if complaints:
        parts.append("\n".join(f"- {c}" for c in dict.fromkeys(complaints)))
    measure.publish("\n\n".join(parts), args.out, "optim")


if __name__ == "__main__":
    main()
