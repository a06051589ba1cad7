"""Processes, threads, signals, very long arrays and the state of the processor."""

import ctypes
import math
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from operands import assert_same_bits, derivatives, operands

import lossfast as lf


def python(code, timeout=60):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout)


def test_importing_the_package_imports_next_to_nothing():
    code = "import sys; before = set(sys.modules); import lossfast; print(*sorted(set(sys.modules) - before))"
    done = python(code)
    assert done.returncode == 0, done.stderr
    heavy = {m for m in done.stdout.split() if m.split(".")[0] in ("numpy", "torch", "scipy") or m == "lossfast._core"}
    assert not heavy


def test_calling_a_loss_imports_no_peer():
    code = "import sys, lossfast as lf; lf.mse([1.0], [2.0]); lf.mse.accumulator(); print(*sorted(sys.modules))"
    loaded = {name.split(".")[0] for name in python(code).stdout.split()}
    assert not loaded & {"ml_dtypes", "torch", "scipy", "pandas", "sklearn", "pyarrow", "matplotlib", "rich"}


FORK = """
import multiprocessing, os, sys, numpy as np, lossfast as lf
x = np.linspace(0, 1, 1_000_000)
lf.set_num_threads(4)
labels, logits = np.arange(800).reshape(8, 100) % 9 + 1, np.sin(np.arange(8 * 300 * 10.0)).reshape(8, 300, 10)
def results():
    return *lf.mse.value_and_grad(x, x[::-1]), *lf.ctc.value_and_grad(labels, logits)
before = results()
def child(_=None):
    return all(np.array_equal(a, b) for a, b in zip(before, results(), strict=True))
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if child() else 1)
    assert os.waitpid(pid, 0)[1] == 0
with multiprocessing.get_context("fork").Pool(3) as pool:
    assert all(pool.map(child, range(12)))
print("good", lf.get_num_threads())
"""
SETTING_THREADS_IN_A_CHILD = """
import os, signal, numpy as np, lossfast as lf
x = np.linspace(0, 1, 1_000_000)
lf.set_num_threads(4)
before = lf.mse(x, x[::-1])
for k in range(3):
    pid = os.fork()
    if pid == 0:
        signal.alarm(6)
        if k == 0:
            with lf.threads(2):
                after = lf.mse(x, x[::-1])
        else:
            lf.set_num_threads(2) if k == 1 else None
            after = lf.mse(x, x[::-1], n_threads=2)
        os._exit(0 if after == before else 1)
    print(os.waitpid(pid, 0)[1])
"""


@pytest.mark.compiled
def test_forking_after_use_does_not_hang():
    done = python(FORK)
    assert done.stdout == "good 4\n", done.stderr


@pytest.mark.compiled
def test_setting_threads_after_fork_does_not_hang():
    done = python(SETTING_THREADS_IN_A_CHILD, timeout=90)
    assert done.stdout.split() == ["0", "0", "0"], done.stdout + done.stderr


def test_sixty_four_threads_at_once():
    losses = [lf.get(name) for name in lf.names()]
    # Of a batch the specification holds all similarities at once: fewer vectors, for every thread has its own.
    few = {loss: 10 if loss.declaration.family == "batch" else 1 for loss in losses}
    sizes = (10, 2000 if lf.backend() == "c" else 200)
    data = {(loss, n): operands(loss, max(10, n // few[loss]), np.float32) for loss in losses for n in sizes}
    data |= {(lf.mse, 100_000): operands(lf.mse, 100_000)}
    want = {key: derivatives(key[0], *arrays) for key, arrays in data.items()}
    failures, barrier = [], threading.Barrier(64)

    def work(k):
        barrier.wait()
        try:
            for i in range(2):
                for key, arrays in list(data.items())[k % 4 :: 4]:  # each loss in sixteen threads
                    assert_same_bits(derivatives(key[0], *arrays, n_threads=1 + (i + k) % 3), want[key])
                    assert_same_bits(derivatives(key[0], *arrays), want[key])
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(64)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert not failures, failures[0]


INTERRUPT = """
import os, signal, threading, time, numpy as np, lossfast as lf
x = np.broadcast_to(np.float64(0.25), 200_000_000_000)
lf.set_num_threads(1)
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
start = time.monotonic()
try:
    CALL
    print("finished")
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - start)
lf.mse([1.0], [2.0])
"""


@pytest.mark.compiled
@pytest.mark.parametrize(
    "call",
    [
        "lf.pseudo_huber(x, x)",
        "lf.mse(x, x, n_threads=2)",
        "lf.log_cosh.accumulator().update(x, x)",
        "lf.mse(x, x, sample_weight=x)",
        "lf.ctc(np.broadcast_to(np.int8([1, 2] * 50), (9999, 100)), np.broadcast_to(np.float32(0), (9999, 2000, 60)))",
    ],
)
def test_interrupts_are_heard_during_a_call(call):
    done = python(INTERRUPT.replace("CALL", call))
    word, seconds = done.stdout.split() if " " in done.stdout else (done.stdout, "0")
    assert word == "interrupted", done.stdout + done.stderr
    assert float(seconds) < 1.5


@pytest.mark.compiled
def test_more_elements_than_an_int_counts():
    n = 2**31 + 1025
    if not os.environ.get("LOSSFAST_SLOW_TESTS"):
        target = np.broadcast_to(np.array(False), n)
        pred = np.broadcast_to(np.float16(2), n)
        assert lf.mae(target, pred) == 2.0
        return
    base = np.zeros(n, np.uint8)
    base[-1] = 3
    assert lf.mse(base, np.broadcast_to(np.float32(0), n), reduction="sum") == 9.0
    labels = np.broadcast_to(np.uint8(0), n).copy()
    labels[-1] = 2
    with pytest.raises(ValueError, match=rf"y_true\[{n - 1}\] is 2"):
        lf.hinge(labels, np.broadcast_to(np.float32(0), n))


def test_subnormal_numbers_stay_what_they_are(plain, dtype):
    info = np.finfo(dtype)
    target, pred = operands(plain, 5000, dtype)
    plain.value_grad_hess(target, pred)
    tiny = np.full(4, info.smallest_subnormal, dtype)
    assert (tiny * dtype(2) > 0).all() and (tiny.sum() > 0)
    assert lf.mae(np.zeros(4, dtype), tiny) == float(info.smallest_subnormal)
    assert lf.mae(np.zeros(4, dtype), -tiny, reduction="sum") == 4 * float(info.smallest_subnormal)


def test_the_rounding_mode_is_left_alone():
    libm = ctypes.CDLL("libm.so.6")
    assert libm.fegetround() == 0
    for name in lf.names():
        loss = lf.get(name)
        derivatives(loss, *operands(loss, 1000))
        assert libm.fegetround() == 0


def test_sums_are_those_of_fsum():
    rng = np.random.default_rng(0)
    x = rng.choice([-1, 1], 50_000) * np.exp2(rng.uniform(-20, 20, 50_000))
    got = lf.mae(np.zeros(x.size), x, reduction="sum")
    assert abs(got - math.fsum(np.abs(x))) <= 2 * math.ulp(got)
    assert abs(lf.mae(np.zeros(x.size), x) - math.fsum(np.abs(x)) / x.size) <= 4 * math.ulp(got / x.size)


def test_arguments_are_not_kept_alive(plain):
    target, pred = operands(plain, 100)
    out, counts = np.empty(100), []
    for _ in range(3):
        for _ in range(200):
            plain.value_and_grad(target, pred)
            plain.value_and_grad(target, pred, out=(None, out))
            plain(target, pred, sample_weight=out * 0 + 1, n_threads=1)
        counts.append([sys.getrefcount(x) for x in (target, pred, out, plain)])
    assert counts[0] == counts[1] == counts[2]


@pytest.mark.compiled
def test_memory_that_is_missing_is_an_error():
    code = """
import resource, numpy as np, lossfast as lf
lf.mse([1.0], [2.0])
resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))
x = np.broadcast_to(np.float64(0), 10**9)
try:
    lf.mse.grad(x, x)
except MemoryError:
    print("MemoryError")
"""
    assert python(code).stdout == "MemoryError\n"


@pytest.mark.compiled
def test_a_workspace_that_is_missing_is_an_error():
    code = """
import resource, numpy as np, lossfast as lf
labels = np.broadcast_to(np.int8([[1, 2] * 5000]), (1, 10_000))
logits = np.broadcast_to(np.float32(0), (1, 2_000_000, 3))
grad = np.full(logits.shape, 7, np.float32)
lf.ctc.grad([[1]], grad[:, :2])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**24, used + 2**24))
try:
    lf.ctc.grad(labels, logits, out=grad)
except MemoryError:
    print("MemoryError", (grad == 7).all())
"""
    assert python(code).stdout == "MemoryError True\n"


def test_signals_are_left_to_their_owners():
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.append(time.monotonic()))
    try:
        timer = threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGUSR1))
        timer.start()
        x = np.broadcast_to(np.float32(0.5), 40_000_000 if lf.backend() == "c" else 100_000)
        while not heard:
            assert lf.mse(x, x) == 0.0
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
