#!/bin/sh
# oras-java: a Bearer challenge is understood in one spelling only: realm, service and scope in this order, and no space between them.
#
# Expected: a client that gets 401 with a challenge asks its realm for a token. The parameters may come in any order, with a space behind
#   each comma (RFC 9110, 11.3 and 5.6.1). "Use of the "scope" attribute is OPTIONAL" (RFC 6750, 3).
# Seen: with `Bearer realm="...",service="...",scope="..."` oras-java gets a token and lists the tags. With a space behind the commas, with
#   the service before the realm, or without a scope, it asks for no token and ends with "Invalid WWW-Authenticate header".
# For a registry: write challenges to the letter as Docker's registry does, and name a scope wherever a client has to log in.
# Needs Java 17 and Maven.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat >"$dir/pom.xml" <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId>
  <artifactId>finding</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>land.oras</groupId><artifactId>oras-java-sdk</artifactId><version>0.7.0</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B -f "$dir/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies -DoutputDirectory="$dir/lib" \
  >"$dir/maven.log" 2>&1
cat >"$dir/List.java" <<'JAVA'
import land.oras.ContainerRef;
import land.oras.Registry;

class List {
    public static void main(String[] hosts) {
        for (String host : hosts) {
            try {
                Registry registry = Registry.builder().insecure(host, "a-user", "a-password").build();
                System.out.println(registry.getTags(ContainerRef.parse(host + "/app")).tags());
            } catch (RuntimeException error) {
                System.out.println(error.getMessage());
            }
        }
        System.exit(0);
    }
}
JAVA
HOME=$dir python3 - "$dir" <<'PYTHON'
import pathlib
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SPELLINGS = {
    "as Docker's": 'Bearer realm="{0}",service="us",scope="repository:app:pull"',
    "with spaces": 'Bearer realm="{0}", service="us", scope="repository:app:pull"',
    "in another order": 'Bearer service="us",realm="{0}",scope="repository:app:pull"',
    "without a scope": 'Bearer realm="{0}",service="us"',
}


class Registry(BaseHTTPRequestHandler):
    """Gives a token to everybody, and lists tags to those who have it."""

    protocol_version = "HTTP/1.1"
    spelling = ""

    def do_GET(self) -> None:
        status, headers, body = 200, {"Content-Type": "application/json"}, b'{"name":"app","tags":["v1"]}'
        if self.path.startswith("/token"):
            body = b'{"token":"a-token"}'
        elif self.headers.get("Authorization") != "Bearer a-token":
            status, body = 401, b'{"errors":[{"code":"UNAUTHORIZED","message":"log in"}]}'
            headers["WWW-Authenticate"] = self.spelling.format(f"http://{self.headers['Host']}/token")
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


hosts = []
for spelling in SPELLINGS.values():
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Speller", (Registry,), {"spelling": spelling}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hosts.append(f"127.0.0.1:{server.server_port}")
home = sys.argv[1]
java = ["java", f"-Djava.io.tmpdir={home}", "-cp", f"{home}/lib/*", f"{home}/List.java", *hosts]
done = subprocess.run(java, capture_output=True, text=True, check=True, timeout=120)
seen = dict(zip(SPELLINGS, done.stdout.splitlines(), strict=True))
[jar] = pathlib.Path(home, "lib").glob("oras-java-sdk-*.jar")
print("version:", jar.stem)
print("expected: [v1] from all of them")
for name, said in seen.items():
    print(f"seen: {name}: {said}")
refused = "Invalid WWW-Authenticate header"
found = seen["as Docker's"] == "[v1]" and all(refused in said for name, said in seen.items() if name != "as Docker's")
sys.exit(0 if found else 1)
PYTHON
