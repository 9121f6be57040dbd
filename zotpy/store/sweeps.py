"""Listings and deletions longer than one page."""

from collections.abc import AsyncIterator, Sequence

from zotpy.store.interface import Listed, Listing, Store

PAGE = 1000
_AFTER_DIRECTORY = "~"
"""Sorts after every character of our keys: to start after a directory with it leaves out all of the directory."""


async def pages(
    store: Store, prefix: str, *, directories: bool = False, page_size: int = PAGE
) -> AsyncIterator[Listing]:
    """List everything below a prefix page by page, a call for each.

    `directories` as for `Store.list`, for a prefix that has nothing else directly below it.
    """
    start_after = ""
    while True:
        listing = await store.list(prefix, start_after=start_after, limit=page_size, directories=directories)
        yield listing
        if listing.directories:
            start_after = listing.directories[-1] + _AFTER_DIRECTORY
        elif listing.objects:
            start_after = listing.objects[-1].key
        if not listing.truncated or not (listing.objects or listing.directories):
            return


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
