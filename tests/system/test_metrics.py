# SPDX-License-Identifier: Apache-2.0
"""/metrics: the exposition formats, and counts that move by exactly what was sent."""

import re

import pytest
from harness import EXAMPLE, Metrics, constant_model, metrics, record_rows, wait_until

WINE = EXAMPLE["wine"]
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
BUCKETS = ["0.001", "0.01", "0.1", "0.5", "1", "2.5", "5", "10", "+Inf"]


def counted(server, what, want):
    """A request is counted when its answer is written, which may be a moment after the client has it."""
    wait_until(lambda: what(metrics(server)) == want, 5, f"{want}, now {what(metrics(server))}")


@pytest.fixture
def own(make_server):
    return make_server(examples=True)


def test_text_format(server):
    answer = server.get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    parsed = Metrics(answer.text)
    for name in parsed.names():
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        assert name in parsed.types or parsed.types.get(family) == "histogram", f"{name} has no TYPE"
        assert name in parsed.help or family in parsed.help, f"{name} has no HELP"


def test_openmetrics(server):
    answer = server.get("/metrics", headers={"Accept": OPENMETRICS})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    parsed = Metrics(answer.text, openmetrics=True)
    for name, kind in parsed.types.items():
        assert not (kind == "counter" and name.endswith("_total")), "an OpenMetrics counter family has no _total"
    for name in parsed.names():
        family = re.sub(r"_(bucket|sum|count|total|created)$", "", name)
        assert name in parsed.types or family in parsed.types, name


@pytest.mark.parametrize("accept,openmetrics", [("*/*", False), ("text/plain", False), (OPENMETRICS + ";q=0.9,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True),
                                                (OPENMETRICS + ";q=0.1,text/plain;q=0.9", False), ("image/png", False), ("application/openmetrics-text", True)])
def test_format_by_accept(server, accept, openmetrics):
    answer = server.get("/metrics", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text") == openmetrics


@pytest.mark.parametrize("name", ["http_requests_total", "active_connections", "predictions_total", "models_loaded", "process_cpu_seconds_total", "process_resident_memory_bytes",
                                  "process_open_fds", "process_max_fds", "process_start_time_seconds", "process_virtual_memory_bytes"])
def test_documented_names_exist(server, name):
    server.predictions("wine", WINE.records)
    assert metrics(server).series(name)


@pytest.mark.parametrize("name,labels", [("http_requests_total", {"method", "endpoint", "status"}), ("http_request_duration_seconds_count", {"method", "endpoint"}),
                                         ("predictions_total", {"model", "model_version", "outcome"}), ("model_prediction_duration_seconds_count", {"model"}),
                                         ("model_errors_total", {"error_type"}), ("active_connections", set()), ("models_loaded", set()),
                                         ("model_memory_bytes", {"model", "model_version"})])
def test_labels(server, name, labels):
    server.predictions("wine", WINE.records)
    server.predict("wine", [1])
    series = metrics(server).series(name)
    assert series and all(set(found) == labels for found, _ in series)


def test_requests_are_counted_by_method_pattern_and_status(own):
    for _ in range(7):
        own.predictions("wine", WINE.records[0])
    for _ in range(3):
        assert own.predict("wine", [1]).status_code == 400
    for _ in range(2):
        assert own.predict("whine", [1]).status_code == 404
    for name in ("wine", "penguins", "whine"):
        own.get(f"/api/v1/models/{name}")

    def requests(m, method, endpoint, status):
        return m.value("http_requests_total", method=method, endpoint=endpoint, status=status)

    counted(own, lambda m: [requests(m, "POST", "/api/v1/predict", s) for s in ("200", "400", "404")], [7, 3, 2])
    counted(own, lambda m: [requests(m, "GET", "/api/v1/models/{model}", s) for s in ("200", "404")], [2, 1])


def test_durations_have_the_documented_buckets_and_add_up(own):
    for _ in range(5):
        own.predictions("wine", WINE.records[0])
    labels = {"method": "POST", "endpoint": "/api/v1/predict"}
    counted(own, lambda m: m.value("http_request_duration_seconds_count", **labels), 5)
    m = metrics(own)
    buckets = [(found["le"], value) for found, value in m.series("http_request_duration_seconds_bucket") if labels.items() <= found.items()]
    assert sorted((b for b, _ in buckets), key=float) == sorted(BUCKETS, key=float)
    values = [v for _, v in sorted(buckets, key=lambda b: float(b[0]))]
    assert values == sorted(values) and values[-1] == 5
    assert 0 < m.value("http_request_duration_seconds_sum", **labels) < 5


def test_series_of_endpoints_are_patterns(own):
    """Nothing that a client invents becomes a series."""
    for i in range(30):
        own.get(f"/api/v1/models/m{i}")
        own.get(f"/v2/models/wine/versions/x{i}")
        own.get(f"/nothing/here/{i}")
        own.request("PROPFIND" if i % 2 else "DELETE", f"/api/v1/predict?i={i}")
    with own.connect() as c:
        c.send(b"BREW%d / HTTP/1.1\r\nHost: a\r\n\r\n" % 5)
        c.answer()
    m = metrics(own)
    endpoints = {labels["endpoint"] for labels, _ in m.series("http_requests_total")}
    documented = set(own.get("/openapi.json").json()["paths"])
    assert not [e for e in endpoints if re.search(r"/[mx]\d|nothing|\?", e)], endpoints
    assert len(endpoints - documented) <= 2, endpoints - documented
    methods = {labels["method"] for labels, _ in m.series("http_requests_total")}
    assert not [x for x in methods if "BREW" in x or "PROPFIND" in x], methods


def test_predictions_are_counted_by_model_version_and_outcome(own):
    before = metrics(own)
    for _ in range(4):
        own.predictions("wine", WINE.records)
    for _ in range(3):
        own.predict("wine", [1])
    own.post("/v2/models/wine/infer", {"inputs": [{"name": "x", "shape": [1, 13], "datatype": "FP64", "data": record_rows(WINE)[0]}]})

    def outcomes(m):
        found = {}
        for labels, value in m.series("predictions_total"):
            assert labels["model"] in EXAMPLE and labels["model_version"] == "v1.0.0"
            found[labels["model"], labels["outcome"]] = value - before.value("predictions_total", **labels)
        return {k: v for k, v in found.items() if v}

    counted(own, outcomes, {("wine", "success"): 5, ("wine", "error"): 3})
    counted(own, lambda m: m.value("model_prediction_duration_seconds_count", model="wine"), 5)


def test_batch_entries_count_one_each(own):
    own.post("/api/v1/predict/batch", {"batch_id": "a", "batches": [{"model_type": "wine", "features": WINE.records[0]}] * 6})
    counted(own, lambda m: m.value("predictions_total", model="wine", outcome="success"), 6)
    counted(own, lambda m: m.value("http_requests_total", endpoint="/api/v1/predict/batch"), 1)


def test_errors_are_counted_by_type(own):
    for _ in range(3):
        own.predict("wine", [1])
    own.predict("wine", {"alcohl": 1})
    own.predict("whine", [1])
    counted(own, lambda m: sum(v for _, v in m.series("model_errors_total")), 5)
    assert len({labels["error_type"] for labels, v in metrics(own).series("model_errors_total") if v}) == 3


def test_active_connections_follow(own):
    metrics(own)  # the session's connection is open from here on
    base = metrics(own).value("active_connections")
    connections = [own.connect() for _ in range(20)]
    for c in connections:
        c.ask(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n")
    assert metrics(own).value("active_connections") == base + 20
    [c.close() for c in connections]
    counted(own, lambda m: m.value("active_connections"), base)


def test_models_loaded_follows(own):
    assert metrics(own).value("models_loaded") == 3
    own.put("/api/v1/models/step/versions/v1", constant_model(1), headers={"Content-Type": "application/octet-stream"})
    assert metrics(own).value("models_loaded") == 4
    own.delete("/api/v1/models/step")
    assert metrics(own).value("models_loaded") == 3


def test_memory_follows_the_loaded_models(own):
    def memory(name, version):
        return [v for labels, v in metrics(own).series("model_memory_bytes") if labels == {"model": name, "model_version": version}]

    def put(model, version, trees):
        own.put(f"/api/v1/models/{model}/versions/{version}", constant_model(1, trees=trees), headers={"Content-Type": "application/octet-stream"})
        return own.get(f"/api/v1/models/{model}/versions/{version}").json()["memory_bytes"]

    assert {labels["model"] for labels, _ in metrics(own).series("model_memory_bytes")} == {"breast-cancer", "penguins", "wine"}
    first = put("step", "v1", 1)
    assert memory("step", "v1") == [first] and first > 0
    second = put("step", "v2", 500)
    assert memory("step", "v2") == [second] and second > first + 1000
    wait_until(lambda: memory("step", "v1") == [0], what="the replaced version's memory to be 0")
    own.delete("/api/v1/models/step")
    wait_until(lambda: memory("step", "v2") == [] and memory("step", "v1") in ([], [0]), what="the removed model's series to go")
    assert memory("wine", "v1.0.0")[0] > 0


def test_series_of_a_removed_model_go(own):
    for i in range(5):
        own.put(f"/api/v1/models/step{i}/versions/v1", constant_model(1), headers={"Content-Type": "application/octet-stream"})
        own.predictions(f"step{i}", [0])
        own.delete(f"/api/v1/models/step{i}")
    counted(own, lambda m: {labels["model"] for labels, _ in m.series("predictions_total")}, set(EXAMPLE))


def test_model_names_with_odd_characters_stay_parseable(own):
    name = "A.b_c-1"
    own.put(f"/api/v1/models/{name}/versions/v1", constant_model(1), headers={"Content-Type": "application/octet-stream"})
    own.predictions(name, [0])
    counted(own, lambda m: m.value("predictions_total", model=name, outcome="success"), 1)


def test_counters_never_go_back(own):
    last = {}
    for _ in range(5):
        own.predictions("wine", WINE.records[0])
        m = metrics(own)
        now = {k: v for k, v in m.samples.items() if m.types.get(k[0]) == "counter" or k[0].endswith(("_count", "_bucket"))}
        assert all(now[k] >= v for k, v in last.items())
        last = now


def test_process_figures_are_the_process_s(own):
    m = metrics(own)
    assert abs(m.value("process_resident_memory_bytes") - own.memory()) < 4 << 20
    assert abs(m.value("process_open_fds") - own.descriptors()) <= 2


def test_access_of_metrics_is_no_hot_path_for_series(own):
    """A thousand models' requests for unknown names add no prediction series."""
    before = len(metrics(own).series("predictions_total"))
    with own.connect() as c:
        from harness import raw_request
        for i in range(1000):
            c.ask(raw_request("POST", "/api/v1/predict", {"model": f"m{i}", "features": [1]}))
    assert len(metrics(own).series("predictions_total")) == before
