"""Where a zot keeps its images: a directory, or a bucket that its configuration names."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from zotpy.config import load_settings
from zotpy.importing.sources import Source
from zotpy.layouts.bucket import bucket_of_layouts
from zotpy.layouts.source import tree_of_layouts
from zotpy.settings import Settings, StorageSettings
from zotpy.storage import s3_config
from zotpy.store.interface import StoreError
from zotpy.store.opening import open_for_reading
from zotpy.upstream import UpstreamUnavailable


def zot_settings(path: Path) -> Settings:
    """Return the settings of a zot by its directory or its configuration.

    Our environment variables do not count. Raises `ConfigError`.
    """
    if path.is_file():
        return load_settings(path, environ={})
    return Settings(storage=StorageSettings(root_directory=path))


@asynccontextmanager
async def open_tree(settings: Settings, longest_manifest_bytes: int) -> AsyncIterator[Source]:
    """Open the directory or the bucket, only to read it. Raises `UpstreamError`."""
    s3 = settings.storage.s3
    if s3 is None:
        yield tree_of_layouts(settings.storage.root_directory, longest_manifest_bytes)
        return
    config, root = s3_config(s3, settings), s3.root_directory
    # zot puts its root directory before each path, and its S3 driver puts it there once more.
    prefix = f"{root}/{root}" if root else ""
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(open_for_reading(config, prefix))
        except StoreError as error:
            msg = f"the bucket {s3.bucket!r} cannot be read: {error}"
            raise UpstreamUnavailable(msg) from error
        yield bucket_of_layouts(store, longest_manifest_bytes)
