"""Accumulators: exact sums, so that neither splits nor the order of merges change a bit."""

import copy
import itertools
import json
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operands import operands, stream_of

import lossfast as lf
from lossfast._errors import EXACT_BITS

MSE = lf.MeanSquaredError()


def filled(loss, target, pred, **kwargs):
    accumulator = loss.accumulator()
    accumulator.update(target, pred, **kwargs)
    return accumulator


def oracle(losses, weights):
    """Mean, sum, weight and deviation in rational arithmetic, from losses and products rounded to double."""
    losses, weights = (
        losses.astype(np.float64).ravel(),
        np.broadcast_to(weights, losses.shape).astype(np.float64).ravel(),
    )
    products = weights * losses
    squares = products * losses
    total, weight, second = (sum(map(Fraction, x.tolist()), Fraction(0)) for x in (products, weights, squares))
    mean = total / weight if weight else Fraction(0)
    spread = max(Fraction(0), second / weight - mean**2) if weight else Fraction(0)
    return float(mean), float(total), float(weight), spread


def assert_is(result, losses, weights=1.0):
    mean, total, weight, spread = oracle(losses, weights)
    assert (result.mean, result.sum, result.weight) == (mean, total, weight)
    assert result.std == pytest.approx(math.sqrt(spread), rel=1e-15)
    assert (result.count, result.min, result.max) == (losses.size, losses.min(), losses.max())
    assert result.nonfinite == 0


def test_results_are_those_of_rational_arithmetic(loss, isa, dtype):
    target, pred = operands(loss, 3001, dtype)
    assert_is(filled(loss, target, pred).result(), loss(target, pred, reduction="none"))


def test_weighted_results(plain, dtype):
    target, pred = (x.reshape(50, 61) for x in operands(plain, 3050, dtype))
    losses = plain(target, pred, reduction="none")
    rng = np.random.default_rng(0)
    for weight in (
        rng.uniform(0, 3, (50, 61)),
        rng.integers(0, 4, (50, 61)),
        rng.uniform(0, 1, (50, 61)).astype(np.float32),
    ):
        assert_is(filled(plain, target, pred, sample_weight=weight).result(), losses, weight)
    rows = rng.uniform(0, 1, 50)
    by_row = np.repeat(rows[:, None], 61, axis=1)
    assert_is(filled(plain, target, pred, sample_weight=0.1).result(), losses, 0.1)
    assert (
        filled(plain, target, pred, sample_weight=rows).result()[:2]
        == filled(plain, target, pred, sample_weight=by_row).result()[:2]
    )


def test_weights_count_once_for_each_element():
    result = filled(MSE, np.zeros((4, 5)), np.ones((4, 5)), sample_weight=np.full(4, 0.5)).result()
    assert (result.weight, result.sum, result.mean) == (10.0, 10.0, 1.0)


def test_threads_and_instruction_sets_with_fma_change_no_bit(plain, dtype):
    target, pred = operands(plain, 200_001, dtype)
    states = [filled(plain, target, pred, n_threads=n).state() for n in (1, 2, 3, 64)]
    assert all(state == states[0] for state in states)


def test_arrays_of_a_parameter(plain):
    more = stream_of(plain, 50)
    target, pred = operands(plain, 50)
    assert_is(filled(plain, target, pred, **more).result(), plain(target, pred, reduction="none", **more))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.lists(st.integers(0, 400), max_size=5), st.randoms(use_true_random=False), st.booleans(), st.booleans())
def test_any_split_and_any_order_of_merges(cuts, random, single, weighted):
    rng = np.random.default_rng(1)
    size = np.exp2(rng.uniform(-400, 400, 400)) if not single else np.exp2(rng.uniform(-60, 60, 400))
    target, pred = (
        np.zeros(400),
        (size * rng.choice([-1, 1], 400)).astype(np.float32 if single else np.float64),
    )
    weight = np.exp2(rng.uniform(-30, 30, 400)) if weighted else None
    whole = filled(MSE, target, pred, sample_weight=weight)
    edges = [0, *sorted(cuts), 400]
    parts = [
        filled(MSE, target[a:b], pred[a:b], sample_weight=None if weight is None else weight[a:b])
        for a, b in itertools.pairwise(edges)
    ]
    while len(parts) > 1:
        a, b = parts.pop(random.randrange(len(parts))), parts.pop(random.randrange(len(parts)))
        a.merge(b)
        parts.append(a)
    assert parts[0] == whole
    assert repr(parts[0].result()) == repr(whole.result())


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60))
def test_sums_of_any_numbers_are_exact(numbers):
    x = np.array(numbers)
    found = filled(lf.MeanAbsoluteError(), np.zeros(x.size), x)
    total = sum(map(Fraction, np.abs(x).tolist()), Fraction(0))
    try:
        want = float(total)
    except OverflowError:
        want = math.inf
    assert found.result().sum == want


def test_huge_and_tiny_losses():
    x = np.array([1e308, 1e308, 1e308, 5e-324, 1e-310, 0.0])
    result = filled(lf.MeanAbsoluteError(), np.zeros(6), x).result()
    assert result.sum == math.inf and result.mean == pytest.approx(5e307, rel=1e-15)
    assert (result.min, result.max, result.std) == (0.0, 1e308, math.inf)
    tiny = filled(lf.MeanAbsoluteError(), np.zeros(3), np.full(3, 5e-324)).result()
    assert (tiny.sum, tiny.mean, tiny.std) == (1.5e-323, 5e-324, 0.0)


def blocks():
    """Numbers that are hard to add, a name and a block or more of float32 each; negative ones are for signed losses."""
    rng = np.random.default_rng(8)
    n = 2500
    normal = rng.normal(0, 1, n)
    spread = np.exp2(rng.uniform(-140, 60, n)) * rng.choice([-1, 1], n)
    some = rng.uniform(0, 1, n)
    yield "squares of normal numbers", normal**2
    yield "all equal", np.full(n, np.float32(0.1))
    yield "the largest of their binade", np.full(n, 2 - 2.0**-23)
    yield "the smallest of their binade", np.ones(n)
    yield "signs", normal
    yield "sums that cancel", np.resize([1 + 2.0**-23, -1.0, 2.0**-23, -(2.0**-22)], n)
    yield "every magnitude", spread
    yield "subnormal", rng.integers(-500, 500, n) * 2.0**-149
    yield "zeros", np.zeros(n)
    yield "negative zeros", np.where(some < 0.5, -0.0, 0.0)
    yield "mostly zeros", np.where(some < 0.9, 0.0, normal)
    for exponent in range(-32, -15):  # about where a number is too small for its block
        edge = np.float32(2.0**exponent)
        yield (
            f"2^{exponent}",
            np.where(some < 0.01, np.nextafter(edge, np.float32(0)), np.where(some < 0.1, edge, normal)),
        )
        yield f"2^{exponent} next to large", np.where(some < 0.5, edge * (1 + some), 2 - 2.0**-23)
    for where in (0, 1023, 1024, n - 1):
        one = np.array(normal)
        one[where] = 3e38
        yield f"one huge at {where}", one
        one[where] = 1e-38
        yield f"one tiny at {where}", one
    yield "the largest numbers", np.full(n, np.finfo(np.float32).max)


@pytest.mark.compiled
@pytest.mark.parametrize("n", [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 1023, 1024, 1025, 2500])
def test_blocks_that_are_hard_to_add(isa, n):
    for name, numbers in blocks():
        x = numbers.astype(np.float32)[:n]
        for loss, target in ((lf.MeanAbsoluteError(), np.zeros(n)), (lf.Gamma(), np.full(n, 1e-45))):
            if loss.name == "gamma" and np.abs(x).max() > 80:
                continue
            losses = loss(target, x, reduction="none").astype(np.float64)
            sums = filled(loss, target, x)._sums
            for power, found in ((1, sums["loss"]), (2, sums["square"])):
                want = sum((Fraction(v) ** power for v in losses.tolist()), Fraction(0))
                assert Fraction(found, 1 << EXACT_BITS) == want, (name, power)


@pytest.mark.compiled
def test_instruction_sets_change_no_bit(isa):
    for _, numbers in blocks():
        x = numbers.astype(np.float32)
        found = filled(lf.MeanAbsoluteError(), np.zeros(x.size), x).state()
        lf.set_isa("base")
        assert filled(lf.MeanAbsoluteError(), np.zeros(x.size), x).state() == found
        lf.set_isa(isa)


@pytest.mark.compiled
@pytest.mark.parametrize("where", [0, 17, 1023, 1024, 2499])
def test_a_nan_is_found_wherever_it_is(isa, where):
    for name, numbers in blocks():
        x = numbers.astype(np.float32)
        x[where] = np.nan
        found, rest = (filled(lf.MeanAbsoluteError(), np.zeros(y.size), y) for y in (x, np.delete(x, where)))
        assert found.result().nonfinite == 1 and math.isnan(found.result().sum), name
        assert found._sums["loss"] == rest._sums["loss"] and found._sums["square"] == rest._sums["square"], name
        assert (found.result().min, found.result().max) == (rest.result().min, rest.result().max), name


def test_of_two_zeros_the_least_is_positive():
    for x in ([0.0, -0.0], [-0.0, 0.0], [-0.0]):
        result = filled(lf.Poisson(), np.zeros(len(x)), np.array(x)).result()
        assert (math.copysign(1, result.min), math.copysign(1, result.max)) == (1, 1)


def test_losses_that_are_not_finite():
    mae = lf.MeanAbsoluteError()
    nan = filled(mae, np.zeros(4), np.array([1.0, np.nan, -3.0, np.nan])).result()
    assert math.isnan(nan.sum) and math.isnan(nan.mean) and math.isnan(nan.std)
    assert (nan.count, nan.min, nan.max, nan.nonfinite) == (4, 1.0, 3.0, 2)
    infinite = filled(mae, np.zeros(3), np.array([1.0, -np.inf, 2.0])).result()
    assert (infinite.sum, infinite.mean, infinite.max, infinite.nonfinite) == (
        math.inf,
        math.inf,
        math.inf,
        1,
    )
    weightless = filled(
        mae, np.zeros(3), np.array([1.0, np.nan, 2.0]), sample_weight=np.array([1.0, 0.0, 1.0])
    ).result()
    assert weightless.nonfinite == 1 and weightless.count == 3
    only = filled(mae, np.zeros(2), np.full(2, np.nan)).result()
    assert math.isnan(only.min) and math.isnan(only.max) and only.nonfinite == 2


def test_nothing(plain):
    empty = plain.accumulator()
    result = empty.result()
    assert result[:4] == (0.0, 0.0, 0.0, 0) and math.isnan(result.min) and math.isnan(result.max)
    empty.update(np.zeros(0), np.zeros(0))
    assert empty == plain.accumulator() and empty.count == 0
    target, pred = operands(plain, 9)
    zero = filled(plain, target, pred, sample_weight=0).result()
    assert (zero.mean, zero.sum, zero.weight, zero.count) == (0.0, 0.0, 0.0, 9)


def test_the_state_keeps_every_bit(loss):
    target, pred = operands(loss, 100)
    whole = filled(loss, target, pred)
    text = json.dumps(whole.state(), allow_nan=False)
    for back in (
        lf.Accumulator.from_state(json.loads(text)),
        pickle.loads(pickle.dumps(whole)),
        copy.deepcopy(whole),
    ):
        assert back == whole and back.loss == loss and repr(back) == repr(whole)
        back.update(target, pred)
        assert back.count == 200 and whole.count == 100
    assert lf.Accumulator.from_state(loss.accumulator().state()) == loss.accumulator()


def test_the_state_keeps_losses_with_arrays():
    for loss in (
        lf.GaussianNLL(var=[1.0, 2.0]),
        lf.BinaryCrossentropy(pos_weight=np.array([1.0, 2.0], np.float32)),
    ):
        whole = filled(loss, [1.0, 0.0], [0.5, 0.5])
        assert pickle.loads(pickle.dumps(whole)) == whole
        assert lf.Accumulator.from_state(json.loads(json.dumps(whole.state()))) == whole


def test_bad_states():
    state = MSE.accumulator().state()
    for change in ({"version": 99}, {"loss": {"class_name": "Huberr", "config": {}}}):
        with pytest.raises(ValueError, match=r"version|Huberr"):
            lf.Accumulator.from_state({**state, **change})
    with pytest.raises(ValueError, match="version"):
        lf.Accumulator.from_state({})


def test_merges_of_what_does_not_belong_together():
    a = filled(lf.Huber(delta=2.0), [0.0], [1.0])
    before = a.state()
    with pytest.raises(ValueError, match=r"Huber\(delta=1.0\).*Huber\(delta=2.0\)"):
        a.merge(lf.Huber().accumulator())
    with pytest.raises(TypeError, match=r"Accumulator"):
        a.merge(3)
    assert a.state() == before
    a.merge(a)
    assert a.count == 2 and a.result().mean == 0.5


def test_an_error_leaves_it_as_it_was(plain):
    target, pred = operands(plain, 2000)
    whole = filled(plain, target, pred)
    before = whole.state()
    weight = np.ones(2000)
    weight[-1] = -1
    bad = [
        ((target, pred[:-1]), {}, "shape"),
        ((target, pred), {"sample_weight": weight}, r"sample_weight\[1999\]"),
        ((target, pred), {"n_threads": 0}, "n_threads"),
        ((target.astype(str), pred), {}, "dtype"),
        ((target, pred), {"zzz": 0}, "zzz"),
        ((target, pred), {"reduction": "sum"}, "reduction"),
    ]
    for args, kwargs, words in bad:
        with pytest.raises((ValueError, TypeError), match=words):
            whole.update(*args, **kwargs)
    domain = plain.declaration.target(**plain.get_params())
    if domain.high == 1:
        target = target.copy()
        target[-1] = 2
        with pytest.raises(ValueError, match=r"y_true\[1999\] is 2.0"):
            whole.update(target, pred)
    assert whole.state() == before


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_class_weights_divide_the_mean_as_in_a_call(from_logits, weighted, dtype):
    rng = np.random.default_rng(8)
    z = rng.normal(0, 2, (500, 4)).astype(dtype)
    pred = z if from_logits else np.exp(z) / np.exp(z).sum(1, keepdims=True)
    labels, w = rng.integers(-1, 4, 500), rng.random(500) if weighted else None
    loss = lf.SparseCategoricalCrossentropy(
        class_weight=[0.5, 0.0, 3.0, 1.25], from_logits=from_logits, ignore_index=-1
    )
    options = [{} if w is None else {"sample_weight": w[i]} for i in (slice(None), slice(200), slice(200, None))]
    whole, a, b = (loss.accumulator() for _ in range(3))
    whole.update(labels, pred, **options[0])
    a.update(labels[:200], pred[:200], **options[1])
    b.update(labels[200:], pred[200:], **options[2])
    b.merge(a)
    assert b == whole and b.result() == whole.result()
    found, rel = whole.result(), 1e-14 if dtype == np.float64 else 1e-7
    assert found.mean == pytest.approx(loss(labels, pred, sample_weight=w), rel=rel)
    assert found.mean == pytest.approx(found.sum / found.weight, rel=1e-14)
    kept = labels >= 0
    of_rows, ones = loss(labels, pred, reduction="none")[kept].astype(float), np.ones(500) if w is None else w
    v = ones[kept]
    spread = np.sqrt((v * of_rows**2).sum() / v.sum() - ((v * of_rows).sum() / v.sum()) ** 2)
    assert found.std == pytest.approx(spread, rel=1e-6)
    assert found.weight == pytest.approx((v * loss.class_weight[labels[kept]]).sum(), rel=1e-14)
    assert lf.Accumulator.from_state(json.loads(json.dumps(whole.state()))) == whole
    nothing = loss.accumulator()
    nothing.update([1, 1], pred[:2])
    assert nothing.result().mean == 0.0 == loss([1, 1], pred[:2]) and nothing.count == 2
    soft = lf.CategoricalCrossentropy(class_weight=[0.5, 0.0, 3.0, 1.25], from_logits=from_logits)
    accumulator = soft.accumulator()
    accumulator.update(np.eye(4)[np.abs(labels)], pred, sample_weight=w)
    want = soft(np.eye(4)[np.abs(labels)], pred, sample_weight=w)
    assert accumulator.result().mean == pytest.approx(want, rel=10 * rel)


def test_states_without_the_weights_of_rows():
    accumulator = lf.mse.accumulator()
    accumulator.update([1.0, 2.0, 4.0], [0.0, 0.0, 0.0], sample_weight=[1.0, 2.0, 0.5])
    state = accumulator.state()
    del state["sums"]["rows"]
    assert lf.Accumulator.from_state(state) == accumulator
