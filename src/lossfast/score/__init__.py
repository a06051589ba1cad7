"""Losses of files: Parquet, Arrow, CSV and NumPy, streamed in bounded memory, with sums that are exact.

>>> from lossfast.score import score_files
>>> report = score_files("examples/breast_cancer.parquet", "bce", "y_true", "y_pred", by="fold")
>>> report.summary.mean, report.groups[0].summary.count
(0.07424374697006364, 57)

The command ``lossfast score`` is a front of this.  Neither pyarrow nor rich is imported before it is needed.
"""

from importlib import import_module as _import_module
from typing import Any as _Any

_HOME = {
    "BadCall": "errors",
    "BadData": "errors",
    "MissingExtra": "errors",
    "Report": "report",
    "score_files": "engine",
}

__all__ = ["BadCall", "BadData", "MissingExtra", "Report", "score_files"]


def __getattr__(name: str) -> _Any:
    if name not in _HOME:
        raise AttributeError(f"module 'lossfast.score' has no attribute {name!r}")
    return getattr(_import_module(f"lossfast.score.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
