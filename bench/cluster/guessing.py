"""Wrong passwords while a load runs, from a process of its own."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from bench.load.spec import Target
from bench.servers.processes import CHECKOUT


@contextmanager
def guesses(target: Target, per_s: float, after_s: float) -> Iterator[Counter[str]]:
    """Send so many wrong passwords a second while the block runs; then the counter has the answers by their status.

    They begin `after_s` later, once clients have logged in. The block waits until their process has started.
    """
    command = [sys.executable, "-m", "bench.load.guesses", target.url, f"--per-s={per_s:g}", f"--after-s={after_s:g}"]
    command += [] if target.ca_file is None else [f"--ca-file={target.ca_file}"]
    statuses: Counter[str] = Counter()
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, cwd=CHECKOUT)
    assert child.stdout is not None
    try:
        child.stdout.readline()
        yield statuses
        said, _ = child.communicate()
        statuses.update(json.loads(said))
    finally:
        child.kill()
        child.wait()
