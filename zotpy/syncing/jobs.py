"""One run of `zotpy sync`: each registry is copied in turn, from the first of its addresses that answers to the end."""

from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import structlog

from zotpy.core.digests import Digest
from zotpy.importing.advice import Hints
from zotpy.importing.copying import Copier, IsImmutable, Mirroring
from zotpy.importing.importer import Importer, SourceGone
from zotpy.importing.sources import RegistrySource
from zotpy.importing.tally import Tally
from zotpy.mirror.checks import Checks
from zotpy.mirror.opening import open_upstreams
from zotpy.mirror.upstreams import Upstream
from zotpy.registry.registry import Registry
from zotpy.settings.mirror import MirroredRegistry, MirrorSettings
from zotpy.startup import StartupError
from zotpy.syncing.choice import MirroredChoice
from zotpy.upstream import UpstreamUnavailable
from zotpy.upstream.signatures import is_signed

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Job:
    """One registry."""

    settings: MirrorSettings
    registry: MirroredRegistry
    once_in_its_interval: bool = False
    """It is due only if `pollInterval` has passed since a run came to its end."""

    @property
    def title(self) -> str:
        """The registry, for people."""
        return self.registry.urls[0]

    @property
    def _content(self) -> Digest:
        """Stands for what is copied. If that changes, the registry is due at once."""
        return Digest.of(repr((self.registry.urls, self.registry.content)).encode())

    async def is_due(self, here: Registry) -> bool:
        """Say whether to copy now, by the store's clock."""
        if not self.once_in_its_interval:
            return True
        copied_s = await Checks(here.store).copied_s(self._content)
        return copied_s is None or copied_s >= (self.registry.poll_interval_s or 0.0)

    async def run(self, here: Registry, is_immutable: IsImmutable, tally: Tally) -> None:
        """Copy what is new. What cannot be copied is noted.

        Raises `UpstreamError`, `SourceGone`, `StoreError`, and `StartupError` for certificates or credentials that
        cannot be read.
        """
        longest_bytes = here.settings.manifest.max_size_bytes
        async with AsyncExitStack() as stack:
            opening = open_upstreams(self.settings, longest_bytes, [self.registry])
            try:
                upstreams = await stack.enter_async_context(opening)
            except ValueError as error:
                raise StartupError(str(error)) from error
            *others, last = upstreams.by_registry[self.registry]
            for upstream in others:
                noted = len(tally.problems)
                try:
                    await self._copy(upstream, here, is_immutable, tally)
                except (UpstreamUnavailable, SourceGone) as error:
                    log.warning("upstream_unavailable", upstream=upstream.url, reason=str(error))
                    del tally.problems[noted:]  # the next address is asked for the same
                else:
                    break
            else:
                await self._copy(last, here, is_immutable, tally)
        await Checks(here.store).note_copied(self._content)

    async def _copy(self, upstream: Upstream, here: Registry, is_immutable: IsImmutable, tally: Tally) -> None:
        registry, client = self.registry, upstream.manifests
        source, at_once = RegistrySource(client), registry.requests_at_once
        mirroring = Mirroring(partial(is_signed, client) if registry.only_signed else None)
        copier = Copier(source, here, is_immutable, tally, at_once, mirroring)
        login = f"write one for {urlsplit(upstream.url).netloc} to extensions.sync.credentialsFile"
        remedy = "write the names to copy in content as prefix, without stars"
        hints = Hints(upstream.url, login, remedy, has_login=upstream.has_login)
        await Importer(source, copier, MirroredChoice(registry), tally, at_once, registry.timeout_s, hints).run()


def plan(settings: MirrorSettings, wanted: Sequence[str], *, only_due: bool = False) -> list[Job]:
    """Return what is copied: the registries that are named, or else those that have a `pollInterval`.

    If `only_due`, each is due once in its interval. Raises `ValueError` with a sentence that says what is wrong.
    """
    chosen = [_named(settings, text) for text in wanted] if wanted else settings.polled
    return [Job(settings, registry, only_due) for registry in dict.fromkeys(chosen)]


def _named(settings: MirrorSettings, text: str) -> MirroredRegistry:
    """Find a registry by its place in the list, or by one of its addresses."""
    if not settings.enable:
        msg = "extensions.sync.enable is false"
        raise ValueError(msg)
    if text.isdecimal() and text.isascii():
        found = settings.registries[int(text) : int(text) + 1]
    else:
        found = tuple(each for each in settings.registries if set(_urls(text)) & set(each.urls))
    if not found:
        known = ", ".join(each.urls[0] for each in settings.registries) or "none"
        msg = f"--registry {text}: no such registry in extensions.sync.registries, which has {known}"
        raise ValueError(msg)
    if not found[0].has_content:
        msg = f'--registry {text}: name what to copy in content; for everything, write prefix: "**"'
        raise ValueError(msg)
    return found[0]


def _urls(text: str) -> Iterator[str]:
    text = text.rstrip("/")
    yield text
    if "://" not in text:
        yield f"https://{text}"
        yield f"http://{text}"
