"""Which repositories there are: found by their directories, a call for each thousand and each level of names."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import trio

from zotpy.core import keys
from zotpy.core.names import RepositoryName
from zotpy.registry.concurrency import plain_errors
from zotpy.store.interface import Store
from zotpy.store.sweeps import PAGE, pages

ROOTS = (keys.LEASES, keys.ENTRIES, keys.TAGS, keys.TAGGED, keys.REFERRERS)
"""Wherever a repository may have left something. Catalog markers are listed besides."""


async def repositories_below(store: Store, root: str, page_size: int = PAGE) -> AsyncGenerator[RepositoryName, None]:
    """Yield every repository that has anything below a root such as `keys.LEASES`, each once."""
    directories = [root]
    while directories:
        directory = directories.pop()
        async for page in pages(store, directory, directories=True, page_size=page_size):
            for below in page.directories:
                repo = keys.repository_below(root, below)
                if repo is None:
                    directories.append(below)
                else:
                    yield repo


async def all_repositories(store: Store) -> AsyncGenerator[RepositoryName, None]:
    """Yield every repository of which anything is left, some of them several times."""
    for root in ROOTS:
        async with aclosing(repositories_below(store, root)) as repositories:
            async for repo in repositories:
                yield repo
    async for page in pages(store, keys.REPOS):
        for listed in page.objects:
            yield keys.repository_of(listed.key)


async def for_each(
    repositories: AsyncGenerator[RepositoryName, None], work: Callable[[RepositoryName], Awaitable[None]], at_once: int
) -> None:
    """Do something for every repository, for `at_once` of them at a time."""
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
