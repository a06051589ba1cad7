"""The cross-entropy of a linear layer: against logits and their loss, torch, and numerical gradients."""

import os
import re

import numpy as np
import pytest
from operands import assert_same_bits, dtype_of

import lossfast as lf
from lossfast import _blas
from lossfast import _linear_crossentropy as linear

SHAPE, FEATURES, CLASSES = (6, 5), 7, 11
RNG = np.random.default_rng(3)
OPTIONS = [
    {},
    {"bias": True},
    {"bias": True, "reduction": "sum", "label_smoothing": 0.1, "z_loss": 0.01, "temperature": 2.0},
    {"ignore_index": 3, "class_weight": np.linspace(0.2, 2, CLASSES), "sample_weight": RNG.uniform(0, 2, SHAPE)},
    {"bias": True, "ignore_index": 3, "temperature": RNG.uniform(0.5, 2, SHAPE), "sample_weight": np.arange(6.0)},
    {"reduction": "sample", "ignore_index": 3},
    {"reduction": "batchmean"},
    {"reduction": "none", "bias": True},
]
grad, value_and_grad = lf.linear_crossentropy.grad, lf.linear_crossentropy.value_and_grad


@pytest.fixture(params=["one block", "blocks", "blocks in threads", "blocks by BLAS's threads"], autouse=True)
def _blocks(request, monkeypatch):
    if request.param == "one block":
        return
    monkeypatch.setattr(linear, "LOGITS", 4 * 8 * CLASSES)
    monkeypatch.setattr(linear, "PIECE", 3 * 8 * FEATURES)
    monkeypatch.setattr(linear, "SHARE", 4 * 8 * FEATURES)
    if request.param == "blocks in threads":
        monkeypatch.setattr(_blas, "FEW", 0)
        monkeypatch.setattr(os, "cpu_count", lambda: 3)
    elif request.param != "blocks":
        monkeypatch.setattr(_blas, "_controller", lambda: None)


def operands(dtype=np.float64, shape=SHAPE):
    labels = RNG.integers(0, CLASSES, shape)
    arrays = [RNG.normal(size=s).astype(dtype) for s in ((*shape, FEATURES), (CLASSES, FEATURES), (CLASSES,))]
    return labels, *arrays


def split(options, bias):
    options = dict(options)
    return (bias if options.pop("bias", False) else None), options


def explicit(labels, hidden, weight, bias, **options):
    """By the logits, in float64."""
    hidden, weight = hidden.astype(np.float64), weight.astype(np.float64)
    logits = hidden @ weight.T + (0 if bias is None else bias.astype(np.float64))
    value, g = lf.scce.value_and_grad(labels, logits, from_logits=True, **options)
    flat = g.reshape(-1, CLASSES)
    grads = (g @ weight, flat.T @ hidden.reshape(-1, FEATURES), flat.sum(axis=0))
    return value, grads[: 2 if bias is None else 3]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32", "float64"])
def test_it_is_the_loss_of_the_logits(kind, options):
    dtype = dtype_of(kind)
    labels, hidden, weight, bias = operands(dtype)
    bias, options = split(options, bias)
    want, want_grads = explicit(labels, hidden, weight, bias, **options)
    value, grads = value_and_grad(labels, hidden, weight, bias, **options)
    single = {"float64": 1e-13, "float32": 1e-5}.get(dtype.name, 1e-5)
    rounded = {"float64": 1e-12, "float32": 1e-5, "float16": 2e-3}.get(dtype.name, 1.6e-2)
    np.testing.assert_allclose(value, want, rtol=single, atol=single)
    assert len(grads) == len(want_grads)
    for g, w, x in zip(grads, want_grads, (hidden, weight, bias), strict=False):
        assert g.dtype == dtype and g.shape == x.shape
        np.testing.assert_allclose(g.astype(np.float64), w, rtol=rounded, atol=rounded * abs(w).max() / 10)
    assert_same_bits(lf.linear_crossentropy(labels, hidden, weight, bias, **options), value)
    assert_same_bits(grad(labels, hidden, weight, bias, **options), grads)


@pytest.mark.parametrize("options", [o for o in OPTIONS if o.get("reduction") not in ("none", "sample")])
def test_gradients_are_those_of_differences(options):
    labels, *arrays = operands()
    given_bias, options = split(options, arrays[2])
    arrays = [np.array(x) for x in (arrays[0], arrays[1], given_bias) if x is not None]
    for x, g in zip(arrays, grad(labels, *arrays, **options), strict=True):
        direction, step = RNG.normal(size=x.shape), 1e-5
        x += step * direction
        above = lf.linear_crossentropy(labels, *arrays, **options)
        x -= 2 * step * direction
        below = lf.linear_crossentropy(labels, *arrays, **options)
        x += step * direction
        np.testing.assert_allclose((above - below) / (2 * step), (g * direction).sum(), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.15])
def test_it_is_that_of_torch(reduction, smoothing):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn.functional, "linear_cross_entropy", None)
    if theirs is None:
        pytest.skip("this torch has no linear_cross_entropy")
    labels, *arrays = operands(shape=(30,))
    labels[::4] = -100
    class_weight = np.linspace(0.2, 2, CLASSES)
    hidden, weight, bias = (torch.from_numpy(x).requires_grad_() for x in arrays)
    common = {"label_smoothing": smoothing, "reduction": reduction}
    options = {"linear_bias": bias, "weight": torch.from_numpy(class_weight), "ignore_index": -100}
    want = theirs(hidden, weight, torch.from_numpy(labels), **options, **common)
    want.sum().backward()
    value, grads = value_and_grad(labels, *arrays, class_weight=class_weight, ignore_index=-100, **common)
    np.testing.assert_allclose(value, want.detach().numpy(), rtol=1e-12)
    for g, x in zip(grads, (hidden, weight, bias), strict=True):
        np.testing.assert_allclose(g, x.grad.numpy(), rtol=1e-10, atol=1e-14)


def test_threads_change_no_bit(dtype):
    args = operands(dtype, (50, 8))
    want = value_and_grad(*args, n_threads=1)
    for n in (2, 3, 7):
        assert_same_bits(value_and_grad(*args, n_threads=n), want)


def test_ignored_rows_may_hold_anything():
    labels, hidden, weight, bias = operands()
    labels[0, :3] = labels[4] = -1
    keep = labels != -1
    want, want_grads = value_and_grad(labels[keep], hidden[keep], weight, bias)
    hidden[~keep] = np.nan
    value, grads = value_and_grad(labels, hidden, weight, bias, ignore_index=-1)
    np.testing.assert_allclose(value, want, rtol=1e-14)
    np.testing.assert_allclose(grads[0][keep], want_grads[0], rtol=1e-12)
    assert (grads[0][~keep] == 0).all()
    for g, w in zip(grads[1:], want_grads[1:], strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("case", ["no rows", "all ignored", "weights of 0", "no features"])
@pytest.mark.parametrize("empty", ["zero", "nan", "raise"])
def test_of_nothing(case, empty):
    labels, hidden, weight, bias = operands()
    options = {"empty": empty}
    if case == "no rows":
        labels, hidden = labels[:0], hidden[:0]
    elif case == "all ignored":
        labels[...], options["ignore_index"] = -1, -1
    elif case == "weights of 0":
        options["sample_weight"] = 0.0
    else:
        value, grads = value_and_grad(labels, hidden[..., :0], weight[:, :0], 0 * bias)
        assert abs(value - np.log(CLASSES)) < 1e-14 and grads[0].size == grads[1].size == 0
        return
    if empty == "raise":
        with pytest.raises(ValueError, match="nothing"):
            value_and_grad(labels, hidden, weight, bias, **options)
        return
    value, grads = value_and_grad(labels, hidden, weight, bias, **options)
    for x in (value, *grads):
        np.testing.assert_array_equal(x, np.full(np.shape(x), 0.0 if empty == "zero" else np.nan))


def test_results_go_where_they_are_told():
    labels, *arrays = operands()
    value, want = value_and_grad(labels, *arrays)
    for make in (np.empty_like, lambda x: np.empty(x.shape[::-1]).T, lambda x: np.empty(x.shape, np.float32)):
        outs = tuple(make(x) for x in arrays)
        got = grad(labels, *arrays, out=outs)
        assert all(g is o for g, o in zip(got, outs, strict=True))
        for g, w in zip(got, want, strict=True):
            assert_same_bits(g, w.astype(g.dtype))
    out = np.empty_like(arrays[1])
    again, grads = value_and_grad(labels, *arrays, out=(None, (None, out, None)))
    assert again == value and grads[1] is out
    rows = np.empty(SHAPE)
    assert lf.linear_crossentropy(labels, *arrays, reduction="none", out=rows) is rows


def test_views_are_read_as_they_are():
    labels, hidden, weight, bias = operands()
    want = value_and_grad(labels, hidden, weight, bias)
    got = value_and_grad(
        labels[..., None], np.asfortranarray(hidden), np.repeat(weight, 2, 1)[:, ::2], bias[::-1][::-1]
    )
    np.testing.assert_allclose(got[0], want[0], rtol=1e-14)
    for g, w in zip(got[1], want[1], strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-10, atol=1e-14)


BAD = {
    "labels of another shape": (ValueError, r"labels has shape \(6,\)", lambda a: a.update(labels=np.zeros(6, int))),
    "a label too many": (ValueError, r"labels\[5, 4\] is 11", lambda a: a["labels"].__setitem__((5, 4), CLASSES)),
    "a negative label": (ValueError, r"labels\[0, 1\] is -1", lambda a: a["labels"].__setitem__((0, 1), -1)),
    "weight transposed": (ValueError, "weight has shape", lambda a: a.update(weight=a["weight"].T)),
    "weight of no class": (ValueError, "at least one class", lambda a: a.update(weight=a["weight"][:0], bias=None)),
    "hidden a number": (ValueError, "hidden is a number", lambda a: a.update(hidden=1.0)),
    "a short bias": (ValueError, r"bias has shape \(10,\)", lambda a: a.update(bias=a["bias"][1:])),
    "complex hidden": (TypeError, "hidden has dtype complex", lambda a: a.update(hidden=a["hidden"] * 1j)),
    "words for weight": (TypeError, "weight has dtype", lambda a: a.update(weight=a["weight"].astype(str))),
    "words for bias": (TypeError, "bias has dtype", lambda a: a.update(bias=a["bias"].astype(str))),
    "a bad weight": (ValueError, r"sample_weight\[2\] is -1", lambda a: a.update(sample_weight=[1, 1, -1, 1, 1, 0])),
    "smoothing": (ValueError, "label_smoothing is 2.0", lambda a: a.update(label_smoothing=2.0)),
    "temperature": (ValueError, "temperature is 0.0", lambda a: a.update(temperature=0.0)),
    "class weights": (ValueError, "class_weight has shape", lambda a: a.update(class_weight=np.ones(3))),
    "threads": (ValueError, "n_threads is 0", lambda a: a.update(n_threads=0)),
    "reduction": (ValueError, "did you mean 'mean'", lambda a: a.update(reduction="meen")),
    "a keyword": (TypeError, "unexpected keyword", lambda a: a.update(axis=1)),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_and_nothing_written(case):
    error, words, spoil = BAD[case]
    names = ("labels", "hidden", "weight", "bias")
    args = dict(zip(names, operands(), strict=True))
    outs = tuple(np.full(args[n].shape, 7.0) for n in names[1:])
    spoil(args)
    if args["bias"] is None:
        outs = outs[:2]
    with pytest.raises(error, match=words):
        grad(**args, out=outs)
    assert all((x == 7).all() for x in outs)


def test_bad_buffers_are_refused():
    args = operands()
    good = [np.full(x.shape, 7.0) for x in args[1:]]
    frozen = good[1].copy()
    frozen.flags.writeable = False
    cases = [
        ((good[0], good[1][1:], good[2]), ValueError, r"out \(weight\) has shape \(10, 7\), expected \(11, 7\)"),
        ((good[0], good[1].astype(int), good[2]), TypeError, r"out \(weight\) has dtype int64"),
        ((args[1], good[1], good[2]), ValueError, r"out \(hidden\) overlaps hidden"),
        ((good[0], good[1], good[1].reshape(-1)[:CLASSES]), ValueError, "overlaps out"),
        ((good[0], frozen, good[2]), ValueError, "read-only"),
        (good[:2], ValueError, "expected a tuple of 3: (hidden, weight, bias)"),
        (good[0], ValueError, "expected a tuple of 3"),
    ]
    for out, error, words in cases:
        with pytest.raises(error, match=words if "\\" in words else re.escape(words)):
            grad(*args, out=out)
    with pytest.raises(ValueError, match="must be None with reduction='mean'"):
        value_and_grad(*args, out=(np.empty(()), None))
    assert all((x == 7).all() for x in good)
