"""From the settings of mirrored registries to clients of their addresses, with their logins."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trio

from zotpy.mirror.events import MirrorEvents, Unwatched
from zotpy.mirror.upstreams import Upstream, Upstreams
from zotpy.settings.mirror import MirroredRegistry, MirrorSettings
from zotpy.settings.upstream import UpstreamSettings
from zotpy.upstream.credentials_file import login_at, read_credentials_file
from zotpy.upstream.docker_hub import api_url
from zotpy.upstream.login import Login
from zotpy.upstream.registry import open_upstream
from zotpy.upstream.temporary.opening import LoginServices


@asynccontextmanager
async def open_upstreams(
    settings: MirrorSettings,
    longest_manifest_bytes: int,
    registries: Iterable[MirroredRegistry] | None = None,
    events: MirrorEvents | None = None,
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
        yield Upstreams(opened, events or Unwatched())


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
