"""An upstream on the loopback interface that answers each path as a test says."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import trio

from tests.unit.s3.scripted import Answered, Computed, Reply, ScriptedServer, Seen
from zotpy.core.digests import Digest
from zotpy.settings.upstream import UpstreamSettings
from zotpy.upstream import UpstreamRegistry, open_upstream

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

    from zotpy.upstream.login import Credentials

REPO = "team/app"
BLOB = bytes(range(256)) * 1024
DIGEST = Digest.of(BLOB)
IMAGE = json.dumps({"schemaVersion": 2, "config": {}, "layers": []}).encode()
IMAGE_DIGEST = Digest.of(IMAGE)
MANIFEST = f"/v2/{REPO}/manifests/latest"
BLOB_PATH = f"/v2/{REPO}/blobs/{DIGEST}"
IMAGE_TYPE = "application/vnd.oci.image.manifest.v1+json"
Act = Answered


@dataclass(slots=True)
class Upstream:
    """What it answers, and what it was asked."""

    server: ScriptedServer = field(init=False)
    scripts: dict[str, list[Act | Callable[[Seen], Act]]] = field(default_factory=lambda: defaultdict(list))
    """By target: an act for each request, the last one again for all that follow."""
    otherwise: Callable[[Seen], Act] | None = None
    """Answers other requests; `None`: they are answered with 404."""
    scheme: str = "http"

    def __post_init__(self) -> None:
        self.server = ScriptedServer([Computed(self._answer)])

    def _answer(self, seen: Seen) -> Act:
        script = self.scripts.get(seen.target) or self.scripts.get(seen.target.partition("?")[0])
        if not script and self.otherwise is not None:
            return self.otherwise(seen)
        if not script:
            return Reply(404, b'{"errors":[{"code":"NAME_UNKNOWN","message":"never heard of it"}]}')
        act = script.pop(0) if len(script) > 1 else script[0]
        return act(seen) if callable(act) else act

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self.scheme}://127.0.0.1:{self.server.port}"

    @property
    def seen(self) -> list[Seen]:
        """The requests, in their order."""
        return self.server.seen

    @property
    def asked(self) -> list[str]:
        """The targets of the requests."""
        return [seen.target for seen in self.server.seen]

    def settings(self, **changed: Any) -> UpstreamSettings:
        """Return settings with which it is asked."""
        return UpstreamSettings(**{"url": self.url, "retry_delay_s": 0.0, **changed})

    def client(self, credentials: Credentials | None = None, **changed: Any) -> Any:
        """Open a client of it, for an `async with` block."""
        return open_upstream(self.settings(**changed), credentials)


@asynccontextmanager
async def running(tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    """Run an upstream."""
    async with trio.open_nursery() as nursery:
        upstream = Upstream(scheme="http" if tls is None else "https")
        await upstream.server.start(nursery, tls=tls)
        yield upstream
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def upstream_and_client(**changed: Any) -> AsyncIterator[tuple[Upstream, UpstreamRegistry]]:
    """Run an upstream, and open a client of it."""
    async with running() as upstream, upstream.client(**changed) as client:
        yield upstream, client


async def read(client: UpstreamRegistry, start: int = 0, digest: Digest = DIGEST) -> bytes:
    """Read a blob."""
    async with client.blob(REPO, digest, start) as stream:
        return b"".join([piece async for piece in stream.pieces()])


def ranged(seen: Seen, content: bytes = BLOB, cut_to: int | None = None) -> Reply:
    """Answer a range as a store does."""
    wanted = seen.headers.get("range")
    if wanted is None:
        return Reply(200, content, cut_to=cut_to)
    start = int(wanted.removeprefix("bytes=").rstrip("-"))
    headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
    return Reply(206, content[start:], headers, cut_to=cut_to)
