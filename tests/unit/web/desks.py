"""A replica that gives tokens: two users, some rules, and a clock that a test moves."""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.unit.auth.hashed import BCRYPT, HASHES, PASSWORD
from tests.unit.web.serving import Replica, serving
from zotpy.auth.grants import Grants
from zotpy.auth.htpasswd import Users
from zotpy.auth.passwords import KIND, PasswordChecks
from zotpy.auth.tokens import Tokens
from zotpy.bucket.token_keys import TokenKeys
from zotpy.config.access import read_access_control
from zotpy.store.memory_store import MemoryStore
from zotpy.web.challenges import Challenges
from zotpy.web.desk import Desk
from zotpy.web.login import Login

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    import httpx
    import trio

    from zotpy.auth.authenticator import BearerReader, Renewer
    from zotpy.auth.oidc import WorkloadTokens
    from zotpy.http.server.proxies import TrustedProxies

Auth = tuple[str, bytes]
ALICE, BOB, ROOT = ("alice", PASSWORD), ("bob", PASSWORD), ("root", PASSWORD)
SERVICE = "registry.example.com"
TOKEN_PATH = "/zot/auth/token"
RULES: Mapping[str, object] = {
    "repositories": {
        "team/**": {
            "policies": [
                {"users": ["alice"], "actions": ["read", "create", "update", "delete"]},
                {"users": ["bob"], "actions": ["read", "create"]},
            ]
        },
        "public/**": {"defaultPolicy": ["read"], "anonymousPolicy": ["read"]},
        "hidden/**": {"policies": [{"users": ["alice"], "actions": ["read"]}]},
    },
    "adminPolicy": {"users": ["root"], "actions": ["read", "create", "update", "delete"]},
}
NOW = 1_800_000_000.0


@dataclass(slots=True)
class Clock:
    """A wall clock."""

    now: float = NOW

    def __call__(self) -> float:
        """Say how late it is, in Unix time."""
        return self.now


@dataclass(slots=True)
class Scene:
    """The replica, and what a test may change of it."""

    replica: Replica
    tokens: Tokens[TokenKeys]
    clock: Clock
    store: MemoryStore
    grants: Grants
    users: dict[str, Users] = field(default_factory=dict)

    @property
    def client(self) -> httpx.AsyncClient:
        """A client without a login."""
        return self.replica.client

    async def token(self, auth: Auth | None, *scopes: str) -> str:
        """Get a token for scopes."""
        return str((await self.grant(auth, *scopes))["token"])

    async def grant(self, auth: Auth | None, *scopes: str, **query: str) -> dict[str, Any]:
        """Get all that the endpoint answers with."""
        parameters = {"service": SERVICE, "scope": scopes, **query}
        answer = await self.client.get(TOKEN_PATH, params=parameters, auth=auth)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    async def post(self, **form: str) -> httpx.Response:
        """Send a form."""
        return await self.client.post(TOKEN_PATH, data=form)


@asynccontextmanager
async def giving(
    nursery: trio.Nursery,
    rules: Mapping[str, object] | None = RULES,
    session_s: float = 3600.0,
    bearers: Sequence[BearerReader] = (),
    oidc: WorkloadTokens | None = None,
    proxies: TrustedProxies | None = None,
    realm: str = "",
) -> AsyncIterator[Scene]:
    """Run such a replica."""
    clock = Clock()
    store = MemoryStore(lambda: datetime.fromtimestamp(clock.now, UTC))
    lines = (f"alice:{BCRYPT}", f"root:{BCRYPT}", f"bob:{HASHES['SHA-512-crypt with rounds']}")
    users = {"now": Users.parse("\n".join(lines))}
    grants = Grants(None if rules is None else read_access_control(rules))
    checks = PasswordChecks(lambda: users["now"], 2, 64, 300.0)
    keys = await TokenKeys.open(store, session_s + 86400)
    workloads = () if oidc is None else (oidc,)
    renewers: dict[str, Renewer] = {KIND: checks, **({} if oidc is None else {"oidc": oidc})}
    tokens = Tokens(keys, SERVICE, 300.0, session_s, renewers, grants.counting, clock, grants.named_claims)
    if oidc is not None:
        oidc.reads = grants.named_claims
    login = Login([*workloads, checks], [tokens, *bearers, *workloads], grant=grants)
    challenges, desk = Challenges("Our registry", SERVICE, realm), Desk(login, tokens)
    async with serving(
        nursery, admit=login.admit, challenge=challenges, more_routes=desk.routes, proxies=proxies
    ) as replica:
        yield Scene(replica, tokens, clock, store, grants, users)


def bearer(token: str) -> dict[str, str]:
    """Return the header of a token."""
    return {"Authorization": f"Bearer {token}"}


def claims_of(token: str) -> dict[str, Any]:
    """Read what a token says."""
    payload = token.split(".")[1]
    document: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return document


def encoded(document: object) -> str:
    """Write a part of a token."""
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")
