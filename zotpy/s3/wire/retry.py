"""Whether to send a request again, and when: a pure decision."""

from dataclasses import dataclass, field

from zotpy.core.quick import quickly_made

RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
RETRIED_CODES = frozenset({
    "ConditionalRequestConflict",
    "ExistingObjectIsDirectory",
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "SlowDown",
})  # fmt: skip
AMBIGUOUS_CODES = frozenset({"ExistingObjectIsDirectory"})
"""versitygw answers so to a PUT into a directory whose last object is deleted at that moment.

It may have written it.
"""
DAMAGE_CODES = frozenset({"BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"})
STALE_KEY_CODES = frozenset({
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidSecurity",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
})  # fmt: skip
"""Keys that have ended or were rotated: newer ones may exist."""
SKEWED_CODES = frozenset({"RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed"})
VAGUE_CODES = frozenset({"InvalidRequest"})
"""What Garage answers to a signature that is too old, among other reasons."""
_REFUSED_SIGNATURE = frozenset({400, 401, 403})
UNSENT_CODES = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError"})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and how far apart; times in seconds."""

    attempts: int = 6
    first_delay_s: float = 0.1
    longest_delay_s: float = 5.0


@quickly_made
@dataclass(frozen=True, slots=True)
class Failure:
    """One attempt that failed. `status` is `None` if no answer came; `code` then names the transport's error."""

    status: int | None = None
    code: str = ""
    retry_after_s: float | None = None
    reason: str = field(default="", compare=False)
    """What the system said, for a person."""

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status is None or self.status in RETRIED_STATUSES or self.code in RETRIED_CODES

    @property
    def is_damage(self) -> bool:
        """Whether the store received other bytes than were sent."""
        return self.code in DAMAGE_CODES

    @property
    def is_refused_signature(self) -> bool:
        """Whether the store may have refused because of the time of the signature."""
        return self.code in SKEWED_CODES or (self.status in _REFUSED_SIGNATURE and self.code in VAGUE_CODES)

    @property
    def is_refused_keys(self) -> bool:
        """Whether other keys may help."""
        return self.code in STALE_KEY_CODES

    @property
    def asks_to_slow_down(self) -> bool:
        """Whether the store said that it gets too many requests at once."""
        return self.status in {429, 503} or self.code == "SlowDown"

    @property
    def is_ambiguous(self) -> bool:
        """Whether the store may have done what was asked all the same."""
        if self.status is None:
            return self.code not in UNSENT_CODES
        return self.status >= 500 or self.code in AMBIGUOUS_CODES  # noqa: PLR2004 - server errors


def delay_before_retry(
    policy: RetryPolicy, attempt: int, failure: Failure, random: float, *, resend_damaged: bool = False
) -> float | None:
    """Return the seconds to wait before the next attempt, or `None` to give up.

    `attempt` counts from 1. `random` is in [0, 1): the delay has full jitter, so that replicas do not return together.
    `resend_damaged`: the buffer still has the right bytes if the store says that it received others.
    """
    if not (failure.may_pass or (resend_damaged and failure.is_damage)) or attempt >= policy.attempts:
        return None
    ceiling: float = min(policy.longest_delay_s, policy.first_delay_s * 2.0 ** (attempt - 1))
    delay = ceiling * random
    if failure.retry_after_s is not None:
        delay = max(delay, min(failure.retry_after_s, policy.longest_delay_s))
    return delay
