"""One upstream host: requests that log in, are bounded in number, and are repeated."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import TypeVar

import httpx
import trio

from zotpy.upstream.challenge import read_challenges
from zotpy.upstream.errors import LoginRefused, UpstreamError, UpstreamUnavailable
from zotpy.upstream.login import Credentials, Logins, fixed
from zotpy.upstream.single_requests import Sender, leads_nowhere, origin_of
from zotpy.upstream.statuses import LONGEST_REFUSAL_BYTES, error_of, reason_of
from zotpy.upstream.waiting import remaining, retry_after_s, wait_before_retry_s

LONGEST_TOKEN_ANSWER_BYTES = 64 * 1024
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """A request to the upstream."""

    target: str
    """Path and query."""
    repo: str = ""
    """The repository whose content it is, as the upstream names it; empty: it belongs to none."""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    shows_login: bool = False
    """Whether the login is sent before the upstream asks for it: the answer depends on who asks."""

    @property
    def scope(self) -> str:
        """The scope that a token for it needs, if the upstream does not name one."""
        return f"repository:{self.repo}:pull" if self.repo else "registry:catalog:*"


class UpstreamHost:
    """A client of one host."""

    def __init__(self, sender: Sender, credentials: Credentials | None = None, logins: Logins | None = None) -> None:
        """Ask nobody yet.

        `logins` are those of another client of the same host. `None`: this client logs in by itself.
        """
        self.settings = sender.settings
        self.ratelimit_remaining: int | None = None
        """How many more requests the upstream answers, as it last said (`ratelimit-remaining`); `None`: it never
        said."""
        self._sender = sender
        self._places = trio.Semaphore(sender.settings.requests_in_flight)
        self._logins = logins or Logins(credentials or fixed(sender.settings), self._ask_for_token)

    def with_own_places(self) -> "UpstreamHost":
        """Return a client of the same host, with the same connections and logins, and places of its own."""
        return UpstreamHost(self._sender, logins=self._logins)

    @asynccontextmanager
    async def place(self, *, waits: bool = True) -> AsyncIterator[None]:
        """Hold one of the places for requests that run at the same time.

        Without `waits`, raises `trio.WouldBlock` if all are taken.
        """
        if waits:
            await self._places.acquire()
        else:
            self._places.acquire_nowait()
        try:
            yield
        finally:
            self._places.release()

    async def read(self, request: Request, most_bytes: int) -> tuple[httpx.Response, bytes]:
        """Return an answer and its body, repeated as the settings say. Raises `UpstreamError`."""
        async with self.place():
            return await self.repeated(partial(self._read_once, request, most_bytes))

    async def repeated(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call until the upstream answers. Raises `UpstreamError`."""
        retries = 0
        while True:
            try:
                return await call()
            except UpstreamUnavailable as error:
                await self.wait_after(error, retries)
            retries += 1

    async def wait_after(self, error: UpstreamUnavailable, retries: int) -> None:
        """Wait before a repetition, after `retries` of them. Raises the error if there have been enough."""
        wait_s = wait_before_retry_s(self.settings, retries, error.retry_after_s)
        if wait_s is None:
            raise error
        await trio.sleep(wait_s)

    async def _read_once(self, request: Request, most_bytes: int) -> tuple[httpx.Response, bytes]:
        answer = await self.open(request)
        return answer, await self._sender.body(answer, most_bytes)

    async def open(self, request: Request) -> httpx.Response:
        """Return an answer with status 200 or 206, whose body is not read: its caller closes it.

        If the login is refused, and there is a newer one, the request is sent once more. Raises `UpstreamError`.
        """
        renewals = self._logins.renewals
        try:
            return await self._open(request)
        except LoginRefused:
            if not await self._logins.renew(renewals):
                raise
        return await self._open(request)

    async def _open(self, request: Request) -> httpx.Response:
        follow = partial(self._sender.follow, request.method, request.target, request.headers)
        sent = await self._logins.header(request.repo, is_asked=not request.shows_login)
        answer, is_own = await follow(sent)
        if answer.status_code == HTTPStatus.UNAUTHORIZED and is_own:
            refused = await self._refusal(answer)
            challenges = read_challenges(answer.headers.get_list("www-authenticate"))
            better = await self._logins.answer(request.repo, request.scope, challenges, sent)
            if better is None:
                raise refused
            answer, is_own = await follow(better)
        left = remaining(answer.headers.get("ratelimit-remaining"))
        self.ratelimit_remaining = self.ratelimit_remaining if left is None else left
        if answer.status_code in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            return answer
        raise await self._refusal(answer, got_login=is_own)

    async def _refusal(self, answer: httpx.Response, *, got_login: bool = True) -> UpstreamError:
        """Return the error for an answer of any other status, and close it."""
        reason = ""
        with suppress(UpstreamError):  # the status says enough
            reason = reason_of(await self._sender.body(answer, LONGEST_REFUSAL_BYTES))
        asked_s = retry_after_s(answer.headers.get("retry-after"), datetime.now(UTC))
        where = f"{origin_of(answer.url)}{answer.url.path}"
        return error_of(answer.status_code, where, reason, asked_s, got_login=got_login)

    async def _ask_for_token(self, realm: str, parameters: Mapping[str, str], authorization: str | None) -> bytes:
        """See `zotpy.upstream.login.Ask`."""
        here = httpx.URL(self.settings.url)
        there = await self._sender.checked(here, realm)
        try:
            url = there.copy_merge_params(dict(parameters))
        except (httpx.InvalidURL, ValueError) as error:  # together they are longer than any URL
            raise leads_nowhere(origin_of(here)) from error
        answer = await self._sender.send("GET", url, {} if authorization is None else {"Authorization": authorization})
        if answer.status_code != HTTPStatus.OK:
            raise await self._refusal(answer)
        return await self._sender.body(answer, LONGEST_TOKEN_ANSWER_BYTES)
