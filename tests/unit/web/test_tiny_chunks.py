"""A body in thousands of tiny chunks, over HTTP."""

from __future__ import annotations

import json

import trio

from tests.unit.web.serving import Replica, ended
from zotpy.http import chunks

MORE = 3 * chunks.MOST_SMALL_CHUNKS


async def test_a_client_that_sends_byte_by_byte_is_told_to_send_longer_chunks(replica: Replica) -> None:
    """It is refused with 400 in the middle of its body, and what was received of it holds no memory."""
    location = await replica.begin()
    head = f"PATCH {location} HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n"
    stream = await replica.connect()
    answer = b""
    async with stream:
        await stream.send_all(head.encode())
        try:
            await stream.send_all(b"1\r\nx\r\n" * MORE)
            while received := await stream.receive_some(65536):
                answer += received
        except trio.BrokenResourceError:
            pass
    assert answer.startswith(b"HTTP/1.1 400 ")
    [error] = json.loads(answer.partition(b"\r\n\r\n")[2])["errors"]
    assert f"below {chunks.LEAST_CHUNK_BYTES} bytes" in error["message"]
    await ended(replica, "PATCH")
    assert replica.registry.budget.used_bytes == 0
