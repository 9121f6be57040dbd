"""What a request to an upstream can fail with. Each says whose fault it is, and so what its caller may do."""

MOST_TEXT = 300
"""How many characters of an upstream's own words are repeated."""


class UpstreamError(Exception):
    """The upstream did not give what was asked for."""


class NotAtUpstream(UpstreamError):
    """The upstream does not have it (404)."""


class UpstreamRefused(NotAtUpstream):
    """The upstream does not give it to us (401, 403): for a mirror, the same as if it did not exist."""


class UpstreamUnavailable(UpstreamError):
    """The upstream does not answer now (429, 5xx, no connection, too slow). A later request may succeed."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        """After how many seconds the upstream asks to be asked again; `None`: it says nothing."""


class UpstreamBroken(UpstreamError):
    """The upstream's answer is not what the specification asks for, such as bytes that have another digest."""


def words_of(text: str) -> str:
    """Return an upstream's own words, so that they can be part of a line of text."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text[:MOST_TEXT]).split())
