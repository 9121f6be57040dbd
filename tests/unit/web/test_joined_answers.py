"""How an answer is cut into pieces for the client's socket."""

from __future__ import annotations

import pytest

from tests.unit.web.raw import connect
from tests.unit.web.serving import ABSENT, REPO, UPLOADS, Replica
from zotpy.core.file_pieces import FilePiece
from zotpy.http.server.connections import BoundedConnection
from zotpy.http.server.sending import TOGETHER_BYTES


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return what is handed to the sockets of clients, piece by piece."""
    pieces: list[bytes] = []
    send = BoundedConnection.send

    async def noting(connection: BoundedConnection, data: bytes | memoryview | FilePiece) -> bool:
        assert not isinstance(data, FilePiece)
        pieces.append(bytes(data))
        return await send(connection, data)

    monkeypatch.setattr(BoundedConnection, "send", noting)
    return pieces


@pytest.mark.parametrize(
    ("method", "target"),
    [("GET", "/v2/"), ("HEAD", f"/v2/{REPO}/blobs/{ABSENT}"), ("GET", f"/v2/{REPO}/blobs/{ABSENT}"), ("POST", UPLOADS)],
)
async def test_a_small_answer_is_one_piece(replica: Replica, sent: list[bytes], method: str, target: str) -> None:
    """Head, body and end leave together: one call to the system, one segment for the client."""
    client = await connect(replica)
    await client.begin(method, target, None if method != "POST" else 0)
    await client.stream.receive_some(65536)
    await client.stream.aclose()
    assert len(sent) == 1
    assert sent[0].startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize(("size_bytes", "pieces"), [(0, 1), (1, 1), (TOGETHER_BYTES, 1), (TOGETHER_BYTES + 1, 2)])
async def test_a_blob_comes_whole_behind_its_head(
    replica: Replica, sent: list[bytes], size_bytes: int, pieces: int
) -> None:
    """A body that fits is sent with the head. A longer one is not copied, and follows in a piece of its own."""
    content = bytes(size_bytes)
    digest = await replica.push_blob(content)
    sent.clear()
    answer = await replica.client.get(f"/v2/{REPO}/blobs/{digest}")
    assert answer.content == content
    assert len(sent) == pieces
    assert b"".join(sent).endswith(b"\r\n\r\n" + content)


async def test_two_requests_at_once_are_answered_in_order(replica: Replica, sent: list[bytes]) -> None:
    """Requests that a client sends one behind the other without waiting: each answer has its own head."""
    stream = await replica.connect()
    first = b"GET /v2/ HTTP/1.1\r\nHost: replica\r\n\r\n"
    second = f"GET /v2/{REPO}/blobs/{ABSENT} HTTP/1.1\r\nHost: replica\r\nConnection: close\r\n\r\n".encode()
    await stream.send_all(first + second)
    received = b"".join([bytes(piece) async for piece in stream])
    await stream.aclose()
    assert received == b"".join(sent)
    heads = [part.split(b" ")[0] for part in received.split(b"HTTP/1.1 ")[1:]]
    assert heads == [b"200", b"404"]
