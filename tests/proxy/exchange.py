"""One request and its answer, on their way between client and service."""

from dataclasses import dataclass, field

import trio

from tests.proxy.faults import Drop, Fault, Flip, Reply, Side, Stall
from tests.proxy.framing import Body, UntilClose
from tests.proxy.peers import Gone, Peer
from tests.proxy.requests import Request, asks_to_close, parse_answer


@dataclass(eq=False, slots=True)
class Flow:
    """One direction of an exchange, with the fault that is to happen to it."""

    source: Peer
    target: Peer
    fault: Drop | Stall | Flip | None
    passed_bytes: int = 0

    async def at_head(self) -> None:
        """Let happen what happens before the head."""
        if isinstance(self.fault, Drop | Stall) and self.fault.after_bytes is None:
            await self._strike(self.fault)

    async def relay(self, body: Body) -> None:
        """Pass a body on to its end. Raises `Gone`, `trio.BrokenResourceError`."""
        self.source.pace.begin()
        while not body.done and (data := await take(self.source, body)):
            await self.source.pace.spend(len(data))
            await self._pass_on(data)

    async def _pass_on(self, data: bytes) -> None:
        fault = self.fault
        if isinstance(fault, Flip):
            data = fault.applied(data, self.passed_bytes)
        elif fault is not None and fault.after_bytes is not None:
            room = fault.after_bytes - self.passed_bytes
            if room < len(data):
                await self._send(data[:room])
                data = data[room:]
                await self._strike(fault)
        await self._send(data)

    async def _strike(self, fault: Drop | Stall) -> None:
        self.fault = None
        if isinstance(fault, Drop):
            msg = "dropped by a fault"
            raise Gone(msg)
        fault.reached.set()
        if fault.until is None:
            await trio.sleep_forever()
        else:
            await fault.until.wait()

    async def _send(self, data: bytes) -> None:
        if data:
            await self.target.send(data)
            self.passed_bytes += len(data)


@dataclass(eq=False, slots=True)
class Exchange:
    """A request whose head was read, and what is to happen to it."""

    client: Peer
    store: Peer
    head: bytes
    request: Request
    fault: Fault | None
    _reusable: bool = True
    _waiting: trio.CancelScope = field(default_factory=trio.CancelScope)

    async def run(self) -> bool:
        """Do it, and say whether the connections can take another. Raises `Gone`, alone or in a group."""
        flow = self._flow("request", self.client, self.store)
        await flow.at_head()
        await self.store.send(self.head)
        taken = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pass_request, flow, taken)
            await self._pass_answer()
            await taken.wait()
            nursery.cancel_scope.cancel()
        return self._reusable and not asks_to_close(self.request.headers)

    async def _pass_request(self, flow: Flow, taken: trio.Event) -> None:
        body = self.request.body()
        try:
            await flow.relay(body)
        except trio.BrokenResourceError:
            self._reusable = False  # the service answers before it has all, or the other task finds out why not
            await drop(self.client, body)
        taken.set()
        with self._waiting:
            await self.client.readable()
            msg = "the client gave up waiting"
            raise Gone(msg)

    async def _pass_answer(self) -> None:
        head = await self._answer_head()
        while not (answer := parse_answer(head)).is_final:
            await self.client.send(head)
            head = await self._answer_head()
        self._waiting.cancel()
        body = answer.body(self.request.method)
        self._reusable &= not isinstance(body, UntilClose) and not asks_to_close(answer.headers)
        if isinstance(self.fault, Reply):
            await drop(self.store, body)
            await self.client.send(self.fault.encode(self.request.method))
            return
        flow = self._flow("answer", self.store, self.client)
        await flow.at_head()
        await self.client.send(head)
        await flow.relay(body)

    async def _answer_head(self) -> bytes:
        head = await self.store.read_head()
        if head is None:
            msg = "the service closed the connection without an answer"
            raise Gone(msg)
        return head

    def _flow(self, side: Side, source: Peer, target: Peer) -> Flow:
        fault = self.fault if isinstance(self.fault, Drop | Stall | Flip) and self.fault.side == side else None
        return Flow(source, target, fault)


async def answer_alone(client: Peer, request: Request, reply: Reply) -> bool:
    """Answer without the service, and say whether the connection can take another request."""
    answer = reply.encode(request.method)
    if not reply.read_body:
        await client.send_last(answer)
        return False
    await drop(client, request.body())
    await client.send(answer)
    return not asks_to_close(request.headers)


async def take(source: Peer, body: Body) -> bytes:
    """Return the next bytes of a body, none if it ends with the connection. Raises `Gone` if it is cut."""
    data = await source.receive(body.most)
    if not data:
        if isinstance(body, UntilClose):
            body.done = True
            return b""
        msg = "cut in the middle of a body"
        raise Gone(msg)
    taken = body.take(data)
    if taken < len(data):
        source.put_back(data[taken:])
    return data[:taken]


async def drop(source: Peer, body: Body) -> None:
    """Receive a body and forget it."""
    while not body.done and await take(source, body):
        pass
