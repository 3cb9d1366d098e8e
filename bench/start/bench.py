# SPDX-License-Identifier: Apache-2.0
"""Time from exec to the first successful prediction, and resident memory before and after models are loaded."""
import os
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import common  # noqa: E402

STARTS = int(os.environ.get("STARTS", "20"))
EXAMPLE = b'{"model":"penguins","features":[{"species":"Adelie","island":"Torgersen"}]}'


def resident_mb(process):
    for line in open(f"/proc/{process.pid}/status", encoding="utf-8"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the system does not tell the resident memory")


def start_once(command, port, body, **options):
    begin = time.monotonic()
    with common.running(command, **options) as process:
        common.wait_for_answer(process, port, body)
        return (time.monotonic() - begin) * 1e3, resident_mb(process)


def starts(title, make_command, body, times, target, **options):
    results = []
    for _ in range(times):
        port = common.free_port()
        results.append(start_once(make_command(port), port, body, **options))
    took, memory = (statistics.median(figures) for figures in zip(*results))
    goal = f"   target below {target} ms: {'reached' if took < target else 'MISSED'}" if target else ""
    print(f"  {title:34} {took:8.1f} ms {memory:8.1f} MB{goal}")


def empty_memory(folder):
    """Resident memory of a server without models, when it is ready."""
    port = common.free_port()
    with common.running(common.mainstay(port, "--models", folder)) as process:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                # An answer at all: 404, because there is no model.
                if common.post(port, EXAMPLE)[0] == 404:
                    return resident_mb(process)
            except OSError:
                time.sleep(0.001)
    raise RuntimeError("the server did not answer")


def main():
    common.make_model()
    print(f"{common.machine()}\nmedian of {STARTS} starts       exec to first prediction, resident memory then")
    with tempfile.TemporaryDirectory() as folder:
        body = common.BODY.read_bytes()
        starts("mainstay, three examples", lambda port: common.mainstay(port, "--models", common.ROOT / "examples/models"), EXAMPLE, STARTS, 100)
        starts("mainstay, 500 trees of depth 6", lambda port: common.mainstay(port, "--models", folder, "--model", common.MODEL), body, STARTS, 100)
        memory = empty_memory(folder)
        print(f"  {'mainstay, no model':34} {'':11} {memory:8.1f} MB   target below 30 MB: {'reached' if memory < 30 else 'MISSED'}")
        starts("FastAPI, 500 trees of depth 6", common.fastapi, body, max(1, STARTS // 5), None, env=common.environment())


if __name__ == "__main__":
    main()
