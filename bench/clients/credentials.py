"""Credentials as registries ask for them: Basic with each request, or a token for each repository.

The token protocol is that of the distribution project ("Token Authentication Specification"): a 401 names a realm,
the realm gives a token for a scope, the token goes with each request until it is old.
"""

import base64
import json
import re
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from bench.clients.connection import Answer, Connection, Refused
from bench.clients.endpoint import Endpoint

OK, UNAUTHORIZED = 200, 401
SHORTEST_LIFE_S = 60
"""How long a token lives that does not say it."""
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_REPOSITORY = re.compile(r"/v2/(?P<name>.+?)/(?:blobs|manifests|tags|referrers)(?:/|$)")

Connect = Callable[[str], Endpoint]
"""Returns where a URL leads, with the TLS settings of the registry."""


@dataclass(frozen=True)
class Challenge:
    """What a registry wants: `basic`, `bearer`, or nothing."""

    scheme: str = ""
    realm: str = ""
    service: str = ""


class Credentials:
    """What to send with each request to one registry. Several threads may use it at the same time."""

    def __init__(self, connect: Connect, url: str, user: str | None, password: str | None) -> None:
        """Ask the registry what it wants. Raises `Refused` or `OSError`."""
        self._connect = connect
        self._basic = None
        if user is not None:
            self._basic = "Basic " + base64.b64encode(f"{user}:{password or ''}".encode()).decode()
        self._tokens: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._challenge = challenge_of(_get(connect(url), "/v2/", None))
        if self._challenge.scheme == "basic" and self._basic is None:
            msg = "the registry asks for a user and a password"
            raise Refused(msg)

    def authorize(self, target: str) -> str | None:
        """Return the Authorization header for a request target. Raises `Refused` or `OSError`."""
        if self._challenge.scheme != "bearer":
            return self._basic if self._challenge.scheme == "basic" else None
        found = _REPOSITORY.match(target)
        repository = found["name"] if found else ""
        with self._lock:
            token, dies_at = self._tokens.get(repository, ("", 0.0))
            if time.monotonic() >= dies_at:
                token, life_s = self._fetch(repository)
                self._tokens[repository] = token, time.monotonic() + life_s / 2
        return f"Bearer {token}"

    def _fetch(self, repository: str) -> tuple[str, float]:
        query = {"service": self._challenge.service}
        if repository:
            query["scope"] = f"repository:{repository}:pull,push"
        realm = urlsplit(self._challenge.realm)
        target = f"{realm.path or '/'}?{realm.query + '&' if realm.query else ''}{urlencode(query)}"
        answer = _get(self._connect(self._challenge.realm), target, self._basic)
        document = json.loads(answer.body) if answer.status == OK else {}
        token = document.get("token") or document.get("access_token")
        if not token:
            msg = f"no token for {repository or 'the registry'}: {answer.status} from {self._challenge.realm}"
            raise Refused(msg)
        return token, float(document.get("expires_in") or SHORTEST_LIFE_S)


def challenge_of(answer: Answer) -> Challenge:
    """Read what an answer asks for (RFC 9110, 11.6.1)."""
    if answer.status != UNAUTHORIZED:
        return Challenge()
    scheme, _, rest = answer.headers.get("www-authenticate", "").partition(" ")
    parameters = dict(_PARAMETER.findall(rest))
    return Challenge(scheme.lower(), parameters.get("realm", ""), parameters.get("service", ""))


def _get(endpoint: Endpoint, target: str, authorization: str | None) -> Answer:
    with closing(Connection(endpoint)) as connection:
        return connection.call("GET", target, {} if authorization is None else {"Authorization": authorization})
