"""Pictures, with matplotlib: of losses, of training, of the way down and of masks.

>>> import lossfast as lf
>>> axes = lf.plot.loss("huber", delta=2.0)  # doctest: +SKIP

Each function draws into the axes that it is given, or into a new figure of pyplot, and returns the axes; none changes
a setting of matplotlib.  It comes with ``pip install "lossfast[plot]"``.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lossfast._arrays import Array, as_array, position
from lossfast._declarations import Domain, Pointwise
from lossfast._errors import did_you_mean
from lossfast._loss import REGISTRY, Loss
from lossfast.catalogue import get

# Of M. Okabe and K. Ito, "Color universal design" (2008): told apart with every kind of colour vision.
BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
WORDS = {"value": "value", "grad": "gradient", "hess": "Hessian"}
# The first is drawn first and broadest, so that none hides another where they coincide.
STYLES: dict[str, dict[str, Any]] = {
    "value": {"color": BLUE, "lw": 3.0},
    "grad": {"color": RED, "lw": 2.0},
    "hess": {"color": GREEN, "lw": 1.3},
}
DASHES = ("-", "--", ":", "-.")
RATES = ("lr", "learning_rate")
AT_KINK, BESIDE_KINK = 1e-12, 1e-9
RELATIVE = ("mape",)  # losses that divide by the target, and have no shape where it is 0


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError('lossfast.plot needs matplotlib: pip install "lossfast[plot]"') from error
    return plt


def _axes(ax: Any) -> Any:
    """The axes given, or those of a new figure."""
    if ax is None:
        return _pyplot().subplots(layout="constrained")[1]
    if not hasattr(ax, "plot"):
        raise TypeError(f"ax is {type(ax).__name__}, expected matplotlib's Axes or None")
    return ax


def _several(ax: Any, count: int, rows: int, columns: int, size: tuple[float, float], **options: Any) -> Array:
    """That many axes: those given, or of a new figure of so many rows and columns, in inches each."""
    if ax is None:
        figure = _pyplot().figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
        ax = figure.subplots(rows, columns, squeeze=False, **options)
    found: Array = np.array(ax, dtype=object).ravel()
    for one in found:
        _axes(one)
    if found.size < count:
        raise ValueError(f"ax has {found.size} axes, expected {count}")
    for rest in found[count:]:
        rest.set_axis_off()
    return found[:count]


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
    ax = _axes(ax)
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
    axes = _several(ax, len(given), -(-len(given) // columns), columns, (3.4, 2.75))
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
            _pyplot().close(figure)
    return axes


def history(history: Any, ax: Any = None, *, keys: Sequence[str] | None = None) -> Any:
    """What training recorded, against the epoch: losses, then metrics, then the learning rate, one panel each.

    Parameters
    ----------
    history : dict of lists, or what has one
        ``{"loss": [...], "val_loss": [...], "lr": [...]}`` with a number for each epoch, or an object with such a
        `history`: an estimator, or what Keras's `fit` returns.
    ax : matplotlib Axes or array of them, optional
        Where to draw: one for each panel.  A single one gets the first panel alone.  By default a new figure.
    keys : sequence of str, optional
        Which entries to draw; by default all.

    Returns
    -------
    Axes, or array of Axes
        An array if there are several panels.

    Raises
    ------
    TypeError
        For what has no history.
    ValueError
        For entries that are not lists of numbers, unknown keys, and too few axes.
    ImportError
        Without matplotlib.

    Notes
    -----
    What is for validation (``val_...``) shares the panel of what it validates, dashed, and the objective, which has the
    penalties too, that of the loss, dotted; the epoch with the lowest validation loss is marked.  Axes are logarithmic
    where numbers are positive and of different magnitudes.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.plot.history({"loss": [0.9, 0.4, 0.2], "val_loss": [1.0, 0.6, 0.5]})  # doctest: +SKIP
    """
    series = _series(history, keys)
    panels: dict[str, list[str]] = {}
    for key in series:
        panel = key.removeprefix("val_")
        panels.setdefault("loss" if panel == "objective" else panel, []).append(key)
    order = sorted(panels, key=lambda panel: (panel in RATES) - (panel == "loss"))
    single = ax is not None and hasattr(ax, "plot")
    order = order[:1] if single else order
    heights = [2.0 if panel in RATES else 3.0 for panel in order]
    if ax is None and len(order) == 1:
        axes = np.array([_axes(None)], dtype=object)
    else:
        options: dict[str, Any] = {"sharex": True, "height_ratios": heights} if ax is None else {}
        axes = _several(ax, len(order), len(order), 1, (6.4, sum(heights) / len(order)), **options)
    for panel, where in zip(order, axes, strict=True):
        _panel(where, {key: series[key] for key in sorted(panels[panel], key=len)}, panel)
    axes[-1].set_xlabel("epoch")
    return axes[0] if len(order) == 1 else axes


def _series(history: Any, keys: Sequence[str] | None) -> dict[str, Array]:
    """The entries to draw, as arrays."""
    found = history
    while not isinstance(found, Mapping) and hasattr(found, "history"):
        found = found.history
    if not isinstance(found, Mapping):
        raise TypeError(f"history is {type(history).__name__}, expected a dict of lists or an object with a history")
    wanted = [key for key in found if key != "epoch"] if keys is None else [keys] if isinstance(keys, str) else keys
    series = {}
    for key in wanted:
        if key not in found:
            raise ValueError(f"keys has {key!r}, expected some of {', '.join(map(repr, found))}")
        try:
            values = np.array([np.nan if x is None else x for x in found[key]], dtype=np.float64)
        except (TypeError, ValueError):
            values = np.zeros((0, 0))
        if values.ndim != 1:
            raise ValueError(f"history[{key!r}] is {found[key]!r:.60}, expected a list of numbers, one for each epoch")
        if values.size:
            series[key] = values
    if not series:
        raise ValueError("history is empty, expected numbers of at least one epoch")
    return series


def _panel(ax: Any, series: dict[str, Array], panel: str) -> None:
    """A quantity and its validation."""
    from matplotlib.ticker import MaxNLocator

    numbers = np.concatenate([values[np.isfinite(values)] for values in series.values()])
    for key, values in series.items():
        validates = key.startswith("val_")
        color = GREY if panel in RATES else RED if validates else GREEN if key == "objective" else BLUE
        epochs = np.arange(1, len(values) + 1)
        marker = "o" if len(values) == 1 else None
        ax.plot(
            epochs,
            values,
            label=key,
            color=color,
            lw=1.8,
            ls="--" if validates else ":" if key == "objective" else "-",
            marker=marker,
        )
        if key == "val_loss" and np.isfinite(values).any():
            best = int(np.nanargmin(values))
            label = f"best: {values[best]:.4g} in epoch {best + 1}"
            mark: dict[str, Any] = {"mfc": "white", "mew": 1.8, "zorder": 4, "clip_on": False}
            ax.plot(best + 1, values[best], "o", color=color, label=label, **mark)
    low, high = np.quantile(numbers, (0.1, 0.9)) if numbers.size else (1.0, 1.0)
    if numbers.size and numbers.min() > 0 and high > 50 * low:
        ax.set_yscale("log")
    length = max(map(len, series.values()))
    ax.set_xlim(1 - min(0.5, 0.03 * length), length + min(0.5, 0.03 * length))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylabel("learning rate" if panel in RATES else panel)
    ax.grid(axis="y", alpha=0.3)
    if len(series) > 1 or panel == "loss":
        ax.legend(fontsize="small")


def path(result: Any, fun: Callable[[Any], Any] | None = None, ax: Any = None, *, points: int = 101) -> Any:
    """The way down: the points that a minimisation went through, on the function's contours, or its curve.

    Parameters
    ----------
    result : object
        With the points `path`, numbers or of one or two elements, and their `losses`: what
        ``lossfast.minimize(..., record_path=True)`` returns.
    fun : callable, optional
        What was minimised: the value at a point (a float, or an array of its shape), or a tuple that begins with it.
        Without it only the points are drawn.
    ax : matplotlib Axes, optional
        Where to draw; by default a new figure.
    points : int
        At how many points along each axis `fun` is computed.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        For a path that was not recorded, or of points with more than two elements.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.plot.path(result, fun)  # doctest: +SKIP
    """
    steps, shape = _recorded(result)
    if points < 2:
        raise ValueError(f"points is {points!r}, expected at least 2")
    ax = _axes(ax)
    from matplotlib.patheffects import withStroke

    line: dict[str, Any] = {"color": RED, "lw": 1.3, "path_effects": [withStroke(linewidth=2.6, foreground="white")]}
    if len(steps) <= 200:
        line |= {"marker": ".", "ms": 6}
    if steps.shape[1] == 1:
        x = steps[:, 0]
        if fun is not None:
            grid = np.linspace(*_around(x), points)
            ax.plot(grid, [_value(fun, shape, at) for at in grid], color=GREY, lw=1.5, label="function")
            losses = np.array([_value(fun, shape, at) for at in x])
        else:
            losses = _losses(result, len(steps))
        ax.plot(x, losses, label="path", **line)
        ends, ylabel = (x, losses), "value"
    else:
        if fun is not None:
            _contours(ax, fun, shape, steps, points)
        ax.plot(steps[:, 0], steps[:, 1], label="path", **line)
        ends, ylabel = (steps[:, 0], steps[:, 1]), "x[1]"
    outlined = {"ls": "none", "mec": "white", "zorder": 5}
    ax.plot(ends[0][:1], ends[1][:1], "o", color="black", ms=8, label="start", **outlined)
    ax.plot(ends[0][-1:], ends[1][-1:], "*", color="black", ms=14, label=f"after {len(steps) - 1} steps", **outlined)
    ax.set(xlabel="x[0]" if steps.shape[1] == 2 else "x", ylabel=ylabel)
    ax.legend(fontsize="small")
    return ax


def _recorded(result: Any) -> tuple[Array, tuple[int, ...]]:
    """The points as rows, (steps + 1, d), and the shape that each had."""
    found = getattr(result, "path", getattr(result, "path_", None))
    if found is None:
        raise ValueError("result has no path: minimise with record_path=True")
    steps = np.asarray(found, dtype=np.float64)
    if not steps.ndim or not len(steps) or steps[0].size not in (1, 2):
        raise ValueError(f"the path has shape {steps.shape}, expected (steps + 1, d) with d = 1 or 2")
    if not np.isfinite(steps).all():
        first = tuple(np.argwhere(~np.isfinite(steps))[0])
        raise ValueError(f"path{position(first)} is {steps[first]}, expected finite numbers")
    return steps.reshape(len(steps), -1), steps.shape[1:]


def _losses(result: Any, count: int) -> Array:
    found = np.asarray(getattr(result, "losses", ()), dtype=np.float64)
    if found.shape != (count,):
        raise ValueError(f"result.losses has shape {found.shape}, expected ({count},): one for each point of the path")
    return found


def _value(fun: Callable[[Any], Any], shape: tuple[int, ...], *coordinates: float) -> float:
    found = fun(np.reshape(coordinates, shape) if shape else float(coordinates[0]))
    return float(np.squeeze(found[0] if isinstance(found, tuple) else found))


def _around(x: Array) -> tuple[float, float]:
    """The range of the points with a margin."""
    low, high = float(x.min()), float(x.max())
    margin = 0.15 * (high - low) or 1.0
    return low - margin, high + margin


def _contours(ax: Any, fun: Callable[[Any], Any], shape: tuple[int, ...], steps: Array, points: int) -> None:
    """Filled contours, with equal areas between levels: valleys show as well as walls."""
    xs, ys = (np.linspace(*_around(steps[:, k]), points) for k in (0, 1))
    z = np.array([[_value(fun, shape, x, y) for x in xs] for y in ys])
    known = z[np.isfinite(z)]
    levels = np.unique(np.quantile(known, np.linspace(0, 1, 16))) if known.size else np.zeros(1)
    if levels.size < 3:
        return
    from matplotlib.colors import BoundaryNorm

    ax.contourf(xs, ys, z, levels=levels, cmap="Blues_r", norm=BoundaryNorm(levels, 256), alpha=0.75)
    ax.contour(xs, ys, z, levels=levels[1:-1], colors="white", linewidths=0.5)


def segmentation(
    y_true: Any, y_pred: Any, ax: Any = None, *, loss: Any = "dice", image: Any = None, index: int | None = None,
    **params: Any,
) -> Array:  # fmt: skip
    """A mask, its prediction, and the gradient of their loss at every pixel, side by side.

    Parameters
    ----------
    y_true : array_like
        The mask, of shape (rows, columns); with `index` it may hold classes.
    y_pred : array_like
        Its prediction: probabilities, or with an `activation` logits, of the same shape; or of shape (rows, columns, C)
        with an `index`.
    ax : array of matplotlib Axes, optional
        Where to draw, three; by default a new figure.
    loss : str, dict, Loss or type
        A loss of masks, as `lossfast.get` takes it.
    image : array_like, optional
        What to show beneath, of shape (rows, columns) or (rows, columns, 3).
    index : int, optional
        Which class is shown.
    **params
        Parameters of the loss, such as ``activation="sigmoid"``.

    Returns
    -------
    array of Axes
        Of mask, prediction and gradient.  The edge of the mask is drawn in all.

    Raises
    ------
    ValueError
        For shapes that differ, losses of other families, and what the loss says no to.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.plot.segmentation(mask, logits, activation="sigmoid")  # doctest: +SKIP
    """
    found: Any = get(loss, **params)
    if found.declaration.family != "region":
        raise ValueError(f"loss is {found.name!r}, of the family {found.declaration.family}: expected a loss of masks")
    target, pred = as_array("y_true", y_true), as_array("y_pred", y_pred)
    if target.ndim != 2 or target.shape != pred.shape[:2]:
        raise ValueError(
            f"y_true has shape {target.shape} and y_pred {pred.shape}, expected (rows, columns), y_pred perhaps with a "
            "last axis of classes"
        )
    classes = pred.shape[2] if pred.ndim == 3 else None
    if classes is None:
        found = get(found, axis=None)
    elif pred.ndim != 3 or index is None or not 0 <= index < classes:
        raise ValueError(f"index is {index!r}, expected one of the {classes} classes of y_pred")
    value, grad = found.value_and_grad(target[None], pred[None])
    grad, mask, shown = grad[0], target, _probabilities(pred, found.get_params()["activation"])
    if classes is not None:
        grad, mask, shown = grad[..., index], target == index, shown[..., index]
    under = None if image is None else np.asarray(image)
    if under is not None and under.shape[:2] != mask.shape:
        raise ValueError(f"image has shape {under.shape}, expected {mask.shape} and perhaps an axis of colours")

    axes = _several(ax, 3, 1, 3, (4.2, 3.2))
    mask = mask.astype(np.float64)
    top = float(np.abs(grad[np.isfinite(grad)]).max(initial=0.0)) or 1.0
    layers = (
        ("mask", mask, mask, {"cmap": "cividis", "vmin": 0, "vmax": 1}),
        (f"prediction, {found.name} = {value:.4g}", shown, shown, {"cmap": "cividis", "vmin": 0, "vmax": 1}),
        (f"gradient of {found.name}", grad, np.abs(grad) / top, {"cmap": "PuOr", "vmin": -top, "vmax": top}),
    )
    for where, (title, layer, strength, colors) in zip(axes, layers, strict=True):
        over: dict[str, Any] = {}
        if under is not None:
            where.imshow(under, cmap="gray")
            over = {"alpha": 0.9 * np.sqrt(np.clip(np.nan_to_num(strength.astype(np.float64)), 0, 1))}
        drawn = where.imshow(layer.astype(np.float64), interpolation="nearest", **colors, **over)
        if np.ptp(mask):
            where.contour(mask, levels=[0.5], colors=[RED], linewidths=1.5)
        where.set(title=title, xticks=[], yticks=[])
        bar = where.figure.colorbar(drawn, cax=where.inset_axes((1.03, 0, 0.045, 1)))
        bar.ax.ticklabel_format(style="sci", scilimits=(-2, 3))
    return axes


def _probabilities(pred: Array, activation: str | None) -> Array:
    x = pred.astype(np.float64)
    if activation == "sigmoid":
        return np.exp(-np.logaddexp(0, -x))
    if activation == "softmax" and x.ndim == 3:
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return np.asarray(e / e.sum(axis=-1, keepdims=True))
    return x
