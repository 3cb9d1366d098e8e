# SPDX-License-Identifier: Apache-2.0
"""Upstreams for the tests of the gateway: a server that answers, lies, hangs and resets as its path says, and real servers as processes."""

import collections
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

from harness import ANSWER_SECONDS, Closed, Connection, Server, wait_until


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Request:
    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers, self.body = method, path, headers, body

    def header(self, name):
        values = [v for n, v in self.headers if n.lower() == name.lower()]
        return values[0] if values else None


class Peer:
    """Counts every request that arrived whole, and every head. What it does is the last part of the path."""

    def __init__(self, port=0):
        self.listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.heads = collections.Counter()  # (method, path)
        self.requests = []
        self.connections = 0
        self.status = 200  # of /answer and /health
        self.release = threading.Event()  # lets /hang go on
        self.open = set()
        self.stopped = False
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def target(self):
        return f"127.0.0.1:{self.port}"

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                self.open.add(sock)
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def stop(self):
        """As a process that is killed: the port is free, connections end."""
        self.stopped = True
        self.release.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in list(self.open):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def seen(self, method, path):
        return self.heads[(method, path)]

    def serve(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock)
        try:
            while self.one(connection):
                pass
        except (Closed, OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.open.discard(sock)
            sock.close()

    def one(self, c):
        head = c.read_until(b"\r\n\r\n").decode("latin-1")
        line, *fields = head.split("\r\n")
        method, path, _ = line.split(" ")
        headers = [(n, v.strip()) for n, _, v in (f.partition(":") for f in fields)]
        request = Request(method, path, headers, b"")
        action = path.split("?")[0].strip("/").split("/")
        with self.lock:
            self.heads[(method, path)] += 1
        if action[0] == "early":
            c.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nearly")
            time.sleep(0.2)
            return False
        if action[0] == "slow-read":
            time.sleep(float(action[1]))
            return self.count_body(c)
        length = request.header("Content-Length")
        if length is not None:
            request.body = c.read_exactly(int(length))
        elif request.header("Transfer-Encoding"):
            request.body = c.read_chunked()
        with self.lock:
            self.requests.append(request)
        return getattr(self, "do_" + action[0].replace("-", "_"), self.do_answer)(c, request, action[1:])

    def count_body(self, c):
        """A large chunked body, which is not kept."""
        total = 0
        while True:
            size = int(c.read_until(b"\r\n"), 16)
            if size == 0:
                c.read_until(b"\r\n")
                body = str(total).encode()
                c.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                return True
            total += size
            c.read_exactly(size + 2)

    def reply(self, c, request, body, status=200, headers=()):
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", f"X-Peer: {self.port}", *headers]
        c.send("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if request.method == "HEAD" else body))
        return True

    def do_answer(self, c, request, rest):
        document = {"port": self.port, "method": request.method, "path": request.path, "headers": request.headers, "length": len(request.body)}
        return self.reply(c, request, json.dumps(document).encode(), self.status, ["Content-Type: application/json"])

    def do_echo(self, c, request, rest):
        return self.reply(c, request, request.body)

    def do_status(self, c, request, rest):
        return self.reply(c, request, b"x", int(rest[0]))

    def do_health(self, c, request, rest):
        return self.reply(c, request, b"health", self.status)

    def do_close(self, c, request, rest):
        return False

    def do_reset(self, c, request, rest):
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    def do_hang(self, c, request, rest):
        self.release.wait(ANSWER_SECONDS)
        return self.reply(c, request, b"late")

    def do_short(self, c, request, rest):  # promises more than it sends
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"a" * 50)
        return False

    def do_long(self, c, request, rest):  # sends more than it promised: a second answer, smuggled
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        return True

    def do_chunks(self, c, request, rest):
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in rest[0].split(","):
            c.send(f"{len(part):x}\r\n{part}\r\n".encode())
            time.sleep(0.01)
        c.send(b"0\r\n\r\n")
        return True

    def do_chunks_cut(self, c, request, rest):
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        time.sleep(0.05)
        return False

    def do_chunks_bad(self, c, request, rest):
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n")
        return False

    def do_both(self, c, request, rest):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        return False

    def do_two_lengths(self, c, request, rest):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")
        return False

    def do_garbage(self, c, request, rest):
        c.send(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
        return False

    def do_split(self, c, request, rest):  # a header that would be two
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Evil: a\rSet-Cookie: b\r\n\r\nok")
        return False

    def do_interim(self, c, request, rest):
        c.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        time.sleep(0.05)
        return self.reply(c, request, b"done")

    def do_until_close(self, c, request, rest):
        c.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall that there is")
        return False

    def do_stale(self, c, request, rest):  # says that it keeps the connection, and closes it a moment later
        self.reply(c, request, b"kept?")
        time.sleep(0.05)
        return False

    def do_big(self, c, request, rest):
        left = int(rest[0])
        c.send(f"HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n".encode())
        block = bytes(range(256)) * 256
        while left > 0:
            n = min(left, len(block))
            c.send(block[:n])
            left -= n
        return True


class Process:
    """A real server. `ready` connects."""

    def __init__(self, args, port, **options):
        self.port = port
        self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
        wait_until(self.listens, what=f"{args[0]} to listen")

    @property
    def target(self):
        return f"127.0.0.1:{self.port}"

    def listens(self):
        assert self.process.poll() is None, "the upstream ended"
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def nginx(folder):
    port = free_port()
    (folder / "www").mkdir(parents=True, exist_ok=True)
    (folder / "www" / "file.bin").write_bytes(bytes(range(256)) * 4096)
    (folder / "nginx.conf").write_text(f"""
daemon off; {"user root;" if os.geteuid() == 0 else ""} worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_requests 100000;
  server {{
    listen 127.0.0.1:{port}; root {folder}/www;
    location /headers {{ return 200 "$http_host|$http_x_forwarded_for|$http_x_consumer_username|$request_uri"; }}
    location /moved {{ return 301 /elsewhere; }}
  }}
}}
""")
    return Process(["/usr/sbin/nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")], port)


def haproxy(folder):
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "haproxy.cfg").write_text(f"""
global
  maxconn 200
defaults
  mode http
  timeout client 20s
  timeout server 20s
  timeout connect 2s
frontend f
  bind 127.0.0.1:{port}
  http-request return status 200 content-type text/plain lf-string "%[method] %[path] %[req.hdr(x-forwarded-for)]"
""")
    return Process(["/usr/sbin/haproxy", "-f", str(folder / "haproxy.cfg"), "-db"], port)


NODE = """
const http = require('http');
http.createServer((q, a) => {
  let n = 0;
  q.on('data', d => { n += d.length; });
  q.on('end', () => {
    a.setHeader('Trailer', 'X-Sum');
    a.write('node ' + q.method + ' ' + q.url + ' ');
    a.addTrailers({'X-Sum': String(n)});
    a.end(String(n));
  });
}).listen(+process.argv[1], '127.0.0.1');
"""


def node():
    port = free_port()
    return Process([shutil.which("node"), "-e", NODE, str(port)], port)


class Gateway(Server):
    """A server whose gateway has this document; written as JSON, which is YAML too."""

    def __init__(self, binary, folder, document, *args, **options):
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "kong.yml"
        self.write(document)
        super().__init__(binary, folder, "--gateway-file", str(self.file), *args, **options)

    def write(self, document):
        text = json.dumps({"_format_version": "3.0", **document})
        temporary = self.file.with_suffix(".new")
        temporary.write_text(text)
        os.replace(temporary, self.file)

    def reload(self):
        """SIGHUP, and waits until it is done."""
        after = len(self.log)
        self.signal(signal.SIGHUP)
        self.wait_log(lambda line: line.get("message") == "settings were read again", after=after)

    def metric(self, name, **labels):
        total = 0.0
        for line in self.get("/metrics").text.splitlines():
            match = re.match(rf"{name}(?:{{(.*)}})? (\S+)$", line)
            if match and all(f'{k}="{v}"' in (match[1] or "") for k, v in labels.items()):
                total += float(match[2])
        return total


def service(name, host, port=80, path=None, route=None, **fields):
    """A service with a route of its name, whose prefix is taken away."""
    document = {"name": name, "host": host, "port": port, "routes": [{"name": name, "paths": ["/" + name], **(route or {})}], **fields}
    if path:
        document["path"] = path
    return document


def upstream(name, *peers, **fields):
    return {"name": name, "targets": [{"target": p if isinstance(p, str) else p.target, "weight": 100} for p in peers], **fields}


class Grpc:
    """A gRPC upstream without a library: HTTP/2 frames by python3-h2; echoes the message, ends with trailers. Method /x.Y/Fail fails."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.serving = True
        self.seen = []
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def target(self):
        return f"127.0.0.1:{self.port}"

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        import h2.config
        import h2.connection
        import h2.events

        c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        c.initiate_connection()
        sock.sendall(c.data_to_send())
        bodies, heads = {}, {}
        while True:
            try:
                data = sock.recv(65536)
            except OSError:
                return
            if not data:
                return
            for event in c.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    heads[event.stream_id] = {n.decode(): v.decode() for n, v in event.headers}
                    bodies[event.stream_id] = b""
                elif isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] += event.data
                    c.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    self.answer(c, event.stream_id, heads[event.stream_id], bodies[event.stream_id])
            sock.sendall(c.data_to_send())

    def answer(self, c, stream, head, body):
        self.seen.append(head)
        if head[":path"].endswith("/Fail"):
            c.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "5"), ("grpc-message", "none")], end_stream=True)
            return
        if head[":path"] == "/grpc.health.v1.Health/Check":
            body = b"\0\0\0\0\2\x08" + (b"\1" if self.serving else b"\2")
        c.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        c.send_data(stream, body)
        c.send_headers(stream, [("grpc-status", "0"), ("x-sum", str(len(body)))], end_stream=True)


def grpc_call(port, path, message):
    """Headers, message and trailers of one call, by prior knowledge."""
    import h2.config
    import h2.connection
    import h2.events

    sock = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS)
    c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    c.initiate_connection()
    c.send_headers(1, [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "a"), ("content-type", "application/grpc"), ("te", "trailers")])
    c.send_data(1, b"\0" + len(message).to_bytes(4, "big") + message, end_stream=True)
    sock.sendall(c.data_to_send())
    head, body, trailers = {}, b"", {}
    with sock:
        while True:
            for event in c.receive_data(sock.recv(65536)):
                if isinstance(event, h2.events.ResponseReceived):
                    head = {n.decode(): v.decode() for n, v in event.headers}
                    # gRPC's libraries believe grpc-status in a head only when it is the end too.
                    assert "grpc-status" not in head or event.stream_ended is not None
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                    c.acknowledge_received_data(event.flow_controlled_length, 1)
                elif isinstance(event, h2.events.TrailersReceived):
                    trailers = {n.decode(): v.decode() for n, v in event.headers}
                elif isinstance(event, h2.events.StreamEnded):
                    return head, body, trailers
                elif isinstance(event, h2.events.StreamReset):
                    raise Closed(f"reset with {event.error_code}")
            sock.sendall(c.data_to_send())
