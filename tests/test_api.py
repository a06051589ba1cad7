"""Names, classes, parameters and settings: the public face that all losses share."""

import copy
import inspect
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from conftest import COMPILED, LEVELS
from operands import assert_same_bits, derivatives, operands

import lossfast as lf
from lossfast._loss import REGISTRY


def test_every_name_and_alias_finds_its_loss(any_plain):
    d = any_plain.declaration
    for name in (d.name, d.class_name, *d.names):
        assert (
            lf.get(name) is any_plain
            and lf.get(name.upper()) is any_plain
            and lf.get(name.replace("_", " ")) is any_plain
        )
    for name, params in d.aliases.items():
        found = lf.get(name)
        assert type(found) is type(any_plain)
        assert found.get_params() == {**any_plain.get_params(), **params}
    for name in (d.name, *d.names):
        assert getattr(lf, name) is any_plain
        assert name in dir(lf)
    assert getattr(lf, d.class_name) is type(any_plain)
    assert any_plain.name in lf.names() and lf.names() == sorted(REGISTRY)


def test_no_two_losses_share_a_name():
    seen = {}
    for loss in REGISTRY.values():
        d = loss.declaration
        for name in {n.lower().replace("_", "") for n in (d.name, d.class_name, *d.names, *d.aliases)}:
            assert seen.setdefault(name, d.name) == d.name, name


def test_a_loss_of_every_form_is_the_same(any_loss):
    params = any_loss.get_params()
    config = {"class_name": type(any_loss).__name__, "config": params}
    forms = [
        lf.get(config),
        lf.get(type(any_loss), **params),
        lf.get(any_loss),
        lf.get(any_loss.name, **params),
        lf.get(REGISTRY[any_loss.name], **params),
    ]
    given = operands(any_loss, 9)
    want = derivatives(any_loss, *given)
    for form in forms:
        assert form == any_loss and hash(form) == hash(any_loss)
        assert_same_bits(derivatives(form, *given), want)
        assert_same_bits(lf.value_and_grad(form, *given), want[:2])
    assert_same_bits(derivatives(REGISTRY[any_loss.name], *given, **params), want)
    other = next(x for x in REGISTRY.values() if x.name != any_loss.name)
    assert any_loss != other and any_loss != 3 and any_loss is not None


def test_the_repr_evaluates_to_the_loss(any_loss):
    assert eval(repr(any_loss), {type(any_loss).__name__: type(any_loss)}) == any_loss


def test_copies(any_loss):
    for other in (
        copy.copy(any_loss),
        copy.deepcopy(any_loss),
        *(pickle.loads(pickle.dumps(any_loss, k)) for k in range(2, 6)),
    ):
        assert other == any_loss and type(other) is type(any_loss) and hash(other) == hash(any_loss)
        given = operands(any_loss, 5)
        assert other(*given) == any_loss(*given)


def test_scikit_learn_clones_losses(any_loss):
    base = pytest.importorskip("sklearn.base")
    assert base.clone(any_loss) == any_loss
    assert base.clone(any_loss).get_params() == any_loss.get_params() == any_loss.get_params(deep=True)


def test_losses_are_immutable(any_loss):
    before = repr(any_loss)
    for name in [*any_loss.get_params(), "name", "declaration", "new"]:
        with pytest.raises(AttributeError):
            setattr(any_loss, name, 3)
        with pytest.raises(AttributeError):
            delattr(any_loss, name)
    any_loss.get_params().clear()
    for name, value in any_loss.get_params().items():
        assert getattr(any_loss, name) == value
    with pytest.raises(AttributeError, match="has no attribute 'gradd'; did you mean"):
        any_loss.gradd  # noqa: B018
    assert repr(any_loss) == before


def test_parameters_that_are_arrays_are_copied():
    variances = np.array([1.0, 2.0])
    loss = lf.GaussianNLL(var=variances)
    variances[:] = 7
    assert loss.get_params()["var"].tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        loss.get_params()["var"][0] = 3
    assert loss == lf.GaussianNLL(var=[1.0, 2.0]) and loss != lf.GaussianNLL(var=[1.0, 3.0])
    assert hash(loss) == hash(lf.GaussianNLL(var=[1.0, 2.0]))
    assert pickle.loads(pickle.dumps(loss)) == loss == copy.deepcopy(loss)
    assert loss([0.0, 0.0], [1.0, 1.0]) == lf.gaussian_nll([0.0, 0.0], [1.0, 1.0], var=[1.0, 2.0])
    big = (
        lf.GaussianNLL(var=np.arange(3000.0)),
        lf.GaussianNLL(var=np.r_[np.arange(1500.0), 0, np.arange(1501.0, 3000)]),
    )
    assert big[0] != big[1]


def test_losses_may_be_subclassed_without_losing_anything(any_plain):
    assert isinstance(any_plain, lf.Loss) and issubclass(type(any_plain), lf.Loss)
    with pytest.raises(TypeError):
        type(any_plain)(1.0)


@pytest.mark.parametrize(
    "wrong, words",
    [
        ("huberr", "huber"),
        ("mean_square_error", "mean_squared_error"),
        ("BCEWithLogitLoss", "BCEWithLogitsLoss"),
        ("zzzzzz", "known: "),
    ],
)
def test_unknown_names(wrong, words):
    with pytest.raises(ValueError, match=words):
        lf.get(wrong)
    with pytest.raises(ValueError, match=words):
        lf.info(wrong)
    with pytest.raises(ValueError, match=words):
        lf.value_and_grad(wrong, [1.0], [1.0])


def test_things_that_are_no_losses():
    for wrong in (3, None, ["mse"], object, int):
        with pytest.raises(TypeError, match="expected a name"):
            lf.get(wrong)
    for wrong in ({}, {"class_name": 3}, {"class_name": "Huber", "config": 3}, {"config": {}}):
        with pytest.raises(ValueError, match="class_name"):
            lf.get(wrong)
    with pytest.raises(TypeError, match="unexpected keyword 'delt'; did you mean 'delta'"):
        lf.get("huber", delt=3)
    with pytest.raises(AttributeError, match="no attribute 'hubber'; did you mean 'huber'"):
        lf.hubber  # noqa: B018


def test_recommendations():
    every = lf.recommend()
    assert len(every) > 10 and all(str(row) for row in every)
    for row in every:
        assert lf.recommend(row.problem)[0].problem == row.problem
        lf.get(row.first_choice.split()[0])
    assert lf.recommend("zebra") == []


def test_calls_take_keywords(any_plain):
    given = operands(any_plain, 5)
    want = any_plain(*given)
    named = dict(zip(any_plain.declaration.arguments, given, strict=False))
    first, *others = named
    assert any_plain(**dict(reversed(named.items()))) == want
    assert any_plain(named[first], **{name: named[name] for name in others}) == want
    assert type(want) is float
    for method in ("__call__", "grad", "hess", "value_and_grad", "grad_and_hess", "value_grad_hess"):
        assert callable(getattr(any_plain, method))
        assert inspect.getdoc(getattr(any_plain, method)), f"{method} has no docstring"


def test_the_boosting_hessian_is_positive(loss, dtype):
    target, pred = operands(loss, 3000, dtype)
    weight = np.random.default_rng(0).uniform(0.5, 2, 3000)
    for more in ({}, {"sample_weight": weight}):
        exact = loss.hess(target, pred, reduction="sum", **more)
        hess = loss.hess(target, pred, reduction="sum", hess="boosting", **more)
        assert hess.dtype == dtype and (hess > 0).all()
        factor = more.get("sample_weight", 1.0)
        if loss.declaration.boosting == "one":
            np.testing.assert_allclose(hess, np.broadcast_to(factor, 3000), rtol=1e-6)
        else:
            assert_same_bits(hess[exact > 1e-15], exact[exact > 1e-15])


# --- Arrays from elsewhere ------------------------------------------------------------------------------------


def foreign(x):
    import jax
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    import torch

    yield "torch", torch.from_numpy(x.copy())
    yield "torch detached", torch.from_numpy(x.copy()).requires_grad_().detach()
    yield "jax", jax.device_put(x.astype(np.float32))
    yield "pandas", pd.Series(x)
    yield "pandas nullable", pd.array(x.tolist(), dtype="Float64")
    yield "pandas frame", pd.DataFrame({"a": x})["a"]
    yield "polars", pl.Series(x)
    yield "pyarrow", pa.array(x)
    yield "pyarrow chunks", pa.chunked_array([x[:2], x[2:]])
    yield "memoryview", memoryview(x)
    yield "list", x.tolist()
    yield "tuple", tuple(x.tolist())
    yield "masked without masks", np.ma.masked_array(x)
    yield "matrix", np.asmatrix(x)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_arrays_from_elsewhere():
    for package in ("jax", "pandas", "polars", "pyarrow", "torch"):
        pytest.importorskip(package)
    x = np.array([0.5, 1.5, -2.0, 4.0, 8.0])
    want, grad = lf.mse.value_and_grad(x, x[::-1])
    for name, thing in foreign(x):
        numpy_pred = x[::-1].astype(np.float32 if name == "jax" else np.float64)
        shape = (1, 5) if name == "matrix" else (5,)
        got, g = lf.mse.value_and_grad(thing, numpy_pred.reshape(shape))
        assert got == want, name
        np.testing.assert_array_equal(g.ravel(), grad, err_msg=name)
        assert type(g) is np.ndarray
        assert lf.mse(x[::-1].reshape(shape), thing) == want, name


def test_half_precision_from_elsewhere():
    torch = pytest.importorskip("torch")
    x = torch.tensor([0.5, 1.5, -2.0], dtype=torch.float16)
    assert lf.mse(np.zeros(3), x) == lf.mse(np.zeros(3, np.float32), x.float().numpy())
    with pytest.raises(TypeError, match=r"y_pred.*BFloat16"):
        lf.mse(np.zeros(3), x.bfloat16())


@pytest.mark.compiled
def test_arrays_from_elsewhere_are_not_copied():
    import tracemalloc

    torch = pytest.importorskip("torch")
    pa = pytest.importorskip("pyarrow")
    n = 2_000_000
    x = np.zeros(n)
    for thing in (x, torch.from_numpy(x), pa.array(x), x[::2], x.astype(">f8")[:1000]):
        target = x[: len(thing)]
        lf.mse(target, thing)
        tracemalloc.start()
        lf.mse(target, thing)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100_000, (type(thing), peak)


# --- Settings -------------------------------------------------------------------------------------------------


@pytest.mark.compiled
def test_threads():
    lf.set_num_threads(3)
    assert lf.get_num_threads() == 3
    with lf.threads(2):
        assert lf.get_num_threads() == 2
        with pytest.raises(KeyError), lf.threads(1):
            raise KeyError
        assert lf.get_num_threads() == 2
    assert lf.get_num_threads() == 3
    lf.set_num_threads(None)
    assert lf.get_num_threads() >= 1
    lf.set_num_threads(10**6)
    assert lf.get_num_threads() <= 1024


def test_bad_numbers_of_threads():
    before = lf.get_num_threads()
    for wrong, error in (
        (0, ValueError),
        (-1, ValueError),
        (1.5, TypeError),
        (True, TypeError),
        ("2", TypeError),
    ):
        with pytest.raises(error):
            lf.set_num_threads(wrong)
        with pytest.raises(error), lf.threads(wrong):
            pass
    assert lf.get_num_threads() == before


def test_instruction_sets():
    assert lf.isa() in LEVELS
    for level in LEVELS if COMPILED else ():
        lf.set_isa(level)
        assert lf.isa() == level
    before = lf.isa()
    with pytest.raises(ValueError, match="did you mean 'avx512'"):
        lf.set_isa("avx51")
    for wrong in ("", "AVX2", "none", 3, None):
        with pytest.raises(ValueError, match="isa"):
            lf.set_isa(wrong)
    assert lf.isa() == before


def python(code, **environment):
    """What a fresh interpreter prints; warnings go along."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("LOSSFAST_", "OMP_"))}
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        env={**env, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


SHOW = "import lossfast as lf; lf.names(); print(lf.isa(), lf.backend(), lf.get_num_threads(), lf.mse([1.0], [3.0]))"


@pytest.mark.compiled
def test_the_environment_chooses():
    for level in LEVELS:
        assert python(SHOW, LOSSFAST_ISA=level).stdout.split()[0] == level
    assert python(SHOW, LOSSFAST_NUM_THREADS="3").stdout.split()[2] == "3"
    assert python(SHOW, OMP_NUM_THREADS="1").stdout.split()[2] == "1"
    assert python(SHOW, OMP_NUM_THREADS="1", LOSSFAST_NUM_THREADS="2").stdout.split()[2] == "2"
    assert python(SHOW, LOSSFAST_BACKEND="numpy").stdout.split() == ["none", "numpy", "1", "4.0"]
    assert python(SHOW).stderr == ""


@pytest.mark.compiled
def test_a_bad_environment_warns_and_works():
    for name, value in [
        ("ISA", "avx9000"),
        ("ISA", "AVX2"),
        *(("NUM_THREADS", x) for x in ("0", "-1", "two", "1.5", "1e3", "²")),
    ]:
        done = python(SHOW, **{f"LOSSFAST_{name}": value})
        assert done.returncode == 0, done.stderr
        assert f"LOSSFAST_{name}={value!r}" in done.stderr and done.stdout.split()[-1] == "4.0"
    wrong = python(SHOW, LOSSFAST_BACKEND="cuda")
    assert wrong.returncode and "LOSSFAST_BACKEND='cuda', expected 'c' or 'numpy'" in wrong.stderr
