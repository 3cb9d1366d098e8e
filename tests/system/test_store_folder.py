# SPDX-License-Identifier: Apache-2.0
"""The store folder under other people's hands: files that appear, change, break and go while the server looks."""

import json
import os
import shutil

import pytest
from harness import EXAMPLE, EXAMPLE_MODELS, check_error, constant_model, put_version, sha256, wait_until

POLL = "--models.poll=50ms"


@pytest.fixture
def own(make_server):
    return make_server(POLL)


def health(server):
    return server.get("/health").json()["status"]


def wait_answer(server, model, value, **fields):
    """Until the model answers that value; other answers on the way may only be errors of a model not there yet."""

    def asked():
        answer = server.predict(model, [0], **fields)
        return answer.status_code == 200 and answer.json()["predictions"] == [float(value)]

    wait_until(asked, what=f"{model} to answer {value}")


def index(server):
    return {(e["name"], e.get("version")): e for e in server.post("/v2/repository/index", {}).json()}


def test_dropped_version_appears(own):
    put_version(own.models, "step", "v1", constant_model(1))
    wait_answer(own, "step", 1)


def test_newer_version_takes_over(own):
    for value in (1, 2, 3):
        put_version(own.models, "step", f"v{value}", constant_model(value))
        wait_answer(own, "step", value)


def test_version_copied_file_by_file_is_served_once_whole(own):
    """A plain `cp` writes half a file first: the server must end up with the whole one."""
    data = (EXAMPLE_MODELS / "penguins/v1.0.0/model.txt").read_bytes()
    folder = own.models / "penguins" / "v1"
    folder.mkdir(parents=True)
    with open(folder / "model.txt", "wb") as file:
        for at in range(0, len(data), 4000):
            file.write(data[at:at + 4000])
            file.flush()
            assert own.get("/health/live").status_code == 200
    own.wait_model("penguins")
    example = EXAMPLE["penguins"]
    wait_until(lambda: own.predict("penguins", example.records).json().get("predictions") == example.predictions, what="the goldens")


def test_removed_version_goes(own):
    for value in (1, 2):
        put_version(own.models, "step", f"v{value}", constant_model(value))
    wait_answer(own, "step", 2)
    shutil.rmtree(own.models / "step/v2")
    wait_answer(own, "step", 1)
    shutil.rmtree(own.models / "step")
    wait_until(lambda: own.predict("step", [0]).status_code == 404, what="404")


def test_changed_file_is_loaded_again(own):
    put_version(own.models, "step", "v1", constant_model(1))
    wait_answer(own, "step", 1)
    aside = own.models / "step/v1/.new"
    aside.write_bytes(constant_model(2))
    aside.rename(own.models / "step/v1/model.txt")
    wait_answer(own, "step", 2)


def test_change_of_the_same_size_is_seen(own):
    put_version(own.models, "step", "v1", constant_model(1))
    wait_answer(own, "step", 1)
    (own.models / "step/v1/model.txt").write_bytes(constant_model(7))
    wait_answer(own, "step", 7)


BROKEN = {"text": b"not a model", "empty": b"", "cut": constant_model(1)[:400], "zeros": b"\0" * 5000}


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_replacement_keeps_the_old_serving_and_health_says_degraded(own, broken):
    put_version(own.models, "step", "v1", constant_model(1))
    wait_answer(own, "step", 1)
    assert health(own) == "healthy"
    aside = own.models / "step/v1/.new"
    aside.write_bytes(BROKEN[broken])
    aside.rename(own.models / "step/v1/model.txt")
    wait_until(lambda: health(own) == "degraded", what="degraded health")
    for _ in range(20):
        assert own.predictions("step", [0]) == [1.0]
    assert own.get("/health").status_code == 200 and own.get("/health/ready").status_code == 200
    entry = index(own)["step", "v1"]
    assert entry["state"] == "READY" and entry["reason"], "the index says why the changed file is not served"
    aside.write_bytes(constant_model(2))
    aside.rename(own.models / "step/v1/model.txt")
    wait_answer(own, "step", 2)
    wait_until(lambda: health(own) == "healthy", what="healthy again")


def test_broken_new_version_leaves_the_one_before_serving(own):
    put_version(own.models, "step", "v1", constant_model(1))
    wait_answer(own, "step", 1)
    put_version(own.models, "step", "v2", b"not a model")
    wait_until(lambda: health(own) == "degraded", what="degraded health")
    assert own.predictions("step", [0]) == [1.0]
    check_error(own.predict("step", [0], version="v2"), 503, "model.not_ready")
    assert index(own)["step", "v2"]["state"] == "UNAVAILABLE" and index(own)["step", "v2"]["reason"]


def test_health_names_the_model_and_the_log_the_reason(own):
    put_version(own.models, "step", "v1", b"not a model")
    wait_until(lambda: health(own) == "degraded", what="degraded health")
    own.wait_log(lambda line: line.get("log.level") in ("warn", "error") and "step" in json.dumps(line), what="a log line that names the model")


def test_sha256_mismatch_is_not_served(own):
    put_version(own.models, "step", "v1", constant_model(1), {"sha256": sha256(constant_model(2))})
    wait_until(lambda: index(own).get(("step", "v1"), {}).get("state") == "UNAVAILABLE", what="a refusal")
    assert "sha256" in index(own)["step", "v1"]["reason"]
    check_error(own.predict("step", [0]), 503, "model.not_ready")
    assert health(own) == "degraded"


def test_matching_sha256_is_served(own):
    put_version(own.models, "step", "v1", constant_model(1), {"sha256": sha256(constant_model(1))})
    wait_answer(own, "step", 1)


@pytest.mark.parametrize("metadata", ["{", "[]", "", '{"inputs":[{"name":"a"},{"name":"b"}]}', '{"inputs":5}', '{"sha256":5}', '{"format":"catboost-json"}', "\0" * 100, '{"a":' * 2000])
def test_broken_metadata_is_told_and_harms_no_other_model(own, metadata):
    put_version(own.models, "bad", "v1", constant_model(1), metadata)
    put_version(own.models, "good", "v1", constant_model(2))
    wait_answer(own, "good", 2)
    wait_until(lambda: ("bad", "v1") in index(own) and index(own)["bad", "v1"].get("reason"), 5, "a reason")
    assert index(own)["bad", "v1"]["state"] == "UNAVAILABLE"
    assert health(own) == "degraded"


def test_inputs_of_metadata_name_the_columns(own):
    put_version(own.models, "step", "v1", constant_model(1), {"inputs": [{"name": "size"}]})
    wait_until(lambda: own.predict("step", {"size": 1}).status_code == 200, what="the model")
    check_error(own.predict("step", {"x": 1}), 400, "predict.unknown_feature", field="x")


def test_alias_edited_in_the_folder(own):
    for value in (1, 2):
        put_version(own.models, "step", f"v{value}", constant_model(value))
    for value in (1, 2, 1):
        aside = own.models / "step/.aliases"
        aside.write_text(json.dumps({"champion": f"v{value}"}))
        aside.rename(own.models / "step/aliases.json")
        wait_answer(own, "step", value, version="champion")


@pytest.mark.parametrize("text", ["{", "[]", '{"champion":5}', '{"champion":"v9"}', '{"../x":"v1"}', "x" * 100000])
def test_broken_aliases_harm_nothing_else(own, text):
    put_version(own.models, "step", "v1", constant_model(1))
    wait_answer(own, "step", 1)
    (own.models / "step/aliases.json").write_text(text)
    put_version(own.models, "other", "v1", constant_model(2))
    wait_answer(own, "other", 2)  # the folder was looked at after the change
    assert own.predictions("step", [0]) == [1.0]
    assert own.predict("step", [0], version="champion").status_code in (404, 503)


def test_strange_things_in_the_folder_are_left_alone(own):
    """Names that follow no rule, files where folders should be, empty folders, pipes, sockets and loops of links."""
    store = own.models
    (store / "README.md").write_text("hello")
    (store / "lost+found").mkdir()
    (store / ".git").mkdir()
    (store / "empty").mkdir()
    (store / "half" / "v1").mkdir(parents=True)
    (store / "two" / "v1").mkdir(parents=True)
    for name in ("a.txt", "b.txt"):
        (store / "two/v1" / name).write_bytes(constant_model(1))
    (store / "pipe" / "v1").mkdir(parents=True)
    os.mkfifo(store / "pipe/v1/model.txt")
    (store / "loop" / "v1").mkdir(parents=True)
    (store / "loop/v1/model.txt").symlink_to("model.txt")
    (store / "self").symlink_to(".")
    (store / "dir" / "v1" / "model.txt").mkdir(parents=True)
    (store / "a b").mkdir()
    (store / ("n" * 200)).mkdir()
    os.mkdir(os.fsencode(store) + b"/\xff\xfe")
    put_version(store, "step", "v1", constant_model(1))
    wait_answer(own, "step", 1)
    assert own.get("/health/live").status_code == 200
    put_version(store, "later", "v1", constant_model(2))
    wait_answer(own, "later", 2)
    assert "step" in [i["name"] for i in own.get("/api/v1/models").json()["items"]]


def test_link_out_of_the_store_does_not_leak_the_file(own, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("top-secret-content\n" * 10)
    (own.models / "leak" / "v1").mkdir(parents=True)
    (own.models / "leak/v1/model.txt").symlink_to(secret)
    put_version(own.models, "step", "v1", constant_model(1))
    wait_answer(own, "step", 1)
    for text in (own.get("/health").text, json.dumps([*index(own).values()]), own.predict("leak", [0]).text, own.log_text(1000)):
        assert "top-secret-content" not in text


def test_three_hundred_models(make_server, tmp_path):
    store = tmp_path / "models"
    for i in range(300):
        put_version(store, f"m{i:03}", "v1", constant_model(i))
    own = make_server(POLL, models=store)
    for i in range(300):
        assert own.predictions(f"m{i:03}", [0]) == [float(i)]
    names, cursor = [], None
    while True:
        page = own.get("/api/v1/models", params={"limit": 70, **({"cursor": cursor} if cursor else {})}).json()
        names += [i["name"] for i in page["items"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert names == [f"m{i:03}" for i in range(300)]


def test_folder_that_goes_and_comes_back(own):
    put_version(own.models, "step", "v1", constant_model(1))
    wait_answer(own, "step", 1)
    moved = own.models.with_name("moved")
    own.models.rename(moved)
    assert own.get("/health/live").status_code == 200
    moved.rename(own.models)
    put_version(own.models, "step", "v2", constant_model(2))
    wait_answer(own, "step", 2)


def test_predictions_go_on_while_the_folder_changes(own):
    """Each answer during fifty changes is one of a version that was there."""
    put_version(own.models, "step", "v0", constant_model(0))
    wait_answer(own, "step", 0)
    for value in range(1, 51):
        put_version(own.models, "step", f"v{value}", constant_model(value))
        if value > 2:
            shutil.rmtree(own.models / f"step/v{value - 2}", ignore_errors=True)
        answer = own.predict("step", [0])
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"][0] <= value
    wait_answer(own, "step", 50)


def test_no_descriptors_are_lost_by_polling(own):
    put_version(own.models, "step", "v0", b"broken")
    put_version(own.models, "fine", "v0", constant_model(0))
    wait_answer(own, "fine", 0)
    before = own.descriptors()
    for value in range(1, 30):
        put_version(own.models, "fine", f"v{value}", constant_model(value))
        wait_answer(own, "fine", value)
    assert own.descriptors() <= before + 2


# --- A single file --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["--model", "MODEL_PATH", "MAINSTAY_MODELS_PATH"])
def test_single_file_is_served_under_its_name(make_server, tmp_path, way):
    file = tmp_path / "my-model.txt"
    file.write_bytes(constant_model(5))
    own = make_server("--model", file) if way == "--model" else make_server(env={way: str(file)})
    assert own.predictions("my-model", [0]) == [5.0]
    assert own.predict("my-model", [0]).json()["model_version"] == "1"
    assert own.predictions("my-model", [0], version=1) == [5.0]


def test_single_file_beside_a_store(make_server, tmp_path):
    file = tmp_path / "single.txt"
    file.write_bytes(constant_model(5))
    store = tmp_path / "models"
    put_version(store, "step", "v1", constant_model(1))
    own = make_server("--model", file, models=store)
    assert own.predictions("single", [0]) == [5.0] and own.predictions("step", [0]) == [1.0]


def test_model_need_not_be_named_when_there_is_one(make_server, tmp_path):
    file = tmp_path / "single.txt"
    file.write_bytes(constant_model(5))
    own = make_server("--model", file)
    answer = own.post("/api/v1/predict", {"features": [0]})
    assert answer.status_code == 200 and answer.json()["predictions"] == [5.0]


def test_single_file_that_changes(make_server, tmp_path):
    file = tmp_path / "single.txt"
    file.write_bytes(constant_model(5))
    own = make_server("--model", file, POLL)
    wait_answer(own, "single", 5)
    file.write_bytes(b"broken")
    wait_until(lambda: health(own) == "degraded", what="degraded health")
    assert own.predictions("single", [0]) == [5.0]
    file.write_bytes(constant_model(6))
    wait_answer(own, "single", 6)


@pytest.mark.parametrize("content", [None, b"no model"], ids=["missing", "broken"])
def test_single_file_that_cannot_be_served_is_told(make_server, tmp_path, content):
    """Either the start fails with a reason, or the server says what is wrong; never silence."""
    file = tmp_path / "single.txt"
    if content:
        file.write_bytes(content)
    own = make_server("--model", file, start=False).spawn()
    own.wait_log(lambda line: "single" in json.dumps(line) and line.get("log.level") in ("warn", "error", None), what="a message that names the file")
    if own.running():
        wait_until(lambda: own.bound() or not own.running(), what="the address")
    if own.running():
        wait_until(lambda: own.status("/health/live") == 200, what="the server")
        wait_until(lambda: own.get("/health").json()["status"] != "healthy", what="health that says so")
