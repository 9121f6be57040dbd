"""Lists that an upstream gives page by page.

A caller may stop iterating anywhere, so this module has no async generators.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Self

import trio

from zotpy.core.units import MIB
from zotpy.upstream.errors import UpstreamBroken
from zotpy.upstream.host import Request, UpstreamHost
from zotpy.upstream.pages import media_type_of, next_page, read_names

LONGEST_PAGE_BYTES = 8 * MIB
"""How long a page may be: some registries send all names on one."""
MOST_PAGES = 10_000
MOST_TAGS = 1_000_000
"""How many tags of one repository are read: a copy of it holds them all."""
LONGEST_TAGS_BYTES = 64 * MIB
"""How long all pages of tags of one repository may be together."""


class Pages:
    """The pages of one list."""

    def __init__(self, host: UpstreamHost, first: Request) -> None:
        """Ask nobody yet."""
        self._host = host
        self._request: Request | None = first
        self._read = 0

    async def next(self) -> tuple[str, bytes] | None:
        """Return media type and content of the next page, or `None` after the last. Raises `UpstreamError`."""
        request = self._request
        if request is None:
            return None
        if self._read == MOST_PAGES:
            msg = f"{self._host.settings.url} has more than {MOST_PAGES} pages of one list"
            raise UpstreamBroken(msg)
        answer, content = await self._host.read(request, LONGEST_PAGE_BYTES)
        self._read += 1
        target = next_page(request.target, answer.headers.get_list("link"))
        self._request = None if target is None else replace(request, target=target)
        return media_type_of(answer.headers.get("content-type")), content


class TagRoom:
    """What is left of the bounds of one list of tags."""

    def __init__(self, what: str) -> None:
        """Take `what` as the name of the list in an error."""
        self._what = what
        self._tags, self._bytes = MOST_TAGS, LONGEST_TAGS_BYTES

    def take(self, names: int, size_bytes: int) -> None:
        """Take note of a page. Raises `UpstreamBroken` if it is too much."""
        self._tags -= names
        self._bytes -= size_bytes
        if self._tags < 0 or self._bytes < 0:
            msg = f"{self._what} is longer than {MOST_TAGS} tags or {LONGEST_TAGS_BYTES // MIB} MiB: it is not read"
            raise UpstreamBroken(msg)


class Names:
    """Names, one after another. A page that ends with the same name as the one before ends the list."""

    def __init__(
        self,
        host: UpstreamHost,
        first: Request,
        field: str,
        convert: Callable[[str], str | None] = lambda name: name,
        room: TagRoom | None = None,
    ) -> None:
        """Ask nobody yet. `field` has the names in each page. `convert` returns `None` for a name to leave out.

        Without `room` only the number of pages is bounded.
        """
        self._pages = Pages(host, first)
        self._field = field
        self._what = f"a list of {host.settings.url}"
        self._convert = convert
        self._room = room
        self._waiting = deque[str]()
        self._last = ""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while True:
            while self._waiting:
                if (name := self._convert(self._waiting.popleft())) is not None:
                    return name
            page = await self._pages.next()
            if page is None:
                raise StopAsyncIteration
            names = await trio.to_thread.run_sync(partial(read_names, page[1], self._field, self._what))
            if names and names[-1] == self._last:
                raise StopAsyncIteration
            if self._room is not None:
                self._room.take(len(names), len(page[1]))
            self._last = names[-1] if names else self._last
            self._waiting.extend(names)
