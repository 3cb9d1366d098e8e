# SPDX-License-Identifier: Apache-2.0
"""The gateway as a proxy: what reaches upstreams and clients, with upstreams of other people and with ones that hang, reset and lie."""

import base64
import collections
import concurrent.futures
import http.client
import os
import socket
import threading
import time

import pytest
import requests
from conftest import check_end
from gateway_peer import Gateway, Grpc, Peer, free_port, grpc_call, haproxy, nginx, node, service, upstream
from harness import Closed, raw_request, sha256, wait_until

FAST = {"connect_timeout": 500, "read_timeout": 500, "write_timeout": 500}


@pytest.fixture
def peers():
    made = [Peer(), Peer(), Peer()]
    yield made
    for peer in made:
        if not peer.stopped:
            peer.stop()


@pytest.fixture
def gateway(binary, tmp_path):
    made = []

    def make(document, *args, **options):
        made.append(Gateway(binary, tmp_path / f"gateway{len(made)}", document, *args, **options).start())
        return made[-1]

    yield make
    for one in made:
        check_end(one)


@pytest.fixture
def simple(gateway, peers):
    """One peer behind /p, with short timeouts and two retries."""
    return gateway({"services": [service("p", "127.0.0.1", peers[0].port, retries=2, **FAST)]})


# --- What goes through -----------------------------------------------------------------------------------


def test_request_and_answer(simple, peers):
    answer = simple.get("/p/answer/a%20b?x=1&y=%2F", headers={"X-Own": "1", "Connection": "keep-alive, X-Hop", "X-Hop": "h"})
    assert answer.status_code == 200
    seen = answer.json()
    headers = {n.lower(): v for n, v in seen["headers"]}
    assert seen["path"] == "/answer/a%20b?x=1&y=%2F"
    assert headers["host"] == peers[0].target
    assert headers["x-own"] == "1"
    assert "x-hop" not in headers
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-host"] == "127.0.0.1"
    assert headers["x-forwarded-port"] == str(simple.port)
    assert headers["x-forwarded-path"] == "/p/answer/a%20b"
    assert headers["x-forwarded-prefix"] == "/p"
    assert headers["x-real-ip"] == "127.0.0.1"
    assert headers["x-request-id"] == answer.headers["X-Request-ID"]
    assert headers["traceparent"].startswith("00-")
    assert "via" not in headers
    assert int(answer.headers["X-Mainstay-Upstream-Latency"]) >= 0
    assert int(answer.headers["X-Mainstay-Proxy-Latency"]) >= 0


@pytest.mark.parametrize("size", [0, 1, 5000, 300_000])
def test_bodies_in_both_framings(simple, peers, size):
    body = os.urandom(size)
    assert simple.post("/p/echo", data=body).content == body

    def pieces():
        for at in range(0, size, 7001):
            yield body[at : at + 7001]

    assert simple.post("/p/echo", data=pieces()).content == body
    request = peers[0].requests[-1]
    if size:
        assert request.header("Transfer-Encoding") == "chunked" and request.header("Content-Length") is None


def test_head_and_no_content(simple):
    answer = simple.request("HEAD", "/p/answer")
    assert answer.status_code == 200 and int(answer.headers["Content-Length"]) > 100 and answer.content == b""
    with simple.connect() as c:
        for _ in range(3):
            c.send(raw_request("HEAD", "/p/answer"))
            assert c.answer("HEAD").status == 200
        assert c.ask(raw_request("GET", "/p/echo")).status == 200


def test_interim_answers_go_on(simple):
    with simple.connect() as c:
        first = c.ask(raw_request("GET", "/p/interim"))
        assert first.status == 103 and "a.css" in first.header("Link")
        assert c.answer().body == b"done"


def test_expect_continue(simple):
    with simple.connect() as c:
        c.send("POST /p/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert c.answer().status == 100
        assert c.ask(b"body").body == b"body"


def test_answers_of_unknown_length(simple):
    assert simple.get("/p/chunks/ab,cde,f").content == b"abcdef"
    assert simple.get("/p/until-close").content == b"all that there is"


def test_pipelined_requests_come_in_order(simple):
    with simple.connect() as c:
        c.send(b"".join(raw_request("GET", f"/p/answer/{i}") for i in range(20)))
        assert [c.answer().json()["path"] for _ in range(20)] == [f"/answer/{i}" for i in range(20)]


def test_connections_are_kept(simple, peers):
    for _ in range(50):
        assert simple.get("/p/answer").status_code == 200
    assert peers[0].connections <= 4  # one for each loop, and some to spare


def test_real_servers(gateway, tmp_path):
    servers = {"nginx": nginx(tmp_path / "nginx"), "haproxy": haproxy(tmp_path / "haproxy"), "node": node()}
    try:
        g = gateway({"services": [service(name, "127.0.0.1", s.port, **FAST) for name, s in servers.items()]})
        for _ in range(20):
            body = g.get("/nginx/file.bin")
            assert body.status_code == 200
            assert sha256(body.content) == sha256(bytes(range(256)) * 4096)
            part = g.get("/nginx/file.bin", headers={"Range": "bytes=10-19"})
            assert part.status_code == 206 and part.content == bytes(range(10, 20))
            assert g.get("/nginx/headers/x?q").text == f"{servers['nginx'].target}|127.0.0.1||/headers/x?q"
            assert g.get("/nginx/moved", allow_redirects=False).headers["Location"].endswith("/elsewhere")
            assert g.get("/nginx/none").status_code == 404
            assert g.get("/haproxy/abc").text == "GET /abc 127.0.0.1"
            assert g.post("/node/n", data=b"12345").text == "node POST /n 5"
            assert g.post("/node/n", data=iter([b"123", b"45"])).text == "node POST /n 5"
        # Trailers reach a client that takes them.
        with g.connect() as c:
            c.send("GET /node/t HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n")
            while b"X-Sum: 0" not in c.buffer and b"x-sum: 0" not in c.buffer.lower():
                assert c.receive(), c.buffer
    finally:
        for s in servers.values():
            s.stop()


# --- Identity and trust ----------------------------------------------------------------------------------

FOREIGN = {
    "X-Consumer-ID": "1", "X-Consumer-Username": "root", "X-Consumer-Custom-ID": "2", "X-Credential-Identifier": "k",
    "X-Anonymous-Consumer": "false", "X-Consumer-Groups": "admins", "X-Forwarded-For": "6.6.6.6", "X-Real-IP": "6.6.6.6",
    "X-Forwarded-Host": "evil", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/x", "Forwarded": "for=6.6.6.6",
    "X_Consumer_Username": "root", "X_Forwarded_For": "6.6.6.6", "X_Real_IP": "6.6.6.6",
}


def test_foreign_identity_is_taken_away(simple):
    seen = simple.get("/p/answer", headers=FOREIGN).json()["headers"]
    names = {n.lower().replace("_", "-") for n, _ in seen}
    assert not names & {n.lower() for n in FOREIGN if n.startswith(("X-Consumer", "X-Cred", "X-Anon"))}
    assert "forwarded" not in names
    text = str(seen)
    assert "6.6.6.6" not in text and "evil" not in text and "root" not in text


def test_trusted_proxies_are_believed(gateway, peers):
    g = gateway({"services": [service("p", "127.0.0.1", peers[0].port)]}, env={"MAINSTAY_GATEWAY_TRUSTED_PROXIES": "127.0.0.0/8,10.0.0.0/8"})
    headers = {"X-Forwarded-For": "7.7.7.7, 8.8.8.8, 10.1.2.3", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop", "X-Consumer-Username": "root"}
    seen = {n.lower(): v for n, v in g.get("/p/answer", headers=headers).json()["headers"]}
    assert seen["x-forwarded-for"] == "7.7.7.7, 8.8.8.8, 10.1.2.3, 127.0.0.1"
    assert seen["x-real-ip"] == "8.8.8.8"  # the nearest that is not trusted; what it says itself is hearsay
    assert seen["x-forwarded-proto"] == "https" and seen["x-forwarded-host"] == "shop"
    assert "x-consumer-username" not in seen


# --- Failures --------------------------------------------------------------------------------------------


def check_error(answer, status, message, code):
    assert answer.status_code == status
    document = answer.json()
    assert document["message"] == message and document["error"] == message and document["code"] == code
    assert document["request_id"] == answer.headers["X-Request-ID"]


def test_error_bodies(gateway, peers):
    nobody = free_port()
    g = gateway({
        "upstreams": [upstream("empty")],
        "services": [service("refused", "127.0.0.1", nobody, retries=1), service("none", "empty"), service("p", "127.0.0.1", peers[0].port, retries=0, **FAST)],
    })
    check_error(g.get("/refused/x"), 502, "An invalid response was received from the upstream server", "gateway.upstream_unreachable")
    check_error(g.get("/none/x"), 503, "failure to get a peer from the ring-balancer", "gateway.no_target")
    check_error(g.get("/unknown"), 404, "no Route matched with those values", "gateway.no_route")
    check_error(g.get("/p/hang"), 504, "The upstream server is timing out", "gateway.upstream_timeout")
    check_error(g.get("/p/close"), 502, "An invalid response was received from the upstream server", "gateway.upstream_broken")
    assert g.get("/health/live").status_code == 200  # our own routes are there besides


LIES = ["both", "two-lengths", "garbage", "split", "close", "reset"]


@pytest.mark.parametrize("lie", LIES)
def test_lies_in_the_head_are_502(simple, lie):
    for method in ("GET", "POST"):
        answer = simple.request(method, f"/p/{lie}", data=b"x" if method == "POST" else None)
        assert answer.status_code == 502, answer.text
        assert answer.json()["message"] == "An invalid response was received from the upstream server"
    assert simple.get("/p/echo").status_code == 200


@pytest.mark.parametrize("path", ["short", "chunks-cut", "chunks-bad"])
def test_cut_answers_are_never_completed(simple, path):
    for version in ("HTTP/1.1", "HTTP/1.0"):
        with simple.connect() as c:
            c.send(f"GET /p/{path} {version}\r\nHost: a\r\n\r\n")
            try:
                answer = c.answer()
            except (Closed, ValueError):
                continue
            # HTTP/1.0 has no framing but the end of the connection: only a reset can tell.
            assert answer.status == 502 or version == "HTTP/1.0", answer


def test_a_second_answer_is_not_smuggled(simple, peers):
    for _ in range(10):
        answer = simple.get("/p/long")
        assert answer.content in (b"good",) or answer.status_code == 502
        assert simple.get("/p/echo").content == b""
        assert "evil" not in simple.get("/p/answer").text


def test_unsafe_requests_are_not_sent_twice(simple, peers):
    for path in ("close", "reset", "hang", "garbage"):
        for method in ("POST", "PATCH"):
            status = simple.request(method, f"/p/{path}", data=b"once").status_code
            assert status == (504 if path == "hang" else 502)
            assert peers[0].seen(method, f"/{path}") == 1, path


def test_safe_requests_are_tried_again(simple, peers):
    for method in ("GET", "PUT", "DELETE"):
        assert simple.request(method, "/p/close", data=b"twice" if method == "PUT" else None).status_code == 502
        assert peers[0].seen(method, "/close") == 3  # retries: 2
    assert all(r.body == b"twice" for r in peers[0].requests if r.method == "PUT")
    assert simple.metric("mainstay_gateway_retries_total") == 6


def test_a_slow_peer_is_not_asked_again(simple, peers):
    assert simple.get("/p/hang").status_code == 504
    assert peers[0].seen("GET", "/hang") == 1


def test_kept_connections_that_end(simple, peers):
    """The peer closes what it promised to keep: nobody notices, and nothing unsafe is sent twice."""
    for _ in range(10):
        assert simple.get("/p/stale").status_code == 200
        time.sleep(0.12)  # it has gone by now, and we know
        assert simple.post("/p/echo", data=b"x").status_code == 200
    assert peers[0].seen("POST", "/echo") == 10
    for i in range(40):
        assert simple.get("/p/stale").status_code == 200
        time.sleep(0.044 + i % 10 * 0.002)  # just before, just behind
        assert simple.post("/p/echo", data=b"x").status_code in (200, 502)
    assert peers[0].seen("POST", "/echo") <= 50
    for i in range(40):
        assert simple.get("/p/stale").status_code == 200
        time.sleep(0.044 + i % 10 * 0.002)


def test_failover_to_another_target(gateway, peers):
    g = gateway({"upstreams": [upstream("u", *peers)], "services": [service("u", "u", **FAST)]})
    peers[0].stop()
    peers[1].stop()
    for _ in range(30):
        assert g.get("/u/answer").json()["port"] == peers[2].port
        assert g.post("/u/echo", data=b"z" * 1000).content == b"z" * 1000  # nobody saw it before
        assert g.post("/u/echo", data=iter([b"y" * 1000] * 30)).content == b"y" * 30000


def test_early_answer(simple):
    with simple.connect() as c:
        c.send("POST /p/early HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n")
        c.try_send(b"x" * 100000)
        answer = c.answer()
        assert answer.status == 413 and answer.body == b"early"


def test_client_that_goes_ends_the_call(simple, peers):
    g = simple
    before = len(peers[0].open)
    with g.connect() as c:
        c.send(raw_request("GET", "/p/hang"))
        wait_until(lambda: peers[0].seen("GET", "/hang") == 1)
        assert len(peers[0].open) == before + 1
    peers[0].release.set()
    with g.connect() as c:
        c.send("POST /p/slow-read/0.1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        wait_until(lambda: peers[0].seen("POST", "/slow-read/0.1") == 1)
    assert g.get("/p/echo").status_code == 200


def test_half_sent_request_of_a_client_that_goes(simple, peers):
    with simple.connect() as c:
        c.send("POST /p/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + "a" * 500)
        wait_until(lambda: peers[0].seen("POST", "/echo") == 1)
    time.sleep(0.2)
    assert not peers[0].requests  # never completed
    assert simple.get("/p/echo").status_code == 200


# --- Streams ---------------------------------------------------------------------------------------------


def test_big_answer_to_a_slow_reader(gateway, peers):
    g = gateway({"services": [service("p", "127.0.0.1", peers[0].port)]})
    g.get("/p/echo")
    size = 200_000_000
    before = g.memory()
    with g.connect() as c:
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        c.send(raw_request("GET", f"/p/big/{size}"))
        head = c.read_until(b"\r\n\r\n")
        assert f"Content-Length: {size}".encode() in head
        time.sleep(1.5)  # the peer would have sent all of it by now
        assert g.memory() - before < 16_000_000
        got = len(c.buffer)
        assert c.buffer == (bytes(range(256)) * (got // 256 + 1))[:got]
        while got < size:
            data = c.sock.recv(1 << 20)
            assert data, got
            assert data[0] == got % 256 and data[-1] == (got + len(data) - 1) % 256
            got += len(data)
        assert got == size
    assert g.memory() - before < 16_000_000


def test_big_request_to_a_slow_peer(gateway, peers):
    g = gateway({"services": [service("p", "127.0.0.1", peers[0].port)]})
    g.get("/p/echo")
    before = g.memory()
    size = 100_000_000
    peak = []
    done = threading.Event()

    def watch():
        while not done.wait(0.05):
            peak.append(g.memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    block = b"b" * 1_000_000
    answer = g.post("/p/slow-read/1", data=iter([block] * (size // len(block))))
    done.set()
    watcher.join()
    assert answer.text == str(size)
    assert max(peak) - before < 16_000_000


def test_many_streams_at_once(simple):
    def one(i):
        body = os.urandom(50_000 + i * 100)
        with requests.Session() as s:
            s.trust_env = False
            return all(s.post(f"{simple.url}/p/echo", data=body, timeout=20).content == body for _ in range(5))

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(pool.map(one, range(32)))


def test_upstream_that_is_killed_gives_no_wrong_byte(gateway, peers):
    g = gateway({"upstreams": [upstream("u", *peers[:2])], "services": [service("u", "u", **FAST)]})
    size, results = 3_000_000, collections.Counter()
    whole = (bytes(range(256)) * (size // 256 + 1))[:size]
    killed = threading.Event()

    def load():
        while not killed.is_set() or results["whole after"] < 8:
            with g.connect() as c:
                c.send(raw_request("GET", f"/u/big/{size}"))
                try:
                    answer = c.answer()
                    assert answer.status == 200 and answer.body == whole
                    results["whole after" if killed.is_set() else "whole"] += 1
                except Closed:
                    assert whole.startswith(c.buffer)
                    results["cut"] += 1

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(load) for _ in range(4)]
        wait_until(lambda: results["whole"] >= 8)
        peers[0].stop()
        killed.set()
        for one in loads:
            one.result(30)
    assert results["whole after"] >= 8 and results["cut"] <= 8


# --- Tunnels ---------------------------------------------------------------------------------------------


class Socket101:
    """Switches protocols for whoever asks with the right words, and sends back what comes."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.closed = threading.Event()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        data = b""
        while b"\r\n\r\n" not in data:
            data += sock.recv(65536)
        head = data.decode().lower()
        if "upgrade: websocket" not in head or "/refuse" in head:
            sock.sendall(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno")
            sock.close()
            return
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nhello")
        while True:
            data = sock.recv(65536)
            if not data:
                break
            sock.sendall(data[::-1])
        sock.sendall(b"bye")
        sock.close()
        self.closed.set()


UPGRADE = "GET /t{} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n\r\n"
KEY = base64.b64encode(b"0123456789abcdef").decode()


def test_tunnel(gateway):
    peer = Socket101()
    g = gateway({"services": [service("t", "127.0.0.1", peer.port)]})
    with g.connect() as c:
        answer = c.ask(UPGRADE.format("/x", KEY))
        assert answer.status == 101 and answer.header("Sec-WebSocket-Accept") == "x"
        assert c.read_exactly(5) == b"hello"
        for i in range(50):
            text = os.urandom(1 + i * 100)
            c.send(text)
            got = b""
            while len(got) < len(text):  # each piece comes back reversed; the bytes are the same
                got += c.read_exactly(1)
            assert sorted(got) == sorted(text)
        c.half_close()
        assert c.read_exactly(3) == b"bye"
        assert c.at_end(5)
        assert peer.closed.wait(5)
    with g.connect() as c:
        refused = c.ask(UPGRADE.format("/refuse", KEY))
        assert refused.status == 426 and refused.body == b"no"
    with g.connect() as c:  # h2c is not passed on: it would carry requests past us
        answer = c.ask("GET /t/x HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
        assert answer.status == 426


def test_websocket_library(gateway):
    import asyncio

    import websockets

    async def run():
        async def echo(ws, path=None):
            async for message in ws:
                await ws.send(message)

        async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
            port = server.sockets[0].getsockname()[1]
            g = await asyncio.to_thread(gateway, {"services": [service("w", "127.0.0.1", port)]})
            async with websockets.connect(f"ws://127.0.0.1:{g.port}/w/chat", max_size=None) as ws:
                for message in ("hello", b"\0\1\2", "x" * 1_000_000):
                    await ws.send(message)
                    assert await ws.recv() == message
                pong = await ws.ping()
                await asyncio.wait_for(pong, 5)

    asyncio.run(run())


# --- Balancing -------------------------------------------------------------------------------------------


def ports_of(g, count, **options):
    with requests.Session() as s:
        s.trust_env = False
        return collections.Counter(s.get(f"{g.url}/u/answer", timeout=20, **options).json()["port"] for _ in range(count))


def test_round_robin_by_weight(gateway, peers):
    u = upstream("u", *peers)
    for target, weight in zip(u["targets"], (50, 30, 20)):
        target["weight"] = weight
    g = gateway({"upstreams": [u], "services": [service("u", "u")]})
    got = ports_of(g, 200)
    assert [got[p.port] for p in peers] == [100, 60, 40]


def test_hashing_by_header(gateway, peers):
    u = upstream("u", *peers, algorithm="consistent-hashing", hash_on="header", hash_on_header="X-User")
    g = gateway({"upstreams": [u], "services": [service("u", "u")]})
    where = {}
    for user in range(60):
        got = ports_of(g, 3, headers={"X-User": f"user-{user}"})
        assert len(got) == 1
        where[user] = next(iter(got))
    assert set(where.values()) == {p.port for p in peers}
    # One goes: the users of the others stay where they are.
    peers[0].stop()
    for user, port in where.items():
        now = next(iter(ports_of(g, 1, headers={"X-User": f"user-{user}"})))
        assert now == port if port != peers[0].port else now != port


@pytest.mark.parametrize("algorithm", ["least-connections", "latency"])
def test_other_algorithms(gateway, peers, algorithm):
    g = gateway({"upstreams": [upstream("u", *peers, algorithm=algorithm)], "services": [service("u", "u")]})
    got = ports_of(g, 150)
    assert sum(got.values()) == 150 and len(got) == 3 if algorithm == "least-connections" else len(got) >= 2


def test_passive_checks(gateway, peers):
    checks = {"passive": {"unhealthy": {"http_failures": 3, "http_statuses": [429, 500, 503]}}}
    g = gateway({"upstreams": [upstream("u", *peers, healthchecks=checks)], "services": [service("u", "u")]})
    peers[0].status = 500
    statuses = collections.Counter(g.get("/u/answer").status_code for _ in range(90))
    assert statuses[500] == 3
    assert peers[0].seen("GET", "/answer") == 3
    g.wait_log(lambda line: line.get("message") == "target is unhealthy")
    assert g.metric("mainstay_gateway_target_changes_total", state="unhealthy") == 1


@pytest.mark.parametrize("kind", ["http", "tcp"])
def test_active_checks_fail_over_and_recover(gateway, peers, kind):
    checks = {"active": {
        "type": kind, "http_path": "/health", "timeout": 1,
        "healthy": {"interval": 0.2, "successes": 2}, "unhealthy": {"interval": 0.2, "tcp_failures": 2, "http_failures": 2, "timeouts": 2},
    }}
    g = gateway({"upstreams": [upstream("u", *peers[:2], healthchecks=checks)], "services": [service("u", "u", retries=0)]})
    if kind == "http":
        peers[0].status = 503
    else:
        peers[0].stop()
    g.wait_log(lambda line: line.get("message") == "target is unhealthy" and line.get("mainstay.gateway.target") == peers[0].target)
    got = ports_of(g, 40)
    assert got == {peers[1].port: 40}
    after = len(g.log)
    if kind == "http":
        peers[0].status = 200
    else:
        peers[0] = Peer(peers[0].port)
    g.wait_log(lambda line: line.get("message") == "target is healthy again", after=after)
    got = ports_of(g, 40)
    assert got[peers[0].port] == 20


def test_all_targets_unhealthy(gateway, peers):
    checks = {"passive": {"unhealthy": {"http_failures": 1, "http_statuses": [500]}}}
    g = gateway({"upstreams": [upstream("u", *peers[:2], healthchecks=checks)], "services": [service("u", "u")]})
    for peer in peers:
        peer.status = 500
    assert [g.get("/u/answer").status_code for _ in range(4)] == [500, 500, 503, 503]


# --- Plans -----------------------------------------------------------------------------------------------


def test_reload_under_load_loses_nothing(gateway, peers):
    def document(two):
        return {"upstreams": [upstream("u", *(peers if two else peers[:1]))], "services": [service("u", "u"), *([service("more", "u")] if two else [])]}

    g = gateway(document(False))
    stop = threading.Event()
    failed, done = [], collections.Counter()

    def load():
        with requests.Session() as s:
            s.trust_env = False
            while not stop.is_set():
                try:
                    answer = s.post(f"{g.url}/u/echo", data=b"k" * 3000, timeout=20)
                    if answer.status_code != 200 or answer.content != b"k" * 3000:
                        failed.append(answer.status_code)
                    done[answer.headers.get("X-Peer")] += 1
                except requests.RequestException as error:
                    failed.append(error)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(12):
        g.write(document(i % 2 == 0))
        g.reload()
        assert g.get("/more/answer").status_code == (200 if i % 2 == 0 else 404)
        time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed, failed[:5]
    assert len(done) == 3 and sum(done.values()) > 100


def test_local_service(gateway):
    g = gateway({"services": [service("own", "local", protocol="local", path="/health")]})
    assert g.get("/own/live").json() == {"live": True}
    assert g.get("/own/nowhere").status_code == 404


def local(name, path, *plugins):
    return {"name": name, "host": "local", "protocol": "local", "path": path, "routes": [{"name": name, "paths": ["/" + name]}], "plugins": list(plugins)}


def test_plugins_change_answers_of_local_services(gateway):
    body = {"name": "response-transformer", "config": {
        "add": {"json": ["by:gateway", "n:7"], "json_types": ["string", "number"], "headers": ["X-Added:1"]}, "remove": {"json": ["live"]},
        "replace": {"headers": ["Content-Type:application/problem+json"]}}}
    headers = {"name": "response-transformer", "config": {"remove": {"headers": ["Allow"]}, "append": {"headers": ["X-Added:2"]}}}
    g = gateway({"services": [local("own", "/health", body), local("heads", "/health", headers), local("plain", "/health"), local("page", "/metrics", body)]})
    answer = g.get("/own/live")
    assert answer.json() == {"by": "gateway", "n": 7}
    assert answer.headers["X-Added"] == "1" and answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Content-Length"] == str(len(answer.content))
    answer = g.get("/own/nowhere")  # the server's own error, which is JSON too
    assert answer.status_code == 404 and answer.json()["by"] == "gateway" and "error" in answer.json()
    # What the handler says can be taken away, and is not said twice.
    answer = g.post("/plain/live")
    assert answer.status_code == 405 and "GET" in answer.headers["Allow"]
    answer = g.post("/heads/live")
    assert answer.status_code == 405 and "Allow" not in answer.headers and answer.headers["X-Added"] == "2"
    assert answer.headers["Content-Type"] == "application/json"
    assert g.get("/plain/live").json() == {"live": True}
    # No JSON: as it is, but for the headers. HEAD: without a body.
    answer = g.get("/page")
    assert answer.status_code == 200 and "mainstay_" in answer.text and answer.headers["X-Added"] == "1"
    with g.connect() as c:
        assert c.ask(raw_request("HEAD", "/own/live"), "HEAD").status == 200
        assert c.ask(raw_request("GET", "/own/live")).json() == {"by": "gateway", "n": 7}


def test_local_answers_behind_the_guard_are_not_cached(gateway):
    cache = {"name": "proxy-cache", "config": {"strategy": "memory", "content_type": ["application/json"], "cache_ttl": 60}}
    g = gateway({"services": [local("models", "/api/v1/models", cache), local("live", "/health", cache)]}, auth=True)
    for _ in range(2):
        answer = g.get("/models")
        assert answer.status_code == 200 and answer.headers["X-Cache-Status"] == "Bypass"
    assert g.get("/live/live").headers["X-Cache-Status"] == "Miss"
    wait_until(lambda: g.get("/live/live").headers["X-Cache-Status"] == "Hit")
    assert g.get("/live/live").json() == {"live": True}
    g.session.headers.pop("X-API-Key")
    assert g.get("/models").status_code == 401


def test_drain_waits_for_upstreams(gateway, peers):
    g = gateway({"services": [service("p", "127.0.0.1", peers[0].port)]})
    c = http.client.HTTPConnection("127.0.0.1", g.port, timeout=20)
    c.request("GET", "/p/hang")
    wait_until(lambda: peers[0].seen("GET", "/hang") == 1)
    g.signal(15)
    g.wait_log(lambda line: line.get("message") == "shutting down")
    time.sleep(0.3)
    peers[0].release.set()
    answer = c.getresponse()
    assert answer.status == 200 and answer.read() == b"late"
    assert g.wait_exit(10) == 0


# --- Operators -------------------------------------------------------------------------------------------


def test_health_document(gateway, peers):
    checks = {"passive": {"unhealthy": {"http_failures": 1, "http_statuses": [500]}}}
    g = gateway({"upstreams": [upstream("u", *peers, healthchecks=checks)], "services": [service("u", "u")]})
    for _ in range(6):
        g.get("/u/answer")
    peers[1].status = 500
    wait_until(lambda: g.get("/u/answer").status_code == 500)
    document = g.get("/gateway/v1/upstreams/u/health").json()
    targets = {t["target"]: t for t in document["targets"]}
    assert document["health"] == "HEALTHY" and round(document["healthy_percent"]) == 67
    assert targets[peers[1].target]["health"] == "UNHEALTHY" and targets[peers[1].target]["failures"] == 1
    assert targets[peers[0].target]["health"] == "HEALTHY" and targets[peers[0].target]["requests"] >= 2
    assert targets[peers[0].target]["latency_ms"] > 0 and targets[peers[0].target]["active_requests"] == 0
    assert g.put(f"/gateway/v1/upstreams/u/targets/{peers[1].target}/health", data='{"healthy":true}').status_code == 200
    peers[1].status = 200
    assert set(ports_of(g, 9).values()) == {3}
    for peer in peers:
        assert g.put(f"/gateway/v1/upstreams/u/targets/{peer.target}/health", data='{"healthy":false}').status_code == 200
    assert g.get("/u/answer").status_code == 503
    assert g.get("/gateway/v1/upstreams/u/health").json()["health"] == "UNHEALTHY"
    assert g.get("/gateway/v1/upstreams/none/health").status_code == 404


def test_blue_green_switch(gateway, peers):
    u = upstream("u", *peers[:2], active_group="blue")
    u["targets"][0]["group"], u["targets"][1]["group"] = "blue", "green"
    g = gateway({"upstreams": [u], "services": [service("u", "u")]}, auth=True)  # with a store
    assert ports_of(g, 10) == {peers[0].port: 10}
    peers[1].status = 500
    bad = g.post("/gateway/v1/upstreams/u/switch", {"group": "green", "smoke": {"path": "/health"}})
    assert bad.status_code == 409 and bad.json()["code"] == "gateway.smoke_failed"
    assert bad.json()["smoke"] == [{"target": peers[1].target, "status": 500, "ok": False, "problem": "this status was not expected"}]
    assert ports_of(g, 10) == {peers[0].port: 10}
    peers[1].status = 200

    stop, failed = threading.Event(), []

    def load():
        with requests.Session() as s:
            s.trust_env = False
            while not stop.is_set():
                answer = s.get(f"{g.url}/u/answer", timeout=20)
                if answer.status_code != 200:
                    failed.append(answer.text)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    good = g.post("/gateway/v1/upstreams/u/switch", {"group": "green", "smoke": {"path": "/health", "statuses": [200]}})
    assert good.status_code == 200, good.text
    assert (good.json()["previous"], good.json()["group"], good.json()["changed"]) == ("blue", "green", True)
    wait_until(lambda: ports_of(g, 1) == {peers[1].port: 1})
    assert ports_of(g, 20) == {peers[1].port: 20}
    back = g.post("/gateway/v1/upstreams/u/switch", {"group": good.json()["previous"]})
    assert back.status_code == 200 and back.json()["version"] > good.json()["version"]
    wait_until(lambda: ports_of(g, 1) == {peers[0].port: 1})
    assert ports_of(g, 20) == {peers[0].port: 20}
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed
    assert g.post("/gateway/v1/upstreams/u/switch", {"group": "red"}).status_code == 400
    assert g.post("/gateway/v1/upstreams/none/switch", {"group": "green"}).status_code == 404


def mirrored(g, outcome):
    return g.metric("mainstay_gateway_mirrored_total", outcome=outcome)


def test_mirror(gateway, peers):
    config = {"service": "shadow", "compare_status": True, "compare_body": True, "max_body": 50_000}
    main = service("main", "127.0.0.1", peers[0].port, **FAST)
    main["plugins"] = [{"name": "mirror", "config": config}]
    g = gateway({"services": [main, service("shadow", "127.0.0.1", peers[1].port, **FAST)]})
    for i in range(5):
        assert g.post(f"/main/echo/{i}", data=b"both" * 1000).content == b"both" * 1000
    wait_until(lambda: mirrored(g, "same") == 5)
    assert [r.body for r in peers[1].requests] == [b"both" * 1000] * 5
    assert g.get("/main/answer").status_code == 200  # names its port: the bodies differ
    wait_until(lambda: mirrored(g, "body_differs") == 1)
    peers[1].status = 500
    g.get("/main/answer")
    wait_until(lambda: mirrored(g, "status_differs") == 1)
    before = len(peers[1].requests)
    assert g.post("/main/echo", data=b"x" * 60_000).status_code == 200
    assert g.post("/main/echo", data=iter([b"x" * 10_000] * 6)).content == b"x" * 60_000
    wait_until(lambda: mirrored(g, "too_large") == 1)  # the other one was not even begun
    assert len(peers[1].requests) == before
    begin = time.monotonic()
    for path in ("/main/echo",):  # a shadow that hangs, or is gone, holds up nobody
        peers[1].stop()
        for _ in range(20):
            assert g.get(path).status_code == 200
    assert time.monotonic() - begin < 2
    wait_until(lambda: mirrored(g, "failed") == 20)


def test_wrong_file_changes_nothing(gateway, peers, binary, tmp_path):
    g = gateway({"services": [service("p", "127.0.0.1", peers[0].port)]})
    g.write({"services": [{"name": "p", "hots": "127.0.0.1"}]})
    after = len(g.log)
    g.reload()
    line = g.wait_log(lambda line: line.get("message") == "the gateway's file is wrong; the present plan stays", after=after)
    assert "hots" in line["error.message"]
    assert g.get("/p/answer").status_code == 200
    bad = Gateway(binary, tmp_path / "bad", {"services": [{"name": "p", "hots": "x"}]}).spawn()
    assert bad.process.wait(10) == 1
    bad.reader.join(5)
    assert "hots" in bad.log_text()


# --- gRPC ------------------------------------------------------------------------------------------------


def grpc_service(name, host, port=80, **fields):
    return {"name": name, "protocol": "grpc", "host": host, "port": port, "routes": [
        {"name": name, "protocols": ["grpc", "grpcs"], "paths": [f"/{name}."], "strip_path": False}], **fields}


def test_grpc(gateway):
    peer = Grpc()
    g = gateway({"services": [grpc_service("x", "127.0.0.1", peer.port), grpc_service("gone", "127.0.0.1", free_port(), retries=0)]})
    for size in (0, 10, 16_000):
        head, body, trailers = grpc_call(g.port, "/x.Y/Echo", b"m" * size)
        assert head[":status"] == "200" and head["content-type"] == "application/grpc"
        assert body[5:] == b"m" * size
        assert trailers["grpc-status"] == "0" and trailers["x-sum"] == str(size + 5)
    assert peer.seen[0]["te"] == "trailers"
    head, body, trailers = grpc_call(g.port, "/x.Y/Fail", b"")
    assert head["grpc-status"] == "5" and head["grpc-message"] == "none" and not trailers
    # Failures of our own: trailers alone, with the status that gRPC's clients would make of ours.
    head, body, trailers = grpc_call(g.port, "/gone.Y/Echo", b"")
    assert (head[":status"], head["grpc-status"], body) == ("200", "14", b"")
    assert head["grpc-message"] == "An invalid response was received from the upstream server"
    head, _, _ = grpc_call(g.port, "/nothing.Y/Echo", b"")
    assert head["grpc-status"] == "12"


def test_grpc_checks(gateway):
    peers = [Grpc(), Grpc()]
    peers[0].serving = False
    checks = {"active": {"type": "grpc", "healthy": {"interval": 0.2, "successes": 1, "http_statuses": [200]},
                         "unhealthy": {"interval": 0.2, "http_failures": 1, "tcp_failures": 1}}}
    g = gateway({"upstreams": [upstream("u", *peers, healthchecks=checks)], "services": [grpc_service("x", "u")]})
    g.wait_log(lambda line: line.get("message") == "target is unhealthy" and line.get("mainstay.gateway.target") == peers[0].target)
    for peer in peers:
        peer.seen.clear()
    for _ in range(6):
        assert grpc_call(g.port, "/x.Y/Echo", b"1")[2]["grpc-status"] == "0"
    assert sum(h[":path"] == "/x.Y/Echo" for h in peers[1].seen) == 6


# --- Canaries --------------------------------------------------------------------------------------------


def canary(gateway, peers, **analysis):
    main = service("main", "127.0.0.1", peers[0].port)
    main["plugins"] = [{"name": "canary", "config": {
        "percentage": 50, "hash": "none", "upstream_host": "127.0.0.1", "upstream_port": peers[1].port,
        "analysis": {"mode": "act", "interval": 0.5, "looks": 10, "minimum_requests": 100, "latency_tolerance": 0.4, **analysis}}}]
    return gateway({"services": [main]}, auth=True)


def send(g, count):
    return collections.Counter(g.get("/main/answer").headers["X-Peer"] for _ in range(count))


def test_canary_that_fails_is_rolled_back(gateway, peers):
    g = canary(gateway, peers)
    peers[1].status = 500
    for _ in range(200):
        send(g, 10)
        if any(line.get("message") == "a canary is rolled back" for line in g.log):
            break
    line = g.wait_log(lambda line: line.get("message") == "a canary is rolled back")
    assert line["event.reason"] == "the canary fails more often"
    assert line["mainstay.canary.error_rate"] == 1 and line["mainstay.canary.baseline_error_rate"] == 0
    wait_until(lambda: len(send(g, 20)) == 1)
    assert send(g, 60) == {str(peers[0].port): 60}
    newest = g.get("/gateway/v1/history").json()["items"][0]
    assert newest["comment"] == "canary: rollback (the canary fails more often)"


def test_canary_that_is_well_is_promoted(gateway, peers):
    g = canary(gateway, peers)
    for _ in range(60):
        send(g, 20)
        if any(line.get("message") == "a canary is promoted" for line in g.log):
            break
    g.wait_log(lambda line: line.get("message") == "a canary is promoted")
    wait_until(lambda: send(g, 20) == {str(peers[1].port): 20})
    assert g.get("/gateway/v1/canaries").json()["items"][0]["verdict"] == "hold"  # figures begin anew


def test_canary_report_changes_nothing(gateway, peers):
    g = canary(gateway, peers, mode="report")
    peers[1].status = 500
    got = send(g, 100)
    assert len(got) == 2
    one = g.get("/gateway/v1/canaries").json()["items"][0]
    assert one["mode"] == "report" and one["verdict"] == "rollback" and one["service"] == "main"
    assert one["canary"]["requests"] + one["baseline"]["requests"] == 100 and one["canary"]["requests"] == got[str(peers[1].port)]
    assert one["canary"]["error_rate"] == 1 and one["baseline"]["errors"] == 0 and one["error_p"] < 1e-6
    assert g.delete(f"/gateway/v1/canaries/{one['plugin']}").status_code == 204
    assert g.get("/gateway/v1/canaries").json()["items"][0]["canary"]["requests"] == 0
