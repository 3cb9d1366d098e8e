# SPDX-License-Identifier: Apache-2.0
"""Ten thousand sign-ins at the same moment, with the hashes that people really have. Whoever owns an account still gets in."""

import collections
import json
import resource
import selectors
import socket
import threading
import time

from harness import descriptors_allowed, wait_until
from test_auth_login import OTHER, PASSWORD, add_user, admin, login, rows, sign_in

ATTEMPTS = 10000


def request(name, password):
    body = json.dumps({"username": name, "password": password}).encode()
    return b"POST /api/v1/auth/login HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def open_all(server):
    held = []
    for i in range(ATTEMPTS):
        held.append(socket.create_connection(("127.0.0.1", server.port), timeout=20, source_address=(f"127.{20 + i % 100}.{i // 250}.{1 + i % 250}", 0)))
    return held


def gather(held, seconds):
    """The status of each connection's answer, as it comes; 0 where there was none."""
    waiting = selectors.DefaultSelector()
    answers = {s: b"" for s in held}
    for s in held:
        s.setblocking(False)
        waiting.register(s, selectors.EVENT_READ)
    end = time.monotonic() + seconds
    while waiting.get_map() and time.monotonic() < end:
        for key, _ in waiting.select(1):
            try:
                data = key.fileobj.recv(65536)
            except ConnectionResetError:
                data = b""
            answers[key.fileobj] += data
            if not data:
                waiting.unregister(key.fileobj)
    assert not waiting.get_map(), f"{len(waiting.get_map())} of {len(held)} got no answer in {seconds} s"
    return [int(a[9:12]) if a.startswith(b"HTTP/1.1 ") else 0 for a in answers.values()]


def test_ten_thousand_sign_ins_at_once(make_server):
    """Half guess one person's password, half those of thousands, all from different addresses, each on a connection of its own."""
    old = descriptors_allowed(ATTEMPTS + 500)
    held, owner = [], []
    try:
        own = make_server(auth=True, limits={resource.RLIMIT_NOFILE: (ATTEMPTS + 500, ATTEMPTS + 500)})
        add_user(own, "ada")
        sign_in(own, "ada", source="127.0.1.1")  # from here she is known
        held = open_all(own)
        before = own.memory()

        def keep_trying():
            end = time.monotonic() + 120
            while time.monotonic() < end:
                answer = login(own, "ada", PASSWORD, source="127.0.1.1")
                owner.append(answer.status)
                if answer.status != 503:  # too busy: asks again, as it is told to
                    return
                time.sleep(0.2)

        for i, s in enumerate(held):
            s.sendall(request("ada" if i % 2 else f"user{i}", OTHER))
        patient = threading.Thread(target=keep_trying)
        patient.start()
        statuses = collections.Counter(gather(held, 240))
        patient.join()
        assert owner[-1] == 200, owner
        assert set(statuses) <= {401, 429, 503} and sum(statuses.values()) == ATTEMPTS, statuses
        # Each hash holds 19 MiB for as long as it is made; only the cores' number of them is under way.
        assert own.memory() - before < 400 << 20, own.memory()
        assert own.running() and admin(own, "GET", "/me").status == 200
        assert rows(own, "SELECT count(*) FROM sessions") == [(2,)]
        # Every refusal is in the audit log, as an entry or in a number; the owner's too, while the queue was full.
        refusals = ATTEMPTS + len(owner) - 1

        def in_log():
            details = [json.loads(d) for (d,) in rows(own, "SELECT details FROM audit WHERE action IN ('login', 'denied') AND outcome = 'refused'")]
            assert len(details) < 1000
            return sum(d.get("unrecorded", 0) + (d["reason"] != "too many at once") for d in details)

        wait_until(lambda: in_log() == refusals, what=f"{refusals} refusals in the audit log")
    finally:
        for s in held:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, old)
