"""A process that has imported zotpy, and becomes whatever program of this checkout it is asked for.

    python -m tests.forks.server DESCRIPTOR

It reads from a socket what `Forked` asks for, and forks. The new process has the words, the variables and the open
files that it would have been started with, and runs the module as `python -m` does. Its parent is the one that asked:
the process between the two ends at once, and Linux gives an orphan to the next process above that adopts.
"""

from __future__ import annotations

import gc
import json
import os
import random
import runpy
import select
import socket
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

IMPORTED = (
    "zotpy.cli",
    "zotpy.commands.copying",
    "zotpy.commands.shared",
    "zotpy.embedded",
    "zotpy.exporting.jobs",
    "zotpy.inspection.checking",
    "zotpy.inspection.report",
    "zotpy.server",
    "zotpy.syncing.jobs",
    "zotpy.workers",
)
"""What `serve` and the commands need, with all below it."""


def next_program(link: socket.socket) -> list[str]:
    """Return the words of a program that was asked for, in a process of its own. Ends with the process that asks."""
    lines = link.makefile("rb")
    while True:
        _, files, *_ = socket.recv_fds(link, 1, 3)
        if not files:
            sys.exit()
        asked = json.loads(lines.readline())
        pid = fork_orphan()
        if pid == 0:
            lines.close()
            link.close()
            for number, file in enumerate(files):
                os.dup2(file, number)
        for file in files:
            os.close(file)
        if pid == 0:
            os.environ.clear()
            os.environ.update(asked["variables"])
            return list(asked["words"])
        link.sendall(f"{pid}\n".encode())


def fork_orphan() -> int:
    """Fork, and return 0 in the new process and its id here. There it returns once the parent is another one."""
    reading, writing = os.pipe()
    between = os.fork()
    if between == 0:
        orphan, parent = -1, os.getpid()
        try:
            orphan = os.fork()
            if orphan:
                os.write(writing, str(orphan).encode())
        finally:
            if orphan:
                os._exit(0)
        os.close(reading)
        os.close(writing)
        _wait_for_end(parent)
        return 0
    os.close(writing)
    with open(reading, "rb") as told:  # noqa: PTH123 - a descriptor
        os.waitpid(between, 0)
        return int(told.read(32))


def _wait_for_end(pid: int) -> None:
    """Wait until a process has ended and its children have another parent, if that did not happen yet."""
    with suppress(ProcessLookupError):
        ended = os.pidfd_open(pid)
        select.select([ended], [], [])
        os.close(ended)


def run(descriptor: int) -> None:
    """Import, and run a program in each process that is forked."""
    for name in IMPORTED:
        import_module(name)
    generators = [found for found in gc.get_objects() if isinstance(found, random.Random)]
    gc.freeze()  # a collection in a new process would copy all of it
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a fork takes only one thread with it"
    module, *sys.argv[1:] = next_program(socket.socket(fileno=descriptor))
    for generator in generators:  # trio has one of its own, which decides in which order tasks run
        generator.seed()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    run(int(sys.argv[1]))
