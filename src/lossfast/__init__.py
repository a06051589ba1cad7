"""Every loss with its gradient and its Hessian, in one pass over memory.

>>> import lossfast as lf
>>> lf.huber([0.0, 1.0], [0.5, 3.0], delta=1.0)
0.8125

`lossfast.names()` lists the losses, `lossfast.info(name)` explains one, `lossfast.recommend(problem)` finds one.
"""

# Names are looked up when they are first asked for: importing the package costs next to nothing.
from importlib import import_module as _import_module
from typing import Any as _Any

__version__ = "0.1.0"

_HOME = {
    "Accumulator": "accumulator",
    "Loss": "_loss",
    "get": "catalogue",
    "get_num_threads": "runtime",
    "info": "catalogue",
    "isa": "runtime",
    "names": "catalogue",
    "recommend": "catalogue",
    "set_isa": "runtime",
    "set_num_threads": "runtime",
    "threads": "runtime",
    "backend": "runtime",
    "gan_discriminator": "generative",
    "gan_generator": "generative",
    "gradient_penalty": "generative",
    "linear_crossentropy": "_linear_crossentropy",
    "minimize": "optim._minimize",
    "nms": "overlap",
    "pairwise_iou": "overlap",
    "RankingMetric": "ranked",
    "mean_average_precision": "ranked",
    "mean_reciprocal_rank": "ranked",
    "ndcg": "ranked",
    "ctc_posteriors": "sequence",
    "ctc_align": "decoding",
    "ctc_beam_search": "decoding",
    "ctc_greedy_decode": "decoding",
    "ConfusionMatrix": "confusion",
    "confusion_matrix": "confusion",
    "ErrorRate": "transcripts",
    "character_error_rate": "transcripts",
    "edit_distance": "transcripts",
    "label_error_rate": "transcripts",
    "word_error_rate": "transcripts",
    "value_and_grad": "catalogue",
    "get_include": "c_library",
    "get_library": "c_library",
}
_MODULES = ("callbacks", "linear", "optim", "plot", "schedules")
_ESTIMATORS = {"GDClassifier": "linear", "GDRegressor": "linear"}  # the only ones that import scikit-learn


def _all_names() -> dict[str, _Any]:
    _import_module("lossfast.runtime")
    losses: dict[str, _Any] = _import_module("lossfast.catalogue").public()
    return losses | {name: getattr(_import_module(f"lossfast.{home}"), name) for name, home in _HOME.items()}


def __getattr__(name: str) -> _Any:
    if name.startswith("_"):
        raise AttributeError(f"module 'lossfast' has no attribute {name!r}")
    if name in _MODULES:
        return _import_module(f"lossfast.{name}")
    if name in _ESTIMATORS:
        return getattr(_import_module(f"lossfast.{_ESTIMATORS[name]}"), name)
    known = _all_names()
    if name not in known:
        from lossfast._errors import did_you_mean

        raise AttributeError(
            f"module 'lossfast' has no attribute {name!r}" + did_you_mean(name, [*known, *_MODULES, *_ESTIMATORS])
        )
    globals().update(known)
    return known[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *_all_names(), *_MODULES, *_ESTIMATORS})
