"""Tokens that are not good: each attempt is refused, whatever else the token says."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from tests.unit.web.desks import ALICE, BOB, NOW, SERVICE, TOKEN_PATH, Scene, bearer, claims_of, encoded, giving
from tests.unit.web.serving import REPO, UPLOADS, codes_of
from zotpy.auth import signed_tokens, tokens, verified
from zotpy.core.upload_tokens import SigningKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import httpx
    import trio

PULL_PUSH = f"repository:{REPO}:pull,push"


@pytest.fixture
async def scene(nursery: trio.Nursery) -> AsyncIterator[Scene]:
    """Run a replica that gives tokens."""
    async with giving(nursery) as scene:
        yield scene


def claims(**others: object) -> dict[str, object]:
    """Return what a good token of alice says, with some of it changed."""
    access = [{"type": "repository", "name": REPO, "actions": ["pull", "push"]}]
    whole = {"iss": "zotpy", "aud": SERVICE, "use": "access", "sub": "alice", "groups": [], "kind": "htpasswd"}
    return {**whole, "iat": int(NOW), "exp": int(NOW) + 300, "access": access, **others}


async def begin(scene: Scene, token: str) -> httpx.Response:
    """Begin an upload with a token."""
    headers = bearer(token) if token else {"Authorization": "Bearer"}
    return await scene.client.post(UPLOADS, headers=headers)


async def check_refused(scene: Scene, token: str) -> None:
    """Check that a token is refused, in words that make a client get another one."""
    before = dict(scene.replica.store.objects)
    answer = await begin(scene, token)
    assert (answer.status_code, codes_of(answer)) == (401, ["UNAUTHORIZED"])
    [first] = answer.headers.get_list("WWW-Authenticate")
    assert first.startswith("Bearer realm=")
    assert first.endswith(f',service="{SERVICE}",scope="{PULL_PUSH}",error="invalid_token"')
    assert scene.replica.store.objects == before


async def test_the_tokens_of_these_tests_are_good_but_for_what_they_change(scene: Scene) -> None:
    """One of another library is good as well, so the form is that of RFC 7515."""
    key = scene.tokens.keys.current
    assert (await begin(scene, signed_tokens.sign(claims(), key))).status_code == 202
    header = {"alg": "HS256", "kid": key.key_id, "typ": "JWT"}
    assert (await begin(scene, jwt.encode(header, claims(), OctKey.import_key(key.secret)))).status_code == 202
    ours = await scene.token(ALICE, PULL_PUSH)
    assert jwt.decode(ours, OctKey.import_key(key.secret)).claims["sub"] == "alice"


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": int(NOW) - 61},
        {"aud": "another.example.com"},
        {"aud": ["another.example.com"]},
        {"aud": None},
        {"iss": "https://issuer.example.com"},
        {"use": "refresh"},
        {"use": None},
    ],
    ids=str,
)
async def test_other_claims(scene: Scene, changed: Mapping[str, object]) -> None:
    """Expired, for another audience, by another issuer, or for another use."""
    await check_refused(scene, signed_tokens.sign(claims(**changed), scene.tokens.keys.current))


async def test_a_token_is_good_for_a_minute_longer_than_it_says(scene: Scene) -> None:
    """Clocks of replicas differ. The minute ends, also for a token that is remembered."""
    token = await scene.token(ALICE, PULL_PUSH)
    scene.clock.now += 359
    assert (await begin(scene, token)).status_code == 202
    assert (await begin(scene, token)).status_code == 202
    scene.clock.now += 1
    await check_refused(scene, token)


@pytest.mark.parametrize("algorithm", ["none", "None", "", "hs256", "HS384", "RS256", "ES256", "EdDSA", None, 1])
async def test_other_algorithms(scene: Scene, algorithm: object) -> None:
    """The algorithm is never taken from the token: not `none`, and not another one with a right signature."""
    key = scene.tokens.keys.current
    start = f"{encoded({'alg': algorithm, 'kid': key.key_id, 'typ': 'JWT'})}.{encoded(claims())}"
    for mac in (b"", hmac.digest(key.secret, start.encode(), hashlib.sha256)):
        await check_refused(scene, f"{start}.{signed_tokens._encoded(mac)}")


async def test_a_key_of_another_kind(scene: Scene) -> None:
    """A token that its sender has signed with an RSA key of their own, under the name of our key."""
    key = scene.tokens.keys.current
    mine = RSAKey.generate_key(2048)
    await check_refused(scene, jwt.encode({"alg": "RS256", "kid": key.key_id, "jwk": mine.as_dict()}, claims(), mine))


async def test_a_key_in_the_token(scene: Scene) -> None:
    """A key that the token itself brings or names is never used, nor one that the header calls critical."""
    key = scene.tokens.keys.current
    mine = SigningKey(key.key_id, secrets.token_bytes(32))
    await check_refused(scene, signed_tokens.sign(claims(), mine))
    for extra in (
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"jku": "http://127.0.0.1:1/keys"},
        {"x5u": "http://127.0.0.1:1"},
    ):
        start = f"{encoded({'alg': 'HS256', 'kid': key.key_id, **extra})}.{encoded(claims())}"
        mac = hmac.digest(mine.secret, start.encode(), hashlib.sha256)
        await check_refused(scene, f"{start}.{signed_tokens._encoded(mac)}")
    start = f"{encoded({'alg': 'HS256', 'kid': key.key_id, 'crit': ['b64'], 'b64': False})}.{encoded(claims())}"
    await check_refused(
        scene, f"{start}.{signed_tokens._encoded(hmac.digest(key.secret, start.encode(), hashlib.sha256))}"
    )


@pytest.mark.parametrize(
    "key_id", ["", "x", "zotpy.", "zotpy.1.00", "zotpy.1.0123456789abcdef", "zotpy.../meta/layout", "../layout", None]
)
async def test_unknown_keys(scene: Scene, key_id: str | None) -> None:
    """None of them is a path in the bucket."""
    start = f"{encoded({'alg': 'HS256', 'kid': key_id})}.{encoded(claims())}"
    await check_refused(scene, f"{start}.{signed_tokens._encoded(bytes(32))}")


async def test_what_is_no_token(scene: Scene) -> None:
    """None of it is an internal error."""
    good = await scene.token(ALICE, PULL_PUSH)
    header, payload, mac = good.split(".")
    for text in (
        *("", ".", "..", "a.b", "a.b.c", "a.b.c.d", f"{good}.", f"{header}.{payload}.", f"{header}..{mac}"),
        *(
            f"{header}.{payload}.{mac[:-2]}",
            f"{header}.{payload}.{mac}A",
            f"{payload}.{header}.{mac}",
        ),
        *(f"{encoded([])}.{payload}.{mac}", f"{encoded(1)}.{payload}.{mac}", f"{encoded({'kid': {}})}.{payload}.{mac}"),
        *("[" * 9000 + ".a.b", "x" * 12000),
    ):
        await check_refused(scene, text)
    for place in range(len(header) + 1, len(good), 7):
        changed = "A" if good[place] != "A" else "B"
        await check_refused(scene, good[:place] + changed + good[place + 1 :])


async def test_a_refresh_token_is_no_token_for_requests_and_the_other_way_round(scene: Scene) -> None:
    """And a token for requests gets no other token, else it would never end."""
    granted = await scene.grant(ALICE, PULL_PUSH, offline_token="true")
    await check_refused(scene, granted["refresh_token"])
    swapped = await scene.post(grant_type="refresh_token", refresh_token=granted["token"])
    assert (swapped.status_code, codes_of(swapped)) == (401, ["UNAUTHORIZED"])
    for token in (granted["token"], granted["refresh_token"]):
        answer = await scene.client.get(TOKEN_PATH, headers=bearer(token))
        assert (answer.status_code, codes_of(answer)) == (401, ["UNAUTHORIZED"])
        password = await scene.client.get(TOKEN_PATH, auth=("alice", token))
        assert password.status_code == 401


async def test_a_scope_of_another_repository(scene: Scene) -> None:
    """A token for one repository is good for no other one, not even for one whose name begins with its name."""
    near = [f"repository:{name}:pull,push" for name in ("team", "team/ap", "team/app/x")]
    token = await scene.token(ALICE, *near, f"repository:{REPO}:pull")
    assert [each["name"] for each in claims_of(token)["access"]] == ["team", "team/ap", "team/app/x", REPO]
    answer = await begin(scene, token)
    assert answer.status_code == 401
    assert 'error="insufficient_scope"' in answer.headers.get_list("WWW-Authenticate")[0]


async def test_an_upload_of_another_user(scene: Scene) -> None:
    """It is answered like an upload that does not exist."""
    location = (await begin(scene, await scene.token(ALICE, PULL_PUSH))).headers["Location"]
    bobs = bearer(await scene.token(BOB, PULL_PUSH))
    for method in ("GET", "PATCH", "DELETE"):
        answer = await scene.client.request(method, location, content=b"", headers=bobs)
        assert (answer.status_code, codes_of(answer)) == (404, ["BLOB_UPLOAD_UNKNOWN"])


async def test_tokens_of_another_registry(scene: Scene, nursery: trio.Nursery) -> None:
    """Another bucket has other keys, whatever the registry is called."""
    async with giving(nursery) as other:
        await check_refused(scene, await other.token(ALICE, PULL_PUSH))


async def test_what_is_remembered_is_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokens that were used last stay. A long token is checked each time."""
    monkeypatch.setattr(verified, "MOST_REMEMBERED", 2)
    one, other, third = [await scene.token(ALICE, PULL_PUSH) for _ in range(3)]
    for token in (one, other, one, third, one, third):
        assert (await begin(scene, token)).status_code == 202
    assert len(scene.tokens.verified) == 2
    monkeypatch.setattr(verified, "LONGEST_REMEMBERED_BYTES", 10)
    assert (await begin(scene, other)).status_code == 202
    assert len(scene.tokens.verified) == 2


async def test_a_remembered_token_is_not_checked_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push of many requests pays once. A token that is not good is never remembered."""
    checked: list[str] = []

    def verify(text: str, key: SigningKey) -> Mapping[str, Any]:
        checked.append(text)
        return signed_tokens.verify(text, key)

    monkeypatch.setattr(tokens, "verify", verify)
    token = await scene.token(ALICE, PULL_PUSH)
    for _ in range(5):
        assert (await begin(scene, token)).status_code == 202
    assert checked == [token]
    bad = token[:-3] + ("AAA" if not token.endswith("AAA") else "BBB")
    for _ in range(2):
        await check_refused(scene, bad)
    assert checked == [token, bad, bad]


async def test_a_token_ends_with_its_key_although_it_is_remembered(scene: Scene) -> None:
    """An operator who deletes the keys ends all tokens. A rotation ends none."""
    token = await scene.token(ALICE, PULL_PUSH)
    assert (await begin(scene, token)).status_code == 202
    for name in [*scene.store.objects]:
        del scene.store.objects[name]
    await scene.tokens.keys.look()
    await check_refused(scene, token)
    token = await scene.token(ALICE, PULL_PUSH)
    assert (await begin(scene, token)).status_code == 202
    await scene.tokens.keys.look()
    assert len(scene.tokens.verified) == 1
    assert (await begin(scene, token)).status_code == 202


async def test_a_token_never_becomes_too_long_for_proxies(scene: Scene) -> None:
    """Whoever asks for more at once is told so."""
    scopes = [f"repository:team/{'x' * 230}{number}:pull,push" for number in range(60)]
    answer = await scene.client.post(TOKEN_PATH, data={"scope": " ".join(scopes)}, auth=ALICE)
    assert answer.status_code == 400, answer.text
    assert "ask for fewer" in answer.text
    assert "token" not in answer.json()
