"""Files as blocks of columns: which files there are, what they hold, and the rows of each in order."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lossfast._arrays import Array
from lossfast._errors import did_you_mean
from lossfast.score.errors import BadCall, BadData, need_pyarrow

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "ipc",
    ".arrows": "ipc",
    ".feather": "ipc",
    ".ipc": "ipc",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".npy": "npy",
    ".npz": "npz",
}


GROUPABLE = "integers, strings, bools or dates"
Columns = tuple[int, dict[str, Any]]  # a number of rows, and that many of each column


class Block(NamedTuple):
    """Some rows of a file, from row `start` on: each column a NumPy or a pyarrow array."""

    path: str
    start: int
    rows: int
    columns: dict[str, Any]

    def numbers(self, name: str) -> Array:
        """A column as bools, integers or floats; BadData for anything else, nulls among them."""
        column = self.columns[name]
        if not isinstance(column, np.ndarray):
            from lossfast.score.arrow_files import numbers

            column = numbers(column, self.path, self.start, name)
        if column.dtype.kind not in "biuf" or column.dtype.itemsize > 8:
            raise BadData(f"holds {column.dtype}, expected bool, integer or float", self.path, column=name)
        if column.ndim == 2 and column.shape[1] == 1:
            column = column[:, 0]
        if column.ndim != 1:
            shape = " by ".join(map(str, column.shape[1:]))
            raise BadData(f"has {shape} numbers in each row, expected one", self.path, column=name)
        return column  # type: ignore[no-any-return]

    def matrix(self, names: Sequence[str], width: int | None, each: str = "class") -> Array:
        """A row of numbers, one for `each`, for each row: of several columns, or of one that holds lists."""
        if len(names) > 1:
            return np.stack([self.numbers(name) for name in names], axis=1)
        column = self.columns[names[0]]
        if not isinstance(column, np.ndarray):
            from lossfast.score.arrow_files import lists

            column = lists(column, self.path, self.start, names[0], width, each)
        if column.dtype.kind not in "biuf" or column.dtype.itemsize > 8:
            raise BadData(f"holds {column.dtype}, expected bool, integer or float", self.path, column=names[0])
        return column  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Source:
    """An open file: its columns, how many rows it has where it says so, and how to read and close it.

    `read` takes the names of columns of numbers, those of other columns, and the most rows of a block.  It
    gives one block at least, so that an empty file shows its types too.  `width` says how many numbers each row of a
    column holds: None for one that is not in a list, 0 for lists of an unknown length, of which there are none.
    """

    path: str
    names: list[str]
    rows: int | None
    read: Callable[[Sequence[str], Sequence[str], int], Iterable[Columns]]
    close: Callable[[], None]
    width: Callable[[str], int | None] = lambda name: None

    def require(self, names: Iterable[str]) -> None:
        """BadCall for a column that is not there, BadData for one that is there twice."""
        for name in names:
            if name not in self.names:
                hint = did_you_mean(name, self.names) or f"; it has {listed(self.names)}"
                raise BadCall(f"{self.path} has no column {name!r}{hint}")
            if self.names.count(name) > 1:
                raise BadData("occurs more than once", self.path, column=name)

    def blocks(self, numbers: Sequence[str], others: Sequence[str], batch_rows: int) -> Iterator[Block]:
        """The rows in order; BadCall for a column that is not there."""
        try:
            self.require((*numbers, *others))
            start = 0
            for rows, columns in self.read(numbers, others, batch_rows):
                yield Block(self.path, start, rows, columns)
                start += rows
        finally:
            self.close()


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names for messages: all of a few; of many the first and the last, which say how they are ordered."""
    if len(names) > most:
        return ", ".join(map(repr, names[: most - 2])) + f", ..., {names[-1]!r} ({len(names)} columns)"
    return ", ".join(map(repr, names)) or "no columns"


def time_key(text: str) -> str:
    """A time as one text, whatever its unit and the format it comes from."""
    return re.sub(r"(\.\d*?)0+(Z|[+-]\d{4})?$", lambda m: m[1].rstrip(".") + (m[2] or ""), text.replace("T", " "))


def format_of(path: str) -> str | None:
    """The format that a file's name stands for."""
    name = os.path.basename(path).lower()
    return next((kind for suffix, kind in FORMATS.items() if name.endswith(suffix)), None)


def find_files(paths: Sequence[str]) -> list[str]:
    """The files named, and those of known formats in the folders named, sorted, without hidden ones."""
    found: list[str] = []
    for path in paths:
        if os.path.isdir(path):
            inside = sorted(_walk(path))
            if not inside:
                raise BadCall(f"{path} has no file of a known format ({', '.join(FORMATS)})")
            found += inside
        else:
            os.stat(path)
            if format_of(path) is None:
                raise BadCall(f"{path} is of no known format, expected {', '.join(FORMATS)}")
            found.append(path)
    if not found:
        raise BadCall("no files to read")
    seen: dict[str, str] = {}
    for path in found:
        if (real := os.path.realpath(path)) in seen:
            raise BadCall(f"{path} is there twice" + (f", also as {seen[real]}" if path != seen[real] else ""))
        seen[real] = path
    return found


def _walk(folder: str) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise error

    for here, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [f for f in folders if not f.startswith((".", "_"))]
        yield from (os.path.join(here, n) for n in names if format_of(n) and not n.startswith((".", "_")))


def load_readers(paths: Sequence[str]) -> None:
    """Import what reads these files; MissingExtra where it is not installed."""
    for path in paths:
        if format_of(path) not in ("npy", "npz"):
            need_pyarrow(f"reading {path}")
            from lossfast.score import arrow_files  # noqa: F401

            return


def open_source(path: str, threads: int) -> Source:
    """Open a file; OSError if it cannot be read, BadData if it is not what its name says."""
    kind = format_of(path)
    if not os.path.isfile(path):
        os.stat(path)
        raise BadData("is not a regular file", path)
    with open(path, "rb"):  # pyarrow's own errors for this have no errno
        pass
    if kind in ("npy", "npz"):
        from lossfast.score import numpy_files

        return numpy_files.open_npy(path) if kind == "npy" else numpy_files.open_npz(path)
    from lossfast.score import arrow_files

    return arrow_files.OPEN[str(kind)](path, threads)
