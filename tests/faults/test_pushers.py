"""Ten real clients push to a store that fails now and then: none loses a push that waiting could have saved."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from tests.faults.pushers import CLIENTS, Failed, Pushers
from tests.faults.serving import QUICKLY, serving
from tests.proxy import Drop, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.proxy import Fault, Request
    from tests.servers import Bucket

PUSHES = int(os.environ.get("ZOTPY_PUSHES", "18"))
"""Of each client: ten clients in a minute or two. 200 take half an hour."""
FEWER = {"jib": 3}
"""A push of jib's starts a virtual machine, which takes as long as several of another client."""
FULL = 200
AT_ONCE = 4
ONE_IN = 50 if PUSHES >= FULL else 10
"""How many calls of each kind fail: one in fifty, or more if they are few."""
HOLDS_S = (120.0, 10.0)
PASSING: tuple[Fault, ...] = (
    Reply(503, "SlowDown"),
    Drop("answer"),
    Reply(500, "InternalError", forward=True),
    Drop("request"),
)
"""The store has not done it, or has done it and nobody learns of it, in turns."""
SURFACING = QUICKLY.attempts + 1
"""After this many failures in a row a call has failed with all its attempts: its caller must repeat it."""


@dataclass(slots=True)
class Stumbling:
    """Lets every n-th call of each kind fail: some once, which the call's attempts cure, some for longer."""

    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    stumbled: Counter[tuple[str, str]] = field(default_factory=Counter)
    surfaced: int = 0
    _left: dict[tuple[str, str, str], tuple[int, Fault]] = field(default_factory=dict)

    def __call__(self, request: Request) -> Fault | None:
        """Decide."""
        named = request.query.get("prefix", "") if request.operation == "ListObjectsV2" else request.key
        below = "/".join(named.split("/")[2:3])  # behind the test's own prefix
        call = (request.operation, named, request.query.get("partNumber", ""))
        if call in self._left:
            left, fault = self._left.pop(call)
            if left > 1:
                self._left[call] = left - 1, fault
            return fault
        kind = (request.operation, below)
        self.seen[kind] += 1
        if self.seen[kind] % ONE_IN != ONE_IN // 2:
            return None
        fault = PASSING[self.stumbled.total() % len(PASSING)]
        lasts = SURFACING if self.stumbled[kind] % 2 == 0 else 1
        self.stumbled[kind] += 1
        if lasts > 1:
            self.surfaced += 1
            self._left[call] = lasts - 1, fault
        return fault


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """Return a directory whose path is short enough for podman."""
    with tempfile.TemporaryDirectory(prefix="zotpy", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("client", CLIENTS)
async def test_no_push_is_lost_that_waiting_could_save(
    client: str, nursery: trio.Nursery, bucket: Bucket, prefix: str, short_directory: Path
) -> None:
    """Each kind of call fails now and then, before and after the store has done it; each push succeeds."""
    async with serving(nursery, bucket, prefix, holds_s=HOLDS_S) as replica:
        pushers = Pushers(short_directory, f"127.0.0.1:{replica.client.base_url.port}")
        await pushers.prepare(client)
        pushes = PUSHES if PUSHES >= FULL else PUSHES // FEWER.get(client, 1)
        failed: list[Failed] = []
        stumbling = replica.proxy.faults = Stumbling()
        slots = trio.CapacityLimiter(AT_ONCE)

        async def push(number: int) -> None:
            async with slots:
                if (failure := await pushers.push(client, f"{client}/n{number}")) is not None:
                    failed.append(failure)

        async with trio.open_nursery() as pushing:
            for number in range(pushes):
                pushing.start_soon(push, number)
        replica.lift()
        assert failed == [], f"{len(failed)} of {pushes} failed; {stumbling.stumbled}"
        assert stumbling.surfaced > 0
        for number in range(pushes):
            repo = f"{client}/n{number}" + ("/chart" if client == "helm" else "")
            tags = (await replica.client.get(f"/v2/{repo}/tags/list")).json()["tags"]
            assert tags, repo
            assert (await replica.client.get(f"/v2/{repo}/manifests/{tags[0]}")).status_code == 200
        assert replica.is_idle()
