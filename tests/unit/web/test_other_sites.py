"""A page of another site cannot use the login that a browser keeps for the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.web.serving import UPLOADS, Replica, codes_of, serving
from tests.unit.web.test_logins import ALICE, login
from zotpy.bucket.api_keys import ApiKeys
from zotpy.bucket.key_uses import KeyUses
from zotpy.store.memory_store import MemoryStore
from zotpy.web.key_desk import PATH, KeyDesk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import trio

HOST = "registry.example.com:5000"


@pytest.fixture
def store() -> MemoryStore:
    """Return where the keys are."""
    return MemoryStore()


@pytest.fixture
async def replica(nursery: trio.Nursery, store: MemoryStore) -> AsyncIterator[Replica]:
    """Return a replica with users and API keys."""
    routes = KeyDesk(ApiKeys(store), KeyUses(store), 3).routes
    async with serving(nursery, admit=login().admit, more_routes=routes) as found:
        yield found


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": f"https://{HOST}"},
        {"Sec-Fetch-Site": ""},
        {"Origin": "https://evil.example.org"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "https://registry.example.com"},
    ],
)
@pytest.mark.parametrize("path", [PATH, UPLOADS])
async def test_a_post_of_another_site_is_refused(
    replica: Replica, store: MemoryStore, path: str, headers: dict[str, str]
) -> None:
    """A form can send any text, so it could make a key, or push a blob. The password is not even checked."""
    before = dict(replica.store.objects)
    sent = {"Host": HOST, "Content-Type": "text/plain", **headers}
    answer = await replica.client.post(path, content=b"{}", headers=sent, auth=ALICE)
    assert (answer.status_code, codes_of(answer)) == (403, ["DENIED"])
    assert store.objects == {}
    assert replica.store.objects == before


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": f"https://{HOST}"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": f"http://{HOST.upper()}"},
    ],
)
async def test_programs_and_pages_of_the_registry_are_served(replica: Replica, headers: dict[str, str]) -> None:
    """Programs say nothing of a site, and a browser says that the page is ours."""
    answer = await replica.client.post(PATH, content=b"{}", headers={"Host": HOST, **headers}, auth=ALICE)
    assert answer.status_code == 201


async def test_a_browser_is_not_allowed_anything_else(replica: Replica) -> None:
    """It asks before a PUT or a DELETE of another site, and no answer allows one."""
    asked = {"Origin": "https://evil.example.org", "Access-Control-Request-Method": "DELETE"}
    answer = await replica.client.request("OPTIONS", PATH, headers=asked)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control-")]
