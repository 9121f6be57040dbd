"""A replica that mirrors upstreams which answer as a test says, a client of it, and an image."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.unit.s3.scripted import Reply
from tests.unit.upstream.upstreams import Upstream
from tests.unit.web.serving import BUDGET_BYTES, PART_BYTES, SETTINGS, listening
from zotpy.core.digests import Digest
from zotpy.core.media_types import OCI_IMAGE
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.memory.budget import MemoryBudget
from zotpy.mirror.mirror import Mirror, open_mirror
from zotpy.registry.registry import Registry, open_registry
from zotpy.settings import MirroredContent, MirroredRegistry, MirrorSettings
from zotpy.store.memory_store import MemoryStore
from zotpy.web.app import RegistryApp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    import httpx
    import trio

    from zotpy.mirror.events import MirrorEvents
    from zotpy.store.interface import Store
    from zotpy.store.space import Space

NAME = "library/app"
LOCAL = f"hub/{NAME}"
CONFIG = b'{"architecture":"amd64"}'
LAYER = bytes(range(256)) * 12 * 1024
"""3 MiB: three parts of the replica."""
LAYER_DIGEST = str(Digest.of(LAYER))
LAYER_PATH = f"/v2/{NAME}/blobs/{LAYER_DIGEST}"
HERE = f"/v2/{LOCAL}/blobs/{LAYER_DIGEST}"
TAG_HERE, TAG_THERE = f"/v2/{LOCAL}/manifests/v1", f"/v2/{NAME}/manifests/v1"

OF_HARBOR = Reply(429, b'{"errors":[{"code":"TOO_MANY_REQUEST","message":"too many request to the proxy cache"}]}')
"""What Harbor answers if there are too many requests: a code of its own, and no Retry-After."""


def image(note: str = "") -> bytes:
    """Write a manifest of the layer."""
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_IMAGE,
            "config": {"mediaType": "application/x", "digest": str(Digest.of(CONFIG)), "size": len(CONFIG)},
            "layers": [{"mediaType": "application/y", "digest": LAYER_DIGEST, "size": len(LAYER)}],
            "annotations": {"note": note},
        }
    ).encode()


def manifest(content: bytes) -> Reply:
    """Answer with a manifest, as registries do."""
    return Reply(200, content, {"Content-Type": OCI_IMAGE, "Docker-Content-Digest": str(Digest.of(content))})


def give(upstream: Upstream, content: bytes, tag: str = "v1") -> str:
    """Let an upstream have an image from now on, and return its digest."""
    digest = str(Digest.of(content))
    upstream.scripts[f"/v2/{NAME}/manifests/{tag}"] = [manifest(content)]
    upstream.scripts[f"/v2/{NAME}/manifests/{digest}"] = [manifest(content)]
    upstream.scripts[LAYER_PATH] = [Reply(200, LAYER)]
    upstream.scripts[f"/v2/{NAME}/blobs/{Digest.of(CONFIG)}"] = [Reply(200, CONFIG)]
    return digest


@dataclass(slots=True)
class MirrorReplica:
    """A replica, and a client of it."""

    client: httpx.AsyncClient
    registry: Registry
    mirror: Mirror
    store: MemoryStore
    app: RegistryApp


def mirrored(*urls: str, **changed: Any) -> MirroredRegistry:
    """Return the settings of an upstream, which asks again at once."""
    fields = {"content": (MirroredContent(destination="hub"),), "retry_delay_s": 0.0, "max_retries": 0, **changed}
    return MirroredRegistry(urls, **fields)


@asynccontextmanager
async def mirroring(
    nursery: trio.Nursery,
    registries: Sequence[MirroredRegistry],
    memory: MemoryStore | None = None,
    store: Store | None = None,
    events: MirrorEvents | None = None,
    immutable: Collection[str] = (),
    space: Space | None = None,
) -> AsyncIterator[MirrorReplica]:
    """Run a replica over a store with some space, in which some tags are immutable."""
    memory = memory or MemoryStore()
    settings = replace(SETTINGS, mirror=MirrorSettings(registries=tuple(registries)))
    registry = await open_registry(store or memory, settings, MemoryBudget(BUDGET_BYTES, 2 * PART_BYTES))
    async with AsyncExitStack() as stack:
        opened = open_mirror(settings.mirror, registry, events, lambda _, tag: tag in immutable, space)
        mirror = await stack.enter_async_context(opened)
        nursery.start_soon(mirror.tasks.run)
        apps = list[RegistryApp]()

        def prepare(app: RegistryApp) -> None:
            app.use(mirror)
            apps.append(app)

        client, _, _ = await stack.enter_async_context(listening(nursery, registry, ServerConfig(), prepare=prepare))
        yield MirrorReplica(client, registry, mirror, memory, apps[0])


@asynccontextmanager
async def world(immutable: Collection[str] = (), **changed: Any) -> AsyncIterator[tuple[Upstream, MirrorReplica]]:
    """Run an upstream and a replica that mirrors it below `hub`."""
    import trio  # noqa: PLC0415 - for types alone elsewhere

    async with trio.open_nursery() as nursery:
        upstream = Upstream()
        await upstream.server.start(nursery)
        async with mirroring(nursery, [mirrored(upstream.url, **changed)], immutable=immutable) as replica:
            yield upstream, replica
        nursery.cancel_scope.cancel()
