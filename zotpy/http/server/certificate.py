"""The certificate that clients see. It is read again when its files change: a renewal needs no signal and no restart.

Each new connection begins with the context of the latest files, which is loaded as a whole before any connection sees
it. So a key that does not belong to the certificate, or half a file, changes nothing. A client can take up an old TLS
session only within the context that has verified its certificate: new authorities verify every client anew.
"""

import ssl

import structlog

from zotpy.watching import Watched, reason_of

log = structlog.get_logger()


class Certificate(Watched[ssl.SSLContext]):
    """A certificate with its chain, its key, and the authorities that may have signed the certificates of clients.

    `latest` is the context for new connections.
    """

    def on_renewed(self) -> None:
        """Log it."""
        log.info("certificate_renewed", files=[str(file) for file in self.files])

    def on_unusable(self, error: OSError | ValueError) -> None:
        """Log it: the old one stays."""
        log.error("certificate_not_renewed", reason=reason_of(error), files=[str(file) for file in self.files])
