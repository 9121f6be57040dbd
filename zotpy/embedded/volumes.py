"""Volumes whose index a power cut has left behind their data, mended before SeaweedFS starts.

SeaweedFS writes an object's bytes to a volume (`.dat`), then their place to its index (`.idx`), then the object's
name to the filer. It syncs the first before it writes the last (see `zotpy.embedded.filer`), and never the index. So
after a power cut an object can have its name and its bytes, but no place in the index. It could not be read, and its
volume would take no more writes. Everything that is needed is in the volume itself:

    .dat    superblock of 8 bytes, then needles, each padded to 8 bytes:
            cookie 4, id 8, size 4 | size bytes: length 4, data, more | CRC-32C of the data 4 | time 8 | padding 1 to 8
    .idx    for each needle in the same order: id 8, offset / 8 in 4 or 5 bytes, size 4 (-1: the needle deletes this id)

All numbers are big-endian, but the fifth byte of an offset, the highest, comes last. The needles behind the end of the
index are added to it, as far as they are whole. What follows was never acknowledged, and zotpy cuts it off.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import structlog
from crc32c import crc32c

SUPERBLOCK_BYTES = 8
VERSION = 3
"""The first byte of a volume, which is its format. Volumes of another format are left alone."""
HEADER_BYTES, TRAILER_BYTES, ALIGNMENT = 16, 12, 8
DELETES = -1
LONGEST_NEEDLE_BYTES = 256 << 20
"""The filer cuts objects into pieces of 4 or 8 MiB."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a needle is."""

    needle: int
    offset: int
    size: int
    """Of its body; -1: it deletes the id."""

    @property
    def end(self) -> int:
        """Where the next needle begins."""
        length = HEADER_BYTES + max(self.size, 0) + TRAILER_BYTES
        return self.offset + length + ALIGNMENT - length % ALIGNMENT


def mend_volumes(data: Path, offset_bytes: int) -> None:
    """Mend each volume in the folder that needs it; `offset_bytes` (4 or 5) of an index. Raises `OSError`."""
    for volume in sorted(data.glob("*.dat")):
        index = volume.with_suffix(".idx")
        with volume.open("r+b") as dat, _opened(index) as idx:
            if not _is_whole(dat, idx, offset_bytes):
                _mend(dat, idx, offset_bytes, volume.stem)


def need_mending(data: Path, offset_bytes: int) -> bool:
    """Tell whether a volume in the folder does not end where its index does. Raises `OSError`."""
    for volume in sorted(data.glob("*.dat")):
        index = volume.with_suffix(".idx")
        if not index.exists():
            return True
        with volume.open("rb") as dat, index.open("rb") as idx:
            if not _is_whole(dat, idx, offset_bytes):
                return True
    return False


def _opened(index: Path) -> BinaryIO:
    """Open the index for reading and writing. Create it if a power cut has undone its creation."""
    return os.fdopen(os.open(index, os.O_RDWR | os.O_CREAT, 0o600), "r+b")


def _is_whole(dat: BinaryIO, idx: BinaryIO, offset_bytes: int) -> bool:
    """Tell whether the last place of the index is where the volume ends. It reads nothing else."""
    entry_bytes = 12 + offset_bytes
    length, indexed = os.fstat(dat.fileno()).st_size, os.fstat(idx.fileno()).st_size
    if indexed == 0 or indexed % entry_bytes:
        return indexed == 0 and length <= SUPERBLOCK_BYTES
    idx.seek(indexed - entry_bytes)
    return _place(idx.read(entry_bytes)).end == length


def _mend(dat: BinaryIO, idx: BinaryIO, offset_bytes: int, name: str) -> None:
    length = os.fstat(dat.fileno()).st_size
    dat.seek(0)
    superblock = dat.read(SUPERBLOCK_BYTES)
    if len(superblock) < SUPERBLOCK_BYTES or superblock[0] != VERSION:
        return
    known, end = 0, SUPERBLOCK_BYTES + int.from_bytes(superblock[6:8])
    for place in _places(idx, offset_bytes):
        if place.offset == 0 or place.end > length:
            break
        known, end = known + 1, max(end, place.end)
    found = list(_needles(dat, end, length))
    if found:
        end = found[-1].end
    entry_bytes = 12 + offset_bytes
    idx.truncate(known * entry_bytes)
    idx.seek(known * entry_bytes)
    idx.write(b"".join(_entry(place, offset_bytes) for place in found))
    idx.flush()
    os.fsync(idx.fileno())
    dat.truncate(end)
    os.fsync(dat.fileno())
    log.warning("volume_mended", volume=name, objects_found=len(found), bytes_cut=length - end)


def _places(idx: BinaryIO, offset_bytes: int) -> Iterator[Place]:
    entry_bytes = 12 + offset_bytes
    idx.seek(0)
    while len(entry := idx.read(entry_bytes)) == entry_bytes:
        yield _place(entry)


def _place(entry: bytes) -> Place:
    needle, low = struct.unpack(">QI", entry[:12])
    high = entry[12] if len(entry) == 17 else 0  # noqa: PLR2004 - with offsets of 5 bytes
    (size,) = struct.unpack(">i", entry[-4:])
    return Place(needle, (high << 32 | low) * ALIGNMENT, size)


def _entry(place: Place, offset_bytes: int) -> bytes:
    high, low = divmod(place.offset // ALIGNMENT, 1 << 32)
    middle = bytes([high]) if offset_bytes == 5 else b""  # noqa: PLR2004 - the same
    return struct.pack(">QI", place.needle, low) + middle + struct.pack(">i", place.size)


def _needles(dat: BinaryIO, start: int, length: int) -> Iterator[Place]:
    """Read the needles from `start` on until one is not whole."""
    while start + HEADER_BYTES <= length:
        dat.seek(start)
        cookie, needle, size = struct.unpack(">IQi", dat.read(HEADER_BYTES))
        if (cookie, needle) == (0, 0) or not 0 <= size <= LONGEST_NEEDLE_BYTES:
            return
        place = Place(needle, start, size or DELETES)
        if place.end > length or not _is_sound(dat.read(size), dat.read(4)):
            return
        yield place
        start = place.end


def _is_sound(body: bytes, checksum: bytes) -> bool:
    """Compare the data with its checksum, which older releases of SeaweedFS wrote masked."""
    data = body[4 : 4 + int.from_bytes(body[:4])]
    plain = crc32c(data)
    masked = ((plain >> 15 | plain << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return not body or int.from_bytes(checksum) in {plain, masked}
