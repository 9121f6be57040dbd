"""Keys for signing: those of the configuration, or the usual AWS chain.

The chain (environment, shared files, web identity as in IRSA, container and instance metadata) is botocore's, the
reference for its order and its rules. It does blocking I/O, so it runs in a thread; keys that expire are
renewed there while the old ones still sign.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
import trio

from zotpy.s3.config import S3Config
from zotpy.s3.errors import S3Unavailable
from zotpy.s3.wire.signing import Keys

REFRESH_AHEAD = timedelta(minutes=10)
"""So long before they expire, keys are renewed."""
CHECK_EVERY_S = 30.0
Credentials = Callable[[], Awaitable[Keys]]

log = structlog.get_logger()


def credentials_of(config: S3Config) -> Credentials:
    """Return what gives the keys for the next request."""
    if config.access_key is not None and config.secret_key is not None:
        keys = Keys(config.access_key, config.secret_key, config.session_token)

        async def static() -> Keys:
            return keys

        return static
    return AwsChain()


class AwsChain:
    """botocore's chain, asked from a thread."""

    def __init__(self, session: Any | None = None, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Use botocore's default session, loaded at the first call."""
        self._session = session
        self._source: Any | None = None
        self._keys: Keys | None = None
        self._expires: datetime | None = None
        self._checked_at = -CHECK_EVERY_S
        self._now = now
        self._lock = trio.Lock()

    async def __call__(self) -> Keys:
        """Return keys that are valid now. Raises `S3Unavailable` where the chain has none."""
        keys = self._keys
        if keys is not None and not self._is_due():
            return keys
        if keys is not None and self._lock.statistics().locked and not self._has_expired():
            return keys  # another request renews them; these still sign
        async with self._lock:
            if self._keys is None or self._is_due():
                await self._renew()
            assert self._keys is not None  # noqa: S101 - _renew raises otherwise
            return self._keys

    def _is_due(self) -> bool:
        if self._expires is None or self._now() < self._expires - REFRESH_AHEAD:
            return False
        return self._has_expired() or trio.current_time() - self._checked_at >= CHECK_EVERY_S

    def _has_expired(self) -> bool:
        return self._expires is not None and self._now() >= self._expires

    async def _renew(self) -> None:
        self._checked_at = trio.current_time()
        try:
            self._keys, self._expires = await trio.to_thread.run_sync(self._ask, abandon_on_cancel=True)
        except Exception as error:
            if self._keys is not None and not self._has_expired():
                log.warning("credentials_not_renewed", error=repr(error))
                return
            msg = f"no AWS credentials: {error}"
            raise S3Unavailable(msg) from error

    def _ask(self) -> tuple[Keys, datetime | None]:
        """Ask botocore, in a thread; it renews keys of itself when they are about to expire."""
        if self._source is None:
            if self._session is None:
                from botocore.session import Session  # noqa: PLC0415 - 30 MiB that static keys do not need

                self._session = Session()
            self._source = self._session.get_credentials()
        if self._source is None:
            msg = "set accesskey and secretkey, or any source of the AWS chain"
            raise LookupError(msg)
        frozen = self._source.get_frozen_credentials()
        expires = getattr(self._source, "_expiry_time", None)
        return Keys(frozen.access_key, frozen.secret_key, frozen.token, expires), expires
