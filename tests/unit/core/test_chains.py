"""What operators read about a certificate that is not good."""

from __future__ import annotations

import ssl

import pytest

from zotpy.core.chains import refusal_of


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (10, "the certificate of s3.example has expired"),
        (62, "the certificate of s3.example is for other names: write one of these in the address"),
        (64, "the certificate of s3.example is for other names: write one of these in the address"),
        (20, "the certificate of s3.example is not trusted (why): name its authority in cabundle"),
    ],
)
def test_what_to_do_is_in_the_sentence(code: int, told: str) -> None:
    """A certificate that has expired needs another remedy than one that nobody vouches for."""
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_code, error.verify_message = code, "why"
    assert refusal_of(error, "s3.example", "cabundle") == told
