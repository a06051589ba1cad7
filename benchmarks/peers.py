"""lossfast beside its peers, two threads, one run: the pointwise losses, those of classes, CTC, vectors, boxes, masks.

    python benchmarks/peers.py [--family class|ctc|embedding|box|region] [--quick] [--only NAME] [--isa avx512,avx2]
        [--out FILE.md]

Progress goes to stderr, Markdown tables to stdout and to --out.  README.md says what is measured and how.
"""

from __future__ import annotations

import argparse
import subprocess
import time
from typing import Any

import blas  # noqa: F401  (before NumPy)
import box_tables
import class_tables
import ctc_tables
import embedding_tables
import measure
import pointwise_tables
import region_tables
from contenders import THREADS
from racing import FULL, QUICK, Settings

FAMILIES: dict[str, Any] = {
    "pointwise": pointwise_tables,
    "class": class_tables,
    "ctc": ctc_tables,
    "embedding": embedding_tables,
    "box": box_tables,
    "region": region_tables,
}
MARKERS = {
    "pointwise": "peers",
    "class": "classes",
    "ctc": "ctc",
    "embedding": "embedding",
    "box": "box",
    "region": "region",
}  # of their tables in a file


def report(family: Any, names: list[str], settings: Settings) -> str:
    """All tables that were asked for."""
    groups = family.groups(settings)
    complaints: list[str] = []
    start = time.perf_counter()
    try:
        parts = []
        losses = [name for name in names if name not in family.EXTRAS]
        if losses:
            parts.append(family.tables(losses, settings, groups, complaints))
        shorter = settings._replace(seconds=settings.seconds / 2)
        makers = family.makers(shorter, groups, complaints)
        for name in names:
            if name in makers:
                try:
                    text = makers[name]()
                except (OSError, subprocess.CalledProcessError) as error:
                    text = f"Not measured: {error}"
                parts += [f"#### {family.EXTRAS[name]}", text]
    finally:
        for group in groups:
            group.close()
    if complaints:
        parts += ["#### Missing or left out", "\n".join(f"- {c}" for c in complaints)]
    kind = "quick: small sizes and few rounds, not for comparison" if settings.quick else "full"
    more = [("run", f"{kind}, {THREADS} threads, {(time.perf_counter() - start) / 60:.0f} min")]
    return "\n\n".join([measure.heading(family.PACKAGES, more), *parts])


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--family", choices=FAMILIES, default="pointwise", help="which losses (default: pointwise)")
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds: a smoke test")
    extras = "; ".join(f"{family}: {', '.join(module.EXTRAS)}" for family, module in FAMILIES.items())
    parser.add_argument("--only", metavar="NAME", help=f"losses, or tables of a family ({extras})")
    parser.add_argument("--isa", default="avx512,avx2", help="instruction sets; the first is compared with peers")
    parser.add_argument("--out", metavar="FILE.md", help="where the tables go (between its markers)")
    parser.add_argument("--seconds", type=float, help="for all contenders of a row together")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    given = arguments()
    measure.use_processors(THREADS)
    family = FAMILIES[given.family]
    known = [*family.NAMES, *family.EXTRAS]
    names = given.only.split(",") if given.only else family.QUICK if given.quick else known
    for name in names:
        if name not in known:
            raise SystemExit(f"--only {name}: expected some of {', '.join(known)}")
    settings = QUICK if given.quick else FULL._replace(seconds=family.SECONDS)
    settings = settings._replace(isas=available(given.isa.split(",")))
    if given.seconds:
        settings = settings._replace(seconds=given.seconds)
    measure.publish(report(family, names, settings), given.out, MARKERS[given.family])


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
