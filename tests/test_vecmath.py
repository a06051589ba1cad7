"""A sample of every function of csrc/vecmath.h, at every instruction set, within the bounds that the sweep proves."""

import functools
import importlib.util
import pathlib

import numpy as np
import pytest
from conftest import COMPILED, LEVELS
from operands import assert_same_bits

import lossfast as lf

pytestmark = pytest.mark.compiled
POINTS = 20_000
_path = pathlib.Path(__file__).with_name("ulp") / "sweep.py"
_spec = importlib.util.spec_from_file_location("sweep", _path)
sweep = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sweep)
NAMES = ["exp", "exp_nonpos", "expm1", "log", "log1p", "log1p01", "tanh", "sigmoid", "softplus", "atan01"]
EXACT64 = {  # for float32: in double precision, whose own error does not matter there
    "exp": np.exp,
    "exp_nonpos": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "log1p01": np.log1p,
    "tanh": np.tanh,
    "atan01": np.arctan,
    "sigmoid": lambda x: np.where(x < 0, np.exp(np.minimum(x, 0)), 1) / (1 + np.exp(-np.abs(x))),
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
}


def vecmath(name, x):
    from lossfast import _core

    return _core.vecmath(name, np.ascontiguousarray(x))


@functools.cache
def arguments(name, dtype):
    if dtype == np.float64:
        return sweep.points(name, POINTS)
    rng = np.random.default_rng(len(name))
    wide = {"tanh": 10}.get(name, 105)
    x = np.concatenate(
        [
            rng.integers(0, 2**32, POINTS, dtype=np.uint32).view(np.float32),
            rng.uniform(-wide, wide, POINTS).astype(np.float32),
            (rng.choice([-1, 1], POINTS) * np.exp2(rng.uniform(-30, 2, POINTS))).astype(np.float32),
            rng.uniform(0, 1, POINTS).astype(np.float32),
        ]
    )
    low, high = sweep.RANGES.get(name, {"log": (1e-45, np.inf), "log1p": (-1, np.inf)}.get(name, (-np.inf, np.inf)))
    return x[(x >= low) & (x <= high) & np.isfinite(x)]


@functools.cache
def exact(name):
    """Of each float64 argument: the size of the result, its sign and its unit in the last place."""
    found = [sweep.EXACT[name](sweep.mp.mpf(float(x))) for x in arguments(name, np.float64)]
    limit = sweep.mp.ldexp(1, 1024)
    return [(min(abs(e), limit), e < 0, sweep.mp.ldexp(1, max(sweep.mp.frexp(e)[1] - 53, -1074))) for e in found]


@pytest.mark.parametrize("name", NAMES)
def test_float32_is_within_its_bound(name, isa):
    x = arguments(name, np.float32)
    with np.errstate(all="ignore"):
        want = EXACT64[name](x.astype(np.float64))
        got = vecmath(name, x)
        inside = np.abs(want) < np.finfo(np.float32).max
        exponent = np.maximum(np.frexp(want)[1], -125)
        error = np.abs(got.astype(np.float64) - want) / np.ldexp(1.0, exponent - 24)
    worst = int(np.where(inside, error, 0).argmax())
    assert error[worst] <= sweep.BOUNDS[name][0 if isa != "base" else 1], f"{error[worst]:.3f} ULP at {x[worst]!r}"
    np.testing.assert_array_equal(got[~inside], np.copysign(np.inf, want[~inside]).astype(np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_float64_is_within_its_bound(name, isa):
    x = arguments(name, np.float64)
    got = vecmath(name, x)
    bound = sweep.BOUNDS[name][2 if isa != "base" else 3]
    limit = sweep.mp.ldexp(1, 1024)
    for v, y, (size, negative, ulp) in zip(x, got, exact(name), strict=True):
        error = abs(size - min(abs(sweep.mp.mpf(float(y))), limit)) / ulp
        assert error <= bound and (y == 0 or negative == (y < 0)), f"{float(error):.3f} ULP at {v!r}"


@pytest.mark.parametrize("name", NAMES)
def test_special_values(name, isa, dtype):
    table = np.array([*sweep.SPECIAL[name], (np.nan, np.nan)], dtype)
    got = vecmath(name, table[:, 0])
    assert_same_bits(got, np.ascontiguousarray(table[:, 1]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.skipif(COMPILED and not {"avx2", "avx512"} <= set(LEVELS), reason="this processor has no AVX-512")
def test_avx2_and_avx512_give_the_same_bits(name, dtype):
    results = []
    for level in ("avx2", "avx512"):
        lf.set_isa(level)
        results.append(vecmath(name, arguments(name, dtype)))
    assert_same_bits(*results)


def test_unknown_functions_are_refused():
    from lossfast import _core

    for name, x in (("cbrt", np.ones(3)), ("exp", np.ones(3, np.int32)), ("exp", np.ones(6)[::2])):
        with pytest.raises(ValueError, match=name):
            _core.vecmath(name, x)
