# SPDX-License-Identifier: Apache-2.0
"""One row and many rows of each shape by every engine that can be had, in turn; medians of rounds, and ratios.

A full run writes docs/benchmarks/forest.md. To work on a kernel:

    ./dev bench forest --shape lightgbm-1000x31 --peer lightgbm
    ./dev bench forest --shape lightgbm-1000x31 --kernels
"""
import argparse
import array
import contextlib
import datetime
import json
import math
import os
import pathlib
import re
import signal
import statistics
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import common  # noqa: E402
import shapes  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
DRIVER = shapes.ROOT / "build/release/bench/forest/bench_forest"
PYTHON = shapes.VENV / "bin/python"
DOCUMENT = shapes.ROOT / "docs/benchmarks/forest.md"
TRAIN_SECONDS = 900
# Compilers of trees get so long, and no more than so many nodes: beyond, they take minutes to hours.
CONVERT_SECONDS = 600
COMPILED_NODES_MAX = 100_000
# The shared library of each peer inside the virtual environment; None: what the conversion made is the library.
LIBRARIES = {
    "lightgbm": "lightgbm/lib/lib_lightgbm.so", "xgboost": "xgboost/lib/libxgboost.so", "treelite": "treelite/lib/libtreelite.so",
    "onnxruntime": "onnxruntime/capi/libonnxruntime.so.*", "tl2cgen": None, "tl2cgen-quantised": None,
    "lleaves": None,
}
PACKAGES = {"xgboost": "xgboost_cpu", "sklearn": "scikit_learn"}
IN_PYTHON = ("catboost", "sklearn")
NOTES = {
    "catboost": "its wheel has no C interface: one row goes through Python and cannot be compared; many rows from a ready Pool",
    "sklearn": "through Python",
    "tl2cgen": "with branches annotated; quantised as well, which is slower for small forests and faster for large ones; targets are for the faster",
}


class Missing(Exception):
    """Why an engine does not take part."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def what_failed(text):
    """The line of a traceback that tells."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Interrupt)\b", line)] or lines or ["no message"]
    return told[-1][:160]


def run_python(*arguments, seconds):
    """Runs a step of models.py, and all that it starts, no longer than that."""
    if not PYTHON.exists():
        raise Missing("no virtual environment")
    process = subprocess.Popen([PYTHON, HERE / "models.py", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               start_new_session=True, env={**os.environ, "OMP_WAIT_POLICY": "passive"})
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise Missing(f"not done within {seconds} s") from None
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    if process.returncode != 0:
        raise Missing(what_failed(errors))


def train(name):
    if not shapes.folder(name).exists():
        say(f"training {name} …")
        run_python("train", name, seconds=TRAIN_SECONDS)


def library(peer):
    found = installed(LIBRARIES[peer])
    if found is None:
        raise Missing("not installed")
    return found


def installed(pattern):
    """A file of a package; run.sh puts what is newer than the environment's own into a folder of its own."""
    for place in ("newest", "lib/python3*/site-packages"):
        for found in sorted(shapes.VENV.glob(f"{place}/{pattern}")):
            return found
    return None


def version(peer):
    found = installed(f"{PACKAGES.get(peer, peer)}-*.dist-info")
    return found.name.removesuffix(".dist-info").split("-")[1] if found else "?"


def converted(name, peer):
    """The file that a peer reads, made on first use. What took too long is not tried again."""
    if peer == "onnxruntime" and shapes.SHAPES[name]["library"] == "sklearn":
        return shapes.folder(name) / "model.onnx"
    nodes = shapes.most_nodes(name)
    if LIBRARIES[peer] is None and nodes > COMPILED_NODES_MAX:
        raise Missing(f"not tried: up to {nodes:,} nodes to compile")
    file = shapes.folder(name) / shapes.FILES[peer]
    refused = file.with_name(file.name + ".refused")
    if refused.exists():
        raise Missing(refused.read_text(encoding="utf-8"))
    if not file.exists():
        say(f"{name}: preparing {peer} …")
        try:
            run_python("convert", name, peer, seconds=CONVERT_SECONDS)
        except Missing as reason:
            if "not done within" in str(reason):
                refused.write_text(f"compiling: {reason}", encoding="utf-8")
            raise
    return file


def command_of(name, peer, scores, kernel=None):
    folder, s = shapes.folder(name), shapes.SHAPES[name]
    rows = [folder / "rows.f64", s["features"], scores]
    if peer == "mainstay":
        return [DRIVER, "mainstay", "-", folder / shapes.MAINSTAY[s["library"]], *rows, *(kernel or ())]
    if peer in IN_PYTHON:
        return [PYTHON, HERE / "python_peer.py", peer, "-", folder / shapes.OWN[s["library"]], *rows]
    model = converted(name, peer) if peer in shapes.FILES else folder / shapes.OWN[s["library"]]
    return [DRIVER, peer.partition("-")[0], model if LIBRARIES[peer] is None else library(peer), model, *rows]


class Engine:
    """A running driver. It answers when asked and sleeps otherwise."""

    def __init__(self, name, peer, core, kernel=None):
        self.peer = peer
        self.label = "/".join(kernel) if kernel else peer
        scores = shapes.folder(name) / f"scores-{self.label.replace('/', '-')}.f64"
        command = [str(part) for part in command_of(name, peer, scores, kernel)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                        env={**os.environ, "OMP_NUM_THREADS": "1"}, preexec_fn=lambda: os.sched_setaffinity(0, {core}))
        try:
            _, load, self.type, kernels = self.answer("ready").split(" ", 3)
        except Missing:
            self.close()
            raise
        self.load_ns = int(load)
        self.kernels = [part.strip() for part in kernels.split(";")]
        self.row_count = shapes.SHAPES[name]["rows"]
        self.scores = array.array("d")
        self.scores.frombytes(scores.read_bytes())
        self.one, self.many = [], []  # (p50, p99) of each round

    def answer(self, first=""):
        line = self.process.stdout.readline()
        while line and not line.startswith(("error ", first)):
            line = self.process.stdout.readline()  # what a library has to say
        if line.startswith("error "):
            raise Missing(line.removeprefix("error ").strip()[:200])
        if not line:
            raise Missing(f"ended with status {self.process.wait()}")
        return line

    def measure(self, what, ms):
        with contextlib.suppress(BrokenPipeError):  # the answer tells of its end
            self.process.stdin.write(f"{what} {ms}\n")
            self.process.stdin.flush()
        _, p50, p99 = self.answer().split()
        getattr(self, what).append((float(p50), float(p99)))

    def median(self, what, which=0):
        return statistics.median(figures[which] for figures in getattr(self, what))

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def ordinal(value, form):
    """A number whose distance to another's is their distance in units of the last place."""
    bits = struct.unpack(form[1], struct.pack(form[0], value))[0]
    return bits if bits >= 0 else -(bits & form[2])


DOUBLE, SINGLE = ("<d", "<q", (1 << 63) - 1), ("<f", "<i", (1 << 31) - 1)


def compare(engine, ours):
    """How far the scores of an engine are from ours, in the precision in which it computes."""
    if engine.scores == ours.scores:
        return "same bits"
    form = SINGLE if engine.type == "single" else DOUBLE
    if len(engine.scores) != len(ours.scores):
        return "another number of scores"
    distances = [abs(ordinal(a, form) - ordinal(b, form)) for a, b in zip(engine.scores, ours.scores)]
    away = max(abs(a - b) for a, b in zip(engine.scores, ours.scores))
    if max(distances) == 0:
        return "same bits"
    return f"up to {max(distances)} ulp of {'float' if form is SINGLE else 'double'} ({away:.1g})" if math.isfinite(away) else "NaN or infinite"


def start_engines(name, wanted, core, missing):
    """Starts those that can be had. A kernel that gave way to one that is there already is left out, and told."""
    engines, gave_way = [], []
    for peer, kernel in wanted:
        try:
            engine = Engine(name, peer, core, kernel)
        except Missing as reason:
            missing.append(("/".join(kernel) if kernel else peer, str(reason)))
            continue
        if kernel and any(engine.kernels == other.kernels for other in engines if other.label not in ("mainstay", "auto/auto")):
            gave_way.append(engine.label)
            engine.close()
        else:
            engines.append(engine)
    if gave_way:
        missing.append((", ".join(gave_way), "give way to another kernel here"))
    return engines


def run_shape(name, wanted, arguments):
    """Measures a shape; gives the engines with their figures, and those that are missing with the reason."""
    missing = []
    try:
        train(name)
    except Missing as reason:
        return [], [("the model", str(reason))]
    engines = start_engines(name, wanted, arguments.core, missing)
    try:
        for round_ in range(arguments.rounds):
            for what, ms in (("one", arguments.one_ms), ("many", arguments.many_ms)):
                for engine in list(engines):
                    try:
                        engine.measure(what, ms)
                    except Missing as reason:
                        missing.append((engine.label, str(reason)))
                        engines.remove(engine)
                        engine.close()
            if sys.stderr.isatty():
                print(f"\r{name}: round {round_ + 1} of {arguments.rounds}", end="\r", file=sys.stderr, flush=True)
    finally:
        for engine in engines:
            engine.close()
    return engines, missing


def us(ns):
    return f"{ns / 1e3:.2f}" if ns < 1e5 else f"{ns / 1e3:.0f}"


def ratio(engine, ours, what):
    return "" if engine is ours or ours is None else f"{engine.median(what) / ours.median(what):.2f}"


def rows_of(engines):
    """The table of a shape, as cells."""
    ours = next((engine for engine in engines if engine.peer == "mainstay"), None)
    yield ["engine", "1 row p50", "p99", "ratio", "many p50", "p99", "ratio", "load ms", "scores"]
    for engine in engines:
        note = " [Python]" if engine.peer in IN_PYTHON else ""
        yield [engine.label + note, us(engine.median("one")), us(engine.median("one", 1)), ratio(engine, ours, "one"),
               us(engine.median("many")), us(engine.median("many", 1)), ratio(engine, ours, "many"),
               f"{engine.load_ns / 1e6:.1f}", scores_told(engine, ours)]


def scores_told(engine, ours):
    """The scores file holds those of one call with all rows, then those of calls with one row, of the first rows."""
    singles = engine.scores[engine.row_count:]
    told = [] if engine is ours or ours is None else [compare(engine, ours)]
    if singles != engine.scores[:len(singles)]:
        told.append("one row and many differ")
    return ", ".join(told)


def text_table(table):
    table = list(table)
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    last = len(widths) - 1
    for row in table:
        cells = [cell.ljust(w) if i in (0, last) else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))]
        yield ("  " + "  ".join(cells)).rstrip()


def markdown_table(table):
    table = list(table)
    yield "| " + " | ".join(table[0]) + " |"
    yield "|" + "|".join(["---"] + ["---:"] * (len(table[0]) - 2) + ["---"]) + "|"
    for row in table[1:]:
        yield "| " + " | ".join(row) + " |"


def describe(name):
    s = shapes.SHAPES[name]
    size = f"{s['leaves']} leaves" if "leaves" in s else f"depth {s['depth']}"
    trained = f"trained on {s['training_rows']:,} rows"
    if "repeats" in s:
        trained += f", {s['trees'] // s['repeats']} trees, all taken {s['repeats']} times"
    if "column_share" in s:
        trained += f", {s['column_share']:.0%} of the features for each tree"
    kind = "random forest of " if s.get("forest") or s["library"] == "sklearn" else ""
    return f"{s['library']}, {kind}{s['trees']} trees, {size}, {s['features']} features, many = {s['rows']:,} rows; {trained}"


def target_lines(results):
    """Each target whose shape and peer were measured: (text, aimed at, measured, verdict)."""
    for name, peer, what, aim in shapes.TARGETS:
        if name not in results:
            continue
        engines = {engine.label: engine for engine in results[name][0]}
        label = f"{name}, {peer}, {'one row' if what == 'one' else 'many rows'}"
        figures = [engine.median(what) for engine in engines.values() if engine.peer.partition("-")[0] == peer]
        if not figures or "mainstay" not in engines:
            if any(who in (peer, "mainstay", "the model") for who, _ in results[name][1]):
                yield label, f"{aim}×", "-", "not measured"
            continue
        measured = min(figures) / engines["mainstay"].median(what)
        verdict = "met" if measured >= aim else f"missed by {aim / measured:.1f}×"
        if peer in IN_PYTHON and what == "one":
            verdict = "not comparable: through Python"
        yield label, f"{aim}×", f"{measured:.2f}×", verdict
    for name, aim in shapes.LATENCY_TARGETS:
        for engine in results.get(name, ((), ()))[0]:
            if engine.label == "mainstay":
                measured = engine.median("one", 1) / 1e3
                yield f"{name}, one row, p99", f"{aim} µs", f"{measured:.2f} µs", "met" if measured <= aim else f"missed by {measured / aim:.1f}×"


def versions(results):
    peers = sorted({engine.peer.partition("-")[0] for engines, _ in results.values() for engine in engines} - {"mainstay"})
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=shapes.ROOT, capture_output=True, text=True).stdout.strip()
    compiler = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True).stdout.strip()
    return ", ".join([f"mainstay {commit}", *(f"{peer} {version(peer)}" for peer in peers), f"gcc {compiler}"])


def write_document(results, arguments, head):
    lines = ["# Trees: one row and many rows", "",
             "Made by `./dev bench forest`; the figures of a busy machine mean little.", "",
             *(f"- {line}" for line in head), "",
             "µs per row, p50 and p99 over calls, medians of the rounds in which the engines take turns; one thread each, pinned to one core.",
             "One row: a call a row, 1,000 different rows in turn, by the clock; calls in which the process lost its core are left out. Many: a call",
             "for all rows, in time of the processor. The ratio is the engine's time over Mainstay's. Raw scores of the same rows; \"same bits\" means",
             "that all are those of Mainstay. All engines are called through C, but for those marked [Python]. Models are trained on made-up data:",
             "correlated features of several kinds, noise, no missing values; the rows hold float32 values, so that all see the same rows.", ""]
    lines += ["## Targets", "", *markdown_table([["target", "aim", "measured", "verdict"], *map(list, target_lines(results))]), ""]
    for name, (engines, missing) in results.items():
        lines += [f"## {name}", "", f"{describe(name)}.", ""]
        if engines:
            ours = next((engine for engine in engines if engine.peer == "mainstay"), None)
            if ours is not None:
                lines += [f"Kernels: {ours.kernels[0]} for one row, {ours.kernels[1]} for many.", ""]
            lines += [*markdown_table(rows_of(engines)), ""]
        if missing:
            lines += ["Missing: " + "; ".join(f"{who}: {why}" for who, why in missing) + ".", ""]
    lines += ["## Notes", "", *(f"- {peer}: {note}." for peer, note in NOTES.items())]
    DOCUMENT.parent.mkdir(parents=True, exist_ok=True)
    DOCUMENT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    say(f"written: {DOCUMENT.relative_to(shapes.ROOT)}")


def print_shape(name, engines, missing):
    print(f"\n{name}: {describe(name)}\nµs per row")
    if engines:
        print("\n".join(text_table(rows_of(engines))))
        for engine in engines:
            if engine.peer == "mainstay":
                print(f"  {engine.label}: {engine.kernels[0]} for one row, {engine.kernels[1]} for many")
    for who, why in missing:
        print(f"  missing: {who}: {why}")
    sys.stdout.flush()


def parse():
    parser = argparse.ArgumentParser(prog="./dev bench forest", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", action="append", choices=shapes.SHAPES, help="measure this shape; may be given several times")
    parser.add_argument("--peer", action="append", choices=[*LIBRARIES, *IN_PYTHON, "none"], help="with this peer; may be given several times")
    parser.add_argument("--kernels", action="store_true", help="ours only: each kernel with each instruction set")
    parser.add_argument("--kernel", action="append", default=[], metavar="KERNEL/ISA", help="ours with this kernel and instruction set, besides; may be given several times")
    parser.add_argument("--quick", action="store_true", help="few and short rounds")
    parser.add_argument("--rounds", type=int, default=None, help="rounds in which the engines take turns (5)")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="the core to run on (the last)")
    parser.add_argument("--write", action="store_true", help="write the document whatever was measured")
    parser.add_argument("--train", action="store_true", help="only train what is missing")
    arguments = parser.parse_args()
    arguments.kernel = [tuple(kernel.partition("/")[::2]) for kernel in arguments.kernel]
    short = arguments.quick or arguments.shape or arguments.kernels
    arguments.rounds = arguments.rounds or (2 if arguments.quick else 5)
    arguments.one_ms, arguments.many_ms = (100, 200) if short else (200, 400)
    arguments.write |= not short and not arguments.peer and not arguments.kernel
    return arguments


def wanted_engines(name, arguments):
    if not arguments.kernels:
        peers = [peer for peer in shapes.SHAPES[name]["peers"] if not arguments.peer or peer in arguments.peer]
        return [("mainstay", None), *(("mainstay", kernel) for kernel in arguments.kernel), *((peer, None) for peer in peers)]
    listed = [line.split() for line in subprocess.run([DRIVER, "--list"], check=True, capture_output=True, text=True).stdout.splitlines()]
    kernels = [word for kind, word in listed if kind == "kernel"]
    return [("mainstay", ("auto", "auto")), *(("mainstay", (kernel, isa)) for kernel in kernels for kind, isa in listed if kind == "isa")]


def main():
    arguments = parse()
    names = arguments.shape or list(shapes.SHAPES)
    if arguments.train:
        for name in names:
            train(name)
        return
    head = [common.machine(), f"{datetime.date.today()}, core {arguments.core}, {arguments.rounds} rounds"]
    print("\n".join(head))
    results = {}
    for name in names:
        results[name] = run_shape(name, wanted_engines(name, arguments), arguments)
        print_shape(name, *results[name])
    if not arguments.kernels:
        told = list(target_lines(results))
        if told:
            print("\ntargets")
            print("\n".join(text_table([["", "aim", "measured", "verdict"], *map(list, told)])))
        head.append(versions(results))
        head.append(f"load at the end: {os.getloadavg()[0]:.1f}")
        print(f"\n{head[-2]}\n{head[-1]}")
    if arguments.write:
        write_document(results, arguments, head)


if __name__ == "__main__":
    main()
