# SPDX-License-Identifier: Apache-2.0
"""libmainstay-forest as a user meets it: installed, found by pkg-config, in C, C++ and Python, with the server's answers."""

import csv
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from harness import EXAMPLE_MODELS, EXAMPLE_NAMES, EXAMPLES, clean_environment

FILES = {"penguins": "model.txt", "wine": "model.json", "breast-cancer": "model.json"}
SOURCE = EXAMPLES / "embed" / "forest.c"


def run(*command, **env):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=clean_environment(env), timeout=120)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture(scope="session")
def installed(binary, tmp_path_factory):
    """The folder below which `meson install` put everything."""
    folder = tmp_path_factory.mktemp("installed")
    run("meson", "install", "-C", binary.parent, "--no-rebuild", "--quiet", "--destdir", folder)
    return folder


@pytest.fixture(scope="session")
def found(installed):
    (config,) = installed.rglob("mainstay-forest.pc")

    def pkg_config(*options):
        return run("pkg-config", *options, "mainstay-forest", PKG_CONFIG_PATH=str(config.parent),
                   PKG_CONFIG_SYSROOT_DIR=str(installed)).split()

    return pkg_config


@pytest.fixture(scope="session")
def library(installed):
    (path,) = installed.rglob("libmainstay-forest.so.0")
    return path


def paths(name):
    return EXAMPLE_MODELS / name / "v1.0.0" / FILES[name], EXAMPLES / name / "rows.csv"


def served(server, name):
    """What the server answers for the rows of the example, as numbers of a model's precision."""
    with open(paths(name)[1], newline="", encoding="utf-8") as file:
        records = list(csv.DictReader(file))
    texts = {"species", "island", "sex"}
    rows = [{k: (v if k in texts else float(v)) if v else None for k, v in record.items()} for record in records]
    return np.array(server.predictions(name, rows), dtype=np.float64).reshape(len(rows), -1)


def check_output(server, name, text):
    got = np.array([[float(x) for x in line.split(",")] for line in text.splitlines()])
    want = served(server, name)
    if name == "breast-cancer":  # XGBoost: float; the server writes the shortest text of a float
        got, want = got.astype(np.float32), want.astype(np.float32)
    assert got.shape == want.shape and np.array_equal(got, want, equal_nan=True)


@pytest.fixture(scope="session")
def programs(installed, found, library, tmp_path_factory):
    """The C example: linked with the shared library, with the static one, and compiled as C++."""
    folder = tmp_path_factory.mktemp("programs")
    warnings = ["-O1", "-Wall", "-Wextra", "-Werror"]
    run("cc", "-std=gnu11", *warnings, SOURCE, *found("--cflags", "--libs"), "-o", folder / "shared")
    run("cc", "-std=gnu11", *warnings, SOURCE, *found("--cflags"), library.with_name("libmainstay-forest.a"), "-lm",
        "-o", folder / "static")
    return folder


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
@pytest.mark.parametrize("kind", ("shared", "static"))
def test_c_example_prints_what_the_server_answers(server, programs, library, kind, name):
    check_output(server, name, run(programs / kind, *paths(name), LD_LIBRARY_PATH=str(library.parent)))


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_python_example_prints_what_the_server_answers(server, library, name):
    check_output(server, name, run(sys.executable, EXAMPLES / "embed" / "forest.py", *paths(name), MAINSTAY_FOREST=str(library)))


def test_examples_are_short():
    for path in (EXAMPLES / "embed").iterdir():
        assert len(path.read_text(encoding="utf-8").splitlines()) < 80, path


def test_header_is_cplusplus(found, library, tmp_path):
    source = tmp_path / "forest.cc"
    source.write_text("""#include <mainstay/forest.h>
int main(int argc, char **argv)
{
	struct mainstay_forest *forest = nullptr;
	struct mainstay_forest_info info{};
	info.struct_size = sizeof info;
	if (argc != 2 || mainstay_forest_load_file(argv[1], nullptr, nullptr, 0, &forest) != MAINSTAY_FOREST_OK)
		return 1;
	bool right = mainstay_forest_get_info(forest, &info) == MAINSTAY_FOREST_OK && info.feature_count == 13;
	mainstay_forest_free(forest);
	return right ? 0 : 2;
}
""")
    run("clang-14", "-x", "c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", source, *found("--cflags", "--libs"), "-o", tmp_path / "forest")
    run(tmp_path / "forest", paths("wine")[0], LD_LIBRARY_PATH=str(library.parent))


def declared(installed):
    (header,) = installed.rglob("mainstay/forest.h")
    code = re.sub(r"//[^\n]*", "", header.read_text(encoding="utf-8"))
    return set(re.findall(r"\b(mainstay_forest_\w+)\s*\(", code))


def test_only_the_public_functions_are_visible(installed, library):
    want = declared(installed)
    assert len(want) >= 18
    dynamic = {line.split()[-1].split("@")[0] for line in run("nm", "-D", "--defined-only", library).splitlines()}
    assert dynamic - {"MAINSTAY_FOREST_0"} == want
    static = {line.split()[-1] for line in run("nm", "-g", "--defined-only", library.with_name("libmainstay-forest.a")).splitlines()
              if len(line.split()) == 3}
    assert static == want


def test_it_needs_libc_and_libm_only(library):
    dynamic = run("readelf", "-d", library)
    assert set(re.findall(r"NEEDED.*\[(.*)\]", dynamic)) <= {"libc.so.6", "libm.so.6"}
    assert "SONAME" in dynamic and "[libmainstay-forest.so.0]" in dynamic


def test_the_static_library_leaves_the_names_of_the_host_alone(found, library, tmp_path):
    """A program may have functions of the same names as ours inside."""
    source = tmp_path / "host.c"
    source.write_text("""#include <mainstay/forest.h>
int ms_model_load(void), ms_fail(void);
int ms_model_load(void) { return 3; }
int ms_fail(void) { return 4; }
int main(int argc, char **argv)
{
	struct mainstay_forest *forest = 0;
	enum mainstay_forest_status status = mainstay_forest_load_file(argv[argc - 1], 0, 0, 0, &forest);
	mainstay_forest_free(forest);
	return status == MAINSTAY_FOREST_OK ? ms_model_load() + ms_fail() - 7 : 1;
}
""")
    run("cc", source, *found("--cflags"), library.with_name("libmainstay-forest.a"), "-lm", "-o", tmp_path / "host")
    run(tmp_path / "host", paths("wine")[0])


def test_a_damaged_file_is_told_and_the_host_lives_on(library, tmp_path):
    path = tmp_path / "model.txt"
    path.write_text("tree\nversion=v4\n")
    done = subprocess.run([sys.executable, str(EXAMPLES / "embed" / "forest.py"), str(path), os.devnull], capture_output=True, text=True,
                          env=clean_environment({"MAINSTAY_FOREST": str(library)}), timeout=60)
    assert done.returncode == 1 and "ValueError: " in done.stderr and "num_class" in done.stderr, done.stderr
