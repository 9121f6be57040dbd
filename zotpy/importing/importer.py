"""An import of many repositories: several at once, each with several tags at once, within what the source allows."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import trio

from zotpy.concurrency import plain_errors
from zotpy.core.companions import companion_of
from zotpy.core.digests import Digest
from zotpy.core.errors import PreconditionFailed, RegistryError, TooManyRequests, TryAgain
from zotpy.core.names import RepositoryName, Tag
from zotpy.importing.advice import Hints
from zotpy.importing.copying import Copier, TooDeep
from zotpy.importing.selection import Choice
from zotpy.importing.sources import Source
from zotpy.importing.tally import Tally
from zotpy.upstream import NotAtUpstream, UpstreamError, UpstreamRefused, UpstreamUnavailable
from zotpy.upstream.errors import LoginRefused

MOST_FAILURES = 10
"""The import gives up after this many tags in a row for which the source did not answer."""
ATTEMPTS = 3
"""How often a tag is tried if our own store asks us to wait."""
MOST_REMEMBERED = 200_000
"""For how many manifests of one repository the import remembers that it has copied their referrers."""
T = TypeVar("T")


class SourceGone(Exception):
    """The source does not answer any more."""


@dataclass(frozen=True, slots=True)
class Repository:
    """What the source calls it, and what it is called here."""

    source: str
    target: RepositoryName
    copied: set[Digest] = field(default_factory=set)
    """Manifests whose referrers the import has asked for."""


@dataclass(eq=False, slots=True)
class Importer:
    """Copies the selected content of one source."""

    source: Source
    copier: Copier
    selection: Choice
    tally: Tally
    at_once: int
    timeout_s: float = float("inf")
    """How long one tag may take."""
    hints: Hints = field(default_factory=Hints)
    _failures: int = 0
    _is_refused: bool = False
    """Whether the source refused something to our login."""

    async def run(self) -> None:
        """Copy everything that is selected, and note what cannot be copied.

        Raises `UpstreamError`, `SourceGone`, `StoreError`.
        """
        await for_each(Listed(self.selection.named), self.at_once, self._repository)
        if self.selection.needs_list:
            chosen = Chosen(self.source.repositories(), self.selection.wants)
            try:
                await for_each(chosen, self.at_once, self._repository)
            except NotAtUpstream as error:
                raise UpstreamRefused(self.hints.no_list(error)) from error
            if not (chosen.listed if self.selection.named else chosen.taken):
                self.tally.hints.append(self.hints.no_repositories(chosen.listed))

    async def _repository(self, name: str) -> None:
        try:
            repo = Repository(name, self.selection.target(name))
            tags = [tag async for tag in self.source.tags(name)]
        except (RegistryError, UpstreamError) as error:
            self._note(name, error)
            return
        companions = {tag: its_stem for tag in tags if (its_stem := companion_of(tag)) is not None}
        ordinary = [tag for tag in tags if tag not in companions and self.selection.wants_tag(name, tag)]
        await for_each(Listed(ordinary), self.at_once, partial(self._tag, repo))
        belonging = self.selection.belonging(name, companions, repo.copied)
        await for_each(Listed(belonging), self.at_once, partial(self._tag, repo))
        self.tally.repositories += 1

    async def _tag(self, repo: Repository, tag: str) -> None:
        """Copy a tag and its referrers. Note a failure, which does not stop other tags."""
        where = f"{repo.source}:{tag}"
        for attempt in range(ATTEMPTS):
            try:
                with trio.fail_after(self.timeout_s):
                    digest = await self.copier.tag(repo, Tag.parse(tag))
                    if digest is not None:
                        await self._referrers(repo, digest)
            except (TryAgain, TooManyRequests, PreconditionFailed) as error:
                if attempt + 1 == ATTEMPTS:
                    self._note(where, error)
                    return
                await trio.sleep(0 if isinstance(error, PreconditionFailed) else error.retry_after_s)
            except trio.TooSlowError:
                self.tally.add_problem(f"{where}: it was not here after {self.timeout_s:g} s")
                return
            except (RegistryError, UpstreamError, TooDeep) as error:
                is_absent = isinstance(error, NotAtUpstream) and not isinstance(error, UpstreamRefused)
                if not is_absent or not await self._is_gone(repo, tag):
                    self._note(where, error)
                return
            else:
                self._failures = 0
                return

    async def _is_gone(self, repo: Repository, tag: str) -> bool:
        """Say whether the tag was deleted at the source since it was listed. If so, count it."""
        try:
            await self.source.digest_of(repo.source, tag)
        except NotAtUpstream as error:
            is_gone = not isinstance(error, UpstreamRefused)
            self.tally.tags_gone += is_gone
            return is_gone
        except UpstreamError:
            return False
        return False

    async def _referrers(self, repo: Repository, digest: Digest) -> None:
        """Copy the referrers of a manifest and of all that it names, and the referrers of those."""
        if not self.selection.referrers:
            return
        waiting = [digest]
        while waiting:
            root = waiting.pop()
            if root in repo.copied:
                continue
            for each in await self.copier.children(repo, root):
                for referrer in await self.source.referrers(repo.source, each):
                    await self._referrer(repo, referrer)
                    waiting.append(referrer)
                if len(repo.copied) < MOST_REMEMBERED:
                    repo.copied.add(each)

    async def _referrer(self, repo: Repository, digest: Digest) -> None:
        try:
            is_new = await self.copier.manifest(repo, digest)
        except UpstreamRefused:
            raise
        except NotAtUpstream:
            self.tally.tags_gone += 1  # deleted since it was listed
        else:
            self.tally.referrers_copied += is_new

    def _note(self, where: str, error: Exception) -> None:
        """Note a failure. Raises `SourceGone` after too many in a row for which the source is to blame."""
        self.tally.add_problem(f"{where}: {error}")
        if isinstance(error, LoginRefused) and not self._is_refused:
            self._is_refused = True
            self.tally.hints.append(self.hints.refused())
        self._failures = self._failures + 1 if isinstance(error, UpstreamUnavailable) else 0
        if self._failures == MOST_FAILURES:  # those that fail at the same moment are only noted
            msg = f"the source failed {self._failures} times in a row: {error}"
            raise SourceGone(msg)


class Listed(AsyncIterator[T]):
    """Iterates over items that are known already."""

    def __init__(self, items: Iterable[T]) -> None:
        """Take the items."""
        self._items = iter(items)

    async def __anext__(self) -> T:
        await trio.lowlevel.checkpoint()
        for item in self._items:
            return item
        raise StopAsyncIteration


class Chosen(AsyncIterator[T]):
    """Iterates over some of the items."""

    def __init__(self, items: AsyncIterator[T], wants: Callable[[T], bool]) -> None:
        """Take the items, and a function that says whether an item is wanted."""
        self._items = items
        self._wants = wants
        self.listed = self.taken = 0
        """How many items there were so far, and how many of them were wanted."""

    async def __anext__(self) -> T:
        while True:
            item = await anext(self._items)
            self.listed += 1
            if self._wants(item):
                self.taken += 1
                return item


async def for_each(items: AsyncIterator[T], at_once: int, work: Callable[[T], Awaitable[None]]) -> None:
    """Work on all items, on some of them at once. The first failure ends all."""
    lock = trio.Lock()

    async def run() -> None:
        while True:
            async with lock:
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
            await work(item)

    with plain_errors():
        async with trio.open_nursery() as nursery:
            for _ in range(at_once):
                nursery.start_soon(run)
