"""How the embedded store can fail."""


class EmbeddedStoreError(Exception):
    """The embedded store cannot run; the message says why and what to do."""
