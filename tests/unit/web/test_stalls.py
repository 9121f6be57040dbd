"""Clients that keep a replica waiting: they must send and take at some rate, or are cut and hold nothing."""

from __future__ import annotations

import ssl
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import h11
import pytest
import trio
import trio.testing

from tests.unit.still_clock import STEP_S, let_pass, passing
from tests.unit.web.certificates import write_certificate
from tests.unit.web.raw import RawClient, connect_narrow
from tests.unit.web.serving import REPO, SETTINGS, ended, push_zeros, serving
from zotpy.core.errors import ClientStalled
from zotpy.core.units import KIB, MIB
from zotpy.http.server.bodies import BoundedBody
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.http.server.pace import PROGRESS_BYTES, Pace
from zotpy.memory.budget import MemoryBudget

if TYPE_CHECKING:
    from pathlib import Path

    from hypercorn.typing import HTTPRequestEvent

SOON_S = 0.5
"""A stall timeout beside real sockets, by a clock that stands still until the test lets time pass."""
IMPATIENT = replace(SETTINGS, upload=replace(SETTINGS.upload, body_idle_timeout_s=SOON_S))
MOST_BYTES = 4 * MIB
"""As long as a blob may be to be held whole by a replica of the tests."""


def coming(pieces: list[tuple[float, int]]) -> BoundedBody:
    """Return a body whose client pauses this long before pieces of these lengths, however often it is asked for one."""
    due_at: list[float] = []

    async def receive() -> HTTPRequestEvent:
        pause_s, size_bytes = left[0] if left else (0.0, 0)
        if not due_at:
            due_at.append(trio.current_time() + pause_s)
        await trio.sleep_until(due_at[0])
        due_at.clear()
        del left[:1]
        return {"type": "http.request", "body": bytes(size_bytes), "more_body": size_bytes > 0}

    left = list(pieces)
    body = BoundedBody()
    body.idle_timeout_s = body.stall_timeout_s = 60.0
    body.come_from(receive)
    return body


async def received(body: BoundedBody) -> int:
    """Receive a body and return how many bytes came."""
    total = 0
    async for piece in body:
        total += len(piece)
    return total


async def test_a_trickle_is_no_progress(autojump_clock: trio.abc.Clock) -> None:
    """A byte every 50 seconds does not keep a body open for longer than the first minute."""
    del autojump_clock
    began = trio.current_time()
    with pytest.raises(ClientStalled, match="1 bytes"):
        await received(coming([(50.0, 1)] * 100))
    assert trio.current_time() - began == pytest.approx(60.0)


@pytest.mark.parametrize("pieces", [[(59.0, 64 * KIB)] * 10, [(29.0, 32 * KIB)] * 20, [(59.0, 100)], [(0.0, 100)] * 99])
async def test_a_slow_body_that_gets_on_is_received(
    pieces: list[tuple[float, int]], autojump_clock: trio.abc.Clock
) -> None:
    """64 KiB a minute are enough, however they are cut, and so is the end of the body."""
    del autojump_clock
    assert await received(coming(pieces)) == sum(size for _, size in pieces)


async def test_waiting_for_something_else_is_not_the_clients_fault(autojump_clock: trio.abc.Clock) -> None:
    """Between two pieces the handler may wait for memory or for the store as long as it must."""
    del autojump_clock
    body = coming([(59.0, 1)] + [(0.0, 1)] * 3)
    for _ in range(4):
        assert await anext(body) == b"\0"
        await trio.sleep(1000.0)


async def test_a_body_must_get_on_faster_while_others_wait_for_memory(autojump_clock: trio.abc.Clock) -> None:
    """What is enough where memory is free holds it for too long where it is not; who then sends more is received."""
    del autojump_clock
    budget = MemoryBudget(2 * MIB, MIB)
    slow, quick = coming([(50.0, 64 * KIB)] * 5), coming([(5.0, 64 * KIB)] * 5)
    slow.contested_bytes = quick.contested_bytes = lambda: budget.contested_bytes
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            await budget.account().acquire(MIB)
        assert len(await anext(slow)) == 64 * KIB
        nursery.start_soon(budget.account().acquire, MIB)
        await trio.testing.wait_all_tasks_blocked()
        assert len(await anext(slow)) == 64 * KIB
        with pytest.raises(ClientStalled, match="65536 bytes"):
            await anext(slow)
        assert await received(quick) == 5 * 64 * KIB
        nursery.cancel_scope.cancel()


async def test_a_body_that_rests_is_cut_only_when_it_is_in_the_way(autojump_clock: trio.abc.Clock) -> None:
    """BuildKit leaves uploads idle for minutes: one that holds nothing waits as long as a balancer lets it."""
    del autojump_clock
    budget = MemoryBudget(2 * MIB, MIB)
    empty, holding, late = coming([(800.0, 1)]), coming([(800.0, 1)]), coming([(800.0, 1)])
    for body in (empty, holding, late):
        body.idle_timeout_s, body.contested_bytes = 900.0, lambda: budget.contested_bytes
        body.account = budget.account()
    sent = budget.account()
    await sent.acquire(MIB)
    sent.part_is_full()
    for body in (holding, late):
        assert body.account is not None
        await body.account.acquire(MIB // 2)
    cut_at: dict[str, float] = {}
    reasons = set()

    async def receive(name: str, body: BoundedBody) -> None:
        try:
            await received(body)
        except ClientStalled as error:
            reasons.add(error.message)
            cut_at[name] = trio.current_time()
            assert body.account is not None
            body.account.close()

    async with trio.open_nursery() as nursery:
        began = trio.current_time()
        nursery.start_soon(receive, "empty", empty)
        nursery.start_soon(receive, "holding", holding)
        await trio.sleep(500.0)
        assert cut_at == {}
        nursery.start_soon(receive, "late", late)
        with trio.move_on_after(30.0) as waiting:  # somebody waits, but not for long
            await budget.account().acquire(MIB)
        assert waiting.cancelled_caught
        with trio.fail_after(61.0):
            await budget.account().acquire(MIB)
    assert set(cut_at) == {"holding", "late"}
    assert all("other requests wait for the memory" in reason for reason in reasons)
    assert cut_at["holding"] - began < 500.0 + 91.0


async def test_a_body_that_rests_for_too_long_is_cut(autojump_clock: trio.abc.Clock) -> None:
    """It is cut even if it holds no memory, because it holds a connection."""
    del autojump_clock
    body = coming([(1000.0, 1)])
    body.idle_timeout_s = 900.0
    began = trio.current_time()
    with pytest.raises(ClientStalled, match="received 0 bytes in 900 seconds: send the missing bytes"):
        await received(body)
    assert trio.current_time() - began == pytest.approx(900.0)


async def test_a_trickle_over_a_real_connection_is_refused(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    """A client that sends a byte now and then is told so, and its upload holds no memory."""
    async with serving(nursery, IMPATIENT) as replica:
        location = await replica.begin()
        client = RawClient(await replica.connect())
        async with client.stream, trio.open_nursery() as sending:
            await client.begin("PATCH", location, 10 * MIB)

            async def trickle() -> None:
                while True:
                    await client.send(1)
                    await let_pass(mock_clock, STEP_S)

            sending.start_soon(trickle)
            status, body = await client.receive()
            sending.cancel_scope.cancel()
        assert status == 408
        assert b"send the missing bytes" in body
        assert replica.registry.budget.used_bytes == 0
        # What came before is kept.
        assert (await replica.client.get(location)).status_code == 204


async def test_a_client_that_stops_sending_is_told_so_and_may_go_on(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    """In the middle of a chunk nothing comes any more: the answer is 408, and what came counts."""
    async with serving(nursery, IMPATIENT) as replica:
        location = await replica.begin()
        client = RawClient(await replica.connect())
        async with client.stream:
            await client.begin("PATCH", location, 1000)
            await client.send(400)
            async with passing(mock_clock):
                status, _ = await client.receive()
        assert status == 408
        assert (await replica.client.get(location)).headers["Range"] == "0-399"


class Taker:
    """A client that takes this many bytes after each pause."""

    def __init__(self, pause_s: float, takes_bytes: int) -> None:
        self._pause_s = pause_s
        self._takes_bytes = takes_bytes
        self.taken_bytes = 0

    async def __call__(self, data: memoryview) -> int:
        """Take some of the data."""
        await trio.sleep(self._pause_s)
        taken = min(len(data), self._takes_bytes)
        self.taken_bytes += taken
        return taken


@pytest.mark.parametrize(("pause_s", "takes_bytes"), [(59.0, 64 * KIB), (29.0, 32 * KIB), (0.5, KIB), (0.0, 10 * MIB)])
async def test_a_client_that_reads_slowly_gets_everything(
    pause_s: float, takes_bytes: int, autojump_clock: trio.abc.Clock
) -> None:
    """64 KiB a minute are enough, however they are taken."""
    del autojump_clock
    taker = Taker(pause_s, takes_bytes)
    await Pace(60.0, lambda: MIB).send_all(taker, memoryview(bytes(2 * MIB)))  # it holds nothing
    assert taker.taken_bytes == 2 * MIB


@pytest.mark.parametrize(("pause_s", "takes_bytes"), [(1000.0, MIB), (1.0, 1), (59.0, 32 * KIB)])
async def test_a_client_that_hardly_reads_is_given_up(
    pause_s: float, takes_bytes: int, autojump_clock: trio.abc.Clock
) -> None:
    """Less than 64 KiB in a minute is a stall, even if some of it is taken, and even if nobody may cancel."""
    del autojump_clock
    began = trio.current_time()
    taker = Taker(pause_s, takes_bytes)
    with trio.CancelScope() as scope:
        scope.cancel()
        with pytest.raises(trio.TooSlowError):
            await Pace(60.0, lambda: 0).send_all(taker, memoryview(bytes(2 * MIB)))
    assert trio.current_time() - began == pytest.approx(60.0)
    assert taker.taken_bytes < PROGRESS_BYTES


@pytest.mark.parametrize(("asked_bytes", "is_slow"), [(0, False), (MIB, True), (PROGRESS_BYTES, False)])
async def test_a_client_that_holds_what_others_wait_for_must_take_more(
    asked_bytes: int,
    is_slow: bool,  # noqa: FBT001
    autojump_clock: trio.abc.Clock,
) -> None:
    """However its answer is cut into pieces: 2 KB a second are enough only while nobody waits."""
    del autojump_clock
    pace = Pace(60.0, lambda: asked_bytes)
    pace.begin(holds=True)
    taker = Taker(30.0, 64 * KIB)
    sent = 0
    began = trio.current_time()
    with pytest.raises(trio.TooSlowError) if is_slow else nullcontext():
        for _ in range(32):
            await pace.send_all(taker, memoryview(bytes(64 * KIB)))
            sent += 64 * KIB
    if is_slow:
        assert trio.current_time() - began == pytest.approx(60.0)
    assert (sent < MIB) is is_slow


async def test_a_fast_client_is_not_blamed_for_a_slow_store(autojump_clock: trio.abc.Clock) -> None:
    """Time between the pieces of an answer is not its own."""
    del autojump_clock
    pace = Pace(60.0, lambda: MIB)
    pace.begin(holds=True)
    taker = Taker(0.0, 64 * KIB)
    for _ in range(32):
        await trio.sleep(59.0)
        await pace.send_all(taker, memoryview(bytes(16 * KIB)))
    assert taker.taken_bytes == 32 * 16 * KIB


@pytest.mark.parametrize("size_bytes", [MOST_BYTES, 64 * MIB])
@pytest.mark.parametrize("tls", [False, True])
async def test_a_client_that_stops_reading_is_cut(
    nursery: trio.Nursery,
    tmp_path: Path,
    mock_clock: trio.testing.MockClock,
    size_bytes: int,
    tls: bool,  # noqa: FBT001
) -> None:
    """A pull nobody reads is reset, never ended as if it were whole, and gives back its memory and its connection."""
    config, trusted = ServerConfig(), None
    config.send_stall_s = SOON_S
    if tls:
        certificate, key = write_certificate(tmp_path)
        config.certfile, config.keyfile = str(certificate), str(key)
        trusted = ssl.create_default_context(cafile=str(certificate))
    async with serving(nursery, SETTINGS, config) as replica:
        digest = await push_zeros(replica, size_bytes)
        client = await connect_narrow(replica.port, trusted)
        async with client.stream:
            await client.begin("GET", f"/v2/{REPO}/blobs/{digest}", None)
            client.http.send(h11.EndOfMessage())
            async with passing(mock_clock):
                assert await ended(replica, "GET") == 200
            assert replica.registry.budget.used_bytes == 0
            assert replica.script.begun["read"] > 0
            with pytest.raises(trio.BrokenResourceError):
                await client.receive()
        assert client.http.their_state in {h11.SEND_BODY, h11.SEND_RESPONSE}
        assert (await replica.client.get(f"/v2/{REPO}/blobs/{digest}")).status_code == 200


@pytest.mark.parametrize("tls", [False, True])
async def test_a_client_that_takes_less_than_a_bite_in_time_is_not_cut(
    nursery: trio.Nursery,
    tmp_path: Path,
    mock_clock: trio.testing.MockClock,
    tls: bool,  # noqa: FBT001
) -> None:
    """The system calls a socket writable when it has room for a bite. The rule is 64 KiB, which are much less."""
    config, trusted = ServerConfig(), None
    config.send_stall_s = 5 * SOON_S
    if tls:
        certificate, key = write_certificate(tmp_path)
        config.certfile, config.keyfile = str(certificate), str(key)
        trusted = ssl.create_default_context(cafile=str(certificate))
    async with serving(nursery, SETTINGS, config) as replica:
        digest = await push_zeros(replica, 8 * MIB)
        client = await connect_narrow(replica.port, trusted)
        async with client.stream:
            await client.begin("GET", f"/v2/{REPO}/blobs/{digest}", None)
            client.http.send(h11.EndOfMessage())
            for _ in range(8):  # three times as long as the stall timeout, four times as fast as the rule
                for _ in range(8):
                    client.http.receive_data(bytes(await client.stream.receive_some(PROGRESS_BYTES // 4)))
                await let_pass(mock_clock, 2 * SOON_S)
            status, body = await client.receive()
        assert (status, len(body)) == (200, 8 * MIB)


async def test_a_client_that_reads_is_served_with_tls(nursery: trio.Nursery, tmp_path: Path) -> None:
    """Sending in pieces changes nothing for a client that takes them, and HTTP/2 is not spoken."""
    config = ServerConfig()
    certificate, key = write_certificate(tmp_path)
    config.certfile, config.keyfile = str(certificate), str(key)
    async with serving(nursery, SETTINGS, config) as replica:
        digest = await push_zeros(replica, 10 * MIB)
        answer = await replica.client.get(f"/v2/{REPO}/blobs/{digest}")
        assert (answer.status_code, len(answer.content)) == (200, 10 * MIB)
        client = await connect_narrow(replica.port, _offering_http2(certificate))
        async with client.stream:
            await client.stream.do_handshake()  # type: ignore[union-attr]  # with TLS
            assert client.stream.selected_alpn_protocol() == "http/1.1"  # type: ignore[union-attr]


def _offering_http2(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificate))
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context
