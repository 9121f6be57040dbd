#!/bin/sh
# hypercorn: "100 Continue" goes out before the application is called, so a body comes that is about to be refused.
#
# Expected: a client that waits for `Expect: 100-continue` is asked for its body if the application reads it, as uvicorn does at
#   the first `receive()`. An application that refuses a request by its head answers at once, and the client sends no body. That
#   is what the header is for (RFC 9110, 10.1.1: "an immediate response with a final status code, if that status can be determined
#   by examining just the method, target URI, and header section, or an immediate 100").
# Seen: hypercorn sends `100 Continue` as soon as it has parsed the head, also on trio, and for an application that never calls
#   `receive()`. Then comes the refusal. uvicorn sends the refusal alone.
# For a registry: a client with a layer of 10 GiB and a wrong password uploads all of it before it learns that it may not. Whatever
#   is to be refused by its head must be known to the server below the application.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check 'hypercorn[trio]==0.18.0' trio==0.35.0 h11==0.16.0 uvicorn==0.35.0
cd "$dir"
cat >app.py <<'PYTHON'
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0"), (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": b""})
PYTHON
"$dir/venv/bin/python" - <<'PYTHON'
import contextlib
import socket
import subprocess
import sys
import time
from importlib.metadata import version

REQUEST = b"PUT /blob HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"


def first_answer(*command: str) -> str:
    """Start a server, send the head of a request, wait for the end of the connection, and return all status lines."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    at = {"hypercorn": ["--bind", f"127.0.0.1:{port}"], "uvicorn": ["--port", str(port)]}[command[0]]
    server = subprocess.Popen([sys.executable, "-m", *command, *at, "app:app"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=60) as client:
                client.sendall(REQUEST)
                received = b""
                while b"401" not in received and (data := client.recv(4096)):
                    received += data
                return ", ".join(line.decode()[9:12] for line in received.split(b"\r\n") if line.startswith(b"HTTP/"))
            time.sleep(0.1)
        return "no answer"
    finally:
        server.terminate()
        server.wait()


seen = {
    "hypercorn on trio": first_answer("hypercorn", "--worker-class", "trio"),
    "hypercorn on asyncio": first_answer("hypercorn"),
    "uvicorn": first_answer("uvicorn", "--http", "h11"),
}
print("version: hypercorn", version("hypercorn"), "beside uvicorn", version("uvicorn"))
print("expected: 401 alone, from an application that does not read the body")
print("seen:", "; ".join(f"{name}: {answers}" for name, answers in seen.items()))
sys.exit(0 if list(seen.values()) == ["100, 401", "100, 401", "401"] else 1)
PYTHON
