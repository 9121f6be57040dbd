import pytest
from hypothesis import given
from hypothesis import strategies as st

from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid, NameInvalid, TagInvalid
from zotpy.core.names import RepositoryName, Tag, parse_reference

LONGEST_NAME = "a" * 127 + "/" + "b" * 127
DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    "text", ["a", "0", "a/b", "a.b", "a_b", "a__b", "a-b", "a---b", "a0/b-1/c.2", "library/ubuntu", LONGEST_NAME]
)
def test_names_of_the_grammar_are_kept_as_they_are(text: str) -> None:
    """A name that the spec allows parses to itself."""
    assert str(RepositoryName.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "A", "a/B", "/a", "a/", "a//b", ".a", "a.", "a..b", "a___b", "_a", "a_", "-a", "a-", "a._b"),
        *("a b", "a!", "a!/b", "a:b", "a@b", "a\n", "\na", "ä", "a/٣", "a\x00", "../a", "a/../b"),
        LONGEST_NAME + "b",
    ],
)
def test_names_outside_the_grammar_are_refused(text: str) -> None:
    """A name that the spec does not allow says so, and quotes no more than 300 characters of it."""
    with pytest.raises(NameInvalid) as caught:
        RepositoryName.parse(text)
    assert caught.value.detail == {"name": text}


def test_the_refusal_of_an_endless_name_is_short() -> None:
    """A name of a megabyte does not come back as an error of a megabyte."""
    with pytest.raises(NameInvalid) as caught:
        RepositoryName.parse("A" * 2**20)
    assert len(caught.value.message) < 1000
    assert caught.value.detail == {"name": "A" * 300}


@pytest.mark.parametrize("text", ["latest", "_", "A", "0", "v1.0.0-rc_1", "a" * 128])
def test_tags_of_the_grammar_are_kept_as_they_are(text: str) -> None:
    """A tag that the spec allows parses to itself."""
    assert str(Tag.parse(text)) == text


@pytest.mark.parametrize("text", ["", ".a", "-a", "a" * 129, "a b", "a/b", "a:b", "a!", "ä", "a\n", "a+b"])
def test_tags_outside_the_grammar_are_refused(text: str) -> None:
    """A tag that the spec does not allow says so."""
    with pytest.raises(TagInvalid):
        Tag.parse(text)


@given(st.text())
def test_no_text_holds_an_exclamation_mark_and_is_a_name_or_a_tag(text: str) -> None:
    """The `!` by which keys end a repository name is in no name and in no tag."""
    with pytest.raises(NameInvalid):
        RepositoryName.parse(f"{text}!")
    with pytest.raises(TagInvalid):
        Tag.parse(f"{text}!")


def test_a_reference_with_a_colon_is_a_digest_and_any_other_a_tag() -> None:
    """No tag holds a colon, so the two forms of a reference cannot be mistaken."""
    assert parse_reference(DIGEST) == Digest("sha256", "0" * 64)
    assert parse_reference("sha256") == Tag("sha256")


@pytest.mark.parametrize(("text", "error"), [("a:b", DigestInvalid), (":", DigestInvalid), ("-", TagInvalid)])
def test_a_bad_reference_is_refused_as_what_it_looks_like(text: str, error: type[Exception]) -> None:
    """The error names the form that the reference was meant to have."""
    with pytest.raises(error):
        parse_reference(text)
