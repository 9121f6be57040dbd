"""`bench/run.py --target`: a registry that runs already, with whatever it asks of its clients."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from bench.cluster.measuring import measure
from bench.servers.null import Answer, NullRegistry, NullServer
from bench.servers.processes import Process, accepts, free_port
from bench.servers.registries import zotpy_server
from bench.servers.stores import make_bucket
from tests.bench.runs import measured
from tests.deploy.certificates import self_signed
from tests.processes import find_program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.cluster.measuring import Place, Tell
    from bench.cluster.options import Options
    from bench.cluster.runs import Run
    from bench.load.fleet import Fleet
    from bench.servers.stores import Bucket

PASSWORD = "of the test"
BASIC = "http-request auth realm registry unless { http_auth(people) }"
BEARER = """\
http-request auth realm tokens if { path /token } !{ http_auth(people) }
    http-request return status 200 content-type application/json string '{"token":"let-me-in"}' if { path /token }
    acl has_token req.hdr(authorization) "Bearer let-me-in"
    http-request return status 401 hdr WWW-Authenticate 'Bearer realm="https://127.0.0.1:%d/token",service="r"' \
if !has_token"""
CONFIGURATION = """\
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
userlist people
    user ci insecure-password "of the test"
frontend clients
    bind 127.0.0.1:%d ssl crt %s
    %s
    default_backend registry
backend registry
    server registry 127.0.0.1:%d
"""


@pytest.fixture
def registry_port(bucket: Bucket, prefix: str, tmp_path: Path) -> Iterator[int]:
    """Run one replica and return its port."""
    make_bucket(bucket)
    server = zotpy_server(bucket, prefix, tmp_path)
    server.start()
    yield server.port
    server.process.kill()


@contextmanager
def guarded(registry_port: int, rules: str, directory: Path) -> Iterator[int]:
    """Run HAProxy with TLS and these rules before a registry, and return its port."""
    port = free_port()
    path = directory / "guard.cfg"
    rules = rules % port if "%d" in rules else rules
    path.write_text(CONFIGURATION % (port, self_signed(directory), rules, registry_port))
    haproxy = find_program("haproxy", "apt-get install haproxy")
    process = Process("guard", [haproxy, "-db", "-f", path], directory / "guard.log")
    process.start(lambda: accepts(port))
    try:
        yield port
    finally:
        process.kill()


@contextmanager
def serving(registry: NullRegistry) -> Iterator[str]:
    """Serve a registry that lies from a thread, and return its URL."""
    with NullServer(0, registry) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("rules", [BASIC, BEARER], ids=["basic", "tokens"])
def test_a_target_with_tls_and_credentials_is_driven(
    rules: str, registry_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the authority's file and a password all goes well, and the password is in nothing that is written."""
    monkeypatch.setenv("ZOTPY_BENCH_PASSWORD", PASSWORD)
    with guarded(registry_port, rules, tmp_path) as port:
        target = ("--target", f"https://127.0.0.1:{port}", "--user", "ci", "--ca-file", str(tmp_path / "ca.crt"))
        found = measured(tmp_path / "out", "images", "pull", *target)
    assert [one["workload"] for one in found["runs"]] == ["images", "pull"]
    assert [one for one in found["runs"] if not one["checked"]] == []
    assert PASSWORD not in (tmp_path / "out" / "results.json").read_text()


def test_a_target_that_is_not_trusted_or_does_not_let_us_in_is_an_error(
    registry_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown certificate, no user, a wrong password: each ends with exit status 1 and says what it was."""
    monkeypatch.setenv("ZOTPY_BENCH_PASSWORD", "of nobody")
    with guarded(registry_port, BASIC, tmp_path) as port:
        target = ("heads", "--target", f"https://127.0.0.1:{port}")
        for arguments, error in (
            ((), "CERTIFICATE_VERIFY_FAILED"),
            (("--insecure",), "asks for a user and a password"),
            (("--insecure", "--user", "ci"), "401 instead of"),
        ):
            found = measured(tmp_path / "out", *target, *arguments, status=1)
            assert found["runs"] == []
            assert error in found["errors"][0]


def test_a_target_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    """Nobody listens there: exit status 1, with the reason."""
    found = measured(tmp_path, "heads", "--target", f"http://127.0.0.1:{free_port()}", status=1)
    assert "ConnectionRefusedError" in found["errors"][0]


def test_what_was_measured_before_an_interruption_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the second workload: the first one's figures are written, and the whole is invalid."""

    def interrupt(fleet: Fleet, place: Place, workload: str, options: Options, tell: Tell, turn: int) -> Run:
        if workload == "heads":
            raise KeyboardInterrupt
        return measure(fleet, place, workload, options, tell, turn)

    monkeypatch.setattr("bench.run.measure_something", interrupt)
    with serving(NullRegistry()) as url:
        found = measured(tmp_path, "tags", "heads", "--target", url, status=1, draws=True)
    assert [one["workload"] for one in found["runs"]] == ["tags"]
    assert "interrupted: not everything was run" in found["errors"]


class Forgetful(NullRegistry):
    """It acknowledges tags and names only one of them in its list."""

    def answer(self, method: str, target: str, body: bytes, body_bytes: int) -> Answer:
        """Answer as all do, but to a list of tags with the same one tag."""
        answer = super().answer(method, target, body, body_bytes)
        if "/tags/list" in target:
            return Answer(200, body=b'{"tags": ["tag-0-1"]}')
        return answer


class Confused(NullRegistry):
    """Its tags name the manifest of another, which was never pushed."""

    def _manifest(self, repository: str, name: str) -> Answer:
        answer = super()._manifest(repository, name)
        answer.body = answer.body.replace(b'"client"', b'"someone"')
        return answer


class Refusing(NullRegistry):
    """It takes no manifest any more after the first one."""

    def _put_manifest(self, repository: str, name: str, body: bytes) -> Answer:
        return Answer(404) if self.manifests else super()._put_manifest(repository, name, body)


@pytest.mark.parametrize(
    ("registry", "field", "message"),
    [
        (NullRegistry(), "lost", "came back with the digest"),
        (Forgetful(), "lost", "tags are not in it"),
        (Confused(), "lost", "which was not pushed there"),
        (Refusing(), "errors", "PUT of a manifest: 404 instead of 201"),
    ],
    ids=["other bytes", "tags not listed", "other manifests", "errors"],
)
def test_a_target_that_lies_is_found(registry: NullRegistry, field: str, message: str, tmp_path: Path) -> None:
    """Whatever was acknowledged and is not there, or is something else, makes the result invalid and says so."""
    with serving(registry) as url:
        found = measured(tmp_path, "tags", "--target", url, "--processes", "2", status=1)
    (only,) = found["runs"]
    assert not found["valid"]
    assert any(message in text for text in only[field]), only[field]
