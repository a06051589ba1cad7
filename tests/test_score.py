"""`lossfast score`: the same bits from every format, split, order and number of threads."""

import json
import math
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lossfast as lf
from lossfast.score import score_files
from lossfast.score.cli import main
from lossfast.score.part import worst_positions

N = 10_007
FORMATS = ["parquet", "arrow", "stream.arrow", "feather", "csv", "csv.gz", "structured.npy", "npz"]


@pytest.fixture(scope="module")
def data():
    r = np.random.default_rng(7)
    return {
        "y": (r.random(N) < 0.3).astype(np.float64),
        "p": np.exp(-12 * r.random(N)),  # many magnitudes, so that a sum in floats would depend on its order
        "w": r.random(N) * 10.0 ** r.integers(-8, 8, N),
        "g": r.integers(-3, 30, N),
        "s": np.array([f"group {i}" for i in r.integers(0, 9, N)]),
        "v": r.random(N) + 0.1,
    }


def save(path, data, rows=3000):
    """Write the columns in the format that the name says, in pieces of so many rows."""
    name = path.name
    table = None if name.endswith(("npy", "npz")) else pa.table(data)
    if name.endswith("parquet"):
        pq.write_table(table, path, row_group_size=rows)
    elif name.endswith("stream.arrow"):
        with pa.ipc.new_stream(path, table.schema) as sink:
            sink.write_table(table, max_chunksize=rows)
    elif name.endswith("arrow"):
        with pa.ipc.new_file(path, table.schema) as sink:
            sink.write_table(table, max_chunksize=rows)
    elif name.endswith("feather"):
        pyarrow.feather.write_feather(table, path, chunksize=rows, compression="zstd")
    elif name.endswith("csv"):
        pacsv.write_csv(table, path)
    elif name.endswith("csv.gz"):
        with pa.CompressedOutputStream(str(path), "gzip") as sink:
            pacsv.write_csv(table, sink)
    elif name.endswith("structured.npy"):
        records = np.empty(len(data["y"]), [(k, v.dtype) for k, v in data.items()])
        for k, v in data.items():
            records[k] = v
        np.save(path, records)
    else:
        np.savez_compressed(path, **data)
    return path


def whole(data, rows=slice(None), loss=lf.binary_crossentropy):
    """The accumulator over the arrays as they are."""
    acc = loss.accumulator()
    acc.update(data["y"][rows], data["p"][rows], sample_weight=data["w"][rows])
    return acc.result()


def run(*args):
    return subprocess.run(
        [sys.executable, "-c", "from lossfast.score.cli import main; raise SystemExit(main())", *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("batch_rows", [1 << 20, 999])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_bits(tmp_path, data, name, batch_rows):
    path = save(tmp_path / f"x.{name}", data)
    report = score_files(path, "bce", "y", "p", "w", by="g", batch_rows=batch_rows, worst=7)
    assert report.summary == whole(data)
    assert report.files == {str(path): N}
    assert [g.key for g in report.groups] == sorted(set(data["g"].tolist()))
    for group in report.groups:
        assert group.summary == whole(data, data["g"] == group.key)
    losses = lf.binary_crossentropy(data["y"], data["p"], reduction="none")
    order = np.lexsort((np.arange(N), -losses))[:7]
    assert [w.row for w in report.worst] == order.tolist()
    assert [w.loss for w in report.worst] == losses[order].tolist()
    assert [w.weight for w in report.worst] == data["w"][order].tolist()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(0, N), max_size=4),
    rows=st.sampled_from([1, 17, 1000, 4096, N]),
    batch_rows=st.integers(500, 2 * N),
    threads=st.integers(1, 5),
    shuffle=st.randoms(use_true_random=False),
)
def test_no_split_order_or_number_of_threads_changes_a_bit(tmp_path, data, cuts, rows, batch_rows, threads, shuffle):
    bounds = sorted({0, N, *cuts})
    files = []
    for i, (a, b) in enumerate(pairwise(bounds)):
        name = shuffle.choice(["parquet", "structured.npy", "npz", "feather"])
        part = {k: v[a:b] for k, v in data.items()}
        files.append(save(tmp_path / f"{i}.{name}", part, max(rows, 100)))
    shuffle.shuffle(files)
    report = score_files(files, "bce", "y", "p", "w", by="s", threads=threads, batch_rows=batch_rows)
    assert report.summary == whole(data)
    assert [g.summary for g in report.groups] == [whole(data, data["s"] == k) for k in sorted(set(data["s"]))]


@pytest.mark.parametrize("kind", ["float16", "float32", ">f8", "int64", "bool"])
@pytest.mark.parametrize("name", ["parquet", "structured.npy", "npz"])
def test_every_type_of_number(tmp_path, kind, name):
    r = np.random.default_rng(1)
    x = {"y": r.integers(0, 2, 500).astype(kind), "p": r.integers(0, 2, 500).astype(kind)}
    if name == "parquet" and kind == ">f8":
        return
    acc = lf.mse.accumulator()
    acc.update(x["y"], x["p"])
    assert score_files(save(tmp_path / f"x.{name}", x), "mse", "y", "p").summary == acc.result()


def test_decimals_and_dictionaries_are_numbers(tmp_path):
    path = tmp_path / "x.parquet"
    y = pa.array([1.5, 2.25, 1.5]).dictionary_encode()
    pq.write_table(pa.table({"y": y, "p": pa.array([1, 2, 3]).cast(pa.decimal128(22, 2))}), path)
    assert score_files(path, "mae", "y", "p").summary.sum == 0.5 + 0.25 + 1.5


@pytest.mark.parametrize("order", ["C", "F"])
def test_columns_of_a_matrix_have_numbers_as_names(tmp_path, data, order):
    np.save(tmp_path / "x.npy", np.asarray(np.stack([data["y"], data["w"], data["p"]], axis=1), order=order))
    report = score_files(tmp_path / "x.npy", "bce", "0", "2", "1", batch_rows=1000)
    assert report.summary == whole(data)


def test_names_in_unicode(tmp_path):
    x = np.zeros(3, [("цель", float), ("预测", float)])
    with pytest.warns(UserWarning, match="only be read by NumPy"):
        np.save(tmp_path / "x.npy", x)
    assert score_files(tmp_path / "x.npy", "mse", "цель", "预测").summary.count == 3


def test_a_column_for_a_parameter(tmp_path, data):
    path = save(tmp_path / "x.parquet", data)
    report = score_files(path, "gaussian_nll", "y", "p", param_columns={"var": "v"}, by="s", batch_rows=999)
    acc = lf.gaussian_nll.accumulator()
    acc.update(data["y"], data["p"], var=data["v"])
    assert report.summary == acc.result()
    rows = data["s"] == "group 0"
    acc = lf.gaussian_nll.accumulator()
    acc.update(data["y"][rows], data["p"][rows], var=data["v"][rows])
    assert report.groups[0].summary == acc.result()


def test_groups_of_all_kinds(tmp_path):
    days = np.array(["2024-02-01", "2023-01-31", "2024-02-01"], "M8[D]")
    columns = {
        "text": pa.array(["b", "a", "b"]),
        "large": pa.array(["b", "a", "b"], pa.large_string()),
        "some": pa.array([2, None, 2]),
        "flag": pa.array([True, False, True]),
        "day": pa.array(days),
        "time": pa.array(days.astype("M8[s]")),
        "sort": pa.array(["b", "a", "b"]).dictionary_encode(),
        "hole": pa.DictionaryArray.from_arrays(pa.array([1, None, 1], pa.int8()), ["unused", "b"]),
    }
    keys = {  # of the rows 0 and 2, and of row 1
        "text": ("b", "a"),
        "large": ("b", "a"),
        "some": (2, None),
        "flag": (True, False),
        "day": ("2024-02-01", "2023-01-31"),
        "time": ("2024-02-01 00:00:00", "2023-01-31 00:00:00"),
        "sort": ("b", "a"),
        "hole": ("b", None),
    }
    x = {"y": [0.0, 0.0, 0.0], "p": [1.0, 2.0, 3.0]}
    pq.write_table(pa.table(x | columns), tmp_path / "x.parquet")
    for name, (outer, inner) in keys.items():
        groups = score_files(tmp_path / "x.parquet", "mse", "y", "p", by=name).groups
        assert {g.key: g.summary.sum for g in groups} == {outer: 10.0, inner: 4.0}
        assert groups[0].key == (inner if inner is not None else outer)
    plain = {k: np.asarray(columns[k]) for k in ("flag", "day")} | {"text": np.array(["b", "a", "b"])}
    plain |= {"bytes": np.array([b"b", b"a", b"b"])}
    np.savez(tmp_path / "x.npz", **x, **plain)
    for name in plain:
        groups = score_files(tmp_path / "x.npz", "mse", "y", "p", by=name).groups
        assert {g.key: g.summary.sum for g in groups} == dict(zip(keys.get(name, "ba"), [10.0, 4.0], strict=True))


def test_many_groups(tmp_path):
    n, k = 70_000, 66_000  # more than uint16 counts
    x = {"y": np.zeros(n), "p": np.random.default_rng(0).random(n), "g": np.arange(n) % k}
    groups = score_files(save(tmp_path / "x.npz", x), "mae", "y", "p", by="g").groups
    assert [g.summary.count for g in groups] == [2] * (n - k) + [1] * (2 * k - n)
    assert groups[5].summary.sum == x["p"][5] + x["p"][k + 5]


@given(st.lists(st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, 2.0]), max_size=30), st.integers(0, 9))
def test_worst_positions(losses, k):
    found = worst_positions(np.array(losses), k).tolist()
    order = sorted(range(len(losses)), key=lambda i: (not math.isnan(losses[i]), -losses[i], i))
    missing = [i for i in order if math.isnan(losses[i])]
    assert found == sorted(missing)[:k] + [i for i in order if i not in missing][: max(0, k - len(missing))]


def test_the_worst_come_nan_first_then_by_loss_file_and_row(tmp_path):
    np.savez(tmp_path / "b.npz", y=np.zeros(4), p=np.array([3.0, 1.0, np.nan, 3.0]))
    np.savez(tmp_path / "a.npz", y=np.zeros(3), p=np.array([3.0, 4.0, 0.5]))
    report = score_files([tmp_path / "b.npz", tmp_path / "a.npz"], "mae", "y", "p", worst=5, batch_rows=1)
    found = [(w.file[-5], w.row, w.loss) for w in report.worst]
    assert repr(found) == repr([("b", 2, math.nan), ("a", 1, 4.0), ("a", 0, 3.0), ("b", 0, 3.0), ("b", 3, 3.0)])
    assert report.summary.nonfinite == 1


def test_folders_are_read_in_order_without_what_is_not_data(tmp_path, data):
    (tmp_path / "deep").mkdir()
    (tmp_path / ".hidden").mkdir()
    half = {k: v[: N // 2] for k, v in data.items()}
    rest = {k: v[N // 2 :] for k, v in data.items()}
    b, a = save(tmp_path / "b.parquet", half), save(tmp_path / "deep" / "a.npz", rest)
    save(tmp_path / ".hidden" / "c.npz", rest)
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "readme.txt").write_text("not data")
    report = score_files(tmp_path, "bce", "y", "p", "w")
    assert list(report.files) == [str(b), str(a)]
    assert report.summary == whole(data)


@pytest.mark.parametrize("name", FORMATS)
def test_no_rows(tmp_path, data, name, capsys):
    path = save(tmp_path / f"x.{name}", {k: v[:0] for k, v in data.items()})
    out = tmp_path / "out.parquet"
    args = ["score", str(path), "--loss", "mse", "--target", "y", "--pred", "p", "--by", "s", "--out", str(out)]
    assert main([*args, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "lossfast: note: there are no rows\n"
    assert json.loads(captured.out)["summary"]["count"] == 0
    assert pq.read_table(out).num_rows == 0


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "feather", "csv", "npy"])
@pytest.mark.parametrize("name", ["parquet", "npz", "csv"])
def test_losses_of_rows_are_written(tmp_path, data, name, suffix):
    path, out = save(tmp_path / f"x.{name}", data), tmp_path / f"out.{suffix}"
    losses = lf.binary_crossentropy(data["y"], data["p"], reduction="none")
    score_files(path, "bce", "y", "p", "w", out=out, batch_rows=1500)
    if suffix == "npy":
        assert np.array_equal(np.load(out), losses)
        return
    read = {"parquet": pq.read_table, "csv": pacsv.read_csv}.get(suffix, pyarrow.feather.read_table)
    table = read(out)
    assert table.column_names == ["g", "s", "v", "loss"]
    assert np.array_equal(table["loss"], losses)
    assert table["s"].to_pylist() == data["s"].tolist()
    assert list(tmp_path.glob(".*")) == []


def test_file_and_row_are_written_where_they_are_needed(tmp_path, data):
    first = save(tmp_path / "a.npz", data)
    second = save(tmp_path / "b.parquet", {k: v[:10] for k, v in data.items()})
    out = tmp_path / "out.parquet"
    score_files([second, first], "bce", "y", "p", out=out, keys=["w"], batch_rows=999)
    table = pq.read_table(out)
    assert table.column_names == ["w", "file", "row", "loss"]
    assert table["row"].to_pylist() == [*range(10), *range(N)]
    assert table["file"].to_pylist() == [str(second)] * 10 + [str(first)] * N
    score_files(first, "bce", "y", "p", out=out, keys=[], force=True)
    assert pq.read_table(out).column_names == ["file", "row", "loss"]
    score_files(first, "bce", "y", "p", out=out, keys=["s"], force=True)
    assert pq.read_table(out).column_names == ["s", "loss"]


def test_json_holds_the_exact_floats(tmp_path, data, capsys):
    path = save(tmp_path / "x.parquet", data)
    args = ["--loss", "bce", "--target", "y", "--pred", "p", "--weight", "w", "--by", "s", "--worst", "2", "--json"]
    assert main(["score", str(path), *args, "--param", "label_smoothing=0.1", "--param", "eps=none"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    found = json.loads(out, parse_constant=lambda x: pytest.fail(f"{x} is not JSON"))
    assert found["version"] == 1
    assert found["loss"]["name"] == "binary_crossentropy"
    assert found["loss"]["params"]["label_smoothing"] == 0.1
    assert found["columns"] == {"target": "y", "pred": "p", "weight": "w", "by": "s", "params": {}}
    assert found["files"] == [{"path": str(path), "rows": N}]
    assert found["summary"] == whole(data, loss=lf.BinaryCrossentropy(label_smoothing=0.1))._asdict()
    assert [g["key"] for g in found["groups"]] == sorted(set(data["s"].tolist()))
    assert len(found["worst"]) == 2


def test_json_has_strings_for_what_is_not_finite(tmp_path, capsys):
    np.savez(tmp_path / "x.npz", y=np.zeros(3), p=np.array([np.inf, np.nan, 1.0]))
    args = ["--loss", "mae", "--target", "y", "--pred", "p", "--worst", "2", "--json"]
    assert main(["score", str(tmp_path / "x.npz"), *args]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["summary"]["mean"], found["summary"]["max"]) == ("nan", "inf")
    assert [w["loss"] for w in found["worst"]] == ["nan", "inf"]


def test_text(tmp_path, data, capsys):
    path = save(tmp_path / "x.parquet", data)
    args = ["--loss", "huber", "--param", "delta=2", "--target", "y", "--pred", "p", "--weight", "w"]
    assert main(["score", str(path), *args, "--by", "g", "--worst", "3"]) == 0
    captured = capsys.readouterr()
    summary = score_files(path, lf.Huber(delta=2.0), "y", "p", "w").summary
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert lines[:2] == ["huber(delta=2.0)", str(path)]
    assert f"mean          {summary.mean!r}" in lines
    assert f"rows          {N:,}" in lines
    assert "by g:" in lines and "worst rows:" in lines


def test_a_terminal_shows_tables_and_a_bar(tmp_path, data):
    import os
    import pty

    path = save(tmp_path / "x.parquet", data)
    code = "from lossfast.score.cli import main; raise SystemExit(main())"
    args = ["score", str(path), "--loss", "bce", "--target", "y", "--pred", "p", "--by", "s", "--worst", "3"]
    main_end, other_end = pty.openpty()
    environment = os.environ | {"COLUMNS": "80", "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-c", code, *args], stdin=other_end, stdout=other_end, stderr=other_end, env=environment
    ) as process:
        os.close(other_end)
        text = b""
        while True:
            try:
                piece = os.read(main_end, 1 << 16)
            except OSError:  # how Linux says that the other end is closed
                break
            if not piece:
                break
            text += piece
        os.close(main_end)
    assert process.returncode == 0
    shown = text.decode()
    assert "━" in shown and "group 3" in shown and "worst rows" in shown
    assert "Traceback" not in shown


def test_npy_needs_no_pyarrow_and_nothing_needs_rich(tmp_path, data):
    np.save(tmp_path / "x.npy", np.stack([data["y"], data["p"]], axis=1))
    (tmp_path / "x.csv").write_text("y,p\n1,0.5\n")
    blocked = "import sys; sys.modules['pyarrow'] = sys.modules['rich'] = None\n"
    code = blocked + "from lossfast.score.cli import main; raise SystemExit(main())"
    args = ["--loss", "bce", "--json", "--worst", "1", "--out"]

    def start(name, target, pred, out):
        command = [sys.executable, "-c", code, "score", str(tmp_path / name), *args, str(tmp_path / out)]
        command += ["--target", target, "--pred", pred]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = start("x.npy", "0", "1", "out.npy")
    assert (done.returncode, done.stderr) == (0, "")
    acc = lf.binary_crossentropy.accumulator()
    acc.update(data["y"], data["p"])
    assert json.loads(done.stdout)["summary"] == acc.result()._asdict()
    for names in (("x.csv", "y", "p", "out.npy"), ("x.npy", "0", "1", "out.csv")):
        (tmp_path / "out.npy").unlink(missing_ok=True)
        done = start(*names)
        assert done.returncode == 2
        assert done.stderr.startswith("lossfast: error: ") and "pip install 'lossfast[score]'" in done.stderr


def test_importing_the_package_imports_nothing_large():
    code = "import sys, lossfast.score, lossfast.score.cli; print([m for m in ('pyarrow', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_pandas_is_not_imported(tmp_path, data):
    """Some of pyarrow's ways to NumPy import it, which takes longer than reading a small file."""
    path = save(tmp_path / "x.parquet", data | {"b": data["y"] > 0})
    args = ["score", str(path), "--loss", "bce", "--target", "b", "--pred", "p", "--by", "s", "--worst", "2"]
    code = "import sys; from lossfast.score.cli import main; main(); print('pandas' in sys.modules)"
    command = [sys.executable, "-c", code, *args, "--out", str(tmp_path / "out.csv")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.endswith("\nFalse\n")


def test_other_commands(capsys):
    assert main(["losses"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == lf.names()
    assert main(["info", "bce"]) == 0
    assert capsys.readouterr().out == f"{lf.info('bce')}\n"
    assert main(["recommend", "rare", "positives"]) == 0
    assert capsys.readouterr().out.startswith("two classes, rare positives")
    assert main(["recommend", "zzzz"]) == 0
    for args in (["--version"], ["--help"], ["score", "--help"]):
        with pytest.raises(SystemExit) as exit_code:
            main(args)
        assert exit_code.value.code == 0
    assert "130" in capsys.readouterr().out


def test_progress_goes_to_the_end(tmp_path, data):
    files = [save(tmp_path / f"{name.replace('.', '_')}.{name}", data) for name in FORMATS]
    seen = []
    score_files(files, "mse", "y", "p", batch_rows=1000, progress=lambda rows, part: seen.append((rows, part)))
    assert seen == sorted(seen)
    assert seen[-1] == (len(FORMATS) * N, 1.0)


def test_the_example(capsys):
    from pathlib import Path

    path = Path(__file__).parent.parent / "examples" / "breast_cancer.parquet"
    table = pq.read_table(path)
    args = ["--loss", "binary_crossentropy", "--target", "y_true", "--pred", "y_pred", "--by", "fold"]
    assert main(["score", str(path), *args, "--worst", "5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["summary"]["mean"] == lf.binary_crossentropy(table["y_true"], table["y_pred"])
    assert len(found["groups"]) == 10 and len(found["worst"]) == 5
