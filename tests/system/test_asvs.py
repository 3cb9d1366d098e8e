# SPDX-License-Identifier: Apache-2.0
"""What docs/security/asvs.md claims and no other file tests; and that docs/security names every way in."""

import base64
import hashlib
import hmac
import re
import sqlite3
import time

import pytest
from harness import ROOT
from oauth_browser import Browser, answer_of, grant
from oauth_browser import sign_in as page_sign_in
from test_auth_login import FAST, OTHER, PASSWORD, add_user, admin, alive, ask, decode, encode, login, refresh, sign_in, validate
from test_mfa import Device
from test_oauth import DEVICE_CODE, device_client, register
from test_oauth import start as start_provider

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory):
    """Tokens are signed with a secret that the tests know, so that they can make wrong ones with a right signature."""
    own = start_provider(binary, tmp_path_factory.mktemp("asvs"), env={"JWT_SECRET": SECRET})
    try:
        yield own
        assert own.stop() == 0
    finally:
        own.kill()


@pytest.fixture
def name(worker=iter(range(100000))):
    return f"asvs{next(worker)}"


def signed(header, claims, secret=SECRET.encode(), digest=hashlib.sha256):
    message = f"{encode(header)}.{encode(claims)}"
    return f"{message}.{encode(hmac.new(secret, message.encode(), digest).digest())}"


def write(server, sql, *values):
    with sqlite3.connect(server.folder / "data" / "mainstay.db", timeout=30) as db:
        assert db.execute(sql, values).rowcount == 1


# --- Ways in ---------------------------------------------------------------------------------------------


def documented_ways_in():
    text = (ROOT / "docs/security/authentication.md").read_text(encoding="utf-8")
    section = text.split("## Routes that ask nobody", 1)[1].split("\n## ", 1)[0]
    return set(re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[^`]*)`", section))


def test_every_way_in_is_documented(server):
    document = server.get("/openapi.json").json()
    found = {(method.upper(), path) for path, item in document["paths"].items() for method, operation in item.items() if operation["security"] == []}
    assert found == documented_ways_in()


# --- Passwords -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", [
    "onlysmalllettersandnothingelse", "ONLYCAPITALLETTERSANDNOTHING", "270182818281828459045235360287", "~!@#$%^&*()_+`-={}|[]\\:\";'<>?,./",
    "  spaces at both ends count  ", "Привет, тихая река у моря", "🜁🜂🜃🜄☉☽☿♀♂♃♄⚷⚸♅♆♇", "a tab\tand a newline\nare signs too", "long enough, " * 8, "x1" + "éè" * 40,
])
def test_any_composition_counts_as_it_was_typed(server, name, password):
    add_user(server, name, password)
    assert login(server, name, password).status == 200
    for other in {password.strip(), password.swapcase(), password[:64], password[:-1], password + " "} - {password}:
        assert login(server, name + "", other).status in (401, 429), other


def test_old_passwords_do_not_expire(server, name):
    user = add_user(server, name)
    write(server, "UPDATE users SET password_changed_us = 1, created_us = 1 WHERE id = ?", user["id"])
    answer = login(server, name)
    assert answer.status == 200 and set(answer.json()) == {"token", "refresh_token", "token_type", "expires_in", "user"}


def test_words_of_the_user_and_the_service_are_refused(server, name):
    name = f"{name}-lovelace-byron"
    for guess in (name, name.upper(), name + name, name + "2026", f"{name}@example.org", "mainstaymainstay"):
        answer = admin(server, "POST", "/users", {"username": name, "email": f"{name}@example.org", "password": guess})
        assert (answer.status, answer.code) == (400, "auth.password"), guess


def test_the_password_field_of_the_page_is_masked_and_open_to_password_managers(server):
    page = Browser(server).get(register(server).authorize_path())
    fields = {attrs.get("name"): attrs for tag, attrs in page.tags if tag == "input"}
    assert fields["password"]["type"] == "password" and fields["password"]["autocomplete"] == "current-password"
    assert fields["username"]["autocomplete"] == "username" and int(fields["password"]["maxlength"]) >= 1024
    assert not any(attr.startswith("on") or attr == "readonly" for field in fields.values() for attr in field), "nothing hinders pasting"
    assert not any(tag == "script" for tag, _ in page.tags)


def test_an_imported_hash_is_no_way_around_the_current_password(server, name):
    user = add_user(server, name, role="admin")
    stored = sqlite3.connect(f"file:{server.folder / 'data' / 'mainstay.db'}?mode=ro", uri=True).execute("SELECT password FROM users WHERE id = ?", (user["id"],)).fetchone()[0]
    token = sign_in(server, name)["token"]
    for body in ({"password": OTHER}, {"password_hash": stored}, {"password_hash": stored, "display_name": "x"}):
        answer = ask(server, "PATCH", f"/users/{user['id']}", body, token=token)
        assert answer.status == 403 and "/password" in answer.json()["error"], answer
    assert ask(server, "PATCH", f"/users/{user['id']}", {"display_name": "x"}, token=token).status == 200
    assert admin(server, "DELETE", f"/users/{user['id']}").status == 204


def test_the_first_administrator_has_no_password(make_server):
    own = make_server(*FAST, auth=True)
    users = admin(own, "GET", "/users").json()["users"]
    assert [(u["username"], u["has_password"]) for u in users] == [("admin", False)], "and there is no other account"
    for guess in ("admin", "password", "changeme", "mainstay"):
        assert login(own, "admin", guess).code == "auth.credentials"


def test_an_account_has_no_hints_or_questions(server):
    document = server.get("/openapi.json").json()
    asked = document["paths"]["/api/v1/auth/users"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    while "$ref" in asked:
        asked = document["components"]["schemas"][asked["$ref"].rsplit("/", 1)[1]]
    assert set(asked["properties"]) == {"username", "email", "display_name", "role", "grants", "state", "password", "password_hash"}
    assert asked["additionalProperties"] is False
    assert not any(word in path for path in document["paths"] for word in ("forgot", "question", "hint", "reset-password"))


def test_a_password_of_the_administrator_leaves_the_second_factor(server, name):
    user = add_user(server, name)
    token = sign_in(server, name)["token"]
    device = Device(ask(server, "POST", "/mfa/totp/begin", {"password": PASSWORD}, token=token).json()["secret"])
    assert ask(server, "POST", "/mfa/totp/confirm", {"code": device.code()}, token=token).status == 204
    assert admin(server, "PATCH", f"/users/{user['id']}", {"password": OTHER}).status == 200
    assert not alive(server, token) and login(server, name).code == "auth.credentials"
    answer = login(server, name, OTHER)
    assert (answer.status, answer.code) == (401, "auth.mfa_required") and "token" not in answer.json()


def test_where_it_is_required_a_password_alone_makes_no_key(make_server):
    own = make_server(*FAST, "--identity.mfa=required", auth=True)
    add_user(own, "ada", role="operator")
    token = sign_in(own, "ada")["token"]
    for scopes in (["models.read"], ["predict"], ["*"]):
        assert ask(own, "POST", "/api/v1/auth/api-keys", {"name": "around", "scopes": scopes}, token=token).code == "auth.forbidden", scopes
    assert ask(own, "GET", "/api/v1/models", token=token).status == 403


# --- Sessions --------------------------------------------------------------------------------------------


def test_a_session_that_is_not_used_ends(make_server):
    own = make_server(*FAST, "--identity.session_idle=2s", "--identity.refresh_grace=0s", auth=True)
    add_user(own, "ada")
    used, left = sign_in(own, "ada"), sign_in(own, "ada")
    for _ in range(3):
        time.sleep(1)
        answer = refresh(own, used["refresh_token"])
        assert answer.status == 200, answer
        used = answer.json()
    answer = refresh(own, left["refresh_token"])
    assert (answer.status, answer.code) == (401, "auth.token_expired")


def test_a_browser_is_signed_out_after_twelve_hours(server, name):
    add_user(server, name, role="data-scientist")
    client, browser = register(server), Browser(server)
    grant(browser, client, name, PASSWORD)
    hour = 3600 * 1000000
    write(server, "UPDATE oauth_logins SET expires_us = expires_us - ? WHERE session_id IN (SELECT s.id FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.username = ?)", 12 * hour - 60000000, name)
    assert "code" in answer_of(browser.get(client.authorize_path())), "a minute is left, and using it prolongs nothing"
    write(server, "UPDATE oauth_logins SET expires_us = expires_us - ? WHERE session_id IN (SELECT s.id FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.username = ?)", 60000000, name)
    assert "password" in browser.get(client.authorize_path()).form["fields"]


def test_a_sign_in_of_long_ago_is_not_enough_to_add_a_factor(server, name):
    add_user(server, name)
    head, payload, _ = sign_in(server, name)["token"].split(".")
    header, claims = decode(head), decode(payload)

    def begin(age_s, **body):
        made = f"{int((time.time() - age_s) * 1000):012x}"
        token = signed(header, {**claims, "sid": f"{made[:8]}-{made[8:]}{claims['sid'][13:]}"})
        return ask(server, "POST", "/mfa/totp/begin", body, token=token)

    assert begin(0).status == begin(9 * 60).status == 200
    assert begin(11 * 60).code == begin(3 * 24 * 3600).code == "auth.proof_required"
    assert begin(11 * 60, password=PASSWORD).status == 200


def test_administrators_end_the_sessions_of_a_user(server, name):
    user, other = add_user(server, name), add_user(server, name + "x")
    browser, client = Browser(server), register(server)
    mine, phone, foreign = sign_in(server, name), sign_in(server, name), sign_in(server, other["username"])
    app = client.redeem(grant(browser, client, name, PASSWORD, "openid models.read offline_access")).json()
    assert admin(server, "DELETE", f"/users/{user['id']}/sessions").status == 204
    for tokens in (mine, phone):
        assert validate(server, tokens["token"]).json()["reason"] == "revoked" and refresh(server, tokens["refresh_token"]).status == 401
    assert validate(server, app["access_token"]).json()["reason"] == "revoked"
    assert client.token(grant_type="refresh_token", refresh_token=app["refresh_token"]).status == 400
    assert "password" in browser.get(client.authorize_path()).form["fields"], "the browser is signed out as well"
    assert alive(server, foreign["token"])
    answer = ask(server, "DELETE", f"/users/{user['id']}/sessions", token=foreign["token"])
    assert (answer.status, answer.code) == (403, "auth.forbidden")


def test_pages_of_who_is_signed_in_lead_to_signing_out(server, name):
    add_user(server, name, role="data-scientist")
    client, device, browser = register(server), device_client(server), Browser(server)
    pages = [page_sign_in(browser, client.authorize_path(), name, PASSWORD)]
    begun = device.post("/oauth/device_authorization", {}).json()
    pages.append(browser.get(begun["verification_uri"]))
    pages.append(browser.submit(pages[-1], user_code=begun["user_code"]))
    assert ["decision" in dict(page.form["buttons"]) for page in pages] == [True, False, True]
    for page in pages:
        assert ("a", {"href": "logout"}) in page.tags and name in page.text, page
    browser.submit(browser.get("/oauth/logout"))
    assert "password" in browser.get(client.authorize_path()).form["fields"]


def test_a_trusted_program_that_others_could_pose_as_is_asked_about(server, name):
    add_user(server, name, role="data-scientist")
    for redirect, asked in (("http://127.0.0.1/cb", True), ("com.example.app:/cb", True), ("https://app.example/cb", False)):
        client, browser = register(server, confidential=False, trusted=True, redirect_uris=[redirect]), Browser(server)
        for _ in range(2):
            page = browser.follow(browser.get(client.authorize_path()))
            page = browser.follow(browser.submit(page, username=name, password=PASSWORD)) if page.status == 200 and "password" in page.form["fields"] else page
            assert (page.status == 200 and "decision" in dict(page.form["buttons"])) == asked, (redirect, page)
            if asked:
                page = browser.submit(page, decision="allow")
            assert "code" in answer_of(page)


# --- Tokens ----------------------------------------------------------------------------------------------


def test_claims_of_a_token_with_a_right_signature_are_checked(server, name):
    add_user(server, name)
    token = sign_in(server, name)["token"]
    head, payload, _ = token.split(".")
    header, claims, now = decode(head), decode(payload), int(time.time())
    assert alive(server, signed(header, claims)), "this is how they are made"
    for change in ({"aud": "another-service"}, {"aud": None}, {"aud": ["another-service"]}, {"iss": "https://elsewhere.example"}, {"iss": None},
                   {"exp": now - 60}, {"exp": None}, {"exp": str(now + 60)}, {"nbf": now + 600}, {"iat": now + 600}, {"sub": None}, {"jti": None}):
        answer = ask(server, "GET", "/me", token=signed(header, {k: v for k, v in {**claims, **change}.items() if v is not None}))
        assert answer.status == 401 and answer.code == ("auth.token_expired" if change == {"exp": now - 60} else "auth.token_invalid"), (change, answer)
    for typ in ("JWT", "id_token+jwt", "logout+jwt", "audit-head", None):
        assert not alive(server, signed({k: v for k, v in {**header, "typ": typ}.items() if v is not None}, claims)), typ
    for alg, digest in (("HS384", hashlib.sha384), ("HS512", hashlib.sha512), ("none", hashlib.sha256), ("hs256", hashlib.sha256)):
        assert not alive(server, signed({**header, "alg": alg}, claims, digest=digest)), alg
    key = {"kty": "oct", "k": base64.urlsafe_b64encode(b"k" * 32).rstrip(b"=").decode()}
    for source in ({"jwk": key}, {"jku": f"{server.url}/keys"}, {"x5u": f"{server.url}/keys"}, {"kid": "../../../dev/null"}, {"kid": "k' OR 1=1 --"}):
        assert not alive(server, signed({**header, **source}, claims, secret=b"k" * 32)), source


def test_a_name_that_is_given_again_is_another_user(server, name):
    first = add_user(server, name, email=f"{name}@example.org", role="operator")
    tokens = sign_in(server, name)
    made = ask(server, "POST", "/api/v1/auth/api-keys", {"name": "mine", "scopes": ["self"]}, token=tokens["token"])
    assert made.status == 201, made
    key = made.json()["key"]
    assert ask(server, "GET", "/me", key=key).status == 200
    assert admin(server, "DELETE", f"/users/{first['id']}").status == 204
    second = add_user(server, name, email=f"{name}@example.org", role="operator")
    assert second["id"] != first["id"]
    assert not alive(server, tokens["token"]) and refresh(server, tokens["refresh_token"]).status == 401
    assert ask(server, "GET", "/me", key=key).status in (401, 403)
    assert decode(sign_in(server, name)["token"].split(".")[1])["sub"] == second["id"]


# --- OAuth clients ---------------------------------------------------------------------------------------


def test_a_confidential_client_proves_itself_at_every_endpoint(server):
    client = register(server, grant_types=["authorization_code", "refresh_token", DEVICE_CODE])
    requests = {"/oauth/token": {"grant_type": "refresh_token", "refresh_token": "msr_x"}, "/oauth/revoke": {"token": "x"}, "/oauth/introspect": {"token": "x"},
                "/oauth/device_authorization": {"scope": "openid"}}
    for path, fields in requests.items():
        assert client.post(path, fields).status in (200, 400), path
        for wrong in ({}, {"client_secret": ""}, {"client_secret": client.secret[:-1] + "x"}, {"client_secret": client.secret.swapcase()}):
            answer = client.post(path, {**fields, **wrong}, basic=False)
            assert answer.status == 401 and answer.json()["error"] == "invalid_client", (path, wrong, answer)


def test_the_consent_page_says_what_to_whom_and_for_how_long(server, name):
    add_user(server, name, role="data-scientist")
    client, device, browser = register(server), device_client(server), Browser(server)
    page = page_sign_in(browser, client.authorize_path("openid models.read"), name, PASSWORD)
    for words in ("Dashboard", name, "See models, their versions", "models.read", "access for 1 day at most", "https://app.example/callback"):
        assert words in page.text, words
    assert "access for 30 days at most" in browser.get(client.authorize_path("openid offline_access")).text
    begun = device.post("/oauth/device_authorization", {"scope": "openid offline_access"}).json()
    page = browser.submit(browser.get(begun["verification_uri"]), user_code=begun["user_code"])
    assert "Access lasts 30 days at most." in page.text and "Dashboard" in page.text
