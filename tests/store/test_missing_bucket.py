"""A bucket that is not there, because its name is mistyped: nothing makes it but the setting."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from zotpy.s3.client import Request, open_client
from zotpy.s3.errors import S3Refused
from zotpy.store.interface import StoreRefused
from zotpy.store.opening import open_s3_store

if TYPE_CHECKING:
    from tests.servers import Bucket


@pytest.mark.usefixtures("over_http")
async def test_a_mistyped_bucket_is_refused_and_not_made(store_bucket: Bucket) -> None:
    """SeaweedFS makes a bucket with the first write of an admin's key, so nothing is written before it was seen."""
    config = replace(store_bucket.config(), bucket="mistyped-bucket")
    with pytest.raises(StoreRefused, match="the bucket 'mistyped-bucket' does not exist"):
        async with open_s3_store(config, "team"):
            pass
    async with open_client(config) as client:
        with pytest.raises(S3Refused, match="NoSuchBucket"):
            await client.call(Request("ListObjectsV2", "GET", None, (("list-type", "2"),)))
