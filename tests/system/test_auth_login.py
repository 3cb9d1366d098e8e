# SPDX-License-Identifier: Apache-2.0
"""Sign-in, tokens, sessions and users against the real server, as strangers and as users."""

import base64
import concurrent.futures
import hashlib
import hmac
import http.client
import json
import os
import signal
import sqlite3
import stat
import statistics
import subprocess
import time

import pytest
from harness import clean_environment, constant_model, put_version, wait_until

PASSWORD = "seven quiet rivers bend"
OTHER = "a lantern above the harbour"
FAST = ("--identity.password_memory=64KiB", "--identity.password_passes=1")
AUTH = "/api/v1/auth"


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json().get("code")

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


def ask(server, method, path, body=None, token=None, key=None, source=None, raw=None, headers=None):
    """One request on a connection of its own, from the address `source` of this machine (127.0.0.0/8)."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60, source_address=(source, 0) if source else None)
    headers = dict(headers or {})
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if key:
        headers["X-API-Key"] = key
    data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
    try:
        connection.request(method, (AUTH + path) if not path.startswith("/api") else path, data, headers)
        answer = connection.getresponse()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def admin(server, method, path, body=None):
    return ask(server, method, path, body, key=server.admin_key)


def add_user(server, name, password=PASSWORD, **fields):
    answer = admin(server, "POST", "/users", {"username": name, **({"password": password} if password else {}), **fields})
    assert answer.status == 201, answer
    return answer.json()


def login(server, name, password=PASSWORD, source=None):
    return ask(server, "POST", "/login", {"username": name, "password": password}, source=source)


def sign_in(server, name, password=PASSWORD, source=None):
    answer = login(server, name, password, source)
    assert answer.status == 200, answer
    return answer.json()


def refresh(server, token):
    return ask(server, "POST", "/refresh", {"refresh_token": token})


def validate(server, token):
    return ask(server, "POST", "/validate", {"token": token})


def alive(server, token):
    return ask(server, "GET", "/me", token=token).status == 200


def database(server):
    return sqlite3.connect(f"file:{server.folder / 'data' / 'mainstay.db'}?mode=ro", uri=True)


def rows(server, sql):
    with database(server) as db:
        return db.execute(sql).fetchall()


def decode(part):
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def encode(data):
    data = data if isinstance(data, bytes) else json.dumps(data, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


ADDRESS = iter(f"127.{a}.{b}.{c}" for a in range(1, 200) for b in range(256) for c in range(1, 255))


@pytest.fixture(scope="module")
def shared(binary, tmp_path_factory):
    """A server for the tests that leave nothing behind but users of their own."""
    from harness import Server
    own = Server(binary, tmp_path_factory.mktemp("auth"), *FAST, auth=True)
    try:
        own.start()
        yield own
        assert own.stop() == 0
    finally:
        own.kill()


@pytest.fixture
def name(request, worker=iter(range(100000))):
    return f"u{next(worker)}"


# --- The first start, and the settings -----------------------------------------------------------------


def test_first_start_shows_a_key_once(make_server):
    own = make_server(auth=True)
    file = own.folder / "data" / "admin.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    key = own.admin_key
    shown = [line["text"] for line in own.log if key in line.get("text", "")]
    assert len(shown) == 1 and not any(key in json.dumps(line) for line in own.log if "text" not in line)
    assert any("curl" in line.get("text", "") and f":{own.port}/" in line["text"] for line in own.log)
    me = admin(own, "GET", "/me").json()
    assert me["username"] == "admin" and me["role"] == "admin" and me["permissions"] == ["*"] and me["has_password"] is False
    assert own.stop() == 0
    own.start()
    assert not any(key in line.get("text", "") for line in own.log)
    assert admin(own, "GET", "/me").status == 200
    # Nothing of the key is in the store.
    assert all(key.encode() not in p.read_bytes() for p in (own.folder / "data").glob("mainstay.db*"))


def test_nobody_gets_in_without_credentials(make_server):
    own = make_server(auth=True, examples=True)
    for method, path in (("GET", "/api/v1/models"), ("POST", "/api/v1/predict"), ("GET", "/me"), ("GET", "/users"), ("POST", "/users"), ("DELETE", "/users/x"),
                         ("GET", "/sessions"), ("POST", "/logout"), ("POST", "/password"), ("GET", "/api/v1/metrics")):
        answer = ask(own, method, path, {} if method == "POST" else None)
        assert answer.status == 401 and answer.code == "auth.required" and answer.headers["www-authenticate"].startswith("Bearer"), (method, path, answer)
    assert own.get("/health/ready", headers={"X-API-Key": None}).status_code == 200


@pytest.mark.parametrize("listen,fits", [("127.0.0.1:0", True), ("[::1]:0", True), ("0.0.0.0:0", False), (":0", False), ("127.0.0.1.example.org:0", False)])
def test_auth_off_needs_loopback(binary, tmp_path, listen, fits):
    process = subprocess.run([str(binary), "config", "check", "--auth=off", f"--listen={listen}"], capture_output=True, text=True, env=clean_environment(), cwd=tmp_path, timeout=20)
    assert (process.returncode == 0) == fits, process
    if not fits:
        assert "auth" in process.stderr and "127.0.0.1" in process.stderr


def test_auth_off_is_told(make_server):
    own = make_server()
    line = own.wait_log(lambda line: "authentication is off" in line.get("message", ""))
    assert line["log.level"] == "warn"
    assert own.get("/api/v1/models").status_code == 200 and not (own.folder / "data" / "mainstay.db").exists()


def test_short_secret_is_refused(binary, tmp_path):
    secret = "x" * 31
    process = subprocess.run([str(binary), "run", "--data-dir", str(tmp_path / "d"), "--port", "0"], capture_output=True, text=True, env=clean_environment({"JWT_SECRET": secret}), cwd=tmp_path,
                             timeout=20)
    assert process.returncode == 1 and "31 bytes" in process.stderr and "openssl rand" in process.stderr and "JWT_SECRET" in process.stderr
    assert secret not in process.stderr and secret not in process.stdout


def test_secret_from_a_mounted_file(make_server, tmp_path):
    secret = "0123456789abcdef" * 3
    (tmp_path / "secret").write_text(secret + "\n")
    own = make_server(*FAST, auth=True, env={"JWT_SECRET_FILE": str(tmp_path / "secret")})
    add_user(own, "ada")
    token = sign_in(own, "ada")["token"]
    head, payload, signature = token.split(".")
    assert decode(head)["alg"] == "HS256" and decode(head)["typ"] == "at+jwt"
    wanted = hmac.new(secret.encode(), f"{head}.{payload}".encode(), hashlib.sha256).digest()
    assert encode(wanted) == signature
    # Whoever has the secret may make tokens; whoever has not, may not.
    assert alive(own, token)
    forged = encode(hmac.new(b"0" * 48, f"{head}.{payload}".encode(), hashlib.sha256).digest())
    assert not alive(own, f"{head}.{payload}.{forged}")

    def made(**changes):
        text = f"{head}.{encode(json.dumps({**decode(payload), **changes}).encode())}"
        return f"{text}.{encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest())}"

    far = validate(own, made(exp=253402300799)).json()
    assert far["valid"] and far["expires_at"] is None, "later than the clock can show"
    for strange in ({"exp": 2**53 - 1}, {"exp": 253402300800}, {"iat": -1}, {"iat": -(2**53 - 1), "nbf": 0}):
        answer = validate(own, made(**strange))
        assert answer.status == 401 and answer.json()["reason"] == "invalid", strange


# --- Login -----------------------------------------------------------------------------------------------


def test_login_answers_with_tokens(shared, name):
    user = add_user(shared, name, email=f"{name}@example.org", role="data-scientist", grants=["metrics.read"])
    for typed in (name, name.upper(), f"{name}@EXAMPLE.org"):
        answer = login(shared, typed)
        assert answer.status == 200 and answer.headers["cache-control"] == "no-store"
        body = answer.json()
        assert body["token_type"] == "Bearer" and body["expires_in"] == 86400
        assert body["user"] == {"id": user["id"], "username": name, "role": "data-scientist"}
        assert body["refresh_token"].startswith("msr_")
    head, payload, _ = body["token"].split(".")
    assert decode(head)["alg"] == "EdDSA" and decode(head)["typ"] == "at+jwt" and decode(head)["kid"]
    claims = decode(payload)
    assert claims["sub"] == claims["user_id"] == user["id"] and claims["username"] == name and claims["role"] == "data-scientist"
    assert claims["aud"] == "mainstay" and claims["iss"] and claims["exp"] - claims["iat"] == 86400 and claims["nbf"] == claims["iat"]
    assert "metrics.read" in claims["permissions"] and "models.write" in claims["permissions"] and claims["jti"] != claims["sid"]
    me = ask(shared, "GET", "/me", token=body["token"]).json()
    assert me["id"] == user["id"] and me["session_id"] == claims["sid"] and me["email"] == f"{name}@example.org"


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"null", b'"x"', b"{}", b'{"username":"a"}', b'{"password":"a"}', b'{"username":"","password":"x"}', b'{"username":"a","password":""}',
    b'{"username":1,"password":"x"}', b'{"username":"a","password":["x"]}', b'{"username":"a","password":null}', b'{"username":"a","password":"x","admin":true}',
    b'{"username":"a","password":"x","password":"y"}', b'{"username":"a","username":"admin","password":"x"}', b'{"username":"\xff","password":"x"}',
    b'{"username":"a","password":"\xed\xa0\x80"}', b'{"username":"a","password":"x"} ', b'{"username":"a","password":"x"}{}', b'{"username":' * 50,
])
def test_login_wrong_bodies(shared, body):
    answer = ask(shared, "POST", "/login", raw=body, source=next(ADDRESS))
    assert answer.status in (400, 413) if body.strip() != b'{"username":"a","password":"x"}' else answer.status == 401, answer
    assert answer.json()["error"]


@pytest.mark.parametrize("typed", ["a\u0000b", "a" * 5000, "' OR 1=1 --", "%", "_", "*", "admin\u0000", "../../etc/passwd", "\U0001f600", "admin ", " admin", "ADMIN\n", "a@b@c", "@", "-", "\u0430dmin"])
def test_login_strange_names_are_nobody(shared, typed):
    answer = login(shared, typed, "whatever it may be", source=next(ADDRESS))
    assert answer.status == 401 and answer.code == "auth.credentials", answer


@pytest.mark.parametrize("password", ["x" * 1025, "x" * 100000, "\u0000", PASSWORD + "\u0000", PASSWORD + " ", PASSWORD.upper(), PASSWORD[:-1]])
def test_login_strange_passwords_do_not_match(shared, name, password):
    add_user(shared, name)
    answer = login(shared, name, password, source=next(ADDRESS))
    assert answer.status == 401 and answer.code == "auth.credentials", answer


def test_login_long_passwords_count_whole(shared, name):
    long = "".join(chr(97 + (i * 7 + i // 11) % 26) for i in range(1024))
    add_user(shared, name, long)
    assert login(shared, name, long).status == 200
    assert login(shared, name, long[:-1] + "!").status == 401 and login(shared, name, long[:72]).status == 401
    too_long = admin(shared, "POST", "/users", {"username": name + "x", "password": long + "y"})
    assert too_long.status == 400 and too_long.code == "auth.password"


def test_refusals_look_alike(shared, name):
    add_user(shared, name)
    add_user(shared, name + "off", state="disabled")
    add_user(shared, name + "none", password=None)
    answers = [login(shared, who, what, source=next(ADDRESS)) for who, what in ((name, OTHER), (name + "off", PASSWORD), (name + "off", OTHER), (name + "none", OTHER), (name + "nobody", OTHER))]
    seen = set()
    for answer in answers:
        assert answer.status == 401
        body = answer.json()
        del body["request_id"]
        headers = {k: v for k, v in answer.headers.items() if k not in ("date", "x-request-id")}
        seen.add((json.dumps(body, sort_keys=True), json.dumps(headers, sort_keys=True)))
    assert len(seen) == 1, seen


def test_unknown_users_take_as_long(binary, tmp_path):
    """With real hashes. Each attempt comes from an address of its own, so that no delay disturbs; the order is mixed."""
    from harness import Server
    own = Server(binary, tmp_path, "--threads=1", "--identity.password_threads=1", auth=True)
    ticks = os.sysconf("SC_CLK_TCK")

    def cpu():
        fields = open(f"/proc/{own.pid}/stat").read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / ticks

    try:
        own.start()
        add_user(own, "model")
        stored = rows(own, "SELECT password FROM users WHERE username = 'model'")[0][0]
        for i in range(40):
            admin(own, "POST", "/users", {"username": f"known{i}", "password_hash": stored, "state": "disabled" if i % 3 == 2 else "active"})
        times, work = {"known": [], "nobody": []}, {"known": 0, "nobody": 0}
        for i in range(40):
            for kind in (("known", "nobody"), ("nobody", "known"))[i % 2]:
                source, start, before = next(ADDRESS), time.perf_counter(), cpu()
                assert login(own, f"{kind}{i}", OTHER, source).status == 401
                times[kind].append(time.perf_counter() - start)
                work[kind] += cpu() - before
        # The chance to tell one from the other by its time (the area under the curve): one half for two that are the same; its standard
        # deviation is 0.065. The work in processor time hardly depends on what else runs on the machine.
        wins = sum((a > b) + (a == b) / 2 for a in times["known"] for b in times["nobody"]) / 1600
        assert min(times["nobody"]) > 0.008 and work["nobody"] > 40 * 0.008, f"no work was done: {times}, {work}"
        assert 0.22 < wins < 0.78 and 0.75 < work["known"] / work["nobody"] < 1.33, (wins, work)
    finally:
        own.kill()


# --- Tokens ----------------------------------------------------------------------------------------------


def test_validate(shared, name):
    user = add_user(shared, name, role="viewer")
    token = sign_in(shared, name)["token"]
    body = validate(shared, token).json()
    assert body["valid"] is True and body["user_id"] == user["id"] and body["username"] == name and body["role"] == "viewer"
    assert "models.read" in body["permissions"] and body["expires_at"].endswith("Z") and body["kind"] == "user"
    key = validate(shared, shared.admin_key).json()
    assert key["valid"] is True and key["kind"] == "key"


def mangled(token):
    head, payload, signature = token.split(".")
    claims, header = decode(payload), decode(head)
    flipped = ("A" if signature[10] != "A" else "B")
    unsigned = encode({**header, "alg": "none"})
    twice = encode(json.dumps(claims)[:-1].encode() + b', "role": "admin"}')
    return {
        "empty": "", "dots": "..", "one part": head, "two parts": f"{head}.{payload}", "no signature": f"{head}.{payload}.", "four parts": token + ".x",
        "cut": token[:-1], "longer": token + "A", "flipped": f"{head}.{payload}.{signature[:10]}{flipped}{signature[11:]}",
        "other claims": f"{head}.{encode({**claims, 'role': 'admin', 'permissions': ['*']})}.{signature}", "alg none": f"{unsigned}.{payload}.", "alg none signed": f"{unsigned}.{payload}.{signature}",
        "alg None": f"{encode({**header, 'alg': 'None'})}.{payload}.{signature}", "HS256 of nothing": f"{encode({**header, 'alg': 'HS256'})}.{payload}.{encode(hmac.new(b'', b'x', hashlib.sha256).digest())}",
        "other kid": f"{encode({**header, 'kid': '../../dev/null'})}.{payload}.{signature}", "key in the header": f"{encode({**header, 'jwk': {'kty': 'oct', 'k': 'AAAA'}})}.{payload}.{signature}",
        "crit": f"{encode({**header, 'crit': ['exp']})}.{payload}.{signature}", "padding": token + "=", "space": token + " ", "newline": token + "\n", "not base64": token.replace(".", ".!", 1), "spaces": " " * 2000,
        "JSON": json.dumps({"protected": head, "payload": payload, "signature": signature}), "refresh token": "msr_BeDPbpAVEXAgRRG4bGRkZeZmvlw4D4EqV",
        "duplicate claims": f"{head}.{twice}.{signature}",
    }


def test_forged_tokens_are_worth_nothing(shared, name):
    add_user(shared, name)
    token = sign_in(shared, name)["token"]
    for kind, forged in mangled(token).items():
        answer = validate(shared, forged)
        if forged == "":
            assert answer.status == 400, (kind, answer)
            continue
        assert answer.status == 401 and answer.json()["valid"] is False and answer.json()["reason"] == "invalid", (kind, answer)
        if forged.isprintable() and " " not in forged:
            assert not alive(shared, forged), kind
    assert validate(shared, token).status == 200


def test_public_key_is_no_secret(shared, name):
    """Algorithm confusion: HS256 with the published key as the secret."""
    add_user(shared, name)
    token = sign_in(shared, name)["token"]
    head, payload, _ = token.split(".")
    keys = shared.get("/.well-known/jwks.json")
    if keys.status_code != 200:
        pytest.skip("no JWKS")
    for key in keys.json()["keys"]:
        for secret in (key["x"].encode(), base64.urlsafe_b64decode(key["x"] + "="), json.dumps(key).encode(), json.dumps(key, separators=(",", ":")).encode()):
            forged_head = encode({"alg": "HS256", "typ": "at+jwt", "kid": key["kid"]})
            signature = encode(hmac.new(secret, f"{forged_head}.{payload}".encode(), hashlib.sha256).digest())
            assert not alive(shared, f"{forged_head}.{payload}.{signature}")


def test_expired_token_says_so(make_server):
    own = make_server(*FAST, "--identity.token_life=5s", auth=True)
    add_user(own, "ada")
    tokens = sign_in(own, "ada")
    assert tokens["expires_in"] == 5 and validate(own, tokens["token"]).status == 200
    answer = wait_until(lambda: (a := validate(own, tokens["token"])).status == 401 and a, what="expiry", seconds=30)
    assert answer.json()["reason"] == "expired"
    assert ask(own, "GET", "/me", token=tokens["token"]).code == "auth.token_expired"
    assert alive(own, refresh(own, tokens["refresh_token"]).json()["token"])


def test_refresh_rotates_and_reuse_ends_the_session(shared, name):
    add_user(shared, name)
    first, other = sign_in(shared, name), sign_in(shared, name)
    second = refresh(shared, first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"] and alive(shared, second["token"]) and alive(shared, first["token"])
    third = refresh(shared, second["refresh_token"]).json()
    stolen = refresh(shared, first["refresh_token"])
    assert stolen.status == 401 and stolen.code == "auth.token_revoked"
    # At once: the newest tokens of the family are void, access tokens too.
    assert refresh(shared, third["refresh_token"]).status == 401
    assert validate(shared, third["token"]).json()["reason"] == "revoked" and not alive(shared, first["token"])
    assert alive(shared, other["token"])


def test_refresh_reply_that_was_lost(shared, name):
    add_user(shared, name)
    first = sign_in(shared, name)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:  # as a page with several tabs does
        answers = list(pool.map(lambda _: refresh(shared, first["refresh_token"]), range(64)))
    assert {a.status for a in answers} == {200} and len({a.json()["refresh_token"] for a in answers}) == 1
    assert all(alive(shared, a.json()["token"]) for a in answers[:3])


def test_refresh_without_grace(make_server):
    own = make_server(*FAST, "--identity.refresh_grace=0s", auth=True)
    add_user(own, "ada")
    first = sign_in(own, "ada")
    assert refresh(own, first["refresh_token"]).status == 200
    assert refresh(own, first["refresh_token"]).code == "auth.token_revoked"


@pytest.mark.parametrize("token", ["", "x", "msr_", "msr_BeDPbpAVEXAgRRG4bGRkZeZmvlw4D4EqV", "msk_BeDPbpAVEXAgRRG4bGRkZeZmvlw4D4EqV", "m" * 100000, "msr_\u0000"])
def test_refresh_rubbish(shared, token):
    assert refresh(shared, token).status in (400, 401)


def test_refresh_token_is_no_access_token(shared, name):
    add_user(shared, name)
    tokens = sign_in(shared, name)
    assert ask(shared, "GET", "/me", token=tokens["refresh_token"]).status == 401
    assert ask(shared, "GET", "/me", key=tokens["refresh_token"]).status == 401
    assert refresh(shared, tokens["token"]).status == 401


# --- Sessions, logout, password ----------------------------------------------------------------------------


def test_sessions_and_logout(shared, name):
    add_user(shared, name)
    add_user(shared, name + "x")
    mine, phone, stranger = sign_in(shared, name), sign_in(shared, name), sign_in(shared, name + "x")
    listed = ask(shared, "GET", "/sessions", token=mine["token"]).json()["sessions"]
    assert len(listed) == 2 and [s["current"] for s in listed].count(True) == 1 and all(s["address"] == "127.0.0.1" for s in listed)
    away = next(s["id"] for s in listed if not s["current"])
    assert ask(shared, "DELETE", f"/sessions/{away}", token=stranger["token"]).status == 404  # not his
    assert alive(shared, phone["token"])
    assert ask(shared, "DELETE", f"/sessions/{away}", token=mine["token"]).status == 204
    assert not alive(shared, phone["token"]) and refresh(shared, phone["refresh_token"]).status == 401
    assert ask(shared, "DELETE", f"/sessions/{away}", token=mine["token"]).status == 404
    assert ask(shared, "POST", "/logout", token=mine["token"]).status == 204
    assert not alive(shared, mine["token"]) and refresh(shared, mine["refresh_token"]).code == "auth.token_revoked"
    assert ask(shared, "POST", "/logout", token=mine["token"]).status == 401
    several = [sign_in(shared, name) for _ in range(3)]
    assert ask(shared, "POST", "/logout", {"all": True}, token=several[0]["token"]).status == 204
    assert not any(alive(shared, t["token"]) for t in several) and alive(shared, stranger["token"])


def test_sessions_are_listed_in_pages(shared, name):
    add_user(shared, name)
    token = [sign_in(shared, name) for _ in range(7)][0]["token"]
    found, cursor = [], ""
    while True:
        page = ask(shared, "GET", f"/sessions?limit=3{cursor and '&cursor=' + cursor}", token=token).json()
        found += [s["id"] for s in page["sessions"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert len(found) == len(set(found)) == 7 and found == sorted(found, reverse=True)
    for wrong in ("limit=0", "limit=1001", "limit=x", "limit=-1", "page=2"):
        assert ask(shared, "GET", f"/sessions?{wrong}", token=token).status == 400


def test_password_change(shared, name):
    add_user(shared, name)
    here, there = sign_in(shared, name), sign_in(shared, name)

    def change(current, new):
        return ask(shared, "POST", "/password", {"current_password": current, "password": new}, token=here["token"])

    assert change(OTHER, "another good passphrase").code == "auth.password" and alive(shared, there["token"])
    for weak in ("short", "passwordpassword", name * 8, "123456789012345", PASSWORD):
        answer = change(PASSWORD, weak)
        assert answer.status == 400 and answer.code == "auth.password" and answer.json()["details"]["field"] == "password", answer
    assert change(PASSWORD, OTHER).status == 204
    assert alive(shared, here["token"]) and not alive(shared, there["token"]) and refresh(shared, there["refresh_token"]).status == 401
    assert refresh(shared, here["refresh_token"]).status == 200
    assert login(shared, name, PASSWORD).status == 401 and login(shared, name, OTHER).status == 200


def test_password_guesses_by_a_thief_of_a_token_are_slowed(shared, name):
    add_user(shared, name)
    token = sign_in(shared, name)["token"]
    answers = [ask(shared, "POST", "/password", {"current_password": f"guess number {i} at it", "password": OTHER}, token=token).status for i in range(8)]
    assert answers[:5] == [400] * 5 and set(answers[5:]) == {429}


# --- Registration ------------------------------------------------------------------------------------------


def test_registration_is_closed(shared):
    answer = ask(shared, "POST", "/register", {"username": "eve", "password": PASSWORD})
    assert answer.status == 403 and "identity.registration" in answer.json()["error"]


def test_registration_open(make_server):
    own = make_server(*FAST, "--identity.registration=on", auth=True)
    made = ask(own, "POST", "/register", {"username": "eve", "password": PASSWORD, "email": "eve@example.org"})
    assert made.status == 201 and made.json()["user"]["role"] == "viewer"
    for extra in ({"role": "admin"}, {"grants": ["*"]}, {"state": "active"}, {"id": "x"}):
        assert ask(own, "POST", "/register", {"username": "mallory", "password": PASSWORD, **extra}, source=next(ADDRESS)).status == 400
    assert ask(own, "POST", "/register", {"username": "EVE", "password": PASSWORD}, source=next(ADDRESS)).status == 409
    assert ask(own, "POST", "/register", {"username": "eve@example.org", "password": PASSWORD}, source=next(ADDRESS)).status == 400
    assert ask(own, "POST", "/register", {"username": "bob", "password": "short"}, source=next(ADDRESS)).code == "auth.password"
    assert "*" not in ask(own, "GET", "/me", token=sign_in(own, "eve")["token"]).json()["permissions"]
    statuses = [ask(own, "POST", "/register", {"username": f"many{i}", "password": PASSWORD}, source="127.9.9.9").status for i in range(10)]
    assert statuses[:5] == [201] * 5 and 429 in statuses[5:]


# --- Users -------------------------------------------------------------------------------------------------


def test_users_of_an_administrator(shared, name):
    user = add_user(shared, name, email=f"{name}@example.org", display_name="Ada \u00c4", grants=["predict:churn-*"])
    assert user["state"] == "active" and user["role"] == "viewer" and user["has_password"] and "password" not in user
    assert admin(shared, "GET", f"/users/{user['id']}").json() == user
    changed = admin(shared, "PATCH", f"/users/{user['id']}", {"display_name": None, "email": None, "role": "operator"}).json()
    assert changed["display_name"] is None and changed["email"] is None and changed["role"] == "operator" and changed["grants"] == ["predict:churn-*"]
    assert admin(shared, "POST", "/users", {"username": name.upper(), "password": PASSWORD}).code == "auth.user_exists"
    for wrong in ({"role": "emperor"}, {"grants": ["fly"]}, {"grants": "predict"}, {"grants": [1]}, {"state": "asleep"}, {"email": "x"}, {"username": "a b"}, {"password": "short"},
                  {"password_hash": "plain"}, {"password_hash": "$argon2id$v=19$m=4194304,t=2,p=1$c2FsdHNhbHRzYWx0$dGFndGFndGFndGFn"}, {"password": PASSWORD, "password_hash": "x"}, {"id": "x"}, {"username": None}):
        answer = admin(shared, "PATCH", f"/users/{user['id']}", wrong)
        assert answer.status == 400, (wrong, answer)
    assert admin(shared, "DELETE", f"/users/{user['id']}").status == 204
    for method in ("GET", "PATCH", "DELETE"):
        assert admin(shared, method, f"/users/{user['id']}", {} if method == "PATCH" else None).code == "auth.user_not_found"
    assert login(shared, name, source=next(ADDRESS)).status == 401


def test_users_are_listed_in_pages(shared, name):
    made = {add_user(shared, f"{name}n{i}", password=None)["id"] for i in range(5)}
    found, cursor = [], ""
    while True:
        page = admin(shared, "GET", f"/users?limit=2{cursor and '&cursor=' + cursor}").json()
        assert len(page["users"]) <= 2
        found += [u["id"] for u in page["users"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert len(found) == len(set(found)) and made <= set(found)


def test_disabled_and_removed_users_are_out_at_once(shared, name):
    user = add_user(shared, name)
    tokens = sign_in(shared, name)
    assert admin(shared, "PATCH", f"/users/{user['id']}", {"state": "disabled"}).status == 200
    assert not alive(shared, tokens["token"]) and validate(shared, tokens["token"]).json()["reason"] == "revoked" and refresh(shared, tokens["refresh_token"]).status == 401
    assert login(shared, name, source=next(ADDRESS)).status == 401
    assert admin(shared, "PATCH", f"/users/{user['id']}", {"state": "active"}).status == 200
    assert not alive(shared, tokens["token"])  # enabled again is not signed in again
    tokens = sign_in(shared, name)
    assert admin(shared, "DELETE", f"/users/{user['id']}").status == 204
    assert not alive(shared, tokens["token"]) and refresh(shared, tokens["refresh_token"]).status == 401


def test_role_and_grants_hold_at_once(make_server):
    own = make_server(*FAST, auth=True)
    put_version(own.models, "churn", "v1", constant_model(1))
    put_version(own.models, "fraud", "v1", constant_model(2))
    wait_until(lambda: admin(own, "GET", "/api/v1/models/fraud").status == 200 and admin(own, "GET", "/api/v1/models/churn").status == 200, what="models")
    user = add_user(own, "ada", role="viewer")
    token = sign_in(own, "ada")["token"]

    def predict(model):
        return ask(own, "POST", "/api/v1/predict", {"model": model, "features": [[1]]}, token=token).status

    assert predict("churn") == 403
    for i in range(10):
        assert admin(own, "PATCH", f"/users/{user['id']}", {"grants": ["predict:churn"]}).status == 200
        assert predict("churn") == 200 and predict("fraud") == 403
        assert admin(own, "PATCH", f"/users/{user['id']}", {"grants": [], "role": "service" if i % 2 else "viewer"}).status == 200
        assert predict("churn") == predict("fraud") == (200 if i % 2 else 403)
        assert admin(own, "PATCH", f"/users/{user['id']}", {"role": "viewer"}).status == 200


def test_nobody_gives_away_more_than_he_has(shared, name):
    helper = add_user(shared, name, role="viewer", grants=["users.read", "users.write"])
    token = sign_in(shared, name)["token"]
    root = next(u for u in admin(shared, "GET", "/users?limit=1000").json()["users"] if u["username"] == "admin")

    def try_to(method, path, body=None):
        return ask(shared, method, path, body, token=token).status

    assert try_to("POST", "/users", {"username": name + "a", "role": "admin"}) == 403
    assert try_to("POST", "/users", {"username": name + "b", "grants": ["predict"]}) == 403
    assert try_to("POST", "/users", {"username": name + "c", "role": "viewer"}) == 201
    assert try_to("PATCH", f"/users/{helper['id']}", {"role": "admin"}) == 403
    assert try_to("PATCH", f"/users/{helper['id']}", {"grants": ["*"]}) == 403
    for body in ({"password": OTHER}, {"state": "disabled"}, {"email": "mallory@example.org"}, {"username": "gone"}, {"role": "viewer"}, {}):
        assert try_to("PATCH", f"/users/{root['id']}", body) == 403, body
    assert try_to("DELETE", f"/users/{root['id']}") == 403 and try_to("DELETE", f"/users/{root['id']}/sessions") == 403
    assert login(shared, "admin", OTHER, source=next(ADDRESS)).status == 401
    assert not any(u["username"] in (name + "a", name + "b") for u in admin(shared, "GET", "/users?limit=1000").json()["users"])


def test_viewers_see_no_users(shared, name):
    user = add_user(shared, name)
    token = sign_in(shared, name)["token"]
    for method, path in (("GET", "/users"), ("POST", "/users"), ("GET", f"/users/{user['id']}"), ("PATCH", f"/users/{user['id']}"), ("DELETE", f"/users/{user['id']}")):
        answer = ask(shared, method, path, {} if method in ("POST", "PATCH") else None, token=token)
        assert answer.status == 403 and answer.code == "auth.forbidden", (method, path)


def test_own_password_needs_the_current_one(shared, name):
    user = add_user(shared, name, role="admin")
    token = sign_in(shared, name)["token"]
    answer = ask(shared, "PATCH", f"/users/{user['id']}", {"password": OTHER}, token=token)
    assert answer.status == 403 and "/password" in answer.json()["error"] and login(shared, name).status == 200
    stored = "$2b$04$" + "." * 22 + "a" * 31  # a hash made elsewhere, of a password that the thief knows
    answer = ask(shared, "PATCH", f"/users/{user['id']}", {"password_hash": stored}, token=token)
    assert answer.status == 403 and "/password" in answer.json()["error"] and login(shared, name).status == 200
    other = add_user(shared, name + "x")
    assert ask(shared, "PATCH", f"/users/{other['id']}", {"password": OTHER}, token=token).status == 200  # an administrator's business
    assert login(shared, name + "x", OTHER).status == 200
    assert admin(shared, "DELETE", f"/users/{user['id']}").status == 204


def test_who_is_disabled_while_he_waits_does_nothing_any_more(make_server):
    """A password has to be hashed first, and strangers can make that queue long."""
    own = make_server("--identity.password_threads=1", "--identity.password_memory=128MiB", "--identity.password_passes=4", "--identity.password_queue=1000", auth=True)
    fired = add_user(own, "fired", role="admin")
    token = sign_in(own, "fired")["token"]
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        for i in range(6):
            pool.submit(login, own, f"user{i}", OTHER, next(ADDRESS))
        time.sleep(0.2)
        late = pool.submit(ask, own, "POST", "/users", {"username": "backdoor", "password": OTHER, "role": "admin"}, token)
        time.sleep(0.2)
        assert not late.done() and admin(own, "PATCH", f"/users/{fired['id']}", {"state": "disabled"}).status == 200
        assert late.result().status == 401
    assert [u["username"] for u in admin(own, "GET", "/users").json()["users"]] == ["admin", "fired"]


def test_last_administrator_stays(make_server):
    own = make_server(*FAST, auth=True)
    root = admin(own, "GET", "/users").json()["users"][0]
    for method, body in (("PATCH", {"state": "disabled"}), ("PATCH", {"role": "viewer"}), ("DELETE", None)):
        answer = admin(own, method, f"/users/{root['id']}", body)
        assert answer.status == 409 and answer.code == "auth.last_admin", answer
    second = add_user(own, "second", role="admin")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:  # each fires the other at the same moment
        token = sign_in(own, "second")["token"]
        race = [pool.submit(ask, own, "PATCH", f"/users/{root['id']}", {"role": "viewer"}, token), pool.submit(admin, own, "PATCH", f"/users/{second['id']}", {"role": "viewer"})]
        statuses = sorted(f.result().status for f in race)
    assert statuses in ([200, 403], [200, 409]), statuses
    assert len(rows(own, "SELECT id FROM users WHERE role = 'admin' AND state = 'active'")) == 1


# --- Brute force -------------------------------------------------------------------------------------------


def test_failures_bring_delays(make_server):
    own = make_server(*FAST, auth=True)
    add_user(own, "ada")
    statuses = [login(own, "ada", f"guess number {i}", source=next(ADDRESS)).status for i in range(5)]
    assert statuses == [401] * 5
    refused = login(own, "ada", source=next(ADDRESS))  # the right password has to wait as well
    assert refused.status == 429 and refused.code == "auth.throttled" and refused.headers["retry-after"] == "1"
    # Other names of the same account, and the same for users that are not there.
    assert login(own, "ADA", source=next(ADDRESS)).status == 429
    nobody = [login(own, "nobody", f"guess number {i}", source=next(ADDRESS)) for i in range(6)]
    assert [a.status for a in nobody] == [401] * 5 + [429] and nobody[5].headers["retry-after"] == "1"
    time.sleep(1.1)
    assert login(own, "ada", OTHER, source=next(ADDRESS)).status == 401
    waits = login(own, "ada", source=next(ADDRESS))
    assert waits.status == 429 and waits.headers["retry-after"] == "2"
    time.sleep(2.1)
    assert login(own, "ada", source=next(ADDRESS)).status == 200


def is_delayed(server, name, source=None):
    """A delay may just have ended: then the first attempt brings the next one."""
    return 429 in [login(server, name, OTHER, source or next(ADDRESS)).status for _ in range(2)]


def test_strangers_do_not_lock_a_user_out(make_server):
    own = make_server(*FAST, auth=True)
    add_user(own, "ada")
    sign_in(own, "ada", source="127.0.1.1")
    for i in range(30):
        login(own, "ada", f"guess number {i}", source=next(ADDRESS))
        login(own, f"somebody{i}", f"guess number {i}", source="127.0.1.1")
    assert is_delayed(own, "ada") and is_delayed(own, "nobody", "127.0.1.1")
    assert login(own, "ada", source="127.0.1.1").status == 200
    own.stop()
    own.start()
    for i in range(8):
        login(own, "ada", f"guess number {i}", source=next(ADDRESS))
    assert is_delayed(own, "ada")
    assert login(own, "ada", source="127.0.1.1").status == 200  # known after a restart, too


@pytest.mark.parametrize("same", ["account", "address"])
def test_thousands_of_guesses_at_once(make_server, same):
    own = make_server(*FAST, "--identity.password_queue=5000", auth=True)
    add_user(own, "ada")
    sources = ["127.3.3.3"] * 2000 if same == "address" else [next(ADDRESS) for _ in range(2000)]

    def guess(i):
        return login(own, "ada" if same == "account" else f"user{i}", f"guess number {i}", source=sources[i]).status

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        statuses = list(pool.map(guess, range(2000)))
    tried = statuses.count(401)
    free = 5 if same == "account" else 20
    # Of those that were under way when the last free one failed there are no more than threads; delays of 1, 2, 4 … s pass meanwhile.
    assert free <= tried <= free + os.cpu_count() + 6, statuses.count
    assert set(statuses) <= {401, 429, 503} and own.running()
    assert admin(own, "GET", "/me").status == 200


def test_one_user_signs_in_a_thousand_times_at_once(make_server):
    own = make_server(*FAST, "--identity.password_queue=5000", auth=True)
    add_user(own, "robot")
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: login(own, "robot"), range(1000)))
    assert {a.status for a in answers} == {200}
    assert len({a.json()["refresh_token"] for a in answers}) == 1000
    assert rows(own, "SELECT count(*) FROM sessions WHERE revoked_us = 0") == [(1000,)]
    assert rows(own, "SELECT count(*) FROM audit WHERE action = 'login' AND outcome = 'ok'") == [(1000,)]


def test_full_queue_of_hashes_is_told(make_server):
    own = make_server("--identity.password_queue=1", "--identity.password_threads=1", "--identity.password_memory=64MiB", auth=True)
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda i: login(own, f"user{i}", OTHER, source=next(ADDRESS)), range(40)))
    busy = [a for a in answers if a.status == 503]
    assert busy and all(a.headers["retry-after"] == "1" and a.code == "server.overloaded" for a in busy)
    assert {a.status for a in answers} == {401, 503}


# --- What lasts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["", "0123456789abcdef0123456789abcdef"])
def test_tokens_outlive_restarts(make_server, secret):
    own = make_server(*FAST, auth=True, env={"JWT_SECRET": secret} if secret else {})
    add_user(own, "ada")
    tokens, gone = sign_in(own, "ada"), sign_in(own, "ada")
    ask(own, "POST", "/logout", token=gone["token"])
    assert own.stop() == 0
    own.start()
    assert alive(own, tokens["token"]) and not alive(own, gone["token"]) and validate(own, gone["token"]).json()["reason"] == "revoked"
    assert refresh(own, tokens["refresh_token"]).status == 200


def test_kill_after_an_acknowledged_login(make_server):
    own = make_server(*FAST, auth=True)
    add_user(own, "ada")
    for _ in range(5):
        tokens = sign_in(own, "ada")
        own.signal(signal.SIGKILL)
        own.wait_exit()
        own.start()
        assert alive(own, tokens["token"])
        after = refresh(own, tokens["refresh_token"])
        assert after.status == 200
        own.signal(signal.SIGKILL)
        own.wait_exit()
        own.start()
        again = refresh(own, tokens["refresh_token"])  # the reply might have been lost with the server
        assert again.status == 200 and again.json()["refresh_token"] == after.json()["refresh_token"]
        assert ask(own, "POST", "/logout", token=again.json()["token"]).status == 204
        own.signal(signal.SIGKILL)
        own.wait_exit()
        own.start()
        assert not alive(own, tokens["token"]) and refresh(own, again.json()["refresh_token"]).status == 401


def test_nothing_secret_is_stored_or_logged(make_server):
    own = make_server(*FAST, "--log.level=trace", "--log.access=all", auth=True)
    add_user(own, "ada")
    tokens = sign_in(own, "ada")
    login(own, PASSWORD, "ada")  # typed into the wrong field
    login(own, "ada", OTHER)
    renewed = refresh(own, tokens["refresh_token"]).json()
    ask(own, "POST", "/password", {"current_password": PASSWORD, "password": "the tide returns at dawn"}, token=tokens["token"])
    login(own, "ada", "the tide returns at dawn")
    time.sleep(0.5)  # refusals are recorded in groups
    own.stop()
    stored = b"".join(p.read_bytes() for p in (own.folder / "data").iterdir() if p.is_file() and p.name.startswith("mainstay.db"))
    text = stored + own.log_text(100000).encode()
    for secret in (PASSWORD, OTHER, "the tide returns at dawn", tokens["token"], tokens["refresh_token"], renewed["refresh_token"], renewed["token"], tokens["token"].split(".")[2]):
        assert secret.encode() not in text, secret


def test_what_happened_is_recorded(make_server):
    own = make_server(*FAST, auth=True)
    user = add_user(own, "ada")
    login(own, "ada", OTHER)
    login(own, "nobody", OTHER)
    tokens = sign_in(own, "ada")
    ask(own, "POST", "/logout", token=tokens["token"])
    admin(own, "PATCH", f"/users/{user['id']}", {"role": "operator", "state": "disabled"})
    admin(own, "DELETE", f"/users/{user['id']}")

    def recorded():
        return [r for r in rows(own, "SELECT action, outcome, target, actor_name FROM audit ORDER BY seq") if r[0] != "server.started"]

    wait_until(lambda: sum(r[1] == "refused" for r in recorded()) == 2, what="refusals")
    target = f"user:{user['id']}"
    found = {(a, o, t) for a, o, t, _ in recorded()}
    assert {("admin.created", "ok"), ("user.created", "ok"), ("login", "refused"), ("login", "ok"), ("logout", "ok"), ("user.changed", "ok"), ("user.removed", "ok")} <= {f[:2] for f in found}
    assert ("login", "refused", target) in found and ("login", "refused", "") in found
    assert all(name != "nobody" for _, _, _, name in recorded())


# --- Hashes of other systems, the command line -------------------------------------------------------------


def mainstay(binary, server, *args, stdin=None):
    return subprocess.run([str(binary), *args, "--data-dir", str(server.folder / "data"), *FAST], input=stdin, capture_output=True, text=True, env=clean_environment(), timeout=60)


def pbkdf2(password, rounds=1000):
    salt = b"0123456789abcdef"
    tag = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    return f"pbkdf2_sha256${rounds}${salt.decode()}${base64.b64encode(tag).decode()}"  # as Django stores it


BCRYPT = "$2b$10$0123456789012345678901"  # salt; the rest is computed below


def bcrypt(password):
    crypt = pytest.importorskip("crypt")
    stored = crypt.crypt(password, BCRYPT)
    if not stored or not stored.startswith("$2b$10$"):
        pytest.skip("no bcrypt in this libcrypt")
    return stored


@pytest.mark.parametrize("kind", ["bcrypt", "pbkdf2"])
@pytest.mark.parametrize("form", ["json", "csv"])
def test_import_and_upgrade(make_server, binary, tmp_path, kind, form):
    own = make_server(*FAST, auth=True)
    stored = bcrypt(PASSWORD) if kind == "bcrypt" else pbkdf2(PASSWORD)
    if form == "json":
        text = "".join(json.dumps({"username": f"u{i}", "email": f"u{i}@example.org", "password_hash": stored, "role": None}) + "\n" for i in range(3))
    else:
        text = "username,email,display_name,password_hash\r\n" + "".join(f'u{i},u{i}@example.org,"He said ""hi"", twice",{stored}\r\n' for i in range(3))
    file = tmp_path / "users"
    file.write_text(text)
    process = mainstay(binary, own, "user", "import", str(file), "--role", "operator", "--json")
    assert process.returncode == 0 and json.loads(process.stdout) == {"added": 3, "skipped": 0}, process
    assert login(own, "u1", OTHER).status == 401
    assert rows(own, "SELECT password FROM users WHERE username = 'u1'") == [(stored,)]
    assert sign_in(own, "u1@example.org")["user"]["role"] == "operator"
    upgraded = rows(own, "SELECT password FROM users WHERE username = 'u1'")[0][0]
    assert upgraded.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    sign_in(own, "u1")
    assert rows(own, "SELECT password FROM users WHERE username = 'u1'") == [(upgraded,)]
    assert rows(own, "SELECT password FROM users WHERE username = 'u2'") == [(stored,)]
    again = mainstay(binary, own, "user", "import", str(file))
    assert again.returncode == 1 and "line" in again.stderr and "u0" in again.stderr
    again = mainstay(binary, own, "user", "import", str(file), "--skip-existing", "--json")
    assert again.returncode == 0 and json.loads(again.stdout) == {"added": 0, "skipped": 3}


@pytest.mark.parametrize("text,says", [
    ("", "no users"), ("\n\n", "no users"), ("name,email\na,b\n", "username"), ("username,username2\na,b\n", "no member"), ("username,email\na\n", "1 fields"), ('username\n"a\n', "does not end"), ('username\n"a"b\n', "behind"),
    ('{"username":"a"}\n{"username":}\n', "line 2"), ('{"username":"a","password":"x"}', "no member"), ('{"email":"a@b.org"}', "no username"), ('{"username":5}', "must be a string"),
    ('{"username":"a","password_hash":"plain text"}', "password_hash"), ('{"username":"ok"}\n{"username":"bad name"}\n', "line 2"), ('{"username":"a"}\n{"username":"A"}\n', "line 2"),
    ('{"username":"a","password_hash":"$argon2id$v=19$m=4194304,t=3,p=1$c2FsdHNhbHRzYWx0$dGFndGFndGFndGFn"}', "password_hash"), ('{"username":"a","role":"emperor"}', "emperor"),
])
def test_import_all_or_none(shared, binary, tmp_path, text, says):
    before = rows(shared, "SELECT count(*) FROM users")
    file = tmp_path / "users"
    file.write_text(text)
    process = mainstay(binary, shared, "user", "import", str(file))
    assert process.returncode == 1 and says in process.stderr, process
    assert rows(shared, "SELECT count(*) FROM users") == before


def test_command_line(make_server, binary):
    own = make_server(*FAST, auth=True)

    def run(*args, stdin=None):
        return mainstay(binary, own, "user", *args, stdin=stdin)

    added = run("add", "ada", "--role", "data-scientist", "--email", "ada@example.org", "--grants", "predict:churn,metrics.read", "--json", stdin=PASSWORD + "\n")
    assert added.returncode == 0, added
    user = json.loads(added.stdout)
    assert user["role"] == "data-scientist" and user["grants"] == ["predict:churn", "metrics.read"] and user["has_password"]
    tokens = sign_in(own, "ada")
    weak = run("add", "bob", stdin="password123\n")
    assert weak.returncode == 1 and "at least 15" in weak.stderr
    assert run("add", "bob", stdin="").returncode == 1
    assert run("add", "bob", "--no-password").returncode == 0
    listed = json.loads(run("list", "--json").stdout)
    assert [u["username"] for u in listed] == ["admin", "ada", "bob"]
    assert "ada@example.org" in run("list").stdout
    assert json.loads(run("show", "ada@example.org", "--json").stdout) == user
    assert "predict:churn" in run("show", "ADA").stdout
    assert run("role", "ada", "emperor").returncode == 1
    assert run("role", "ada", "viewer").returncode == 0
    wait_until(lambda: ask(own, "GET", "/me", token=tokens["token"]).json()["role"] == "viewer" and "models.write" not in ask(own, "GET", "/me", token=tokens["token"]).json()["permissions"], what="the new role")
    assert run("password", "ada", stdin=OTHER + "\n").returncode == 0
    wait_until(lambda: not alive(own, tokens["token"]), what="the end of the session")
    assert login(own, "ada", PASSWORD).status == 401
    tokens = sign_in(own, "ada", OTHER)
    assert run("disable", "ada").returncode == 0
    wait_until(lambda: not alive(own, tokens["token"]), what="the end of the session")
    assert login(own, "ada", OTHER).status == 401
    assert run("enable", "ada").returncode == 0 and login(own, "ada", OTHER).status == 200
    for refused in (("disable", "admin"), ("remove", "admin"), ("role", "admin", "viewer")):
        assert run(*refused).returncode == 1
    assert run("remove", "ada").returncode == 0 and run("show", "ada").returncode == 1
    assert login(own, "ada", OTHER).status == 401
    assert rows(own, "SELECT count(*) FROM audit WHERE actor_id = 'console'")[0][0] == 7


def test_command_line_works_without_a_server(binary, tmp_path):
    def run(*args, stdin=None):
        return subprocess.run([str(binary), "user", *args, "--data-dir", str(tmp_path / "d")], input=stdin, capture_output=True, text=True, env=clean_environment(), cwd=tmp_path, timeout=60)

    assert run("list", "--json").stdout.strip() == "[]"
    assert run("add", "ada", "--role", "admin", stdin=PASSWORD + "\n").returncode == 0
    assert json.loads(run("list", "--json").stdout)[0]["username"] == "ada"


def on_terminal(binary, args, typed, cwd):
    """Runs a command on a terminal of its own, types, and gives (what the terminal showed, its mode afterwards is as before, exit status)."""
    import pty
    import select
    import termios
    master, child = pty.openpty()
    before = termios.tcgetattr(child)
    process = subprocess.Popen([str(binary), *args], stdin=child, stdout=child, stderr=child, env=clean_environment(), cwd=cwd, start_new_session=True)
    shown, waiting = b"", list(typed)
    end = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < end:
        if select.select([master], [], [], 0.05)[0]:
            shown += os.read(master, 4096)
        if waiting and shown.rstrip().endswith(b":"):
            time.sleep(0.1)  # the prompt stands before the echo is off
            os.write(master, waiting.pop(0))
            shown += b"|"
    while select.select([master], [], [], 0.2)[0]:
        shown += os.read(master, 4096)
    after = termios.tcgetattr(child)
    os.close(master)
    os.close(child)
    return shown.decode(), after == before, process.wait(10)


def test_passwords_are_asked_for_without_showing_them(binary, tmp_path):
    add = ["user", "add", "ada", "--role", "admin", "--data-dir", str(tmp_path / "d")]
    shown, restored, status = on_terminal(binary, add, [PASSWORD.encode() + b"\n", OTHER.encode() + b"\n"], tmp_path)
    assert status == 1 and "differ" in shown and restored
    shown, restored, status = on_terminal(binary, add, [PASSWORD.encode() + b"\x03"], tmp_path)
    assert status == 1 and "cancelled" in shown and restored and PASSWORD not in shown
    shown, restored, status = on_terminal(binary, add, [PASSWORD.encode() + b"\n"] * 2, tmp_path)
    assert status == 0 and "added user ada" in shown and restored
    assert PASSWORD not in shown and "New password:" in shown


# --- PostgreSQL --------------------------------------------------------------------------------------------


def test_on_postgres(make_server):
    from test_database import Postgres
    postgres = Postgres()
    try:
        own = make_server(*FAST, auth=True, env={"DATABASE_URL": postgres.ask("database"), "MAINSTAY_STORE_MIGRATE": "always"})
        assert admin(own, "GET", "/me").json()["username"] == "admin"
        user = add_user(own, "ada", role="viewer")
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: login(own, "ada"), range(100)))
            assert {a.status for a in answers} == {200}
            first = answers[0].json()
            renewed = list(pool.map(lambda _: refresh(own, first["refresh_token"]), range(40)))
            assert {a.status for a in renewed} == {200} and len({a.json()["refresh_token"] for a in renewed}) == 1
            made = list(pool.map(lambda i: admin(own, "POST", "/users", {"username": "Bob" if i % 2 else "BOB", "role": "viewer"}).status, range(20)))
            assert sorted(set(made)) == [201, 409] and made.count(201) == 1
        assert refresh(own, renewed[0].json()["refresh_token"]).status == 200
        assert refresh(own, first["refresh_token"]).code == "auth.token_revoked" and not alive(own, first["token"])
        token = answers[1].json()["token"]
        assert ask(own, "GET", "/users", token=token).status == 403
        assert admin(own, "PATCH", f"/users/{user['id']}", {"grants": ["users.read"]}).status == 200
        assert ask(own, "GET", "/users", token=token).status == 200
        postgres.ask("restart")
        wait_until(lambda: login(own, "ada").status == 200, what="a login after the database came back", seconds=30)
        assert alive(own, token)
        own.signal(signal.SIGKILL)
        own.wait_exit()
        own.start()
        assert alive(own, token) and admin(own, "GET", "/me").status == 200
        assert admin(own, "DELETE", f"/users/{user['id']}").status == 204 and not alive(own, token)
        assert own.stop() == 0
    finally:
        postgres.end()


# --- The document ------------------------------------------------------------------------------------------


def test_answers_are_as_documented(shared, name):
    from test_docs import conforms, operations, resolve, success_schema, walk
    document = shared.get("/openapi.json").json()
    have = {(m.upper(), p.removeprefix(AUTH)) for p, m, _ in operations(document) if p.startswith(AUTH)}
    assert {("POST", "/login"), ("POST", "/refresh"), ("POST", "/validate"), ("POST", "/logout"), ("POST", "/register"), ("POST", "/password"), ("GET", "/sessions"), ("DELETE", "/sessions/{session}"),
            ("GET", "/me"), ("GET", "/users"), ("POST", "/users"), ("GET", "/users/{user}"), ("PATCH", "/users/{user}"), ("DELETE", "/users/{user}"), ("DELETE", "/users/{user}/sessions")} <= have
    ids = [o["operationId"] for _, _, o in operations(document)]
    assert len(ids) == len(set(ids))
    for _, value in walk(document):
        if isinstance(value, dict) and isinstance(value.get("$ref"), str):
            resolve(document, value["$ref"])

    def check(method, path, answer):
        assert answer.status in (200, 201), answer
        schema = success_schema(document, AUTH + path, method)
        assert schema, (method, path)
        error = conforms(document, schema, answer.json())
        assert error is None, f"{method} {path}: {error}"
        return answer.json()

    user = check("post", "/users", admin(shared, "POST", "/users", {"username": name, "password": PASSWORD}))
    tokens = check("post", "/login", login(shared, name))
    check("post", "/refresh", refresh(shared, tokens["refresh_token"]))
    check("post", "/validate", validate(shared, tokens["token"]))
    check("post", "/validate", validate(shared, shared.admin_key))
    check("get", "/me", ask(shared, "GET", "/me", token=tokens["token"]))
    check("get", "/sessions", ask(shared, "GET", "/sessions", token=tokens["token"]))
    check("get", "/users", admin(shared, "GET", "/users"))
    check("get", "/users/{user}", admin(shared, "GET", f"/users/{user['id']}"))
    check("patch", "/users/{user}", admin(shared, "PATCH", f"/users/{user['id']}", {"display_name": "x"}))
    error = resolve(document, document["paths"][AUTH + "/login"]["post"]["responses"]["default"].get("$ref", "#"))
    if "content" in error:
        assert conforms(document, error["content"]["application/json"]["schema"], login(shared, name, OTHER).json()) is None


def test_sign_ins_under_way_when_the_server_is_told_to_stop(make_server):
    own = make_server("--identity.password_threads=1", "--identity.password_queue=1000", auth=True)
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        running = [pool.submit(login, own, f"user{i}", OTHER, next(ADDRESS)) for i in range(40)]
        time.sleep(0.3)
        own.signal(signal.SIGTERM)
        statuses = []
        for f in running:
            try:
                statuses.append(f.result().status)
            except (OSError, http.client.HTTPException):
                statuses.append(None)
    assert own.wait_exit() == 0 and set(statuses) <= {401, 503, None} and 401 in statuses, statuses


def test_second_signal_cuts_sign_ins(make_server):
    own = make_server("--identity.password_threads=1", "--identity.password_memory=128MiB", "--identity.password_passes=4", "--identity.password_queue=1000", auth=True)
    pool = concurrent.futures.ThreadPoolExecutor(10)
    start = time.monotonic()
    login(own, "user", OTHER)
    one = time.monotonic() - start
    running = [pool.submit(login, own, f"user{i}", OTHER, next(ADDRESS)) for i in range(10)]
    time.sleep(0.2)
    own.signal(signal.SIGTERM)
    time.sleep(0.7)
    own.signal(signal.SIGTERM)
    start = time.monotonic()
    assert own.wait_exit(120) == 0
    assert time.monotonic() - start < 2 + 4 * one  # the hash under way ends; those that wait are dropped
    for f in running:
        try:
            assert f.result().status in (401, 503)
        except (OSError, http.client.HTTPException):
            pass
    pool.shutdown()
