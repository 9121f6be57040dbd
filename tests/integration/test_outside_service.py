"""Real clients get their tokens from a token service elsewhere, whose word is final here."""

from __future__ import annotations

import base64
import json
import threading
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
import trio
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.blackbox.images import Layout, small_layer, stored_blobs
from tests.blackbox.test_logins import LoggingIn, Oras, Skopeo, says_so
from tests.integration.test_token_clients import run
from tests.unit.web.desks import NOW, SERVICE, giving
from zotpy.auth.outside import OutsideTokens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ISSUER = "https://tokens.example.com"
PASSWORD = "correct-horse"
KEY = ECKey.generate_key("P-256")


class TokenService(BaseHTTPRequestHandler):
    """Gives alice a token for whatever she asks below `elsewhere/`, and nobody else anything."""

    def do_GET(self) -> None:
        """Answer docker's GET."""
        basic = f"Basic {base64.b64encode(f'alice:{PASSWORD}'.encode()).decode()}"
        if self.headers.get("Authorization") != basic:
            self.send_response(401)
            self.end_headers()
            return
        asked = parse_qs(urlsplit(self.path).query)
        scopes = [text.split(":") for text in asked.get("scope", [])]
        access = [
            {"type": kind, "name": name, "actions": actions.split(",")}
            for kind, name, actions in scopes
            if name.startswith("elsewhere/")
        ]
        claims = {"iss": ISSUER, "aud": asked["service"][0], "sub": "alice", "iat": int(NOW), "exp": int(NOW) + 300}
        token = jwt.encode({"alg": "ES256"}, {**claims, "access": access}, KEY)
        body = json.dumps({"token": token, "expires_in": 300}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def token_service() -> Iterator[str]:
    """Run the service, and yield its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), TokenService)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/token"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("kind", [Oras, Skopeo], ids=lambda kind: kind.name)
async def test_clients_push_and_pull_with_the_tokens_of_another_service(
    nursery: trio.Nursery, tmp_path: Path, kind: type[LoggingIn]
) -> None:
    """They log in there, and may do what it grants, although no rule of the registry names anything of it.

    crane refuses a realm at a private address other than the registry's own, and so a service on this machine.
    """
    layout = Layout(tmp_path / "layout")
    layout.tag(layout.add_image([small_layer("sniffio")]), "image")
    file = tmp_path / "key.pem"
    file.write_bytes(KEY.as_pem(private=False))
    outside = OutsideTokens(file, SERVICE, ISSUER, lambda: NOW)
    with token_service() as realm:
        async with giving(nursery, bearers=[outside], realm=realm) as scene:
            client = kind(tmp_path / "home", f"127.0.0.1:{scene.replica.port}")
            await run(client, partial(client.words, PASSWORD))
            await run(client, partial(client.push, layout.path, "elsewhere/app"))
            await run(client, partial(client.pull, "elsewhere/app", tmp_path / "pulled"))
            assert stored_blobs(tmp_path / "pulled") == stored_blobs(layout.path)
            push = client.push(layout.path, "team/app")
            assert says_so(await trio.to_thread.run_sync(partial(client.client.refused, *push)))
            logins: set[str] = set()
            while len(logins) < 2:
                logins.add((await scene.replica.ended.receive()).login)
            assert logins == {"", "bearer"}
