# SPDX-License-Identifier: Apache-2.0
"""Servers of other people that write down each whole request which reached them, and say it back: what a gateway really sent."""

import json
import re
import shutil
import sys

import gateway_peer
from gateway_peer import Peer, Process, free_port
from harness import wait_until

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class Strict(Peer):
    """Our own: takes nothing that RFC 9112 does not allow a sender to write, and says so in `bad`."""

    def __init__(self):
        self.bad = []
        super().__init__()

    def one(self, c):
        if not c.buffer and not c.receive():
            return False
        head = c.read_until(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        request = {"line": line, "headers": [f.partition(":")[::2] for f in fields]}
        problem = self.problem(line, fields)
        if problem:
            self.bad.append((problem, head))
            return False
        headers = [(n.lower(), v.strip()) for n, v in request["headers"]]
        body, trailers = b"", {}
        for name, value in headers:
            if name == "content-length":
                body = c.read_exactly(int(value))
            if name == "transfer-encoding":
                body, trailers = self.read_chunks(c)
        method, path, _ = line.split(" ")
        seen = {"method": method, "path": path, "headers": headers, "body": body.decode("latin-1"), "trailers": trailers}
        self.requests.append(seen)
        text = json.dumps(seen).encode()
        c.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n".encode() + (b"" if method == "HEAD" else text))
        return True

    def problem(self, line, fields):
        if not re.fullmatch(r"[A-Z]+ [\x21-\x7e]+ HTTP/1\.1", line):
            return "request line"
        names = [f.partition(":")[0].lower() for f in fields]
        if any(":" not in f or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", f) for f in fields) or not all(map(TOKEN.fullmatch, names)):
            return "field"
        if names.count("host") != 1 or names.count("content-length") + names.count("transfer-encoding") > 1:
            return "framing"
        values = {n: f.partition(":")[2].strip() for n, f in zip(names, fields)}
        if not re.fullmatch(r"[0-9]+", values.get("content-length", "0")) or values.get("transfer-encoding", "chunked") != "chunked":
            return "framing"
        return None

    def read_chunks(self, c):
        body = b""
        while True:
            line = c.read_until(b"\r\n")
            if not re.fullmatch(rb"[0-9a-fA-F]{1,8}", line):
                self.bad.append(("chunk size", line))
                raise ValueError(line)
            if int(line, 16) == 0:
                return body, self.read_trailers(c)
            body += c.read_exactly(int(line, 16))
            if c.read_exactly(2) != b"\r\n":
                self.bad.append(("chunk end", line))
                raise ValueError(line)

    def read_trailers(self, c):
        trailers = {}
        while line := c.read_until(b"\r\n").decode("latin-1"):
            name, _, value = line.partition(":")
            if self.problem("GET / HTTP/1.1", ["Host: a", line]):
                self.bad.append(("trailer", line))
                raise ValueError(line)
            trailers[name.lower()] = value.strip()
        return trailers

    def seen(self):
        return list(self.requests)

    def refused(self):
        return list(self.bad)

    def stop(self):
        if not self.stopped:
            super().stop()


NODE = """
const http = require('http'), fs = require('fs');
const log = x => fs.appendFileSync(process.argv[2], JSON.stringify(x) + '\\n');
http.createServer((q, a) => {
  const parts = [];
  q.on('data', d => parts.push(d));
  q.on('end', () => {
    const headers = [];
    for (let i = 0; i < q.rawHeaders.length; i += 2) headers.push([q.rawHeaders[i].toLowerCase(), q.rawHeaders[i + 1]]);
    const trailers = {};
    for (let i = 0; i < q.rawTrailers.length; i += 2) trailers[q.rawTrailers[i].toLowerCase()] = q.rawTrailers[i + 1];
    const seen = {method: q.method, path: q.url, headers, trailers, body: Buffer.concat(parts).toString('latin1')};
    log(seen);
    a.end(JSON.stringify(seen));
  });
}).on('clientError', (e, s) => {
  if (/^HPE_/.test(e.code || '') && e.code !== 'HPE_INVALID_EOF_STATE') log({bad: e.code});
  s.destroy();
}).listen(+process.argv[1], '127.0.0.1');
"""

UVICORN = """
import json
import sys

async def app(scope, receive, send):
    if scope['type'] != 'http':
        return
    body = b''
    while True:
        event = await receive()
        if event['type'] != 'http.request':
            return
        body += event.get('body', b'')
        if not event.get('more_body'):
            break
    path = (scope.get('raw_path') or scope['path'].encode()).decode('latin-1')
    if scope['query_string'] and '?' not in path:
        path += '?' + scope['query_string'].decode('latin-1')
    seen = {'method': scope['method'], 'path': path, 'headers': [(n.decode('latin-1'), v.decode('latin-1')) for n, v in scope['headers']],
            'body': body.decode('latin-1')}
    with open(sys.argv[2], 'a') as f:
        f.write(json.dumps(seen) + '\\n')
    text = json.dumps(seen).encode()
    await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-length', str(len(text)).encode())]})
    await send({'type': 'http.response.body', 'body': text})

import uvicorn
uvicorn.run(app, host='127.0.0.1', port=int(sys.argv[1]), http='h11', loop='asyncio', lifespan='off', log_level='critical')
"""

HTTP_SERVER = """
import http.server
import json
import sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def chunks(self):
        body = b''
        while True:
            line = self.rfile.readline()
            if not line:
                raise ConnectionError
            size = int(line, 16)
            if size == 0:
                while self.rfile.readline() not in (b'\\r\\n', b''):
                    pass
                return body
            data = self.rfile.read(size + 2)
            if len(data) < size + 2:
                raise ConnectionError
            body += data[:-2]

    def serve(self):
        length = int(self.headers.get('Content-Length') or 0)
        body = self.chunks() if 'Transfer-Encoding' in self.headers else self.rfile.read(length)
        if 'Transfer-Encoding' not in self.headers and len(body) < length:
            raise ConnectionError
        seen = {'method': self.command, 'path': self.path, 'headers': [(n.lower(), v) for n, v in self.headers.items()], 'body': body.decode('latin-1')}
        with open(sys.argv[2], 'a') as f:
            f.write(json.dumps(seen) + '\\n')
        text = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = do_TRACE = serve

    def send_error(self, code, *_):
        with open(sys.argv[2], 'a') as f:
            f.write(json.dumps({'bad': code}) + '\\n')
        self.close_connection = True

    def log_message(self, *_):
        pass

class Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass

Quiet(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
"""


class Program(Process):
    """A server that writes lines of JSON to a file."""

    def __init__(self, folder, *command):
        folder.mkdir(parents=True)
        self.file = folder / "seen.jsonl"
        self.file.touch()
        port = free_port()
        super().__init__([*command, str(port), str(self.file)], port)

    def lines(self):
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    def seen(self):
        return [line for line in self.lines() if "bad" not in line]

    def refused(self):
        return [line for line in self.lines() if "bad" in line]


class Proxied(Process):
    """nginx or HAProxy before a strict peer of ours; its own log tells what it refused."""

    def __init__(self, folder, program):
        folder.mkdir(parents=True)
        self.behind = Strict()
        self.log = folder / "access.log"
        self.log.touch()
        port = free_port()
        getattr(self, program)(folder, port)

    def nginx(self, folder, port):
        (folder / "nginx.conf").write_text(f"""
daemon off; {"user root;" if gateway_peer.os.geteuid() == 0 else ""} worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  log_format status "$status $upstream_status $request";
  access_log {self.log} status; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_requests 100000;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{self.behind.port}; proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_set_header Connection ""; }}
  }}
}}
""")
        super().__init__(["/usr/sbin/nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")], port)

    def haproxy(self, folder, port):
        (folder / "haproxy.cfg").write_text(f"""
global
  maxconn 200
defaults
  mode http
  option dontlognull
  timeout client 20s
  timeout server 20s
  timeout connect 2s
frontend f
  bind 127.0.0.1:{port}
  log stdout format raw local0
  log-format "%ST %ts %r"
  default_backend b
backend b
  server s 127.0.0.1:{self.behind.port}
""")
        super().__init__(["/bin/sh", "-c", f"exec /usr/sbin/haproxy -f {folder}/haproxy.cfg -db >{self.log}"], port)

    def seen(self):
        return self.behind.seen()

    def refused(self):
        """Requests that it answered 400 itself; what is cut before its end counts elsewhere."""
        own = [line for line in self.log.read_text(errors="replace").splitlines() if re.match(r"400 (- |PR)", line)]
        return own + self.behind.refused()

    def stop(self):
        super().stop()
        self.behind.stop()


class Own:
    def __init__(self):
        self.peer = Strict()
        self.port = self.peer.port
        self.seen, self.refused, self.stop = self.peer.seen, self.peer.refused, self.peer.stop


MAKERS = {
    "strict": lambda folder: Own(),
    "nginx": lambda folder: Proxied(folder, "nginx"),
    "haproxy": lambda folder: Proxied(folder, "haproxy"),
    "node": lambda folder: Program(folder, shutil.which("node"), "-e", NODE),
    "uvicorn": lambda folder: Program(folder, sys.executable, "-c", UVICORN),
    "httpserver": lambda folder: Program(folder, sys.executable, "-c", HTTP_SERVER),
}


def settled(server):
    """What the server has seen, when nothing more comes for a moment."""
    last = [None]

    def same():
        now = len(server.seen())
        before, last[0] = last[0], now
        return before == now

    wait_until(same, what="no more requests", pause=0.25)
    return server.seen()
