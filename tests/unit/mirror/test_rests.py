"""An upstream that fails: all of it is left alone, or only what it fails to give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from tests.unit.mirror.support import (
    CONFIG,
    HERE,
    LAYER,
    LAYER_PATH,
    LOCAL,
    NAME,
    OF_HARBOR,
    TAG_HERE,
    TAG_THERE,
    give,
    image,
    mirrored,
    mirroring,
    world,
)
from tests.unit.s3.scripted import Drop, Reply
from tests.unit.upstream.upstreams import Upstream
from zotpy.core.digests import Digest
from zotpy.mirror.events import Unwatched
from zotpy.mirror.rests import LONGEST_PAUSE_S, MOST_THINGS, Rests
from zotpy.upstream.errors import UpstreamUnavailable

if TYPE_CHECKING:
    from tests.unit.mirror.support import MirrorReplica
    from tests.unit.upstream.upstreams import Act
    from zotpy.mirror.events import Answered

CONFIG_HERE, CONFIG_PATH = (f"/v2/{name}/blobs/{Digest.of(CONFIG)}" for name in (LOCAL, NAME))
ALONE = UpstreamUnavailable("500", is_of_one=True)
PAUSE_S = 60.0


@pytest.fixture(autouse=True)
def _long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no pause end before its test, however busy the machine is."""
    monkeypatch.setattr("zotpy.mirror.rests.PAUSE_S", PAUSE_S)


async def status(replica: MirrorReplica, path: str) -> int:
    """Return how a GET is answered."""
    return (await replica.client.get(path)).status_code


async def test_one_blob_that_the_upstream_fails_to_give_keeps_nobody_from_the_rest() -> None:
    """The blob itself is asked for once in a while, although its client comes back at once."""
    async with world() as (upstream, replica):
        give(upstream, image())
        upstream.scripts[LAYER_PATH] = [Reply(500)]
        assert await status(replica, HERE) == 429
        assert await status(replica, TAG_HERE) == 200
        assert await status(replica, HERE) == 429
        assert await status(replica, CONFIG_HERE) == 200
        assert upstream.asked.count(LAYER_PATH) == 1


async def test_an_upstream_that_fails_to_give_two_things_is_left_alone() -> None:
    """It has given nothing in between. So it is down, and its gateway says so."""
    async with world() as (upstream, replica):
        give(upstream, image())
        upstream.scripts[LAYER_PATH] = upstream.scripts[CONFIG_PATH] = [Reply(502)]
        for path in (HERE, CONFIG_HERE, TAG_HERE):
            assert await status(replica, path) == 429
        assert upstream.asked == [LAYER_PATH, CONFIG_PATH]


@pytest.mark.parametrize("trouble", [OF_HARBOR, Reply(503, headers={"Retry-After": "1"}), Drop()])
async def test_an_upstream_that_does_not_answer_or_asks_for_rest_is_left_alone_at_once(trouble: Act) -> None:
    """That is no matter of one blob."""
    async with world() as (upstream, replica):
        give(upstream, image())
        upstream.scripts[LAYER_PATH] = [trouble]
        assert await status(replica, HERE) == 429
        assert await status(replica, TAG_HERE) == 429
        assert upstream.asked == [LAYER_PATH]


async def test_the_other_address_is_asked_for_what_the_first_fails_to_give() -> None:
    """And only for that."""
    async with trio.open_nursery() as nursery:
        first, second = Upstream(), Upstream()
        for each in (first, second):
            await each.server.start(nursery)
            give(each, image())
        first.scripts[LAYER_PATH] = [Reply(500)]
        async with mirroring(nursery, [mirrored(first.url, second.url)]) as replica:
            assert (await replica.client.get(HERE)).content == LAYER
            assert await status(replica, TAG_HERE) == 200
        assert second.asked == [LAYER_PATH]
        nursery.cancel_scope.cancel()


async def test_how_long_things_rest(autojump_clock: trio.abc.Clock) -> None:
    """The pause of one thing, and of all; a good answer means that the next failure is one of a thing again."""
    del autojump_clock
    rests = Rests()
    assert rests.note_failure("a", ALONE) == (PAUSE_S, False)
    assert (rests.left_s("a"), rests.left_s("b")) == (PAUSE_S, 0.0)
    assert rests.note_failure("a", ALONE) == (PAUSE_S, False)
    rests.note_answer()
    assert rests.note_failure("b", ALONE) == (PAUSE_S, False)
    assert rests.left_s("c") == 0
    assert rests.note_failure("c", ALONE) == (PAUSE_S, True)
    assert rests.left_s("d") == PAUSE_S
    await trio.sleep(PAUSE_S)
    assert {rests.left_s(thing) for thing in "abcd"} == {0.0}
    assert rests.note_failure("a", UpstreamUnavailable("429", retry_after_s=1e6)) == (LONGEST_PAUSE_S, True)


async def test_few_things_are_remembered() -> None:
    """Clients may ask for anything."""
    rests = Rests()
    for number in range(MOST_THINGS + 1):
        rests.note_answer()
        rests.note_failure(str(number), ALONE)
    assert rests.left_s("0") == 0
    assert rests.left_s("1") > 0
    assert rests.left_s(str(MOST_THINGS)) > 0


class Answers(Unwatched):
    """Notes what upstreams said."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.said: list[tuple[str, Answered]] = []

    def on_mirror_answer(self, host: str, outcome: Answered) -> None:
        """See `MirrorEvents`."""
        self.said.append((host, outcome))


async def test_what_upstreams_say_is_counted_by_host() -> None:
    """Also that they refuse us, which clients do not learn. An upstream that is left alone says nothing."""
    events = Answers()
    async with trio.open_nursery() as nursery:
        upstream = Upstream()
        await upstream.server.start(nursery)
        give(upstream, image())
        wrong = Reply(200, image("other"), {"Docker-Content-Digest": str(Digest.of(image()))})
        upstream.scripts[TAG_THERE] = [Reply(401), Reply(403), Reply(404), wrong, Reply(503)]
        async with mirroring(nursery, [mirrored(upstream.url)], events=events) as replica:
            for _ in range(6):
                await replica.client.get(TAG_HERE)
                replica.mirror.manifests.absent.forget()
            await replica.client.get(CONFIG_HERE)
        nursery.cancel_scope.cancel()
    assert {host for host, _ in events.said} == {upstream.url.removeprefix("http://")}
    outcomes = [outcome for _, outcome in events.said]
    assert outcomes == ["refused", "refused", "absent", "broken", "unavailable", "answered"]
