"""Messages to systemd from a service with `Type=notify`: ready, alive, stopping, and how much longer the end may take.

The protocol is a datagram of `NAME=value` lines to the socket that `NOTIFY_SOCKET` names (sd_notify(3)). Without that
variable nothing here has an effect.
"""

import os
import socket
from collections.abc import Callable, MutableMapping

import structlog
import trio

EXTEND_S = 30.0
"""How much more time the drain asks for, again and again: a replica that hangs in it is ended after this time."""
_SEND_S = 1.0
"""How long a message that is sent once may wait for systemd to read those before it."""

log = structlog.get_logger()


class Systemd:
    """The service manager that started this process, or none."""

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        """`address`: the path of a socket, or `@` and an abstract name.

        systemd expects a message every `watchdog_s`.
        """
        self._address = address
        self._watchdog_s = watchdog_s
        self.is_well: Callable[[], bool] = lambda: True
        """Says whether this process does its work. While it does not, the watchdog gets nothing."""
        self._stopping = trio.Event()
        self._ends_at = 0.0

    @staticmethod
    def of(environ: MutableMapping[str, str]) -> "Systemd":
        """Remove what concerns this process from its environment: no process that it starts must speak for it."""
        address, watchdog, pid = (environ.pop(name, "") for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"))
        if address and address[0] not in "/@":
            log.warning("systemd_not_told", reason=f"NOTIFY_SOCKET is neither a path nor an abstract name: {address!r}")
            address = ""
        is_watched = watchdog.isdecimal() and int(watchdog) > 0 and pid in {"", str(os.getpid())}
        return Systemd(address or None, int(watchdog) / 1e6 if is_watched else None)

    def ready(self, binds: list[str]) -> None:
        """Report that requests are answered at these URLs."""
        self._tell("READY=1", f"STATUS=answering at {', '.join(binds)}", wait_s=_SEND_S)

    def stopping(self, within_s: float) -> None:
        """Report that the drain has begun, and ask for time for as long as it may take."""
        self._ends_at = trio.current_time() + within_s
        self._tell("STOPPING=1", f"STATUS=draining: requests under way may take {within_s:g} s", wait_s=_SEND_S)
        self._stopping.set()

    async def keep_told(self) -> None:
        """Report that this process is alive, until cancelled.

        It is a task like any other, and runs only while they run.
        """
        if self._address is None:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._feed_watchdog)
            nursery.start_soon(self._ask_for_time)

    async def _feed_watchdog(self) -> None:
        while self._watchdog_s is not None:
            if self.is_well():
                self._tell("WATCHDOG=1")
            await trio.sleep(self._watchdog_s / 2)

    async def _ask_for_time(self) -> None:
        """Ask for a little at a time: systemd's watchdog, too, waits for as long as it was asked to."""
        await self._stopping.wait()
        while trio.current_time() < self._ends_at:
            self._tell(f"EXTEND_TIMEOUT_USEC={EXTEND_S * 1e6:.0f}")
            await trio.sleep(EXTEND_S / 3)

    def _tell(self, *lines: str, wait_s: float = 0.0) -> None:
        """Send a message. The registry neither waits long for it nor depends on its arrival."""
        if self._address is None:
            return
        where = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(wait_s)
                sender.sendto("\n".join(lines).encode(), where)
        except OSError as error:
            log.warning("systemd_not_told", message=lines[0], reason=error.strerror or str(error))
