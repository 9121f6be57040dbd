"""If a step of a first pull fails, its client gets an error of the OCI specification, and the next pull succeeds."""

from __future__ import annotations

import gc
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.unit.mirror.failing import Failing, sweep
from zotpy.core.framing import FramingError
from zotpy.http.client import service
from zotpy.http.client.connection import ClientConnection
from zotpy.http.sockets import LeastReadable
from zotpy.store.interface import StoreUnavailable
from zotpy.upstream import single_requests
from zotpy.upstream.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from zotpy.store.faulty import Moment

SEAMS = {
    "a request to the upstream": (Transport, "_send"),
    "a read from it": (ClientConnection, "receive"),
    "a socket option of a new connection": (service, "write_in_bites"),
    "a socket option of a read": (LeastReadable, "ask"),
    "a thread": (trio.to_thread, "run_sync"),
}
"""What fails, and the function of the program or of trio that stands for it."""


def named(value: Exception | str | bool) -> str:  # noqa: FBT001 - a parameter of a test
    """Return what the name of a test says of a parameter."""
    if isinstance(value, bool):
        return "for good" if value else "once"
    return value if isinstance(value, str) else type(value).__name__


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """See that no socket is left open: pytest reports one that the collector of garbage finds.

    Two replicas start for each step, and would read all certificates of this machine each time.
    """
    monkeypatch.setattr(single_requests, "tls_context", lambda _: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    yield
    gc.collect()


@pytest.mark.parametrize(
    ("error", "moment", "lasts"),
    [
        (StoreUnavailable("the store is down"), "before", True),
        (StoreUnavailable("the answer is lost"), "after", False),
        (FramingError("a record is cut"), "after", False),
    ],
    ids=named,
)
async def test_each_call_to_the_store_may_fail(error: Exception, moment: Moment, *, lasts: bool) -> None:
    """No answer is a 500, and another replica pulls rightly afterwards: see `pulled`."""
    assert await sweep(lambda at: Failing(error, at, lasts, moment), is_store=True) > 10


@pytest.mark.parametrize(
    ("seam", "error", "lasts"),
    [
        ("a request to the upstream", OSError("no port is free"), False),
        ("a request to the upstream", MemoryError(), True),
        ("a read from it", MemoryError(), False),
        ("a read from it", OSError("the connection is reset"), True),
        ("a socket option of a new connection", OSError("no buffer is free"), False),
        ("a socket option of a read", OSError("no buffer is free"), False),
        ("a socket option of a read", OSError("no buffer is free"), True),
        ("a socket option of a read", MemoryError(), False),
        ("a thread", MemoryError(), False),
        ("a thread", RuntimeError("can't start new thread"), False),
        ("a thread", RuntimeError("can't start new thread"), True),
    ],
    ids=named,
)
async def test_each_step_may_fail(monkeypatch: pytest.MonkeyPatch, seam: str, error: Exception, *, lasts: bool) -> None:
    """The same if an upstream cannot be asked or read, and if the system refuses something."""
    owner, name = SEAMS[seam]
    real: Callable[..., Any] = getattr(owner, name)
    under_way: list[Failing] = []

    def replaced(*arguments: Any, **options: Any) -> Any:
        under_way[-1].step()
        return real(*arguments, **options)

    def fail(at: int) -> Failing:
        under_way.append(Failing(error, at, lasts))
        return under_way[-1]

    monkeypatch.setattr(owner, name, replaced)
    assert await sweep(fail) > 0
