#!/bin/sh
# hypercorn: ProxyFixMiddleware takes the quotes of `Forwarded` for a part of the address, and knows no name but in lower case.
#
# Expected: in its mode "modern" the client's address is that of `for=` in the header `Forwarded` of RFC 7239. There an address of IPv6
#   is always in quotes and brackets, `for="[2001:db8::1]"`, and a value with a port is in quotes (6). Names of parameters are
#   case-insensitive (4), and the RFC's own examples have `For=`.
# Seen: `scope["client"]` is `"[2001:db8::1]:4711"` with the quotes, brackets and port. `proto="https"` makes a scheme with quotes. With
#   `For=` the header counts for nothing, and the client is the proxy.
# For a registry: rules by address, limits for each client and logs go wrong for every client with IPv6 behind such a proxy, and only for
#   those. zotpy reads `Forwarded` itself.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check hypercorn==0.18.0
"$dir/venv/bin/python" - <<'PYTHON'
import asyncio
import sys
from importlib.metadata import version

from hypercorn.middleware import ProxyFixMiddleware

CASES = {
    "for=192.0.2.43;proto=https": ("192.0.2.43", "https"),
    'for="[2001:db8::1]:4711";proto=https': ("2001:db8::1", "https"),
    'for=192.0.2.43;proto="https"': ("192.0.2.43", "https"),
    "For=192.0.2.43;Proto=https": ("192.0.2.43", "https"),
}
FOUND = [
    ("192.0.2.43", "https"),
    ('"[2001:db8::1]:4711"', "https"),
    ("192.0.2.43", '"https"'),
    ("10.0.0.1", "http"),
]
seen = []


async def app(scope: dict, *_: object) -> None:
    """Note what the middleware says about the client."""
    seen.append((scope["client"][0], scope["scheme"]))


async def main() -> None:
    fixed = ProxyFixMiddleware(app, mode="modern", trusted_hops=1)
    for header in CASES:
        headers = [(b"host", b"a"), (b"forwarded", header.encode())]
        await fixed({"type": "http", "client": ("10.0.0.1", 5000), "scheme": "http", "headers": headers}, None, None)


asyncio.run(main())
print("version: hypercorn", version("hypercorn"))
for (header, expected), found in zip(CASES.items(), seen, strict=True):
    print(f"expected: {header}: {expected}")
    print(f"seen: {header}: {found}")
sys.exit(0 if seen == FOUND else 1)
PYTHON
