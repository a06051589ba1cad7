"""`lossfast score` for losses of vectors and of autoencoders: lists, matrices and patterns as operands."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

import lossfast as lf
from lossfast.score import BadCall, BadData, score_files
from lossfast.score.cli import main

N, D = 1234, 5
VECTORS = ("a", "b", "c")
LOSSES = {
    lf.cosine_similarity: {"y_true": "a", "y_pred": "b"},
    lf.CosineDistance(axis=1): {"y_true": "a", "y_pred": "b"},
    lf.CosineEmbedding(margin=0.25): {"same": "s", "x1": "a", "x2": "b"},
    lf.Contrastive(squared=False): {"same": "s", "x1": "a", "x2": "b"},
    lf.Triplet(swap=True): {"anchor": "a", "positive": "b", "negative": "c"},
    lf.MarginRanking(margin=0.5): {"y_true": "s", "x1": "u", "x2": "v"},
    lf.reconstruction: {"x": "a", "x_hat": "b"},
    lf.Reconstruction(kind="huber"): {"x": "u", "x_hat": "v"},
    lf.gaussian_kl: {"mu": "a", "logvar": "b"},
    lf.VAE(beta=2.0): {"x": "a", "x_hat": "b", "mu": "m", "logvar": "n"},
}
MATRICES = (*VECTORS, "m", "n")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    found = {k: rng.normal(0, 1, (N, 3 if k in "mn" else D)) for k in MATRICES}
    found |= {k: rng.normal(0, 1, N) for k in "uv"}
    return found | {"s": rng.choice([-1, 0, 1], N), "w": rng.random(N), "g": rng.integers(0, 4, N)}


def save(path, data, kind):
    """Write the columns; vectors as lists of fixed size, lists or columns of their own, a matrix or a field."""
    if kind == "npz":
        np.savez(path, **data)
    elif kind == "fields":
        records = np.empty(N, [(k, x.dtype, x.shape[1:]) for k, x in data.items()])
        for k, x in data.items():
            records[k] = x
        np.save(path, records)
    elif kind in ("fixed", "lists"):
        columns = {
            k: x if x.ndim == 1 else pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])
            for k, x in data.items()
        }
        if kind == "lists":
            columns = {k: pa.array(list(x)) if x is not columns[k] else x for k, x in data.items()}
        pq.write_table(pa.table(columns), path, row_group_size=500)
    else:
        columns = {k: x for k, x in data.items() if x.ndim == 1}
        columns |= {f"{k}_{i}": x[:, i] for k, x in data.items() if x.ndim == 2 for i in range(x.shape[1])}
        pacsv.write_csv(pa.table(columns), path)
    return path


SUFFIX = {"npz": "x.npz", "fields": "x.npy", "fixed": "x.parquet", "lists": "y.parquet", "columns": "x.csv"}


def columns(names, kind):
    return {k: f"{name}_*" if kind == "columns" and name in MATRICES else name for k, name in names.items()}


def whole(loss, names, data, weight=None, rows=slice(None)):
    accumulator = loss.accumulator()
    weight = {} if weight is None else {"sample_weight": data[weight][rows]}
    accumulator.update(*(data[name][rows] for name in names.values()), **weight)
    return accumulator.result()


@pytest.mark.parametrize("kind", SUFFIX)
def test_every_loss_from_every_format(tmp_path, data, kind):
    path = save(tmp_path / SUFFIX[kind], data, kind)
    for loss, names in LOSSES.items():
        want = whole(loss, names, data, "w")
        for batch_rows, threads in ((None, 1), (77, 2)):
            found = score_files(
                path, loss, weight="w", operands=columns(names, kind), batch_rows=batch_rows, threads=threads, by="g"
            )
            assert found.summary == want, loss
        assert found.summary.mean == pytest.approx(loss(*(data[k] for k in names.values()), sample_weight=data["w"]))
        for group in found.groups:
            assert group.summary == whole(loss, names, data, "w", data["g"] == group.key)


@pytest.mark.parametrize("scored", LOSSES, ids=repr)
def test_losses_of_rows_and_the_worst(tmp_path, data, scored):
    loss = scored
    names = LOSSES[loss]
    path, out = save(tmp_path / "x.parquet", data, "fixed"), tmp_path / "out.parquet"
    found = score_files(path, loss, operands=names, out=out, worst=3, batch_rows=100, keys=["g"])
    losses = loss(*(data[k] for k in names.values()), reduction="none")
    table = pq.read_table(out)
    assert table.column_names == ["g", "loss"]
    np.testing.assert_array_equal(table["loss"].to_numpy(), losses)
    assert [w.row for w in found.worst] == sorted(range(N), key=lambda i: (-losses[i], i))[:3]
    told = found.to_dict()["worst"][0]
    assert ("target" in told) == ("same" in names or names.get("y_true") == "s")
    assert ("pred" in told) == (loss.name == "margin_ranking")
    assert "worst rows" in str(found)


def test_a_matrix_by_columns(tmp_path, data):
    both = np.concatenate([data["a"], data["b"]], axis=1)
    np.save(tmp_path / "x.npy", both.astype(np.float32))
    found = score_files(tmp_path / "x.npy", "cosine_similarity", "[0-4]", "[5-9]")
    single = {k: data[k].astype(np.float32) for k in "ab"}
    assert found.summary == whole(lf.cosine_similarity, {"y_true": "a", "y_pred": "b"}, single)
    assert found.to_dict()["dimensions"] == {"target": D, "pred": D}


def test_several_files_in_any_order(tmp_path, data):
    paths = []
    for i, rows in enumerate((slice(0, 500), slice(500, 500), slice(500, N))):
        part = {k: x[rows] for k, x in data.items()}
        kind = ("npz", "fixed", "lists")[i]
        paths.append(save(tmp_path / f"{i}{SUFFIX[kind][1:]}", part, kind))
    names = LOSSES[lf.Triplet(swap=True)]
    for order in (paths, paths[::-1]):
        found = score_files(order, lf.Triplet(swap=True), operands=names)
        assert found.summary == whole(lf.Triplet(swap=True), names, data)


def test_the_command(tmp_path, data, capsys):
    path = str(save(tmp_path / "x.parquet", data, "fixed"))
    pair = ["score", path, "--loss", "cosine_similarity", "--target", "a", "--pred", "b"]
    assert main([*pair, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["columns"]["target"] == "a" and found["dimensions"] == {"target": D, "pred": D}
    assert found["summary"]["mean"] == whole(lf.cosine_similarity, {"y_true": "a", "y_pred": "b"}, data).mean
    operands = ["--anchor", "a", "--positive", "b", "--negative", "c"]
    assert main(["score", path, "--loss", "triplet", "--param", "margin=0.5", *operands, "--by", "g", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["columns"] == {
        "anchor": "a",
        "positive": "b",
        "negative": "c",
        "weight": None,
        "by": "g",
        "params": {},
    }
    assert len(found["groups"]) == 4
    same = ["--same", "s", "--x1", "a", "--x2", "b", "--worst", "2", "--weight", "w"]
    assert main(["score", path, "--loss", "contrastive", *same]) == 0
    text = capsys.readouterr().out
    assert "dimensions    5\n" in text and "total weight" in text
    assert text.splitlines()[-3].split() == ["row", "s", "loss", "w"]
    ranking = ["--target", "s", "--x1", "u", "--x2", "v", "--worst", "1"]
    assert main(["score", path, "--loss", "margin_ranking", *ranking]) == 0
    assert capsys.readouterr().out.splitlines()[-2].split() == ["row", "s", "u", "v", "loss"]
    vae = ["--x", "a", "--x-hat", "b", "--mu", "m", "--logvar", "n", "--param", "beta=2", "--param", "kind=mae"]
    assert main(["score", path, "--loss", "vae", *vae, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["dimensions"] == {"x": D, "x-hat": D, "mu": 3, "logvar": 3}
    assert found["columns"]["x-hat"] == "b"


TRIPLET = ["--loss", "triplet", "--anchor", "a", "--positive", "b"]
PAIR = ["--loss", "cosine_similarity", "--target", "a"]


@pytest.mark.parametrize(
    "args, code, says",
    [
        (TRIPLET, 2, "the following arguments are required: --negative (of triplet)"),
        ([*TRIPLET, "--negative", "c", "--pred", "a"], 2, "triplet takes --anchor, --positive, --negative, not --pred"),
        (["--loss", "mse", "--target", "u", "--pred", "v", "--x1", "a"], 2, "takes --target, --pred, not --x1"),
        ([*TRIPLET, "--negative", "m"], 2, "--anchor 'a' has 5 numbers in each row and --negative 'm' has 3 numbers"),
        ([*PAIR, "--pred", "u"], 2, "cosine_similarity takes vectors, and --pred 'u' has one number per row"),
        ([*PAIR, "--pred", "z"], 2, "has no column 'z'"),
        ([*PAIR, "--pred", "z_*"], 2, "has no column that matches --pred 'z_*'"),
        ([*PAIR, "--pred", "[ab]"], 2, "--pred '[ab]' matches 'a' too, which is --target"),
        ([*PAIR, "--pred", "[b]"], 2, "--pred '[b]' matches 'b' alone, expected a column for each dimension"),
        ([*PAIR, "--pred", "b", "--param", "axis=0"], 2, "axis is 0, expected -1: in files each row has its vectors"),
        ([*PAIR, "--pred", "t"], 2, "takes vectors, and --pred 't' has one number per row; expected several columns"),
        (["--loss", "contrastive", "--same", "a", "--x1", "a", "--x2", "b"], 3, "column 'a': holds fixed_size_list"),
        (["--loss", "contrastive", "--same", "[sw]", "--x1", "a", "--x2", "b"], 2, "takes one number per row, not the"),
        (
            ["--loss", "contrastive", "--same", "g", "--x1", "a", "--x2", "b"],
            3,
            "column 'g': is 2, expected -1, 0 or 1",
        ),
        ([*PAIR, "--pred", "b", "--weight", "u"], 3, "column 'u': is -"),
        (["--loss", "reconstruction", "--x", "a", "--x-hat", "b", "--param", "per=element"], 2, "per is 'element', ex"),
        (["--loss", "reconstruction", "--x", "a", "--x-hat", "m"], 2, "expected as many"),
        (
            ["--loss", "reconstruction", "--x", "a", "--x-hat", "b", "--param", "kind=bce"],
            3,
            "(are --x and --x-hat swapped?)",
        ),
        (["--loss", "ntxent", "--target", "g", "--pred", "a"], 2, "ntxent takes labels and embeddings, which files"),
    ],
)
def test_what_is_wrong(tmp_path, data, capsys, args, code, says):
    text = {"t": np.array(["x"] * N)}
    path = tmp_path / "x.parquet"
    columns = {
        k: x if x.ndim == 1 else pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])
        for k, x in (data | text).items()
    }
    pq.write_table(pa.table(columns), path)
    assert main(["score", str(path), *args, "--out", str(tmp_path / "o.npy"), "--quiet"]) == code
    shown = capsys.readouterr().err
    assert shown.startswith("lossfast: error: ") and says in shown and shown.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["x.parquet"]


def test_bad_rows_are_named(tmp_path, data):
    names = {"anchor": "a", "positive": "b", "negative": "c"}
    lists = {k: [row.tolist() for row in data[k]] for k in VECTORS}
    for change, says in (
        (lambda x: x["b"][700].append(1.0), r"row 700 .*column 'b': is a list of 6, expected 5: a number for each dim"),
        (lambda x: x["c"][800].__setitem__(2, None), r"row 800 .*column 'c': dimension 2 is null"),
        (lambda x: x["a"].__setitem__(900, None), r"row 900 .*column 'a': is null, expected a list of numbers"),
    ):
        changed = {k: [list(row) for row in x] for k, x in lists.items()}
        change(changed)
        pq.write_table(pa.table(changed), tmp_path / "x.parquet", row_group_size=300)
        with pytest.raises(BadData, match=says):
            score_files(tmp_path / "x.parquet", "triplet", operands=names)
    save(tmp_path / "y.parquet", data, "fixed")
    shorter = {k: x[:, :4] if k in VECTORS else x for k, x in data.items()}
    save(tmp_path / "z.parquet", shorter, "fixed")
    with pytest.raises(BadData, match=r"has vectors of 4 numbers, expected 5 numbers as in .*y.parquet"):
        score_files([tmp_path / "y.parquet", tmp_path / "z.parquet"], "triplet", operands=names)
    with pytest.raises(BadCall, match="required: --anchor"):
        score_files(tmp_path / "y.parquet", "triplet", operands={"positive": "b", "negative": "c"})


def test_a_nan_is_in_its_row(tmp_path, data):
    changed = data | {"a": data["a"].copy()}
    changed["a"][[3, 600], 2] = np.nan
    path = save(tmp_path / "x.npz", changed, "npz")
    found = score_files(path, "contrastive", operands={"same": "s", "x1": "a", "x2": "b"}, worst=3)
    assert found.summary.nonfinite == 2 and [w.row for w in found.worst[:2]] == [3, 600]
