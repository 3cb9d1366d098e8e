# SPDX-License-Identifier: Apache-2.0
"""What the system tests share: the server as a process, raw HTTP over a socket, small models, and checks of answers."""

import collections
import ctypes
import datetime
import hashlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
GOLDEN = ROOT / "tests" / "golden"
EXAMPLE_MODELS = EXAMPLES / "models"
EXAMPLE_NAMES = ("breast-cancer", "penguins", "wine")
START_SECONDS = 20
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
ANSWER_SECONDS = 20

sys.path.insert(0, str(GOLDEN))
import goldenfile  # noqa: E402  (the reader that wrote the golden files)


def find_binary():
    """The program under test: MAINSTAY_BIN, or what the build folders hold."""
    named = os.environ.get("MAINSTAY_BIN")
    candidates = [Path(named)] if named else [ROOT / "build" / kind / "mainstay" for kind in ("release", "debug", "asan")]
    candidates += [] if named else [ROOT / "build" / kind / "src" / "app" / "mainstay" for kind in ("release", "debug", "asan")]
    for path in candidates:
        if path.is_file():
            return path.resolve()
    raise FileNotFoundError(f"no mainstay program at {', '.join(map(str, candidates))}; build it or set MAINSTAY_BIN")


def wait_until(condition, seconds=ANSWER_SECONDS, what="the condition", pause=0.01):
    """Returns the first true value of condition(); fails when there is none in time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(pause)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


# --- The server ---------------------------------------------------------------------------------------


def clean_environment(extra=None):
    """The caller's environment without anything that the server would read as a setting."""
    dropped = ("PORT", "LOG_LEVEL", "MODEL_PATH", "MEMORY_LIMIT", "DATABASE_URL", "DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD")
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAINSTAY_") and k not in dropped}
    env.update(extra or {})
    return env


class Server:
    """One `mainstay run`. Its log is read as it comes; everything it owns lives under `folder`.

    Nobody is asked who he is, unless `auth` is set: then requests carry the first administrator's key (self.admin_key), if not told otherwise.
    """

    def __init__(self, binary, folder, *args, models=None, env=None, listen=("127.0.0.1:0",), limits=None, cwd=None, auth=False):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.models = Path(models) if models else self.folder / "models"
        self.models.mkdir(parents=True, exist_ok=True)
        self.args = [str(binary), "run", "--data-dir", str(self.folder / "data"), "--models", str(self.models)]
        for address in listen:
            self.args += ["--listen", address] if len(listen) == 1 else []
        if len(listen) > 1:
            self.args += ["--listen", ",".join(listen)]
        self.args += [str(a) for a in args]
        self.listen = listen
        self.log = []  # lines as dictionaries; text that is not JSON under "text"
        self.auth = auth
        self.env = clean_environment({"MAINSTAY_AUTH": "on" if auth else "off", **(env or {})})
        self.limits = limits or {}
        self.cwd = cwd or self.folder
        self.session = requests.Session()
        self.session.trust_env = False
        self.process = None
        self.changed = threading.Condition()
        self.ended = False

    # Starting and stopping

    def spawn(self):
        def prepare():
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a test run that is killed leaves no server behind
            for name, value in self.limits.items():
                resource.setrlimit(name, value)

        self.log = []
        self.ended = False
        self.process = subprocess.Popen(
            self.args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=self.env,
            cwd=self.cwd, preexec_fn=prepare)
        self.reader = threading.Thread(target=self.read_log, args=(self.process.stderr,), daemon=True)
        self.reader.start()
        return self

    def start(self, ready=True):
        self.spawn()
        self.wait_log(lambda line: line.get("message") == "listening", START_SECONDS, "log line 'listening'")
        if self.auth and self.admin_key:
            self.session.headers["X-API-Key"] = self.admin_key
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=START_SECONDS):
        wait_until(lambda: self.status("/health/ready") == 200, seconds, "/health/ready to be 200")

    def read_log(self, stream):
        for raw in stream:
            text = raw.decode("utf-8", "replace").rstrip("\n")
            try:
                line = json.loads(text)
                if not isinstance(line, dict):
                    line = {"text": text}
            except ValueError:
                line = {"text": text}
            with self.changed:
                self.log.append(line)
                self.changed.notify_all()
        stream.close()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait_log(self, matches, seconds=ANSWER_SECONDS, what="log line", after=0):
        """The first log line (from index `after`) that matches; fails at the end of the log or of the time."""
        end = time.monotonic() + seconds
        with self.changed:
            at = after
            while True:
                while at < len(self.log):
                    if matches(self.log[at]):
                        return self.log[at]
                    at += 1
                left = end - time.monotonic()
                if self.ended or left <= 0:
                    reason = "the server ended" if self.ended else f"not within {seconds} s"
                    raise AssertionError(f"{what}: {reason}; log:\n{self.log_text()}")
                self.changed.wait(left)

    def log_text(self, last=40):
        return "\n".join(line.get("text") or json.dumps(line) for line in self.log[-last:])

    def bound(self):
        """All (address, port) of the log."""
        return [(line.get("server.address"), line.get("server.port")) for line in list(self.log)
                if line.get("message") == "listening"]

    @property
    def port(self):
        for _, port in self.bound():
            if port:
                return int(port)
        raise AssertionError(f"no port in the log:\n{self.log_text()}")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    @property
    def admin_key(self):
        """Of the first administrator; None where there is none."""
        file = self.folder / "data" / "admin.key"
        return file.read_text().strip() if file.exists() else None

    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, seconds=ANSWER_SECONDS):
        status = self.process.wait(seconds)
        self.reader.join(seconds)
        return status

    def stop(self, seconds=ANSWER_SECONDS):
        """SIGTERM; the exit status."""
        if not self.running():
            return self.process.returncode if self.process else None
        self.session.close()
        self.signal(signal.SIGTERM)
        try:
            return self.wait_exit(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server did not end within {seconds} s of SIGTERM; log:\n{self.log_text()}") from None

    def kill(self):
        if self.running():
            self.process.kill()
        if self.process is not None:
            self.process.wait()
            self.reader.join(ANSWER_SECONDS)

    # Asking

    def request(self, method, path, **options):
        options.setdefault("timeout", ANSWER_SECONDS)
        return self.session.request(method, self.url + path, **options)

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body=None, **options):
        return self.request("POST", path, json=body, **options) if body is not None else self.request("POST", path, **options)

    def put(self, path, data=None, **options):
        return self.request("PUT", path, data=data, **options)

    def delete(self, path, **options):
        return self.request("DELETE", path, **options)

    def status(self, path):
        try:
            return self.get(path).status_code
        except requests.RequestException:
            return None

    def predict(self, model, features, **fields):
        return self.post("/api/v1/predict", {"model": model, "features": features, **fields})

    def predictions(self, model, features, **fields):
        answer = self.predict(model, features, **fields)
        assert answer.status_code == 200, answer.text
        return answer.json()["predictions"]

    def wait_model(self, name, version=None, seconds=ANSWER_SECONDS):
        """Waits until the model (and that version) answers as ready."""
        path = f"/v2/models/{name}" + (f"/versions/{version}" if version else "") + "/ready"
        wait_until(lambda: self.status(path) == 200, seconds, f"{path} to be 200")

    def connect(self, timeout=ANSWER_SECONDS):
        return Connection(socket.create_connection(("127.0.0.1", self.port), timeout=timeout))

    # The process

    def memory(self):
        """Resident bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


# --- HTTP over a raw socket -----------------------------------------------------------------------------


class Closed(Exception):
    """The server closed the connection where an answer was due."""


class Answer:
    def __init__(self, status, reason, headers, body, version="HTTP/1.1"):
        self.status = status
        self.reason = reason
        self.headers = headers  # list of (name, value)
        self.body = body
        self.version = version

    def header(self, name, default=None):
        values = [v for n, v in self.headers if n.lower() == name.lower()]
        return values[0] if values else default

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Connection:
    """A client that sends exactly the bytes it is told and reads answers strictly."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))
        return self

    def try_send(self, data):
        """Sends what the server still takes: it may refuse and close in the middle."""
        try:
            self.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def receive(self):
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return bool(data)

    def read_until(self, mark):
        while mark not in self.buffer:
            if not self.receive():
                raise Closed(f"closed after {self.buffer[:200]!r}")
        head, _, self.buffer = self.buffer.partition(mark)
        return head

    def read_exactly(self, count):
        while len(self.buffer) < count:
            if not self.receive():
                raise Closed(f"closed with {len(self.buffer)} of {count} body bytes")
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def answer(self, method="GET"):
        """The next final or interim answer."""
        head = self.read_until(b"\r\n\r\n").decode("latin-1")
        line, *fields = head.split("\r\n")
        match = re.fullmatch(r"(HTTP/1\.[01]) ([1-5]\d\d) ?(.*)", line)
        assert match, f"not a status line: {line!r}"
        headers = []
        for entry in fields:
            name, colon, value = entry.partition(":")
            assert colon and name and name == name.strip(), f"bad header line {entry!r}"
            headers.append((name, value.strip()))
        answer = Answer(int(match[2]), match[3], headers, b"", match[1])
        if method == "HEAD" or answer.status < 200 or answer.status in (204, 304):
            return answer
        lengths, coding = answer.all("Content-Length"), answer.header("Transfer-Encoding")
        assert not (lengths and coding), "both Content-Length and Transfer-Encoding"
        assert len(lengths) <= 1, "more than one Content-Length"
        if coding:
            assert coding.lower() == "chunked"
            answer.body = self.read_chunked()
        elif lengths:
            answer.body = self.read_exactly(int(lengths[0]))
        else:
            while self.receive():
                pass
            answer.body, self.buffer = self.buffer, b""
        return answer

    def read_chunked(self):
        body = b""
        while True:
            size = int(self.read_until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                while self.read_until(b"\r\n"):
                    pass
                return body
            body += self.read_exactly(size)
            assert self.read_exactly(2) == b"\r\n"

    def ask(self, data, method="GET"):
        return self.send(data).answer(method)

    def at_end(self, seconds=ANSWER_SECONDS):
        """The server closes without sending anything more. A reset counts as closing."""
        self.sock.settimeout(seconds)
        try:
            while self.receive():
                pass
        except (TimeoutError, socket.timeout):
            return False
        return self.buffer == b""


def descriptors_allowed(count):
    """Lets this process open that many files, or skips the test; returns the limits as they were."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = max(soft, count)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (want, max(hard, want)))
    except (ValueError, OSError) as error:
        pytest.skip(f"cannot open {count} files here: {error}")
    return soft, hard


def raw_request(method, path, body=b"", headers=(), host="localhost", version="HTTP/1.1"):
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
    lines = [f"{method} {path} {version}", f"Host: {host}", *headers]
    if body or method in ("POST", "PUT"):
        lines.append(f"Content-Length: {len(body)}")
        if not any(h.lower().startswith("content-type") for h in headers):
            lines.append("Content-Type: application/json")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


# --- Checks -----------------------------------------------------------------------------------------------

TIME_PATTERN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def check_time(text):
    """An RFC 3339 time in UTC, of now."""
    assert isinstance(text, str) and TIME_PATTERN.fullmatch(text), f"not an RFC 3339 UTC time: {text!r}"
    seconds = datetime.datetime.fromisoformat(text[:19] + "+00:00").timestamp()
    assert abs(seconds - time.time()) < 120, f"{text} is not now"


LEAKS = re.compile(r"/tmp/|/home/|/work/|/root/|\bsrc/|\.[ch]:\d+|0x[0-9a-f]{6,}")


def check_error(answer, status, code=None, field=None, row=None, words=()):
    """The error document of the specification; `words` are texts that a person needs in the message."""
    if isinstance(answer, Answer):
        got, headers, text = answer.status, {n.lower(): v for n, v in answer.headers}, answer.body.decode()
    else:
        got, headers, text = answer.status_code, {n.lower(): v for n, v in answer.headers.items()}, answer.text
    allowed = status if isinstance(status, (tuple, list, set, range)) else (status,)
    assert got in allowed, f"status {got}, expected {status}: {text[:500]}"
    assert headers.get("content-type", "").split(";")[0] == "application/json", headers
    document = json.loads(text)
    assert set(document) <= {"error", "code", "request_id", "details"}, document
    assert isinstance(document["error"], str) and len(document["error"]) >= 8, document
    assert re.fullmatch(r"[a-z0-9_]+\.[a-z0-9_]+", document["code"]), document
    assert document["request_id"] == headers["x-request-id"], document
    assert "date" in headers
    assert not LEAKS.search(document["error"]), f"the message shows the server's inside: {document['error']}"
    if code:
        codes = (code,) if isinstance(code, str) else code
        assert document["code"] in codes, document
    details = document.get("details", {})
    assert set(details) <= {"field", "row", "line", "offset"}, document
    if field is not None:
        assert details.get("field") == field, document
    if row is not None:
        assert details.get("row") == row, document
    for word in [words] if isinstance(words, str) else words:
        assert word in document["error"], f"{word!r} is not in {document['error']!r}"
    return document


def ulps(a, b, kind=np.float64):
    """Distance in units in the last place."""
    integer = np.int64 if kind is np.float64 else np.int32
    limit = np.iinfo(integer).min

    def ordered(value):
        bits = int(kind(value).view(integer))
        return bits if bits >= 0 else int(limit) - bits

    return abs(ordered(a) - ordered(b))


# --- Examples and golden files ---------------------------------------------------------------------------

Example = collections.namedtuple("Example", "name metadata names records predictions header rows")


def load_example(name):
    version = next((EXAMPLE_MODELS / name).iterdir())
    metadata = json.loads((version / "metadata.json").read_text())
    names = [i["name"] for i in metadata["inputs"]]
    cases = json.loads((EXAMPLES / name / "golden.json").read_text())
    header, rows = goldenfile.read(EXAMPLES / name / "golden.txt")
    return Example(name, metadata, names, [c["features"] for c in cases], [c["prediction"] for c in cases], header, rows)


EXAMPLE = {name: load_example(name) for name in EXAMPLE_NAMES}


def record_rows(example, records=None):
    return [[r[n] for n in example.names] for r in (example.records if records is None else records)]


def golden_rows(example):
    """Feature rows of golden.txt as a caller sends them: category texts in place of codes, None in place of NaN."""
    rows = []
    for features, *_ in example.rows:
        row = []
        for value, spec in zip(features, example.metadata["inputs"]):
            if isinstance(value, str):
                row.append(value)
            elif value != value:
                row.append(None)
            elif spec["type"] == "category":
                row.append(spec["categories"][int(value)] if value in range(len(spec["categories"])) else value)
            else:
                row.append(value)
        rows.append(row)
    return rows


# --- Small models -------------------------------------------------------------------------------------------


def lightgbm_model(left, right, threshold=0.5, names=("x",), trees=1, feature=0, note=""):
    """A regression: per tree, left where names[feature] <= threshold, else right. As LightGBM writes it."""
    blocks = []
    for i in range(trees):
        blocks.append(
            f"Tree={i}\nnum_leaves=2\nnum_cat=0\nsplit_feature={feature}\nsplit_gain=1\nthreshold={threshold!r}\n"
            f"decision_type=2\nleft_child=-1\nright_child=-2\nleaf_value={left!r} {right!r}\nleaf_weight=10 10\n"
            f"leaf_count=10 10\ninternal_value=0\ninternal_weight=20\ninternal_count=20\nis_linear=0\nshrinkage=1\n\n\n")
    head = (
        "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\n"
        f"max_feature_idx={len(names) - 1}\nobjective=regression\nfeature_names={' '.join(names)}\n"
        f"feature_infos={' '.join('[-1000:1000]' for _ in names)}\ntree_sizes={' '.join(str(len(b)) for b in blocks)}\n\n")
    tail = "end of trees\n\nfeature_importances:\n" + f"{names[feature]}={trees}\n\nparameters:\n[boosting: gbdt]\n"
    return (head + "".join(blocks) + tail + f"[note: {note}]\n\nend of parameters\n\npandas_categorical:null\n").encode()


def constant_model(value, **options):
    """A regression that answers `value` to every number."""
    return lightgbm_model(float(value), float(value), **options)


def put_version(store, model, version, data, metadata=None, file="model.txt"):
    """Drops a version into the store's folder the way a careful operator does: aside, then one rename."""
    target = Path(store) / model / version
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.parent / f".{version}.tmp"
    aside.mkdir()
    (aside / file).write_bytes(data)
    if metadata is not None:
        (aside / "metadata.json").write_text(metadata if isinstance(metadata, str) else json.dumps(metadata))
    aside.rename(target)
    return target


def store_listing(store):
    """Everything below the store's folder with sizes, hidden names included; only its lock file is left out."""
    store = Path(store)
    return {str(p.relative_to(store)): p.stat().st_size for p in sorted(store.rglob("*")) if p.is_file() and p != store / ".lock"}


# --- Metrics ---------------------------------------------------------------------------------------------------

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: (\S+))?(?: # .*)?')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')


class Metrics:
    """The text exposition format, parsed strictly."""

    def __init__(self, text, openmetrics=False):
        self.types, self.help, self.samples = {}, {}, {}
        self.lines = text.split("\n")
        assert self.lines.pop() == "", "the last line does not end"
        if openmetrics:
            assert self.lines.pop() == "# EOF"
        for line in self.lines:
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name not in self.types, f"two TYPE lines for {name}"
                self.types[name] = kind
            elif line.startswith("# HELP "):
                name, _, text = line[7:].partition(" ")
                assert name not in self.help, f"two HELP lines for {name}"
                self.help[name] = text
            elif line.startswith("#"):
                assert openmetrics and line.startswith("# UNIT "), f"unexpected comment {line!r}"
            else:
                self.add(line)

    def add(self, line):
        match = SAMPLE.fullmatch(line)
        assert match, f"not a sample: {line!r}"
        labels, at, text = {}, 0, match[2] or ""
        while at < len(text):
            label = LABEL.match(text, at)
            assert label, f"bad labels: {line!r}"
            assert label[1] not in labels, f"label twice: {line!r}"
            labels[label[1]] = re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), label[2])
            at = label.end()
        key = (match[1], frozenset(labels.items()))
        assert key not in self.samples, f"sample twice: {line!r}"
        self.samples[key] = float(match[3].replace("+Inf", "inf"))

    def series(self, name):
        """[(labels, value)]"""
        return [(dict(labels), value) for (n, labels), value in self.samples.items() if n == name]

    def value(self, name, **labels):
        """Sum over the series that have these labels."""
        return sum(v for found, v in self.series(name) if all(found.get(k) == w for k, w in labels.items()))

    def names(self):
        return {n for n, _ in self.samples}


def metrics(server, accept=None):
    answer = server.get("/metrics", headers={"Accept": accept} if accept else {})
    assert answer.status_code == 200, answer.text
    return Metrics(answer.text, "openmetrics" in (accept or ""))
