import pytest
from hypothesis import given
from hypothesis import strategies as st

from zotpy.core.framing import FramingError, frame, unframe

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), JSON), st.binary())
def test_any_header_and_any_body_come_back(header: dict[str, object], body: bytes) -> None:
    """Neither newlines in the body nor any text in the header blur the border between them."""
    assert unframe(frame(header, body)) == (header, body)


def test_a_value_is_readable_by_eye() -> None:
    """The header is one line of JSON with its fields in order, the body follows as it is."""
    assert frame({"v": 1, "size": 3}, b"abc") == b'{"size":3,"v":1}\nabc'


def test_a_bytearray_is_framed_like_bytes() -> None:
    """The kind of buffer makes no difference to what is stored."""
    assert frame({}, bytearray(b"abc")) == frame({}, b"abc")


@pytest.mark.parametrize("value", [b"", b"{}", b"{\n", b"\n", b"[]\n", b"1\nabc", b"null\n", b"\xff\xfe\n", b"{}x\n"])
def test_what_is_not_framed_is_refused(value: bytes) -> None:
    """An object without a header of its own kind is damaged, whatever else it may hold."""
    with pytest.raises(FramingError):
        unframe(value)


@given(st.binary())
def test_no_bytes_crash_the_reader(value: bytes) -> None:
    """Reading what another program wrote ends in a value or in `FramingError`."""
    try:
        header, _ = unframe(value)
    except FramingError:
        return
    assert isinstance(header, dict)


def test_a_deeply_nested_header_is_damaged_too() -> None:
    """A header too deep for the JSON reader is no crash."""
    with pytest.raises(FramingError):
        unframe(b'{"a":' * 100_000 + b"\n")
