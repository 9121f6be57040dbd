"""Lists that come in pages: where the next page is (RFC 8288; distribution spec, *Listing Tags*)."""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urljoin, urlsplit

from zotpy.core.json_objects import read_object
from zotpy.upstream.errors import UpstreamBroken, words_of

MOST_BYTES = 8 * 1024
"""A longer header is not read."""
MOST_SIGNS = 100_000
"""How many `{`, `[` and `,` a list of descriptors may have: `json.loads` holds up all other requests until it is
done."""
_LINK = re.compile(
    r"\s*+<([^<>]{0,4096}+)>((?:\s*+;\s*+[^\s;,=\"]++(?:\s*+=\s*+(?:\"[^\"]*+\"|[^\s;,\"]*+))?+)*+)\s*+(?:,|\Z)"
)
"""The expression never goes back to try another way: otherwise a header of 100 bytes could take years."""
_NEXT = re.compile(r";\s*rel\s*=\s*(?:\"(?:[^\"]*\s)?next(?:\s[^\"]*)?\"|next)\s*(?:;|\Z)", re.IGNORECASE)


def next_page(here: str, lines: Sequence[str]) -> str | None:
    """Return path and query of the page after the one at `here`, or `None`: this is the last one.

    The page is always at the same host, whatever host the header names, because registries behind proxies often do not
    know their own name. Raises `UpstreamBroken` if it cannot be read.
    """
    for line in lines:
        position = 0 if len(line) <= MOST_BYTES else len(line)
        while (found := _LINK.match(line, position)) is not None and found.end() > position:
            position = found.end()
            if _NEXT.search(found[2]):
                target = _target(here, found[1])
                return target if target.startswith("/") and target != here else None
    return None


def _target(here: str, link: str) -> str:
    """Return path and query of a link. Raises `UpstreamBroken`."""
    try:
        parts = urlsplit(urljoin(here, link))
    except ValueError:
        parts = None
    if parts is None or not (parts.path + parts.query).isprintable():
        msg = f"the page after {words_of(here)} has a URL that cannot be read: {words_of(link)!r}"
        raise UpstreamBroken(msg)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def media_type_of(header: str | None) -> str:
    """Return a Content-Type without its parameters; empty if there is none."""
    return (header or "").partition(";")[0].strip()


def read_answer(content: bytes, what: str) -> dict[str, Any]:
    """Read a JSON object. Raises `UpstreamBroken`."""
    try:
        return read_object(content)
    except ValueError as error:
        msg = f"{what} {error}"
        raise UpstreamBroken(msg) from error


def read_names(content: bytes, field: str, what: str) -> list[str]:
    """Read the names of one page. Raises `UpstreamBroken`."""
    names = read_answer(content, what).get(field) or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        msg = f"{what} has no list of {field}"
        raise UpstreamBroken(msg)
    return names


def read_descriptors(content: bytes, what: str) -> list[dict[str, Any]]:
    """Read the descriptors of an index, without the entries that are no descriptors. Raises `UpstreamBroken`."""
    if sum(map(content.count, (b"{", b"[", b","))) > MOST_SIGNS:
        msg = f"{what} has more values than are read"
        raise UpstreamBroken(msg)
    listed = read_answer(content, what).get("manifests") or []
    if not isinstance(listed, list):
        msg = f"{what} has no list of manifests"
        raise UpstreamBroken(msg)
    return [each for each in listed if isinstance(each, dict) and isinstance(each.get("digest"), str)]
