"""Waits for bites of bodies whose end is unknown: a pause ends them, and no turn of the event loop looks for one."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from zotpy.http.server.pauses import LOOK_S, Pauses
from zotpy.http.sockets import received_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

PAUSE_S, LONGEST_S = 0.1, 1.0


class Hours:
    """A clock that a test moves."""

    def __init__(self) -> None:
        """Begin at noon."""
        self.now = 43_200.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Looks(Pauses):
    """Pauses whose looks are the test's: there is no thread."""

    def begin(self) -> None:
        """Begin nothing."""


@contextmanager
def connected() -> Iterator[tuple[trio.socket.SocketType, socket.socket]]:
    """Connect two sockets, of which the near one waits for many bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as far:
        accepted, _ = listener.accept()
        with trio.socket.from_stdlib_socket(accepted) as near:
            wait_for_many(near)
            yield near, far


def wait_for_many(near: trio.socket.SocketType) -> None:
    """Let the system call a socket readable when it has 32 KiB."""
    near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 32 * 1024)


def arrive(near: trio.socket.SocketType, far: socket.socket, data: bytes) -> None:
    """Send bytes, and see the system hold them."""
    expected = received_bytes(near) + len(data)
    far.sendall(data)
    while received_bytes(near) < expected:
        time.sleep(0)


def waits(near: trio.socket.SocketType) -> bool:
    """Whether the system still waits for many bytes."""
    return near.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) > 1


def test_a_wait_goes_on_as_long_as_bytes_come() -> None:
    """Each look that finds more bytes begins the pause anew. After a whole pause any byte is enough."""
    hours = Hours()
    pauses = Looks(hours)
    with connected() as (near, far), pauses.ending(near, PAUSE_S, LONGEST_S):
        for _ in range(5):
            arrive(near, far, b"more")
            hours.now += PAUSE_S
            pauses.look()
            assert waits(near)
        hours.now += PAUSE_S / 2
        pauses.look()
        assert waits(near)
        hours.now += PAUSE_S / 2 + 0.001
        pauses.look()
        assert not waits(near)


def test_a_wait_is_no_longer_than_it_may_be() -> None:
    """A client that sends a few bytes again and again is read after the longest wait."""
    hours = Hours()
    pauses = Looks(hours)
    with connected() as (near, far), pauses.ending(near, PAUSE_S, LONGEST_S):
        for _ in range(19):
            arrive(near, far, b"x")
            hours.now += LONGEST_S / 20
            pauses.look()
            assert waits(near)
        arrive(near, far, b"x")
        hours.now += LONGEST_S / 20 + 0.001
        pauses.look()
        assert not waits(near)


def test_a_wait_that_is_over_is_left_alone() -> None:
    """The next wait of the same connection is not ended by what was known of the last one."""
    hours = Hours()
    pauses = Looks(hours)
    with connected() as (near, _):
        with pauses.ending(near, PAUSE_S, LONGEST_S):
            pass
        hours.now += LONGEST_S
        pauses.look()
        assert waits(near)


async def test_a_connection_that_was_cut_ends_no_other_wait() -> None:
    """Its socket was closed by another task, and the thread goes on with those of others."""
    hours = Hours()
    pauses = Looks(hours)
    with connected() as (cut, _), connected() as (near, _):
        with pauses.ending(cut, PAUSE_S, LONGEST_S), pauses.ending(near, PAUSE_S, LONGEST_S):
            cut.close()
            hours.now += 2 * PAUSE_S
            pauses.look()
            assert not waits(near)
        with pytest.raises(trio.ClosedResourceError), pauses.ending(cut, PAUSE_S, LONGEST_S):
            pass


class Counted(Pauses):
    """Pauses that count their threads, and tell of their ends."""

    def __init__(self) -> None:
        """Begin with no thread. Make it in the event loop."""
        super().__init__()
        self.begun = 0
        self.ended, self.ends = trio.open_memory_channel[None](10)
        self._token = trio.lowlevel.current_trio_token()

    def begin(self) -> None:
        """Count a thread that begins."""
        self.begun += 1
        super().begin()

    def _look_on(self) -> None:
        super()._look_on()
        with suppress(trio.RunFinishedError):  # the test may be over
            self._token.run_sync_soon(self.ended.send_nowait, None)


async def test_a_pause_wakes_the_task_that_waits_and_the_thread_ends_when_nobody_does() -> None:
    """The task waits for the socket alone: the thread wakes it by way of the system. The next wait begins another."""
    pauses = Counted()
    with connected() as (near, far):
        for threads in (1, 2):
            far.sendall(b"the end")
            wait_for_many(near)
            with pauses.ending(near, LOOK_S, LONGEST_S):
                await trio.lowlevel.wait_readable(near)
            assert await near.recv(100) == b"the end"
            await pauses.ends.receive()
            assert pauses.begun == threads


async def test_many_waits_share_one_thread() -> None:
    """However many bodies are under way, a look is one of all of them."""
    pauses = Counted()
    with connected() as (one, far), connected() as (other, farther):
        far.sendall(b"1")
        farther.sendall(b"2")
        with pauses.ending(one, LOOK_S, LONGEST_S), pauses.ending(other, LOOK_S, LONGEST_S):
            await trio.lowlevel.wait_readable(one)
            await trio.lowlevel.wait_readable(other)
        assert pauses.begun == 1


async def test_a_short_pause_is_not_looked_for_at_the_pace_of_longer_ones() -> None:
    """The thread sleeps for half of the shortest pause. A body with a shorter one wakes it, and no pause is missed."""
    pauses = Counted()
    with connected() as (slow, far), connected() as (fast, farther):
        far.sendall(b"1")
        farther.sendall(b"2")
        with pauses.ending(slow, 3600, 7200):
            await trio.sleep(2 * LOOK_S)  # it sleeps by now, or will sleep less
            with pauses.ending(fast, LOOK_S, LONGEST_S):
                await trio.lowlevel.wait_readable(fast)
            assert waits(slow)
        with pauses.ending(slow, LOOK_S, LONGEST_S):
            await trio.lowlevel.wait_readable(slow)
        assert pauses.begun == 1
