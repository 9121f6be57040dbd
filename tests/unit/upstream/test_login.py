"""Logins at an upstream, and where redirections may lead."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

from tests.unit.s3.scripted import Endless, Reply
from tests.unit.still_clock import passing
from tests.unit.upstream.upstreams import (
    BLOB,
    BLOB_PATH,
    DIGEST,
    IMAGE,
    IMAGE_TYPE,
    MANIFEST,
    REPO,
    Upstream,
    read,
    running,
    upstream_and_client,
)
from zotpy.upstream import UpstreamBroken, UpstreamError, UpstreamRefused
from zotpy.upstream.login import Login

if TYPE_CHECKING:
    from trio.testing import MockClock

    from tests.unit.s3.scripted import Seen

GOOD = Reply(200, IMAGE, {"Content-Type": IMAGE_TYPE})
BASIC = "Basic " + b64encode(b"alice:secret").decode()
ALICE: dict[str, Any] = {"username": "alice", "password": "secret"}


def guarded(upstream: Upstream, answer: Reply = GOOD) -> None:
    """Let the upstream ask for tokens, which it numbers; the newest one is good."""
    given: list[str] = []

    def give(_: Seen) -> Reply:
        given.append(f"token-{len(given) + 1}")
        return Reply(200, json.dumps({"token": given[-1], "expires_in": 100}).encode())

    def check(seen: Seen) -> Reply:
        if given and seen.headers.get("authorization") == f"Bearer {given[-1]}":
            return answer
        realm = f'Bearer realm="{upstream.url}/token",service="here",scope="repository:{REPO}:pull"'
        return Reply(401, headers={"WWW-Authenticate": realm})

    upstream.scripts["/token"] = [give]
    upstream.scripts[MANIFEST] = upstream.scripts[BLOB_PATH] = [check]


async def test_a_token_is_fetched_once_and_used_for_all_requests_of_a_repository() -> None:
    """The token service is asked for the scope of the challenge, here without a login."""
    async with upstream_and_client() as (upstream, client):
        guarded(upstream)
        for _ in range(3):
            await client.get_manifest(REPO, "latest")
    token = "/token?service=here&scope=repository%3Ateam%2Fapp%3Apull"
    assert upstream.asked == [MANIFEST, token, MANIFEST, MANIFEST, MANIFEST]
    assert "authorization" not in upstream.seen[1].headers


async def test_a_client_with_own_places_uses_the_login_and_the_connection() -> None:
    """Its requests run although all places of the other are taken, and log in no second time."""
    async with upstream_and_client(requests_in_flight=1) as (upstream, client):
        guarded(upstream)
        upstream.scripts[BLOB_PATH] = [Reply(200, BLOB)]
        await client.get_manifest(REPO, "latest")
        async with client.blob(REPO, DIGEST):
            await client.with_own_places().get_manifest(REPO, "latest")
    assert [seen.headers.get("authorization") for seen in upstream.seen[2:]] == ["Bearer token-1"] * 3
    assert upstream.server.connections == 2


async def test_the_token_service_gets_the_login() -> None:
    """Name and password go to the token service, and never to the registry that asks for tokens."""
    async with upstream_and_client(**ALICE) as (upstream, client):
        guarded(upstream)
        await client.get_manifest(REPO, "latest")
    assert [seen.headers.get("authorization") for seen in upstream.seen] == [None, BASIC, "Bearer token-1"]


async def test_a_token_is_renewed_before_its_end(mock_clock: MockClock) -> None:
    """It lasts 100 s, of which the last 10 are not used."""
    async with upstream_and_client() as (upstream, client):
        guarded(upstream)
        async with passing(mock_clock):
            await client.get_manifest(REPO, "latest")
        mock_clock.jump(91)
        async with passing(mock_clock):
            await client.get_manifest(REPO, "latest")
    assert upstream.seen[-1].headers["authorization"] == "Bearer token-2"
    assert len(upstream.seen) == 6


async def test_a_token_that_is_refused_is_replaced() -> None:
    """An upstream may have forgotten its tokens, after a restart for example."""
    async with upstream_and_client() as (upstream, client):
        guarded(upstream)
        await client.get_manifest(REPO, "latest")
        guarded(upstream)
        upstream.scripts["/token"].insert(0, Reply(200, b'{"access_token": "token-0"}'))
        with pytest.raises(UpstreamRefused):
            await client.get_manifest(REPO, "latest")
        assert (await client.get_manifest(REPO, "latest")).content == IMAGE


async def test_many_who_need_a_token_ask_for_it_once() -> None:
    """Those who wait for a token take the one that came."""
    async with upstream_and_client(requests_in_flight=8) as (upstream, client):
        guarded(upstream)
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(client.get_manifest, REPO, "latest")
    assert len([target for target in upstream.asked if target.startswith("/token")]) == 1


async def test_basic_is_sent_when_it_was_asked_for() -> None:
    """After the first challenge each request has it at once."""
    async with upstream_and_client(**ALICE) as (upstream, client):
        challenge = Reply(401, headers={"WWW-Authenticate": 'Basic realm="here"'})
        upstream.scripts[MANIFEST] = [lambda seen: GOOD if seen.headers.get("authorization") == BASIC else challenge]
        await client.get_manifest(REPO, "latest")
        await client.get_manifest(REPO, "latest")
    assert len(upstream.seen) == 3


@pytest.mark.parametrize("login", [{}, {"username": "alice", "password": "wrong"}])
async def test_a_login_that_is_missing_or_wrong_is_refused(login: dict[str, Any]) -> None:
    """A wrong password is sent once for each request, not again and again."""
    async with upstream_and_client(**login) as (upstream, client):
        upstream.scripts[MANIFEST] = [Reply(401, headers={"WWW-Authenticate": 'Basic realm="here"'})]
        with pytest.raises(UpstreamRefused, match="status 401"):
            await client.get_manifest(REPO, "latest")
    assert len(upstream.seen) == 1 + bool(login)


class Changing:
    """Logins one after another: the next one if one is refused, or with each request (`moves_on`)."""

    def __init__(self, logins: list[Login], *, moves_on: bool = False) -> None:
        self.logins = logins
        self.moves_on = moves_on
        self.refused = list[Login]()

    async def __call__(self) -> Login:
        """Return the current one."""
        await trio.lowlevel.checkpoint()
        return self.logins.pop(0) if self.moves_on else self.logins[0]

    async def renewed(self, refused: Login, /) -> bool:
        """Go on to the next one, if there is one."""
        await trio.lowlevel.checkpoint()
        self.refused.append(refused)
        if len(self.logins) > 1 and self.logins[0] == refused:
            self.logins.pop(0)
        return self.logins[0] != refused


OLD, NEW = Login("AWS", "old"), Login("AWS", "new")
OF_BASIC = {"WWW-Authenticate": 'Basic realm="here"'}


@pytest.mark.parametrize("status", [401, 403])
async def test_a_login_that_is_refused_is_renewed_and_the_request_is_sent_again(status: int) -> None:
    """It lasts hours, and was withdrawn before its end: ECR answers 403 then."""

    def check(seen: Seen) -> Reply:
        shown = seen.headers.get("authorization")
        if shown == NEW.basic:
            return GOOD
        return Reply(status if shown else 401, headers=OF_BASIC)

    changing = Changing([OLD, NEW])
    async with running() as upstream, upstream.client(changing) as client:
        upstream.scripts[MANIFEST] = [check]
        for _ in range(2):
            await client.get_manifest(REPO, "latest")
    shown = [seen.headers.get("authorization") for seen in upstream.seen]
    assert shown == [None, OLD.basic, NEW.basic, NEW.basic]
    assert changing.refused == [OLD]


async def test_a_login_that_the_token_service_refuses_is_renewed() -> None:
    """So are the tokens that came of it."""
    changing = Changing([OLD, NEW])
    async with running() as upstream, upstream.client(changing) as client:
        guarded(upstream)
        (give,) = upstream.scripts["/token"]
        assert callable(give)
        upstream.scripts["/token"] = [
            lambda seen: give(seen) if seen.headers["authorization"] == NEW.basic else Reply(401)
        ]
        await client.get_manifest(REPO, "latest")
    assert changing.refused == [OLD]


async def test_requests_that_are_refused_together_renew_a_login_once() -> None:
    """The second one finds the new login."""
    changing, gate = Changing([OLD, NEW, Login("AWS", "third")]), trio.Event()

    def check(seen: Seen) -> Reply:
        shown = seen.headers.get("authorization")
        old = [each for each in upstream.seen if each.headers.get("authorization") == OLD.basic]
        if len(old) == 2:
            gate.set()
        return GOOD if shown == NEW.basic else Reply(403, b"ended", gate=gate) if shown else Reply(401, b"", OF_BASIC)

    async with running() as upstream, upstream.client(changing) as client:
        upstream.scripts[MANIFEST] = [check]
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(client.get_manifest, REPO, "latest")
    assert changing.refused == [OLD]
    assert [seen.headers.get("authorization") for seen in upstream.seen].count(NEW.basic) == 2


async def test_a_refusal_that_no_other_login_mends_is_one() -> None:
    """The account may not read this. It is asked twice, and no more."""
    changing = Changing([OLD, NEW])
    async with running() as upstream, upstream.client(changing) as client:
        upstream.scripts[MANIFEST] = [
            lambda seen: Reply(403 if seen.headers.get("authorization") else 401, b"", OF_BASIC)
        ]
        for _ in range(2):
            with pytest.raises(UpstreamRefused, match="status 403"):
                await client.get_manifest(REPO, "latest")
    shown = [seen.headers.get("authorization") for seen in upstream.seen]
    assert shown == [None, OLD.basic, NEW.basic, NEW.basic]


async def test_a_store_that_refuses_a_redirected_request_is_no_matter_of_the_login() -> None:
    """It was not shown there."""
    changing = Changing([OLD, NEW])
    async with running() as upstream, running() as store, upstream.client(changing) as client:
        upstream.scripts[BLOB_PATH] = [Reply(307, headers={"Location": f"{store.url}/bytes"})]
        store.scripts["/bytes"] = [Reply(403)]
        with pytest.raises(UpstreamRefused, match="status 403"):
            await read(client)
    assert changing.refused == []


async def test_a_given_token_is_sent_as_it_is() -> None:
    """So is one that changes: it is asked for at each request."""
    changing = Changing([Login(token="first"), Login(token="second")], moves_on=True)
    async with running() as upstream, upstream.client(changing) as client:
        upstream.scripts[MANIFEST] = [GOOD]
        await client.get_manifest(REPO, "latest")
        await client.get_manifest(REPO, "latest")
    assert [seen.headers["authorization"] for seen in upstream.seen] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize(
    "answer",
    [
        Reply(200, b"no JSON"),
        Reply(200, b'{"token": "two\\nlines"}'),
        Reply(200, b'{"token": 1}'),
        Endless(b"{" * 10_000),
    ],
)
async def test_a_token_service_that_answers_nonsense(answer: Reply | Endless) -> None:
    """What cannot be a token is not sent, and a long answer is not read."""
    async with upstream_and_client() as (upstream, client):
        guarded(upstream)
        upstream.scripts["/token"] = [answer]
        with pytest.raises(UpstreamBroken):
            await client.get_manifest(REPO, "latest")


async def test_a_redirection_gets_no_login() -> None:
    """The bytes of blobs are often at another host, which must not see the token."""
    async with running() as store, upstream_and_client() as (upstream, client):
        elsewhere = store.url.replace("127.0.0.1", "localhost")
        guarded(upstream, Reply(307, headers={"Location": f"{elsewhere}/bytes?signature=1"}))
        store.scripts["/bytes"] = [Reply(200, BLOB)]
        assert await read(client) == BLOB
    (seen,) = store.seen
    assert "authorization" not in seen.headers


async def test_a_refusal_of_another_host_is_no_challenge() -> None:
    """A login is for the upstream alone."""
    async with running() as store, upstream_and_client(**ALICE) as (upstream, client):
        upstream.scripts[BLOB_PATH] = [Reply(307, headers={"Location": f"{store.url}/bytes"})]
        store.scripts["/bytes"] = [Reply(401, headers={"WWW-Authenticate": 'Basic realm="store"'})]
        with pytest.raises(UpstreamRefused):
            await read(client)
    assert len(store.seen) == 1


@pytest.mark.parametrize("location", ["", "ftp://127.0.0.1/", "file:///etc/passwd"])
async def test_a_redirection_to_nowhere_is_refused(location: str) -> None:
    """Only URLs of HTTP are followed."""
    async with upstream_and_client() as (upstream, client):
        upstream.scripts[BLOB_PATH] = [Reply(307, headers={"Location": location})]
        with pytest.raises(UpstreamBroken, match="leads to"):
            await read(client)


@pytest.mark.parametrize("host", ["xn--a", "xn--", "a..b", "a" * 64, "[::1"])
async def test_a_host_that_is_no_name_is_a_fault_of_the_upstream(host: str) -> None:
    """Whoever asked for the blob gets a plain error."""
    async with upstream_and_client() as (upstream, client):
        upstream.scripts[BLOB_PATH] = [Reply(307, headers={"Location": f"http://{host}/"})]
        with pytest.raises(UpstreamError):
            await read(client)


async def test_a_port_that_does_not_exist_is_not_taken_for_another_one() -> None:
    """The system connects to a port modulo 65,536: here to the upstream itself."""
    async with upstream_and_client() as (upstream, client):
        port = httpx.URL(upstream.url).port
        assert port is not None
        for number in (port + 65536, 65536, 0):
            upstream.scripts[BLOB_PATH] = [Reply(307, headers={"Location": f"http://127.0.0.1:{number}/"})]
            with pytest.raises(UpstreamError, match="there is no port"):
                await read(client)
        assert {each.target for each in upstream.seen} == {BLOB_PATH}


async def test_redirections_in_a_circle_end() -> None:
    """Five are followed."""
    async with upstream_and_client() as (upstream, client):
        upstream.scripts[BLOB_PATH] = [Reply(307, headers={"Location": BLOB_PATH})]
        with pytest.raises(UpstreamBroken, match="more than 5 times"):
            await read(client)
    assert len(upstream.seen) == 6


CATALOG = "/v2/_catalog"
PUBLIC, ALL = ([b'{"repositories":["public"]}'], [b'{"repositories":["private"]}', b'{"repositories":["public"]}'])


def listing(pages: list[bytes]) -> list[Reply]:
    """Answer with the pages of a list, of which each but the last leads on."""
    link = {"Link": f'<{CATALOG}?n=1&last=x>; rel="next"'}
    return [Reply(200, page, link if number < len(pages) else {}) for number, page in enumerate(pages, 1)]


async def test_the_list_of_repositories_is_that_of_the_login() -> None:
    """A zot with an anonymousPolicy does not ask for a login: it answers with the public repositories alone."""

    def answer(seen: Seen) -> Reply:
        knows = seen.headers.get("authorization") == BASIC
        return listing(ALL)[1 if "last=" in seen.target else 0] if knows else listing(PUBLIC)[0]

    async with running() as upstream:
        upstream.scripts[CATALOG] = [answer]
        async with upstream.client(**ALICE) as client:
            assert [name async for name in client.repositories()] == ["private", "public"]
        async with upstream.client() as client:
            assert [name async for name in client.repositories()] == ["public"]


async def test_a_list_with_a_token_is_asked_for_twice() -> None:
    """A registry that takes only tokens refuses the password, and says where tokens are."""
    async with running() as upstream, upstream.client(**ALICE) as client:
        realm = f'Bearer realm="{upstream.url}/token",service="there"'

        def answer(seen: Seen) -> Reply:
            knows = seen.headers.get("authorization") == "Bearer given"
            return listing(PUBLIC)[0] if knows else Reply(401, headers={"WWW-Authenticate": realm})

        upstream.scripts[CATALOG] = [answer]
        upstream.scripts["/token"] = [Reply(200, b'{"token": "given"}')]
        assert [name async for name in client.repositories()] == ["public"]
        (asked,) = [seen for seen in upstream.seen if seen.target.startswith("/token")]
        assert "scope=registry%3Acatalog%3A%2A" in asked.target


async def test_a_wrong_password_lists_nothing() -> None:
    """The caller learns of it, and not that there are few repositories."""
    async with running() as upstream, upstream.client(**ALICE) as client:
        upstream.scripts[CATALOG] = [Reply(401, headers={"WWW-Authenticate": 'Basic realm="there"'})]
        with pytest.raises(UpstreamRefused, match="status 401"):
            assert [name async for name in client.repositories()] == []
