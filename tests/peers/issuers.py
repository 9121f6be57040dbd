"""Identity providers that are not ours, each as a process on loopback that gives a job a token."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from bench.servers.processes import accepts
from tests.processes import Process, free_port, missing

if TYPE_CHECKING:
    from collections.abc import Mapping


class Issuer:
    """One of them. It makes a key at each start, so a restart is a rotation of keys."""

    name = ""
    login = ("", "")
    """The name and the password of the one client that gets tokens."""
    token_path = ""
    audience_field = ""
    """In which field of the form that client says for whom the token is."""

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


class OidcProvider(Issuer):
    """oidc-provider of npm, which the OpenID Foundation has certified. It signs with ES256."""

    name = "oidc-provider"
    login = ("job", "secret")
    token_path = "/token"
    audience_field = "resource"


class Zitadel(Issuer):
    """The example server of the Go module zitadel/oidc. It signs with RS256."""

    name = "zitadel"
    login = ("sid1", "verysecret")
    token_path = "/oauth/token"
    audience_field = "scope"


def find_peer(name: str) -> Path:
    """Return one of the programs that `tests/peers/build` makes."""
    kept = os.environ.get("ZOTPY_TEST_PEERS")
    if not kept or not (path := Path(kept) / name).exists():
        missing(f"{name} is needed: sh tests/peers/build, and name what it prints in ZOTPY_TEST_PEERS")
    return path
