# SPDX-License-Identifier: Apache-2.0
"""POST /api/v1/predict/batch: several predictions in one request, each with its own answer or error."""

import pytest
from harness import EXAMPLE, EXAMPLE_NAMES, check_error, check_time, record_rows

WINE, PENGUINS, CANCER = (EXAMPLE[n] for n in ("wine", "penguins", "breast-cancer"))


def batch(server, batches, batch_id="b-1"):
    return server.post("/api/v1/predict/batch", {"batch_id": batch_id, "batches": batches})


def test_results_are_those_of_single_requests_in_order(server):
    entries = [{"model_type": n, "features": EXAMPLE[n].records} for n in EXAMPLE_NAMES] * 2
    answer = batch(server, entries)
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert len(results) == len(entries)
    for entry, result in zip(entries, results):
        assert result["predictions"] == server.predictions(entry["model_type"], entry["features"])
        assert result["model"] == entry["model_type"] and result["model_version"] == "v1.0.0"


def test_answer_has_the_documented_fields(server):
    answer = batch(server, [{"model_type": "wine", "features": WINE.records[0]}], "night/7 \u00e9")
    document = answer.json()
    assert set(document) >= {"batch_id", "results", "processed_at"}
    assert document["batch_id"] == "night/7 \u00e9"
    check_time(document["processed_at"])


@pytest.mark.parametrize("form", ["rows", "row", "records", "record", "columns"])
def test_every_form_of_features(server, form):
    rows = record_rows(WINE)
    features = {"rows": rows, "row": rows[0], "records": WINE.records, "record": WINE.records[0],
                "columns": {n: [r[n] for r in WINE.records] for n in WINE.names}}[form]
    assert batch(server, [{"model_type": "wine", "features": features}]).json()["results"][0]["predictions"] == server.predictions("wine", features)


def test_version_and_output_are_taken(server):
    result = batch(server, [{"model_type": "wine", "version": "v1.0.0", "output": "raw", "features": WINE.records}]).json()["results"][0]
    assert result["predictions"] == server.predictions("wine", WINE.records, output="raw")


def test_model_is_as_good_as_model_type(server):
    result = batch(server, [{"model": "wine", "features": WINE.records[0]}]).json()["results"][0]
    assert result["predictions"] == server.predictions("wine", WINE.records[0])


FAULTS = [
    ("unknown model", {"model_type": "whine", "features": [1]}, "model.not_found"),
    ("unknown version", {"model_type": "wine", "version": "v7", "features": [1]}, "model.version_not_found"),
    ("wrong shape", {"model_type": "wine", "features": [1, 2]}, "predict.shape"),
    ("unknown feature", {"model_type": "wine", "features": {"alcohl": 1}}, "predict.unknown_feature"),
    ("wrong type", {"model_type": "wine", "features": ["x"] * 13}, "predict.wrong_type"),
    ("missing output", {"model_type": "penguins", "output": "label", "features": PENGUINS.records[0]}, "model.output"),
    ("unknown field", {"model_type": "wine", "feature": [1]}, "predict.field"),
    ("no features", {"model_type": "wine"}, "predict.field"),
    ("no model", {"features": [1]}, "predict.field"),
]


@pytest.mark.parametrize("entry,code", [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_one_bad_entry_fails_alone(server, entry, code):
    good = {"model_type": "wine", "features": WINE.records[0]}
    answer = batch(server, [good, entry, good])
    assert answer.status_code == 200, answer.text
    first, bad, last = answer.json()["results"]
    assert first["predictions"] == last["predictions"] == server.predictions("wine", WINE.records[0])
    assert bad["code"] == code and isinstance(bad["error"], str) and "predictions" not in bad


def test_error_of_an_entry_names_field_and_row(server):
    entry = {"model_type": "wine", "features": [WINE.records[0], {**WINE.records[1], "hue": "red"}]}
    bad = batch(server, [entry]).json()["results"][0]
    assert bad["code"] == "predict.wrong_type"
    assert bad["details"]["field"] == "hue" and bad["details"]["row"] == 1


def test_no_batches_is_an_empty_answer(server):
    answer = batch(server, [])
    assert answer.status_code == 200 and answer.json()["results"] == []


def test_five_hundred_entries(server):
    entries = [{"model_type": n, "features": EXAMPLE[n].records[i % 10]} for i in range(167) for n in EXAMPLE_NAMES]
    want = {n: server.predictions(n, EXAMPLE[n].records[:10]) for n in EXAMPLE_NAMES}
    results = batch(server, entries).json()["results"]
    assert [r["predictions"] for r in results] == [[want[n][i % 10]] for i in range(167) for n in EXAMPLE_NAMES]


BAD = [
    ("no batches", {"batch_id": "a"}, "batches"),
    ("batches is an object", {"batch_id": "a", "batches": {}}, "batches"),
    ("batches is null", {"batch_id": "a", "batches": None}, "batches"),
    ("unknown field", {"batch_id": "a", "batches": [], "prority": 1}, "prority"),
    ("batch_id is an object", {"batch_id": {}, "batches": []}, "batch_id"),
]


@pytest.mark.parametrize("body,field", [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_request(server, body, field):
    check_error(server.post("/api/v1/predict/batch", body), 400, field=field)


@pytest.mark.parametrize("text", [b"", b"{", b'{"batch_id":"a","batches":[{"model_type":"wine","features":[1}]}', b"[]"])
def test_bad_json_fails_the_whole_request(server, text):
    check_error(server.post("/api/v1/predict/batch", data=text, headers={"Content-Type": "application/json"}), 400)


def test_an_entry_that_is_no_object(server):
    answer = batch(server, [5])
    if answer.status_code == 200:
        assert "code" in answer.json()["results"][0]
    else:
        check_error(answer, 400)


def test_max_rows_counts(make_server):
    own = make_server("--predict.max_rows=20", examples=True)
    answer = batch(own, [{"model_type": "wine", "features": [WINE.records[0]] * 21}])
    code = answer.json()["results"][0]["code"] if answer.status_code == 200 else answer.json()["code"]
    assert code == "predict.too_many_rows"
