"""Operands of the losses of classes, and their results by definition: drop the rows to ignore, then the formula."""

import math

import numpy as np

REDUCTIONS = ("mean", "sum", "none", "sample", "sum_over_batch_size", "batchmean")
CLASSES = 5


def kinds(loss):
    """Whether y_true may be labels, and whether it may be targets."""
    return [k for k, takes in ((True, loss.declaration.labels), (False, loss.declaration.soft)) if takes]


def is_of_probabilities(loss):
    params = loss.get_params()
    return loss.declaration.terms is not None and not params["from_logits"] and not params.get("log_input")


def row_operands(loss, shape, dtype=np.float64, seed=0, labels=None):
    """y_true and y_pred of a shape whose last axis has the classes."""
    rng = np.random.default_rng([seed, *shape])
    labels = kinds(loss)[0] if labels is None else labels
    rows, classes = shape[:-1], shape[-1]
    scores = rng.normal(0, 3, shape)
    odds = np.exp(scores - scores.max(axis=-1, keepdims=True))
    p = odds / odds.sum(axis=-1, keepdims=True)
    pred = p if is_of_probabilities(loss) else np.log(p) if loss.get_params().get("log_input") else scores
    if labels:
        return rng.integers(0, classes, rows), pred.astype(dtype)
    soft = rng.dirichlet(np.ones(classes), rows) if rows else rng.dirichlet(np.ones(classes))
    soft = np.where(rng.uniform(size=shape) < 0.3, 0.0, soft)
    one_hot = np.zeros(shape)
    np.put_along_axis(one_hot, np.asarray(rng.integers(0, classes, rows))[..., None], 1.0, axis=-1)
    return np.where(rng.uniform(size=rows)[..., None] < 0.5, soft, one_hot).astype(dtype), pred.astype(dtype)


def leading(x, shape):
    """A number, or an array of leading axes of a shape, in that shape."""
    x = np.asarray(x, np.float64)
    return np.broadcast_to(x.reshape(x.shape + (1,) * (len(shape) - x.ndim)), shape)


class Rows:
    """The specification's jet of every row, those to ignore being 0, and the weights that a mean divides by.

    `unit` is the size of the loss where all logits are equal: derivatives by logits are differences of terms of that
    size, and where a prediction is certain no more than the rounding of these is left of them.
    """

    def __init__(self, loss, target, pred, sample_weight=None, **options):
        single = np.dtype(pred.dtype) != np.float64
        params = loss.declaration.resolved({**loss.get_params(), **options}, single)
        self.axis, ignore = params.pop("axis"), params.pop("ignore_index", None)
        x = np.moveaxis(pred.astype(np.float64), self.axis, -1)
        shape, classes = x.shape[:-1], x.shape[-1]
        self.labels = target.shape != pred.shape
        kept = np.ones(shape, bool)
        if self.labels:
            target = target.reshape(shape)
            kept = target != ignore if ignore is not None else kept
            t = (target[..., None] == np.arange(classes)).astype(np.float64)
        else:
            t = np.moveaxis(target.astype(np.float64), self.axis, -1)
        if "temperature" in params:
            params["temperature"] = leading(params["temperature"], shape)[kept]
        self.value, self.grad, self.hess = np.zeros(shape), np.zeros(x.shape), np.zeros(x.shape)
        self.unit = np.zeros(shape)
        with np.errstate(all="ignore"):
            jet = loss.declaration.spec(t[kept], x[kept], **params)
            if params.get("from_logits"):
                even = loss.declaration.spec(t[kept], np.zeros_like(x[kept]), **params)
                self.unit[kept] = np.abs(even.value) + np.abs(even.grad).max(axis=-1) + np.abs(even.hess).max(axis=-1)
        for here, there in zip((self.value, self.grad, self.hess), jet, strict=True):
            here[kept] = there
        self.kept = kept
        self.weight = np.where(kept, leading(1.0 if sample_weight is None else sample_weight, shape), 0.0)
        self.counted = self.weight
        if self.labels and params.get("class_weight") is not None:
            v = np.asarray(params["class_weight"], np.float64)
            self.counted = self.weight * v[np.where(kept, target, 0).astype(int)]

    def reduced(self, reduction):
        """Value, gradient and Hessian by the definition of the reduction; `unit` changes as the derivatives do."""
        divisor = 1.0
        if reduction == "mean":
            divisor = math.fsum(self.counted.ravel())
        elif reduction == "sum_over_batch_size":
            divisor = self.kept.sum()
        elif reduction == "batchmean":
            divisor = self.kept.reshape(len(self.kept), -1).any(axis=1).sum()
        elif reduction == "sample":
            divisor = self.counted.sum(axis=tuple(range(1, self.counted.ndim)), keepdims=True)
        with np.errstate(all="ignore"):
            factor = np.where(divisor == 0, 0.0, self.weight / divisor)
        value = factor * self.value
        if reduction == "sample":
            value = value.sum(axis=tuple(range(1, value.ndim)))
        elif reduction != "none":
            value = math.fsum(value.ravel())
        grad, hess = (np.moveaxis(factor[..., None] * x, -1, self.axis) for x in (self.grad, self.hess))
        self.reduced_unit = np.expand_dims(factor * self.unit, self.axis)
        return value, grad, hess


def assert_rows_near(got, want, dtype, axis=-1, scale=None, unit=0.0):
    """Value, gradient and Hessian to rounding: derivatives as measured against the largest of their row, and `unit`."""
    single = np.dtype(dtype) != np.float64
    rtol, rounding = (2e-5, 16 * 2.0**-23) if single else (1e-11, 16 * 2.0**-52)
    for k, (a, b) in enumerate(zip(got, want, strict=True)):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert a.shape == b.shape
        size = np.abs(b)
        if k and b.ndim and b.size:
            size = np.broadcast_to(np.abs(b).max(axis=axis, keepdims=True), b.shape)
        elif scale is not None:
            size = size + scale
        with np.errstate(all="ignore"):
            near = rtol * (size + (k == 0)) + 1e-37 + (rounding * unit if k else 0)
            good = (a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= near)
        bad = np.argwhere(~good)
        name = ("value", "grad", "hess")[k]
        assert not len(bad), f"{name}{bad[0].tolist()} is {a[tuple(bad[0])]!r}, expected {b[tuple(bad[0])]!r}"
