# Sourced by deploy/try and tests/run, at the top of the checkout: installs into .venv exactly what a lock file names.
# shellcheck shell=sh

say() { printf '==> %s\n' "$*" >&2; }

# as_root COMMAND...: run it as root, with sudo if we are another user.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# apt_install PACKAGE...: install what is missing, after one update of the package lists. If we may not, say what to ask an
# administrator for, and fail.
apt_install() {
    if ! command -v apt-get >/dev/null; then
        say "no apt-get here to look for these with: $*"
        return
    fi
    missing=""
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        say "missing here:$missing"
        say "You are not root, and there is no sudo. Ask an administrator to run: apt-get install -y$missing"
        return 1
    fi
    say "apt-get install$missing"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    # shellcheck disable=SC2086 # a list of names
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# find_python: print the first Python that is new enough.
find_python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null &&
            "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    say "zotpy needs Python 3.11 or newer. On Debian 12, Ubuntu 24.04 and later: apt-get install -y python3 python3-venv"
    return 1
}

# empty_venv DIRECTORY: make a virtual environment there, unless one exists that works.
empty_venv() {
    python=$(find_python)
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if ! "$1/bin/pip" --version >/dev/null 2>&1; then # none yet, cut off when it was made, or moved
        # Debian and Ubuntu have the module that makes virtual environments in a package of its own.
        "$python" -c 'import ensurepip' 2>/dev/null || apt_install "python$version-venv"
        "$python" -m venv --clear "$1"
    fi
}

# pip_into DIRECTORY ARGUMENT...: install there. Python compiles the modules that are used, when they are used first: pip
# would compile all that it installs, which takes as long as the rest.
pip_into() {
    into=$1
    shift
    "$into/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile "$@"
}

# lock_into DIRECTORY LOCK: install there exactly what requirements/LOCK.txt names. uv takes a seventh of pip's CPU. pip does
# it if it is configured with an index of its own, which uv would not ask, or if uv cannot be had.
lock_into() {
    if "$1/bin/python" -m pip config list | grep -q index ||
        ! pip_into "$1" --require-hashes --only-binary :all: -r requirements/uv.txt 2>/dev/null ||
        ! "$1/bin/uv" pip install --quiet --system-certs --python "$1/bin/python" --require-hashes -r "requirements/$2.txt"; then
        pip_into "$1" --require-hashes -r "requirements/$2.txt"
    fi
}

# make_venv LOCK: install into .venv exactly what requirements/LOCK.txt names, and zotpy itself from this checkout.
make_venv() {
    empty_venv .venv
    wanted=$({ pwd && cat "requirements/$1.txt" pyproject.toml; } | sha256sum)
    if [ "$(cat ".venv/installed-$1" 2>/dev/null)" != "$wanted" ]; then
        say "installing what requirements/$1.txt names into .venv (the first time about a minute)"
        lock_into .venv "$1"
        pip_into .venv --no-deps --no-build-isolation -e .
        echo "$wanted" >".venv/installed-$1"
    fi
}

# make_newest DIRECTORY: make one with the newest release of everything that zotpy and its tests need, whatever is pinned.
make_newest() {
    empty_venv "$1"
    names=$("$1/bin/python" -c '
import re, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
extras = project["optional-dependencies"]
needs = project["dependencies"] + extras["cel"] + extras["ldap"] + extras["test"]
print(*(re.split("[~<>=!; ]", need)[0] for need in needs))')
    say "installing the newest releases into $1"
    # shellcheck disable=SC2086 # a list of names
    pip_into "$1" --upgrade --upgrade-strategy=eager $names
    pip_into "$1" --no-deps --no-build-isolation -e .
}
