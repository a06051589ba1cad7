"""Every bad input, given to every loss in every way to call it: the error names what is wrong, nothing is written."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from operands import domains, dtype_of, inside

import lossfast as lf

SMALL, LARGE = 5, 100_003
LAST = LARGE - 1


def good(loss, dtype, n=SMALL):
    target, pred = inside(loss, dtype)
    return np.full(n, target, dtype), np.full(n, pred, dtype)


def results(method, like, dtype=None):
    """Buffers full of 7 for what a method returns, as its `out`."""
    count = {"__call__": 0, "grad": 1, "hess": 1, "value_and_grad": 1}[method]
    arrays = [np.full(np.shape(like), 7, dtype or like.dtype) for _ in range(count)]
    out = arrays[0] if method in ("grad", "hess") else (None, *arrays) if count else None
    return out, arrays


def refused(loss, method, target, pred, error, *words, out=None, **kwargs):
    """The call raises `error` with all the words in its message, and leaves its arguments alone."""
    arrays = [x for x in (target, pred, kwargs.get("sample_weight")) if isinstance(x, np.ndarray)]
    before = [x.tobytes() for x in arrays]
    writes = []
    if out is None and isinstance(pred, np.ndarray) and pred.dtype in (np.float32, np.float64):
        out, writes = results(method, pred)
    with pytest.raises(error) as caught:
        getattr(loss, method)(target, pred, **kwargs, **({} if out is None else {"out": out}))
    message = str(caught.value)
    for word in words:
        assert re.search(word, message), f"{word!r} is not in {message!r}"
    assert [x.tobytes() for x in arrays] == before
    for x in writes:
        assert (x == 7).all(), "something was written"


# --- Shapes ---------------------------------------------------------------------------------------------------


SHAPES = [
    ((5,), (4,)), ((5,), (1,)), ((1,), (5,)), ((5, 2), (2, 5)), ((5, 1), (1, 5)), ((5,), (5, 2)), ((2, 5), (5,)),
    ((5,), ()),      ((), (5,)), ((5, 1, 1), (5,)), ((1, 5), (5,)), ((0,), (1,)), ((3, 0), (0, 3)), ((2, 5), (2, 1)),
]  # fmt: skip


def test_shapes_that_differ(plain, dtype, method):
    target, pred = inside(plain, dtype)
    for t, p in SHAPES:
        words = ("y_true", "y_pred", re.escape(str(t)), re.escape(str(p)), "broadcast")
        refused(plain, method, np.full(t, target, dtype), np.full(p, pred, dtype), ValueError, *words)


def test_a_last_axis_of_length_one_is_dropped(plain, dtype, method):
    target, pred = good(plain, dtype)
    call, want = getattr(plain, method), getattr(plain, method)(target, pred)
    np.testing.assert_array_equal(call(target[:, None], pred), want) if method != "value_and_grad" else None
    got = call(target, pred[:, None])
    gradient = got[-1] if method == "value_and_grad" else got
    assert np.shape(gradient) == ((SMALL, 1) if method != "__call__" else ())


def test_weights_of_a_wrong_shape(plain, dtype, method):
    target, pred = good(plain, dtype)
    for shape in [(4,), (1,), (5, 2), (2, 5), (1, 5, 1), (0,)]:
        words = ("sample_weight", re.escape(str(shape)))
        refused(plain, method, target, pred, ValueError, *words, sample_weight=np.ones(shape))


# --- Dtypes ---------------------------------------------------------------------------------------------------

NO_NUMBERS = {
    "object": lambda x: np.array([*map(float, x[:-1]), Fraction(1, 2)], object),
    "str": lambda x: x.astype(str),
    "bytes": lambda x: x.astype("S"),
    "complex": lambda x: x.astype(complex),
    "datetime": lambda x: x.astype("M8[s]"),
    "timedelta": lambda x: x.astype("m8[s]"),
    "longdouble": lambda x: x.astype(np.longdouble),
    "void": lambda x: np.zeros(x.shape, "V8"),
    "struct": lambda x: np.zeros(x.shape, [("a", "f8")]),
}


@pytest.mark.parametrize("argument", ["y_true", "y_pred", "sample_weight"])
def test_arrays_that_hold_no_numbers(plain, dtype, method, argument):
    target, pred = good(plain, dtype)
    out, _ = results(method, pred)
    for wrong in NO_NUMBERS.values():
        given = {"y_true": target, "y_pred": pred, "sample_weight": np.ones(SMALL)}
        given[argument] = wrong(given[argument])
        weight = {"sample_weight": given["sample_weight"]} if argument == "sample_weight" else {}
        refused(plain, method, given["y_true"], given["y_pred"], TypeError, argument, "dtype", out=out, **weight)


THINGS = {
    "None": (None, (ValueError, TypeError), ""),
    "a list with None": ([1.0, None, 1.0, 1.0, 1.0], ValueError, r"\[1\] is missing"),
    "a ragged list": ([[1.0], [1.0, 1.0]], ValueError, "cannot be read"),
    "a word": ("good", TypeError, "dtype"),
    "words": (["1", "2", "3", "4", "5"], TypeError, "dtype"),
    "an object": (object(), TypeError, "dtype"),
    "a dictionary": ({"a": 1}, TypeError, "dtype"),
    "masked": (np.ma.masked_array(np.ones(5), [0, 0, 1, 0, 1]), ValueError, r"\[2\] is masked"),
    "masked rows": (
        np.ma.masked_array(np.ones((2, 3)), [[0, 0, 0], [0, 1, 0]]),
        ValueError,
        r"\[1, 1\] is masked",
    ),
}


def pandas(name, *args):
    def make():
        pd = pytest.importorskip("pandas")
        return pd.Series(*args[:1], dtype=args[1]) if name == "Series" else pd.array(*args[:1], dtype=args[1])

    return make


def pandas_objects():
    pd = pytest.importorskip("pandas")
    return pd.Series([1.0, pd.NA, 1.0, 1.0, 1.0], dtype=object)


GAP = [1.0, None, 1.0, 1.0, 1.0]
FOREIGN = {
    "pyarrow": (lambda: pytest.importorskip("pyarrow").array(GAP), ValueError),
    "pyarrow chunks": (lambda: pytest.importorskip("pyarrow").chunked_array([GAP[:1], GAP[1:]]), ValueError),
    "polars": (lambda: pytest.importorskip("polars").Series(GAP), ValueError),
    "polars integers": (lambda: pytest.importorskip("polars").Series([1, None, 1, 1, 1]), ValueError),
    "pandas Float64": (pandas("Series", GAP, "Float64"), ValueError),
    "pandas Int64": (pandas("array", [1, None, 1, 1, 1], "Int64"), ValueError),
    "pandas boolean": (pandas("array", [True, None, True, True, True], "boolean"), ValueError),
    "pandas Arrow": (pandas("Series", GAP, "double[pyarrow]"), ValueError),
    "pandas objects": (pandas_objects, ValueError),
    "pandas strings": (pandas("Series", list("abcde"), "str"), TypeError),
    "torch with gradients": (lambda: pytest.importorskip("torch").ones(5, requires_grad=True), TypeError),
}


@pytest.mark.parametrize("argument", ["y_true", "y_pred"])
def test_things_that_are_no_arrays_of_numbers(plain, method, argument):
    for name, (thing, error, words) in THINGS.items():
        target, pred = good(plain, np.float64, np.size(thing) if "masked" in name else SMALL)
        target, pred = (thing, pred) if argument == "y_true" else (target, thing)
        refused(plain, method, target, pred, error, argument, words, out=None)


@pytest.mark.parametrize("argument", ["y_true", "y_pred", "sample_weight"])
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_arrays_with_missing_elements(name, argument):
    make, error = FOREIGN[name]
    given = {"y_true": np.ones(5), "y_pred": np.ones(5), argument: make()}
    with pytest.raises(error) as caught:
        lf.get("mean_squared_error")(**given)
    assert argument in str(caught.value)
    assert error is TypeError or re.search(r"\[1\] is (null|missing)", str(caught.value)), caught.value


# --- Results --------------------------------------------------------------------------------------------------


def bad_outputs(dtype, n, target, pred):
    """What cannot be written to, and the words for it."""
    other = np.zeros(2 * n, dtype)
    yield np.zeros(n + 1, dtype), ValueError, "shape"
    yield np.zeros((n, 1), dtype), ValueError, "shape"
    yield np.zeros(n, np.int64), TypeError, "dtype int64"
    yield np.zeros(n, bool), TypeError, "dtype bool"
    yield np.zeros(n, complex), TypeError, "dtype complex"
    yield np.zeros(n, np.longdouble), TypeError, "dtype"
    yield np.zeros(n, np.dtype(dtype).newbyteorder(">")), TypeError, "dtype"
    yield np.zeros(n, object), TypeError, "dtype object"
    yield [0.0] * n, TypeError, "list"
    yield np.broadcast_to(np.zeros(1, dtype), n), ValueError, "read-only"
    frozen = np.zeros(n, dtype)
    frozen.flags.writeable = False
    yield frozen, ValueError, "read-only"
    yield np.lib.stride_tricks.as_strided(other, (n,), (0,)), ValueError, "share memory"
    yield target[::-1], ValueError, "overlaps y_true"
    yield pred[::-1], ValueError, "overlaps y_pred"


@pytest.mark.parametrize("n", [SMALL, LARGE])
def test_results_that_cannot_be_written(plain, dtype, method, n):
    target, pred = good(plain, dtype, n)
    before = target.tobytes(), pred.tobytes()
    for out, error, words in bad_outputs(dtype, n, target, pred):
        given = (None, out) if method == "value_and_grad" else out
        with pytest.raises((error, ValueError) if method == "__call__" else error, match="out|" + words):
            getattr(plain, method)(target, pred, out=given)
    assert (target.tobytes(), pred.tobytes()) == before


def test_results_that_share_memory(plain, dtype):
    target, pred = good(plain, dtype)
    room = np.full(SMALL + 2, 7, dtype)
    a, b = room[:SMALL], room[2:]
    for out in ((None, a, b), (None, a, a), (None, a, a[::-1])):
        with pytest.raises(ValueError, match=r"out.*overlaps"):
            plain.value_grad_hess(target, pred, out=out)
    shifted = np.full(SMALL + 1, 0.5, dtype)
    with pytest.raises(ValueError, match="overlaps y_pred"):
        plain.grad(target, shifted[1:], out=shifted[:-1])
    with pytest.raises(ValueError, match="overlaps sample_weight"):
        plain.grad(target, pred, sample_weight=shifted[1:], out=shifted[:-1])
    for out in ((None,), (None, a, b, None), a, [None, a], {"grad": a}):
        with pytest.raises((ValueError, TypeError), match="out"):
            plain.value_grad_hess(target, pred, out=out)
    assert (room == 7).all() and (shifted == 0.5).all()


def test_a_dtype_that_gradients_cannot_have(plain, method):
    target, pred = good(plain, np.float64)
    for bad in (np.int32, bool, complex, np.longdouble, "datetime64[s]"):
        refused(
            plain, method, target, pred, TypeError, "grad_dtype", out=None, grad_dtype=bad
        ) if method != "__call__" else None


# --- Elements outside the domain ------------------------------------------------------------------------------


def outsiders(domain, dtype):
    """Numbers just outside a domain, and far."""
    info = np.finfo(dtype)
    if domain.sign_labels:
        return [
            2.0,
            -2.0,
            0.5,
            1 + info.eps,
            -1 - info.eps,
            info.tiny,
            np.inf,
            -np.inf,
            np.nan,
            float(info.max),
            7.0,
        ]
    low = [domain.low] if domain.open_low else [np.nextafter(dtype(domain.low), dtype(-np.inf))]
    found = [*low, domain.low - 1, -np.inf, -float(info.max)] if math.isfinite(domain.low) else []
    return found + (
        [np.nextafter(dtype(domain.high), dtype(np.inf)), np.inf, 7.0] if math.isfinite(domain.high) else []
    )


@pytest.mark.parametrize("k", [0, 1], ids=["y_true", "y_pred"])
def test_elements_outside_the_domain(loss, dtype, isa, method, k):
    domain, name = domains(loss, dtype)[k], ("y_true", "y_pred")[k]
    for value in outsiders(domain, dtype):
        shown = re.escape(repr(float(dtype(value))))
        for n, at in ((1, 0), (SMALL, SMALL - 1), (1025, 1024)):
            arrays = good(loss, dtype, n)
            arrays[k][at] = value
            refused(loss, method, *arrays, ValueError, rf"{name}\[{at}\] is {shown}", "expected")
            refused(loss, method, *arrays, ValueError, rf"{name}\[{at}\] is {shown}", reduction="sum")


@pytest.mark.parametrize("k", [0, 1], ids=["y_true", "y_pred"])
def test_the_first_of_many_bad_elements_is_named(plain, dtype, method, k):
    domain, name = domains(plain, dtype)[k], ("y_true", "y_pred")[k]
    if not outsiders(domain, dtype):
        return
    arrays = good(plain, dtype, LARGE)
    arrays[k][LAST] = outsiders(domain, dtype)[0]
    for n_threads in (1, 2, 5):
        refused(plain, method, *arrays, ValueError, rf"{name}\[{LAST}\]", n_threads=n_threads)
    arrays[k][70_001] = arrays[k][LAST]
    for n_threads in (1, 2, 5):
        refused(plain, method, *arrays, ValueError, rf"{name}\[70001\]", n_threads=n_threads)
    rows = [x[:-3].reshape(100, 1000) for x in arrays]
    refused(plain, method, *rows, ValueError, rf"{name}\[70, 1\]")
    refused(
        plain,
        method,
        *rows,
        ValueError,
        rf"{name}\[70, 1\]",
        reduction="sample" if method == "__call__" else "mean",
    )


@pytest.mark.parametrize("dtype_name", ["int64", "uint64", "int32", "int8", "uint8"])
def test_integers_outside_the_domain(plain, method, dtype_name):
    """No number is truncated on the way: 2**32 + 1 is not 1."""
    info, domain = np.iinfo(dtype_name), domains(plain)[0]
    candidates = [2**32 + 1, 2**32, 2**8, 2, -1, -2, -(2**32) + 1, info.max, info.min]
    for value in candidates:
        if not info.min <= value <= info.max or not domain.outside(np.array(float(value))):
            continue
        for pred_dtype in (np.float32, np.float64):
            target, pred = np.full(SMALL, 1, dtype_name), good(plain, pred_dtype)[1]
            target[2] = value
            refused(plain, method, target, pred, ValueError, rf"y_true\[2\] is {value}\b")


def test_unchecked_calls_take_what_they_get(plain, dtype, method):
    target, pred = good(plain, dtype)
    target[1] = pred[2] = -7
    getattr(plain, method)(target, pred, check=False)


@pytest.mark.parametrize("value", [-1.0, -1e-300, -5e-324, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [SMALL, LARGE])
def test_bad_weights(plain, dtype, method, value, n):
    target, pred = good(plain, dtype, n)
    refused(plain, method, target, pred, ValueError, "sample_weight is", "at least 0", sample_weight=value)
    weight = np.ones(n)
    weight[n - 1] = value
    shown = re.escape(repr(value))
    refused(plain, method, target, pred, ValueError, rf"sample_weight\[{n - 1}\] is {shown}", sample_weight=weight)
    if n == SMALL:
        rows = target.reshape(5, 1), pred.reshape(5, 1)
        refused(plain, method, *rows, ValueError, r"sample_weight\[4\] is", sample_weight=weight)
        refused(
            plain,
            method,
            target,
            pred,
            ValueError,
            r"sample_weight\[4\] is",
            sample_weight=weight,
            check=False,
        )
        for half in ("float16", "bfloat16", "float32", "int8"):
            if half == "int8" and value != -1:
                continue
            with np.errstate(all="ignore"):
                low = weight.astype(dtype_of(half))
            if not 0 <= float(low[4]) < np.inf:
                refused(plain, method, target, pred, ValueError, r"sample_weight\[4\] is", sample_weight=low)


def test_bad_arrays_of_a_parameter(loss, dtype, method):
    d = loss.declaration
    if not d.stream:
        return
    target, pred = good(loss, dtype)
    for value in outsiders(d.stream_domain, dtype):
        array = np.full(SMALL, 0.5)
        array[3] = value
        refused(loss, method, target, pred, ValueError, d.stream, r"\[3\] is", **{d.stream: array})
    for shape in ((4,), (2, 5), (5, 1, 1), (0,)):
        refused(
            loss,
            method,
            target,
            pred,
            ValueError,
            d.stream,
            re.escape(str(shape)),
            **{d.stream: np.ones(shape)},
        )
    refused(loss, method, target, pred, TypeError, d.stream, "dtype", **{d.stream: np.ones(SMALL, complex)})


# --- Keywords -------------------------------------------------------------------------------------------------


def bad_parameters(param):
    """Values that a parameter must refuse."""
    if param.kind is bool:
        return ["yes", 2, 1.0, None, [True], np.ones(2, bool)]
    if param.kind is str:
        return ["", "nothing", 3, None, True, ["var"]]
    values = [math.nan, math.inf, -math.inf, "1.0", True, [1.0, [2.0]], 1j, object()]
    values += [] if param.none else [None]
    values += [] if param.array else [np.array([1.0, 2.0]), [0.5]]
    if math.isfinite(param.low):
        values += [param.low - 1, np.nextafter(param.low, -1)] + [param.low] * param.open_low
    if math.isfinite(param.high):
        values += [param.high + 1, np.nextafter(param.high, 9)] + [param.high] * param.open_high
    return values


def test_bad_parameters(plain, method):
    target, pred = good(plain, np.float64)
    for name, param in plain.declaration.params.items():
        for value in bad_parameters(param):
            refused(plain, method, target, pred, (ValueError, TypeError), name, **{name: value})
            with pytest.raises((ValueError, TypeError), match=name):
                type(plain)(**{name: value})
            with pytest.raises((ValueError, TypeError), match=name):
                lf.get(plain.name, **{name: value})


def test_unknown_keywords(plain, method):
    target, pred = good(plain, np.float64)
    names = ["sample_weigth", "reducton", "n_thread", "outt", *(k + "x" for k in plain.declaration.params)]
    for wrong in names:
        refused(plain, method, target, pred, TypeError, wrong, "did you mean", **{wrong: 1})
    refused(plain, method, target, pred, TypeError, "zzz", zzz=1)
    for args in ((), (target,), (target, pred, 1.0)):
        with pytest.raises(TypeError, match=plain.name):
            getattr(plain, method)(*args)
    with pytest.raises(TypeError, match="y_true twice"):
        getattr(plain, method)(target, y_true=target)


OPTIONS = {
    "reduction": [
        ("meen", ValueError, "'mean'"),
        ("", ValueError, "mean"),
        (None, TypeError, "mean"),
        (3, TypeError, "mean"),
    ],
    "empty": [("raises", ValueError, "raise"), (None, TypeError, "zero"), (False, TypeError, "zero")],
    "n_threads": [
        (0, ValueError, "at least 1"),
        (-1, ValueError, "at least 1"),
        (1.5, TypeError, "integer"),
        (True, TypeError, "integer"),
        ("2", TypeError, "integer"),
        (math.nan, TypeError, "integer"),
    ],
}


@pytest.mark.parametrize("option", OPTIONS)
def test_bad_options(plain, method, option):
    for n in (0, SMALL):
        for value, error, words in OPTIONS[option]:
            refused(plain, method, *good(plain, np.float64, n), error, option, words, **{option: value})
    target, pred = good(plain, np.float64)
    if option == "n_threads":
        for value in (1, np.int64(2), 10**6, 2**70):
            getattr(plain, method)(target, pred, n_threads=value)


def test_bad_forms_of_the_hessian(plain):
    target, pred = good(plain, np.float64)
    with pytest.raises(ValueError, match=r"hess is 'boost'.*did you mean 'boosting'"):
        plain.hess(target, pred, hess="boost")


def test_reductions_that_need_a_first_axis(plain, method):
    for reduction in ("sample", "batchmean"):
        refused(plain, method, 1.0, 0.5, ValueError, "reduction", "first axis", reduction=reduction)


def test_nothing_raises_where_asked(plain, dtype, method):
    nothing = np.zeros(0, dtype)
    refused(plain, method, nothing, nothing, ValueError, "nothing", empty="raise")
