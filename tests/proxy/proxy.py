"""The listener: connections, which fault hits which request, and what was asked for."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import h11
import trio

from tests.proxy.exchange import Exchange, answer_alone
from tests.proxy.faults import Fault, Reply
from tests.proxy.peers import Gate, Gone, Peer
from tests.proxy.requests import Request, parse_request

REMEMBERED = 10_000
Decide = Callable[[Request], Fault | None]


def no_faults(request: Request) -> None:
    """Let every request pass."""
    del request


class StoreProxy:
    """Stands before the S3 service at `host` and `port`, on the loopback interface.

    `delay_s` passes between a request's head and its forwarding; `bytes_per_s` bounds each connection in each
    direction. `faults` is asked for each request, and may be replaced at any time.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        delay_s: float = 0.0,
        bytes_per_s: float | None = None,
        faults: Decide = no_faults,
    ) -> None:
        """Listen to nobody yet."""
        self.faults = faults
        self.port = 0
        self.seen: deque[Request] = deque(maxlen=REMEMBERED)
        """The latest requests, in the order in which they came."""
        self.counts: Counter[str] = Counter()
        """How many requests came, by operation."""
        self.under_way: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        """How many were under way at once, at most, by operation."""
        self._service = (host, port)
        self._delay_s = delay_s
        self._bytes_per_s = bytes_per_s
        self._gate = Gate()
        self._requests = 0

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self, nursery: trio.Nursery, port: int = 0) -> "StoreProxy":
        """Listen on `port`, 0 for any, until the nursery is cancelled."""
        listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(partial(trio.serve_listeners, self._serve, listeners))
        return self

    def hang(self) -> None:
        """Stop all traffic: nothing is read from either side until `release`."""
        self._gate.shut()

    def release(self) -> None:
        """Let all traffic go on."""
        self._gate.open()

    def of(self, operation: str) -> list[Request]:
        """Return the requests for an operation among the latest."""
        return [request for request in self.seen if request.operation == operation]

    def forget(self) -> None:
        """Begin counting anew."""
        self.seen.clear()
        self.counts.clear()
        self.most_at_once.clear()

    async def _serve(self, stream: trio.SocketStream) -> None:
        client = Peer(stream, self._gate, self._bytes_per_s)
        try:
            await self._serve_client(client)
        except* (Gone, trio.BrokenResourceError, h11.RemoteProtocolError, OSError, ValueError):
            pass  # the connections end, which is all that there is to say about it
        finally:
            await client.close()

    async def _serve_client(self, client: Peer) -> None:
        store: Peer | None = None
        try:
            while (head := await client.read_head()) is not None:
                self._requests += 1
                request = parse_request(head, self._requests)
                with self._noted(request):
                    fault = self.faults(request)
                    await trio.sleep(self._delay_s)
                    if isinstance(fault, Reply) and not fault.forward:
                        reusable = await answer_alone(client, request, fault)
                    else:
                        store = await self._connected(store)
                        reusable = await Exchange(client, store, head, request, fault).run()
                if not reusable:
                    return
        finally:
            if store is not None:
                await store.close()

    async def _connected(self, store: Peer | None) -> Peer:
        """Return a connection to the service, a new one if none is alive."""
        if store is not None and not store.is_stale:
            return store
        if store is not None:
            await store.close()
        return Peer(await trio.open_tcp_stream(*self._service), self._gate, self._bytes_per_s)

    @contextmanager
    def _noted(self, request: Request) -> Iterator[None]:
        operation = request.operation
        self.seen.append(request)
        self.counts[operation] += 1
        self.under_way[operation] += 1
        self.most_at_once[operation] = max(self.most_at_once[operation], self.under_way[operation])
        try:
            yield
        finally:
            self.under_way[operation] -= 1
