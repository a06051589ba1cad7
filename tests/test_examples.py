"""The examples do what they say, in fewer steps."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def ctc_digits():
    pytest.importorskip("sklearn")
    spec = importlib.util.spec_from_file_location("ctc_digits", EXAMPLES / "ctc_digits.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:  # dataclasses look their module up
        patch.setitem(importlib.import_module("sys").modules, "ctc_digits", module)
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def trained(ctc_digits):
    return ctc_digits.train(steps=100, looks=2, say=lambda line: None)


def test_digits_are_read_after_a_few_steps(ctc_digits, trained):
    assert np.mean(trained.losses[-10:]) < 0.1 * np.mean(trained.losses[:10])
    assert ctc_digits.error_rate(trained.reader, trained.held_out) < 0.4
    assert trained.rates[100] == ctc_digits.error_rate(trained.reader, trained.held_out)
    assert len(trained.held_out.lengths) == 200


def test_the_drawing(ctc_digits, trained, tmp_path):
    pytest.importorskip("matplotlib")
    ctc_digits.draw(trained, tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 20_000


def test_the_command(ctc_digits, tmp_path, capsys):
    ctc_digits.main(["--steps", "4", "--plot", str(tmp_path / "x.png")])
    out = capsys.readouterr().out
    assert out.count("loss per digit") == 4
    assert "character error rate of 200 held-out strings: " in out and "read as" in out and "loss  " in out
