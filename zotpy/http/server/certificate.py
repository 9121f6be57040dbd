"""The certificate that clients see. It is read again when its files change: a renewal needs no signal and no restart.

Each new connection begins with the context of the latest files, which is loaded as a whole before any connection sees
it. So a key that does not belong to the certificate, or half a file, changes nothing. A client can take up an old TLS
session only within the context that has verified its certificate: new authorities verify every client anew.
"""

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
import trio

from zotpy.bell import Bell
from zotpy.watching import keep_looking, signature_of

log = structlog.get_logger()


class Certificate:
    """A certificate with its chain, its key, and the authorities that may have signed the certificates of clients."""

    def __init__(self, files: Sequence[Path], load: Callable[[], ssl.SSLContext]) -> None:
        """`load` makes a context of the files. It is called at once. Raises `OSError`, `ssl.SSLError`."""
        self._files = tuple(files)
        self._load = load
        self._seen = signature_of(*self._files)
        self.latest = load()
        """The context for new connections."""

    async def keep_current(self, bell: Bell) -> None:
        """Look for new files every few seconds, and whenever the bell is rung, until cancelled."""
        await keep_looking(self.look, bell)

    async def look(self) -> None:
        """Use what the files have if it is new.

        What cannot be used is logged once, and the old one stays.
        """
        signature = await trio.to_thread.run_sync(signature_of, *self._files)
        if signature == self._seen:
            return
        self._seen = signature
        try:
            self.latest = await trio.to_thread.run_sync(self._load)
        except (OSError, ValueError) as error:  # `ssl.SSLError` is an `OSError`
            reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            log.error("certificate_not_renewed", reason=reason, files=[str(file) for file in self._files])  # noqa: TRY400 - a matter of the files
        else:
            log.info("certificate_renewed", files=[str(file) for file in self._files])
