"""A mirror whose primary decides, by a caller's own credentials, what the caller may read."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
import trio

from tests.unit.mirror.support import CONFIG, LAYER, LAYER_DIGEST, LAYER_PATH, NAME, give, image
from tests.unit.s3.scripted import Drop, Reply
from tests.unit.upstream.upstreams import Upstream
from tests.unit.web.serving import BUDGET_BYTES, PART_BYTES, SETTINGS, listening
from zotpy.auth.grants import Grants
from zotpy.bell import Bell
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.logins import make_door
from zotpy.memory.budget import MemoryBudget
from zotpy.mirror.mirror import open_mirror
from zotpy.registry.registry import open_registry
from zotpy.settings import MirroredRegistry, MirrorSettings
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx

    from tests.unit.s3.scripted import Answered, Seen

V1 = image("one")
TAG = f"/v2/{NAME}/manifests/v1"
ALICE, MALLORY = {"Authorization": "Bearer alice"}, {"Authorization": "Bearer mallory"}


@dataclass(slots=True)
class World:
    """A primary that knows Alice, the login of the mirror, and Mallory, who may read nothing; and the mirror."""

    upstream: Upstream
    client: httpx.AsyncClient = field(init=False)
    readers: set[str] = field(default_factory=lambda: {"Bearer alice", "Bearer mirror"})

    @property
    def challenge(self) -> str:
        """How the primary asks for a login."""
        return f'Bearer realm="{self.upstream.url}/token",service="primary"'

    def guard(self, path: str) -> None:
        """Let the primary ask who reads this."""
        good = self.upstream.scripts[path][0]
        assert isinstance(good, Reply)

        def answer(seen: Seen) -> Answered:
            shown = seen.headers.get("authorization")
            if shown in self.readers:
                return good
            if shown is not None:
                return Reply(403, b'{"errors":[{"code":"DENIED","message":"not you"}]}')
            return Reply(401, headers={"WWW-Authenticate": self.challenge})

        self.upstream.scripts[path] = [answer]

    def shown(self) -> list[tuple[str, str, str | None]]:
        """Return what the primary was asked with which token, and forget it."""
        asked = [(seen.method, seen.target, seen.headers.get("authorization")) for seen in self.upstream.seen]
        found = [each for each in asked if (each[2] or "").startswith("Bearer ")]
        self.upstream.seen.clear()
        return found


@asynccontextmanager
async def region(tmp_path: Path) -> AsyncIterator[World]:
    """Run a primary with an image, and a mirror of it."""
    async with trio.open_nursery() as nursery:
        upstream = Upstream()
        await upstream.server.start(nursery)
        world = World(upstream)
        digest = give(upstream, V1)
        upstream.scripts["/v2/"] = [Reply(200, b"{}")]
        upstream.scripts[f"/v2/{NAME}/tags/list"] = [Reply(200, b'{"name":"x","tags":["v1"]}')]
        for path in (TAG, f"/v2/{NAME}/manifests/{digest}", LAYER_PATH, "/v2/", f"/v2/{NAME}/tags/list"):
            world.guard(path)
        upstream.scripts["/token"] = [Reply(200, b'{"token": "mirror"}')]
        logins = tmp_path / "logins.json"
        logins.write_text(json.dumps({f"127.0.0.1:{upstream.server.port}": {"username": "m", "password": "p"}}))
        registry = MirroredRegistry((upstream.url,), passes_credentials=True, max_retries=0, retry_delay_s=0.0)
        settings = replace(SETTINGS, mirror=MirrorSettings(registries=(registry,), credentials=logins))
        store = MemoryStore()
        replica = await open_registry(store, settings, MemoryBudget(BUDGET_BYTES, 2 * PART_BYTES))
        door = await make_door(settings, Bell(), Grants(None), store)
        for service in door.services:
            nursery.start_soon(service.run)
        async with open_mirror(settings.mirror, replica) as mirror:
            nursery.start_soon(mirror.tasks.run)
            opened = listening(nursery, replica, ServerConfig(), door=door, prepare=lambda app: app.use(mirror))
            async with opened as (client, _, _):
                world.client = client
                yield world
        nursery.cancel_scope.cancel()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Run both."""
    async with region(tmp_path) as opened:
        yield opened


async def test_a_caller_reads_what_the_primary_lets_it_read(world: World) -> None:
    """Each request is asked with the caller's credentials; bytes are fetched with the mirror's own."""
    answer = await world.client.get(TAG, headers=ALICE)
    assert (answer.status_code, answer.content) == (200, V1)
    assert world.shown() == [("HEAD", TAG, "Bearer alice"), ("GET", TAG, "Bearer mirror")]
    assert (await world.client.get(LAYER_PATH, headers=ALICE)).content == LAYER
    assert world.shown() == [("HEAD", LAYER_PATH, "Bearer alice"), ("GET", LAYER_PATH, "Bearer mirror")]
    assert (await world.client.get(LAYER_PATH, headers=ALICE)).content == LAYER
    assert world.shown() == [("HEAD", LAYER_PATH, "Bearer alice")]


@pytest.mark.parametrize("path", [TAG, LAYER_PATH, f"/v2/{NAME}/tags/list", "/v2/"])
async def test_what_one_caller_read_is_not_for_another(world: World, path: str) -> None:
    """Neither credentials that the primary refuses nor none give what is already in the bucket."""
    await world.client.get(TAG, headers=ALICE)
    await world.client.get(LAYER_PATH, headers=ALICE)
    denied = await world.client.get(path, headers=MALLORY)
    assert (denied.status_code, denied.json()["errors"][0]["code"]) == (403, "DENIED")
    unknown = await world.client.get(path)
    assert unknown.status_code == 401
    assert unknown.headers.get_list("WWW-Authenticate") == [world.challenge]
    assert (await world.client.get(path, headers=ALICE)).status_code == 200


async def test_a_caller_who_loses_the_right_loses_it_at_once(world: World) -> None:
    """Nothing of an answer is remembered."""
    assert (await world.client.get(TAG, headers=ALICE)).status_code == 200
    world.readers.remove("Bearer alice")
    assert (await world.client.get(TAG, headers=ALICE)).status_code == 403


@pytest.mark.parametrize("trouble", [Drop(), Reply(500), Reply(429, headers={"Retry-After": "7"}), Reply(302)])
async def test_nobody_reads_while_the_primary_does_not_answer(world: World, trouble: Answered) -> None:
    """What is in the bucket is not served: nobody can say for whom it is. A redirection is no answer either."""
    await world.client.get(TAG, headers=ALICE)
    world.upstream.scripts[TAG] = [trouble]
    answer = await world.client.get(TAG, headers=ALICE)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == ("8" if isinstance(trouble, Reply) and trouble.headers else "5")


async def test_credentials_go_to_no_other_host(world: World) -> None:
    """A primary that sends clients of a blob to its store has let them read it; nobody follows."""
    await world.client.get(LAYER_PATH, headers=ALICE)
    world.shown()
    elsewhere = Upstream()
    async with trio.open_nursery() as nursery:
        await elsewhere.server.start(nursery)
        world.upstream.scripts[LAYER_PATH] = [Reply(307, headers={"Location": f"{elsewhere.url}/bytes"})]
        assert (await world.client.get(LAYER_PATH, headers=ALICE)).content == LAYER
        world.upstream.scripts[TAG] = [Reply(307, headers={"Location": f"{elsewhere.url}/bytes"})]
        assert (await world.client.get(TAG, headers=ALICE)).status_code == 429
        nursery.cancel_scope.cancel()
    assert elsewhere.seen == []


async def test_only_reading_is_possible(world: World) -> None:
    """Pushes, deletions and the list of all repositories are for the primary; it is not even asked."""
    for method, path in (
        ("POST", f"/v2/{NAME}/blobs/uploads/"),
        ("POST", f"/v2/{NAME}/blobs/uploads/?mount={LAYER_DIGEST}&from=library/other"),
        ("PUT", TAG),
        ("DELETE", TAG),
        ("DELETE", LAYER_PATH),
        ("GET", "/v2/_catalog"),
    ):
        answer = await world.client.request(method, path, headers=ALICE, content=CONFIG if method == "PUT" else b"")
        assert answer.status_code == 403, (method, path)
    assert world.shown() == []


async def test_two_logins_at_once_are_refused(world: World) -> None:
    """Which one the primary would look at is not known."""
    pair = [("Authorization", "Bearer mallory"), ("Authorization", "Bearer alice")]
    assert (await world.client.get(TAG, headers=pair)).status_code == 401
    assert world.shown() == []


@pytest.mark.parametrize("shown", [b"Bearer alice\xe9", b"Basic caf\xc3\xa9", b"Bearer alice\x01"])
async def test_credentials_that_cannot_be_sent_are_refused(world: World, shown: bytes) -> None:
    """They are the client's mistake, and the primary is not asked."""
    answer = await world.client.get(TAG, headers=[(b"Authorization", shown)])
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (401, "UNAUTHORIZED")
    assert world.upstream.seen == []


@pytest.mark.parametrize("last", ["%2e%2e", "%2e"])
async def test_the_primary_is_asked_for_no_other_path(world: World, last: str) -> None:
    """Dots would lead it to the directory above."""
    assert (await world.client.get(f"/v2/{NAME}/manifests/{last}", headers=ALICE)).status_code == 404
    assert world.upstream.seen == []


async def test_what_the_primary_does_not_have(world: World) -> None:
    """It is a plain 404."""
    assert (await world.client.get(f"/v2/{NAME}/manifests/v9", headers=ALICE)).status_code == 404
    assert world.shown() == [("HEAD", f"/v2/{NAME}/manifests/v9", "Bearer alice")]


async def test_challenges_that_cannot_be_handed_on(world: World) -> None:
    """They are left out, and the client is refused all the same."""
    long = f'Basic realm="{"x" * 5000}"'
    world.upstream.scripts[TAG] = [Reply(401, headers={"WWW-Authenticate": long})]
    answer = await world.client.get(TAG)
    assert (answer.status_code, answer.headers.get_list("WWW-Authenticate")) == (401, [])
