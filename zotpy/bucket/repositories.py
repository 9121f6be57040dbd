"""Which repositories exist: found by their directories, with a call for each thousand and each level of names."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import trio

from zotpy.bucket.sweeps import PAGE, pages
from zotpy.bucket.tables import Table
from zotpy.concurrency import plain_errors
from zotpy.core import keys
from zotpy.core.errors import NameInvalid
from zotpy.core.names import RepositoryName
from zotpy.store.interface import Store

ROOTS = (keys.LEASES, keys.ENTRIES, keys.TAGS, keys.TAGGED, keys.REFERRERS)
"""The roots below which a repository may have left something. Catalog markers are listed in addition."""


async def repositories_below(
    store: Store, root: str, page_size: int = PAGE, *, foreign: list[str] | None = None
) -> AsyncGenerator[RepositoryName, None]:
    """Yield every repository that has anything below a root such as `keys.LEASES`, each once.

    Keys below it that belong to no repository are added to `foreign`. Without `foreign` they raise `NameInvalid`.
    """
    directories = [root]
    while directories:
        directory = directories.pop()
        async for page in pages(store, directory, directories=True, page_size=page_size):
            for below in page.directories:
                try:
                    repo = keys.repository_below(root, below)
                except NameInvalid:
                    if not (await store.list(below, limit=1)).objects:
                        continue  # some stores list a directory that has become empty
                    if foreign is None:
                        raise
                    foreign.append(below)
                    continue
                if repo is None:
                    directories.append(below)
                else:
                    yield repo


async def all_repositories(store: Store, foreign: list[str], seen: Table) -> AsyncGenerator[RepositoryName, None]:
    """Yield every repository of which anything is left, each once; `foreign` as above.

    `seen` holds what was yielded: the caller makes it, and says how much of it may be in memory.
    """
    async with aclosing(_everywhere(store, foreign)) as repositories:
        async for repo in repositories:
            if not await seen.of([repo.text]):
                await seen.add([(repo.text, "")])
                yield repo


async def _everywhere(store: Store, foreign: list[str]) -> AsyncGenerator[RepositoryName, None]:
    """Yield the repositories below each root, so most of them several times."""
    for root in ROOTS:
        async with aclosing(repositories_below(store, root, foreign=foreign)) as repositories:
            async for repo in repositories:
                yield repo
    async for page in pages(store, keys.REPOS):
        for listed in page.objects:
            try:
                repo = keys.repository_of(listed.key)
            except NameInvalid:
                foreign.append(listed.key)
                continue
            yield repo


async def for_each(
    repositories: AsyncGenerator[RepositoryName, None], work: Callable[[RepositoryName], Awaitable[None]], at_once: int
) -> None:
    """Call a function for every repository, for `at_once` of them at a time."""
    send, receive = trio.open_memory_channel[RepositoryName](0)

    async def worker(channel: trio.MemoryReceiveChannel[RepositoryName]) -> None:
        async with channel:
            async for repo in channel:
                await work(repo)

    with plain_errors():
        async with trio.open_nursery() as nursery:
            async with receive:
                for _ in range(at_once):
                    nursery.start_soon(worker, receive.clone())
            async with send, aclosing(repositories):
                async for repo in repositories:
                    await send.send(repo)
