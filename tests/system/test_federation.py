# SPDX-License-Identifier: Apache-2.0
"""Signing in through an outside OpenID Connect provider: npm oidc-provider as a real one, and one that does wrong."""

import json
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import time
import urllib.parse

import jwt
import pytest
import requests
import test_mfa
from harness import Server, wait_until
from oauth_browser import Browser, answer_of
from outside_provider import Key, Provider, b64
from test_oauth import PASSWORD, User, admin, claims_of, free_port, register, start

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODULES = ROOT / "node_modules"
NAME = "Example & Co"


def settings(provider, role="viewer", **more):
    values = {"issuer": provider.issuer, "client_id": provider.client_id, "client_secret": provider.client_secret, "name": NAME, "loopback": "true", "timeout": "1s", "role": role, **more}
    return {f"MAINSTAY_IDENTITY_PROVIDER_{name.upper()}": value for name, value in values.items()}


@pytest.fixture(scope="module")
def outside():
    provider = Provider()
    yield provider
    provider.stop()


@pytest.fixture
def provider(outside):
    outside.reset()
    yield outside
    outside.reset()


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory, outside):
    own = start(binary, tmp_path_factory.mktemp("federation"), env=settings(outside))
    try:
        yield own
        assert own.stop() == 0
    finally:
        own.kill()


@pytest.fixture
def make(binary, tmp_path, provider):
    made = []

    def make(name="own", **more):
        own = start(binary, tmp_path / name, env=settings(provider, **more))
        made.append(own)
        return own

    yield make
    for own in made:
        if own.process is not None:
            assert own.stop() == 0
        own.kill()


def query_of(page):
    assert page.status == 303, page
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(page.location).query, strict_parsing=True))


def leave(browser, client=None):
    """To the provider, from the sign-in page of a client."""
    page = browser.get(client.authorize_path("openid profile email") if client else "/oauth/device")
    assert page.status == 200, page
    link = [attrs["href"] for tag, attrs in page.tags if tag == "a" and "button" in attrs.get("class", "")]
    assert len(link) == 1 and f"Sign in with {NAME}" in page.text, page.body
    return browser.get(link[0])


def come_back(browser, server, provider, query, code, **changes):
    answer = {"code": code, "state": query["state"], "iss": provider.issuer, **changes}
    return browser.get(f"{server.url}/oauth/external/default/callback?" + urllib.parse.urlencode({k: v for k, v in answer.items() if v is not None}))


def sign_in(server, provider, subject, browser=None, client=None, **claims):
    browser = browser or Browser(server)
    query = query_of(leave(browser, client))
    return come_back(browser, server, provider, query, provider.grant(query, subject, **claims))


def signed_in_as(server, provider, subject, **claims):
    """The claims that a client of ours gets about who signed in through the provider."""
    client, browser = register(server), Browser(server)
    page = browser.follow(sign_in(server, provider, subject, browser, client, **claims))
    assert page.status == 200 and "decision" in page.body, page
    return claims_of(client.redeem(answer_of(browser.submit(page, decision="allow"))["code"]).json()["id_token"])


def rows(server, sql):
    with sqlite3.connect(f"file:{server.folder / 'data' / 'mainstay.db'}?mode=ro", uri=True) as db:
        return db.execute(sql).fetchall()


def refused(page, status=403):
    assert page.status == status and "Set-Cookie" in page.headers, page
    assert "msl_" not in page.headers["Set-Cookie"] or "password" in page.body, page


def is_in(browser):
    """Whether the browser is signed in: then the device page asks for a code and not for a password."""
    page = browser.get("/oauth/device")
    return "password" not in page.form["fields"]


# --- The whole way -----------------------------------------------------------------------------------


def test_a_new_user(server, provider):
    claims = signed_in_as(server, provider, "sub-1", preferred_username="grace", name="Grace", email="grace@example.com", email_verified=True)
    assert claims["preferred_username"] == "grace" and claims["email"] == "grace@example.com" and claims["amr"] == ["fed:default"]
    again = signed_in_as(server, provider, "sub-1", preferred_username="renamed", email="other@example.com")
    assert again["sub"] == claims["sub"] and again["preferred_username"] == "grace", "the subject says who it is"
    other = signed_in_as(server, provider, "sub-2", preferred_username="grace")
    assert other["sub"] != claims["sub"] and other["preferred_username"] == "grace-2"
    assert rows(server, "SELECT role, password FROM users WHERE username = 'grace'") == [("viewer", None)]
    events = admin(server, "GET", "/audit?event=identity.linked").json()
    assert "sub-1" in json.dumps(events)


def test_what_is_asked_of_the_provider(server, provider):
    browser = Browser(server)
    page = leave(browser)
    query = query_of(page)
    assert page.location.startswith(provider.issuer + "/authorize?")
    assert query["response_type"] == "code" and query["client_id"] == provider.client_id and query["scope"] == "openid profile email"
    assert query["redirect_uri"] == f"{server.url}/oauth/external/default/callback" and query["code_challenge_method"] == "S256"
    assert len(query["code_challenge"]) == 43 and len(query["state"]) >= 43 and len(query["nonce"]) >= 43
    again = query_of(leave(browser))
    assert all(again[name] != query[name] for name in ("state", "nonce", "code_challenge"))
    cookie = page.headers["Set-Cookie"]
    assert "mainstay-external=" in cookie and "HttpOnly" in cookie and "SameSite=Lax" in cookie and query["state"] not in cookie
    assert page.headers["Cache-Control"] == "no-store"


def test_providers_are_listed(server, provider):
    listed = requests.get(f"{server.url}/api/v1/auth/providers", timeout=30).json()["providers"]
    assert listed == [{"id": "default", "name": NAME, "issuer": provider.issuer, "sign_in_url": f"{server.url}/oauth/external/default/begin", "link_url": f"{server.url}/oauth/link"}]
    assert Browser(server).get(f"{server.url}/oauth/external/other/begin").status == 404


def test_strangers_write_nothing(server, provider):
    tables = ("spent", "identities", "users", "audit")
    count = lambda: [rows(server, f"SELECT count(*) FROM {table}") for table in tables]  # noqa: E731
    time.sleep(0.3)  # what is recorded later is written
    before = count()
    for _ in range(30):
        assert Browser(server).get(f"{server.url}/oauth/external/default/callback?code=x&state=y").status == 403
    time.sleep(0.3)
    assert count() == before
    for _ in range(15):
        browser = Browser(server)
        query = query_of(leave(browser))
        assert come_back(browser, server, provider, query, "made up").status == 502
    time.sleep(0.3)
    after = count()
    assert after[:3] == before[:3] and after[3][0][0] - before[3][0][0] <= 10, "recorded ever more seldom"


# --- Answers that are not this sign-in's --------------------------------------------------------------


def test_wrong_replayed_and_foreign_state(server, provider):
    browser = Browser(server)
    query = query_of(leave(browser))
    asked = provider.requests.count("/token")
    for state in ("", "x" * 43, query["state"][:-1] + ("A" if query["state"][-1] != "A" else "B")):
        assert come_back(browser, server, provider, query, "code", state=state).status == 403
    assert come_back(Browser(server), server, provider, query, "code").status == 403, "another browser's"
    assert provider.requests.count("/token") == asked, "nobody asked the provider"
    code = provider.grant(query, "state-1")
    cookie = browser.session.cookies.get("mainstay-external")
    assert come_back(browser, server, provider, query, code).status == 303
    assert browser.session.cookies.get("mainstay-external") is None
    thief = Browser(server)
    thief.session.cookies.set("mainstay-external", cookie)
    assert come_back(thief, server, provider, query, provider.grant(query, "state-1")).status == 403, "the sealed sign-in counts once, even with a fresh code"
    assert not is_in(thief)


def test_a_changed_cookie(server, provider):
    browser = Browser(server)
    query = query_of(leave(browser))
    cookie = browser.session.cookies.get("mainstay-external")
    for changed in ("", "AAAA", cookie[:-2], cookie[:60] + ("A" if cookie[60] != "A" else "B") + cookie[61:]):
        browser.session.cookies.clear()
        browser.session.cookies.set("mainstay-external", changed)
        assert come_back(browser, server, provider, query, provider.grant(query, "cookie-1")).status == 403
    assert rows(server, "SELECT * FROM identities WHERE subject = 'cookie-1'") == []


@pytest.mark.parametrize("iss", ["https://evil.example", "", None])
def test_mix_up(server, provider, iss):
    browser = Browser(server)
    query = query_of(leave(browser))
    asked = provider.requests.count("/token")
    assert come_back(browser, server, provider, query, provider.grant(query, "mix-1"), iss=iss).status == 403
    assert provider.requests.count("/token") == asked, "the code was given to nobody"


def test_without_iss_when_the_provider_does_not_send_it(make, provider):
    provider.discovery = {"authorization_response_iss_parameter_supported": False}
    own, browser = make(), None
    browser = Browser(own)
    query = query_of(leave(browser))
    assert come_back(browser, own, provider, query, provider.grant(query, "noiss"), iss=None).status == 303


def test_the_person_refuses(server, provider):
    browser = Browser(server)
    query = query_of(leave(browser))
    page = come_back(browser, server, provider, query, None, error="access_denied", error_description="<script>no</script>")
    assert page.status == 403 and "You were not signed in there" in page.text and "script" not in page.body
    assert page.form["action"] == "../../login" and not is_in(browser)


def test_parameters_twice(server, provider):
    browser = Browser(server)
    query = query_of(leave(browser))
    code = provider.grant(query, "twice")
    page = browser.get(f"{server.url}/oauth/external/default/callback?code={code}&code=other&state={query['state']}&iss={provider.issuer}")
    assert page.status == 403 and not is_in(browser)


# --- Id tokens ---------------------------------------------------------------------------------------

NOW = int(time.time())
WRONG = {
    "nonce": {"nonce": "another"}, "no nonce": {"nonce": None}, "issuer": {"iss": "https://evil.example"}, "no issuer": {"iss": None},
    "audience": {"aud": "another"}, "audiences without azp": {"aud": [Provider.client_id, "another"]}, "azp": {"azp": "another"}, "no audience": {"aud": None},
    "expired": {"iat": NOW - 7200, "exp": NOW - 3600}, "no expiry": {"exp": None}, "not yet": {"nbf": NOW + 3600}, "from the future": {"iat": NOW + 3600},
    "no iat": {"iat": None}, "at_hash": {"at_hash": b64(b"0" * 16)}, "long subject": {"sub": "x" * 256}, "no subject": {"sub": None}, "subject is a number": {"sub": 7},
}


@pytest.mark.parametrize("claims", WRONG.values(), ids=WRONG.keys())
def test_wrong_claims(server, provider, claims):
    before = rows(server, "SELECT count(*) FROM identities")
    provider.claims = claims
    browser = Browser(server)
    page = sign_in(server, provider, "wrong-1", browser)
    assert page.status == 403 and "could not be trusted" in page.text, page
    assert not is_in(browser) and rows(server, "SELECT count(*) FROM identities") == before


def test_several_audiences_with_azp(server, provider):
    assert signed_in_as(server, provider, "azp-1", aud=[Provider.client_id, "another"], azp=Provider.client_id)


def unsigned(claims):
    return b64(json.dumps({"alg": "none", "kid": "one"}).encode()) + "." + b64(json.dumps(claims).encode()) + "."


def flipped(token):
    head, body, signature = token.split(".")
    return f"{head}.{body}.{('A' if signature[0] != 'A' else 'B') + signature[1:]}"


def test_wrong_signatures(server, provider):
    other = Key("one")  # the name of the right one
    public = provider.keys[0].public()
    signers = {
        "another key": other.sign,
        "none": unsigned,
        "the public key as a secret": lambda c: jwt.encode(c, json.dumps(public), algorithm="HS256", headers={"kid": "one"}),
        "the client's secret": lambda c: jwt.encode(c, Provider.client_secret * 3, algorithm="HS256", headers={"kid": "one"}),
        "a key in the header": lambda c: Key("mine").sign(c, jwk=other.public()),
        "a changed signature": lambda c: flipped(provider.keys[0].sign(c)),
        "another type": lambda c: provider.keys[0].sign(c, typ="at+jwt"),
        "no token": lambda c: "nothing",
        "too long": lambda c: provider.keys[0].sign({**c, "filler": "x" * 100000}),
    }
    for name, signer in signers.items():
        provider.sign = signer
        browser = Browser(server)
        page = sign_in(server, provider, "signature-1", browser)
        assert page.status == 403 and not is_in(browser), name
    assert rows(server, "SELECT * FROM identities WHERE subject = 'signature-1'") == []


def test_keys_rotate(make, provider):
    own = make()
    assert signed_in_as(own, provider, "keys-1")
    fetched = provider.requests.count("/jwks")
    assert signed_in_as(own, provider, "keys-1") and provider.requests.count("/jwks") == fetched, "kept"
    old, new = provider.keys[0], Key("two")
    provider.keys = [new]
    try:
        assert signed_in_as(own, provider, "keys-1") and provider.requests.count("/jwks") == fetched + 1
        provider.sign = old.sign
        assert sign_in(own, provider, "keys-1").status == 403, "a key that was withdrawn"
        provider.sign = Key("three").sign
        for _ in range(5):
            assert sign_in(own, provider, "keys-1").status == 403
        assert provider.requests.count("/jwks") == fetched + 1, "unknown keys do not make us ask again and again"
    finally:
        provider.keys = [old]


# --- Providers that are gone, slow, huge or lie about themselves --------------------------------------


def test_discovery_of_another_issuer(make, provider):
    provider.discovery = {"issuer": "https://evil.example"}
    page = leave(Browser(make()))
    assert page.status == 502 and "does not answer as it should" in page.text


@pytest.mark.parametrize("address", ["http://192.0.2.1/token", "ftp://127.0.0.1/token", "http://user@127.0.0.1/token", "http://169.254.169.254/token", "file:///etc/passwd", 7, None])
def test_addresses_that_are_not_asked(make, provider, address):
    provider.discovery = {"token_endpoint": address}
    assert leave(Browser(make())).status == 502


def test_link_local_addresses_are_not_connected_to(make, provider):
    provider.discovery = {"token_endpoint": "https://169.254.169.254/token"}
    own, browser = make(), None
    browser = Browser(own)
    query = query_of(leave(browser))
    assert come_back(browser, own, provider, query, "code").status == 502
    assert "is not connected to" in own.log_text(2000)


def test_loopback_only_when_allowed(binary, tmp_path, provider):
    env = {**settings(provider), "MAINSTAY_IDENTITY_PROVIDER_LOOPBACK": "false"}
    done = subprocess.run([binary, "config", "check", f"--data-dir={tmp_path}"], env=env, capture_output=True, text=True)
    assert done.returncode != 0 and "must begin with https://" in done.stdout + done.stderr


def test_slow_huge_broken_and_gone(make, provider):
    own = make()
    assert signed_in_as(own, provider, "gone-1")
    for change, status in (({"delay_s": {"/token": 3}}, 502), ({"bodies": {"/token": b"x" * (2 << 20)}}, 502), ({"bodies": {"/token": b"{"}}, 502),
                           ({"bodies": {"/token": b"[" * 10000}}, 502), ({"status": {"/token": 302}}, 502), ({"status": {"/token": 500}}, 502), ({"bodies": {"/token": b"{}"}}, 403)):
        provider.reset()
        for name, value in change.items():
            setattr(provider, name, value)
        browser = Browser(own)
        began = time.monotonic()
        page = sign_in(own, provider, "gone-1", browser)
        assert page.status == status and time.monotonic() - began < 2.9 and not is_in(browser), (change, page)
    assert "/elsewhere" not in provider.requests, "redirects are not followed"
    assert provider.client_secret not in own.log_text(10000)


def test_gone_from_the_start_and_back(make, provider):
    provider.status = {"/.well-known/openid-configuration": 503}
    own = make()
    assert leave(Browser(own)).status == 502
    asked = provider.requests.count("/.well-known/openid-configuration")
    assert leave(Browser(own)).status == 502
    assert provider.requests.count("/.well-known/openid-configuration") == asked, "it is not asked at once again"
    provider.reset()
    time.sleep(5.2)
    assert leave(Browser(own)).status == 303


def certificate(folder, name):
    path = folder / f"{name.replace(':', '-')}.pem"
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=test", "-addext", f"subjectAltName={name}",
                           "-keyout", "-", "-out", "-"], capture_output=True, text=True, check=True)
    path.write_text(made.stdout)
    return path


def test_certificates_are_checked(make, tmp_path):
    own, right, wrong = None, certificate(tmp_path, "IP:127.0.0.1"), certificate(tmp_path, "DNS:id.example")
    secure, misnamed = Provider(right), Provider(wrong)
    try:
        more = {"issuer": secure.issuer, "loopback": "true"}
        own = make("unknown", **more)
        assert leave(Browser(own)).status == 502 and secure.requests == [], "an authority that nobody knows"
        own = make("misnamed", issuer=misnamed.issuer, ca_file=str(wrong))
        assert leave(Browser(own)).status == 502 and misnamed.requests == [], "the name of another host"
        own = make("right", **more, ca_file=str(right))
        assert signed_in_as(own, secure, "tls-1")
    finally:
        secure.stop()
        misnamed.stop()


def test_a_slow_provider_keeps_nobody_else_waiting(make, provider):
    own = make()
    provider.delay_s = {"/.well-known/openid-configuration": 0.9}
    with socket.create_connection(("127.0.0.1", int(own.url.rsplit(":", 1)[1]))) as s:
        s.sendall(b"GET /oauth/external/default/begin HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.1)
        began = time.monotonic()
        assert requests.get(f"{own.url}/api/v1/auth/providers", timeout=30).status_code == 200
        assert time.monotonic() - began < 0.5


# --- Whose account it is -----------------------------------------------------------------------------


def test_an_address_takes_no_account_over(server, provider):
    victim = User(server, email="victim@example.com")
    for subject, claims in (("thief-1", {"email": "victim@example.com", "email_verified": True}), ("thief-2", {"preferred_username": victim.name}),
                            ("thief-3", {"preferred_username": "victim@example.com"}), (victim.id, {"preferred_username": "admin"})):
        got = signed_in_as(server, provider, subject, **claims)
        assert got["sub"] != victim.id and got.get("email") is None, got
        assert got["preferred_username"] not in (victim.name, "admin", "victim@example.com")
    assert rows(server, f"SELECT email FROM users WHERE id = '{victim.id}'") == [("victim@example.com",)]
    unverified = signed_in_as(server, provider, "thief-4", email="fresh@example.com", preferred_username="fresh")
    assert unverified.get("email") is None, "an address that the provider did not verify"


def test_nobody_new_where_only_linked_users_sign_in(make, provider):
    own = make(role="none")
    browser = Browser(own)
    page = sign_in(own, provider, "stranger", browser, email="admin@example.com", preferred_username="admin")
    assert page.status == 403 and "No account here is linked" in page.text and not is_in(browser)
    assert rows(own, "SELECT count(*) FROM users") == [(1,)]
    wait_until(lambda: "linked" in admin(own, "GET", "/audit?event=login&outcome=refused").text, 5)


def link(own, provider, user, subject):
    browser = Browser(own)
    page = browser.get("/oauth/link")
    page = browser.follow(browser.submit(page, username=user.name, password=PASSWORD))
    assert page.status == 200 and NAME in page.text and user.name in page.text, page
    target = [attrs["href"] for tag, attrs in page.tags if tag == "a"][0]
    query = query_of(browser.get(target))
    return browser, query, come_back(browser, own, provider, query, provider.grant(query, subject))


def test_linking(make, provider):
    own = make(role="none")
    user, other = User(own), User(own)
    _, _, page = link(own, provider, user, "linked-1")
    assert page.status == 200 and "is linked with" in page.text, page
    assert signed_in_as(own, provider, "linked-1")["sub"] == user.id
    _, _, page = link(own, provider, other, "linked-1")
    assert page.status == 409 and signed_in_as(own, provider, "linked-1")["sub"] == user.id
    token = requests.post(f"{own.url}/api/v1/auth/login", json={"username": user.name, "password": PASSWORD}, timeout=30).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    listed = requests.get(f"{own.url}/api/v1/auth/identities", headers=headers, timeout=30).json()["identities"]
    assert [(one["issuer"], one["subject"]) for one in listed] == [(provider.issuer, "linked-1")] and listed[0]["last_used_at"]
    assert requests.delete(f"{own.url}/api/v1/auth/identities/{listed[0]['id']}", headers=headers, timeout=30).status_code == 204
    assert sign_in(own, provider, "linked-1").status == 403


def test_linking_is_asked_for_by_the_user_himself(make, provider):
    own = make(role="none")
    user = User(own)
    browser = Browser(own)
    # A link of somebody else, without the page's token, in a browser that is signed in.
    page = browser.follow(browser.submit(browser.get("/oauth/link"), username=user.name, password=PASSWORD))
    assert page.status == 200
    target = f"{own.url}/oauth/" + [attrs["href"] for tag, attrs in page.tags if tag == "a"][0]
    assert browser.get("/oauth/external/default/begin?link=1").status == 403
    assert browser.get("/oauth/external/default/begin?link=1&csrf=" + "A" * 60).status == 403
    # Signed out, or somebody else, by the time of the answer.
    other, query, _ = link(own, provider, User(own), "himself-1")
    query = query_of(browser.get(target))
    browser.session.cookies.set("mainstay", other.cookie, domain="127.0.0.1", path="/")
    assert browser.cookie == other.cookie and is_in(other)
    page = come_back(browser, own, provider, query, provider.grant(query, "himself-2"))
    assert page.status == 403 and rows(own, "SELECT * FROM identities WHERE subject = 'himself-2'") == []
    # Not in a browser that was signed in long ago, and not somebody who was not signed in at all.
    page = other.get(f"{own.url}/oauth/link")
    target = f"{own.url}/oauth/" + [attrs["href"] for tag, attrs in page.tags if tag == "a"][0]
    with sqlite3.connect(own.folder / "data" / "mainstay.db", timeout=10) as db:
        db.execute("UPDATE oauth_logins SET auth_us = auth_us - 601000000")
    assert "password" in other.get("/oauth/link").form["fields"] and "password" in other.get(target).form["fields"] and is_in(other)
    assert "password" in Browser(own).get("/oauth/link").form["fields"]


def test_the_only_way_in_stays(server, provider):
    user = signed_in_as(server, provider, "only-1")["sub"]
    key = admin(server, "POST", "/api-keys", {"name": "own", "owner": user, "scopes": ["self"]})
    assert key.status_code == 201, key.text
    ask = lambda method, path: requests.request(method, f"{server.url}/api/v1/auth{path}", headers={"X-API-Key": key.json()["key"]}, timeout=30)  # noqa: E731
    [one] = ask("GET", "/identities").json()["identities"]
    assert ask("DELETE", f"/identities/{one['id']}").status_code == 409
    assert ask("DELETE", "/identities/another").status_code == 404
    assert signed_in_as(server, provider, "only-1")["sub"] == user


def test_disabled_users_stay_out(server, provider):
    user = signed_in_as(server, provider, "disabled-1")["sub"]
    assert admin(server, "PATCH", f"/users/{user}", {"state": "disabled"}).status_code == 200
    browser = Browser(server)
    page = sign_in(server, provider, "disabled-1", browser)
    assert page.status == 403 and "disabled" in page.text and not is_in(browser)


def test_groups_give_roles(make, provider):
    own = make(role="none", groups_claim="groups", group_roles="ml=data-scientist,ops=operator")
    role = lambda sub: rows(own, f"SELECT role FROM users WHERE id = '{sub}'")[0][0]  # noqa: E731
    user = signed_in_as(own, provider, "group-1", groups=["x", "ops"])["sub"]
    assert role(user) == "operator"
    assert signed_in_as(own, provider, "group-1", groups=["ops", "ml"])["sub"] == user and role(user) == "data-scientist"
    provider.userinfo = {"sub": "group-1", "groups": "ops"}
    assert signed_in_as(own, provider, "group-1")["sub"] == user and role(user) == "operator", "of userinfo, when the id token has none"
    provider.userinfo = {"sub": "another", "groups": "ml"}
    assert sign_in(own, provider, "group-1").status == 403 and role(user) == "operator"
    provider.userinfo = {"sub": "group-1", "groups": ["strangers"]}
    page = sign_in(own, provider, "group-1")
    assert page.status == 403 and "None of your groups" in page.text
    provider.userinfo = {}
    linked = User(own, role="viewer")
    assert link(own, provider, linked, "group-2")[2].status == 200
    assert signed_in_as(own, provider, "group-2", groups=["ops"])["sub"] == linked.id and role(linked.id) == "viewer", "who was here before keeps his role"


def test_a_role_that_is_not_there(make, provider):
    own = make(role="nonsense")
    browser = Browser(own)
    page = sign_in(own, provider, "role-1", browser)
    assert page.status == 403 and "could not be made" in page.text and not is_in(browser)
    assert "nonsense" in own.log_text(2000)


def test_second_factors_hold(make, provider):
    own = make(role="none")
    user = User(own)
    assert link(own, provider, user, "mfa-1")[2].status == 200
    token = test_mfa.sign_in(own, user.name)
    begun = test_mfa.ask(own, "POST", "/mfa/totp/begin", {"password": PASSWORD}, token=token).json()
    step = int(time.time()) // 30
    assert test_mfa.ask(own, "POST", "/mfa/totp/confirm", {"code": test_mfa.oath(begun["secret"], step)}, token=token).status == 204
    browser = Browser(own)
    page = sign_in(own, provider, "mfa-1", browser)
    assert page.status == 200 and "code" in page.form["fields"] and page.form["action"] == "../../second" and not is_in(browser), page
    page = sign_in(own, provider, "mfa-1", browser)
    page = browser.submit(page, code=test_mfa.oath(begun["secret"], step + 1))
    assert page.status == 303 and is_in(browser), page
    assert "fed:default otp mfa" in {row[0] for row in rows(own, "SELECT methods FROM sessions")}


# --- The command line --------------------------------------------------------------------------------


def test_command_line(binary, make, provider):
    own = make(role="none")
    user = User(own)

    def run(*args, status=0):
        done = subprocess.run([binary, "user", *args, f"--data-dir={own.folder / 'data'}"], env=settings(provider), capture_output=True, text=True)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert run("identities", user.name) == "none\n"
    assert "linked user" in run("link", user.name, "cli-1")
    assert "linked already" in run("link", user.name, "cli-1", status=1)
    assert signed_in_as(own, provider, "cli-1")["sub"] == user.id
    listed = json.loads(run("identities", user.name, "--json"))
    assert [(one["issuer"], one["subject"]) for one in listed] == [(provider.issuer, "cli-1")]
    assert "removed" in run("unlink", user.name, listed[0]["id"])
    assert sign_in(own, provider, "cli-1").status == 403


# --- npm oidc-provider -------------------------------------------------------------------------------

RSA = "const {privateKey} = require('crypto').generateKeyPairSync(process.argv[1], JSON.parse(process.argv[2])); console.log(JSON.stringify(privateKey.export({format: 'jwk'})))"


def node_key(kind, options, **more):
    text = subprocess.run(["node", "-e", RSA, kind, json.dumps(options)], capture_output=True, check=True, text=True).stdout
    return {**json.loads(text), **more}


class RealProvider:
    client_id, client_secret = "mainstay", "a secret of the client, long enough"

    def __init__(self, port, redirect, keys, alg, **client):
        self.issuer = f"http://127.0.0.1:{port}"
        setup = {"issuer": self.issuer, "port": port, "keys": keys, "groups": ["ml"],
                 "client": {"client_id": self.client_id, "client_secret": self.client_secret, "redirect_uris": [redirect], "response_types": ["code"],
                            "grant_types": ["authorization_code"], "id_token_signed_response_alg": alg, "scope": "openid profile email groups", **client},
                 "conform": client.get("conform", True)}
        setup["enabledJWA"] = {"idTokenSigningAlgValues": [alg], "clientAuthSigningAlgValues": ["ES256"]}
        setup["client"].pop("conform", None)
        self.process = subprocess.Popen(["node", "--no-warnings", ROOT / "tests/conformance/oidc_provider.mjs", MODULES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.process.stdin.write(json.dumps(setup) + "\n")
        self.process.stdin.flush()
        line = ""
        while line != "ready\n":  # oidc-provider says other things first
            line = self.process.stdout.readline()
            assert line, self.process.stderr.read()

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=10)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()


def through_pages(browser, page, account, server):
    """The provider's own sign-in and consent pages."""
    for _ in range(12):
        if page.status in (302, 303):
            if page.location.startswith(f"{server.url}/oauth/external/"):
                return browser.get(page.location)
            page = browser.get(page.location)
            continue
        assert page.status == 200, page
        fields = page.forms[0]["fields"]
        page = browser.post(page.forms[0]["action"], {**fields, "login": account, "password": "any"} if "login" in fields else fields)
    raise AssertionError("the provider's pages go on and on")


KINDS = {
    "RS256": ("RS256", ("rsa", {"modulusLength": 2048}), {}),
    "ES256": ("ES256", ("ec", {"namedCurve": "P-256"}), {}),
    "EdDSA in the form": ("EdDSA", ("ed25519", {}), {"token_endpoint_auth_method": "client_secret_post"}),
    "PS256, encrypted": ("PS256", ("rsa", {"modulusLength": 2048}), {"encrypted": True}),
}


@pytest.mark.parametrize("alg,kind,more", KINDS.values(), ids=KINDS.keys())
def test_a_real_provider(binary, tmp_path, alg, kind, more):
    if not shutil.which("node") or not (MODULES / "oidc-provider").is_dir():
        pytest.skip("needs Node.js and the packages of package-lock.json: npm ci --ignore-scripts")
    port, own_port = free_port(), free_port()
    issuer, redirect = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{own_port}/oauth/external/default/callback"
    client = {k: v for k, v in more.items() if k != "encrypted"}
    env = {}
    if more.get("encrypted"):
        secret = node_key("ec", {"namedCurve": "P-256"}, alg="ECDH-ES", use="enc", kid="enc-1")
        client.update(jwks={"keys": [{k: v for k, v in secret.items() if k != "d"}]}, id_token_encrypted_response_alg="ECDH-ES", id_token_encrypted_response_enc="A128GCM")
        env["MAINSTAY_IDENTITY_PROVIDER_DECRYPTION_KEY"] = json.dumps(secret)
    keys = [node_key(*kind, alg=alg, use="sig", kid="first")]
    RealProvider.issuer = issuer
    env.update(settings(RealProvider, role="viewer", scopes="profile,email,groups", groups_claim="groups", group_roles="ml=data-scientist", timeout="5s"))
    own = Server(binary, tmp_path, f"--identity.issuer=http://127.0.0.1:{own_port}", "--identity.password_memory=64KiB", "--identity.password_passes=1",
                 listen=(f"127.0.0.1:{own_port}",), auth=True, env=env)
    own.start()
    real = RealProvider(port, redirect, keys, alg, **client)
    try:
        def once(account):
            app, browser = register(own), Browser(own)
            page = browser.follow(through_pages(browser, leave(browser, app), account, own))
            assert page.status == 200 and "decision" in page.body, (page, own.log_text(3000))
            return claims_of(app.redeem(answer_of(browser.submit(page, decision="allow"))["code"]).json()["id_token"])

        first = once("lovelace")
        assert first["preferred_username"] == "lovelace" and first["email"] == "lovelace@example.com" and first["name"] == "Name of lovelace"
        assert rows(own, f"SELECT role FROM users WHERE id = '{first['sub']}'") == [("data-scientist",)]
        # New keys at the provider.
        real.stop()
        real = RealProvider(port, redirect, [node_key(*kind, alg=alg, use="sig", kid="second")], alg, **client)
        assert once("lovelace")["sub"] == first["sub"]
        assert own.stop() == 0
    finally:
        real.stop()
        own.kill()
