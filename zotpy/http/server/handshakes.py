"""What the log says about clients with which TLS could not begin.

Such a client made no request, so the log has no other line about it. There is one line a minute at most for each of a
few reasons, and it has the number of handshakes that failed. So a scan for open ports does not fill the log.
"""

import ssl
from dataclasses import dataclass

import structlog
import trio

QUIET_S = 60.0
"""How long nothing more is logged about a reason."""
LATE = "the client did not end the handshake in time"
LEFT = "the client closed the connection: perhaps it refuses our certificate, as some do without a word"
NO_TLS = "the request came without TLS: use https:// in the address"
OTHER = "the client sent no handshake that can be read"
REFUSED = "the client showed a certificate that is not good"
UNTRUSTED = "the client refuses our certificate: let it trust the authority, and use a name in the certificate"
VERSION = "the client has no version or cipher of TLS in common with us"
_PLAIN_HTTP = "HTTP_REQUEST"
"""OpenSSL's reason if a handshake begins with the method of a request: GET, HEAD, POST or PUT."""
_REASONS = {
    _PLAIN_HTTP: NO_TLS,
    "UNEXPECTED_EOF_WHILE_READING": LEFT,
    "CERTIFICATE_VERIFY_FAILED": REFUSED,
    "UNSUPPORTED_PROTOCOL": VERSION,
    "NO_SHARED_CIPHER": VERSION,
    "NO_SUITABLE_SIGNATURE_ALGORITHM": VERSION,
    "NO_SUITABLE_GROUPS": VERSION,
}
_ENDS = (ssl.SSLZeroReturnError, ssl.SSLEOFError, ssl.SSLSyscallError)
_VERSION_ALERTS = ("PROTOCOL_VERSION", "HANDSHAKE_FAILURE", "INSUFFICIENT_SECURITY")

log = structlog.get_logger()


def is_plain_http(error: BaseException | None) -> bool:
    """Whether a handshake failed because the client speaks HTTP without TLS."""
    return isinstance(error, ssl.SSLError) and error.reason == _PLAIN_HTTP


@dataclass(slots=True)
class _Told:
    """When a reason was last logged, and how often it was met since."""

    at: float
    times: int = 0


class FailedHandshakes:
    """Those of one process."""

    def __init__(self) -> None:
        """Begin with none."""
        self._told: dict[str, _Told] = {}

    def note(self, error: BaseException | None, peer: str) -> None:
        """Count one, and log it unless its reason was logged within `QUIET_S`.

        `error` is why it failed, `None`: it took too long. `peer` is the address at the other end.
        """
        reason, detail = why(error)
        now = trio.current_time()
        told = self._told.get(reason)
        if told is None:
            told = self._told[reason] = _Told(now - QUIET_S)
        told.times += 1
        if now - told.at >= QUIET_S:
            log.warning("tls_handshake_failed", reason=reason, detail=detail, peer=peer, times=told.times)
            told.at, told.times = now, 0


def why(error: BaseException | None) -> tuple[str, str]:
    """Return one of few reasons, and what OpenSSL or the system says."""
    if error is None:
        return LATE, ""
    if isinstance(error, ssl.SSLCertVerificationError):
        return REFUSED, error.verify_message
    if not isinstance(error, ssl.SSLError) or isinstance(error, _ENDS):
        return LEFT, str(error)
    name = error.reason or ""
    _, is_alert, alert = name.partition("ALERT_")
    if is_alert:
        return (VERSION if alert in _VERSION_ALERTS else UNTRUSTED if _is_of_certificate(alert) else OTHER), name
    return _REASONS.get(name, OTHER), name


def _is_of_certificate(alert: str) -> bool:
    return "CERTIFICATE" in alert or alert == "UNKNOWN_CA"
