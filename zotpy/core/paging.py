"""Paging of lists: `n`, `last` and the Link header (OCI distribution spec, end-8b and end-12; RFC 8288)."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from zotpy.core.errors import RegistryError

_LONGEST_NAME = 255
"""The longest name of a tag, a repository or a referrer's digest."""
_FIRST, _LAST = "!", "~"
"""The printable characters of ASCII, without the space: names in a list have no others."""


class PageInvalid(RegistryError):
    """`n` is not a number of items."""

    code = "PAGINATION_NUMBER_INVALID"


def parse_page_size(text: str | None) -> int | None:
    """Return `n` (0 or more), or `None` if there is none. Raises `PageInvalid`."""
    if text is None or text == "":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > len("9999999999"):
        msg = f"n={text[:20]!r} is not a number of items"
        raise PageInvalid(msg)
    return int(text)


def name_to_begin_after(text: str) -> str:
    """Return a name at the same place in a list as `last`, which can be sent to any store.

    `last` is any text that a client writes. The names of a list consist of printable ASCII characters and have a
    bounded length. So nothing after the first other character, or after that length, can matter.
    """
    for position, character in enumerate(text[:_LONGEST_NAME]):
        if character < _FIRST:
            return text[:position]
        if character > _LAST:
            return text[:position] + _LAST
    return text[:_LONGEST_NAME]


def next_link(path: str, query: Mapping[str, str | int | None]) -> str:
    """Write the Link header that leads to the next page. It leaves out parameters that are `None`."""
    parameters = {name: value for name, value in query.items() if value is not None}
    return f'<{quote(path)}?{urlencode(parameters)}>; rel="next"'
