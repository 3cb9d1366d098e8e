# SPDX-License-Identifier: Apache-2.0
"""/gateway/v1: the configuration is read, changed, compared and rolled back while the gateway runs; the command line works on the same store."""

import json
import subprocess

import pytest
from conftest import check_end
from gateway_peer import Gateway, Peer, service
from harness import wait_until


@pytest.fixture
def peers():
    made = [Peer(), Peer()]
    yield made
    for peer in made:
        peer.stop()


@pytest.fixture
def gateway(binary, tmp_path, peers):
    one = Gateway(binary, tmp_path / "gateway", {"services": [service("p", "127.0.0.1", peers[0].port)]}, auth=True).start()
    yield one
    check_end(one)


def put(gateway, path, body, **headers):
    return gateway.request("PUT", path, data=body if isinstance(body, str) else json.dumps(body), headers={"Content-Type": "application/yaml", **headers})


def test_an_entity_is_added_changed_and_removed(gateway, peers):
    assert gateway.request("GET", "/other/answer").status_code == 404
    answer = gateway.request("GET", "/gateway/v1/services")
    assert answer.status_code == 200 and [s["name"] for s in answer.json()["items"]] == ["p"]
    assert answer.headers["ETag"] == '"v0"'
    answer = put(gateway, "/gateway/v1/services/q?comment=why", {"url": f"http://127.0.0.1:{peers[1].port}"})
    assert answer.status_code == 201, answer.text
    assert answer.json()["version"] == 1 and answer.json()["changes"] == ["added service q"]
    answer = put(gateway, "/gateway/v1/routes/other", {"service": "q", "paths": ["/other"]})
    assert answer.status_code == 201 and answer.headers["ETag"] == '"v2"'
    assert gateway.request("GET", "/other/answer").status_code == 200
    assert gateway.request("GET", "/p/answer").status_code == 200
    answer = gateway.request("DELETE", "/gateway/v1/services/q")
    assert answer.status_code == 400 and answer.json()["problems"][0]["message"].startswith("no service has the name")
    assert gateway.request("DELETE", "/gateway/v1/routes/other").status_code == 200
    assert gateway.request("DELETE", "/gateway/v1/routes/other").status_code == 404
    wait_until(lambda: gateway.request("GET", "/other/answer").status_code == 404)
    history = gateway.request("GET", "/gateway/v1/history?limit=2").json()
    assert [v["version"] for v in history["items"]] == [3, 2] and history["next_cursor"] == "2"
    first = gateway.request("GET", "/gateway/v1/history?cursor=2").json()["items"][0]
    assert first["comment"] == "why" and first["changes"] == ["added service q"]


def test_a_document_is_swapped_whole_or_not_at_all(gateway, peers):
    before = gateway.request("GET", "/gateway/v1/config").json()
    answer = put(gateway, "/gateway/v1/config", "services:\n- nam: x\n  url: ftp://y\n")
    assert answer.status_code == 400
    assert [(p["path"], p["line"]) for p in answer.json()["problems"]] == [("services[0].nam", 2), ("services[0].url", 3)]
    assert gateway.request("GET", "/p/answer").status_code == 200
    text = f"_format_version: '3.0'\nservices:\n- name: n\n  url: http://127.0.0.1:{peers[1].port}\n  routes: [{{name: n, paths: [/n]}}]\n"
    check = gateway.request("POST", "/gateway/v1/config/check", data=text, headers={"Content-Type": "application/yaml"})
    assert check.json() == {"valid": True, "services": 1, "routes": 1, "consumers": 0, "plugins": 0}
    diff = gateway.request("POST", "/gateway/v1/config/diff", data=text, headers={"Content-Type": "application/yaml"})
    assert "added service n" in diff.json()["changes"] and "removed service p" in diff.json()["changes"]
    assert gateway.request("GET", "/n/answer").status_code == 404
    assert put(gateway, "/gateway/v1/config", text, **{"If-Match": '"v5"'}).status_code == 409
    assert put(gateway, "/gateway/v1/config", text, **{"If-Match": '"v0"'}).json()["version"] == 1
    assert gateway.request("GET", "/n/answer").status_code == 200
    wait_until(lambda: gateway.request("GET", "/p/answer").status_code == 404)
    assert put(gateway, "/gateway/v1/config", before).json()["version"] == 2
    back = gateway.request("POST", "/gateway/v1/rollback", json={"version": 1, "comment": "again"})
    assert back.json()["version"] == 3
    assert gateway.request("GET", "/n/answer").status_code == 200
    assert gateway.request("POST", "/gateway/v1/rollback", json={"version": 77}).status_code == 404
    assert [r["name"] for r in gateway.request("GET", "/gateway/v1/history/1").json()["routes"]] == ["n"]


def test_secrets_are_not_shown(gateway):
    assert put(gateway, "/gateway/v1/consumers/anna", {}).status_code == 201
    answer = put(gateway, "/gateway/v1/keyauth_credentials/7a408ad6-d581-50b3-9696-1c069342eb9f", {"consumer": "anna", "key": "very-secret"})
    assert answer.status_code == 201 and "very-secret" not in answer.text
    for path in ["config", "keyauth_credentials", "keyauth_credentials/7a408ad6-d581-50b3-9696-1c069342eb9f", "history", "history/2"]:
        answer = gateway.request("GET", "/gateway/v1/" + path)
        assert answer.status_code == 200 and "very-secret" not in answer.text, path
    document = gateway.request("GET", "/gateway/v1/config").json()
    assert document["keyauth_credentials"][0]["key"] == "…"
    assert put(gateway, "/gateway/v1/config", document).json()["changed"] is False
    schema = gateway.request("GET", "/gateway/v1/schemas/rate-limiting").json()
    assert schema["type"] == "object" and "minute" in schema["properties"]
    assert gateway.request("GET", "/gateway/v1/schemas/nothing").status_code == 404


def test_the_command_line_reaches_a_running_gateway(gateway, binary, peers, tmp_path):
    file = tmp_path / "kong.yml"
    file.write_text(f"_format_version: '3.0'\nservices:\n- name: c\n  url: http://127.0.0.1:{peers[1].port}\n  routes: [{{name: c, paths: [/c]}}]\n")
    done = subprocess.run([binary, "gateway", "apply", str(file), "--data-dir", str(gateway.folder / "data")], env=gateway.env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("version 1\n")
    wait_until(lambda: gateway.request("GET", "/c/answer").status_code == 200)
    assert gateway.request("GET", "/gateway/v1/config").headers["ETag"] == '"v1"'


def test_blue_and_green_from_the_command_line(gateway, binary, peers, tmp_path):
    def mainstay(*args):
        return subprocess.run([binary, "gateway", *args, "--data-dir", str(gateway.folder / "data")], env=gateway.env, capture_output=True, text=True, timeout=60)

    assert "there is no configuration yet" in mainstay("switch", "u", "green").stderr
    file = tmp_path / "kong.yml"
    targets = f"[{{target: '{peers[0].target}', group: blue}}, {{target: '{peers[1].target}', group: green}}]"
    file.write_text(
        f"_format_version: '3.0'\nupstreams: [{{name: u, active_group: blue, targets: {targets}}}]\n"
        "services: [{name: u, host: u, routes: [{name: u, paths: [/u]}]}]\nconsumers: [{username: a, keyauth_credentials: [{key: very-secret}]}]\n"
    )
    # Before there is a version the file counts.
    peers[1].status = 500
    failed = mainstay("switch", "u", "green", "--smoke", "/health", "--gateway.file", str(file))
    assert failed.returncode == 1 and f"failed http://{peers[1].target}/health: 500" in failed.stdout
    assert failed.stderr == "mainstay: the smoke check failed; nothing was switched\n"
    assert mainstay("history", "--json").stdout.strip() == "[]"
    assert mainstay("apply", str(file)).returncode == 0
    wait_until(lambda: gateway.request("GET", "/u/answer").json().get("port") == peers[0].port)
    peers[1].status = 200
    done = mainstay("switch", "u", "green", "--smoke", "/health", "--status", "200", "--json")
    assert done.returncode == 0, done.stderr
    smoke = [{"target": f"http://{peers[1].target}", "status": 200, "ok": True, "problem": None}]
    assert json.loads(done.stdout) == {"upstream": "u", "group": "green", "previous": "blue", "version": 2, "changed": True, "smoke": smoke}
    assert peers[0].seen("GET", "/health") == 0 and peers[1].seen("GET", "/health") == 2
    wait_until(lambda: gateway.request("GET", "/u/answer").json()["port"] == peers[1].port)
    assert mainstay("switch", "u", "green").stdout == "nothing changed; version 2\n"
    assert mainstay("switch", "u", "blue").stdout == "u: green → blue, version 3\n"
    wait_until(lambda: gateway.request("GET", "/u/answer").json()["port"] == peers[0].port)
    assert "very-secret" in mainstay("export", "--secrets").stdout  # a switch keeps what is hidden elsewhere
    assert 'no target with a weight in the group "red"' in mainstay("switch", "u", "red").stderr
    assert 'there is no upstream "v"' in mainstay("switch", "v", "green").stderr
    assert mainstay("switch", "u", "green", "--smoke", "health").returncode == 2


def test_who_may_do_what_and_what_is_recorded(gateway):
    key = gateway.request("POST", "/api/v1/auth/api-keys", json={"name": "looker", "scopes": ["gateway.read"]}).json()["key"]
    headers = {"X-API-Key": key}
    assert gateway.request("GET", "/gateway/v1/config", headers=headers).status_code == 200
    assert gateway.request("PUT", "/gateway/v1/consumers/x", json={}, headers=headers).status_code == 403
    gateway.session.headers.pop("X-API-Key")
    assert gateway.request("GET", "/gateway/v1/config").status_code == 401
    gateway.session.headers["X-API-Key"] = gateway.admin_key
    assert put(gateway, "/gateway/v1/consumers/x?comment=because", {}).status_code == 201
    answer = gateway.request("GET", "/api/v1/auth/audit?limit=100").json()
    entries = [e for e in answer["items"] if "gateway.changed" in e.values()]
    assert entries[0]["target"] == "gateway:1" and entries[0]["details"]["comment"] == "because"
    assert entries[0]["details"]["changes"] == "added consumer x\n"
