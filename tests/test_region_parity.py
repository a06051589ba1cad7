"""The losses of masks beside MONAI and Keras, definition by definition, and a formula of segmentation_models_pytorch.

Peers work in float32; where they smooth otherwise the smoothing is given.  Gradients are compared where the peer has
them.
"""

import numpy as np
import pytest

import lossfast as lf

SHAPE = (3, 4, 5, 6)  # samples, classes, positions
SMOOTH = 1e-5  # that of MONAI, of numerator and denominator


@pytest.fixture
def masks():
    """Classes of the positions, which all occur in each sample, and logits."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, SHAPE[1], (SHAPE[0], *SHAPE[2:]))
    return labels, rng.normal(0, 2, SHAPE).astype(np.float32)


def of_monai(name, labels, logits, **options):
    """Value and gradient of one of its losses."""
    monai = pytest.importorskip("monai.losses")
    torch = pytest.importorskip("torch")
    z = torch.from_numpy(logits).double().requires_grad_()
    options = {k: torch.tensor(v) if k == "weight" else v for k, v in options.items()}
    value = getattr(monai, name)(to_onehot_y=True, **options)(z, torch.from_numpy(labels[:, None]))
    value.backward()
    return value.item(), z.grad.numpy()


def agree(loss, labels, logits, want, **options):
    value, grad = loss.value_and_grad(labels, logits.astype(np.float64), axis=1, **options)
    assert value == pytest.approx(want[0], rel=1e-6)
    np.testing.assert_allclose(grad, want[1], rtol=1e-5, atol=1e-9)


ACTIVATIONS = [("softmax", {"softmax": True}), ("sigmoid", {"sigmoid": True})]
OPTIONS = [
    ({}, {}),
    ({"squared": True}, {"squared_pred": True}),
    ({"include_background": False}, {"include_background": False}),
    ({"reduce_over": "batch"}, {"batch": True}),
    ({"smooth": (0.0, 1.0)}, {"smooth_nr": 0.0, "smooth_dr": 1.0}),
    ({"reduction": "sum"}, {"reduction": "sum"}),
]


@pytest.mark.parametrize("activation, theirs", ACTIVATIONS)
@pytest.mark.parametrize("ours, options", OPTIONS, ids=str)
def test_dice_and_jaccard_are_those_of_monai(masks, activation, theirs, ours, options):
    for loss, more in ((lf.dice, {}), (lf.jaccard, {"jaccard": True})):
        if more and "smooth" in ours:
            continue  # MONAI's Jaccard is 2 I / (2 (P + T - I)): its smoothing is another
        want = of_monai("DiceLoss", *masks, **theirs, **more, **options)
        smooth = {"smooth": SMOOTH / (2 if more else 1), "activation": activation}
        agree(loss, *masks, want, **{**smooth, **ours})


def test_class_weights_of_monai_multiply_without_dividing(masks):
    weight = [0.5, 1.0, 2.0, 0.25]
    want = of_monai("DiceLoss", *masks, softmax=True, weight=weight)
    options = {"class_weight": weight, "activation": "softmax", "smooth": SMOOTH}
    agree(lf.dice, *masks, want, **options, reduction="sum_over_batch_size")


@pytest.mark.parametrize("activation, theirs", ACTIVATIONS)
@pytest.mark.parametrize("ours, options", [x for x in OPTIONS if "squared" not in x[0]], ids=str)
def test_tversky_is_that_of_monai(masks, activation, theirs, ours, options):
    want = of_monai("TverskyLoss", *masks, alpha=0.3, beta=0.7, **theirs, **options)
    agree(lf.tversky, *masks, want, alpha=0.3, beta=0.7, **{"smooth": SMOOTH, "activation": activation, **ours})


@pytest.mark.parametrize("activation, theirs", ACTIVATIONS)
@pytest.mark.parametrize("weighting", ["square", "simple", "uniform"])
@pytest.mark.parametrize("ours, options", [OPTIONS[0], OPTIONS[2], OPTIONS[3]], ids=str)
def test_generalized_dice_is_that_of_monai(masks, activation, theirs, weighting, ours, options):
    options = {**theirs, **options, "w_type": weighting}
    want = of_monai("GeneralizedDiceLoss", *masks, **options)
    agree(lf.generalized_dice, *masks, want, weighting=weighting, activation=activation, smooth=SMOOTH, **ours)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.25, 2.0)])
def test_dice_with_crossentropy_is_that_of_monai(masks, weights):
    monai = {"lambda_dice": weights[0], "lambda_ce": weights[1]}
    ours = {"dice_weight": weights[0], "crossentropy_weight": weights[1], "smooth": SMOOTH}
    for more in ({}, {"include_background": False}):
        want = of_monai("DiceCELoss", *masks, softmax=True, **monai, **more)
        # its cross-entropy is the mean over the batch: so is that of samples of equal size
        agree(lf.dice_crossentropy, *masks, want, **ours, **more)


@pytest.mark.parametrize("gamma", [2.0, 1.5])
def test_dice_with_focal_is_that_of_monai(masks, gamma):
    """By sigmoids, the mean over positions and classes; by a softmax MONAI divides by the number of classes too."""
    ours = {"gamma": gamma, "smooth": SMOOTH}
    want = of_monai("DiceFocalLoss", *masks, sigmoid=True, gamma=gamma, lambda_focal=0.5)
    agree(lf.dice_focal, *masks, want, **ours, activation="sigmoid", focal_weight=0.5)
    focal = of_monai("FocalLoss", *masks, gamma=gamma, use_softmax=True)
    dice = of_monai("DiceLoss", *masks, softmax=True)
    want = tuple(d + 0.5 * f for d, f in zip(dice, focal, strict=True))
    agree(lf.dice_focal, *masks, want, **ours, focal_weight=0.5 / SHAPE[1])


def test_focal_tversky_is_a_power_of_monais_tversky(masks):
    pytest.importorskip("monai")
    each = [of_monai("TverskyLoss", y[None], z[None], softmax=True, alpha=0.3, beta=0.7, batch=True, reduction="sum")[0]
            for y, z in zip(*masks, strict=True)]  # fmt: skip
    options = {"activation": "softmax", "axis": 1, "smooth": SMOOTH}
    ours = lf.focal_tversky(*masks, gamma=1.0, reduction="none", **options)
    assert ours.sum(axis=1) == pytest.approx(each, rel=1e-6)
    powers = lf.focal_tversky(*masks, gamma=0.75, reduction="none", **options)
    np.testing.assert_allclose(powers, ours**0.75, rtol=1e-6)


# --- Keras ------------------------------------------------------------------------------------------------------------


def test_dice_and_tversky_are_those_of_keras():
    """Over everything by default; `axis` of Keras is what is summed over, here all but the samples."""
    keras = pytest.importorskip("keras")
    rng = np.random.default_rng(3)
    t = (rng.uniform(size=(2, 5, 6, 1)) < 0.4).astype(np.float32)
    p = rng.uniform(0.01, 0.99, t.shape).astype(np.float32)
    smooth = keras.config.epsilon()
    dice = float(keras.losses.dice(t, p))
    assert lf.dice(t, p, reduce_over="all", smooth=smooth) == pytest.approx(dice, rel=2e-6)
    by_sample = np.asarray(keras.losses.dice(t, p, axis=(1, 2, 3)))
    assert lf.dice(t, p, smooth=smooth, reduction="none")[:, 0] == pytest.approx(by_sample, rel=2e-6)
    theirs = float(keras.losses.tversky(t, p, alpha=0.3, beta=0.7))
    direct, swapped = (
        lf.tversky(t, p, reduce_over="all", smooth=smooth, alpha=a, beta=b) for a, b in ((0.3, 0.7), (0.7, 0.3))
    )
    # Keras 3.15.1 weighs false negatives with alpha; others follow the paper
    assert min(abs(theirs - direct), abs(theirs - swapped)) < 2e-6
    assert abs(direct - swapped) > 1e-3


# --- segmentation_models_pytorch --------------------------------------------------------------------------------------


def test_dice_of_segmentation_models_pytorch(masks):
    """Its multiclass mode, by its formula: over batch and positions, classes without a target count as 0."""
    labels, logits = masks
    labels = np.where(labels == 3, 1, labels)  # class 3 is absent
    z = logits.astype(np.float64)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    t = labels[:, None] == np.arange(SHAPE[1])[:, None, None]
    over, eps = (0, 2, 3), 1e-7
    intersection, sizes = (p * t).sum(axis=over), (p + t).sum(axis=over)
    for s in (0.0, 0.5):
        score = (2 * intersection + s) / np.maximum(sizes + s, eps)
        want = ((1 - score) * (t.sum(axis=over) > 0)).mean()
        options = {"axis": 1, "activation": "softmax", "reduce_over": "batch", "smooth": (s, s)}
        each = lf.dice(labels, z, reduction="none", **options)
        present = np.isin(np.arange(SHAPE[1]), labels)
        assert np.where(present, each, 0.0).mean() == pytest.approx(want, rel=1e-13)
        skipped = lf.dice(labels, z, empty="skip", **options)
        assert skipped * present.mean() == pytest.approx(want, rel=1e-13)
