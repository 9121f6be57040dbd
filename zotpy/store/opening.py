"""Opening an S3 store: its bucket, and what the store is seen to do."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import structlog

from zotpy.core import keys
from zotpy.s3.checksums import CRC32C_HEADER, MD5_HEADER
from zotpy.s3.client import S3Client, open_client
from zotpy.s3.config import S3Config
from zotpy.s3.errors import S3Refused
from zotpy.store.interface import ConditionFailed, ContentRejected, Features, KeyMissing, Part, StoreRefused
from zotpy.store.s3 import S3Store
from zotpy.store.s3.completion import Completions, etag_matches
from zotpy.store.s3.error_table import store_errors

_REFUSED_HEADER = frozenset({400, 405, 411, 501})
_SWIFT_HEADER = "x-openstack-request-id"
OTHER_ETAG = '"00000000000000000000000000000000"'
OTHER_CRC, OTHER_MD5 = "AAAAAA==", "AAAAAAAAAAAAAAAAAAAAAA=="

log = structlog.get_logger()


@asynccontextmanager
async def open_s3_store(config: S3Config, prefix: str = "", *, create_bucket: bool = False) -> AsyncIterator[S3Store]:
    """Connect, create the bucket if settings ask for that, and probe. Raises `StoreError`."""
    async with AsyncExitStack() as stack:
        with store_errors():
            client = await stack.enter_async_context(open_client(config))
        await _find_bucket(S3Store(client, prefix), create=create_bucket)
        try:
            store = await _probed(client, prefix)
        except StoreRefused as refusal:
            if not config.checksums or not _may_be_for_a_header(refusal):
                raise
            client.send_md5_instead()
            store = await _probed(client, prefix)
            log.warning("checksums_are_md5", reason=str(refusal))
        yield store


@asynccontextmanager
async def open_for_reading(config: S3Config, prefix: str = "") -> AsyncIterator[S3Store]:
    """Connect to a bucket that is not ours, and write nothing to it, not even a probe. Raises `StoreError`."""
    async with AsyncExitStack() as stack:
        with store_errors():
            client = await stack.enter_async_context(open_client(config))
        yield S3Store(client, prefix)


async def _find_bucket(store: S3Store, *, create: bool) -> None:
    """Check that the bucket exists, and that the service shows at once what was written.

    Some services create a missing bucket with the first write to it. OpenStack Swift acknowledges an object that its
    lists have later, if the server with the list is slow or away. The collector would delete what such an object names.
    """
    try:
        await _refuse_swift(store)
    except StoreRefused as error:
        if not isinstance(error.__cause__, S3Refused) or error.__cause__.code != "NoSuchBucket":
            raise
        if not create:
            msg = (
                f"the bucket {store.client.config.bucket!r} does not exist: correct its name, or create it, or set "
                "storage.storageDriver.createbucket: true"
            )
            raise StoreRefused(msg) from error
        await store.create_bucket()
        await _refuse_swift(store)


async def _refuse_swift(store: S3Store) -> None:
    if _SWIFT_HEADER in await store.listings.headers("meta/"):
        msg = (
            "it is in OpenStack Swift, whose lists may lack what was just written, so that zotpy could delete content "
            "that is in use: choose a service that lists at once what it has acknowledged"
        )
        raise StoreRefused(msg)


async def _probed(client: S3Client, prefix: str) -> S3Store:
    store = S3Store(client, prefix)
    await _see_checksums(store)
    opened = S3Store(client, prefix, await probe(store), await probe_completions(store))
    opened.listings.by_marker = store.listings.by_marker
    return opened


def _may_be_for_a_header(refusal: StoreRefused) -> bool:
    """Say whether a service may have refused a write for its checksum headers: some services know none."""
    cause = refusal.__cause__
    return isinstance(cause, S3Refused) and cause.status in _REFUSED_HEADER


async def _see_checksums(store: S3Store) -> None:
    """Send an MD5 if the store compares no CRC-32C with what arrives, and say so if it compares nothing."""
    if not store.client.sends_crcs or await _compares(store, CRC32C_HEADER, OTHER_CRC):
        return
    if await _compares(store, MD5_HEADER, OTHER_MD5):
        store.client.send_md5_instead()
        log.warning("checksums_are_md5", reason="the store does not compare a CRC-32C with what arrives")
    else:
        log.warning(
            "checksums_mean_nothing", reason="the store compares neither a CRC-32C nor an MD5 with what arrives"
        )


def _probe_key() -> str:
    """Return the key of an object on which something is tested: nobody else writes it."""
    return f"meta/probe-{keys.new_id()}"


async def _compares(store: S3Store, header: str, other: str) -> bool:
    """Test whether the store refuses an object whose checksum is that of other content."""
    key = _probe_key()
    try:
        await store.put_as(key, b"probe", {header: other})
    except (ContentRejected, StoreRefused):
        return True
    finally:
        await store.delete(key)
    return False


async def probe(store: S3Store) -> Features:
    """Test which conditions the store honours, on an object of our own that is deleted afterwards."""
    key = _probe_key()
    await store.put(key, b"first")
    try:
        await store.listings.probe(key)
        create = await _refuses(store, key, if_none_match=True)
        replacing = await _refuses(store, key, if_match=OTHER_ETAG)
        if replacing:  # and a condition that holds must not be refused
            replacing = not await _refuses(store, key, if_match=(await store.get(key)).etag)
        deleting = await _keeps(store, key)
    finally:
        await store.delete_many([key, f"{key}-absent"])
    return Features(
        conditional_create=create,
        conditional_replace=replacing,
        conditional_delete=deleting,
        bulk_delete=store.deletions.in_one_call,
        takes_crcs=store.client.sends_crcs,
    )


async def probe_completions(store: S3Store) -> Completions:
    """Test what the store's answer to a completion proves, on an object of our own that is deleted afterwards."""
    key = _probe_key()
    multipart = await store.create_multipart(key)
    try:
        part = await store.put_part(key, multipart, 1, b"probe")
        other = replace(part, etag=OTHER_ETAG)
        refused_before = await _completed(store, key, multipart, other) is None
        etag = await _completed(store, key, multipart, part)
        refused_after = await _completed(store, key, multipart, other) is None
        return Completions(
            etag_proves=etag is not None and etag_matches([part], etag), others_refused=refused_before and refused_after
        )
    finally:
        await store.abort_multipart(key, multipart)
        await store.delete(key)


async def _refuses(store: S3Store, key: str, *, if_none_match: bool = False, if_match: str | None = None) -> bool:
    """Test whether a conditional put is refused for its condition. A store that does not know it refuses nothing."""
    try:
        await store.put(key, b"second", if_none_match=if_none_match, if_match=if_match)
    except (ConditionFailed, KeyMissing):
        return True
    except StoreRefused:
        return False
    return False


async def _keeps(store: S3Store, key: str) -> bool:
    """Test whether a conditional delete leaves an object alone that has another ETag."""
    try:
        await store.delete(key, if_match=OTHER_ETAG)
    except ConditionFailed:
        return True
    except StoreRefused:
        return False
    return False


async def _completed(store: S3Store, key: str, multipart: str, part: Part) -> str | None:
    """Return the ETag that the store answers to a completion, or `None` if it refuses."""
    with store_errors():
        try:
            etag, _ = await store.complete(key, multipart, [part])
        except S3Refused:
            return None
    return etag
