from __future__ import annotations

import pytest

from zotpy.core.json_objects import read_object


@pytest.mark.parametrize("content", [b'{"a": [1, null]}', bytearray(b' {"a": [1, null]} '), '{"a": [1, null]}'])
def test_an_object_is_read_from_bytes_and_text(content: bytes | bytearray | str) -> None:
    """Who calls need not decode."""
    assert read_object(content) == {"a": [1, None]}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("secret", "is not JSON"),
        ("", "is not JSON"),
        (b'{"a": "\xff"}', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"a":' * 100_000, "is not JSON"),
        ("[]", "is not a JSON object"),
        ("null", "is not a JSON object"),
        ('"secret"', "is not a JSON object"),
    ],
    ids=lambda value: str(value)[:10],
)
def test_whatever_is_wrong_is_one_kind_of_error(content: bytes | str, problem: str) -> None:
    """Also what is nested too deeply. The error repeats nothing of the content, neither itself nor as its cause."""
    with pytest.raises(ValueError, match=f"^{problem}$") as caught:
        read_object(content)
    assert caught.value.__cause__ is None
    assert "secret" not in str(caught.value)
