"""The header fields of a request and the parameters of its query, as handlers ask for them."""

from collections.abc import Iterable, Mapping
from typing import Protocol, Self, overload


class Headers(Protocol):
    """What is asked of header fields; those of werkzeug answer it, too."""

    @overload
    def get(self, key: str) -> str | None: ...

    @overload
    def get(self, key: str, default: str) -> str: ...

    def getlist(self, key: str) -> list[str]:
        """Return all values of a name, in their order."""
        ...

    def __contains__(self, key: str) -> bool: ...


class Parameters:
    """The parameters of a query by name. A name may have several values."""

    __slots__ = ("_values",)

    def __init__(self, listed: Iterable[tuple[str, str]] = ()) -> None:
        """Take names and their values, in the order of the request."""
        self._values: dict[str, list[str]] = {}
        for name, value in listed:
            self._values.setdefault(name, []).append(value)

    @property
    def by_name(self) -> Mapping[str, list[str]]:
        """All names with their values."""
        return self._values

    @overload
    def get(self, key: str) -> str | None: ...

    @overload
    def get(self, key: str, default: str) -> str: ...

    def get(self, key: str, default: str | None = None) -> str | None:
        """Return the first value of a name."""
        found = self._values.get(key)
        return default if found is None else found[0]

    def getlist(self, key: str) -> list[str]:
        """Return all values of a name, in their order."""
        return list(self._values.get(key, ()))

    def __contains__(self, key: str) -> bool:
        return key in self._values


class Fields(Parameters):
    """Header fields by name, in any case. A name may have several values. They are given with names in lower case."""

    __slots__ = ()

    @classmethod
    def decode(cls, listed: Iterable[tuple[bytes, bytes]]) -> Self:
        """Read names in lower case and values as they came: bytes beyond ASCII are opaque (RFC 9110, section 5.5)."""
        return cls((name.decode("latin-1"), value.decode("latin-1")) for name, value in listed)

    @classmethod
    def of_lines(cls, listed: Iterable[tuple[str, str]]) -> Self:
        """Take names in any case and values with the blanks around them, as they are in the lines of a head."""
        fields = cls()
        values = fields._values
        for name, value in listed:
            values.setdefault(name.lower(), []).append(value.strip(" \t"))
        return fields

    @overload
    def get(self, key: str) -> str | None: ...

    @overload
    def get(self, key: str, default: str) -> str: ...

    def get(self, key: str, default: str | None = None) -> str | None:
        """Return the first value of a name."""
        found = self._values.get(key.lower())
        return default if found is None else found[0]

    def getlist(self, key: str) -> list[str]:
        """Return all values of a name, in their order."""
        return list(self._values.get(key.lower(), ()))

    def __contains__(self, key: str) -> bool:
        return key.lower() in self._values
