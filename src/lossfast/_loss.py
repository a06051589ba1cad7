"""What a loss is: a name, parameters, domains, a NumPy specification, and the C kernel that computes it.

`pointwise` and `classwise` turn a specification into a registered loss of their family; the rest of the package, its
tests, its documentation and its benchmarks read the registry.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from lossfast._arrays import Array, as_array, position
from lossfast._docs import CLASSWISE, POINTWISE, REGION, docstring
from lossfast._errors import did_you_mean

_core: Any = None
if os.environ.get("LOSSFAST_BACKEND", "c") not in ("c", "numpy"):
    raise ValueError(f"LOSSFAST_BACKEND={os.environ['LOSSFAST_BACKEND']!r}, expected 'c' or 'numpy'")
if os.environ.get("LOSSFAST_BACKEND") != "numpy":
    try:
        from lossfast import _core
    except ImportError as error:
        warnings.warn(f"lossfast runs on NumPy, slowly: its compiled core is missing ({error})", stacklevel=2)


class Jet(NamedTuple):
    """A loss with its first and second derivative by the prediction: of each element, or of each row of classes."""

    value: Array
    grad: Array
    hess: Array


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
            return ~np.isin(x, (-1, 0, 1))
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


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """All that is known of a loss, of any family."""

    family: ClassVar[str]
    name: str
    spec: Callable[..., Jet]
    params: Mapping[str, Param]
    class_name: str
    names: tuple[str, ...]  # further public names
    aliases: Mapping[str, Params]  # names for `get` alone, and the parameters they stand for
    formula: str
    activation: str  # what turns a prediction into the quantity predicted
    boosting: str  # "floor", "twice" or "one": see `hess="boosting"`
    stream: str | None = None  # the parameter that may be an array of one number per element
    no_hessian: ClassVar[str] = ""  # why there is none

    def operands(self, params: Params) -> tuple[str, str]:
        """What `y_true` and `y_pred` may be, in words."""
        raise NotImplementedError

    def resolved(self, params: Params, single: bool) -> dict[str, Any]:
        """Parameters with `eps=None` replaced by what it stands for in this arithmetic."""
        found = dict(params)
        if found.get("eps", 0.0) is None:
            found["eps"] = float(np.finfo(np.float32 if single else np.float64).eps)
        return found

    def checked(self, given: Params, defaults: Params) -> dict[str, Any]:
        """The parameters with those of a call in their places, every one valid."""
        for key in given:
            if key not in self.params and SPELLINGS.get(key) in self.params:
                if SPELLINGS[key] in given:
                    raise TypeError(f"{self.name}() got {SPELLINGS[key]} twice: {key} is another name for it")
                return self.checked({SPELLINGS.get(k, k): v for k, v in given.items()}, defaults)
            if key not in self.params:
                raise TypeError(
                    f"{self.name}() got an unexpected keyword {key!r}" + did_you_mean(key, [*self.params, *KEYWORDS])
                )
        return {k: p.checked(k, given[k]) if k in given else defaults[k] for k, p in self.params.items()}

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
    no_hessian = (
        "every prediction of a mask bears on every other's gradient, so that the diagonal says little: use the gradient"
    )
    kernel: str  # of the C library
    own: tuple[str, ...]  # the parameters that it takes after `smooth`

    def operands(self, params: Params) -> tuple[str, str]:
        """What `y_true` and `y_pred` may be, in words."""
        target = "masks in [0, 1] of the shape of y_pred, or classes in [0, C), without the class axis"
        return target, "logits" if params.get("activation") else "probabilities in [0, 1]"


KEYWORDS = (
    "y_true",
    "y_pred",
    "sample_weight",
    "reduction",
    "out",
    "grad_dtype",
    "n_threads",
    "empty",
    "check",
    "hess",
)

if _core is not None:
    _Base: Any = _core.Pointwise
else:

    class _Base:  # type: ignore[no-redef]
        """The calls of the compiled base class, all through `_general`."""

        _general: Callable[..., Any]

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """The value: a float, or an array with reduction="none" or "sample"."""
            return self._general(1, args, kwargs)

        def grad(self, *args: Any, **kwargs: Any) -> Any:
            """The gradient of the reduced value by y_pred."""
            return self._general(2, args, kwargs)

        def hess(self, *args: Any, **kwargs: Any) -> Any:
            """The diagonal of the Hessian of the reduced value by y_pred."""
            return self._general(4, args, kwargs)

        def value_and_grad(self, *args: Any, **kwargs: Any) -> Any:
            """Value and gradient, in one pass."""
            return self._general(3, args, kwargs)

        def grad_and_hess(self, *args: Any, **kwargs: Any) -> Any:
            """Gradient and Hessian, in one pass."""
            return self._general(6, args, kwargs)

        def value_grad_hess(self, *args: Any, **kwargs: Any) -> Any:
            """Value, gradient and Hessian, in one pass."""
            return self._general(7, args, kwargs)


class Loss(_Base):  # type: ignore[misc]
    """A loss with its parameters: call it, or one of its methods, on (y_true, y_pred).

    Instances are immutable and hashable, and compare equal when class and parameters do.
    """

    declaration: Declaration
    _params: dict[str, Any]

    def __init__(self, **params: Any) -> None:
        declaration = self.declaration
        defaults = {k: p.default for k, p in declaration.params.items()}
        checked = declaration.checked(params, defaults)
        for key, value in checked.items():
            if isinstance(value, np.ndarray):
                checked[key] = value.copy()
                checked[key].flags.writeable = False
        object.__setattr__(self, "_params", checked)
        if not isinstance(declaration, Pointwise) or _core is None:
            return
        if not any(isinstance(v, np.ndarray) for v in checked.values()):
            kernels = [declaration.kernel(**declaration.resolved(checked, single)) for single in (True, False)]
            self._set_fast(_core.Kernel(kernels[0][0]), kernels[0][1], kernels[1][1])

    @property
    def name(self) -> str:
        """The canonical name."""
        return self.declaration.name

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters, as scikit-learn's `clone` and search ask for them."""
        return dict(self._params)

    def accumulator(self) -> Any:
        """An empty `Accumulator` of this loss."""
        from lossfast.accumulator import Accumulator

        return Accumulator(self)

    def _general(self, want: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        from lossfast._evaluate import evaluate

        return evaluate(self, want, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        params = self.__dict__.get("_params", {})
        if name in params:
            return params[name]
        raise AttributeError(
            f"{type(self).__name__} has no attribute {name!r}" + did_you_mean(name, [*params, *dir(type(self))])
        )

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: make a new one with other parameters")

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={_shown(v)}' for k, v in self._params.items())})"

    def _key(self) -> tuple[Any, ...]:
        return tuple((k, _shown(v) if isinstance(v, np.ndarray) else v) for k, v in self._params.items())

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._key()))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.name, self._params)


def _shown(value: Any) -> str:
    return f"array({value.tolist()}, {value.dtype})" if isinstance(value, np.ndarray) else repr(value)


def _rebuild(name: str, params: dict[str, Any]) -> Loss:
    from lossfast.catalogue import get

    return type(get(name))(**params)


REGISTRY: dict[str, Loss] = {}


def _constant(domain: Domain | Callable[..., Domain]) -> Callable[..., Domain]:
    return (lambda **_: domain) if isinstance(domain, Domain) else domain


def pointwise(
    class_name: str,
    *,
    formula: str,
    names: tuple[str, ...] = (),
    aliases: Mapping[str, Params] | tuple[str, ...] = (),
    activation: str = "none",
    target: Domain | Callable[..., Domain] = ANY,
    pred: Domain | Callable[..., Domain] = ANY,
    stream: str | None = None,
    stream_domain: Domain = ANY,
    kernel: Callable[..., tuple[str, tuple[Any, ...]]] | None = None,
    kinks: Callable[..., tuple[float, ...]] = lambda **_: (),
    kink_of: Callable[..., Array] = lambda y_true, y_pred: y_pred - y_true,
    boosting: str = "floor",
    **params: Param,
) -> Callable[[Callable[..., Jet]], Loss]:
    """Register the decorated NumPy specification ``spec(y_true, y_pred, **params) -> Jet`` as a loss.

    It becomes an instance, with default parameters, of a new class `class_name`.  `kernel` maps parameters to the C
    loss that computes it: by default the one of the same name, with the parameters in their order.
    """

    def register(spec: Callable[..., Jet]) -> Loss:
        name = spec.__name__
        return _registered(
            Pointwise(
                name=name,
                spec=spec,
                params=params,
                class_name=class_name,
                names=names,
                aliases=aliases if isinstance(aliases, Mapping) else {alias: {} for alias in aliases},
                formula=formula,
                activation=activation,
                target=_constant(target),
                pred=_constant(pred),
                stream=stream,
                stream_domain=stream_domain,
                kernel=kernel or (lambda **given: (name, tuple(given.values()))),
                kinks=kinks,
                kink_of=kink_of,
                boosting=boosting,
            ),
            POINTWISE,
        )

    return register


def classwise(
    class_name: str,
    *,
    formula: str,
    kernel: str,
    own: tuple[str, ...] = (),
    terms: Callable[..., tuple[str, tuple[Any, ...]]] | None = None,
    labels: bool = True,
    soft: bool = True,
    names: tuple[str, ...] = (),
    aliases: Mapping[str, Params] | tuple[str, ...] = (),
    activation: str = "softmax",
    label_alone: bool = True,
    weighting: str = "class_weight",
    boosting: str = "twice",
    **params: Param,
) -> Callable[[Callable[..., Jet]], Loss]:
    """Register the decorated NumPy specification ``spec(targets, y_pred, **params) -> Jet`` as a loss.

    The class axis comes last: targets and predictions are (..., C), labels having become rows of 0 and 1; values are
    (...).  Its parameters are all but `axis` and `ignore_index`, rows to ignore having been dropped.  `kernel` is the
    C kernel of logits or scores, and takes the parameters `own`; `terms` finds the pointwise kernel whose values add
    up to a row's loss, for losses of probabilities: only that of the label, if it is `label_alone`.
    """

    def register(spec: Callable[..., Jet]) -> Loss:
        return _registered(
            Classwise(
                name=spec.__name__,
                spec=spec,
                params=params,
                class_name=class_name,
                names=names,
                aliases=aliases if isinstance(aliases, Mapping) else {alias: {} for alias in aliases},
                formula=formula,
                activation=activation,
                boosting=boosting,
                labels=labels,
                soft=soft,
                kernel=kernel,
                own=own,
                terms=terms,
                label_alone=label_alone,
                weighting=weighting if weighting in params else "",
            ),
            CLASSWISE,
        )

    return register


def region(
    class_name: str,
    *,
    formula: str,
    kernel: str = "",
    own: tuple[str, ...] = (),
    names: tuple[str, ...] = (),
    aliases: Mapping[str, Params] | tuple[str, ...] = (),
    **params: Param,
) -> Callable[[Callable[..., Overlap]], Loss]:
    """Register the decorated NumPy specification ``spec(intersection, prediction, target, smooth, ...) -> Overlap``.

    It is given the three sums of each item and the parameters `own`, which the C kernel takes too.
    """

    def register(spec: Callable[..., Overlap]) -> Loss:
        return _registered(
            Region(
                name=spec.__name__,
                spec=spec,  # type: ignore[arg-type]
                params=params,
                class_name=class_name,
                names=names,
                aliases=aliases if isinstance(aliases, Mapping) else {alias: {} for alias in aliases},
                formula=formula,
                activation="sigmoid or softmax",
                boosting="floor",
                kernel=kernel or spec.__name__,
                own=own,
            ),
            REGION,
        )

    return register


def _registered(declaration: Declaration, shared: str) -> Loss:
    """The loss with default parameters, an instance of a new class."""
    params, spec = declaration.params, declaration.spec
    body = {"declaration": declaration, "__module__": spec.__module__}
    defaults = declaration.resolved({k: p.default for k, p in params.items()}, single=True)
    target, pred = declaration.operands(defaults)
    body |= docstring(spec.__doc__ or "", declaration.formula, params, shared, target, pred, declaration.boosting)
    REGISTRY[declaration.name] = type(declaration.class_name, (Loss,), body)()
    return REGISTRY[declaration.name]
