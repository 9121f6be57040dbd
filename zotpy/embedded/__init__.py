"""The store of a registry that was given none: SeaweedFS as a child process, its data under one directory."""

from zotpy.embedded.errors import EmbeddedStoreError
from zotpy.embedded.store import EmbeddedStore, embedded_store

__all__ = ["EmbeddedStore", "EmbeddedStoreError", "embedded_store"]
