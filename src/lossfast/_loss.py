"""What a loss is: a name, parameters, domains, a NumPy specification, and the C kernel that computes it.

`pointwise`, `classwise`, `region`, `box`, `sequence`, `embedding`, `in_batch`, `ranking` and `samplewise` turn a
specification into a registered loss of their family; the rest of the package, its tests, its documentation and its
benchmarks read the registry.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lossfast import _evaluate
from lossfast._arrays import Array
from lossfast._declarations import (
    ANY,
    BatchEmbedding,
    Box,
    Classwise,
    Declaration,
    Domain,
    Embedding,
    Gradients,
    Jet,
    Mining,
    Overlap,
    Param,
    Params,
    Pointwise,
    Ranking,
    Region,
    Samplewise,
    Sequence,
    Term,
    VectorKernel,
)
from lossfast._docs import (
    BOX,
    CLASSWISE,
    EMBEDDING,
    MINING,
    POINTWISE,
    RANKING,
    REGION,
    SAMPLE,
    SEQUENCE,
    Shared,
    docstring,
)
from lossfast._errors import did_you_mean

_core: Any = None
if os.environ.get("LOSSFAST_BACKEND", "c") not in ("c", "numpy"):
    raise ValueError(f"LOSSFAST_BACKEND={os.environ['LOSSFAST_BACKEND']!r}, expected 'c' or 'numpy'")
if os.environ.get("LOSSFAST_BACKEND") != "numpy":
    try:
        from lossfast import _core
    except ImportError as error:
        warnings.warn(f"lossfast runs on NumPy, slowly: its compiled core is missing ({error})", stacklevel=2)

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
    """A loss with its parameters: call it, or one of its methods, on (y_true, y_pred), or (labels, logits).

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

    def __sklearn_clone__(self) -> Loss:
        """Itself: it never changes."""
        return self

    def accumulator(self) -> Any:
        """An empty `Accumulator` of this loss."""
        from lossfast.accumulator import Accumulator

        return Accumulator(self)

    def _general(self, want: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return _evaluate.evaluate(self, want, args, kwargs)

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

    def __getstate__(self) -> dict[str, Any]:
        return dict(self._params)

    def __setstate__(self, state: dict[str, Any]) -> None:
        Loss.__init__(self, **state)  # for skops: pickle rebuilds

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
    together: bool = False,
    pixel: str = "",
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
                spec=spec,
                params=params,
                class_name=class_name,
                names=names,
                aliases=aliases if isinstance(aliases, Mapping) else {alias: {} for alias in aliases},
                formula=formula,
                activation="sigmoid or softmax",
                boosting="",
                kernel=kernel or spec.__name__,
                own=own,
                together=together,
                pixel=pixel,
            ),
            REGION,
        )

    return register


def box(
    class_name: str, *, formula: str, aliases: tuple[str, ...] = (), **params: Param
) -> Callable[[Callable[..., Any]], Loss]:
    """Register the decorated specification ``spec(boxes_true, boxes_pred, eps)`` as a loss.

    It is given the four edges of the boxes, those of the predicted ones as dual numbers (`_dual.Dual`), and returns
    one: the loss with its derivatives.
    """

    def register(spec: Callable[..., Any]) -> Loss:
        return _registered(
            Box(
                name=spec.__name__,
                spec=spec,
                params=params,
                class_name=class_name,
                names=(),
                aliases={alias: {} for alias in aliases},
                formula=formula,
                activation="none",
                boosting="",
            ),
            BOX,
        )

    return register


def sequence(
    class_name: str, *, formula: str, aliases: tuple[str, ...] = (), **params: Param
) -> Callable[[Callable[..., Any]], Loss]:
    """Register the decorated specification ``spec(labels, log_probabilities, blank)`` of one sample as a loss."""

    def register(spec: Callable[..., Any]) -> Loss:
        return _registered(
            Sequence(
                name=spec.__name__,
                spec=spec,
                params=params,
                class_name=class_name,
                names=(),
                aliases={alias: {} for alias in aliases},
                formula=formula,
                activation="softmax",
                boosting="",
            ),
            SEQUENCE,
        )

    return register


def embedding(
    class_name: str,
    kind: type[Embedding],
    *,
    formula: str,
    kernel: Callable[..., VectorKernel],
    vectors: bool = True,
    names: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
    **params: Param,
) -> Callable[[Callable[..., Gradients]], Loss]:
    """Register the decorated specification ``spec(*operands, **params) -> Gradients``, vectors along the last axis.

    Its parameters, and those of `kernel`, are all but `axis` and `wrt`.
    """

    def register(spec: Callable[..., Gradients]) -> Loss:
        return _registered(
            kind(
                name=spec.__name__,
                spec=spec,
                params=params,
                class_name=class_name,
                names=names,
                aliases={alias: {} for alias in aliases},
                formula=formula,
                activation="none",
                boosting="",
                kernel=kernel,
                vectors=vectors,
            ),
            EMBEDDING[kind.arguments],
        )

    return register


def in_batch(
    class_name: str,
    kind: type[BatchEmbedding] = BatchEmbedding,
    *,
    formula: str,
    rows: Callable[..., Any] = lambda *_: None,
    by_pairs: bool = False,
    names: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
    **params: Param,
) -> Callable[[Callable[..., Gradients]], Loss]:
    """Register ``spec(labels, embeddings, weight, **params) -> Gradients`` of a whole batch as a loss.

    The value is that of each anchor, the gradient that of their weighted sum.
    """

    def register(spec: Callable[..., Gradients]) -> Loss:
        return _registered(
            kind(
                name=spec.__name__,
                spec=spec,
                params=params,
                class_name=class_name,
                names=names,
                aliases={alias: {} for alias in aliases},
                formula=formula,
                activation="none",
                boosting="",
                kernel=lambda **_: VectorKernel(""),
                rows=rows,
                by_pairs=by_pairs,
            ),
            MINING if kind is Mining else EMBEDDING[kind.arguments],
        )

    return register


def ranking(
    class_name: str, *, formula: str, pairs: bool, passed: Callable[..., Any], aliases: tuple[str, ...] = ()
) -> Callable[[Callable[..., Jet]], Loss]:
    """Register the decorated NumPy specification ``spec(y_true, y_pred) -> Jet`` of one group of items as a loss."""

    def register(spec: Callable[..., Jet]) -> Loss:
        return _registered(
            Ranking(
                name=spec.__name__,
                spec=spec,
                params={},
                class_name=class_name,
                names=(),
                aliases={alias: {} for alias in aliases},
                formula=formula,
                activation="none",
                boosting="floor",
                pairs=pairs,
                passed=passed,
            ),
            RANKING,
        )

    return register


def samplewise(
    class_name: str,
    family: type[Samplewise],
    *,
    formula: str,
    terms: Callable[..., tuple[Term, ...]],
    aliases: tuple[str, ...] = (),
    **params: Param,
) -> Callable[[Callable[..., Gradients]], Loss]:
    """Register the decorated specification ``spec(*operands, **params) -> Gradients`` of samples as a loss.

    ``terms(single, **params)`` are the kernels that it is made of, for arithmetic in float32 or float64.
    """

    def register(spec: Callable[..., Gradients]) -> Loss:
        return _registered(
            family(
                name=spec.__name__,
                spec=spec,
                params=params,
                class_name=class_name,
                names=(),
                aliases={alias: {} for alias in aliases},
                formula=formula,
                activation="none",
                boosting="",
                terms=terms,
            ),
            SAMPLE[family.arguments],
        )

    return register


def _registered(declaration: Declaration, shared: Shared) -> Loss:
    """The loss with default parameters, an instance of a new class."""
    params, spec = declaration.params, declaration.spec
    body = {"declaration": declaration, "__module__": "lossfast"}  # where it is found by its name
    defaults = declaration.resolved({k: p.default for k, p in params.items()}, single=True)
    target, pred = declaration.operands(defaults)
    body |= docstring(spec.__doc__ or "", declaration.formula, params, shared, target, pred, declaration.boosting)
    REGISTRY[declaration.name] = type(declaration.class_name, (Loss,), body)()
    return REGISTRY[declaration.name]
