"""`.npy` and `.npz` in blocks, with NumPy alone.  A column may have several numbers in each row.

Files are read, not mapped: if another program cut a mapped file, reading it would be a SIGBUS.
"""

from __future__ import annotations

import errno
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np

from lossfast._arrays import Array
from lossfast.score.errors import BadCall, BadData
from lossfast.score.readers import GROUPABLE, Columns, Source, time_key


class _Header(NamedTuple):
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]


@contextmanager
def reading(path: str, kind: str) -> Iterator[None]:
    """Whatever parsers raise for a damaged file becomes BadData; errors of the system stay as they are."""
    try:
        yield
    except (BadData, BadCall):
        raise
    except MemoryError as error:
        raise MemoryError(f"{path}: {error}") from error
    except Exception as error:
        # EINVAL is a place before the beginning, where a damaged archive may say that something is
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        what = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")
        raise BadData(f"is not a {kind} file, or truncated or corrupt: {what}", path) from error


def _header(file: Any) -> _Header:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    elif version in ((2, 0), (3, 0)):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
        if version == (3, 0) and dtype.names:  # its text is UTF-8, which was taken for Latin-1
            dtype.names = tuple(name.encode("latin1").decode("utf8") for name in dtype.names)
    else:
        raise ValueError(f"version {version} of the format is unknown")
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never loaded")
    if dtype.itemsize == 0 or any(not isinstance(n, int) or n < 0 for n in shape):
        raise ValueError(f"its header says shape {shape} of {dtype}")
    return _Header(shape, fortran, dtype)


def _fromfile(file: Any, dtype: np.dtype[Any], count: int) -> Array:
    block = np.fromfile(file, dtype, count)
    if len(block) != count:
        raise ValueError("the file ends early")
    return block


def open_npy(path: str) -> Source:
    """Columns are the fields of a structured array, or those of a matrix, named "0", "1" and so on."""
    file = open(path, "rb")  # noqa: SIM115  (the source closes it)
    try:
        with reading(path, "NumPy"):
            shape, fortran, dtype = _header(file)
            data, size = file.tell(), os.fstat(file.fileno()).st_size
            count = int(np.prod(np.array(shape, dtype=object)))  # exact
            promised = count * dtype.itemsize
            if size - data < promised:
                raise ValueError(f"its header promises {promised} bytes and {size - data} are there")
            if len(shape) not in (1, 2) or (dtype.names and len(shape) != 1):
                raise BadData(f"has shape {shape}, expected one axis, or two of columns", path)
    except BaseException:
        file.close()
        raise
    n, width = shape[0], shape[1] if len(shape) == 2 else 1
    names = list(dtype.names) if dtype.names else [str(i) for i in range(width)]

    def read(numbers: Sequence[str], others: Sequence[str], rows: int) -> Iterator[Columns]:
        wanted = list(dict.fromkeys((*numbers, *others)))
        with reading(path, "NumPy"):
            file.seek(data)
            for start in range(0, max(n, 1), rows):
                count = min(rows, n - start)
                if fortran and len(shape) == 2:
                    columns = {}
                    for name in wanted:
                        file.seek(data + (int(name) * n + start) * dtype.itemsize)
                        columns[name] = _fromfile(file, dtype, count)
                elif dtype.names:
                    block = _fromfile(file, dtype, count)
                    columns = {name: block[name] for name in wanted}
                else:
                    block = _fromfile(file, dtype, count * width).reshape(count, width)
                    columns = {name: block[:, int(name)] for name in wanted}
                yield count, columns

    def columns_of(name: str) -> int | None:
        return _width((n, *dtype[name].shape), path, name) if dtype.names else None

    return Source(path, names, n, read, file.close, columns_of)


def _width(shape: tuple[int, ...], path: str, name: str) -> int | None:
    """How many numbers each row holds; None where it is one."""
    if len(shape) not in (1, 2):
        raise BadData(f"has shape {shape}, expected one axis or two", path, column=name)
    return shape[1] if len(shape) == 2 and shape[1] != 1 else None


class _Member:
    """A vector or matrix in an archive, read from its beginning on."""

    def __init__(self, stream: Any, path: str, column: str) -> None:
        self.stream = stream
        self.shape, fortran, self.dtype = _header(stream)
        self.width = _width(self.shape, path, column)
        if fortran and self.width is not None:
            what = "is stored by columns (Fortran order), which cannot be streamed: save np.ascontiguousarray of it"
            raise BadData(what, path, column=column)

    def take(self, count: int) -> Array:
        block = np.empty(count if self.width is None else (count, self.width), self.dtype)
        view, at = memoryview(block.reshape(-1).view(np.uint8)), 0  # type: ignore[arg-type]
        while at < len(view):
            got = self.stream.readinto(view[at:])
            if not got:
                raise ValueError("the file ends early")
            at += got
        return block

    def finish(self) -> None:
        """Read on to the end, where the checksum is compared."""
        while self.stream.read(1 << 16):
            pass


def open_npz(path: str) -> Source:
    """The members are the columns: vectors, and matrices, of one length."""
    with reading(path, "NumPy .npz"):
        archive = zipfile.ZipFile(path)
        members = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}

    def read(numbers: Sequence[str], others: Sequence[str], rows: int) -> Iterator[Columns]:
        wanted = list(dict.fromkeys((*numbers, *others)))
        with reading(path, "NumPy .npz"), ExitStack() as streams:
            columns = {}
            for name in wanted:
                stream = streams.enter_context(archive.open(members[name]))
                columns[name] = _Member(stream, path, name)
            n = columns[wanted[0]].shape[0]
            for name, column in columns.items():
                if column.shape[0] != n:
                    raise BadData(f"has {column.shape[0]} rows and {wanted[0]!r} has {n}", path, column=name)
            for start in range(0, max(n, 1), rows):
                count = min(rows, n - start)
                yield count, {name: column.take(count) for name, column in columns.items()}
            for column in columns.values():
                column.finish()

    def width(name: str) -> int | None:
        with reading(path, "NumPy .npz"), archive.open(members[name]) as stream:
            return _Member(stream, path, name).width

    return Source(path, list(members), None, read, archive.close, width)


def factorised(column: Array, path: str, name: str) -> tuple[Array, list[Any]]:
    """For each row the position of its group in a list of groups: integers, strings or bools."""
    if column.dtype.kind not in "biuUSM" or column.ndim != 1:
        raise BadData(f"holds {column.dtype}, expected {GROUPABLE} to group by", path, column=name)
    with reading(path, "NumPy"):
        groups, codes = np.unique(column, return_inverse=True)
        if groups.dtype.kind == "S":
            return codes, [key.decode(errors="replace") for key in groups.tolist()]
        if groups.dtype.kind == "M":
            return codes, [None if key == "NaT" else time_key(key) for key in groups.astype("U").tolist()]
        return codes, groups.tolist()
