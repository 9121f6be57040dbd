"""The settings of TLS and `http.auth.mtls`: which names of a certificate count, and the pattern that takes a part."""

import re
from collections.abc import Sequence

_KINDS = {
    "commonname": "commonname",
    "cn": "commonname",
    "subject": "subject",
    "dn": "subject",
    "email": "email",
    "rfc822name": "email",
    "uri": "uri",
    "url": "uri",
    "dnsname": "dnsname",
    "dns": "dnsname",
}
_HEADERS = {"client-cert": "Client-Cert", "x-forwarded-client-cert": "X-Forwarded-Client-Cert"}
MOST_REPEATS = 3
"""With more of them that know no bound, a name of some hundred characters could hold a replica for seconds."""
_LONGEST_PATTERN = 512
_SIGN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\?(?:P<\w+>|[a-zA-Z]*:|[=!]|<[=!]))?|\)|[*+?]|\{\d*,?\d*\}|.", re.DOTALL
)
_UNBOUND = re.compile(r"[*+]|\{\d*,\}")


def read_identity_attributes(value: object) -> tuple[str, ...]:
    """Read where the name is looked for: a list of zot's words, in a variable with commas between them."""
    listed = [word.strip(' []"') for word in value.split(",")] if isinstance(value, str) else value
    words = [str(each).lower() for each in listed] if isinstance(listed, Sequence) else []
    unknown = [word for word in words if word not in _KINDS]
    if not words or unknown:
        msg = "write a list of CommonName, Subject, Email, URI or DNSName"
        raise ValueError(msg)
    return tuple(_KINDS[word] for word in words)


def read_tls_version(value: object) -> str:
    """Read a version of TLS, such as `1.3` or `TLSv1.3`."""
    version = str(value).lower().removeprefix("tls").removeprefix("v").strip()
    if version not in {"1.2", "1.3"}:
        msg = f"write 1.2 or 1.3, not {value!r}"
        raise ValueError(msg)
    return version


def read_proxy_header(value: object) -> str:
    """Read the name of the header that has a certificate."""
    header = _HEADERS.get(str(value).lower())
    if header is None:
        msg = f"write {' or '.join(_HEADERS.values())}"
        raise ValueError(msg)
    return header


def read_uri_pattern(value: object) -> re.Pattern[str] | None:
    """Read an expression whose first group is the name. An empty one means none."""
    if value == "":
        return None
    if not isinstance(value, str) or len(value) > _LONGEST_PATTERN:
        msg = "write a regular expression such as ^spiffe://example.org/ns/([^/]+)$, in quotes"
        raise ValueError(msg)
    try:
        pattern = re.compile(value, re.ASCII)
    except (re.error, RecursionError, OverflowError) as error:
        msg = f"this is not a regular expression: {error}"
        raise ValueError(msg) from error
    if not pattern.groups:
        msg = "put the name into a group, such as ^spiffe://example.org/ns/([^/]+)$"
        raise ValueError(msg)
    _check_cost(value)
    return pattern


def _check_cost(text: str) -> None:
    """Raise `ValueError` if a text could keep the expression busy for long: by repeats of repeats, or by many."""
    repeats, depths = 0, [False]
    """Whether each open group has a repeat in it, the outermost first."""
    closed = False
    for sign in _SIGN.findall(text):
        if sign.startswith("("):
            depths.append(False)
        elif sign == ")":
            closed = depths.pop()
            depths[-1] = depths[-1] or closed
            continue
        elif sign in {"*", "+", "?"} or sign.startswith("{"):
            is_unbound = _UNBOUND.fullmatch(sign) is not None
            if closed and sign != "?":
                msg = "a group that is repeated has a repeat in it: write it without one of the two"
                raise ValueError(msg)
            if is_unbound:
                repeats += 1
                depths[-1] = True
        closed = False
    if repeats > MOST_REPEATS:
        msg = f"it has {repeats} repeats without a bound, and at most {MOST_REPEATS} are allowed: write it with fewer"
        raise ValueError(msg)
