from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.framing import FramingError, frame
from zotpy.core.record_values import (
    TOMBSTONE_BYTES,
    BlobValue,
    Entry,
    Lease,
    ManifestValue,
    Value,
    decode_entry,
    decode_value,
    new_tombstone,
)
from zotpy.core.tag_values import TagValue

TIME = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
LEASE = Lease("0123456789abcdef", TIME)
TEXT = st.text(max_size=50)
BLOBS = st.binary(max_size=200).map(lambda content: BlobValue(len(content), None, content)) | st.builds(
    BlobValue, st.integers(0, 2**50), TEXT
)
MANIFESTS = st.builds(ManifestValue, TEXT, st.binary(max_size=200))
LEASES = st.none() | st.builds(
    Lease, TEXT, st.integers(0, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
)


@given(BLOBS, LEASES)
def test_a_blob_comes_back_with_its_lease(value: BlobValue, lease: Lease | None) -> None:
    """What is written to an entry or to a lease is what a reader sees."""
    assert decode_entry("blobs", value.encode(lease)) == Entry(value, lease)
    assert decode_value("blobs", value.encode(lease)) == value


@given(MANIFESTS, LEASES)
def test_a_manifest_comes_back_with_its_lease(value: ManifestValue, lease: Lease | None) -> None:
    """A manifest's bytes survive exactly, whatever they are."""
    assert decode_entry("manifests", bytes(value.encode(lease))) == Entry(value, lease)
    assert decode_value("manifests", bytes(value.encode(lease))) == value
    assert value.size_bytes == len(value.content)


@given(MANIFESTS, TEXT)
def test_a_tag_comes_back_whole(manifest: ManifestValue, nonce: str) -> None:
    """A tag holds the manifest, its media type and its digest: one read is a pull."""
    value = TagValue(Digest.of(manifest.content), manifest, nonce)
    assert TagValue.decode(bytes(value.encode())) == value


def test_two_pushes_of_one_tag_are_two_objects() -> None:
    """Only the nonce differs, so that a condition on the ETag sees a push of the same manifest."""
    manifest = ManifestValue("a/b", b"{}")
    first, second = (TagValue(Digest.of(b"{}"), manifest, nonce).encode() for nonce in ("1", "2"))
    assert first != second


@given(st.sampled_from(["blobs", "manifests"]))
def test_a_tombstone_says_that_a_record_was_deleted(kind: keys.Kind) -> None:
    """It holds no value, and an epoch unlike that of any other; a listing tells it from all entries by its length."""
    first, second = decode_entry(kind, new_tombstone()), decode_entry(kind, new_tombstone())
    assert first.value is None
    assert first.epoch not in {"", second.epoch}
    least = min(len(BlobValue(0).encode(LEASE)), len(ManifestValue("", b"").encode(LEASE)))
    assert len(new_tombstone()) == TOMBSTONE_BYTES < least


@given(BLOBS | MANIFESTS, TEXT.filter(bool))
def test_an_entry_keeps_the_epoch(value: Value, epoch: str) -> None:
    """Entries written after a deletion name it, until the next one."""
    kind: keys.Kind = "blobs" if isinstance(value, BlobValue) else "manifests"
    assert decode_entry(kind, bytes(value.encode(LEASE, epoch))) == Entry(value, LEASE, epoch)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001 - hypothesis wants them bare
def test_the_time_of_a_lease_is_kept_to_the_millisecond(time: datetime) -> None:
    """Ages are hours, so milliseconds are more than enough; the zone is always UTC."""
    aware = time.replace(tzinfo=UTC)
    lease = decode_entry("blobs", BlobValue(0).encode(Lease("id", aware))).lease
    assert lease is not None
    assert abs(lease.time - aware) < timedelta(milliseconds=1)
    assert lease.time.tzinfo is UTC


@pytest.mark.parametrize("size", [None, "3", 3.5, [], 2, 4, -1])
def test_a_blob_that_is_not_as_long_as_it_says_is_damaged(size: object) -> None:
    """A truncated entry is never served."""
    with pytest.raises(FramingError):
        decode_value("blobs", frame({"v": 1, "size": size}, b"abc"))


@pytest.mark.parametrize("header", [{}, {"v": 1}, {"type": None}, {"type": 1}])
def test_a_manifest_without_a_media_type_is_damaged(header: dict[str, object]) -> None:
    """A manifest cannot be served without the type with which it was pushed."""
    with pytest.raises(FramingError):
        decode_value("manifests", frame(header, b"{}"))


@pytest.mark.parametrize("header", [{}, {"type": "a/b"}, {"digest": f"sha256:{'0' * 64}"}, {"type": 1, "digest": 1}])
def test_a_tag_that_does_not_say_what_it_names_is_damaged(header: dict[str, object]) -> None:
    """Both the digest and the media type are needed."""
    with pytest.raises(FramingError):
        TagValue.decode(frame(header, b"{}"))


def test_a_tag_that_names_no_digest_is_damaged() -> None:
    """A digest that cannot be read is the bucket's fault, and not reported as the client's."""
    with pytest.raises(FramingError):
        TagValue.decode(frame({"type": "a/b", "digest": "sha256:short"}, b"{}"))


@pytest.mark.parametrize(
    "lease",
    [
        *(None, 1, [], {}, {"id": "x"}, {"time": 1}, {"id": "x", "time": "soon"}, {"id": "x", "time": None}),
        *({"id": "x", "time": time} for time in (1e300, float("nan"), float("inf"))),
    ],
)
def test_an_unreadable_lease_is_no_lease(lease: object) -> None:
    """An entry whose lease cannot be read is renewed, as one that is too old would be."""
    assert decode_entry("blobs", frame({"v": 1, "size": 0, "lease": lease})) == Entry(BlobValue(0))


@given(st.binary())
def test_no_object_of_the_bucket_crashes_the_reader(value: bytes) -> None:
    """What another program wrote is damaged, never a surprise."""
    for read in (partial(decode_entry, "blobs"), partial(decode_value, "manifests"), TagValue.decode):
        with pytest.raises(FramingError):
            read(b"{" + value)
