"""Pieces of an answer that are in an open file: sent from there, they are never copied into this process."""

from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class FilePiece:
    """Some bytes of a file that one who sends may take from it (sendfile(2)), the first of them at least.

    The generator that yields it keeps the file open until it is asked for the next piece, which begins behind the bytes
    that were taken.
    """

    descriptor: int
    start: int
    length: int
    """1 or more."""
    taken_bytes: int = 0
    """What the sender says. 0: the file could not be sent, so its owner must read it, and find out why."""
