"""One answer of `/metrics` for all workers on a port: each keeps its numbers in files that the others read.

This is prometheus_client's multiprocess mode, in a directory that the supervisor makes. Files are named after the
worker's index, not after its process id. So a worker that is started again counts on from where it had stopped, and the
number of files is bounded by the workers and their kinds of series.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client import CollectorRegistry, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Where prometheus_client looks for the directory."""


@contextmanager
def metrics_directory() -> Iterator[Path]:
    """Make a directory that only we may read, and remove it after the block."""
    with TemporaryDirectory(prefix="zotpy-metrics-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def share_metrics(directory: Path, worker: int) -> None:
    """Keep all series that this process makes from now on in the directory, as those of one worker.

    It applies to the whole process: prometheus_client knows no other way.
    """
    os.environ[VARIABLE] = str(directory)
    values.ValueClass = values.MultiProcessValue(lambda: worker)  # type: ignore[no-untyped-call]


def collector_of_all() -> CollectorRegistry:
    """Return a registry that holds the series of all workers, added up."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def forget_gauges(directory: Path, worker: int) -> None:
    """Note that a worker has ended: its counters stay, and its gauges do not."""
    mark_process_dead(worker, str(directory))  # type: ignore[no-untyped-call]


def abandon(directory: Path, worker: int) -> None:
    """Remove a worker's files, and with the last one's the directory. The supervisor has ended and will not do it."""
    for file in directory.glob(f"*_{worker}.db"):
        file.unlink()
    with suppress(OSError):  # other workers have not ended yet
        directory.rmdir()
