# SPDX-License-Identifier: Apache-2.0
"""POST /api/v1/predict: every form of features, every output, the examples' golden answers, and every error."""

import concurrent.futures
import json
import math
import re

import numpy as np
import pytest
from harness import (EXAMPLE, EXAMPLE_NAMES, check_error, check_time, constant_model, golden_rows, put_version, raw_request,
                     record_rows, ulps)

CANCER, PENGUINS, WINE = (EXAMPLE[n] for n in ("breast-cancer", "penguins", "wine"))


def same_prediction(name, got, want):
    """The library's prediction: exact for an identity, within 2 ulp for XGBoost's sigmoid in float, 8 for
    CatBoost's softmax, whose own fast exponential depends on the processor (tests/golden/README.md)."""
    if name == "penguins":
        return got == want
    if name == "breast-cancer":
        return ulps(got, want, np.float32) <= 2
    return len(got) == len(want) and all(ulps(g, w) <= 8 for g, w in zip(got, want))


def sendable(example):
    """Rows of golden.txt that JSON can carry: finite, and categories by text where the model lists texts."""
    def fits(row):
        return all(v is None or isinstance(v, str) or (math.isfinite(v) and spec["type"] != "category")
                   for v, spec in zip(row, example.metadata["inputs"]))

    rows = golden_rows(example)
    return [(i, row) for i, row in enumerate(rows) if fits(row)]


def forms(example, count):
    """The same rows in every form that the specification lists."""
    records = example.records[:count]
    rows = record_rows(example, records)
    return {
        "rows": rows,
        "records": records,
        "records without their nulls": [{k: v for k, v in r.items() if v is not None} for r in records],
        "records in another order": [dict(reversed(list(r.items()))) for r in records],
        "columns": {n: [r[n] for r in records] for n in example.names},
        "columns in another order": {n: [r[n] for r in records] for n in reversed(example.names)},
    }


FORMS = list(forms(CANCER, 1))

# --- Answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_golden_predictions_in_every_form(server, name, form):
    example = EXAMPLE[name]
    got = server.predictions(name, forms(example, len(example.records))[form])
    assert len(got) == len(example.predictions)
    for row, (g, w) in enumerate(zip(got, example.predictions)):
        assert same_prediction(name, g, w), f"row {row}: {g} is not {w}"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_forms_agree_to_the_last_bit(server, name, form):
    example = EXAMPLE[name]
    every = forms(example, 7)
    assert server.predictions(name, every[form]) == server.predictions(name, every["rows"])


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_one_row_gives_one_prediction(server, name):
    example = EXAMPLE[name]
    many = server.predictions(name, record_rows(example))
    for row, values in enumerate(record_rows(example)):
        assert server.predictions(name, values) == [many[row]]


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_one_record_gives_one_prediction(server, name):
    example = EXAMPLE[name]
    many = server.predictions(name, record_rows(example))
    for row, record in enumerate(example.records):
        assert server.predictions(name, record) == [many[row]]


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_raw_scores_are_bit_identical_to_the_library(server, name):
    """Design section 9. All golden rows that JSON can carry."""
    example = EXAMPLE[name]
    indices, rows = zip(*sendable(example))
    got = server.predictions(name, rows, output="raw")
    kind = np.float32 if name == "breast-cancer" else np.float64
    assert len(rows) > 50
    for i, answer in zip(indices, got):
        want = [kind(v) for v in example.rows[i][1]]
        have = [kind(v) for v in (answer if isinstance(answer, list) else [answer])]
        assert have == want, f"golden row {i}: {answer}"


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_default_output_of_golden_rows(server, name):
    example = EXAMPLE[name]
    indices, rows = zip(*sendable(example))
    got = server.predictions(name, rows)
    for i, answer in zip(indices, got):
        want = example.rows[i][2]
        assert same_prediction(name, answer, want if len(want) > 1 else want[0]), f"golden row {i}"


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_leaf_indices_are_the_library_s(server, name):
    example = EXAMPLE[name]
    indices, rows = zip(*sendable(example))
    got = server.predictions(name, rows, output="leaf")
    for i, answer in zip(indices, got):
        assert answer == example.rows[i][3], f"golden row {i}"


def test_default_may_be_asked_by_name(server):
    assert server.predictions("wine", WINE.records, output="default") == server.predictions("wine", WINE.records)


def test_probability_of_two_classes_is_two_columns_that_sum_to_one(server):
    default = server.predictions("breast-cancer", CANCER.records)
    both = server.predictions("breast-cancer", CANCER.records, output="probability")
    for p, pair in zip(default, both):
        assert len(pair) == 2 and pair[1] == p
        assert abs(pair[0] + pair[1] - 1) < 1e-6


def test_probability_of_three_classes_is_the_default(server):
    assert server.predictions("wine", WINE.records, output="probability") == server.predictions("wine", WINE.records)


@pytest.mark.parametrize("example", [CANCER, WINE], ids=lambda e: e.name)
def test_label_is_the_most_probable_class(server, example):
    """A class index, or its label of metadata.json; one and the same kind throughout."""
    probabilities = server.predictions(example.name, example.records, output="probability")
    got = server.predictions(example.name, example.records, output="label")
    best = [int(np.argmax(p)) for p in probabilities]
    assert got in (best, [example.metadata["labels"][i] for i in best])


def test_answer_has_the_documented_fields(server):
    answer = server.predict("wine", WINE.records[:2])
    document = answer.json()
    assert {"predictions", "model", "model_version", "timestamp", "request_id"} <= set(document)
    assert document["model"] == "wine" and document["model_version"] == "v1.0.0"
    check_time(document["timestamp"])
    assert document["request_id"] == answer.headers["X-Request-ID"]
    assert answer.headers["Content-Type"].split(";")[0] == "application/json"
    assert "Date" in answer.headers


def test_model_type_is_another_name_for_model(server):
    answer = server.post("/api/v1/predict", {"model_type": "wine", "features": WINE.records[0]})
    assert answer.status_code == 200 and answer.json()["predictions"] == server.predictions("wine", WINE.records[0])


@pytest.mark.parametrize("version", ["v1.0.0"])
def test_version_may_be_named(server, version):
    assert server.predictions("wine", WINE.records, version=version) == server.predictions("wine", WINE.records)


def test_version_may_be_a_number_or_its_text(make_server, tmp_path):
    store = tmp_path / "models"
    for value in (1, 2):
        put_version(store, "step", str(value), constant_model(value))
    own = make_server("--models.policy=all", models=store)
    for version in (1, 2):
        assert own.predictions("step", [0], version=version) == [float(version)]
        assert own.predictions("step", [0], version=str(version)) == [float(version)]
    assert own.predictions("step", [0]) == [2.0], "the newest is the default"


def test_version_may_be_an_alias(make_server, tmp_path):
    store = tmp_path / "models"
    for value in (1, 2):
        put_version(store, "step", str(value), constant_model(value))
    (store / "step" / "aliases.json").write_text('{"champion":"1"}')
    answer = make_server(models=store).predict("step", [0], version="champion")
    assert answer.status_code == 200 and answer.json()["predictions"] == [1.0]
    assert answer.json()["model_version"] == "1", "the answer names the version, not the alias"


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_null_and_absent_are_missing_alike(server, name):
    example = EXAMPLE[name]
    for dropped in example.names:
        record = dict(example.records[0])
        record[dropped] = None
        absent = {k: v for k, v in record.items() if k != dropped}
        assert server.predictions(name, record) == server.predictions(name, absent) == server.predictions(name, record_rows(example, [record])), dropped


def test_a_column_may_be_absent(server):
    some = {n: [r[n] for r in PENGUINS.records] for n in PENGUINS.names if n != "delta_15_n"}
    records = [{**r, "delta_15_n": None} for r in PENGUINS.records]
    assert server.predictions("penguins", some) == server.predictions("penguins", records)


def test_booleans_are_one_and_zero(server):
    for flag in (True, False):
        record = {**CANCER.records[0], "mean_concavity": flag}
        assert server.predictions("breast-cancer", record, output="raw") == server.predictions("breast-cancer", {**record, "mean_concavity": int(flag)}, output="raw")


def test_unseen_category_is_missing_as_in_lightgbm(server):
    for text in ("Emperor", "adelie", "", "Adelie ", "Ad\u00e9lie", "x" * 10000):
        record = {**PENGUINS.records[0], "species": text}
        assert server.predictions("penguins", record) == server.predictions("penguins", {**record, "species": None}), text[:20]


def test_escaped_names_and_categories_are_the_same_text(server):
    body = json.dumps({"model": "penguins", "features": PENGUINS.records[1]})
    body = body.replace("Adelie", "\\u0041delie").replace("bill_depth_mm", "bill\\u005fdepth_mm").replace('"model"', '"m\\u006fdel"')
    answer = server.post("/api/v1/predict", data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200 and answer.json()["predictions"] == [PENGUINS.predictions[1]]


def test_numbers_in_any_json_spelling(server):
    for text in ("39.1", "3.91e1", "391E-1", "39.1000000000000000000000000000000000000000001", "0.00391e+4"):
        body = json.dumps({"model": "penguins", "features": PENGUINS.records[0]}).replace("39.1", text)
        answer = server.post("/api/v1/predict", data=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 200 and answer.json()["predictions"] == [PENGUINS.predictions[0]], text


def test_negative_zero_and_denormals_are_numbers(server):
    for text in ("-0", "-0.0", "5e-324", "-5e-324", "1e-400", "1.7976931348623157e308", "-1.7976931348623157e308"):
        body = '{"model":"wine","features":[%s]}' % ",".join([text] * 13)
        answer = server.post("/api/v1/predict", data=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 200, f"{text}: {answer.text}"


def test_field_order_does_not_matter(server):
    body = {"output": "raw", "features": WINE.records[:2], "version": "v1.0.0", "model": "wine"}
    assert server.post("/api/v1/predict", body).json()["predictions"] == server.predictions("wine", WINE.records[:2], output="raw")


def test_twenty_thousand_rows_equal_the_same_rows_alone(server):
    rows = record_rows(PENGUINS)
    got = server.predictions("penguins", rows * 2000)
    assert got == server.predictions("penguins", rows) * 2000


def test_answers_do_not_mix_between_clients(server):
    """Eight clients, three models, different sizes: each gets its own rows' answers."""
    jobs = []
    for name in EXAMPLE_NAMES:
        rows = record_rows(EXAMPLE[name])
        for size in (1, 3, 10):
            for start in range(3):
                features = (rows[start:] + rows[:start])[:size]
                jobs.append((name, features, server.predictions(name, features)))

    def ask(at):
        name, features, want = jobs[at % len(jobs)]
        with server.connect() as c:
            for _ in range(5):
                answer = c.ask(raw_request("POST", "/api/v1/predict", {"model": name, "features": features}))
                assert answer.status == 200 and answer.json()["predictions"] == want
        return True

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(200)))


# --- Errors -----------------------------------------------------------------------------------------------

ROW = record_rows(CANCER)[0]
RECORD = CANCER.records[0]


def with_value(value, at=4):
    return ROW[:at] + [value] + ROW[at + 1:]


SHAPES = [
    # id, features, row
    ("a row too short", [ROW, ROW[:-1], ROW], 1),
    ("a row too long", [ROW, ROW, ROW + [1.0]], 2),
    ("an empty row among rows", [ROW, []], 1),
    ("one row too short", ROW[:-1], None),
    ("one row too long", ROW + [0.0], None),
    ("a number among rows", [ROW, 5], 1),
    ("a record among rows", [ROW, RECORD], 1),
    ("a row among records", [RECORD, ROW], 1),
    ("a null among rows", [ROW, None], 1),
    ("a null among records", [RECORD, None], 1),
    ("rows within rows", [[ROW]], None),
]


@pytest.mark.parametrize("features,row", [s[1:] for s in SHAPES], ids=[s[0] for s in SHAPES])
def test_wrong_shape(server, features, row):
    document = check_error(server.predict("breast-cancer", features), 400, ("predict.shape", "predict.wrong_type"))
    if row is not None:
        assert document["details"].get("row") == row, document


@pytest.mark.parametrize("features", [ROW[:-1], [ROW, ROW[:-1]], ROW + [0.0]])
def test_wrong_number_of_values_says_how_many_are_right(server, features):
    check_error(server.predict("breast-cancer", features), 400, "predict.shape", words="30")


def test_columns_of_different_length(server):
    columns = {n: [r[n] for r in WINE.records] for n in WINE.names}
    columns["hue"] = columns["hue"][:-1]
    check_error(server.predict("wine", columns), 400, "predict.shape", field="hue")


@pytest.mark.parametrize("features", ["text", 5, True, None], ids=["text", "number", "boolean", "null"])
def test_features_of_the_wrong_type(server, features):
    check_error(server.predict("wine", features), 400)


@pytest.mark.parametrize("misspelt,meant", [("alcohl", "alcohol"), ("Alcohol", "alcohol"), ("color-intensity", "color_intensity"), ("prolin", "proline")])
def test_unknown_feature_names_it_and_the_nearest(server, misspelt, meant):
    record = {k: v for k, v in WINE.records[1].items() if k != meant}
    record[misspelt] = 1.0
    check_error(server.predict("wine", [WINE.records[0], record]), 400, "predict.unknown_feature", field=misspelt, row=1, words=[misspelt, meant])


def test_unknown_column(server):
    columns = {n: [r[n] for r in WINE.records] for n in WINE.names}
    columns["hues"] = columns.pop("hue")
    check_error(server.predict("wine", columns), 400, "predict.unknown_feature", field="hues", words="hue")


def test_same_feature_twice_in_a_record(server):
    body = '{"model":"wine","features":{"hue":1,"alcohol":2,"hue":3}}'
    answer = server.post("/api/v1/predict", data=body, headers={"Content-Type": "application/json"})
    check_error(answer, 400, field="hue")


WRONG_VALUES = [("text", "abc"), ("a number as text", "1.5"), ("NaN as text", "NaN"), ("nan as text", "nan"), ("infinity as text", "Infinity"),
                ("empty text", ""), ("an array", [1.0]), ("an object", {"a": 1})]


@pytest.mark.parametrize("value", [w[1] for w in WRONG_VALUES], ids=[w[0] for w in WRONG_VALUES])
def test_wrong_type_in_rows_names_feature_and_row(server, value):
    check_error(server.predict("breast-cancer", [ROW, ROW, with_value(value)]), 400, "predict.wrong_type", field="mean_smoothness", row=2)


@pytest.mark.parametrize("value", [w[1] for w in WRONG_VALUES], ids=[w[0] for w in WRONG_VALUES])
def test_wrong_type_in_records_names_feature_and_row(server, value):
    records = [RECORD, {**RECORD, "mean_smoothness": value}]
    check_error(server.predict("breast-cancer", records), 400, "predict.wrong_type", field="mean_smoothness", row=1)


@pytest.mark.parametrize("value", [w[1] for w in WRONG_VALUES], ids=[w[0] for w in WRONG_VALUES])
def test_wrong_type_in_columns_names_feature_and_row(server, value):
    columns = {n: [r[n] for r in CANCER.records] for n in CANCER.names}
    columns["mean_smoothness"][3] = value
    check_error(server.predict("breast-cancer", columns), 400, "predict.wrong_type", field="mean_smoothness", row=3)


def test_a_column_that_is_no_list(server):
    """{name: scalar, name: list} is neither a record nor columns."""
    features = {n: [v, v] for n, v in WINE.records[0].items()}
    features["hue"] = 1.0
    check_error(server.predict("wine", features), 400, ("predict.shape", "predict.wrong_type"), field="hue")


REQUESTS = [
    # id, body, status, code, field, words
    ("no model", {"features": [1]}, 400, "predict.field", "model", ()),
    ("no features", {"model": "wine"}, 400, "predict.field", "features", ()),
    ("unknown field", {"model": "wine", "features": [1], "outptu": "raw"}, 400, "predict.field", "outptu", "output"),
    ("unknown field before the others", {"verson": "1", "model": "wine", "features": [1]}, 400, "predict.field", "verson", "version"),
    ("model is a number", {"model": 5, "features": [1]}, 400, None, "model", ()),
    ("model is null", {"model": None, "features": [1]}, 400, None, "model", ()),
    ("version is an object", {"model": "wine", "version": {}, "features": [1]}, 400, None, "version", ()),
    ("version is a boolean", {"model": "wine", "version": True, "features": [1]}, 400, None, "version", ()),
    ("output is a number", {"model": "wine", "features": [1], "output": 1}, 400, None, "output", ()),
    ("output that no model has", {"model": "wine", "features": ROW[:13], "output": "margin"}, 400, ("model.output", "predict.field"), "output", ("margin", "raw")),
    ("unknown model", {"model": "whine", "features": [1]}, 404, "model.not_found", None, "whine"),
    ("model name with a path", {"model": "../wine", "features": [1]}, (400, 404), ("model.not_found", "model.name"), None, ()),
    ("model name empty", {"model": "", "features": [1]}, (400, 404), None, None, ()),
    ("model name with NUL", {"model": "wine\0", "features": [1]}, (400, 404), None, None, ()),
    ("unknown version", {"model": "wine", "version": "v9", "features": [1]}, 404, "model.version_not_found", None, ("v9", "v1.0.0")),
    ("unknown version number", {"model": "wine", "version": 9, "features": [1]}, 404, "model.version_not_found", None, "9"),
    ("an array", [1, 2], 400, None, None, ()),
    ("a string", "wine", 400, None, None, ()),
]


@pytest.mark.parametrize("body,status,code,field,words", [r[1:] for r in REQUESTS], ids=[r[0] for r in REQUESTS])
def test_bad_request(server, body, status, code, field, words):
    check_error(server.post("/api/v1/predict", body), status, code, field=field, words=words)


def test_model_and_model_type_that_differ_are_refused(server):
    check_error(server.post("/api/v1/predict", {"model": "wine", "model_type": "penguins", "features": ROW[:13]}), 400)


@pytest.mark.parametrize("name,output", [("penguins", "probability"), ("penguins", "label")])
def test_output_that_the_model_lacks(server, name, output):
    check_error(server.predict(name, EXAMPLE[name].records[0], output=output), 400, "model.output", words=[output, "raw"])


TEXTS = [
    ("nothing", b"", 400, None),
    ("blanks", b"  \n", 400, "json.syntax"),
    ("cut off", b'{"model":"wine","features":[1,2', 400, "json.syntax"),
    ("cut off in a text", b'{"model":"wi', 400, "json.syntax"),
    ("two values", b'{"model":"wine","features":[1,2,3,4,5,6,7,8,9,10,11,12,13]} {}', 400, "json.syntax"),
    ("trailing comma", b'{"model":"wine","features":[1,]}', 400, "json.syntax"),
    ("bare NaN", b'{"model":"wine","features":[NaN]}', 400, "json.syntax"),
    ("bare Infinity", b'{"model":"wine","features":[-Infinity]}', 400, "json.syntax"),
    ("a comment", b'{"model":"wine",/* x */"features":[1]}', 400, "json.syntax"),
    ("single quotes", b"{'model':'wine'}", 400, "json.syntax"),
    ("leading zero", b'{"model":"wine","features":[01]}', 400, "json.syntax"),
    ("leading plus", b'{"model":"wine","features":[+1]}', 400, "json.syntax"),
    ("number too large", b'{"model":"wine","features":[1e999]}', 400, None),
    ("bad UTF-8", b'{"model":"w\xffne","features":[1]}', 400, "json.bad_utf8"),
    ("overlong UTF-8", b'{"model":"w\xc0\xafne","features":[1]}', 400, "json.bad_utf8"),
    ("lone surrogate", b'{"model":"\\ud800","features":[1]}', 400, None),
    ("control character in a text", b'{"model":"wi\nne","features":[1]}', 400, "json.syntax"),
    ("byte order mark", b'\xef\xbb\xbf{"model":"wine","features":[1]}', 400, None),
    ("UTF-16", '{"model":"wine"}'.encode("utf-16"), 400, None),
    ("too deep", b'{"model":"wine","features":' + b"[" * 2000 + b"]" * 2000 + b"}", 400, None),
    ("a million brackets", b"[" * 1000000, 400, None),
    ("model twice", b'{"model":"wine","model":"penguins","features":[1]}', 400, None),
    ("features twice", b'{"model":"wine","features":[1],"features":[2]}', 400, None),
    ("NUL after the value", b'{"model":"wine","features":[1,2,3,4,5,6,7,8,9,10,11,12,13]}\x00', 400, "json.syntax"),
]


@pytest.mark.parametrize("text,status,code", [t[1:] for t in TEXTS], ids=[t[0] for t in TEXTS])
def test_bad_json(server, text, status, code):
    answer = server.post("/api/v1/predict", data=text, headers={"Content-Type": "application/json"})
    check_error(answer, status, code)


def test_json_error_says_where(server):
    text = b'{"model":"wine",\n"features":[1,2,x]}'
    document = check_error(server.post("/api/v1/predict", data=text, headers={"Content-Type": "application/json"}), 400, "json.syntax")
    assert document["details"]["offset"] == text.index(b"x")


@pytest.mark.parametrize("rows,status", [(50, 200), (51, 413)])
def test_max_rows(make_server, rows, status):
    own = make_server("--predict.max_rows=50", examples=True)
    for features in ([record_rows(WINE)[0]] * rows, [WINE.records[0]] * rows, {n: [WINE.records[0][n]] * rows for n in WINE.names}):
        answer = own.predict("wine", features)
        assert answer.status_code == status, answer.text
        if status == 413:
            check_error(answer, 413, "predict.too_many_rows", words="50")


def test_error_keeps_the_connection(server):
    with server.connect() as c:
        for _ in range(3):
            assert c.ask(raw_request("POST", "/api/v1/predict", b"{")).status == 400
        assert c.ask(raw_request("POST", "/api/v1/predict", {"model": "wine", "features": WINE.records[0]})).status == 200


# --- Around it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", ["abc", "A.b_c-9", "x" * 128, "0"])
def test_request_id_of_the_client_is_kept(server, own):
    answer = server.post("/api/v1/predict", {"model": "wine", "features": WINE.records[0]}, headers={"X-Request-ID": own})
    assert answer.headers["X-Request-ID"] == own and answer.json()["request_id"] == own


@pytest.mark.parametrize("bad", ["a b", "x" * 129, "a;b", "<script>", '"', "\u00e9"])
def test_malformed_request_id_is_replaced(server, bad):
    answer = server.get("/health/live", headers={"X-Request-ID": bad.encode("latin-1")})
    assert re.fullmatch(r"[A-Za-z0-9._-]{8,128}", answer.headers["X-Request-ID"])
    assert answer.headers["X-Request-ID"] != bad


def test_request_ids_differ(server):
    assert len({server.get("/health/live").headers["X-Request-ID"] for _ in range(50)}) == 50


def test_get_is_not_allowed_and_says_what_is(server):
    answer = server.get("/api/v1/predict")
    check_error(answer, 405, "http.method_not_allowed")
    assert "POST" in re.split(r",\s*", answer.headers["Allow"])


def test_prediction_without_content_type_is_read_as_json(server):
    with server.connect() as c:
        body = json.dumps({"model": "wine", "features": WINE.records[0]}).encode()
        answer = c.ask(b"POST /api/v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert answer.status in (200, 415)
