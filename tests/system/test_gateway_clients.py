# SPDX-License-Identifier: Apache-2.0
"""Clients of other people through the gateway: curl, h2load, websockets, gRPC, and slowhttptest while a good client is served."""

import asyncio
import concurrent.futures
import csv
import os
import re
import subprocess
import threading
import time

import grpc
import pytest
import websockets
from conftest import check_end
from gateway_peer import Gateway, Peer, free_port, nginx, service
from harness import sha256, wait_until

FILE = bytes(range(256)) * 4096  # what nginx serves


@pytest.fixture
def start(binary, tmp_path):
    made = []

    def make(document, *args, **options):
        made.append(Gateway(binary, tmp_path / f"gateway{len(made)}", document, *args, **options).start())
        return made[-1]

    yield make
    try:
        for one in made:
            check_end(one)
    finally:
        for one in made:
            one.kill()


@pytest.fixture
def peer():
    made = Peer()
    yield made
    made.stop()


@pytest.fixture
def web(start, tmp_path, peer):
    """A gateway before nginx (/nginx) and a peer (/p), with TLS on a second address."""
    upstream = nginx(tmp_path / "nginx")
    try:
        cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
        document = {"services": [service("nginx", "127.0.0.1", upstream.port), service("p", "127.0.0.1", peer.port)]}
        g = start(document, "--tls-cert", str(cert), "--tls-key", str(key), listen=("127.0.0.1:0", "https://127.0.0.1:0"))
        wait_until(lambda: len(g.bound()) == 2, what="both addresses")
        g.secure = f"https://127.0.0.1:{[int(p) for _, p in g.bound()][1]}"
        g.cert = str(cert)
        yield g, peer
    finally:
        upstream.stop()


def curl(*args, stdin=None):
    done = subprocess.run(["curl", "-sS", "--max-time", "30", *args], input=stdin, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- curl and h2load ----------------------------------------------------------------------------------------------

VERSIONS = {"1.0": "--http1.0", "1.1": "--http1.1", "2": "--http2-prior-knowledge"}


@pytest.mark.parametrize("version", VERSIONS)
def test_curl(web, version):
    g, peer = web
    flag = VERSIONS[version]
    assert sha256(curl(flag, f"{g.url}/nginx/file.bin")) == sha256(FILE)
    assert curl(flag, "-r", "100-299", f"{g.url}/nginx/file.bin") == FILE[100:300]
    body = os.urandom(1_000_000)
    assert curl(flag, "--data-binary", "@-", f"{g.url}/p/echo", stdin=body) == body
    assert curl(flag, "-H", "Expect: 100-continue", "--data-binary", "@-", f"{g.url}/p/echo", stdin=body) == body
    if version != "1.0":
        assert curl(flag, "-T", "-", f"{g.url}/p/echo", stdin=body) == body  # of unknown length
    assert curl(flag, "-o", "/dev/null", "-w", "%{http_code} %{http_version}", f"{g.url}/nginx/none").decode() == f"404 {version if version != '1.0' else '1.1'}"
    assert b"HTTP/" in curl(flag, "-I", f"{g.url}/nginx/file.bin")
    # Several transfers by one connection; by TLS, since curl 7.88 cannot use a connection of prior knowledge again.
    base = g.secure if version == "2" else g.url
    texts = curl({"2": "--http2"}.get(version, flag), "--cacert", g.cert, *[f"{base}/p/answer/{i}" for i in range(20)]).decode()
    assert re.findall(r'"path": "/answer/(\d+)"', texts) == [str(i) for i in range(20)]


def test_curl_in_parallel_over_tls(web):
    g, _ = web
    out = curl("--http2", "--cacert", g.cert, "--parallel", "--parallel-max", "20", *[f"{g.secure}/nginx/file.bin" for _ in range(40)], *[a for _ in range(40) for a in ("-o", "/dev/null")], "-w", "%{http_version} %{http_code} %{size_download}\n")
    assert out.decode().split("\n")[:-1] == [f"2 200 {len(FILE)}"] * 40


@pytest.mark.parametrize("args", [["-c8", "-m16"], ["-c16", "-m1"], ["--h1", "-c16"], ["-c4", "-m100", "-w16", "-W16"]], ids=["streams", "one-stream", "http1", "small-windows"])
def test_h2load(web, args):
    g, peer = web
    count = 3000
    done = subprocess.run(["h2load", "-n", str(count), *args, f"{g.url}/nginx/headers"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"{count} total, {count} started, {count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout" in done.stdout, done.stdout
    assert f"status codes: {count} 2xx" in done.stdout
    big = subprocess.run(["h2load", "-n", "60", *args, f"{g.url}/nginx/file.bin"], capture_output=True, text=True, timeout=120)
    assert "60 succeeded, 0 failed" in big.stdout and "status codes: 60 2xx" in big.stdout, big.stdout


def test_h2load_posts(web, tmp_path):
    g, peer = web
    data = tmp_path / "data"
    data.write_bytes(os.urandom(20_000))
    done = subprocess.run(["h2load", "-n", "300", "-c4", "-m10", "-d", str(data), f"{g.url}/p/echo"], capture_output=True, text=True, timeout=120)
    assert "300 succeeded, 0 failed" in done.stdout and "status codes: 300 2xx" in done.stdout, done.stdout
    assert sum(r.body == data.read_bytes() for r in peer.requests) == 300


# --- WebSocket ----------------------------------------------------------------------------------------------------


async def echo(ws):
    if ws.path.endswith("/bye"):
        await ws.close(4321, "enough")
        return
    async for message in ws:
        await ws.send(message)


async def one_socket(url, i):
    async with websockets.connect(f"{url}/{i}", max_size=None, subprotocols=["chat", "other"]) as ws:
        assert ws.subprotocol == "other"
        assert any(type(e).__name__ == "PerMessageDeflate" for e in ws.extensions)
        for size in (0, 1, 125, 126, 65535, 65536, 300_000):
            for message in (os.urandom(size), chr(0x20AC) * (size // 3)):
                await ws.send(message)
                assert await asyncio.wait_for(ws.recv(), 20) == message
        await ws.send([f"part {k}" for k in range(10)])  # in fragments
        assert await asyncio.wait_for(ws.recv(), 20) == "".join(f"part {k}" for k in range(10))
        await asyncio.wait_for(await ws.ping(b"are you there"), 10)
        return True


def test_websockets(start):
    async def run():
        async with websockets.serve(echo, "127.0.0.1", 0, max_size=None, subprotocols=["other"]) as server:
            port = server.sockets[0].getsockname()[1]
            document = {"services": [service("w", "127.0.0.1", port), {**service("locked", "127.0.0.1", port), "plugins": [{"name": "key-auth"}]}],
                        "consumers": [{"username": "anna", "keyauth_credentials": [{"key": "k"}]}]}
            g = await asyncio.to_thread(start, document)
            url = f"ws://127.0.0.1:{g.port}"
            assert all(await asyncio.gather(*[one_socket(f"{url}/w", i) for i in range(20)]))
            async with websockets.connect(f"{url}/w/bye") as ws:
                with pytest.raises(websockets.ConnectionClosed) as closed:
                    await ws.recv()
                assert closed.value.rcvd.code == 4321 and closed.value.rcvd.reason == "enough"
            # Plugins stand before the upgrade; a plain request gets the upstream's own refusal.
            with pytest.raises(websockets.InvalidStatusCode) as refused:
                await websockets.connect(f"{url}/locked/x")
            assert refused.value.status_code == 401
            async with websockets.connect(f"{url}/locked/x", extra_headers={"apikey": "k"}) as ws:
                await ws.send("in")
                assert await ws.recv() == "in"
            assert (await asyncio.to_thread(g.get, "/w/x")).status_code == 426
            with pytest.raises(websockets.InvalidStatusCode) as none:
                await websockets.connect(f"{url}/nowhere")
            assert none.value.status_code == 404

    asyncio.run(asyncio.wait_for(run(), 30))


def test_websocket_server_that_dies(start):
    """A tunnel whose upstream ends is ended for the client, too; the other way round the upstream learns of it."""
    async def run():
        ended = asyncio.Event()

        async def handler(ws):
            try:
                async for message in ws:
                    if message == "die":
                        ws.transport.abort()
                        return
                    await ws.send(message)
            finally:
                ended.set()

        async with websockets.serve(handler, "127.0.0.1", 0) as server:
            g = await asyncio.to_thread(start, {"services": [service("w", "127.0.0.1", server.sockets[0].getsockname()[1])]})
            async with websockets.connect(f"ws://127.0.0.1:{g.port}/w/x") as ws:
                await ws.send("die")
                with pytest.raises(websockets.ConnectionClosed):
                    await asyncio.wait_for(ws.recv(), 10)
            ended.clear()
            ws = await websockets.connect(f"ws://127.0.0.1:{g.port}/w/x")
            await ws.send("there")
            assert await ws.recv() == "there"
            ws.transport.abort()
            await asyncio.wait_for(ended.wait(), 10)

    asyncio.run(asyncio.wait_for(run(), 30))


# --- gRPC ---------------------------------------------------------------------------------------------------------
# Messages are bytes: what gRPC needs no generated code for.


class Calls(grpc.GenericRpcHandler):
    """Methods of every shape."""

    def __init__(self):
        self.cancelled = threading.Event()
        self.deadlines = []

    def service(self, details):
        name = details.method.rsplit("/", 1)[-1]
        shapes = {"Unary": (grpc.unary_unary_rpc_method_handler, self.unary), "Down": (grpc.unary_stream_rpc_method_handler, self.down), "Up": (grpc.stream_unary_rpc_method_handler, self.up),
                  "Both": (grpc.stream_stream_rpc_method_handler, self.both), "Fail": (grpc.unary_unary_rpc_method_handler, self.fail), "FailLate": (grpc.unary_stream_rpc_method_handler, self.fail_late),
                  "Slow": (grpc.unary_unary_rpc_method_handler, self.slow), "Meta": (grpc.unary_unary_rpc_method_handler, self.meta)}
        if name not in shapes:
            return None
        make, function = shapes[name]
        return make(function)

    def unary(self, message, context):
        return message[::-1]

    def down(self, message, context):
        for i in range(int(message)):
            yield b"%d" % i

    def up(self, messages, context):
        return b"%d" % sum(len(m) for m in messages)

    def both(self, messages, context):
        for message in messages:
            yield message.upper()

    def fail(self, message, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not with 100 % \u20ac\n")

    def fail_late(self, message, context):
        yield b"first"
        context.abort(grpc.StatusCode.DATA_LOSS, "lost")

    def slow(self, message, context):
        self.deadlines.append(context.time_remaining())
        context.add_callback(self.cancelled.set)
        self.cancelled.wait(10)
        return b"late"

    def meta(self, message, context):
        got = dict(context.invocation_metadata())
        context.send_initial_metadata([("x-head", "h"), ("x-raw-bin", b"\0\1\xff")])
        context.set_trailing_metadata([("x-tail", got.get("x-own", "")), ("x-tail-bin", got.get("x-own-bin", b""))])
        return repr(sorted(got)).encode()


class Grpc:
    def __init__(self):
        self.calls = Calls()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(16), handlers=[self.calls])
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()


@pytest.fixture
def rpc(start):
    upstream = Grpc()
    gone = free_port()

    def one(name, port, plugins=()):
        return {"name": name, "protocol": "grpc", "host": "127.0.0.1", "port": port, "retries": 0, "read_timeout": 60000, "plugins": list(plugins),
                "routes": [{"name": name, "protocols": ["grpc", "grpcs"], "paths": [f"/{name}."], "strip_path": False}]}

    g = start({"services": [one("s", upstream.port), one("gone", gone), one("locked", upstream.port, [{"name": "key-auth"}]),
                            one("limited", upstream.port, [{"name": "rate-limiting", "config": {"year": 3, "limit_by": "service"}}]),
                            one("forbidden", upstream.port, [{"name": "ip-restriction", "config": {"deny": ["127.0.0.1"]}}]),
                            {**one("hasty", upstream.port), "read_timeout": 300}]})
    channel = grpc.insecure_channel(f"127.0.0.1:{g.port}", options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)])
    yield g, channel, upstream
    channel.close()
    upstream.calls.cancelled.set()
    upstream.server.stop(None)


def status_of(call):
    with pytest.raises(grpc.RpcError) as error:
        call()
    return error.value.code(), error.value.details()


def test_grpc_calls_of_each_kind(rpc):
    g, channel, _ = rpc
    unary = channel.unary_unary("/s.Calls/Unary")
    for size in (0, 1, 16_384, 3_000_000):
        message = os.urandom(size)
        assert unary(message, timeout=20) == message[::-1]
    assert list(channel.unary_stream("/s.Calls/Down")(b"500", timeout=20)) == [b"%d" % i for i in range(500)]
    assert channel.stream_unary("/s.Calls/Up")(iter([b"x" * 10_000] * 300), timeout=20) == b"3000000"
    assert list(channel.stream_stream("/s.Calls/Both")(iter([b"a", b"bc", b""] * 50), timeout=20)) == [b"A", b"BC", b""] * 50


def test_grpc_conversation(rpc):
    """Each message waits for the answer to the one before it: nothing is held back anywhere."""
    _, channel, _ = rpc
    turn = threading.Semaphore(1)

    def messages():
        for i in range(50):
            turn.acquire()
            yield b"m%d" % i

    answers = []
    for answer in channel.stream_stream("/s.Calls/Both")(messages(), timeout=20):
        answers.append(answer)
        turn.release()
    assert answers == [b"M%d" % i for i in range(50)]


def test_grpc_many_at_once(rpc):
    _, channel, _ = rpc
    unary = channel.unary_unary("/s.Calls/Unary")
    messages = [os.urandom(5000) for _ in range(300)]
    futures = [unary.future(m, timeout=30) for m in messages]
    assert [f.result() for f in futures] == [m[::-1] for m in messages]


def test_grpc_errors_and_metadata(rpc):
    _, channel, _ = rpc
    assert status_of(lambda: channel.unary_unary("/s.Calls/Fail")(b"")) == (grpc.StatusCode.FAILED_PRECONDITION, "not with 100 % \u20ac\n")
    assert status_of(lambda: channel.unary_unary("/s.Calls/Nothing")(b""))[0] == grpc.StatusCode.UNIMPLEMENTED
    got = []
    stream = channel.unary_stream("/s.Calls/FailLate")(b"")
    assert status_of(lambda: [got.append(m) for m in stream]) == (grpc.StatusCode.DATA_LOSS, "lost")
    assert got == [b"first"]
    answer, call = channel.unary_unary("/s.Calls/Meta").with_call(b"", metadata=[("x-own", "mine"), ("x-own-bin", b"\0\xfe"), ("x-consumer-username", "root")])
    assert dict(call.initial_metadata())["x-head"] == "h" and dict(call.initial_metadata())["x-raw-bin"] == b"\0\1\xff"
    assert dict(call.trailing_metadata())["x-tail"] == "mine" and dict(call.trailing_metadata())["x-tail-bin"] == b"\0\xfe"
    assert b"x-forwarded-for" in answer and b"x-consumer-username" not in answer


def test_grpc_deadlines_and_cancelling(rpc):
    _, channel, upstream = rpc
    slow = channel.unary_unary("/s.Calls/Slow")
    began = time.monotonic()
    assert status_of(lambda: slow(b"", timeout=0.5))[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 3
    assert 0 < upstream.calls.deadlines[0] <= 0.5  # grpc-timeout has arrived
    assert upstream.calls.cancelled.wait(5)
    upstream.calls.cancelled.clear()
    future = slow.future(b"", timeout=20)
    while len(upstream.calls.deadlines) < 2:
        time.sleep(0.01)
    future.cancel()
    assert upstream.calls.cancelled.wait(5)  # the upstream hears of it


def test_grpc_failures_of_the_gateway(rpc):
    _, channel, _ = rpc

    def fails(name, method="Unary", **more):
        return status_of(lambda: channel.unary_unary(f"/{name}.Calls/{method}")(b"", timeout=10, **more))[0]

    assert fails("gone") == grpc.StatusCode.UNAVAILABLE
    assert fails("nowhere") == grpc.StatusCode.UNIMPLEMENTED
    assert fails("locked") == grpc.StatusCode.UNAUTHENTICATED
    assert fails("forbidden") == grpc.StatusCode.PERMISSION_DENIED
    assert fails("hasty", "Slow") in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    unary = channel.unary_unary("/limited.Calls/Unary")
    assert [unary(b"ab", timeout=10) for _ in range(3)] == [b"ba"] * 3
    assert fails("limited") == grpc.StatusCode.UNAVAILABLE


def test_grpc_server_that_goes(rpc):
    g, channel, upstream = rpc
    stream = channel.stream_stream("/s.Calls/Both")
    hold = threading.Event()

    def messages():
        yield b"a"
        hold.wait(10)

    call = stream(messages(), timeout=20)
    assert next(call) == b"A"
    upstream.server.stop(None).wait()
    code, _ = status_of(lambda: next(call))
    hold.set()
    assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
    assert status_of(lambda: channel.unary_unary("/s.Calls/Unary")(b"", timeout=10))[0] == grpc.StatusCode.UNAVAILABLE


# --- Slow clients -------------------------------------------------------------------------------------------------

ATTACKS = {
    "headers": ["-H", "-i", "2", "-t", "GET", "-x", "10"],
    "body": ["-B", "-i", "2", "-s", "8192", "-t", "POST", "-x", "10"],
    "read": ["-X", "-w", "512", "-y", "1024", "-n", "2", "-z", "32", "-k", "3"],
    "range": ["-R", "-t", "HEAD", "-a", "10", "-b", "3000"],
}


@pytest.mark.parametrize("mode", ATTACKS)
def test_slowhttptest(start, tmp_path, mode):
    """300 slow connections for some seconds: a good client is served all the while, and memory stays small."""
    upstream = nginx(tmp_path / "nginx")
    g = start({"services": [service("nginx", "127.0.0.1", upstream.port)]}, "--http.header_timeout=3s", "--http.body_timeout=3s", "--http.write_timeout=3s")
    before = g.memory()
    path = "/nginx/file.bin" if mode in ("read", "range") else "/nginx/headers"
    attack = subprocess.Popen(["slowhttptest", "-c", "300", "-r", "150", "-l", "6", "-p", "2", "-g", "-o", str(tmp_path / "slow"), *ATTACKS[mode], "-u", g.url + path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    slowest, served, peak = 0.0, 0, 0
    try:
        while attack.poll() is None:
            began = time.monotonic()
            answer = g.get("/nginx/headers/good", timeout=5)
            assert answer.status_code == 200 and answer.text.endswith("/headers/good")
            slowest, served, peak = max(slowest, time.monotonic() - began), served + 1, max(peak, g.memory())
            time.sleep(0.02)
    finally:
        if attack.poll() is None:
            attack.kill()
        attack.wait()
        upstream.stop()
    rows = list(csv.DictReader((tmp_path / "slow.csv").open()))
    assert max(int(r["Connected"]) + int(r["Closed"]) for r in rows) >= 150  # it has taken place
    assert all(int(r["Service Available"]) > 0 for r in rows), rows  # and said so itself
    assert served > 20 and slowest < 2.5, (served, slowest)
    assert peak - before < 300 * 1.2 * (256 << 10)  # what may wait for each
