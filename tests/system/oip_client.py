# SPDX-License-Identifier: Apache-2.0
"""A minimal client of the Open Inference Protocol v2 over REST, written from its specification
(kserve/open-inference-protocol, and Triton's binary tensor data extension)."""

import gzip
import json
import struct
import subprocess

import numpy as np
import requests

TYPES = {"BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1", "INT16": "<i2", "INT32": "<i4",
         "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}
NAMES = {np.dtype(code): name for name, code in TYPES.items()}


def zstd(data, *options):
    """Through the zstd program: Debian's Python 3.11 has no module for it."""
    return subprocess.run(["zstd", "-q", "-c", *options], input=data, capture_output=True, check=True).stdout


class ProtocolError(Exception):
    def __init__(self, status, message):
        super().__init__(f"{status}: {message}")
        self.status = status


def pack(array, datatype):
    if datatype == "BYTES":
        parts = [v if isinstance(v, bytes) else str(v).encode() for v in np.asarray(array, dtype=object).ravel()]
        return b"".join(struct.pack("<I", len(p)) + p for p in parts)
    return np.ascontiguousarray(array, dtype=TYPES[datatype]).tobytes()


def unpack(data, datatype, shape):
    if datatype == "BYTES":
        values, at = [], 0
        while at < len(data):
            (size,) = struct.unpack_from("<I", data, at)
            values.append(data[at + 4:at + 4 + size])
            assert len(values[-1]) == size
            at += 4 + size
        return np.array(values, dtype=object).reshape(shape)
    return np.frombuffer(data, dtype=TYPES[datatype]).reshape(shape)


class Tensor:
    def __init__(self, name, data, datatype=None, shape=None, binary=False):
        self.name, self.binary = name, binary
        self.array = data if isinstance(data, np.ndarray) else np.array(data)
        self.datatype = datatype or NAMES.get(self.array.dtype, "BYTES")
        self.shape = list(shape if shape is not None else self.array.shape)

    def describe(self):
        entry = {"name": self.name, "shape": self.shape, "datatype": self.datatype}
        if self.binary:
            data = pack(self.array, self.datatype)
            return {**entry, "parameters": {"binary_data_size": len(data)}}, data
        data = [None if v != v else v for v in self.array.ravel().tolist()]  # JSON has no NaN
        return {**entry, "data": data}, b""


class Client:
    def __init__(self, url):
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False

    def call(self, method, path, **options):
        answer = self.session.request(method, self.url + path, timeout=20, **options)
        if answer.status_code != 200:
            raise ProtocolError(answer.status_code, answer.json()["error"])
        return answer

    def server_metadata(self):
        return self.call("GET", "/v2").json()

    def metadata(self, model, version=None):
        return self.call("GET", self.path(model, version)).json()

    def statistics(self, model, version=None):
        return self.call("GET", self.path(model, version) + "/stats").json()["model_stats"]

    @staticmethod
    def path(model, version):
        return f"/v2/models/{model}" + (f"/versions/{version}" if version else "")

    def body(self, inputs, outputs=None, id=None, parameters=None):
        """The bytes of an infer request and the length of their JSON part (None when nothing is binary)."""
        document, tail = {"inputs": []}, b""
        if id is not None:
            document["id"] = id
        if parameters is not None:
            document["parameters"] = parameters
        for tensor in inputs:
            entry, data = tensor.describe()
            document["inputs"].append(entry)
            tail += data
        if outputs is not None:
            document["outputs"] = [{"name": o} if isinstance(o, str) else o for o in outputs]
        text = json.dumps(document).encode()
        return text + tail, len(text) if any(t.binary for t in inputs) else None

    def infer(self, model, inputs, outputs=None, version=None, id=None, parameters=None, encoding=None):
        data, length = self.body(inputs, outputs, id, parameters)
        headers = {"Content-Type": "application/json"}
        if length is not None:
            headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(length)}
        if encoding:
            data = {"gzip": gzip.compress, "zstd": zstd}[encoding](data)
            headers["Content-Encoding"] = encoding
        return self.read(self.call("POST", self.path(model, version) + "/infer", data=data, headers=headers))

    def infer_raw(self, model, data, version=None):
        return self.read(self.call("POST", self.path(model, version) + "/infer", data=data, headers={
            "Content-Type": "application/octet-stream", "Inference-Header-Content-Length": "0"}))

    @staticmethod
    def read(answer):
        """(document, {output name: array})"""
        size = answer.headers.get("Inference-Header-Content-Length")
        text, tail = (answer.content, b"") if size is None else (answer.content[:int(size)], answer.content[int(size):])
        document, arrays = json.loads(text), {}
        for output in document["outputs"]:
            count = output.get("parameters", {}).get("binary_data_size")
            if count is not None:
                assert "data" not in output
                assert len(tail) >= count
                data, tail = tail[:count], tail[count:]
                arrays[output["name"]] = unpack(data, output["datatype"], output["shape"])
            else:
                kind = object if output["datatype"] == "BYTES" else TYPES[output["datatype"]]
                arrays[output["name"]] = np.array(output["data"], dtype=kind).reshape(output["shape"])
        assert tail == b"", "bytes after the last tensor"
        return document, arrays
