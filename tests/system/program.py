# SPDX-License-Identifier: Apache-2.0
"""The real program, started the way a user starts it: fixtures that a test file imports by name.

Run with Debian's Python: /usr/bin/python3 -m pytest tests/system
MAINSTAY_BIN names the program; without it build/release/mainstay is taken.
"""

import http.client
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_SECONDS = 30  # a loaded machine is slow; a working program is ready in a fraction of it
STOP_SECONDS = 40  # above the default of http.drain_timeout


@pytest.fixture(scope="session")
def binary():
    path = pathlib.Path(os.environ.get("MAINSTAY_BIN", ROOT / "build" / "release" / "mainstay")).resolve()
    if not path.is_file():
        pytest.exit(f"{path} is missing: build it, or set MAINSTAY_BIN", returncode=3)
    return path


def clean_environment(**extra):
    """The environment without anything that is a setting, so that a test sees the defaults."""
    drop = ("PORT", "LOG_LEVEL", "MODEL_PATH", "MEMORY_LIMIT", "DATABASE_URL", "DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD")
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith("MAINSTAY_") and k not in drop and k.removesuffix("_FILE") not in drop
    }
    kept.update({k: str(v) for k, v in extra.items()})
    return kept


@pytest.fixture
def run(binary, tmp_path):
    """run("config", "dump", env={…}, stdin=b"…") in an empty folder; gives the completed process, output as text."""

    def call(*args, env=None, stdin=None, text=True, cwd=None, **kwargs):
        return subprocess.run(
            [binary, *args],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            env=clean_environment(**(env or {})),
            cwd=cwd or tmp_path,
            timeout=60,
            text=text,
            **kwargs,
        )

    return call


@pytest.fixture
def free_port():
    """Ports that nobody listens on. Taken and given back, so a clash is possible but unlikely."""
    taken = []

    def pick():
        s = socket.socket()
        s.bind(("127.0.0.1", 0))
        taken.append(s)
        return s.getsockname()[1]

    ports = [pick() for _ in range(8)]
    for s in taken:
        s.close()
    return iter(ports).__next__


def group_members(pgid):
    """Processes of the group that are not zombies: what a program left behind."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue  # it has just ended
        state, _, group = text.rpartition(")")[2].split()[:3]
        if int(group) == pgid and state != "Z":
            found.append(int(stat.parent.name))
    return found


class Server:
    """A running `mainstay run`: its address, its log, small HTTP helpers, and a stop that checks how it ended."""

    def __init__(self, binary, folder, port, args, env):
        self.port = port
        self.folder = folder
        self.data_dir = folder / "data"
        self.log_path = folder / "server.log"
        self.command = [
            binary,
            "run",
            f"--listen=127.0.0.1:{port}",
            f"--data-dir={self.data_dir}",
            "--log-format=json",
            *args,
        ]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_environment(**{"MAINSTAY_AUTH": "off", **env}),
                cwd=folder,
                start_new_session=True,  # its own group, so that what it leaves behind can be found
            )
        self.exited = os.pidfd_open(self.process.pid)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def log_lines(self):
        """The log as objects; a line that is no JSON object fails the test."""
        return [json.loads(line) for line in self.log.splitlines() if line]

    def request(self, method, path, body=None, headers=None):
        """One request on a connection of its own: (status, headers, body bytes)."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            headers = {"Content-Type": "application/json", **(headers or {})}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def get_json(self, path):
        status, _, body = self.request("GET", path)
        assert status == 200, (status, body)
        return json.loads(body)

    def wait_until_ready(self, seconds=START_SECONDS):
        """Polls /health/ready; the end of the process ends the wait at once."""
        deadline = time.monotonic() + seconds
        last = "no answer yet"
        while time.monotonic() < deadline:
            try:
                status, _, body = self.request("GET", "/health/ready")
                if status == 200:
                    return self
                last = f"{status} {body[:200]!r}"
            except (OSError, http.client.HTTPException) as e:
                last = repr(e)
            # The pause ends early when the process does.
            if select.select([self.exited], [], [], 0.02)[0]:
                pytest.fail(f"mainstay ended with {self.process.wait()} before it was ready:\n{self.log}")
        pytest.fail(f"mainstay was not ready after {seconds} s ({last}):\n{self.log}")

    def stop(self, expect=0, signum=signal.SIGTERM, seconds=STOP_SECONDS):
        """Ends it and checks exit status and leftovers. Safe to call twice."""
        if self.exited is None:
            return
        self.process.send_signal(signum)
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"mainstay did not end within {seconds} s of signal {signum}:\n{self.log}")
        os.close(self.exited)
        self.exited = None
        left = group_members(self.process.pid)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left, f"processes left behind: {left}"
        assert status == expect, f"exit status {status}, expected {expect}:\n{self.log}"

    def kill(self):
        """kill -9 of the whole group, as a crash."""
        if self.exited is None:
            return
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.exited)
        self.exited = None


@pytest.fixture
def start_server(binary, tmp_path, free_port):
    """start_server("--model", path, env={…}) starts `mainstay run` on a free port and waits until it is ready. What the test
    did not stop is stopped afterwards, and must end well."""
    running = []

    def start(*args, env=None, wait=True, folder=None):
        folder = folder or tmp_path / f"server{len(running)}"
        folder.mkdir(parents=True, exist_ok=True)
        one = Server(binary, folder, free_port(), [str(a) for a in args], env or {})
        running.append(one)
        return one.wait_until_ready() if wait else one

    yield start
    failures = []
    for one in running:
        try:
            one.stop()
        except BaseException as e:  # every server must be ended before the first failure is told
            one.kill()
            failures.append(e)
    if failures:
        raise failures[0]
