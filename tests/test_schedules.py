"""Schedules: their formulas beside torch's and Optax's, what they promise to be, bad input."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

import lossfast as lf
from lossfast import schedules as s

ALL = [
    s.constant(0.1),
    s.step(0.1, 30, 0.5),
    s.multistep(0.1, [10, 20, 20, 70]),
    s.exponential(0.1, 0.9),
    s.exponential(0.1, 0.5, every=20, staircase=True),
    s.inverse_time(0.1, 0.5, every=10),
    s.polynomial(0.1, 50, final=0.01, exponent=2.0),
    s.cosine(0.1, 50, final=0.01),
    s.cosine_restarts(0.1, 10, growth=2, factor=0.5),
    s.one_cycle(0.1, 80),
    s.warmup(s.cosine(0.1, 40), 10),
    s.reduce_on_plateau(0.1, patience=3),
]


@pytest.mark.parametrize("schedule", ALL, ids=repr)
def test_what_every_schedule_is(schedule):
    values = [schedule(k) for k in range(200)]
    assert all(type(v) is float and math.isfinite(v) and v >= 0 for v in values)
    again = pickle.loads(pickle.dumps(schedule))
    assert [again(k) for k in range(200)] == values and repr(again) == repr(schedule)
    evaluated = eval(repr(schedule), {name: getattr(s, name) for name in dir(s)})
    assert [evaluated(k) for k in range(200)] == values
    if schedule is not ALL[-1]:
        assert again == schedule == copy.deepcopy(schedule) and hash(again) == hash(schedule)
    assert schedule(0) <= 0.1 and schedule.__call__.__doc__


def torch_values(make, steps=100, lr=0.1):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    values = []
    for _ in range(steps):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return values


@pytest.mark.parametrize(
    ("ours", "theirs", "steps"),
    [
        (s.step(0.1, 7, 0.3), lambda t, o: t.StepLR(o, 7, 0.3), 100),
        (s.multistep(0.1, (5, 20), 0.3), lambda t, o: t.MultiStepLR(o, [5, 20], 0.3), 100),
        (s.exponential(0.1, 0.97), lambda t, o: t.ExponentialLR(o, 0.97), 100),
        (s.polynomial(0.1, 50, exponent=2.0), lambda t, o: t.PolynomialLR(o, 50, 2.0), 100),
        (s.cosine(0.1, 99, final=0.01), lambda t, o: t.CosineAnnealingLR(o, 99, 0.01), 100),
        (
            s.cosine_restarts(0.1, 10, growth=3, final=0.02),
            lambda t, o: t.CosineAnnealingWarmRestarts(o, 10, 3, 0.02),
            200,
        ),
        (s.cosine_restarts(0.1, 7), lambda t, o: t.CosineAnnealingWarmRestarts(o, 7), 60),
        (s.one_cycle(0.1, 100), lambda t, o: t.OneCycleLR(o, 0.1, 100, cycle_momentum=False), 99),
        (
            s.one_cycle(0.1, 100, 0.4, 10.0, 100.0, "linear"),
            lambda t, o: t.OneCycleLR(
                o, 0.1, 100, None, None, 0.4, "linear", div_factor=10, final_div_factor=100, cycle_momentum=False
            ),
            99,
        ),
        (s.warmup(0.1, 20, start=0.02), lambda t, o: t.LinearLR(o, 0.2, 1.0, 20), 100),
    ],
    ids=lambda x: repr(x) if isinstance(x, s.Schedule) else "",
)
def test_torch_has_the_same_rates(ours, theirs, steps):
    np.testing.assert_allclose([ours(k) for k in range(steps)], torch_values(theirs, steps), rtol=1e-9, atol=1e-12)


def test_torch_reduces_on_plateaus_alike():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for kw in ({"patience": 2}, {"patience": 0, "cooldown": 3, "factor": 0.5}, {"mode": "max", "patience": 1}):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, eps=0.0, **kw)
        ours = s.reduce_on_plateau(0.1, **kw)
        for metric in 1 + rng.random(60).cumsum() * rng.choice([-0.01, 0.01], 60):
            theirs.step(metric)
            ours.update(metric)
            assert ours(0) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        assert ours(0) < 0.1
        fresh = s.reduce_on_plateau(0.1, **kw)
        fresh.load_state_dict(ours.state_dict())
        assert fresh.state_dict() == ours.state_dict() and fresh(0) == ours(0)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (s.polynomial(0.1, 50, 0.01, 3.0), lambda o: o.polynomial_schedule(0.1, 0.01, 3.0, 50)),
        (s.cosine(0.1, 50), lambda o: o.cosine_decay_schedule(0.1, 50)),
        (s.exponential(0.1, 0.5, 10), lambda o: o.exponential_decay(0.1, 10, 0.5)),
        (s.exponential(0.1, 0.5, 10, True), lambda o: o.exponential_decay(0.1, 10, 0.5, staircase=True)),
        (s.warmup(s.cosine(0.1, 40), 10), lambda o: o.warmup_cosine_decay_schedule(0.0, 0.1, 10, 50)),
    ],
    ids=lambda x: repr(x) if isinstance(x, s.Schedule) else "",
)
def test_optax_has_the_same_rates(ours, theirs):
    schedule = theirs(pytest.importorskip("optax"))
    want = [float(schedule(k)) for k in range(80)]
    np.testing.assert_allclose([ours(k) for k in range(80)], want, rtol=2e-5, atol=1e-7)


def test_restarts_of_very_many_steps():
    lr = s.cosine_restarts(1.0, 10, growth=2)
    for k in range(40):
        start = 10 * (2**k - 1)
        assert lr(start) == 1.0 and (k == 0 or lr(start - 1) < 0.1)


def test_a_warm_up_hands_metrics_on():
    lr = s.warmup(s.reduce_on_plateau(1.0, 0.5, patience=0), 2)
    opt = lf.optim.SGD([np.zeros(1)], lr=lr)
    for metric in (1.0, 1.0):
        lr.update(metric)
    assert lr(5) == 0.5 and lr(1) == 0.25
    assert opt.state_dict()["schedule"]["current"] == 0.5


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: s.constant(-1.0), ValueError, "lr is -1.0"),
        (lambda: s.constant("x"), TypeError, "lr is 'x'"),
        (lambda: s.step(0.1, 0), ValueError, "every is 0, expected at least 1"),
        (lambda: s.step(0.1, 2.0), TypeError, "every is 2.0"),
        (lambda: s.step(0.1, 2, 0.0), ValueError, "factor is 0.0"),
        (lambda: s.multistep(0.1, (3, 2)), ValueError, "increasing"),
        (lambda: s.multistep(0.1, (-1,)), ValueError, r"milestones\[0\] is -1"),
        (lambda: s.exponential(0.1, 0.5, staircase=2), TypeError, "staircase"),
        (lambda: s.inverse_time(0.1, -1.0), ValueError, "rate"),
        (lambda: s.polynomial(0.1, 10, exponent=0.0), ValueError, "exponent"),
        (lambda: s.one_cycle(0.1, 10, rise=1.0), ValueError, "rise is 1.0"),
        (lambda: s.one_cycle(0.1, 10, shape="cos"), ValueError, "shape is 'cos'"),
        (lambda: s.warmup(-0.1, 10), ValueError, "lr is -0.1"),
        (lambda: s.warmup(0.1, 0), ValueError, "steps is 0"),
        (lambda: s.reduce_on_plateau(0.1, factor=1.0), ValueError, "factor is 1.0"),
        (lambda: s.reduce_on_plateau(0.1, mode="mni"), ValueError, "did you mean 'min'"),
        (lambda: s.reduce_on_plateau(0.1, patience=-1), ValueError, "patience is -1"),
    ],
)
def test_bad_schedules(make, error, words):
    with pytest.raises(error, match=words):
        make()
