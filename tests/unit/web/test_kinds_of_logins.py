"""Several kinds of logins side by side: which one is asked, and when the others are not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.unit.web.serving import Replica, codes_of, serving
from zotpy.auth.permission import Identity
from zotpy.core.errors import Unauthorized
from zotpy.web.challenges import Challenges
from zotpy.web.login import Login

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import trio

    from zotpy.auth.basic import Credentials
    from zotpy.http.server.bounded_request import BoundedRequest


@dataclass(slots=True)
class Book:
    """A kind of login that knows some names, and notes whom it was asked for."""

    kind: str
    known: frozenset[str]
    spent: frozenset[str] = frozenset()
    """Names whose password belongs to this kind and is not good."""
    asked: list[str] = field(default_factory=list)

    def look(self, name: str) -> Identity | None:
        """Say who this is."""
        self.asked.append(name)
        if name in self.spent:
            msg = f"the {self.kind} has expired: log in again"
            raise Unauthorized(msg)
        return Identity(name, kind=self.kind) if name in self.known else None

    async def identify(self, credentials: Credentials) -> Identity | None:
        """Say who has a password."""
        return self.look(credentials.name)

    async def read(self, token: str) -> Identity | None:
        """Say who has a token."""
        return self.look(token)

    async def recognize(self, request: BoundedRequest) -> Identity | None:
        """Say who has a certificate, which is a header here."""
        name = request.headers.get("Certificate")
        return None if name is None else self.look(name)


@dataclass(frozen=True, slots=True)
class Scene:
    """A replica with two kinds of passwords, two of tokens, and certificates."""

    replica: Replica
    keys: Book
    users: Book
    tokens: Book
    others: Book
    certificates: Book

    async def seen(self, auth: tuple[str, str] | None = None, **headers: str) -> tuple[int, str, str]:
        """Return status, user and kind of login of a request."""
        answer = await self.replica.client.get("/v2/", auth=auth, headers=headers)
        ended = await self.replica.ended.receive()
        return answer.status_code, ended.user, ended.login


@pytest.fixture
async def scene(nursery: trio.Nursery) -> AsyncIterator[Scene]:
    """Run the replica."""
    keys = Book("key", frozenset({"robot"}), frozenset({"old"}))
    users = Book("htpasswd", frozenset({"alice", "robot"}))
    tokens, others = Book("token", frozenset({"abc"}), frozenset({"stale"})), Book("outside", frozenset({"xyz"}))
    certificates = Book("mtls", frozenset({"node"}), frozenset({"revoked"}))
    login = Login([keys, users], [tokens, others], [certificates])
    async with serving(nursery, admit=login.admit, challenge=Challenges("here")) as replica:
        yield Scene(replica, keys, users, tokens, others, certificates)


async def test_the_first_kind_that_knows_the_password_says_who_it_is(scene: Scene) -> None:
    """The others are asked only if those before them know nobody."""
    assert await scene.seen(("robot", "x")) == (200, "robot", "key")
    assert scene.users.asked == []
    assert await scene.seen(("alice", "x")) == (200, "alice", "htpasswd")
    assert scene.keys.asked == ["robot", "alice"]
    assert await scene.seen(("nobody", "x")) == (401, "", "")


async def test_a_kind_may_refuse_for_all(scene: Scene) -> None:
    """An expired key is no password, and no other kind sees it. The answer says what is wrong."""
    answer = await scene.replica.client.get("/v2/", auth=("old", "x"))
    assert (answer.status_code, codes_of(answer)) == (401, ["UNAUTHORIZED"])
    assert "the key has expired" in answer.text
    assert scene.users.asked == []


async def test_tokens_are_read_by_their_readers_alone(scene: Scene) -> None:
    """A token is no password, and a password is no token."""
    assert await scene.seen(Authorization="Bearer abc") == (200, "abc", "token")
    assert await scene.seen(Authorization="Bearer xyz") == (200, "xyz", "outside")
    assert await scene.seen(Authorization="Bearer stale") == (401, "", "")
    assert await scene.seen(Authorization="Bearer unknown") == (401, "", "")
    assert scene.others.asked == ["xyz", "unknown"]
    assert scene.keys.asked == scene.users.asked == []


async def test_certificates_count_without_a_header(scene: Scene) -> None:
    """Credentials come first. A certificate that is not good makes nobody anonymous."""
    assert await scene.seen(certificate="node") == (200, "node", "mtls")
    assert await scene.seen(("alice", "x"), certificate="node") == (200, "alice", "htpasswd")
    assert await scene.seen(("nobody", "x"), certificate="node") == (401, "", "")
    assert await scene.seen(certificate="revoked") == (401, "", "")
