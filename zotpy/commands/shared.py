"""What these commands have in common: a configuration, the store that it names, and a user who waits."""

import argparse
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from types import TracebackType
from typing import Self, TypeVar

import structlog
import trio
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from zotpy.bucket.guard import GuardedStore
from zotpy.bucket.health import Health
from zotpy.bucket.layout import LayoutError, read_layout
from zotpy.concurrency import first_cause, log_others, plain_errors
from zotpy.config import load_settings
from zotpy.core.errors import RegistryError
from zotpy.core.framing import FramingError
from zotpy.settings import Settings
from zotpy.startup import StartupError, open_log
from zotpy.storage import open_store
from zotpy.store.interface import KeyMissing, Store, StoreError
from zotpy.store.paced import PacedStore

T = TypeVar("T")

log = structlog.get_logger()


def read_settings(options: argparse.Namespace, flags: Mapping[str, str | None]) -> Settings:
    """Read the configuration, and set up the log.

    Flags override variables, and these the file. Raises `ConfigError`.
    """
    given = {"storage.rootDirectory": options.root, **flags}
    settings = load_settings(options.config, overrides={path: text for path, text in given.items() if text is not None})
    open_log(settings.log)
    return settings


@asynccontextmanager
async def open_bucket(settings: Settings) -> AsyncIterator[Store]:
    """Open the bucket beside its replicas, no faster than `gcSettings.callsPerSecond`. Raises `StartupError`."""
    async with open_store(settings, beside_a_replica=True) as store:
        try:
            (await read_layout(store)).check()
        except KeyMissing as error:
            msg = "the bucket holds no registry: check its name and rootdirectory, or start a replica on it first"
            raise StartupError(msg) from error
        except (LayoutError, StoreError) as error:
            raise StartupError(str(error)) from error
        health = Health(store)
        with plain_errors():
            async with trio.open_nursery() as nursery:  # a collection of hours must notice that it was left behind
                nursery.start_soon(health.keep_looking)
                yield PacedStore(GuardedStore(store, health), settings.gc.calls_per_second)
                nursery.cancel_scope.cancel()


def complain(text: str) -> None:
    """Say at the terminal what went wrong."""
    print(f"zotpy: {text}", file=sys.stderr)  # noqa: T201 - said at the terminal


def noting(failures: list[str]) -> Callable[[str], None]:
    """Return what says why a command did not come to its end, and notes it for its summary."""

    def fail(why: str) -> None:
        failures.append(why)
        complain(why)

    return fail


def look_at_bucket(work: Callable[[], Awaitable[T]], fail: Callable[[str], None] = complain) -> T | None:
    """Run a command's work. If the store fails, call `fail` with a sentence that says so, and return `None`."""
    try:
        return trio.run(work)
    except (StoreError, StartupError, RegistryError, FramingError, BaseExceptionGroup) as error:
        cause = first_cause(error)
        log_others(error, cause)
        if not isinstance(cause, StoreError | StartupError | RegistryError | FramingError):
            raise cause from cause.__cause__
        fail(str(cause))
        return None


class Watched(AbstractContextManager["Watched"]):
    """Shows on a terminal what is checked, and how much of it was; otherwise each step is a line of the log."""

    def __init__(self, tell: Callable[[object], None] = lambda _: None) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TextColumn("{task.completed:,.0f} objects"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            redirect_stdout=sys.stdout.isatty(),  # printed text goes above the progress, or elsewhere
        )
        self.tell = tell
        """Called with what is found on the way; see `zotpy.collector.collector.Progress`."""
        self._is_terminal = self._progress.console.is_terminal
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_terminal:
            self._progress.stop()

    def begin(self, what: str) -> Callable[[int], None]:
        """See `zotpy.collector.collector.Progress`."""
        if not self._is_terminal:
            log.info("looking", at=what)
            return lambda _: None
        if self._task is not None:
            self._progress.update(self._task, total=1, completed=1)
        task = self._task = self._progress.add_task(what, total=None)
        return lambda count: self._progress.update(task, advance=count)


def size(size_bytes: int) -> str:
    """Write a number of bytes for people."""
    value, unit = float(size_bytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:  # noqa: PLR2004 - the step between two units
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
