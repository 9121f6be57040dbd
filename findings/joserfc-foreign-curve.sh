#!/bin/sh
# joserfc: one key on a curve that it does not know makes a whole set of keys unreadable, by a KeyError.
#
# Expected: keys that are not understood are passed over: "Implementations SHOULD ignore JWKs within a JWK Set that use kty values that
#   are not understood by them, that are missing required members, or for which values are out of the supported ranges" (RFC 7517, 5).
#   joserfc does so for a foreign `kty` (https://github.com/authlib/joserfc/issues/104). PyJWT does so for all three.
# Seen: `KeySet.import_key_set` raises `KeyError('brainpoolP256r1')` for such a key of EC, which is no error of joserfc's, and another
#   error if a key of RSA lacks its exponent. The good key beside it cannot be used.
# For a registry: all logins by tokens fail from the moment on at which an issuer adds such a key for others. Keys have to be imported one
#   by one, and a KeyError has to be expected. zotpy does so.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check joserfc==1.8.0 pyjwt==2.15.1 cryptography
"$dir/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import jwt
from joserfc.jwk import ECKey, KeySet

good = ECKey.generate_key("P-256", {"kid": "good", "use": "sig"}).as_dict(private=False)
OTHERS = {
    "a foreign kty": {"kty": "NEW", "kid": "other"},
    "a foreign curve": {**good, "crv": "brainpoolP256r1", "kid": "other"},
    "a missing member": {"kty": "RSA", "n": "AQAB", "kid": "other"},
}
seen = {}
for name, other in OTHERS.items():
    document = {"keys": [good, other]}
    try:
        by_joserfc = [key.kid for key in KeySet.import_key_set(document).keys]
    except Exception as error:
        by_joserfc = type(error).__name__
    seen[name] = (by_joserfc, [key.key_id for key in jwt.PyJWKSet.from_dict(document).keys])
print("version: joserfc", version("joserfc"), "beside PyJWT", version("pyjwt"))
print("expected: the good key each time")
for name, (by_joserfc, by_pyjwt) in seen.items():
    print(f"seen: {name}: joserfc {by_joserfc}, PyJWT {by_pyjwt}")
found = [(["good"], ["good"]), ("KeyError", ["good"]), ("KeyParameterError", ["good"])]
sys.exit(0 if list(seen.values()) == found else 1)
PYTHON
