# SPDX-License-Identifier: Apache-2.0
"""The OAuth provider through npm openid-client and oauth4webapi: tests/conformance/oauth_interop.mjs against the real server."""

import json
import pathlib
import shutil
import subprocess

import pytest
from test_oauth import DEVICE_CODE, PASSWORD, User, admin, register, start

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODULES = ROOT / "node_modules"


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256", "secret"])
def test_other_peoples_clients(binary, tmp_path, algorithm):
    if not shutil.which("node") or not (MODULES / "openid-client").is_dir():
        pytest.skip("needs Node.js and the packages of package-lock.json: npm ci --ignore-scripts")
    env = {"JWT_SECRET": "0123456789abcdef0123456789abcdef"} if algorithm == "secret" else {}
    args = [] if algorithm == "secret" else [f"--identity.algorithm={algorithm}"]
    own = start(binary, tmp_path, *args, env=env)
    try:
        user = User(own, email="ada@example.com", display_name="Ada")
        key = json.loads(subprocess.run(
            ["node", "-e", "const {privateKey} = require('crypto').generateKeyPairSync('ec', {namedCurve: 'P-256'}); console.log(JSON.stringify(privateKey.export({format: 'jwk'})))"],
            capture_output=True, check=True, text=True).stdout)
        public = {**{k: v for k, v in key.items() if k != "d"}, "alg": "ES256", "kid": "k1"}
        scope = "openid profile email offline_access predict models.read"
        made = {
            "web": register(own, name="Web", scope=scope, post_logout_redirect_uris=["https://app.example/bye"]),
            "post": register(own, name="Post", scope=scope),
            "native": register(own, name="Native", scope=scope, confidential=False, redirect_uris=["http://127.0.0.1/cb"]),
            "machine": register(own, name="Machine", scope="models.read", grant_types=["client_credentials"], redirect_uris=[]),
            "keyed": register(own, name="Keyed", scope="models.read", grant_types=["client_credentials"], redirect_uris=[], jwks={"keys": [public]}),
            "device": register(own, name="Device", scope=scope, confidential=False, grant_types=[DEVICE_CODE, "refresh_token"], redirect_uris=[]),
        }
        clients = {name: {"id": c.id, "secret": c.secret, "redirect": c.redirect} for name, c in made.items()}
        clients["web"]["logout"] = "https://app.example/bye"
        clients["native"]["redirect"] = "http://127.0.0.1:51234/cb"
        clients["keyed"]["key"] = key
        setup = {"server": own.url, "user": user.name, "user_id": user.id, "email": "ada@example.com", "password": PASSWORD, "audience": "mainstay", "clients": clients}
        done = subprocess.run(["node", "--no-warnings", ROOT / "tests/conformance/oauth_interop.mjs", MODULES], input=json.dumps(setup), capture_output=True, text=True, timeout=240)
        lines = done.stdout.splitlines()
        bad = [line for line in lines if line.startswith("not ok")]
        # With a shared secret nobody else can verify an access token: that test alone fails, as it must.
        expected = [line for line in bad if "RFC 9068" in line] if algorithm == "secret" else []
        assert bad == expected and len([line for line in lines if line.startswith("ok ")]) + len(expected) == int(lines[0].removeprefix("1..")), done.stdout + done.stderr
        assert algorithm != "secret" or expected
    finally:
        own.stop()
        own.kill()
