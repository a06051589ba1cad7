"""Items in groups: which belong together, as lists along an axis, by ids, or by sizes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from lossfast import _arrays
from lossfast._arrays import Array, position


class Grouping(NamedTuple):
    """Items of a group stand together at `order[starts[g]:starts[g + 1]]`, in the order in which they are given."""

    shape: tuple[int, ...]  # of what has an entry for each group
    order: Array | None  # positions in the flat array; None: all, as they stand
    starts: Array
    reads: dict[str, Array]  # the caller's arrays

    @property
    def sizes(self) -> Array:
        """The number of items of each group."""
        return np.diff(self.starts)

    def taken(self, x: Array) -> Array:
        """The items of an array, group after group."""
        flat = x.reshape(-1)
        return flat if self.order is None else flat[self.order]

    def put(self, x: Array, into: Array) -> None:
        """The way back; what is in no group becomes 0."""
        if self.order is None:
            into[...] = x.reshape(into.shape)
            return
        flat = np.zeros(into.size, x.dtype)
        flat[self.order] = x
        into[...] = flat.reshape(into.shape)

    def each(self, x: Array) -> Array:
        """An entry for each group, repeated for its items."""
        return np.repeat(x.reshape(-1), self.sizes)

    def sums(self, x: Array) -> Array:
        """The sums of the items of each group."""
        total = np.zeros(len(self.starts) - 1, x.dtype)
        some = self.sizes > 0
        if some.any():
            total[some] = np.add.reduceat(x, self.starts[:-1][some])
        return total

    def sorted(self, *keys: Array) -> Grouping:
        """The same groups with items by keys, of which the first decides; then as they were."""
        by = np.lexsort((*reversed(keys), self.each(np.arange(len(self.starts) - 1))))
        return self._replace(order=by if self.order is None else self.order[by])

    def at(self, index: int, shape: tuple[int, ...]) -> tuple[Any, ...]:
        """Where an item stands in an array of this shape."""
        return np.unravel_index(index if self.order is None else int(self.order[index]), shape)


def grouping(
    shape: tuple[int, ...], groups: Any, group_sizes: Any, where: Any, name_of_items: str = "y_pred"
) -> Grouping:
    """The groups of items of an array of this shape."""
    if not shape:
        raise ValueError(f"{name_of_items} is a number, expected an array of items")
    reads = {}
    order = None
    if groups is not None and group_sizes is not None:
        raise TypeError("groups and group_sizes are given, expected one of them")
    if groups is None and group_sizes is None:
        of, sizes = shape[:-1], np.full(math.prod(shape[:-1]), shape[-1], np.int64)
    else:
        name = "groups" if group_sizes is None else "group_sizes"
        given = _arrays.as_array(name, groups if group_sizes is None else group_sizes)
        reads[name] = given
        if len(shape) != 1:
            raise ValueError(f"{name} is given for items of shape {shape}, expected items in one axis")
        if given.dtype.kind not in "iu":
            raise TypeError(f"{name} has dtype {given.dtype}, expected integer")
        if group_sizes is None:
            if given.shape != shape:
                raise ValueError(f"groups has shape {given.shape}, expected {shape}: an id for each item")
            _, index, sizes = np.unique(given, return_inverse=True, return_counts=True)
            if (np.diff(index) < 0).any():
                order = np.argsort(index, kind="stable")
        else:
            sizes = _sizes(given, shape[0])
        of = sizes.shape
    starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
    if where is not None:
        reads["where"] = mask = _arrays.as_array("where", where)
        if mask.dtype.kind != "b":
            raise TypeError(f"where has dtype {mask.dtype}, expected bool")
        if mask.shape != shape:
            raise ValueError(f"where has shape {mask.shape}, expected {shape}: one for each item")
        kept = mask.reshape(-1) if order is None else mask[order]
        order = np.flatnonzero(kept) if order is None else order[kept]
        starts = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])[starts]
    return Grouping(of, order, starts, reads)


def _sizes(given: Array, n: int) -> Array:
    if given.ndim != 1:
        raise ValueError(f"group_sizes has shape {given.shape}, expected one axis: a size for each group")
    bad = (given < 0) | (given > n)
    if bad.any():
        first = int(bad.argmax())
        raise ValueError(
            f"group_sizes{position((first,))} is {given[first]}, expected at least 0 and at most {n} items"
        )
    total = sum(map(int, given))
    if total != n:
        raise ValueError(f"group_sizes add up to {total}, expected {n}: the number of items")
    return given.astype(np.int64)
