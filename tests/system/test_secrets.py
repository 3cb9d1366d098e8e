# SPDX-License-Identifier: Apache-2.0
"""The secrets file, the master key, and the keys that sign tokens, as an operator meets them."""

import json
import os
import stat

import pytest
from test_audit import cli, everything_under, wait_entry

SECRET = "planted-jwt-secret-0123456789-abcdef-0123456789"


@pytest.fixture
def idle(make_server):
    """A folder in which no server has run yet."""
    return make_server(start=False, auth=True)


def data(server):
    return server.folder / "data"


def dump(server, **env):
    done = cli(server, "config", "dump", "--json", env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def set_secret(server, name="JWT_SECRET", value=SECRET):
    done = cli(server, "secret", "set", name, stdin=value + "\n")
    assert done.returncode == 0, done.stderr
    return done


def test_a_secret_is_used_where_nothing_else_gives_it(idle):
    assert SECRET not in set_secret(idle).stdout
    for name in ("secrets.enc", "master.key"):
        assert stat.S_IMODE(os.stat(data(idle) / name).st_mode) == 0o600
    row = dump(idle)["identity.jwt_secret"]
    assert row["source"] == "secrets file" and SECRET not in json.dumps(row)
    assert dump(idle, JWT_SECRET="x" * 40)["identity.jwt_secret"]["source"] == "environment JWT_SECRET"
    listed = json.loads(cli(idle, "secret", "list", "--json").stdout)
    assert listed == [{"name": "identity.jwt_secret", "bytes": len(SECRET)}]
    assert cli(idle, "secret", "get", "JWT_SECRET").returncode == 2
    assert cli(idle, "secret", "get", "identity.jwt_secret", "--reveal").stdout == SECRET + "\n"
    # The server signs with it.
    idle.start()
    assert idle.get("/.well-known/jwks.json").json() == {"keys": []}
    assert idle.stop() == 0
    assert cli(idle, "secret", "remove", "JWT_SECRET").returncode == 0
    assert cli(idle, "secret", "remove", "JWT_SECRET").returncode == 1
    assert dump(idle)["identity.jwt_secret"]["source"] == "default"
    events = [json.loads(line) for line in cli(idle, "audit", "export", "--event", "secret.changed").stdout.splitlines()]
    assert [(e["target"], e["details"]["what"]) for e in events] == [("secret:identity.jwt_secret", "removed")]
    places = everything_under(idle.folder)
    assert not [p for p, content in places.items() if SECRET.encode() in content] and SECRET not in idle.log_text(10000)


def test_what_cannot_be_a_secret_is_refused(idle):
    for name in ("http.port", "nothing", "identity.master_key"):
        done = cli(idle, "secret", "set", name, stdin="x\n")
        assert done.returncode == 2 and name in done.stderr, name
    assert cli(idle, "secret", "set", "JWT_SECRET", stdin="").returncode == 1
    assert not (data(idle) / "secrets.enc").exists()


def test_a_short_shared_secret_stops_the_start(idle):
    set_secret(idle, value="too-short-secret")
    idle.spawn()
    assert idle.wait_exit() == 1
    assert "has 16 bytes" in idle.log_text() and "too-short-secret" not in idle.log_text()


def test_a_damaged_or_foreign_file_stops_everything(idle):
    set_secret(idle)
    file, key = data(idle) / "secrets.enc", data(idle) / "master.key"
    good, master = file.read_bytes(), key.read_bytes()
    for position in (0, 20, len(good) // 2, len(good) - 1):
        bad = bytearray(good)
        bad[position] ^= 1
        file.write_bytes(bad)
        done = cli(idle, "config", "dump")
        assert done.returncode == 1 and "secrets file" in done.stderr and SECRET not in done.stderr, position
    file.write_bytes(good)
    key.write_text("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")
    done = cli(idle, "config", "dump")
    assert done.returncode == 1 and "sealed with the master key" in done.stderr
    key.unlink()
    done = cli(idle, "config", "dump")
    assert done.returncode == 1 and "master key is missing" in done.stderr
    assert cli(idle, "secret", "set", "JWT_SECRET", stdin="x" * 40).returncode == 1 and not key.exists()
    key.write_bytes(master)
    key.chmod(0o640)
    done = cli(idle, "config", "dump")
    assert done.returncode == 1 and "chmod 600" in done.stderr
    key.chmod(0o600)
    assert dump(idle)["identity.jwt_secret"]["source"] == "secrets file"


def test_a_new_master_key(make_server):
    server = make_server(auth=True)
    set_secret(server, "DB_PASSWORD", "planted-database-password")
    before = (data(server) / "master.key").read_text()
    done = cli(server, "secret", "rekey")
    assert done.returncode == 0, done.stderr
    assert "--finish" in done.stderr
    both = (data(server) / "master.key").read_text()
    assert both != before and both.endswith(before)
    # The running server goes on: it signs in, and reads what was sealed anew.
    assert cli(server, "signing-key", "rotate", "--now").returncode == 0
    wait_entry(server, event="secret.rekeyed")
    done = cli(server, "secret", "rekey", "--finish")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    after = (data(server) / "master.key").read_text()
    assert before not in after and len(after.splitlines()) == 1
    assert server.stop() == 0
    server.start()
    assert cli(server, "secret", "get", "DB_PASSWORD", "--reveal").stdout == "planted-database-password\n"
    assert json.loads(cli(server, "audit", "verify", "--json").stdout)["whole"]


def test_signing_keys_rotate(make_server):
    server = make_server(auth=True)
    kids = lambda: [k["kid"] for k in server.get("/.well-known/jwks.json").json()["keys"]]
    (first,) = kids()
    done = cli(server, "signing-key", "rotate", "--json")
    second = json.loads(done.stdout)["kid"]
    listed = {k["kid"]: k for k in json.loads(cli(server, "signing-key", "list", "--json").stdout)}
    assert (listed[first]["state"], listed[second]["state"]) == ("active", "next")
    from harness import wait_until
    wait_until(lambda: kids() == [first, second], what="the published key")
    assert cli(server, "signing-key", "rotate", "--now").returncode == 0
    listed = {k["kid"]: k for k in json.loads(cli(server, "signing-key", "list", "--json").stdout)}
    assert (listed[first]["state"], listed[second]["state"]) == ("retired", "active")
    assert kids() == [first, second]  # the old one verifies until its last token is expired
    assert server.get("/.well-known/jwks.json").headers["Cache-Control"] == "public, max-age=1800"
    assert "\"d\"" not in server.get("/.well-known/jwks.json").text
