"""What goes into the audit log about one request: who did what, from where, and which rule decided.

There is one entry for each decision, and one for each login. The names of failed logins are left out, because people
type passwords into the wrong field. Queries are left out, too, because they carry the states of uploads.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import trio

from zotpy.auth.actions import Action
from zotpy.auth.permission import EVERYTHING_TO_USERS, Permission
from zotpy.auth.verdicts import Verdict, Witnessed
from zotpy.http.server.bounded_request import BoundedRequest
from zotpy.http.server.response import Response
from zotpy.web.routes import Route

LONGEST_TEXT = 1024
"""Characters of a value. Only a path that no repository can have, or a name that an issuer made up, is longer."""
ALLOWED, REFUSED = "allowed", "refused"
LOGIN, REQUEST = "login", "request"
QUIET_S = 300.0
"""How long a user must have made no request from an address, so that the next one counts as a login."""
REMEMBERED = 4096
READS = frozenset({Action.READ, Action.CATALOG, Action.METRICS, Action.CONNECT})
"""Actions that change nothing. If they are allowed, they are noted only on request."""
Entry = dict[str, str | int]
"""The fields of a line, in their order."""


class Arrivals:
    """Who was here lately. Clients send a password with each request, so only the first one counts as a login."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def is_new(self, *who: str) -> bool:
        """Say whether a user, with a kind of login and from an address, was not here for `QUIET_S`. They are now."""
        user, login, client = who
        key, now = (user, login, client), trio.current_time()
        before = self._seen.pop(key, -QUIET_S)
        self._seen[key] = now
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return now - before >= QUIET_S


_LOGGED_IN = Verdict(Action.CONNECT, "", "", EVERYTHING_TO_USERS, is_allowed=True)


@dataclass(frozen=True, slots=True)
class Audit:
    """Where entries go, and which."""

    note: Callable[[Entry], None]
    """Takes an entry, and never blocks."""
    pulls: bool = False
    """Whether reads that are allowed are noted, too."""
    arrivals: Arrivals = field(default_factory=Arrivals)


@dataclass(slots=True)
class Trail:
    """One request, as far as it has come."""

    request: BoundedRequest
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    route: Route | None = None
    """`None`: no endpoint takes the request, so nothing is decided about it."""
    repository: str = ""
    reference: str = ""
    witnessed: Witnessed | None = None
    """`None`: the caller was not let in, or nobody asks who they are."""
    response: Response | None = None
    """`None`: the client has left before its answer."""

    def reach(self, route: Route, repository: str, reference: str) -> None:
        """Note which endpoint takes the request."""
        self.route, self.repository, self.reference = route, repository, reference

    def admit(self, permission: Permission) -> Witnessed:
        """Return the permission of the caller, which notes its decisions from now on."""
        self.witnessed = Witnessed(permission)
        return self.witnessed

    def entries(self, audit: Audit) -> Iterator[Entry]:
        """Yield what the audit log gets."""
        if self.route is None:
            return
        if self.route.needs is None:
            yield from self._of_a_login_endpoint()
        elif self.witnessed is None:
            event = LOGIN if "Authorization" in self.request.headers else REQUEST
            yield self._entry(event, self._unasked(self.route.needs), REFUSED)
        else:
            verdicts, user, login = self.witnessed.verdicts, self.request.user, self.request.login
            is_ping = self.route.needs is Action.CONNECT  # what clients ask to see whether a login is good
            if user and (audit.arrivals.is_new(user, login, self.request.reached.client) or is_ping):
                yield self._entry(LOGIN, _LOGGED_IN, ALLOWED)
            if audit.pulls or self.route.needs not in READS or not all(each.is_allowed for each in verdicts):
                for each in verdicts:
                    yield self._entry(REQUEST, each, ALLOWED if each.is_allowed else REFUSED)

    def _of_a_login_endpoint(self) -> Iterator[Entry]:
        """Yield what an endpoint did that itself finds out who calls, such as one that gives out tokens."""
        status = 0 if self.response is None else self.response.status_code
        if status in {401, 403, 429}:
            yield self._entry(LOGIN, self._unasked(Action.CONNECT), REFUSED)
        elif self.request.user:
            yield self._entry(LOGIN, _LOGGED_IN, ALLOWED)

    def _unasked(self, action: Action) -> Verdict:
        return Verdict(action, self.repository, self.reference, EVERYTHING_TO_USERS, is_allowed=False)

    def _entry(self, event: str, verdict: Verdict, decision: str) -> Entry:
        request, reached = self.request, self.request.reached
        names_tag = self.route is not None and self.route.rule.endswith("<reference>") and ":" not in verdict.reference
        digest = "" if self.response is None else self.response.headers.get("Docker-Content-Digest", "")
        status = 0 if self.response is None else self.response.status_code
        texts = {
            "time": self.began.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "event": event,
            "user": request.user,
            "login": request.login,
            "key": self.request.key if self.witnessed is None else self.witnessed.identity.key,
            "client": reached.client,
            "peer": reached.peer,
            "method": request.method,
            "path": request.path,
            "action": str(verdict.action),
            "repository": verdict.repository,
            "reference": verdict.reference,
            "tag": verdict.reference if names_tag else "",
            "digest": (digest or (self.reference if ":" in self.reference else "")) if verdict.repository else "",
            "rule": verdict.rule,
            "decision": decision,
        }
        return {name: text[:LONGEST_TEXT] for name, text in texts.items()} | {"status": status}
