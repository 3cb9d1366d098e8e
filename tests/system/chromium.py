# SPDX-License-Identifier: Apache-2.0
"""Chromium without a screen, driven by its own protocol over a pipe: no further package is needed."""

import fcntl
import json
import os
import select
import signal
import subprocess
import time

ANSWER_SECONDS = 60


def above(descriptor):
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 64)


class Chromium:
    def __init__(self, program, folder):
        read_commands, self.commands = os.pipe()
        self.answers, write_answers = os.pipe()
        # The program reads commands from descriptor 3 and writes answers to 4; high numbers first, so that neither is overwritten.
        pair = (above(read_commands), above(write_answers))

        def prepare():
            os.dup2(pair[0], 3, inheritable=True)
            os.dup2(pair[1], 4, inheritable=True)
            os.setsid()

        self.process = subprocess.Popen(
            [program, "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--disable-background-networking", "--disable-component-update", f"--user-data-dir={folder}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=prepare, close_fds=False,
            env={**os.environ, "HOME": str(folder), "NO_PROXY": "localhost", "no_proxy": "localhost"})
        for descriptor in (read_commands, write_answers, *pair):
            os.close(descriptor)
        self.number, self.rest = 0, b""

    def receive(self, end):
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.answers], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise AssertionError("chromium does not answer")
            part = os.read(self.answers, 65536)
            if not part:
                raise AssertionError("chromium ended")
            self.rest += part
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def send(self, method, session=None, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params, **({"sessionId": session} if session else {})}
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + ANSWER_SECONDS
        while True:
            answer = self.receive(end)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def page(self, url):
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        page.send("Page.enable")
        page.send("Page.navigate", url=url)
        end = time.monotonic() + ANSWER_SECONDS
        while page.evaluate("location.href + document.readyState") != url + "complete":
            assert time.monotonic() < end, "the page does not load"
            time.sleep(0.1)
        return page

    def close(self):
        os.close(self.commands)
        os.close(self.answers)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # its own session: its helpers too
        except ProcessLookupError:
            pass
        self.process.wait()


class Page:
    def __init__(self, chromium, session):
        self.chromium, self.session, self.authenticator = chromium, session, None

    def send(self, method, **params):
        return self.chromium.send(method, session=self.session, **params)

    def evaluate(self, text):
        answer = self.send("Runtime.evaluate", expression=text, awaitPromise=True, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"].get("exception", answer["exceptionDetails"])
        return answer["result"].get("value")

    def call(self, function, argument):
        return self.evaluate(f"({function})({json.dumps(argument)})")

    def virtual_authenticator(self):
        self.send("WebAuthn.enable")
        self.authenticator = self.send("WebAuthn.addVirtualAuthenticator", options={
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True,
            "automaticPresenceSimulation": True})["authenticatorId"]

    def verify_user(self, verified):
        self.send("WebAuthn.setUserVerified", authenticatorId=self.authenticator, isUserVerified=verified)
