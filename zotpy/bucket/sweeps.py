"""Listings and deletions longer than one page."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Self

from zotpy.store.interface import Listed, ListedMultipart, Listing, MultipartMarker, Store, StoreRefused
from zotpy.store.single_deletions import delete_each

PAGE = 1000
_AFTER_DIRECTORY = "~"
"""Sorts after every character of our keys. A listing that starts after a directory with it leaves out the directory."""


class pages:  # noqa: N801 - used like a function; a generator left half way would wait for the garbage collector
    """List everything below a prefix page by page, a call for each.

    `directories` as for `Store.list`, for a prefix that has nothing else directly below it.
    """

    def __init__(self, store: Store, prefix: str, *, directories: bool = False, page_size: int = PAGE) -> None:
        self._list = partial(store.list, prefix, limit=page_size, directories=directories)
        self._start_after: str | None = ""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Listing:
        if self._start_after is None:
            raise StopAsyncIteration
        listing = await self._list(start_after=self._start_after)
        # Some stores list the directory again after which they should start: it was in the page before.
        listed_before = self._start_after.removesuffix(_AFTER_DIRECTORY)
        directories = [directory for directory in listing.directories if directory != listed_before]
        last = directories[-1] + _AFTER_DIRECTORY if directories else ""
        last = last or (listing.objects[-1].key if listing.objects else "")
        if listing.truncated and not last:
            msg = f"the store lists {listed_before!r} again and nothing after it: it ignores start-after"
            raise StoreRefused(msg)
        self._start_after = last if listing.truncated else None
        return listing if len(directories) == len(listing.directories) else replace(listing, directories=directories)


async def list_all(store: Store, prefix: str) -> list[Listed]:
    """List every object below a prefix that is known to be small enough for memory; a call for each 1,000."""
    return [listed async for page in pages(store, prefix) for listed in page.objects]


async def each_multipart(
    store: Store, prefix: str, look: Callable[[ListedMultipart], None], *, page_size: int = PAGE
) -> None:
    """Call `look` with every multipart below a prefix. Raises `StoreRefused` if the store lists the same ones again."""
    after: MultipartMarker | None = None
    ends = set[MultipartMarker]()
    while True:
        page = await store.list_multiparts(prefix, after=after, limit=page_size)
        for multipart in page.multiparts:
            look(multipart)
        if page.end is None:
            return
        if page.end in ends:
            msg = f"the store lists the same multiparts below {prefix!r} again: it ignores its own markers"
            raise StoreRefused(msg)
        ends.add(page.end)
        after = page.end


async def delete_all(store: Store, keys: Sequence[str]) -> None:
    """Delete objects, with a call for each 1,000, or for each one if the store has no other."""
    if len(keys) == 1 or not store.features.bulk_delete:
        await delete_each(store.delete, keys)
        return
    for start in range(0, len(keys), PAGE):
        await store.delete_many(keys[start : start + PAGE])
