"""Tokens on real processes: each replica and worker takes those of all others, and an operator can end all of them."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import bcrypt
import httpx
import pytest
import trio

from tests.blackbox.cluster import Replica, is_ready
from tests.processes import wait_until
from zotpy.core import keys
from zotpy.store.opening import open_s3_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Bucket

ALICE = ("alice", "correct horse")
PATH = "/v2/team/app/tags/list"


@pytest.fixture
def replicas(bucket: Bucket, prefix: str, tmp_path: Path) -> Iterator[list[Replica]]:
    """Run two replicas of one registry, each with two workers, which all start on an empty bucket at once."""
    users = tmp_path / "htpasswd"
    users.write_bytes(b"alice:" + bcrypt.hashpw(ALICE[1].encode(), bcrypt.gensalt(4)))
    made = [Replica(index, bucket, prefix, tmp_path) for index in range(2)]
    for each in made:
        each.configure({"http": {"auth": {"htpasswd": {"path": str(users)}}, "workers": 2}})
    try:
        for each in made:
            each.process.start(lambda: True)
        for each in made:
            wait_until(lambda each=each: is_ready(each.url), "the replica is ready")  # type: ignore[misc]
        yield made
    finally:
        for each in made:
            each.process.stop()


def token(replica: Replica) -> str:
    """Get a token of a replica."""
    asked = {"scope": "repository:team/app:pull"}
    answer = httpx.get(f"{replica.url}/zot/auth/token", params=asked, auth=ALICE, timeout=60)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def statuses(replicas: list[Replica], given: str) -> set[int]:
    """Use a token on several connections to each replica, whichever worker gets them."""
    headers = {"Authorization": f"Bearer {given}"}
    urls = [f"{replica.url}{PATH}" for replica in replicas for _ in range(6)]
    return {httpx.get(url, headers=headers, timeout=60).status_code for url in urls}


def test_tokens_are_good_everywhere_until_an_operator_ends_them(
    replicas: list[Replica], bucket: Bucket, prefix: str
) -> None:
    """If the keys are deleted, SIGHUP makes all processes agree on another one, and old tokens count no more."""
    old = [token(replica) for replica in replicas for _ in range(3)]
    assert [statuses(replicas, each) for each in old] == [{404}] * len(old)

    async def delete_keys() -> None:
        async with open_s3_store(bucket.config(), prefix) as store:
            listed = await store.list(keys.TOKEN_KEYS)
            assert len(listed.objects) == 1
            await store.delete(listed.objects[0].key)

    trio.run(delete_keys)
    for replica in replicas:
        os.kill(replica.process.pid, signal.SIGHUP)
    wait_until(lambda: statuses(replicas, old[0]) == {401}, "the old tokens are refused")
    assert [statuses(replicas, each) for each in old] == [{401}] * len(old)
    for replica in replicas:
        assert statuses(replicas, token(replica)) == {404}
