"""Where the C header and the static library are, for building other packages on them."""

from __future__ import annotations


def get_include() -> str:
    """The folder to put on the include path: ``#include <lossfast/lossfast.h>``."""
    from importlib.resources import files

    return str(files("lossfast") / "include")


def get_library() -> str:
    """The static library ``liblossfast.a``; link it with ``-fopenmp -lm``."""
    from importlib.resources import files

    return str(files("lossfast") / "lib" / "liblossfast.a")
