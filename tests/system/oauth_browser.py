# SPDX-License-Identifier: Apache-2.0
"""A person with a browser, and a client, for the tests of the OAuth provider: cookies are kept, forms are read and filled in, no redirect is followed unasked."""

import base64
import hashlib
import html.parser
import secrets
import urllib.parse

import requests


class Forms(html.parser.HTMLParser):
    """The forms of a page, and its text."""

    def __init__(self, page):
        super().__init__()
        self.forms, self.text, self.tags = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if tag == "form":
            self.forms.append({"action": attrs.get("action", ""), "method": attrs.get("method", "get"), "fields": {}, "buttons": []})
        elif tag == "input" and self.forms and attrs.get("name"):
            self.forms[-1]["fields"][attrs["name"]] = attrs.get("value", "")
        elif tag == "button" and self.forms and attrs.get("name"):
            self.forms[-1]["buttons"].append((attrs["name"], attrs.get("value", "")))

    def handle_data(self, data):
        self.text.append(data)


class Page:
    def __init__(self, answer):
        self.answer, self.status, self.headers, self.body = answer, answer.status_code, answer.headers, answer.text
        parsed = Forms(answer.text) if "html" in answer.headers.get("Content-Type", "") else None
        self.forms = parsed.forms if parsed else []
        self.tags = parsed.tags if parsed else []
        self.text = " ".join(" ".join(parsed.text).split()) if parsed else ""

    @property
    def location(self):
        return self.headers.get("Location")

    @property
    def form(self):
        assert len(self.forms) == 1, self.body
        return self.forms[0]

    def json(self):
        return self.answer.json()

    def __repr__(self):
        return f"<{self.status} {self.location or self.text[:300] or self.body[:300]}>"


class Browser:
    def __init__(self, server):
        self.server = server
        self.session = requests.Session()
        self.session.trust_env = False
        self.at = None

    def url(self, target):
        base = self.at or f"{self.server.url}/oauth/authorize"
        return urllib.parse.urljoin(base, target)

    def get(self, target, **kwargs):
        url = self.url(target)
        page = Page(self.session.get(url, allow_redirects=False, timeout=30, **kwargs))
        self.at = url
        return page

    def post(self, target, fields, **kwargs):
        url = self.url(target)
        page = Page(self.session.post(url, data=fields, allow_redirects=False, timeout=30, **kwargs))
        self.at = url
        return page

    def submit(self, page, **fields):
        form = page.form
        return self.post(form["action"], {**form["fields"], **fields})

    def follow(self, page):
        """Redirects of our own, until there is a page or a redirect to somebody else."""
        for _ in range(10):
            if page.status != 303 or not self.url(page.location).startswith(self.server.url + "/oauth/"):
                return page
            page = self.get(page.location)
        raise AssertionError("redirects go on and on")

    @property
    def cookie(self):
        return self.session.cookies.get("mainstay")


class Client:
    """An OAuth client as it was registered, and what it sends."""

    def __init__(self, server, body):
        self.server, self.__dict__["made"] = server, body
        self.id, self.secret = body["id"], body.get("secret")
        self.redirect = body["redirect_uris"][0] if body["redirect_uris"] else None
        self.verifier = secrets.token_urlsafe(48)
        self.state = secrets.token_urlsafe(12)

    @property
    def challenge(self):
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()

    def request(self, scope="openid", **changes):
        fields = {"response_type": "code", "client_id": self.id, "redirect_uri": self.redirect, "scope": scope, "state": self.state,
                  "code_challenge": self.challenge, "code_challenge_method": "S256", **changes}
        return {k: v for k, v in fields.items() if v is not None}

    def authorize_path(self, scope="openid", **changes):
        return "/oauth/authorize?" + urllib.parse.urlencode(self.request(scope, **changes))

    def post(self, path, fields, basic=True, **kwargs):
        auth = (self.id, self.secret) if basic and self.secret else None
        fields = dict(fields) if isinstance(fields, dict) else fields
        if not auth and isinstance(fields, dict):
            fields.setdefault("client_id", self.id)
        return Page(requests.post(self.server.url + path, data=fields, auth=auth, timeout=30, allow_redirects=False, **kwargs))

    def token(self, basic=True, **fields):
        return self.post("/oauth/token", {k: v for k, v in fields.items() if v is not None}, basic)

    def redeem(self, code, **changes):
        return self.token(**{"grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect, "code_verifier": self.verifier, **changes})


def answer_of(page):
    """The parameters of a redirect to a client."""
    assert page.status == 303, page
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(page.location).query, strict_parsing=True))


def sign_in(browser, path, user, password):
    """From the login page to what comes behind it."""
    page = browser.get(path)
    assert page.status == 200 and "password" in page.form["fields"], page
    return browser.follow(browser.submit(page, username=user, password=password))


def grant(browser, client, user, password, scope="openid", **changes):
    """A code: signs in and allows as far as asked."""
    page = browser.follow(browser.get(client.authorize_path(scope, **changes)))
    if page.status == 200 and "password" in page.form["fields"]:
        page = browser.follow(browser.submit(page, username=user, password=password))
    if page.status == 200:
        page = browser.submit(page, decision="allow")
    answer = answer_of(page)
    assert "code" in answer, page
    return answer["code"]
