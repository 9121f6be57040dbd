"""Somebody guesses passwords from one address, and their refusals are held back: others log in, push and pull."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import bcrypt
import httpx
import pytest
import trio

from tests.blackbox.images import Layout, stored_blobs
from tests.blackbox.test_logins import PASSWORD, USER, Crane, address, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.blackbox.cluster import Replica
    from tests.servers import Bucket

AT_ONCE = 64 + 8
"""More than are checked or held back for one address, by the default of `http.auth.checksPerClient`."""
RETRY_AFTER_S = 1.0


@pytest.fixture
def slow(bucket: Bucket, tmp_path: Path) -> Iterator[Replica]:
    """Run a replica that holds each refusal back for as long as it may."""
    users = tmp_path / "users"
    users.write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()}\n")
    yield from serving(bucket, tmp_path, {"auth": {"htpasswd": {"path": str(users)}, "failDelay": 30}})


async def test_a_user_pushes_while_guesses_are_held_back(
    slow: Replica, small: Layout, repository: str, tmp_path: Path
) -> None:
    """The guesses always take their share of the places. The user at another address needs none of them."""
    statuses: Counter[int] = Counter()
    user = Crane(tmp_path / "user", address(slow))

    def push_and_pull() -> None:
        user.client(*user.words(PASSWORD))
        user.client(*user.push(small.path, repository))
        user.client(*user.pull(repository, tmp_path / "pulled"))

    async with guesser() as client, trio.open_nursery() as nursery:

        async def guess(number: int) -> None:
            while True:
                answer = await client.get(f"{slow.url}/v2/", auth=(USER, f"guess-{number}"))
                statuses[answer.status_code] += 1
                await trio.sleep(RETRY_AFTER_S)

        for number in range(AT_ONCE):
            nursery.start_soon(guess, number)
        while not statuses[429]:  # noqa: ASYNC110 - it says that the share is taken
            await trio.sleep(0.01)
        await trio.to_thread.run_sync(push_and_pull)
        assert set(statuses) <= {401, 429}
        nursery.cancel_scope.cancel()
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(small.path)


def guesser() -> httpx.AsyncClient:
    """Return a client at another address of this machine."""
    transport = httpx.AsyncHTTPTransport(local_address="127.0.0.2", limits=httpx.Limits(max_connections=AT_ONCE))
    return httpx.AsyncClient(transport=transport, timeout=120)
