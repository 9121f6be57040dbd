"""`Expect: 100-continue`: which clients are asked for a body, and which are refused before they send it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import h11
import pytest
import trio

from tests.unit.web.raw import RawClient, connect
from tests.unit.web.serving import (
    ABSENT,
    BUDGET_BYTES,
    MANIFEST_LIMIT_BYTES,
    REPO,
    UPLOADS,
    Replica,
    digest_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

EXPECT = {"Expect": "100-continue"}
MANIFESTS = f"/v2/{REPO}/manifests/"


@dataclass(slots=True)
class Told:
    """What a client was told before it has sent any of its body."""

    statuses: list[int] = field(default_factory=list)
    """The interim ones, and the last one."""
    has_ended: bool = False
    """The connection was closed by the replica."""


async def told(client: RawClient) -> Told:
    """Receive until the client is asked for its body, or until the end of the connection."""
    found = Told()
    with trio.fail_after(60):
        while True:
            event = client.http.next_event()
            if event is h11.NEED_DATA:
                client.http.receive_data(bytes(await client.stream.receive_some(65536)))
            elif isinstance(event, h11.InformationalResponse | h11.Response):
                found.statuses.append(event.status_code)
                if isinstance(event, h11.InformationalResponse):
                    return found
            elif isinstance(event, h11.EndOfMessage):
                found.has_ended = await client.stream.receive_some(1) == b""
                return found


@pytest.mark.parametrize(
    ("method", "target", "headers", "status"),
    [
        ("PUT", "/v2/NAME/manifests/v1", {}, 400),
        ("PUT", f"{MANIFESTS}.v1", {}, 400),
        ("PUT", f"{MANIFESTS}sha256:00", {}, 400),
        ("PUT", f"{MANIFESTS}v1?tag=v2", {}, 400),
        ("PUT", f"{MANIFESTS}v1", {"Content-Length": str(MANIFEST_LIMIT_BYTES + 1)}, 413),
        ("POST", f"{UPLOADS}?digest=nothing", {}, 400),
        ("POST", f"{UPLOADS}?digest={ABSENT}", {"Content-Length": str(10**18)}, 413),
        ("POST", f"{UPLOADS}?digest={ABSENT}", {"Content-Range": "5-9"}, 416),
        ("PATCH", f"{UPLOADS}abc?_state=x.y", {}, 404),
        ("PATCH", f"{UPLOADS}abc", {}, 404),
        ("PUT", f"{UPLOADS}abc?_state=x.y&digest={ABSENT}", {}, 404),
        ("PUT", "/v2/", {}, 405),
        ("PUT", "/nothing", {}, 404),
        ("POST", UPLOADS, {}, 202),
    ],
)
async def test_what_can_be_answered_without_the_body_is(
    replica: Replica, method: str, target: str, headers: dict[str, str], status: int
) -> None:
    """The answer is the first that the client hears, and the connection ends: the body is never sent."""
    client = await connect(replica)
    async with client.stream:
        listed = {"Host": "replica", "Content-Length": "10", **EXPECT, **headers}
        await client._send(h11.Request(method=method, target=target, headers=list(listed.items())))
        assert await told(client) == Told([status], has_ended=True)
    assert (await replica.ended.receive()).received_bytes == 0


async def test_a_chunk_from_the_wrong_place_is_refused_before_it_is_sent(replica: Replica) -> None:
    """An upload knows where it stands, and its client is told so without sending gigabytes first."""
    location = (await replica.client.patch(await replica.begin(), content=b"12345")).headers["Location"]
    client = await connect(replica)
    async with client.stream:
        await client.begin("PATCH", location, 10, Content_Range="10-19", **EXPECT)
        assert await told(client) == Told([416], has_ended=True)


def leave_behind(replica: Replica) -> None:
    """Let a newer release have moved the bucket."""
    replica.health.refusal = "a newer release"


def fill_the_queue(replica: Replica) -> None:
    """Let no newcomer wait for memory."""
    replica.registry.budget.longest_queue = 0


@pytest.mark.parametrize(("prepare", "status"), [(leave_behind, 503), (fill_the_queue, 429)])
@pytest.mark.parametrize("target", ["manifest", "chunk", "blob"])
async def test_a_replica_that_can_take_no_body_asks_for_none(
    replica: Replica, target: str, prepare: Callable[[Replica], None], status: int
) -> None:
    """Left behind by its bucket, or with its queue for memory full, it says so before anything is sent."""
    targets = {
        "manifest": ("PUT", f"{MANIFESTS}v1"),
        "chunk": ("PATCH", await replica.begin()),
        "blob": ("POST", f"{UPLOADS}?digest={ABSENT}"),
    }
    prepare(replica)
    client = await connect(replica)
    async with client.stream:
        await client.begin(*targets[target], 10, **EXPECT)
        assert await told(client) == Told([status], has_ended=True)


async def test_a_body_that_is_wanted_is_asked_for_and_taken(replica: Replica) -> None:
    """After `100 Continue` the body is taken, and the connection goes on to the next request."""
    client = await connect(replica)
    async with client.stream:
        for _ in range(2):
            await client.begin("POST", f"{UPLOADS}?digest={digest_of(bytes(1000))}", 1000, **EXPECT)
            assert (await told(client)).statuses == [100]
            await client.send(1000)
            client.http.send(h11.EndOfMessage())
            assert (await client.receive())[0] == 201
            client.http.start_next_cycle()


async def test_who_sends_without_waiting_learns_why_it_is_refused(replica: Replica) -> None:
    """A client may begin with its body before it has heard anything, as curl does after a second."""
    client = await connect(replica)
    async with client.stream:
        await client.begin("POST", f"{UPLOADS}?digest=nothing", BUDGET_BYTES, **EXPECT)
        await client.send_until_refused(BUDGET_BYTES)
        with trio.fail_after(60):
            assert (await client.receive())[0] == 400
