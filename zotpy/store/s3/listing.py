"""Pages of listings from stores that do not go on where they are asked to.

Some stores list the key to start after again (inclusive markers). Some ignore that key, and answer with the first page
for ever. Some list more keys than were asked for. What was listed before is left out here. A page that claims that more
follow, and leads no further, is an error: to take it for the end would miss keys, and to ask again would never end.
"""

from collections.abc import Sequence
from typing import NoReturn, TypeVar

from zotpy.s3.wire.responses import ListedObject, ListedUpload, ObjectListing
from zotpy.store.interface import StoreRefused

Item = TypeVar("Item", ListedObject, ListedUpload)


def page_after(listing: ObjectListing, start_after: str, limit: int) -> ObjectListing:
    """Return what a page has that comes after a key, at most `limit`. Raises `StoreRefused` where it leads nowhere."""
    objects, truncated = _cut(_new(listing.objects, start_after), listing.truncated, limit)
    # A directory that holds the key may have more below it.
    prefixes = [p for p in listing.prefixes if start_after.startswith(p) or follows(p, start_after)]
    if len(prefixes) > limit:
        prefixes, truncated = prefixes[:limit], True
    if truncated and not objects and not prefixes:
        _leads_nowhere("ListObjectsV2", "start-after", start_after)
    return ObjectListing(tuple(objects), tuple(prefixes), truncated)


def uploads_after(
    found: Sequence[ListedUpload], start_after: str, *, truncated: bool
) -> tuple[Sequence[ListedUpload], bool]:
    """Do the same for multiparts."""
    uploads = _new(found, start_after)
    if truncated and not uploads:
        _leads_nowhere("ListMultipartUploads", "key-marker", start_after)
    return uploads, truncated


def follows(key: str, start_after: str) -> bool:
    """Say whether a key comes after another, in the order of bytes or in that of stores that list by directories."""
    return not start_after or key > start_after or key.split("/") > start_after.split("/")


def _new(items: Sequence[Item], start_after: str) -> list[Item]:
    return [item for item in items if follows(item.key, start_after)]


def _cut(items: list[Item], truncated: bool, limit: int) -> tuple[list[Item], bool]:  # noqa: FBT001
    return (items[:limit], True) if len(items) > limit else (items, truncated)


def _leads_nowhere(operation: str, parameter: str, start_after: str) -> NoReturn:
    after = f" after {start_after!r}" if start_after else ""
    msg = (
        f"{operation}: the store says that more follow, and lists none{after}: it ignores {parameter}, and cannot hold "
        "more keys than fit on one page of a listing"
    )
    raise StoreRefused(msg)
