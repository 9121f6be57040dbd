"""Requests that are refused for their keys or their time: both are set right, and the request is sent once more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
import trio
from structlog.testing import capture_logs

from tests.unit.s3.scripted import Reply, ScriptedServer
from zotpy.s3.client import Request, open_client
from zotpy.s3.errors import S3Refused, S3Unavailable
from zotpy.s3.wire.signing import Keys

if TYPE_CHECKING:
    from zotpy.s3.client import S3Client

GET = Request("GetObject", "GET", "key")


def refused(code: str, ahead: timedelta = timedelta()) -> Reply:
    """Return a refusal by a store whose clock is ahead of this machine's."""
    date = format_datetime(datetime.now(UTC) + ahead, usegmt=True)
    return Reply(403, f"<Error><Code>{code}</Code></Error>".encode(), {"date": date})


class Rotated:
    """Keys of which there are others once the first are refused."""

    at_hand = None

    def __init__(self, *names: str) -> None:
        """Give each access key in turn."""
        self._names = list(names)
        self.asked = 0

    async def __call__(self) -> Keys:
        """Return those that count now."""
        return Keys(self._names[0], "secret")

    async def renew(self, refused: Keys) -> bool:
        """Go on to the next."""
        self.asked += 1
        if len(self._names) > 1 and refused.access_key == self._names[0]:
            del self._names[0]
        return refused.access_key != self._names[0]


def client_with(client: S3Client, credentials: Rotated) -> S3Client:
    """Let a client sign with these."""
    client._credentials = credentials
    return client


@pytest.mark.parametrize(
    "code", ["ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "TokenRefreshRequired"]
)
async def test_keys_that_are_refused_are_fetched_anew(code: str, nursery: trio.Nursery) -> None:
    """The request is sent once more with the other keys, and its caller notices nothing."""
    server = await ScriptedServer([refused(code), Reply(200, b"ok")]).start(nursery)
    async with open_client(server.config()) as client:
        assert (await client_with(client, Rotated("old", "new")).call(GET)).body == b"ok"
    used = [seen.headers["authorization"].partition("Credential=")[2].partition("/")[0] for seen in server.seen]
    assert used == ["old", "new"]


@pytest.mark.parametrize("names", [("old",), ("old", "new", "newer")])
async def test_keys_are_fetched_anew_once_for_a_call(names: tuple[str, ...], nursery: trio.Nursery) -> None:
    """Where there are no others, or those are refused as well, the refusal is the answer."""
    server = await ScriptedServer([refused("ExpiredToken")]).start(nursery)
    credentials = Rotated(*names)
    async with open_client(server.config()) as client:
        with pytest.raises(S3Refused, match="ExpiredToken"):
            await client_with(client, credentials).call(GET)
    assert len(server.seen) == min(2, len(names))
    assert credentials.asked == 1


async def test_a_permission_that_is_missing_fetches_no_keys(nursery: trio.Nursery) -> None:
    """Other keys of the same account would not have it either."""
    server = await ScriptedServer([refused("AccessDenied")]).start(nursery)
    credentials = Rotated("old", "new")
    async with open_client(server.config()) as client:
        with pytest.raises(S3Refused, match="AccessDenied"):
            await client_with(client, credentials).call(GET)
    assert credentials.asked == 0


async def test_a_stream_that_is_refused_for_its_keys_may_be_tried_again(nursery: trio.Nursery) -> None:
    """A read that is streamed makes one attempt; the error says that another one may pass, and it does."""
    server = await ScriptedServer([refused("ExpiredToken"), Reply(200, b"ok")]).start(nursery)
    async with open_client(server.config()) as client:
        client_with(client, Rotated("old", "new"))
        with pytest.raises(S3Unavailable):
            async with client.stream(GET):
                pass
        async with client.stream(GET) as response:
            assert response.status == 200


@pytest.mark.parametrize("hours", [-30, -1, 1, 24 * 365 * 30])
@pytest.mark.parametrize("code", ["RequestTimeTooSkewed", "RequestExpired", "InvalidRequest"])
async def test_a_clock_that_differs_from_the_stores_is_corrected(code: str, hours: int, nursery: trio.Nursery) -> None:
    """The request is signed anew with the store's time, and so are all that follow, presigned URLs among them."""
    ahead = timedelta(hours=hours)
    server = await ScriptedServer([refused(code, ahead), Reply(200, b"ok")]).start(nursery)
    async with open_client(server.config()) as client:
        assert (await client.call(GET)).body == b"ok"
        await client.call(GET)
        url = client.presign_get("key", await client.keys(), 60, ())
    assert len(server.seen) == 3
    signed = [seen.headers["x-amz-date"] for seen in server.seen[1:]] + [url.partition("X-Amz-Date=")[2][:16]]
    for text in signed:
        at = datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        assert abs(at - datetime.now(UTC) - ahead) < timedelta(minutes=1)


async def test_a_clock_that_was_set_is_said_to_be_right(nursery: trio.Nursery) -> None:
    """The log says that the clocks differ only while they do, and requests are signed with our own time again."""
    late, right = refused("RequestTimeTooSkewed", timedelta(hours=2)), refused("RequestTimeTooSkewed")
    ok = Reply(200, b"ok")
    server = await ScriptedServer([late, ok, right, ok]).start(nursery)
    with capture_logs() as logs:
        async with open_client(server.config()) as client:
            for _ in range(2):
                assert (await client.call(GET)).body == b"ok"
            assert client.clock.ahead == timedelta()
    assert [entry["event"] for entry in logs] == ["clock_differs_from_the_stores", "clock_is_the_stores_again"]


@pytest.mark.parametrize("date", ["", "never", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_a_time_that_is_none_corrects_nothing(date: str, nursery: trio.Nursery) -> None:
    """A refusal without a time that can be used is a refusal."""
    reply = Reply(403, b"<Error><Code>RequestTimeTooSkewed</Code></Error>", {"date": date})
    server = await ScriptedServer([reply]).start(nursery)
    async with open_client(server.config()) as client:
        with pytest.raises(S3Refused, match="RequestTimeTooSkewed"):
            await client.call(GET)
        assert client.clock.ahead == timedelta()
    assert len(server.seen) == 1


async def test_a_clock_that_is_right_is_left_alone(nursery: trio.Nursery) -> None:
    """A refusal of another kind by a store that has our time is sent once."""
    server = await ScriptedServer([refused("InvalidRequest")]).start(nursery)
    async with open_client(server.config()) as client:
        with pytest.raises(S3Refused, match="InvalidRequest"):
            await client.call(GET)
    assert len(server.seen) == 1


async def test_requests_at_once_are_all_signed_anew(nursery: trio.Nursery) -> None:
    """What was signed before another request corrected the clock is sent again, too."""
    late = refused("RequestTimeTooSkewed", timedelta(hours=2))
    server = await ScriptedServer([late, late, Reply(200, b"ok")]).start(nursery)
    answers = []

    async def call() -> None:
        answers.append((await client.call(GET)).body)

    async with open_client(server.config()) as client, trio.open_nursery() as calls:
        for _ in range(2):
            calls.start_soon(call)
    assert answers == [b"ok", b"ok"]
    assert len(server.seen) == 4
