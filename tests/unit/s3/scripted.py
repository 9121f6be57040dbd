"""A server on the loopback interface that answers each request as a script says, and keeps what it was sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import h11
import trio
import trio.testing

from zotpy.s3.config import S3Config
from zotpy.s3.wire.retry import RetryPolicy

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence

DATE = "Tue, 24 Nov 2026 10:00:00 GMT"
READ_TIMEOUT_S = 20.0
AT_ONCE = RetryPolicy(attempts=4, first_delay_s=0.0, longest_delay_s=0.0)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `cut_to`: the connection ends after this many bytes of the body; `chunked`: no length is promised."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_to: int | None = None
    chunked: bool = False
    interim: int = 0
    """How many answers 103 (Early Hints) come before it."""
    gate: trio.Event | None = None
    """After `gate_at` bytes of the body it waits for this."""
    gate_at: int = 0


@dataclass(frozen=True, slots=True)
class Endless:
    """An answer whose body ends only with the connection: this piece, again and again."""

    piece: bytes
    status: int = 200


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection ends after the whole request was read, without an answer."""


@dataclass(frozen=True, slots=True)
class Stall:
    """The connection stays open, and no answer ever comes."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Answered = Reply | Endless | Drop | Stall


@dataclass(frozen=True, slots=True)
class Computed:
    """An answer that depends on the request."""

    answer: Callable[[Seen], Answered]


Act = Answered | Computed


@dataclass(slots=True)
class ScriptedServer:
    """Plays one act for each request, on any number of connections; the last act again for all that follow."""

    script: Sequence[Act]
    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    closed: int = 0
    endless_bytes: int = 0
    """How much of endless answers was sent."""
    hung_up: trio.Event = field(default_factory=trio.Event)
    """Set when the client closed a connection in the middle of a request or of an answer."""

    async def start(
        self, nursery: trio.Nursery, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> ScriptedServer:
        """Listen on a port of the system's choice until the nursery is cancelled."""
        (listener,) = await trio.open_tcp_listeners(0, host=host)
        self.port = listener.socket.getsockname()[1]
        served = listener if tls is None else trio.SSLListener(listener, tls, https_compatible=True)
        nursery.start_soon(trio.serve_listeners, self._serve, [served])
        return self

    def config(
        self,
        *,
        checksums: bool = True,
        retry: RetryPolicy = AT_ONCE,
        read_timeout_s: float = READ_TIMEOUT_S,
        deadline_s: float = 60.0,
    ) -> S3Config:
        """Return what a client needs to call this server, without pauses between attempts."""
        return S3Config(
            bucket="bucket",
            endpoint=f"http://127.0.0.1:{self.port}",
            force_path_style=True,
            access_key="key",
            secret_key="secret",
            checksums=checksums,
            retry=retry,
            read_timeout_s=read_timeout_s,
            deadline_s=deadline_s,
        )

    async def when_silent(self, requests: int, wait_s: float) -> None:
        """Move a mock clock on when this many requests have come and all tasks wait."""
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, trio.testing.MockClock)
        while len(self.seen) < requests:
            await trio.testing.wait_all_tasks_blocked()
        await trio.testing.wait_all_tasks_blocked()
        clock.jump(wait_s)

    async def _serve(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        connection = h11.Connection(h11.SERVER)
        try:
            while (request := await _read_request(connection, stream)) is not None:
                self.seen.append(request)
                act = self.script[min(len(self.seen), len(self.script)) - 1]
                if not await self._play(act, request, connection, stream):
                    break
                connection.start_next_cycle()
        except (trio.BrokenResourceError, h11.RemoteProtocolError):
            self.hung_up.set()
        finally:
            self.closed += 1
            await trio.aclose_forcefully(stream)

    async def _play(self, act: Act, request: Seen, connection: h11.Connection, stream: trio.abc.Stream) -> bool:
        """Do what the script says; return whether the connection can take another request."""
        if isinstance(act, Computed):
            act = act.answer(request)
        if isinstance(act, Stall):
            await stream.receive_some(1)  # returns when the client gives up
        if isinstance(act, Endless):
            head = h11.Response(status_code=act.status, headers=[("date", DATE), ("transfer-encoding", "chunked")])
            await stream.send_all(connection.send(head) or b"")
            while True:  # until the client has left: BrokenResourceError
                await stream.send_all(connection.send(h11.Data(data=act.piece)) or b"")
                self.endless_bytes += len(act.piece)
        if not isinstance(act, Reply):
            return False
        for _ in range(act.interim):
            await stream.send_all(connection.send(h11.InformationalResponse(status_code=103, headers=[])) or b"")
        headers = {"date": DATE, **act.headers}
        headers |= {"transfer-encoding": "chunked"} if act.chunked else {"content-length": str(len(act.body))}
        await stream.send_all(
            connection.send(h11.Response(status_code=act.status, headers=list(headers.items()))) or b""
        )
        if request.method != "HEAD":
            await _send_body(act, connection, stream)
        if act.cut_to is not None:
            return False
        await stream.send_all(connection.send(h11.EndOfMessage()) or b"")
        return connection.our_state is h11.DONE


async def _send_body(act: Reply, connection: h11.Connection, stream: trio.abc.Stream) -> None:
    """Send as much of the body as there is to send, and wait at the gate."""
    body = act.body[: act.cut_to]
    begin = body[: act.gate_at] if act.gate is not None else b""
    if begin:
        await stream.send_all(connection.send(h11.Data(data=begin)) or b"")
    if act.gate is not None:
        await act.gate.wait()
    if body[len(begin) :]:
        await stream.send_all(connection.send(h11.Data(data=body[len(begin) :])) or b"")


async def _read_request(connection: h11.Connection, stream: trio.abc.Stream) -> Seen | None:
    """Read one whole request; `None` at the end of the connection."""
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some()))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            headers = {name.decode(): value.decode() for name, value in head.headers}
            return Seen(head.method.decode(), head.target.decode(), headers, bytes(body))
        else:
            return None
