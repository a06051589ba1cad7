"""The history of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lossfast._arrays import Array
from lossfast.plot._axes import BLUE, GREEN, GREY, RED, axes_or_new, several

RATES = ("lr", "learning_rate")


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
        axes = np.array([axes_or_new(None)], dtype=object)
    else:
        options: dict[str, Any] = {"sharex": True, "height_ratios": heights} if ax is None else {}
        axes = several(ax, len(order), len(order), 1, (6.4, sum(heights) / len(order)), **options)
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
