"""What becomes of a connection whose client has closed its side."""

from __future__ import annotations

from contextlib import aclosing

import h11
import pytest
import trio

from tests.unit.web.raw import RawClient
from tests.unit.web.serving import UPLOADS, serving
from zotpy.http.server.hypercorn_config import ServerConfig

DEADLINE_S = 60.0


@pytest.mark.parametrize("requests", [0, 1, 2])
async def test_a_connection_that_its_client_closed_is_closed_at_once(nursery: trio.Nursery, requests: int) -> None:
    """It is not kept for a next request, which cannot come: the sockets of all who were here would pile up."""
    config = ServerConfig()
    config.keep_alive_timeout = 1000 * DEADLINE_S
    async with serving(nursery, config=config) as replica:
        stream = await replica.connect()
        async with aclosing(stream):
            client = RawClient(stream)
            for _ in range(requests):
                await client.begin("POST", UPLOADS, 0)
                client.http.send(h11.EndOfMessage())
                assert (await client.receive())[0] == 202
                client.http.start_next_cycle()
                await replica.ended.receive()
            await stream.send_eof()
            with trio.fail_after(DEADLINE_S):
                assert await stream.receive_some() == b""
