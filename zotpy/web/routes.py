"""The endpoints of one repository, found by one regular expression.

Quart's router, contexts and signals cost more CPU than all else that a HEAD of a blob takes here, and no handler uses
them. So a request whose path is written as clients write it goes from here straight to its handler. Whatever this does
not know (another endpoint, a method that is not allowed, an unusual path) is Quart's to answer: what is found here is
what Quart's router finds, rule and arguments alike, and `tests/unit/web/test_routes.py` compares both.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from quart import Response
from quart.routing import QuartRule

Handler = Callable[..., Awaitable[Response]]
Found = tuple[QuartRule, Handler, dict[str, Any]]

_RULE = re.compile(r"/v2/<path:name>/(?P<kind>[a-z/]+)/(?:<(?P<variable>[a-z_]+)>)?")
_PATH = re.compile(
    r"/v2/(?P<name>[a-z0-9][a-z0-9._/-]*)/(?P<kind>manifests|referrers|blobs(?:/uploads)?)/(?P<last>[\w.:+=-]*)",
    re.ASCII,
)


class RepositoryRoutes:
    """Finds the handlers of rules such as `/v2/<path:name>/blobs/<digest>`."""

    def __init__(self, rules: Iterable[tuple[QuartRule, Handler]]) -> None:
        """Take those of the rules that have this form."""
        self._routes: dict[tuple[str, str, bool], tuple[QuartRule, Handler, str]] = {}
        for rule, handler in rules:
            if (form := _RULE.fullmatch(rule.rule)) is not None:
                variable = form["variable"] or ""
                for method in rule.methods or ():
                    self._routes[method, form["kind"], bool(variable)] = rule, handler, variable

    def find(self, method: str, path: str) -> Found | None:
        """Return the rule, its handler and the arguments for it; `None`: ask Quart."""
        if (parts := _PATH.fullmatch(path)) is None:
            return None
        name, kind, last = parts.groups()
        if (route := self._routes.get((method, kind, bool(last)))) is None:
            return None
        rule, handler, variable = route
        return rule, handler, {"name": name, variable: last} if last else {"name": name}
