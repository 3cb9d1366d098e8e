# SPDX-License-Identifier: Apache-2.0
"""An authenticator and the browser around it (Web Authentication Level 3), in software: with every knob that a dishonest one would turn."""

import base64
import hashlib
import json
import os
import struct

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

UP, UV, BE, BS, AT, ED = 1, 4, 8, 16, 64, 128
ES256, EDDSA, RS256 = -7, -8, -257


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def cbor(value):
    """Of what is needed here; maps in the order given."""

    def head(major, n):
        if n < 24:
            return bytes([major << 5 | n])
        if n < 256:
            return bytes([major << 5 | 24, n])
        return bytes([major << 5 | 25]) + struct.pack(">H", n)

    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    return head(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())


class Passkey:
    def __init__(self, alg=ES256):
        self.alg, self.id, self.count = alg, os.urandom(32), 0
        self.key = (ec.generate_private_key(ec.SECP256R1()) if alg == ES256 else ed25519.Ed25519PrivateKey.generate() if alg == EDDSA
                    else rsa.generate_private_key(65537, 2048))

    def cose(self):
        public = self.key.public_key()
        if self.alg == ES256:
            n = public.public_numbers()
            return {1: 2, 3: ES256, -1: 1, -2: n.x.to_bytes(32, "big"), -3: n.y.to_bytes(32, "big")}
        if self.alg == EDDSA:
            return {1: 1, 3: EDDSA, -1: 6, -2: public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)}
        n = public.public_numbers()
        return {1: 3, 3: RS256, -1: n.n.to_bytes(256, "big"), -2: n.e.to_bytes(3, "big")}

    def sign(self, message):
        if self.alg == ES256:
            return self.key.sign(message, ec.ECDSA(hashes.SHA256()))
        return self.key.sign(message) if self.alg == EDDSA else self.key.sign(message, padding.PKCS1v15(), hashes.SHA256())


class Browser:
    """Answers options of the server with a passkey; each answer may be bent with keywords."""

    def __init__(self, origin="http://localhost:8080"):
        self.origin = origin
        self.user_handle = None

    def client_data(self, kind, challenge, more):
        data = {"type": more.pop("type", kind), "challenge": more.pop("challenge", challenge), "origin": more.pop("origin", self.origin),
                "crossOrigin": more.pop("cross_origin", False), **more.pop("client", {})}
        return json.dumps(data).encode()

    def create(self, options, passkey, **more):
        self.user_handle = options["user"]["id"]
        client = self.client_data("webauthn.create", options["challenge"], more)
        flags = more.pop("flags", UP | UV) | AT
        rp_id = more.pop("rp_id", options["rp"]["id"])
        key = more.pop("key", None) or cbor(passkey.cose())
        credential_id = more.pop("credential_id", passkey.id)
        data = (hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + struct.pack(">I", passkey.count) + bytes(16)
                + struct.pack(">H", len(credential_id)) + credential_id + key + more.pop("behind", b""))
        statement = more.pop("statement", {"fmt": "none", "attStmt": {}})
        attestation = more.pop("attestation", None) or cbor({**statement, "authData": data})
        assert not more, more
        return {"id": b64(passkey.id), "rawId": b64(passkey.id), "type": "public-key", "authenticatorAttachment": "platform",
                "response": {"clientDataJSON": b64(client), "attestationObject": b64(attestation), "transports": ["internal", "hybrid"]},
                "clientExtensionResults": {"credProps": {"rk": True}}}

    def get(self, options, passkey, **more):
        client = self.client_data("webauthn.get", options["challenge"], more)
        passkey.count = more.pop("count", passkey.count + 1)
        data = (hashlib.sha256(more.pop("rp_id", options["rpId"]).encode()).digest() + bytes([more.pop("flags", UP | UV)])
                + struct.pack(">I", passkey.count) + more.pop("behind", b""))
        signature = passkey.sign(more.pop("signed", data + hashlib.sha256(client).digest()))
        handle = more.pop("user_handle", self.user_handle)
        response = {"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature)}
        if handle is not None:
            response["userHandle"] = handle
        assert not more, more
        return {"id": b64(passkey.id), "rawId": b64(passkey.id), "type": "public-key", "response": response, "clientExtensionResults": {}}
