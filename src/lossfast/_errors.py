"""What the compiled core and the NumPy backend have in common: errors, the unit of exact sums, the most threads."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXACT_BITS = 1088  # exact sums are integers in units of 2**-EXACT_BITS
THREADS_MAX = 1024  # of a call: more count as so many


class DomainError(ValueError):
    """An element of an operand is outside what the loss is defined for.

    `operand` is "target", "pred", "weight" or "stream" (a parameter given as an array), `index` the flat position.
    Callers of the public functions see a plain ValueError with the argument's name and the value instead.
    """

    def __init__(self, operand: str, index: int) -> None:
        super().__init__(operand, index)
        self.operand, self.index = operand, index


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """'; did you mean ...?' or nothing."""
    near = difflib.get_close_matches(wrong, list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
