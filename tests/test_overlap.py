"""Overlaps of all pairs of boxes, and non-maximum suppression: against loops over the definition."""

import re

import numpy as np
import pytest
from boxes import FORMATS, box_operands, in_format, value_of
from operands import assert_same_bits, dtype_of

import lossfast as lf
from lossfast._loss import REGISTRY
from lossfast.overlap import KINDS


def some_boxes(n, seed=0, dtype=np.float64, spread=10.0):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, spread, (n, 2))
    return np.concatenate([low, low + rng.uniform(0.5, 6, (n, 2))], axis=1).astype(dtype)


# --- All pairs ----------------------------------------------------------------------------------------------------


def test_every_loss_of_boxes_is_a_kind(box_plain):
    assert box_plain.name in KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_are_the_formula(kind, isa):
    a, b = some_boxes(7), some_boxes(5, 1)
    for name in FORMATS:
        x, y = in_format(a, name), in_format(b, name)
        got = lf.pairwise_iou(x, y, kind=kind, format=name, eps=1e-9)
        want = [[1 - float(value_of(kind, t, p, name, 1e-9)) for p in y] for t in x]
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n, m", [(1, 1), (3, 257), (17, 5), (40, 600), (300, 1)])
def test_pairs_are_one_less_the_loss_of_each(kind, n, m, dtype):
    a, b = some_boxes(n, 2, dtype), some_boxes(m, 3, dtype)
    got = lf.pairwise_iou(a, b, kind=kind, eps=1e-7)
    assert got.dtype == dtype and got.shape == (n, m)
    left, right = (np.ascontiguousarray(np.broadcast_to(x, (n, m, 4))) for x in (a[:, None], b))
    want = 1 - REGISTRY[kind](left, right, eps=1e-7, reduction="none").astype(np.float64)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=3e-7 if dtype == np.float32 else 1e-15)


def test_small_overlaps_keep_their_digits():
    a = np.array([[0, 0, 100, 100]], np.float32)
    b = np.array([[99.99, 99.99, 200, 200]], np.float32)
    got = float(lf.pairwise_iou(a, b)[0, 0])
    want = float(lf.pairwise_iou(a.astype(float), b.astype(float))[0, 0])
    assert 0 < want < 1e-7 and got == pytest.approx(want, rel=1e-6)


def test_no_overlap_is_no_negative_zero():
    a = np.array([[0, 0, 1, 1]], np.float32)
    touching, apart = lf.pairwise_iou(a, a + np.float32([1, 0, 1, 0])), lf.pairwise_iou(a, a + 5)
    for zero in (touching, apart, lf.pairwise_iou(a, a + np.float32([1, 0, 1, 0]), kind="giou")):
        assert zero == 0 and not np.signbit(zero)


def test_pairs_without_an_area():
    point, flat, box, inverted = [1, 1, 1, 1], [0, 1, 4, 1], [0, 0, 2, 2], [2, 2, 0, 0]
    got = lf.pairwise_iou([point, flat, box, inverted], [point, flat, box, inverted])
    np.testing.assert_array_equal(got, np.diag([1, 1, 1, 1]))
    for kind in KINDS:
        assert np.isfinite(lf.pairwise_iou([point, flat, box, inverted], [inverted, box, point], kind=kind)).all()


@pytest.mark.compiled
def test_bits_do_not_depend_on_threads_layout_or_output(dtype):
    a, b = some_boxes(300, 4, dtype), some_boxes(700, 5, dtype)
    for kind in ("iou", "ciou"):
        want = lf.pairwise_iou(a, b, kind=kind, n_threads=1)
        for n in (2, 3, 7):
            assert_same_bits(lf.pairwise_iou(a, b, kind=kind, n_threads=n), want)
        wide = np.zeros((300, 1400), dtype)
        for out in (np.empty_like(want), wide[:, ::2], np.empty_like(want, order="F")):
            assert lf.pairwise_iou(np.asfortranarray(a), tuple(b.T), kind=kind, out=out) is out
            assert_same_bits(np.ascontiguousarray(out), want)
        half = lf.pairwise_iou(a, b, kind=kind, out=np.empty(want.shape, np.float16))
        assert_same_bits(half, want.astype(np.float16))
        assert_same_bits(lf.pairwise_iou(a[5:9], b[3:], kind=kind), np.ascontiguousarray(want[5:9, 3:]))


@pytest.mark.parametrize("name", ["float16", "bfloat16", "int32", "uint8", "bool"])
def test_pairs_of_any_dtype(name):
    a, b = (np.rint(some_boxes(n, n)).astype(dtype_of(name)) for n in (20, 30))
    got = lf.pairwise_iou(a, b)
    assert got.dtype == (np.float32 if "float" in name else np.float64)
    np.testing.assert_allclose(got, lf.pairwise_iou(a.astype(float), b.astype(float)), rtol=1e-6)
    assert lf.pairwise_iou(a, b.astype(np.float32)).dtype == got.dtype


def test_no_pairs():
    none = np.zeros((0, 4), np.float32)
    assert lf.pairwise_iou(none, some_boxes(3)).shape == (0, 3)
    assert lf.pairwise_iou(some_boxes(3), none).shape == (3, 0)
    assert lf.pairwise_iou(none, none).dtype == np.float32


def test_pairs_of_what_is_no_box():
    a, b = some_boxes(4), some_boxes(3)
    readonly = np.zeros((4, 3))
    readonly.flags.writeable = False
    for args, kwargs, error, words in (
        ((a[:, :3], b), {}, ValueError, "boxes1 has shape (4, 3), expected boxes along a last axis of length 4"),
        ((a, b[None]), {}, ValueError, "boxes2 has shape (1, 3, 4), expected (boxes, 4)"),
        ((a.astype("U3"), b), {}, TypeError, "boxes1 has dtype"),
        ((a, b), {"kind": "gious"}, ValueError, "did you mean 'giou'"),
        ((a, b), {"format": "yxyx"}, ValueError, "format is 'yxyx'"),
        ((a, b), {"eps": -1.0}, ValueError, "eps is -1.0"),
        ((a, b), {"n_threads": 0}, ValueError, "n_threads is 0"),
        ((a, b), {"out": np.zeros((3, 4))}, ValueError, "out has shape (3, 4), expected (4, 3)"),
        ((a, b), {"out": np.zeros((4, 3), int)}, TypeError, "out has dtype int64"),
        ((a, b), {"out": readonly}, ValueError, "out is read-only"),
        ((a, a), {"out": a}, ValueError, "out overlaps boxes1"),
    ):
        with pytest.raises(error, match=re.escape(words)):
            lf.pairwise_iou(*args, **kwargs)


# --- Non-maximum suppression --------------------------------------------------------------------------------------


def brute_force(boxes, scores, threshold, classes=None):
    """The definition, box by box, in the arithmetic of the boxes."""
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        for j in kept:
            x, y = boxes[i], boxes[j]
            w = max(min(x[2], y[2]) - max(x[0], y[0]), boxes.dtype.type(0))
            h = max(min(x[3], y[3]) - max(x[1], y[1]), boxes.dtype.type(0))
            area = (x[2] - x[0]) * (x[3] - x[1]) + (y[2] - y[0]) * (y[3] - y[1]) - w * h
            alike = classes is None or classes[i] == classes[j]
            if alike and area > 0 and float(w * h / area) > threshold:
                break
        else:
            kept.append(i)
    return kept


@pytest.mark.parametrize("n, spread", [(1, 5), (70, 8), (160, 8), (160, 60)])
def test_what_is_kept_is_what_the_definition_keeps(n, spread, dtype, isa):
    rng = np.random.default_rng(n)
    boxes = some_boxes(n, n, dtype, spread)
    scores = rng.integers(0, 50, n).astype(np.float32)  # many of them equal
    classes = rng.integers(-2, 3, n)
    for threshold in (0.0, 0.1, 0.5, 0.7, 1.0):
        want = brute_force(boxes, scores, threshold)
        got = lf.nms(boxes, scores, iou_threshold=threshold)
        assert got.dtype == np.int64 and got.tolist() == want
        want = brute_force(boxes, scores, threshold, classes)
        assert lf.nms(boxes, scores, iou_threshold=threshold, class_ids=classes).tolist() == want


def test_many_boxes_are_kept_across_blocks():
    """No two overlap: all are kept, also those whose place begins a new block; their twins are not."""
    at = np.arange(1500.0)
    boxes = np.stack([2 * at, 0 * at, 2 * at + 1, 0 * at + 1], axis=1)
    scores = np.random.default_rng(0).permutation(1500)
    assert lf.nms(boxes, scores).tolist() == np.argsort(-scores).tolist()
    twins = lf.nms(np.concatenate([boxes, boxes]), np.concatenate([scores, scores]), iou_threshold=0.99)
    assert twins.tolist() == np.argsort(-scores).tolist()


def test_an_iou_at_the_threshold_is_not_above_it(dtype):
    boxes = np.array([[0, 0, 10, 10], [0, 0, 7, 10]], dtype)  # 0.7, whose nearest float32 is below 0.7
    assert lf.nms(boxes, [2, 1], iou_threshold=0.7).tolist() == brute_force(boxes, [2, 1], 0.7)
    half = np.array([[0, 0, 2, 2], [0, 0, 1, 2]], dtype)
    assert lf.nms(half, [2, 1], iou_threshold=0.5).tolist() == [0, 1]
    assert lf.nms(half, [2, 1], iou_threshold=np.nextafter(0.5, 0)).tolist() == [0]
    tenth = np.array([[0, 0, 10, 1], [0, 0, 1, 1]], dtype)  # 0.1, whose nearest float32 is above 0.1
    assert lf.nms(tenth, [2, 1], iou_threshold=0.1).tolist() == ([0] if dtype == np.float32 else [0, 1])


def test_options_of_suppression(dtype):
    boxes = some_boxes(500, 7, dtype, 40)
    rng = np.random.default_rng(8)
    scores, classes = rng.normal(0, 1, 500).astype(np.float32), rng.integers(0, 4, 500)
    for ids in (None, classes):
        every = lf.nms(boxes, scores, class_ids=ids)
        for most in (0, 1, 7, 64, 400, 10_000):
            np.testing.assert_array_equal(lf.nms(boxes, scores, class_ids=ids, max_output=most), every[:most])
        above = np.flatnonzero(scores > 0.25)
        want = above[lf.nms(boxes[above], scores[above], class_ids=None if ids is None else ids[above])]
        np.testing.assert_array_equal(lf.nms(boxes, scores, class_ids=ids, score_threshold=0.25), want)
        for name in FORMATS:
            same = in_format(boxes.astype(np.float64), name)
            exact = lf.nms(boxes.astype(np.float64), scores, class_ids=ids)
            np.testing.assert_array_equal(lf.nms(same, scores, class_ids=ids, format=name), exact)
        for n in (1, 2, 5):
            np.testing.assert_array_equal(lf.nms(boxes, scores, class_ids=ids, n_threads=n), every)
        np.testing.assert_array_equal(lf.nms(tuple(boxes.T), scores, class_ids=ids), every)
        np.testing.assert_array_equal(lf.nms(np.asfortranarray(boxes), list(scores), class_ids=ids), every)
    edge = float(scores[3])
    assert 3 not in lf.nms(boxes, scores, score_threshold=edge, iou_threshold=1)
    assert 3 in lf.nms(boxes, scores, score_threshold=np.nextafter(edge, -9), iou_threshold=1)


@pytest.mark.compiled
def test_many_threads_keep_the_same():
    rng = np.random.default_rng(3)
    boxes, scores = some_boxes(20_000, 9, np.float32, 400), rng.uniform(0, 1, 20_000)
    want = lf.nms(boxes, scores, n_threads=1)
    assert 2000 < len(want) < 20_000
    for n in (2, 4):
        np.testing.assert_array_equal(lf.nms(boxes, scores, n_threads=n), want)


def test_scores_of_any_dtype():
    boxes = some_boxes(6, spread=0.1)
    for name in ("uint8", "int64", "float16", "bfloat16", "float32", "bool"):
        scores = np.array([0, 1, 0, 1, 0, 0]).astype(dtype_of(name))
        assert lf.nms(boxes, scores, iou_threshold=1).tolist() == [1, 3, 0, 2, 4, 5]
    lowest = np.array([np.iinfo(np.int64).min, 0, np.iinfo(np.int64).max])
    assert lf.nms(boxes[:3], lowest, iou_threshold=1).tolist() == [2, 1, 0]
    close = np.array([2**53, 2**53 + 1])  # one float64
    assert lf.nms(boxes[:2], close, iou_threshold=1).tolist() == [1, 0]
    assert lf.nms(boxes[:3], [-np.inf, np.inf, 0.0], iou_threshold=1).tolist() == [1, 2, 0]


def test_boxes_without_an_area_are_kept():
    boxes = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 2, 2], [2, 2, 0, 0]], float)
    assert lf.nms(boxes, [4, 3, 2, 1], iou_threshold=0.0).tolist() == [0, 1, 2, 3]


def test_nothing_to_suppress():
    assert lf.nms(np.zeros((0, 4)), []).tolist() == []
    assert lf.nms(some_boxes(3), [1, 2, 3], score_threshold=9).tolist() == []
    assert lf.nms(some_boxes(3), [1, 2, 3], score_threshold=9, class_ids=[1, 2, 1]).tolist() == []


def test_bad_input_to_suppression():
    boxes, scores = some_boxes(4), np.arange(4.0)
    broken = boxes.copy()
    broken[2, 1] = np.inf
    for args, kwargs, error, words in (
        ((boxes, [1, np.nan, 2, np.nan]), {}, ValueError, "scores[1] is nan, expected a number"),
        ((broken, scores), {}, ValueError, "boxes[2] is ["),
        ((boxes[:, :3], scores), {}, ValueError, "boxes has shape (4, 3)"),
        ((boxes[None], scores), {}, ValueError, "boxes has shape (1, 4, 4), expected (boxes, 4)"),
        ((boxes, scores[:3]), {}, ValueError, "scores has shape (3,), expected (4,): one for each box"),
        ((boxes, scores[:, None]), {}, ValueError, "scores has shape (4, 1)"),
        ((boxes, scores.astype("U3")), {}, TypeError, "scores has dtype"),
        ((boxes, scores), {"class_ids": [1, 2]}, ValueError, "class_ids has shape (2,)"),
        ((boxes, scores), {"class_ids": [1.0, 2, 3, 4]}, TypeError, "class_ids has dtype float64, expected integers"),
        ((boxes, scores), {"iou_threshold": 1.5}, ValueError, "iou_threshold is 1.5, expected a number in [0, 1]"),
        ((boxes, scores), {"iou_threshold": np.nan}, ValueError, "iou_threshold is nan"),
        ((boxes, scores), {"iou_threshold": "half"}, TypeError, "iou_threshold is 'half'"),
        ((boxes, scores), {"score_threshold": np.nan}, ValueError, "score_threshold is nan"),
        ((boxes, scores), {"max_output": -1}, ValueError, "max_output is -1"),
        ((boxes, scores), {"max_output": 1.5}, TypeError, "max_output is 1.5"),
        ((boxes, scores), {"max_output": True}, TypeError, "max_output is True"),
        ((boxes, scores), {"format": "yxyx"}, ValueError, "format is 'yxyx'"),
        ((boxes, scores), {"n_threads": 0}, ValueError, "n_threads is 0"),
    ):
        with pytest.raises(error, match=re.escape(words)):
            lf.nms(*args, **kwargs)


def test_all_pairs_agree_with_suppression():
    """What is kept overlaps nothing kept too much, and what is not does."""
    true, _ = box_operands(REGISTRY["iou"], 300)
    kept = lf.nms(true, np.arange(300), iou_threshold=0.3)
    overlap = lf.pairwise_iou(true, true[kept])
    assert ((overlap > 0.3).sum(axis=1)[kept] == 1).all()
    assert (overlap > 0.3).any(axis=1).all()
