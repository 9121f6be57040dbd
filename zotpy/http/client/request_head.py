"""The head of a request as bytes (RFC 9112, sections 3 and 5)."""

from collections.abc import Mapping


def request_head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """Write a request line, the headers, and the empty line.

    Raises `ValueError` if a value has a line's end or any other character that cannot stand in a header.
    """
    lines = "\r\n".join([f"{method} {target} HTTP/1.1", *map(": ".join, headers.items())])
    head = f"{lines}\r\n\r\n"
    ends = len(headers) + 2
    if head.count("\n") != ends or head.count("\r") != ends or "\0" in head:
        msg = "a header has a character that cannot stand there"
        raise ValueError(msg)
    return head.encode("ascii")
