"""What is known of a loss before it computes anything: its parameters, its domains and its family.

The C kernels and the NumPy specifications are behind it; `_loss` makes it a loss that can be called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from lossfast._arrays import Array, as_array, position
from lossfast._errors import did_you_mean


class Jet(NamedTuple):
    """A loss with its first and second derivative by the prediction: of each element, or of each row of classes."""

    value: Array
    grad: Array
    hess: Array


class Gradients(NamedTuple):
    """A loss with its gradients by several operands, in their order."""

    value: Array
    grads: tuple[Array, ...]


class Overlap(NamedTuple):
    """A loss of two masks with its derivatives by their intersection and by the sum of the predictions."""

    value: Array
    by_intersection: Array
    by_prediction: Array


@dataclass(frozen=True)
class Domain:
    """The values an operand may have.  NaN is let through where it makes its own element NaN: not among labels."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    sign_labels: bool = False

    def __str__(self) -> str:
        if self.sign_labels:
            return "-1, 0 or 1 (or bool)"
        bounds = f"{'(' if self.open_low or self.low == -math.inf else '['}{self.low:g}, {self.high:g}"
        return f"in {bounds}{')' if self.high == math.inf else ']'}"

    def outside(self, x: Array) -> Array:
        """Which elements are not allowed."""
        if self.sign_labels:
            return np.asarray((x != 0) & (np.abs(x) != 1))
        return (x <= self.low if self.open_low else x < self.low) | (x > self.high)


ANY = Domain()
UNIT = Domain(0.0, 1.0)
NONNEGATIVE = Domain(0.0)
POSITIVE = Domain(0.0, open_low=True)
ABOVE_MINUS_ONE = Domain(-1.0, open_low=True)
SIGN = Domain(-1.0, 1.0, sign_labels=True)


@dataclass(frozen=True)
class Param:
    """A keyword of a loss: its default, what it may be, how it is explained, and other values for the tests."""

    default: Any
    doc: str
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    kind: type = float  # float, int, bool or str
    choices: tuple[str, ...] = ()
    none: bool = False  # whether None is a value
    array: bool = False  # whether an array may stand here, one number per element or per entry of some axes
    per_class: bool = False  # whether an array of one number for each class may stand here
    scalar: bool = True  # whether a number may
    tests: tuple[Any, ...] = ()
    allowed: Callable[[float], bool] = field(default=lambda _: True)
    expected: str = ""

    def range(self) -> str:
        """What is expected, in words."""
        if self.kind is bool:
            return "True or False"
        if self.choices:
            return " or ".join([*map(repr, self.choices), *["None"] * self.none])
        if self.expected:
            return self.expected
        what = {(True, False): "a number", (True, True): "a number or one for each class,"}.get(
            (self.scalar, self.per_class), "an array of one number for each class,"
        )
        left, right = "(" if self.open_low else "[", ")" if self.open_high or self.high == math.inf else "]"
        if self.kind is int:
            return "an integer" + (" or None" if self.none else "")
        return f"{what} in {left}{self.low:g}, {self.high:g}{right}" + (" or None" if self.none else "")

    def checked(self, name: str, value: Any) -> Any:
        """The value as bool, str, int, float, None or an array; else TypeError or ValueError."""
        if value is None and self.none:
            return None
        if self.kind is bool:
            if not isinstance(value, bool | np.bool_):
                raise TypeError(f"{name} is {value!r}, expected {self.range()}")
            return bool(value)
        if self.kind is str:
            if value not in self.choices:
                raise ValueError(
                    f"{name} is {value!r}, expected {self.range()}" + did_you_mean(str(value), self.choices)
                )
            return str(value)
        if self.kind is int:
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise TypeError(f"{name} is {value!r}, expected {self.range()}")
            if not -(2**63) <= value < 2**63:
                raise ValueError(f"{name} is {value!r}, expected an integer of 64 bits")
            return value if type(value) is int else int(value)
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise ValueError(f"{name} is {value!r}, expected {self.range()}") from error
        if array.ndim and self.array:  # its elements are checked where they are used, with those of y_true
            return as_array(name, value)
        if array.ndim == 1 and self.per_class:
            numbers = as_array(name, value).astype(np.float64)
            bad = ~self._inside(numbers)
            if bad.any():
                first = int(bad.argmax())
                raise ValueError(f"{name}{position((first,))} is {float(numbers[first])!r}, expected {self.range()}")
            return numbers
        if array.ndim or array.dtype.kind not in "iuf" or not self.scalar:
            what = f"{array.ndim}-dimensional array" if array.ndim else repr(value)
            raise TypeError(f"{name} is {what}, expected {self.range()}")
        number = float(array)
        if not self._inside(np.float64(number)) or not self.allowed(number):
            raise ValueError(f"{name} is {number!r}, expected {self.range()}")
        return value if type(value) is float else number  # the object itself, which scikit-learn's clone asks for

    def _inside(self, x: Any) -> Any:
        above = x > self.low if self.open_low else x >= self.low
        below = x < self.high if self.open_high else x <= self.high
        return above & below & np.isfinite(x)


def positive(default: float, doc: str, **more: Any) -> Param:
    """A parameter above 0."""
    return Param(default, doc, low=0.0, open_low=True, **more)


def nonnegative(default: Any, doc: str, **more: Any) -> Param:
    """A parameter of at least 0."""
    return Param(default, doc, low=0.0, **more)


def fraction(default: Any, doc: str, **more: Any) -> Param:
    """A parameter from 0 to 1."""
    return Param(default, doc, low=0.0, high=1.0, **more)


def flag(doc: str) -> Param:
    """True or False, by default False."""
    return Param(False, doc, kind=bool, tests=(True,))


def smallest_step(doc: str) -> Param:
    """A floor whose default is the machine epsilon of the arithmetic."""
    return Param(None, doc, low=0.0, high=0.5, open_high=True, none=True)


Params = Mapping[str, Any]


SPELLINGS = {"ignore_class": "ignore_index"}  # keywords of other libraries
EPSILON = {True: float(np.finfo(np.float32).eps), False: float(np.finfo(np.float64).eps)}  # of single arithmetic?
OPTIONS = ("sample_weight", "reduction", "out", "grad_dtype", "n_threads", "empty")  # of every call


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """All that is known of a loss, of any family."""

    family: ClassVar[str]
    arguments: ClassVar[tuple[str, ...]] = ("y_true", "y_pred")  # of a call, by position; the first two must be there
    options: ClassVar[tuple[str, ...]] = (*OPTIONS, "check", "hess")  # its keywords beside the parameters
    no_hessian: ClassVar[str] = ""  # why there is none, if so
    name: str
    spec: Callable[..., Any]
    params: Mapping[str, Param]
    class_name: str
    names: tuple[str, ...]  # further public names
    aliases: Mapping[str, Params]  # names for `get` alone, and the parameters they stand for
    formula: str
    activation: str  # what turns a prediction into the quantity predicted
    boosting: str  # "floor", "twice" or "one": see `hess="boosting"`
    stream: str | None = None  # the parameter that may be an array of one number per element

    def operands(self, params: Params) -> tuple[str, str]:
        """What `y_true` and `y_pred` may be, in words."""
        raise NotImplementedError

    def resolved(self, params: dict[str, Any], single: bool) -> dict[str, Any]:
        """Parameters with `eps=None` replaced by what it stands for in this arithmetic."""
        if params.get("eps", 0.0) is None:
            return {**params, "eps": EPSILON[single]}
        return params

    def checked(self, given: Params, defaults: Params) -> dict[str, Any]:
        """The parameters with those of a call in their places, every one valid."""
        for key in given:
            if key in self.params:
                continue
            if SPELLINGS.get(key) in self.params:
                if SPELLINGS[key] in given:
                    raise TypeError(f"{self.name}() got {SPELLINGS[key]} twice: {key} is another name for it")
                return self.checked({SPELLINGS.get(k, k): v for k, v in given.items()}, defaults)
            known = [*self.params, *self.arguments, *self.options]
            raise TypeError(f"{self.name}() got an unexpected keyword {key!r}" + did_you_mean(key, known))
        return {**defaults, **{k: p.checked(k, given[k]) for k, p in self.params.items() if k in given}}

    def cases(self) -> Iterator[dict[str, Any]]:
        """Parameter sets for the tests: the defaults, and each other value in turn."""
        defaults = {k: p.default for k, p in self.params.items()}
        yield defaults
        for k, p in self.params.items():
            for v in p.tests:
                yield {**defaults, **(v if isinstance(v, dict) else {k: v})}


@dataclass(frozen=True, kw_only=True)
class Pointwise(Declaration):
    """A loss of one target and one prediction."""

    family = "pointwise"
    target: Callable[..., Domain]
    pred: Callable[..., Domain]
    stream_domain: Domain
    kernel: Callable[..., tuple[str, tuple[Any, ...]]]  # of the C library: name and parameters, the stream first
    kinks: Callable[..., tuple[float, ...]]  # values of pred - target (or of a margin) without a second derivative
    kink_of: Callable[..., Array]  # that quantity

    def operands(self, params: Params) -> tuple[str, str]:
        """What `y_true` and `y_pred` may be, in words."""
        return str(self.target(**params)), str(self.pred(**params))


@dataclass(frozen=True, kw_only=True)
class Classwise(Declaration):
    """A loss of a row of predictions, one for each class."""

    family = "classwise"
    labels: bool  # whether y_true may be labels, of the shape of y_pred without its class axis
    soft: bool  # whether y_true may be targets, of the shape of y_pred
    kernel: str  # of the C library, for logits and scores
    own: tuple[str, ...]  # the parameters that it takes
    terms: Callable[..., tuple[str, tuple[Any, ...]]] | None  # pointwise kernel of (params, keep, share), or None
    label_alone: bool  # whether only the label's class has a term, without smoothing
    weighting: str  # the parameter that multiplies the terms of each class, if there is one

    def operands(self, params: Params) -> tuple[str, str]:
        """What `y_true` and `y_pred` may be, in words."""
        labels, soft = "classes in [0, C), without the class axis", "numbers in [0, inf), in the shape of y_pred"
        target = f"{labels}, or {soft}" if self.labels and self.soft else labels if self.labels else soft
        if params.get("log_input"):
            return target, "logarithms of probabilities"
        if self.terms is None:
            return target, "scores"
        return target, "logits" if params.get("from_logits") else "probabilities in [0, 1]"


@dataclass(frozen=True, kw_only=True)
class Region(Declaration):
    """A loss of the overlap of two masks."""

    family = "region"
    options = (*(option for option in OPTIONS if option != "empty"), "check")  # it has an `empty` of its own
    no_hessian = (
        "every prediction of a mask bears on every other's gradient, so that the diagonal says little: use the gradient"
    )
    kernel: str  # of the C library
    own: tuple[str, ...]  # the parameters that it takes after `smooth`
    together: bool  # whether the classes of a sample are one item, their sums weighted by their sizes
    pixel: str  # a loss of each position that is added: "crossentropy", "focal" or nothing

    def operands(self, params: Params) -> tuple[str, str]:
        """What `y_true` and `y_pred` may be, in words."""
        target = "masks in [0, 1] of the shape of y_pred, or classes in [0, C), without the class axis"
        return target, "logits" if params.get("activation") else "probabilities in [0, 1]"


@dataclass(frozen=True, kw_only=True)
class Box(Declaration):
    """A loss of two boxes."""

    family = "box"
    arguments = ("boxes_true", "boxes_pred")
    options = (*OPTIONS, "check")
    no_hessian = "it is made of minima and maxima of edges: use the gradient"

    def operands(self, params: Params) -> tuple[str, str]:
        """What the boxes may be, in words."""
        boxes = f"boxes in the format {params['format']}"
        return boxes, boxes


@dataclass(frozen=True, kw_only=True)
class Sequence(Declaration):
    """A loss of the frames of a sequence and its labels, whose alignment is not known."""

    family = "sequence"
    arguments = ("labels", "logits", "label_lengths", "logit_lengths")
    options = (*OPTIONS, "full_output")
    no_hessian = (
        "the diagonal p (1 - p) - q (1 - q), with the softmax p and the occupation q, is negative as often as positive "
        "and of no use as a scale of steps"
    )

    def operands(self, params: Params) -> tuple[str, str]:
        """What `labels` and `logits` may be, in words."""
        kind = "logits" if params["from_logits"] else "log-probabilities"
        order = "frames, samples" if params["time_major"] else "samples, frames"
        return "classes in [0, C) other than blank", f"{kind} of shape ({order}, C)"


@dataclass(frozen=True, kw_only=True)
class Ranking(Declaration):
    """A loss of the scores of items in groups, of their order alone."""

    family = "ranking"
    arguments = ("y_true", "y_pred", "groups", "group_sizes", "where")
    options = (*OPTIONS, "hess")
    pairs: bool  # whether a mean is one over pairs of items, or over groups
    passed: Callable[..., Any]  # what computes it: see `_ranking`

    def operands(self, params: Params) -> tuple[str, str]:
        """What `y_true` and `y_pred` may be, in words."""
        return "a number" if self.pairs else "a finite number of at least 0", "scores"

    def bad(self, target: Array) -> Array:
        """Which labels are none."""
        if target.dtype.kind in "bu":
            return np.zeros(target.shape, bool)
        return np.isnan(target) if self.pairs else ~(target >= 0) | np.isinf(target)


class VectorKernel(NamedTuple):
    """What computes a loss of vectors: a loss of the C library and its parameters, and the distance that it is of."""

    name: str
    params: tuple[float, ...] = ()
    distance: str = "euclidean"
    p: float = 2.0
    eps: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Embedding(Declaration):
    """A loss of how far apart vectors are, or scores, with a gradient by each of them."""

    family = "embedding"
    options: ClassVar[tuple[str, ...]] = OPTIONS
    labelled: ClassVar[bool] = False  # whether the first argument says what the others should be
    no_hessian = "of a distance between vectors the mixed derivatives matter as much as the diagonal"
    kernel: Callable[..., VectorKernel]
    vectors: bool = True  # along an axis of the operands; else each element is a score

    def operands(self, params: Params) -> tuple[str, str]:
        """What the first two arguments may be, in words."""
        what = "vectors along an axis" if self.vectors else "scores"
        return str(SIGN) if self.labelled else what, what


class PairEmbedding(Embedding):
    """Of a target and a prediction."""


class LabelledEmbedding(Embedding):
    """Of two vectors that should be alike, or should not."""

    arguments = ("same", "x1", "x2")
    labelled = True


class RankingEmbedding(Embedding):
    """Of two scores of which the first should be higher, or the second."""

    arguments = ("y_true", "x1", "x2")
    labelled = True


class TripletEmbedding(Embedding):
    """Of a vector, one that should be near and one that should be far."""

    arguments = ("anchor", "positive", "negative")


@dataclass(frozen=True, kw_only=True)
class BatchEmbedding(Embedding):
    """Of every vector of a batch against all others, with labels that say which are alike."""

    family = "batch"
    arguments = ("labels", "embeddings")
    labelled = True
    by_pairs: bool = False  # whether a mean is one over pairs of an anchor and a positive, or over anchors
    rows: Callable[..., Any]  # of blocks of similarities or distances: see `_in_batch`, `_mining`

    def operands(self, params: Params) -> tuple[str, str]:
        """What the two arguments may be, in words."""
        return "integers, equal where vectors are alike", "vectors of shape (vectors, dimensions)"


class Term(NamedTuple):
    """Pointwise terms of a loss of samples: operands by name, the kernel, and what multiplies it."""

    target: str
    pred: str
    kernel: str
    params: tuple[Any, ...] = ()
    both: bool = False  # whether the target has a gradient too, which the kernel gives in the place of the Hessian
    factor: float = 1.0
    domains: tuple[Domain, Domain] = (ANY, ANY)


@dataclass(frozen=True, kw_only=True)
class Samplewise(Declaration):
    """A loss of autoencoders: terms of several operands, added up over each sample, with a gradient by each of them."""

    family = "sample"
    options = OPTIONS
    no_hessian = (
        "it would be one by several operands; of a reconstruction take that of mse, mae, huber or binary_crossentropy, "
        "and of gaussian_kl it is 1 by mu and exp(logvar) / 2 by logvar"
    )
    terms: Callable[..., tuple[Term, ...]]

    def operands(self, params: Params) -> tuple[str, str]:
        """What the first two arguments may be, in words."""
        if self.arguments[0] == "mu":
            return "means of shape (samples, ...)", "logarithms of variances, of the shape of mu"
        probabilities = params["kind"] == "bce"
        predicted = "logits" if params["from_logits"] else "probabilities in [0, 1]"
        data = "data of shape (samples, ...)"
        return (f"{data} in [0, 1]", predicted) if probabilities else (data, "of the shape of x")


class ReconstructionLoss(Samplewise):
    """Of data and what has been made of them."""

    arguments = ("x", "x_hat")


class LatentLoss(Samplewise):
    """Of means and logarithms of variances."""

    arguments = ("mu", "logvar")


class AutoencoderLoss(Samplewise):
    """Of data, what has been made of them, and the normal distributions that it was made from."""

    arguments = ("x", "x_hat", "mu", "logvar")


class Mining(BatchEmbedding):
    """... of which triplets are made."""

    options = (*OPTIONS, "full_output")


class Retrieval(BatchEmbedding):
    """Of vectors each of which should be nearest to one of as many others."""

    arguments = ("anchors", "positives")
    labelled = False

    def operands(self, params: Params) -> tuple[str, str]:
        """What the two arguments may be, in words."""
        what = "vectors of shape (vectors, dimensions)"
        return what, what
