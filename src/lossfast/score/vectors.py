"""Which columns are the operands of a loss of vectors or of an autoencoder, by the names of its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lossfast._arrays import Array
from lossfast._declarations import Embedding, Samplewise
from lossfast._loss import Loss
from lossfast.score.classes import BATCH_NUMBERS, BATCH_ROWS, Layout, columns_of
from lossfast.score.errors import BadCall, BadData
from lossfast.score.readers import Block, Source, listed
from lossfast.score.report import Columns, option_of

FAMILIES = ("embedding", "sample")
VECTORS = "several columns (a pattern such as 'a_*') or lists"


class VectorLayout(Layout):
    """The columns of each operand, the same in every file, and how many numbers its vectors have."""

    def __init__(self, loss: Loss, columns: Columns) -> None:
        self.loss, self.columns = loss, columns
        d = loss.declaration
        assert isinstance(d, Embedding | Samplewise)
        self.rule, self.may_be_lists = None, True
        self.first = ""
        self.names: dict[str, tuple[str, ...]] = {name: (columns.operands[name],) for name in d.arguments}
        self.widths: dict[str, int | None] = {}
        plain = isinstance(d, Embedding) and not d.vectors
        self.label = d.arguments[0] if isinstance(d, Embedding) and d.labelled else None
        self.singles = set(d.arguments) if plain else {self.label}  # operands of one number in each row
        pairs = (("x", "x_hat"), ("mu", "logvar")) if isinstance(d, Samplewise) else (d.arguments,)
        self.alike = [[k for k in group if k in self.names and k not in self.singles] for group in pairs]
        self.numbers_too = isinstance(d, Samplewise)  # whether a sample may be one number
        params = loss.get_params()
        if params.get("axis", -1) not in (-1, 1):
            raise BadCall(f"axis is {params['axis']}, expected -1: in files each row has its vectors")
        if params.get("per", "sample") != "sample":
            raise BadCall(f"per is {params['per']!r}, expected 'sample': in files each row is a sample")

    def numbers(self) -> list[str]:
        """The columns that the loss is computed from."""
        weight = [self.columns.weight] if self.columns.weight is not None else []
        return list(dict.fromkeys((*(name for names in self.names.values() for name in names), *weight)))

    def batch_rows(self) -> int:
        """How many rows of a block need little memory and keep threads busy."""
        return max(1, min(BATCH_ROWS, BATCH_NUMBERS // max(1, sum(width or 1 for width in self.widths.values()))))

    def dimensions(self) -> dict[str, int]:
        """For the report: how many numbers the vectors of each operand have."""
        return {k: 1 if width is None else width for k, width in self.widths.items()}

    def settle(self, source: Source) -> None:
        """Find the columns in a file; BadCall or BadData where they do not suit the loss or are not as before."""
        names = {k: self._named(k, source) for k in self.names}
        source.require([name for found in names.values() for name in found])
        widths = {k: self._width(k, found, source) for k, found in names.items() if k not in self.singles}
        for group in self.alike:
            known = [(k, widths[k]) for k in group if widths[k] != 0]
            for k, width in known[1:]:
                if width != known[0][1]:
                    raise BadCall(
                        f"{source.path}: {self._shown(known[0][0])} has {_many(known[0][1])} in each row and "
                        f"{self._shown(k)} has {_many(width)}, expected as many"
                    )
        for k, found in names.items() if self.first else ():
            if found != self.names[k]:
                raise BadCall(
                    f"{source.path}: {self._shown(k)} stands for {listed(found, 6)}, and in {self.first} for "
                    f"{listed(self.names[k], 6)}"
                )
        for k, width in widths.items():
            before = self.widths.get(k, 0)
            if width != 0 and before not in (0, width):
                what = f"has vectors of {_many(width)}, expected {_many(before)} as in {self.first}"
                raise BadData(what, source.path, 0, names[k][0])
            self.widths[k] = before if width == 0 else width
        self.names, self.first = names, self.first or source.path

    def _shown(self, name: str) -> str:
        return f"--{option_of(name)} {self.columns.operands[name]!r}"

    def _named(self, name: str, source: Source) -> tuple[str, ...]:
        c = self.columns
        roles = {option_of(k): text for k, text in c.operands.items() if k != name} | {"weight": c.weight, "by": c.by}
        single = f"{self.loss.name} takes one number per row" if name in self.singles else ""
        return columns_of(option_of(name), c.operands[name], source, roles.items(), single, "dimension")

    def _width(self, name: str, found: Sequence[str], source: Source) -> int | None:
        """How many numbers a row has; None: it is one number, 0: there are no rows that say so."""
        if len(found) > 1:
            return len(found)
        width = source.width(found[0])
        if width is None and not self.numbers_too:
            raise BadCall(
                f"{source.path}: {self.loss.name} takes vectors, and {self._shown(name)} has one number per row; "
                f"expected {VECTORS}"
            )
        return width

    def operands(self, block: Block) -> tuple[Array, ...]:
        """The operands of a block, in the order of the loss's arguments."""
        return tuple(
            block.numbers(names[0])
            if name in self.singles or self.widths[name] is None
            else block.matrix(names, self.widths[name] or None, "dimension")
            for name, names in self.names.items()
        )

    def kept(self, operands: Sequence[Array]) -> Array | None:
        """All rows."""
        return None

    def shown(self, operands: Sequence[Array], row: int) -> tuple[Any, Any]:
        """What is reported of one of the worst rows: the label and, of scores, these; vectors may be long."""
        label = None if self.label is None else operands[0][row].tolist()
        if len(self.singles) < len(self.names):
            return label, None
        return label, [x[row].item() for x in operands[1:]]

    def located(self, name: str, k: int | None, what: str) -> tuple[str | None, str]:
        """Column and sentence for what is wrong with an argument, of its element `k` where it is a vector."""
        if name not in self.names:
            return (self.columns.weight if name == "sample_weight" else None), what
        columns = self.names[name]
        if k is None or len(columns) == 1:
            return columns[0], what if k is None else f"element {k} {what}"
        return columns[k], what


def _many(width: int | None) -> str:
    return "one number" if width in (None, 1) else f"{width} numbers"


def operands_of(loss: Loss, given: dict[str, str | None]) -> dict[str, str]:
    """The columns of a loss's arguments; BadCall where one is missing or means nothing to it."""
    arguments = loss.declaration.arguments
    columns = {name: text for name, text in given.items() if text is not None}
    options = [f"--{option_of(name)}" for name in arguments]
    for name in columns:
        if name not in arguments:
            raise BadCall(f"{loss.name} takes {', '.join(options)}, not --{option_of(name)}")
    missing = [option for name, option in zip(arguments, options, strict=True) if name not in columns]
    if missing:
        raise BadCall(f"the following arguments are required: {', '.join(missing)} (of {loss.name})")
    return {name: columns[name] for name in arguments}
