"""Threads and instruction sets."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from lossfast._errors import did_you_mean
from lossfast._loss import _core

LEVELS = ("base", "avx2", "avx512")


def backend() -> str:
    """``"c"``, or ``"numpy"`` where LOSSFAST_BACKEND says so or the compiled core is missing."""
    return "numpy" if _core is None else "c"


def set_num_threads(n: int | None) -> None:
    """How many threads calls without `n_threads` use, at most; None: one per processor.

    The environment's LOSSFAST_NUM_THREADS (else OMP_NUM_THREADS) says it at start.  No number changes a bit of any
    result.  A child process made by fork() runs on one thread, whatever is said here.
    """
    if n is not None and (not isinstance(n, int) or isinstance(n, bool)):
        raise TypeError(f"n is {n!r}, expected an integer or None")
    if n is not None and n < 1:
        raise ValueError(f"n is {n}, expected at least 1")
    if _core is not None:
        _core.set_num_threads(n or 0)


def get_num_threads() -> int:
    """How many threads calls without `n_threads` use, at most.

    Examples
    --------
    >>> import lossfast as lf
    >>> with lf.threads(1):
    ...     lf.get_num_threads()
    1
    """
    return int(_core.get_num_threads()) if _core is not None else 1


@contextmanager
def threads(n: int) -> Iterator[None]:
    """A number of threads for the calls in a with block."""
    before = get_num_threads()
    set_num_threads(n)
    try:
        yield
    finally:
        set_num_threads(before)


def isa() -> str:
    """The instruction set in use: ``"avx512"``, ``"avx2"`` or ``"base"`` (``"none"`` without the compiled core)."""
    return str(_core.isa()) if _core is not None else "none"


def set_isa(name: str) -> None:
    """Use another instruction set, for tests and comparisons; LOSSFAST_ISA says it at start.

    ``"avx2"`` and ``"avx512"`` give the same bits; ``"base"`` has no fused multiply-add and may differ in the last.

    Raises
    ------
    ValueError
        If the name is unknown, or this processor or build does not have it.
    """
    if name not in LEVELS:
        raise ValueError(f"isa is {name!r}, expected one of {', '.join(LEVELS)}" + did_you_mean(str(name), LEVELS))
    if _core is None or not _core.set_isa(name):
        raise ValueError(f"isa {name!r} is not available here (in use: {isa()!r})")


def _from_environment() -> None:
    wanted = os.environ.get("LOSSFAST_NUM_THREADS")
    if wanted:
        if not (wanted.isascii() and wanted.isdecimal() and int(wanted) > 0):
            warnings.warn(f"LOSSFAST_NUM_THREADS={wanted!r} is not a positive integer and is ignored", stacklevel=2)
        else:
            set_num_threads(int(wanted))
    level = os.environ.get("LOSSFAST_ISA")
    if level and _core is not None and level != isa():
        warnings.warn(f"LOSSFAST_ISA={level!r} is not available here; {isa()!r} is used", stacklevel=2)


_from_environment()
