"""Confusion counts of label maps and masks: against their definition, scikit-learn, and themselves in pieces."""

import copy
import json
import pickle
import re

import numpy as np
import pytest
from operands import TARGET_DTYPES, dtype_of

import lossfast as lf


def by_definition(t, p, classes, ignore=None):
    counts = np.zeros((classes, classes), np.int64)
    for a, b in zip(np.ravel(t).tolist(), np.ravel(p).tolist(), strict=True):
        if ignore is None or a != ignore:
            counts[int(a), int(b)] += 1
    return counts


@pytest.mark.parametrize("classes", [1, 2, 21, 45, 46, 300])
@pytest.mark.parametrize("n", [0, 1, 3, 1023, 5000])
def test_counts_are_those_of_the_definition(classes, n):
    rng = np.random.default_rng([classes, n])
    t, p = rng.integers(0, classes, (2, n))
    want = by_definition(t, p, classes)
    for threads in (1, 3):
        found = lf.confusion_matrix(t, p, classes=classes, n_threads=threads)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, want)
    marked = np.where(rng.uniform(size=n) < 0.3, -5, t)
    wild = np.where(marked == -5, 10**12, p)
    for ignore, labels in ((-5, marked), (2**40, np.where(marked == -5, 2**40, t))):
        found = lf.confusion_matrix(labels, wild, classes=classes, ignore_index=ignore)
        np.testing.assert_array_equal(found, by_definition(marked, p, classes, -5))


@pytest.mark.parametrize("name", TARGET_DTYPES)
def test_any_dtype_and_layout(name):
    classes = 2 if name == "bool" else 7
    t, p = np.random.default_rng(0).integers(0, classes, (2, 6, 50, 60))
    want = by_definition(t, p, classes)
    t, p = t.astype(dtype_of(name)), p.astype(np.uint8)
    np.testing.assert_array_equal(lf.confusion_matrix(t, p, classes=classes), want)
    np.testing.assert_array_equal(lf.confusion_matrix(t[::-1, :, ::-1], p[::-1, :, ::-1], classes=classes), want)
    np.testing.assert_array_equal(lf.confusion_matrix(np.asfortranarray(t), p, classes=classes), want)
    np.testing.assert_array_equal(lf.confusion_matrix(p, t, classes=classes), want.T)


def test_many_equal_neighbours_on_many_threads():
    t, p = np.zeros((2, 3, 1_000_000), np.uint8)
    t[1], p[2] = 1, 1
    want = [[1_000_000, 1_000_000], [1_000_000, 0]]
    for threads in (1, 2, 7):
        assert lf.confusion_matrix(t, p, classes=2, n_threads=threads).tolist() == want


def test_confusion_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    t, p = np.random.default_rng(1).integers(0, 5, (2, 2000))
    np.testing.assert_array_equal(lf.confusion_matrix(t, p, classes=5), metrics.confusion_matrix(t, p, labels=range(5)))
    scores = lf.ConfusionMatrix(5)
    scores.update(t, p)
    found = scores.result()
    for name, theirs in (("dice", "f1_score"), ("iou", "jaccard_score"), ("precision", "precision_score"),
                         ("recall", "recall_score")):  # fmt: skip
        want = getattr(metrics, theirs)(t, p, average=None, labels=range(5))
        np.testing.assert_allclose(getattr(found, name), want, rtol=1e-15)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(t, p), rel=1e-15)
    masks = np.random.default_rng(2).integers(0, 2, (2, 300, 4))
    by_class = lf.ConfusionMatrix(4, axis=1)
    by_class.update(*masks)
    np.testing.assert_array_equal(by_class.matrix, metrics.multilabel_confusion_matrix(*masks))


def test_scores_of_classes():
    scores = lf.ConfusionMatrix(4)
    scores.update([[0, 0, 1, 1]], [[0, 1, 1, 3]])
    found = scores.result()
    assert found.count == 4
    assert found.true_positives.tolist() == [1, 1, 0, 0]
    assert found.false_positives.tolist() == [0, 1, 0, 1]
    assert found.false_negatives.tolist() == [1, 1, 0, 0]
    np.testing.assert_array_equal(found.dice, [2 / 3, 1 / 2, np.nan, 0.0])
    np.testing.assert_array_equal(found.iou, [1 / 2, 1 / 3, np.nan, 0.0])
    assert found.mean_iou == pytest.approx(5 / 18)
    assert found.accuracy == 0.5
    nothing = lf.ConfusionMatrix(2).result()
    assert np.isnan([*nothing.dice, nothing.mean_dice, nothing.mean_iou, nothing.accuracy]).all()


def test_masks_of_classes_that_overlap():
    rng = np.random.default_rng(3)
    t, p = rng.uniform(size=(2, 2, 3, 40, 30)) < 0.4
    scores = lf.ConfusionMatrix(3, axis=1)
    scores.update(t, p.astype(np.float32))
    for k in range(3):
        np.testing.assert_array_equal(scores.matrix[k], by_definition(t[:, k], p[:, k], 2))
    hits = (t & p).sum(axis=(0, 2, 3))
    sizes = t.sum(axis=(0, 2, 3)) + p.sum(axis=(0, 2, 3))
    np.testing.assert_allclose(scores.result().dice, 2 * hits / sizes, rtol=1e-15)
    # one minus the Dice loss of hard masks
    assert scores.result().mean_dice == pytest.approx(
        1 - lf.dice(t, p.astype(float), axis=1, reduce_over="batch", smooth=0.0), rel=1e-14
    )


def test_pieces_merge_in_any_order():
    t, p = np.random.default_rng(4).integers(0, 6, (2, 9, 500))
    whole = lf.ConfusionMatrix(6, ignore_index=5)
    whole.update(t, p)
    parts = [lf.ConfusionMatrix(6, ignore_index=5) for _ in range(3)]
    for i in range(9):
        parts[i % 3].update(t[i], p[i])
    parts[2].merge(pickle.loads(pickle.dumps(parts[0])))
    parts[2].merge(lf.ConfusionMatrix.from_state(json.loads(json.dumps(parts[1].state()))))
    assert parts[2] == whole == copy.deepcopy(whole) != parts[0]
    np.testing.assert_array_equal(parts[2].matrix, by_definition(t, p, 6, 5))
    assert repr(whole) == f"ConfusionMatrix(6, ignore_index=5, count={int((t != 5).sum())})"


@pytest.mark.parametrize("bad", [-1, 7, 200, 2**24, -(2**40), 2**63 - 1])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_label_that_is_no_class_is_named_and_nothing_is_counted(bad, threads):
    good = np.random.default_rng(5).integers(0, 7, (3, 70_000))
    scores = lf.ConfusionMatrix(7)
    scores.update(good, good)
    before = scores.state()
    labels = good.copy()
    labels[1, 60_001] = labels[2, 5] = bad
    for name, (t, p) in (("y_true", (labels, good)), ("y_pred", (good, labels))):
        with pytest.raises(ValueError, match=re.escape(f"{name}[1, 60001] is {bad}, expected a class in [0, 7)")):
            scores.update(t, p, n_threads=threads)
    with pytest.raises(ValueError, match="or ignore_index"):
        lf.confusion_matrix(labels, good, classes=7, ignore_index=255)
    assert scores.state() == before


@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf, -np.inf, 1e300])
def test_labels_that_are_no_integers(bad):
    labels = np.zeros((2, 50))
    labels[1, 3] = bad
    for ignore in (None, 9):
        with pytest.raises(ValueError, match=r"y_true\[1, 3\] is"):
            lf.confusion_matrix(labels, np.zeros((2, 50)), classes=2, ignore_index=ignore)


def test_elements_of_masks_that_are_neither_0_nor_1():
    masks = np.zeros((2, 3, 5))
    soft = masks.copy()
    soft[1, 2, 4] = 0.25
    for axis, at in ((1, "[1, 2, 4]"), (-1, "[1, 2, 4]"), (0, "[1, 2, 4]")):
        scores = lf.ConfusionMatrix(masks.shape[axis], axis=axis)
        with pytest.raises(ValueError, match=re.escape(f"y_pred{at} is 0.25, expected 0 or 1 (a threshold")):
            scores.update(masks, soft)
        assert not scores.matrix.any()


@pytest.mark.parametrize(
    "args, kwargs, error, words",
    [
        ((0,), {}, ValueError, "classes is 0, expected from 1 to 4096"),
        ((4097,), {}, ValueError, "classes is 4097"),
        ((2.0,), {}, TypeError, "classes is 2.0"),
        ((True,), {}, TypeError, "classes is True"),
        ((2,), {"axis": "x"}, TypeError, "axis is 'x'"),
        ((2,), {"ignore_index": 0.5}, TypeError, "ignore_index is 0.5"),
        ((2,), {"ignore_index": 2**70}, ValueError, "64 bits"),
    ],
)
def test_parameters(args, kwargs, error, words):
    with pytest.raises(error, match=words):
        lf.ConfusionMatrix(*args, **kwargs)


def test_what_does_not_fit():
    scores = lf.ConfusionMatrix(2)
    with pytest.raises(ValueError, match=r"y_true has shape \(3,\) and y_pred \(3, 2\), expected equal .*argmax"):
        scores.update(np.zeros(3), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="expected 2 classes along axis 1"):
        lf.ConfusionMatrix(2, axis=1).update(np.zeros((3, 4)), np.zeros((3, 4)))
    with pytest.raises(ValueError, match="axis is 2, expected an axis of y_true"):
        lf.ConfusionMatrix(2, axis=2).update(np.zeros((3, 4)), np.zeros((3, 4)))
    with pytest.raises(TypeError, match="y_pred has dtype"):
        scores.update(np.zeros(3), np.array(["a", "b", "c"]))
    with pytest.raises(TypeError, match="expected a ConfusionMatrix"):
        scores.merge({})
    for other in (lf.ConfusionMatrix(3), lf.ConfusionMatrix(2, axis=0)):
        with pytest.raises(ValueError, match="expected the same"):
            scores.merge(other)
    with pytest.raises(ValueError, match="version"):
        lf.ConfusionMatrix.from_state({})
    with pytest.raises(ValueError, match="matrix of shape"):
        lf.ConfusionMatrix.from_state({**scores.state(), "matrix": [[0]]})
    with pytest.raises(ValueError, match="n_threads is 0"):
        scores.update([0], [0], n_threads=0)
