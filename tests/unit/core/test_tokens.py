import base64
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zotpy.core.errors import UploadUnknown
from zotpy.core.upload_tokens import ShownToken, SigningKey, UploadToken

KEY = SigningKey("key", b"secret")
TOKEN = UploadToken("team/app", "upload", "sha256", 1234)
SIGNED = TOKEN.sign(KEY)
URL_SAFE = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def payload(document: object) -> str:
    """Write a token that nobody signed."""
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=") + ".AAAA"


@given(st.integers(min_value=0, max_value=2**63), st.sampled_from(["sha256", "sha512"]))
def test_a_signed_token_is_read_back(offset: int, algorithm: str) -> None:
    """The key that signed a token verifies it, and its text fits a query without escapes."""
    token = UploadToken("team/app", "upload", algorithm, offset)
    text = token.sign(KEY)
    assert set(text) <= URL_SAFE
    assert ShownToken.read(text).key_id == "key"
    assert ShownToken.read(text).verify("team/app", "upload", KEY) == token


@pytest.mark.parametrize(
    ("repo", "upload_id", "key"),
    [
        ("team/other", "upload", KEY),
        ("team/app", "other", KEY),
        ("team/app\0upload", "", KEY),
        ("team/app", "upload", SigningKey("key", b"another secret")),
    ],
)
def test_a_token_is_good_only_for_its_upload_and_its_key(repo: str, upload_id: str, key: SigningKey) -> None:
    """The repository and the upload are signed, though they stand in the path."""
    with pytest.raises(UploadUnknown):
        ShownToken.read(SIGNED).verify(repo, upload_id, key)


@pytest.mark.parametrize(("owner", "other"), [("alice", "bob"), ("alice", ""), ("", "alice"), ("a", "a\0")])
def test_a_token_is_good_only_for_its_owner(owner: str, other: str) -> None:
    """Whose upload it is, each request says anew. The text does not tell, and nobody else can use it."""
    text = UploadToken("team/app", "upload", "sha256", 1234, owner).sign(KEY)
    assert ShownToken.read(text).verify("team/app", "upload", KEY, owner).owner == owner
    assert text.partition(".")[0] == SIGNED.partition(".")[0]
    with pytest.raises(UploadUnknown):
        ShownToken.read(text).verify("team/app", "upload", KEY, other)


@given(st.text("a:\0/", max_size=6), st.text("a:\0/", max_size=6))
def test_names_with_colons_and_zero_bytes_are_names_like_others(owner: str, other: str) -> None:
    """The names of tokens' subjects have colons, and nobody checks them for zero bytes. Each owner has their own."""
    text = UploadToken("team/app", "upload", "sha256", 1234, owner).sign(KEY)
    assert ShownToken.read(text).verify("team/app", "upload", KEY, owner).owner == owner
    if owner != other:
        with pytest.raises(UploadUnknown):
            ShownToken.read(text).verify("team/app", "upload", KEY, other)


def test_the_name_of_an_owner_is_never_taken_for_what_was_signed() -> None:
    """A user who is called like the payload of a token cannot make a token of another upload out of their own."""
    name = json.dumps({"k": "key", "a": "sha256", "o": 9999}, separators=(",", ":"))
    first, mac = UploadToken("team/app", "upload", "sha256", 1234, name).sign(KEY).split(".")
    within = base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)).decode()
    forged = base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")
    with pytest.raises(UploadUnknown):
        ShownToken.read(f"{forged}.{mac}").verify("team/app", f"upload\0{within}", KEY)


def test_a_token_with_another_offset_is_refused() -> None:
    """Nobody but the registry says how many bytes are safe."""
    forged = payload({"k": "key", "a": "sha256", "o": 9999}).partition(".")[0] + "." + SIGNED.partition(".")[2]
    with pytest.raises(UploadUnknown):
        ShownToken.read(forged).verify("team/app", "upload", KEY)


@given(st.integers(0, len(SIGNED) - 1), st.sampled_from(sorted(URL_SAFE)))
def test_a_token_with_one_character_changed_never_says_anything_else(place: int, character: str) -> None:
    """A damaged token is refused, or it means what the sound one does (base64 has spare bits)."""
    try:
        token = ShownToken.read(f"{SIGNED[:place]}{character}{SIGNED[place + 1 :]}").verify("team/app", "upload", KEY)
    except UploadUnknown:
        return
    assert token == TOKEN


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "..", "a", "a.b", "ä.ö", SIGNED.replace(".", ""), SIGNED + ".", " " + SIGNED),
        *(payload({}), payload([]), payload(1), payload(None), payload({"k": "key", "a": "sha256"})),
        *(payload({"k": "key", "a": "sha256", "o": offset}) for offset in (None, "1", 1.5, True, [1])),
        pytest.param(base64.urlsafe_b64encode(b"[" * 100_000).decode() + ".AAAA", id="deep"),
        base64.urlsafe_b64encode(b"\xff\xfe").decode().rstrip("=") + ".AAAA",
    ],
)
def test_what_was_never_a_token_is_an_unknown_upload(text: str) -> None:
    """Whatever a client puts in the query, the answer is that the upload does not exist, and nothing crashes."""
    with pytest.raises(UploadUnknown):
        ShownToken.read(text).verify("team/app", "upload", KEY)


@given(st.text() | st.binary().map(lambda data: base64.urlsafe_b64encode(data).decode() + ".AAAA"))
def test_no_text_crashes_the_search_for_the_key(text: str) -> None:
    """The key's id is read before anything is verified, so it takes any text."""
    with suppress(UploadUnknown):
        assert isinstance(ShownToken.read(text).key_id, str)
