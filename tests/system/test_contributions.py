# SPDX-License-Identifier: Apache-2.0
"""The outputs "contributions" and "tree": over HTTP, by OIP and on the command line, against the libraries' own values."""

import csv
import io
import json
import subprocess
from pathlib import Path

import goldenfile
import numpy as np
import pytest
from harness import EXAMPLE, EXAMPLE_MODELS, EXAMPLE_NAMES, check_error, clean_environment, lightgbm_model
from oip_client import Client, Tensor

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
# One raw score, several, one-hot categories as text, float32 arithmetic, a linear model.
PUSHED = ["lightgbm4-regression-missing", "lightgbm4-multiclass", "catboost1-one-hot", "catboost1-multiclass", "xgboost3-softprob",
          "xgboost3-gblinear-multiclass"]
ABSENT = {"lightgbm4-linear": "linear models", "xgboost2-vector-leaf": "training rows"}


@pytest.fixture(scope="module")
def golden_server(binary, tmp_path_factory):
    from harness import Server

    own = Server(binary, tmp_path_factory.mktemp("golden"))
    try:
        own.start()
        for name in [*PUSHED, *ABSENT, "xgboost3-vector-leaf"]:
            header, _ = goldenfile.read(GOLDEN / name / "golden.txt")
            answer = own.put(f"/api/v1/models/{name}/versions/v1", (GOLDEN / name / header["model"]).read_bytes())
            assert answer.status_code in (200, 201), answer.text
            own.wait_model(name)
        yield own
        own.stop()
    finally:
        own.kill()


def recorded(name):
    """Rows as JSON carries them, and the library's contributions of each."""
    header, rows = goldenfile.read(GOLDEN / name / "golden.txt")
    lines = (GOLDEN / name / "contributions.txt").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("rows "))
    tolerance = float(next(line for line in lines if line.startswith("tolerance ")).split(" ")[1])
    blocks = [line.split(" | ") for line in lines[start + 1:]]
    features = [[None if x != x else x for x in rows[int(b[0])][0]] for b in blocks]
    values = np.array([[float.fromhex(w) for w in b[1].split(" ")] for b in blocks])
    return features, values.reshape(len(blocks), int(header["raw"]), -1), tolerance


def as_array(predictions):
    """rows × outputs × (features + base value)"""
    return np.array([[[*o["values"], o["base_value"]] for o in (p if isinstance(p, list) else [p])] for p in predictions])


def ask(server, name, rows, **fields):
    answer = server.predict(name, rows, output="contributions", **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("name", PUSHED)
def test_contributions_are_the_library_s(golden_server, name):
    rows, want, tolerance = recorded(name)
    got = as_array(ask(golden_server, name, rows)["predictions"])
    assert got.shape == want.shape
    largest = np.abs(want).reshape(len(rows), -1).max(axis=1)
    assert np.all(np.abs(got - want) <= tolerance * largest[:, None, None])


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_contributions_add_up_to_the_raw_score(server, name):
    example = EXAMPLE[name]
    document = ask(server, name, example.records)
    assert document["features"] == example.names
    got = as_array(document["predictions"])
    raw = np.array(server.predictions(name, example.records, output="raw"), dtype=float).reshape(len(got), -1)
    single = name == "breast-cancer"  # XGBoost sums in float
    assert np.allclose(got.sum(axis=2), raw, rtol=1e-5 if single else 1e-12, atol=1e-5 if single else 1e-10)
    assert len(np.unique(got[:, :, -1], axis=0)) == 1, "the base value is the same for every row"


def test_one_raw_score_is_an_object_and_several_are_named(server):
    example = EXAMPLE["wine"]
    penguin = ask(server, "penguins", EXAMPLE["penguins"].records[:1])["predictions"][0]
    assert set(penguin) == {"base_value", "values"}
    wine = ask(server, "wine", example.records[:1])["predictions"][0]
    assert [w["label"] for w in wine] == example.metadata["labels"]
    assert all(set(w) == {"label", "base_value", "values"} for w in wine)


def test_features_are_named_for_contributions_alone(server):
    assert "features" not in server.predict("wine", EXAMPLE["wine"].records[:1]).json()


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_a_row_alone_and_among_others_has_the_same_bits(server, name):
    rows = EXAMPLE[name].records
    many = ask(server, name, rows * 9)["predictions"]
    assert many == [ask(server, name, [row])["predictions"][0] for row in rows] * 9


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_trees_add_up_to_the_raw_score(server, name):
    rows = EXAMPLE[name].records
    trees = server.predictions(name, rows, output="tree")
    raw = np.array(server.predictions(name, rows, output="raw"), dtype=float).reshape(len(rows), -1)
    got = np.array(trees)
    got = got.reshape(len(rows), got.shape[1], -1).sum(axis=1) if got.ndim == 3 else got.sum(axis=1, keepdims=True)
    shift = raw - got if raw.shape == got.shape else raw.sum(axis=1) - got[:, 0]
    assert np.allclose(shift, shift[0], atol=1e-5), "what is left is the base score, the same for all rows"


def test_trees_with_vector_leaves_have_a_list_each(golden_server):
    trees = golden_server.predictions("xgboost3-vector-leaf", [[0.0] * 6], output="tree")[0]
    raw = golden_server.predictions("xgboost3-vector-leaf", [[0.0] * 6], output="raw")[0]
    assert all(len(tree) == len(raw) for tree in trees)
    contributions = ask(golden_server, "xgboost3-vector-leaf", [[0.0] * 6])["predictions"][0]
    assert [c["output"] for c in contributions] == list(range(len(raw)))


def test_metadata_tells_the_outputs(server):
    outputs = {o["name"]: o for o in server.get("/api/v1/models/wine/versions/v1.0.0").json()["metadata"]["outputs"]}
    assert outputs["contributions"] == {"name": "contributions", "type": "float64", "shape": [-1, 3, 14]}
    assert outputs["tree"]["shape"][0] == -1


def test_batches(server):
    rows = EXAMPLE["penguins"].records[:3]
    batch = {"batches": [{"model": "penguins", "features": rows, "output": "contributions"}, {"model": "penguins", "features": rows}]}
    results = server.post("/api/v1/predict/batch", batch).json()["results"]
    alone = ask(server, "penguins", rows)
    assert results[0]["predictions"] == alone["predictions"] and results[0]["features"] == alone["features"]
    assert "features" not in results[1]


# --- Wrong uses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ABSENT)
def test_a_model_without_contributions_says_why(golden_server, name):
    rows = [[0.0] * 6]
    check_error(golden_server.predict(name, rows, output="contributions"), 400, "model.output", field="output", words=(name, ABSENT[name]))
    assert golden_server.predict(name, rows).status_code == 200
    listed = golden_server.get(f"/api/v1/models/{name}/versions/v1").json()["metadata"]["outputs"]
    assert "contributions" not in [o["name"] for o in listed]


def test_a_linear_model_has_no_trees(golden_server):
    answer = golden_server.predict("xgboost3-gblinear-multiclass", [[0.0] * 6], output="tree")
    check_error(answer, 400, "model.output", field="output", words=("tree", "it has:", "contributions"))


@pytest.mark.parametrize("output", ["contribution", "shap", "Contributions", "trees", " tree"])
def test_a_slip_of_the_name_gets_the_list(server, output):
    check_error(server.predict("wine", EXAMPLE["wine"].records[:1], output=output), 400, "model.output", field="output",
                words=("contributions", "tree"))


def test_bad_rows_are_refused_as_for_predictions(server):
    answer = server.predict("wine", [[0.0] * 12], output="contributions")
    check_error(answer, 400, row=0)


def test_an_answer_that_does_not_fit_is_refused_and_the_server_lives(make_server):
    own = make_server()
    names = [f"f{i}" for i in range(4000)]
    put = own.put("/api/v1/models/wide/versions/v1", lightgbm_model(1.0, 2.0, names=names))
    assert put.status_code in (200, 201), put.text
    own.wait_model("wide")
    answer = own.predict("wide", {"f0": [0.0] * 1020}, output="contributions")
    check_error(answer, 413, "server.limit_exceeded", words=("1020 rows", "4001 values"))
    assert own.predict("wide", {"f0": [0.0]}, output="contributions").json()["predictions"][0]["base_value"] == 1.5


# --- Open Inference Protocol ------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_binary", [False, True])
@pytest.mark.parametrize("name", ["wine", "breast-cancer"])
def test_oip(server, name, as_binary):
    example = EXAMPLE[name]
    rows = np.array([[r[n] for n in example.names] for r in example.records], dtype=float)
    wanted = [{"name": n, "parameters": {"binary_data": as_binary}} for n in ("contributions", "raw")]
    document, outputs = Client(server.url).infer(name, [Tensor("x", rows, "FP64", binary=as_binary)], outputs=wanted)
    want = as_array(ask(server, name, example.records)["predictions"])
    shape = [len(rows), *want.shape[1:]] if want.shape[1] > 1 else [len(rows), want.shape[2]]
    described = document["outputs"][0]
    assert described["shape"] == shape and described["datatype"] == "FP64"
    assert np.array_equal(np.asarray(outputs["contributions"], dtype=float).reshape(want.shape), want)


# --- Command line -----------------------------------------------------------------------------------------------


def cli(binary, *args, stdin=""):
    command = [str(binary), "predict", *map(str, args)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, env=clean_environment(), timeout=60)


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_cli_csv(binary, server, name):
    example = EXAMPLE[name]
    text = io.StringIO()
    writer = csv.DictWriter(text, example.names)
    writer.writeheader()
    writer.writerows(example.records)
    done = cli(binary, "--models", EXAMPLE_MODELS, "--model", name, "--output", "contributions", "--format", "csv", stdin=text.getvalue())
    assert done.returncode == 0, done.stderr
    header, *rows = csv.reader(io.StringIO(done.stdout))
    labels = [f"{label}:" for label in example.metadata["labels"]] if name == "wine" else [""]
    assert header == [label + column for label in labels for column in (*example.names, "base_value")]
    want = as_array(ask(server, name, example.records)["predictions"])
    assert np.array_equal(np.array(rows, dtype=float), want.reshape(len(rows), -1))


def test_cli_json_lines(binary, server):
    rows = EXAMPLE["penguins"].records
    text = "".join(json.dumps(r) + "\n" for r in rows)
    done = cli(binary, "--models", EXAMPLE_MODELS, "--model", "penguins", "--output", "contributions", "--format", "jsonl", stdin=text)
    assert [json.loads(line)["prediction"] for line in done.stdout.splitlines()] == ask(server, "penguins", rows)["predictions"]


def test_cli_trees_and_wrong_names(binary, tmp_path):
    model = tmp_path / "model.txt"
    model.write_bytes(lightgbm_model(1.0, 2.0, trees=3))
    done = cli(binary, "--model", model, "--output", "tree", "--format", "csv", stdin="x\n0\n1\n")
    assert done.stdout == "tree_0,tree_1,tree_2\n1.0,1.0,1.0\n2.0,2.0,2.0\n"
    done = cli(binary, "--model", model, "--output", "shap", "--format", "csv", stdin="x\n0\n")
    assert done.returncode == 2 and "contributions or tree" in done.stderr
    model.write_bytes(lightgbm_model(1.0, 2.0).replace(b"internal_count=20\n", b""))
    done = cli(binary, "--model", model, "--output", "contributions", "--format", "csv", stdin="x\n0\n")
    assert done.returncode == 1 and "training rows" in done.stderr and done.stdout == ""
