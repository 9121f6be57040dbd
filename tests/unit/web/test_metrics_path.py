"""Where the metrics are, that they can be nowhere, and that nobody waits for them."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.unit.web.serving import listening
from zotpy.core.units import MIB
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import open_registry
from zotpy.settings import Settings
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    import httpx
    import trio

    from zotpy.web.app import RegistryApp


@pytest.mark.parametrize(("path", "found"), [("/metrics", {"/metrics"}), ("/of/zotpy", {"/of/zotpy"}), (None, set())])
async def test_metrics_are_where_the_setting_says(nursery: trio.Nursery, path: str | None, found: set[str]) -> None:
    """At that path and no other, and nowhere where they are turned off; a request for them is then no endpoint."""
    registry = await open_registry(MemoryStore(), Settings(), MemoryBudget(64 * MIB, 9 * MIB))
    answers: dict[str, httpx.Response] = {}
    async with listening(nursery, registry, ServerConfig(), metrics_path=path) as (client, _, _):
        for asked in ("/metrics", "/of/zotpy"):
            answers[asked] = await client.get(asked)
    assert {asked for asked, answer in answers.items() if answer.text == "zotpy_metrics 1\n"} == found
    assert {answer.status_code for asked, answer in answers.items() if asked not in found} == {404}


async def test_they_are_added_up_beside_the_event_loop(nursery: trio.Nursery) -> None:
    """The series of 16 workers take longer than requests may be held up."""
    threads: list[int] = []

    def render() -> bytes:
        threads.append(threading.get_ident())
        return b"zotpy_metrics 2\n"

    def prepare(app: RegistryApp) -> None:
        app.dispatcher.context = replace(app.context, metrics=render)

    registry = await open_registry(MemoryStore(), Settings(), MemoryBudget(64 * MIB, 9 * MIB))
    async with listening(nursery, registry, ServerConfig(), prepare=prepare) as (client, _, _):
        answer = await client.get("/metrics")
    assert answer.text == "zotpy_metrics 2\n"
    assert threads
    assert threading.get_ident() not in threads
