"""Requests made from a number: the same number gives the same request, on every machine."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.fuzz.bodies import body
from tests.fuzz.words import HEADERS, HOSTS, METHODS, ODD, ODD_METHODS, UPLOAD, target

LONGEST_HEAD = 30_000
"""A longer head may be refused before all of it was read."""
CHUNKED = "Transfer-Encoding: chunked"
FOREIGN = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    b"\r\n\r\n\r\n",
    b"GET /v2/\r\n",
    b"GET /v2/ HTTP/1.1",
    b"GET /v2/ HTTP/9.9\r\nHost: a\r\n\r\n",
    b"GET  /v2/  HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /v2/ HTTP/1.1\r\nHost: a\r\n folded: yes\r\n\r\n",
    b"GET /v2/ HTTP/1.1\r\nHost: a\0b\r\nX: \x01\r\n\r\n",
    b"GET /v2/ HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /v2/ HTTP/1.1\nHost: a\n\n",
    b"\0" * 500,
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
)


@dataclass(frozen=True)
class Fuzzed:
    """One request as it goes over the wire."""

    method: str
    wire: bytes
    """With `UPLOAD` where an upload's location is to stand."""
    pieces: int
    """How many pieces it is sent in."""
    is_whole: bool
    """It ends as its head says, so that there must be an answer."""

    @property
    def needs_upload(self) -> bool:
        """Whether an upload has to be begun for it."""
        return UPLOAD.encode() in self.wire


def request(seed: str, number: int) -> Fuzzed:
    """Make one request."""
    rng = random.Random(f"{seed}/{number}")
    if rng.random() < 0.03:
        return Fuzzed("GET", rng.choice(FOREIGN), rng.choice((1, 5)), is_whole=False)
    method = rng.choice(METHODS) if rng.random() < 0.95 else rng.choice(ODD_METHODS)
    where = _printable(target(rng, method)) or "/"
    version = rng.choice(("1.0", "1.1")) if rng.random() < 0.1 else "1.1"
    content = body(rng) if method in {"PUT", "POST", "PATCH"} or rng.random() < 0.1 else b""
    framing, framed, is_whole = _framed(rng, content, version)
    lines = [f"{method} {where} HTTP/{version}", *_headers(rng), *framing]
    head = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
    wire = head + framed
    if rng.random() < 0.03:
        return Fuzzed(method, _mutated(rng, wire), 1, is_whole=False)
    is_whole = is_whole and len(head) < LONGEST_HEAD
    return Fuzzed(method, wire, rng.choice((1, 1, 1, 2, 7)), is_whole)


def _printable(where: str) -> str:
    """Leave out of a target what would end it."""
    return "".join(character for character in where if "!" <= character <= "~")


def _headers(rng: random.Random) -> list[str]:
    lines = [f"Host: {rng.choice(HOSTS) if rng.random() < 0.1 else 'localhost'}"]
    if rng.random() < 0.5:
        lines.append(f"Content-Type: {rng.choice(HEADERS['Content-Type'])}")
    for name in rng.sample(list(HEADERS), rng.choice((0, 1, 1, 2, 4))):
        value = rng.choice(HEADERS[name]) if rng.random() < 0.9 else rng.choice(ODD)
        lines += [f"{name}: {value}"] * rng.choice((1, 1, 1, 1, 2))
    return lines


def _framed(rng: random.Random, content: bytes, version: str) -> tuple[list[str], bytes, bool]:
    """Return the headers that frame a body, the body as it is sent, and whether that is all that they promise."""
    if not content and rng.random() < 0.5:
        return [], b"", True
    kind = rng.random()
    if kind < 0.7 or version == "1.0":
        return [f"Content-Length: {len(content)}"], content, True
    if kind < 0.8:
        return [CHUNKED], _chunked(rng, content) + b"0\r\n\r\n", True
    header, sent = rng.choice((_cut_chunks, _odd_chunks, _cut_length, _odd_length, _odd_coding))(rng, content)
    return header, sent, False


def _cut_chunks(rng: random.Random, content: bytes) -> tuple[list[str], bytes]:
    return [CHUNKED], _chunked(rng, content)


def _odd_chunks(rng: random.Random, content: bytes) -> tuple[list[str], bytes]:
    extended = b"5;" + b"x" * 500 + b"\r\nabcde\r\n0\r\nX: y\r\n\r\n"
    odd = rng.choice((b"zz\r\n", b"-1\r\n", b"fffffffffffffffff\r\n", b"\r\n", extended))
    return [CHUNKED], rng.choice((b"", _chunked(rng, content))) + odd


def _cut_length(rng: random.Random, content: bytes) -> tuple[list[str], bytes]:
    return [f"Content-Length: {len(content) + rng.choice((1, 1000, 10**12))}"], content


def _odd_length(rng: random.Random, content: bytes) -> tuple[list[str], bytes]:
    return [f"Content-Length: {rng.choice(('-1', '+3', 'x', '', '3, 3', '3, 4', '9' * 25, '0x3'))}"], content


def _odd_coding(rng: random.Random, content: bytes) -> tuple[list[str], bytes]:
    coding = rng.choice(("gzip", "gzip, chunked", "chunked, chunked", "identity", "x", ""))
    both = [CHUNKED, f"Content-Length: {len(content)}"]
    return rng.choice(([f"Transfer-Encoding: {coding}"], both)), _chunked(rng, content) + b"0\r\n\r\n"


def _chunked(rng: random.Random, content: bytes) -> bytes:
    if not content:
        return b""
    size = max(rng.choice((1, 100, 10_000, len(content))), len(content) // 1000)
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def _mutated(rng: random.Random, wire: bytes) -> bytes:
    """Change a few bytes, or leave out or repeat a piece."""
    changed = bytearray(wire)
    for _ in range(rng.choice((1, 3, 20))):
        position = rng.randrange(len(changed))
        changed[position] = rng.randrange(256)
    first, last = sorted(rng.randrange(len(changed) + 1) for _ in range(2))
    return bytes(rng.choice((changed, changed[:first] + changed[last:], changed[:last] + changed[first:])))
