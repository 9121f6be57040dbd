"""The upstreams of a replica: asked one after another, and left alone for a while after they failed."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import structlog
import trio

from zotpy.mirror.rules import Origin
from zotpy.settings.mirror import MirroredRegistry, MirrorSettings
from zotpy.settings.upstream import UpstreamSettings
from zotpy.upstream.credentials_file import login_at, read_credentials_file
from zotpy.upstream.docker_hub import api_url
from zotpy.upstream.errors import (
    NotAtUpstream,
    NotSigned,
    UpstreamBroken,
    UpstreamError,
    UpstreamRefused,
    UpstreamUnavailable,
)
from zotpy.upstream.login import Login
from zotpy.upstream.registry import UpstreamRegistry, open_upstream
from zotpy.upstream.temporary.opening import LoginServices

PAUSE_S = 2.0
"""How long an upstream that did not answer is left alone."""
LONGEST_PAUSE_S = 300.0
"""Even if its Retry-After asks for more."""
REFUSALS_APART_S = 60.0
"""How often the log says at most that an upstream refuses something, because clients may ask for anything."""
T = TypeVar("T")
log = structlog.get_logger()


@dataclass(eq=False, slots=True)
class Upstream:
    """One address of a mirrored registry."""

    url: str
    manifests: UpstreamRegistry
    blobs: UpstreamRegistry
    """With places of its own: manifests do not wait until blobs were read. A blob needs no login after its manifest."""
    ranges: UpstreamRegistry
    """With places of its own, too: ranges of blobs do not wait until others were read whole."""
    only_signed: bool = False
    """Whether only signed images are taken from it."""
    has_login: bool = False
    """Whether zotpy has a login for it."""
    rests_until: float = field(default=-1.0)
    """Until when it is not asked, on trio's clock."""
    _silent_until: float = field(default=-1.0)
    """Until when the log says nothing about refusals."""

    def rest(self, error: UpstreamUnavailable) -> None:
        """Leave it alone for a while, as it asks for."""
        pause_s = PAUSE_S if error.retry_after_s is None else error.retry_after_s
        self.rests_until = trio.current_time() + min(max(pause_s, PAUSE_S), LONGEST_PAUSE_S)
        log.warning("upstream_unavailable", upstream=self.url, reason=str(error), pause_s=round(pause_s, 3))

    def note_refusal(self, error: UpstreamRefused) -> None:
        """Log that it refuses something, since clients only learn that it is not here."""
        if (now := trio.current_time()) >= self._silent_until:
            self._silent_until = now + REFUSALS_APART_S
            log.warning("upstream_refused", upstream=self.url, reason=str(error), has_login=self.has_login)

    def check(self) -> None:
        """Raise `UpstreamUnavailable` if it rests."""
        left_s = self.rests_until - trio.current_time()
        if left_s > 0:
            msg = f"{self.url} did not answer a moment ago"
            raise UpstreamUnavailable(msg, retry_after_s=left_s)


Ask = Callable[[Upstream, str], Awaitable[T]]
"""Asks an upstream for something of the repository that it calls so. Raises `UpstreamError`."""


@dataclass(frozen=True, slots=True)
class Upstreams:
    """All of them, by registry."""

    by_registry: Mapping[MirroredRegistry, tuple[Upstream, ...]]

    async def first(self, origins: Iterable[Origin], ask: Ask[T], *, is_needed: bool = True) -> T:
        """Return the first answer: the origins in order, and of each its addresses in order.

        An address that does not answer is left alone for a while, unless what is asked for is not needed.
        Raises `NotAtUpstream` if all say that it does not exist, `NotSigned` if one has it without a signature;
        otherwise the error of one that might have it.
        """
        failed: UpstreamError | None = None
        unsigned: NotSigned | None = None
        for origin in origins:
            for upstream in self.by_registry[origin.registry]:
                try:
                    upstream.check()
                    return await ask(upstream, origin.name.text)
                except NotSigned as error:
                    unsigned = error
                    break
                except NotAtUpstream as error:
                    if isinstance(error, UpstreamRefused):
                        upstream.note_refusal(error)
                    break  # its mirrors have no more than it has
                except UpstreamUnavailable as error:
                    if is_needed and upstream.rests_until <= trio.current_time():
                        upstream.rest(error)
                    failed = error
                except UpstreamBroken as error:
                    log.warning("upstream_broken", upstream=upstream.url, reason=str(error))
                    failed = failed or error
        if failed is not None:
            raise failed
        msg = "no upstream has it"
        raise unsigned or NotAtUpstream(msg)

    def remaining(self) -> dict[str, int]:
        """Return how many more requests each host answers, as far as it says so."""
        found = {}
        for upstreams in self.by_registry.values():
            for upstream in upstreams:
                left = [
                    each.ratelimit_remaining
                    for each in (upstream.manifests, upstream.blobs, upstream.ranges)
                    if each.ratelimit_remaining is not None
                ]
                if left:
                    found[urlsplit(upstream.url).netloc] = min(left)
        return found


@asynccontextmanager
async def open_upstreams(
    settings: MirrorSettings, longest_manifest_bytes: int, registries: Iterable[MirroredRegistry] | None = None
) -> AsyncIterator[Upstreams]:
    """Open a client for each address of these registries; `None`: of those that are mirrored on demand.

    Raises `ValueError` for certificates or credentials that cannot be read.
    """
    known, services = await _logins(settings.credentials), LoginServices()
    async with AsyncExitStack() as stack:
        opened = {}
        for registry in settings.mirrored if registries is None else registries:
            upstreams = []
            for url in registry.urls:
                login, service = login_at(known, url), registry.login_service
                credentials = None if service is None else services.credentials(service, url)
                own = _settings(registry, url, login, longest_manifest_bytes)
                manifests = await stack.enter_async_context(open_upstream(own, credentials))
                own_places = manifests.with_own_places(), manifests.with_own_places()
                has_login = login is not None or service is not None
                upstreams.append(Upstream(url, manifests, *own_places, registry.only_signed, has_login))
            opened[registry] = tuple(upstreams)
        yield Upstreams(opened)


async def _logins(file: Path | None) -> Mapping[str, Login]:
    """Return the logins by host. Raises `ValueError`."""
    if file is None:
        return {}
    try:
        return await trio.to_thread.run_sync(read_credentials_file, file)
    except ValueError as error:
        msg = f"extensions.sync.credentialsFile: {error}"
        raise ValueError(msg) from None


def _settings(
    registry: MirroredRegistry, url: str, login: Login | None, longest_manifest_bytes: int
) -> UpstreamSettings:
    return UpstreamSettings(
        api_url(url),
        "" if login is None else login.username,
        "" if login is None else login.password,
        tls_verify=registry.tls_verify,
        certificates=registry.cert_dir,
        retries=registry.max_retries,
        retry_delay_s=registry.retry_delay_s,
        longest_retry_delay_s=registry.max_retry_delay_s,
        requests_in_flight=registry.requests_at_once,
        requests_per_second=registry.requests_per_second,
        longest_manifest_bytes=longest_manifest_bytes,
    )
