# SPDX-License-Identifier: Apache-2.0
"""Upstreams behind TLS: what is believed, what is refused, what we show of ourselves, and which HTTP is spoken. The upstreams are nginx."""

import concurrent.futures
import datetime
import ipaddress
import json
import os
import re
import subprocess
import time

import pytest
from conftest import check_end
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gateway_peer import Gateway, Peer, Process, free_port, service
from harness import Closed, wait_until

DAY = datetime.timedelta(days=1)


class Authority:
    def __init__(self, name):
        self.name, self.key = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), ec.generate_private_key(ec.SECP256R1())
        self.cert = self.sign(self.name, self.key.public_key(), [], 0, authority=True)
        self.pem = self.cert.public_bytes(serialization.Encoding.PEM).decode()

    def sign(self, name, key, names, age_days, authority=False):
        end = datetime.datetime.utcnow() + (DAY - age_days * DAY)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self.name).public_key(key).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(end - 30 * DAY).not_valid_after(end).add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, name, *hosts, age_days=0):
        """Certificate and key as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ipaddress.ip_address(h)) if h[0].isdigit() else x509.DNSName(h) for h in hosts]
        cert = self.sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key.public_key(), names, age_days)
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return cert.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


# What each upstream is: flags of `listen`, certificate, further lines of nginx.
CLIENTS = "ssl_client_certificate {folder}/ca.pem; ssl_verify_client on;"
UPSTREAMS = {
    "h2": ("ssl http2", "good", ""),
    "h1": ("ssl", "good", ""),
    "name": ("ssl http2", "other", ""),
    "expired": ("ssl http2", "expired", ""),
    "foreign": ("ssl http2", "foreign", ""),
    "mutual": ("ssl http2", "good", CLIENTS),
    "mutual1": ("ssl", "good", CLIENTS),
}


class Upstreams:
    def __init__(self, folder, peer_port):
        (folder / "www").mkdir(parents=True)
        (folder / "www" / "file.bin").write_bytes(bytes(range(256)) * 4096)
        self.ca, foreign = Authority("Tests"), Authority("Strangers")
        self.client, self.stranger = self.ca.issue("gateway"), foreign.issue("stranger")
        (folder / "ca.pem").write_text(self.ca.pem)
        pairs = {"good": self.ca.issue("upstream", "localhost", "127.0.0.1"), "other": self.ca.issue("other", "other.example"),
                 "expired": self.ca.issue("old", "localhost", age_days=3), "foreign": foreign.issue("foreign", "localhost")}
        for name, (cert, key) in pairs.items():
            (folder / f"{name}.pem").write_text(cert)
            (folder / f"{name}.key").write_text(key)
        self.ports = {name: free_port() for name in UPSTREAMS}
        servers = "".join(f"""
  server {{
    listen 127.0.0.1:{self.ports[name]} {flags}; ssl_certificate {folder}/{cert}.pem; ssl_certificate_key {folder}/{cert}.key;
    {more.format(folder=folder)} root {folder}/www;
    client_max_body_size 20m;
    location /back/ {{ proxy_pass http://127.0.0.1:{peer_port}/; proxy_http_version 1.1; proxy_buffering off; proxy_request_buffering off; proxy_next_upstream off; }}
    location /say {{ return 200 "$server_protocol|$ssl_client_s_dn|$request_uri|$http_host"; }}
  }}""" for name, (flags, cert, more) in UPSTREAMS.items())
        (folder / "nginx.conf").write_text(f"""
daemon off; {"user root;" if os.geteuid() == 0 else ""} worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log {folder}/access.log; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_requests 100000;
{servers}
}}
""")
        self.access = folder / "access.log"
        self.process = Process(["/usr/sbin/nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")], self.ports["h2"])


@pytest.fixture(scope="module")
def peer():
    made = Peer()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def upstreams(tmp_path_factory, peer):
    made = Upstreams(tmp_path_factory.mktemp("nginx"), peer.port)
    yield made
    made.process.stop()


CA_ID, CLIENT_ID = "6a8bdb2a-1bd8-4b9c-9c4c-1c60cf9d2001", "6a8bdb2a-1bd8-4b9c-9c4c-1c60cf9d2002"


def document(upstreams, names, client=None, **fields):
    made = {"ca_certificates": [{"id": CA_ID, "cert": upstreams.ca.pem}],
            "services": [service(n, "localhost", upstreams.ports[n], protocol="https", ca_certificates=[CA_ID], retries=1, **fields) for n in names]}
    if client:
        made["certificates"] = [{"id": CLIENT_ID, "cert": client[0], "key": client[1]}]
        for s in made["services"]:
            s["client_certificate"] = {"id": CLIENT_ID}
    return made


@pytest.fixture
def gateway(binary, tmp_path):
    made = []

    def make(doc, **options):
        made.append(Gateway(binary, tmp_path / f"gateway{len(made)}", doc, **options).start())
        return made[-1]

    yield make
    for one in made:
        check_end(one)


def said(answer):
    assert answer.status_code == 200, answer.text
    return answer.text.split("|")


def test_http_2_when_the_upstream_agrees(gateway, upstreams):
    g = gateway(document(upstreams, ["h2", "h1"]))
    for name, protocol in (("h2", "HTTP/2.0"), ("h1", "HTTP/1.1")):
        for i in range(20):
            assert said(g.get(f"/{name}/say/{i}?q={i}")) == [protocol, "", f"/say/{i}?q={i}", f"localhost:{upstreams.ports[name]}"]
        whole = g.get(f"/{name}/file.bin")
        assert whole.content == bytes(range(256)) * 4096
        assert g.get(f"/{name}/file.bin", headers={"Range": "bytes=1000-1019"}).content == (bytes(range(256)) * 5)[1000:1020]
        assert g.request("HEAD", f"/{name}/file.bin").headers["Content-Length"] == str(256 * 4096)
        assert g.get(f"/{name}/none").status_code == 404


def test_bodies_side_by_side_over_http_2(gateway, upstreams, peer):
    g = gateway(document(upstreams, ["h2"]))

    def echo(i):
        body = os.urandom(1 + i * 40_000)
        return g.post(f"/h2/back/echo/{i}", data=body).content == body

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        assert all(pool.map(echo, range(40)))
    assert g.metric("mainstay_upstream_connects_total") <= 8  # streams of few connections


def test_what_breaks_off_over_http_2_is_not_completed(gateway, upstreams, peer):
    g = gateway(document(upstreams, ["h2"]))
    for path in ("short", "chunks-cut"):
        with g.connect() as c:
            c.send(f"GET /h2/back/{path} HTTP/1.1\r\nHost: a\r\n\r\n")
            try:
                assert c.answer().status == 502
            except (Closed, ValueError):
                pass
    before = peer.seen("POST", "/reset")
    assert g.post("/h2/back/reset", data=b"once").status_code == 502
    assert peer.seen("POST", "/reset") == before + 1
    assert said(g.get("/h2/say"))[0] == "HTTP/2.0"


REFUSED = [
    ("name", "the certificate of the upstream is not for 'localhost' but for other.example"),
    ("expired", "the certificate of the upstream 'localhost' is not trusted: certificate has expired"),
    ("foreign", "the certificate of the upstream 'localhost' is not trusted: "),
]


@pytest.mark.parametrize("name, words", REFUSED)
def test_what_is_not_believed_is_a_502(gateway, upstreams, name, words):
    g = gateway(document(upstreams, [name, "h2"]))
    after = len(g.log)
    before = upstreams.access.read_text().count("/secret-path")
    answer = g.post(f"/{name}/secret-path", data=b"secret")
    assert answer.status_code == 502 and answer.json()["message"] == "An invalid response was received from the upstream server"
    assert answer.json()["code"] == "gateway.upstream_unreachable"
    line = g.wait_log(lambda line: line.get("message") == "a request got no answer from its target", after=after)
    assert line["log.level"] == "warn" and words in line["error.message"], line
    assert line["mainstay.gateway.target"] == f"localhost:{upstreams.ports[name]}"
    assert upstreams.access.read_text().count("/secret-path") == before  # nginx saw no request
    assert said(g.get("/h2/say"))[0] == "HTTP/2.0"
    # The operator may say that he does not care.
    g.write(document(upstreams, [name], tls_verify=False))
    g.reload()
    wait_until(lambda: g.get(f"/{name}/say").status_code == 200)


@pytest.mark.parametrize("name, protocol", [("mutual", "HTTP/2.0"), ("mutual1", "HTTP/1.1")])
def test_client_certificates(gateway, upstreams, name, protocol):
    g = gateway(document(upstreams, [name], upstreams.client))
    for _ in range(5):
        assert said(g.get(f"/{name}/say"))[:2] == [protocol, "CN=gateway"]
    g.write(document(upstreams, [name]))
    g.reload()
    wait_until(lambda: g.get(f"/{name}/say").status_code != 200)
    assert g.get(f"/{name}/say").status_code in (400, 502)  # nginx: No required SSL certificate was sent
    g.write(document(upstreams, [name], upstreams.stranger))
    g.reload()
    wait_until(lambda: b"No required" not in g.get(f"/{name}/say").content)
    assert g.get(f"/{name}/say").status_code in (400, 502)


def put(gateway, doc):
    return gateway.request("PUT", "/gateway/v1/config", data=json.dumps({"_format_version": "3.0", **doc}), headers={"Content-Type": "application/yaml"})


def broken(upstreams, what):
    """A document with one thing that cannot be used; and where and how that must be told."""
    doc = document(upstreams, ["h2"], upstreams.client)
    if what == "authority":
        doc["ca_certificates"][0]["cert"] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        return doc, "services[0].ca_certificates", "the authority 1 for an upstream is no readable PEM certificate"
    if what == "certificate":
        doc["certificates"][0]["cert"] = "no PEM"
        return doc, "services[0].client_certificate", "the client certificate for an upstream is no usable PEM certificate"
    if what == "key":
        doc["certificates"][0]["key"] = upstreams.stranger[1]
        return doc, "services[0].client_certificate", "the key for an upstream does not belong to the client certificate"
    doc["services"][0]["host"] = "1::2::3"
    return doc, "services[0].host", "is no name and no address"


@pytest.mark.parametrize("what", ["authority", "certificate", "key", "host"])
def test_what_cannot_be_used_changes_nothing(gateway, upstreams, binary, tmp_path, what):
    g = gateway(document(upstreams, ["h2"], upstreams.client), auth=True)
    doc, path, words = broken(upstreams, what)
    answer = put(g, doc)
    assert answer.status_code == 400, answer.text
    assert [p["path"] for p in answer.json()["problems"]] == [path] and words in answer.json()["problems"][0]["message"]
    check = g.request("POST", "/gateway/v1/config/check", data=json.dumps(doc), headers={"Content-Type": "application/yaml"})
    assert check.status_code == 400
    assert g.get("/gateway/v1/history").json()["items"] == []  # nothing was stored
    file = tmp_path / "bad.yml"
    file.write_text(json.dumps({"_format_version": "3.0", **doc}))
    for verb, *args in (("check", []), ("apply", ["--data-dir", str(g.folder / "data")])):
        done = subprocess.run([binary, "gateway", verb, str(file), *args[0]], env=g.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and words in done.stderr and re.search(r"bad\.yml:\d+: " + re.escape(path), done.stderr), done
    after = len(g.log)
    g.write(doc)
    g.reload()
    line = g.wait_log(lambda line: line.get("message") == "the gateway's file is wrong; the present plan stays", after=after)
    assert words in line["error.message"]
    assert g.get("/gateway/v1/history").json()["items"] == []
    assert said(g.get("/h2/say"))[0] == "HTTP/2.0"
    # A first version is made on what is in force, not on the file that was refused.
    assert g.request("PUT", "/gateway/v1/consumers/anna", json={}).json()["changes"] == ["added consumer anna"]
    time.sleep(0.2)
    assert said(g.get("/h2/say"))[0] == "HTTP/2.0"
