"""The command `lossfast`: its arguments, what it prints, and its exit codes."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import lossfast
from lossfast._declarations import SPELLINGS
from lossfast._errors import did_you_mean
from lossfast.score.errors import BadCall, BadData, MissingExtra
from lossfast.score.report import option_of

OK, INTERNAL, USAGE, BAD_DATA, SYSTEM, INTERRUPTED = 0, 1, 2, 3, 4, 130

EXIT_CODES = """\
exit codes:
  0    done
  1    an error of this program: please report it
  2    usage: unknown option, loss, parameter, column or format, or an output that exists
  3    bad data: a damaged file, a null, a value outside the loss's domain
  4    the system: a file that cannot be read or written, no space, no memory
  130  interrupted; as after every failure, no output file is left behind
"""


OPERANDS = {
    "anchor": "for triplet: vectors, by a quoted pattern ('a_*') or a column of lists, and so are the next",
    "positive": "those that should be near",
    "negative": "those that should be far",
    "same": "for contrastive and cosine_embedding: whether the next two are alike",
    "x1": "vectors, for margin_ranking scores, of which --target says which is higher",
    "x2": "the others",
    "x": "for reconstruction and vae: the data",
    "x_hat": "what has been made of them",
    "mu": "for gaussian_kl and vae: means",
    "logvar": "and logarithms of variances",
}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence."""

    def error(self, message: str) -> NoReturn:
        raise BadCall(message)


def _arguments() -> _Parser:
    parser = _Parser(prog="lossfast", description="Losses of machine learning.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"lossfast {lossfast.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    score = commands.add_parser(
        "score",
        help="a loss over the rows of files",
        description="A loss over the rows of Parquet, Arrow, CSV, .npy and .npz files, in bounded memory.\n"
        "The sums are exact: no order of files, batch size or number of threads changes a bit.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = score.add_argument
    add("files", nargs="+", metavar="FILE", help="a file, or a folder of files")
    add("--loss", required=True, help="name of the loss: see lossfast losses")
    add("--target", metavar="COLUMN", help="what is true: numbers, class labels, or soft targets as --pred")
    add(
        "--pred",
        metavar="COLUMN",
        help="what is predicted; for losses of classes a quoted pattern ('p_*') or a column of lists",
    )
    for argument, text in OPERANDS.items():
        add(f"--{option_of(argument)}", dest=argument, metavar="COLUMN", help=text)
    add("--weight", metavar="COLUMN", help="how much each row counts")
    add(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the loss; a number for each class: 1,2,0.5",
    )
    add(
        "--param-column",
        action="append",
        default=[],
        metavar="NAME=COLUMN",
        help="a parameter that differs by row",
    )
    add("--by", metavar="COLUMN", help="a summary for each value of this column too")
    add("--worst", type=int, default=0, metavar="K", help="list the K rows with the largest losses")
    add("--out", metavar="FILE", help="write the loss of each row: .parquet, .arrow, .csv or .npy")
    add("--keys", metavar="A,B", help="columns to write beside it (default: all that the loss does not use)")
    add("--force", action="store_true", help="let --out replace a file")
    add("--json", action="store_true", help="print one JSON object instead of text")
    add(
        "--threads",
        type=int,
        metavar="N",
        help="threads that compute (default: one per processor, at most 8)",
    )
    add(
        "--batch-rows",
        type=int,
        metavar="N",
        help="the largest number of rows held per thread (default: 524288, fewer with many classes)",
    )
    add("--quiet", action="store_true", help="no progress bar")

    commands.add_parser("losses", help="list the losses")
    info = commands.add_parser("info", help="explain a loss")
    info.add_argument("name")
    recommend = commands.add_parser("recommend", help="find a loss for a problem")
    recommend.add_argument("words", nargs="*", metavar="WORD")
    return parser


def _parsed(argv: Sequence[str]) -> argparse.Namespace:
    parser = _arguments()
    if argv[:1] == ["score"]:
        known = parser._subparsers._group_actions[0].choices["score"]._option_string_actions  # type: ignore[union-attr, index]
        for word in argv[1:]:
            name = word.partition("=")[0]
            if name.startswith("--") and name != "--" and name not in known:
                raise BadCall(f"unknown option {name}" + did_you_mean(name, known))
    return parser.parse_args(argv)


def _pairs(option: str, texts: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BadCall(f"{option} is {text!r}, expected NAME=VALUE")
        if name in found:
            raise BadCall(f"{option} {name} is given twice")
        found[name] = value
    return found


def _value(name: str, param: Any, text: str) -> Any:
    if param.none and text.lower() in ("none", "null"):
        return None
    if param.kind is bool:
        if text.lower() not in ("true", "false"):
            raise BadCall(f"--param {name} is {text!r}, expected true or false")
        return text.lower() == "true"
    if param.kind is str:
        return text
    try:
        if param.per_class and ("," in text or not param.scalar):
            return [float(part) for part in text.split(",")]
        return int(text) if param.kind is int else float(text)
    except ValueError:
        like = ", such as 1,2,0.5" if param.per_class else ""
        raise BadCall(f"--param {name} is {text!r}, expected {param.range()}{like}") from None


def _loss(name: str, texts: list[str]) -> Any:
    try:
        found = lossfast.get(name)
        params = found.declaration.params
        given = _pairs("--param", texts)
        for key in given:
            if SPELLINGS.get(key, key) not in params:
                hint = did_you_mean(key, params) or f"; it has {', '.join(params) or 'none'}"
                raise BadCall(f"{found.name} has no parameter {key!r}{hint}")
        return lossfast.get(name, **{k: _value(k, params[SPELLINGS.get(k, k)], v) for k, v in given.items()})
    except (ValueError, TypeError) as error:
        raise BadCall(str(error)) from error


def _score(args: argparse.Namespace) -> int:
    from lossfast.score.engine import score_files

    loss = _loss(args.loss, args.param)
    with _progress_bar(args.quiet) as progress:
        report = score_files(
            args.files,
            loss,
            args.target,
            args.pred,
            args.weight,
            operands={k: getattr(args, k) for k in OPERANDS if getattr(args, k) is not None},
            param_columns=_pairs("--param-column", args.param_column),
            by=args.by,
            worst=args.worst,
            out=args.out,
            keys=None if args.keys is None else [key for key in args.keys.split(",") if key],
            force=args.force,
            threads=args.threads,
            batch_rows=args.batch_rows,
            progress=progress,
        )
    if not report.summary.count:
        what = "all rows are ignored" if any(report.files.values()) else "there are no rows"
        print(f"lossfast: note: {what}", file=sys.stderr)
    if args.json:
        print(json.dumps(report.to_dict(), allow_nan=False))
    else:
        from lossfast.score.terminal import show

        show(report)
    return OK


@contextmanager
def _progress_bar(quiet: bool) -> Iterator[Callable[[int, float], None] | None]:
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from lossfast.score.terminal import progress_bar

    with progress_bar() as progress:
        yield progress


def _losses(args: argparse.Namespace) -> int:
    width = max(map(len, lossfast.names()))
    for name in lossfast.names():
        print(f"{name:<{width}}  {lossfast.info(name).summary}")
    return OK


def _info(args: argparse.Namespace) -> int:
    print(lossfast.info(_loss(args.name, [])))
    return OK


def _recommend(args: argparse.Namespace) -> int:
    found = lossfast.recommend(" ".join(args.words))
    print("\n".join(map(str, found)) if found else "nothing found: lossfast recommend, without words, lists all")
    return OK


COMMANDS = {"score": _score, "losses": _losses, "info": _info, "recommend": _recommend}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; it never raises but for --help and --version, which exit."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files and groups may be any bytes
    try:
        with _terminated_like_interrupted():
            args = _parsed(sys.argv[1:] if argv is None else argv)
            code = COMMANDS[args.command](args)
            sys.stdout.flush()
            return code
    except KeyboardInterrupt:
        print("lossfast: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _discard_output()  # whoever read has read enough
        return OK
    except (BadCall, MissingExtra) as error:
        return _failed(_in_options(str(error)), USAGE)
    except BadData as error:
        return _failed(_in_options(str(error)), BAD_DATA)
    except OSError as error:
        _discard_output()
        path = f"{error.filename}: " if error.filename else ""
        return _failed(path + (error.strerror or str(error)), SYSTEM)
    except MemoryError as error:
        return _failed(f"not enough memory (a smaller --batch-rows needs less): {error}".rstrip(": "), SYSTEM)
    except Exception as error:
        return _internal(error)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM and SIGHUP clean up as Ctrl-C does, where this is the main thread of a program."""
    try:
        before = {s: signal.signal(s, signal.default_int_handler) for s in (signal.SIGTERM, signal.SIGHUP)}
    except ValueError:
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _internal(error: Exception) -> int:
    """A bug of this program, with where it is."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(last.filename)}:{last.lineno}"
    return _failed(f"internal: {type(error).__name__} at {where}: {error}", INTERNAL)


def _discard_output() -> None:
    """Drop what cannot be printed: Python's own flush at exit would complain once more."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _failed(message: str, code: int) -> int:
    print("lossfast: error: " + " ".join(message.split()), file=sys.stderr)
    return code


def _in_options(message: str) -> str:
    """What the library says of arguments, said of options."""
    for library, option in (
        ("pass from_logits=True", "add --param from_logits=true"),
        ("(from_logits=True)", "(--param from_logits=true)"),
        ("or ignore_index", "or --param ignore_index"),
        ("are y_true and y_pred swapped?", "are --target and --pred swapped?"),
        ("are x and x_hat swapped?", "are --x and --x-hat swapped?"),
        ("(force replaces it)", "(--force replaces it)"),
        ("choose others with keys", "choose others with --keys"),
    ):
        message = message.replace(library, option)
    return message
