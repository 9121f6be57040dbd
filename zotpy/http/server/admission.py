"""How many clients a replica serves at once, and what clients may hold that have not asked for anything yet.

Each connection is a descriptor and some memory, and so is each call to the store. A replica that accepts every
connection runs out of descriptors: then it can call no store and open no log file. So connections have a limit below
that of the process. At the limit the replica closes the connection that has been idle for the longest and takes the new
one, which HTTP allows at any time (RFC 9112, section 9.5). If none is idle, it answers the requests of new ones with
429. Beyond `SURPLUS` of these, it closes connections as they come.

An incomplete head of a request is held outside the memory budget, which is for bodies. All such heads have a limit
together: beyond it the oldest one is refused. A head that arrives as a whole is never among them.
"""

import logging
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Protocol

import structlog

SURPLUS = 64
"""How many connections are kept beyond the limit, to tell their clients that there are too many."""
RESERVED_FILES = 320 + SURPLUS
"""Descriptors that are not for clients: 256 connections to the store, log, pipes, listening sockets."""
_ACCEPTING = "trio.serve_listeners"
"""Logs each connection that cannot be accepted, with a traceback, ten times in a second."""

log = structlog.get_logger()


class Guest(Protocol):
    """A client's connection."""

    def give_way(self) -> None:
        """Close, because others need what it holds. No request is under way."""


class Entry(Enum):
    """What happens to a new connection."""

    SERVED = auto()
    REFUSED = auto()
    """Its requests are answered with 429."""
    CLOSED = auto()


class Shortage:
    """A state that is logged once when it begins, and once, with a count, when it is over."""

    def __init__(self, name: str) -> None:
        self._begins, self._ends = name, f"{name}_no_more"
        self._count = 0

    def note(self, **fields: object) -> None:
        """Count one more. The first one is logged."""
        self._count += 1
        if self._count == 1:
            log.error(self._begins, **fields)

    def end(self) -> None:
        """Log that it is over, if it had begun."""
        if self._count:
            log.info(self._ends, times=self._count)
            self._count = 0


class Admission:
    """All connections of a replica."""

    def __init__(self, most_connections: int = 4096, most_head_bytes: int = 16 * 1024 * 1024) -> None:
        """Serve this many connections, 1 or more. Unfinished heads may hold this many bytes together."""
        self.most_connections = most_connections
        self.most_head_bytes = most_head_bytes
        self.connections = 0
        self.head_bytes = 0
        self._idle: OrderedDict[Guest, None] = OrderedDict()
        self._leaving: set[Guest] = set()
        self._refused: set[Guest] = set()
        self._heads: OrderedDict[Guest, int] = OrderedDict()
        self._full = Shortage("connections_exhausted")
        self._no_files = Shortage("descriptors_exhausted")

    def enter(self, guest: Guest) -> Entry:
        """Take a new connection, unless the answer is `CLOSED`. It must `leave` later."""
        self._no_files.end()
        if self._served >= self.most_connections and not self.make_room():
            self._full.note(connections=self.connections, setting="http.maxConnections")
            if len(self._refused) >= SURPLUS:
                return Entry.CLOSED
            self._refused.add(guest)
            self.connections += 1
            return Entry.REFUSED
        self.connections += 1
        self._idle[guest] = None
        return Entry.SERVED

    @property
    def _served(self) -> int:
        """How many connections count toward the limit."""
        return self.connections - len(self._refused) - len(self._leaving)

    def leave(self, guest: Guest) -> None:
        """Forget a connection that has ended."""
        self.connections -= 1
        self.note_busy(guest)
        self._leaving.discard(guest)
        self._refused.discard(guest)
        if self._served < self.most_connections:
            self._full.end()

    def note_idle(self, guest: Guest) -> None:
        """Note that no request of a connection is under way from now on."""
        if guest not in self._refused and guest not in self._leaving:
            self._idle[guest] = None
            self._idle.move_to_end(guest)

    def note_busy(self, guest: Guest) -> None:
        """Note that the head of a request is complete."""
        self._idle.pop(guest, None)
        self.head_bytes -= self._heads.pop(guest, 0)

    def note_head(self, guest: Guest, size_bytes: int) -> bool:
        """Note how much of an unfinished head has arrived. Return whether it has just begun."""
        if guest in self._leaving:
            return False
        before = self._heads.get(guest)
        self.head_bytes += size_bytes - (before or 0)
        self._heads[guest] = size_bytes
        while self.head_bytes > self.most_head_bytes:
            self._send_away(next(iter(self._heads)))
        return before is None

    def make_room(self) -> bool:
        """Close the connection that has been idle for the longest. Return whether there was one."""
        if not self._idle:
            return False
        self._send_away(next(iter(self._idle)))
        return True

    def _send_away(self, guest: Guest) -> None:
        self.note_busy(guest)
        self._leaving.add(guest)
        guest.give_way()

    @contextmanager
    def accepting(self) -> Iterator[None]:
        """Log once that connections cannot be accepted, instead of each time, and then close idle ones."""

        def is_logged(record: logging.LogRecord) -> bool:
            error = record.exc_info[1] if record.exc_info else None
            number = error.errno if isinstance(error, OSError) else None
            if number is None:
                return True
            self._no_files.note(reason=os.strerror(number), connections=self.connections)
            self.make_room()
            return False

        logger = logging.getLogger(_ACCEPTING)
        logger.addFilter(is_logged)
        try:
            yield
        finally:
            logger.removeFilter(is_logged)


def connections_for(files: int, most: int) -> int:
    """Return how many connections fit into a limit of `files` descriptors, at most `most`."""
    return min(most, max(files - RESERVED_FILES, files // 4))
