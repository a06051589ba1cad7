"""Products in threads of our own: the same bits for any number, and BLAS is left as it was."""

import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from operands import assert_same_bits

import lossfast as lf
from lossfast import _blas

RNG = np.random.default_rng(8)
pytestmark = pytest.mark.skipif(
    _blas._controller() is None, reason="threadpoolctl, or a BLAS that it knows, is missing"
)


def test_threads_change_no_bit_of_large_products(dtype):
    """So large that they are computed in threads."""
    rows, features, classes = 70, 300, 4000
    arrays = [RNG.normal(size=s).astype(dtype) for s in ((rows, features), (classes, features), (classes,))]
    labels = RNG.integers(0, classes, rows)
    assert rows * features * classes > _blas.FEW
    want = lf.linear_crossentropy.value_and_grad(labels, *arrays, n_threads=1)
    for n in (2, 3, 7):
        assert_same_bits(lf.linear_crossentropy.value_and_grad(labels, *arrays, n_threads=n), want)


def threads_now():
    return {library["num_threads"] for library in _blas._controller().info()}


def test_blas_has_its_threads_back():
    with _blas._controller().limit(limits=3):
        with _blas.workers(2, 1e12) as workers:
            assert list(workers.each(lambda i: (i, threads_now()), range(5))) == [(i, {1}) for i in range(5)]
        assert threads_now() == {3}
        with pytest.raises(ZeroDivisionError), _blas.workers(2, 1e12) as workers:
            workers.all(lambda i: 1 // i, [2, 1, 0])
        assert threads_now() == {3}


def test_calls_side_by_side_take_turns():
    """Else the first to end would give BLAS its threads back, and the last leave it with one."""
    before, inside = threads_now(), []
    if before == {1}:
        pytest.skip("BLAS has one thread anyway: calls need not wait")

    def call():
        with _blas.workers(2, 1e12) as workers:
            assert workers.alone
            inside.append(None)
            assert list(workers.each(lambda i: (len(inside), threads_now()), range(50))) == [(1, {1})] * 50
            inside.pop()

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(call) for _ in range(12)]:
            future.result()
    assert threads_now() == before


def test_a_blas_with_one_thread_is_left_alone():
    with _blas._turn, _blas.workers(1, 1e3) as workers:
        assert not workers.alone  # few products do not wait
    together = threading.Barrier(3, timeout=60)

    def call(_):
        with _blas.workers(1, 1e12) as workers:
            together.wait()
            return workers.alone

    with _blas._controller().limit(limits=1), ThreadPoolExecutor(3) as pool:
        assert list(pool.map(call, range(3))) == [True] * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_of_fork_need_not_wait():
    with _blas._turn, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, where there are threads
        child = os.fork()
        if not child:
            os._exit(_blas._turn.locked())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
