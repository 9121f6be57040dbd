import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zotpy.core.paging import PageInvalid, name_to_begin_after, next_link, parse_page_size

NAMES = st.text(string.ascii_letters + string.digits + "._-!", min_size=1, max_size=255)


@pytest.mark.parametrize(
    ("text", "size"), [(None, None), ("", None), ("0", 0), ("1", 1), ("1000", 1000), ("9999999999", 9999999999)]
)
def test_a_page_size_is_a_number_of_items(text: str | None, size: int | None) -> None:
    """Digits are read. Without `n` the client sets no limit."""
    assert parse_page_size(text) == size


@pytest.mark.parametrize("text", ["-1", "+1", "1.5", "ten", " 1", "1 ", "٣", "²", "1" * 11, "1" * 5000])
def test_what_is_no_number_of_items_is_refused(text: str) -> None:
    """The error quotes no more than the beginning."""
    with pytest.raises(PageInvalid) as caught:
        parse_page_size(text)
    assert len(caught.value.message) < 100


@given(names=st.lists(NAMES), text=st.one_of(st.text(), NAMES.flatmap(lambda name: st.text().map(name.__add__))))
def test_any_text_stands_somewhere_in_a_list(names: list[str], text: str) -> None:
    """What is sent to the store in its place is short and printable, and the same names come after it."""
    after = name_to_begin_after(text)
    assert len(after) <= 255
    assert all("!" <= character <= "~" for character in after)
    assert [name for name in names if name > text] == [name for name in names if name > after]


def test_the_next_page_is_a_link_with_the_parameters_that_are_set() -> None:
    """What is `None` is left out; 0 and the empty string are kept."""
    link = next_link("/v2/a/b/tags/list", {"n": 0, "last": "v1", "absent": None, "empty": ""})
    assert link == '</v2/a/b/tags/list?n=0&last=v1&empty=>; rel="next"'


def test_the_link_cannot_be_broken_out_of() -> None:
    """Whatever stands in a parameter or path is encoded, so that it ends neither the URL nor the header."""
    link = next_link("/v2/a>b", {"last": 'x>; rel="evil"&n=1\r\n'})
    assert link == '</v2/a%3Eb?last=x%3E%3B+rel%3D%22evil%22%26n%3D1%0D%0A>; rel="next"'
