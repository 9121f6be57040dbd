"""Every command of every page does what the page says, or has the check that `table.py` names."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from bench.cluster.options import options_from
from tests.docs.pages import CHECKOUT, PAGES, Block, blocks
from tests.docs.table import NO_COMMANDS, WAYS, Builds, Covered, Parsed, Run, Shell
from tests.processes import Process, find_program, free_port
from tests.scratch import scratch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCENARIO_S = 280.0
INDEX = "application/vnd.oci.image.index.v1+json"
FROM_INDEX = re.compile(r"pip3? install ([^`\n\"']+)")
UNCOMPILED = {"PIP_NO_COMPILE": "no"}  # which says --no-compile: its manual has it so
"""Python compiles the few modules that are imported; pip would compile all that it installs."""
REPLACED = {"--count 1000": "--count 20"}
"""The simulation is run whole elsewhere."""


def shell_blocks(page: str) -> list[Block]:
    """Return the blocks that hold commands."""
    return [block for block in blocks(page) if block.first not in NO_COMMANDS]


def commands_of(page: str) -> list[str]:
    """Return all commands of a page, in order."""
    return [command for block in shell_blocks(page) for command in block.commands()]


def head(command: str) -> str:
    """Return what `table.py` names it by: a heredoc's first line."""
    return command.partition("\n")[0]


def those(way: type[object]) -> list[tuple[str, str]]:
    """Return page and command of every row that is tried in this way."""
    return [(page, command) for page, ways in WAYS.items() for command, found in ways.items() if isinstance(found, way)]


def test_every_command_is_in_the_table() -> None:
    """A command that is new in a page, or gone from it, changes how it is tried, too."""
    written = {page: {head(command) for command in commands_of(page)} for page in PAGES}
    assert {page: found for page, found in written.items() if found} == {page: set(ways) for page, ways in WAYS.items()}


def test_every_block_that_holds_none_is_there() -> None:
    """What the table says of blocks without commands is about blocks that exist."""
    firsts = {block.first for page in PAGES for block in blocks(page)}
    assert firsts >= set(NO_COMMANDS)


@pytest.mark.parametrize("page", WAYS)
def test_the_shell_understands_it(page: str) -> None:
    """Each block is sound as a whole; placeholders are words."""
    for block in shell_blocks(page):
        script = "\n".join(block.commands())
        checked = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, ""), f"{page}:{block.line}"


def test_commands_that_tests_cover_name_tests_that_are_there() -> None:
    """The function exists, in the file that is named."""
    missing = []
    for page, command in those(Covered):
        way = WAYS[page][command]
        assert isinstance(way, Covered)
        file, _, function = way.test.partition("::")
        tree = ast.parse((CHECKOUT / "tests" / file).read_text())
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        if function not in names:
            missing.append(way.test)
    assert missing == []


def test_scripts_that_are_named_are_there() -> None:
    """Whatever way a command is tried, the script that it names exists, and the shell can read it."""
    for page in WAYS:
        for command in commands_of(page):
            for script in re.findall(r"(?:^|\s)(?:sh|\.) ((?:deploy|tests|requirements|findings)/\S+)", head(command)):
                if "NAME" not in script:
                    subprocess.run(["sh", "-n", str(CHECKOUT / script)], check=True)


def test_commands_that_nothing_runs_say_why() -> None:
    """The table is no place to hide a command."""
    for page, command in those(Shell):
        way = WAYS[page][command]
        assert isinstance(way, Shell)
        assert way.why, command


@pytest.mark.parametrize(("page", "command"), those(Parsed))
def test_arguments_are_some_that_the_program_takes(page: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser of the benchmark takes what the page gives it."""
    way = WAYS[page][command]
    assert isinstance(way, Parsed)
    words = shlex.split(command)
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        monkeypatch.setenv(name, value)
    program, *arguments = words[1:]
    assert (CHECKOUT / program).is_file()
    options_from(arguments)


@pytest.mark.parametrize(("page", "command"), those(Builds))
def test_kustomizations_build(page: str, command: str) -> None:
    """What `kubectl apply -k` would apply can be built."""
    way = WAYS[page][command]
    assert isinstance(way, Builds)
    assert command.endswith(way.directory)
    assert "kind: Deployment" in built(CHECKOUT / way.directory)


def built(directory: Path) -> str:
    """Build a kustomization and return its documents."""
    kustomize = find_program("kustomize", "sh tests/run")
    return subprocess.run([kustomize, "build", directory], capture_output=True, text=True, check=True).stdout


def test_the_kustomization_of_the_page_builds(tmp_path: Path) -> None:
    """The file that a reader writes, with a path to a checkout in the place of the address, gives their replicas."""
    page = (CHECKOUT / "docs/deploy-kubernetes.md").read_text()
    (text,) = re.findall(r"```yaml\n(# registry/kustomization\.yaml\n.*?)```", page, re.DOTALL) or [""]
    if not text:
        text = next(block.text for block in blocks("docs/deploy-kubernetes.md") if block.first in text_heads())
    here = tmp_path / "registry"
    here.mkdir()
    overlay = os.path.relpath(CHECKOUT / "deploy/k8s/overlays/nginx", here)
    text = re.sub(r"https://\S+", overlay, text).replace("sha256:...", "sha256:" + "0" * 64)
    (here / "kustomization.yaml").write_text(text)
    (here / "config.yaml").write_text("http: {address: 0.0.0.0}\nstorage: {storageDriver: {name: s3, bucket: b}}\n")
    documents = built(here)
    assert "images.mine.example/zotpy@sha256:" in documents
    assert "registry.mine.example" in documents


def text_heads() -> set[str]:
    """Return the first lines of files that pages show as blocks."""
    return {first for first in NO_COMMANDS if first.startswith("#")}


def environment() -> dict[str, str]:
    """Return the environment of a reader who has installed zotpy and the clients."""
    places = [str(Path(sys.prefix) / "bin"), os.environ.get("ZOTPY_TEST_CLIENTS", ""), os.environ["PATH"], "/usr/sbin"]
    return {**os.environ, "PATH": ":".join(filter(None, places)), **UNCOMPILED}


def run_page(page: str, where: Path, places: Mapping[str, str], *only: str) -> str:
    """Run the commands of a page that are to be run, in one shell, and return what they print.

    `places` are paths and addresses of the page, with those of the test; `only` are beginnings of commands.
    """
    chosen = [command for command in commands_of(page) if isinstance(WAYS[page][head(command)], Run)]
    chosen = [command for command in chosen if not only or command.startswith(only)]
    assert chosen
    pattern = re.compile("|".join(map(re.escape, sorted(places, key=len, reverse=True))))
    script = ["set -eu"]
    for command in chosen:
        moved = pattern.sub(lambda found: places[found[0]], command) if places else command
        script += [f"echo {shlex.quote('+ ' + head(command))} >&2", moved]
    ran = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=where,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=SCENARIO_S,
    )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    return ran.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a directory that looks like the top of a checkout, where a reader's files may be left."""
    here = tmp_path / "checkout"
    here.mkdir()
    for name in ("bench", "deploy", "requirements", "tests", "zotpy", "README.md"):
        (here / name).symlink_to(CHECKOUT / name)
    (here / ".venv").symlink_to(sys.prefix)
    return here


@pytest.fixture
def registry(checkout: Path, tmp_path: Path) -> Iterator[str]:
    """Return the address of a registry that was started by the command of the page about settings."""
    port = free_port()
    file = checkout / "config.yaml"
    file.write_text(f"http: {{port: {port}, drainNotice: 0s}}\nstorage: {{rootDirectory: {tmp_path / 'root'}}}\n")
    (command,) = [command for command in commands_of("docs/configuration.md") if command.startswith("zotpy serve")]
    process = Process("docs", ["bash", "-c", f"cd {checkout} && exec {command}"], tmp_path / "serve.log", environment())

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz").is_success
        except httpx.TransportError:
            return False

    try:
        process.start(answers)
        yield f"127.0.0.1:{port}"
    finally:
        process.stop()


def test_the_readme(registry: str, checkout: Path) -> None:
    """The session goes through as it stands, and says what the page shows where that is the same each time."""
    printed = run_page("README.md", checkout, {"127.0.0.1:5000": registry})
    shown = [line for block in shell_blocks("README.md") for line in block.text.splitlines()]
    for line in ('{"repositories": ["wheels/base", "wheels/store"]}', "1.0"):
        assert line in shown
    assert '{"repositories": ["wheels/base", "wheels/store"]}1.0\n' in printed
    pushed = re.findall(r"/wheels/store@(sha256:[0-9a-f]{64})", printed)
    assert pushed == [printed.splitlines()[-1]], "the copy has the digest of what was pushed"
    assert (checkout / "store.tar").stat().st_size > 1_000_000


def test_settings_are_verified(registry: str, checkout: Path) -> None:
    """A registry of the page runs, and its file is good."""
    assert httpx.get(f"http://{registry}/v2/").is_success
    assert "config.yaml is good" in run_page("docs/configuration.md", checkout, {}, "zotpy verify")


def test_garbage_is_collected(registry: str, checkout: Path) -> None:
    """Each command of the collector's page succeeds while the registry runs."""
    with httpx.Client(base_url=f"http://{registry}") as client:
        begun = client.post("/v2/team/app/blobs/uploads/")
        client.put(begun.headers["Location"], params={"digest": f"sha256:{'0' * 64}"}, content=b"x")
    places = {"/etc/zotpy/config.yaml": str(checkout / "config.yaml")}
    assert run_page("docs/garbage-collection.md", checkout, places, "zotpy")


def test_images_are_deleted(registry: str, checkout: Path) -> None:
    """A tag alone, a manifest with all of its tags, and all tags that are left; other manifests stay."""
    repo = f"http://{registry}/v2/team/app"
    digests = {}
    for tag, image in (("v1", 1), ("v2", 2), ("same-as-v2", 2), ("v3", 3)):
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "annotations": {"image": str(image)}}
        body = json.dumps(index)
        pushed = httpx.put(f"{repo}/manifests/{tag}", content=body, headers={"Content-Type": INDEX})
        digests[tag] = pushed.raise_for_status().headers["Docker-Content-Digest"]
    places = {"registry.example.com": registry}
    run_page("docs/garbage-collection.md", checkout, places, "crane delete")
    assert httpx.get(f"{repo}/tags/list").json()["tags"] == ["v3"]
    run_page("docs/garbage-collection.md", checkout, places, "crane ls")
    assert httpx.get(f"{repo}/tags/list").json()["tags"] == []
    left = {tag: httpx.get(f"{repo}/manifests/{digest}").status_code for tag, digest in digests.items()}
    assert left == {"v1": 200, "v2": 404, "same-as-v2": 404, "v3": 200}


def test_schedules_are_simulated(checkout: Path) -> None:
    """The commands of the simulation run, and without a rule they may find that it is needed."""
    places = {**REPLACED, "--without renewal": "--without renewal || test $? = 1"}
    assert "schedules, all well" in run_page("docs/garbage-collection.md", checkout, places, ".venv")


def test_a_change_is_checked(checkout: Path) -> None:
    """The commands for those who change zotpy run; the schedule of the page breaks, and says how to repeat it."""
    places = {**REPLACED, "--without renewal": "--without renewal || test $? = 1"}
    printed = run_page("docs/contributing.md", checkout, places, ".venv")
    assert re.search(r"seed 11: Broken\(.* was lost", printed)
    assert "again: python -m tests.simulation --seed 11 --without renewal" in printed


def test_hosts_of_ones_own(tmp_path: Path) -> None:
    """The files that a reader writes and renders are good: settings, keys, a certificate, HAProxy's rules."""
    for name in ("srv", "etc/haproxy", "etc/systemd/system", "usr/local/share/ca-certificates", "tmp"):
        (tmp_path / name).mkdir(parents=True)
    roots = ("/srv/", "/etc/haproxy/", "/etc/systemd/", "/usr/local/", "/tmp/")  # noqa: S108 - as the page has them
    places = {root: f"{tmp_path}{root}" for root in roots}
    run_page("docs/deploy-baremetal.md", tmp_path, {**places, "/srv/zotpy": str(CHECKOUT)})
    site = tmp_path / "srv/site.yaml"
    zotpy = [sys.executable, "-m", "zotpy", "verify", str(site)]
    assert "is good" in subprocess.run(zotpy, capture_output=True, text=True, check=True).stdout
    assert site.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "tmp/hello.tar").stat().st_size


@pytest.mark.timeout(2 * SCENARIO_S)
def test_a_checkout_is_installed() -> None:
    """From the lock file and the checkout alone, and the program that comes of it runs."""
    with scratch("checkout") as here:
        program = here / "registry"
        run_page("docs/dependencies.md", CHECKOUT, {"/opt/registry": str(program)})
        said = subprocess.run([program / "bin/zotpy", "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("zotpy ")


def test_nobody_is_told_to_install_a_name_that_is_not_locked() -> None:
    """A name that we do not own, or mistype, is anybody's to take: zotpy itself is on no index."""
    listed = subprocess.run(["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    locked = {
        re.sub(r"[-_.]+", "-", name).lower()
        for file in ("serve.txt", "test.txt")
        for name in re.findall(r"^([A-Za-z0-9._-]+)==", (CHECKOUT / "requirements" / file).read_text(), re.MULTILINE)
    }
    told = {}
    for name in listed.splitlines():
        if name.startswith(("findings/", "tests/docs/")) or not name.endswith(
            (".md", ".py", ".toml", ".sh", "run", "try")
        ):
            continue
        text = (CHECKOUT / name).read_text()
        assert "zotpy[" not in re.sub(r"`zotpy\[[^\]]*\]` .{0,40}checkout", "", text), name
        for arguments in FROM_INDEX.findall(text):
            words = [word for word in arguments.split() if not word.startswith(("-", ".", "$", "requirements", "\\"))]
            words = [word for word in words if not word.endswith((".whl", ".txt"))]  # files of a release
            unknown = [word for word in words if re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]+", word)]
            told.update({word: name for word in unknown if re.sub(r"[-_.]+", "-", word).lower() not in locked})
    assert told == {}
