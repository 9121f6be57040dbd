"""What becomes of connections when a replica is told to stop."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
import trio

if TYPE_CHECKING:
    from tests.unit.web.serving import Replica

DEADLINE_S = 60.0


@pytest.mark.parametrize("head", ["GET /v2/", "HEAD /v2/", "POST /v2/a/blobs/uploads/"])
async def test_an_idle_connection_is_closed_at_the_stop(replica: Replica, head: str) -> None:
    """A client that keeps its connection for a next request does not hold up the end, whatever it asked before."""
    stream = await replica.connect()
    async with aclosing(stream):
        await stream.send_all(f"{head} HTTP/1.1\r\nHost: zotpy\r\nContent-Length: 0\r\n\r\n".encode())
        await stream.receive_some()
        await replica.ended.receive()
        await trio.testing.wait_all_tasks_blocked()  # all that follows the answer is in this process
        replica.stop.set()
        with trio.fail_after(DEADLINE_S):
            while await stream.receive_some():
                pass
