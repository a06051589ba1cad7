"""`lossfast score` on bad requests and data, damaged files, interruption: one sentence, a code, no remains."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from lossfast.score import BadCall, BadData, score_files
from lossfast.score.cli import main

COMMAND = [sys.executable, "-c", "from lossfast.score.cli import main; raise SystemExit(main())", "score"]
OPTIONS = ["--loss", "bce", "--target", "y", "--pred", "p"]


@pytest.fixture
def good(tmp_path):
    r = np.random.default_rng(3)
    x = {"y": r.integers(0, 2, 1000), "p": r.random(1000), "w": r.random(1000), "s": ["a", "b"] * 500}
    pq.write_table(pa.table(x), tmp_path / "good.parquet", row_group_size=100)
    return tmp_path / "good.parquet"


@pytest.fixture
def fails(capsys):
    """Run the command in this process and compare its exit code and its only sentence."""

    def run(code, *args, says=()):
        assert main(["score", *map(str, args)]) == code
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("lossfast: error: ") and captured.err.count("\n") == 1
        for words in says:
            assert words in captured.err
        return captured.err

    return run


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([*OPTIONS, "--loss", "ctc"], "ctc takes labels and logits, which files of rows do not hold"),
        ([*OPTIONS, "--loss", "bcee"], "unknown loss 'bcee'; did you mean 'bce'?"),
        ([*OPTIONS, "--param", "pos_wieght=2"], "has no parameter 'pos_wieght'; did you mean 'pos_weight'?"),
        ([*OPTIONS, "--param", "pos_weight=two"], "pos_weight is 'two', expected a number"),
        ([*OPTIONS, "--param", "pos_weight=-1"], "pos_weight is -1.0, expected a number in [0, inf)"),
        ([*OPTIONS, "--param", "from_logits=1"], "from_logits is '1', expected true or false"),
        ([*OPTIONS, "--param", "eps"], "--param is 'eps', expected NAME=VALUE"),
        ([*OPTIONS, "--param", "eps=0", "--param", "eps=0"], "eps is given twice"),
        ([*OPTIONS, "--param-column", "eps=w"], "eps of binary_crossentropy is one value"),
        ([*OPTIONS, "--param-column", "var=w"], "has no parameter 'var'"),
        ([*OPTIONS, "--target", "why"], "good.parquet has no column 'why'; it has 'y', 'p', 'w', 's'"),
        ([*OPTIONS, "--weight", "wt"], "no column 'wt'; did you mean 'w'?"),
        ([*OPTIONS, "--by", "group"], "no column 'group'"),
        ([*OPTIONS, "--tagret", "y"], "unknown option --tagret; did you mean '--target'"),
        ([*OPTIONS, "--worst", "-1"], "worst is -1, expected at least 0"),
        ([*OPTIONS, "--threads", "0"], "threads is 0, expected at least 1"),
        ([*OPTIONS, "--batch-rows", "0"], "batch_rows is 0, expected at least 1"),
        ([*OPTIONS, "--threads", "x"], "argument --threads: invalid int value: 'x'"),
        ([*OPTIONS, "--keys", "s"], "there is no output"),
        ([*OPTIONS, "--out", "o.xlsx"], "output o.xlsx is of no known format"),
        (["--loss", "bce"], "required: --target, --pred"),
    ],
)
def test_bad_requests(good, fails, args, says):
    fails(2, good, *args, says=[says])


def test_bad_files(tmp_path, good, fails):
    fails(4, tmp_path / "none.parquet", *OPTIONS, says=[f"{tmp_path}/none.parquet: No such file or directory"])
    (tmp_path / "x.txt").write_text("no")
    fails(2, tmp_path / "x.txt", *OPTIONS, says=["x.txt is of no known format, expected .parquet"])
    (tmp_path / "empty").mkdir()
    fails(2, tmp_path / "empty", *OPTIONS, says=["empty has no file of a known format"])
    fails(2, good, tmp_path, *OPTIONS, says=["good.parquet is there twice"])
    os.mkfifo(tmp_path / "pipe.csv")
    fails(3, tmp_path / "pipe.csv", *OPTIONS, says=["pipe.csv: is not a regular file"])
    with pytest.raises(BadCall, match="no files"):
        score_files([], "mse", "y", "p")


def test_outputs_that_must_not_be_replaced(tmp_path, good, fails):
    before = good.read_bytes()
    out = tmp_path / "out.parquet"
    out.write_text("old")
    fails(2, good, *OPTIONS, "--out", out, says=[f"output {out} exists (--force replaces it)"])
    assert out.read_text() == "old"
    os.symlink(good, tmp_path / "link.parquet")
    for name in (good, tmp_path / "link.parquet"):
        fails(2, good, *OPTIONS, "--out", name, "--force", says=["is one of the inputs"])
    assert good.read_bytes() == before
    (tmp_path / "folder.csv").mkdir()
    fails(2, good, *OPTIONS, "--out", tmp_path / "folder.csv", "--force", says=["is a folder"])
    fails(2, good, *OPTIONS, "--out", tmp_path / "o.npy", "--keys", "s", says=["losses alone"])
    fails(2, good, *OPTIONS, "--out", tmp_path / "o.csv", "--keys", "t", says=["no column 't'"])
    fails(4, good, *OPTIONS, "--out", tmp_path / "no" / "o.npy", says=["No such file or directory"])
    score_files(good, "bce", "y", "p", out=out, force=True)
    fails(2, out, "--loss", "mae", "--target", "w", "--pred", "w", "--out", tmp_path / "o.csv", says=["'loss'"])
    assert list(tmp_path.glob(".*")) == []


BAD_VALUES = [
    ({"y": [0.0, 1.0, 2.0]}, "y", 2, "is 2.0, expected in [0, 1] (are --target and --pred swapped?)"),
    ({"p": [0.5, -3.0, 0.5]}, "p", 1, "is -3.0, expected a probability in [0, 1] (for logits add --param from_logits"),
    ({"w": [1.0, -1.0, 1.0]}, "w", 1, "is -1.0, expected a finite number of at least 0"),
    ({"w": [np.nan, 1.0, 1.0]}, "w", 0, "is nan, expected a finite number of at least 0"),
]


@pytest.mark.parametrize(("change", "column", "row", "says"), BAD_VALUES)
@pytest.mark.parametrize("name", ["parquet", "feather", "csv", "npz"])
def test_bad_values_are_named_with_file_row_and_column(tmp_path, fails, name, change, column, row, says):
    x = {k: np.full(5000, 0.5) for k in "ypw"}
    for k, v in change.items():
        x[k][4000:4003] = v
    path = tmp_path / f"x.{name}"
    if name == "npz":
        np.savez(path, **x)
    elif name == "csv":
        pa.csv.write_csv(pa.table(x), path)
    else:
        (pq.write_table if name == "parquet" else pyarrow.feather.write_feather)(pa.table(x), path)
    out = tmp_path / "out.csv"
    place = f"{path}: row {4000 + row} (counting from 0), column '{column}': "
    fails(3, path, *OPTIONS, "--weight", "w", "--batch-rows", "700", "--out", out, says=[place + says])
    assert sorted(os.listdir(tmp_path)) == [path.name]


def test_nulls_and_wrong_types(tmp_path, good, fails):
    nulls = {"y": pa.array([1, 0, None]), "p": [0.5] * 3, "q": pa.nulls(3), "l": [[1.0]] * 3, "d": ["a", "a", "b"]}
    pq.write_table(pa.table(nulls), tmp_path / "x.parquet")
    rest = ["--loss", "bce", "--pred", "p", "--target"]
    fails(3, tmp_path / "x.parquet", *rest, "y", says=["x.parquet: row 2 (counting from 0), column 'y': is null"])
    fails(3, tmp_path / "x.parquet", *rest, "q", says=["row 0 (counting from 0), column 'q': is null"])
    fails(3, tmp_path / "x.parquet", *rest, "l", says=["column 'l': holds list<element: double>, expected bool"])
    fails(3, good, *rest, "s", says=["column 's': holds string, expected bool, integer or float"])
    fails(3, good, *OPTIONS, "--by", "p", says=["column 'p': holds double, expected integers"])
    fails(3, tmp_path / "x.parquet", *rest, "p", "--by", "l", says=["holds list"])
    out = tmp_path / "o.csv"
    fails(3, tmp_path / "x.parquet", *rest, "p", "--keys", "l", "--out", out, says=["cannot be written to"])
    np.savez(tmp_path / "x.npz", s=np.array(["a"]), p=np.zeros(1), m=np.zeros((1, 2)), n=np.zeros(2), f=np.zeros(1))
    fails(3, tmp_path / "x.npz", *rest, "s", says=["column 's': holds <U1, expected bool"])
    fails(3, tmp_path / "x.npz", *rest, "m", says=["column 'm': has 2 numbers in each row, expected one"])
    fails(3, tmp_path / "x.npz", *rest, "n", says=["column 'p': has 1 rows and 'n' has 2"])
    fails(3, tmp_path / "x.npz", *rest, "f", "--by", "f", says=["holds float64, expected integers"])
    np.save(tmp_path / "long.npy", np.zeros((3, 2), np.longdouble))
    fails(3, tmp_path / "long.npy", "--loss", "mse", "--target", "0", "--pred", "1", says=["holds float128"])
    same = pa.Table.from_arrays([pa.array([1.0])] * 2, ["y", "y"])
    pq.write_table(same, tmp_path / "same.parquet")
    fails(3, tmp_path / "same.parquet", *OPTIONS[:4], "--pred", "y", says=["column 'y': occurs more than once"])


def test_a_later_file_with_other_types_of_keys(tmp_path, good, fails):
    other = {"y": [1], "p": [0.5], "w": ["heavy"], "s": ["a"]}
    pq.write_table(pa.table(other), tmp_path / "other.parquet")
    out = tmp_path / "o.parquet"
    says = ["column 'w': cannot be written to"]
    fails(3, good, tmp_path / "other.parquet", *OPTIONS, "--out", out, "--keys", "w", says=says)
    assert not out.exists() and list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("1,oops\n", "row 150000 (counting from 0), column 'p': CSV conversion error to double: invalid value 'oops'"),
        ("1,\n", "row 150000 (counting from 0), column 'p': is null"),
        ("1,0.5,7\n", "row 150000 (counting from 0): Expected 2 columns, got 3"),
        ("1\n", "row 150000 (counting from 0): Expected 2 columns, got 1"),
    ],
)
def test_a_bad_line(tmp_path, fails, line, says):
    path = tmp_path / "x.csv"
    path.write_text("y,p\n" + "1,0.25\n" * 150_000 + line + "0,0.5\n")
    fails(3, path, *OPTIONS, says=[f"{path}: {says}"])


def test_numbers_in_csv(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("y,p,name\n" + '0,1,"a\nb"\n' * 200_000 + "0,1.5,x\n0,nan,y\n0,-inf,z\n")
    report = score_files(path, "mae", "y", "p", worst=2)
    assert (report.summary.count, report.summary.nonfinite) == (200_003, 2)
    assert [w.row for w in report.worst] == [200_001, 200_002]
    path.write_text("y,p\ntrue,true\nfalse,true\n")
    assert score_files(path, "mae", "y", "p").summary.sum == 1.0


def cut_points(size):
    return sorted({0, 1, 3, 7, 40, size // 3, size // 2, size - 1000, size - 9, size - 4, size - 1} & set(range(size)))


@pytest.mark.parametrize(
    "name", ["x.parquet", "x.arrow", "x.feather", "structured.npy", "matrix.npy", "x.npz", "x.csv.gz"]
)
def test_truncated_files(tmp_path, name):
    r = np.random.default_rng(0)
    x = {"y": r.integers(0, 2, 3000).astype(float), "p": r.random(3000)}
    path, names = tmp_path / name, ["y", "p"]
    if name == "x.parquet":
        pq.write_table(pa.table(x), path, row_group_size=500)
    elif name == "x.arrow":
        with pa.ipc.new_file(path, pa.table(x).schema) as sink:
            sink.write_table(pa.table(x), max_chunksize=500)
    elif name == "x.feather":
        pyarrow.feather.write_feather(pa.table(x), path)
    elif name == "structured.npy":
        np.save(path, np.rec.fromarrays(list(x.values()), names="y,p"))
    elif name == "matrix.npy":
        np.save(path, np.stack(list(x.values()), axis=1))
        names = ["0", "1"]
    elif name == "x.npz":
        np.savez_compressed(path, **x)
    else:
        with pa.CompressedOutputStream(str(path), "gzip") as sink:
            pa.csv.write_csv(pa.table(x), sink)
    whole = path.read_bytes()
    assert main(["score", str(path), "--loss", "mse", "--target", names[0], "--pred", names[1], "--json"]) == 0
    for size in cut_points(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(BadData, match=str(path)):
            score_files(path, "mse", *names)


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow", "x.npy", "x.npz"])
def test_damaged_files(tmp_path, name):
    """A byte is changed here and there, in a process of its own in case that were to crash it."""
    code = """
import sys, numpy as np, pyarrow as pa, pyarrow.parquet as pq
from lossfast.score.cli import main
path, name = sys.argv[1:3]
r = np.random.default_rng(0)
x = {"y": r.integers(0, 2, 300).astype(float), "p": r.random(300), "s": np.array(["a", "bb"] * 150)}
if name == "x.parquet":
    pq.write_table(pa.table(x), path, row_group_size=100, write_page_checksum=True)
elif name == "x.arrow":
    with pa.ipc.new_file(path, pa.table(x).schema) as sink:
        sink.write_table(pa.table(x), max_chunksize=100)
elif name == "x.npy":
    np.save(path, np.rec.fromarrays(list(x.values()), names="y,p,s"))
else:
    np.savez_compressed(path, **x)
whole = open(path, "rb").read()
args = ["score", path, "--loss", "mse", "--target", "y", "--pred", "p", "--by", "s", "--quiet"]
for i in range(150):
    at = r.integers(0, min(len(whole), 200) if i % 2 else len(whole))
    with open(path, "wb") as file:
        file.write(whole[:at] + bytes([r.integers(0, 256)]) + whole[at + 1 :])
    print(main(args))
"""
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / name), name]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stderr
    codes = {line for line in done.stdout.splitlines() if line.isdigit()}
    assert codes <= {"0", "2", "3"} and "3" in codes
    assert all(line.startswith("lossfast: error: ") for line in done.stderr.splitlines())


def test_a_wrong_checksum_in_an_archive(tmp_path, fails):
    np.savez(tmp_path / "x.npz", y=np.zeros(1000), p=np.ones(1000))
    whole = bytearray((tmp_path / "x.npz").read_bytes())
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        at = archive.getinfo("p.npy").header_offset
    whole[at + 3000] ^= 1
    (tmp_path / "x.npz").write_bytes(whole)
    fails(3, tmp_path / "x.npz", *OPTIONS, says=["x.npz: is not a NumPy .npz file, or truncated or corrupt: Bad CRC"])


def test_python_objects_are_never_loaded(tmp_path, fails):
    np.save(tmp_path / "x.npy", np.array([{}, []], object), allow_pickle=True)
    fails(3, tmp_path / "x.npy", *OPTIONS, says=["holds Python objects"])


def test_what_is_not_what_its_name_says(tmp_path, fails):
    for name in ("x.parquet", "x.arrow", "x.npy", "x.npz", "x.csv.gz"):
        for text in ("", "this is text\n" * 100):
            (tmp_path / name).write_text(text)
            fails(3, tmp_path / name, *OPTIONS, says=[f"{tmp_path / name}: is "])
    (tmp_path / "x.csv").write_text("")
    fails(3, tmp_path / "x.csv", *OPTIONS, says=["x.csv: is empty, expected a header"])


def test_the_first_error_is_told_whatever_comes_later(tmp_path, fails):
    """Rows are read ahead of those computed; still it is the earlier error that counts."""
    x = {"y": np.zeros(5000), "p": np.full(5000, 0.5)}
    x["p"][100] = 7.0
    pq.write_table(pa.table(x), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_text("damaged")
    for threads in (1, 2, 4):
        fails(3, tmp_path, *OPTIONS, "--threads", threads, "--batch-rows", 3000, says=["a.parquet: row 100 "])


@pytest.fixture
def endless(tmp_path):
    """Many rows that take no space on the disk."""
    path = tmp_path / "endless.npy"
    with open(path, "wb") as file:
        header = {"descr": [("y", "<f4"), ("p", "<f4")], "fortran_order": False, "shape": (2_000_000_000,)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 16_000_000_000)
    return path


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_interruption_leaves_no_output(tmp_path, endless, number, code):
    out = tmp_path / "out.csv"
    command = [*COMMAND, str(endless), *OPTIONS, "--out", str(out), "--batch-rows", "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not any(path.stat().st_size for path in tmp_path.glob(".out.csv.*.part")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == code
    assert stdout == ""
    assert not out.exists()
    if number != signal.SIGKILL:
        assert stderr == "lossfast: interrupted\n"
        assert os.listdir(tmp_path) == [endless.name]


def test_a_full_disk(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((100_000, 2)))
    for name in ("out.npy", "out.csv", "out.parquet"):
        command = [*COMMAND, str(tmp_path / "x.npy"), "--loss", "mse", "--target", "0", "--pred", "1"]
        command += ["--out", str(tmp_path / name), "--batch-rows", "10000"]
        limited = ["sh", "-c", 'ulimit -f 195; exec "$@"', "sh", *command]  # in units of 512 bytes
        done = subprocess.run(limited, capture_output=True, text=True, check=False)
        assert done.returncode == 4, done
        assert done.stderr.startswith("lossfast: error: ") and "out." in done.stderr
        assert "File too large" in done.stderr and done.stderr.count("\n") == 1
        assert os.listdir(tmp_path) == ["x.npy"]


def test_output_that_nobody_reads(good):
    command = [*COMMAND, str(good), *OPTIONS, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr == "lossfast: error: No space left on device\n"


def test_a_failure_prints_no_json(good, capsys):
    assert main(["score", str(good), *OPTIONS, "--json", "--target", "w", "--pred", "s"]) == 3
    assert capsys.readouterr().out == ""
    assert main(["score", str(good), *OPTIONS, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["summary"]["count"] == 1000


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (ZeroDivisionError("oops"), 1, "internal: ZeroDivisionError at "),
        (MemoryError("malloc of size 9 failed"), 4, "not enough memory (a smaller --batch-rows needs less): malloc"),
        (PermissionError(13, "Permission denied", "x.npy"), 4, "x.npy: Permission denied"),
    ],
)
def test_what_is_not_foreseen(good, fails, monkeypatch, error, code, says):
    def fail(*args):
        raise error

    monkeypatch.setattr("lossfast.score.engine.open_source", fail)
    fails(code, good, *OPTIONS, says=[says])
