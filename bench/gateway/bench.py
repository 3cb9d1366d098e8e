# SPDX-License-Identifier: Apache-2.0
"""nginx, HAProxy and Mainstay in turn as proxies, each alone on core 0; upstream (nginx, 1 KiB) and wrk on core 1. Medians and ratios.

Every proxy keeps its connections to the upstream and to the clients. What the upstream does alone stands first: nobody can be faster.
"""
import contextlib
import http.client
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import common  # noqa: E402
import load  # noqa: E402

import jwt  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "5"))
CONNECTIONS = int(os.environ.get("CONNECTIONS", "16"))
PINNED = ["taskset", "-c", "0"]
SECRET = "a-secret-of-this-benchmark-long-enough-for-HS256"
TOKEN = jwt.encode({"iss": "bench", "sub": "bench", "exp": int(time.time()) + 86400}, SECRET, algorithm="HS256")
ROUTES = (1, 36, 217, 609)

UPSTREAM = """worker_processes 1; daemon off; pid {folder}/upstream.pid; error_log {folder}/upstream.log;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 3600;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json; return 200 '{body}'; }} }} }}
"""
NGINX = """worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 3600;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  limit_req_zone $binary_remote_addr zone=one:10m rate=1000000r/s;
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
    location /plain {{ proxy_pass http://up; }}
    location /limited {{ limit_req zone=one burst=100000 nodelay; proxy_pass http://up; }} }} }}
"""
HAPROXY = """global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option forwardfor
  http-reuse always
frontend in
  bind 127.0.0.1:{port}
  stick-table type ip size 100k expire 60s store http_req_rate(60s)
  http-request track-sc0 src if {{ path_beg /limited }} or {{ path_beg /guarded }}
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 1000000000 }}
  http-request set-var(txn.bearer) http_auth_bearer if {{ path_beg /guarded }}
  http-request deny deny_status 401 if {{ path_beg /guarded }} !{{ var(txn.bearer),jwt_verify("HS256","{secret}") -m int 1 }}
  default_backend up
backend up
  server one 127.0.0.1:{upstream}
"""


def plan(upstream, routes):
    """A Kong file: the three paths that are measured, among `routes` routes."""
    lines = ['_format_version: "3.0"', "services:", "- name: up", f"  url: http://127.0.0.1:{upstream}", "  routes:"]
    for name, plugins in (("plain", ()), ("limited", ("rate",)), ("guarded", ("jwt", "rate"))):
        lines += [f"  - name: {name}", f"    paths: [/{name}]", "    strip_path: false"]
        if plugins:
            lines.append("    plugins:")
        if "jwt" in plugins:
            lines += ["    - name: jwt", "      config: {claims_to_verify: [exp]}"]
        if "rate" in plugins:
            lines += ["    - name: rate-limiting", "      config: {minute: 1000000000, policy: local, limit_by: ip}"]
    for i in range(routes - 1):
        lines += [f"  - name: other{i}", f"    paths: [/api/v{i % 3}/resource{i}/items]", f"    methods: [{('GET', 'POST', 'PUT')[i % 3]}]"]
    lines += ["consumers:", "- username: bench", "  jwt_secrets:", "  - key: bench", "    algorithm: HS256", f"    secret: {SECRET}"]
    return "\n".join(lines) + "\n"


def wait_for(process, port, path, headers):
    deadline = time.monotonic() + 20
    last = None
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args} ended with status {process.returncode}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            last = (answer.status, answer.read())
            connection.close()
            if last[0] == 200:
                return last[1]
        time.sleep(0.01)
    raise RuntimeError(f"{process.args[0]} does not answer {path}: {last}")


def measure(cases):
    results = {case: [] for case in cases}
    for case, (port, path, headers) in cases.items():
        load.wrk(port, CONNECTIONS, path, headers, seconds=1)  # warm-up
    for _ in range(ROUNDS):
        for case, (port, path, headers) in cases.items():
            results[case].append(load.wrk(port, CONNECTIONS, path, headers))
    return {case: {figure: statistics.median(r[figure] for r in rounds) for figure in rounds[0]} for case, rounds in results.items()}


def report(title, figures):
    print(f"\n{title:34} requests/s      p50 ms      p99 ms")
    for case, f in figures.items():
        print(f"  {' '.join(case):32} {f['rate']:10.0f} {f['p50']:11.3f} {f['p99']:11.3f}")


def verdict(name, value, target, reached):
    print(f"  {name:60} {value:7.2f}   target {target}: {'reached' if reached else 'MISSED'}")


def main():
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    body = "x" * 1022
    print(f"{common.machine()}\n{ROUNDS} rounds of {load.SECONDS} s, median, {CONNECTIONS} connections; proxy on core 0, upstream and wrk on core 1; answers of 1 KiB")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        os.chmod(folder, 0o755)
        upstream, nginx_port, haproxy_port = (common.free_port() for _ in range(3))
        start = lambda command: stack.enter_context(common.running(command))  # noqa: E731

        def nginx(name, text, core):
            path = pathlib.Path(folder, name + ".conf")
            path.write_text(text, encoding="utf-8")
            return start(["taskset", "-c", core, "nginx", "-c", path, "-e", f"{folder}/{name}.log"])

        wait_for(nginx("upstream", UPSTREAM.format(folder=folder, port=upstream, body=f'"{body}"'), 1), upstream, "/plain", {})
        wait_for(nginx("nginx", NGINX.format(folder=folder, port=nginx_port, upstream=upstream), 0), nginx_port, "/limited", {})
        pathlib.Path(folder, "haproxy.cfg").write_text(HAPROXY.format(port=haproxy_port, upstream=upstream, secret=SECRET), encoding="utf-8")
        wait_for(start([*PINNED, "haproxy", "-f", f"{folder}/haproxy.cfg", "-db"]), haproxy_port, "/guarded", bearer)
        ours = {}
        for routes in ROUTES:
            pathlib.Path(folder, f"kong{routes}.yml").write_text(plan(upstream, routes), encoding="utf-8")
            ours[routes] = common.free_port()
            server = start([*PINNED, common.BINARY, "run", "--port", ours[routes], "--threads", 1, "--auth=off", "--data-dir", f"{folder}/data{routes}",
                            "--gateway.file", f"{folder}/kong{routes}.yml"])
            assert wait_for(server, ours[routes], "/guarded", bearer) == f'"{body}"'.encode()
        peers = {"nginx": nginx_port, "HAProxy": haproxy_port, "Mainstay": ours[1]}
        figures = measure({("upstream", "alone"): (upstream, "/plain", {}),
                           **{(name, "plain"): (port, "/plain", {}) for name, port in peers.items()},
                           **{(name, "with limit"): (port, "/limited", {}) for name, port in peers.items()},
                           **{(name, "with JWT and limit"): (port, "/guarded", bearer) for name, port in peers.items() if name != "nginx"}})
        report("proxies", figures)
        base, guarded = figures["nginx", "plain"], figures["Mainstay", "with JWT and limit"]
        verdict("rate with JWT and limit / nginx's plain", guarded["rate"] / base["rate"], "0.8 or more", guarded["rate"] >= 0.8 * base["rate"])
        verdict("rate plain / nginx's plain", figures["Mainstay", "plain"]["rate"] / base["rate"], "(none)", True)
        added = guarded["p99"] - figures["upstream", "alone"]["p99"]
        verdict("p99 added with JWT and limit, ms", added, "under 1", added < 1)
        by_routes = measure({("routes", str(routes)): (port, "/guarded", bearer) for routes, port in ours.items()})
        report("Mainstay by number of routes", by_routes)
        rates = [f["rate"] for f in by_routes.values()]
        verdict("slowest / fastest by number of routes", min(rates) / max(rates), "0.9 or more", min(rates) >= 0.9 * max(rates))
    return 0


if __name__ == "__main__":
    sys.exit(main())
