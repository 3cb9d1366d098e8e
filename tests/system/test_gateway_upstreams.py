# SPDX-License-Identifier: Apache-2.0
"""Upstreams that lie, stop, hang, flood and are killed: no wrong byte reaches a client, nothing that was cut looks whole, and
nothing is sent twice that must not be. The upstream counts."""

import collections
import concurrent.futures
import itertools
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import uuid

import http2_frames as h2
import pytest
from conftest import check_end
from gateway_echo import NODE, Program
from gateway_peer import Gateway, Peer, Process, free_port, service, upstream
from harness import Closed, Connection, raw_request, wait_until

RETRIES = 2
OK = b"HTTP/1.1 200 OK\r\n"
MiB = 1 << 20


class Script:
    """What an upstream sends, byte for byte, and how it ends: close, reset, hold. `body`: what a client may take for the whole; None:
    no client may take anything of it for a whole answer. `head`: the answer must be 502 or 504."""

    def __init__(self, *parts, end="close", body=None, head=False, status=200, method="GET"):
        self.parts, self.end, self.body, self.head, self.status, self.method = parts, end, body, head, status, method

    def play(self, c):
        for part in self.parts:
            for piece in [part] if isinstance(part, bytes) else part():
                c.send(piece)
        if self.end == "reset":
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if self.end == "hold":
            time.sleep(1.5)
        return self.end == "keep"


def pause(seconds):
    def wait():
        time.sleep(seconds)
        return ()
    return wait


def endless(piece, limit=64 * MiB):
    def flood():
        return itertools.repeat(piece * 1000, limit // len(piece) // 1000)
    return flood


def bad_heads():
    lines = {"status-99": b"HTTP/1.1 99 x", "status-2000": b"HTTP/1.1 2000 x", "status-20x": b"HTTP/1.1 20x x", "status-none": b"HTTP/1.1", "version-2": b"HTTP/2.0 200 OK", "icy": b"ICY 200 OK",
             "version-1.10": b"HTTP/1.10 200 OK", "leading-space": b" HTTP/1.1 200 OK", "status-plus": b"HTTP/1.1 +200 OK", "nul": b"HTTP/1.1 200 O\0K"}
    out = {n: Script(line + b"\r\nContent-Length: 4\r\n\r\nevil", head=True) for n, line in lines.items()}
    fields = {"no-colon": b"X-A", "space-before-colon": b"Transfer-Encoding : chunked", "nul-value": b"X-A: \0", "cr-value": b"X-A: a\rSet-Cookie: evil", "lf-value": b"X-A: a\n\nevil", "empty-name": b": evil",
              "cl-plus": b"Content-Length: +4", "cl-minus": b"Content-Length: -4", "cl-hex": b"Content-Length: 0x4", "cl-overflow": b"Content-Length: 18446744073709551620", "cl-empty": b"Content-Length:",
              "cl-two": b"Content-Length: 4\r\nContent-Length: 5", "cl-list": b"Content-Length: 4, 5", "cl-te": b"Content-Length: 4\r\nTransfer-Encoding: chunked", "te-gzip": b"Transfer-Encoding: gzip, chunked",
              "te-twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "te-identity": b"Transfer-Encoding: identity", "te-word": b"Transfer-Encoding: xchunked", "te-empty": b"Transfer-Encoding:"}
    out |= {n: Script(OK + field + b"\r\n\r\n4\r\nevil\r\n0\r\n\r\n", head=True) for n, field in fields.items()}
    return out | {
        "te-on-1.0": Script(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", head=True),
        "nothing": Script(head=True), "nothing-reset": Script(end="reset", head=True), "nothing-hung": Script(end="hold", head=True),
        "half-line": Script(b"HTTP/1.1 200", head=True), "half-head": Script(OK + b"Content-Length: 4\r\nX-A: ", head=True), "half-head-reset": Script(OK + b"X-A: b\r\n", end="reset", head=True),
        "half-head-hung": Script(OK + b"X-A: b\r\n", end="hold", head=True), "tls": Script(b"\x16\x03\x01\0\x05hello", head=True), "smtp": Script(b"220 mail ESMTP\r\n", head=True),
        "endless-line": Script(OK + b"X-A: ", endless(b"aaaaaaaaaa"), head=True), "endless-fields": Script(OK, endless(b"X-A: b\r\n"), head=True), "endless-status": Script(b"HTTP/1.1 200 ", endless(b"aaaaaaaaaa"), head=True),
        "upgrade-unasked": Script(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nevil", head=True),
        "interim-flood": Script(endless(b"HTTP/1.1 102 Processing\r\n\r\n"), head=True), "interim-then-nothing": Script(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", head=True),
        "interim-with-length": Script(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 4\r\n\r\nevil" + OK + b"Content-Length: 2\r\n\r\nok", head=True),
    }


def bad_bodies():
    chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    length = OK + b"Content-Length: 100\r\n\r\n" + b"a" * 50
    first = b"5\r\nhello\r\n"
    ends = {"size-letter": b"g\r\nevil\r\n", "size-minus": b"-4\r\nevil\r\n", "size-0x": b"0x4\r\nevil\r\n", "size-space": b"4 \r\nevil\r\n0\r\n\r\n", "size-overflow": b"10000000000000004\r\nevil\r\n0\r\n\r\n", "lf-after-size": b"4\nevil\r\n0\r\n\r\n",
            "no-crlf-after-data": b"4\r\nevil0\r\n\r\n", "longer": b"4\r\ngoodevil\r\n0\r\n\r\n", "cut-in-size": b"4", "cut-in-data": b"4\r\nev", "cut-after-data": b"4\r\nevil", "cut-between": b"", "cut-at-zero": b"0", "cut-in-last": b"0\r\n",
            "cut-in-last-cr": b"0\r\n\r", "cut-in-trailer": b"0\r\nX-A: b\r\n", "trailer-no-colon": b"0\r\nX-A\r\n\r\n", "trailer-nul": b"0\r\nX-A: \0\r\n\r\n", "extension-lf": b"4;a\nevil\r\n0\r\n\r\n"}
    out = {"chunk-" + n: Script(chunked + first, pause(0.02), end_) for n, end_ in ends.items()}
    return out | {
        "length-short": Script(length), "length-short-slow": Script(length, pause(0.05)), "length-reset": Script(length, pause(0.05), end="reset"), "length-hung": Script(length, end="hold"), "chunk-reset": Script(chunked + first, pause(0.05), end="reset"),
        "chunk-hung": Script(chunked + first, end="hold"), "chunk-extension-endless": Script(chunked + first + b"4;", endless(b"aaaaaaaaaa")), "chunk-trailers-endless": Script(chunked + first + b"0\r\n", endless(b"X-A: b\r\n")),
        "until-close-reset": Script(OK + b"Connection: close\r\n\r\nhello", pause(0.05), end="reset"), "big-cut": Script(OK + b"Content-Length: 3000000\r\n\r\n", b"a" * 2999999), "head-only": Script(OK + b"Content-Length: 5\r\n\r\n"),
    }


def good():
    follow = OK + b"Content-Length: 4\r\n\r\nevil"
    return {
        "extra-answer": Script(OK + b"Content-Length: 4\r\n\r\ngood" + follow, body=b"good", end="keep"),
        "extra-bytes": Script(OK + b"Content-Length: 4\r\n\r\ngoodevil", body=b"good", end="keep"),
        "extra-after-chunks": Script(OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n" + follow, body=b"good", end="keep"),
        "body-of-204": Script(b"HTTP/1.1 204 No Content\r\n\r\n" + follow, body=b"", status=204, end="keep"),
        "length-of-204": Script(b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil", body=b"", status=204, end="keep"),
        "body-of-304": Script(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil", body=b"", status=304, end="keep"),
        "body-of-head": Script(OK + b"Content-Length: 4\r\n\r\nevil", body=b"", end="keep", method="HEAD"),
        "interim-several": Script(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3, OK + b"Content-Length: 4\r\n\r\ngood", body=b"good", end="keep"),
        "until-close": Script(OK + b"\r\ngood", body=b"good"),
        "http-1.0": Script(b"HTTP/1.0 200 OK\r\n\r\ngood", body=b"good"),
        "slow": Script(OK + b"Content-Length: 4\r\n\r\n", *[p for c in (b"g", b"o", b"o", b"d") for p in (pause(0.05), c)], body=b"good", end="keep"),
        "slow-head": Script(*[p for i in range(len(OK)) for p in (pause(0.01), OK[i : i + 1])], b"Content-Length: 4\r\n\r\ngood", body=b"good", end="keep"),
        "chunk-zeros": Script(OK + b"Transfer-Encoding: chunked\r\n\r\n0004;x=y\r\ngood\r\n000\r\n\r\n", body=b"good", end="keep"),
        "closes-what-it-keeps": Script(OK + b"Content-Length: 4\r\n\r\ngood", body=b"good"),
        "resets-after-all": Script(OK + b"Content-Length: 4\r\n\r\ngood", pause(0.05), body=b"good", end="reset"),
    }


def later():
    """Two answers to one request, the second a moment later: on a connection that waits to be used."""
    return {"extra-later": Script(OK + b"Content-Length: 4\r\n\r\ngood", pause(0.03), OK + b"Content-Length: 4\r\n\r\nevil", body=b"good", end="keep")}


SCRIPTS = {**bad_heads(), **bad_bodies(), **good()}


class Player(Peer):
    """Plays the script that the path names; everything else as the other peer."""

    def do_script(self, c, request, rest):
        return {**SCRIPTS, **later()}[rest[0]].play(c)


class Serving:
    """One gateway before a player, for all tests of scripts."""

    def __init__(self, binary, folder):
        self.peer = Player()
        times = {"connect_timeout": 500, "read_timeout": 500, "write_timeout": 500}
        self.gateway = Gateway(binary, folder, {"services": [service("p", "127.0.0.1", self.peer.port, retries=RETRIES, **times)]}).start()

    def sent(self, method, path):
        return self.peer.seen(method, path)


@pytest.fixture(scope="module")
def serving(binary, tmp_path_factory):
    made = Serving(binary, tmp_path_factory.mktemp("upstreams") / "gateway")
    try:
        yield made
        check_end(made.gateway)
    finally:
        made.gateway.kill()
        made.peer.stop()


def ask_http1(port, method, path):
    """(status, body) of a whole answer, (None, what came) of one that was cut."""
    with Connection(socket.create_connection(("127.0.0.1", port), timeout=10)) as c:
        c.send(raw_request(method, path, body=b"once" if method == "POST" else b""))
        whole = b""
        receive = c.receive

        def record():
            nonlocal whole
            before = len(c.buffer)
            more = receive()
            whole += c.buffer[before:]
            return more

        c.receive = record
        try:
            answer = c.answer(method)
            while answer.status < 200:
                answer = c.answer(method)
            if answer.header("Content-Length") is None and not answer.header("Transfer-Encoding") and answer.status == 200:
                raise AssertionError("an answer that only the end of the connection delimits")
            return answer.status, answer.body, whole
        except (Closed, ValueError):
            return None, None, whole


def ask_http2(port, method, path):
    with h2.Peer(port, timeout=10) as c:
        c.start()
        window = 1 << 30  # so that nothing waits for us
        c.send(h2.frame("settings", 0, 0, b"\0\4" + window.to_bytes(4, "big")) + h2.frame("window", 0, 0, window.to_bytes(4, "big")))
        c.send(h2.frame("headers", 4 if method == "POST" else 5, 1, h2.request(method, path)))
        if method == "POST":
            c.send(h2.frame("data", 1, 1, b"once"))
        assert c.wait(lambda: c.ended(1) or c.find(h2.RST, 1) or c.closed, 10), "no answer over HTTP/2"
        assert not c.closed and not c.find(h2.GOAWAY), "the connection went with the stream"
        whole = b"".join(f[3] for f in c.frames)
        if c.find(h2.RST, 1):
            return None, None, whole
        # The status: static index or a literal of three digits; ours come with the error document, the others are known by the body.
        body = c.body(1)
        return (502 if b'"gateway.upstream' in body else 200), body, whole


ASK = {"http1": ask_http1, "http2": ask_http2}


@pytest.mark.parametrize("version", ASK)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_scripts(serving, method, version):
    failures = {}

    def one(item):
        name, script = item
        how = script.method if method == "GET" else method
        if script.method == "HEAD" and method == "POST":
            return
        path = f"/script/{name}/{method}-{version}"
        try:
            status, body, whole = ASK[version](serving.gateway.port, how, "/p" + path)
        except (AssertionError, OSError) as error:
            failures[name] = str(error)
            return
        times = serving.sent(how, path)
        if b"evil" in whole and script.body is not None or (script.head and b"evil" in whole):
            failures[name] = f"bytes that are of no answer: {whole[-200:]}"
        elif script.body is not None and (body != script.body or (version == "http1" and status != script.status)):
            failures[name] = f"{status} {body}"
        elif script.body is None and status == 200:
            failures[name] = f"cut, and yet whole: {whole[-300:]}"
        elif script.head and status not in (502, 504):
            failures[name] = f"{status} {whole[:300]}"
        elif times > (1 if method == "POST" else 1 + RETRIES) or times < 1:
            failures[name] = f"sent {times} times"

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(one, SCRIPTS.items()))
    assert not failures, json.dumps(failures, indent=1)


def test_http10_clients_see_a_reset(serving):
    """Without lengths only a reset tells that something is missing."""
    for name in bad_bodies():
        with Connection(socket.create_connection(("127.0.0.1", serving.gateway.port), timeout=10)) as c:
            c.send(f"GET /p/script/{name}/1.0 HTTP/1.0\r\nHost: a\r\n\r\n")
            data, reset = b"", False
            try:
                while got := c.sock.recv(65536):
                    data += got
            except ConnectionResetError:
                reset = True
            head, _, body = data.partition(b"\r\n\r\n")
            if b" 502 " in head[:20] or b" 504 " in head[:20]:
                continue
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            assert reset or (length and len(body) < int(length[0].split(b":")[1])), (name, data[-200:])


def test_poisoned_connections_are_not_used_again(serving):
    """Whatever an upstream sends too much, on whatever connection, the next clients get their own answers."""
    names = [n for n, s in good().items()] + ["length-short", "chunk-longer", "interim-with-length", "upgrade-unasked"]
    for i in range(5):
        for name in names:
            ask_http1(serving.gateway.port, SCRIPTS[name].method, f"/p/script/{name}/poison-{i}")
            time.sleep(0.01 * (i % 3))
            token = uuid.uuid4().hex
            status, body, whole = ask_http1(serving.gateway.port, "GET", f"/p/answer/{token}")
            assert status == 200 and json.loads(body)["path"] == f"/answer/{token}", (name, whole)
    for _ in range(10):
        assert ask_http1(serving.gateway.port, "GET", "/p/script/extra-later/poison")[1] == b"good"
        time.sleep(0.08)
        assert b"evil" not in ask_http1(serving.gateway.port, "GET", "/p/answer/later")[2]


def test_early_answers_leave_no_rest_behind(serving):
    """The upstream answers before it has read the body: what is left of the body is no request."""
    g = serving.gateway
    for _ in range(10):
        with g.connect() as c:
            c.send("POST /p/early HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n")
            c.try_send(b"GET /answer/evil HTTP/1.1\r\nHost: a\r\n\r\n" * 1000)
            answer = c.answer()
            assert answer.status == 413 and answer.body == b"early"
        assert ask_http1(g.port, "GET", "/p/answer/own")[0] == 200
    assert serving.sent("GET", "/answer/evil") == 0


# --- Real processes that are killed --------------------------------------------------------------------------------


class Killed:
    """A Node server that writes down every request that it was sent whole, killed and started again on its port."""

    def __init__(self, folder):
        self.program = Program(folder, shutil.which("node"), "-e", NODE)
        self.folder = folder

    def kill(self):
        self.program.process.send_signal(signal.SIGKILL)
        self.program.process.wait()

    def again(self):
        self.program.process = Process([shutil.which("node"), "-e", NODE, str(self.program.port), str(self.program.file)], self.program.port).process


def test_killed_and_started_again_under_load(binary, tmp_path):
    killed = Killed(tmp_path / "node")
    times = {"connect_timeout": 500, "read_timeout": 2000, "write_timeout": 2000}
    g = Gateway(binary, tmp_path / "gateway", {"services": [service("n", "127.0.0.1", killed.program.port, retries=RETRIES, **times)]}).start()
    done = threading.Event()
    outcomes, wrong = collections.Counter(), []

    def load(worker):
        i = 0
        while not done.is_set():
            i += 1
            method = "POST" if i % 2 else "GET"
            token = f"{method}-{worker}-{i}"
            try:
                answer = g.request(method, f"/n/{token}", data=token if method == "POST" else None)
            except Exception as error:  # cut in the middle: as it should be
                outcomes[type(error).__name__] += 1
                continue
            outcomes[method, answer.status_code] += 1
            if answer.status_code == 200:
                seen = answer.json()
                if seen["path"] != f"/{token}" or seen["method"] != method or (method == "POST" and seen["body"] != token):
                    wrong.append((token, seen))
            elif answer.status_code not in (502, 503, 504):
                wrong.append((token, answer.status_code))

    threads = [threading.Thread(target=load, args=(i,)) for i in range(8)]
    try:
        for t in threads:
            t.start()
        for i in range(5):
            time.sleep(0.4)
            killed.kill()
            time.sleep(0.1)
            killed.again()
        time.sleep(0.3)
    finally:
        done.set()
        for t in threads:
            t.join()
        killed.program.stop()
    check_end(g)
    assert not wrong, wrong[:5]
    assert outcomes["POST", 200] > 20 and outcomes["GET", 200] > 20, outcomes
    times = collections.Counter(r["path"] for r in killed.program.seen())
    assert max(n for path, n in times.items() if path.startswith("/POST")) == 1
    assert max(n for path, n in times.items() if path.startswith("/GET")) <= 1 + RETRIES
    assert killed.program.refused() == []


SHORT_KEEP = NODE.replace("http.createServer(", "const server = http.createServer(").replace("}).on('clientError'", "});\nserver.keepAliveTimeout = 15;\nserver.on('clientError'")


def test_idle_connections_that_end_at_the_wrong_moment(binary, tmp_path):
    """The server closes idle connections just when they are wanted: GETs always pass, a POST is sent once or not at all."""
    node = Program(tmp_path / "node", shutil.which("node"), "-e", SHORT_KEEP)
    g = Gateway(binary, tmp_path / "gateway", {"services": [service("n", "127.0.0.1", node.port, retries=RETRIES)]}).start()
    try:
        answered = []
        for i in range(150):
            method = "POST" if i % 2 else "GET"
            answer = g.request(method, f"/n/{method}-{i}", data="x" if method == "POST" else None)
            assert answer.status_code == 200 or (method == "POST" and answer.status_code == 502), answer.text
            if answer.status_code == 200:
                assert answer.json()["path"] == f"/{method}-{i}"
                answered.append(f"/{method}-{i}")
            time.sleep(random.uniform(0.012, 0.020))
        check_end(g)
        times = collections.Counter(r["path"] for r in node.seen())
        assert all(times[path] >= 1 for path in answered)
        assert all(n == 1 for path, n in times.items() if path.startswith("/POST")), times
        assert len(answered) > 100
    finally:
        g.kill()
        node.stop()


def test_killed_in_the_middle_of_an_answer(binary, tmp_path):
    """A real server that dies while it sends: the client sees the cut, another target takes the next requests."""
    code = "const h=require('http');h.createServer((q,a)=>{if(q.url=='/big/40000000'){a.writeHead(200,{'Content-Length':40000000});a.write('a'.repeat(1000000));setTimeout(()=>process.kill(process.pid,'SIGKILL'),100)}else a.end('ok')}).listen(+process.argv[1],'127.0.0.1')"
    port = free_port()
    node = Process([shutil.which("node"), "-e", code, str(port)], port)
    peer = Peer()
    g = Gateway(binary, tmp_path / "gateway", {"upstreams": [upstream("u", node, peer)], "services": [service("u", "u", retries=RETRIES)]}).start()
    try:
        cut = 0
        for _ in range(2):
            with g.connect() as c:
                c.send(raw_request("GET", "/u/big/40000000"))
                try:
                    assert len(c.answer().body) == 40_000_000  # of the other target
                except Closed:
                    cut += 1
        node.process.wait(5)
        assert cut == 1
        assert all(g.get("/u/answer").json()["port"] == peer.port for _ in range(20))
    finally:
        g.stop()
        peer.stop()
        if node.process.poll() is None:
            node.stop()


# --- Bounded memory ------------------------------------------------------------------------------------------------


def steady_memory(g, seconds=1.5):
    end, peak = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        peak = max(peak, g.memory())
        time.sleep(0.05)
    return peak


def test_many_downloads_that_nobody_reads(serving):
    """40 clients over HTTP/1.1 and 40 streams over HTTP/2 take nothing of 50 MB each: at most what the marks allow waits in the gateway."""
    g = serving.gateway
    g.get("/p/answer")
    before = g.memory()
    clients = []
    try:
        for _ in range(40):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", g.port))
            sock.sendall(raw_request("GET", "/p/big/50000000"))
            clients.append(sock)
        for _ in range(2):
            peer = h2.Peer(g.port).start()
            peer.send(b"".join(h2.frame("headers", 5, 2 * i + 1, h2.request("GET", "/p/big/50000000")) for i in range(20)))
            clients.append(peer.sock)
        assert steady_memory(g) - before < 80 * 1.2 * MiB
        assert g.get("/p/answer").status_code == 200
    finally:
        for sock in clients:
            sock.close()
    wait_until(lambda: len(serving.peer.open) < 10, what="the upstream's connections to end")


def test_many_uploads_that_nobody_reads(serving):
    g = serving.gateway
    g.get("/p/answer")
    before = g.memory()
    clients = []
    try:
        for _ in range(40):
            sock = socket.create_connection(("127.0.0.1", g.port))
            sock.sendall(b"POST /p/slow-read/2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            sock.setblocking(False)
            clients.append(sock)
        block = f"{MiB:x}\r\n".encode() + b"b" * MiB + b"\r\n"
        rest = {sock: b"" for sock in clients}
        end, peak = time.monotonic() + 1.5, 0
        while time.monotonic() < end:
            for sock in clients:
                try:
                    rest[sock] = rest[sock] or block
                    rest[sock] = rest[sock][sock.send(rest[sock]) :]
                except (BlockingIOError, ConnectionError):
                    pass
            peak = max(peak, g.memory())
        assert peak - before < 40 * 1.2 * MiB
        assert g.get("/p/answer").status_code == 200
    finally:
        for sock in clients:
            sock.close()


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_big_bodies_arrive_whole(serving, tmp_path, version):
    """100 MB down at a limited rate and 100 MB up, by curl, each compared or counted."""
    g, size = serving.gateway, 100_000_000
    before = g.memory()
    out = tmp_path / "out"
    down = subprocess.Popen(["curl", "-sS", version, "--limit-rate", "40M", "-o", str(out), f"{g.url}/p/big/{size}"])
    peak = 0
    while down.poll() is None:
        peak = max(peak, g.memory())
        time.sleep(0.02)
    assert down.returncode == 0 and out.stat().st_size == size
    block = bytes(range(256)) * 256
    with out.open("rb") as f:
        while data := f.read(len(block)):
            assert data == block[: len(data)]
    with out.open("rb") as f:  # of unknown length, for which the upstream counts chunks
        up = subprocess.Popen(["curl", "-sS", version, "-T", "-", "-X", "POST", f"{g.url}/p/slow-read/0.3"], stdin=f, stdout=subprocess.PIPE)
    while up.poll() is None:
        peak = max(peak, g.memory())
        time.sleep(0.02)
    text = up.stdout.read()
    assert up.returncode == 0 and text == str(size).encode(), text
    assert peak - before < 24 * MiB
    os.unlink(out)
