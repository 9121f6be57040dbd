#!/bin/sh
# trio and anyio: who refuses the other side's certificate does not tell it, although OpenSSL has written the alert.
#
# Expected: "Whenever an implementation encounters a fatal error condition, it SHOULD send an appropriate fatal alert" (RFC 8446, 6.2). With
#   Python's own `SSLSocket` the other side reads "tlsv1 alert unknown ca", and knows what to mend.
# Seen: the stream raises, and the alert stays in the memory to which OpenSSL has written it. The other side only sees that the connection
#   ended. It is so for a client that does not trust a server, and for a server that does not trust a client's certificate.
#   For trio it is known: https://github.com/python-trio/trio/pull/3413
# For a registry: clients on httpx with trio or anyio, and servers on hypercorn with trio, leave the operator of the other side without a
#   reason. zotpy sends the alert. Its log can only say that such a client has left.
# Needs openssl.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check trio==0.35.0 anyio==4.16.0
for name in server client; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -keyout "$dir/$name.key" -out "$dir/$name.crt" 2>/dev/null
done
"$dir/venv/bin/python" - "$dir" <<'PYTHON'
import pathlib
import socket
import ssl
import sys
import threading
from contextlib import suppress
from importlib.metadata import version

import anyio
import trio

folder = pathlib.Path(sys.argv[1])
REFUSED = (ssl.SSLError, trio.BrokenResourceError, anyio.BrokenResourceError)


def server_context(*, asks: bool = False) -> ssl.SSLContext:
    """Return what shows the server's certificate, and perhaps asks for one that nobody has signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(*, trusts: bool = False) -> ssl.SSLContext:
    """Return what trusts the server's certificate, or does not, and shows one of its own."""
    context = ssl.create_default_context(cafile=folder / "server.crt" if trusts else folder / "client.crt")
    context.load_cert_chain(folder / "client.crt", folder / "client.key")
    return context


def by_socket(plain: socket.socket, context: ssl.SSLContext, *, serves: bool) -> None:
    with plain, suppress(*REFUSED):
        context.wrap_socket(plain, server_side=serves, server_hostname=None if serves else "localhost")


def by_trio(plain: socket.socket, context: ssl.SSLContext, *, serves: bool) -> None:
    async def main() -> None:
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(plain))
        name = None if serves else "localhost"
        secured = trio.SSLStream(stream, context, server_side=serves, server_hostname=name)
        with suppress(*REFUSED):
            await secured.do_handshake()
        await secured.aclose()

    trio.run(main)


def by_anyio(plain: socket.socket, context: ssl.SSLContext, *, serves: bool) -> None:
    async def main() -> None:
        stream = await anyio.abc.SocketStream.from_socket(plain)
        name = None if serves else "localhost"
        with suppress(*REFUSED):
            await anyio.streams.tls.TLSStream.wrap(stream, server_side=serves, hostname=name, ssl_context=context)
        await stream.aclose()

    anyio.run(main)


def told(refuse: object, *, serves: bool) -> str:
    """Let one side refuse the other's certificate, and return what the other, Python's own, learns of it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    context = server_context(asks=True) if serves else client_context()
    thread = threading.Thread(target=refuse, args=(ours, context), kwargs={"serves": serves})
    thread.start()
    theirs.settimeout(60)
    try:
        other = client_context(trusts=True) if serves else server_context()
        with other.wrap_socket(theirs, server_side=not serves, server_hostname="localhost" if serves else None) as secured:
            return "nothing" if secured.recv(1) == b"" else "bytes"
    except OSError as error:
        return "alert" if "alert" in str(error) else "nothing"
    finally:
        theirs.close()
        thread.join()


seen = {
    f"{name} as {'server' if serves else 'client'}": told(refuse, serves=serves)
    for name, refuse in {"ssl": by_socket, "trio": by_trio, "anyio": by_anyio}.items()
    for serves in (False, True)
}
print("version: trio", version("trio"), "anyio", version("anyio"), ssl.OPENSSL_VERSION)
print("expected: the other side is told: alert")
for name, what in seen.items():
    print(f"seen: {name}: {what}")
sys.exit(0 if list(seen.values()) == ["alert", "alert", *["nothing"] * 4] else 1)
PYTHON
