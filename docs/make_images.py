"""Draws the pictures of docs/plots.md: python docs/make_images.py [FOLDER], by default docs/images."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import lossfast as lf


def save(axes, path: Path, dpi: int = 80, colors: int = 48) -> None:
    """A figure as a small file: a few colours are enough for lines."""
    figure = np.ravel(axes)[0].figure
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=dpi)
    plt.close(figure)
    Image.open(drawn).convert("RGB").quantize(colors, dither=Image.Dither.NONE).save(path, optimize=True)


def history() -> dict[str, list[float]]:
    """Of logistic regression by gradient steps, on 40 of the breast cancer data, with a rate that falls."""
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    x = np.c_[(x - x.mean(axis=0)) / x.std(axis=0), np.ones(len(x))]
    order = np.random.default_rng(0).permutation(len(y))
    seen, held_out = order[:40], order[40:]
    loss, w, epochs = lf.BinaryCrossentropy(from_logits=True), np.zeros(x.shape[1]), 60
    found: dict[str, list[float]] = {key: [] for key in ("loss", "val_loss", "accuracy", "val_accuracy", "lr")}
    for epoch in range(epochs):
        rate = 0.5 * (1 + np.cos(np.pi * epoch / epochs))
        value, grad = loss.value_and_grad(y[seen], x[seen] @ w)
        found["loss"].append(value)
        found["val_loss"].append(loss(y[held_out], x[held_out] @ w))
        found["accuracy"].append(float(np.mean((x[seen] @ w > 0) == y[seen])))
        found["val_accuracy"].append(float(np.mean((x[held_out] @ w > 0) == y[held_out])))
        found["lr"].append(rate)
        w -= rate * (x[seen].T @ grad)
    return found


def rosenbrock(x):
    """Value and gradient."""
    a, b = 1 - x[0], x[1] - x[0] ** 2
    return a**2 + 100 * b**2, np.array([-2 * a - 400 * x[0] * b, 200 * b])


def masks() -> tuple[np.ndarray, np.ndarray]:
    """An ellipse, and logits that miss it by a little."""
    rows, columns = np.mgrid[:48, :64]
    mask = (rows - 24) ** 2 / 300 + (columns - 30) ** 2 / 200 < 1
    noise = np.random.default_rng(0).normal(0, 1, mask.shape)
    return mask, 6 - ((rows - 20) ** 2 + (columns - 36) ** 2) / 40 + noise


def main(folder: Path) -> None:
    """All of them."""
    folder.mkdir(parents=True, exist_ok=True)
    save(lf.plot.loss("huber", delta=1.5), folder / "huber.png")
    save(lf.plot.loss("binary_focal_crossentropy", from_logits=True), folder / "focal.png")
    save(lf.plot.gallery(), folder / "gallery.png", dpi=65)
    save(lf.plot.history(history()), folder / "history.png")
    found = lf.minimize(rosenbrock, [-1.2, 1.0], lf.optim.SGD(lr=5e-4, momentum=0.9), steps=500, record_path=True)
    save(lf.plot.path(found, rosenbrock), folder / "path.png", dpi=70, colors=200)
    mask, logits = masks()
    save(lf.plot.segmentation(mask, logits, activation="sigmoid"), folder / "segmentation.png", dpi=65, colors=200)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent / "images")
