"""A group of contenders in a process of its own: see `contenders.Worker`.

python benchmarks/worker.py FAMILY GROUP
"""

from __future__ import annotations

import sys

import boxes
import classes
import ctc
import embedding
import pointwise
import region
from contenders import Group, serve


def main() -> None:
    """Serve the group of this name."""
    families = {
        "pointwise": pointwise,
        "class": classes,
        "ctc": ctc,
        "embedding": embedding,
        "box": boxes,
        "region": region,
    }
    family = families[sys.argv[1]]
    serve(Group(**{sys.argv[2]: getattr(family, sys.argv[2])}), family.Case)


if __name__ == "__main__":
    main()
