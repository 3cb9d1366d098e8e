# SPDX-License-Identifier: Apache-2.0
"""HTTP/2: other people's clients, the rules of RFC 9113 over a socket, floods, slow readers, draining."""

import json
import re
import signal
import socket
import ssl
import subprocess
import time

import h2.config
import h2.connection
import h2.events
import hpack
import pytest
from harness import wait_until
from http2_frames import GOAWAY, HEADERS, SETTINGS, Peer, cases, field, frame, request
from test_http import make_certificate

WINE = [[13.0, 2.0, 2.3, 19.5, 100.0, 2.3, 2.0, 0.36, 1.6, 5.1, 0.96, 2.6, 746.0]]
PATHS = ("/health/live", "/api/v1/predict")


def run(*command, stdin=None, seconds=60):
    done = subprocess.run([str(c) for c in command], input=stdin, capture_output=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr.decode()[-2000:]}"
    return done.stdout.decode()


def predict_text():
    return json.dumps({"model": "wine", "features": WINE})


class Client:
    """One connection of python3-h2."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.streams = {}
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def ask(self, method, path, body=None, headers=(), end=True):
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "http"), (":authority", "a.test"), (":path", path), *headers]
        self.h2.send_headers(stream, fields, end_stream=body is None and end)
        if body is not None:
            self.h2.send_data(stream, body, end_stream=end)
        self.flush()
        self.streams[stream] = {"status": None, "headers": {}, "body": b"", "ended": False, "reset": None, "interim": []}
        return stream

    def take(self, event):
        state = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.ResponseReceived):
            state["headers"] = dict(event.headers)
            state["status"] = int(state["headers"][":status"])
        elif isinstance(event, h2.events.InformationalResponseReceived):
            state["interim"].append(dict(event.headers)[":status"])
        elif isinstance(event, h2.events.DataReceived):
            state["body"] += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            state["ended"] = True
        elif isinstance(event, h2.events.StreamReset) and state:
            state["reset"] = event.error_code

    def answer(self, stream):
        state = self.streams[stream]
        while not state["ended"] and state["reset"] is None:
            got = self.sock.recv(1 << 16)
            assert got, "the server closed"
            for event in self.h2.receive_data(got):
                self.take(event)
            self.flush()
        return state


# --- Other people's clients ------------------------------------------------------------------------


def test_curl_predicts_over_h2c(server):
    text = run("curl", "-sS", "--http2-prior-knowledge", "-w", "\n%{http_version} %{http_code}", "-d", predict_text(), f"{server.url}/api/v1/predict")
    body, status = text.rsplit("\n", 1)
    assert status == "2 200"
    assert json.loads(body)["predictions"] == server.predictions("wine", WINE)


def test_http1_and_http2_share_the_port(server):
    assert run("curl", "-sS", "--http1.1", "-w", " %{http_version}", f"{server.url}/health/live").endswith(" 1.1")
    # An upgrade from HTTP/1.1 is not offered (RFC 9113 has taken it away): the answer stays HTTP/1.1.
    assert run("curl", "-sS", "--http2", "-w", " %{http_version} %{http_code}", f"{server.url}/health/live").endswith(" 1.1 200")


@pytest.fixture(scope="module")
def tls(binary, tmp_path_factory):
    from conftest import check_end, copy_examples
    from harness import Server

    folder = tmp_path_factory.mktemp("h2tls")
    cert, key = make_certificate(folder / "cert", "h2")
    own = Server(binary, folder, "--tls-cert", cert, "--tls-key", key, models=copy_examples(folder / "models"), listen=("127.0.0.1:0", "https://127.0.0.1:0"))
    own.start()
    own.wait_model("wine")
    own.tls_port = [int(p) for _, p in own.bound()][1]
    own.cert = cert
    yield own
    check_end(own)


def test_curl_predicts_over_tls(tls):
    text = run("curl", "-sS", "--cacert", tls.cert, "-w", "\n%{http_version} %{http_code}", "-d", predict_text(), f"https://localhost:{tls.tls_port}/api/v1/predict")
    body, status = text.rsplit("\n", 1)
    assert status == "2 200" and json.loads(body)["predictions"] == tls.predictions("wine", WINE)


def test_alpn(tls):
    def choose(*names):
        context = ssl.create_default_context(cafile=tls.cert)
        context.set_alpn_protocols(names)
        with context.wrap_socket(socket.create_connection(("127.0.0.1", tls.tls_port), timeout=10), server_hostname="localhost") as s:
            return s.selected_alpn_protocol()

    assert choose("h2", "http/1.1") == "h2"
    assert choose("http/1.1", "h2") == "h2"
    assert choose("http/1.1") == "http/1.1"


def test_h2_switched_off(make_server):
    own = make_server(env={"MAINSTAY_HTTP_H2": "off"})
    with Peer(own.port) as peer:
        peer.start()
        assert peer.wait(lambda: peer.closed)
        assert peer.find(HEADERS) == []
    assert own.status("/health/live") == 200


def test_limits_are_settings(make_server):
    own = make_server(env={"MAINSTAY_HTTP_H2_STREAMS": "5", "MAINSTAY_HTTP_H2_GLITCHES": "10"})
    with Peer(own.port) as peer:
        peer.start().send(b"".join(frame("headers", 4, 2 * i + 1, request("POST", PATHS[1])) for i in range(6)))
        assert peer.wait(lambda: peer.goaway("PROTOCOL_ERROR"))  # it had acknowledged the limit
        told = peer.find(SETTINGS)[0][3]
        assert b"\0\x03\0\0\0\x05" in [told[i:i + 6] for i in range(0, len(told), 6)]
    with Peer(own.port) as peer:
        peer.start().send(frame("settings", 0, 0) * 10)
        assert peer.wait(lambda: len([f for f in peer.find(SETTINGS) if f[1] & 1]) == 11)
        peer.send(frame("settings", 0, 0))
        assert peer.wait(lambda: peer.goaway("ENHANCE_YOUR_CALM"))


@pytest.mark.parametrize("streams", [1, 100])
def test_h2load(server, streams):
    text = run("h2load", "-n", "5000", "-c", "4", "-m", streams, f"{server.url}/health/live")
    assert "5000 succeeded, 0 failed, 0 errored, 0 timeout" in text and "5000 2xx" in text


def test_h2load_predicts_over_tls(tls, tmp_path):
    body = tmp_path / "body.json"
    body.write_text(predict_text())
    text = run("h2load", "-n", "3000", "-c", "3", "-m", "50", "-d", body, f"https://localhost:{tls.tls_port}/api/v1/predict")
    assert "3000 succeeded, 0 failed, 0 errored, 0 timeout" in text and "3000 2xx" in text


def test_nghttp(server):
    text = run("nghttp", "-v", "-n", f"{server.url}/health/live", f"{server.url}/openapi.json")
    assert len(re.findall(r":status: 200", text)) == 2 and "GOAWAY frame <length=8, flags=0x00, stream_id=0>\n          (last_stream_id=0" in text


# --- Requests ----------------------------------------------------------------------------------------


def test_many_streams_at_once(server):
    want = server.predictions("wine", WINE)
    with Client(server.port) as c:
        streams = [c.ask("POST", "/api/v1/predict", predict_text().encode(), [("content-type", "application/json")]) for _ in range(100)]
        for stream in reversed(streams):
            answer = c.answer(stream)
            assert answer["status"] == 200 and json.loads(answer["body"])["predictions"] == want


def test_errors_are_the_same_as_over_http1(server):
    with Client(server.port) as c:
        for method, path, status in [("GET", "/nope", 404), ("DELETE", "/health/live", 405), ("GET", "/api/v1/models/%zz", 400), ("BREW", "/", 501),
                                     ("GET", "/" + "a" * 9000, 414)]:
            answer = c.answer(c.ask(method, path))
            assert answer["status"] == status and json.loads(answer["body"])["request_id"] == answer["headers"]["x-request-id"]
        answer = c.answer(c.ask("GET", "/health/live", headers=[("x-a", "a" * 20000), ("x-b", "b" * 20000)]))
        assert answer["status"] == 431
        answer = c.answer(c.ask("GET", "/health/live", headers=[(f"x-{i}", "1") for i in range(101)]))
        assert answer["status"] == 431
        answer = c.answer(c.ask("GET", "/health/live", headers=[("expect", "a-miracle")]))
        assert answer["status"] == 417
        answer = c.answer(c.ask("OPTIONS", "*"))
        assert answer["status"] == 204 and "GET" in answer["headers"]["allow"]
        assert c.answer(c.ask("GET", "/health/live"))["status"] == 200


def test_request_id_head_and_compression(server):
    with Client(server.port) as c:
        answer = c.answer(c.ask("HEAD", "/openapi.json", headers=[("x-request-id", "of-mine")]))
        assert answer["headers"]["x-request-id"] == "of-mine" and answer["body"] == b"" and int(answer["headers"]["content-length"]) > 1000
        answer = c.answer(c.ask("GET", "/openapi.json", headers=[("accept-encoding", "gzip")]))
        assert answer["headers"]["content-encoding"] == "gzip" and answer["body"][:2] == b"\x1f\x8b"
        assert "connection" not in answer["headers"] and "transfer-encoding" not in answer["headers"]


def test_expect_continue(server):
    with Client(server.port) as c:
        stream = c.ask("POST", "/api/v1/predict", headers=[("expect", "100-continue"), ("content-type", "application/json")], end=False)
        while not c.streams[stream]["interim"]:
            for event in c.h2.receive_data(c.sock.recv(1 << 16)):
                c.take(event)
        assert c.streams[stream]["interim"] == ["100"]
        c.h2.send_data(stream, predict_text().encode(), end_stream=True)
        c.flush()
        assert c.answer(stream)["status"] == 200


def test_large_bodies_both_ways(server):
    rows = json.dumps({"model": "wine", "features": WINE * 20000}).encode()  # some 2 MB, and an answer of some 100 KB
    with Client(server.port) as c:
        stream = c.ask("POST", "/api/v1/predict", headers=[("content-type", "application/json")], end=False)
        at = 0
        while at < len(rows):
            room = min(c.h2.local_flow_control_window(stream), 16384)
            if room > 0:
                c.h2.send_data(stream, rows[at:at + room], end_stream=at + room >= len(rows))
                at += room
                c.flush()
                continue
            for event in c.h2.receive_data(c.sock.recv(1 << 16)):
                c.take(event)
        answer = c.answer(stream)
        assert answer["status"] == 200 and len(json.loads(answer["body"])["predictions"]) == 20000


def test_body_over_the_limit(make_server):
    own = make_server(env={"MAINSTAY_HTTP_BODY_LIMIT": "1KiB"})
    with Client(own.port) as c:
        answer = c.answer(c.ask("POST", "/api/v1/predict", b"x" * 4000))
        assert answer["status"] == 413
        stream = c.ask("POST", "/api/v1/predict", b"x" * 4000, end=False)
        assert c.answer(stream)["status"] == 413
        assert c.answer(c.ask("GET", "/health/live"))["status"] == 200


def test_slow_body(make_server):
    own = make_server(env={"MAINSTAY_HTTP_BODY_TIMEOUT": "300ms"})
    with Client(own.port) as c:
        stream = c.ask("POST", "/api/v1/predict", b"{", end=False)
        assert c.answer(stream)["status"] == 408
        assert c.answer(c.ask("GET", "/health/live"))["status"] == 200


def test_slow_header_block_and_no_preface(make_server):
    own = make_server(env={"MAINSTAY_HTTP_HEADER_TIMEOUT": "300ms"})
    with Peer(own.port) as peer:
        peer.start().send(frame("headers", 1, 1, request("GET", "/health/live")))
        assert peer.wait(lambda: peer.closed)
    with Peer(own.port) as peer:
        peer.send(b"PRI * HTTP/2")
        assert peer.wait(lambda: peer.closed)
    assert own.status("/health/live") == 200


def test_idle_connection_gets_a_goodbye(make_server):
    own = make_server(env={"MAINSTAY_HTTP_IDLE_TIMEOUT": "300ms"})
    with Peer(own.port) as peer:
        peer.start()
        assert peer.wait(lambda: peer.goaway("NO_ERROR")) and peer.wait(lambda: peer.closed)


def test_reader_that_does_not_read(make_server):
    """A window that stays shut: the stream is given up, the connection goes on."""
    own = make_server(env={"MAINSTAY_HTTP_WRITE_TIMEOUT": "300ms"})
    with Peer(own.port) as peer:
        peer.start().send(frame("settings", 0, 0, b"\0\4\0\0\0\1") + frame("headers", 5, 1, request("GET", "/openapi.json")))
        assert peer.wait(lambda: peer.reset(1, "CANCEL"))
        peer.send(frame("ping", 0, 0, b"are you?"))
        assert peer.wait(lambda: peer.pong(b"are you?"))
        assert len(peer.body(1)) == 1
    wait_until(lambda: own.status("/health/live") == 200)


def test_extended_connect_to_what_is_no_tunnel(server):
    """Success would open the tunnel; a route that opens none must not seem to."""
    with Peer(server.port) as peer:
        fields = field(":method", "CONNECT") + field(":protocol", "websocket") + field(":scheme", "http") + field(":path", "/health/live") + field(":authority", "a")
        peer.start().send(frame("headers", 4, 1, fields))
        assert peer.wait(lambda: peer.ended(1))
        assert dict(hpack.Decoder().decode(peer.find(HEADERS, 1)[0][3]))[":status"] == "501"
        told = peer.find(SETTINGS)[0][3]
        assert b"\0\x08\0\0\0\x01" in [told[i:i + 6] for i in range(0, len(told), 6)]  # SETTINGS_ENABLE_CONNECT_PROTOCOL


def test_plain_connect(server):
    with Peer(server.port) as peer:
        peer.start().send(frame("headers", 4, 1, field(":method", "CONNECT") + field(":authority", "a.test:443")))
        assert peer.wait(lambda: peer.ended(1))
        assert json.loads(peer.body(1))["code"] == "http.method_unknown"


def test_metrics_count(make_server):
    own = make_server()
    with Client(own.port) as c:
        assert c.answer(c.ask("GET", "/health/live"))["status"] == 200
    text = own.get("/metrics").text
    assert re.search(r'http_requests_total\{method="GET",endpoint="/health/live",status="200"\} [1-9]', text)


# --- The rules ---------------------------------------------------------------------------------------


def test_conformance(server):
    """Every case of the vectors, over a socket, against the program."""
    missed = []
    ran = cases(PATHS)
    for case in ran:
        with Peer(server.port) as peer:
            missed += [f"[{case.title}] {line}" for line in case.run(peer)]
    assert missed == []
    assert len(ran) >= 146
    assert server.status("/health/live") == 200


# --- Floods ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["rapid 20000", "repeat 100000 settings 0 0", "repeat 100000 ping 0 0 z:8", "repeat 100000 priority 1 0 u32:0 h:10",
                                  "malformed 20000", "repeat 100000 t99 0 0"])
def test_flood_ends_in_goaway_with_bounded_memory(make_server, what):
    own = make_server()
    before = own.memory()
    flood = [c for c in cases(PATHS) if c.title == "flood SETTINGS"][0]
    bytes_out = flood.out + flood.line_out(what.split())
    for _ in range(5):
        with Peer(own.port) as peer:
            peer.send(bytes_out)
            assert peer.wait(lambda: peer.goaway("ENHANCE_YOUR_CALM") or peer.closed, 10)
    assert own.memory() - before < 20 << 20
    assert own.status("/health/live") == 200


def test_continuation_without_end(make_server):
    own = make_server()
    before = own.memory()
    with Peer(own.port) as peer:
        peer.start().send(frame("headers", 1, 1, request("GET", "/")) + frame("cont", 0, 1, field("x-a", "y" * 100) * 150) * 5000)
        assert peer.wait(lambda: peer.goaway("ENHANCE_YOUR_CALM") or peer.closed, 10)
    assert own.memory() - before < 20 << 20
    assert own.status("/health/live") == 200


def test_answers_that_nobody_reads_are_bounded(make_server):
    """Requests without end, and never a read: TCP holds the client, then the write timeout ends it."""
    own = make_server(env={"MAINSTAY_HTTP_WRITE_TIMEOUT": "1s"})
    before = own.memory()
    with Peer(own.port) as peer:
        window = frame("settings", 0, 0, b"\0\4\x7f\xff\xff\xff") + frame("window", 0, 0, (0x7FFF0000).to_bytes(4, "big"))
        peer.start().send(window)
        peer.sock.settimeout(0.5)
        stream = 1
        try:
            while stream < 200000:
                peer.sock.sendall(b"".join(frame("headers", 5, stream + 2 * i, request("GET", "/openapi.json")) for i in range(50)))
                stream += 100
        except (TimeoutError, OSError):
            pass
        assert own.memory() - before < 60 << 20
        peer.sock.settimeout(5)
        assert peer.wait(lambda: peer.closed, 10)
    assert own.status("/health/live") == 200


# --- Draining ----------------------------------------------------------------------------------------


def test_drain_finishes_open_streams(make_server):
    own = make_server(examples=True)
    own.wait_model("wine")
    with Peer(own.port) as peer:
        body = predict_text().encode()
        peer.start().send(frame("headers", 4, 1, request("POST", "/api/v1/predict") + field("content-type", "application/json")))
        peer.send(frame("ping", 0, 0, b"are you?"))
        assert peer.wait(lambda: peer.pong(b"are you?"))
        own.signal(signal.SIGTERM)
        assert peer.wait(lambda: peer.find(GOAWAY))
        first = peer.find(GOAWAY)[0][3]
        assert int.from_bytes(first[:4], "big") == 0x7FFFFFFF and first[4:8] == bytes(4)
        # Under way before the client knew: still served.
        peer.send(frame("headers", 5, 3, request("GET", "/health/live")))
        assert peer.wait(lambda: peer.ended(3))
        ours = [f for f in peer.find(6) if not f[1] & 1]
        peer.send(frame("ping", 1, 0, ours[0][3]))
        assert peer.wait(lambda: len(peer.find(GOAWAY)) == 2)
        assert int.from_bytes(peer.find(GOAWAY)[1][3][:4], "big") == 3
        peer.send(frame("data", 1, 1, body))
        assert peer.wait(lambda: peer.ended(1)) and b"predictions" in peer.body(1)
        assert peer.wait(lambda: peer.closed)
    assert own.wait_exit() == 0


def test_clients_that_leave_in_the_middle(server):
    for cut in range(1, 60, 7):
        with Peer(server.port) as peer:
            whole = frame("headers", 4, 1, request("POST", "/api/v1/predict")) + frame("data", 0, 1, b"{")
            peer.start().send(whole[:cut])
    with Peer(server.port) as peer:
        peer.start()
        for i in range(50):
            peer.send(frame("headers", 5, 2 * i + 1, request("GET", "/openapi.json")) + frame("rst", 0, 2 * i + 1, b"\0\0\0\x08"))
    time.sleep(0.2)
    assert server.status("/health/live") == 200
