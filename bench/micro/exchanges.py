"""Whole exchanges in one process: a client's request through hypercorn to a handler, a call through our S3 client.

The other end is as lean as can be, and its share is in every number: a trio socket that sends bytes made before
and reads what is promised. The store of the requests is in memory, so they hold nothing of calls, and calls nothing
of them.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import trio

from bench.measures import MIB
from bench.micro.timing import Micro
from zotpy.bucket.health import Health
from zotpy.core.pieces import Pieces
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.http.server.serving import serve
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import open_registry
from zotpy.s3.client import open_client
from zotpy.s3.config import S3Config
from zotpy.settings import Settings, UploadSettings
from zotpy.store.memory_store import MemoryStore
from zotpy.store.s3 import S3Store
from zotpy.web.app import create_app

AT_A_TIME = 200
"""Small exchanges of one run; starting trio and a server is a small part of it then."""
TRANSFERS = 4
SMALL, LARGE = b"s" * 4096, b"l" * (16 * MIB)
UPLOADS = "/v2/bench/micro/blobs/uploads/"
READ_BYTES = MIB
BUDGET_BYTES, PART_BYTES = 64 * MIB, 8 * MIB
HEADERS = 'Date: Tue, 24 Nov 2026 10:00:00 GMT\r\nLast-Modified: Tue, 24 Nov 2026 10:00:00 GMT\r\nETag: "e"\r\n'
SECRET = "of-the-benchmark"  # noqa: S105 - nothing is kept by it
Call = Callable[[S3Store], Awaitable[object]]


def micros() -> list[Micro]:
    """Return what is measured here."""
    part = Pieces(memoryview(LARGE)[: 8 * MIB])
    return [
        _requests("small request, GET /v2/", _request("GET", "/v2/")),
        _requests("small request, GET of a blob", _request("GET", _blob(SMALL)), _push(SMALL)),
        _requests("small request, HEAD of a blob", _request("HEAD", _blob(SMALL)), _push(SMALL)),
        _requests("small request, HEAD, missing", _request("HEAD", _blob(b""))),
        _requests("small request, POST", _request("POST", UPLOADS)),
        _requests("small request, POST with 4 KiB", _push(SMALL)),
        _requests("other request, GET /v2/ by h11 and Quart", _request("GET", "/v2/", headers=["Upgrade: none"])),
        _transfer("receive, POST with 16 MiB", _push(LARGE)),
        _transfer("send, GET of 16 MiB", _request("GET", _blob(LARGE)), _push(LARGE)),
        _calls("small call, GetObject, 4 KiB", SMALL, lambda store: store.get("entries/bench!/blobs/a")),
        _calls("small call, PutObject, 4 KiB", b"", lambda store: store.put("entries/bench!/blobs/a", SMALL)),
        Micro("send, UploadPart, 8 MiB", partial(_run_calls, b"", _putting(part), TRANSFERS), TRANSFERS * len(part)),
    ]


def _putting(part: Pieces) -> Call:
    return lambda store: store.put_part("data/a", "m", 1, part)


def _requests(name: str, request: bytes, *before: bytes) -> Micro:
    return Micro(name, partial(_run_requests, [*before, *[request] * AT_A_TIME]), exchanges=AT_A_TIME)


def _transfer(name: str, request: bytes, *before: bytes) -> Micro:
    return Micro(name, partial(_run_requests, [*before, *[request] * TRANSFERS]), TRANSFERS * len(LARGE))


def _calls(name: str, answer: bytes, call: Call) -> Micro:
    return Micro(name, partial(_run_calls, answer, call, AT_A_TIME), exchanges=AT_A_TIME)


def _run_requests(requests: Sequence[bytes]) -> None:
    async def run() -> None:
        async with _replica() as port:
            client = await trio.open_tcp_stream("127.0.0.1", port)
            for request in requests:
                await client.send_all(request)
                await _answer(client, has_body=not request.startswith(b"HEAD"))
            await client.aclose()

    trio.run(run)


@asynccontextmanager
async def _replica() -> AsyncIterator[int]:
    """Serve a registry over a store in memory, and return its port."""
    settings = Settings(upload=UploadSettings(part_size_bytes=PART_BYTES))
    registry = await open_registry(MemoryStore(), settings, MemoryBudget(BUDGET_BYTES, 2 * PART_BYTES))
    config = ServerConfig()
    config.bind = ["127.0.0.1:0"]
    config.accesslog = config.errorlog = None
    app = create_app(registry, Health(registry.store), lambda: b"")
    async with trio.open_nursery() as nursery:
        (url,) = await nursery.start(partial(serve, app, config, stop=trio.Event()))
        yield int(url.rpartition(":")[2])
        nursery.cancel_scope.cancel()


def _run_calls(body: bytes, call: Call, times: int) -> None:
    answer = f"HTTP/1.1 200 OK\r\n{HEADERS}Content-Length: {len(body)}\r\n\r\n".encode() + body

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            (listener,) = await nursery.start(partial(trio.serve_tcp, partial(_answering, answer), 0, host="127.0.0.1"))
            port = listener.socket.getsockname()[1]
            endpoint = f"http://127.0.0.1:{port}"
            config = S3Config("bucket", endpoint=endpoint, force_path_style=True, access_key="a", secret_key=SECRET)
            async with open_client(config) as client:
                store = S3Store(client, "prefix")
                for _ in range(times):
                    await call(store)
            nursery.cancel_scope.cancel()

    trio.run(run)


async def _answering(answer: bytes, stream: trio.SocketStream) -> None:
    """Answer every request with the same bytes once its body is there."""
    while data := await stream.receive_some(READ_BYTES):
        await _drop_body(stream, data)
        await stream.send_all(answer)


async def _answer(stream: trio.SocketStream, *, has_body: bool) -> None:
    """Read an answer to its end."""
    data = await stream.receive_some(READ_BYTES)
    assert data.startswith((b"HTTP/1.1 2", b"HTTP/1.1 404")), data[:300]
    if has_body:
        await _drop_body(stream, data)


async def _drop_body(stream: trio.SocketStream, data: bytes | bytearray) -> None:
    """Read on to the end of a message whose head comes in one piece."""
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    _, _, length = head.lower().partition(b"\r\ncontent-length:")
    missing = int(length.partition(b"\r\n")[0] or 0) - len(body)
    while missing > 0:
        missing -= len(await stream.receive_some(READ_BYTES))


def _push(content: bytes) -> bytes:
    return _request("POST", f"{UPLOADS}?digest={_digest(content)}", content)


def _blob(content: bytes) -> str:
    return f"/v2/bench/micro/blobs/{_digest(content)}"


def _request(method: str, target: str, body: bytes = b"", headers: Sequence[str] = ()) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: bench", "User-Agent: bench", "Accept: */*", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
