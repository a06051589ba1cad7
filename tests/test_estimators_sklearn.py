"""The estimators pass scikit-learn's checks: all of them."""

import pytest

pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import parametrize_with_checks

import lossfast as lf

ESTIMATORS = [
    lf.GDRegressor(),
    lf.GDClassifier(),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
