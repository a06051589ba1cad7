"""The path of a minimisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lossfast._arrays import Array, position
from lossfast.plot._axes import GREY, RED, axes_or_new


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
    ax = axes_or_new(ax)
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
