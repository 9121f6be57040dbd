"""The relay before the store: bytes pass as they are, and each call waits once."""

from __future__ import annotations

import asyncio
import time

from bench.servers.processes import free_port
from bench.servers.relay import Direction, StoreSide, Way, serve

DELAY_S = 0.05
CALLS = 4
RATE_BYTES_PER_S = 40_000_000
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
    way = Way(store.sockets[0].getsockname()[:2], DELAY_S)
    relay = asyncio.create_task(serve([("127.0.0.1", port, way)]))
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


async def _call_over_link() -> tuple[list[bytes], float]:
    """Call over both ways of one link at once."""
    far = await asyncio.start_server(_answer_lengths, "127.0.0.1", 0)
    upstream = far.sockets[0].getsockname()[:2]
    there, back = Direction(RATE_BYTES_PER_S), Direction(RATE_BYTES_PER_S)
    ways = [Way(upstream, there=there, back=back), Way(upstream, there=back, back=there)]
    ports = [free_port() for _ in ways]
    relay = asyncio.create_task(serve([("127.0.0.1", *each) for each in zip(ports, ways, strict=True)]))

    async def call(port: int) -> bytes:
        reader, writer = await _connected(port)
        writer.write(len(BODY).to_bytes(4, "big") + BODY)
        answer = await reader.readexactly(len(BODY))
        writer.close()
        return answer

    began = time.monotonic()
    answers = await asyncio.gather(*map(call, ports))
    took_s = time.monotonic() - began
    relay.cancel()
    await asyncio.gather(relay, return_exceptions=True)
    far.close()
    await far.wait_closed()
    return answers, took_s


def test_a_link_is_one_for_clients_and_store() -> None:
    """What comes in from a client and what the store answers share a direction; nothing is changed on the way."""
    answers, took_s = asyncio.run(_call_over_link())
    assert [answer == BODY for answer in answers] == [True] * 2
    assert took_s >= 2 * len(BODY) / RATE_BYTES_PER_S


def test_an_interim_answer_ends_no_call() -> None:
    """A body that is sent after 100 (Continue) belongs to the call that waited already."""
    side = StoreSide()
    side.answered = False
    side.data_received(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert not side.answered
    side.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
    assert side.answered
