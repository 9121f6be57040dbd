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
        at = 0
        while at < len(received):
            if not self._begun_bytes:
                header = self._header + received[at : at + _HEADER_BYTES - len(self._header)]
                at += len(header) - len(self._header)
                if len(header) < _HEADER_BYTES:
                    self._header = bytes(header)
                    return
                self._header, self._begun_bytes = b"", _HEADER_BYTES
                self._missing_bytes = int.from_bytes(header[-2:], "big")
            taken = min(self._missing_bytes, len(received) - at)
            at += taken
            self._missing_bytes -= taken
            self._begun_bytes = self._begun_bytes + taken if self._missing_bytes else 0
