"""A replica over a store in memory that listens on this machine, a client of it, and what clients push."""

from __future__ import annotations

import hashlib
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import httpx
import trio

from tests.unit.registry.support import Script, sent
from zotpy.bucket.health import Health
from zotpy.core.digests import Digest
from zotpy.core.media_types import OCI_IMAGE
from zotpy.core.names import RepositoryName
from zotpy.core.units import KIB, MIB
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.http.server.sending import Answered
from zotpy.http.server.serving import serve
from zotpy.logins import Door
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import open_registry
from zotpy.settings import ManifestSettings, S3Settings, Settings, StorageSettings, UploadSettings
from zotpy.store.faulty import FaultyStore
from zotpy.store.memory_store import MemoryStore
from zotpy.web.app import create_app
from zotpy.web.challenges import no_challenge
from zotpy.web.dispatch import admit_everybody

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from zotpy.http.server.proxies import TrustedProxies
    from zotpy.registry.registry import Registry
    from zotpy.web.app import RegistryApp
    from zotpy.web.auditing import Audit
    from zotpy.web.challenges import Challenge
    from zotpy.web.dispatch import Admit
    from zotpy.web.routes import Route

PART_BYTES = 1 * MIB
BUDGET_BYTES = 8 * MIB
MANIFEST_LIMIT_BYTES = 64 * KIB
REPO = "team/app"
UPLOADS = f"/v2/{REPO}/blobs/uploads/"
ABSENT = f"sha256:{'0' * 64}"
CONFIG = b"{}"
OPEN = Door()
"""Lets everybody do everything."""


@dataclass(slots=True)
class Replica:
    """A replica that listens, and a client of it."""

    store: MemoryStore
    script: Script
    """What happens the next time that the replica asks something of its store."""
    registry: Registry
    health: Health
    client: httpx.AsyncClient
    port: int
    ended: trio.MemoryReceiveChannel[Answered]
    """Gives each request that ended, in that order."""
    stop: trio.Event
    """Set, it is told to stop."""
    config: ServerConfig
    """What it listens by."""

    async def push_blob(self, content: bytes, repo: str = REPO) -> str:
        """Push a blob and return its digest."""
        digest = digest_of(content)
        answer = await self.client.post(f"/v2/{repo}/blobs/uploads/", params={"digest": digest}, content=content)
        assert answer.status_code == 201, answer.text
        return digest

    async def push_image(
        self, *tags: str, repo: str = REPO, subject: str | None = None, artifact_type: str = "", note: str = ""
    ) -> httpx.Response:
        """Push an image by its digest, with these tags, and return the answer."""
        await self.push_blob(CONFIG, repo)
        content = image(subject=subject, artifact_type=artifact_type, note=note)
        url = f"/v2/{repo}/manifests/{digest_of(content)}"
        answer = await self.client.put(
            url, params=[("tag", tag) for tag in tags], content=content, headers={"Content-Type": OCI_IMAGE}
        )
        assert answer.status_code == 201, answer.text
        return answer

    async def begin(self) -> str:
        """Begin an upload and return its Location."""
        answer = await self.client.post(UPLOADS)
        assert answer.status_code == 202, answer.text
        return answer.headers["Location"]

    async def connect(self) -> trio.SocketStream:
        """Open a connection of our own."""
        return await trio.open_tcp_stream("127.0.0.1", self.port)


SETTINGS = Settings(
    upload=UploadSettings(
        part_size_bytes=PART_BYTES, parts_in_flight=BUDGET_BYTES // PART_BYTES // 2, hold_timeout_s=0.0
    ),
    manifest=ManifestSettings(max_size_bytes=MANIFEST_LIMIT_BYTES),
)

REDIRECTING = StorageSettings(s3=S3Settings("bucket", redirect=True, redirect_expiry_s=300.0))
"""Pulls of large blobs are redirected."""


@asynccontextmanager
async def serving(
    nursery: trio.Nursery,
    settings: Settings = SETTINGS,
    config: ServerConfig | None = None,
    proxies: TrustedProxies | None = None,
    admit: Admit = admit_everybody,
    challenge: Challenge = no_challenge,
    more_routes: Sequence[Route] = (),
    audit: Audit | None = None,
) -> AsyncIterator[Replica]:
    """Listen on a free port of the loopback interface, with small limits, until the block ends."""
    store, script = MemoryStore(), Script()
    faulty = FaultyStore(store, script)
    registry = await open_registry(faulty, settings, MemoryBudget(BUDGET_BYTES, 2 * PART_BYTES))
    health, config = Health(registry.store), config or ServerConfig()
    door = Door(admit, challenge, tuple(more_routes))

    def prepare(app: RegistryApp) -> None:
        app.dispatcher.audit = audit

    async with listening(nursery, registry, config, proxies, health=health, door=door, prepare=prepare) as (
        client,
        ended,
        stop,
    ):
        yield Replica(store, script, registry, health, client, client.base_url.port or 0, ended, stop, config)


@asynccontextmanager
async def listening(
    nursery: trio.Nursery,
    registry: Registry,
    config: ServerConfig,
    proxies: TrustedProxies | None = None,
    metrics_path: str | None = "/metrics",
    health: Health | None = None,
    door: Door = OPEN,
    prepare: Callable[[RegistryApp], None] = lambda _: None,
) -> AsyncIterator[tuple[httpx.AsyncClient, trio.MemoryReceiveChannel[Answered], trio.Event]]:
    """Serve a registry on a free port; return a client, what tells of each request that ended, and how to stop."""
    app = create_app(
        registry,
        health or Health(registry.store),
        lambda: b"zotpy_metrics 1\n",
        metrics_path,
        admit=door.admit,
        challenge=door.challenge,
        more_routes=door.routes,
    )
    prepare(app)
    if proxies is not None:
        app.proxies = proxies
    tell, ended = trio.open_memory_channel[Answered](1000)
    app.report = lambda answered, _: tell.send_nowait(answered)
    config.bind = ["127.0.0.1:0"]
    config.accesslog = config.errorlog = None
    config.max_app_queue_size = 1
    config.graceful_timeout = 600.0
    stop = trio.Event()
    binds = await nursery.start(partial(serve, app, config, stop=stop))
    async with httpx.AsyncClient(base_url=binds[0], verify=False) as client:  # noqa: S501 - a certificate of the test
        yield client, ended, stop
    stop.set()


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """Name content."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def image(*, subject: str | None = None, artifact_type: str = "", note: str = "") -> bytes:
    """Write an image manifest of `CONFIG`."""
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "config": {"mediaType": "application/x", "digest": digest_of(CONFIG), "size": len(CONFIG)},
        "layers": [],
        "annotations": {"note": note},
    }
    if artifact_type:
        document["artifactType"] = artifact_type
    if subject is not None:
        document["subject"] = {"mediaType": OCI_IMAGE, "digest": subject, "size": 1}
    return json.dumps(document).encode()


async def push_manifest(
    replica: Replica, reference: str, *tags: str, note: str = "new", headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """Push a manifest that differs by `note`; `reference` is a tag, or empty for its digest."""
    content = image(note=note)
    url = f"/v2/{REPO}/manifests/{reference or digest_of(content)}"
    headers = {"Content-Type": OCI_IMAGE, **(headers or {})}
    return await replica.client.put(url, params={"tag": tags}, content=content, headers=headers)


def codes_of(answer: httpx.Response) -> list[str]:
    """Check that an answer is the error envelope of the OCI distribution spec, and return its codes."""
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"
    document = answer.json()
    assert set(document) == {"errors"}
    assert document["errors"]
    for error in document["errors"]:
        assert {"code", "message"} <= set(error) <= {"code", "message", "detail"}
        assert error["message"]
    return [error["code"] for error in document["errors"]]


async def push_zeros(replica: Replica, size_bytes: int) -> str:
    """Push a blob of zeros without HTTP, and return its digest."""
    digest = Digest.of(bytes(size_bytes))
    session = replica.registry.uploads.begin(RepositoryName.parse(REPO), "sha256")
    body = sent(*[bytes(MIB)] * (size_bytes // MIB))
    await replica.registry.uploads.finish(session, digest, body, None, size_bytes)
    return str(digest)


async def ended(replica: Replica, method: str) -> int:
    """Wait until a request of this method has ended, and return its status."""
    while (answered := await replica.ended.receive()).method != method:
        pass
    return answered.status
