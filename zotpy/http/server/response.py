"""An answer, as a handler makes it: its status, its headers, and its body.

Quart's own class looks for each header among those before it, and checks each of them. That costs as much as a call to
the system. Here `zotpy.http.server.answer_heads` checks all headers at once.
"""

from collections.abc import Iterator, Mapping, Sequence

from zotpy.http.server.answer_bodies import StreamedBody


class AnswerHeaders:
    """The headers of one answer, in their order. Names may come in any case, and more than once."""

    __slots__ = ("_listed",)

    def __init__(self, headers: Mapping[str, str]) -> None:
        """Begin with these."""
        self._listed = list(headers.items())

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._listed)

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a name."""
        wanted = name.lower()
        return next((value for key, value in self._listed if key.lower() == wanted), default)

    def __getitem__(self, name: str) -> str:
        if (value := self.get(name)) is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def add(self, name: str, value: str) -> None:
        """Add a header, whether or not there is one of this name."""
        self._listed.append((name, value))

    def __setitem__(self, name: str, value: str) -> None:
        self.setlist(name, (value,))

    def setlist(self, name: str, values: Sequence[str]) -> None:
        """Put headers with these values in place of all of this name."""
        dropped = name.lower()
        self._listed = [each for each in self._listed if each[0].lower() != dropped]
        self._listed += [(name, value) for value in values]


class Response:
    """An answer."""

    __slots__ = ("body", "headers", "status_code")

    def __init__(self, body: bytes | StreamedBody, status: int, headers: Mapping[str, str]) -> None:
        """Take all headers, with the length of the body."""
        self.body = body
        self.status_code = status
        self.headers = AnswerHeaders(headers)
