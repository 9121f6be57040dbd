import pytest

from zotpy.core.paging import PageInvalid, next_link, parse_page_size


@pytest.mark.parametrize(
    ("text", "size"), [(None, None), ("", None), ("0", 0), ("1", 1), ("1000", 1000), ("9999999999", 9999999999)]
)
def test_a_page_size_is_a_number_of_items(text: str | None, size: int | None) -> None:
    """Digits are read; without `n` there is no limit."""
    assert parse_page_size(text) == size


@pytest.mark.parametrize("text", ["-1", "+1", "1.5", "ten", " 1", "1 ", "٣", "²", "1" * 11, "1" * 5000])
def test_what_is_no_number_of_items_is_refused(text: str) -> None:
    """The error quotes no more than the beginning."""
    with pytest.raises(PageInvalid) as caught:
        parse_page_size(text)
    assert len(caught.value.message) < 100


def test_the_next_page_is_a_link_with_the_parameters_that_are_set() -> None:
    """What is `None` is left out; 0 and the empty string are kept."""
    link = next_link("/v2/a/b/tags/list", {"n": 0, "last": "v1", "absent": None, "empty": ""})
    assert link == '</v2/a/b/tags/list?n=0&last=v1&empty=>; rel="next"'


def test_the_link_cannot_be_broken_out_of() -> None:
    """Whatever stands in a parameter or path is encoded, so that it ends neither the URL nor the header."""
    link = next_link("/v2/a>b", {"last": 'x>; rel="evil"&n=1\r\n'})
    assert link == '</v2/a%3Eb?last=x%3E%3B+rel%3D%22evil%22%26n%3D1%0D%0A>; rel="next"'
