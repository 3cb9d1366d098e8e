# SPDX-License-Identifier: Apache-2.0
"""The gateway with clients and upstreams that mean harm: what they send must reach nobody as something else, and stop nothing."""

import gzip
import socket
import struct
import threading
import time

import pytest
from conftest import check_end
from gateway_peer import Gateway, Peer, service
from harness import wait_until

FAST = {"connect_timeout": 500, "read_timeout": 2000, "write_timeout": 500}
KEYS = {"consumers": [{"username": "anna", "keyauth_credentials": [{"key": "k1"}]}]}


@pytest.fixture
def peers():
    made = [Peer(), Peer()]
    yield made
    for peer in made:
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


def with_plugin(name, peer, plugin, **config):
    return {**service(name, "127.0.0.1", peer.port, **FAST), "plugins": [{"name": plugin, "config": config}]}


def ask(gateway, text):
    with gateway.connect() as c:
        return c.ask(text.replace("\n", "\r\n") if "\r" not in text else text)


def reset(c):
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.sock.close()


# --- What upstreams are told -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/p../secret", "/p..", "/p%2e%2e/secret", "/p..%2Fsecret", "/p..%5csecret", "/p..;/secret", "/p.;a/../p../x"])
def test_stripped_paths_do_not_climb(gateway, peers, path):
    g = gateway({"services": [service("p", "127.0.0.1", peers[0].port, path="/base")]})
    answer = ask(g, f"GET {path} HTTP/1.1\nHost: a\n\n")
    assert answer.status in (200, 400)
    if answer.status == 200:
        seen = answer.json()["path"]
        assert seen.startswith("/base/") and ".." not in seen


def test_connection_names_no_header_of_ours(gateway, peers):
    g = gateway({"services": [with_plugin("p", peers[0], "key-auth")], **KEYS})
    hop = "X-Consumer-Username, X-Consumer-ID, X-Credential-Identifier, X-Forwarded-For, x-forwarded-proto, X-Real-IP, X-Request-ID, traceparent, X-Own"
    answer = ask(g, f"GET /p/answer HTTP/1.1\nHost: a\napikey: k1\nX-Own: 1\nConnection: keep-alive, {hop}\n\n")
    assert answer.status == 200
    seen = {n.lower(): v for n, v in answer.json()["headers"]}
    assert seen["x-consumer-username"] == "anna" and seen["x-forwarded-for"] == "127.0.0.1"
    assert {n.strip().lower() for n in hop.split(",")} - set(seen) == {"x-own"}
    assert "connection" not in seen


def test_trailers_say_nothing_in_our_place(gateway):
    listener = socket.create_server(("127.0.0.1", 0))
    got = []

    def serve():
        sock, _ = listener.accept()
        data = b""
        while b"X-Last: 1\r\n\r\n" not in data:
            data += sock.recv(65536)
        got.append(data.decode())
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        sock.close()

    threading.Thread(target=serve, daemon=True).start()
    g = gateway({"services": [service("p", "127.0.0.1", listener.getsockname()[1])]})
    trailers = "X-Sum: 1\nX-Consumer-Username: root\nX_Consumer_ID: 1\nX-Forwarded-For: 6.6.6.6\nx-real-ip: 6.6.6.6\nX-Last: 1\n"
    assert ask(g, f"POST /p HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n2\nab\n0\n{trailers}\n").status == 200
    assert "X-Sum: 1" in got[0] and "root" not in got[0] and "6.6.6.6" not in got[0] and "X_Consumer" not in got[0]


def test_bodies_that_were_unpacked_are_not_called_packed(gateway, peers):
    g = gateway({"services": [with_plugin("p", peers[0], "key-auth", key_in_body=True, hide_credentials=True)], **KEYS})
    body = b'{"apikey":"k1","text":"' + b"a" * 1000 + b'"}'
    answer = g.request("POST", "/p/echo", data=gzip.compress(body), headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})
    assert answer.status_code == 200
    got = peers[0].requests[-1]
    assert got.body == b'{"text":"' + b"a" * 1000 + b'"}'
    assert got.header("Content-Encoding") is None and got.header("Content-Length") == str(len(got.body))


def test_routes_for_other_protocols(gateway, peers):
    g = gateway({"services": [
        service("moved", "127.0.0.1", peers[0].port, route={"protocols": ["https"], "https_redirect_status_code": 308}),
        service("tls", "127.0.0.1", peers[0].port, route={"protocols": ["https"]}),
        service("rpc", "127.0.0.1", peers[0].port, protocol="grpc", route={"protocols": ["grpc"], "strip_path": False}),
    ]})
    for target in ("/moved/a%20b?c=d", "http://shop.example:81/moved/a%20b?c=d"):
        answer = ask(g, f"GET {target} HTTP/1.1\nHost: shop.example:81\n\n")
        assert answer.status == 308 and answer.header("Location") == "https://shop.example/moved/a%20b?c=d"
    assert ask(g, "GET /moved HTTP/1.1\nHost: [::1]:8000\n\n").header("Location") == "https://[::1]/moved"
    assert ask(g, "GET /moved HTTP/1.0\n\n").status == 426  # nobody knows where to
    answer = ask(g, "GET /tls HTTP/1.1\nHost: a\n\n")
    assert answer.status == 426 and answer.json()["message"] == "Please use HTTPS protocol"
    answer = ask(g, "POST /rpc/x.Y/Z HTTP/1.1\nHost: a\nContent-Type: application/grpc\nContent-Length: 0\n\n")
    assert answer.status == 426 and answer.json()["message"] == "Please use HTTP2 protocol"
    assert not peers[0].requests


def test_plugins_for_https_see_who_comes_by_a_trusted_proxy(gateway, peers):
    p = with_plugin("p", peers[0], "key-auth")
    p["plugins"][0]["protocols"] = ["https"]
    p["routes"][0]["protocols"] = ["https"]
    document = {"services": [p], **KEYS}
    g = gateway(document, env={"MAINSTAY_GATEWAY_TRUSTED_PROXIES": "127.0.0.0/8"})
    https = {"X-Forwarded-Proto": "https"}
    assert g.get("/p/answer", headers=https).status_code == 401
    assert g.get("/p/answer", headers={**https, "apikey": "k1"}).status_code == 200
    assert g.get("/p/answer").status_code == 426
    assert gateway(document).get("/p/answer", headers=https).status_code == 426  # nobody to be believed


# --- Ends that come at a bad time --------------------------------------------------------------------------


def test_tunnel_of_which_both_ends_go(gateway):
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        for _ in range(5):
            sock, _ = listener.accept()
            while b"\r\n\r\n" not in sock.recv(65536):
                pass
            sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
            sock.shutdown(socket.SHUT_WR)
            held.append(sock)

    held = []
    threading.Thread(target=serve, daemon=True).start()
    g = gateway({"services": [service("t", "127.0.0.1", listener.getsockname()[1])]})
    for _ in range(5):
        c = g.connect()
        answer = c.ask("GET /t HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        assert answer.status == 101 and c.read_exactly(5) == b"hello"
        assert not c.receive()  # the upstream's side has ended
        reset(c)
        assert g.get("/health/live").status_code == 200


def test_last_bytes_of_a_tunnel_arrive(gateway):
    listener = socket.create_server(("127.0.0.1", 0))
    got = []

    def serve():
        for _ in range(20):
            sock, _ = listener.accept()
            while b"\r\n\r\n" not in sock.recv(65536):
                pass
            sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            sock.shutdown(socket.SHUT_WR)
            data = b""
            while piece := sock.recv(65536):
                data += piece
            got.append(data)
            sock.close()

    threading.Thread(target=serve, daemon=True).start()
    g = gateway({"services": [service("t", "127.0.0.1", listener.getsockname()[1])]})
    for i in range(20):
        with g.connect() as c:
            assert c.ask("GET /t HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n").status == 101
            assert not c.receive()
            c.send(b"good" * 1000)
            c.half_close()
            wait_until(lambda: len(got) == i + 1)
    assert got == [b"good" * 1000] * 20


def test_cached_answer_to_head_says_no_wrong_length(gateway, peers):
    g = gateway({"services": [with_plugin("p", peers[0], "proxy-cache", strategy="memory")]})
    for status in ("Miss", "Hit"):
        with g.connect() as c:
            c.send("HEAD /p/answer HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = c.answer("HEAD")
            assert answer.status == 200 and answer.header("X-Cache-Status") == status
            assert answer.header("Content-Length") != "0"
            assert c.ask("GET /p/answer/get HTTP/1.1\r\nHost: a\r\n\r\n").status == 200


def shadowed(peers, **config):
    main = with_plugin("main", peers[0], "mirror", service="shadow", **config)
    return main, service("shadow", "127.0.0.1", peers[1].port, **FAST)


def test_mirror_of_an_empty_body_that_was_read(gateway, peers):
    main, shadow = shadowed(peers)
    main["plugins"].append({"name": "key-auth", "config": {"key_in_body": True}})
    g = gateway({"services": [main, shadow], **KEYS})
    answer = ask(g, "POST /main/answer HTTP/1.1\nHost: a\napikey: k1\nTransfer-Encoding: chunked\n\n0\n\n")
    assert answer.status == 200
    wait_until(lambda: len(peers[1].requests) == 1)


def test_mirror_of_a_body_that_never_ends(gateway, peers):
    main, shadow = shadowed(peers)
    g = gateway({"services": [main, shadow]})
    for _ in range(5):
        c = g.connect()
        c.send("POST /main/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        wait_until(lambda: peers[1].open)
        reset(c)
    wait_until(lambda: not peers[1].open)  # the shadow is let go with the client
    wait_until(lambda: g.metric("mainstay_gateway_mirrored_total", outcome="failed") == 5)


# A password is being verified on a thread while the process ends and cuts off who waits for it.
def test_process_that_ends_while_a_password_is_verified(gateway, peers):
    slow = "$argon2id$v=19$m=131072,t=10,p=1$" + "c2FsdHNhbHRzYWx0" + "$" + "aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"
    consumer = {"username": "anna", "basicauth_credentials": [{"username": "anna", "password": slow}]}
    g = gateway({"services": [with_plugin("p", peers[0], "basic-auth")], "consumers": [consumer]}, "--http.drain_timeout=100ms")
    c = g.connect()
    c.send("GET /p HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YW5uYTphbm5h\r\n\r\n")
    time.sleep(0.1)
    g.signal(15)
    assert g.wait_exit(20) == 0
    assert not peers[0].requests
