"""`deploy/baremetal/install` and `rollout`, below a directory instead of `/`, over a real ssh server."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.baremetal.with_environment import variables
from tests.processes import Process, find_program, free_port
from tests.scratch import scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[2] / "deploy" / "baremetal"
DEADLINE_S = 280.0  # a virtual environment with everything in it, made from packages on the network
SETTINGS = "storage:\n  storageDriver:\n    name: s3\n    bucket: images\n    region: eu-central-1\n"


def run(script: str, *arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the folder and return how it ended."""
    command: list[str | Path] = ["sh", FOLDER / script, *arguments]
    env = {**os.environ, **environ}
    return subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, timeout=DEADLINE_S, stdin=subprocess.DEVNULL
    )


def tree(root: Path) -> dict[str, tuple[int, int, str]]:
    """Return mode, time of change and content of everything below a directory, bytecode left out."""
    found = {}
    for folder, folders, files in os.walk(root):
        for path in (Path(folder, name) for name in (*folders, *files)):
            if "__pycache__" in path.parts:
                continue
            status = path.lstat()
            content = f"-> {path.readlink()}" if path.is_symlink() else ""
            if path.is_file() and not path.is_symlink():
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(root))] = (status.st_mode, status.st_mtime_ns, content)
    return found


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with settings of a site."""
    file = tmp_path_factory.mktemp("site") / "site.yaml"
    file.write_text(SETTINGS)
    return file


@pytest.fixture(scope="module")
def root(settings: Path) -> Iterator[Path]:
    """Return a directory into which two replicas have been installed; several tests go on from there."""
    find_program("systemctl", "apt-get install systemd")
    with scratch("install") as root:
        done = run("install", "--root", root, "--config", settings, "--replicas", "2")
        assert done.returncode == 0, done.stderr
        yield root


@pytest.fixture(scope="module")
def ssh_options(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the options that lead ssh to a server on this machine, which runs for these tests."""
    sshd = find_program("sshd", "apt-get install openssh-server")
    keygen = find_program("ssh-keygen", "apt-get install openssh-client")
    directory = tmp_path_factory.mktemp("sshd")
    for name in ("host", "client"):
        key = ["-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)]
        subprocess.run([keygen, *key], check=True, capture_output=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where root's sshd insists on keeping itself apart
    port = free_port()
    configuration = directory / "sshd_config"
    configuration.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {directory / 'host'}\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {directory / 'client.pub'}\nStrictModes no\nPermitRootLogin prohibit-password\n"
    )
    server = Process("sshd", [sshd, "-D", "-e", "-f", configuration], directory / "sshd.log")
    try:
        server.start(lambda: "Server listening" in server.log_tail())
        yield (
            f"-F none -p {port} -i {directory / 'client'} -o BatchMode=yes -o StrictHostKeyChecking=accept-new"
            f" -o UserKnownHostsFile={directory / 'known'}"
        )
    finally:
        server.stop()


def test_second_run_changes_nothing(root: Path, settings: Path) -> None:
    """What has been installed stays to the last byte and time when it is installed again, with arguments or without."""
    before = tree(root)
    for arguments in (["--config", str(settings), "--replicas", "2"], []):
        again = run("install", "--root", root, *arguments)
        assert (again.returncode, again.stdout) == (0, "nothing changed\n"), again.stderr
        assert tree(root) == before


def test_installed_program_runs_by_itself(root: Path) -> None:
    """The program that units name runs from its own directory, and reads the settings that were laid."""
    program = root / "opt/zotpy/current/bin/zotpy"
    done = subprocess.run(
        [program, "verify", "-c", root / "etc/zotpy/config.yaml"],
        env={"PATH": os.defpath},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = subprocess.run([program, "--version"], cwd="/", capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"zotpy \S+ \(commit [0-9a-f]{40}(-dirty)?\)\n", said)


def test_secrets_are_for_root_and_units_for_all(root: Path) -> None:
    """Settings, which may hold keys, are their owner's alone; replicas and the timer start with the machine."""
    assert (root / "etc/zotpy/config.yaml").stat().st_mode & 0o777 == 0o600
    units = root / "etc/systemd/system"
    for unit in (FOLDER / "systemd").iterdir():
        laid = units / unit.name
        assert (laid.read_bytes(), laid.stat().st_mode & 0o777) == (unit.read_bytes(), 0o644)
    enabled = sorted(link.name for link in (units / "zotpy.target.wants").iterdir())
    assert enabled == ["zotpy@5001.service", "zotpy@5002.service"]
    assert [link.name for link in (units / "timers.target.wants").iterdir()] == ["zotpy-gc.timer"]


def test_only_what_differs_is_changed(root: Path, settings: Path, tmp_path: Path) -> None:
    """A line of the settings, a variable and a unit that was edited are put right, and nothing else is touched."""
    other = tmp_path / "other.yaml"
    other.write_text(f"{SETTINGS}log:\n  level: warn\n")
    variables = tmp_path / "zotpy.env"
    variables.write_text('ZOTPY_STORAGE_STORAGEDRIVER_SECRETKEY="a b"\nZOTPY_STORAGE_STORAGEDRIVER_ACCESSKEY=me\n')
    unit = root / "etc/systemd/system/zotpy@.service"
    unit.write_text(f"{unit.read_text()}# by hand\n")
    before = tree(root)

    done = run("install", "--root", root, "--config", other, "--environment", variables)
    assert done.returncode == 0, done.stderr
    laid = [root / "etc/zotpy/config.yaml", root / "etc/zotpy/zotpy.env", unit]
    assert done.stdout.splitlines() == [f"changed: {file}" for file in laid]
    changed = {name for name, facts in tree(root).items() if before.get(name) != facts}
    folders = {"etc/zotpy", "etc/systemd/system"}
    assert changed == {str(file.relative_to(root)) for file in laid} | folders

    (root / "etc/zotpy/zotpy.env").unlink()
    run("install", "--root", root, "--config", settings).check_returncode()


def test_settings_that_are_wrong_are_not_laid(root: Path, tmp_path: Path) -> None:
    """A setting that does not exist is named and nothing changes, so a replica that dies then starts as before."""
    before = tree(root)
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(SETTINGS.replace("bucket", "bukket"))
    done = run("install", "--root", root, "--config", wrong)
    assert done.returncode == 2
    assert "did you mean storage.storageDriver.bucket" in done.stderr
    assert tree(root) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--replica", "3"], "unknown argument --replica"),
        (["--replicas"], "--replicas needs a value"),
        (["--replicas", "0"], "not a number above 0: 0"),
        (["--replicas", "three"], "not a number above 0: three"),
        (["--config", "/nowhere.yaml"], "cannot read /nowhere.yaml"),
    ],
)
def test_arguments_that_are_wrong_are_named(arguments: list[str], said: str, tmp_path: Path) -> None:
    """An argument that cannot be meant ends the script before it has done anything."""
    done = run("install", "--root", tmp_path / "root", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "root" / "opt").exists()


@pytest.mark.parametrize("script", ["install", "rollout", "haproxy/render"])
@pytest.mark.parametrize("asked", ["--help", "-h"])
def test_help_is_the_head_of_a_script(script: str, asked: str) -> None:
    """Without the marks of comments, and with every option that the script knows."""
    done = run(script, asked)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].endswith((".", ":"))
    assert "#" not in done.stdout
    known = re.findall(r"^ +(--[a-z-]+)\) ", (FOLDER / script).read_text(), re.MULTILINE)
    assert set(known) <= set(re.findall(r"--[a-z-]+", done.stdout))


def test_rollout_goes_from_host_to_host(root: Path, settings: Path, ssh_options: str, tmp_path: Path) -> None:
    """Hosts get checkout and settings through ssh one after another, and a second time nothing changes."""
    me = getpass.getuser()
    hosts = [f"{me}@127.0.0.1", f"{me}@localhost"]
    other = tmp_path / "it's other.yaml"
    other.write_text(f"{SETTINGS}log:\n  level: error\n")

    # Both names are this machine, so the second host has already what the first has got.
    done = run("rollout", *hosts, "--", "--root", root, "--config", other, SSH_OPTIONS=ssh_options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"changed: {root / 'etc/zotpy/config.yaml'}", "nothing changed"]
    assert [line for line in done.stderr.splitlines() if line.startswith("==>")] == [f"==> {host}" for host in hosts]
    assert (root / "etc/zotpy/config.yaml").read_text() == other.read_text()
    run("install", "--root", root, "--config", settings).check_returncode()


def test_rollout_stops_at_the_first_host_that_fails(root: Path, ssh_options: str, tmp_path: Path) -> None:
    """What is wrong for one host does not get to the next; nothing is left of what was sent."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(SETTINGS.replace("bucket", "bukket"))
    me = getpass.getuser()
    arguments = [f"{me}@127.0.0.1", f"{me}@localhost", "--", "--root", str(root), "--config", str(wrong)]
    sent = tmp_path / "sent"
    sent.mkdir()
    done = run("rollout", *arguments, SSH_OPTIONS=ssh_options, TMPDIR=str(sent))
    assert done.returncode == 2
    assert f"{me}@127.0.0.1: not done" in done.stderr
    assert f"==> {me}@localhost" not in done.stderr
    assert list(sent.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--", "--replicas", "3"], "which hosts?"),
        (["--replicas", "3"], "not a host: --replicas"),
        (["a;b"], "not a host: a;b"),
        (["a", "--", "--config", "/nowhere.yaml"], "cannot read /nowhere.yaml"),
    ],
)
def test_rollout_names_arguments_that_are_wrong(arguments: list[str], said: str) -> None:
    """An argument that cannot be meant ends the script before it asks any host."""
    done = run("rollout", *arguments, SSH_OPTIONS="-o ProxyCommand=false")
    assert done.returncode == 2
    assert said in done.stderr


def test_variables_are_read_as_systemd_reads_them() -> None:
    """Comments and empty lines are none, and quotes are taken off; what the units see is what `install` checks with."""
    text = "# a comment\n; another\n\nPLAIN=a=b\n QUOTED = 'with blanks'\nDOUBLE=\"x y\"\nEMPTY=\nno pair\n"
    assert variables(text) == {"PLAIN": "a=b", "QUOTED": "with blanks", "DOUBLE": "x y", "EMPTY": ""}


def test_scripts_have_no_faults_that_shellcheck_finds() -> None:
    """Shellcheck has nothing to say about the scripts that operators run."""
    shellcheck = find_program("shellcheck", "apt-get install shellcheck")
    checkout = FOLDER.parents[1]
    scripts = [FOLDER / name for name in ("install", "rollout", "try", "haproxy/render")]
    scripts += [
        checkout / name for name in ("deploy/try", "deploy/backup", "deploy/release", "deploy/venv.sh", "tests/run")
    ]
    done = subprocess.run([shellcheck, "-x", *scripts], cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
