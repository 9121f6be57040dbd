#!/bin/sh
# Quart: the answer to HEAD runs the generator of the body to its end, where Flask does not begin it.
#
# Expected: a route for GET also answers HEAD, and a body that is made piece by piece is not made then. "Quart is an
#   asyncio reimplementation of the popular Flask web application framework" (README), and Flask does not begin the generator for HEAD.
# Seen: Quart takes every piece of the body from the generator, and gives all of them to the server, which throws them away. Its
#   own test client returns them as the data of the answer to HEAD.
# For a registry: clients ask for blobs with HEAD before they push. Such an answer reads the whole layer from the store, and takes as
#   long as a pull. A route needs an answer of its own for HEAD, as zotpy has.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check quart==0.22.0 flask==3.1.2 werkzeug==3.1.9
"$dir/venv/bin/python" - <<'PYTHON'
import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version

import flask
import quart

PIECES, PIECE = 1000, bytes(1024)
HEADERS = {"Content-Length": str(PIECES * len(PIECE))}
taken = {"flask": 0, "quart": 0}
by_flask, by_quart = flask.Flask("finding"), quart.Quart("finding")


@by_flask.get("/blob")
def blob() -> tuple[object, int, dict[str, str]]:
    def pieces() -> Iterator[bytes]:
        for _ in range(PIECES):
            taken["flask"] += 1
            yield PIECE

    return pieces(), 200, HEADERS


@by_quart.get("/blob")
async def blob_of_quart() -> tuple[object, int, dict[str, str]]:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(PIECES):
            taken["quart"] += 1
            yield PIECE

    return pieces(), 200, HEADERS


async def head() -> tuple[int, int]:
    answer = await by_quart.test_client().head("/blob")
    return answer.status_code, len(await answer.get_data())


status = by_flask.test_client().head("/blob").status_code
status_of_quart, length = asyncio.run(head())
print("version:", *(f"{name} {version(name)}" for name in ("quart", "flask", "werkzeug")))
print("expected: 0 of", PIECES, "pieces are made for HEAD")
print("seen: flask:", status, taken["flask"], "pieces")
print("seen: quart:", status_of_quart, taken["quart"], "pieces,", length, "bytes in the answer")
as_found = (status, status_of_quart, length, taken) == (200, 200, PIECES * len(PIECE), {"flask": 0, "quart": PIECES})
sys.exit(0 if as_found else 1)
PYTHON
