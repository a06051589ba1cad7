"""What README.md and CONTRIBUTING.md show works as shown, and what is made from the registry is up to date."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zlib
from pathlib import Path

import numpy as np
import pytest

import lossfast as lf

ROOT = Path(__file__).resolve().parent.parent
needs_core = pytest.mark.skipif(lf.backend() == "numpy", reason="needs the compiled core")


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def test_generated_pages_are_up_to_date():
    done = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_versions_agree():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    header = (ROOT / "csrc/include/lossfast/lossfast.h").read_text()
    assert lf.__version__ == version
    assert f'#define LF_VERSION_STRING "{version}"' in header


def test_readme_python_runs():
    first = blocks("README.md", "python")[0]
    done = subprocess.run([sys.executable, "-W", "error", "-c", first], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "page, count", [("docs/ctc.md", 1), ("docs/decoding.md", 2), ("docs/optim.md", 2), ("docs/estimators.md", 1)]
)
def test_pages_run(page, count, tmp_path):
    """Their first examples, one after another."""
    code = "\n".join(blocks(page, "python")[:count])
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@needs_core
def test_the_wheel_is_small():
    """From what is installed, as a wheel would deflate it: below 2,000,000 bytes."""
    package = Path(lf.__file__).parent
    files = [x for x in package.rglob("*") if x.is_file() and "__pycache__" not in x.parts]
    assert any(x.name.startswith("_core.") for x in files) or "site-packages" not in package.parts
    overhead = 2 * (30 + 46) + 2 * 80  # of zip and RECORD, by file
    sizes = {str(x): len(zlib.compress(x.read_bytes(), 6)) + overhead for x in files}
    assert sum(sizes.values()) < 2_000_000, sorted(sizes.items(), key=lambda item: -item[1])[:5]


@needs_core
def test_contributing_example_adds_a_loss(tmp_path):
    """The three places, as written, then a build and a first use of the new loss."""
    copy = tmp_path / "copy"
    leave = shutil.ignore_patterns(".*", "build", "dist", "__pycache__")
    shutil.copytree(ROOT, copy, ignore=leave)
    page = (ROOT / "CONTRIBUTING.md").read_text()
    (formula,) = re.findall(r"<!-- example: csrc/pointwise/cauchy.h -->\n```c\n(.*?)```", page, re.DOTALL)
    (spec,) = re.findall(r"<!-- example: src/lossfast/regression.py -->\n```python\n(.*?)```", page, re.DOTALL)
    (include,) = re.findall(r"losses.h include -->\n```c\n(.*?)\n```", page, re.DOTALL)
    (row,) = re.findall(r"losses.h row -->\n```c\n(.*?)\n```", page, re.DOTALL)
    (copy / "csrc/pointwise/cauchy.h").write_text(formula)
    losses = copy / "csrc/pointwise/losses.h"
    text = losses.read_text().replace('#include "exponential.h"', f'{include}\n#include "exponential.h"')
    losses.write_text(re.sub(r"( +X\(brier, )", lambda m: f"{row}\n{m[1]}", text))
    regression = copy / "src/lossfast/regression.py"
    regression.write_text(regression.read_text() + "\n\n" + spec)

    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(copy)]
    quick = ["-Ccmake.define.LOSSFAST_DISPATCH=OFF", "-Ccmake.build-type=Debug"]
    subprocess.run([*install, *quick], check=True, stdin=subprocess.DEVNULL)
    script = (
        "import lossfast as lf, numpy as np, sys\n"
        "t, p = np.zeros(5), np.linspace(-3, 3, 5)\n"
        "np.save(sys.argv[1], np.array(lf.cauchy.value_grad_hess(t, p, scale=2.0, reduction='none')))\n"
        "assert lf.Cauchy(scale=2.0) == lf.get('cauchy', scale=2.0)\n"
    )
    clean = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "LOSSFAST_BACKEND": "c"}
    out = tmp_path / "jet.npy"
    subprocess.run([sys.executable, "-c", script, str(out)], env=clean, check=True, cwd=tmp_path)
    x = np.linspace(-3, 3, 5) / 2
    want = [np.log1p(x**2), x / (1 + x**2), (1 - x**2) / (1 + x**2) ** 2 / 2]
    np.testing.assert_allclose(np.load(out), want, rtol=1e-14, atol=1e-16)
