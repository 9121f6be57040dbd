"""From the configuration's `storage` to a store: how it is reached, run where it is our own, and opened."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zotpy.config import S3Settings, Settings, StorageSettings
from zotpy.s3.config import S3Config
from zotpy.startup import StartupError
from zotpy.store.interface import Store, StoreError
from zotpy.store.opening import open_s3_store


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """Open the store of the configuration, the embedded one where it names none. Raises `StartupError`."""
    async with running_store(settings.storage) as s3, _open_s3(s3) as store:
        yield store


@asynccontextmanager
async def running_store(settings: StorageSettings) -> AsyncIterator[S3Settings]:
    """Give how the store is reached; the embedded one runs for as long as the block does. Raises `StartupError`.

    For the main thread only (see `zotpy.embedded.child`).
    """
    if settings.s3 is not None:
        yield settings.s3
        return
    from zotpy.embedded import EmbeddedStoreError, embedded_store  # noqa: PLC0415 - not needed beside an external store

    try:
        async with embedded_store(settings.root_directory) as embedded:
            yield S3Settings(
                bucket=embedded.bucket,
                region=embedded.region,
                endpoint=embedded.endpoint,
                force_path_style=True,
                access_key=embedded.access_key,
                secret_key=embedded.secret_key,
            )
    except EmbeddedStoreError as error:
        raise StartupError(str(error)) from error


@asynccontextmanager
async def _open_s3(settings: S3Settings) -> AsyncIterator[Store]:
    config = s3_config(settings)
    opened = False
    try:
        async with open_s3_store(config, settings.root_directory, create_bucket=settings.create_bucket) as store:
            opened = True
            yield store
    except StoreError as error:
        if opened:
            raise
        msg = f"the bucket {config.bucket!r} at {config.service_url} cannot be used: {error}"
        raise StartupError(msg) from error


def s3_config(settings: S3Settings) -> S3Config:
    """Translate the configuration's words into the client's."""
    return S3Config(
        bucket=settings.bucket,
        region=settings.region,
        endpoint=settings.endpoint,
        public_endpoint=settings.redirect_endpoint,
        path_style=settings.force_path_style,
        verify_tls=not settings.skip_verify,
        access_key=settings.access_key,
        secret_key=settings.secret_key,
        session_token=settings.session_token,
    )
