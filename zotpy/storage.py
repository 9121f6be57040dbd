"""From the configuration's `storage` to a store: how to reach it, run it if it is our own, and open it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import fields
from pathlib import Path

from zotpy.allocator import keep_freed
from zotpy.core.units import MIB
from zotpy.http.sockets import shared_bytes_of
from zotpy.s3.config import LONGEST_OBJECT_BYTES, S3Config
from zotpy.settings import S3Settings, Settings, StorageSettings
from zotpy.startup import StartupError
from zotpy.store.interface import Store, StoreError
from zotpy.store.opening import open_s3_store
from zotpy.store.space import Space
from zotpy.store.synced import SyncedStore


@asynccontextmanager
async def open_store(settings: Settings, *, beside_a_replica: bool = False) -> AsyncIterator[Store]:
    """Open the store of the configuration; without one, the embedded store. Raises `StartupError`.

    `beside_a_replica`: a replica must have used the embedded store before. If it is running, it is shared.

    From then on the process keeps the memory of bodies that it has freed.
    """
    keep_freed(settings.upload.memory_budget_bytes)
    async with (
        running_store(settings.storage, beside_a_replica=beside_a_replica) as s3,
        _open_s3(s3, s3_config(s3, settings)) as store,
    ):
        yield store


async def look_at_space(settings: StorageSettings) -> Space:
    """Look at the disk of the embedded store. A service elsewhere says by itself when it is full."""
    space = Space(settings.s3.disk if settings.s3 else settings.root_directory, settings.reserved)
    await space.look()
    return space


@asynccontextmanager
async def running_store(settings: StorageSettings, *, beside_a_replica: bool = False) -> AsyncIterator[S3Settings]:
    """Yield how to reach the store. The embedded one runs for as long as the block does. Raises `StartupError`.

    For the main thread only (see `zotpy.embedded.child`).
    """
    if settings.s3 is not None:
        yield settings.s3
        return
    from zotpy import embedded  # noqa: PLC0415 - not needed beside an external store

    try:
        if beside_a_replica:
            embedded.check_store(settings.root_directory)
        async with AsyncExitStack() as stack:
            try:
                store = await stack.enter_async_context(embedded.embedded_store(settings.root_directory))
            except embedded.DirectoryInUseError:
                if not beside_a_replica:
                    raise
                store = embedded.running_elsewhere(settings.root_directory)
            yield S3Settings(
                bucket=store.bucket,
                region=store.region,
                endpoint=store.endpoint,
                force_path_style=True,
                access_key=store.access_key,
                secret_key=store.secret_key,
                disk=store.disk,
            )
    except embedded.EmbeddedStoreError as error:
        raise StartupError(str(error)) from error


@asynccontextmanager
async def _open_s3(settings: S3Settings, config: S3Config) -> AsyncIterator[Store]:
    opened = False
    try:
        async with open_s3_store(config, settings.root_directory, create_bucket=settings.create_bucket) as store:
            opened = True
            with _on_disk(store, settings.disk) as durable:
                yield durable
    except StoreError as error:
        if opened:
            raise
        msg = f"the bucket {config.bucket!r} at {config.service} cannot be used: {error}"
        raise StartupError(msg) from error


@contextmanager
def _on_disk(store: Store, disk: Path | None) -> Iterator[Store]:
    """If the disk is one of this machine's, let no write return before it is on the disk."""
    if disk is None:
        yield store
        return
    from zotpy import embedded  # noqa: PLC0415 - not needed beside an external store

    with embedded.disk_sync(disk) as sync:
        yield SyncedStore(store, sync.wait)


def s3_config(s3: S3Settings, settings: Settings) -> S3Config:
    """Return what the client needs: how to reach the store, and how much it may read and send at once."""
    return S3Config(
        **{field.name: getattr(s3, field.name) for field in fields(S3Settings)},
        # A manifest is read whole, with a line of ours before it.
        longest_object_bytes=max(LONGEST_OBJECT_BYTES, settings.manifest.max_size_bytes + MIB),
        sent_bytes=shared_bytes_of(settings.upload.memory_budget_bytes),
    )
