"""CTC gives the numbers of torch, Optax and Keras where their definitions agree, and those that warp-ctc publishes."""

import os

import numpy as np
import pytest

import lossfast as lf

N, T, C, S = 6, 25, 7, 5
RNG = np.random.default_rng(11)
LOGITS = RNG.normal(0, 2, (N, T, C)).astype(np.float32).astype(np.float64)
LABELS = RNG.integers(1, C, (N, S))
LABELS[1, :3] = 2
LENGTHS, FRAMES = np.array([5, 4, 1, 0, 3, 5]), np.array([25, 12, 25, 9, 3, 20])
FLAT = np.concatenate([row[:n] for row, n in zip(LABELS, LENGTHS, strict=True)])
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")


# --- torch ----------------------------------------------------------------------------------------------------


def torch_loss(targets, frames=FRAMES, blank=0, **options):
    """Value and gradient by the logits, through log_softmax."""
    torch = pytest.importorskip("torch")
    from torch.nn.functional import ctc_loss, log_softmax

    z = torch.from_numpy(LOGITS.copy()).requires_grad_()
    y = log_softmax(z, dim=-1).transpose(0, 1)
    lengths = torch.from_numpy(frames), torch.from_numpy(LENGTHS)
    value = ctc_loss(y, torch.from_numpy(targets), *lengths, blank=blank, **options)
    value.sum().backward()
    return value.detach().numpy(), z.grad.numpy()


@pytest.mark.parametrize("form", ["padded", "one after another"])
@pytest.mark.parametrize("theirs, mine", [("none", "none"), ("sum", "sum"), ("mean", "target_mean")])
def test_torch(theirs, mine, form):
    targets = LABELS if form == "padded" else FLAT
    want, slope = torch_loss(targets, reduction=theirs)
    options = {"label_lengths": LENGTHS, "logit_lengths": FRAMES, "reduction": mine}
    value, grad = lf.ctc.value_and_grad(targets, LOGITS, **options)
    np.testing.assert_allclose(value, want, rtol=1e-12)
    np.testing.assert_allclose(grad, slope, rtol=0, atol=1e-12)


@pytest.mark.parametrize("theirs, mine", [("none", "none"), ("sum", "sum"), ("mean", "target_mean")])
def test_torch_without_infinities(theirs, mine):
    frames = FRAMES.copy()
    frames[[1, 4]] = [5, 2]
    want, slope = torch_loss(LABELS, frames, reduction=theirs, zero_infinity=True)
    options = {"reduction": mine, "zero_infinity": True}
    value, grad = lf.ctc.value_and_grad(LABELS, LOGITS, LENGTHS, frames, **options)
    np.testing.assert_allclose(value, want, rtol=1e-12)
    np.testing.assert_allclose(grad, slope, rtol=0, atol=1e-12)
    assert lf.ctc(LABELS, LOGITS, LENGTHS, frames) == np.inf == torch_loss(LABELS, frames)[0]


def test_torch_with_another_blank():
    labels = np.where(LABELS == 6, 0, LABELS)
    want, slope = torch_loss(labels, blank=6, reduction="sum")
    value, grad = lf.ctc.value_and_grad(labels, LOGITS, LENGTHS, FRAMES, blank=6, reduction="sum")
    assert value == pytest.approx(float(want), rel=1e-12)
    np.testing.assert_allclose(grad, slope, rtol=0, atol=1e-12)


def test_the_migration_from_torch():
    """The recipe of docs/ctc.md, on torch's own arguments."""
    torch = pytest.importorskip("torch")
    log_probs = torch.from_numpy(LOGITS).log_softmax(-1).transpose(0, 1)
    lengths = torch.from_numpy(FRAMES), torch.from_numpy(LENGTHS)
    want = torch.nn.CTCLoss(blank=0, zero_infinity=True)(log_probs, torch.from_numpy(LABELS), *lengths)
    input_lengths, target_lengths = lengths
    loss = lf.CTC(blank=0, time_major=True, from_logits=False, zero_infinity=True)
    got = loss(torch.from_numpy(LABELS), log_probs, target_lengths, input_lengths, reduction="target_mean")
    assert got == pytest.approx(float(want), rel=1e-12)


def test_what_torch_calls_the_gradient_by_log_probabilities():
    """It is that by the logits before log_softmax; the true one has no softmax in it."""
    torch = pytest.importorskip("torch")
    y = torch.from_numpy(LOGITS).log_softmax(-1).transpose(0, 1).contiguous().requires_grad_()
    lengths = torch.from_numpy(FRAMES), torch.from_numpy(LENGTHS)
    torch.nn.functional.ctc_loss(y, torch.from_numpy(LABELS), *lengths, reduction="sum").backward()
    theirs = y.grad.numpy().transpose(1, 0, 2)
    by_logits = lf.ctc.grad(LABELS, LOGITS, LENGTHS, FRAMES, reduction="sum")
    true = lf.ctc.grad(
        LABELS, y.detach().numpy(), LENGTHS, FRAMES, reduction="sum", from_logits=False, time_major=True
    ).transpose(1, 0, 2)
    np.testing.assert_allclose(theirs, by_logits, rtol=0, atol=1e-12)
    inside = (np.arange(T) < FRAMES[:, None])[..., None]
    softmax = np.exp(y.detach().numpy().transpose(1, 0, 2)) * inside
    np.testing.assert_allclose(theirs, softmax + true, rtol=0, atol=1e-12)


# --- Optax and Keras ------------------------------------------------------------------------------------------


def test_optax():
    """Logits of (samples, frames, classes) and paddings of 0 and 1; in float32."""
    optax, jax = pytest.importorskip("optax"), pytest.importorskip("jax")
    paddings = (np.arange(T) >= FRAMES[:, None]) * 1.0, (np.arange(S) >= LENGTHS[:, None]) * 1.0

    def total(logits):
        each = optax.ctc_loss(logits, paddings[0], LABELS, paddings[1], blank_id=0)
        return each.sum(), each

    slope, want = jax.grad(total, has_aux=True)(LOGITS.astype(np.float32))
    value, grad = lf.ctc.value_and_grad(LABELS, LOGITS, LENGTHS, FRAMES, reduction="none")
    np.testing.assert_allclose(value, want, rtol=2e-5)
    np.testing.assert_allclose(grad, slope, rtol=0, atol=2e-5)


@pytest.mark.skipif(os.environ.get("KERAS_BACKEND") == "tensorflow", reason="another formula for what is impossible")
def test_keras():
    """Its labels are padded with blank, 0; every frame counts; its mean is over the samples."""
    keras = pytest.importorskip("keras")
    labels = np.where(np.arange(S) < LENGTHS[:, None], LABELS, 0)
    logits = LOGITS.astype(np.float32)
    want = np.asarray(keras.losses.ctc(labels, logits))
    value = lf.ctc(labels, logits, (labels != 0).sum(axis=1), reduction="none")
    np.testing.assert_allclose(value, want, rtol=2e-5)
    mean = float(keras.losses.CTC()(labels, logits))
    assert lf.ctc(labels, logits, LENGTHS) == pytest.approx(mean, rel=2e-5)


# --- warp-ctc -------------------------------------------------------------------------------------------------

# Operands and results of tests/test_cpu.cpp of https://github.com/baidu-research/warp-ctc; it compares with 1e-4, and
# has the gradients and most losses from TensorFlow.  Rows are frames of samples in turn: (frames, samples, classes).
WARP = np.array([
    0.633766, 0.221185, 0.0917319, 0.0129757, 0.0142857, 0.0260553,
    0.30176, 0.28562, 0.0831517, 0.0862751, 0.0816851, 0.161508,
    0.111121, 0.588392, 0.278779, 0.0055756, 0.00569609, 0.010436,
    0.24082, 0.397533, 0.0557226, 0.0546814, 0.0557528, 0.19549,
    0.0357786, 0.633813, 0.321418, 0.00249248, 0.00272882, 0.0037688,
    0.230246, 0.450868, 0.0389607, 0.038309, 0.0391602, 0.202456,
    0.0663296, 0.643849, 0.280111, 0.00283995, 0.0035545, 0.00331533,
    0.280884, 0.429522, 0.0326593, 0.0339046, 0.0326856, 0.190345,
    0.458235, 0.396634, 0.123377, 0.00648837, 0.00903441, 0.00623107,
    0.423286, 0.315517, 0.0338439, 0.0393744, 0.0339315, 0.154046,
]).reshape(5, 2, 6)  # fmt: skip
WARP_GRADIENT = np.array([
    -0.366234, 0.221185, 0.0917319, 0.0129757, 0.0142857, 0.0260553,
    -0.69824, 0.28562, 0.0831517, 0.0862751, 0.0816851, 0.161508,
    0.111121, -0.411608, 0.278779, 0.0055756, 0.00569609, 0.010436,
    0.24082, -0.602467, 0.0557226, 0.0546814, 0.0557528, 0.19549,
    0.0357786, 0.633813, -0.678582, 0.00249248, 0.00272882, 0.0037688,
    0.230246, 0.450868, 0.0389607, 0.038309, 0.0391602, -0.797544,
    0.0663296, -0.356151, 0.280111, 0.00283995, 0.0035545, 0.00331533,
    0.280884, -0.570478, 0.0326593, 0.0339046, 0.0326856, 0.190345,
    -0.541765, 0.396634, 0.123377, 0.00648837, 0.00903441, 0.00623107,
    -0.576714, 0.315517, 0.0338439, 0.0393744, 0.0339315, 0.154046,
]).reshape(5, 2, 6)  # fmt: skip


def test_warp_ctc_two_frames(dtype):
    """Two labels in two frames: one path, and so a product of two probabilities."""
    activations = np.array([[0.1, 0.6, 0.1, 0.1, 0.1], [0.1, 0.1, 0.6, 0.1, 0.1]], dtype)
    p = np.exp(0.6) / (np.exp(0.6) + 4 * np.exp(0.1))
    assert lf.ctc([1, 2], activations) == pytest.approx(-2 * np.log(p), rel=1e-6 if dtype == np.float32 else 1e-14)


def test_warp_ctc_losses_and_gradients(dtype):
    """Blank is the last class, labels come one after another."""
    value, grad = lf.ctc.value_and_grad(
        [0, 1, 2, 1, 0, 0, 1, 1, 0], np.log(WARP).astype(dtype), [5, 4], [5, 5], blank=5, time_major=True,
        reduction="none",
    )  # fmt: skip
    path = WARP[range(5), 0, [0, 1, 2, 1, 0]]
    np.testing.assert_allclose(value, [-np.log(path).sum(), 5.42262], rtol=1e-5)
    np.testing.assert_allclose(grad, WARP_GRADIENT, rtol=0, atol=3e-6)


def test_warp_ctc_without_a_softmax(dtype):
    """Log-probabilities that add up to anything; its gradient has their exponentials in it, the true one has not."""
    y = WARP[:2, :, :4].astype(dtype)
    value, grad = lf.ctc.value_and_grad(
        [1, 2, 2, 1], y, [2, 2], [2, 2], from_logits=False, time_major=True, reduction="none"
    )
    np.testing.assert_allclose(value, [-0.499964, -0.480685], rtol=3e-6)
    theirs = [
        [1.884695, 0.247554, 1.096071, 1.013060],
        [1.352237, 1.330587, 0.086707, 1.090106],
        [1.117530, 1.801090, 0.321515, 1.005591],
        [1.272292, 0.488149, 1.057304, 1.056204],
    ]
    np.testing.assert_allclose(np.exp(y) + grad, np.reshape(theirs, (2, 2, 4)), rtol=0, atol=2e-6)


def test_warp_ctc_a_label_that_cannot_be():
    """A class at -1e30 in every frame: no NaN, and the loss is enormous; at -inf it is infinite."""
    rng = np.random.default_rng(2)
    activations = rng.uniform(size=(50, 15)).astype(np.float32)
    labels = [2, *rng.integers(1, 15, 9)]
    activations[:, 2] = -1e30
    value, grad = lf.ctc.value_and_grad(labels, activations)
    assert value > 1e29 and np.isfinite(grad).all()
    activations[:, 2] = -np.inf
    value, grad = lf.ctc.value_and_grad(labels, activations)
    assert value == np.inf and (grad == 0).all()
