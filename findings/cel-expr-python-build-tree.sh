#!/bin/sh
# cel-expr-python: its wheels for Python 3.12 and 3.13 bring 1,291 files of its build into site-packages; that for 3.11 brings none.
#
# Expected: the wheels of one release hold the same package, compiled for one Python each.
# Seen: those for 3.12 and 3.13 also hold `bazel-project/external/...`: 3 MiB of sources and tests of rules_python, protobuf, pybind11 and
#   others. Its name has a hyphen, so no import finds it. What goes over site-packages as a whole does: `compileall` compiles 802 modules
#   more, and scanners report what they find in test data. `top_level.txt` of all three also claims names such as `build`, `dist` and `tmp`.
# For a registry: an image with this package is larger than it need be, and whether it is depends on its Python. Ours removes the
#   directory.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
for version in 3.11 3.12 3.13; do
    "$dir/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --implementation cp \
        --python-version "$version" --platform manylinux_2_28_x86_64 --dest "$dir/$version" cel-expr-python==0.1.3
done
"$dir/venv/bin/python" - "$dir" <<'PYTHON'
import sys
import zipfile
from pathlib import Path

seen = {}
for version in ("3.11", "3.12", "3.13"):
    (wheel,) = (Path(sys.argv[1]) / version).glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    stray = [name for name in names if not name.startswith(("cel_expr_python/", "cel_expr_python-0.1.3.dist-info/"))]
    seen[version] = (len(names) - len(stray), len(stray), sum(name.endswith(".py") for name in stray))
print("version:  cel-expr-python 0.1.3")
print("expected: each wheel holds the package, and nothing else")
for version, (own, stray, modules) in seen.items():
    print(f"seen:     for Python {version}, {own} files of the package, and {stray} others ({modules} of them Python)")
sys.exit(0 if seen == {"3.11": (23, 0, 0), "3.12": (23, 1291, 802), "3.13": (23, 1291, 802)} else 1)
PYTHON
