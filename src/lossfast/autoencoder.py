"""Losses of autoencoders: of what they make of data, and of the distributions that they make it from."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossfast._arrays import Array
from lossfast._declarations import (
    AutoencoderLoss,
    Gradients,
    LatentLoss,
    Param,
    Pointwise,
    ReconstructionLoss,
    Term,
    nonnegative,
    positive,
)
from lossfast._loss import samplewise
from lossfast.classification import binary_crossentropy
from lossfast.regression import huber, mae, mse

_LOSSES = {"mse": mse, "mae": mae, "huber": huber, "bce": binary_crossentropy}
_KIND = Param(
    "mse",
    "The loss of an element: ``(x_hat - x)**2``, ``|x_hat - x|``, `huber` or `binary_crossentropy`.",
    kind=str,
    choices=tuple(_LOSSES),
    tests=("mae", "huber", "bce", {"kind": "bce", "from_logits": True}),
)
_DELTA = positive(1.0, "Of `huber`: where it becomes linear.")
_FROM_LOGITS = Param(False, "Of `binary_crossentropy`: whether `x_hat` are logits.", kind=bool)


def _pointwise(kind: str, delta: float, from_logits: bool) -> tuple[Pointwise, dict[str, Any]]:
    """The pointwise loss of a kind, and its parameters."""
    loss = _LOSSES[kind]
    own: dict[str, Any] = {"delta": delta} if kind == "huber" else {"from_logits": from_logits} if kind == "bce" else {}
    assert isinstance(loss.declaration, Pointwise)
    return loss.declaration, {**loss.get_params(), **own}


def _reconstruction_term(single: bool, kind: str, delta: float, from_logits: bool) -> Term:
    d, given = _pointwise(kind, delta, from_logits)
    params = d.resolved(given, single)
    name, values = d.kernel(**params)
    return Term("x", "x_hat", name, values, domains=(d.target(**params), d.pred(**params)))


def _per_sample(x: Array) -> Array:
    """Sums over all axes but the first."""
    return np.asarray(np.sum(x, axis=tuple(range(1, np.ndim(x)))))


@samplewise(
    "Reconstruction",
    ReconstructionLoss,
    formula="sum over the elements of a sample of l(x, x_hat)",
    aliases=("reconstruction_loss", "ReconstructionLoss"),
    terms=lambda single, per, **kind: (_reconstruction_term(single, **kind),),
    kind=_KIND,
    per=Param(
        "sample",
        'Whether an item is a sample, whose elements are added up, or an ``"element"``, as for the loss of the kind\n'
        "itself.",
        kind=str,
        choices=("sample", "element"),
        tests=("element",),
    ),
    delta=_DELTA,
    from_logits=_FROM_LOGITS,
)
def reconstruction(x: Array, x_hat: Array, kind: str, per: str, delta: float, from_logits: bool) -> Gradients:
    """Reconstruction loss of an autoencoder: how far what it makes of data is from them, summed over each sample.

    See Also
    --------
    vae : with the divergence of the latent distribution.

    Notes
    -----
    The sum over a sample belongs to the likelihood, and beside a divergence: a mean over elements would make that count
    the more the larger a sample is.  ``"mse"`` is without the factor 1/2 of a normal distribution of variance 1.

    Examples
    --------
    >>> import lossfast as lf
    >>> x, x_hat = [[0.0, 1.0], [1.0, 1.0]], [[0.5, 1.0], [0.0, 3.0]]
    >>> lf.reconstruction(x, x_hat)
    2.625
    >>> lf.reconstruction(x, x_hat, kind="mae", reduction="none")
    array([0.5, 3. ])
    >>> lf.reconstruction.grad(x, x_hat)
    array([[ 0.5,  0. ],
           [-1. ,  2. ]])
    """
    d, params = _pointwise(kind, delta, from_logits)
    jet = d.spec(x, x_hat, **d.resolved(params, single=False))
    return Gradients(jet.value if per == "element" else _per_sample(jet.value), (jet.grad,))


@samplewise(
    "GaussianKL",
    LatentLoss,
    formula="1/2 sum over the dimensions of mu**2 + exp(logvar) - 1 - logvar",
    aliases=("kl_normal", "gaussian_kl_divergence"),
    terms=lambda single: (Term("mu", "logvar", "gaussian_kl", both=True),),
)
def gaussian_kl(mu: Array, logvar: Array) -> Gradients:
    """Kullback-Leibler divergence of normal distributions with a diagonal covariance from the standard one.

    Notes
    -----
    Summed over the dimensions of each sample.  Near ``logvar = 0``, where the terms cancel, values keep their relative
    accuracy.

    References
    ----------
    D. P. Kingma, M. Welling, "Auto-encoding variational Bayes", ICLR 2014, appendix B, arXiv:1312.6114.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.gaussian_kl([[0.0, 0.0], [1.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]])
    1.25
    >>> by_mu, by_logvar = lf.gaussian_kl.grad([[1.0, 2.0]], [[0.0, 0.0]])
    >>> by_mu
    array([[1., 2.]])
    """
    e = np.expm1(logvar)
    rest = np.where(np.isposinf(logvar), np.inf, e - logvar)
    return Gradients(_per_sample((mu**2 + rest) / 2), (mu, e / 2))


@samplewise(
    "VAE",
    AutoencoderLoss,
    formula="reconstruction(x, x_hat) + beta gaussian_kl(mu, logvar), of each sample",
    aliases=("VAELoss", "beta_vae", "negative_elbo"),
    terms=lambda single, beta, **kind: (
        _reconstruction_term(single, **kind),
        Term("mu", "logvar", "gaussian_kl", both=True, factor=beta),
    ),
    beta=nonnegative(1.0, "What the divergence is multiplied by; 0 leaves it out.", tests=(0.0, 4.0)),
    kind=_KIND,
    delta=_DELTA,
    from_logits=_FROM_LOGITS,
)
def vae(
    x: Array, x_hat: Array, mu: Array, logvar: Array, beta: float, kind: str, delta: float, from_logits: bool
) -> Gradients:
    """Loss of a variational autoencoder: reconstruction and divergence, the negative evidence lower bound.

    See Also
    --------
    reconstruction : the first term, with its kinds.
    gaussian_kl : the second.

    Notes
    -----
    With ``"bce"`` and ``beta=1`` it is the negative bound for Bernoulli data; with ``"mse"`` and ``beta=2`` it is twice
    that for normal data of variance 1, without constants.

    References
    ----------
    D. P. Kingma, M. Welling, "Auto-encoding variational Bayes", ICLR 2014, arXiv:1312.6114.
    I. Higgins et al., "beta-VAE: learning basic visual concepts with a constrained variational framework", ICLR 2017
    (`beta`).

    Examples
    --------
    >>> import lossfast as lf
    >>> x, x_hat, mu, logvar = [[0.0, 1.0]], [[0.5, 1.0]], [[2.0]], [[0.0]]
    >>> lf.vae(x, x_hat, mu, logvar)
    2.25
    >>> value, (by_x_hat, by_mu, by_logvar) = lf.vae.value_and_grad(x, x_hat, mu, logvar, beta=0.5)
    >>> by_x_hat, by_mu, by_logvar
    (array([[1., 0.]]), array([[1.]]), array([[0.]]))
    """
    first = reconstruction.declaration.spec(x, x_hat, kind, "sample", delta, from_logits)
    if not beta:
        return Gradients(first.value, (*first.grads, np.zeros_like(mu), np.zeros_like(mu)))
    second = gaussian_kl.declaration.spec(mu, logvar)
    return Gradients(first.value + beta * second.value, (*first.grads, *(beta * g for g in second.grads)))
