"""API keys over HTTP: how they are made, what they are good for, and when they are not any more."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from trio.testing import wait_all_tasks_blocked

from tests.unit.auth.hashed import BCRYPT, PASSWORD
from tests.unit.auth.rules import grant, policies
from tests.unit.collector.support import GRACE_S, Bucket
from tests.unit.web.issuers import ci_service
from tests.unit.web.serving import REPO, UPLOADS, Replica, codes_of, serving
from zotpy.auth.api_keys import REMEMBER_S, ApiKeyChecks
from zotpy.auth.basic import Credentials
from zotpy.auth.grants import Grants
from zotpy.auth.htpasswd import Users
from zotpy.auth.login_places import Places
from zotpy.auth.passwords import PasswordChecks
from zotpy.bucket.api_keys import ApiKeys
from zotpy.bucket.key_uses import EVERY_S, KeyUses
from zotpy.core import keys
from zotpy.core.api_keys import ApiKey, digest_of, new_key
from zotpy.core.errors import TooManyRequests
from zotpy.settings import ClaimTerm
from zotpy.store.memory_store import MemoryStore
from zotpy.web.key_desk import LONGEST_BODY_BYTES, NEVER, PATH, KeyDesk
from zotpy.web.login import Login

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import trio
    from trio.testing import MockClock

USERS = Users.parse(f"alice:{BCRYPT}\nbob:{BCRYPT}\n")
ALICE, BOB = ("alice", PASSWORD), ("bob", PASSWORD)
RULES = policies(
    repositories={
        "**": {"policies": [grant("read create update delete", users="alice")]},
        "secret/*": {"policies": [grant("create", users="alice")]},
    }
).settings
MOST = 3
FIELDS = {"createdAt", "expirationDate", "isExpired", "creatorUa", "generatedBy", "lastUsed", "label", "scopes", "uuid"}


@dataclass(slots=True)
class Now:
    """The time at a replica."""

    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        """Tell it."""
        return self.time


@dataclass(slots=True)
class Scene:
    """Two replicas with one store of keys."""

    store: MemoryStore
    one: Replica
    other: Replica
    now: Now

    async def make(self, **asked: object) -> dict[str, Any]:
        """Let alice make a key at the first replica."""
        answer = await self.one.client.post(PATH, json={"label": "ci", **asked}, auth=ALICE)
        assert answer.status_code == 201, answer.text
        assert answer.headers["Cache-Control"] == "no-store"
        return dict(answer.json())

    async def ask(self, key: str, method: str, path: str, *, user: str = "anything", other: bool = False) -> int:
        """Send a request with a key as the password."""
        replica = self.other if other else self.one
        closing = {"Connection": "close"}  # a test that moves the time must not find its connection timed out
        return (await replica.client.request(method, path, auth=(user, key), headers=closing)).status_code


@pytest.fixture
async def scene(nursery: trio.Nursery) -> AsyncIterator[Scene]:
    """Return replicas with rules, two users and API keys."""
    store, now = MemoryStore(), Now()
    api_keys, grants = ApiKeys(store), Grants(RULES)

    def login() -> Login:
        uses = KeyUses(store)
        nursery.start_soon(uses.keep_written)
        checks = ApiKeyChecks(api_keys.find, Places(8, 8), now, uses.note)
        return Login([checks, PasswordChecks(lambda: USERS, 2, 8, 300.0)], grant=grants)

    desk = KeyDesk(api_keys, KeyUses(store), MOST)
    async with (
        serving(nursery, admit=login().admit, more_routes=desk.routes) as one,
        serving(nursery, admit=login().admit, more_routes=desk.routes) as other,
    ):
        yield Scene(store, one, other, now)


async def test_a_key_is_made_listed_and_shown_once(scene: Scene) -> None:
    """The answer has zot's fields. The bucket has a hash, and one object for each key."""
    scopes = ["repository:team/*:pull"]
    made = await scene.make(scopes=scopes, expirationDate="2999-01-31T12:00:00+01:00")
    key = made.pop("apiKey")
    assert key.startswith("zak_")
    assert set(made) == FIELDS
    assert (made["label"], made["scopes"], made["isExpired"]) == ("ci", scopes, False)
    assert (await scene.make())["expirationDate"] == NEVER
    listed = (await scene.one.client.get(PATH, auth=ALICE)).json()["apiKeys"]
    assert made in listed
    assert len(listed) == len(scene.store.objects) == 2
    assert (await scene.one.client.get(PATH, auth=BOB)).json() == {"apiKeys": []}
    assert not [place for place, stored in scene.store.objects.items() if key in place or key.encode() in stored.body]


async def test_a_key_has_the_rights_of_its_owner(scene: Scene) -> None:
    """At every replica, with any user name, and no more than the owner."""
    key = (await scene.make())["apiKey"]
    for other in (False, True):
        assert await scene.ask(key, "POST", UPLOADS, other=other) == 202
        assert await scene.ask(key, "GET", "/v2/", user="alice", other=other) == 200
        assert await scene.ask(key, "GET", "/v2/secret/a/tags/list", other=other) == 403
    ended = [await scene.one.ended.receive() for _ in range(2)]
    assert (ended[1].user, ended[1].login) == ("alice", "apikey")


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (["repository:team/*:pull"], {"GET"}),
        (["repository:team/app:pull,push"], {"GET", "POST"}),
        (["repository:team/app:pull", "repository:**:push"], {"GET", "POST"}),
        (["repository:team/app:delete"], {"DELETE"}),
        (["repository:team/app:*"], {"GET", "POST", "DELETE"}),
        (["repository:other/**:pull,push,delete"], set()),
        (["registry:catalog:*"], set()),
    ],
)
async def test_scopes_are_enforced(scene: Scene, scopes: list[str], allowed: set[str]) -> None:
    """What they do not cover is 403, though the owner may do it."""
    key = (await scene.make(scopes=scopes))["apiKey"]
    for method, path in (("GET", f"/v2/{REPO}/tags/list"), ("POST", UPLOADS), ("DELETE", f"/v2/{REPO}/manifests/v1")):
        assert (await scene.ask(key, method, path) != 403) == (method in allowed), method
    assert await scene.ask(key, "GET", "/v2/") == 200
    assert await scene.ask(key, "GET", "/v2/_catalog") == (200 if scopes == ["registry:catalog:*"] else 403)
    assert await scene.ask(key, "GET", "/metrics") == 403


async def test_scopes_never_give_more_than_the_rules(scene: Scene) -> None:
    """The owner may not read there, so neither may the key."""
    key = (await scene.make(scopes=["repository:**:pull"]))["apiKey"]
    assert await scene.ask(key, "GET", "/v2/secret/a/tags/list") == 403
    assert await scene.ask(key, "GET", f"/v2/{REPO}/tags/list") == 404


async def test_a_revoked_key_is_refused(scene: Scene, mock_clock: MockClock) -> None:
    """A replica that used it lately goes on for as long as it remembers it, and all others stop at once."""
    made = await scene.make()
    key = made["apiKey"]
    assert await scene.ask(key, "GET", "/v2/") == 200
    assert (await scene.other.client.delete(PATH, params={"id": made["uuid"]}, auth=BOB)).status_code == 404
    assert (await scene.other.client.delete(PATH, params={"id": made["uuid"]}, auth=ALICE)).status_code == 200
    assert scene.store.objects == {}
    assert await scene.ask(key, "GET", "/v2/", other=True) == 401
    assert await scene.ask(key, "GET", "/v2/") == 200
    mock_clock.jump(REMEMBER_S)
    assert await scene.ask(key, "GET", "/v2/") == 401
    assert (await scene.one.client.delete(PATH, params={"id": made["uuid"]}, auth=ALICE)).status_code == 404


async def last_used(scene: Scene) -> list[str]:
    """Return when alice's keys were last used, as the list says it."""
    await wait_all_tasks_blocked()
    listed = (await scene.one.client.get(PATH, auth=ALICE, headers={"Connection": "close"})).json()["apiKeys"]
    return [str(each["lastUsed"]) for each in listed]


async def test_the_list_says_when_a_key_was_last_used(scene: Scene, mock_clock: MockClock) -> None:
    """By the store's clock. A replica writes it once an hour, and a revocation deletes it."""
    store_time = [datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)]
    scene.store.now = lambda: store_time[0]
    made = await scene.make()
    assert made["lastUsed"] == NEVER  # not used yet
    assert await last_used(scene) == [NEVER]
    assert await scene.ask(made["apiKey"], "GET", "/v2/") == 200
    assert await last_used(scene) == ["2031-05-06T07:08:09Z"]
    store_time[0] += timedelta(hours=2)
    mock_clock.jump(REMEMBER_S)
    assert await scene.ask(made["apiKey"], "GET", "/v2/") == 200
    assert await last_used(scene) == ["2031-05-06T07:08:09Z"]
    mock_clock.jump(EVERY_S)
    assert await scene.ask(made["apiKey"], "GET", "/v2/") == 200
    assert await last_used(scene) == ["2031-05-06T09:08:09Z"]
    assert (await scene.one.client.delete(PATH, params={"id": made["uuid"]}, auth=ALICE)).status_code == 200
    assert scene.store.objects == {}


async def test_an_expired_key_is_refused(scene: Scene) -> None:
    """At once, also where it is remembered."""
    expires = scene.now.time + timedelta(hours=1)
    key = (await scene.make(expirationDate=expires.isoformat()))["apiKey"]
    assert await scene.ask(key, "GET", "/v2/") == 200
    scene.now.time = expires
    assert await scene.ask(key, "GET", "/v2/") == 401
    assert await scene.ask(key, "GET", "/v2/", other=True) == 401


async def test_a_key_that_nobody_made_is_refused(scene: Scene) -> None:
    """Nor does the part that names its owner lead to another key."""
    made = (await scene.make())["apiKey"]
    for key in (new_key("alice"), new_key("mallory"), made[:-1], made.upper(), f"{made}0"):
        assert await scene.ask(key, "GET", "/v2/") == 401


async def test_a_key_with_scopes_of_another_release_is_refused(scene: Scene) -> None:
    """What they mean is not known here, so the key is good for nothing."""
    key = new_key("alice")
    scopes = ("repository:team/*:pull", "repository:team/*:sign")
    await ApiKeys(scene.store).add(ApiKey(digest_of(key), "alice", frozenset(), "ci", scopes, scene.now()))
    assert await scene.ask(key, "GET", "/v2/") == 401


async def test_a_key_cannot_manage_keys(scene: Scene) -> None:
    """Otherwise a key that leaked could make others that outlive it. Nor can somebody without a login."""
    made = await scene.make()
    query = {"id": made["uuid"]}
    for method in ("POST", "GET", "DELETE"):
        answer = await scene.one.client.request(method, PATH, auth=("alice", made["apiKey"]), params=query)
        assert (answer.status_code, codes_of(answer)) == (403, ["DENIED"])
        assert (await scene.one.client.request(method, PATH)).status_code == 401
    assert len([place for place in scene.store.objects if place.startswith(keys.API_KEYS)]) == 1


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (b"{", "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"[" * 4000, "is not JSON"),
        ({"label": 5}, "the label"),
        ({"scopes": "x"}, "list of texts"),
        ({"scopes": ["repo1"]}, "'repo1' is no scope: write one such as repository:team/*:pull,push"),
        ({"scopes": ["repository:team/*:read"]}, "are not known: write pull, push and delete"),
        ({"scopes": ["repository:team/*:"]}, "are not known"),
        ({"scopes": ["repository:[:pull"]}, "cannot be used"),
        ({"scopes": ["repository:*-*-*-*:pull"]}, "stars compete"),
        ({"scopes": ["repository:team/**/*-*:pull"]}, "stars compete"),
        ({"scopes": ["repository:" + "{a,a}" * 40 + "b:pull"]}, "texts"),
        ({"scopes": ["repository:" + "{a,b}" * 7 + ":pull"]}, "more than 64 texts"),
        ({"scopes": ["registry:other:*"]}, "only registry:catalog:*"),
        ({"scopes": ["repository:a:pull"] * 40}, "at most 32"),
        ({"expirationDate": "tomorrow"}, "no time"),
        ({"expirationDate": 5}, "no time"),
        ({"expirationDate": "2999-01-01T00:00:00"}, "no time zone"),
        ({"expirationDate": "2020-01-01T00:00:00Z"}, "has passed"),
    ],
)
async def test_what_makes_no_key_is_told(scene: Scene, asked: Any, words: str) -> None:
    """The answer is 400, and says what to write."""
    sent = {"content": asked} if isinstance(asked, bytes) else {"json": asked}
    answer = await scene.one.client.post(PATH, auth=ALICE, **sent)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["errors"][0]["message"]
    assert scene.store.objects == {}


async def test_a_long_body_is_refused(scene: Scene) -> None:
    """The answer is 413."""
    answer = await scene.one.client.post(PATH, auth=ALICE, json={"label": "x" * LONGEST_BODY_BYTES})
    assert answer.status_code == 413


async def test_the_keys_of_a_user_are_limited(scene: Scene) -> None:
    """Other users are not affected, and a revoked key makes room."""
    made = [await scene.make() for _ in range(MOST)]
    answer = await scene.one.client.post(PATH, auth=ALICE, json={})
    assert (answer.status_code, codes_of(answer)) == (403, ["DENIED"])
    assert (await scene.one.client.post(PATH, auth=BOB, json={})).status_code == 201
    assert (await scene.one.client.delete(PATH, params={"id": made[0]["uuid"]}, auth=ALICE)).status_code == 200
    await scene.make()


@pytest.mark.parametrize("params", [{}, {"id": ""}])
async def test_a_revocation_names_a_key(scene: Scene, params: dict[str, str]) -> None:
    """Without an id it is 400."""
    assert (await scene.one.client.delete(PATH, params=params, auth=ALICE)).status_code == 400


async def test_only_some_keys_are_looked_for_at_once(scene: Scene) -> None:
    """Each unknown one costs a store call."""
    checks = ApiKeyChecks(ApiKeys(scene.store).find, Places(0, 0))
    with pytest.raises(TooManyRequests):
        await checks.identify(Credentials("x", new_key("alice").encode()))


async def test_the_collector_leaves_keys_alone() -> None:
    """However old they are."""
    bucket = await Bucket.open()
    place = keys.api_key("0" * 16, digest_of("x")[:32])
    await bucket.store.put(place, b"{}\n")
    for _ in range(8):
        bucket.clock.advance(GRACE_S)
        assert not (await bucket.collect()).problems
    assert place in bucket.store.objects


async def test_a_job_cannot_make_a_key_and_a_person_can(nursery: trio.Nursery) -> None:
    """A CI job's token lasts minutes, and a key without an end would outlive it: whoever saw the token would keep it.

    A person who logs in by an ID token of the same issuer makes keys as in zot.
    """
    desk = KeyDesk(ApiKeys(MemoryStore()), KeyUses(MemoryStore()), 4)
    with ci_service() as issuer:
        client, name = "registry.example.com", (ClaimTerm("actor"),)
        job, person = issuer.logins(username=name), issuer.logins(username=name, client=client)
        token = issuer.token(azp=client)
        for logins, status in ((job, 403), (person, 201)):
            login = Login([logins], [logins], grant=Grants(RULES))
            async with serving(nursery, admit=login.admit, more_routes=desk.routes) as replica:
                for how in ({"auth": ("x", token)}, {"headers": {"Authorization": f"Bearer {token}"}}):
                    for asked in ({}, {"expirationDate": "2999-01-31T12:00:00Z"}):
                        answer = await replica.client.post(PATH, json=asked, **how)
                        assert answer.status_code == status, answer.text
                        assert status == 201 or "outlive the job" in answer.json()["errors"][0]["message"]
