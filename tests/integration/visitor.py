"""What another user of the machine gets from the ports, sockets and files of an embedded store: `visitor.py WHAT ...`.

Runs by itself under that user, so it imports nothing of ours. Prints one line for each thing that it got.
"""

import json
import os
import socket
import ssl
import sys

TIMEOUT_S = 30
REQUESTS = ("/", "/status", "/dir/assign", "/dir/status", "/vol/grow", "/zotpy", "/buckets/zotpy/", "/ui/index.html")
REFUSALS = (b"400", b"403", b"404")
HEALTH = "/status"
"""S3 answers it to anyone, with nothing but that it runs."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
"""How gRPC begins, without TLS: the server answers with a SETTINGS frame (type 4)."""


def say(*words: object) -> None:
    """Print one line."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")


def said(connection: socket.socket, sent: bytes) -> bytes:
    """Send, and read the answer to its end, or what there is of it."""
    received = b""
    try:
        connection.sendall(sent)
        while piece := connection.recv(65536):
            received += piece
            if received[3:4] == b"\4":
                break
    except OSError:
        pass
    return received


def connected(address: object, *, tls: bool = False) -> socket.socket:
    """Connect to a port or to a path, with TLS but no certificate where asked to."""
    kind = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    connection = socket.socket(kind)
    connection.settimeout(TIMEOUT_S)
    connection.connect(address if isinstance(address, str) else ("127.0.0.1", address))
    if not tls:
        return connection
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context.wrap_socket(connection)


def visit(address: object) -> None:
    """Try HTTP and gRPC, with TLS and without."""
    for tls in (False, True):
        for path in (*REQUESTS, None):
            sent = PREFACE if path is None else f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
            try:
                with connected(address, tls=tls) as connection:
                    received = said(connection, sent)
            except OSError:
                continue
            if received[3:4] == b"\4":
                say(address, "speaks gRPC", "with TLS" if tls else "")
                continue
            head, _, body = received.partition(b"\r\n\r\n")
            if head and head.split()[1] not in REFUSALS and (body or path != HEALTH):
                say(address, "answers", path, head.splitlines()[0], body)


def main() -> None:
    """Visit everything named in the JSON on the command line: ports, sockets, and a directory."""
    what = json.loads(sys.argv[1])
    for address in [*what["ports"], *what["sockets"]]:
        visit(address)
    for place, folders, files in os.walk(what["directory"]):
        for name in (*folders, *files):
            if os.access(f"{place}/{name}", os.R_OK) and name != "":
                say(f"{place}/{name}", "can be read")
    say("visited", len(what["ports"]), "ports and", len(what["sockets"]), "sockets")


if __name__ == "__main__":
    main()
