"""The loss of every row, beside columns of the input: all of it under its final name, or nothing."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from lossfast._arrays import Array
from lossfast._errors import did_you_mean
from lossfast.score.errors import BadCall, BadData, need_pyarrow
from lossfast.score.readers import Block

FORMATS = {
    ".parquet": "parquet",
    ".arrow": "ipc",
    ".feather": "ipc",
    ".ipc": "ipc",
    ".csv": "csv",
    ".npy": "npy",
}
OWN = ("file", "row", "loss")


class _Sink(Protocol):
    def write(self, columns: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


class Writer:
    """Writes to a temporary file in the same folder, to which `commit` gives its name; else it is removed.

    A file name and a row number are written too where there are several inputs or no other columns.
    """

    def __init__(self, path: str, inputs: Sequence[str], keys: Sequence[str] | None, force: bool) -> None:
        self.kind = next((kind for suffix, kind in FORMATS.items() if path.lower().endswith(suffix)), None)
        if self.kind is None:
            raise BadCall(f"output {path} is of no known format, expected {', '.join(FORMATS)}")
        if any(os.path.realpath(path) == os.path.realpath(name) for name in inputs):
            raise BadCall(f"output {path} is one of the inputs, which are never replaced")
        if os.path.isdir(path):
            raise BadCall(f"output {path} is a folder")
        if self.kind == "npy" and keys:
            raise BadCall("output .npy holds losses alone, without other columns")
        if self.kind != "npy":
            need_pyarrow(f"writing {path}")
        self.path, self.keys, self.force = path, keys, force
        self.several = len(inputs) > 1
        self._refuse_existing()
        folder, name = os.path.split(path)
        self.temporary = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.part")
        self.sink: _Sink | None = None
        self.file: Any = None

    def _refuse_existing(self) -> None:
        if not self.force and os.path.lexists(self.path):
            raise BadCall(f"output {self.path} exists (force replaces it)")

    def choose_keys(self, path: str, names: Sequence[str], used: set[str]) -> list[str]:
        """The columns to write: those asked for, or all of the first file that the loss does not use."""
        if self.kind == "npy":
            return []
        if self.keys is None:
            self.keys = [name for name in names if name not in used]
        for name in self.keys:
            if name in self._own():
                raise BadCall(f"column {name!r} has the name of an output column: choose others with keys")
            if name not in names:
                raise BadCall(f"{path} has no column {name!r}" + did_you_mean(name, names))
        return list(self.keys)

    def _own(self) -> tuple[str, ...]:
        return OWN if self.several or not self.keys else OWN[-1:]

    def __enter__(self) -> Writer:
        self.file = open(self.temporary, "xb")
        return self

    def write(self, block: Block, losses: Array, kept: Array | None) -> None:
        """Add the rows of a block; rows that are not kept have no loss: null, in .npy NaN."""
        columns: dict[str, Any] = {name: block.columns[name] for name in self.keys or ()}
        if "row" in self._own() and self.kind != "npy":
            import pyarrow as pa

            columns["file"] = pa.repeat(pa.scalar(block.path), block.rows)
            columns["row"] = np.arange(block.start, block.start + block.rows)
        columns["loss"] = losses.astype(np.float64, copy=False)
        if kept is not None:
            columns["loss"] = np.where(kept, columns["loss"], np.nan) if self.kind == "npy" else _nulls(losses, kept)
        if self.sink is None:
            self.sink = _Npy(self.file) if self.kind == "npy" else _Arrow(self.temporary, str(self.kind), self.path)
        try:
            self.sink.write(columns)
        except OSError as error:
            raise _named(error, self.path) from error

    def commit(self) -> None:
        """Finish the file and give it its name, over an older one only with `force`."""
        try:
            if self.sink is not None:
                self.sink.close()
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as error:
            raise _named(error, self.path) from error
        self._refuse_existing()
        os.replace(self.temporary, self.path)
        folder = os.open(os.path.dirname(self.path) or ".", os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sink = None
        try:
            self.file.close()
        except OSError:
            if kind is None:
                raise
        if os.path.exists(self.temporary):
            os.unlink(self.temporary)


def _nulls(losses: Array, kept: Array) -> Any:
    """A pyarrow array of losses with nulls for the others."""
    import pyarrow as pa

    valid = pa.py_buffer(np.packbits(kept, bitorder="little"))
    values = pa.py_buffer(np.ascontiguousarray(losses, np.float64))
    return pa.Array.from_buffers(pa.float64(), len(losses), [valid, values])


def _named(error: OSError, path: str) -> OSError:
    return OSError(error.errno, error.strerror, path) if error.errno else OSError(f"{path}: {error}")


class _Npy:
    """A vector of float64 whose length is known only at the end."""

    def __init__(self, file: Any) -> None:
        self.file, self.rows = file, 0
        self._header()
        self.data = file.tell()

    def _header(self) -> None:
        header = {"descr": "<f8", "fortran_order": False, "shape": (self.rows,)}
        np.lib.format.write_array_header_1_0(self.file, header)  # with room for a longer shape

    def write(self, columns: dict[str, Any]) -> None:
        losses = columns["loss"].astype("<f8", copy=False)
        self.file.write(np.ascontiguousarray(losses).data.cast("B"))
        self.rows += len(losses)

    def close(self) -> None:
        self.file.seek(0)
        self._header()
        if self.file.tell() != self.data:
            raise AssertionError("the header of the .npy file has grown")


class _Arrow:
    """A table in one of pyarrow's formats, with the types of the first block."""

    def __init__(self, temporary: str, kind: str, path: str) -> None:
        import pyarrow as pa

        self.file, self.kind, self.path = pa.OSFile(temporary, "wb"), kind, path
        self.schema: Any = None
        self.writer: Any = None

    def write(self, columns: dict[str, Any]) -> None:
        import pyarrow as pa

        arrays = {name: self._column(name, x) for name, x in columns.items()}
        if self.schema is None:
            self.schema = pa.schema([(name, a.type) for name, a in arrays.items()])
            with _writing(self.path):
                self.writer = self._open()
        cast = []
        for field in self.schema:
            with _writing(self.path, field.name):
                cast.append(arrays[field.name].cast(field.type))
        with _writing(self.path):
            self.writer.write(pa.record_batch(cast, schema=self.schema))

    def _column(self, name: str, x: Any) -> Any:
        import pyarrow as pa

        with _writing(self.path, name):
            if isinstance(x, np.ndarray):
                x = np.ascontiguousarray(x, x.dtype.newbyteorder("="))
                if x.dtype.kind not in "iuf":
                    return pa.array(x)
                # `pa.array` would import pandas, where it is installed
                flat = pa.Array.from_buffers(pa.from_numpy_dtype(x.dtype), x.size, [None, pa.py_buffer(x)])
                return flat if x.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, x.shape[1])
            return x.dictionary_decode() if pa.types.is_dictionary(x.type) else x

    def _open(self) -> Any:
        if self.kind == "parquet":
            import pyarrow.parquet as pq

            return pq.ParquetWriter(self.file, self.schema, compression="zstd")
        if self.kind == "csv":
            import pyarrow.csv as pacsv

            return pacsv.CSVWriter(self.file, self.schema)
        import pyarrow as pa

        return pa.ipc.new_file(self.file, self.schema)

    def close(self) -> None:
        self.writer.close()
        self.file.close()


@contextmanager
def _writing(path: str, column: str | None = None) -> Iterator[None]:
    """What a format cannot hold becomes BadData."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        what = (str(error).splitlines() or ["?"])[0]
        raise BadData(f"cannot be written to {path}: {what}", column=column) from error
