# SPDX-License-Identifier: Apache-2.0
"""The OAuth and OpenID Connect provider against the real server: as clients use it, and as those do who mean harm."""

import base64
import concurrent.futures
import json
import re
import secrets
import socket
import sqlite3
import subprocess
import time
import urllib.parse

import pytest
import requests
from harness import Server, clean_environment
from oauth_browser import Browser, Client, Forms, Page, answer_of, grant, sign_in

PASSWORD = "seven quiet rivers bend"
FAST = ("--identity.password_memory=64KiB", "--identity.password_passes=1")
CALLBACK = "https://app.example/callback"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(binary, folder, *args, **kwargs):
    port = free_port()
    own = Server(binary, folder, f"--identity.issuer=http://127.0.0.1:{port}", *FAST, *args, listen=(f"127.0.0.1:{port}",), auth=True, **kwargs)
    own.start()
    return own


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory):
    own = start(binary, tmp_path_factory.mktemp("oauth"))
    try:
        yield own
        assert own.stop() == 0
    finally:
        own.kill()


NAMES = iter(f"user{i}" for i in range(10000))


def admin(server, method, path, body=None):
    return requests.request(method, f"{server.url}/api/v1/auth{path}", json=body, headers={"X-API-Key": server.admin_key}, timeout=30)


class User:
    def __init__(self, server, **fields):
        self.name = next(NAMES)
        answer = admin(server, "POST", "/users", {"username": self.name, "password": PASSWORD, "role": "data-scientist", **fields})
        assert answer.status_code == 201, answer.text
        self.id = answer.json()["id"]


@pytest.fixture
def user(server):
    return User(server)


def register(server, **fields):
    body = {"name": "Dashboard", "scope": "openid profile email offline_access predict models.read", "redirect_uris": [CALLBACK],
            "grant_types": ["authorization_code", "refresh_token"], **fields}
    answer = admin(server, "POST", "/clients", body)
    assert answer.status_code == 201, answer.text
    return Client(server, answer.json())


@pytest.fixture
def client(server):
    return register(server)


def code_for(server, client, user, scope="openid", **changes):
    return grant(Browser(server), client, user.name, PASSWORD, scope, **changes)


def tokens_for(server, client, user, scope="openid offline_access"):
    answer = client.redeem(code_for(server, client, user, scope))
    assert answer.status == 200, answer
    return answer.json()


def claims_of(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def me(server, token):
    return requests.get(f"{server.url}/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"}, timeout=30).status_code


def models(server, token):
    return requests.get(f"{server.url}/api/v1/models", headers={"Authorization": f"Bearer {token}"}, timeout=30).status_code


def refused(page, error, status=400):
    assert page.status == status and page.json()["error"] == error and page.json()["error_description"], page
    assert page.headers["Cache-Control"] == "no-store"


def rows(server, sql):
    with sqlite3.connect(f"file:{server.folder / 'data' / 'mainstay.db'}?mode=ro", uri=True) as db:
        return db.execute(sql).fetchall()


# --- The whole way -----------------------------------------------------------------------------------


def test_the_whole_way(server, client, user):
    browser = Browser(server)
    page = sign_in(browser, client.authorize_path("openid profile predict", nonce="n-1"), user.name, PASSWORD)
    assert "Dashboard" in page.text and user.name in page.text and "Predict with a model" in page.text
    answer = answer_of(browser.submit(page, decision="allow"))
    assert answer["state"] == client.state and answer["iss"] == server.url and set(answer) == {"code", "state", "iss"}
    reply = client.redeem(answer["code"])
    assert reply.status == 200 and reply.headers["Cache-Control"] == "no-store", reply
    got = reply.json()
    assert got["token_type"] == "Bearer" and got["scope"] == "openid profile predict" and "refresh_token" not in got
    claims = claims_of(got["id_token"])
    assert claims["iss"] == server.url and claims["aud"] == client.id and claims["sub"] == user.id and claims["nonce"] == "n-1"
    assert claims["amr"] == ["pwd"] and abs(claims["auth_time"] - time.time()) < 60 and claims["exp"] > time.time()
    access = claims_of(got["access_token"])
    assert access["client_id"] == client.id and access["scope"] == got["scope"] and access["permissions"] == ["predict"]
    info = requests.get(f"{server.url}/oauth/userinfo", headers={"Authorization": f"Bearer {got['access_token']}"}, timeout=30)
    assert info.status_code == 200 and info.json()["sub"] == user.id and info.json()["preferred_username"] == user.name
    assert models(server, got["access_token"]) == 403, "models.read is the user's and the client's, but was not asked for"


def test_a_token_of_a_client_may_not_touch_the_account(server, client, user):
    got = tokens_for(server, client, user, "openid predict")
    assert me(server, got["access_token"]) == 403, "self is no part of the scope"


def test_a_client_that_may_everything_still_has_to_prove_the_user(server):
    """Its session began just now, but nobody signed in for that: it may not add a second factor that stays when it is gone."""
    wild, boss = register(server, scope="openid *"), User(server, role="admin")
    token = tokens_for(server, wild, boss, "openid *")["access_token"]
    assert me(server, token) == 200
    ask = lambda path, body: requests.post(f"{server.url}/api/v1/auth{path}", json=body, headers={"Authorization": f"Bearer {token}"}, timeout=30)
    for path in ("/mfa/totp/begin", "/mfa/recovery-codes", "/webauthn/register/begin"):
        answer = ask(path, {})
        assert (answer.status_code, answer.json()["code"]) == (403, "auth.proof_required"), path
    assert ask("/mfa/totp/begin", {"password": PASSWORD}).status_code == 200


def test_scopes_stay_within_client_and_user(server, client, user):
    browser = Browser(server)
    answer = answer_of(browser.get(client.authorize_path("openid users.write")))
    assert answer["error"] == "invalid_scope" and answer["state"] == client.state and answer["iss"] == server.url
    viewer = User(server, role="viewer")
    got = tokens_for(server, client, viewer, "openid predict models.read")
    assert got["scope"] == "openid models.read" and claims_of(got["access_token"])["permissions"] == ["models.read"]
    assert models(server, got["access_token"]) == 200
    # A new role later gives the old token nothing that was not in its scope.
    assert admin(server, "PATCH", f"/users/{viewer.id}", {"role": "admin"}).status_code == 200
    assert models(server, got["access_token"]) == 200 and me(server, got["access_token"]) == 403
    users = requests.get(f"{server.url}/api/v1/auth/users", headers={"Authorization": f"Bearer {got['access_token']}"}, timeout=30)
    assert users.status_code == 403


def test_a_user_who_may_do_nothing_of_it_gets_no_token(server):
    client, viewer = register(server, scope="predict"), User(server, role="viewer")
    page = sign_in(Browser(server), client.authorize_path("predict"), viewer.name, PASSWORD)
    assert answer_of(page)["error"] == "invalid_scope"


def test_consent_is_remembered_and_can_be_taken_back(server, client, user):
    browser = Browser(server)
    first = grant(browser, client, user.name, PASSWORD, "openid predict")
    token = client.redeem(first).json()["access_token"]
    again = browser.get(client.authorize_path("openid"))
    assert "code" in answer_of(again), "less than before is not asked again"
    more = browser.get(client.authorize_path("openid predict models.read"))
    assert more.status == 200 and "decision" in dict(more.form["buttons"]), more
    forced = browser.get(client.authorize_path("openid", prompt="consent"))
    assert forced.status == 200 and "decision" in dict(forced.form["buttons"])
    login = requests.post(f"{server.url}/api/v1/auth/login", json={"username": user.name, "password": PASSWORD}, timeout=30).json()["token"]
    headers = {"Authorization": f"Bearer {login}"}
    listed = requests.get(f"{server.url}/api/v1/auth/consents", headers=headers, timeout=30).json()["items"]
    assert [(c["client_id"], c["scope"]) for c in listed] == [(client.id, "openid predict")]
    assert requests.delete(f"{server.url}/api/v1/auth/consents/{client.id}", headers=headers, timeout=30).status_code == 204
    assert models(server, token) == 401, "the client's sessions ended with the consent"
    assert "decision" in dict(browser.get(client.authorize_path("openid")).form["buttons"])


def test_consent_refused_goes_back_to_the_client(server, client, user):
    browser = Browser(server)
    page = sign_in(browser, client.authorize_path(), user.name, PASSWORD)
    answer = answer_of(browser.submit(page, decision="deny"))
    assert answer["error"] == "access_denied" and answer["state"] == client.state and "code" not in answer
    assert browser.get(client.authorize_path()).status == 200, "a refusal is not remembered as consent"


def test_a_public_client_on_a_loopback_address_is_always_asked_about(server, user):
    client = register(server, confidential=False, redirect_uris=["http://127.0.0.1/cb"])
    browser = Browser(server)
    client.redirect = "http://127.0.0.1:53211/cb"
    code = grant(browser, client, user.name, PASSWORD)
    assert client.redeem(code).status == 200, "the port of a loopback address does not count"
    assert browser.get(client.authorize_path()).status == 200, "another program may listen there now"


def test_a_trusted_client_asks_nobody(server, user):
    client = register(server, trusted=True)
    assert "code" in answer_of(sign_in(Browser(server), client.authorize_path(), user.name, PASSWORD))


def test_prompt_none_and_max_age(server, client, user):
    browser = Browser(server)
    assert answer_of(browser.get(client.authorize_path(prompt="none")))["error"] == "login_required"
    page = sign_in(browser, client.authorize_path(), user.name, PASSWORD)
    assert answer_of(browser.get(client.authorize_path(prompt="none")))["error"] == "consent_required"
    browser.submit(page, decision="allow")
    assert "code" in answer_of(browser.get(client.authorize_path(prompt="none")))
    assert answer_of(browser.get(client.authorize_path(prompt="none login")))["error"] == "invalid_request"
    time.sleep(1.1)
    assert answer_of(browser.get(client.authorize_path(prompt="none", max_age="1")))["error"] == "login_required"
    assert answer_of(browser.get(client.authorize_path(max_age="soon")))["error"] == "invalid_request"
    for again in ({"max_age": "0"}, {"prompt": "login"}):
        page = browser.get(client.authorize_path(**again))
        assert "password" in page.form["fields"], page
        code = answer_of(browser.follow(browser.submit(page, username=user.name, password=PASSWORD)))["code"]
        assert claims_of(client.redeem(code).json()["id_token"])["auth_time"] >= time.time() - 5
        time.sleep(1.1)
    assert browser.get(client.authorize_path(prompt="login", login_hint="ada")).form["fields"]["username"] == "ada"


def test_the_request_may_come_as_a_form(server, client, user):
    browser = Browser(server)
    page = browser.follow(browser.post("/oauth/authorize", client.request()))
    assert "password" in page.form["fields"]


def test_clients_prove_themselves_in_the_form_too(server, client, user):
    code = code_for(server, client, user)
    reply = client.redeem(code, client_id=client.id, client_secret=client.secret, basic=False)
    assert reply.status == 200, reply


# --- Refresh, revocation, introspection --------------------------------------------------------------


def test_refresh_rotates_and_reuse_ends_the_session(server, user):
    client = register(server)
    got = tokens_for(server, client, user, "openid predict offline_access")
    second = client.token(grant_type="refresh_token", refresh_token=got["refresh_token"])
    assert second.status == 200 and second.json()["refresh_token"] != got["refresh_token"]
    assert claims_of(second.json()["id_token"])["sub"] == user.id
    third = client.token(grant_type="refresh_token", refresh_token=second.json()["refresh_token"])
    assert third.status == 200 and models(server, third.json()["access_token"]) == 403
    refused(client.token(grant_type="refresh_token", refresh_token=got["refresh_token"]), "invalid_grant")
    assert models(server, third.json()["access_token"]) == 401, "the thief's and the owner's tokens ended alike"
    refused(client.token(grant_type="refresh_token", refresh_token=third.json()["refresh_token"]), "invalid_grant")
    assert rows(server, "SELECT COUNT(*) FROM audit WHERE action = 'refresh.reused'")[0][0] >= 1


def test_refresh_may_narrow_but_not_widen(server, client, user):
    got = tokens_for(server, client, user, "openid predict offline_access")
    refused(client.token(grant_type="refresh_token", refresh_token=got["refresh_token"], scope="openid predict models.read"), "invalid_scope")
    reply = client.token(grant_type="refresh_token", refresh_token=got["refresh_token"], scope="predict")
    assert reply.status == 200 and reply.json()["scope"] == "predict" and "id_token" not in reply.json()


def test_a_refresh_token_belongs_to_its_client(server, client, user):
    other = register(server)
    got = tokens_for(server, client, user)
    refused(other.token(grant_type="refresh_token", refresh_token=got["refresh_token"]), "invalid_grant")
    assert client.token(grant_type="refresh_token", refresh_token=got["refresh_token"]).status == 200, "the owner is not harmed"
    own = requests.post(f"{server.url}/api/v1/auth/refresh", json={"refresh_token": got["refresh_token"]}, timeout=30)
    assert own.status_code == 401, "nor is it a refresh token of the other interface"


def test_revocation_ends_access_at_once(server, client, user):
    for hint in ("refresh_token", "access_token"):
        got = tokens_for(server, client, user, "openid models.read offline_access")
        assert models(server, got["access_token"]) == 200
        stranger = register(server)
        assert stranger.post("/oauth/revoke", {"token": got[hint]}).status == 200
        assert models(server, got["access_token"]) == 200, "another client's token is left alone"
        assert client.post("/oauth/revoke", {"token": got[hint], "token_type_hint": hint}).status == 200
        assert models(server, got["access_token"]) == 401
        refused(client.token(grant_type="refresh_token", refresh_token=got["refresh_token"]), "invalid_grant")
    assert client.post("/oauth/revoke", {"token": "nonsense"}).status == 200
    refused(client.post("/oauth/revoke", {}), "invalid_request")
    refused(client.post("/oauth/revoke", {"token": "x", "client_secret": "mss_wrong"}, basic=False), "invalid_client", 401)


def test_introspection(server, client, user):
    resource = register(server, grant_types=["client_credentials"], redirect_uris=[], introspects=True, scope="predict")
    got = tokens_for(server, client, user, "openid models.read offline_access")
    seen = resource.post("/oauth/introspect", {"token": got["access_token"]}).json()
    assert seen["active"] and seen["sub"] == user.id and seen["client_id"] == client.id and seen["scope"] == "openid models.read offline_access"
    assert seen["exp"] > time.time() and seen["token_type"] == "Bearer" and seen["username"] == user.name
    refresh = client.post("/oauth/introspect", {"token": got["refresh_token"]}).json()
    assert refresh["active"] and refresh["sub"] == user.id
    stranger = register(server)
    assert stranger.post("/oauth/introspect", {"token": got["access_token"]}).json() == {"active": False}
    assert resource.post("/oauth/introspect", {"token": got["access_token"][:-2] + "xx"}).json() == {"active": False}
    assert resource.post("/oauth/introspect", {"token": server.admin_key}).json() == {"active": False}
    client.post("/oauth/revoke", {"token": got["access_token"]})
    assert resource.post("/oauth/introspect", {"token": got["access_token"]}).json() == {"active": False}
    public = register(server, confidential=False)
    refused(public.post("/oauth/introspect", {"token": got["access_token"]}), "invalid_client", 401)


# --- Client credentials ------------------------------------------------------------------------------


def test_client_credentials(server):
    client = register(server, grant_types=["client_credentials"], redirect_uris=[], scope="predict models.read")
    reply = client.token(grant_type="client_credentials")
    assert reply.status == 200 and reply.json()["scope"] == "predict models.read" and "refresh_token" not in reply.json()
    assert models(server, reply.json()["access_token"]) == 200
    less = client.token(grant_type="client_credentials", scope="predict").json()
    assert less["scope"] == "predict" and models(server, less["access_token"]) == 403
    refused(client.token(grant_type="client_credentials", scope="users.write"), "invalid_scope")
    refused(client.token(grant_type="client_credentials", scope="no.such"), "invalid_scope")
    refused(client.token(grant_type="authorization_code", code="x", code_verifier="y"), "unauthorized_client")
    refused(client.post("/oauth/revoke", {"token": less["access_token"]}), "unsupported_token_type")
    info = requests.get(f"{server.url}/oauth/userinfo", headers={"Authorization": f"Bearer {less['access_token']}"}, timeout=30)
    assert info.status_code == 401


def test_a_new_secret_ends_the_old_one_and_its_tokens(server):
    client = register(server, grant_types=["client_credentials"], redirect_uris=[], scope="models.read")
    token = client.token(grant_type="client_credentials").json()["access_token"]
    made = admin(server, "POST", f"/clients/{client.id}/secret")
    assert made.status_code == 200 and made.json()["secret"] != client.secret
    assert models(server, token) == 401
    refused(client.token(grant_type="client_credentials"), "invalid_client", 401)
    client.secret = made.json()["secret"]
    token = client.token(grant_type="client_credentials").json()["access_token"]
    assert models(server, token) == 200
    assert admin(server, "DELETE", f"/clients/{client.id}").status_code == 204
    assert models(server, token) == 401
    refused(client.token(grant_type="client_credentials"), "invalid_client", 401)


def test_private_key_jwt(server):
    jwt = pytest.importorskip("jwt")
    from cryptography.hazmat.primitives.asymmetric import ec
    key = ec.generate_private_key(ec.SECP256R1())
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    client = register(server, grant_types=["client_credentials"], redirect_uris=[], scope="models.read", jwks={"keys": [{**public, "alg": "ES256", "kid": "k1"}]})
    assert client.secret is None

    def assertion(**changes):
        now = int(time.time())
        claims = {"iss": client.id, "sub": client.id, "aud": server.url, "jti": secrets.token_hex(8), "iat": now, "exp": now + 60, **changes}
        return jwt.encode({k: v for k, v in claims.items() if v is not None}, key, "ES256", headers={"kid": "k1"})

    def ask(text):
        return client.token(basic=False, grant_type="client_credentials", client_assertion=text,
                            client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer")

    once = assertion()
    assert ask(once).status == 200
    refused(ask(once), "invalid_client", 401)
    assert ask(assertion(aud=f"{server.url}/oauth/token")).status == 200
    for wrong in ({"aud": "https://elsewhere.example"}, {"sub": "somebody"}, {"iss": "somebody"}, {"exp": int(time.time()) - 100},
                  {"exp": int(time.time()) + 9000}, {"jti": None}, {"exp": None}, {"aud": [server.url, "https://elsewhere.example"]}):
        refused(ask(assertion(**wrong)), "invalid_client", 401)
    refused(client.token(grant_type="client_credentials"), "invalid_client", 401)
    refused(ask(jwt.encode({"iss": client.id}, "s" * 32, "HS256")), "invalid_client", 401)


# --- Devices -----------------------------------------------------------------------------------------


def device_client(server, **fields):
    return register(server, confidential=False, redirect_uris=[], grant_types=[DEVICE_CODE, "refresh_token"], **fields)


def test_a_device_is_signed_in(server, user):
    client = device_client(server)
    begun = client.post("/oauth/device_authorization", {"scope": "openid predict offline_access"}).json()
    assert re.fullmatch("[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", begun["user_code"])
    assert begun["verification_uri"] == f"{server.url}/oauth/device" and begun["interval"] == 5
    poll = lambda: client.token(grant_type=DEVICE_CODE, device_code=begun["device_code"])
    refused(poll(), "authorization_pending")
    refused(poll(), "slow_down")
    browser = Browser(server)
    page = sign_in(browser, begun["verification_uri_complete"], user.name, PASSWORD)
    assert page.form["fields"]["user_code"] == begun["user_code"], "filled in, but not sent by itself"
    page = browser.submit(page, user_code=begun["user_code"].lower().replace("-", " "))
    assert "Dashboard" in page.text and begun["user_code"] in page.text and "Allow this only if you began it yourself" in page.text
    assert "The device is signed in" in browser.submit(page, decision="allow").text
    got = poll()
    assert got.status == 200 and got.json()["scope"] == "openid predict offline_access" and got.json()["refresh_token"], got
    refused(poll(), "invalid_grant")
    assert client.token(grant_type="refresh_token", refresh_token=got.json()["refresh_token"]).status == 200


def test_a_device_is_refused(server, user):
    client = device_client(server)
    begun = client.post("/oauth/device_authorization", {}).json()
    browser = Browser(server)
    page = browser.submit(sign_in(browser, begun["verification_uri_complete"], user.name, PASSWORD))
    assert "not allowed" in browser.submit(page, decision="deny").text
    refused(client.token(grant_type=DEVICE_CODE, device_code=begun["device_code"]), "access_denied")
    refused(client.token(grant_type=DEVICE_CODE, device_code=begun["device_code"]), "invalid_grant")
    assert "waits no longer" in browser.submit(page, decision="allow").text


def test_device_codes_cannot_be_guessed(server, user):
    begun = device_client(server).post("/oauth/device_authorization", {}).json()
    browser = Browser(server)
    page = sign_in(browser, "/oauth/device", user.name, PASSWORD)
    statuses = []
    for i in range(12):
        answer = browser.submit(page, user_code=f"BBBB-BBB{'CDFGHJKLMNPQ'[i]}")
        statuses.append(answer.status)
    assert 429 in statuses, statuses
    blocked = browser.submit(page, user_code=begun["user_code"])
    assert blocked.status == 429 and int(blocked.headers["Retry-After"]) >= 1, "even the right one has to wait"


def test_a_device_code_belongs_to_its_client(server):
    client, other = device_client(server), device_client(server)
    begun = client.post("/oauth/device_authorization", {}).json()
    refused(other.token(grant_type=DEVICE_CODE, device_code=begun["device_code"]), "invalid_grant")
    refused(client.post("/oauth/device_authorization", {"scope": "users.write"}), "invalid_scope")
    refused(register(server).post("/oauth/device_authorization", {}), "unauthorized_client")


# --- Hostile: codes ----------------------------------------------------------------------------------


def test_a_code_counts_once_and_its_second_use_ends_what_it_gave(server, client, user):
    code = code_for(server, client, user, "openid models.read offline_access")
    got = client.redeem(code).json()
    assert models(server, got["access_token"]) == 200
    refused(client.redeem(code), "invalid_grant")
    assert models(server, got["access_token"]) == 401
    refused(client.token(grant_type="refresh_token", refresh_token=got["refresh_token"]), "invalid_grant")
    assert rows(server, "SELECT COUNT(*) FROM audit WHERE action = 'code.reused'")[0][0] >= 1


def test_a_code_in_many_hands_at_once_counts_once(server, client, user):
    code = code_for(server, client, user)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: client.redeem(code).status, range(16)))
    assert statuses.count(200) <= 1 and set(statuses) <= {200, 400}, statuses


def test_a_code_of_others_is_worth_nothing(server, client, user):
    thief = register(server)
    thief.verifier = client.verifier
    code = code_for(server, client, user)
    refused(thief.redeem(code), "invalid_grant")
    refused(client.redeem(code, code_verifier="x" * 43), "invalid_grant")
    refused(client.redeem(code, code_verifier=client.verifier[:42]), "invalid_grant")
    refused(client.redeem(code, code_verifier=None), "invalid_request")
    refused(client.redeem(code, redirect_uri="https://app.example/callback2"), "invalid_grant")
    refused(client.redeem(code[:-1] + ("0" if code[-1] != "0" else "1")), "invalid_grant")
    refused(client.token(basic=False, grant_type="authorization_code", code=code, code_verifier=client.verifier, client_id=client.id),
            "invalid_client", 401)
    assert client.redeem(code).status == 200, "the owner is not harmed by the others' attempts"


def test_a_code_of_one_challenge_is_not_redeemed_with_another(server, client, user):
    code = code_for(server, client, user)
    client.verifier = secrets.token_urlsafe(48)
    refused(client.redeem(code), "invalid_grant")


def test_a_code_expires(server, client, user):
    code = code_for(server, client, user)
    with sqlite3.connect(server.folder / "data" / "mainstay.db", timeout=30) as db:
        db.execute("UPDATE oauth_codes SET expires_us = expires_us - 61000000 WHERE used_us = 0")
    refused(client.redeem(code), "invalid_grant")


def test_a_code_ends_with_the_sign_in(server, client, user):
    code = code_for(server, client, user)
    assert admin(server, "DELETE", f"/users/{user.id}/sessions").status_code == 204
    refused(client.redeem(code), "invalid_grant")


@pytest.mark.parametrize("changes", [
    {"code_challenge": None}, {"code_challenge_method": "plain"}, {"code_challenge_method": None}, {"code_challenge": "short"},
    {"code_challenge": "!" * 43}, {"response_type": None}, {"response_mode": "form_post"}, {"response_mode": "fragment"},
    {"prompt": "nonsense"}, {"nonce": "n" * 600},
])
def test_bad_requests_go_back_to_the_client(server, client, changes):
    answer = answer_of(Browser(server).get(client.authorize_path(**changes)))
    assert answer["error"] == "invalid_request" and answer["state"] == client.state and answer["iss"] == server.url


@pytest.mark.parametrize(("changes", "error"), [
    ({"response_type": "token"}, "unsupported_response_type"), ({"response_type": "code id_token"}, "unsupported_response_type"),
    ({"request": "e30.e30."}, "request_not_supported"), ({"request_uri": "https://evil.example/r"}, "request_uri_not_supported"),
    ({"resource": "https://elsewhere.example/"}, "invalid_target"), ({"scope": "openid no.such.permission"}, "invalid_scope"),
    ({"scope": 'openid "quoted"'}, "invalid_scope"), ({"scope": "openid predict:" + "a" * 3000}, "invalid_scope"),
])
def test_errors_are_those_of_the_rfcs(server, client, changes, error):
    assert answer_of(Browser(server).get(client.authorize_path(**changes)))["error"] == error


def test_the_implicit_and_password_grants_are_not_there(server, client, user):
    refused(client.token(grant_type="password", username=user.name, password=PASSWORD), "unsupported_grant_type")
    refused(client.token(grant_type="implicit"), "unsupported_grant_type")


# --- Hostile: redirects ------------------------------------------------------------------------------


@pytest.mark.parametrize("uri", [
    "https://evil.example/", "https://app.example/callback/", "https://app.example/callback?x=1", "https://app.example/callback#x",
    "https://app.example/callback/../evil", "https://app.example:443/callback", "https://app.example@evil.example/callback",
    "HTTPS://app.example/callback", "https://app.example/CALLBACK", "http://app.example/callback", "//app.example/callback",
    "https://app.example.evil.example/callback", "javascript:alert(1)", "https://app.example/callback%00", "https://app.example\\@evil.example/callback",
    "/oauth/device", "https://app.example/callback\r\nX-Evil: 1",
])
def test_nothing_goes_to_an_address_that_is_not_registered(server, client, user, uri):
    browser = Browser(server)
    for page in (browser.get(client.authorize_path(redirect_uri=uri)), browser.get(client.authorize_path(redirect_uri=uri, response_type="token"))):
        assert page.status == 400 and page.location is None and "return address" in page.text, page
    sign_in(browser, client.authorize_path(), user.name, PASSWORD)
    page = browser.get(client.authorize_path(redirect_uri=uri))
    assert page.status == 400 and page.location is None


def test_an_unknown_client_is_told_nothing(server, client):
    for wrong in ("nobody", "", client.id[:-1], "0" * 36, "' OR 1=1 --"):
        page = Browser(server).get(client.authorize_path(client_id=wrong))
        assert page.status == 400 and page.location is None and "Unknown application" in page.text


def test_the_loopback_exception_is_for_ports_of_literal_addresses_alone(server, user):
    client = register(server, confidential=False, redirect_uris=["http://127.0.0.1/cb", "http://[::1]/cb", "http://localhost:8000/cb"])
    browser = Browser(server)
    for good in ("http://127.0.0.1:5000/cb", "http://127.0.0.1/cb", "http://[::1]:9/cb", "http://localhost:8000/cb"):
        assert browser.get(client.authorize_path(redirect_uri=good)).status == 200, good
    for bad in ("http://localhost:9000/cb", "http://127.0.0.1:5000/cb2", "https://127.0.0.1:5000/cb", "http://127.0.0.1:x/cb", "http://127.0.0.1.evil.example/cb",
                "http://127.0.0.1:80@evil.example/cb", "http://127.0.0.2:5000/cb", "http://[::1]:9/", "http://127.0.0.1:5000:1/cb"):
        assert browser.get(client.authorize_path(redirect_uri=bad)).status == 400, bad


@pytest.mark.parametrize("uri", ["http://app.example/cb", "https://", "https://*.example/cb", "javascript:alert(1)", "data:text/html,x", "https://a.example/#f", "ftp://a.example/",
                                 "https://user@a.example/cb", "https://a.example;x/cb", "https://a.example,b/cb", "myapp:/cb", "https://a.example/\u00e4", "https://a.example/ cb", "", "/relative"])
def test_no_such_address_can_be_registered(server, uri):
    answer = admin(server, "POST", "/clients", {"name": "x", "scope": "openid", "redirect_uris": [uri]})
    assert answer.status_code == 400, answer.text


def test_the_way_back_after_signing_in_is_our_own(server, client, user):
    """What the login form carries ends up behind our own path, whatever somebody put there."""
    for evil in ("https://evil.example/", "//evil.example", "x=1\r\nLocation: https://evil.example/", "\\\\evil.example", "client_id=x&redirect_uri=https://evil.example"):
        browser = Browser(server)
        page = browser.get(client.authorize_path())
        answer = browser.submit(page, username=user.name, password=PASSWORD, request=evil)
        assert answer.status in (303, 400)
        if answer.status == 303:
            target = urllib.parse.urlsplit(browser.url(answer.location))
            assert f"{target.scheme}://{target.netloc}" == server.url and target.path in ("/oauth/authorize", "/oauth/device"), answer
            assert "X-Evil" not in answer.headers and browser.get(answer.location).location is None


# --- Hostile: parameters -----------------------------------------------------------------------------


def test_parameters_come_once(server, client, user):
    browser = Browser(server)
    for name in ("state", "scope", "code_challenge", "nonce"):
        page = browser.get(client.authorize_path(nonce="n") + f"&{name}=again")
        assert answer_of(page)["error"] == "invalid_request"
    for name in ("redirect_uri", "client_id"):
        page = browser.get(client.authorize_path() + f"&{name}=" + urllib.parse.quote(CALLBACK if name == "redirect_uri" else client.id))
        assert page.status == 400 and page.location is None
    code = code_for(server, client, user)
    body = urllib.parse.urlencode([("grant_type", "authorization_code"), ("code", code), ("code", code), ("code_verifier", client.verifier)])
    refused(client.post("/oauth/token", body, headers={"Content-Type": "application/x-www-form-urlencoded"}), "invalid_request")


def test_client_authentication_comes_once_and_is_exact(server, client):
    fields = {"grant_type": "client_credentials"}
    refused(client.post("/oauth/token", {**fields, "client_secret": client.secret}), "invalid_request")
    wrong = Page(requests.post(f"{server.url}/oauth/token", data=fields, auth=(client.id, "mss_wrong"), timeout=30))
    refused(wrong, "invalid_client", 401)
    assert wrong.headers["WWW-Authenticate"].startswith("Basic ")
    for header in ("Basic", "Basic !!!", "Basic " + base64.b64encode(b"nocolon").decode(), "Bearer abc", "Basic " + base64.b64encode(b":x").decode(),
                   "Basic " + base64.b64encode(b"a%zz:x").decode(), "Basic " + base64.b64encode(b"\xff:\xff").decode()):
        page = Page(requests.post(f"{server.url}/oauth/token", data=fields, headers={"Authorization": header}, timeout=30))
        refused(page, "invalid_client", 401)
    other = register(server)
    refused(client.post("/oauth/token", {**fields, "client_id": other.id}), "invalid_client", 401)
    refused(Page(requests.post(f"{server.url}/oauth/token", data=fields, timeout=30)), "invalid_client", 401)
    public = register(server, confidential=False)
    refused(public.token(grant_type="client_credentials"), "unauthorized_client")
    refused(public.post("/oauth/token", {**fields, "client_secret": client.secret}, basic=False), "invalid_client", 401)


@pytest.mark.parametrize(("body", "type"), [
    ('{"grant_type":"client_credentials"}', "application/json"), ("grant_type=client_credentials", "text/plain"), ("a=%zz", "application/x-www-form-urlencoded"),
    ("a=%00", "application/x-www-form-urlencoded"), ("a=%ff", "application/x-www-form-urlencoded"), ("&".join(f"p{i}=1" for i in range(100)), "application/x-www-form-urlencoded"),
    ("", "application/x-www-form-urlencoded"),
])
def test_bodies_are_forms(server, client, body, type):
    page = client.post("/oauth/token", body, headers={"Content-Type": type})
    refused(page, "invalid_request")


def test_what_is_too_large_is_refused(server, client):
    browser = Browser(server)
    assert browser.get(client.authorize_path(state="s" * 9000)).status == 414
    page = browser.get(client.authorize_path(state="s" * 6000))
    assert page.status == 200
    answer = client.token(grant_type="authorization_code", code="c" * 100000, code_verifier=client.verifier)
    refused(answer, "invalid_grant")
    assert client.post("/oauth/token", "a=" + "b" * (20 << 20), headers={"Content-Type": "application/x-www-form-urlencoded"}).status == 413


# --- Hostile: browsers -------------------------------------------------------------------------------


def every_page(server, client, user):
    browser = Browser(server)
    yield browser.get(client.authorize_path(client_id="nobody"))
    login = browser.get(client.authorize_path())
    yield login
    yield browser.submit(login, username=user.name, password="wrong")
    consent = browser.follow(browser.submit(browser.get(client.authorize_path()), username=user.name, password=PASSWORD))
    yield consent
    yield browser.get("/oauth/device")
    yield browser.post("/oauth/device", {"user_code": "x"})
    yield browser.get("/oauth/logout")


def test_pages_cannot_be_framed_and_hold_no_scripts(server, client, user):
    for page in every_page(server, client, user):
        policy = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))
        assert policy["frame-ancestors"] == "'none'" and policy["default-src"] == "'none'" and policy["base-uri"] == "'none'" and "script-src" not in policy
        assert policy["style-src"] == "'self'" and policy["form-action"] in ("'self'", "'self' https://app.example")
        assert page.headers["X-Frame-Options"] == "DENY" and page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Referrer-Policy"] == "no-referrer" and page.headers["Cache-Control"] == "no-store"
        assert not any(tag == "script" or tag == "style" or any(name.startswith("on") or name == "style" for name in attrs) for tag, attrs in page.tags)
        assert ("html", {"lang": "en"}) in page.tags and any(tag == "h1" for tag, _ in page.tags)
        labels = {attrs.get("for") for tag, attrs in page.tags if tag == "label"}
        for tag, attrs in page.tags:
            assert tag != "input" or attrs.get("type") == "hidden" or attrs["id"] in labels, "every field has a label"


def test_markup_in_names_is_text(server, user):
    client = register(server, name="<script>alert('1')</script>&\"")
    browser = Browser(server)
    page = browser.get(client.authorize_path(login_hint="\"><img src=x onerror=alert(1)>"))
    assert "<script>" not in page.body and "<img" not in page.body and "alert('1')" in page.text
    consent = browser.follow(browser.submit(page, username=user.name, password=PASSWORD))
    assert "<script>" not in consent.body


def test_forms_need_the_token_of_their_browser(server, client, user):
    browser, other = Browser(server), Browser(server)
    page, foreign = browser.get(client.authorize_path()), other.get(client.authorize_path())
    fields = {**page.form["fields"], "username": user.name, "password": PASSWORD}
    for wrong in ({"csrf": ""}, {"csrf": foreign.form["fields"]["csrf"]}, {"csrf": fields["csrf"][:-2] + "AA"}, {"csrf": "x"}):
        answer = browser.post("login", {**fields, **wrong})
        assert answer.status == 403 and "Set-Cookie" not in answer.headers, answer
    nobody = Browser(server)
    assert nobody.post("/oauth/login", fields).status == 403, "without its cookie a token is worth nothing"
    assert browser.post("login", fields, headers={"Sec-Fetch-Site": "cross-site"}).status == 403
    consent = browser.follow(browser.post("login", fields))
    stolen = {**consent.form["fields"], "decision": "allow"}
    assert Browser(server).post("/oauth/consent", stolen).status == 403
    before = {**stolen, "csrf": fields["csrf"]}
    assert browser.post("consent", before).status == 403, "a form from before the sign-in is out of date"
    assert browser.post("/oauth/logout", {"csrf": "x", "request": ""}).status == 403
    assert browser.post("/oauth/device", {"csrf": "x", "user_code": "BBBB-BBBB", "decision": "allow"}).status == 403
    assert "code" in answer_of(browser.post("/oauth/consent", stolen))


def test_signing_in_makes_a_new_cookie(server, client, user):
    """Session fixation: a cookie that somebody planted is not the one that is signed in afterwards."""
    victim, attacker = Browser(server), Browser(server)
    attacker.get(client.authorize_path())
    planted = attacker.cookie
    victim.session.cookies.set("mainstay", planted, domain="127.0.0.1", path="/")
    page = victim.get(client.authorize_path())
    assert victim.cookie == planted
    victim.follow(victim.submit(page, username=user.name, password=PASSWORD))
    assert victim.cookie != planted
    assert "password" in attacker.get(client.authorize_path()).form["fields"], "the planted one is nobody's"
    again = victim.cookie
    page = victim.get(client.authorize_path(prompt="login"))
    victim.follow(victim.submit(page, username=user.name, password=PASSWORD))
    assert victim.cookie != again
    old = Browser(server)
    old.session.cookies.set("mainstay", again, domain="127.0.0.1", path="/")
    assert "password" in old.get(client.authorize_path()).form["fields"], "nor is the one before"


def test_the_cookie_is_for_us_alone(server, client, user):
    browser = Browser(server)
    first = browser.get(client.authorize_path()).headers["Set-Cookie"]
    page = browser.get(client.authorize_path())
    after = browser.submit(page, username=user.name, password=PASSWORD).headers["Set-Cookie"]
    for line in (first, after):
        assert "HttpOnly" in line and "SameSite=Lax" in line and "Path=/" in line and "Domain" not in line
    assert "Set-Cookie" not in page.headers, "a browser that has one keeps it"
    digests = rows(server, "SELECT hex(hash) FROM oauth_logins")
    assert digests and not any(browser.cookie.encode().hex().upper() in row[0] for row in digests), "stored as a digest"


def test_behind_tls_the_cookie_has_its_prefix(binary, tmp_path):
    own = start(binary, tmp_path, "--identity.issuer=https://id.example")
    try:
        client = register(own)
        line = Browser(own).get(client.authorize_path()).headers["Set-Cookie"]
        assert line.startswith("__Host-mainstay=") and "Secure" in line
        found = requests.get(f"{own.url}/.well-known/openid-configuration", timeout=30).json()
        assert found["issuer"] == "https://id.example" and found["token_endpoint"] == "https://id.example/oauth/token"
    finally:
        own.kill()


def test_wrong_passwords_are_slowed_down_on_the_page_too(server, client, user):
    browser = Browser(server)
    page = browser.get(client.authorize_path())
    answers = [browser.submit(page, username=user.name, password="wrong") for _ in range(9)]
    assert answers[0].status == 403 and 429 in [a.status for a in answers], answers
    assert all(a.headers["Retry-After"].isdigit() for a in answers if a.status == 429), "the header stands there once"
    unknown = browser.submit(page, username="nobody-at-all", password="wrong")
    assert unknown.status == 403 and "wrong" in unknown.text


def test_a_sign_in_ends_with_the_user(server, client, user):
    browser = Browser(server)
    sign_in(browser, client.authorize_path(), user.name, PASSWORD)
    assert admin(server, "PATCH", f"/users/{user.id}", {"state": "disabled"}).status_code == 200
    assert "password" in browser.get(client.authorize_path()).form["fields"]


# --- Signing out -------------------------------------------------------------------------------------


def test_signing_out_ends_what_began_with_it(server, user):
    client = register(server, post_logout_redirect_uris=["https://app.example/bye"])
    browser = Browser(server)
    online = client.redeem(grant(browser, client, user.name, PASSWORD, "openid models.read")).json()
    offline = client.redeem(grant(browser, client, user.name, PASSWORD, "openid models.read offline_access")).json()
    page = browser.get("/oauth/logout?" + urllib.parse.urlencode({"post_logout_redirect_uri": "https://app.example/bye"}))
    assert "Sign out?" in page.text and page.location is None, "nobody is signed out by a link alone"
    query = urllib.parse.urlencode({"id_token_hint": online["id_token"], "post_logout_redirect_uri": "https://app.example/bye", "state": "s1"})
    page = browser.get("/oauth/logout?" + query)
    assert page.status == 303 and page.location == "https://app.example/bye?state=s1"
    assert models(server, online["access_token"]) == 401 and models(server, offline["access_token"]) == 200
    assert "password" in browser.get(client.authorize_path()).form["fields"]


def test_signing_out_goes_nowhere_it_should_not(server, client, user):
    browser = Browser(server)
    hint = client.redeem(grant(browser, client, user.name, PASSWORD)).json()["id_token"]
    for changes in ({"post_logout_redirect_uri": "https://evil.example/"}, {"post_logout_redirect_uri": CALLBACK}, {"client_id": "nobody"}):
        page = browser.get("/oauth/logout?" + urllib.parse.urlencode({"id_token_hint": hint, **changes}))
        assert page.location is None, page
    fresh = Browser(server)
    other = User(server)
    sign_in(fresh, client.authorize_path(), other.name, PASSWORD)
    assert "Sign out?" in fresh.get(f"/oauth/logout?id_token_hint={hint}").text, "a hint of another user signs nobody out"
    assert "Sign out?" in fresh.get(f"/oauth/logout?id_token_hint={hint[:-4]}AAAA").text
    page = fresh.submit(fresh.get("/oauth/logout"))
    assert page.status == 200 and "signed out" in page.text


@pytest.mark.parametrize("uri", ["https://a\r\nSet-Cookie: mainstay=x", "https://a; script-src * 'unsafe-inline'", "https://evil.example/bye", "x\x7f:"])
def test_the_address_after_signing_out_is_no_part_of_a_header(server, client, user, uri):
    """It comes from whoever made the link: a line break in it ended the server."""
    browser = Browser(server)
    sign_in(browser, client.authorize_path(), user.name, PASSWORD)
    page = browser.get("/oauth/logout?" + urllib.parse.urlencode({"client_id": client.id, "post_logout_redirect_uri": uri}))
    assert page.status == 200 and "Sign out?" in page.text and server.running()
    assert page.headers["Content-Security-Policy"] == "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


# --- Discovery, keys ---------------------------------------------------------------------------------


def test_discovery(server):
    found = requests.get(f"{server.url}/.well-known/openid-configuration", timeout=30).json()
    assert found == requests.get(f"{server.url}/.well-known/oauth-authorization-server", timeout=30).json()
    assert found["issuer"] == server.url and found["code_challenge_methods_supported"] == ["S256"] and found["response_types_supported"] == ["code"]
    for name, value in found.items():
        if name.endswith("_endpoint") or name == "jwks_uri":
            status = requests.get(value, timeout=30, allow_redirects=False).status_code
            assert status in (200, 400, 401, 405), (name, status)
    keys = requests.get(found["jwks_uri"], timeout=30).json()["keys"]
    assert keys and all(key["alg"] in found["id_token_signing_alg_values_supported"] and "d" not in key for key in keys)


def test_with_a_shared_secret_id_tokens_have_a_key_of_their_own(binary, tmp_path):
    own = start(binary, tmp_path, env={"JWT_SECRET": "0123456789abcdef0123456789abcdef"})
    try:
        client, user = register(own), User(own)
        got = tokens_for(own, client, user, "openid")
        head = lambda token: json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
        assert head(got["access_token"])["alg"] == "HS256" and head(got["id_token"])["alg"] == "EdDSA"
        keys = requests.get(f"{own.url}/oauth/jwks", timeout=30).json()["keys"]
        assert [key["kid"] for key in keys] == [head(got["id_token"])["kid"]] and keys[0]["kty"] == "OKP"
        assert me(own, got["id_token"]) == 401, "an id token opens nothing"
    finally:
        own.kill()


def test_an_id_token_is_no_access_token(server, client, user):
    got = tokens_for(server, client, user, "openid models.read")
    assert models(server, got["id_token"]) == 401
    info = requests.get(f"{server.url}/oauth/userinfo", headers={"Authorization": f"Bearer {got['id_token']}"}, timeout=30)
    assert info.status_code == 401 and 'error="invalid_token"' in info.headers["WWW-Authenticate"]
    plain = requests.get(f"{server.url}/oauth/userinfo", timeout=30)
    assert plain.status_code == 401 and "error=" not in plain.headers["WWW-Authenticate"]
    narrow = tokens_for(server, client, user, "models.read")
    info = requests.get(f"{server.url}/oauth/userinfo", headers={"Authorization": f"Bearer {narrow['access_token']}"}, timeout=30)
    assert info.status_code == 403 and 'error="insufficient_scope"' in info.headers["WWW-Authenticate"]


# --- Clients -----------------------------------------------------------------------------------------


def test_clients_over_http(server):
    made = admin(server, "POST", "/clients", {"name": "Ünïcode", "scope": "openid predict predict", "redirect_uris": [CALLBACK, CALLBACK + "2"]})
    assert made.status_code == 201 and made.json()["secret"].startswith("mss_") and made.json()["scope"] == "openid predict"
    place = made.headers["Location"].removeprefix("/api/v1/auth")
    shown = admin(server, "GET", place).json()
    assert "secret" not in shown and shown["hint"] == made.json()["secret"][:8] and shown["redirect_uris"] == [CALLBACK, CALLBACK + "2"]
    assert made.json()["secret"] not in admin(server, "GET", "/clients?limit=1000").text
    assert admin(server, "DELETE", place).status_code == 204 and admin(server, "GET", place).status_code == 404
    for bad in ({"scope": ""}, {"scope": "nonsense"}, {"name": ""}, {"name": "a\nb"}, {"grant_types": []}, {"grant_types": ["password"]}, {"grant_types": ["refresh_token"]},
                {"grant_types": ["client_credentials"], "confidential": False}, {"redirect_uris": []}, {"confidential": False, "introspects": True},
                {"grant_types": ["client_credentials"], "scope": "openid"}, {"jwks": {"keys": []}}, {"jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}}):
        body = {"name": "x", "scope": "openid", "redirect_uris": [CALLBACK], **bad}
        assert admin(server, "POST", "/clients", body).status_code == 400, bad


def test_nobody_gives_a_client_more_than_he_has(server):
    boss = User(server, role="viewer", grants=["clients.write", "predict:a-*"])
    token = requests.post(f"{server.url}/api/v1/auth/login", json={"username": boss.name, "password": PASSWORD}, timeout=30).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    ask = lambda scope: requests.post(f"{server.url}/api/v1/auth/clients", json={"name": "x", "scope": scope, "redirect_uris": [CALLBACK]}, headers=headers, timeout=30)
    assert ask("openid predict:a-1").status_code == 201
    trusted = {"name": "x", "scope": "openid", "redirect_uris": [CALLBACK], "trusted": True}
    assert requests.post(f"{server.url}/api/v1/auth/clients", json=trusted, headers=headers, timeout=30).status_code == 403, "people are not asked"
    for more in ("predict", "*", "users.write", "predict:b"):
        assert ask(more).status_code == 403, more
    mighty = register(server, scope="users.write")
    assert requests.post(f"{server.url}/api/v1/auth/clients/{mighty.id}/secret", headers=headers, timeout=30).status_code == 403
    assert requests.delete(f"{server.url}/api/v1/auth/clients/{mighty.id}", headers=headers, timeout=30).status_code == 403
    plain = User(server)
    token = requests.post(f"{server.url}/api/v1/auth/login", json={"username": plain.name, "password": PASSWORD}, timeout=30).json()["token"]
    assert requests.get(f"{server.url}/api/v1/auth/clients", headers={"Authorization": f"Bearer {token}"}, timeout=30).status_code == 403


def test_everything_is_recorded_and_no_secret_is(server, client, user):
    browser = Browser(server)
    code = grant(browser, client, user.name, PASSWORD, "openid predict offline_access")
    got = client.redeem(code).json()
    refused(client.redeem(code), "invalid_grant")
    refused(client.post("/oauth/token", {"grant_type": "client_credentials", "client_secret": "mss_wrong"}, basic=False), "invalid_client", 401)
    machine = register(server, grant_types=["client_credentials"], redirect_uris=[], scope="predict")
    token = machine.token(grant_type="client_credentials").json()["access_token"]
    time.sleep(0.5)
    text = json.dumps(rows(server, "SELECT action, outcome, actor_id, actor_name, target, details FROM audit"), ensure_ascii=False)
    for action in ("client.created", "consent.given", "grant.issued", "code.reused", "client.refused", "login"):
        assert f'["{action}"' in text, action
    assert client.id in text and machine.id in text
    for secret in (client.secret, machine.secret, code, got["access_token"], got["refresh_token"], got["id_token"], token, browser.cookie, client.verifier, PASSWORD):
        assert secret not in text
    everything = b"".join(path.read_bytes() for path in (server.folder / "data").glob("mainstay.db*"))
    for secret in (client.secret, machine.secret, code, got["refresh_token"], browser.cookie):
        assert secret.encode() not in everything, "stored as a digest alone"
    log = server.log_text(100000)
    for secret in (client.secret, code, got["access_token"], got["refresh_token"], browser.cookie):
        assert secret not in log


def test_strangers_do_not_fill_the_audit_log(binary, tmp_path):
    own = start(binary, tmp_path)
    try:
        session = requests.Session()
        for _ in range(400):
            answer = session.post(f"{own.url}/oauth/token", data={"grant_type": "client_credentials", "client_id": "x", "client_secret": "y"}, timeout=30)
            assert answer.status_code == 401
        time.sleep(0.5)
        assert session.post(f"{own.url}/oauth/revoke", data={"token": "x", "client_id": "x"}, timeout=30).status_code == 401
        time.sleep(0.5)
        details = [json.loads(d) for (d,) in rows(own, "SELECT details FROM audit WHERE action = 'client.refused' ORDER BY seq")]
        assert 50 <= len(details) < 350 and details[0]["error"] == "invalid_client"
        assert len(details) + sum(d["unrecorded"] for d in details) == 401, "the others are counted"
    finally:
        own.kill()


# --- Second factors on the pages ---------------------------------------------------------------------


def with_totp(server):
    """A user with an authenticator app and recovery codes."""
    from test_mfa import Device
    user = User(server)
    login = requests.post(f"{server.url}/api/v1/auth/login", json={"username": user.name, "password": PASSWORD}, timeout=30).json()["token"]
    ask = lambda path, body: requests.post(f"{server.url}/api/v1/auth{path}", json=body, headers={"Authorization": f"Bearer {login}"}, timeout=30)
    device = Device(ask("/mfa/totp/begin", {"password": PASSWORD}).json()["secret"])
    assert ask("/mfa/totp/confirm", {"code": device.code()}).status_code == 204
    return user, device, ask("/mfa/recovery-codes", {"password": PASSWORD}).json()["codes"]


def test_a_second_factor_is_asked_for(server, client):
    user, device, recovery = with_totp(server)
    browser = Browser(server)
    before = browser.get(client.authorize_path()) and browser.cookie
    page = sign_in(browser, client.authorize_path(), user.name, PASSWORD)
    assert page.status == 200 and "code" in page.form["fields"] and "second factor" in page.text, page
    assert browser.cookie == before and "password" in browser.get(client.authorize_path()).form["fields"], "the password alone signs nobody in"
    browser.at = f"{server.url}/oauth/login"
    wrong = browser.submit(page, code=device.wrong())
    assert wrong.status == 403 and "does not fit" in wrong.text
    page = browser.follow(browser.submit(wrong, code=device.code()))
    assert "decision" in dict(page.form["buttons"]) and browser.cookie != before
    code = answer_of(browser.submit(page, decision="allow"))["code"]
    assert set(claims_of(client.redeem(code).json()["id_token"])["amr"]) == {"pwd", "otp", "mfa"}
    again = Browser(server)
    page = sign_in(again, client.authorize_path(), user.name, PASSWORD)
    assert again.submit(page, mfa_token="nonsense", code=recovery[0]).status == 403
    again.at = f"{server.url}/oauth/login"
    assert "code" in answer_of(again.follow(again.submit(page, code=recovery[0].upper().replace("-", " ")))), "a recovery code does as well; consent was given before"
    third = Browser(server)
    page = sign_in(third, client.authorize_path(), user.name, PASSWORD)
    assert third.submit(page, code=recovery[0]).status == 403, "but once"
    assert Browser(server).post("/oauth/second", {**page.form["fields"], "code": recovery[1]}).status == 403, "and from its own browser alone"


def test_where_a_second_factor_is_required_it_comes_first(binary, tmp_path):
    own = start(binary, tmp_path, "--identity.mfa=required")
    try:
        client, user = register(own), User(own)
        browser = Browser(own)
        page = browser.get(client.authorize_path())
        page = browser.submit(page, username=user.name, password=PASSWORD)
        assert page.status == 403 and "second factor is needed" in page.text and "Set-Cookie" not in page.headers
        assert "password" in browser.get(client.authorize_path()).form["fields"]
    finally:
        own.kill()


# --- The hint, the command line ----------------------------------------------------------------------


def test_a_client_that_expects_another_user_gets_him_or_nobody(server, client, user):
    browser, other = Browser(server), User(server)
    hint = client.redeem(grant(browser, client, user.name, PASSWORD)).json()["id_token"]
    assert "code" in answer_of(browser.get(client.authorize_path(prompt="none", id_token_hint=hint)))
    foreign = Browser(server)
    grant(foreign, client, other.name, PASSWORD)
    assert answer_of(foreign.get(client.authorize_path(prompt="none", id_token_hint=hint)))["error"] == "login_required"
    assert "password" in foreign.get(client.authorize_path(id_token_hint=hint)).form["fields"]
    assert answer_of(foreign.get(client.authorize_path(prompt="none", id_token_hint="nonsense")))["error"] == "login_required"


def test_clients_on_the_command_line(binary, server):
    def mainstay(*args, status=0):
        done = subprocess.run([binary, *args, "--data-dir", server.folder / "data"], capture_output=True, text=True, timeout=60,
                              env={k: v for k, v in server.env.items() if k != "MAINSTAY_AUTH"}, cwd=server.folder)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    made = json.loads(mainstay("client", "add", "Batch", "--grants=client", "--scope=models.read", "--json"))
    machine = Client(server, made)
    token = machine.token(grant_type="client_credentials").json()["access_token"]
    assert models(server, token) == 200, "a running server takes it at once"
    text = mainstay("client", "add", "Web", "--redirect", f"{CALLBACK},http://127.0.0.1/cb", "--scope", "openid predict", "--trusted")
    assert "shown this once" in text and "mss_" in text and CALLBACK in text and "grants:       code,refresh" in text
    shown = mainstay("client", "show", made["id"])
    assert made["secret"] not in shown and made["hint"] in shown and "kind:         confidential" in shown
    listed = mainstay("client", "list")
    assert "Batch" in listed and made["id"] in listed and "mss_" not in listed
    fresh = json.loads(mainstay("client", "rotate-secret", made["id"], "--json"))
    assert fresh["secret"] != made["secret"]
    refused(machine.token(grant_type="client_credentials"), "invalid_client", 401)
    wait = time.monotonic() + 10
    while models(server, token) != 401 and time.monotonic() < wait:
        time.sleep(0.1)
    assert models(server, token) == 401, "and its tokens end within a second"
    assert "removed client Batch" in mainstay("client", "remove", made["id"])
    assert "there is no OAuth client" in mainstay("client", "show", made["id"], status=1)
    for bad, word in ((("--redirect=http://evil.example/",), "no address a client"), (("--grants=password",), "--grants"), ((f"--redirect={CALLBACK}", "--scope=nonsense"), "nonsense"), ((), "address")):
        assert word in mainstay("client", "add", "x", *bad, status=1)


@pytest.mark.parametrize("issuer", ["id.example", "https://id.example/", "ftp://id.example", "https://id.example?x", "https://id.example#x"])
def test_the_issuer_is_an_address(binary, tmp_path, issuer):
    done = subprocess.run([binary, "run", "--data-dir", tmp_path, f"--identity.issuer={issuer}"], capture_output=True, text=True, timeout=60, cwd=tmp_path, env=clean_environment())
    assert done.returncode != 0 and "identity.issuer" in done.stdout + done.stderr
