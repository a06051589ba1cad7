"""Operands of the losses of masks, and their results by definition: position by position, item by item.

The definition takes complex predictions, so that its derivative is that of a step of 1e-30 along the imaginary axis,
without a difference (W. Squire, G. Trapp, SIAM Rev. 40 (1998) 110).
"""

import itertools

import numpy as np

KINDS = ("masks", "soft", "labels")
CLASSES = 3


def region_operands(loss, shape, dtype=np.float64, seed=0, kind="masks"):
    """y_true and y_pred of a shape with the samples first and the classes last; labels in every kind but masks."""
    rng = np.random.default_rng([seed, *shape])
    classes = shape[-1]
    logits = rng.normal(0, 2, shape)
    pred = logits if loss.get_params()["activation"] else 1 / (1 + np.exp(-logits))
    labels = rng.integers(0, classes, shape[:-1])
    if kind == "labels":
        return labels, pred.astype(dtype)
    if kind == "soft":
        return np.where(rng.uniform(size=shape) < 0.3, 0.0, rng.uniform(size=shape)).astype(dtype), pred.astype(dtype)
    return (labels[..., None] == np.arange(classes)).astype(np.uint8), pred.astype(dtype)


def of_sums(name, i, p, t, n, d, alpha=None, beta=None, gamma=None):
    """The formula of a loss of one item."""
    if name in ("dice", "generalized_dice", "dice_crossentropy", "dice_focal"):
        return 1 - (2 * i + n) / (p + t + d)
    if name == "jaccard":
        return 1 - (i + n) / (p + t - i + d)
    if name == "tversky":
        return 1 - (i + n) / (i + alpha * (p - i) + beta * (t - i) + d)
    if name == "focal_tversky":
        x = of_sums("tversky", i, p, t, n, d, alpha, beta)
        return np.where(x.real > 0, x, 1) ** gamma * (x.real > 0)
    if name == "log_cosh_dice":
        return np.log(np.cosh(of_sums("dice", i, p, t, n, d)))
    raise LookupError(name)


BY_CLASS = ("dice", "jaccard", "tversky", "focal_tversky", "log_cosh_dice")  # whose items are classes
BY_SAMPLE = ("generalized_dice", "dice_crossentropy", "dice_focal")


def log_activated(z, activation):
    """Logarithms of the probabilities of one position, and of their complements by sigmoids; logits may be complex."""
    if activation == "sigmoid":
        log1p = [np.log(1 + np.exp(-x * np.sign(x.real))) for x in z]
        return [(np.minimum(x.real, 0) + 1j * np.where(x.real < 0, x.imag, 0) - y,
                 np.minimum(-x.real, 0) - 1j * np.where(x.real < 0, 0, x.imag) - y)
                for x, y in zip(z, log1p, strict=True)]  # fmt: skip
    top = max(x.real.max() for x in z)
    return [x - top - np.log(sum(np.exp(y - top) for y in z)) for x in z]


def activated(z, activation):
    """Probabilities of one position."""
    if activation is None:
        return list(z)
    logs = log_activated(z, activation)
    return [np.exp(x[0] if activation == "sigmoid" else x) for x in logs]


class Region:
    """A call by its definition: `items` and their weights, as the reductions want them.

    Numbers are arrays: of the predictions as they are, and with a step along the imaginary axis in each of them.
    """

    def __init__(self, loss, target, pred, sample_weight=None, **options):
        self.loss = loss
        single = np.asarray(pred).dtype in (np.float32, np.float16)
        self.params = {**loss.get_params(), **options}
        n, d = (x if isinstance(x, float) else None for x in self.params["smooth"])
        eps = float(np.finfo(np.float32 if single else np.float64).eps)
        self.smooth = (eps if n is None else n, eps if d is None else d)
        axis = self.params["axis"]
        self.pred = np.asarray(pred)[..., None] if axis is None else np.moveaxis(np.asarray(pred), axis, -1)
        self.axis = axis
        shape = self.pred.shape
        target = np.asarray(target)
        self.labels = target.size * shape[-1] == self.pred.size and shape[-1] > 1
        if self.labels:
            self.target = target.reshape(shape[:-1])
        elif axis is None:
            self.target = target[..., None]
        else:
            self.target = np.moveaxis(target, axis, -1) if target.ndim == np.ndim(pred) else target[..., None]
        self.weight = sample_weight
        self.pixel = loss.name.removeprefix("dice_") if loss.name in BY_SAMPLE[1:] else None
        self.losses, self.w, self.kept_items = self._items()

    def kept(self, at, k):
        """Whether an element counts."""
        ignore = self.params["ignore_index"]
        return ignore is None or (self.target[at] if self.labels else self.target[(*at, k)]) != ignore

    def true(self, at, k):
        if not self.kept(at, k):
            return 0.0
        return float(self.target[at] == k) if self.labels else float(self.target[(*at, k)])

    def steps(self):
        """The predictions as they are and with each of the steps, along a last axis."""
        size = self.pred.size if self.pred.size <= 100 else 0
        found = np.repeat(self.pred.astype(complex)[..., None], 1 + size, axis=-1)
        found.reshape(self.pred.size, -1)[range(size), range(1, 1 + size)] += 1e-30j
        return found

    def position(self, at, z, v):
        """The loss of a position and the weight by which the mean divides."""
        loss, weight, activation = 0.0, 0.0, self.params["activation"]
        gamma = self.params["gamma"] if self.pixel == "focal" else 0.0
        alpha = self.params.get("alpha")
        for k, log in enumerate(log_activated(z, activation)):
            t = self.true(at, k)
            if activation == "softmax" and t:
                loss = loss - v[k] * t * (1 - np.exp(log)) ** gamma * log
                weight += v[k] * t
            elif activation == "sigmoid" and self.kept(at, k):
                p, balance = np.exp(log[0]), 1.0 if alpha is None else alpha * t + (1 - alpha) * (1 - t)
                denied = (1 - t) * p + t * (1 - p)
                loss = loss - v[k] * balance * denied**gamma * (t * log[0] + (1 - t) * log[1])
                weight += v[k]
        return loss, weight

    def sums(self):
        """I, P and T of every sample and class, and the losses of positions with their weights."""
        shape, z = self.pred.shape, self.steps()
        positions = list(itertools.product(*map(range, shape[1:-1]))) if len(shape) > 1 else [()]
        samples = [(b,) for b in range(shape[0])] if len(shape) > 1 else [()]
        power = 2 if self.params["squared"] else 1
        v = np.ones(shape[-1]) if self.params["class_weight"] is None else np.asarray(self.params["class_weight"])
        found = np.zeros((len(samples), shape[-1], 3, z.shape[-1]), complex)
        pixels = np.zeros((len(samples), 2, z.shape[-1]), complex)
        for row, pixel, b in zip(found, pixels, samples, strict=True):
            for s in positions:
                at = (*b, *s)
                p = activated(z[at], self.params["activation"])
                for k in range(shape[-1]):
                    if self.kept(at, k):
                        t = self.true(at, k)
                        row[k, 0] += p[k] * t
                        row[k, 1] += p[k] ** power
                        row[k, 2] += t**power
                if self.pixel:
                    for j, term in enumerate(self.position(at, z[at], v)):
                        pixel[j] += term
        return found, pixels

    def rarity(self, totals, v):
        """What the sums of the classes of an item are multiplied by."""
        power = {"square": 2, "simple": 1, "uniform": 0}[self.params.get("weighting", "uniform")]
        rare = [t ** -float(power) if t > 0 else None for t in totals]
        most = max([x for x, y in zip(rare, v, strict=True) if x is not None and y > 0], default=1.0)
        if not power:
            return v
        absent = 0.0 if self.params["empty"] == "skip" else most
        return v * np.array([absent if x is None else x for x in rare])

    def _items(self):
        """Losses and weights of the items, and which of them count."""
        p = self.params
        sums, pixels = self.sums()
        v = np.ones(self.pred.shape[-1]) if p["class_weight"] is None else np.asarray(p["class_weight"])
        first = 0 if p["include_background"] else 1
        if p["reduce_over"] != "sample" and self.pred.ndim > 1:
            sums, pixels = sums.sum(axis=0, keepdims=True), pixels.sum(axis=0, keepdims=True)
        sums, v, together = sums[:, first:], v[first:], p["reduce_over"] == "all" or self.loss.name == BY_SAMPLE[0]
        present = sums[:, :, 2, 0].real != 0
        if together:
            shares = np.array([self.rarity(row[:, 2, 0].real, v) for row in sums]).reshape(len(sums), len(v))
            sums = (sums * shares[:, :, None, None]).sum(axis=1, keepdims=True)
            present, v = (present & (v > 0)).any(axis=1, keepdims=True), np.ones(1)
        i, q, t = np.moveaxis(sums, 2, 0)
        nothing = (q[..., :1] == 0) & (t[..., :1] == 0)
        own = {k: p[k] for k in ("alpha", "beta", "gamma") if k in p and not self.pixel}
        with np.errstate(all="ignore"):
            losses = of_sums(self.loss.name, i, q, t, *self.smooth, **own)
        losses = np.where(nothing, float(p["empty"] == "one"), losses)
        kept = present if p["empty"] == "skip" else np.ones(present.shape, bool)
        w = np.where(kept, v, 0.0)
        if self.pixel:
            total, (each, weight) = w.sum(axis=1)[:, None], np.moveaxis(pixels, 1, 0)
            losses = p["dice_weight"] * (w[:, :, None] * losses).sum(axis=1) / np.where(total == 0, 1, total)
            losses = losses + p[f"{self.pixel}_weight"] * each / np.where(weight == 0, 1, weight)
            w = np.ones(len(losses))
            kept = w == 1
        samples = p["reduce_over"] == "sample" and self.pred.ndim > 1
        by_class = not (together or self.pixel or self.axis is None)
        shape = sums.shape[0 if samples else 1 : 2 if by_class else 1]
        w, kept = w.reshape(shape), kept.reshape(shape)
        if self.weight is not None:
            given = np.asarray(self.weight, np.float64)
            w = w * given.reshape(given.shape + (1,) * (w.ndim - given.ndim))
        return losses.reshape(*shape, losses.shape[-1]), w, kept

    def _reduced(self, reduction):
        w, kept = self.w, self.kept_items
        x = np.where(w[..., None] == 0, 0.0, w[..., None] * np.where(w[..., None] == 0, 0.0, self.losses))
        over = tuple(range(w.ndim))
        if reduction == "none":
            return x
        if reduction == "sample":
            total = w.sum(axis=over[1:])[..., None]
            return np.where(total == 0, 0.0, x.sum(axis=over[1:]) / np.where(total == 0, 1, total))
        if reduction == "mean":
            divisor = w.sum()
        elif reduction == "sum_over_batch_size":
            divisor = kept.sum()
        elif reduction == "batchmean":
            divisor = kept.reshape(len(w), -1).any(axis=1).sum()
        else:
            divisor = 1
        return x.sum(axis=over) / divisor if divisor else np.zeros(x.shape[-1:])

    def reduced(self, reduction):
        """The value."""
        return self._reduced(reduction)[..., 0].real

    def gradient(self, reduction):
        """By complex steps, in the axes of the caller."""
        steps = self._reduced(reduction)[..., 1:].imag / 1e-30
        grad = steps.reshape(-1, self.pred.size).sum(axis=0).reshape(self.pred.shape)
        return grad[..., 0] if self.axis is None else np.moveaxis(grad, -1, self.axis)


def assert_near(got, want, dtype, scale=1.0):
    """To rounding of the arithmetic, relative to the largest."""
    single = np.dtype(dtype) != np.float64
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape
    rtol = {2: 2e-3}.get(np.dtype(dtype).itemsize, 5e-6) if single else 1e-12
    largest = np.abs(want[np.isfinite(want)]).max(initial=0.0)
    good = (got == want) | (np.isnan(got) & np.isnan(want)) | (np.abs(got - want) <= rtol * (largest + 1e-300) * scale)
    bad = np.argwhere(~good)
    assert not len(bad), f"{bad[0].tolist()}: {got[tuple(bad[0])]!r}, expected {want[tuple(bad[0])]!r}"
