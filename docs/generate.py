"""Writes what is read off the registry: docs/losses.md, the table in README.md, and the package's stub.

python docs/generate.py          write
python docs/generate.py --check  exit 1 if something is out of date
"""

from __future__ import annotations

import sys
from pathlib import Path

import lossfast
from lossfast import _ESTIMATORS, _HOME, _MODULES
from lossfast._loss import REGISTRY

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- losses:begin -->", "<!-- losses:end -->"


FAMILIES = {
    "pointwise": "value per element",
    "classwise": "value per row of classes",
    "region": "value per item of masks",
    "sequence": "value per sequence",
    "embedding": "value per pair or triplet",
    "batch": "value per vector of a batch",
    "box": "value per pair of boxes",
    "sample": "value per sample",
    "ranking": "value per group of items",
}


def readme_table(family: str) -> str:
    """One row a loss."""
    rows = [f"| loss | also | {FAMILIES[family]} | parameters |", "|---|---|---|---|"]
    for name in lossfast.names():
        d = REGISTRY[name].declaration
        if d.family != family:
            continue
        also = ", ".join(f"`{n}`" for n in (*d.names, d.class_name))
        params = ", ".join(f"`{k}={p.default!r}`" for k, p in d.params.items())
        formula = d.formula.replace("|", "\\|")
        rows.append(f"| `{name}` | {also} | {formula} | {params} |")
    return "\n".join(rows)


def readme() -> str:
    """README.md with the tables in their place."""
    text = (ROOT / "README.md").read_text()
    before, rest = text.split(BEGIN)
    tables = "\n\n".join(map(readme_table, FAMILIES))
    return f"{before}{BEGIN}\n{tables}\n{END}{rest.split(END)[1]}"


def page() -> str:
    """docs/losses.md."""
    parts = [
        "# The losses\n",
        "Made by `docs/generate.py` from the registry: every loss with its formula, parameters and conventions, as",
        "`help(lossfast.mse)` and `print(lossfast.info('mse'))` show them.\n",
    ]
    for name in lossfast.names():
        parts.append(f"## {name}\n\n```text\n{lossfast.info(name)}\n```\n")
        parts.append(f"```text\n{(type(REGISTRY[name]).__doc__ or '').rstrip()}\n```\n")
    return "\n".join(parts)


def stub() -> str:
    """src/lossfast/__init__.pyi: the names that the package finds when it is asked for them."""
    homes = _HOME | _ESTIMATORS
    lines = [
        "from typing import Any",
        "",
        *(f"from lossfast import {name} as {name}" for name in _MODULES),
        *(f"from lossfast.{home} import {name} as {name}" for home, name in sorted((v, k) for k, v in homes.items())),
        "",
        "__version__: str",
        "",
    ]
    for name in lossfast.names():
        d = REGISTRY[name].declaration
        kinds = {k: _type(p) for k, p in d.params.items()}
        init = "".join(f", {k}: {t} = ..." for k, t in kinds.items())
        lines.append(f"class {d.class_name}(Loss):")
        lines.append(f"    def __init__(self{', *' + init if init else ''}) -> None: ...")
        lines.append("")
    for name in lossfast.names():
        d = REGISTRY[name].declaration
        lines += [f"{n}: {d.class_name}" for n in (name, *d.names)]
    return "\n".join(lines) + "\n"


def _type(param: object) -> str:
    if param.kind is tuple:  # type: ignore[attr-defined]
        return "float | tuple[float, float | None]"
    kind: str = param.kind.__name__  # type: ignore[attr-defined]
    kinds = [kind] * param.scalar + ["Any"] * (param.array or param.per_class) + ["None"] * param.none  # type: ignore[attr-defined]
    return " | ".join(kinds)


def main() -> int:
    files = {
        ROOT / "README.md": readme,
        ROOT / "docs/losses.md": page,
        ROOT / "src/lossfast/__init__.pyi": stub,
    }
    stale = 0
    for path, make in files.items():
        text = make()
        if path.exists() and path.read_text() == text:
            continue
        stale += 1
        if "--check" in sys.argv:
            print(f"{path.relative_to(ROOT)} is out of date: run python docs/generate.py")
        else:
            path.write_text(text)
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
