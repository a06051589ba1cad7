"""The C library: built from the sources in the wheel, into a cache or elsewhere, and by the projects that embed it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import tomllib
from pathlib import Path

import pytest

import lossfast as lf
from lossfast import c_library

ROOT = Path(__file__).resolve().parent.parent
QUICK = ["-DLOSSFAST_DISPATCH=OFF", "-DCMAKE_BUILD_TYPE=Debug"]  # one instruction set, not optimised
CMAKE = c_library._tool("cmake")

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.skipif(not Path(lf.get_include()).exists(), reason="no sources are installed"),
]

MAIN = """
#include <lossfast/lossfast.h>
#include <stdio.h>
int main(void)
{
    const float y[4] = {0, 1, 2, 3}, p[4] = {1, 1, 1, 5};
    double sum;
    const lf_call call = {.n = 4, .target = lf_vector(y, LF_F32), .pred = lf_vector(p, LF_F32), .sum = &sum};
    if (lf_pointwise_run(lf_pointwise_find("mse"), LF_F32, &call, NULL, NULL) != LF_OK) return 1;
    printf("%g", sum);
}
"""
LISTS = """
cmake_minimum_required(VERSION 3.20)
project(client LANGUAGES C)
find_package(lossfast CONFIG REQUIRED)
find_package(lossfast CONFIG REQUIRED) # once more, as two parts of a project may
add_executable(client main.c)
target_link_libraries(client PRIVATE lossfast::lossfast)
install(TARGETS client DESTINATION client)
"""
PROJECT = """
[build-system]
requires = ["scikit-build-core>=1.0"]
build-backend = "scikit_build_core.build"
[project]
name = "client"
version = "1"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A cache with the library."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setenv("CMAKE_ARGS", " ".join(QUICK))
        lf.get_library()
    return folder


@pytest.fixture
def cache(home, monkeypatch, tmp_path):
    """That cache in the environment, and an empty folder for temporary files."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    monkeypatch.setenv("CMAKE_ARGS", " ".join(QUICK))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(c_library, "_temporary", {})
    return home


@pytest.fixture
def builds(monkeypatch):
    """Builds that take no time; how many there were."""
    made = []

    def build(folder):
        made.append(folder)
        (folder / "liblossfast.a").write_bytes(b"!<arch>\n")
        return folder / "liblossfast.a"

    monkeypatch.setattr(c_library, "_built", build)
    return made


def test_the_library_is_built_once(cache, builds):
    path = Path(lf.get_library())
    assert path == cache / "lossfast" / c_library._digest() / "liblossfast.a"
    assert path.read_bytes().startswith(b"!<arch>\n")
    assert not builds
    assert os.listdir(path.parent) == ["liblossfast.a"]


def test_another_environment_has_a_library_of_its_own(cache, builds, monkeypatch):
    first = lf.get_library()
    monkeypatch.setenv("CC", "another")
    assert lf.get_library() != first
    assert lf.get_library() != first
    assert len(builds) == 1


@pytest.mark.parametrize("value", ["", "relative/cache"])
def test_the_default_cache_is_in_the_home(cache, builds, tmp_path, monkeypatch, value):
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Path(lf.get_library()).is_relative_to(tmp_path / "home" / ".cache" / "lossfast")


@pytest.mark.parametrize("where", ["the cache", "its folder", "the file"])
def test_without_a_cache_the_library_is_temporary(cache, builds, tmp_path, monkeypatch, where):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    if where == "the file":
        (tmp_path / "new/lossfast" / c_library._digest() / "liblossfast.a").mkdir(parents=True)
    elif where == "its folder":
        (tmp_path / "new").mkdir()
        (tmp_path / "new/lossfast").write_text("a file, so that no folder can be made here, whoever asks")
    else:
        (tmp_path / "new").write_text("a file")
    path = Path(lf.get_library())
    assert path.is_relative_to(tmp_path / "temporary")
    assert path.parent.stat().st_mode & 0o077 == 0
    assert lf.get_library() == str(path)
    assert len(builds) == 1
    path.unlink()
    assert Path(lf.get_library()).read_bytes() == b"!<arch>\n"


def test_threads_may_build_at_once(cache, builds, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    found = []
    threads = [threading.Thread(target=lambda: found.append(lf.get_library())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6 and len(set(found)) == 1
    assert os.listdir(Path(found[0]).parent) == ["liblossfast.a"]


def test_without_cmake_it_says_what_is_needed(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    monkeypatch.setattr(c_library, "_tool", lambda name: None)
    with pytest.raises(RuntimeError, match="needs CMake: pip install cmake"):
        lf.get_library()


def test_what_the_compiler_said_is_shown(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    monkeypatch.setenv("CC", str(tmp_path / "no-compiler"))
    with pytest.raises(RuntimeError, match=r"failed: .*(?s:.)*no-compiler"):
        lf.get_library()
    assert not list(tmp_path.rglob("*.a"))


def client(folder: Path) -> Path:
    """A C project that is built on lossfast."""
    folder.mkdir()
    for name, text in {"main.c": MAIN, "CMakeLists.txt": LISTS, "pyproject.toml": PROJECT}.items():
        (folder / name).write_text(text)
    return folder


def test_another_package_is_built_on_it(tmp_path):
    """By pip, apart from this environment, as scikit-build-core builds packages."""
    config = Path(lf.get_include()).parents[1] / "lib/cmake/lossfast"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path / "site")]
    quick = ["-Ccmake.define.LOSSFAST_DISPATCH=OFF", "-Ccmake.build-type=Debug"]
    source = str(client(tmp_path / "source"))
    subprocess.run(
        [*install, source, f"-Ccmake.define.lossfast_DIR={config}", *quick], check=True, stdin=subprocess.DEVNULL
    )
    program = str(tmp_path / "site/client/client")
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "6"


def test_the_example_of_the_readme_runs(cache, tmp_path):
    (source,) = re.findall(r"```c\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    main = """
#include <stdio.h>
int main(void)
{
    const float y[4] = {0, 1, 2, 3}, p[4] = {1, 1, 1, 5};
    float g[4];
    const double value = mean_squared_error(4, y, p, g);
    printf("%.17g %g %g %g %g\\n", value, g[0], g[1], g[2], g[3]);
}
"""
    (tmp_path / "example.c").write_text(source + main)
    program = tmp_path / "example"
    command = ["gcc", "-std=c11", "-Wall", "-Werror", f"-I{lf.get_include()}", "example.c", lf.get_library()]
    subprocess.run([*command, "-fopenmp", "-lm", "-o", str(program)], cwd=tmp_path, check=True)
    out = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["1.5", "0.5", "0", "-0.5", "1"]


@pytest.mark.skipif(not CMAKE, reason="needs CMake")
def test_cmake_alone_installs_the_library(tmp_path):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    build, prefix, used = tmp_path / "build", tmp_path / "prefix", tmp_path / "used"
    options = [f"-DSKBUILD_PROJECT_VERSION={version}", *QUICK, f"-DPython_EXECUTABLE={sys.executable}"]
    source = client(tmp_path / "source")
    for command in (
        ["-S", str(ROOT), "-B", str(build), *options],
        ["--build", str(build), "--parallel"],
        ["--install", str(build), "--prefix", str(prefix)],
        ["-S", str(source), "-B", str(used), f"-Dlossfast_DIR={prefix}/lib/cmake/lossfast"],
        ["--build", str(used)],
    ):
        subprocess.run([CMAKE, *command], check=True, capture_output=True)
    assert (prefix / "lib/liblossfast.a").read_bytes().startswith(b"!<arch>\n")
    assert subprocess.run([str(used / "client")], capture_output=True, text=True, check=True).stdout == "6"
