"""The commands and the log: what a person at a terminal, a shell and a log collector see."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
import trio

import zotpy.server
import zotpy.workers
from zotpy.cli import main
from zotpy.http.server.cuts import Cut
from zotpy.release import commit, version
from zotpy.startup import StartupError
from zotpy.telemetry.logs import configure_logs, say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from zotpy.settings import Settings

    Serve = Callable[[Settings], Awaitable[None]]

BAD = "http: {port: none}\nbukkit: x\n"


@pytest.fixture
def serves(monkeypatch: pytest.MonkeyPatch) -> Callable[[Serve], None]:
    """Put a function of the test in the place of the server."""
    return lambda serve: monkeypatch.setattr(zotpy.server, "serve", serve)


def write(directory: Path, text: str) -> str:
    """Write a configuration file and return its path."""
    file = directory / "config.yaml"
    file.write_text(text)
    return str(file)


def test_serve_takes_its_flags(serves: Callable[[Serve], None], tmp_path: Path) -> None:
    """Flags come before the file, the rest is the file's; the end of the server is success."""
    seen: list[Settings] = []

    async def serve(settings: Settings) -> None:
        await trio.lowlevel.checkpoint()
        seen.append(settings)

    serves(serve)
    file = write(tmp_path, "http: {port: 1, address: 10.0.0.1}\nmanifest: {maxSize: 5MiB}\n")
    assert main(["serve", "-c", file, "--port", "7000", "--address", "::1", "--root", "/srv"]) == 0
    (settings,) = seen
    assert (settings.http.address, settings.http.port) == ("::1", 7000)
    assert settings.storage.root_directory == Path("/srv")
    assert settings.manifest.max_size_bytes == 5 * 2**20


@pytest.mark.parametrize("command", ["serve", "verify"])
def test_the_file_may_be_named_as_for_zot(
    serves: Callable[[Serve], None], tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """`zotpy serve FILE` is `zotpy serve -c FILE`; one of them, not both."""

    async def serve(settings: Settings) -> None:
        await trio.lowlevel.checkpoint()
        assert settings.http.port == 7001

    serves(serve)
    file = write(tmp_path, "http: {port: 7001}\n")
    assert main([command, file]) == 0
    assert main([command, "-c", file]) == 0
    capsys.readouterr()
    try:
        code: object = main([command, file, "-c", file])
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert capsys.readouterr().err


def test_what_is_ignored_is_a_line_each_at_every_level(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If the log has errors only, an operator still learns once which settings do nothing."""
    text = "log: {level: error}\nhttp: {port: 0, address: 192.0.2.1, compat: x}\nstorage: {dedupe: true, gc: true}\n"
    assert main(["serve", write(tmp_path, text), "--root", str(tmp_path / "root")]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    said = [line["message"].partition(" ")[0] for line in lines if line["event"] == "configuration"]
    assert said == ["http.compat", "storage.dedupe", "storage.gc"]
    assert {line["level"] for line in lines if line["event"] == "configuration"} == {"warn"}
    assert {line["level"] for line in lines if line["event"] != "configuration"} <= {"error"}


def test_more_workers_than_one_are_supervised(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `--workers` above one this process serves nothing itself."""
    seen: list[Settings] = []

    async def supervise(settings: Settings) -> None:
        await trio.lowlevel.checkpoint()
        seen.append(settings)

    monkeypatch.setattr(zotpy.workers, "supervise", supervise)
    assert main(["serve", "--workers", "2"]) == 0
    assert [settings.http.workers for settings in seen] == [2]


def test_a_start_that_fails_is_one_line(serves: Callable[[Serve], None], capsys: pytest.CaptureFixture[str]) -> None:
    """A `StartupError` is told without a traceback, and the exit code is 1."""

    async def serve(_: Settings) -> None:
        await trio.lowlevel.checkpoint()
        msg = "cannot listen on 127.0.0.1:5000: Address already in use"
        raise StartupError(msg)

    serves(serve)
    assert main(["serve"]) == 1
    assert capsys.readouterr().err == "zotpy: cannot listen on 127.0.0.1:5000: Address already in use\n"


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Have SIGINT as at a terminal: a shell lets what it starts in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_start_ends_quietly(serves: Callable[[Serve], None], capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C before the replica handles signals itself is exit code 130, without a traceback."""

    async def serve(_: Settings) -> None:
        signal.raise_signal(signal.SIGINT)
        await trio.sleep_forever()

    serves(serve)
    assert main(["serve"]) == 130
    assert capsys.readouterr().err == ""


def test_a_wrong_configuration_starts_nothing(
    serves: Callable[[Serve], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every problem is one line, whichever command finds it, and the exit code is 2."""

    async def serve(_: Settings) -> None:
        raise AssertionError

    serves(serve)
    for command in ("serve", "verify"):
        assert main([command, "-c", write(tmp_path, BAD)]) == 2
        assert capsys.readouterr().err == (
            "zotpy: http.port: 'none' is not a whole number from 0 to 65535\nzotpy: bukkit: there is no such setting\n"
        )
    assert main(["serve", "--port", "http"]) == 2
    assert "http.port on the command line: 'http' is not" in capsys.readouterr().err
    assert main(["serve", "-c", write(tmp_path, f"log: {{output: {tmp_path}}}")]) == 2
    assert capsys.readouterr().err == f"zotpy: log.output: {tmp_path}: Is a directory\n"


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("storage: {rootDirectory: /srv}", "listens on 127.0.0.1 port 5000, keeps its data in /srv"),
        (
            "http: {workers: 4}\nstorage: {rootDirectory: /srv}",
            "listens on 127.0.0.1 port 5000 with 4 workers, keeps its data in /srv",
        ),
        (
            "storage: {storageDriver: {bucket: b, regionendpoint: 'http://minio:9000', rootdirectory: /team}}",
            "listens on 127.0.0.1 port 5000, keeps its data in the bucket b at http://minio:9000, below team/",
        ),
        (
            "storage: {storageDriver: {bucket: b, region: eu-west-1}}",
            "listens on 127.0.0.1 port 5000, keeps its data in the bucket b at AWS, eu-west-1",
        ),
    ],
)
def test_verify_says_what_a_replica_would_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, summary: str
) -> None:
    """A good file is summed up in one line, after its warnings."""
    file = write(tmp_path, f"{text}\ndistSpecVersion: 1.1.0\n")
    assert main(["verify", "-c", file]) == 0
    warning, line = capsys.readouterr().out.splitlines()
    assert warning.startswith("warning: distSpecVersion has no effect: ")
    assert line == f"{file} is good: {summary}"


@pytest.mark.parametrize("arguments", [[], ["serv"], ["verify"], ["serve", "--bucket", "x"]])
def test_wrong_arguments_are_exit_code_2(arguments: list[str]) -> None:
    """Commands of a shell exit with 2 if their arguments are wrong."""
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2


def test_a_collector_does_not_wait_for_less_than_replicas_promise(capsys: pytest.CaptureFixture[str]) -> None:
    """A grace shorter than the configured one would take what a replica has just said to be there."""
    assert main(["gc", "--grace", "2h"]) == 2
    assert "--grace 2h: shorter than gcSettings.grace (86400s)" in capsys.readouterr().err


def test_the_module_is_the_command() -> None:
    """`python -m zotpy --version` names version and commit."""
    ran = subprocess.run([sys.executable, "-m", "zotpy", "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout == f"zotpy {version()} (commit {commit()})\n"
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", commit())


def lines(captured: str) -> list[dict[str, Any]]:
    """Read a log of JSON lines."""
    return [json.loads(line) for line in captured.splitlines()]


def test_the_log_is_json_with_zots_levels(capsys: pytest.CaptureFixture[str]) -> None:
    """Away from a terminal each event is one object with a level named as in zot, and the time in UTC."""
    configure_logs("warn")
    log = structlog.get_logger()
    log.info("quiet")
    log.warning("slow", seconds=3)
    (event,) = lines(capsys.readouterr().err)
    assert datetime.fromisoformat(event.pop("timestamp")).utcoffset() == timedelta(0)
    assert event == {"event": "slow", "seconds": 3, "level": "warn"}


@pytest.mark.parametrize("form", ["json", "console"])
def test_frequent_events_look_like_all_others(capsys: pytest.CaptureFixture[str], form: str) -> None:
    """A line of the shorter way is the line that a logger writes, character by character but for the time."""
    configure_logs("debug", form)
    fields = {"path": "/v2/\N{SNOWMAN}\n", "status": 200, "seconds": 1e-06, "cut": Cut.GONE}
    with structlog.contextvars.bound_contextvars(worker=1):
        structlog.get_logger().debug("request", **fields)
        say("debug", "request", fields)
    one, other = [re.sub(r"\d+-\d+-\d+T[\d:.]+Z", "TIME", line) for line in capsys.readouterr().err.splitlines()]
    assert one == other
    assert "TIME" in one


def test_a_test_that_captures_events_gets_frequent_ones_too() -> None:
    """What structlog was told to do with events holds for them as well."""
    configure_logs("debug", "json")
    with structlog.testing.capture_logs() as captured:
        say("info", "request", {"status": 200})
    assert captured == [{"event": "request", "status": 200, "log_level": "info"}]


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_line_that_cannot_be_written_is_lost(capsys: pytest.CaptureFixture[str], form: str) -> None:
    """Nobody who logs something fails because the disk is full, and the file can be opened again.

    Lines of libraries are lost as well: the standard library would print a traceback for each.
    """
    for _ in range(3):
        configure_logs("info", form, "/dev/full")
        structlog.get_logger().error("lost")
        say("info", "request", {"status": 200})
        logging.getLogger("hypercorn.error").critical("lost")
    assert capsys.readouterr().err == ""


def test_libraries_log_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    """What libraries log through the standard library is in the same form, one level quieter."""
    configure_logs("info", "json", "stdout")
    logging.getLogger("hypercorn.error").info("chatter")
    logging.getLogger("hypercorn.error").critical("lost %s", "it")
    (event,) = lines(capsys.readouterr().out)
    event.pop("timestamp")
    assert event == {"event": "lost it", "level": "fatal", "logger": "hypercorn.error"}


@pytest.mark.parametrize("form", ["json", "console"])
def test_tracebacks_show_no_variables(capsys: pytest.CaptureFixture[str], form: str) -> None:
    """An exception is logged with its traceback and its causes, and without what variables held."""
    configure_logs("info", form)

    def sign(word: str) -> None:
        key = word.upper()  # so that no line of the source holds it
        msg = "of two"
        raise ExceptionGroup(msg, [ValueError(f"a key of {len(key)} letters"), OSError("gone")])

    try:
        sign("hush")
    except ExceptionGroup:
        structlog.get_logger().exception("failed")
    text = capsys.readouterr().err
    assert "a key of 4 letters" in text
    assert "OSError: gone" in text
    assert "HUSH" not in text


def test_the_log_may_go_to_a_file(tmp_path: Path) -> None:
    """A file is appended to, line by line."""
    file = tmp_path / "zotpy.log"
    file.write_text("before\n")
    configure_logs("debug", "auto", str(file))
    structlog.get_logger().debug("now")
    before, now = file.read_text().splitlines()
    for _ in range(2):
        configure_logs(output=os.devnull)  # which closes the file: no process ends here
    assert before == "before"
    assert json.loads(now)["event"] == "now"
