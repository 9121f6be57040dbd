"""h11 for large bodies: the same state machine and checks, without its copies of each byte.

h11 gathers what it is given in a bytearray and cuts every event out of it: two copies of each byte of a body. A body in
chunks of 32 KiB, as Go's clients send it, becomes an event for each chunk. Here an empty buffer keeps a piece as it is
given, a body of known length hands it on untouched, and all chunks of one piece become one event. h11 handles
everything unusual, such as a chunk's extension or a header that is cut by the end of a piece.

A server's side differs from h11 in five ways:

- The limit of a head, and of the trailer of a body in chunks, holds also if all of it arrives in one piece.
- Empty lines before a request are ignored (RFC 9112, section 2.2), up to `MOST_EMPTY_LINES`. h11 ignores none.
- Bytes after the last request of a connection are dropped (RFC 9112, section 9.6). h11 calls them an error.
- If more than `MOST_AHEAD_BYTES` have arrived behind a request at its end, it is the last one of its connection.
- The reader of the body decides about `100 Continue`: see `Connection.ask_for_body`.

This relies on parts of h11 that are not public. `tests/unit/test_http1.py` compares both, byte by byte.
"""

import re
from collections.abc import Callable
from typing import Any

import h11
from h11._readers import ChunkedReader

from zotpy.http.chunks import JoiningChunkedReader, PieceBuffer

_EMPTY_LINES = re.compile(rb"(?:\r?\n){1,8}")
MOST_EMPTY_LINES = 8
"""How many empty lines before a request are ignored."""
MOST_AHEAD_BYTES = 16 * 1024
"""How many bytes that a client sends behind a request are kept until that one is answered."""


class Connection(h11.Connection):
    """One side of a connection, like h11's."""

    def __init__(self, our_role: Any, max_incomplete_event_size: int) -> None:
        super().__init__(our_role, max_incomplete_event_size)
        self._receive_buffer: PieceBuffer = PieceBuffer(max_incomplete_event_size)
        self._empty_lines = 0
        """How many were ignored since the last request."""

    @property
    def they_are_waiting_for_100_continue(self) -> bool:
        """Never true: hypercorn would ask for every body, also for one that is about to be refused."""
        return False

    def ask_for_body(self) -> bytes:
        """Return the `100 Continue` to send, or nothing if the client does not wait for it (RFC 9110, 10.1.1)."""
        if not self.client_is_waiting_for_100_continue or self.our_state is not h11.SEND_RESPONSE:
            return b""
        return self.send(h11.InformationalResponse(status_code=100, headers=[])) or b""

    @property
    def unfinished_bytes(self) -> int:
        """How many bytes of an incomplete request's head have arrived."""
        return len(self._receive_buffer) if self.their_state is h11.IDLE else 0

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way, and nothing of the next one has arrived."""
        return self.their_state is h11.IDLE and self.our_state is h11.IDLE and not self._receive_buffer

    def forget_received(self) -> None:
        """Drop received bytes that are not an event yet: nothing more is read."""
        self._receive_buffer.drop(len(self._receive_buffer))

    def _extract_next_receive_event(self) -> Any:
        if self.our_role is h11.SERVER:
            self._pass_over()
        return super()._extract_next_receive_event()

    def _pass_over(self) -> None:
        """Drop bytes that belong to no request: those after the last one, and empty lines before the next one."""
        buffer, state = self._receive_buffer, self.their_state
        if state in {h11.MUST_CLOSE, h11.CLOSED}:
            buffer.drop(len(buffer))
        elif state in {h11.IDLE, h11.DONE}:
            lines = _EMPTY_LINES.match(buffer.peek())
            if lines is not None and (found := lines[0].count(b"\n")) + self._empty_lines <= MOST_EMPTY_LINES:
                self._empty_lines += found
                buffer.drop(lines.end())
            if buffer.peek() == b"\r" and self._receive_buffer_closed:
                buffer.drop(1)

    def _process_event(self, role: Any, event: Any) -> None:
        is_of_client = role is h11.CLIENT and self.our_role is h11.SERVER
        if is_of_client and type(event) is h11.EndOfMessage and len(self._receive_buffer) > MOST_AHEAD_BYTES:
            self._cstate.process_keep_alive_disabled()
        super()._process_event(role, event)
        if type(event) is h11.Request:
            self._empty_lines = 0

    def _get_io_object(self, role: Any, event: Any, io_dict: Any) -> Callable[..., Any] | None:
        found = super()._get_io_object(role, event, io_dict)
        if type(found) is ChunkedReader:
            return JoiningChunkedReader(is_bounded=self.our_role is h11.SERVER)
        return found
