"""Pushes of callers who may only create, or only update: over HTTP, under policies, and two at once."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.unit.auth.rules import ALICE, ANONYMOUS, grant, policies
from tests.unit.web.serving import REPO, Replica, codes_of, digest_of, image, push_manifest, serving
from zotpy.auth.granted import Granted
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName, Tag
from zotpy.store.interface import Features
from zotpy.web.facts import judge_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import httpx

    from zotpy.auth.permission import Identity, Permission
    from zotpy.http.server.bounded_request import BoundedRequest

BOTH, CREATE, UPDATE = "create update", "create", "update"
ABSENT_TAG, PRESENT_TAG = {"If-None-Match": "*"}, {"If-Match": "*"}


@dataclass(slots=True)
class Door:
    """Lets in callers of one identity, under rules that a test changes."""

    actions: str = BOTH
    identity: Identity = ALICE

    async def admit(self, request: BoundedRequest) -> Permission:
        """Say what they may do."""
        del request
        words = self.actions.split()
        open_to = {"anonymousPolicy": words} if self.identity == ANONYMOUS else {}
        return Granted(
            policies(repositories={"**": {"policies": [grant(self.actions, users="alice")], **open_to}}), self.identity
        )


@asynccontextmanager
async def guarded(nursery: trio.Nursery, door: Door) -> AsyncIterator[Replica]:
    """Serve a replica that has the config of images, and the tag `old`."""
    async with serving(nursery, admit=door.admit) as replica:
        await replica.push_image("old")
        yield replica


@pytest.mark.parametrize(
    ("actions", "reference", "tags", "status"),
    [
        (BOTH, "old", (), 201),
        (BOTH, "new", (), 201),
        (BOTH, "", ("old", "new"), 201),
        (CREATE, "new", (), 201),
        (CREATE, "old", (), 403),
        (CREATE, "", (), 201),
        (CREATE, "", ("new", "newer"), 201),
        (CREATE, "", ("new", "old"), 403),
        (UPDATE, "old", (), 201),
        (UPDATE, "new", (), 403),
        (UPDATE, "", (), 403),
        (UPDATE, "", ("old",), 201),
        (UPDATE, "", ("old", "new"), 403),
        ("read delete", "new", (), 403),
        ("read delete", "old", (), 403),
    ],
)
async def test_new_tags_need_create_and_others_update(
    nursery: trio.Nursery, actions: str, reference: str, tags: tuple[str, ...], status: int
) -> None:
    """A push that needs an action that the caller lacks is refused, and writes nothing."""
    door = Door()
    async with guarded(nursery, door) as replica:
        door.actions = actions
        before = dict(replica.store.objects)
        answer = await push_manifest(replica, reference, *tags)
        assert answer.status_code == status, answer.text
        if status == 403:
            assert codes_of(answer) == ["DENIED"]
            assert replica.store.objects == before


def allowing(actions: str, expression: str) -> dict[str, Any]:
    """Return a policy with a condition."""
    return {**grant(actions, users="alice"), "conditions": [{"expression": expression}]}


NEW_TAGS, OLD_TAGS = "req.tag.startsWith('new')", "req.tag == 'old'"
DIGESTS = "req.referenceType == 'digest'"


@pytest.mark.parametrize(
    ("for_digests", "tags", "status"),
    [
        (BOTH, ("new", "old"), 201),
        (BOTH, ("old", "new", "new2"), 201),
        (BOTH, ("other", "old"), 403),
        (BOTH, ("new", "there"), 403),
        (BOTH, ("new", "old", "other"), 403),
        # zot asks for the digest as well: `create` if any tag is new, `update` if any exists.
        (CREATE, ("new",), 201),
        (CREATE, ("old",), 403),
        (CREATE, ("new", "old"), 403),
        (UPDATE, ("old",), 201),
        (UPDATE, ("new",), 403),
        (UPDATE, ("new", "old"), 403),
        ("read", ("new",), 403),
    ],
)
async def test_each_tag_of_a_push_needs_its_own_action(
    nursery: trio.Nursery, for_digests: str, tags: tuple[str, ...], status: int
) -> None:
    """Conditions may let a caller make some tags and move others. One of each at once is then allowed, and no more."""
    ours = [allowing(CREATE, NEW_TAGS), allowing(UPDATE, OLD_TAGS), allowing(for_digests, DIGESTS)]
    is_guarded = False

    async def admit(request: BoundedRequest) -> Permission:
        whole = [grant(BOTH, users="alice")]
        rules = policies(repositories={"**": {"policies": ours if is_guarded else whole}})
        return Granted(rules, ALICE, judge_of(request))

    async with serving(nursery, admit=admit) as replica:
        await replica.push_image("old")
        await push_manifest(replica, "there")
        is_guarded, before = True, dict(replica.store.objects)
        answer = await push_manifest(replica, "", *tags)
        assert answer.status_code == status, answer.text
        assert (replica.store.objects == before) is (status == 403)
        if status == 201:
            assert answer.headers.get_list("OCI-Tag") == list(tags)


async def test_the_same_manifest_again_is_an_update(nursery: trio.Nursery) -> None:
    """As in zot: a tag that exists is updated, whatever it names."""
    door = Door()
    async with guarded(nursery, door) as replica:
        door.actions = CREATE
        assert (await push_manifest(replica, "new")).status_code == 201
        assert (await push_manifest(replica, "new")).status_code == 403


async def test_a_refusal_names_the_missing_action(nursery: trio.Nursery) -> None:
    """The message says what the push would have needed, and anonymous callers are asked to log in."""
    door = Door()
    async with guarded(nursery, door) as replica:
        told = f"alice may not update tags in {REPO}: ask the registry's operator for the action update"
        asked = f"log in to update tags in {REPO}"
        for door.identity, status, message in ((ALICE, 403, told), (ANONYMOUS, 401, asked)):
            door.actions = CREATE
            answer = await push_manifest(replica, "old")
            assert (answer.status_code, answer.json()["errors"][0]["message"]) == (status, message)
        door.actions, door.identity = UPDATE, ALICE
        answer = await push_manifest(replica, "new")
        assert answer.json()["errors"][0]["detail"] == {"action": "create", "repository": REPO}


@pytest.mark.parametrize(
    ("actions", "tag", "headers", "status"),
    [
        (CREATE, "old", ABSENT_TAG, 412),
        (CREATE, "new", ABSENT_TAG, 201),
        (CREATE, "old", PRESENT_TAG, 403),
        (UPDATE, "new", PRESENT_TAG, 412),
        (UPDATE, "old", PRESENT_TAG, 201),
        (UPDATE, "old", ABSENT_TAG, 403),
        (UPDATE, "old", {"If-Match": f'"sha256:{"0" * 64}"'}, 412),
        (CREATE, "new", {"If-None-Match": f'"sha256:{"0" * 64}"'}, 201),
        (CREATE, "old", {"If-None-Match": f'"sha256:{"0" * 64}"'}, 403),
    ],
)
async def test_the_clients_own_condition_holds_as_well(
    nursery: trio.Nursery, actions: str, tag: str, headers: Mapping[str, str], status: int
) -> None:
    """412 says that the client's condition did not hold; 403 that the caller may not do what the push needs."""
    door = Door()
    async with guarded(nursery, door) as replica:
        door.actions = actions
        assert (await push_manifest(replica, tag, headers=headers)).status_code == status


@pytest.mark.parametrize(("actions", "is_told"), [("create update delete", False), ("read create update delete", True)])
async def test_a_condition_tells_only_readers_what_a_tag_names(
    nursery: trio.Nursery,
    actions: str,
    is_told: bool,  # noqa: FBT001
) -> None:
    """A refused condition names the digest that is there. That is content of the repository."""
    door, url, digest = Door(), f"/v2/{REPO}/manifests/old", digest_of(image())
    other = {"If-Match": f'"sha256:{"0" * 64}"'}
    async with guarded(nursery, door) as replica:
        door.actions = actions
        for answer in (
            await push_manifest(replica, "old", headers=other),
            await replica.client.delete(url, headers=other),
        ):
            assert answer.status_code == 412
            assert (digest in answer.text) == is_told


async def test_of_two_pushes_at_once_one_creates_the_tag(nursery: trio.Nursery) -> None:
    """Both have seen that the tag is new before either writes it. The store then takes one of them."""
    door = Door()
    async with guarded(nursery, door) as replica:
        door.actions = CREATE
        answers: dict[str, httpx.Response] = {}

        async def one(note: str) -> None:
            answers[note] = await push_manifest(replica, "new", note=note)

        key = keys.tag(RepositoryName(REPO), Tag("new"))
        parked = [replica.script.park("before", "put", key) for _ in range(2)]
        with trio.fail_after(60):
            async with trio.open_nursery() as pushes:
                pushes.start_soon(one, "first")
                pushes.start_soon(one, "second")
                for step in parked:
                    await step.reached.wait()
                for step in parked:
                    step.go_on.set()
        assert sorted(answer.status_code for answer in answers.values()) == [201, 403]
        (won,) = [note for note, answer in answers.items() if answer.status_code == 201]
        door.actions = "read"
        pulled = await replica.client.head(f"/v2/{REPO}/manifests/new")
        assert pulled.headers["Docker-Content-Digest"] == digest_of(image(note=won))


@pytest.mark.parametrize(("actions", "status"), [(UPDATE, 403), (BOTH, 201)])
async def test_a_tag_that_is_deleted_during_the_push_is_new(nursery: trio.Nursery, actions: str, status: int) -> None:
    """A DELETE takes the manifest and the tag, after the push has updated it. To make it again needs `create`."""
    door = Door()
    async with guarded(nursery, door) as replica:
        assert (await push_manifest(replica, "")).status_code == 201
        repo, digest = RepositoryName(REPO), Digest.parse(digest_of(image(note="new")))
        door.actions = actions
        parked = replica.script.park("before", "put", keys.entry(repo, "manifests", digest))
        answers = []

        async def update() -> None:
            answers.append(await push_manifest(replica, "old"))

        with trio.fail_after(60):
            async with trio.open_nursery() as pushes:
                pushes.start_soon(update)
                await parked.reached.wait()
                await replica.registry.manifests.delete(repo, digest)
                parked.go_on.set()
        assert [answer.status_code for answer in answers] == [status]
        door.actions = "read"
        found = await replica.client.head(f"/v2/{REPO}/manifests/old")
        assert found.status_code == (404 if status == 403 else 200)


@pytest.mark.parametrize(("actions", "tag"), [(CREATE, "new"), (UPDATE, "old")])
async def test_a_store_without_conditions_needs_both(nursery: trio.Nursery, actions: str, tag: str) -> None:
    """Nobody could say there whether the tag was new, so a push of a tag needs both actions."""
    door = Door()
    async with guarded(nursery, door) as replica:
        replica.store._features = Features(
            conditional_create=False, conditional_replace=False, conditional_delete=False
        )
        for door.actions, status in ((actions, 403), (BOTH, 201)):
            assert (await push_manifest(replica, tag)).status_code == status


@pytest.mark.parametrize(("actions", "more"), [(BOTH, 0), (CREATE, 1)])
async def test_rules_cost_no_store_call(nursery: trio.Nursery, actions: str, more: int) -> None:
    """A push of a caller with both actions costs what it costs without rules. Otherwise each tag is read once."""
    door = Door()
    async with serving(nursery) as plain, guarded(nursery, door) as replica:
        await plain.push_image("old")
        door.actions = actions
        calls = []
        for each in (plain, replica):
            each.script.begun.clear()
            assert (await push_manifest(each, "new")).status_code == 201
            calls.append(each.script.begun.total())
        assert calls[1] - calls[0] == more
