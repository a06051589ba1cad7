"""`lossfast score` with losses of classes: columns by pattern, lists and matrices; the same bits from all of them."""

import json
import os
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lossfast as lf
from lossfast._loss import _core
from lossfast.score import BadCall, BadData, score_files
from lossfast.score.arrow_files import lists
from lossfast.score.classes import BATCH_NUMBERS, BATCH_ROWS, Layout, natural
from lossfast.score.cli import main
from lossfast.score.report import Columns

N, C = 5003, 11
FORMATS = ["columns.parquet", "lists.parquet", "ragged.parquet", "lists.arrow", "x.csv", "fields.npy", "x.npy", "x.npz"]
EXAMPLE = Path(__file__).parent.parent / "examples" / "digits.parquet"
LF = lf.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture(scope="module")
def data():
    r = np.random.default_rng(5)
    z = 3 * r.normal(size=(N, C))
    return {
        "y": r.integers(0, C, N),
        "z": z,
        "p": np.exp(z) / np.exp(z).sum(axis=1, keepdims=True),
        "t": r.dirichlet(np.ones(C), N),
        "w": r.random(N) * 10.0 ** r.integers(-8, 8, N),
        "g": r.integers(0, 5, N),
    }


def fixed(x):
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(x).ravel()), x.shape[1])


def save(path, data, rows=700):
    """Write them in the format that the name says; what stands for "z", and for "t", "p" and so on."""
    wide = {k for k, v in data.items() if v.ndim == 2}
    spread = {k: v for k, v in data.items() if k not in wide}
    for k in sorted(wide):
        # as a sorting of names would have it, to see that theirs is natural
        spread |= {name: data[k][:, i] for name, i in sorted((f"{k}_{i}", i) for i in range(data[k].shape[1]))}
    kind, suffix = path.name.split(".")[0].lstrip("0123456789"), path.suffix
    pattern = "{}_*"
    if kind == "fields":
        np.save(path, np.rec.fromarrays(list(spread.values()), names=list(spread)))
    elif suffix == ".csv":
        pacsv.write_csv(pa.table(spread), path)
    elif kind == "columns":
        pq.write_table(pa.table(spread), path, row_group_size=rows)
    else:
        pattern = "{}"
        if suffix == ".npz":
            np.savez(path, **data)
        elif suffix == ".npy":
            records = np.empty(len(data["y"]), [(k, v.dtype, v.shape[1:]) for k, v in data.items()])
            for k, v in data.items():
                records[k] = v
            np.save(path, records)
        else:
            column = (
                (lambda x: pa.array(x.tolist(), pa.list_(pa.from_numpy_dtype(x.dtype)))) if kind == "ragged" else fixed
            )
            table = pa.table({k: column(v) if k in wide else v for k, v in data.items()})
            if suffix == ".parquet":
                pq.write_table(table, path, row_group_size=rows)
            else:
                with pa.ipc.new_file(path, table.schema) as sink:
                    sink.write_table(table, max_chunksize=rows)
    return path, pattern.format


def whole(loss, target, pred, weight=None):
    """The accumulator over the arrays as they are."""
    acc = loss.accumulator()
    acc.update(target, pred, sample_weight=weight)
    return acc.result()


@pytest.mark.parametrize("batch_rows", [None, 333])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_bits(tmp_path, data, name, batch_rows):
    path, column = save(tmp_path / name, data)
    report = score_files(path, LF, "y", column("z"), "w", by="g", worst=7, batch_rows=batch_rows)
    assert report.summary == whole(LF, data["y"], data["z"], data["w"])
    assert report.classes.count == C and report.classes.ignored == 0
    for group in report.groups:
        rows = data["g"] == group.key
        assert group.summary == whole(LF, data["y"][rows], data["z"][rows], data["w"][rows])
    losses = LF(data["y"], data["z"], reduction="none")
    order = np.lexsort((np.arange(N), -losses))[:7]
    assert [w.row for w in report.worst] == order.tolist()
    assert [w.pred for w in report.worst] == data["z"][order].tolist()
    assert [w.target for w in report.worst] == data["y"][order].tolist()
    soft = score_files(path, "cce", column("t"), column("p"), worst=1, batch_rows=batch_rows)
    assert soft.summary == whole(lf.cce, data["t"], data["p"])
    assert soft.worst[0].target == data["t"][soft.worst[0].row].tolist()


@pytest.mark.parametrize("name", [n for n in lf.names() if lf.get(n).declaration.family == "classwise"])
@pytest.mark.parametrize(
    "params", [{}, {"from_logits": True}, {"label_smoothing": 0.1}, {"class_weight": range(1, C + 1)}]
)
def test_every_loss(tmp_path, data, name, params):
    declaration = lf.get(name).declaration
    if not declaration.params.keys() >= params.keys():
        return
    loss = lf.get(name, **{k: list(v) if isinstance(v, range) else v for k, v in params.items()})
    pred = "z" if params.get("from_logits") or declaration.terms is None else "p"
    path, column = save(tmp_path / "columns.parquet", data)
    targets = ["y"] * declaration.labels + ["t"] * declaration.soft
    for target in targets:
        found = score_files(path, loss, column("t") if target == "t" else "y", column(pred), "w", batch_rows=99)
        assert found.summary == whole(loss, data[target], data[pred], data["w"])
        mean = loss(data[target], data[pred], sample_weight=data["w"])
        assert found.summary.mean == pytest.approx(mean, rel=1e-13)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(0, N), max_size=4),
    batch_rows=st.integers(50, 2 * N) | st.none(),
    threads=st.integers(1, 5),
    shuffle=st.randoms(use_true_random=False),
    kind=st.sampled_from(["columns", "lists"]),
    single=st.booleans(),
)
def test_no_split_order_or_number_of_threads_changes_a_bit(
    tmp_path, data, cuts, batch_rows, threads, shuffle, kind, single
):
    names = (
        ["columns.parquet", "x.csv", "fields.npy"] if kind == "columns" else ["lists.parquet", "x.npz", "lists.arrow"]
    )
    x = data | {"z": data["z"].astype(np.float32), "p": data["p"].astype(np.float32)} if single else data
    if single:  # CSV has float64 alone
        names = [name for name in names if name != "x.csv"]
    files = []
    for i, (a, b) in enumerate(pairwise(sorted({0, N, *cuts}))):
        path, column = save(tmp_path / f"{i}{shuffle.choice(names)}", {k: v[a:b] for k, v in x.items()})
        files.append(path)
    shuffle.shuffle(files)
    for loss, pred in ((LF, "z"), (lf.SparseCategoricalCrossentropy(ignore_index=3, label_smoothing=0.1), "p")):
        report = score_files(files, loss, "y", column(pred), "w", by="g", threads=threads, batch_rows=batch_rows)
        assert report.summary == whole(loss, x["y"], x[pred], x["w"])
        assert report.classes.ignored == (0 if loss is LF else (x["y"] == 3).sum())
        rows = [x["g"] == k for k in range(5)]
        assert [g.summary for g in report.groups] == [whole(loss, x["y"][r], x[pred][r], x["w"][r]) for r in rows]


@pytest.mark.parametrize("kind", ["float16", "float32", ">f8", "int64", "bool"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_type_of_number(tmp_path, kind, name):
    if kind == ">f8" and not name.endswith(("npy", "npz")):
        return
    r = np.random.default_rng(1)
    x = {
        "y": r.integers(0, 3, 300).astype(kind if kind != "bool" else "i1"),
        "p": r.integers(0, 2, (300, 3)).astype(kind),
    }
    path, column = save(tmp_path / name, x)
    pred = x["p"].astype(np.float64) if name == "x.csv" else x["p"]
    assert score_files(path, LF, "y", column("p")).summary == whole(LF, x["y"], pred)


def test_columns_of_several_types_are_computed_in_the_widest(tmp_path):
    x = {"y": [0, 1], "p_0": np.array([0.1, 0.7], np.float32), "p_1": np.array([0.9, 0.3])}
    pq.write_table(pa.table(x), tmp_path / "x.parquet")
    both = np.stack([x["p_0"], x["p_1"]], axis=1)
    assert score_files(tmp_path / "x.parquet", "scce", "y", "p_*").summary == whole(lf.scce, [0, 1], both)


def test_lists_are_read_where_they_are():
    x = np.arange(24.0).reshape(8, 3)
    for column in (fixed(x), pa.array(x.tolist())):
        whole = lists(column, "", 0, "x", 3)
        assert np.array_equal(whole, x)
        part = lists(column.slice(2, 4), "", 0, "x", 3)
        assert np.array_equal(part, x[2:6]) and np.shares_memory(part, whole)
    tensors = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float64(), [3]), fixed(x))
    assert np.array_equal(lists(tensors, "", 0, "x", None), x)


def test_the_order_of_columns_is_natural(tmp_path, capsys):
    names = ["p_10", "p_2", "p_1", "p_01", "p_x", "q2p10", "q10p2", "q2p9"]
    order = ["p_01", "p_1", "p_2", "p_10", "p_x", "q2p9", "q2p10", "q10p2"]
    assert sorted(names, key=natural) == order
    pq.write_table(pa.table({"y": [3]} | {name: [float(i)] for i, name in enumerate(names)}), tmp_path / "x.parquet")
    args = ["score", str(tmp_path / "x.parquet"), "--loss", "multiclass_hinge", "--target", "y", "--pred", "[pq]*"]
    assert main([*args, "--worst", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["columns"]["pred"] == "[pq]*"
    assert found["classes"] == {"count": 8, "target": ["y"], "pred": order, "ignored": 0}
    assert found["worst"][0]["pred"] == [float(names.index(name)) for name in order]


def test_a_name_is_no_pattern_where_a_column_has_it(tmp_path):
    pq.write_table(pa.table({"y": [1], "p*": [2.0], "p2": [3.0]}), tmp_path / "x.parquet")
    assert score_files(tmp_path / "x.parquet", "mae", "y", "p*").summary.sum == 1.0


def test_ignored_rows(tmp_path, data):
    x = data | {"y": np.where(data["g"] == 2, -1, data["y"])}
    path, column = save(tmp_path / "lists.parquet", x)
    kept = x["y"] != -1
    loss = lf.SparseCategoricalCrossentropy(from_logits=True, ignore_index=-1)
    losses = LF(x["y"][kept], x["z"][kept], reduction="none")
    for suffix in ("parquet", "arrow", "csv", "npy"):
        out, keys = tmp_path / f"out.{suffix}", None if suffix == "npy" else ["y"]
        report = score_files(path, loss, "y", column("z"), by="g", worst=N, out=out, keys=keys, batch_rows=1001)
        if suffix == "npy":
            found = np.load(out)
            assert np.isnan(found[~kept]).all()
        else:
            read = {"parquet": pq.read_table, "csv": pacsv.read_csv}.get(suffix, pyarrow_ipc)
            table = read(out)["loss"].combine_chunks()
            assert np.array_equal(np.asarray(table.is_null()), ~kept)
            found = np.asarray(table.fill_null(0.0))
        assert np.array_equal(found[kept], losses)
    assert report.summary == whole(loss, x["y"], x["z"])
    assert (report.summary.count, report.classes.ignored) == (kept.sum(), N - kept.sum())
    assert len(report.worst) == kept.sum()
    assert [g.summary.count for g in report.groups] == [(kept & (x["g"] == k)).sum() for k in range(5)]
    assert "ignored" in str(report)


def pyarrow_ipc(path):
    return pa.ipc.open_file(path).read_all()


def test_all_rows_ignored(tmp_path, capsys):
    np.savez(tmp_path / "x.npz", y=np.full(5, -1), p=np.full((5, 2), 0.5))
    args = ["--loss", "scce", "--target", "y", "--pred", "p", "--param", "ignore_index=-1", "--worst", "2"]
    assert main(["score", str(tmp_path / "x.npz"), *args]) == 0
    assert capsys.readouterr().err == "lossfast: note: all rows are ignored\n"


def test_nan_of_a_class_that_is_not_the_label(tmp_path, data):
    """It makes its row NaN in the sum, in groups, among the worst and in the output: all of them look the same way."""
    x = data | {"p": data["p"].copy()}
    x["p"][40, (x["y"][40] + 1) % C] = np.nan
    path, column = save(tmp_path / "lists.parquet", x)
    report = score_files(path, "scce", "y", column("p"), by="g", worst=2, out=tmp_path / "o.npy", batch_rows=100)
    assert report.summary.nonfinite == 1 and report.worst[0].row == 40
    assert [g.summary.nonfinite for g in report.groups] == [int(k == x["g"][40]) for k in range(5)]
    losses = lf.scce(data["y"], data["p"], reduction="none")
    losses[40] = np.nan
    assert np.array_equal(np.load(tmp_path / "o.npy"), losses, equal_nan=True)


def test_a_temperature_for_each_row(tmp_path, data):
    path, column = save(tmp_path / "columns.parquet", data | {"w": data["w"] + 0.5})
    report = score_files(path, LF, "y", column("z"), param_columns={"temperature": "w"}, batch_rows=99)
    acc = LF.accumulator()
    acc.update(data["y"], data["z"], temperature=data["w"] + 0.5)
    assert report.summary == acc.result()


def test_columns_beside_the_losses(tmp_path, data):
    path, column = save(tmp_path / "columns.parquet", {k: data[k] for k in "yzwg"})
    score_files(path, LF, "y", column("z"), "w", out=tmp_path / "o.parquet")
    assert pq.read_table(tmp_path / "o.parquet").column_names == ["g", "loss"]
    for name in ("x.npz", "lists.arrow"):
        path, column = save(tmp_path / name, {k: data[k] for k in "yzp"})
        score_files(path, LF, "y", column("z"), out=tmp_path / "o.parquet", force=True)
        table = pq.read_table(tmp_path / "o.parquet")
        assert table.column_names == ["p", "loss"]
        assert np.array_equal(np.array(table["p"].to_pylist()), data["p"])


def test_no_rows(tmp_path, data, capsys):
    for name in FORMATS:
        path, column = save(tmp_path / name, {k: v[:0] for k, v in data.items()})
        args = ["--loss", "scce", "--target", "y", "--pred", column("p"), "--by", "g", "--worst", "2", "--json"]
        assert main(["score", str(path), *args, "--out", str(tmp_path / "o.parquet"), "--force"]) == 0
        captured = capsys.readouterr()
        assert captured.err == "lossfast: note: there are no rows\n"
        assert json.loads(captured.out)["summary"]["count"] == 0
        os.unlink(path)


def test_a_file_without_rows_among_others(tmp_path, data):
    some = {k: data[k] for k in "yp"}
    empty, column = save(tmp_path / "0ragged.parquet", {k: v[:0] for k, v in some.items()})
    full, _ = save(tmp_path / "1ragged.parquet", some)
    for files in ([empty, full], [full, empty]):
        assert score_files(files, "scce", "y", column("p")).summary == whole(lf.scce, some["y"], some["p"])


@pytest.mark.skipif(_core is None, reason="NumPy makes arrays of its own on the way")
def test_blocks_shrink_with_the_number_of_classes(tmp_path):
    layout = Layout(lf.scce, Columns("y", "p", None, None, {}))
    assert layout.batch_rows() == BATCH_ROWS
    for layout.classes in (2, 10, 1000, 1 << 30):
        assert layout.batch_rows() == max(1, BATCH_NUMBERS // layout.classes)
    with open(tmp_path / "x.npy", "wb") as file:  # 600 MB that take no space on the disk
        header = {"descr": [("y", "u1"), ("p", "<f4", (3000,))], "fortran_order": False, "shape": (50_000,)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 50_000 * 12_001)
    tracemalloc.start()
    report = score_files(tmp_path / "x.npy", LF, "y", "p", threads=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.summary.mean == pytest.approx(np.log(3000), rel=1e-6)
    assert peak < 100e6


def test_parameters_on_the_command_line(tmp_path, data, capsys):
    path, column = save(tmp_path / "columns.parquet", data)
    weights = [1, 2, 0.5, *[1] * (C - 3)]
    params = ["from_logits=true", "label_smoothing=0.1", "ignore_index=1", "temperature=2"]
    params += ["class_weight=" + ",".join(map(str, weights))]
    args = [word for param in params for word in ("--param", param)]
    assert main(["score", str(path), "--loss", "scce", "--target", "y", "--pred", column("z"), *args, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["loss"]["params"]["class_weight"] == weights
    loss = lf.SparseCategoricalCrossentropy(
        from_logits=True, label_smoothing=0.1, ignore_index=1, temperature=2, class_weight=weights
    )
    assert found["summary"] == whole(loss, data["y"], data["z"])._asdict()
    assert main(["score", str(path), "--loss", "scce", "--target", "y", "--pred", column("z"), *args]) == 0
    title = capsys.readouterr().out.splitlines()[0]
    assert "class_weight=[1.0, 2.0, 0.5, " in title and "z_loss" not in title


def changed(data, name, row, value, k=None):
    x = np.array(data[name], dtype=float)
    x[row if k is None else (row, k)] = value
    return data | {name: x}


@pytest.mark.parametrize("name", [n for n in FORMATS if n != "ragged.parquet"])
@pytest.mark.parametrize(
    ("change", "column", "says"),
    [
        (("y", 4000, 11), "y", "is 11.0, expected a class in [0, 11)"),
        (("y", 4000, -1), "y", "is -1.0, expected a class in [0, 11)"),
        (("y", 4000, 2.5), "y", "is 2.5, expected a class in [0, 11)"),
        (("y", 4000, np.nan), "y", "is nan, expected a class in [0, 11)"),
        (("p", 4000, 1.5, 10), "p_10", "is 1.5, expected a probability in [0, 1] (for logits pass from_logits=True"),
        (("w", 4000, -1.0), "w", "is -1.0, expected a finite number of at least 0"),
    ],
)
def test_bad_values_are_named_with_file_row_and_column(tmp_path, data, name, change, column, says):
    path, names = save(tmp_path / name, changed(data, *change))
    if column == "p_10" and names("p") == "p":
        column, says = "p", "class 10 " + says
    out = tmp_path / "o.parquet"
    with pytest.raises(BadData) as error:
        score_files(path, "scce", "y", names("p"), "w", batch_rows=700, out=out)
    assert (error.value.path, error.value.row, error.value.column) == (str(path), 4000, column)
    assert says in str(error.value)
    if column == "y" and names("p") != "p":
        assert "the classes are 'p_0', 'p_1', ..., 'p_10' (11 columns), in this order" in str(error.value)
    assert not out.exists() and list(tmp_path.glob(".*")) == []


def test_lists_that_are_not_as_they_should_be(tmp_path, capsys):
    good = [[0.25, 0.75]] * 9
    table = {
        "y": [0] * 9,
        "short": [*good[:5], [1.0], *good[6:]],
        "long": [*good[:5], [0.5, 0.25, 0.25], *good[6:]],
        "hole": [*good[:5], None, *good[6:]],
        "part": [*good[:5], [0.5, None], *good[6:]],
        "fixed_hole": pa.array([*good[:5], None, *good[6:]], pa.list_(pa.float32(), 2)),
        "text": [["a", "b"]] * 9,
        "deep": [good] * 9,
        "p_0": pa.array([0.5] * 5 + [None] + [0.5] * 3),
        "p_1": [0.5] * 9,
        "q_0": ["a"] * 9,
        "q_1": [0.5] * 9,
    }
    pq.write_table(pa.table(table), tmp_path / "x.parquet", row_group_size=3)
    place = f"lossfast: error: {tmp_path / 'x.parquet'}: row 5 (counting from 0), column "
    for pred, says in {
        "short": place + "'short': is a list of 1, expected 2: a number for each class\n",
        "long": place + "'long': is a list of 3, expected 2: a number for each class\n",
        "hole": place + "'hole': is null, expected a list of numbers: fill or drop nulls first\n",
        "part": place + "'part': class 1 is null, expected a number: fill or drop nulls first\n",
        "fixed_hole": place + "'fixed_hole': is null, expected a list of numbers: fill or drop nulls first\n",
        "p_*": place + "'p_0': is null, expected a number: fill or drop nulls first\n",
        "text": "x.parquet: column 'text': holds string, expected bool, integer or float\n",
        "deep": "x.parquet: column 'deep': holds list<element: double>, expected bool, integer or float",
        "q_*": "x.parquet: column 'q_0': holds string, expected bool, integer or float\n",
    }.items():
        for batch_rows in ("1", "2", "100"):
            args = ["--loss", "scce", "--target", "y", "--pred", pred, "--batch-rows", batch_rows]
            assert main(["score", str(tmp_path / "x.parquet"), *args]) == 3
            assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["--pred", "q_*"], 2, "has no column that matches --pred 'q_*'; it has 'y', 'w', 'g', 'p_0'"),
        (["--pred", "p_1?"], 2, "--pred 'p_1?' matches 'p_10' alone, expected a column for each class"),
        (
            ["--pred", "p_3"],
            2,
            "scce takes a prediction for each class, and --pred 'p_3' has one number per row; did you",
        ),
        (["--pred", "w"], 2, "'w' has one number per row; expected several columns (a pattern such as 'p_*') or lists"),
        (["--pred", "*"], 2, "--pred '*' matches 'y' too, which is --target"),
        (["--pred", "[pw]*", "--weight", "w"], 2, "--pred '[pw]*' matches 'w' too, which is --weight"),
        (["--target", "t_*"], 2, "scce takes class labels, and --target 't_*' has 11 numbers in each row"),
        (["--loss", "cce"], 2, "takes a target for each class, and --target 'y' has one number per row (sparse_"),
        (["--loss", "cce", "--target", "t_?"], 2, "--target 't_?' has 10 numbers in each row and --pred 'p_*' has 11"),
        (
            ["--loss", "mse"],
            2,
            "mse takes one number per row, not the pattern --pred 'p_*', which stands for 'p_0', 'p_1'",
        ),
        (["--loss", "mse", "--pred", "l"], 3, "column 'l': holds fixed_size_list<element: double>[2], expected bool"),
        (["--loss", "multiclass_brier", "--target", "t_*", "--param", "ignore_index=1"], 2, "expected None with soft"),
        (["--param", "class_weight=1,2,0.5"], 2, "class_weight has 3 numbers, expected 11: one for each class"),
        (["--param", "class_weight=1,x"], 2, "class_weight is '1,x', expected an array of one number for each class"),
        (["--param", "class_weight=1,-1"], 2, "class_weight[1] is -1.0, expected"),
        (["--param", "temperature=2"], 2, "expected 1.0 unless y_pred are logits (--param from_logits=true)"),
        (["--param", "temperature=0"], 2, "temperature is 0.0, expected"),
        (["--param", "ignore_index=1.5"], 2, "ignore_index is '1.5', expected an integer or None"),
        (["--param", "label_smoothing=2"], 2, "label_smoothing is 2.0, expected a number in [0, 1]"),
        (["--param", "axis=0"], 2, "axis is 0, expected -1"),
        (["--param-column", "label_smoothing=w"], 2, "label_smoothing of sparse_categorical_crossentropy is one value"),
        (["--param-column", "temperature=w"], 2, "(--param from_logits=true)"),
    ],
)
def test_bad_requests(tmp_path, data, capsys, args, code, says):
    path, _ = save(tmp_path / "columns.parquet", data)
    table = pq.read_table(path).append_column("l", fixed(data["p"][:, :2]))
    pq.write_table(table, path)
    before = ["--loss", "scce", "--target", "y", "--pred", "p_*"]
    assert main(["score", str(path), *before, *args]) == code
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    name = "sparse_categorical_crossentropy" if "scce" in says else ""
    assert says.replace("scce", name) in captured.err


def test_files_with_other_classes(tmp_path, data):
    fewer = data | {"p": data["p"][:, :5], "y": data["y"] % 5}
    for name in ("columns.parquet", "x.csv"):
        files = [save(tmp_path / f"{i}{name}", x)[0] for i, x in enumerate((data, fewer))]
        with pytest.raises(BadCall, match=r"1.*: --pred 'p_\*' stands for 'p_0', .*'p_4', and in .*0.* for 'p_0'"):
            score_files(files, "scce", "y", "p_*")
    for name in ("lists.parquet", "ragged.parquet", "x.npz", "x.npy"):
        files = [save(tmp_path / f"{i}{name}", x)[0] for i, x in enumerate((data, fewer))]
        with pytest.raises(BadData, match="column 'p': has lists of 5, expected 11 as in"):
            score_files(files, "scce", "y", "p")


def test_targets_and_predictions_of_other_names(tmp_path):
    columns = {"p_cat": [0.5], "p_dog": [0.5], "t_cat": [0.0], "t_dog": [1.0], "u_1": [0.0], "u_2": [1.0], "v_0": [0.5]}
    columns |= {"v_1": [0.5], "w_dog": [1.0], "w_fox": [0.0]}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    assert score_files(tmp_path / "x.parquet", "cce", "t_*", "p_*").summary.count == 1
    assert score_files(tmp_path / "x.parquet", "cce", "u_*", "v_*").summary.count == 1
    with pytest.raises(BadCall, match="name other classes: 'w_dog' would be paired with 'p_cat'"):
        score_files(tmp_path / "x.parquet", "cce", "w_*", "p_*")


def test_damaged_files_with_lists(tmp_path, data):
    """A changed byte is found or changes numbers; it is never an error of the program."""
    few = {k: data[k][:200] for k in "yp"}
    r = np.random.default_rng(0)
    for name in ("lists.parquet", "ragged.parquet", "lists.arrow", "x.npz", "x.npy"):
        path, column = save(tmp_path / name, few)
        whole_file, codes = path.read_bytes(), set()
        for i in range(60):
            at = r.integers(0, min(len(whole_file), 300) if i % 2 else len(whole_file))
            path.write_bytes(whole_file[:at] + bytes([r.integers(0, 256)]) + whole_file[at + 1 :])
            codes.add(main(["score", str(path), "--loss", "scce", "--target", "y", "--pred", column("p"), "--quiet"]))
        assert codes <= {0, 2, 3}


def test_matrices_that_cannot_be_streamed(tmp_path, data):
    np.savez(tmp_path / "x.npz", y=data["y"], f=np.asfortranarray(data["p"]), d=data["p"][None], s=data["p"][:9])
    for name, says in (("f", "Fortran order"), ("d", "expected one axis or two"), ("s", "has 9 rows and 'y' has 5003")):
        with pytest.raises(BadData, match=says):
            score_files(tmp_path / "x.npz", "scce", "y", name)


def test_columns_of_a_matrix(tmp_path, data):
    for order in "CF":
        np.save(tmp_path / "x.npy", np.asarray(np.c_[data["y"], data["p"]], order=order))
        report = score_files(tmp_path / "x.npy", "scce", "0", "[1-9]*", batch_rows=999)
        assert report.summary == whole(lf.scce, data["y"], data["p"])
        assert report.classes.pred == [str(i) for i in range(1, C + 1)]


def test_text(tmp_path, data, capsys):
    path, column = save(tmp_path / "columns.parquet", data)
    assert main(["score", str(path), "--loss", "scce", "--target", "y", "--pred", column("p"), "--worst", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sparse_categorical_crossentropy(from_logits=False)"
    assert "classes     11 (p_0, p_1, ..., p_10)" in lines
    assert lines[-2].split() == ["row", "y", "its", "p_*", "largest", "p_*", "at", "class", "loss"]
    row = int(lines[-1].split()[0])
    assert lines[-1].split()[4] == str(data["p"][row].argmax())


def test_the_example(capsys):
    table = pq.read_table(EXAMPLE)
    logits = np.array(table["logits"].to_pylist(), np.float32)
    args = ["score", str(EXAMPLE), "--loss", "sparse_categorical_crossentropy", "--target", "label"]
    assert main([*args, "--pred", "logits", "--param", "from_logits=true", "--by", "label", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["summary"] == whole(LF, table["label"], logits)._asdict()
    assert len(found["groups"]) == 10
    metrics = pytest.importorskip("sklearn.metrics")
    p = np.stack([np.asarray(table[f"p_{k}"]) for k in range(10)], axis=1).astype(np.float64)
    expected = metrics.log_loss(table["label"], p / p.sum(axis=1, keepdims=True))
    assert found["summary"]["mean"] == pytest.approx(expected, rel=1e-5)
    assert main([*args, "--pred", "p_*", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["summary"]["mean"] == pytest.approx(expected, rel=1e-5)
    assert EXAMPLE.stat().st_size < 200_000
