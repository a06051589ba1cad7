"""Operands of ctc, and its results by definition: the sum over all paths."""

import itertools

import numpy as np


def sequence_operands(loss, samples, dtype=np.float64, seed=0, frames=8, labels=3, classes=5):
    """Labels and logits in the order of axes that the loss's parameters say."""
    rng = np.random.default_rng([seed, samples])
    params = loss.get_params()
    logits = rng.normal(0, 2, (samples, frames, classes)).astype(dtype)
    symbols = [k for k in range(classes) if k != params["blank"]]
    targets = rng.choice(symbols, (samples, labels))
    return targets, logits.transpose(1, 0, 2).copy() if params["time_major"] else logits


def strings(classes, blank, most):
    """Every string of at most so many labels."""
    symbols = [k for k in range(classes) if k != blank]
    return [s for n in range(most + 1) for s in itertools.product(symbols, repeat=n)]


def collapsed(path, blank):
    """The labels that a path gives: repeated classes merged, then blanks removed."""
    merged = [k for i, k in enumerate(path) if i == 0 or k != path[i - 1]]
    return tuple(k for k in merged if k != blank)


class Paths:
    """All paths through so many frames, and the string that each gives."""

    def __init__(self, frames, classes, blank, most):
        self.strings = strings(classes, blank, most)
        number = {s: i for i, s in enumerate(self.strings)}
        paths = itertools.product(range(classes), repeat=frames)
        kept = [(number[s], path) for path in paths if (s := collapsed(path, blank)) in number]
        kept.sort()
        self.string = np.array([i for i, _ in kept], np.intp)
        self.path = np.array([path for _, path in kept], np.intp).reshape(len(kept), frames)
        self.classes = classes

    def likelihoods(self, probabilities):
        """P(string), and the expected number of visits to each class in each frame, in extended precision."""
        frames = np.arange(self.path.shape[1])
        p = probabilities.astype(np.longdouble)[frames, self.path].prod(axis=1)
        total = np.zeros(len(self.strings), np.longdouble)
        np.add.at(total, self.string, p)
        visits = np.zeros((len(self.strings), len(frames), self.classes), np.longdouble)
        for t in frames:
            np.add.at(visits, (self.string, t, self.path[:, t]), p)
        visits /= np.where(total > 0, total, 1)[:, None, None]
        return total, visits

    def padded(self):
        """The strings as labels and lengths; what is beyond is no class."""
        lengths = np.array([len(s) for s in self.strings])
        labels = np.full((len(self.strings), max(1, lengths.max(initial=0))), -99)
        for row, s in zip(labels, self.strings, strict=True):
            row[: len(s)] = s
        return labels, lengths


def softmax(z):
    """In extended precision."""
    z = z.astype(np.longdouble)
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def trained(rng, frames, samples, classes, labels, loss):
    """Labels, and logits of a model that is right: the loss is about `loss`; float32."""
    targets = rng.integers(1, classes, (samples, labels))
    noise = rng.normal(0, 1, (samples, frames, classes))
    height = np.log(frames * classes * np.exp(0.5) / loss)
    for i in range(samples):
        starts = np.sort(rng.choice(frames // 2, labels, replace=False)) * 2  # a blank frame after each label
        path = np.zeros(frames, np.intp)
        path[starts] = targets[i]
        noise[i, np.arange(frames), path] = height
    return targets, noise.astype(np.float32)
