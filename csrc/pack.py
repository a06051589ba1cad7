"""Packs the static library for the wheel: python pack.py liblossfast.a liblossfast.tar.xz [strip]

Writes the archive, with the same bytes whoever packs, and beside it the SHA-256 of what is in it.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path


def stripped(library: Path, strip: str) -> bytes:
    """The library without the symbols that no linker needs."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / library.name
        subprocess.run([strip, "--strip-unneeded", "-o", copy, library], check=True)
        return copy.read_bytes()


def pack(library: Path, archive: Path, strip: str) -> None:
    """Writes archive, and the digest beside it."""
    content = stripped(library, strip) if strip else library.read_bytes()
    member = tarfile.TarInfo(library.name)  # of nobody
    member.mtime = 315532800  # 1980, as early as in a zip file: some take 0 for a file that is not there
    member.size = len(content)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as out:
        out.addfile(member, io.BytesIO(content))
    # Machine code of x86 is not aligned.  A filter for its jumps would gain nothing: in objects they have no targets.
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "pb": 0}]
    archive.write_bytes(lzma.compress(tar.getvalue(), filters=filters))
    digest = hashlib.sha256(content).hexdigest()
    archive.with_name(f"{library.name}.sha256").write_text(f"{digest}  {library.name}\n")


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]), "".join(sys.argv[3:]))
