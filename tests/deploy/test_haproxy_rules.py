"""What `deploy/baremetal/haproxy/haproxy.cfg` does to requests, seen by servers that stand where replicas would."""

from __future__ import annotations

import re
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

import httpx
import pytest

from bench.servers.balancer import CONFIGURATION
from tests.deploy.backends import DEADLINE_S, Backend, Seen, answer_empty, break_off
from tests.deploy.edge import FOLDER, Edge, render
from tests.processes import find_program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLACES = ("bind", "server", "user", "group", "chroot", "maxconn", "stats socket", "http-request redirect scheme")
"""The directives in which `render` puts the addresses of a site."""


@contextmanager
def edge_before(*backends: Backend, directory: Path) -> Iterator[Edge]:
    """Run HAProxy in front of these backends."""
    with ExitStack() as running:
        for backend in backends:
            running.enter_context(backend)
        edge = Edge([backend.port for backend in backends], directory)
        edge.start()
        running.callback(edge.stop)
        yield edge


def sections(text: str) -> dict[str, str]:
    """Return the directives of each section, without comments."""
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    found = re.split(r"^(?=\S)", "\n".join(lines), flags=re.MULTILINE)
    return {section.split("\n")[0]: section for section in found if section}


def exchange(address: str, request: bytes) -> bytes:
    """Send these bytes and return all that comes back."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("template", ["haproxy.cfg", "haproxy-prefix.cfg"])
@pytest.mark.parametrize("tls", ["with", "without"])
def test_haproxy_finds_nothing_to_say(template: str, tls: str, tmp_path: Path, certificate: Path) -> None:
    """HAProxy reads both files, with TLS and without, and has no warning."""
    options = ["--cert", str(certificate)] if tls == "with" else []
    text = render("--template", FOLDER / template, *options, "10.0.0.11:5001", "[fd00::12]:5001")
    file = tmp_path / "haproxy.cfg"
    file.write_text(text)
    haproxy = find_program("haproxy", "apt-get install haproxy")
    done = subprocess.run([haproxy, "-c", "-f", file], capture_output=True, text=True, check=False)
    assert (done.returncode, "WARNING" in done.stderr, "Warning" in done.stdout) == (0, False, False), done.stderr


def test_haproxy_has_the_buffers_that_were_measured() -> None:
    """Pushes in chunks cost less with long ones, so both files and the benchmarks have the same."""
    templates = [(FOLDER / name).read_text() for name in ("haproxy.cfg", "haproxy-prefix.cfg")]
    lengths = [re.findall(r"^ *tune\.bufsize (\d+)$", text, re.MULTILINE) for text in (*templates, CONFIGURATION)]
    assert lengths == 3 * [["65536"]]


@pytest.mark.parametrize("template", ["haproxy.cfg", "haproxy-prefix.cfg"])
def test_render_changes_places_only(template: str) -> None:
    """Between the file and what `render` makes of it only addresses differ, so what is tested are the file's rules."""
    rendered = render("--template", FOLDER / template, "--unprivileged", "127.0.0.1:1", "127.0.0.1:2")
    original = (FOLDER / template).read_text()
    changed = set(rendered.splitlines()) ^ set(original.splitlines())
    assert [line for line in changed if not line.strip().startswith(PLACES)] == []
    assert "server replica2 127.0.0.1:2\n" in rendered


@pytest.mark.parametrize("replica", ["", "host", "host:", ":1", "host:port", "a:1 b:2"])
def test_render_refuses_what_is_no_address(replica: str) -> None:
    """A replica that is not HOST:PORT is named in an error, instead of a file that HAProxy would refuse."""
    done = subprocess.run(["sh", FOLDER / "render", replica], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"not HOST:PORT: {replica}" in done.stderr


def test_prefix_file_has_the_rules_of_the_other() -> None:
    """The two files differ in the frontend for clients, and nowhere else."""
    one, other = (sections((FOLDER / name).read_text()) for name in ("haproxy.cfg", "haproxy-prefix.cfg"))
    assert {name: text for name, text in one.items() if name != "frontend registry"} == {
        name: text for name, text in other.items() if name != "frontend web"
    }


def test_path_and_query_pass_as_they_came(tmp_path: Path) -> None:
    """Nothing is decoded, merged or cut in the target of a request."""
    targets = ["/v2/", "/v2/a%2Fb//c/./../d?x=%20+&y;=%zz&digest=sha256:00&n=&", "/v2/a/blobs/uploads/1?_state=a%3D%3d"]
    with edge_before(backend := Backend(), directory=tmp_path) as edge:
        for target in targets:
            request = f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            assert exchange(edge.plain, request.encode()).startswith(b"HTTP/1.1 200 ")
    assert [seen.target for seen in backend.seen] == targets


def test_targets_that_do_not_begin_with_a_slash_are_refused(tmp_path: Path) -> None:
    """A whole URL is not passed on, whatever its host: its path could begin elsewhere for HAProxy."""
    targets = ["http://a/v2/", "http://a%2fx/v2/", "HTTP://a/v2/", "ftp://a/v2/", "v2/", "*"]
    with edge_before(backend := Backend(), directory=tmp_path) as edge:
        for target in targets:
            request = f"OPTIONS {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            assert exchange(edge.plain, request.encode()).startswith(b"HTTP/1.1 400 "), target
    assert backend.seen == []


def test_rules_match_what_a_replica_decodes(tmp_path: Path) -> None:
    """Percent signs neither hide the API from the rules nor make a part of it of something else."""
    served = ["/%76%32/", "/v%32/a/tags/list", "/v2%2Fa/tags/list"]
    refused = ["/%6detrics", "/%2e/v2/", "/v2%", "/%252f", "/readyz%2f..%2fv2/"]
    with edge_before(backend := Backend(), directory=tmp_path) as edge:
        for target, status in [*((target, b"200") for target in served), *((target, b"404") for target in refused)]:
            request = f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            assert exchange(edge.plain, request.encode()).startswith(b"HTTP/1.1 " + status), target
    assert [seen.target for seen in backend.seen] == served


def test_headers_about_the_client_are_ours_alone(tmp_path: Path) -> None:
    """What a client claims about proxies before it is dropped, what HAProxy knows is said, all else passes."""
    forged = {
        "Forwarded": "for=6.6.6.6;host=evil;proto=https",
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Host": "evil",
        "X-Forwarded-Port": "666",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-Proto": "https",
        "Client-Cert": ":eA==:",
        "Client-Cert-Chain": ":eA==:",
        "X-Forwarded-Client-Cert": 'Subject="CN=admin"',
    }
    honest = {"Authorization": "Basic YTpi", "Range": "bytes=1-2", "Content-Range": "0-3", "Accept": "a/b, c/d;q=0.1"}
    with edge_before(backend := Backend(), directory=tmp_path) as edge:
        httpx.get(f"{edge.url}/v2/", headers={**forged, **honest, "Host": "registry.example.com:8443"})
    (seen,) = backend.seen
    assert {name: seen.header(name) for name in forged} == {
        "Forwarded": [],
        "X-Forwarded-For": ["127.0.0.1"],
        "X-Forwarded-Host": ["registry.example.com:8443"],
        "X-Forwarded-Port": [],
        "X-Forwarded-Prefix": [],
        "X-Forwarded-Proto": ["http"],
        "Client-Cert": [],
        "Client-Cert-Chain": [],
        "X-Forwarded-Client-Cert": [],
    }
    assert {name: seen.header(name) for name in honest} == {name: [value] for name, value in honest.items()}
    assert seen.header("Host") == ["registry.example.com:8443"]


def test_body_is_passed_on_while_it_comes(tmp_path: Path) -> None:
    """A replica has the first bytes of a body before the client sends the next ones."""
    first_arrived = Event()

    def read_in_two(seen: Seen) -> None:
        assert seen.handler.rfile.read(5) == b"first"
        first_arrived.set()
        assert seen.handler.rfile.read(6) == b"second"
        answer_empty(seen)

    def body() -> Iterator[bytes]:
        yield b"first"
        assert first_arrived.wait(DEADLINE_S)
        yield b"second"

    with edge_before(Backend(read_in_two), directory=tmp_path) as edge:
        answer = httpx.patch(f"{edge.url}/v2/a", content=body(), headers={"Content-Length": "11"}, timeout=DEADLINE_S)
    assert answer.status_code == httpx.codes.OK


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE"])
def test_connection_refused_is_tried_elsewhere(tmp_path: Path, method: str) -> None:
    """A dead replica that HAProxy still lists costs no request of any method: nothing was sent to it."""
    with edge_before(first := Backend(), second := Backend(), directory=tmp_path) as edge:
        first._server.shutdown()
        first._server.server_close()
        answers = [httpx.request(method, f"{edge.url}/v2/", content=b"body").status_code for _ in range(4)]
    assert answers == [200] * 4
    assert len(first.seen) + len(second.seen) == 4


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "a/blobs/sha256:1", b""),
        ("HEAD", "a/blobs/sha256:1", b""),
        ("POST", "a/blobs/uploads/", b""),
        ("PUT", "a/manifests/latest", b"body"),
    ],
)
def test_what_may_be_made_twice_is_repeated(tmp_path: Path, method: str, path: str, body: bytes) -> None:
    """A replica that dies before it answers costs none of these: each is repeated whole at the other one.

    They share a connection: on one that had a request before, HAProxy would just close, which clients do not repeat.
    """

    def die(seen: Seen) -> None:
        """End in the middle of the work, all of the request read."""
        seen.handler.rfile.read(len(body))
        break_off(seen)

    def serve(seen: Seen) -> None:
        bodies.append(seen.handler.rfile.read(len(body)))
        answer_empty(seen)

    bodies: list[bytes] = []
    with (
        edge_before(dying := Backend(die), healthy := Backend(serve), directory=tmp_path) as edge,
        httpx.Client(base_url=edge.url, timeout=DEADLINE_S) as client,
    ):
        answers = [client.request(method, f"/v2/{path}", content=body).status_code for _ in range(4)]
    assert answers == [200] * 4
    assert dying.seen
    assert len(healthy.seen) == 4
    assert bodies == [body] * 4


@pytest.mark.parametrize("status", [503, 429])
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "a/tags/list"), ("POST", "a/blobs/uploads/"), ("PUT", "a/manifests/v1"), ("PATCH", "a/blobs/uploads/1")],
)
def test_a_replica_that_is_to_be_left_is_left(tmp_path: Path, method: str, path: str, status: int) -> None:
    """What one answers with 503 goes to another where it may be made twice; 429 is for the client to repeat."""

    def refuse(seen: Seen) -> None:
        seen.handler.rfile.read(int(seen.header("Content-Length")[0]))
        seen.handler.send_response(status)
        seen.handler.send_header("Content-Length", "0")
        seen.handler.end_headers()

    def serve(seen: Seen) -> None:
        seen.handler.rfile.read(int(seen.header("Content-Length")[0]))
        answer_empty(seen)

    with edge_before(refusing := Backend(refuse), healthy := Backend(serve), directory=tmp_path) as edge:
        body = b"body" if method in {"PUT", "PATCH"} else b""
        url, headers = f"{edge.url}/v2/{path}", {"Content-Length": str(len(body))}
        answers = [
            httpx.request(method, url, content=body, headers=headers, timeout=DEADLINE_S).status_code for _ in range(4)
        ]
    is_repeated = status == httpx.codes.SERVICE_UNAVAILABLE and method != "PATCH"
    assert refusing.seen
    assert set(answers) == ({200} if is_repeated else {200, status})
    assert len(healthy.seen) == answers.count(200)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "a/blobs/uploads/1"),
        ("PUT", "a/blobs/uploads/1"),
        ("PUT", "manifests/blobs/uploads/1"),
        ("DELETE", "a/manifests/latest"),
    ],
)
def test_other_changes_are_never_sent_twice(tmp_path: Path, method: str, path: str) -> None:
    """A change whose answer broke off may have been made: the client is told, in the form of the OCI specification."""
    with edge_before(dying := Backend(break_off), directory=tmp_path) as edge:
        answer = httpx.request(method, f"{edge.url}/v2/{path}", content=b"body", timeout=DEADLINE_S)
    assert len(dying.seen) == 1
    assert (answer.status_code, answer.headers["Content-Type"]) == (httpx.codes.BAD_GATEWAY, "application/json")
    assert answer.json()["errors"][0]["code"] == "UNAVAILABLE"


def test_without_any_replica_the_error_has_the_form_of_the_specification(tmp_path: Path) -> None:
    """While no replica is ready clients get a 503 that says so and when to come again, and the inside knows."""
    with edge_before(backend := Backend(), directory=tmp_path) as edge:
        assert httpx.get(f"http://{edge.inside}/readyz").status_code == httpx.codes.OK
        backend.is_ready = False
        edge.wait_for("DOWN")
        answer = httpx.get(f"{edge.url}/v2/")
        assert httpx.get(f"http://{edge.inside}/readyz").status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert (answer.status_code, answer.headers["Retry-After"]) == (httpx.codes.SERVICE_UNAVAILABLE, "2")
    assert answer.json() == {"errors": [{"code": "UNAVAILABLE", "message": "no replica is ready"}]}


def test_answer_under_way_outlives_the_notice_to_leave(tmp_path: Path) -> None:
    """A replica that is not ready any more gets nothing new, and what it has begun goes on to its end."""
    may_end = Event()

    def answer_in_two(seen: Seen) -> None:
        seen.handler.send_response(200)
        seen.handler.send_header("Content-Length", "11")
        seen.handler.end_headers()
        seen.handler.wfile.write(b"first")
        assert may_end.wait(DEADLINE_S)
        seen.handler.wfile.write(b"second")

    with (
        edge_before(leaving := Backend(answer_in_two), directory=tmp_path) as edge,
        httpx.stream("GET", f"{edge.url}/v2/", timeout=DEADLINE_S) as answer,
    ):
        pieces = answer.iter_raw()
        assert next(pieces) == b"first"
        leaving.is_ready = False
        edge.wait_for("DOWN")
        assert httpx.get(f"{edge.url}/v2/").status_code == httpx.codes.SERVICE_UNAVAILABLE
        may_end.set()
        assert b"".join(pieces) == b"second"
    assert len(leaving.seen) == 1


def test_each_request_has_a_connection_of_its_own_to_its_replica(tmp_path: Path) -> None:
    """The requests of one client's connection are spread, and each replica is told that the connection ends with it."""
    backends = [Backend(), Backend(), Backend()]
    with edge_before(*backends, directory=tmp_path) as edge, httpx.Client(base_url=edge.url) as client:
        for _ in range(6):
            client.get("/v2/")
    assert [len(backend.seen) for backend in backends] == [2, 2, 2]
    assert {seen.header("Connection")[0] for backend in backends for seen in backend.seen} == {"close"}


def test_only_the_api_is_for_the_outside(tmp_path: Path) -> None:
    """Metrics and health of replicas are not found from outside; HAProxy's own are at the address inside."""
    with edge_before(backend := Backend(), directory=tmp_path) as edge:
        outside = [httpx.get(f"{edge.url}/{path}") for path in ("metrics", "readyz", "x", "v2x", "stats")]
        metrics = httpx.get(f"http://{edge.inside}/metrics")
    assert [(answer.status_code, answer.json()["errors"][0]["code"]) for answer in outside] == [(404, "NOT_FOUND")] * 5
    assert backend.seen == []
    assert "haproxy_backend_active_servers" in metrics.text


def test_pulls_at_once_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """A hundred requests under way at one replica are all there together: HAProxy queues none."""
    together = 100
    arrived, all_there = [], Event()

    def wait_for_all(seen: Seen) -> None:
        arrived.append(seen)
        if len(arrived) == together:
            all_there.set()
        assert all_there.wait(DEADLINE_S)
        answer_empty(seen)

    with edge_before(Backend(wait_for_all), directory=tmp_path) as edge:
        without_limit = httpx.Limits(max_connections=None)
        with httpx.Client(timeout=DEADLINE_S, limits=without_limit) as client:
            pulls = [Thread(target=client.get, args=[f"{edge.url}/v2/"]) for _ in range(together)]
            for pull in pulls:
                pull.start()
            for pull in pulls:
                pull.join()
    assert len(arrived) == together
