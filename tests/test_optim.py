"""Optimizers: kernels against formulas, torch and Optax; state, layouts, clipping, bad input."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import lossfast as lf
from lossfast import _loss
from lossfast.optim import _numpy

CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1, "betas": (0.5, 0.7), "eps": 1e-3}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.3}),
    ("NAdam", {"lr": 0.01, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01, "centered": True}),
    ("RMSprop", {"lr": 0.01, "centered": True, "momentum": 0.5, "alpha": 0.9}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.2, "initial_accumulator_value": 0.5, "weight_decay": 0.1}),
    ("Adadelta", {"weight_decay": 0.1}),
    ("Lion", {"lr": 0.01, "weight_decay": 0.1}),
]
IDS = [f"{name}-{','.join(kw)}" for name, kw in CASES]
DTYPES = (np.float32, np.float64)


def make(name, kw, *params):
    return getattr(lf.optim, name)(list(params), **kw)


def gradients(n, dtype, steps, seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal(n) * 10.0 ** rng.integers(-3, 2, n)).astype(dtype) for _ in range(steps)]


def descend(opt, grads):
    for g in grads:
        opt.step([g])
    return opt


@pytest.fixture(params=DTYPES, ids=["float32", "float64"])
def real(request):
    return request.param


@pytest.mark.parametrize(("name", "kw"), CASES, ids=IDS)
def test_steps_follow_the_specification(name, kw, real):
    """Step by step in double precision from where the steps before have led, so that roundings do not add up."""
    w = np.random.default_rng(1).standard_normal(1100).astype(real)
    opt = make(name, {**kw, "clip_value": 5.0}, w)
    for t, g in enumerate(gradients(1100, real, 6), 1):
        before = w.astype(np.float64), [s.astype(np.float64) for s in opt._states]
        opt.step([g])
        decay = kw.get("weight_decay", 0.0)
        coupled = name not in ("AdamW", "Lion") and not kw.get("decoupled_weight_decay")
        keep = 1 if coupled else 1 - opt.lr * decay
        grad = np.clip(g.astype(np.float64), -5, 5) + (decay * before[0] if coupled else 0)
        want = opt._formula(t, opt.lr, keep * before[0], grad, *before[1])
        tolerance = 20 * np.finfo(real).eps
        for got, value in zip([w, *opt._states], want, strict=True):
            np.testing.assert_allclose(got, value, rtol=tolerance, atol=tolerance * 10)


@pytest.mark.parametrize(("name", "kw"), [c for c in CASES if c[0] != "Lion"], ids=[i for i in IDS if "Lion" not in i])
def test_torch_makes_the_same_steps(name, kw, real):
    torch = pytest.importorskip("torch")
    if name == "SGD" and kw.get("decoupled_weight_decay"):
        kw = {k: v for k, v in kw.items() if "decay" not in k}
    w = np.random.default_rng(1).standard_normal(500).astype(real)
    t = torch.tensor(w.copy(), requires_grad=True)
    ours, theirs = make(name, kw, w), getattr(torch.optim, name)([t], **kw)
    for g in gradients(500, real, 25):
        ours.step([g])
        t.grad = torch.tensor(g)
        theirs.step()
    exact = real is np.float64 and name != "NAdam"  # torch keeps the product of NAdam's momenta in float32
    tolerance = 1e-12 if exact else 1e-5
    np.testing.assert_allclose(w, t.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "NAdam", "RMSprop", "Adagrad", "Adadelta"])
def test_defaults_are_those_of_torch(name):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.optim, name)([torch.zeros(1, requires_grad=True)]).defaults
    ours = getattr(lf.optim, name)().get_params()
    shared = set(ours) & set(theirs) - {"decoupled_weight_decay"}
    assert shared >= {"lr", "weight_decay"}
    assert {k: ours[k] for k in shared} == {k: theirs[k] for k in shared}


@pytest.mark.parametrize(
    ("name", "kw", "theirs"),
    [
        ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}, "sgd"),
        ("Adam", {"lr": 0.01}, "adam"),
        ("AdamW", {"lr": 0.01, "weight_decay": 0.1}, "adamw"),
        ("Lion", {"lr": 0.01, "weight_decay": 0.1}, "lion"),
        ("RMSprop", {"lr": 0.01, "alpha": 0.9}, "rmsprop"),
        ("Adagrad", {"lr": 0.01, "initial_accumulator_value": 0.1, "eps": 0.0}, "adagrad"),
        ("Adadelta", {"lr": 0.5}, "adadelta"),
    ],
)
def test_optax_makes_the_same_steps(name, kw, theirs):
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    renamed = {"lr": "learning_rate", "alpha": "decay"}
    args = {renamed.get(k, k): v for k, v in kw.items() if k != "betas"}
    if name == "RMSprop":
        args |= {"eps_in_sqrt": False}
    rule = getattr(optax, theirs)(**args)
    w = np.random.default_rng(1).standard_normal(300).astype(np.float32)
    x = jax.numpy.array(w)
    state, ours = rule.init(x), make(name, kw, w)
    for g in gradients(300, np.float32, 10):
        ours.step([g])
        update, state = rule.update(jax.numpy.array(g), state, x)
        x = optax.apply_updates(x, update)
    np.testing.assert_allclose(w, np.asarray(x), rtol=0, atol=2e-5)


@pytest.mark.compiled
@pytest.mark.parametrize(("name", "kw"), CASES, ids=IDS)
def test_the_same_bits_for_any_threads_layout_and_instruction_set(name, kw, isa, real):
    n = 70_001
    start, grads = np.random.default_rng(2).standard_normal(n).astype(real), gradients(n, real, 2)
    want = None
    for threads in (1, 3):
        for strided in (False, True):
            w = np.zeros((n, 2), real)[::-1, 0] if strided else np.zeros(n, real)
            w[:] = start
            opt = descend(make(name, {**kw, "clip_norm": 1.0, "n_threads": threads}, w), grads)
            got = [w.tobytes(), *[s.tobytes() for s in opt._states], opt.grad_norm]
            want = want or got
            assert got == want


@pytest.mark.compiled
def test_many_arrays_are_as_one(real):
    sizes = [0, 1, 7, 1023, 1024, 1025, 0, 5000, 3, 0]
    rng = np.random.default_rng(3)
    whole, grad = rng.standard_normal(sum(sizes)).astype(real), rng.standard_normal(sum(sizes)).astype(real)
    cuts = np.cumsum(sizes)[:-1]
    parts = [p.copy() for p in np.split(whole, cuts)]
    one, many = lf.optim.Adam([whole], lr=0.1), lf.optim.Adam(parts, lr=0.1, n_threads=2)
    for _ in range(3):
        one.step([grad])
        many.step(np.split(grad, cuts))
    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_float32_and_float64_together():
    w, v, u = np.ones(5, np.float32), np.ones((2, 3)), np.ones(4, np.float32)
    opt = lf.optim.Adam([w, v, u], lr=0.5, clip_norm=1.0)
    grads = [np.full(5, 3.0), np.full((2, 3), 2.0, np.float32), np.full(4, 1.0, np.float16)]
    opt.step(grads)
    assert opt.grad_norm == pytest.approx(np.sqrt(45 + 24 + 4))
    for a in (w, v, u):
        np.testing.assert_allclose(a, 0.5, rtol=1e-6)


@pytest.mark.parametrize("order", ["C", "F"])
def test_gradients_of_any_kind(order):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    exact = np.arange(-6, 6).reshape(3, 4) / 4
    kinds = (np.float16, ml_dtypes.bfloat16, np.float32, np.float64, ">f4", np.int8)
    for given in [*[np.asarray(exact * 4).astype(k) for k in kinds], (exact * 4).tolist()]:
        w = np.zeros((3, 4), order=order)
        lf.optim.SGD([w], lr=0.25).step([given])
        np.testing.assert_array_equal(w, -exact)


def test_a_gradient_may_be_the_weights_themselves():
    w = np.arange(5000, dtype=np.float64)
    lf.optim.SGD([w], lr=0.5).step([w])
    np.testing.assert_array_equal(w, np.arange(5000) / 2)
    lf.optim.SGD([w[1:]], lr=1.0).step([w[:-1]])
    np.testing.assert_array_equal(w, np.r_[0, np.full(4999, 0.5)])


def test_no_steps_of_nothing():
    for opt in (lf.optim.Adam([], clip_norm=1.0), lf.optim.Adam([np.zeros((0, 3))], nonfinite="raise", clip_norm=1.0)):
        opt.step([np.zeros(w.shape) for w in opt.params])
        assert opt.steps == 1 and opt.grad_norm == 0


# --- Clipping and numbers that are none ---


def test_clipping_by_value_and_by_norm():
    w, v = np.zeros(3), np.zeros(1)
    lf.optim.SGD([w], lr=1.0, clip_value=2.0).step([np.array([1.0, -5.0, np.inf])])
    np.testing.assert_array_equal(w, [-1, 2, -2])
    w[:] = 0
    opt = lf.optim.SGD([w, v], lr=1.0, clip_norm=1.0)
    opt.step([np.array([3.0, 0.0, 0.0]), np.array([4.0])])
    np.testing.assert_allclose(np.r_[w, v], [-0.6, 0, 0, -0.8], rtol=1e-15)
    assert opt.grad_norm == 5
    opt.step([np.array([0.3, 0.0, 0.0]), np.array([0.4])])  # is left alone
    np.testing.assert_allclose(np.r_[w, v], [-0.9, 0, 0, -1.2], rtol=1e-15)


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1.0, 1e170, 1e300])
def test_norms_neither_overflow_nor_vanish(size):
    w = np.zeros(3000)
    opt = lf.optim.SGD([w], lr=1.0, clip_norm=1e-320)
    opt.step([np.full(3000, size)])
    assert opt.grad_norm == pytest.approx(size * np.sqrt(3000), rel=1e-14)


def test_torch_clips_norms_alike():
    torch = pytest.importorskip("torch")
    g = gradients(1000, np.float32, 1)[0]
    w, t = np.zeros(1000, np.float32), torch.zeros(1000, requires_grad=True)
    t.grad = torch.tensor(g)
    norm = torch.nn.utils.clip_grad_norm_([t], 3.0)
    opt = lf.optim.SGD([w], lr=1.0, clip_norm=3.0)
    opt.step([g])
    assert opt.grad_norm == pytest.approx(float(norm), rel=1e-6)
    np.testing.assert_allclose(-w, t.grad.numpy(), rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_raises_or_is_skipped(bad, real):
    w, v = np.ones((40, 50), real), np.ones(3, real)
    grads = [np.ones((40, 50), np.float32), np.ones(3, np.float16)]
    grads[0][37, 11] = grads[1][2] = bad
    opt = lf.optim.Adam([v, w], nonfinite="raise", n_threads=2)
    state = pickle.dumps(opt.state_dict())
    with pytest.raises(FloatingPointError, match=rf"grads\[0\]\[2\] is {bad} in step 0"):
        opt.step(grads[::-1])
    grads[1][2] = 0
    with pytest.raises(FloatingPointError, match=rf"grads\[1\]\[37, 11\] is {bad}"):
        opt.step(grads[::-1])
    assert (w == 1).all() and (v == 1).all() and pickle.dumps(opt.state_dict()) == state
    opt.nonfinite = "skip"
    opt.step(grads[::-1])
    assert opt.skipped == 1 and opt.steps == 0 and (w == 1).all()
    opt.nonfinite = "propagate"
    opt.step(grads[::-1])
    assert np.isnan(w[37, 11]) and np.isfinite(w).sum() == 1999 and np.isfinite(v).all()


def test_a_centred_rmsprop_of_constant_gradients_stays_finite():
    w = np.zeros(50, np.float32)
    descend(lf.optim.RMSprop([w], centered=True), [np.linspace(0.1, 1, 50, dtype=np.float32)] * 3000)
    assert np.isfinite(w).all()


# --- State ---


@pytest.mark.parametrize(("name", "kw"), CASES, ids=IDS)
def test_a_restart_goes_on_with_the_same_bits(name, kw, real):
    grads = gradients(333, real, 8)
    w = np.ones(333, real)
    opt = descend(make(name, {**kw, "clip_norm": 2.0}, w), grads[:4])
    state, saved = pickle.loads(pickle.dumps(opt.state_dict())), w.copy()
    clone = pickle.loads(pickle.dumps(opt))
    descend(opt, grads[4:])
    again = make(name, {}, saved) if name not in ("SGD", "RMSprop", "Adam") else make(name, kw, saved)
    again.load_state_dict(state)
    descend(again, grads[4:])
    descend(clone, grads[4:])
    assert saved.tobytes() == w.tobytes() == clone.params[0].tobytes()
    assert again.get_params() == opt.get_params() and again.steps == 8


def test_states_are_plain():
    opt = descend(lf.optim.Adam([np.ones(3)], lr=lf.schedules.cosine(0.1, 10)), [np.ones(3)])
    state = opt.state_dict()

    def plain(x):
        if isinstance(x, dict):
            return all(map(plain, x.values()))
        if isinstance(x, list | tuple):
            return all(map(plain, x))
        return type(x) in (int, float, bool, str, type(None), np.ndarray)

    assert plain(state) and "lr" not in state["hyperparameters"]
    state["state"][0]["exp_avg"][:] = 7
    assert (opt.state_dict()["state"][0]["exp_avg"] != 7).all()


def test_a_state_that_does_not_fit_changes_nothing():
    opt = descend(lf.optim.Adam([np.ones(3), np.ones(2)]), [])
    opt.step([np.ones(3), np.ones(2)])
    before = pickle.dumps(opt.state_dict())
    others = [
        (lf.optim.NAdam([np.ones(3), np.ones(2)]), "NAdam"),
        (lf.optim.Adam([np.ones(3)]), "1 arrays, expected 2"),
        (lf.optim.Adam([np.ones(3), np.ones(1)], lr=9.0), "shape"),
        (lf.optim.Adam([np.ones(3), np.ones(2, np.float32)], lr=9.0), "float32"),
        (lf.optim.Adam([np.ones(3), np.ones(2)], amsgrad=True), "amsgrad"),
    ]
    for other, words in others:
        with pytest.raises(ValueError, match=words):
            opt.load_state_dict(other.state_dict())
        assert pickle.dumps(opt.state_dict()) == before
    with pytest.raises(ValueError, match="version"):
        opt.load_state_dict({})
    with pytest.raises(ValueError, match="no 'hyperparameters'"):
        opt.load_state_dict({k: v for k, v in opt.state_dict().items() if k != "hyperparameters"})


def test_a_plateau_is_part_of_the_state():
    def plateau():
        return lf.schedules.reduce_on_plateau(1.0, patience=0, factor=0.5)

    a = lf.optim.SGD([np.zeros(1)], lr=plateau())
    a.lr.update(1.0), a.lr.update(2.0)
    b = lf.optim.SGD([np.zeros(1)], lr=plateau())
    b.load_state_dict(a.state_dict())
    assert b.learning_rate == a.learning_rate == 0.5


# --- Configurations ---


def test_finding_an_optimizer():
    assert repr(lf.optim.get("adam", lr=0.1)) == "Adam(lr=0.1)"
    assert lf.optim.get("AMSGrad").amsgrad and type(lf.optim.get("amsgrad")) is lf.optim.Adam
    assert lf.optim.get({"class_name": "SGD", "config": {"momentum": 0.5}}).momentum == 0.5
    assert lf.optim.get(lf.optim.Lion, lr=1.0).lr == 1
    given = lf.optim.Adam(lr=0.2)
    assert lf.optim.get(given) is given and lf.optim.get(given, eps=0.1).get_params() == {
        **given.get_params(),
        "eps": 0.1,
    }
    for name in lf.optim.names():
        assert repr(lf.optim.get(name))
    with pytest.raises(ValueError, match="'adamm'; did you mean 'adam'"):
        lf.optim.get("adamm")
    with pytest.raises(ValueError, match="known: adadelta"):
        lf.optim.get("xyzzy")
    with pytest.raises(TypeError, match="expected a name"):
        lf.optim.get(3)
    with pytest.raises(ValueError, match="class_name"):
        lf.optim.get({"name": "adam"})


def test_configurations_are_cloned_as_scikit_learn_does():
    clone = pytest.importorskip("sklearn.base").clone
    for opt in (lf.optim.Adam(lr=lf.schedules.step(0.1, 5), betas=[0.5, 1 / 3]), lf.optim.SGD(lr=1, momentum=0.5)):
        again = clone(opt)
        assert again is not opt and again.get_params() == opt.get_params()
    opt.set_params(momentum=0.25, lr=2)
    assert opt.momentum == 0.25 and copy.deepcopy(opt).lr == 2


def test_the_learning_rate_is_a_number_or_a_schedule():
    w, seen = np.zeros(1), []
    opt = lf.optim.SGD([w], lr=lambda k: seen.append(k) or 10.0**-k)
    descend(opt, [np.ones(1)] * 3)
    assert seen == [0, 1, 2] and w[0] == pytest.approx(-1.11)
    opt.lr = 0.5
    assert opt.learning_rate == 0.5 and opt.steps == 3
    opt.learning_rate = 0.25
    assert opt.lr == 0.25
    opt.lr = lambda k: -1.0
    with pytest.raises(ValueError, match=r"lr\(3\) is -1.0"):
        opt.step([np.ones(1)])
    assert w[0] == pytest.approx(-1.11)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: lf.optim.Adam(np.zeros(3)), TypeError, "expected a list of arrays"),
        (lambda: lf.optim.Adam([[1.0]]), TypeError, r"params\[0\] is a list"),
        (lambda: lf.optim.Adam([np.zeros(3), np.zeros(3, int)]), TypeError, r"params\[1\] has dtype int64"),
        (lambda: lf.optim.Adam([np.zeros(3, np.float16)]), TypeError, "float16, expected float32 or float64"),
        (lambda: lf.optim.Adam([np.zeros(3, ">f8")]), TypeError, "dtype >f8"),
        (lambda: lf.optim.Adam([np.frombuffer(bytes(24))]), ValueError, "read-only"),
        (
            lambda: lf.optim.Adam([np.zeros((2, 2)), *[np.zeros(9)[:5]] * 2]),
            ValueError,
            r"params\[2\] overlaps params\[1",
        ),
        (lambda: lf.optim.Adam([np.lib.stride_tricks.as_strided(np.zeros(1), (3,), (0,))]), ValueError, "share memory"),
        (lambda: lf.optim.Adam(lr=-1.0), ValueError, r"lr is -1.0, expected a number in \[0, inf\)"),
        (lambda: lf.optim.Adam(lr="fast"), TypeError, "lr is 'fast'"),
        (lambda: lf.optim.Adam(betas=(0.9, 1.0)), ValueError, r"betas\[1\] is 1.0"),
        (lambda: lf.optim.Adam(betas=0.9), TypeError, "expected a pair"),
        (lambda: lf.optim.Adam(amsgrad=1), TypeError, "amsgrad is 1"),
        (lambda: lf.optim.SGD(nesterov=True), ValueError, "nesterov is True"),
        (lambda: lf.optim.SGD(clip_norm=0.0), ValueError, "clip_norm is 0.0"),
        (lambda: lf.optim.SGD(clip_norm=1.0, clip_value=1.0), ValueError, "both"),
        (lambda: lf.optim.SGD(nonfinite="fail"), ValueError, "expected one of 'propagate'"),
        (lambda: lf.optim.SGD(n_threads=0), ValueError, "n_threads"),
        (lambda: lf.optim.SGD().set_params(beta=1), ValueError, "no parameter 'beta'"),
        (lambda: lf.optim.SGD().step([]), ValueError, "no arrays"),
        (lambda: setattr(lf.optim.Adam([np.zeros(1)]), "amsgrad", True), ValueError, "make a new optimizer"),
        (lambda: lf.optim.LBFGS(history_size=0), ValueError, "at least 1"),
        (lambda: lf.optim.LBFGS().bind([]), TypeError, "minimize alone"),
    ],
)
def test_bad_configurations(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize(
    ("grads", "error", "words"),
    [
        (np.zeros((2, 3)), TypeError, "expected a list of arrays"),
        ([np.zeros(3)], ValueError, "1 arrays, expected 2"),
        ([np.zeros(3), None], TypeError, r"grads\[1\] is None"),
        ([np.zeros(3), np.zeros((2, 1))], ValueError, r"grads\[1\] has shape \(2, 1\), expected \(2,\)"),
        ([np.zeros(3), np.zeros(2, complex)], TypeError, r"grads\[1\] has dtype complex128"),
        ([np.zeros(3), np.array(["a", "b"])], TypeError, r"grads\[1\] has dtype <U1"),
    ],
)
def test_bad_gradients_change_nothing(grads, error, words):
    opt = lf.optim.Adam([np.ones(3), np.ones(2)])
    with pytest.raises(error, match=words):
        opt.step(grads)
    assert opt.steps == 0 and all((w == 1).all() for w in opt.params)
    assert not any(s.any() for s in opt._states)


def test_weights_that_changed_since_are_noticed():
    w = np.ones(4)
    opt = lf.optim.SGD([w], lr=1.0)
    w.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        opt.step([np.ones(4)])
    assert (w == 1).all() and opt.steps == 0


def test_the_numpy_backend_agrees(monkeypatch):
    for name, kw in CASES:
        w, v = np.ones((7, 9), np.float32), np.ones((9, 7), np.float32).T
        grads = gradients((7, 9), np.float32, 4)
        kw = {**kw, "clip_norm": 1.0, "nonfinite": "raise"}
        descend(make(name, kw, w), grads)
        with monkeypatch.context() as patch:
            patch.setattr(_loss, "_core", None)
            descend(make(name, kw, v), grads)
        np.testing.assert_allclose(w, v, rtol=2e-6, atol=2e-6)
    assert _numpy.first_nonfinite(True, [np.ones(2), np.array([[1, np.nan]])], 1) == (1, 1)
