"""Network namespaces: a machine's network made of one hub and a link to each replica, shaped by the kernel.

    hub: balancer, generator, store    r0 198.18.1.1 ---- 198.18.1.2  namespace of replica 0
                                       r1 198.18.2.1 ---- 198.18.2.2  namespace of replica 1

Nothing of it is seen from outside: not an interface, not an address, not a port. The names carry the process id and
start time of the program that made them, so that the next one can remove what a killed one left behind.
"""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NAMES = Path("/run/netns")
MTU = 9000
"""Fewer packets cost less CPU, and a data centre's links have it."""
BURST_S = 0.004
LEAST_BURST_BYTES = 128 << 10
"""A burst below what the kernel hands over at once (64 KiB) would have each such batch cut into packets."""
LEAST_QUEUE_BYTES, QUEUE_S = 256 << 10, 0.02
"""A longer queue would hold up the acknowledgements of what comes the other way, and so slow that down, too."""
END_DEADLINE_S = 10.0
_NAME = re.compile(r"zotpy-bench-(?P<pid>\d+)-(?P<started>\d+)-")
_CLONE_NEWNET = 0x40000000
_STARTED = 19
"""Field of /proc/<pid>/stat after the name: starttime (proc(5))."""


class NoNamespaces(Exception):
    """This machine, or this user, has no network namespaces; the message says why."""


class Namespaces:
    """The network of one run."""

    def __init__(self) -> None:
        """Name it after this process; nothing is made yet."""
        self._label = f"zotpy-bench-{os.getpid()}-{_started(os.getpid())}"
        self._replicas = 0

    @contextmanager
    def hub(self) -> Iterator[None]:
        """Move this thread, and what it starts, into the hub; remove all in the end. Raises `NoNamespaces`."""
        remove_leftovers()
        hub = f"{self._label}-hub"
        with Path("/proc/thread-self/ns/net").open() as home:
            try:
                _run("ip", "netns", "add", hub)
                _run("ip", "-n", hub, "link", "set", "lo", "up")
                with (NAMES / hub).open() as entered:
                    _set_namespace(entered.fileno())
                yield
            finally:
                _set_namespace(home.fileno())
                _remove(self._label)

    def add_replica(self, rate_bytes_per_s: float) -> tuple[list[str], str, str]:
        """Add a namespace; return what to put before a command in it, its address, and that of the hub there.

        The link takes so many bytes per second in each direction. Raises `NoNamespaces`.
        """
        index = self._replicas
        self._replicas += 1
        hub, name = f"{self._label}-hub", f"{self._label}-{index}"
        here, there = f"198.18.{index + 1}.1", f"198.18.{index + 1}.2"
        link = f"r{index}"
        _run("ip", "netns", "add", name)
        _run("ip", "-n", name, "link", "set", "lo", "up")
        pair = ["type", "veth", "peer", "name", "eth0", "netns", name, "mtu", str(MTU)]
        _run("ip", "-n", hub, "link", "add", link, "mtu", str(MTU), *pair)
        for namespace, interface, address in ((hub, link, here), (name, "eth0", there)):
            _run("ip", "-n", namespace, "address", "add", f"{address}/30", "dev", interface)
            _run("ip", "-n", namespace, "link", "set", interface, "up")
            burst = max(LEAST_BURST_BYTES, int(rate_bytes_per_s * BURST_S))
            queue = burst + max(LEAST_QUEUE_BYTES, int(rate_bytes_per_s * QUEUE_S))
            shape = ["rate", f"{int(rate_bytes_per_s * 8)}bit", "burst", str(burst), "limit", str(queue)]
            _run("tc", "-n", namespace, "qdisc", "add", "dev", interface, "root", "tbf", *shape)
        return ["nsenter", f"--net={NAMES / name}", "--"], there, here


def link_bytes() -> list[tuple[int, int]]:
    """Return what has gone over each link of the hub that this thread is in: to the replica, and from it."""
    found = []
    for line in Path("/proc/thread-self/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if re.fullmatch(r"r\d+", name.strip()):
            received, sent = (int(counts.split()[field]) for field in (0, 8))
            found.append((sent, received))
    return found


def why_none() -> str:
    """Return why there can be no namespaces here, or nothing."""
    if os.geteuid() != 0:
        return "not root"
    for program in ("ip", "tc", "nsenter"):
        if shutil.which(program) is None:
            return f"no {program} on this machine"
    namespaces = Namespaces()
    try:
        with namespaces.hub():
            namespaces.add_replica(1_000_000)
    except (NoNamespaces, OSError) as error:
        return str(error)
    return ""


def remove_leftovers() -> None:
    """Remove the namespaces of programs that have ended without doing so, and what still runs in them."""
    for path in sorted(NAMES.glob("zotpy-bench-*")):
        found = _NAME.match(path.name)
        if found and _started(int(found["pid"])) != found["started"]:
            _remove(found[0].rstrip("-"))


def _remove(label: str) -> None:
    """End what runs in the namespaces of this label, then remove them."""
    names = [path.name for path in sorted(NAMES.glob(f"{label}-*"))]
    give_up_at = time.monotonic() + END_DEADLINE_S
    while (pids := [pid for name in names for pid in _pids(name)]) and time.monotonic() < give_up_at:
        for pid in pids:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    for name in names:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _pids(name: str) -> list[int]:
    """Return what runs in a namespace, without ourselves and what waits only for its parent to take note."""
    done = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
    pids = [int(line) for line in done.stdout.split()]
    return [pid for pid in pids if pid != os.getpid() and _started(pid)]


def _started(pid: int) -> str:
    """Return when a process that lives has started, in the kernel's ticks; nothing if it does not."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[_STARTED]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        msg = f"{' '.join(command)}: {done.stderr.strip()}"
        raise NoNamespaces(msg)


def _set_namespace(descriptor: int) -> None:
    """Move this thread; threads and processes that it starts begin where it is (setns(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
