# SPDX-License-Identifier: Apache-2.0
"""Settings from file, environment and flags, written by people who make mistakes and people who make them on purpose."""

import json
import os
import pathlib
import random
import time

import pytest

from program import binary, run  # noqa: F401  (fixtures)

ROOT = pathlib.Path(__file__).resolve().parents[2]


def write(folder, text, name="mainstay.yaml"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def dump(run, *flags, env=None, **kwargs):
    p = run("config", "dump", "--json", *flags, env=env, **kwargs)
    assert p.returncode == 0, p.stderr
    return json.loads(p.stdout)


def test_defaults_need_nothing(run):
    settings = dump(run)
    assert settings["http.listen"] == {"value": ["127.0.0.1:8080"], "default": ["127.0.0.1:8080"], "source": "default"}
    assert all(s["source"] == "default" and s["value"] == s["default"] for s in settings.values())


def test_each_layer_beats_the_one_below(run, tmp_path):
    write(tmp_path, "http:\n  port: 1001\nthreads: 2\nlog.level: debug\n")
    env = {"PORT": "1002", "LOG_LEVEL": "warn"}
    s = dump(run, "--port", "1003", env=env)
    assert s["http.port"] == {"value": 1003, "default": 0, "source": "flag --port"}
    assert s["log.level"]["value"] == "warn" and s["log.level"]["source"] == "environment LOG_LEVEL"
    assert s["threads"] == {"value": 2, "default": 0, "source": "mainstay.yaml:3"}
    assert dump(run, env=env)["http.port"]["value"] == 1002
    assert dump(run, env={**env, "MAINSTAY_HTTP_PORT": "1004"})["http.port"]["value"] == 1004


def test_the_file_is_found_in_order(run, tmp_path):
    write(tmp_path, "threads: 1\n")
    named, variable = write(tmp_path, "threads: 2\n", "a.yaml"), write(tmp_path, "threads: 3\n", "b.yaml")
    assert dump(run)["threads"]["source"] == "mainstay.yaml:1"
    assert dump(run, env={"MAINSTAY_CONFIG": variable})["threads"]["value"] == 3
    assert dump(run, "--config", str(named), env={"MAINSTAY_CONFIG": variable})["threads"]["value"] == 2
    assert dump(run, env={"MAINSTAY_CONFIG": ""})["threads"]["value"] == 1
    p = run("config", "dump", env={"MAINSTAY_CONFIG": "gone.yaml"})
    assert p.returncode == 1 and "settings file gone.yaml: " in p.stderr
    assert dump(run, "--config=-", stdin="threads: 9\n")["threads"] == {
        "value": 9,
        "default": 0,
        "source": "standard input:1",
    }


def test_dump_can_be_read_back(run, tmp_path):
    flags = ["--data-dir=/tmp/\u00fc \"x\" 'y' # z\\", "--listen=:81,unix:/a b", "--http.body_limit=1000000", "--log-level=off"]
    first = run("config", "dump", *flags)
    assert first.returncode == 0
    write(tmp_path, first.stdout)
    before, after = dump(run, *flags), dump(run)
    assert {k: v["value"] for k, v in before.items()} == {k: v["value"] for k, v in after.items()}
    assert after["data_dir"]["value"] == "/tmp/\u00fc \"x\" 'y' # z\\"


def test_dump_is_yaml_to_others_too(run):
    yaml = pytest.importorskip("yaml")
    tree = yaml.safe_load(run("config", "dump").stdout)
    assert tree["http"]["tls"]["min_version"] == "1.2" and tree["http"]["header_count"] == 100
    assert tree["log"]["access"] == "errors"


def test_secret_style_files(run, tmp_path):
    (tmp_path / "level").write_text("debug\n")
    assert dump(run, env={"LOG_LEVEL_FILE": tmp_path / "level"})["log.level"] == {
        "value": "debug",
        "default": "info",
        "source": "environment LOG_LEVEL_FILE",
    }
    p = run("config", "dump", env={"LOG_LEVEL_FILE": tmp_path / "level", "LOG_LEVEL": "info"})
    assert p.returncode == 1 and "LOG_LEVEL and LOG_LEVEL_FILE are both set" in p.stderr
    p = run("config", "dump", env={"LOG_LEVEL_FILE": tmp_path / "none"})
    assert p.returncode == 1 and "environment variable LOG_LEVEL_FILE (log.level): " in p.stderr
    p = run("config", "dump", env={"LOG_LEVEL_FILE": tmp_path})
    assert p.returncode == 1 and "not a regular file" in p.stderr
    p = run("config", "dump", env={"LOG_LEVEL_FILE": "/dev/zero"})
    assert p.returncode == 1 and "not a regular file" in p.stderr
    (tmp_path / "huge").write_bytes(b"x" * 200_000)
    p = run("config", "dump", env={"MODEL_PATH_FILE": tmp_path / "huge"})
    assert p.returncode == 1 and "MODEL_PATH_FILE" in p.stderr


def test_kubernetes_services_named_mainstay_do_no_harm(run):
    env = {
        "MAINSTAY_PORT": "tcp://10.96.0.7:8080",
        "MAINSTAY_SERVICE_HOST": "10.96.0.7",
        "MAINSTAY_SERVICE_PORT": "8080",
        "MAINSTAY_SERVICE_PORT_HTTP": "8080",
        "MAINSTAY_PORT_8080_TCP": "tcp://10.96.0.7:8080",
        "MAINSTAY_PORT_8080_TCP_ADDR": "10.96.0.7",
        "MAINSTAY_PORT_8080_TCP_PORT": "8080",
        "MAINSTAY_PORT_8080_TCP_PROTO": "tcp",
        "MAINSTAY_HTTP_PORT": "tcp://10.96.0.8:80",
    }
    assert dump(run, env=env)["http.port"]["value"] == 0


def test_check_names_every_problem_with_its_line(run, tmp_path):
    write(
        tmp_path,
        "threads: many\n"
        "http:\n"
        "  prot: 8080\n"
        "  body_limit: 5M\n"
        "  idle_timeout: 10\n"
        "log: {level: loud, level: info}\n"
        "data_dir: no\n"
        "models: &m {dir: x}\n",
    )
    p = run("config", "check", env={"MAINSTAY_THREDS": "4"})
    assert p.returncode == 1 and p.stdout == ""
    for line in (
        'mainstay.yaml:1: threads: "many" is not a whole number within 64 bits; expected a whole number from 0 to 256',
        'mainstay.yaml:3: unknown setting "http.prot"; did you mean http.port?',
        'mainstay.yaml:4: http.body_limit: "5M" is ambiguous: write KiB, MiB, GiB for powers of 1024 or KB, MB, GB for '
        "powers of 1000; expected a size such as 64KiB from 1KiB to 1GiB",
        'mainstay.yaml:5: http.idle_timeout: "10" has no unit (ms, s, m, h); expected a duration such as 10s from 100ms to 1h',
        'mainstay.yaml:6: log.level: "loud" is not one of trace, debug, info, warn, error, off',
        "mainstay.yaml:6: log.level is set twice; the first time in line 6",
        'mainstay.yaml:7: data_dir: no without quotes is a boolean in YAML; write "no"',
        "mainstay.yaml:8: an anchor (&name) is not supported in settings; write the value out",
        "environment: unknown variable MAINSTAY_THREDS; did you mean MAINSTAY_THREADS?",
        "mainstay: 9 problems",
    ):
        assert line in p.stderr.splitlines(), p.stderr
    as_json = run("config", "check", "--json", env={"MAINSTAY_THREDS": "4"})
    found = json.loads(as_json.stdout)
    assert as_json.returncode == 1 and as_json.stderr == ""
    assert found["valid"] is False and found["file"] == "mainstay.yaml" and len(found["problems"]) == 9
    assert found["problems"][0]["line"] == 1 and found["problems"][0]["key"] == "threads"
    assert found["problems"][8]["line"] is None


def test_check_of_good_settings(run, tmp_path):
    p = run("config", "check")
    assert p.returncode == 0 and p.stdout == "no settings file: the settings are valid\n" and p.stderr == ""
    path = write(tmp_path, "threads: 4\n", "good.yaml")
    p = run("config", "check", "good.yaml")
    assert p.returncode == 0 and p.stdout == "good.yaml: the settings are valid\n"
    assert json.loads(run("config", "check", path, "--json").stdout) == {"file": str(path), "problems": [], "valid": True}
    assert run("config", "check", "gone.yaml").returncode == 1
    found = json.loads(run("config", "check", "gone.yaml", "--json").stdout)
    assert found["valid"] is False and "No such file" in found["problems"][0]["message"]


def test_settings_must_fit_each_other(run, tmp_path):
    write(tmp_path, "http:\n  tls:\n    cert: c.pem\n  listen: [':80', ':81']\nroles: [ml, consle]\n")
    p = run("config", "check", env={"PORT": "90"})
    assert p.returncode == 1
    for line in (
        'mainstay.yaml:5: roles: "consle" is not a role; did you mean console? The roles are all, ml, console, auth',
        "mainstay.yaml:3: http.tls.cert is set but http.tls.key is not; set both or none",
    ):
        assert any(line in got for got in p.stderr.splitlines()), p.stderr
    assert '":80" and ":81" both mean :90 (http.port replaces their ports)' in p.stderr
    p = run("config", "check", "--config=-", "--roles=consle", stdin="")
    assert p.returncode == 2 and "flag --roles: " in p.stderr


HOSTILE = {
    "utf16": (b"\xff\xfet\x00h\x00r\x00e\x00a\x00d\x00s\x00", "mainstay.yaml:1: not valid YAML"),
    "nul_line": (b"threads: 1\n\x00\n", "mainstay.yaml:2: not valid YAML: control characters are not allowed"),
    "nul_tail": (b"threads: 1\x00\n", "control characters are not allowed"),
    "tab": (b"http:\n\tport: 1\n", "mainstay.yaml:2: not valid YAML: "),
    "tab_advice": (b"http:\n\tport: 1\n", "indent with spaces, not with tabs"),
    "tag": (b"threads: !!int 1\n", "a tag (!name) is not supported"),
    "python_tag": (b"threads: !!python/object/apply:os.system ['id']\n", "a tag (!name) is not supported"),
    "merge_key": (b"<<: *x\n", "not supported"),
    "documents": (b"threads: 1\n...\n---\nthreads: 2\n", "a second document starts here"),
    "sequence": (b"[1, 2]", "found a sequence; expected a mapping of settings"),
    "scalar": (b"'threads: 1'", "found a value; expected a mapping of settings"),
    "braces": (b"{" * 10000, "mainstay.yaml:1: "),
    "dashes": (b"- " * 10000, "mainstay.yaml:1: "),
    "questions": (b"? " * 10000, "mainstay.yaml:1: "),
    "brackets": (b"threads: " + b"[" * 100_000, "mainstay.yaml:1: threads: found a sequence"),
    "nul_escapes": (b"threads: \"" + b"\\x00" * 1000 + b"\"\n", "threads: \"\" in quotes is text"),
    "digits": (b"threads: " + b"9" * 100_000 + b"\n", "is not a whole number within 64 bits"),
    "long_text": (b"data_dir: " + b"d" * 100_000 + b"\n", "the value has 100000 bytes; the limit is 65536"),
    "too_large": (b"#" * 2_000_000, "has 2000000 bytes; the limit is 1048576"),
    "far_too_large": (b"#" * 5_000_000, "settings file mainstay.yaml: "),
    "long_key": (b"k" * 300 + b": 1\n", "unknown setting \"kkkkkkkk"),
    "terminal_codes": (b"data_dir: \"\\e[31mred\"\n", "holds a control character"),
    "upper_case": (b"THREADS: 1\n", 'unknown setting "THREADS"; did you mean threads?'),
    "below_a_setting": (b"http.port.x: 1\n", "unknown setting"),
    "double_dot": (b"http..port: 1\n", 'unknown setting "http..port"; did you mean http.port?'),
    "leading_dot": (b".http.port: 1\n", "unknown setting"),
    "twice_the_section": (b"http: {port: 1, http.port: 2}\n", 'unknown setting "http.http.port"; did you mean http.port?'),
    "huge_bytes": (b"memory.limit: 99999999999999999999PiB\n", "memory.limit: "),
    "huge_duration": (b"models.poll: 9999999999999999999h\n", "models.poll: "),
}


@pytest.mark.parametrize("text, message", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_files_are_refused_with_a_reason(run, tmp_path, text, message):
    write(tmp_path, text)
    start = time.monotonic()
    p = run("config", "check", text=False)
    assert p.returncode == 1
    stderr = p.stderr.decode()  # what is quoted is valid UTF-8 again
    assert message in stderr
    assert "\x1b" not in stderr and "\x00" not in stderr
    assert len(stderr) < 100_000
    assert time.monotonic() - start < 20  # a bomb would take minutes


def test_billion_laughs(run, tmp_path):
    lines = ["a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    for c in "bcdefghijklmnopqrstuvwxyz":
        p = chr(ord(c) - 1)
        lines.append(f"{c}: &{c} [" + ", ".join([f"*{p}"] * 9) + "]")
    write(tmp_path, "\n".join(lines))
    p = run("config", "check")
    assert p.returncode == 1 and "an anchor (&name) is not supported" in p.stderr


def test_a_thousand_mistakes_are_not_all_printed(run, tmp_path):
    write(tmp_path, "".join(f"x{i}: 1\n" for i in range(5000)))
    p = run("config", "check")
    assert p.returncode == 1
    assert len(p.stderr.splitlines()) == 101 and "mainstay: 100 problems; there may be more" in p.stderr


def test_random_bytes_never_crash_it(run, tmp_path):
    """Damaged copies of a real file: accepted or refused with a line, never a signal."""
    good = run("config", "dump").stdout.encode()
    rng = random.Random(20)
    for _ in range(60):
        text = bytearray(good)
        for _ in range(rng.randint(1, 30)):
            at = rng.randrange(len(text))
            text[at : at + rng.randint(0, 3)] = bytes(rng.choice(b"{}[]:,-?&*!|>'\"%@` \t\n#~0aZ\\\xff\x00") for _ in range(2))
        write(tmp_path, bytes(text))
        p = run("config", "check", text=False)
        assert p.returncode in (0, 1), (p.returncode, bytes(text))
        assert p.returncode == 0 or b"mainstay.yaml:" in p.stderr


def test_environment_of_another_program_does_not_matter(run):
    assert run("config", "check", env={"PORTS": "x", "HTTP_PORT": "y", "mainstay_threads": "z", "LOG_LEVELS": "?"}).returncode == 0


def test_environment_that_is_not_utf8(run):
    env = {os.fsdecode(b"MAINSTAY_\xff"): "1"}
    p = run("config", "check", env=env, text=False)
    assert p.returncode == 1
    p.stderr.decode()
    p = run("config", "check", env={"MODEL_PATH": os.fsdecode(b"\xff\xfe")}, text=False)
    assert p.returncode == 1 and b"not valid UTF-8" in p.stderr


def test_documentation_is_current(run):
    markdown = run("config", "reference", "--markdown").stdout
    assert (ROOT / "docs" / "configuration.md").read_text() == markdown, (
        "run: mainstay config reference --markdown > docs/configuration.md"
    )
    for row in json.loads(run("config", "reference", "--json").stdout):
        assert f"| `{row['key']}` | " in markdown
