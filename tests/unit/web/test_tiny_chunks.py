"""A body in thousands of tiny chunks, over HTTP."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
import trio

from tests.unit.web.serving import Replica, ended
from zotpy.core.units import KIB, MIB
from zotpy.http import chunks
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.http.server.incoming import MOST_CHUNKS, Incoming

if TYPE_CHECKING:
    from types import FrameType

    from _typeshed import TraceFunction

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


@pytest.mark.parametrize(("chunk_bytes", "reads"), [(64, 1), (MIB // MOST_CHUNKS, 4)])
def test_other_tasks_get_a_turn_after_a_read_of_many_chunks(chunk_bytes: int, reads: int) -> None:
    """A read of a MiB in tiny chunks takes many milliseconds, so no other read follows it at once."""
    chunk = b"%x\r\n%b\r\n" % (chunk_bytes, bytes(chunk_bytes))
    here = [chunk * (MIB // len(chunk)) for _ in range(4)]
    connection = Mock(config=ServerConfig(), receive_of_body_now=lambda *_: here.pop() if here else b"")
    incoming = Incoming(connection, None, b"", lambda: None)
    while incoming.here() is not None:
        pass
    assert len(here) == 4 - reads


@pytest.mark.parametrize("lengths", [(15 * KIB,), (16_323, 61, 16 * KIB)])
def test_chunks_of_a_balancer_take_few_bytecodes(lengths: tuple[int, ...]) -> None:
    """A balancer cuts a body anew, so chunks are short and of several lengths: each is joined by one short loop."""
    content = [bytes(length) for length in lengths] * 20
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in content)
    buffer, reader = chunks.PieceBuffer(64 * KIB), chunks.JoiningChunkedReader(is_bounded=True)
    buffer += body
    executed = 0

    def count(frame: FrameType, event: str, _: object) -> TraceFunction:
        nonlocal executed
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        executed += event == "opcode"
        return count

    sys.settrace(count)
    try:
        data = reader(buffer).data
    finally:
        sys.settrace(None)
    assert data == b"".join(content)
    assert (reader.chunks, len(buffer)) == (len(content), 0)
    assert executed < 110 * len(content)
