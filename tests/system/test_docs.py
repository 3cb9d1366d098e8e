# SPDX-License-Identifier: Apache-2.0
"""/openapi.json and /docs: complete, consistent with what the server does, and usable without a network."""

import re

import pytest
from harness import EXAMPLE, constant_model, lightgbm_model  # noqa: F401

WINE = EXAMPLE["wine"]
VALUES = {"model": "wine", "version": "v1.0.0", "alias": "champion"}


@pytest.fixture(scope="module")
def document(module_server):
    answer = module_server.get("/openapi.json")
    assert answer.status_code == 200 and answer.headers["Content-Type"].split(";")[0] == "application/json"
    return answer.json()


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in ("get", "put", "post", "delete", "patch", "head", "options"):
                yield path, method, operation


def resolve(document, ref):
    assert ref.startswith("#/"), f"external reference {ref}"
    at = document
    for part in ref[2:].split("/"):
        at = at[part.replace("~1", "/").replace("~0", "~")]
    return at


def walk(value, path="#"):
    yield path, value
    if isinstance(value, dict):
        for k, v in value.items():
            yield from walk(v, f"{path}/{k}")
    elif isinstance(value, list):
        for i, v in enumerate(value):
            yield from walk(v, f"{path}/{i}")


TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def conforms(document, schema, value, where="$"):
    """The part of JSON Schema 2020-12 that the document uses."""
    if "$ref" in schema:
        return conforms(document, resolve(document, schema["$ref"]), value, where)
    for kind in ("anyOf", "oneOf"):
        if kind in schema:
            errors = [conforms(document, s, value, where) for s in schema[kind]]
            if all(errors):
                return errors[0]
    kinds = schema.get("type")
    if kinds:
        kinds = [kinds] if isinstance(kinds, str) else kinds
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not any((k == "number" and number) or (k == "integer" and number and value == int(value)) or (k in TYPES and isinstance(value, TYPES[k]) and not (k != "boolean" and isinstance(value, bool)))
                   for k in kinds):
            return f"{where}: {value!r:.60} is not {kinds}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where}: {value!r} is none of {schema['enum']}"
    if isinstance(value, dict):
        for name in schema.get("required", []):
            if name not in value:
                return f"{where}: no {name!r}"
        for name, item in value.items():
            if name in schema.get("properties", {}):
                error = conforms(document, schema["properties"][name], item, f"{where}.{name}")
            elif schema.get("additionalProperties") is False:
                error = f"{where}: undocumented {name!r}"
            elif isinstance(schema.get("additionalProperties"), dict):
                error = conforms(document, schema["additionalProperties"], item, f"{where}.{name}")
            else:
                error = None
            if error:
                return error
    if isinstance(value, list) and "items" in schema:
        for i, item in enumerate(value):
            error = conforms(document, schema["items"], item, f"{where}[{i}]")
            if error:
                return error
    return None


def test_is_openapi_3_1(document):
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert document["info"]["title"] and document["info"]["version"]


def test_covers_the_specified_routes(document):
    have = {(m.upper(), p) for p, m, _ in operations(document)}
    want = {("POST", "/api/v1/predict"), ("POST", "/api/v1/predict/batch"), ("GET", "/api/v1/models"), ("GET", "/api/v1/models/{model}"), ("DELETE", "/api/v1/models/{model}"),
            ("GET", "/api/v1/models/{model}/versions/{version}"), ("PUT", "/api/v1/models/{model}/versions/{version}"), ("DELETE", "/api/v1/models/{model}/versions/{version}"),
            ("POST", "/api/v1/models/{model}/versions"), ("PUT", "/api/v1/models/{model}/aliases/{alias}"), ("DELETE", "/api/v1/models/{model}/aliases/{alias}"),
            ("GET", "/api/v1/metrics"), ("GET", "/health"), ("GET", "/health/live"), ("GET", "/health/ready"), ("GET", "/ready"), ("GET", "/metrics"), ("GET", "/v2"),
            ("GET", "/v2/models/{model}"), ("POST", "/v2/models/{model}/infer"), ("POST", "/v2/models/{model}/versions/{version}/infer"), ("POST", "/v2/repository/index"),
            ("POST", "/v2/repository/models/{model}/load"), ("POST", "/v2/repository/models/{model}/unload"), ("GET", "/v2/models/{model}/stats"), ("GET", "/v2/health/live"), ("GET", "/v2/health/ready")}
    assert want <= have, want - have


def test_every_listed_route_is_served(document, module_server):
    """Asked with names that exist; the answer may be an error of the request, but the route is there."""
    for path, method, operation in operations(document):
        if method == "delete":
            continue
        answer = module_server.request(method.upper(), path.format(**VALUES), data=b"" if method in ("put", "post") else None)
        assert answer.status_code not in (404, 405, 500, 501), f"{method} {path}: {answer.status_code} {answer.text[:200]}"
    assert module_server.post("/v2/repository/models/wine/load").status_code == 200  # the others need it


def test_every_listed_deletion_is_served(document, module_server):
    """Each is asked for something that is there."""
    for path, method, _ in operations(document):
        if method != "delete":
            continue
        for version in ("v1", "v2"):
            assert module_server.put(f"/api/v1/models/gone/versions/{version}", constant_model(1)).status_code in (201, 409)
        module_server.request("PUT", "/api/v1/models/gone/aliases/champion", json={"version": "v2"})
        answer = module_server.delete(path.format(model="gone", version="v1", alias="champion"))
        assert answer.status_code == 204, f"{path}: {answer.text}"
    assert module_server.get("/api/v1/models/gone").status_code in (200, 404)


def test_other_methods_are_405_and_allow_is_what_is_listed(document, module_server):
    for path, item in document["paths"].items():
        listed = {m.upper() for m in item}
        if "PATCH" in listed:
            continue
        answer = module_server.request("PATCH", path.format(**VALUES))
        assert answer.status_code == 405, f"PATCH {path}: {answer.status_code}"
        allowed = set(re.split(r"\s*,\s*", answer.headers["Allow"]))
        assert listed <= allowed and not {"PATCH"} & allowed, f"{path}: Allow {allowed}, listed {listed}"


def test_references_resolve(document):
    references = [(where, value["$ref"]) for where, value in walk(document) if isinstance(value, dict) and isinstance(value.get("$ref"), str)]
    assert references
    for where, ref in references:
        resolve(document, ref)


def test_path_parameters_are_described(document):
    for path, method, operation in operations(document):
        item = document["paths"][path]
        described = [resolve(document, p["$ref"]) if "$ref" in p else p for p in operation.get("parameters", []) + item.get("parameters", [])]
        in_path = {p["name"] for p in described if p["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)", path)), f"{method} {path}"
        assert all(p.get("required") is True for p in described if p["in"] == "path")
        assert all("schema" in p for p in described)


def test_operations_are_named_once_and_summarised(document):
    ids = [o["operationId"] for _, _, o in operations(document)]
    assert len(ids) == len(set(ids))
    assert all(o.get("summary") and o.get("responses") for _, _, o in operations(document))


def test_errors_are_described_as_they_are(document, module_server):
    schema = document["paths"]["/api/v1/predict"]["post"]["responses"]["default"]
    schema = resolve(document, schema["$ref"]) if "$ref" in schema else schema
    schema = schema["content"]["application/json"]["schema"]
    for body in ({"model": "wine", "features": [1]}, {"model": "nope", "features": [1]}, {"model": "wine", "features": [{"alcohl": 1}]}, []):
        assert conforms(document, schema, module_server.post("/api/v1/predict", body).json()) is None


def success_schema(document, path, method):
    responses = document["paths"][path][method]["responses"]
    for status in ("200", "201", "2XX"):
        if status in responses:
            return responses[status].get("content", {}).get("application/json", {}).get("schema")
    return None


@pytest.mark.parametrize("method,path,body", [
    ("post", "/api/v1/predict", {"model": "wine", "features": WINE.records}), ("post", "/api/v1/predict/batch", {"batch_id": "a", "batches": [{"model_type": "wine", "features": [1]}]}),
    ("get", "/api/v1/models", None), ("get", "/api/v1/models/{model}", None), ("get", "/api/v1/models/{model}/versions/{version}", None), ("get", "/api/v1/metrics", None),
    ("get", "/health", None), ("get", "/health/ready", None), ("get", "/v2", None), ("get", "/v2/models", None), ("get", "/v2/models/{model}", None), ("get", "/v2/models/{model}/stats", None),
    ("post", "/v2/models/{model}/infer", {"inputs": [{"name": "x", "shape": [1, 13], "datatype": "FP64", "data": [0] * 13}]}), ("post", "/v2/repository/index", {}),
])
def test_answers_conform_to_their_schemas(document, module_server, method, path, body):
    schema = success_schema(document, path, method)
    assert schema, "no schema of the answer"
    answer = module_server.request(method.upper(), path.format(**VALUES), json=body)
    assert answer.status_code == 200, answer.text
    assert conforms(document, schema, answer.json()) is None


def test_request_examples_work(document, module_server):
    tried = 0
    for path, method, operation in operations(document):
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            if "example" not in content or kind != "application/json" or "{alias}" in path:
                continue
            values = {**VALUES, "model": "breast-cancer" if "30" in str(content["example"]) else "wine"}
            assert conforms(document, content.get("schema", {}), content["example"]) is None, path
            if "{" in path and "infer" in path:
                continue  # its example is of no particular model
            answer = module_server.request(method.upper(), path.format(**values), json=content["example"])
            assert answer.status_code < 300, f"{method} {path}: {answer.text}"
            tried += 1
    assert tried


def test_docs_is_a_page(server):
    answer = server.get("/docs")
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/html")
    assert "<title>" in answer.text and "openapi.json" in answer.text


def test_docs_loads_nothing_from_elsewhere(server):
    text = server.get("/docs").text
    assert not re.search(r"""(?:src|href|url|import|action)\s*[=(]\s*["']?\s*(?:https?:)?//""", text, re.I)
    assert not re.search(r"""(?:fetch|open|WebSocket|EventSource)\(\s*["'](?:https?:|wss?:)?//""", text)
    assert "default-src 'none'" in server.get("/docs").headers["Content-Security-Policy"]
