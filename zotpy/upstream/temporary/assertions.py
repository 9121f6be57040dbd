"""JWTs that we sign with a private key, to be exchanged for an access token (RFC 7523)."""

import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from zotpy.upstream.errors import UpstreamUnavailable

LIFE_S = 300
_RSA, _EC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("ES256", "ES384", "ES512")
ALGORITHMS = (*_RSA, *_EC, "EdDSA")


def sign_assertion(claims: Mapping[str, Any], pem: bytes, algorithm: str, key_id: str, life_s: int = LIFE_S) -> str:
    """Return a JWT with these claims, the times, and an id of its own. Raises `UpstreamUnavailable`."""
    from joserfc import jwk, jws  # noqa: PLC0415 - few upstreams need it
    from joserfc.errors import JoseError  # noqa: PLC0415 - the same

    class Known(jws.JWSRegistry):
        def get_alg(self, name: str) -> Any:
            """Return an algorithm, without a warning of the name EdDSA."""
            return self.algorithms[name]

    if algorithm not in ALGORITHMS:
        msg = f"cannot sign with the algorithm {algorithm!r}: write one of {', '.join(ALGORITHMS)}"
        raise UpstreamUnavailable(msg)
    kind = jwk.RSAKey if algorithm in _RSA else jwk.ECKey if algorithm in _EC else jwk.OKPKey
    now = int(time.time())
    header = {"alg": algorithm, "typ": "JWT", **({"kid": key_id} if key_id else {})}
    payload = json.dumps({**claims, "iat": now, "exp": now + life_s, "jti": secrets.token_hex(16)})
    try:
        return jws.serialize_compact(header, payload, kind.import_key(pem), registry=Known(algorithms=list(ALGORITHMS)))
    except (JoseError, ValueError, TypeError) as error:
        msg = f"the private key cannot sign with {algorithm}: {type(error).__name__}"
        raise UpstreamUnavailable(msg) from error
