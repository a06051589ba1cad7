"""Reads strings of handwritten digits that were never cut apart: a small network, lossfast's CTC, plain gradient steps.

    python examples/ctc_digits.py [--steps 800] [--plot ctc_digits.png]

Images of scikit-learn's digits are set side by side at random distances.  The network sees a window of columns and
gives a logit for each digit and for blank; it is told which digits a string has, and never where.  Prints the character
error rate of strings made of images that were held out, and draws the loss.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import lossfast as lf

Array = np.ndarray
BLANK, CLASSES = 10, 11
HEIGHT, REACH, HIDDEN = 8, 6, 128  # of an image; of a window, to either side; of the hidden layer
MARKS = "▁▂▃▄▅▆▇█"


@dataclass
class Strings:
    """Images of strings as (samples, columns, HEIGHT), padded to the widest, and what they say."""

    columns: Array
    widths: Array
    labels: Array
    lengths: Array


def draw_strings(images: Array, digits: Array, count: int, rng: np.random.Generator) -> Strings:
    """Strings of 3 to 7 digits, with 0 to 4 empty columns before each and after the last."""
    lengths = rng.integers(3, 8, count)
    labels = np.zeros((count, 7), np.int64)
    strips = []
    for i, length in enumerate(lengths):
        chosen = rng.integers(0, len(digits), length)
        labels[i, :length] = digits[chosen]
        parts = []
        for k in chosen:
            parts += [np.zeros((rng.integers(0, 5), HEIGHT)), images[k].T]
        strips.append(np.concatenate([*parts, np.zeros((rng.integers(1, 5), HEIGHT))]))
    widths = np.array([len(strip) for strip in strips])
    columns = np.zeros((count, widths.max(), HEIGHT))
    for row, strip in zip(columns, strips, strict=True):
        row[: len(strip)] = strip
    return Strings(columns, widths, labels, lengths)


class Reader:
    """Logits of every column: a hidden layer of tanh units over a window around it."""

    def __init__(self, rng: np.random.Generator) -> None:
        inputs = (2 * REACH + 1) * HEIGHT
        self.weights = {
            "into": rng.normal(0, 1 / math.sqrt(inputs), (inputs, HIDDEN)),
            "bias": np.zeros(HIDDEN),
            "out": rng.normal(0, 0.01, (HIDDEN, CLASSES)),
            "level": np.zeros(CLASSES),
        }

    def windows(self, columns: Array) -> Array:
        """(samples, columns, (2 REACH + 1) HEIGHT)."""
        padded = np.pad(columns, ((0, 0), (REACH, REACH), (0, 0)))
        shifted = [padded[:, k : k + columns.shape[1]] for k in range(2 * REACH + 1)]
        return np.concatenate(shifted, axis=2)

    def logits(self, columns: Array) -> Array:
        """In float32, (samples, columns, CLASSES)."""
        w = self.weights
        hidden = np.tanh(self.windows(columns) @ w["into"] + w["bias"])
        return (hidden @ w["out"] + w["level"]).astype(np.float32)

    def step(self, strings: Strings, rate: float) -> float:
        """A step down the gradient of the mean loss per digit; returns that loss."""
        w = self.weights
        x = self.windows(strings.columns)
        hidden = np.tanh(x @ w["into"] + w["bias"])
        loss, by_logits = lf.ctc.value_and_grad(
            strings.labels,
            hidden @ w["out"] + w["level"],
            strings.lengths,
            strings.widths,
            blank=BLANK,
            reduction="target_mean",
        )
        by_hidden = (by_logits @ w["out"].T) * (1 - hidden**2)
        slopes = {
            "into": np.tensordot(x, by_hidden, ((0, 1), (0, 1))),
            "bias": by_hidden.sum(axis=(0, 1)),
            "out": np.tensordot(hidden, by_logits, ((0, 1), (0, 1))),
            "level": by_logits.sum(axis=(0, 1)),
        }
        for name, slope in slopes.items():
            w[name] -= rate * slope
        return float(loss)

    def read(self, strings: Strings) -> list[str]:
        """The labels of the best path, as digits."""
        found = lf.ctc_greedy_decode(self.logits(strings.columns), strings.widths, blank=BLANK)
        return spelled(found.labels, found.lengths)


def spelled(labels: Array, lengths: Array) -> list[str]:
    """Rows of digits as strings."""
    return ["".join(map(str, row[:n])) for row, n in zip(labels, lengths, strict=True)]


def error_rate(reader: Reader, strings: Strings) -> float:
    """Edits per digit."""
    return lf.character_error_rate(spelled(strings.labels, strings.lengths), reader.read(strings))


@dataclass
class Result:
    """What a run has found."""

    reader: Reader
    held_out: Strings
    losses: list[float]
    rates: dict[int, float]  # the error rate of held-out strings after so many steps


def train(
    steps: int = 800, batch: int = 32, rate: float = 0.3, seed: int = 0, looks: int = 40, say: Any = print
) -> Result:
    """Teach a reader with images of which a fifth is held out, and look so many times how well it reads those."""
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(seed)
    data = load_digits()
    images, digits = data.images / 16.0, data.target
    order = rng.permutation(len(digits))
    kept, seen = order[: len(order) // 5], order[len(order) // 5 :]
    held_out = draw_strings(images[kept], digits[kept], 200, rng)
    reader = Reader(rng)
    losses: list[float] = []
    rates: dict[int, float] = {}
    for done in range(1, steps + 1):
        losses.append(reader.step(draw_strings(images[seen], digits[seen], batch, rng), rate))
        if done % max(1, steps // looks) == 0 or done == steps:
            rates[done] = latest = error_rate(reader, held_out)
        if done % max(1, steps // 10) == 0 and rates:
            say(f"step {done:4d}   loss per digit {np.mean(losses[-20:]):6.3f}   error rate {latest:7.2%}")
    return Result(reader, held_out, losses, rates)


def sparkline(values: list[float], width: int = 60) -> str:
    """The logarithms of the values as a line of blocks."""
    means = [math.log(np.mean(part)) for part in np.array_split(values, min(width, len(values)))]
    low, high = min(means), max(means)
    return "".join(MARKS[int(7 * (m - low) / ((high - low) or 1))] for m in means)


def draw(result: Result, path: Path) -> None:
    """The loss, the error rate, and what the reader sees in one string."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    strings, k = result.held_out, int(np.argmax(result.held_out.widths))
    width = strings.widths[k]
    logits = result.reader.logits(strings.columns[k : k + 1, :width])[0].astype(np.float64)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)

    figure = plt.figure(figsize=(9, 6.2), layout="constrained")
    top, middle, bottom = figure.add_gridspec(3, 1, height_ratios=(3.2, 0.9, 1.9))
    axis = figure.add_subplot(top)
    axis.semilogy(range(1, len(result.losses) + 1), result.losses, color="tab:blue", lw=1)
    axis.set(xlabel="gradient steps", ylabel="CTC loss per digit", xlim=(0, len(result.losses)))
    axis.grid(axis="y", alpha=0.3)
    axis.yaxis.label.set_color("tab:blue")
    twin = axis.twinx()
    twin.plot(list(result.rates), [100 * r for r in result.rates.values()], "o-", color="tab:red", ms=3, lw=1)
    twin.set(ylabel="character error rate\nof held-out strings, %", ylim=(0, 105))
    twin.yaxis.label.set_color("tab:red")
    axis.set_title(f"Strings of digits, read with an error rate of {list(result.rates.values())[-1]:.1%}")

    axis = figure.add_subplot(middle)
    axis.imshow(strings.columns[k, :width].T, cmap="gray_r", aspect="auto", interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    said = " ".join(map(str, result.reader.read(strings)[k]))
    axis.set_title(f"A held-out string, read as {said}", fontsize=10)
    axis = figure.add_subplot(bottom)
    axis.imshow(p.T, cmap="Blues", aspect="auto", interpolation="nearest", vmin=0, vmax=1)
    axis.set(xlabel="column", ylabel="class", yticks=range(CLASSES))
    axis.set_yticklabels([*map(str, range(10)), "blank"], fontsize=7)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """Train, report, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=800, help="gradient steps (default: 800)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, default=Path("ctc_digits.png"), metavar="FILE.png")
    given = parser.parse_args(arguments)
    result = train(given.steps, seed=given.seed)
    print(f"\ncharacter error rate of {len(result.held_out.lengths)} held-out strings: "
          f"{list(result.rates.values())[-1]:.2%}")  # fmt: skip
    strings = result.held_out
    truths = spelled(strings.labels, strings.lengths)
    for truth, read in list(zip(truths, result.reader.read(strings), strict=True))[:5]:
        print(f"  {truth:>7}  read as {read}{'' if truth == read else '   wrong'}")
    print(f"\nloss  {sparkline(result.losses)}")
    try:
        draw(result, given.plot)
        print(f"drawn to {given.plot}")
    except ImportError:
        print("for a picture: pip install 'lossfast[plot]'")


if __name__ == "__main__":
    main()
