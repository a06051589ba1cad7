"""The static library: unpacked from the wheel, into a cache or elsewhere, and linked from CMake."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest

import lossfast as lf
from lossfast import embedding

ROOT = Path(__file__).resolve().parent.parent
PACKED = embedding._installed("lib/liblossfast.tar.xz")
DIGEST = embedding._installed("lib/liblossfast.a.sha256")
CONFIG = embedding._installed("lib/cmake/lossfast/lossfastConfig.cmake").parent

needs_library = pytest.mark.skipif(lf.backend() == "numpy", reason="needs the compiled core")
needs_archive = pytest.mark.skipif(not PACKED.exists(), reason="installed with the library as it is")

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


def sha256(path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and an empty folder for temporary files."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(embedding, "_temporary", {})
    return tmp_path / "cache"


@pytest.fixture
def archive(cache, tmp_path, monkeypatch):
    """A copy of the packed library, to be damaged."""
    home = tmp_path / "installed"
    shutil.copytree(PACKED.parent, home / "lib")
    monkeypatch.setattr(embedding, "_installed", lambda name: home / name)
    return home / "lib" / PACKED.name


@needs_library
@needs_archive
def test_the_library_is_unpacked_once(cache):
    digest = DIGEST.read_text().split()[0]
    path = Path(lf.get_library())
    assert path == cache / "lossfast" / digest[:16] / "liblossfast.a"
    assert sha256(path) == digest
    assert path.read_bytes().startswith(b"!<arch>\n")
    before = path.stat()
    assert lf.get_library() == str(path)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert os.listdir(path.parent) == ["liblossfast.a"]


@needs_library
@needs_archive
@pytest.mark.parametrize("value", ["", "relative/cache"])
def test_the_default_cache_is_in_the_home(cache, tmp_path, monkeypatch, value):
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Path(lf.get_library()).is_relative_to(tmp_path / "home" / ".cache" / "lossfast")


@needs_library
@needs_archive
@pytest.mark.parametrize("damage", [b"", b"!<arch>\n", None])
def test_a_damaged_file_of_the_cache_is_replaced(cache, damage):
    path = Path(lf.get_library())
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if damage is None else damage)
    assert lf.get_library() == str(path)
    assert path.read_bytes() == content


@needs_library
@needs_archive
@pytest.mark.parametrize("where", ["the cache", "its folder", "the file"])
def test_without_a_cache_the_library_is_temporary(cache, tmp_path, where):
    digest = DIGEST.read_text().split()[0]
    if where == "the file":
        (cache / "lossfast" / digest[:16] / "liblossfast.a").mkdir(parents=True)
    elif where == "its folder":
        cache.mkdir()
        (cache / "lossfast").write_text("a file, so that no folder can be made here, whoever asks")
    else:
        cache.write_text("a file")
    path = Path(lf.get_library())
    assert path.is_relative_to(tmp_path / "temporary")
    assert path.parent.stat().st_mode & 0o077 == 0
    assert sha256(path) == digest
    assert lf.get_library() == str(path)
    path.write_bytes(b"")
    assert sha256(lf.get_library()) == digest


@needs_library
@needs_archive
def test_processes_may_unpack_at_once(cache):
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-c", "import lossfast, sys; sys.stdin.read(); print(lossfast.get_library())"]
    started = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    for process in started:
        process.stdin.close()  # now
    printed = set()
    for process in started:
        printed.add(process.stdout.read().strip())
        process.stdout.close()
        assert process.wait() == 0
    (path,) = printed
    assert sha256(path) == DIGEST.read_text().split()[0]
    assert os.listdir(Path(path).parent) == ["liblossfast.a"]


@needs_library
@needs_archive
@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "another"])
def test_a_damaged_archive_is_an_error(archive, cache, damage):
    content = archive.read_bytes()
    if damage == "another":
        archive.with_name(DIGEST.name).write_text("0" * 64 + "  liblossfast.a\n")
    else:
        half = len(content) // 2
        changed = content[:half] + bytes([content[half] ^ 255]) + content[half + 1 :]
        archive.write_bytes({"cut": content[:half], "changed": changed, "empty": b""}[damage])
    with pytest.raises(RuntimeError, match=r"liblossfast\.tar\.xz is damaged: install lossfast again"):
        lf.get_library()
    assert not list(cache.rglob("*.a"))


@needs_library
@needs_archive
def test_a_library_that_is_not_packed_is_taken_as_it_is(archive):
    plain = archive.with_name("liblossfast.a")
    plain.write_bytes(b"!<arch>\n")
    assert lf.get_library() == str(plain)
    plain.unlink()
    archive.unlink()
    with pytest.raises(FileNotFoundError, match="without its C library"):
        lf.get_library()


@needs_library
@needs_archive
def test_a_python_without_lzma_is_told_so(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "lzma", None)
    with pytest.raises(RuntimeError, match="lzma"):
        lf.get_library()


def test_whoever_packs_makes_the_same_bytes(tmp_path):
    (tmp_path / "liblossfast.a").write_bytes(bytes(range(256)) * 1000)
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / "liblossfast.a", (len(made), len(made)))
        command = [sys.executable, str(ROOT / "csrc/pack.py"), "liblossfast.a", f"{name}/packed.tar.xz"]
        subprocess.run(command, cwd=tmp_path, check=True)
        made.append({x.name: x.read_bytes() for x in sorted((tmp_path / name).iterdir())})
    assert made[0] == made[1]
    assert made[0]["liblossfast.a.sha256"].decode().split()[0] == sha256(tmp_path / "liblossfast.a")


def client(folder: Path) -> Path:
    """A C project that is built on lossfast."""
    folder.mkdir()
    for name, text in {"main.c": MAIN, "CMakeLists.txt": LISTS, "pyproject.toml": PROJECT}.items():
        (folder / name).write_text(text)
    return folder


@needs_library
def test_another_package_is_built_on_it(tmp_path):
    """By pip, apart from this environment, as scikit-build-core builds packages."""
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site)]
    source = str(client(tmp_path / "source"))
    subprocess.run([*install, source, f"-Ccmake.define.lossfast_DIR={CONFIG}"], check=True, stdin=subprocess.DEVNULL)
    out = subprocess.run([str(site / "client" / "client")], capture_output=True, text=True, check=True).stdout
    assert out == "6"


@needs_library
@pytest.mark.skipif(not shutil.which("cmake"), reason="needs CMake")
def test_cmake_unpacks_into_the_build_folder(tmp_path):
    source, build = client(tmp_path / "source"), tmp_path / "build"
    configure = ["cmake", "-S", str(source), "-B", str(build), f"-Dlossfast_DIR={CONFIG}", "-DCMAKE_C_COMPILER=gcc"]

    def run() -> str:
        subprocess.run(configure, check=True, capture_output=True)
        subprocess.run(["cmake", "--build", str(build)], check=True, capture_output=True)
        return subprocess.run([str(build / "client")], capture_output=True, text=True, check=True).stdout

    assert run() == "6"
    if not PACKED.exists():
        return
    (library,) = build.glob("lossfast-*/liblossfast.a")
    before = library.stat().st_mtime_ns, sha256(library)
    assert before[1] == DIGEST.read_text().split()[0]
    assert run() == "6"
    assert (library.stat().st_mtime_ns, sha256(library)) == before
    library.write_bytes(b"")
    assert run() == "6"
    assert sha256(library) == before[1]


@needs_library
@needs_archive
@pytest.mark.skipif(not shutil.which("cmake"), reason="needs CMake")
def test_cmake_says_when_the_archive_is_damaged(tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(PACKED.parent, copy / "lib")
    (copy / "lib" / PACKED.name).write_bytes(PACKED.read_bytes()[:-1000])
    configure = ["cmake", "-S", str(client(tmp_path / "source")), "-B", str(tmp_path / "build")]
    done = subprocess.run(
        [*configure, f"-Dlossfast_DIR={copy}/lib/cmake/lossfast"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "install lossfast again" in done.stderr.replace("\n", " ").replace("  ", " ")


@needs_library
@pytest.mark.skipif(not shutil.which("cmake"), reason="needs CMake")
def test_cmake_alone_installs_the_library_as_it_is(tmp_path):
    """Without a wheel to keep small."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    build, prefix = tmp_path / "build", tmp_path / "prefix"
    options = [f"-DSKBUILD_PROJECT_VERSION={version}", "-DLOSSFAST_DISPATCH=OFF"]
    command = ["cmake", "-S", str(ROOT), "-B", str(build), f"-DPython_EXECUTABLE={sys.executable}", *options]
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run(["cmake", "--build", str(build)], check=True, capture_output=True)
    subprocess.run(["cmake", "--install", str(build), "--prefix", str(prefix)], check=True, capture_output=True)
    assert (prefix / "lib/liblossfast.a").read_bytes().startswith(b"!<arch>\n")
    assert not (prefix / "lib" / PACKED.name).exists()
    source, used = client(tmp_path / "source"), tmp_path / "used"
    configure = ["cmake", "-S", str(source), "-B", str(used), f"-Dlossfast_DIR={prefix}/lib/cmake/lossfast"]
    subprocess.run(configure, check=True, capture_output=True)
    subprocess.run(["cmake", "--build", str(used)], check=True, capture_output=True)
    assert subprocess.run([str(used / "client")], capture_output=True, text=True, check=True).stdout == "6"
