import hashlib

import pytest

from zotpy.core.digests import HEX_LENGTHS, Digest, parse_algorithm
from zotpy.core.errors import DigestInvalid

HEX_256 = hashlib.sha256(b"content").hexdigest()
HEX_512 = hashlib.sha512(b"content").hexdigest()


@pytest.mark.parametrize("text", [f"sha256:{HEX_256}", f"sha512:{HEX_512}"])
def test_digests_are_read_and_written_alike(text: str) -> None:
    """A digest of a registered algorithm comes back as it was written."""
    assert str(Digest.parse(text)) == text


@pytest.mark.parametrize("algorithm", HEX_LENGTHS)
def test_the_digest_of_content_is_that_of_hashlib(algorithm: str) -> None:
    """Each algorithm computes what its name says."""
    assert Digest.of(b"content", algorithm) == Digest(algorithm, hashlib.new(algorithm, b"content").hexdigest())


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "sha256", "sha256:", f":{HEX_256}", HEX_256),
        *(f"sha256:{HEX_256[:-1]}", f"sha256:{HEX_256}0", f"sha512:{HEX_256}", f"sha256:{HEX_512}"),
        *(f"sha256:{HEX_256.upper()}", f"SHA256:{HEX_256}", f"sha256:{HEX_256[:-1]}g", f"sha256::{HEX_256}"),
        *(f" sha256:{HEX_256}", f"sha256:{HEX_256}\n", f"sha256:{'٣' * 64}", f"sha256:{'../' * 21}a"),
    ],
)
def test_malformed_digests_are_refused(text: str) -> None:
    """What is not exactly an algorithm and its number of lower-case hexadecimal digits is no digest."""
    with pytest.raises(DigestInvalid):
        Digest.parse(text)


@pytest.mark.parametrize(
    "text", [f"md5:{'0' * 32}", f"blake3:{'0' * 64}", "sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7"]
)
def test_an_unknown_algorithm_is_named_in_the_refusal(text: str) -> None:
    """A well-formed digest of an algorithm not offered tells the caller which to use."""
    with pytest.raises(DigestInvalid, match="not supported: use sha256 or sha512"):
        Digest.parse(text)


def test_the_refusal_of_an_endless_digest_is_short() -> None:
    """A digest of a megabyte does not come back as an error of a megabyte."""
    with pytest.raises(DigestInvalid) as caught:
        Digest.parse("sha256:" + "0" * 2**20)
    assert len(caught.value.message) < 1000
    assert len(str(caught.value.detail)) < 1000


@pytest.mark.parametrize("text", ["sha256", "sha512"])
def test_registered_algorithms_are_accepted(text: str) -> None:
    """`?digest-algorithm=` takes what digests take."""
    assert parse_algorithm(text) == text


@pytest.mark.parametrize("text", ["", "md5", "SHA256", "sha256 "])
def test_other_algorithms_are_refused(text: str) -> None:
    """`?digest-algorithm=` takes nothing else."""
    with pytest.raises(DigestInvalid):
        parse_algorithm(text)
