# SPDX-License-Identifier: Apache-2.0
"""`mainstay model …` and `mainstay predict`: scripts that check the status, tables for people, errors by row."""

import csv
import fcntl
import io
import json
import os
import pty
import re
import resource
import struct
import subprocess
import termios

import numpy as np
import pytest
from harness import (EXAMPLE, EXAMPLE_MODELS, EXAMPLE_NAMES, EXAMPLES, clean_environment, constant_model, put_version, sha256, store_listing, ulps)

OK, FAILED, USAGE = 0, 1, 2


@pytest.fixture
def store(tmp_path):
    return tmp_path / "models"


@pytest.fixture
def cli(binary, tmp_path, store):
    """cli("model", "list") on a store of the test's own; the completed process, output as text."""

    def call(*args, models=store, stdin=""):
        return subprocess.run([str(binary), *map(str, args), "--models", str(models)], input=stdin, capture_output=True, text=True,
                              env=clean_environment(), cwd=tmp_path, timeout=60)

    return call


@pytest.fixture
def model_file(tmp_path):
    def write(value=1, name="step.txt", data=None):
        path = tmp_path / name
        path.write_bytes(constant_model(value) if data is None else data)
        return path

    return write


def ok(process):
    assert process.returncode == OK, process.stderr
    return process.stdout


def failed(process, status=FAILED, *words):
    assert process.returncode == status, (process.stdout, process.stderr)
    assert process.stderr.startswith("mainstay: ")
    for word in words:
        assert word in process.stderr, process.stderr
    return process.stderr


# --- model --------------------------------------------------------------------------------------------------


def test_push_stores_a_version_that_the_server_serves(cli, store, model_file, make_server):
    ok(cli("model", "push", "step", model_file(7), "--version", "v1"))
    listing = store_listing(store)
    assert len(listing) == 2 and "step/v1/metadata.json" in listing
    kept = json.loads((store / "step/v1/metadata.json").read_text())
    assert kept["sha256"] == sha256(constant_model(7)) and kept["format"] == "lightgbm-text"
    assert make_server(models=store).predictions("step", [0]) == [7.0]


def test_push_chooses_the_next_version_and_tells_it(cli, model_file):
    for want in ("1", "2", "3"):
        document = json.loads(ok(cli("model", "push", "step", model_file(1), "--json")))
        assert document["version"] == want


def test_push_keeps_metadata(cli, store, model_file, tmp_path):
    (tmp_path / "about.json").write_text('{"description":"a step"}')
    ok(cli("model", "push", "step", model_file(), "--metadata", "about.json", "--version", "v1"))
    assert json.loads((store / "step/v1/metadata.json").read_text())["description"] == "a step"


def test_push_of_a_version_that_is_there(cli, store, model_file):
    ok(cli("model", "push", "step", model_file(1), "--version", "v1"))
    before = store_listing(store)
    failed(cli("model", "push", "step", model_file(2), "--version", "v1"), FAILED, "v1")
    assert store_listing(store) == before


@pytest.mark.parametrize("data", [b"", b"hello", constant_model(1)[:300], b"{}", b"\0" * 100], ids=["empty", "text", "cut", "json", "zeros"])
def test_push_of_a_broken_file_stores_nothing(cli, store, model_file, data):
    failed(cli("model", "push", "step", model_file(data=data)))
    assert store_listing(store) == {}


@pytest.mark.parametrize("args,status,words", [
    (("push", "../x", "FILE"), FAILED, ()), (("push", ".x", "FILE"), FAILED, ()), (("push", "", "FILE"), FAILED, ()), (("push", "step", "missing.txt"), FAILED, ("missing.txt",)),
    (("push", "step", "FILE", "--format", "pickle"), (FAILED, USAGE), ("pickle",)), (("push", "step", "FILE", "--version", "a/b"), FAILED, ()),
    (("push", "step"), USAGE, ()), (("push", "step", "FILE", "x"), USAGE, ()), (("push", "step", "FILE", "--colour", "red"), USAGE, ("colour",)),
    (("show", "step"), FAILED, ("step",)), (("show",), USAGE, ()), (("check", "missing.txt"), FAILED, ("missing.txt",)), (("check", "."), FAILED, ()),
    (("alias", "step", "champion", "v1"), FAILED, ("step",)), (("remove", "step"), (FAILED, USAGE), ()), (("remove", "step", "v1"), FAILED, ("step",)),
    (("remove", "step", "--all"), FAILED, ("step",)), (("lst",), USAGE, ("list",)),
])
def test_mistakes(cli, store, model_file, args, status, words):
    process = cli("model", *[model_file() if a == "FILE" else a for a in args])
    assert process.returncode in ([status] if isinstance(status, int) else status), process.stderr
    assert process.stderr.startswith("mainstay: ") and all(w in process.stderr for w in words), process.stderr
    assert store_listing(store) == {}


def test_list_is_a_table_for_people(cli):
    lines = ok(cli("model", "list", models=EXAMPLE_MODELS)).splitlines()
    assert lines[0].split()[0] == "MODEL"
    assert [line.split()[0] for line in lines[1:]] == list(EXAMPLE_NAMES)


def test_list_as_json_has_lists_in_it(cli, store):
    for version in ("v1", "v2"):
        put_version(store, "step", version, constant_model(1))
    ok(cli("model", "alias", "step", "champion", "v1"))
    (entry,) = json.loads(ok(cli("model", "list", "--json")))
    assert entry["name"] == "step" and entry["newest"] == "v2"
    assert entry["versions"] == ["v2", "v1"], "a program needs a list, not a text to take apart"
    assert entry["aliases"] == {"champion": "v1"}


def test_list_of_an_empty_store(cli):
    assert json.loads(ok(cli("model", "list", "--json"))) == []
    ok(cli("model", "list"))


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_show(cli, name):
    text = ok(cli("model", "show", name, models=EXAMPLE_MODELS))
    assert EXAMPLE[name].metadata["format"] in text and all(f in text for f in EXAMPLE[name].names)
    document = json.loads(ok(cli("model", "show", name, "v1.0.0", "--json", models=EXAMPLE_MODELS)))
    assert document["metadata"]["sha256"] == EXAMPLE[name].metadata["sha256"]
    assert [i["name"] for i in document["metadata"]["inputs"]] == EXAMPLE[name].names


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_show_names_the_kernel(cli, name):
    text = ok(cli("model", "show", name, models=EXAMPLE_MODELS))
    document = json.loads(ok(cli("model", "show", name, "--json", models=EXAMPLE_MODELS)))
    assert f"kernel:     {document['kernel_single']} for one row, {document['kernel_batch']} for many\n" in text
    assert document["kernel_single"] and document["kernel_reason"] in text


def on_terminal(command, cwd):
    """What a command writes to a terminal of 100 columns as its standard error; standard output is dropped."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with subprocess.Popen([str(word) for word in command], stderr=child, stdout=subprocess.DEVNULL, cwd=cwd, env=clean_environment()) as process:
        os.close(child)
        written = b""
        try:
            while data := os.read(parent, 65536):
                written += data
        except OSError:  # the other end is closed
            pass
    os.close(parent)
    assert process.returncode == OK, written
    return written.decode()


@pytest.mark.parametrize("verb", ("check", "push"))
def test_loading_a_large_file_shows_its_progress(binary, store, tmp_path, model_file, verb):
    path = model_file(data=constant_model(1, trees=200000))
    words = ("check", path) if verb == "check" else ("push", "big", path, "--models", store)
    text = on_terminal((binary, "model", *words), tmp_path)
    shares = [int(share) for share in re.findall(r"load  \[=*>? *\]\s+(\d+) %", text)]
    assert shares and shares == sorted(shares) and shares[-1] <= 100, text
    assert text.endswith("\r\x1b[K")


# --- model bench --------------------------------------------------------------------------------------------


def bench(cli, name, *options):
    return json.loads(ok(cli("model", "bench", name, "--json", "--seconds", "0.3", *options, models=EXAMPLE_MODELS)))


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_bench_measures_rows_and_batches(cli, name):
    document = bench(cli, name)
    assert document["model"] == name and document["drawn"] is True and document["row_count"] == 10000
    assert document["cores"] >= 1 and document["memory_bytes"] > 1000 and document["kernel_single"] and document["kernel_batch"]
    one = document["one_row"]
    assert 0 < one["p50_us"] <= one["p99_us"] <= one["max_us"] and one["count"] >= 64
    assert [batch["rows"] for batch in document["batches"]] == [1, 10, 100, 1000, 10000]
    for batch in document["batches"]:
        assert 0.01 < batch["row_us"] < 10000 and batch["rows_per_second"] > 100 and batch["rows_per_second_all_cores"] > 100


def test_bench_for_people(cli):
    text = ok(cli("model", "bench", "wine", "--seconds", "0.2", "--output", "leaf", models=EXAMPLE_MODELS))
    assert re.search(r"^one row:    p50 [\d.]+ µs, p99 [\d.]+ µs, max [\d.]+ µs \(\d+ rows; the clock's \d+ ns are taken off\)$", text, re.M)
    assert re.search(r"^ *ROWS +µs/ROW +ROWS/s, 1 THREAD +ROWS/s, ALL CORES$", text, re.M)
    assert re.search(r"^ *10000( +[\d.]+){3}$", text, re.M) and "output:     leaf\n" in text and "drawn around" in text


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_bench_with_the_models_own_rows(cli, name):
    assert bench(cli, name, "--data", EXAMPLES / name / "rows.csv")["drawn"] is False


def test_bench_reads_json_lines_and_columns_of_others(cli, tmp_path):
    lines = tmp_path / "rows.jsonl"
    lines.write_text("".join(json.dumps(record) + "\n" for record in EXAMPLE["penguins"].records))
    assert bench(cli, "penguins", "--data", lines)["row_count"] == 10000
    (tmp_path / "wide.csv").write_text("hue,colour,proline\n1,red,1000\n2,white,\n")
    text = ok(cli("model", "bench", "wine", "--seconds", "0.1", "--data", tmp_path / "wide.csv", models=EXAMPLE_MODELS))
    assert "rows:       10000, made of the first 2 of the file\n" in text


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_bench_compares_kernels(cli, name):
    document = bench(cli, name, "--kernels")
    rows = document["kernels"]
    assert rows[0]["kernel"] == "walk" and rows[0]["isa"] == "plain"
    assert len({(row["kernel_single"], row["kernel_batch"]) for row in rows}) == len(rows)
    for row in rows:
        assert row["same_bits"] is True and 0 < row["p50_us"] <= row["p99_us"] and row["row_us"] > 0 and row["memory_bytes"] > 1000


@pytest.mark.parametrize("content,words", [
    ("", ("empty",)), ("hue\n", ("no rows",)), ("a,b\n1,2\n", ("no column",)), ("hue\n1\nblue\n", ("line 3", "hue")), ("hue,ash\n1\n", ("line 2", "1 fields")),
    ('{"hue": "blue"}\n', ("line 1",)), ('\n{"hue": 1\n', ("line 2",)),
])
def test_bench_refuses_wrong_rows(cli, tmp_path, content, words):
    path = tmp_path / "rows"
    path.write_text(content)
    failed(cli("model", "bench", "wine", "--data", path, models=EXAMPLE_MODELS), FAILED, *words)


def test_bench_refuses_wrong_use(cli, tmp_path):
    failed(cli("model", "bench", "wine", "--data", tmp_path / "none.csv", models=EXAMPLE_MODELS), FAILED, "none.csv")
    failed(cli("model", "bench", "beer", models=EXAMPLE_MODELS), FAILED, "beer")
    failed(cli("model", "bench", "wine", "--output", "best", models=EXAMPLE_MODELS), USAGE, "--output")
    failed(cli("model", "bench", "penguins", "--output", "label", models=EXAMPLE_MODELS), FAILED, "label")
    for seconds in ("0", "-1", "nan", "1e9", "two", ""):
        failed(cli("model", "bench", "wine", "--seconds", seconds, models=EXAMPLE_MODELS), USAGE, "--seconds")


@pytest.mark.parametrize("options", ((), ("--kernels",)))
def test_bench_shows_its_progress(binary, tmp_path, options):
    text = on_terminal((binary, "model", "bench", "wine", "--models", EXAMPLE_MODELS, "--seconds", "0.8", *options), tmp_path)
    shares = [int(share) for share in re.findall(r"bench  \[=*>? *\]\s+(\d+) %  ETA", text)]
    assert len(shares) >= 3 and shares == sorted(shares), text


def test_show_follows_an_alias(cli, store):
    for version in ("v1", "v2"):
        put_version(store, "step", version, constant_model(int(version[1])))
    ok(cli("model", "alias", "step", "champion", "v1"))
    assert json.loads(ok(cli("model", "show", "step", "champion", "--json")))["metadata"]["version"] == "v1"
    assert json.loads(ok(cli("model", "show", "step", "--json")))["metadata"]["version"] == "v2"


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_check_of_a_good_file(cli, name):
    path = EXAMPLE_MODELS / name / "v1.0.0" / EXAMPLE[name].metadata["file"]
    before = store_listing(EXAMPLE_MODELS)
    assert EXAMPLE[name].metadata["format"] in ok(cli("model", "check", path))
    assert json.loads(ok(cli("model", "check", path, "--json")))["metadata"]["sha256"] == EXAMPLE[name].metadata["sha256"]
    assert store_listing(EXAMPLE_MODELS) == before


def test_check_of_a_broken_file_says_where(cli, model_file):
    path = model_file(data=constant_model(1).replace(b"threshold=0.5", b"threshold=abc"))
    failed(cli("model", "check", path), FAILED, "threshold")


def test_alias_set_moved_and_removed(cli, store):
    for version in ("v1", "v2"):
        put_version(store, "step", version, constant_model(1))
    for version in ("v1", "v2"):
        ok(cli("model", "alias", "step", "champion", version))
        assert json.loads((store / "step/aliases.json").read_text()) == {"champion": version}
    failed(cli("model", "alias", "step", "champion", "v9"), FAILED, "v9")
    ok(cli("model", "alias", "step", "champion", "--remove"))
    failed(cli("model", "show", "step", "champion"), FAILED, "champion")


def test_remove_version_and_model(cli, store):
    for version in ("v1", "v2"):
        put_version(store, "step", version, constant_model(1))
    ok(cli("model", "alias", "step", "champion", "v1"))
    failed(cli("model", "remove", "step", "v1"), FAILED, "champion")
    ok(cli("model", "remove", "step", "v2"))
    assert not (store / "step/v2").exists() and (store / "step/v1").exists()
    ok(cli("model", "remove", "step", "--all"))
    assert store_listing(store) == {}


def test_two_pushes_at_once_store_one_version(binary, cli, store, model_file, tmp_path):
    files = [model_file(v, f"{v}.txt") for v in range(6)]
    running = [subprocess.Popen([str(binary), "model", "push", "race", str(f), "--version", "v1", "--models", str(store)], env=clean_environment(), cwd=tmp_path,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE) for f in files]
    for p in running:
        p.communicate(timeout=60)
    assert sorted(p.returncode for p in running) == [0, 1, 1, 1, 1, 1]
    winner = [p.returncode for p in running].index(0)
    assert json.loads((store / "race/v1/metadata.json").read_text())["sha256"] == sha256(constant_model(winner))


def test_server_and_command_line_share_the_store(cli, make_server, store, model_file):
    own = make_server("--models.poll=50ms", models=store)
    ok(cli("model", "push", "step", model_file(3), "--version", "v1"))
    own.wait_model("step")
    assert own.predictions("step", [0]) == [3.0]
    own.put("/api/v1/models/step/versions/v2", constant_model(4), headers={"Content-Type": "application/octet-stream"})
    assert json.loads(ok(cli("model", "show", "step", "--json")))["metadata"]["version"] == "v2"


# --- predict ------------------------------------------------------------------------------------------------


def as_csv(records, names):
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if v is None else v for k, v in r.items()} for r in records)
    return out.getvalue()


def close(name, got, want):
    got, want = np.atleast_1d(got), np.atleast_1d(want)
    kind, limit = {"penguins": (np.float64, 0), "breast-cancer": (np.float32, 2), "wine": (np.float64, 8)}[name]
    return len(got) == len(want) and all(ulps(g, w, kind) <= limit for g, w in zip(got, want))


@pytest.mark.parametrize("way", ["csv", "csv stdin", "csv -", "jsonl", "jsonl stdin"])
@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_golden_predictions(cli, tmp_path, name, way):
    example = EXAMPLE[name]
    text = as_csv(example.records, example.names) if "csv" in way else "".join(json.dumps(r) + "\n" for r in example.records)
    args = ["predict"]
    if way in ("csv", "jsonl"):
        (tmp_path / f"rows.{way}").write_text(text)
        args.append(f"rows.{way}")
        text = ""
    elif way == "csv -":
        args.append("-")
    lines = ok(cli(*args, "--model", name, models=EXAMPLE_MODELS, stdin=text)).splitlines()
    if "csv" in way:
        got = [[float(v) for v in line.split(",")] for line in lines[1:]]
    else:
        got = [json.loads(line)["prediction"] for line in lines]
    assert len(got) == len(example.predictions)
    assert all(close(name, g, w) for g, w in zip(got, example.predictions))


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_command_line_and_server_say_the_same(cli, server, name):
    rows = EXAMPLES / name / "rows.csv"
    lines = ok(cli("predict", rows, "--model", name, models=EXAMPLE_MODELS)).splitlines()[1:]
    with open(rows, newline="") as file:
        records = [{k: (None if v == "" else v if t["type"] == "category" else float(v)) for (k, v), t in zip(r.items(), EXAMPLE[name].metadata["inputs"])}
                   for r in csv.DictReader(file)]
    got = server.predictions(name, records)
    assert [[float(v) for v in line.split(",")] for line in lines] == [g if isinstance(g, list) else [g] for g in got]


def test_a_file_as_model(cli, model_file):
    assert ok(cli("predict", "--model", model_file(5), stdin="x\n1\n2\n")).splitlines() == ["prediction", "5.0", "5.0"]


def test_rows_as_json_arrays(cli, model_file):
    lines = ok(cli("predict", "--model", model_file(5), "--format", "jsonl", stdin="[1]\n[2]\n")).splitlines()
    assert [json.loads(line)["prediction"] for line in lines] == [5.0, 5.0]


@pytest.mark.parametrize("output", ["raw", "probability", "label", "leaf"])
def test_output(cli, server, output):
    text = "".join(json.dumps(r) + "\n" for r in EXAMPLE["wine"].records)
    lines = ok(cli("predict", "--model", "wine", "--output", output, "--format", "jsonl", models=EXAMPLE_MODELS, stdin=text)).splitlines()
    assert [json.loads(line)["prediction"] for line in lines] == server.predictions("wine", EXAMPLE["wine"].records, output=output)


def test_rows_with_errors_are_named_by_number_and_the_others_answered(cli, model_file):
    process = cli("predict", "--model", model_file(5), stdin="x\n1\nabc\n2\n1.2.3\n\"\"\n")
    error = failed(process, FAILED, "row 2 (line 3)", "row 4 (line 5)")
    assert "row 1" not in error and "row 3" not in error and "'x'" in error
    assert process.stdout == "prediction\n5.0\n\n5.0\n\n5.0\n"


def test_json_lines_with_errors(cli, model_file):
    rows = ['{"x":1}', '{"x":"a"}', '{"y":1}', "{", "[1,2]", '{"x":2}']
    process = cli("predict", "--model", model_file(5), "--format", "jsonl", stdin="\n".join(rows) + "\n")
    error = failed(process, FAILED, "row 2 (line 2)", "row 3 (line 3)", "row 4 (line 4)", "row 5 (line 5)")
    assert "row 0" not in error, "rows are counted in one way only"
    got = [json.loads(line)["prediction"] for line in process.stdout.splitlines()]
    assert got == [5.0, None, None, None, None, 5.0]


CSV = [
    ("quoted fields", 'x,"y"\n"1","2"\n', 1), ("CRLF", "x,y\r\n1,2\r\n", 1), ("no newline at the end", "x,y\n1,2", 1), ("columns swapped", "y,x\n9,1\n", 1),
    ("byte order mark", "\ufeffx,y\n1,2\n", 1), ("only a header", "x,y\n", 0),
]


@pytest.mark.parametrize("text,rows", [c[1:] for c in CSV], ids=[c[0] for c in CSV])
def test_csv_spellings(cli, tmp_path, text, rows):
    from harness import lightgbm_model
    (tmp_path / "two.txt").write_bytes(lightgbm_model(10.0, 20.0, threshold=5.0, names=("x", "y")))
    assert ok(cli("predict", "--model", "./two.txt", "--format", "csv", stdin=text)).splitlines() == ["prediction"] + ["10.0"] * rows


@pytest.mark.parametrize("text,word", [("", ""), ("x,z\n1,2\n", "z"), ("x,x\n1,2\n", "x"), ('x\n"1\n', ""), ("x\n1\0\n", "")], ids=["empty", "unknown column", "column twice", "open quote", "NUL"])
def test_bad_csv(cli, model_file, text, word):
    failed(cli("predict", "--model", model_file(5), "--format", "csv", stdin=text), FAILED, word)


def test_extra_columns_may_be_ignored(cli, model_file):
    assert ok(cli("predict", "--model", model_file(5), "--ignore-extra", stdin="id,x\n7,1\n")).splitlines() == ["prediction", "5.0"]


@pytest.mark.parametrize("args,status", [((), USAGE), (("--model", "none"), FAILED), (("--model", "wine", "--version", "v9"), FAILED), (("--model", "penguins", "--output", "label"), FAILED),
                                         (("--model", "wine", "--output", "x"), USAGE), (("--model", "wine", "--format", "xml"), USAGE), (("nofile.csv", "--model", "wine"), FAILED)])
def test_predict_mistakes(cli, args, status):
    process = cli("predict", *args, models=EXAMPLE_MODELS, stdin="x\n1\n")
    assert process.returncode in (FAILED, USAGE) and process.stderr.startswith("mainstay: "), process.stderr
    assert process.returncode == status and process.stdout == ""


def test_a_hundred_thousand_rows_pass_through(binary, model_file, tmp_path):
    text = "x\n" + "1.5\n" * 100000
    process = subprocess.run([str(binary), "predict", "--model", str(model_file(5))], input=text, capture_output=True, text=True, env=clean_environment(), cwd=tmp_path, timeout=60)
    same = process.stdout == "prediction\n" + "5.0\n" * 100000
    assert process.returncode == 0 and same, f"{len(process.stdout)} characters: {process.stdout[:100]}"


def test_output_that_nobody_reads_ends_it(binary, model_file, tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("x\n" + "1.5\n" * 300000)
    with subprocess.Popen([str(binary), "predict", str(rows), "--model", str(model_file(5))], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(), cwd=tmp_path) as process:
        process.stdout.readline()
        process.stdout.close()
        process.stderr.read()
        assert process.wait(20) != 0


# --- large input --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("way", ["file", "pipe"])
def test_predict_needs_no_memory_for_the_size_of_its_input(binary, model_file, tmp_path, way):
    thousand, times = (b"1" + b" " * 60 + b"\n") * 1000, 3000  # 186 MB
    command = [str(binary), "predict", "--model", str(model_file(5)), "-" if way == "pipe" else str(tmp_path / "rows.csv")]

    def write(out):
        out.write(b"x\n")
        for _ in range(times):
            out.write(thousand)

    if way == "file":
        with open(tmp_path / "rows.csv", "wb") as out:
            write(out)
    with open(tmp_path / "out.csv", "wb") as out:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, env=clean_environment(),
                                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (100 << 20, 100 << 20)))
        if way == "pipe":
            write(child.stdin)
        child.stdin.close()
        assert child.wait(60) == OK
    with open(tmp_path / "out.csv", "rb") as answers:
        assert sum(line == b"5.0\n" for line in answers) == times * 1000


def test_predict_refuses_a_row_beyond_16_mib(cli, model_file):
    process = cli("predict", "--model", model_file(5), stdin="x\n1\n" + "1" * (40 << 20))  # between 16 and 32 it depends on where the row lies
    assert process.returncode == 1
    assert "row 2 is longer than 16 MiB" in process.stderr
    assert process.stdout == "prediction\n5.0\n\n"  # what came before is predicted
