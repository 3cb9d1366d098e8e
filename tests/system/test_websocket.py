# SPDX-License-Identifier: Apache-2.0
"""WebSocket: other people's clients (python3-websockets, npm ws), raw sockets for what they cannot be made to do, and python3-h2 for RFC 8441.

The server is tests/websocket_echo.c: the program's own HTTP server with a route that echoes.
"""

import asyncio
import base64
import contextlib
import hashlib
import os
import pathlib
import resource
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
import zlib

import h2.config
import h2.connection
import h2.events
import pytest
from harness import ROOT, wait_until
from test_http import make_certificate

websockets = pytest.importorskip("websockets")
MASK = b"\x37\xfa\x21\x3d"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # the example of RFC 6455 section 1.3
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
FIN, RSV1, CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x80, 0x40, 0, 1, 2, 8, 9, 10


class Echo:
    def __init__(self, binary, *args):
        path = pathlib.Path(os.environ.get("MAINSTAY_WEBSOCKET_ECHO", binary.parent / "tests" / "websocket_echo"))
        assert path.is_file(), f"{path} is missing: build it"
        self.process = subprocess.Popen([path, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("port "), self.process.stderr.read()
        self.port = int(line.split()[1])
        self.lines = []
        self.collect()

    def collect(self):
        def read():
            for line in self.process.stdout:
                self.lines.append(line.strip())
        self.reader = threading.Thread(target=read, daemon=True)
        self.reader.start()

    def url(self, path="/echo"):
        return f"ws://127.0.0.1:{self.port}{path}"

    def rss(self):
        return int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * resource.getpagesize()

    def closed(self, what, count=1):
        wait_until(lambda: sum(line.startswith(f"closed {what}") for line in self.lines) >= count, what=f"closed {what} in {self.lines}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(40)
        self.reader.join(10)
        errors = self.process.stderr.read()
        assert status == 0 and errors == "", f"status {status}: {errors}"


@pytest.fixture
def make_echo(binary):
    made = []

    def make(*args):
        made.append(Echo(binary, *args))
        return made[-1]

    yield make
    for echo in made:
        if echo.process.poll() is None:
            try:
                echo.stop()
            finally:
                echo.process.kill()


@pytest.fixture
def echo(make_echo):
    return make_echo()


# --- Raw sockets -------------------------------------------------------------------------------------


def frame(first, payload=b"", mask=MASK):
    n = len(payload)
    length = bytes([n]) if n < 126 else b"\x7e" + struct.pack(">H", n) if n < 65536 else b"\x7f" + struct.pack(">Q", n)
    head = bytes([first, length[0] | (0x80 if mask else 0)]) + length[1:]
    if not mask:
        return head + payload
    key = int.from_bytes((mask * (n // 4 + 1))[:n], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ key).to_bytes(n, "big")


def deflate(data):
    z = zlib.compressobj(6, zlib.DEFLATED, -15)
    return (z.compress(data) + z.flush(zlib.Z_SYNC_FLUSH))[:-4]


def handshake(path="/echo", **changes):
    """A request; changes of headers by name with '_' for '-', None leaves one out, a list repeats it."""
    headers = {"Host": "a.test", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": KEY, "Sec-WebSocket-Version": "13"}
    line = changes.pop("line", f"GET {path} HTTP/1.1")
    headers.update({name.replace("_", "-"): value for name, value in changes.items()})
    lines = [line]
    for name, value in headers.items():
        lines += [f"{name}: {v}" for v in (value if isinstance(value, list) else [value]) if v is not None]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Raw:
    def __init__(self, port, path="/echo", request=None, extra=b"", **changes):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        self.sock.sendall((request or handshake(path, **changes)) + extra)
        while b"\r\n\r\n" not in self.data and self.more():
            pass
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            self.headers[name.lower()] = value

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def more(self):
        try:
            got = self.sock.recv(1 << 20)
        except ConnectionResetError:
            got = b""
        self.data += got
        return got != b""

    def take(self, n):
        while len(self.data) < n:
            assert self.more(), f"the end after {self.data[:100]}"
        got, self.data = self.data[:n], self.data[n:]
        return got

    def send(self, data):
        self.sock.sendall(data)

    def frame(self):
        first, length = self.take(2)
        assert length < 128, "a server does not mask"
        if length >= 126:
            size = 2 if length == 126 else 8
            length = int.from_bytes(self.take(size), "big")
            assert length >= (126 if size == 2 else 65536)
        return first, self.take(length)

    def ended(self):
        while self.more():
            pass
        return self.data == b""

    def expect_close(self, code):
        first, payload = self.frame()
        assert first == FIN | CLOSE and struct.unpack(">H", payload[:2])[0] == code, (first, payload)
        assert self.ended()


def test_handshake_4_2_is_answered(echo):
    with Raw(echo.port) as raw:
        assert raw.status == 101
        assert raw.headers["upgrade"] == "websocket" and raw.headers["connection"] == "Upgrade"
        assert raw.headers["sec-websocket-accept"] == ACCEPT
        assert not {"sec-websocket-protocol", "sec-websocket-extensions", "content-length", "transfer-encoding"} & set(raw.headers)
    for changes in ({"Upgrade": "WebSocket"}, {"Upgrade": "foo, websocket"}, {"Connection": "keep-alive, upgrade"},
                    {"Upgrade": ["foo/2", "websocket"]}, {"Origin": "http://a.test"}, {"Origin": "http://A.TEST:80"},
                    {"Origin": "https://a.test:443"}, {"Host": "a.test:8080", "Origin": "http://a.test:8080"}):
        with Raw(echo.port, **changes) as raw:
            assert raw.status == 101 and raw.headers["upgrade"].lower() == "websocket", changes
            raw.send(frame(FIN | TEXT, b"hello"))
            assert raw.frame() == (FIN | TEXT, b"hello")


def test_handshake_4_2_frames_may_follow_at_once(echo):
    with Raw(echo.port, extra=frame(FIN | TEXT, b"early") + frame(FIN | PING, b"p") + frame(FIN | CLOSE, b"\x03\xe8")) as raw:
        assert raw.status == 101
        assert raw.frame() == (FIN | TEXT, b"early")
        assert raw.frame() == (FIN | PONG, b"p")
        raw.expect_close(1000)


@pytest.mark.parametrize(("changes", "status"), [
    ({"Upgrade": None}, 426),
    ({"Connection": None}, 426),
    ({"Upgrade": "foo"}, 426),
    ({"Connection": "keep-alive"}, 426),
    ({"line": "GET /echo HTTP/1.0"}, 426),
    ({"line": "HEAD /echo HTTP/1.1"}, 426),
    ({"line": "POST /echo HTTP/1.1", "Content_Length": "0"}, 405),
    ({"Sec_WebSocket_Version": "8"}, 426),
    ({"Sec_WebSocket_Version": "14"}, 426),
    ({"Sec_WebSocket_Version": "013"}, 426),
    ({"Sec_WebSocket_Version": ["13", "13"]}, 426),
    ({"Sec_WebSocket_Version": "13, 8"}, 426),
    ({"Sec_WebSocket_Version": None}, 400),
    ({"Sec_WebSocket_Key": None}, 400),
    ({"Sec_WebSocket_Key": ""}, 400),
    ({"Sec_WebSocket_Key": [KEY, KEY]}, 400),
    ({"Sec_WebSocket_Key": "c2hvcnQ="}, 400),
    ({"Sec_WebSocket_Key": KEY[:-2]}, 400),
    ({"Sec_WebSocket_Key": "*" + KEY[1:]}, 400),
    ({"Sec_WebSocket_Key": base64.b64encode(b"17 bytes is a lot").decode()}, 400),
    ({"Host": None}, 400),
    ({"Origin": "http://b.test"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://a.test.evil.test"}, 403),
    ({"Origin": "http://a.test:8080"}, 403),
    ({"Origin": "file://a.test"}, 403),
    ({"Origin": ["http://a.test", "http://a.test"]}, 400),
    ({"Sec_WebSocket_Protocol": "a b"}, 400),
    ({"Sec_WebSocket_Protocol": "chat, chat"}, 400),
    ({"Sec_WebSocket_Protocol": ","}, 400),
    ({"Sec_WebSocket_Extensions": "permessage-deflate;"}, 400),
    ({"Sec_WebSocket_Extensions": ""}, 400),
])
def test_handshake_4_2_1_is_refused(echo, changes, status):
    with Raw(echo.port, **changes) as raw:
        assert raw.status == status, raw.headers
        assert ("sec-websocket-version" in raw.headers) == (status == 426)
        assert status != 426 or raw.headers["sec-websocket-version"] == "13"
        assert status != 426 or raw.headers["upgrade"] == "websocket"


def test_handshake_4_2_2_subprotocols_and_extensions(echo):
    for offered, chosen in (("chat", "chat"), ("chat, superchat", "superchat"), (["other", "chat"], "chat"), ("other", None), ("Chat", None)):
        with Raw(echo.port, Sec_WebSocket_Protocol=offered) as raw:
            assert raw.status == 101 and raw.headers.get("sec-websocket-protocol") == chosen
    plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    for offered, chosen in (("permessage-deflate", plain), ("permessage-deflate; server_max_window_bits=8", None), ("x-other", None),
                            ("permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=12", plain + "; server_max_window_bits=12")):
        with Raw(echo.port, Sec_WebSocket_Extensions=offered) as raw:
            assert raw.status == 101 and raw.headers.get("sec-websocket-extensions") == chosen
        with Raw(echo.port, "/plain", Sec_WebSocket_Extensions=offered) as raw:
            assert raw.status == 101 and "sec-websocket-extensions" not in raw.headers


def test_handshake_10_2_origins_by_list(echo):
    for origin, status in (("https://app.example", 101), (None, 101), ("http://app.example", 403), ("http://a.test", 403)):
        with Raw(echo.port, "/origin", Origin=origin) as raw:
            assert raw.status == status


def test_frames_5_come_back(echo):
    with Raw(echo.port) as raw:
        for size in (0, 1, 125, 126, 127, 128, 65535, 65536, 300000):
            for first in (TEXT, BINARY):
                payload = b"*" * size
                raw.send(frame(FIN | first, payload))
                assert raw.frame() == (FIN | first, payload)
        raw.send(frame(TEXT, b"\xe2\x82") + frame(FIN | PING, b"in between") + frame(CONT) + frame(FIN | CONT, b"\xac"))
        assert raw.frame() == (FIN | PONG, b"in between")
        assert raw.frame() == (FIN | TEXT, "€".encode())
        raw.send(frame(FIN | PONG, b"nobody asked"))
        for byte in frame(FIN | TEXT, b"byte by byte"):
            raw.send(bytes([byte]))
            time.sleep(0.001)
        assert raw.frame() == (FIN | TEXT, b"byte by byte")
        raw.send(frame(FIN | CLOSE, b"\x0f\xa0bye"))
        raw.expect_close(4000)
    echo.closed("4000 bye")


FAILURES = [
    (frame(FIN | TEXT, b"a", mask=None), 1002),
    (frame(FIN | 3), 1002),
    (frame(FIN | 11), 1002),
    (frame(FIN | RSV1 | TEXT, b"a"), 1002),
    (frame(FIN | 0x10 | TEXT, b"a"), 1002),
    (frame(PING), 1002),
    (frame(FIN | PING, b"x" * 126), 1002),
    (frame(FIN | CONT, b"a"), 1002),
    (frame(TEXT, b"a") + frame(FIN | TEXT, b"b"), 1002),
    (b"\x81\xfe\x00\x05" + MASK + b"xxxxx", 1002),
    (frame(FIN | CLOSE, b"\x03"), 1002),
    (frame(FIN | CLOSE, b"\x03\xed"), 1002),
    (frame(FIN | CLOSE, b"\x03\xe8\xff"), 1007),
    (frame(TEXT, b"\xce\xba\xed\xa0"), 1007),
    (frame(FIN | TEXT, b"\xe2\x82"), 1007),
    (b"\x82\xff" + struct.pack(">Q", (1 << 20) + 1) + MASK, 1009),
    (frame(BINARY, b"x" * 600000) + frame(FIN | CONT, b"x" * 600000), 1009),
]


@pytest.mark.parametrize("index", range(len(FAILURES)))
def test_failures_7_1_7_are_closed_in_order(echo, index):
    data, code = FAILURES[index]
    with Raw(echo.port) as raw:
        raw.send(data)
        raw.expect_close(code)
    echo.closed("1006")


def test_bombs(make_echo):
    echo = make_echo("max_message=16777216")
    with Raw(echo.port, Sec_WebSocket_Extensions="permessage-deflate") as raw:
        raw.send(frame(FIN | RSV1 | BINARY, deflate(bytes(1 << 20))))  # a thousand to one, but little
        assert raw.frame() == (FIN | BINARY, bytes(1 << 20))  # too large to compress on the loop
        raw.send(frame(FIN | RSV1 | BINARY, deflate(bytes(8 << 20))))
        raw.expect_close(1009)


def test_compressed_frames(echo):
    with Raw(echo.port, Sec_WebSocket_Extensions="permessage-deflate") as raw:
        text = b"some words, some words, some words; " * 100
        packed = deflate(text)
        raw.send(frame(FIN | RSV1 | TEXT, packed))
        first, payload = raw.frame()
        assert first == FIN | RSV1 | TEXT and zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff") == text
        raw.send(frame(RSV1 | TEXT, packed[:5]) + frame(FIN | PING) + frame(CONT, packed[5:9]) + frame(FIN | CONT, packed[9:]))
        assert raw.frame() == (FIN | PONG, b"")
        assert zlib.decompressobj(-15).decompress(raw.frame()[1] + b"\0\0\xff\xff") == text
        # Little that inflates to much: others have their turn in between, and nothing is lost.
        raw.send(b"".join(frame(FIN | RSV1 | TEXT, deflate(bytes([65 + i]) * 60000)) for i in range(60)))
        for i in range(60):
            assert zlib.decompressobj(-15).decompress(raw.frame()[1] + b"\0\0\xff\xff") == bytes([65 + i]) * 60000
        raw.send(frame(FIN | TEXT, b"short ones come back plain"))
        assert raw.frame() == (FIN | TEXT, b"short ones come back plain")
        raw.send(frame(FIN | RSV1 | BINARY, deflate(bytes((1 << 20) + 1))))
        raw.expect_close(1009)


def test_pongs_and_close_wait_for_nothing_but_order(echo):
    with Raw(echo.port) as raw:
        raw.send(b"".join(frame(FIN | PING, str(i).encode()) for i in range(1000)))
        assert [raw.frame()[1] for _ in range(1000)] == [str(i).encode() for i in range(1000)]
        raw.send(frame(FIN | CLOSE) + frame(FIN | TEXT, b"after"))
        assert raw.frame() == (FIN | CLOSE, b"")
        assert raw.ended()
    echo.closed("1005")


def test_closing_by_the_server(echo):
    with Raw(echo.port, "/close") as raw:
        raw.send(frame(FIN | TEXT, b"4321 because"))
        assert raw.frame() == (FIN | CLOSE, struct.pack(">H", 4321) + b"because")
        raw.send(frame(FIN | TEXT, b"1000 late") + frame(FIN | CLOSE, b"\x10\xe1"))
        assert raw.ended()
    echo.closed("4321")
    with Raw(echo.port, "/close") as raw:  # a client that does not answer
        begin = time.monotonic()
        raw.send(frame(FIN | TEXT, b"4322"))
        raw.frame()
        assert raw.ended()
        assert 4.5 < time.monotonic() - begin < 7
    echo.closed("1006 the client does not answer the Close frame")


def test_ends_without_close_frames(echo):
    for n in range(0, 60, 3):
        data = frame(FIN | TEXT, b"x" * 20) + frame(TEXT, b"y" * 20)
        with Raw(echo.port) as raw:
            raw.send(data[:n])
            if n % 2:
                raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    echo.closed("1006", count=20)
    with Raw(echo.port) as raw:  # half-closed: our side ends too
        raw.sock.shutdown(socket.SHUT_WR)
        assert raw.ended()


def test_pings_of_the_server(make_echo):
    echo = make_echo("ping_ms=300")
    with Raw(echo.port) as raw, Raw(echo.port) as silent:
        for _ in range(4):
            assert raw.frame() == (FIN | PING, b"")
            raw.send(frame(FIN | PONG))
        begin = time.monotonic()
        assert silent.frame() == (FIN | PING, b"")
        assert not silent.more()
        assert time.monotonic() - begin < 2
        raw.send(frame(FIN | TEXT, b"still here"))
        while (got := raw.frame())[0] == FIN | PING:
            raw.send(frame(FIN | PONG))
        assert got == (FIN | TEXT, b"still here")
        echo.closed("1006 the client does not answer pings")


def test_pings_leave_slow_readers_alone(make_echo):
    echo = make_echo("ping_ms=200")
    with Raw(echo.port, "/flood") as raw:
        raw.send(frame(FIN | TEXT, b"go"))
        time.sleep(1.5)
        frames = 0
        while frames < 300:
            first, payload = raw.frame()
            if first == FIN | PING:
                raw.send(frame(FIN | PONG))
            frames += len(payload) == 65536


def test_slow_readers(make_echo):
    echo = make_echo("max_message=4194304")
    # One who heeds back-pressure waits for the reader, with little memory.
    with Raw(echo.port, "/flood") as raw:
        raw.send(frame(FIN | TEXT, b"go"))
        time.sleep(0.5)
        before = echo.rss()
        time.sleep(0.5)
        assert echo.rss() - before < 1 << 20
        for _ in range(500):
            assert len(raw.frame()[1]) == 65536
    # An echo is not read on while nobody takes what comes back.
    with Raw(echo.port, "/plain") as raw:
        raw.sock.settimeout(1)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 200 << 20:
                sent += raw.sock.send(frame(FIN | BINARY, b"x" * 100000))
        assert sent < 100 << 20 and echo.rss() < 100 << 20
    # One who does not heed it is cut.
    with Raw(echo.port, "/flood") as raw:
        raw.send(frame(FIN | TEXT, b"careless"))
        echo.closed("1006 the client is too slow")


def test_draining_says_1001(make_echo):
    echo = make_echo()
    sockets = [Raw(echo.port) for _ in range(20)]
    for raw in sockets:
        raw.send(frame(FIN | TEXT, b"hello") + frame(TEXT, b"half a message"))
        assert raw.frame() == (FIN | TEXT, b"hello")
    begin = time.monotonic()
    echo.process.send_signal(signal.SIGTERM)
    for raw in sockets:
        first, payload = raw.frame()
        assert first == FIN | CLOSE and payload[:2] == struct.pack(">H", 1001)
        raw.send(frame(FIN | CLOSE, b"\x03\xe9"))
        if raw is sockets[0]:  # what still comes is taken, so that nothing is reset away
            time.sleep(0.1)
            raw.send(frame(FIN | PING))
            time.sleep(0.1)
            raw.send(frame(FIN | PING))
        assert raw.ended()
        raw.sock.close()
    assert echo.process.wait(20) == 0
    assert time.monotonic() - begin < 5
    echo.reader.join(10)
    assert sum(line.startswith("closed 1001") for line in echo.lines) == 20


# --- python3-websockets ------------------------------------------------------------------------------


def test_python_websockets(make_echo):
    echo = make_echo("max_message=16777216", "max_waiting=33554432")

    async def talk(compression):
        async with websockets.connect(echo.url(), compression=compression, max_size=None, subprotocols=["chat"]) as ws:
            assert ws.subprotocol == "chat" and len(ws.extensions) == (compression is not None)
            for message in ("", "héllo €", b"", b"\0\1\2", "words and more words, " * 3000, os.urandom(200000)):
                await ws.send(message)
                assert await ws.recv() == message
            await ws.send(["frag", "ments", " of €", "", " text"])
            assert await ws.recv() == "fragments of € text"
            await asyncio.wait_for(await ws.ping(b"data"), 10)
            big = os.urandom(1 << 20) * 16
            await ws.send(big)
            assert hashlib.sha256(await ws.recv()).digest() == hashlib.sha256(big).digest()
            await ws.close(3999, "enough")
            assert ws.close_code == 3999

    async def both():
        await talk(None)
        await talk("deflate")

    asyncio.run(both())
    echo.closed("3999 enough", count=2)


def test_tls(make_echo, tmp_path):
    cert, key = make_certificate(tmp_path / "tls", "localhost")
    echo = make_echo(f"cert={cert}", f"key={key}")
    context = ssl.create_default_context(cafile=str(cert))

    async def talk():
        async with websockets.connect(f"wss://localhost:{echo.port}/echo", ssl=context, origin=f"https://localhost:{echo.port}") as ws:
            for size in (0, 10, 100000, 500000):
                await ws.send(b"x" * size)
                assert await ws.recv() == b"x" * size

    asyncio.run(talk())
    echo.closed("1000")


@pytest.mark.skipif(shutil.which("node") is None or not (ROOT / "node_modules" / "ws").is_dir(), reason="needs npm ci --ignore-scripts")
def test_npm_ws(echo):
    done = subprocess.run(["node", ROOT / "tests" / "system" / "websocket_npm.mjs", f"ws://127.0.0.1:{echo.port}"], cwd=ROOT,
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and done.stdout == "ok\n", done.stdout + done.stderr


# --- RFC 8441 ----------------------------------------------------------------------------------------


class H2:
    """WebSockets as streams of one connection."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.status, self.headers, self.data, self.over = {}, {}, {}, {}
        self.settings = False
        self.flush()
        while not self.settings:
            self.step()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def step(self):
        data = self.sock.recv(1 << 16)
        assert data, "the connection has ended"
        for event in self.h2.receive_data(data):
            stream = getattr(event, "stream_id", None)
            if isinstance(event, h2.events.RemoteSettingsChanged):
                self.settings = True
            elif isinstance(event, h2.events.ResponseReceived):
                self.headers[stream] = dict(event.headers)
                self.status[stream] = int(self.headers[stream][":status"])
            elif isinstance(event, h2.events.DataReceived):
                self.data[stream] = self.data.get(stream, b"") + event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
            elif isinstance(event, h2.events.StreamEnded):
                self.over[stream] = "end"
            elif isinstance(event, h2.events.StreamReset):
                self.over[stream] = "reset"
        self.flush()

    def open(self, path="/echo", protocol="websocket", version="13", extra=()):
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"), (":authority", "a.test"), (":path", path)]
        fields += [("sec-websocket-version", version)] if version else []
        self.h2.send_headers(stream, fields + list(extra))
        self.flush()
        while stream not in self.status:
            self.step()
        return stream

    def send(self, stream, data, end=False):
        while data:
            n = min(len(data), self.h2.local_flow_control_window(stream), 16000)
            if n == 0:
                self.step()
                continue
            self.h2.send_data(stream, data[:n])
            self.flush()
            data = data[n:]
        if end:
            self.h2.end_stream(stream)
            self.flush()

    def expect(self, stream, data):
        while len(self.data.get(stream, b"")) < len(data):
            self.step()
        got = self.data[stream]
        assert got[:len(data)] == data
        self.data[stream] = got[len(data):]


def test_http2_8441(make_echo):
    echo = make_echo()
    with H2(echo.port) as client:
        assert client.h2.remote_settings.enable_connect_protocol == 1
        streams = [client.open(extra=[("sec-websocket-protocol", "chat"), ("origin", "http://a.test")]) for _ in range(5)]
        for stream in streams:
            assert client.status[stream] == 200
            assert client.headers[stream]["sec-websocket-protocol"] == "chat"
            assert not {"sec-websocket-accept", "connection", "upgrade"} & set(client.headers[stream])
        for n, stream in enumerate(streams):
            client.send(stream, frame(FIN | TEXT, str(n).encode() * 5000) + frame(FIN | PING, b"p"))
        for n, stream in enumerate(streams):
            client.expect(stream, frame(FIN | TEXT, str(n).encode() * 5000, mask=None) + frame(FIN | PONG, b"p", mask=None))
        big = b"big" * 200000
        client.send(streams[0], frame(FIN | BINARY, big))
        client.expect(streams[0], frame(FIN | BINARY, big, mask=None))
        client.send(streams[1], frame(FIN | CLOSE, b"\x03\xe8"), end=True)
        client.expect(streams[1], frame(FIN | CLOSE, b"\x03\xe8", mask=None))
        client.send(streams[2], frame(FIN | 3))
        client.expect(streams[2], b"\x88\x11\x03\xeareserved opcode")
        client.h2.reset_stream(streams[3])
        client.flush()
        while streams[1] not in client.over:
            client.step()
        echo.closed("1000")
        echo.closed("1006", count=2)
        for protocol, version, extra, status in (("websocket", "8", [], 426), ("websocket", None, [], 400), ("other", "13", [], 426),
                                                 ("websocket", "13", [("origin", "http://b.test")], 403)):
            assert client.status[client.open(protocol=protocol, version=version, extra=extra)] == status
        # Draining reaches the streams too.
        begin = time.monotonic()
        echo.process.send_signal(signal.SIGTERM)
        data = b""  # python3-h2 takes nothing behind a GOAWAY
        while b"\x03\xe9the server is shutting down" not in data:
            got = client.sock.recv(1 << 16)
            assert got
            data += got
        answer = frame(FIN | CLOSE, b"\x03\xe9")
        client.sock.sendall(len(answer).to_bytes(3, "big") + b"\0\1" + streams[4].to_bytes(4, "big") + answer)
        client.sock.close()
        assert echo.process.wait(20) == 0
        assert time.monotonic() - begin < 6


# --- Many --------------------------------------------------------------------------------------------

IDLE = 5000
IDLE_BYTES_MAX = 10000  # of resident memory each; what the kernel holds for TCP is not in it


def test_idle_ones_are_cheap(make_echo):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE + 500:
        pytest.skip(f"needs {IDLE} descriptors, may have {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sockets = []
    try:
        echo = make_echo()
        with Raw(echo.port, Sec_WebSocket_Extensions="permessage-deflate") as first:
            first.send(frame(FIN | RSV1 | TEXT, deflate(b"warm up " * 1000)))
            first.frame()
            before = echo.rss()
            for i in range(IDLE):
                raw = Raw(echo.port, Sec_WebSocket_Extensions="permessage-deflate", User_Agent="a client of the usual length", Cookie="session=" + "c" * 100)
                assert raw.status == 101
                raw.send(frame(FIN | TEXT, f"hello {i}".encode()))
                assert raw.frame() == (FIN | TEXT, f"hello {i}".encode())
                sockets.append(raw)
            each = (echo.rss() - before) / IDLE
            print(f"\n{each:.0f} bytes resident for each idle WebSocket")
            assert each < IDLE_BYTES_MAX
            for i in range(0, IDLE, 50):  # they still live
                sockets[i].send(frame(FIN | TEXT, b"again"))
                assert sockets[i].frame() == (FIN | TEXT, b"again")
    finally:
        for raw in sockets:
            raw.sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    echo.closed("1006", count=IDLE)
