"""Connections that are used again."""

from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, LifoQueue

from bench.clients.connection import Connection
from bench.clients.endpoint import Endpoint


class Connections:
    """Connections to one registry, lent to one thread at a time and used again."""

    def __init__(self, where: Endpoint | int) -> None:
        """Open none yet."""
        self._where = where
        self._idle: LifoQueue[Connection] = LifoQueue()

    @contextmanager
    def lend(self) -> Iterator[Connection]:
        """Lend an idle connection, or a new one; after an error it is closed."""
        connection = self._take()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._idle.put(connection)

    def _take(self) -> Connection:
        while True:
            try:
                connection = self._idle.get_nowait()
            except Empty:
                return Connection(self._where)
            if connection.is_usable():
                return connection
            connection.close()

    def close(self) -> None:
        """Close those that are idle."""
        while not self._idle.empty():
            self._idle.get().close()
