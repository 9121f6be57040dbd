"""Where the metrics are, and that they can be nowhere."""

from __future__ import annotations

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
