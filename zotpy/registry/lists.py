"""Lists of names: the tags of a repository, and the repositories (end-8a, end-8b; catalog).

Each is one listing of a prefix that holds nothing else. A page costs a call for each 1,000 names. Its names are bounded
in number, whatever a client asks for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress

from zotpy.concurrency import in_turns
from zotpy.core import keys
from zotpy.core.errors import Denied, NameUnknown
from zotpy.core.names import RepositoryName
from zotpy.core.paging import name_to_begin_after
from zotpy.memory.accounts import Account
from zotpy.registry.listing import STORE_PAGE, hold, list_after
from zotpy.settings import ListSettings
from zotpy.store.interface import KeyMissing, Store

NAME_BYTES = 512
"""About what a name takes in a listing and in its answer."""


@dataclass(frozen=True, slots=True)
class Page:
    """Names in the order of the list, and whether more follow."""

    names: Sequence[str]
    more: bool
    size: int
    """How many names a page of this size may hold."""


@dataclass(frozen=True, slots=True)
class Lists:
    """All requests for lists of names. Each takes the account that holds what its answer takes in memory."""

    store: Store
    settings: ListSettings

    async def tags(self, repo: RepositoryName, n: int | None, last: str, account: Account | None = None) -> Page:
        """List tags after `last`, at most `n`. Raises `NameUnknown` if nothing was ever pushed."""
        page = await self._names(keys.tags(repo), n, last, account)
        if not page.names and not await self._exists(repo):
            msg = f"the repository {repo} does not exist: check its name, or push to it"
            raise NameUnknown(msg, detail={"name": repo.text})
        return page

    async def catalog(
        self, n: int | None, last: str, account: Account | None = None, shows: Callable[[str], bool] | None = None
    ) -> Page:
        """List repositories that had a manifest pushed, after `last`, at most `n`.

        With `shows`, only those for whose names it says yes. Nothing tells of the others: a page has a next one only if
        that has a name, unless very many repositories in a row are not shown. Raises `Denied` if the page would then be
        empty.
        """
        after = last.replace("/", "!")
        if shows is None:
            page = await self._names(keys.REPOS, n, after, account)
        else:
            page = await self._shown(keys.REPOS, n, after, account, lambda name: shows(name.replace("!", "/")))
        return Page([name.replace("!", "/") for name in page.names], page.more, page.size)

    async def _names(self, prefix: str, n: int | None, last: str, account: Account | None) -> Page:
        """List names below a prefix that has no directories."""
        size = self.settings.page_size if n is None else min(n, self.settings.page_size)
        names: list[str] = []
        after, more = name_to_begin_after(last), size > 0
        while more and len(names) < size:
            objects, more = await list_after(self.store, prefix, after, min(STORE_PAGE, size - len(names)))
            if not names:
                await hold(account, NAME_BYTES * (size if more else len(objects)))
            names += [listed.key.removeprefix(prefix) for listed in objects]
            after = names[-1] if names else ""
        return Page(names[:size], more or len(names) > size, size)

    async def _shown(
        self, prefix: str, n: int | None, last: str, account: Account | None, shows: Callable[[str], bool]
    ) -> Page:
        """List names below a prefix that are shown, and look for one more than fits, to know if a page follows."""
        size = self.settings.page_size if n is None else min(n, self.settings.page_size)
        names: list[str] = []
        after, more, looked = name_to_begin_after(last), size > 0, 0
        if more:
            await hold(account, NAME_BYTES * (STORE_PAGE + size))
        while more and len(names) <= size and looked < self.settings.catalog_read:
            objects, more = await list_after(self.store, prefix, after, STORE_PAGE)
            found = [listed.key.removeprefix(prefix) for listed in objects]
            names += compress(found, await in_turns(found, shows))
            looked += len(found)
            after = found[-1] if found else ""
        if more and not names:
            msg = (
                f"the next {looked} repositories of the list are not yours to read, and zotpy looks no further: ask for"
                " your repositories by name, or ask the registry's operator to raise lists.catalogRead"
            )
            raise Denied(msg)
        return Page(names[:size], more or len(names) > size, size)

    async def _exists(self, repo: RepositoryName) -> bool:
        try:
            await self.store.get(keys.repository(repo))
        except KeyMissing:
            return False
        return True
