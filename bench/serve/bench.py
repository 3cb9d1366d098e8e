# SPDX-License-Identifier: Apache-2.0
"""Mainstay, nginx and FastAPI in turn, each alone on core 0, loaded by wrk from core 1; medians and ratios."""
import contextlib
import json
import os
import pathlib
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import common  # noqa: E402
import load  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "5"))
CONNECTIONS = [int(c) for c in os.environ.get("CONNECTIONS", "16 64").split()]
PINNED = ["taskset", "-c", "0"]

NGINX = """worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000000;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json; return 200 '{body}'; }} }} }}
"""


def median(results, figure):
    return statistics.median(result[figure] for result in results)


def verdict(reached):
    return "reached" if reached else "MISSED"


def report(connections, results):
    print(f"\n{connections} connections        requests/s      p50 ms      p99 ms")
    for name, rounds in results.items():
        print(f"  {name:18} {median(rounds, 'rate'):12.0f} {median(rounds, 'p50'):11.3f} {median(rounds, 'p99'):11.3f}")
    ours, nginx, fastapi = (results[name] for name in ("mainstay", "nginx", "fastapi"))
    to_nginx = median(ours, "rate") / median(nginx, "rate")
    to_fastapi = median(ours, "rate") / median(fastapi, "rate")
    tail = median(ours, "p99") / median(nginx, "p99")
    print(f"  rate / nginx       {to_nginx:12.2f}   target 0.9 or more: {verdict(to_nginx >= 0.9)}")
    print(f"  rate / FastAPI     {to_fastapi:12.1f}   target 20 or more: {verdict(to_fastapi >= 20)}")
    print(f"  p99 / nginx        {tail:12.2f}   target 2 or less: {verdict(tail <= 2)}")


def main():
    common.make_model()
    body = common.BODY.read_bytes()
    print(f"{common.machine()}\n{ROUNDS} rounds of {load.SECONDS} s, median; server on core 0, wrk on core 1; 500 trees of depth 6, 30 features")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        os.chmod(folder, 0o755)
        ports = {name: common.free_port() for name in ("mainstay", "nginx", "fastapi")}
        script = pathlib.Path(folder, "post.lua")
        script.write_text(f"wrk.method = 'POST'\nwrk.body = [==[{body.decode()}]==]\nwrk.headers['Content-Type'] = 'application/json'\n", encoding="utf-8")
        ours = stack.enter_context(common.running([*PINNED, *common.mainstay(ports["mainstay"], "--model", common.MODEL, "--models", pathlib.Path(folder, "none"))]))
        answer = common.wait_for_answer(ours, ports["mainstay"], body)
        pathlib.Path(folder, "nginx.conf").write_text(NGINX.format(folder=folder, port=ports["nginx"], body=answer.decode().strip()), encoding="utf-8")
        nginx = stack.enter_context(common.running([*PINNED, "nginx", "-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log"]))
        peer = stack.enter_context(common.running([*PINNED, *common.fastapi(ports["fastapi"])], env=common.environment()))
        common.wait_for_answer(nginx, ports["nginx"], body)
        common.wait_for_answer(peer, ports["fastapi"], body)
        same = float(json.loads(answer)["predictions"][0])
        print(f"prediction {same!r}; XGBoost's own: {'the same bits' if common.expected_prediction() == same or str(common.expected_prediction()) == str(same) else 'DIFFERENT'}")
        for connections in CONNECTIONS:
            results = {name: [] for name in ports}
            for name, port in ports.items():
                load.wrk(port, connections, "/api/v1/predict", script=script)  # warm-up
            for _ in range(ROUNDS):
                for name, port in ports.items():
                    results[name].append(load.wrk(port, connections, "/api/v1/predict", script=script))
            report(connections, results)


if __name__ == "__main__":
    main()
