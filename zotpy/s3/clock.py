"""The time with which requests are signed: this machine's, corrected by the store's if the store refuses it.

S3 accepts signatures of the last fifteen minutes. The correction serves the signature alone. What must be younger than
something else is measured by the store's own times, see `zotpy.store.interface`.
"""

from datetime import UTC, datetime, timedelta

import structlog

from zotpy.s3.wire.responses import ResponseError, parse_time
from zotpy.s3.wire.retry import SKEWED_CODES, Failure

TOLERATED = timedelta(minutes=4)
"""No store refuses a signature for a smaller difference, so the refusal then has another reason."""
LARGEST = timedelta(days=100 * 365)
"""A machine without a clock begins in 1970. A larger difference than that is not a time at all."""
_STEP = timedelta(seconds=2)

log = structlog.get_logger()


class SigningClock:
    """This machine's clock, corrected."""

    def __init__(self) -> None:
        self.ahead = timedelta()
        """How far the store's clock is ahead of this machine's."""

    def now(self) -> datetime:
        """Return the time to sign with, aware, in UTC."""
        return datetime.now(UTC) + self.ahead

    def correct(self, failure: Failure, date: str, signed_ahead: timedelta) -> bool:
        """Read the store's time from the Date of a refusal. Say whether the old time may have been the reason.

        `signed_ahead` is what `ahead` was when the request was signed: another request may have corrected it since.
        """
        if not failure.is_refused_signature:
            return False
        if signed_ahead != self.ahead:
            return True
        try:
            ahead = parse_time(date) - datetime.now(UTC)
        except ResponseError:
            return False
        tolerated = _STEP if failure.code in SKEWED_CODES else TOLERATED
        if abs(ahead - self.ahead) < tolerated or abs(ahead) > LARGEST:
            return False
        if abs(ahead) <= _STEP:  # this machine's clock was wrong, and has been set
            self.ahead = timedelta()
            log.info("clock_is_the_stores_again")
            return True
        self.ahead = ahead
        log.warning("clock_differs_from_the_stores", store_is_ahead_s=round(ahead.total_seconds()))
        return True
