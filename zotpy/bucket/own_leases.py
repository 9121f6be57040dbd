"""Small blobs whose entry is its own lease: one conditional PUT makes the blob exist.

The bytes of a small blob are in its entry, so the entry relies on nothing else in the bucket. It can protect itself if
the store has all conditions. Its age is the time at which the store wrote it. Each writing differs (`nonce`), and the
collector deletes it only if it is still the one that it listed. So what a request renews meanwhile stays, as a lease
would.

A push or a mount creates the entry, or replaces the one that it has read; a renewal only does the latter. So a call
that takes effect long after its request has given up can do this, and no more:

- It makes the blob exist for a push or a mount that was not acknowledged.
- It replaces a blob that the request has read. That is the same blob, and only gets younger.

Either is right at any time. So these entries do not say by when they had to be written.

Releases that know only version 2 of the bucket's layout would delete such entries, as no lease protects them. So they
are written only if the layout is for newer releases (`zotpy.bucket.layout.OWN_LEASES`).
"""

from zotpy.bucket.entries import ATTEMPTS, Entries, Seen, overtaken
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.framing import FramingError
from zotpy.core.names import RepositoryName
from zotpy.core.record_values import BlobValue


async def write_own(entries: Entries, repo: RepositoryName, digest: Digest, value: BlobValue) -> None:
    """Make the blob exist, or renew it, whatever existed: mostly one call. Raises `TryAgain`.

    A young entry with the same bytes is left as it is.
    """
    seen = Seen(None)
    for _ in range(ATTEMPTS):
        if await entries.replace_by_own(repo, digest, seen, value) is not None:
            return
        seen = await _look(entries, repo, digest)
        if seen.is_young and seen.value == value:
            return
    raise overtaken(digest)


async def _look(entries: Entries, repo: RepositoryName, digest: Digest) -> Seen:
    """Read the entry. A damaged one may be replaced."""
    if (fetched := await entries.store.find(keys.entry(repo, "blobs", digest))) is None:
        return Seen(None)
    try:
        return entries.seen_in("blobs", fetched)[0]
    except FramingError:
        return Seen(None, fetched.etag)
