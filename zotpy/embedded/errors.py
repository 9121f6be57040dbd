"""How the embedded store can fail."""


class EmbeddedStoreError(Exception):
    """The embedded store cannot run. The message says why and what to do."""


class DirectoryInUseError(EmbeddedStoreError):
    """Another zotpy runs the store of this directory."""
