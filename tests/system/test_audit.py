# SPDX-License-Identifier: Apache-2.0
"""The audit log of a running server: what is in it, that every change to it is found, that it survives kill -9, and that no secret is in it."""

import base64
import hashlib
import json
import signal
import sqlite3
import struct
import subprocess
import threading

import pytest
from harness import EXAMPLE_MODELS, clean_environment, wait_until

MODEL = EXAMPLE_MODELS / "wine" / "v1.0.0" / "model.json"
WRONG_PASSWORD = "planted-wrong-password-6f1a"


def cli(server, *args, stdin=None, env=None, data=None):
    """The command on the server's own data; the completed process."""
    args = [server.args[0], *args, "--data-dir", str(data or server.folder / "data")]
    return subprocess.run(args, input=stdin, capture_output=True, text=True, timeout=60, cwd=server.folder, env=clean_environment(env))


def verify(server, *args, data=None):
    done = cli(server, "audit", "verify", "--json", *args, data=data)
    assert done.returncode in (0, 1) and done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["whole"] else 1)
    return report


def entries(server, **params):
    answer = server.get("/api/v1/auth/audit", params={"limit": 1000, **params})
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def login(server, username, password=WRONG_PASSWORD):
    return server.post("/api/v1/auth/login", {"username": username, "password": password}, headers={"X-API-Key": None})


def wait_entry(server, **params):
    return wait_until(lambda: entries(server, **params), what=f"an entry with {params}")[0]


def database(server):
    return sqlite3.connect(server.folder / "data" / "mainstay.db", timeout=20)


@pytest.fixture
def stopped(make_server):
    """A server that has worked and ended: some twenty entries, and the heads of two runs."""
    server = make_server(auth=True)
    for i in range(8):
        login(server, f"nobody{i}")
    wait_until(lambda: len(entries(server, event="login")) == 8, what="8 entries")
    assert server.stop() == 0
    server.start()
    for i in range(3):
        login(server, f"nobody{i}")
    wait_until(lambda: len(entries(server, event="login")) == 11, what="11 entries")
    assert server.stop() == 0
    assert verify(server)["whole"]
    return server


# --- What is in it --------------------------------------------------------------------------------------


def test_what_happens_is_recorded(make_server):
    server = make_server(auth=True)
    wait_entry(server, event="server.started")
    assert {e["event"] for e in entries(server)} >= {"user.created", "key.created", "admin.created", "signing_key.rotated"}
    login(server, "nobody")
    refused = wait_entry(server, event="login", outcome="refused")
    assert refused["actor"]["address"] == "127.0.0.1" and refused["request_id"]
    denied = server.get("/api/v1/models", headers={"X-API-Key": None})
    assert denied.status_code == 401
    assert wait_entry(server, event="denied")["request_id"] == denied.headers["X-Request-ID"]
    assert server.post("/api/v1/models/m/versions", data=MODEL.read_bytes()).status_code == 201
    assert server.put("/api/v1/models/m/aliases/champion", json.dumps({"version": "1"})).status_code == 200
    assert server.delete("/api/v1/models/m/aliases/champion").status_code == 204
    assert server.delete("/api/v1/models/none").status_code == 404
    wait_until(lambda: len(entries(server, event="model.changed")) == 4, what="4 changes of models")
    changes = entries(server, event="model.changed")[::-1]
    assert [(e["target"], e["outcome"], e["details"]) for e in changes] == [
        ("model:m", "ok", {"what": "version.pushed", "version": "1"}),
        ("model:m", "ok", {"what": "alias.set", "version": "1", "alias": "champion"}),
        ("model:m", "ok", {"what": "alias.removed", "alias": "champion"}),
        ("model:none", "failed", {"what": "model.removed", "error": "model.not_found"}),
    ]
    assert {e["actor"]["kind"] for e in changes} == {"key"}
    server.signal(signal.SIGHUP)
    assert wait_entry(server, event="settings.reloaded")["actor"]["kind"] == "system"
    # The command line, beside the running server.
    done = cli(server, "model", "push", "n", str(MODEL), "--models", str(server.models))
    assert done.returncode == 0, done.stderr
    pushed = wait_entry(server, target="model:n")
    assert pushed["actor"]["kind"] == "console" and pushed["details"] == {"what": "version.pushed", "version": "1"}
    assert cli(server, "model", "alias", "n", "champion", "1", "--models", str(server.models)).returncode == 0
    assert cli(server, "model", "remove", "n", "--all", "--models", str(server.models)).returncode == 0
    assert [e["details"]["what"] for e in entries(server, target="model:n")] == ["model.removed", "alias.set", "version.pushed"]
    assert server.stop() == 0
    report = verify(server)
    assert report["whole"] and report["signed_heads"] >= 1
    listed = [json.loads(line) for line in cli(server, "audit", "list", "--json", "--limit", "1").stdout.splitlines()]
    assert [e["event"] for e in listed] == ["server.stopped"]


def test_lists_have_cursors_and_filters_and_need_the_permission(make_server):
    server = make_server(auth=True)
    for i in range(5):
        login(server, f"nobody{i}")
    wait_until(lambda: len(entries(server, event="login")) == 5, what="5 entries")
    all_seqs = [e["seq"] for e in entries(server)]
    assert all_seqs == sorted(all_seqs, reverse=True)
    paged, cursor = [], None
    while True:
        page = server.get("/api/v1/auth/audit", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        paged += [e["seq"] for e in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert paged == all_seqs
    assert entries(server, until="2020-01-01") == [] and entries(server, **{"from": "2020-01-01T00:00:00Z"}) != []
    for params in ({"limit": 0}, {"from": "yesterday"}, {"cursor": "x"}, {"colour": "red"}):
        assert server.get("/api/v1/auth/audit", params=params).status_code == 400, params
    answer = server.post("/api/v1/auth/api-keys", {"name": "viewer", "scopes": ["models.read"]})
    assert answer.status_code == 201, answer.text
    for path in ("/api/v1/auth/audit", "/api/v1/auth/audit/head"):
        assert server.get(path, headers={"X-API-Key": answer.json()["key"]}).status_code == 403
        assert server.get(path, headers={"X-API-Key": None}).status_code == 401


def field(value):
    value = value if isinstance(value, bytes) else (value or "").encode()
    return struct.pack(">I", len(value)) + value


def test_an_export_can_be_checked_from_the_description_alone(stopped):
    lines = cli(stopped, "audit", "export").stdout.splitlines()
    rows = {r[0]: r for r in database(stopped).execute("SELECT seq, details FROM audit")}  # as stored: JSON may be written in other ways
    previous = bytes(32)
    for number, line in enumerate(lines, 1):
        e = json.loads(line)
        assert e["seq"] == number
        actor = e["actor"]
        fields = [actor["kind"], actor["id"], actor["name"], actor["address"], actor["session"], e["request_id"], e["event"], e["target"],
                  e["outcome"], rows[number][1], previous]
        text = field("mainstay audit 1") + struct.pack(">QQ", e["seq"], e["time_us"]) + b"".join(map(field, fields))
        assert e["prev"] == previous.hex()
        previous = hashlib.sha256(text).digest()
        assert e["hash"] == previous.hex()
    assert len(lines) == len(rows) >= 15


def test_a_head_can_be_checked_by_openssl(stopped, tmp_path):
    head = json.loads((stopped.folder / "data" / "audit-heads.jsonl").read_text().splitlines()[-1])
    (jwk,) = [json.loads(j) for (j,) in database(stopped).execute("SELECT public_jwk FROM signing_keys WHERE kid = ?", [head["kid"]])]
    decode = lambda text: base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    signed, signature = head["signature"].rsplit(".", 1)
    (tmp_path / "key.der").write_bytes(bytes.fromhex("302a300506032b6570032100") + decode(jwk["x"]))
    (tmp_path / "text").write_text(signed)
    (tmp_path / "signature").write_bytes(decode(signature))
    done = subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", tmp_path / "key.der", "-rawin", "-in",
                           tmp_path / "text", "-sigfile", tmp_path / "signature"], capture_output=True, text=True)
    assert "Signature Verified Successfully" in done.stdout, done
    payload = json.loads(decode(signed.split(".")[1]))
    assert payload == {k: head[k] for k in ("chain", "seq", "time_us", "hash")}
    (row,) = database(stopped).execute("SELECT hash FROM audit WHERE seq = ?", [head["seq"]])
    assert row[0].hex() == head["hash"]


# --- Tampering ------------------------------------------------------------------------------------------

TAMPERED = [
    ("UPDATE audit SET actor_name = 'somebody else' WHERE seq = 9", "changed", 9),
    ("UPDATE audit SET outcome = 'ok' WHERE seq = 8", "changed", 8),
    ("UPDATE audit SET time_us = time_us - 1 WHERE seq = 1", "changed", 1),
    ("DELETE FROM audit WHERE seq = 7", "missing", 7),
    ("DELETE FROM audit WHERE seq BETWEEN 3 AND 5", "missing", 3),
    ("UPDATE audit SET seq = 100 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = 100", "reordered", 4),
    ("UPDATE audit_heads SET signature = 'x'", "signature", None),
    ("UPDATE audit_heads SET hash = zeroblob(32)", "rewritten", None),
]


@pytest.mark.parametrize("sql, fault, seq", TAMPERED)
def test_a_changed_database_is_found(stopped, sql, fault, seq):
    with database(stopped) as db:
        db.executescript(sql)
    report = verify(stopped)
    assert (report["whole"], report["fault"]) == (False, fault)
    assert seq is None or report["seq"] == seq
    text = cli(stopped, "audit", "verify")
    assert text.returncode == 1 and f"First bad entry: {report['seq']} ({fault})" in text.stdout


def test_a_log_that_was_cut_off_is_found_beside_a_kept_head(stopped):
    kept = stopped.folder / "kept.jsonl"
    kept.write_text((stopped.folder / "data" / "audit-heads.jsonl").read_text())
    report = verify(stopped, "--head", str(kept))
    assert report["whole"] and report["kept_heads"] == len(kept.read_text().splitlines()) >= 2
    with database(stopped) as db:
        db.execute("DELETE FROM audit WHERE seq > 10")
        db.commit()
        assert verify(stopped)["fault"] == "truncated"
        db.execute("UPDATE audit_chain SET seq = 10, hash = (SELECT hash FROM audit WHERE seq = 10)")
        db.execute("DELETE FROM audit_heads WHERE seq > 10")
        db.commit()
    assert verify(stopped)["whole"]  # nothing in the database tells any more
    report = verify(stopped, "--head", str(kept))
    assert (report["fault"], report["seq"]) == ("truncated", 11)
    # The server works on, and covers it up without knowing: the kept head still tells.
    stopped.start()
    login(stopped, "nobody")
    wait_entry(stopped, event="login", **{"from": "2020-01-01"})
    assert stopped.stop() == 0
    assert verify(stopped)["whole"] is True
    assert verify(stopped, "--head", str(kept))["fault"] in ("rewritten", "truncated")


def test_the_start_says_that_the_end_was_changed(stopped):
    with database(stopped) as db:
        db.execute("DELETE FROM audit WHERE seq = (SELECT MAX(seq) FROM audit)")
    stopped.start()
    stopped.wait_log(lambda line: "the end of the audit log was changed" in line.get("message", ""))


# --- Crashes --------------------------------------------------------------------------------------------


def test_the_chain_is_whole_after_kill_9(make_server):
    server = make_server(auth=True)
    acknowledged = []
    for _ in range(4):
        done = threading.Event()

        def work():
            while not done.is_set():
                try:
                    answer = server.post("/api/v1/auth/api-keys", {"name": "k", "scopes": ["predict"]})
                    if answer.status_code == 201:
                        acknowledged.append(answer.json()["id"])
                except Exception:  # noqa: BLE001  (the server is killed meanwhile)
                    return

        threads = [threading.Thread(target=work) for _ in range(4)]
        before = len(acknowledged)
        for thread in threads:
            thread.start()
        wait_until(lambda: len(acknowledged) > before + 20, what="20 keys")
        server.kill()
        done.set()
        for thread in threads:
            thread.join()
        report = verify(server)
        assert report["whole"], report
        server.start()
    recorded = {e["target"] for e in map(json.loads, cli(server, "audit", "export", "--event", "key.created").stdout.splitlines())}
    missing = [k for k in acknowledged if f"key:{k}" not in recorded]
    assert not missing, f"{len(missing)} of {len(acknowledged)} acknowledged keys are not in the log"


# --- Secrets --------------------------------------------------------------------------------------------


def everything_under(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_no_secret_is_anywhere(make_server):
    password, planted_name = "planted-right-password-93bd", "planted-name-that-is-a-password-77c1"
    server = make_server(auth=True, env={"MAINSTAY_LOG_LEVEL": "trace", "MAINSTAY_LOG_ACCESS": "all"})
    admin = server.admin_key
    assert server.post("/api/v1/auth/users", {"username": "anna", "password": password, "role": "viewer"}).status_code == 201
    answer = login(server, "anna", password)
    assert answer.status_code == 200, answer.text
    access, refresh = answer.json()["token"], answer.json()["refresh_token"]
    assert login(server, "anna", WRONG_PASSWORD).status_code == 401
    assert login(server, planted_name, password).status_code == 401
    key = server.post("/api/v1/auth/api-keys", {"name": "k", "scopes": ["predict"]}).json()["key"]
    for credential in (key, access, refresh, admin + "x"):
        server.get("/api/v1/models", headers={"X-API-Key": None, "Authorization": f"Bearer {credential}"})
        server.get("/api/v1/models", headers={"X-API-Key": credential})
    wait_until(lambda: len(entries(server, event="login")) == 3, what="3 entries")
    exported = cli(server, "audit", "export").stdout
    assert server.stop() == 0
    (server.folder / "data" / "admin.key").unlink()  # where the key belongs
    master = (server.folder / "data" / "master.key").read_text().strip()
    secrets = [password, WRONG_PASSWORD, planted_name, access, access.split(".")[2], refresh, key, admin, master]
    places = everything_under(server.folder / "data")
    places.pop(server.folder / "data" / "master.key")
    places["log"] = server.log_text(100000).encode()
    places["export"] = exported.encode()
    shown = {(place, secret) for place, content in places.items() for secret in secrets if secret.encode() in content}
    # The first start shows the administrator's key, once.
    assert places["log"].count(admin.encode()) == 1
    assert shown == {("log", admin)}
