"""Real clients push under conditions, by the token of a CI job whose claims expressions read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.blackbox.cluster import Replica
from tests.blackbox.images import Layout, stored_blobs
from tests.blackbox.test_job_tokens import AUDIENCE, job_token
from tests.blackbox.test_logins import KINDS, Crane, LoggingIn, address
from tests.unit.web.issuers import CiService, ci_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Bucket


@pytest.fixture(scope="module")
def issuer() -> Iterator[CiService]:
    """Return an issuer that runs."""
    with ci_service() as running:
        yield running


@pytest.fixture(scope="module")
def conditional(bucket: Bucket, issuer: CiService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """Return a replica at which jobs of the main branch may push tags that begin with v."""
    replica = Replica(0, bucket, "logins/conditions", tmp_path_factory.mktemp("conditions"))
    mapping = {
        "variables": [{"name": "owner", "expression": "claims.sub.split(':')[1].split('/')[0]"}],
        "validations": [{"expression": "vars.owner == 'acme'", "message": "only acme may push"}],
        "username": "'ci:' + claims.sub",
        "groups": "['jobs-' + vars.owner]",
    }
    conditions = [
        {"expression": "req.action == 'read' || req.claims.ref == 'main'", "message": "only the main branch may push"},
        {"expression": "req.reference == '' || req.digest != '' || req.tag.startsWith('v')", "message": "only v tags"},
    ]
    policy = {"groups": ["jobs-acme"], "actions": ["read", "create", "update"], "conditions": conditions}
    auth = {"bearer": {"oidc": [{"issuer": issuer.url, "audiences": [AUDIENCE], "claimMapping": mapping}]}}
    rules = {"repositories": {"**": {"policies": [policy]}}}
    replica.configure({"http": {"auth": auth, "accessControl": rules}})
    with replica.running():
        yield replica


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_job_of_the_main_branch_pushes_and_pulls(
    conditional: Replica, issuer: CiService, small: Layout, repository: str, tmp_path: Path, kind: type[LoggingIn]
) -> None:
    """Each request of the push is judged, by the claims that the token of the registry carries on."""
    job = kind(tmp_path / "job", address(conditional))
    job.client(*job.words(job_token(issuer, ref="main")))
    job.client(*job.push(small.path, repository))
    job.client(*job.pull(repository, tmp_path / "pulled"))
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(small.path)


def test_clients_show_the_message_of_a_condition(
    conditional: Replica, issuer: CiService, small: Layout, repository: str, tmp_path: Path
) -> None:
    """Another branch may not push, another tag may not be pushed, and another owner may not log in."""
    for ref, tag, told in (("next", "v1", "only the main branch may push"), ("main", "latest", "only v tags")):
        job = Crane(tmp_path / ref, address(conditional))
        job.client(*job.words(job_token(issuer, ref=ref)))
        assert told in job.client.refused("push", str(small.path), f"{job.registry}/{repository}:{tag}")
    job = Crane(tmp_path / "other", address(conditional))
    job.client(*job.words(job_token(issuer, ref="main", sub="repo:other/app")))
    assert "only acme may push" in job.client.refused(*job.push(small.path, repository))
