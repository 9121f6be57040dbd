from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zotpy.core.digests import Digest
from zotpy.core.framing import FramingError, frame, unframe
from zotpy.core.hashing import new_hasher
from zotpy.core.parts import PartPlan, equal_parts
from zotpy.core.pieces import Pieces
from zotpy.core.upload_state import BegunMultipart, KeptData, SentPart, UploadState

PLAN = PartPlan(8, 32, 1000)
TEXT = st.text(max_size=20)
PART = st.builds(SentPart, st.integers(1, 10_000), TEXT, TEXT)
PARTS = st.lists(PART, max_size=5).map(tuple)
STATES = st.builds(
    UploadState,
    algorithm=st.sampled_from(["sha256", "sha512"]),
    plan=st.builds(PartPlan, st.integers(1, 2**33), st.integers(1, 2**33), st.integers(1, 10_000)),
    offset=st.integers(0, 2**50),
    multipart=st.none() | st.builds(BegunMultipart, TEXT, TEXT),
    parts=PARTS,
    hash_state=st.none() | st.binary(max_size=216),
    tail=st.binary(max_size=300).map(Pieces),
    cancelled=st.booleans(),
    tail_part=st.none() | PART,
)


KEPT = UploadState(
    "sha256", PLAN, offset=7, hash_state=b"x", kept=KeptData("d", datetime(2026, 1, 2, 3, 4, 5, 250_000, tzinfo=UTC))
)


def written(**changes: object) -> bytes:
    """Write a state with some fields of its header replaced."""
    header, tail = unframe(bytes(UploadState("sha256", PLAN, offset=4, hash_state=b"x", tail=Pieces(b"tail")).encode()))
    return frame(header | changes, tail)


def test_what_is_kept_comes_back() -> None:
    """All bytes are in the data object that the state names: none in parts, none in the state."""
    read = UploadState.decode(bytes(KEPT.encode()))
    assert (read.kept, read.encode()) == (KEPT.kept, KEPT.encode())
    assert (read.sent_bytes, len(read.tail), read.cancelled) == (0, 0, False)


def test_who_does_not_know_of_kept_bytes_reads_a_cancelled_upload() -> None:
    """An older release refuses to go on with it, rather than to make a blob of nothing."""
    header, tail = unframe(bytes(KEPT.encode()))
    del header["kept"]
    assert UploadState.decode(frame(header, tail)).cancelled
    assert not tail


def test_who_does_not_know_of_a_tail_that_was_sent_sends_it() -> None:
    """An older release finds the tail itself, as ever."""
    state = UploadState("sha256", PLAN, offset=12, parts=(SentPart(1, "e", "c"),), tail=Pieces(b"tail"))
    header, tail = unframe(bytes(replace(state, tail_part=SentPart(2, "f", "d")).encode()))
    del header["tailPart"]
    assert frame(header, tail) == state.encode()


def test_a_closed_state_has_all_bytes_in_parts() -> None:
    """What was the tail is the last part; a state whose tail was not sent stays as it is."""
    open_state = UploadState("sha256", PLAN, offset=12, parts=(SentPart(1, "e", "c"),), tail=Pieces(b"tail"))
    assert open_state.closed() is open_state
    closed = replace(open_state, tail_part=SentPart(2, "f", "d")).closed()
    assert (closed.sent_bytes, [part.number for part in closed.parts]) == (12, [1, 2])


@given(STATES)
def test_a_state_comes_back(state: UploadState) -> None:
    """Whatever replica reads the state sees what the other one wrote."""
    read = UploadState.decode(bytes(state.encode()))
    assert read.encode() == state.encode()
    assert bytes(read.tail) == bytes(state.tail)
    for name in ("algorithm", "plan", "offset", "multipart", "parts", "hash_state", "tail_part"):
        assert getattr(read, name) == getattr(state, name)
    assert read.cancelled == state.cancelled


def test_a_state_of_an_earlier_release_goes_on_with_equal_parts() -> None:
    """What was written before parts could grow is read as it was meant."""
    header = (
        b'{"v":1,"algorithm":"sha256","partSize":8388608,"offset":8388612,"data":"d","multipart":"m",'
        b'"parts":[[1,"\\"e\\"","crc="]],"hash":null,"cancelled":false}'
    )
    state = UploadState.decode(header + b"\ntail")
    assert state.plan == equal_parts(8388608)
    assert (state.offset, state.sent_bytes, bytes(state.tail)) == (8388612, 8388608, b"tail")
    assert [part.number for part in state.parts] == [1]


def test_what_is_in_parts_is_the_offset_without_the_tail() -> None:
    """All safe bytes are in parts, but for the tail."""
    assert UploadState("sha256", PLAN, offset=20, tail=Pieces(b"tail")).sent_bytes == 16


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_hashing_goes_on_where_the_last_request_stopped(algorithm: str) -> None:
    """A state that travelled continues to the digest of all the bytes."""
    hasher = new_hasher(algorithm)
    hasher.update(b"one")
    state = UploadState.decode(bytes(UploadState(algorithm, PLAN, offset=3, hash_state=hasher.export()).encode()))
    resumed = state.hasher()
    assert resumed is not None
    resumed.update(b"two")
    assert resumed.digest() == Digest.of(b"onetwo", algorithm)


def test_a_new_upload_hashes_from_the_beginning() -> None:
    """An upload of no bytes needs no state to go on from."""
    hasher = UploadState("sha512", PLAN).hasher()
    assert hasher is not None
    assert hasher.digest() == Digest.of(b"", "sha512")


@pytest.mark.parametrize("hash_state", [None, b"short"])
def test_bytes_without_a_usable_hash_state_must_be_read_back(hash_state: bytes | None) -> None:
    """An upload that has bytes is never hashed as if it had none."""
    assert UploadState("sha256", PLAN, offset=3, hash_state=hash_state).hasher() is None


@given(STATES)
def test_a_tombstone_keeps_nothing_of_the_upload(state: UploadState) -> None:
    """A cancelled upload holds no bytes, no multipart and no digest that a late chunk could go on from."""
    tombstone = UploadState.decode(bytes(state.tombstone().encode()))
    assert tombstone.cancelled
    assert (tombstone.offset, tombstone.sent_bytes, len(tombstone.tail), tombstone.parts) == (0, 0, 0, ())
    assert (tombstone.multipart, tombstone.hash_state) == (None, None)


@pytest.mark.parametrize("field", sorted(unframe(written())[0].keys() - {"v", "growth"}))
def test_a_state_without_one_of_its_fields_is_damaged(field: str) -> None:
    """No field is guessed."""
    header, tail = unframe(written())
    del header[field]
    with pytest.raises(FramingError):
        UploadState.decode(frame(header, tail))


@pytest.mark.parametrize(
    "changes",
    [
        {"offset": None},
        {"offset": "many"},
        {"partSize": []},
        {"growth": 7},
        {"growth": [7]},
        {"growth": [0, 7]},
        {"growth": ["many", 7]},
        {"parts": None},
        {"parts": 1},
        {"parts": [1]},
        {"parts": [[1, "etag"]]},
        {"parts": [["one", "etag", "crc"]]},
        {"hash": 1},
        {"hash": "a"},
        {"hash": "ä"},
        {"kept": "d"},
        {"kept": ["d"]},
        {"kept": ["d", "long ago"]},
        {"kept": ["d", 1e300]},
    ],
)
def test_a_state_with_a_field_of_another_kind_is_damaged(changes: dict[str, object]) -> None:
    """What cannot be read says so, and is no crash."""
    with pytest.raises(FramingError):
        UploadState.decode(written(**changes))
