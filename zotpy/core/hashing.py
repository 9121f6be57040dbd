"""Digests that are computed piece by piece, and whose state can travel to another replica.

A chunked upload may begin at one replica and end at another, so the upload's state includes the state of the hash after
each chunk. hashlib cannot export its state. libcrypto's own contexts (FIPS 180-4: `SHA256_CTX`, `SHA512_CTX`) are plain
structures without pointers. So their bytes *are* the state, on every build of one byte order.

If libcrypto cannot be loaded, or does not pass the test below, hashlib computes the digest and `export` returns `None`.
The upload is then read back once before it is committed.
"""

import ctypes
import ctypes.util
import hashlib
import sys
from functools import cache
from typing import Protocol

from zotpy.core.digests import HEX_LENGTHS, Digest
from zotpy.core.pieces import Buffer

_CONTEXT_SIZES = {"sha256": 112, "sha512": 216}
_ROOM_BYTES = 1024
"""The size that a context gets. If a library's structures are longer, it must not write over the bytes behind them."""
_Room = ctypes.c_char * _ROOM_BYTES
"""`ctypes.create_string_buffer` makes the same, and takes three times as long."""
_PREFIXES = {"sha256": "SHA256", "sha512": "SHA512"}


class Hasher(Protocol):
    """A digest under way. `update` releases the interpreter lock: call it in a thread for more than a few KiB."""

    algorithm: str

    def update(self, data: Buffer) -> None:
        """Add the next bytes."""
        ...

    def digest(self) -> Digest:
        """Return the digest of all bytes so far; more may follow."""
        ...

    def export(self) -> bytes | None:
        """Return the state for `resume_hasher`, or `None` if it cannot travel."""
        ...


class _PlainHasher:
    """hashlib's hasher: fast, but its state stays in this process."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self._hash = hashlib.new(algorithm, usedforsecurity=False)

    def update(self, data: Buffer) -> None:
        self._hash.update(data)

    def digest(self) -> Digest:
        return Digest(self.algorithm, self._hash.hexdigest())

    def export(self) -> bytes | None:
        return None


class _PortableHasher:
    """libcrypto's hasher, through ctypes, which releases the interpreter lock in each call."""

    def __init__(self, library: ctypes.CDLL, algorithm: str, state: bytes | None = None) -> None:
        self.algorithm = algorithm
        self._library = library
        self._context = _Room()
        if state is None:
            self._call("Init")
        else:
            self._context.raw = state.ljust(_ROOM_BYTES, b"\0")

    def _call(self, operation: str, *arguments: object) -> None:
        function = getattr(self._library, f"{_PREFIXES[self.algorithm]}_{operation}")
        if function(*arguments, ctypes.byref(self._context)) != 1:
            msg = f"libcrypto failed in {operation}"
            raise RuntimeError(msg)

    def update(self, data: Buffer) -> None:
        source = data if isinstance(data, bytes) else _address(data)
        function = getattr(self._library, f"{_PREFIXES[self.algorithm]}_Update")
        if function(ctypes.byref(self._context), source, ctypes.c_size_t(len(data))) != 1:
            msg = "libcrypto failed in Update"
            raise RuntimeError(msg)

    def digest(self) -> Digest:
        copy = _PortableHasher(self._library, self.algorithm, self.export())
        out = ctypes.create_string_buffer(HEX_LENGTHS[self.algorithm] // 2)
        copy._call("Final", out)
        return Digest(self.algorithm, out.raw.hex())

    def export(self) -> bytes:
        return self._context.raw[: _CONTEXT_SIZES[self.algorithm]]

    def fits(self) -> bool:
        """Whether the library wrote nothing behind the structure that we expect."""
        return not any(self._context.raw[_CONTEXT_SIZES[self.algorithm] :])


def _address(data: bytearray | memoryview) -> object:
    """Return what ctypes passes as a pointer to the bytes, without a copy if they are writable."""
    if isinstance(data, memoryview) and data.readonly:
        return data.tobytes()
    if not data:
        return None
    # The first byte stands for all. An array of their number would be a new type for each length, which takes longer
    # than to hash a few KiB, and is garbage that only the collector of cycles finds.
    return ctypes.byref(ctypes.c_char.from_buffer(data))


def trouble() -> str | None:
    """Look for libcrypto, and return the reason if the states of digests cannot travel; `None` if they can.

    The first call starts programs that know where libraries are. So call it at the start, in a thread.
    """
    return None if _libcrypto() is not None else _search()[1] or "no libcrypto is used"


def _libcrypto() -> ctypes.CDLL | None:
    """Return a libcrypto whose contexts can travel, or `None`."""
    return _search()[0]


@cache
def _search() -> tuple[ctypes.CDLL | None, str]:
    """Try each libcrypto that can be found. Also return the reason if none of them can be used."""
    names: list[str] = []
    if (extension := sys.modules.get("_hashlib")) is not None and getattr(extension, "__file__", None):
        names.append(str(extension.__file__))  # the libcrypto that this interpreter is linked with
    if found := ctypes.util.find_library("crypto"):
        names.append(found)
    reasons = [] if names else ["no libcrypto is found"]
    for name in names:
        try:
            library = ctypes.CDLL(name)
            if all(_travels(library, algorithm) for algorithm in _CONTEXT_SIZES):
                return library, ""
            reasons.append(f"{name}: its contexts are not those of FIPS 180-4")
        except (OSError, AttributeError, RuntimeError) as error:
            reasons.append(f"{name}: {error}")
    return None, "; ".join(reasons)


def _travels(library: ctypes.CDLL, algorithm: str) -> bool:
    """Cut a message at odd places, move the state each time, and compare the digest with hashlib's."""
    message = bytes(range(256)) * 5
    hasher = _PortableHasher(library, algorithm)
    for start, end in ((0, 1), (1, 64), (64, 200), (200, 777), (777, len(message))):
        hasher.update(message[start:end])
        if not hasher.fits():
            return False
        hasher = _PortableHasher(library, algorithm, hasher.export())
    return hasher.digest() == Digest.of(message, algorithm)


def new_hasher(algorithm: str = "sha256") -> Hasher:
    """Begin a digest, with a state that can travel if this machine allows it."""
    library = _libcrypto()
    return _PlainHasher(algorithm) if library is None else _PortableHasher(library, algorithm)


def resume_hasher(algorithm: str, state: bytes | None) -> Hasher | None:
    """Continue from an exported state, or return `None` if this machine cannot."""
    library = _libcrypto()
    if library is None or state is None or len(state) != _CONTEXT_SIZES[algorithm]:
        return None
    return _PortableHasher(library, algorithm, state)
