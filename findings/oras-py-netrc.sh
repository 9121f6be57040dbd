#!/bin/sh
# oras-py: an entry for the registry's host in .netrc replaces the token that oras-py has just fetched, and public images cannot be read.
#
# Expected: oras-py reads logins from docker's configuration file or from `login`. It has none, so it asks for an anonymous token where it
#   is told to, and sends this token: "Bearer ...". An entry that curl or git has for the same host changes nothing, as for oras, crane
#   and docker.
# Seen: oras-py lets requests send, and requests overrides a given header `Authorization` by .netrc (its documentation, Custom Headers).
#   So the request for the token and the one behind it carry the password of .netrc. The registry, which wants a token, answers 401 again.
# For a registry: a pull of a public image fails for one user on one machine, with a password that the user never gave to that client. Names
#   of hosts are best not shared with other services. The variable NETRC can name an empty file.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check oras==0.2.43 requests==2.34.2
HOME=$dir "$dir/venv/bin/python" - "$dir/.netrc" <<'PYTHON'
import json
import os
import pathlib
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

import oras.client

os.environ.pop("NETRC", None)
sent: list[str] = []


class Registry(BaseHTTPRequestHandler):
    """Gives everybody a token, and the list of tags to everybody who has one."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        authorization = self.headers.get("Authorization", "nothing")
        sent.append(f"{self.path.split('?')[0]}: {authorization.split()[0]}")
        status, content = 200, {"name": "team/app", "tags": ["v1"]}
        if self.path.startswith("/token"):
            content = {"token": "good"}
        elif authorization != "Bearer good":
            status, content = 401, {"errors": []}
        body = json.dumps(content).encode()
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", f'Bearer realm="http://{place}/token",service="r",scope="repository:team/app:pull"')
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def tags() -> object:
    """Ask for the tags as nobody, and return them or the error."""
    sent.clear()
    try:
        return oras.client.OrasClient(insecure=True).get_tags(f"{place}/team/app")
    except ValueError as error:
        return str(error).rpartition(": ")[2]


server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
place = f"127.0.0.1:{server.server_port}"
threading.Thread(target=server.serve_forever, daemon=True).start()
without, sent_without = tags(), sent.copy()
pathlib.Path(sys.argv[1]).write_text("machine 127.0.0.1 login git password of-git\n")
pathlib.Path(sys.argv[1]).chmod(0o600)
with_entry, sent_with_entry = tags(), sent.copy()
print("version: oras", version("oras"), "requests", version("requests"))
print("expected: ['v1'] with and without .netrc")
print("seen: without .netrc:", without, sent_without)
print("seen: with .netrc:", with_entry, sent_with_entry)
listing, token = "/v2/team/app/tags/list", "/token"
as_found = (
    (without, sent_without) == (["v1"], [f"{listing}: nothing", f"{token}: nothing", f"{listing}: Bearer"])
    and (with_entry, sent_with_entry) == ("Unauthorized", [f"{listing}: Basic", f"{token}: Basic", f"{listing}: Basic"])
)
sys.exit(0 if as_found else 1)
PYTHON
