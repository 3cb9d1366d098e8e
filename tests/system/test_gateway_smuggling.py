# SPDX-License-Identifier: Apache-2.0
"""Requests that servers read in different ways, sent through the gateway to six servers of five makes.

Either we refuse and close, or exactly one request of the same meaning arrives. Behind each request stands a second one on the same
connection, which must get its own answer or none; at the end each server must have seen what we passed on and nothing else."""

import collections
import json
import re
import socket

import http2_frames as h2
import pytest
from conftest import check_end
from gateway_echo import MAKERS, TOKEN, settled
from gateway_peer import Gateway, service
from harness import Closed, Connection

SMUGGLED = "GET <S> HTTP/1.1\r\nHost: a.test\r\n\r\n"
HOP = {"keep-alive", "proxy-connection", "upgrade", "te", "proxy-authenticate", "http2-settings", "x-hop"}


@pytest.fixture(scope="module")
def front(binary, tmp_path_factory):
    """The gateway and the servers by name; each has a route of its name."""
    folder = tmp_path_factory.mktemp("smuggling")
    servers = {}
    gateway = None
    try:
        for name, make in MAKERS.items():
            servers[name] = make(folder / name)
        services = [service(n, "127.0.0.1", s.port, retries=0, route={"preserve_host": True}) for n, s in servers.items()]
        gateway = Gateway(binary, folder / "gateway", {"services": services}).start()
        yield gateway, servers
        check_end(gateway)
    finally:
        if gateway:
            gateway.kill()
        for server in servers.values():
            server.stop()


class Case:
    """`want`: refuse (no request arrives), pass, or either. What passes has this method, body, host and headers."""

    def __init__(self, want, name, raw, method="POST", body="", host="a.test", has=(), lacks=(), last=False, statuses=(400,), closes=True):
        self.closes = closes  # what is wrong in the path alone leaves no doubt where the request ends
        self.want, self.name = want, name
        self.raw = raw if isinstance(raw, bytes) else raw.encode("latin-1")
        self.method, self.body, self.host, self.has, self.lacks, self.last, self.statuses = method, body, host, dict(has), lacks, last, statuses

    def bytes(self, server):
        return self.raw.replace(b"<P>", f"/{server}/c-{self.name}".encode()).replace(b"<S>", f"/{server}/s-{self.name}".encode())


def post(*fields, body="", line="POST <P> HTTP/1.1", host="Host: a.test"):
    return "\r\n".join([line, *([host] if host else []), *fields]) + "\r\n\r\n" + body


def get(*fields, line="GET <P> HTTP/1.1", host="Host: a.test"):
    return post(*fields, line=line, host=host)


def refuse(name, raw, **more):
    return Case("refuse", name, raw, **more)


def through(name, raw, **more):
    return Case("pass", name, raw, **more)


def either(name, raw, **more):
    return Case("either", name, raw, **more)


CHUNKED = "Transfer-Encoding: chunked"
FIVE = "5\r\nhello\r\n0\r\n\r\n"


def two_framings():
    return [
        refuse("cl-te", post("Content-Length: 6", CHUNKED, body="0\r\n\r\n" + SMUGGLED)),
        refuse("te-cl", post(CHUNKED, "Content-Length: 4", body="5c\r\n" + SMUGGLED + "0\r\n\r\n")),
        refuse("cl0-te", post("Content-Length: 0", CHUNKED, body=FIVE)),
        refuse("cl-te-that-agree", post("Content-Length: 15", CHUNKED, body=FIVE)),
        refuse("get-cl-te", post("Content-Length: 5", CHUNKED, line="GET <P> HTTP/1.1", body=FIVE)),
        refuse("cl-te-in-other-case", post("content-length: 5", "TRANSFER-ENCODING: Chunked", body=FIVE)),
        refuse("connection-names-cl", post("Connection: Content-Length", "Content-Length: 5", CHUNKED, body=FIVE)),
    ]


def transfer_encodings():
    wrong = {
        "twice": "Transfer-Encoding: chunked, chunked", "two-lines": CHUNKED + "\r\n" + CHUNKED, "identity": "Transfer-Encoding: identity",
        "gzip-first": "Transfer-Encoding: gzip, chunked", "gzip": "Transfer-Encoding: gzip", "identity-last": "Transfer-Encoding: chunked, identity",
        "two-lines-identity": CHUNKED + "\r\nTransfer-Encoding: identity", "xchunked": "Transfer-Encoding: xchunked", "chunkedx": "Transfer-Encoding: chunkedx",
        "parameter": "Transfer-Encoding: chunked;q=1", "quoted": 'Transfer-Encoding: "chunked"', "vt": "Transfer-Encoding:\x0bchunked",
        "ff": "Transfer-Encoding: chunked\x0c", "nul": "Transfer-Encoding: chunked\x00", "empty": "Transfer-Encoding: ", "comma": "Transfer-Encoding: ,chunked",
        "nbsp": "Transfer-Encoding: chunked\xa0", "space-inside": "Transfer-Encoding: chun ked", "cr": "Transfer-Encoding: \rchunked",
        "empty-and-cl": "Transfer-Encoding:\r\nContent-Length: 15",
    }
    cases = [refuse("te-" + name, post(value, body=FIVE + SMUGGLED), statuses=(400, 501)) for name, value in wrong.items()]
    for version in ("1.0", "0.9"):
        cases.append(refuse(f"te-on-{version}", post(CHUNKED, "Connection: keep-alive", line=f"POST <P> HTTP/{version}", body=FIVE), statuses=(400, 505)))
    return cases + [
        through("te-plain", post(CHUNKED, body=FIVE), body="hello"),
        through("te-capitals", post("transfer-encoding: CHUNKED", body=FIVE), body="hello"),
        through("te-tab", post("Transfer-Encoding: \tchunked \t", body=FIVE), body="hello"),
        either("te-underscore", post("Transfer_Encoding: chunked", "Content-Length: 15", body=FIVE), body=FIVE, lacks=("transfer-encoding",)),
        through("te-hyphen", post("Transfer-Encoding-: chunked", "Content-Length: 15", body=FIVE), body=FIVE, lacks=("transfer-encoding",)),
    ]


def content_lengths():
    wrong = {
        "plus": "+5", "minus": "-5", "minus0": "-0", "hex": "0x5", "underscored": "1_0", "empty": "", "list-differs": "5, 6", "overflow64": "18446744073709551621",
        "overflow63": "9223372036854775808", "huge": "9" * 40, "space": "5 5", "semicolon": "5;", "point": "5.0", "exponent": "5e0", "vt": "5\x0b", "nul": "5\x00",
        "word": "NaN", "comma": ",5", "quoted": '"5"', "latin": "\xb5", "octal": "0o5", "cr": "5\r",
    }
    cases = [refuse("cl-" + name, post("Content-Length: " + value, body="hello" + SMUGGLED), statuses=(400, 413)) for name, value in wrong.items()]
    return cases + [
        refuse("cl-twice-differs", post("Content-Length: 5", "Content-Length: 6", body="hello" + SMUGGLED)),
        refuse("cl-twice-0-first", post("Content-Length: 0", "Content-Length: 44", body=SMUGGLED)),
        refuse("cl-twice-other-form", post("Content-Length: 5", "Content-Length: 05", body="hello")),
        either("cl-twice-same", post("Content-Length: 5", "Content-Length: 5", body="hello"), body="hello"),
        either("cl-list-same", post("Content-Length: 5, 5", body="hello"), body="hello"),
        either("cl-zeros", post("Content-Length: 0005", body="hello"), body="hello"),
        through("cl-plain", post("Content-Length: 5", body="hello"), body="hello"),
        through("cl-get-body", post("Content-Length: 45", line="GET <P> HTTP/1.1", body="GET /x HTTP/1.1\r\nHost: a.test\r\nX-Long: aaa\r\n\r\n"[:45]),
                method="GET", body="GET /x HTTP/1.1\r\nHost: a.test\r\nX-Long: aaa\r\n\r\n"[:45]),
        through("cl-body-is-a-request", post("Content-Length: 33", body="GET /xx HTTP/1.1\r\nHost: a.test\r\n\r"), body="GET /xx HTTP/1.1\r\nHost: a.test\r\n\r"),
        either("cl-underscore", post("Content_Length: 44", "Content-Length: 0"), lacks=("content_length",)),
        through("no-body", post(), body=""),
        through("crlf-after-body", post("Content-Length: 5", body="hello\r\n"), body="hello"),
    ]


def field_lines():
    wrong = {
        "space-before-colon": post("Content-Length : 5", body="hello"), "te-space-before-colon": post("Transfer-Encoding : chunked", body=FIVE),
        "tab-before-colon": post("Content-Length\t: 5", body="hello"), "first-line-indented": "POST <P> HTTP/1.1\r\n Host: a.test\r\n\r\n",
        "indented-cl": "POST <P> HTTP/1.1\r\n Content-Length: 44\r\nHost: a.test\r\n\r\n" + SMUGGLED, "empty-name": get(": value"), "only-colon": get(":"),
        "obs-fold": get("X-A: b", " folded"), "obs-fold-tab": get("X-A: b", "\tfolded"), "te-folded": post("Transfer-Encoding:", " chunked", body=FIVE),
        "cl-folded": post("X-A: b", " Content-Length: 5", body="hello"), "cr-in-value": get("X-A: b\rTransfer-Encoding: chunked"),
        "cr-line-end": "GET <P> HTTP/1.1\rHost: a.test\r\r", "cr-before-crlf": get("X-A: b\r"), "nul-in-value": get("X-A: b\x00c"), "nul-in-name": get("X-\x00A: b"),
        "lf-line-end": "GET <P> HTTP/1.1\r\nHost: a.test\nX-A: b\r\n\r\n", "lf-head-end": "GET <P> HTTP/1.1\r\nHost: a.test\r\n\n", "all-lf": "GET <P> HTTP/1.1\nHost: a.test\n\n",
        "lf-hides-te": post("X-A: b\nTransfer-Encoding: chunked", body=FIVE), "no-colon": get("X-A"), "no-colon-te": post("Transfer-Encoding chunked", body=FIVE),
        "name-with-space": get("X A: b"), "name-with-bracket": get("X(A: b"), "name-latin": get("X-\xe4: b"), "name-quote": get('"Host": b'), "esc-in-value": get("X-A: \x1b[0m"),
        "del-in-value": get("X-A: \x7f"), "vt-before-name": post("\x0bContent-Length: 5", body="hello"), "vt-after-name": post("Transfer-Encoding\x0b: chunked", body=FIVE),
        "lf-after-name": get("X-A\n: b"), "cr-in-name": get("X-\rA: b"),
    }
    cases = [refuse(name, raw) for name, raw in wrong.items()]
    return cases + [
        through("values-with-tab-and-latin", get("X-A: b\tc\xe4"), method="GET"),
        through("no-space-after-colon", get("X-A:b"), method="GET", has={"x-a": "b"}),
        through("colon-in-value", get("X-A: b: c"), method="GET", has={"x-a": "b: c"}),
        refuse("many-fields", get(*[f"X-{i}: b" for i in range(20000)]), statuses=(400, 431)),
        refuse("long-field", get("X-A: " + "b" * 2000000), statuses=(400, 431)),
    ]


def hosts():
    wrong = {"a b": "space", "a/b": "slash", "u@a.test": "user", "a.test:99999": "port", "a.test:8x": "port-word", "a.test,b.test": "list", "a.test\x00": "nul",
             "a.test?x": "query", "a.test#x": "fragment", "[::1": "bracket", "a.test\\b": "backslash", "<a>": "angle", "a.test:80:80": "ports", "a\xe4.test": "latin"}
    cases = [refuse("host-" + name, get(host=f"Host: {value}")) for value, name in wrong.items()]
    return cases + [
        refuse("host-missing", get(host=None)),
        refuse("host-twice", get("Host: b.test")),
        refuse("host-twice-same", get("Host: a.test")),
        refuse("host-space-before-colon", get(host="Host : a.test")),
        refuse("host-indented-second", get(" Host: b.test")),
        either("host-empty", get(host="Host:"), method="GET", host=""),
        through("absolute-form-wins", get(line="GET http://other.test<P> HTTP/1.1"), method="GET", host="other.test"),
        refuse("absolute-form-user", get(line="GET http://u@other.test<P> HTTP/1.1")),
        refuse("absolute-form-empty", get(line="GET http://<P> HTTP/1.1")),
        refuse("absolute-form-no-host-field", get(line="GET http://other.test<P> HTTP/1.1", host=None)),
        either("forwarded-host", get("X-Forwarded-Host: evil.test", "X_Forwarded_Host: evil.test"), method="GET", lacks=("x_forwarded_host",), has={"x-forwarded-host": "a.test"}),
    ]


def request_lines():
    wrong = {
        "two-spaces": "GET  <P> HTTP/1.1", "tab": "GET\t<P> HTTP/1.1", "space-at-end": "GET <P> HTTP/1.1 ", "leading-space": " GET <P> HTTP/1.1", "space-in-target": "GET <P> x HTTP/1.1",
        "method-bracket": "GE(T <P> HTTP/1.1", "method-colon": "GET: <P> HTTP/1.1", "method-latin": "G\xc5T <P> HTTP/1.1", "method-empty": " <P> HTTP/1.1", "version-1.10": "GET <P> HTTP/1.10",
        "version-1.1x": "GET <P> HTTP/1.1x", "version-01.1": "GET <P> HTTP/01.1", "version-lower": "GET <P> http/1.1", "version-comma": "GET <P> HTTP/1,1", "version-257": "GET <P> HTTP/257.1",
        "version-overflow": "GET <P> HTTP/1.257", "version-high-bit": "GET <P> HTTP/1.\xb1", "version-1": "GET <P> HTTP/1", "version-plus": "GET <P> HTTP/+1.1", "version-word": "GET <P> XTTP/1.1",
        "version-2.0": "GET <P> HTTP/2.0", "version-3.0": "GET <P> HTTP/3.0", "version-0.9": "GET <P> HTTP/0.9", "none-0.9": "GET <P>", "cr-in-line": "GET <P>\rx HTTP/1.1", "nul-in-target": "GET <P>\x00x HTTP/1.1",
        "lf-in-line": "GET <P>\nx HTTP/1.1", "target-relative": "GET x<P> HTTP/1.1", "fragment": "GET <P>#x HTTP/1.1", 
        "vt-separator": "GET\x0b<P> HTTP/1.1", "ff-separator": "GET <P>\x0cHTTP/1.1", "method-long": "G" * 100000 + " <P> HTTP/1.1", "target-long": "GET <P>" + "a" * 2000000 + " HTTP/1.1",
        "asterisk-get": "GET * HTTP/1.1", "connect": "CONNECT a.test:80 HTTP/1.1", "preface": "PRI * HTTP/2.0",
    }
    cases = [refuse("line-" + name, get(line=line), statuses=(400, 405, 414, 431, 501, 505)) for name, line in wrong.items()]
    paths = {"percent-nul": "%00", "percent-bad": "%zz", "percent-cut": "%", "hidden-dots": "/..%2f..%2fx"}
    cases += [refuse("line-" + name, get(line=f"GET <P>{end} HTTP/1.1"), closes=False) for name, end in paths.items()]
    return cases + [
        either("line-target-latin", get(line="GET <P>\xe4 HTTP/1.1"), method="GET"),
        through("line-query", get(line="GET <P>?a=b%20c&d HTTP/1.1"), method="GET"),
        either("line-lower-method", get(line="get <P> HTTP/1.1"), method="get", statuses=(400, 404, 405, 501)),
        either("line-crlf-before", "\r\n" + get(), method="GET"),
        through("line-1.0", get("Content-Length: 0", line="POST <P> HTTP/1.0"), last=True),
    ]


def chunks():
    wrong = {
        "space-after": "5 \r\nhello\r\n0\r\n\r\n", "space-before": " 5\r\nhello\r\n0\r\n\r\n", "tab-after": "5\t\r\nhello\r\n0\r\n\r\n", "0x": "0x5\r\nhello\r\n0\r\n\r\n", "plus": "+5\r\nhello\r\n0\r\n\r\n",
        "minus": "-1\r\nhello\r\n0\r\n\r\n", "letter": "5g\r\nhello\r\n0\r\n\r\n", "empty": "\r\nhello\r\n0\r\n\r\n", "underscored": "0_5\r\nhello\r\n0\r\n\r\n", "nul": "5\x00\r\nhello\r\n0\r\n\r\n",
        "overflow-17": "10000000000000005\r\nhello\r\n0\r\n\r\n", "overflow-16": "fffffffffffffff5\r\nhello\r\n0\r\n\r\n", "overflow-32": "1" + "0" * 31 + "5\r\nhello\r\n0\r\n\r\n", "overflow-63": "8000000000000000\r\nhello\r\n0\r\n\r\n",
        "lf-after-size": "5\nhello\r\n0\r\n\r\n", "cr-after-size": "5\rhello\r\n0\r\n\r\n", "lf-after-data": "5\r\nhello\n0\r\n\r\n", "nothing-after-data": "5\r\nhello0\r\n\r\n", "cr-x-after-data": "5\r\nhello\rX0\r\n\r\n",
        "xx-after-data": "5\r\nhelloXX0\r\n\r\n", "longer": "5\r\nhellohello\r\n0\r\n\r\n", "lf-after-last": "5\r\nhello\r\n0\n\r\n", "lf-at-end": "5\r\nhello\r\n0\r\n\n", "crcr-at-end": "5\r\nhello\r\n0\r\n\r\r",
        "extension-lf": "5;a\nhello\r\n0\r\n\r\n", "extension-lf-hides": "5;\nhello\r\n0\r\n\r\n", "extension-cr": "5;a\rb\r\nhello\r\n0\r\n\r\n", "extension-nul": "5;a\x00\r\nhello\r\n0\r\n\r\n",
        "extension-long": "5;" + "a" * 300000 + "\r\nhello\r\n0\r\n\r\n", "last-negative": "5\r\nhello\r\n-0\r\n\r\n", "trailer-space": "5\r\nhello\r\n0\r\nX-A : b\r\n\r\n", "trailer-lf": "5\r\nhello\r\n0\r\nX-A: b\n\r\n",
        "trailer-no-colon": "5\r\nhello\r\n0\r\nX-A\r\n\r\n", "trailer-fold": "5\r\nhello\r\n0\r\nX-A: b\r\n c\r\n\r\n", "trailer-nul": "5\r\nhello\r\n0\r\nX-A: \x00\r\n\r\n", "trailer-empty-name": "5\r\nhello\r\n0\r\n: b\r\n\r\n",
        "trailer-flood": "5\r\nhello\r\n0\r\n" + "".join(f"X-{i}: b\r\n" for i in range(20000)) + "\r\n", "no-last-crlf": "5\r\nhello\r\n0\r\n" + SMUGGLED, "crlf-before-size": "\r\n5\r\nhello\r\n0\r\n\r\n",
        "unicode-digit": "\xb5\r\nhello\r\n0\r\n\r\n", "comma": "5,\r\nhello\r\n0\r\n\r\n", "dot": "5.\r\nhello\r\n0\r\n\r\n", "second-bad": "5\r\nhello\r\n5;\nhello\r\n0\r\n\r\n",
    }
    cases = [refuse("chunk-" + name, post(CHUNKED, body=body), statuses=(400, 413, 431)) for name, body in wrong.items()]
    bad_trailers = {"cl": "Content-Length: 44", "te": CHUNKED, "host": "Host: b.test", "auth": "Authorization: x", "forwarded": "X-Forwarded-For: 9.9.9.9", "consumer": "X-Consumer-Username: root"}
    for name, line in bad_trailers.items():
        cases.append(either("trailer-" + name, post(CHUNKED, body=f"5\r\nhello\r\n0\r\n{line}\r\n\r\n"), body="hello", lacks=("authorization", "x-consumer-username")))
    return cases + [
        through("chunk-extension", post(CHUNKED, body='5;a=b;c="d"\r\nhello\r\n0;e\r\n\r\n'), body="hello"),
        either("chunk-extension-quoted", post(CHUNKED, body='5;a="b;c\\"d"\r\nhello\r\n0\r\n\r\n'), body="hello"),
        through("chunk-zeros", post(CHUNKED, body="0005\r\nhello\r\n000\r\n\r\n"), body="hello"),
        either("chunk-many-zeros", post(CHUNKED, body="0" * 40 + "5\r\nhello\r\n0\r\n\r\n"), body="hello"),
        through("chunk-capitals", post(CHUNKED, body="A\r\nhellohello\r\n0\r\n\r\n"), body="hellohello"),
        through("chunk-several", post(CHUNKED, body="1\r\nh\r\n4\r\nello\r\na\r\n1234567890\r\n0\r\n\r\n"), body="hello1234567890"),
        through("chunk-holds-a-request", post(CHUNKED, body="21\r\nGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n\r\n0\r\n\r\n"), body="GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        through("chunk-empty-body", post(CHUNKED, body="0\r\n\r\n"), body=""),
        through("chunk-get", post(CHUNKED, line="GET <P> HTTP/1.1", body=FIVE), method="GET", body="hello"),
        through("trailer-plain", post(CHUNKED, "Trailer: X-A", body="5\r\nhello\r\n0\r\nX-A: b\r\n\r\n"), body="hello", lacks=("x-a",)),
    ]


def hops():
    return [
        through("hop-named", get("Connection: X-Hop, keep-alive", "X-Hop: 1", "X-Own: 2"), method="GET", has={"x-own": "2"}),
        through("hop-all", get("Keep-Alive: 5", "Proxy-Connection: keep-alive", "TE: gzip", "X-Own: 2"), method="GET", has={"x-own": "2"}),
        either("hop-h2c", get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), method="GET"),
        either("hop-names-cl", post("Connection: Content-Length", "Content-Length: 5", body="hello"), body="hello"),
        either("hop-names-te", post("Connection: Transfer-Encoding", CHUNKED, body=FIVE), body="hello"),
        either("hop-names-host", get("Connection: Host"), method="GET"),
        either("hop-names-forwarded", get("Connection: X-Forwarded-For, X-Real-IP"), method="GET", has={"x-forwarded-for": "127.0.0.1"}),
        through("hop-twice", get("Connection: X-Hop", "Connection: X-Hop2", "X-Hop: 1", "X-Hop2: 1"), method="GET", lacks=("x-hop2",)),
        either("hop-upgrade-other", post("Connection: Upgrade", "Upgrade: websocket2", "Content-Length: 5", body="hello"), body="hello"),
        either("hop-close-in-list", get("Connection: foo, close"), method="GET", last=True),
        either("expect-other", post("Expect: 200-ok", "Content-Length: 5", body="hello"), body="hello", statuses=(400, 417)),
        either("expect-obfuscated", post("Expect: y 100-continue", "Content-Length: 5", body="hello"), body="hello", statuses=(400, 417)),
        through("expect", post("Expect: 100-continue", "Content-Length: 5", body="hello"), body="hello"),
        either("expect-get", get("Expect: 100-continue"), method="GET", statuses=(400, 417)),
        either("proxy-header", get("Proxy: http://evil.test/"), method="GET", statuses=(400,)),
    ]


CASES = [c for part in (two_framings, transfer_encodings, content_lengths, field_lines, hosts, request_lines, chunks, hops) for c in part()]


def last_segment(path):
    return path.split("?")[0].split("/")[-1]


def malformed(request):
    """What is wrong in the form of a request that reached a server."""
    names = [n for n, _ in request["headers"]]
    if not all(TOKEN.fullmatch(n) for n in names) or any(re.search(r"[\r\n\0]", v) for _, v in request["headers"]):
        return "field"
    if names.count("host") != 1 or names.count("content-length") + names.count("transfer-encoding") > 1:
        return f"framing {names}"
    if "te" in names and "te" in dict(request["headers"]).get("connection", "").lower():
        names.remove("te")  # which is how it is said to a neighbour
    if HOP & set(names):
        return f"hop by hop {HOP & set(names)}"
    return None


def difference(case, request):
    """What the server was told other than what the client said."""
    headers = dict(request["headers"])
    if malformed(request):
        return malformed(request)
    if request["method"] != case.method or request["body"] != case.body or headers.get("host") != case.host:
        return f"another request: {request}"
    lost = {n: v for n, v in case.has.items() if headers.get(n) != v}
    kept = [n for n in case.lacks if n in headers]
    kept += [n for n in request.get("trailers", {}) if n != "x-a"]
    return f"lost {lost}, kept {kept}" if lost or kept else None


def final(connection):
    """The next answer that is no interim one."""
    while True:
        answer = connection.answer()
        if answer.status >= 200:
            return answer


def run_http1(port, server, case, pieces=None):
    """Sends the case and a second request behind it; gives (how many passed, what is wrong)."""
    second = f"GET /{server}/f-{case.name} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n".encode()
    with Connection(socket.create_connection(("127.0.0.1", port), timeout=5)) as c:
        c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = case.bytes(server) + second
        for at in range(0, len(data), pieces or len(data)):
            c.try_send(data[at : at + (pieces or len(data))])
        try:
            answer = final(c)
        except (Closed, OSError) as error:
            return 0, f"no answer: {error!r}"
        if answer.status in case.statuses and case.want != "pass":
            if not case.closes:
                return 0, None if final(c).status == 200 else "the second request got nothing"
            return 0, None if c.at_end(5) else f"{answer.status}, but the connection went on: {c.buffer[:200]}"
        if answer.status != 200 or case.want == "refuse":
            return 0, f"answered {answer}"
        try:
            problem = difference(case, answer.json())
            if not case.last:
                own = final(c)
                if own.status != 200 or last_segment(own.json()["path"]) != f"f-{case.name}":
                    problem = problem or f"the second request got {own}"
            return 1, problem or (None if c.at_end(5) else f"more came: {c.buffer[:200]}")
        except (Closed, OSError, ValueError) as error:
            return 1, f"the second request got nothing: {error!r}"


def run_all(front, name, cases, run):
    """All cases through one server; then what it has seen must be what passed."""
    gateway, servers = front
    server = servers[name]
    before, bad = len(server.seen()), len(server.refused())
    expected, failures = collections.Counter(), {}
    for case in cases:
        passed, problem = run(gateway.port, name, case)
        if problem:
            failures[case.name] = problem
        if passed:
            expected[f"c-{case.name}"] += 1
        if passed or not case.closes:
            expected[f"f-{case.name}"] += not case.last
    seen = collections.Counter(re.split("%|ä", last_segment(r["path"]))[0] for r in settled(server)[before:])
    for path in (seen - expected) | (expected - seen):
        failures.setdefault(path, f"seen {seen[path]} times, passed {expected[path]} times")
    assert not failures, json.dumps(failures, indent=1)
    assert server.refused()[bad:] == [], "the server was sent something that it refused"
    assert any(n.startswith("f-") for n in seen)


def test_there_are_enough_cases():
    names = [c.name for c in CASES]
    assert len(names) == len(set(names)) and len(names) >= 60


@pytest.mark.parametrize("name", MAKERS)
def test_http1(front, name):
    run_all(front, name, CASES, run_http1)


def test_http1_byte_by_byte(front):
    """How the bytes are cut into segments changes nothing."""
    cases = [c for c in CASES if len(c.raw) < 300]
    for case in cases:
        case.name += "-bytes"
    try:
        run_all(front, "strict", cases, lambda *a: run_http1(*a, pieces=1))
    finally:
        for case in cases:
            case.name = case.name.removesuffix("-bytes")


# --- HTTP/2 to HTTP/1.1 ------------------------------------------------------------------------------------------


def long_field(name, value):
    def text(data):
        data = data if isinstance(data, bytes) else data.encode("latin-1")
        if len(data) < 127:
            return bytes([len(data)]) + data
        left, out = len(data) - 127, b"\x7f"
        while left >= 128:
            out, left = out + bytes([left & 127 | 128]), left >> 7
        return out + bytes([left]) + data

    return b"\x00" + text(name) + text(value)


class H2Case(Case):
    """Fields in order, then DATA, then trailers. `<P>` in values is the path."""

    def __init__(self, want, name, *fields, data=None, trailers=None, method="GET", pseudo=None, **more):
        super().__init__(want, name, b"", method=method, **more)
        self.fields = pseudo if pseudo is not None else [(":method", method), (":scheme", "http"), (":authority", "a.test"), (":path", "<P>")]
        self.fields = self.fields + list(fields)
        self.data, self.trailers = data, trailers

    def frames(self, server, stream):
        block = b"".join(long_field(n, v.replace("<P>", f"/{server}/c-{self.name}").replace("<S>", f"/{server}/s-{self.name}")) for n, v in self.fields)
        out = h2.frame("headers", 4 | (self.data is None and self.trailers is None), stream, block)
        if self.data is not None:
            out += h2.frame("data", self.trailers is None, stream, self.data)
        if self.trailers is not None:
            out += h2.frame("headers", 5, stream, b"".join(long_field(n, v) for n, v in self.trailers))
        return out


PSEUDO = [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "<P>")]


def changed(name, *values):
    """The usual pseudo-headers, one of them with these values instead."""
    out = []
    for n, v in PSEUDO:
        out += [(n, new) for new in values] if n == name else [(n, v)]
    return out


def h2_cases():
    values = {"cr": "b\rc", "lf": "b\nc", "nul": "b\0c", "crlf-field": "b\r\nTransfer-Encoding: chunked", "crlf-request": "b\r\n\r\nGET <S> HTTP/1.1\r\nHost: a.test\r\n\r\n",
              "space-first": " b", "space-last": "b ", "tab-first": "\tb", "tab-last": "b\t", "lf-last": "b\n"}
    cases = [H2Case("refuse", "value-" + n, ("x-a", v)) for n, v in values.items()]
    names = {"capital": "X-A", "space": "x a", "colon": "x:a", "colon-last": "x-a:", "cr": "x\ra", "lf": "x\na", "nul": "x\0a", "empty": "", "field": "x-a: b\r\ntransfer-encoding: chunked\r\nx-c", "latin": "x-\xe4",
             "space-last": "content-length ", "bracket": "x(a", "capital-te": "Transfer-Encoding"}
    cases += [H2Case("refuse", "name-" + n, (v, "chunked")) for n, v in names.items()]
    hop = {"connection": "close", "transfer-encoding": "chunked", "keep-alive": "5", "proxy-connection": "close", "upgrade": "h2c", "te": "gzip"}
    cases += [H2Case("refuse", "hop-" + n, (n, v), method="POST", data=b"5\r\nhello\r\n0\r\n\r\n") for n, v in hop.items()]
    pseudo = {
        "path-twice": changed(":path", "<P>", "<S>"), "path-missing": changed(":path"), "path-empty": changed(":path", ""), "path-crlf": changed(":path", "<P> HTTP/1.1\r\nX-A: b\r\nX-C:"), "path-space": changed(":path", "<P> x"),
        "path-lf": changed(":path", "<P>\nx"), "path-nul": changed(":path", "<P>\0x"), "path-relative": changed(":path", "x<P>"), "path-version": changed(":path", "<P> HTTP/1.1"), "path-fragment": changed(":path", "<P>#x"),
        "path-absolute": changed(":path", "http://b.test<P>"), "path-asterisk": changed(":path", "*"), "path-tab": changed(":path", "<P>\tx"), "method-twice": changed(":method", "GET", "POST"), "method-missing": changed(":method"),
        "method-empty": changed(":method", ""), "method-space": changed(":method", "GET <S> HTTP/1.1"), "method-crlf": changed(":method", "GET <S> HTTP/1.1\r\nHost: a.test\r\n\r\nGET"), "method-bracket": changed(":method", "GE(T"),
        "scheme-missing": changed(":scheme"), "scheme-twice": changed(":scheme", "http", "https"), "scheme-crlf": changed(":scheme", "http\r\nX-A: b"), "scheme-target": changed(":scheme", "http://a.test/?x="),
        "authority-twice": changed(":authority", "a.test", "b.test"), "authority-crlf": changed(":authority", "a.test\r\nX-A: b"), "authority-user": changed(":authority", "u@a.test"), "authority-space": changed(":authority", "a test"),
        "authority-slash": changed(":authority", "a.test/x"), "authority-port": changed(":authority", "a.test:99999"), "authority-nul": changed(":authority", "a.test\0"), "authority-missing": changed(":authority"),
        "unknown": [*PSEUDO, (":x", "y")], "status": [*PSEUDO, (":status", "200")], "protocol": [*PSEUDO, (":protocol", "websocket")], "late": [*PSEUDO[:3], ("x-a", "b"), PSEUDO[3]], "connect-with-path": changed(":method", "CONNECT"),
        "connect": [(":method", "CONNECT"), (":authority", "a.test:80")],
    }
    cases += [H2Case("refuse", "pseudo-" + n, pseudo=v, statuses=(400, 405, 501)) for n, v in pseudo.items()]
    lengths = {"more": ("6", b"hello"), "less": ("4", b"hello"), "less-request": ("0", b"GET /x HTTP/1.1\r\n"), "plus": ("+5", b"hello"), "list": ("5, 6", b"hello"), "hex": ("0x5", b"hello"), "empty": ("", b"hello"),
               "overflow": ("18446744073709551621", b"hello"), "minus": ("-5", b"hello")}
    cases += [H2Case("refuse", "length-" + n, ("content-length", v), method="POST", data=d, statuses=(400, 413)) for n, (v, d) in lengths.items()]
    trailers = {"pseudo": (":path", "/x"), "crlf": ("x-a", "b\r\nc"), "name": ("x a", "b"), "capital": ("X-A", "b")}
    cases += [H2Case("refuse", "trailer-" + n, method="POST", data=b"hello", trailers=[t]) for n, t in trailers.items()]
    dropped = {"cl": ("content-length", "44"), "te": ("transfer-encoding", "chunked"), "host": ("host", "b.test"), "consumer": ("x-consumer-username", "root"), "plain": ("x-a", "b")}
    cases += [H2Case("either", "trailer-" + n, method="POST", data=b"hello", body="hello", trailers=[t], lacks=("x-a", "x-consumer-username")) for n, t in dropped.items()]
    return cases + [
        H2Case("refuse", "length-without-data", ("content-length", "5"), method="POST"),
        H2Case("refuse", "length-twice", ("content-length", "5"), ("content-length", "6"), method="POST", data=b"hello"),
        H2Case("refuse", "host-differs", ("host", "b.test")),
        H2Case("refuse", "host-twice", ("host", "a.test"), ("host", "b.test")),
        H2Case("refuse", "host-twice-no-authority", ("host", "a.test"), ("host", "b.test"), pseudo=changed(":authority")),
        H2Case("either", "host-same", ("host", "a.test")),
        H2Case("pass", "host-alone", ("host", "a.test"), pseudo=changed(":authority")),
        H2Case("pass", "plain", lacks=("content-length", "transfer-encoding")),
        H2Case("pass", "te-trailers", ("te", "trailers")),
        H2Case("pass", "length", ("content-length", "5"), method="POST", data=b"hello", body="hello"),
        H2Case("pass", "no-length", method="POST", data=b"hello", body="hello"),
        H2Case("pass", "no-length-get", data=b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n", body="GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        H2Case("pass", "empty-data", method="POST", data=b""),
        H2Case("pass", "value-tab-inside", ("x-a", "b\tc")),
        H2Case("pass", "crumbs", ("cookie", "a=1"), ("cookie", "b=2"), has={"cookie": "a=1; b=2"}),
        H2Case("either", "underscore", ("x_forwarded_for", "9.9.9.9"), lacks=("x_forwarded_for",)),
        H2Case("either", "forwarded", ("x-forwarded-for", "9.9.9.9"), has={"x-forwarded-for": "127.0.0.1"}),
    ]


def run_http2(port, server, case):
    with h2.Peer(port, timeout=5) as c:
        c.start()
        c.send(case.frames(server, 1))
        answered = c.wait(lambda: c.ended(1) or c.find(h2.RST, 1) or c.find(h2.GOAWAY))
        if not answered and not c.closed:
            return 0, "no answer"
        # The second request: another stream, if the connection is still there.
        path = f"/{server}/f-{case.name}"
        if not c.find(h2.GOAWAY) and not c.closed:
            c.send(h2.frame("headers", 5, 3, h2.request("GET", path)))
            if not c.wait(lambda: c.ended(3)) or f"f-{case.name}".encode() not in c.body(3):
                return 0, f"the second request got {c.frames}"
        else:
            case.last = True
        passed = c.ended(1) and not c.find(h2.RST, 1) and not c.closed and c.body(1).startswith(b'{"') and b'"headers"' in c.body(1)
        if not passed:
            refused = c.find(h2.RST, 1) or c.find(h2.GOAWAY) or c.closed or b'"error"' in c.body(1)
            return 0, None if refused and case.want != "pass" else f"not passed on: {c.frames}"
        if case.want == "refuse":
            return 1, f"passed on: {c.body(1)}"
        return 1, difference(case, json.loads(c.body(1)))


@pytest.mark.parametrize("name", MAKERS)
def test_http2(front, name):
    gateway, servers = front
    server = servers[name]
    before, bad = len(server.seen()), len(server.refused())
    failures, expected = {}, collections.Counter()
    for case in h2_cases():
        passed, problem = run_http2(gateway.port, name, case)
        if problem:
            failures[case.name] = problem
        expected[f"c-{case.name}"] += passed
        expected[f"f-{case.name}"] += not case.last
    seen = collections.Counter(last_segment(r["path"]) for r in settled(server)[before:])
    for path in (seen - expected) | (expected - seen):
        failures.setdefault(path, f"seen {seen[path]} times, passed {expected[path]} times")
    assert not failures, json.dumps(failures, indent=1)
    assert server.refused()[bad:] == [], "the server was sent something that it refused"


def test_connections_are_not_mixed(front):
    """After refused and passed requests of one client, another client's request on a kept upstream connection gets its own answer."""
    gateway, servers = front
    for name in servers:
        for i in range(20):
            with gateway.connect() as c:
                c.try_send(post("Content-Length: 6", CHUNKED, body="0\r\n\r\nG").replace("<P>", f"/{name}/x"))
                assert c.answer().status == 400
            with gateway.connect() as c:
                answer = c.ask(f"GET /{name}/own-{i} HTTP/1.1\r\nHost: a.test\r\n\r\n")
                assert answer.status == 200 and answer.json()["path"] == f"/own-{i}" and answer.json()["method"] == "GET"
