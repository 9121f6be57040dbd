"""Real clients push with the token of a CI job as their password: a process of zotpy asks its issuer for the keys."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.blackbox.cluster import Replica
from tests.blackbox.images import Layout, stored_blobs
from tests.blackbox.test_logins import KINDS, Crane, LoggingIn, address, says_so
from tests.unit.web.issuers import KEYS, CiService, Private, ci_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Bucket

AUDIENCE, JOB = "registry.example.com", "repo:acme/app"


@pytest.fixture(scope="module")
def issuer() -> Iterator[CiService]:
    """Return an issuer that runs."""
    with ci_service() as running:
        yield running


@pytest.fixture(scope="module")
def trusting(bucket: Bucket, issuer: CiService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """Return a replica that knows its users by the tokens of the issuer alone, and that one kind of job may use."""
    replica = Replica(0, bucket, "logins/jobs", tmp_path_factory.mktemp("jobs"))
    entry = {
        "issuer": issuer.url,
        "audiences": [AUDIENCE],
        "claims": {"repository_owner": "acme"},
        "claimMapping": {"username": "'ci:' + claims.sub"},
    }
    rules = {"**": {"policies": [{"users": [f"ci:{JOB}"], "actions": ["read", "create", "update"]}]}}
    auth = {"bearer": {"oidc": [entry]}}
    replica.configure({"http": {"auth": auth, "accessControl": {"repositories": rules}}})
    with replica.running():
        yield replica


def job_token(issuer: CiService, key: Private = KEYS[0], **changed: str) -> str:
    """Return the token of a job that starts now."""
    now = int(time.time())
    claims: dict[str, object] = {"aud": AUDIENCE, "sub": JOB, "iat": now, "nbf": now, "exp": now + 600, **changed}
    return issuer.token(key, None, **claims)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_job_pushes_and_pulls(
    trusting: Replica, issuer: CiService, small: Layout, repository: str, tmp_path: Path, kind: type[LoggingIn]
) -> None:
    """The user is the one that the claims say, whatever the name at the login. The log has no token."""
    token, job = job_token(issuer), kind(tmp_path / "job", address(trusting))
    job.client(*job.words(token))
    job.client(*job.push(small.path, repository))
    job.client(*job.pull(repository, tmp_path / "pulled"))
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(small.path)
    log = trusting.process.log_tail(0)
    assert f'"user": "ci:{JOB}", "login": "oidc"' in log
    assert token.rpartition(".")[2] not in log


@pytest.mark.parametrize(
    "changed", [{"aud": "elsewhere.example.com"}, {"repository_owner": "mallory"}], ids=["aud", "claim"]
)
def test_a_token_with_other_claims_is_no_login(
    trusting: Replica, issuer: CiService, small: Layout, repository: str, tmp_path: Path, changed: dict[str, str]
) -> None:
    """It is for another registry, or for a job of another owner."""
    assert says_so(refusal(trusting, small, repository, tmp_path, job_token(issuer, KEYS[0], **changed)))


def test_a_token_that_another_key_has_signed_is_no_login(
    trusting: Replica, issuer: CiService, small: Layout, repository: str, tmp_path: Path
) -> None:
    """Whatever its claims say."""
    assert says_so(refusal(trusting, small, repository, tmp_path, job_token(issuer, KEYS[1])))


def test_a_job_without_a_rule_may_do_nothing(
    trusting: Replica, issuer: CiService, small: Layout, repository: str, tmp_path: Path
) -> None:
    """It is logged in, but the rules name another job."""
    assert "403 Forbidden" in refusal(trusting, small, repository, tmp_path, job_token(issuer, sub="repo:acme/other"))


def refusal(replica: Replica, image: Layout, repository: str, home: Path, token: str) -> str:
    """Push with a token, and return what crane says of it. It must fail."""
    job = Crane(home, address(replica))
    job.client(*job.words(token))
    return job.client.refused(*job.push(image.path, repository))
