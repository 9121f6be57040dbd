"""The store of a registry that was given none: SeaweedFS as a child process, its data under one directory."""

from zotpy.embedded.errors import DirectoryInUseError, EmbeddedStoreError
from zotpy.embedded.store import EmbeddedStore, embedded_store, running_elsewhere

__all__ = ["DirectoryInUseError", "EmbeddedStore", "EmbeddedStoreError", "embedded_store", "running_elsewhere"]
