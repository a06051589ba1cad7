"""Targets, predictions and other operands inside the domain of a loss, and how results are compared."""

import numpy as np
from boxes import box_operands
from regions import region_operands
from rows import CLASSES, row_operands
from sequences import sequence_operands
from vectors import batch_operands, embedding_operands, sample_operands

BLOCK = 1024
SIZES = (0, 1, 7, BLOCK - 1, BLOCK, BLOCK + 1, 5000)
HALVES = ("float16", "bfloat16")
TARGET_DTYPES = [
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
]


def dtype_of(name):
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def resolved(loss, dtype=np.float64):
    """The parameters as the arithmetic of `dtype` has them."""
    return loss.declaration.resolved(loss.get_params(), np.dtype(dtype) != np.float64)


def domains(loss, dtype=np.float64):
    params = resolved(loss, dtype)
    return loss.declaration.target(**params), loss.declaration.pred(**params)


def draw(domain, n, rng):
    """n numbers of a domain, its closed ends among them."""
    if domain.sign_labels:
        return rng.choice([-1.0, 0.0, 1.0], n)
    if np.isfinite(domain.high):
        x = rng.uniform(domain.low, domain.high, n)
        x[::5], x[1::5] = domain.low, domain.high
        return x
    if np.isfinite(domain.low):
        x = domain.low + np.exp(rng.normal(0, 1.5, n))
        if not domain.open_low:
            x[::5] = domain.low
        return x
    return rng.normal(0, 4, n)


def ranking_operands(shape, dtype=np.float64, seed=0):
    """Relevance from 0 to 4, and scores."""
    rng = np.random.default_rng([seed, 8])
    return rng.integers(0, 5, shape), rng.normal(0, 2, shape).astype(dtype)


def operands(loss, n, dtype=np.float64, seed=0):
    """y_true and y_pred: of every third element the prediction is close to the target; of a loss of classes n rows, of
    masks n samples, of a loss of sequences some of them, of one of vectors n of each, of one of boxes n pairs, of
    ranked items about n."""
    if loss.declaration.family == "box":
        return box_operands(loss, n, dtype, seed)
    if loss.declaration.family == "batch":
        labels, x = batch_operands(n, dtype, seed)
        return (labels, x) if loss.declaration.labelled else (x, batch_operands(n, dtype, seed + 1)[1])
    if loss.declaration.family == "ranking":
        return ranking_operands((n // 8 + 1, 8), dtype, seed)
    if loss.declaration.family == "embedding":
        return embedding_operands(loss, n, dtype, seed, n)
    if loss.declaration.family == "sample":
        return sample_operands(loss, n, dtype, seed)
    if loss.declaration.family == "sequence":
        return sequence_operands(loss, n // 40 + 1, dtype, seed)
    if loss.declaration.family == "classwise":
        return row_operands(loss, (n, CLASSES), dtype, seed)
    if loss.declaration.family == "region":
        return region_operands(loss, (n, 6, CLASSES), dtype, seed)
    rng = np.random.default_rng([seed, n])
    target_domain, pred_domain = domains(loss, dtype)
    target, pred = draw(target_domain, n, rng), draw(pred_domain, n, rng)
    near = target * (1 + rng.choice([1e-1, 1e-3, 1e-6], n) * rng.normal(0, 1, n))
    keep = ~pred_domain.outside(near) & (np.abs(near) < 30) & (np.arange(n) % 3 == 0)
    return target.astype(dtype), np.where(keep, near, pred).astype(dtype)


def stream_of(loss, n, dtype=np.float64, seed=0):
    """The keyword of the parameter that may be an array, as one; nothing for other losses."""
    d = loss.declaration
    return {d.stream: draw(d.stream_domain, n, np.random.default_rng([seed, 7])).astype(dtype)} if d.stream else {}


def inside(loss, dtype=np.float64):
    """A target and a prediction that are good for the loss, to surround what is bad."""
    target, pred = domains(loss, dtype)
    return (1.0, 0.5) if target.sign_labels or target.high == 1 or pred.high == 1 else (2.0, 1.5)


def special(domain, dtype):
    """Numbers of a domain where arithmetic is hard; NaN too."""
    info = np.finfo(dtype)
    magnitudes = [
        0.0,
        info.smallest_subnormal,
        1e-40,
        info.tiny,
        info.eps,
        0.5,
        1 - info.eps,
        1.0,
        1 + info.eps,
        2.0,
    ]
    magnitudes += [20.0, 88.0, 104.0, 709.0, 746.0, 1e15, 1e30, float(info.max) / 2, float(info.max), np.inf]
    if domain.sign_labels:
        return np.array([-1.0, 0.0, 1.0], dtype)
    x = np.array([*magnitudes, *(-m for m in magnitudes), np.nan], dtype)
    return x[~domain.outside(x)]


def grid(loss, dtype):
    """Every pair of special values."""
    target, pred = domains(loss, dtype)
    t, p = np.meshgrid(special(target, dtype), special(pred, dtype), indexing="ij")
    return t.ravel(), p.ravel()


def away_from_kinks(loss, target, pred, distance):
    """Which elements are not at a point without a second derivative."""
    d, params = loss.declaration, resolved(loss, target.dtype)
    x = np.asarray(d.kink_of(target.astype(np.float64), pred.astype(np.float64)))
    good = np.ones(x.shape, bool)
    for kink in d.kinks(**params):
        good &= np.abs(x - kink) > distance * (1 + np.abs(target) + np.abs(pred))
    return good


def specification(loss, target, pred, **more):
    """The jet of the NumPy specification in double precision."""
    params = {**resolved(loss, pred.dtype), **more}
    params = {k: v.astype(np.float64) if isinstance(v, np.ndarray) else v for k, v in params.items()}
    with np.errstate(all="ignore"):
        return loss.declaration.spec(target.astype(np.float64), pred.astype(np.float64), **params)


def derivatives(loss, *args, **kwargs):
    """Value, gradient and, if there is one, Hessian."""
    return (loss.value_and_grad if loss.declaration.no_hessian else loss.value_grad_hess)(*args, **kwargs)


def bits(x):
    """The bits of an array or a number; all NaNs are one."""
    x = np.asarray(x)
    x = np.where(np.isnan(x), np.array(np.nan, x.dtype), x)
    return np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}")


def assert_same_bits(got, want):
    """Equal dtype, shape and bits, of arrays, numbers or tuples of them."""
    if isinstance(want, tuple):
        assert isinstance(got, tuple)
        for a, b in zip(got, want, strict=True):
            assert_same_bits(a, b)
        return
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    if not np.array_equal(bits(got), bits(want)):
        first = np.flatnonzero(bits(got).ravel() != bits(want).ravel())[0]
        raise AssertionError(f"element {first}: {got.ravel()[first]!r}, expected {want.ravel()[first]!r}")
