"""A program that prints what it was started with, as JSON: by it a test compares a fork with a start."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
from pathlib import Path

from trio._core import _run


def surroundings() -> dict[str, object]:
    """Return what this process sees of itself and of its start."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "words": sys.argv,
        "variables": dict(os.environ),
        "directory": str(Path.cwd()),
        "path": sys.path,
        "main": [sys.modules["__main__"].__name__, sys.modules["__main__"].__file__],
        "parent": os.getppid(),
        "group": os.getpgid(0),
        "session": os.getsid(0),
        "files": {name: str(Path(f"/proc/self/fd/{name}").readlink()) for name in range(3)},
        "more files": [name for name in range(3, 64) if Path(f"/proc/self/fd/{name}").is_symlink()],
        "streams": [(stream.encoding, stream.errors) for stream in (sys.stdin, sys.stdout, sys.stderr)],
        "read": sys.stdin.read(),
        "limits": [resource.getrlimit(limit) for limit in range(resource.RLIMIT_NOFILE + 1)],
        "signals": [status[name] for name in ("SigBlk", "SigIgn", "SigCgt")],
        "handlers": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
        "children": (Path("/proc/self/task") / str(os.getpid()) / "children").read_text(),
    }


if __name__ == "__main__":
    asked = surroundings()
    asked["drawn"] = [random.random(), _run._r.random()]
    asked["is forked"] = "zotpy.server" in sys.modules
    print(json.dumps(asked))  # noqa: T201 - that is what it is for
    sys.exit(int(sys.argv[1]))
