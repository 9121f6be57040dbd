"""How long to wait before a request is repeated, and how many requests may begin in a second."""

import email.utils
import re
from datetime import UTC, datetime

import trio

from zotpy.settings.upstream import UpstreamSettings

LONGEST_RETRY_AFTER_S = 24 * 3600.0
"""What an upstream asks for beyond this counts as this."""


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Read `Retry-After` (RFC 9110, section 10.2.3): seconds, 0 to `LONGEST_RETRY_AFTER_S`, or `None`."""
    text = (header or "").strip()
    if re.fullmatch(r"[0-9]{1,15}", text):
        return min(float(text), LONGEST_RETRY_AFTER_S)
    try:
        date = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    wait_s = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
    return min(max(wait_s, 0.0), LONGEST_RETRY_AFTER_S)


def wait_before_retry_s(settings: UpstreamSettings, retries: int, asked_s: float | None) -> float | None:
    """Return how long to wait after `retries` repetitions, or `None`: give up.

    `asked_s` is what the upstream asks for.
    """
    longest_s = settings.longest_retry_delay_s
    if retries >= settings.retries or (asked_s or 0.0) > longest_s:
        return None
    return max(asked_s or 0.0, min(settings.retry_delay_s * 2.0 ** min(retries, 30), longest_s))


def remaining(header: str | None) -> int | None:
    """Read how many requests are left, from Docker Hub's `ratelimit-remaining: 76;w=21600`."""
    found = re.match(r"\s*([0-9]{1,9})(?![0-9])", header or "")
    return None if found is None else int(found[1])


class Pace:
    """Lets requests begin one after another, at most so many in a second."""

    def __init__(self, per_second: float | None) -> None:
        self._interval_s = 1.0 / per_second if per_second else 0.0
        self._next_at = float("-inf")

    async def turn(self) -> None:
        """Wait until one more may begin."""
        now = trio.current_time()
        at = max(now, self._next_at)
        self._next_at = at + self._interval_s
        await trio.sleep_until(at)
