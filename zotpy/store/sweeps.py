"""Listings and deletions longer than one page."""

from collections.abc import Sequence

from zotpy.store.interface import Listed, Store

PAGE = 1000


async def list_all(store: Store, prefix: str) -> list[Listed]:
    """List every object below a prefix that is known to be small enough for memory; a call for each 1,000."""
    objects: list[Listed] = []
    start_after = ""
    while True:
        listing = await store.list(prefix, start_after=start_after)
        objects.extend(listing.objects)
        if not listing.truncated or not listing.objects:
            return objects
        start_after = listing.objects[-1].key


async def delete_all(store: Store, keys: Sequence[str]) -> None:
    """Delete objects, a call for each 1,000."""
    if len(keys) == 1:
        await store.delete(keys[0])
        return
    for start in range(0, len(keys), PAGE):
        await store.delete_many(keys[start : start + PAGE])
