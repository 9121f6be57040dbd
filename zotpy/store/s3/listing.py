"""Pages of listings from stores that do not go on where they are asked to.

Some stores list the key to start after again (inclusive markers). Some ignore that key, and answer with the first page
for ever. Some list more keys than were asked for. What was listed before is left out here. A page that claims that more
follow, and leads no further, is an error: to take it for the end would miss keys, and to ask again would never end.
"""

from typing import NoReturn

from zotpy.s3.wire.responses import ListedObject, ObjectListing, UploadListing
from zotpy.store.interface import MultipartMarker, StoreRefused


def page_after(listing: ObjectListing, start_after: str, limit: int) -> ObjectListing:
    """Return what a page has that comes after a key, at most `limit`. Raises `StoreRefused` where it leads nowhere."""
    objects = [item for item in listing.objects if follows(item.key, start_after)]
    objects, truncated = _cut(objects, listing.truncated, limit)
    # A directory that holds the key may have more below it.
    prefixes = [p for p in listing.prefixes if start_after.startswith(p) or follows(p, start_after)]
    if len(prefixes) > limit:
        prefixes, truncated = prefixes[:limit], True
    if truncated and not objects and not prefixes:
        _leads_nowhere("ListObjectsV2", "start-after", start_after)
    return ObjectListing(tuple(objects), tuple(prefixes), truncated)


def end_of_uploads(listing: UploadListing, after: MultipartMarker | None) -> MultipartMarker | None:
    """Return where a page of multiparts ends; `None`: it is the last. Raises `StoreRefused` where it leads nowhere.

    What the store says counts, not the last key: SeaweedFS lists in another order than that of keys, and takes a
    `key-marker` of its own for the one key to list.
    """
    if not listing.truncated:
        return None
    end = MultipartMarker(listing.next_key, listing.next_upload_id)
    if end == MultipartMarker("", "") and listing.uploads:
        end = MultipartMarker(listing.uploads[-1].key, listing.uploads[-1].upload_id)
    if end in {MultipartMarker("", ""), after}:
        _leads_nowhere("ListMultipartUploads", "its markers", after.key if after is not None else "")
    return end


def follows(key: str, start_after: str) -> bool:
    """Say whether a key comes after another, in the order of bytes or in that of stores that list by directories."""
    return not start_after or key > start_after or key.split("/") > start_after.split("/")


def _cut(items: list[ListedObject], truncated: bool, limit: int) -> tuple[list[ListedObject], bool]:  # noqa: FBT001
    return (items[:limit], True) if len(items) > limit else (items, truncated)


def _leads_nowhere(operation: str, parameter: str, start_after: str) -> NoReturn:
    after = f" after {start_after!r}" if start_after else ""
    msg = (
        f"{operation}: the store says that more follow, and lists none{after}: it ignores {parameter}, and cannot hold "
        "more keys than fit on one page of a listing"
    )
    raise StoreRefused(msg)
