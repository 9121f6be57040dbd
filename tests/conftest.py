"""Real S3 servers, started once for all tests that ask for them."""

from __future__ import annotations

import logging
import os
import subprocess
import uuid
from functools import cache
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
import structlog
from httpx._config import DEFAULT_TIMEOUT_CONFIG, create_ssl_context
from httpx._transports import default
from hypothesis import settings

from tests.forks.forked import Forked, ForkServer
from tests.processes import Process, needed
from tests.servers import Bucket, MotoServer, SeaweedServer
from zotpy import garbage
from zotpy.telemetry import logs

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

pytest_plugins = [
    "tests.blackbox.client_fixtures",
    "tests.costs",
    "tests.simulation.options",
    "tests.spread",
    "tests.stopping",
]
CLIENT_TIMEOUT_S = 60.0
for phase in ("connect", "read", "write", "pool"):  # five seconds without these: a busy machine may need more
    setattr(DEFAULT_TIMEOUT_CONFIG, phase, CLIENT_TIMEOUT_S)
settings.register_profile("zotpy", deadline=None)  # a busy machine may need more than 200 ms for an example
settings.load_profile("zotpy")


def shared_ssl_context(verify: ssl.SSLContext | str | bool = True, **options: object) -> ssl.SSLContext:  # noqa: FBT001, FBT002 - as httpx has it
    """Return what a client of httpx trusts. Reading all authorities takes 20 ms, for thousands of clients."""
    if verify is True and options.get("cert") is None and options.get("trust_env", True):
        return _usual_ssl_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    return create_ssl_context(verify, **options)  # type: ignore[arg-type]


@cache
def _usual_ssl_context(*_: str | None) -> ssl.SSLContext:
    """Return a context by these two variables, which httpx reads."""
    return create_ssl_context()


garbage.collect_late()  # until all tests are collected
patch.object(default, "create_ssl_context", shared_ssl_context).start()


def pytest_configure() -> None:
    """Let zotpy start by a fork."""
    Process.popen = Forked


def pytest_collection_finish() -> None:
    """Leave thousands of tests and all modules alone when Python looks for garbage: that took a tenth of all CPU."""
    garbage.collect_less()


def pytest_unconfigure() -> None:
    """End what programs were forked from."""
    ForkServer.stop()


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    """Leave logging as it was: `configure_logs` is for whole processes, and some tests run commands in theirs."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    with pytest.MonkeyPatch.context() as patched:
        for name in ("_shown_from", "_json"):
            patched.setattr(logs, name, getattr(logs, name))
        yield
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level
    structlog.configure(**before)


@pytest.fixture(scope="module")
def plain_starts() -> Iterator[None]:
    """Let the programs of a module's tests start as they do elsewhere: by themselves, in memory of their own."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Process, "popen", subprocess.Popen)
        yield


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    """Return a running SeaweedFS."""
    with needed():
        server = SeaweedServer(tmp_path_factory.mktemp("seaweedfs"))
    server.start()
    try:
        yield server
    finally:
        server.process.kill()


@pytest.fixture(scope="session")
def bucket(seaweed: SeaweedServer) -> Bucket:
    """Return the one bucket on SeaweedFS: each bucket takes volumes of its own, so tests differ in their prefixes."""
    return seaweed.bucket("zotpy-tests")


@pytest.fixture
def prefix() -> str:
    """Return a prefix that no other test uses."""
    return f"test/{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def moto() -> Iterator[MotoServer]:
    """Return a running moto."""
    server = MotoServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def moto_bucket(moto: MotoServer) -> Bucket:
    """Return the one bucket on moto."""
    return moto.bucket("zotpy-tests")
