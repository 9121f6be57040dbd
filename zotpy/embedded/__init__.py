"""The store of a registry without a bucket: SeaweedFS as a child process, with its data under one directory."""

from zotpy.embedded.errors import DirectoryInUseError, EmbeddedStoreError
from zotpy.embedded.store import EmbeddedStore, check_store, embedded_store, running_elsewhere
from zotpy.embedded.syncing import DiskSync, disk_sync

__all__ = [
    "DirectoryInUseError",
    "DiskSync",
    "EmbeddedStore",
    "EmbeddedStoreError",
    "check_store",
    "disk_sync",
    "embedded_store",
    "running_elsewhere",
]
