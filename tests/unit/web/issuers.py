"""An issuer of tokens on loopback, as CI services are, whose keys and answers a test changes."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
from joserfc import jws
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from tests.unit.web.desks import NOW, SERVICE
from zotpy.auth.issuer_keys import DISCOVERY, IssuerKeys
from zotpy.auth.oidc import Issuer, WorkloadTokens
from zotpy.settings import IssuerSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Private = RSAKey | ECKey | OKPKey
KEYS: tuple[ECKey, ...] = tuple(ECKey.generate_key("P-256", {"kid": f"key-{number}"}) for number in range(3))


@dataclass(slots=True)
class CiService:
    """The issuer: what it answers, and what it was asked."""

    url: str = ""
    keys: list[Private] = field(default_factory=lambda: [KEYS[0]])
    asked: list[str] = field(default_factory=list)
    status: int = 200
    named: str = ""
    """What its discovery document calls it; empty: its URL."""
    padding: str = ""
    jwks_uri: str = ""

    def answer(self, path: str) -> tuple[int, bytes]:
        """Answer a request."""
        self.asked.append(path)
        document: dict[str, Any] = {"issuer": self.named or self.url, "jwks_uri": self.jwks_uri or f"{self.url}/keys"}
        if path != DISCOVERY:
            document = dict(KeySet(list(self.keys)).as_dict(private=False))
        return self.status, json.dumps({**document, "padding": self.padding}).encode()

    def token(self, key: Private = KEYS[0], header: Mapping[str, object] | None = None, **changed: object) -> str:
        """Write a job's token, with some claims changed; those that are `None` are left out."""
        claims = {
            "iss": self.url,
            "aud": SERVICE,
            "sub": "repo:acme/app",
            "repository_owner": "acme",
            "actor": "alice",
            "iat": int(NOW),
            "nbf": int(NOW),
            "exp": int(NOW) + 300,
            **changed,
        }
        algorithm = "RS256" if isinstance(key, RSAKey) else "ES256"
        heads = {"alg": algorithm, "kid": key.kid, **(header or {})}
        text = json.dumps({name: value for name, value in claims.items() if value is not None}).encode()
        given = {name: value for name, value in heads.items() if value is not None}
        return jws.serialize_compact(given, text, key, algorithms=[algorithm])

    def logins(self, clock: Callable[[], float] = lambda: NOW, **settings: Any) -> WorkloadTokens:
        """Return what a replica knows of it."""
        trusted = IssuerSettings(self.url, frozenset({SERVICE}), **settings)
        return WorkloadTokens([Issuer(trusted, IssuerKeys(self.url, httpx.create_ssl_context(), 8))], clock)


@contextmanager
def ci_service() -> Iterator[CiService]:
    """Run an issuer."""
    service = CiService()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer."""
            status, body = service.answer(self.path)
            self.send_response(status)
            self.send_header("Location", f"{service.url}/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
