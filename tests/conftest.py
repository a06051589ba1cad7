"""What all tests share: every loss of the registry in every parameter case, every instruction set and dtype.

A test that takes `loss` runs for each pointwise loss with each of its parameter cases, one that takes `plain` for each
with its defaults; `row_loss` and `row_plain` are the losses of classes, `region_loss` and `region_plain` those of
masks, of which `class_region` are those with a value for each class and `region_path` those that go different ways
through the code, `vector_loss` and `vector_plain` those of vectors, `batch_loss`, `mining_loss` and `retrieval_loss`
those of a batch of vectors, `box_loss` and `box_plain` those of boxes, `sample_loss` those of autoencoders,
`ranking_loss` those of ranked items, `any_loss` and `any_plain` those of all; `isa`, `dtype` and `method` multiply in
the same way.  Tests marked `compiled` need the C core and are deselected where the NumPy backend runs.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
if "PYTEST_XDIST_WORKER" in os.environ:  # threads that spin would stand in the way of the other processes
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import pytest

import lossfast as lf
from lossfast._declarations import BatchEmbedding, Mining, Retrieval
from lossfast._loss import REGISTRY

lf.names()  # fills the registry
COMPILED = lf.backend() == "c"
METHODS = {"__call__": ("value",), "grad": ("grad",), "hess": ("hess",), "value_and_grad": ("value", "grad")}


def _levels():
    """The instruction sets of this processor and build."""
    if not COMPILED:
        return ["none"]
    before, found = lf.isa(), []
    for level in ("base", "avx2", "avx512"):
        try:
            lf.set_isa(level)
            found.append(level)
        except ValueError:
            pass
    lf.set_isa(before)
    return found


LEVELS = _levels()
DEFAULT_LEVEL = lf.isa()
ANY_PLAIN = [REGISTRY[name] for name in sorted(REGISTRY)]
ANY_CASES = [type(loss)(**params) for loss in ANY_PLAIN for params in loss.declaration.cases()]
PLAIN, ROW_PLAIN = ([x for x in ANY_PLAIN if x.declaration.family == family] for family in ("pointwise", "classwise"))
CASES, ROW_CASES = ([x for x in ANY_CASES if x.declaration.family == family] for family in ("pointwise", "classwise"))
REGION_PLAIN, BOX_PLAIN = ([x for x in ANY_PLAIN if x.declaration.family == family] for family in ("region", "box"))
REGION_CASES, BOX_CASES = ([x for x in ANY_CASES if x.declaration.family == family] for family in ("region", "box"))
LOSSES = {
    "loss": CASES,
    "plain": PLAIN,
    "row_loss": ROW_CASES,
    "row_plain": ROW_PLAIN,
    "region_loss": REGION_CASES,
    "region_plain": REGION_PLAIN,
    "region_path": [x for x in REGION_CASES if x.name == "dice" or x.declaration.together or x.declaration.pixel],
    "class_region": [x for x in REGION_PLAIN if not (x.declaration.together or x.declaration.pixel)],
    "vector_loss": [x for x in ANY_CASES if x.declaration.family == "embedding"],
    "vector_plain": [x for x in ANY_PLAIN if x.declaration.family == "embedding"],
    "box_loss": BOX_CASES,
    "box_plain": BOX_PLAIN,
    "sample_loss": [x for x in ANY_CASES if x.declaration.family == "sample"],
    "batch_loss": [x for x in ANY_CASES if type(x.declaration) is BatchEmbedding],
    "mining_loss": [x for x in ANY_CASES if type(x.declaration) is Mining],
    "retrieval_loss": [x for x in ANY_CASES if type(x.declaration) is Retrieval],
    "ranking_loss": [x for x in ANY_CASES if x.declaration.family == "ranking"],
    "any_loss": ANY_CASES,
    "any_plain": ANY_PLAIN,
}


def _id(loss):
    params, defaults = loss.get_params(), REGISTRY[loss.name].get_params()
    changed = ",".join(f"{k}={v}" for k, v in params.items() if v != defaults[k])
    return f"{loss.name}({changed})"


def pytest_configure(config):
    config.addinivalue_line("markers", "compiled: needs the compiled core")


def pytest_report_header(config):
    return f"lossfast: backend {lf.backend()}, instruction sets {', '.join(LEVELS)}, {len(ANY_CASES)} parameter cases"


def pytest_collection_modifyitems(config, items):
    if COMPILED:
        return
    away = [item for item in items if item.get_closest_marker("compiled")]
    config.hook.pytest_deselected(items=away)
    items[:] = [item for item in items if item not in set(away)]


def pytest_terminal_summary(terminalreporter):
    """The largest errors that the tests of derivatives met, in ULP."""
    worst = {}
    for report in (*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ())):
        for what, error in report.user_properties if "test_derivatives" in report.nodeid else ():
            worst[what] = max(worst.get(what, (0, "")), (error, report.nodeid.partition("[")[2][:-1]))
    for what, (error, case) in sorted(worst.items()):
        terminalreporter.write_line(f"largest error of {what}: {error:.2f} ULP, {case}")


def pytest_generate_tests(metafunc):
    wanted = metafunc.fixturenames
    for name, losses in LOSSES.items():
        if name in wanted:
            metafunc.parametrize(name, losses, ids=_id)
    if "method" in wanted:
        metafunc.parametrize("method", METHODS)
    if "isa" in wanted:
        metafunc.parametrize("isa", LEVELS, indirect=True)
    if "dtype" in wanted:
        metafunc.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


@pytest.fixture
def isa(request):
    if request.param != "none":
        lf.set_isa(request.param)
    return request.param


@pytest.fixture(autouse=True)
def _restored():
    """Each test leaves threads and instruction set as it found them."""
    before = lf.get_num_threads()
    yield
    if COMPILED:
        lf.set_isa(DEFAULT_LEVEL)
        if lf.get_num_threads() != before:
            lf.set_num_threads(before)
