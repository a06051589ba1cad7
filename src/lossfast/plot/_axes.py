"""What all pictures share: colours, dashes, and where to draw."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossfast._arrays import Array

# Of M. Okabe and K. Ito, "Color universal design" (2008): told apart with every kind of colour vision.
BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
DASHES = ("-", "--", ":", "-.")


def pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError('lossfast.plot needs matplotlib: pip install "lossfast[plot]"') from error
    return plt


def axes_or_new(ax: Any) -> Any:
    """The axes given, or those of a new figure."""
    if ax is None:
        return pyplot().subplots(layout="constrained")[1]
    if not hasattr(ax, "plot"):
        raise TypeError(f"ax is {type(ax).__name__}, expected matplotlib's Axes or None")
    return ax


def several(ax: Any, count: int, rows: int, columns: int, size: tuple[float, float], **options: Any) -> Array:
    """That many axes: those given, or of a new figure of so many rows and columns, in inches each."""
    if ax is None:
        figure = pyplot().figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
        ax = figure.subplots(rows, columns, squeeze=False, **options)
    found: Array = np.array(ax, dtype=object).ravel()
    for one in found:
        axes_or_new(one)
    if found.size < count:
        raise ValueError(f"ax has {found.size} axes, expected {count}")
    for rest in found[count:]:
        rest.set_axis_off()
    return found[:count]
