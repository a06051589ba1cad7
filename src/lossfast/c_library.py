"""Where the C header and the static library are, for building other packages on them."""

from __future__ import annotations

from pathlib import Path

_temporary: dict[str, Path] = {}  # by digest: what this process built where no cache can be


def get_include() -> str:
    """The folder to put on the include path: ``#include <lossfast/lossfast.h>``."""
    return str(_sources() / "include")


def get_library() -> str:
    """The static library ``liblossfast.a``; link it with ``-fopenmp -lm``.

    It is built from the sources in the package when it is first asked for, in about a minute, by CMake and the compiler
    that CMake finds; the environment's ``CC``, ``CFLAGS`` and ``CMAKE_ARGS`` count.  It is kept in
    ``$XDG_CACHE_HOME/lossfast``, by default ``~/.cache/lossfast``, in a folder named after the sources and that
    environment, or where that cannot be written in a temporary folder that stays.

    Raises
    ------
    RuntimeError
        There is no CMake, or it or the compiler failed: the message has the end of what they said.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.get_library()  # doctest: +SKIP
    '/home/me/.cache/lossfast/4f1c09a6d5b2e387/liblossfast.a'
    """
    from tempfile import TemporaryDirectory, mkdtemp

    digest, cache = _digest(), _cache()
    kept = cache / digest / "liblossfast.a" if cache else None
    if kept and kept.is_file():
        return str(kept)
    if digest in _temporary and _temporary[digest].is_file():
        return str(_temporary[digest])
    with TemporaryDirectory(prefix="lossfast-") as folder:
        content = _built(Path(folder)).read_bytes()
    try:
        if kept:
            _write(kept, content)
            return str(kept)
    except OSError:
        pass
    _temporary[digest] = Path(mkdtemp(prefix="lossfast-")) / "liblossfast.a"
    _temporary[digest].write_bytes(content)
    return str(_temporary[digest])


def _sources() -> Path:
    """The folder of the C sources, wherever an editable install has it."""
    from importlib.resources import files

    return Path(str(files("lossfast").joinpath("csrc")))


def _digest() -> str:
    """Of all that the library depends on, but for the compiler itself."""
    import os
    from hashlib import sha256

    found, sources = sha256(), _sources()
    for path in sorted(x for x in sources.rglob("*") if x.is_file()):
        found.update(path.relative_to(sources).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    for name in ("CC", "CFLAGS", "CMAKE_ARGS"):
        found.update(os.environ.get(name, "").encode() + b"\0")
    return found.hexdigest()[:16]


def _cache() -> Path | None:
    """The folder of this user for what can be made again, if there may be one."""
    import os

    root = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(root):  # by the standard such a path is to be ignored
        root = os.path.join(os.path.expanduser("~"), ".cache")
    return Path(root, "lossfast") if os.path.isabs(root) else None


def _tool(name: str) -> str | None:
    """A program on the path, or one that pip installed beside this Python."""
    import shutil
    import sys

    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))


def _built(folder: Path) -> Path:
    """The library, built in an empty folder."""
    import os
    import shlex
    import subprocess

    cmake, ninja = _tool("cmake"), _tool("ninja")
    if cmake is None:
        raise RuntimeError("building the C library needs CMake: pip install cmake ninja")
    configure = [cmake, "-S", str(_sources()), "-B", str(folder), "-DCMAKE_BUILD_TYPE=Release"]
    if ninja:
        configure += ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
    configure += shlex.split(os.environ.get("CMAKE_ARGS", ""))
    for command in configure, [cmake, "--build", str(folder), "--parallel", "--target", "lossfast_static"]:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            end = "\n".join(done.stdout.strip().splitlines()[-20:])
            raise RuntimeError(f"building the C library failed: {shlex.join(command)}\n{end}")
    return folder / "liblossfast.a"


def _write(path: Path, content: bytes) -> None:
    """Writes a file at once: who looks sees nothing or all of it."""
    import os
    from tempfile import mkstemp

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = mkstemp(dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(content)
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
