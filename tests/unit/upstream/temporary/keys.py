"""Private keys for tests, and what was signed with them."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any
from warnings import catch_warnings, simplefilter

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwk, jws
from joserfc.errors import SecurityWarning

KINDS: dict[str, Any] = {"RS256": jwk.RSAKey, "PS384": jwk.RSAKey, "ES256": jwk.ECKey, "EdDSA": jwk.OKPKey}


@lru_cache
def pem(algorithm: str) -> str:
    """Return a key for an algorithm."""
    key: Any
    if algorithm == "ES256":
        key = ec.generate_private_key(ec.SECP256R1())
    elif algorithm == "EdDSA":
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        key = rsa.generate_private_key(65537, 2048)
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def verified(token: str, algorithm: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a token, once its signature is right."""
    key = KINDS[algorithm].import_key(pem(algorithm))
    with catch_warnings():
        simplefilter("ignore", SecurityWarning)  # the name EdDSA is deprecated
        found = jws.deserialize_compact(token, key, algorithms=[algorithm])
    return dict(found.headers()), json.loads(found.payload)
