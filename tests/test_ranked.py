"""Metrics of rankings: by hand, scikit-learn's, and however batches are split."""

import numpy as np
import pytest
from operands import ranking_operands

import lossfast as lf

METRICS = (lf.ndcg, lf.mean_average_precision, lf.mean_reciprocal_rank)
metrics = pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.__name__)


def tied(seed, shape=(40, 12)):
    """Relevance, of some groups none, and scores of which many are equal."""
    y, s = ranking_operands(shape, seed=seed)
    y[::7] = 0
    return np.maximum(y - 2, 0), s.round()


def test_ndcg_by_hand():
    y, s = [3, 2, 0, 1], [0.9, 0.2, 0.5, 0.1]  # in the order 3, 0, 2, 1
    log = np.log2
    best = 7 + 3 / log(3) + 1 / 2
    assert lf.ndcg(y, s) == pytest.approx((7 + 3 / 2 + 1 / log(5)) / best, rel=1e-15)
    assert lf.ndcg(y, s, k=2) == pytest.approx(7 / (7 + 3 / log(3)), rel=1e-15)
    assert lf.ndcg(y, s, k=1) == 1.0
    linear = (3 + 2 / 2 + 1 / log(5)) / (3 + 2 / log(3) + 1 / 2)
    assert lf.ndcg(y, s, gains="linear") == pytest.approx(linear, rel=1e-15)
    one_of_two = [0, 1], [1.0, 1.0]
    assert lf.ndcg(*one_of_two) == pytest.approx((1 + 1 / log(3)) / 2, rel=1e-15)
    assert lf.ndcg(*one_of_two, ties="order") == pytest.approx(1 / log(3), rel=1e-15)
    assert lf.ndcg(*one_of_two, k=1) == 0.5


@pytest.mark.parametrize("k", [None, 1, 3, 100])
def test_ndcg_is_that_of_scikit_learn(k):
    sklearn = pytest.importorskip("sklearn.metrics")
    y, s = tied(0)
    assert lf.ndcg(y, s, k=k, gains="linear") == pytest.approx(sklearn.ndcg_score(y, s, k=k), rel=1e-13)
    assert lf.ndcg(y, s, k=k) == pytest.approx(sklearn.ndcg_score(2.0**y - 1, s, k=k), rel=1e-13)


def test_mean_average_precision_is_that_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    y, s = tied(1)
    some = y.any(axis=1)
    found = lf.mean_average_precision(y, s, reduction="none")
    for got, relevant, scores in zip(found[some], y[some] > 0, s[some], strict=True):
        assert got == pytest.approx(sklearn.average_precision_score(relevant, scores), rel=1e-13)
    want = sklearn.label_ranking_average_precision_score(y > 0, s)  # 1 where nothing is relevant
    assert lf.mean_average_precision(y, s, empty="one") == pytest.approx(want, rel=1e-13)


def test_average_precision_and_reciprocal_rank_by_hand():
    y, s = [0, 1, 0, 1, 1], [5.0, 4.0, 3.0, 2.0, 1.0]
    assert lf.mean_average_precision(y, s) == pytest.approx((1 / 2 + 2 / 4 + 3 / 5) / 3, rel=1e-15)
    assert lf.mean_average_precision(y, s, k=4) == pytest.approx((1 / 2 + 2 / 4) / 3, rel=1e-15)
    assert lf.mean_average_precision(y, s, k=2) == 1 / 4
    assert lf.mean_reciprocal_rank(y, s) == 1 / 2
    assert lf.mean_reciprocal_rank(y, s, k=1) == 0.0
    assert lf.mean_reciprocal_rank([0, 1, 0], [1.0, 1.0, 1.0]) == 1 / 3


@metrics
def test_groups_given_in_any_way_are_the_same(metric):
    y, s = tied(2)
    want = metric(y, s, reduction="none")
    ids = np.repeat(np.arange(40) * 3, 12)
    shuffle = np.random.default_rng(3).permutation(480)
    for found in (
        metric(y.ravel(), s.ravel(), groups=ids, reduction="none"),
        metric(y.ravel()[shuffle], s.ravel()[shuffle], groups=ids[shuffle], reduction="none"),
        metric(y.ravel(), s.ravel(), group_sizes=[12] * 40, reduction="none"),
        metric(y.reshape(4, 10, 12), s.reshape(4, 10, 12), reduction="none").ravel(),
    ):
        np.testing.assert_allclose(found, want, rtol=1e-14)
    where = np.random.default_rng(4).random(y.shape) < 0.7
    masked = metric(y, np.where(where, s, np.nan), where=where, reduction="none")
    left = metric(y[where], s[where], group_sizes=where.sum(axis=1), reduction="none")
    np.testing.assert_allclose(masked, left, rtol=1e-14)


@metrics
def test_groups_without_relevant_items(metric):
    y, s = [[0, 0], [0, 1]], [[1.0, 2.0], [1.0, 2.0]]
    assert metric(y, s) == 0.5 and metric(y, s, empty="one") == metric(y, s, empty="skip") == 1.0
    assert np.isnan(metric(y, s, empty="skip", reduction="none")[0])
    assert metric(y, s, sample_weight=[3, 1]) == 0.25
    assert metric([], []) == 0.0 and metric(np.zeros((0, 3)), np.zeros((0, 3))) == 0.0
    assert metric([0, 1], [0.0, 1.0], group_sizes=[0, 2, 0], reduction="none").tolist() == [0.0, 1.0, 0.0]


@metrics
def test_a_stream_has_the_same_bits_however_it_is_split(metric):
    y, s = tied(5)
    w = np.random.default_rng(6).random(40)
    found = []
    for cuts in ([], [1], [10, 30], range(1, 40)):
        parts = []
        for part in np.split(np.arange(40), cuts):
            parts.append(lf.RankingMetric(metric.__name__, k=5))
            parts[-1].update(y[part], s[part], sample_weight=w[part])
        whole = parts.pop()
        for other in parts:
            whole.merge(other)
        assert whole.groups == 40
        found.append(whole.result())
    assert set(found) == {metric(y, s, k=5, sample_weight=w)}
    assert lf.RankingMetric(metric.__name__).result() == 0.0


def test_metrics_that_differ_do_not_merge():
    a, b = lf.RankingMetric("ndcg", k=3), lf.RankingMetric("ndcg", k=3, gains="linear")
    assert repr(b) == "RankingMetric('ndcg', k=3, empty='zero', gains='linear', groups=0)"
    with pytest.raises(ValueError, match="other is RankingMetric"):
        a.merge(b)
    with pytest.raises(TypeError, match="other is 3"):
        a.merge(3)
    with pytest.raises(TypeError, match="has no option 'gains'"):
        lf.RankingMetric("mean_reciprocal_rank", gains="linear")
    with pytest.raises(ValueError, match=r"metric is 'ndgc'.*did you mean 'ndcg'"):
        lf.RankingMetric("ndgc")


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda f: f(1, 1.0), ValueError, "y_score is a number"),
        (lambda f: f([0, 1], [1.0]), ValueError, r"y_true has shape \(2,\) and y_score \(1,\)"),
        (lambda f: f([0, 1], [1.0, np.nan]), ValueError, r"y_score\[1\] is nan, expected a number"),
        (lambda f: f([np.nan, 1], [1.0, 2.0]), ValueError, r"y_true\[0\] is nan"),
        (lambda f: f([0, 1], [1.0, 2.0], k=0), ValueError, "k is 0, expected at least 1"),
        (lambda f: f([0, 1], [1.0, 2.0], k=2.0), TypeError, "k is 2.0, expected an integer"),
        (lambda f: f([0, 1], [1.0, 2.0], empty="none"), ValueError, "empty is 'none'"),
        (lambda f: f([0, 1], [1.0, 2.0], reduction="sum"), ValueError, "reduction is 'sum'"),
        (lambda f: f([0, 1], [1.0, 2.0], group_sizes=[1]), ValueError, "group_sizes add up to 1"),
        (lambda f: f([[0, 1]], [[1.0, 2.0]], sample_weight=[-1]), ValueError, r"sample_weight\[0\] is -1.0"),
        (lambda f: f(["a", "b"], [1.0, 2.0]), TypeError, "y_true has dtype"),
    ],
)
@metrics
def test_bad_input(metric, call, error, words):
    with pytest.raises(error, match=words):
        call(metric)


def test_relevance_of_ndcg():
    with pytest.raises(ValueError, match=r"y_true\[0, 1\] is -1, expected a finite number of at least 0"):
        lf.ndcg([[0, -1]], [[0.0, 1.0]])
    with pytest.raises(ValueError, match=r"y_true\[1\] is 2000, expected at most 1000"):
        lf.ndcg([0, 2000], [0.0, 1.0])
    assert lf.ndcg([0, 2000], [0.0, 1.0], gains="linear") == 1.0
    with pytest.raises(ValueError, match="gains is 'exp'"):
        lf.ndcg([0, 1], [0.0, 1.0], gains="exp")
