"""Listings of objects and of multiparts, page by page, also of stores that do not continue as they should.

Some stores list the key to start after again (inclusive markers). Some ignore `start-after` and always answer with the
first page: zotpy uses the older ListObjects for them, whose `marker` they know. Some list more keys than were asked
for. This module leaves out what was listed before.

If a page claims that more keys follow but has no new keys, that is an error. To take it for the end would miss keys,
and to ask again would never end.
"""

from collections.abc import Mapping, Sequence
from typing import NoReturn

import structlog

from zotpy.s3.client import Answer, Request, S3Client
from zotpy.s3.wire import responses
from zotpy.s3.wire.responses import ListedObject, ObjectListing, UploadListing
from zotpy.store.interface import Listed, ListedMultipart, Listing, MultipartListing, MultipartMarker, StoreRefused
from zotpy.store.s3.error_table import store_errors
from zotpy.store.s3.times import store_time_of

MOST_LISTED = 1000
"""How many a page lists if the caller asks for nothing else."""
_AFTER = "~"
"""Sorts after all characters of our keys."""

log = structlog.get_logger()


class Listings:
    """Pages of one bucket, below one prefix."""

    def __init__(self, client: S3Client, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self.by_marker = False
        """Ask with ListObjects and its `marker`; otherwise with ListObjectsV2 and `start-after`."""

    async def probe(self, key: str) -> None:
        """Find out how to ask the store for a page, with an object that exists and that no other follows."""
        for self.by_marker in (False, True):
            _, listing = await self._page(key, key + _AFTER, 1, directories=False)
            if not listing.objects:
                if self.by_marker:
                    log.warning("lists_by_marker", reason="the store ignores start-after in ListObjectsV2")
                return
        self.by_marker = False
        log.warning("lists_begin_anew", reason="the store ignores start-after: lists longer than a page are refused")

    async def headers(self, prefix: str) -> Mapping[str, str]:
        """List one object at most, and return the headers of the answer: they tell which server it is."""
        answer, _ = await self._page(prefix, "", 1, directories=False)
        return answer.headers

    async def list(self, prefix: str, start_after: str, limit: int, *, directories: bool) -> Listing:
        """See `Store`."""
        answer, listing = await self._page(prefix, start_after, limit, directories=directories)
        listing = page_after(listing, self._prefix + start_after if start_after else "", limit)
        cut = len(self._prefix)
        objects = [Listed(o.key[cut:], o.size_bytes, o.etag, o.last_modified) for o in listing.objects]
        folded = tuple(folded[cut:] for folded in listing.prefixes)
        with store_errors():
            return Listing(objects, listing.truncated, store_time_of(answer), folded)

    async def _page(
        self, prefix: str, start_after: str, limit: int, *, directories: bool
    ) -> tuple[Answer, ObjectListing]:
        query = [("prefix", self._prefix + prefix), ("max-keys", str(limit))]
        if not self.by_marker:
            query.append(("list-type", "2"))
        if start_after:
            query.append(("marker" if self.by_marker else "start-after", self._prefix + start_after))
        if directories:
            query.append(("delimiter", "/"))
        with store_errors():
            answer = await self._client.call(Request("ListObjectsV2", "GET", None, query))
            listing = responses.parse_listing(answer.body)
        _check(self._prefix + prefix, "ListObjectsV2", [*(each.key for each in listing.objects), *listing.prefixes])
        return answer, listing

    async def list_multiparts(self, prefix: str, after: MultipartMarker | None, limit: int) -> MultipartListing:
        """See `Store`."""
        query = [("uploads", ""), ("prefix", self._prefix + prefix)]
        if limit != MOST_LISTED:  # S3Proxy refuses the parameter, although it lists as many without it
            query.append(("max-uploads", str(limit)))
        if after is not None:
            markers = (("key-marker", after.key), ("upload-id-marker", after.multipart_id))
            query += [(name, text) for name, text in markers if text]
        with store_errors():
            answer = await self._client.call(Request("ListMultipartUploads", "GET", None, query))
            listing = responses.parse_uploads(answer.body)
        _check(self._prefix + prefix, "ListMultipartUploads", [each.key for each in listing.uploads])
        cut = len(self._prefix)
        found = [ListedMultipart(u.key[cut:], u.upload_id, u.initiated) for u in listing.uploads]
        return MultipartListing(found, end_of_uploads(listing, after))


def page_after(listing: ObjectListing, start_after: str, limit: int) -> ObjectListing:
    """Return what a page has after a key, at most `limit`. Raises `StoreRefused` if it leads nowhere."""
    objects = [item for item in listing.objects if follows(item.key, start_after)]
    objects, truncated = _cut(objects, listing.truncated, limit)
    # a directory that contains the key may have more keys below it
    prefixes = [p for p in listing.prefixes if start_after.startswith(p) or follows(p, start_after)]
    if len(prefixes) > limit:
        prefixes, truncated = prefixes[:limit], True
    if truncated and not objects and not prefixes:
        _leads_nowhere("ListObjectsV2", "start-after", start_after)
    return ObjectListing(tuple(objects), tuple(prefixes), truncated)


def end_of_uploads(listing: UploadListing, after: MultipartMarker | None) -> MultipartMarker | None:
    """Return where a page of multiparts ends; `None`: it is the last. Raises `StoreRefused` if it leads nowhere.

    The store's own marker counts, not the last key: SeaweedFS does not list in the order of keys, and takes a
    `key-marker` of ours for the one key to list.
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


def _check(prefix: str, operation: str, keys: Sequence[str]) -> None:
    """Check that a page has nothing but what was asked for.

    Otherwise zotpy would take the keys of others for its own.
    """
    for key in keys:
        if not key.startswith(prefix):
            msg = f"{operation}: the store lists {key[:200]!r}, which does not begin with {prefix!r}"
            raise StoreRefused(msg)


def _leads_nowhere(operation: str, parameter: str, start_after: str) -> NoReturn:
    after = f" after {start_after!r}" if start_after else ""
    msg = (
        f"{operation}: the store says that more keys follow, but lists none{after}: it ignores {parameter}, and so "
        "cannot hold more keys than fit on one page of a listing"
    )
    raise StoreRefused(msg)
