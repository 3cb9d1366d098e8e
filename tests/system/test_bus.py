# SPDX-License-Identifier: Apache-2.0
"""Events over a real RabbitMQ and in process: none is lost while processes and the broker are killed; duplicates are counted.

The processes are tests/bus_peer.c: small, and killed by SIGKILL where it hurts.
"""

import collections
import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import pytest
from harness import ROOT, wait_until

pika = pytest.importorskip("pika")


@pytest.fixture(scope="session")
def peer_binary(binary):
    path = pathlib.Path(os.environ.get("MAINSTAY_BUS_PEER", binary.parent / "tests" / "bus_peer"))
    assert path.is_file(), f"{path} is missing: build it"
    return path


class Tool:
    """A server of tests/lib, driven by lines."""

    def __init__(self, name):
        self.process = subprocess.Popen([ROOT / "tests" / "lib" / name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer, f"the server of the tests did not answer to {command}"
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)


@pytest.fixture(scope="module")
def broker():
    tool = Tool("rabbitmq")
    try:
        yield tool
    finally:
        tool.close()


@pytest.fixture(scope="module")
def postgres():
    tool = Tool("postgres")
    try:
        yield tool
    finally:
        tool.close()


class Peer:
    """One process; its lines are read as they come."""

    def __init__(self, binary, log, arguments):
        self.seen = collections.defaultdict(list)  # first word -> the rest of each line
        self.log = open(log, "ab")
        self.process = subprocess.Popen(
            [binary, *(f"{k}={v}" for k, v in arguments.items())], stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            if not line.endswith("\n"):
                break  # cut off by the kill
            word, _, rest = line.strip().partition(" ")
            self.seen[word].append(rest)

    def ids(self, word):
        return [rest.split()[0] for rest in list(self.seen[word])]

    def wait(self, word, count, seconds=30):
        wait_until(lambda: len(self.seen[word]) >= count or self.process.poll() is not None, seconds,
                   f"{count} times {word}", 0.02)
        assert len(self.seen[word]) >= count, f"{len(self.seen[word])} times '{word}' instead of {count}"
        return self.seen[word]

    def wait_connected(self, up=True):
        wait_until(lambda: self.seen["connected"] and self.seen["connected"][-1] == str(int(up)), 30, f"connected {up}", 0.02)

    def end(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        status = self.process.wait(30)
        self.reader.join(10)
        self.log.close()
        return status

    def kill(self):
        self.end(signal.SIGKILL)


@pytest.fixture
def peer(peer_binary, tmp_path):
    """peer(consume="x", …) starts a process on this test's store (and exchange)."""
    made = []

    def make(**arguments):
        arguments.setdefault("store", f"sqlite:{tmp_path}/bus.db")
        arguments.setdefault("exchange", tmp_path.name.lower().replace("_", "-")[:60])
        one = Peer(peer_binary, tmp_path / "log", {k: v for k, v in arguments.items() if v is not None})
        made.append(one)
        one.wait("ready", 1)
        return one

    yield make
    statuses = [one.end() for one in made if not one.log.closed]  # all of them, before any complaint
    assert not any(statuses), (tmp_path / "log").read_text()[-3000:]
    text = (tmp_path / "log").read_text(errors="replace") if made else ""
    assert "Sanitizer" not in text and "ssert" not in text, text[-5000:]


def expected(prefix, count):
    return {f"{prefix}-{i}" for i in range(count)}


def report(record_property, committed, got):
    """Every committed event arrived; returns how many deliveries were repeated."""
    missing = set(committed) - set(got)
    assert not missing, f"{len(missing)} of {len(committed)} events are lost: {sorted(missing)[:5]}"
    repeated = len(got) - len(set(got))
    record_property("events", len(set(committed)))
    record_property("repeated", repeated)
    print(f"{len(set(committed))} events, {repeated} repeated deliveries")
    return repeated


# --- Delivery -----------------------------------------------------------------------------------------


def test_acknowledged_once(broker, peer, record_property):
    one = peer(broker=broker("url"), consume="all", publish=500, prefetch=50)
    one.wait("acked", 500)
    time.sleep(0.5)
    assert one.ids("got") == [f"e-{i}" for i in range(500)], "once each, in order"
    assert one.end() == 0
    again = peer(broker=broker("url"), consume="all")
    again.wait_connected()
    time.sleep(0.5)
    assert again.ids("got") == []


def test_each_subscription_gets_its_topics(broker, peer):
    publisher = peer(broker=broker("url"), consume="other", topics="other.*")
    consumer = peer(broker=broker("url"), consume="auth", topics="auth.#")
    consumer.wait_connected()
    peer(broker=broker("url"), publish=1, prefix="a", topic="auth.login.failed").wait("committed", 1)
    peer(broker=broker("url"), publish=1, prefix="b", topic="other.x").wait("committed", 1)
    consumer.wait("got", 1)
    publisher.wait("got", 1)
    assert consumer.ids("got") == ["a-0"] and publisher.ids("got") == ["b-0"]


def test_new_subscription_misses_nothing_that_is_published_after_it(broker, peer):
    """The queue is made before the first event, whichever process is the first at the broker."""
    publisher = peer(broker=broker("url"))
    publisher.wait_connected()
    consumer = peer(broker="amqp://nobody:wrong@127.0.0.1:1/", consume="late")  # subscribed, never connected
    consumer.kill()
    peer(broker=broker("url"), publish=20).wait("committed", 20)
    time.sleep(0.5)
    second = peer(broker=broker("url"), consume="late")
    second.wait("acked", 20)


def test_not_acknowledged_comes_again(broker, peer):
    first = peer(broker=broker("url"), consume="all", publish=5, do="hold")
    first.wait("got", 5)
    first.kill()
    second = peer(broker=broker("url"), consume="all")
    second.wait("acked", 5)
    assert sorted(second.ids("got")) == [f"e-{i}" for i in range(5)]


def test_prefetch(broker, peer):
    one = peer(broker=broker("url"), consume="all", publish=40, prefetch=4, do="hold")
    one.wait("got", 4)
    time.sleep(1)
    assert len(one.seen["got"]) == 4
    one.kill()
    many = peer(broker=broker("url"), consume="all", prefetch=4, delay_ms=20)
    many.wait("acked", 40)


def test_two_processes_share(broker, peer):
    consumers = [peer(broker=broker("url"), consume="all", prefetch=1, delay_ms=3) for _ in range(2)]
    for consumer in consumers:
        consumer.wait_connected()
    peer(broker=broker("url"), publish=100).wait("committed", 100)
    wait_until(lambda: sum(len(c.seen["acked"]) for c in consumers) >= 100, 30, "all acknowledged")
    got = [i for c in consumers for i in c.ids("got")]
    assert sorted(got) == sorted(expected("e", 100)) and all(len(c.seen["got"]) > 10 for c in consumers)


def test_rejected_goes_to_the_dead_letters(broker, peer):
    one = peer(broker=broker("url"), consume="all", publish=2, do="reject", attempts=3)
    one.wait("got", 6)
    assert collections.Counter(rest.split()[1] for rest in one.seen["got"]) == {"1": 2, "2": 2, "3": 2}
    time.sleep(0.5)
    assert one.end() == 0
    again = peer(broker=broker("url"), consume="all")
    again.wait_connected()
    time.sleep(1)
    assert again.ids("got") == []


def test_what_is_no_event_goes_to_the_dead_letters_of_the_broker(broker, peer, tmp_path):
    exchange = "foreign"
    one = peer(broker=broker("url"), consume="all", exchange=exchange)
    one.wait_connected()
    connection = pika.BlockingConnection(pika.URLParameters(broker("url").removesuffix("/") + "/%2F"))
    channel = connection.channel()

    def send(topic, body, **properties):
        channel.basic_publish(exchange, topic, body, pika.BasicProperties(**properties))

    send("a.b", b"{not json", message_id="1")
    send("a.b", b"{}")
    send("Not.A.Topic", b"{}", message_id="2")
    send("a.b", b"1" * (300 << 10), message_id="3")
    send("a.b", b'{"from": "elsewhere"}', message_id="foreign-1")
    one.wait("acked", 1)
    assert one.ids("got") == ["foreign-1"]
    wait_until(lambda: channel.queue_declare(f"{exchange}.all.dead", passive=True).method.message_count == 4, 10, "4 dead")
    connection.close()


# --- The broker goes and comes ------------------------------------------------------------------------


def under_load(broker, peer, record_property, hurt, count=3000):
    consumer = peer(broker=broker("url"), consume="all", prefetch=50, process="consumer")
    publisher = peer(broker=broker("url"), publish=count, pause_ms=2, process="publisher")
    publisher.wait("committed", count // 4)
    hurt()
    publisher.wait("committed", count, 60)
    wait_until(lambda: len(set(consumer.ids("acked"))) == count, 60, "all arrive")
    return report(record_property, publisher.ids("committed"), consumer.ids("got"))


def test_broker_restarted_under_load(broker, peer, record_property):
    under_load(broker, peer, record_property, lambda: (broker("stop"), time.sleep(1), broker("start")))


def test_broker_killed_under_load(broker, peer, record_property):
    under_load(broker, peer, record_property, lambda: (broker("kill"), time.sleep(0.5), broker("start"), broker("kill"),
                                                       broker("start")))


def test_events_wait_while_the_broker_is_away(broker, peer):
    broker("stop")
    try:
        one = peer(broker=broker("url"), consume="all", publish=50)
        one.wait("committed", 50)
        assert one.seen["connected"] in ([], ["0"])
    finally:
        broker("start")
    one.wait("acked", 50, 60)
    one.wait_connected()


# --- kill -9 ------------------------------------------------------------------------------------------


def test_killed_between_commit_and_publish(broker, peer, record_property):
    broker("stop")
    try:
        first = peer(broker=broker("url"), consume="all", publish=100)
        first.wait("committed", 100)
        first.kill()
    finally:
        broker("start")
    second = peer(broker=broker("url"), consume="all")
    second.wait("acked", 100)
    assert report(record_property, first.ids("committed"), second.ids("got")) == 0


class Proxy:
    """Between a peer and the broker; withholds what the broker says once told to."""

    def __init__(self, port):
        self.port, self.silent, self.up_bytes = port, False, 0
        self.server = socket.create_server(("127.0.0.1", 0))
        self.sockets = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            broker = socket.create_connection(("127.0.0.1", self.port))
            self.sockets += [client, broker]
            threading.Thread(target=self.pump, args=(client, broker, True), daemon=True).start()
            threading.Thread(target=self.pump, args=(broker, client, False), daemon=True).start()

    def pump(self, source, sink, up):
        try:
            while data := source.recv(65536):
                while not up and self.silent:
                    time.sleep(0.02)
                sink.sendall(data)
                if up:
                    self.up_bytes += len(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.silent = False
        for s in [self.server, *self.sockets]:
            s.close()


def test_killed_between_publish_and_confirm(broker, peer, tmp_path, record_property):
    url = broker("url")
    port = int(url.rsplit(":", 1)[1].rstrip("/"))
    proxy = Proxy(port)
    consumer = peer(broker=url, consume="all", process="consumer")
    consumer.wait_connected()
    first = peer(broker=url.replace(f":{port}/", f":{proxy.server.getsockname()[1]}/"), process="publisher", lease_ms=30000,
                 publish=50, pause_ms=40)
    first.wait_connected()
    first.wait("committed", 3)
    consumer.wait("got", 1)
    proxy.silent = True  # from here on the broker has events of which the publisher does not know it

    def unconfirmed():
        with contextlib.closing(sqlite3.connect(f"file:{tmp_path}/bus.db?mode=ro", uri=True)) as store:
            kept = {row[0] for row in store.execute("SELECT id FROM bus_outbox")}
        return kept & set(consumer.ids("got"))

    first.wait("committed", 50)
    wait_until(unconfirmed, 30, "an event that arrived and was not confirmed")
    first.kill()
    proxy.close()
    # Its lease on the outbox lapses, or another takes over at its end: the consumer's own process relays now.
    wait_until(lambda: len(set(consumer.ids("acked"))) == 50, 60, "all arrive")
    time.sleep(0.5)
    repeated = report(record_property, first.ids("committed"), consumer.ids("got"))
    assert repeated >= 1, "what was published without a confirm is published again"


def test_killed_between_delivery_and_ack(broker, peer, record_property):
    publisher = peer(broker=broker("url"), publish=200, consume="all", do="hold", prefetch=1)
    publisher.wait("committed", 200)
    publisher.wait("got", 1)
    publisher.kill()
    got, acked = publisher.ids("got"), set()
    for round_ in range(30):
        one = peer(broker=broker("url"), consume="all", kill_at=40, prefetch=10, attempts=20)
        wait_until(lambda: one.process.poll() is not None or len(acked | set(one.ids("acked"))) == 200, 30, "its end", 0.02)
        one.kill()
        got += one.ids("got")
        acked |= set(one.ids("acked"))
        if len(acked) == 200:
            break
    assert acked == expected("e", 200)
    report(record_property, publisher.ids("committed"), got)


def kill_loop(peer, record_property, seconds=12, **arguments):
    """A process that publishes and consumes is killed at random; the last one has all the time it needs."""
    dice = random.Random(os.environ.get("MAINSTAY_SEED", "7"))
    committed, got, acked, kills = [], [], set(), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        one = peer(consume="all", publish=100000, prefix=f"r{kills}", at_once=4, prefetch=20, attempts=100, **arguments)
        one.wait("committed", 1)
        time.sleep(dice.uniform(0.05, 0.7))
        one.kill()
        kills += 1
        committed += one.ids("committed")
        got += one.ids("got")
        acked |= set(one.ids("acked"))
    last = peer(consume="all", prefetch=1000, attempts=100, **arguments)
    wait_until(lambda: not set(committed) - acked - set(last.ids("acked")), 90, "all arrive", 0.1)
    record_property("kills", kills)
    print(f"{kills} kills")
    report(record_property, committed, got + last.ids("got"))
    assert kills >= 5 and len(committed) > 100


def test_kill_loop_rabbitmq(broker, peer, record_property):
    kill_loop(peer, record_property, broker=broker("url"))


def test_kill_loop_in_process(peer, record_property):
    kill_loop(peer, record_property)


# --- PostgreSQL ---------------------------------------------------------------------------------------


def several(broker_url, store, peer, record_property, hurt, count=600, processes=3):
    """Each process publishes and consumes; nothing is lost, and while nothing is hurt nothing is repeated."""
    peers = [peer(store=store, broker=broker_url, consume="all", prefetch=5, publish=count, pause_ms=4, prefix=f"p{i}",
                  process=f"p{i}", attempts=100, lease_ms=10000) for i in range(processes)]
    peers[0].wait("committed", count // 4)
    hurt()
    for one in peers:
        wait_until(lambda: len(one.seen["committed"]) + len(one.seen["failed"]) == count, 90, "all published")
    committed = [i for one in peers for i in one.ids("committed")]
    wait_until(lambda: not set(committed) - {i for one in peers for i in one.ids("acked")}, 90, "all arrive", 0.1)
    time.sleep(0.3)
    assert all(one.seen["got"] for one in peers), "every process has a share"
    got = [i for one in peers for i in one.ids("got")]
    repeated = report(record_property, committed, got)
    by_process = collections.Counter(i.partition("-")[0] for i in committed)
    assert sum(by_process.values()) > processes * count // 2, by_process
    return repeated


@pytest.mark.parametrize("over", ["process", "rabbitmq"])
def test_processes_share_the_outbox(broker, postgres, peer, record_property, over):
    url = broker("url") if over == "rabbitmq" else None
    assert several(url, postgres("database"), peer, record_property, lambda: None) == 0


@pytest.mark.parametrize("over", ["process", "rabbitmq"])
def test_postgres_killed_under_load(broker, postgres, peer, record_property, over):
    url = broker("url") if over == "rabbitmq" else None
    several(url, postgres("database"), peer, record_property,
            lambda: (postgres("kill"), time.sleep(1), postgres("start")))


def test_postgres_and_rabbitmq_restarted_under_load(broker, postgres, peer, record_property):
    several(broker("url"), postgres("database"), peer, record_property,
            lambda: (broker("stop"), postgres("restart"), broker("start"), time.sleep(0.5), postgres("kill"), broker("kill"),
                     postgres("start"), broker("start")), count=2000)


@pytest.mark.parametrize("over", ["process", "rabbitmq"])
def test_kill_loop_postgres(broker, postgres, peer, record_property, over):
    kill_loop(peer, record_property, store=postgres("database"), broker=broker("url") if over == "rabbitmq" else None)


# --- mainstay ------------------------------------------------------------------------------------------


def test_commands(broker, peer, binary, tmp_path):
    """A dead letter is listed and sent again from the command line while a process runs."""
    def command(*arguments, status=0):
        done = subprocess.run([binary, *arguments], capture_output=True, text=True, timeout=30,
                              env={"DATABASE_URL": f"sqlite:{tmp_path}/bus.db"}, cwd=tmp_path, check=False)
        assert done.returncode == status, done.stderr
        return done.stdout if status == 0 else done.stderr

    first = peer(broker=broker("url"), consume="all", publish=2, do="reject", attempts=1)
    first.wait("got", 2)
    wait_until(lambda: len(json.loads(command("bus", "dead", "all", "--json"))) == 2, 10, "dead letters", 0.1)
    first.end()
    dead = json.loads(command("bus", "dead", "--json"))
    assert {d["id"]: (d["subscription"], d["topic"], d["attempts"], d["reason"]) for d in dead} == {
        f"e-{i}": ("all", "test.event", 1, "the test says no") for i in range(2)}
    assert json.loads(dead[0]["payload"]) == {"id": dead[0]["id"]}
    assert "the test says no" in command("bus", "dead", "all") and command("bus", "dead", "x") == "no dead letters\n"
    assert [(s["subscription"], s["dead"]) for s in json.loads(command("bus", "status", "--json"))["subscriptions"]] == [("all", 2)]
    assert "SUBSCRIPTION" in command("bus", "status")
    second = peer(broker=broker("url"), consume="all")
    assert "no dead letter e-7" in command("bus", "redrive", "all", "e-7", status=1)
    assert command("bus", "redrive", "all", "e-0") == "1 dead letter of all sent again\n"
    second.wait("acked", 1)
    assert json.loads(command("bus", "redrive", "all", "--all", "--json")) == {"redriven": 1}
    second.wait("acked", 2)
    assert second.ids("got") == ["e-0", "e-1"] and json.loads(command("bus", "dead", "--json")) == []
    assert "--all" in command("bus", "redrive", "all", status=2)
    assert "1000" in command("bus", "dead", "--limit", "0", status=2)


def test_health_and_metrics_of_the_server(broker, make_server):
    broker("stop")
    try:
        server = make_server(env={"RABBITMQ_URL": broker("url")})
        bus = server.get("/health").json()["checks"]["bus"]
        assert bus["status"] == "degraded" and "rabbitmq" in bus["message"], bus
        assert "\nbus_connected 0\n" in server.get("/metrics").text
    finally:
        broker("start")
    wait_until(lambda: server.get("/health").json()["checks"]["bus"]["status"] == "healthy", 60, "healthy", 0.1)
    assert "\nbus_connected 1\n" in server.get("/metrics").text
    assert "cret" not in server.log_text(1000)


# --- TLS ----------------------------------------------------------------------------------------------


def test_tls(broker, peer):
    one = peer(broker=broker("tls"), tls_ca=broker("folder") + "/ca.pem", consume="all", publish=10)
    one.wait("acked", 10)


def test_tls_verifies(broker, peer, tmp_path):
    unknown = peer(broker=broker("tls"), consume="all", publish=1)  # the system's authorities do not know the test's
    other_name = peer(broker=broker("tls").replace("localhost", "127.0.0.1"), tls_ca=broker("folder") + "/ca.pem")
    time.sleep(2)
    assert unknown.seen["connected"] == [] and other_name.seen["connected"] == []
    assert "se%cret" not in (tmp_path / "log").read_text()


def test_wrong_password_is_not_logged(broker, peer, tmp_path):
    one = peer(broker=broker("url").replace("tester:se%25cret", "tester:wr%25ong"))
    wait_until(lambda: "the broker is away" in (tmp_path / "log").read_text(), 20, "a line in the log")
    assert "ong" not in (tmp_path / "log").read_text() and one.seen["connected"] == []
    assert json.loads((tmp_path / "log").read_text().splitlines()[-1])["message"]
