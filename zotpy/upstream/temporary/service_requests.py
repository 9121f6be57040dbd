"""Single requests to services that give logins: bounded in time and length, and never redirected."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import trio

from zotpy.upstream.errors import UpstreamError, UpstreamUnavailable, words_of
from zotpy.upstream.login import LONGEST_LIFE_S, LONGEST_TOKEN
from zotpy.upstream.pages import read_answer
from zotpy.upstream.single_requests import as_unavailable, origin_of

LONGEST_ANSWER_BYTES = 64 * 1024
TIMEOUT_S = 30.0
HERE = frozenset({"localhost", "127.0.0.1", "::1"})
_METADATA = frozenset({"169.254.169.254", "fd00:ec2::254"})
"""Where virtual machines of AWS and Azure learn who they are."""
_TOKEN = re.compile(r"[!-~]+")
_NAME, _VALUE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"), re.compile(r"[!-~]([\t -~]*[!-~])?")


@dataclass(frozen=True, slots=True)
class ServiceAnswer:
    """What a service answered."""

    status: int
    headers: httpx.Headers
    body: bytes


async def ask(
    method: str, url: str, headers: Mapping[str, str], body: bytes = b"", *, proxied: bool = True
) -> ServiceAnswer:
    """Send a request, and read the answer whole. Raises `UpstreamUnavailable` if none comes.

    `proxied`: as the proxies in the environment say.
    """
    verify = await trio.to_thread.run_sync(httpx.create_ssl_context)
    where = httpx.URL(url)
    async with httpx.AsyncClient(verify=verify, trust_env=proxied, timeout=TIMEOUT_S) as client:
        with as_unavailable(where), trio.fail_after(TIMEOUT_S):
            request = client.build_request(method, where, headers={"User-Agent": "zotpy", **headers}, content=body)
            answer = await client.send(request, stream=True, follow_redirects=False)
            content = await _whole(answer)
    return ServiceAnswer(answer.status_code, answer.headers, content)


def url_of(text: str) -> httpx.URL:
    """Parse a URL that a file of credentials names. An empty one stands for a text that is none."""
    try:
        return httpx.URL(text if urlsplit(text).port != 0 else "")  # which refuses ports above 65535, as httpx does not
    except (httpx.InvalidURL, ValueError):
        return httpx.URL()


async def text_at(method: str, url: str, headers: object, file: Path) -> str:
    """Return the text at a URL that a file of credentials names, without spaces around it.

    The file may name the headers, too: an object.

    Without TLS it is read only at this machine, or at a cloud's metadata service. No proxy is between those and us.
    Raises `UpstreamUnavailable`, without any of the text of a good answer.
    """
    parts = url_of(url)
    is_near = parts.host in HERE | _METADATA
    if not parts.host or not (parts.scheme == "https" or (parts.scheme == "http" and is_near)):
        msg = f"{file} names {words_of(url)!r}: a token is read at https, at this machine, or at a metadata service"
        raise UpstreamUnavailable(msg)
    if not isinstance(headers, Mapping) or not all(
        isinstance(value, str) and _NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, value in headers.items()
    ):
        msg = f"{file} names headers that cannot be sent"
        raise UpstreamUnavailable(msg)
    answer = await ask(method, url, headers, proxied=not is_near)
    where = origin_of(parts)
    if answer.status != HTTPStatus.OK:
        raise _refused(answer, where)
    try:
        if text := answer.body.decode().strip():
            return text
    except UnicodeDecodeError:
        pass
    msg = f"{where} answers without a text"
    raise UpstreamUnavailable(msg)


async def _whole(answer: httpx.Response) -> bytes:
    """Read a body to its end, and close the answer. Raises `UpstreamUnavailable` if it is too long."""
    content, pieces = bytearray(), answer.aiter_raw()
    try:
        while (piece := await anext(pieces, None)) is not None:
            content += piece
            if len(content) > LONGEST_ANSWER_BYTES:
                msg = f"{origin_of(answer.url)} answers with more than {LONGEST_ANSWER_BYTES} bytes"
                raise UpstreamUnavailable(msg)
        return bytes(content)
    finally:
        await answer.aclose()
        with suppress(httpx.HTTPError, httpx.StreamError):  # httpx closes none of its generators by itself
            while await anext(pieces, None) is not None:
                pass


def document_of(answer: ServiceAnswer, service: str) -> Mapping[str, Any]:
    """Return the object that a service answered with status 200. Raises `UpstreamUnavailable` for another answer."""
    if answer.status != HTTPStatus.OK:
        raise _refused(answer, service)
    try:
        return read_answer(answer.body, f"the answer of {service}")
    except UpstreamError as error:
        raise UpstreamUnavailable(str(error)) from error


def _refused(answer: ServiceAnswer, service: str) -> UpstreamUnavailable:
    said = words_of(answer.body.decode("utf-8", "replace"))
    return UpstreamUnavailable(f"{service} answers with status {answer.status}" + (f": {said}" if said else ""))


def token_of(document: Mapping[str, Any], field: str, service: str) -> str:
    """Return a token that can be sent. Raises `UpstreamUnavailable`."""
    token = document.get(field)
    if isinstance(token, str) and len(token) <= LONGEST_TOKEN and _TOKEN.fullmatch(token):
        return token
    msg = f"{service} answers without {field}, or with one that cannot be sent"
    raise UpstreamUnavailable(msg)


def life_of(seconds: object, usual_s: float) -> float:
    """Return how long a token lasts, as its service says in seconds; otherwise `usual_s`. At most `LONGEST_LIFE_S`."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        return usual_s
    return float(min(seconds, LONGEST_LIFE_S))


def now() -> datetime:
    """Return the time of this machine."""
    return datetime.now(UTC)
