# SPDX-License-Identifier: Apache-2.0
"""Fixtures: the program, servers that are always stopped, and the example models in folders of the test's own."""

import shutil
import socket

import pytest
from harness import EXAMPLE_MODELS, EXAMPLE_NAMES, Server, find_binary


def pytest_report_header(config):
    try:
        return f"mainstay: {find_binary()}"
    except FileNotFoundError as error:
        return str(error)


@pytest.fixture(scope="session")
def binary():
    return find_binary()


def copy_examples(folder):
    shutil.copytree(EXAMPLE_MODELS, folder)
    return folder


def check_end(server):
    """A server that a test left running ends well; one that a test ended did not crash."""
    status = server.stop()
    text = server.log_text(1000)
    assert "assertion" not in text.lower() and "Sanitizer" not in text, f"the server complains about itself:\n{text}"
    assert status in (0, 1, 2, -9), f"the server ended with status {status}:\n{text}"


@pytest.fixture(scope="session")
def server(binary, tmp_path_factory):
    """The three examples, shared by tests that change nothing."""
    folder = tmp_path_factory.mktemp("shared")
    shared = Server(binary, folder, models=copy_examples(folder / "models"))
    try:
        shared.start()
        for name in EXAMPLE_NAMES:
            shared.wait_model(name)
        yield shared
        check_end(shared)
    finally:
        shared.kill()


@pytest.fixture(scope="module")
def module_server(binary, tmp_path_factory):
    """The three examples, for the tests of one file that may change its own models."""
    folder = tmp_path_factory.mktemp("module")
    own = Server(binary, folder, models=copy_examples(folder / "models"))
    try:
        own.start()
        yield own
        check_end(own)
    finally:
        own.kill()


@pytest.fixture
def make_server(binary, tmp_path):
    """make_server(*flags, examples=False, start=True, ready=True, …) gives a server of this test alone."""
    made = []

    def make(*args, examples=False, start=True, ready=True, folder=None, **options):
        folder = tmp_path / (folder or f"server{len(made)}")
        if examples:
            options["models"] = folder / "models"
            if not (folder / "models").exists():
                copy_examples(folder / "models")
        own = Server(binary, folder, *args, **options)
        made.append(own)
        return own.start(ready) if start else own

    try:
        yield make
        for own in made:
            if own.process is not None:
                check_end(own)
    finally:
        for own in made:
            own.kill()


@pytest.fixture
def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
