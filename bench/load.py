# SPDX-License-Identifier: Apache-2.0
"""wrk from core 1, and what it says."""
import os
import re
import subprocess

SECONDS = int(os.environ.get("SECONDS_EACH", "3"))
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


def wrk(port, connections, path, headers=(), script=None, seconds=SECONDS):
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    for name, value in dict(headers).items():
        command += ["-H", f"{name}: {value}"]
    command += ["-s", script] if script else []
    text = subprocess.run([*map(str, command), f"http://127.0.0.1:{port}{path}"], check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(f"errors under load:\n{text}")
    latency = {p: float(v) * UNITS[u] for p, v, u in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", text)}
    return {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)), "p50": latency["50"], "p99": latency["99"]}
