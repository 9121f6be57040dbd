"""The errors of requests to an upstream. Each class says whose fault it is, and so what the caller may do."""

from zotpy.core.digests import Digest

MOST_TEXT = 300
"""How many characters of an upstream's own words are repeated."""


class UpstreamError(Exception):
    """The upstream did not give what was asked for."""


class NotAtUpstream(UpstreamError):
    """The upstream does not have what was asked for (404)."""


class UpstreamRefused(NotAtUpstream):
    """The upstream refuses to give it to us (400 to 499). A mirror treats it as if it did not exist."""


class LoginRefused(UpstreamRefused):
    """The upstream, or its token service, does not accept our login for this, or none at all (401, 403)."""


class NotSigned(NotAtUpstream):
    """The upstream has it without a signature, and only signed images are wanted."""

    def __init__(self, message: str, digest: Digest | None = None) -> None:
        super().__init__(message)
        self.digest = digest
        """What has no signature."""


class UpstreamUnavailable(UpstreamError):
    """The upstream does not answer now (429, 5xx, no connection, too slow). Another request may succeed later."""

    def __init__(self, message: str, *, retry_after_s: float | None = None, is_of_one: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        """How many seconds the upstream asks us to wait; `None`: it does not say."""
        self.is_of_one = is_of_one
        """Whether the upstream answers, so that the failure may be that of this request alone."""


class UpstreamBroken(UpstreamError):
    """The upstream's answer is not what the specification asks for, such as bytes that have another digest."""


class RangeRefused(UpstreamBroken):
    """The upstream says that its blob is too short for the range that was asked for (416)."""


def words_of(text: str) -> str:
    """Return an upstream's own words, so that they can be part of a line of text."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text[:MOST_TEXT]).split())
