"""The examples of tuning do what they say."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def search():
    spec = importlib.util.spec_from_file_location("search_linear", EXAMPLES / "search_linear.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_grid(search):
    found = search.grid()
    assert len(found.cv_results_["params"]) == 9 and found.best_score_ > -48
    assert found.best_estimator_[-1].loss.delta == found.best_params_["gdregressor__loss__delta"]


def test_random(search):
    assert search.random(6).best_score_ > 0.95


def test_halving(search):
    found = search.halving()
    assert found.best_score_ > 0.95 and found.n_resources_[-1] == 27
    assert found.n_candidates_ == sorted(found.n_candidates_, reverse=True) and found.n_candidates_[-1] < 4


def test_cross_validation(search):
    found = search.cross_validation()
    assert np.mean(found["test_r2"]) > 0.4 and all(1 <= n <= 100 for n in found["epochs"])


def test_optuna(search):
    pytest.importorskip("optuna")
    study = search.optuna(12, epochs=10)
    states = [trial.state.name for trial in study.trials]
    assert study.best_value > 0.95 and set(states) == {"COMPLETE", "PRUNED"}


def test_the_command(search, capsys):
    search.main(["--only", "cross_validation"])
    assert capsys.readouterr().out.startswith("cross_validation: R² 0.")
    with pytest.raises(SystemExit):
        search.main(["--only", "luck"])
