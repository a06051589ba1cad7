"""Losses of distances between vectors: kernel against specification, the same bits, reductions, edges."""

import numpy as np
import pytest
from conftest import LEVELS
from operands import assert_same_bits, dtype_of
from vectors import embedding_operands, specified

import lossfast as lf

LENGTHS = (1, 3, 16, 100, 2047, 2048, 2049, 5000)


def along_last(loss):
    """The same loss of vectors along the last axis, with all its gradients."""
    known = {"axis": -1, "wrt": "both"}
    return lf.get(loss, **{k: v for k, v in known.items() if k in loss.get_params()})


def moved(loss, x, operand):
    """An operand, or a gradient, in the order of axes of the loss."""
    if loss.get_params().get("axis") == 0 and operand >= loss.declaration.labelled:
        return np.moveaxis(x, -1, 0)
    return x


def operands_of(loss, rows, dtype=np.float64, seed=0, dimensions=6):
    """Operands in the order of axes of the loss."""
    return [moved(loss, x, i) for i, x in enumerate(embedding_operands(loss, rows, dtype, seed, dimensions))]


@pytest.mark.parametrize("dimensions", LENGTHS)
def test_agrees_with_its_specification(vector_loss, dimensions, dtype, isa):
    vector_loss = along_last(vector_loss)
    operands = embedding_operands(vector_loss, 9, dtype, 1, dimensions)
    value, grads = vector_loss.value_and_grad(*operands, reduction="none")
    want = specified(vector_loss, operands)
    eps = np.finfo(dtype).eps
    reach = 1 + (
        0 if not vector_loss.declaration.vectors else dimensions ** (1 / vector_loss.get_params().get("p", 2.0))
    )
    np.testing.assert_allclose(value, want.value, rtol=0, atol=16 * eps * reach)
    for got, expected in zip(grads, want.grads, strict=True):
        scale = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(got, expected, rtol=0, atol=60 * eps * scale)


def test_gradients_are_derivatives_of_the_value(vector_loss):
    vector_loss, h = along_last(vector_loss), 1e-6
    operands = embedding_operands(vector_loss, 12, seed=2)
    found = vector_loss.grad(*operands, reduction="sum")
    first = vector_loss.declaration.labelled
    for o, gradient in enumerate(found, first):
        for k in range(operands[o].shape[1]):
            step = np.zeros(operands[o].shape[1])
            step[k] = h
            up, down = (
                vector_loss(*operands[:o], operands[o] + s, *operands[o + 1 :], reduction="none") for s in (step, -step)
            )
            slope = (up - down) / (2 * h)
            np.testing.assert_allclose(slope if slope.ndim == 1 else slope[:, k], gradient[:, k], atol=2e-8)


def test_same_bits_whatever_is_asked_for(vector_loss, dtype):
    operands = operands_of(vector_loss, 700, dtype, 3, 33)
    value, grads = vector_loss.value_and_grad(*operands)
    assert vector_loss(*operands) == value
    assert_same_bits(vector_loss.grad(*operands), grads)
    for n_threads in (1, 2, 3):
        assert_same_bits(vector_loss.value_and_grad(*operands, n_threads=n_threads), (value, grads))
    outs = tuple(np.full_like(g, 7) for g in (grads if isinstance(grads, tuple) else (grads,)))
    got, found = vector_loss.value_and_grad(*operands, out=(None, *outs))
    assert all(a is b for a, b in zip(found if isinstance(found, tuple) else (found,), outs, strict=True))
    assert_same_bits((got, found), (value, grads))


@pytest.mark.compiled
def test_same_bits_on_every_instruction_set_with_fma(vector_loss, dtype):
    for dimensions in (33, 2500):
        operands = operands_of(vector_loss, 5, dtype, 4, dimensions)
        found = []
        for level in LEVELS:
            if level != "base":
                lf.set_isa(level)
                found.append(vector_loss.value_and_grad(*operands))
        for other in found[1:]:
            assert_same_bits(other, found[0])


def layouts(x):
    """The same numbers elsewhere in memory."""
    yield np.asfortranarray(x)
    yield np.repeat(x, 2, axis=-1)[..., ::2]
    yield np.ascontiguousarray(x[::-1])[::-1]
    yield np.ascontiguousarray(x[..., ::-1])[..., ::-1]
    raw = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    raw[...] = x
    yield raw


@pytest.mark.compiled
@pytest.mark.parametrize("dimensions", [5, 2500])
def test_same_bits_in_any_layout(vector_loss, dtype, dimensions):
    operands = [
        moved(vector_loss, x, i) for i, x in enumerate(embedding_operands(vector_loss, 7, dtype, 5, dimensions))
    ]
    want = vector_loss.value_and_grad(*operands, reduction="none")
    grads = want[1] if isinstance(want[1], tuple) else (want[1],)
    for other in zip(*map(layouts, operands), strict=True):
        assert_same_bits(vector_loss.value_and_grad(*other, reduction="none"), want)
    for out in zip(*map(layouts, grads), strict=True):
        out = [np.zeros_like(x) if not x.flags.writeable else x for x in out]
        for x in out:
            x[...] = 7
        assert_same_bits(vector_loss.value_and_grad(*operands, reduction="none", out=(None, *out)), want)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_halves_are_computed_in_float32(vector_loss, half):
    pytest.importorskip("ml_dtypes")
    labelled = vector_loss.declaration.labelled
    operands = operands_of(vector_loss, 20, np.float32, 6)
    halves = [x if i < labelled else x.astype(dtype_of(half)) for i, x in enumerate(operands)]
    singles = [x if i < labelled else x.astype(np.float32) for i, x in enumerate(halves)]
    value, grads = vector_loss.value_and_grad(*halves)
    want, expected = vector_loss.value_and_grad(*singles)
    assert value == want
    for got, g in zip(*((x if isinstance(x, tuple) else (x,)) for x in (grads, expected)), strict=True):
        assert got.dtype == dtype_of(half)
        assert_same_bits(got, g.astype(got.dtype))
    for got in vector_loss.grad(*halves, grad_dtype=np.float64) if isinstance(grads, tuple) else ():
        assert got.dtype == np.float64


def test_large_outputs_past_the_caches(vector_plain):
    vector_plain = along_last(vector_plain)
    operands = embedding_operands(vector_plain, 49_999, np.float32, 7, 129)
    value, grads = vector_plain.value_and_grad(*operands, reduction="sum")
    some = slice(31_000, 31_050)
    want = vector_plain.grad(*(x[some] for x in operands), reduction="sum")
    for got, expected in zip(grads, want, strict=True):
        np.testing.assert_allclose(got[some], expected, rtol=1e-6, atol=1e-7)
    assert np.isclose(value, vector_plain(*operands, reduction="none").sum(dtype=np.float64), rtol=1e-6)


def test_reductions_and_weights(vector_loss):
    operands = operands_of(vector_loss, 8, seed=8)
    values = vector_loss(*operands, reduction="none")
    rng = np.random.default_rng(0)
    w = rng.random(values.shape)
    w.flat[0] = 0
    weighted = vector_loss(*operands, sample_weight=w, reduction="none")
    np.testing.assert_allclose(weighted, w * values, rtol=1e-15)
    total = weighted.sum()
    one = vector_loss.grad(*operands, sample_weight=w, reduction="sum")
    one = one if isinstance(one, tuple) else (one,)
    for reduction, divisor in (
        ("mean", w.sum()),
        ("sum", 1.0),
        ("sum_over_batch_size", w.size),
        ("batchmean", len(w)),
    ):
        value, grads = vector_loss.value_and_grad(*operands, sample_weight=w, reduction=reduction)
        assert np.isclose(value, total / divisor, rtol=1e-14)
        for got, expected in zip(grads if isinstance(grads, tuple) else (grads,), one, strict=True):
            np.testing.assert_allclose(got, expected / divisor, rtol=1e-13, atol=1e-16)
    rows = vector_loss(*operands, sample_weight=w, reduction="sample")
    each = weighted.reshape(len(w), -1).sum(1) / w.reshape(len(w), -1).sum(1).clip(1e-300)
    np.testing.assert_allclose(rows, each, rtol=1e-13)
    assert vector_loss(*operands, sample_weight=0.0) == 0.0
    assert np.isnan(vector_loss(*operands, sample_weight=0.0, empty="nan"))
    with pytest.raises(ValueError, match="reduction='mean' of nothing"):
        vector_loss(*operands, sample_weight=0.0, empty="raise")


def test_of_several_axes_and_of_one_vector(vector_plain):
    vector_plain = along_last(vector_plain)
    operands = embedding_operands(vector_plain, 12, seed=9)
    shaped = [x.reshape(3, 4, *x.shape[1:]) for x in operands]
    assert vector_plain(*shaped) == vector_plain(*operands)
    assert vector_plain(*shaped, reduction="none").shape[:2] == (3, 4)
    assert vector_plain(*shaped, reduction="sample").shape == (3,)
    for got, want in zip(vector_plain.grad(*shaped), vector_plain.grad(*operands), strict=True):
        assert_same_bits(got.reshape(want.shape), want)
    one = vector_plain(*(x[0] for x in operands), reduction="none")
    assert_same_bits(one, vector_plain(*operands, reduction="none")[0])


def test_of_nothing(vector_plain):
    operands = embedding_operands(vector_plain, 0)
    value, grads = vector_plain.value_and_grad(*operands)
    assert value == 0.0 and all(g.size == 0 for g in (grads if isinstance(grads, tuple) else (grads,)))
    assert vector_plain(*operands, reduction="none").shape[0] == 0


def test_accumulators_see_each_item(vector_loss):
    operands = operands_of(vector_loss, 30, seed=10)
    values = vector_loss(*operands, reduction="none")
    whole, a, b = (vector_loss.accumulator() for _ in range(3))
    whole.update(*operands)
    halves = [
        (x[..., :13], x[..., 13:]) if moved(vector_loss, x, i) is not x else (x[:13], x[13:])
        for i, x in enumerate(operands)
    ]
    a.update(*(x[0] for x in halves))
    b.update(*(x[1] for x in halves))
    a.merge(b)
    assert a.result() == whole.result()
    assert whole.count == values.size and np.isclose(whole.result().mean, values.mean(), rtol=1e-14)


def test_a_nan_stays_in_its_item(vector_loss):
    vector_loss = along_last(vector_loss)
    operands = embedding_operands(vector_loss, 6, seed=11)
    clean = vector_loss.value_and_grad(*operands, reduction="none")
    operands[-1][2, 3] = np.nan
    value, grads = vector_loss.value_and_grad(*operands, reduction="none")
    swapped_away = np.isfinite(value[2]).all()
    assert not swapped_away and np.isfinite(np.delete(value, 2, 0)).all()
    for got, want in zip(grads, clean[1], strict=True):
        assert_same_bits(np.delete(got, 2, 0), np.delete(want, 2, 0))


def test_identical_vectors_and_vectors_of_zeros(vector_loss, dtype):
    vector_loss = along_last(vector_loss)
    operands = list(embedding_operands(vector_loss, 6, dtype, 12))
    first, last = vector_loss.declaration.labelled, len(operands) - 1
    for o in range(first, last + 1):
        operands[o][1] = operands[first][0]  # all the same
        operands[o][2] = 0
    operands[first][3] = 0
    operands[last][4] = 0
    operands[last][5] = operands[first][5]
    value, grads = vector_loss.value_and_grad(*operands, reduction="none")
    assert np.isfinite(value).all()
    for g in grads:
        assert np.isfinite(g).all() and np.abs(g).max() < 100
    want = specified(vector_loss, operands)
    np.testing.assert_allclose(value, want.value, atol=1e-5)
    for got, expected in zip(grads, want.grads, strict=True):
        np.testing.assert_allclose(got[2], expected[2], atol=1e-5)


def test_what_zeros_are():
    zeros, x = np.zeros((1, 4)), np.ones((1, 4))
    for a, b in ((zeros, x), (x, zeros), (zeros, zeros)):
        value, grads = lf.cosine_distance.value_and_grad(a, b, wrt="both")
        assert value == 1.0 and not any(g.any() for g in grads)
    value, grads = lf.contrastive.value_and_grad([0], x, x)
    assert value == 1.0 and not any(g.any() for g in grads)
    for distance in ("euclidean", "squared", "cosine"):
        value, grads = lf.triplet.value_and_grad(x, x, x, distance=distance)
        assert value == 1.0
        np.testing.assert_allclose(np.concatenate(grads), 0, atol=1e-15)


@pytest.mark.parametrize("dimensions", [64, 130, 2200])
@pytest.mark.parametrize("size", [3e-39, 1e-24, 1e-12, 1.0, 1e12, 1e18, 1e35])
def test_vectors_of_any_size(size, dimensions):
    """Squares that float32 does not hold are added as doubles."""
    x, y, z = (v * np.float32(size) for v in np.random.default_rng(3).normal(0, 1, (3, 5, dimensions)).astype("f4"))
    y[1], z[2] = 1.001 * x[1], 0
    wide = [v.astype(np.float64) for v in (x, y, z)]
    with np.errstate(over="ignore"):  # gradients may be too large for float32
        for name, args, more in (
            ("cosine_similarity", (0, 1), {"wrt": "both"}),
            ("triplet", (0, 1, 2), {"margin": size, "swap": True}),
            ("contrastive", (0, 1), {"squared": False, "margin": 100 * size}),
        ):
            labels = (np.array([1, 0, 1, 0, 1]),) if name == "contrastive" else ()
            loss = getattr(lf, name)
            value, grads = loss.value_and_grad(*labels, *((x, y, z)[k] for k in args), reduction="none", **more)
            want, exact = loss.value_and_grad(*labels, *(wide[k] for k in args), reduction="none", **more)
            if size < 1e-38 and name != "cosine_similarity":
                continue  # eps is larger, and added in float32
            np.testing.assert_allclose(value, want, rtol=3e-6, atol=3e-6 * np.abs(want).max())
            for got, g in zip(grads, exact, strict=True):
                np.testing.assert_allclose(got, g.astype("f4"), rtol=1e-5, atol=3e-6 * np.abs(g).max())


def test_infinities_and_numbers_near_the_ends():
    far = [np.inf, 0.0]
    for p in (1.0, 2.0, 3.0):
        assert lf.triplet([[0.0, 0.0]], [[1.0, 0.0]], [far], p=p) == 0.0
        assert not any(g.any() for g in lf.triplet.grad([[0.0, 0.0]], [[1.0, 0.0]], [far], p=p))
        assert lf.triplet([[0.0, 0.0]], [far], [[1.0, 0.0]], p=p) == np.inf
    assert lf.contrastive([0], [[0.0, 0.0]], [far]) == 0.0
    assert lf.contrastive([1], [[0.0, 0.0]], [far]) == np.inf
    a, b = np.float32([[3e38, 1e38]]), np.float32([[1e-40, 2e-40]])
    cosine = lf.cosine_similarity(a, b)
    assert np.isclose(cosine, -(3 * 1 + 1 * 2) / np.sqrt(50), rtol=1e-4)
    big = np.float32([[3e38, -3e38]])
    assert np.isclose(lf.triplet(big, 0 * big, big, p=3.0), 3e38 * 2 ** (1 / 3), rtol=1e-5)
    small = np.float32([[1e-40, 1e-40]])
    assert np.isclose(lf.triplet(small, 0 * small, small, p=3.0, margin=0.0), 1e-40 * 2 ** (1 / 3), rtol=1e-4)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: lf.triplet([[1.0]], [[1.0, 2.0]], [[1.0]]), r"anchor has shape \(1, 1\) and positive \(1, 2\)"),
        (lambda: lf.triplet(1.0, 2.0, 3.0), "anchor is a number, expected an axis of vectors"),
        (lambda: lf.triplet(np.zeros((3, 0)), np.zeros((3, 0)), np.zeros((3, 0))), "vectors of at least one number"),
        (lambda: lf.triplet([[1.0]], [[1.0]], [[1.0]], p=0.5), r"p is 0.5, expected a number in \[1, 1024\]"),
        (lambda: lf.triplet([[1.0]], [[1.0]], [[1.0]], p=np.inf), "p is inf"),
        (lambda: lf.triplet([[1.0]], [[1.0]], [[1.0]], margin=-1.0), "margin is -1.0"),
        (lambda: lf.triplet([[1.0]], [[1.0]], [[1.0]], distance="cosin"), "did you mean 'cosine'"),
        (lambda: lf.triplet([[1.0]], [[1.0]], [[1.0]], sample_weight=[-1.0]), r"sample_weight\[0\] is -1.0"),
        (lambda: lf.triplet([[1.0]], [[1.0]], [[1.0]], reduction="avg"), "reduction is 'avg'"),
        (lambda: lf.triplet.grad([[1.0]], [[1.0]], [[1.0]], out=(None, None)), r"out is tuple, expected a tuple of 3"),
        (lambda: lf.contrastive([0, 2], [[1.0]] * 2, [[1.0]] * 2), r"same\[1\] is 2, expected -1, 0 or 1"),
        (lambda: lf.contrastive([0, np.nan], [[1.0]] * 2, [[1.0]] * 2), r"same\[1\] is nan"),
        (lambda: lf.contrastive([0], [[1.0]] * 2, [[1.0]] * 2), r"same has shape \(1,\), expected \(2,\)"),
        (lambda: lf.contrastive([0], [[1.0]], [[1.0]], margin=0.0), "margin is 0.0"),
        (lambda: lf.cosine_similarity([[1.0]], [[1.0]], axis=2), "axis is 2, expected an axis"),
        (lambda: lf.cosine_similarity([[1.0]], [[1.0]], wrt="y_true"), "wrt is 'y_true'"),
        (lambda: lf.cosine_embedding([1], [[1.0]], [[1.0]], margin=1.5), "margin is 1.5"),
        (lambda: lf.margin_ranking([3], [1.0], [2.0]), r"y_true\[0\] is 3"),
        (lambda: lf.hinge_embedding([3], [1.0]), r"y_true\[0\] is 3"),
    ],
)
def test_bad_values(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_bad_arguments():
    x = np.ones((2, 3))
    with pytest.raises(TypeError, match=r"triplet\(\) misses negative"):
        lf.triplet(x, x)
    with pytest.raises(TypeError, match="unexpected keyword 'marginn'; did you mean 'margin'"):
        lf.triplet(x, x, x, marginn=1.0)
    with pytest.raises(TypeError, match="positive has dtype complex128"):
        lf.triplet(x, x + 1j, x)
    with pytest.raises(TypeError, match="grad_dtype is int64"):
        lf.triplet.grad(x, x, x, grad_dtype=int)
    with pytest.raises(NotImplementedError, match="contrastive has no Hessian"):
        lf.contrastive.hess([0, 1], x, x)
    with pytest.raises(ValueError, match="overlaps anchor"):
        lf.triplet.grad(x, x + 1, x + 2, out=(x, None, None))
    g = np.zeros_like(x)
    with pytest.raises(ValueError, match=r"out \(negative\) overlaps out \(anchor\)"):
        lf.triplet.grad(x, x + 1, x + 2, out=(g, None, g))
    with pytest.raises(ValueError, match="out for the value must be None"):
        lf.triplet.value_and_grad(x, x, x, out=(g, None, None, None))


def test_bad_labels_leave_outputs_alone():
    x, outs = np.ones((2, 3)), (None, np.full((2, 3), 7.0), np.full((2, 3), 7.0))
    with pytest.raises(ValueError, match="same"):
        lf.contrastive.value_and_grad([0, 5], x, x, out=outs)
    assert (outs[1] == 7).all() and (outs[2] == 7).all()


def test_which_gradients_of_a_cosine():
    a, b = np.float32([[1.0, 2.0]]), np.float64([[0.5, -1.0]])
    both = lf.cosine_similarity.grad(a, b, wrt="both")
    assert both[0].dtype == np.float32 and both[1].dtype == np.float64
    assert_same_bits(lf.cosine_similarity.grad(a, b), both[1])
    assert lf.cosine_similarity.grad([[1, 2]], a).dtype == np.float32
    labels = np.array([[1, 2], [3, 4]], np.int8)
    assert lf.cosine_similarity(labels, labels.astype(np.float32)) == pytest.approx(-1.0)
