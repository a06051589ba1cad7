"""The pointwise losses against their specifications, and the promise of equal bits, naming no loss."""

import itertools

import numpy as np
import pytest
from conftest import LEVELS
from operands import (
    BLOCK,
    HALVES,
    SIZES,
    TARGET_DTYPES,
    assert_same_bits,
    domains,
    dtype_of,
    grid,
    operands,
    specification,
    stream_of,
)

import lossfast as lf

SUBSETS = {
    "__call__": (0,),
    "grad": (1,),
    "hess": (2,),
    "value_and_grad": (0, 1),
    "grad_and_hess": (1, 2),
    "value_grad_hess": (0, 1, 2),
}


def everything(loss, target, pred, **kwargs):
    """Value for each element, gradient and Hessian."""
    return loss.value_grad_hess(target, pred, reduction="none", **kwargs)


def assert_near(got, want, rtol, scale):
    """To rounding, as measured against a scale; infinities and NaNs alike."""
    with np.errstate(all="ignore"):
        want_here = np.asarray(want).astype(got.dtype)
        same = (got == want_here) | (np.isnan(got) & np.isnan(want))
        good = same | (np.abs(got - want) <= rtol * scale + 64 * np.finfo(got.dtype).tiny)
    bad = np.flatnonzero(~good)
    assert bad.size == 0, f"element {bad[0]}: {got[bad[0]]!r}, expected {np.ravel(want)[bad[0]]!r}"


def test_kernel_is_the_specification(loss, isa, dtype):
    rtol = 5e-6 if dtype == np.float32 else 2e-12
    for n, more in itertools.product(SIZES, ({}, None)):
        more = stream_of(loss, n, dtype) if more is None else more
        target, pred = operands(loss, n, dtype)
        jet = specification(loss, target, pred, **more)
        value, grad, hess = everything(loss, target, pred, **more)
        assert value.dtype == grad.dtype == hess.dtype == dtype
        size = 1 + np.abs(target) + np.abs(pred).astype(np.float64)
        assert_near(value, jet.value, rtol, 1 + np.abs(jet.value) + size * np.abs(jet.grad))
        assert_near(grad, jet.grad, rtol, np.abs(jet.grad) + size * np.abs(jet.hess))
        assert_near(hess, jet.hess, rtol, np.abs(jet.hess) * size + np.abs(jet.grad) + np.abs(jet.value))


def test_finite_operands_never_give_nan(loss, isa, dtype):
    """However far out; and what is finite is not infinite where squares of the operands do not overflow."""
    target, pred = grid(loss, dtype)
    target, pred = (x[np.isfinite(target) & np.isfinite(pred)] for x in (target, pred))
    got = everything(loss, target, pred)
    sizes = np.abs([target, pred])
    small, large = np.finfo(dtype).eps, 1e-3 * np.sqrt(np.finfo(dtype).max)
    calm = ((sizes == 0) | ((sizes >= small) & (sizes < large))).all(axis=0)
    wrong = []
    for name, x, want in zip(("value", "grad", "hess"), got, specification(loss, target, pred), strict=True):
        wanted = calm & (np.abs(want) < 1e-3 * np.finfo(dtype).max)
        for i in np.flatnonzero(np.isnan(x) | (wanted & np.isinf(x))):
            wrong.append(f"{name} at ({target[i]!r}, {pred[i]!r}) is {x[i]!r}, the specification has {want[i]!r}")
    assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:12])


def limit(far, farther):
    """What a sequence that has these two values far out goes to."""
    if np.isinf(farther) or abs(farther) > 1.01 * abs(far):
        return np.copysign(np.inf, farther)
    return 0.0 if abs(farther) < 0.99 * abs(far) else farther


def test_infinite_predictions_have_the_limit_of_the_loss(loss, isa, dtype):
    target_domain, pred_domain = domains(loss, dtype)
    targets = np.array([-1.0, 0.0, 0.25, 1.0, 3.0], dtype)
    targets = targets[~target_domain.outside(targets)]
    far = (1e15, 1e18) if dtype == np.float32 else (1e100, 1e150)
    wrong = []
    for sign in (1, -1):
        if pred_domain.outside(np.array([sign * np.inf])).any():
            continue
        a, b, c = (everything(loss, targets, np.full_like(targets, sign * x)) for x in (*far, np.inf))
        for k, name in enumerate(("value", "grad")):
            for i, t in enumerate(targets):
                want = limit(a[k][i], b[k][i])
                if c[k][i] != want and not np.isclose(c[k][i], want, rtol=1e-5):
                    wrong.append(f"{name} at ({t}, {sign * np.inf}) is {c[k][i]}, expected {want}")
    assert not wrong, "\n".join(wrong)


def test_gradient_is_a_number_where_the_value_is_finite(loss, isa, dtype):
    target, pred = grid(loss, dtype)
    value, grad, hess = everything(loss, target, pred)
    finite = np.isfinite(value)
    for name, x in (("grad", grad), ("hess", hess)):
        bad = np.flatnonzero(finite & np.isnan(x))
        assert bad.size == 0, f"{name} is NaN at ({target[bad[0]]!r}, {pred[bad[0]]!r}): {bad.size} points"


def test_nan_stays_in_its_own_element(loss, isa, dtype):
    clean = operands(loss, 2 * BLOCK + 5, dtype)
    at = np.array([0, 3, BLOCK - 1, BLOCK, 2 * BLOCK + 4])
    before = everything(loss, *clean)
    for k in (0, 1):
        if k == 0 and domains(loss, dtype)[0].sign_labels:
            continue  # a NaN is no label
        arrays = [x.copy() for x in clean]
        arrays[k][at] = np.nan
        after = everything(loss, *arrays)
        for name, a, b in zip(("value", "grad"), after, before, strict=False):
            assert np.isnan(a[at]).all(), name
            assert_same_bits(np.delete(a, at), np.delete(b, at))
        assert np.isnan(loss(*arrays))


def test_asking_for_less_changes_no_bit(loss, isa, dtype):
    for n in (1, 7, BLOCK + 1):
        target, pred = operands(loss, n, dtype)
        full = everything(loss, target, pred)
        quick = loss.value_grad_hess(target, pred)
        for method, wanted in SUBSETS.items():
            got = getattr(loss, method)(target, pred)
            assert_same_bits(got, tuple(quick[k] for k in wanted) if len(wanted) > 1 else quick[wanted[0]])
            got = getattr(loss, method)(target, pred, reduction="none")
            assert_same_bits(got, tuple(full[k] for k in wanted) if len(wanted) > 1 else full[wanted[0]])


@pytest.mark.compiled
def test_the_fast_path_and_the_general_one_give_the_same_bits(loss, isa, dtype):
    for n in (1, 7, BLOCK, BLOCK + 1, 5000):
        target, pred = operands(loss, n, dtype)
        for method, wanted in SUBSETS.items():
            call = getattr(loss, method)
            quick = call(target, pred)
            assert_same_bits(call(target, pred, n_threads=1), quick)
            assert_same_bits(call(y_true=target, y_pred=pred, reduction="mean", **loss.get_params()), quick)
            assert_same_bits(call(target, pred, sample_weight=1.0), quick)
            if wanted[-1]:
                out = [None if k == 0 else np.full_like(pred, 7) for k in wanted]
                filled = call(target, pred, out=tuple(out) if len(out) > 1 else out[0])
                assert_same_bits(filled, quick)
                assert (filled[-1] if len(out) > 1 else filled) is out[-1]


@pytest.mark.compiled
def test_threads_change_no_bit(loss, dtype):
    target, pred = operands(loss, 300_001, dtype)
    one = loss.value_grad_hess(target, pred, n_threads=1)
    for n_threads in (2, 3, 7, 64):
        assert_same_bits(loss.value_grad_hess(target, pred, n_threads=n_threads), one)
    lf.set_num_threads(3)
    assert_same_bits(loss.value_grad_hess(target, pred), one)


@pytest.mark.compiled
def test_sixty_four_threads_change_no_bit(plain):
    target, pred = operands(plain, 64 * 33 * BLOCK + 5, np.float32)
    one = plain.value_and_grad(target, pred, n_threads=1)
    assert_same_bits(plain.value_and_grad(target, pred, n_threads=64), one)
    with lf.threads(64):
        assert_same_bits(plain.value_and_grad(target, pred), one)


@pytest.mark.compiled
@pytest.mark.skipif(not {"avx2", "avx512"} <= set(LEVELS), reason="this processor has no AVX-512")
def test_avx2_and_avx512_give_the_same_bits(loss, dtype):
    arrays = [np.concatenate(pair) for pair in zip(operands(loss, 5000, dtype), grid(loss, dtype), strict=True)]
    results = []
    for level in ("avx2", "avx512"):
        lf.set_isa(level)
        results.append((everything(loss, *arrays), loss.value_grad_hess(*arrays)))
    assert_same_bits(*results)


def unaligned(x):
    """A copy that stands one byte off."""
    room = np.empty(x.nbytes + 1, np.uint8)[1:]
    copy = room.view(x.dtype).reshape(x.shape)
    copy[...] = x
    return copy


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS = {
    "strided": lambda x: np.repeat(x, 3, axis=-1)[..., ::3],
    "negative": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "fortran": np.asfortranarray,
    "rows of a larger array": lambda x: np.pad(x, ((1, 2), (3, 4)))[1:-2, 3:-4],
    "unaligned": unaligned,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "read-only": read_only,
    "three axes": lambda x: x,
}
SHAPE = (25, 41)  # one element more than a block


@pytest.mark.compiled
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_changes_no_bit(loss, dtype, layout):
    target, pred = (x.reshape(SHAPE) for x in operands(loss, BLOCK + 1, dtype))
    weight = np.random.default_rng(1).uniform(0, 2, SHAPE).astype(dtype)
    change = LAYOUTS[layout]
    want = loss.value_grad_hess(target, pred, sample_weight=weight)
    for which in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)):
        t, p, w = (change(x) if c else x for x, c in zip((target, pred, weight), which, strict=True))
        assert_same_bits(loss.value_grad_hess(t, p, sample_weight=w), want)
    assert_same_bits(loss.value_grad_hess(change(target), change(pred)), loss.value_grad_hess(target, pred))
    if layout not in ("big-endian", "read-only"):
        out = (None, change(np.full_like(pred, 7)), change(np.full_like(pred, 7)))
        got = loss.value_grad_hess(target, pred, sample_weight=weight, out=out)
        assert got[1] is out[1] and got[2] is out[2]
        assert_same_bits(got, want)


@pytest.mark.compiled
def test_repeated_operands_change_no_bit(loss, dtype):
    target, pred = (x.reshape(SHAPE) for x in operands(loss, BLOCK + 1, dtype))
    for t, p in ((target[:1], pred), (target, pred[:, :1]), (target[:1, :1], pred), (target, pred[:1, :1])):
        views = [np.broadcast_to(x, SHAPE) for x in (t, p)]
        assert_same_bits(everything(loss, *views), everything(loss, *(x.copy() for x in views)))
    cube = [np.ascontiguousarray(np.broadcast_to(x, (3, *SHAPE)).transpose(2, 0, 1)) for x in (target, pred)]
    views = [x.transpose(1, 2, 0) for x in cube]
    assert_same_bits(loss.value_grad_hess(*views), loss.value_grad_hess(*(x.copy() for x in views)))


def test_arrays_of_a_parameter(loss, dtype):
    if not (more := stream_of(loss, BLOCK + 1, dtype)):
        return
    target, pred = (x.reshape(SHAPE) for x in operands(loss, BLOCK + 1, dtype))
    ((name, x),) = more.items()
    x = x.reshape(SHAPE)
    want = everything(loss, target, pred, **{name: x})
    assert_same_bits(everything(type(loss)(**{**loss.get_params(), name: x}), target, pred), want)
    assert_same_bits(everything(loss, target, pred, **{name: np.asfortranarray(x)}), want)
    last = everything(loss, target, pred, **{name: x[0]})
    assert_same_bits(last, everything(loss, target, pred, **{name: np.broadcast_to(x[0], SHAPE).copy()}))
    assert_same_bits(
        everything(loss, target, pred, **{name: 0.5}),
        everything(loss, target, pred, **{name: np.full(SHAPE, 0.5)}),
    )


def test_results_may_replace_what_was_read(loss, dtype):
    for n in (7, 3 * BLOCK + 1):
        target, pred = operands(loss, n, dtype)
        value, grad, hess = loss.value_grad_hess(target, pred)
        for k in (0, 1):
            arrays = [target.copy(), pred.copy()]
            assert_same_bits(loss.grad(*arrays, out=arrays[k]), grad)
            arrays = [target.copy(), pred.copy()]
            assert_same_bits(loss.value_grad_hess(*arrays, out=(None, arrays[k], arrays[1 - k])), (value, grad, hess))


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_results_in_another_dtype(loss, dtype, name):
    out_dtype = dtype_of(name)
    for n in (1, 9, BLOCK + 1):
        target, pred = operands(loss, n, dtype)
        want = loss.value_grad_hess(target, pred)
        out = tuple(np.full(n, 7, out_dtype) for _ in range(2))
        for got in (
            loss.value_grad_hess(target, pred, out=(None, *out)),
            loss.value_grad_hess(target, pred, grad_dtype=out_dtype),
        ):
            assert_same_bits(got[0], want[0])
            for a, b in zip(got[1:], want[1:], strict=True):
                assert_same_bits(a, rounded(b, out_dtype))


def rounded(x, dtype):
    """x in another dtype, rounded once."""
    with np.errstate(all="ignore"):
        near = x.astype(dtype)
        if dtype.name == "bfloat16" and x.dtype == np.float64:  # ml_dtypes goes through float32
            code = near.view(np.uint16)
            around = [(code + k).astype(np.uint16).view(dtype) for k in (0, 1, 0xFFFF)]
            distance = [np.abs(a.astype(np.float64) - x) for a in around]
            tie = [(a.view(np.uint16) & 1) * 1e-300 for a in around]
            best = np.argmin([np.where(np.isnan(d), np.inf, d) + e for d, e in zip(distance, tie, strict=True)], axis=0)
            near = np.where(
                np.isfinite(x) & np.isfinite(near) & (best == 1),
                around[1],
                np.where(np.isfinite(x) & np.isfinite(near) & (best == 2), around[2], near),
            )
    return near


def doubled(x, out_dtype):
    """2 x in another dtype, as the gradient of the squared loss; exact until it is stored."""
    return lf.mse.grad(np.zeros(x.shape), x, reduction="sum", grad_dtype=out_dtype)


@pytest.mark.compiled
@pytest.mark.parametrize("name", HALVES)
def test_every_half_precision_number_is_read_as_it_is(isa, name):
    numbers = np.arange(1 << 16, dtype=np.uint16).view(dtype_of(name))
    for x in (numbers, np.repeat(numbers, 3)[::3], numbers[5:-2]):
        for arithmetic in (np.float32, np.float64):
            with np.errstate(all="ignore"):
                want = (2 * x.astype(np.float32)).astype(arithmetic)
            assert_same_bits(doubled(x, arithmetic), want)


def hard_to_round(half, dtype):
    """Every number of a half-precision dtype, the middles between neighbours, what stands next to both; and more."""
    with np.errstate(all="ignore"):
        numbers = np.arange(0x8000, dtype=np.uint16).view(half).astype(np.float64)
        numbers = numbers[np.isfinite(numbers)]
        numbers = np.concatenate([numbers, (numbers[1:] + numbers[:-1]) / 2, [numbers[-1] * 1.001, numbers[-1] * 2]])
        last = numbers[numbers.size // 2 - 1 :]
        numbers = np.concatenate([numbers, last + (numbers[1] - numbers[0]) / 2]).astype(dtype)
        inf = np.array(np.inf, dtype)
        numbers = np.concatenate([numbers, np.nextafter(numbers, inf), np.nextafter(numbers, -inf)])
        code = np.random.default_rng(5).integers(0, 1 << 8 * numbers.itemsize, 100_000, dtype=f"u{numbers.itemsize}")
        info = np.finfo(dtype)
        more = [0.0, np.inf, np.nan, info.smallest_subnormal, info.tiny, info.max, 65504, 65519.99, 65520, 65520.01]
        numbers = np.concatenate([numbers, code.view(dtype), np.array(more, dtype)])
    return np.concatenate([numbers, -numbers])


@pytest.mark.compiled
@pytest.mark.parametrize("name", HALVES)
def test_half_precision_is_rounded_once(isa, dtype, name):
    half = dtype_of(name)
    x = hard_to_round(half, dtype)
    with np.errstate(all="ignore"):
        x = x[np.isnan(x) | np.isinf(x) | (np.abs(x) < np.finfo(dtype).max / 2)] / 2
        if name == "bfloat16" and dtype == np.float64:  # where `rounded` may be wrong about infinity
            x = x[~((np.abs(x) > 1.69e38) & (np.abs(x) < 1.71e38))]
        want = rounded(2 * x, half)
    assert_same_bits(doubled(x, half), want)
    strided = np.empty((x.size, 2), half)[:, 0]
    lf.mse.grad(np.zeros(x.shape), x, reduction="sum", out=strided)
    assert_same_bits(np.ascontiguousarray(strided), want)


@pytest.mark.compiled
@pytest.mark.parametrize("name", HALVES)
def test_instruction_sets_agree_on_the_payload_of_a_nan(name):
    half = dtype_of(name)
    numbers = np.arange(1 << 16, dtype=np.uint16).view(half)
    nans = np.concatenate([np.arange(0x7F800001, 0x7FFFFFFF, 4093), np.arange(0xFF800001, 0xFFFFFFFF, 4093)])
    results = set()
    for level in LEVELS:
        lf.set_isa(level)
        read = doubled(numbers, np.float32)
        written = doubled(np.concatenate([nans.astype(np.uint32).view(np.float32), read]), half)
        results.add((read.tobytes(), written.tobytes()))
    assert len(results) == 1


@pytest.mark.compiled
@pytest.mark.parametrize("name", HALVES)
def test_large_results_in_half_precision(name):
    n, half = (6 << 20) + 777, dtype_of(name)
    x = np.random.default_rng(6).normal(0, 1, n).astype(np.float32)
    want = doubled(x, np.float32).astype(half)
    assert_same_bits(doubled(x, half), want)
    out = np.full(n + 3, 7, half)
    for start in (1, 2, 3):
        out[:] = 7
        lf.mse.grad(np.zeros(n, np.uint8), x, reduction="sum", out=out[start : start + n])
        assert_same_bits(out[start : start + n], want)
        assert (np.delete(out, np.s_[start : start + n]) == 7).all()
    pred = x.astype(half)
    lf.mse.grad(np.zeros(n), pred, reduction="sum", out=pred)
    assert_same_bits(pred, (2 * x.astype(half).astype(np.float32)).astype(half))


@pytest.mark.compiled
@pytest.mark.parametrize("name", HALVES)
def test_half_precision_is_computed_in_float32(loss, name):
    half = dtype_of(name)
    target, pred = (x.astype(half) for x in operands(loss, 2 * BLOCK + 3, np.float32))
    want = everything(loss, target.astype(np.float32), pred.astype(np.float32))
    value, grad, hess = everything(loss, target, pred)
    assert_same_bits(value, want[0])
    assert_same_bits(grad, rounded(want[1], half))
    assert_same_bits(hess, rounded(want[2], half))
    assert_same_bits(everything(loss, target, pred, grad_dtype=np.float32), want)


@pytest.mark.parametrize("name", TARGET_DTYPES)
def test_target_dtype_changes_no_bit(loss, dtype, name):
    n, domain = BLOCK + 77, domains(loss, dtype)[0]
    low = 1 if domain.open_low else 0 if name.startswith("u") or domain.low == 0 else -1
    high = 1 if domain.high == 1 or name == "bool" else 100
    values = np.random.default_rng(3).integers(low, high, n, endpoint=True).clip(0 if name == "bool" else low)
    values = np.where(values == -1, 0, values) if domain.open_low else values
    target, pred = values.astype(dtype_of(name)), operands(loss, n, dtype)[1]
    assert_same_bits(everything(loss, target, pred), everything(loss, values.astype(dtype), pred))
    assert_same_bits(loss(target[::-1], pred), loss(values[::-1].astype(dtype), pred))


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["int64", "uint64", "int32", "uint32", "float64"])
def test_large_targets_are_rounded_once(plain, dtype, name):
    domain = domains(plain, dtype)[0]
    if domain.high == 1:
        return
    info = np.finfo(name) if name == "float64" else np.iinfo(name)
    values = [
        1,
        2**24 + 1,
        2**25 + 3,
        2**31 - 1,
        *((2**53 + 1, 2**62 + 1, int(info.max)) if "64" in name else ()),
    ]
    target = np.array([min(v, info.max) if name != "float64" else min(v, 2**1000) for v in values], name)
    pred = np.full(target.size, 0.5, dtype)
    with np.errstate(over="ignore"):
        converted = target.astype(dtype)
    assert_same_bits(everything(plain, target, pred), everything(plain, converted, pred))


def test_predictions_that_are_no_floats_are_taken_as_float64(plain):
    t, p = [1, 1, 1], [1, 0, 1]
    if domains(plain)[1].open_low or domains(plain)[0].open_low:
        p = [1, 1, 0]
    want = plain.value_grad_hess(np.array(t, float), np.array(p, float))
    for dtype in ("bool", "int8", "uint8", "int64", "uint64"):
        assert_same_bits(plain.value_grad_hess(t, np.array(p, dtype)), want)
    assert_same_bits(plain.value_grad_hess(t, p), want)


def test_a_scalar_is_one_element(plain):
    t, p = (x[:1] for x in operands(plain, 4))
    value, grad, hess = plain.value_grad_hess(t[0], p[0])
    want = plain.value_grad_hess(t, p)
    assert value == want[0] and np.shape(grad) == () and grad == want[1][0] and hess == want[2][0]
