"""A replica on a real SeaweedFS behind a proxy that fails as a test wants, and a look at what is left afterwards."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import trio

from tests.proxy import StoreProxy
from tests.unit.registry.support import content
from tests.unit.web.serving import codes_of, digest_of, listening
from zotpy.bucket.sweeps import list_all
from zotpy.core.units import KIB, MIB
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import open_registry
from zotpy.s3.transport import S3Transport
from zotpy.s3.wire.retry import RetryPolicy
from zotpy.settings import HttpSettings, Settings, UploadSettings
from zotpy.store.opening import open_s3_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.proxy import Fault, Request
    from tests.servers import Bucket
    from zotpy.http.server.sending import Answered
    from zotpy.registry.registry import Registry
    from zotpy.store.s3 import S3Store

REPO = "team/app"
UPLOADS = f"/v2/{REPO}/blobs/uploads/"
PART = 5 * MIB
"""SeaweedFS takes no shorter ones, but for the last."""
LARGE = content(2 * PART + 100 * KIB, seed=3)
"""A blob of three parts."""
PARTS = 3
MEDIUM = content(300 * KIB, seed=5)
"""A blob of one part, written with one PutObject."""
SMALL = content(1000, seed=7)
"""A blob that lives in its record."""
CLIENT_TIMEOUT_S = 120.0
QUICKLY = RetryPolicy(attempts=3, first_delay_s=0.01, longest_delay_s=0.05)


@dataclass(slots=True)
class Plan:
    """Faults for the requests of one operation on keys below a prefix, the first of them or all."""

    operation: str
    below: str
    fault: Callable[[], Fault | None]
    first: int | None = None
    hit: list[Request] = field(default_factory=list)
    """The requests that matched, with a fault or without."""

    def __call__(self, request: Request) -> Fault | None:
        """Decide."""
        named = request.query.get("prefix", "") if request.operation == "ListObjectsV2" else request.key
        if request.operation != self.operation or f"/{self.below}" not in named:
            return None
        self.hit.append(request)
        return self.fault() if self.first is None or len(self.hit) <= self.first else None


@dataclass(frozen=True)
class Patience:
    """How long a replica waits for its store."""

    read_timeout_s: float = 30.0
    deadline_s: float = 60.0


PATIENT = Patience()


@dataclass(slots=True)
class Replica:
    """A replica that listens, a client of it, and its store from behind and from before the proxy."""

    registry: Registry
    proxy: StoreProxy
    store: S3Store
    """As the replica sees it."""
    direct: S3Store
    """The same without the proxy."""
    client: httpx.AsyncClient
    ended: trio.MemoryReceiveChannel[Answered]
    """Gives each request that ended, in that order."""
    patience: Patience
    """For the store, while a plan makes it fail; at other times the replica is patient with a busy machine."""

    def plan(self, operation: str, below: str, fault: Callable[[], Fault | None], first: int | None = None) -> Plan:
        """Let requests fail from now on."""
        self.proxy.forget()
        plan = Plan(operation, below, fault, first)
        self.proxy.faults = plan
        self._wait_for_store(self.patience)
        return plan

    def lift(self) -> None:
        """Let all pass again."""
        self.proxy.faults = lambda _: None
        self._wait_for_store(PATIENT)

    def _wait_for_store(self, patience: Patience) -> None:
        client = self.store.client
        client.config = replace(client.config, **asdict(patience))
        assert isinstance(client._transport, S3Transport)
        client._transport.service.silence_s = patience.read_timeout_s

    async def push(self, body: bytes, repo: str = REPO, digest: str | None = None) -> httpx.Response:
        """Push a blob with one POST."""
        params = {"digest": digest or digest_of(body)}
        return await self.client.post(f"/v2/{repo}/blobs/uploads/", params=params, content=body)

    async def pull(self, body: bytes) -> bytes:
        """Pull the blob with this content."""
        answer = await self.client.get(f"/v2/{REPO}/blobs/{digest_of(body)}")
        assert answer.status_code == 200, answer.text
        return answer.content

    async def begin(self) -> str:
        """Begin an upload and return its Location."""
        return (await self.client.post(UPLOADS)).headers["Location"]

    async def patch(self, location: str, body: bytes) -> httpx.Response:
        """Send a chunk."""
        return await self.client.patch(location, content=body)

    async def put(self, location: str, body: bytes, digest: str) -> httpx.Response:
        """Send the last chunk."""
        return await self.client.put(httpx.URL(location).copy_merge_params({"digest": digest}), content=body)

    async def connect(self) -> trio.SocketStream:
        """Open a connection of our own to the replica."""
        return await trio.open_tcp_stream("127.0.0.1", self.client.base_url.port or 0)

    async def multiparts(self) -> int:
        """Count the multiparts under way."""
        return len((await self.direct.list_multiparts("data/")).multiparts)

    async def keys(self, prefix: str) -> list[str]:
        """List the keys below a prefix."""
        return [listed.key for listed in await list_all(self.direct, prefix)]

    def is_idle(self) -> bool:
        """Whether no memory is held and nobody waits for some."""
        return (self.registry.budget.used_bytes, self.registry.budget.waiting) == (0, 0)


@asynccontextmanager
async def serving(
    nursery: trio.Nursery,
    bucket: Bucket,
    prefix: str,
    *,
    patience: Patience = PATIENT,
    max_connections: int = 32,
    budget_bytes: int = 24 * MIB,
    body_idle_s: float = 900.0,
    holds_s: tuple[float, float] = (0.0, 0.0),
) -> AsyncIterator[Replica]:
    """Serve with small parts, and with little patience for a store that fails where a test says so.

    `holds_s`: how long requests with content are held, and others.
    """
    service = urlsplit(bucket.endpoint)
    assert service.hostname is not None
    assert service.port is not None
    proxy = await StoreProxy(service.hostname, service.port).start(nursery)
    config = replace(bucket.config(), retry=QUICKLY, max_connections=max_connections)
    settings = Settings(
        upload=UploadSettings(part_size_bytes=PART, body_idle_timeout_s=body_idle_s, hold_timeout_s=holds_s[0]),
        http=HttpSettings(hold_timeout_s=holds_s[1]),
    )
    behind = replace(config, endpoint=proxy.url, **asdict(PATIENT))
    async with (
        open_s3_store(bucket.config(), prefix, create_bucket=True) as direct,
        open_s3_store(behind, prefix) as store,
    ):
        registry = await open_registry(store, settings, MemoryBudget(budget_bytes, PART + MIB))
        async with listening(nursery, registry, ServerConfig()) as (client, ended, _):
            client.timeout = httpx.Timeout(CLIENT_TIMEOUT_S)
            yield Replica(registry, proxy, store, direct, client, ended, patience)


def assert_try_again(answer: httpx.Response) -> None:
    """Check that a client is told that the store is to blame, and when to come back."""
    assert answer.status_code == 429, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert codes_of(answer) == ["TOOMANYREQUESTS"]
