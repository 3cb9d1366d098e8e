# SPDX-License-Identifier: Apache-2.0
"""Who may call what: every route asks for credentials, keys and roles work as granted, and every change is in force once it is answered."""

import concurrent.futures
import hashlib
import json
import re
import subprocess
import threading
import time

import pytest
import requests
from harness import Server, clean_environment, wait_until

KEYS = "/api/v1/auth/api-keys"
ROLES = "/api/v1/auth/roles"
WINE_ROW = [13.2, 1.78, 2.14, 11.2, 100.0, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050.0]


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory):
    import conftest

    folder = tmp_path_factory.mktemp("keys")
    own = Server(binary, folder, "--threads", "3", models=conftest.copy_examples(folder / "models"), auth=True)
    try:
        own.start()
        for name in ("wine", "penguins", "breast-cancer"):
            own.wait_model(name)
        yield own
        conftest.check_end(own)
    finally:
        own.kill()


def ask(server, method, path, key=None, body=None, **headers):
    """One request on a connection of its own, with that key or none at all."""
    if key is not None:
        headers["X-API-Key"] = key
    return requests.request(method, server.url + path, json=body, headers=headers, timeout=20)


def make_key(server, *scopes, **fields):
    answer = server.post(KEYS, {"name": "test", "scopes": list(scopes), **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def predict(server, key, model="wine"):
    return ask(server, "POST", "/api/v1/predict", key, {"model": model, "features": [WINE_ROW]})


# --- Every route --------------------------------------------------------------------------------------


def operations(server):
    document = server.get("/openapi.json").json()
    return [(method.upper(), path, operation) for path, item in document["paths"].items() for method, operation in item.items()]


def test_every_route_asks_for_credentials(server):
    routes = operations(server)
    assert len(routes) > 60
    for method, path, operation in routes:
        answer = ask(server, method, re.sub(r"\{[^}]*\}", "x", path))
        if operation["security"] == []:
            continue  # which: test_asvs.py::test_every_way_in_is_documented
        assert answer.status_code == 401, f"{method} {path}: {answer.status_code} {answer.text}"
        assert answer.json()["code"] == "auth.required"
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="mainstay"'
        assert operation["x-permission"] and {"401", "403"} <= set(operation["responses"])


def test_a_key_without_any_permission_for_it_is_refused_by_every_route(server):
    key = make_key(server, "tasks.run:nothing")["key"]
    for method, path, operation in operations(server):
        if operation["security"] == []:
            continue
        answer = ask(server, method, re.sub(r"\{[^}]*\}", "x", path), key)
        assert answer.status_code == 403, f"{method} {path}: {answer.status_code} {answer.text}"
        assert 'error="insufficient_scope", scope="%s' % operation["x-permission"] in answer.headers["WWW-Authenticate"]


def test_credentials_are_found_and_judged(server):
    key = make_key(server, "models.read")["key"]
    assert re.fullmatch(r"msk_[0-9A-Za-z]{33}", key)
    path = "/api/v1/models"
    assert ask(server, "GET", path, key).status_code == 200
    for scheme in ("Bearer ", "bearer ", "BEARER   "):
        assert ask(server, "GET", path, Authorization=scheme + key).status_code == 200
    for headers in (
        {"Authorization": "Basic " + key},
        {"Authorization": key},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer " + key + "x"},
        {"Authorization": "Bearer " + key[:-1]},
        {"Authorization": "Bearer " + key + " " + key},
        {"X-API-Key": key.swapcase()},
        {"X-API-Key": ""},
        {"X-API-Key": "a.b.c"},
        {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."},
        {"X-API-Key": "x" * 8000},
    ):
        answer = requests.get(server.url + path, headers=headers, timeout=20)
        assert answer.status_code == 401, headers
        assert answer.json()["code"] == "auth.token_invalid"
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        assert key not in answer.text
    both = ask(server, "GET", path, key, Authorization="Bearer " + key)
    assert both.status_code == 400 and 'error="invalid_request"' in both.headers["WWW-Authenticate"]
    with server.connect() as c:
        for name in ("X-API-Key", "Authorization"):
            value = key if name == "X-API-Key" else "Bearer " + key
            raw = f"GET {path} HTTP/1.1\r\nHost: t\r\n{name}: {value}\r\n{name.lower()}: {value}\r\n\r\n"
            assert c.ask(raw.encode()).status == 400


def test_a_body_is_not_waited_for(server):
    with server.connect(timeout=5) as c:
        head = "POST /api/v1/predict HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
        assert c.ask(head.encode()).status == 401


# --- Keys ---------------------------------------------------------------------------------------------


def test_a_key_does_what_its_scopes_say(server):
    made = make_key(server, "predict:wine", "models.read:w*")
    key = made["key"]
    assert made["hint"] == key[:8] and made["owner"] == "admin" and made["scopes"] == ["predict:wine", "models.read:w*"]
    assert predict(server, key).status_code == 200
    for model in ("penguins", "nowhere"):
        refused = predict(server, key, model)
        assert refused.status_code == 403 and refused.json()["code"] == "auth.forbidden"
        assert f"'predict' for '{model}'" in refused.json()["error"]
    # A model that the words of an error would name is not named to who may not see it.
    near = make_key(server, "predict:win*")["key"]
    answer = predict(server, near, "wino")
    assert answer.status_code == 404 and "wine" not in answer.text
    assert "did you mean 'wine'" in server.predict("wino", [WINE_ROW]).text
    # A batch: each item by itself.
    body = {"batches": [{"model": m, "features": [WINE_ROW]} for m in ("wine", "penguins")]}
    results = ask(server, "POST", "/api/v1/predict/batch", key, body).json()["results"]
    assert "predictions" in results[0] and results[1]["code"] == "auth.forbidden"
    # Lists show what may be seen.
    assert [m["name"] for m in ask(server, "GET", "/api/v1/models", key).json()["items"]] == ["wine"]
    assert ask(server, "GET", "/v2/models", key).json()["models"] == ["wine"]
    assert {m["name"] for m in ask(server, "POST", "/v2/repository/index", key).json()} == {"wine"}
    assert {m["name"] for m in ask(server, "GET", "/v2/models/stats", key).json()["model_stats"]} == {"wine"}
    assert len(server.get("/api/v1/models").json()["items"]) == 3
    # By object of the path.
    assert ask(server, "GET", "/api/v1/models/wine", key).status_code == 200
    assert ask(server, "GET", "/v2/models/penguins", key).status_code == 403
    assert ask(server, "DELETE", "/api/v1/models/wine", key).status_code == 403
    assert ask(server, "GET", "/metrics", key).status_code == 403


def test_lists_of_models_page_over_those_that_may_be_seen(server):
    key = make_key(server, "models.read:wine", "models.read:breast-cancer")["key"]
    first = ask(server, "GET", "/api/v1/models?limit=1", key).json()
    second = ask(server, "GET", "/api/v1/models?limit=1&cursor=" + first["next_cursor"], key).json()
    assert [m["name"] for m in first["items"] + second["items"]] == ["breast-cancer", "wine"]


def test_keys_are_listed_shown_and_revoked(server):
    made = make_key(server, "predict")
    shown = server.get(f"{KEYS}/{made['id']}").json()
    assert "key" not in shown and shown["name"] == "test" and shown["revoked_at"] is None and shown["last_used_at"] is None
    assert made["id"] in [k["id"] for k in server.get(KEYS + "?limit=1000").json()["items"]]
    page = server.get(KEYS + "?limit=1").json()
    assert page["items"][0]["id"] == made["id"] and page["next_cursor"] == made["id"]
    assert server.delete(f"{KEYS}/{made['id']}").status_code == 204
    assert predict(server, made["key"]).status_code == 401
    assert server.delete(f"{KEYS}/{made['id']}").status_code == 204
    assert server.get(f"{KEYS}/{made['id']}").json()["revoked_at"] is not None
    assert server.get(f"{KEYS}/nothing").status_code == 404 and server.delete(f"{KEYS}/nothing").status_code == 404
    # The secret is nowhere: not in the store, not in the log.
    server_files = [p.read_bytes() for p in (server.folder / "data").rglob("*") if p.is_file()]
    assert server_files and not any(made["key"].encode() in data for data in server_files)
    assert made["key"] not in server.log_text(100000)


@pytest.mark.parametrize(
    "body, field",
    [
        ({"scopes": ["predict"]}, "name"),
        ({"name": "", "scopes": ["predict"]}, "name"),
        ({"name": "x"}, "scopes"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["predct"]}, "scopes"),
        ({"name": "x", "scopes": "predict"}, "scopes"),
        ({"name": "x", "scopes": [1]}, "scopes"),
        ({"name": "x", "scopes": ["predict"] * 101}, "scopes"),
        ({"name": "x", "scopes": ["predict"], "expires_in": 0}, "expires_in"),
        ({"name": "x", "scopes": ["predict"], "expires_in": "1"}, "expires_in"),
        ({"name": "x", "scopes": ["predict"], "owner": "nobody"}, "owner"),
        ({"name": "x", "scopes": ["predict"], "more": 1}, "more"),
        ({"name": "x\u0007", "scopes": ["predict"]}, "name"),
    ],
)
def test_a_wrong_wish_is_told(server, body, field):
    answer = server.post(KEYS, body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["details"]["field"] == field


def test_nobody_gives_away_more_than_he_has(server):
    key = make_key(server, "keys.write", "predict:w*")["key"]
    wish = {"name": "child", "scopes": ["predict:wine"]}
    child = ask(server, "POST", KEYS, key, wish)
    assert child.status_code == 201
    for scopes in (["predict"], ["predict:*"], ["predict:penguins"], ["*"], ["models.read"], ["predict:wine", "self"]):
        refused = ask(server, "POST", KEYS, key, {"name": "child", "scopes": scopes})
        assert refused.status_code == 403, scopes
    strong = make_key(server, "predict")
    assert ask(server, "POST", f"{KEYS}/{strong['id']}/rotate", key, {}).status_code == 403
    weak = make_key(server, "roles.write")["key"]
    assert ask(server, "PUT", f"{ROLES}/mine", weak, {"grants": ["*"]}).status_code == 403
    assert ask(server, "PUT", f"{ROLES}/mine", weak, {"grants": ["roles.write"]}).status_code == 201
    assert server.delete(f"{ROLES}/mine").status_code == 204


def test_keys_of_others_give_no_hold_on_their_owners(server):
    """Who may write all keys, and little else, neither acts as an administrator by a key of his nor takes his keys away."""
    users = "/api/v1/auth/users"
    boss = server.post(users, {"username": "keyboss", "role": "viewer", "grants": ["keys.write", "keys.read"]}).json()["id"]
    other = server.post(users, {"username": "keyless", "role": "viewer"}).json()["id"]
    root = next(u["id"] for u in server.get(users).json()["users"] if u["role"] == "admin")
    key = make_key(server, "keys.write", "keys.read", "models.read", "metrics.read", "self", owner=boss)["key"]
    wish = lambda owner, *scopes: ask(server, "POST", KEYS, key, {"name": "x", "scopes": list(scopes), "owner": owner})
    answer = wish(root, "self")
    assert answer.status_code == 403 and answer.json()["details"]["field"] == "scopes"
    assert wish(root, "models.read").status_code == 201, "no more than he may himself"
    assert wish(boss, "self").status_code == 201 and wish(other, "self").status_code == 201
    personal, mighty = make_key(server, "self", owner=root), make_key(server, "*", owner=root)
    assert ask(server, "POST", f"{KEYS}/{personal['id']}/rotate", key, {}).status_code == 403
    assert ask(server, "DELETE", f"{KEYS}/{mighty['id']}", key).status_code == 403
    assert ask(server, "GET", KEYS, mighty["key"]).status_code == 200
    former = make_key(server, "predict", owner=boss)  # of his own, more than he may now
    assert ask(server, "DELETE", f"{KEYS}/{former['id']}", key).status_code == 204
    for made in (personal, mighty):
        assert server.delete(f"{KEYS}/{made['id']}").status_code == 204
    for user in (boss, other):
        assert server.delete(f"{users}/{user}").status_code == 204


def test_nobody_makes_keys_without_end(server):
    """All keys in force are loaded together: too many would keep every other change from the hot path, and the server from starting."""
    owner = server.post("/api/v1/auth/users", {"username": "collector"}).json()["id"]
    made = [make_key(server, "models.read", owner=owner) for _ in range(200)]
    more = lambda: server.post(KEYS, {"name": "one more", "scopes": ["models.read"], "owner": owner})
    answer = more()
    assert (answer.status_code, answer.json()["code"]) == (413, "server.limit_exceeded") and "revoke" in answer.json()["error"]
    answer = server.post(f"{KEYS}/{made[0]['id']}/rotate", {})
    assert answer.status_code == 413, "the old one goes on for a day"
    assert make_key(server, "models.read"), "others make theirs"
    assert server.delete(f"{KEYS}/{made[1]['id']}").status_code == 204
    assert more().status_code == 201
    assert server.delete(f"/api/v1/auth/users/{owner}").status_code == 204


def test_keys_expire(server):
    made = make_key(server, "predict", expires_in=1)
    assert predict(server, made["key"]).status_code == 200
    time.sleep(1.1)
    answer = predict(server, made["key"])
    assert answer.status_code == 401 and answer.json()["code"] == "auth.token_expired"


def test_a_rotated_key_overlaps(server):
    old = make_key(server, "predict:wine", expires_in=100)
    fresh = server.post(f"{KEYS}/{old['id']}/rotate", {"overlap": 1}).json()
    assert fresh["scopes"] == old["scopes"] and fresh["expires_at"] is not None and fresh["id"] != old["id"]
    assert predict(server, old["key"]).status_code == predict(server, fresh["key"]).status_code == 200
    assert server.post(f"{KEYS}/{old['id']}/rotate", {}).status_code == 409
    time.sleep(1.1)
    assert predict(server, old["key"]).status_code == 401 and predict(server, fresh["key"]).status_code == 200
    again = server.post(f"{KEYS}/{fresh['id']}/rotate", {"overlap": 0}).json()
    assert predict(server, fresh["key"]).status_code == 401 and predict(server, again["key"]).status_code == 200


# --- Roles --------------------------------------------------------------------------------------------


def test_roles_are_kept(server):
    names = [r["name"] for r in server.get(ROLES).json()["items"] if r["built_in"]]
    assert names == ["admin", "data-scientist", "operator", "service", "viewer"]
    made = server.post(ROLES, {"name": "scorer", "description": "Scores", "grants": ["predict:wine"]})
    assert made.status_code == 201 and made.json()["grants"] == ["predict:wine"]
    assert server.post(ROLES, {"name": "scorer", "grants": ["predict"]}).status_code == 409
    changed = server.put(f"{ROLES}/scorer", json.dumps({"grants": ["predict"]}))
    assert changed.status_code == 200 and server.get(f"{ROLES}/scorer").json()["grants"] == ["predict"]
    assert server.delete(f"{ROLES}/scorer").status_code == 204
    assert server.delete(f"{ROLES}/scorer").status_code == 404
    assert "there are: admin, data-scientist" in server.get(f"{ROLES}/scorer").json()["error"]
    for name in ("admin", "viewer"):
        assert server.put(f"{ROLES}/{name}", json.dumps({"grants": ["*"]})).status_code == 409
        assert server.delete(f"{ROLES}/{name}").status_code == 409
    for name in ("Big", "1a", "x" * 64, "a b"):
        assert server.put(f"{ROLES}/{name}", json.dumps({"grants": []})).status_code == 400
    permissions = server.get("/api/v1/auth/permissions").json()["items"]
    assert {"name": "predict", "object": "model", "description": "predict with a model"} in permissions
    answer = server.post(ROLES, {"name": "a\u0000b", "grants": ["predict"]})
    assert answer.status_code == 400 and "U+0000" in answer.json()["error"]


def add_user(server, name, role, **fields):
    answer = server.post("/api/v1/auth/users", {"username": name, "role": role, "password": "a very long password", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def sign_in(server, name):
    answer = ask(server, "POST", "/api/v1/auth/login", None, {"username": name, "password": "a very long password"})
    assert answer.status_code == 200, answer.text
    return answer.json()["token"]


def with_token(server, token, method="POST", path="/api/v1/predict", body=None):
    if path == "/api/v1/predict" and body is None:
        body = {"model": "wine", "features": [WINE_ROW]}
    return ask(server, method, path, None, body, Authorization="Bearer " + token)


def test_a_users_role_holds_for_his_token_and_keys_at_once(server):
    server.put(f"{ROLES}/tester", json.dumps({"grants": ["predict:wine"]}))
    user = add_user(server, "tina", "tester")
    token = sign_in(server, "tina")
    key = make_key(server, "*", owner=user)["key"]
    for _ in range(2):
        assert with_token(server, token).status_code == predict(server, key).status_code == 200
        assert server.put(f"{ROLES}/tester", json.dumps({"grants": ["models.read"]})).status_code == 200
        assert with_token(server, token).status_code == predict(server, key).status_code == 403
        assert with_token(server, token, "GET", "/api/v1/models").status_code == 200
        assert server.put(f"{ROLES}/tester", json.dumps({"grants": ["predict:wine"]})).status_code == 200
    # He keeps keys of his own and sees no others.
    own = with_token(server, token, path=KEYS, body={"name": "mine", "scopes": ["predict:wine"]})
    assert own.status_code == 201 and own.json()["owner"] == "tina"
    items = with_token(server, token, "GET", KEYS).json()["items"]
    assert {k["owner"] for k in items} == {"tina"}
    other = make_key(server, "predict")
    assert with_token(server, token, "GET", f"{KEYS}/{other['id']}").status_code == 404
    assert with_token(server, token, "DELETE", f"{KEYS}/{other['id']}").status_code == 404
    assert with_token(server, token, "GET", f"{KEYS}?owner={other['owner_id']}").status_code == 403
    assert with_token(server, token, path=KEYS, body={"name": "x", "scopes": ["predict:wine"], "owner": other["owner_id"]}).status_code == 403
    # The role is in use; then he is disabled, and nothing of his works any more.
    assert server.delete(f"{ROLES}/tester").status_code == 409
    assert server.request("PATCH", f"/api/v1/auth/users/{user}", json={"state": "disabled"}).status_code == 200
    assert with_token(server, token).status_code == predict(server, key).status_code == 401
    assert predict(server, own.json()["key"]).status_code == 401


# --- At once, on all loops ----------------------------------------------------------------------------


def hammer(server, headers, change, settle_seconds=0.3):
    """Asks on many connections all the time while change() happens; the statuses of what was begun after its answer."""
    answers, stop, lock = [], threading.Event(), threading.Lock()

    def client():
        session = requests.Session()
        session.headers.update(headers)
        while not stop.is_set():
            began = time.monotonic()
            status = session.get(server.url + "/v2/models/wine", timeout=20).status_code
            with lock:
                answers.append((began, status))

    threads = [threading.Thread(target=client) for _ in range(12)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(answers) > 300, what="requests under way")
        change()
        answered = time.monotonic()
        time.sleep(settle_seconds)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    before = {status for began, status in answers if began < answered - 0.2}
    after = [status for began, status in answers if began >= answered]
    return before, after


def test_not_one_success_after_a_key_was_revoked(server):
    for _ in range(3):
        made = make_key(server, "models.read:wine")
        before, after = hammer(server, {"X-API-Key": made["key"]}, lambda: server.delete(f"{KEYS}/{made['id']}"))
        assert 200 in before and len(after) > 50 and set(after) == {401}


def test_not_one_success_after_a_role_lost_a_grant(server):
    server.put(f"{ROLES}/reader", json.dumps({"grants": ["models.read"]}))
    add_user(server, "rita", "reader")
    headers = {"Authorization": "Bearer " + sign_in(server, "rita")}
    before, after = hammer(server, headers, lambda: server.put(f"{ROLES}/reader", json.dumps({"grants": ["predict"]})))
    assert 200 in before and len(after) > 50 and set(after) == {403}


def test_not_one_success_after_signing_out(server):
    add_user(server, "otto", "viewer")
    token = sign_in(server, "otto")
    headers = {"Authorization": "Bearer " + token}
    before, after = hammer(server, headers, lambda: with_token(server, token, path="/api/v1/auth/logout", body={}))
    assert 200 in before and len(after) > 50 and set(after) == {401}


def test_many_changes_at_once_all_hold(server):
    def cycle(_):
        made = make_key(server, "predict:wine")
        good = predict(server, made["key"]).status_code
        server.delete(f"{KEYS}/{made['id']}")
        return good, predict(server, made["key"]).status_code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(cycle, range(60))) == {(200, 401)}


# --- Trace --------------------------------------------------------------------------------------------


def metric(server, series):
    found = re.search(r"^%s ([0-9.e+]+)$" % re.escape(series), server.get("/metrics").text, re.M)
    return float(found.group(1)) if found else 0.0


def test_checks_are_counted(server):
    key = make_key(server, "predict:wine")["key"]
    ok, missing = 'auth_checks_total{credential="key",outcome="ok"}', 'auth_checks_total{credential="none",outcome="missing"}'
    forbidden = 'auth_checks_total{credential="key",outcome="forbidden"}'
    before = {name: metric(server, name) for name in (ok, missing, forbidden)}
    predict(server, key)
    predict(server, key, "penguins")
    ask(server, "GET", "/metrics")
    after = {name: metric(server, name) for name in before}
    assert after[missing] - before[missing] == 1 and after[forbidden] - before[forbidden] == 1
    assert after[ok] - before[ok] >= 2


def test_a_flood_of_refusals_is_recorded_in_part_and_counted(make_server):
    own = make_server(auth=True)
    for _ in range(400):
        assert ask(own, "GET", "/metrics", "wrong").status_code == 401
    unrecorded = metric(own, "auth_refusals_unrecorded_total")
    assert metric(own, 'auth_checks_total{credential="key",outcome="invalid"}') == 400
    assert 200 < unrecorded <= 350
    recorded = lambda: own.get("/api/v1/auth/audit?event=denied&limit=1000").json()["items"]
    counted = lambda: sum(i["details"]["unrecorded"] for i in recorded())
    wait_until(lambda: len([i for i in recorded() if i["details"]["reason"] == "invalid"]) + counted() == 400, what="every refusal in the log, as an entry or in a number")
    assert counted() == unrecorded and 50 <= len(recorded()) <= 200
    first = recorded()[-1]
    assert first["details"]["route"] == "/metrics" and first["outcome"] == "refused" and first["actor"]["address"] == "127.0.0.1"


def test_the_last_use_is_kept_over_a_restart(binary, make_server):
    own = make_server(auth=True)
    made = make_key(own, "metrics.read")
    assert ask(own, "GET", "/metrics", made["key"]).status_code == 200
    own.stop()
    own.start()
    shown = own.get(f"{KEYS}/{made['id']}").json()
    assert shown["last_used_at"] is not None
    assert ask(own, "GET", "/metrics", made["key"]).status_code == 200


# --- Environment, command line ------------------------------------------------------------------------


def test_keys_of_the_environment(make_server):
    digest = hashlib.sha256(b"a secret of the deployment").hexdigest()
    other = hashlib.sha256(b"another").hexdigest().upper()
    own = make_server(examples=True, auth=True, env={
        "ML_API_KEY_HASH": digest, "JOBS_API_KEY_HASH": other, "JOBS_API_KEY_SCOPES": "models.read:wine, metrics.read"})
    own.wait_model("wine")
    assert predict(own, "a secret of the deployment").status_code == 200
    assert ask(own, "GET", "/metrics", "a secret of the deployment").status_code == 403
    assert predict(own, "another").status_code == 403
    assert ask(own, "GET", "/metrics", "another").status_code == 200
    assert predict(own, digest).status_code == 401
    me = ask(own, "POST", "/api/v1/auth/validate", None, {"token": "a secret of the deployment"}).json()
    assert me["name"] == "ml" and me["kind"] == "key"


@pytest.mark.parametrize(
    "env, words",
    [
        ({"ML_API_KEY_HASH": "abc"}, "ML_API_KEY_HASH: expected the SHA-256 of the key, 64 hexadecimal digits"),
        ({"ML_API_KEY_HASH": "0" * 64, "ML_API_KEY_SCOPES": "everything"}, "ML_API_KEY_SCOPES: the grant 'everything'"),
        ({"A_API_KEY_HASH": "0" * 64, "B_API_KEY_HASH": "0" * 64}, "the hash of another caller's key too"),
    ],
)
def test_a_wrong_key_of_the_environment_stops_the_start(make_server, env, words):
    own = make_server(start=False, auth=True, env=env).spawn()
    assert own.wait_exit() == 1
    assert words in own.log_text()


def command(binary, server, *args, status=0):
    done = subprocess.run([binary, *args, "--data-dir", server.folder / "data"], capture_output=True, text=True,
                          env=clean_environment(), timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def test_keys_and_roles_from_the_command_line(binary, server):
    made = json.loads(command(binary, server, "key", "create", "cron", "--scopes", "predict:wine,metrics.read", "--owner", "admin",
                              "--days", "30", "--json"))
    assert made["owner"] == "admin" and made["scopes"] == ["predict:wine", "metrics.read"] and made["expires_at"]
    wait_until(lambda: predict(server, made["key"]).status_code == 200, what="the server to hear of the key")
    assert made["id"] in command(binary, server, "key", "list")
    assert "key" not in json.loads(command(binary, server, "key", "show", made["id"], "--json"))
    fresh = json.loads(command(binary, server, "key", "rotate", made["id"], "--overlap-days", "0", "--json"))
    wait_until(lambda: predict(server, made["key"]).status_code == 401, what="the server to hear of the rotation")
    assert predict(server, fresh["key"]).status_code == 200
    assert "revoked key cron" in command(binary, server, "key", "revoke", fresh["id"])
    wait_until(lambda: predict(server, fresh["key"]).status_code == 401, what="the server to hear of the revocation")
    assert "there is no API key" in command(binary, server, "key", "show", "nothing", status=1)
    assert "did you mean 'predict'" in command(binary, server, "key", "create", "x", "--scopes", "predct", status=1)
    command(binary, server, "key", "create", "x", "--days", "0", status=2)
    command(binary, server, "role", "set", "night", "predict:wine", "models.*:w*", "--description", "At night")
    assert json.loads(command(binary, server, "role", "show", "night", "--json"))["grants"] == ["predict:wine", "models.*:w*"]
    assert "night" in command(binary, server, "role", "list")
    assert "removed role night" in command(binary, server, "role", "remove", "night")
    assert "built in" in command(binary, server, "role", "remove", "admin", status=1)
