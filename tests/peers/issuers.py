"""Identity providers that are not ours, each as a process on loopback that gives a job a token."""

from __future__ import annotations

import os
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx

from bench.servers.processes import accepts
from tests.processes import Process, free_port, missing

if TYPE_CHECKING:
    from collections.abc import Mapping


DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
MOST_PAGES = 8


class Issuer:
    """One of them. It makes a key at each start, so a restart is a rotation of keys."""

    name = ""
    login = ("", "")
    """The name and the password of the one client that gets tokens."""
    token_path = ""
    audience_field = ""
    """In which field of the form that client says for whom the token is."""
    person = ("", "")
    """The name and the e-mail address of somebody."""

    def __init__(self, directory: Path) -> None:
        """Say what to run. Nothing is started yet."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command: list[str | Path] = [find_peer(self.name), str(self.port)]
        self.process = Process(self.name, command, directory / f"{self.name}.log")

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.process.start(lambda: accepts(self.port))

    def stop(self) -> None:
        """Stop it."""
        self.process.stop()

    def token(self, audience: str) -> str:
        """Get an access token for an audience, as OAuth 2 says (RFC 6749, section 4.4)."""
        form = {"grant_type": "client_credentials", self.audience_field: audience}
        answer = httpx.post(f"{self.url}{self.token_path}", data=form, auth=self.login, timeout=60)
        assert answer.status_code == httpx.codes.OK, answer.text
        document: Mapping[str, str] = answer.json()
        return document["access_token"]

    def id_token(self, client: str, user: str = "") -> str:
        """Get the ID token of a person by the device flow (RFC 8628), and do with the pages what the person would."""
        auth, scope = (quote(client, safe=""), "secret"), {"scope": "openid email groups"}
        places = httpx.get(f"{self.url}/.well-known/openid-configuration", timeout=60).json()
        asked = httpx.post(places["device_authorization_endpoint"], data=scope, auth=auth, timeout=60)
        assert asked.status_code == httpx.codes.OK, asked.text
        with httpx.Client(base_url=self.url, follow_redirects=True, timeout=60) as browser:
            self.approve(browser, asked.json(), user or self.person[0])
        form = {"grant_type": DEVICE_GRANT, "device_code": asked.json()["device_code"]}
        answer = httpx.post(places["token_endpoint"], data=form, auth=auth, timeout=60)
        assert answer.status_code == httpx.codes.OK, answer.text
        document: Mapping[str, str] = answer.json()
        return document["id_token"]

    def approve(self, browser: httpx.Client, asked: Mapping[str, str], user: str) -> None:
        """Log in as a user, and allow what was asked for."""
        raise NotImplementedError


class OidcProvider(Issuer):
    """oidc-provider of npm, which the OpenID Foundation has certified. It signs with ES256."""

    name = "oidc-provider"
    login = ("job", "secret")
    token_path = "/token"
    audience_field = "resource"
    person = ("alice@example.com", "alice@example.com")

    def approve(self, browser: httpx.Client, asked: Mapping[str, str], user: str) -> None:
        """Send each form of its pages, with a name and a password where it asks for them."""
        page = browser.get(asked["verification_uri_complete"])
        for _ in range(MOST_PAGES):
            form = Form.of(page.text)
            if not form.action:
                break
            typed = {"login": user, "password": "any"}
            page = browser.post(form.action, data={name: typed.get(name, value) for name, value in form.fields.items()})
        assert page.status_code == httpx.codes.OK, page.text


class Zitadel(Issuer):
    """The example server of the Go module zitadel/oidc. It signs with RS256."""

    name = "zitadel"
    login = ("sid1", "verysecret")
    token_path = "/oauth/token"
    audience_field = "scope"
    person = ("test-user@127.0.0.1", "test-user@zitadel.ch")

    def approve(self, browser: httpx.Client, asked: Mapping[str, str], user: str) -> None:
        """Send the form of its one page, and press its button."""
        login = {"user_code": asked["user_code"], "username": user, "password": "verysecure"}
        assert browser.post("/device/login", data=login).status_code == httpx.codes.OK
        assert browser.get("/device/confirm?action=allowed").status_code == httpx.codes.OK


class Form(HTMLParser):
    """The only form of a page, and what its fields have."""

    def __init__(self) -> None:
        """Have seen nothing yet."""
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}

    @classmethod
    def of(cls, page: str) -> Form:
        """Read a page."""
        form = cls()
        form.feed(page)
        return form

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note where the form is sent, and each field with a name."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = given.get("action", "")
        elif tag == "input" and "name" in given:
            self.fields[given["name"]] = given.get("value", "")


def find_peer(name: str) -> Path:
    """Return one of the programs that `tests/peers/build` makes."""
    kept = os.environ.get("ZOTPY_TEST_PEERS")
    if not kept or not (path := Path(kept) / name).exists():
        missing(f"{name} is needed: sh tests/peers/build, and name what it prints in ZOTPY_TEST_PEERS")
    return path
