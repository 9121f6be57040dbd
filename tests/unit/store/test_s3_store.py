"""What a store is seen to do when it is opened, and what its answers are worth after that."""

from __future__ import annotations

import binascii
import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.unit.s3.scripted import DATE, Act, Drop, Reply, ScriptedServer
from zotpy.s3.client import open_client
from zotpy.store.interface import (
    ContentRejected,
    Features,
    Part,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from zotpy.store.opening import probe, probe_completions
from zotpy.store.s3 import S3Store
from zotpy.store.s3.completion import Completions, etag_matches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import trio

OBJECT = {"etag": '"e"', "last-modified": DATE}
PROVING = Completions(etag_proves=True, others_refused=False)
NOTHING = Features(conditional_create=False, conditional_replace=False, conditional_delete=False)
STRICT = Completions(etag_proves=False, others_refused=True)


def refusal(status: int, code: str) -> Reply:
    """Return S3's document of an error."""
    return Reply(status, f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode())


def completed(etag: str) -> Reply:
    """Return S3's answer to a completion."""
    return Reply(body=f"<CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>".encode())


def part(content: bytes, number: int = 1) -> Part:
    """Return a part as S3 acknowledges it."""
    return Part(number, f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"', "AAAAAA==")


def etag_of(*parts: Part) -> str:
    """Return the ETag that S3 gives an object of these parts."""
    digests = binascii.unhexlify("".join(part.etag.strip('"') for part in parts))
    return f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"'


GONE = refusal(404, "NoSuchUpload")
MINE = part(b"mine")


@asynccontextmanager
async def scripted(
    nursery: trio.Nursery, *script: Act, completions: Completions = PROVING
) -> AsyncIterator[tuple[S3Store, ScriptedServer]]:
    """Open a store on a server that answers by script."""
    server = await ScriptedServer(script).start(nursery)
    async with open_client(server.config()) as client:
        yield S3Store(client, "prefix", completions=completions), server


async def test_a_404_of_a_proxy_is_not_a_missing_key(nursery: trio.Nursery) -> None:
    """Only S3 itself can say that an object is not there."""
    async with scripted(nursery, Reply(404, b"<html>default backend</html>")) as (store, _):
        with pytest.raises(StoreRefused):
            await store.get("key")


@pytest.mark.parametrize(
    "answer",
    [
        refusal(507, "XMinioStorageFull"),
        refusal(403, "QuotaExceeded"),
        refusal(400, "XMinioAdminBucketQuotaExceeded"),
        refusal(507, "NewWordForIt"),
        Reply(507, b"<html>"),
    ],
)
async def test_a_store_without_room_is_asked_once_and_says_so(nursery: trio.Nursery, answer: Reply) -> None:
    """Full is no passing trouble, whatever words a service has for it."""
    async with scripted(nursery, answer) as (store, server):
        with pytest.raises(StoreFull):
            await store.put("key", b"body")
        assert len(server.seen) == 1


async def test_an_answer_without_the_stores_clock_is_no_answer(nursery: trio.Nursery) -> None:
    """No other clock takes the place of the store's."""
    async with scripted(nursery, Reply(headers=OBJECT | {"date": "soon"})) as (store, _):
        with pytest.raises(StoreUnavailable):
            await store.put("key", b"")


async def test_a_completion_with_a_wrong_checksum_is_refused_at_once(nursery: trio.Nursery) -> None:
    """BadDigest of a completion is no damage on the way: sending it again would not help."""
    async with scripted(nursery, refusal(400, "BadDigest")) as (store, server):
        with pytest.raises(ContentRejected):
            await store.complete_multipart("key", "id", [MINE])
        assert len(server.seen) == 1


@pytest.mark.parametrize(("completions", "verified"), [(STRICT, True), (Completions(), False)])
async def test_without_telling_etags_the_store_must_refuse_others(
    nursery: trio.Nursery,
    completions: Completions,
    verified: bool,  # noqa: FBT001
) -> None:
    """Where the ETag proves nothing, a success is worth as much as the store was seen to be strict."""
    async with scripted(nursery, completed('"opaque"'), completions=completions) as (store, _):
        assert (await store.complete_multipart("key", "id", [MINE])).verified is verified


async def test_after_a_lost_answer_strictness_proves_nothing(nursery: trio.Nursery) -> None:
    """The object may be another's completion, accepted before ours was refused: it must be read back."""
    script = (Drop(), GONE, Reply(headers=OBJECT))
    async with scripted(nursery, *script, completions=STRICT) as (store, _):
        assert not (await store.complete_multipart("key", "id", [MINE])).verified


async def test_a_store_without_conditions_is_seen(nursery: trio.Nursery) -> None:
    """A store that ignores conditions, or that does not know them, offers none."""
    ignoring = Reply(headers=OBJECT)
    nothing_after = Reply(body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
    async with scripted(nursery, ignoring, nothing_after, ignoring) as (store, _):
        assert await probe(store) == NOTHING
    unknown = refusal(501, "NotImplemented")
    script = (ignoring, nothing_after, unknown, unknown, unknown, Reply(204))
    async with scripted(nursery, *script) as (store, _):
        assert await probe(store) == NOTHING


@pytest.mark.parametrize(
    ("answers", "seen"),
    [
        ((refusal(400, "InvalidPart"), "right", GONE), {"etag_proves": True, "others_refused": True}),
        ((refusal(400, "InvalidPart"), "right", "right"), {"etag_proves": True, "others_refused": False}),
        ((refusal(400, "InvalidPart"), "opaque", GONE), {"etag_proves": False, "others_refused": True}),
        (("opaque", GONE, GONE), {"etag_proves": False, "others_refused": False}),
    ],
    ids=["aws", "seaweedfs", "encrypted", "careless"],
)
async def test_what_completions_are_worth_is_seen(
    nursery: trio.Nursery, answers: tuple[Reply | str, ...], seen: dict[str, bool]
) -> None:
    """The probe tells stores whose ETags prove, and stores that refuse what they should, from others."""
    probed = part(b"probe")
    etags = {"right": etag_of(probed), "opaque": '"opaque"'}
    begun = Reply(body=b"<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>")
    replies = [answer if isinstance(answer, Reply) else completed(etags[answer]) for answer in answers]
    async with scripted(nursery, begun, Reply(headers={"etag": probed.etag}), *replies, Reply(204)) as (store, _):
        assert await probe_completions(store) == Completions(**seen)


def test_etags_of_objects_are_those_of_their_parts() -> None:
    """The ETag tells order and number of the parts; parts with ETags of another kind have none."""
    one, two = part(b"1"), part(b"2", 2)
    assert etag_matches([one, two], etag_of(one, two))
    assert not etag_matches([one, two], etag_of(two, one))
    assert not etag_matches([one], etag_of(one, two))
    assert not etag_matches([one, Part(2, '"opaque"', "")], etag_of(one, two))
