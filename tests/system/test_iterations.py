# SPDX-License-Identifier: Apache-2.0
"""Predictions of a part of the iterations, and sums that end early: over HTTP and on the command line, against the libraries' own."""

import csv
import io
import json
import math
import subprocess
from pathlib import Path

import goldenfile
import numpy as np
import pytest
from harness import EXAMPLE, EXAMPLE_MODELS, check_error, clean_environment, ulps

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
# Recorded by the libraries: an average, classes, dart, parallel trees, the best iteration, vector leaves, scale and bias.
RECORDED = ["lightgbm4-binary", "lightgbm4-multiclass", "lightgbm4-dart-multiclass", "lightgbm4-rf", "lightgbm4-rf-binary",
            "xgboost3-boosted-forest", "xgboost3-dart", "xgboost3-early-stopping", "xgboost3-vector-leaf", "catboost1-lossguide",
            "catboost1-scale-bias"]
OTHERS = ["lightgbm4-regression", "lightgbm4-linear", "xgboost3-gblinear", "catboost1-multilogloss", "xgboost3-logistic"]
BINARY, CLASSES, BEST = "lightgbm4-binary", "lightgbm4-multiclass", "xgboost3-early-stopping"


@pytest.fixture(scope="module")
def golden_server(binary, tmp_path_factory):
    from harness import Server

    own = Server(binary, tmp_path_factory.mktemp("golden"))
    try:
        own.start()
        for name in [*RECORDED, *OTHERS]:
            answer = own.put(f"/api/v1/models/{name}/versions/v1", model_file(name).read_bytes())
            assert answer.status_code in (200, 201), answer.text
            own.wait_model(name)
        yield own
        own.stop()
    finally:
        own.kill()


def model_file(name):
    header, _ = goldenfile.read(GOLDEN / name / "golden.txt")
    return GOLDEN / name / header["model"]


def recorded(name):
    """Rows that JSON can carry, and for each query (output, iterations, margin, every) the library's answers to them."""
    _, rows = goldenfile.read(GOLDEN / name / "golden.txt")
    lines = (GOLDEN / name / "iterations.txt").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("rows "))
    places = [int(word) for word in lines[start].split(" ")[1:]]
    fit = [i for i, place in enumerate(places) if not any(math.isinf(x) for x in rows[place][0])]
    queries = {}
    for at in range(start + 1, len(lines), len(places) + 1):
        _, output, iterations, margin, every = lines[at].split(" ")
        asked = (output, iterations if iterations == "best" else int(iterations), float.fromhex(margin), int(every))
        answers = lines[at + 1:at + 1 + len(places)]
        queries[asked] = np.array([[float.fromhex(word) for word in answers[i].split(" ")] for i in fit])
    assert len(queries) >= 4 and len(fit) >= 8
    return [[None if x != x else x for x in rows[places[i]][0]] for i in fit], queries


def fields_of(iterations, margin, every):
    fields = {"iterations": iterations} if iterations else {}
    return {**fields, "early_stop": {"margin": margin, "every": every}} if margin else fields


def as_table(predictions):
    return np.array(predictions, dtype=float).reshape(len(predictions), -1)


# --- The libraries' answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECORDED)
def test_answers_are_the_library_s(golden_server, name):
    rows, queries = recorded(name)
    kind = np.float32 if name.startswith("xgboost") else np.float64
    for (output, *query), want in queries.items():
        got = as_table(golden_server.predictions(name, rows, output="raw" if output == "raw" else "default", **fields_of(*query)))
        assert got.shape == want.shape
        limit = 0 if output == "raw" else 2
        assert all(ulps(a, b, kind) <= limit for a, b in zip(got.ravel(), want.ravel()) if a != b), (output, query)


def test_iterations_change_the_answer(golden_server):
    rows, queries = recorded(BEST)
    answers = {json.dumps(golden_server.predictions(BEST, rows, iterations=k)) for k in (1, 2, 7, 13, 14)}
    assert len(answers) == 5
    every = golden_server.predictions(BEST, rows)
    assert golden_server.predictions(BEST, rows, iterations=14) == every
    best = golden_server.predictions(BEST, rows, iterations="best")
    assert best == golden_server.predictions(BEST, rows, iterations=11) and best != every


@pytest.mark.parametrize("name", [BINARY, CLASSES, "lightgbm4-rf-binary"])
def test_labels_and_probabilities_follow_the_raw_score(golden_server, name):
    rows, _ = recorded(name)
    probability = as_table(golden_server.predictions(name, rows, output="probability", iterations=2))
    label = golden_server.predictions(name, rows, output="label", iterations=2)
    assert label == [int(i) for i in probability.argmax(axis=1)]
    default = as_table(golden_server.predictions(name, rows, iterations=2))
    assert np.array_equal(default, probability if name == CLASSES else probability[:, 1:])


@pytest.mark.parametrize("name", [BINARY, CLASSES, "xgboost3-logistic"])
def test_margins_that_all_and_none_reach(golden_server, name):
    rows, _ = recorded(BINARY)
    ask = lambda **fields: golden_server.predictions(name, rows, output="raw", **fields)
    assert ask(early_stop={"margin": 1e300, "every": 1}) == ask()
    assert ask(early_stop={"margin": 1e-300, "every": 3}) == ask(iterations=3)
    assert ask(early_stop={"margin": 1e-300, "every": 18446744073709551615}) == ask()
    assert ask(early_stop={"margin": 1e-300, "every": 2}, iterations=1) == ask(iterations=1)


def test_early_stop_looks_every_ten_iterations_unless_told(server):
    rows = EXAMPLE["breast-cancer"].records
    ask = lambda **fields: server.predictions("breast-cancer", rows, output="raw", **fields)
    assert ask(early_stop={"margin": 1e-6}) == ask(early_stop={"margin": 1e-6, "every": 10}) == ask(iterations=10) != ask()


def test_a_row_alone_and_among_others_has_the_same_bits(golden_server):
    rows, _ = recorded(CLASSES)
    for fields in ({"iterations": 3}, {"early_stop": {"margin": 1, "every": 2}}, {"iterations": 5, "early_stop": {"margin": 1, "every": 2}}):
        many = golden_server.predictions(CLASSES, rows * 9, **fields)
        assert many == [golden_server.predictions(CLASSES, [row], **fields)[0] for row in rows] * 9


def test_null_is_as_left_out(golden_server):
    rows, _ = recorded(BINARY)
    assert golden_server.predictions(BINARY, rows, iterations=None, early_stop=None) == golden_server.predictions(BINARY, rows)


def test_batches_have_their_own(golden_server):
    rows, _ = recorded(BEST)
    ask = lambda **fields: {"model": BEST, "features": rows, **fields}
    batches = [ask(iterations=3), ask(), ask(iterations=99), ask(iterations="best"), ask(early_stop={"margin": 1})]
    results = golden_server.post("/api/v1/predict/batch", {"batches": batches}).json()["results"]
    for at, fields in ((0, {"iterations": 3}), (1, {}), (3, {"iterations": "best"})):
        assert results[at]["predictions"] == golden_server.predictions(BEST, rows, **fields)
    assert results[2]["code"] == results[4]["code"] == "model.output"
    assert results[2]["details"]["field"] == "iterations" and "14 iterations, not 99" in results[2]["error"]
    assert results[4]["details"]["field"] == "early_stop"


@pytest.mark.parametrize("name, iterations, best", [(BEST, 14, 11), (CLASSES, 8, None), ("xgboost3-boosted-forest", 3, None),
                                                    ("xgboost3-gblinear", None, None)])
def test_a_version_tells_its_iterations(golden_server, binary, tmp_path, name, iterations, best):
    version = golden_server.get(f"/api/v1/models/{name}/versions/v1").json()
    assert version.get("iterations") == iterations and version.get("best_iterations") == best
    shown = run(binary, "model", "show", name, "--json", "--models", golden_server.models)
    assert shown.returncode == 0, shown.stderr
    document = json.loads(shown.stdout)
    assert document.get("iterations") == iterations and document.get("best_iterations") == best
    text = run(binary, "model", "show", name, "--models", golden_server.models).stdout
    line = next((line for line in text.splitlines() if line.startswith("iterations:")), None)
    assert line == (f"iterations: {iterations}" + (f", best of early stopping {best}" if best else "") if iterations else None)


def test_openapi_describes_both(server):
    paths = server.get("/openapi.json").json()["paths"]
    predict = paths["/api/v1/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
    batch = paths["/api/v1/predict/batch"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
    for properties in (predict, batch["batches"]["items"]["properties"]):
        assert {"type": "integer", "minimum": 1} in properties["iterations"]["oneOf"]
        assert set(properties["early_stop"]["properties"]) == {"margin", "every"}
        assert properties["early_stop"]["required"] == ["margin"]


# --- Wrong uses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -1, 1.5, 1.0, "worst", "3", "", True, [3], {}, 10**30])
def test_iterations_of_another_kind(golden_server, value):
    rows, _ = recorded(BINARY)
    check_error(golden_server.predict(BINARY, rows, iterations=value), 400, "predict.field", field="iterations",
                words=("whole number, at least 1", '"best"'))


@pytest.mark.parametrize("value", [11, 2**64 - 1])
def test_more_iterations_than_there_are(golden_server, value):
    rows, _ = recorded(BINARY)
    check_error(golden_server.predict(BINARY, rows, iterations=value), 400, "model.output", field="iterations",
                words=("10 iterations", str(value)))


@pytest.mark.parametrize("value, words", [
    (10, ("object", "margin")), ("10", ("object", "margin")), (True, ("object",)), ([10], ("object",)), ({}, ("needs a margin",)),
    ({"every": 5}, ("needs a margin",)), ({"margin": 0}, ("margin", "above 0")), ({"margin": -1}, ("above 0", "-1")),
    ({"margin": "10"}, ("above 0",)), ({"margin": None}, ("above 0", "null")), ({"margin": 1, "every": 0}, ("every", "at least 1")),
    ({"margin": 1, "every": 1.5}, ("every", "1.5")), ({"margin": 1, "every": -5}, ("every", "-5")),
    ({"margin": 1, "every": "x"}, ("every",)), ({"margin": 1, "freq": 3}, ("margin and every", "freq")),
])
def test_early_stop_of_another_kind(golden_server, value, words):
    rows, _ = recorded(BINARY)
    check_error(golden_server.predict(BINARY, rows, early_stop=value), 400, "predict.field", field="early_stop", words=words)


@pytest.mark.parametrize("name, fields, field, words", [
    ("lightgbm4-regression", {"early_stop": {"margin": 1}}, "early_stop", "decides between no classes"),
    ("lightgbm4-linear", {"early_stop": {"margin": 1}}, "early_stop", "decides between no classes"),
    ("catboost1-multilogloss", {"early_stop": {"margin": 1}}, "early_stop", "decides between no classes"),
    ("lightgbm4-rf-binary", {"early_stop": {"margin": 1}}, "early_stop", "averages its trees"),
    ("xgboost3-gblinear", {"iterations": 1}, "iterations", "no iterations of boosting"),
    ("xgboost3-gblinear", {"iterations": "best"}, "iterations", "no iterations of boosting"),
    ("xgboost3-gblinear", {"early_stop": {"margin": 1}}, "early_stop", "no iterations of boosting"),
    ("lightgbm4-regression", {"iterations": "best"}, "iterations", "no best iteration; give a number from 1 to 10"),
    (BINARY, {"iterations": 2, "output": "contributions"}, "iterations", "'contributions' is of all iterations"),
    (BINARY, {"iterations": 2, "output": "leaf"}, "iterations", "'leaf' is of all iterations"),
    (BINARY, {"early_stop": {"margin": 1}, "output": "tree"}, "early_stop", "'tree' is of all iterations"),
])
def test_what_a_model_cannot_answer(golden_server, name, fields, field, words):
    answer = golden_server.predict(name, [[0.0] * 6], **fields)
    check_error(answer, 400, "model.output", field=field, words=words)
    columns = len(golden_server.get(f"/api/v1/models/{name}/versions/v1").json()["metadata"]["inputs"])
    assert golden_server.predict(name, [[0.0] * columns]).status_code == 200


@pytest.mark.parametrize("slip", ["iteration", "early_stopping"])
def test_a_slip_of_the_name(golden_server, slip):
    check_error(golden_server.predict(BINARY, [[0.0] * 6], **{slip: 2}), 400, "predict.field", field=slip,
                words="iterations" if slip == "iteration" else "early_stop")


# --- Command line -----------------------------------------------------------------------------------------------------


def run(binary, *args, stdin=""):
    return subprocess.run([str(binary), *map(str, args)], input=stdin, capture_output=True, text=True, env=clean_environment(), timeout=60)


def predict(binary, name, rows, *options):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    return run(binary, "predict", "--model", model_file(name), "--format", "jsonl", *options, stdin=text)


@pytest.mark.parametrize("name", [BINARY, "lightgbm4-rf", BEST, "catboost1-scale-bias"])
def test_cli_answers_are_the_library_s(binary, name):
    rows, queries = recorded(name)
    kind = np.float32 if name.startswith("xgboost") else np.float64
    for (output, iterations, margin, every), want in queries.items():
        if output != "raw":
            continue
        options = ["--iterations", iterations] if iterations else []
        options += ["--early-stop", f"{margin!r}:{every}"] if margin else []
        done = predict(binary, name, rows, "--output", "raw", *options)
        assert done.returncode == 0, done.stderr
        got = as_table([json.loads(line)["prediction"] for line in done.stdout.splitlines()])
        assert np.array_equal(got.astype(kind), want.astype(kind)), options


def test_cli_scores_csv_from_the_store(binary, server):
    example = EXAMPLE["wine"]
    text = io.StringIO()
    writer = csv.DictWriter(text, example.names)
    writer.writeheader()
    writer.writerows(example.records)
    done = run(binary, "predict", "--models", EXAMPLE_MODELS, "--model", "wine", "--iterations", "2", "--output", "raw", "--format", "csv",
               stdin=text.getvalue())
    assert done.returncode == 0, done.stderr
    got = [[float(value) for value in row] for row in list(csv.reader(io.StringIO(done.stdout)))[1:]]
    assert got == server.predictions("wine", example.records, output="raw", iterations=2)


def test_cli_looks_every_ten_iterations_unless_told(binary, server):
    example = EXAMPLE["breast-cancer"]
    text = "".join(json.dumps(record) + "\n" for record in example.records)
    ask = lambda *options: run(binary, "predict", "--models", EXAMPLE_MODELS, "--model", "breast-cancer", "--format", "jsonl", *options, stdin=text)
    want = ask("--iterations", "10").stdout
    assert want and ask("--early-stop", "1e-6").stdout == want == ask("--early-stop", "1e-6:10").stdout != ask().stdout


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "worst", "BEST", " 3", "3x", "1e1", "99999999999999999999999"])
def test_cli_iterations_of_another_kind(binary, value):
    done = predict(binary, BINARY, [], "--iterations", value)
    assert done.returncode == 2 and "a whole number, at least 1, or best" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "x", ":5", "5:", "5:0", "5:-1", "5:1.5", "5:x", "5:5:5"])
def test_cli_early_stop_of_another_kind(binary, value):
    done = predict(binary, BINARY, [], "--early-stop", value)
    assert done.returncode == 2 and "--early-stop takes a margin above 0" in done.stderr and value in done.stderr and done.stdout == ""


@pytest.mark.parametrize("name, options, words", [
    (BINARY, ["--iterations", "11"], "10 iterations, not 11"),
    (BINARY, ["--iterations", "best"], "no best iteration"),
    (BINARY, ["--iterations", "2", "--output", "contributions"], "of all iterations"),
    ("lightgbm4-regression", ["--early-stop", "1"], "decides between no classes"),
    ("lightgbm4-rf-binary", ["--early-stop", "1"], "averages its trees"),
    ("xgboost3-gblinear", ["--iterations", "1"], "no iterations of boosting"),
])
def test_cli_what_a_model_cannot_answer(binary, name, options, words):
    for rows in ([[0.0] * 6], []):
        done = predict(binary, name, rows, *options)
        assert done.returncode == 1 and words in done.stderr and done.stdout == "", rows
