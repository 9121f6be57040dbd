"""Opening an S3 store: its bucket, and what it is seen to do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zotpy.core import keys
from zotpy.s3.client import open_client
from zotpy.s3.config import S3Config
from zotpy.store.interface import ConditionFailed, Features, KeyMissing
from zotpy.store.s3 import S3Store


@asynccontextmanager
async def open_s3_store(config: S3Config, prefix: str = "", *, create_bucket: bool = False) -> AsyncIterator[S3Store]:
    """Connect, make the bucket where asked to, and probe. Raises `StoreError`."""
    async with open_client(config) as client:
        store = S3Store(client, prefix)
        if create_bucket:
            await store.create_bucket()
        yield S3Store(client, prefix, await probe(store))


async def probe(store: S3Store) -> Features:
    """See which conditions the store honours, on an object of our own that is deleted afterwards."""
    key = f"meta/probe-{keys.new_id()}"
    stored = await store.put(key, b"first")
    try:
        create = not await _written(store, key, if_none_match=True)
        replace = not await _written(store, key, if_match='"00000000000000000000000000000000"')
        if replace:  # and a condition that holds must not be refused
            etag = (await store.get(key)).etag or stored.etag
            replace = await _written(store, key, if_match=etag)
        return Features(
            conditional_create=create, conditional_replace=replace, conditional_delete=await _keeps(store, key)
        )
    finally:
        await store.delete(key)


async def _written(store: S3Store, key: str, *, if_none_match: bool = False, if_match: str | None = None) -> bool:
    try:
        await store.put(key, b"second", if_none_match=if_none_match, if_match=if_match)
    except (ConditionFailed, KeyMissing):
        return False
    return True


async def _keeps(store: S3Store, key: str) -> bool:
    """See whether a conditional delete leaves an object alone whose ETag is another."""
    try:
        await store.delete(key, if_match='"00000000000000000000000000000000"')
    except ConditionFailed:
        return True
    return False
