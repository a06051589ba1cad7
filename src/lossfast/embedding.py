"""Where the C header and the static library are, for building other packages on them."""

from __future__ import annotations

from pathlib import Path

_temporary: dict[str, Path] = {}  # by digest: what this process unpacked where no cache can be


def get_include() -> str:
    """The folder to put on the include path: ``#include <lossfast/lossfast.h>``."""
    from importlib.resources import files

    return str(files("lossfast") / "include")


def get_library() -> str:
    """The static library ``liblossfast.a``; link it with ``-fopenmp -lm``.

    A wheel has it as an archive, which is unpacked when it is first asked for: to ``$XDG_CACHE_HOME/lossfast``, by
    default ``~/.cache/lossfast``, in a folder named after the content, or where that cannot be written to a temporary
    folder that stays.  A file there that is not what the wheel has is replaced.

    Raises
    ------
    FileNotFoundError
        This installation is without the library.
    RuntimeError
        The archive is damaged, or this Python is without ``lzma``.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.get_library()  # doctest: +SKIP
    '/home/me/.cache/lossfast/4f1c09a6d5b2e387/liblossfast.a'
    """
    plain, packed = _installed("lib/liblossfast.a"), _installed("lib/liblossfast.tar.xz")
    if plain.exists():
        return str(plain)
    if not packed.exists():
        raise FileNotFoundError(f"no {packed}: this lossfast was installed without its C library")
    digest = _installed("lib/liblossfast.a.sha256").read_text().split()[0]
    cache = _cache()
    content = None
    if cache:
        path = cache / digest[:16] / "liblossfast.a"
        try:
            if _digest_of(path) != digest:
                content = _unpacked(packed, digest)
                _replace(path, content)
            return str(path)
        except OSError:
            pass
    if digest not in _temporary or _digest_of(_temporary[digest]) != digest:
        from tempfile import mkdtemp

        path = Path(mkdtemp(prefix="lossfast-")) / "liblossfast.a"
        path.write_bytes(content or _unpacked(packed, digest))
        _temporary[digest] = path
    return str(_temporary[digest])


def _installed(name: str) -> Path:
    """A file of the package, wherever an editable install has it."""
    from importlib.resources import files

    return Path(str(files("lossfast").joinpath(*name.split("/"))))


def _cache() -> Path | None:
    """The folder of this user for what can be made again, if there may be one."""
    import os

    root = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(root):  # by the standard such a path is to be ignored
        root = os.path.join(os.path.expanduser("~"), ".cache")
    return Path(root, "lossfast") if os.path.isabs(root) else None


def _digest_of(path: Path) -> str | None:
    """The SHA-256 of a file, None if there is none."""
    from hashlib import sha256

    try:
        return sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _unpacked(packed: Path, digest: str) -> bytes:
    """The library in the archive."""
    import tarfile
    from hashlib import sha256

    try:
        import lzma
    except ImportError as error:
        raise RuntimeError(f"{packed} needs a Python with lzma to be unpacked") from error
    try:
        with tarfile.open(packed, "r:xz") as archive:
            member = archive.extractfile("liblossfast.a")
            content = member.read() if member else b""
    except (lzma.LZMAError, tarfile.TarError, EOFError, KeyError) as error:
        raise RuntimeError(f"{packed} is damaged: install lossfast again") from error
    if sha256(content).hexdigest() != digest:
        raise RuntimeError(f"{packed} is damaged: install lossfast again")
    return content


def _replace(path: Path, content: bytes) -> None:
    """Writes a file at once: who looks sees the old one or the new one."""
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
