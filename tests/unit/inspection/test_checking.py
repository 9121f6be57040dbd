"""`fsck`: each way in which a bucket can be wrong is found, mended where it can be, and nothing else is touched."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.unit.collector.support import DEADLINE_S, GRACE_S, LARGE, Bucket
from tests.unit.registry.support import OTHER, REPO, content, keys_below, pull, push
from tests.unit.registry.test_manifests import CONFIG, SUBJECT, V1, image, index, referrers_of
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import ManifestUnknown
from zotpy.core.media_types import OCI_IMAGE, OCI_INDEX
from zotpy.core.record_values import BlobValue
from zotpy.inspection.checking import Checker
from zotpy.settings import GcSettings, ManifestSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from zotpy.inspection.report import Report
    from zotpy.store.interface import Store

BODY = content(LARGE)
BLOB = Digest.of(BODY)
NOWHERE = Digest.of(b"nowhere")
CHILD = image(BLOB, subject=SUBJECT)
INDEX = index(Digest.of(CHILD))


@pytest.fixture
async def bucket() -> Bucket:
    """Return a bucket with a large blob, an image of it that refers to something, and an index, tagged."""
    return await filled(await Bucket.open())


@pytest.fixture
async def older() -> Bucket:
    """Return the same in a bucket of an older release: its config has a lease."""
    return await filled(await Bucket.open(is_older=True))


async def filled(made: Bucket) -> Bucket:
    """Push all that."""
    await made.push_large()
    await made.registry.manifests.push(REPO, Digest.of(CHILD), CHILD, OCI_IMAGE)
    await made.registry.manifests.push(REPO, V1, INDEX, OCI_INDEX)
    return made


NUMBERS = Settings(gc=GcSettings(grace_s=GRACE_S, deadline_s=DEADLINE_S))


async def check(
    bucket: Bucket, *, repair: bool = False, share_read: float = 1.0, store: Store | None = None, sparse: bool = False
) -> Report:
    """Check the bucket, when nothing that was done to it until now can be under way any more."""
    bucket.clock.advance(DEADLINE_S + 1)
    return await look(bucket, repair=repair, share_read=share_read, store=store, sparse=sparse)


async def look(
    bucket: Bucket, *, repair: bool = False, share_read: float = 1.0, store: Store | None = None, sparse: bool = False
) -> Report:
    """Check the bucket at once."""
    numbers = replace(NUMBERS, manifest=ManifestSettings(allow_sparse_indexes=sparse))
    return await Checker(store or bucket.store, repair, share_read, settings=numbers).run()


async def test_a_registry_in_order_has_no_problems(bucket: Bucket) -> None:
    """Everything is looked at: two manifests, a config and a blob, which is read."""
    report = await check(bucket)
    assert report.problems == []
    assert (report.repositories, report.manifests, report.blobs, report.tags) == (1, 2, 2, 1)
    assert report.bytes_read == LARGE


@pytest.mark.parametrize(("share", "read"), [(0.0, 0), (1.0, LARGE)])
async def test_large_blobs_are_read_by_the_share_that_is_asked_for(bucket: Bucket, share: float, read: int) -> None:
    """None of them, or all; their presence and length is looked at all the same."""
    assert (await check(bucket, share_read=share)).bytes_read == read


async def lose_entry(bucket: Bucket) -> None:
    """Lose what answers a read."""
    await bucket.store.delete(keys.entry(REPO, "blobs", BLOB))


async def lose_leases(bucket: Bucket) -> None:
    """Lose what protects a record."""
    await bucket.store.delete_many(keys_below(bucket.store, keys.leases(REPO, "manifests", Digest.of(INDEX))))


async def lose_marker(bucket: Bucket) -> None:
    """Lose what leads a DELETE to a tag."""
    await bucket.store.delete_many(keys_below(bucket.store, keys.TAGGED))


async def lose_referrer(bucket: Bucket) -> None:
    """Lose a manifest's place in the list of referrers."""
    await bucket.store.delete_many(keys_below(bucket.store, keys.REFERRERS))


async def mislead(bucket: Bucket) -> None:
    """Let a hint lead to data that is not there."""
    await bucket.store.put(keys.Hint("0" * 32, 5).key(BLOB), b"")


async def lose_right_lease(bucket: Bucket) -> None:
    """Lose the lease of the data that the entry names; another one keeps other data."""
    key = keys.lease(REPO, "blobs", BLOB, keys.new_id(), "0" * 32)
    await bucket.store.delete_many(keys_below(bucket.store, keys.leases(REPO, "blobs", BLOB)))
    await bucket.store.put(key, BlobValue(LARGE, "0" * 32).encode())


async def lose_catalog(bucket: Bucket) -> None:
    """Lose the repository's place in the catalog."""
    await bucket.store.delete(keys.repository(REPO))


async def refer_to_nothing(bucket: Bucket) -> None:
    """Leave what a DELETE leaves that broke off."""
    await bucket.store.put(keys.referrer(REPO, SUBJECT, NOWHERE), b"{}\n")


async def mislead_in_length(bucket: Bucket) -> None:
    """Let a hint promise more than there is."""
    await bucket.store.put(keys.Hint(bucket.data[0], LARGE + 1).key(BLOB), b"")


async def flip_small(bucket: Bucket) -> None:
    """Damage a small blob in its entry."""
    entry = bucket.store.objects[keys.entry(REPO, "blobs", Digest.of(CONFIG))]
    await bucket.store.put(keys.entry(REPO, "blobs", Digest.of(CONFIG)), entry.body[:-1] + b"?")


async def flip_manifest(bucket: Bucket) -> None:
    """Damage a manifest."""
    key = keys.entry(REPO, "manifests", Digest.of(INDEX))
    await bucket.store.put(key, bucket.store.objects[key].body + b" ")


async def flip_tag(bucket: Bucket) -> None:
    """Damage a tag."""
    await bucket.store.put(keys.tag(REPO, V1), bucket.store.objects[keys.tag(REPO, V1)].body + b" ")


async def scribble(bucket: Bucket) -> None:
    """Write what is no record into an entry."""
    await bucket.store.put(keys.entry(REPO, "blobs", Digest.of(CONFIG)), b"?")


async def scribble_manifest(bucket: Bucket) -> None:
    """Write what is no record into the entry of a manifest."""
    await bucket.store.put(keys.entry(REPO, "manifests", Digest.of(INDEX)), b"?")


MENDABLE: list[tuple[Callable[[Bucket], Awaitable[None]], str]] = [
    (lose_entry, "its entry is lost"),
    (lose_leases, "no lease protects it"),
    (lose_marker, "a DELETE of its manifest would not find it"),
    (lose_referrer, "not listed among the referrers"),
    (mislead, "leads to data that does not exist"),
    (mislead_in_length, "leads to data of another length"),
    (lose_right_lease, "no lease protects it"),
    (lose_catalog, "not in the catalog"),
    (refer_to_nothing, "listed among referrers, but does not exist"),
    (flip_manifest, "its bytes have another digest; a lease has it"),
    (flip_tag, "another digest than the one that it names"),
    (scribble_manifest, "its entry cannot be read"),
]


@pytest.mark.parametrize(("damage", "words"), MENDABLE)
async def test_what_can_be_rebuilt_is(bucket: Bucket, damage: Callable[[Bucket], Awaitable[None]], words: str) -> None:
    """Told without --repair, and nothing changed; mended with it, and told; and then all is in order."""
    await is_rebuilt(bucket, damage, words)


@pytest.mark.parametrize(
    ("damage", "words"),
    [(flip_small, "its bytes have another digest; a lease has it"), (scribble, "its entry cannot be read")],
)
async def test_small_blobs_that_have_leases_are_rebuilt(
    older: Bucket, damage: Callable[[Bucket], Awaitable[None]], words: str
) -> None:
    """In buckets of older releases, each small blob is stored twice."""
    await is_rebuilt(older, damage, words)


async def is_rebuilt(bucket: Bucket, damage: Callable[[Bucket], Awaitable[None]], words: str) -> None:
    """Damage a bucket and mend it."""
    await damage(bucket)
    before = dict(bucket.store.objects)
    report = await check(bucket)
    assert [words in problem.what for problem in report.left] == [True]
    assert bucket.store.objects == before
    repaired = await check(bucket, repair=True)
    assert [problem.fate for problem in repaired.problems] == ["repaired"]
    assert (await check(bucket)).problems == []
    assert await pull(bucket.registry, BLOB) == BODY
    assert await referrers_of(bucket.registry) == [str(Digest.of(CHILD))]


async def lose_data(bucket: Bucket) -> None:
    """Lose the bytes of a large blob."""
    await bucket.store.delete(keys.data(bucket.data[0]))


async def flip_data(bucket: Bucket) -> None:
    """Damage the bytes of a large blob."""
    await bucket.store.put(keys.data(bucket.data[0]), BODY[:-1] + b"?")


async def cut_data(bucket: Bucket) -> None:
    """Lose the end of a large blob."""
    await bucket.store.put(keys.data(bucket.data[0]), BODY[:-1])


async def flip_all(bucket: Bucket) -> None:
    """Damage a small blob wherever it is."""
    prefixes = (keys.entry(REPO, "blobs", Digest.of(CONFIG)), keys.leases(REPO, "blobs", Digest.of(CONFIG)))
    for key in [key for key in bucket.store.objects if key.startswith(prefixes)]:
        await bucket.store.put(key, bucket.store.objects[key].body[:-1] + b"?")


async def flip_leases(bucket: Bucket) -> None:
    """Lose the entry of a small blob, and damage its lease."""
    await flip_all(bucket)
    await bucket.store.delete(keys.entry(REPO, "blobs", Digest.of(CONFIG)))


async def stray(bucket: Bucket) -> None:
    """Leave something among the leases."""
    await bucket.store.put("leases/Not a name!/blobs/x", b"?")


async def stray_in_repository(bucket: Bucket) -> None:
    """Leave something among those of a repository."""
    await bucket.store.put(f"leases/{OTHER}!/x", b"?")


async def stray_hint(bucket: Bucket) -> None:
    """Leave something among the hints, such as a newer release's."""
    await bucket.store.put(f"{keys.HINTS}x", b"?")


async def scribble_tag(bucket: Bucket) -> None:
    """Write what is no tag into one."""
    await bucket.store.put(keys.tag(REPO, V1), b"?")


async def lose_blob(bucket: Bucket) -> None:
    """Lose all there is of a blob that a manifest needs."""
    lost = [key for key in bucket.store.objects if BLOB.hex in key and not key.startswith(keys.HINTS)]
    await bucket.store.delete_many(lost)


async def lose_child(bucket: Bucket) -> None:
    """Delete a manifest that an index needs."""
    await bucket.registry.manifests.delete(REPO, Digest.of(CHILD))


async def lose_manifest(bucket: Bucket) -> None:
    """Lose all there is of a manifest that a tag names."""
    digest = Digest.of(INDEX)
    lost = [key for key in bucket.store.objects if digest.hex in key and not key.startswith(keys.TAGGED)]
    await bucket.store.delete_many(lost)


LASTING: list[tuple[Callable[[Bucket], Awaitable[None]], str]] = [
    (lose_data, "is gone"),
    (flip_data, "has another digest"),
    (cut_data, "has 199999 bytes instead of 200000"),
    (flip_small, "its bytes have another digest, and no lease has it"),
    (scribble, "its entry cannot be read (an object of the bucket has no header), and no lease has it"),
    (stray, "it belongs to no repository"),
    (stray_in_repository, "it is not a key of this registry"),
    (stray_hint, "it is not a hint"),
    (scribble_tag, "the tag cannot be read"),
    (lose_blob, "which does not exist"),
    (lose_child, "which does not exist"),
    (lose_manifest, "which does not exist"),
]


@pytest.mark.parametrize(("damage", "words"), LASTING)
async def test_what_cannot_be_mended_is_listed(
    bucket: Bucket, damage: Callable[[Bucket], Awaitable[None]], words: str
) -> None:
    """Each is told with what is wrong, --repair or not, and left as it is."""
    await stays_listed(bucket, damage, words)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (flip_all, "its bytes have another digest, and no lease has it"),
        (flip_leases, "its entry is lost, and no lease has it"),
    ],
)
async def test_small_blobs_whose_leases_are_damaged_are_listed(
    older: Bucket, damage: Callable[[Bucket], Awaitable[None]], words: str
) -> None:
    """If what was stored twice is damaged twice."""
    await stays_listed(older, damage, words)


@pytest.mark.parametrize("damage", [flip_small, scribble])
async def test_a_small_blob_that_is_damaged_is_healed_by_a_push(
    bucket: Bucket, damage: Callable[[Bucket], Awaitable[None]]
) -> None:
    """Its entry is replaced, whatever it says, and then all is in order."""
    await damage(bucket)
    await push(bucket.registry, CONFIG)
    assert (await check(bucket)).problems == []
    assert await pull(bucket.registry, Digest.of(CONFIG)) == CONFIG


async def stays_listed(bucket: Bucket, damage: Callable[[Bucket], Awaitable[None]], words: str) -> None:
    """Damage a bucket, and try to mend it."""
    await damage(bucket)
    for repair in (False, True):
        before = dict(bucket.store.objects)
        report = await check(bucket, repair=repair)
        assert any(words in problem.what for problem in report.left), report.problems
        assert {key for key in before if keys.Hint.parse(key) is None} <= set(bucket.store.objects)


async def test_keys_that_are_not_the_registrys_hide_nothing(bucket: Bucket) -> None:
    """The check names each such key. It also checks everything beside it, and finds what is wrong there."""
    foreign = {
        f"{keys.leases(REPO, 'blobs', BLOB)[:-1]}-copy/x-0",
        f"{keys.entry(REPO, 'blobs', BLOB)}-copy",
        f"{keys.referrer(REPO, BLOB, BLOB)}-copy",
    }
    for key in foreign:
        await bucket.store.put(key, b"?")
    await scribble_tag(bucket)
    report = await check(bucket)
    assert (report.manifests, report.blobs, report.tags) == (2, 2, 1)
    told = {problem.where for problem in report.problems if "it is not a key of this registry" in problem.what}
    assert told == foreign
    assert [problem.where for problem in report.problems if problem.where not in told] == [f"{REPO} {V1}"]


async def test_damage_in_one_repository_is_not_anothers(bucket: Bucket) -> None:
    """A problem names the repository it is in."""
    await bucket.registry.mounts.mount(OTHER, BLOB, REPO)
    await bucket.store.delete(keys.entry(OTHER, "blobs", BLOB))
    [problem] = (await check(bucket)).problems
    assert str(problem) == f"team/other {BLOB}: its entry is lost; a lease has it"


async def test_a_deleted_registry_is_in_order(bucket: Bucket) -> None:
    """Tombstones, leases that they hide and markers are no problems."""
    for content_ in (INDEX, CHILD):
        await bucket.registry.manifests.delete(REPO, Digest.of(content_))
    await bucket.registry.blobs.delete(REPO, BLOB)
    assert (await check(bucket, repair=True)).problems == []
    with pytest.raises(ManifestUnknown):
        await bucket.registry.manifests.find(REPO, V1)
