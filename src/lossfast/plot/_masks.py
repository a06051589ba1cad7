"""A mask, its prediction and its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossfast._arrays import Array, as_array
from lossfast.catalogue import get
from lossfast.plot._axes import RED, several


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

    axes = several(ax, 3, 1, 3, (4.2, 3.2))
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
