#!/bin/sh
# oras and regctl: a user who has logged in lists the repositories as nobody, where nobody may list some.
#
# Expected: after `oras login` and `regctl registry login`, `repo ls` lists what the user may read, as `crane catalog` does.
# Seen: both ask for `/v2/_catalog` without the login, and would send it only after a 401. A registry such as zot, which lets everybody
#   read some repositories, answers with those. Both print them, succeed, and say nothing about the others.
#   Of regctl it is known: https://github.com/regclient/regclient/issues/748
# For a registry: answer `/v2/_catalog` with 401 as long as a request has no login and no token, even if everybody may list something.
#   Otherwise a backup or a scan that begins with the list leaves out what is not public. zotpy does so, and `zotpy import` and
#   `zotpy sync` send their login with the first request for such a list.
# Needs Go.
set -eu
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
GOBIN=$dir go install oras.land/oras/cmd/oras@v1.3.6
GOBIN=$dir go install github.com/regclient/regclient/cmd/regctl@v0.11.7
GOBIN=$dir go install github.com/google/go-containerregistry/cmd/crane@v0.22.1
HOME=$dir python3 - "$dir" <<'PYTHON'
import base64
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOGIN = "Basic " + base64.b64encode(b"alice:secret").decode()
PUBLIC, ALL = ["public/a"], ["public/a", "team/b"]
asked: list[tuple[str, bool]] = []


class Registry(BaseHTTPRequestHandler):
    """Lets everybody read one repository, and alice two. Its `/v2/` needs a login."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, is_alice = self.path.partition("?")[0], self.headers.get("Authorization") == LOGIN
        asked.append((path, is_alice))
        status, body = 200, b"{}"
        if path == "/v2/_catalog":
            body = json.dumps({"repositories": ALL if is_alice else PUBLIC}).encode()
        elif path == "/v2/" and not is_alice:
            status = 401
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="registry"')
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.chdir(sys.argv[1])
host = f"127.0.0.1:{server.server_port}"


def run(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.split()


user = ("-u", "alice", "-p", "secret", host)
run("./oras", "login", "--plain-http", *user)
run("./crane", "auth", "login", *user)
run("./regctl", "registry", "set", host, "--tls", "disabled")
run("./regctl", "registry", "login", *user)
logged_in = ("/v2/", True) in asked  # oras and regctl try a login
asked.clear()
seen = {
    "crane catalog": run("./crane", "catalog", host),
    "oras repo ls": run("./oras", "repo", "ls", "--plain-http", host),
    "regctl repo ls": run("./regctl", "repo", "ls", host),
}
logins = [is_alice for path, is_alice in asked if path == "/v2/_catalog"]
print("version: oras 1.3.6, regctl 0.11.7, beside crane 0.22.1")
print("expected: each lists", *ALL)
for command, names in seen.items():
    print(f"seen: {command} lists", *names)
print("seen: the lists were asked for with the login:", logins)
found = {"crane catalog": ALL, "oras repo ls": PUBLIC, "regctl repo ls": PUBLIC}
sys.exit(0 if logged_in and seen == found and logins == [True, False, False] else 1)
PYTHON
