"""Signed tokens as they are shown (RFC 7515, RFC 7519): what one says, and whether a key has signed it.

Only algorithms with a public key are known here. So a token cannot be without a signature (`none`), and nobody can take
a public key for the secret of an HMAC.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwk, jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError

LONGEST_TOKEN = 16 * 1024
"""Characters. Those of GitHub and GitLab have two thousand."""
LONGEST_HEADER = 8 * 1024
ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)


class _Signatures(jws.JWSRegistry):
    """Knows no algorithm but these, and headers as long as those that carry certificates."""

    max_header_length = LONGEST_HEADER

    def get_alg(self, name: str) -> Any:
        """Return an algorithm. The library's own method warns of the name EdDSA, which issuers use."""
        if name not in ALGORITHMS:
            msg = f"{name} is not allowed"
            raise UnsupportedAlgorithmError(msg)
        return self.algorithms[name]


_SIGNATURES = _Signatures(algorithms=ALGORITHMS, strict_check_header=False)


@dataclass(frozen=True, slots=True)
class ShownToken:
    """A token whose signature nobody has checked yet."""

    algorithm: str
    kid: str | None
    kind: object
    """The header's `typ`, whatever it has there; `None`: it has none."""
    claims: Mapping[str, Any]
    _signed: jws.CompactSignature = field(repr=False)

    def is_signed_by(self, key: jwk.Key) -> bool:
        """Say whether this key has signed it. No if the key does not fit the algorithm."""
        try:
            return jws.validate_compact(self._signed, key, registry=_SIGNATURES)
        except (JoseError, ValueError, TypeError):
            return False


def read_token(text: str) -> ShownToken | None:
    """Read a token, without any check of who has signed it. `None`: the text is no token that a known key can check."""
    if len(text) > LONGEST_TOKEN:
        return None
    try:
        signed = jws.extract_compact(text.encode(), registry=_SIGNATURES)
        header, claims = signed.headers(), json.loads(signed.payload or b"")
    except (JoseError, ValueError, TypeError, RecursionError):
        return None
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS or "crit" in header or not isinstance(kid, str | None):
        return None
    return ShownToken(algorithm, kid, header.get("typ"), claims, signed) if isinstance(claims, dict) else None


def audiences_of(claims: Mapping[str, Any]) -> list[Any]:
    """Return what the claim `aud` names: one audience, or a list of them (RFC 7519, section 4.1.3)."""
    audience = claims.get("aud")
    return audience if isinstance(audience, list) else [audience]
