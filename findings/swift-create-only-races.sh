#!/bin/sh
# OpenStack Swift: two S3 PUTs of one key with `If-None-Match: *` both succeed, if the second begins before the first has ended.
#
# Expected: a PUT with `If-None-Match: *` writes only if no object has the key (S3's PutObject), so one of two such PUTs has 412. Swift
#   answers 412 if the object was there before, as a probe at start sees it.
# Seen: the condition is checked before the body is read, and not again. Both PUTs have 200. The object is that of the PUT that began
#   last, also if the other one ends later: its client was told 200, and nothing of it is left. In Swift's own API the header only
#   asks "before any data is sent". Its S3 API has that meaning, too.
# For a registry: what shall be written once, such as a tag that may not be moved, can be written twice. Swift's lists lag as well, and
#   zotpy does not start on Swift. SeaweedFS 4.48 and versitygw 1.8.0 answer the PUT that began first and ends last with 412.
# Needs Python 3.9 or newer, and a file system with extended attributes below the temporary folder.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check swift==2.38.3 pyeclib==1.8.0 botocore==1.43.0 2>&1
"$dir/venv/bin/python" - "$dir" <<'PYTHON'
import http.client
import pathlib
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.session import Session

home = pathlib.Path(sys.argv[1])
programs = home / "venv" / "bin"
(home / "node" / "disk").mkdir(parents=True)
(home / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = x\n[storage-policy:0]\nname = gold\ndefault = yes\n")
FILTERS = "catch_errors gatekeeper cache listing_formats bulk s3api tempauth slo".split()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start(kind: str, port: int, text: str) -> subprocess.Popen[bytes]:
    config = home / f"{kind}-server.conf"
    shared = f"bind_ip = 127.0.0.1\nbind_port = {port}\nuser = {home.owner()}\nswift_dir = {home}\nworkers = 0\nlog_level = ERROR\n"
    config.write_text(f"[DEFAULT]\n{shared}devices = {home / 'node'}\nmount_check = false\n{text}")
    log = (home / f"{kind}.log").open("wb")
    return subprocess.Popen([programs / f"swift-{kind}-server", config], stdout=log, stderr=log)


def wait_for(port: int) -> None:
    for _ in range(600):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    sys.exit(f"nothing listens on port {port}")


servers, ports = [], {kind: free_port() for kind in ("account", "container", "object", "proxy")}
for kind in ("account", "container", "object"):
    ring = (programs / "swift-ring-builder", home / f"{kind}.builder")
    subprocess.run([*ring, "create", "2", "1", "1"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*ring, "add", f"r1z1-127.0.0.1:{ports[kind]}/disk", "1"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*ring, "rebalance"], check=False, stdout=subprocess.DEVNULL)  # 1: a warning, for one disk alone
    servers.append(start(kind, ports[kind], f"[pipeline:main]\npipeline = {kind}-server\n[app:{kind}-server]\nuse = egg:swift#{kind}\n"))
lines = [f"[pipeline:main]\npipeline = {' '.join(FILTERS)} proxy-server"]
lines += ["[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true"]
lines += [f"[filter:{name}]\nuse = egg:swift#{'memcache' if name == 'cache' else name}" for name in FILTERS]
text = "\n".join(lines).replace("egg:swift#tempauth", "egg:swift#tempauth\nuser_test_tester = testing .admin")
servers.append(start("proxy", ports["proxy"], text))
s3 = Session().create_client(
    "s3",
    region_name="us-east-1",
    endpoint_url=f"http://127.0.0.1:{ports['proxy']}",
    aws_access_key_id="test:tester",
    aws_secret_access_key="testing",
    config=Config(s3={"addressing_style": "path"}, signature_version="s3v4"),
)
url = urlsplit(s3.generate_presigned_url("put_object", {"Bucket": "bucket", "Key": "key"}))


def begin(content: bytes) -> tuple[http.client.HTTPConnection, int]:
    """Begin a PUT of an object that shall not exist yet; return the status of the first answer, 100 if the body is wanted."""
    connection = http.client.HTTPConnection(url.netloc, timeout=60)
    connection.putrequest("PUT", f"{url.path}?{url.query}")
    for header in (("If-None-Match", "*"), ("Content-Length", str(len(content))), ("Expect", "100-continue")):
        connection.putheader(*header)
    connection.endheaders()
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.sock.recv(1)
    return connection, int(head.split()[1])


def end(begun: tuple[http.client.HTTPConnection, int], content: bytes) -> int:
    connection, status = begun
    if status != 100:
        return status
    connection.send(content)
    return connection.getresponse().status


FIRST, SECOND = b"a" * 1000, b"b" * 1000
try:
    for port in ports.values():
        wait_for(port)
    s3.create_bucket(Bucket="bucket")
    first = begin(FIRST)
    seen = {"second": end(begin(SECOND), SECOND), "first": end(first, FIRST), "third": end(begin(SECOND), SECOND)}
    kept = s3.get_object(Bucket="bucket", Key="key")["Body"].read()
finally:
    for server in servers:
        server.terminate()
        server.wait()
print("version: swift", version("swift"))
print("expected: of the PUTs one has 200, and the others have 412")
print("seen:", ", ".join(f"the {name} PUT to begin has {status}" for name, status in seen.items()))
print("seen: the object is that of the PUT that", {FIRST: "began first and ended last", SECOND: "began last and ended first"}[kept])
sys.exit(0 if list(seen.values()) == [200, 200, 412] and kept == SECOND else 1)
PYTHON
