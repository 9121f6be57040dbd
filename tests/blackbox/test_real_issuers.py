"""A process of zotpy takes the tokens of identity providers that are not ours: OpenID Connect as others speak it."""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.blackbox.cluster import Replica, is_ready
from tests.blackbox.images import Layout, stored_blobs
from tests.blackbox.test_logins import KINDS, LoggingIn, address
from tests.faults.pushers import Pushers
from tests.peers.issuers import Issuer, OidcProvider, Zitadel
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Bucket

AUDIENCE = "https://registry.example.com"
ISSUERS = (OidcProvider, Zitadel)
TOKENS = "/zot/auth/token"


class Scene:
    """A replica and the issuer that it trusts."""

    def __init__(self, replica: Replica, issuer: Issuer) -> None:
        self.replica = replica
        self.issuer = issuer

    def listed(self, repository: str, token: str) -> httpx.Response:
        """Ask for the tags of a repository with a token."""
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.get(f"{self.replica.url}/v2/{repository}/tags/list", headers=headers, timeout=60)

    def exchanged(self, **form: str) -> httpx.Response:
        """Send a form to the endpoint of tokens."""
        return httpx.post(f"{self.replica.url}{TOKENS}", data=form, timeout=60)


@pytest.fixture(scope="module", params=ISSUERS, ids=lambda kind: str(kind.name))
def scene(request: pytest.FixtureRequest, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Run an issuer, and a replica that its one job may use. The replica starts before the issuer."""
    kind: type[Issuer] = request.param
    directory = tmp_path_factory.mktemp(kind.name)
    issuer = kind(directory)
    entry = {
        "issuer": issuer.url,
        "audiences": [AUDIENCE],
        "claims": {"repository_owner": "acme"},
        "claimMapping": {
            "username": "'ci:' + claims.client_id",
            "validations": [{"expression": "has(claims.exp) && 'acme' in [claims.repository_owner]", "message": "no"}],
            "groups": "['owner-' + claims.repository_owner]",
        },
    }
    is_meant = f"req.claims.aud == '{AUDIENCE}' || '{AUDIENCE}' in req.claims.aud"  # a text, or a list of them
    condition = {"expression": f"req.user.username == 'ci:' + req.claims.client_id && ({is_meant})"}
    policy = {"groups": ["owner-acme"], "actions": ["read", "create", "update"], "conditions": [condition]}
    rules = {"**": {"policies": [policy]}}
    replica = Replica(0, bucket, f"issuers/{kind.name}", directory)
    replica.configure({"http": {"auth": {"bearer": {"oidc": [entry]}}, "accessControl": {"repositories": rules}}})
    try:
        replica.process.start(lambda: is_ready(replica.url))
        issuer.start()
        yield Scene(replica, issuer)
    finally:
        replica.process.stop()
        issuer.stop()


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """Return a directory whose path is short enough for podman, which takes no name with a _ at its end."""
    with tempfile.TemporaryDirectory(prefix="p", suffix="p") as made:
        yield Path(made)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_client_pushes_and_pulls_with_its_token_as_the_password(
    scene: Scene, small: Layout, repository: str, tmp_path: Path, kind: type[LoggingIn]
) -> None:
    """The user is the one that the claims say, whatever the name at the login. The log has no token."""
    token, job = scene.issuer.token(AUDIENCE), kind(tmp_path / "job", address(scene.replica))
    job.client(*job.words(token))
    job.client(*job.push(small.path, repository))
    job.client(*job.pull(repository, tmp_path / "pulled"))
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(small.path)
    log = scene.replica.process.log_tail(0)
    assert f'"user": "ci:{scene.issuer.login[0]}", "login": "oidc"' in log
    assert token.rpartition(".")[2] not in log


@pytest.mark.parametrize("client", ["podman", "helm", "cosign", "containerd", "jib"])
async def test_other_clients_push_with_it(scene: Scene, repository: str, short_directory: Path, client: str) -> None:
    """The token is where `docker login` keeps a password, or in the client's environment."""
    token, host = scene.issuer.token(AUDIENCE), address(scene.replica)
    job = Pushers(short_directory, host)
    kept = {"auth": base64.b64encode(f"job:{token}".encode()).decode()}
    (short_directory / "home" / ".docker" / "config.json").write_text(json.dumps({"auths": {host: kept}}))
    job.env |= {"PUSH_USER": "job", "PUSH_SECRET": token}
    await job.prepare(client)
    assert await job.push(client, repository) is None


def test_a_token_is_a_bearer_of_its_own(scene: Scene, repository: str) -> None:
    """It needs no exchange. Nobody has pushed to the repository."""
    assert scene.listed(repository, scene.issuer.token(AUDIENCE)).status_code == httpx.codes.NOT_FOUND


def test_a_token_for_another_registry_is_refused(scene: Scene, repository: str) -> None:
    """The issuer gives one for whatever audience its client asks."""
    token = scene.issuer.token("https://elsewhere.example.com")
    assert scene.listed(repository, token).status_code == httpx.codes.UNAUTHORIZED
    answer = scene.exchanged(grant_type="password", username="job", password=token)
    assert answer.status_code == httpx.codes.UNAUTHORIZED


@pytest.mark.parametrize("field", ["password", "id_token", "access_token", "token", "refresh_token"])
def test_the_endpoint_of_tokens_takes_it_in_each_field(scene: Scene, repository: str, field: str) -> None:
    """The endpoint takes what zot's takes. Its answer is a token for the scope that was asked for."""
    scope = f"repository:{repository}:pull"
    answer = scene.exchanged(**{field: scene.issuer.token(AUDIENCE), "scope": scope})
    assert answer.status_code == httpx.codes.OK, answer.text
    assert scene.listed(repository, answer.json()["token"]).status_code == httpx.codes.NOT_FOUND


def test_keys_change_and_logins_go_on_without_the_issuer(scene: Scene, repository: str) -> None:
    """While it is down, its keys count, and so do refresh tokens. Its next key counts within seconds."""
    first, second = scene.issuer.token(AUDIENCE), scene.issuer.token(AUDIENCE)
    assert scene.listed(repository, first).status_code == httpx.codes.NOT_FOUND
    given = scene.exchanged(grant_type="password", username="job", password=first, access_type="offline").json()
    scene.issuer.stop()
    assert scene.listed(repository, second).status_code == httpx.codes.NOT_FOUND
    refreshed = scene.exchanged(grant_type="refresh_token", refresh_token=given["refresh_token"])
    assert refreshed.status_code == httpx.codes.OK, refreshed.text
    scene.issuer.start()
    new = scene.issuer.token(AUDIENCE)
    wait_until(lambda: scene.listed(repository, new).status_code == httpx.codes.NOT_FOUND, "the new key counts")
    third = scene.listed(repository, forged(new))
    assert third.status_code == httpx.codes.UNAUTHORIZED


def forged(token: str) -> str:
    """Return a token with the signature of another one."""
    head, claims, signature = token.split(".")
    return f"{head}.{claims}.{signature[::-1]}"
