"""What the log says of requests."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from zotpy.http.server.proxies import Reached
from zotpy.http.server.sending import Answered
from zotpy.server import PROBES, report
from zotpy.telemetry.metrics import Metrics
from zotpy.web.app import ROUTES


def level_of(route: str, status: int) -> str:
    """Return the level at which such a request is logged."""
    with capture_logs() as logs:
        report(Metrics(), Answered("GET", route, route, Reached(), started=1.0, status=status), 2.0)
    [logged] = logs
    assert (logged["event"], logged["path"], logged["status"], logged["seconds"]) == ("request", route, status, 1.0)
    return str(logged["log_level"])


def test_probes_are_routes() -> None:
    """Each probe that is kept out of the log is asked by that name."""
    assert {route.rule for route in ROUTES} >= PROBES


@pytest.mark.parametrize(
    ("route", "status", "level"),
    [
        ("/v2/", 200, "info"),
        ("/v2/", 404, "info"),
        ("/readyz", 200, "debug"),
        ("/metrics", 200, "debug"),
        ("/readyz", 503, "info"),
        ("/readyz", 0, "info"),
    ],
)
def test_only_probes_that_succeed_are_kept_out_of_the_log(route: str, status: int, level: str) -> None:
    """A kubelet or balancer asks every two seconds: its lines would bury those of clients, and only failures matter."""
    assert level_of(route, status) == level
