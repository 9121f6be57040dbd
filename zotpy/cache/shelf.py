"""The files of the cache: which exist, how long they are, and which is deleted first.

A file that is complete is called `<data id>.<length>`; one that is being filled ends in `.part`. Its owner may write to
a complete file until its bytes were compared with the blob's digest. From then on it is read-only: its mode says so,
because a file that others are about to open by its name can change its mode, but not its name. The directory is the
only index, so it survives a restart. Every process holds the lock of a directory of its own (`0`, `1`,
and so on), because two that count the same files would delete each other's.
"""

import errno
import fcntl
import os
import re
import stat
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from zotpy.cache.presence import present_bytes

PART = ".part"
LOCK = "lock"
SHRUNK = "the file is shorter than before"
MOST_PLACES = 64
"""How many processes may share a directory: as many as there are workers."""
_NAME = re.compile(r"([0-9A-Za-z]{1,64})\.(\d{1,19})", re.ASCII)
_DATA_ID = re.compile(r"[0-9A-Za-z]{1,64}", re.ASCII)


@dataclass(eq=False, slots=True)
class CachedFile:
    """One file: all bytes of one data object, or those that came so far."""

    data_id: str
    size_bytes: int
    descriptor: int | None = None
    """Open while somebody uses it."""
    users: int = 0
    is_listed: bool = False
    """It is complete, and is on the shelf."""
    is_verified: bool = False
    """Its bytes have the blob's digest."""
    is_broken: bool = False
    """The disk failed to give its bytes: the last user deletes it."""

    @property
    def name(self) -> str:
        """What it is called once it is complete."""
        return f"{self.data_id}.{self.size_bytes}"


class Shelf:
    """The files of one process. Methods without I/O are for the event loop, the others for a thread."""

    read_flags = os.RWF_NOWAIT
    """With them a read waits for no disk (preadv2(2))."""
    most_files = 16_384
    """Each takes some memory here."""

    def __init__(self, directory: Path, limit_bytes: int, lock: int | None) -> None:
        """Keep at most `limit_bytes` in `directory`, whose `lock` is held: an open descriptor."""
        self.directory = directory
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._lock = lock
        self._files: OrderedDict[str, CachedFile] = OrderedDict()
        self._parts = 0

    @classmethod
    def open(cls, root: Path, limit_bytes: int) -> "Shelf":
        """Take the first directory below `root` that no process holds, and read what it has. Raises `OSError`."""
        for place in range(MOST_PLACES):
            directory = root / str(place)
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            shelf = cls(directory, limit_bytes, lock)
            try:
                shelf.read()
            except BaseException:
                shelf.close()
                raise
            return shelf
        raise OSError(errno.EBUSY, "other processes use all of its places", str(root))

    def close(self) -> None:
        """Give the directory back."""
        if self._lock is not None:
            os.close(self._lock)

    def read(self) -> None:
        """List the files, the oldest first. Delete what is half filled, has a wrong length or has no room."""
        found = []
        for entry in os.scandir(self.directory):
            match, status = _NAME.fullmatch(entry.name), entry.stat(follow_symlinks=False)
            if match is not None and status.st_size == int(match[2]) and entry.is_file(follow_symlinks=False):
                is_verified = not status.st_mode & stat.S_IWUSR
                file = CachedFile(match[1], status.st_size, is_listed=True, is_verified=is_verified)
                found.append((status.st_mtime_ns, file))
            elif match is not None or entry.name.endswith(PART):
                Path(entry.path).unlink()
        for _, file in sorted(found, key=lambda dated: dated[0]):
            self._files[file.data_id] = file
            self.used_bytes += file.size_bytes
        for file in self.make_room(0) or ():
            self.delete(file)

    def __contains__(self, data_id: str) -> bool:
        """Say whether there is a complete file of this data."""
        return data_id in self._files

    def find(self, data_id: str, size_bytes: int) -> CachedFile | None:
        """Return a complete file, which is then the last to be deleted."""
        file = self._files.get(data_id)
        if file is None or file.size_bytes != size_bytes:
            return None
        self._files.move_to_end(data_id)
        return file

    def can_hold(self, data_id: str, size_bytes: int) -> bool:
        """Say whether such a file could ever be here."""
        return size_bytes <= self.limit_bytes and _DATA_ID.fullmatch(data_id) is not None

    def make_room(self, size_bytes: int) -> list[CachedFile] | None:
        """Count `size_bytes` as used. Return which files to `delete` for it, the least recently used that nobody reads.

        `None`: those who read hold too much. Then nothing changes.
        """
        evicted, missing = [], self.used_bytes + size_bytes - self.limit_bytes
        surplus = len(self._files) + (size_bytes > 0) - self.most_files
        for file in self._files.values():
            if missing <= 0 and surplus <= 0:
                break
            if not file.users:
                evicted.append(file)
                missing -= file.size_bytes
                surplus -= 1
        if missing > 0 or surplus > 0:
            return None
        for file in evicted:
            self.forget(file)
        self.used_bytes += size_bytes
        return evicted

    def give_back(self, size_bytes: int) -> None:
        """Count room as free that `make_room` has counted as used."""
        self.used_bytes -= size_bytes

    def list(self, file: CachedFile) -> None:
        """Put a complete file on the shelf."""
        file.is_listed = True
        self._files[file.data_id] = file

    def forget(self, file: CachedFile) -> None:
        """Take a file from the shelf, if it is there."""
        if self._files.get(file.data_id) is file:
            del self._files[file.data_id]
            file.is_listed = False
            self.give_back(file.size_bytes)

    def part(self, data_id: str) -> Path:
        """Name a file to fill. No name is used twice."""
        self._parts += 1
        return self.directory / f"{data_id}.{self._parts}{PART}"

    def present_bytes(self, descriptor: int, start: int, size_bytes: int) -> int:
        """Return how many of `size_bytes` from `start` can be read without waiting for the disk."""
        return present_bytes(descriptor, start, size_bytes)

    def begin(self, part: Path) -> int:
        """Make a file to fill, and return its descriptor. Raises `OSError`."""
        return os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def begin_direct(self, part: Path) -> int | None:
        """Open a file to fill for writes past the page cache. `None`: there are none. Raises `OSError`."""
        return os.open(part, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)

    def drop(self, part: Path) -> None:
        """Delete a file that was not filled. Raises `OSError`."""
        part.unlink(missing_ok=True)

    def open_file(self, file: CachedFile) -> int:
        """Open a complete file for reading. Raises `OSError`, also if its length has changed."""
        descriptor = os.open(self.directory / file.name, os.O_RDONLY | os.O_CLOEXEC)
        if os.fstat(descriptor).st_size == file.size_bytes:
            return descriptor
        os.close(descriptor)
        raise OSError(errno.EIO, "the file has another length than before", file.name)

    def keep(self, part: Path, descriptor: int, file: CachedFile) -> None:
        """Give a filled file its name, once its bytes are on the disk: a power cut leaves no other ones under it."""
        os.fdatasync(descriptor)
        part.rename(self.directory / file.name)

    def note_verified(self, file: CachedFile) -> None:
        """Note on the disk that an open file has its digest. Raises `OSError`."""
        assert file.descriptor is not None  # noqa: S101 - for the type checker
        os.fchmod(file.descriptor, stat.S_IRUSR)

    def delete(self, file: CachedFile) -> None:
        """Delete a complete file. Those who have it open can still read it."""
        (self.directory / file.name).unlink(missing_ok=True)
