"""Lists and mounts under `accessControl`: they show what the caller may read, and tell nothing of anything else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.unit.auth.rules import ALICE, ANONYMOUS, grant, policies
from tests.unit.web.serving import CONFIG, SETTINGS, Replica, codes_of, digest_of, serving
from zotpy.auth.granted import Granted
from zotpy.auth.permission import UNRESTRICTED, Permission
from zotpy.core import keys
from zotpy.core.framing import frame
from zotpy.core.names import RepositoryName
from zotpy.registry.listing import STORE_PAGE
from zotpy.settings import ListSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import trio

    from zotpy.auth.permission import Identity
    from zotpy.http.server.bounded_request import BoundedRequest

CONTROL = policies(
    repositories={
        "**": {"policies": [grant("read", users="root")]},
        "mine/**": {"policies": [grant("read create update", users="alice")], "anonymousPolicy": ["create"]},
        "mine/closed/*": {"policies": [grant("create", users="alice")]},
        "open/*": {"policies": [grant("read", users="alice")], "anonymousPolicy": ["read"]},
        "dropbox/*": {"policies": [grant("create", users="alice")]},
    }
)
LOOKED = 2 * STORE_PAGE


class Door:
    """Lets callers do everything, until a test says who they are."""

    permission: Permission = UNRESTRICTED

    async def admit(self, request: BoundedRequest) -> Permission:
        """Say what they may do."""
        del request
        return self.permission

    def know(self, identity: Identity) -> None:
        """Hold callers to the rules."""
        self.permission = Granted(CONTROL, identity)


@pytest.fixture
def door() -> Door:
    """Return an open door."""
    return Door()


@pytest.fixture
async def replica(nursery: trio.Nursery, door: Door) -> AsyncIterator[Replica]:
    """Return a replica behind the door that looks at few repositories."""
    settings = replace(SETTINGS, lists=ListSettings(catalog_read=LOOKED))
    async with serving(nursery, settings, admit=door.admit) as replica:
        yield replica


def add(replica: Replica, names: Sequence[str]) -> None:
    """Write the markers of repositories."""
    for name in names:
        replica.store.objects[keys.repository(RepositoryName(name))] = replace(
            next(iter(replica.store.objects.values())), body=frame({})
        )


async def pages(replica: Replica, n: int, last: str = "") -> list[list[str]]:
    """Follow the links of the catalog."""
    found, query = [], {"n": str(n), "last": last}
    while True:
        answer = await replica.client.get("/v2/_catalog", params=query)
        assert answer.status_code == 200, answer.text
        found.append(answer.json()["repositories"])
        link = answer.headers.get("Link")
        if link is None:
            return found
        query = {name: values[0] for name, values in parse_qs(urlsplit(link[1:].partition(">")[0]).query).items()}
        assert query["last"] == found[-1][-1]  # a link names nothing that the caller may not read


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (10, [["mine", "mine/a", "mine/b/c", "open/x", "open/y"]]),
        (5, [["mine", "mine/a", "mine/b/c", "open/x", "open/y"]]),
        (2, [["mine", "mine/a"], ["mine/b/c", "open/x"], ["open/y"]]),
        (1, [["mine"], ["mine/a"], ["mine/b/c"], ["open/x"], ["open/y"]]),
        (0, [[]]),
    ],
)
async def test_the_catalog_shows_what_the_caller_may_read(
    replica: Replica, door: Door, n: int, expected: list[list[str]]
) -> None:
    """Pages are full but the last, and a page has a link only if another name that is shown follows."""
    names = [
        "aaa",
        "dropbox/a",
        "mine",
        "mine/a",
        "mine/b/c",
        "mine/closed/a",
        "open/x",
        "open/x/deep",
        "open/y",
        "z/z",
    ]
    add(replica, names)
    door.know(ALICE)
    assert await pages(replica, n) == expected
    door.know(ANONYMOUS)
    assert await pages(replica, 1) == [["open/x"], ["open/y"]]
    assert await pages(replica, 2, "open/x") == [["open/y"]]
    door.permission = UNRESTRICTED
    assert await pages(replica, 10) == [names]


async def test_the_catalog_looks_as_far_as_it_may(replica: Replica, door: Door) -> None:
    """Many repositories in a row that a caller may not read end a page, and an empty one is refused."""
    add(replica, ["mine/a", *(f"other/x{number:05}" for number in range(LOOKED + STORE_PAGE)), "zz"])
    door.know(ALICE)
    before = replica.script.begun["list"]
    answer = await replica.client.get("/v2/_catalog", params={"n": "5"})
    assert answer.json()["repositories"] == ["mine/a"]
    assert "last=mine%2Fa" in answer.headers["Link"]
    refused = await replica.client.get("/v2/_catalog", params={"n": "5", "last": "mine/a"})
    assert (refused.status_code, codes_of(refused)) == (403, ["DENIED"])
    assert replica.script.begun["list"] - before == 2 * LOOKED // STORE_PAGE


@pytest.mark.parametrize("path", ["tags/list", f"referrers/sha256:{'0' * 64}", "manifests/v1"])
async def test_a_closed_repository_looks_like_one_that_does_not_exist(replica: Replica, door: Door, path: str) -> None:
    """All that can be read of it is refused in the same words, whether it exists or not."""
    await replica.push_image("v1", repo="mine/closed/a")
    door.know(ALICE)
    told = set()
    for name in ("mine/closed/a", "mine/closed/b"):
        answer = await replica.client.get(f"/v2/{name}/{path}")
        told.add((answer.status_code, answer.text.replace(name, "NAME")))
    assert len(told) == 1
    assert told.pop()[0] == 403


async def test_a_mount_needs_read_on_its_source(replica: Replica, door: Door) -> None:
    """A mount from a repository that the caller may not read, or from any, begins an upload."""
    await replica.push_image("v1", repo="mine/closed/a")
    secret, shared = digest_of(CONFIG), await replica.push_blob(b"shared", "open/x")
    uploads = "/v2/mine/closed/b/blobs/uploads/"
    door.know(ALICE)
    for digest, source, status in (
        (secret, "mine/closed/a", 202),
        (secret, "", 202),
        (secret, "nowhere", 202),
        (digest_of(b"never"), "open/x", 202),
        (shared, "open/x", 201),
    ):
        query = {"mount": digest, **({"from": source} if source else {})}
        answer = await replica.client.post(uploads, params=query)
        assert answer.status_code == status, (source, answer.text)
    door.permission = UNRESTRICTED
    answer = await replica.client.post(uploads, params={"mount": secret})
    assert answer.status_code == 201
