"""Services that lack a part of S3: each is found out at start, and done without, or refused with what to do."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from typing import TYPE_CHECKING

import crc32c
import pytest

from tests.unit.s3.partial import DOCUMENTS, PartialService, error
from tests.unit.s3.scripted import Reply
from zotpy.bucket.sweeps import delete_all
from zotpy.s3.checksums import CRC32C_HEADER, MD5_HEADER
from zotpy.store.interface import StoreError, StoreRefused, StoreUnavailable
from zotpy.store.opening import open_s3_store
from zotpy.store.single_deletions import AT_ONCE

if TYPE_CHECKING:
    import trio

    from tests.unit.s3.scripted import Seen

KEYS = [f"data/{number:04}" for number in range(50)]
NO_BULK = [
    error(501, "NotImplemented", "A header or query you provided requested a function that is not implemented."),
    error(400, "NotImplemented"),
    error(400, "InvalidArgument", "Invalid argument."),
    error(405, "MethodNotAllowed"),
    error(404, "NoSuchKey"),
    error(500, "InternalError"),
]


def without(operation: str, reply: Reply) -> PartialService:
    """Return a service that answers one operation so."""
    return PartialService(lambda name, _: reply if name == operation else None)


def without_header(*operations: str) -> PartialService:
    """Return a service that refuses a header of a checksum, as Backblaze's does, with some operations."""

    def refuse(operation: str, seen: Seen) -> Reply | None:
        names = [name for name in seen.headers if name.startswith("x-amz-checksum")]
        message = f"Unsupported header '{names[0]}' received for this API call." if names else ""
        return error(400, "InvalidArgument", message) if names and operation in operations else None

    return PartialService(refuse)


@pytest.mark.parametrize("reply", NO_BULK, ids=lambda reply: f"{reply.status}")
async def test_a_service_without_delete_objects_is_collected_one_by_one(reply: Reply, nursery: trio.Nursery) -> None:
    """It is asked for it at start only; then each key has a call of its own, through all that paces calls."""
    service = without("DeleteObjects", reply)
    server = await service.start(nursery)
    async with open_s3_store(server.config()) as store:
        assert not store.features.bulk_delete
        assert not [key for key in service.objects if "probe" in key]
        for key in KEYS:
            await store.put(key, b"x")
        asked = service.operations.count("DeleteObjects")
        await delete_all(store, KEYS)
        await store.put("other", b"x")
        await store.delete_many(["other", "absent"])
    assert service.objects == {}
    assert service.operations.count("DeleteObjects") == asked


@pytest.mark.parametrize(
    ("compared", "sent"),
    [
        ({CRC32C_HEADER, MD5_HEADER}, CRC32C_HEADER),
        ({CRC32C_HEADER}, CRC32C_HEADER),
        ({MD5_HEADER}, MD5_HEADER),
        (set(), CRC32C_HEADER),
    ],
    ids=["both", "CRC-32C", "MD5", "none"],
)
async def test_the_checksum_is_one_that_the_service_compares(
    compared: set[str], sent: str, nursery: trio.Nursery, capsys: pytest.CaptureFixture[str]
) -> None:
    """JuiceFS's gateway ignores a wrong CRC-32C, and refuses a wrong MD5."""
    of_puts: list[set[str]] = []

    def compare(operation: str, seen: Seen) -> Reply | None:
        if operation != "PutObject":
            return None
        of_puts.append({CRC32C_HEADER, MD5_HEADER} & set(seen.headers))
        right = {
            CRC32C_HEADER: base64.b64encode(crc32c.crc32c(seen.body).to_bytes(4, "big")).decode(),
            MD5_HEADER: base64.b64encode(hashlib.md5(seen.body, usedforsecurity=False).digest()).decode(),
        }
        is_wrong = any(seen.headers[header] != right[header] for header in compared & of_puts[-1])
        return error(400, "BadDigest") if is_wrong else None

    service = PartialService(compare)
    server = await service.start(nursery)
    async with open_s3_store(server.config()) as store:
        assert not [key for key in service.objects if "probe" in key]
        assert store.features.takes_crcs == (sent == CRC32C_HEADER)
        await store.put("key", b"body")
    assert of_puts[-1] == {sent}
    assert ("checksums_mean_nothing" in capsys.readouterr().out) == (not compared)


@pytest.mark.parametrize("has_bucket", [True, False])
async def test_swift_is_refused_before_anything_is_written(nursery: trio.Nursery, *, has_bucket: bool) -> None:
    """It acknowledges objects that its lists have later. Its answers name the request in OpenStack's header, too."""

    def lists(operation: str, seen: Seen) -> Reply | None:
        del seen
        headers = {"x-openstack-request-id": "tx00aa"}
        has_it = service.has_bucket and operation == "ListObjectsV2"
        return Reply(200, DOCUMENTS["ListObjectsV2"], headers) if has_it else None

    service = PartialService(lists, has_bucket=has_bucket)
    server = await service.start(nursery)
    with pytest.raises(StoreRefused, match="OpenStack Swift"):
        async with open_s3_store(server.config(), create_bucket=True):
            pass
    assert set(service.operations) <= {"ListObjectsV2", "CreateBucket"}


async def test_single_deletions_are_few_at_a_time(nursery: trio.Nursery) -> None:
    """However many keys there are, a fixed number of calls is under way."""
    server = await without("DeleteObjects", NO_BULK[0]).start(nursery)
    async with open_s3_store(server.config()) as store:
        await delete_all(store, KEYS)
    assert server.connections <= AT_ONCE


async def test_a_service_with_delete_objects_deletes_in_one_call(nursery: trio.Nursery) -> None:
    """Where it works, nothing is deleted one by one."""
    service = PartialService()
    server = await service.start(nursery)
    async with open_s3_store(server.config()) as store:
        assert store.features.bulk_delete
        service.operations.clear()
        await delete_all(store, KEYS)
    assert service.operations == ["DeleteObjects"]


async def test_keys_that_were_left_are_deleted_one_by_one(nursery: trio.Nursery) -> None:
    """A service that fails for some keys, because they are not there, has deleted the others."""
    failed = b"<DeleteResult><Error><Key>data/0001</Key><Code>InternalError</Code></Error></DeleteResult>"
    service = without("DeleteObjects", Reply(200, failed))
    server = await service.start(nursery)
    async with open_s3_store(server.config()) as store:
        service.operations.clear()
        await store.delete_many(KEYS)
    assert Counter(service.operations) == {"DeleteObjects": 1, "DeleteObject": 1}


async def test_a_busy_service_is_not_taken_for_one_without_delete_objects(nursery: trio.Nursery) -> None:
    """What may pass is an error of the moment."""
    service = PartialService()
    server = await service.start(nursery)
    async with open_s3_store(server.config()) as store:
        service.operations.clear()
        service.refuse = lambda name, _: error(503, "SlowDown") if name == "DeleteObjects" else None
        with pytest.raises(StoreUnavailable, match="SlowDown"):
            await store.delete_many(KEYS)
        assert "DeleteObject" not in service.operations
        service.refuse = lambda _name, _seen: None
        service.operations.clear()
        await store.delete_many(KEYS)
    assert service.operations == ["DeleteObjects"]


async def test_the_first_deletion_that_fails_ends_them(nursery: trio.Nursery) -> None:
    """It is raised as itself, and no more is begun."""
    service = PartialService(lambda name, _: error(403, "AccessDenied") if name.startswith("DeleteObject") else None)
    server = await service.start(nursery)
    with pytest.raises(StoreRefused, match="s3:DeleteObject on the bucket 'bucket'"):
        async with open_s3_store(server.config()):
            pass
    assert service.operations.count("DeleteObject") <= AT_ONCE


@pytest.mark.parametrize("operations", [("PutObject", "UploadPart"), ("CreateMultipartUpload",), ("UploadPart",)])
async def test_a_service_that_refuses_our_checksum_gets_one_that_it_knows(
    operations: tuple[str, ...], nursery: trio.Nursery
) -> None:
    """It is found out at start; from then on every body has an MD5, and no header or document a CRC."""
    service = without_header(*operations)
    server = await service.start(nursery)
    async with open_s3_store(server.config()) as store:
        assert not [key for key in service.objects if "probe" in key]
        server.seen.clear()
        await store.put("a", b"x" * 100_000)
        multipart = await store.create_multipart("b")
        part = await store.put_part("b", multipart, 1, b"part")
        await store.complete_multipart("b", multipart, [part])
    put, create, sent, complete = server.seen
    for seen in (put, sent):
        md5 = hashlib.md5(seen.body, usedforsecurity=False).digest()
        assert seen.headers["content-md5"] == base64.b64encode(md5).decode()
    for seen in (put, create, sent, complete):
        assert not [name for name in seen.headers if name.startswith("x-amz-checksum")]
        assert b"Checksum" not in seen.body


async def test_a_refusal_for_another_reason_is_not_put_down_to_checksums(nursery: trio.Nursery) -> None:
    """Where writes are refused with either checksum, the start fails with the service's words."""
    service = without("PutObject", error(400, "InvalidStorageClass", "no such class"))
    server = await service.start(nursery)
    with pytest.raises(StoreRefused, match="no such class"):
        async with open_s3_store(server.config()):
            pass


@pytest.mark.parametrize(
    ("operation", "permission"),
    [
        ("ListObjectsV2", "s3:ListBucket"),
        ("PutObject", "s3:PutObject"),
        ("GetObject", "s3:GetObject"),
        ("DeleteObject", "s3:DeleteObject"),
        ("AbortMultipartUpload", "s3:AbortMultipartUpload"),
    ],
)
async def test_a_permission_that_is_missing_is_named_at_start(
    operation: str, permission: str, nursery: trio.Nursery
) -> None:
    """The operator reads which, and of which bucket."""
    names = {operation, "DeleteObjects"} if operation == "DeleteObject" else {operation}

    def refuse(name: str, seen: Seen) -> Reply | None:
        if name == "PutObject" and "if-match" in seen.headers:  # the probe reads what it wrote
            return Reply(200) if seen.headers["if-match"].strip('"0') else error(412, "PreconditionFailed")
        return error(403, "AccessDenied", "Access Denied") if name in names else None

    server = await PartialService(refuse).start(nursery)
    with pytest.raises(StoreRefused, match=f"Access Denied; allow its keys {permission} on the bucket 'bucket'"):
        async with open_s3_store(server.config()):
            pass


async def test_a_bucket_that_is_missing_is_not_made_in_silence(nursery: trio.Nursery) -> None:
    """Nothing is written, by which some services would make it, and the operator reads what to do."""
    service = PartialService(has_bucket=False)
    server = await service.start(nursery)
    with pytest.raises(StoreRefused, match=r"the bucket 'bucket' does not exist.*createbucket"):
        async with open_s3_store(server.config()):
            pass
    assert service.operations == ["ListObjectsV2"]
    assert not service.has_bucket


async def test_a_bucket_is_made_where_asked_to(nursery: trio.Nursery) -> None:
    """Only where it is missing: keys that may not make buckets can have the setting."""
    service = PartialService(has_bucket=False)
    server = await service.start(nursery)
    for _ in range(2):
        async with open_s3_store(server.config(), create_bucket=True) as store:
            await store.put("a", b"x")
    assert service.operations.count("CreateBucket") == 1


async def test_an_error_at_start_is_a_store_error(nursery: trio.Nursery) -> None:
    """A page of a proxy in the place of a listing is one, too."""
    server = await without("ListObjectsV2", Reply(200, b"<html>sign in</html>")).start(nursery)
    with pytest.raises(StoreError):
        async with open_s3_store(server.config()):
            pass
