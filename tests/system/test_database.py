# SPDX-License-Identifier: Apache-2.0
"""The database of an installation: where it is, migrations from the command line, a server that goes and comes back, secrets."""

import json
import pathlib
import subprocess
import time
import urllib.parse

import pytest
from program import binary, clean_environment, free_port, run, start_server  # noqa: F401  (fixtures)

PROGRAM = pathlib.Path(__file__).resolve().parents[1] / "lib" / "postgres"
PASSWORD = "se%cret/word"
SECRETS = (PASSWORD, "se%25cret%2Fword", "cret/word", "cret%2Fword")


class Postgres:
    def __init__(self):
        self.process = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer, f"the PostgreSQL of the tests did not answer to {command}"
        return answer

    def end(self):
        self.process.stdin.close()
        self.process.wait(30)


@pytest.fixture(scope="module")
def postgres():
    server = Postgres()
    yield server
    server.end()


def states(run, env=None):
    result = run("migrate", "status", "--json", env=env)
    assert result.returncode == 0, result.stderr
    return sorted((s["module"], s["version"], s["state"], s["applied"] is not None) for s in json.loads(result.stdout))


def are_all(found, state):
    """Every step of every module is in that state."""
    assert {module for module, *_ in found} >= {"store", "auth", "bus"}
    return all(s == state and at == (state == "applied") for _, _, s, at in found)


def no_secret_in(*texts):
    for text in texts:
        for secret in SECRETS:
            assert secret not in text


def test_embedded_database_is_made_by_migrate_up(run, tmp_path):
    steps = states(run)
    assert are_all(steps, "pending")
    assert list(tmp_path.iterdir()) == []  # looking makes nothing
    result = run("migrate", "up")
    assert (result.returncode, result.stdout) == (0, f"applied {len(steps)} migrations to sqlite file mainstay.db\n")
    file = tmp_path / "mainstay-data" / "mainstay.db"
    assert file.stat().st_mode & 0o777 == 0o600
    assert are_all(states(run), "applied")
    assert run("migrate", "up").stdout == "sqlite file mainstay.db has all migrations\n"
    assert run("migrate", "up", "--json").stdout == '{"applied":0}\n'
    table = run("migrate", "status").stdout.splitlines()
    assert table[0].split() == ["MODULE", "VERSION", "STATE", "APPLIED", "NAME"]
    assert {("auth", "1", "applied"), ("bus", "1", "applied"), ("store", "1", "applied")} <= {tuple(line.split()[:3]) for line in table[1:]}
    assert len(table) == len(steps) + 1


def test_embedded_database_is_migrated_at_the_start(start_server, run, tmp_path):
    path = tmp_path / "own.db"
    env = {"DATABASE_URL": f"sqlite:{path}"}
    server = start_server(env=env)
    assert server.get_json("/health")["checks"]["store"] == {"status": "healthy", "message": "sqlite"}
    assert are_all(states(run, env), "applied")  # while the server has it open
    server.stop()
    never = run("run", "--port", "0", env={"DATABASE_URL": f"sqlite:{tmp_path}/other.db", "MAINSTAY_STORE_MIGRATE": "never"})
    assert never.returncode == 1
    assert "mainstay migrate up" in never.stderr


def test_a_file_that_is_no_database_stops_the_start(run, start_server, tmp_path):
    (tmp_path / "letter.db").write_text("Dear reader, this is no database. " * 30)
    env = {"DATABASE_URL": f"sqlite:{tmp_path}/letter.db"}
    for args in (("migrate", "up"), ("migrate", "status"), ("run", "--port", "0")):
        result = run(*args, env=env)
        assert result.returncode == 1
        assert "not a database" in result.stderr
    assert (tmp_path / "letter.db").read_text().startswith("Dear reader")


def test_one_file_does_not_serve_several_replicas(run):
    result = run("config", "check", env={"MAINSTAY_REPLICAS": "3", "DATABASE_URL": "sqlite:a.db"})
    assert result.returncode == 1
    assert "replicas: 3 replicas cannot share the embedded database" in result.stderr
    assert run("config", "check", env={"MAINSTAY_REPLICAS": "3", "DB_HOST": "db.example"}).returncode == 0
    assert run("config", "check", env={"MAINSTAY_REPLICAS": "3"}).returncode == 1  # identity needs the database
    assert run("config", "check", env={"MAINSTAY_REPLICAS": "3", "MAINSTAY_AUTH": "off"}).returncode == 0  # nothing does
    result = run("config", "check", env={"MAINSTAY_STORE_CONNECTIONS_MIN": "9", "MAINSTAY_STORE_CONNECTIONS_MAX": "4", "DB_HOST": "a"})
    assert "store.connections_min: 9 is more than" in result.stderr


def test_postgres_waits_for_migrate_up(run, start_server, postgres):
    env = {"DATABASE_URL": postgres.ask("database")}
    refused = run("run", "--port", "0", env=env)
    assert refused.returncode == 1
    assert f"lacks {len(states(run, env))} migrations" in refused.stderr and "mainstay migrate up" in refused.stderr
    applied = run("migrate", "up", env=env)
    assert applied.returncode == 0 and " migrations to postgres 127.0.0.1:" in applied.stdout
    assert are_all(states(run, env), "applied")
    server = start_server(env=env)
    assert server.get_json("/health")["checks"]["store"] == {"status": "healthy", "message": "postgres"}
    command = pathlib.Path(f"/proc/{server.process.pid}/cmdline").read_bytes().decode()
    dump = run("config", "dump", env=env).stdout
    server.stop()
    no_secret_in(refused.stderr, applied.stdout, applied.stderr, server.log, command, dump)
    assert "[set]" in dump


def test_postgres_from_its_parts_migrates_when_told_to(run, start_server, postgres, tmp_path):
    url = urllib.parse.urlsplit(postgres.ask("database"))
    (tmp_path / "password").write_text(PASSWORD + "\n")
    env = {"DB_HOST": url.hostname, "DB_PORT": url.port, "DB_NAME": url.path[1:], "DB_USER": url.username,
           "DB_PASSWORD_FILE": tmp_path / "password", "MAINSTAY_STORE_MIGRATE": "always"}
    server = start_server(env=env)
    assert server.get_json("/health")["checks"]["store"]["status"] == "healthy"
    assert are_all(states(run, env), "applied")
    server.stop()
    no_secret_in(server.log)
    wrong = run("migrate", "status", env={**env, "DB_PASSWORD_FILE": "/dev/null", "DB_PASSWORD": "hunter2"})
    assert wrong.returncode == 1 and "hunter2" not in wrong.stderr


def test_a_wrong_password_is_said_but_not_shown(run, postgres):
    url = postgres.ask("database").replace("se%25cret%2Fword", "hunter2")
    result = run("migrate", "up", env={"DATABASE_URL": url})
    assert result.returncode == 1
    assert "password authentication failed" in result.stderr and "hunter2" not in result.stderr


def test_a_server_that_goes_away_degrades_and_comes_back(start_server, postgres):
    server = start_server(env={"DATABASE_URL": postgres.ask("database"), "MAINSTAY_STORE_MIGRATE": "always"})

    def check(status, seconds=10):
        end = time.monotonic() + seconds
        while (found := server.get_json("/health")["checks"]["store"])["status"] != status:
            assert time.monotonic() < end, found
            time.sleep(0.05)
        return found

    def metric(name):
        lines = server.request("GET", "/metrics")[2].decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(name + " "))

    check("healthy")
    assert metric("store_up") == 1
    postgres.ask("stop")
    try:
        assert check("degraded")["message"] == "postgres: does not answer; see the log"
        assert metric("store_up") == 0
        assert server.get_json("/health/live")
    finally:
        postgres.ask("start")
    check("healthy")
    end = time.monotonic() + 10
    while metric("store_connections") != 5:  # as many as stay open
        assert time.monotonic() < end
        time.sleep(0.05)
    server.stop()
    messages = [line["message"] for line in server.log_lines()]
    assert messages.count("the database does not answer") == 1
    assert messages.count("the database answers again") == 1
    no_secret_in(server.log)
