"""The table of endpoints, and how a request finds its row.

A row says which action its endpoint needs, so no endpoint can be added without saying who may use it.

One regular expression finds the endpoints of a repository, and the others are found by their whole path. Quart's router
would cost more CPU time than everything else that a HEAD of a blob does here. `tests/unit/web/test_routes.py` compares
the table with it.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from zotpy.auth.actions import Action
from zotpy.http.server.response import Response
from zotpy.web.call import Call
from zotpy.web.errors import API, Area, EndpointUnknown, MethodNotAllowed

Handler = Callable[[Call], Awaitable[Response]]

_RULE = re.compile(r"/v2/<path:name>/(?P<kind>[a-z/]+)/(?:<[a-z_]+>|(?P<end>[a-z]*))")


@dataclass(frozen=True, slots=True)
class Route:
    """A row: one method of one endpoint. A GET answers HEAD, too."""

    method: str
    rule: str
    """The path, such as `/v2/<path:name>/blobs/<digest>`. The metrics call the endpoint by it."""
    handler: Handler
    needs: Action | None
    """What the caller must be allowed to do, in the repository if the path names one. `None`: every caller may ask.

    If a permission depends on more than the path, such as the source of a mount, the handler asks `Call.permission`.
    """
    area: Area = API
    """How its failures are answered."""


Rows = dict[str, Route]
"""The rows of one endpoint, by method."""


class RouteTable:
    """Finds the row of a request, and reads the variables in its path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Take the rows. Raises `ValueError` if two rows answer the same request, or if a rule has an unknown form."""
        self.routes = tuple(routes)
        self._whole: dict[str, Rows] = {}
        self._in_repository: dict[tuple[str, str | None], Rows] = {}
        """By what is between the name and the last slash, and what is behind it; `None`: anything."""
        for route in self.routes:
            self._add(route)
        for (kind, end), rows in self._in_repository.items():
            if end:  # a GET of `blobs/uploads` asks for a blob of that name, while a POST begins an upload
                for method, route in self._in_repository.get((kind, None), {}).items():
                    rows.setdefault(method, route)
        kinds = "|".join(sorted({kind for kind, _ in self._in_repository}))
        self._pattern = re.compile(rf"/v2/([^/].*)/({kinds})/([^/]*)")

    def find(self, method: str, path: str) -> tuple[Route, str | None, str]:
        """Return the row, the name of the repository, and the last variable of the path. Both are not checked yet.

        If the rule has none, the name is `None` and the variable empty. Raises `EndpointUnknown`, `MethodNotAllowed`.
        """
        name, last = None, ""
        if (rows := self._whole.get(path)) is None and (parts := self._pattern.fullmatch(path)) is not None:
            name, kind, last = parts.groups()
            rows = self._in_repository.get((kind, last)) or (self._in_repository.get((kind, None)) if last else None)
        if rows is None:
            raise EndpointUnknown
        if (route := rows.get(method)) is None:
            raise MethodNotAllowed(rows)
        return route, name, last if route.rule.endswith(">") else ""

    def _add(self, route: Route) -> None:
        """Put a row where its requests are looked up: clients write paths with and without a last slash."""
        if "<" not in route.rule:
            for path in {route.rule, route.rule.rstrip("/"), f"{route.rule}/"}:
                _put(self._whole.setdefault(path, {}), route)
            return
        if (form := _RULE.fullmatch(route.rule)) is None:
            msg = f"{route.rule}: a rule with variables is /v2/<path:name>/words/last"
            raise ValueError(msg)
        kind, end = form.groups()
        places = [(kind, end)]
        if end == "" and "/" in kind:
            above, _, word = kind.rpartition("/")
            places.append((above, word))
        for place in places:
            _put(self._in_repository.setdefault(place, {}), route)


def _put(rows: Rows, route: Route) -> None:
    for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
        if method in rows:
            msg = f"{method} {route.rule}: another row answers this request, that of {rows[method].rule}"
            raise ValueError(msg)
        rows[method] = route
