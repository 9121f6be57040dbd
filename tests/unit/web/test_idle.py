"""Connections on which nothing is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.unit.web.passing import passing_time
from tests.unit.web.raw import connect
from tests.unit.web.serving import REPO, serving
from zotpy.http.server.hypercorn_config import ServerConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

    from tests.unit.web.serving import Replica

KEEP_ALIVE_S = 5.0


@pytest.fixture
async def impatient(nursery: trio.Nursery) -> AsyncIterator[Replica]:
    """Return a replica that soon closes idle connections."""
    config = ServerConfig()
    config.keep_alive_timeout = KEEP_ALIVE_S
    async with serving(nursery, config=config) as replica:
        yield replica


@pytest.mark.parametrize("asks_before", [False, True])
async def test_an_idle_connection_is_closed_in_time(
    impatient: Replica, mock_clock: MockClock, *, asks_before: bool
) -> None:
    """A client that asks nothing, from the start or any more, does not hold a socket for ever."""
    client = await connect(impatient)
    if asks_before:
        await client.begin("GET", "/v2/", None)
        assert (await client.receive())[0] == 200
    async with passing_time(mock_clock, KEEP_ALIVE_S):
        assert await client.stream.receive_some() == b""
    await client.stream.aclose()


async def test_a_connection_with_a_request_is_not_idle(impatient: Replica, mock_clock: MockClock) -> None:
    """A store that takes longer than idle connections live does not cost the client its answer."""
    parked = impatient.script.park("before", "get")
    client = await connect(impatient)
    await client.begin("GET", f"/v2/{REPO}/manifests/latest", None)
    await parked.reached.wait()
    mock_clock.jump(5 * KEEP_ALIVE_S)
    await trio.testing.wait_all_tasks_blocked()  # an idle connection would be gone
    parked.go_on.set()
    assert (await client.receive())[0] == 404
    async with passing_time(mock_clock, KEEP_ALIVE_S):
        assert await client.stream.receive_some() == b""
    await client.stream.aclose()
