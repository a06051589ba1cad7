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


def of_sums(name, i, p, t, n, d, alpha=None, beta=None):
    """The formula of a loss."""
    if name == "dice":
        return 1 - (2 * i + n) / (p + t + d)
    if name == "jaccard":
        return 1 - (i + n) / (p + t - i + d)
    if name == "tversky":
        return 1 - (i + n) / (i + alpha * (p - i) + beta * (t - i) + d)
    raise LookupError(name)


OF_SUMS = ("dice", "jaccard", "tversky")


def activated(z, activation):
    """Probabilities of one position, of logits that may be complex."""
    if activation is None:
        return list(z)
    if activation == "sigmoid":
        return [1 / (1 + np.exp(-x)) if x.real > 0 else np.exp(x) / (1 + np.exp(x)) for x in z]
    top = max(x.real for x in z)
    e = [np.exp(x - top) for x in z]
    return [x / sum(e) for x in e]


class Region:
    """A call by its definition: `items` and their weights, as the reductions want them."""

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

    def kept(self, at, k):
        """Whether an element counts."""
        ignore = self.params["ignore_index"]
        return ignore is None or (self.target[at] if self.labels else self.target[(*at, k)]) != ignore

    def true(self, at, k):
        return float(self.target[at] == k) if self.labels else float(self.target[(*at, k)])

    def sums(self, pred):
        """I, P and T of every sample and class, as nested lists."""
        shape = pred.shape
        positions = list(itertools.product(*map(range, shape[1:-1]))) if len(shape) > 1 else [()]
        samples = [(b,) for b in range(shape[0])] if len(shape) > 1 else [()]
        power = 2 if self.params["squared"] else 1
        found = []
        for b in samples:
            rows = [[0.0, 0.0, 0.0] for _ in range(shape[-1])]
            for s in positions:
                at = (*b, *s)
                p = activated(pred[at], self.params["activation"])
                for k, row in enumerate(rows):
                    if self.kept(at, k):
                        t = self.true(at, k)
                        for j, term in enumerate((p[k] * t, p[k] ** power, t**power)):
                            row[j] = row[j] + term
            found.append(rows)
        return np.array(found)

    def items(self, pred):
        """Losses and weights of the items, and which of them count."""
        p = self.params
        sums = self.sums(pred)
        weights = np.ones(pred.shape[-1]) if p["class_weight"] is None else np.asarray(p["class_weight"])
        first = 0 if p["include_background"] else 1
        if p["reduce_over"] != "sample" and pred.ndim > 1:
            sums = sums.sum(axis=0, keepdims=True)
        sums, weights = sums[:, first:], weights[first:]
        if p["reduce_over"] == "all":
            sums, weights = (sums * weights[:, None]).sum(axis=1, keepdims=True), np.ones(1)
        losses, w, kept = [], [], []
        own = {k: p[k] for k in ("alpha", "beta", "gamma") if k in p}
        for row in sums:
            for k, (i, q, t) in enumerate(row):
                nothing = q == 0 and t == 0
                empty = p["empty"]
                if nothing:
                    losses.append(float(empty == "one"))
                else:
                    losses.append(of_sums(self.loss.name, i, q, t, *self.smooth, **own))
                kept.append(empty != "skip" or t != 0)
                w.append(weights[k] if kept[-1] else 0.0)
        shape = sums.shape[:2]
        if p["reduce_over"] != "sample" or pred.ndim == 1:
            shape = shape[1:]
        if p["reduce_over"] == "all" or self.axis is None:
            shape = shape[:-1]
        w, kept = np.array(w).reshape(shape), np.array(kept).reshape(shape)
        if self.weight is not None:
            given = np.asarray(self.weight, np.float64)
            w = w * given.reshape(given.shape + (1,) * (w.ndim - given.ndim))
        return np.array(losses).reshape(shape), w, kept

    def reduced(self, reduction, pred=None):
        """The value."""
        losses, w, kept = self.items(self.pred.astype(np.float64) if pred is None else pred)
        x = np.where(w == 0, 0.0, w * np.where(w == 0, 0.0, losses))
        if reduction == "none":
            return x
        if reduction == "sample":
            over = tuple(range(1, w.ndim))
            total = w.sum(axis=over)
            return np.where(total == 0, 0.0, x.sum(axis=over) / np.where(total == 0, 1, total))
        if reduction == "mean":
            divisor = w.sum()
        elif reduction == "sum_over_batch_size":
            divisor = kept.sum()
        elif reduction == "batchmean":
            divisor = kept.reshape(len(w), -1).any(axis=1).sum()
        else:
            divisor = 1
        return x.sum() / divisor if divisor else 0.0

    def gradient(self, reduction):
        """By complex steps, in the axes of the caller."""
        z = self.pred.astype(np.complex128)
        grad = np.zeros(z.shape)
        for i in np.ndindex(z.shape):
            step = z.copy()
            step[i] += 1e-30j
            grad[i] = np.sum(self.reduced(reduction, step)).imag / 1e-30
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
