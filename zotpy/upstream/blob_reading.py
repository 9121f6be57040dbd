"""A blob that is read from an upstream.

If the upstream breaks off, the read continues at the byte that it has reached.
"""

import re
from http import HTTPStatus

import httpx
import trio

from zotpy.core.units import KIB, MIB
from zotpy.upstream.answers import PieceIterator
from zotpy.upstream.bodies import Body
from zotpy.upstream.errors import UpstreamBroken, UpstreamUnavailable
from zotpy.upstream.host import Request, UpstreamHost
from zotpy.upstream.single_requests import as_unavailable

PACE_BYTES = 64 * KIB
"""How many bytes must come within `UpstreamSettings.stall_timeout_s`."""
PROGRESS_BYTES = 8 * MIB
"""After this many bytes without an interruption, earlier interruptions no longer count."""
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")


class BlobReader(PieceIterator):
    """See `zotpy.upstream.answers.BlobStream`. Each piece has at most 2 MiB."""

    def __init__(self, host: UpstreamHost, request: Request, start: int, end: int | None = None) -> None:
        """Ask nobody yet. Bytes from `start` to the one before `end` are wanted; `None`: all the rest."""
        super().__init__(None)
        self._host = host
        self._request = request
        self._position = start
        """The next byte to hand out."""
        self._end = end
        self._skip = 0
        """How many bytes of this answer come before that byte."""
        self._retries = 0
        self._body: Body | None = None
        self._waited_s, self._waited_for = 0.0, 0
        """How long the last bytes took to come, and how many they are: fewer than `PACE_BYTES`."""
        self._come = 0
        """How many bytes came since the last interruption."""

    async def __anext__(self) -> bytes:
        while True:
            try:
                piece = await self._next()
            except UpstreamUnavailable as error:
                await self.close()
                await self._host.wait_after(error, self._retries)
                self._retries += 1
                self._come = 0
                continue
            if piece is None:
                raise StopAsyncIteration
            if skipped := min(self._skip, len(piece)):
                self._skip -= skipped
                piece = piece[skipped:]
            if piece:
                self._position += len(piece)
                return piece

    async def open(self) -> None:
        """Send the request, repeated as the settings say. Raises `UpstreamError`."""
        await self._host.repeated(self._open)

    async def close(self) -> None:
        """Give up the answer that is being read."""
        body, self._body = self._body, None
        if body is not None:
            await body.close()

    async def _open(self) -> Body:
        is_whole = self._position == 0 and self._end is None
        last = "" if self._end is None else str(self._end - 1)
        headers = {} if is_whole else {"Range": f"bytes={self._position}-{last}"}
        request = Request(self._request.target, self._request.repo, headers)
        answer = await self._host.open(request)
        self._body = Body(answer)
        self._waited_s, self._waited_for = 0.0, 0
        begin, length = _placed(answer)
        is_elsewhere = begin > self._position or (self._end is not None and begin != self._position)
        if is_elsewhere or (self.length is not None and length not in {None, self.length}):
            await self.close()
            msg = f"{answer.url.host} sends another part of {self._request.target} than was asked for"
            raise UpstreamBroken(msg)
        self._skip = self._position - begin
        self.length = self.length if length is None else length
        return self._body

    async def _next(self) -> bytes | None:
        """Return the next bytes of the answer, or `None` at the end of the blob."""
        body = self._body or await self._open()
        piece = await self._receive(body)
        reached = self._position - self._skip + len(piece or b"")
        goal = self.length if self._end is None else self._end
        if goal is not None and reached > goal:
            msg = f"{body.answer.url.host} sends more of {self._request.target} than was asked for"
            raise UpstreamBroken(msg)
        if piece is None and goal is not None and reached < goal:
            msg = f"{body.answer.url.host} sends only a part of {self._request.target}"
            raise UpstreamUnavailable(msg)
        return piece

    async def _receive(self, body: Body) -> bytes | None:
        """Receive a piece. Raises `UpstreamUnavailable`, also if the upstream sends only a few bytes now and then."""
        begun = trio.current_time()
        with as_unavailable(body.answer.url), trio.fail_after(self._host.settings.stall_timeout_s - self._waited_s):
            piece = await body.next()
        self._waited_s += trio.current_time() - begun
        self._waited_for += len(piece or b"")
        if self._waited_for >= PACE_BYTES:
            self._waited_s, self._waited_for = 0.0, 0
        self._come += len(piece or b"")
        if self._come >= PROGRESS_BYTES:
            self._retries = 0
        return piece


def _placed(answer: httpx.Response) -> tuple[int, int | None]:
    """Return at which byte of the blob an answer begins, and the length of the whole blob. Raises `UpstreamBroken`."""
    if answer.status_code == HTTPStatus.OK:
        length = answer.headers.get("content-length", "")
        return 0, int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
    if found is None:
        msg = f"{answer.url.host} sends a part of a blob without saying which one"
        raise UpstreamBroken(msg)
    return int(found[1]), None if found[3] == "*" else int(found[3])
