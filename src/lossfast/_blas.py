"""Products by NumPy's BLAS in threads of our own: the same bits for any number of them.

BLAS with threads of its own divides a product by their number, and does so badly where one operand has few rows.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, TypeVar

from lossfast.runtime import get_num_threads

MOST = 32  # threads: BLAS has a limited number of buffers for its callers
FEW = 1 << 26  # multiplications, about a millisecond: threads take longer to start

Item = TypeVar("Item")
Result = TypeVar("Result")


_turn = threading.Lock()  # held while BLAS is told to use one thread: of calls side by side, the first must end last


def _forget_turn() -> None:
    """In a forked process: another thread may have had it."""
    global _turn
    _turn = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_turn)


@cache
def _controller() -> Any:
    """Of the BLAS libraries of this process, or None: without threadpoolctl nobody knows how to set their threads."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    found = ThreadpoolController().select(user_api="blas")
    return found if len(found) else None


def _has_one_thread(controller: Any) -> bool:
    return all(library["num_threads"] == 1 for library in controller.info())


@contextlib.contextmanager
def _one_thread(controller: Any) -> Iterator[bool]:
    """BLAS uses one thread; False if it does not, because another thread of the process controls it."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_turn)
        if _has_one_thread(controller):  # as somebody else wants it: calls need not take turns
            stack.close()
        else:
            stack.enter_context(controller.limit(limits=1))
        yield _has_one_thread(controller)


class Workers:
    """Runs products side by side, each in one thread if `alone`, or else one by one, in the threads of BLAS."""

    def __init__(self, nthreads: int = 1, pool: ThreadPoolExecutor | None = None, alone: bool = True) -> None:
        self.nthreads, self.alone = nthreads, alone
        self._map: Callable[..., Iterator[Any]] = pool.map if pool else map

    def each(self, product: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """What the products of the items return, in their order."""
        return self._map(product, items)

    def all(self, product: Callable[[Item], None], items: Iterable[Item]) -> None:
        """The same of products that return nothing."""
        for _ in self._map(product, items):
            pass


@contextlib.contextmanager
def workers(nthreads: int, multiplications: float) -> Iterator[Workers]:
    """For so many multiplications in all; 0 threads are as many as kernels take.  The threads are those of BLAS where
    nobody can tell it otherwise, and of few products."""
    controller = _controller() if multiplications >= FEW else None
    if controller is None:
        yield Workers(alone=False)
        return
    most = min(nthreads or get_num_threads(), os.cpu_count() or 1, MOST)
    with _one_thread(controller) as alone:
        if most == 1 or not alone:
            yield Workers(alone=alone)
            return
        # Some libraries have a number for each thread.
        with ThreadPoolExecutor(most, "lossfast-product", partial(controller.limit, limits=1)) as pool:
            yield Workers(most, pool)
