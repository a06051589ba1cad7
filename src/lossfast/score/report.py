"""What a scoring found, as plain data and as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lossfast._loss import Loss
from lossfast.accumulator import Summary

VERSION = 1  # of what `Report.to_dict` returns


def option_of(argument: str) -> str:
    """The option of the command that gives the column of a loss's argument."""
    return {"y_true": "target", "y_pred": "pred"}.get(argument, argument).replace("_", "-")


@dataclass(frozen=True)
class Columns:
    """Which column is what; of losses of vectors and autoencoders `operands` says so, by argument."""

    target: str
    pred: str
    weight: str | None
    by: str | None
    params: dict[str, str]
    operands: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ClassColumns:
    """Of a loss of classes: how many there are, the columns in their order, and how many rows were ignored."""

    count: int
    target: list[str]
    pred: list[str]
    ignored: int


@dataclass(frozen=True)
class Group:
    """The summary of the rows with one value (None: null) of the group column."""

    key: int | str | bool | None
    summary: Summary


@dataclass(frozen=True)
class WorstRow:
    """A row with a large loss; `row` counts from 0 within its file, and the loss is not weighted.

    Of a loss of classes `pred` is a list, and so is `target` if it has a number for each class.  Of a loss of vectors
    `target` is the label, if there is one, and `pred` None; of scores it is a list of these.
    """

    file: str
    row: int
    target: Any
    pred: Any
    loss: float
    weight: float | int | bool | None

    def order(self) -> tuple[Any, ...]:
        """NaN first, then from the largest; ties by file and row."""
        size = (False, 0.0) if math.isnan(self.loss) else (True, -self.loss)
        return (*size, self.file, self.row)


@dataclass(frozen=True)
class Report:
    """The summary of all rows, those of groups, the worst rows, and how long it took."""

    loss: Loss
    columns: Columns
    files: dict[str, int]  # rows of each
    summary: Summary
    groups: list[Group]
    worst: list[WorstRow]
    out: str | None
    seconds: float
    classes: ClassColumns | None = None
    dimensions: dict[str, int] | None = None  # of a loss of vectors or of an autoencoder: of each operand

    @property
    def rows_per_second(self) -> float:
        """Rows by the time from opening the first file to the end."""
        return self.summary.count / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; "nan", "inf" and "-inf" are strings, since JSON has no such numbers."""
        c = self.columns
        found: dict[str, Any] = {
            "version": VERSION,
            "loss": {"name": self.loss.name, "params": self.loss.get_params()},
            "columns": {
                **({option_of(k): v for k, v in c.operands.items()} or {"target": c.target, "pred": c.pred}),
                "weight": c.weight,
                "by": c.by,
                "params": c.params,
            },
            **({"classes": vars(self.classes)} if self.classes is not None else {}),
            **({"dimensions": {option_of(k): v for k, v in self.dimensions.items()}} if self.dimensions else {}),
            "files": [{"path": path, "rows": rows} for path, rows in self.files.items()],
            "summary": self.summary._asdict(),
        }
        if c.by is not None:
            found["groups"] = [{"key": g.key, **g.summary._asdict()} for g in self.groups]
        if self.worst:
            found["worst"] = [self._told(row) for row in self.worst]
        found |= {"out": self.out, "seconds": self.seconds, "rows_per_second": self.rows_per_second}
        return plain(found)  # type: ignore[no-any-return]

    def _told(self, row: WorstRow) -> dict[str, Any]:
        """A row without what there is none of."""
        absent = ("target", "pred") if self.columns.operands else ()
        return {k: v for k, v in vars(row).items() if k not in absent or v is not None}

    def facts(self) -> list[tuple[str, str]]:
        """Names and values of the summary, for people."""
        s = self.summary
        rows = [("rows", f"{s.count:,}")]
        if self.classes is not None:
            rows += [("ignored", f"{self.classes.ignored:,}")] if self.classes.ignored else []
            rows += [("classes", f"{self.classes.count:,}{_ends(self.classes.pred)}")]
        if self.dimensions:
            widths = set(self.dimensions.values())
            each = ", ".join(f"{width:,} of {option_of(name)}" for name, width in self.dimensions.items())
            rows += [("dimensions", f"{widths.pop():,}" if len(widths) == 1 else each)]
        weighted = self.columns.weight is not None or s.weight != s.count
        rows += [("total weight", _shown(s.weight))] if weighted else []
        rows += [(name, _shown(getattr(s, name))) for name in ("mean", "sum", "std", "min", "max")]
        return [*rows, ("non-finite", f"{s.nonfinite:,}"), ("rows/s", f"{self.rows_per_second:,.0f}")]

    def title(self) -> str:
        """The loss, with its parameters."""
        given = {k: plain(v) for k, v in self.loss.get_params().items()}
        if self.classes is not None:  # which have many parameters: those that are not as usual
            known = self.loss.declaration.params
            given = {k: v for k, v in given.items() if known[k].kind is bool or v != known[k].default}
        params = ", ".join(f"{k}={v!r}" for k, v in given.items())
        return f"{self.loss.name}({params})"

    def sources(self) -> str:
        """The files, the first by name."""
        names = list(self.files)
        return names[0] + (f" and {len(names) - 1:,} more" if len(names) > 1 else "")

    def group_table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows."""
        weighted = self.columns.weight is not None
        header = [str(self.columns.by), "count", *(["weight"] if weighted else []), "mean", "std"]
        rows = []
        for g in self.groups:
            s = g.summary
            weight = [f"{s.weight:.6g}"] if weighted else []
            rows.append([_key(g.key), f"{s.count:,}", *weight, f"{s.mean:.8g}", f"{s.std:.6g}"])
        return header, rows

    def worst_table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows; the file only where there are several."""
        several, weighted = len(self.files) > 1, self.columns.weight is not None
        names = [str(self.columns.weight)] if weighted else []
        operands = self._worst_operands()
        header = ["row", *operands, "loss", *names, *(["file"] if several else [])]
        rows = []
        for w in self.worst:
            values = _told(w.target, w.pred) if self.classes is not None else [w.target, w.pred]
            if self.columns.operands:
                values = ([] if w.target is None else [w.target]) + (w.pred or [])
            cells = [f"{w.row}", *(f"{v:.6g}" for v in (*values, w.loss))]
            cells += [f"{w.weight:.6g}"] if w.weight is not None else []
            rows.append([*cells, *([w.file] if several else [])])
        return header, rows

    def _worst_operands(self) -> list[str]:
        """The names of the columns that say what the worst rows hold."""
        c = self.columns
        if c.operands:
            label, *scores = c.operands.values()
            shown = self.worst[0]
            return ([] if shown.target is None else [label]) + (scores if shown.pred else [])
        if self.classes is None:
            return [c.target, c.pred]
        soft = any(isinstance(w.target, list) for w in self.worst)  # of many numbers those that tell most
        return [f"largest {c.target}" if soft else c.target, f"its {c.pred}", f"largest {c.pred}", "at class"]

    def tables(self) -> list[tuple[str, list[str], list[list[str]]]]:
        """Title, header and rows of each table there is."""
        found = [(f"by {self.columns.by}", *self.group_table())] if self.groups else []
        return found + ([("worst rows", *self.worst_table())] if self.worst else [])

    def __str__(self) -> str:
        lines = [self.title(), self.sources(), ""]
        facts = self.facts()
        width = max(len(name) for name, _ in facts)
        lines += [f"{name:<{width}}  {value}" for name, value in facts]
        for title, header, rows in self.tables():
            lines += ["", f"{title}:", *_aligned([header, *rows])]
        return "\n".join([*lines, *([f"\nlosses written to {self.out}"] if self.out else [])])


def plain(x: Any) -> Any:
    """The same with strings for floats that JSON cannot say."""
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, np.ndarray):
        x = x.tolist()
    if isinstance(x, list):
        return [plain(v) for v in x]
    return repr(x) if isinstance(x, float) and not math.isfinite(x) else x


def _shown(x: float) -> str:
    return f"{x:,.0f}" if math.isfinite(x) and x == int(x) and abs(x) < 2**53 else repr(x)


def _ends(columns: Sequence[str]) -> str:
    """The first columns and the last, where there are several."""
    shown = [*columns[:2], "...", columns[-1]] if len(columns) > 3 else columns
    return f" ({', '.join(shown)})" if len(columns) > 1 else ""


def _told(target: Any, pred: list[float]) -> list[float]:
    """The label (of soft targets the largest) and its prediction, the largest prediction and where that is."""
    label = int(np.argmax(target)) if isinstance(target, list) else int(target)
    largest = int(np.argmax(pred))
    return [label, pred[label], pred[largest], largest]


def _key(key: Any) -> str:
    return "null" if key is None else str(key)


def _aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{c:>{w}}" for c, w in zip(row, widths, strict=True)) for row in rows]
