"""Blobs as real clients push and pull them (OCI distribution spec: end-2, end-3, end-4 to end-6)."""

import hashlib
from collections.abc import Callable
from contextlib import closing
from typing import Literal
from urllib.parse import urljoin, urlsplit

from bench.clients.connection import Answer, Connection, Refused
from bench.clients.content import Content
from bench.clients.endpoint import endpoint_of

Flow = Literal["docker", "length", "containerd", "chunked"]
"""POST, PATCH in chunked transfer coding, PUT; the same with Content-Length; POST, PUT with the whole body; POST, a
PATCH for each 4 MiB with its Content-Range, PUT."""
EMPTY = {"Content-Length": "0"}
OCTETS = {"Content-Type": "application/octet-stream"}
OK, CREATED, ACCEPTED, NOT_FOUND = 200, 201, 202, 404
REDIRECTS = {301, 302, 303, 307, 308}


def expect(status: int, answer: Answer, what: str) -> Answer:
    """Return the answer, which must have this status. Raises `Refused`."""
    if answer.status != status:
        msg = f"{what}: {answer.status} instead of {status}: {answer.body[:300].decode(errors='replace')}"
        raise Refused(msg)
    return answer


def push_blob(connection: Connection, repository: str, content: Content, flow: Flow) -> None:
    """Push one blob. Raises `Refused`."""
    begun = expect(ACCEPTED, connection.call("POST", f"/v2/{repository}/blobs/uploads/", EMPTY), "POST")
    location = _target(begun)
    with_length = {**OCTETS, "Content-Length": str(content.size_bytes)}
    if flow == "chunked":
        location = _push_chunks(connection, location, content)
        answer = connection.call("PUT", _with_digest(location, content), EMPTY)
    elif flow == "containerd":
        answer = connection.call("PUT", _with_digest(location, content), with_length, content.pieces())
    else:
        if flow == "docker":
            chunked = {**OCTETS, "Transfer-Encoding": "chunked"}
            patched = connection.call("PATCH", location, chunked, content.chunked_pieces())
        else:
            patched = connection.call("PATCH", location, with_length, content.pieces())
        location = _target(expect(ACCEPTED, patched, "PATCH"))
        answer = connection.call("PUT", _with_digest(location, content), EMPTY)
    expect(CREATED, answer, "PUT of a blob")


def _push_chunks(connection: Connection, location: str, content: Content) -> str:
    """Push the chunks one after another, and return where the upload ends."""
    offset = 0
    for buffers in content.pieces():
        length = sum(map(len, buffers))
        headers = {**OCTETS, "Content-Range": f"{offset}-{offset + length - 1}", "Content-Length": str(length)}
        offset += length
        patched = connection.call("PATCH", location, headers, [buffers])
        location = _target(expect(ACCEPTED, patched, "PATCH of a chunk"))
    return location


def check_version(connection: Connection) -> None:
    """Ask whether a registry is there (end-1). Raises `Refused`."""
    expect(OK, connection.call("GET", "/v2/"), "GET of /v2/")


def has_blob(connection: Connection, repository: str, content: Content) -> bool:
    """Ask whether a blob is there. Raises `Refused`."""
    answer = connection.call("HEAD", _blob(repository, content))
    return answer.status != NOT_FOUND and expect(OK, answer, "HEAD of a blob").status == OK


def blob_is_there(connection: Connection, repository: str, content: Content) -> None:
    """Ask for a blob that must be there. Raises `Refused`."""
    expect(OK, connection.call("HEAD", _blob(repository, content)), "HEAD of a blob")


def blob_is_missing(connection: Connection, repository: str, content: Content) -> None:
    """Ask for a blob as clients do before they push it; it must not be there. Raises `Refused`."""
    expect(NOT_FOUND, connection.call("HEAD", _blob(repository, content)), "HEAD of a blob")


def pull_blob(connection: Connection, repository: str, content: Content) -> None:
    """Pull one blob and drop its bytes as they come; their count is checked. Raises `Refused`."""
    _pull(connection, repository, content, lambda _: None)


def verify_blob(connection: Connection, repository: str, content: Content) -> None:
    """Pull one blob and compare its digest. Raises `Refused`."""
    hasher = hashlib.sha256()
    _pull(connection, repository, content, hasher.update)
    if f"sha256:{hasher.hexdigest()}" != content.digest:
        msg = f"the blob {content.digest} came back with the digest {hasher.hexdigest()}"
        raise Refused(msg)


def _pull(connection: Connection, repository: str, content: Content, take: Callable[[memoryview], object]) -> None:
    answer = connection.call("GET", _blob(repository, content), take=take)
    if answer.status in REDIRECTS:
        answer = _follow(connection, answer.headers["location"], take)
    expect(OK, answer, "GET of a blob")
    if answer.headers.get("content-length") != str(content.size_bytes):
        msg = f"a blob of {content.size_bytes} bytes came with Content-Length {answer.headers.get('content-length')}"
        raise Refused(msg)


def _follow(connection: Connection, location: str, take: Callable[[memoryview], object]) -> Answer:
    """Get a blob from where the registry keeps it; credentials are not for there."""
    url = urlsplit(urljoin(connection.endpoint.url, location))
    target = f"{url.path}?{url.query}" if url.query else url.path
    with closing(connection.beside(endpoint_of(url.geturl(), tls=connection.endpoint.tls))) as other:
        return other.call("GET", target, take=take)


def _blob(repository: str, content: Content) -> str:
    return f"/v2/{repository}/blobs/{content.digest}"


def _target(answer: Answer) -> str:
    """Return where an upload goes on, as a target on the same connection."""
    url = urlsplit(answer.headers["location"])
    return f"{url.path}?{url.query}" if url.query else url.path


def _with_digest(target: str, content: Content) -> str:
    return f"{target}{'&' if '?' in target else '?'}digest={content.digest}"
