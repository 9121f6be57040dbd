"""A primary: the upstream of a region of its own, asked with a caller's own credentials what the caller may read.

Nothing of an answer is remembered, and nothing else is done with the credentials: what is fetched from the primary is
fetched with the login of the mirror.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import quote

import structlog
import trio

from zotpy.settings.mirror import MirroredRegistry
from zotpy.settings.upstream import UpstreamSettings
from zotpy.upstream.errors import UpstreamError
from zotpy.upstream.single_requests import Sender, open_sender
from zotpy.upstream.waiting import retry_after_s

PING = "/v2/"
TIMEOUT_S = 10.0
AT_ONCE = 64
"""How many questions one process asks at the same time."""
LONGEST_REFUSAL_BYTES = 16 * 1024
MOST_CHALLENGES, LONGEST_CHALLENGE = 8, 4096
"""Further challenges, and longer ones, are not handed on."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PrimaryAnswer:
    """What the primary says to a request."""

    status: int
    challenges: Sequence[str] = ()
    """How a caller can log in at the primary: header lines."""
    retry_after_s: float | None = None


@dataclass(slots=True)
class Primary:
    """The primary of a replica."""

    registry: MirroredRegistry
    _sender: Sender | None = None
    _opened: trio.Event = field(default_factory=trio.Event)
    _places: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(AT_ONCE))

    async def run(self) -> None:
        """Keep connections open until cancelled. Raises `ValueError` for certificates that cannot be read."""
        (url,) = self.registry.urls
        async with open_sender(
            UpstreamSettings(url, certificates=self.registry.cert_dir, head_timeout_s=TIMEOUT_S)
        ) as sender:
            self._sender = sender
            self._opened.set()
            try:
                await trio.sleep_forever()
            finally:
                self._sender = None

    async def ask(self, path: str, authorization: str | None) -> PrimaryAnswer | None:
        """Make the request of a caller there, as HEAD, and follow no redirection. `None`: it does not answer."""
        with trio.move_on_after(TIMEOUT_S):
            await self._opened.wait()
        if (sender := self._sender) is None:
            return None
        headers = {} if authorization is None else {"Authorization": authorization}
        method = "GET" if path == PING else "HEAD"
        try:
            async with self._places:
                answer = await sender.send_there(method, quote(path, safe="/:@"), headers)
                await sender.body(answer, LONGEST_REFUSAL_BYTES)
        except UpstreamError as error:
            log.warning("primary_unavailable", reason=str(error))
            return None
        listed = answer.headers.get_list("www-authenticate") if answer.status_code == HTTPStatus.UNAUTHORIZED else []
        return PrimaryAnswer(
            answer.status_code,
            [line for line in listed[:MOST_CHALLENGES] if len(line) <= LONGEST_CHALLENGE and _can_be_sent(line)],
            retry_after_s(answer.headers.get("retry-after"), datetime.now(UTC)),
        )


def _can_be_sent(line: str) -> bool:
    return line.isascii() and line.isprintable()
