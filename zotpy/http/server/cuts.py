"""Why some requests end in the middle."""

from enum import StrEnum


class Cut(StrEnum):
    """Why a request did not run to its end."""

    GONE = "client_gone"
    """The connection ended before the whole body was read, or the whole answer sent."""
    SENDS_NO_MORE = "client_sends_no_more"
    READS_NO_MORE = "client_reads_no_more"
    STORE_FAILED = "store_failed"
    """In the middle of the answer."""
