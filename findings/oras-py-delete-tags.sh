#!/bin/sh
# oras-py: delete_tags deletes the manifest, and with it every other tag of the image.
#
# Expected: `delete_tags(name, tags)` deletes these tags ("Delete one or more tags for a unique resource identifier", its docstring). The
#   distribution spec has a request for that, DELETE of `manifests/<tag>` (end-9), which "removes the tag".
# Seen: it asks for the digest of the tag, and sends DELETE of `manifests/<digest>`. "latest", which named the same image, is gone as
#   well. It returns the one tag that it was given.
# For a registry: a job that cleans old tags up by such a client also deletes releases of the same bytes. Only a rule can keep them: in
#   zotpy `detectManifestCollision` answers 409 to such a DELETE, and `immutableTags` keeps what a release names.
# Needs Go.
set -eu
dir=$(mktemp -d)
trap 'kill "${pid:-}" 2>/dev/null || true; wait 2>/dev/null || true; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
GOBIN=$dir go install github.com/google/go-containerregistry/cmd/crane@v0.22.1
GOBIN=$dir go install github.com/distribution/distribution/v3/cmd/registry@v3.1.1
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check oras==0.2.43
port=$(python3 -c 'import random; print(random.randrange(11000, 21000))')
cat >"$dir/config.yml" <<END
version: 0.1
storage: {filesystem: {rootdirectory: $dir/data}, delete: {enabled: true}}
http: {addr: "127.0.0.1:$port"}
END
OTEL_TRACES_EXPORTER=none "$dir/registry" serve "$dir/config.yml" >"$dir/log" 2>&1 &
pid=$!
HOME=$dir "$dir/venv/bin/python" - "$dir" "127.0.0.1:$port" <<'PYTHON'
import pathlib
import subprocess
import sys
import time
import urllib.request
from importlib.metadata import version

import oras.client

folder, place = pathlib.Path(sys.argv[1]), sys.argv[2]
for _ in range(100):
    try:
        urllib.request.urlopen(f"http://{place}/v2/", timeout=5).close()
        break
    except OSError:
        time.sleep(0.1)


def crane(*arguments: str) -> list[str]:
    done = subprocess.run([folder / "crane", *arguments, "--insecure"], check=True, capture_output=True, text=True)
    return sorted(done.stdout.split())


image = f"{place}/team/app"
client = oras.client.OrasClient(insecure=True)
(folder / "content").write_text("one image")
client.push(target=f"{image}:build-7", files=[str(folder / "content")], disable_path_validation=True)
crane("tag", f"{image}:build-7", "latest")
before = crane("ls", image)
digests = {crane("digest", f"{image}:{tag}")[0] for tag in before}
deleted = client.delete_tags(image, ["build-7"])
after = crane("ls", image)
print("version: oras", version("oras"), "at distribution 3.1.1")
print("expected: of", before, "the tag build-7 goes and latest stays")
print("seen: delete_tags returns", deleted, "and the tags are", after)
found = (["build-7", "latest"], 1, ["build-7"], [])
sys.exit(0 if (before, len(digests), deleted, after) == found else 1)
PYTHON
