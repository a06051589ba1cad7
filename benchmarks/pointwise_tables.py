"""The tables of the pointwise losses."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace

import bandwidth
import measure
import pointwise
from contenders import THREADS, Contender, Group, Worker
from pointwise import Case
from racing import Runner, Settings, details, fastest, folded, interleave, limits, low, race, summary

NAMES = list(pointwise.LOSSFAST)
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
QUICK = ["mse", "binary_crossentropy", *EXTRAS]
PACKAGES = ("lossfast", "numpy", "torch", "jax", "numba", "numexpr", "scikit-learn")
SECONDS = 20.0  # for all contenders of a row together


def groups(settings: Settings) -> list[Group | Worker]:
    """Who takes part."""
    local = Group(
        lossfast=functools.partial(pointwise.lossfast, isas=settings.isas),
        numpy=pointwise.numpy,
        numexpr=pointwise.numexpr,
        numba=pointwise.numba,
        sklearn=pointwise.sklearn,
    )
    return [local, Worker("pointwise", "torch"), Worker("pointwise", "jax")]


def tables(losses: list[str], settings: Settings, groups: list[Group | Worker], complaints: list[str]) -> str:
    """The rows of the losses."""
    sizes = settings.large(10**5, 10**6, 10**7)
    cases = [Case(loss, n) for n in sizes for loss in losses]
    cases += [Case(loss, sizes[-1], grad=False) for loss in losses]
    races = [race(case, groups, settings, complaints) for case in cases]
    parts = []
    for grad, title in ((True, "Value and gradient"), (False, "Value only")):
        parts += [f"#### {title}", summary([r for r in races if r.case.grad == grad], settings)]
    return "\n\n".join([*parts, folded(details(races))])


def makers(settings: Settings, groups: list[Group | Worker], complaints: list[str]) -> dict[str, Callable[[], str]]:
    """The smaller tables."""
    return {
        "overhead": lambda: overhead_table(settings, groups, complaints),
        "checks": lambda: checks_table(settings, complaints),
        "types": lambda: types_table(settings, complaints),
        "sum": lambda: sum_table(settings),
        "accumulator": lambda: accumulator_table(settings, complaints),
        "fresh": lambda: fresh_table(settings, complaints),
        "memory": lambda: memory_table(settings),
        "import": lambda: import_table(settings),
    }


def of_lossfast(cases: dict[str, Case], settings: Settings, isas: list[str] | None = None) -> dict[str, Runner]:
    """lossfast on several cases, to be compared with each other."""
    made: dict[str, Runner] = {}
    for label, case in cases.items():
        for c in pointwise.lossfast(case, isas or settings.isas[:1]):
            made[f"{label} {c.name}" if isas else label] = c.run
    return made


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
                        str(case.moved()),
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
        target, pred = pointwise.data(case)
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
    target, pred = pointwise.data(case)
    accumulator = lf.mse.accumulator()
    update = Contender("", lambda: (accumulator.update(target, pred), None))
    runners = of_lossfast({"value": case}, settings) | {"update": update.run} | limits(case, complaints)
    times = interleave(runners, settings)
    (value, values), (updated, updates) = map(measure.low_and_median, (times["value"], times["update"]))
    row = [
        measure.power(case.n),
        *map(measure.shown_time, (low(times, fastest(times)), value, updated)),
        measure.ratio(updated, value),
        measure.ratio(updates, values),
    ]
    header = ["n", "limit", "`lf.mse(...)`", "`accumulator.update(...)`", "update / value", "of medians"]
    return measure.table(header, [row])


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
"""


def memory_table(settings: Settings) -> str:
    """Peak resident memory beyond what was there before the call."""
    [n] = settings.large(10**7)
    text = f"mse, value + gradient of {measure.power(n)} float32 elements; an array has {n * 4 / 2**20:.1f} MiB."
    ways = ("lossfast with out=", "lossfast", "torch eager")
    return f"{text}\n\n{measure.memory_table(MEMORY, ways, (n,))}"


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
