"""Where TLS's records end: OpenSSL takes the beginning of one, and does not tell how much of it has come.

Each record has its length at the end of its header (RFC 8446, section 5.1).
"""

_HEADER_BYTES = 5


class Records:
    """Where records end, in the bytes of one side of a connection."""

    def __init__(self) -> None:
        """Begin where a record begins."""
        self._header = b""
        self._begun_bytes = 0
        self._missing_bytes = 0

    @property
    def unfinished_bytes(self) -> int:
        """How much has come of a record of which more is to come."""
        return len(self._header) + self._begun_bytes

    def note(self, received: bytes | bytearray) -> None:
        """Take note of the next bytes."""
        at, length = 0, len(received)
        if self._begun_bytes:
            at = self._missing_bytes
            if at > length:
                self._begun_bytes += length
                self._missing_bytes -= length
                return
        elif self._header:
            received, length = self._header + received, length + len(self._header)
        start = at
        while at + _HEADER_BYTES <= length:
            start = at
            at += _HEADER_BYTES + (received[at + 3] << 8 | received[at + 4])
        if at > length:
            self._header, self._begun_bytes, self._missing_bytes = b"", length - start, at - length
        else:
            self._header, self._begun_bytes, self._missing_bytes = bytes(received[at:]), 0, 0
