#!/bin/sh
# Quart: a request body that is read piece by piece is received ahead of its reader, as a whole: there is no backpressure.
#
# Expected: `async for data in request.body` takes a body "in parts (without building up memory usage)", as the docstring of
#   `quart.wrappers.request.Body` says. A handler that rests after the first piece stops the client once the buffers of the sockets
#   are full, some MiB at most.
# Seen: a task of Quart's receives as fast as the client sends, and appends to a bytearray. All of 256 MiB is taken while the
#   handler rests after its first piece. The next piece is all the rest, in one `bytes`.
# For a registry: one push to a slow store takes as much memory as the layer is long. A body class of one's own has to ask the
#   server for each piece.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check quart==0.22.0 quart-trio==0.12.0 hypercorn==0.18.0 trio==0.35.0 werkzeug==3.1.9
"$dir/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import hypercorn.config
import hypercorn.trio
import trio
from quart import request
from quart_trio import QuartTrio

MIB = 1024 * 1024
BODY_MIB = 256
QUIET_S = 3.0

app = QuartTrio("app")
app.config["MAX_CONTENT_LENGTH"] = None
app.config["BODY_TIMEOUT"] = None
go_on = trio.Event()
pieces: list[int] = []


@app.put("/blob")
async def take() -> str:
    async for data in request.body:
        pieces.append(len(data))
        await go_on.wait()
    return "taken"


async def main() -> int:
    """Send a body to a handler that rests, and return how many MiB were taken meanwhile."""
    config = hypercorn.config.Config()
    config.bind, config.errorlog = ["127.0.0.1:0"], None
    sent = 0
    async with trio.open_nursery() as nursery:
        binds = await nursery.start(hypercorn.trio.serve, app, config)
        stream = await trio.open_tcp_stream("127.0.0.1", int(binds[0].rpartition(":")[2]))
        await stream.send_all(f"PUT /blob HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY_MIB * MIB}\r\n\r\n".encode())
        for _ in range(BODY_MIB):
            with trio.move_on_after(QUIET_S) as blocked:  # backpressure: the client cannot send on
                await stream.send_all(bytes(MIB))
            if blocked.cancelled_caught:
                break
            sent += 1
        if sent == BODY_MIB:
            go_on.set()
            with trio.fail_after(60):
                await stream.receive_some()
        nursery.cancel_scope.cancel()
    return sent


taken = trio.run(main)
longest = max(pieces) / MIB
print("version: quart", version("quart"), "quart-trio", version("quart-trio"), "hypercorn", version("hypercorn"))
print("expected: a client is stopped after a few MiB while the handler rests after its first piece")
print(f"seen: {taken} of {BODY_MIB} MiB were taken while it rested; the longest piece that it was given had {longest:.0f} MiB")
sys.exit(0 if taken == BODY_MIB and longest > BODY_MIB / 2 else 1)
PYTHON
