# SPDX-License-Identifier: Apache-2.0
"""The Open Inference Protocol as NVIDIA's client speaks it (PyPI: tritonclient[http]). Left out where that is not installed: Debian has no
package of it, and the client of oip_client.py covers the same ground."""

import numpy as np
import pytest
from harness import EXAMPLE, EXAMPLE_MODELS

triton = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")
TritonError = pytest.importorskip("tritonclient.utils").InferenceServerException

WINE, PENGUINS = EXAMPLE["wine"], EXAMPLE["penguins"]
NAMES = [entry["name"] for entry in WINE.metadata["inputs"]]
ROWS = np.array([[record[name] for name in NAMES] for record in WINE.records], dtype=np.float64)


@pytest.fixture
def client(module_server):
    module_server.wait_model("wine")
    made = triton.InferenceServerClient(module_server.url.removeprefix("http://"))
    yield made
    made.close()


def tensor(name, values, datatype, binary=True):
    made = triton.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def output(name, binary=True, **options):
    return triton.InferRequestedOutput(name, binary_data=binary, **options)


def wanted(server, example, kind="default"):
    return np.array(server.predictions(example.name, example.records, output=kind))


def test_server_and_models_are_live_and_ready(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("wine") and client.is_model_ready("wine", "v1.0.0")
    assert not client.is_model_ready("whine") and not client.is_model_ready("wine", "v9")


def test_metadata(client):
    assert client.get_server_metadata()["name"] == "mainstay"
    metadata = client.get_model_metadata("wine")
    assert metadata["versions"] == ["v1.0.0"]
    assert metadata["inputs"][0]["shape"] == [-1, 13] and metadata["outputs"][0]["shape"] == [-1, 3]
    assert {entry["datatype"] for entry in client.get_model_metadata("penguins")["inputs"]} == {"BYTES", "FP64"}


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("returned", [True, False])
@pytest.mark.parametrize("datatype,kind", [("FP64", np.float64), ("FP32", np.float32)])
def test_infer(client, module_server, sent, returned, datatype, kind):
    answer = client.infer("wine", [tensor("features", ROWS.astype(kind), datatype, sent)], outputs=[output("predictions", returned)], request_id="abc")
    assert ("data" in answer.get_output("predictions")) is not returned
    assert answer.get_response()["id"] == "abc"
    # CatBoost takes single precision, so that both datatypes give the same bits.
    np.testing.assert_array_equal(answer.as_numpy("predictions"), wanted(module_server, WINE))


@pytest.mark.parametrize("packed", [True, False])
def test_every_output(client, module_server, packed):
    kinds = ["raw", "probability", "label", "leaf"]
    answer = client.infer("wine", [tensor("features", ROWS, "FP64")], model_version="v1.0.0", outputs=[output(kind, packed) for kind in kinds])
    for kind in ("raw", "probability", "leaf"):
        np.testing.assert_array_equal(answer.as_numpy(kind), wanted(module_server, WINE, kind))
    labels = [value.decode() if packed else value for value in answer.as_numpy("label").ravel()]
    assert labels == list(wanted(module_server, WINE, "label"))


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_compressed_both_ways(client, module_server, coding):
    rows = np.repeat(ROWS, 50, axis=0)
    answer = client.infer("wine", [tensor("features", rows, "FP64")], request_compression_algorithm=coding, response_compression_algorithm=coding)
    np.testing.assert_array_equal(answer.as_numpy("predictions"), np.repeat(wanted(module_server, WINE), 50, axis=0))


@pytest.mark.parametrize("packed", [True, False])
def test_a_tensor_per_column_with_texts(client, module_server, packed):
    columns = []
    for entry in PENGUINS.metadata["inputs"]:
        values = [record[entry["name"]] for record in PENGUINS.records]
        if entry["type"] == "category":
            columns.append(tensor(entry["name"], np.array([["" if v is None else v] for v in values], dtype=object), "BYTES", packed))
        else:  # missing is NaN, which this client writes bare into JSON
            columns.append(tensor(entry["name"], np.array([[np.nan if v is None else v] for v in values], dtype=np.float64), "FP64", packed))
    np.testing.assert_array_equal(client.infer("penguins", columns).as_numpy("predictions").ravel(), wanted(module_server, PENGUINS))


def test_infer_in_the_background(client, module_server):
    pending = [client.async_infer("wine", [tensor("features", ROWS, "FP64")]) for _ in range(8)]
    for one in pending:
        np.testing.assert_array_equal(one.get_result().as_numpy("predictions"), wanted(module_server, WINE))


def test_mistakes_are_told(client):
    with pytest.raises(TritonError, match=r"\[400\].*\[rows, 13\]"):
        client.infer("wine", [tensor("features", ROWS[:, :5].copy(), "FP64")])
    with pytest.raises(TritonError, match=r"\[404\].*did you mean 'wine'"):
        client.infer("whine", [tensor("features", ROWS, "FP64")])
    with pytest.raises(TritonError, match=r"\[400\].*predictions, raw, probability"):
        client.infer("wine", [tensor("features", ROWS, "FP64")], outputs=[output("score")])
    with pytest.raises(TritonError, match=r"\[400\].*classification.*not supported"):
        client.infer("wine", [tensor("features", ROWS, "FP64")], outputs=[output("probability", class_count=2)])


def test_repository(client):
    def state(name):
        return {(entry["version"], entry["state"]) for entry in client.get_model_repository_index() if entry["name"] == name}

    assert state("wine") == {("v1.0.0", "READY")}
    client.unload_model("wine")
    assert state("wine") == {("v1.0.0", "UNAVAILABLE")} and not client.is_model_ready("wine")
    with pytest.raises(TritonError, match=r"\[503\].*unloaded by request"):
        client.infer("wine", [tensor("features", ROWS, "FP64")])
    client.load_model("wine")
    assert state("wine") == {("v1.0.0", "READY")} and client.is_model_ready("wine")
    with pytest.raises(TritonError, match=r"\[404\]"):
        client.load_model("whine")


def test_load_with_files(client):
    client.load_model("pushed", config="{}", files={"file:7/model.txt": (EXAMPLE_MODELS / "penguins/v1.0.0/model.txt").read_bytes()})
    assert client.is_model_ready("pushed", "7")


def test_statistics(client):
    def counts():
        (entry,) = client.get_inference_statistics("wine", "v1.0.0")["model_stats"]
        return entry["execution_count"], entry["inference_count"], entry["inference_stats"]["success"]["count"]

    before = counts()
    client.infer("wine", [tensor("features", ROWS, "FP64")])
    assert counts() == (before[0] + 1, before[1] + len(ROWS), before[2] + 1)
    assert {entry["name"] for entry in client.get_inference_statistics()["model_stats"]} >= {"wine", "penguins", "breast-cancer"}
