"""Every example in a docstring runs, and every loss explains itself."""

import doctest
import importlib
import inspect

import numpy as np
import pytest

import lossfast as lf
from lossfast import _docs
from lossfast._loss import REGISTRY

lf.names()
MODULES = (
    "lossfast",
    "lossfast.catalogue",
    "lossfast.accumulator",
    "lossfast.generative",
    "lossfast._linear_crossentropy",
    "lossfast.overlap",
    "lossfast.ranked",
    "lossfast.runtime",
    "lossfast.decoding",
    "lossfast.transcripts",
    "lossfast.sequence",
    "lossfast.callbacks",
    "lossfast.linear",
    "lossfast.linear._estimators",
    "lossfast.optim",
    "lossfast.optim._rules",
    "lossfast.optim._lbfgs",
    "lossfast.optim._minimize",
    "lossfast.schedules",
    "lossfast.plot",
)


def examples(name, text):
    return doctest.DocTestParser().get_doctest(text, {"np": np}, name, None, 0)


def run(test):
    report = []
    with np.printoptions():
        failed = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append).failed
    assert not failed, "".join(report)


def public_objects():
    return {name: getattr(lf, name) for name in dir(lf) if not name.startswith("_")}


DOCUMENTED = {
    name: thing
    for name, thing in public_objects().items()
    if inspect.isfunction(thing)
    or (inspect.isclass(thing) and name not in {d.declaration.class_name for d in REGISTRY.values()})
}


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_examples_of_a_loss(name):
    test = examples(name, type(REGISTRY[name]).__doc__)
    assert test.examples, "no example"
    run(test)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name):
    for test in doctest.DocTestFinder().find(importlib.import_module(name), extraglobs={"np": np}):
        run(test)


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_every_public_function_has_a_docstring(name):
    thing = DOCUMENTED[name]
    assert (thing.__doc__ and thing.__doc__.strip()[0].isupper()) or thing.__doc__.startswith("``")
    for attribute, member in vars(thing).items() if inspect.isclass(thing) else ():
        if inspect.isfunction(member) and not attribute.startswith("_"):
            assert member.__doc__, attribute


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_a_loss_explains_itself(name):
    loss, d = REGISTRY[name], REGISTRY[name].declaration
    text = inspect.getdoc(type(loss))
    summary = text.splitlines()[0]
    assert summary[0].isupper() and summary.endswith(".")
    assert d.formula and d.formula in text
    for parameter, p in d.params.items():
        assert f"\n{parameter} : " in text
        assert p.doc and repr(p.default) in text
    for section in ("Parameters", "Returns", "Raises", "Examples"):
        assert text.count(f"\n{section}\n{'-' * len(section)}\n") == 1, section
    assert loss.__doc__ == type(loss).__doc__
    found = [text.find(f"\n{section}\n---") for section in _docs.SECTIONS if f"\n{section}\n---" in text]
    assert found == sorted(found), "sections out of order"


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_info_says_what_the_docstring_says(name):
    info = lf.info(name)
    assert info.name == name and info.class_name == type(REGISTRY[name]).__name__
    assert info.summary in type(REGISTRY[name]).__doc__
    assert info.formula in str(info) and info.y_true in str(info)
    assert info.parameters == REGISTRY[name].get_params()
    assert all(alias in str(info) for alias in info.aliases)
