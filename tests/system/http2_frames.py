# SPDX-License-Identifier: Apache-2.0
"""Frames of HTTP/2 written by hand, and the cases of tests/vectors/http2.txt, whose head says how they are written."""

import socket
import time
from pathlib import Path

VECTORS = Path(__file__).parents[1] / "vectors" / "http2.txt"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
TYPES = ["data", "headers", "priority", "rst", "settings", "push", "ping", "goaway", "window", "cont"]
ERRORS = ["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
          "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"]
DATA, HEADERS, RST, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7


def frame(kind, flags, stream, payload=b""):
    kind = TYPES.index(kind) if isinstance(kind, str) else kind
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def field(name, value):
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def request(method, path, **more):
    fields = {":method": method, ":scheme": "http", ":authority": "a.test", ":path": path, **more}
    return b"".join(field(name, value) for name, value in fields.items())


class Peer:
    """A raw connection; everything that came is in .frames as (type, flags, stream, payload)."""

    def __init__(self, port, timeout=10, wrap=None):
        sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = wrap(sock) if wrap else sock
        self.rest = b""
        self.frames = []
        self.closed = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def start(self):
        self.send(PREFACE + frame("settings", 0, 0) + frame("settings", 1, 0))
        return self

    def send(self, data):
        """What the server does not take any more because it has closed is no failure."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def receive(self):
        try:
            got = self.sock.recv(1 << 16)
        except ConnectionResetError:
            got = b""
        self.closed = self.closed or not got
        self.rest += got
        while len(self.rest) >= 9:
            n = int.from_bytes(self.rest[:3], "big")
            if len(self.rest) < 9 + n:
                break
            self.frames.append((self.rest[3], self.rest[4], int.from_bytes(self.rest[5:9], "big") & 0x7FFFFFFF, self.rest[9:9 + n]))
            self.rest = self.rest[9 + n:]

    def wait(self, condition, seconds=5):
        """Reads until the condition holds; false when it does not in time, or never will."""
        end = time.monotonic() + seconds
        while not condition():
            left = end - time.monotonic()
            if self.closed or left <= 0:
                return False
            self.sock.settimeout(left)
            try:
                self.receive()
            except TimeoutError:
                return False
        return True

    def find(self, kind, stream=None):
        return [f for f in self.frames if f[0] == kind and (stream is None or f[2] == stream)]

    def goaway(self, error):
        return any(f[3][4:8] == ERRORS.index(error).to_bytes(4, "big") for f in self.find(GOAWAY))

    def reset(self, stream, error):
        return any(f[3] == ERRORS.index(error).to_bytes(4, "big") for f in self.find(RST, stream))

    def ended(self, stream):
        return any(f[1] & 1 for f in self.find(DATA, stream) + self.find(HEADERS, stream))

    def pong(self, payload):
        return any(f[1] & 1 and f[3] == payload for f in self.find(PING))

    def body(self, stream):
        return b"".join(f[3] for f in self.find(DATA, stream))


class Case:
    """Runs the lines of one case against a peer; `paths` are those of GET and POST."""

    def __init__(self, title, lines, paths):
        self.title, self.lines, self.paths = title, lines, paths
        self.out = b"" if "> bare" in lines else PREFACE + frame("settings", 0, 0) + frame("settings", 1, 0)

    def part(self, text):
        kind, colon, value = text.partition(":")
        if not colon:
            requests = {"get": ("GET", self.paths[0]), "head": ("HEAD", self.paths[0]), "post": ("POST", self.paths[1]), "options": ("OPTIONS", "*")}
            return request(*requests[text]) if text in requests else bytes.fromhex(text)
        simple = {"h": bytes.fromhex, "s": str.encode, "z": lambda n: bytes(int(n)), "x": lambda n: b"x" * int(n),
                  "u32": lambda n: int(n).to_bytes(4, "big"), "u16": lambda n: int(n).to_bytes(2, "big")}
        if kind == "f":
            at = value.index("=", 1)
            return field(value[:at], value[at + 1:])
        return simple[kind](value)

    def payload(self, parts):
        return b"".join(self.part(p) for p in parts)

    def frame(self, words):
        kind = TYPES.index(words[0]) if words[0] in TYPES else int(words[0][1:], 16)
        stream = int(words[1], 16 if len(words[1]) == 8 else 10)
        return frame(kind, int(words[2], 16), stream, self.payload(words[3:]))

    def line_out(self, words):
        post = self.payload(["post"])
        if words[0] == "bare":
            return b""
        if words[0] == "bytes":
            return self.payload(words[1:])
        if words[0] == "repeat":
            return self.frame(words[2:]) * int(words[1])
        if words[0] == "many":
            return b"".join(frame("headers", 4, 2 * i + 1, post) for i in range(int(words[1])))
        if words[0] == "rapid":
            return b"".join(frame("headers", 4, 2 * i + 1, post) + frame("rst", 0, 2 * i + 1, b"\0\0\0\x08") for i in range(int(words[1])))
        if words[0] == "malformed":
            return b"".join(frame("headers", 5, 2 * i + 1, field("x-a", "1")) for i in range(int(words[1])))
        if words[0] == "bomb":
            return frame("headers", 5, int(words[1]), self.payload(["get"]) + b"\xbe" * 16000)
        return self.frame(words)

    def is_met(self, peer, words):
        what, rest = words[0], words[1:]
        if what == "alive":
            return peer.pong(b"are you?")
        if what == "onlypong":
            return peer.pong(bytes.fromhex(rest[0])) and len(peer.find(PING)) == 1
        if what == "data":
            frames = peer.find(DATA, int(rest[0]))
            return bool(frames) and len(frames[0][3]) == int(rest[1])
        checks = {"goaway": lambda: peer.goaway(rest[0]), "reset": lambda: peer.reset(int(rest[0]), rest[1]),
                  "answer": lambda: bool(peer.find(HEADERS, int(rest[0]))), "end": lambda: peer.ended(int(rest[0])),
                  "pong": lambda: peer.pong(bytes.fromhex(rest[0])), "closed": lambda: peer.closed,
                  "ack": lambda: any(f[1] & 1 for f in peer.find(SETTINGS)),
                  "last": lambda: any(int.from_bytes(f[3][:4], "big") == int(rest[0]) for f in peer.find(GOAWAY))}
        return checks[what]()

    def run(self, peer):
        """The lines that were not met."""
        missed = []
        for line in self.lines:
            words = line[2:].split()
            if line.startswith(">"):
                self.out += self.line_out(words)
                continue
            choices = [choice.split() for choice in line[2:].split("|")]
            if ["alive"] in choices:
                self.out += frame("ping", 0, 0, b"are you?")
            peer.send(self.out)
            self.out = b""
            if not peer.wait(lambda: any(self.is_met(peer, c) for c in choices), 3) and not (["closed"] in choices and peer.closed):
                missed.append(line)
        return missed


def cases(paths):
    made, title, lines = [], None, []
    for line in VECTORS.read_text().splitlines() + ["[end]"]:
        if line.startswith("["):
            if title:
                made.append(Case(title, lines, paths))
            title, lines = line[1:-1], []
        elif line[:1] in ("<", ">"):
            lines.append(line)
    return made
