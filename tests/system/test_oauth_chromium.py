# SPDX-License-Identifier: Apache-2.0
"""The pages in a real browser, by keyboard and with scripts off: what the headers allow and forbid is the browser's word."""

import json
import pathlib
import shutil
import subprocess
import urllib.parse

import pytest
from test_oauth import PASSWORD, User, free_port, register, start

SCRIPT = pathlib.Path(__file__).with_name("oauth_chromium.mjs")


@pytest.fixture
def server(binary, tmp_path):
    own = start(binary, tmp_path)
    try:
        yield own
    finally:
        own.stop()
        own.kill()


def test_signing_in_by_keyboard_without_scripts(server, tmp_path):
    chromium = shutil.which("chromium")
    if not chromium or not shutil.which("node"):
        pytest.skip("needs the packages chromium and nodejs")
    user, port = User(server), free_port()
    client = register(server, redirect_uris=[f"http://127.0.0.1:{port}/cb"])
    setup = {"authorize": server.url + client.authorize_path("openid predict"), "port": port, "user": user.name, "password": PASSWORD}
    done = subprocess.run(["node", "--no-warnings", "--experimental-websocket", SCRIPT, chromium, tmp_path / "profile"], input=json.dumps(setup),
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["callback"], seen
    answer = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(seen["callback"]).query))
    assert answer["state"] == client.state and answer["iss"] == server.url
    assert client.redeem(answer["code"]).status == 200
    assert not [c for c in seen["complaints"] if "favicon" not in c and "404" not in c], seen
