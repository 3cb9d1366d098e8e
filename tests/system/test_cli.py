# SPDX-License-Identifier: Apache-2.0
"""The command line as its users meet it: people who mistype, scripts that check the status, and the hostile."""

import ctypes
import errno
import json
import os
import pty
import re
import resource
import signal
import subprocess

import pytest

from program import binary, clean_environment, run  # noqa: F401  (fixtures)

COMMANDS = ["config check", "config dump", "config reference", "version"]


def test_alone_it_tells_what_to_do_next(run):
    p = run()
    assert p.returncode == 0 and p.stderr == ""
    assert "usage: mainstay COMMAND" in p.stdout and "Next: " in p.stdout
    for command in COMMANDS:
        assert f"  {command}" in p.stdout


@pytest.mark.parametrize("args", [["help"], ["--help"], ["-h"]])
def test_help_is_the_same_by_any_name(run, args):
    assert run(*args).stdout == run().stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run, command):
    words = command.split()
    p = run("help", *words)
    assert p.returncode == 0 and p.stderr == ""
    assert p.stdout.startswith(f"usage: mainstay {command} ")
    assert run(*words, "--help").stdout == p.stdout
    assert run(*words, "-h").stdout == p.stdout


def test_listed_commands_exist(run):
    """What help lists can be asked for: no row without a command."""
    for line in run().stdout.splitlines():
        if m := re.match(r"  (\w+)( [a-z]+)?   ?", line):
            words = [w for w in m.groups() if w]
            assert run("help", *[w.strip() for w in words]).returncode == 0, line


@pytest.mark.parametrize("args", [["version"], ["-V"], ["--version"]])
def test_version(run, args):
    p = run(*args)
    assert p.returncode == 0
    assert re.match(r"mainstay \d+\.\d+\.\d+\n", p.stdout)
    v = json.loads(run(*args, "--json").stdout)
    assert p.stdout.startswith(f"mainstay {v['version']}\n")
    assert set(v) == {"version", "build_type", "compiler", "features"}
    assert all(isinstance(on, bool) for on in v["features"].values())


@pytest.mark.parametrize(
    "args, message",
    [
        (["cofnig"], 'unknown command "cofnig"; did you mean config?'),
        (["config"], "config needs a verb: check, dump, reference"),
        (["config", "dmup"], "did you mean config dump?"),
        (["dump"], "did you mean config dump?"),
        (["config", "dump", "--jsno"], "unknown option --jsno; did you mean --json?"),
        (["config", "dump", "--prot", "80"], "unknown option --prot; did you mean --port?"),
        (["config", "dump", "--port"], "--port needs a value"),
        (["config", "dump", "--port", "--json"], "--port needs a value"),
        (["config", "dump", "extra"], 'unexpected argument "extra"; config dump takes no arguments'),
        (["config", "check", "a", "b"], 'unexpected argument "b"; config check takes only [FILE]'),
        (["config", "check", "a", "--config=b"], "the file is given twice"),
        (["config", "check", ""], "the name of the file is empty"),
        (["config", "dump", "--json", "--json"], "--json is given twice"),
        (["config", "dump", "-j"], "unknown option -j; options have two dashes"),
        (["config", "reference", "--port=1"], "unknown option --port"),
        (["config", "reference", "--json", "--markdown"], "exclude each other"),
        (["--port=80"], "unknown option --port=80; options come behind the command"),
        (["help", "zebra"], 'unknown command "zebra"'),
        (["version", "now"], 'unexpected argument "now"'),
        ([""], 'unknown command ""'),
        (["--"], "unknown option --; options come behind the command"),
        (["config", "dump", "--"], None),
    ],
)
def test_wrong_use_is_status_2(run, args, message):
    p = run(*args)
    if message is None:
        assert p.returncode == 0
        return
    assert p.returncode == 2
    assert p.stdout == ""
    assert message in p.stderr
    assert p.stderr.startswith("mainstay: ")


def test_messages_carry_no_terminal_codes(run):
    for args in (["\x1b]0;owned\x07"], ["config", "\x1b[2J"], ["config", "dump", "--\x9b31m"], ["config", "check", "\x1b[31m"]):
        p = run(*args, text=False)
        assert p.returncode in (1, 2)
        assert b"\x1b" not in p.stderr and b"\x07" not in p.stderr and b"\x1b" not in p.stdout


def test_arguments_that_are_not_utf8(run):
    p = run(b"config", b"dump", b"--data-dir=\xff\xfe", text=False)
    assert p.returncode == 2
    assert b"not valid UTF-8" in p.stderr
    p.stderr.decode()
    assert run(b"\xff", text=False).returncode == 2


def test_huge_arguments(run):
    assert run("x" * 100_000).returncode == 2
    assert run("config", "dump", "--" + "y" * 100_000).returncode == 2
    assert run("config", "dump", "--data-dir=" + "z" * 100_000).returncode == 2
    assert run("config", "check", "n" * 10_000).returncode == 1
    assert run("config", "check", *["many"] * 5000).returncode == 2
    p = run("config", "dump", *["--threads=1"] * 5000)
    assert p.returncode == 0


def test_without_any_argument_vector(binary, tmp_path):
    """execve with an empty argv, which newer kernels turn into one empty string and older ones hand on."""
    libc = ctypes.CDLL(None)
    nothing = (ctypes.c_char_p * 1)(None)
    pid = os.fork()
    if pid == 0:
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        libc.execve(os.fsencode(binary), nothing, nothing)
        os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_output_that_cannot_be_written_is_a_failure(binary, tmp_path):
    with open("/dev/full", "w") as full:
        for args in (["config", "dump"], ["version"], ["help"], ["config", "reference", "--json"]):
            p = subprocess.run([binary, *args], stdout=full, stderr=subprocess.PIPE, env=clean_environment(), cwd=tmp_path)
            assert p.returncode == 1, args
            assert b"cannot write the output" in p.stderr and os.strerror(errno.ENOSPC).encode() in p.stderr


def test_closed_output_is_a_failure(binary, tmp_path):
    p = subprocess.run(["/bin/sh", "-c", f'exec "{binary}" version >&-'], env=clean_environment(), cwd=tmp_path, stderr=subprocess.PIPE)
    assert p.returncode == 1
    assert b"cannot write the output" in p.stderr


def test_a_reader_that_leaves_is_no_crash(binary, tmp_path):
    r, w = os.pipe()
    os.close(r)
    p = subprocess.run([binary, "config", "reference"], stdout=w, stderr=subprocess.PIPE, env=clean_environment(), cwd=tmp_path)
    os.close(w)
    assert p.returncode in (1, -signal.SIGPIPE)


def test_little_memory_is_an_error_not_a_crash(binary, tmp_path):
    features = json.loads(subprocess.check_output([binary, "version", "--json"], env=clean_environment()))["features"]
    if features["address-sanitizer"] or features["thread-sanitizer"]:
        pytest.skip("sanitizers reserve more address space than the limits here")
    (tmp_path / "mainstay.yaml").write_text("data_dir: x\n")
    started = False
    for megabytes in range(8, 40, 2):
        limit = megabytes << 20
        p = subprocess.run(
            [binary, "config", "dump"],
            capture_output=True,
            env=clean_environment(),
            cwd=tmp_path,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        )
        if p.returncode == 127:
            assert b"error while loading shared libraries" in p.stderr  # it did not come to us
            continue
        assert p.returncode in (0, 1), (megabytes, p)
        assert p.returncode == 0 or b"mainstay: " in p.stderr
        started = True
    assert started


def run_on_terminal(binary, args, columns, cwd):
    """The output of the program on a terminal so wide."""
    import fcntl
    import struct
    import termios

    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    p = subprocess.Popen([binary, *args], stdin=child, stdout=child, stderr=child, env=clean_environment(), cwd=cwd)
    os.close(child)
    out = b""
    while True:
        try:
            part = os.read(parent, 65536)
        except OSError:  # EIO: the last writer has gone
            break
        if not part:
            break
        out += part
    os.close(parent)
    assert p.wait() == 0
    return out.decode().replace("\r\n", "\n")


def test_tables_fit_a_wide_terminal_and_are_whole_in_a_pipe(binary, run, tmp_path):
    piped = run("config", "reference").stdout
    on_terminal = run_on_terminal(binary, ["config", "reference"], 240, tmp_path)
    assert "\u2026" not in piped
    assert "\u2026" in on_terminal
    assert len(piped.splitlines()) == len(on_terminal.splitlines())
    assert max(map(len, on_terminal.splitlines())) <= 240
    rows = json.loads(run("config", "reference", "--json").stdout)
    assert len(rows) == len(piped.splitlines()) - 1
    assert [r["key"] for r in rows] == [line.split()[0] for line in piped.splitlines()[1:]]


def test_unreadable_folder_is_told(binary, tmp_path):
    """A settings file that is there but cannot be read is an error, not a reason to go on with the defaults."""
    (tmp_path / "mainstay.yaml").mkdir()
    p = subprocess.run([binary, "config", "dump"], capture_output=True, env=clean_environment(), cwd=tmp_path, text=True)
    assert p.returncode == 1 and p.stdout == ""
    assert "settings file mainstay.yaml: 'mainstay.yaml' is not a regular file" in p.stderr
