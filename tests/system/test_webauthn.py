# SPDX-License-Identifier: Apache-2.0
"""Passkeys against the real server, by an authenticator of our own that also lies."""

import pytest
from authenticator import AT, BE, BS, EDDSA, ES256, RS256, UP, UV, Browser, Passkey, b64, cbor, unb64
from harness import Server, wait_until
from test_mfa import FAST, PASSWORD, add_user, ask, audit, enrol, first_step, login, second_step, sign_in

WEBAUTHN = "/webauthn"


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory):
    own = Server(binary, tmp_path_factory.mktemp("webauthn"), *FAST, auth=True)
    try:
        own.start()
        yield own
        assert own.stop() == 0
    finally:
        own.kill()


def options(server, path, body=None, token=None):
    answer = ask(server, "POST", WEBAUTHN + path, body if body is not None else {}, token=token)
    assert answer.status == 200, answer
    return answer.json()["publicKey"]


def register(server, token, browser, passkey, name=None, **more):
    begun = options(server, "/register/begin", {"password": PASSWORD}, token)
    body = {"credential": browser.create(begun, passkey, **more), **({"name": name} if name else {})}
    return ask(server, "POST", WEBAUTHN + "/register/finish", body, token=token)


def with_passkey(server, user, alg=ES256, **more):
    """A user with a passkey: (token, browser, passkey)."""
    add_user(server, user)
    token, browser, passkey = sign_in(server, user), Browser(), Passkey(alg)
    made = register(server, token, browser, passkey, **more)
    assert made.status == 201, made
    return token, browser, passkey


def finish(server, assertion):
    return ask(server, "POST", WEBAUTHN + "/login/finish", {"credential": assertion})


def enter(server, browser, passkey, **more):
    return finish(server, browser.get(options(server, "/login/begin"), passkey, **more))


# --- What works -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", [ES256, EDDSA, RS256])
def test_a_passkey_signs_in_without_name_and_password(server, alg):
    name = f"user{-alg}"
    token, browser, passkey = with_passkey(server, name, alg)
    begun = options(server, "/login/begin")
    assert begun["rpId"] == "localhost" and begun["userVerification"] == "required" and begun["allowCredentials"] == []
    assert len(unb64(begun["challenge"])) >= 16
    done = finish(server, browser.get(begun, passkey))
    assert done.status == 200 and done.json()["user"]["username"] == name, done
    sessions = ask(server, "GET", "/sessions", token=done.json()["token"]).json()["sessions"]
    assert {s["methods"] for s in sessions} == {"pwd", "pop user mfa"}
    listed = ask(server, "GET", WEBAUTHN + "/credentials", token=token).json()["credentials"]
    assert len(listed) == 1 and listed[0]["used_at"] and listed[0]["credential_id"] == b64(passkey.id)
    assert listed[0]["transports"] == ["internal", "hybrid"] and listed[0]["user_verified"] is True


def test_the_options_of_a_registration(server):
    token, browser, passkey = with_passkey(server, "opt")
    begun = options(server, "/register/begin", {"password": PASSWORD}, token)
    assert begun["rp"] == {"name": "Mainstay", "id": "localhost"} and begun["attestation"] == "none"
    assert [p["alg"] for p in begun["pubKeyCredParams"]] == [EDDSA, ES256, RS256]
    assert begun["excludeCredentials"] == [{"type": "public-key", "id": b64(passkey.id), "transports": ["internal", "hybrid"]}]
    me = ask(server, "GET", "/me", token=token).json()
    assert unb64(begun["user"]["id"]).decode() == me["id"] and begun["user"]["name"] == "opt"


def test_a_passkey_is_a_second_factor(server):
    token, browser, passkey = with_passkey(server, "two")
    asked = login(server, "two")
    assert (asked.status, asked.json()["methods"]) == (401, ["webauthn"])
    mfa_token = asked.json()["mfa_token"]
    begun = options(server, "/login/begin", {"mfa_token": mfa_token})
    assert [c["id"] for c in begun["allowCredentials"]] == [b64(passkey.id)]
    # A security key that only was touched, and that knows no user.
    done = second_step(server, mfa_token, "webauthn", assertion=browser.get(begun, passkey, flags=UP, user_handle=None))
    assert done.status == 200, done
    assert ask(server, "POST", WEBAUTHN + "/login/begin", {"mfa_token": "x"}).code == "auth.token_invalid"


def test_passkeys_are_named_and_removed_with_a_proof(server):
    token, browser, passkey = with_passkey(server, "names", name="Laptop")
    second = Passkey(EDDSA)
    made = register(server, token, browser, second).json()
    assert made["name"] == "Passkey"
    renamed = ask(server, "PATCH", f"{WEBAUTHN}/credentials/{made['id']}", {"name": "Schlüssel"}, token=token)
    assert renamed.status == 200 and renamed.json()["name"] == "Schlüssel"
    assert ask(server, "PATCH", f"{WEBAUTHN}/credentials/{made['id']}", {"name": "a\nb"}, token=token).status == 400
    path = f"{WEBAUTHN}/credentials/{made['id']}"
    assert ask(server, "DELETE", path, token=token).code == "auth.proof_required"
    begun = options(server, "/challenge", token=token)
    assert {c["id"] for c in begun["allowCredentials"]} == {b64(passkey.id), b64(second.id)}
    assertion = browser.get(begun, passkey)
    assert ask(server, "DELETE", path, {"assertion": assertion}, token=token).status == 204
    assert ask(server, "DELETE", path, {"assertion": assertion}, token=token).code == "auth.proof_required"  # the same again
    assert ask(server, "DELETE", path, {"password": PASSWORD}, token=token).status == 404
    assert enter(server, browser, second).status == 401
    # Another user's cannot be seen, renamed or removed.
    other, _, _ = with_passkey(server, "names2")
    listed = ask(server, "GET", WEBAUTHN + "/credentials", token=token).json()["credentials"]
    assert [c["name"] for c in listed] == ["Laptop"]
    mine = f"{WEBAUTHN}/credentials/{listed[0]['id']}"
    assert ask(server, "PATCH", mine, {"name": "x"}, token=other).status == 404
    assert ask(server, "DELETE", mine, {"password": PASSWORD}, token=other).status == 404


def test_counters_of_zero_are_fine(server):
    _, browser, passkey = with_passkey(server, "zero")
    assert enter(server, browser, passkey, count=0).status == 200
    assert enter(server, browser, passkey, count=0).status == 200


# --- What is refused, at the sign-in ----------------------------------------------------------------------

LIES = {
    "origin": ({"origin": "https://evil.example"}, "origin"),
    "origin of another port": ({"origin": "http://localhost:9090"}, "origin"),
    "origin with the host in front": ({"origin": "http://localhost:8080.evil.example"}, "origin"),
    "embedded": ({"cross_origin": True}, "embedded"),
    "embedded by topOrigin": ({"client": {"topOrigin": "https://evil.example"}}, "embedded"),
    "type": ({"type": "webauthn.create"}, "type"),
    "another domain": ({"rp_id": "evil.example"}, "domain"),
    "nobody there": ({"flags": UV}, "touched"),
    "not verified": ({"flags": UP}, "verify"),
    "backed up and cannot be": ({"flags": UP | UV | BS}, "malformed"),
    "backups changed": ({"flags": UP | UV | BE}, "backups"),
    "attested without data": ({"flags": UP | UV | AT}, "malformed"),
    "something behind": ({"behind": b"\x00"}, "malformed"),
    "signed something else": ({"signed": b"another message"}, "signature"),
    "another user's handle": ({"user_handle": b64(b"0190a0b0-0000-7000-8000-000000000000")}, "another user"),
    "no handle": ({"user_handle": None}, "another user"),
    "a challenge of his own": ({"challenge": b64(bytes(32))}, "challenge"),
    "no challenge": ({"challenge": ""}, "challenge"),
}


@pytest.fixture(scope="module")
def liar(server):
    _, browser, passkey = with_passkey(server, "liar")
    return browser, passkey


@pytest.mark.parametrize("lie", LIES)
def test_lies_are_refused(server, liar, lie):
    browser, passkey = liar
    bent, word = LIES[lie]
    refused = enter(server, browser, passkey, **bent)
    assert (refused.status, refused.code) == (401, "auth.credentials") and word in refused.json()["error"], refused
    assert enter(server, browser, passkey).status == 200  # the same without the lie


def test_a_challenge_works_once(server):
    _, browser, passkey = with_passkey(server, "once")
    begun = options(server, "/login/begin")
    assertion = browser.get(begun, passkey)
    assert finish(server, assertion).status == 200
    replayed = finish(server, assertion)
    assert replayed.status == 401 and "used before" in replayed.json()["error"]
    again = finish(server, browser.get(begun, passkey))
    assert again.status == 401 and "used before" in again.json()["error"]
    # Whoever holds the key spends it even when he is refused; what strangers send writes nothing.
    begun = options(server, "/login/begin")
    assert "signature" in finish(server, browser.get(begun, passkey, signed=b"x")).json()["error"]
    assert "went back" in finish(server, browser.get(begun, passkey, count=1)).json()["error"]
    passkey.count += 50
    assert "used before" in finish(server, browser.get(begun, passkey)).json()["error"]


def test_a_challenge_is_for_one_purpose(server, liar):
    token, browser, passkey = with_passkey(server, "purpose")
    wrong = "not ours, or not for this"
    creation = options(server, "/register/begin", {"password": PASSWORD}, token)
    assert wrong in enter(server, browser, passkey, challenge=creation["challenge"]).json()["error"]
    # The challenge of one's own second step or proof is none for a sign-in, and another's none for mine.
    own = options(server, "/challenge", token=token)
    assert wrong in enter(server, browser, passkey, challenge=own["challenge"]).json()["error"]
    mfa_token = first_step(server, "purpose")
    liars = options(server, "/login/begin")
    refused = second_step(server, mfa_token, "webauthn", assertion=browser.get(liars, passkey))
    assert refused.status == 401 and wrong in refused.json()["error"]
    # Another user's passkey does not complete my sign-in, whatever it signs.
    for handle in (None, liar[0].user_handle, browser.user_handle):
        begun = options(server, "/login/begin", {"mfa_token": mfa_token})
        crossed = second_step(server, mfa_token, "webauthn", assertion=liar[0].get(begun, liar[1], user_handle=handle))
        assert crossed.status == 401 and "another user" in crossed.json()["error"], crossed
    assert first_step(server, "purpose")


def test_flipped_bits_and_cut_data_are_refused(server, liar):
    browser, passkey = liar
    for field in ("signature", "authenticatorData", "clientDataJSON"):
        whole = browser.get(options(server, "/login/begin"), passkey)
        data = unb64(whole["response"][field])
        places = range(0, len(data), max(1, len(data) // 12))
        for at in places:
            assertion = browser.get(options(server, "/login/begin"), passkey)
            bent = bytearray(unb64(assertion["response"][field]))
            at = min(at, len(bent) - 1)
            bent[at] ^= 1 << at % 8
            assertion["response"][field] = b64(bytes(bent))
            assert finish(server, assertion).status == 401, (field, at)
            assertion["response"][field] = b64(bytes(bent[:at]))
            assert finish(server, assertion).status in (400, 401), (field, at)
    assert enter(server, browser, passkey).status == 200


def test_malformed_assertions(server, liar):
    browser, passkey = liar
    good = browser.get(options(server, "/login/begin"), passkey)
    for bad in ({}, [], None, "x", {**good, "type": "password"}, {**good, "id": b64(b"other")}, {**good, "rawId": 7},
                {**good, "response": {}}, {**good, "response": []}, {**good, "response": {**good["response"], "signature": "***"}},
                {**good, "response": {**good["response"], "clientDataJSON": b64(b"\xff{}")}},
                {**good, "response": {**good["response"], "clientDataJSON": b64(b"[" * 5000)}}):
        answer = finish(server, bad)
        assert answer.status in (400, 401), (bad, answer)
    unknown = enter(server, browser, Passkey())
    assert unknown.status == 401 and "not known" in unknown.json()["error"]


def test_a_counter_that_goes_back_is_refused_and_recorded(server):
    _, browser, passkey = with_passkey(server, "cloned")
    assert enter(server, browser, passkey, count=10).status == 200
    for count in (10, 9, 0):
        refused = enter(server, browser, passkey, count=count)
        assert refused.status == 401 and "went back" in refused.json()["error"]
    assert enter(server, browser, passkey, count=11).status == 200
    copied = wait_until(lambda: [e for e in audit(server) if e["event"] == "passkey.copied" and e["actor"]["name"] == "cloned"],
                        what="passkey.copied in the audit log")
    assert all(e["outcome"] == "refused" for e in copied)


def test_who_is_disabled_has_no_passkey_either(server):
    token, browser, passkey = with_passkey(server, "gone")
    me = ask(server, "GET", "/me", token=token).json()["id"]
    assert ask(server, "PATCH", f"/users/{me}", {"state": "disabled"}, key=server.admin_key).status == 200
    assert enter(server, browser, passkey).status == 401
    assert ask(server, "PATCH", f"/users/{me}", {"state": "active"}, key=server.admin_key).status == 200
    assert enter(server, browser, passkey).status == 200


# --- What is refused, at the registration -------------------------------------------------------------------

BAD_REGISTRATIONS = {
    "origin": {"origin": "https://evil.example"},
    "type": {"type": "webauthn.get"},
    "challenge": {"challenge": b64(bytes(40))},
    "domain": {"rp_id": "evil.example"},
    "nobody there": {"flags": UV},
    "another id": {"credential_id": b"another"},
    "key of an unknown algorithm": {"key": cbor({1: 2, 3: -36, -1: 3})},
    "key off the curve": {"key": cbor({1: 2, 3: ES256, -1: 1, -2: bytes(31) + b"\x01", -3: bytes(31) + b"\x01"})},
    "key with more in it": {"key": cbor({1: 1, 3: EDDSA, -1: 6, -2: bytes(32), -4: bytes(32)})},
    "key out of order": {"key": cbor({3: EDDSA, 1: 1, -1: 6, -2: bytes(32)})},
    "something behind": {"behind": b"\x00"},
    "none with a statement": {"statement": {"fmt": "none", "attStmt": {"sig": b"x"}}},
    "no statement": {"statement": {"fmt": "none"}},
    "not CBOR": {"attestation": b"\xff"},
    "CBOR that ends early": {"attestation": b"\xa3\x63fmt\x64none"},
    "CBOR of endless depth": {"attestation": b"\x81" * 20000},
    "CBOR that promises much": {"attestation": b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"},
}


@pytest.fixture(scope="module")
def registrant(server):
    add_user(server, "registrant")
    return sign_in(server, "registrant")


@pytest.mark.parametrize("fault", BAD_REGISTRATIONS)
def test_bad_registrations_are_refused(server, registrant, fault):
    refused = register(server, registrant, Browser(), Passkey(), **BAD_REGISTRATIONS[fault])
    assert refused.status in (400, 413) and refused.code in ("request.invalid", "server.limit_exceeded"), refused
    assert ask(server, "GET", WEBAUTHN + "/credentials", token=registrant).json()["credentials"] == []


def test_statements_are_passed_over(server):
    token, browser, _ = with_passkey(server, "attested", statement={"fmt": "packed", "attStmt": {"alg": ES256, "sig": bytes(70), "x5c": [bytes(400)]}})
    assert register(server, token, browser, Passkey(), statement={"fmt": "something new", "attStmt": {"a": [[{"b": True}]]}}).status == 201


def test_a_passkey_belongs_to_one_user_and_a_registration_to_its_beginner(server):
    first, browser, passkey = with_passkey(server, "owner")
    add_user(server, "thief")
    thief = sign_in(server, "thief")
    assert register(server, thief, Browser(), passkey).status == 409
    assert register(server, first, browser, passkey).status == 409
    begun = options(server, "/register/begin", {"password": PASSWORD}, first)
    stolen = ask(server, "POST", WEBAUTHN + "/register/finish", {"credential": Browser().create(begun, Passkey())}, token=thief)
    assert stolen.status == 400 and "not for this" in stolen.json()["error"]
    # A registration works once.
    begun = options(server, "/register/begin", {"password": PASSWORD}, first)
    assert ask(server, "POST", WEBAUTHN + "/register/finish", {"credential": browser.create(begun, Passkey())}, token=first).status == 201
    again = ask(server, "POST", WEBAUTHN + "/register/finish", {"credential": browser.create(begun, Passkey())}, token=first)
    assert again.status == 400 and "used before" in again.json()["error"]


def test_a_user_has_twenty_at_most(server):
    token, browser, _ = with_passkey(server, "many")
    for _ in range(19):
        assert register(server, token, browser, Passkey(EDDSA)).status == 201
    assert register(server, token, browser, Passkey(EDDSA)).status == 409


def test_registering_asks_again_who_it_is(server):
    """A sign-in of just now is enough; what is shown must be right all the same."""
    add_user(server, "again")
    token = sign_in(server, "again")
    assert ask(server, "POST", WEBAUTHN + "/register/begin", {}, token=token).status == 200
    assert ask(server, "POST", WEBAUTHN + "/register/begin", {"password": "wrong password"}, token=token).code == "auth.proof_required"
    assert ask(server, "POST", WEBAUTHN + "/register/begin", {"code": "123456"}, token=token).code == "auth.proof_required"


def test_removing_the_last_factor_lets_the_password_do_again(server):
    token, browser, passkey = with_passkey(server, "last")
    made = ask(server, "POST", "/mfa/recovery-codes", {"password": PASSWORD}, token=token)
    assert made.status == 200
    listed = ask(server, "GET", WEBAUTHN + "/credentials", token=token).json()["credentials"]
    assert ask(server, "DELETE", f"{WEBAUTHN}/credentials/{listed[0]['id']}", {"password": PASSWORD}, token=token).status == 204
    assert ask(server, "GET", "/mfa", token=token).json()["recovery_codes"] == 0
    sign_in(server, "last")
    assert enter(server, browser, passkey).status == 401


def test_both_kinds_of_factor(server):
    token, device = enrol(server, "both")
    browser, passkey = Browser(), Passkey()
    begun = options(server, "/register/begin", {"code": device.code()}, token)
    assert ask(server, "POST", WEBAUTHN + "/register/finish", {"credential": browser.create(begun, passkey)}, token=token).status == 201
    assert login(server, "both").json()["methods"] == ["totp", "webauthn"]
    assert enter(server, browser, passkey).status == 200
