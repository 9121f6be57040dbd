"""What goes wrong on one connection ends no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from tests.unit.web.raw import connect

if TYPE_CHECKING:
    from tests.unit.web.serving import Replica


@pytest.mark.parametrize("target", ["%2f", "ftp://host/v2/", "a", "http://a%2fb/v2/", "https://host:x/v2/"])
@pytest.mark.parametrize("method", ["HEAD", "GET", "PUT", "OPTIONS", "x"])
async def test_a_target_that_is_none_is_refused_for_any_method(replica: Replica, method: str, target: str) -> None:
    """A HEAD is answered without a body, and the replica goes on."""
    async with (await connect(replica)).stream as stream:
        await stream.send_all(f"{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        answer = b"".join([bytes(piece) async for piece in stream])
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 "))
    assert answer.endswith(b"\r\n\r\n") == (method == "HEAD")
    assert (await replica.client.get("/v2/")).status_code == 200


@pytest.mark.parametrize(
    ("place", "headers"),
    [
        ("zotpy.http.server.exchanges.read_head", ""),
        ("zotpy.http.server.exchange.BoundedRequest", ""),
        ("zotpy.http.server.protocol.PassingStream", "Upgrade: h2c\r\n"),
    ],
)
async def test_a_fault_of_ours_ends_one_connection(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, place: str, headers: str
) -> None:
    """It is in the log with its traceback; other connections, and the replica, go on."""
    assert (await replica.client.get("/v2/")).status_code == 200

    def broken(*arguments: object, **others: object) -> None:
        del arguments, others
        msg = "a fault of ours"
        raise RuntimeError(msg)

    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(place, broken)
        async with (await connect(replica)).stream as stream:
            await stream.send_all(f"GET /v2/ HTTP/1.1\r\nHost: a\r\n{headers}\r\n".encode())
            assert await stream.receive_some() == b""
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["internal_error"]
    assert (await replica.client.get("/v2/")).status_code == 200
