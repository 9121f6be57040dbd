"""The bytes of a range, over as many connections as it takes."""

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from http import HTTPStatus
from typing import NoReturn

import trio

from zotpy.http.client.transport_errors import TransportError
from zotpy.s3.client import Request, S3Client
from zotpy.s3.transport import Response
from zotpy.s3.wire.retry import Failure, delay_before_retry
from zotpy.store.interface import StoreRefused, StoreUnavailable
from zotpy.store.s3.error_table import store_errors


class RangeReader:
    """Iterates over the bytes `start` to `end`, without `end`, of an object that never changes.

    If the store breaks off, a new GetObject continues from the byte reached. The iterator ends cleanly only after all
    bytes.
    """

    def __init__(self, client: S3Client, stack: AsyncExitStack, key: str, start: int, end: int) -> None:
        """Keep the answer that is being read on `stack`, which the caller closes."""
        self._client = client
        self._stack = stack
        self._key = key
        self._at = start
        self._end = end
        self._etag: str | None = None
        self._failures = 0
        self._response: Response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._receive()
        if not chunk and self._at < self._end:
            with self._deadline():
                while not chunk:
                    await self._pause(f"broke off at byte {self._at}")
                    await self._connect()
                    chunk = await self._receive()
        if not chunk:
            raise StopAsyncIteration
        self._at += len(chunk)
        if self._at > self._end:
            self._refuse("more bytes than were asked for")
        self._failures = 0
        return chunk

    async def connect(self) -> None:
        """Begin. Raises `StoreError`, `KeyMissing` in particular."""
        with self._deadline():
            await self._connect()

    async def _connect(self) -> None:
        """Ask for the missing bytes until an answer comes."""
        while True:
            try:
                with store_errors():
                    return await self._connect_once()
            except StoreUnavailable as error:
                await self._pause(str(error))

    async def _connect_once(self) -> None:
        await self._stack.aclose()
        headers = {"range": f"bytes={self._at}-{self._end - 1}"}
        request = Request("GetObject", "GET", self._key, (), headers)
        response = await self._stack.enter_async_context(self._client.stream(request))
        self._check(response)
        self._response = response

    def _check(self, response: Response) -> None:
        """Check that these are the bytes asked for, of the same object as at the beginning. Raises `StoreRefused`."""
        length = response.headers.get("content-length", str(self._end - self._at))
        content_range = response.headers.get("content-range", f"bytes {self._at}-")
        partial = response.status == HTTPStatus.PARTIAL_CONTENT
        if not partial and self._at > 0:
            self._refuse("the whole object instead of a range")
        if length != str(self._end - self._at) or (partial and not content_range.startswith(f"bytes {self._at}-")):
            self._refuse(f"other bytes than {self._at} to {self._end}: {length} bytes, {content_range!r}")
        etag = response.headers.get("etag", "")
        if self._etag not in {None, etag}:
            self._refuse("another object than the one begun with")
        self._etag = etag

    async def _receive(self) -> bytes:
        """Return the next bytes, or none at the end of the answer, whether all came or not."""
        try:
            return await self._response.receive()  # type: ignore[return-value]  # a view of bytes, maybe
        except TransportError:
            return b""

    async def _pause(self, reason: str) -> None:
        """Wait before the next attempt. Raises `StoreUnavailable` after the last one that brought nothing."""
        self._failures += 1
        jitter = random.random()  # noqa: S311 - no secret
        delay = delay_before_retry(self._client.config.retry, self._failures, Failure(), jitter)
        if delay is None:
            self._give_up(reason)
        await trio.sleep(delay)

    @contextmanager
    def _deadline(self) -> Iterator[None]:
        limit_s = self._client.config.deadline_s
        with trio.move_on_after(limit_s) as scope:
            yield
        if scope.cancelled_caught:
            self._give_up(f"no bytes for {limit_s:g} s")

    def _give_up(self, reason: str) -> NoReturn:
        msg = f"GetObject {self._key}: {reason}"
        raise StoreUnavailable(msg)

    def _refuse(self, reason: str) -> NoReturn:
        msg = f"GetObject {self._key}: the store answered {reason}"
        raise StoreRefused(msg)
