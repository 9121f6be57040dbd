"""Manifests and tags: pushed whole or not at all, on conditions, many at once, and deleted while pushed again."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.calls import CallLog
from tests.unit.registry.support import (
    NO_CONDITIONS,
    OTHER,
    REPO,
    Script,
    Step,
    keys_below,
    open_replica,
    push,
)
from zotpy.concurrency import gather
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import (
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestTooLarge,
    ManifestUnknown,
    NameUnknown,
    PreconditionFailed,
    Unsupported,
)
from zotpy.core.media_types import OCI_IMAGE, OCI_INDEX
from zotpy.core.names import Tag
from zotpy.core.preconditions import Condition, EntityTags
from zotpy.store.faulty import FaultyStore
from zotpy.store.interface import StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from zotpy.core.names import RepositoryName
    from zotpy.registry.registry import Registry
    from zotpy.store.faulty import Moment
    from zotpy.store.interface import Features

V1, V2 = Tag("v1"), Tag("v2")
CONFIG = b"{}"
SUBJECT = Digest.of(b"what this is about")
EXISTS = Condition(match=EntityTags.parse("*"))
OTHER_THAN_SUBJECT = Condition(none_match=EntityTags.parse(f'"{SUBJECT}"'))


def image(*layers: Digest, config: Digest | None = None, subject: Digest | None = None, note: str = "") -> bytes:
    """Write an image manifest."""
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "config": descriptor(config or Digest.of(CONFIG)),
        "layers": [descriptor(layer) for layer in layers],
        "annotations": {"note": note},
    }
    if subject is not None:
        document["subject"] = descriptor(subject)
    return json.dumps(document).encode()


def index(*children: Digest) -> bytes:
    """Write an index."""
    manifests = [descriptor(child) | {"mediaType": OCI_IMAGE} for child in children]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).encode()


def descriptor(digest: Digest) -> dict[str, object]:
    """Write a descriptor."""
    return {"mediaType": "application/octet-stream", "digest": str(digest), "size": 2}


async def tags_of(registry: Registry, repo: RepositoryName = REPO) -> Sequence[str]:
    """List the tags, none if the repository is unknown."""
    try:
        return (await registry.lists.tags(repo, None, "")).names
    except NameUnknown:
        return []


async def referrers_of(registry: Registry, subject: Digest = SUBJECT) -> list[str]:
    """List the digests of the subject's referrers."""
    found = await registry.referrers.page(REPO, subject, None, "")
    return [str(descriptor["digest"]) for descriptor in found.descriptors]


@pytest.fixture
def store() -> MemoryStore:
    """Return an empty store."""
    return MemoryStore()


@pytest.fixture
async def registry(store: MemoryStore) -> Registry:
    """Return a replica over the store, with a config to make images of."""
    opened = await open_replica(store)
    await push(opened, CONFIG)
    return opened


@pytest.fixture
def script() -> Script:
    """Return what happens to the slow replica."""
    return Script()


@pytest.fixture
async def slow(store: MemoryStore, script: Script) -> Registry:
    """Return a replica over the same store that follows the script."""
    return await open_replica(FaultyStore(store, script))


async def test_a_manifest_is_read_by_tag_and_by_digest(registry: Registry) -> None:
    """A manifest pushed by tag is read back byte for byte by tag and by digest, with its media type."""
    content = image()
    pushed = await registry.manifests.push(REPO, V1, content, OCI_IMAGE)
    assert pushed.digest == Digest.of(content)
    for reference in (V1, pushed.digest):
        found = await registry.manifests.find(REPO, reference)
        assert (found.digest, found.value.content, found.value.media_type) == (pushed.digest, content, OCI_IMAGE)


async def test_a_manifest_is_pushed_by_digest_with_tags(registry: Registry) -> None:
    """A push by digest makes the manifest exist without tags, or with all of those it names."""
    plain, tagged = image(note="plain"), image(note="tagged")
    await registry.manifests.push(REPO, Digest.of(plain), plain, OCI_IMAGE)
    assert await tags_of(registry) == []
    await registry.manifests.push(REPO, Digest.of(tagged, "sha512"), tagged, OCI_IMAGE, extra_tags=[V1, V2])
    assert await tags_of(registry) == ["v1", "v2"]
    for tag in (V1, V2):
        assert (await registry.manifests.find(REPO, tag)).digest == Digest.of(tagged, "sha512")


async def test_a_tag_moves(registry: Registry) -> None:
    """A tag pushed again names the later manifest; the earlier one stays."""
    one, other = image(note="one"), image(note="other")
    first = await registry.manifests.push(REPO, V1, one, OCI_IMAGE)
    second = await registry.manifests.push(REPO, V1, other, OCI_IMAGE)
    assert (await registry.manifests.find(REPO, V1)).digest == second.digest
    assert (await registry.manifests.find(REPO, first.digest)).value.content == one


async def test_everything_missing_is_named_and_nothing_written(store: MemoryStore, registry: Registry) -> None:
    """A manifest that lacks content is refused with the digest of each piece, and the store is as before."""
    there = await push(registry, b"layer")
    missing = [Digest.of(b"missing %d" % number) for number in range(3)]
    elsewhere = await push(registry, b"of another repository", OTHER)
    before = {key: found.body for key, found in store.objects.items()}
    content = image(there, missing[0], elsewhere, missing[1], config=missing[2], subject=SUBJECT)
    with pytest.raises(ManifestBlobUnknown) as refused:
        await registry.manifests.push(REPO, V1, content, OCI_IMAGE)
    assert sorted(refused.value.digests) == sorted(map(str, [*missing, elsewhere]))
    assert len(refused.value.items()) == 4
    with pytest.raises(ManifestBlobUnknown) as refused:
        await registry.manifests.push(REPO, V1, index(*missing), OCI_INDEX)
    assert sorted(refused.value.digests) == sorted(map(str, missing))
    assert {key: found.body for key, found in store.objects.items()} == before


async def test_an_index_needs_its_children_unless_sparse_ones_are_allowed(
    store: MemoryStore, registry: Registry
) -> None:
    """An index is accepted once its children are there, or at once where the setting allows it."""
    child = image()
    content = index(Digest.of(child))
    with pytest.raises(ManifestBlobUnknown):
        await registry.manifests.push(REPO, V1, content, OCI_INDEX)
    sparse = await open_replica(store, sparse=True)
    await sparse.manifests.push(REPO, V1, content, OCI_INDEX)
    await registry.manifests.push(REPO, Digest.of(child), child, OCI_IMAGE)
    await registry.manifests.push(REPO, V2, content, OCI_INDEX)


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"", OCI_IMAGE),
        (b"not json", OCI_IMAGE),
        (b"[]", OCI_IMAGE),
        (b'{"schemaVersion": 1}', OCI_IMAGE),
        (b'{"schemaVersion": 2}', OCI_IMAGE),
        (b'{"schemaVersion": 2}', OCI_INDEX),
        (image(), OCI_INDEX),
        (b"{}", None),
    ],
)
async def test_what_is_no_manifest_is_refused(
    store: MemoryStore, registry: Registry, content: bytes, content_type: str | None
) -> None:
    """Content that is not what its media type promises is refused, and nothing is written."""
    before = set(store.objects)
    with pytest.raises(ManifestInvalid):
        await registry.manifests.push(REPO, V1, content, content_type)
    assert set(store.objects) == before


async def test_a_manifest_that_is_not_the_one_named_is_refused(store: MemoryStore, registry: Registry) -> None:
    """A push by digest of other content, and one above the limit, are refused, and nothing is written."""
    before = set(store.objects)
    with pytest.raises(DigestInvalid):
        await registry.manifests.push(REPO, Digest.of(b"another"), image(), OCI_IMAGE)
    with pytest.raises(ManifestTooLarge):
        await registry.manifests.push(REPO, V1, image(note="x" * 64 * 1024), OCI_IMAGE)
    assert set(store.objects) == before


async def test_a_create_only_push_does_not_replace_a_tag(registry: Registry) -> None:
    """`If-None-Match: *` creates a tag once, and leaves an existing one alone."""
    one, other = image(note="one"), image(note="other")
    absent = Condition.absent()
    await registry.manifests.push(REPO, V1, one, OCI_IMAGE, condition=absent)
    for again in (one, other):
        with pytest.raises(PreconditionFailed):
            await registry.manifests.push(REPO, V1, again, OCI_IMAGE, condition=absent)
    assert (await registry.manifests.find(REPO, V1)).digest == Digest.of(one)


async def test_a_compare_and_swap_push_replaces_only_what_it_names(registry: Registry) -> None:
    """`If-Match` moves a tag only from the manifest it names, and creates none."""
    one, other = image(note="one"), image(note="other")
    with pytest.raises(PreconditionFailed):
        await registry.manifests.push(REPO, V1, one, OCI_IMAGE, condition=Condition.names(Digest.of(one)))
    await registry.manifests.push(REPO, V1, one, OCI_IMAGE)
    with pytest.raises(PreconditionFailed):
        await registry.manifests.push(REPO, V1, other, OCI_IMAGE, condition=Condition.names(Digest.of(other)))
    await registry.manifests.push(REPO, V1, other, OCI_IMAGE, condition=Condition.names(Digest.of(one)))
    assert (await registry.manifests.find(REPO, V1)).digest == Digest.of(other)


@pytest.mark.parametrize("condition", [Condition.absent(), Condition.names(Digest.of(image(note="one")))])
async def test_a_conditional_push_that_is_overtaken_is_refused(
    registry: Registry, slow: Registry, script: Script, condition: Condition
) -> None:
    """Of two pushes on the same condition the one that writes later is refused, though its check had passed."""
    one, quick, late = (image(note=note) for note in ("one", "quick", "late"))
    if condition.match is not None:
        await registry.manifests.push(REPO, V1, one, OCI_IMAGE)
    parked, errors = script.park("before", "put", keys.tag(REPO, V1)), list[Exception]()

    async def push_late() -> None:
        try:
            await slow.manifests.push(REPO, V1, late, OCI_IMAGE, condition=condition)
        except PreconditionFailed as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(push_late)
        await parked.reached.wait()
        await registry.manifests.push(REPO, V1, quick, OCI_IMAGE, condition=condition)
        parked.go_on.set()
    assert len(errors) == 1
    assert (await registry.manifests.find(REPO, V1)).digest == Digest.of(quick)


@pytest.mark.parametrize("condition", [EXISTS, OTHER_THAN_SUBJECT, Condition.names(Digest.of(image(note="one")))])
async def test_a_conditional_push_whose_condition_still_holds_is_done(
    registry: Registry, slow: Registry, script: Script, condition: Condition
) -> None:
    """A push that came between and left the condition holding is as good as one that came before."""
    one, late = image(note="one"), image(note="late")
    await registry.manifests.push(REPO, V1, one, OCI_IMAGE)
    parked = script.park("before", "put", keys.tag(REPO, V1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(slow.manifests.push, REPO, V1, late, OCI_IMAGE, condition=condition))
        await parked.reached.wait()
        await registry.manifests.push(REPO, V1, one, OCI_IMAGE)
        parked.go_on.set()
    assert (await registry.manifests.find(REPO, V1)).digest == Digest.of(late)


async def test_a_conditional_delete_takes_only_what_it_names(
    registry: Registry, slow: Registry, script: Script
) -> None:
    """A tag that moved between the look at it and its deletion stays where the condition holds no more."""
    one, other = image(note="one"), image(note="other")
    await registry.manifests.push(REPO, V1, one, OCI_IMAGE)
    names_one = Condition.names(Digest.of(one))
    parked = script.park("before", "delete", keys.tag(REPO, V1))
    async with trio.open_nursery() as nursery:

        async def delete() -> None:
            with pytest.raises(PreconditionFailed):
                await slow.manifests.delete_tag(REPO, V1, names_one)

        nursery.start_soon(delete)
        await parked.reached.wait()
        await registry.manifests.push(REPO, V1, other, OCI_IMAGE)
        parked.go_on.set()
    assert (await registry.manifests.find(REPO, V1)).digest == Digest.of(other)
    parked = script.park("before", "delete", keys.tag(REPO, V1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slow.manifests.delete_tag, REPO, V1, EXISTS)
        await parked.reached.wait()
        await registry.manifests.push(REPO, V1, one, OCI_IMAGE)
        parked.go_on.set()
    assert await tags_of(registry) == []
    unconditional = await open_replica(MemoryStore(features=NO_CONDITIONS))
    await push(unconditional, CONFIG)
    await unconditional.manifests.push(REPO, V1, one, OCI_IMAGE)
    with pytest.raises(Unsupported):
        await unconditional.manifests.delete_tag(REPO, V1, EXISTS)


@pytest.mark.parametrize("condition", [Condition.absent(), Condition.names(SUBJECT)])
async def test_a_store_without_conditions_takes_no_conditional_push(condition: Condition) -> None:
    """Where the store has no conditional writes a conditional push is refused as unsupported, and writes nothing."""
    store = MemoryStore(features=NO_CONDITIONS)
    registry = await open_replica(store)
    await push(registry, CONFIG)
    before = set(store.objects)
    with pytest.raises(Unsupported):
        await registry.manifests.push(REPO, V1, image(), OCI_IMAGE, condition=condition)
    assert set(store.objects) == before


async def test_two_hundred_tags_pushed_at_once_are_all_there(store: MemoryStore, registry: Registry) -> None:
    """Two hundred tags of as many manifests pushed at once through two replicas are all there, at both."""
    replicas = [registry, await open_replica(store)]
    contents = {Tag(f"tag-{number:03}"): image(note=str(number)) for number in range(200)}
    await gather(
        *[
            partial(replicas[number % 2].manifests.push, REPO, tag, content, OCI_IMAGE)
            for number, (tag, content) in enumerate(contents.items())
        ],
        limit=200,
    )
    for replica in replicas:
        assert await tags_of(replica) == [tag.text for tag in contents]
        for tag, content in contents.items():
            assert (await replica.manifests.find(REPO, tag)).value.content == content


async def test_a_delete_takes_tags_and_referrer(store: MemoryStore, registry: Registry) -> None:
    """A deleted manifest leaves no tag that named it and no referrer; other tags stay."""
    deleted, kept = image(note="deleted", subject=SUBJECT), image(note="kept", subject=SUBJECT)
    digest = Digest.of(deleted)
    await registry.manifests.push(REPO, digest, deleted, OCI_IMAGE, extra_tags=[Tag(f"d{n}") for n in range(22)])
    await registry.manifests.push(REPO, V1, kept, OCI_IMAGE)
    assert len(await referrers_of(registry)) == 2
    await registry.manifests.delete(REPO, digest)
    assert await tags_of(registry) == ["v1"]
    assert await referrers_of(registry) == [str(Digest.of(kept))]
    assert not [key for key in store.objects if key.startswith(("tags/", "referrers/")) and digest.hex in key]
    for reference in (digest, Tag("d1")):
        with pytest.raises(ManifestUnknown):
            await registry.manifests.find(REPO, reference)
    with pytest.raises(ManifestUnknown):
        await registry.manifests.delete(REPO, digest)


async def test_a_tag_is_deleted_alone(registry: Registry) -> None:
    """A deleted tag leaves its manifest and its other tags."""
    content = image()
    await registry.manifests.push(REPO, Digest.of(content), content, OCI_IMAGE, extra_tags=[V1, V2])
    await registry.manifests.delete_tag(REPO, V1)
    assert await tags_of(registry) == ["v2"]
    assert (await registry.manifests.find(REPO, Digest.of(content))).value.content == content
    with pytest.raises(ManifestUnknown):
        await registry.manifests.delete_tag(REPO, V1)


async def test_a_tag_that_has_moved_on_is_not_deleted(registry: Registry) -> None:
    """A tag that once named the deleted manifest and names another by now stays."""
    one, other = image(note="one"), image(note="other")
    await registry.manifests.push(REPO, V1, one, OCI_IMAGE)
    await registry.manifests.push(REPO, V1, other, OCI_IMAGE)
    await registry.manifests.delete(REPO, Digest.of(one))
    assert (await registry.manifests.find(REPO, V1)).digest == Digest.of(other)


async def test_a_tag_that_moves_during_the_delete_stays(registry: Registry, slow: Registry, script: Script) -> None:
    """A tag that is moved after the delete has read it, and before it deletes it, names what it was moved to."""
    one, other = image(note="one"), image(note="other")
    await registry.manifests.push(REPO, V1, one, OCI_IMAGE)
    parked = script.park("before", "delete", keys.tag(REPO, V1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slow.manifests.delete, REPO, Digest.of(one))
        await parked.reached.wait()
        await registry.manifests.push(REPO, V1, other, OCI_IMAGE)
        parked.go_on.set()
    assert (await registry.manifests.find(REPO, V1)).digest == Digest.of(other)
    with pytest.raises(ManifestUnknown):
        await registry.manifests.find(REPO, Digest.of(one))


DELETE_CALLS: list[tuple[str, str, int]] = [
    ("get", "entries/", 1),
    ("list", "tagged/", 1),
    ("get", "tags/", 1),
    ("get", "referrers/", 1),
    ("put", "entries/", 1),
    ("delete", "tags/", 1),
    ("delete", "referrers/", 1),
]
"""The calls of a DELETE, in the middle of which a push may come, each with which one of its kind it is."""
UNGUARDED_DELETE_CALLS = [*DELETE_CALLS, ("list", "leases/", 1), ("get", "tags/", 2), ("list", "leases/", 2)]
"""The same tests on a store without conditions."""
PUSH_CALLS: list[tuple[str, str, int]] = [
    ("get", "entries/", 1),
    ("put", "leases/", 1),
    ("put", "tagged/", 1),
    ("put", "repos/", 1),
    ("put", "tags/", 1),
    ("put", "referrers/", 1),
    ("put", "entries/", 1),
]
"""The calls of a push."""
STORES = [(None, call) for call in DELETE_CALLS] + [(NO_CONDITIONS, call) for call in UNGUARDED_DELETE_CALLS]
CONTENT = image(note="pushed again", subject=SUBJECT)


@pytest.mark.parametrize(("features", "call"), STORES, ids=str)
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_push_in_the_middle_of_a_delete_is_whole_or_gone(
    features: Features | None, moment: Moment, call: tuple[str, str, int]
) -> None:
    """A push that begins and ends in the middle of a DELETE is there with all that belongs to it, or gone with it."""
    if features is not None and (moment, call[:2]) == ("before", ("put", "entries/")):
        pytest.skip("without conditions, what comes between a look and the write that relies on it is not noticed")
    scene = await Scene.set(features)
    await scene.registry.manifests.push(REPO, V1, CONTENT, OCI_IMAGE)
    async with scene.parked(moment, call) as nursery:
        nursery.start_soon(scene.slow.manifests.delete, REPO, Digest.of(CONTENT))
        await scene.reached()
        await scene.registry.manifests.push(REPO, V1, CONTENT, OCI_IMAGE)
    await scene.assert_whole_or_gone()


@pytest.mark.parametrize("was_there", ["never", "before", "deleted"])
@pytest.mark.parametrize("call", PUSH_CALLS, ids=str)
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("features", [None, NO_CONDITIONS], ids=["conditions", "no-conditions"])
async def test_a_delete_in_the_middle_of_a_push_leaves_all_of_it(
    features: Features | None, moment: Moment, call: tuple[str, str, int], was_there: str
) -> None:
    """A push that ends after a DELETE is there with all that belongs to it, whatever the DELETE found, or gone."""
    if features is not None and (moment, call[:2]) == ("before", ("put", "entries/")):
        pytest.skip("without conditions, what comes between a look and the write that relies on it is not noticed")
    scene = await Scene.set(features)
    if was_there != "never":
        await scene.registry.manifests.push(REPO, V1, CONTENT, OCI_IMAGE)
    if was_there == "deleted":
        await scene.registry.manifests.delete(REPO, Digest.of(CONTENT))
    async with scene.parked(moment, call) as nursery:
        nursery.start_soon(partial(scene.slow.manifests.push, REPO, V1, CONTENT, OCI_IMAGE))
        await scene.reached()
        with suppress(ManifestUnknown):
            await scene.registry.manifests.delete(REPO, Digest.of(CONTENT))
    await scene.assert_whole_or_gone()


async def broken_off() -> Scene:
    """Let a DELETE break off behind its tombstone, before it has deleted the tag."""
    scene = await Scene.set(None)
    await scene.registry.manifests.push(REPO, V1, CONTENT, OCI_IMAGE)
    scene.script.fail("before", "delete", "tags/", StoreUnavailable("down"))
    with pytest.raises(StoreUnavailable):
        await scene.slow.manifests.delete(REPO, Digest.of(CONTENT))
    assert (await scene.registry.manifests.find(REPO, V1)).digest == Digest.of(CONTENT)
    return scene


async def test_a_repeated_delete_deletes_the_tags_that_the_first_one_has_left() -> None:
    """A client that is told to try again does so, and what it deleted is then gone under each of its names."""
    scene = await broken_off()
    with pytest.raises(ManifestUnknown):
        await scene.registry.manifests.delete(REPO, Digest.of(CONTENT))
    with pytest.raises(ManifestUnknown):
        await scene.registry.manifests.find(REPO, V1)
    assert await tags_of(scene.registry) == []


REPEATED_DELETE_CALLS: list[tuple[str, str, int]] = [
    ("get", "entries/", 1),
    ("list", "tagged/", 1),
    ("get", "tags/", 1),
    ("get", "entries/", 2),
    ("delete", "tags/", 1),
]


@pytest.mark.parametrize("call", REPEATED_DELETE_CALLS, ids=str)
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_push_in_the_middle_of_a_repeated_delete_stays(moment: Moment, call: tuple[str, str, int]) -> None:
    """The DELETE is told that nothing is there, so all of the push is there afterwards."""
    scene = await broken_off()
    async with scene.parked(moment, call) as nursery:

        async def delete() -> None:
            with suppress(ManifestUnknown):
                await scene.slow.manifests.delete(REPO, Digest.of(CONTENT))

        nursery.start_soon(delete)
        await scene.reached()
        await scene.registry.manifests.push(REPO, V1, CONTENT, OCI_IMAGE)
    await scene.assert_whole_or_gone()
    if (moment, call) != ("before", ("get", "entries/", 1)):
        assert (await scene.registry.manifests.find(REPO, V1)).digest == Digest.of(CONTENT)


async def test_pushes_of_one_manifest_at_once_cost_a_few_calls_more_each(store: MemoryStore) -> None:
    """Sixty tags put on one manifest at once are all there; being overtaken costs a push four calls at most."""
    log = CallLog(store)
    registry = await open_replica(log)
    await push(registry, CONFIG)
    tags = [Tag(f"t{number:02}") for number in range(60)]
    with log.counted() as calls:
        await gather(*[partial(registry.manifests.push, REPO, tag, CONTENT, OCI_IMAGE) for tag in tags], limit=60)
    assert await tags_of(registry) == [tag.text for tag in tags]
    alone = 8
    assert len(calls) <= (alone + 4) * len(tags)


async def test_a_conditional_push_that_a_delete_overtakes_takes_its_tag_again() -> None:
    """A create-only push whose tag was deleted with the same manifest writes it again, and still only creates."""
    scene = await Scene.set(None)
    await scene.registry.manifests.push(REPO, V2, CONTENT, OCI_IMAGE)
    async with scene.parked("before", ("put", "entries/", 1)) as nursery:
        only_new = Condition.absent()
        nursery.start_soon(partial(scene.slow.manifests.push, REPO, V1, CONTENT, OCI_IMAGE, condition=only_new))
        await scene.reached()
        await scene.registry.manifests.delete(REPO, Digest.of(CONTENT))
    assert await tags_of(scene.registry) == ["v1"]
    assert (await scene.registry.manifests.find(REPO, Digest.of(CONTENT))).value.content == CONTENT


async def test_a_push_that_breaks_off_after_a_delete_leaves_what_can_be_pulled() -> None:
    """A tag that an interrupted push put on a deleted manifest names one that is there again."""
    scene = await Scene.set(None)
    await scene.registry.manifests.push(REPO, V1, CONTENT, OCI_IMAGE)
    await scene.registry.manifests.delete(REPO, Digest.of(CONTENT))
    scene.script.fail("after", "put", "tags/", StoreUnavailable("down"))
    with pytest.raises(StoreUnavailable):
        await scene.slow.manifests.push(REPO, V1, CONTENT, OCI_IMAGE)
    assert (await scene.registry.manifests.find(REPO, V1)).digest == Digest.of(CONTENT)
    assert (await scene.registry.manifests.find(REPO, Digest.of(CONTENT))).value.content == CONTENT


@dataclass(frozen=True, slots=True)
class Scene:
    """Two replicas, one of which stops where it is told to."""

    store: MemoryStore
    registry: Registry
    slow: Registry
    script: Script
    steps: list[Step] = field(default_factory=list)

    @classmethod
    async def set(cls, features: Features | None) -> Scene:
        """Open both over a new store, with a config to make images of."""
        script, store = Script(), MemoryStore(features=features)
        registry, slow = await open_replica(store), await open_replica(FaultyStore(store, script))
        await push(registry, CONFIG)
        return cls(store, registry, slow, script)

    @asynccontextmanager
    async def parked(self, moment: Moment, call: tuple[str, str, int]) -> AsyncIterator[trio.Nursery]:
        """Stop the slow replica at this call, the n-th of its kind; it goes on at the end, and ends."""
        operation, prefix, number = call
        self.steps.extend(self.script.park(moment, operation, prefix) for _ in range(number))
        for passed in self.steps[:-1]:
            passed.go_on.set()
        async with trio.open_nursery() as nursery:
            yield nursery
            self.steps[-1].go_on.set()

    async def reached(self) -> None:
        """Wait until the slow replica stands, and does nothing else at the same time."""
        await self.steps[-1].reached.wait()
        await trio.testing.wait_all_tasks_blocked()

    async def assert_whole_or_gone(self) -> None:
        """Check that the manifest can be read by digest, by tag and as a referrer, or by none of them."""
        digest = Digest.of(CONTENT)
        try:
            found = (await self.registry.manifests.find(REPO, digest)).digest
        except ManifestUnknown:
            found = None
        parts = {
            "manifest": found is not None,
            "tag": await tags_of(self.registry) == ["v1"],
            "referrer": await referrers_of(self.registry) == [str(digest)],
        }
        assert len(set(parts.values())) == 1, parts
        assert found is None or keys_below(self.store, keys.leases(REPO, "manifests", digest))
