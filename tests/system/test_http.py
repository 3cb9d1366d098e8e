# SPDX-License-Identifier: Apache-2.0
"""HTTP on the wire: framing that two readers could read in two ways is refused and the connection closed; what is
legal works, at any pace and over any kind of socket."""

import gzip
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import zlib

import pytest
from harness import EXAMPLE, Closed, Connection, Server, check_error, raw_request, wait_until
from oip_client import zstd

WINE = EXAMPLE["wine"]
PREDICT = {"model": "wine", "features": WINE.records[0]}
BODY = json.dumps(PREDICT).encode()
GET = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


def post(*headers, body=BODY, path="/api/v1/predict", length=True, version="HTTP/1.1"):
    lines = [f"POST {path} {version}", "Host: localhost", "Content-Type: application/json", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(*chunks, end=b"0\r\n\r\n", headers=("Transfer-Encoding: chunked",)):
    framed = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks)
    return post(*headers, body=framed + end, length=False)


def refused(server, data, status=400, code=None):
    """One error answer that says it closes, then the end; nothing after it is read as a request."""
    with server.connect() as c:
        c.try_send(data + GET)
        answer = c.answer()
        document = check_error(answer, status, code)
        assert (answer.header("Connection") or "").lower() == "close"
        assert c.at_end(5), f"more than one answer, or still open: {c.buffer[:200]!r}"
        return document


# --- Request smuggling (framing and syntax) -------------------------------------------------------------------

SMUGGLING = [
    ("length and chunked", post("Transfer-Encoding: chunked")),
    ("chunked and length", b"POST /api/v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("chunked twice", chunked(BODY, headers=("Transfer-Encoding: chunked, chunked",))),
    ("chunked in two fields", chunked(BODY, headers=("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"))),
    ("identity", chunked(BODY, headers=("Transfer-Encoding: identity",))),
    ("chunked after identity", chunked(BODY, headers=("Transfer-Encoding: identity, chunked",))),
    ("gzip then chunked", chunked(BODY, headers=("Transfer-Encoding: gzip, chunked",))),
    ("chunked not last", chunked(BODY, headers=("Transfer-Encoding: chunked, gzip",))),
    ("chunked misspelt", chunked(BODY, headers=("Transfer-Encoding: xchunked",))),
    ("chunked with a parameter", chunked(BODY, headers=("Transfer-Encoding: chunked;a=b",))),
    ("chunked with a tab inside", chunked(BODY, headers=("Transfer-Encoding: chun\tked",))),
    ("chunked with a trailing control", chunked(BODY, headers=("Transfer-Encoding: chunked\x0b",))),
    ("chunked quoted", chunked(BODY, headers=('Transfer-Encoding: "chunked"',))),
    ("chunked with a comma", chunked(BODY, headers=("Transfer-Encoding: ,chunked",))),
    ("transfer encoding empty", chunked(BODY, headers=("Transfer-Encoding:",))),
    ("transfer encoding on 1.0", b"POST /api/v1/predict HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    *[(f"length {value!r}", b"POST /api/v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: " + value.encode() + b"\r\n\r\nabcde")
      for value in ("", "+5", "-5", "0x5", "5_0", "5,5", "5, 6", "5 5", "5.0", "5e0", "five", "5;", '"5"', "0b1", "18446744073709551621", "99999999999999999999999", "9223372036854775808", "\u00b25")],
    ("two lengths that differ", post("Content-Length: 1")),
    ("two equal lengths as a list", b"POST /api/v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nabcde"),
    ("space before the colon", post("Content-Length : 5", length=False)),
    ("tab before the colon", post("X-A\t: 5")),
    ("space before a name", b"POST /api/v1/predict HTTP/1.1\r\nHost: a\r\n Content-Length: 5\r\n\r\nabcde"),
    ("space before the first name", b"GET /health/live HTTP/1.1\r\n Host: a\r\n\r\n"),
    ("empty name", post(": 5")),
    ("folded line", post("X-A: b\r\n c")),
    ("folded length", post("X-A: b\r\n\tContent-Length: 1")),
    ("no colon", post("X-A")),
    ("NUL in a value", post("X-A: b\0c")),
    ("NUL in a name", post("X\0A: b")),
    ("bare CR in a value", post("X-A: b\rc")),
    ("bare CR as a line end", b"GET /health/live HTTP/1.1\r\nHost: a\rX-A: b\r\n\r\n"),
    ("bare LF as a line end", b"GET /health/live HTTP/1.1\r\nHost: a\nX-A: b\r\n\r\n"),
    ("bare LF after the request line", b"GET /health/live HTTP/1.1\nHost: a\r\n\r\n"),
    ("bare LF at the end of the head", b"GET /health/live HTTP/1.1\r\nHost: a\r\n\n"),
    ("only bare LF", b"GET /health/live HTTP/1.1\nHost: a\n\n"),
    ("DEL in a value", post("X-A: b\x7fc")),
    ("control in a value", post("X-A: b\x01c")),
    ("space in a name", post("X A: b")),
    ("slash in a name", post("X/A: b")),
    ("bytes above ASCII in a name", post("X-\u00c4: b")),
    ("no Host", b"GET /health/live HTTP/1.1\r\n\r\n"),
    ("two Hosts", b"GET /health/live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("two equal Hosts", b"GET /health/live HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    ("Host with a path", b"GET /health/live HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ("Host with user information", b"GET /health/live HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    ("Host with a space", b"GET /health/live HTTP/1.1\r\nHost: a b\r\n\r\n"),
    ("Host with a bad port", b"GET /health/live HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    ("Host list", b"GET /health/live HTTP/1.1\r\nHost: a,b\r\n\r\n"),
    ("Host with an open bracket", b"GET /health/live HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    ("two spaces after the method", b"GET  /health/live HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("tab after the method", b"GET\t/health/live HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("space in the target", b"GET /health /live HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("space after the version", b"GET /health/live HTTP/1.1 \r\nHost: a\r\n\r\n"),
    ("no version", b"GET /health/live\r\nHost: a\r\n\r\n"),
    ("no target", b"GET HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("space before the method", b" GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("control in the method", b"GE\x01T /health/live HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("brackets in the method", b"GE[T] /health/live HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("NUL in the target", b"GET /health\0/live HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("bytes above ASCII in the target", b"GET /health/\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("fragment in the target", b"GET /health/live#a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("relative target", b"GET health/live HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("asterisk for GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("small letters in the version", b"GET /health/live http/1.1\r\nHost: a\r\n\r\n"),
    ("HTTP/1.10", b"GET /health/live HTTP/1.10\r\nHost: a\r\n\r\n"),
    ("HTTP/01.1", b"GET /health/live HTTP/01.1\r\nHost: a\r\n\r\n"),
    ("HTTP/1.1x", b"GET /health/live HTTP/1.1x\r\nHost: a\r\n\r\n"),
    ("HTTP/1,1", b"GET /health/live HTTP/1,1\r\nHost: a\r\n\r\n"),
    ("HTTP/ 1.1", b"GET /health/live HTTP/ 1.1\r\nHost: a\r\n\r\n"),
    ("HTTP/1.:", b"GET /health/live HTTP/1.:\r\nHost: a\r\n\r\n"),
    ("HTTPS/1.1", b"GET /health/live HTTPS/1.1\r\nHost: a\r\n\r\n"),
    ("TLS hello on the plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x11" * 100 + b"\r\n\r\n"),
]


@pytest.mark.parametrize("data", [s[1] for s in SMUGGLING], ids=[s[0] for s in SMUGGLING])
def test_ambiguous_request_is_refused_and_the_connection_closed(server, data):
    refused(server, data)


CHUNKS = [
    ("size with 0x", b"0x5\r\nabcde\r\n0\r\n\r\n"), ("size with plus", b"+5\r\nabcde\r\n0\r\n\r\n"), ("size with minus", b"-5\r\nabcde\r\n0\r\n\r\n"), ("size with underscore", b"0_5\r\nabcde\r\n0\r\n\r\n"),
    ("space before the size", b" 5\r\nabcde\r\n0\r\n\r\n"), ("space after the size", b"5 \r\nabcde\r\n0\r\n\r\n"), ("tab after the size", b"5\t\r\nabcde\r\n0\r\n\r\n"), ("no size", b"\r\nabcde\r\n0\r\n\r\n"),
    ("size no hex", b"g\r\nabcde\r\n0\r\n\r\n"), ("size overflows 64 bits", b"10000000000000005\r\nabcde\r\n0\r\n\r\n"), ("size of 2^63", b"8000000000000000\r\nabcde\r\n0\r\n\r\n"), ("very long size", b"0" * 5000 + b"5\r\nabcde\r\n0\r\n\r\n"),
    ("size ends in LF", b"5\nabcde\r\n0\r\n\r\n"), ("size ends in CR", b"5\rabcde\r\n0\r\n\r\n"), ("data ends in LF", b"5\r\nabcde\n0\r\n\r\n"), ("data longer than its size", b"4\r\nabcde\r\n0\r\n\r\n"), ("data without an end", b"5\r\nabcde0\r\n\r\n"),
    ("bare CR in an extension", b"5;a\rb\r\nabcde\r\n0\r\n\r\n"), ("bare LF in an extension", b"5;a\nb\r\nabcde\r\n0\r\n\r\n"), ("NUL in an extension", b"5;a\0b\r\nabcde\r\n0\r\n\r\n"), ("very long extension", b"5;" + b"a" * 100000 + b"\r\nabcde\r\n0\r\n\r\n"),
    ("LF after the last chunk", b"5\r\nabcde\r\n0\n\r\n"), ("LF as the end", b"5\r\nabcde\r\n0\r\n\n"), ("trailer without colon", b"5\r\nabcde\r\n0\r\nabc\r\n\r\n"), ("trailer with space before colon", b"5\r\nabcde\r\n0\r\na : b\r\n\r\n"),
    ("CR CR LF", b"5\r\r\nabcde\r\n0\r\n\r\n"), ("size in Latin digits above ASCII", "\u00b25\r\nabcde\r\n0\r\n\r\n".encode("latin-1")),
]


@pytest.mark.parametrize("body", [c[1] for c in CHUNKS], ids=[c[0] for c in CHUNKS])
def test_malformed_chunks_are_refused_and_the_connection_closed(server, body):
    refused(server, post("Transfer-Encoding: chunked", body=body, length=False), (400, 413, 431))


def test_many_trailers_are_bounded(server):
    data = post("Transfer-Encoding: chunked", body=b"0\r\n" + b"X-A: b\r\n" * 50000 + b"\r\n", length=False)
    refused(server, data, (400, 413, 431))


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9", "HTTP/1.2", "HTTP/9.9"])
def test_other_versions(server, version):
    refused(server, f"GET /health/live {version}\r\nHost: a\r\n\r\n".encode(), (400, 505))


def test_http2_preface_where_it_is_switched_off(make_server):
    own = make_server(env={"MAINSTAY_HTTP_H2": "off"})
    with own.connect() as c:
        c.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        try:
            assert c.answer().status in (400, 405, 501, 505)
        except Closed:
            pass


@pytest.mark.parametrize("path", ["/health/%zz", "/health/%", "/health/%4", "/health/live%00", "/api/v1/models/%ff"])
def test_bad_percent_encoding(server, path):
    with server.connect() as c:
        check_error(c.ask(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()), (400, 404))


@pytest.mark.parametrize("path", ["/health/../health/live", "/health/./live", "/%2e%2e/health/live", "/health/%2e/live", "/..", "/../../etc/passwd", "/health/%2E%2E/x"])
def test_dot_segments_are_refused(server, path):
    with server.connect() as c:
        check_error(c.ask(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()), (400, 404))


def test_absolute_form_overrides_host(server):
    with server.connect() as c:
        assert c.ask(b"GET http://other.example/health/live HTTP/1.1\r\nHost: a\r\n\r\n").status == 200
        assert c.ask(b"GET http://other.example:80/health/live?x=1 HTTP/1.1\r\nHost: a\r\n\r\n").status == 200


@pytest.mark.parametrize("target", ["http://", "http:///health/live", "http://a b/health/live", "ftp://a/health/live", "http://u@a/health/live", "http://a:99999999/health/live"])
def test_bad_absolute_form(server, target):
    refused(server, f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())


def test_percent_encoded_names_reach_the_route(server):
    assert server.get("/api/v1/models/%77ine").json()["name"] == "wine"


# --- What is legal works -----------------------------------------------------------------------------------------


def test_keep_alive(server):
    with server.connect() as c:
        for _ in range(100):
            answer = c.ask(post())
            assert answer.status == 200 and (answer.header("Connection") or "keep-alive").lower() == "keep-alive"


def test_pipelined_requests_are_answered_in_order(server):
    with server.connect() as c:
        ids = [f"id-{i}" for i in range(200)]
        c.send(b"".join(post(f"X-Request-ID: {i}") for i in ids))
        for i in ids:
            answer = c.answer()
            assert answer.status == 200 and answer.json()["request_id"] == i


def test_pipelined_slow_and_fast_requests_keep_their_order(server):
    """A prediction that leaves the loop must not be overtaken by those behind it."""
    slow = json.dumps({"model": "wine", "features": [WINE.records[0]] * 3000}).encode()
    with server.connect() as c:
        kinds = [slow, BODY, BODY, slow, BODY]
        c.send(b"".join(post(f"X-Request-ID: id-{i}", body=b) for i, b in enumerate(kinds)))
        for i, b in enumerate(kinds):
            document = c.answer().json()
            assert document["request_id"] == f"id-{i}"
            assert len(document["predictions"]) == (3000 if b is slow else 1)


def test_pipelined_after_close_is_not_answered(server):
    with server.connect() as c:
        c.send(b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET)
        answer = c.answer()
        assert answer.status == 200 and answer.header("Connection").lower() == "close"
        assert c.at_end()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 100000])
def test_chunked_body_of_any_chunk_size(server, size):
    with server.connect() as c:
        for _ in range(2):
            answer = c.ask(chunked(*[BODY[i:i + size] for i in range(0, len(BODY), size)]))
            assert answer.status == 200 and len(answer.json()["predictions"]) == 1


def test_chunk_extensions_and_trailers_are_dropped(server):
    with server.connect() as c:
        framed = b"%x;a=b;c=\"d\"\r\n%s\r\n0;e\r\nX-Trailer: 1\r\nContent-Length: 3\r\n\r\n" % (len(BODY), BODY)
        answer = c.ask(post("Transfer-Encoding: chunked", body=framed, length=False))
        assert answer.status in (200, 400)  # a trailer that would frame may be refused
        if answer.status == 200:
            assert c.ask(GET).status == 200


def test_transfer_encoding_is_case_insensitive(server):
    with server.connect() as c:
        assert c.ask(chunked(BODY, headers=("tRANSFER-eNCODING:   CHUNKED  ",))).status == 200


def test_every_byte_alone(server):
    """Each byte in a segment of its own: the parser may stop anywhere."""
    with server.connect() as c:
        c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for data in (post("X-A:  b ", "Accept: */*"), chunked(BODY[:100], BODY[100:])):
            for i in range(len(data)):
                c.send(data[i:i + 1])
            assert c.answer().status == 200


@pytest.mark.parametrize("cut", range(1, 60, 4))
def test_two_requests_cut_anywhere(server, cut):
    data = GET + post()
    with server.connect() as c:
        c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        at = len(data) * cut // 60
        c.send(data[:at]).send(data[at:])
        assert c.answer().status == 200 and c.answer().status == 200


def test_empty_lines_before_a_request(server):
    """RFC 9112 2.2: at least one is ignored; a refusal is no crash either."""
    with server.connect() as c:
        assert c.ask(b"\r\n" + GET).status in (200, 400)


def test_equal_content_lengths_are_one_or_refused(server):
    with server.connect() as c:
        assert c.ask(post(f"Content-Length: {len(BODY)}")).status in (200, 400)


def test_http_1_0(server):
    with server.connect() as c:
        answer = c.ask(b"GET /health/live HTTP/1.0\r\n\r\n")
        assert answer.status == 200 and answer.header("Transfer-Encoding") is None
        assert c.at_end()
    with server.connect() as c:
        assert c.ask(b"GET /health/live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").header("Connection").lower() == "keep-alive"
        assert c.ask(GET).status == 200


def test_expect_continue(server):
    with server.connect() as c:
        head, _, body = post("Expect: 100-continue").partition(b"\r\n\r\n")
        assert c.ask(head + b"\r\n\r\n").status == 100
        assert c.ask(body).status == 200
        assert c.ask(GET).status == 200


def test_expect_continue_with_the_body_already_there(server):
    with server.connect() as c:
        answer = c.ask(post("Expect: 100-Continue"))
        if answer.status == 100:
            answer = c.answer()
        assert answer.status == 200
        assert c.ask(GET).status == 200


def test_unknown_expectation(server):
    with server.connect() as c:
        check_error(c.ask(post("Expect: 200-ok")), 417, "http.expectation")


def test_expect_continue_is_not_given_to_a_body_that_is_too_large(server):
    with server.connect() as c:
        answer = c.ask(b"POST /api/v1/predict HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
        check_error(answer, 413, "http.body_too_large")


@pytest.mark.parametrize("path", ["/health/live", "/api/v1/models", "/metrics", "/openapi.json", "/docs", "/api/v1/models/whine"])
def test_head_is_get_without_a_body(server, path):
    with server.connect() as c:
        head = c.ask(f"HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD")
        get = c.ask(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
        assert head.status == get.status and head.header("Content-Type") == get.header("Content-Type")
        if path in ("/health/live", "/docs", "/openapi.json", "/api/v1/models"):
            assert head.header("Content-Length") == get.header("Content-Length")
        assert c.ask(GET).status == 200, "a body would have been read as the next answer"


@pytest.mark.parametrize("path,allowed", [("/api/v1/predict", {"POST", "OPTIONS"}), ("/health/live", {"GET", "HEAD", "OPTIONS"}), ("/api/v1/models/wine", {"GET", "HEAD", "DELETE", "OPTIONS"})])
def test_options_tells_the_methods(server, path, allowed):
    answer = server.request("OPTIONS", path)
    assert answer.status_code in (200, 204)
    assert set(a.strip() for a in answer.headers["Allow"].split(",")) == allowed


def test_options_asterisk(server):
    with server.connect() as c:
        assert c.ask(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").status in (200, 204)


@pytest.mark.parametrize("method,path", [("DELETE", "/api/v1/predict"), ("PUT", "/api/v1/predict"), ("POST", "/health/live"), ("PATCH", "/api/v1/models"), ("POST", "/v2/models/wine")])
def test_method_not_allowed_says_what_is(server, method, path):
    answer = server.request(method, path)
    check_error(answer, 405, "http.method_not_allowed")
    assert answer.headers["Allow"]


@pytest.mark.parametrize("method", ["BREW", "get", "PROPFIND", "CONNECT", "TRACE", "X" * 100])
def test_unknown_method(server, method):
    with server.connect() as c:
        answer = c.ask(f"{method} /health/live HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
        check_error(answer, (400, 405, 501))


@pytest.mark.parametrize("path", ["/nothing", "/api/v1/predict/", "/API/v1/predict", "/api//v1/predict", "/health/live/", "/api/v1/models/wine/versions", "//health/live"])
def test_unknown_path(server, path):
    check_error(server.request("GET", path) if not path.startswith("//") else server.session.get(server.url + path), (404, 405))


# --- Limits -------------------------------------------------------------------------------------------------------


def test_body_too_large(server):
    with server.connect() as c:
        c.send(b"POST /api/v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 16777217\r\n\r\n")
        check_error(c.answer(), 413, "http.body_too_large")


def test_chunked_body_too_large(make_server):
    own = make_server("--http.body_limit=64KiB")
    with own.connect() as c:
        c.try_send(chunked(*[b" " * 4096] * 17))
        check_error(c.answer(), 413, "http.body_too_large")


def test_body_of_exactly_the_limit(make_server):
    own = make_server("--http.body_limit=64KiB", examples=True)
    with own.connect() as c:
        assert c.ask(post(body=BODY + b" " * (65536 - len(BODY)))).status == 200


def test_client_that_sends_on_after_413_still_reads_the_answer(server):
    """The answer must not be lost to a reset because unread bytes were in the socket."""
    with server.connect() as c:
        c.send(b"POST /api/v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        done = threading.Event()

        def pump():
            try:
                for _ in range(64):
                    c.sock.sendall(b"x" * 65536)
            except OSError:
                pass
            done.set()

        thread = threading.Thread(target=pump)
        thread.start()
        answer = c.answer()
        thread.join()
        check_error(answer, 413, "http.body_too_large")


def test_target_too_long(server):
    refused(server, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "http.uri_too_long")


def test_endless_target(server):
    refused(server, b"GET /" + b"a" * 1000000, 414, "http.uri_too_long")


def test_headers_too_large(server):
    refused(server, post("X-A: " + "b" * 40000), 431, "http.headers_too_large")


def test_too_many_headers(server):
    refused(server, post(*[f"X-{i}: b" for i in range(110)]), 431, "http.headers_too_large")


def test_ninety_headers_are_fine(server):
    with server.connect() as c:
        assert c.ask(post(*[f"X-{i}: b" for i in range(90)])).status == 200


def test_endless_headers(server):
    refused(server, b"GET /health/live HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100000, 431, "http.headers_too_large")


def test_slow_headers_time_out(make_server):
    own = make_server("--http.header_timeout=200ms")
    with own.connect() as c:
        c.send(b"GET /health/live HTTP/1.1\r\nHost: a\r\n")
        check_error(c.answer(), 408, "http.timeout")
        assert c.at_end()


def test_trickled_headers_time_out_all_the_same(make_server):
    """Slowloris: a byte now and then does not buy more time."""
    own = make_server("--http.header_timeout=300ms")
    with own.connect() as c:
        c.send(b"GET /health/live HTTP/1.1\r\nHost: a\r\n")
        c.sock.settimeout(0.05)
        for _ in range(100):
            try:
                c.send(b"X-A: b\r\n")
                if not c.receive() or c.buffer:
                    break
            except (TimeoutError, socket.timeout):
                continue
            except OSError:
                break
        c.sock.settimeout(5)
        check_error(c.answer(), 408, "http.timeout")


def test_slow_body_times_out(make_server):
    own = make_server("--http.body_timeout=200ms", examples=True)
    with own.connect() as c:
        c.send(post()[:-20])
        check_error(c.answer(), 408, "http.timeout")
        assert c.at_end()


def test_slow_but_steady_body_is_served(make_server):
    own = make_server("--http.body_timeout=500ms", examples=True)
    with own.connect() as c:
        head, _, body = post().partition(b"\r\n\r\n")
        c.send(head + b"\r\n\r\n")
        import time
        step = len(body) // 8
        for at in range(0, len(body), step):
            time.sleep(0.1)  # the pace of this client is what is tested: slower in all than the timeout, faster in each step
            c.send(body[at:at + step])
        assert c.answer().status == 200


def test_idle_connection_is_closed_without_an_answer(make_server):
    own = make_server("--http.idle_timeout=200ms")
    with own.connect() as used, own.connect() as fresh:
        assert used.ask(GET).status == 200
        assert used.at_end(5)
        assert fresh.at_end(5)


def test_client_that_does_not_read_is_cut(make_server):
    own = make_server("--http.write_timeout=300ms", examples=True)
    with own.connect() as c:
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        big = json.dumps({"model": "wine", "features": [[0] * 13] * 20000, "output": "leaf"}).encode()
        c.sock.settimeout(1)
        try:
            for _ in range(8):
                c.send(post(body=big))
        except (TimeoutError, socket.timeout, OSError):
            pass
        wait_until(lambda: own.get("/metrics").text.split("\nactive_connections ")[1].split("\n")[0] == "1", 30, "the connection to be cut")


def test_connections_beyond_the_limit_get_503(make_server):
    own = make_server("--http.connections=20", "--threads=1", ready=False)
    held = []
    try:
        for _ in range(20):
            held.append(own.connect())
            assert held[-1].ask(GET).status == 200
        with own.connect() as c:
            check_error(c.answer(), 503, "server.overloaded")
            assert c.at_end()
        held.pop().close()

        def again():
            with own.connect() as c:
                try:
                    return c.send(GET).answer().status == 200
                except (Closed, OSError):
                    return False

        wait_until(again, what="a place for a new connection")
    finally:
        [c.close() for c in held]


# --- Sockets ------------------------------------------------------------------------------------------------------


def test_half_closed_client_gets_its_answer(server):
    with server.connect() as c:
        c.send(post()).half_close()
        assert c.answer().status == 200
        assert c.at_end()


def test_half_closed_client_of_a_large_prediction_gets_its_answer(server):
    with server.connect() as c:
        c.send(post(body=json.dumps({"model": "wine", "features": [WINE.records[0]] * 5000}).encode())).half_close()
        assert len(c.answer().json()["predictions"]) == 5000


def test_client_that_leaves_in_the_middle(server):
    for cut in (1, 20, 100, len(post()) - 5):
        with server.connect() as c:
            c.send(post()[:cut])
    for _ in range(50):
        with server.connect() as c:
            c.send(post(body=json.dumps({"model": "wine", "features": [WINE.records[0]] * 3000}).encode()))
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset while it computes
    assert server.predictions("wine", WINE.records[0])


def test_half_closed_in_the_middle_of_a_request_ends_it(server):
    with server.connect() as c:
        c.send(post()[:-5]).half_close()
        try:
            assert c.answer().status in (400, 408)
        except Closed:
            pass
        assert c.at_end()


def test_ipv6(make_server):
    own = make_server(listen=("127.0.0.1:0", "[::1]:0"), start=False).spawn()
    wait_until(lambda: len(own.bound()) == 2, what="two addresses")
    port = [int(p) for a, p in own.bound() if "::1" in a][0]
    with Connection(socket.create_connection(("::1", port), timeout=10)) as c:
        assert c.ask(b"GET /health/live HTTP/1.1\r\nHost: [::1]:%d\r\n\r\n" % port).status == 200


def test_all_addresses(make_server):
    own = make_server(listen=(":0",), start=False, auth=True).spawn()
    own.wait_log(lambda line: line.get("message") == "listening")
    for address in ("127.0.0.1", "::1"):
        with Connection(socket.create_connection((address, own.port), timeout=10)) as c:
            assert c.ask(GET).status == 200


def test_unix_socket(make_server, tmp_path):
    path = tmp_path / "mainstay.sock"
    own = make_server(listen=("127.0.0.1:0", f"unix:{path}"), examples=True)

    def unix():
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        s.connect(str(path))
        return Connection(s)

    for _ in range(3):
        with unix() as c:
            assert c.ask(post()).status == 200
    own.kill()
    assert path.exists(), "a crash leaves the socket behind"
    own.start()
    with unix() as c:
        assert c.ask(GET).status == 200
    assert own.stop() == 0
    assert not path.exists(), "an orderly end removes it"


def test_unix_socket_that_somebody_uses_is_not_taken(make_server, tmp_path):
    path = tmp_path / "mainstay.sock"
    first = make_server(listen=("127.0.0.1:0", f"unix:{path}"))
    second = make_server(listen=("127.0.0.1:0", f"unix:{path}"), start=False).spawn()
    assert second.wait_exit() == 1
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(str(path))
    with Connection(s) as c:
        assert c.ask(GET).status == 200
    assert first.running()


def test_regular_file_in_place_of_a_socket_is_not_deleted(make_server, tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    own = make_server(listen=(f"unix:{path}",), start=False).spawn()
    assert own.wait_exit() == 1
    assert path.read_text() == "data"


# --- Compression -----------------------------------------------------------------------------------------------------


def ask_encoded(server, data, encoding, path="/api/v1/predict"):
    with server.connect() as c:
        return c.ask(post(f"Content-Encoding: {encoding}", body=data, path=path))


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "x-gzip", "GZIP", "identity"])
def test_compressed_request(server, encoding):
    data = {"gzip": gzip.compress, "zstd": zstd, "identity": bytes}[encoding.lower().replace("x-", "")](BODY)
    answer = ask_encoded(server, data, encoding)
    assert answer.status == 200 and answer.json()["predictions"] == server.predictions("wine", WINE.records[0])


@pytest.mark.parametrize("encoding", ["br", "compress", "gzip, gzip", "gzip, zstd", "aes128gcm", "x"])
def test_other_encodings_are_415_and_say_what_is_right(server, encoding):
    document = check_error(ask_encoded(server, BODY, encoding), 415, "http.content_encoding")
    assert "gzip" in document["error"]


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b", gzip.compress(BODY)[:-9], gzip.compress(BODY)[:-1], gzip.compress(BODY)[:20], gzip.compress(BODY)[:-8] + b"\0" * 8, gzip.compress(BODY) + b"rubbish", BODY, zlib.compress(BODY)],
                         ids=["empty", "magic", "no sum", "cut sum", "cut", "wrong sum", "rubbish after", "plain", "zlib"])
def test_broken_gzip(server, data):
    check_error(ask_encoded(server, data, "gzip"), 400)


@pytest.mark.parametrize("cut", [0, 4, 10, -1])
def test_broken_zstd(server, cut):
    data = zstd(BODY)
    check_error(ask_encoded(server, data[:cut], "zstd"), 400)


def test_gzip_of_two_members_is_whole_or_refused(server):
    answer = ask_encoded(server, gzip.compress(BODY[:50]) + gzip.compress(BODY[50:]), "gzip")
    assert answer.status in (200, 400)
    if answer.status == 200:
        assert len(answer.json()["predictions"]) == 1


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_bomb_is_refused_in_little_memory(make_server, encoding):
    own = make_server(examples=True)
    plain = b" " * (64 << 20)
    data = {"gzip": lambda d: gzip.compress(d, 9), "zstd": lambda d: zstd(d, "-19", "--long=27")}[encoding](plain)
    assert len(data) < 200000
    before = own.memory()
    for _ in range(5):
        check_error(ask_encoded(own, data, encoding), (400, 413))
    assert own.memory() - before < 24 << 20
    assert own.predictions("wine", WINE.records[0])


def test_zstd_with_a_huge_window_is_refused_in_little_memory(make_server):
    own = make_server(examples=True)
    data = zstd(os.urandom(1 << 20) * 2, "--ultra", "-22", "--long=31")
    before = own.memory()
    assert ask_encoded(own, data, "zstd").status in (400, 413, 415)
    assert own.memory() - before < 24 << 20


def test_inflate_ratio_is_kept_to(make_server):
    own = make_server("--http.inflate_ratio=5", examples=True)
    document = {"model": "wine", "features": [WINE.records[0]] * 2000}
    body = json.dumps(document).encode()
    data = gzip.compress(body, 9)
    assert len(body) > 5 * len(data) and len(body) > 65536, "up to 64 KiB the ratio is not judged"
    check_error(ask_encoded(own, data, "gzip"), (400, 413))


@pytest.mark.parametrize("accept,encoding", [("gzip", "gzip"), ("zstd", "zstd"), ("gzip;q=0.5, zstd", "zstd"), ("gzip, zstd;q=0", "gzip"), ("identity", None), ("gzip;q=0", None), ("br", None), ("", None), ("*;q=0, gzip", "gzip")])
def test_answer_is_compressed_as_accepted(server, accept, encoding):
    big = json.dumps({"model": "wine", "features": [WINE.records[0]] * 100}).encode()
    with server.connect() as c:
        plain = c.ask(post(body=big))
        answer = c.ask(post(f"Accept-Encoding: {accept}", body=big))
    assert answer.header("Content-Encoding") == encoding
    assert "accept-encoding" in (answer.header("Vary") or "").lower()
    body = {"gzip": gzip.decompress, "zstd": lambda d: zstd(d, "-d"), None: bytes}[encoding](answer.body)
    assert json.loads(body)["predictions"] == plain.json()["predictions"]
    assert plain.header("Content-Encoding") is None


def test_small_answers_are_not_compressed(server):
    with server.connect() as c:
        assert c.ask(b"GET /health/live HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n").header("Content-Encoding") is None


# --- TLS ----------------------------------------------------------------------------------------------------------------


def make_certificate(folder, name):
    folder.mkdir(exist_ok=True)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2",
                    "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    return {name: make_certificate(folder / name, name) for name in ("first", "second")}


@pytest.fixture
def tls_server(make_server, certificates, tmp_path):
    def start(*args):
        cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
        cert.write_bytes(certificates["first"][0].read_bytes())
        key.write_bytes(certificates["first"][1].read_bytes())
        own = make_server("--tls-cert", cert, "--tls-key", key, *args, listen=("127.0.0.1:0", "https://127.0.0.1:0"), examples=True, start=False).spawn()
        wait_until(lambda: len(own.bound()) == 2, what="two addresses")
        own.wait_ready()
        own.tls_port = [int(p) for _, p in own.bound()][1]
        own.cert, own.key = cert, key
        return own

    return start


def tls_connect(server, ca, **limits):
    context = ssl.create_default_context(cafile=ca)
    for name, value in limits.items():
        setattr(context, name, value)
    return Connection(context.wrap_socket(socket.create_connection(("127.0.0.1", server.tls_port), timeout=10), server_hostname="localhost"))


def serial(connection):
    return connection.sock.getpeercert()["subject"][0][0][1]


def test_tls(tls_server, certificates):
    own = tls_server()
    with tls_connect(own, certificates["first"][0]) as c:
        for _ in range(3):
            assert c.ask(post()).status == 200
        assert c.sock.version() == "TLSv1.3"


def test_tls_large_bodies_both_ways(tls_server, certificates):
    own = tls_server()
    with tls_connect(own, certificates["first"][0]) as c:
        answer = c.ask(post(body=json.dumps({"model": "wine", "features": [WINE.records[0]] * 5000, "output": "leaf"}).encode()))
        assert len(answer.json()["predictions"]) == 5000


def test_tls_1_2_is_accepted_by_default(tls_server, certificates):
    with tls_connect(tls_server(), certificates["first"][0], maximum_version=ssl.TLSVersion.TLSv1_2) as c:
        assert c.sock.version() == "TLSv1.2" and c.ask(GET).status == 200


def test_tls_1_2_is_refused_when_1_3_is_the_least(tls_server, certificates):
    own = tls_server("--http.tls.min_version=1.3")
    with pytest.raises((ssl.SSLError, OSError)):
        tls_connect(own, certificates["first"][0], maximum_version=ssl.TLSVersion.TLSv1_2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_tls_is_refused(tls_server, version):
    own = tls_server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with pytest.raises((ssl.SSLError, OSError)) as error:
        context.wrap_socket(socket.create_connection(("127.0.0.1", own.tls_port), timeout=10))
    assert "alert" in str(error.value).lower(), "the server refused, not this client"


def test_plain_http_on_the_tls_port(tls_server):
    own = tls_server()
    with Connection(socket.create_connection(("127.0.0.1", own.tls_port), timeout=10)) as c:
        c.send(GET)
        try:
            assert c.answer().status == 400
        except (Closed, AssertionError):
            pass
    assert own.get("/health/live").status_code == 200


def test_reload_takes_the_new_certificate_and_keeps_open_connections(tls_server, certificates):
    own = tls_server()
    with tls_connect(own, certificates["first"][0]) as old:
        assert old.ask(GET).status == 200 and serial(old) == "first"
        for target, source in ((own.cert, certificates["second"][0]), (own.key, certificates["second"][1])):
            target.write_bytes(source.read_bytes())
        own.signal(signal.SIGHUP)

        def renewed():
            try:
                with tls_connect(own, certificates["second"][0]) as c:
                    return serial(c) == "second" and c.ask(GET).status == 200
            except ssl.SSLError:
                return False

        wait_until(renewed, what="the new certificate")
        assert old.ask(GET).status == 200


@pytest.mark.parametrize("what", ["rubbish", "key of another certificate", "missing"])
def test_reload_of_a_broken_certificate_keeps_the_old(tls_server, certificates, what):
    own = tls_server()
    if what == "rubbish":
        own.cert.write_text("no certificate")
    elif what == "missing":
        own.cert.unlink()
    else:
        own.key.write_bytes(certificates["second"][1].read_bytes())
    seen = len(own.log)
    own.signal(signal.SIGHUP)
    own.wait_log(lambda line: line.get("log.level") in ("warn", "error"), what="a complaint", after=seen)
    with tls_connect(own, certificates["first"][0]) as c:
        assert c.ask(GET).status == 200
    assert own.running()


@pytest.mark.parametrize("args", [(), ("--tls-cert", "missing.pem", "--tls-key", "missing.pem")])
def test_https_without_a_certificate_does_not_start(make_server, args):
    own = make_server(*args, listen=("https://127.0.0.1:0",), start=False).spawn()
    assert own.wait_exit() in (1, 2)
    assert "cert" in own.log_text() or "missing.pem" in own.log_text()


def test_tls_handshake_that_stalls_does_not_hold_the_others(tls_server, certificates):
    own = tls_server("--http.header_timeout=300ms")
    stalled = [Connection(socket.create_connection(("127.0.0.1", own.tls_port), timeout=10)) for _ in range(20)]
    for s in stalled:
        s.send(b"\x16\x03\x01")
    with tls_connect(own, certificates["first"][0]) as c:
        assert c.ask(GET).status == 200
    for s in stalled:
        assert s.at_end(10)
        s.close()
