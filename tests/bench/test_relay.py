"""The relay before the store: bytes pass as they are, and each call waits once."""

from __future__ import annotations

import asyncio
import time

from bench.servers.processes import free_port
from bench.servers.relay import StoreSide, Way, serve

DELAY_S = 0.05
CALLS = 4
BODY = bytes(range(256)) * 8192


async def _answer_lengths(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be a store whose call is a length of four bytes and as many bytes, answered with the same bytes."""
    try:
        while True:
            writer.write(await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big")))
            await writer.drain()
    except asyncio.IncompleteReadError:
        writer.close()


async def _connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:  # it does not listen yet
            await asyncio.sleep(0)


async def _call_through_relay() -> tuple[list[bytes], float]:
    port = free_port()
    store = await asyncio.start_server(_answer_lengths, "127.0.0.1", 0)
    relay = asyncio.create_task(serve(Way(store.sockets[0].getsockname()[:2], DELAY_S), "127.0.0.1", port))
    reader, writer = await _connected(port)
    began = time.monotonic()
    answers = []
    for _ in range(CALLS):
        writer.write(len(BODY).to_bytes(4, "big") + BODY)
        answers.append(await reader.readexactly(len(BODY)))
    took_s = time.monotonic() - began
    writer.close()
    await writer.wait_closed()
    relay.cancel()
    await asyncio.gather(relay, return_exceptions=True)
    store.close()
    await store.wait_closed()
    return answers, took_s


def test_calls_pass_unchanged_and_each_waits() -> None:
    """Calls larger than any buffer come back byte by byte, none earlier than the delay."""
    answers, took_s = asyncio.run(_call_through_relay())
    assert [answer == BODY for answer in answers] == [True] * CALLS
    assert took_s >= CALLS * DELAY_S


def test_an_interim_answer_ends_no_call() -> None:
    """A body that is sent after 100 (Continue) belongs to the call that waited already."""
    side = StoreSide()
    side.answered = False
    side.data_received(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert not side.answered
    side.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
    assert side.answered
