"""Losses of autoencoders beside what torch composes and what Keras has."""

import numpy as np
import pytest
from vectors import sample_operands

import lossfast as lf


@pytest.mark.parametrize("kind", ["mse", "mae", "huber", "bce", "logits"])
def test_a_vae_is_what_torch_composes(kind):
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    more = {"kind": "bce", "from_logits": True} if kind == "logits" else {"kind": kind, "delta": 0.7}
    operands = sample_operands(lf.VAE(**more), 12, seed=3)
    x, *rest = map(torch.tensor, operands)
    x_hat, mu, logvar = (t.requires_grad_() for t in rest)
    losses = {
        "mse": lambda: f.mse_loss(x_hat, x, reduction="none"),
        "mae": lambda: f.l1_loss(x_hat, x, reduction="none"),
        "huber": lambda: f.huber_loss(x_hat, x, reduction="none", delta=0.7),
        "bce": lambda: f.binary_cross_entropy(x_hat, x, reduction="none"),
        "logits": lambda: f.binary_cross_entropy_with_logits(x_hat, x, reduction="none"),
    }
    kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(dim=1)
    normal = torch.distributions.Normal(mu, (logvar / 2).exp())
    standard = torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    want = (losses[kind]().sum(dim=(1, 2)) + 3.0 * kl).mean()
    value, grads = lf.vae.value_and_grad(*operands, beta=3.0, **more)
    assert np.isclose(value, want.item(), rtol=1e-13)
    for got, expected in zip(grads, torch.autograd.grad(want, (x_hat, mu, logvar)), strict=True):
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-12, atol=1e-15)
    divergence = torch.distributions.kl_divergence(normal, standard).sum(dim=1)
    np.testing.assert_allclose(lf.gaussian_kl(*operands[2:], reduction="none"), divergence.detach(), rtol=1e-12)


def test_a_reconstruction_is_what_keras_adds_up():
    keras = pytest.importorskip("keras")
    x, x_hat = sample_operands(lf.Reconstruction(kind="bce"), 12, np.float32, seed=3, shape=(20,))
    for kind, loss in (("bce", keras.losses.binary_crossentropy), ("mse", keras.losses.mean_squared_error)):
        want = 20 * np.asarray(loss(x, x_hat))  # Keras: the mean over the last axis
        np.testing.assert_allclose(lf.reconstruction(x, x_hat, kind=kind, reduction="none"), want, rtol=2e-5)
