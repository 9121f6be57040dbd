"""How many connections a replica takes, and what those hold that have not asked for anything yet."""

from __future__ import annotations

import errno
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import h11
import pytest
import structlog
import structlog.testing
import trio
import trio.lowlevel
import trio.testing

from tests.unit.registry.support import until
from tests.unit.web.raw import RawClient, connect
from tests.unit.web.serving import REPO, Replica, serving
from zotpy.core.units import KIB
from zotpy.http.server.admission import RESERVED_FILES, SURPLUS, Admission, Entry, connections_for
from zotpy.http.server.hypercorn_config import ServerConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DEADLINE_S = 60.0
MOST = 3
MOST_HEAD_BYTES = 100 * KIB
HEAD = b"GET /v2/ HTTP/1.1\r\nHost: replica\r\nX: "
READ = f"/v2/{REPO}/manifests/latest"


class Guest:
    """A connection that notes that it was sent away."""

    def __init__(self) -> None:
        self.was_sent_away = False

    def give_way(self) -> None:
        """Note it."""
        self.was_sent_away = True


@pytest.fixture
async def narrow(nursery: trio.Nursery) -> AsyncIterator[Replica]:
    """Return a replica that takes few connections and short heads, and never loses patience."""
    config = ServerConfig()
    config.admission = Admission(MOST, MOST_HEAD_BYTES)
    config.keep_alive_timeout = config.head_timeout_s = 1000 * DEADLINE_S
    config.h11_max_incomplete_size = 64 * KIB
    async with serving(nursery, config=config) as replica:
        yield replica


def admission_of(replica: Replica) -> Admission:
    """Return what counts the connections of a replica."""
    assert replica.config.admission is not None
    return replica.config.admission


async def ask(client: RawClient) -> None:
    """Ask for something that is there, on a connection that is kept."""
    await client.begin("GET", "/v2/", None)
    client.http.send(h11.EndOfMessage())
    assert (await client.receive())[0] == 200
    client.http.start_next_cycle()


async def ends(client: RawClient) -> bytes:
    """Receive until the connection ends."""
    with trio.fail_after(DEADLINE_S):
        return b"".join([bytes(piece) async for piece in client.stream])


async def test_the_longest_idle_connection_gives_way(narrow: Replica) -> None:
    """One more than the limit is served, and the one that asked last of all is closed for it."""
    async with AsyncExitStack() as open_ones:
        clients = []
        for number in range(MOST + 1):
            client = await connect(narrow)
            await open_ones.enter_async_context(client.stream)
            clients.append(client)
            await ask(client)
            if number == MOST - 1:
                await ask(clients[0])  # again, so it is not the one that has been idle for the longest
        assert await ends(clients[1]) == b""


async def test_where_all_have_requests_under_way_new_ones_are_told_to_come_again(narrow: Replica) -> None:
    """429 with Retry-After; a probe is answered, and what is under way goes on."""
    async with AsyncExitStack() as open_ones:
        parked, busy = [], []
        for _ in range(MOST):
            parked.append(narrow.script.park("before", "get"))
            client = await connect(narrow)
            await open_ones.enter_async_context(client.stream)
            busy.append(client)
            await client.begin("GET", f"{READ}{len(busy)}", None)  # each reads another tag: equal reads are joined
            await parked[-1].reached.wait()
        refused, probe = await connect(narrow), await connect(narrow)
        async with refused.stream, probe.stream:
            await refused.stream.send_all(HEAD + b"\r\n\r\n")
            answer = await ends(refused)
            assert answer.startswith(b"HTTP/1.1 429 ")
            assert b"retry-after: 5" in answer
            assert b"TOOMANYREQUESTS" in answer
            await probe.begin("GET", "/livez", None)
            assert (await probe.receive())[0] == 200
        for client, waiting in zip(busy, parked, strict=True):
            waiting.go_on.set()
            assert (await client.receive())[0] == 404


async def test_unfinished_heads_are_bounded_together(narrow: Replica) -> None:
    """The oldest of them is refused when there are too many bytes; heads that come whole are not concerned."""
    piece = HEAD + bytes(b"a" * (40 * KIB))
    async with AsyncExitStack() as open_ones:
        slow = []
        for held in (1, 2, 2):  # the third one costs the first its place
            client = await connect(narrow)
            await open_ones.enter_async_context(client.stream)
            await client.stream.send_all(piece)
            slow.append(client)
            wanted = held * len(piece)
            await until(lambda wanted=wanted: admission_of(narrow).head_bytes == wanted)  # type: ignore[misc]
        assert (await ends(slow[0])).startswith(b"HTTP/1.1 408 ")
        assert admission_of(narrow).head_bytes <= MOST_HEAD_BYTES
        whole = await connect(narrow)
        async with whole.stream:
            await whole.stream.send_all(HEAD + b"a" * (50 * KIB) + b"\r\nConnection: close\r\n\r\n")
            assert (await ends(whole)).startswith(b"HTTP/1.1 200 ")


async def test_a_head_has_a_time_from_its_first_byte(nursery: trio.Nursery) -> None:
    """A client that sends a head byte by byte, or stops in it, is told 408; a connection may be idle for longer."""
    config = ServerConfig()
    config.head_timeout_s = 0.2
    config.keep_alive_timeout = 1000 * DEADLINE_S
    async with serving(nursery, config=config) as replica:
        idle, slow = await connect(replica), await connect(replica)
        async with idle.stream, slow.stream, trio.open_nursery() as trickling:
            trickling.start_soon(trickle, slow)
            answer = await ends(slow)
            trickling.cancel_scope.cancel()
            assert answer.startswith(b"HTTP/1.1 408 ")
            await idle.begin("GET", "/v2/", None)
            assert (await idle.receive())[0] == 200


async def trickle(client: RawClient) -> None:
    """Send a head without end."""
    while True:
        try:
            await client.stream.send_all(b"G")
        except trio.BrokenResourceError:
            return
        await trio.sleep(0.01)


def test_connections_beyond_the_surplus_are_closed() -> None:
    """Those that are answered 429 are bounded as well, and each that leaves makes room."""
    admission = Admission(most_connections=2)
    served = [Guest(), Guest()]
    for guest in served:
        assert admission.enter(guest) is Entry.SERVED
        admission.note_busy(guest)
    refused = [Guest() for _ in range(SURPLUS)]
    assert {admission.enter(guest) for guest in refused} == {Entry.REFUSED}
    assert admission.enter(Guest()) is Entry.CLOSED
    admission.leave(refused[0])
    assert admission.enter(Guest()) is Entry.REFUSED
    admission.note_idle(served[0])
    assert admission.enter(Guest()) is Entry.SERVED
    assert [guest.was_sent_away for guest in served] == [True, False]
    assert admission.connections == 2 + SURPLUS + 1


def test_shortages_are_said_once_and_counted() -> None:
    """A hundred attempts to accept without descriptors are a line, and another one with a count; so are refusals."""
    admission = Admission(most_connections=1)
    idle = Guest()
    assert admission.enter(idle) is Entry.SERVED
    with structlog.testing.capture_logs() as lines, admission.accepting():
        for _ in range(100):
            error = OSError(errno.EMFILE, "Too many open files")
            logging.getLogger("trio.serve_listeners").error("accept returned", exc_info=error)
        assert idle.was_sent_away
        admission.leave(idle)
        busy = Guest()
        admission.enter(busy)
        admission.note_busy(busy)
        for _ in range(100):
            admission.enter(Guest())
        admission.leave(busy)
    assert [(line["event"], line.get("times")) for line in lines] == [
        ("descriptors_exhausted", None),
        ("descriptors_exhausted_no_more", 100),
        ("connections_exhausted", None),
        ("connections_exhausted_no_more", 100),
    ]


@pytest.mark.parametrize(
    ("files", "most", "connections"),
    [(1 << 20, 4096, 4096), (4096, 4096, 4096 - RESERVED_FILES), (400, 4096, 100), (400, 16, 16)],
)
def test_connections_leave_descriptors_for_the_store(files: int, most: int, connections: int) -> None:
    """All but those that the store, the log and the rest need; where that is nothing, a quarter."""
    assert connections_for(files, most) == connections
