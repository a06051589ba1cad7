"""lossfast beside its peers: pointwise losses, two threads, one run.

    python benchmarks/peers.py [--quick] [--only NAME] [--isa avx512,avx2] [--out FILE.md]

Progress goes to stderr, Markdown tables to stdout and to --out.  README.md says what is measured and how.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import bandwidth
import contenders
import measure
import numpy as np
from bandwidth import Bytes, Probe
from contenders import THREADS, Case, Contender, Group, Worker

PACKAGES = ("lossfast", "numpy", "torch", "jax", "numba", "numexpr", "scikit-learn")
VALUE_TOLERANCE, GRADIENT_TOLERANCE = 5e-5, 2e-5  # relative; of the largest slope
EXP_FREE = ("mse", "mae", "huber", "hinge", "quantile")

Runner = Callable[[float], list[float]]  # samples for so many seconds


class Settings(NamedTuple):
    """How long, how large, on what."""

    isas: list[str]
    quick: bool
    sizes: tuple[int, ...]
    value_size: int
    seconds: float  # for all contenders of a case together
    turn: float  # for one contender in one round
    rounds: int  # at least

    def large(self, *sizes: int) -> list[int]:
        """Sizes, but one small one in a quick run."""
        return [10**5] if self.quick else list(sizes)


QUICK = Settings([], True, (10**5,), 10**5, 0.3, 0.003, 2)
FULL = Settings([], False, (10**5, 10**6, 10**7), 10**7, 20.0, 0.05, 5)


def interleave(runners: dict[str, Runner], settings: Settings) -> dict[str, list[float]]:
    """Samples of each, taken in rounds in changing order; one that gives none has ended and is left out."""
    samples: dict[str, list[float]] = {name: [] for name in runners}
    order, shuffle = list(runners), random.Random(0)
    end = time.perf_counter() + settings.seconds
    done = 0
    while done < settings.rounds or time.perf_counter() < end:
        shuffle.shuffle(order)
        for name in list(order):
            got = runners[name](settings.turn)
            samples[name] += got
            if not got:
                order.remove(name)
        done += 1
    return {name: got for name, got in samples.items() if got}


# --------------------------------------------------------------------------------------------- pointwise rows


class Race(NamedTuple):
    """All samples of a case."""

    case: Case
    samples: dict[str, list[float]]
    limit: str | None  # the name of the fastest pass over the bytes

    def low(self, name: str | None) -> float | None:
        """The smallest sample."""
        return min(self.samples[name]) if name in self.samples else None

    def best_peer(self) -> str | None:
        """The fastest that is not lossfast."""
        peers = [n for n in self.samples if not n.startswith(("lossfast", "limit"))]
        return min(peers, key=lambda n: min(self.samples[n]), default=None)


def moved(case: Case) -> Bytes:
    """What the case cannot avoid."""
    target, pred = np.dtype(case.target).itemsize, np.dtype(case.pred).itemsize
    return Bytes((target, pred), pred if case.grad else 0)


def limits(case: Case, complaints: list[str], outputs: tuple[str, ...] = ("reused",)) -> dict[str, Runner]:
    """Passes over the bytes of a case, by name; none without a compiler."""
    try:
        probe = Probe(moved(case), case.n)
    except OSError as error:
        if str(error) not in complaints:
            complaints.append(str(error))
        return {}
    ways = bandwidth.passes(probe.moved, outputs)
    share = 2 / len(ways)
    return {f"limit, {w}": lambda s, w=w: measure.sample(probe.timed(w), s * share) for w in ways}


def fastest(samples: dict[str, list[float]]) -> str | None:
    """The pass over the bytes that took the least time."""
    names = [n for n in samples if n.startswith("limit")]
    return min(names, key=lambda n: min(samples[n]), default=None)


def complaint(result: list[Any], expected: tuple[float, np.ndarray]) -> str | None:
    """What is wrong with a contender's value and gradient."""
    value, gradient = result
    off = abs(value - expected[0]) / abs(expected[0])
    if not off <= VALUE_TOLERANCE:
        return f"its value is off by {off:.0e}"
    if gradient is not None:
        off = float(np.max(np.abs(np.asarray(gradient) - expected[1])) / np.max(np.abs(expected[1])))
        if not off <= GRADIENT_TOLERANCE:
            return f"its gradient is off by {off:.0e}"
    return None


def race(case: Case, groups: Iterable[Group | Worker], settings: Settings, complaints: list[str]) -> Race:
    """Check every contender, then time them side by side."""
    measure.say(f"{case} ...")
    expected = contenders.reference(case)
    runners: dict[str, Runner] = {}
    for group in groups:
        results, missing = group.prepare(case)
        complaints += [m for m in missing if m not in complaints]
        for name, result in results.items():
            wrong = complaint(result, expected)
            if wrong:
                complaints.append(f"{name}, {case}: left out, {wrong}")
            else:
                runners[name] = functools.partial(group.run, name)
    if case.n >= 10**4:
        runners |= limits(case, complaints)
    samples = interleave(runners, settings)
    return Race(case, samples, fastest(samples))


class Goal(NamedTuple):
    """What a case should reach."""

    fractions: tuple[float, float]  # of the limit, with AVX-512 and without
    peer: float  # times the best peer
    torch: float | None


def goal(case: Case) -> Goal | None:
    """The goal of a case, if it has one."""
    if not case.grad:
        fractions = (0.90, 0.90) if case.loss in EXP_FREE else (0.0, 0.0)
        return Goal(fractions, 1.5, 5) if case.n == 10**7 else None
    if case.loss in EXP_FREE:
        return {
            10**5: Goal((0.75, 0.60), 5, 7),
            10**6: Goal((0.90, 0.90), 1.5, 3.5),
            10**7: Goal((0.90, 0.90), 1.5, 10),
        }.get(case.n)
    if case.n != 10**6:
        return None
    return {
        "poisson": Goal((0.85, 0.75), 3, 8),
        "binary_crossentropy": Goal((0.75, 0.50), 3.5, 8),
        "binary_focal_crossentropy": Goal((0.45, 0.24), 3, 20),
        "log_cosh": Goal((0.45, 0.24), 3, None),
    }.get(case.loss)


def below(r: Race, settings: Settings) -> str:
    """Which goals were not reached."""
    wanted = goal(r.case)
    if wanted is None:
        return ""
    limit, first = r.low(r.limit), r.low(f"lossfast {settings.isas[0]}")
    missed = []
    for isa in settings.isas:
        mine, fraction = r.low(f"lossfast {isa}"), wanted.fractions[isa != "avx512"]
        if mine and limit and limit / mine < fraction:
            missed.append(f"{isa} {fraction:.2f} of the limit")
    for name, times in ((r.best_peer(), wanted.peer), ("torch eager", wanted.torch)):
        theirs = r.low(name)
        if times and theirs and first and theirs / first < times:
            missed.append(f"{times:g}× {name}")
    return "; ".join(missed) or "none"


def summary(races: list[Race], settings: Settings) -> str:
    """A row per case."""
    header = ["loss", "n", "limit"]
    for isa in settings.isas:
        header += [f"lossfast {isa}", "of limit"]
    header += ["best peer", "", "factor", "torch eager", "factor", "below its goal"]
    rows = []
    for r in races:
        limit, peer, eager = r.low(r.limit), r.best_peer(), r.low("torch eager")
        first = r.low(f"lossfast {settings.isas[0]}")
        row = [r.case.loss, measure.power(r.case.n), measure.shown_time(limit)]
        for isa in settings.isas:
            mine = r.low(f"lossfast {isa}")
            row += [measure.shown_time(mine), measure.ratio(limit, mine)]
        row += [peer or "–", measure.shown_time(r.low(peer)), measure.factor(r.low(peer), first)]
        rows.append([*row, measure.shown_time(eager), measure.factor(eager, first), below(r, settings)])
    return measure.table(header, rows, "lrr" + "rr" * len(settings.isas) + "lrrrrl")


def details(races: list[Race]) -> str:
    """Every contender of every case, fastest first."""
    rows = []
    for r in races:
        limit = r.low(r.limit)
        for name, samples in sorted(r.samples.items(), key=lambda item: min(item[1])):
            if name.startswith("limit") and name != r.limit:
                continue
            low, median = map(measure.shown_time, measure.low_and_median(samples))
            rows.append([str(r.case), name, low, median, measure.factor(min(samples), limit), str(len(samples))])
    return measure.table(["case", "contender", "min", "median", "× limit", "samples"], rows, "llrrrr")


# --------------------------------------------------------------------------------------------- smaller tables


def of_lossfast(cases: dict[str, Case], settings: Settings, isas: list[str] | None = None) -> dict[str, Runner]:
    """lossfast on several cases, to be compared with each other."""
    made: dict[str, Runner] = {}
    for label, case in cases.items():
        for c in contenders.lossfast(case, isas or settings.isas[:1]):
            made[f"{label} {c.name}" if isas else label] = c.run
    return made


def low(samples: dict[str, list[float]], name: str | None) -> float | None:
    """The smallest sample, if there are any."""
    return min(samples[name]) if name in samples else None  # type: ignore[index]


def checks_table(settings: Settings, complaints: list[str]) -> str:
    """With and without the check of the targets."""
    rows = []
    for loss in ("hinge", "poisson", "binary_crossentropy", "binary_focal_crossentropy"):
        for n in settings.large(10**6, 10**7):
            case = Case(loss, n)
            measure.say(f"check=False: {case} ...")
            runners = of_lossfast({"default": case, "unchecked": replace(case, check=False)}, settings)
            times = interleave(runners | limits(case, complaints), settings)
            limit = low(times, fastest(times))
            yes, no = low(times, "default"), low(times, "unchecked")
            rows.append(
                [
                    loss,
                    measure.power(case.n),
                    measure.shown_time(limit),
                    measure.shown_time(yes),
                    measure.ratio(limit, yes),
                    measure.shown_time(no),
                    measure.ratio(limit, no),
                    measure.ratio(yes, no),
                ]
            )
    header = ["loss", "n", "limit", "default", "of limit", "check=False", "of limit", "default / unchecked"]
    return (
        "By default a loss whose targets have a domain reads them twice when it writes arrays: once to check\n"
        "all of them before anything is written, once to compute.  `check=False` trusts the caller.  The limit\n"
        "reads them once.\n\n" + measure.table(header, rows)
    )


def types_table(settings: Settings, complaints: list[str]) -> str:
    """Other dtypes than float32."""
    targets = ("float32", "uint8", "bool")
    kinds = [*((t, "float32") for t in targets), *((t, "float16") for t in targets[:2])]
    rows = []
    for loss in ("mse", "binary_crossentropy"):
        for n in settings.large(10**6, 10**7):
            cases = {f"{t}, {p}": Case(loss, n, target=t, pred=p) for t, p in kinds if (loss, t) != ("mse", "bool")}
            measure.say(f"dtypes: {loss}, {measure.power(n)} ...")
            runners = of_lossfast(cases, settings)
            for label, case in cases.items():
                runners |= {f"{label} {k}": run for k, run in limits(case, complaints).items()}
            times = interleave(runners, settings._replace(seconds=settings.seconds * 2))
            base = low(times, "float32, float32")
            for label, case in cases.items():
                own = {k.removeprefix(f"{label} "): v for k, v in times.items() if k.startswith(f"{label} limit")}
                limit, mine = low(own, fastest(own)), low(times, label)
                rows.append(
                    [
                        loss,
                        measure.power(case.n),
                        case.target,
                        case.pred,
                        str(moved(case)),
                        measure.shown_time(limit),
                        measure.shown_time(mine),
                        measure.ratio(limit, mine),
                        measure.ratio(mine, base),
                    ]
                )
    header = ["loss", "n", "targets", "predictions", "bytes", "limit", "lossfast", "of limit", "/ float32"]
    return measure.table(header, rows, "lrlllrrrr")


def overhead_table(settings: Settings, groups: Iterable[Group | Worker], complaints: list[str]) -> str:
    """What a call costs where there is next to nothing to compute."""
    losses = ("mse", "binary_crossentropy")[: 1 if settings.quick else 2]
    races = [race(Case(loss, 10), groups, settings, complaints) for loss in losses]
    names = sorted({n for r in races for n in r.samples}, key=lambda n: min(r.low(n) or 1 for r in races))
    mine = f"lossfast {settings.isas[0]}"
    rows = []
    for name in names:
        row = [name]
        for r in races:
            row += [measure.shown_time(r.low(name)), measure.factor(r.low(name), r.low(mine))]
        rows.append(row)
    header = ["value + gradient of 10 elements", *(h for loss in losses for h in (loss, "factor"))]
    return measure.table(header, rows) + "\n\n" + own_overhead_table(settings)


def own_overhead_table(settings: Settings) -> str:
    """The ways through lossfast: plain arrays of one dtype go straight to C, all else through Python."""
    case = Case("mse", 10)
    ways = {
        "float32 arrays, `out=(None, g)`": case,
        "float32 arrays, no `out`": replace(case, fresh=True),
        "a keyword (`check=False`)": replace(case, check=False),
        "uint8 targets": replace(case, target="uint8"),
    }
    times = interleave(of_lossfast(ways, settings), settings)
    rows = [[way, measure.shown_time(low(times, way))] for way in ways]
    return measure.table(["lossfast, mse of 10 elements", "value + gradient"], rows)


def sum_table(settings: Settings) -> str:
    """The reproducible sum against OpenMP's."""
    rows = []
    for n in settings.large(10**5, 10**6, 10**7):
        case = Case("mse", n, grad=False)
        measure.say(f"sums: {measure.power(case.n)} ...")
        target, pred = contenders.data(case)
        runners = of_lossfast({"": case}, settings, settings.isas)
        for double in (False, True):
            for threads in (1, THREADS):
                timed = bandwidth.timed_reduction(target, pred, double, threads)
                name = f"{'double' if double else 'float'} {threads}"
                runners[name] = lambda s, timed=timed: measure.sample(timed, s)
        times = interleave(runners, settings)
        single, double = (min(times[f"{kind} 1"] + times[f"{kind} {THREADS}"]) for kind in ("float", "double"))
        row = [measure.power(case.n), measure.shown_time(single), measure.shown_time(double)]
        for isa in settings.isas:
            mine = low(times, f" lossfast {isa}")
            row += [measure.shown_time(mine), measure.ratio(single, mine), measure.ratio(double, mine)]
        rows.append(row)
    header = ["n", "OpenMP, float sum", "OpenMP, double sum"]
    for isa in settings.isas:
        header += [f"lossfast {isa}", "float /", "double /"]
    return (
        "The mean squared error of two float32 arrays: `lf.mse`, the same bits for every number of threads,\n"
        "against `#pragma omp parallel for simd reduction(+)` in C, best of 1 and 2 threads.  Above 1: lossfast\n"
        "is faster.\n\n" + measure.table(header, rows)
    )


def accumulator_table(settings: Settings, complaints: list[str]) -> str:
    """Exact sums, extremes and counts against the plain value."""
    import lossfast as lf

    case = Case("mse", settings.large(10**7)[0], grad=False)
    measure.say("accumulator ...")
    target, pred = contenders.data(case)
    accumulator = lf.mse.accumulator()
    update = Contender("", lambda: (accumulator.update(target, pred), None))
    runners = of_lossfast({"value": case}, settings) | {"update": update.run} | limits(case, complaints)
    times = interleave(runners, settings)
    limit, value, updated = low(times, fastest(times)), low(times, "value"), low(times, "update")
    row = [
        measure.power(case.n),
        *map(measure.shown_time, (limit, value, updated)),
        measure.ratio(updated, value),
    ]
    return measure.table(["n", "limit", "`lf.mse(...)`", "`accumulator.update(...)`", "update / value"], [row])


def fresh_table(settings: Settings, complaints: list[str]) -> str:
    """What out= saves."""
    rows = []
    for n in settings.large(10**6, 10**7):
        case = Case("mse", n)
        measure.say(f"fresh output: {measure.power(case.n)} ...")
        runners = of_lossfast({"out": case, "fresh": replace(case, fresh=True)}, settings)
        runners |= limits(case, complaints, bandwidth.OUTPUTS)
        times = interleave(runners, settings)
        row = [measure.power(n)]
        for name, is_fresh in (("out", False), ("fresh", True)):
            limit = fastest({k: v for k, v in times.items() if ("fresh" in k) == is_fresh})
            row += [measure.shown_time(low(times, limit)), measure.shown_time(low(times, name))]
        rows.append(row)
    header = ["mse, n", "limit, output reused", "`out=(None, g)`", "limit, fresh output", "without `out=`"]
    return measure.table(header, rows)


MEMORY = """
import json, resource, sys
import numpy as np

what, n = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(0)
target, pred = rng.random(n, np.float32), rng.random(n, np.float32)
gradient = np.zeros_like(pred)

if what == "torch eager":
    import torch
    from torch.nn.functional import mse_loss
    torch.set_num_threads(2)
    t, p = torch.from_numpy(target), torch.from_numpy(pred).requires_grad_()
    def call(k): return torch.autograd.grad(mse_loss(p[:k], t[:k]), p)
else:
    import lossfast as lf
    lf.set_num_threads(2)
    def call(k):
        out = (None, gradient[:k]) if what.endswith("out=") else None
        return lf.mse.value_and_grad(target[:k], pred[:k], out=out)

def status(key):
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return int(line.split()[1]) * 1024

kept = call(n // 100)
del kept
with open("/proc/self/clear_refs", "w") as f:
    f.write("5")
before = status("VmRSS")
kept = call(n)
print(json.dumps(status("VmHWM") - before))
"""


def memory_table(settings: Settings) -> str:
    """Peak resident memory beyond what was there before the call."""
    [n] = settings.large(10**7)
    rows = []
    for what in ("lossfast with out=", "lossfast", "torch eager"):
        measure.say(f"memory: {what} ...")
        made = subprocess.run([sys.executable, "-c", MEMORY, what, str(n)], capture_output=True, text=True)
        extra = f"{json.loads(made.stdout) / 2**20:.1f} MiB" if made.returncode == 0 else "not available"
        rows.append([what, extra])
    text = f"mse, value + gradient of {measure.power(n)} float32 elements; an array has {n * 4 / 2**20:.1f} MiB."
    return text + "\n\n" + measure.table(["", "peak beyond the state before"], rows)


IMPORT = """
import time
import numpy
start = time.perf_counter()
{}
print(time.perf_counter() - start)
"""


def import_table(settings: Settings) -> str:
    """What lossfast adds to the import of NumPy."""
    rows = []
    for text in ("import lossfast", "import lossfast; lossfast.mse"):
        measure.say(f"{text} ...")
        command = [sys.executable, "-c", IMPORT.format(text)]
        seconds = [
            float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            for _ in range(3 if settings.quick else 31)
        ]
        low, median = map(measure.shown_time, measure.low_and_median(seconds))
        rows.append([f"`{text}`", median, low])
    return measure.table(["after `import numpy`", "median", "min"], rows)


# ------------------------------------------------------------------------------------------------------- main

EXTRAS = {
    "overhead": "The cost of a call",
    "checks": "Checked targets",
    "types": "Other types than float32",
    "sum": "A reproducible sum",
    "accumulator": "Accumulators",
    "fresh": "Fresh outputs",
    "memory": "Memory",
    "import": "Import",
}


def extra(name: str, settings: Settings, groups: list[Group | Worker], complaints: list[str]) -> str:
    """One of the smaller tables, or why there is none."""
    makers: dict[str, Callable[[], str]] = {
        "overhead": lambda: overhead_table(settings, groups, complaints),
        "checks": lambda: checks_table(settings, complaints),
        "types": lambda: types_table(settings, complaints),
        "sum": lambda: sum_table(settings),
        "accumulator": lambda: accumulator_table(settings, complaints),
        "fresh": lambda: fresh_table(settings, complaints),
        "memory": lambda: memory_table(settings),
        "import": lambda: import_table(settings),
    }
    try:
        return makers[name]()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"Not measured: {error}"


def pointwise_tables(losses: list[str], settings: Settings, groups: list[Group | Worker], complaints: list[str]) -> str:
    """The rows of the losses."""
    cases = [Case(loss, n) for n in settings.sizes for loss in losses]
    cases += [Case(loss, settings.value_size, grad=False) for loss in losses]
    races = [race(case, groups, settings, complaints) for case in cases]
    parts = []
    for grad, title in ((True, "Value and gradient"), (False, "Value only")):
        parts += [f"#### {title}", summary([r for r in races if r.case.grad == grad], settings)]
    every = "<details><summary>Every contender</summary>"
    return "\n\n".join([*parts, every, details(races), "</details>"])


def report(names: list[str], settings: Settings) -> str:
    """All tables that were asked for."""
    lossfast = functools.partial(contenders.lossfast, isas=settings.isas)
    local = Group(
        lossfast=lossfast,
        numpy=contenders.numpy,
        numexpr=contenders.numexpr,
        numba=contenders.numba,
        sklearn=contenders.sklearn,
    )
    groups: list[Group | Worker] = [local, Worker("torch"), Worker("jax")]
    complaints: list[str] = []
    start = time.perf_counter()
    try:
        parts = []
        losses = [name for name in names if name not in EXTRAS]
        if losses:
            parts.append(pointwise_tables(losses, settings, groups, complaints))
        for name in names:
            if name in EXTRAS:
                shorter = settings._replace(seconds=settings.seconds / 2)
                parts += [f"#### {EXTRAS[name]}", extra(name, shorter, groups, complaints)]
    finally:
        for group in groups:
            group.close()
    if complaints:
        parts += ["#### Missing or left out", "\n".join(f"- {c}" for c in complaints)]
    kind = "quick: small sizes and few rounds, not for comparison" if settings.quick else "full"
    more = [("run", f"{kind}, {THREADS} threads, {(time.perf_counter() - start) / 60:.0f} min")]
    return "\n\n".join([measure.heading(PACKAGES, more), *parts])


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds: a smoke test")
    parser.add_argument("--only", metavar="NAME", help=f"losses or tables: {', '.join(EXTRAS)}")
    parser.add_argument("--isa", default="avx512,avx2", help="instruction sets; the first is compared with peers")
    parser.add_argument("--out", metavar="FILE.md", help="where the tables go (between its markers)")
    parser.add_argument("--seconds", type=float, help="for all contenders of a row together")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    given = arguments()
    measure.use_processors(THREADS)
    known = [*contenders.LOSSFAST, *EXTRAS]
    quick = ["mse", "binary_crossentropy", *EXTRAS]
    names = given.only.split(",") if given.only else quick if given.quick else known
    for name in names:
        if name not in known:
            raise SystemExit(f"--only {name}: expected some of {', '.join(known)}")
    settings = (QUICK if given.quick else FULL)._replace(isas=available(given.isa.split(",")))
    if given.seconds:
        settings = settings._replace(seconds=given.seconds)
    measure.publish(report(names, settings), given.out, "peers")


def available(isas: list[str]) -> list[str]:
    """Those that this processor has; at least the one in use."""
    import lossfast as lf

    found = []
    for isa in isas:
        try:
            lf.set_isa(isa)
            found.append(isa)
        except ValueError as error:
            measure.say(f"lossfast: {error}")
    return found or [lf.isa()]


if __name__ == "__main__":
    main()
