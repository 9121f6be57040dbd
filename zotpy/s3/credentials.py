"""Keys for signing: those of the configuration, or the usual AWS chain.

The chain is botocore's: environment, shared files, web identity as in IRSA, container and instance metadata. botocore
is the reference for its order and its rules. It does blocking I/O, so it runs in a thread. Keys that expire are renewed
there while the old ones still sign.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import structlog
import trio

from zotpy.libraries import Library, Part, check
from zotpy.s3.config import S3Config
from zotpy.s3.errors import S3Unavailable
from zotpy.s3.wire.signing import Keys

REFRESH_AHEAD = timedelta(minutes=10)
"""How long before their end keys are renewed."""
CHECK_EVERY_S = 30.0
"""How often the chain is asked at most, whatever the store says about its keys."""
LONGEST_LIFE_S = 1 << 26
"""Two years. No temporary keys last longer than days."""

BOTOCORE = Library(
    "botocore",
    "1.44",
    (
        Part("botocore.session.Session.get_credentials", "self"),
        Part("botocore.credentials.Credentials.get_frozen_credentials", "self"),
        Part("botocore.credentials.RefreshableCredentials.get_frozen_credentials", "self"),
        Part("botocore.credentials.RefreshableCredentials.refresh_needed", "self refresh_in"),
    ),
)
"""All of it is public. Without `refresh_needed` keys that expire would look as if they never did."""

log = structlog.get_logger()


class Credentials(Protocol):
    """What gives the keys for the next request."""

    @property
    def at_hand(self) -> Keys | None:
        """Keys that are valid now, if that is known without a wait."""
        ...

    async def __call__(self) -> Keys:
        """Return keys that are valid now. Raises `S3Unavailable` if none are."""
        ...

    async def renew(self, refused: Keys) -> bool:
        """Look for other keys than those that the store refused. Say whether others were found."""
        ...


def credentials_of(config: S3Config) -> Credentials:
    """Return the source of keys for the next request."""
    if config.access_key is not None and config.secret_key is not None:
        return StaticKeys(Keys(config.access_key, config.secret_key, config.session_token))
    return AwsChain()


class StaticKeys:
    """The keys of the configuration. No others exist."""

    def __init__(self, keys: Keys) -> None:
        """Keep the keys."""
        self.at_hand = keys

    async def __call__(self) -> Keys:
        """See `Credentials`."""
        return self.at_hand

    async def renew(self, refused: Keys) -> bool:
        """See `Credentials`."""
        return refused != self.at_hand


def _botocore_session() -> Any:
    check(BOTOCORE)
    from botocore.session import Session  # noqa: PLC0415 - 30 MiB that static keys do not need

    return Session()


class AwsChain:
    """botocore's chain, asked from a thread."""

    def __init__(
        self,
        make_session: Callable[[], Any] = _botocore_session,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        remedy: str = "set accesskey and secretkey, or a source of the AWS chain",
    ) -> None:
        """Ask botocore's sessions. The first one is loaded at the first call. `remedy` says what to do without keys."""
        self._remedy = remedy
        self._make_session = make_session
        self._source: Any | None = None
        self._keys: Keys | None = None
        self._checked_at = -CHECK_EVERY_S
        self._refused_at = -CHECK_EVERY_S
        self._now = now
        self._lock = trio.Lock()

    @property
    def at_hand(self) -> Keys | None:
        """See `Credentials`."""
        return None if self._is_due() else self._keys

    async def __call__(self) -> Keys:
        """See `Credentials`."""
        if (keys := self.at_hand) is not None:
            return keys
        keys = self._keys
        if keys is not None and self._lock.statistics().locked and not self._has_expired():
            return keys  # another request renews them; these still sign
        async with self._lock:
            if self._keys is None or self._is_due():
                await self._renew()
            assert self._keys is not None  # noqa: S101 - _renew raises otherwise
            return self._keys

    async def renew(self, refused: Keys) -> bool:
        """See `Credentials`. Files are read anew, and services asked anew, without any cache."""
        async with self._lock:
            if self._keys != refused:
                return True
            if trio.current_time() - self._refused_at < CHECK_EVERY_S:
                return False
            self._refused_at = trio.current_time()
            self._source = None
            try:
                await self._renew()
            except S3Unavailable as error:
                log.warning("credentials_not_renewed", error=str(error))
            log.info("keys_were_refused", are_others_found=self._keys != refused)
            return self._keys != refused

    @property
    def _expires(self) -> datetime | None:
        return None if self._keys is None else self._keys.expires

    def _is_due(self) -> bool:
        if self._expires is None or self._now() < self._expires - REFRESH_AHEAD:
            return False
        return self._has_expired() or trio.current_time() - self._checked_at >= CHECK_EVERY_S

    def _has_expired(self) -> bool:
        return self._expires is not None and self._now() >= self._expires

    async def _renew(self) -> None:
        self._checked_at = trio.current_time()
        try:
            self._keys = await trio.to_thread.run_sync(self._ask, abandon_on_cancel=True)
        except Exception as error:
            if self._keys is not None and not self._has_expired():
                log.warning("credentials_not_renewed", error=repr(error))
                return
            msg = f"no AWS credentials: {error}"
            raise S3Unavailable(msg) from error

    def _ask(self) -> Keys:
        """Ask botocore, in a thread. It renews keys by itself when they are about to expire."""
        source = self._source or self._make_session().get_credentials()
        if source is None:
            msg = f"zotpy found no keys: {self._remedy}"
            raise LookupError(msg)
        self._source = source
        frozen = source.get_frozen_credentials()
        life_s = _life_s(source)
        expires = None if life_s is None else self._now() + timedelta(seconds=life_s)
        return Keys(frozen.access_key, frozen.secret_key, frozen.token, expires)


def _life_s(source: Any) -> int | None:
    """Find out in how many seconds keys end; `None`: never.

    botocore does not tell, but it says for any number of seconds whether the keys end within it.
    """
    if not hasattr(source, "refresh_needed") or not source.refresh_needed(LONGEST_LIFE_S):
        return None
    low, high = 0, LONGEST_LIFE_S
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if source.refresh_needed(middle) else (middle, high)
    return low
