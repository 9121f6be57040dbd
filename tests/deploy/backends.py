"""Servers that stand where replicas would, and do what no replica does on demand."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

DEADLINE_S = 60.0


class Server(ThreadingHTTPServer):
    """Takes as many connections at once as clients make: those that find no room try again after seconds."""

    daemon_threads = True
    request_queue_size = 1024


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    handler: BaseHTTPRequestHandler

    def header(self, name: str) -> list[str]:
        """Return every value under this name, in order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


def answer_empty(seen: Seen) -> None:
    """Answer 200 without a body."""
    seen.handler.send_response(200)
    seen.handler.send_header("Content-Length", "0")
    seen.handler.end_headers()


def break_off(seen: Seen) -> None:
    """End the connection without a byte of an answer."""
    seen.handler.close_connection = True


@dataclass
class Backend:
    """One server on a free port, which keeps what it is asked for; `/readyz` is answered as `is_ready` says."""

    answer: Callable[[Seen], None] = answer_empty
    is_ready: bool = True
    seen: list[Seen] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Listen, in threads."""
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = DEADLINE_S

            def handle_one(self) -> None:
                if self.path == "/readyz":
                    self.send_response(200 if backend.is_ready else 503)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                seen = Seen(self.command, self.path, list(self.headers.items()), self)
                backend.seen.append(seen)
                backend.answer(seen)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one  # noqa: N815 - as the class asks

            def log_message(self, *words: object) -> None:
                """Say nothing."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
