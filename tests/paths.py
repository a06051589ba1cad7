"""All paths through few frames, one by one, and what searches through frames return, in comparable form."""

import functools
import itertools

import numpy as np
from operands import assert_same_bits

BLANK = 0


def assert_same(got, want):
    """Equal integers and equal bits of floats, of arrays or tuples of them."""
    for a, b in zip(got, want, strict=True) if isinstance(want, tuple) else [(got, want)]:
        if np.asarray(b).dtype.kind == "f":
            assert_same_bits(a, b)
        else:
            assert np.asarray(a).dtype == np.asarray(b).dtype
            np.testing.assert_array_equal(a, b)


def spelled(path, blank=BLANK):
    """Repeats are merged, then blanks removed."""
    merged = [k for t, k in enumerate(path) if t == 0 or path[t - 1] != k]
    return tuple(k for k in merged if k != blank)


@functools.cache
def all_paths(frames, classes, blank=BLANK):
    """Every path as rows, and what each spells."""
    paths = np.array(list(itertools.product(range(classes), repeat=frames)), int).reshape(classes**frames, frames)
    return paths, [spelled(tuple(p), blank) for p in paths.tolist()]


def log_softmax(z):
    """In double precision."""
    z = np.asarray(z, np.float64)
    d = z - z.max(axis=-1, keepdims=True)
    return d - np.log(np.exp(d).sum(axis=-1, keepdims=True))


def labellings(log_p, blank=BLANK):
    """Of every labelling the log-probability, by adding up its paths."""
    paths, what = all_paths(*log_p.shape, blank)
    each = log_p[np.arange(len(log_p)), paths].sum(axis=1)
    found = {}
    for labels, p in zip(what, each, strict=True):
        found.setdefault(labels, []).append(p)
    return {labels: np.logaddexp.reduce(p) for labels, p in found.items()}


def best_paths(log_p, blank=BLANK):
    """Of every labelling the log-probability of its best path, and all paths that have it."""
    paths, what = all_paths(*log_p.shape, blank)
    each = log_p[np.arange(len(log_p)), paths].sum(axis=1)
    found = {}
    for path, labels, p in zip(paths.tolist(), what, each, strict=True):
        best, _ = found.get(labels, (-np.inf, []))
        if p > best:
            found[labels] = (p, [path])
        elif p == best:
            found[labels][1].append(path)
    return found


def hypotheses(decoding):
    """The labels of every hypothesis as tuples, in the order of samples and of probability."""
    rows = decoding.labels.reshape(decoding.lengths.size, decoding.labels.shape[-1])
    return [tuple(row[:n].tolist()) for row, n in zip(rows, decoding.lengths.reshape(-1), strict=True)]


def layouts(x):
    """(name, array) of the same numbers in memory of other shapes, all of (samples, frames, classes)."""
    wide = np.zeros((*x.shape[:2], 2 * x.shape[2]), x.dtype)
    wide[..., ::2] = x
    room = np.zeros(x.nbytes + 1, np.uint8)
    odd = room[1:].view(x.dtype) if x.dtype.itemsize == 1 else np.frombuffer(room.data, np.uint8)[1:]
    odd = np.ndarray(x.shape, x.dtype, odd.data)
    odd[...] = x
    return {
        "time first": np.ascontiguousarray(x.swapaxes(0, 1)).swapaxes(0, 1),
        "fortran": np.asfortranarray(x),
        "every other": wide[..., ::2],
        "backwards": np.ascontiguousarray(x[::-1, ::-1, ::-1])[::-1, ::-1, ::-1],
        "rows backwards": np.ascontiguousarray(x[:, ::-1])[:, ::-1],
        "unaligned": odd,
        "big-endian": x.astype(x.dtype.newbyteorder(">")) if x.dtype.kind == "f" else x,
    }
