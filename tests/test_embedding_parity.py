"""Losses of distances beside the libraries that have them, each by its own definition."""

import numpy as np
import pytest
from vectors import embedding_operands

import lossfast as lf


def torch_of(loss, operands, function, **params):
    """torch's value and gradients, and ours, in float64."""
    torch = pytest.importorskip("torch")
    labelled = loss.declaration.labelled
    labels = [torch.tensor(np.where(x > 0, 1, -1)) for x in operands[:labelled]]
    vectors = [torch.tensor(x, requires_grad=True) for x in operands[labelled:]]
    value = getattr(torch.nn.functional, function)(*vectors, *labels, **params)
    grads = torch.autograd.grad(value, vectors)
    got, found = loss.value_and_grad(*operands)
    assert np.isclose(got, value.item(), rtol=1e-12)
    for a, b in zip(found, grads, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, 2.5])
@pytest.mark.parametrize("swap", [False, True])
def test_triplet_is_torchs(p, swap):
    loss = lf.Triplet(margin=0.7, p=p, swap=swap, eps=1e-6)
    torch_of(loss, embedding_operands(loss, 40), "triplet_margin_loss", margin=0.7, p=p, swap=swap, eps=1e-6)


@pytest.mark.parametrize("margin", [0.0, 0.4, -0.3])
def test_cosine_embedding_is_torchs(margin):
    loss = lf.CosineEmbedding(margin=margin)
    torch_of(loss, embedding_operands(loss, 40), "cosine_embedding_loss", margin=margin)


@pytest.mark.parametrize("margin", [0.0, 0.4])
def test_margin_ranking_is_torchs(margin):
    loss = lf.MarginRanking(margin=margin)
    torch_of(loss, embedding_operands(loss, 40), "margin_ranking_loss", margin=margin)


def test_hinge_embedding_is_torchs():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    y, x = rng.choice([-1, 1], 50), rng.random(50) * 2
    want = torch.nn.functional.hinge_embedding_loss(torch.tensor(x), torch.tensor(y), margin=0.8)
    assert np.isclose(lf.hinge_embedding(y, x, margin=0.8), want.item(), rtol=1e-13)


def test_cosine_similarity_is_keras():
    keras = pytest.importorskip("keras")
    a, b = embedding_operands(lf.cosine_similarity, 40, np.float32)
    want = np.asarray(keras.losses.cosine_similarity(a, b))
    np.testing.assert_allclose(lf.cosine_similarity(a, b, reduction="none"), want, atol=1e-6)


def test_cosine_distance_is_optax():
    optax = pytest.importorskip("optax")
    a, b = embedding_operands(lf.cosine_distance, 40, np.float32)
    want = np.asarray(optax.cosine_distance(a, b))
    np.testing.assert_allclose(lf.cosine_distance(a, b, reduction="none"), want, atol=1e-6)


def test_contrastive_by_the_formulas_of_the_paper_and_of_pytorch_metric_learning():
    same, a, b = embedding_operands(lf.contrastive, 40)
    d = np.linalg.norm(a - b, axis=1)
    paper = np.where(same > 0, d**2, np.maximum(0, 1.5 - d) ** 2)
    np.testing.assert_allclose(lf.contrastive(same, a, b, margin=1.5, reduction="none"), paper, rtol=1e-13)
    theirs = np.where(same > 0, np.maximum(d - 0, 0), np.maximum(1.5 - d, 0))
    got = lf.contrastive(same, a, b, margin=1.5, squared=False, reduction="none")
    np.testing.assert_allclose(got, theirs, rtol=1e-13)
