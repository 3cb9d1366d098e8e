# SPDX-License-Identifier: Apache-2.0
"""Many clients at once against a limit: exactly so many pass, in the memory of one process and in Redis over two; and what happens when Redis goes."""

import collections
import http.client
import signal
import subprocess
import threading
import time

import http2_frames as h2
import pytest
from conftest import check_end
from gateway_peer import Gateway, Peer, Process, free_port, service
from harness import wait_until

LIMIT = 100
CLIENTS = 32
EACH = 10
assert CLIENTS * EACH > 2 * LIMIT


class Redis(Process):
    def __init__(self, folder, port=None):
        folder.mkdir(exist_ok=True)
        port = port or free_port()
        super().__init__(["/usr/bin/redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)], port)

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def peer():
    made = Peer()
    yield made
    made.stop()


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
def redis(tmp_path):
    made = Redis(tmp_path / "redis")
    yield made
    made.process.send_signal(signal.SIGCONT)
    made.stop()


def limited(peer, **config):
    plugin = {"name": "rate-limiting", "config": {"limit_by": "ip", **config}}
    return {"services": [{**service("p", "127.0.0.1", peer.port), "plugins": [plugin]}]}


def storm(gateways, clients=CLIENTS, each=EACH, headers=None):
    """Statuses of clients * each requests, all clients at once, spread over the gateways."""
    statuses, barrier, lock = collections.Counter(), threading.Barrier(clients), threading.Lock()

    def client(i):
        connection = http.client.HTTPConnection("127.0.0.1", gateways[i % len(gateways)].port, timeout=20)
        connection.connect()
        barrier.wait()
        for _ in range(each):
            connection.request("GET", "/p/answer", headers=headers or {})
            answer = connection.getresponse()
            answer.read()
            with lock:
                statuses[answer.status] += 1
        connection.close()

    threads = [threading.Thread(target=client, args=(i,)) for i in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sum(statuses.values()) == clients * each, "a client ended early"
    return statuses


def exactly(statuses, limit=LIMIT):
    return statuses[200] == limit and statuses[429] == sum(statuses.values()) - limit


SHAPES = {"window": {"year": LIMIT}, "two-windows": {"month": LIMIT, "year": LIMIT + 50}, "gcra": {"year": LIMIT, "algorithm": "gcra"}}


@pytest.mark.parametrize("shape", SHAPES)
def test_exactly_the_limit_in_memory(start, peer, shape):
    g = start(limited(peer, **SHAPES[shape]))
    statuses = storm([g])
    assert exactly(statuses), statuses
    assert peer.seen("GET", "/answer") == LIMIT  # the upstream has met nobody else
    refused = g.get("/p/answer")
    assert refused.status_code == 429 and int(refused.headers["Retry-After"]) > 0
    assert "0" in [v for n, v in refused.headers.items() if n.startswith("X-RateLimit-Remaining-")]


def test_exactly_the_limit_over_http2(start, peer):
    g = start(limited(peer, year=LIMIT))
    peers = [h2.Peer(g.port).start() for _ in range(4)]
    try:
        for c in peers:
            c.send(b"".join(h2.frame("headers", 5, 2 * i + 1, h2.request("GET", "/p/answer")) for i in range(60)))
        passed = 0
        for c in peers:
            assert c.wait(lambda c=c: all(c.ended(2 * i + 1) for i in range(60)), 20)
            passed += sum(b'"port"' in c.body(2 * i + 1) for i in range(60))
        assert passed == LIMIT and peer.seen("GET", "/answer") == LIMIT
    finally:
        for c in peers:
            c.sock.close()


def test_each_consumer_has_a_limit_of_its_own(start, peer):
    document = limited(peer, year=LIMIT, limit_by="consumer")
    document["services"][0]["plugins"].append({"name": "key-auth"})
    document["consumers"] = [{"username": n, "keyauth_credentials": [{"key": f"key-{n}"}]} for n in ("anna", "berta")]
    g = start(document)
    results = {}
    threads = [threading.Thread(target=lambda n=n: results.update({n: storm([g], 16, 15, {"apikey": f"key-{n}"})})) for n in ("anna", "berta")]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert exactly(results["anna"]) and exactly(results["berta"]), results


@pytest.mark.parametrize("shape", SHAPES)
def test_exactly_the_limit_in_redis_over_two_gateways(start, peer, redis, shape):
    env = {"REDIS_URL": f"redis://127.0.0.1:{redis.port}/0"}
    gateways = [start(limited(peer, policy="redis", fault_tolerant=False, **SHAPES[shape]), env=env) for _ in range(2)]
    statuses = storm(gateways)
    assert exactly(statuses), statuses
    assert peer.seen("GET", "/answer") == LIMIT


def test_a_redis_of_the_plugin_itself(start, peer, redis):
    config = {"policy": "redis", "fault_tolerant": False, "redis": {"host": "127.0.0.1", "port": redis.port}}
    statuses = storm([start(limited(peer, year=LIMIT, **config)) for _ in range(2)])
    assert exactly(statuses), statuses


@pytest.mark.parametrize("fault_tolerant", [True, False])
@pytest.mark.parametrize("own", [False, True], ids=["process", "plugin"])
def test_redis_killed_and_started_again(start, peer, redis, tmp_path, fault_tolerant, own):
    config = {"policy": "redis", "fault_tolerant": fault_tolerant}
    if own:
        config["redis"] = {"host": "127.0.0.1", "port": redis.port}
    env = {} if own else {"REDIS_URL": f"redis://127.0.0.1:{redis.port}/0"}
    gateways = [start(limited(peer, year=LIMIT, **config), env=env) for _ in range(2)]
    assert exactly(storm(gateways))
    redis.kill()
    before = peer.seen("GET", "/answer")
    began = time.monotonic()
    statuses = storm(gateways)
    assert statuses == {200 if fault_tolerant else 500: CLIENTS * EACH}, statuses
    assert time.monotonic() - began < 5  # nobody waits for what is away
    assert peer.seen("GET", "/answer") - before == (CLIENTS * EACH if fault_tolerant else 0)
    if not fault_tolerant:
        assert gateways[0].get("/p/answer").json()["code"].startswith("gateway.") or gateways[0].get("/p/answer").json()["message"]
    # It is there again: they find it by themselves, and count from nothing, exactly.
    again = Redis(tmp_path / "redis", redis.port)
    try:
        for g in gateways:
            wait_until(lambda g=g: back(g), 15, "the gateway to find Redis", pause=0.1)
        subprocess.run(["/usr/bin/redis-cli", "-p", str(redis.port), "flushall"], check=True, stdout=subprocess.DEVNULL)
        assert exactly(storm(gateways))
    finally:
        again.stop()


def back(g):
    """On every loop: a new connection may be on any."""
    answers = [http_headers(g) for _ in range(8)]
    return all(status in (200, 429) and "X-RateLimit-Limit-Year" in headers for status, headers in answers)


def http_headers(g):
    connection = http.client.HTTPConnection("127.0.0.1", g.port, timeout=20)
    connection.request("GET", "/p/answer")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers


@pytest.mark.parametrize("fault_tolerant", [True, False])
def test_redis_that_stands_still(start, peer, redis, fault_tolerant):
    """Frozen is not gone: an answer is waited for as long as cache.timeout, and no longer."""
    env = {"REDIS_URL": f"redis://127.0.0.1:{redis.port}/0", "MAINSTAY_CACHE_TIMEOUT": "300ms"}
    g = start(limited(peer, year=LIMIT, policy="redis", fault_tolerant=fault_tolerant), env=env)
    assert g.get("/p/answer").status_code == 200
    redis.process.send_signal(signal.SIGSTOP)
    for _ in range(5):
        began = time.monotonic()
        assert g.get("/p/answer").status_code == (200 if fault_tolerant else 500)
        assert time.monotonic() - began < 1.5
    redis.process.send_signal(signal.SIGCONT)
    wait_until(lambda: back(g), 15, "the gateway to find Redis", pause=0.1)
    subprocess.run(["/usr/bin/redis-cli", "-p", str(redis.port), "flushall"], check=True, stdout=subprocess.DEVNULL)
    assert exactly(storm([g]))
