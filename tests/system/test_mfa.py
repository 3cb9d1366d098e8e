# SPDX-License-Identifier: Apache-2.0
"""Second factors against the real server: TOTP with oathtool's codes, recovery codes, the two steps of a sign-in, and those who
try to get around them."""

import base64
import concurrent.futures
import http.client
import json
import re
import sqlite3
import subprocess
import time

import pytest
from harness import ROOT, Server, clean_environment, wait_until

PASSWORD = "seven quiet rivers bend"
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
        return f"<{self.status} {self.body[:400]!r}>"


def ask(server, method, path, body=None, token=None, key=None, source=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60, source_address=(source, 0) if source else None)
    headers = {"Authorization": f"Bearer {token}"} if token else {"X-API-Key": key} if key else {}
    try:
        connection.request(method, AUTH + path, json.dumps(body).encode() if body is not None else None, headers)
        answer = connection.getresponse()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def add_user(server, name, **fields):
    answer = ask(server, "POST", "/users", {"username": name, "password": PASSWORD, **fields}, key=server.admin_key)
    assert answer.status == 201, answer
    return answer.json()


def login(server, name, source=None):
    return ask(server, "POST", "/login", {"username": name, "password": PASSWORD}, source=source)


def sign_in(server, name):
    answer = login(server, name)
    assert answer.status == 200, answer
    return answer.json()["token"]


def first_step(server, name, source=None):
    """The mfa_token of a user with a second factor."""
    answer = login(server, name, source)
    assert (answer.status, answer.code) == (401, "auth.mfa_required"), answer
    return answer.json()["mfa_token"]


def second_step(server, token, method="totp", source=None, **fields):
    return ask(server, "POST", "/login/mfa", {"mfa_token": token, "method": method, **fields}, source=source)


def oath(secret, step):
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(step * 30 + 1))
    run = subprocess.run(["oathtool", "--totp", "-b", secret, "--now", when], capture_output=True, text=True, check=True)
    return run.stdout.strip()


class Device:
    """An authenticator app. code() is one that was not given before and that the server takes: of the step before this one at the earliest."""

    def __init__(self, secret):
        self.secret, self.used = secret, 0

    def code(self):
        now = int(time.time()) // 30
        step = max(now - 1, self.used + 1)
        while step > int(time.time()) // 30 + 1:
            time.sleep(0.2)
        if step == int(time.time()) // 30 - 1 and time.time() % 30 > 28:
            step += 1  # it would be over before it arrives
        self.used = step
        return oath(self.secret, step)

    def wrong(self):
        return f"{(int(oath(self.secret, int(time.time()) // 30)) + 500000) % 1000000:06}"


def enrol(server, name, **fields):
    """A user with TOTP: (token of the session, device)."""
    add_user(server, name, **fields)
    token = sign_in(server, name)
    begun = ask(server, "POST", "/mfa/totp/begin", {"password": PASSWORD}, token=token)
    assert begun.status == 200, begun
    device = Device(begun.json()["secret"])
    confirmed = ask(server, "POST", "/mfa/totp/confirm", {"code": device.code()}, token=token)
    assert confirmed.status == 204, confirmed
    return token, device


def audit(server):
    answer = ask(server, "GET", "/audit?limit=1000", key=server.admin_key)
    assert answer.status == 200, answer
    return next(v for v in answer.json().values() if isinstance(v, list))


class Postgres:
    """A server of this file's own; ends with its standard input."""

    def __init__(self):
        self.process = subprocess.Popen([str(ROOT / "tests" / "lib" / "postgres")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def database(self):
        self.process.stdin.write("database\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self):
        self.process.stdin.close()
        self.process.wait(60)


def test_both_steps_on_postgresql(make_server):
    """Two servers on one database: what is used at one is used at the other."""
    postgres, servers = Postgres(), []
    try:
        key = base64.b64encode(bytes(range(32))).decode()
        env = {"DATABASE_URL": postgres.database(), "MAINSTAY_IDENTITY_MASTER_KEY": key, "MAINSTAY_STORE_MIGRATE": "always",
               "JWT_SECRET": "0123456789abcdef0123456789abcdef"}
        servers += [make_server(*FAST, auth=True, env=env, start=False) for _ in range(2)]
        one, two = [server.start() for server in servers]
        token, device = enrol(one, "pam")
        codes = ask(one, "POST", "/mfa/recovery-codes", {"password": PASSWORD}, token=token).json()["codes"]
        code = device.code()
        first = first_step(one, "pam")
        assert second_step(two, first, code=code).status == 200
        assert second_step(one, first, code=code).code == "auth.token_invalid"
        assert second_step(one, first_step(one, "pam"), code=code).status == 401
        first = first_step(two, "pam")
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda i: second_step((one, two)[i % 2], first, "recovery", code=codes[0], source=f"127.0.1.{i + 1}").status,
                                    range(16)))
        assert answers.count(200) == 1, answers
        assert ask(one, "GET", "/mfa", token=token).json()["recovery_codes"] == 9
    finally:
        for server in servers:
            if server.process is not None:
                server.stop()
        postgres.end()


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory):
    own = Server(binary, tmp_path_factory.mktemp("mfa"), *FAST, auth=True)
    try:
        own.start()
        yield own
        assert own.stop() == 0
    finally:
        own.kill()


# --- TOTP ---------------------------------------------------------------------------------------------


def test_totp_is_asked_for_once_it_is_confirmed(server):
    add_user(server, "ada")
    token = sign_in(server, "ada")
    begun = ask(server, "POST", "/mfa/totp/begin", {}, token=token).json()  # signed in just now: that is enough
    assert re.fullmatch("[A-Z2-7]{32}", begun["secret"])  # 160 bits
    assert begun["uri"] == f"otpauth://totp/localhost:ada?secret={begun['secret']}&issuer=localhost"
    assert begun["qr_svg"].startswith("<svg ") and begun["qr_svg"].endswith("</svg>")
    sign_in(server, "ada")  # not confirmed: it counts for nothing
    device = Device(begun["secret"])
    wrong = ask(server, "POST", "/mfa/totp/confirm", {"code": device.wrong()}, token=token)
    assert (wrong.status, wrong.json()["details"]["field"]) == (400, "code")
    other = sign_in(server, "ada")
    assert ask(server, "POST", "/mfa/totp/confirm", {"code": device.code()}, token=token).status == 204
    assert ask(server, "GET", "/me", token=other).status == 401  # begun with less than is needed now
    status = ask(server, "GET", "/mfa", token=token).json()
    assert (status["totp"], status["passkeys"], status["recovery_codes"], status["required"]) == (True, 0, 0, False)

    asked = login(server, "ada")
    assert (asked.status, asked.code) == (401, "auth.mfa_required")
    assert asked.json()["methods"] == ["totp"] and asked.json()["expires_in"] == 300
    assert "token" not in asked.json() and asked.headers["www-authenticate"].startswith("Bearer")
    done = second_step(server, asked.json()["mfa_token"], code=device.code())
    assert done.status == 200 and done.json()["user"]["username"] == "ada", done
    assert ask(server, "GET", "/me", token=done.json()["token"]).status == 200
    sessions = ask(server, "GET", "/sessions", token=done.json()["token"]).json()["sessions"]
    assert sorted(s["methods"] for s in sessions) == ["pwd", "pwd otp mfa"]


def test_a_qr_code_says_the_uri(server, tmp_path):
    add_user(server, "qr-user")
    begun = ask(server, "POST", "/mfa/totp/begin", {"password": PASSWORD}, token=sign_in(server, "qr-user")).json()
    svg = begun["qr_svg"]
    size = int(re.search(r'viewBox="0 0 (\d+) ', svg).group(1))
    pixels = [bytearray(b"\xff" * size * 8) for _ in range(size)]
    for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\d+z", svg):
        pixels[int(y)][int(x) * 8:(int(x) + int(width)) * 8] = bytes(int(width) * 8)
    image = tmp_path / "code.pgm"
    image.write_bytes(b"P5 %d %d 255\n" % (size * 8, size * 8) + b"".join(bytes(row) * 8 for row in pixels))
    read = subprocess.run(["zbarimg", "-q", "--raw", str(image)], capture_output=True, text=True, check=True)
    assert read.stdout.strip() == begun["uri"]


def test_each_code_works_once(server):
    _, device = enrol(server, "bob")
    code = device.code()
    assert second_step(server, first_step(server, "bob"), code=code).status == 200
    again = second_step(server, first_step(server, "bob"), code=code)
    assert (again.status, again.code) == (401, "auth.credentials")
    # A code of a step before the newest used one is as void.
    older = oath(device.secret, device.used - 1)
    assert second_step(server, first_step(server, "bob"), code=older).status == 401


def test_a_used_code_stays_used_over_a_crash(make_server):
    server = make_server(*FAST, auth=True)
    _, device = enrol(server, "bob")
    code = device.code()
    assert second_step(server, first_step(server, "bob"), code=code).status == 200
    server.kill()
    server.start()
    assert second_step(server, first_step(server, "bob"), code=code).status == 401
    assert second_step(server, first_step(server, "bob"), code=device.code()).status == 200


def test_codes_far_off_are_refused(server):
    _, device = enrol(server, "eve-clock")
    now = int(time.time()) // 30
    for step in (now - 3, now + 3):
        assert second_step(server, first_step(server, "eve-clock"), code=oath(device.secret, step)).status == 401
    for text in ("", "12345", "1234567", "abcdef", "-12345", "１２３４５６"):
        assert second_step(server, first_step(server, "eve-clock"), code=text).status in (400, 401, 429)


def test_the_secret_is_sealed_at_rest(server):
    token, device = enrol(server, "sealed")
    raw = base64.b32decode(device.secret)
    folder = server.folder / "data"
    for file in folder.glob("mainstay.db*"):
        content = file.read_bytes()
        assert raw not in content and device.secret.encode() not in content, file
    with sqlite3.connect(f"file:{folder / 'mainstay.db'}?mode=ro", uri=True) as db:
        assert all(len(row[0]) > 60 for row in db.execute("SELECT sealed FROM totp"))
    assert device.secret not in server.log_text(10000)
    assert token is not None


def test_removal_needs_a_proof(server):
    token, device = enrol(server, "carl")
    nothing = ask(server, "DELETE", "/mfa/totp", token=token)
    assert (nothing.status, nothing.code) == (403, "auth.proof_required")
    wrong = ask(server, "DELETE", "/mfa/totp", {"password": "not the password"}, token=token)
    assert (wrong.status, wrong.code) == (403, "auth.proof_required")
    assert ask(server, "DELETE", "/mfa/totp", {"code": device.wrong()}, token=token).status == 403
    both = ask(server, "DELETE", "/mfa/totp", {"code": device.wrong(), "password": PASSWORD}, token=token)
    assert both.status == 400
    assert ask(server, "POST", "/mfa/totp/begin", {"password": PASSWORD}, token=token).status == 409
    assert ask(server, "DELETE", "/mfa/totp", {"code": device.code()}, token=token).status == 204
    assert ask(server, "GET", "/mfa", token=token).json()["totp"] is False
    sign_in(server, "carl")
    assert ask(server, "DELETE", "/mfa/totp", {"password": PASSWORD}, token=token).status == 404


def test_an_api_key_changes_no_factors(server):
    token, _ = enrol(server, "dora")
    made = ask(server, "POST", "/api-keys", {"name": "k", "scopes": ["self"]}, token=token)
    assert made.status == 201, made
    key = made.json().get("key") or made.json()["secret"]
    assert ask(server, "GET", "/mfa", key=key).status == 200
    for method, path in (("POST", "/mfa/totp/begin"), ("DELETE", "/mfa/totp"), ("POST", "/mfa/recovery-codes"),
                         ("POST", "/webauthn/register/begin"), ("POST", "/webauthn/challenge")):
        refused = ask(server, method, path, {"password": PASSWORD} if "challenge" not in path else None, key=key)
        assert (refused.status, refused.code) == (403, "auth.forbidden"), path


# --- The token between the steps ------------------------------------------------------------------------


def test_the_token_of_the_first_step_works_once(server):
    _, device = enrol(server, "fay")
    token = first_step(server, "fay")
    assert second_step(server, token, code=device.wrong()).status == 401  # a slip: it may be tried again
    assert second_step(server, token, code=device.code()).status == 200
    replayed = second_step(server, token, code=device.code())
    assert (replayed.status, replayed.code) == (401, "auth.token_invalid")


def test_the_token_of_the_first_step_is_nothing_else(server):
    _, device = enrol(server, "gus")
    _, other = enrol(server, "hal")
    token = first_step(server, "gus")
    assert ask(server, "GET", "/me", token=token).status == 401
    assert ask(server, "POST", "/refresh", {"refresh_token": token}).status == 401
    assert ask(server, "POST", "/validate", {"token": token}).status == 401
    assert second_step(server, token, code=other.code()).status == 401  # another user's code
    for bad in ("", "x", token[:-1], token[:-4] + "AAAA", token.swapcase(), "A" * 2000):
        answer = second_step(server, bad, code=device.code() if bad == "x" else "123456")
        assert answer.status in (400, 401) and answer.code in ("request.invalid", "auth.token_invalid"), answer
    # A token ends with the password that it was given for.
    password = ask(server, "GET", "/users", key=server.admin_key).json()
    user = next(u for u in password["users"] if u["username"] == "gus")
    changed = ask(server, "PATCH", f"/users/{user['id']}", {"password": "another lantern over the bay"}, key=server.admin_key)
    assert changed.status == 200, changed
    assert second_step(server, token, code=device.code()).status == 401


def test_codes_cannot_be_guessed(server):
    _, device = enrol(server, "ivy")
    statuses = []
    for i in range(8):
        # The right password each time: it does not clear the count of wrong codes.
        token = first_step(server, "ivy", source="127.0.0.7")
        statuses.append(second_step(server, token, code=device.wrong(), source="127.0.0.7"))
    assert [s.status for s in statuses[:5]] == [401] * 5
    throttled = [s for s in statuses if s.status == 429]
    assert throttled and throttled[0].code == "auth.throttled" and int(throttled[0].headers["retry-after"]) >= 1
    # From other addresses too: the account waits. And the right code is refused while it does.
    token = first_step(server, "ivy", source="127.0.0.8")
    assert second_step(server, token, code=oath(device.secret, int(time.time()) // 30), source="127.0.0.8").status == 429

    def refusals():
        return [e["details"]["reason"] for e in audit(server)
                if e["event"] == "login" and e["outcome"] == "refused" and e["actor"]["name"] == "ivy"]

    wait_until(lambda: len(refusals()) >= 5, what="refusals in the audit log")
    assert set(refusals()) == {"wrong code"}


# --- Recovery codes ---------------------------------------------------------------------------------------


def test_recovery_codes_work_once_each(server):
    token, device = enrol(server, "jan")
    made = ask(server, "POST", "/mfa/recovery-codes", {"password": PASSWORD}, token=token)
    codes = made.json()["codes"]
    assert len(set(codes)) == 10 and all(re.fullmatch("[0-9a-hjkmnp-tv-z]{5}-[0-9a-hjkmnp-tv-z]{5}", c) for c in codes)
    asked = login(server, "jan")
    assert asked.json()["methods"] == ["totp", "recovery"]
    typed = codes[0].upper().replace("-", " ").replace("0", "O").replace("1", "l")
    assert second_step(server, asked.json()["mfa_token"], "recovery", code=typed).status == 200
    assert ask(server, "GET", "/mfa", token=token).json()["recovery_codes"] == 9
    assert second_step(server, first_step(server, "jan"), "recovery", code=codes[0]).status == 401
    assert second_step(server, first_step(server, "jan"), "recovery", code="00000-00000").status == 401
    assert second_step(server, first_step(server, "jan"), "recovery", code="not one").status == 401
    # A new set voids the old one.
    fresh = ask(server, "POST", "/mfa/recovery-codes", {"code": codes[1], "method": "recovery"}, token=token).json()["codes"]
    assert second_step(server, first_step(server, "jan"), "recovery", code=codes[2]).status == 401
    assert second_step(server, first_step(server, "jan"), "recovery", code=fresh[0]).status == 200
    with sqlite3.connect(f"file:{server.folder / 'data' / 'mainstay.db'}?mode=ro", uri=True) as db:
        stored = [row[0] for row in db.execute("SELECT hash FROM recovery_codes")]
    assert len(stored) == 9 and all(h.startswith("$argon2id$") for h in stored)
    names = [e["event"] for e in audit(server)]
    assert names.count("recovery_code.used") == 3 and names.count("recovery_codes.made") == 2
    text = json.dumps(audit(server))
    assert not any(c in text or c in server.log_text(10000) for c in codes + fresh + [device.secret])


def test_recovery_codes_need_a_factor_to_stand_in_for(server):
    add_user(server, "kim")
    token = sign_in(server, "kim")
    assert ask(server, "POST", "/mfa/recovery-codes", {"password": PASSWORD}, token=token).status == 409


# --- Administrators, required ------------------------------------------------------------------------------


def mainstay(binary, server, *args):
    return subprocess.run([str(binary), *args, "--data-dir", str(server.folder / "data")], capture_output=True, text=True,
                          env=clean_environment(), timeout=60, check=False)


def test_an_administrator_helps_who_lost_the_device(binary, make_server):
    server = make_server(*FAST, auth=True)
    token, _ = enrol(server, "lea")
    assert ask(server, "POST", "/mfa/recovery-codes", {"password": PASSWORD}, token=token).status == 200
    shown = mainstay(binary, server, "user", "mfa", "lea")
    assert shown.returncode == 0 and "TOTP" in shown.stdout and "10" in shown.stdout, shown
    as_json = mainstay(binary, server, "user", "mfa", "lea", "--json")
    assert json.loads(as_json.stdout) == {"user": "lea", "totp": True, "passkeys": 0, "recovery_codes": 10}
    reset = mainstay(binary, server, "user", "mfa", "lea", "reset")
    assert reset.returncode == 0, reset
    deadline = time.time() + 10
    while ask(server, "GET", "/me", token=token).status != 401 and time.time() < deadline:
        time.sleep(0.1)
    assert ask(server, "GET", "/me", token=token).status == 401  # the sessions ended
    sign_in(server, "lea")
    assert [e for e in audit(server) if e["event"] == "factors.reset" and e["actor"]["id"] == "console"]
    assert mainstay(binary, server, "user", "mfa", "nobody").returncode != 0


def test_an_administrator_resets_over_http_but_not_himself(server):
    _, _ = enrol(server, "mia")
    users = {u["username"]: u["id"] for u in ask(server, "GET", "/users", key=server.admin_key).json()["users"]}
    assert ask(server, "GET", f"/users/{users['mia']}/mfa", key=server.admin_key).json()["totp"] is True
    assert ask(server, "DELETE", f"/users/{users['mia']}/mfa", key=server.admin_key).status == 204
    sign_in(server, "mia")
    token, _ = enrol(server, "root2", role="admin")
    own = ask(server, "GET", "/me", token=token).json()["id"]
    assert ask(server, "DELETE", f"/users/{own}/mfa", token=token).status == 403
    plain, _ = enrol(server, "nia")
    assert ask(server, "DELETE", f"/users/{users['mia']}/mfa", token=plain).status == 403
    # One who may manage users, but less than an administrator, resets no administrator.
    helper = add_user(server, "helper", grants=["users.read", "users.write"])
    assert helper["grants"]
    refused = ask(server, "DELETE", f"/users/{own}/mfa", token=sign_in(server, "helper"))
    assert (refused.status, refused.code) == (403, "auth.forbidden")


def test_where_it_is_required_a_token_opens_the_own_account_alone(make_server):
    server = make_server(*FAST, "--identity.mfa=required", auth=True)
    add_user(server, "ola", role="admin")
    answer = login(server, "ola").json()
    assert answer["scope"] == "self"
    token = answer["token"]
    assert ask(server, "GET", "/mfa", token=token).json()["required"] is True
    assert ask(server, "GET", "/users", token=token).status == 403
    # Neither by refreshing nor by a change of the user does it become more.
    again = ask(server, "POST", "/refresh", {"refresh_token": answer["refresh_token"]}).json()
    assert again["scope"] == "self" and ask(server, "GET", "/users", token=again["token"]).status == 403
    own = ask(server, "GET", "/me", token=token).json()["id"]
    assert ask(server, "PATCH", f"/users/{own}", {"display_name": "Ola", "grants": ["users.read"]}, key=server.admin_key).status == 200
    assert ask(server, "GET", "/users", token=token).status == 403
    device = Device(ask(server, "POST", "/mfa/totp/begin", {}, token=token).json()["secret"])
    assert ask(server, "POST", "/mfa/totp/confirm", {"code": device.code()}, token=token).status == 204
    done = second_step(server, first_step(server, "ola"), code=device.code()).json()
    assert "scope" not in done and ask(server, "GET", "/users", token=done["token"]).status == 200
    last = ask(server, "DELETE", "/mfa/totp", {"password": PASSWORD}, token=done["token"])
    assert (last.status, last.code) == (409, "request.conflict")
