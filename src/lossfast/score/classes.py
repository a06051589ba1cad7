"""Which columns are target and predictions: one of each, or for losses of classes one for each class, or lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from lossfast._arrays import Array
from lossfast._declarations import Classwise
from lossfast._loss import Loss
from lossfast.score.errors import BadCall, BadData
from lossfast.score.readers import Block, Source, listed
from lossfast.score.report import ClassColumns, Columns

BATCH_ROWS = 1 << 19
BATCH_NUMBERS = 1 << 20  # of predictions of classes, so that a block needs as much memory whatever their number


class Layout:
    """The columns of target and predictions, the same in every file, and how many classes there are.

    `settle` is called with each file before its rows are read; it finds out at the first and compares at others.
    """

    def __init__(self, loss: Loss, columns: Columns) -> None:
        self.loss, self.columns = loss, columns
        declaration = loss.declaration
        self.rule = declaration if isinstance(declaration, Classwise) else None
        self.may_be_lists = self.rule is not None
        self.target: tuple[str, ...] = (columns.target,)
        self.pred: tuple[str, ...] = (columns.pred,)
        self.soft = False  # whether the target has a number for each class
        self.classes: int | None = None
        self.first = ""  # the file that said so
        if self.rule is not None and loss.get_params()["axis"] not in (-1, 1):
            raise BadCall(f"axis is {loss.get_params()['axis']}, expected -1: in files each row has its classes")

    def used(self) -> set[str]:
        """The columns that are not written beside the losses unless asked for."""
        return {*self.numbers()}

    def numbers(self) -> list[str]:
        """The columns that the loss is computed from."""
        weight = [self.columns.weight] if self.columns.weight is not None else []
        return list(dict.fromkeys((*self.target, *self.pred, *weight, *self.columns.params.values())))

    def batch_rows(self) -> int:
        """How many rows of a block need little memory and keep threads busy."""
        return max(1, min(BATCH_ROWS, BATCH_NUMBERS // (self.classes or 1)))

    def summary(self, ignored: int) -> ClassColumns | None:
        """For the report; None for losses of one prediction per row."""
        if self.rule is None:
            return None
        return ClassColumns(self.classes or 0, list(self.target), list(self.pred), ignored)

    # --- Which columns ---

    def settle(self, source: Source) -> None:
        """Find the columns in a file; BadCall or BadData where they do not suit the loss or are not as before."""
        target, pred = self._named("target", source), self._named("pred", source)
        source.require((*target, *pred))
        if self.rule is None:
            return
        classes = self._predicted(source, pred)
        soft, own = self._targets(source, target)
        if self.first:
            self._compare(source.path, target, pred, soft)
        self.target, self.pred, self.soft = target, pred, soft
        if classes and own and own != classes:
            raise BadCall(
                f"{source.path}: --target {self.columns.target!r} has {own} numbers in each row and "
                f"--pred {self.columns.pred!r} has {classes}, expected as many"
            )
        if soft:
            self._same_classes(target, pred)
        if classes and self.classes not in (None, classes):
            raise BadData(
                f"has lists of {classes}, expected {self.classes} as in {self.first}", source.path, 0, pred[0]
            )
        if classes and self.classes is None:
            self.classes = classes
            self._try()
        self.first = self.first or source.path

    def _named(self, option: str, source: Source) -> tuple[str, ...]:
        """The columns that an option stands for: a name, or a pattern's columns in natural order."""
        c = self.columns
        roles = {"target": c.target, "pred": c.pred, "weight": c.weight, "by": c.by}
        others = [*((k, v) for k, v in roles.items() if k != option), *(("param-column", v) for v in c.params.values())]
        single = f"{self.loss.name} takes one number per row" if self.rule is None else ""
        return columns_of(option, getattr(c, option), source, others, single, "class")

    def _predicted(self, source: Source, pred: Sequence[str]) -> int:
        """The number of classes; 0 if a column of lists has no rows."""
        if len(pred) > 1:
            return len(pred)
        width = source.width(pred[0])
        if width is not None and width != 1:
            return width
        pattern = pred[0].rstrip("0123456789") + "*"
        several = pattern != pred[0] + "*" and sum(fnmatchcase(name, pattern) for name in source.names) > 1
        hint = f"did you mean {pattern!r}?" if several else "several columns (a pattern such as 'p_*') or lists"
        raise BadCall(
            f"{source.path}: {self.loss.name} takes a prediction for each class, and --pred {pred[0]!r} has one number "
            f"per row; {hint if several else 'expected ' + hint}"
        )

    def _targets(self, source: Source, target: Sequence[str]) -> tuple[bool, int]:
        """Whether there is a number for each class, and then how many; 0 if that cannot be known."""
        assert self.rule is not None
        width = len(target) if len(target) > 1 else source.width(target[0])
        soft = width is not None and not (width == 1 and self.rule.labels)
        what = f"{source.path}: {self.loss.name} takes "
        if soft and not self.rule.soft:
            raise BadCall(
                f"{what}class labels, and --target {self.columns.target!r} has {width} numbers in each row "
                "(categorical_crossentropy takes one-hot and soft targets)"
            )
        if not soft and not self.rule.labels:
            raise BadCall(
                f"{what}a target for each class, and --target {target[0]!r} has one number per row "
                "(sparse_categorical_crossentropy takes class labels)"
            )
        return soft, width or 0

    def _compare(self, path: str, target: Sequence[str], pred: Sequence[str], soft: bool) -> None:
        for option, now, before in (("pred", pred, self.pred), ("target", target, self.target)):
            if tuple(now) != tuple(before):
                raise BadCall(
                    f"{path}: --{option} {getattr(self.columns, option)!r} stands for {listed(now, 6)}, "
                    f"and in {self.first} for {listed(before, 6)}"
                )
        if soft != self.soft:
            kinds = ("class labels", "a number for each class")
            raise BadCall(
                f"{path}: --target {self.columns.target!r} has {kinds[soft]}, and in {self.first} {kinds[not soft]}"
            )

    def _same_classes(self, target: Sequence[str], pred: Sequence[str]) -> None:
        """Named classes must have the same names on both sides, since they are paired by their order."""
        named = [_stars(getattr(self.columns, option), found) for option, found in (("target", target), ("pred", pred))]
        if not all(named) or all(part.isdecimal() for part in (*named[0], *named[1])):
            return
        for t, p, a, b in zip(target, pred, *named, strict=True):
            if a != b:
                raise BadCall(f"--target and --pred name other classes: {t!r} would be paired with {p!r}")

    def _try(self) -> None:
        """Parameters that do not suit each other or the number of classes, before anything is read."""
        for name, value in self.loss.get_params().items():
            if isinstance(value, np.ndarray) and value.shape != (self.classes,):
                raise BadCall(f"{name} has {value.size} numbers, expected {self.classes}: one for each class")
        pred = np.zeros((0, self.classes or 0))
        params = {name: np.ones(0) for name in self.columns.params}
        try:
            self.loss.accumulator().update(pred if self.soft else np.zeros(0), pred, **params)
        except (ValueError, TypeError) as error:
            raise BadCall(re.sub(r": y_true has the shape of y_pred.*", " with soft targets", str(error))) from error

    # --- What they hold ---

    def operands(self, block: Block) -> tuple[Array, ...]:
        """Target and predictions of a block."""
        if self.rule is None:
            return block.numbers(self.target[0]), block.numbers(self.pred[0])
        pred = block.matrix(self.pred, self.classes)
        return (block.matrix(self.target, self.classes) if self.soft else block.numbers(self.target[0])), pred

    def shown(self, operands: Sequence[Array], row: int) -> tuple[Any, Any]:
        """What is reported of one of the worst rows: target and prediction."""
        target, pred = operands
        return target[row].tolist(), pred[row].tolist()

    def kept(self, operands: Sequence[Array]) -> Array | None:
        """Which rows are not ignored; None: all."""
        target = operands[0]
        ignore = self.loss.get_params().get("ignore_index") if self.rule is not None else None
        if ignore is None:
            return None
        kept = np.asarray((target.astype(np.float64) if target.dtype.kind == "f" else target) != ignore)
        return None if kept.all() else kept

    def dimensions(self) -> dict[str, int]:
        """For the report: of losses of vectors."""
        return {}

    def located(self, name: str, k: int | None, what: str) -> tuple[str | None, str]:
        """Column and sentence for what is wrong with an argument, of class `k` where it has classes."""
        c = self.columns
        plain = {"sample_weight": c.weight, **c.params}
        if name not in ("y_true", "y_pred"):
            return plain.get(name), what
        columns = self.pred if name == "y_pred" else self.target
        if k is None:
            order = f"; the classes are {listed(self.pred, 4)}, in this order" if len(self.pred) > 1 else ""
            return columns[0], what + order
        return (columns[k], what) if len(columns) > 1 else (columns[0], f"class {k} {what}")


def columns_of(
    option: str, text: str, source: Source, others: Iterable[tuple[str, str | None]], single: str, each: str
) -> tuple[str, ...]:
    """The columns that an option stands for: a name, or a pattern's columns in natural order, a column for `each`.

    `others` are the columns of other options, which a pattern must not match; `single` says why it may be none.
    """
    if text in source.names or not re.search(r"[*?[]", text):
        return (text,)
    found = sorted({name for name in source.names if fnmatchcase(name, text)}, key=natural)
    if not found:
        raise BadCall(f"{source.path} has no column that matches --{option} {text!r}; it has {listed(source.names)}")
    if single:
        raise BadCall(
            f"{single}, not the pattern --{option} {text!r}, which stands for {listed(found, 6)} in {source.path}"
        )
    if len(found) == 1:
        raise BadCall(
            f"{source.path}: --{option} {text!r} matches {found[0]!r} alone, expected a column for each {each}"
            + (" (a column of lists is given by its name)" if source.width(found[0]) is not None else "")
        )
    for role, name in others:
        if name in found:
            raise BadCall(f"{source.path}: --{option} {text!r} matches {name!r} too, which is --{role}")
    return tuple(found)


def natural(name: str) -> tuple[list[str | int], str]:
    """The order in which numbers count as numbers: p_2 comes before p_10."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", name))], name


def _stars(pattern: str, names: Iterable[str]) -> list[str]:
    """What a pattern's only * stands for in each name; nothing for other patterns."""
    before, star, after = pattern.partition("*")
    if not star or re.search(r"[*?[]", before + after):
        return []
    return [name[len(before) : len(name) - len(after)] for name in names]
