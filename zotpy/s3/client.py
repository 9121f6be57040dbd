"""One S3 request with all its attempts: signed, timed, retried from the buffer.

A call has a deadline over all attempts. Within an attempt no silence lasts longer than the read timeout. A call returns
only what the store answered with success; everything else is an `S3Error`.
"""

import random
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from urllib.parse import urlsplit

import trio

from zotpy.http.client.outgoing import Outgoing
from zotpy.http.client.time_limits import AttemptTime
from zotpy.http.client.transport_errors import ReadTimeout, TransportError
from zotpy.http.silences import Silences
from zotpy.s3.checksums import CRC32C_HEADER, MD5_HEADER, checksum_of, sha256_of
from zotpy.s3.clock import SigningClock
from zotpy.s3.config import S3Config
from zotpy.s3.credentials import credentials_of
from zotpy.s3.errors import AmbiguousRefusal
from zotpy.s3.failures import failure_of, no_answer, read_whole, refused_or_unavailable, unavailable
from zotpy.s3.messages import Answer, Request
from zotpy.s3.pacing import Pacer
from zotpy.s3.transport import Response, S3Transport, Transport
from zotpy.s3.wire import signing
from zotpy.s3.wire.error_answers import says_missing
from zotpy.s3.wire.retry import Failure, delay_before_retry

HASHED_BODY_BYTES = 64 * 1024
"""Bodies up to this length are signed. For longer ones the store checks the checksum."""
_NO_FAILURE = Failure()

__all__ = ["AmbiguousRefusal", "Answer", "Request", "S3Client", "open_client"]


class S3Client:
    """Calls to one bucket."""

    def __init__(self, config: S3Config, transport: Transport) -> None:
        """Use `transport`, which the caller closes."""
        self.config = config
        self._transport = transport
        self.pacer = Pacer(config.max_connections)
        self.clock = SigningClock()
        self._silences = Silences()
        self._credentials = credentials_of(config)
        self._checksum_header = CRC32C_HEADER if config.checksums else MD5_HEADER
        url = urlsplit(config.bucket_url)
        self._host = url.netloc
        self._base = url.path
        self._public = urlsplit(config.public_bucket_url)

    @property
    def sends_crcs(self) -> bool:
        """Whether bodies have a CRC-32C for the store to check; otherwise they have an MD5."""
        return self._checksum_header == CRC32C_HEADER

    def send_md5_instead(self) -> None:
        """Send MD5s from now on: the store knows no other checksum."""
        self._checksum_header = MD5_HEADER

    async def call(self, request: Request) -> Answer:
        """Make a call and read its answer whole. Raises `S3Refused`, `S3Unavailable`."""
        checksum = await checksum_of(request.body, self._checksum_header) if request.checksum else ""
        ambiguous = is_cured = False
        attempt, last, now = 0, _NO_FAILURE, trio.current_time()
        until = now + self.config.deadline_s
        while now < until:
            attempt += 1
            time = AttemptTime(self._silences, self.config.read_timeout_s, now, until)
            try:
                keys, ahead = self._credentials.at_hand or await self._later_keys(time), self.clock.ahead
                exchange = self._exchange if len(request.body) <= HASHED_BODY_BYTES else self._exchange_in_turn
                response, body = await exchange(request, checksum, keys, time)
                is_missing = request.may_miss and says_missing(response.status, body)
                failure = None if is_missing else failure_of(request, response, body)
                if failure is None:
                    self.pacer.succeeded()
                    crc = checksum if self.sends_crcs else ""
                    return Answer(response.status, response.headers, body, crc, ambiguous)
                last = failure
                if not is_cured and (failure.is_refused_keys or failure.is_refused_signature):
                    with time.no_answer_due():
                        is_cured = await self._cure(failure, response, keys, ahead)
                    if is_cured:
                        now = trio.current_time()
                        continue
            except TransportError as error:
                if isinstance(error, ReadTimeout) and time.is_over:
                    break
                last = no_answer(error)
            delay = self._delay(request, attempt, last)
            if delay is None:
                raise refused_or_unavailable(request, last, self.config.bucket, ambiguous=ambiguous)
            ambiguous = ambiguous or last.is_ambiguous
            await trio.sleep_until(min(until, trio.current_time() + delay))
            now = trio.current_time()
        raise unavailable(request, last, f"no success within {self.config.deadline_s:g} s")

    def _delay(self, request: Request, attempt: int, failure: Failure) -> float | None:
        """Return how many seconds to wait before the next attempt, or `None` to give up."""
        if failure.asks_to_slow_down:
            self.pacer.slowed_down()
        jitter = random.random()  # noqa: S311 - no secret
        return delay_before_retry(self.config.retry, attempt, failure, jitter, resend_damaged=request.checksum)

    async def _later_keys(self, time: AttemptTime) -> signing.Keys:
        with time.no_answer_due():
            return await self._credentials()

    async def _exchange(
        self, request: Request, checksum: str, keys: signing.Keys, time: AttemptTime
    ) -> tuple[Response, bytes]:
        """Send once and read the answer."""
        response = await self._send(request, checksum, keys, time)
        try:
            return response, await read_whole(request, response)
        finally:
            await response.aclose()

    async def _exchange_in_turn(
        self, request: Request, checksum: str, keys: signing.Keys, time: AttemptTime
    ) -> tuple[Response, bytes]:
        """Do the same for a large body, which waits for its turn."""
        with time.no_answer_due():
            async with self.pacer.slot():
                return await self._exchange(request, checksum, keys, time)

    async def _cure(self, failure: Failure, response: Response, keys: signing.Keys, ahead: timedelta) -> bool:
        """Get new keys or the store's time after a refusal that names one of them.

        Say whether to send the request again.
        """
        if self.clock.correct(failure, response.headers.get("date", ""), ahead):
            return True
        return failure.is_refused_keys and await self._credentials.renew(keys)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[Response]:
        """Make one attempt of a read and leave its body to the caller.

        Raises `S3Refused`, or `S3Unavailable` for trouble that may pass.
        """
        async with AsyncExitStack() as stack:
            failure = None
            keys, ahead = await self._credentials(), self.clock.ahead
            try:
                response = await self._send(request, "", keys)
                stack.push_async_callback(response.aclose)
                if not response.is_success:
                    failure = failure_of(request, response, await read_whole(request, response))
            except TransportError as error:
                raise unavailable(request, no_answer(error), "no answer") from error
            if failure is not None:
                if failure.asks_to_slow_down:
                    self.pacer.slowed_down()
                if await self._cure(failure, response, keys, ahead):
                    raise unavailable(request, failure, "it refused the keys or the time, and these have been renewed")
                raise refused_or_unavailable(request, failure, self.config.bucket, ambiguous=False)
            yield response

    def presign_get(self, key: str, keys: signing.Keys, expires_s: int, query: signing.Query) -> str:
        """Return a URL, by the public endpoint, that reads an object without credentials.

        It lasts no longer than `keys`: after their end the service refuses what they signed.
        """
        now = self.clock.now()
        if keys.expires is not None:
            expires_s = min(expires_s, max(1, int((keys.expires - now).total_seconds())))
        url = self._public
        path = signing.quote_path(f"{url.path}/{key}")
        signed = signing.presign(keys, self.config.region, now, url.netloc, path, query, expires_s)
        return f"{url.scheme}://{url.netloc}{path}?{signed}"

    async def keys(self) -> signing.Keys:
        """Return the keys that sign now."""
        return await self._credentials()

    def _path(self, key: str | None) -> str:
        return signing.quote_path(f"{self._base}/{key or ''}") if key is not None or not self._base else self._base

    def _send(
        self, request: Request, checksum: str, keys: signing.Keys, time: AttemptTime | None = None
    ) -> Awaitable[Response]:
        """Sign a request, and send it. Without a `time` its answer is streamed."""
        path = self._path(request.key)
        payload = signing.UNSIGNED
        headers = {"host": self._host, **(request.headers or {})}
        if len(request.body) <= HASHED_BODY_BYTES:
            payload = sha256_of(request.body)
        if checksum:
            headers[self._checksum_header] = checksum
        now = self.clock.now()
        signed = signing.sign(keys, self.config.region, now, request.method, path, request.query, headers, payload)
        if request.body or request.method in {"PUT", "POST"}:
            signed["content-length"] = str(len(request.body))
        target = f"{path}?{signing.encode_query(request.query)}" if request.query else path
        return self._transport.send(Outgoing(request.method, target, signed, request.body, time), streamed=time is None)


@asynccontextmanager
async def open_client(config: S3Config) -> AsyncIterator[S3Client]:
    """Open a client with its own pool. Raises `S3Error` if the configuration or the environment is wrong."""
    async with S3Transport(config) as transport:
        yield S3Client(config, transport)
