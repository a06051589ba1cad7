"""CTC where something is missing, impossible or not a number, and in any layout, dtype and number of threads."""

import itertools

import numpy as np
import pytest
from conftest import COMPILED, LEVELS
from operands import HALVES, assert_same_bits, dtype_of

import lossfast as lf

INF, NAN = np.inf, np.nan
value_and_grad = lf.ctc.value_and_grad
KINDS = ["float16", "bfloat16", "float32", "float64"]


def batch(samples=5, frames=12, classes=6, labels=4, dtype=np.float32, seed=0):
    rng = np.random.default_rng([seed, samples, frames])
    logits = rng.normal(0, 2, (samples, frames, classes)).astype(dtype)
    return rng.integers(1, classes, (samples, labels)), logits


# --- Nothing, little, impossible ------------------------------------------------------------------------------


def test_no_labels_are_all_blank(dtype):
    logits = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(dtype)
    z = logits.astype(np.float64)
    y = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    for labels, lengths in (
        (np.zeros((2, 0), int), None),
        ([[9, -7], [0, 0]], [0, 0]),
        ([[], []], None),
        (np.zeros(0, np.uint8), [0, 0]),
    ):
        value, grad = value_and_grad(labels, logits, lengths, reduction="none")
        np.testing.assert_allclose(value, -y[..., 0].sum(axis=1), rtol=1e-6 if dtype == np.float32 else 1e-14)
        want = np.exp(y) - [1, 0, 0, 0]
        np.testing.assert_allclose(grad, want, rtol=0, atol=3e-7 if dtype == np.float32 else 1e-14)
        states = lf.ctc_posteriors(labels, logits, lengths)
        np.testing.assert_allclose(states[..., 0], 1, rtol=1e-6 if dtype == np.float32 else 1e-14)


def test_no_frames():
    for logits, lengths in ((np.zeros((2, 0, 3)), None), (np.zeros((2, 4, 3)), [0, 0])):
        value, grad, feasible = value_and_grad([[1], [5]], logits, [1, 0], lengths, reduction="none", full_output=True)
        assert value.tolist() == [INF, 0.0] and feasible.tolist() == [False, True]
        assert grad.shape == logits.shape and (grad == 0).all()
        assert lf.ctc([[1], [5]], logits, [1, 0], lengths, zero_infinity=True) == 0.0
        assert (lf.ctc_posteriors([[1], [5]], logits, [1, 0], lengths) == 0).all()


def test_blank_alone():
    """One class: every path is blank."""
    value, grad, feasible = value_and_grad([[0], [0]], np.zeros((2, 3, 1)), [0, 0], reduction="none", full_output=True)
    assert value.tolist() == [0.0, 0.0] and (grad == 0).all() and feasible.all()
    assert not np.signbit(value).any()
    assert lf.ctc([[], []], np.full((2, 3, 1), -7.0), from_logits=False, reduction="none").tolist() == [21.0, 21.0]


def test_one_frame_and_one_label():
    logits = np.array([[[0.5, 1.0, -2.0]]])
    p = np.exp(logits[0, 0]) / np.exp(logits[0, 0]).sum()
    value, grad = value_and_grad([[2]], logits)
    assert value == pytest.approx(-np.log(p[2]), rel=1e-15)
    np.testing.assert_allclose(grad[0, 0], p - [0, 0, 1], rtol=1e-14)


@pytest.mark.parametrize(
    "labels, frames", [([1, 2, 3], 3), ([1, 1], 3), ([1, 1, 1], 5), ([1, 1, 2, 2], 6), ([2], 1), ([], 0), ([], 4)]
)
def test_frames_that_just_suffice(labels, frames):
    """As many as labels, and a blank between equal neighbours: one path."""
    logits = np.random.default_rng(1).normal(size=(1, frames, 4))
    path = []
    for i, k in enumerate(labels):
        path += [0] if i and labels[i - 1] == k else []
        path.append(k)
    path = path or [0] * frames
    y = logits[0] - np.log(np.exp(logits[0]).sum(axis=-1, keepdims=True))
    value, grad, feasible = value_and_grad([labels], logits, full_output=True)
    assert value == pytest.approx(-y[range(frames), path].sum(), rel=1e-14) and feasible.all()
    np.testing.assert_allclose(grad[0], np.exp(y) - np.eye(4)[path], rtol=0, atol=1e-14)
    if frames and labels:
        value, grad, feasible = value_and_grad([labels], logits[:, 1:], full_output=True)
        assert value == INF and not feasible.any() and (grad == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_impossible_is_infinite_without_a_gradient(kind):
    labels, logits = batch(dtype=dtype_of(kind))
    frames = [12, 3, 12, 0, 4]
    labels[2] = 1
    frames[2] = 6  # four equal labels need seven
    value, grad, feasible = value_and_grad(labels, logits, None, frames, reduction="none", full_output=True)
    assert feasible.tolist() == [True, False, False, False, True]
    assert (value[~feasible] == INF).all() and np.isfinite(value[feasible]).all()
    assert (grad[~feasible] == 0).all() and np.isfinite(grad.astype(np.float64)).all()
    assert (lf.ctc_posteriors(labels, logits, None, frames)[~feasible] == 0).all()
    for reduction in ("mean", "sum", "target_mean"):
        assert value_and_grad(labels, logits, None, frames, reduction=reduction)[0] == INF
        total, slope = value_and_grad(labels, logits, None, frames, reduction=reduction, zero_infinity=True)
        assert np.isfinite(total) and np.isfinite(slope.astype(np.float64)).all()


def test_a_long_impossible_sample(dtype):
    """Where numbers of limited range might give a large finite loss."""
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 20, (2, 400, 8)).astype(dtype)
    labels = rng.integers(1, 8, (2, 399))
    labels[0] = 1
    value, grad, feasible = value_and_grad(labels, logits, reduction="none", full_output=True)
    assert value[0] == INF and (grad[0] == 0).all() and not feasible[0]
    assert not np.isnan(grad).any()


# --- Infinities and NaN ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("from_logits", [True, False])
def test_minus_infinity_is_a_probability_of_zero(from_logits, dtype):
    """As if the class were a very small number, and exactly impossible if every path needs it."""
    labels, logits = batch(dtype=dtype)
    logits[:, 3, 5] = logits[1, 2, 0] = logits[2, :4, 2] = -INF
    options = {"reduction": "none", "from_logits": from_logits}
    value, grad = value_and_grad(labels, logits, **options)
    small, slope = value_and_grad(labels, np.where(np.isinf(logits), dtype(-1e4), logits), **options)
    np.testing.assert_allclose(value, small, rtol=1e-6 if dtype == np.float32 else 1e-13)
    np.testing.assert_allclose(grad, slope, rtol=0, atol=1e-6 if dtype == np.float32 else 1e-13)
    assert (grad[np.isinf(logits)] == 0).all()
    logits[0, :, labels[0, 1]] = -INF
    logits[3, 5] = -INF
    value, grad, feasible = value_and_grad(labels, logits, **options, full_output=True)
    assert value[[0, 3]].tolist() == [INF, INF] and np.isfinite(value[[1, 2, 4]]).all()
    assert feasible.tolist() == [False, True, True, False, True]
    assert (grad[[0, 3]] == 0).all() and np.isfinite(grad).all()


def test_steps_through_one_state_only(dtype):
    """-inf leaves a single path."""
    logits = np.full((1, 5, 4), -INF, dtype)
    for t, k in enumerate([0, 2, 2, 0, 3]):
        logits[0, t, k] = t - 2.0
    value, grad, feasible = value_and_grad([[2, 3]], logits, full_output=True)
    assert value == 0.0 and feasible.all() and (grad == 0).all()
    assert abs(lf.ctc([[2, 3]], logits, from_logits=False)) < 1e-15  # -2 - 1 + 0 + 1 + 2
    assert lf.ctc([[3, 2]], logits) == INF


def test_plus_infinity_takes_all_probability(dtype):
    """The limit of the softmax, as in the losses of classes: classes at +inf share it."""
    logits = np.zeros((2, 2, 3), dtype)
    logits[0, 0, 1] = INF
    logits[1, 0, [1, 2]] = INF
    value, grad = value_and_grad([[1], [1]], logits, reduction="none")
    want = [-np.log(2 / 3), -np.log(1 / 2 * 2 / 3)]
    np.testing.assert_allclose(value, want, rtol=1e-6 if dtype == np.float32 else 1e-14)
    np.testing.assert_allclose(grad[:, 0], [[0, 0, 0], [0, -0.5, 0.5]], atol=1e-7)
    assert np.isfinite(grad).all()


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_nan_stays_in_its_sample(kind, from_logits):
    labels, logits = batch(dtype=dtype_of(kind))
    frames = [12, 9, 12, 9, 12]
    options = {"reduction": "none", "from_logits": from_logits}
    clean, slope = value_and_grad(labels, logits, None, frames, **options)
    logits[1, 4] = NAN
    logits[3, 10:] = NAN  # beyond its length
    value, grad, feasible = value_and_grad(labels, logits, None, frames, **options, full_output=True)
    assert np.isnan(value[1]) and np.isnan(grad[1, :9].astype(np.float32)).all() and (grad[1, 9:] == 0).all()
    others = [0, 2, 3, 4]
    assert_same_bits(value[others], clean[others])
    assert_same_bits(grad[others], slope[others])
    assert feasible.all()
    assert np.isnan(lf.ctc(labels, logits, None, frames, zero_infinity=True))
    states = lf.ctc_posteriors(labels, logits, None, frames, from_logits=from_logits)
    assert np.isnan(states[others]).sum() == 0


def test_a_nan_of_any_class_counts():
    """In a softmax; of log-probabilities only those of blank and the sample's labels are looked at."""
    labels, logits = batch(samples=1, classes=20, labels=2)
    clean, slope = value_and_grad(labels, logits, from_logits=False)
    for k in range(20):
        spoilt = logits.copy()
        spoilt[0, 7, k] = NAN
        value, grad = value_and_grad(labels, spoilt)
        assert np.isnan(value) and np.isnan(grad).all()
        value, grad = value_and_grad(labels, spoilt, from_logits=False)
        if k in (0, *labels[0]):
            assert np.isnan(value) and np.isnan(grad).all()
        else:
            assert value == clean
            assert_same_bits(grad, slope)


@pytest.mark.parametrize("spread", [1e3, 1e5])
def test_large_logits(spread, dtype):
    labels, logits = batch(dtype=dtype)
    logits *= dtype(spread)
    value, grad = value_and_grad(labels, logits, reduction="none")
    want, slope = value_and_grad(labels, logits.astype(np.float64), reduction="none")
    np.testing.assert_allclose(value, want, rtol=1e-6)
    np.testing.assert_allclose(grad, slope, rtol=0, atol=1e-5)
    assert (np.abs(grad) <= 1 + 1e-6).all()


@pytest.mark.parametrize("spread", [1e9, 1e30, 1e37])
def test_enormous_logits(spread, dtype):
    """Where a likelihood may be too small for its exponent: the loss is large, or infinite as of what is impossible."""
    labels, logits = batch(dtype=dtype)
    value, grad, feasible = value_and_grad(labels, logits * dtype(spread), reduction="none", full_output=True)
    large = lf.ctc(labels, logits.astype(np.float64) * 1e3, reduction="none") * (spread / 1e3)
    assert (np.isclose(value, large, rtol=1e-2) | (value == np.inf)).all()
    assert (feasible == np.isfinite(value)).all()
    assert (np.abs(grad) <= 1 + 1e-6).all() and (grad[~feasible] == 0).all()


def test_what_is_beyond_the_lengths_has_no_influence():
    labels, logits = batch()
    frames, lengths = [12, 9, 5, 0, 12], [4, 2, 0, 0, 1]
    want = value_and_grad(labels, logits, lengths, frames, reduction="none", full_output=True)
    for junk in (NAN, INF, -INF, 1e30):
        x, y = logits.copy(), labels.astype(np.int64)
        for i in range(5):
            x[i, frames[i] :] = junk
            y[i, lengths[i] :] = np.iinfo(np.int64).min
        assert_same_bits(value_and_grad(y, x, lengths, frames, reduction="none", full_output=True), want)
    for i in range(5):
        assert (want[1][i, frames[i] :] == 0).all()
        short = value_and_grad(labels[i, : lengths[i]], logits[i, : frames[i]], reduction="none")
        assert_same_bits(want[0][i], np.asarray(short[0]))
        assert_same_bits(want[1][i, : frames[i]], short[1])


# --- Layouts --------------------------------------------------------------------------------------------------


def layouts(x):
    """The same numbers elsewhere in memory: (name, array)."""
    yield "as it is", x
    yield "fortran", np.asfortranarray(x)
    yield "reversed", np.ascontiguousarray(x[::-1, ::-1, ::-1])[::-1, ::-1, ::-1]
    wide = np.empty((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    wide[..., ::2] = x
    yield "every second class", wide[..., ::2]
    rows = np.empty((2 * x.shape[0], x.shape[1] + 3, x.shape[2]), x.dtype)
    rows[::2, 2:-1] = x
    yield "a window", rows[::2, 2:-1]
    buffer = np.empty(x.nbytes + 1, np.uint8)
    odd = buffer[1:].view(x.dtype).reshape(x.shape)
    odd[...] = x
    yield "unaligned", odd
    read_only = x.copy()
    read_only.flags.writeable = False
    yield "read-only", read_only


@pytest.mark.parametrize("kind", KINDS)
def test_strides_and_the_order_of_axes_change_no_bit(kind):
    labels, logits = batch(dtype=dtype_of(kind))
    lengths, frames = [4, 2, 0, 3, 1], [12, 9, 5, 11, 12]
    want = value_and_grad(labels, logits, lengths, frames, reduction="none")
    assert want[1].dtype == logits.dtype
    states = lf.ctc_posteriors(labels, logits, lengths, frames)
    for (name, x), time_major in itertools.product(layouts(logits), (False, True)):
        y = x.transpose(1, 0, 2) if time_major else x
        options = {"reduction": "none", "time_major": time_major}
        value, grad = value_and_grad(labels, y, lengths, frames, **options)
        assert_same_bits(value, want[0])
        assert_same_bits(grad.transpose(1, 0, 2) if time_major else grad, want[1])
        found = lf.ctc_posteriors(labels, y, lengths, frames, time_major=time_major)
        assert_same_bits(found.transpose(1, 0, 2) if time_major else found, states)
        if name == "read-only":
            continue
        for _, out in layouts(np.full(y.shape, 7, y.dtype)):
            if out.flags.writeable:
                assert value_and_grad(labels, y, lengths, frames, **options, out=(None, out))[1] is out
                assert_same_bits(np.array(out), np.array(grad))
        buffer = y.copy(order="K")
        assert value_and_grad(labels, buffer, lengths, frames, **options, out=(None, buffer))[1] is buffer
        assert_same_bits(np.array(buffer), np.array(grad))


def test_the_gradient_may_replace_the_logits_in_any_layout():
    labels, logits = batch()
    want = lf.ctc.grad(labels, logits)
    for name, x in layouts(logits):
        if name != "read-only":
            x = x if name != "as it is" else x.copy()
            assert lf.ctc.grad(labels, x, out=x) is x
            assert_same_bits(np.array(x), want)


def test_contiguous_time_major_logits_are_read_in_place():
    labels, logits = batch()
    by_frames = np.ascontiguousarray(logits.transpose(1, 0, 2))
    value, grad = value_and_grad(labels, by_frames, time_major=True)
    want = value_and_grad(labels, logits)
    assert value == want[0]
    assert grad.flags.c_contiguous
    assert_same_bits(grad.transpose(1, 0, 2), want[1])


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_labels_and_lengths_of_any_integer_dtype(kind):
    labels, logits = batch()
    lengths, frames = [4, 2, 0, 3, 1], [12, 9, 5, 11, 12]
    want = value_and_grad(labels, logits, lengths, frames)
    one_after_another = np.concatenate([row[:n] for row, n in zip(labels, lengths, strict=True)]).astype(kind)
    padded = labels.astype(kind)
    views = [padded, np.asfortranarray(padded), np.repeat(padded, 2, axis=1)[:, ::2], padded[::-1].copy()[::-1]]
    views += [padded.astype(padded.dtype.newbyteorder()), one_after_another, np.repeat(one_after_another, 3)[::3]]
    for given in views:
        for n, m in ((lengths, frames), (np.array(lengths, kind), np.array(frames, kind)[::1])):
            assert_same_bits(value_and_grad(given, logits, n, m), want)
    spread = np.repeat(np.array(lengths, kind), 2)[::2]
    assert_same_bits(value_and_grad(padded, logits, spread, tuple(frames)), want)


def test_repeated_logits_and_labels():
    """Strides of 0."""
    labels, logits = batch(samples=1)
    value, grad = value_and_grad(labels, logits, reduction="sum")
    many = np.broadcast_to(logits, (6, *logits.shape[1:]))
    each, slopes = value_and_grad(np.broadcast_to(labels, (6, 4)), many, reduction="none")
    assert (each == value).all()
    assert_same_bits(slopes, np.repeat(grad, 6, axis=0))
    flat = np.broadcast_to(np.float32(0.5), (2, 9, 4))
    assert lf.ctc([[1], [2]], flat) == lf.ctc([[1], [2]], np.zeros((2, 9, 4), np.float32))


@pytest.mark.parametrize("kind", HALVES)
def test_half_precision_is_computed_in_single(kind):
    labels, logits = batch(dtype=dtype_of(kind))
    value, grad = value_and_grad(labels, logits)
    want, slope = value_and_grad(labels, logits.astype(np.float32))
    assert value == want
    assert_same_bits(grad, slope.astype(logits.dtype))
    assert_same_bits(lf.ctc.grad(labels, logits, grad_dtype=np.float32), slope)
    assert lf.ctc_posteriors(labels, logits).dtype == np.float32


def test_gradients_of_other_dtypes():
    labels, logits = batch()
    exact = lf.ctc.grad(labels, logits, grad_dtype=np.float64)
    assert exact.dtype == np.float64
    np.testing.assert_allclose(exact, lf.ctc.grad(labels, logits), rtol=1e-6)
    for kind, rounding in zip(KINDS, (1e-3, 8e-3, 1e-6, 0), strict=True):
        out = np.empty(logits.shape, dtype_of(kind))
        assert lf.ctc.grad(labels, logits, out=out) is out
        np.testing.assert_allclose(out.astype(np.float64), exact, rtol=rounding, atol=1e-7 * bool(rounding))
    values = np.empty(5, np.float32)
    assert lf.ctc(labels, logits, reduction="none", out=values) is values
    np.testing.assert_array_equal(values, lf.ctc(labels, logits, reduction="none").astype(np.float32))


def test_lists_and_integers_are_float64():
    labels, logits = batch(samples=2, dtype=np.float64)
    want = value_and_grad(labels, logits)
    assert_same_bits(value_and_grad(labels.tolist(), logits.tolist()), want)
    assert_same_bits(value_and_grad(labels, logits.astype(">f8")), want)
    whole = np.round(logits).astype(np.int8)
    assert_same_bits(value_and_grad(labels, whole), value_and_grad(labels, whole.astype(np.float64)))


def test_tensors():
    torch = pytest.importorskip("torch")
    labels, logits = batch()
    want = value_and_grad(labels, logits, [4, 3, 2, 1, 0])
    lengths = torch.tensor([4, 3, 2, 1, 0])
    assert_same_bits(value_and_grad(torch.from_numpy(labels), torch.from_numpy(logits), lengths), want)


# --- Threads, instruction sets, subsets of outputs ------------------------------------------------------------


def shapes():
    yield batch(samples=1, frames=400, classes=32, labels=60)
    yield batch(samples=2, frames=300, classes=9, labels=100)
    yield batch(samples=9, frames=40, classes=29, labels=9)
    yield batch(samples=70, frames=15, classes=40, labels=5)
    yield batch(samples=3, frames=30, classes=3000, labels=12)
    yield batch(samples=1, frames=1, classes=2, labels=1)


@pytest.mark.compiled
@pytest.mark.parametrize("time_major", [False, True])
def test_threads_change_no_bit(isa, dtype, time_major):
    for labels, logits in shapes():
        logits = logits.astype(dtype)
        given = np.ascontiguousarray(logits.transpose(1, 0, 2)) if time_major else logits
        options = {"time_major": time_major, "full_output": True, "reduction": "none"}
        want = value_and_grad(labels, given, n_threads=1, **options)
        states = lf.ctc_posteriors(labels, given, time_major=time_major, n_threads=1)
        for n in (2, 3, 7, 64):
            assert_same_bits(value_and_grad(labels, given, n_threads=n, **options), want)
            assert_same_bits(lf.ctc_posteriors(labels, given, time_major=time_major, n_threads=n), states)


@pytest.mark.compiled
@pytest.mark.skipif(not {"avx2", "avx512"} <= set(LEVELS), reason="needs avx2 and avx512")
def test_avx2_and_avx512_give_the_same_bits(dtype):
    for labels, logits in shapes():
        results = []
        for level in ("avx2", "avx512"):
            lf.set_isa(level)
            results.append(value_and_grad(labels, logits.astype(dtype), reduction="none"))
        assert_same_bits(*results)


@pytest.mark.compiled
def test_outputs_do_not_depend_on_each_other(isa, dtype):
    for labels, logits in shapes():
        logits = logits.astype(dtype)
        value, grad = value_and_grad(labels, logits, reduction="none")
        assert_same_bits(lf.ctc(labels, logits, reduction="none"), value)
        assert_same_bits(lf.ctc.grad(labels, logits, reduction="none"), grad)


def test_samples_do_not_depend_on_each_other(isa):
    """One at a time, in another order, with neighbours of other lengths, one after another."""
    for labels, logits in shapes():
        most, steps = labels.shape[1], logits.shape[1]
        rng = np.random.default_rng(3)
        lengths, frames = rng.integers(0, most + 1, len(labels)), rng.integers(0, steps + 1, len(labels))
        if not COMPILED and logits.size > 20_000:
            continue
        value, grad = value_and_grad(labels, logits, lengths, frames, reduction="none")
        order = rng.permutation(len(labels))
        moved = value_and_grad(labels[order], logits[order], lengths[order], frames[order], reduction="none")
        assert_same_bits(moved, (value[order], grad[order]))
        flat = np.concatenate([row[:n] for row, n in zip(labels, lengths, strict=True)])
        assert_same_bits(value_and_grad(flat, logits, lengths, frames, reduction="none"), (value, grad))
        for i in range(min(5, len(labels))):
            alone = value_and_grad(labels[i], logits[i], lengths[i], frames[i], reduction="none")
            assert_same_bits(np.asarray(alone[0]), value[i])
            assert_same_bits(alone[1], grad[i])


def test_log_probabilities_far_above_0(dtype):
    """They need not add up to 1; what no exponent has room for counts as NaN."""
    large = np.full((1, 50, 3), 1e6, dtype)
    assert lf.ctc([[1]], large, from_logits=False) == pytest.approx(-50e6 - np.log(50 * 51 / 2), rel=1e-12)
    large[0, 3, 1] = 1.1e9
    value, grad = lf.ctc.value_and_grad([[1]], large, from_logits=False)
    assert np.isnan(value) and np.isnan(grad).all()
