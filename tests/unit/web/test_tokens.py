"""The endpoint for tokens: what comes in, what goes out, and what a request with a token may do."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.unit.auth.hashed import PASSWORD
from tests.unit.web.desks import ALICE, BOB, NOW, ROOT, SERVICE, TOKEN_PATH, Scene, bearer, claims_of, giving
from tests.unit.web.serving import REPO, UPLOADS, codes_of, digest_of
from zotpy.auth.htpasswd import Users
from zotpy.auth.passwords import KIND
from zotpy.auth.permission import Identity

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import trio

PULL_PUSH = f"repository:{REPO}:pull,push"


@asynccontextmanager
async def as_root(scene: Scene) -> AsyncIterator[None]:
    """Let the client send the password of a user who may do everything."""
    scene.client.auth = ROOT
    yield
    scene.client.auth = httpx.Auth()


@pytest.fixture
async def scene(nursery: trio.Nursery) -> AsyncIterator[Scene]:
    """Run a replica that gives tokens."""
    async with giving(nursery) as scene:
        yield scene


async def test_a_login_gets_a_token_for_what_the_rules_grant(scene: Scene) -> None:
    """The token says who it is, for whom, until when, and what for. No cache keeps the answer."""
    answer = await scene.client.get(
        TOKEN_PATH,
        params=[("service", SERVICE), ("scope", PULL_PUSH), ("scope", "repository:hidden/x:pull,delete registry:a:*")],
        auth=ALICE,
    )
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    document = answer.json()
    assert document["token"] == document["access_token"]
    assert document["expires_in"] == 300
    assert document["issued_at"] == "2027-01-15T08:00:00Z"
    assert "refresh_token" not in document
    claims = claims_of(document["token"])
    assert {name: claims[name] for name in ("sub", "kind", "aud", "iss", "iat", "exp")} == {
        "sub": "alice",
        "kind": "htpasswd",
        "aud": SERVICE,
        "iss": "zotpy",
        "iat": int(NOW),
        "exp": int(NOW) + 300,
    }
    assert claims["access"] == [
        {"type": "repository", "name": REPO, "actions": ["pull", "push"]},
        {"type": "repository", "name": "hidden/x", "actions": ["pull"]},
    ]


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        (PULL_PUSH, ["pull", "push"]),
        (f"repository:{REPO}:*", ["pull", "push"]),
        (f"repository:{REPO}:delete", None),
        (f"repository:{REPO}:pull,frobnicate", ["pull"]),
        (f"repository(plugin):{REPO}:pull", ["pull"]),
        ("repository:hidden/x:pull", None),
        ("repository:UPPER:pull", None),
        ("registry:catalog:*", ["*"]),
        ("registry:catalog:list", None),
        *(
            (each, None)
            for each in ("", "x", "repository", f"repository:{REPO}", "volume:x:pull", "::", "repository::")
        ),
    ],
)
async def test_bob_gets_no_more_than_the_rules_grant_him(scene: Scene, asked: str, granted: list[str] | None) -> None:
    """Unknown scopes get nothing, and nobody learns whether a repository exists."""
    access = claims_of(await scene.token(BOB, asked))["access"]
    assert [each["actions"] for each in access] == ([] if granted is None else [granted])


async def test_a_push_and_a_pull_with_a_token_alone(scene: Scene) -> None:
    """The requests are those of the user, and no password is checked. Each names the user and the login."""
    scene.client.headers.update(bearer(await scene.token(ALICE, f"repository:{REPO}:pull,push,delete")))
    scene.users["now"] = Users({}, {})  # no password is right any more
    pushed = await scene.replica.push_image("v1")
    manifest = f"/v2/{REPO}/manifests/v1"
    assert (await scene.client.get("/v2/")).status_code == 200
    assert (await scene.client.get(manifest)).status_code == 200
    assert (await scene.client.get(f"/v2/{REPO}/tags/list")).json()["tags"] == ["v1"]
    assert (await scene.client.delete(f"/v2/{REPO}/manifests/{pushed.headers['Docker-Content-Digest']}")).is_success
    ended = [await scene.replica.ended.receive() for _ in range(7)]
    assert {(each.user, each.login) for each in ended} == {("alice", "htpasswd")}


async def test_a_token_limits_its_bearer(scene: Scene) -> None:
    """A good token for something else is answered 401, so that the client gets another one. Nothing is done."""
    token = await scene.token(ALICE, f"repository:{REPO}:pull")
    for method, path, scope in (
        ("POST", UPLOADS, f"repository:{REPO}:pull,push"),
        ("PUT", f"/v2/{REPO}/manifests/v1", f"repository:{REPO}:pull,push"),
        ("DELETE", f"/v2/{REPO}/manifests/v1", f"repository:{REPO}:delete"),
        ("GET", "/v2/team/other/tags/list", "repository:team/other:pull"),
        ("GET", "/v2/_catalog", "registry:catalog:*"),
    ):
        before = dict(scene.replica.store.objects)
        answer = await scene.client.request(method, path, headers=bearer(token))
        assert (answer.status_code, codes_of(answer)) == (401, ["UNAUTHORIZED"])
        [first] = answer.headers.get_list("WWW-Authenticate")
        realm = f"http://127.0.0.1:{scene.replica.port}{TOKEN_PATH}"
        assert first == f'Bearer realm="{realm}",service="{SERVICE}",scope="{scope}",error="insufficient_scope"'
        assert scene.replica.store.objects == before


async def test_the_rules_limit_a_token_that_was_issued_under_others(scene: Scene, nursery: trio.Nursery) -> None:
    """What the rules do not grant is 403, whatever the token says: no other token would help."""
    everything = {"users": ["bob"], "actions": ["read", "create", "update", "delete"]}
    async with giving(nursery, {"adminPolicy": everything}) as one:
        one.tokens.keys = scene.tokens.keys
        token = await one.token(BOB, f"repository:{REPO}:pull,push,delete")
    answer = await scene.client.delete(f"/v2/{REPO}/manifests/v1", headers=bearer(token))
    assert (answer.status_code, codes_of(answer)) == (403, ["DENIED"])
    assert (await scene.client.post(UPLOADS, headers=bearer(token))).status_code == 202


async def test_a_mount_needs_a_token_for_its_source(scene: Scene) -> None:
    """A token for the target alone begins an upload."""
    async with as_root(scene):
        digest = await scene.replica.push_blob(b"x" * 10, "team/source")
    parameters = {"mount": digest, "from": "team/source"}
    token = await scene.token(ALICE, PULL_PUSH)
    assert (await scene.client.post(UPLOADS, params=parameters, headers=bearer(token))).status_code == 202
    assert (await scene.client.post(UPLOADS, params={"mount": digest}, headers=bearer(token))).status_code == 202
    token = await scene.token(ALICE, PULL_PUSH, "repository:team/source:pull")
    assert (await scene.client.post(UPLOADS, params=parameters, headers=bearer(token))).status_code == 201


async def test_the_catalog_has_a_scope_of_its_own(scene: Scene) -> None:
    """A token for it shows what the caller may read. A token for a repository shows no list."""
    async with as_root(scene):
        for repo in ("team/a", "public/b", "elsewhere/c"):
            await scene.replica.push_image("v1", repo=repo)
    for auth, names in ((ALICE, ["public/b", "team/a"]), (None, ["public/b"])):
        token = await scene.token(auth, "registry:catalog:*")
        answer = await scene.client.get("/v2/_catalog", headers=bearer(token))
        assert answer.json()["repositories"] == names


async def test_anonymous_callers_get_tokens_for_what_everybody_may_do(scene: Scene) -> None:
    """Docker then goes on without a login, and a push by such a caller is told to log in."""
    async with as_root(scene):
        await scene.replica.push_image("v1", repo="public/b")
    assert (await scene.client.get("/v2/")).status_code == 401
    token = await scene.token(None, "repository:public/b:pull,push", PULL_PUSH)
    assert claims_of(token)["access"] == [{"type": "repository", "name": "public/b", "actions": ["pull"]}]
    assert (await scene.client.get("/v2/", headers=bearer(token))).status_code == 200
    assert (await scene.client.get("/v2/public/b/manifests/v1", headers=bearer(token))).status_code == 200
    for path in ("/v2/public/b/blobs/uploads/", UPLOADS):
        answer = await scene.client.post(path, headers=bearer(token))
        assert (answer.status_code, codes_of(answer)) == (401, ["UNAUTHORIZED"])
        assert 'error="insufficient_scope"' in answer.headers.get_list("WWW-Authenticate")[0]


async def test_nobody_gets_an_anonymous_token_where_everybody_has_to_log_in(nursery: trio.Nursery) -> None:
    """The endpoint asks for a password, by Basic alone."""
    async with giving(nursery, None) as scene:
        for auth in (None, ("alice", "wrong"), ("", "")):
            answer = await scene.client.get(TOKEN_PATH, params={"scope": PULL_PUSH}, auth=auth)
            assert (answer.status_code, codes_of(answer)) == (401, ["UNAUTHORIZED"])
            assert answer.headers.get_list("WWW-Authenticate") == ['Basic realm="Our registry"']
        token = await scene.token(BOB, f"repository:{REPO}:pull,push,delete")
        assert claims_of(token)["access"][0]["actions"] == ["pull", "push", "delete"]


async def test_oauth_forms(scene: Scene) -> None:
    """Containerd and buildkit send a form first, and `access_type=offline` for a refresh token."""
    password = {"username": "alice", "password": PASSWORD.decode(), "service": SERVICE, "client_id": "containerd"}
    answer = await scene.post(grant_type="password", scope=f"{PULL_PUSH} repository:hidden/x:pull", **password)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    document = answer.json()
    assert [each["name"] for each in claims_of(document["access_token"])["access"]] == [REPO, "hidden/x"]
    assert "refresh_token" not in document
    offline = (await scene.post(grant_type="password", access_type="offline", **password)).json()
    again = await scene.post(grant_type="refresh_token", refresh_token=offline["refresh_token"], scope=PULL_PUSH)
    assert again.status_code == 200
    assert again.json()["refresh_token"] == offline["refresh_token"]
    token = again.json()["access_token"]
    assert (await scene.client.post(UPLOADS, headers=bearer(token))).status_code == 202
    wrong = await scene.post(**{**password, "grant_type": "password", "password": "wrong"})
    assert (wrong.status_code, codes_of(wrong)) == (401, ["UNAUTHORIZED"])


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"grant_type=authorization_code&code=x", "application/x-www-form-urlencoded", 400),
        (b'{"grant_type": "password"}', "application/json", 400),
        (b"grant_type=password&username=%ff", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a=%d" % number for number in range(65)), "application/x-www-form-urlencoded", 400),
        (b"scope=" + b"+".join(b"repository:a%d:pull" % number for number in range(65)), "", 400),
        (b"scope=" + b"x" * (64 * 1024), "application/x-www-form-urlencoded", 413),
        (b"grant_type=password&password=x&username=" + b"x" * 300, "application/x-www-form-urlencoded", 401),
        (b"grant_type=refresh_token", "application/x-www-form-urlencoded", 401),
        (b"", "application/x-www-form-urlencoded", 200),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
async def test_forms_that_cannot_be_answered(
    scene: Scene, content: bytes, media_type: str, status: int, *, chunked: bool
) -> None:
    """Each says what is wrong. A form without a grant is like a GET, with its credentials in the header."""

    async def pieces() -> AsyncIterator[bytes]:
        yield content

    headers = {"Content-Type": media_type or "application/x-www-form-urlencoded"}
    answer = await scene.client.post(TOKEN_PATH, content=pieces() if chunked else content, headers=headers)
    assert answer.status_code == status, answer.text
    if status != 200:
        assert codes_of(answer)


async def test_refresh_tokens_outlive_the_others_and_end(scene: Scene) -> None:
    """A client goes on for the length of a session without a password, and then logs in again."""
    refresh = (await scene.grant(ALICE, offline_token="true"))["refresh_token"]
    scene.clock.now += 3600 + 59
    renewed = await scene.post(grant_type="refresh_token", refresh_token=refresh, scope=PULL_PUSH)
    assert (await scene.client.post(UPLOADS, headers=bearer(renewed.json()["token"]))).status_code == 202
    scene.clock.now += 1
    ended = await scene.post(grant_type="refresh_token", refresh_token=refresh)
    assert (ended.status_code, codes_of(ended)) == (401, ["UNAUTHORIZED"])
    assert "log in again" in ended.text


async def test_a_refresh_token_ends_with_its_user_or_the_password(scene: Scene) -> None:
    """A user who was deleted, or whose password was changed, gets no further tokens. Others are not affected."""
    alice, bob = [(await scene.grant(each, offline_token="true"))["refresh_token"] for each in (ALICE, BOB)]
    hashes = scene.users["now"].hashes
    for users in (Users({"bob": hashes["bob"]}, {}), Users({**hashes, "alice": hashes["bob"]}, {})):
        scene.users["now"] = users
        assert (await scene.post(grant_type="refresh_token", refresh_token=alice)).status_code == 401
        assert (await scene.post(grant_type="refresh_token", refresh_token=bob)).status_code == 200


async def test_a_refresh_token_of_a_user_with_many_groups_fits_into_a_form(scene: Scene) -> None:
    """A directory may have thousands of groups. A token carries those that the rules name."""
    groups = frozenset(f"cn=a group of many,ou=number {number},dc=example,dc=com" for number in range(2000))
    refresh = scene.tokens.issue_refresh(Identity("alice", groups, KIND))
    assert refresh is not None
    assert (await scene.post(grant_type="refresh_token", refresh_token=refresh)).status_code == 200


async def test_nobody_refreshes_what_has_no_session(nursery: trio.Nursery, scene: Scene) -> None:
    """Neither an anonymous caller nor anybody with `sessionLifetime` 0 has a session."""
    assert "refresh_token" not in await scene.grant(None, offline_token="true")
    async with giving(nursery, session_s=0) as other:
        assert "refresh_token" not in await other.grant(ALICE, offline_token="true")


async def test_an_upload_outlives_its_token(scene: Scene) -> None:
    """Its chunks and its end need no new token, but everything else does. A token of long ago goes on with nothing."""
    token = await scene.token(ALICE, PULL_PUSH)
    location = (await scene.client.post(UPLOADS, headers=bearer(token))).headers["Location"]
    scene.clock.now += 3600
    for method, path in (("POST", UPLOADS), ("GET", "/v2/"), ("GET", f"/v2/{REPO}/tags/list")):
        answer = await scene.client.request(method, path, headers=bearer(token))
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers.get_list("WWW-Authenticate")[0]
    chunk = await scene.client.patch(location, content=b"abc", headers=bearer(token))
    assert chunk.status_code == 202, chunk.text
    location = chunk.headers["Location"]
    assert (await scene.client.get(location, headers=bearer(token))).status_code == 204
    scene.clock.now += 24 * 3600
    late = await scene.client.put(location, params={"digest": digest_of(b"abc")}, headers=bearer(token))
    assert late.status_code == 401
    scene.clock.now -= 24 * 3600
    done = await scene.client.put(f"{location}&digest={digest_of(b'abc')}", headers=bearer(token))
    assert done.status_code == 201, done.text


async def test_an_ended_token_goes_on_with_nothing_else(scene: Scene) -> None:
    """Neither with the upload of another user, nor in another repository, nor with a Location of one's own making."""
    alices = await scene.token(ALICE, PULL_PUSH)
    bobs = await scene.token(BOB, PULL_PUSH, "repository:team/other:pull,push")
    location = (await scene.client.post(UPLOADS, headers=bearer(alices))).headers["Location"]
    own = (await scene.client.post("/v2/team/other/blobs/uploads/", headers=bearer(bobs))).headers["Location"]
    scene.clock.now += 3600
    for path, token, status in (
        (location, bobs, 404),
        (location.partition("?")[0], alices, 404),
        (own.replace("team/other", REPO), bobs, 404),
        (own, alices, 401),  # the token is not good for that repository
    ):
        answer = await scene.client.patch(path, content=b"x", headers=bearer(token))
        assert answer.status_code == status, answer.text
    assert (await scene.client.patch(location, content=b"x", headers=bearer(alices))).status_code == 202


async def test_no_store_call_for_a_token(scene: Scene) -> None:
    """The store is called neither to issue a token nor to check one."""
    reads = len(scene.store.objects)
    assert reads == 1
    scene.store.objects.clear()
    token = await scene.token(ALICE, PULL_PUSH)
    assert (await scene.client.post(UPLOADS, headers=bearer(token))).status_code == 202
