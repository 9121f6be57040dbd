"""Tokens of CI jobs as logins: what they get, how long, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import trio
from joserfc.jwk import ECKey, RSAKey

from tests.unit.web.desks import NOW, TOKEN_PATH, bearer, claims_of, encoded, giving
from tests.unit.web.issuers import KEYS, CiService, ci_service
from tests.unit.web.serving import codes_of
from zotpy.auth.basic import Credentials
from zotpy.auth.issuer_keys import ASK_AGAIN_S, DISCOVERY, FRESH_S, LONGEST_DOCUMENT_BYTES
from zotpy.auth.tokens import CONTINUES_S, TokenEnded
from zotpy.core.errors import TokenInvalid, TooManyRequests, Unavailable
from zotpy.settings import ClaimTerm

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from zotpy.auth.oidc import WorkloadTokens

ACTOR: dict[str, Any] = {"username": (ClaimTerm("actor"),), "claims": {"repository_owner": frozenset({"acme"})}}
UPLOADS = "/v2/team/app/blobs/uploads/"


@pytest.fixture
def ci() -> Iterator[CiService]:
    """Run an issuer."""
    with ci_service() as service:
        yield service


async def name_of(logins: WorkloadTokens, token: str) -> str | None:
    """Return the name of a token's user."""
    identity = await logins.read(token)
    return None if identity is None else identity.name


async def test_a_job_pushes_with_its_token(nursery: trio.Nursery, ci: CiService) -> None:
    """As Bearer, and as the password of any user. The issuer is asked once, and not before the first token."""
    async with giving(nursery, oidc=ci.logins(**ACTOR)) as scene:
        assert ci.asked == []
        token = ci.token()
        assert (await scene.client.post(UPLOADS, headers=bearer(token))).status_code == 202
        assert (await scene.client.post(UPLOADS, auth=("ci", token))).status_code == 202
        assert (await scene.client.post("/v2/public/x/blobs/uploads/", headers=bearer(token))).status_code == 403
        assert ci.asked == [DISCOVERY, "/keys"]
        ended = [await scene.replica.ended.receive() for _ in range(3)]
        assert {(each.user, each.login) for each in ended} == {("alice", "oidc")}


async def test_a_refresh_token_outlives_the_token_of_the_job(nursery: trio.Nursery, ci: CiService) -> None:
    """The claims that decide are looked at again, by the configuration of that time."""
    clock = [NOW]
    logins = ci.logins(lambda: clock[0], **ACTOR)
    async with giving(nursery, oidc=logins) as scene:
        scope = "repository:team/app:pull,push"
        granted = await scene.grant(("ci", ci.token().encode()), scope, offline_token="true")
        scene.clock.now = clock[0] = NOW + 3000
        assert (await scene.client.post(UPLOADS, headers=bearer(ci.token()))).status_code == 401
        form = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"], "scope": scope}
        again = await scene.post(**form)
        assert again.status_code == 200, again.text
        assert claims_of(again.json()["token"])["sub"] == "alice"
        assert (await scene.client.post(UPLOADS, headers=bearer(again.json()["token"]))).status_code == 202
        logins.issuers = ci.logins(**{**ACTOR, "claims": {"repository_owner": frozenset({"other"})}}).issuers
        assert (await scene.post(**form)).status_code == 401
        logins.issuers = ci.logins(claims=ACTOR["claims"]).issuers
        assert (await scene.post(**form)).status_code == 401


@pytest.mark.parametrize(
    "changed",
    [
        *({"exp": int(NOW) - 61}, {"exp": None}, {"exp": "soon"}, {"nbf": int(NOW) + 61}, {"iat": int(NOW) + 61}),
        *({"aud": "other"}, {"aud": None}, {"aud": ["other"]}, {"aud": {}}, {"aud": [[]]}),
        *({"iss": "https://evil.example.com"}, {"iss": None}, {"iss": ["x"]}),
        *({"repository_owner": "other"}, {"repository_owner": None}, {"repository_owner": {"acme": 1}}),
        *({"actor": None}, {"actor": ""}, {"actor": ["alice"]}, {"actor": "a\nb"}, {"actor": "a" * 600}),
    ],
    ids=lambda changed: str(changed)[:60],
)
async def test_other_claims_are_refused(nursery: trio.Nursery, ci: CiService, changed: Mapping[str, Any]) -> None:
    """Expired, not yet good, for another audience, by another issuer, of another owner, or without a name."""
    async with giving(nursery, oidc=ci.logins(**ACTOR)) as scene:
        token = ci.token(**changed)
        for answer in (
            await scene.client.post(UPLOADS, headers=bearer(token)),
            await scene.client.post(UPLOADS, auth=("alice", token)),
            await scene.client.get(TOKEN_PATH, auth=("alice", token)),
        ):
            assert (answer.status_code, codes_of(answer)) == (401, ["UNAUTHORIZED"])


async def test_other_signatures_are_refused(nursery: trio.Nursery, ci: CiService) -> None:
    """No signature, a public key as the secret of an HMAC, a key in the token, an unknown key, changed claims."""
    rsa = RSAKey.generate_key(2048, {"kid": "rsa"})
    ci.keys.append(rsa)
    claims = {"iss": ci.url, "aud": "registry.example.com", "exp": int(NOW) + 300, "actor": "alice"}
    claims["repository_owner"] = "acme"
    attempts = [f"{encoded({'alg': name, 'kid': 'rsa'})}.{encoded(claims)}." for name in ("none", "None", "")]
    for secret in (rsa.as_pem(private=False), rsa.as_der(private=False)):
        start = f"{encoded({'alg': 'HS256', 'kid': 'rsa'})}.{encoded(claims)}"
        mac = base64.urlsafe_b64encode(hmac.digest(secret, start.encode(), hashlib.sha256)).decode().rstrip("=")
        attempts.append(f"{start}.{mac}")
    mine = ECKey.generate_key("P-256", {"kid": "key-0"})
    attempts += [ci.token(mine), ci.token(mine, {"jwk": mine.as_dict(private=False)}), ci.token(mine, {"kid": None})]
    attempts += [ci.token(KEYS[1]), ci.token(KEYS[1], {"kid": "rsa"})]
    head, _, signature = ci.token().split(".")
    attempts.append(f"{head}.{encoded({**claims, 'actor': 'root'})}.{signature}")
    async with giving(nursery, oidc=ci.logins(**ACTOR)) as scene:
        assert (await scene.client.post(UPLOADS, headers=bearer(ci.token(rsa)))).status_code == 202
        for attempt in attempts:
            answer = await scene.client.post(UPLOADS, headers=bearer(attempt))
            assert answer.status_code == 401, attempt
            assert 'error="invalid_token"' in answer.headers.get_list("WWW-Authenticate")[0]


async def test_an_unknown_key_is_looked_for_once_in_a_while(mock_clock: trio.testing.MockClock, ci: CiService) -> None:
    """A rotated key counts within seconds, and made-up keys cost the issuer nothing more."""
    logins = ci.logins(**ACTOR)
    assert await name_of(logins, ci.token()) == "alice"
    ci.keys = [KEYS[1]]
    for _ in range(5):
        with pytest.raises(TokenInvalid):
            await logins.read(ci.token(KEYS[2]))
    assert len(ci.asked) == 2
    mock_clock.jump(ASK_AGAIN_S)
    assert await name_of(logins, ci.token(KEYS[1])) == "alice"
    assert len(ci.asked) == 4
    with pytest.raises(TokenInvalid):
        await logins.read(ci.token(KEYS[2]))
    assert len(ci.asked) == 4


async def test_known_keys_count_while_the_issuer_is_down(mock_clock: trio.testing.MockClock, ci: CiService) -> None:
    """However long the issuer is down. If a token names another key, the caller is told to come again."""
    logins = ci.logins(**ACTOR)
    keys = logins.issuers[0].keys
    ci.status = 503
    with pytest.raises(Unavailable):
        await logins.read(ci.token())
    ci.status = 200
    with pytest.raises(Unavailable):
        await logins.read(ci.token())
    mock_clock.jump(ASK_AGAIN_S)
    assert await name_of(logins, ci.token()) == "alice"
    ci.status = 503
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keys.keep_current)
        before = len(ci.asked)
        mock_clock.jump(FRESH_S)
        assert await name_of(logins, ci.token(jti="again")) == "alice"
        while len(ci.asked) == before:
            await trio.lowlevel.checkpoint()
        assert await name_of(logins, ci.token(jti="later")) == "alice"
        with pytest.raises(Unavailable):
            await logins.read(ci.token(KEYS[2]))
        nursery.cancel_scope.cancel()


async def test_a_key_that_the_issuer_removes_counts_no_more(mock_clock: trio.testing.MockClock, ci: CiService) -> None:
    """A few minutes later, without any token of another key."""
    logins = ci.logins(**ACTOR)
    assert await name_of(logins, ci.token()) == "alice"
    ci.keys = [KEYS[1]]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(logins.issuers[0].keys.keep_current)
        mock_clock.jump(FRESH_S)
        assert await name_of(logins, ci.token(jti="old")) == "alice"
        while (identity := logins.issuers[0].keys.kids) == frozenset({KEYS[0].kid}):
            await trio.lowlevel.checkpoint()
        assert identity == frozenset({KEYS[1].kid})
        with pytest.raises(TokenInvalid):
            await logins.read(ci.token(jti="new"))
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "changed",
    [
        {"status": 302},
        {"named": "https://evil.example.com"},
        {"padding": "x" * LONGEST_DOCUMENT_BYTES},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "http://127.0.0.1:1/keys"},
        {"keys": [RSAKey.generate_key(2048, {"kid": "key-0", "use": "enc"})]},
    ],
    ids=lambda changed: str(changed)[:40],
)
async def test_an_issuer_that_answers_badly_lets_nobody_in(ci: CiService, changed: Mapping[str, Any]) -> None:
    """A redirection, another issuer's document, one too long, a place that is none, or no key that signs."""
    for name, value in changed.items():
        setattr(ci, name, value)
    with pytest.raises(Unavailable):
        await ci.logins(**ACTOR).read(ci.token())


async def test_keys_at_a_port_that_does_not_exist_are_not_read(ci: CiService) -> None:
    """The system connects to a port modulo 65,536: here to the issuer itself."""
    place = urlsplit(ci.url)
    assert place.port is not None
    ci.jwks_uri = f"{place.scheme}://{place.hostname}:{place.port + 65536}/keys"
    with pytest.raises(Unavailable):
        await ci.logins(**ACTOR).read(ci.token())


async def test_few_wait_for_an_issuer(ci: CiService) -> None:
    """Further callers are told to come again, and one answer serves all who wait."""
    logins = ci.logins(**ACTOR)
    names: list[str | None] = []
    refused: list[int] = []

    async def log_in(number: int) -> None:
        try:
            names.append(await name_of(logins, ci.token(jti=str(number))))
        except TooManyRequests:
            refused.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(log_in, number)
    assert (names, len(refused)) == (["alice"] * 8, 2)
    assert len(ci.asked) == 2


async def test_an_upload_can_outlive_its_token(ci: CiService) -> None:
    """As with tokens of the registry: for a day, and never as a password."""
    clock = [NOW + 1000]
    logins = ci.logins(lambda: clock[0], **ACTOR)
    with pytest.raises(TokenEnded):
        await logins.read(ci.token())
    with pytest.raises(TokenInvalid):
        await logins.identify(Credentials("alice", ci.token().encode()))
    clock[0] += CONTINUES_S
    with pytest.raises(TokenInvalid):
        await logins.read(ci.token())


async def test_names_and_groups_come_from_claims(ci: CiService) -> None:
    """By default the name says whose token it is, so it cannot be that of another kind of user."""
    assert await name_of(ci.logins(), ci.token()) == f"{ci.url}/repo:acme/app"
    identity = await ci.logins(groups="groups").read(ci.token(groups=["a", "b", 7]))
    assert identity is not None
    assert identity.groups == {"a", "b"}
    protected: dict[str, Any] = {"claims": {"ref_protected": frozenset({"true"})}}
    for value in (True, "true"):
        assert await name_of(ci.logins(**protected), ci.token(ref_protected=value))
    for other in (False, "false", 1, None):
        with pytest.raises(TokenInvalid):
            await ci.logins(**protected).read(ci.token(ref_protected=other))


async def test_other_passwords_are_left_to_other_logins(ci: CiService) -> None:
    """They may have dots, too."""
    for password in (b"", b"a.b.c", b"\xff.\xff.\xff", b"." * 20_000, ci.token(aud="other").encode()):
        assert await ci.logins().identify(Credentials("alice", password)) is None
    assert ci.asked == []
