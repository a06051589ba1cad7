"""Operands of the losses of distances between vectors, and of those of autoencoders."""

import numpy as np


def embedding_operands(loss, rows, dtype=np.float64, seed=0, dimensions=6):
    """Labels, if the loss has them, and vectors of which some are near each other."""
    rng = np.random.default_rng([seed, rows, dimensions])
    d = loss.declaration
    first, *others = (rng.normal(0, 1 / np.sqrt(dimensions), (rows, dimensions)) for _ in range(3))
    others = [np.where(rng.random((rows, 1)) < 0.5, first + 0.3 * x, x) for x in others]
    vectors = [first, *others][: len(d.arguments) - d.labelled]
    labels = [rng.choice([-1, 0, 1], (rows,) if d.vectors else (rows, dimensions))] if d.labelled else []
    return (*labels, *(x.astype(dtype) for x in vectors))


def specified(loss, operands, **more):
    """The specification in double precision, vectors along the last axis."""
    d = loss.declaration
    params = {k: v for k, v in {**loss.get_params(), **more}.items() if k not in ("axis", "wrt")}
    labels, vectors = operands[: d.labelled], operands[d.labelled :]
    with np.errstate(all="ignore"):
        return d.spec(*labels, *(x.astype(np.float64) for x in vectors), **params)


def batch_operands(vectors, dtype=np.float64, seed=0, dimensions=6, classes=0):
    """Labels, about half of them of two vectors or more, and vectors."""
    rng = np.random.default_rng([seed, vectors, dimensions])
    labels = rng.integers(0, classes or max(2, vectors), vectors)
    return labels, rng.normal(0, 1, (vectors, dimensions)).astype(dtype)


def whole_batch(loss, labels, embeddings, weight=None):
    """The specification in double precision, with the matrix of all similarities."""
    w = np.ones(len(labels)) if weight is None else weight
    return loss.declaration.spec(labels, embeddings.astype(np.float64), w, **loss.get_params())


def sample_operands(loss, samples, dtype=np.float64, seed=0, shape=(3, 2), latent=4):
    """Data of some shape with what has been made of them, means and logarithms of variances: those the loss takes."""
    rng = np.random.default_rng([seed, samples])
    x, x_hat = rng.random((2, samples, *shape))
    if loss.get_params().get("from_logits"):
        x_hat = rng.normal(0, 2, x.shape)
    elif loss.get_params().get("kind") != "bce":
        x, x_hat = 3 * x, 3 * x_hat
    mu, logvar = rng.normal(0, 1, (2, samples, latent))
    known = {"x": x, "x_hat": x_hat, "mu": mu, "logvar": logvar}
    return tuple(known[name].astype(dtype) for name in loss.declaration.arguments)
