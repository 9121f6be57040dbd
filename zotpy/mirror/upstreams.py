"""The upstreams of a replica: asked one after another, and left alone for a while after they failed."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

import structlog
import trio

from zotpy.mirror.events import Answered, MirrorEvents, Unwatched
from zotpy.mirror.rests import Rests
from zotpy.mirror.rules import Origin
from zotpy.settings.mirror import MirroredRegistry
from zotpy.upstream.errors import (
    NotAtUpstream,
    NotSigned,
    UpstreamBroken,
    UpstreamError,
    UpstreamRefused,
    UpstreamUnavailable,
)
from zotpy.upstream.registry import UpstreamRegistry

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
    rests: Rests = field(default_factory=Rests)
    _silent_until: float = field(default=-1.0)
    """Until when the log says nothing about refusals."""

    @property
    def host(self) -> str:
        """Its host, with its port."""
        return urlsplit(self.url).netloc

    def note(self, thing: str, error: UpstreamError, *, is_needed: bool) -> None:
        """Take note of an error. The upstream is left alone if it did not answer, unless the thing is not needed."""
        if isinstance(error, UpstreamUnavailable):
            if is_needed and not self.rests.left_s(thing):  # otherwise another request has just failed as well
                self._rest(thing, error)
            return
        self.rests.note_answer()
        if isinstance(error, UpstreamRefused):
            self._note_refusal(error)
        elif isinstance(error, UpstreamBroken):
            log.warning("upstream_broken", upstream=self.url, reason=str(error))

    def _rest(self, thing: str, error: UpstreamUnavailable) -> None:
        pause_s, is_whole = self.rests.note_failure(thing, error)
        only = {} if is_whole else {"only": thing}
        log.warning("upstream_unavailable", upstream=self.url, reason=str(error), pause_s=round(pause_s, 3), **only)

    def _note_refusal(self, error: UpstreamRefused) -> None:
        """Log that it refuses something, since clients only learn that it is not here."""
        if (now := trio.current_time()) >= self._silent_until:
            self._silent_until = now + REFUSALS_APART_S
            log.warning("upstream_refused", upstream=self.url, reason=str(error), has_login=self.has_login)

    def check(self, thing: str) -> None:
        """Raise `UpstreamUnavailable` if it rests, or this thing does."""
        if left_s := self.rests.left_s(thing):
            msg = f"{self.url} did not answer a moment ago"
            raise UpstreamUnavailable(msg, retry_after_s=left_s)


Ask = Callable[[Upstream, str], Awaitable[T]]
"""Asks an upstream for something of the repository that it calls so. Raises `UpstreamError`."""


@dataclass(frozen=True, slots=True)
class Upstreams:
    """All of them, by registry."""

    by_registry: Mapping[MirroredRegistry, tuple[Upstream, ...]]
    events: MirrorEvents = field(default_factory=Unwatched)

    async def first(self, origins: Iterable[Origin], what: str, ask: Ask[T], *, is_needed: bool = True) -> T:
        """Return the first answer: the origins in order, and of each its addresses in order.

        `what` stands for what is asked for in the repository. An address that does not answer is left alone for a
        while, unless what is asked for is not needed.

        Raises `NotAtUpstream` if all say that it does not exist, `NotSigned` if one has it without a signature;
        otherwise the error of one that might have it.
        """
        failed: UpstreamError | None = None
        unsigned: NotSigned | None = None
        for origin in origins:
            for upstream in self.by_registry[origin.registry]:
                thing = f"{origin.name.text}/{what}"
                try:
                    upstream.check(thing)
                    return await self._ask(upstream, origin.name.text, thing, ask, is_needed=is_needed)
                except NotSigned as error:
                    unsigned = error
                    break
                except NotAtUpstream:
                    break  # its mirrors have no more than it has
                except UpstreamUnavailable as error:
                    failed = error
                except UpstreamBroken as error:
                    failed = failed or error
        if failed is not None:
            raise failed
        msg = "no upstream has it"
        raise unsigned or NotAtUpstream(msg)

    async def _ask(self, upstream: Upstream, name: str, thing: str, ask: Ask[T], *, is_needed: bool) -> T:
        """Ask one address, and take note of what it answers. Raises `UpstreamError`."""
        try:
            answer = await ask(upstream, name)
        except UpstreamError as error:
            self.events.on_mirror_answer(upstream.host, _outcome_of(error))
            upstream.note(thing, error, is_needed=is_needed)
            raise
        self.events.on_mirror_answer(upstream.host, "answered")
        upstream.rests.note_answer()
        return answer

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
                    found[upstream.host] = min(left)
        return found


def _outcome_of(error: UpstreamError) -> Answered:
    """Return what an error counts as."""
    if isinstance(error, NotSigned):
        return "answered"
    if isinstance(error, NotAtUpstream):
        return "refused" if isinstance(error, UpstreamRefused) else "absent"
    return "unavailable" if isinstance(error, UpstreamUnavailable) else "broken"
