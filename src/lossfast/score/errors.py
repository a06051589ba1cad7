"""What can be wrong with a scoring: the data, the request, or the installation."""

from __future__ import annotations


class BadData(ValueError):
    """A file does not hold what was asked for: `path`, `row` (from 0) and `column` where they are known."""

    def __init__(self, what: str, path: str = "", row: int | None = None, column: str | None = None) -> None:
        self.path, self.row, self.column = path, row, column
        places = [f"row {row} (counting from 0)"] if row is not None else []
        places += [f"column {column!r}"] if column is not None else []
        super().__init__(": ".join(part for part in (path, ", ".join(places), what) if part))


class BadCall(ValueError):
    """What was asked for does not exist or makes no sense: a loss, a parameter, a column, an output."""


class MissingExtra(ImportError):
    """An optional package is needed."""


def need_pyarrow(what: str) -> None:
    """Raise MissingExtra where pyarrow is not installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise MissingExtra(f"{what} needs pyarrow: pip install 'lossfast[score]'") from None
