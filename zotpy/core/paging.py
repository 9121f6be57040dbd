"""Paging of lists: `n`, `last` and the Link header (OCI distribution spec, end-8b and end-12; RFC 8288)."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from zotpy.core.errors import RegistryError

MAX_PAGE = 1000


class PageInvalid(RegistryError):
    """`n` is not a number of items."""

    code = "PAGINATION_NUMBER_INVALID"


def parse_page_size(text: str | None) -> int | None:
    """Return `n` (0 and more), or `None` without one. Raises `PageInvalid`."""
    if text is None or text == "":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > len("9999999999"):
        msg = f"n={text[:20]!r} is not a number of items"
        raise PageInvalid(msg)
    return int(text)


def next_link(path: str, query: Mapping[str, str | int | None]) -> str:
    """Write the Link header that leads to the next page; parameters that are `None` are left out."""
    parameters = {name: value for name, value in query.items() if value is not None}
    return f'<{quote(path)}?{urlencode(parameters)}>; rel="next"'
