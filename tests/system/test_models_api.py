# SPDX-License-Identifier: Apache-2.0
"""/api/v1/models: push, aliases, switching under load, deletion, and what a broken push must not do."""

import base64
import json
import threading

import pytest
from harness import (EXAMPLE, EXAMPLE_MODELS, GOLDEN, check_error, constant_model, put_version, sha256, store_listing)

OCTETS = {"Content-Type": "application/octet-stream"}
WINE_FILE = (EXAMPLE_MODELS / "wine" / "v1.0.0" / "model.json").read_bytes()


def push(server, model, data, version=None, query="", headers=OCTETS):
    if version is None:
        return server.post(f"/api/v1/models/{model}/versions{query}", data=data, headers=headers)
    return server.put(f"/api/v1/models/{model}/versions/{version}{query}", data, headers=headers)


def set_alias(server, model, alias, version):
    return server.request("PUT", f"/api/v1/models/{model}/aliases/{alias}", json={"version": version})


def versions_of(server, model):
    return server.get(f"/api/v1/models/{model}").json()["versions"]


def version_names(server, model):
    return [v["version"] if isinstance(v, dict) else v for v in versions_of(server, model)]


@pytest.fixture
def own(make_server):
    return make_server("--models.poll=0")


# --- Reading ----------------------------------------------------------------------------------------------


def test_list_names_every_model(server):
    document = server.get("/api/v1/models").json()
    assert [i["name"] for i in document["items"]] == ["breast-cancer", "penguins", "wine"]
    for item in document["items"]:
        assert {"name", "current_version", "state", "versions", "aliases"} <= set(item)
        assert item["current_version"] == "v1.0.0" and item["state"] == "READY"
    assert document["next_cursor"] is None


def test_pages_cover_the_list_once(module_server):
    names, cursor, pages = [], None, 0
    while True:
        answer = module_server.get("/api/v1/models", params={"limit": 2, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert len(document["items"]) <= 2
        names += [i["name"] for i in document["items"]]
        pages += 1
        cursor = document["next_cursor"]
        if not cursor:
            break
    assert names == ["breast-cancer", "penguins", "wine"] and pages == 2


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=abc", "limit=1e3", "limit=", "limit=99999999999999999999"])
def test_bad_limit(server, query):
    check_error(server.get(f"/api/v1/models?{query}"), 400)


@pytest.mark.parametrize("name", list(EXAMPLE))
def test_one_model(server, name):
    document = server.get(f"/api/v1/models/{name}").json()
    assert document["name"] == name and document["current_version"] == "v1.0.0"
    assert version_names(server, name) == ["v1.0.0"]


@pytest.mark.parametrize("name", list(EXAMPLE))
def test_one_version_tells_what_it_is(server, name):
    document = server.get(f"/api/v1/models/{name}/versions/v1.0.0").json()
    text = json.dumps(document)
    assert document["version"] == "v1.0.0"
    assert EXAMPLE[name].metadata["sha256"] in text and EXAMPLE[name].metadata["format"] in text
    for feature in EXAMPLE[name].names:
        assert f'"{feature}"' in text


@pytest.mark.parametrize("path,code", [("whine", "model.not_found"), ("wine/versions/v2", "model.version_not_found"), ("whine/versions/v1.0.0", "model.not_found")])
def test_unknown(server, path, code):
    check_error(server.get(f"/api/v1/models/{path}"), 404, code)


def test_service_figures(server):
    document = server.get("/api/v1/metrics").json()
    assert document["models_loaded"] == 3
    assert document["uptime_seconds"] >= 0
    assert "cache" in document and "memory" in json.dumps(document)


# --- Pushing ------------------------------------------------------------------------------------------------


def test_push_then_predict(own):
    answer = push(own, "step", constant_model(7), "v1")
    assert answer.status_code == 201, answer.text
    assert own.predictions("step", [0]) == [7.0]
    assert own.predict("step", [0]).json()["model_version"] == "v1"


def test_location_leads_to_the_version(own):
    answer = push(own, "step", constant_model(7), "v1")
    location = answer.headers["Location"]
    assert location.endswith("/api/v1/models/step/versions/v1")
    assert own.get(location[location.index("/api"):]).json()["version"] == "v1"


def test_first_push_chooses_version_1_then_counts(own):
    for want in ("1", "2", "3"):
        answer = push(own, "step", constant_model(int(want)))
        assert answer.status_code == 201 and answer.headers["Location"].endswith(f"/versions/{want}"), answer.text
        assert own.predictions("step", [0]) == [float(want)], "the answer to a push comes when the version serves"


@pytest.mark.parametrize("newest,following", [("v1.0.0", "v1.0.1"), ("9", "10"), ("v1.9", "v1.10")])
def test_next_version_follows_the_newest(own, newest, following):
    assert push(own, "step", constant_model(1), newest).status_code == 201
    assert push(own, "step", constant_model(2)).headers["Location"].endswith(f"/versions/{following}")


@pytest.mark.parametrize("name,file,format", [("a", EXAMPLE_MODELS / "breast-cancer/v1.0.0/model.json", "xgboost-json"),
                                              ("b", EXAMPLE_MODELS / "wine/v1.0.0/model.json", "catboost-json"),
                                              ("c", EXAMPLE_MODELS / "penguins/v1.0.0/model.txt", "lightgbm-text")])
@pytest.mark.parametrize("named", [False, True], ids=["recognised", "named"])
def test_each_format(own, name, file, format, named):
    answer = push(own, name, file.read_bytes(), "1", f"?format={format}" if named else "")
    assert answer.status_code == 201, answer.text
    assert format in own.get(f"/api/v1/models/{name}/versions/1").text


def test_ubjson(own):
    data = base64.b64decode((GOLDEN / "xgboost1-ubjson-gblinear" / "model.ubj.b64").read_text())
    assert push(own, "ubj", data, "1").status_code == 201
    assert "xgboost-ubjson" in own.get("/api/v1/models/ubj/versions/1").text


def test_multipart_with_metadata(own):
    metadata = {"description": "a step", "owner": {"team": "b"}, "training": {"rows": 5}}
    files = {"model": ("my-model.txt", constant_model(3), "application/octet-stream"), "metadata": ("metadata.json", json.dumps(metadata), "application/json")}
    answer = own.put("/api/v1/models/step/versions/v1", files=files)
    assert answer.status_code == 201, answer.text
    assert own.predictions("step", [0]) == [3.0]
    kept = json.loads((own.models / "step/v1/metadata.json").read_text())
    assert kept["description"] == "a step" and kept["training"] == {"rows": 5}
    assert kept["sha256"] == sha256(constant_model(3)) and kept["format"] == "lightgbm-text"
    assert "a step" in own.get("/api/v1/models/step/versions/v1").text


def test_multipart_parts_in_the_other_order(own):
    files = [("metadata", (None, '{"description":"first"}', "application/json")), ("model", ("m", constant_model(3)))]
    assert own.put("/api/v1/models/step/versions/v1", files=files).status_code == 201
    assert "first" in own.get("/api/v1/models/step/versions/v1").text


MULTIPART = [
    ("no model part", {"metadata": (None, "{}")}),
    ("unknown part", {"model": ("m", constant_model(1)), "modle": ("m", b"x")}),
    ("metadata no JSON", {"model": ("m", constant_model(1)), "metadata": (None, "{")}),
    ("metadata no object", {"model": ("m", constant_model(1)), "metadata": (None, "[1]")}),
    ("metadata with a wrong sha256", {"model": ("m", constant_model(1)), "metadata": (None, json.dumps({"sha256": "0" * 64}))}),
    ("metadata with another format", {"model": ("m", constant_model(1)), "metadata": (None, json.dumps({"format": "catboost-json"}))}),
    ("metadata inputs that do not fit", {"model": ("m", constant_model(1)), "metadata": (None, json.dumps({"inputs": [{"name": "a"}, {"name": "b"}]}))}),
    ("empty model", {"model": ("m", b"")}),
]


@pytest.mark.parametrize("files", [m[1] for m in MULTIPART], ids=[m[0] for m in MULTIPART])
def test_bad_multipart_stores_nothing(own, files):
    check_error(own.put("/api/v1/models/step/versions/v1", files=files), range(400, 423))
    assert store_listing(own.models) == {}
    assert own.get("/api/v1/models/step").status_code == 404


@pytest.mark.parametrize("body", [b"--b\r\n", b"--b\r\nContent-Disposition: form-data; name=model\r\n\r\nabc", b"", b"--c--\r\n", b"\r\n--b--\r\n", b"--b" * 10000,
                                  b"--b\r\nContent-Disposition: form-data; name=\"model\"\r\n" + b"X-A: b\r\n" * 5000 + b"\r\nabc\r\n--b--\r\n"],
                         ids=["empty part", "part without end", "nothing", "another boundary", "no part", "only boundaries", "many part headers"])
def test_malformed_multipart(own, body):
    answer = own.put("/api/v1/models/step/versions/v1", body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    check_error(answer, range(400, 432))
    assert store_listing(own.models) == {}


def test_multipart_file_name_cannot_leave_the_folder(own):
    for name in ("../../evil", "/etc/evil", "..", ".", "a/b", "metadata.json", "con\x00", ".hidden", "..\\evil"):
        body = b'--b\r\nContent-Disposition: form-data; name="model"; filename="%s"\r\n\r\n' % name.encode() + constant_model(4) + b"\r\n--b--\r\n"
        answer = own.put("/api/v1/models/step/versions/v1", body, headers={"Content-Type": "multipart/form-data; boundary=b"})
        assert answer.status_code in (201, 400), answer.text
        files = store_listing(own.models)
        assert all(len(p.split("/")) == 3 and p.startswith("step/v1/") for p in files), files
        assert list(own.folder.rglob("*evil*")) in ([], [own.models / "step/v1/evil"], [own.models / "step/v1/..\\evil"])
        if answer.status_code == 201:
            assert own.predictions("step", [0]) == [4.0]
            assert own.delete("/api/v1/models/step").status_code == 204


def test_existing_version_is_refused(own):
    assert push(own, "step", constant_model(1), "v1").status_code == 201
    for data in (constant_model(1), constant_model(2)):
        check_error(push(own, "step", data, "v1"), 409, "model.version_exists", words="v1")
    assert own.predictions("step", [0]) == [1.0]


BROKEN = [
    ("empty", b"", ""), ("text", b"hello", ""), ("html", b"<html></html>", ""), ("zeros", b"\0" * 1000, ""), ("json that is no model", b'{"a":1}', ""),
    ("half a file", WINE_FILE[:len(WINE_FILE) // 2], ""), ("another format named", WINE_FILE, "?format=lightgbm-text"), ("pickle", b"\x80\x04\x95\x0f", ""),
]


@pytest.mark.parametrize("data,query", [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_broken_push_stores_nothing(own, data, query):
    check_error(push(own, "step", data, "v1", query), (400, 422), ("model.format", "model.unsupported", "json.syntax", "request.invalid"))
    assert store_listing(own.models) == {} and not [p for p in own.models.rglob("*") if "v1" in p.name]
    assert own.get("/api/v1/models/step").status_code == 404


def test_broken_push_names_the_fault(own):
    text = constant_model(1).replace(b"leaf_value=1.0 1.0", b"leaf_value=1.0 abc")
    document = check_error(push(own, "step", text, "v1"), 400, "model.format")
    assert "leaf_value" in document["error"] or document.get("details", {}).get("line"), document


@pytest.mark.parametrize("query", ["?format=pickle", "?format=", "?format=LIGHTGBM", "?fromat=lightgbm-text"])
def test_unknown_format_or_parameter(own, query):
    check_error(push(own, "step", constant_model(1), "v1", query), 400)
    assert store_listing(own.models) == {}


def test_broken_push_leaves_the_old_version_serving(own):
    push(own, "step", constant_model(1), "v1")
    before = store_listing(own.models)
    for data, query in [b[1:] for b in BROKEN]:
        assert push(own, "step", data, "v2", query).status_code in (400, 422)
        assert own.predictions("step", [0]) == [1.0]
    assert store_listing(own.models) == before
    assert own.get("/health/ready").status_code == 200


NAMES = ["..", ".hidden", "-dash", "a b", "a%2Fb", "%2e%2e", "a%00b", "x" * 129, "%C3%A9", "a*b", "a%0Ab"]


@pytest.mark.parametrize("name", NAMES)
def test_bad_model_name(own, name):
    with own.connect() as c:
        data = constant_model(1)
        answer = c.send(b"PUT /api/v1/models/%s/versions/v1 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (name.encode(), len(data)) + data).answer()
        check_error(answer, (400, 404))
    assert store_listing(own.models) == {}
    assert not [p for p in own.folder.rglob("model.txt")]


@pytest.mark.parametrize("version", [n for n in NAMES if n != "x" * 129] + ["x" * 65])
def test_bad_version_name(own, version):
    with own.connect() as c:
        data = constant_model(1)
        answer = c.send(b"PUT /api/v1/models/step/versions/%s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (version.encode(), len(data)) + data).answer()
        check_error(answer, (400, 404))
    assert store_listing(own.models) == {}


def test_longest_names_are_taken(own):
    assert push(own, "m" * 128, constant_model(5), "v" * 64).status_code == 201
    assert own.predictions("m" * 128, [0]) == [5.0]


@pytest.mark.parametrize("case", ["put", "post"])
def test_concurrent_pushes_of_one_version(make_server, case):
    """PUT: exactly one wins and its bytes serve. POST: each gets a version of its own."""
    own = make_server("--models.poll=0", "--models.policy=all")
    answers, barrier = [None] * 8, threading.Barrier(8)

    def one(i):
        import requests
        with requests.Session() as s:
            barrier.wait()
            path = "/api/v1/models/race/versions" + ("/v1" if case == "put" else "")
            answers[i] = s.request(case.upper(), own.url + path, data=constant_model(i), headers=OCTETS, timeout=20)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    statuses = sorted(a.status_code for a in answers)
    if case == "put":
        assert statuses == [201] + [409] * 7
        winner = next(i for i, a in enumerate(answers) if a.status_code == 201)
        assert own.predictions("race", [0]) == [float(winner)]
        assert version_names(own, "race") == ["v1"]
    else:
        assert statuses == [201] * 8
        for i, a in enumerate(answers):
            version = a.headers["Location"].rsplit("/", 1)[1]
            assert own.predictions("race", [0], version=version) == [float(i)]
        assert sorted(map(int, version_names(own, "race"))) == list(range(1, 9))
    assert not [n for n in store_listing(own.models) if "/." in "/" + n]


def test_versions_are_listed_newest_first(own):
    for version in ("v1.9.0", "v1.10.0", "v1.2.0", "v1.10.0-rc1"):
        push(own, "step", constant_model(1), version)
    assert version_names(own, "step") == ["v1.10.0", "v1.10.0-rc1", "v1.9.0", "v1.2.0"]
    assert own.get("/api/v1/models/step").json()["current_version"] == "v1.10.0"


def test_store_outlives_the_server(make_server):
    own = make_server("--models.poll=0")
    push(own, "step", constant_model(1), "v1")
    set_alias(own, "step", "champion", "v1")
    assert own.stop() == 0
    own.start()
    assert own.predictions("step", [0], version="champion") == [1.0]


def test_upload_limit(make_server):
    own = make_server("--http.upload_limit=64KiB")
    assert push(own, "step", constant_model(1), "v1").status_code == 201
    with own.connect() as c:
        answer = c.ask(b"PUT /api/v1/models/step/versions/v2 HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n")
        check_error(answer, 413, "http.body_too_large")
    assert version_names(own, "step") == ["v1"]


def test_model_larger_than_max_bytes(make_server):
    own = make_server("--models.max_bytes=2KiB")
    big = constant_model(1, trees=50)
    assert len(big) > 2048
    check_error(push(own, "step", big, "v1"), 413, "model.too_large")
    assert store_listing(own.models) == {}


# --- Aliases --------------------------------------------------------------------------------------------------


@pytest.fixture
def two(own):
    for value in (1, 2):
        assert push(own, "step", constant_model(value), f"v{value}").status_code == 201
    return own


def test_alias_leads_to_its_version(two):
    for version, value in (("v1", 1.0), ("v2", 2.0), ("v1", 1.0)):
        assert set_alias(two, "step", "champion", version).status_code in (200, 201, 204)
        assert two.predictions("step", [0], version="champion") == [value]
        assert json.loads((two.models / "step/aliases.json").read_text()) == {"champion": version}
        assert two.get("/api/v1/models/step").json()["aliases"] == {"champion": version}


def test_alias_does_not_change_the_default(two):
    set_alias(two, "step", "champion", "v1")
    assert two.predictions("step", [0]) == [2.0]


def test_removed_alias_is_gone(two):
    set_alias(two, "step", "champion", "v1")
    assert two.delete("/api/v1/models/step/aliases/champion").status_code == 204
    check_error(two.predict("step", [0], version="champion"), 404, "model.version_not_found")
    check_error(two.delete("/api/v1/models/step/aliases/champion"), 404)


ALIASES = [
    ("unknown version", "step", "champion", {"version": "v9"}, 404, "model.version_not_found"),
    ("unknown model", "stop", "champion", {"version": "v1"}, 404, "model.not_found"),
    ("no version", "step", "champion", {}, 400, None),
    ("version is a list", "step", "champion", {"version": ["v1"]}, 400, None),
    ("unknown field", "step", "champion", {"version": "v1", "wight": 5}, 400, None),
    ("alias to an alias", "step", "other", {"version": "champion"}, 404, None),
    ("bad name", "step", ".x", {"version": "v1"}, 400, None),
]


@pytest.mark.parametrize("model,alias,body,status,code", [a[1:] for a in ALIASES], ids=[a[0] for a in ALIASES])
def test_bad_alias(two, model, alias, body, status, code):
    set_alias(two, "step", "champion", "v1")
    check_error(two.request("PUT", f"/api/v1/models/{model}/aliases/{alias}", json=body), status, code)
    assert two.get("/api/v1/models/step").json()["aliases"] == {"champion": "v1"}


def test_alias_never_hides_a_version_of_that_name(two):
    set_alias(two, "step", "v2", "v1")  # taken or refused
    assert two.predictions("step", [0], version="v2") == [2.0]


def hammer(server, stop, failures, counts, query):
    """Predicts until told to stop; every answer must be a 200 whose value belongs to the version it names."""
    import requests
    with requests.Session() as s:
        while not stop.is_set():
            try:
                answer = s.post(server.url + "/api/v1/predict", json=query, timeout=20)
            except requests.RequestException as error:
                failures.append(repr(error))
                return
            if answer.status_code != 200:
                failures.append(answer.text)
                return
            document = answer.json()
            if document["predictions"] != [float(document["model_version"].lstrip("v"))]:
                failures.append(answer.text)
            counts[document["model_version"]] = counts.get(document["model_version"], 0) + 1


def under_load(server, query, work, threads=3):
    stop, failures, counts = threading.Event(), [], {}

    def served():
        assert not failures, failures[:3]
        return sum(counts.values())

    clients = [threading.Thread(target=hammer, args=(server, stop, failures, counts, query)) for _ in range(threads)]
    [c.start() for c in clients]
    try:
        work(served)
    finally:
        stop.set()
        [c.join() for c in clients]
    assert not failures, failures[:3]
    return counts


def after_more(count, served):
    from harness import wait_until
    goal = served() + count
    wait_until(lambda: served() >= goal, what=f"{count} more answers")


def test_switching_an_alias_under_load_fails_no_request(two):
    set_alias(two, "step", "champion", "v1")

    def work(served):
        for i in range(40):
            assert set_alias(two, "step", "champion", f"v{i % 2 + 1}").status_code in (200, 201, 204)
            after_more(5, served)

    counts = under_load(two, {"model": "step", "version": "champion", "features": [0]}, work)
    assert set(counts) == {"v1", "v2"}


def test_answer_after_the_switch_is_of_the_new_version(two):
    """Read your writes: the first prediction after the alias was set, on any connection, sees it."""
    set_alias(two, "step", "champion", "v1")
    connections = [two.connect() for _ in range(8)]
    from harness import raw_request
    ask = raw_request("POST", "/api/v1/predict", {"model": "step", "version": "champion", "features": [0]})
    for i in range(20):
        version = f"v{i % 2 + 1}"
        set_alias(two, "step", "champion", version)
        for c in connections:
            assert c.ask(ask).json()["model_version"] == version
    [c.close() for c in connections]


def test_pushing_and_deleting_versions_under_load_fails_no_request(two):
    def work(served):
        for value in range(3, 15):
            assert push(two, "step", constant_model(value), f"v{value}").status_code == 201
            after_more(3, served)
            assert two.delete(f"/api/v1/models/step/versions/v{value - 2}").status_code == 204
            after_more(3, served)

    counts = under_load(two, {"model": "step", "features": [0]}, work)
    assert "v14" in counts


# --- Deleting ---------------------------------------------------------------------------------------------------


def test_deleted_version_is_gone_and_the_one_before_serves(two):
    answer = two.delete("/api/v1/models/step/versions/v2")
    assert answer.status_code == 204 and answer.content == b""
    check_error(two.predict("step", [0], version="v2"), 404, "model.version_not_found")
    assert two.predictions("step", [0]) == [1.0]
    assert not (two.models / "step/v2").exists()


def test_version_in_use_by_an_alias_stays(two):
    set_alias(two, "step", "champion", "v1")
    check_error(two.delete("/api/v1/models/step/versions/v1"), 409, "model.in_use", words="champion")
    assert two.predictions("step", [0], version="v1") == [1.0]
    two.delete("/api/v1/models/step/aliases/champion")
    assert two.delete("/api/v1/models/step/versions/v1").status_code == 204


def test_deleted_model_is_gone(two):
    assert two.delete("/api/v1/models/step").status_code == 204
    check_error(two.predict("step", [0]), 404, "model.not_found")
    assert two.get("/api/v1/models").json()["items"] == []
    assert store_listing(two.models) == {}


def test_deleted_version_may_be_pushed_again(two):
    two.delete("/api/v1/models/step/versions/v2")
    assert push(two, "step", constant_model(22), "v2").status_code == 201
    assert two.predictions("step", [0], version="v2") == [22.0]


@pytest.mark.parametrize("path,code", [("stop", "model.not_found"), ("step/versions/v9", "model.version_not_found"), ("stop/versions/v1", "model.not_found")])
def test_deleting_what_is_not_there(two, path, code):
    check_error(two.delete(f"/api/v1/models/{path}"), 404, code)


def test_single_file_model_cannot_be_changed(make_server, tmp_path):
    file = tmp_path / "step.txt"
    file.write_bytes(constant_model(1))
    own = make_server("--model", file)
    assert own.predictions("step", [0]) == [1.0]
    check_error(own.delete("/api/v1/models/step"), 409, "model.read_only")
    check_error(push(own, "step", constant_model(2), "2"), 409, "model.read_only")
    assert file.exists()


@pytest.mark.parametrize("policy,loaded", [("latest", 1), ("all", 3)])
def test_policy_says_which_versions_are_loaded_at_start(make_server, tmp_path, policy, loaded):
    store = tmp_path / "models"
    for value in (1, 2, 3):
        put_version(store, "step", f"v{value}", constant_model(value))
    own = make_server(f"--models.policy={policy}", models=store)
    index = own.post("/v2/repository/index", {"ready": True}).json()
    assert len([e for e in index if e["name"] == "step"]) == loaded


def test_version_that_the_policy_leaves_out_is_told_so_and_an_alias_loads_it(make_server, tmp_path):
    store = tmp_path / "models"
    for value in (1, 2, 3):
        put_version(store, "step", f"v{value}", constant_model(value))
    own = make_server(models=store)
    check_error(own.predict("step", [0], version="v1"), 503, "model.not_ready", words=["v1", "models.policy"])
    set_alias(own, "step", "champion", "v1")
    assert own.predictions("step", [0], version="champion") == [1.0]
    assert own.predictions("step", [0], version="v1") == [1.0]


def test_given_versions_are_loaded_and_no_others(make_server, tmp_path):
    store = tmp_path / "models"
    for value in (1, 2, 3):
        put_version(store, "step", f"v{value}", constant_model(value))
    put_version(store, "other", "v1", constant_model(9))
    own = make_server("--models.policy=given", "--models.versions=step:v2", models=store)
    assert own.predictions("step", [0], version="v2") == [2.0]
    check_error(own.predict("other", [0]), 503, "model.not_ready")
