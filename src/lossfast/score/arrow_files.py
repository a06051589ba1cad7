"""Parquet, Arrow IPC and CSV through pyarrow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from lossfast._arrays import Array
from lossfast.score.errors import BadData
from lossfast.score.readers import GROUPABLE, Columns, Source, time_key

CSV_BLOCK = 8 << 20  # bytes
CSV_NULLS = ["", "NA", "N/A", "#N/A", "NULL", "null", "None"]  # without "nan": that is a float


@contextmanager
def reading(path: str, kind: str) -> Iterator[None]:
    """Whatever pyarrow says of a damaged file becomes BadData; errors of the system stay what they are."""
    try:
        yield
    except pa.ArrowCancelled:
        raise KeyboardInterrupt from None
    except MemoryError as error:
        size = re.search(r"size (\d+)", str(error))
        if size and int(size[1]) > 1 << 44:  # what a damaged file says of itself
            raise BadData(f"is corrupt: a part of it would have {size[1]} bytes", path) from error
        raise MemoryError(f"{path}: {error}") from error
    except BadData:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadData(f"is not a {kind} file, or truncated or corrupt: {_sentence(error)}", path) from error


def _sentence(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")


def numbers(column: Any, path: str, start: int, name: str) -> Array:
    """A pyarrow array as a NumPy array: without a copy, but for bools, decimals and dictionaries."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    t, kind = pa.types, column.type
    if t.is_decimal(kind):
        column = column.cast(pa.float64())
    elif not (t.is_integer(kind) or t.is_floating(kind) or t.is_boolean(kind) or t.is_null(kind)):
        hint = " (losses of classes and of vectors alone take lists)" if _is_lists(kind) else ""
        raise BadData(f"holds {kind}, expected bool, integer or float{hint}", path, column=name)
    if t.is_null(kind):
        column = column.cast(pa.float64())
    if column.null_count:
        row = start + pc.index(column.is_null(), True).as_py()
        raise BadData("is null, expected a number: fill or drop nulls first", path, row, name)
    if t.is_boolean(kind):
        return _shared(column.cast(pa.uint8())).view(np.bool_)
    return _shared(column)


def _is_lists(kind: Any) -> bool:
    t = pa.types
    return bool(t.is_fixed_size_list(kind) or t.is_list(kind) or t.is_large_list(kind))


def lists(column: Any, path: str, start: int, name: str, width: int | None, each: str = "class") -> Array:
    """A pyarrow array of lists of one length as a NumPy matrix, without a copy where `numbers` makes none.

    Without a width the first list has the right length; a number is one for `each`.
    """
    if isinstance(column.type, pa.BaseExtensionType):  # a tensor of fixed shape
        column = column.storage
    if not _is_lists(column.type):
        raise BadData(f"holds {column.type}, expected lists of numbers", path, column=name)
    if column.null_count:
        row = start + pc.index(column.is_null(), True).as_py()
        raise BadData("is null, expected a list of numbers: fill or drop nulls first", path, row, name)
    if pa.types.is_fixed_size_list(column.type):
        width = column.type.list_size
    elif len(column):
        lengths = _shared(pc.list_value_length(column))
        width = int(lengths[0]) if width is None else width
        wrong = lengths != width
        if wrong.any():
            row = int(wrong.argmax())
            what = f"is a list of {lengths[row]}, expected {width}: a number for each {each}"
            raise BadData(what, path, start + row, name)
    values, width = column.flatten(), width or 0
    if values.null_count:
        row, k = divmod(pc.index(values.is_null(), True).as_py(), width)
        raise BadData(f"{each} {k} is null, expected a number: fill or drop nulls first", path, start + row, name)
    return numbers(values, path, start, name).reshape(len(column), width)


def _width(path: str, kind: Any, name: str, read: Callable[..., Iterator[Columns]]) -> int | None:
    """How many numbers each row of a column holds; of lists the first says so."""
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size)
    if not _is_lists(kind):
        return None
    with closing(read([name], [], 1)) as blocks:  # type: ignore[type-var]
        _, columns = next(blocks)
    return int(lists(columns[name], path, 0, name, None).shape[1])


def _shared(column: Any) -> Array:
    """The memory of an array without nulls: `to_numpy` would import pandas, where it is installed."""
    return np.from_dlpack(column)


def _resized(batches: Iterable[Any], schema: Any, wanted: Sequence[str], rows: int) -> Iterator[Columns]:
    """Batches of at most `rows`; small ones are joined, since each costs a fixed time too."""
    held: list[Any] = []
    empty = True

    def columns(batch: Any) -> Columns:
        return batch.num_rows, {name: batch.column(name) for name in wanted}

    for batch in batches:
        if not batch.num_rows:
            continue
        empty = False
        if batch.num_rows < rows // 16:
            held.append(batch)
            if sum(b.num_rows for b in held) < rows // 4:
                continue
            batch = None
        if held:
            yield columns(pa.concat_batches(held))
            held = []
        for i in range(0, batch.num_rows if batch else 0, rows):
            yield columns(batch.slice(i, rows))
    if held:
        yield columns(pa.concat_batches(held))
    if empty:
        yield 0, {name: pa.array([], schema.field(name).type) for name in wanted}


def open_parquet(path: str, threads: int) -> Source:
    """Row groups are read piece by piece: none is held as a whole."""
    with reading(path, "Parquet"):
        file = pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False, page_checksum_verification=True)
        schema = file.schema_arrow
        names = schema.names

    def read(numbers: Sequence[str], others: Sequence[str], rows: int) -> Iterator[Columns]:
        wanted = list(dict.fromkeys((*numbers, *others)))
        with reading(path, "Parquet"):
            batches = file.iter_batches(rows, columns=wanted, use_threads=threads > 1)
            yield from _resized(batches, schema, wanted, rows)

    def width(name: str) -> int | None:
        return _width(path, schema.field(name).type, name, read)

    return Source(path, names, file.metadata.num_rows, read, file.close, width)


def open_ipc(path: str, threads: int) -> Source:
    """The file format (Feather version 2 too) and the stream format, told apart by how they begin."""
    with open(path, "rb") as raw:
        is_file = raw.read(6) == b"ARROW1"
    opened: list[Any] = []

    def reader(fields: list[int] | None) -> Any:
        source = pa.OSFile(path)  # a memory map would be a SIGBUS if another program cut the file
        opened.append(source)
        options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=threads > 1)
        return (pa.ipc.open_file if is_file else pa.ipc.open_stream)(source, options=options)

    with reading(path, "Arrow"):
        schema = reader(None).schema
        names = schema.names

    def read(numbers: Sequence[str], others: Sequence[str], rows: int) -> Iterator[Columns]:
        wanted = list(dict.fromkeys((*numbers, *others)))
        with reading(path, "Arrow"):
            source = reader(sorted(schema.get_field_index(name) for name in wanted))
            batches = (source.get_batch(i) for i in range(source.num_record_batches)) if is_file else source
            yield from _resized(map(_validated, batches), schema, wanted, rows)

    def close() -> None:
        for source in opened:
            source.close()

    def width(name: str) -> int | None:
        return _width(path, schema.field(name).type, name, read)

    return Source(path, names, None, read, close, width)


def _validated(batch: Any) -> Any:
    batch.validate(full=True)  # offsets of strings in a damaged file would lead anywhere
    return batch


def open_csv(path: str, threads: int) -> Source:
    """With a header.  Numbers become float64 or bool; the first rows decide the types of other columns."""
    parse = pacsv.ParseOptions(newlines_in_values=True)

    def reader(parallel: bool, **convert: Any) -> Any:
        options = pacsv.ReadOptions(use_threads=parallel, block_size=CSV_BLOCK)
        nulls = pacsv.ConvertOptions(null_values=CSV_NULLS, **convert)
        return pacsv.open_csv(path, read_options=options, parse_options=parse, convert_options=nulls)

    with open(path, "rb") as raw:
        if not raw.read(1):
            raise BadData("is empty, expected a header", path)
    with reading(path, "CSV"), _located(path, []), reader(False) as first:
        schema = first.schema
        names = schema.names

    def read(numbers: Sequence[str], others: Sequence[str], rows: int) -> Iterator[Columns]:
        wanted = list(dict.fromkeys((*numbers, *others)))
        types = {name: schema.field(name).type for name in wanted}
        for name, kind in types.items():
            if name in others and pa.types.is_integer(kind):
                continue
            if name in numbers and not pa.types.is_boolean(kind):
                types[name] = pa.float64()
            elif pa.types.is_null(kind):
                types[name] = pa.string()
        convert = {"include_columns": wanted, "column_types": types}
        with reading(path, "CSV"):
            try:
                with reader(threads > 1, **convert) as batches:
                    yield from _resized(batches, pa.schema(list(types.items())), wanted, rows)
            except pa.ArrowInvalid:
                with _located(path, names), reader(False, **convert) as batches:
                    for _ in batches:  # once more to the same error: only one thread knows the row
                        pass
                raise

    return Source(path, names, None, read, lambda: None)


@contextmanager
def _located(path: str, names: list[str]) -> Iterator[None]:
    """Turn what one thread finds wrong in CSV into BadData with row and column."""
    try:
        yield
    except pa.ArrowInvalid as error:
        found = re.match(r"(?:In CSV column #(\d+)|CSV parse error): Row #(\d+): (.*)", _sentence(error))
        if not found:
            raise
        column, row, what = found.groups()
        # pyarrow counts rows from 1, and the header is one
        raise BadData(what, path, int(row) - 2, names[int(column)] if column else None) from error


OPEN = {"parquet": open_parquet, "ipc": open_ipc, "csv": open_csv}


def factorised(column: Any, path: str, name: str) -> tuple[Array, list[Any]]:
    """For each row the position of its group in a list of integers, strings, bools, or None for null."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    t = pa.types
    integral = t.is_integer(kind) or t.is_boolean(kind)
    text = t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind) or t.is_null(kind)
    if not (integral or text or t.is_date(kind) or t.is_timestamp(kind)):
        raise BadData(f"holds {kind}, expected {GROUPABLE} to group by", path, column=name)
    if not pa.types.is_dictionary(column.type):
        column = pc.dictionary_encode(column, null_encoding="encode")
    groups = column.dictionary if integral else column.dictionary.cast(pa.string())
    keys = groups.to_pylist()
    if t.is_timestamp(kind):
        keys = [None if key is None else time_key(key) for key in keys]
    codes = column.indices
    if codes.null_count:
        codes = codes.fill_null(len(keys)) if len(keys) < 128 else codes.cast(pa.int64()).fill_null(len(keys))
        keys.append(None)
    return _shared(codes), keys
