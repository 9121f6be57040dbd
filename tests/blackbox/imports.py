"""`zotpy import` and `zotpy export` as programs, beside a replica or before the first."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from tests.blackbox.cluster import Replica
from tests.forks.forked import run

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import CompletedProcess

    from tests.servers import Bucket


class Target:
    """A replica, and commands beside it."""

    def __init__(self, bucket: Bucket, prefix: str, directory: Path) -> None:
        directory.mkdir()
        self.bucket, self.prefix = bucket, prefix
        self.replica = Replica(0, bucket, prefix, directory)
        self.address = f"127.0.0.1:{self.replica.port}"

    def run(self, *arguments: str | Path, command: str = "import") -> CompletedProcess[str]:
        """Run a command to its end."""
        words = [sys.executable, "-m", "zotpy", command, "-c", str(self.replica.settings), *map(str, arguments)]
        return run(words)

    def told(self, *arguments: str | Path, command: str = "import") -> dict[str, Any]:
        """Run a command that succeeds, and return what it says."""
        done = self.run(*arguments, "--json", command=command)
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads(done.stdout))
