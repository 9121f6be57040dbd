"""A person logs in with an ID token that an identity provider, which is not ours, gave by the device flow."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.blackbox.cluster import Replica, is_ready
from tests.blackbox.images import Layout, stored_blobs
from tests.blackbox.test_logins import KINDS, LoggingIn, address
from tests.peers.issuers import Issuer, OidcProvider, Zitadel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Bucket

CLIENT, OTHER = "https://registry.example.com", "https://elsewhere.example.com"
"""As long as they are URLs, access tokens for the same audience can be asked for (RFC 8707)."""
KEYS = "/zot/auth/apikey"
GRANTS: dict[type[Issuer], dict[str, Any]] = {
    OidcProvider: {"groups": ["devs"]},
    Zitadel: {"users": [Zitadel.person[1]]},
}
"""By the issuer, who may push. Only the first one names groups."""


class Scene:
    """A replica and the provider whose people may use it."""

    def __init__(self, replica: Replica, issuer: Issuer) -> None:
        self.replica = replica
        self.issuer = issuer

    def status(self, token: str) -> int:
        """Ask for the list of repositories with a token."""
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.get(f"{self.replica.url}/v2/_catalog", headers=headers, timeout=60).status_code


@pytest.fixture(scope="module", params=GRANTS, ids=lambda kind: str(kind.name))
def scene(request: pytest.FixtureRequest, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Run a provider and a replica, whose configuration is in zot's words."""
    kind: type[Issuer] = request.param
    directory = tmp_path_factory.mktemp(kind.name)
    issuer, credentials = kind(directory), directory / "credentials.json"
    credentials.write_text(json.dumps({"clientid": CLIENT, "clientsecret": "secret"}))
    provider = {"issuer": issuer.url, "credentialsFile": str(credentials), "scopes": ["openid", "email"]}
    policy = {"actions": ["read", "create", "update"], **GRANTS[kind]}
    replica = Replica(0, bucket, f"id-tokens/{kind.name}", directory)
    auth = {"openid": {"providers": {"oidc": provider}}}
    replica.configure({"http": {"auth": auth, "accessControl": {"repositories": {"**": {"policies": [policy]}}}}})
    try:
        issuer.start()
        replica.process.start(lambda: is_ready(replica.url))
        yield Scene(replica, issuer)
    finally:
        replica.process.stop()
        issuer.stop()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_person_pushes_and_pulls_with_an_id_token_as_the_password(
    scene: Scene, small: Layout, repository: str, tmp_path: Path, kind: type[LoggingIn]
) -> None:
    """The user is the one that the claims say."""
    token, person = scene.issuer.id_token(CLIENT), kind(tmp_path / "person", address(scene.replica))
    person.client(*person.words(token))
    person.client(*person.push(small.path, repository))
    person.client(*person.pull(repository, tmp_path / "pulled"))
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(small.path)
    log = scene.replica.process.log_tail(0)
    assert f'"user": "{scene.issuer.person[1]}", "login": "oidc"' in log
    assert token.rpartition(".")[2] not in log


def test_tokens_for_another_client_and_of_another_kind_are_refused(scene: Scene) -> None:
    """All of them are signed with the same key."""
    assert scene.status(scene.issuer.id_token(CLIENT)) == httpx.codes.OK
    refused = [scene.issuer.id_token(OTHER), scene.issuer.token(OTHER)]
    if isinstance(scene.issuer, OidcProvider):
        refused += [scene.issuer.token(CLIENT), scene.issuer.id_token(CLIENT, "unverified@example.com")]
    assert {scene.status(token) for token in refused} == {httpx.codes.UNAUTHORIZED}


def test_a_person_makes_an_api_key(scene: Scene) -> None:
    """API keys are on with such logins, as with zot. The key has the groups of its owner."""
    headers = {"Authorization": f"Bearer {scene.issuer.id_token(CLIENT)}"}
    made = httpx.post(f"{scene.replica.url}{KEYS}", json={"label": "laptop"}, headers=headers, timeout=60)
    assert made.status_code == httpx.codes.CREATED, made.text
    login = ("whoever", made.json()["apiKey"])
    answer = httpx.get(f"{scene.replica.url}/v2/no/such/tags/list", auth=login, timeout=60)
    assert answer.status_code == httpx.codes.NOT_FOUND
