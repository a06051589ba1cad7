"""The report and the progress bar on a terminal: with rich where installed, else plain text and no bar."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lossfast.score.report import Report


def show(report: Report) -> None:
    """Print a report to standard output."""
    if not sys.stdout.isatty():
        print(report)
        return
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        print(report)
        return
    console = Console(highlight=False)
    console.print(Text(report.title(), style="bold"))
    console.print(Text(report.sources() + "\n", style="dim"))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="cyan")
    facts.add_column(overflow="fold")
    for name, value in report.facts():
        facts.add_row(name, Text(value, style="bold" if name == "mean" else ""))
    console.print(facts)
    for title, header, rows in report.tables():
        console.print(Text(f"\n{title}", style="bold"))
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
        for name in header:
            last = name == "file"
            table.add_column(Text(name), justify="left" if last else "right", no_wrap=not last, overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)
    if report.out:
        console.print(Text(f"\nlosses written to {report.out}"))


@contextmanager
def progress_bar() -> Iterator[Callable[[int, float], None] | None]:
    """A bar on standard error, which vanishes at the end."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
    except ImportError:
        yield None
        return
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    began = time.perf_counter()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=1.0)

        def update(rows: int, fraction: float) -> None:
            speed = rows / max(time.perf_counter() - began, 1e-9)
            progress.update(task, completed=fraction, description=f"{rows:,} rows, {speed / 1e6:,.1f} M/s")

        yield update
