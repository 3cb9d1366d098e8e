# SPDX-License-Identifier: Apache-2.0
"""Broken files, full disks, sudden death, crowds of clients: nothing crashes it, nothing half is kept, memory stays bounded."""

import json
import os
import random
import resource
import select
import shutil
import signal
import socket
import subprocess
import threading

import pytest
from harness import (EXAMPLE, EXAMPLE_MODELS, EXAMPLE_NAMES, Closed, Connection, check_error, constant_model, descriptors_allowed, lightgbm_model, put_version, raw_request, sha256, store_listing, wait_until)

WINE = EXAMPLE["wine"]
FILES = {name: (EXAMPLE_MODELS / name / "v1.0.0" / EXAMPLE[name].metadata["file"]).read_bytes() for name in EXAMPLE_NAMES}
PREDICT = raw_request("POST", "/api/v1/predict", {"model": "wine", "features": WINE.records[0]})


def push(server, model, data, version="v1"):
    return server.put(f"/api/v1/models/{model}/versions/{version}", data, headers={"Content-Type": "application/octet-stream"})


@pytest.fixture(scope="module")
def victim(module_server):
    """A server that is shown bad things one after the other; it must still be well after each."""
    return module_server


def still_well(server):
    assert server.predictions("penguins", EXAMPLE["penguins"].records) == EXAMPLE["penguins"].predictions
    assert server.running()


# --- Broken model files through upload ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_file_cut_at_many_lengths_is_refused(victim, name):
    """LightGBM's text ends with parameters that the trees do not need: cut there, it may be taken."""
    data = FILES[name]
    before = store_listing(victim.models)
    whole = data.index(b"end of trees") if name == "penguins" else len(data.rstrip(b"\n "))
    for step in range(60):
        at = len(data) * step // 60
        answer = push(victim, "cut", data[:at])
        if answer.status_code == 201:
            assert at >= whole, f"{at} of {len(data)} bytes were taken as a model"
            victim.delete("/api/v1/models/cut")
        else:
            check_error(answer, (400, 422))
    for at in (whole - 1, whole - 2, whole - 10):
        check_error(push(victim, "cut", data[:at]), (400, 422))
    assert store_listing(victim.models) == before
    still_well(victim)


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_corrupted_file_never_ends_the_server(victim, name):
    """Random bytes changed, removed, doubled: refused, or a model that answers; the seed is fixed."""
    dice = random.Random(name)
    before = store_listing(victim.models)
    rows = [[0.0] * len(EXAMPLE[name].names)]
    for _ in range(60):
        data = bytearray(FILES[name])
        for _ in range(dice.choice((1, 1, 2, 10))):
            at = dice.randrange(len(data))
            kind = dice.randrange(4)
            if kind == 0:
                data[at] = dice.randrange(256)
            elif kind == 1:
                del data[at:at + dice.randrange(1, 50)]
            elif kind == 2:
                data[at:at] = data[at:at + dice.randrange(1, 500)]
            else:
                data[at:at + 3] = dice.choice((b"-1", b"999999999999", b"1e400", b"nan", b'"', b"\0", b"]", b"{"))
        answer = push(victim, "bent", bytes(data))
        if answer.status_code == 201:
            assert victim.predict("bent", rows).status_code in (200, 400)
            assert victim.predict("bent", rows, output="leaf").status_code in (200, 400)
            assert victim.delete("/api/v1/models/bent").status_code == 204
        else:
            check_error(answer, (400, 413, 422))
    assert store_listing(victim.models) == before
    still_well(victim)


def change(old, new, name="penguins", count=1):
    data = FILES[name].replace(old, new, count)
    assert data != FILES[name]
    return data


def cyclic_lightgbm(left, right):
    data = lightgbm_model(1.0, 2.0)
    data = data.replace(b"num_leaves=2", b"num_leaves=3").replace(b"split_feature=0", b"split_feature=0 0").replace(b"split_gain=1", b"split_gain=1 1")
    data = data.replace(b"threshold=0.5", b"threshold=0.5 0.7").replace(b"decision_type=2", b"decision_type=2 2").replace(b"left_child=-1", b"left_child=" + left)
    data = data.replace(b"right_child=-2", b"right_child=" + right).replace(b"leaf_value=1.0 2.0", b"leaf_value=1.0 2.0 3.0").replace(b"leaf_weight=10 10", b"leaf_weight=1 1 1")
    data = data.replace(b"leaf_count=10 10", b"leaf_count=1 1 1").replace(b"internal_value=0", b"internal_value=0 0").replace(b"internal_weight=20", b"internal_weight=2 2").replace(b"internal_count=20", b"internal_count=2 2")
    start, end = data.index(b"Tree=0"), data.index(b"end of trees")
    size = data[data.index(b"tree_sizes="):data.index(b"\n", data.index(b"tree_sizes="))]
    return data.replace(size, b"tree_sizes=%d" % (end - start))


def xgboost_with(field, at, value):
    document = json.loads(FILES["breast-cancer"])
    document["learner"]["gradient_booster"]["model"]["trees"][0][field][at] = value
    return json.dumps(document).encode()


def catboost_with(**changes):
    document = json.loads(FILES["wine"])
    document["oblivious_trees"][0].update(changes)
    return json.dumps(document).encode()


HOSTILE = {
    "cycle of two nodes": cyclic_lightgbm(b"1 0", b"-1 -2"), "node that is its own child": cyclic_lightgbm(b"0 1", b"-1 -2"), "child shared by two": cyclic_lightgbm(b"1 -1", b"1 -2"),
    "child beyond the nodes": cyclic_lightgbm(b"1 5", b"-1 -2"), "leaf beyond the leaves": cyclic_lightgbm(b"1 -9", b"-1 -2"), "leaf used twice": cyclic_lightgbm(b"1 -1", b"-1 -2"),
    "child of the least integer": cyclic_lightgbm(b"1 -2147483648", b"-1 -2"), "child beyond 32 bits": cyclic_lightgbm(b"4294967297 -1", b"-2 -3"),
    "feature beyond the features": lightgbm_model(1.0, 2.0).replace(b"split_feature=0", b"split_feature=7"), "negative feature": lightgbm_model(1.0, 2.0).replace(b"split_feature=0", b"split_feature=-1"),
    "two billion leaves": lightgbm_model(1.0, 2.0).replace(b"num_leaves=2", b"num_leaves=2000000000"), "negative leaves": lightgbm_model(1.0, 2.0).replace(b"num_leaves=2", b"num_leaves=-2"),
    "two billion features": lightgbm_model(1.0, 2.0).replace(b"max_feature_idx=0", b"max_feature_idx=2000000000"), "two billion classes": lightgbm_model(1.0, 2.0).replace(b"num_class=1", b"num_class=2000000000"),
    "no class": lightgbm_model(1.0, 2.0).replace(b"num_class=1", b"num_class=0"), "two billion trees an iteration": lightgbm_model(1.0, 2.0).replace(b"num_tree_per_iteration=1", b"num_tree_per_iteration=2000000000"),
    "xgboost cycle": xgboost_with("left_children", 0, 0), "xgboost child beyond": xgboost_with("left_children", 0, 1000000), "xgboost negative child": xgboost_with("right_children", 0, -5),
    "xgboost feature beyond": xgboost_with("split_indices", 0, 30), "xgboost feature beyond 32 bits": xgboost_with("split_indices", 0, 2 ** 32),
    "catboost no leaves": catboost_with(leaf_values=[]), "catboost a leaf too many": catboost_with(leaf_values=[0.0] * 1000), "catboost hundred splits": catboost_with(splits=[{"border": 0.5, "float_feature_index": 0, "split_index": 0, "split_type": "FloatFeature"}] * 100),
    "catboost feature beyond": catboost_with(splits=[{"border": 0.5, "float_feature_index": 99, "split_index": 0, "split_type": "FloatFeature"}] * 2),
    "json a million deep": b'{"learner":' + b"[" * 1000000, "ten million digits": b'{"learner":' + b"1" * 10000000 + b"}", "empty object": b"{}", "ubjson huge count": b"{L\0\0\0\0\0\0\0\x07learner[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff",
    "ubjson negative count": b"{i\x07learner[$U#i\x80", "ubjson deep": b"{i\x07learner" + b"[" * 100000, "pickle": b"\x80\x04\x95\x0c\0\0\0\0\0\0\0\x8c\x02os\x94\x8c\x06system\x94\x93\x94.", "onnx": b"\x08\x07\x12\x07pytorch",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_model_is_refused(victim, what):
    before = store_listing(victim.models)
    document = check_error(push(victim, "hostile", HOSTILE[what]), (400, 413, 422))
    assert document["code"].startswith(("model.", "json.")), document
    assert store_listing(victim.models) == before
    still_well(victim)


def test_refused_models_leave_no_memory_behind(victim):
    bad = [FILES["penguins"][:-3000], FILES["wine"][:-3000], FILES["breast-cancer"][:-3000], HOSTILE["xgboost cycle"]]

    def rounds(count):
        for i in range(count):
            assert push(victim, "bad", bad[i % 4]).status_code in (201, 400, 422)
            victim.delete("/api/v1/models/bad")
        return victim.memory()

    first = rounds(60)
    assert rounds(120) - first < 4 << 20


def test_loaded_and_deleted_models_leave_no_memory_behind(make_server):
    own = make_server("--models.poll=0")
    big = constant_model(1, trees=3000)

    def rounds(count):
        for _ in range(count):
            assert push(own, "step", big).status_code == 201
            own.predictions("step", [0])
            assert own.delete("/api/v1/models/step").status_code == 204
        return own.memory()

    first = rounds(10)
    assert rounds(30) - first < 8 << 20


# --- Broken model files in the store ---------------------------------------------------------------------------------------


def test_start_with_every_kind_of_broken_model(make_server, tmp_path):
    """One good model among forty broken ones: it is served, the others are named."""
    store = tmp_path / "models"
    broken = {f"bad{i:02}": data for i, data in enumerate([*HOSTILE.values(), b"", FILES["wine"][:50000], FILES["penguins"][:30000]])}
    for name, data in broken.items():
        put_version(store, name, "v1", data)
    put_version(store, "good", "v1", constant_model(1))
    own = make_server(models=store)
    assert own.predictions("good", [0]) == [1.0]
    assert own.get("/health").json()["status"] == "degraded"
    states = {e["name"]: e for e in own.post("/v2/repository/index", {}).json()}
    for name in broken:
        assert states[name]["state"] == "UNAVAILABLE" and states[name]["reason"], name


def test_file_beyond_max_bytes_is_not_read(make_server, tmp_path):
    """A sparse file of 3 GiB: refused by its size, not by reading it."""
    store = tmp_path / "models"
    put_version(store, "good", "v1", constant_model(1))
    folder = store / "huge" / "v1"
    folder.mkdir(parents=True)
    with open(folder / "model.txt", "wb") as file:
        file.truncate(3 << 30)
    own = make_server(models=store)
    assert own.predictions("good", [0]) == [1.0]
    assert own.memory() < 200 << 20
    (entry,) = [e for e in own.post("/v2/repository/index", {}).json() if e["name"] == "huge"]
    assert entry["state"] == "UNAVAILABLE" and entry["reason"]


# --- Disk -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small tmpfs ({mounted.stderr.strip()}); the limit on file size tests the same paths")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def big_model(value, size):
    tree = len(constant_model(value, trees=2)) - len(constant_model(value, trees=1))
    return constant_model(value, trees=size // tree)


def test_full_disk(make_server, small_disk):
    own = make_server("--models.poll=0", models=small_disk / "models")
    assert push(own, "step", constant_model(1), "v1").status_code == 201
    before = store_listing(own.models)
    for _ in range(3):
        check_error(push(own, "step", big_model(2, 2 << 20), "v2"), 507, "storage.full")
        assert own.predictions("step", [0]) == [1.0]
        assert store_listing(own.models) == before
    assert own.get("/api/v1/models/step/versions/v2").status_code == 404
    filler = os.open(small_disk / "filler", os.O_WRONLY | os.O_CREAT)  # not a byte is left
    try:
        while True:
            os.write(filler, b"x" * 4096)
    except OSError:
        os.close(filler)
    answer = push(own, "step", constant_model(3), "v3")
    check_error(answer, 507, "storage.full")
    check_error(own.request("PUT", "/api/v1/models/step/aliases/champion", json={"version": "v1"}), 507, "storage.full")
    assert own.predictions("step", [0]) == [1.0]
    (small_disk / "filler").unlink()
    assert push(own, "step", constant_model(3), "v3").status_code == 201
    assert own.predictions("step", [0]) == [3.0]


def test_file_size_limit(make_server):
    """A write that stops in the middle with EFBIG, and the signal that comes with it."""
    own = make_server("--models.poll=0", limits={resource.RLIMIT_FSIZE: (256 << 10, 256 << 10)})
    assert push(own, "step", constant_model(1), "v1").status_code == 201
    before = store_listing(own.models)
    check_error(push(own, "step", big_model(2, 2 << 20), "v2"), (413, 500, 507))
    assert own.running() and own.predictions("step", [0]) == [1.0]
    assert store_listing(own.models) == before


def test_store_that_cannot_be_written(make_server, tmp_path):
    """Read-only for everybody, root included: a file where the folder should be made."""
    store = tmp_path / "models"
    put_version(store, "step", "v1", constant_model(1))
    (store / "blocked").write_text("a file")
    own = make_server("--models.poll=0", models=store)
    check_error(push(own, "blocked", constant_model(2)), range(400, 600))
    assert own.predictions("step", [0]) == [1.0]
    assert (store / "blocked").read_text() == "a file"


def check_store(store, acknowledged, maybe):
    """Whole versions only; everything acknowledged; nothing that nobody pushed."""
    found = {}
    for version in sorted(p for p in (store / "step").iterdir() if p.is_dir() and not p.name.startswith(".")):
        files = {p.name for p in version.iterdir()}
        assert len(files) == 2 and "metadata.json" in files, f"half a version: {version} {files}"
        metadata = json.loads((version / "metadata.json").read_text())
        (model,) = files - {"metadata.json"}
        assert sha256((version / model).read_bytes()) == metadata["sha256"], version
        found[version.name] = metadata["sha256"]
    for version, digest in acknowledged.items():
        assert found.get(version) == digest, f"{version} was acknowledged and is not there"
    assert set(found) <= set(acknowledged) | maybe
    return found


def test_kill_9_during_pushes_leaves_whole_versions_only(make_server):
    """Twelve deaths at odd moments of three writers' pushes; an acknowledged push survives each."""
    own = make_server("--models.poll=0")
    assert push(own, "step", constant_model(0), "v0").status_code == 201
    acknowledged, maybe, lock = {"v0": sha256(constant_model(0))}, set(), threading.Lock()
    dice = random.Random(9)

    def writer(number, turn, stop):
        import requests
        with requests.Session() as s:
            for i in range(1000):
                if stop.is_set():
                    return
                version, data = f"v{turn}.{number}.{i}", big_model(turn, 60000)
                with lock:
                    maybe.add(version)
                try:
                    answer = s.put(own.url + f"/api/v1/models/step/versions/{version}", data=data, timeout=20)
                except requests.RequestException:
                    return
                assert answer.status_code == 201, answer.text
                with lock:
                    acknowledged[version] = sha256(data)

    for turn in range(1, 13):
        stop = threading.Event()
        writers = [threading.Thread(target=writer, args=(n, turn, stop)) for n in range(3)]
        goal = len(acknowledged) + dice.randrange(1, 9)
        [w.start() for w in writers]
        wait_until(lambda: len(acknowledged) >= goal, what="pushes", pause=dice.choice((0.0001, 0.001, 0.003)))
        own.process.kill()
        stop.set()
        [w.join() for w in writers]
        own.kill()
        check_store(own.models, acknowledged, maybe)
        own.start()
        states = own.get("/api/v1/models/step").json()
        listed = {v["version"] for v in states["versions"]}
        assert set(acknowledged) <= listed
    assert push(own, "step", constant_model(99), "v99").status_code == 201
    assert own.predictions("step", [0]) == [99.0]
    assert not [p.name for p in own.models.iterdir() if p.name.startswith((".incoming", ".removed"))], "leftovers were not swept by the next change"


def test_kill_9_during_alias_changes_keeps_the_file_whole(make_server):
    own = make_server("--models.poll=0")
    for value in (1, 2):
        push(own, "step", constant_model(value), f"v{value}")
    for turn in range(6):
        done = [0]

        def flip():
            import requests
            with requests.Session() as s:
                try:
                    for i in range(100000):
                        s.put(own.url + "/api/v1/models/step/aliases/champion", json={"version": f"v{i % 2 + 1}"}, timeout=20)
                        done[0] += 1
                except requests.RequestException:
                    return

        thread = threading.Thread(target=flip)
        thread.start()
        wait_until(lambda: done[0] > 3 + turn, what="alias changes", pause=0.0005)
        own.kill()
        thread.join()
        assert json.loads((own.models / "step/aliases.json").read_text()) in ({"champion": "v1"}, {"champion": "v2"})
        own.start()
        assert own.predict("step", [0], version="champion").status_code == 200


# --- Crowds -----------------------------------------------------------------------------------------------------------------


def test_ten_thousand_idle_connections(make_server):
    """Each has asked once and waits. The server still answers at once, in bounded memory, and gives all of it back."""
    count = 10000
    old = descriptors_allowed(count + 500)
    held = []
    try:
        own = make_server(examples=True, limits={resource.RLIMIT_NOFILE: (count + 500, count + 500)})
        with own.connect() as probe:
            probe.ask(PREDICT)
            before, files = own.memory(), own.descriptors()
            for at in range(0, count, 250):
                fresh = [socket.create_connection(("127.0.0.1", own.port), timeout=20) for _ in range(250)]
                held += fresh
                for s in fresh:
                    s.sendall(PREDICT)
                for s in fresh:
                    assert s.recv(65536).startswith(b"HTTP/1.1 200")
            assert own.descriptors() >= files + count
            used = own.memory() - before
            assert used < count * 16384, f"{used // count} bytes an idle connection"
            for _ in range(200):
                assert probe.ask(PREDICT).status == 200
            with own.connect() as another:
                assert another.ask(PREDICT).status == 200
            for s in held:
                s.close()
            held.clear()
            wait_until(lambda: own.descriptors() <= files + 2, what="descriptors to be given back")
            assert probe.ask(PREDICT).status == 200
    finally:
        [s.close() for s in held]
        resource.setrlimit(resource.RLIMIT_NOFILE, old)


def test_out_of_descriptors_is_survived(make_server):
    """More clients than descriptors: some wait or are refused; those inside are served, and afterwards everybody."""
    own = make_server(examples=True, limits={resource.RLIMIT_NOFILE: (120, 120)})
    inside = own.connect()
    assert inside.ask(PREDICT).status == 200
    crowd = []
    for _ in range(300):
        try:
            crowd.append(own.connect(timeout=2))
        except OSError:
            break
    for _ in range(20):
        assert inside.ask(PREDICT).status == 200
    [c.close() for c in crowd]
    inside.close()

    def answers():
        try:
            with own.connect(timeout=2) as c:
                return c.ask(PREDICT).status == 200
        except (OSError, Closed):
            return False

    wait_until(answers, what="an answer after the crowd left")


def cpu_seconds(server):
    fields = open(f"/proc/{server.pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_out_of_descriptors_does_not_burn_the_processor(make_server):
    """An accept that fails again and again must not spin."""
    own = make_server("--threads=1", limits={resource.RLIMIT_NOFILE: (60, 60)})
    crowd = [own.connect() for _ in range(200)]
    began = cpu_seconds(own)
    select.select([], [], [], 1.0)  # one second of real time is the measure
    assert cpu_seconds(own) - began < 0.5
    [c.close() for c in crowd]


def test_memory_does_not_grow_over_fifty_thousand_requests(make_server):
    """Every kind of request, good and bad, over kept connections."""
    own = make_server(examples=True)
    kinds = [PREDICT, raw_request("POST", "/api/v1/predict", {"model": "penguins", "features": EXAMPLE["penguins"].records}), raw_request("POST", "/api/v1/predict", {"model": "wine", "features": [1]}),
             raw_request("POST", "/api/v1/predict", b"{"), raw_request("GET", "/api/v1/models"), raw_request("GET", "/nothing"), raw_request("GET", "/v2/models/wine"),
             raw_request("POST", "/v2/models/wine/infer", {"inputs": [{"name": "x", "shape": [1, 13], "datatype": "FP64", "data": [0] * 13}]}),
             raw_request("POST", "/api/v1/predict/batch", {"batch_id": "a", "batches": [{"model_type": "wine", "features": WINE.records[0]}]}), raw_request("GET", "/health")]

    def pump(count):
        with own.connect() as c:
            for _ in range(count // (len(kinds) * 10)):
                c.send(b"".join(kinds) * 10)
                for _ in range(len(kinds) * 10):
                    read_quickly(c)

    pump(5000)
    first = own.memory()
    threads = [threading.Thread(target=pump, args=(12500,)) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert own.memory() - first < 4 << 20


def read_quickly(c):
    """One answer with a Content-Length, without looking at it closely."""
    head = c.read_until(b"\r\n\r\n")
    at = head.lower().index(b"content-length:") + 15
    c.read_exactly(int(head[at:].split(b"\r\n", 1)[0]))


def test_a_new_connection_for_each_of_three_thousand_requests(make_server):
    own = make_server(examples=True)
    for _ in range(500):
        with own.connect() as c:
            c.send(PREDICT).answer()
    first, files = own.memory(), own.descriptors()
    for _ in range(2500):
        with own.connect() as c:
            c.send(PREDICT)
            read_quickly(c)
    wait_until(lambda: own.descriptors() <= files + 2, what="descriptors to be given back")
    assert own.memory() - first < 2 << 20


def test_many_large_bodies_at_once_are_bounded(make_server):
    """Sixty clients send most of a large body and stop: memory is theirs to fill only as far as they sent."""
    own = make_server(examples=True)
    before = own.memory()
    held = []
    for _ in range(60):
        c = own.connect()
        c.send(b"POST /api/v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 16000000\r\n\r\n" + b" " * 1000)
        held.append(c)
    with own.connect() as probe:
        assert probe.ask(PREDICT).status == 200
    assert own.memory() - before < 32 << 20, "a promised length is not a reason to take memory"
    [c.close() for c in held]


def test_overload_is_answered_with_503_and_is_over_when_it_is_over(make_server):
    """A queue of one: of many large predictions at once some are done, the others told to come back."""
    own = make_server("--predict.queue=1", "--predict.threads=1", examples=True)
    ask = raw_request("POST", "/api/v1/predict", {"model": "wine", "features": [WINE.records[0]] * 10000, "output": "raw"})
    crowd = [own.connect() for _ in range(24)]
    for c in crowd:
        c.send(ask)
    answers = [c.answer() for c in crowd]
    statuses = [a.status for a in answers]
    assert set(statuses) <= {200, 503} and 200 in statuses
    for a in answers:
        if a.status == 503:
            check_error(a, 503, "server.overloaded")
            assert int(a.header("Retry-After")) >= 1
    assert 503 in statuses, "the queue of one held twenty-four"
    with own.connect() as c:
        assert c.ask(ask).status == 200
    [c.close() for c in crowd]


# --- Rubbish -----------------------------------------------------------------------------------------------------------------


def test_random_bytes_never_end_the_server(victim):
    dice = random.Random(4)
    for _ in range(300):
        with victim.connect(timeout=5) as c:
            c.try_send(dice.randbytes(dice.randrange(1, 3000)))
    still_well(victim)


def test_bent_requests_never_end_the_server(victim):
    """A valid request with some bytes changed: an answer or a closed connection, never a crash or a hang."""
    dice = random.Random(5)
    for _ in range(400):
        data = bytearray(PREDICT)
        for _ in range(dice.randrange(1, 6)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        with victim.connect(timeout=5) as c:
            c.try_send(bytes(data)).half_close()
            try:
                assert 200 <= c.answer().status < 600
            except (Closed, OSError):
                pass
    still_well(victim)


def test_bent_json_is_an_answer(victim):
    """The body of a prediction with some bytes changed: 200 or a described error, on a kept connection."""
    dice = random.Random(6)
    body = json.dumps({"model": "wine", "features": [WINE.records[0], WINE.records[1]]}).encode()
    with victim.connect() as c:
        for _ in range(500):
            data = bytearray(body)
            for _ in range(dice.randrange(1, 5)):
                data[dice.randrange(len(data))] = dice.randrange(256)
            answer = c.ask(raw_request("POST", "/api/v1/predict", bytes(data)))
            if answer.status != 200:
                check_error(answer, (400, 404, 413))
    still_well(victim)


def test_bent_infer_requests_are_answered(victim):
    dice = random.Random(7)
    text = json.dumps({"inputs": [{"name": "x", "shape": [2, 13], "datatype": "FP64", "parameters": {"binary_data_size": 208}}]}).encode()
    with victim.connect() as c:
        for _ in range(500):
            data = bytearray(text + b"\0" * 208)
            for _ in range(dice.randrange(1, 5)):
                data[dice.randrange(len(text))] = dice.choice(b'0123456789"[]{},:-.eEFPINTBYS \0\xff')
            answer = c.ask(raw_request("POST", "/v2/models/wine/infer", bytes(data), [f"Inference-Header-Content-Length: {len(text)}"]))
            if answer.status != 200:
                check_error(answer, (400, 404, 413))
    still_well(victim)
