# SPDX-License-Identifier: Apache-2.0
"""Passkeys of others: an emulator of browser and authenticator (npm nid-webauthn-emulator), Chromium's virtual authenticator, and another
relying party (npm @simplewebauthn/server) that has to think the same of every answer."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from authenticator import BS, EDDSA, ES256, RS256, UP, UV, Browser, Passkey, b64, cbor
from chromium import Chromium
from harness import ROOT, Server
from test_mfa import FAST, PASSWORD, add_user, ask, first_step, second_step, sign_in
from test_webauthn import WEBAUTHN, enter, finish, options, register

ORIGIN = "http://localhost:8080"


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory):
    own = Server(binary, tmp_path_factory.mktemp("peers"), *FAST, auth=True)
    try:
        own.start()
        yield own
        assert own.stop() == 0
    finally:
        own.kill()


class Peer:
    def __init__(self):
        self.process = subprocess.Popen(["node", str(Path(__file__).with_name("webauthn_peer.mjs"))], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def __call__(self, operation, **fields):
        self.process.stdin.write(json.dumps({"operation": operation, **fields}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def ok(self, operation, **fields):
        answer = self(operation, **fields)
        assert "ok" in answer, answer
        return answer["ok"]


@pytest.fixture(scope="module")
def peer():
    if shutil.which("node") is None or not (ROOT / "node_modules" / "nid-webauthn-emulator").is_dir():
        pytest.skip("npm packages are not installed: npm ci --ignore-scripts")
    own = Peer()
    yield own
    own.process.stdin.close()
    assert own.process.wait(20) == 0


# --- The emulator -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["ES256", "EdDSA", "RS256"])
def test_the_emulator_registers_and_signs_in(server, peer, alg):
    user = f"emulated-{alg.lower()}"
    add_user(server, user)
    token = sign_in(server, user)
    begun = options(server, "/register/begin", {"password": PASSWORD}, token)
    made = peer.ok("create", name=alg, algorithms=[alg], origin=ORIGIN, options=begun)
    answer = ask(server, "POST", WEBAUTHN + "/register/finish", {"credential": made, "name": alg}, token=token)
    assert answer.status == 201, answer
    # Alone, as a second factor, and as a proof.
    done = finish(server, peer.ok("get", name=alg, origin=ORIGIN, options=options(server, "/login/begin")))
    assert done.status == 200 and done.json()["user"]["username"] == user, done
    mfa_token = first_step(server, user)
    assertion = peer.ok("get", name=alg, origin=ORIGIN, options=options(server, "/login/begin", {"mfa_token": mfa_token}))
    assert second_step(server, mfa_token, "webauthn", assertion=assertion).status == 200
    assertion = peer.ok("get", name=alg, origin=ORIGIN, options=options(server, "/challenge", token=token))
    assert ask(server, "POST", "/mfa/recovery-codes", {"assertion": assertion}, token=token).status == 200
    # It refuses to make a second one on the same authenticator, because the options name the first.
    again = peer("create", name=alg, origin=ORIGIN, options=options(server, "/register/begin", {"password": PASSWORD}, token))
    assert "error" in again


def test_the_emulator_on_another_page_gets_nothing(server, peer):
    add_user(server, "elsewhere")
    token = sign_in(server, "elsewhere")
    begun = options(server, "/register/begin", {"password": PASSWORD}, token)
    made = peer.ok("create", name="away", origin="http://localhost:9090", options=begun)  # the domain allows it, the origin not
    refused = ask(server, "POST", WEBAUTHN + "/register/finish", {"credential": made}, token=token)
    assert refused.status == 400 and "origin" in refused.json()["error"]
    begun = options(server, "/register/begin", {"password": PASSWORD}, token)
    made = peer.ok("create", name="away2", origin=ORIGIN, options=begun)
    assert ask(server, "POST", WEBAUTHN + "/register/finish", {"credential": made}, token=token).status == 201
    refused = finish(server, peer.ok("get", name="away2", origin="http://localhost:9090", options=options(server, "/login/begin")))
    assert refused.status == 401 and "origin" in refused.json()["error"]


# --- Another relying party --------------------------------------------------------------------------------

SIGN_INS = {
    "honest": {}, "origin": {"origin": "https://evil.example"}, "type": {"type": "webauthn.create"}, "domain": {"rp_id": "evil.example"},
    "nobody there": {"flags": UV}, "not verified": {"flags": UP}, "signature": {"signed": b"x"}, "challenge": {"challenge": b64(bytes(64))},
    "counter": {"count": 1}, "backups": {"flags": UP | UV | BS},
}


@pytest.mark.parametrize("alg", [ES256, EDDSA, RS256])
def test_another_relying_party_decides_alike_at_the_sign_in(server, peer, alg):
    user = f"judged{-alg}"
    add_user(server, user)
    browser, passkey = Browser(), Passkey(alg)
    token = sign_in(server, user)
    begun = options(server, "/register/begin", {"password": PASSWORD}, token)
    made = browser.create(begun, passkey)
    assert ask(server, "POST", WEBAUTHN + "/register/finish", {"credential": made}, token=token).status == 201
    key = peer.ok("registration", response=made, challenge=begun["challenge"], origin=ORIGIN, rpId="localhost")["key"]
    assert enter(server, browser, passkey, count=5).status == 200
    for case, bent in SIGN_INS.items():
        begun = options(server, "/login/begin")
        assertion = browser.get(begun, passkey, **({"count": 6} | bent if case == "honest" else {"count": 7} | bent))
        theirs = peer("authentication", response=assertion, challenge=begun["challenge"], origin=ORIGIN, rpId="localhost", key=key,
                      counter=5 if case == "honest" else 6)
        ours = finish(server, assertion).status == 200
        assert ours == (case == "honest") == bool(theirs.get("ok", {}).get("verified")), (case, theirs)


REGISTRATIONS = {
    "honest": {}, "origin": {"origin": "https://evil.example"}, "type": {"type": "webauthn.get"}, "domain": {"rp_id": "evil.example"},
    "nobody there": {"flags": UV}, "challenge": {"challenge": b64(bytes(64))}, "behind": {"behind": b"\x00"},
    "algorithm": {"key": cbor({1: 2, 3: -36, -1: 3, -2: bytes(66), -3: bytes(66)})}, "not CBOR": {"attestation": b"\xff"},
    "none with a statement": {"statement": {"fmt": "none", "attStmt": {"sig": b"x"}}},
}


def test_another_relying_party_decides_alike_at_the_registration(server, peer):
    add_user(server, "registered")
    token = sign_in(server, "registered")
    for case, bent in REGISTRATIONS.items():
        begun = options(server, "/register/begin", {"password": PASSWORD}, token)
        made = Browser().create(begun, Passkey(), **bent)
        theirs = peer("registration", response=made, challenge=begun["challenge"], origin=ORIGIN, rpId="localhost")
        ours = ask(server, "POST", WEBAUTHN + "/register/finish", {"credential": made}, token=token).status == 201
        assert ours == (case == "honest") == bool(theirs.get("ok", {}).get("verified")), (case, theirs)


# --- A real browser -----------------------------------------------------------------------------------------

CREATE = """async (options) => (await navigator.credentials.create(
    {publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options)})).toJSON()"""
GET = """async (options) => (await navigator.credentials.get(
    {publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options)})).toJSON()"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium")
    own = Chromium(program, tmp_path_factory.mktemp("chromium"))
    try:
        yield own
    finally:
        own.close()


def test_chromium_registers_and_signs_in(binary, tmp_path, free_port, chromium):
    origin = f"http://localhost:{free_port}"
    server = Server(binary, tmp_path / "own", *FAST, f"--identity.issuer={origin}", auth=True, listen=(f"127.0.0.1:{free_port}",))
    try:
        server.start()
        add_user(server, "chromium")
        token = sign_in(server, "chromium")
        page = chromium.page(f"{origin}/health/live")
        page.virtual_authenticator()
        begun = options(server, "/register/begin", {"password": PASSWORD}, token)
        made = page.call(CREATE, begun)
        answer = ask(server, "POST", WEBAUTHN + "/register/finish", {"credential": made, "name": "Chromium"}, token=token)
        assert answer.status == 201 and answer.json()["user_verified"] is True, answer
        done = finish(server, page.call(GET, options(server, "/login/begin")))
        assert done.status == 200 and done.json()["user"]["username"] == "chromium", done
        mfa_token = first_step(server, "chromium")
        assertion = page.call(GET, options(server, "/login/begin", {"mfa_token": mfa_token}))
        assert second_step(server, mfa_token, "webauthn", assertion=assertion).status == 200
        # The authenticator forgets whom it is: the server believes it no more.
        page.verify_user(False)
        begun = options(server, "/login/begin")
        begun["userVerification"] = "discouraged"
        assert finish(server, page.call(GET, begun)).status == 401
        assert server.stop() == 0
    finally:
        server.kill()
