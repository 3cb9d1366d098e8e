# SPDX-License-Identifier: Apache-2.0
"""The check alone; then Mainstay on core 0, loaded by wrk from core 1: with authentication and without, validations, logins, memory.

Beside it stands what Keycloak publishes for sizing (per core: 15 password logins and 120 client-credential grants a second; 1,250 MB).
"""
import base64
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import common  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "3"))
SECONDS = int(os.environ.get("SECONDS_EACH", "3"))
PASSWORD = "a password of the benchmark"
VALIDATIONS, LOGINS, GRANTS, MEGABYTES, NANOSECONDS = 20000, 30, 1000, 50, 2000


def verdict(reached):
    return "reached" if reached else "MISSED"


def ask(port, method, path, body=None, key=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        headers = {"Content-Type": "application/json", **({"X-API-Key": key} if key else {})}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text) if text else None
    finally:
        connection.close()


def wait(process, port, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with status {process.returncode}")
        with contextlib.suppress(OSError, http.client.HTTPException, RuntimeError):
            ask(port, "GET", "/health/ready")
            return
        time.sleep(0.01)
    raise RuntimeError("the server did not become ready")


def script(folder, name, method="GET", body=None, headers=None):
    """wrk's script of one request; a body of text is a form."""
    lines = [f"wrk.method = '{method}'"]
    if isinstance(body, str):
        lines.append(f"wrk.body = [==[{body}]==]")
        headers = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
    elif body is not None:
        lines.append(f"wrk.body = [==[{json.dumps(body)}]==]")
        headers = {"Content-Type": "application/json", **(headers or {})}
    lines += [f"wrk.headers['{k}'] = '{v}'" for k, v in (headers or {}).items()]
    path = pathlib.Path(folder, name + ".lua")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def cpu_seconds(process):
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rate(process, port, path, lua, connections=16, may_refuse=False):
    """Answers with 2xx per second, and per second of the server's processor time, which a busy machine spoils less. Others are an
    error, or with `may_refuse` do not count."""
    def once():
        before = cpu_seconds(process)
        command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "-s", lua, f"http://127.0.0.1:{port}{path}"]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        others = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        if (others and not may_refuse) or "Socket errors" in text:
            raise RuntimeError(f"errors under load:\n{text}")
        requests = int(re.search(r"(\d+) requests in", text).group(1))
        good = requests - (int(others.group(1)) if others else 0)
        return float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)) * good / requests, good / max(cpu_seconds(process) - before, 0.01)

    results = [once() for _ in range(ROUNDS)]
    return tuple(statistics.median(r[i] for r in results) for i in (0, 1))


def resident(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024


@contextlib.contextmanager
def server(folder, *more):
    port = common.free_port()
    command = ["taskset", "-c", "0", common.BINARY, "run", "--port", port, "--threads", 1, "--data-dir", folder, *more]
    with common.running(command) as process:
        wait(process, port)
        yield process, port


def report(name, result, target=None, note=""):
    wall, cpu = result
    goal = f"target {target:,} or more: {verdict(wall >= target)}" if target else ""
    print(f"  {name:38} {wall:9,.0f} /s {cpu:9,.0f} /s of CPU   {goal:36} {note}")


def main():
    print(common.machine())
    check = subprocess.run([common.ROOT / "build/release/bench/auth/auth_check"], check=True, capture_output=True, text=True).stdout
    slowest = max(int(n) for n in re.findall(r"known\s+(\d+) ns", check))
    print("\nThe guard's check of one request, without the network")
    print("".join(f"  {line}\n" for line in check.splitlines()), end="")
    print(f"  the slowest of a known credential: {slowest} ns; target under {NANOSECONDS}: {verdict(slowest < NANOSECONDS)}")
    print(f"\nOver HTTP, one loop on core 0, wrk on core 1, 16 connections; median of {ROUNDS} rounds of {SECONDS} s")
    folder = tempfile.mkdtemp()
    try:
        with server(pathlib.Path(folder, "off"), "--auth=off") as (process, port):
            plain = rate(process, port, "/v2/models", script(folder, "plain"))
        with server(pathlib.Path(folder, "on")) as (process, port):
            idle = resident(process)
            key = pathlib.Path(folder, "on", "admin.key").read_text(encoding="utf-8").strip()
            ask(port, "POST", "/api/v1/auth/users", {"username": "bench", "role": "viewer", "password": PASSWORD}, key)
            credentials = {"username": "bench", "password": PASSWORD}
            token = ask(port, "POST", "/api/v1/auth/login", credentials)["token"]
            by_key = rate(process, port, "/v2/models", script(folder, "key", headers={"X-API-Key": key}))
            by_token = rate(process, port, "/v2/models", script(folder, "token", headers={"Authorization": "Bearer " + token}))
            valid = rate(process, port, "/api/v1/auth/validate", script(folder, "validate", "POST", {"token": token}))
            logins = rate(process, port, "/api/v1/auth/login", script(folder, "login", "POST", credentials), connections=4)
            made = ask(port, "POST", "/api/v1/auth/clients", {"name": "bench", "scope": "predict", "grant_types": ["client_credentials"]}, key)
            proof = {"Authorization": "Basic " + base64.b64encode(f"{made['id']}:{made['secret']}".encode()).decode()}
            grants = rate(process, port, "/oauth/token", script(folder, "grant", "POST", "grant_type=client_credentials", proof), may_refuse=True)  # 503 when the audit log is behind
            busy = resident(process)
    finally:
        shutil.rmtree(folder)
    report("GET /v2/models, nobody is asked", plain)
    report("the same with an API key", by_key, None, f"{by_key[0] / plain[0]:.2f} of the rate without")
    report("the same with a token", by_token, None, f"{by_token[0] / plain[0]:.2f} of the rate without")
    report("token validations", valid, VALIDATIONS)
    report("password logins (argon2id, 19 MiB)", logins, LOGINS, "Keycloak's sizing: 15")
    report("client-credential grants (EdDSA)", grants, GRANTS, "Keycloak's sizing: 120")
    print(f"  resident: idle {idle:.0f} MB, target under {MEGABYTES}: {verdict(idle < MEGABYTES)}; after the load {busy:.0f} MB; Keycloak's sizing: 1,250")


if __name__ == "__main__":
    main()
