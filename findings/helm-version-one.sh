#!/bin/sh
# helm: `--version 1` finds the newest 1.x in a repository of charts over HTTP, and nothing in a registry that has the same chart.
#
# Expected: "specify a version constraint for the chart version to use. This constraint can be a specific tag (e.g. 1.1.1) or it
#   may reference a valid range (e.g. ^2.0.0)" (helm pull --help). 1 means 1.x, and 1.2 means 1.2.x, as `helm pull --repo` has it.
# Seen: for `oci://` a text that can be read as a version is taken for a tag as it stands, and `1` can. So 1 and 1.2 end with "not found",
#   also v1.2.3, while 1.x, ^1 and =1.2.3 find the chart 1.2.3.
# For a registry: jobs that move from a repository of charts to a registry ask for tags that nobody has pushed. Write 1.x, or push
#   such tags.
# Needs Go.
set -eu
dir=$(mktemp -d)
trap 'kill ${pids:-} 2>/dev/null || true; wait 2>/dev/null || true; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
GOBIN=$dir go install helm.sh/helm/v3/cmd/helm@v3.22.0
GOBIN=$dir go install github.com/google/go-containerregistry/cmd/registry@v0.22.1
set -- $(python3 -c 'import random; print(*random.sample(range(11000, 21000), 2))')
mkdir "$dir/app" "$dir/charts"
printf 'apiVersion: v2\nname: app\nversion: 1.2.3\n' >"$dir/app/Chart.yaml"
"$dir/registry" -port "$1" >"$dir/log" 2>&1 &
pids=$!
python3 -m http.server --bind 127.0.0.1 --directory "$dir/charts" "$2" >"$dir/log.http" 2>&1 &
pids="$pids $!"
HOME=$dir python3 - "$dir" "oci://127.0.0.1:$1/charts" "http://127.0.0.1:$2" <<'PYTHON'
import pathlib
import subprocess
import sys
import time
import urllib.request

folder, registry, repository = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
for address in (registry.replace("oci", "http").replace("charts", "v2/"), repository):
    for _ in range(100):
        try:
            urllib.request.urlopen(address, timeout=5).close()
            break
        except OSError:
            time.sleep(0.1)


def helm(*arguments: str) -> bool:
    """Run helm, and say whether it succeeded."""
    return subprocess.run([folder / "helm", *arguments], cwd=folder, capture_output=True, timeout=60).returncode == 0


made = helm("package", "app", "--destination", "charts") and helm("repo", "index", "charts")
made = made and helm("push", "charts/app-1.2.3.tgz", registry, "--plain-http")
seen = {}
for version in ("1.2.3", "1.x", "^1", "=1.2.3", "1", "1.2", "v1.2.3"):
    seen[version] = (
        helm("pull", "app", "--repo", repository, "--version", version),
        helm("pull", f"{registry}/app", "--plain-http", "--version", version),
    )
print("version: helm 3.22.0")
print("expected: each finds the chart 1.2.3, in the repository and in the registry")
for version, (in_repository, in_registry) in seen.items():
    print(f"seen: --version {version}: repository {in_repository}, registry {in_registry}")
found = [(True, True)] * 4 + [(True, False)] * 3
sys.exit(0 if made and list(seen.values()) == found else 1)
PYTHON
