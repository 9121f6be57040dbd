"""Answers to reads of content that never changes: all of it, one range, or several (RFC 9110, section 14)."""

import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from zotpy.core.byteranges import ByteRanges, PartCutter, content_range
from zotpy.core.digests import Digest
from zotpy.core.ranges import Span, parse_read_ranges
from zotpy.http.server.answer_bodies import StreamedBody
from zotpy.http.server.bounded_request import BoundedRequest
from zotpy.http.server.response import Response
from zotpy.registry.blobs import open_inline
from zotpy.web.answers import Answer

Opener = Callable[[Span], AbstractAsyncContextManager[AsyncIterator[bytes]]]


INERT = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}
"""For content that a browser could take for a page, such as a manifest that was pushed as `text/html`.

A script in it would act with the login of whom the browser shows it to.
"""


@dataclass(frozen=True, slots=True)
class Content:
    """What is read."""

    digest: Digest
    size_bytes: int
    media_type: str
    warning: str = ""
    """The value of the header `Warning`; empty: there is nothing to warn of."""

    @property
    def headers(self) -> dict[str, str]:
        """What every answer says of it."""
        told = {"Docker-Content-Digest": str(self.digest), "ETag": f'"{self.digest}"', "Accept-Ranges": "bytes"}
        if self.warning:
            told["Warning"] = self.warning
        return told if self.media_type.startswith("application/") else told | INERT

    def ranges(self, request: BoundedRequest, most: int) -> tuple[Span, ...] | None:
        """Return what a GET asks for, or `None` for all. Raises `RangeInvalid`, `TooManyRanges`.

        HEAD has no ranges (RFC 9110, section 14.2). Ranges do not count if If-Range says that the client has a part of
        other content (section 13.1.5).
        """
        if_range = request.headers.get("If-Range")
        if request.method != "GET" or (if_range is not None and if_range.strip() != f'"{self.digest}"'):
            return None
        return parse_read_ranges(request.headers.get("Range"), self.size_bytes, most)


def answer_content(content: Content, spans: tuple[Span, ...] | None, source: Opener | bytes | None) -> Response:
    """Answer with these bytes of the content, which is in memory or is streamed.

    Without a source answer with the headers alone, as to HEAD.
    """
    status, headers, media_type = 200, content.headers, content.media_type
    span, form = Span(0, content.size_bytes), None
    if spans is not None:
        status = 206
        if len(spans) > 1:
            form = ByteRanges(spans, content.size_bytes, media_type, secrets.token_hex(16))
            media_type = form.content_type
        else:
            (span,) = spans
            headers["Content-Range"] = content_range(span, content.size_bytes)
    headers["Content-Length"] = str(span.length if form is None else form.length)
    return Answer(_body(source, span, form), status, headers, media_type)


def _body(source: Opener | bytes | None, span: Span, form: ByteRanges | None) -> StreamedBody | bytes:
    if source is None:
        return b""
    if form is None:
        return source[span.start : span.end] if isinstance(source, bytes) else StreamedBody(source(span))
    return StreamedBody(PartsReader(form, partial(open_inline, source) if isinstance(source, bytes) else source))


class PartsReader:
    """Reads several spans one after another. Each read is entered and left in the task that sends."""

    def __init__(self, form: ByteRanges, open_span: Opener) -> None:
        self._form = form
        self._open_span = open_span
        self._reads = form.reads()
        self._ready: deque[bytes] = deque()
        self._reading = AsyncExitStack()
        self._pieces: AsyncIterator[bytes] | None = None
        self._cutter: PartCutter
        self._has_ended = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._reading.__aexit__(kind, error, traceback)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._ready:
            if self._has_ended:
                raise StopAsyncIteration
            await self._go_on()
        return self._ready.popleft()

    async def _go_on(self) -> None:
        """Receive the next piece, begin the next read, or end."""
        if self._pieces is not None:
            async for piece in self._pieces:
                self._ready.extend(self._cutter.cut(piece))
                return
            self._pieces = None
            await self._reading.aclose()
        elif (spans := next(self._reads, None)) is not None:
            self._cutter = PartCutter(self._form, spans)
            whole = Span(spans[0].start, spans[-1].end)
            self._pieces = await self._reading.enter_async_context(self._open_span(whole))
        else:
            self._has_ended = True
            self._ready.append(self._form.end)
