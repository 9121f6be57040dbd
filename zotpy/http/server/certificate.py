"""The certificate that clients see. It is read again when its files change: a renewal needs no signal and no restart.

Every handshake asks for the latest certificate, by the callback that Python calls once a client has said hello
(`ssl.SSLContext.sni_callback`, which is also called if the client names no server). A new pair is loaded as a whole
before any handshake sees it. So a key that does not belong to the certificate, or half a file, changes nothing.
"""

import ssl
from collections.abc import Callable
from pathlib import Path

import structlog
import trio

from zotpy.bell import Bell
from zotpy.watching import keep_looking, signature_of

log = structlog.get_logger()


class Certificate:
    """A certificate with its chain, and its key."""

    def __init__(self, cert: Path, key: Path, load: Callable[[], ssl.SSLContext]) -> None:
        """`load` makes a context of the two files. It is called at once. Raises `OSError`, `ssl.SSLError`."""
        self._files = (cert, key)
        self._load = load
        self._seen = signature_of(*self._files)
        self._latest = load()
        self.context = load()
        """The context that listens. Clients get the certificate of the latest one."""
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        del name, context
        connection.context = self._latest

    async def keep_current(self, bell: Bell) -> None:
        """Look for a new pair every few seconds, and whenever the bell is rung, until cancelled."""
        await keep_looking(self.look, bell)

    async def look(self) -> None:
        """Use the pair in the files if it is a new one.

        One that cannot be used is logged once, and the old one stays.
        """
        signature = await trio.to_thread.run_sync(signature_of, *self._files)
        if signature == self._seen:
            return
        self._seen = signature
        try:
            self._latest = await trio.to_thread.run_sync(self._load)
        except (OSError, ValueError) as error:  # `ssl.SSLError` is an `OSError`
            reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            log.error("certificate_not_renewed", reason=reason, files=[str(file) for file in self._files])  # noqa: TRY400 - a matter of the files
        else:
            log.info("certificate_renewed", files=[str(file) for file in self._files])
