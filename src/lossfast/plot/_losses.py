"""Curves of pointwise losses, and of all of them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lossfast._arrays import Array, as_array
from lossfast._declarations import Domain, Pointwise
from lossfast._errors import did_you_mean
from lossfast._loss import REGISTRY, Loss
from lossfast.catalogue import get
from lossfast.plot._axes import BLUE, DASHES, GREEN, GREY, RED, axes_or_new, pyplot, several

WORDS = {"value": "value", "grad": "gradient", "hess": "Hessian"}
# The first is drawn first and broadest, so that none hides another where they coincide.
STYLES: dict[str, dict[str, Any]] = {
    "value": {"color": BLUE, "lw": 3.0},
    "grad": {"color": RED, "lw": 2.0},
    "hess": {"color": GREEN, "lw": 1.3},
}
AT_KINK, BESIDE_KINK = 1e-12, 1e-9
RELATIVE = ("mape",)  # losses that divide by the target, and have no shape where it is 0


def loss(
    loss: str | Mapping[str, Any] | type[Loss] | Loss,
    ax: Any = None,
    *,
    y_true: float | Sequence[float] | None = None,
    y_pred: Any = None,
    show: Sequence[str] = ("value", "grad", "hess"),
    **params: Any,
) -> Any:
    """Value, gradient and Hessian of a pointwise loss against the prediction.

    Parameters
    ----------
    loss : str, dict, Loss or type
        A pointwise loss, as `lossfast.get` takes it.
    ax : matplotlib Axes, optional
        Where to draw; by default a new figure.
    y_true : float or sequence of float, optional
        The targets, each with curves of its own.  By default both labels of a loss of two classes, and otherwise 0, or
        1 where targets are positive.
    y_pred : array_like, optional
        Where to compute the curves, in increasing order.  By default what shows the shape of the loss.
    show : sequence of {"value", "grad", "hess"}
        Which curves.
    **params
        Parameters of the loss.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        For an unknown loss, one that is not of one prediction and one target, and for targets and predictions outside
        its domain.
    ImportError
        Without matplotlib.

    Notes
    -----
    A derivative has a gap where it jumps.  What is far above or below the values is cut off.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.plot.loss("huber", delta=2.0, show=("value", "grad"))  # doctest: +SKIP
    """
    found = _pointwise(get(loss, **params))
    kinds = _shown(show)
    targets = _targets(found, y_true)
    xs = [_predictions(found, t, y_pred) for t in targets]
    curves = [_curves(found, t, x) for t, x in zip(targets, xs, strict=True)]
    ax = axes_or_new(ax)
    ax.axhline(0, color=GREY, lw=0.8, zorder=1)
    for kind in kinds:
        for i, (t, x, jet) in enumerate(zip(targets, xs, curves, strict=True)):
            label = WORDS[kind] if len(targets) == 1 else f"{WORDS[kind]}, y_true = {t:g}"
            ax.plot(x, jet[kind], label=label, ls=DASHES[i % 4], **STYLES[kind])
    ax.set_xlim(min(x[0] for x in xs), max(x[-1] for x in xs))
    ax.set_ylim(*_limits(curves, kinds))
    at = f"  (y_true = {targets[0]:g})" if len(targets) == 1 else ""
    ax.set_xlabel(f"{_predicted(found)}{at}")
    ax.set_title(_title(found, 62), fontsize="medium")
    dashes = [f"y_true = {t:g}" for t in targets] if len(targets) > 1 else []
    ax.legend(handles=_keys(kinds, dashes), fontsize="small")
    return ax


def _keys(kinds: Sequence[str], dashes: Sequence[str]) -> list[Any]:
    """What colours and dashes mean, for a legend."""
    from matplotlib.lines import Line2D

    colors = [Line2D([], [], label=WORDS[kind], **STYLES[kind]) for kind in kinds]
    return colors + [Line2D([], [], color=GREY, ls=DASHES[i % 4], label=words) for i, words in enumerate(dashes)]


def _pointwise(loss: Loss) -> Loss:
    declaration = loss.declaration
    if not isinstance(declaration, Pointwise):
        raise ValueError(
            f"loss is {loss.name!r}, of the family {declaration.family}: expected one of one target and one "
            f"prediction, {', '.join(_names())}"
        )
    for name, value in loss.get_params().items():
        if isinstance(value, np.ndarray):
            raise ValueError(f"{name} is an array of shape {value.shape}, expected a number")
    if loss.get_params().get("wrt", "y_pred") != "y_pred":
        raise ValueError(f"wrt is {loss.get_params()['wrt']!r}, expected 'y_pred', which the curves are drawn against")
    return loss


def _names() -> list[str]:
    return [name for name in sorted(REGISTRY) if isinstance(REGISTRY[name].declaration, Pointwise)]


def _shown(show: Sequence[str]) -> list[str]:
    kinds = [show] if isinstance(show, str) else list(show)
    for kind in kinds:
        if kind not in WORDS:
            raise ValueError(f"show has {kind!r}, expected {', '.join(map(repr, WORDS))}" + did_you_mean(kind, WORDS))
    if not kinds:
        raise ValueError(f"show is empty, expected some of {', '.join(map(repr, WORDS))}")
    return [kind for kind in WORDS if kind in kinds]


def _domains(loss: Loss) -> tuple[Domain, Domain]:
    declaration: Any = loss.declaration
    params = declaration.resolved(loss.get_params(), single=False)
    return declaration.target(**params), declaration.pred(**params)


def _targets(loss: Loss, y_true: Any) -> list[float]:
    domain = _domains(loss)[0]
    if y_true is not None:
        given = np.atleast_1d(as_array("y_true", y_true)).astype(np.float64)
        if given.ndim != 1 or not given.size or not np.isfinite(given).all():
            raise ValueError(f"y_true is {y_true!r}, expected a number or a sequence of some")
        return [float(t) for t in given]
    if domain.sign_labels:
        return [1.0, -1.0]
    if domain.low == 0 and domain.high == 1:
        return [1.0, 0.0]
    return [1.0 if domain.low >= -1 or loss.name in RELATIVE else 0.0]


def _kinks(loss: Loss) -> tuple[float, ...]:
    declaration: Any = loss.declaration
    found: tuple[float, ...] = declaration.kinks(**declaration.resolved(loss.get_params(), single=False))
    return found


def _predictions(loss: Loss, target: float, y_pred: Any) -> Array:
    """Where to compute, closely and at the kinks three times: before, at, and after."""
    declaration: Any = loss.declaration
    if y_pred is not None:
        x = as_array("y_pred", y_pred).astype(np.float64)
        if x.ndim != 1 or x.size < 2 or not (np.diff(x) > 0).all():
            raise ValueError(f"y_pred has shape {x.shape}, expected at least two numbers in increasing order")
        return x
    domain = _domains(loss)[1]
    reach = max(3.0, 1.5 * max(map(abs, _kinks(loss)), default=0.0))
    if domain.high < np.inf:
        low, high = domain.low, domain.high
    else:
        # Labels share one range, around 0.
        middle = 0.0 if _domains(loss)[0].high <= 1 else target
        low, high = max(domain.low, middle - reach), middle + reach
    inset = 1e-3 * (high - low)  # a bound may have an infinite value
    x = np.linspace(low + inset * (low == domain.low), high - inset * (high == domain.high), 601)
    for kink in _kinks(loss):
        away = np.asarray(declaration.kink_of(np.float64(target), x) - kink, dtype=np.float64)
        close = np.abs(away) < AT_KINK
        for i in np.flatnonzero((away[:-1] * away[1:] < 0) & ~close[:-1] & ~close[1:]):
            x = np.append(x, x[i] - away[i] * (x[i + 1] - x[i]) / (away[i + 1] - away[i]))
            close = np.append(close, True)
        x = np.unique(np.concatenate([x, x[close] - BESIDE_KINK, x[close] + BESIDE_KINK]))
    return x


def _curves(loss: Loss, target: float, x: Array) -> dict[str, Array]:
    """The three curves, the derivatives without what they are at a kink, where they may jump."""
    declaration: Any = loss.declaration
    call: Any = loss
    found = call.value_grad_hess(np.full_like(x, target), x, reduction="none")
    curves = dict(zip(WORDS, map(np.array, found), strict=True))
    for kink in _kinks(loss):
        at = np.abs(declaration.kink_of(np.float64(target), x) - kink) < AT_KINK
        curves["grad"][at] = curves["hess"][at] = np.nan
    return curves


def _limits(curves: list[dict[str, Array]], kinds: list[str]) -> tuple[float, float]:
    """From bottom to top: the values without their singularities, and derivatives unless they are much larger."""
    main = np.concatenate([jet["value" if "value" in kinds else kinds[0]] for jet in curves])
    size = np.abs(main[np.isfinite(main)])
    span = min(float(size.max()), 4 * float(np.quantile(size, 0.75))) if size.any() else 1.0
    low = high = 0.0
    for kind in kinds:
        every = np.concatenate([jet[kind] for jet in curves])
        every = every[np.isfinite(every)]
        reach = np.inf if np.abs(every).max(initial=0.0) <= 2.5 * span else span
        low = max(min(low, every.min(initial=0.0)), min(low, -reach))
        high = min(max(high, every.max(initial=0.0)), max(high, reach))
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _predicted(loss: Loss) -> str:
    params = loss.get_params()
    if params.get("from_logits"):
        return "y_pred, a logit"
    return "y_pred, a probability" if _domains(loss)[1].high == 1 else "y_pred"


def _title(loss: Loss, width: int) -> str:
    """The name, with the parameters that shape the curves, and the formula in lines."""
    defaults, formula = REGISTRY[loss.name].get_params(), loss.declaration.formula
    told = []
    for k, v in loss.get_params().items():
        if v != defaults[k] or (isinstance(v, float) and k in formula):
            told.append(f"{k}={v:g}" if isinstance(v, float) else f"{k}={v!r}")
    lines = [loss.name + (f"({', '.join(told)})" if told else "")]
    for clause in formula.split(",  "):
        if len(lines) > 1 and len(lines[-1]) + len(clause) + 3 <= width:
            lines[-1] += ",  " + clause
        else:
            whole = re.sub(r"\([^()]*\)", lambda inner: inner[0].replace(" ", "\N{NO-BREAK SPACE}"), clause)
            lines += [x.replace("\N{NO-BREAK SPACE}", " ") for x in textwrap.wrap(whole, width, break_long_words=False)]
    return "\n".join(lines)


def gallery(path: Any = None, *, losses: Sequence[Any] | None = None, ax: Any = None) -> Array:
    """All pointwise losses, or those given, in a grid: see `loss`.

    Parameters
    ----------
    path : path or file, optional
        Where to save the figure, in the format of its suffix; it is then closed.  By default it stays open.
    losses : sequence, optional
        Which losses; each as `lossfast.get` takes it.
    ax : array of matplotlib Axes, optional
        Where to draw, at least one for each loss; by default a new figure.

    Returns
    -------
    array of Axes

    Raises
    ------
    ValueError
        For losses that are not pointwise, and too few axes.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.plot.gallery("losses.png")  # doctest: +SKIP
    """
    given = [_pointwise(get(one)) for one in (_names() if losses is None else losses)]
    if not given:
        raise ValueError("losses is empty, expected at least one")
    columns = min(4, len(given))
    axes = several(ax, len(given), -(-len(given) // columns), columns, (3.4, 2.75))
    for one, where in zip(given, axes, strict=True):
        loss(one, where)
        where.get_legend().remove()
        where.set_title(_title(one, 46), fontsize="small")
        where.xaxis.label.set_size("small")
        where.tick_params(labelsize="small")
    figure = axes[0].figure
    if ax is None:
        handles = _keys(list(WORDS), ("y_true = 1, or as written", "y_true = 0 or -1"))
        figure.legend(handles=handles, loc="outside lower center", ncols=(2, 3, 5, 5)[columns - 1], frameon=False)
    if path is not None:
        figure.savefig(path)
        if ax is None:
            pyplot().close(figure)
    return axes
