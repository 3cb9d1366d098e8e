# SPDX-License-Identifier: Apache-2.0
"""An OpenID Connect provider for tests that does what it is told to, right or wrong."""

import base64
import hashlib
import http.server
import json
import secrets
import ssl
import threading
import time
import urllib.parse

import jwt
from cryptography.hazmat.primitives.asymmetric import ec


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    def __init__(self, kid):
        self.kid, self.private = kid, ec.generate_private_key(ec.SECP256R1())

    def public(self):
        return {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.private.public_key())), "kid": self.kid, "alg": "ES256", "use": "sig"}

    def sign(self, claims, **header):
        return jwt.encode(claims, self.private, algorithm="ES256", headers={"kid": self.kid, **header})


class Provider:
    """`discovery`, `claims` and `answer` change what it says; `sign` how; `delay_s` and `bodies` by path how it answers."""

    client_id, client_secret = "mainstay test", "s:e c/ret+%"

    def __init__(self, certificate=None):
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                provider.handle(self, b"")

            def do_POST(self):
                provider.handle(self, self.rfile.read(int(self.headers["Content-Length"])))

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.issuer = f"http{'s' if certificate else ''}://127.0.0.1:{self.http.server_address[1]}"
        self.keys = [Key("one")]
        self.requests = []
        self.codes, self.subject = {}, None
        self.reset()
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def reset(self):
        self.discovery, self.claims, self.answer, self.bodies, self.userinfo = {}, {}, {}, {}, {}
        self.delay_s, self.status, self.sign, self.published = {}, {}, None, None

    def stop(self):
        self.http.shutdown()
        self.http.server_close()

    def handle(self, request, body):
        path = urllib.parse.urlsplit(request.path).path
        self.requests.append(path)
        time.sleep(self.delay_s.get(path, 0))
        made = {"/.well-known/openid-configuration": self.document, "/jwks": self.jwks, "/token": lambda: self.token(request, body),
                "/me": lambda: {"sub": self.subject, **self.userinfo}}.get(path)
        status, content = (404, {}) if made is None else (self.status.get(path, 200), made())
        if isinstance(content, tuple):
            status, content = content
        data = self.bodies.get(path) or json.dumps(content).encode()
        try:
            request.send_response(status)
            if status == 302:
                request.send_header("Location", self.issuer + "/elsewhere")
            request.send_header("Content-Type", "application/json")
            request.send_header("Content-Length", str(len(data)))
            request.end_headers()
            request.wfile.write(data)
        except OSError:
            pass

    def document(self):
        return {"issuer": self.issuer, "authorization_endpoint": self.issuer + "/authorize", "token_endpoint": self.issuer + "/token", "jwks_uri": self.issuer + "/jwks",
                "userinfo_endpoint": self.issuer + "/me", "authorization_response_iss_parameter_supported": True, "response_types_supported": ["code"],
                "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"], **self.discovery}

    def jwks(self):
        return {"keys": [key.public() for key in (self.published if self.published is not None else self.keys)]}

    def grant(self, query, subject, **claims):
        """A code for what an authorization request asked, as if the person had signed in."""
        code = secrets.token_urlsafe(12)
        self.codes[code] = (query, subject, claims)
        return code

    def token(self, request, body):
        form = dict(urllib.parse.parse_qsl(body.decode(), strict_parsing=True))
        name, _, secret = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode().partition(":")
        if (urllib.parse.unquote_plus(name), urllib.parse.unquote_plus(secret)) != (self.client_id, self.client_secret):
            return 401, {"error": "invalid_client"}
        query, subject, extra = self.codes.pop(form["code"], (None, None, None))
        if query is None or form["redirect_uri"] != query["redirect_uri"] or b64(hashlib.sha256(form["code_verifier"].encode()).digest()) != query["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        self.subject = subject
        now = int(time.time())
        access = secrets.token_urlsafe(16)
        claims = {"iss": self.issuer, "sub": subject, "aud": self.client_id, "iat": now, "exp": now + 300, "nonce": query["nonce"],
                  "at_hash": b64(hashlib.sha256(access.encode()).digest()[:16]), **extra, **self.claims}
        claims = {k: v for k, v in claims.items() if v is not None}
        token = self.sign(claims) if self.sign else self.keys[0].sign(claims)
        return {"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": token, **self.answer}
