"""Products of each vector with all others, of which only a block exists at a time, and sums of their exponentials.

The kernels between the matrix products run on the calling thread alone: threads that wait for the next kernel would
keep the processors from the threads of the products.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np

from lossfast import _loss
from lossfast._arrays import Array

SIMILARITIES = 16 << 20  # bytes of similarities at a time
STRIP = 512  # rows of them where more would fit: of the square on the diagonal both halves are computed
PIECE = 1 << 18  # similarities at a time between the products, so that they stay in a processor's cache
SPARE = 4 << 20  # bytes of memory for temporaries that are kept from call to call
ZERO = bytes(8)
LARGEST = 64.0  # similarity of which float32 holds sums and quotients of exponentials, and of -64


class Scratch:
    """Temporaries of one call in memory of the calls before: new pages take longer than products of small batches."""

    spare: ClassVar[list[Array]] = []

    def __init__(self) -> None:
        try:
            self.memory = self.spare.pop()  # so that no other thread has it
        except IndexError:
            memory = np.empty(SPARE, np.uint8)
            self.memory = memory[-memory.ctypes.data % 64 :]
        self.used = 0

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """An array that nobody has after `close`."""
        size = math.prod(shape) * dtype.itemsize
        if self.used + size > len(self.memory):
            return np.empty(shape, dtype)
        x = self.memory[self.used : self.used + size].view(dtype).reshape(shape)
        self.used += -(-size // 64) * 64
        return x

    def close(self) -> None:
        """Keeps the memory; where this is not reached, because of an exception, it is freed."""
        if not self.spare:
            self.spare.append(self.memory)


class Points:
    """Vectors times a number."""

    def __init__(self, given: Array, dtype: np.dtype[Any], scratch: Scratch, scale: float = 1.0) -> None:
        self.scratch, self.scale = scratch, scale
        self.points = self._times(np.ascontiguousarray(given, dtype), dtype.type(scale))

    def _times(self, x: Array, factor: Any) -> Array:
        result = self.scratch.empty(x.shape, x.dtype)
        np.multiply(x, factor, out=result)
        return result

    def chain(self, gradient: Array) -> None:
        """Makes a gradient by the points one by the vectors."""
        gradient *= gradient.dtype.type(self.scale)


class Directions(Points):
    """Vectors divided by their lengths, times a number; those of zeros stay."""

    def __init__(self, given: Array, dtype: np.dtype[Any], scratch: Scratch, scale: float = 1.0) -> None:
        x = np.ascontiguousarray(given, dtype)
        norm = np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))
        self.scratch, self.scale = scratch, scale
        self.factor = np.where(norm == 0, 0.0, scale / norm).astype(dtype)[:, None]
        self.points = self._times(x, self.factor)

    def chain(self, gradient: Array) -> None:
        """Makes a gradient by the points one by the vectors."""
        along = np.einsum("ij,ij->i", gradient, self.points)[:, None]
        gradient -= self._times(self.points, along / gradient.dtype.type(self.scale**2))
        gradient *= self.factor


def blocks(rows: int, columns: int, dtype: np.dtype[Any], scratch: Scratch) -> Iterator[tuple[int, int, Array]]:
    """Ranges of rows, and room for each."""
    step = max(1, SIMILARITIES // (max(1, columns) * dtype.itemsize))
    room = scratch.empty((min(step, rows), columns), dtype)
    for first in range(0, rows, step):
        last = min(first + step, rows)
        yield first, last, room[: last - first]


def add_product(total: Array, a: Array, b: Array, room: Array | None) -> None:
    """Adds a @ b to `total`, which without room for that becomes it."""
    if room is None:
        np.matmul(a, b, out=total)
    else:
        total += np.matmul(a, b, out=room[: len(total)])


class Piece(NamedTuple):
    """Rows from `first` to `last` of a strip that ends with row `stop`, from column `begin` on."""

    first: int
    last: int
    stop: int
    begin: int
    z: Array

    def diagonal(self) -> tuple[Array, Array]:
        """Where each row meets the column of its number."""
        return np.arange(self.last - self.first), np.arange(self.first - self.begin, self.last - self.begin)


class Slopes(NamedTuple):
    """The gradient by levels of rows and of columns, and what is `more` to some z of a piece.

    Where these are in no level, `more` hides them.
    """

    by_row: Array
    by_column: Array
    more: Callable[[Piece], tuple[Any, Array]]


class Similarities:
    """Products z of the vectors of two sides, and their exponentials: strip after strip of rows.

    Those of an array with itself are symmetric: a strip begins at the diagonal, and what is beyond its square there
    stands for its mirror image too.  Strips are kept from pass to pass where there is room, else computed again.

    Where the `bound` of |z| lets exponentials be added up they take the place of z.  Otherwise there are, when they are
    needed, those of z less the largest of its row and of z less the largest of its column: these are the `tops`.
    """

    def __init__(self, left: Array, right: Array, bound: float, scratch: Scratch) -> None:
        n, dtype = len(left), left.dtype
        self.left, self.right, self.scratch = left, right, scratch
        self.symmetric, self.plain = left is right, bound <= LARGEST
        self.nothing = 0.0 if self.plain else -np.inf  # what is put in the place of those that do not count
        step = max(1, min(STRIP, SIMILARITIES // (max(1, n) * dtype.itemsize)))
        self.strips = [(start, min(start + step, n)) for start in range(0, n, step)]
        self.multiplied = right
        if self.symmetric and len(self.strips) == 1:
            # Of an array with itself NumPy has BLAS compute a half and mirrors it, which takes longer than both.
            self.multiplied = scratch.empty(right.shape, dtype)
            self.multiplied[...] = right
        total = sum((stop - start) * (n - self._begin(start)) for start, stop in self.strips)
        self.room = scratch.empty((min(total, max(SIMILARITIES // dtype.itemsize, step * n)),), dtype)
        self.kept: list[Array] = []  # the first strips
        self.free = 0  # where in the room another one goes
        self.tops = self._sides(0.0 if self.plain else -np.inf)
        self.totals = self._sides(0.0)

    def _sides(self, value: float) -> tuple[Array, Array]:
        """Numbers for rows and for columns, which are the same of an array with itself."""
        rows = np.full(len(self.left), value)
        return rows, rows if self.symmetric else rows.copy()

    def _begin(self, start: int) -> int:
        return start if self.symmetric else 0

    def passed(self, ends: Array | None = None) -> Iterator[tuple[Array, list[Piece]]]:
        """Every strip, and its pieces; of the columns up to the `ends` of its rows at least."""
        for number, (start, stop) in enumerate(self.strips):
            begin = self._begin(start)
            z = self._strip(number, start, stop, len(self.left) if ends is None else int(ends[stop - 1]))
            step = max(1, PIECE // z.shape[1])
            cuts = [(i, min(i + step, len(z))) for i in range(0, len(z), step)]
            yield z, [Piece(start + i, start + j, stop, begin, z[i:j]) for i, j in cuts]

    def _strip(self, number: int, start: int, stop: int, end: int) -> Array:
        if number < len(self.kept):
            return self.kept[number]
        begin, n = self._begin(start), len(self.left)
        size = (stop - start) * (end - begin)
        z = self.room[self.free : self.free + size].reshape(stop - start, end - begin)
        np.matmul(self.left[start:stop], self.multiplied[begin:end].T, out=z)
        if self.plain:
            exponentials(z)
        following = (stop - start) * (n - self._begin(stop)) if stop < n else 0  # the largest of all to come
        if end == n and number == len(self.kept) and self.free + size + following <= len(self.room):
            self.kept.append(z)
            self.free += size
        return z

    def levels(
        self, hidden: Callable[[Piece], Any], seen: Callable[[Piece], None] | None = None
    ) -> tuple[Array, Array]:
        """log sum exp(z) of rows and of columns, without the z of a piece that are `hidden`; `seen` sees it whole."""
        if not self.plain:
            self._add(np.maximum, self.tops, hidden, None, lambda piece: (piece.z, piece.z))
        self._add(np.add, self.totals, hidden, seen, self._exponentials)
        rows, columns = (np.log(total) + top for total, top in zip(self.totals, self.tops, strict=True))
        return rows, columns

    def _add(self, add: np.ufunc, found: tuple[Array, Array], hidden: Any, seen: Any, of: Any) -> None:
        rows, columns = found
        for _, pieces in self.passed():
            for piece in pieces:
                if seen is not None:
                    seen(piece)
                places = hidden(piece)
                saved = piece.z[places]
                piece.z[places] = self.nothing
                by_row, by_column = of(piece)
                rows[piece.first : piece.last] = add(rows[piece.first : piece.last], add.reduce(by_row, axis=1))
                beyond = piece.stop if self.symmetric else 0
                by_column = by_column[:, beyond - piece.begin :]
                columns[beyond:] = add(columns[beyond:], add.reduce(by_column, axis=0))
                piece.z[places] = saved

    def _exponentials(self, piece: Piece) -> tuple[Array, Array]:
        """exp(z less the top of the row), and exp(z less that of the column)."""
        z, (rows, columns) = piece.z, self.tops
        if self.plain:
            return z, z
        by_row = exponentials(z - rows[piece.first : piece.last, None].astype(z.dtype))
        return by_row, exponentials(z - columns[piece.begin :].astype(z.dtype))

    def at(self, piece: Piece, places: Any) -> Array:
        """Some z of a piece."""
        z: Array = piece.z[places].astype(np.float64)
        if self.plain:
            np.log(z, out=z)
        return z

    def gradients(self, slopes: Slopes, by_left: Array, by_right: Array) -> None:
        """A last pass, after `levels`: `by_left` and `by_right`, one array if the points are, become the gradients."""
        rows, columns = (
            (slope / total).astype(self.left.dtype) for slope, total in zip(slopes[:2], self.totals, strict=True)
        )
        factor_room, room = self.scratch.empty((max(PIECE, len(columns)),), columns.dtype), None
        for z, pieces in self.passed():
            for piece in pieces:
                places, added = slopes.more(piece)
                of_row, of_column = rows[piece.first : piece.last, None], columns[piece.begin :]
                e, f = self._exponentials(piece)
                if e is f:
                    factors = factor_room[: e.size].reshape(e.shape)
                    np.multiply(e, np.add(of_row, of_column, out=factors), out=piece.z)
                else:
                    np.add(e * of_row, f * of_column, out=piece.z)
                piece.z[places] += added
            start, _, stop, begin, _ = pieces[0]
            beyond = stop if self.symmetric else 0
            add_product(by_left[start:stop], z, self.right[begin:], room if self.symmetric else None)
            add_product(by_right[beyond:], z[:, beyond - begin :].T, self.left[start:stop], room)
            room = self.scratch.empty(by_right.shape, z.dtype) if room is None else room


def exponentials(z: Array) -> Array:
    """exp(z) in its place: the derivative of the Poisson loss by the logarithm of the rate, for counts of 0."""
    if _loss._core is None:
        return np.exp(z, out=z)
    counts: Array = np.ndarray(z.shape, z.dtype, ZERO, strides=(0, 0))
    kernel = _loss._core.Kernel("poisson_log")
    kernel.run(z.dtype != np.float64, counts, z, None, None, (), 1.0, None, z, None, False, None, 0, False, 1)
    return z


def crossentropy(z: Array, label: Array, wants_gradient: bool) -> Array:
    """Of each row log sum exp(z) less the label's z; `z` becomes its gradient."""
    losses = np.empty(len(z))
    if _loss._core is not None:
        kernel = _loss._core.RowKernel("crossentropy")
        slopes = z if wants_gradient else None
        single = z.dtype != np.float64
        kernel.run(single, True, label, z, None, None, None, (), None, 0.0, 0.0, 1.0, losses, slopes, None, False, 1)
        return losses
    rows = np.arange(len(z))
    at, top = z[rows, label].astype(np.float64), z.max(axis=1, keepdims=True)
    z -= top
    np.exp(z, out=z)
    total = z.sum(axis=1, dtype=np.float64)
    losses[...] = np.log(total) + top[:, 0] - at
    rest = z[rows, label] - total
    z /= total[:, None].astype(z.dtype)
    z[rows, label] = rest / total
    return losses
