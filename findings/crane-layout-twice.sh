#!/bin/sh
# crane: an image that is pulled twice into one layout stands there twice, and can no longer be pushed from it.
#
# Expected: `crane pull --format=oci` of the same image a second time changes nothing: its manifest and blobs are there. `crane push` of
#   that directory pushes the image, as before ("If the PATH is a directory, it will be read as an OCI image layout", crane push --help).
# Seen: `index.json` gets a second descriptor with the same digest. `crane push` then ends with "layout contains 2 entries, consider
#   --index". With `--index` it pushes an index that lists the image twice, under the tag of the image.
#   It is known: https://github.com/google/go-containerregistry/issues/1807
# For a registry: such indexes arrive, with one manifest several times. A job that mirrors by way of a layout must begin with an
#   empty directory each time.
# Needs Go.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
GOBIN=$dir go install github.com/google/go-containerregistry/cmd/crane@v0.22.1
GOBIN=$dir go install github.com/google/go-containerregistry/cmd/registry@v0.22.1
HOME=$dir python3 - "$dir" <<'PYTHON'
import json
import os
import pathlib
import re
import subprocess
import sys
import tarfile

home = pathlib.Path(sys.argv[1])
os.chdir(home)
pathlib.Path("file").write_bytes(b"x" * 1000)
with tarfile.open("layer.tar", "w") as tar:
    tar.add("file")
registry = subprocess.Popen([home / "registry", "-port", "0"], stderr=subprocess.PIPE, text=True)
try:
    assert registry.stderr is not None
    port = next(found[1] for line in registry.stderr if (found := re.search(r"port (\d+)", line)))

    def crane(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([home / "crane", *arguments], capture_output=True, text=True, check=False, timeout=60)

    image = f"localhost:{port}/app:v1"
    assert crane("append", "-f", "layer.tar", "-t", image).returncode == 0
    seen = []
    for _ in range(2):
        assert crane("pull", "--format=oci", image, "layout").returncode == 0
        entries = [entry["digest"] for entry in json.loads(pathlib.Path("layout/index.json").read_bytes())["manifests"]]
        push = crane("push", "layout", f"localhost:{port}/copy:v1")
        seen.append((len(entries), len(set(entries)), push.returncode, push.stderr.strip().split("\n")[-1]))
    as_index = crane("push", "--index", "layout", f"localhost:{port}/copy:v1").returncode
    listed = [entry["digest"] for entry in json.loads(crane("manifest", f"localhost:{port}/copy:v1").stdout).get("manifests", [])]
finally:
    registry.kill()
    registry.wait()
print("version: crane 0.22.1")
print("expected: one entry after each pull, and a push that succeeds")
for (count, different, status, said), when in zip(seen, ("first", "second"), strict=True):
    print(f"seen: after the {when} pull {count} entries, {different} different; push: exit code {status}, {said.rpartition('/')[2]}")
print(f"seen: push --index: exit code {as_index}, an index of {len(listed)} entries, {len(set(listed))} different")
is_as_found = (
    [one[:3] for one in seen] == [(1, 1, 0), (2, 1, 1)]
    and "2 entries" in seen[1][3]
    and (as_index, len(listed), len(set(listed))) == (0, 2, 1)
)
sys.exit(0 if is_as_found else 1)
PYTHON
