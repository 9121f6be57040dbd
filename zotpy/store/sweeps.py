"""Listings and deletions longer than one page."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Self

from zotpy.store.interface import Listed, Listing, Store, StoreRefused

PAGE = 1000
_AFTER_DIRECTORY = "~"
"""Sorts after every character of our keys: to start after a directory with it leaves out all of the directory."""


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
        # A store that lists the directory again that it was to start after: that one was in the page before.
        listed_before = self._start_after.removesuffix(_AFTER_DIRECTORY)
        directories = [directory for directory in listing.directories if directory != listed_before]
        last = directories[-1] + _AFTER_DIRECTORY if directories else ""
        last = last or (listing.objects[-1].key if listing.objects else "")
        if listing.truncated and not last:
            msg = f"the store lists {listed_before!r} again and again, and nothing after it: it ignores start-after"
            raise StoreRefused(msg)
        self._start_after = last if listing.truncated else None
        return replace(listing, directories=directories)


async def list_all(store: Store, prefix: str) -> list[Listed]:
    """List every object below a prefix that is known to be small enough for memory; a call for each 1,000."""
    return [listed async for page in pages(store, prefix) for listed in page.objects]


async def delete_all(store: Store, keys: Sequence[str]) -> None:
    """Delete objects, a call for each 1,000."""
    if len(keys) == 1:
        await store.delete(keys[0])
        return
    for start in range(0, len(keys), PAGE):
        await store.delete_many(keys[start : start + PAGE])
