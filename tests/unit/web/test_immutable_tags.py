"""Immutable tags over HTTP: what may be pushed and deleted, by whom, and what two requests at once come to."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.unit.auth.rules import ALICE, grant, policies
from tests.unit.web.serving import REPO, Replica, codes_of, digest_of, image, push_manifest, serving
from zotpy.auth.granted import Granted
from zotpy.auth.permission import Identity
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName, Tag
from zotpy.store.interface import Features

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    import httpx

    from zotpy.auth.permission import Permission
    from zotpy.http.server.bounded_request import BoundedRequest

ROOT = Identity("root", kind="htpasswd")
ALL = "read create update delete"
RULE: dict[str, Any] = {"policies": [grant(ALL, users="alice")], "immutableTags": ["v*"], "mutableTags": ["v*-rc*"]}


@dataclass(slots=True)
class Door:
    """Lets in callers of one identity, under rules that a test changes."""

    identity: Identity = ROOT
    admin: str = ALL
    extra: str = ""
    """Actions that the callers have besides."""

    async def admit(self, request: BoundedRequest) -> Permission:
        """Say what they may do."""
        del request
        rule = {**RULE, "defaultPolicy": self.extra.split()}
        return Granted(policies(repositories={"**": rule}, adminPolicy=grant(self.admin, users="root")), self.identity)


@asynccontextmanager
async def guarded(nursery: trio.Nursery, door: Door) -> AsyncIterator[Replica]:
    """Serve a replica whose image `old` has the tags `v1` and `latest`, to alice."""
    async with serving(nursery, admit=door.admit) as replica:
        await replica.push_image("v1", "latest", note="old")
        door.identity = ALICE
        yield replica


async def delete(replica: Replica, reference: str) -> httpx.Response:
    """Delete a tag or a digest."""
    return await replica.client.delete(f"/v2/{REPO}/manifests/{reference}")


async def named(replica: Replica, tag: str) -> str | None:
    """Return what a tag names."""
    answer = await replica.client.head(f"/v2/{REPO}/manifests/{tag}")
    return answer.headers["Docker-Content-Digest"] if answer.status_code == 200 else None


OLD = digest_of(image(note="old"))


@pytest.mark.parametrize(
    ("reference", "tags", "note", "status"),
    [
        ("v2", (), "new", 201),
        ("v1", (), "new", 403),
        ("v1", (), "old", 201),
        ("v1-rc1", (), "new", 201),
        ("latest", (), "new", 201),
        ("", ("v2", "v3"), "new", 201),
        ("", ("v2", "v1"), "new", 403),
        ("", ("latest", "v1"), "new", 403),
        ("", ("v1", "v2", "latest"), "old", 201),
    ],
)
async def test_an_immutable_tag_is_made_once(
    nursery: trio.Nursery, reference: str, tags: tuple[str, ...], note: str, status: int
) -> None:
    """It can be pushed again with what it names. A push that would move it writes nothing, whatever else it has."""
    async with guarded(nursery, Door()) as replica:
        assert (await push_manifest(replica, "v1-rc1", note="other")).status_code == 201
        before = dict(replica.store.objects)
        answer = await push_manifest(replica, reference, *tags, note=note)
        assert answer.status_code == status, answer.text
        if status == 403:
            (error,) = answer.json()["errors"]
            told = "the tag v1 is immutable and names another manifest: push this one under another tag"
            assert (error["code"], error["message"]) == ("DENIED", told)
            assert error["detail"] == {"tag": "v1", "reason": "immutable"}
            assert OLD not in answer.text
            assert replica.store.objects == before


@pytest.mark.parametrize("reference", ["v1", "v9", OLD])
async def test_an_immutable_tag_is_not_deleted(nursery: trio.Nursery, reference: str) -> None:
    """Neither by its name nor with its manifest, so nobody can delete it and push another one."""
    async with guarded(nursery, Door()) as replica:
        before = dict(replica.store.objects)
        answer = await delete(replica, reference)
        assert answer.status_code == 403, answer.text
        assert codes_of(answer) == ["DENIED"]
        assert replica.store.objects == before
        assert (await delete(replica, "latest")).status_code == 202
        assert await named(replica, "v1") == OLD


async def test_a_manifest_without_an_immutable_tag_is_deleted(nursery: trio.Nursery) -> None:
    """Its other tags are deleted with it, even if an immutable tag named it once."""
    door = Door()
    async with guarded(nursery, door) as replica:
        door.identity = ROOT
        assert (await push_manifest(replica, "v1")).status_code == 201
        door.identity = ALICE
        assert (await delete(replica, OLD)).status_code == 202
        assert (await named(replica, "latest"), await named(replica, "v1")) == (None, digest_of(image(note="new")))


@pytest.mark.parametrize(
    ("admin", "moves", "deletes"), [(ALL, 201, 202), ("read update", 201, 403), ("read", 403, 403)]
)
async def test_the_admin_policy_lets_tags_be_moved_and_deleted(
    nursery: trio.Nursery, admin: str, moves: int, deletes: int
) -> None:
    """Each with its own action, in addition to what other rules grant."""
    door = Door(extra=ALL)
    async with guarded(nursery, door) as replica:
        door.identity, door.admin = ROOT, admin
        assert (await push_manifest(replica, "v1")).status_code == moves
        assert (await delete(replica, OLD if moves == 403 else digest_of(image(note="new")))).status_code == deletes
        assert (await delete(replica, "v1")).status_code == deletes or deletes == 202


@pytest.mark.parametrize(
    ("headers", "note", "status"),
    [
        ({"If-Match": f'"{OLD}"'}, "new", 403),
        ({"If-Match": f'"{OLD}"'}, "old", 201),
        ({"If-Match": f'"sha256:{"0" * 64}"'}, "new", 412),
        ({"If-None-Match": "*"}, "new", 412),
        ({"If-None-Match": "*"}, "old", 412),
    ],
)
async def test_the_clients_own_condition_holds_as_well(
    nursery: trio.Nursery, headers: Mapping[str, str], note: str, status: int
) -> None:
    """412 says that the client's condition did not hold; 403 that the tag is immutable."""
    async with guarded(nursery, Door()) as replica:
        assert (await push_manifest(replica, "v1", note=note, headers=headers)).status_code == status


@pytest.mark.parametrize("notes", [("first", "second"), ("same", "same")])
async def test_of_two_pushes_at_once_one_makes_the_tag(nursery: trio.Nursery, notes: tuple[str, str]) -> None:
    """Both have seen that the tag is new before either writes it. The store takes one, or both if they are equal."""
    async with guarded(nursery, Door()) as replica:
        answers: list[tuple[int, str]] = []

        async def one(note: str) -> None:
            answers.append(((await push_manifest(replica, "v2", note=note)).status_code, note))

        key = keys.tag(RepositoryName(REPO), Tag("v2"))
        parked = [replica.script.park("before", "put", key) for _ in range(2)]
        with trio.fail_after(60):
            async with trio.open_nursery() as pushes:
                for note in notes:
                    pushes.start_soon(one, note)
                for step in parked:
                    await step.reached.wait()
                for step in parked:
                    step.go_on.set()
        won = [note for status, note in answers if status == 201]
        assert sorted(status for status, _ in answers) == [201, 201 if notes[0] == notes[1] else 403]
        assert await named(replica, "v2") == digest_of(image(note=won[0]))


async def overlapping(
    replica: Replica, key: str, first: Callable[[], Awaitable[httpx.Response]], second: Callable[[], Awaitable[Any]]
) -> httpx.Response:
    """Do the first until it is about to write an object, then the second wholly, then the rest of the first."""
    answers: list[httpx.Response] = []

    async def begin() -> None:
        answers.append(await first())

    parked = replica.script.park("before", "put", key)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(begin)
            await parked.reached.wait()
            await second()
            parked.go_on.set()
    return answers[0]


@pytest.mark.parametrize(("tag", "status"), [("v2", 403), ("other", 202)])
async def test_a_tag_that_comes_during_a_delete_is_not_deleted(nursery: trio.Nursery, tag: str, status: int) -> None:
    """The DELETE has looked for tags before the push, and buries the manifest after it: so it looks again."""
    async with guarded(nursery, Door()) as replica:
        assert (await push_manifest(replica, "")).status_code == 201
        digest = digest_of(image(note="new"))
        entry = keys.entry(RepositoryName(REPO), "manifests", Digest.parse(digest))

        async def tagged() -> None:
            assert (await push_manifest(replica, "", tag)).status_code == 201

        answer = await overlapping(replica, entry, lambda: delete(replica, digest), tagged)
        assert answer.status_code == status
        assert await named(replica, tag) == (digest if status == 403 else None)


async def test_a_tag_whose_manifest_is_deleted_during_the_push_is_made_again(nursery: trio.Nursery) -> None:
    """The DELETE saw no immutable tag and came first. The tag exists afterwards, and its manifest with it."""
    async with guarded(nursery, Door()) as replica:
        assert (await push_manifest(replica, "")).status_code == 201
        digest = digest_of(image(note="new"))

        async def buried() -> None:
            assert (await delete(replica, digest)).status_code == 202

        key = keys.tag(RepositoryName(REPO), Tag("v2"))
        answer = await overlapping(replica, key, lambda: push_manifest(replica, "", "v2"), buried)
        assert answer.status_code == 201
        assert (await named(replica, "v2"), await named(replica, digest)) == (digest, digest)


async def test_a_store_without_conditions_takes_no_immutable_tag(nursery: trio.Nursery) -> None:
    """Nobody could promise there that it does not move. Other tags, and the admin, are not concerned."""
    door = Door()
    async with guarded(nursery, door) as replica:
        replica.store._features = Features(
            conditional_create=False, conditional_replace=False, conditional_delete=False
        )
        answer = await push_manifest(replica, "v2")
        assert answer.status_code == 501
        assert "which a push of an immutable tag needs" in answer.text
        assert (await push_manifest(replica, "latest")).status_code == 201
        door.identity = ROOT
        assert (await push_manifest(replica, "v2")).status_code == 201


@pytest.mark.parametrize(("tag", "more"), [("latest", 0), ("v2", 1)])
async def test_other_tags_cost_no_store_call(nursery: trio.Nursery, tag: str, more: int) -> None:
    """A push of an immutable tag reads it once; a push of any other costs what it costs without rules."""
    async with serving(nursery) as plain, guarded(nursery, Door()) as replica:
        await plain.push_image("v1", "latest", note="old")
        calls = []
        for each in (plain, replica):
            each.script.begun.clear()
            assert (await push_manifest(each, tag)).status_code == 201
            calls.append(each.script.begun.total())
        assert calls[1] - calls[0] == more


@pytest.mark.parametrize(("tags", "status"), [((), 202), (("one",), 202), (("one", "two"), 409)])
async def test_a_collision_is_detected_for_those_who_ask_for_it(
    nursery: trio.Nursery, tags: tuple[str, ...], status: int
) -> None:
    """As in zot, `detectManifestCollision` keeps a manifest that several tags name from a DELETE of its digest."""
    door = Door(extra="detectManifestCollision")
    async with guarded(nursery, door) as replica:
        assert (await push_manifest(replica, "", *tags)).status_code == 201
        digest = digest_of(image(note="new"))
        answer = await delete(replica, digest)
        assert answer.status_code == status, answer.text
        if status == 409:
            assert codes_of(answer) == ["MANIFEST_INVALID"]
            assert await named(replica, "two") == digest
            door.extra = ""
            assert (await delete(replica, digest)).status_code == 202
