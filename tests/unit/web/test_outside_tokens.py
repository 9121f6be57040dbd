"""Tokens of an outside token service, as zot takes them: what they grant is final, and what makes them no good."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from joserfc import jws
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from tests.unit.web.desks import ALICE, NOW, TOKEN_PATH, Scene, bearer, encoded, giving
from tests.unit.web.serving import REPO, UPLOADS, codes_of, digest_of
from zotpy.auth.outside import OutsideTokens
from zotpy.auth.public_key import read_public_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    import httpx
    import trio

SERVICE = "registry.example.com"
PULL_PUSH = [{"type": "repository", "name": "elsewhere/app", "actions": ["pull", "push"]}]
ELSEWHERE = "/v2/elsewhere/app"
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
Private = RSAKey | ECKey | OKPKey


def key_for(algorithm: str) -> Private:
    """Make a key that signs with an algorithm."""
    if algorithm == "EdDSA":
        return OKPKey.generate_key("Ed25519")
    if algorithm.startswith("ES"):
        return ECKey.generate_key({"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[algorithm])
    return RSAKey.generate_key(2048)


def sign(key: Private, algorithm: str = "RS256", header: Mapping[str, object] | None = None, **changed: object) -> str:
    """Write a good token, with some claims changed; those that are `None` are left out."""
    claims: dict[str, object] = {"iss": "https://tokens.example.com", "aud": SERVICE, "sub": "robot"}
    claims |= {"iat": int(NOW), "exp": int(NOW) + 300}
    claims = {name: value for name, value in {**claims, "access": PULL_PUSH, **changed}.items() if value is not None}
    text = json.dumps(claims).encode()
    return jws.serialize_compact({"alg": algorithm, **(header or {})}, text, key, algorithms=ALGORITHMS)


KEY = RSAKey.generate_key(2048)


@asynccontextmanager
async def trusting(
    nursery: trio.Nursery, directory: Path, issuer: str = "", key: Private = KEY
) -> AsyncIterator[Scene]:
    """Run a replica that takes the tokens of a key beside its own."""
    file = directory / "key.pem"
    file.write_bytes(key.as_pem(private=False))
    outside = OutsideTokens(file, SERVICE, issuer, lambda: NOW)
    async with giving(nursery, bearers=[outside]) as scene:
        yield scene


@pytest.fixture
async def scene(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[Scene]:
    """Run such a replica."""
    async with trusting(nursery, tmp_path, "https://tokens.example.com") as scene:
        yield scene


async def begin(scene: Scene, token: str) -> httpx.Response:
    """Begin an upload in a repository in which no rule of the registry grants anything."""
    return await scene.client.post(f"{ELSEWHERE}/blobs/uploads/", headers=bearer(token))


async def check_refused(scene: Scene, token: str) -> None:
    """Check that a token is refused."""
    answer = await begin(scene, token)
    assert (answer.status_code, codes_of(answer)) == (401, ["UNAUTHORIZED"])
    assert 'error="invalid_token"' in answer.headers.get_list("WWW-Authenticate")[0]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
async def test_each_algorithm_of_a_public_key(nursery: trio.Nursery, tmp_path: Path, algorithm: str) -> None:
    """The key decides which algorithms may be: a key of one kind takes no other."""
    key, other = key_for(algorithm), key_for("RS256" if algorithm.startswith(("E",)) else "ES256")
    async with trusting(nursery, tmp_path, key=key) as scene:
        assert (await begin(scene, sign(key, algorithm))).status_code == 202
        wrong = "ES256" if isinstance(other, ECKey) else "RS256"
        await check_refused(scene, sign(other, wrong))
        await check_refused(scene, sign(key_for(algorithm), algorithm))


async def test_what_a_token_grants_is_final(scene: Scene) -> None:
    """The rules of the registry are not asked, and its caller may do nothing besides, whatever their name is."""
    token = sign(KEY, sub="alice")
    assert (await scene.client.get("/v2/", headers=bearer(token))).status_code == 200
    location = (await begin(scene, token)).headers["Location"]
    done = await scene.client.put(f"{location}&digest={digest_of(b'abc')}", content=b"abc", headers=bearer(token))
    assert done.status_code == 201, done.text
    for method, path in (("POST", UPLOADS), ("DELETE", f"{ELSEWHERE}/manifests/v1"), ("GET", "/v2/_catalog")):
        answer = await scene.client.request(method, path, headers=bearer(token))
        assert answer.status_code == 401
        assert 'error="insufficient_scope"' in answer.headers.get_list("WWW-Authenticate")[0]
    named = {"repository": "elsewhere/app", "registry": "catalog"}
    every = [{"type": kind, "name": name, "actions": ["*"]} for kind, name in named.items()]
    token = sign(KEY, access=every)
    assert (await scene.client.get("/v2/_catalog", headers=bearer(token))).status_code == 200
    assert (await scene.client.delete(f"{ELSEWHERE}/manifests/v1", headers=bearer(token))).status_code == 404
    ended = [await scene.replica.ended.receive() for _ in range(3)]
    assert {(each.user, each.login) for each in ended} == {("alice", "bearer")}


@pytest.mark.parametrize(
    "changed",
    [
        *({"exp": int(NOW) - 61}, {"exp": None}, {"exp": "soon"}, {"exp": True}, {"exp": 1e300}),
        *({"nbf": int(NOW) + 61}, {"iat": int(NOW) + 61}, {"nbf": "now"}),
        *({"aud": "other"}, {"aud": None}, {"aud": ["other"]}, {"aud": {SERVICE: 1}}, {"aud": ""}),
        *({"iss": "https://evil.example.com"}, {"iss": None}, {"iss": ["https://tokens.example.com"]}),
    ],
    ids=str,
)
async def test_other_claims(scene: Scene, changed: Mapping[str, Any]) -> None:
    """Expired, not yet good, for another audience, or by another issuer. A token without an end is no good either."""
    await check_refused(scene, sign(KEY, **changed))


async def test_forms_of_good_claims(scene: Scene) -> None:
    """An audience among others, and clocks that differ by a minute."""
    near: list[dict[str, Any]] = [{"exp": int(NOW) - 59}, {"iat": int(NOW) + 59, "nbf": NOW + 59.5}]
    for changed in [*near, {"aud": ["x", SERVICE]}, {"iat": None}]:
        assert (await begin(scene, sign(KEY, **changed))).status_code == 202


@pytest.mark.parametrize(
    "access",
    [
        *(None, [], {}, "repository", [1], [None], [{}], [{"type": "repository"}]),
        [{"type": "repository", "name": "elsewhere/app", "actions": "pull,push"}],
        [{"type": "repository", "name": "elsewhere", "actions": ["*"]}],
        [{"type": "repository", "name": "elsewhere/*", "actions": ["*"]}],
        [{"type": "registry", "name": "elsewhere/app", "actions": ["push"]}],
        [{"type": "repository", "name": "elsewhere/app", "actions": ["pull"]}],
        [{**PULL_PUSH[0], "exp": int(NOW)}],
        [{**PULL_PUSH[0], "exp": "never"}],
    ],
    ids=str,
)
async def test_access_that_grants_nothing(scene: Scene, access: object) -> None:
    """A good token for something else, or whose one entry has ended, is answered with `insufficient_scope`."""
    answer = await begin(scene, sign(KEY, access=access))
    assert answer.status_code == 401
    assert 'error="insufficient_scope"' in answer.headers.get_list("WWW-Authenticate")[0]


async def test_key_confusion(scene: Scene) -> None:
    """The public key is no secret of an HMAC, `none` is no algorithm, and no token brings its own key."""
    public = KEY.as_pem(private=False)
    claims = {"aud": SERVICE, "exp": int(NOW) + 300, "access": PULL_PUSH, "iss": "https://tokens.example.com"}
    start = f"{encoded({'alg': 'HS256'})}.{encoded(claims)}"
    mac = hmac.digest(public, start.encode(), hashlib.sha256)
    await check_refused(scene, f"{start}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}")
    for algorithm in ("none", "None", "NONE", ""):
        await check_refused(scene, f"{encoded({'alg': algorithm})}.{encoded(claims)}.")
    mine = RSAKey.generate_key(2048)
    await check_refused(scene, sign(mine, header={"jwk": mine.as_dict(private=False)}))
    await check_refused(scene, sign(mine, header={"kid": "../key", "x5c": ["AAAA"]}))
    good = sign(KEY)
    await check_refused(scene, good[:-4] + "AAAA")
    await check_refused(
        scene, f"{good.partition('.')[0]}.{encoded({**claims, 'sub': 'root'})}.{good.rpartition('.')[2]}"
    )


async def test_it_gets_no_token_of_the_registry(scene: Scene) -> None:
    """Else a token could be made to last for ever. Passwords go on getting tokens."""
    assert (await scene.client.get(TOKEN_PATH, headers=bearer(sign(KEY)))).status_code == 401
    assert await scene.token(ALICE, f"repository:{REPO}:pull")


async def test_an_entry_that_ends_before_its_token_is_not_remembered_longer(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    """This holds even if the token was checked while the entry was good."""
    now = [NOW]
    file = tmp_path / "key.pem"
    file.write_bytes(KEY.as_pem(private=False))
    outside = OutsideTokens(file, SERVICE, clock=lambda: now[0])
    async with giving(nursery, bearers=[outside]) as scene:
        token = sign(KEY, access=[{**PULL_PUSH[0], "exp": int(NOW) + 10}])
        assert (await begin(scene, token)).status_code == 202
        now[0] += 10
        assert (await begin(scene, token)).status_code == 401


async def test_an_upload_outlives_a_token_whose_entries_end_with_it(nursery: trio.Nursery, tmp_path: Path) -> None:
    """Some services write the end into each entry as well. An entry that ended before the token lets nothing go on."""
    now = [NOW]
    file = tmp_path / "key.pem"
    file.write_bytes(KEY.as_pem(private=False))
    outside = OutsideTokens(file, SERVICE, clock=lambda: now[0])
    async with giving(nursery, bearers=[outside]) as scene:
        for ends, status in ((300, 202), (200, 401)):
            now[0] = NOW
            token = sign(KEY, access=[{**PULL_PUSH[0], "exp": int(NOW) + ends}])
            location = (await begin(scene, token)).headers["Location"]
            for passed in (330, 3000):
                now[0] = NOW + passed
                assert (await scene.client.patch(location, headers=bearer(token), content=b"")).status_code == status


def written_forms() -> list[bytes]:
    """Return the public key in each form that a file may have: a certificate, which may have expired, is one."""
    private = KEY.private_key
    assert private is not None
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tokens")])
    day = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key)
        .serial_number(1)
        .not_valid_before(day - timedelta(days=2))
        .not_valid_after(day - timedelta(days=1))
        .sign(private, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return [
        certificate.public_bytes(pem),
        KEY.public_key.public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo),
        KEY.public_key.public_bytes(pem, serialization.PublicFormat.PKCS1),
        json.dumps({"keys": [KEY.as_dict(private=False)]}).encode(),
    ]


def test_forms_of_keys(tmp_path: Path) -> None:
    """The forms are those that zot takes."""
    for form in written_forms():
        file = tmp_path / "key"
        file.write_bytes(form)
        assert read_public_key(file).thumbprint() == KEY.thumbprint()


def test_keys_that_sign_no_tokens(tmp_path: Path) -> None:
    """Each is refused at the start, in words that say what to write."""
    pem = serialization.Encoding.PEM
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    file = tmp_path / "key"
    other = KeySet([KEY, RSAKey.generate_key(2048)])
    for content in (
        *(b"", b"x", b"{}", b"{", b'{"keys": []}', b'{"keys": 1}', b"[" * 1000, bytes(70_000)),
        b'{"keys": ' + b"[" * 60_000,
        b"-----BEGIN CERTIFICATE-----\n",
        KEY.as_pem(private=True),
        json.dumps({"keys": [KEY.as_dict(private=True)]}).encode(),
        json.dumps(other.as_dict(private=False)).encode(),
        json.dumps({"keys": [OctKey.generate_key(256).as_dict()]}).encode(),
        dsa.generate_private_key(2048).public_key().public_bytes(pem, spki),
        rsa.generate_private_key(65537, 1024).public_key().public_bytes(pem, spki),  # noqa: S505 - too short
    ):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="PEM"):
            read_public_key(file)
    for good in (ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()):
        file.write_bytes(good.public_key().public_bytes(pem, spki))
        assert not read_public_key(file).is_private


async def test_a_key_that_changes_is_read_again(tmp_path: Path) -> None:
    """Tokens of the old key count no more. A file that cannot be read changes nothing."""
    file, other = tmp_path / "key.pem", RSAKey.generate_key(2048)
    file.write_bytes(KEY.as_pem(private=False))
    outside = OutsideTokens(file, SERVICE, clock=lambda: NOW)
    assert await outside.read(sign(KEY))
    _replace(file, other.as_pem(private=False))
    await outside.look()
    assert await outside.read(sign(KEY)) is None
    assert await outside.read(sign(other))
    _replace(file, b"no key")
    await outside.look()
    assert await outside.read(sign(other))


def _replace(file: Path, content: bytes) -> None:
    """Put another file in the place of one, as tools do that renew keys."""
    new = file.with_suffix(".new")
    new.write_bytes(content)
    os.replace(new, file)  # noqa: PTH105 - what such tools do
