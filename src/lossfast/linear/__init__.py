"""Linear models with any suitable loss, fitted by gradient descent: estimators of scikit-learn.

>>> import lossfast as lf
>>> history = lf.linear.GDRegressor(learning_rate=0.1, epochs=50).fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
>>> history.predict([[3.0]]).round(1)
array([7.])
>>> sorted(history.history)
['loss', 'lr', 'objective']

They need scikit-learn: ``pip install 'lossfast[linear]'``.
"""

try:
    import sklearn as _sklearn  # noqa: F401
except ImportError as error:
    raise ImportError("lossfast.linear needs scikit-learn 1.6 or newer: pip install 'lossfast[linear]'") from error

from lossfast.linear._estimators import GDClassifier as GDClassifier
from lossfast.linear._estimators import GDRegressor as GDRegressor
from lossfast.linear._training import DivergenceError as DivergenceError

__all__ = ["DivergenceError", "GDClassifier", "GDRegressor"]
