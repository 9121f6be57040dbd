"""The processes of a site: started again when they die, ended in their own way when told to."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from zotpy.embedded import child
from zotpy.restarts import Restarts

POLL_S = 0.1


@dataclass
class Part:
    """One process of the site, and how it is asked to end."""

    name: str
    command: Sequence[str | Path]
    log: Path
    end_signal: signal.Signals = signal.SIGTERM
    directory: Path | None = None
    """Where it runs; `None`: where we do."""
    process: "subprocess.Popen[bytes] | None" = None
    is_ending: bool = False
    ended: trio.Event = field(default_factory=trio.Event)

    def start(self) -> "subprocess.Popen[bytes]":
        """Start it, on the main thread (see `zotpy.embedded.child`), away from the terminal's Ctrl-C."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("ZOTPY_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own programs
                [sys.executable, "-I", child.__file__, str(os.getpid()), *map(str, self.command)],
                env=environ,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.process

    async def keep_running(self) -> None:
        """Start it, and again whenever it ends unasked; cancelled, it is killed."""
        restarts = Restarts()
        try:
            while not self.is_ending:
                process, started = self.start(), trio.current_time()
                while process.poll() is None:  # noqa: ASYNC110 - trio waits only for what it has started itself
                    await trio.sleep(POLL_S)
                if not self.is_ending:
                    delay_s = restarts.delay_s(trio.current_time() - started)
                    say(f"{self.name} ended with {process.returncode}; again in {delay_s:g} s; its log: {self.log}")
                    await trio.sleep(delay_s)
        finally:
            if self.process is not None:
                self.process.kill()
                self.process.wait()
            self.ended.set()

    async def end(self) -> None:
        """Ask it to end in its own way, and wait until it has."""
        self.is_ending = True
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.end_signal)
        await self.ended.wait()


def say(text: str) -> None:
    """Tell the person at the terminal, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
