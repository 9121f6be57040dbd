"""The public key of a token service: a certificate or a key in PEM, or a set of keys in JSON with one key in it."""

import warnings
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from zotpy.core.json_objects import read_object
from zotpy.files import read_bounded

PublicKey = RSAKey | ECKey | OKPKey
LONGEST_FILE_BYTES = 64 * 1024
LEAST_RSA_BITS = 2048
_HOW = "write a certificate or a public key in PEM (RSA, EC or Ed25519), or a JWKS with one such key"


def read_public_key(file: Path) -> PublicKey:
    """Read the key in a file. Raises `OSError`, `ValueError`."""
    content = read_bounded(file, LONGEST_FILE_BYTES, _HOW)
    if b"PRIVATE KEY" in content:
        msg = f"the file has a private key, which only the token service should have: {_HOW}"
        raise ValueError(msg)
    with warnings.catch_warnings(category=SecurityWarning, action="ignore"):  # of short keys, which are refused here
        key = _of_json(content) if content.lstrip().startswith(b"{") else _of_pem(content)
    if isinstance(key, RSAKey) and key.public_key.key_size < LEAST_RSA_BITS:
        msg = f"the RSA key has fewer than {LEAST_RSA_BITS} bits: {_HOW}"
        raise ValueError(msg)
    return key


def _of_pem(content: bytes) -> PublicKey:
    try:
        is_certificate = b"-----BEGIN CERTIFICATE-----" in content
        key = x509.load_pem_x509_certificate(content).public_key() if is_certificate else load_pem_public_key(content)
    except ValueError as error:
        msg = f"the file has no public key: {_HOW}"
        raise ValueError(msg) from error
    if not isinstance(key, RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey):
        msg = f"the key is of a kind that signs no tokens: {_HOW}"
        raise ValueError(msg)  # noqa: TRY004 - a fault of the file
    written = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if isinstance(key, RSAPublicKey):
        return RSAKey.import_key(written)
    return ECKey.import_key(written) if isinstance(key, EllipticCurvePublicKey) else OKPKey.import_key(written)


def _of_json(content: bytes) -> PublicKey:
    try:
        document: Any = read_object(content)
        keys = KeySet.import_key_set(document).keys
    except (JoseError, ValueError, TypeError, KeyError) as error:
        msg = f"the file has no set of keys that can be read: {_HOW}"
        raise ValueError(msg) from error
    if len(keys) != 1 or not isinstance(keys[0], RSAKey | ECKey | OKPKey) or keys[0].is_private:
        msg = f"the file must have one key, and that one public: {_HOW}"
        raise ValueError(msg)
    return keys[0]
