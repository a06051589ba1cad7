"""The losses of classes give the same numbers as other libraries, for each library and definition."""

import importlib
import itertools

import numpy as np
import pytest

import lossfast as lf

N, C = 200, 6
DOUBLE, SINGLE = 1e-12, 3e-6  # Keras and Optax compute in float32
RNG = np.random.default_rng(8)
LOGITS = RNG.normal(0, 2, (N, C)).astype(np.float32).astype(np.float64)
LABELS = RNG.integers(0, C, N)
SOFT = RNG.dirichlet(np.ones(C), N)
ODDS = np.exp(LOGITS)
P = ODDS / ODDS.sum(axis=1, keepdims=True)
CLASS_WEIGHT, WEIGHT = RNG.uniform(0.2, 3, C), RNG.uniform(0, 2, N)
ONE_HOT = np.eye(C)[LABELS]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")


def found(dotted):
    """A function of another library; the test is skipped by the library's name where it is missing."""
    module, name = dotted.rsplit(".", 1)
    pytest.importorskip(module.split(".")[0])
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.15])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("target", ["labels", "ignored", "soft"])
def test_cross_entropy_is_that_of_torch(reduction, smoothing, weighted, target):
    theirs, torch = found("torch.nn.functional.cross_entropy"), pytest.importorskip("torch")
    logits = LOGITS.reshape(20, 10, C).transpose(0, 2, 1).copy()  # torch has the classes second
    if target == "soft":
        y = SOFT.reshape(20, 10, C).transpose(0, 2, 1).copy()
    else:
        y = np.where(RNG.uniform(size=N) < (target == "ignored") * 0.4, -100, LABELS).reshape(20, 10)
    z = torch.from_numpy(logits).requires_grad_()
    weight = torch.from_numpy(CLASS_WEIGHT) if weighted else None
    want = theirs(z, torch.from_numpy(y), weight=weight, label_smoothing=smoothing, reduction=reduction)
    want.sum().backward()
    loss = lf.get("categorical_crossentropy" if target == "soft" else "CrossEntropyLoss", from_logits=True)
    kwargs = {"label_smoothing": smoothing, "axis": 1, "reduction": reduction}
    kwargs |= {"class_weight": CLASS_WEIGHT} if weighted else {}
    kwargs |= {"ignore_index": -100} if target == "ignored" else {}
    value, grad = loss.value_and_grad(y, logits, **kwargs)
    np.testing.assert_allclose(value, want.detach().numpy(), rtol=DOUBLE)
    np.testing.assert_allclose(grad, z.grad.numpy(), rtol=1e-10, atol=1e-15)


def test_divergence_is_that_of_torch():
    theirs, torch = found("torch.nn.functional.kl_div"), pytest.importorskip("torch")
    z = torch.from_numpy(np.log(P)).requires_grad_()
    want = theirs(z, torch.from_numpy(SOFT), reduction="batchmean")
    want.backward()
    value, grad = lf.get("KLDivLoss").value_and_grad(SOFT, np.log(P))
    assert value == pytest.approx(want.item(), rel=DOUBLE)
    np.testing.assert_allclose(grad, z.grad.numpy(), rtol=DOUBLE)
    assert lf.kld(SOFT, P) == pytest.approx(want.item(), rel=1e-12)


KERAS = [
    ("CategoricalCrossentropy", {"from_logits": True}, ONE_HOT, LOGITS, {}),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, ONE_HOT, LOGITS, {}),
    ("CategoricalCrossentropy", {}, SOFT, P, {}),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS, LOGITS, {}),
    ("SparseCategoricalCrossentropy", {}, LABELS, P, {}),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 2}, LABELS, LOGITS, {}),
    ("KLDivergence", {}, SOFT, P, {}),
    ("CategoricalFocalCrossentropy", {"from_logits": True, "alpha": 1.0}, ONE_HOT, LOGITS, {}),
    ("CategoricalFocalCrossentropy", {"alpha": 0.25, "gamma": 3.0}, ONE_HOT, P, {}),
    ("CategoricalFocalCrossentropy", {"alpha": 0.25, "label_smoothing": 0.1}, ONE_HOT, P, {}),
    ("CategoricalHinge", {}, ONE_HOT, LOGITS, {}),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.7}, LABELS, P, {}),
]


@pytest.mark.parametrize("row", KERAS, ids=[f"{i}-{row[0]}" for i, row in enumerate(KERAS)])
@pytest.mark.parametrize("weighted", [False, True])
def test_values_are_those_of_keras(row, weighted):
    name, params, target, pred, more = row
    theirs = found(f"keras.losses.{name}")(**params)
    weight = WEIGHT.astype(np.float32) if weighted else None
    y = target.astype(np.int32 if target.ndim == 1 else np.float32)
    want = float(theirs(y, pred.astype(np.float32), sample_weight=weight))
    ours = lf.get(name, **params, **more)
    if weighted and ours.get_params().get("ignore_index") is not None:
        return  # its mean of weights is over another number of rows, as its backend has it
    got = ours(target, pred, sample_weight=weight, reduction="sum_over_batch_size")
    assert got == pytest.approx(want, rel=2e-5 if "Focal" in name else 1e-5)
    labels = name.startswith("Categorical") and target is ONE_HOT and ours.declaration.labels
    if labels:
        assert ours(LABELS, pred, sample_weight=weight, reduction="sum_over_batch_size") == pytest.approx(
            got, rel=1e-12
        )


def optax(name, *args, **kwargs):
    return np.asarray(found(f"optax.losses.{name}")(*args, **kwargs), np.float64)


def test_values_are_those_of_optax():
    z, y = LOGITS.astype(np.float32), LABELS.astype(np.int32)
    soft, one_hot, p = (x.astype(np.float32) for x in (SOFT, ONE_HOT, P))
    each = {"reduction": "none"}
    for want, got in (
        (optax("softmax_cross_entropy", z, soft), lf.get("softmax_cross_entropy")(SOFT, LOGITS, **each)),
        (
            optax("softmax_cross_entropy_with_integer_labels", z, y),
            lf.get("softmax_cross_entropy_with_integer_labels")(LABELS, LOGITS, **each),
        ),
        (optax("poly_loss_cross_entropy", z, one_hot), lf.get("poly_loss_cross_entropy")(LABELS, LOGITS, **each)),
        (
            optax("poly_loss_cross_entropy", z, one_hot, epsilon=0.5),
            lf.poly_loss(LABELS, LOGITS, epsilon=0.5, from_logits=True, **each),
        ),
        (optax("kl_divergence", np.log(p), soft), lf.kld(SOFT, np.log(P), log_input=True, **each)),
        (optax("multiclass_hinge_loss", z, y), lf.get("multiclass_hinge_loss")(LABELS, LOGITS, **each)),
    ):
        np.testing.assert_allclose(got, want, rtol=5e-5, atol=5e-6)


def test_values_are_those_of_scikit_learn():
    for weight in (None, WEIGHT):
        want = found("sklearn.metrics.log_loss")(LABELS, P, sample_weight=weight)
        assert lf.scce(LABELS, P, sample_weight=weight) == pytest.approx(want, rel=DOUBLE)
        want = found("sklearn.metrics.hinge_loss")(LABELS, LOGITS, sample_weight=weight)
        assert lf.multiclass_hinge(LABELS, LOGITS, sample_weight=weight) == pytest.approx(want, rel=DOUBLE)
    try:
        want = found("sklearn.metrics.brier_score_loss")(LABELS, P, sample_weight=WEIGHT, scale_by_half=False)
    except (TypeError, ValueError):
        return  # of two classes only, before 1.7
    assert lf.multiclass_brier(LABELS, P, sample_weight=WEIGHT) == pytest.approx(want, rel=DOUBLE)


def test_losses_and_gradients_are_those_of_scikit_learns_estimators():
    theirs = found("sklearn._loss.loss.HalfMultinomialLoss")(n_classes=C)
    ours = lf.get("HalfMultinomialLoss")
    raw = np.asfortranarray(LOGITS)
    want = theirs.loss(LABELS.astype(np.float64), raw, sample_weight=WEIGHT)
    np.testing.assert_allclose(
        ours(LABELS, LOGITS, sample_weight=WEIGHT, reduction="none"), want, rtol=1e-11, atol=1e-14
    )
    for got, want in zip(
        ours.grad_and_hess(LABELS, LOGITS, reduction="sum"),
        theirs.gradient_hessian(LABELS.astype(np.float64), raw),
        strict=True,
    ):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-15)


def test_entropies_are_those_of_scipy():
    special = pytest.importorskip("scipy.special")
    np.testing.assert_allclose(
        lf.kld(SOFT, P, reduction="none"), special.rel_entr(SOFT, P).sum(axis=1), rtol=1e-11, atol=1e-14
    )
    for temperature, z in itertools.product((0.5, 4.0), (LOGITS, 40 * LOGITS)):
        want = -(SOFT * special.log_softmax(z / temperature, axis=1)).sum(axis=1)
        got = lf.cce(SOFT, z, from_logits=True, temperature=temperature, reduction="none")
        np.testing.assert_allclose(got, want, rtol=1e-12)
    want = lf.scce(LABELS, LOGITS, from_logits=True) + 0.01 * (special.logsumexp(LOGITS, axis=1) ** 2).mean()
    assert lf.scce(LABELS, LOGITS, from_logits=True, z_loss=0.01) == pytest.approx(want, rel=DOUBLE)
