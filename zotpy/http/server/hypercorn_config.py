"""How the server of a replica is configured: hypercorn's settings, and ours."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hypercorn.config import Config

from zotpy.core.chains import accept_usual_chains
from zotpy.http.server.admission import Admission
from zotpy.http.server.answer_heads import AnswerHeads
from zotpy.http.server.certificate import Certificate
from zotpy.http.server.handshakes import FailedHandshakes
from zotpy.http.server.pauses import Pauses
from zotpy.http.silences import Silences
from zotpy.http.sockets import Shares, shared_bytes_of

if TYPE_CHECKING:
    from zotpy.http.server.sending import Application
KEEP_ALIVE_S = 75.0
"""How long a connection may be idle: longer than clients keep one, so that no request meets its end."""
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class ServerConfig(Config):
    """hypercorn's configuration, and ours."""

    send_stall_s: float = 60.0
    """How long a client may take to read the next 64 KiB of an answer."""
    read_bytes: Callable[[], int] = staticmethod(lambda: 64 * 1024)
    """Says how much to read from a client's socket at once: each read costs some turns through trio and hypercorn."""
    contested_bytes: Callable[[], int] = staticmethod(lambda: 0)
    """Says how much instead, while others wait for what an answer holds; 0: no request waits."""
    alpn_protocols = ["http/1.1"]  # noqa: RUF012 - as hypercorn has it
    keyfile_password = ""
    """A key that needs one is refused. Without this OpenSSL would ask at the terminal, and wait."""
    certificate: Certificate | None = None
    """What `use_certificate` loaded."""
    admission: Admission | None = None
    """Counts the connections. `serve` makes one if none is given."""
    head_timeout_s: float = 30.0
    """How long the head of a request may take from its first byte, and a TLS handshake as a whole."""

    def __init__(self) -> None:
        """Begin with hypercorn's defaults but one, and no body under way."""
        super().__init__()
        self.keep_alive_timeout = KEEP_ALIVE_S
        self._authorities: Path | None = None
        self._oldest = ssl.TLSVersion.TLSv1_2
        self.receiving, self.sending = Shares(), Shares()
        self.pauses, self.silences = Pauses(), Silences()
        self.failed_handshakes = FailedHandshakes()
        self.answer_heads = AnswerHeads(self)
        self.application: Application | None = None
        """What answers ordinary requests without hypercorn's tasks; `None`: nothing."""

    def share_bodies(self, budget_bytes: int) -> None:
        """Let the system hold an eighth of the memory budget, besides it, of bodies that come in."""
        shared_bytes = shared_bytes_of(budget_bytes)
        self.receiving, self.sending = Shares(shared_bytes), Shares(shared_bytes)

    def use_certificate(self, cert: Path, key: Path, authorities: Path | None = None, oldest: str = "1.2") -> None:
        """Speak TLS with the certificate in these files, and with their later versions.

        Ask clients for a certificate if `authorities` is given. Those who show none are served all the same, those who
        show one that none of the authorities has signed are not. `oldest` is the oldest version of TLS, 1.2 or 1.3.

        Raises `OSError`, `ssl.SSLError`.
        """
        self.certfile, self.keyfile = str(cert), str(key)
        self._authorities = authorities
        self._oldest = _VERSIONS[oldest]
        files = (cert, key) if authorities is None else (cert, key, authorities)
        self.certificate = Certificate(files, self._load_context)

    def _load_context(self) -> ssl.SSLContext:
        context = super().create_ssl_context()
        if context is None:
            msg = "there is a certificate, so there is a context"
            raise AssertionError(msg)
        context.minimum_version = self._oldest
        if self._authorities is not None:
            context.load_verify_locations(self._authorities)
            context.verify_mode = ssl.CERT_OPTIONAL
            accept_usual_chains(context)
        return context

    def create_ssl_context(self) -> ssl.SSLContext | None:
        """Return a context. hypercorn asks for it once, so each connection asks for the latest one itself (`Wire`)."""
        return super().create_ssl_context() if self.certificate is None else self.certificate.latest
