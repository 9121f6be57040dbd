import ctypes
import ctypes.util
import gc
import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zotpy.core import hashing
from zotpy.core.digests import HEX_LENGTHS, Digest
from zotpy.core.hashing import Hasher, new_hasher, resume_hasher
from zotpy.core.pieces import Buffer

BUFFERS: tuple[Callable[[bytes], Buffer], ...] = (
    bytes,
    bytearray,
    memoryview,
    lambda data: memoryview(bytearray(data)),
    lambda data: memoryview(b"x" + data)[1:],
    lambda data: memoryview(bytearray(b"x" + data))[1:],
)
ALGORITHMS = st.sampled_from(sorted(HEX_LENGTHS))


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take libcrypto away, as on a machine that has none."""
    monkeypatch.setattr(hashing, "_libcrypto", lambda: None)


def moved(hasher: Hasher) -> Hasher:
    """Let another replica go on."""
    state = hasher.export()
    assert state is not None
    resumed = resume_hasher(hasher.algorithm, bytes(bytearray(state)))
    assert resumed is not None
    return resumed


@given(ALGORITHMS, st.lists(st.tuples(st.binary(max_size=300), st.sampled_from(BUFFERS), st.booleans())))
def test_cuts_and_moves_anywhere_give_the_digest_of_hashlib(
    algorithm: str, pieces: list[tuple[bytes, Callable[[bytes], Buffer], bool]]
) -> None:
    """Wherever bytes are cut, in whatever buffer they come, and wherever the state travels: the digest is hashlib's."""
    hasher, whole = new_hasher(algorithm), b""
    for data, buffer, travels in pieces:
        hasher.update(buffer(data))
        whole += data
        if travels:
            hasher = moved(hasher)
        assert hasher.digest() == Digest(algorithm, hashlib.new(algorithm, whole).hexdigest())


@pytest.mark.parametrize("algorithm", HEX_LENGTHS)
def test_every_cut_of_three_blocks_gives_the_digest_of_hashlib(algorithm: str) -> None:
    """The edges of the algorithm's blocks are nothing special to a state that travels."""
    message = bytes(range(256)) + bytes(range(128))
    for cut in range(len(message) + 1):
        hasher = new_hasher(algorithm)
        hasher.update(message[:cut])
        hasher = moved(hasher)
        hasher.update(message[cut:])
        assert hasher.digest() == Digest.of(message, algorithm)


def test_more_may_follow_a_digest() -> None:
    """Asking for the digest in between does not end the hashing."""
    hasher = new_hasher()
    hasher.update(b"one")
    assert hasher.digest() == Digest.of(b"one")
    hasher.update(b"two")
    assert hasher.digest() == hasher.digest() == Digest.of(b"onetwo")


def test_a_state_can_be_gone_on_from_twice() -> None:
    """Two replicas that race from one state do not disturb each other."""
    hasher = new_hasher()
    hasher.update(b"one")
    first, second = moved(hasher), moved(hasher)
    first.update(b"1")
    second.update(b"2")
    assert (first.digest(), second.digest()) == (Digest.of(b"one1"), Digest.of(b"one2"))


@pytest.mark.parametrize("size", [2**20 + 1, 8 * 2**20])
def test_large_buffers_are_hashed_whole(size: int) -> None:
    """The length that goes to libcrypto is that of the buffer."""
    data = bytes(range(256)) * (size // 256 + 1)
    hasher = new_hasher()
    hasher.update(memoryview(bytearray(data))[:size])
    assert hasher.digest() == Digest.of(data[:size])


def test_pieces_of_many_lengths_leave_nothing_behind() -> None:
    """Bytes come from sockets in any length. None makes a type, which only the collector of cycles would find."""
    buffer, hasher = bytearray(1000), new_hasher()
    gc.collect()
    gc.disable()
    try:
        before = len(ctypes.Array.__subclasses__())
        for size in range(1, 1000):
            hasher.update(memoryview(buffer)[:size])
        assert len(ctypes.Array.__subclasses__()) == before
    finally:
        gc.enable()


@pytest.mark.parametrize("state", [None, b"", b"x" * 111, b"x" * 113, b"x" * 216])
def test_a_state_of_another_shape_is_not_gone_on_from(state: bytes | None) -> None:
    """Such an upload is read back instead."""
    assert resume_hasher("sha256", state) is None


def test_this_machine_has_a_libcrypto_whose_state_travels() -> None:
    """Where the tests run, chunked uploads are not read back; without this the tests above show little."""
    assert new_hasher().export() is not None


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("algorithm", HEX_LENGTHS)
def test_without_libcrypto_the_digest_is_right_and_the_state_stays(algorithm: str) -> None:
    """Nothing is exported and nothing resumed, but the digest is computed all the same."""
    hasher = new_hasher(algorithm)
    hasher.update(memoryview(b"content"))
    assert hasher.algorithm == algorithm
    assert hasher.digest() == Digest.of(b"content", algorithm)
    assert hasher.export() is None
    assert resume_hasher(algorithm, b"x" * 112) is None


def test_a_machine_without_libcrypto_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is one that an operator can do something about."""
    monkeypatch.delitem(sys.modules, "_hashlib", raising=False)
    monkeypatch.setattr(ctypes.util, "find_library", lambda _: None)
    with fresh_search():
        assert hashing.trouble() == "no libcrypto is found"
    monkeypatch.setattr(ctypes.util, "find_library", lambda _: "libc.so.6")
    with fresh_search():
        reason = hashing.trouble()
    assert reason is not None
    assert reason.startswith("libc.so.6: ")
    assert "SHA256_Init" in reason


class Longer:
    """A libcrypto whose contexts are longer than those that we know."""

    def __init__(self, library: ctypes.CDLL) -> None:
        """Do as this one does, and write behind its contexts."""
        self._library = library

    def __getattr__(self, name: str) -> Callable[..., object]:
        """Return a function of the library's."""
        function = getattr(self._library, name)

        def call(*arguments: Any) -> object:
            if name.endswith("_Init"):
                ctypes.memset(ctypes.addressof(arguments[0]._obj) + 300, 1, 8)
            return function(*arguments)

        return call


@pytest.mark.parametrize("algorithm", HEX_LENGTHS)
def test_a_libcrypto_with_longer_contexts_is_not_used(algorithm: str) -> None:
    """What it writes behind its context is its own memory still, and is seen, so that no state is cut short."""
    library = hashing._libcrypto()
    assert library is not None
    assert hashing._travels(library, algorithm)
    assert not hashing._travels(cast(ctypes.CDLL, Longer(library)), algorithm)


@contextmanager
def fresh_search() -> Iterator[None]:
    """Look for libcrypto anew, now and after the block."""
    hashing._search.cache_clear()
    yield
    hashing._search.cache_clear()
