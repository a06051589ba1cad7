"""Losses of generative adversarial networks, of the scores of a discriminator, put together from pointwise losses."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from lossfast import _arrays
from lossfast._arrays import Array
from lossfast._evaluate import choice, threads
from lossfast._loss import Loss
from lossfast.classification import binary_crossentropy, hinge
from lossfast.regression import mse


class _Term(NamedTuple):
    """sign * mean of loss(target, scores); without a loss: of the scores."""

    loss: Loss | None
    target: int = 0
    sign: int = 1


_LOGISTIC = type(binary_crossentropy)(from_logits=True)
_TERMS = {
    "minimax": (_Term(_LOGISTIC, 1), _Term(_LOGISTIC, 0), _Term(_LOGISTIC, 0, -1)),
    "nonsaturating": (_Term(_LOGISTIC, 1), _Term(_LOGISTIC, 0), _Term(_LOGISTIC, 1)),
    "lsgan": (_Term(mse, 1), _Term(mse, 0), _Term(mse, 1)),
    "wgan": (_Term(None, sign=-1), _Term(None), _Term(None, sign=-1)),
    "hinge": (_Term(hinge, 1), _Term(hinge, -1), _Term(None, sign=-1)),
    "relativistic": (_Term(_LOGISTIC, 1), _Term(_LOGISTIC, 0), _Term(_LOGISTIC, 1)),  # of differences of scores
}  # of real and of fake scores for the discriminator, of fake ones for the generator
KINDS = tuple(_TERMS)
REDUCTIONS = ("mean", "sum")


def _computed(term: _Term, scores: Array, reduction: str, out: Array | None, nthreads: int, value: bool) -> float:
    """The value of a term, and its gradient in `out`."""
    size = max(1, scores.size) if reduction == "mean" else 1
    if term.loss is None:
        if out is not None:
            out[...] = term.sign / size
        return term.sign * float(scores.sum(dtype=np.float64)) / size if value else 0.0
    target = np.broadcast_to(np.int8(term.target), scores.shape)
    options: dict[str, Any] = {"reduction": reduction, "n_threads": nthreads or None}
    found: Any = 0.0
    if out is None:
        found = term.loss(target, scores, **options)
    elif value:
        found, _ = term.loss.value_and_grad(target, scores, out=(None, out), **options)
    else:
        term.loss.grad(target, scores, out=out, **options)
    if term.sign < 0 and out is not None:
        np.negative(out, out=out)
    return term.sign * float(found)


class _Adversarial:
    """The methods of a loss that has gradients by some of its operands."""

    name: str

    def _evaluate(self, want_value: bool, want_grads: bool, *scores: Any, **options: Any) -> Any:
        raise NotImplementedError

    def __call__(self, *scores: Any, **options: Any) -> Any:
        """The value, a float."""
        return self._evaluate(True, False, *scores, **options)

    def grad(self, *scores: Any, **options: Any) -> Any:
        """The gradient: of several operands a tuple."""
        return self._evaluate(False, True, *scores, **options)

    def value_and_grad(self, *scores: Any, **options: Any) -> Any:
        """Value and gradient."""
        return self._evaluate(True, True, *scores, **options)

    def __repr__(self) -> str:
        return self.name


def _outputs(
    out: Any, want_value: bool, want_grads: bool, operands: dict[str, Array], reads: dict[str, Array]
) -> list[Array | None]:
    """Where the gradients by the operands go."""
    keys = [*(["value"] if want_value else []), *(operands if want_grads else ())]
    given = [None] * len(keys) if out is None else [out] if len(keys) == 1 else out
    if not isinstance(given, tuple | list) or len(given) != len(keys):
        raise ValueError(f"out is {type(out).__name__}, expected a tuple of {len(keys)}: ({', '.join(keys)})")
    given = list(given)
    if want_value and given.pop(0) is not None:
        raise ValueError("out for the value must be None: it is a Python float")
    if not want_grads:
        return [None] * len(operands)
    results = {
        f"out ({k})": _arrays.result_array(f"out ({k})", g, x.shape, x.dtype, reads, ())
        for (k, x), g in zip(operands.items(), given, strict=True)
    }
    _arrays.distinct(results)
    return list(results.values())


def _difference(a: Array, b: Array) -> Array:
    """Of the scores of pairs."""
    dtype = np.float64 if np.float64 in (a.dtype, b.dtype) else np.float32
    return np.subtract(a, b, dtype=dtype)


class GANDiscriminator(_Adversarial):
    """Loss of a discriminator: scores of real samples should be high, those of generated ones low.

        nonsaturating, minimax    mean softplus(-real) + mean softplus(fake)
        lsgan                     mean (real - 1)**2 + mean fake**2
        wgan                      mean fake - mean real
        hinge                     mean max(0, 1 - real) + mean max(0, 1 + fake)
        relativistic              mean softplus(fake - real), of pairs

    Parameters
    ----------
    real, fake : array_like
        Scores as the discriminator gives them, before any sigmoid; float16, bfloat16, float32 or float64, and anything
        else is taken as float64.  Their shapes may differ, except for relativistic.
    kind : {"nonsaturating", "minimax", "lsgan", "wgan", "hinge", "relativistic"}
        Which loss; other libraries call the first "vanilla" or "logistic".
    reduction : {"mean", "sum"}
        Over the real and over the fake scores; a mean of none is 0.
    out : ndarray or tuple, optional
        Where to write: for ``.grad`` a tuple of two, for ``.value_and_grad`` ``(None, gradient, gradient)``.
    n_threads : int, optional
        By default what `lossfast.set_num_threads` says.  No number of threads changes a bit of the result.

    Returns
    -------
    float
        The value; ``.grad`` takes the same arguments and returns the gradients by `real` and `fake`, a tuple in their
        shapes and dtypes; ``.value_and_grad`` returns the value and that tuple.

    Raises
    ------
    ValueError
        For an unknown kind or reduction, shapes of pairs that differ, and arrays that cannot be written to.
    TypeError
        For arrays that do not hold numbers.

    See Also
    --------
    gan_generator : the other player's.
    gradient_penalty : what keeps a discriminator smooth.

    References
    ----------
    I. Goodfellow et al., "Generative adversarial nets", NIPS 2014, arXiv:1406.2661 (minimax, nonsaturating).
    X. Mao et al., "Least squares generative adversarial networks", ICCV 2017, arXiv:1611.04076; without their 1/2.
    M. Arjovsky, S. Chintala, L. Bottou, "Wasserstein GAN", ICML 2017, arXiv:1701.07875.
    J. H. Lim, J. C. Ye, "Geometric GAN", 2017, arXiv:1705.02894 (hinge).
    A. Jolicoeur-Martineau, "The relativistic discriminator", ICLR 2019, arXiv:1807.00734.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.gan_discriminator([2.0, 0.5], [-3.0, 0.0], kind="hinge")
    0.75
    >>> lf.gan_discriminator.value_and_grad([2.0, 0.5], [-3.0, 0.0], kind="hinge")
    (0.75, (array([ 0. , -0.5]), array([0. , 0.5])))
    """

    name = "gan_discriminator"

    def _evaluate(self, want_value: bool, want_grads: bool, *scores: Any, **options: Any) -> Any:
        return self._discriminate(want_value, want_grads, *scores, **options)

    def _discriminate(
        self,
        want_value: bool,
        want_grads: bool,
        real: Any,
        fake: Any,
        *,
        kind: str = "nonsaturating",
        reduction: str = "mean",
        out: Any = None,
        n_threads: int | None = None,
    ) -> Any:
        choice("kind", kind, KINDS)
        choice("reduction", reduction, REDUCTIONS)
        nthreads = threads(n_threads)
        operands = {"real": _arrays.prediction(real, "real"), "fake": _arrays.prediction(fake, "fake")}
        x, y = operands.values()
        if kind == "relativistic" and x.shape != y.shape:
            raise ValueError(f"real has shape {x.shape} and fake {y.shape}, expected equal shapes of pairs")
        g, h = _outputs(out, want_value, want_grads, operands, operands)
        of_real, of_fake, _ = _TERMS[kind]
        if kind == "relativistic":
            d = _difference(x, y)
            slope = np.empty_like(d) if want_grads else None
            value = _computed(of_real, d, reduction, slope, nthreads, want_value)
            if slope is not None and g is not None and h is not None:
                g[...], h[...] = slope, -slope
        else:
            value = _computed(of_real, x, reduction, g, nthreads, want_value)
            value += _computed(of_fake, y, reduction, h, nthreads, want_value)
        return (value, (g, h)) if want_value and want_grads else (g, h) if want_grads else value


class GANGenerator(_Adversarial):
    """Loss of a generator: the discriminator should give its samples high scores.

        nonsaturating    mean softplus(-fake)
        minimax          -mean softplus(fake)
        lsgan            mean (fake - 1)**2
        wgan, hinge      -mean fake
        relativistic     mean softplus(real - fake), of pairs

    Parameters
    ----------
    fake : array_like
        Scores of generated samples as the discriminator gives them, before any sigmoid; float16, bfloat16, float32 or
        float64, and anything else is taken as float64.
    kind : {"nonsaturating", "minimax", "lsgan", "wgan", "hinge", "relativistic"}
        Which loss; other libraries call the first "vanilla" or "logistic".
    real : array_like, optional
        For relativistic, which needs them: scores of real samples, of the shape of `fake`.  They have no gradient.
    reduction : {"mean", "sum"}
        Over the scores; a mean of none is 0.
    out : ndarray or tuple, optional
        Where to write: for ``.grad`` an array, for ``.value_and_grad`` ``(None, gradient)``.
    n_threads : int, optional
        By default what `lossfast.set_num_threads` says.  No number of threads changes a bit of the result.

    Returns
    -------
    float
        The value; ``.grad`` takes the same arguments and returns the gradient by `fake`, in its shape and dtype;
        ``.value_and_grad`` returns both.

    Raises
    ------
    ValueError
        For an unknown kind or reduction, shapes of pairs that differ, and arrays that cannot be written to.
    TypeError
        For arrays that do not hold numbers, and for `real` where it is missing or has no meaning.

    See Also
    --------
    gan_discriminator : the other player's, with the sources.

    Examples
    --------
    >>> import lossfast as lf
    >>> round(lf.gan_generator([0.0, 0.0]), 6)
    0.693147
    >>> lf.gan_generator.value_and_grad([1.0, 2.0], kind="wgan")
    (-1.5, array([-0.5, -0.5]))
    """

    name = "gan_generator"

    def _evaluate(self, want_value: bool, want_grads: bool, *scores: Any, **options: Any) -> Any:
        return self._generate(want_value, want_grads, *scores, **options)

    def _generate(
        self,
        want_value: bool,
        want_grads: bool,
        fake: Any,
        *,
        kind: str = "nonsaturating",
        real: Any = None,
        reduction: str = "mean",
        out: Any = None,
        n_threads: int | None = None,
    ) -> Any:
        choice("kind", kind, KINDS)
        choice("reduction", reduction, REDUCTIONS)
        nthreads = threads(n_threads)
        if (real is None) == (kind == "relativistic"):
            raise TypeError(f"real is {'missing, which' if real is None else 'given, but only'} relativistic needs")
        x = _arrays.prediction(fake, "fake")
        reads = {"fake": x}
        if real is not None:
            reads["real"] = _arrays.prediction(real, "real")
            if reads["real"].shape != x.shape:
                raise ValueError(f"real has shape {reads['real'].shape} and fake {x.shape}, expected equal shapes")
        (g,) = _outputs(out, want_value, want_grads, {"fake": x}, reads)
        term = _TERMS[kind][2]
        if real is None:
            value = _computed(term, x, reduction, g, nthreads, want_value)
        else:
            d = _difference(x, reads["real"])
            slope = None if g is None else np.empty_like(d)
            value = _computed(term, d, reduction, slope, nthreads, want_value)
            if g is not None and slope is not None:
                g[...] = slope
        return (value, g) if want_value and want_grads else g if want_grads else value


class GradientPenalty(_Adversarial):
    """Penalty on the norms of a discriminator's gradients by its input.

        value = weight * mean of (norms - target)**2

    Parameters
    ----------
    norms : array_like
        Euclidean norms of the gradients, of at least 0, one for each sample; float16, bfloat16, float32 or float64, and
        anything else is taken as float64.
    target : float, default 1.0
        1 for WGAN-GP, at points between real and generated samples; 0 for R1, at real ones, and R2, at generated ones.
    weight : float, default 10.0
        That of WGAN-GP; R1 and R2 have gamma / 2.
    out : ndarray or tuple, optional
        Where to write: for ``.grad`` an array, for ``.value_and_grad`` ``(None, gradient)``.
    n_threads : int, optional
        By default what `lossfast.set_num_threads` says.  No number of threads changes a bit of the result.

    Returns
    -------
    float
        The value; ``.grad`` takes the same arguments and returns the gradient by `norms`, in their shape and dtype;
        ``.value_and_grad`` returns both.

    Raises
    ------
    ValueError
        For norms below 0, with the first bad position and value, and a target or weight that is not finite or below 0.
    TypeError
        For arrays that do not hold numbers.

    References
    ----------
    I. Gulrajani et al., "Improved training of Wasserstein GANs", NIPS 2017, arXiv:1704.00028.
    L. Mescheder, A. Geiger, S. Nowozin, "Which training methods for GANs do actually converge?", ICML 2018,
    arXiv:1801.04406 (R1, R2).

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.gradient_penalty([1.5, 1.0])
    1.25
    >>> lf.gradient_penalty.value_and_grad([2.0, 1.0], target=0.0, weight=0.5)
    (1.25, array([1. , 0.5]))
    """

    name = "gradient_penalty"

    def _evaluate(self, want_value: bool, want_grads: bool, *scores: Any, **options: Any) -> Any:
        return self._penalty(want_value, want_grads, *scores, **options)

    def _penalty(
        self,
        want_value: bool,
        want_grads: bool,
        norms: Any,
        *,
        target: float = 1.0,
        weight: float = 10.0,
        out: Any = None,
        n_threads: int | None = None,
    ) -> Any:
        for name, number in (("target", target), ("weight", weight)):
            if isinstance(number, bool) or not isinstance(number, int | float | np.integer | np.floating):
                raise TypeError(f"{name} is {number!r}, expected a number")
            if not 0 <= number < math.inf:
                raise ValueError(f"{name} is {number!r}, expected a finite number of at least 0")
        nthreads = threads(n_threads)
        x = _arrays.prediction(norms, "norms")
        bad = x < 0
        if bad.any():
            at = np.unravel_index(int(bad.argmax()), x.shape)
            raise ValueError(f"norms{_arrays.position(at)} is {float(x[at])}, expected at least 0")
        (g,) = _outputs(out, want_value, want_grads, {"norms": x}, {"norms": x})
        targets = np.broadcast_to(np.float64(target), x.shape)
        options: dict[str, Any] = {"sample_weight": float(weight), "n_threads": nthreads or None}
        options["reduction"] = "sum_over_batch_size"
        value: Any = 0.0
        if g is None:
            value = mse(targets, x, **options)
        else:
            value, _ = mse.value_and_grad(targets, x, out=(None, g), **options)
        return (value, g) if want_value and want_grads else g if want_grads else value


gan_discriminator = GANDiscriminator()
gan_generator = GANGenerator()
gradient_penalty = GradientPenalty()
