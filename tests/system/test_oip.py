# SPDX-License-Identifier: Apache-2.0
"""The Open Inference Protocol v2 under /v2, through a client written from the specification (oip_client.py)."""

import json
import math
import struct

import numpy as np
import pytest
from harness import EXAMPLE, EXAMPLE_NAMES, check_error, constant_model, golden_rows, put_version, record_rows
from oip_client import Client, ProtocolError, Tensor

CANCER, PENGUINS, WINE = (EXAMPLE[n] for n in ("breast-cancer", "penguins", "wine"))
NUMERIC = [CANCER, WINE]


@pytest.fixture(scope="module")
def client(server):
    return Client(server.url)


def matrix(example, kind="FP64", binary=False, rows=None, name="input-0"):
    return Tensor(name, np.array(record_rows(example) if rows is None else rows, dtype=float), kind, binary=binary)


def penguin_columns(records=PENGUINS.records, binary=False, shape=lambda n: [n]):
    columns = []
    for entry in PENGUINS.metadata["inputs"]:
        values = [r[entry["name"]] for r in records]
        if entry["type"] == "category":
            columns.append(Tensor(entry["name"], np.array(values, dtype=object), "BYTES", shape(len(records)), binary))
        else:
            columns.append(Tensor(entry["name"], np.array([math.nan if v is None else v for v in values]), "FP64", shape(len(records)), binary))
    return columns


def wanted(server, name, output="default"):
    return np.array(server.predictions(name, EXAMPLE[name].records, output=output), dtype=float)


# --- Health and metadata ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/v2/models/wine/ready", "/v2/models/wine/versions/v1.0.0/ready"])
def test_healthy(server, path):
    assert server.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/v2/models/whine/ready", "/v2/models/wine/versions/v9/ready", "/v2/models/whine", "/v2/models/wine/versions/v9", "/v2/models/whine/stats"])
def test_unknown_model_or_version(server, path):
    check_error(server.get(path), 404)


def test_server_metadata(client):
    document = client.server_metadata()
    assert isinstance(document["name"], str) and isinstance(document["version"], str)
    assert {"binary_tensor_data", "model_repository", "statistics"} <= set(document["extensions"])


@pytest.mark.parametrize("version", [None, "v1.0.0"])
@pytest.mark.parametrize("example", NUMERIC, ids=lambda e: e.name)
def test_metadata_of_a_numeric_model(client, example, version):
    document = client.metadata(example.name, version)
    assert document["name"] == example.name and document["versions"] == ["v1.0.0"]
    assert isinstance(document["platform"], str) and "_" in document["platform"]
    assert len(document["inputs"]) == 1
    assert document["inputs"][0]["shape"] == [-1, len(example.names)]
    assert "predictions" in [o["name"] for o in document["outputs"]]


def test_metadata_of_a_model_with_categories_has_a_tensor_per_feature(client):
    inputs = {i["name"]: i for i in client.metadata("penguins")["inputs"]}
    assert set(inputs) == set(PENGUINS.names)
    assert {n for n, i in inputs.items() if i["datatype"] == "BYTES"} == {"species", "island", "sex"}


def test_list_of_models(server):
    assert server.get("/v2/models").json() == {"models": ["breast-cancer", "penguins", "wine"]}


# --- Inference ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binary_out", [False, True], ids=["json-out", "binary-out"])
@pytest.mark.parametrize("binary_in", [False, True], ids=["json-in", "binary-in"])
@pytest.mark.parametrize("example", NUMERIC, ids=lambda e: e.name)
def test_infer_numeric(server, client, example, binary_in, binary_out):
    parameters = {"binary_data_output": True} if binary_out else None
    document, outputs = client.infer(example.name, [matrix(example, binary=binary_in)], parameters=parameters)
    assert document["model_name"] == example.name and document["model_version"] == "v1.0.0"
    assert list(outputs) == ["predictions"]
    want = wanted(server, example.name)
    assert outputs["predictions"].shape[0] == len(want)
    assert np.array_equal(outputs["predictions"].astype(float).reshape(want.shape), want) or np.array_equal(
        outputs["predictions"].astype(np.float32).reshape(want.shape), want.astype(np.float32))


@pytest.mark.parametrize("binary_out", [False, True], ids=["json-out", "binary-out"])
@pytest.mark.parametrize("binary_in", [False, True], ids=["json-in", "binary-in"])
def test_infer_columns_with_bytes(server, client, binary_in, binary_out):
    records = PENGUINS.records if binary_in else [r for r in PENGUINS.records if None not in r.values()]
    document, outputs = client.infer("penguins", penguin_columns(records, binary_in), parameters={"binary_data_output": binary_out})
    assert outputs["predictions"].ravel().tolist() == server.predictions("penguins", records)


def test_columns_of_shape_n_by_1(server, client):
    _, outputs = client.infer("penguins", penguin_columns(binary=True, shape=lambda n: [n, 1]))
    assert outputs["predictions"].ravel().tolist() == server.predictions("penguins", PENGUINS.records)


def test_columns_in_another_order(server, client):
    _, outputs = client.infer("penguins", penguin_columns(binary=True)[::-1])
    assert outputs["predictions"].ravel().tolist() == server.predictions("penguins", PENGUINS.records)


def test_columns_of_a_numeric_model(server, client):
    columns = [Tensor(n, np.array([r[n] for r in WINE.records])) for n in WINE.names]
    _, outputs = client.infer("wine", columns)
    assert np.array_equal(outputs["predictions"], wanted(server, "wine"))


def test_json_and_binary_inputs_mix(server, client):
    columns = penguin_columns(binary=True)
    columns[0].binary = columns[3].binary = False
    _, outputs = client.infer("penguins", columns)
    assert outputs["predictions"].ravel().tolist() == server.predictions("penguins", PENGUINS.records)


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_raw_scores_of_all_golden_rows_are_bit_identical(client, name):
    """Infinities and NaN included, which JSON cannot carry."""
    example = EXAMPLE[name]
    if name == "penguins":
        rows = golden_rows(example)
        keep = [i for i, row in enumerate(rows) if all(v is None or isinstance(v, str) for v in row[:3])]
        columns = []
        for at, entry in enumerate(example.metadata["inputs"]):
            values = [rows[i][at] for i in keep]
            if entry["type"] == "category":
                columns.append(Tensor(entry["name"], np.array(["" if v is None else v for v in values], dtype=object), "BYTES", binary=True))
            else:
                columns.append(Tensor(entry["name"], np.array([math.nan if v is None else v for v in values], dtype=float), "FP64", binary=True))
        inputs = columns
    else:
        keep = range(len(example.rows))
        inputs = [Tensor("x", np.array([example.rows[i][0] for i in keep], dtype=float), "FP64", binary=True)]
    _, outputs = client.infer(name, inputs, outputs=[{"name": "raw", "parameters": {"binary_data": True}}])
    kind = np.float32 if name == "breast-cancer" else np.float64
    want = np.array([example.rows[i][1] for i in keep], dtype=kind)
    got = outputs["raw"].astype(kind).reshape(want.shape)
    assert len(want) > 100
    assert got.tobytes() == want.tobytes(), np.argwhere(got != want)[:5]


@pytest.mark.parametrize("kind", ["FP32", "FP16", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "BOOL"])
@pytest.mark.parametrize("packed", [False, True], ids=["json", "binary"])
def test_every_numeric_datatype_is_converted(server, client, kind, packed):
    if kind == "FP16" and not packed:
        pytest.skip("FP16 has no JSON form (1.1)")
    rows = [[(i * 7 + j) % (2 if kind == "BOOL" else 100) for j in range(13)] for i in range(4)]
    _, outputs = client.infer("wine", [Tensor("x", np.array(rows).astype({"BOOL": "?"}.get(kind, "f8")), kind, binary=packed)], outputs=["raw"])
    assert np.array_equal(outputs["raw"], np.array(server.predictions("wine", rows, output="raw")))


@pytest.mark.parametrize("data", ["nested", "flat"])
def test_json_data_nested_or_flat(server, data):
    rows = record_rows(WINE)[:3]
    tensor = {"name": "x", "shape": [3, 13], "datatype": "FP64", "data": rows if data == "nested" else sum(rows, [])}
    answer = server.post("/v2/models/wine/infer", {"inputs": [tensor]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["data"] == sum(server.predictions("wine", rows), [])


@pytest.mark.parametrize("example", NUMERIC, ids=lambda e: e.name)
def test_outputs_by_name_in_the_order_asked(server, client, example):
    names = ["leaf", "raw", "label", "probability", "predictions"]
    document, outputs = client.infer(example.name, [matrix(example)], outputs=names)
    assert [o["name"] for o in document["outputs"]] == names
    for name in ("leaf", "raw", "probability"):
        want = np.array(server.predictions(example.name, example.records, output=name), dtype=float)
        got = outputs[name].astype(float)
        assert np.array_equal(got.reshape(want.shape), want) or np.array_equal(got.astype(np.float32).reshape(want.shape), want.astype(np.float32)), name


def test_binary_data_per_output_overrides_the_request(client):
    document, _ = client.infer("wine", [matrix(WINE)], outputs=[{"name": "raw", "parameters": {"binary_data": False}}, {"name": "leaf"}], parameters={"binary_data_output": True})
    raw, leaf = document["outputs"]
    assert "data" in raw and "data" not in leaf and leaf["parameters"]["binary_data_size"] > 0


def test_binary_answer_has_the_right_type_and_length(server):
    answer = server.post("/v2/models/wine/infer", {"inputs": [matrix(WINE).describe()[0]], "parameters": {"binary_data_output": True}})
    assert answer.headers["Content-Type"] == "application/octet-stream"
    json.loads(answer.content[:int(answer.headers["Inference-Header-Content-Length"])])


@pytest.mark.parametrize("id", ["42", "", "\u00e9\"\\", "x" * 1000])
def test_id_is_echoed(client, id):
    assert client.infer("wine", [matrix(WINE)], id=id)[0].get("id", "") == id


def test_no_id_no_echo(client):
    assert "id" not in client.infer("wine", [matrix(WINE)])[0]


def test_version_segment(client):
    assert client.infer("wine", [matrix(WINE)], version="v1.0.0")[0]["model_version"] == "v1.0.0"


def test_request_parameters_are_accepted(client):
    client.infer("wine", [matrix(WINE)], parameters={"priority": 1, "timeout": 1000, "note": "x", "flag": True})


def test_raw_request(server, client):
    """Header length 0: the body is the one tensor, one row, all outputs binary."""
    row = record_rows(WINE)[0]
    kind = client.metadata("wine")["inputs"][0]["datatype"]
    data = np.array(row, dtype={"FP64": "<f8", "FP32": "<f4"}[kind]).tobytes()
    document, outputs = client.infer_raw("wine", data)
    assert all("data" not in o for o in document["outputs"])
    assert np.array_equal(outputs["predictions"].ravel(), np.array(server.predictions("wine", row)[0]))


@pytest.mark.parametrize("data", [b"", b"\0" * 7, b"\0" * (13 * 8 + 1), b"\0" * 12 * 8])
def test_raw_request_of_the_wrong_size(client, data):
    with pytest.raises(ProtocolError) as error:
        client.infer_raw("wine", data)
    assert error.value.status == 400


def test_raw_request_needs_a_model_of_one_input(client):
    with pytest.raises(ProtocolError) as error:
        client.infer_raw("penguins", b"\0" * 64)
    assert error.value.status == 400


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("packed", [False, True], ids=["json", "binary"])
def test_compressed_body(server, client, encoding, packed):
    """The JSON length is that of the decompressed body."""
    _, outputs = client.infer("wine", [matrix(WINE, binary=packed)], encoding=encoding)
    assert np.array_equal(outputs["predictions"], wanted(server, "wine"))


def test_single_row_vector_is_one_row_or_refused(server):
    """Shape [13] lacks the batch dimension of the metadata [-1, 13]."""
    tensor = {"name": "x", "shape": [13], "datatype": "FP64", "data": record_rows(WINE)[0]}
    answer = server.post("/v2/models/wine/infer", {"inputs": [tensor]})
    if answer.status_code == 200:
        assert answer.json()["outputs"][0]["data"] == server.predictions("wine", record_rows(WINE)[0])[0]
    else:
        check_error(answer, 400)


def test_large_batch(server, client):
    rows = np.array(record_rows(WINE) * 1000)
    _, outputs = client.infer("wine", [Tensor("x", rows, "FP64", binary=True)], parameters={"binary_data_output": True})
    assert np.array_equal(outputs["predictions"], np.tile(wanted(server, "wine"), (1000, 1)))


# --- Errors -------------------------------------------------------------------------------------------------


def tensor(**changes):
    entry = {"name": "x", "shape": [1, 13], "datatype": "FP64", "data": [0] * 13}
    entry.update(changes)
    return {k: v for k, v in entry.items() if v is not ...}


BAD = [
    ("no inputs", {}), ("empty inputs", {"inputs": []}), ("inputs no list", {"inputs": {}}), ("an input that is no object", {"inputs": [1]}),
    ("no name", {"inputs": [tensor(name=...)]}), ("no shape", {"inputs": [tensor(shape=...)]}), ("no datatype", {"inputs": [tensor(datatype=...)]}),
    ("no data", {"inputs": [tensor(data=...)]}), ("unknown datatype", {"inputs": [tensor(datatype="FP128")]}), ("datatype in small letters", {"inputs": [tensor(datatype="fp64")]}),
    ("text for a number", {"inputs": [tensor(data=["a"] * 13)]}), ("too few values", {"inputs": [tensor(data=[0] * 12)]}), ("too many values", {"inputs": [tensor(data=[0] * 14)]}),
    ("wrong width", {"inputs": [tensor(shape=[1, 12], data=[0] * 12)]}), ("negative dimension", {"inputs": [tensor(shape=[-1, 13])]}),
    ("fractional dimension", {"inputs": [tensor(shape=[1.5, 13])]}), ("three dimensions", {"inputs": [tensor(shape=[1, 1, 13])]}),
    ("dimensions that overflow", {"inputs": [tensor(shape=[4294967296, 4294967296])]}), ("a huge batch without data", {"inputs": [tensor(shape=[2 ** 62, 13], data=[])]}),
    ("dimension beyond 64 bits", {"inputs": [tensor(shape=[2 ** 64, 13])]}), ("shape is a text", {"inputs": [tensor(shape="1,13")]}),
    ("ragged data", {"inputs": [tensor(shape=[2, 13], data=[[0] * 12, [0] * 14])]}), ("deep data", {"inputs": [tensor(data=[[[0] * 13]])]}),
    ("unknown output", {"inputs": [tensor()], "outputs": [{"name": "shap"}]}), ("output without name", {"inputs": [tensor()], "outputs": [{}]}),
    ("another extension for an output", {"inputs": [tensor()], "outputs": [{"name": "probability", "parameters": {"classification": 2}}]}),
    ("an answer into shared memory", {"inputs": [tensor()], "outputs": [{"name": "raw", "parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 24}}]}),
    ("outputs no list", {"inputs": [tensor()], "outputs": "raw"}), ("id is a number", {"inputs": [tensor()], "id": 5}), ("parameters no object", {"inputs": [tensor()], "parameters": 5}),
    ("a word in BYTES for a numeric model", {"inputs": [tensor(datatype="BYTES", data=["one"] * 13)]}),
    ("binary size without bytes", {"inputs": [{"name": "x", "shape": [1, 13], "datatype": "FP64", "parameters": {"binary_data_size": 104}}]}),
    ("value beyond its datatype", {"inputs": [tensor(datatype="INT8", data=[300] * 13)]}), ("fraction in an integer", {"inputs": [tensor(datatype="INT32", data=[0.5] * 13)]}),
    ("negative in an unsigned", {"inputs": [tensor(datatype="UINT8", data=[-1] * 13)]}), ("FP16 in JSON", {"inputs": [tensor(datatype="FP16")]}),
    ("the same column twice", {"inputs": [{"name": "hue", "shape": [1], "datatype": "FP64", "data": [1]}] * 2}),
    ("an unknown column", {"inputs": [{"name": n, "shape": [1], "datatype": "FP64", "data": [1]} for n in WINE.names[:12] + ["huh"]]}),
    ("columns of different length", {"inputs": [{"name": n, "shape": [k], "datatype": "FP64", "data": [1] * k} for n, k in zip(WINE.names, [1] * 12 + [2])]}),
]


@pytest.mark.parametrize("body", [b[1] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_infer_request(server, body):
    check_error(server.post("/v2/models/wine/infer", body), 400)


def binary_body(document, tail, length=None):
    text = json.dumps(document).encode()
    return text + tail, {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(text) if length is None else length)}


def described(size, shape=(1, 13), datatype="FP64"):
    return {"inputs": [{"name": "x", "shape": list(shape), "datatype": datatype, "parameters": {"binary_data_size": size}}]}


BINARY = [
    ("too few bytes", binary_body(described(104), b"\0" * 103)), ("too many bytes", binary_body(described(104), b"\0" * 105)),
    ("size that is not the shape's", binary_body(described(96), b"\0" * 96)), ("negative size", binary_body(described(-1), b"\0" * 104)),
    ("huge size", binary_body(described(2 ** 63 - 1), b"\0" * 104)), ("size beyond 64 bits", binary_body(described(2 ** 64 + 104), b"\0" * 104)),
    ("header longer than the body", binary_body(described(104), b"\0" * 104, 100000)), ("header into the JSON", binary_body(described(104), b"\0" * 104, 10)),
    ("header no number", binary_body(described(104), b"\0" * 104, "x")), ("header negative", binary_body(described(104), b"\0" * 104, -5)),
    ("header with a sign", binary_body(described(104), b"\0" * 104, "+105")), ("header overflows", binary_body(described(104), b"\0" * 104, 2 ** 64)),
    ("shape that overflows to the size", binary_body(described(104, (2 ** 61, 8 * 13)), b"\0" * 104)),
]


@pytest.mark.parametrize("data,headers", [b[1] for b in BINARY], ids=[b[0] for b in BINARY])
def test_bad_binary_request(server, data, headers):
    check_error(server.post("/v2/models/wine/infer", data=data, headers=headers), 400)


@pytest.mark.parametrize("tail", [struct.pack("<I", 100) + b"abc", struct.pack("<I", 0xFFFFFFFF) + b"abc", b"\1\0", struct.pack("<I", 1) + b"a" + b"xx", b""])
def test_bad_bytes_elements(server, tail):
    columns = penguin_columns(PENGUINS.records[:1], True)
    entries = [c.describe() for c in columns]
    entries[0][0]["parameters"]["binary_data_size"] = len(tail)
    data, headers = binary_body({"inputs": [e[0] for e in entries]}, tail + b"".join(e[1] for e in entries[1:]))
    check_error(server.post("/v2/models/penguins/infer", data=data, headers=headers), 400)


def test_bytes_that_are_not_utf8_are_no_category(server):
    columns = penguin_columns(PENGUINS.records[:1], True)
    entries = [c.describe() for c in columns]
    bad = struct.pack("<I", 2) + b"\xff\xfe"
    entries[0][0]["parameters"]["binary_data_size"] = len(bad)
    data, headers = binary_body({"inputs": [e[0] for e in entries]}, bad + b"".join(e[1] for e in entries[1:]))
    assert server.post("/v2/models/penguins/infer", data=data, headers=headers).status_code in (200, 400)


def test_column_error_names_the_column(server):
    columns = [c.describe()[0] for c in penguin_columns([PENGUINS.records[1]])]
    columns[5]["data"] = ["long"]
    document = check_error(server.post("/v2/models/penguins/infer", {"inputs": columns}), 400)
    assert "flipper_length_mm" in document["error"]


def test_max_rows(make_server):
    own = make_server("--predict.max_rows=5", examples=True)
    for rows, status in ((5, 200), (6, 413)):
        assert own.post("/v2/models/wine/infer", {"inputs": [tensor(shape=[rows, 13], data=[0] * 13 * rows)]}).status_code == status


# --- Repository and statistics ------------------------------------------------------------------------------


@pytest.fixture
def own(make_server, tmp_path):
    store = tmp_path / "models"
    for value in (1, 2):
        put_version(store, "step", str(value), constant_model(value))
    put_version(store, "other", "1", constant_model(9))
    return make_server("--models.policy=all", "--models.poll=0", models=store)


def index(server, ready=None):
    answer = server.post("/v2/repository/index", {} if ready is None else {"ready": ready})
    assert answer.status_code == 200, answer.text
    return {(e["name"], e.get("version")): e.get("state") for e in answer.json()}


@pytest.mark.parametrize("body", [None, {}, {"ready": False}, {"ready": True}])
def test_index(own, body):
    answer = own.post("/v2/repository/index", body) if body is not None else own.request("POST", "/v2/repository/index", data=b"")
    assert answer.status_code == 200, answer.text
    entries = answer.json()
    assert isinstance(entries, list)
    assert {(e["name"], e["version"], e["state"]) for e in entries} == {("step", "1", "READY"), ("step", "2", "READY"), ("other", "1", "READY")}


def test_unload_then_load(own):
    answer = own.request("POST", "/v2/repository/models/step/unload")
    assert answer.status_code == 200 and answer.content == b""
    assert own.status("/v2/models/step/ready") != 200
    check_error(own.predict("step", [0]), (404, 503))
    assert {k[0] for k in index(own, True)} == {"other"}
    assert ("step", "1") in index(own) or ("step", None) in index(own), "an unloaded model stays in the index"
    assert own.predictions("other", [0]) == [9.0]
    answer = own.request("POST", "/v2/repository/models/step/load")
    assert answer.status_code == 200 and answer.content == b""
    assert own.predictions("step", [0]) == [2.0]


def test_load_takes_what_is_new_in_the_folder(own):
    """Polling is off: an explicit load looks at the folder."""
    put_version(own.models, "step", "3", constant_model(3))
    assert own.request("POST", "/v2/repository/models/step/load", json={}).status_code == 200
    assert own.predictions("step", [0]) == [3.0]


@pytest.mark.parametrize("action", ["load", "unload"])
def test_unknown_model(own, action):
    check_error(own.request("POST", f"/v2/repository/models/stop/{action}"), (400, 404))


def test_load_of_a_broken_model_says_why(own):
    put_version(own.models, "broken", "1", b"no model")
    check_error(own.request("POST", "/v2/repository/models/broken/load"), range(400, 600))
    assert index(own).get(("broken", "1")) == "UNAVAILABLE"
    reasons = [e.get("reason") for e in own.post("/v2/repository/index", {}).json() if e["name"] == "broken"]
    assert reasons and reasons[0]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"ready":"yes"}'])
def test_bad_index_request(own, body):
    check_error(own.post("/v2/repository/index", data=body, headers={"Content-Type": "application/json"}), 400)


def test_statistics_count_rows_and_runs(own):
    client = Client(own.url)
    for rows in (1, 8, 3):
        client.infer("other", [Tensor("x", np.zeros((rows, 1)))])
    own.predictions("other", [[0], [0]])
    with pytest.raises(ProtocolError):
        client.infer("other", [Tensor("x", np.zeros((1, 2)))])
    (entry,) = client.statistics("other")
    assert entry["name"] == "other" and entry["version"] == "1"
    assert entry["inference_count"] == 14 and entry["execution_count"] == 4
    stats = entry["inference_stats"]
    assert stats["success"]["count"] == 4 and stats["success"]["ns"] > 0
    assert stats["fail"]["count"] == 1
    assert {"queue", "compute_input", "compute_infer", "compute_output"} <= set(stats)
    import time
    assert abs(entry["last_inference"] / 1000 - time.time()) < 60


def test_statistics_are_per_version(own):
    client = Client(own.url)
    client.infer("step", [Tensor("x", np.zeros((5, 1)))], version="1")
    client.infer("step", [Tensor("x", np.zeros((2, 1)))])
    assert {e["version"]: e["inference_count"] for e in client.statistics("step")} == {"1": 5, "2": 2}
    (entry,) = client.statistics("step", "1")
    assert entry["inference_count"] == 5


def test_statistics_of_all_models(own):
    stats = own.get("/v2/models/stats").json()["model_stats"]
    assert {(e["name"], e["version"]) for e in stats} == {("step", "1"), ("step", "2"), ("other", "1")}
